/* The one SPF record that a domain should publish: what it has, and this host.  Read spf_merge from the bottom up: what
 * is published is taken apart, written down as one record, tried with our own evaluator, and looked at for what its
 * owner should know. */
#include "internal.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 500, NOTES_MAX = 48, LENGTH_ADVISED = 450, LENGTH_UDP = 512 };

struct item {
    struct slice text;
    struct spf_term term; /* of a mechanism */
    bool is_modifier;
};

struct addition {
    struct slice ip; /* empty: the host's name stands for its addresses */
    struct slice text;
};

struct merge {
    struct arena *arena;
    const struct lookup *dns;
    const struct spf_merge_request *req;
    size_t n_records;
    bool altered; /* more than an addition makes a new record of it */
    struct item *items;
    size_t n_items;
    struct slice all, redirect, exp; /* the terms; empty: none */
    struct slice redirect_to;
    struct addition *additions;
    size_t n_additions;
    struct spf_note *notes;
    size_t n_notes;
    bool no_memory;
};

/* ---- notes ------------------------------------------------------------------------------------------------------- */

static void note(struct merge *m, enum spf_note_kind kind, bool serious, const char *format, ...) PRINTF_LIKE(4, 5);
static void note(struct merge *m, enum spf_note_kind kind, bool serious, const char *format, ...)
{
    va_list args;
    if (m->n_notes == NOTES_MAX)
        return;
    va_start(args, format);
    struct slice copy = align_text(m->arena, format, args);
    va_end(args);
    m->no_memory = m->no_memory || copy.p == NULL;
    m->notes[m->n_notes++] = (struct spf_note){kind, serious, copy};
}

/* ---- taking apart ------------------------------------------------------------------------------------------------ */

/* A record that somebody pasted with quotation marks, or blanks in front. */
static struct slice without_quotes(struct slice s)
{
    s = slice_trim(s);
    while (s.n > 0 && (s.p[0] == '"' || s.p[0] == '\''))
        s = slice_trim(slice_skip(s, 1));
    while (s.n > 0 && (s.p[s.n - 1] == '"' || s.p[s.n - 1] == '\''))
        s = slice_trim(slice_sub(s, 0, s.n - 1));
    return s;
}

static struct slice without_plus(struct slice term)
{
    return slice_skip(term, term.n > 0 && term.p[0] == '+');
}

static bool has_item(const struct merge *m, struct slice text)
{
    for (size_t i = 0; i < m->n_items; i++)
        if (slice_eq_icase(without_plus(m->items[i].text), without_plus(text)))
            return true;
    return false;
}

/* From the one that says most to the one that says least. */
static unsigned mildness(struct slice all)
{
    static const struct slice order = {"-~?+", 4};
    size_t at = slice_find(order, all.p[0]);
    return (unsigned)(at < order.n ? at : order.n);
}

/* Of several endings the mildest stays: nobody who passed fails. */
static void take_all(struct merge *m, struct slice text)
{
    if (m->all.n == 0 || mildness(text) > mildness(m->all))
        m->all = text;
}

static void add_item(struct merge *m, const struct item *item)
{
    if (has_item(m, item->text)) {
        if (m->n_records == 1)
            note(m, SPF_NOTE_DUPLICATE, false, "\"%s\" stands there twice; once is enough",
                 align_show(item->text).text);
        return;
    }
    if (m->n_items == ITEMS_MAX) {
        m->altered = true; /* no receiver follows such a record */
        return;
    }
    m->items[m->n_items++] = *item;
}

static void take_modifier(struct merge *m, struct slice text)
{
    struct item item = {.text = text, .is_modifier = true};
    struct slice name, value = slice_cut(text, '=', &name);
    if (slice_eq_icase(name, SLICE("exp"))) {
        if (m->exp.n > 0) /* RFC 7208 6: at most once */
            return;
        m->exp = text;
    } else {
        bool slip = spf_mechanism_is(name);
        note(m, SPF_NOTE_MODIFIER, slip, "receivers ignore \"%s\"%s%s%s%s%s", align_show(text).text, slip ? "; \"" : "",
             slip ? align_show(name).text : "", slip ? ":" : "", slip ? align_show(value).text : "",
             slip ? "\" is probably meant" : "");
    }
    add_item(m, &item);
}

