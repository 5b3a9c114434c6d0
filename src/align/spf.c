/* SPF (RFC 7208): is this client allowed to send for this domain?  Read spf_check from the bottom up: it prepares the
 * identities, spf_check_host finds the term that decides, and the rest is what a person reads. */
#include "internal.h"

#include <string.h>

enum { SENDER_MAX = 1024, EXPLANATION_MAX = 1000 };

const char *spf_result_name(enum spf_result r)
{
    static const char *const names[] = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};
    return names[r];
}

/* ---- check_host() ------------------------------------------------------------------------------------------ */

/* RFC 7208 4.4, 4.5: the one record of `domain`.  SPF_PASS: *ret is it. */
static enum spf_result fetch_record(struct spf_run *run, struct slice domain, struct spf_record *ret)
{
    struct lookup_answer answer;
    struct slice text = {0};
    size_t records = 0;
    struct shown name = align_show(domain);
    struct err err;
    if (slice_find(domain, '.') == domain.n || !spf_ask(run, domain, DNS_TYPE_TXT, &answer)) {
        err_set(&run->why, "\"%s\" is no domain name that could have an SPF record", name.text);
        return SPF_NONE;
    }
    if (answer.status == LOOKUP_TEMPFAIL) {
        err_set(&run->why, "DNS gave no answer for the SPF record of %s", name.text);
        return SPF_TEMPERROR;
    }
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++)
        if (spf_record_is(answer.records[i].text)) {
            text = answer.records[i].text;
            records++;
        }
    if (records == 0) {
        err_set(&run->why, answer.status == LOOKUP_NXDOMAIN ? "%s does not exist" : "%s publishes no SPF record",
                name.text);
        return SPF_NONE;
    }
    if (records > 1) {
        err_set(&run->why, "%s publishes %zu SPF records, but only one is allowed", name.text, records);
        return SPF_PERMERROR;
    }
    int rc = spf_record_parse(run->arena, text, ret, &err);
    run->no_memory = run->no_memory || rc == MESSAGE_NO_MEMORY;
    if (rc == -1)
        err_set(&run->why, "the record of %s is broken: %s", name.text, err.text);
    return rc == 0 ? SPF_PASS : SPF_PERMERROR;
}

/* RFC 7208 4.6.2: the first term that matches decides.  SPF_NO_MATCH: none did. */
static enum spf_outcome evaluate_terms(struct spf_run *run, struct slice domain, const struct spf_record *record,
                                       struct spf_match *ret)
{
    for (size_t i = 0; i < record->n && !run->no_memory; i++) {
        struct spf_match inner = {0};
        enum spf_outcome outcome = spf_term_evaluate(run, domain, &record->terms[i], &inner);
        if (outcome == SPF_NO_MATCH)
            continue;
        ret->term = &record->terms[i];
        if (inner.term != NULL) {
            ret->inner = inner.inner.n > 0 ? inner.inner : inner.term->text;
            ret->inner_of = inner.inner.n > 0 ? inner.inner_of : inner.domain;
        }
        return outcome;
    }
    return SPF_NO_MATCH;
}

enum spf_result spf_check_host(struct spf_run *run, struct slice domain, struct spf_match *ret)
{
    for (bool redirected = false; !run->no_memory; redirected = true) {
        struct spf_record *record = arena_alloc(run->arena, sizeof *record);
        run->no_memory = record == NULL;
        if (run->no_memory)
            break;
        enum spf_result found = fetch_record(run, domain, record);
        if (found == SPF_NONE && redirected) { /* RFC 7208 6.1 */
            err_set(&run->why, "the record of %s redirects to \"%s\", where there is no SPF record",
                    align_show(ret->domain).text, align_show(domain).text);
            return SPF_PERMERROR;
        }
        if (found != SPF_PASS)
            return found;
        *ret = (struct spf_match){.domain = domain, .record = record};
        enum spf_outcome outcome = evaluate_terms(run, domain, record, ret);
        if (outcome == SPF_MATCH)
            return ret->term->qualifier;
        if (outcome != SPF_NO_MATCH)
            return outcome == SPF_STOP_TEMPERROR ? SPF_TEMPERROR : SPF_PERMERROR;
        if (record->redirect.p == NULL)
            return SPF_NEUTRAL; /* RFC 7208 4.7 */
        if (!spf_term_target(run, domain, record->redirect, &domain))
            return SPF_PERMERROR;
    }
    return SPF_TEMPERROR;
}

/* ---- the identities -------------------------------------------------------------------------------------------- */

/* A host or domain name for the macros: A-labels where it has U-labels (RFC 8616 4), otherwise as it is. */
static struct slice name_for_macros(struct spf_run *run, struct slice name)
{
    char ascii[DOMAIN_MAX + 1];
    if (!slice_is_ascii(name) && domain_to_ascii(name, ascii, NULL) == 0)
        name = slice_of(ascii);
    struct slice copy = arena_copy(run->arena, name);
    run->no_memory = run->no_memory || copy.p == NULL;
    return copy;
}

/* RFC 7208 2.4, 4.3: MAIL FROM, or postmaster at HELO's name; without a local part it is postmaster's. */
static void take_sender(struct spf_run *run, struct spf_verdict *v)
{
    struct slice sender = run->req->sender;
    v->of_helo = sender.n == 0;
    size_t at = sender.n;
    while (at > 0 && sender.p[at - 1] != '@')
        at--;
    run->local = at > 1 ? slice_sub(sender, 0, at - 1) : SLICE("postmaster");
    run->helo = name_for_macros(run, run->req->helo);
    run->sender_domain = v->of_helo ? run->helo : name_for_macros(run, slice_skip(sender, at));
}

