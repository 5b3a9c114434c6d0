/* delivery/outcome.c - what becomes of each recipient: judged, reported, logged, and written back to the queue.
 *
 *   verdicts -> judge -> [header of the message] -> [DSN about failures] -> [DSN about delays] -> queue_finish
 *
 * A failed recipient leaves the queue in the very commit that brings in the DSN about it; while that cannot be made, it
 * stays. */
#include "internal.h"

#include "dsn.h"

#include <stdlib.h>
#include <string.h>

enum { DSN_HEADER_MAX = 32 * 1024, DSN_MAX = 1024 * 1024, NOTE_MAX = 4000, REPLY_MAX = 512 };

enum outcome_step { STEP_JUDGE = 0, STEP_HEADER, STEP_FAILURES, STEP_DELAYS, STEP_FINISH };

static void next_step(struct job *job);

/* ---- log: each event has its one writer
 * ------------------------------------------------------------------------------------ */

static const char *reply_text(const struct smtp_verdict *v, char out[REPLY_MAX])
{
    snprintf(out, REPLY_MAX, "%d %s%s%s", v->code, v->enhanced, v->enhanced[0] == '\0' ? "" : " ", v->text);
    return out;
}

void outcome_log_delivered(const struct job *job, size_t index, const struct channel *ch)
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
    log_event(LOG_LEVEL_INFO, "deferred", LOG_STR("queue", job->item->id),
              LOG_PATH("to", slice_of(job->item->recipients[index].address)), LOG_STR("mx", job->recipients[index].mx),
              LOG_STR("reply", reply_text(&job->recipients[index].v, reply)), LOG_MSEC("next", next_ms));
}

static void log_failed(const struct job *job, size_t index)
{
    char reply[REPLY_MAX];
    const struct job_recipient *r = &job->recipients[index];
    log_event(LOG_LEVEL_WARN, r->expired ? "expired" : "bounced", LOG_STR("queue", job->item->id),
              LOG_PATH("to", slice_of(job->item->recipients[index].address)), LOG_STR("mx", r->mx),
              LOG_STR("reply", reply_text(&r->v, reply)));
}

static void log_dsn(const struct job *job, const char *id, enum dsn_kind kind)
{
    log_event(LOG_LEVEL_INFO, "dsn", LOG_STR("queue", id), LOG_STR("for", job->item->id),
              LOG_STR("kind", kind == DSN_FAILED ? "failed" : "delayed"),
              LOG_PATH("to", slice_of(job->item->bounce_to)));
}

static void log_dsn_failed(const struct job *job)
{
    log_event(LOG_LEVEL_ERROR, "dsn_failed", LOG_STR("queue", job->item->id));
}

/* ---- judging
 * ------------------------------------------------------------------------------------------------------------------ */

/* RFC 3461 5.2: may the sender be told of this?  A message without a return address is never bounced. */
static bool may_tell(const struct job *job, size_t index, unsigned what)
{
    unsigned notify = job->item->recipients[index].notify;
    if (job->item->bounce_to == NULL || job->item->bounce_to[0] == '\0')
        return false;
    return notify == SMTP_NOTIFY_DEFAULT || ((notify & what) != 0 && (notify & SMTP_NOTIFY_NEVER) == 0);
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
                  !job->item->recipients[index].warned && may_tell(job, index, SMTP_NOTIFY_DELAY);
    } else {
        r->fate = may_tell(job, index, SMTP_NOTIFY_FAILURE) ? FATE_TO_REPORT : FATE_UNTOLD;
    }
}

static bool belongs(const struct job_recipient *r, enum dsn_kind kind)
{
    return kind == DSN_FAILED ? r->fate == FATE_TO_REPORT : r->warn;
}

static size_t count(const struct job *job, enum dsn_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < job->item->n_recipients; i++)
        n += belongs(&job->recipients[i], kind);
    return n;
}

/* ---- the DSN
 * --------------------------------------------------------------------------------------------------------------------
 */

static void on_header(void *ctx, struct slice bytes)
{
    struct job *job = ctx;
    /* Without it the DSN says less, but it says what counts. */
    job->header = arena_copy(&job->mem, dsn_header_of(bytes, DSN_HEADER_MAX));
    next_step(job);
}

static void read_header(struct job *job)
{
    queue_read(job->queue, job->item, 0, on_header, job);
}

/* A domain of ours, so that the DSN can be signed: the sender's, else that of whom it is for, else the first. */
static const char *from_domain(const struct job *job)
{
    const struct config *c = job->d->settings->config;
    const char *addresses[] = {job->item->sender, job->item->bounce_to, job->item->user};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        const char *at = addresses[i] == NULL ? NULL : strrchr(addresses[i], '@');
        const struct config_domain *domain = at == NULL ? NULL : config_find_domain(c, slice_of(at + 1));
        if (domain != NULL)
            return domain->name;
    }
    return c->n_domains > 0 ? c->domains[0].name : c->hostname;
}

