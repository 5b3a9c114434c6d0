/* Messages that are gone are forgotten in their time, however many wait among them, and a few thousand at a look. */
#include "rig.h"

enum { WAITING = 3 * PRUNE_LOOK, OLD = 2 * PRUNE_BATCH + 1, YOUNG = 7, NOW = 5000 };

static void fill_created(struct store *s, int n, int64_t created_ms, int64_t finished_ms)
{
    char sql[600];

    snprintf(
        sql, sizeof(sql),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO message (id, user, sender, bounce_to, message_id, envid, ret, smtputf8, eightbit, size, "
        "created_ms,"
        " expires_ms, finished_ms) SELECT printf('%%010d', i), '', '', '', '', '', 0, 0, 0, 0, %lld, 0, nullif(%lld, "
        "0) FROM n",
        n, (long long)created_ms, (long long)finished_ms);
    ck_assert_int_eq(sqlite3_exec(s->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void fill(struct store *s, int n, int64_t finished_ms)
{
    fill_created(s, n, 0, finished_ms);
}

static int64_t number(struct store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;

    ck_assert_int_eq(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static void open_store(struct rig *r, struct store *s)
{
    struct err err = {""};

    rig_prepare(r);
    ck_assert_msg(store_open(s, r->path, STORE_WRITE, &err) == 0, "%s", err.text);
}

/* What is old comes first or last, and goes in some looks, each of which goes on where the one before was. */
START_TEST(what_is_old_goes)
{
    struct rig r;
    struct store s;
    int64_t place = 0, before = 1000;
    int gone = 0, looks = 0, most = WAITING / PRUNE_LOOK + OLD / PRUNE_BATCH + 2;

    open_store(&r, &s);
    if (_i == 0)
        fill(&s, OLD, before - 1);
    fill(&s, WAITING, 0);
    fill(&s, YOUNG, before);
    if (_i == 1)
        fill(&s, OLD, before - 1);
    ck_assert_int_eq(sqlite3_exec(s.db,
                                  "INSERT INTO event (message_row, time_ms, kind, text)"
                                  " SELECT row, 1, 'accepted', '' FROM message",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    for (int n; gone < OLD; gone += n, looks++) {
        ck_assert_int_lt(looks, most);
        ck_assert_int_eq(store_prune(&s, before, NOW, &place, &n), SQLITE_OK);
        ck_assert_int_le(n, PRUNE_BATCH);
    }
    ck_assert_int_eq(number(&s, "SELECT count(*) FROM message"), WAITING + YOUNG);
    ck_assert_int_eq(number(&s, "SELECT count(*) FROM event"), WAITING + YOUNG);
    ck_assert_int_eq(number(&s, "SELECT count(*) FROM message WHERE finished_ms < 1000"), 0);
    store_close(&s);
    rig_end(&r);
}
END_TEST

/* Behind the last one it begins with the first again: what has become old meanwhile goes, too. */
START_TEST(it_comes_round_again)
{
    struct rig r;
    struct store s;
    int64_t place = 0;
    int n;

    open_store(&r, &s);
    fill(&s, YOUNG, 1000);
    ck_assert_int_eq(store_prune(&s, 1000, NOW, &place, &n), SQLITE_OK);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(store_prune(&s, 1001, NOW, &place, &n), SQLITE_OK);
    ck_assert_int_eq(n, YOUNG);
    ck_assert_int_eq(number(&s, "SELECT count(*) FROM message"), 0);
    store_close(&s);
    rig_end(&r);
}
END_TEST

/* However long the history is, the look at it ends where nothing can be old.  A stamp from the future ends nothing. */
START_TEST(it_does_not_look_at_what_came_since)
{
    struct rig r;
    struct store s;
    int64_t place = 0;
    int n;

    open_store(&r, &s);
    fill_created(&s, 3, 0, 900);
    fill_created(&s, 1, 900, 0); /* waits */
    fill_created(&s, 1, NOW + 1, 2000);
    fill_created(&s, 2, 900, 999);
    fill_created(&s, 2 * PRUNE_LOOK, 1000, 1100);
    ck_assert_int_eq(store_prune(&s, 1000, NOW, &place, &n), SQLITE_OK);
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(place, 0);
    ck_assert_int_eq(number(&s, "SELECT count(*) FROM message"), 2 + 2 * PRUNE_LOOK);
    store_close(&s);
    rig_end(&r);
}
END_TEST

START_TEST(history_is_forgotten_in_its_time)
{
    static const char *const to[] = {"ann@example.org", NULL};
    struct rig r;
    struct rig_message m;

    rig_prepare(&r);
    r.config.queue.history_s = 0;
    rig_open(&r);
    rig_message(&m, "BCDFGHJKLM", to);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    queue_finish(r.queue, r.due[0], &(struct queue_result){.outcome = QUEUE_DELIVERED}, 0, "ok");
    r.n_due = 0;
    rig_until(&r, queue_length(r.queue) == 0);
    rig_close(&r);
    rig_open(&r); /* the first look comes right after a start, the next a minute later */
    rig_until(&r, rig_sql(&r, "SELECT count(*) FROM message") == 0);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM event"), 0);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue history");
    TCase *tc = tcase_create("history");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_is_old_goes, 0, 2);
    tcase_add_test(tc, it_comes_round_again);
    tcase_add_test(tc, it_does_not_look_at_what_came_since);
    tcase_add_test(tc, history_is_forgotten_in_its_time);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