static void take_mechanism(struct merge *m, const struct spf_term *term, struct slice *all)
{
    struct item item = {.text = term->text, .term = *term};
    if (all->n > 0) { /* RFC 7208 5.1 */
        note(m, SPF_NOTE_BEHIND_ALL, false,
             "\"%s\" stands behind \"%s\", where no receiver looks; if it is meant, put it in front of that",
             align_show(term->text).text, align_show(*all).text);
        return;
    }
    if (term->mechanism != SPF_ALL)
        add_item(m, &item);
    else
        take_all(m, *all = term->text);
}

/* RFC 7208 6.1: beside "all" a redirect counts for nothing; and there can be but one. */
static void take_redirect(struct merge *m, struct slice target, struct slice all)
{
    struct strbuf text = STRBUF_INIT;
    struct spf_record scratch = {0};
    struct item item = {0};
    if (all.n > 0) {
        note(m, SPF_NOTE_REDIRECT, false, "\"redirect=%s\" counts for nothing beside \"%s\"", align_show(target).text,
             align_show(all).text);
        return;
    }
    strbuf_addf(&text, "%s%.*s", m->n_records == 1 ? "redirect=" : "include:", SLICE_ARG(target));
    item.text = arena_copy(m->arena, strbuf_slice(&text));
    m->no_memory = m->no_memory || text.failed || item.text.p == NULL;
    strbuf_free(&text);
    scratch.terms = &item.term;
    if (m->no_memory) {
        return;
    } else if (m->n_records == 1) {
        m->redirect = item.text;
        m->redirect_to = target;
    } else if (spf_term_parse(item.text, &scratch, NULL) == 0) {
        note(m, SPF_NOTE_REDIRECT, false, "\"redirect=%s\" became an include, as other terms stand beside it now",
             align_show(target).text);
        add_item(m, &item);
    }
}

/* RFC 7208 4.6: one term that is not valid makes all of it invalid. */
static void take_record(struct merge *m, struct slice text)
{
    struct spf_term term = {0};
    struct spf_record scratch = {.terms = &term};
    struct slice rest = slice_skip(text, SLICE("v=spf1").n), all = {0};
    while (rest.n > 0) {
        struct slice word, part;
        struct err err;
        rest = slice_cut(rest, ' ', &word);
        while (word.n > 0) {
            word = slice_cut(word, '\t', &part);
            if (part.n == 0)
                continue;
            struct slice redirect = scratch.redirect;
            scratch.n = 0;
            if (spf_term_parse(part, &scratch, &err) < 0) {
                scratch.redirect = redirect;
                note(m, SPF_NOTE_INVALID, true, "%s; the whole record failed by it, so it was left out", err.text);
                m->altered = true;
            } else if (scratch.n > 0) {
                take_mechanism(m, &term, &all);
            } else if (!slice_starts_icase(part, SLICE("redirect="))) {
                take_modifier(m, part);
            }
        }
    }
    if (scratch.redirect.p != NULL)
        take_redirect(m, scratch.redirect, all);
}

