/* What every authoritative server says.
 *
 * A link is a name and a zone that holds it: the first is what was asked for; an alias or a zone further down adds one.
 * For a link the zone is found (NS, upwards), then its servers' addresses, all by the ordinary resolver; then each address
 * is asked by a small context of its own.  All steps of a run that wait for DNS stand in one list; it ends when that is
 * empty, or when its time is up. */
#include "internal.h"

#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ASK_TIMEOUT_S = 5,
    FIND_TIMEOUT_S = 60,
    ASKED_MAX = 16, /* contexts at a time: about 1 MB each */
    SURVEY_MEMORY_MAX = 4 * 1024 * 1024,
    RESULTS_MAX = DNS_SURVEY_ADDRESSES_MAX + DNS_SURVEY_LINKS_MAX * DNS_SURVEY_SERVERS_MAX
};

struct link {
    struct dns_survey_run *run;
    const char *name; /* asked for */
    const char *zone; /* candidates, until `found` */
    bool found;
    bool known; /* a server told the zone: no way upwards */
};

/* One name server of a link. */
struct name_server {
    struct link *link;
    const char *name;
    unsigned order;   /* among all of the run */
    unsigned waiting; /* for A and AAAA */
    bool found;
    const char *reason; /* of a temporary failure */
};

/* One address of it: what becomes an entry of the result. */
struct result {
    struct dns_server server;
    unsigned order;
};

/* A question under way. */
struct step {
    struct dns_survey_run *run;
    struct step *next, **prev;
    struct dns_query *query; /* NULL: waits for `asked` */
    struct dns_asked *asked;
    struct link *link;
    struct name_server *ns;
    struct result *result;
    enum dns_type type;
};

/* A server that is asked now, by any number of runs. */
struct dns_asked {
    struct dns_asked *next;
    struct dns_context *context;
    unsigned references;
    char address[INET6_ADDRSTRLEN];
};

struct dns_survey_run {
    struct dns *dns;
    struct dns_survey_run *next, **prev;
    struct event *timer; /* time is up, or nothing is left to wait for */
    struct arena memory;
    struct step *steps;
    struct link *links[DNS_SURVEY_LINKS_MAX];
    size_t n_links, n_addresses, n_results;
    struct result results[RESULTS_MAX];
    unsigned n_servers;
    enum dns_type type;
    const char *reason;
    bool ending;
    void (*done)(void *ctx, const struct dns_survey *s);
    void *ctx;
};

static void find_zone(struct link *l);
static void ask_waiting(struct dns *d);

