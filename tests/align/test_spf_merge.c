/* What is published, and the one SPF record that should be: that our addresses pass by it, and that nobody who passed
 * before fails. */
#include "testing.h"
#include "zone.h"

#include "sendas/align.h"

static struct arena arena;
static struct zone zone;

static void setup(void)
{
    arena = ARENA_INIT(64 * 1024 * 1024);
    zone = (struct zone){0};
}

static void teardown(void)
{
    strbuf_free(&zone.asked);
    arena_free(&arena);
}

/* ---- the world of the rows --------------------------------------------------------------------------------------- */

#define T11                                                                                                            \
    "a:t1.test a:t2.test a:t3.test a:t4.test a:t5.test a:t6.test a:t7.test a:t8.test a:t9.test a:ta.test a:tb.test"
#define LONG_PART                                                                                                      \
    "ip4:198.51.100.101 ip4:198.51.100.102 ip4:198.51.100.103 ip4:198.51.100.104 ip4:198.51.100.105 "                  \
    "ip4:198.51.100.106 ip4:198.51.100.107 ip4:198.51.100.108 ip4:198.51.100.109 ip4:198.51.100.110 "                  \
    "ip4:198.51.100.111 ip4:198.51.100.112 ip4:198.51.100.113 ip4:198.51.100.114 ip4:198.51.100.115 "                  \
    "ip4:198.51.100.116 ip4:198.51.100.117 ip4:198.51.100.118 ip4:198.51.100.119 ip4:198.51.100.120 "                  \
    "ip4:198.51.100.121 ip4:198.51.100.122 ip4:198.51.100.123"
#define HOST(name)                                                                                                     \
    {name, ZONE_A, "203.0.113.50", 0},                                                                                 \
    {                                                                                                                  \
        name, ZONE_AAAA, "2001:db8:50::1", 0                                                                           \
    }

static const struct zone_row world[] = {
    {"mail.example.com", ZONE_A, "192.0.2.1", 0},
    {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0},
    {"example.com", ZONE_MX, "mx.example.com", 0},
    {"mx.example.com", ZONE_A, "203.0.113.5", 0},
    {"mx.example.com", ZONE_AAAA, "2001:db8:5::1", 0},
    {"example.com", ZONE_A, "203.0.113.80", 0},
    {"example.com", ZONE_AAAA, "2001:db8:80::1", 0},
    {"1.2.0.192.in-addr.arpa", ZONE_PTR, "mail.example.com", 0},
    {"_spf.google.test", ZONE_TXT, "v=spf1 include:_n1.google.test include:_n2.google.test ~all", 0},
    {"_n1.google.test", ZONE_TXT, "v=spf1 ip4:198.51.100.0/24 ~all", 0},
    {"_n2.google.test", ZONE_TXT, "v=spf1 ip6:2001:db8:aaaa::/48 ~all", 0},
    {"esp.test", ZONE_TXT, "v=spf1 ip4:203.0.113.128/25 -all", 0},
    {"provider.test", ZONE_TXT, "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/48 -all", 0},
    {"anyone.test", ZONE_TXT, "v=spf1 +all", 0},
    {"broken.test", ZONE_TXT, "v=spf1 ip5:192.0.2.9 -all", 0},
    {"norecord.test", ZONE_TXT, "hello", 0},
    {"two.test", ZONE_TXT, "v=spf1 -all", 0},
    {"two.test", ZONE_TXT, "v=spf1 ~all", 0},
    {"silent.test", ZONE_TEMPFAIL, "", 0},
    {"loop.test", ZONE_TXT, "v=spf1 include:loop.test -all", 0},
    {"eleven.test", ZONE_TXT, "v=spf1 " T11 " -all", 0},
    HOST("t1.test"),
    HOST("t2.test"),
    HOST("t3.test"),
    HOST("t4.test"),
    HOST("t5.test"),
    HOST("t6.test"),
    HOST("t7.test"),
    HOST("t8.test"),
    HOST("t9.test"),
    HOST("ta.test"),
    HOST("tb.test"),
};

static const char *const both[] = {"192.0.2.1", "2001:db8::1", NULL}, *const four[] = {"192.0.2.1", NULL},
                         *const six[] = {"2001:DB8::1", NULL}, *const none[] = {NULL},
                         *const twice[] = {"192.0.2.1", "192.0.2.1", "192.0.2.2", NULL};

