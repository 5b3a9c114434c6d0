/* The wire format: rdata rows, and messages that mean harm. */
#include "../../src/dns/internal.h"
#include "testing.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static struct arena memory;

static void setup(void)
{
    memory = ARENA_INIT(DNS_ANSWER_MEMORY_MAX);
}

static void teardown(void)
{
    arena_free(&memory);
}

/* ---- rdata ---------------------------------------------------------------------------------- */

static const struct {
    enum dns_type type;
    struct slice rdata;
    const char *text; /* NULL: malformed */
    unsigned preference;
} rdata_rows[] = {
    {DNS_A, BYTES("\xc0\x00\x02\x01"), "192.0.2.1", 0},
    {DNS_A, BYTES("\xc0\x00\x02"), NULL, 0},
    {DNS_A, BYTES("\xc0\x00\x02\x01\x01"), NULL, 0},
    {DNS_A, BYTES(""), NULL, 0},
    {DNS_AAAA, BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), "2001:db8::1", 0},
    {DNS_AAAA, BYTES("\x20\x01"), NULL, 0},
    {DNS_MX, BYTES("\x00\x0a\x02mx\x04TEST\x00"), "mx.test", 10},
    {DNS_MX, BYTES("\x00\x00\x00"), "", 0}, /* RFC 7505: the null MX */
    {DNS_MX, BYTES("\xff\xff\x01x\x00"), "x", 65535},
    {DNS_MX, BYTES("\x00"), NULL, 0},
    {DNS_MX, BYTES("\x00\x0a"), NULL, 0},
    {DNS_MX, BYTES("\x00\x0a\x02mx"), NULL, 0},         /* no root label */
    {DNS_MX, BYTES("\x00\x0a\x02mx\x00\x00"), NULL, 0}, /* something behind the name */
    {DNS_MX, BYTES("\x00\x0a\x02mx\xc0\x02"), NULL, 0}, /* a pointer in rdata that stands alone */
    {DNS_MX, BYTES("\x00\x0a\x42mx\x00"), NULL, 0},     /* a label type that is none */
    {DNS_CNAME,
     BYTES("\x01"
           "A\x01-\x02_b\x00"),
     "a.-._b", 0},
    {DNS_NS,
     BYTES("\x03"
           "a.b\x00"),
     "a\\046b", 0}, /* a dot that is no separator */
    {DNS_PTR,
     BYTES("\x03"
           "a\0b\x00"),
     "a\\000b", 0},
    {DNS_PTR, BYTES("\x02\xc3\xa4\x00"), "\\195\\164", 0},
    {DNS_PTR, BYTES(""), NULL, 0},
    {DNS_TXT,
     BYTES("\x03"
           "abc"),
     "abc", 0},
    {DNS_TXT,
     BYTES("\x03"
           "v=D\x03"
           "KIM\x00\x01"
           "1"),
     "v=DKIM1", 0},
    {DNS_TXT, BYTES("\x00"), "", 0},
    {DNS_TXT, BYTES(""), NULL, 0},
    {DNS_TXT,
     BYTES("\x04"
           "abc"),
     NULL, 0},
    {DNS_TXT,
     BYTES("\x03"
           "abc\xff"),
     NULL, 0},
    {DNS_TLSA, BYTES("\x03\x01\x01\xaa"), "", 0},
    {DNS_TLSA, BYTES("\x03\x01\x01"), NULL, 0},
    {DNS_SOA, BYTES("\x00\x00\x78\x8b\x3d\x01rrrreeeexxxxmmmm"), "2022391041", 0}, /* the serial */
    {DNS_SOA, BYTES("\x00\x00\x78\x8b\x3d\x01rrrreeeexxxxmmm"), NULL, 0},
};

START_TEST(test_rdata)
{
    struct dns_record r = {0};
    int rc = dns_record_decode(&memory, rdata_rows[_i].type, rdata_rows[_i].rdata, &r);
    const char *text = rdata_rows[_i].text;

    ck_assert_msg((rc == 0) == (text != NULL), "row %d: %d", _i, rc);
    if (text == NULL)
        return;
    ck_assert_str_eq(r.text, text);
    ck_assert_uint_eq(r.text_len, strlen(text));
    ck_assert_uint_eq(r.preference, rdata_rows[_i].preference);
    ck_assert(slice_eq(r.rdata, rdata_rows[_i].rdata));
}
END_TEST