/* The first reason stays. */
static void give_reason(struct dns_survey_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
static void give_reason(struct dns_survey_run *run, const char *format, ...)
{
    char text[600];
    va_list args;

    if (run->reason != NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *copy = arena_strdup(&run->memory, slice_of(text));
    run->reason = copy == NULL ? "out of memory" : copy;
}

/* ---- steps ---------------------------------------------------------------------------------------------- */

static struct step *step_new(struct link *l, enum dns_type type)
{
    struct dns_survey_run *run = l->run;
    struct step *s = arena_alloc(&run->memory, sizeof(*s));
    if (s == NULL) {
        give_reason(run, "out of memory");
        return NULL;
    }
    s->run = run;
    s->link = l;
    s->type = type;
    s->next = run->steps;
    s->prev = &run->steps;
    if (s->next != NULL)
        s->next->prev = &s->next;
    run->steps = s;
    return s;
}

static void asked_release(struct dns *d, struct dns_asked *a)
{
    if (a == NULL || --a->references > 0)
        return;
    struct dns_asked **pa = &d->asked;
    while (*pa != a)
        pa = &(*pa)->next;
    *pa = a->next;
    d->n_asked--;
    dns_context_unref(a->context);
    free(a);
}

/* Takes it out of the list; the last one ends the run, from the loop. */
static void step_end(struct step *s)
{
    struct dns_survey_run *run = s->run;

    *s->prev = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (s->query != NULL)
        dns_cancel(s->query); /* inside its `done`: does nothing */
    s->query = NULL;
    asked_release(run->dns, s->asked);
    s->asked = NULL;
    if (run->steps == NULL)
        event_active(run->timer, EV_TIMEOUT, 0);
}

/* By the ordinary resolver.  Where it cannot be asked the run has its reason. */
static void find_begin(struct step *s, const char *name, void (*done)(void *ctx, const struct dns_answer *a))
{
    s->query = dns_query_begin(s->run->dns, s->run->dns->context, false, FIND_TIMEOUT_S, name, s->type, done, s);
    if (s->query == NULL) {
        give_reason(s->run, "DNS could not be asked for %s", name);
        step_end(s);
    }
}

/* ---- results ---------------------------------------------------------------------------------------------- */

static struct result *result_new(struct name_server *ns, const char *address)
{
    struct dns_survey_run *run = ns->link->run;

    if (run->n_results == RESULTS_MAX || run->n_addresses == DNS_SURVEY_ADDRESSES_MAX) {
        give_reason(run, "more than %d addresses of name servers", (int)DNS_SURVEY_ADDRESSES_MAX);
        return NULL;
    }
    struct result *r = &run->results[run->n_results++];
    run->n_addresses += *address != '\0';
    *r = (struct result){.order = ns->order,
                         .server = {.zone = ns->link->zone,
                                    .name = ns->name,
                                    .address = arena_strdup(&run->memory, slice_of(address)),
                                    .state = DNS_SERVER_SILENT,
                                    .elsewhere = "",
                                    .answer = {.status = DNS_TEMPFAIL, .reason = "", .canonical = ""}}};
    if (r->server.address == NULL) {
        give_reason(run, "out of memory");
        run->n_results--;
        return NULL;
    }
    return r;
}

static int answer_copy(struct arena *a, const struct dns_answer *from, struct dns_answer *ret)
{
    struct dns_record *records = arena_alloc_array(a, from->n + 1, sizeof(*records));
    struct dns_answer copy = *from;

    copy.records = records;
    copy.referral = NULL;
    copy.reason = arena_strdup(a, slice_of(from->reason));
    copy.canonical = arena_strdup(a, slice_of(from->canonical));
    if (records == NULL || copy.reason == NULL || copy.canonical == NULL)
        return -1;
    for (size_t i = 0; i < from->n; i++) {
        records[i] = from->records[i];
        records[i].rdata = arena_copy(a, from->records[i].rdata);
        struct slice text = arena_copy(a, slice_from(from->records[i].text, from->records[i].text_len + 1));
        records[i].text = text.p;
        if (records[i].rdata.p == NULL || text.p == NULL)
            return -1;
    }
    *ret = copy;
    return 0;
}

int dns_survey_copy(struct arena *a, const struct dns_survey *from, struct dns_survey *ret)
{
    struct dns_server *servers = arena_alloc_array(a, from->n + 1, sizeof(*servers));
    struct dns_survey copy = {.reason = arena_strdup(a, slice_of(from->reason)),
                              .zone = arena_strdup(a, slice_of(from->zone)),
                              .servers = servers,
                              .n = from->n};

    if (copy.reason == NULL || copy.zone == NULL || servers == NULL)
        return -1;
    for (size_t i = 0; i < from->n; i++) {
        const struct dns_server *s = &from->servers[i];
        servers[i] = (struct dns_server){.zone = arena_strdup(a, slice_of(s->zone)),
                                         .name = arena_strdup(a, slice_of(s->name)),
                                         .address = arena_strdup(a, slice_of(s->address)),
                                         .state = s->state,
                                         .elsewhere = arena_strdup(a, slice_of(s->elsewhere))};
        if (servers[i].zone == NULL || servers[i].name == NULL || servers[i].address == NULL ||
            servers[i].elsewhere == NULL || answer_copy(a, &s->answer, &servers[i].answer) < 0)
            return -1;
    }
    *ret = copy;
    return 0;
}

/* ---- links -------------------------------------------------------------------------------------------------- */

/* Where the way upwards to the zone begins.  Names below an underscore (RFC 8552), and what an alias points to, are
 * not asked of the resolver themselves. */
static const char *first_candidate(const char *name, bool is_alias_target)
{
    const char *start = name;

    for (const char *at = name; at != NULL; at = strchr(at, '.') == NULL ? NULL : strchr(at, '.') + 1)
        if (*at == '_') {
            const char *dot = strchr(at, '.');
            start = dot == NULL ? "" : dot + 1;
        }
    if (start == name && is_alias_target && strchr(name, '.') != NULL)
        start = strchr(name, '.') + 1;
    return start;
}

/* `zone` NULL: to be found. */
static void link_add(struct dns_survey_run *run, const char *name, const char *zone)
{
    bool first = run->n_links == 0;

    for (size_t i = 0; i < run->n_links; i++)
        if (strcmp(run->links[i]->name, name) == 0 &&
            (zone == NULL || (run->links[i]->found && strcmp(run->links[i]->zone, zone) == 0)))
            return;
    if (run->n_links == DNS_SURVEY_LINKS_MAX) {
        give_reason(run, "more than %d aliases and zones on the way", (int)DNS_SURVEY_LINKS_MAX);
        return;
    }
    struct link *l = arena_alloc(&run->memory, sizeof(*l));
    if (l == NULL || (l->name = arena_strdup(&run->memory, slice_of(name))) == NULL) {
        give_reason(run, "out of memory");
        return;
    }
    l->run = run;
    l->zone = first_candidate(l->name, !first);
    l->known = zone != NULL;
    if (zone != NULL && (l->zone = arena_strdup(&run->memory, slice_of(zone))) == NULL) {
        give_reason(run, "out of memory");
        return;
    }
    run->links[run->n_links++] = l;
    find_zone(l);
}

/* ---- asking a server ------------------------------------------------------------------------------------------ */

/* Would a packet leave?  A UDP socket that is connected asks the routes and sends nothing. */
static bool has_route(const char *address, uint16_t port)
{
    struct sockaddr_storage to = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;
    bool is_v6 = strchr(address, ':') != NULL;

    if (evutil_inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr) !=
        1)
        return false;
    to.ss_family = is_v6 ? AF_INET6 : AF_INET;
    if (is_v6)
        v6->sin6_port = htons(port);
    else
        v4->sin_port = htons(port);
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&to, is_v6 ? sizeof(*v6) : sizeof(*v4)) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* The server's context; NULL when too many are there, or no memory (then *err has the reason). */
static struct dns_asked *asked_take(struct dns *d, const char *address, struct err *err)
{
    struct dns_asked *a = d->asked;

    err->text[0] = '\0';
    while (a != NULL && strcmp(a->address, address) != 0)
        a = a->next;
    if (a == NULL) {
        if (d->n_asked == ASKED_MAX)
            return NULL;
        a = calloc(1, sizeof(*a));
        if (a == NULL || dns_context_for_server(d->base, address, d->server_port, &a->context, err) < 0) {
            free(a);
            err_set(err, "out of memory");
            return NULL;
        }
        snprintf(a->address, sizeof(a->address), "%s", address);
        a->next = d->asked;
        d->asked = a;
        d->n_asked++;
    }
    a->references++;
    return a;
}

static void on_server_answer(void *ctx, const struct dns_answer *a);

static void ask_end(struct step *s)
{
    struct dns *d = s->run->dns;

    step_end(s);
    ask_waiting(d);
}

static void ask_begin(struct step *s)
{
    struct dns_survey_run *run = s->run;
    struct dns_server *server = &s->result->server;
    struct err err;

    if (s->asked == NULL)
        s->asked = asked_take(run->dns, server->address, &err);
    if (s->asked == NULL && err.text[0] == '\0')
        return; /* it waits */
    if (s->asked != NULL)
        s->query = dns_query_begin(run->dns, s->asked->context, true, ASK_TIMEOUT_S, s->link->name, s->type,
                                   on_server_answer, s);
    if (s->query == NULL) {
        server->answer.reason = "it could not be asked";
        step_end(s);
    }
}

/* Contexts have come free. */
static void ask_waiting(struct dns *d)
{
    for (struct dns_survey_run *run = d->surveys; run != NULL; run = run->next)
        for (struct step *s = run->steps, *next; s != NULL && d->n_asked < ASKED_MAX; s = next) {
            next = s->next;
            if (s->query == NULL && s->result != NULL)
                ask_begin(s);
        }
}

static bool is_at_or_below(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);
    return z == 0 || (n >= z && strcasecmp(name + n - z, zone) == 0 && (n == z || name[n - z - 1] == '.'));
}