#define NOTE(kind) (1u << SPF_NOTE_##kind)

static const struct {
    const char *published[4];
    const char *const *ips;
    const char *record; /* NULL: the one that is published */
    unsigned notes;     /* a set of NOTE(kind) */
    unsigned lookups, voids;
} rows[] = {
    /* nothing there */
    {{NULL}, four, "v=spf1 ip4:192.0.2.1 -all", 0, 0, 0},
    {{NULL}, both, "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all", 0, 0, 0},
    {{NULL}, none, "v=spf1 a:mail.example.com -all", 0, 1, 0},
    {{NULL}, twice, "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all", 0, 0, 0},
    {{"google-site-verification=x", "v=spf10 -all", "v=spf2.0/pra -all"}, four, "v=spf1 ip4:192.0.2.1 -all", 0, 0, 0},
    /* one that lacks this host */
    {{"v=spf1 -all"}, four, "v=spf1 ip4:192.0.2.1 -all", 0, 0, 0},
    {{"v=spf1 mx ~all"}, both, "v=spf1 mx ip4:192.0.2.1 ip6:2001:db8::1 ~all", 0, 1, 0},
    {{"v=spf1 include:_spf.google.test ~all"}, four, "v=spf1 include:_spf.google.test ip4:192.0.2.1 ~all", 0, 3, 0},
    {{"V=SPF1 A MX Include:esp.test -ALL"}, four, "v=spf1 A MX Include:esp.test ip4:192.0.2.1 -ALL", 0, 3, 0},
    {{"v=spf1  mx   a  -all "}, four, "v=spf1 mx a ip4:192.0.2.1 -all", 0, 2, 0},
    {{"v=spf1 ip4:192.0.2.1 -all"}, both, "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all", 0, 0, 0},
    {{"v=spf1 ip4:192.0.2.0/31 -all", "other text"}, both, "v=spf1 ip4:192.0.2.0/31 ip6:2001:db8::1 -all", 0, 0, 0},
    {{"v=spf1 mx -all exp=why.test"}, four, "v=spf1 mx exp=why.test ip4:192.0.2.1 -all", 0, 1, 0},
    {{"v=spf1 mx -all"}, none, "v=spf1 mx a:mail.example.com -all", 0, 2, 0},
    /* one that has it already */
    {{"v=spf1 ip4:192.0.2.1 -all"}, four, NULL, 0, 0, 0},
    {{"v=spf1  ip4:192.0.2.1  -all"}, four, NULL, 0, 0, 0},
    {{"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all"}, both, NULL, 0, 0, 0},
    {{"v=spf1 a:mail.example.com -all"}, both, NULL, 0, 1, 0},
    {{"v=spf1 a:mail.example.com -all"}, none, NULL, 0, 1, 0},
    {{"v=spf1 mx/24 -all"}, (const char *const[]){"203.0.113.77", NULL}, NULL, 0, 1, 0},
    {{"v=spf1 include:provider.test -all"}, both, NULL, 0, 1, 0},
    {{"v=spf1 redirect=provider.test"}, both, NULL, 0, 1, 0},
    {{"v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"},
     four,
     "v=spf1 exists:%{ir}.%{v}._spf.%{d2} ip4:192.0.2.1 -all",
     0,
     1,
     0},
    /* how it ends */
    {{"v=spf1 redirect=esp.test"}, four, "v=spf1 ip4:192.0.2.1 redirect=esp.test", 0, 1, 0},
    {{"v=spf1 redirect=esp.test mx"}, four, "v=spf1 mx ip4:192.0.2.1 redirect=esp.test", 0, 2, 0},
    {{"v=spf1 redirect=esp.test ~all"}, four, "v=spf1 ip4:192.0.2.1 ~all", NOTE(REDIRECT), 0, 0},
    {{"v=spf1 mx"}, four, "v=spf1 mx ip4:192.0.2.1", NOTE(NEUTRAL), 1, 0},
    {{"v=spf1"}, four, "v=spf1 ip4:192.0.2.1", NOTE(NEUTRAL), 0, 0},
    {{"v=spf1 mx ?all"}, four, "v=spf1 mx ip4:192.0.2.1 ?all", NOTE(NEUTRAL), 1, 0},
    {{"v=spf1 mx +all"}, four, "v=spf1 mx ip4:192.0.2.1 +all", NOTE(PLUS_ALL), 1, 0},
    {{"v=spf1 all"}, four, "v=spf1 ip4:192.0.2.1 all", NOTE(PLUS_ALL), 0, 0},
    {{"v=spf1 mx -all include:esp.test"}, four, "v=spf1 mx ip4:192.0.2.1 -all", NOTE(BEHIND_ALL), 1, 0},
    {{"v=spf1 ip4:192.0.2.1 -all include:esp.test"}, four, NULL, NOTE(BEHIND_ALL), 0, 0},
    {{"v=spf1 mx ~all -all"}, four, "v=spf1 mx ip4:192.0.2.1 ~all", NOTE(BEHIND_ALL), 1, 0},
    /* what does not hold by itself */
    {{"v=spf1 ptr -all"}, four, "v=spf1 ptr ip4:192.0.2.1 -all", NOTE(PTR), 1, 0},
    {{"v=spf1 include:anyone.test -all"}, four, "v=spf1 include:anyone.test ip4:192.0.2.1 -all", 0, 1, 0},
    {{"v=spf1 exists:%{l}.x.test -all"}, four, "v=spf1 exists:%{l}.x.test ip4:192.0.2.1 -all", 0, 1, 0},
    /* what decides before */
    {{"v=spf1 -ip4:192.0.2.0/24 mx -all"},
     four,
     "v=spf1 ip4:192.0.2.1 -ip4:192.0.2.0/24 mx -all",
     NOTE(IN_FRONT),
     1,
     0},
    {{"v=spf1 -ip4:192.0.2.0/24 ip4:192.0.2.1 -all"},
     four,
     "v=spf1 ip4:192.0.2.1 -ip4:192.0.2.0/24 -all",
     NOTE(IN_FRONT),
     0,
     0},
    {{"v=spf1 ?include:provider.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 ?include:provider.test -all",
     NOTE(IN_FRONT),
     1,
     0},
    {{"v=spf1 include:norecord.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:norecord.test -all",
     NOTE(IN_FRONT) | NOTE(INCLUDE),
     1,
     0},
    {{"v=spf1 include:broken.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:broken.test -all",
     NOTE(IN_FRONT) | NOTE(INCLUDE),
     1,
     0},
    {{"v=spf1 include:two.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:two.test -all",
     NOTE(IN_FRONT) | NOTE(INCLUDE),
     1,
     0},
    /* what it costs */
    {{"v=spf1 " T11 " -all"}, four, "v=spf1 ip4:192.0.2.1 " T11 " -all", NOTE(IN_FRONT) | NOTE(LOOKUPS), 11, 0},
    {{"v=spf1 ip4:192.0.2.1 " T11 " -all"}, four, NULL, NOTE(LOOKUPS), 11, 0},
    {{"v=spf1 include:eleven.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:eleven.test -all",
     NOTE(IN_FRONT) | NOTE(LOOKUPS),
     12,
     0},
    {{"v=spf1 a:n1.test a:n2.test a:n3.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 a:n1.test a:n2.test a:n3.test -all",
     NOTE(IN_FRONT) | NOTE(VOIDS),
     3,
     3},
    {{"v=spf1 a:n1.test mx:n2.test -all"}, four, "v=spf1 a:n1.test mx:n2.test ip4:192.0.2.1 -all", 0, 2, 2},
    {{"v=spf1 include:loop.test -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:loop.test -all",
     NOTE(IN_FRONT) | NOTE(LOOKUPS),
     13,
     0},
    {{"v=spf1 include:example.com -all"},
     four,
     "v=spf1 ip4:192.0.2.1 include:example.com -all",
     NOTE(IN_FRONT) | NOTE(LOOKUPS),
     13,
     0},
    {{"v=spf1 " LONG_PART " -all"}, four, "v=spf1 " LONG_PART " ip4:192.0.2.1 -all", NOTE(LONG), 0, 0},
    {{"v=spf1 include:silent.test -all"}, four, "v=spf1 include:silent.test ip4:192.0.2.1 -all", NOTE(UNKNOWN), 1, 0},
    /* what is not valid */
    {{"v=spf1 ip4:300.0.2.1 mx -all"}, four, "v=spf1 mx ip4:192.0.2.1 -all", NOTE(INVALID), 1, 0},
    {{"v=spf1 ip4:192.0.2.1 ipv4:192.0.2.3 -all"}, four, "v=spf1 ip4:192.0.2.1 -all", NOTE(INVALID), 0, 0},
    {{"v=spf1 a:192.0.2.9 include: mx, -all"}, four, "v=spf1 ip4:192.0.2.1 -all", NOTE(INVALID), 0, 0},
    {{"v=spf1 redirect= mx"}, four, "v=spf1 mx ip4:192.0.2.1", NOTE(INVALID) | NOTE(NEUTRAL), 1, 0},
    {{"v=spf1 mx\ta -all"}, four, "v=spf1 mx a ip4:192.0.2.1 -all", NOTE(INVALID), 2, 0},
    {{"v=spf1 mx \xc3\xa4:x.test -all"}, four, "v=spf1 mx ip4:192.0.2.1 -all", NOTE(INVALID), 1, 0},
    {{"v=spf1 include=esp.test mx -all"}, four, "v=spf1 include=esp.test mx ip4:192.0.2.1 -all", NOTE(MODIFIER), 1, 0},
    {{"v=spf1 include:esp.test include:esp.test +mx mx -all"},
     four,
     "v=spf1 include:esp.test +mx ip4:192.0.2.1 -all",
     NOTE(DUPLICATE),
     2,
     0},
    {{"v=spf1 ip4:192.0.2.1 IP4:192.0.2.1 -all"}, four, NULL, NOTE(DUPLICATE), 0, 0},
    {{"\"v=spf1 mx -all\""}, four, "v=spf1 mx ip4:192.0.2.1 -all", NOTE(NO_RECORD), 1, 0},
    {{" v=spf1 ip4:192.0.2.1 -all"}, four, "v=spf1 ip4:192.0.2.1 -all", NOTE(NO_RECORD), 0, 0},
    {{"\"v=spf1 mx -all\"", "v=spf1 ip4:192.0.2.1 -all"}, four, NULL, NOTE(NO_RECORD), 0, 0},
    /* several */
    {{"v=spf1 mx -all", "v=spf1 include:esp.test ~all"},
     four,
     "v=spf1 include:esp.test mx ip4:192.0.2.1 ~all",
     NOTE(SEVERAL),
     2,
     0},
    {{"v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.1 -all"},
     four,
     "v=spf1 ip4:192.0.2.1 -all",
     NOTE(SEVERAL),
     0,
     0},
    {{"v=spf1 ip4:192.0.2.1 -all", "x", "v=spf1 mx"},
     both,
     "v=spf1 ip4:192.0.2.1 mx ip6:2001:db8::1 -all",
     NOTE(SEVERAL),
     1,
     0},
    {{"v=spf1 mx -all", "v=spf1 redirect=esp.test"},
     four,
     "v=spf1 mx include:esp.test ip4:192.0.2.1 -all",
     NOTE(SEVERAL) | NOTE(REDIRECT),
     2,
     0},
    {{"v=spf1 mx exp=a.test -all", "v=spf1 a exp=b.test -all"},
     four,
     "v=spf1 a exp=b.test mx ip4:192.0.2.1 -all",
     NOTE(SEVERAL),
     2,
     0},
    /* the rest */
    {{"v=spf1 mx -all"}, six, "v=spf1 mx ip6:2001:db8::1 -all", 0, 1, 0},
    {{"v=spf1 ip6:2001:db8::/32 -all"}, six, NULL, 0, 0, 0},
};

static const struct {
    const char *ip;
} probes[] = {{"192.0.2.1"},   {"192.0.2.2"},     {"192.0.2.9"},        {"198.51.100.7"},   {"198.51.100.110"},
              {"203.0.113.5"}, {"203.0.113.50"},  {"203.0.113.80"},     {"203.0.113.200"},  {"8.8.8.8"},
              {"2001:db8::1"}, {"2001:db8:5::1"}, {"2001:db8:aaaa::7"}, {"2001:db8:50::1"}, {"2001:db8:ffff::1"}};

/* The world, with these texts at example.com. */
static size_t make_zone(struct zone_row *into, const struct slice *texts, size_t n)
{
    memcpy(into, world, sizeof world);
    for (size_t i = 0; i < n; i++)
        into[ARRAY_LEN(world) + i] = (struct zone_row){"example.com", ZONE_TXT, texts[i].p, texts[i].n};
    zone.rows = into;
    zone.n = ARRAY_LEN(world) + n;
    return n;
}

static enum spf_result check(const char *ip)
{
    struct lookup dns = {zone_query, &zone};
    struct spf_request req = {.ip = slice_of(ip), .sender = SLICE("me@example.com"), .helo = SLICE("mail.example.com")};
    struct spf_verdict v;
    spf_check(&arena, &dns, &req, &v);
    return v.result;
}

static void check_notes(int row, const struct spf_merge_result *r, unsigned expected)
{
    unsigned found = 0;
    for (size_t i = 0; i < r->n_notes; i++) {
        struct slice text = r->notes[i].text;
        found |= 1u << r->notes[i].kind;
        ck_assert_uint_gt(text.n, 10);
        ck_assert_int_ne(text.p[text.n - 1], '.');
        for (size_t j = 0; j < text.n; j++)
            ck_assert(text.p[j] >= 0x20 && text.p[j] < 0x7f);
    }
    ck_assert_msg(found == expected, "%d: notes %x, expected %x; %.*s", row, found, expected,
                  r->n_notes > 0 ? (int)r->notes[0].text.n : 0, r->n_notes > 0 ? r->notes[0].text.p : "");
}

START_TEST(merged)
{
    struct zone_row with[ARRAY_LEN(world) + 4];
    struct slice published[4], ips[4];
    size_t n = 0, n_ips = 0;
    enum spf_result before[ARRAY_LEN(probes)];
    while (n < 4 && rows[_i].published[n] != NULL) {
        published[n] = slice_of(rows[_i].published[n]);
        n++;
    }
    for (; rows[_i].ips[n_ips] != NULL; n_ips++)
        ips[n_ips] = slice_of(rows[_i].ips[n_ips]);
    make_zone(with, published, n);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        before[i] = check(probes[i].ip);

    struct lookup dns = {zone_query, &zone};
    struct spf_merge_request req = {SLICE("example.com"), published, n, ips, n_ips, SLICE("mail.example.com")};
    struct spf_merge_result r;
    struct err err = {""};
    ck_assert_msg(spf_merge(&arena, &dns, &req, &r, &err) == 0, "%s", err.text);
    const char *expected = rows[_i].record;
    for (size_t i = 0; expected == NULL && i < n; i++)
        if (strncmp(rows[_i].published[i], "v=spf1 ", 7) == 0)
            expected = rows[_i].published[i];
    ck_assert_slice_eq(r.record, expected);
    bool had = false;
    for (size_t i = 0; i < n; i++)
        had = had || strncasecmp(rows[_i].published[i] + strspn(rows[_i].published[i], "\" "), "v=spf1 ", 7) == 0 ||
              strcmp(rows[_i].published[i], "v=spf1") == 0;
    ck_assert_int_eq(r.change, rows[_i].record == NULL ? SPF_MERGE_KEEP : had ? SPF_MERGE_REPLACE : SPF_MERGE_NEW);
    check_notes(_i, &r, rows[_i].notes);
    ck_assert_uint_eq(r.lookups, rows[_i].lookups);
    ck_assert_uint_eq(r.voids, rows[_i].voids);

    /* published, and evaluated as receivers do */
    make_zone(with, &r.record, 1);
    bool silent = (rows[_i].notes & NOTE(UNKNOWN)) != 0;
    for (size_t i = 0; i < n_ips && !silent; i++)
        ck_assert_msg(check(rows[_i].ips[i]) == SPF_PASS, "%s", rows[_i].ips[i]);
    if (n_ips == 0)
        ck_assert_int_eq(check("192.0.2.1"), SPF_PASS);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        ck_assert_msg(before[i] != SPF_PASS || check(probes[i].ip) == SPF_PASS, "%s passed before", probes[i].ip);

    /* and then nothing is left to do */
    struct spf_merge_request again = {SLICE("example.com"), &r.record, 1, ips, n_ips, SLICE("mail.example.com")};
    struct spf_merge_result second;
    ck_assert_int_eq(spf_merge(&arena, &dns, &again, &second, &err), 0);
    ck_assert_int_eq(second.change, SPF_MERGE_KEEP);
    ck_assert(slice_eq(second.record, r.record));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("the merged SPF record");
    TCase *tc = tcase_create("merge");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, merged, 0, (int)ARRAY_LEN(rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
