/* DMARC: the tree walk with the RFC's own examples, the policy that applies, alignment, and what is said about it. */
#include "testing.h"
#include "zone.h"

#include "sendas/align.h"

static struct arena arena;
static struct zone zone;

static void setup(void)
{
    arena = ARENA_INIT(4 * 1024 * 1024);
    zone = (struct zone){0};
}

static void teardown(void)
{
    strbuf_free(&zone.asked);
    arena_free(&arena);
}

enum { MEMBERS_MAX = 40 };

/* A list that the rows below write as "a b c". */
struct members {
    struct slice v[MEMBERS_MAX];
    size_t n;
};

static struct members split(const char *text)
{
    struct members ret = {0};
    struct slice rest = slice_of(text), one;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &one);
        ck_assert_uint_lt(ret.n, MEMBERS_MAX);
        ret.v[ret.n++] = one;
    }
    return ret;
}

struct question {
    const char *from, *spf_domain, *dkim; /* lists with blanks; spf_domain NULL: not checked */
    enum spf_result spf;
    const char *dkim_temperror;
    bool from_repeated;
};

static struct dmarc_verdict ask(const struct zone_row *rows, size_t n_rows, const struct question *q)
{
    struct members from = split(q->from), dkim = split(q->dkim), later = split(q->dkim_temperror);
    struct spf_verdict spf = {.result = q->spf, .domain = slice_of(q->spf_domain)};
    struct lookup dns = {zone_query, &zone};
    struct dmarc_verdict v;
    struct dmarc_request req = {
        .from = from.v,
        .n_from = from.n,
        .from_repeated = q->from_repeated,
        .spf = q->spf_domain != NULL ? &spf : NULL,
        .dkim = dkim.v,
        .n_dkim = dkim.n,
        .dkim_temperror = later.v,
        .n_dkim_temperror = later.n,
    };
    zone.rows = rows;
    zone.n = n_rows;
    strbuf_reset(&zone.asked);
    dmarc_check(&arena, &dns, &req, &v);
    ck_assert_uint_gt(v.why.n, 0);
    ck_assert_int_ne(v.why.p[v.why.n - 1], '.');
    ck_assert((v.aligned_by != NULL) == (v.result == DMARC_PASS));
    return v;
}

/* ---- the tree walk --------------------------------------------------------------------------------------------- */

#define D(domain, record)                                                                                              \
    {                                                                                                                  \
        "_dmarc." domain, ZONE_TXT, record, 0                                                                          \
    }

/* One zone for all of RFC 9989 4.10, 4.10.2 and B.4. */
static const struct zone_row walk_zone[] = {
    D("example.com", "v=DMARC1; p=reject"),
    D("signing.example.com", "v=DMARC1; p=none"),
    D("mail.example.net", "v=DMARC1; p=none"),
    D("example.net", "v=DMARC1; p=none"),
    D("mail.example.org", "v=DMARC1; psd=n; p=none"),
    D("example.org", "v=DMARC1; p=none"),
    D("info", "v=DMARC1; psd=y; p=reject"),
    D("bank.example", "v=DMARC1; psd=y; p=reject"),
    D("giant.bank.example", "v=DMARC1; p=quarantine"),
    D("twice.example", "v=DMARC1; p=reject"),
    D("twice.example", "v=DMARC1; p=none"),
    D("other.example", "v=DMARC2; p=reject"),
    D("other.example", "v=spf1 -all"),
    {"_dmarc.later.test", ZONE_TEMPFAIL, "", 0},
    D("xn--mller-kva.example", "v=DMARC1; p=none"),
};

