/* Does the domain's SPF record let mail leave from here, and if not, what should it say? */
#include "check.h"

#include "records.h"

#include "sendas/align.h"
#include "sendas/dns.h"

#include <string.h>

/* ---- the record, taken apart ----------------------------------------------------------------- */

/* One or several records as one: their terms in order, and what ends it. */
struct merged {
    struct slice *terms;
    size_t n;
    struct slice tail; /* "-all" or "redirect=..."; empty: neither */
};

/* RFC 7208 4.5 */
static bool is_spf(struct slice text)
{
    return slice_starts_icase(text, SLICE("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

static bool is_all(struct slice term)
{
    bool qualified = term.n > 0 && strchr("+-~?", term.p[0]) != NULL;
    return slice_eq_icase(slice_skip(term, qualified), SLICE("all"));
}

/* "-all" 3 ... "all" 0 */
static unsigned strictness(struct slice all)
{
    static const char order[] = "+?~-";
    const char *at = all.n > 0 ? strchr(order, all.p[0]) : NULL;
    return at == NULL ? 0 : (unsigned)(at - order);
}

static bool has_term(const struct merged *m, struct slice term)
{
    for (size_t i = 0; i < m->n; i++)
        if (slice_eq_icase(m->terms[i], term))
            return true;
    return false;
}

/* Of several records the mildest "all" ends the one: nobody loses what he had.  A redirect among several becomes an
 * include, as it may end only one. */
static void merge_term(struct check_run *r, struct merged *m, struct slice term, bool several)
{
    bool redirect = slice_starts_icase(term, SLICE("redirect="));
    if (is_all(term)) {
        if (m->tail.n == 0 || !is_all(m->tail) || strictness(term) < strictness(m->tail))
            m->tail = term;
        return;
    }
    if (redirect && !several) {
        if (m->tail.n == 0)
            m->tail = term;
        return;
    }
    if (redirect)
        term = slice_of(check_text(r, "include:%.*s", SLICE_ARG(slice_skip(term, strlen("redirect=")))));
    if (!has_term(m, term))
        m->terms[m->n++] = term;
    return;
}

enum { TERMS_MAX = 512 };

/* False when there is too much of it to be a record of sense. */
static bool merge(struct check_run *r, const struct slice *records, size_t n, struct merged *m)
{
    *m = (struct merged){.terms = arena_alloc_array(&r->memory, TERMS_MAX, sizeof(*m->terms))};
    if (m->terms == NULL) {
        r->failed = true;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct slice term, rest = slice_skip(records[i], strlen("v=spf1"));
        while (rest.n > 0) {
            rest = slice_cut(rest, ' ', &term);
            if (m->n == TERMS_MAX)
                return false;
            if (term.n > 0)
                merge_term(r, m, term, n > 1);
        }
    }
    return true;
}

/* The record with these addresses, at the end of its mechanisms or, where one of those stands in the way, first. */
static const char *render(struct check_run *r, const struct merged *m, const char *const *ips, size_t n_ips, bool front)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_add_str(&text, "v=spf1");
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; (turn == 0) == front && i < n_ips; i++)
            strbuf_addf(&text, " %s:%s", strchr(ips[i], ':') != NULL ? "ip6" : "ip4", ips[i]);
        for (size_t i = 0; (turn == 0) != front && i < m->n; i++)
            strbuf_addf(&text, " %.*s", SLICE_ARG(m->terms[i]));
    }
    if (m->tail.n > 0)
        strbuf_addf(&text, " %.*s", SLICE_ARG(m->tail));
    r->failed = r->failed || text.failed;
    const char *ret = check_text(r, "%s", strbuf_str(&text));
    strbuf_free(&text);
    return ret;
}

/* ---- what receivers make of it --------------------------------------------------------------- */

/* DNS as it would be with another record. */
struct supposed {
    struct lookup dns;
    const char *domain, *record;
};

static void query_supposed(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    const struct supposed *s = ctx;
    if (type != DNS_TXT || strcasecmp(name, s->domain) != 0) {
        s->dns.query(s->dns.ctx, a, name, type, ret);
        return;
    }
    struct lookup_record *record = arena_alloc(a, sizeof(*record));
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (record == NULL)
        return;
    record->text = slice_of(s->record);
    *ret = (struct lookup_answer){LOOKUP_OK, record, 1};
}

struct outcome {
    const char *missing[CHECK_ADDRESSES_MAX]; /* for which it does not pass */
    size_t n_missing;
    bool unknown;     /* DNS gave no answer for one of them */
    struct slice why; /* of the first of them */
    const char *of;   /* that address */
    enum spf_result result;
};

static void evaluate(struct check_run *r, const char *domain, const char *record, struct outcome *o)
{
    struct supposed supposed = {r->world->dns, domain, record};
    struct lookup dns = {query_supposed, &supposed};
    const char *sender = check_text(r, "postmaster@%s", domain);
    *o = (struct outcome){.result = SPF_PASS};
    for (size_t i = 0; i < r->n_addresses; i++) {
        struct spf_request request = {.ip = slice_of(r->addresses[i]),
                                      .sender = slice_of(sender),
                                      .helo = slice_of(r->config->hostname),
                                      .receiver = slice_of(r->config->hostname),
                                      .now = r->now};
        struct spf_verdict v;
        spf_check(&r->memory, &dns, &request, &v);
        if (v.result == SPF_PASS)
            continue;
        o->unknown = o->unknown || v.result == SPF_TEMPERROR;
        if (o->n_missing == 0) {
            o->why = v.why;
            o->of = r->addresses[i];
            o->result = v.result;
        }
        o->missing[o->n_missing++] = r->addresses[i];
    }
}

