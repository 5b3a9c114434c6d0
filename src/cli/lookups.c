/* DNS for `setup` and `dns`. */
#include "lookups.h"

#include "sendas/dns.h"

enum { PROBE_MS = 2500, WAIT_MS = 4000, VAIN_MAX = 2, ALL_MS = 25000 };

static void use(struct lookups *l, const struct config *c)
{
    dns_blocking_close(&l->network);
    if (dns_blocking_open(c, &l->network, NULL) < 0)
        return;
    l->inner = dns_blocking_lookup(l->network);
    dns_blocking_set_wait(l->network, WAIT_MS);
}

/* Can the servers of the root be asked? */
static bool reaches_root(struct lookups *l)
{
    struct arena memory = ARENA_INIT(1024 * 1024);
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    if (l->network == NULL)
        return false;
    dns_blocking_set_wait(l->network, PROBE_MS);
    l->inner.query(l->inner.ctx, &memory, ".", DNS_NS, &answer);
    dns_blocking_set_wait(l->network, WAIT_MS);
    arena_free(&memory);
    return answer.status == LOOKUP_OK;
}

void lookups_open(struct lookups *l, const struct config *c)
{
    *l = (struct lookups){.network = NULL};
    use(l, c);
    if (c != NULL && c->dns.n_servers == 0 && !reaches_root(l))
        use(l, NULL);
    l->end = clock_mono_ms() + ALL_MS;
}

static void query(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct lookups *l = ctx;
    int64_t begun = clock_mono_ms();
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (l->network == NULL || l->in_vain >= VAIN_MAX || begun >= l->end)
        return;
    l->inner.query(l->inner.ctx, a, name, type, ret);
    bool vain = ret->status == LOOKUP_TEMPFAIL && clock_mono_ms() - begun >= WAIT_MS;
    l->in_vain = vain ? l->in_vain + 1 : 0;
}

struct lookup lookups_lookup(struct lookups *l)
{
    return (struct lookup){query, l};
}

void lookups_close(struct lookups *l)
{
    dns_blocking_close(&l->network);
}
