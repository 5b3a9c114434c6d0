/* delivery/route.c - MX, addresses, literals and the routes of the configuration. */
#include "route.h"

#include "sendas/delivery.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct host {
    char name[DOMAIN_MAX + 1];
    unsigned preference;
};

struct route {
    struct route_env env;
    char domain[DOMAIN_MAX + 3];
    const struct config_route *override;
    void (*wake)(void *ctx);
    void *wake_ctx;

    bool hosts_known;
    struct host hosts[ROUTE_HOSTS_MAX];
    size_t n_hosts, host; /* the one whose addresses are tried */

    bool addresses_known;
    char addresses[ROUTE_ADDRESSES_MAX][ROUTE_ADDRESS_SIZE]; /* of this host */
    size_t n_addresses, address;
    bool any_tempfail; /* of the present look-ups */
    size_t given;      /* targets so far, bounded by ROUTE_ADDRESSES_MAX */

    struct query {
        struct route *route;
        void *handle; /* NULL: not under way */
    } mx, a, aaaa;
    struct smtp_verdict verdict;
};

/* ---- reasons --------------------------------------------------------------------------------------------------- */

void route_note(struct route *r, const struct smtp_verdict *v)
{
    if (r->verdict.code == 0 || smtp_is_temporary(v) || !smtp_is_temporary(&r->verdict))
        r->verdict = *v;
}

