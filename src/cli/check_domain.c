/* What DNS says of a domain besides SPF and DKIM: its signatures, DMARC, and where its own mail goes. */
#include "check.h"
#include "records.h"

#include "sendas/align.h"
#include "sendas/dns.h"

#include <string.h>

/* ---- dns --------------------------------------------------------------------------------------- */

static bool is_bogus(const struct check_run *r, const char *name, unsigned type)
{
    return slice_starts(slice_of(r->world->why(r->world->ctx, name, type)), SLICE("bogus"));
}

/* Some receivers ask the one that is silent or behind. */
static void judge_servers(struct check_run *r, struct check_item *item, const char *domain)
{
    struct check_authorities servers;
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT, serials = STRBUF_INIT;
    struct slice first = {NULL, 0};
    bool differ = false;
    if (!r->world->authorities(r->world->ctx, domain, DNS_SOA, &servers))
        return; /* this runs again */
    for (size_t i = 0; i < servers.n; i++) {
        const struct check_authority *s = &servers.v[i];
        if (s->silent != NULL) {
            check_join(&found);
            strbuf_addf(&found, "%s does not answer (%s)", s->server, s->silent);
        } else if (s->answer.n > 0) {
            struct slice serial = s->answer.records[0].text;
            first = first.p == NULL ? serial : first;
            differ = differ || !slice_eq(first, serial);
            strbuf_addf(&serials, "%s%s %.*s", serials.n > 0 ? ", " : "", s->server, SLICE_ARG(serial));
        }
    }
    if (found.n > 0)
        strbuf_addf(&fix, "have the DNS provider of %s mend it, or take its NS record out", domain);
    if (differ) {
        check_join(&found);
        check_join(&fix);
        strbuf_addf(&found, "the name servers have different versions of the zone: %s", strbuf_str(&serials));
        strbuf_add_str(&fix, "wait some minutes; if it stays so, have the DNS provider see why a server lags behind");
    }
    strbuf_free(&serials);
    item->status = found.n > 0 ? CHECK_WARN : CHECK_PASS;
    if (found.n == 0)
        strbuf_addf(&found, "all name servers answer, with the same zone (addresses asked: %zu)", servers.n);
    check_tell(r, item, &found, item->expected, &fix);
}

/* A name that validates for nobody is a domain without SPF, DKIM and DMARC for every receiver that validates. */
void check_dnssec(struct check_run *r, const char *domain)
{
    static const unsigned types[] = {DNS_SOA, DNS_TXT, DNS_MX};
    struct check_item *item = check_add(r, "dns", domain, CHECK_PASS);
    unsigned silent = 0, bogus = 0;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (check_ask(r, domain, NULL, types[i]).status != LOOKUP_TEMPFAIL)
            continue;
        silent = silent == 0 ? types[i] : silent;
        bogus = bogus == 0 && is_bogus(r, domain, types[i]) ? types[i] : bogus;
    }
    item->expected =
        check_text(r, "name servers of %s that answer, with valid signatures if the zone is signed", domain);
    item->found = "it answers";
    if (bogus != 0) {
        item->status = CHECK_FAIL;
        item->found = check_text(r, "the DNSSEC signatures of %s are not valid (%s)", domain,
                                 r->world->why(r->world->ctx, domain, bogus));
        item->fix =
            check_text(r,
                       "have its DNS provider sign %s anew, or correct the DS record at the registrar, or remove "
                       "it; until then receivers that validate see none of its records",
                       domain);
    } else if (silent != 0) {
        check_no_answer(r, item, domain, silent);
    } else {
        judge_servers(r, item, domain);
    }
}

/* ---- dmarc ----------------------------------------------------------------------------------- */

/* The domain in the envelope: the return_path's, if there is one. */
static struct slice envelope_domain(const struct config_domain *d)
{
    const char *at = strrchr(d->return_path, '@');
    return slice_of(at == NULL ? d->name : at + 1);
}

/* What receivers make of mail that passes SPF only, or DKIM only. */
static bool aligns(struct check_run *r, const struct config_domain *d, bool by_spf, struct dmarc_verdict *v)
{
    struct slice from = slice_of(d->name);
    struct spf_verdict spf = {.result = SPF_PASS, .domain = envelope_domain(d)};
    struct dmarc_request request = {.from = &from, .n_from = 1, .dkim = &from};
    request.spf = by_spf ? &spf : NULL;
    request.n_dkim = by_spf ? 0 : 1;
    dmarc_check(&r->memory, &r->world->dns, &request, v);
    return v->result == DMARC_PASS;
}

