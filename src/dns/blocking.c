/* The resolver for commands: a loop of its own, run until the answer is here. */
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>

enum { WAIT_MS = 15000 };

struct dns_blocking {
    struct event_base *base;
    struct event *timer;
    struct dns *dns;
    unsigned wait_ms;
};

/* Only wakes the loop. */
static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
}

int dns_blocking_open(const struct config *c, struct dns_blocking **ret, struct err *err)
{
    struct dns_blocking *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return err_set(err, "dns: out of memory");
    b->wait_ms = WAIT_MS;
    b->base = event_base_new();
    b->timer = b->base == NULL ? NULL : evtimer_new(b->base, on_timeout, NULL);
    int status = b->timer == NULL ? err_set(err, "dns: out of memory") : dns_open(c, b->base, &b->dns, err);
    if (status < 0)
        dns_blocking_close(&b);
    else
        *ret = b;
    return status;
}

void dns_blocking_close(struct dns_blocking **pb)
{
    struct dns_blocking *b = *pb;
    *pb = NULL;
    if (b == NULL)
        return;
    dns_close(&b->dns);
    if (b->timer != NULL)
        event_free(b->timer);
    if (b->base != NULL)
        event_base_free(b->base);
    free(b);
}

struct waiting {
    struct arena *arena;
    struct lookup_answer *ret;
    bool done;
};

static void on_answer(void *ctx, const struct dns_answer *a)
{
    static const enum lookup_status statuses[] = {[DNS_OK] = LOOKUP_OK,
                                                  [DNS_NODATA] = LOOKUP_NODATA,
                                                  [DNS_NXDOMAIN] = LOOKUP_NXDOMAIN,
                                                  [DNS_TEMPFAIL] = LOOKUP_TEMPFAIL};
    struct waiting *w = ctx;
    struct lookup_record *records = arena_alloc_array(w->arena, a->n + 1, sizeof(*records));
    w->done = true;
    if (records == NULL)
        return;
    for (size_t i = 0; i < a->n; i++) {
        const struct dns_record *r = &a->records[i];
        records[i] = (struct lookup_record){arena_copy(w->arena, slice_from(r->text, r->text_len)), r->preference};
        if (records[i].text.p == NULL)
            return;
    }
    *w->ret = (struct lookup_answer){statuses[a->status], records, a->n};
}

static void query_network(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct dns_blocking *b = ctx;
    struct timeval wait = {.tv_sec = b->wait_ms / 1000, .tv_usec = b->wait_ms % 1000 * 1000};
    struct waiting w = {a, ret, false};
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    struct dns_query *q = dns_resolve(b->dns, name, (enum dns_type)type, on_answer, &w);
    if (q == NULL || evtimer_add(b->timer, &wait) < 0) {
        if (q != NULL)
            dns_cancel(q);
        return;
    }
    while (!w.done && evtimer_pending(b->timer, NULL) && event_base_loop(b->base, EVLOOP_ONCE) == 0)
        continue;
    evtimer_del(b->timer);
    if (!w.done)
        dns_cancel(q);
}

void dns_blocking_set_wait(struct dns_blocking *b, unsigned ms)
{
    b->wait_ms = ms;
}

struct lookup dns_blocking_lookup(struct dns_blocking *b)
{
    return (struct lookup){query_network, b};
}

void dns_blocking_set_server_port(struct dns_blocking *b, uint16_t port)
{
    b->dns->server_port = port;
}

/* ---- surveys ---------------------------------------------------------------------------------------- */

struct surveying {
    struct arena *arena;
    struct dns_survey *ret;
    size_t *left;
};

static void on_survey(void *ctx, const struct dns_survey *s)
{
    struct surveying *w = ctx;

    if (dns_survey_copy(w->arena, s, w->ret) < 0)
        *w->ret = (struct dns_survey){.reason = "out of memory", .zone = ""};
    --*w->left;
}

void dns_blocking_survey(struct dns_blocking *b, struct arena *a, struct dns_survey_question *v, size_t n,
                         unsigned timeout_ms)
{
    size_t left = 0;
    struct surveying *waiting = arena_alloc_array(a, n, sizeof(*waiting));

    for (size_t i = 0; i < n; i++) {
        v[i].survey = (struct dns_survey){.reason = "DNS could not be asked", .zone = ""};
        if (waiting == NULL)
            continue;
        waiting[i] = (struct surveying){a, &v[i].survey, &left};
        if (dns_survey_begin(b->dns, v[i].name, v[i].type, timeout_ms, on_survey, &waiting[i]) != NULL)
            left++;
    }
    /* Each ends by itself. */
    while (left > 0 && event_base_loop(b->base, EVLOOP_ONCE) == 0)
        continue;
}
