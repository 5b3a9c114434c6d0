/* The worker pool and the way back to the loop. */
#include "testing.h"

#include <event2/event.h>
#include <pthread.h>

static struct event_base *base;
static pthread_t loop_thread;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned running, most, ran; /* of the jobs of one test */
    bool held;                   /* jobs wait until it is false */
    unsigned done;               /* only on the loop */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void base_setup(void)
{
    base = event_base_new();
    loop_thread = pthread_self();
}

static void base_free(void)
{
    event_base_free(base);
}

static void hold(bool held)
{
    pthread_mutex_lock(&state.lock);
    state.held = held;
    pthread_cond_broadcast(&state.changed);
    pthread_mutex_unlock(&state.lock);
}

static void wait_running(unsigned n)
{
    pthread_mutex_lock(&state.lock);
    while (state.running < n)
        pthread_cond_wait(&state.changed, &state.lock);
    pthread_mutex_unlock(&state.lock);
}

static void run(void *job)
{
    ck_assert(!pthread_equal(pthread_self(), loop_thread));
    pthread_mutex_lock(&state.lock);
    state.running++;
    state.ran++;
    if (state.running > state.most)
        state.most = state.running;
    pthread_cond_broadcast(&state.changed);
    while (state.held)
        pthread_cond_wait(&state.changed, &state.lock);
    state.running--;
    pthread_mutex_unlock(&state.lock);
    if (job != NULL)
        *(int *)job += 1;
}

static void done(void *job)
{
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    if (job != NULL)
        *(int *)job *= 10;
    state.done++;
}

static void loop_until_done(unsigned n)
{
    while (state.done < n)
        event_base_loop(base, EVLOOP_ONCE);
}

START_TEST(results_come_back)
{
    static int jobs[500];
    struct workers *w = workers_new(base, 4, 1000, NULL);
    ck_assert_ptr_nonnull(w);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        ck_assert_int_eq(workers_submit(w, i % 3 == 0 ? WORK_HASH : WORK_SIGN, run, done, &jobs[i]), 0);
    loop_until_done(ARRAY_LEN(jobs));
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        ck_assert_int_eq(jobs[i], 10);
    workers_free(&w);
    ck_assert_ptr_null(w);
    workers_free(&w);
}
END_TEST

/* Of four threads two hash; signatures get through meanwhile. */
START_TEST(hash_limit)
{
    struct workers *w = workers_new(base, 4, 10, NULL);
    hold(true);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), 0);
    wait_running(2);
    ck_assert_int_eq(workers_submit(w, WORK_SIGN, run, done, NULL), 0);
    ck_assert_int_eq(workers_submit(w, WORK_SIGN, run, done, NULL), 0);
    wait_running(4);
    hold(false);
    loop_until_done(8);
    ck_assert_uint_eq(state.most, 4);
    /* Alone, hashes never take more than half. */
    state.most = state.done = 0;
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), 0);
    loop_until_done(10);
    ck_assert_uint_le(state.most, 2);
    workers_free(&w);
}
END_TEST

/* One thread serves both classes, in spite of "half". */
START_TEST(one_thread)
{
    struct workers *w = workers_new(base, 1, 2, NULL);
    hold(true);
    ck_assert_int_eq(workers_submit(w, WORK_SIGN, run, done, NULL), 0);
    wait_running(1);
    ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), 0);
    ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), 0);
    ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), -1); /* two wait already */
    ck_assert_int_eq(workers_submit(w, WORK_SIGN, run, done, NULL), 0);
    hold(false);
    loop_until_done(4);
    ck_assert_uint_eq(state.ran, 4);
    workers_free(&w);
}
END_TEST

static void run_nothing(void *job)
{
    (void)job;
}

static void submit_again(void *job)
{
    ck_assert_int_eq(workers_submit(*(struct workers **)job, WORK_SIGN, run, done, NULL), -1);
    state.done++;
}

/* What was taken is run and ended; what comes later is refused. */
START_TEST(stopping)
{
    struct workers *w = workers_new(base, 2, 100, NULL);
    struct workers *same = w;
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(workers_submit(w, WORK_HASH, run, done, NULL), 0);
        ck_assert_int_eq(workers_submit(w, WORK_SIGN, run, done, NULL), 0);
    }
    ck_assert_int_eq(workers_submit(w, WORK_SIGN, run_nothing, submit_again, &same), 0);
    workers_free(&w); /* before the loop ran once */
    ck_assert_uint_eq(state.ran, 100);
    ck_assert_uint_eq(state.done, 101);
}
END_TEST

static void count(void *ctx)
{
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    ++*(int *)ctx;
}

static void *notify(void *n)
{
    for (int i = 0; i < 1000; i++)
        loop_notifier_notify(n);
    return NULL;
}

START_TEST(notifier)
{
    int calls = 0;
    pthread_t thread;
    struct loop_notifier *n = loop_notifier_new(base, count, &calls);
    ck_assert_int_eq(pthread_create(&thread, NULL, notify, n), 0);
    pthread_join(thread, NULL);
    event_base_loop(base, EVLOOP_ONCE);
    ck_assert_int_eq(calls, 1); /* a thousand became one */
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(calls, 1);
    loop_notifier_notify(n);
    event_base_loop(base, EVLOOP_ONCE);
    ck_assert_int_eq(calls, 2);
    loop_notifier_notify(n);
    loop_notifier_free(&n);
    ck_assert_ptr_null(n);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(calls, 2);
    loop_notifier_free(&n);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("workers");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, base_setup, base_free);
    tcase_add_test(tc, results_come_back);
    tcase_add_test(tc, hash_limit);
    tcase_add_test(tc, one_thread);
    tcase_add_test(tc, stopping);
    tcase_add_test(tc, notifier);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
