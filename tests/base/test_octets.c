/* Octets sixteen at a time give what one at a time gives. */
#include "testing.h"

START_TEST(test_octets)
{
    unsigned seed = (unsigned)_i + 1;
    char text[OCTETS + 1];
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)(rand_r(&seed) % (_i % 2 == 0 ? 4 : 256) + (_i % 3 == 0 ? 0 : 126));
        for (unsigned octet = 0; octet < 256; octet++) {
            unsigned at = 0;
            while (at < OCTETS && text[1 + at] != (char)octet)
                at++;
            ck_assert_uint_eq(octets_before(octets_eq(octets_at(text + 1), (char)octet)), at);
        }
        unsigned high = 0;
        while (high < OCTETS && (unsigned char)text[high] < 0x80)
            high++;
        ck_assert_uint_eq(octets_before(octets_at(text)), high);
    }
}
END_TEST

static Suite *octets_suite(void)
{
    Suite *suite = suite_create("octets");
    TCase *tc = tcase_create("octets");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_octets, 0, 6);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(octets_suite)
