/* The world of `sendas check`: what was asked once is answered from then on; what is new is asked when all checks have
 * said what they need.
 *
 * All questions have an end, so that a run is short however many servers are silent. */
#include "check.h"

#include "sendas/dns.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    QUESTIONS_MAX = 2000,
    ANSWERS_MEMORY_MAX = 64 * 1024 * 1024,
    DNS_END_MS = 7500,     /* all questions: from then on none is asked or answered */
    CONTACT_MS = 5000,     /* a connection, to its end */
    CONTACT_END_MS = 9000, /* all of them */
    GATHER_MS = 10         /* answers that come together are judged together */
};

enum kind { KIND_DNS = 0, KIND_SURVEY, KIND_CONTACT };

struct question {
    struct question *next;
    struct check_asker *asker;
    enum kind kind;
    bool answered;
    struct event *timer;
    /* KIND_DNS, KIND_SURVEY */
    const char *name;
    unsigned type;
    struct dns_survey_run *survey;
    struct check_authorities authorities;
    struct dns_query *query;
    struct lookup_answer answer;
    const char *why;
    /* KIND_CONTACT */
    struct check_contact to;
    struct check_connection *connection;
    struct check_reached reached;
    STACK_OF(X509) * chain;
};

struct check_asker {
    struct event_base *base;
    struct event *gather;
    struct dns *dns;
    struct arena memory;
    struct question *first;
    size_t n;
    unsigned missed, open;
    int64_t begun; /* on the monotonic clock */
    struct check_world world;
};

/* ---- questions ------------------------------------------------------------------------------- */

static int64_t time_left(const struct check_asker *k, int64_t end_ms)
{
    return k->begun + end_ms - clock_mono_ms();
}

static void answered(struct question *q)
{
    q->answered = true;
    q->asker->open--;
    if (q->timer != NULL)
        evtimer_del(q->timer);
}

static struct question *question_new(struct check_asker *k, enum kind kind)
{
    struct question *q = k->n < QUESTIONS_MAX ? arena_alloc(&k->memory, sizeof(*q)) : NULL;
    if (q == NULL)
        return NULL;
    q->asker = k;
    q->kind = kind;
    q->why = "";
    q->answer.status = LOOKUP_TEMPFAIL;
    q->next = k->first;
    k->first = q;
    k->n++;
    k->open++;
    return q;
}

/* ---- DNS ------------------------------------------------------------------------------------- */

static int copy_records(struct arena *a, const struct dns_answer *from, struct lookup_answer *ret)
{
    static const enum lookup_status statuses[] = {[DNS_OK] = LOOKUP_OK,
                                                  [DNS_NODATA] = LOOKUP_NODATA,
                                                  [DNS_NXDOMAIN] = LOOKUP_NXDOMAIN,
                                                  [DNS_TEMPFAIL] = LOOKUP_TEMPFAIL};
    struct lookup_record *records = arena_alloc_array(a, from->n + 1, sizeof(*records));
    if (records == NULL)
        return -1;
    for (size_t i = 0; i < from->n; i++) {
        const struct dns_record *r = &from->records[i];
        records[i] = (struct lookup_record){arena_copy(a, slice_from(r->text, r->text_len)), r->preference};
        if (records[i].text.p == NULL)
            return -1;
    }
    *ret = (struct lookup_answer){statuses[from->status], records, from->n};
    return 0;
}

static void on_dns(void *ctx, const struct dns_answer *a)
{
    struct question *q = ctx;
    q->query = NULL;
    q->why = a->status == DNS_TEMPFAIL ? arena_strdup(&q->asker->memory, slice_of(a->reason)) : "";
    if (q->why == NULL || copy_records(&q->asker->memory, a, &q->answer) < 0)
        q->why = "out of memory";
    answered(q);
}

static void on_dns_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct question *q = ctx;
    (void)fd, (void)what;
    dns_cancel(q->query);
    q->query = NULL;
    q->why = "no answer in time";
    answered(q);
}

/* False: it cannot be asked, now or ever. */
static bool ask_dns(struct check_asker *k, const char *name, unsigned type)
{
    int64_t ms = time_left(k, DNS_END_MS);
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    struct question *q = question_new(k, KIND_DNS);
    if (q == NULL)
        return false;
    q->type = type;
    q->name = arena_strdup(&k->memory, slice_of(name));
    if (q->name != NULL && ms > 0) {
        q->timer = evtimer_new(k->base, on_dns_timeout, q);
        if (q->timer != NULL && evtimer_add(q->timer, &limit) == 0)
            q->query = dns_resolve(k->dns, q->name, (enum dns_type)type, on_dns, q);
    }
    q->why = ms > 0 ? "out of memory" : "no time was left to ask";
    if (q->name == NULL)
        q->name = "";
    if (q->query == NULL)
        answered(q);
    return true;
}

