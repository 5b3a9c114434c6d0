/* SPF: what the RFC 7208 suite leaves out: bounds, odd input, internationalized names, and what is said about it. */
#include "testing.h"
#include "zone.h"

#include "sendas/align.h"

static struct arena arena;
static struct zone zone;

static void setup(void)
{
    arena = ARENA_INIT(32 * 1024 * 1024);
    zone = (struct zone){0};
}

static void teardown(void)
{
    strbuf_free(&zone.asked);
    arena_free(&arena);
}

static struct spf_verdict ask(const struct zone_row *rows, size_t n, const struct spf_request *req)
{
    struct lookup dns = {zone_query, &zone};
    struct spf_verdict v;
    zone.rows = rows;
    zone.n = n;
    zone.queries = 0;
    strbuf_reset(&zone.asked);
    spf_check(&arena, &dns, req, &v);
    ck_assert_uint_gt(v.why.n, 0);
    for (size_t i = 0; i < v.why.n; i++)
        ck_assert(v.why.p[i] >= 0x20 && v.why.p[i] < 0x7f);
    ck_assert_int_ne(v.why.p[v.why.n - 1], '.');
    ck_assert(v.explanation.n == 0 || v.result == SPF_FAIL);
    return v;
}

/* ---- one record ------------------------------------------------------------------------------------------------ */

/* The record of example.com; the client is 192.0.2.1, or 2001:db8::1 where `v6`; its name is mail.example.com. */
static const struct {
    const char *record;
    bool v6;
    enum spf_result result;
    const char *mechanism;
} records[] = {
    {"v=spf1 ip4:192.0.2.1 -all", false, SPF_PASS, "ip4:192.0.2.1"},
    {"v=spf1 ip4:192.0.2.0/31 -all", false, SPF_PASS, "ip4:192.0.2.0/31"},
    {"v=spf1 ip4:192.0.2.2/31 -all", false, SPF_FAIL, "-all"},
    {"v=spf1 IP4:192.0.2.1 ~All", false, SPF_PASS, "IP4:192.0.2.1"},
    {"v=spf1 ip6:2001:db8::/127 ~all", true, SPF_PASS, "ip6:2001:db8::/127"},
    {"v=spf1 ip6:2001:db8::2/127 ~all", true, SPF_SOFTFAIL, "~all"},
    {"v=spf1 ip6:::/0 ip4:0.0.0.0/0 ?all", true, SPF_PASS, "ip6:::/0"},
    {"v=spf1 ip4:0.0.0.0/0 ?all", true, SPF_NEUTRAL, "?all"},
    {"v=spf1 ?ip4:192.0.2.1 -all", false, SPF_NEUTRAL, "?ip4:192.0.2.1"},
    {"v=spf1 -ip4:192.0.2.1 +all", false, SPF_FAIL, "-ip4:192.0.2.1"},
    {"v=spf1", false, SPF_NEUTRAL, ""},
    {"v=spf1   ", false, SPF_NEUTRAL, ""},
    {"v=spf1 a:mail.example.com -all", false, SPF_PASS, "a:mail.example.com"},
    {"v=spf1 a:mail.example.com -all", true, SPF_PASS, "a:mail.example.com"},
    {"v=spf1 a:mail.example.com/24//64 -all", true, SPF_PASS, "a:mail.example.com/24//64"},
    {"v=spf1 mx -all", false, SPF_PASS, "mx"},
    {"v=spf1 ptr -all", false, SPF_PASS, "ptr"},
    {"v=spf1 ptr:mail.example.com -all", true, SPF_PASS, "ptr:mail.example.com"},
    {"v=spf1 ptr:ample.com -all", false, SPF_FAIL, "-all"},
    {"v=spf1 ptr:forged.example.net -all", false, SPF_FAIL, "-all"}, /* its address is another */
    {"v=spf1 exists:%{i}.ok.example.com -all", false, SPF_PASS, "exists:%{i}.ok.example.com"},
    {"v=spf1 exists:%{i}.ok.example.com -all", true, SPF_PASS, "exists:%{i}.ok.example.com"},
    {"v=spf1 include:allowed.example.com -all", false, SPF_PASS, "include:allowed.example.com"},
    {"v=spf1 ~include:allowed.example.com -all", false, SPF_SOFTFAIL, "~include:allowed.example.com"},
    {"v=spf1 include:allowed.example.com -all", true, SPF_FAIL, "-all"},
    {"v=spf1 redirect=allowed.example.com", false, SPF_PASS, "ip4:192.0.2.1"},
    {"v=spf1 redirect=allowed.example.com -all", false, SPF_FAIL, "-all"},
    {"v=spf1 include:cname.example.com -all", false, SPF_PASS, "include:cname.example.com"},
    /* errors of syntax, wherever they stand */
    {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.256", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip4:2001:db8::1", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip6:192.0.2.1", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.1/", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.1/4294967296", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip6:", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip4:192.0.02.1", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 ip6:fe80::1%eth0", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 all:", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 +-all", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 -", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 :", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 =", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 /24", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 -exp=example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 a/00", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 a//0128", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1\t-all", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1, -all", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 EXP=x", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{d0}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{dx}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{drr}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{d", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{t}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:%{c}.example.com", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 other=%{R}", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:a.b-", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 exists:a..", false, SPF_PERMERROR, ""},
    {"v=spf1 ip4:192.0.2.1 other=%{d}%%%_%-", false, SPF_PASS, "ip4:192.0.2.1"},
    {"v=spf1 ip4:192.0.2.1 other= o.t-h_3r=x", false, SPF_PASS, "ip4:192.0.2.1"},
    /* names that DNS cannot have, or that a resolver would take for others, and one of a single label */
    {"v=spf1 include:%{l}@.. -all", false, SPF_PERMERROR, ""},
    {"v=spf1 a:back\\slash.example.com -all", false, SPF_FAIL, "-all"},
    {"v=spf1 include:%{d1} -all", false, SPF_PERMERROR, ""},
};

