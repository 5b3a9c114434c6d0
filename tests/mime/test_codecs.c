/* Quoted-printable and base64: the rules of RFC 2045 6.7 and 6.8, one a row. */
#include "testing.h"

#include "sendas/mime.h"

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10

static const struct {
    bool text, at_end;
    const char *in, *out;
} encode_rows[] = {
    {true, true, "", ""},
    {true, true, "plain text\r\n", "plain text\r\n"},
    {true, true, "Gr\xc3\xbc\xc3\x9f\x65 = 1\r\n", "Gr=C3=BC=C3=9Fe =3D 1\r\n"},
    {true, true, "blank \r\ntab\t\r\n \r\n", "blank=20\r\ntab=09\r\n=20\r\n"}, /* 6.7 (3) */
    {true, false, "blank ", "blank=20"},
    {true, true, "no line end", "no line end=\r\n"},
    {true, false, "no line end", "no line end"},
    {true, true, "\r\n\r\n", "\r\n\r\n"},
    {true, true, "bare\rCR and\nLF\r\n", "bare=0DCR and=0ALF\r\n"},
    {true, true, "CR at the end\r", "CR at the end=0D=\r\n"},
    {false, true, "data\r\n", "data=0D=0A=\r\n"},     /* 6.7 (4) */
    {true, true, X70 "123456\r\n", X70 "123456\r\n"}, /* 6.7 (5): 76 octets */
    {true, true, X70 "1234567\r\n", X70 "12345=\r\n67\r\n"},
    {true, true, X70 "1234\xff\r\n", X70 "1234=\r\n=FF\r\n"},
    {true, true, X70 "123\xff\r\n", X70 "123=FF\r\n"},
    {true, true, X70 "123\xff.\r\n", X70 "123=\r\n=FF.\r\n"},
    {true, true, X70 "12345 \r\n", X70 "12345=\r\n=20\r\n"},
    {true, true, X70 "123456.\r\n", X70 "12345=\r\n6.\r\n"},
    {true, true, X70 "12345..\r\n", X70 "12345=\r\n..\r\n"},
    {true, true, "From me\r\n>From me\r\nFrom\r\n", "=46rom me\r\n>From me\r\nFrom\r\n"}, /* RFC 2049 3 */
    {true, true, ".\r\n..\r\n.\r\n", "=2E\r\n..\r\n=2E\r\n"},
    {true, true, X70 "12345--boundary\r\n", X70 "12345=\r\n=2D-boundary\r\n"}, /* no boundary is made */
    {true, true, "-- \r\n--boundary\r\n", "--=20\r\n--boundary\r\n"},
};

START_TEST(test_encode)
{
    struct slice in = slice_of(encode_rows[_i].in);
    for (size_t chunk = 1; chunk <= in.n + 1; chunk++) {
        struct mime_qp_encoder e = {.text = encode_rows[_i].text};
        struct strbuf out = STRBUF_INIT;
        for (size_t i = 0; i < in.n; i += chunk)
            mime_qp_encode(&e, slice_sub(in, i, chunk), &out);
        mime_qp_encode_end(&e, encode_rows[_i].at_end, &out);
        ck_assert_slice_eq(strbuf_slice(&out), encode_rows[_i].out);
        strbuf_free(&out);
    }
}
END_TEST

static const struct {
    const char *in, *out; /* NULL: it has no one meaning */
} decode_rows[] = {
    {"", ""},
    {"a=C3=bC=\r\nb\r\n", "a\xc3\xbc\x62\r\n"},
    {"soft=  \t\r\nbreak", "softbreak"},
    {"padding  \t\r\n  kept", "padding\r\n  kept"},
    {"ends in padding  ", "ends in padding"},
    {"ends in a soft break=", "ends in a soft break"},
    {"8-bit \xc3\xbc", "8-bit \xc3\xbc"},
    {"=0D=0A", "\r\n"},
    {"a=b", NULL},
    {"a=ZZ", NULL},
    {"a= b", NULL},
    {"a=4", NULL},
    {"bare\rCR", NULL},
    {"bare\nLF", NULL},
    {"ends in CR\r", NULL},
    {"=\r", NULL},
};

