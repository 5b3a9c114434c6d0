/* libunbound on the event loop.
 *
 * Answers are copied out of libunbound's callback and handed on from an event of our own: so `done` never runs before
 * dns_resolve returns, and whoever is called may begin queries, cancel them or close the resolver. */
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unbound-event.h>
#include <unbound.h>

enum { QUERY_TIMEOUT_S = 60 };

/* One libunbound context.  A new configuration makes a new one; the old lives until its queries have ended. */
struct context {
    struct ub_ctx *ub;
    unsigned references;
};

struct dns {
    struct event_base *base;
    struct context *context;
    struct dns_query *queries;
};

struct dns_query {
    struct dns *dns;
    struct context *context;
    struct dns_query *next, **prev;
    struct event *event; /* runs when the answer is here, or when time is up */
    enum dns_type type;
    int async_id;
    bool waiting; /* libunbound holds it */
    bool answered;
    bool ending; /* `done` runs */
    void (*done)(void *ctx, const struct dns_answer *a);
    void *ctx;
    struct arena memory;
    struct dns_answer answer;
};

/* ---- contexts ----------------------------------------------------------------------------------- */

/* The root's key-signing keys of 2017 and 2024 (data.iana.org/root-anchors).  They stand beside the system's file:
 * an old file knows only the first. */
