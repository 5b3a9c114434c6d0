/* What waits, in numbers: how much, for how long, and for which domains. */
#include "rig.h"

/* A queue that has only a schedule. */
static struct queue bare;

static void setup(void)
{
    bare = (struct queue){.started = true};
}

static void teardown(void)
{
    schedule_free(&bare.schedule);
}

static struct entry *entry_of(const char *domain, int64_t age_ms, int64_t due_in_ms, int64_t row)
{
    struct entry *e = entry_new(slice_of(domain), 1);
    int64_t now = clock_mono_ms();

    ck_assert_ptr_nonnull(e);
    e->created_ms = now - age_ms;
    e->due_ms = now + due_in_ms;
    e->message_row = row;
    return e;
}

static void add(const char *domain, int64_t age_ms, int64_t due_in_ms, int64_t row)
{
    ck_assert_int_eq(schedule_add(&bare.schedule, entry_of(domain, age_ms, due_in_ms, row)), 0);
    bare.length++;
}

/* Up to a minute more: the machine may be slow. */
#define ck_assert_about(found, expected)                                                                               \
    do {                                                                                                               \
        ck_assert_int_ge((found), (expected));                                                                         \
        ck_assert_int_lt((found), (expected) + 60000);                                                                 \
    } while (0)

START_TEST(nothing_waits)
{
    struct queue_figures f;
    struct queue_place v[3];

    queue_figures(&bare, &f);
    ck_assert_uint_eq(f.messages, 0);
    ck_assert_uint_eq(f.held, 0);
    ck_assert_int_eq(f.oldest_age_ms, 0);
    ck_assert_uint_eq(queue_places(&bare, v, 3), 0);
}
END_TEST

START_TEST(held_ones_count_once_and_are_not_old)
{
    struct queue_figures f;
    struct queue_place v[3];

    add("a.test", 1000000, 500, 1);
    bare.length += 2;
    schedule_hold(&bare.schedule, entry_of("b.test", 90000000, 0, 2));
    schedule_hold(&bare.schedule, entry_of("c.test", 90000000, 0, 2));
    schedule_hold(&bare.schedule, entry_of("b.test", 90000000, 0, 3));
    queue_figures(&bare, &f);
    ck_assert_uint_eq(f.messages, 3);
    ck_assert_uint_eq(f.held, 2);
    ck_assert_about(f.oldest_age_ms, 1000000);
    ck_assert_uint_eq(queue_places(&bare, v, 3), 1);
    ck_assert_str_eq(v[0].domain, "a.test");
}
END_TEST

/* An item that is being sent is waiting for that, and its next attempt is now. */
START_TEST(lent_ones_are_counted)
{
    struct item item = {.entry = entry_of("out.test", 7000000, 3600000, 9)};
    struct queue_figures f;
    struct queue_place v[3];

    add("a.test", 1000000, 7200000, 1);
    bare.out = &item;
    queue_figures(&bare, &f);
    ck_assert_about(f.oldest_age_ms, 7000000);
    ck_assert_uint_eq(queue_places(&bare, v, 3), 2);
    ck_assert_str_eq(v[0].domain, "out.test");
    ck_assert_int_eq(v[0].next_ms, 0);
    ck_assert_int_gt(v[1].next_ms, 3600000);
    free(item.entry);
}
END_TEST

/* Many domains, in any order of coming: the oldest few, in order, each with all of its messages. */
START_TEST(the_oldest_domains_come_first)
{
    enum { DOMAINS = 50, EACH = 20, SHOWN = 7 };
    struct queue_place v[SHOWN];
    uint32_t x = (uint32_t)_i;
    char name[32];

    for (int i = 0; i < DOMAINS * EACH; i++) {
        x = x * 1664525 + 1013904223;
        int domain = (int)(x >> 8) % DOMAINS;
        snprintf(name, sizeof(name), "d%d.test", domain);
        add(name, (int64_t)(domain + 1) * 1000000 + (x & 1 ? 0 : -500000), (int64_t)domain * 100000, i);
    }
    for (int d = 0; d < DOMAINS; d++) { /* each surely once at its age, a place to go later */
        snprintf(name, sizeof(name), "d%d.test", d);
        add(name, (int64_t)(d + 1) * 1000000, 86400000, DOMAINS * EACH + d);
    }
    size_t counts[DOMAINS] = {0};
    for (size_t i = 0; i < bare.schedule.n; i++)
        counts[atoi(bare.schedule.heap[i]->domain + 1)]++;

    ck_assert_uint_eq(queue_places(&bare, v, SHOWN), SHOWN);
    for (int i = 0; i < SHOWN; i++) {
        int domain = DOMAINS - 1 - i;
        snprintf(name, sizeof(name), "d%d.test", domain);
        ck_assert_str_eq(v[i].domain, name);
        ck_assert_about(v[i].oldest_age_ms, (int64_t)(domain + 1) * 1000000);
        ck_assert_uint_eq(v[i].messages, counts[domain]);
        ck_assert_int_le(v[i].next_ms, counts[domain] == 1 ? 86400000 : (int64_t)domain * 100000);
    }
}
END_TEST

START_TEST(there_are_fewer_than_asked_for)
{
    struct queue_place v[100];

    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "d%d.test", i);
        add(name, 1000, 0, i);
        ck_assert_uint_eq(queue_places(&bare, v, 100), i < 32 ? (size_t)i + 1 : 32);
    }
    ck_assert_uint_eq(queue_places(&bare, v, 0), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue figures");
    TCase *tc = tcase_create("figures");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nothing_waits);
    tcase_add_test(tc, held_ones_count_once_and_are_not_old);
    tcase_add_test(tc, lent_ones_are_counted);
    tcase_add_loop_test(tc, the_oldest_domains_come_first, 0, 20);
    tcase_add_test(tc, there_are_fewer_than_asked_for);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
