/* delivery/outcome.c - what becomes of each recipient: judged, logged, and written back to the queue.
 *
 *   verdicts -> judge -> report.c: the sender is told -> queue_finish
 *
 * A failed recipient leaves the queue in the very commit that brings in the DSN about it; while that cannot be made, it
 * stays. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { NOTE_MAX = 4000, REPLY_MAX = 512 };

/* ---- log: each event has its one writer
 * ------------------------------------------------------------------------------------ */

static const char *reply_text(const struct smtp_verdict *v, char out[REPLY_MAX])
{
    snprintf(out, REPLY_MAX, "%d %s%s%s", v->code, v->enhanced, v->enhanced[0] == '\0' ? "" : " ", v->text);
    return out;
}

static void log_delivered(const struct job *job, size_t index, const struct channel *ch)
{
    char reply[REPLY_MAX];
    const struct queue_item *item = job->item;
    log_event(LOG_LEVEL_INFO, "delivered", LOG_STR("queue", item->id),
              LOG_PATH("to", slice_of(item->recipients[index].address)), LOG_STR("mx", ch->target.host),
              LOG_STR("ip", ch->target.address), LOG_STR("tls", channel_tls(ch)), LOG_STR("policy", ch->policy.name),
              LOG_STR("reply", reply_text(&job->recipients[index].v, reply)),
              LOG_MSEC("delay", job_wall_ms(job) - item->created_ms));
}

static void log_deferred(const struct job *job, size_t index, int64_t next_ms)
{
    char reply[REPLY_MAX];
    reply_text(&job->recipients[index].v, reply);
    if (job->d != NULL) {
        job->d->counts.deferred++;
        deferrals_note(job->d, job->item->domain, reply);
    }
    log_event(LOG_LEVEL_INFO, "deferred", LOG_STR("queue", job->item->id),
              LOG_PATH("to", slice_of(job->item->recipients[index].address)), LOG_STR("mx", job->recipients[index].mx),
              LOG_STR("reply", reply), LOG_MSEC("next", next_ms));
}

static void log_failed(const struct job *job, size_t index)
{
    char reply[REPLY_MAX];
    const struct job_recipient *r = &job->recipients[index];
    if (job->d != NULL && r->expired)
        job->d->counts.expired++;
    else if (job->d != NULL)
        job->d->counts.bounced++;
    log_event(LOG_LEVEL_WARN, r->expired ? "expired" : "bounced", LOG_STR("queue", job->item->id),
              LOG_PATH("to", slice_of(job->item->recipients[index].address)), LOG_STR("mx", r->mx),
              LOG_STR("reply", reply_text(&r->v, reply)),
              LOG_STR("told", r->fate == FATE_REPORTED ? "sender" : "nobody"));
}

/* ---- judging
 * ------------------------------------------------------------------------------------------------------------------ */

/* RFC 3461 5.2.2: a server that offers DSN answers for NOTIFY=SUCCESS itself from here on; for another we say that it
 * was relayed, if that was asked for. */
void outcome_delivered(struct job *job, size_t index, const struct channel *ch)
{
    struct job_recipient *r = &job->recipients[index];
    r->fate = FATE_DELIVERED;
    job->d->counts.delivered[strcmp(channel_tls(ch), "none") != 0]++;
    r->relayed = !delivery_session_extensions(ch->session)->dsn && report_may_tell(job, index, SMTP_NOTIFY_SUCCESS);
    log_delivered(job, index, ch);
}

static void judge(struct job *job, size_t index)
{
    struct job_recipient *r = &job->recipients[index];
    const struct config *c = job->d->settings->config;
    int64_t now_ms = job_wall_ms(job);
    if (r->v.code == 0 || r->fate == FATE_DELIVERED)
        return;
    bool temporary = !smtp_is_permanent(&r->v);
    r->expired = temporary && now_ms >= job->item->expires_ms;
    if (temporary && !r->expired) {
        r->fate = FATE_DEFERRED;
        r->warn = c->queue.warn_after_s > 0 && now_ms - job->item->created_ms >= c->queue.warn_after_s * 1000 &&
                  !job->item->recipients[index].warned && report_may_tell(job, index, SMTP_NOTIFY_DELAY);
    } else {
        r->fate = report_may_tell(job, index, SMTP_NOTIFY_FAILURE) ? FATE_TO_REPORT : FATE_UNTOLD;
    }
}

/* ---- back to the queue
 * ----------------------------------------------------------------------------------------------------------- */

static enum queue_outcome queue_outcome_of(enum fate fate)
{
    switch (fate) {
    case FATE_DELIVERED:
        return QUEUE_DELIVERED;
    case FATE_DEFERRED:
        return QUEUE_DEFERRED;
    case FATE_UNTOLD:
        return QUEUE_FAILED_NO_DSN;
    case FATE_REPORTED:
        return QUEUE_CLOSED;
    case FATE_OPEN:
    case FATE_TO_REPORT:
        return QUEUE_KEEP;
    }
    return QUEUE_KEEP;
}