static const struct question *find_dns(const struct check_asker *k, enum kind kind, const char *name, unsigned type)
{
    for (const struct question *q = k->first; q != NULL; q = q->next)
        if (q->kind == kind && q->type == type && strcasecmp(q->name, name) == 0)
            return q;
    return NULL;
}

static void query(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct check_asker *k = ctx;
    const struct question *q = find_dns(k, KIND_DNS, name, type);
    (void)a; /* answers live as long as the asker */
    if (q == NULL ? ask_dns(k, name, type) : !q->answered)
        k->missed++;
    *ret = q != NULL && q->answered ? q->answer : (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
}

static const char *why(void *ctx, const char *name, unsigned type)
{
    const struct question *q = find_dns(ctx, KIND_DNS, name, type);
    return q == NULL || q->answer.status != LOOKUP_TEMPFAIL ? "" : q->why;
}

/* ---- every authoritative server -------------------------------------------------------------- */

/* An address that this machine cannot reach says nothing of its server, and an alias is followed by the survey itself. */
static int copy_server(struct arena *a, const struct dns_server *from, struct check_authority *ret)
{
    struct strbuf name = STRBUF_INIT;
    bool silent = from->state == DNS_SERVER_SILENT;
    strbuf_addf(&name, "%s%s%s%s", from->name, from->address[0] != '\0' ? " [" : "", from->address,
                from->address[0] != '\0' ? "]" : "");
    ret->server = name.failed ? NULL : arena_strdup(a, strbuf_slice(&name));
    ret->silent = silent ? arena_strdup(a, slice_of(from->answer.reason)) : NULL;
    strbuf_free(&name);
    if (ret->server == NULL || (silent && ret->silent == NULL))
        return -1;
    return silent ? 0 : copy_records(a, &from->answer, &ret->answer);
}

static void on_survey(void *ctx, const struct dns_survey *s)
{
    struct question *q = ctx;
    struct arena *a = &q->asker->memory;
    struct check_authority *v = arena_alloc_array(a, s->n + 1, sizeof(*v));
    size_t n = 0;
    q->survey = NULL;
    q->authorities.reason = arena_strdup(a, slice_of(s->reason));
    for (size_t i = 0; i < s->n && v != NULL; i++) {
        if (s->servers[i].state != DNS_SERVER_ANSWERED && s->servers[i].state != DNS_SERVER_SILENT)
            continue;
        if (copy_server(a, &s->servers[i], &v[n++]) < 0)
            v = NULL;
    }
    if (v == NULL || q->authorities.reason == NULL)
        q->authorities.reason = "out of memory";
    else
        q->authorities = (struct check_authorities){q->authorities.reason, v, n};
    answered(q);
}

static bool begin_survey(struct check_asker *k, const char *name, unsigned type)
{
    int64_t ms = time_left(k, DNS_END_MS);
    struct question *q = question_new(k, KIND_SURVEY);
    if (q == NULL)
        return false;
    q->type = type;
    q->name = arena_strdup(&k->memory, slice_of(name));
    q->authorities.reason = "no time was left to ask";
    if (q->name == NULL)
        q->name = "";
    else if (ms > 0)
        q->survey = dns_survey_begin(k->dns, q->name, (enum dns_type)type, (unsigned)ms, on_survey, q);
    if (q->survey == NULL)
        answered(q);
    return true;
}

static bool authorities(void *ctx, const char *name, unsigned type, struct check_authorities *ret)
{
    struct check_asker *k = ctx;
    const struct question *q = find_dns(k, KIND_SURVEY, name, type);
    *ret = (struct check_authorities){.reason = "too much was asked"};
    if (q == NULL && !begin_survey(k, name, type))
        return true;
    if (q == NULL || !q->answered) {
        k->missed++;
        return false;
    }
    *ret = q->authorities;
    return true;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void on_reached(void *ctx, const struct check_reached *reached)
{
    struct question *q = ctx;
    q->reached = *reached;
    if (reached->chain != NULL)
        q->chain = X509_chain_up_ref((STACK_OF(X509) *)reached->chain);
    q->reached.chain = q->chain;
    check_connection_free(&q->connection);
    answered(q);
}

static bool begin_contact(struct check_asker *k, const struct check_contact *who)
{
    int64_t ms = time_left(k, CONTACT_END_MS);
    struct question *q = question_new(k, KIND_CONTACT);
    if (q == NULL)
        return false;
    q->to = *who;
    q->connection = check_connection_new(k->base, who, ms > CONTACT_MS ? CONTACT_MS : ms > 0 ? ms : 0, on_reached, q);
    if (q->connection == NULL) {
        snprintf(q->reached.failure, sizeof(q->reached.failure), "out of memory");
        answered(q);
    }
    return true;
}

static bool same_contact(const struct check_contact *a, const struct check_contact *b)
{
    return a->port == b->port && a->talk == b->talk && strcmp(a->address, b->address) == 0 &&
           strcmp(a->source, b->source) == 0;
}

static bool contact(void *ctx, const struct check_contact *who, struct check_reached *ret)
{
    struct check_asker *k = ctx;
    const struct question *q = k->first;
    while (q != NULL && !(q->kind == KIND_CONTACT && same_contact(&q->to, who)))
        q = q->next;
    *ret = (struct check_reached){.failure = "too much was asked"};
    if (q == NULL && !begin_contact(k, who))
        return true;
    if (q == NULL || !q->answered) {
        k->missed++;
        return false;
    }
    *ret = q->reached;
    return true;
}

/* ---- this machine ---------------------------------------------------------------------------- */

static socklen_t make_address(const char *text, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in4->sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &in4->sin_addr) == 1)
        return sizeof(*in4);
    in6->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, text, &in6->sin6_addr) == 1 ? sizeof(*in6) : 0;
}

