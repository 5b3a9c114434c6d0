/* Does mail get out?  Many providers block port 25 until they are asked. */
#include "check.h"

#include "sendas/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { SMTPS_PORT = 465, RECEIVERS_MAX = 4, HOST_TRIES_MAX = 2 };

/* Where nearly everybody has somebody to write to. */
static const char *const receivers[RECEIVERS_MAX] = {"gmail.com", "outlook.com", "yahoo.com", "icloud.com"};

/* ---- judging --------------------------------------------------------------------------------- */

static const char *why_closed(int error)
{
    return error == ETIMEDOUT ? "no answer" : strerror(error);
}

/* How the tries of one family ended. */
struct outcome {
    size_t tried, open, timed_out, unreachable;
    const struct check_try *first; /* that failed */
    const struct check_try *refusal;
    const struct check_try *good;
};

static struct outcome sum_up(const struct check_port *f, bool ipv6)
{
    struct outcome o = {0};
    for (size_t i = 0; i < f->n; i++) {
        const struct check_try *t = &f->tries[i];
        if (check_is_ipv6(t->contact.address) != ipv6)
            continue;
        bool said_no = t->reached.greeting[0] == '4' || t->reached.greeting[0] == '5';
        o.tried++;
        if (t->reached.error == 0) {
            o.open++;
            o.refusal = said_no && o.refusal == NULL ? t : o.refusal;
            o.good = !said_no && (o.good == NULL || o.good->reached.greeting[0] == '\0') ? t : o.good;
            continue;
        }
        o.timed_out += t->reached.error == ETIMEDOUT;
        o.unreachable += t->reached.error == ENETUNREACH || t->reached.error == EHOSTUNREACH;
        o.first = o.first == NULL ? t : o.first;
    }
    return o;
}

static const char *tell_closed(struct check_run *r, const struct outcome *o, uint16_t port)
{
    const struct check_try *t = o->first;
    if (t == NULL)
        return "";
    return check_text(r, "cannot connect to %s [%s] port %u: %s%s", t->host, t->contact.address, port,
                      why_closed(t->reached.error), o->tried > 1 ? "; nor to others" : "");
}

static const char *advise_closed(struct check_run *r, const struct check_port *f, const struct outcome *o)
{
    if (f->override != NULL)
        return "see that delivery.routes names the right host and port, and that no firewall is between";
    if (o->first != NULL && o->first->reached.error == EADDRNOTAVAIL)
        return "delivery.bind names an address that this machine does not have";
    const char *smarthost =
        "or send through a smarthost: delivery.routes: [{domain: \"*\", host: ..., port: 587, tls: required}]";
    if (o->unreachable == o->tried)
        return check_text(r, "see that this machine has a route to the Internet (ip route), %s", smarthost);
    if (o->timed_out > 0)
        return check_text(
            r,
            "somebody drops what goes to port %u: ask your provider, in words such as \"please unblock outgoing "
            "TCP port %u for my mail server\", %s",
            f->port, f->port, smarthost);
    return check_text(
        r,
        "somebody on the way refuses port %u: look at the firewall of this machine, then ask your provider to "
        "open outgoing port %u, %s",
        f->port, f->port, smarthost);
}

static void judge_open(struct check_run *r, struct check_item *item, const struct check_port *f,
                       const struct outcome *o)
{
    const struct check_try *t = o->good != NULL ? o->good : o->refusal;
    item->found = check_text(r, "%s [%s] port %u%s%s", t->host, t->contact.address, f->port,
                             t->reached.greeting[0] != '\0' ? ": " : "", t->reached.greeting);
    if (o->good != NULL && t->reached.greeting[0] == '\0' && f->port != SMTPS_PORT) {
        item->status = CHECK_WARN;
        item->found = check_text(r, "%s, but no greeting came", item->found);
        item->fix =
            "try again; if it stays so, somebody on the way takes the connections for himself: ask your provider";
    }
    if (o->refusal == NULL)
        return;
    t = o->refusal;
    item->status = CHECK_WARN;
    item->found = check_text(r, "%s [%s] port %u says: %s", t->host, t->contact.address, f->port, t->reached.greeting);
    item->fix = "it does not want this server for now; its words tell why";
}

