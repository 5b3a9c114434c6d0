/* Mailbox, local parts, address literals, xtext. */
#include "testing.h"

#include "sendas/smtp.h"

#define A10       "aaaaaaaaaa"
#define A60       A10 A10 A10 A10 A10 A10
#define LABELS180 A60 "." A60 "." A60

static const struct {
    const char *in;
    const char *local, *domain; /* NULL: refused */
} mailboxes[] = {
    {"ann@example.com", "ann", "example.com"},
    {"Ann.Smith+tag@EXAMPLE.com", "Ann.Smith+tag", "EXAMPLE.com"},
    {"!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com"},
    {"a@b", "a", "b"},
    {"a@1.2.3.example", "a", "1.2.3.example"},
    {"a@xn--bcher-kva.example", "a", "xn--bcher-kva.example"},
    {"\"quoted blank\"@example.com", "\"quoted blank\"", "example.com"},
    {"\"a@b\"@example.com", "\"a@b\"", "example.com"},
    {"\"a\\\"b\\\\\"@example.com", "\"a\\\"b\\\\\"", "example.com"},
    {"\"\"@example.com", "\"\"", "example.com"},
    {"\"<>\"@example.com", "\"<>\"", "example.com"},
    {"j\xc3\xbcrgen@example.com", "j\xc3\xbcrgen", "example.com"},
    {"a@b\xc3\xbc"
     "cher.example",
     "a",
     "b\xc3\xbc"
     "cher.example"},
    {"a@[192.0.2.1]", "a", "[192.0.2.1]"},
    {"a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"},
    {"a@[IPV6:2001:DB8::1]", "a", "[IPV6:2001:DB8::1]"},
    {"a@[IPv6:::ffff:192.0.2.1]", "a", "[IPv6:::ffff:192.0.2.1]"},
    {A60 "aaaa@example.com", A60 "aaaa", "example.com"},
    {A60 "aaaaa@example.com", NULL, NULL},
    {"a@" LABELS180 "." A60 ".example", "a", LABELS180 "." A60 ".example"},
    {A10 "@" LABELS180 "." A60 ".example", NULL, NULL}, /* 254 octets in all */
    {"a@" A60 "aaaa.example", NULL, NULL},
    {"", NULL, NULL},
    {"@", NULL, NULL},
    {"a", NULL, NULL},
    {"a@", NULL, NULL},
    {"@example.com", NULL, NULL},
    {"@relay.example:a@example.com", NULL, NULL},
    {"a@b@c", NULL, NULL},
    {".a@example.com", NULL, NULL},
    {"a.@example.com", NULL, NULL},
    {"a..b@example.com", NULL, NULL},
    {"a b@example.com", NULL, NULL},
    {" a@example.com", NULL, NULL},
    {"a@example.com ", NULL, NULL},
    {"a@example.com.", NULL, NULL},
    {"a@.example.com", NULL, NULL},
    {"a@example..com", NULL, NULL},
    {"a@-example.com", NULL, NULL},
    {"a@example-.com", NULL, NULL},
    {"a@exa_mple.com", NULL, NULL},
    {"a@example.com\r\n", NULL, NULL},
    {"a\n@example.com", NULL, NULL},
    {"\"a@example.com", NULL, NULL},
    {"\"a\"b@example.com", NULL, NULL},
    {"\"a\\\"@example.com", NULL, NULL},
    {"\"a\rb\"@example.com", NULL, NULL},
    {"\"a\x7f\"@example.com", NULL, NULL},
    {"\"\\\xc3\xbc\"@example.com", NULL, NULL},
    {"a(comment)@example.com", NULL, NULL},
    {"<a@example.com>", NULL, NULL},
    {"a@[192.0.2.256]", NULL, NULL},
    {"a@[192.0.2]", NULL, NULL},
    {"a@[192.0.2.1", NULL, NULL},
    {"a@[192.0.2.1]x", NULL, NULL},
    {"a@[]", NULL, NULL},
    {"a@[IPv6:]", NULL, NULL},
    {"a@[2001:db8::1]", NULL, NULL},
    {"a@[IPv6:2001:db8::g]", NULL, NULL},
    {"a@[IPv6:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8]", NULL, NULL},
    {"a@[tag:content]", NULL, NULL},
    {"a\xc3@example.com", NULL, NULL},
    {"a\xff@example.com", NULL, NULL},
    {"a\xc2\x85@example.com", NULL, NULL},     /* U+0085, a control */
    {"a\xed\xa0\x80@example.com", NULL, NULL}, /* a surrogate */
    {"a@\xc3\xbc\xff.example", NULL, NULL},
    {"a@xn--\xc3\xbc.example", NULL, NULL},
};

START_TEST(test_mailbox)
{
    struct smtp_mailbox m;
    struct err err;
    struct slice in = slice_of(mailboxes[_i].in);
    int rc = smtp_mailbox_parse(in, &m, &err);
    ck_assert_msg((rc == 0) == (mailboxes[_i].local != NULL), "row %s: %s", in.p, rc == 0 ? "accepted" : err.text);
    if (rc < 0)
        return;
    ck_assert_slice_eq(m.local, mailboxes[_i].local);
    ck_assert_slice_eq(m.domain, mailboxes[_i].domain);
    ck_assert(slice_eq(m.address, in));
    ck_assert_int_eq(m.literal, m.domain.p[0] == '[');
    ck_assert_int_eq(m.utf8, !slice_is_ascii(in));
}
END_TEST

/* No length of an input reads behind its end (ASan watches). */
START_TEST(test_mailbox_cut)
{
    size_t whole = strlen(mailboxes[_i].in);
    for (size_t n = 0; n <= whole; n++) {
        struct smtp_mailbox m;
        char *copy = malloc(n + 1);
        memcpy(copy, mailboxes[_i].in, n);
        char *exact = realloc(copy, n > 0 ? n : 1);
        smtp_mailbox_parse(slice_from(exact, n), &m, NULL);
        free(exact);
    }
}
END_TEST

