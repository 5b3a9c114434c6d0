/* Which addresses mail is delivered to (RFC 6890). */
#include "testing.h"

#include "sendas/delivery.h"

static const struct {
    const char *address;
    bool allowed, with_private;
} rows[] = {
    {"8.8.8.8", true, true},
    {"1.0.0.0", true, true},
    {"9.255.255.255", true, true},
    {"11.0.0.0", true, true},
    {"0.0.0.0", false, true},
    {"0.1.2.3", false, true},
    {"10.0.0.1", false, true},
    {"10.255.255.255", false, true},
    {"100.63.255.255", true, true},
    {"100.64.0.0", false, true},
    {"100.127.255.255", false, true},
    {"100.128.0.0", true, true},
    {"127.0.0.1", false, true},
    {"127.255.255.255", false, true},
    {"169.254.169.254", false, true}, /* where clouds keep their secrets */
    {"172.15.255.255", true, true},
    {"172.16.0.0", false, true},
    {"172.31.255.255", false, true},
    {"172.32.0.0", true, true},
    {"192.0.0.8", false, true},
    {"192.0.1.0", true, true},
    {"192.0.2.1", true, true}, /* documentation: a laboratory's */
    {"192.88.99.1", false, true},
    {"192.167.255.255", true, true},
    {"192.168.0.1", false, true},
    {"192.169.0.0", true, true},
    {"198.17.255.255", true, true},
    {"198.18.0.0", false, true},
    {"198.19.255.255", false, true},
    {"198.20.0.0", true, true},
    {"223.255.255.255", true, true},
    {"224.0.0.1", false, true},
    {"239.255.255.255", false, true},
    {"240.0.0.1", false, true},
    {"255.255.255.255", false, true},
    {"2a00:1450:4001::1", true, true},
    {"2001:db8::1", true, true}, /* documentation */
    {"::", false, true},
    {"::1", false, true},
    {"::8.8.8.8", false, true},
    {"::ffff:8.8.8.8", true, true},
    {"::ffff:127.0.0.1", false, true},
    {"::ffff:10.0.0.1", false, true},
    {"64:ff9b::8.8.8.8", true, true},
    {"64:ff9b::10.1.1.1", false, true},
    {"64:ff9b:1::1", false, true},
    {"100::1", false, true},
    {"2001::1", false, true}, /* Teredo */
    {"2001:1ff::1", false, true},
    {"2001:200::1", true, true},
    {"2002:808:808::1", true, true},
    {"2002:a00:1::1", false, true},  /* 6to4 of 10.0.0.1 */
    {"2002:7f00:1::1", false, true}, /* 6to4 of 127.0.0.1 */
    {"1fff:ffff::1", false, true},
    {"2000::1", true, true},
    {"3fff:ffff::1", true, true},
    {"4000::1", false, true},
    {"fc00::1", false, true},
    {"fd12:3456::1", false, true},
    {"fe80::1", false, true},
    {"fec0::1", false, true},
    {"ff02::1", false, true},
    {"", false, false},
    {"mail.example.com", false, false},
    {"127.1", false, false},
    {"0x7f000001", false, false},
    {"2130706433", false, false},
    {"10.0.0.1 ", false, false},
    {"fe80::1%eth0", false, false},
    {"[::1]", false, false},
};

START_TEST(test_allowed)
{
    ck_assert_msg(delivery_address_allowed(rows[_i].address, false) == rows[_i].allowed, "row %s", rows[_i].address);
    ck_assert_msg(delivery_address_allowed(rows[_i].address, true) == rows[_i].with_private, "row %s, private ones too",
                  rows[_i].address);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery address");
    TCase *tc = tcase_create("table");
    tcase_add_loop_test(tc, test_allowed, 0, ARRAY_LEN(rows));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