static int build(struct job *job, enum dsn_kind kind, int64_t *rows, struct strbuf *out)
{
    size_t n = 0;
    struct dsn_recipient *list = arena_alloc_array(&job->mem, count(job, kind), sizeof(*list));
    if (list == NULL)
        return -1;
    for (size_t i = 0; i < job->item->n_recipients; i++) {
        const struct job_recipient *r = &job->recipients[i];
        if (!belongs(r, kind))
            continue;
        rows[n] = job->item->recipients[i].row;
        list[n++] = (struct dsn_recipient){.address = job->item->recipients[i].address,
                                           .orcpt = job->item->recipients[i].orcpt,
                                           .v = &r->v,
                                           .mx = r->mx,
                                           .own_words = r->own_words,
                                           .expired = r->expired};
    }
    struct dsn dsn = {.kind = kind,
                      .hostname = job->d->settings->config->hostname,
                      .from_domain = from_domain(job),
                      .to = job->item->bounce_to,
                      .queue_id = job->item->id,
                      .envid = job->item->envid,
                      .message_id = job->item->message_id,
                      .created_ms = job->item->created_ms,
                      .now_ms = job_wall_ms(job),
                      .expires_ms = job->item->expires_ms,
                      .recipients = list,
                      .n_recipients = n,
                      .header = job->header};
    return dsn_build(&dsn, out);
}

static void dsn_done(struct job *job, enum dsn_kind kind, bool ok, const char *id)
{
    strbuf_free(&job->dsn);
    job->dsn_under_way = false;
    for (size_t i = 0; i < job->item->n_recipients; i++) {
        struct job_recipient *r = &job->recipients[i];
        if (!belongs(r, kind))
            continue;
        if (kind == DSN_FAILED)
            r->fate = ok ? FATE_REPORTED : FATE_DEFERRED;
        r->warned |= kind == DSN_DELAYED && ok;
        r->warn = false;
    }
    if (job->d == NULL) {
        outcome_finish(job);
        return;
    }
    if (ok)
        log_dsn(job, id, kind);
    else
        log_dsn_failed(job);
    next_step(job);
}

static void on_failure_dsn(void *ctx, bool ok, const char *id)
{
    dsn_done(ctx, DSN_FAILED, ok, id);
}

static void on_delay_dsn(void *ctx, bool ok, const char *id)
{
    dsn_done(ctx, DSN_DELAYED, ok, id);
}

static void submit_dsn(struct job *job, enum dsn_kind kind)
{
    struct delivery *d = job->d;
    size_t n = count(job, kind);
    int64_t *rows = arena_alloc_array(&job->mem, n, sizeof(*rows));
    job->dsn = STRBUF_INIT;
    job->dsn.max = DSN_MAX;
    if (rows == NULL || build(job, kind, rows, &job->dsn) < 0) {
        dsn_done(job, kind, false, NULL);
        return;
    }
    job->dsn_under_way = true;
    if (kind == DSN_FAILED)
        intake_dsn(d->deps.intake, d->settings, strbuf_slice(&job->dsn), slice_of(job->item->bounce_to), rows, n,
                   on_failure_dsn, job);
    else
        intake_dsn(d->deps.intake, d->settings, strbuf_slice(&job->dsn), slice_of(job->item->bounce_to), NULL, 0,
                   on_delay_dsn, job);
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
        warn |= !job->item->recipients[i].warned && may_tell(job, i, SMTP_NOTIFY_DELAY);
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
    strbuf_add_str(&note, job->via == NULL ? "" : job->via);
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
    /* Without memory for the results all are kept: twice delivered is better than lost. */
    queue_finish(job->queue, job->item, results, next_ms, note.n == 0 ? NULL : strbuf_str(&note));
    strbuf_free(&note);
}

void outcome_finish(struct job *job)
{
    strbuf_free(&job->dsn);
    if (job->loaded)
        finish_loaded(job);
    else
        queue_finish(job->queue, job->item, NULL, 0, NULL);
    job_free(&job);
}

/* ---- step by step
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

static void next_step(struct job *job)
{
    for (;;) {
        switch ((enum outcome_step)job->outcome_step++) {
        case STEP_JUDGE:
            judge_all(job);
            continue;
        case STEP_HEADER:
            if (count(job, DSN_FAILED) + count(job, DSN_DELAYED) == 0)
                continue;
            read_header(job);
            return;
        case STEP_FAILURES:
            if (count(job, DSN_FAILED) == 0)
                continue;
            submit_dsn(job, DSN_FAILED);
            return;
        case STEP_DELAYS:
            if (count(job, DSN_DELAYED) == 0)
                continue;
            submit_dsn(job, DSN_DELAYED);
            return;
        case STEP_FINISH:
            outcome_finish(job);
            return;
        }
    }
}

void outcome_settle(struct job *job)
{
    job->stage = JOB_SETTLING;
    job->dest = NULL;
    if (job->loaded)
        next_step(job);
    else if (job->failure != NULL)
        job_load(job); /* and comes back here */
    else
        outcome_finish(job);
}
