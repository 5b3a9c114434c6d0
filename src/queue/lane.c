/* lane.c - a thread that takes requests in order, and the way of their results back to the loop thread. */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

void requests_init(struct requests *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

void requests_push(struct requests *l, struct request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
}

struct request *requests_pop(struct requests *l)
{
    struct request *r = l->head;

    if (r == NULL)
        return NULL;
    l->head = r->next;
    if (l->head == NULL)
        l->tail = &l->head;
    r->next = NULL;
    return r;
}

void requests_move(struct requests *to, struct requests *from)
{
    if (from->head == NULL)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    requests_init(from);
}

int lane_init(struct lane *l, struct event_base *base, void (*on_loop)(void *ctx), void *ctx, struct err *err)
{
    pthread_condattr_t attr;

    requests_init(&l->waiting);
    requests_init(&l->done);
    l->stopping = l->started = false;
    l->notifier = loop_notifier_new(base, on_loop, ctx);
    if (l->notifier == NULL)
        return err_set(err, "out of memory or descriptors");
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    return 0;
}

int lane_start(struct lane *l, const char *name, void *(*run)(void *ctx), void *ctx, struct err *err)
{
    sigset_t all, old;

    /* Signals are for the loop thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, run, ctx);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return err_set(err, "cannot start a thread: %s", strerror(rc));
    pthread_setname_np(l->thread, name);
    l->started = true;
    return 0;
}

void lane_submit_all(struct lane *l, struct requests *all)
{
    if (all->head == NULL)
        return;
    pthread_mutex_lock(&l->mutex);
    bool was_empty = l->waiting.head == NULL;
    requests_move(&l->waiting, all);
    pthread_mutex_unlock(&l->mutex);
    if (was_empty) /* without the mutex, for which the thread would only wait again */
        pthread_cond_signal(&l->wake);
}

void lane_submit(struct lane *l, struct request *r)
{
    struct requests one;

    requests_init(&one);
    requests_push(&one, r);
    lane_submit_all(l, &one);
}

static struct timespec deadline_in(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool lane_take(struct lane *l, struct requests *to, int64_t timeout_ms)
{
    struct timespec deadline = deadline_in(timeout_ms > 0 ? timeout_ms : 0);

    pthread_mutex_lock(&l->mutex);
    while (l->waiting.head == NULL && !l->stopping && timeout_ms != 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&l->wake, &l->mutex);
        else if (pthread_cond_timedwait(&l->wake, &l->mutex, &deadline) == ETIMEDOUT)
            break;
    }
    bool more = l->waiting.head != NULL || !l->stopping;
    requests_move(to, &l->waiting);
    pthread_mutex_unlock(&l->mutex);
    return more;
}

void lane_post(struct lane *l, struct requests *done)
{
    if (done->head == NULL)
        return;
    pthread_mutex_lock(&l->mutex);
    bool was_empty = l->done.head == NULL;
    requests_move(&l->done, done);
    pthread_mutex_unlock(&l->mutex);
    if (was_empty)
        loop_notifier_notify(l->notifier);
}

void lane_take_done(struct lane *l, struct requests *to)
{
    pthread_mutex_lock(&l->mutex);
    requests_move(to, &l->done);
    pthread_mutex_unlock(&l->mutex);
}

void lane_stop(struct lane *l)
{
    if (!l->started)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    l->started = false;
}

void lane_free(struct lane *l)
{
    if (l->notifier == NULL)
        return;
    loop_notifier_free(&l->notifier);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
}