static const struct {
    const char *domain, *org, *asked;
} walks[] = {
    /* RFC 9989 4.10: the eight queries */
    {"a.b.c.d.e.f.g.h.i.j.mail.example.com", "example.com",
     "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com _dmarc.g.h.i.j.mail.example.com _dmarc.h.i.j.mail.example.com "
     "_dmarc.i.j.mail.example.com _dmarc.j.mail.example.com _dmarc.mail.example.com _dmarc.example.com _dmarc.com "},
    /* eight labels, seven, six */
    {"1.2.3.4.5.6.example.com", "example.com",
     "_dmarc.1.2.3.4.5.6.example.com _dmarc.2.3.4.5.6.example.com _dmarc.3.4.5.6.example.com _dmarc.4.5.6.example.com "
     "_dmarc.5.6.example.com _dmarc.6.example.com _dmarc.example.com _dmarc.com "},
    {"1.2.3.4.5.example.com", "example.com",
     "_dmarc.1.2.3.4.5.example.com _dmarc.2.3.4.5.example.com _dmarc.3.4.5.example.com _dmarc.4.5.example.com "
     "_dmarc.5.example.com _dmarc.example.com _dmarc.com "},
    {"1.2.3.4.5.6.7.example.com", "example.com",
     "_dmarc.1.2.3.4.5.6.7.example.com _dmarc.3.4.5.6.7.example.com _dmarc.4.5.6.7.example.com "
     "_dmarc.5.6.7.example.com _dmarc.6.7.example.com _dmarc.7.example.com _dmarc.example.com _dmarc.com "},
    /* RFC 9989 4.10.2: the examples at its end */
    {"a.mail.example.net", "example.net",
     "_dmarc.a.mail.example.net _dmarc.mail.example.net _dmarc.example.net _dmarc.net "},
    {"a.mail.example.org", "mail.example.org", "_dmarc.a.mail.example.org _dmarc.mail.example.org "},
    {"a.mail.example.info", "example.info",
     "_dmarc.a.mail.example.info _dmarc.mail.example.info _dmarc.example.info _dmarc.info "},
    /* RFC 9989 B.4.1, B.4.2, B.4.3 */
    {"example.com", "example.com", "_dmarc.example.com _dmarc.com "},
    {"signing.example.com", "example.com", "_dmarc.signing.example.com _dmarc.example.com _dmarc.com "},
    {"giant.bank.example", "giant.bank.example", "_dmarc.giant.bank.example _dmarc.bank.example "},
    {"mail.giant.bank.example", "giant.bank.example",
     "_dmarc.mail.giant.bank.example _dmarc.giant.bank.example _dmarc.bank.example "},
    {"mail.mega.bank.example", "mega.bank.example",
     "_dmarc.mail.mega.bank.example _dmarc.mega.bank.example _dmarc.bank.example "},
    /* psd=y where the walk starts makes it no other's suffix */
    {"bank.example", "bank.example", "_dmarc.bank.example "},
    {"info", "info", "_dmarc.info "},
    /* nothing found, nothing that counts */
    {"www.nothing.test", "www.nothing.test", "_dmarc.www.nothing.test _dmarc.nothing.test _dmarc.test "},
    {"a.twice.example", "a.twice.example", "_dmarc.a.twice.example _dmarc.twice.example _dmarc.example "},
    {"a.other.example", "a.other.example", "_dmarc.a.other.example _dmarc.other.example _dmarc.example "},
    /* U-labels, capitals, the final dot */
    {"A.M\xc3\xbcller.Example", "xn--mller-kva.example",
     "_dmarc.a.xn--mller-kva.example _dmarc.xn--mller-kva.example _dmarc.example "},
    {"WWW.Example.COM.", "example.com", "_dmarc.www.example.com _dmarc.example.com _dmarc.com "},
    /* no names; a name for which there is no answer */
    {"", NULL, ""},
    {".", NULL, ""},
    {"a..example.com", NULL, ""},
    {"[192.0.2.1]", NULL, ""},
    {"a b.example.com", NULL, ""},
    {"a.later.test", NULL, "_dmarc.a.later.test _dmarc.later.test "},
};

START_TEST(the_tree_walk)
{
    struct lookup dns = {zone_query, &zone};
    struct slice org = {0};
    struct err err = {{0}};
    zone.rows = walk_zone;
    zone.n = ARRAY_LEN(walk_zone);
    int rc = dmarc_organizational_domain(&arena, &dns, slice_of(walks[_i].domain), &org, &err);
    ck_assert_msg(rc == (walks[_i].org != NULL ? 0 : -1), "%s: %d %s", walks[_i].domain, rc, err.text);
    ck_assert_slice_eq(org, walks[_i].org);
    ck_assert_slice_eq(strbuf_slice(&zone.asked), walks[_i].asked);
    ck_assert_int_eq(rc < 0, err.text[0] != '\0');
}
END_TEST