#define HOSTS                                                                                                          \
    {"mail.example.com", ZONE_A, "192.0.2.1", 0}, {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0},                   \
        {"example.com", ZONE_MX, "mail.example.com", 0},                                                               \
        {"1.2.0.192.in-addr.arpa", ZONE_PTR, "forged.example.net", 0},                                                 \
        {"1.2.0.192.in-addr.arpa", ZONE_PTR, "mail.example.com", 0}, {"forged.example.net", ZONE_A, "192.0.2.9", 0},   \
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", ZONE_PTR, "mail.example.com", 0}, \
        {"192.0.2.1.ok.example.com", ZONE_A, "127.0.0.2", 0},                                                          \
        {"2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.ok.example.com", ZONE_A, "127.0.0.2", 0},    \
        {"allowed.example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1", 0},                                                  \
        {"cname.example.com", ZONE_CNAME, "allowed.example.com", 0},                                                   \
        {"back\\slash.example.com", ZONE_A, "192.0.2.1", 0},                                                           \
    {                                                                                                                  \
        "com", ZONE_TXT, "v=spf1 +all", 0                                                                              \
    }

START_TEST(what_records_say)
{
    const struct zone_row rows[] = {{"example.com", ZONE_TXT, records[_i].record, 0}, HOSTS};
    struct spf_request req = {.ip = slice_of(records[_i].v6 ? "2001:DB8::1" : "192.0.2.1"),
                              .sender = SLICE("me@Example.COM"),
                              .helo = SLICE("mail.example.com")};
    struct spf_verdict v = ask(rows, ARRAY_LEN(rows), &req);
    ck_assert_msg(v.result == records[_i].result, "%s: %s, %.*s", records[_i].record, spf_result_name(v.result),
                  SLICE_ARG(v.why));
    ck_assert_slice_eq(v.mechanism, records[_i].mechanism);
    ck_assert_slice_eq(v.domain, "example.com");
    ck_assert(!v.of_helo);
}
END_TEST

/* ---- identities ------------------------------------------------------------------------------ */

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct zone_row identity_zone[] = {
    {"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1 -all", 0},
    {"mail.example.com", ZONE_TXT, "v=spf1 a -all", 0},
    {"mail.example.com", ZONE_A, "192.0.2.1", 0},
    {"under_score.example.com", ZONE_TXT, "v=spf1 +all", 0},
    {"xn--mller-kva.example", ZONE_TXT, "v=spf1 ip4:192.0.2.1 -all", 0},
    {"localhost", ZONE_TXT, "v=spf1 +all", 0},
    {"1.2.3.4", ZONE_TXT, "v=spf1 +all", 0},
    {L63 ".example.com", ZONE_TXT, "v=spf1 +all", 0},
    {L63 "a.example.com", ZONE_TXT, "v=spf1 +all", 0},
};

