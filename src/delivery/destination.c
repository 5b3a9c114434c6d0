/* delivery/destination.c - one place that mail goes to: who waits for it, the way there, and the connections to it.
 *
 * New connections go to one target.  Until a session was ready there only one is tried; when it does not do, the route
 * gives the next.  When the route is at its end and nothing is connected, all that wait get its verdict, and the place
 * rests (rest.c). */
#include "internal.h"

#include <event2/util.h>

#include <stdlib.h>
#include <string.h>

/* ---- what a route needs
 * ------------------------------------------------------------------------------------------------- */

static void *resolve(void *ctx, const char *name, enum dns_type type, void (*done)(void *, const struct dns_answer *),
                     void *done_ctx)
{
    struct delivery *d = ctx;
    return dns_resolve(d->deps.dns, name, type, done, done_ctx);
}

static void cancel(void *ctx, void *query)
{
    (void)ctx;
    dns_cancel(query);
}

static bool is_own_address(void *ctx, const char *address)
{
    const struct delivery_net *net = ((struct delivery *)ctx)->deps.net;
    return net->is_own_address(net->ctx, address);
}

static unsigned random_below(void *ctx, unsigned n)
{
    uint32_t r;
    (void)ctx;
    evutil_secure_rng_get_bytes(&r, sizeof(r));
    return r % n;
}

static void set_resolving(struct destination *dest, bool resolving)
{
    dest->d->n_resolving += resolving;
    dest->d->n_resolving -= dest->resolving;
    dest->resolving = resolving;
}

static void on_wake(void *ctx)
{
    set_resolving(ctx, false);
    destination_poke(ctx);
}

static struct route *make_route(struct destination *dest)
{
    struct route_env env = {.config = dest->settings->config,
                            .resolve = resolve,
                            .cancel = cancel,
                            .is_own_address = is_own_address,
                            .random_below = random_below,
                            .ctx = dest->d};
    return route_new(&env, dest->domain, on_wake, dest);
}

/* ---- the list of them
 * ------------------------------------------------------------------------------------------------------ */

/* A flood of chosen names costs a list walk each, no more. */
static struct destination **bucket_of(struct delivery *d, const char *key)
{
    return &d->buckets[slice_hash(slice_of(key)) % DESTINATION_BUCKETS];
}

static struct destination *destination_new(struct delivery *d, const char *domain, const char *key)
{
    struct destination *dest = calloc(1, sizeof(*dest));
    if (dest == NULL)
        return NULL;
    dest->d = d;
    dest->domain = strdup(domain);
    dest->key = strdup(key);
    if (dest->domain == NULL || dest->key == NULL) {
        free(dest->domain);
        free(dest->key);
        free(dest);
        return NULL;
    }
    dest->settings = intake_settings_ref(d->settings);
    waiting_init(dest);
    TAILQ_INIT(&dest->channels);
    TAILQ_INSERT_TAIL(&d->destinations, dest, all);
    struct destination **bucket = bucket_of(d, key);
    dest->next_in_bucket = *bucket;
    *bucket = dest;
    return dest;
}

enum { KEY_SIZE = DOMAIN_MAX + 16 };

static void make_key(const struct config *c, const char *domain, char key[KEY_SIZE])
{
    const struct config_route *route = route_override(c, domain);
    if (route != NULL)
        snprintf(key, KEY_SIZE, "%s:%u", route->host, (unsigned)route->port);
    else
        snprintf(key, KEY_SIZE, "%s", domain);
}

bool destination_serves(const struct destination *dest, const char *domain)
{
    char key[KEY_SIZE];
    if (dest->settings->config->delivery.n_routes == 0)
        return strcmp(dest->key, domain) == 0;
    make_key(dest->settings->config, domain, key);
    return strcmp(dest->key, key) == 0;
}

/* After a reload new items do not join a destination that was made from the old configuration.  Settings that differ in
 * nothing but the keys that sign share it. */
struct destination *destination_get(struct delivery *d, const char *domain)
{
    char key[KEY_SIZE];
    make_key(d->settings->config, domain, key);
    for (struct destination *dest = *bucket_of(d, key); dest != NULL; dest = dest->next_in_bucket)
        if (strcmp(dest->key, key) == 0 && dest->settings->config == d->settings->config)
            return dest;
    return destination_new(d, domain, key);
}

void destination_free(struct destination **pdest)
{
    struct destination *dest = *pdest;
    if (dest == NULL)
        return;
    *pdest = NULL;
    struct destination **at = bucket_of(dest->d, dest->key);
    while (*at != dest)
        at = &(*at)->next_in_bucket;
    *at = dest->next_in_bucket;
    TAILQ_REMOVE(&dest->d->destinations, dest, all);
    if (dest->poked)
        TAILQ_REMOVE(&dest->d->poked, dest, rotation);
    if (dest->failing)
        TAILQ_REMOVE(&dest->d->failing, dest, fail);
    rest_forget(dest);
    budget_forget(dest);
    waiting_free(dest);
    destination_forget_route(dest);
    intake_settings_unref(&dest->settings);
    free(dest->domain);
    free(dest->key);
    free(dest->reason);
    free(dest);
}

