/* `sendas check`: what each check makes of tables of DNS, files and certificates, and what receivers are said to do. */
#include "testing.h"

#include "../../src/cli/check.h"
#include "../align/zone.h"

#include "sendas/cli.h"
#include "sendas/dkim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOW = 1795305600, DAY = 86400 };

/* mail.example.com at 192.0.2.1, as it should be. */
#define GOOD_HOST                                                                                                      \
    {"mail.example.com", ZONE_A, "192.0.2.1", 0},                                                                      \
    {                                                                                                                  \
        "1.2.0.192.in-addr.arpa", ZONE_PTR, "mail.example.com", 0                                                      \
    }
#define REVERSE   "1.2.0.192.in-addr.arpa"
#define ZEN       "1.2.0.192.zen.spamhaus.org"
#define SPAMCOP   "1.2.0.192.bl.spamcop.net"
#define BARRACUDA "1.2.0.192.b.barracudacentral.org"
#define PSBL      "1.2.0.192.psbl.surriel.com"
#define ZEN6      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org"
#define SPF       "v=spf1 ip4:192.0.2.1 -all"

static struct config *config;
static struct zone zone;
static struct check_world world;
static struct check_run run;

/* "bogus: ..." for a name that begins with "bogus". */
static const char *why(void *ctx, const char *name, unsigned type)
{
    (void)ctx, (void)type;
    return strncmp(name, "bogus", 5) == 0 ? "bogus: the signature has expired" : "";
}

static struct check_authorities servers = {.reason = ""};

static bool authorities(void *ctx, const char *name, unsigned type, struct check_authorities *ret)
{
    (void)ctx, (void)name, (void)type;
    *ret = servers;
    return true;
}

static struct strbuf contacted; /* "ADDRESS@PORT<SOURCE ", a talk each */

static bool contact(void *ctx, const struct check_contact *who, struct check_reached *ret)
{
    (void)ctx;
    strbuf_addf(&contacted, "%s@%u<%s ", who->address, who->port, who->source);
    *ret = (struct check_reached){.error = ECONNREFUSED};
    return true;
}

/* The routes of this machine: "" = none of this family. */
static const char *routes[2];
static const char *local;

static bool source(void *ctx, int family, char out[CHECK_ADDRESS_SIZE])
{
    const char *route = routes[family == AF_INET6];
    (void)ctx;
    snprintf(out, CHECK_ADDRESS_SIZE, "%s", route == NULL ? "" : route);
    return route != NULL;
}

static bool is_local(void *ctx, const char *address)
{
    (void)ctx;
    return local != NULL && strcmp(local, address) == 0;
}

static void begin(const struct zone_row *rows)
{
    size_t n = 0;
    while (rows[n].name != NULL)
        n++;
    arena_free(&run.memory);
    zone.rows = rows;
    zone.n = n;
    world = (struct check_world){{zone_query, &zone}, why, authorities, contact, source, is_local, NULL};
    check_begin(&run, config, &world, NOW);
    check_addresses(&run);
}

static void setup(void)
{
    config = config_defaults();
    ck_assert_ptr_nonnull(config);
    static char hostname[] = "mail.example.com";
    config->hostname = hostname; /* the configuration's strings go with it, not one by one */
}

static void teardown(void)
{
    ck_assert(!run.failed);
    arena_free(&run.memory);
    strbuf_free(&zone.asked);
    zone = (struct zone){0};
    strbuf_free(&contacted);
    routes[0] = routes[1] = local = NULL;
    config_free(&config);
}

static const struct check_item *last(void)
{
    const struct check_item *item = run.first;
    ck_assert_ptr_nonnull(item);
    while (item->next != NULL)
        item = item->next;
    return item;
}

static void expect_note(const char *note)
{
    const struct check_item *item = last();
    ck_assert_msg(strstr(item->note, note) != NULL, "%s note \"%s\", not \"%s\"", item->id, item->note, note);
}

static void expect(enum check_status status, bool unknown, const char *found, const char *fix)
{
    const struct check_item *item = last();
    ck_assert_msg(item->status == status && item->unknown == unknown, "%s: status %d unknown %d: %s", item->id,
                  item->status, item->unknown, item->found);
    ck_assert_msg(strstr(item->found, found) != NULL, "%s found \"%s\", not \"%s\"", item->id, item->found, found);
    ck_assert_msg(strstr(item->fix, fix) != NULL, "%s fix \"%s\", not \"%s\"", item->id, item->fix, fix);
    ck_assert_msg((item->fix[0] == '\0') == (status == CHECK_PASS), "%s fix \"%s\"", item->id, item->fix);
}

/* ---- DNS ------------------------------------------------------------------------------------- */

static void spf(struct check_run *r)
{
    check_spf(r, "example.com");
}

static char domain_name[] = "example.com", no_path[] = "", own_path[] = "bounces@example.com",
            sub_path[] = "b@bounce.example.com", foreign_path[] = "b@relay.example";

static void dmarc(struct check_run *r)
{
    check_dmarc(r, &(struct config_domain){.name = domain_name, .return_path = no_path});
}

static void dmarc_own(struct check_run *r)
{
    check_dmarc(r, &(struct config_domain){.name = domain_name, .return_path = own_path});
}

static void dmarc_sub(struct check_run *r)
{
    check_dmarc(r, &(struct config_domain){.name = domain_name, .return_path = sub_path});
}

static void dmarc_foreign(struct check_run *r)
{
    check_dmarc(r, &(struct config_domain){.name = domain_name, .return_path = foreign_path});
}

static void return_path(struct check_run *r)
{
    check_return_path(r, &(struct config_domain){.name = domain_name, .return_path = sub_path});
}

static void dnssec(struct check_run *r)
{
    check_dnssec(r, "example.com");
}

static void dnssec_bogus(struct check_run *r)
{
    check_dnssec(r, "bogus.example");
}

static void mx(struct check_run *r)
{
    check_mx(r, "example.com");
}