/* As `sendas dns` has it. */
static const char *record_to_publish(struct check_run *r, const char *domain)
{
    struct users *users = NULL;
    struct strbuf report_to = STRBUF_INIT;

    (void)users_load(r->config->users_path, &users, NULL); /* they may be none of this caller's business */
    records_report_address(users, domain, &report_to);
    const char *fix = check_text(r, "publish one TXT record at _dmarc.%s: v=DMARC1; p=none; rua=mailto:%s", domain,
                                 strbuf_str(&report_to));
    strbuf_free(&report_to);
    users_free(&users);
    return fix;
}

static void judge_missing(struct check_run *r, struct check_item *item, const char *domain,
                          const struct dmarc_verdict *v)
{
    item->found = check_text(r, "%.*s", SLICE_ARG(v->why));
    item->status = v->result == DMARC_TEMPERROR ? CHECK_WARN : CHECK_FAIL;
    item->unknown = v->result == DMARC_TEMPERROR;
    item->fix = item->unknown ? "try again later" : record_to_publish(r, domain);
}

/* Nothing is wrong with p=none, but it is where one begins. */
static void take_notes(struct check_run *r, struct check_item *item, const char *domain, bool testing)
{
    struct dmarc_judgement judgement;
    struct strbuf note = STRBUF_INIT, fix = STRBUF_INIT;
    struct err err;
    if (dmarc_judge(&r->memory, &r->world->dns, slice_of(domain), &judgement, &err) < 0) {
        r->failed = true;
        return;
    }
    if (judgement.usable && judgement.policy == DMARC_POLICY_NONE && !testing)
        strbuf_add_str(&note,
                       "when all has passed for some weeks say p=quarantine: until then others can write in your name");
    for (size_t i = 0; i < judgement.n_notes; i++) {
        struct strbuf *list = judgement.notes[i].serious ? &fix : &note;
        check_join(list);
        strbuf_add_slice(list, judgement.notes[i].text);
    }
    item->status = fix.n > 0 ? CHECK_WARN : CHECK_PASS;
    item->note = check_text(r, "%s", strbuf_str(&note));
    item->fix = check_text(r, "%s", strbuf_str(&fix));
    r->failed = r->failed || note.failed || fix.failed;
    strbuf_free(&note);
    strbuf_free(&fix);
}

void check_dmarc(struct check_run *r, const struct config_domain *d)
{
    struct check_item *item = check_add(r, "dmarc", d->name, CHECK_PASS);
    struct dmarc_verdict v, by_spf;
    bool dkim = aligns(r, d, false, &v), spf = aligns(r, d, true, &by_spf);
    item->expected = check_text(r,
                                "one TXT record at _dmarc.%s (v=DMARC1; p=quarantine, or p=reject, or p=none) that SPF "
                                "and DKIM both align with",
                                d->name);
    if (v.record.n == 0) {
        judge_missing(r, item, d->name, &v);
        return;
    }
    const char *of =
        slice_eq(v.record_of, slice_of(d->name)) ? "" : check_text(r, " at _dmarc.%.*s", SLICE_ARG(v.record_of));
    item->found = check_text(r, "%.*s%s", SLICE_ARG(v.record), of);
    if (dkim && spf) {
        take_notes(r, item, d->name, v.testing);
        return;
    }
    item->status = CHECK_WARN;
    item->unknown = by_spf.result == DMARC_TEMPERROR;
    item->unaligned = !item->unknown;
    item->found = check_text(r, "%.*s%s: %.*s", SLICE_ARG(v.record), of, SLICE_ARG(dkim ? by_spf.why : v.why));
    item->fix =
        item->unknown
            ? "try again later"
            : check_text(r,
                         "use a return_path within %s, or none%s; until then mail passes DMARC by its DKIM "
                         "signature alone",
                         d->name,
                         slice_find_slice(v.record, SLICE("aspf")) < v.record.n ? ", or take aspf=s out of the record"
                                                                                : "");
}

/* ---- mx -------------------------------------------------------------------------------------- */

/* 1: the name has an address, 0: it has none, -1: DNS does not say. */
static int has_address(struct check_run *r, const char *name)
{
    enum lookup_status worst = LOOKUP_OK;
    size_t n = check_ask(r, name, &worst, DNS_A).n;
    n += check_ask(r, name, &worst, DNS_AAAA).n;
    return n > 0 ? 1 : worst == LOOKUP_TEMPFAIL ? -1 : 0;
}

struct hosts {
    size_t good, useless, unknown;
    const char *bad; /* one that is of no use, "." for a null MX */
};

