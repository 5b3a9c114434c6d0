/* src/cli/host.h - what `setup` finds out by itself: the addresses of this machine, and what the world calls it. */
#ifndef SENDAS_CLI_HOST_H
#define SENDAS_CLI_HOST_H

#include "sendas/base.h"

enum { HOST_IP_SIZE = 46, HOST_FAMILIES = 2 };

/* The address of each family that mail to the world leaves from, if it is a public one: IPv4 first.  Temporary and
 * deprecated IPv6 addresses do not count (RFC 8981).  Returns how many. */
size_t host_public_addresses(char ips[HOST_FAMILIES][HOST_IP_SIZE]);
/* Is it an address of this machine?  Behind NAT the one that the world sees is not. */
bool host_has_address(const char *ip);
/* Can others reach it: no private, shared, link-local ... address? */
bool host_address_is_public(const char *ip);

/* "1.2.0.192.in-addr.arpa" */
void host_reverse_name(const char *ip, struct strbuf *out);
/* The name in the PTR record of `ip` that leads back to it (forward-confirmed), or else any in its PTR record, in *ret;
 * "" when there is none. */
struct host_ptr {
    enum lookup_status status; /* of the PTR record */
    bool confirmed;
    char name[DOMAIN_MAX + 1];
};
void host_ptr_find(const struct lookup *dns, struct arena *a, const char *ip, struct host_ptr *ret);

/* Is `name` the domain, or below it?  Both A-labels in lower case. */
bool host_is_within(const char *name, const char *domain);

#endif
