/* The addresses that receivers see mail come from: what PTR, SPF and the blocklists are about. */
#include "check.h"

#include "sendas/delivery.h"
#include "sendas/dns.h"

#include <string.h>
#include <sys/socket.h>

static void add(struct check_run *r, struct slice text)
{
    const char *copy = arena_strdup(&r->memory, text);
    if (copy == NULL)
        r->failed = true;
    for (size_t i = 0; i < r->n_addresses && copy != NULL; i++)
        if (strcasecmp(r->addresses[i], copy) == 0)
            return;
    if (copy != NULL && r->n_addresses < CHECK_ADDRESSES_MAX)
        r->addresses[r->n_addresses++] = copy;
}

/* Those that DNS has for the host name; what else is there to go by? */
static void add_of_host(struct check_run *r, enum dns_type type)
{
    enum lookup_status worst = LOOKUP_OK;
    size_t before = r->n_addresses;
    struct lookup_answer a = check_ask(r, r->config->hostname, &worst, type);
    for (size_t i = 0; i < a.n; i++)
        add(r, a.records[i].text);
    if (worst == LOOKUP_TEMPFAIL)
        r->addresses_unknown = true;
    if (r->n_addresses > before)
        r->origin = CHECK_ORIGIN_HOST;
}

/* Where mail leaves from is known, but it may be an address of the house, which a router translates. */
static void add_sender(struct check_run *r, const char *address, enum check_origin origin)
{
    if (!delivery_address_allowed(address, r->config->delivery.allow_private)) {
        r->nat = true;
        add_of_host(r, check_is_ipv6(address) ? DNS_AAAA : DNS_A);
        return;
    }
    add(r, slice_of(address));
    r->origin = origin;
}

void check_addresses(struct check_run *r)
{
    static const int families[] = {AF_INET, AF_INET6};
    const struct config *c = r->config;
    char address[CHECK_ADDRESS_SIZE];
    bool any = c->delivery.n_bind > 0;
    for (size_t i = 0; i < c->delivery.n_public_ips; i++)
        add(r, slice_of(c->delivery.public_ips[i]));
    if (c->delivery.n_public_ips > 0) {
        r->origin = CHECK_ORIGIN_CONFIGURED;
        return;
    }
    for (size_t i = 0; i < c->delivery.n_bind; i++)
        add_sender(r, c->delivery.bind[i], CHECK_ORIGIN_CONFIGURED);
    for (size_t i = 0; i < ARRAY_LEN(families) && c->delivery.n_bind == 0; i++) {
        if (!r->world->source(r->world->ctx, families[i], address))
            continue;
        any = true;
        add_sender(r, address, CHECK_ORIGIN_ROUTE);
    }
    if (!any || r->n_addresses == 0) {
        add_of_host(r, DNS_A);
        add_of_host(r, DNS_AAAA);
    }
    r->addresses_unknown = r->addresses_unknown && r->n_addresses == 0;
}
