/* Header fields: what is one, what is refused, and that every octet is kept. */
#include "testing.h"

#include "sendas/message.h"

static struct arena arena;

static void setup(void)
{
    arena = ARENA_INIT(4 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(&arena);
}

/* reason NULL: accepted, with n fields */
static const struct {
    struct slice header;
    size_t n;
    const char *reason;
} header_rows[] = {
    {SLICE(""), 0, NULL},
    {SLICE("From: a@b\r\n"), 1, NULL},
    {SLICE("From:a@b\r\nTo:\r\n c@d\r\n\tx\r\nSubject: \r\n"), 3, NULL},
    {SLICE("Subject:\r\n"), 1, NULL},
    {SLICE("X!#$%&'*+/=?^`{|}~;: odd but legal\r\n"), 1, NULL},
    {SLICE("Subject: caf\xe9 \x01 raw octets stay\r\n"), 1, NULL},
    {SLICE("From : a@b\r\n"), 0, "header line 1: white space in or behind the field name"},
    {SLICE("From\t: a@b\r\n"), 0, "header line 1: white space in or behind the field name"},
    {SLICE("X: y\r\nFrom\r\n : a@b\r\n"), 0, "header line 2: no header field: there is no colon"},
    {SLICE(" From: a@b\r\n"), 0, "header line 1: the header begins with white space"},
    {SLICE("\tX\r\nFrom: a@b\r\n"), 0, "header line 1: the header begins with white space"},
    {SLICE(": a@b\r\n"), 0, "header line 1: a header field without a name"},
    {SLICE("From a@b Sat Nov 21 10:00:00 2026\r\nFrom: a@b\r\n"), 0,
     "header line 1: white space in or behind the field name"},
    {SLICE("From\xc2\xa0: a@b\r\n"), 0, "header line 1: an octet in the field name that may not stand there"},
    {SLICE("From\x7f: a@b\r\n"), 0, "header line 1: an octet in the field name that may not stand there"},
    {SLICE("From\x01: a@b\r\n"), 0, "header line 1: an octet in the field name that may not stand there"},
    {SLICE("no field\r\n"), 0, "header line 1: no header field: there is no colon"},
    {SLICE("X: y\r\n\r\nZ: y\r\n"), 0, "header line 2: an empty line inside the header"},
    {SLICE("\r\n"), 0, "header line 1: an empty line inside the header"},
    {SLICE("X: y\r\n \r\n z\r\n"), 0, "header line 2: a folded line of white space only"},
    {SLICE("X:\r\n\t \t\r\nY: z\r\n"), 0, "header line 2: a folded line of white space only"},
    {SLICE("X: y"), 0, "header line 1: the line does not end"},
    {SLICE("X: y\r"), 0, "header line 1: a bare CR"},
    {SLICE("X: y\rFrom: a@b\r\n"), 0, "header line 1: a bare CR"},
    {SLICE("X: y\r\r\n"), 0, "header line 1: a bare CR"},
    {SLICE("X: y\nFrom: a@b\r\n"), 0, "header line 1: a bare LF"},
    {SLICE("X: y\r\n\nFrom: a@b\r\n"), 0, "header line 2: a bare LF"},
    {SLICE("X: y\0z\r\n"), 0, "header line 1: a NUL octet"},
    {SLICE("Fr\0om: z\r\n"), 0, "header line 1: a NUL octet"},
};

START_TEST(test_fields_parse)
{
    struct field_list list = {0};
    struct err err = {0};
    int rc = fields_parse(&arena, header_rows[_i].header, &list, &err);
    const char *reason = header_rows[_i].reason;
    ck_assert_msg(rc == (reason == NULL ? 0 : -1), "row %d: %d, %s", _i, rc, err.text);
    ck_assert_str_eq(err.text, reason == NULL ? "" : reason);
    ck_assert_uint_eq(list.n, header_rows[_i].n);
    struct strbuf raw = STRBUF_INIT, parts = STRBUF_INIT;
    for (size_t i = 0; i < list.n; i++) {
        strbuf_add_slice(&raw, list.v[i].raw);
        strbuf_add_slice(&parts, list.v[i].name);
        strbuf_add_char(&parts, ':');
        strbuf_add_slice(&parts, list.v[i].value);
        strbuf_add_str(&parts, "\r\n");
    }
    ck_assert(reason != NULL || slice_eq(strbuf_slice(&raw), header_rows[_i].header));
    ck_assert(reason != NULL || slice_eq(strbuf_slice(&parts), header_rows[_i].header));
    strbuf_free(&raw);
    strbuf_free(&parts);
}
END_TEST

START_TEST(test_fields_bound)
{
    struct strbuf header = STRBUF_INIT;
    struct field_list list;
    struct err err;
    for (int i = 0; i < MESSAGE_FIELDS_MAX; i++)
        strbuf_add_str(&header, "X: y\r\n z\r\n"); /* a folded line is no field */
    ck_assert_int_eq(fields_parse(&arena, strbuf_slice(&header), &list, &err), 0);
    ck_assert_uint_eq(list.n, MESSAGE_FIELDS_MAX);
    strbuf_add_str(&header, "X: y\r\n");
    ck_assert_int_eq(fields_parse(&arena, strbuf_slice(&header), &list, &err), -1);
    ck_assert_str_eq(err.text, "more than 1000 header fields");
    strbuf_free(&header);
}
END_TEST

START_TEST(test_fields_no_memory)
{
    struct arena small = ARENA_INIT(1);
    struct field_list list;
    ck_assert_int_eq(fields_parse(&small, SLICE("X: y\r\n"), &list, NULL), MESSAGE_NO_MEMORY);
    struct field f = {SLICE("X"), SLICE(" y"), SLICE("X: y\r\n")};
    ck_assert_ptr_null(field_unfold(&small, &f).p);
    arena_free(&small);
}
END_TEST

START_TEST(test_fields_find)
{
    struct field_list list;
    struct slice header = SLICE("Received: 1\r\nfrom: a@b\r\nRECEIVED: 2\r\nReceive: 3\r\n");
    ck_assert_int_eq(fields_parse(&arena, header, &list, NULL), 0);
    ck_assert_uint_eq(fields_count(&list, SLICE("Received")), 2);
    ck_assert_uint_eq(fields_count(&list, SLICE("From")), 1);
    ck_assert_uint_eq(fields_count(&list, SLICE("Fro")), 0);
    ck_assert_slice_eq(fields_get(&list, SLICE("received"), 0)->value, " 1");
    ck_assert_slice_eq(fields_get(&list, SLICE("received"), 1)->value, " 2");
    ck_assert_ptr_null(fields_get(&list, SLICE("received"), 2));
    ck_assert_ptr_null(fields_get(&list, SLICE("To"), 0));
}
END_TEST

static const struct {
    struct slice header;
    const char *value;
} unfold_rows[] = {
    {SLICE("X: y\r\n"), "y"},
    {SLICE("X:\r\n"), ""},
    {SLICE("X: \t \r\n"), ""},
    {SLICE("X:y  \r\n"), "y"},
    {SLICE("X:\r\n y\r\n"), "y"},
    {SLICE("X: a\r\n b\r\n\tc \r\n"), "a b\tc"},
    {SLICE("X: a \r\n  b\r\n"), "a   b"},
};

START_TEST(test_field_unfold)
{
    struct field_list list;
    ck_assert_int_eq(fields_parse(&arena, unfold_rows[_i].header, &list, NULL), 0);
    ck_assert_uint_eq(list.n, 1);
    struct slice value = field_unfold(&arena, &list.v[0]);
    ck_assert_ptr_nonnull(value.p);
    ck_assert_slice_eq(value, unfold_rows[_i].value);
}
END_TEST

static Suite *field_suite(void)
{
    Suite *s = suite_create("message/field");
    TCase *tc = tcase_create("field");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_fields_parse, 0, ARRAY_LEN(header_rows));
    tcase_add_test(tc, test_fields_bound);
    tcase_add_test(tc, test_fields_no_memory);
    tcase_add_test(tc, test_fields_find);
    tcase_add_loop_test(tc, test_field_unfold, 0, ARRAY_LEN(unfold_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(field_suite)
