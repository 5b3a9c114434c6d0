/* Changes on a connection of their own: hold, release, retry, remove beside a queue that runs, and where none runs; all
 * about one message. */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>

static const char *const one[] = {"ann@example.org", NULL};
static const char *const three[] = {"ann@example.org", "bob@example.net", "cyd@example.org", NULL};

/* How many were changed; -1 when there was nothing to change. */
static int act(struct rig *r, enum queue_action action, const char *id)
{
    struct err err = {""};
    size_t changed;
    int rc = queue_act(r->path, action, id, &changed, &err);

    ck_assert_msg(rc >= 0, "%s", err.text);
    ck_assert(rc == 0 || err.text[0] != '\0');
    return rc == 0 ? (int)changed : -1;
}

static void put(struct rig *r, const char *id, const char *const *to)
{
    struct rig_message m;

    rig_message(&m, id, to);
    ck_assert_int_eq(rig_put(r, &m.m), QUEUE_OK);
}

/* Runs the loop for a while, in which nothing may become due. */
static void expect_quiet(struct rig *r, int64_t ms)
{
    size_t before = r->n_due;

    for (int64_t until = clock_mono_ms() + ms; clock_mono_ms() < until; usleep(2000))
        event_base_loop(r->base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(r->n_due, before);
}

/* Gives everything that is out back, deferred for `ms`. */
static void defer_all(struct rig *r, int64_t ms)
{
    const struct queue_result later[8] = {
        {.outcome = QUEUE_DEFERRED, .reply = "451 later"}, {.outcome = QUEUE_DEFERRED, .reply = "451 later"},
        {.outcome = QUEUE_DEFERRED, .reply = "451 later"}, {.outcome = QUEUE_DEFERRED, .reply = "451 later"},
        {.outcome = QUEUE_DEFERRED, .reply = "451 later"}, {.outcome = QUEUE_DEFERRED, .reply = "451 later"},
        {.outcome = QUEUE_DEFERRED, .reply = "451 later"}, {.outcome = QUEUE_DEFERRED, .reply = "451 later"}};

    for (size_t i = 0; i < r->n_due; i++) {
        if (r->due[i]->recipients == NULL)
            rig_load(r, r->due[i]);
        queue_finish(r->queue, r->due[i], later, ms, NULL);
    }
    r->n_due = 0;
}

START_TEST(hold_and_release_take_effect_at_once)
{
    struct rig r;

    rig_begin(&r);
    put(&r, "BCDFGHJKLM", three);
    rig_until(&r, r.n_due == 2);
    defer_all(&r, 400);
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "BCDFGHJKLM"), 1);
    expect_quiet(&r, 900);
    rig_expect_listing(&r,
                       "BCDFGHJKLM <me@example.com> held\n ann@example.org held 1 451 later\n bob@example.net held 1"
                       " 451 later\n cyd@example.org held 1 451 later\n");
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "BCDFGHJKLM"), -1);
    ck_assert_int_eq(act(&r, QUEUE_RETRY, "BCDFGHJKLM"), -1);
    int64_t start = clock_mono_ms();
    ck_assert_int_eq(act(&r, QUEUE_RELEASE, "BCDFGHJKLM"), 1);
    rig_until(&r, r.n_due == 2);
    ck_assert_int_lt(clock_mono_ms() - start, 1000);
    ck_assert_int_eq(act(&r, QUEUE_RELEASE, "BCDFGHJKLM"), -1);
    rig_end(&r);
}
END_TEST

