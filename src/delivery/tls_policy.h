/* delivery/tls_policy.h - how much TLS a host must show before it gets mail. */
#ifndef SENDAS_DELIVERY_TLS_POLICY_H
#define SENDAS_DELIVERY_TLS_POLICY_H

#include "route.h"

struct tls_policy {
    bool required;    /* no mail in clear */
    bool verify;      /* the certificate must be trusted and bear the host's name */
    const char *name; /* for the log: none | dane | mta-sts */
};

struct tls_policy tls_policy_for(const struct config *c, const struct route_target *target);

#endif
