/* How many DSNs a user may cause in an hour. */
#include "testing.h"

#include "../../src/delivery/dsn_limit.h"

enum { HOUR = 3600 * 1000 };

static unsigned take(struct dsn_limit *l, const char *user, unsigned per_hour, unsigned n, int64_t now_ms)
{
    unsigned got = 0;
    for (unsigned i = 0; i < n; i++)
        got += dsn_limit_take(l, user, per_hour, now_ms);
    return got;
}

START_TEST(test_hour)
{
    struct dsn_limit *l = dsn_limit_new();
    ck_assert_uint_eq(take(l, "ann", 100, 150, 1000), 100);
    ck_assert_uint_eq(take(l, "bob", 100, 10, 1000), 10);              /* another's room is another's */
    ck_assert_uint_eq(take(l, "ann", 100, 150, 1000 + HOUR / 10), 10); /* it comes back bit by bit */
    ck_assert_uint_eq(take(l, "ann", 100, 150, 1000 + 3 * HOUR), 100); /* and never more than an hour's */
    dsn_limit_free(&l);
    ck_assert_ptr_null(l);
    dsn_limit_free(&l);
}
END_TEST

START_TEST(test_bounds)
{
    struct dsn_limit *l = dsn_limit_new();
    ck_assert_uint_eq(take(l, "", 0, 1000, 0), 1000); /* no limit */
    ck_assert_uint_eq(take(l, "", 1, 5, 0), 1);
    ck_assert_uint_eq(take(l, "x", 100000000, 5, 0), 5);
    for (int i = 0; i < 5000; i++) { /* those whose room is free again are forgotten */
        char user[16];
        snprintf(user, sizeof(user), "%d", i);
        ck_assert_uint_eq(take(l, user, 2, 3, (int64_t)i * HOUR), 2);
    }
    dsn_limit_free(&l);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery dsn limit");
    TCase *tc = tcase_create("limit");
    tcase_add_test(tc, test_hour);
    tcase_add_test(tc, test_bounds);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