START_TEST(what_is_out_when_it_is_held_is_finished_and_then_waits)
{
    const struct queue_result results[2] = {{.outcome = QUEUE_DELIVERED}, {.outcome = QUEUE_DEFERRED}};
    static const char *const same[] = {"a@example.org", "b@example.org", NULL};
    struct rig r;

    rig_begin(&r);
    put(&r, "BCDFGHJKLM", same);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "BCDFGHJKLM"), 1);
    expect_quiet(&r, 200);
    queue_finish(r.queue, r.due[0], results, 100, NULL);
    r.n_due = 0;
    expect_quiet(&r, 400);
    rig_expect_listing(&r, "BCDFGHJKLM <me@example.com> held\n b@example.org held 1 \n");
    ck_assert_int_eq(act(&r, QUEUE_RELEASE, "BCDFGHJKLM"), 1);
    rig_until(&r, r.n_due == 1);
    /* released while it is out: it counts no more */
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "BCDFGHJKLM"), 1);
    ck_assert_int_eq(act(&r, QUEUE_RELEASE, "BCDFGHJKLM"), 1);
    expect_quiet(&r, 200);
    defer_all(&r, 100);
    rig_until(&r, r.n_due == 1);
    rig_end(&r);
}
END_TEST

START_TEST(retry_makes_one_due_or_all)
{
    struct rig r;

    rig_begin(&r);
    put(&r, "BCDFGHJKLM", three);
    put(&r, "CDFGHJKLMN", one);
    put(&r, "DFGHJKLMNP", one);
    rig_until(&r, r.n_due == 4);
    defer_all(&r, 3600 * 1000);
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "DFGHJKLMNP"), 1);
    expect_quiet(&r, 100);
    int64_t start = clock_mono_ms();
    ck_assert_int_eq(act(&r, QUEUE_RETRY, "CDFGHJKLMN"), 1);
    rig_until(&r, r.n_due == 1);
    ck_assert_int_lt(clock_mono_ms() - start, 1000);
    ck_assert_str_eq(r.due[0]->id, "CDFGHJKLMN");
    defer_all(&r, 3600 * 1000);
    ck_assert_int_eq(act(&r, QUEUE_RETRY, NULL), 2); /* not what is held */
    rig_until(&r, r.n_due == 3);
    expect_quiet(&r, 100);
    rig_end(&r);
}
END_TEST

START_TEST(what_is_removed_is_gone)
{
    const struct queue_result results[2] = {{.outcome = QUEUE_DELIVERED, .reply = "250 ok"},
                                            {.outcome = QUEUE_DEFERRED}};
    static const char *const same[] = {"a@example.org", "b@example.org", NULL};
    struct rig r;

    rig_begin(&r);
    put(&r, "BCDFGHJKLM", three);
    put(&r, "CDFGHJKLMN", same);
    put(&r, "DFGHJKLMNP", one);
    ck_assert_uint_eq(queue_length(r.queue), 3);
    rig_until(&r, r.n_due == 4);
    struct queue_item *out = NULL;
    for (size_t i = 0; i < r.n_due; i++) {
        rig_load(&r, r.due[i]);
        if (strcmp(r.due[i]->id, "CDFGHJKLMN") == 0) {
            out = r.due[i];
            r.due[i] = r.due[--r.n_due];
        }
    }
    defer_all(&r, 300);
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "BCDFGHJKLM"), 1);
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "CDFGHJKLMN"), 1); /* while it is being sent */
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "CDFGHJKLMN"), -1);
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "FGHJKLMNPQ"), -1);
    rig_until(&r, queue_length(r.queue) == 1);
    queue_finish(r.queue, out, results, 100, NULL);
    rig_until(&r, r.n_due == 1);
    ck_assert_str_eq(r.due[0]->id, "DFGHJKLMNP");
    expect_quiet(&r, 300);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    rig_expect_listing(&r, "DFGHJKLMNP <me@example.com>\n ann@example.org waiting 1 451 later\n");
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk"), 1);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM recipient"), 1);
    /* that it did arrive is not forgotten */
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM event WHERE kind = 'delivered' AND text = '250 ok'"), 1);
    rig_end(&r);
}
END_TEST

