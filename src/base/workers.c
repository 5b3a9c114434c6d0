/* workers.c - what takes CPU, off the loop.
 *
 * A job waits in its class's queue, runs on a thread, waits in `finished`, and ends on the loop in done().
 * `lock` guards everything in struct workers but the threads' handles. */
#include "sendas/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* More signatures than this do not wait: the sessions that ask for them are bounded too. */
enum { SIGN_WAITING_MAX = 8192 };

struct work {
    struct work *next;
    enum work_class class;
    void (*run)(void *job);
    void (*done)(void *job);
    void *job;
};

struct work_queue {
    struct work *first, **end;
    unsigned waiting, waiting_max;
    unsigned running, running_max;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct work_queue queues[WORK_CLASSES];
    struct work *finished, **finished_end;
    bool stopping;
    struct loop_notifier *notifier;
    unsigned n_threads;
    pthread_t threads[];
};

static void queue_push(struct work_queue *q, struct work *item)
{
    item->next = NULL;
    *q->end = item;
    q->end = &item->next;
    q->waiting++;
}

static struct work *queue_pop(struct work_queue *q)
{
    if (q->first == NULL || q->running >= q->running_max)
        return NULL;
    struct work *item = q->first;
    q->first = item->next;
    if (q->first == NULL)
        q->end = &q->first;
    q->waiting--;
    q->running++;
    return item;
}

/* The next job, with the lock held.  Signatures go first, but for the first hash: neither class starves. */
static struct work *workers_next(struct workers *w)
{
    struct work *item = NULL;
    if (w->queues[WORK_HASH].running == 0)
        item = queue_pop(&w->queues[WORK_HASH]);
    if (item == NULL)
        item = queue_pop(&w->queues[WORK_SIGN]);
    if (item == NULL)
        item = queue_pop(&w->queues[WORK_HASH]);
    return item;
}

/* Is there a job that another thread could begin? */
static bool workers_more(const struct workers *w)
{
    for (size_t i = 0; i < WORK_CLASSES; i++)
        if (w->queues[i].waiting > 0 && w->queues[i].running < w->queues[i].running_max)
            return true;
    return false;
}

static bool workers_idle(const struct workers *w)
{
    for (size_t i = 0; i < WORK_CLASSES; i++)
        if (w->queues[i].waiting > 0)
            return false;
    return true;
}

/* With the lock held, which is given up for the time that the job takes. */
static void worker_run(struct workers *w, struct work *item)
{
    bool more = workers_more(w);
    pthread_mutex_unlock(&w->lock);
    if (more) /* what waited behind a full class is begun by whoever has seen room in it */
        pthread_cond_signal(&w->wake);
    item->run(item->job);
    pthread_mutex_lock(&w->lock);
    w->queues[item->class].running--;
    item->next = NULL;
    bool first = w->finished == NULL;
    *w->finished_end = item;
    w->finished_end = &item->next;
    if (first)
        loop_notifier_notify(w->notifier);
}

static void *worker_main(void *arg)
{
    struct workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct work *item = workers_next(w);
        if (item != NULL)
            worker_run(w, item);
        else if (w->stopping && workers_idle(w))
            break;
        else
            pthread_cond_wait(&w->wake, &w->lock);
    }
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* On the loop: ends every job that has run. */
static void workers_deliver(void *ctx)
{
    struct workers *w = ctx;
    pthread_mutex_lock(&w->lock);
    struct work *item = w->finished;
    w->finished = NULL;
    w->finished_end = &w->finished;
    pthread_mutex_unlock(&w->lock);
    while (item != NULL) {
        struct work *next = item->next;
        item->done(item->job);
        free(item);
        item = next;
    }
}

/* Signals are the loop's affair: the threads start with all of them blocked. */
static int workers_start(struct workers *w, unsigned threads, struct err *err)
{
    sigset_t all, before;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (w->n_threads < threads && rc == 0) {
        rc = pthread_create(&w->threads[w->n_threads], NULL, worker_main, w);
        if (rc == 0)
            pthread_setname_np(w->threads[w->n_threads++], "sendas-worker");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : err_set(err, "cannot start a thread: %s", strerror(rc));
}

struct workers *workers_new(struct event_base *base, unsigned threads, unsigned hash_waiting, struct err *err)
{
    if (threads == 0)
        threads = 1;
    struct workers *w = calloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
    if (w == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    for (size_t i = 0; i < WORK_CLASSES; i++)
        w->queues[i].end = &w->queues[i].first;
    w->queues[WORK_SIGN].waiting_max = SIGN_WAITING_MAX;
    w->queues[WORK_SIGN].running_max = threads;
    w->queues[WORK_HASH].waiting_max = hash_waiting;
    w->queues[WORK_HASH].running_max = threads / 2 > 0 ? threads / 2 : 1;
    w->finished_end = &w->finished;
    w->notifier = loop_notifier_new(base, workers_deliver, w);
    if (w->notifier == NULL)
        err_set(err, "cannot make an eventfd for the workers");
    if (w->notifier == NULL || workers_start(w, threads, err) < 0)
        workers_free(&w);
    return w;
}

int workers_submit(struct workers *w, enum work_class class, void (*run)(void *job), void (*done)(void *job), void *job)
{
    struct work *item = malloc(sizeof(*item));
    if (item == NULL)
        return -1;
    *item = (struct work){.class = class, .run = run, .done = done, .job = job};
    pthread_mutex_lock(&w->lock);
    struct work_queue *q = &w->queues[class];
    bool accepted = !w->stopping && q->waiting < q->waiting_max;
    if (accepted)
        queue_push(q, item);
    pthread_mutex_unlock(&w->lock);
    if (accepted) /* without the lock, for which the thread would only wait again */
        pthread_cond_signal(&w->wake);
    else
        free(item);
    return accepted ? 0 : -1;
}

void workers_free(struct workers **pw)
{
    struct workers *w = *pw;
    if (w == NULL)
        return;
    *pw = NULL;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    workers_deliver(w);
    loop_notifier_free(&w->notifier);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
