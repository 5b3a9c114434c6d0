/* libunbound on the event loop.
 *
 * Answers are copied out of libunbound's callback and handed on from an event of our own: so `done` never runs before
 * dns_resolve returns, and whoever is called may begin queries, cancel them or close the resolver. */
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

enum { QUERY_TIMEOUT_S = 60 };

struct dns_query {
    struct dns *dns;
    struct dns_context *context;
    struct dns_query *next, **prev;
    struct event *event; /* runs when the answer is here, or when time is up */
    enum dns_type type;
    int async_id;
    unsigned timeout_s;
    bool direct;  /* one server is asked: does it hand on to others? */
    bool waiting; /* libunbound holds it */
    bool answered;
    bool ending; /* `done` runs */
    void (*done)(void *ctx, const struct dns_answer *a);
    void *ctx;
    struct arena memory;
    struct dns_answer answer;
};

int dns_open(const struct config *c, struct event_base *base, struct dns **ret, struct err *err)
{
    struct dns *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(err, "dns: out of memory");
    d->base = base;
    d->server_port = 53;
    if (dns_context_new(base, c, &d->context, err) < 0) {
        free(d);
        return -1;
    }
    *ret = d;
    return 0;
}

int dns_reconfigure(struct dns *d, const struct config *c, struct err *err)
{
    struct dns_context *fresh = NULL;

    if (dns_context_new(d->base, c, &fresh, err) < 0)
        return -1;
    dns_context_unref(d->context);
    d->context = fresh;
    return 0;
}

const struct dns_counts *dns_counts(const struct dns *d)
{
    return &d->counts;
}

/* ---- queries -------------------------------------------------------------------------------------- */

static void query_free(struct dns_query *q)
{
    if (q->waiting)
        ub_cancel(q->context->ub, q->async_id);
    if (q->prev != NULL) {
        *q->prev = q->next;
        if (q->next != NULL)
            q->next->prev = q->prev;
    }
    if (q->event != NULL)
        event_free(q->event);
    dns_context_unref(q->context);
    arena_free(&q->memory);
    free(q);
}

void dns_close(struct dns **pd)
{
    struct dns *d = *pd;
    if (d == NULL)
        return;
    *pd = NULL;
    dns_surveys_close(d);
    for (struct dns_query *q = d->queries, *next; q != NULL; q = next) {
        next = q->next;
        query_free(q);
    }
    dns_context_unref(d->context);
    free(d);
}

static void answer_tempfail(struct dns_query *q, const char *prefix, const char *why)
{
    char text[400];

    if (!q->direct)
        q->dns->counts.failures++;
    snprintf(text, sizeof(text), "%s%s", prefix, why);
    const char *reason = arena_strdup(&q->memory, slice_of(text));
    q->answer = (struct dns_answer){
        .status = DNS_TEMPFAIL, .reason = reason == NULL ? "out of memory" : reason, .canonical = ""};
}

/* libunbound's answer; `security` is 0 insecure, 1 bogus, 2 secure. */
static void on_answer(void *ctx, int rcode, void *packet, int n, int security, char *why_bogus, int limited)
{
    enum { BOGUS = 1, SECURE = 2, NXDOMAIN = 3 };
    struct dns_query *q = ctx;
    struct err err;

    q->waiting = false;
    q->answered = true;
    if (security == BOGUS)
        /* RFC 4035 5.5: as if there were no answer, never as if there were no record. */
        answer_tempfail(q, "bogus: ", why_bogus == NULL ? "validation failed" : why_bogus);
    else if (rcode != 0 && rcode != NXDOMAIN)
        answer_tempfail(q, "", limited ? "rate limit" : rcode == 2 ? "no answer from the servers (SERVFAIL)" : "error");
    else if (packet == NULL || n <= 0)
        answer_tempfail(q, "", "empty answer");
    else if (dns_packet_read(&q->memory, slice_from(packet, (size_t)n), q->type, &q->answer, &err) < 0)
        answer_tempfail(q, "", err.text);
    else
        q->answer.secure = security == SECURE;
    if (q->direct && q->answer.status == DNS_NODATA)
        q->answer.referral = dns_packet_referral(&q->memory, slice_from(packet, (size_t)n));
    if (q->event != NULL)
        event_active(q->event, EV_TIMEOUT, 0);
}

static void on_query_event(evutil_socket_t fd, short what, void *ctx)
{
    struct dns_query *q = ctx;

    (void)fd, (void)what;
    if (!q->answered) {
        char why[64];
        snprintf(why, sizeof(why), "no answer within %u s", q->timeout_s);
        answer_tempfail(q, "", why);
    }
    if (q->waiting) {
        ub_cancel(q->context->ub, q->async_id);
        q->waiting = false;
    }
    /* Out of the list first: `done` may close the resolver. */
    *q->prev = q->next;
    if (q->next != NULL)
        q->next->prev = q->prev;
    q->prev = NULL;
    q->ending = true;
    q->done(q->ctx, &q->answer);
    query_free(q);
}

struct dns_query *dns_query_begin(struct dns *d, struct dns_context *context, bool direct, unsigned timeout_s,
                                  const char *name, enum dns_type type,
                                  void (*done)(void *ctx, const struct dns_answer *a), void *ctx)
{
    const struct timeval timeout = {.tv_sec = timeout_s};
    struct dns_query *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NULL;
    q->memory = ARENA_INIT(DNS_ANSWER_MEMORY_MAX);
    q->dns = d;
    q->type = type;
    q->done = done;
    q->ctx = ctx;
    q->direct = direct;
    d->counts.queries += direct ? 0 : 1;
    q->timeout_s = timeout_s;
    q->context = context;
    q->context->references++;
    q->event = evtimer_new(d->base, on_query_event, q);
    if (q->event == NULL || evtimer_add(q->event, &timeout) < 0)
        goto fail;
    q->waiting = true; /* before: libunbound may answer within the call */
    if (ub_resolve_event(q->context->ub, *name == '\0' ? "." : name, (int)type, 1, q, on_answer, &q->async_id) != 0) {
        q->waiting = false;
        goto fail;
    }
    q->next = d->queries;
    q->prev = &d->queries;
    if (q->next != NULL)
        q->next->prev = &q->next;
    d->queries = q;
    return q;
fail:
    query_free(q);
    return NULL;
}

struct dns_query *dns_resolve(struct dns *d, const char *name, enum dns_type type,
                              void (*done)(void *ctx, const struct dns_answer *a), void *ctx)
{
    return dns_query_begin(d, d->context, false, QUERY_TIMEOUT_S, name, type, done, ctx);
}

void dns_cancel(struct dns_query *q)
{
    if (!q->ending)
        query_free(q);
}
