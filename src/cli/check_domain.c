/* What DNS says of a domain besides SPF and DKIM: DMARC, and where its own mail goes. */
#include "check.h"

#include "sendas/align.h"
#include "sendas/dns.h"

/* ---- dmarc ----------------------------------------------------------------------------------- */

/* Without SPF and DKIM results the verdict is the record alone. */
void check_dmarc(struct check_run *r, const char *domain)
{
    struct check_item *item = check_add(r, "dmarc", domain, CHECK_PASS);
    struct slice from = slice_of(domain);
    struct dmarc_request request = {.from = &from, .n_from = 1};
    struct dmarc_verdict v;
    dmarc_check(&r->memory, &r->dns, &request, &v);
    item->expected = check_text(r, "one TXT record at _dmarc.%s: v=DMARC1; p=quarantine (or p=reject, p=none)", domain);
    if (v.record.n == 0) {
        item->found = check_text(r, "%.*s", SLICE_ARG(v.why));
        item->status = v.result == DMARC_TEMPERROR ? CHECK_WARN : CHECK_FAIL;
        item->unknown = v.result == DMARC_TEMPERROR;
        item->fix = item->unknown ? "try again later"
                                  : check_text(r, "publish one TXT record at _dmarc.%s: v=DMARC1; p=none", domain);
        return;
    }
    item->found = check_text(r, "%.*s%s%.*s", SLICE_ARG(v.record), slice_eq(v.record_of, from) ? "" : " at _dmarc.",
                             slice_eq(v.record_of, from) ? 0 : (int)v.record_of.n, v.record_of.p);
    if (v.policy != DMARC_POLICY_NONE)
        return;
    item->status = CHECK_WARN;
    item->fix = v.testing ? "when all else passes for some weeks, take t=y out: now others can write in your name"
                          : "when all else passes for some weeks, say p=quarantine: with p=none others can write in "
                            "your name";
}

/* ---- mx
 * -------------------------------------------------------------------------------------------------------------- */

/* 1: the name has an address, 0: it has none, -1: DNS does not say. */
static int has_address(struct check_run *r, const char *name)
{
    enum lookup_status worst = LOOKUP_OK;
    if (check_ask(r, name, &worst, DNS_A).n > 0 || check_ask(r, name, &worst, DNS_AAAA).n > 0)
        return 1;
    return worst == LOOKUP_TEMPFAIL ? -1 : 0;
}

static int any_reachable(struct check_run *r, const struct lookup_answer *mx, struct strbuf *found)
{
    int best = 0;
    for (size_t i = 0; i < mx->n && i < CHECK_ADDRESSES_MAX; i++) {
        const char *name = check_text(r, "%.*s", SLICE_ARG(mx->records[i].text));
        int got = name[0] == '\0' ? 0 : has_address(r, name);
        strbuf_addf(found, "%s%u %s%s", i > 0 ? ", " : "", mx->records[i].preference, name,
                    got == 0 ? " (without an address)" : "");
        best = best == 1 || got == 0 ? best : got;
    }
    return best;
}

/* RFC 5321 5.1: without MX the domain's own address counts.  RFC 7505: "MX 0 ." takes no mail at all, and receivers
 * may refuse what such a domain sends (4.2). */
void check_mx(struct check_run *r, const char *domain)
{
    struct check_item *item = check_add(r, "mx", domain, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    struct lookup_answer mx = check_ask(r, domain, NULL, DNS_MX);
    bool null = mx.n == 1 && mx.records[0].text.n == 0;
    int reachable = mx.status == LOOKUP_TEMPFAIL ? -1 : 0;
    if (null)
        strbuf_add_str(&found, "a null MX: the domain says that it takes no mail");
    else if (mx.n > 0)
        reachable = any_reachable(r, &mx, &found);
    else if (reachable == 0 && (reachable = has_address(r, domain)) > 0)
        strbuf_addf(&found, "no MX; mail goes to the address of %s itself", domain);
    if (reachable == 0 && found.n == 0)
        strbuf_addf(&found, "%s has neither MX nor address", domain);
    item->status = reachable == 0 ? CHECK_FAIL : CHECK_PASS;
    if (reachable == 0)
        strbuf_addf(&fix,
                    "publish an MX record of %s with the host that takes its mail, or answers and bounces are lost",
                    domain);
    check_tell(r, item, &found, check_text(r, "an MX record of %s whose host has an address", domain), &fix);
    if (reachable < 0)
        check_no_answer(r, item, domain);
}
