/* `sendas check`: what each check makes of tables of DNS, files and certificates, and what receivers are said to do. */
#include "testing.h"

#include "../../src/cli/check.h"
#include "../align/zone.h"

#include "sendas/cli.h"
#include "sendas/dkim.h"

#include <errno.h>
#include <unistd.h>

enum { NOW = 1795305600, DAY = 86400 };

/* mail.example.com at 192.0.2.1, as it should be. */
#define GOOD_HOST                                                                                                      \
    {"mail.example.com", ZONE_A, "192.0.2.1", 0},                                                                      \
    {                                                                                                                  \
        "1.2.0.192.in-addr.arpa", ZONE_PTR, "mail.example.com", 0                                                      \
    }
#define REVERSE "1.2.0.192.in-addr.arpa"
#define ZEN     "1.2.0.192.zen.spamhaus.org"
#define SPAMCOP "1.2.0.192.bl.spamcop.net"
#define SPF     "v=spf1 ip4:192.0.2.1 -all"

static struct config *config;
static struct zone zone;
static struct check_run run;

static void begin(const struct zone_row *rows)
{
    size_t n = 0;
    while (rows[n].name != NULL)
        n++;
    arena_free(&run.memory);
    zone.rows = rows;
    zone.n = n;
    check_begin(&run, config, (struct lookup){zone_query, &zone}, NOW);
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

static void dmarc(struct check_run *r)
{
    check_dmarc(r, "example.com");
}

static void mx(struct check_run *r)
{
    check_mx(r, "example.com");
}

static const struct dns_row {
    void (*check)(struct check_run *r);
    struct zone_row rows[7];
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
    {check_ptr, {{"mail.example.com", ZONE_TXT, "x", 0}}, CHECK_FAIL, false, "not known", "publish"},

    {check_dnsbl, {GOOD_HOST}, CHECK_PASS, false, "not listed", ""},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_A, "127.0.0.2", 0}}, CHECK_FAIL, false, "listed at zen", "query/ip/192.0.2.1"},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_A, "127.255.255.254", 0}}, CHECK_WARN, true, "could not ask", "dns.servers"},
    {check_dnsbl, {GOOD_HOST, {SPAMCOP, ZONE_A, "127.0.0.2", 0}}, CHECK_WARN, false, "listed at bl.spamcop", "a day"},
    {check_dnsbl, {GOOD_HOST, {ZEN, ZONE_TEMPFAIL, "", 0}}, CHECK_WARN, true, "could not ask zen", "later"},
    {check_dnsbl,
     {GOOD_HOST, {ZEN, ZONE_TEMPFAIL, "", 0}, {SPAMCOP, ZONE_A, "127.0.0.2", 0}},
     CHECK_WARN,
     false,
     "listed at bl.spamcop",
     "later"},

    {spf,
     {GOOD_HOST, {"example.com", ZONE_TXT, SPF, 0}, {"example.com", ZONE_TXT, "x", 0}},
     CHECK_PASS,
     false,
     SPF,
     ""},
    {spf, {GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 a:mail.example.com ~all", 0}}, CHECK_PASS, false, "a:mail", ""},
    {spf, {GOOD_HOST}, CHECK_FAIL, false, "no SPF record", "at example.com: v=spf1 a:mail.example.com -all"},
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
     "at example.com: v=spf1 ip4:198.51.100.1 ip4:198.51.100.2 ip4:192.0.2.1 ~all"},
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
     "include:o.example -all (for 192.0.2.1",
     "later"},
    {spf, {{"example.com", ZONE_TXT, SPF, 0}}, CHECK_WARN, true, SPF, "hostname"},

    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}}, CHECK_PASS, false, "p=reject", ""},
    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=none", 0}}, CHECK_WARN, false, "p=none", "p=quarantine"},
    {dmarc, {{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=quarantine; t=y", 0}}, CHECK_WARN, false, "t=y", "t=y"},
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
};

START_TEST(what_dns_says)
{
    const struct dns_row *row = &dns_rows[_i];
    begin(row->rows);
    check_hostname(&run);
    if (row->check != NULL)
        row->check(&run);
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
    check_hostname(&run);
    spf(&run);
    char record[512];
    snprintf(record, sizeof(record), "%s", last()->expected);
    struct zone_row mended[9] = {{"example.com", ZONE_TXT, record, 0}};
    for (size_t i = 0, n = 1; row->rows[i].name != NULL; i++)
        if (strcmp(row->rows[i].name, "example.com") != 0)
            mended[n++] = row->rows[i];
    begin(mended);
    check_hostname(&run);
    spf(&run);
    ck_assert_msg(last()->status == CHECK_PASS, "%s: %s", record, last()->found);
}
END_TEST

START_TEST(hostile_records_are_printable)
{
    static const struct zone_row rows[] = {
        GOOD_HOST, {"example.com", ZONE_TXT, "v=spf1 \x1b[31m\xc2\x9b \xff -all", 0}, {0}};
    begin(rows);
    check_hostname(&run);
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
    char testing[600], name[] = "s1._domainkey.example.com", selector[] = "s1", domain_name[] = "example.com";
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
        check_dkim(&run, &domain);
        ck_assert_str_eq(last()->id, "dkim:s1");
        ck_assert(last()->minor);
        expect(rows[i].status, rows[i].unknown, rows[i].found, rows[i].fix);
    }
    unlink(key_path);
    check_dkim(&run, &domain);
    expect(CHECK_FAIL, false, "No such file", "sendas key new example.com");
}
END_TEST

/* ---- certificate, port, files
 * ----------------------------------------------------------------------------------------- */

static const struct zone_row empty[] = {{0}};

static const struct {
    struct check_certificate facts;
    enum check_status status;
    const char *found;
} certificate_rows[] = {
    {{{""}, true, true, false, NOW - DAY, NOW + 60 * DAY, NULL, "CN=X"}, CHECK_PASS, "valid until 2027-01-"},
    {{{""}, true, true, false, NOW - DAY, NOW + 14 * DAY - 1, NULL, "CN=X"}, CHECK_WARN, "expires on"},
    {{{""}, true, true, false, NOW - DAY, NOW + 14 * DAY, NULL, "CN=X"}, CHECK_PASS, "valid until"},
    {{{""}, true, true, false, NOW - 90 * DAY, NOW, "expired", ""}, CHECK_FAIL, "it expired on 2026-11-"},
    {{{""}, true, true, false, NOW + 1, NOW + DAY, "early", ""}, CHECK_FAIL, "valid only from"},
    {{{""}, true, true, true, NOW - DAY, NOW + 60 * DAY, "x", ""}, CHECK_FAIL, "self-signed"},
    {{{""}, true, true, false, NOW - DAY, NOW + 60 * DAY, "no issuer", ""}, CHECK_FAIL, "not trusted: no issuer"},
    {{{""}, true, false, false, NOW - DAY, NOW + 60 * DAY, NULL, ""}, CHECK_FAIL, "not for mail.example.com"},
    {{{""}, false, true, false, NOW - DAY, NOW + 60 * DAY, NULL, ""}, CHECK_FAIL, "not that of the certificate"},
    {{{"c.pem: gone"}, false, false, false, 0, 0, NULL, ""}, CHECK_FAIL, "c.pem: gone"},
};

START_TEST(certificates)
{
    begin(empty);
    check_certificate_judge(&run, &certificate_rows[_i].facts);
    expect(certificate_rows[_i].status, false, certificate_rows[_i].found, "");
}
END_TEST

static const struct {
    struct check_port facts;
    enum check_status status;
    bool unknown;
    const char *found, *fix;
} port_rows[] = {
    {{"mx.g", "192.0.2.7", 25, false, false, 0, "220 hi"}, CHECK_PASS, false, "mx.g [192.0.2.7] port 25: 220 hi", ""},
    {{"mx.g", "192.0.2.7", 25, false, false, 0, ""}, CHECK_PASS, false, "port 25", ""},
    {{"mx.g", "192.0.2.7", 25, false, false, 0, "554 no"}, CHECK_WARN, false, "says: 554 no", "words"},
    {{"mx.g", "192.0.2.7", 25, false, false, ETIMEDOUT, ""}, CHECK_FAIL, false, "no answer within 10 s", "provider"},
    {{"mx.g", "192.0.2.7", 25, false, false, ECONNREFUSED, ""}, CHECK_FAIL, false, "refused", "smarthost"},
    {{"mx.g", "192.0.2.7", 25, false, false, EADDRNOTAVAIL, ""}, CHECK_FAIL, false, "assign", "delivery.bind"},
    {{"relay", "192.0.2.7", 587, true, false, ECONNREFUSED, ""}, CHECK_FAIL, false, "port 587", "delivery.routes"},
    {{"relay", "", 587, true, false, 0, ""}, CHECK_FAIL, false, "relay has no address", "delivery.routes"},
    {{"mx.g", "", 25, false, false, 0, ""}, CHECK_WARN, true, "mx.g has no address", "DNS"},
    {{"mx.g", "", 25, false, true, 0, ""}, CHECK_WARN, true, "no answer for mx.g", "later"},
};

START_TEST(ports)
{
    begin(empty);
    check_port_judge(&run, &port_rows[_i].facts);
    expect(port_rows[_i].status, port_rows[_i].unknown, port_rows[_i].found, port_rows[_i].fix);
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

static const struct {
    const char *id;
    enum check_status status;
    bool unknown, both; /* both: SPF fails too */
    enum check_verdict verdicts[CHECK_RECEIVERS];
} receiver_rows[] = {
    {"hostname", CHECK_PASS, false, false, {CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT}},
    {"port25", CHECK_FAIL, false, false, {CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE}},
    {"ptr", CHECK_FAIL, false, false, {CHECK_REFUSE, CHECK_RISK, CHECK_REFUSE, CHECK_REFUSE}},
    {"ptr", CHECK_WARN, true, false, {CHECK_RISK, CHECK_RISK, CHECK_RISK, CHECK_RISK}},
    {"dkim:s1", CHECK_FAIL, false, false, {CHECK_RISK, CHECK_RISK, CHECK_RISK, CHECK_RISK}},
    {"dkim:s1", CHECK_FAIL, false, true, {CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE}},
    {"dmarc", CHECK_WARN, false, false, {CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT}},
    {"dmarc", CHECK_FAIL, false, false, {CHECK_RISK, CHECK_RISK, CHECK_RISK, CHECK_RISK}},
    {"dnsbl", CHECK_FAIL, false, false, {CHECK_RISK, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE}},
    {"dnsbl", CHECK_WARN, true, false, {CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT}},
    {"mx", CHECK_FAIL, false, false, {CHECK_RISK, CHECK_RISK, CHECK_REFUSE, CHECK_RISK}},
};

START_TEST(receivers)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    bool dkim = strcmp(receiver_rows[_i].id, "dkim:s1") == 0;
    begin(empty);
    check_add(&run, "spf", "example.com", receiver_rows[_i].both ? CHECK_FAIL : CHECK_PASS);
    if (!dkim)
        check_add(&run, "dkim:s1", "example.com", CHECK_PASS);
    check_add(&run, "dkim:s2", "example.com", CHECK_PASS)->minor = true;
    check_add(&run, receiver_rows[_i].id, "example.com", receiver_rows[_i].status)->unknown = receiver_rows[_i].unknown;
    check_receivers(&run, verdicts);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++) {
        ck_assert_msg(verdicts[i].verdict == receiver_rows[_i].verdicts[i], "%s: %d, %s", verdicts[i].name,
                      verdicts[i].verdict, verdicts[i].reason);
        ck_assert_msg(verdicts[i].verdict == CHECK_ACCEPT || dkim || strstr(verdicts[i].reason, receiver_rows[_i].id),
                      "%s", verdicts[i].reason);
    }
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
    check_print(&run, false, f);
    fclose(f);
    ck_assert_str_eq(out, "pass  spf          v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0...\n"
                          "fail  mx           nothing\n"
                          "      expected  an MX\n"
                          "      fix       publish\n"
                          "\n"
                          "Gmail    risk    no RSA signature of DKIM passes (dkim)\n"
                          "Outlook  risk    no RSA signature of DKIM passes (dkim)\n"
                          "Yahoo    refuse  the domain takes no mail (mx)\n"
                          "Apple    risk    no RSA signature of DKIM passes (dkim)\n");
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

static Suite *make_suite(void)
{
    Suite *s = suite_create("check");
    TCase *t = tcase_create("check");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, what_dns_says, 0, ARRAY_LEN(dns_rows));
    tcase_add_loop_test(t, spf_fix_passes, 0, ARRAY_LEN(dns_rows));
    tcase_add_test(t, hostile_records_are_printable);
    tcase_add_test(t, dkim_keys);
    tcase_add_loop_test(t, certificates, 0, ARRAY_LEN(certificate_rows));
    tcase_add_loop_test(t, ports, 0, ARRAY_LEN(port_rows));
    tcase_add_loop_test(t, files, 0, ARRAY_LEN(file_rows));
    tcase_add_loop_test(t, receivers, 0, ARRAY_LEN(receiver_rows));
    tcase_add_test(t, text);
    tcase_add_test(t, json);
    tcase_add_loop_test(t, usage, 0, 3);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(make_suite)