START_TEST(test_txt_with_nul)
{
    struct dns_record r;
    ck_assert_int_eq(dns_record_decode(&memory, DNS_TXT,
                                       SLICE("\x03"
                                             "a\0b\x01"
                                             "c"),
                                       &r),
                     0);
    ck_assert(slice_eq(slice_from(r.text, r.text_len), SLICE("a\0bc")));
}
END_TEST

START_TEST(test_longest_name)
{
    char wire[300];
    struct dns_record r;
    size_t n = 0;

    for (int i = 0; i < 127; i++) { /* 127 labels of one octet and the root: 255 octets, the most there may be */
        wire[n++] = 1;
        wire[n++] = (char)0xff;
    }
    wire[n++] = 0;
    ck_assert_int_eq(dns_record_decode(&memory, DNS_PTR, slice_from(wire, n), &r), 0);
    ck_assert_uint_eq(r.text_len, 127 * 4 + 126);
    wire[n - 1] = 1;
    wire[n++] = 'x';
    wire[n++] = 0;
    ck_assert_int_eq(dns_record_decode(&memory, DNS_PTR, slice_from(wire, n), &r), -1);
}
END_TEST

/* ---- messages ------------------------------------------------------------------------------------- */

/* A header with `rcode` and `answers`, and the question a.test. */
#define HEADER(rcode, answers)                                                                                         \
    "\x12\x34\x81" rcode "\x00\x01\x00" answers "\x00\x00\x00\x00"                                                     \
    "\x01"                                                                                                             \
    "a\x04test\x00\x00\x01\x00\x01"
#define NAME_A                 "\xc0\x0c" /* a.test. */
#define NAME_TEST              "\xc0\x0e" /* test. */
#define IN_TTL(ttl)            "\x00\x01\x00\x00\x00" ttl
#define A_RR(owner, ttl, last) owner "\x00\x01" IN_TTL(ttl) "\x00\x04\xc0\x00\x02" last
/* 12 + 8 + 4 = 24 octets stand before the first answer. */
#define CNAME_B(ttl)                                                                                                   \
    NAME_A "\x00\x05" IN_TTL(ttl) "\x00\x04\x01"                                                                       \
                                  "b" NAME_TEST /* its rdata is at 36 */
#define NAME_B "\xc0\x24"

