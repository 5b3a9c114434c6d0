/* DMARC (RFC 9989): does what SPF and DKIM have proven vouch for the domain in From:?  Read dmarc_check from top to
 * bottom: the author, the policy, the alignment, the verdict. */
#include "internal.h"

#include <string.h>

struct run {
    struct arena *arena;
    const struct lookup *dns;
    const struct dmarc_request *req;
    struct dmarc_verdict *v;
    struct dmarc_walk author;
    const struct dmarc_record *record; /* that applies */
    bool failed;                       /* DNS did not answer a question that could have brought alignment */
    struct slice failed_at;
    bool no_memory;
};

const char *dmarc_result_name(enum dmarc_result r)
{
    static const char *const names[] = {"none", "pass", "fail", "temperror", "permerror"};
    return names[r];
}

/* The verdict and its sentence. */
static void conclude(struct run *run, enum dmarc_result result, const char *format, ...) PRINTF_LIKE(3, 4);
static void conclude(struct run *run, enum dmarc_result result, const char *format, ...)
{
    struct err why;
    va_list args;
    va_start(args, format);
    err_vset(&why, format, args);
    va_end(args);
    run->v->result = result;
    run->v->why = arena_copy(run->arena, slice_of(why.text));
    run->no_memory = run->no_memory || run->v->why.p == NULL;
}

static struct slice keep(struct run *run, const char *cstr)
{
    struct slice copy = arena_copy(run->arena, slice_of(cstr));
    run->no_memory = run->no_memory || copy.p == NULL;
    return copy;
}

/* ---- the author ----------------------------------------------------------------------------------------------- */

/* RFC 9989 5.3.1, 4.4: one domain, in one field; otherwise nobody can tell whose policy it is. */
static bool find_author(struct run *run)
{
    const struct dmarc_request *req = run->req;
    char author[DOMAIN_MAX + 1] = "", name[DOMAIN_MAX + 1];
    for (size_t i = 0; i < req->n_from; i++) {
        if (align_name(req->from[i], name) < 0) {
            conclude(run, DMARC_PERMERROR, "\"%s\" in From: is no domain name", align_show(req->from[i]).text);
            return false;
        }
        if (i == 0) {
            memcpy(author, name, sizeof author);
        } else if (strcmp(author, name) != 0) {
            conclude(run, DMARC_PERMERROR, "From: names authors of more than one domain, %s and %s", author, name);
            return false;
        }
    }
    if (req->from_repeated || req->n_from == 0) {
        conclude(run, DMARC_PERMERROR, "%s",
                 req->from_repeated ? "the message has more than one From: field"
                                    : "the message has no author's address in From:");
        return false;
    }
    run->v->from = keep(run, author);
    return !run->no_memory;
}

/* ---- the policy ------------------------------------------------------------------------------------------------- */

static void no_answer(struct run *run, struct slice domain)
{
    conclude(run, DMARC_TEMPERROR, "DNS gave no answer for the DMARC record of %s", align_show(domain).text);
}

/* RFC 9989 4.10.1 */
static bool find_record(struct run *run)
{
    struct dmarc_walk *w = &run->author;
    struct dmarc_verdict *v = run->v;
    dmarc_walk_begin(w, run->arena, run->dns, v->from);
    if (w->n == 0)
        dmarc_walk_finish(w, run->arena, run->dns);
    if (w->failed) {
        no_answer(run, w->failed_at);
        return false;
    }
    const struct dmarc_found *found = dmarc_walk_policy(w);
    if (found == NULL && w->ambiguous.n > 0) {
        conclude(run, DMARC_NONE, "%s publishes several DMARC records, so none of them counts",
                 align_show(w->ambiguous).text);
        return false;
    }
    if (found == NULL) {
        conclude(run, DMARC_NONE, "%.*s publishes no DMARC record, nor does a domain above it", SLICE_ARG(v->from));
        return false;
    }
    if (found->record.bad_policy && !found->record.has_rua) {
        conclude(run, DMARC_NONE, "the DMARC record of %s has no valid policy: it says \"%s\"",
                 align_show(found->domain).text, align_show(found->record.text).text);
        return false;
    }
    run->record = &found->record;
    v->record_of = found->domain;
    v->record = found->record.text;
    v->testing = found->record.testing;
    return true;
}

