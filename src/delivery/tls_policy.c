/* delivery/tls_policy.c - the one place where it is decided whether mail may go in clear. */
#include "tls_policy.h"

/* Required, by the configuration or by a login whose password must not be overheard: then verified too, for an
 * unverified handshake keeps nobody out who stands in between.  Everything else is opportunistic (RFC 7435). */
struct tls_policy tls_policy_for(const struct config *c, const struct route_target *target)
{
    const struct config_route *route = target->override;
    bool required = c->delivery.tls == CONFIG_DELIVERY_REQUIRED;
    if (route != NULL)
        required = required || route->tls == CONFIG_DELIVERY_REQUIRED || route->user[0] != '\0';
    return (struct tls_policy){.required = required, .verify = required, .name = "none"};
}
