/* delivery/destination.c - one place that mail goes to: who waits for it, the way there, and the connections to it.
 *
 * New connections go to one target.  Until a session was ready there only one is tried; when it does not do, the route
 * gives the next.  When the route is at its end and nothing is connected, all that wait get its verdict. */
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

static void on_wake(void *ctx)
{
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

static struct destination **bucket_of(struct delivery *d, const char *key)
{
    uint32_t hash =
        2166136261U; /* FNV-1a: domains to buckets; a flood of chosen names costs a list walk each, no more */
    for (const char *p = key; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619U;
    return &d->buckets[hash % DESTINATION_BUCKETS];
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
    TAILQ_INIT(&dest->waiting);
    TAILQ_INIT(&dest->channels);
    TAILQ_INSERT_TAIL(&d->destinations, dest, all);
    struct destination **bucket = bucket_of(d, key);
    dest->next_in_bucket = *bucket;
    *bucket = dest;
    return dest;
}

/* After a reload new items do not join a destination that was made from the old configuration. */
struct destination *destination_get(struct delivery *d, const char *domain)
{
    char key[DOMAIN_MAX + 16];
    const struct config_route *route = route_override(d->settings->config, domain);
    if (route != NULL)
        snprintf(key, sizeof(key), "%s:%u", route->host, (unsigned)route->port);
    else
        snprintf(key, sizeof(key), "%s", domain);
    for (struct destination *dest = *bucket_of(d, key); dest != NULL; dest = dest->next_in_bucket)
        if (strcmp(dest->key, key) == 0 && dest->settings == d->settings)
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
    route_free(&dest->route);
    intake_settings_unref(&dest->settings);
    free(dest->domain);
    free(dest->key);
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
    job->dest = dest;
    job->stage = JOB_WAITING;
    if (front)
        TAILQ_INSERT_HEAD(&dest->waiting, job, wait);
    else
        TAILQ_INSERT_TAIL(&dest->waiting, job, wait);
    dest->n_waiting++;
    poke_idle(dest);
    destination_poke(dest);
}

void destination_remove(struct destination *dest, struct job *job)
{
    TAILQ_REMOVE(&dest->waiting, job, wait);
    dest->n_waiting--;
}

struct job *destination_take(struct destination *dest)
{
    struct job *job = TAILQ_FIRST(&dest->waiting);
    if (job != NULL)
        destination_remove(dest, job);
    return job;
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

static void forget_route(struct destination *dest)
{
    route_free(&dest->route);
    memset(&dest->target, 0, sizeof(dest->target));
}

static void fail_waiting(struct destination *dest, const struct smtp_verdict *v)
{
    struct smtp_verdict copy = *v;
    struct job *job;
    forget_route(dest);
    while ((job = destination_take(dest)) != NULL)
        job_fail(job, &copy);
}

/* No address left.  Where connections live, the place stands no more than these; otherwise nobody can be reached. */
static void at_end_of_route(struct destination *dest)
{
    size_t live = dest->n_channels - dest->n_starting;
    if (live > 0)
        dest->most_channels = live;
    else
        fail_waiting(dest, route_verdict(dest->route));
}

/* Is there a target to connect to? */
static bool find_target(struct destination *dest)
{
    if (dest->target.address[0] != '\0')
        return true;
    if (dest->route == NULL && (dest->route = make_route(dest)) == NULL) {
        struct smtp_verdict v;
        smtp_verdict_set(&v, 451, "4.3.0", "out of memory");
        fail_waiting(dest, &v);
        return false;
    }
    switch (route_next(dest->route, &dest->target)) {
    case ROUTE_TARGET:
        dest->target_number++;
        dest->target_proven = dest->target_clear = false;
        return true;
    case ROUTE_WAIT:
        return false;
    case ROUTE_END:
        at_end_of_route(dest);
        return false;
    }
    return false;
}

static size_t allowed_channels(const struct destination *dest)
{
    size_t n = dest->settings->config->delivery.connections_per_domain;
    if (dest->most_channels > 0 && dest->most_channels < n)
        n = dest->most_channels;
    return n;
}

static bool is_idle(const struct channel *ch)
{
    return ch->job == NULL && ch->link != NULL && delivery_session_state(ch->session) == DELIVERY_IDLE;
}

/* Idle ones and those on their way will each take a message. */
static size_t coming(const struct destination *dest)
{
    size_t n = dest->n_starting;
    struct channel *ch;
    for (ch = TAILQ_FIRST(&dest->channels); ch != NULL; ch = TAILQ_NEXT(ch, mine)) {
        if (is_idle(ch))
            n++;
    }
    return n;
}

static bool wants_channel(const struct destination *dest)
{
    return dest->n_channels < allowed_channels(dest) && dest->n_waiting > coming(dest) &&
           (dest->n_starting == 0 || dest->target_proven);
}

/* A channel that serves nobody makes room where others wait. */
static void free_idle_channel(struct delivery *d)
{
    struct channel *ch;
    for (ch = TAILQ_FIRST(&d->channels); ch != NULL; ch = TAILQ_NEXT(ch, all)) {
        if (is_idle(ch) && ch->dest->n_waiting == 0) {
            delivery_session_quit(ch->session, clock_mono_ms());
            return;
        }
    }
}

bool destination_step(struct destination *dest)
{
    struct delivery *d = dest->d;
    if (dest->n_channels == 0 && dest->most_channels > 0) {
        dest->most_channels = 0; /* what it stood is history: from the first address again */
        forget_route(dest);
    }
    while (wants_channel(dest)) {
        if (d->n_channels >= dest->settings->config->delivery.connections) {
            free_idle_channel(d);
            return false;
        }
        if (!find_target(dest))
            break;
        channel_open(dest);
    }
    if (dest->n_waiting == 0 && dest->n_channels == 0)
        destination_free(&dest);
    return true;
}
