/* The DNS tree walk (RFC 9989 4.10): a domain's DMARC records, from its own up to the top, and what follows from them.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static size_t count_labels(struct slice name)
{
    size_t n = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        n += name.p[i] == '.';
    return n;
}

/* The last `n` labels. */
static struct slice last_labels(struct slice name, size_t n)
{
    for (size_t labels = count_labels(name); labels > n; labels--)
        name = slice_skip(name, slice_find(name, '.') + 1);
    return name;
}

/* RFC 9989 4.10 steps 1, 2: what is no DMARC record does not count, and of several none does. */
static void ask(struct dmarc_walk *w, struct arena *a, const struct lookup *dns, struct slice name)
{
    char cstr[sizeof "_dmarc." + DOMAIN_MAX];
    struct lookup_answer answer = {0};
    struct slice text = {0};
    size_t records = 0;
    int n = snprintf(cstr, sizeof cstr, "_dmarc.%.*s", SLICE_ARG(name));
    if (n > DOMAIN_MAX) /* no such name can exist */
        return;
    dns->query(dns->ctx, a, cstr, DNS_TYPE_TXT, &answer);
    if (answer.status == LOOKUP_TEMPFAIL) {
        w->failed = true;
        w->failed_at = name;
    }
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++)
        if (dmarc_record_is(answer.records[i].text)) {
            text = answer.records[i].text;
            records++;
        }
    if (records == 1) {
        w->found[w->n].domain = name;
        dmarc_record_parse(text, &w->found[w->n].record);
        w->n++;
    } else if (records > 1 && w->ambiguous.n == 0) {
        w->ambiguous = name;
    }
}

void dmarc_walk_begin(struct dmarc_walk *w, struct arena *a, const struct lookup *dns, struct slice domain)
{
    *w = (struct dmarc_walk){.domain = domain};
    ask(w, a, dns, domain);
}

void dmarc_walk_finish(struct dmarc_walk *w, struct arena *a, const struct lookup *dns)
{
    struct slice name = w->domain;
    if (w->finished)
        return;
    w->finished = true;
    while (!w->failed && (w->n == 0 || w->found[w->n - 1].record.psd == DMARC_PSD_U)) {
        size_t labels = count_labels(name);
        if (labels <= 1)
            break;
        /* RFC 9989 4.10 step 4: the shortcut that makes it 8 queries at most */
        name = last_labels(name, labels < DMARC_QUERIES_MAX ? labels - 1 : DMARC_QUERIES_MAX - 1);
        ask(w, a, dns, name);
    }
}

struct slice dmarc_walk_organization(const struct dmarc_walk *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct slice domain = w->found[i].domain;
        if (w->found[i].record.psd == DMARC_PSD_N)
            return domain;
        if (w->found[i].record.psd == DMARC_PSD_Y && !slice_eq(domain, w->domain))
            return last_labels(w->domain, count_labels(domain) + 1);
    }
    return w->n > 0 ? w->found[w->n - 1].domain : w->domain;
}

const struct dmarc_found *dmarc_walk_policy(const struct dmarc_walk *w)
{
    if (w->n == 0)
        return NULL;
    if (slice_eq(w->found[0].domain, w->domain))
        return &w->found[0];
    struct slice organization = dmarc_walk_organization(w);
    for (size_t i = 0; i < w->n; i++)
        if (slice_eq(w->found[i].domain, organization))
            return &w->found[i];
    return &w->found[w->n - 1]; /* that of the public suffix, which ended the walk */
}

int dmarc_organizational_domain(struct arena *a, const struct lookup *dns, struct slice domain, struct slice *ret,
                                struct err *err)
{
    char name[DOMAIN_MAX + 1];
    struct dmarc_walk walk;
    if (align_name(domain, name) < 0)
        return err_set(err, "\"%s\" is no domain name", align_show(domain).text);
    struct slice copy = arena_copy(a, slice_of(name));
    if (copy.p == NULL)
        return err_set(err, "memory ran out");
    dmarc_walk_begin(&walk, a, dns, copy);
    dmarc_walk_finish(&walk, a, dns);
    if (walk.failed)
        return err_set(err, "DNS gave no answer for the DMARC record of %s", align_show(walk.failed_at).text);
    *ret = dmarc_walk_organization(&walk);
    return 0;
}