static int by_octets(const void *left, const void *right)
{
    const struct slice *a = left, *b = right;
    int order = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
    return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

/* DNS has no order among records, and the same ones shall become the same one. */
static struct slice *sort_published(struct merge *m)
{
    const struct spf_merge_request *req = m->req;
    struct slice *sorted = arena_alloc_array(m->arena, req->n_published + 1, sizeof *sorted);
    m->no_memory = m->no_memory || sorted == NULL;
    if (sorted == NULL || req->n_published == 0)
        return sorted;
    memcpy(sorted, req->published, req->n_published * sizeof *sorted);
    qsort(sorted, req->n_published, sizeof *sorted, by_octets);
    return sorted;
}

/* Those that count; or else those that were meant to. */
static void take_published(struct merge *m)
{
    struct slice *published = sort_published(m);
    size_t n = published == NULL ? 0 : m->req->n_published, proper = 0, meant = 0;
    for (size_t i = 0; i < n; i++) {
        proper += spf_record_is(published[i]);
        meant += spf_record_is(without_quotes(published[i]));
    }
    m->n_records = proper > 0 ? proper : meant;
    m->altered = m->n_records > 1 || proper == 0;
    for (size_t i = 0; i < n; i++) {
        struct slice text = published[i], meant_text = without_quotes(text);
        bool is_record = spf_record_is(text), is_meant = !is_record && spf_record_is(meant_text);
        if (is_meant)
            note(m, SPF_NOTE_NO_RECORD, proper == 0,
                 "receivers see no SPF record in [%s], as it begins with blanks or quotation marks: remove it",
                 align_show(text).text);
        if (slice_find(text, '\t') < text.n && is_record) {
            note(m, SPF_NOTE_INVALID, true, "a tab stands where only blanks may");
            m->altered = true;
        }
        if (is_record || (is_meant && proper == 0))
            take_record(m, meant_text);
    }
    if (m->n_records > 1)
        note(m, SPF_NOTE_SEVERAL, true,
             "the domain has %zu SPF records, so none of them counts: remove them all and publish this one",
             m->n_records);
}

/* ---- writing down -------------------------------------------------------------------------------------------------- */

static bool is_added(const struct merge *m, struct slice term)
{
    for (size_t i = 0; i < m->n_additions; i++)
        if (slice_eq_icase(without_plus(term), m->additions[i].text))
            return true;
    return false;
}

/* `n`: of the additions. */
static struct slice render(struct merge *m, size_t n, bool in_front)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_add_str(&text, "v=spf1");
    for (size_t i = 0; in_front && i < n; i++)
        strbuf_addf(&text, " %.*s", SLICE_ARG(m->additions[i].text));
    for (size_t i = 0; i < m->n_items; i++)
        if (!in_front || !is_added(m, m->items[i].text))
            strbuf_addf(&text, " %.*s", SLICE_ARG(m->items[i].text));
    for (size_t i = 0; !in_front && i < n; i++)
        strbuf_addf(&text, " %.*s", SLICE_ARG(m->additions[i].text));
    if (m->n_records == 0)
        strbuf_add_str(&text, " -all");
    else if (m->all.n > 0 || m->redirect.n > 0)
        strbuf_addf(&text, " %.*s", SLICE_ARG(m->all.n > 0 ? m->all : m->redirect));
    struct slice ret = arena_copy(m->arena, strbuf_slice(&text));
    m->no_memory = m->no_memory || text.failed || ret.p == NULL;
    strbuf_free(&text);
    return ret;
}

/* ---- trying -------------------------------------------------------------------------------------------------------- */

/* DNS as it is with another record. */
struct supposed {
    const struct lookup *dns;
    struct slice domain;
    struct lookup_record record;
};

static void query_supposed(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    const struct supposed *s = ctx;
    if (type == DNS_TYPE_TXT && slice_eq_icase(slice_of(name), s->domain))
        *ret = (struct lookup_answer){LOOKUP_OK, &s->record, 1};
    else
        s->dns->query(s->dns->ctx, a, name, type, ret);
}

struct trial {
    enum spf_result result;
    bool by_address; /* it passes as its address is listed, not because everyone does or by its name */
    struct slice decided_by;
    struct err why;
};

static bool is_by_address(const struct spf_match *match)
{
    struct slice text = without_plus(match->inner.n > 0 ? match->inner : match->term->text);
    bool by_sender = slice_find_slice(text, SLICE("%{s")) < text.n || slice_find_slice(text, SLICE("%{l")) < text.n;
    return !slice_eq_icase(text, SLICE("all")) && !slice_starts_icase(text, SLICE("ptr")) && !by_sender;
}

