/* Slices, strbufs, arenas, errors. */
#include "testing.h"

#include <stdint.h>

#define BYTES(literal) ((struct slice){literal, sizeof(literal) - 1})

START_TEST(cutting)
{
    struct slice head, rest = slice_cut(SLICE("a,b,,c"), ',', &head);
    ck_assert_slice_eq(head, "a");
    ck_assert_slice_eq(rest, "b,,c");
    rest = slice_cut(SLICE("abc"), ',', &head);
    ck_assert_slice_eq(head, "abc");
    ck_assert_uint_eq(rest.n, 0);
    rest = slice_cut(SLICE(",x"), ',', &head);
    ck_assert_uint_eq(head.n, 0);
    ck_assert_slice_eq(rest, "x");
    rest = slice_cut(SLICE("x,"), ',', &head);
    ck_assert_slice_eq(head, "x");
    ck_assert_uint_eq(rest.n, 0);
    ck_assert_slice_eq(slice_sub(SLICE("abcdef"), 2, 3), "cde");
    ck_assert_slice_eq(slice_sub(SLICE("abcdef"), 4, SIZE_MAX), "ef");
    ck_assert_slice_eq(slice_sub(SLICE("abcdef"), SIZE_MAX, SIZE_MAX), "");
    ck_assert_slice_eq(slice_skip(SLICE("abc"), 1), "bc");
    ck_assert_slice_eq(slice_skip(SLICE("abc"), 9), "");
    ck_assert_slice_eq(slice_trim(SLICE(" \t\r\n a b \r\n")), "a b");
    ck_assert_slice_eq(slice_trim(SLICE(" \t ")), "");
}
END_TEST

START_TEST(comparing)
{
    ck_assert(slice_eq(BYTES("a\0b"), BYTES("a\0b")));
    ck_assert(!slice_eq(BYTES("a\0b"), BYTES("a\0c")));
    ck_assert(slice_eq_icase(SLICE("HeLLo@["), SLICE("hEllO@[")));
    ck_assert(!slice_eq_icase(SLICE("["), SLICE("{"))); /* 0x20 apart, but no letters */
    ck_assert(!slice_eq_icase(SLICE("\xC3\x84"), SLICE("\xC3\xA4")));
    ck_assert(slice_starts(SLICE("abc"), SLICE("ab")));
    ck_assert(slice_starts(SLICE("abc"), SLICE("")));
    ck_assert(!slice_starts(SLICE("ab"), SLICE("abc")));
    ck_assert(slice_starts_icase(SLICE("MAIL FROM"), SLICE("mail ")));
    ck_assert(!slice_starts_icase(SLICE("MAI"), SLICE("mail")));
    ck_assert_uint_eq(slice_find(SLICE("abcb"), 'b'), 1);
    ck_assert_uint_eq(slice_find(SLICE("abc"), 'x'), 3);
    ck_assert_uint_eq(slice_find_slice(SLICE("a--b---"), SLICE("---")), 4);
    ck_assert_uint_eq(slice_find_slice(SLICE("abc"), SLICE("abcd")), 3);
    ck_assert_uint_eq(slice_find_slice(SLICE("abc"), SLICE("")), 0);
    ck_assert_uint_eq(slice_find_slice(SLICE("\r\ra\r\nb\r\n"), SLICE("\r\n")), 3);
    ck_assert_uint_eq(slice_find_slice(SLICE("\r\r\n"), SLICE("\r\n")), 1);
    ck_assert_uint_eq(slice_find_slice(SLICE("a\n\r"), SLICE("\r\n")), 3);
    ck_assert_uint_eq(slice_find_slice(SLICE("\r"), SLICE("\r\n")), 1);
}
END_TEST

