/* The schedule: order, entries, jitter, and a start with 100,000 messages. */
#include "rig.h"

static struct entry *entry_at(int64_t due_ms, int64_t message_row)
{
    struct entry *e = entry_new(SLICE("example.org"), 1);

    ck_assert_ptr_nonnull(e);
    e->due_ms = due_ms;
    e->message_row = message_row;
    e->index[0] = 0;
    return e;
}

START_TEST(heap_gives_the_earliest_first)
{
    struct schedule s = {0};
    uint32_t x = 12345;

    for (int i = 0; i < 2000; i++) {
        x = x * 1664525 + 1013904223;
        ck_assert_int_eq(schedule_add(&s, entry_at(x >> 22, i)), 0);
    }
    int64_t due = -1, row = -1;
    for (int i = 0; i < 2000; i++) {
        const struct entry *first = schedule_first(&s);
        struct entry *e = schedule_take(&s);
        ck_assert_ptr_eq(e, first);
        ck_assert_msg(e->due_ms > due || (e->due_ms == due && e->message_row > row), "item %d out of order", i);
        due = e->due_ms;
        row = e->message_row;
        free(e);
    }
    ck_assert_ptr_null(schedule_first(&s));
    ck_assert_ptr_null(schedule_take(&s));
    schedule_free(&s);
}
END_TEST

START_TEST(reserved_room_is_there)
{
    struct schedule s = {0};

    ck_assert_int_eq(schedule_reserve(&s, 1000), 0);
    struct entry **heap = s.heap;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(schedule_add(&s, entry_at(i, i)), 0);
    ck_assert_ptr_eq(s.heap, heap);
    schedule_free(&s);
}
END_TEST

static bool is_org(void *ctx, const char *domain)
{
    ++*(int *)ctx;
    return strcmp(domain, "example.org") == 0;
}

/* Those of the domain come first, the older before the newer; the others keep their order. */
START_TEST(hastened_ones_are_due_now)
{
    struct schedule s = {0};
    int asked = 0;

    for (int i = 0; i < 100; i++) {
        struct entry *e = i % 2 == 0 ? entry_at(1000 - i, i) : entry_new(SLICE("example.net"), 1);
        e->due_ms = i == 98 ? 3 : 1000 - i;
        e->message_row = i;
        ck_assert_int_eq(schedule_add(&s, e), 0);
    }
    schedule_hasten(&s, 5, is_org, &asked);
    ck_assert_int_eq(asked, 99); /* what is due earlier is left alone */
    for (int i = 0; i < 100; i++) {
        struct entry *e = schedule_take(&s);
        ck_assert_int_eq(e->due_ms, i == 0 ? 3 : i < 50 ? 5 : 1000 - e->message_row);
        ck_assert_int_eq(e->message_row, i == 0 ? 98 : i < 50 ? 2 * i - 2 : 99 - 2 * (i - 50));
        free(e);
    }
    schedule_free(&s);
}
END_TEST