/* Connecting a datagram socket sends nothing, but the kernel chooses the source.  The destination is a root name
 * server's: no route that is made for one place leads there. */
static bool source(void *ctx, int family, char out[CHECK_ADDRESS_SIZE])
{
    struct sockaddr_storage to, from;
    (void)ctx;
    socklen_t n = make_address(family == AF_INET ? "198.41.0.4" : "2001:503:ba3e::2:30", &to), n_from = sizeof(from);
    if (family == AF_INET)
        ((struct sockaddr_in *)&to)->sin_port = htons(53);
    else
        ((struct sockaddr_in6 *)&to)->sin6_port = htons(53);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&to, n) == 0 &&
              getsockname(fd, (struct sockaddr *)&from, &n_from) == 0;
    if (ok && family == AF_INET)
        ok = inet_ntop(family, &((struct sockaddr_in *)&from)->sin_addr, out, CHECK_ADDRESS_SIZE) != NULL;
    else if (ok)
        ok = inet_ntop(family, &((struct sockaddr_in6 *)&from)->sin6_addr, out, CHECK_ADDRESS_SIZE) != NULL;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool is_local(void *ctx, const char *address)
{
    struct sockaddr_storage at;
    (void)ctx;
    socklen_t n = make_address(address, &at);
    int fd = n == 0 ? -1 : socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- the asker ------------------------------------------------------------------------------- */

static void on_gathered(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
}

int check_asker_open(const struct config *c, struct check_asker **ret, struct err *err)
{
    struct check_asker *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return err_set(err, "out of memory");
    k->memory = ARENA_INIT(ANSWERS_MEMORY_MAX);
    k->begun = clock_mono_ms();
    k->base = event_base_new();
    k->gather = k->base == NULL ? NULL : evtimer_new(k->base, on_gathered, NULL);
    k->world = (struct check_world){{query, k}, why, authorities, contact, source, is_local, k};
    int status = k->gather == NULL ? err_set(err, "out of memory") : dns_open(c, k->base, &k->dns, err);
    if (status < 0)
        check_asker_close(&k);
    *ret = k;
    return status;
}

const struct check_world *check_asker_world(const struct check_asker *k)
{
    return &k->world;
}

unsigned check_asker_missed(struct check_asker *k)
{
    unsigned missed = k->missed;
    k->missed = 0;
    return missed;
}

void check_asker_wait(struct check_asker *k)
{
    static const struct timeval gather = {.tv_usec = GATHER_MS * 1000};
    unsigned open = k->open;
    while (k->open > 0 && k->open == open && event_base_loop(k->base, EVLOOP_ONCE) == 0)
        continue;
    if (k->open == 0 || evtimer_add(k->gather, &gather) < 0)
        return;
    while (k->open > 0 && evtimer_pending(k->gather, NULL) && event_base_loop(k->base, EVLOOP_ONCE) == 0)
        continue;
}

void check_asker_close(struct check_asker **pk)
{
    struct check_asker *k = *pk;
    *pk = NULL;
    if (k == NULL)
        return;
    for (struct question *q = k->first; q != NULL; q = q->next) {
        check_connection_free(&q->connection);
        sk_X509_pop_free(q->chain, X509_free);
        if (q->timer != NULL)
            event_free(q->timer);
    }
    dns_close(&k->dns);
    if (k->gather != NULL)
        event_free(k->gather);
    if (k->base != NULL)
        event_base_free(k->base);
    arena_free(&k->memory);
    free(k);
}