START_TEST(a_name_too_long_to_ask_for)
{
    /* 250 octets, with "_dmarc." above 253: only the shortened names are asked for */
    struct strbuf name = STRBUF_INIT;
    for (int i = 0; i < 119; i++)
        strbuf_add_str(&name, "a.");
    strbuf_add_str(&name, "example.com");
    ck_assert_uint_eq(name.n, 249);
    struct lookup dns = {zone_query, &zone};
    struct slice org;
    zone.rows = walk_zone;
    zone.n = ARRAY_LEN(walk_zone);
    ck_assert_int_eq(dmarc_organizational_domain(&arena, &dns, strbuf_slice(&name), &org, NULL), 0);
    ck_assert_slice_eq(org, "example.com");
    ck_assert_uint_eq(zone.queries, 7);
    strbuf_free(&name);
}
END_TEST

/* ---- verdicts -------------------------------------------------------------------------------- */

/* The rows' outcome: RESULT POLICY-TAG PUBLISHED POLICY RECORD-OF [BY ALIGNED] */
static const char *outcome(const struct dmarc_verdict *v)
{
    static char text[600];
    snprintf(text, sizeof text, "%s %s %s %s %.*s%s%s%s%.*s", dmarc_result_name(v->result),
             v->policy_tag != NULL ? v->policy_tag : "-", dmarc_policy_name(v->published), dmarc_policy_name(v->policy),
             SLICE_ARG(v->record_of), v->aligned_by != NULL ? " " : "", v->aligned_by != NULL ? v->aligned_by : "",
             v->aligned_by != NULL ? " " : "", SLICE_ARG(v->aligned));
    return text;
}

#define NONE "none - none none "

