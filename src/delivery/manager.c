/* delivery/manager.c - the door of the manager, and the tick in which everything happens. */
#include "internal.h"

#include <event2/event.h>
#include <event2/util.h>

#include <stdlib.h>

void delivery_poke(struct delivery *d)
{
    event_active(d->tick, EV_TIMEOUT, 0);
}

static void step_channels(struct delivery *d)
{
    struct channel *ch;
    while ((ch = TAILQ_FIRST(&d->poked_channels)) != NULL) {
        TAILQ_REMOVE(&d->poked_channels, ch, poke);
        ch->poked = false;
        channel_step(ch);
    }
}

/* One after the other, each as far as it may.  Those that found all connections in use stay in front, in their order.
 */
static void step_destinations(struct delivery *d)
{
    struct destination *dest;
    while ((dest = TAILQ_FIRST(&d->poked)) != NULL) {
        TAILQ_REMOVE(&d->poked, dest, rotation);
        dest->poked = false;
        if (destination_step(dest))
            continue;
        if (dest->poked)
            TAILQ_REMOVE(&d->poked, dest, rotation);
        TAILQ_INSERT_HEAD(&d->poked, dest, rotation);
        dest->poked = true;
        break;
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct delivery *d = arg;
    (void)fd;
    (void)what;
    step_channels(d);
    step_destinations(d);
    if (d->stopped != NULL && d->n_channels == 0 && TAILQ_EMPTY(&d->jobs)) {
        void (*stopped)(void *) = d->stopped;
        d->stopped = NULL;
        stopped(d->stopped_ctx); /* may free d */
    }
}

int delivery_new(const struct delivery_deps *deps, struct intake_settings *settings, struct delivery **ret,
                 struct err *err)
{
    struct delivery *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(err, "out of memory");
    d->deps = *deps;
    d->tick = event_new(deps->base, -1, 0, on_tick, d);
    if (d->tick == NULL) {
        free(d);
        return err_set(err, "out of memory");
    }
    d->settings = intake_settings_ref(settings);
    TAILQ_INIT(&d->jobs);
    TAILQ_INIT(&d->destinations);
    TAILQ_INIT(&d->poked);
    TAILQ_INIT(&d->channels);
    TAILQ_INIT(&d->poked_channels);
    *ret = d;
    return 0;
}

void delivery_item_due(void *delivery, struct queue_item *item)
{
    struct delivery *d = delivery;
    if (d->stopping) {
        queue_finish(d->deps.queue, item, NULL, 0, NULL);
        return;
    }
    struct job *job = job_new(d, item);
    struct destination *dest = job == NULL ? NULL : destination_get(d, item->domain);
    if (dest == NULL && job != NULL)
        job_keep(job);
    else if (dest == NULL)
        queue_finish(d->deps.queue, item, NULL, 0, NULL);
    else
        destination_add(dest, job, false);
}

/* Destinations that exist keep the configuration they began with, which they hold a reference to. */
void delivery_reconfigure(struct delivery *d, struct intake_settings *settings)
{
    struct intake_settings *old = d->settings;
    d->settings = intake_settings_ref(settings);
    intake_settings_unref(&old);
}

void delivery_stop(struct delivery *d, void (*done)(void *ctx), void *ctx)
{
    struct destination *dest;
    struct channel *ch;
    struct job *job;
    d->stopping = true;
    d->stopped = done;
    d->stopped_ctx = ctx;
    for (dest = TAILQ_FIRST(&d->destinations); dest != NULL; dest = TAILQ_NEXT(dest, all)) {
        while ((job = destination_take(dest)) != NULL)
            job_keep(job);
        destination_poke(dest);
    }
    for (ch = TAILQ_FIRST(&d->channels); ch != NULL; ch = TAILQ_NEXT(ch, all)) {
        channel_poke(ch);
    }
    delivery_poke(d);
}

size_t delivery_connections(const struct delivery *d)
{
    return d->n_channels;
}

void delivery_free(struct delivery **pd)
{
    struct delivery *d = *pd;
    if (d == NULL)
        return;
    *pd = NULL;
    struct channel *ch;
    struct job *job, *next;
    struct destination *dest;
    while ((ch = TAILQ_FIRST(&d->channels)) != NULL)
        channel_free(&ch);
    for (job = TAILQ_FIRST(&d->jobs); job != NULL; job = next) {
        next = TAILQ_NEXT(job, all);
        TAILQ_REMOVE(&d->jobs, job, all);
        job->d = NULL;
        job->dest = NULL;
        if (!job->dsn_under_way)
            outcome_finish(job);
    }
    while ((dest = TAILQ_FIRST(&d->destinations)) != NULL)
        destination_free(&dest);
    intake_settings_unref(&d->settings);
    event_free(d->tick);
    free(d);
}