START_TEST(a_removed_message_that_waits_to_be_loaded_is_given_back)
{
    struct rig r;

    rig_begin(&r);
    put(&r, "BCDFGHJKLM", one);
    rig_until(&r, r.n_due == 1);
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "BCDFGHJKLM"), 1);
    rig_until(&r, item_of(r.due[0])->removed);
    r.loaded = false;
    queue_load(r.queue, r.due[0], rig_on_load, &r);
    rig_until(&r, r.loaded);
    ck_assert(!r.load_ok);
    queue_finish(r.queue, r.due[0], NULL, 0, NULL);
    r.n_due = 0;
    expect_quiet(&r, 300);
    ck_assert_uint_eq(queue_length(r.queue), 0);
    rig_end(&r);
}
END_TEST

START_TEST(without_a_daemon_the_file_is_changed)
{
    struct rig r;
    struct err err = {""};
    size_t changed = 7;

    rig_begin(&r);
    ck_assert_int_eq(queue_act("/nonexistent/queue.db", QUEUE_HOLD, "BCDFGHJKLM", &changed, &err), 1);
    ck_assert_ptr_nonnull(strstr(err.text, "BCDFGHJKLM"));
    ck_assert_int_eq(queue_act("/nonexistent/queue.db", QUEUE_RETRY, NULL, &changed, &err), 0);
    ck_assert_uint_eq(changed, 0);
    put(&r, "BCDFGHJKLM", one);
    put(&r, "CDFGHJKLMN", one);
    put(&r, "DFGHJKLMNP", one);
    rig_until(&r, r.n_due == 3);
    defer_all(&r, 3600 * 1000);
    rig_close(&r);
    ck_assert_int_eq(act(&r, QUEUE_HOLD, "BCDFGHJKLM"), 1);
    ck_assert_int_eq(act(&r, QUEUE_RETRY, "CDFGHJKLMN"), 1);
    ck_assert_int_eq(act(&r, QUEUE_REMOVE, "DFGHJKLMNP"), 1);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 2);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM control"), 0);
    rig_until(&r, r.n_due == 1);
    ck_assert_str_eq(r.due[0]->id, "CDFGHJKLMN");
    ck_assert_int_eq(act(&r, QUEUE_RELEASE, "BCDFGHJKLM"), 1);
    ck_assert_int_eq(act(&r, QUEUE_RETRY, "BCDFGHJKLM"), 1);
    rig_until(&r, r.n_due == 2);
    rig_end(&r);
}
END_TEST

START_TEST(many_changes_at_once_are_all_taken_up)
{
    enum { N = 60 };
    struct rig r;
    char ids[N][QUEUE_ID_SIZE];

    rig_begin(&r);
    for (size_t i = 0; i < N; i++) {
        snprintf(ids[i], sizeof(ids[i]), "BCDFGHJ%03zu", i);
        put(&r, ids[i], one);
    }
    rig_until(&r, r.n_due == N);
    defer_all(&r, 3600 * 1000);
    for (int round = 0; round < 8; round++)
        for (size_t i = 0; i < N; i++) {
            ck_assert_int_eq(act(&r, round % 2 == 0 ? QUEUE_HOLD : QUEUE_RELEASE, ids[i]), 1);
            event_base_loop(r.base, EVLOOP_NONBLOCK);
        }
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(act(&r, QUEUE_RETRY, ids[i]), 1);
    rig_until(&r, r.n_due == N);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM control"), 0);
    rig_end(&r);
}
END_TEST

/* ---- all about one message ------------------------------------------------------------------- */

static int add_record(void *ctx, const struct queue_record *r)
{
    struct strbuf *b = ctx;

    strbuf_addf(b, "%s %s %zu%s\n", r->listing.id, r->message_id, r->listing.n_recipients,
                r->finished_ms > 0 ? " gone" : "");
    for (size_t i = 0; i < r->n_events; i++)
        strbuf_addf(b, " %s %s %s\n", r->events[i].kind, r->events[i].recipient != NULL ? r->events[i].recipient : "-",
                    r->events[i].text);
    if (r->header[0] != '\0')
        strbuf_addf(b, " [%s]\n", r->header);
    return 0;
}