START_TEST(entries_are_one_a_domain_and_time)
{
    struct pending v[] = {
        {SLICE("b.example"), 10, 0}, {SLICE("a.example"), 10, 1}, {SLICE("b.example"), 10, 2},
        {SLICE("b.example"), 5, 3},  {SLICE("a.example"), 10, 4}, {SLICE("a.exampl"), 10, 5},
    };
    const struct entry like = {.created_ms = 1, .expires_ms = 2, .message_row = 77, .id = "BCDFGHJKLM"};
    static const struct {
        const char *domain;
        int64_t due_ms;
        unsigned n;
        uint16_t index[2];
    } want[] = {
        {"b.example", 5, 1, {3}}, {"a.exampl", 10, 1, {5}}, {"a.example", 10, 2, {1, 4}}, {"b.example", 10, 2, {0, 2}}};
    struct entry *list = entries_build(&like, v, ARRAY_LEN(v)), *e = list;

    for (size_t i = 0; i < ARRAY_LEN(want); i++, e = e->next) {
        ck_assert_ptr_nonnull(e);
        ck_assert_str_eq(e->domain, want[i].domain);
        ck_assert_int_eq(e->due_ms, want[i].due_ms);
        ck_assert_uint_eq(e->n, want[i].n);
        ck_assert_mem_eq(e->index, want[i].index, want[i].n * sizeof(uint16_t));
        ck_assert_int_eq(e->message_row, 77);
        ck_assert_int_eq(e->expires_ms, 2);
        ck_assert_str_eq(e->id, "BCDFGHJKLM");
    }
    ck_assert_ptr_null(e);
    entries_free(&list);
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(jitter_stays_within_a_tenth)
{
    int64_t lowest = INT64_MAX, highest = 0;

    for (int i = 0; i < 5000; i++) {
        int64_t ms = schedule_jitter(60000);
        lowest = ms < lowest ? ms : lowest;
        highest = ms > highest ? ms : highest;
    }
    ck_assert_int_ge(lowest, 60000);
    ck_assert_int_le(highest, 66000);
    /* and uses it: 5,000 draws that all stay clear of the outer fifths would be a broken draw */
    ck_assert_int_lt(lowest, 61000);
    ck_assert_int_gt(highest, 65000);
    ck_assert_int_eq(schedule_jitter(0), 0);
}
END_TEST

START_TEST(delays_follow_the_configured_list)
{
    static const struct {
        unsigned attempts;
        int64_t base_ms;
    } rows[] = {{0, 60000}, {1, 60000}, {2, 300000}, {3, 900000}, {4, 900000}, {1000, 900000}};
    struct rig r;

    rig_begin(&r);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = queue_retry_delay_ms(r.queue, rows[i].attempts);
        ck_assert_msg(ms >= rows[i].base_ms && ms <= rows[i].base_ms * 11 / 10, "%u attempts: %lld", rows[i].attempts,
                      (long long)ms);
    }
    r.retry_s[0] = 7;
    r.config.queue.n_retry = 1;
    queue_reconfigure(r.queue, &r.config);
    int64_t ms = queue_retry_delay_ms(r.queue, 9);
    ck_assert(ms >= 7000 && ms <= 7700);
    rig_end(&r);
}
END_TEST

/* Kilobytes that the process holds in memory. */
static long resident_kb(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

START_TEST(start_with_100000_messages)
{
    enum { MESSAGES = 100000 };
    struct rig r;

    rig_begin(&r);
    rig_close(&r);
    rig_sql(&r,
            "INSERT INTO message (row, id, user, sender, bounce_to, message_id, envid, ret, smtputf8, eightbit, size,"
            " created_ms, expires_ms) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
            " SELECT i, printf('%010d', i), 'u', 's@example.com', 's@example.com', '', '', 0, 0, 0, 100, 1, 2 FROM n");
    rig_sql(&r, "INSERT INTO recipient (row, address, domain, orcpt, notify, next_ms)"
                " SELECT row * 65536, 'r@example.org', 'd' || row % 1000 || '.example.org', '', 0, 1 FROM message");
    long before_kb = resident_kb();
    int64_t start = clock_mono_ms();
    rig_open(&r);
    int64_t took = clock_mono_ms() - start;
    long grown_kb = resident_kb() - before_kb;
    ck_assert_uint_eq(queue_length(r.queue), MESSAGES);
    start = clock_mono_ms();
    rig_until(&r, r.n_due == MESSAGES);
    int64_t all_due = clock_mono_ms() - start;
    ck_assert_str_eq(r.due[0]->id, "0000000001");
    ck_assert_str_eq(r.due[MESSAGES - 1]->id, "0000100000");
    rig_end(&r);
    printf("100,000 messages: opened in %lld ms with %ld KB, all lent out %lld ms later\n", (long long)took, grown_kb,
           (long long)all_due);
}
END_TEST

/* No memory for a moment is no reason to rest for a minute. */
START_TEST(what_passes_is_tried_again_soon)
{
    static const char *const one[] = {"ann@example.org", NULL};
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    log_to(fopen("/dev/null", "w"));
    rig_message(&m, "BCDFGHJKLM", one);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 1);
    fresh_drop_all(&r.queue->fresh);
    r.loaded = false;
    sqlite3_hard_heap_limit64(1);
    queue_load(r.queue, r.due[0], rig_on_load, &r);
    rig_until(&r, r.loaded);
    sqlite3_hard_heap_limit64(0);
    ck_assert(!r.load_ok);
    queue_finish(r.queue, r.due[0], NULL, 0, NULL);
    r.n_due = 0;
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue schedule");
    TCase *tc = tcase_create("schedule");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, heap_gives_the_earliest_first);
    tcase_add_test(tc, reserved_room_is_there);
    tcase_add_test(tc, entries_are_one_a_domain_and_time);
    tcase_add_test(tc, hastened_ones_are_due_now);
    tcase_add_test(tc, jitter_stays_within_a_tenth);
    tcase_add_test(tc, delays_follow_the_configured_list);
    tcase_add_test(tc, what_passes_is_tried_again_soon);
    tcase_add_test(tc, start_with_100000_messages);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
