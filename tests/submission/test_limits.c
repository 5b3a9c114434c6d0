/* What all sessions share of client addresses: connections, failed logins. */
#include "testing.h"

#include "../../src/submission/internal.h"

static struct submission_shared *shared;
static struct config *config;

static void set_up(void)
{
    shared = submission_shared_new();
    config = config_defaults();
    ck_assert(shared != NULL && config != NULL);
    config->limits.connections = 6;
    config->limits.connections_per_ip = 2;
    config->limits.auth_failures = 3;
    config->limits.auth_window_s = 600;
}

static void tear_down(void)
{
    submission_shared_free(&shared);
    config_free(&config);
}

static bool opens(const char *ip, int64_t now_s)
{
    struct smtp_verdict v = {0};
    bool ok = submission_address_admitted(shared, config, ip, now_s * 1000, &v) == 0 &&
              submission_connection_opened(shared, config, ip, now_s * 1000, &v) == 0;
    if (!ok) {
        ck_assert_int_eq(v.code, 421);
        ck_assert_str_eq(v.enhanced, "4.7.0");
    }
    return ok;
}

static bool fails(const char *ip, int64_t now_s)
{
    return limits_login_failed(shared, ip, now_s * 1000, config);
}

START_TEST(test_connections_per_address)
{
    ck_assert(opens("192.0.2.1", 1));
    ck_assert(opens("::ffff:192.0.2.1", 1)); /* the same address on a dual-stack socket */
    ck_assert(!opens("192.0.2.1", 1));
    ck_assert(opens("192.0.2.2", 1));
    submission_connection_closed(shared, "192.0.2.1");
    ck_assert(opens("192.0.2.1", 1));
    ck_assert(!opens("192.0.2.1", 1));
    ck_assert_uint_eq(submission_connections(shared), 3);
}
END_TEST

START_TEST(test_connections_per_network)
{
    ck_assert(opens("2001:db8::1", 1));
    ck_assert(opens("2001:db8:0:0:ffff::2", 1));
    ck_assert(!opens("2001:db8::3", 1));    /* the same /64 */
    ck_assert(opens("2001:db8:0:1::3", 1)); /* the next */
    ck_assert(opens("fe80::1%lo", 1));
    submission_connection_closed(shared, "2001:db8::1");
    ck_assert(opens("2001:db8::3", 1));
}
END_TEST

START_TEST(test_connections_in_all)
{
    static const char *const ips[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"};
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        ck_assert(opens(ips[i], 1));
    ck_assert(!opens("192.0.2.7", 1));
    submission_connection_closed(shared, "192.0.2.9"); /* never opened: nothing happens */
    ck_assert(!opens("192.0.2.7", 1));
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        submission_connection_closed(shared, ips[i]);
    ck_assert_uint_eq(submission_connections(shared), 0);
    ck_assert(opens("192.0.2.7", 1));
}
END_TEST

START_TEST(test_lock_out)
{
    ck_assert(!fails("192.0.2.1", 0));
    ck_assert(!fails("192.0.2.1", 100));
    ck_assert(fails("192.0.2.1", 200));
    ck_assert(limits_locked_out(shared, "192.0.2.1", 200000, config));
    ck_assert(!opens("192.0.2.1", 201));
    ck_assert(opens("192.0.2.2", 201)); /* the owner elsewhere */
    ck_assert(!opens("192.0.2.1", 799));
    ck_assert(opens("192.0.2.1", 800)); /* the window began anew with the last failure */
}
END_TEST

START_TEST(test_failures_decay)
{
    ck_assert(!fails("192.0.2.1", 0));
    ck_assert(!fails("192.0.2.1", 599));
    ck_assert(!fails("192.0.2.1", 600)); /* a new window */
    ck_assert(!fails("192.0.2.1", 601));
    ck_assert(fails("192.0.2.1", 602));
}
END_TEST

START_TEST(test_failures_outlive_the_connection)
{
    ck_assert(opens("192.0.2.1", 0));
    ck_assert(!fails("192.0.2.1", 1));
    submission_connection_closed(shared, "192.0.2.1");
    ck_assert(opens("192.0.2.1", 2));
    ck_assert(!fails("192.0.2.1", 3));
    submission_connection_closed(shared, "192.0.2.1");
    ck_assert(fails("192.0.2.1", 4));
    ck_assert(!opens("192.0.2.1", 5));
}
END_TEST

START_TEST(test_many_addresses)
{
    char ip[40];
    /* An attacker with a /32 fills the table: old entries go, new ones still count. */
    for (unsigned i = 0; i < 70000; i++) {
        snprintf(ip, sizeof(ip), "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        fails(ip, 1);
    }
    ck_assert(!fails("192.0.2.1", 2));
    ck_assert(!fails("192.0.2.1", 2));
    ck_assert(fails("192.0.2.1", 2));
    ck_assert(!opens("192.0.2.1", 3));
    ck_assert(opens("2001:db8:0:1::1", 700));
}
END_TEST

static Suite *limits_suite(void)
{
    Suite *suite = suite_create("limits");
    TCase *tc = tcase_create("limits");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_connections_per_address);
    tcase_add_test(tc, test_connections_per_network);
    tcase_add_test(tc, test_connections_in_all);
    tcase_add_test(tc, test_lock_out);
    tcase_add_test(tc, test_failures_decay);
    tcase_add_test(tc, test_failures_outlive_the_connection);
    tcase_add_test(tc, test_many_addresses);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(limits_suite)