static const struct dns_row {
    void (*check)(struct check_run *r);
    struct zone_row rows[8];
    enum check_status status;
    bool unknown;
    const char *found, *fix;
} dns_rows[] = {
    {NULL, {GOOD_HOST}, CHECK_PASS, false, "192.0.2.1", ""},
    {NULL,
     {GOOD_HOST, {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0}},
     CHECK_PASS,
     false,
     "192.0.2.1; 2001:db8::1",
     ""},
    {NULL, {{"mail.example.com", ZONE_A, "127.0.0.1", 0}}, CHECK_FAIL, false, "127.0.0.1 (not reachable", "publish"},
    {NULL, {{"mail.example.com", ZONE_A, "192.168.1.1", 0}}, CHECK_FAIL, false, "192.168.1.1 (not", "A record"},
    {NULL, {{"mail.example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "has no address", "publish an A record"},
    {NULL, {{"mail.example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer for mail.example.com", "later"},

    {check_ptr, {GOOD_HOST}, CHECK_PASS, false, "192.0.2.1 -> mail.example.com", ""},
    {check_ptr, {{"mail.example.com", ZONE_A, "192.0.2.1", 0}}, CHECK_FAIL, false, "has no PTR", "to mail.example.com"},
    {check_ptr,
     {{"mail.example.com", ZONE_A, "192.0.2.1", 0}, {REVERSE, ZONE_PTR, "h1.rent.example", 0}},
     CHECK_FAIL,
     false,
     "h1.rent.example, which does not lead back",
     "PTR record of 192.0.2.1 to mail.example.com"},
    {check_ptr,
     {{"mail.example.com", ZONE_A, "192.0.2.1", 0},
      {REVERSE, ZONE_PTR, "h1.rent.example", 0},
      {"h1.rent.example", ZONE_A, "192.0.2.1", 0}},
     CHECK_WARN,
     false,
     "192.0.2.1 -> h1.rent.example",
     "to mail.example.com"},
    {check_ptr,
     {{"mail.example.com", ZONE_A, "192.0.2.1", 0}, {REVERSE, ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "no answer for the PTR",
     "later"},
    {check_ptr,
     {GOOD_HOST, {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0}},
     CHECK_FAIL,
     false,
     "2001:db8::1 has no PTR",
     "PTR record of 2001:db8::1"},
    {check_ptr,
     {GOOD_HOST, {REVERSE, ZONE_PTR, "old.example.com", 0}},
     CHECK_WARN,
     false,
     "192.0.2.1 -> old.example.com, which does not lead back",
     "leave only mail.example.com in the PTR record of 192.0.2.1"},
    {check_ptr, {{"mail.example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "not known", "publish"},

    {check_dnsbl, {GOOD_HOST}, CHECK_PASS, false, "not listed", ""},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_A, "127.0.0.2", 0}}, CHECK_FAIL, false, "listed at zen", "query/ip/192.0.2.1"},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_A, "127.255.255.254", 0}}, CHECK_WARN, true, "could not ask", "dns.servers"},
    {check_dnsbl, {GOOD_HOST, {SPAMCOP, ZONE_A, "127.0.0.2", 0}}, CHECK_WARN, false, "listed at bl.spamcop", "a day"},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_TEMPFAIL, "", 0}}, CHECK_PASS, false, "not listed (1 of 4 questions", ""},
    {check_dnsbl,
     {GOOD_HOST, {ZEN, ZONE_A, "127.0.0.2", 0}, {"1.0.0.127.zen.spamhaus.org", ZONE_A, "127.0.0.2", 0}},
     CHECK_PASS,
     false,
     "not listed",
     ""},
    {check_dnsbl,
     {GOOD_HOST,
      {ZEN, ZONE_TEMPFAIL, "", 0},
      {SPAMCOP, ZONE_TEMPFAIL, "", 0},
      {BARRACUDA, ZONE_TEMPFAIL, "", 0},
      {PSBL, ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "none of the lists",
     "later"},
    {check_dnsbl,
     {{"mail.example.com", ZONE_AAAA, "2001:db8::1", 0}, {ZEN6, ZONE_A, "127.0.0.3", 0}},
     CHECK_FAIL,
     false,
     "2001:db8::1 is listed at zen",
     "query/ip/2001:db8::1"},
    {check_dnsbl, {{"mail.example.com", ZONE_TXT, "x", 0}}, CHECK_WARN, true, "not known", "ptr"},
    {check_dnsbl,
     {GOOD_HOST, {ZEN, ZONE_TEMPFAIL, "", 0}, {SPAMCOP, ZONE_A, "127.0.0.2", 0}},
     CHECK_WARN,
     false,
     "listed at bl.spamcop",
     "a day"},

    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, SPF, 0}, {"example.com", ZONE_TXT, "x", 0}},
     CHECK_PASS,
     false,
     SPF,
     ""},
    {spf, {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 a:mail.example.com ~all", 0}}, CHECK_PASS, false, "a:mail", ""},
    {spf, {GOOD_HOST}, CHECK_FAIL, false, "no SPF record", "at example.com: v=spf1 ip4:192.0.2.1 -all"},
    {spf, {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf10 -all", 0}}, CHECK_FAIL, false, "no SPF record", "publish"},
    {spf,
     {GOOD_HOST,
      {"example.com", ZONE_TXT, "v=spf1 include:other.example ~all", 0},
      {"other.example", ZONE_TXT, "v=spf1 ip4:198.51.100.0/24 -all", 0}},
     CHECK_FAIL,
     false,
     "softfail for 192.0.2.1",
     "by: v=spf1 include:other.example ip4:192.0.2.1 ~all"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 redirect=nowhere.example", 0}},
     CHECK_FAIL,
     false,
     "permerror",
     "by: v=spf1 ip4:192.0.2.1 redirect=nowhere.example"},
    {spf, /* what stands before does not let it through */
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 -ip4:192.0.2.0/24 mx -all", 0}},
     CHECK_FAIL,
     false,
     "fail for 192.0.2.1",
     "by: v=spf1 ip4:192.0.2.1 -ip4:192.0.2.0/24 mx -all"},
    {spf,
     {GOOD_HOST,
      {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0},
      {"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1 -all", 0}},
     CHECK_FAIL,
     false,
     "fail for 2001:db8::1",
     "by: v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"},
    {spf,
     {GOOD_HOST,
      {"example.com", ZONE_TXT, "v=spf1 ip4:198.51.100.1 -all", 0},
      {"example.com", ZONE_TXT, "V=SPF1 ip4:198.51.100.2 IP4:198.51.100.1 ~all", 0}},
     CHECK_FAIL,
     false,
     "2 SPF records",
     "at example.com: v=spf1 ip4:198.51.100.2 IP4:198.51.100.1 ip4:192.0.2.1 ~all"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, SPF, 0}, {"example.com", ZONE_TXT, "v=spf1 redirect=o.example", 0}},
     CHECK_FAIL,
     false,
     "2 SPF records",
     "at example.com: v=spf1 ip4:192.0.2.1 include:o.example -all"},
    {spf, {GOOD_HOST, {"example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer for example.com", "later"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 include:o.example -all", 0}, {"o.example", ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "include:o.example -all (temperror for 192.0.2.1",
     "later"},
    {spf, {{"example.com", ZONE_TXT, SPF, 0}}, CHECK_WARN, true, SPF, "hostname"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1 +all", 0}},
     CHECK_FAIL,
     false,
     "+all",
     "lets everyone send"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1 ?all", 0}},
     CHECK_WARN,
     false,
     "?all",
     "other servers"},
    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.1 include:nowhere.example -all", 0}},
     CHECK_FAIL,
     false,
     "include",
     "nowhere.example"},

    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}}, CHECK_PASS, false, "p=reject", ""},
    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=none", 0}}, CHECK_PASS, false, "p=none", ""},
    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=quarantine; t=y", 0}}, CHECK_PASS, false, "t=y", ""},
    {dmarc_own,
     {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject; aspf=s; adkim=s", 0}},
     CHECK_PASS,
     false,
     "aspf=s",
     ""},
    {dmarc_sub, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}}, CHECK_PASS, false, "p=reject", ""},
    {dmarc_sub,
     {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject; aspf=s", 0}},
     CHECK_WARN,
     false,
     "SPF passes only for bounce.example.com (aspf=s)",
     "take aspf=s out"},
    {dmarc_foreign,
     {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}},
     CHECK_WARN,
     false,
     "SPF passes only for relay.example",
     "a return_path within example.com, or none;"},
    {dmarc_sub,
     {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}, {"_dmarc.bounce.example.com", ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "p=reject",
     "later"},
    {dmarc,
     {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0},
      {"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=none", 0}},
     CHECK_FAIL,
     false,
     "",
     "one TXT record"},
    {dmarc,
     {{"_dmarc.com", ZONE_TXT, "v=DMARC1; p=reject", 0}},
     CHECK_PASS,
     false,
     "v=DMARC1; p=reject at _dmarc.com",
     ""},
    {dmarc, {{"example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "no DMARC record", "_dmarc.example.com: v=DMARC1"},
    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=x", 0}}, CHECK_FAIL, false, "no valid policy", "publish"},
    {dmarc, {{"_dmarc.example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer", "later"},

    {mx,
     {{"example.com", ZONE_MX, "in.example", 0}, {"in.example", ZONE_A, "192.0.2.9", 0}},
     CHECK_PASS,
     false,
     "in",
     ""},
    {mx,
     {{"example.com", ZONE_MX, "in.example", 0},
      {"in.example", ZONE_A, "192.0.2.9", 0},
      {"example.com", ZONE_MX, "gone.example", 0}},
     CHECK_WARN,
     false,
     "gone.example (without an address)",
     "remove the MX record of example.com with gone.example"},
    {mx,
     {{"example.com", ZONE_MX, "in.example", 0},
      {"in.example", ZONE_A, "192.0.2.9", 0},
      {"example.com", ZONE_MX, "", 0}},
     CHECK_WARN,
     false,
     ". (a null MX)",
     "remove the MX record of example.com with ."},
    {mx, {{"example.com", ZONE_AAAA, "2001:db8::9", 0}}, CHECK_PASS, false, "no MX; mail goes to the address", ""},
    {mx, {{"example.com", ZONE_MX, "", 0}}, CHECK_FAIL, false, "null MX", "publish an MX"},
    {mx, {{"example.com", ZONE_MX, "in.example", 0}}, CHECK_FAIL, false, "in.example (without an address)", "publish"},
    {mx, {{"example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "neither MX nor address", "publish an MX"},
    {mx, {{"example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer for example.com", "later"},
    {mx,
     {{"example.com", ZONE_MX, "in.example", 0}, {"in.example", ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "no answer",
     "later"},

    {check_helo, {GOOD_HOST, {"mail.example.com", ZONE_TXT, "v=spf1 a -all", 0}}, CHECK_PASS, false, "SPF lets", ""},
    {check_helo, {GOOD_HOST}, CHECK_WARN, false, "no SPF record of its own", "at mail.example.com: v=spf1 a -all"},
    {check_helo,
     {GOOD_HOST, {"mail.example.com", ZONE_TXT, "v=spf1 -all", 0}},
     CHECK_FAIL,
     false,
     "fail for 192.0.2.1",
     "v=spf1 a -all"},
    {check_helo,
     {GOOD_HOST,
      {"mail.example.com", ZONE_TXT, "v=spf1 include:o.example -all", 0},
      {"o.example", ZONE_TEMPFAIL, "", 0}},
     CHECK_WARN,
     true,
     "temperror",
     "later"},
    {check_helo, {{"mail.example.com", ZONE_TXT, "v=spf1 a -all", 0}}, CHECK_WARN, true, "not known", "hostname"},

    {dnssec, {{"example.com", ZONE_TXT, "x", 0}}, CHECK_PASS, false, "with the same zone", ""},
    {dnssec, {{"example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer for example.com", "name servers"},
    {dnssec_bogus,
     {{"bogus.example", ZONE_TEMPFAIL, "", 0}},
     CHECK_FAIL,
     false,
     "not valid (bogus: the signature has expired)",
     "DS record"},

    {return_path,
     {GOOD_HOST,
      {"bounce.example.com", ZONE_TXT, SPF, 0},
      {"bounce.example.com", ZONE_MX, "in.example", 0},
      {"in.example", ZONE_A, "192.0.2.9", 0}},
     CHECK_PASS,
     false,
     "b@bounce.example.com, MX 0 in.example",
     ""},
    {return_path,
     {GOOD_HOST, {"bounce.example.com", ZONE_MX, "in.example", 0}, {"in.example", ZONE_A, "192.0.2.9", 0}},
     CHECK_FAIL,
     false,
     "SPF none for 192.0.2.1",
     "let 192.0.2.1 send in the SPF record of bounce.example.com"},
    {return_path,
     {GOOD_HOST, {"bounce.example.com", ZONE_TXT, SPF, 0}},
     CHECK_FAIL,
     false,
     "neither MX nor address",
     "publish an MX"},
    {return_path, {GOOD_HOST, {"bounce.example.com", ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "temperror", "send in"},
};

START_TEST(what_dns_says)
{
    const struct dns_row *row = &dns_rows[_i];
    begin(row->rows);
    (row->check != NULL ? row->check : check_hostname)(&run);
    expect(row->status, row->unknown, row->found, row->fix);
}
END_TEST

/* The record of "fix" is the one that makes the check pass. */
START_TEST(spf_fix_passes)
{
    const struct dns_row *row = &dns_rows[_i];
    if (row->check != spf || row->status != CHECK_FAIL)
        return;
    begin(row->rows);
    spf(&run);
    char record[512];
    if (strncmp(last()->expected, "v=spf1", 6) != 0)
        return; /* what is wrong is for its owner to take out */
    snprintf(record, sizeof(record), "%s", last()->expected);
    struct zone_row mended[10] = {{"example.com", ZONE_TXT, record, 0}};
    for (size_t i = 0, n = 1; row->rows[i].name != NULL; i++)
        if (strcmp(row->rows[i].name, "example.com") != 0)
            mended[n++] = row->rows[i];
    begin(mended);
    spf(&run);
    ck_assert_str_eq(last()->found, record); /* and behind it no address that it does not let pass */
}
END_TEST

START_TEST(dmarc_notes)
{
    static const struct {
        const char *record;
        enum check_status status;
        const char *fix, *note;
    } rows[] = {
        {"v=DMARC1; p=none; rua=mailto:a@example.com", CHECK_PASS, "", "say p=quarantine"},
        {"v=DMARC1; p=quarantine; t=y; rua=mailto:a@example.com", CHECK_PASS, "", "t=y"},
        {"v=DMARC1; p=reject", CHECK_PASS, "", "rua="},
        {"v=DMARC1; p=reject; pct=50", CHECK_PASS, "", "pct="},
        {"v=DMARC1; p=reject; rua=nobody", CHECK_WARN, "mailto:", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct zone_row zone_rows[] = {{"_dmarc.example.com", ZONE_TXT, rows[i].record, 0}, {0}};
        begin(zone_rows);
        dmarc(&run);
        expect(rows[i].status, false, rows[i].record, rows[i].fix);
        expect_note(rows[i].note);
    }
}
END_TEST

START_TEST(name_servers)
{
    static const struct zone_row rows[] = {{"example.com", ZONE_TXT, "x", 0}, {0}};
    static struct lookup_record one = {.text = {"1", 1}}, two = {.text = {"2", 1}};
    static const struct {
        struct check_authority second;
        enum check_status status;
        const char *found, *fix;
    } name_rows[] = {
        {{"ns2", NULL, {LOOKUP_OK, &two, 1}}, CHECK_PASS, "with the same zone (addresses asked: 2)", ""},
        {{"ns2", NULL, {LOOKUP_OK, &one, 1}}, CHECK_WARN, "different versions of the zone: ns1 2, ns2 1", "lags"},
        {{"ns2", "refused", {LOOKUP_TEMPFAIL, NULL, 0}},
         CHECK_WARN,
         "ns2 does not answer (refused)",
         "take its NS record"},
    };
    for (size_t i = 0; i < ARRAY_LEN(name_rows); i++) {
        const struct check_authority v[] = {{"ns1", NULL, {LOOKUP_OK, &two, 1}}, name_rows[i].second};
        servers = (struct check_authorities){"", v, 2};
        begin(rows);
        dnssec(&run);
        expect(name_rows[i].status, false, name_rows[i].found, name_rows[i].fix);
    }
    servers = (struct check_authorities){.reason = ""};
}
END_TEST

START_TEST(hostile_records_are_printable)
{
    static const struct zone_row rows[] = {
        GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 \x1b[31m\xc2\x9b \xff -all", 0}, {0}};
    begin(rows);
    spf(&run);
    ck_assert_int_eq(last()->status, CHECK_FAIL);
    for (const char *p = last()->found; *p != '\0'; p++)
        ck_assert_msg(*p >= 0x20 && *p < 0x7f, "octet %02x", (unsigned char)*p);
    json_t *document = check_json(&run, false);
    ck_assert_ptr_nonnull(document);
    json_decref(document);
}
END_TEST

/* ---- DKIM ------------------------------------------------------------------------------------ */

static char key_path[64], published[512], other[512];

static void make_key(char *record, size_t size)
{
    struct strbuf pem = STRBUF_INIT, text = STRBUF_INIT;
    struct dkim_key *key = NULL;
    struct err err;
    ck_assert_int_eq(dkim_key_generate(DKIM_ED25519_SHA256, 0, &pem, &err), 0);
    ck_assert_int_eq(file_write(key_path, strbuf_slice(&pem), 0600, &err), 0);
    ck_assert_int_eq(dkim_key_load(key_path, "example.com", "s1", &key, &err), 0);
    dkim_key_record(key, &text);
    snprintf(record, size, "%s", strbuf_str(&text));
    dkim_key_free(&key);
    strbuf_free(&text);
    strbuf_free(&pem);
}

START_TEST(dkim_keys)
{
    char testing[600], name[] = "s1._domainkey.example.com", selector[] = "s1";
    snprintf(key_path, sizeof(key_path), "/tmp/sendas-check-%d.pem", (int)getpid());
    make_key(other, sizeof(other));
    make_key(published, sizeof(published));
    snprintf(testing, sizeof(testing), "%s; t=y", published);
    const struct {
        struct zone_row rows[3];
        enum check_status status;
        bool unknown;
        const char *found, *fix;
    } rows[] = {
        {{{name, ZONE_TXT, published, 0}}, CHECK_PASS, false, published, ""},
        {{{name, ZONE_TXT, testing, 0}}, CHECK_WARN, false, "t=y", "t=y"},
        {{{name, ZONE_TXT, other, 0}}, CHECK_FAIL, false, "another key", published},
        {{{name, ZONE_TXT, published, 0}, {name, ZONE_TXT, other, 0}}, CHECK_FAIL, false, "2 TXT", published},
        {{{name, ZONE_TXT, "v=DKIM1; p=", 0}}, CHECK_FAIL, false, "revoked", published},
        {{{name, ZONE_TXT, "hello", 0}}, CHECK_FAIL, false, "malformed", published},
        {{{"example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "no TXT record", published},
        {{{name, ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "no answer", "later"},
    };
    struct config_key key = {.selector = selector, .path = key_path};
    const struct config_domain domain = {.name = domain_name, .keys = &key, .n_keys = 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(rows[i].rows);
        check_dkim(&run, &domain, &key);
        ck_assert_str_eq(last()->id, "dkim:s1");
        ck_assert(last()->minor);
        expect(rows[i].status, rows[i].unknown, rows[i].found, rows[i].fix);
    }
    struct lookup_record good = {.text = slice_of(published)}, bad = {.text = slice_of(other)};
    struct lookup_record both[] = {good, bad};
    const struct {
        struct lookup_answer second; /* n == 9: none */
        enum check_status status;
        const char *found, *fix;
    } second_rows[] = {
        {{LOOKUP_OK, &good, 1}, CHECK_PASS, published, ""},
        {{LOOKUP_NXDOMAIN, NULL, 0}, CHECK_FAIL, "ns2 [b] does not have it; ns1 [a] shows it", "wait"},
        {{LOOKUP_OK, &bad, 1}, CHECK_FAIL, "ns2 [b] has another one; ns1", "why ns2 [b] lags"},
        {{LOOKUP_OK, both, 2}, CHECK_FAIL, "ns2 [b] has several records", "wait"},
        {{LOOKUP_TEMPFAIL, NULL, 9}, CHECK_PASS, published, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(second_rows); i++) {
        const struct check_authority v[] = {
            {"ns1 [a]", NULL, {LOOKUP_OK, &good, 1}},
            {"ns2 [b]", second_rows[i].second.n == 9 ? "no answer" : NULL, second_rows[i].second}};
        servers = (struct check_authorities){"", v, 2};
        begin(rows[0].rows);
        check_dkim(&run, &domain, &key);
        expect(second_rows[i].status, false, second_rows[i].found, second_rows[i].fix);
    }
    servers = (struct check_authorities){.reason = ""};
    unlink(key_path);
    check_dkim(&run, &domain, &key);
    expect(CHECK_FAIL, false, "No such file", "sendas key new example.com");
}
END_TEST

START_TEST(waiting_and_retired_keys)
{
    char waits[] = "s3", was[] = "s0", path[] = "/nonexistent/queue.db", day[16] = "2026-11-15", none[] = "";
    static const struct zone_row gone[] = {{"example.com", ZONE_TXT, "x", 0}, {0}};
    static const struct zone_row there[] = {{"s0._domainkey.example.com", ZONE_TXT, "v=DKIM1; p=x", 0}, {0}};
    const struct config_domain domain = {.name = domain_name};
    struct config_key key = {.selector = waits, .path = key_path, .state = CONFIG_KEY_WAITING, .since = none};
    snprintf(key_path, sizeof(key_path), "/tmp/sendas-check-%d.pem", (int)getpid());
    make_key(published, sizeof(published));
    config->queue.path = path; /* no keys.json there */
    struct lookup_record good = {.text = slice_of(published)};
    struct check_authority v[] = {{"ns1", NULL, {LOOKUP_OK, &good, 1}}, {"ns2", NULL, {LOOKUP_NXDOMAIN, NULL, 0}}};
    servers = (struct check_authorities){"", v, 2};
    begin(gone);
    check_dkim(&run, &domain, &key);
    expect(CHECK_WARN, false, "waits for its record, and does not sign: ns2 does not have it", published);
    ck_assert(last()->minor);
    ck_assert_str_eq(strbuf_str(&zone.asked),
                     strstr(strbuf_str(&zone.asked), "s3._domainkey") == NULL ? strbuf_str(&zone.asked) : "not asked");
    servers.n = 1;
    check_dkim(&run, &domain, &key);
    expect(CHECK_PASS, false, "every name server shows it", "");
    servers.n = 0;
    check_dkim(&run, &domain, &key);
    expect(CHECK_WARN, true, "no answer", "later");
    servers = (struct check_authorities){.reason = ""};
    unlink(key_path);
    key = (struct config_key){.selector = was, .path = key_path, .state = CONFIG_KEY_RETIRED, .since = day};
    begin(gone); /* NOW is 2026-11-22 */
    check_dkim(&run, &domain, &key);
    expect(CHECK_PASS, false, "retired; its record is gone", "");
    begin(there);
    check_dkim(&run, &domain, &key);
    expect(CHECK_PASS, false, "still there", "");
    expect_note("can be removed, since 2026-11-22");
    snprintf(day, sizeof(day), "2026-11-20");
    check_dkim(&run, &domain, &key);
    expect(CHECK_PASS, false, "still there", "");
    expect_note("");
    begin(gone);
    check_dkim(&run, &domain, &key);
    expect(CHECK_WARN, false, "gone", "again until 2026-11-27");
    key.since = none;
    check_dkim(&run, &domain, &key);
    expect(CHECK_PASS, false, "gone", "");
}
END_TEST

/* ---- certificate, port, files
 * ----------------------------------------------------------------------------------------- */

static const struct zone_row empty[] = {{0}};

#define CERTIFICATE(covers, chain, from, to)                                                                           \
    {                                                                                                                  \
        covers, TLS_CHAIN_##chain, "why", from, to, 2, "X"                                                             \
    }

static const struct {
    struct check_certificate facts;
    enum check_status status;
    const char *found, *fix;
} certificate_rows[] = {
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW - DAY, NOW + 60 * DAY), NULL, 0, NULL, false},
     CHECK_PASS,
     "valid until 2027-01-",
     ""},
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW - DAY, NOW + 60 * DAY), "port 465", NOW + DAY, NULL, false},
     CHECK_FAIL,
     "port 465 presents another certificate than the file's, valid until 2026-11-23",
     "reload"},
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW - DAY, NOW + 14 * DAY - 1), NULL, 0, NULL, false},
     CHECK_WARN,
     "ends in 13 days",
     "renew"},
    {{{""}, true, CERTIFICATE(true, SELF_SIGNED, NOW - DAY, NOW + 13 * DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "it is self-signed",
     "tls.acme"},
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW - DAY, NOW + 14 * DAY), NULL, 0, NULL, false},
     CHECK_PASS,
     "valid until",
     ""},
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW - 90 * DAY, NOW), NULL, 0, NULL, false},
     CHECK_FAIL,
     "it has expired on 2026-11-",
     "renew"},
    {{{""}, true, CERTIFICATE(true, TRUSTED, NOW + 1, NOW + DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "only from",
     "clock"},
    {{{""}, true, CERTIFICATE(true, UNTRUSTED, NOW - DAY, NOW + 60 * DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "not trusted: why",
     "public authority"},
    {{{""}, true, CERTIFICATE(true, INCOMPLETE, NOW - DAY, NOW + 60 * DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "lacks its chain",
     "fullchain.pem"},
    {{{""}, true, CERTIFICATE(false, TRUSTED, NOW - DAY, NOW + 60 * DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "not for the hostname mail.example.com",
     "names mail.example.com"},
    {{{""}, false, CERTIFICATE(true, TRUSTED, NOW - DAY, NOW + 60 * DAY), NULL, 0, NULL, false},
     CHECK_FAIL,
     "not that of the certificate",
     "name the key"},
    {{{"c.pem: gone"}, false, CERTIFICATE(false, TRUSTED, 0, 0), NULL, 0, NULL, false},
     CHECK_FAIL,
     "c.pem: gone",
     "tls.certificate"},
};

START_TEST(certificates)
{
    begin(empty);
    check_certificate_judge(&run, &certificate_rows[_i].facts);
    expect(certificate_rows[_i].status, false, certificate_rows[_i].found, certificate_rows[_i].fix);
}
END_TEST

/* tls.acme: what the daemon has noted. */
static const struct {
    struct acme_status noted;
    bool temporary;
    int64_t from, until; /* the certificate's life, from now */
    enum check_status status;
    const char *found, *fix;
} acme_rows[] = {
    {{.renew_at = NOW + DAY}, false, -DAY, 60 * DAY, CHECK_PASS, "valid until", ""},
    {{.unnamed = true}, true, 0, 0, CHECK_FAIL, "waits for every name server", "A record of mail.example.com"},
    {{.failures = 1, .since = NOW - 60, .under_way = true, .reason = "x"},
     true,
     0,
     0,
     CHECK_FAIL,
     "is obtaining one",
     "in a minute"},
    {{.failures = 1, .since = NOW - 3600, .under_way = true, .reason = "did not end"},
     true,
     0,
     0,
     CHECK_FAIL,
     "1 time: did not end",
     "journalctl"},
    {{.failures = 3,
      .since = NOW - 3600,
      .reason = "validation: connection: timeout",
      .fix = "open port 80",
      .next_attempt = NOW + 60},
     true,
     0,
     0,
     CHECK_FAIL,
     "3 times: validation: connection: timeout; the next attempt is at 20",
     "open port 80; systemctl reload sendas"},
    {{0}, true, 0, 0, CHECK_FAIL, "has not begun yet", "see that sendas runs"},
    {{.failures = 2, .since = NOW - DAY, .reason = "directory: connect", .renew_at = NOW - DAY},
     false,
     -60 * DAY,
     29 * DAY,
     CHECK_WARN,
     "obtaining one (tls.acme) fails since 20",
     "journalctl"},
    {{.renew_at = NOW - DAY}, false, -60 * DAY, 29 * DAY, CHECK_PASS, "valid until", ""},
    {{.renew_at = NOW - 16 * DAY},
     false,
     -60 * DAY,
     15 * DAY,
     CHECK_WARN,
     "should have renewed it (tls.acme) from 20",
     "see that sendas runs"},
    {{.failures = 9, .reason = "caa: x", .fix = "add it there", .renew_at = NOW - 30 * DAY},
     false,
     -90 * DAY,
     -DAY,
     CHECK_FAIL,
     "it has expired on 20",
     "add it there"},
};

START_TEST(no_reload_before_the_authority_allows_it)
{
    const struct acme_status noted = {
        .failures = 1, .since = NOW - 60, .reason = "order: rateLimited", .fix = "wait", .limited = true};
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    begin(empty);
    ck_assert(check_acme_judge(&run, &noted, 0, &found, &fix));
    ck_assert_str_eq(strbuf_str(&fix), "wait");
    strbuf_free(&found);
    strbuf_free(&fix);
}
END_TEST

START_TEST(certificate_by_acme)
{
    const struct check_certificate facts = {
        .problem = {""},
        .matches = true,
        .facts = CERTIFICATE(true, TRUSTED, NOW + acme_rows[_i].from, NOW + acme_rows[_i].until),
        .acme = &acme_rows[_i].noted,
        .temporary = acme_rows[_i].temporary};
    begin(empty);
    check_certificate_judge(&run, &facts);
    expect(acme_rows[_i].status, false, acme_rows[_i].found, acme_rows[_i].fix);
}
END_TEST

#define TRY4(error, greeting)                                                                                          \
    {                                                                                                                  \
        "mx.g", {"192.0.2.7", 25, "", 0, NULL},                                                                        \
        {                                                                                                              \
            error, greeting, "", NULL                                                                                  \
        }                                                                                                              \
    }
#define TRY6(error, greeting)                                                                                          \
    {                                                                                                                  \
        "mx.g", {"2001:db8::7", 25, "", 0, NULL},                                                                      \
        {                                                                                                              \
            error, greeting, "", NULL                                                                                  \
        }                                                                                                              \
    }

static const struct {
    struct check_port facts;
    enum check_status status;
    bool unknown;
    const char *found, *fix;
} port_rows[] = {
    {{{TRY4(0, "220 hi")}, 1, 25, NULL, NULL}, CHECK_PASS, false, "mx.g [192.0.2.7] port 25: 220 hi", ""},
    {{{TRY4(0, "")}, 1, 25, NULL, NULL}, CHECK_WARN, false, "no greeting came", "provider"},
    {{{TRY4(0, ""), TRY4(0, "220 hi")}, 2, 25, NULL, NULL}, CHECK_PASS, false, "220 hi", ""},
    {{{TRY4(0, "")}, 1, 465, "relay", NULL}, CHECK_PASS, false, "port 465", ""},
    {{{TRY4(0, "220 hi"), TRY4(0, "554 no")}, 2, 25, NULL, NULL}, CHECK_WARN, false, "says: 554 no", "words"},
    {{{TRY4(ETIMEDOUT, ""), TRY4(ETIMEDOUT, "")}, 2, 25, NULL, NULL},
     CHECK_FAIL,
     false,
     "no answer; nor to others",
     "unblock outgoing"},
    {{{TRY4(ETIMEDOUT, ""), TRY4(0, "220 hi")}, 2, 25, NULL, NULL}, CHECK_PASS, false, "220 hi", ""},
    {{{TRY4(ECONNREFUSED, "")}, 1, 25, NULL, NULL},
     CHECK_FAIL,
     false,
     "refused",
     "refuses port 25: look at the firewall"},
    {{{TRY4(ENETUNREACH, "")}, 1, 25, NULL, NULL}, CHECK_FAIL, false, "unreachable", "route"},
    {{{TRY4(EADDRNOTAVAIL, "")}, 1, 25, NULL, NULL}, CHECK_FAIL, false, "assign", "delivery.bind"},
    {{{TRY4(ETIMEDOUT, ""), TRY6(0, "220 hi")}, 2, 25, NULL, NULL},
     CHECK_WARN,
     false,
     "by IPv6 only: cannot connect to mx.g [192.0.2.7]",
     "the other way"},
    {{{TRY4(0, "220 hi"), TRY6(ENETUNREACH, "")}, 2, 25, NULL, NULL},
     CHECK_WARN,
     false,
     "by IPv4 only",
     "the other way"},
    {{{TRY6(ETIMEDOUT, "")}, 1, 25, NULL, NULL}, CHECK_FAIL, false, "[2001:db8::7]", "unblock"},
    {{{TRY4(ECONNREFUSED, "")}, 1, 587, "relay", NULL}, CHECK_FAIL, false, "port 587", "delivery.routes"},
    {{{{0}}, 0, 587, "relay", NULL}, CHECK_FAIL, false, "relay has no address", "delivery.routes"},
    {{{{0}}, 0, 25, NULL, NULL}, CHECK_WARN, true, "gmail.com has no address", "DNS"},
    {{{{0}}, 0, 25, NULL, "mx.g"}, CHECK_WARN, true, "no answer for mx.g", "later"},
};

START_TEST(ports)
{
    begin(empty);
    check_port_judge(&run, &port_rows[_i].facts);
    expect(port_rows[_i].status, port_rows[_i].unknown, port_rows[_i].found, port_rows[_i].fix);
}
END_TEST

#define MX(domain, host, v4)                                                                                           \
    {domain, ZONE_MX, host, 0},                                                                                        \
    {                                                                                                                  \
        host, ZONE_A, v4, 0                                                                                            \
    }

static const struct {
    struct zone_row rows[12];
    const char *bind, *route6;
    const char *relay; /* in delivery.routes */
    const char *contacted;
} ask_rows[] = {
    {{MX("gmail.com", "mx.g", "192.0.2.7"), MX("yahoo.com", "mx.y", "192.0.2.8")},
     NULL,
     NULL,
     NULL,
     "192.0.2.7@25< 192.0.2.8@25< "},
    {{MX("gmail.com", "mx.g", "192.0.2.7"), {"mx.g", ZONE_AAAA, "2001:db8::7", 0}}, NULL, NULL, NULL, "192.0.2.7@25< "},
    {{MX("gmail.com", "mx.g", "192.0.2.7"), {"mx.g", ZONE_AAAA, "2001:db8::7", 0}},
     NULL,
     "2001:db8::1",
     NULL,
     "192.0.2.7@25< 2001:db8::7@25< "},
    {{MX("gmail.com", "mx.g", "192.0.2.7"), {"mx.g", ZONE_AAAA, "2001:db8::7", 0}},
     "192.0.2.1",
     "2001:db8::1",
     NULL,
     "192.0.2.7@25<192.0.2.1 "},
    {{MX("example.com", "in.e", "192.0.2.9")},
     NULL,
     NULL,
     NULL,
     "192.0.2.9@25< "}, /* where nobody knows the large ones */
    {{MX("gmail.com", "mx.g", "192.0.2.7"), {"relay", ZONE_A, "192.0.2.5", 0}}, NULL, NULL, "relay", "192.0.2.5@587< "},
    {{MX("gmail.com", "mx.g", "192.0.2.7")}, NULL, NULL, "192.0.2.5", "192.0.2.5@587< "},
};

START_TEST(ports_asked)
{
    char bind[64] = "", relay[64] = "", all[] = "*", *binds[] = {bind};
    struct config_route route = {.domain = all, .host = relay, .port = 587};
    struct config_domain domain = {.name = domain_name};
    snprintf(bind, sizeof(bind), "%s", ask_rows[_i].bind == NULL ? "" : ask_rows[_i].bind);
    snprintf(relay, sizeof(relay), "%s", ask_rows[_i].relay == NULL ? "" : ask_rows[_i].relay);
    config->delivery.bind = binds;
    config->delivery.n_bind = bind[0] != '\0';
    config->delivery.routes = &route;
    config->delivery.n_routes = relay[0] != '\0';
    config->domains = &domain;
    config->n_domains = 1;
    routes[1] = ask_rows[_i].route6;
    begin(ask_rows[_i].rows);
    check_port25(&run);
    ck_assert_str_eq(strbuf_str(&contacted), ask_rows[_i].contacted);
    expect(CHECK_FAIL, false, "refused", "");
    config->delivery.bind = NULL;
    config->delivery.routes = NULL;
    config->domains = NULL;
    config->delivery.n_bind = config->delivery.n_routes = config->n_domains = 0;
}
END_TEST

static const struct {
    struct check_daemon facts;
    enum check_status status;
    const char *found, *fix;
} daemon_rows[] = {
    {{true, {""}, 3, 0, 60, 9LL << 30, 50, NULL, 0, NULL, 2},
     CHECK_PASS,
     "2 listeners answer, 3 messages wait, 9216 MB",
     ""},
    {{false, {""}, 0, 0, 0, 9LL << 30, 50, NULL, 0, "port 587 is shut", 0},
     CHECK_FAIL,
     "not running",
     "systemctl start"},
    {{true, {""}, 0, 0, 0, 9LL << 30, 50, NULL, 0, "port 587 is shut", 0},
     CHECK_FAIL,
     "running, but port 587 is shut",
     "reload"},
    {{false, {""}, 0, 0, 0, 9LL << 30, 50, NULL, 0, NULL, 2}, CHECK_FAIL, "does not serve the queue", "restart"},
    {{true, {"no file"}, 0, 0, 0, 9LL << 30, 50, NULL, 0, NULL, 2}, CHECK_FAIL, "cannot be read: no file", "root"},
    {{true, {""}, 7, 0, 4 * 3600 + 1, 9LL << 30, 50, NULL, 0, NULL, 2},
     CHECK_WARN,
     "7 messages wait, the oldest for 4 h",
     "queue list"},
    {{true, {""}, 7, 0, 3 * DAY, 9LL << 30, 50, NULL, 0, NULL, 2}, CHECK_WARN, "for 3 days", "queue list"},
    {{true, {""}, 0, 2, 0, 9LL << 30, 50, NULL, 0, NULL, 2}, CHECK_WARN, "2 messages are held", "release"},
    {{true, {""}, 0, 0, 0, 900LL << 20, 4, NULL, 0, NULL, 2}, CHECK_WARN, "900 MB (4%) are free", "room"},
    {{true, {""}, 0, 0, 0, 90LL << 20, 9, NULL, 0, NULL, 2}, CHECK_FAIL, "90 MB (9%) are free", "room"},
    {{true, {""}, 0, 0, 0, 9LL << 30, 50, "x.yaml:3: no", NOW - 7200, NULL, 2},
     CHECK_WARN,
     "reload failed, 2 h ago, and the settings before it stay: x.yaml:3: no",
     "reload"},
    {{false, {""}, 0, 0, 0, 9LL << 30, 50, "x.yaml:3: no", NOW - 7200, "shut", 0}, CHECK_FAIL, "not running", "start"},
};

START_TEST(daemons)
{
    begin(empty);
    check_daemon_judge(&run, &daemon_rows[_i].facts);
    expect(daemon_rows[_i].status, false, daemon_rows[_i].found, daemon_rows[_i].fix);
}
END_TEST

/* ---- where mail leaves from -------------------------------------------------------------------------- */

static const struct {
    const char *bind, *route4, *route6;
    const char *expected; /* the addresses, a blank behind each */
    bool nat;
} address_rows[] = {
    {NULL, NULL, NULL, "192.0.2.1 2001:db8::1 ", false},
    {NULL, "192.0.2.5", NULL, "192.0.2.5 ", false},
    {NULL, "192.0.2.5", "2001:db8::5", "192.0.2.5 2001:db8::5 ", false},
    {NULL, "10.1.1.1", NULL, "192.0.2.1 ", true}, /* what the router makes of it, the host's address tells */
    {NULL, "10.1.1.1", "2001:db8::5", "192.0.2.1 2001:db8::5 ", true},
    {"192.0.2.6", "192.0.2.5", "2001:db8::5", "192.0.2.6 ", false},
    {"10.1.1.1", "192.0.2.5", NULL, "192.0.2.1 ", true},
};

START_TEST(addresses)
{
    static const struct zone_row rows[] = {GOOD_HOST, {"mail.example.com", ZONE_AAAA, "2001:db8::1", 0}, {0}};
    struct strbuf list = STRBUF_INIT;
    char bind[64] = "", *binds[] = {bind};
    routes[0] = address_rows[_i].route4;
    routes[1] = address_rows[_i].route6;
    if (address_rows[_i].bind != NULL) {
        snprintf(bind, sizeof(bind), "%s", address_rows[_i].bind);
        config->delivery.bind = binds;
        config->delivery.n_bind = 1;
    }
    begin(rows);
    for (size_t i = 0; i < run.n_addresses; i++)
        strbuf_addf(&list, "%s ", run.addresses[i]);
    ck_assert_str_eq(strbuf_str(&list), address_rows[_i].expected);
    ck_assert_int_eq(run.nat, address_rows[_i].nat);
    strbuf_free(&list);
    config->delivery.bind = NULL;
    config->delivery.n_bind = 0;
}
END_TEST

/* An address of the host name that is not this machine's: half of the mail programs end up there. */
START_TEST(foreign_addresses)
{
    static const struct zone_row rows[] = {GOOD_HOST, {"mail.example.com", ZONE_A, "192.0.2.9", 0}, {0}};
    routes[0] = "192.0.2.1";
    begin(rows);
    check_hostname(&run);
    expect(CHECK_FAIL, false, "192.0.2.9 (not an address of this machine)",
           "remove the A record of mail.example.com with 192.0.2.9, so that 192.0.2.1 is");
    local = "192.0.2.9";
    begin(rows);
    check_hostname(&run);
    expect(CHECK_PASS, false, "192.0.2.9", "");
    local = NULL;
    routes[0] = "10.0.0.1"; /* a router stands before it */
    begin(rows);
    check_hostname(&run);
    expect(CHECK_PASS, false, "192.0.2.9", "");
}
END_TEST

static const struct {
    struct check_file file;
    unsigned uid;
    const char *found, *fix; /* found NULL: nothing is wrong */
} file_rows[] = {
    {{"f", true, false, 0, 0640, 0, 900}, 900, NULL, NULL},
    {{"f", true, false, 0, 0600, 900, 0}, 900, NULL, NULL},
    {{"f", true, false, 0, 0600, 0, 0}, 0, NULL, NULL},
    {{"f", false, false, 0, 0644, 5, 5}, 900, NULL, NULL},
    {{"f", true, false, 0, 0600, 0, 0}, 900, "sendas cannot read f", "chown sendas f"},
    {{"f", true, false, 0, 0604, 900, 0}, 900, "open to all (mode 604)", "chmod o= f"},
    {{"f", true, false, 0, 0640, 5, 900}, 900, "belongs to user 5", "chown sendas f"},
    {{"f", false, false, ENOENT, 0, 0, 0}, 900, "f: No such file", "make f"},
    {{"f", false, false, EACCES, 0, 0, 0}, 900, "f: Permission denied", "root"},
    {{"d", false, true, 0, 0750, 900, 900}, 900, NULL, NULL},
    {{"d", false, true, 0, 0755, 0, 900}, 900, "cannot write to d", "chown sendas d"},
    {{"d", false, true, ENOENT, 0, 0, 0}, 900, "d: No such file", "install -d -o sendas -m 750 d"},
};

START_TEST(files)
{
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    const struct check_reader who = {file_rows[_i].uid, file_rows[_i].uid, "sendas"};
    bool wrong = check_file_judge(&file_rows[_i].file, &who, &found, &fix);
    ck_assert_int_eq(wrong, file_rows[_i].found != NULL);
    if (wrong) {
        ck_assert_msg(strstr(strbuf_str(&found), file_rows[_i].found) != NULL, "%s", strbuf_str(&found));
        ck_assert_msg(strstr(strbuf_str(&fix), file_rows[_i].fix) != NULL, "%s", strbuf_str(&fix));
    }
    strbuf_free(&found);
    strbuf_free(&fix);
}
END_TEST

/* ---- receivers, and how it is told
 * ------------------------------------------------------------------------------------ */

#define A CHECK_ACCEPT
#define U CHECK_UNSURE
#define J CHECK_JUNK
#define R CHECK_REFUSE

/* All else passes. */
static const struct {
    const char *id;
    enum check_status status;
    bool unknown;
    const char *too; /* another check that fails */
    enum check_verdict verdicts[CHECK_RECEIVERS];
    const char *reason; /* where it is not accepted */
} receiver_rows[] = {
    {"hostname", CHECK_PASS, false, NULL, {A, A, A, A, A}, ""},
    {"hostname", CHECK_FAIL, false, NULL, {A, A, A, A, R}, "(hostname)"},
    {"hostname", CHECK_WARN, true, NULL, {A, A, A, A, U}, "(hostname)"},
    {"port25", CHECK_FAIL, false, NULL, {R, R, R, R, R}, "(port25)"},
    {"port25", CHECK_WARN, false, NULL, {A, A, A, A, A}, ""},
    {"port25", CHECK_WARN, true, NULL, {U, U, U, U, U}, "(port25)"},
    {"dns", CHECK_FAIL, false, NULL, {R, R, R, R, R}, "(dns)"},
    {"dns", CHECK_WARN, true, NULL, {U, U, U, U, U}, "(dns)"},
    {"ptr", CHECK_FAIL, false, NULL, {R, J, R, R, R}, "(ptr)"},
    {"ptr", CHECK_WARN, false, NULL, {A, A, A, A, J}, "(ptr)"},
    {"ptr", CHECK_WARN, true, NULL, {U, U, U, U, U}, "(ptr)"},
    {"helo", CHECK_FAIL, false, NULL, {A, A, A, A, J}, "(helo)"},
    {"helo", CHECK_WARN, false, NULL, {A, A, A, A, A}, ""},
    {"spf", CHECK_FAIL, false, NULL, {J, J, J, J, J}, "(spf)"},
    {"spf", CHECK_WARN, false, NULL, {A, A, A, A, A}, ""},
    {"spf", CHECK_WARN, true, NULL, {U, U, U, U, U}, "(spf)"},
    {"dkim:s1", CHECK_FAIL, false, NULL, {J, J, J, J, J}, "(dkim)"},
    {"dkim:s1", CHECK_WARN, false, NULL, {J, J, J, J, J}, "test (dkim)"},
    {"dkim:s1", CHECK_WARN, true, NULL, {U, U, U, U, U}, "(dkim)"},
    {"dkim:s1", CHECK_FAIL, false, "spf", {R, R, R, R, J}, "neither SPF nor DKIM"},
    {"dkim:s2", CHECK_FAIL, false, NULL, {A, A, A, A, A}, ""}, /* Ed25519 */
    {"dmarc", CHECK_FAIL, false, NULL, {J, J, J, J, A}, "(dmarc)"},
    {"dmarc", CHECK_WARN, false, NULL, {A, A, A, A, A}, ""}, /* SPF does not align: DKIM carries it */
    {"dmarc", CHECK_WARN, false, "dkim:s1", {R, R, R, R, J}, "neither SPF nor DKIM"},
    {"dmarc", CHECK_WARN, true, "dkim:s1", {J, J, J, J, J}, "(dkim)"},
    {"return_path", CHECK_FAIL, false, NULL, {J, J, J, J, J}, "(return_path)"},
    {"dnsbl", CHECK_FAIL, false, NULL, {J, R, R, R, R}, "(dnsbl)"},
    {"dnsbl", CHECK_WARN, false, NULL, {A, A, A, A, R}, "(dnsbl)"},
    {"dnsbl", CHECK_WARN, true, NULL, {A, A, A, A, A}, ""},
    {"mx", CHECK_FAIL, false, NULL, {J, J, R, J, R}, "(mx)"},
    {"mx", CHECK_WARN, false, NULL, {A, A, A, A, A}, ""},
    {"mx", CHECK_FAIL, false, "ptr", {R, J, R, R, R}, ""},
    {"certificate", CHECK_FAIL, false, NULL, {A, A, A, A, A}, ""}, /* mail programs see it, receivers do not */
    {"files", CHECK_FAIL, false, NULL, {A, A, A, A, A}, ""},
    {"daemon", CHECK_FAIL, false, NULL, {A, A, A, A, A}, ""},
};

START_TEST(receivers)
{
    static const char *const ids[] = {"hostname",    "ptr",     "helo",  "dns",   "spf",
                                      "dkim:s1",     "dkim:s2", "dmarc", "mx",    "return_path",
                                      "certificate", "port25",  "dnsbl", "files", "daemon"};
    struct check_receiver verdicts[CHECK_RECEIVERS];
    begin(empty);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct check_item *item = check_add(&run, ids[i], "example.com", CHECK_PASS);
        item->minor = strcmp(ids[i], "dkim:s2") == 0;
        if (strcmp(ids[i], receiver_rows[_i].id) == 0) {
            item->status = receiver_rows[_i].status;
            item->unknown = receiver_rows[_i].unknown;
            item->unaligned = strcmp(ids[i], "dmarc") == 0 && item->status == CHECK_WARN && !item->unknown;
        } else if (receiver_rows[_i].too != NULL && strcmp(ids[i], receiver_rows[_i].too) == 0) {
            item->status = CHECK_FAIL;
        }
    }
    check_receivers(&run, verdicts);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++) {
        ck_assert_msg(verdicts[i].verdict == receiver_rows[_i].verdicts[i], "%s: %d, %s", verdicts[i].name,
                      verdicts[i].verdict, verdicts[i].reason);
        ck_assert_msg(verdicts[i].verdict == CHECK_ACCEPT || strstr(verdicts[i].reason, receiver_rows[_i].reason),
                      "%s: %s", verdicts[i].name, verdicts[i].reason);
    }
}
END_TEST

/* Each domain has its own reasons; those of the host are said once. */
START_TEST(receivers_of_several_domains)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    begin(empty);
    check_add(&run, "ptr", NULL, CHECK_FAIL);
    check_add(&run, "spf", "a.example", CHECK_PASS);
    check_add(&run, "dkim:s1", "a.example", CHECK_PASS);
    check_add(&run, "spf", "b.example", CHECK_FAIL);
    check_add(&run, "dkim:s1", "b.example", CHECK_PASS);
    check_receivers(&run, verdicts);
    ck_assert_str_eq(verdicts[0].reason, "the address has no forward-confirmed PTR record (ptr)");
    ck_assert_str_eq(verdicts[1].reason, "the address has no forward-confirmed PTR record (ptr); "
                                         "b.example: the SPF record is not right (spf)");
}
END_TEST

START_TEST(text)
{
    char *out = NULL;
    size_t n = 0;
    begin(empty);
    check_add(&run, "spf", "example.com", CHECK_PASS)->found =
        "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0.2.4 ip4:192.0.2.5 -all";
    struct check_item *item = check_add(&run, "mx", "example.com", CHECK_FAIL);
    item->found = "nothing";
    item->expected = "an MX";
    item->fix = "publish";
    FILE *f = open_memstream(&out, &n);
    check_print(&run, false, false, f);
    check_print(&run, false, true, f);
    fclose(f);
    char *second = strstr(out, "\033");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_nonnull(strstr(second, "\033[32mpass\033[0m  spf"));
    ck_assert_ptr_nonnull(strstr(second, "\033[31mwill refuse\033[0m  because"));
    *second = '\0';
    ck_assert_str_eq(out,
                     "pass  spf          v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0...\n"
                     "fail  mx           nothing\n"
                     "      expected  an MX\n"
                     "      fix       publish\n"
                     "\n"
                     "Gmail      will junk    because no RSA signature of DKIM passes everywhere (dkim); the domain "
                     "takes no mail (mx)\n"
                     "Microsoft  will junk    because no RSA signature of DKIM passes everywhere (dkim); the domain "
                     "takes no mail (mx)\n"
                     "Yahoo      will refuse  because the domain takes no mail (mx)\n"
                     "Apple      will junk    because no RSA signature of DKIM passes everywhere (dkim); the domain "
                     "takes no mail (mx)\n"
                     "others     will refuse  because the domain takes no mail (mx)\n");
    free(out);
}
END_TEST

START_TEST(json)
{
    begin(empty);
    check_add(&run, "hostname", NULL, CHECK_PASS);
    check_add(&run, "spf", "example.com", CHECK_WARN);
    for (int several = 0; several <= 1; several++) {
        json_t *document = check_json(&run, several);
        json_t *second = json_array_get(json_object_get(document, "checks"), 1);
        ck_assert_uint_eq(json_array_size(json_object_get(document, "checks")), 2);
        ck_assert_uint_eq(json_array_size(json_object_get(document, "receivers")), CHECK_RECEIVERS);
        ck_assert_str_eq(json_string_value(json_object_get(second, "id")), "spf");
        ck_assert_str_eq(json_string_value(json_object_get(second, "status")), "warn");
        ck_assert_uint_eq(json_object_size(second), several ? 6 : 5);
        json_decref(document);
    }
    ck_assert(!check_any_failed(&run));
    check_add(&run, "mx", "example.com", CHECK_FAIL);
    ck_assert(check_any_failed(&run));
}
END_TEST

START_TEST(usage)
{
    static const char *const rows[][4] = {
        {"sendas", "check", "--zone", NULL},
        {"sendas", "check", "a.example", "b.example"},
        {"sendas", "check", "-c/nonexistent/sendas.yaml", NULL},
    };
    char *argv[5] = {NULL};
    int argc = 0;
    for (; argc < 4 && rows[_i][argc] != NULL; argc++)
        argv[argc] = (char *)rows[_i][argc];
    ck_assert_int_eq(cli_main(argc, argv), 2);
}
END_TEST

/* What listens breaks the handshake and is gone: the alert about that finds nobody. */
START_TEST(listener_that_hangs_up)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct check_contact to = {.address = "127.0.0.1", .talk = CHECK_TALK_IMPLICIT, .host = "mail.example.com"};
    socklen_t size = sizeof(at);
    struct check_asker *asker;
    struct check_reached reached;
    struct err err;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    to.port = ntohs(at.sin_port);
    signal(SIGPIPE, SIG_IGN); /* as cli_main does */
    ck_assert_msg(check_asker_open(NULL, &asker, &err) == 0, "%s", err.text);
    const struct check_world *w = check_asker_world(asker);
    ck_assert(!w->contact(w->ctx, &to, &reached));
    int visitor = accept(fd, NULL, NULL);
    ck_assert_int_eq(write(visitor, "\x16\x03\x03\x00\x04\x63\x00\x00\x00", 9), 9); /* no handshake message */
    close(visitor);
    check_asker_wait(asker);
    ck_assert(w->contact(w->ctx, &to, &reached));
    ck_assert_str_ne(reached.failure, "");
    check_asker_close(&asker);
    close(fd);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("check");
    TCase *t = tcase_create("check");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, what_dns_says, 0, ARRAY_LEN(dns_rows));
    tcase_add_loop_test(t, spf_fix_passes, 0, ARRAY_LEN(dns_rows));
    tcase_add_test(t, dmarc_notes);
    tcase_add_test(t, waiting_and_retired_keys);
    tcase_add_test(t, name_servers);
    tcase_add_test(t, hostile_records_are_printable);
    tcase_add_test(t, dkim_keys);
    tcase_add_loop_test(t, certificates, 0, ARRAY_LEN(certificate_rows));
    tcase_add_test(t, no_reload_before_the_authority_allows_it);
    tcase_add_loop_test(t, certificate_by_acme, 0, ARRAY_LEN(acme_rows));
    tcase_add_loop_test(t, ports, 0, ARRAY_LEN(port_rows));
    tcase_add_loop_test(t, ports_asked, 0, ARRAY_LEN(ask_rows));
    tcase_add_loop_test(t, daemons, 0, ARRAY_LEN(daemon_rows));
    tcase_add_loop_test(t, addresses, 0, ARRAY_LEN(address_rows));
    tcase_add_test(t, foreign_addresses);
    tcase_add_test(t, listener_that_hangs_up);
    tcase_add_test(t, receivers_of_several_domains);
    tcase_add_loop_test(t, files, 0, ARRAY_LEN(file_rows));
    tcase_add_loop_test(t, receivers, 0, ARRAY_LEN(receiver_rows));
    tcase_add_test(t, text);
    tcase_add_test(t, json);
    tcase_add_loop_test(t, usage, 0, 3);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(make_suite)
