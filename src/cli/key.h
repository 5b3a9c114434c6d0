/* src/cli/key.h - what the actions of `key` share. */
#ifndef SENDAS_CLI_KEY_H
#define SENDAS_CLI_KEY_H

#include "internal.h"
#include "sendas/config.h"
#include "sendas/keys.h"

int cli_key_list(const struct cli_args *args);
int cli_key_retire(const struct cli_args *args);

/* Days since 1970-01-01, UTC. */
int64_t cli_today(void);

/* A key of the configuration and what is known of it. */
struct key_view {
    const struct config_domain *domain;
    const struct config_key *config;
    struct dkim_key *key; /* NULL: retired, or it cannot be loaded */
    struct err error;     /* why */
    bool looked, published;
    int64_t looked_s;
    struct keys_finding finding;
};

/* Fills in what DNS says of v[0..n) now, all asked at the same time; those without a loaded key are passed over.  -1 when DNS
 * cannot be asked at all. */
int key_views_ask(const struct config *c, struct key_view *v, size_t n, struct err *err);

#endif