/* Nothing of this may touch the pointer; UBSan would tell. */
START_TEST(null_slice)
{
    struct slice none = slice_of(NULL), head;
    ck_assert_ptr_null(none.p);
    ck_assert(slice_eq(none, SLICE("")));
    ck_assert(slice_starts(none, none));
    ck_assert_uint_eq(slice_find(none, 'x'), 0);
    ck_assert_uint_eq(slice_find_slice(none, SLICE("x")), 0);
    ck_assert_uint_eq(slice_find_slice(none, SLICE("xy")), 0);
    ck_assert_uint_eq(slice_trim(none).n, 0);
    ck_assert_uint_eq(slice_sub(none, 1, 1).n, 0);
    ck_assert_uint_eq(slice_cut(none, 'x', &head).n, 0);
    ck_assert(slice_is_ascii(none) && slice_is_utf8(none));
}
END_TEST

static const struct {
    const char *text;
    size_t n;
    bool ok;
} utf8_rows[] = {
#define ROW(literal, good)                                                                                             \
    {                                                                                                                  \
        literal, sizeof(literal) - 1, good                                                                             \
    }
    ROW("", true),
    ROW("plain\x7f\x01", true),
    ROW("a\0b", true),
    ROW("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x92\xA9", true),
    ROW("\xED\x9F\xBF\xEE\x80\x80", true), /* around the surrogates */
    ROW("\xF4\x8F\xBF\xBF", true),         /* U+10FFFF */
    ROW("\xF4\x90\x80\x80", false),        /* one more */
    ROW("\xED\xA0\x80", false),            /* a surrogate */
    ROW("\xC0\xAF", false),                /* overlong */
    ROW("\xC1\xBF", false),                /* overlong */
    ROW("\xE0\x9F\xBF", false),            /* overlong */
    ROW("\xF0\x8F\xBF\xBF", false),        /* overlong */
    ROW("\x80", false),                    /* a tail alone */
    ROW("\xC3", false),                    /* cut */
    ROW("\xE2\x82", false),                /* cut */
    ROW("\xF0\x9F\x92", false),            /* cut */
    ROW("\xE2\x28\xA1", false),            /* no tail */
    ROW("\xF0\x9F\x28\xA9", false),        /* no tail */
    ROW("\xF5\x80\x80\x80", false),        /* no head */
    ROW("\xFF", false),                    /* no head */
#undef ROW
};

START_TEST(utf8)
{
    struct slice s = slice_from(utf8_rows[_i].text, utf8_rows[_i].n);
    ck_assert_msg(slice_is_utf8(s) == utf8_rows[_i].ok, "row %d", _i);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    uint64_t value;
} number_rows[] = {
    {"0", true, 0},
    {"007", true, 7},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"99999999999999999999", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x1", false, 0},
    {"1.5", false, 0},
};

START_TEST(numbers)
{
    uint64_t v = 42;
    int rc = slice_to_u64(slice_of(number_rows[_i].text), &v);
    ck_assert_msg((rc == 0) == number_rows[_i].ok, "row \"%s\"", number_rows[_i].text);
    ck_assert_uint_eq(v, number_rows[_i].ok ? number_rows[_i].value : 42);
}
END_TEST

START_TEST(strbuf_grows)
{
    struct strbuf b = STRBUF_INIT;
    ck_assert_str_eq(strbuf_str(&b), "");
    strbuf_addf(&b, "%s", "");
    ck_assert_uint_eq(b.n, 0);
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&b, "%d,", i);
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    ck_assert(slice_starts(strbuf_slice(&b), SLICE("0,1,2,")));
    ck_assert_str_eq(strbuf_str(&b) + b.n - 8, "998,999,");
    strbuf_truncate(&b, 3);
    strbuf_truncate(&b, 100);
    ck_assert_str_eq(strbuf_str(&b), "0,1");
    strbuf_add(&b, "\0x", 2);
    strbuf_add(&b, NULL, 0);
    ck_assert_uint_eq(b.n, 5);
    strbuf_reset(&b);
    ck_assert_str_eq(strbuf_str(&b), "");
    strbuf_free(&b);
    ck_assert_ptr_null(b.p);
}
END_TEST

