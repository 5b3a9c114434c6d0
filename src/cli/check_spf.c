/* Does the domain's SPF record let mail leave from here, and if not, what should it say? */
#include "check.h"

#include "sendas/align.h"
#include "sendas/dns.h"

#include <string.h>

enum { RECORDS_MAX = 64 };

/* RFC 7208 4.5 */
static bool is_spf(struct slice text)
{
    return slice_starts_icase(text, SLICE("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

/* ---- what receivers make of it --------------------------------------------------------------- */

struct outcome {
    size_t n_missing;           /* addresses for which it does not pass */
    bool unknown;               /* DNS gave no answer for one of them */
    const char *of;             /* the first of them */
    struct spf_verdict verdict; /* of that one */
};

struct spf_verdict check_spf_verdict(struct check_run *r, const char *sender, const char *ip)
{
    struct spf_request request = {.ip = slice_of(ip),
                                  .sender = slice_of(sender),
                                  .helo = slice_of(r->config->hostname),
                                  .receiver = slice_of(r->config->hostname),
                                  .now = r->now};
    struct spf_verdict v;
    spf_check(&r->memory, &r->world->dns, &request, &v);
    return v;
}

static void evaluate(struct check_run *r, const char *domain, struct outcome *o)
{
    const char *sender = check_text(r, "postmaster@%s", domain);
    *o = (struct outcome){.of = ""};
    for (size_t i = 0; i < r->n_addresses; i++) {
        struct spf_verdict v = check_spf_verdict(r, sender, r->addresses[i]);
        if (v.result == SPF_PASS)
            continue;
        o->unknown = o->unknown || v.result == SPF_TEMPERROR;
        if (o->n_missing++ == 0) {
            o->of = r->addresses[i];
            o->verdict = v;
        }
    }
}

/* ---- what it should be ----------------------------------------------------------------------- */

static bool merge(struct check_run *r, const char *domain, const struct slice *texts, size_t n,
                  struct spf_merge_result *ret)
{
    struct slice ips[CHECK_ADDRESSES_MAX];
    struct err err;
    for (size_t i = 0; i < r->n_addresses; i++)
        ips[i] = slice_of(r->addresses[i]);
    struct spf_merge_request request = {.domain = slice_of(domain),
                                        .published = texts,
                                        .n_published = n,
                                        .ips = ips,
                                        .n_ips = r->n_addresses,
                                        .hostname = slice_of(r->config->hostname)};
    return spf_merge(&r->memory, &r->world->dns, &request, ret, &err) == 0;
}

/* What its owner should know; `serious`: only what mail is lost by.  False: nothing. */
static bool add_notes(const struct spf_merge_result *m, bool serious, struct strbuf *out)
{
    size_t before = out->n;
    for (size_t i = 0; i < m->n_notes; i++) {
        /* that there are several, and that DNS did not answer, is told otherwise */
        if (m->notes[i].kind == SPF_NOTE_SEVERAL || m->notes[i].kind == SPF_NOTE_UNKNOWN ||
            m->notes[i].serious != serious)
            continue;
        check_join(out);
        strbuf_add_slice(out, m->notes[i].text);
    }
    return out->n > before;
}

/* ---- the check ------------------------------------------------------------------------------- */

static void tell_found(struct check_run *r, struct check_item *item, const struct slice *spf, size_t n,
                       const struct outcome *o, struct strbuf *found)
{
    if (n > 1)
        strbuf_addf(found, "%zu SPF records, so none of them counts: ", n);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(found, "%s%.*s", i > 0 ? "; " : "", SLICE_ARG(spf[i]));
    if (n != 1 || o->n_missing == 0)
        return;
    bool reason = o->unknown || o->verdict.result == SPF_PERMERROR;
    strbuf_addf(found, " (%s for %s%s%.*s)", spf_result_name(o->verdict.result), o->of, reason ? ": " : "",
                reason ? (int)o->verdict.why.n : 0, o->verdict.why.p);
    item->unknown = o->unknown;
    item->status = o->unknown || r->smarthost != NULL ? CHECK_WARN : CHECK_FAIL;
}

static void tell_fix(struct check_run *r, struct check_item *item, const char *domain, size_t n,
                     const struct spf_merge_result *m, const struct outcome *o, struct strbuf *fix)
{
    if (n != 1 || m->change == SPF_MERGE_REPLACE)
        item->expected = check_text(r, "%.*s", SLICE_ARG(m->record));
    if (n == 0)
        strbuf_addf(fix, "publish this TXT record at %s: %s", domain, item->expected);
    else if (n > 1)
        strbuf_addf(fix, "remove them all and publish this one TXT record at %s: %s", domain, item->expected);
    else if (r->n_addresses == 0)
        strbuf_add_str(fix, "whether it fits is seen when the address that mail leaves from is known (hostname)");
    else if (o->unknown)
        strbuf_add_str(fix, "try again later");
    else if (o->n_missing > 0 && r->smarthost != NULL)
        strbuf_addf(fix, "mail leaves through %s: publish what its owner says (often an include:)", r->smarthost);
    else if (m->change == SPF_MERGE_REPLACE)
        strbuf_addf(fix, "replace the record at %s by: %s", domain, item->expected);
    if (add_notes(m, true, fix))
        item->status = CHECK_FAIL;
    if (add_notes(m, false, fix) && item->status == CHECK_PASS)
        item->status = CHECK_WARN;
    if (item->status == CHECK_PASS && fix->n > 0)
        item->status = CHECK_WARN;
}

static void judge(struct check_run *r, struct check_item *item, const char *domain, const struct slice *texts,
                  size_t n_texts, const struct slice *spf, size_t n)
{
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    struct spf_merge_result m;
    struct outcome o = {.of = ""};
    if (!merge(r, domain, texts, n_texts, &m)) {
        r->failed = true;
        return;
    }
    if (n == 1)
        evaluate(r, domain, &o);
    item->status = n == 1 ? CHECK_PASS : CHECK_FAIL;
    item->expected = "one record that lets mail leave from here, and takes at most 10 DNS lookups";
    if (n == 0)
        strbuf_addf(&found, "no SPF record at %s", domain);
    tell_found(r, item, spf, n, &o, &found);
    if (n == 1 && r->n_addresses == 0) {
        item->status = CHECK_WARN;
        item->unknown = true;
    }
    tell_fix(r, item, domain, n, &m, &o, &fix);
    item->unknown = item->unknown && item->status == CHECK_WARN;
    check_tell(r, item, &found, item->expected, &fix);
}

void check_spf(struct check_run *r, const char *domain)
{
    struct check_item *item = check_add(r, "spf", domain, CHECK_PASS);
    struct lookup_answer answer = check_ask(r, domain, NULL, DNS_TXT);
    struct slice texts[RECORDS_MAX], spf[RECORDS_MAX];
    size_t n_texts = 0, n = 0;
    if (answer.status == LOOKUP_TEMPFAIL) {
        check_no_answer(r, item, domain, DNS_TXT);
        return;
    }
    for (size_t i = 0; i < answer.n && i < RECORDS_MAX; i++) {
        texts[n_texts++] = answer.records[i].text;
        if (is_spf(answer.records[i].text))
            spf[n++] = answer.records[i].text;
    }
    judge(r, item, domain, texts, n_texts, spf, n);
}