/* No sooner than its destination may be tried again, and in time: for the warning that is due, and for its end. */
static int64_t fit_delay(const struct job *job, int64_t delay_ms, bool warn)
{
    const struct queue_item *item = job->item;
    int64_t warn_after_ms = job->d->settings->config->queue.warn_after_s * 1000;
    int64_t now_ms = job_wall_ms(job), rest_ms = job->not_before_ms - clock_mono_ms();
    if (delay_ms < rest_ms)
        delay_ms = rest_ms + (rest_ms * (item->message_row % 16)) / 160; /* spread over a tenth */
    if (warn && now_ms < item->created_ms + warn_after_ms && item->created_ms + warn_after_ms < now_ms + delay_ms)
        delay_ms = item->created_ms + warn_after_ms - now_ms;
    if (now_ms < item->expires_ms && item->expires_ms < now_ms + delay_ms)
        delay_ms = item->expires_ms - now_ms;
    return delay_ms;
}

/* One delay for all that are deferred: they were tried together, and the log says what the store does. */
static int64_t retry_delay(const struct job *job)
{
    unsigned attempts = 0;
    bool any = false, warn = false;
    for (size_t i = 0; i < job->item->n_recipients; i++) {
        if (job->recipients[i].fate != FATE_DEFERRED)
            continue;
        any = true;
        if (job->item->recipients[i].attempts >= attempts)
            attempts = job->item->recipients[i].attempts + 1;
        warn |= !job->item->recipients[i].warned && report_may_tell(job, i, SMTP_NOTIFY_DELAY);
    }
    if (!any)
        return 0;
    int64_t delay_ms = queue_retry_delay_ms(job->queue, attempts);
    return job->d == NULL ? delay_ms : fit_delay(job, delay_ms, warn);
}

static void log_outcome(const struct job *job, size_t index, int64_t next_ms)
{
    switch (job->recipients[index].fate) {
    case FATE_DEFERRED:
        log_deferred(job, index, next_ms);
        break;
    case FATE_UNTOLD:
    case FATE_REPORTED:
        log_failed(job, index);
        break;
    case FATE_OPEN:
    case FATE_DELIVERED: /* said already */
    case FATE_TO_REPORT:
        break;
    }
}

/* "mx=... ip=... tls=...; <to> 250 2.0.0 ok; ..." */
static void add_note(const struct job *job, size_t index, struct strbuf *note)
{
    char reply[REPLY_MAX];
    const struct job_recipient *r = &job->recipients[index];
    if (r->v.code == 0)
        return;
    strbuf_addf(note, "%s<%s> %s", note->n == 0 ? "" : "; ", job->item->recipients[index].address,
                reply_text(&r->v, reply));
}

static void finish_loaded(struct job *job)
{
    size_t n = job->item->n_recipients;
    struct queue_result *results = arena_alloc_array(&job->mem, n, sizeof(*results));
    struct strbuf note = {.max = NOTE_MAX};
    int64_t next_ms = retry_delay(job);
    if (job->via != NULL)
        strbuf_addf(&note, "%s took=%d.%03ds", job->via, (int)(job->took_ms / 1000), (int)(job->took_ms % 1000));
    for (size_t i = 0; i < n; i++) {
        char reply[REPLY_MAX];
        struct job_recipient *r = &job->recipients[i];
        log_outcome(job, i, next_ms);
        add_note(job, i, &note);
        if (results == NULL)
            continue;
        results[i] = (struct queue_result){.outcome = queue_outcome_of(r->fate), .warned = r->warned};
        if (r->v.code != 0)
            results[i].reply = arena_strdup(&job->mem, slice_of(reply_text(&r->v, reply)));
    }
    struct strbuf told = STRBUF_INIT;
    strbuf_addf(&told, "%s%s", strbuf_str(&note), strbuf_str(&job->told));
    /* Without memory for the results all are kept: twice delivered is better than lost. */
    queue_finish(job->queue, job->item, results, next_ms, told.n == 0 ? NULL : strbuf_str(&told));
    strbuf_free(&told);
    strbuf_free(&note);
}

void outcome_finish(struct job *job)
{
    strbuf_free(&job->dsn);
    strbuf_free(&job->content);
    if (job->loaded)
        finish_loaded(job);
    else
        queue_finish(job->queue, job->item, NULL, 0, NULL);
    strbuf_free(&job->told);
    job_free(&job);
}

/* ---- all together
 * -------------------------------------------------------------------------------------------------------------------
 */

static void judge_all(struct job *job)
{
    for (size_t i = 0; i < job->item->n_recipients; i++) {
        if (job->recipients[i].v.code == 0 && job->failure != NULL) {
            job->recipients[i].v = *job->failure;
            job->recipients[i].own_words = job->failure_own_words;
            job->recipients[i].mx = job->excuse != NULL ? job->mx : NULL;
        }
        judge(job, i);
    }
}

void outcome_settle(struct job *job)
{
    job->stage = JOB_SETTLING;
    job->dest = NULL;
    if (job->loaded) {
        judge_all(job);
        report_start(job);
    } else if (job->failure != NULL) {
        job_load(job); /* and comes back here */
    } else {
        outcome_finish(job);
    }
}