/* RFC 9989 B.1, B.4 and the edges around them, all in walk_zone. */
static const struct {
    struct question q;
    const char *outcome;
} verdicts[] = {
    /* B.4.1 */
    {{"example.com", "example.com", "signing.example.com", SPF_PASS, NULL, false},
     "pass p reject reject example.com spf example.com"},
    {{"example.com", "example.com", "signing.example.com", SPF_FAIL, NULL, false},
     "pass p reject reject example.com dkim signing.example.com"},
    {{"example.com", "example.com", NULL, SPF_FAIL, NULL, false}, "fail p reject reject example.com"},
    /* B.4.2 */
    {{"a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", NULL, SPF_PASS, NULL, false},
     "pass p reject reject example.com spf example.com"},
    {{"a.b.c.d.e.f.g.h.i.j.k.example.com", NULL, "signing.example.com", SPF_NONE, NULL, false},
     "pass p reject reject example.com dkim signing.example.com"},
    /* B.4.3 */
    {{"giant.bank.example", "mail.giant.bank.example", "mail.mega.bank.example", SPF_PASS, NULL, false},
     "pass p quarantine quarantine giant.bank.example spf mail.giant.bank.example"},
    {{"giant.bank.example", "mail.giant.bank.example", "mail.mega.bank.example", SPF_SOFTFAIL, NULL, false},
     "fail p quarantine quarantine giant.bank.example"},
    /* the public suffix's policy for those below it that have none (RFC 9989 4.10.1) */
    {{"mega.bank.example", NULL, "other.example", SPF_NONE, NULL, false}, "fail p reject reject bank.example"},
    {{"mega.bank.example", NULL, "mail.mega.bank.example", SPF_NONE, NULL, false},
     "pass p reject reject bank.example dkim mail.mega.bank.example"},
    {{"mega.bank.example", NULL, "bank.example", SPF_NONE, NULL, false}, "fail p reject reject bank.example"},
    /* B.1: same domain, parent, child, another */
    {{"example.net", "example.net", NULL, SPF_PASS, NULL, false}, "pass p none none example.net spf example.net"},
    {{"example.net", "child.example.net", NULL, SPF_PASS, NULL, false},
     "pass p none none example.net spf child.example.net"},
    {{"child.example.net", NULL, "example.net", SPF_NONE, NULL, false},
     "pass p none none example.net dkim example.net"},
    {{"child.example.com", "example.net", "example.net", SPF_PASS, NULL, false}, "fail p reject reject example.com"},
    {{"example.com", NULL, "notexample.com", SPF_NONE, NULL, false}, "fail p reject reject example.com"},
    {{"example.com", NULL, "com", SPF_NONE, NULL, false}, "fail p reject reject example.com"},
    /* psd=n divides */
    {{"mail.example.org", NULL, "example.org", SPF_NONE, NULL, false}, "fail p none none mail.example.org"},
    {{"example.org", NULL, "mail.example.org", SPF_NONE, NULL, false}, "fail p none none example.org"},
    {{"a.mail.example.org", NULL, "b.mail.example.org", SPF_NONE, NULL, false},
     "pass p none none mail.example.org dkim b.mail.example.org"},
    /* no record, no valid one, several */
    {{"example.test", NULL, "example.test", SPF_NONE, NULL, false}, NONE},
    {{"twice.example", NULL, "twice.example", SPF_NONE, NULL, false}, NONE},
    {{"other.example", NULL, "other.example", SPF_NONE, NULL, false}, NONE},
    /* authors: RFC 9989 5.3.1, 4.4 */
    {{"", NULL, "example.com", SPF_NONE, NULL, false}, "permerror - none none "},
    {{"example.com example.net", NULL, "example.com", SPF_NONE, NULL, false}, "permerror - none none "},
    {{"example.com Example.COM.", NULL, "example.com", SPF_NONE, NULL, false},
     "pass p reject reject example.com dkim example.com"},
    {{"example.com", NULL, "example.com", SPF_NONE, NULL, true}, "permerror - none none "},
    {{"[192.0.2.1]", NULL, "example.com", SPF_NONE, NULL, false}, "permerror - none none "},
    {{"M\xc3\xbcller.example", NULL, "XN--MLLER-KVA.example", SPF_NONE, NULL, false},
     "pass p none none xn--mller-kva.example dkim xn--mller-kva.example"},
    /* what DNS does not say: RFC 9989 5.3.6 */
    {{"later.test", NULL, "later.test", SPF_NONE, NULL, false}, "temperror - none none "},
    {{"example.com", "example.com", NULL, SPF_TEMPERROR, NULL, false}, "temperror p reject reject example.com"},
    {{"example.com", "example.com", "example.com", SPF_TEMPERROR, NULL, false},
     "pass p reject reject example.com dkim example.com"},
    {{"example.com", "example.net", NULL, SPF_TEMPERROR, NULL, false}, "fail p reject reject example.com"},
    {{"example.com", NULL, NULL, SPF_NONE, "mail.example.com", false}, "temperror p reject reject example.com"},
    {{"example.com", NULL, NULL, SPF_NONE, "mail.example.net", false}, "fail p reject reject example.com"},
    /* many signatures: the first sixteen count */
    {{"example.com", NULL,
      "1.net 2.net 3.net 4.net 5.net 6.net 7.net 8.net 9.net 10.net 11.net 12.net 13.net 14.net "
      "15.net example.com",
      SPF_NONE, NULL, false},
     "pass p reject reject example.com dkim example.com"},
    {{"example.com", NULL,
      "1.net 2.net 3.net 4.net 5.net 6.net 7.net 8.net 9.net 10.net 11.net 12.net 13.net 14.net "
      "15.net 16.net example.com",
      SPF_NONE, NULL, false},
     "fail p reject reject example.com"},
    /* names that are none, in a signature */
    {{"example.com", NULL, "a..com -- example.com/", SPF_NONE, NULL, false}, "fail p reject reject example.com"},
};

START_TEST(verdicts_of_the_tree)
{
    struct dmarc_verdict v = ask(walk_zone, ARRAY_LEN(walk_zone), &verdicts[_i].q);
    ck_assert_msg(strcmp(outcome(&v), verdicts[_i].outcome) == 0, "%d: got \"%s\", want \"%s\": %.*s", _i, outcome(&v),
                  verdicts[_i].outcome, SLICE_ARG(v.why));
}
END_TEST