static const struct {
    const char *what;
    struct slice packet;
    enum dns_type type;
    const char *result; /* "status ttl canonical: texts", or what is wrong with it */
} packet_rows[] = {
    {"one record", BYTES(HEADER("\x80", "\x01") A_RR(NAME_A, "\x3c", "\x01")), DNS_A, "0 60 : 192.0.2.1"},
    {"two, the lower ttl", BYTES(HEADER("\x80", "\x02") A_RR(NAME_A, "\x3c", "\x01") A_RR(NAME_A, "\x05", "\x02")),
     DNS_A, "0 5 : 192.0.2.1 192.0.2.2"},
    {"case of the owner",
     BYTES(HEADER("\x80", "\x01") A_RR("\x01"
                                       "A\x04TeSt\x00",
                                       "\x3c", "\x01")),
     DNS_A, "0 60 : 192.0.2.1"},
    {"another owner", BYTES(HEADER("\x80", "\x01") A_RR(NAME_TEST, "\x3c", "\x01")), DNS_A, "1 0 : "},
    {"another type", BYTES(HEADER("\x80", "\x01") A_RR(NAME_A, "\x3c", "\x01")), DNS_MX, "1 0 : "},
    {"nothing", BYTES(HEADER("\x80", "\x00")), DNS_A, "1 0 : "},
    {"no such name", BYTES(HEADER("\x83", "\x00")), DNS_A, "2 0 : "},
    {"servfail", BYTES(HEADER("\x82", "\x00")), DNS_A, "the server answered with code 2"},
    {"cname", BYTES(HEADER("\x80", "\x02") CNAME_B("\x07") A_RR(NAME_B, "\x3c", "\x09")), DNS_A,
     "0 7 b.test: 192.0.2.9"},
    {"cname behind its target",
     BYTES(HEADER("\x80", "\x02") A_RR("\x01"
                                       "b" NAME_TEST,
                                       "\x3c", "\x09") CNAME_B("\x07")),
     DNS_A, "0 7 b.test: 192.0.2.9"},
    {"cname to nothing", BYTES(HEADER("\x83", "\x01") CNAME_B("\x07")), DNS_A, "2 7 b.test: "},
    {"cname asked for", BYTES(HEADER("\x80", "\x01") CNAME_B("\x07")), DNS_CNAME, "0 7 : b.test"},
    {"mx, compressed",
     BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x0f" IN_TTL("\x3c") "\x00\x07\x00\x0a\x02mx" NAME_TEST), DNS_MX,
     "0 60 : mx.test"},
    {"cname to itself", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x05" IN_TTL("\x3c") "\x00\x02" NAME_A), DNS_A,
     "too many CNAMEs"},
    {"another class", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x01\x00\x03\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"),
     DNS_A, "1 0 : "},
    {"empty", BYTES(""), DNS_A, "malformed answer"},
    {"header only", BYTES("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"), DNS_A, "malformed answer"},
    {"no question", BYTES("\x12\x34\x81\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"), DNS_A,
     "malformed answer"},
    {"a count that cannot be", BYTES(HEADER("\x80", "\x02") A_RR(NAME_A, "\x3c", "\x01")), DNS_A, "malformed answer"},
    {"rdata over the end", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x01" IN_TTL("\x3c") "\x00\x05\xc0\x00\x02\x01"),
     DNS_A, "malformed answer"},
    {"rdata of the wrong size", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x01" IN_TTL("\x3c") "\x00\x03\xc0\x00\x02"),
     DNS_A, "malformed answer"},
    {"pointer to itself", BYTES(HEADER("\x80", "\x01") A_RR("\xc0\x18", "\x3c", "\x01")), DNS_A, "malformed answer"},
    {"pointer forwards", BYTES(HEADER("\x80", "\x01") A_RR("\xc0\x20", "\x3c", "\x01")), DNS_A, "malformed answer"},
    {"pointer over the end", BYTES(HEADER("\x80", "\x01") A_RR("\xff\xff", "\x3c", "\x01")), DNS_A, "malformed answer"},
    {"label and a pointer back to it", BYTES(HEADER("\x80", "\x01") A_RR("\x01x\xc0\x18", "\x3c", "\x01")), DNS_A,
     "malformed answer"},
    {"cname over its rdata", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x05" IN_TTL("\x3c") "\x00\x02\x04test"), DNS_A,
     "malformed answer"},
    {"mx over its rdata", BYTES(HEADER("\x80", "\x01") NAME_A "\x00\x0f" IN_TTL("\x3c") "\x00\x03\x00\x0a\x04test\x00"),
     DNS_MX, "malformed answer"},
};

static void describe(const struct dns_answer *a, struct strbuf *out)
{
    strbuf_addf(out, "%d %u %s:", (int)a->status, (unsigned)a->ttl_s, a->canonical);
    for (size_t i = 0; i < a->n; i++)
        strbuf_addf(out, " %s", a->records[i].text);
    if (a->n == 0)
        strbuf_add_char(out, ' ');
}

START_TEST(test_packet)
{
    struct dns_answer a;
    struct err err;
    struct strbuf got = STRBUF_INIT;

    if (dns_packet_read(&memory, packet_rows[_i].packet, packet_rows[_i].type, &a, &err) < 0)
        strbuf_add_str(&got, err.text);
    else
        describe(&a, &got);
    ck_assert_msg(strcmp(strbuf_str(&got), packet_rows[_i].result) == 0, "%s: got \"%s\", want \"%s\"",
                  packet_rows[_i].what, strbuf_str(&got), packet_rows[_i].result);
    strbuf_free(&got);
}
END_TEST

/* Cut anywhere, a message is malformed or says less: it never makes the reader leave it (ASan sees that). */
START_TEST(test_cut_short)
{
    struct slice whole = packet_rows[_i].packet;
    for (size_t n = 0; n < whole.n; n++) {
        char *exact = malloc(n + 1);
        struct dns_answer a;
        memcpy(exact, whole.p, n);
        char *heap = realloc(exact, n > 0 ? n : 1);
        if (dns_packet_read(&memory, slice_from(heap, n), packet_rows[_i].type, &a, NULL) == 0)
            ck_assert_uint_eq(a.n, 0);
        free(heap);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dns packet");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_rdata, 0, ARRAY_LEN(rdata_rows));
    tcase_add_test(tc, test_txt_with_nul);
    tcase_add_test(tc, test_longest_name);
    tcase_add_loop_test(tc, test_packet, 0, ARRAY_LEN(packet_rows));
    tcase_add_loop_test(tc, test_cut_short, 0, ARRAY_LEN(packet_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
