/* delivery/manager.c - the door of the manager, and the tick in which everything happens. */
#include "internal.h"

#include "dsn_limit.h"

#include <event2/event.h>
#include <event2/util.h>

#include <stdlib.h>

enum { WATCH_S = 10, OVERDUE_MAX = 100 };

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

static void step_destinations(struct delivery *d)
{
    struct destination *dest;
    while ((dest = TAILQ_FIRST(&d->poked)) != NULL) {
        TAILQ_REMOVE(&d->poked, dest, rotation);
        dest->poked = false;
        destination_step(dest);
    }
}

/* Has its time come while it waits: to be told of as delayed, or to expire? */
static bool overdue(const struct job *job)
{
    const struct queue_item *item = job->item;
    int64_t warn_after_ms = job->d->settings->config->queue.warn_after_s * 1000;
    int64_t now_ms = job_wall_ms(job), waits_ms = clock_mono_ms() - job->came_ms;
    if (job->stage != JOB_WAITING || job->loading)
        return false;
    if (now_ms >= item->expires_ms)
        return true;
    int64_t late_ms = now_ms - item->created_ms - warn_after_ms; /* since the warning was due */
    return warn_after_ms > 0 && late_ms >= 0 && late_ms < waits_ms;
}

static void fail_overdue(struct job *job)
{
    struct smtp_verdict v;
    smtp_verdict_set(&v, 451, "4.4.5", "%s takes messages slowly: the turn of this one has not come", job->dest->key);
    waiting_remove(job->dest, job);
    job_fail(job, &v);
}

/* A place that is slow, but never fails, can have messages wait here for days. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct delivery *d = arg;
    struct job *job, *next;
    int left = OVERDUE_MAX;
    (void)fd;
    (void)what;
    for (job = TAILQ_FIRST(&d->jobs); job != NULL && left > 0; job = next) {
        next = TAILQ_NEXT(job, all);
        if (overdue(job)) {
            fail_overdue(job);
            left--;
        }
    }
    struct timeval tv = {.tv_sec = left > 0 ? WATCH_S : 1};
    event_add(d->watch, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct delivery *d = arg;
    (void)fd;
    (void)what;
    step_channels(d);
    step_destinations(d);
    budget_step(d);
    rest_step(d);
    if (d->stopped != NULL && d->n_channels == 0 && TAILQ_EMPTY(&d->jobs)) {
        void (*stopped)(void *) = d->stopped;
        d->stopped = NULL;
        stopped(d->stopped_ctx); /* may free d */
    }
}

static void free_events(struct delivery *d)
{
    if (d->tick != NULL)
        event_free(d->tick);
    if (d->watch != NULL)
        event_free(d->watch);
}

int delivery_new(const struct delivery_deps *deps, struct intake_settings *settings, struct delivery **ret,
                 struct err *err)
{
    struct delivery *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(err, "out of memory");
    d->deps = *deps;
    d->tick = event_new(deps->base, -1, 0, on_tick, d);
    d->watch = event_new(deps->base, -1, 0, on_watch, d);
    if (d->tick == NULL || d->watch == NULL) {
        free_events(d);
        free(d);
        return err_set(err, "out of memory");
    }
    d->settings = intake_settings_ref(settings);
    TAILQ_INIT(&d->jobs);
    TAILQ_INIT(&d->destinations);
    TAILQ_INIT(&d->poked);
    TAILQ_INIT(&d->failing);
    budget_init(d);
    TAILQ_INIT(&d->remembered);
    TAILQ_INIT(&d->channels);
    TAILQ_INIT(&d->poked_channels);
    struct timeval tv = {.tv_sec = WATCH_S};
    event_add(d->watch, &tv);
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
    if (dest == NULL && job != NULL) {
        job_keep(job);
    } else if (dest == NULL) {
        queue_finish(d->deps.queue, item, NULL, 0, NULL);
    } else {
        rest_urge(dest, item->urgent);
        destination_add(dest, job, false);
    }
}

/* Destinations that exist keep the configuration they began with, which they hold a reference to. */
void delivery_reconfigure(struct delivery *d, struct intake_settings *settings)
{
    struct intake_settings *old = d->settings;
    bool same = settings->config == old->config;
    d->settings = intake_settings_ref(settings);
    intake_settings_unref(&old);
    struct destination *dest;
    while (!same && (dest = TAILQ_FIRST(&d->remembered)) != NULL)
        destination_free(&dest);
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
        while ((job = waiting_take(dest)) != NULL)
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
    dsn_limit_free(&d->dsn_limit);
    free(d->deferrals);
    intake_settings_unref(&d->settings);
    free_events(d);
    free(d);
}
