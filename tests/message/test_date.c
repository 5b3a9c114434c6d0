/* Dates and message identifiers. */
#include "testing.h"

#include "sendas/message.h"

static const struct {
    time_t when;
    const char *text;
} date_rows[] = {
    {0, "Thu, 1 Jan 1970 00:00:00 +0000"},
    {1795255200, "Sat, 21 Nov 2026 10:00:00 +0000"},
    {951827696, "Tue, 29 Feb 2000 12:34:56 +0000"},
    {-1, "Wed, 31 Dec 1969 23:59:59 +0000"},
    {2147483648, "Tue, 19 Jan 2038 03:14:08 +0000"},
    {253402300799, "Fri, 31 Dec 9999 23:59:59 +0000"},
    {253402300800, "Thu, 1 Jan 1970 00:00:00 +0000"}, /* no year of five digits */
    {-2208988800, "Mon, 1 Jan 1900 00:00:00 +0000"},
    {-2208988801, "Thu, 1 Jan 1970 00:00:00 +0000"}, /* RFC 5322 3.3: not before 1900 */
    {INT64_MAX, "Thu, 1 Jan 1970 00:00:00 +0000"},
    {INT64_MIN, "Thu, 1 Jan 1970 00:00:00 +0000"},
};

START_TEST(test_date_format)
{
    char out[DATE_SIZE];
    setenv("TZ", "America/New_York", 1); /* the result is UTC wherever we are */
    date_format(date_rows[_i].when, out);
    ck_assert_str_eq(out, date_rows[_i].text);
}
END_TEST

START_TEST(test_message_id)
{
    struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;
    strbuf_add_str(&first, "Message-ID: ");
    ck_assert_int_eq(message_id_new(&first, "example.com"), 0);
    ck_assert_int_eq(message_id_new(&second, "example.com"), 0);
    struct slice id = slice_skip(strbuf_slice(&first), strlen("Message-ID: "));
    ck_assert(!slice_eq(id, strbuf_slice(&second)));
    ck_assert(slice_starts(id, SLICE("<")));
    ck_assert_uint_eq(slice_find(id, '@'), 27);
    ck_assert_slice_eq(slice_skip(id, 27), "@example.com>");
    /* what it makes is an addr-spec between angle brackets, which every reader of msg-id takes */
    struct arena a = ARENA_INIT(0);
    struct mailbox_list list;
    ck_assert_int_eq(mailbox_list_parse(&a, id, ADDRESS_ONE, &list, NULL), 0);
    arena_free(&a);
    strbuf_free(&first);
    strbuf_free(&second);
}
END_TEST

static Suite *date_suite(void)
{
    Suite *s = suite_create("message/date");
    TCase *tc = tcase_create("date");
    tcase_add_loop_test(tc, test_date_format, 0, ARRAY_LEN(date_rows));
    tcase_add_test(tc, test_message_id);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(date_suite)