static struct trial try_record(struct merge *m, struct slice record, struct slice ip)
{
    struct supposed supposed = {m->dns, m->req->domain, {.text = record}};
    struct lookup dns = {query_supposed, &supposed};
    struct spf_request request = {.ip = ip, .helo = m->req->hostname, .receiver = m->req->hostname};
    struct spf_run run = {.arena = m->arena,
                          .dns = &dns,
                          .req = &request,
                          .domain = m->req->domain,
                          .local = SLICE("postmaster"),
                          .sender_domain = m->req->domain,
                          .helo = m->req->hostname};
    struct spf_match match = {0};
    struct trial ret = {.result = SPF_PERMERROR};
    if (spf_ip_parse(ip, &run.ip) == 0)
        ret.result = spf_check_host(&run, m->req->domain, &match);
    if (match.term != NULL && ret.result != SPF_TEMPERROR && ret.result != SPF_PERMERROR) {
        ret.decided_by = match.term->text;
        ret.by_address = ret.result == SPF_PASS && is_by_address(&match);
    }
    ret.why = run.why;
    m->no_memory = m->no_memory || run.no_memory;
    return ret;
}

/* ---- this host ------------------------------------------------------------------------------------------------------- */

/* The mechanism that stands for `ip`, in the form that is usual. */
static int addition_of(struct merge *m, struct slice text, struct addition *ret, struct err *err)
{
    char address[INET6_ADDRSTRLEN], term[INET6_ADDRSTRLEN + 8];
    struct spf_ip ip;
    if (spf_ip_parse(text, &ip) < 0 ||
        inet_ntop(ip.v6 ? AF_INET6 : AF_INET, ip.octets, address, sizeof address) == NULL)
        return err_set(err, "\"%s\" is no IP address", align_show(text).text);
    snprintf(term, sizeof term, "%s:%s", ip.v6 ? "ip6" : "ip4", address);
    *ret = (struct addition){arena_copy(m->arena, slice_of(address)), arena_copy(m->arena, slice_of(term))};
    m->no_memory = m->no_memory || ret->ip.p == NULL || ret->text.p == NULL;
    return 0;
}

static bool names_host(const struct merge *m, const struct item *item)
{
    struct slice target = item->term.target.n > 0 ? item->term.target : m->req->domain;
    return !item->is_modifier && item->term.mechanism == SPF_A && item->term.qualifier == SPF_PASS &&
           slice_eq_icase(target, m->req->hostname);
}

static void add_hostname(struct merge *m)
{
    struct strbuf text = STRBUF_INIT;
    for (size_t i = 0; i < m->n_items; i++)
        if (names_host(m, &m->items[i]))
            return;
    strbuf_addf(&text, "a:%.*s", SLICE_ARG(m->req->hostname));
    struct slice copy = arena_copy(m->arena, strbuf_slice(&text));
    m->no_memory = m->no_memory || text.failed || copy.p == NULL;
    strbuf_free(&text);
    m->additions[m->n_additions++].text = copy;
}

/* Does a term of its own let `text` pass, though another decides before? */
static bool is_listed(const struct merge *m, struct slice text)
{
    struct spf_ip ip;
    if (spf_ip_parse(text, &ip) < 0)
        return false;
    for (size_t i = 0; i < m->n_items; i++) {
        const struct spf_term *term = &m->items[i].term;
        if (m->items[i].is_modifier || term->mechanism != (ip.v6 ? SPF_IP6 : SPF_IP4) || term->qualifier != SPF_PASS)
            continue;
        if (spf_ip_within(&ip, &term->network, ip.v6 ? term->bits6 : term->bits4))
            return true;
    }
    return false;
}

static bool is_covered(struct merge *m, struct slice base, struct slice ip)
{
    struct trial t = try_record(m, base, ip);
    return t.by_address || ((t.result == SPF_PASS || t.result == SPF_TEMPERROR) && is_listed(m, ip));
}

