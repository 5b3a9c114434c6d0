/* delivery/dsn_limit.h - how many DSNs a user may cause in an hour. */
#ifndef SENDAS_DELIVERY_DSN_LIMIT_H
#define SENDAS_DELIVERY_DSN_LIMIT_H

#include "sendas/base.h"

struct dsn_limit;

/* NULL: out of memory. */
struct dsn_limit *dsn_limit_new(void);
void dsn_limit_free(struct dsn_limit **pl);
/* One more for `user`?  `per_hour` 0: always.  False as well when memory is out. */
bool dsn_limit_take(struct dsn_limit *l, const char *user, unsigned per_hour, int64_t now_ms);

#endif