/* A referral counts when it leads down: then the servers there are asked. */
static bool leads_down(const struct link *l, const char *zone)
{
    return zone != NULL && strlen(zone) > strlen(l->zone) && is_at_or_below(l->name, zone);
}

static void server_leads_to(struct step *s, const char *name, const char *zone, const char *elsewhere)
{
    struct dns_server *server = &s->result->server;
    const char *copy = arena_strdup(&s->run->memory, slice_of(elsewhere));

    if (copy == NULL) {
        give_reason(s->run, "out of memory");
        return;
    }
    server->state = DNS_SERVER_ELSEWHERE;
    server->elsewhere = copy;
    link_add(s->run, name, zone);
}

static void on_server_answer(void *ctx, const struct dns_answer *a)
{
    struct step *s = ctx;
    struct dns_survey_run *run = s->run;
    struct dns_server *server = &s->result->server;

    s->query = NULL;
    if (a->status == DNS_NODATA && leads_down(s->link, a->referral)) {
        server_leads_to(s, s->link->name, a->referral, a->referral);
    } else if (s->type == DNS_CNAME && run->type != DNS_CNAME && a->status == DNS_OK) {
        server_leads_to(s, a->records[0].text, NULL, a->records[0].text);
    } else if (s->type != run->type && a->status == DNS_NODATA) {
        s->type = run->type; /* no alias */
        ask_begin(s);
        return;
    } else if (answer_copy(&run->memory, a, &server->answer) < 0) {
        server->answer = (struct dns_answer){.status = DNS_TEMPFAIL, .reason = "out of memory", .canonical = ""};
    } else if (a->status != DNS_TEMPFAIL) {
        server->state = DNS_SERVER_ANSWERED;
    }
    ask_end(s);
}