static void note(struct route *r, int code, const char *enhanced, const char *format, ...) PRINTF_LIKE(4, 5);
static void note(struct route *r, int code, const char *enhanced, const char *format, ...)
{
    struct smtp_verdict v;
    char text[sizeof(v.text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    smtp_verdict_set(&v, code, enhanced, "%s", text);
    route_note(r, &v);
}

const struct smtp_verdict *route_verdict(const struct route *r)
{
    return &r->verdict;
}

/* ---- hosts ----------------------------------------------------------------------------------------------------- */

static void add_host(struct route *r, const char *name, unsigned preference)
{
    if (r->n_hosts == ROUTE_HOSTS_MAX || strlen(name) > DOMAIN_MAX)
        return;
    struct host *h = &r->hosts[r->n_hosts++];
    snprintf(h->name, sizeof(h->name), "%s", name);
    h->preference = preference;
}

static void only_host(struct route *r, const char *name)
{
    add_host(r, name, 0);
    r->hosts_known = true;
}

static bool is_ours(const struct route *r, const char *name)
{
    return slice_eq_icase(slice_of(name), slice_of(r->env.config->hostname));
}

/* A random order, then a stable one by preference: equal ones are shuffled (RFC 5321 5.1).  It happens before the list
 * is cut, so that of many equal ones any may be among those that stay. */
static void order(struct route *r, const struct dns_record **v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = r->env.random_below(r->env.ctx, (unsigned)i);
        const struct dns_record *t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
    for (size_t i = 1; i < n; i++) {
        const struct dns_record *t = v[i];
        size_t j = i;
        for (; j > 0 && v[j - 1]->preference > t->preference; j--)
            v[j] = v[j - 1];
        v[j] = t;
    }
}

enum { MX_RECORDS_MAX = 100 };

/* RFC 5321 5.1: where we are an MX ourselves, only those with a better preference come into question. */
static void take_mx(struct route *r, const struct dns_answer *answer)
{
    const struct dns_record *sorted[MX_RECORDS_MAX] = {0};
    size_t n = answer->n < MX_RECORDS_MAX ? answer->n : MX_RECORDS_MAX;
    unsigned below = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &answer->records[i];
        if (is_ours(r, sorted[i]->text) && sorted[i]->preference < below)
            below = sorted[i]->preference;
    }
    order(r, sorted, n);
    for (size_t i = 0; i < n; i++)
        if (sorted[i]->preference < below && sorted[i]->text[0] != '\0')
            add_host(r, sorted[i]->text, sorted[i]->preference);
    if (r->n_hosts == 0 && below != UINT32_MAX)
        note(r, 554, "5.4.6", "mail for %s loops back to us: %s is its best MX", r->domain, r->env.config->hostname);
    else if (r->n_hosts == 0)
        note(r, 554, "5.4.4", "the MX records of %s name no host", r->domain);
}

static void on_mx(void *ctx, const struct dns_answer *a)
{
    struct query *q = ctx;
    struct route *r = q->route;
    q->handle = NULL;
    r->hosts_known = true;
    if (a->status == DNS_TEMPFAIL)
        note(r, 451, "4.4.3", "DNS look-up of the MX of %s failed: %s", r->domain, a->reason == NULL ? "" : a->reason);
    else if (a->status == DNS_NXDOMAIN)
        note(r, 550, "5.1.2", "the domain %s does not exist", r->domain);
    else if (a->status == DNS_NODATA)
        add_host(r, r->domain, 0); /* RFC 5321 5.1: the implicit MX */
    else if (a->n == 1 && a->records[0].text[0] == '\0')
        note(r, 556, "5.1.10", "the domain %s takes no mail (null MX)", r->domain); /* RFC 7505 */
    else
        take_mx(r, a);
    r->wake(r->wake_ctx);
}

static void ask(struct route *r, struct query *q, const char *name, enum dns_type type,
                void (*done)(void *, const struct dns_answer *))
{
    q->route = r;
    q->handle = r->env.resolve(r->env.ctx, name, type, done, q);
    if (q->handle == NULL)
        r->any_tempfail = true;
}

static void find_hosts(struct route *r)
{
    if (r->override != NULL) {
        only_host(r, r->override->host);
        return;
    }
    if (r->domain[0] == '[') {
        only_host(r, r->domain);
        return;
    }
    ask(r, &r->mx, r->domain, DNS_MX, on_mx);
    if (r->mx.handle == NULL) {
        r->hosts_known = true;
        note(r, 451, "4.4.3", "DNS look-up of the MX of %s could not be made", r->domain);
    }
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

/* `in` as inet_ntop writes it; a mapped address as the IPv4 one that it is. */
static bool canonical_address(const char *in, char out[ROUTE_ADDRESS_SIZE])
{
    unsigned char octets[16];
    int family = strchr(in, ':') == NULL ? AF_INET : AF_INET6;
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(family, in, octets) != 1)
        return false;
    if (family == AF_INET6 && memcmp(octets, mapped, sizeof(mapped)) == 0)
        return inet_ntop(AF_INET, octets + 12, out, ROUTE_ADDRESS_SIZE) != NULL;
    return inet_ntop(family, octets, out, ROUTE_ADDRESS_SIZE) != NULL;
}

/* A host of the configuration may be where the operator likes; one that DNS named may not. */
static bool refused(struct route *r, const char *address)
{
    if (r->override != NULL || r->env.config->delivery.allow_private)
        return false;
    if (r->env.is_own_address(r->env.ctx, address))
        note(r, 554, "5.4.6", "mail for %s loops back to us: %s is our own address", r->domain, address);
    else if (!delivery_address_allowed(address, false))
        note(r, 554, "5.4.4", "the mail host %s of %s has an address that is not public: %s", r->hosts[r->host].name,
             r->domain, address);
    else
        return false;
    return true;
}

static void add_address(struct route *r, const char *text)
{
    if (r->n_addresses < ROUTE_ADDRESSES_MAX && canonical_address(text, r->addresses[r->n_addresses]))
        r->n_addresses++;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3), or a bare numeric address in a route. */
static bool take_literal(struct route *r, const char *name)
{
    char text[DOMAIN_MAX + 3];
    struct slice s = slice_of(name);
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = slice_sub(s, 1, s.n - 2);
    if (slice_starts_icase(s, SLICE("IPv6:")))
        s = slice_skip(s, 5);
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(s));
    add_address(r, text);
    return r->n_addresses > 0;
}

static void swap_addresses(struct route *r, size_t i, size_t j)
{
    char t[ROUTE_ADDRESS_SIZE];
    memcpy(t, r->addresses[i], sizeof(t));
    memcpy(r->addresses[i], r->addresses[j], sizeof(t));
    memcpy(r->addresses[j], t, sizeof(t));
}

/* Shuffled, then the preferred family first. */
static void order_addresses(struct route *r)
{
    for (size_t i = r->n_addresses; i > 1; i--)
        swap_addresses(r, i - 1, r->env.random_below(r->env.ctx, (unsigned)i));
    enum config_prefer prefer = r->env.config->delivery.prefer;
    size_t front = 0;
    for (size_t i = 0; i < r->n_addresses && prefer != CONFIG_PREFER_ANY; i++)
        if ((strchr(r->addresses[i], ':') != NULL) == (prefer == CONFIG_PREFER_IPV6))
            swap_addresses(r, front++, i);
}

