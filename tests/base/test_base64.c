/* Base64 (RFC 4648 4), random names. */
#include "testing.h"

#include <ctype.h>
#include <openssl/evp.h>

static const struct {
    const char *plain;
    size_t n;
    const char *encoded;
} pairs[] = {
    /* RFC 4648 10 */
    {"", 0, ""},
    {"f", 1, "Zg=="},
    {"fo", 2, "Zm8="},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg=="},
    {"fooba", 5, "Zm9vYmE="},
    {"foobar", 6, "Zm9vYmFy"},
    {"\0user\0pass", 10, "AHVzZXIAcGFzcw=="}, /* SASL PLAIN */
    {"\xFF\xFE\xFD", 3, "//79"},
    {"\xFB\xEF\xBE", 3, "++++"},
};

START_TEST(both_ways)
{
    struct strbuf out = STRBUF_INIT;
    base64_encode(&out, slice_from(pairs[_i].plain, pairs[_i].n));
    ck_assert_str_eq(strbuf_str(&out), pairs[_i].encoded);
    strbuf_reset(&out);
    ck_assert_int_eq(base64_decode(&out, slice_of(pairs[_i].encoded)), 0);
    ck_assert(slice_eq(strbuf_slice(&out), slice_from(pairs[_i].plain, pairs[_i].n)));
    strbuf_free(&out);
}
END_TEST

/* Of every length, by OpenSSL's. */
START_TEST(long_ones)
{
    unsigned char plain[200], want[300];
    for (size_t n = 1; n <= sizeof(plain); n++) {
        struct strbuf text = STRBUF_INIT, back = STRBUF_INIT;
        plain[n - 1] = (unsigned char)(n * 73 + n / 3);
        EVP_EncodeBlock(want, plain, (int)n);
        base64_encode(&text, slice_from(plain, n));
        ck_assert_str_eq(strbuf_str(&text), (char *)want);
        ck_assert_int_eq(base64_decode(&back, strbuf_slice(&text)), 0);
        ck_assert(slice_eq(strbuf_slice(&back), slice_from(plain, n)));
        strbuf_free(&text);
        strbuf_free(&back);
    }
}
END_TEST

/* Every octet in every place of a group: 64 of them are digits. */
START_TEST(every_octet)
{
    char four[] = "AAAA";
    int taken = 0;
    for (int octet = 0; octet < 256; octet++) {
        struct strbuf out = STRBUF_INIT;
        four[_i] = (char)octet;
        bool digit = octet < 128 && (isalnum(octet) || octet == '+' || octet == '/');
        bool padding = _i == 3 && octet == '=';
        ck_assert_msg((base64_decode(&out, slice_from(four, 4)) == 0) == (digit || padding), "%d", octet);
        taken += digit;
        strbuf_free(&out);
    }
    ck_assert_int_eq(taken, 64);
}
END_TEST

static const char *const refused[] = {
    "Zg",    /* no padding */
    "Zg=",   /* half of it */
    "Zg===", /* too much */
    "=",
    "====",
    "Z===",
    "Zg==Zg==", /* amid */
    "Zm=v",
    "Zh==", /* bits that stand for nothing */
    "Zm9=", /* likewise */
    "Zm 9v",
    "Zm9v\n",
    "Zm9v\r\n",
    " Zm9v",
    "Zm\t9v", /* white space */
    "Zm9_",
    "Zm9-", /* the other alphabet */
    "Zm9v\x80\x80\x80\x80",
};

START_TEST(strict)
{
    struct strbuf out = STRBUF_INIT;
    strbuf_add_str(&out, "before");
    ck_assert_msg(base64_decode(&out, slice_of(refused[_i])) == -1, "row \"%s\"", refused[_i]);
    ck_assert_str_eq(strbuf_str(&out), "before");
    strbuf_free(&out);
}
END_TEST

START_TEST(nul_inside)
{
    struct strbuf out = STRBUF_INIT;
    ck_assert_int_eq(base64_decode(&out, slice_from("Zm\0v", 4)), -1);
    strbuf_free(&out);
}
END_TEST

START_TEST(random_names)
{
    char a[41], b[41], none[1];
    ck_assert_int_eq(random_name(a, 40), 0);
    ck_assert_int_eq(random_name(b, 40), 0);
    ck_assert_uint_eq(strlen(a), 40);
    ck_assert_str_ne(a, b);
    for (size_t i = 0; i < 40; i++)
        ck_assert_msg((isdigit((unsigned char)a[i]) || isupper((unsigned char)a[i])) && strchr("AEIOU", a[i]) == NULL,
                      "%s", a);
    ck_assert_int_eq(random_name(none, 0), 0);
    ck_assert_str_eq(none, "");
}
END_TEST

START_TEST(wiping)
{
    char secret[8] = "secret";
    wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        ck_assert_int_eq(secret[i], 0);
    wipe(NULL, 0);
    int64_t before = clock_mono_ms();
    ck_assert_int_ge(clock_mono_ms(), before);
    ck_assert_int_gt(clock_wall_ms(), INT64_C(1600000000000));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("base64");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, both_ways, 0, ARRAY_LEN(pairs));
    tcase_add_loop_test(tc, strict, 0, ARRAY_LEN(refused));
    tcase_add_test(tc, long_ones);
    tcase_add_loop_test(tc, every_octet, 0, 4);
    tcase_add_test(tc, nul_inside);
    tcase_add_test(tc, random_names);
    tcase_add_test(tc, wiping);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