static const struct {
    const char *ip, *sender, *helo;
    enum spf_result result;
    bool of_helo;
    const char *domain;
} identities[] = {
    {"192.0.2.1", "me@example.com", "", SPF_PASS, false, "example.com"},
    {"::ffff:192.0.2.1", "me@example.com", "", SPF_PASS, false, "example.com"},
    {"::FFFF:c000:201", "me@example.com", "", SPF_PASS, false, "example.com"},
    {"::192.0.2.1", "me@example.com", "", SPF_FAIL, false, "example.com"},
    {"192.0.2.1", "", "mail.example.com", SPF_PASS, true, "mail.example.com"},
    {"192.0.2.1", "", "MAIL.example.com.", SPF_PASS, true, "mail.example.com"},
    {"192.0.2.2", "", "mail.example.com", SPF_FAIL, true, "mail.example.com"},
    {"192.0.2.1", "me@example.com", "forged.test", SPF_PASS, false, "example.com"},
    {"192.0.2.1", "\"a@b\"@example.com", "", SPF_PASS, false, "example.com"},
    {"192.0.2.1", "@example.com", "", SPF_PASS, false, "example.com"},
    {"192.0.2.1", "example.com", "", SPF_PASS, false, "example.com"},
    {"192.0.2.1", "me@under_score.example.com", "", SPF_PASS, false, "under_score.example.com"},
    {"192.0.2.1", "\xc3\xb6@m\xc3\xbcller.example", "", SPF_PASS, false, "xn--mller-kva.example"},
    {"192.0.2.1", "", "M\xc3\xbcller.example", SPF_PASS, true, "xn--mller-kva.example"},
    {"192.0.2.1", "me@" L63 ".example.com", "", SPF_PASS, false, L63 ".example.com"},
    /* nothing to check */
    {"192.0.2.1", "me@" L63 "a.example.com", "", SPF_NONE, false, ""},
    {"192.0.2.1", "", "", SPF_NONE, true, ""},
    {"192.0.2.1", "", "localhost", SPF_NONE, true, ""},
    {"192.0.2.1", "me@localhost", "mail.example.com", SPF_NONE, false, ""},
    {"192.0.2.1", "", "[192.0.2.1]", SPF_NONE, true, ""},
    {"192.0.2.1", "me@", "mail.example.com", SPF_NONE, false, ""},
    {"192.0.2.1", "me@.example.com", "", SPF_NONE, false, ""},
    {"192.0.2.1", "me@exam ple.com", "", SPF_NONE, false, ""},
    {"192.0.2.1", "me@example.com\n", "", SPF_NONE, false, ""},
    {"192.0.2.1", "me@\xff.com", "", SPF_NONE, false, ""},
    {"192.0.2.1", "me@nothing.test", "", SPF_NONE, false, "nothing.test"},
    {"192.0.2.1", "me@ok.under_score.example.com", "", SPF_NONE, false, "ok.under_score.example.com"},
    {"", "me@example.com", "", SPF_NONE, false, ""},
    {"192.0.2", "me@example.com", "", SPF_NONE, false, ""},
    {"[192.0.2.1]", "me@example.com", "", SPF_NONE, false, ""},
    {"2001:db8::1%eth0", "me@example.com", "", SPF_NONE, false, ""},
};

START_TEST(who_is_asked_about)
{
    struct spf_request req = {.ip = slice_of(identities[_i].ip),
                              .sender = slice_of(identities[_i].sender),
                              .helo = slice_of(identities[_i].helo)};
    struct spf_verdict v = ask(identity_zone, ARRAY_LEN(identity_zone), &req);
    ck_assert_msg(v.result == identities[_i].result, "%d: %s, %.*s", _i, spf_result_name(v.result), SLICE_ARG(v.why));
    ck_assert_int_eq(v.of_helo, identities[_i].of_helo);
    ck_assert_slice_eq(v.domain, identities[_i].domain);
    ck_assert(v.result != SPF_NONE || v.domain.n > 0 || zone.queries == 0);
}
END_TEST

