/* Does DNS show an address of the host name, so that an authority can find us?
 *
 * Every authoritative server is asked, past all caches: an authority looks from several places, and a "no such name" that was
 * heard a minute ago says nothing.  Where none of them can be asked (a firewall, a resolver that is named) the resolver is. */
#include "internal.h"

#include "sendas/dns.h"

#include <stdlib.h>

enum { SURVEY_MS = 15 * 1000 };

static const enum dns_type types[] = {DNS_A, DNS_AAAA};

struct acme_name {
    struct dns *dns;
    char hostname[DOMAIN_MAX + 1];
    void (*done)(void *ctx, bool shown);
    void *ctx;
    size_t at; /* of types */
    bool asked_servers, heard;
    struct dns_survey_run *survey;
    struct dns_query *query;
};

static void next(struct acme_name *n);

static void end(struct acme_name *n, bool shown)
{
    void (*done)(void *ctx, bool shown) = n->done;
    void *ctx = n->ctx;

    free(n);
    done(ctx, shown);
}

/* Each server that answers has it. */
static bool all_show(const struct dns_survey *s, bool *heard)
{
    size_t answered = 0, shown = 0;

    for (size_t i = 0; i < s->n; i++) {
        answered += s->servers[i].state == DNS_SERVER_ANSWERED;
        shown += s->servers[i].state == DNS_SERVER_ANSWERED && s->servers[i].answer.status == DNS_OK;
    }
    *heard = *heard || answered > 0;
    return answered > 0 && shown == answered;
}

static void on_survey(void *ctx, const struct dns_survey *s)
{
    struct acme_name *n = ctx;

    n->survey = NULL;
    if (all_show(s, &n->heard))
        end(n, true);
    else
        next(n);
}

static void on_answer(void *ctx, const struct dns_answer *answer)
{
    struct acme_name *n = ctx;

    n->query = NULL;
    if (answer->status == DNS_OK)
        end(n, true);
    else
        next(n);
}

/* The servers for each type; then, if none was heard, the resolver. */
static void next(struct acme_name *n)
{
    if (!n->asked_servers && n->at == ARRAY_LEN(types)) {
        n->asked_servers = true;
        n->at = n->heard ? ARRAY_LEN(types) : 0;
    }
    if (n->at == ARRAY_LEN(types)) {
        end(n, false);
        return;
    }
    enum dns_type type = types[n->at++];
    if (n->asked_servers)
        n->query = dns_resolve(n->dns, n->hostname, type, on_answer, n);
    else
        n->survey = dns_survey_begin(n->dns, n->hostname, type, SURVEY_MS, on_survey, n);
    if (n->query == NULL && n->survey == NULL)
        end(n, false);
}

struct acme_name *acme_name_begin(struct dns *dns, const char *hostname, void (*done)(void *ctx, bool shown), void *ctx)
{
    struct acme_name *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return NULL;
    *n = (struct acme_name){.dns = dns, .done = done, .ctx = ctx};
    snprintf(n->hostname, sizeof(n->hostname), "%s", hostname);
    n->at = 1;
    n->survey = dns_survey_begin(dns, n->hostname, types[0], SURVEY_MS, on_survey, n);
    if (n->survey == NULL) {
        free(n);
        return NULL;
    }
    return n;
}

void acme_name_cancel(struct acme_name **pn)
{
    struct acme_name *n = *pn;

    if (n == NULL)
        return;
    *pn = NULL;
    if (n->survey != NULL)
        dns_survey_cancel(n->survey);
    if (n->query != NULL)
        dns_cancel(n->query);
    free(n);
}