/* What the record lacks. */
static int find_additions(struct merge *m, struct slice base, struct err *err)
{
    const struct spf_merge_request *req = m->req;
    if (req->n_ips == 0 && req->hostname.n > 0)
        add_hostname(m);
    for (size_t i = 0; i < req->n_ips && !m->no_memory; i++) {
        struct addition *next = &m->additions[m->n_additions];
        if (addition_of(m, req->ips[i], next, err) < 0)
            return -1;
        bool repeated = false;
        for (size_t j = 0; j < m->n_additions; j++)
            repeated = repeated || slice_eq(m->additions[j].text, next->text);
        if (!repeated && (m->n_records == 0 || !is_covered(m, base, next->ip)))
            m->n_additions++;
    }
    return 0;
}

/* Why one of the additions would come too late at the end of `record`; false when none does, or when nobody knows. */
static bool come_too_late(struct merge *m, struct slice record)
{
    for (size_t i = 0; i < m->n_additions && m->additions[i].ip.n > 0; i++) {
        struct trial t = try_record(m, record, m->additions[i].ip);
        if (t.result == SPF_PASS || t.result == SPF_TEMPERROR)
            continue;
        if (t.decided_by.n > 0)
            note(m, SPF_NOTE_IN_FRONT, false, "\"%s\" would decide before \"%s\", which therefore stands in front",
                 align_show(t.decided_by).text, align_show(m->additions[i].text).text);
        else
            note(m, SPF_NOTE_IN_FRONT, false, "\"%s\" stands in front, because at the end it would not be reached: %s",
                 align_show(m->additions[i].text).text, t.why.text);
        return true;
    }
    return false;
}

/* ---- what its owner should know ---------------------------------------------------------------------------------------- */

static void judge_end(struct merge *m)
{
    struct slice name = without_plus(m->all);
    if (m->n_records == 0)
        return;
    if (m->all.n == 0 && m->redirect.n == 0)
        note(m, SPF_NOTE_NEUTRAL, false,
             "it does not end in \"all\", so it says nothing of other servers: add \"~all\" or \"-all\"");
    else if (m->all.n > 0 && m->all.p[0] == '?')
        note(m, SPF_NOTE_NEUTRAL, false, "\"%s\" says nothing of other servers: \"~all\" or \"-all\" does",
             align_show(m->all).text);
    else if (slice_eq_icase(name, SLICE("all")))
        note(m, SPF_NOTE_PLUS_ALL, true, "\"%s\" lets everyone send as this domain: end it in \"~all\" or \"-all\"",
             align_show(m->all).text);
}

static void judge_terms(struct merge *m, size_t length)
{
    for (size_t i = 0; i < m->n_items; i++)
        if (!m->items[i].is_modifier && m->items[i].term.mechanism == SPF_PTR)
            note(m, SPF_NOTE_PTR, false, "\"%s\" is slow, and many receivers ignore it: list addresses instead",
                 align_show(m->items[i].text).text);
    if (length > LENGTH_UDP)
        note(m, SPF_NOTE_LONG, false,
             "it has %zu octets; an answer of more than %d does not reach every receiver: take out what is not used",
             length, LENGTH_UDP);
    else if (length > LENGTH_ADVISED)
        note(m, SPF_NOTE_LONG, false, "it has %zu octets; more than %d may not fit in an answer beside other records",
             length, LENGTH_ADVISED);
}

static bool wants(const struct merge *m, bool v6)
{
    for (size_t i = 0; i < m->req->n_ips; i++)
        if ((slice_find(m->req->ips[i], ':') < m->req->ips[i].n) == v6)
            return true;
    return m->req->n_ips == 0;
}

/* "include:a.example 3, mx 1" */
static void list_cost(struct strbuf *list, struct slice term, unsigned lookups)
{
    if (lookups > 0)
        strbuf_addf(list, "%s%s %u", list->n > 0 ? ", " : "", align_show(term).text, lookups);
}