/* ---- macros, as explanations show them
 * ---------------------------------------------------------------------------------- */

/* RFC 7208 7.4, its examples with strong-bad@email.example.com at 192.0.2.3, then edges.  NULL: there is none. */
static const struct {
    const char *text, *expanded;
} macros[] = {
    {"%{s}", "strong-bad@email.example.com"},
    {"%{o}", "email.example.com"},
    {"%{d}", "email.example.com"},
    {"%{d4}", "email.example.com"},
    {"%{d3}", "email.example.com"},
    {"%{d2}", "example.com"},
    {"%{d1}", "com"},
    {"%{dr}", "com.example.email"},
    {"%{d2r}", "example.email"},
    {"%{l}", "strong-bad"},
    {"%{l-}", "strong.bad"},
    {"%{lr}", "strong-bad"},
    {"%{lr-}", "bad.strong"},
    {"%{l1r-}", "strong"},
    {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
    {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
    {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
    {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
    {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
    {"%{c} %{r} %{t} %{h} %{p} %{v}", "192.0.2.3 mx.example.org 1700000000 mail.example.com unknown in-addr"},
    {"%{S} %{L}", "strong-bad%40email.example.com strong-bad"},
    {"%{H1r} %{C}", "mail 192.0.2.3"},
    {"%{d99999999999999999999}", "email.example.com"},
    {"%{o2r.-}", "example.email"},
    {"100%% or%_more%-", "100% or more%20"},
    {"", NULL},
    {"%", NULL},
    {"%{x}", NULL},
    {"%{d", NULL},
    {"%{d0}", NULL},
    {"tab\there", NULL},
    {"8-bit \xc3\xb6", NULL},
};

static const char *explanation_of(const char *text, struct slice sender, struct slice helo)
{
    static char copy[1200];
    const struct zone_row rows[] = {
        {"email.example.com", ZONE_TXT, "v=spf1 -all exp=%{d2}", 0},
        {"example.com", ZONE_TXT, text, 0},
    };
    struct spf_request req = {.ip = SLICE("192.0.2.3"),
                              .sender = sender,
                              .helo = helo,
                              .receiver = SLICE("mx.example.org"),
                              .now = 1700000000};
    struct spf_verdict v = ask(rows, ARRAY_LEN(rows), &req);
    ck_assert_int_eq(v.result, SPF_FAIL);
    snprintf(copy, sizeof copy, "%.*s", SLICE_ARG(v.explanation));
    return v.explanation.n > 0 ? copy : NULL;
}

START_TEST(what_macros_become)
{
    const char *got = explanation_of(macros[_i].text, SLICE("strong-bad@email.example.com"), SLICE("mail.example.com"));
    ck_assert_pstr_eq(got, macros[_i].expanded);
}
END_TEST

START_TEST(hostile_values_in_explanations)
{
    /* no line end, no 8-bit, nothing huge */
    ck_assert_ptr_null(explanation_of("%{l}", SLICE("a\r\n250 ok@email.example.com"), SLICE("x")));
    ck_assert_ptr_null(explanation_of("%{l}", SLICE("\xc3\xb6@email.example.com"), SLICE("x")));
    ck_assert_ptr_null(explanation_of("%{h}", SLICE("a@email.example.com"), SLICE("a\nb")));
    ck_assert_str_eq(explanation_of("%{L}", SLICE("a\r\nb@email.example.com"), SLICE("x")), "a%0D%0Ab");
    char huge[900];
    memset(huge, 'x', sizeof huge);
    ck_assert_uint_eq(strlen(explanation_of("%{h}", SLICE("a@email.example.com"), slice_from(huge, 900))), 900);
    ck_assert_ptr_null(explanation_of("%{h}%{h}", SLICE("a@email.example.com"), slice_from(huge, 900)));
}
END_TEST

START_TEST(the_name_of_the_client)
{
    /* RFC 7208 7.3: the domain itself, else one below it, else any that is validated */
    static const char *const ptr[] = {"other.test", "forged.test", "a.example.com",
                                      "other.test", "example.com", "a.example.com"};
    static const char *const expected[] = {
        "a name of unknown",       "a name of other.test",  "a name of other.test", "a name of a.example.com",
        "a name of a.example.com", "a name of example.com", "a name of example.com"};
    struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = SLICE("me@example.com")};
    struct zone_row rows[16] = {{"example.com", ZONE_TXT, "v=spf1 -all exp=why.test", 0},
                                {"why.test", ZONE_TXT, "a name of %{p}", 0},
                                {"other.test", ZONE_A, "192.0.2.1", 0},
                                {"a.example.com", ZONE_A, "192.0.2.1", 0},
                                {"example.com", ZONE_A, "192.0.2.1", 0}};
    size_t n = 5;
    for (size_t i = 0; i <= ARRAY_LEN(ptr); i++) {
        ck_assert_slice_eq(ask(rows, n, &req).explanation, expected[i]);
        if (i < ARRAY_LEN(ptr))
            rows[n++] = (struct zone_row){"1.2.0.192.in-addr.arpa", ZONE_PTR, ptr[i], 0};
    }
}
END_TEST

START_TEST(a_local_part_that_is_not_ascii)
{
    /* RFC 8616 4: terms with %{s} or %{l} match nothing, %{o} does */
    static const struct zone_row rows[] = {
        {"example.com", ZONE_TXT, "v=spf1 exists:%{l}.example.com exists:%{s1}.example.com exists:%{o}.ok.test -all",
         0},
        {"example.com.ok.test", ZONE_A, "127.0.0.2", 0},
        {"com.example.com", ZONE_A, "127.0.0.2", 0},
    };
    struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = SLICE("\xc3\xb6@example.com")};
    struct spf_verdict v = ask(rows, ARRAY_LEN(rows), &req);
    ck_assert_slice_eq(v.mechanism, "exists:%{o}.ok.test");
    ck_assert_uint_eq(zone.queries, 2);
    req.sender = SLICE("o@example.com");
    ck_assert_slice_eq(ask(rows, ARRAY_LEN(rows), &req).mechanism, "exists:%{s1}.example.com");
}
END_TEST

/* ---- limits
 * -------------------------------------------------------------------------------------------------------------- */

static struct spf_verdict ask_record(const char *record)
{
    const struct zone_row rows[] = {{"example.com", ZONE_TXT, record, 0}, HOSTS};
    struct spf_request req = {.ip = SLICE("192.0.2.77"), .sender = SLICE("me@example.com")};
    return ask(rows, ARRAY_LEN(rows), &req);
}

START_TEST(ten_lookups)
{
#define NINE "a:mail.example.com mx mx mx mx mx mx mx mx "
    ck_assert_int_eq(ask_record("v=spf1 " NINE "ptr -all").result, SPF_FAIL);
    ck_assert_int_eq(ask_record("v=spf1 " NINE "ptr mx -all").result, SPF_PERMERROR);
    ck_assert_int_eq(ask_record("v=spf1 " NINE "mx redirect=allowed.example.com").result, SPF_PERMERROR);
    ck_assert_int_eq(ask_record("v=spf1 " NINE "redirect=allowed.example.com").result, SPF_NEUTRAL);
    /* RFC 7208 4.6.4: %{p} asks for a PTR record, once */
    ck_assert_int_eq(ask_record("v=spf1 " NINE "a:%{p}.example.com -all").result, SPF_PERMERROR);
    ck_assert_int_eq(ask_record("v=spf1 a:%{p}.example.com a:%{p}.example.com mx mx mx mx mx mx mx -all").result,
                     SPF_FAIL);
    struct spf_verdict v = ask_record("v=spf1 include:example.com -all");
    ck_assert_int_eq(v.result, SPF_PERMERROR);
    ck_assert_slice_eq(v.why, "the record of example.com needs more than 10 DNS lookups");
    ck_assert_uint_eq(zone.queries, 11);
}
END_TEST

START_TEST(two_void_lookups)
{
    ck_assert_int_eq(ask_record("v=spf1 a:x.test exists:y.test -all").result, SPF_FAIL);
    struct spf_verdict v = ask_record("v=spf1 a:x.test exists:y.test mx:z.test -all");
    ck_assert_int_eq(v.result, SPF_PERMERROR);
    ck_assert_slice_eq(v.why, "the record of example.com asks for more than 2 names that DNS does not have");
    /* mail servers without an address of the client's family are no terms */
    ck_assert_int_eq(ask_record("v=spf1 mx:example.com mx:example.com mx:example.com -all").result, SPF_FAIL);
    /* the client's missing PTR record counts as any other */
    ck_assert_int_eq(ask_record("v=spf1 ptr a:x.test ptr -all").result, SPF_PERMERROR);
}
END_TEST

START_TEST(long_records)
{
    static char record[20000];
    static const char term[] = " ip4:192.0.2.1";
    size_t n = strlen(strcpy(record, "v=spf1"));
    while (n + sizeof term < 8192)
        n += strlen(strcpy(record + n, term));
    ck_assert_int_eq(ask_record(record).result, SPF_NEUTRAL);
    while (n < 8193)
        record[n++] = ' ';
    record[n] = '\0';
    ck_assert_int_eq(ask_record(record).result, SPF_PERMERROR);
}
END_TEST

START_TEST(many_records_and_names)
{
    /* ten mail servers are looked up, eleven are an error; ten PTR names are, the eleventh is ignored */
    struct zone_row rows[40] = {{"example.com", ZONE_TXT, "v=spf1 mx ptr -all", 0}};
    static const char *const names[] = {"a.test", "b.test", "c.test", "d.test", "e.test",          "f.test",
                                        "g.test", "h.test", "i.test", "j.test", "mail.example.com"};
    struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = SLICE("me@example.com")};
    size_t n = 1;
    rows[n++] = (struct zone_row){"mail.example.com", ZONE_A, "192.0.2.1", 0};
    for (size_t i = 0; i < 10; i++)
        rows[n++] = (struct zone_row){"example.com", ZONE_MX, names[i], 0};
    for (size_t i = 0; i < 11; i++)
        rows[n++] = (struct zone_row){"1.2.0.192.in-addr.arpa", ZONE_PTR, names[i], 0};
    struct spf_verdict v = ask(rows, n, &req);
    ck_assert_int_eq(v.result, SPF_FAIL);
    ck_assert_uint_eq(zone.queries, 1 + 11 + 11);
    rows[n++] = (struct zone_row){"example.com", ZONE_MX, names[10], 0};
    v = ask(rows, n, &req);
    ck_assert_int_eq(v.result, SPF_PERMERROR);
    ck_assert_slice_eq(v.why, "example.com has more than 10 MX records");
}
END_TEST

START_TEST(long_identities)
{
    static char name[2000];
    memset(name, 'a', sizeof name);
    struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = slice_from(name, sizeof name)};
    ck_assert_int_eq(ask(NULL, 0, &req).result, SPF_NONE);
    req = (struct spf_request){.ip = SLICE("192.0.2.1"), .helo = slice_from(name, 254)};
    ck_assert_int_eq(ask(NULL, 0, &req).result, SPF_NONE);
    req = (struct spf_request){.ip = slice_from(name, sizeof name), .helo = SLICE("example.com")};
    ck_assert_int_eq(ask(NULL, 0, &req).result, SPF_NONE);
    ck_assert_uint_eq(zone.queries, 0);
}
END_TEST

/* ---- what is said
 * ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *record, *why;
} sentences[] = {
    {"v=spf1 ip4:192.0.2.1 -all",
     "the record of example.com does not list 192.0.2.77: it says \"v=spf1 ip4:192.0.2.1 -all\""},
    {"v=spf1 ip4:192.0.2.0/24 -all", "\"ip4:192.0.2.0/24\" in the record of example.com matches 192.0.2.77"},
    {"v=spf1 +all", "the record of example.com allows every address: it says \"v=spf1 +all\""},
    {"v=spf1 a", "no part of the record of example.com matches 192.0.2.77: it says \"v=spf1 a\""},
    {"v=spf1 redirect=allowed.example.com", "no part of the record of allowed.example.com (by redirect from "
                                            "example.com) matches 192.0.2.77: it says \"v=spf1 ip4:192.0.2.1\""},
    {"v=spf1 redirect=nothing.test",
     "the record of example.com redirects to \"nothing.test\", where there is no SPF record"},
    {"v=spf1 include:nothing.test",
     "the record of example.com says \"include:nothing.test\", but there is no SPF record"},
    {"v=spf1 a:192.0.2.77",
     "the record of example.com is broken: \"a:192.0.2.77\" is not valid: an address stands behind ip4:"},
    {"v=spf1 ipv4:192.0.2.77",
     "the record of example.com is broken: \"ipv4:192.0.2.77\" is not valid: there is no such mechanism"},
    {"v=spf1 mx exp=x.test exp=x.test",
     "the record of example.com is broken: \"exp=x.test\" is not valid: it stands there twice"},
    {"v=spf1 \xff\x1b[0m", "the record of example.com is broken: \"??[0m\" is not valid: there is no such mechanism"},
    {"spf1", "example.com publishes no SPF record"},
};

START_TEST(what_is_said)
{
    ck_assert_slice_eq(ask_record(sentences[_i].record).why, sentences[_i].why);
}
END_TEST

START_TEST(what_is_said_of_dns)
{
    static const struct zone_row rows[] = {
        {"example.com", ZONE_TXT, "v=spf1 include:a.test -all", 0},
        {"a.test", ZONE_TXT, "v=spf1 include:b.test -all", 0},
        {"b.test", ZONE_TXT, "v=spf1 ip4:192.0.2.0/24 -all", 0},
        {"twice.test", ZONE_TXT, "v=spf1 -all", 0},
        {"twice.test", ZONE_TXT, "v=spf1 mx -all", 0},
        {"later.test", ZONE_TEMPFAIL, "", 0},
        {"asks.test", ZONE_TXT, "v=spf1 mx:later.test -all", 0},
    };
    static const struct {
        const char *sender, *why;
    } said[] = {
        {"me@example.com", "\"include:a.test\" in the record of example.com matches 192.0.2.1, through "
                           "\"ip4:192.0.2.0/24\" of b.test"},
        {"me@twice.test", "twice.test publishes 2 SPF records, but only one is allowed"},
        {"me@later.test", "DNS gave no answer for the SPF record of later.test"},
        {"me@asks.test", "DNS gave no answer for the MX record of later.test"},
        {"me@gone.test", "gone.test does not exist"},
        {"me@localhost", "\"localhost\" in MAIL FROM is no domain name that could have an SPF record"},
    };
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = slice_of(said[i].sender)};
        ck_assert_slice_eq(ask(rows, ARRAY_LEN(rows), &req).why, said[i].why);
    }
}
END_TEST

START_TEST(memory_that_ends)
{
    static const struct zone_row rows[] = {
        {"example.com", ZONE_TXT, "v=spf1 include:a.test ptr mx exists:%{i}.x.test -all exp=why.test", 0},
        {"a.test", ZONE_TXT, "v=spf1 ip4:192.0.2.99", 0},
        {"why.test", ZONE_TXT, "because of %{i}", 0},
    };
    struct spf_request req = {.ip = SLICE("192.0.2.1"), .sender = SLICE("me@example.com")};
    bool judged = false;
    for (size_t max = 1; max < 200000 && !judged; max += 13) {
        arena_free(&arena);
        arena = ARENA_INIT(max);
        struct spf_verdict v = ask(rows, ARRAY_LEN(rows), &req);
        judged = v.result == SPF_PERMERROR; /* ptr, mx and exists are void */
        ck_assert_msg(judged || v.result == SPF_TEMPERROR, "%zu octets: %s", max, spf_result_name(v.result));
    }
    ck_assert(judged);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("spf");
    TCase *t = tcase_create("spf");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, what_records_say, 0, ARRAY_LEN(records));
    tcase_add_loop_test(t, who_is_asked_about, 0, ARRAY_LEN(identities));
    tcase_add_loop_test(t, what_macros_become, 0, ARRAY_LEN(macros));
    tcase_add_test(t, hostile_values_in_explanations);
    tcase_add_test(t, the_name_of_the_client);
    tcase_add_test(t, a_local_part_that_is_not_ascii);
    tcase_add_test(t, ten_lookups);
    tcase_add_test(t, two_void_lookups);
    tcase_add_test(t, long_records);
    tcase_add_test(t, many_records_and_names);
    tcase_add_test(t, long_identities);
    tcase_add_loop_test(t, what_is_said, 0, ARRAY_LEN(sentences));
    tcase_add_test(t, what_is_said_of_dns);
    tcase_add_test(t, memory_that_ends);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