/* RFC 7208 4.3: False when there is nothing to check; run->why says why. */
static bool prepare(struct spf_run *run, struct spf_verdict *v)
{
    char name[DOMAIN_MAX + 1];
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct spf_request *req = run->req;
    if (req->sender.n > SENDER_MAX || req->helo.n > SENDER_MAX || req->receiver.n > SENDER_MAX) {
        err_set(&run->why, "the name of the sender, of HELO or of the receiver is too long");
        return false;
    }
    take_sender(run, v);
    if (spf_ip_parse(req->ip, &run->ip) < 0) {
        err_set(&run->why, "\"%s\" is no IP address", align_show(req->ip).text);
        return false;
    }
    if (run->ip.v6 && memcmp(run->ip.octets, mapped, sizeof mapped) == 0) { /* RFC 7208 5 */
        run->ip.v6 = false;
        memmove(run->ip.octets, run->ip.octets + sizeof mapped, 4);
    }
    if (align_name(run->sender_domain, name) < 0 || slice_find(slice_of(name), '.') == strlen(name)) {
        err_set(&run->why, "\"%s\" %s is no domain name that could have an SPF record",
                align_show(run->sender_domain).text, v->of_helo ? "in HELO" : "in MAIL FROM");
        return false;
    }
    run->domain = v->domain = arena_copy(run->arena, slice_of(name));
    run->no_memory = run->no_memory || run->domain.p == NULL;
    return !run->no_memory;
}

/* ---- what a person reads --------------------------------------------------------------------- */

static bool is_plain_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] >= 0x7f)
            return false;
    return s.n > 0 && s.n <= EXPLANATION_MAX;
}

/* RFC 7208 6.2: whatever is wrong with it, it is as if there were none. */
static struct slice explanation_of(struct spf_run *run, const struct spf_match *m)
{
    struct lookup_answer answer;
    struct strbuf text = STRBUF_INIT;
    struct slice ret = {0};
    if (m->record->exp.p == NULL)
        return ret;
    struct slice name = spf_macro_expand_name(run, m->domain, m->record->exp);
    if (spf_ask(run, name, DNS_TYPE_TXT, &answer) && answer.status == LOOKUP_OK && answer.n == 1 &&
        answer.records[0].text.n <= EXPLANATION_MAX && spf_macro_check(answer.records[0].text, SPF_MACRO_EXPLANATION) &&
        spf_macro_expand(run, m->domain, answer.records[0].text, &text) && is_plain_text(strbuf_slice(&text))) {
        ret = arena_copy(run->arena, strbuf_slice(&text));
        run->no_memory = run->no_memory || ret.p == NULL;
    }
    strbuf_free(&text);
    return ret;
}

/* Why it is pass, fail, softfail or neutral. */
static void tell_match(struct spf_run *run, enum spf_result result, const struct spf_match *m)
{
    struct shown ip = align_show(run->req->ip), record = align_show(m->record->text);
    struct err domain; /* whose record it is, and how we came to it */
    bool redirected = !slice_eq_icase(m->domain, run->domain);
    err_set(&domain, "%s%s%s%s", align_show(m->domain).text, redirected ? " (by redirect from " : "",
            redirected ? align_show(run->domain).text : "", redirected ? ")" : "");
    if (m->term == NULL) {
        err_set(&run->why, "no part of the record of %s matches %s: it says \"%s\"", domain.text, ip.text, record.text);
        return;
    }
    struct shown term = align_show(m->term->text);
    if (m->term->mechanism == SPF_ALL && result == SPF_PASS)
        err_set(&run->why, "the record of %s allows every address: it says \"%s\"", domain.text, record.text);
    else if (m->term->mechanism == SPF_ALL)
        err_set(&run->why, "the record of %s does not list %s: it says \"%s\"", domain.text, ip.text, record.text);
    else if (m->inner.n > 0)
        err_set(&run->why, "\"%s\" in the record of %s matches %s, through \"%s\" of %s", term.text, domain.text,
                ip.text, align_show(m->inner).text, align_show(m->inner_of).text);
    else
        err_set(&run->why, "\"%s\" in the record of %s matches %s", term.text, domain.text, ip.text);
}

static void take_match(struct spf_run *run, const struct spf_match *m, struct spf_verdict *v)
{
    if (m->record == NULL || v->result == SPF_TEMPERROR || v->result == SPF_PERMERROR)
        return;
    tell_match(run, v->result, m);
    if (m->term != NULL) {
        v->mechanism = m->term->text;
        v->mechanism_of = m->domain;
    }
    if (v->result == SPF_FAIL)
        v->explanation = explanation_of(run, m);
}

void spf_check(struct arena *a, const struct lookup *dns, const struct spf_request *req, struct spf_verdict *ret)
{
    struct spf_run run = {.arena = a, .dns = dns, .req = req};
    struct spf_match match = {0};
    *ret = (struct spf_verdict){0};
    if (prepare(&run, ret))
        ret->result = spf_check_host(&run, run.domain, &match);
    take_match(&run, &match, ret);
    ret->why = arena_copy(a, slice_of(run.why.text));
    if (run.no_memory || ret->why.p == NULL) {
        *ret = (struct spf_verdict){.result = SPF_TEMPERROR, .of_helo = ret->of_helo, .domain = ret->domain};
        ret->why = SLICE("memory ran out");
    }
}
