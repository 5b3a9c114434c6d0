/* What the servers say about a key. */
#include "sendas/keys.h"

#include <string.h>

static const char *const names[] = {"unknown", "good",    "missing", "another",
                                    "revoked", "doubled", "testing", "unusable"};

const char *keys_found_name(enum keys_found f)
{
    return names[f];
}

int keys_found_parse(const char *name, enum keys_found *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (enum keys_found)i;
            return 0;
        }
    return -1;
}

bool keys_found_is_bad(enum keys_found f)
{
    return f != KEYS_UNKNOWN && f != KEYS_GOOD;
}

void keys_record_name(char out[DOMAIN_MAX + 1], const char *selector, const char *domain)
{
    snprintf(out, DOMAIN_MAX + 1, "%s._domainkey.%s", selector, domain);
}

/* One answer; the reason says "SERVER ...". */
static enum keys_found judge_answer(const struct dkim_key *key, const struct dns_server *s, char *reason, size_t size)
{
    static const enum keys_found found[] = {[DKIM_PUBLISHED_RIGHT] = KEYS_GOOD,
                                            [DKIM_PUBLISHED_TESTING] = KEYS_TESTING,
                                            [DKIM_PUBLISHED_ANOTHER] = KEYS_ANOTHER,
                                            [DKIM_PUBLISHED_REVOKED] = KEYS_REVOKED,
                                            [DKIM_PUBLISHED_UNUSABLE] = KEYS_UNUSABLE};
    static const char *const says[] = {[KEYS_TESTING] = "says t=y (testing)",
                                       [KEYS_ANOTHER] = "shows the record of another key",
                                       [KEYS_REVOKED] = "shows a revoked key (p= is empty)"};
    struct err why = {""};

    if (s->answer.n == 0) {
        snprintf(reason, size, "%s has no record", s->name);
        return KEYS_MISSING;
    }
    if (s->answer.n > 1) {
        snprintf(reason, size, "%s shows %zu records", s->name, s->answer.n);
        return KEYS_DOUBLED;
    }
    const struct dns_record *r = &s->answer.records[0];
    enum keys_found f = found[dkim_key_published(key, slice_from(r->text, r->text_len), &why)];
    if (f == KEYS_UNUSABLE)
        snprintf(reason, size, "%s shows a record that is no use: %s", s->name, why.text);
    else if (f != KEYS_GOOD)
        snprintf(reason, size, "%s %s", s->name, says[f]);
    return f;
}

static bool same_server(const struct dns_server *a, const struct dns_server *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->zone, b->zone) == 0;
}

void keys_judge(const struct dkim_key *key, const struct dns_survey *survey, struct keys_finding *ret)
{
    const struct dns_server *silent = dns_survey_silent(survey);
    char reason[256];

    *ret = (struct keys_finding){.found = KEYS_UNKNOWN};
    for (size_t i = 0, end; i < survey->n; i = end) {
        bool counts = false, good = true;
        for (end = i; end < survey->n && same_server(&survey->servers[i], &survey->servers[end]); end++) {
            const struct dns_server *s = &survey->servers[end];
            counts = counts || s->state == DNS_SERVER_ANSWERED || s->state == DNS_SERVER_SILENT;
            if (s->state != DNS_SERVER_ANSWERED)
                continue;
            enum keys_found f = judge_answer(key, s, reason, sizeof(reason));
            good = good && f == KEYS_GOOD;
            if (f != KEYS_GOOD && !keys_found_is_bad(ret->found)) {
                ret->found = f;
                snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
            }
        }
        bool heard = false;
        for (size_t k = i; k < end; k++)
            heard = heard || survey->servers[k].state == DNS_SERVER_ANSWERED;
        ret->servers += counts;
        ret->showing += heard && good;
    }
    if (keys_found_is_bad(ret->found))
        return;
    if (survey->reason[0] != '\0')
        snprintf(ret->reason, sizeof(ret->reason), "%.*s", (int)sizeof(ret->reason) - 1, survey->reason);
    else if (silent != NULL)
        snprintf(ret->reason, sizeof(ret->reason), "%s does not answer (%.100s)", silent->name, silent->answer.reason);
    else if (ret->showing == 0)
        snprintf(ret->reason, sizeof(ret->reason), "no name server could be asked");
    else
        ret->found = KEYS_GOOD;
}

void keys_advice(const struct dkim_key *key, enum keys_found found, struct strbuf *out)
{
    char name[DOMAIN_MAX + 1];

    keys_record_name(name, dkim_key_selector(key), dkim_key_domain(key));
    switch (found) {
    case KEYS_GOOD:
        break;
    case KEYS_UNKNOWN:
        strbuf_add_str(out, "nothing, if it passes: DNS is asked again");
        break;
    case KEYS_TESTING:
        strbuf_addf(out, "take t=y out of the record at %s", name);
        break;
    default:
        strbuf_addf(out, "let every name server show only this TXT record at %s: ", name);
        dkim_key_record(key, out);
    }
}