/* RFC 9989 3.2.13, A.4: NXDOMAIN, and nothing else, tells that a domain does not exist. */
static enum lookup_status ask_existence(struct run *run)
{
    char name[DOMAIN_MAX + 1];
    struct lookup_answer answer = {0};
    memcpy(name, run->v->from.p, run->v->from.n);
    name[run->v->from.n] = '\0';
    run->dns->query(run->dns->ctx, run->arena, name, DNS_TYPE_A, &answer);
    return answer.status;
}

/* RFC 9989 4.7, 4.10.1: p for the record's own domain, for those below np if they do not exist, sp otherwise.  False
 * when DNS does not tell. */
static bool find_policy(struct run *run)
{
    const struct dmarc_record *r = run->record;
    struct dmarc_verdict *v = run->v;
    bool below = !slice_eq(v->record_of, v->from), answered = true;
    enum dmarc_policy existing = r->has_sp ? r->sp : r->p;
    v->policy_tag = below && r->has_sp ? "sp" : "p";
    v->published = below ? existing : r->p;
    if (below && r->has_np && r->np != existing) {
        enum lookup_status status = ask_existence(run);
        answered = status != LOOKUP_TEMPFAIL;
        if (status == LOOKUP_NXDOMAIN) {
            v->policy_tag = "np";
            v->published = r->np;
        }
    }
    if (r->bad_policy) { /* and reports are wanted: as if it said p=none */
        v->policy_tag = "p";
        v->published = DMARC_POLICY_NONE;
    }
    /* RFC 9989 4.7, t: one level below */
    v->policy = r->testing && v->published > DMARC_POLICY_NONE ? v->published - 1 : v->published;
    return answered;
}

/* ---- the alignment --------------------------------------------------------------------------- */

static struct slice top_label(struct slice name)
{
    size_t at = name.n;
    while (at > 0 && name.p[at - 1] != '.')
        at--;
    return slice_skip(name, at);
}