static const char *const root_keys[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

static const char *const root_key_files[] = {"/usr/share/dns/root.key", "/var/lib/unbound/root.key"};

static void context_unref(struct context *c)
{
    if (c == NULL || --c->references > 0)
        return;
    ub_ctx_delete(c->ub);
    free(c);
}

static int set_option(struct ub_ctx *ub, const char *option, const char *value, struct err *err)
{
    int rc = ub_ctx_set_option(ub, option, value);
    return rc == 0 ? 0 : err_set(err, "dns: libunbound refuses %s %s: %s", option, value, ub_strerror(rc));
}

static int add_root_keys(struct ub_ctx *ub, struct err *err)
{
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(root_keys); i++)
        if (ub_ctx_add_ta(ub, root_keys[i]) != 0)
            return err_set(err, "dns: out of memory");
    for (size_t i = 0; i < ARRAY_LEN(root_key_files); i++)
        if (stat(root_key_files[i], &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
            return ub_ctx_add_ta_file(ub, root_key_files[i]) == 0 ? 0 : err_set(err, "dns: out of memory");
    return 0;
}

static int set_trust(struct ub_ctx *ub, const char *anchor, struct err *err)
{
    struct strbuf file = STRBUF_INIT;

    if (strcmp(anchor, "none") == 0)
        return set_option(ub, "module-config:", "iterator", err);
    if (*anchor == '\0')
        return add_root_keys(ub, err);
    /* libunbound tells of a bad file only by "initialization failure": find out here what it is. */
    struct err why;
    int rc = file_read(anchor, 1024 * 1024, false, &file, &why);
    strbuf_free(&file);
    if (rc < 0)
        return err_set(err, "dns.trust_anchor: %s", why.text);
    rc = ub_ctx_add_ta_file(ub, anchor);
    return rc == 0 ? 0 : err_set(err, "dns.trust_anchor: %s: %s", anchor, ub_strerror(rc));
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncasecmp(address, "::ffff:127.", 11) == 0;
}

/* Servers that were named know their zones, private ones too: libunbound must not answer for those of RFC 6761, 6303
 * and 8375 by itself.  It reads all that was set before the first of these zones goes. */
static int unblock_local_zones(struct ub_ctx *ub)
{
    static const char *const zones[] = {"test.", "home.arpa.", "invalid.", "127.in-addr.arpa."};

    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        int rc = ub_ctx_zone_remove(ub, zones[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int set_servers(struct ub_ctx *ub, const struct config *c, struct err *err)
{
    bool local = false;

    for (size_t i = 0; i < c->dns.n_servers; i++) {
        const struct config_server *s = &c->dns.servers[i];
        char server[128];
        snprintf(server, sizeof(server), "%s@%u", s->address, (unsigned)s->port);
        int rc = ub_ctx_set_fwd(ub, server);
        if (rc != 0)
            return err_set(err, "dns.servers: %s: %s", server, ub_strerror(rc));
        local = local || is_loopback(s->address);
    }
    if (local && set_option(ub, "do-not-query-localhost:", "no", err) < 0)
        return -1;
    return c->dns.n_servers > 0 ? set_option(ub, "unblock-lan-zones:", "yes", err) : 0;
}

static int set_system_servers(struct ub_ctx *ub, struct err *err)
{
    int rc = ub_ctx_resolvconf(ub, NULL);
    if (rc != 0)
        return err_set(err, "dns: /etc/resolv.conf: %s", ub_strerror(rc));
    if (set_option(ub, "module-config:", "iterator", err) < 0 ||
        set_option(ub, "do-not-query-localhost:", "no", err) < 0)
        return -1;
    return set_option(ub, "unblock-lan-zones:", "yes", err);
}

static int set_all(struct ub_ctx *ub, const struct config *c, struct err *err)
{
    static const struct {
        const char *option, *value;
    } options[] = {
        {"outgoing-range:", "128"},
        {"num-queries-per-thread:", "1024"},
        {"msg-cache-size:", "4m"},
        {"rrset-cache-size:", "8m"},
        {"key-cache-size:", "2m"},
        {"neg-cache-size:", "1m"},
        {"edns-buffer-size:", "1232"}, /* no fragments */
        {"use-caps-for-id:", "no"},
        /* Mail waits and tries again: a server that was away is asked soon after it is back. */
        {"infra-host-ttl:", "60"},
        {"infra-keep-probing:", "yes"},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (set_option(ub, options[i].option, options[i].value, err) < 0)
            return -1;
    if (c == NULL)
        return set_system_servers(ub, err);
    return set_servers(ub, c, err) < 0 ? -1 : set_trust(ub, c->dns.trust_anchor, err);
}

static void ignore_answer(void *ctx, int rcode, void *packet, int n, int security, char *why, int limited)
{
    (void)ctx, (void)rcode, (void)packet, (void)n, (void)security, (void)why, (void)limited;
}

static int context_new(struct event_base *base, const struct config *c, struct context **ret, struct err *err)
{
    struct context *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return err_set(err, "dns: out of memory");
    context->references = 1;
    context->ub = ub_ctx_create_event(base);
    if (context->ub == NULL) {
        free(context);
        return err_set(err, "dns: libunbound: out of memory");
    }
    ub_ctx_debugout(context->ub, NULL); /* what concerns a query comes with its answer */
    if (set_all(context->ub, c, err) < 0)
        goto fail;
    int rc = c == NULL || c->dns.n_servers > 0 ? unblock_local_zones(context->ub) : 0;
    /* The first query makes libunbound read what was set; this one it answers by itself. */
    if (rc == 0)
        rc = ub_resolve_event(context->ub, "localhost.", DNS_A, 1, NULL, ignore_answer, NULL);
    if (rc != 0) {
        bool file = c != NULL && *c->dns.trust_anchor != '\0' && strcmp(c->dns.trust_anchor, "none") != 0;
        err_set(err, "dns: libunbound: %s%s%s", ub_strerror(rc), file ? "; are there DS or DNSKEY records in " : "",
                file ? c->dns.trust_anchor : "");
        goto fail;
    }
    *ret = context;
    return 0;
fail:
    context_unref(context);
    return -1;
}

int dns_open(const struct config *c, struct event_base *base, struct dns **ret, struct err *err)
{
    struct dns *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(err, "dns: out of memory");
    d->base = base;
    if (context_new(base, c, &d->context, err) < 0) {
        free(d);
        return -1;
    }
    *ret = d;
    return 0;
}

int dns_reconfigure(struct dns *d, const struct config *c, struct err *err)
{
    struct context *fresh = NULL;

    if (context_new(d->base, c, &fresh, err) < 0)
        return -1;
    context_unref(d->context);
    d->context = fresh;
    return 0;
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
    context_unref(q->context);
    arena_free(&q->memory);
    free(q);
}

void dns_close(struct dns **pd)
{
    struct dns *d = *pd;
    if (d == NULL)
        return;
    *pd = NULL;
    for (struct dns_query *q = d->queries, *next; q != NULL; q = next) {
        next = q->next;
        query_free(q);
    }
    context_unref(d->context);
    free(d);
}

static void answer_tempfail(struct dns_query *q, const char *prefix, const char *why)
{
    char text[400];

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
    if (q->event != NULL)
        event_active(q->event, EV_TIMEOUT, 0);
}

static void on_query_event(evutil_socket_t fd, short what, void *ctx)
{
    struct dns_query *q = ctx;

    (void)fd, (void)what;
    if (!q->answered)
        answer_tempfail(q, "", "no answer within 60 s");
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

struct dns_query *dns_resolve(struct dns *d, const char *name, enum dns_type type,
                              void (*done)(void *ctx, const struct dns_answer *a), void *ctx)
{
    static const struct timeval timeout = {.tv_sec = QUERY_TIMEOUT_S};
    struct dns_query *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NULL;
    q->memory = ARENA_INIT(DNS_ANSWER_MEMORY_MAX);
    q->dns = d;
    q->type = type;
    q->done = done;
    q->ctx = ctx;
    q->context = d->context;
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

void dns_cancel(struct dns_query *q)
{
    if (!q->ending)
        query_free(q);
}