static void judge_cost(struct merge *m, struct spf_merge_result *ret)
{
    struct supposed supposed = {m->dns, m->req->domain, {.text = ret->record}};
    struct lookup dns = {query_supposed, &supposed};
    struct spf_request request = {.helo = m->req->hostname};
    struct spf_run run = {.arena = m->arena, .dns = &dns, .req = &request, .domain = m->req->domain};
    struct spf_cost cost = {0};
    struct spf_record record;
    struct strbuf list = STRBUF_INIT;
    int rc = spf_record_parse(m->arena, ret->record, &record, NULL);
    m->no_memory = m->no_memory || rc == MESSAGE_NO_MEMORY;
    for (size_t i = 0; rc == 0 && i < record.n && record.terms[i].mechanism != SPF_ALL; i++) {
        unsigned before = cost.lookups;
        spf_cost_term(&run, m->req->domain, &record.terms[i], &cost);
        list_cost(&list, record.terms[i].text, cost.lookups - before);
    }
    if (rc == 0 && m->redirect.n > 0 && m->all.n == 0) {
        unsigned before = cost.lookups;
        spf_cost_redirect(&run, m->req->domain, m->redirect_to, &cost);
        list_cost(&list, m->redirect, cost.lookups - before);
    }
    ret->lookups = cost.lookups;
    for (size_t family = 0; family < 2; family++)
        if (wants(m, family == 1) && cost.voids[family] > ret->voids)
            ret->voids = cost.voids[family];
    if (cost.broken.n > 0)
        note(m, SPF_NOTE_INCLUDE, true, "%s, which it includes, %s: whatever is not decided before fails by that",
             align_show(cost.broken).text, cost.why.text);
    if (ret->lookups > SPF_TERMS_MAX)
        note(m, SPF_NOTE_LOOKUPS, true,
             "it takes %u DNS lookups, and receivers give up after %d (%.600s): take out what is not used",
             ret->lookups, SPF_TERMS_MAX, strbuf_str(&list));
    if (ret->voids > SPF_VOID_MAX)
        note(m, SPF_NOTE_VOIDS, true, "%u of its lookups find nothing, and receivers give up after %d", ret->voids,
             SPF_VOID_MAX);
    if (cost.unknown)
        note(m, SPF_NOTE_UNKNOWN, false, "DNS gave no answer for %s: what is behind that is not known",
             align_show(cost.unanswered).text);
    m->no_memory = m->no_memory || list.failed || run.no_memory;
    strbuf_free(&list);
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------- */

static int merge_prepare(struct merge *m, struct err *err)
{
    m->items = arena_alloc_array(m->arena, ITEMS_MAX, sizeof *m->items);
    m->additions = arena_alloc_array(m->arena, m->req->n_ips + 1, sizeof *m->additions);
    m->notes = arena_alloc_array(m->arena, NOTES_MAX, sizeof *m->notes);
    return m->items == NULL || m->additions == NULL || m->notes == NULL ? err_set(err, "out of memory") : 0;
}

/* The text of the only record there is. */
static struct slice only_record(const struct spf_merge_request *req)
{
    struct slice ret = {0};
    for (size_t i = 0; i < req->n_published; i++)
        if (spf_record_is(req->published[i]))
            ret = req->published[i];
    return ret;
}

int spf_merge(struct arena *a, const struct lookup *dns, const struct spf_merge_request *req,
              struct spf_merge_result *ret, struct err *err)
{
    struct merge m = {.arena = a, .dns = dns, .req = req};
    *ret = (struct spf_merge_result){.change = SPF_MERGE_REPLACE};
    if (merge_prepare(&m, err) < 0)
        return -1;
    take_published(&m);
    struct slice base = m.altered ? render(&m, 0, false) : only_record(req);
    if (find_additions(&m, base, err) < 0)
        return -1;
    if (!m.altered && m.n_additions == 0) {
        ret->change = SPF_MERGE_KEEP;
        ret->record = base;
    } else {
        ret->record = render(&m, m.n_additions, false);
        if (come_too_late(&m, ret->record))
            ret->record = render(&m, m.n_additions, true);
    }
    if (m.n_records == 0)
        ret->change = SPF_MERGE_NEW;
    judge_end(&m);
    judge_terms(&m, ret->record.n);
    judge_cost(&m, ret);
    ret->notes = m.notes;
    ret->n_notes = m.n_notes;
    return m.no_memory ? err_set(err, "out of memory") : 0;
}