static bool is_within(struct slice name, struct slice domain)
{
    return name.n >= domain.n && slice_eq(slice_skip(name, name.n - domain.n), domain) &&
           (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

/* RFC 9989 4.10.2: have both the same Organizational Domain? */
static bool same_organization(struct run *run, struct slice domain)
{
    struct dmarc_walk w;
    /* An Organizational Domain is the end of all its domains' names: there is no need to ask. */
    if (!slice_eq(top_label(domain), top_label(run->v->from)))
        return false;
    dmarc_walk_finish(&run->author, run->arena, run->dns);
    if (!run->author.failed && !is_within(domain, dmarc_walk_organization(&run->author)))
        return false;
    dmarc_walk_begin(&w, run->arena, run->dns, domain);
    dmarc_walk_finish(&w, run->arena, run->dns);
    if (run->author.failed || w.failed) {
        run->failed = true;
        run->failed_at = run->author.failed ? run->author.failed_at : w.failed_at;
        return false;
    }
    return slice_eq(dmarc_walk_organization(&run->author), dmarc_walk_organization(&w));
}

/* The identical ones are looked for first: they need no question. */
static bool is_aligned(struct run *run, struct slice domain, bool relaxed)
{
    char name[DOMAIN_MAX + 1];
    if (align_name(domain, name) < 0)
        return false;
    if (!relaxed)
        return slice_eq(slice_of(name), run->v->from);
    struct slice copy = keep(run, name);
    return !run->no_memory && same_organization(run, copy);
}

static bool find_in(struct run *run, const struct slice *domains, size_t n, bool relaxed, struct slice *ret)
{
    for (size_t i = 0; i < n && i < DMARC_DKIM_MAX; i++)
        if (is_aligned(run, domains[i], relaxed)) {
            *ret = domains[i];
            return true;
        }
    return false;
}

/* Of what passed, or (temperror) of what could still pass. */
static bool find_aligned(struct run *run, bool temperror, const char **ret_by, struct slice *ret)
{
    const struct dmarc_request *req = run->req;
    const struct slice *dkim = temperror ? req->dkim_temperror : req->dkim;
    size_t n_dkim = temperror ? req->n_dkim_temperror : req->n_dkim;
    bool spf = req->spf != NULL && req->spf->result == (temperror ? SPF_TEMPERROR : SPF_PASS);
    for (int relaxed = 0; relaxed <= 1; relaxed++) {
        *ret_by = "dkim";
        if (!(relaxed && run->record->strict_dkim) && find_in(run, dkim, n_dkim, relaxed, ret))
            return true;
        *ret_by = "spf";
        if (spf && !(relaxed && run->record->strict_spf) && find_in(run, &req->spf->domain, 1, relaxed, ret))
            return true;
    }
    return false;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static void pass(struct run *run, const char *by, struct slice domain)
{
    struct dmarc_verdict *v = run->v;
    struct shown name = align_show(domain);
    char ascii[DOMAIN_MAX + 1];
    bool dkim = strcmp(by, "dkim") == 0;
    (void)align_name(domain, ascii); /* is_aligned did so before */
    v->aligned_by = by;
    v->aligned = keep(run, ascii);
    conclude(run, DMARC_PASS, "%s %s, %s in From:", dkim ? "a DKIM signature passes for" : "SPF passes for", name.text,
             slice_eq(slice_of(ascii), v->from) ? "the very domain" : "which is of the same organization as the one");
}

/* What there is instead of alignment. */
static void tell_failure(struct run *run)
{
    static const char *const asks[] = {"does not ask for a measure", "asks to quarantine", "asks to reject"};
    const struct dmarc_request *req = run->req;
    struct dmarc_verdict *v = run->v;
    struct err spf, dkim;
    if (req->spf == NULL)
        err_set(&spf, "SPF was not checked");
    else if (req->spf->result == SPF_PASS)
        err_set(&spf, "SPF passes only for %s%s", align_show(req->spf->domain).text,
                run->record->strict_spf ? " (aspf=s)" : "");
    else
        err_set(&spf, "SPF gives %s", spf_result_name(req->spf->result));
    if (req->n_dkim == 0)
        err_set(&dkim, "no DKIM signature passes");
    else
        err_set(&dkim, "DKIM passes only for %s%s%s", align_show(req->dkim[0]).text,
                req->n_dkim > 1 ? " and others" : "", run->record->strict_dkim ? " (adkim=s)" : "");
    conclude(run, DMARC_FAIL, "%s and %s, so nothing vouches for %.*s; the record of %.*s %s (%s)%s", spf.text,
             dkim.text, SLICE_ARG(v->from), SLICE_ARG(v->record_of), asks[v->published], v->policy_tag,
             v->testing ? ", one step less while it is tested (t=y)" : "");
}

static void judge(struct run *run)
{
    const char *by;
    struct slice domain;
    bool policy_known = find_policy(run);
    if (find_aligned(run, false, &by, &domain))
        pass(run, by, domain);
    else if (find_aligned(run, true, &by, &domain))
        conclude(run, DMARC_TEMPERROR, "the %s result for %s, on which it depends, is not known for now",
                 strcmp(by, "spf") == 0 ? "SPF" : "DKIM", align_show(domain).text);
    else if (run->failed) /* RFC 9989 5.3.6: neither pass nor fail */
        no_answer(run, run->failed_at);
    else if (!policy_known)
        conclude(run, DMARC_TEMPERROR, "DNS gave no answer whether %.*s exists", SLICE_ARG(run->v->from));
    else
        tell_failure(run);
    if (run->author.finished && !run->author.failed)
        run->v->org = dmarc_walk_organization(&run->author);
}

void dmarc_check(struct arena *a, const struct lookup *dns, const struct dmarc_request *req, struct dmarc_verdict *ret)
{
    struct run run = {.arena = a, .dns = dns, .req = req, .v = ret};
    *ret = (struct dmarc_verdict){0};
    if (find_author(&run) && find_record(&run))
        judge(&run);
    if (run.no_memory)
        *ret = (struct dmarc_verdict){.result = DMARC_TEMPERROR, .from = ret->from, .why = SLICE("memory ran out")};
}