START_TEST(test_decode)
{
    struct slice in = slice_of(decode_rows[_i].in);
    for (size_t chunk = 1; chunk <= in.n + 1; chunk++) {
        struct mime_qp_decoder d = {0};
        struct strbuf out = STRBUF_INIT;
        for (size_t i = 0; i < in.n; i += chunk)
            mime_qp_decode(&d, slice_sub(in, i, chunk), &out);
        ck_assert_msg((mime_qp_decode_end(&d) == 0) == (decode_rows[_i].out != NULL), "row \"%s\"", in.p);
        if (decode_rows[_i].out != NULL)
            ck_assert_slice_eq(strbuf_slice(&out), decode_rows[_i].out);
        strbuf_free(&out);
    }
}
END_TEST

START_TEST(test_decode_blanks)
{
    struct mime_qp_decoder d = {0};
    struct strbuf out = STRBUF_INIT;
    for (size_t i = 0; i < MIME_BLANKS_MAX; i++)
        ck_assert_int_eq(mime_qp_decode(&d, SLICE(" "), &out), 0);
    ck_assert_uint_eq(out.n, 0);
    struct mime_qp_decoder another = d;
    ck_assert_int_eq(mime_qp_decode(&d, SLICE("x"), &out), 0);
    ck_assert_uint_eq(out.n, MIME_BLANKS_MAX + 1);
    ck_assert_int_eq(mime_qp_decode(&another, SLICE(" "), &out), -1);
    strbuf_free(&out);
}
END_TEST

static const struct {
    const char *in, *out;
} base64_rows[] = {
    {"", ""},
    {"f", "Zg=="}, /* RFC 4648 10 */
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"foobar", "Zm9vYmFy"},
    {X10 X10 X10 X10 X10 "xxxxxxx", /* 57 octets: a full line */
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"},
    {X10 X10 X10 X10 X10 "xxxxxxxx",
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4\r\neA=="},
};

START_TEST(test_base64)
{
    struct slice in = slice_of(base64_rows[_i].in);
    for (size_t chunk = 1; chunk <= in.n + 1; chunk++) {
        struct mime_base64_encoder e = {0};
        struct mime_base64_decoder d = {0};
        struct strbuf out = STRBUF_INIT, back = STRBUF_INIT;
        for (size_t i = 0; i < in.n; i += chunk)
            mime_base64_encode(&e, slice_sub(in, i, chunk), &out);
        mime_base64_encode_end(&e, false, &out);
        ck_assert_slice_eq(strbuf_slice(&out), base64_rows[_i].out);
        ck_assert_uint_eq(out.n, mime_base64_size(in.n));
        for (size_t i = 0; i < out.n; i += chunk)
            mime_base64_decode(&d, slice_sub(strbuf_slice(&out), i, chunk), &back);
        ck_assert_int_eq(mime_base64_decode_end(&d), 0);
        ck_assert(slice_eq(strbuf_slice(&back), in));
        strbuf_free(&out);
        strbuf_free(&back);
    }
}
END_TEST

static const struct {
    const char *in, *out;
} base64_decode_rows[] = {
    {" Z m\r\n9\tv ", "foo"}, {"Zg==\r\n\r\n", "f"}, {"Zh==", "f"},  {"Zg", NULL},   {"Zg=", NULL},
    {"Zg==Zg==", NULL},       {"Z===", NULL},        {"====", NULL}, {"Zg=x", NULL}, {"Zm9v-", NULL},
    {"Zm\xc3", NULL},         {"Z", NULL},
};

START_TEST(test_base64_decode)
{
    struct mime_base64_decoder d = {0};
    struct strbuf out = STRBUF_INIT;
    mime_base64_decode(&d, slice_of(base64_decode_rows[_i].in), &out);
    ck_assert_msg((mime_base64_decode_end(&d) == 0) == (base64_decode_rows[_i].out != NULL), "row \"%s\"",
                  base64_decode_rows[_i].in);
    if (base64_decode_rows[_i].out != NULL)
        ck_assert_slice_eq(strbuf_slice(&out), base64_decode_rows[_i].out);
    strbuf_free(&out);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("codecs");
    TCase *tc = tcase_create("codecs");
    tcase_add_loop_test(tc, test_encode, 0, ARRAY_LEN(encode_rows));
    tcase_add_loop_test(tc, test_decode, 0, ARRAY_LEN(decode_rows));
    tcase_add_test(tc, test_decode_blanks);
    tcase_add_loop_test(tc, test_base64, 0, ARRAY_LEN(base64_rows));
    tcase_add_loop_test(tc, test_base64_decode, 0, ARRAY_LEN(base64_decode_rows));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