START_TEST(strbuf_bound)
{
    struct strbuf b = {.max = 10};
    strbuf_add_str(&b, "12345");
    strbuf_addf(&b, "%s", "67890");
    ck_assert(!b.failed);
    strbuf_add_char(&b, 'x');
    ck_assert(b.failed);
    ck_assert_str_eq(strbuf_str(&b), "1234567890");
    strbuf_truncate(&b, 0);
    strbuf_add_str(&b, "y"); /* the first failure sticks */
    ck_assert_uint_eq(b.n, 0);
    strbuf_reset(&b);
    strbuf_addf(&b, "%s", "12345678901");
    ck_assert(b.failed);
    ck_assert_str_eq(strbuf_str(&b), "");
    strbuf_reset(&b);
    strbuf_add_str(&b, "y");
    ck_assert_str_eq(strbuf_str(&b), "y");
    strbuf_free(&b);
    ck_assert_uint_eq(b.max, 10);
}
END_TEST

/* A length that no address space has is a failure, not an overflow. */
START_TEST(strbuf_huge)
{
    struct strbuf b = STRBUF_INIT;
    strbuf_add(&b, "x", 1);
    strbuf_add(&b, "x", SIZE_MAX);
    ck_assert(b.failed);
    ck_assert_str_eq(strbuf_str(&b), "x");
    strbuf_free(&b);
}
END_TEST

START_TEST(arena_bounds)
{
    struct arena a = ARENA_INIT(10000);
    char *p[20];
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        p[i] = arena_alloc(&a, 1 + i * 7);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < 1 + i * 7; k++)
            ck_assert_int_eq(p[i][k], 0);
        memset(p[i], (int)i + 1, 1 + i * 7);
    }
    char *large = arena_alloc(&a, 6000); /* its own chunk */
    ck_assert_ptr_nonnull(large);
    memset(large, 99, 6000);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        ck_assert_int_eq(p[i][i * 7], (int)i + 1);
    ck_assert_ptr_null(arena_alloc(&a, 6000));
    ck_assert_ptr_nonnull(arena_alloc(&a, 16)); /* a refusal is no end */
    ck_assert_uint_le(a.used, 10000);
    arena_free(&a);
    ck_assert_uint_eq(a.used, 0);
    ck_assert_ptr_nonnull(arena_alloc(&a, 9984));
    arena_free(&a);
}
END_TEST

START_TEST(arena_overflow)
{
    struct arena a = ARENA_INIT(0);
    ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 8));
    ck_assert_ptr_null(arena_alloc_array(&a, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(arena_strdup(&a, (struct slice){"x", SIZE_MAX}));
    ck_assert_ptr_nonnull(arena_alloc(&a, 0));
    ck_assert_str_eq(arena_strdup(&a, slice_sub(SLICE("hello"), 0, 4)), "hell");
    ck_assert_slice_eq(arena_copy(&a, SLICE("copy")), "copy");
    ck_assert_ptr_nonnull(arena_copy(&a, slice_of(NULL)).p);
    arena_free(&a);
}
END_TEST

START_TEST(errors)
{
    struct err err;
    ck_assert_int_eq(err_set(&err, "%s %d", "one", 1), -1);
    ck_assert_str_eq(err.text, "one 1");
    err_set(&err, "outer: %s", err.text); /* its own text */
    ck_assert_str_eq(err.text, "outer: one 1");
    ck_assert_int_eq(err_set(NULL, "%s", "nobody listens"), -1);
    char huge[2000];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    err_set(&err, "%s", huge);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("slice");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, cutting);
    tcase_add_test(tc, comparing);
    tcase_add_test(tc, null_slice);
    tcase_add_loop_test(tc, utf8, 0, ARRAY_LEN(utf8_rows));
    tcase_add_loop_test(tc, numbers, 0, ARRAY_LEN(number_rows));
    tcase_add_test(tc, strbuf_grows);
    tcase_add_test(tc, strbuf_bound);
    tcase_add_test(tc, strbuf_huge);
    tcase_add_test(tc, arena_bounds);
    tcase_add_test(tc, arena_overflow);
    tcase_add_test(tc, errors);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