START_TEST(queries_are_bounded)
{
    /* sixteen aligned-looking signatures that are not: each costs at most eight */
    struct question q = {"a.b.c.d.e.f.g.h.i.example.org",
                         NULL,
                         "1.mail.example.org 2.mail.example.org 3.mail.example.org 4.mail.example.org "
                         "5.mail.example.org 6.mail.example.org 7.mail.example.org 8.mail.example.org "
                         "9.mail.example.org 10.mail.example.org 11.mail.example.org 12.mail.example.org "
                         "13.mail.example.org 14.mail.example.org 15.mail.example.org 16.mail.example.org "
                         "17.mail.example.org 18.mail.example.org",
                         SPF_NONE,
                         NULL,
                         false};
    struct dmarc_verdict v = ask(walk_zone, ARRAY_LEN(walk_zone), &q);
    ck_assert_int_eq(v.result, DMARC_FAIL);
    ck_assert_uint_le(zone.queries, 17 * 8);
}
END_TEST

/* ---- records
 * ---------------------------------------------------------------------------------------------------------- */

/* A record of example.com; the author is example.com, or below it where the record says so; the signature is of
 * mail.example.com, which is aligned unless adkim=s. */
static const struct {
    const char *from, *record, *outcome;
} records[] = {
    {"example.com", "v=DMARC1; p=none", "pass p none none example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1;p=quarantine", "pass p quarantine quarantine example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=reject;", "pass p reject reject example.com dkim mail.example.com"},
    /* values without regard to case, but for v; blanks around everything */
    {"example.com", "V = DMARC1 ;\t P = Reject ; ADKIM = S", "fail p reject reject example.com"},
    {"example.com", "v=dmarc1; p=reject", NONE},
    {"example.com", "v=DMARC1x; p=reject", NONE},
    {"example.com", "v=DMARC1 p=reject", NONE},
    {"example.com", "p=reject; v=DMARC1", NONE},
    {"example.com", "", NONE},
    {"example.com", ";v=DMARC1; p=reject", NONE},
    /* alignment */
    {"example.com", "v=DMARC1; p=reject; adkim=s", "fail p reject reject example.com"},
    {"example.com", "v=DMARC1; p=reject; adkim=r", "pass p reject reject example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=reject; adkim=x", "pass p reject reject example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=reject; aspf=s", "pass p reject reject example.com dkim mail.example.com"},
    {"mail.example.com", "v=DMARC1; p=reject; adkim=s", "pass p reject reject example.com dkim mail.example.com"},
    /* t=y: one level below, and nothing below none */
    {"example.com", "v=DMARC1; p=reject; adkim=s; t=y", "fail p reject quarantine example.com"},
    {"example.com", "v=DMARC1; p=quarantine; adkim=s; t=y", "fail p quarantine none example.com"},
    {"example.com", "v=DMARC1; p=none; adkim=s; t=y", "fail p none none example.com"},
    {"example.com", "v=DMARC1; p=reject; adkim=s; t=n", "fail p reject reject example.com"},
    /* sp for those below that exist, np for those that do not, in their absence sp, then p */
    {"here.example.com", "v=DMARC1; p=reject; sp=quarantine; adkim=s", "fail sp quarantine quarantine example.com"},
    {"here.example.com", "v=DMARC1; p=none; sp=quarantine; np=reject; adkim=s",
     "fail sp quarantine quarantine example.com"},
    {"gone.example.com", "v=DMARC1; p=none; sp=quarantine; np=reject; adkim=s", "fail np reject reject example.com"},
    {"gone.example.com", "v=DMARC1; p=reject; np=none; adkim=s", "fail np none none example.com"},
    {"gone.example.com", "v=DMARC1; p=reject; sp=none; adkim=s", "fail sp none none example.com"},
    {"gone.example.com", "v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; adkim=s",
     "fail np reject quarantine example.com"},
    {"here.example.com", "v=DMARC1; p=reject; np=none; adkim=s", "fail p reject reject example.com"},
    {"example.com", "v=DMARC1; p=reject; sp=none; np=none; adkim=s", "fail p reject reject example.com"},
    /* whether it exists is not known: only a pass does not need it */
    {"later.example.com", "v=DMARC1; p=reject; np=none; adkim=s", "temperror p reject reject example.com"},
    {"later.example.com", "v=DMARC1; p=reject; np=none", "pass p reject reject example.com dkim mail.example.com"},
    /* RFC 9989 4.10.1: no valid policy is p=none for who wants reports, and no DMARC for others */
    {"example.com", "v=DMARC1", NONE},
    {"example.com", "v=DMARC1; rua=mailto:a@example.com", "pass p none none example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=rejct; rua=mailto:a@example.com",
     "pass p none none example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=rejct; rua=https://example.com/r!10m,x",
     "pass p none none example.com dkim mail.example.com"},
    {"example.com", "v=DMARC1; p=rejct; rua=nothing, :x, mailto:, 1x:y, m\xc3\xa4il:x", NONE},
    {"example.com", "v=DMARC1; p=", NONE},
    {"example.com", "v=DMARC1; p=reject; sp=quarantin", NONE},
    {"here.example.com", "v=DMARC1; p=reject; np=x; rua=mailto:a@example.com",
     "pass p none none example.com dkim mail.example.com"},
    /* unknown and historic tags, broken ones, tags that stand twice */
    {"example.com", "v=DMARC1; p=reject; pct=0; rf=afrf; ri=86400; ruf=x; fo=1:d:s; what=ever; ; =; broken; adkim=s",
     "fail p reject reject example.com"},
    {"example.com", "v=DMARC1; p=reject; p=none; adkim=s; adkim=r", "fail p reject reject example.com"},
};