static void look_at_hosts(struct check_run *r, const struct lookup_answer *mx, struct hosts *h, struct strbuf *found)
{
    for (size_t i = 0; i < mx->n && i < CHECK_NAMES_MAX; i++) {
        const char *name = check_text(r, "%.*s", SLICE_ARG(mx->records[i].text));
        int got = name[0] == '\0' ? 0 : has_address(r, name);
        strbuf_addf(found, "%s%u %s%s", i > 0 ? ", " : "", mx->records[i].preference, name[0] == '\0' ? "." : name,
                    name[0] == '\0' ? " (a null MX)"
                    : got == 0      ? " (without an address)"
                                    : "");
        h->good += got > 0;
        h->unknown += got < 0;
        h->useless += got == 0;
        h->bad = got == 0 ? (name[0] == '\0' ? "." : name) : h->bad;
    }
}

/* RFC 5321 5.1: without MX the domain's own address counts.  RFC 7505: "MX 0 ." takes no mail at all, and receivers
 * may refuse what such a domain sends (4.2); beside another MX it must not stand (3). */
static enum check_status judge_hosts(struct check_run *r, const char *domain, const struct lookup_answer *mx,
                                     struct strbuf *found, struct strbuf *fix, bool *unknown)
{
    struct hosts h = {0};
    look_at_hosts(r, mx, &h, found);
    *unknown = h.good == 0 && h.unknown > 0;
    if (mx->n == 1 && mx->records[0].text.n == 0) {
        found->n = 0;
        strbuf_add_str(found, "a null MX: the domain says that it takes no mail");
    } else if (mx->n == 0) {
        int own = has_address(r, domain);
        h.good = own > 0;
        *unknown = own < 0;
        strbuf_addf(found, own > 0 ? "no MX; mail goes to the address of %s itself" : "%s has neither MX nor address",
                    domain);
    }
    if (h.good == 0 && !*unknown) {
        strbuf_addf(fix,
                    "publish an MX record of %s with the host that takes its mail, or answers and bounces are lost",
                    domain);
        return CHECK_FAIL;
    }
    if (h.useless > 0)
        strbuf_addf(fix, "remove the MX record of %s with %s, or give that host an address", domain, h.bad);
    return h.useless > 0 ? CHECK_WARN : CHECK_PASS;
}

static enum check_status judge_mx(struct check_run *r, const char *domain, struct strbuf *found, struct strbuf *fix,
                                  bool *unknown)
{
    struct lookup_answer mx = check_ask(r, domain, NULL, DNS_MX);
    *unknown = mx.status == LOOKUP_TEMPFAIL;
    return *unknown ? CHECK_WARN : judge_hosts(r, domain, &mx, found, fix, unknown);
}

void check_mx(struct check_run *r, const char *domain)
{
    struct check_item *item = check_add(r, "mx", domain, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    bool unknown;
    item->status = judge_mx(r, domain, &found, &fix, &unknown);
    check_tell(r, item, &found, check_text(r, "an MX record of %s whose host has an address", domain), &fix);
    if (unknown)
        check_no_answer(r, item, domain, DNS_MX);
}

/* ---- return_path ----------------------------------------------------------------------------- */

/* It is what SPF is about, and where bounces go. */
void check_return_path(struct check_run *r, const struct config_domain *d)
{
    const char *domain = check_text(r, "%.*s", SLICE_ARG(envelope_domain(d)));
    if (d->return_path[0] == '\0' || strcasecmp(domain, d->name) == 0)
        return;
    struct check_item *item = check_add(r, "return_path", d->name, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT, mx = STRBUF_INIT;
    bool unknown;
    item->status = judge_mx(r, domain, &mx, &fix, &unknown);
    item->unknown = unknown;
    strbuf_addf(&found, "%s, MX %s", d->return_path, unknown ? "not known" : strbuf_str(&mx));
    strbuf_free(&mx);
    for (size_t i = 0; i < r->n_addresses; i++) {
        struct spf_verdict v = check_spf_verdict(r, d->return_path, r->addresses[i]);
        if (v.result == SPF_PASS)
            continue;
        check_join(&fix);
        strbuf_addf(&found, "; SPF %s for %s", spf_result_name(v.result), r->addresses[i]);
        strbuf_addf(&fix, "let %s send in the SPF record of %s", r->addresses[i], domain);
        item->unknown = v.result == SPF_TEMPERROR && item->status != CHECK_FAIL;
        item->status = v.result == SPF_TEMPERROR && item->status != CHECK_FAIL ? CHECK_WARN : CHECK_FAIL;
    }
    if (item->unknown && fix.n == 0)
        strbuf_add_str(&fix, "try again later");
    check_tell(r, item, &found,
               check_text(r, "a domain whose SPF record lets this host send, and whose MX takes bounces"), &fix);
}