START_TEST(test_mailbox_nul)
{
    struct smtp_mailbox m;
    ck_assert_int_eq(smtp_mailbox_parse(slice_from("a\0@example.com", 14), &m, NULL), -1);
    ck_assert_int_eq(smtp_mailbox_parse(slice_from("a@example.com\0", 14), &m, NULL), -1);
    ck_assert_int_eq(smtp_mailbox_parse(slice_from("\"a\0\"@example.com", 16), &m, NULL), -1);
    ck_assert_int_eq(smtp_mailbox_parse((struct slice){0}, &m, NULL), -1);
}
END_TEST

static const struct {
    const char *in, *out;
} locals[] = {
    {"ann", "ann"},         {"\"ann\"", "ann"}, {"\"a b\"", "a b"}, {"\"a\\\"b\"", "a\"b"},
    {"\"\\a\\\\\"", "a\\"}, {"\"\"", ""},       {"", ""},           {"\"", "\""},
};

START_TEST(test_local_part)
{
    struct arena a = ARENA_INIT(1000);
    struct slice got = smtp_local_part_decode(&a, slice_of(locals[_i].in));
    ck_assert_slice_eq(got, locals[_i].out);
    arena_free(&a);
}
END_TEST

START_TEST(test_address_literal)
{
    ck_assert(smtp_is_address_literal(SLICE("[192.0.2.1]")));
    ck_assert(smtp_is_address_literal(SLICE("[ipv6:::1]")));
    ck_assert(!smtp_is_address_literal(SLICE("[::1]")));
    ck_assert(!smtp_is_address_literal(SLICE("192.0.2.1")));
    ck_assert(!smtp_is_address_literal(SLICE("[192.0.2.1] ")));
    ck_assert(!smtp_is_address_literal(SLICE("")));
    ck_assert(!smtp_is_address_literal((struct slice){0}));
}
END_TEST

static const struct {
    const char *encoded, *decoded; /* decoded NULL: malformed */
} xtexts[] = {
    {"", ""},
    {"ann@example.com", "ann@example.com"},
    {"e+3Dmc2@example.com", "e=mc2@example.com"},
    {"a+2Bb", "a+b"},
    {"a+20b", "a b"},
    {"+C3+BC", "\xc3\xbc"},
    {"+", NULL},
    {"a+2", NULL},
    {"a+", NULL},
    {"+2b", NULL}, /* hexchar is upper case */
    {"+GG", NULL},
    {"a=b", NULL},
    {"a b", NULL},
    {"a\xc3\xbc", NULL},
    {"a+0D+0Ab", NULL}, /* no control octet comes out */
    {"a+00", NULL},
    {"a+7F", NULL},
    {"a+C2+85", NULL},
};

START_TEST(test_xtext)
{
    struct arena a = ARENA_INIT(1000);
    struct slice got = smtp_xtext_decode(&a, slice_of(xtexts[_i].encoded));
    ck_assert_msg((got.p != NULL) == (xtexts[_i].decoded != NULL), "row %s", xtexts[_i].encoded);
    if (got.p != NULL) {
        struct strbuf again = STRBUF_INIT;
        ck_assert_slice_eq(got, xtexts[_i].decoded);
        smtp_xtext_encode(&again, got);
        ck_assert(slice_eq(smtp_xtext_decode(&a, strbuf_slice(&again)), got));
        strbuf_free(&again);
    }
    arena_free(&a);
}
END_TEST

/* RFC 6533 3 */
static const struct {
    const char *plain, *encoded, *finished;
} utf8_xtexts[] = {
    {"bob@example.net", "bob@example.net", "bob@example.net"},
    {"a+b=c\\d@x", "a\\x{2B}b\\x{3D}c\\x{5C}d@x", "a+b=c\\d@x"},
    {"j\xc3\xb6rg@\xe4\xbe\x8b", "j\\x{F6}rg@\\x{4F8B}", "j\\x{F6}rg@\\x{4F8B}"},
    {"\xf0\x9f\x98\x80 x\x7f", "\\x{1F600}\\x{20}x\\x{7F}", "\\x{1F600}\\x{20}x\\x{7F}"},
    {"\xff\xc3", "??", "??"},
    {"", "", ""},
};

START_TEST(test_utf8_xtext)
{
    struct strbuf out = STRBUF_INIT;
    smtp_utf8_xtext_encode(&out, slice_of(utf8_xtexts[_i].plain));
    ck_assert_slice_eq(strbuf_slice(&out), utf8_xtexts[_i].encoded);
    strbuf_reset(&out);
    smtp_utf8_xtext_finish(&out, slice_of(utf8_xtexts[_i].plain));
    ck_assert_slice_eq(strbuf_slice(&out), utf8_xtexts[_i].finished);
    strbuf_free(&out);
}
END_TEST

static Suite *mailbox_suite(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tc = tcase_create("mailbox");
    tcase_add_loop_test(tc, test_mailbox, 0, (int)ARRAY_LEN(mailboxes));
    tcase_add_loop_test(tc, test_mailbox_cut, 0, (int)ARRAY_LEN(mailboxes));
    tcase_add_test(tc, test_mailbox_nul);
    tcase_add_loop_test(tc, test_local_part, 0, (int)ARRAY_LEN(locals));
    tcase_add_test(tc, test_address_literal);
    tcase_add_loop_test(tc, test_xtext, 0, (int)ARRAY_LEN(xtexts));
    tcase_add_loop_test(tc, test_utf8_xtext, 0, (int)ARRAY_LEN(utf8_xtexts));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(mailbox_suite)