/* A server with an alias answers for its target from a cache, if at all: so aliases are asked for first. */
static void ask_address(struct name_server *ns, const char *address)
{
    struct dns_survey_run *run = ns->link->run;
    struct result *r = result_new(ns, address);

    if (r == NULL)
        return;
    if (!has_route(address, run->dns->server_port)) {
        r->server.state = DNS_SERVER_NO_ROUTE;
        r->server.answer.reason = "this machine has no way to this address";
        return;
    }
    bool apex = run->type == DNS_SOA || run->type == DNS_NS; /* RFC 1034 3.6.2: no alias beside those */
    struct step *s = step_new(ns->link, apex ? run->type : DNS_CNAME);
    if (s == NULL)
        return;
    s->result = r;
    r->server.answer.reason = "no answer in time";
    ask_begin(s);
}

/* ---- the zone and its servers ------------------------------------------------------------------------------------ */

static void on_address(void *ctx, const struct dns_answer *a)
{
    struct step *s = ctx;
    struct name_server *ns = s->ns;

    s->query = NULL;
    for (size_t i = 0; i < a->n; i++)
        ask_address(ns, a->records[i].text);
    ns->found = ns->found || a->n > 0;
    if (a->status == DNS_TEMPFAIL)
        ns->reason = arena_strdup(&s->run->memory, slice_of(a->reason));
    if (--ns->waiting == 0 && !ns->found) {
        struct result *r = result_new(ns, "");
        if (r != NULL)
            r->server.answer.reason = ns->reason == NULL ? "it has no address" : ns->reason;
    }
    step_end(s);
}

static void find_addresses(struct link *l, const char *name)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    struct dns_survey_run *run = l->run;
    struct name_server *ns = arena_alloc(&run->memory, sizeof(*ns));

    if (ns == NULL || (ns->name = arena_strdup(&run->memory, slice_of(name))) == NULL) {
        give_reason(run, "out of memory");
        return;
    }
    ns->link = l;
    ns->order = run->n_servers++;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct step *s = step_new(l, types[i]);
        if (s == NULL)
            return;
        s->ns = ns;
        ns->waiting++;
        find_begin(s, name, on_address);
    }
}

static void on_zone(void *ctx, const struct dns_answer *a)
{
    struct step *s = ctx;
    struct link *l = s->link;
    struct dns_survey_run *run = s->run;

    s->query = NULL;
    if (a->status == DNS_TEMPFAIL) {
        give_reason(run, "the name servers of %s: %s", l->zone, a->reason);
    } else if (a->status == DNS_OK && *a->canonical == '\0') {
        l->found = true;
        if (a->n > DNS_SURVEY_SERVERS_MAX)
            give_reason(run, "%s has more than %d name servers", l->zone, (int)DNS_SURVEY_SERVERS_MAX);
        for (size_t i = 0; i < a->n && i < DNS_SURVEY_SERVERS_MAX; i++)
            find_addresses(l, a->records[i].text);
    } else if (l->known || *l->zone == '\0') {
        give_reason(run, "no zone was found that holds %s", l->name);
    } else {
        l->zone = strchr(l->zone, '.') == NULL ? "" : strchr(l->zone, '.') + 1;
        find_zone(l);
    }
    step_end(s);
}

