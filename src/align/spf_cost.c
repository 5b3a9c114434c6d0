/* What an SPF record costs a receiver that finds no match (RFC 7208 4.6.4): its terms that ask DNS, those of the records
 * that it includes counted in, and how many of them have an empty answer. */
#include "internal.h"

enum { DEPTH_MAX = 12 }; /* one more than any record may have */

static void cost_record(struct spf_run *run, struct slice domain, struct spf_cost *cost, unsigned depth);

/* False when the answer is not known. */
static bool ask(struct spf_run *run, struct slice name, unsigned type, struct spf_cost *cost, struct lookup_answer *ret)
{
    bool may_ask = cost->queries < SPF_MERGE_QUERIES_MAX && !run->no_memory;
    if (may_ask) {
        cost->queries++;
        spf_ask(run, name, type, ret);
    }
    if (may_ask && ret->status != LOOKUP_TEMPFAIL)
        return true;
    if (!cost->unknown)
        cost->unanswered = name;
    cost->unknown = true;
    return false;
}

static bool is_void(const struct lookup_answer *answer)
{
    return answer->status != LOOKUP_OK;
}

static void cost_names(struct spf_run *run, const struct spf_term *term, struct slice target, struct spf_cost *cost)
{
    struct lookup_answer answer;
    if (term->mechanism == SPF_A) {
        if (ask(run, target, DNS_TYPE_A, cost, &answer))
            cost->voids[0] += is_void(&answer);
        if (ask(run, target, DNS_TYPE_AAAA, cost, &answer))
            cost->voids[1] += is_void(&answer);
        return;
    }
    unsigned type = term->mechanism == SPF_MX ? DNS_TYPE_MX : DNS_TYPE_A;
    if (ask(run, target, type, cost, &answer) && is_void(&answer)) {
        cost->voids[0]++;
        cost->voids[1]++;
    }
}

static void broken(struct spf_cost *cost, struct slice domain, const char *why)
{
    if (cost->broken.n > 0)
        return;
    cost->broken = domain;
    err_set(&cost->why, "%s", why);
}

/* The one valid record of `domain`. */
static bool fetch(struct spf_run *run, struct slice domain, struct spf_cost *cost, struct spf_record *ret)
{
    struct lookup_answer answer;
    struct slice text = {0};
    size_t n = 0;
    struct err err;
    if (!ask(run, domain, DNS_TYPE_TXT, cost, &answer))
        return false;
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++)
        if (spf_record_is(answer.records[i].text)) {
            text = answer.records[i].text;
            n++;
        }
    if (n != 1) {
        broken(cost, domain, n == 0 ? "has no SPF record" : "has more than one SPF record");
        return false;
    }
    int rc = spf_record_parse(run->arena, text, ret, &err);
    run->no_memory = run->no_memory || rc == MESSAGE_NO_MEMORY;
    if (rc < 0) {
        struct err why;
        err_set(&why, "has a broken SPF record: %.400s", err.text);
        broken(cost, domain, why.text);
    }
    return rc == 0;
}

static void cost_target(struct spf_run *run, struct slice domain, struct slice spec, struct spf_cost *cost,
                        unsigned depth)
{
    /* What depends on the sender cannot be followed. */
    if (slice_find(spec, '%') < spec.n || depth >= DEPTH_MAX)
        return;
    struct slice target = spf_macro_expand_name(run, domain, spec);
    if (target.n > 0)
        cost_record(run, target, cost, depth + 1);
}

static void cost_term(struct spf_run *run, struct slice domain, const struct spf_term *term, struct spf_cost *cost,
                      unsigned depth)
{
    if (term->mechanism == SPF_ALL || term->mechanism == SPF_IP4 || term->mechanism == SPF_IP6)
        return;
    cost->lookups++;
    if (term->mechanism == SPF_INCLUDE) {
        cost_target(run, domain, term->target, cost, depth);
        return;
    }
    if (term->mechanism == SPF_PTR || slice_find(term->target, '%') < term->target.n)
        return;
    struct slice target = term->target.n == 0 ? domain : spf_macro_expand_name(run, domain, term->target);
    cost_names(run, term, target, cost);
}

static void cost_record(struct spf_run *run, struct slice domain, struct spf_cost *cost, unsigned depth)
{
    struct spf_record record;
    if (!fetch(run, domain, cost, &record))
        return;
    for (size_t i = 0; i < record.n; i++) {
        if (record.terms[i].mechanism == SPF_ALL)
            return;
        cost_term(run, domain, &record.terms[i], cost, depth);
    }
    if (record.redirect.p == NULL)
        return;
    cost->lookups++;
    cost_target(run, domain, record.redirect, cost, depth);
}

void spf_cost_term(struct spf_run *run, struct slice domain, const struct spf_term *term, struct spf_cost *cost)
{
    cost_term(run, domain, term, cost, 0);
}

void spf_cost_redirect(struct spf_run *run, struct slice domain, struct slice target, struct spf_cost *cost)
{
    cost->lookups++;
    cost_target(run, domain, target, cost, 0);
}
