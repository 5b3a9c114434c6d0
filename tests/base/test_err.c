/* Reasons: as they were written, and where one is too long, cut where it can be read. */
#include "testing.h"

#include "sendas/base.h"

#include <string.h>

START_TEST(test_plain)
{
    struct err err;
    ck_assert_int_eq(err_set(&err, "%s: %d", "line", 7), -1);
    ck_assert_str_eq(err.text, "line: 7");
    err_set(&err, "FILE, %s", err.text);
    ck_assert_str_eq(err.text, "FILE, line: 7");
    ck_assert_int_eq(err_set(NULL, "nobody asks"), -1);
}
END_TEST

/* `n` times `piece`, behind `before`: of that, `kept` octets and the mark. */
static const struct {
    const char *before, *piece;
    size_t n, kept;
} cut_rows[] = {
    {"", "a", 512, 505},         {"", "a", 5000, 505},           {"", "\xc3\xbc", 300, 504},
    {"x", "\xc3\xbc", 300, 505}, {"", "\xe3\x81\x82", 200, 504},
};

START_TEST(test_cut)
{
    struct err err;
    struct strbuf text = STRBUF_INIT;
    strbuf_add_str(&text, cut_rows[_i].before);
    for (size_t i = 0; i < cut_rows[_i].n; i++)
        strbuf_add_str(&text, cut_rows[_i].piece);
    err_set(&err, "%s", strbuf_str(&text));
    struct slice got = slice_of(err.text);
    ck_assert_uint_eq(got.n, cut_rows[_i].kept + strlen(" [...]"));
    ck_assert(slice_is_utf8(got));
    ck_assert(slice_starts(strbuf_slice(&text), slice_sub(got, 0, cut_rows[_i].kept)));
    ck_assert_slice_eq(slice_skip(got, cut_rows[_i].kept), " [...]");
    strbuf_free(&text);
}
END_TEST

START_TEST(test_just_fits)
{
    struct err err;
    char text[sizeof(err.text)];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set(&err, "%s", text);
    ck_assert_str_eq(err.text, text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("err");
    TCase *tc = tcase_create("err");
    tcase_add_test(tc, test_plain);
    tcase_add_loop_test(tc, test_cut, 0, ARRAY_LEN(cut_rows));
    tcase_add_test(tc, test_just_fits);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
