/* src/cli/lookups.h - DNS for commands that can finish without it: a resolver that answers, and no long wait for one that
 * does not. */
#ifndef SENDAS_CLI_LOOKUPS_H
#define SENDAS_CLI_LOOKUPS_H

#include "sendas/base.h"
#include "sendas/config.h"

struct dns_blocking;

struct lookups {
    struct dns_blocking *network; /* NULL: nobody can be asked */
    struct lookup inner;
    int64_t end;      /* on the monotonic clock: from then on nothing is asked */
    unsigned in_vain; /* questions without an answer, one after the other */
};

/* As `dns` of the configuration says; without one by the system's resolvers.  Where the configuration names no servers
 * and those of the root cannot be reached (as behind some firewalls), also by the system's.  Never fails: what cannot be
 * asked is LOOKUP_TEMPFAIL. */
void lookups_open(struct lookups *l, const struct config *c);
/* Good while *l is. */
struct lookup lookups_lookup(struct lookups *l);
void lookups_close(struct lookups *l);

#endif
