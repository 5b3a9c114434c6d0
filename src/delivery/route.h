/* delivery/route.h - from a domain to the addresses to try, one after the other (RFC 5321 5.1, RFC 7505).
 *
 * A route is pulled: route_next gives the next address, or says that it waits for DNS (then `wake` runs later, and it
 * is asked again), or that there is none left and why.  MX names are resolved when their turn comes. */
#ifndef SENDAS_DELIVERY_ROUTE_H
#define SENDAS_DELIVERY_ROUTE_H

#include "sendas/config.h"
#include "sendas/dns.h"
#include "sendas/smtp.h"

enum { ROUTE_HOSTS_MAX = 10, ROUTE_ADDRESSES_MAX = 10, ROUTE_ADDRESS_SIZE = 46 };

/* What a route needs from outside. */
struct route_env {
    const struct config *config; /* outlives the route */
    void *(*resolve)(void *ctx, const char *name, enum dns_type type,
                     void (*done)(void *ctx, const struct dns_answer *a), void *done_ctx);
    void (*cancel)(void *ctx, void *query);
    bool (*is_own_address)(void *ctx, const char *address);
    unsigned (*random_below)(void *ctx, unsigned n); /* n > 0 */
    void *ctx;
};

struct route_target {
    char host[DOMAIN_MAX + 3];        /* the MX, the domain itself, or the route's host */
    char address[ROUTE_ADDRESS_SIZE]; /* numeric */
    uint16_t port;
    const struct config_route *override; /* NULL: by MX */
};

enum route_status { ROUTE_TARGET = 0, ROUTE_WAIT, ROUTE_END };

struct route;

/* The entry of delivery.routes for this domain: its own, else "*", else NULL. */
const struct config_route *route_override(const struct config *c, const char *domain);
/* `domain`: A-labels, or an address literal.  NULL when out of memory. */
struct route *route_new(const struct route_env *env, const char *domain, void (*wake)(void *ctx), void *ctx);
enum route_status route_next(struct route *r, struct route_target *ret);
/* Why a target did not do.  A temporary reason is never displaced by a permanent one: some host may yet take it. */
void route_note(struct route *r, const struct smtp_verdict *v);
/* After ROUTE_END: what to tell the recipients. */
const struct smtp_verdict *route_verdict(const struct route *r);
void route_free(struct route **pr);

#endif