/* ---- the check ------------------------------------------------------------------------------- */

/* Where nothing is published: what `sendas dns` prints. */
static const char *fresh_record(struct check_run *r, const char *domain)
{
    const struct config *c = r->config;
    struct records records;
    const char *ret = "";
    records_init(&records);
    records_add_domain(&records, domain, c->hostname, (const char *const *)c->delivery.bind, c->delivery.n_bind);
    for (const struct record *record = records.first; record != NULL; record = record->next)
        if (strcmp(record->name, domain) == 0 && strcmp(record->type, "TXT") == 0)
            ret = check_text(r, "%s", record->value);
    r->failed = r->failed || records.failed;
    records_free(&records);
    return ret;
}

/* The record as it should be: what is there, and the addresses it lacks. */
static const char *corrected(struct check_run *r, const char *domain, const struct merged *m, const struct outcome *now)
{
    struct outcome then;
    const char *last = render(r, m, now->missing, now->n_missing, false);
    evaluate(r, domain, last, &then);
    if (then.n_missing == 0)
        return last;
    const char *first = render(r, m, now->missing, now->n_missing, true);
    evaluate(r, domain, first, &then);
    return then.n_missing == 0 ? first : last;
}

static void judge_single(struct check_run *r, struct check_item *item, const struct outcome *o, const char *record)
{
    item->found = record;
    if (r->n_addresses == 0) {
        item->status = CHECK_WARN;
        item->unknown = true;
        item->fix = "whether it fits is seen when the address that mail leaves from is known (hostname)";
    } else if (o->unknown) {
        item->status = CHECK_WARN;
        item->unknown = true;
        item->found = check_text(r, "%s (for %s: %.*s)", record, o->of, SLICE_ARG(o->why));
        item->fix = "try again later";
    } else if (o->n_missing > 0) {
        item->status = r->smarthost != NULL ? CHECK_WARN : CHECK_FAIL;
        item->found = check_text(r, "%s (%s for %s)", record, spf_result_name(o->result), o->of);
        if (o->result == SPF_PERMERROR)
            item->found = check_text(r, "%s (permerror for %s: %.*s)", record, o->of, SLICE_ARG(o->why));
    }
}

static void judge(struct check_run *r, struct check_item *item, const char *domain, const struct slice *found, size_t n)
{
    struct merged m;
    struct outcome o;
    if (!merge(r, found, n, &m)) {
        item->status = CHECK_FAIL;
        item->found = check_text(r, "an SPF record of more than %d terms", TERMS_MAX);
        item->fix = check_text(r, "publish this one instead: %s", item->expected = fresh_record(r, domain));
        return;
    }
    const char *base = n == 1 ? check_text(r, "%.*s", SLICE_ARG(found[0])) : render(r, &m, NULL, 0, false);
    evaluate(r, domain, base, &o);
    if (n == 1)
        judge_single(r, item, &o, base);
    item->expected = o.unknown || o.n_missing == 0 ? base : corrected(r, domain, &m, &o);
    if (n > 1) {
        struct strbuf list = STRBUF_INIT;
        for (size_t i = 0; i < n; i++)
            strbuf_addf(&list, "%s%.*s", i > 0 ? "; " : "", SLICE_ARG(found[i]));
        item->status = CHECK_FAIL;
        item->found = check_text(r, "%zu SPF records, so none of them counts: %s", n, strbuf_str(&list));
        item->fix = check_text(r, "remove them all and publish this one TXT record at %s: %s", domain, item->expected);
        strbuf_free(&list);
    } else if (item->status == CHECK_WARN && !item->unknown) {
        item->fix =
            check_text(r, "mail leaves through %s: publish what its owner says (often an include:)", r->smarthost);
    } else if (item->status == CHECK_FAIL) {
        item->fix = check_text(r, "replace the record at %s by: %s", domain, item->expected);
    }
}

void check_spf(struct check_run *r, const char *domain)
{
    enum { RECORDS_MAX = 8 };
    struct check_item *item = check_add(r, "spf", domain, CHECK_PASS);
    struct lookup_answer answer = check_ask(r, domain, NULL, DNS_TXT);
    struct slice found[RECORDS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < answer.n && n < RECORDS_MAX; i++)
        if (is_spf(answer.records[i].text))
            found[n++] = answer.records[i].text;
    if (answer.status == LOOKUP_TEMPFAIL) {
        check_no_answer(r, item, domain, DNS_TXT);
    } else if (n == 0) {
        item->status = CHECK_FAIL;
        item->found = check_text(r, "no SPF record at %s", domain);
        item->expected = fresh_record(r, domain);
        item->fix = check_text(r, "publish this TXT record at %s: %s", domain, item->expected);
    } else {
        judge(r, item, domain, found, n);
    }
}
