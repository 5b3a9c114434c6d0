/* Zone files: what is read, what is refused at which line, and what a zone then answers. */
#include "testing.h"

#include "../../src/dns/internal.h"

#include <unistd.h>

static struct arena mem;

static void setup(void)
{
    mem = ARENA_INIT(0);
}

static void teardown(void)
{
    arena_free(&mem);
}

/* "OK one|two", "NODATA", ... for a question of a zone. */
static const char *ask(const char *zone, const char *name, unsigned type)
{
    static const char *const statuses[] = {
        [LOOKUP_OK] = "OK", [LOOKUP_NODATA] = "NODATA", [LOOKUP_NXDOMAIN] = "NXDOMAIN", [LOOKUP_TEMPFAIL] = "TEMPFAIL"};
    static char out[1024];
    struct dns_zone *z = NULL;
    struct lookup_answer answer;
    struct err err = {""};
    ck_assert_msg(dns_zone_parse(slice_of(zone), "zone", &z, &err) == 0, "%s\n%s", zone, err.text);
    struct lookup lookup = dns_zone_lookup(z);
    lookup.query(lookup.ctx, &mem, name, type, &answer);
    int n = snprintf(out, sizeof(out), "%s", statuses[answer.status]);
    for (size_t i = 0; i < answer.n; i++) {
        n += snprintf(out + n, sizeof(out) - (size_t)n, "%s", i == 0 ? " " : "|");
        if (type == DNS_MX)
            n += snprintf(out + n, sizeof(out) - (size_t)n, "%u ", answer.records[i].preference);
        n += snprintf(out + n, sizeof(out) - (size_t)n, "%.*s", SLICE_ARG(answer.records[i].text));
    }
    dns_zone_free(&z);
    return out;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static const struct {
    const char *zone, *name;
    unsigned type;
    const char *want;
} rows[] = {
    {"", "a.example", DNS_A, "NXDOMAIN"},
    {"a.example. A 192.0.2.1\n", "a.example", DNS_A, "OK 192.0.2.1"},
    {"a.example. A 192.0.2.1", "A.Example.", DNS_A, "OK 192.0.2.1"},
    {"a.example. 3600 IN A 192.0.2.1\n", "a.example", DNS_A, "OK 192.0.2.1"},
    {"a.example. in 1h30m a 192.0.2.1\n", "a.example", DNS_A, "OK 192.0.2.1"},
    {"a.example. CH A 192.0.2.1\n", "a.example", DNS_A, "NXDOMAIN"},
    {"a.example A 192.0.2.1\n", "a.example", DNS_A, "OK 192.0.2.1"}, /* relative to the root */
    {"$ORIGIN example.\na A 192.0.2.1\n", "a.example", DNS_A, "OK 192.0.2.1"},
    {"$ORIGIN example.\n$ORIGIN sub\n@ A 192.0.2.1\n", "sub.example", DNS_A, "OK 192.0.2.1"},
    {"$TTL 1d\n$ORIGIN example.com.\n@ MX 10 mail\n MX 20 mail.example.net.\n\tMX 0 .\n", "example.com", DNS_MX,
     "OK 10 mail.example.com|20 mail.example.net|0 "},
    {"a. AAAA 2001:DB8:0::1\n", "a", DNS_AAAA, "OK 2001:db8::1"},
    {"1.2.0.192.in-addr.arpa. PTR Mail.Example.COM.\n", "1.2.0.192.in-addr.arpa", DNS_PTR, "OK mail.example.com"},
    {"a. NS ns.a.\na. NS ns\n", "a", DNS_NS, "OK ns.a|ns"},
    {"a. SOA ns. host. ( 1 ; serial\n 2 3\n\n 4 5 )\na. A 192.0.2.1\n", "a", DNS_A, "OK 192.0.2.1"},
    /* text */
    {"a. TXT \"v=spf1 -all\"\n", "a", DNS_TXT, "OK v=spf1 -all"},
    {"a. TXT \"v=spf1 \" \"-all\"\n", "a", DNS_TXT, "OK v=spf1 -all"},
    {"a. TXT \"v=spf1 \"\"-all\"\n", "a", DNS_TXT, "OK v=spf1 -all"},
    {"a. TXT ( \"v=spf1 \" ; the policy\n  \"-all\" )\n", "a", DNS_TXT, "OK v=spf1 -all"},
    {"a. TXT plain words\n", "a", DNS_TXT, "OK plainwords"},
    {"a. TXT \"one\"\na. TXT \"two\"\n", "a", DNS_TXT, "OK one|two"},
    {"a. TXT \"\"\n", "a", DNS_TXT, "OK "},
    {"a. TXT \"; not ( a comment )\" ; a comment\n", "a", DNS_TXT, "OK ; not ( a comment )"},
    {"a. TXT \"say \\\"hi\\\" \\\\ \\065\\B\"\n", "a", DNS_TXT, "OK say \"hi\" \\ AB"},
    {"a. TXT a\\;b\\ c\n", "a", DNS_TXT, "OK a;b c"},
    {"a. TXT \"two\nlines\"\nb. A 192.0.2.1\n", "a", DNS_TXT, "OK two\nlines"},
    /* shape */
    {"; a comment\n\n  ; another\na. A 192.0.2.1 ; and this\r\nb. A 192.0.2.2\r\n", "b", DNS_A, "OK 192.0.2.2"},
    {"a. ( A\n 192.0.2.1 )\n", "a", DNS_A, "OK 192.0.2.1"},
    {"a. ((A)) 192.0.2.1\n", "a", DNS_A, "OK 192.0.2.1"},
    {"a. A 192.0.2.1\n   TXT x\n", "a", DNS_TXT, "OK x"},
    /* types that are not understood make their names exist */
    {"a. HINFO \"x\" \"y\"\n", "a", DNS_A, "NODATA"},
    {"a. TYPE65 \\# 1 00\n", "a", DNS_A, "NODATA"},
    {"a. SPF \"v=spf1 -all\"\n", "a", DNS_TXT, "NODATA"},
    /* names */
    {"_dmarc.a. TXT x\n", "_DMARC.a", DNS_TXT, "OK x"},
    {"a\\.b.c. A 192.0.2.1\n", "a\\.b.c", DNS_A, "OK 192.0.2.1"},
    {"a\\.b.c. A 192.0.2.1\n", "a.b.c", DNS_A, "NXDOMAIN"},
    {"a\\046b.c. A 192.0.2.1\n", "a\\.b.c", DNS_A, "OK 192.0.2.1"},
    {"\\097.c. A 192.0.2.1\n", "a.c", DNS_A, "OK 192.0.2.1"},
    {"a. A 192.0.2.1\n", "a..b", DNS_A, "NXDOMAIN"},
    {"a. A 192.0.2.1\n", "\\", DNS_A, "NXDOMAIN"},
    {". A 192.0.2.1\n", ".", DNS_A, "OK 192.0.2.1"},
};

START_TEST(reads)
{
    const char *got = ask(rows[_i].zone, rows[_i].name, rows[_i].type);
    ck_assert_msg(strcmp(got, rows[_i].want) == 0, "%s\n%s: got %s, want %s", rows[_i].zone, rows[_i].name, got,
                  rows[_i].want);
}
END_TEST

/* ---- answers -------------------------------------------------------------------------------------------- */

static const char zone[] = "$ORIGIN example.com.\n"
                           "@ A 192.0.2.1\n"
                           "@ TXT \"apex\"\n"
                           "alias CNAME @\n"
                           "far CNAME alias\n"
                           "away CNAME www.example.net.\n"
                           "loop CNAME pool\n"
                           "pool CNAME loop\n"
                           "self CNAME self\n"
                           "x.deep A 192.0.2.2\n"
                           "*.wild A 192.0.2.3\n"
                           "*.wild TXT \"any\"\n"
                           "real.wild TXT \"real\"\n"
                           "*.all CNAME alias\n";

static const struct {
    const char *name;
    unsigned type;
    const char *want;
} answer_rows[] = {
    {"example.com", DNS_A, "OK 192.0.2.1"},
    {"example.com", DNS_MX, "NODATA"},
    {"com", DNS_A, "NODATA"}, /* there are names below it */
    {"xample.com", DNS_A, "NXDOMAIN"},
    {"none.example.com", DNS_A, "NXDOMAIN"},
    {"deep.example.com", DNS_A, "NODATA"},
    {"x.x.deep.example.com", DNS_A, "NXDOMAIN"},
    {"alias.example.com", DNS_TXT, "OK apex"},
    {"far.example.com", DNS_A, "OK 192.0.2.1"},
    {"far.example.com", DNS_CNAME, "OK alias.example.com"},
    {"far.example.com", DNS_MX, "NODATA"},
    {"away.example.com", DNS_A, "NXDOMAIN"},
    {"loop.example.com", DNS_A, "TEMPFAIL"},
    {"self.example.com", DNS_A, "TEMPFAIL"},
    {"a.wild.example.com", DNS_A, "OK 192.0.2.3"},
    {"a.b.wild.example.com", DNS_TXT, "OK any"},
    {"a.wild.example.com", DNS_MX, "NODATA"},
    {"real.wild.example.com", DNS_A, "NODATA"}, /* RFC 4592 2.2.1: what exists the wildcard does not cover */
    {"a.real.wild.example.com", DNS_A, "NXDOMAIN"},
    {"wild.example.com", DNS_A, "NODATA"},
    {"x.all.example.com", DNS_A, "OK 192.0.2.1"},
};

START_TEST(answers)
{
    const char *got = ask(zone, answer_rows[_i].name, answer_rows[_i].type);
    ck_assert_msg(strcmp(got, answer_rows[_i].want) == 0, "%s: got %s, want %s", answer_rows[_i].name, got,
                  answer_rows[_i].want);
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------------------------- */

#define LABEL "a23456789012345678901234567890123456789012345678901234567890123"

static const struct {
    const char *zone, *words;
} bad_rows[] = {
    {"a. A 192.0.2.1\n\na. A 192.0.2\n", "zone:3: one IPv4 address"},
    {"a. A\n", "zone:1: nothing stands behind A"},
    {"a. A 192.0.2.1 192.0.2.2\n", "zone:1: one IPv4 address"},
    {"a. AAAA 192.0.2.1\n", "zone:1: one IPv6 address"},
    {"a. A 2001:db8::1\n", "zone:1: one IPv4 address"},
    {"a. MX mail\n", "zone:1: a preference"},
    {"a. MX 65536 mail\n", "zone:1: a preference"},
    {"a. MX 10\n", "zone:1: a preference"},
    {"a. CNAME b c\n", "zone:1: one name"},
    {"a. SOA a b 1 2 3 4\n", "zone:1: two names and five numbers"},
    {"a. TXT\n", "zone:1: nothing stands behind TXT"},
    {"a. TXT \\# 1 00\n", "zone:1: \\# is not understood for TXT"},
    {"a. TXT \"\\25x\"\n", "broken escape"},
    {"a. TXT \"\\256\"\n", "broken escape"},
    {"a. TXT x\\", "broken escape"},
    {"a. TXT \"never\nends\n", "zone:1: a quoted string that does not end"},
    {"a. TXT ( x\nb. A 192.0.2.1\n", "zone:1: a \"(\" without \")\""},
    {"a. TXT x )\n", "zone:1: a \")\" without \"(\""},
    {"a.\n", "zone:1: a record's type"},
    {"a. 300 IN\n", "zone:1: a record's type"},
    {"a. \"A\" 192.0.2.1\n", "zone:1: a record's type"},
    {"a. A! 192.0.2.1\n", "zone:1: a record's type"},
    {" A 192.0.2.1\n", "zone:1: a record without a name"},
    {"a..b. A 192.0.2.1\n", "zone:1: a name with an empty label"},
    {".a. A 192.0.2.1\n", "zone:1: a name with an empty label"},
    {"a" LABEL ". A 192.0.2.1\n", "zone:1: a name with a label of more than 63"},
    {LABEL "." LABEL "." LABEL "." LABEL ". A 192.0.2.1\n", "zone:1: a name that is too long"},
    {"$ORIGIN " LABEL "." LABEL ".\n" LABEL "." LABEL " A 192.0.2.1\n", "zone:2: a name that is too long"},
    {"a\\1.b. A 192.0.2.1\n", "zone:1: a name with a broken escape"},
    {"\"\" A 192.0.2.1\n", "zone:1: an empty name"},
    {"$ORIGIN\n", "zone:1: $ORIGIN: one name"},
    {"$ORIGIN a..b\n", "empty label"},
    {"$TTL soon\n", "zone:1: $TTL: one number"},
    {"$INCLUDE other\n", "zone:1: $INCLUDE is not understood"},
};

START_TEST(refuses)
{
    struct dns_zone *z = NULL;
    struct err err = {""};
    ck_assert_msg(dns_zone_parse(slice_of(bad_rows[_i].zone), "zone", &z, &err) == -1, "%s", bad_rows[_i].zone);
    ck_assert_ptr_null(z);
    ck_assert_msg(strstr(err.text, bad_rows[_i].words) != NULL, "%s: %s", bad_rows[_i].zone, err.text);
}
END_TEST

START_TEST(has_bounds)
{
    struct strbuf text = STRBUF_INIT;
    struct dns_zone *z = NULL;
    struct err err = {""};
    strbuf_add_str(&text, "a. TXT \"");
    for (int i = 0; i < 255; i++)
        strbuf_add_char(&text, 'x');
    strbuf_add_str(&text, "\"\n");
    ck_assert_int_eq(dns_zone_parse(strbuf_slice(&text), "zone", &z, &err), 0);
    dns_zone_free(&z);
    strbuf_truncate(&text, text.n - 2);
    strbuf_add_str(&text, "y\"\n");
    ck_assert_int_eq(dns_zone_parse(strbuf_slice(&text), "zone", &z, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "at most 255"));
    strbuf_reset(&text);
    strbuf_add_str(&text, "a. TXT");
    for (int i = 0; i < 600; i++)
        strbuf_add_str(&text, " x");
    ck_assert_int_eq(dns_zone_parse(strbuf_slice(&text), "zone", &z, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "words in one entry"));
    strbuf_reset(&text);
    for (int i = 0; i <= ZONE_RECORDS_MAX; i++)
        strbuf_add_str(&text, "a. HINFO\n");
    ck_assert_int_eq(dns_zone_parse(strbuf_slice(&text), "zone", &z, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "records"));
    strbuf_free(&text);
    /* a NUL never ends anything */
    ck_assert_int_eq(dns_zone_parse(SLICE("a. TXT x\0y\n"), "zone", &z, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "NUL"));
}
END_TEST

START_TEST(loads_files)
{
    struct dns_zone *z = NULL;
    struct err err = {""};
    char path[] = "/tmp/sendas-zone-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "a. A 192.0.2.1\nb. A\n", 20), 20);
    close(fd);
    ck_assert_int_eq(dns_zone_load(path, &z, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, ":2: nothing stands behind A"));
    ck_assert_int_eq(strncmp(err.text, path, strlen(path)), 0);
    unlink(path);
    ck_assert_int_eq(dns_zone_load(path, &z, &err), -1);
}
END_TEST

/* With little memory a question fails for now; nothing else. */
START_TEST(answers_without_memory)
{
    struct dns_zone *z = NULL;
    struct err err = {""};
    ck_assert_int_eq(dns_zone_parse(SLICE("a. TXT \"0123456789\"\n"), "zone", &z, &err), 0);
    struct lookup lookup = dns_zone_lookup(z);
    for (size_t max = 1; max < 200; max++) {
        struct arena little = ARENA_INIT(max);
        struct lookup_answer answer;
        lookup.query(lookup.ctx, &little, "a", DNS_TXT, &answer);
        ck_assert(answer.status == LOOKUP_TEMPFAIL || (answer.status == LOOKUP_OK && answer.records[0].text.n == 10));
        ck_assert_int_ne(max < 10 && answer.status == LOOKUP_OK, 1);
        arena_free(&little);
    }
    dns_zone_free(&z);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("zone files");
    TCase *tc = tcase_create("zone");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, reads, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, answers, 0, (int)ARRAY_LEN(answer_rows));
    tcase_add_loop_test(tc, refuses, 0, (int)ARRAY_LEN(bad_rows));
    tcase_add_test(tc, has_bounds);
    tcase_add_test(tc, loads_files);
    tcase_add_test(tc, answers_without_memory);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