static void find_zone(struct link *l)
{
    struct step *s = step_new(l, DNS_NS);
    if (s != NULL)
        find_begin(s, l->zone, on_zone);
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

static int by_order(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    return x->order != y->order ? (x->order > y->order) - (x->order < y->order)
                                : strcmp(x->server.address, y->server.address);
}

static void run_free(struct dns_survey_run *run)
{
    while (run->steps != NULL)
        step_end(run->steps);
    if (run->prev != NULL) {
        *run->prev = run->next;
        if (run->next != NULL)
            run->next->prev = run->prev;
    }
    if (run->timer != NULL)
        event_free(run->timer);
    arena_free(&run->memory);
    free(run);
}

/* Nothing is left to wait for, or time is up. */
static void on_run_over(evutil_socket_t fd, short what, void *ctx)
{
    struct dns_survey_run *run = ctx;
    struct dns_server *servers = arena_alloc_array(&run->memory, run->n_results + 1, sizeof(*servers));
    size_t n = servers == NULL ? 0 : run->n_results;

    (void)fd, (void)what;
    for (struct step *s = run->steps; s != NULL; s = s->next)
        if (s->result == NULL)
            give_reason(run, "DNS did not tell the name servers in time");
    if (servers == NULL)
        give_reason(run, "out of memory");
    qsort(run->results, run->n_results, sizeof(run->results[0]), by_order);
    for (size_t i = 0; i < n; i++)
        servers[i] = run->results[i].server;
    struct dns_survey survey = {.reason = run->reason == NULL ? "" : run->reason,
                                .zone = run->n_links > 0 && run->links[0]->found ? run->links[0]->zone : "",
                                .servers = servers,
                                .n = n};
    /* Out of the list first: `done` may close the resolver. */
    *run->prev = run->next;
    if (run->next != NULL)
        run->next->prev = run->prev;
    run->prev = NULL;
    struct dns *d = run->dns;
    while (run->steps != NULL)
        step_end(run->steps);
    ask_waiting(d);
    run->ending = true;
    run->done(run->ctx, &survey);
    run_free(run);
}

struct dns_survey_run *dns_survey_begin(struct dns *d, const char *name, enum dns_type type, unsigned timeout_ms,
                                        void (*done)(void *ctx, const struct dns_survey *s), void *ctx)
{
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    struct dns_survey_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return NULL;
    run->memory = ARENA_INIT(SURVEY_MEMORY_MAX);
    run->dns = d;
    run->type = type;
    run->done = done;
    run->ctx = ctx;
    run->timer = evtimer_new(d->base, on_run_over, run);
    if (run->timer == NULL || evtimer_add(run->timer, &timeout) < 0)
        goto fail;
    run->next = d->surveys;
    run->prev = &d->surveys;
    if (run->next != NULL)
        run->next->prev = &run->next;
    d->surveys = run;
    link_add(run, name, NULL);
    if (run->steps == NULL)
        goto fail;
    return run;
fail:
    run_free(run);
    return NULL;
}

void dns_survey_cancel(struct dns_survey_run *run)
{
    if (run->ending)
        return;
    struct dns *d = run->dns;
    run_free(run);
    ask_waiting(d);
}

void dns_surveys_close(struct dns *d)
{
    for (struct dns_survey_run *run = d->surveys, *next; run != NULL; run = next) {
        next = run->next;
        run_free(run);
    }
}

const struct dns_server *dns_survey_silent(const struct dns_survey *s)
{
    for (size_t i = 0, end; i < s->n; i = end) {
        const struct dns_server *silent = NULL;
        bool heard = false;
        for (end = i; end < s->n && strcmp(s->servers[end].name, s->servers[i].name) == 0 &&
                      strcmp(s->servers[end].zone, s->servers[i].zone) == 0;
             end++) {
            const struct dns_server *server = &s->servers[end];
            heard = heard || server->state == DNS_SERVER_ANSWERED || server->state == DNS_SERVER_ELSEWHERE;
            if (server->state == DNS_SERVER_SILENT && silent == NULL)
                silent = server;
        }
        if (!heard && silent != NULL)
            return silent;
    }
    return NULL;
}