static void addresses_done(struct route *r)
{
    const char *name = r->hosts[r->host].name;
    r->addresses_known = true;
    if (r->n_addresses == 0 && r->any_tempfail)
        note(r, 451, "4.4.3", "DNS look-up of the addresses of %s failed", name);
    else if (r->n_addresses == 0)
        note(r, 550, "5.4.4", "the mail host %s of %s has no address", name, r->domain);
    order_addresses(r);
}

static void on_address(void *ctx, const struct dns_answer *a)
{
    struct query *q = ctx;
    struct route *r = q->route;
    q->handle = NULL;
    if (a->status == DNS_TEMPFAIL)
        r->any_tempfail = true;
    /* Half of the room for each family: the first answer must not crowd out the second. */
    for (size_t i = 0; a->status == DNS_OK && i < a->n && i < ROUTE_ADDRESSES_MAX / 2; i++)
        add_address(r, a->records[i].text);
    if (r->a.handle != NULL || r->aaaa.handle != NULL)
        return;
    addresses_done(r);
    r->wake(r->wake_ctx);
}

static void find_addresses(struct route *r)
{
    const char *name = r->hosts[r->host].name;
    r->n_addresses = r->address = 0;
    r->any_tempfail = false;
    if (take_literal(r, name)) {
        r->addresses_known = true;
        return;
    }
    if (name[0] != '[') {
        ask(r, &r->a, name, DNS_A, on_address);
        ask(r, &r->aaaa, name, DNS_AAAA, on_address);
    }
    if (r->a.handle == NULL && r->aaaa.handle == NULL)
        addresses_done(r);
}

/* ---- one after the other ----------------------------------------------------------------------------------------- */

static bool next_of_host(struct route *r, struct route_target *ret)
{
    while (r->address < r->n_addresses) {
        const char *address = r->addresses[r->address++];
        if (refused(r, address))
            continue;
        const struct host *h = &r->hosts[r->host];
        *ret = (struct route_target){.override = r->override};
        snprintf(ret->host, sizeof(ret->host), "%s", h->name);
        snprintf(ret->address, sizeof(ret->address), "%s", address);
        ret->port = r->override != NULL ? r->override->port : r->env.config->delivery.port;
        r->given++;
        return true;
    }
    return false;
}

enum route_status route_next(struct route *r, struct route_target *ret)
{
    for (;;) {
        if (r->mx.handle != NULL || r->a.handle != NULL || r->aaaa.handle != NULL)
            return ROUTE_WAIT;
        if (!r->hosts_known) {
            find_hosts(r);
        } else if (r->host == r->n_hosts || r->given == ROUTE_ADDRESSES_MAX) {
            if (r->verdict.code == 0)
                note(r, 451, "4.4.1", "no mail host of %s could be reached", r->domain);
            return ROUTE_END;
        } else if (!r->addresses_known) {
            find_addresses(r);
        } else if (next_of_host(r, ret)) {
            return ROUTE_TARGET;
        } else {
            r->host++;
            r->addresses_known = false;
        }
    }
}

/* ---- life cycle ------------------------------------------------------------------------------ */

const struct config_route *route_override(const struct config *c, const char *domain)
{
    const struct config_route *all = NULL;
    for (size_t i = 0; i < c->delivery.n_routes; i++) {
        const struct config_route *route = &c->delivery.routes[i];
        if (strcmp(route->domain, "*") == 0)
            all = route;
        else if (slice_eq_icase(slice_of(route->domain), slice_of(domain)))
            return route;
    }
    return all;
}

struct route *route_new(const struct route_env *env, const char *domain, void (*wake)(void *ctx), void *ctx)
{
    struct route *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->env = *env;
    r->wake = wake;
    r->wake_ctx = ctx;
    snprintf(r->domain, sizeof(r->domain), "%s", domain);
    r->override = route_override(env->config, domain);
    return r;
}

void route_free(struct route **pr)
{
    struct route *r = *pr;
    if (r == NULL)
        return;
    *pr = NULL;
    struct query *queries[] = {&r->mx, &r->a, &r->aaaa};
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        if (queries[i]->handle != NULL)
            r->env.cancel(r->env.ctx, queries[i]->handle);
    free(r);
}