static size_t expect_record(struct rig *r, const char *key, const char *want)
{
    struct strbuf b = STRBUF_INIT;
    struct err err = {""};
    size_t found;

    ck_assert_msg(queue_find(r->path, key, add_record, &b, &found, &err) == 0, "%s", err.text);
    ck_assert_str_eq(strbuf_str(&b), want);
    strbuf_free(&b);
    return found;
}

START_TEST(a_message_is_found_by_each_of_its_names)
{
    static const char *const keys[] = {"BCDFGHJKLM", "bcdfghjklm", "<1@example.com>", "1@example.com"};
    static const char *const others[] = {"BCDFGHJKL", "<2@example.com>", "", "%", "1@EXAMPLE.com", "' OR 1 --"};
    struct slice notes[] = {SLICE("accepted from me@example.com over TLSv1.3"), SLICE("signed domain=example.com")};
    const struct queue_result results[1] = {{.outcome = QUEUE_DELIVERED, .reply = "250 2.0.0 ok"}};
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    m.m.notes = notes;
    m.m.n_notes = 2;
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        ck_assert_uint_eq(
            expect_record(&r, keys[i],
                          "BCDFGHJKLM <1@example.com> 1\n accepted - accepted from me@example.com over TLSv1.3\nsigned"
                          " domain=example.com\n [From: me@example.com]\n"),
            1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_uint_eq(expect_record(&r, others[i], ""), 0);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    queue_finish(r.queue, r.due[0], results, 0, "mx=mx.example.org ip=192.0.2.1; <ann@example.org> 250 2.0.0 ok");
    r.n_due = 0;
    rig_until(&r, queue_length(r.queue) == 0);
    put(&r, "CDFGHJKLMN", one); /* with the same Message-ID */
    ck_assert_uint_eq(
        expect_record(&r, "1@example.com",
                      "BCDFGHJKLM <1@example.com> 0 gone\n accepted - accepted from me@example.com over TLSv1.3\nsigned"
                      " domain=example.com\n attempt - mx=mx.example.org ip=192.0.2.1; <ann@example.org> 250 2.0.0 ok\n"
                      " delivered ann@example.org 250 2.0.0 ok\n"
                      "CDFGHJKLMN <1@example.com> 1\n accepted - \n [From: me@example.com]\n"),
        2);
    rig_end(&r);
}
END_TEST

static void *let_go(void *fd)
{
    usleep(100 * 1000);
    close(*(int *)fd);
    return NULL;
}

/* A command asks whether a daemon runs, in the moment in which one starts. */
START_TEST(who_asks_for_a_daemon_is_none)
{
    struct rig r;
    pthread_t thread;
    char name[sizeof(r.path) + 8];

    rig_begin(&r);
    rig_close(&r);
    snprintf(name, sizeof(name), "%s.lock", r.path);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go, &fd), 0);
    rig_open(&r);
    pthread_join(thread, NULL);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    Suite *suite = suite_create("queue change");
    TCase *tc = tcase_create("change");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, hold_and_release_take_effect_at_once);
    tcase_add_test(tc, what_is_out_when_it_is_held_is_finished_and_then_waits);
    tcase_add_test(tc, retry_makes_one_due_or_all);
    tcase_add_test(tc, what_is_removed_is_gone);
    tcase_add_test(tc, who_asks_for_a_daemon_is_none);
    tcase_add_test(tc, a_removed_message_that_waits_to_be_loaded_is_given_back);
    tcase_add_test(tc, without_a_daemon_the_file_is_changed);
    tcase_add_test(tc, many_changes_at_once_are_all_taken_up);
    tcase_add_test(tc, a_message_is_found_by_each_of_its_names);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
