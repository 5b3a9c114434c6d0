/* Domain names as A-labels. */
#include "testing.h"

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define L61 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"

static const struct {
    const char *name, *ascii; /* NULL: refused */
} rows[] = {
    {"example.com", "example.com"},
    {"EXAMPLE.Com", "example.com"},
    {"localhost", "localhost"},
    {"a.b-c.d0", "a.b-c.d0"},
    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
    {"xn--ls8h.la", "xn--ls8h.la"},             /* no name of IDNA2008, but one that exists */
    {"r3---sn-x.example", "r3---sn-x.example"}, /* likewise */
    {"bücher.example", "xn--bcher-kva.example"},
    {"BÜCHER.example", "xn--bcher-kva.example"}, /* mapped to lower case */
    {"bu\xCC\x88"
     "cher.example",
     "xn--bcher-kva.example"},                   /* NFC */
    {"straße.example", "xn--strae-oqa.example"}, /* non-transitional: not "strasse" */
    {"ｅｘａｍｐｌｅ.com", "example.com"},       /* full width */
    {"例え。テスト", "xn--r8jz45g.xn--zckzah"},  /* U+3002 is a dot */
    {"müller.xn--ls8h.la", "xn--mller-kva.xn--ls8h.la"},
    {L63 ".com", L63 ".com"},
    {L63 "x.com", NULL},
    {L63 "." L63 "." L63 "." L61, L63 "." L63 "." L63 "." L61}, /* 253 octets */
    {L63 "." L63 "." L63 "." L61 "x", NULL},
    {"", NULL},
    {".", NULL},
    {"example.com.", NULL},
    {".example.com", NULL},
    {"a..b", NULL},
    {"under_score.example", NULL},
    {"_dmarc.example.com", NULL},
    {"-a.example", NULL},
    {"a-.example", NULL},
    {"a b.example", NULL},
    {"a\tb.example", NULL},
    {"a/b.example", NULL},
    {"[192.0.2.1]", NULL},
    {"*.example", NULL},
    {"☃\xff.example", NULL},        /* bad UTF-8 */
    {"\xED\xA0\x80.example", NULL}, /* a surrogate */
    {"💩.example", NULL},            /* IDNA2008 has no symbols */
    {"ü_.example", NULL},           /* the underscore beside a U-label */
    {"ü..example", NULL},
    {"℀.example", NULL}, /* maps to "a/c" */
    {"ü.example.", NULL},
    {"\xE2\x80\x8B.example", NULL}, /* only an ignored character: an empty label */
};

START_TEST(to_ascii)
{
    char out[DOMAIN_MAX + 1] = "untouched";
    struct err err = {""};
    int rc = domain_to_ascii(slice_of(rows[_i].name), out, &err);
    ck_assert_msg((rc == 0) == (rows[_i].ascii != NULL), "row \"%s\": %s %s", rows[_i].name, out, err.text);
    if (rc < 0) {
        ck_assert_msg(err.text[0] != '\0', "row \"%s\"", rows[_i].name);
        return;
    }
    ck_assert_str_eq(out, rows[_i].ascii);
    char again[DOMAIN_MAX + 1];
    ck_assert_int_eq(domain_to_ascii(slice_of(out), again, NULL), 0);
    ck_assert_str_eq(again, out);
}
END_TEST

START_TEST(not_text)
{
    char out[DOMAIN_MAX + 1];
    ck_assert_int_eq(domain_to_ascii(slice_from("a\0b.example", 11), out, NULL), -1);
    ck_assert_int_eq(domain_to_ascii(slice_from("\xC3\xBC\0.example", 11), out, NULL), -1);
    static char huge[100000];
    memset(huge, 'a', sizeof(huge));
    ck_assert_int_eq(domain_to_ascii(slice_from(huge, sizeof(huge)), out, NULL), -1);
    for (size_t i = 0; i < sizeof(huge); i += 2)
        memcpy(huge + i, "\xC3\xBC", 2);
    ck_assert_int_eq(domain_to_ascii(slice_from(huge, sizeof(huge)), out, NULL), -1);
}
END_TEST

START_TEST(equality)
{
    ck_assert(domain_eq(SLICE("Example.COM"), SLICE("example.com")));
    ck_assert(domain_eq(SLICE("bücher.example"), SLICE("xn--bcher-kva.EXAMPLE")));
    ck_assert(!domain_eq(SLICE("example.com"), SLICE("example.org")));
    ck_assert(!domain_eq(SLICE("ex_ample.com"), SLICE("ex_ample.com"))); /* none equals nothing */
    ck_assert(!domain_eq(SLICE(""), SLICE("")));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("domain");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, to_ascii, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, not_text);
    tcase_add_test(tc, equality);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