void destination_poke(struct destination *dest)
{
    if (!dest->poked) {
        dest->poked = true;
        TAILQ_INSERT_TAIL(&dest->d->poked, dest, rotation);
    }
    delivery_poke(dest->d);
}

/* ---- who waits
 * --------------------------------------------------------------------------------------------------------------- */

static void poke_idle(struct destination *dest)
{
    struct channel *ch;
    for (ch = TAILQ_FIRST(&dest->channels); ch != NULL; ch = TAILQ_NEXT(ch, mine)) {
        if (ch->job == NULL && ch->was_ready)
            channel_poke(ch);
    }
}

void destination_add(struct destination *dest, struct job *job, bool front)
{
    rest_forget(dest);
    destination_poke(dest);
    job->dest = dest;
    job->stage = JOB_WAITING;
    if (front && job->excuse != NULL) {
        waiting_add_elsewhere(dest, job);
    } else if (waiting_add(dest, job, front) < 0) {
        job_keep(job);
        return;
    }
    if (rest_holds(dest))
        rest_fail_waiting(dest);
    else
        poke_idle(dest);
}

struct job *destination_take(struct destination *dest)
{
    return rest_holds(dest) ? NULL : waiting_take(dest);
}

/* ---- the way there
 * ------------------------------------------------------------------------------------------------------------ */

void destination_target_failed(struct destination *dest, unsigned number, const struct smtp_verdict *v)
{
    if (dest->route != NULL)
        route_note(dest->route, v);
    if (number == dest->target_number)
        memset(&dest->target, 0, sizeof(dest->target));
    destination_poke(dest);
}

void destination_forget_route(struct destination *dest)
{
    route_free(&dest->route);
    set_resolving(dest, false);
    memset(&dest->target, 0, sizeof(dest->target));
}

/* Those that have been at every host get what they met there. */
static bool fail_elsewhere(struct destination *dest)
{
    struct job *job, *next;
    bool any = !TAILQ_EMPTY(&dest->elsewhere);
    for (job = TAILQ_FIRST(&dest->elsewhere); job != NULL; job = next) {
        next = TAILQ_NEXT(job, wait);
        waiting_remove(dest, job);
        job_fail_excused(job);
    }
    return any;
}

/* No address left.  Where connections live, the place stands no more than these.  Where the connection broke under a
 * message, it may have been the message: the others try from the first address again.  Otherwise nobody can be reached.
 */
static void at_end_of_route(struct destination *dest)
{
    struct smtp_verdict v = *route_verdict(dest->route);
    size_t live = dest->n_channels - dest->n_starting;
    if (live > 0) {
        dest->most_channels = live;
    } else if (!rest_asked_for(&v) && fail_elsewhere(dest)) {
        destination_forget_route(dest);
        destination_poke(dest);
        rest_broken(dest, &v);
    } else {
        rest_begin(dest, &v);
    }
}

/* Is there a target to connect to? */
static bool find_target(struct destination *dest)
{
    if (dest->target.address[0] != '\0')
        return true;
    if (dest->route == NULL && (dest->route = make_route(dest)) == NULL) {
        struct smtp_verdict v;
        smtp_verdict_set(&v, 451, "4.3.0", "out of memory");
        rest_begin(dest, &v);
        return false;
    }
    switch (route_next(dest->route, &dest->target)) {
    case ROUTE_TARGET:
        dest->target_number++;
        dest->target_proven = dest->target_clear = false;
        return true;
    case ROUTE_WAIT:
        set_resolving(dest, true);
        return false;
    case ROUTE_END:
        at_end_of_route(dest);
        return false;
    }
    return false;
}

static size_t allowed_channels(const struct destination *dest)
{
    size_t n = dest->failures > 0 ? 1 : dest->settings->config->delivery.connections_per_domain;
    if (dest->most_channels > 0 && dest->most_channels < n)
        n = dest->most_channels;
    return n;
}

/* Idle ones and those on their way will each take a message. */
static size_t coming(const struct destination *dest)
{
    size_t n = dest->n_starting;
    struct channel *ch;
    for (ch = TAILQ_FIRST(&dest->channels); ch != NULL; ch = TAILQ_NEXT(ch, mine)) {
        if (channel_is_idle(ch))
            n++;
    }
    return n;
}

static bool wants_channel(const struct destination *dest)
{
    return !rest_holds(dest) && dest->n_channels < allowed_channels(dest) && dest->n_waiting > coming(dest) &&
           (dest->n_starting == 0 || dest->target_proven);
}

bool destination_connect(struct destination *dest)
{
    if (!wants_channel(dest) || !find_target(dest))
        return false;
    channel_open(dest);
    return wants_channel(dest);
}

void destination_step(struct destination *dest)
{
    if (dest->n_channels == 0 && dest->most_channels > 0) {
        dest->most_channels = 0; /* what it stood is history: from the first address again */
        fail_elsewhere(dest);
        destination_forget_route(dest);
    }
    if (wants_channel(dest))
        budget_want(dest);
    else
        budget_forget(dest);
    if (dest->n_waiting == 0 && dest->n_channels == 0 && !dest->failing)
        rest_leave(dest);
}