void check_port_judge(struct check_run *r, const struct check_port *f)
{
    struct check_item *item = check_add(r, "port25", NULL, CHECK_PASS);
    struct outcome v4 = sum_up(f, false), v6 = sum_up(f, true);
    item->expected =
        check_text(r, "a connection to port %u of %s", f->port, f->override != NULL ? f->override : "large receivers");
    if (f->n == 0 && f->unknown != NULL) {
        check_no_answer(r, item, f->unknown, f->override != NULL ? DNS_A : DNS_MX);
    } else if (f->n == 0) {
        item->status = f->override != NULL ? CHECK_FAIL : CHECK_WARN;
        item->unknown = f->override == NULL;
        item->found =
            check_text(r, "%s has no address that could be tried", f->override != NULL ? f->override : receivers[0]);
        item->fix =
            f->override != NULL ? "correct the host in delivery.routes" : "see that this machine's DNS is right";
    } else if (v4.open + v6.open == 0) {
        const struct outcome *o = v4.tried > 0 ? &v4 : &v6;
        item->status = CHECK_FAIL;
        item->found = tell_closed(r, o, f->port);
        item->fix = advise_closed(r, f, o);
    } else {
        judge_open(r, item, f, v4.open > 0 ? &v4 : &v6);
        const struct outcome *shut = v4.tried > 0 && v4.open == 0 ? &v4 : v6.tried > 0 && v6.open == 0 ? &v6 : NULL;
        if (shut == NULL || item->status != CHECK_PASS)
            return;
        item->status = CHECK_WARN;
        item->found = check_text(r, "by %s only: %s", shut == &v4 ? "IPv6" : "IPv4", tell_closed(r, shut, f->port));
        item->fix = check_text(r, "mail goes the other way, a little later; %s", advise_closed(r, f, shut));
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The address of this family that mail leaves from; with delivery.bind only its families are used, and without it an
 * IPv6 address only where this machine has one. */
static bool find_source(struct check_run *r, bool ipv6, char out[CHECK_ADDRESS_SIZE])
{
    const struct config *c = r->config;
    out[0] = '\0';
    for (size_t i = 0; i < c->delivery.n_bind; i++) {
        if (check_is_ipv6(c->delivery.bind[i]) != ipv6)
            continue;
        snprintf(out, CHECK_ADDRESS_SIZE, "%s", c->delivery.bind[i]);
        return true;
    }
    if (c->delivery.n_bind > 0)
        return false;
    char route[CHECK_ADDRESS_SIZE];
    return !ipv6 || r->world->source(r->world->ctx, AF_INET6, route);
}

static void try_address(struct check_run *r, struct check_port *f, const char *host, struct slice address)
{
    struct check_try *t = &f->tries[f->n];
    if (f->n == CHECK_TRIES_MAX)
        return;
    *t = (struct check_try){.host = host};
    t->contact.port = f->port;
    t->contact.host = r->config->hostname;
    t->contact.talk = f->port == SMTPS_PORT ? CHECK_TALK_IMPLICIT : CHECK_TALK_GREETING;
    snprintf(t->contact.address, sizeof(t->contact.address), "%.*s", SLICE_ARG(address));
    if (!find_source(r, check_is_ipv6(t->contact.address), t->contact.source))
        return;
    (void)r->world->contact(r->world->ctx, &t->contact, &t->reached);
    f->n++;
}

/* The first addresses of each family. */
static void try_host(struct check_run *r, struct check_port *f, const char *host, size_t most)
{
    static const unsigned types[] = {DNS_A, DNS_AAAA};
    enum lookup_status worst = LOOKUP_OK;
    unsigned char octets[16];
    size_t before = f->n;
    if (inet_pton(AF_INET, host, octets) == 1 || inet_pton(AF_INET6, host, octets) == 1) {
        try_address(r, f, host, slice_of(host));
        return;
    }
    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        struct lookup_answer a = check_ask(r, host, &worst, types[t]);
        for (size_t i = 0; i < a.n && i < most; i++)
            try_address(r, f, host, a.records[i].text);
    }
    if (f->n == before && worst == LOOKUP_TEMPFAIL)
        f->unknown = host;
}

static const struct config_route *find_route(const struct config *c, const char *domain)
{
    for (size_t i = 0; i < c->delivery.n_routes; i++)
        if (strcmp(c->delivery.routes[i].domain, domain) == 0)
            return &c->delivery.routes[i];
    return strcmp(domain, "*") == 0 ? NULL : find_route(c, "*");
}

static void try_receiver(struct check_run *r, struct check_port *f, const char *domain)
{
    struct lookup_answer mx = check_ask(r, domain, NULL, DNS_MX);
    const struct lookup_record *best = NULL;
    for (size_t i = 0; i < mx.n; i++)
        if (mx.records[i].text.n > 0 && (best == NULL || mx.records[i].preference < best->preference))
            best = &mx.records[i];
    if (best != NULL)
        try_host(r, f, check_text(r, "%.*s", SLICE_ARG(best->text)), 1);
    else if (mx.status == LOOKUP_TEMPFAIL)
        f->unknown = domain;
}

void check_port25(struct check_run *r)
{
    struct check_port facts = {.port = r->config->delivery.port};
    const struct config_route *route = find_route(r->config, receivers[0]);
    if (route != NULL) {
        facts.override = route->host;
        facts.port = route->port;
        try_host(r, &facts, route->host, HOST_TRIES_MAX);
    }
    for (size_t i = 0; i < RECEIVERS_MAX && route == NULL; i++)
        try_receiver(r, &facts, receivers[i]);
    /* In a network where these do not exist, whoever takes the domain's own mail will do. */
    for (size_t i = 0; i < r->config->n_domains && route == NULL && facts.n == 0 && facts.unknown == NULL; i++)
        try_receiver(r, &facts, r->config->domains[i].name);
    check_port_judge(r, &facts);
}
