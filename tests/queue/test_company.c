/* What goes to the writer together: outcomes wait for a message, and messages for each other while many come. */
#include "rig.h"

static const char *const one[] = {"ann@example.org", NULL};

static void put_many(struct rig *r, struct rig_message *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[QUEUE_ID_SIZE];
        ck_assert_int_eq(queue_new_id(id), 0);
        rig_message(&m[i], id, one);
        queue_put(r->queue, &m[i].m, rig_on_put, r);
    }
}

static bool some_wait(const struct rig *r)
{
    return r->queue->company.waiting.head != NULL;
}

/* With `coming` of them on their way, this one included, does a message wait for the others? */
static const struct {
    int coming;
    bool waits;
} companies[] = {{0, false}, {1, false}, {2, false}, {6, false}, {7, true}, {20, true}};

START_TEST(a_message_waits_only_while_many_come)
{
    static struct rig_message m;
    struct rig r;

    rig_begin(&r);
    queue_expect(r.queue, companies[_i].coming);
    put_many(&r, &m, 1);
    ck_assert_int_eq(some_wait(&r), companies[_i].waits);
    rig_until(&r, r.answered[QUEUE_OK] == 1); /* the others do not come: not for ever */
    queue_expect(r.queue, -companies[_i].coming);
    rig_end(&r);
}
END_TEST

START_TEST(those_that_wait_for_each_other_share_a_commit)
{
    enum { N = 12 };
    static struct rig_message m[N];
    struct rig r;

    rig_begin(&r);
    size_t before = queue_commits(r.queue);
    queue_expect(r.queue, 30);
    put_many(&r, m, N - 1);
    ck_assert(some_wait(&r));
    put_many(&r, m + N - 1, 1);
    ck_assert(!some_wait(&r));
    rig_until(&r, r.answered[QUEUE_OK] == N);
    ck_assert_uint_eq(queue_commits(r.queue) - before, 1);
    rig_end(&r);
}
END_TEST

START_TEST(who_waits_goes_when_few_others_come)
{
    static struct rig_message m[2];
    struct rig r;

    rig_begin(&r);
    queue_expect(r.queue, 8);
    put_many(&r, m, 2);
    queue_expect(r.queue, -2);
    ck_assert(some_wait(&r));
    queue_expect(r.queue, -1);
    ck_assert(!some_wait(&r));
    rig_until(&r, r.answered[QUEUE_OK] == 2);
    rig_end(&r);
}
END_TEST

START_TEST(closing_stores_those_that_wait_for_each_other)
{
    static struct rig_message m[3];
    struct rig r;

    rig_begin(&r);
    queue_expect(r.queue, 20);
    put_many(&r, m, 3);
    ck_assert(some_wait(&r));
    rig_close(&r);
    ck_assert_uint_eq(r.answered[QUEUE_OK], 3);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 3);
    rig_end(&r);
}
END_TEST

/* Outcomes wait for a message, and are before it. */
START_TEST(an_outcome_goes_with_the_next_message)
{
    static struct rig_message m[2];
    struct rig r;

    rig_begin(&r);
    put_many(&r, m, 1);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    size_t before = queue_commits(r.queue);
    queue_finish(r.queue, r.due[0], &(struct queue_result){.outcome = QUEUE_DELIVERED}, 0, "ok");
    r.due[0] = NULL;
    ck_assert_int_eq(r.queue->company.waiting.head->kind, REQUEST_FINISH);
    put_many(&r, m + 1, 1);
    ck_assert(!some_wait(&r));
    rig_until(&r, r.answered[QUEUE_OK] == 2);
    ck_assert_uint_eq(queue_commits(r.queue) - before, 1);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    rig_end(&r);
}
END_TEST

START_TEST(closing_records_the_outcomes_that_wait)
{
    static struct rig_message m;
    struct rig r;

    rig_begin(&r);
    put_many(&r, &m, 1);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    queue_finish(r.queue, r.due[0], &(struct queue_result){.outcome = QUEUE_DELIVERED}, 0, "ok");
    r.due[0] = NULL;
    ck_assert(some_wait(&r));
    rig_close(&r);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 0);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue company");
    TCase *tc = tcase_create("company");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_message_waits_only_while_many_come, 0, ARRAY_LEN(companies));
    tcase_add_test(tc, those_that_wait_for_each_other_share_a_commit);
    tcase_add_test(tc, who_waits_goes_when_few_others_come);
    tcase_add_test(tc, closing_stores_those_that_wait_for_each_other);
    tcase_add_test(tc, an_outcome_goes_with_the_next_message);
    tcase_add_test(tc, closing_records_the_outcomes_that_wait);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