START_TEST(what_records_say)
{
    const struct zone_row rows[] = {
        D("example.com", records[_i].record),
        {"here.example.com", ZONE_TXT, "any", 0},
        {"later.example.com", ZONE_TEMPFAIL, "", 0},
    };
    struct question q = {records[_i].from, NULL, "mail.example.com", SPF_NONE, NULL, false};
    struct dmarc_verdict v = ask(rows, ARRAY_LEN(rows), &q);
    ck_assert_msg(strcmp(outcome(&v), records[_i].outcome) == 0, "%s, %s: got \"%s\", want \"%s\": %.*s",
                  records[_i].from, records[_i].record, outcome(&v), records[_i].outcome, SLICE_ARG(v.why));
}
END_TEST

START_TEST(spf_alignment)
{
    static const struct zone_row rows[] = {D("example.com", "v=DMARC1; p=reject; aspf=s")};
    struct question strict = {"example.com", "mail.example.com", NULL, SPF_PASS, NULL, false};
    struct question same = {"example.com", "example.com", NULL, SPF_PASS, NULL, false};
    ck_assert_int_eq(ask(rows, 1, &strict).result, DMARC_FAIL);
    ck_assert_int_eq(ask(rows, 1, &same).result, DMARC_PASS);
    for (enum spf_result r = SPF_NONE; r <= SPF_PERMERROR; r++) {
        same.spf = r;
        enum dmarc_result want = r == SPF_PASS ? DMARC_PASS : r == SPF_TEMPERROR ? DMARC_TEMPERROR : DMARC_FAIL;
        ck_assert_int_eq(ask(rows, 1, &same).result, want);
    }
}
END_TEST

/* ---- DNS that fails, memory that ends
 * --------------------------------------------------------------------------------------- */

START_TEST(questions_without_answer)
{
    static const struct zone_row rows[] = {
        D("example.com", "v=DMARC1; p=reject"),
        {"_dmarc.com", ZONE_TEMPFAIL, "", 0},
    };
    /* identical: nothing above example.com is asked for */
    struct question same = {"example.com", NULL, "example.com", SPF_NONE, NULL, false};
    struct question relaxed = {"example.com", NULL, "mail.example.com", SPF_NONE, NULL, false};
    struct question other = {"example.com", NULL, "example.net", SPF_NONE, NULL, false};
    struct dmarc_verdict v = ask(rows, ARRAY_LEN(rows), &same);
    ck_assert_int_eq(v.result, DMARC_PASS);
    ck_assert_slice_eq(strbuf_slice(&zone.asked), "_dmarc.example.com ");
    v = ask(rows, ARRAY_LEN(rows), &relaxed);
    ck_assert_int_eq(v.result, DMARC_TEMPERROR);
    ck_assert_slice_eq(v.why, "DNS gave no answer for the DMARC record of com");
    ck_assert_int_eq(ask(rows, ARRAY_LEN(rows), &other).result, DMARC_FAIL);
}
END_TEST

