/* delivery/rest.c - a place that cannot be reached, or asks for less, is left alone for a while.
 *
 *   unreachable   no host could be connected to, none greeted us, DNS failed, or the connection broke under several
 *                 messages in a row: rests somewhat shorter than the first retry, so that the first one that comes due
 *                 finds out for all
 *   slow          a provider asked for less (rest_asked_for): rests as long as the second retry
 *
 * and longer each time, as the retries do.  What comes due meanwhile is deferred with the reason, without a
 * connection.  After a rest there is one connection until a message is answered; then all that waits is due at once. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNREACHABLE_MAX_MS = 10 * 60 * 1000,
    SLOW_MAX_MS = 60 * 60 * 1000,
    BROKEN_MAX = 3,    /* messages in a row */
    SETTLING_MAX = 64, /* jobs that are being failed at a time: they are in memory as a whole */
    REMEMBERED_MAX = 1000,
    FLOOD = 28 /* X.7.28, "mail flood detected" (IANA's registry of RFC 5248); what stands below is about one message */
};

bool rest_asked_for(const struct smtp_verdict *v)
{
    bool security = strncmp(v->enhanced, "4.7.", 4) == 0;
    if (v->code == 421) /* but a server that restarts, or lost its patience, asks for nothing */
        return security || v->enhanced[0] == '\0';
    return security && strtol(v->enhanced + 4, NULL, 10) >= FLOOD;
}

bool rest_holds(const struct destination *dest)
{
    return dest->reason != NULL && (dest->failing || clock_mono_ms() < dest->rests_until_ms);
}

static int64_t retry_ms(const struct destination *dest, unsigned i)
{
    const struct config *c = dest->settings->config;
    if (c->queue.n_retry == 0)
        return 60 * 1000;
    return c->queue.retry_s[i < c->queue.n_retry ? i : c->queue.n_retry - 1] * 1000;
}

static int64_t rest_ms(const struct destination *dest)
{
    int64_t max_ms = dest->slow ? SLOW_MAX_MS : UNREACHABLE_MAX_MS;
    int64_t ms = dest->slow ? retry_ms(dest, dest->failures) : retry_ms(dest, dest->failures - 1) * 3 / 4;
    return ms < max_ms ? ms : max_ms;
}

static void log_rest(const struct destination *dest, const struct smtp_verdict *v, int64_t ms)
{
    log_event(LOG_LEVEL_INFO, "resting", LOG_STR("destination", dest->key),
              LOG_STR("why", dest->slow ? "slow" : "unreachable"), LOG_NUM("code", v->code),
              LOG_STR("status", v->enhanced), LOG_STR("reply", v->text), LOG_MSEC("next", ms));
}

void rest_fail_waiting(struct destination *dest)
{
    if (!dest->failing && dest->n_waiting > 0) {
        dest->failing = true;
        TAILQ_INSERT_TAIL(&dest->d->failing, dest, fail);
        delivery_poke(dest->d);
    }
}

static void keep_waiting(struct destination *dest)
{
    struct job *job;
    while ((job = waiting_take(dest)) != NULL)
        job_keep(job);
}

void rest_begin(struct destination *dest, const struct smtp_verdict *v)
{
    if (dest->reason == NULL && (dest->reason = malloc(sizeof(*dest->reason))) == NULL) {
        keep_waiting(dest);
        return;
    }
    *dest->reason = *v; /* *v may be the route's */
    destination_forget_route(dest);
    dest->rests_until_ms = 0;
    dest->n_first_hand = dest->n_waiting;
    if (smtp_is_temporary(v)) {
        dest->slow = rest_asked_for(v);
        dest->failures++;
        int64_t ms = rest_ms(dest);
        dest->rests_until_ms = clock_mono_ms() + ms;
        log_rest(dest, dest->reason, ms);
    }
    rest_fail_waiting(dest);
    destination_poke(dest);
}

void rest_broken(struct destination *dest, const struct smtp_verdict *v)
{
    if (++dest->broken >= BROKEN_MAX && !rest_holds(dest))
        rest_begin(dest, v);
}

void rest_urge(struct destination *dest, uint32_t urgent)
{
    if (urgent == 0 || urgent == dest->urged)
        return;
    dest->urged = urgent;
    if (!dest->failing)
        dest->rests_until_ms = 0;
}

static bool serves(void *ctx, const char *domain)
{
    return destination_serves(ctx, domain);
}

void rest_over(struct destination *dest)
{
    struct delivery *d = dest->d;
    dest->broken = 0;
    if (dest->failures == 0 || rest_holds(dest)) /* an older connection may still go on; that proves nothing */
        return;
    dest->failures = 0;
    log_event(LOG_LEVEL_INFO, "rested", LOG_STR("destination", dest->key));
    if (!dest->slow) /* all at once is what that one did not want */
        queue_hasten(d->deps.queue, serves, dest);
    destination_poke(dest);
}

/* ---- telling those that wait --------------------------------------------------------------------------------- */

static void fail_one(struct destination *dest, struct job *job)
{
    struct smtp_verdict v = *dest->reason;
    bool first_hand = dest->n_first_hand > 0;
    dest->n_first_hand -= first_hand;
    if (!first_hand)
        smtp_verdict_set(&v, v.code, dest->reason->enhanced, "not tried again yet: %s", dest->reason->text);
    job->not_before_ms = dest->rests_until_ms;
    job->counted = true;
    dest->d->n_settling++;
    if (job->excuse != NULL)
        job_fail_excused(job);
    else
        job_fail(job, &v);
}

static void done_failing(struct destination *dest)
{
    TAILQ_REMOVE(&dest->d->failing, dest, fail);
    dest->failing = false;
    dest->n_first_hand = 0;
    destination_poke(dest);
}

/* One of each place in turn. */
void rest_step(struct delivery *d)
{
    struct destination *dest;
    while (d->n_settling < SETTLING_MAX && (dest = TAILQ_FIRST(&d->failing)) != NULL) {
        struct job *job = waiting_take(dest);
        if (job == NULL) {
            done_failing(dest);
            continue;
        }
        TAILQ_REMOVE(&d->failing, dest, fail);
        TAILQ_INSERT_TAIL(&d->failing, dest, fail);
        fail_one(dest, job);
    }
}

/* ---- remembering ----------------------------------------------------------------------------------------------- */

void rest_forget(struct destination *dest)
{
    if (!dest->remembered)
        return;
    dest->remembered = false;
    dest->d->n_remembered--;
    TAILQ_REMOVE(&dest->d->remembered, dest, memory);
}

void rest_leave(struct destination *dest)
{
    struct delivery *d = dest->d;
    if (dest->failures == 0 || d->stopping || dest->settings->config != d->settings->config) {
        destination_free(&dest);
        return;
    }
    if (dest->remembered)
        return;
    dest->remembered = true;
    TAILQ_INSERT_TAIL(&d->remembered, dest, memory);
    if (++d->n_remembered > REMEMBERED_MAX) {
        struct destination *oldest = TAILQ_FIRST(&d->remembered);
        destination_free(&oldest);
    }
}