START_TEST(no_question_too_many)
{
    /* not below the author's Organizational Domain: cannot be aligned */
    struct question stranger = {"example.com", "mailer.com", "a.mailer.com", SPF_PASS, NULL, false};
    ck_assert_int_eq(ask(walk_zone, ARRAY_LEN(walk_zone), &stranger).result, DMARC_FAIL);
    ck_assert_slice_eq(strbuf_slice(&zone.asked), "_dmarc.example.com _dmarc.com ");
    /* np that says what sp says: whether the domain exists does not matter */
    static const struct zone_row rows[] = {D("example.com", "v=DMARC1; p=none; sp=reject; np=reject")};
    struct question gone = {"gone.example.com", NULL, NULL, SPF_NONE, NULL, false};
    struct dmarc_verdict v = ask(rows, ARRAY_LEN(rows), &gone);
    ck_assert_str_eq(outcome(&v), "fail sp reject reject example.com");
    ck_assert_slice_eq(strbuf_slice(&zone.asked), "_dmarc.gone.example.com _dmarc.example.com _dmarc.com ");
}
END_TEST

START_TEST(sentences)
{
    static const struct {
        struct question q;
        const char *why;
    } rows[] = {
        {{"example.com", NULL, "example.com", SPF_NONE, NULL, false},
         "a DKIM signature passes for example.com, the very domain in From:"},
        {{"example.com", "mail.example.com", NULL, SPF_PASS, NULL, false},
         "SPF passes for mail.example.com, which is of the same organization as the one in From:"},
        {{"www.example.com", "mailer.net", "mailer.net other.net", SPF_PASS, NULL, false},
         "SPF passes only for mailer.net and DKIM passes only for mailer.net and others, so nothing vouches for "
         "www.example.com; the record of example.com asks to reject (p)"},
        {{"signing.example.com", "example.com", NULL, SPF_SOFTFAIL, NULL, false},
         "SPF gives softfail and no DKIM signature passes, so nothing vouches for signing.example.com; the record of "
         "signing.example.com does not ask for a measure (p)"},
        {{"nothing.test", NULL, NULL, SPF_NONE, NULL, false},
         "nothing.test publishes no DMARC record, nor does a domain above it"},
        {{"twice.example", NULL, NULL, SPF_NONE, NULL, false},
         "twice.example publishes several DMARC records, so none of them counts"},
        {{"a.com b.com", NULL, NULL, SPF_NONE, NULL, false},
         "From: names authors of more than one domain, a.com and b.com"},
        {{"a\x01.com", NULL, NULL, SPF_NONE, NULL, false}, "\"a?.com\" in From: is no domain name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_slice_eq(ask(walk_zone, ARRAY_LEN(walk_zone), &rows[i].q).why, rows[i].why);
}
END_TEST

START_TEST(memory_that_ends)
{
    struct question q = {"www.example.com", "mail.example.com", "signing.example.com", SPF_PASS, NULL, false};
    bool judged = false;
    for (size_t max = 1; max < 100000 && !judged; max += 7) {
        arena_free(&arena);
        arena = ARENA_INIT(max);
        struct dmarc_verdict v = ask(walk_zone, ARRAY_LEN(walk_zone), &q);
        judged = v.result == DMARC_PASS;
        ck_assert_msg(judged || v.result == DMARC_TEMPERROR, "%zu octets: %s", max, dmarc_result_name(v.result));
    }
    ck_assert(judged);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dmarc");
    TCase *t = tcase_create("dmarc");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, the_tree_walk, 0, ARRAY_LEN(walks));
    tcase_add_test(t, a_name_too_long_to_ask_for);
    tcase_add_loop_test(t, verdicts_of_the_tree, 0, ARRAY_LEN(verdicts));
    tcase_add_test(t, queries_are_bounded);
    tcase_add_loop_test(t, what_records_say, 0, ARRAY_LEN(records));
    tcase_add_test(t, spf_alignment);
    tcase_add_test(t, questions_without_answer);
    tcase_add_test(t, no_question_too_many);
    tcase_add_test(t, sentences);
    tcase_add_test(t, memory_that_ends);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
