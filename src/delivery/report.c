/* delivery/report.c - the sender is told: one DSN for all recipients of a job to whom the same happened.
 *
 *   failed   leave the queue in the very commit that brings in the DSN about them
 *   delayed  once a recipient
 *   relayed  when it was asked for (NOTIFY=SUCCESS) and the next server will not tell (RFC 3461 5.2.2)
 *
 * What cannot be told now (the DSN cannot be signed or stored, or the user has caused too many) stays in the queue and
 * is tried again, which asks the server again too.  That ends when the message is twice as old as it may become: then
 * nobody could be told for days, and only the log tells. */
#include "internal.h"

#include "dsn.h"
#include "dsn_limit.h"

#include <string.h>

enum { HEADER_OCTETS = 40 * 1024 }; /* that are read when only the header is returned: it, and some text */

static void next_step(struct job *job);

static const char *const kind_names[DSN_KINDS] = {
    [DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_RELAYED] = "relayed"};

/* ---- log
 * ---------------------------------------------------------------------------------------------------------------- */

static void log_dsn(const struct job *job, const char *id)
{
    log_event(LOG_LEVEL_INFO, "dsn", LOG_STR("queue", id), LOG_STR("for", job->item->id),
              LOG_STR("kind", kind_names[job->report_kind]), LOG_PATH("to", slice_of(job->item->bounce_to)));
}

static void log_dsn_failed(const struct job *job, const char *reason, bool again)
{
    log_event(again ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "dsn_failed", LOG_STR("queue", job->item->id),
              LOG_STR("kind", kind_names[job->report_kind]), LOG_PATH("to", slice_of(job->item->bounce_to)),
              LOG_STR("reason", reason), LOG_STR("result", again ? "later" : "never"));
}

/* ---- who is told of what
 * -------------------------------------------------------------------------------------------------- */

/* RFC 3461 4.1, 5.2: what the client asked for, failures and delays if it did not.  A message without a return address
 * is never told of. */
bool report_may_tell(const struct job *job, size_t index, unsigned what)
{
    unsigned notify = job->item->recipients[index].notify;
    if (job->item->bounce_to == NULL || job->item->bounce_to[0] == '\0' || notify & SMTP_NOTIFY_NEVER)
        return false;
    return notify == SMTP_NOTIFY_DEFAULT ? what != SMTP_NOTIFY_SUCCESS : (notify & what) != 0;
}

static bool belongs(const struct job_recipient *r, enum dsn_kind kind)
{
    switch (kind) {
    case DSN_FAILED:
        return r->fate == FATE_TO_REPORT;
    case DSN_DELAYED:
        return r->warn;
    case DSN_RELAYED:
        return r->relayed;
    case DSN_KINDS:
        break;
    }
    return false;
}

static size_t count(const struct job *job, enum dsn_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < job->item->n_recipients && n < DSN_RECIPIENTS_MAX; i++)
        n += belongs(&job->recipients[i], kind);
    return n;
}

/* Is it too late to keep a recipient for the mere sake of telling? */
static bool given_up(const struct job *job)
{
    const struct queue_item *item = job->item;
    return job_wall_ms(job) >= item->expires_ms + (item->expires_ms - item->created_ms);
}

static void settle(struct job *job, struct job_recipient *r, bool told)
{
    switch (job->report_kind) {
    case DSN_FAILED:
        r->fate = told ? FATE_REPORTED : given_up(job) ? FATE_UNTOLD : FATE_DEFERRED;
        break;
    case DSN_DELAYED:
        r->warned |= told;
        r->warn = false;
        break;
    case DSN_RELAYED:
    case DSN_KINDS:
        r->relayed = false;
        break;
    }
    r->in_dsn = false;
}

/* ---- the DSN
 * ---------------------------------------------------------------------------------------------------------------- */

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

static int build(struct job *job, const struct dsn_recipient *list, size_t n)
{
    const struct queue_item *item = job->item;
    struct slice content = strbuf_slice(&job->content);
    struct dsn dsn = {.kind = job->report_kind,
                      .language = language_of(content),
                      .hostname = job->d->settings->config->hostname,
                      .from_domain = from_domain(job),
                      .to = item->bounce_to,
                      .queue_id = item->id,
                      .envid = item->envid,
                      .message_id = item->message_id,
                      .created_ms = item->created_ms,
                      .now_ms = job_wall_ms(job),
                      .expires_ms = item->expires_ms,
                      .recipients = list,
                      .n_recipients = n,
                      .content = content,
                      .whole = item->ret == SMTP_RET_FULL && content.n == item->size};
    job->dsn = (struct strbuf){.max = DSN_MAX};
    return dsn_build(&dsn, &job->dsn);
}

/* Of a failure the store knows by itself, in the commit that brings the DSN. */
static void note_told(struct job *job, const char *id)
{
    static const char *const names[DSN_KINDS] = {[DSN_DELAYED] = "warned", [DSN_RELAYED] = "relayed"};
    const char *address = NULL;
    size_t n = 0;
    if (names[job->report_kind] == NULL)
        return;
    for (size_t i = 0; i < job->item->n_recipients; i++) {
        if (!job->recipients[i].in_dsn)
            continue;
        address = job->item->recipients[i].address;
        n++;
    }
    if (n == 1)
        strbuf_addf(&job->told, "\n%s %s <%s>", names[job->report_kind], id, address);
    else
        strbuf_addf(&job->told, "\n%s %s %zu", names[job->report_kind], id, n);
}

static void dsn_done(struct job *job, bool ok, const char *id)
{
    if (ok)
        note_told(job, id);
    strbuf_free(&job->dsn);
    job->dsn_under_way = false;
    if (job->d != NULL && ok)
        log_dsn(job, id);
    else if (job->d != NULL)
        log_dsn_failed(job, "it could not be made or stored", job->report_kind != DSN_RELAYED && !given_up(job));
    for (size_t i = 0; i < job->item->n_recipients; i++)
        if (job->recipients[i].in_dsn)
            settle(job, &job->recipients[i], ok);
    if (job->d == NULL)
        outcome_finish(job);
    else
        next_step(job);
}

static void on_dsn(void *ctx, bool ok, const char *id)
{
    dsn_done(ctx, ok, id);
}

static void submit(struct job *job)
{
    struct delivery *d = job->d;
    size_t n = 0, max = count(job, job->report_kind);
    int64_t *rows = arena_alloc_array(&job->mem, max, sizeof(*rows));
    struct dsn_recipient *list = arena_alloc_array(&job->mem, max, sizeof(*list));
    for (size_t i = 0; i < job->item->n_recipients && n < max; i++) {
        struct job_recipient *r = &job->recipients[i];
        if (!belongs(r, job->report_kind))
            continue;
        r->in_dsn = true;
        if (rows != NULL && list != NULL) {
            rows[n] = job->item->recipients[i].row;
            list[n] = (struct dsn_recipient){.address = job->item->recipients[i].address,
                                             .orcpt = job->item->recipients[i].orcpt,
                                             .v = &r->v,
                                             .mx = r->mx,
                                             .own_words = r->own_words,
                                             .expired = r->expired};
        }
        n++;
    }
    if (rows == NULL || list == NULL || build(job, list, n) < 0) {
        dsn_done(job, false, NULL);
        return;
    }
    job->dsn_under_way = true;
    intake_dsn(d->deps.intake, d->settings, strbuf_slice(&job->dsn), slice_of(job->item->bounce_to), rows,
               job->report_kind == DSN_FAILED ? n : 0, on_dsn, job);
}

/* As many DSNs an hour as messages: a flood of failures, or a stolen password, must not become one of bounces. */
static bool admit(struct job *job)
{
    struct delivery *d = job->d;
    if (d->dsn_limit == NULL)
        d->dsn_limit = dsn_limit_new();
    return d->dsn_limit != NULL && dsn_limit_take(d->dsn_limit, job->item->user == NULL ? "" : job->item->user,
                                                  d->settings->config->limits.messages_per_user, clock_mono_ms());
}

static void postpone(struct job *job)
{
    log_dsn_failed(job, "the user has caused limits.messages_per_user DSNs within an hour",
                   job->report_kind != DSN_RELAYED && !given_up(job));
    for (size_t i = 0; i < job->item->n_recipients; i++)
        if (belongs(&job->recipients[i], job->report_kind))
            settle(job, &job->recipients[i], false);
}

/* ---- what the message itself tells
 * -------------------------------------------------------------------------------------------- */

static uint64_t wanted_octets(const struct job *job)
{
    uint64_t size = job->item->size;
    bool whole = job->item->ret == SMTP_RET_FULL && count(job, DSN_FAILED) > 0 && size <= DSN_RETURN_MAX;
    return whole || size < HEADER_OCTETS ? size : HEADER_OCTETS;
}

static void read_content(struct job *job);

/* Without it the DSN says less, but it says what counts. */
static void on_content(void *ctx, struct slice bytes)
{
    struct job *job = ctx;
    strbuf_add_slice(&job->content, bytes);
    job->chunk++;
    if (bytes.n > 0 && !job->content.failed && job->content.n < wanted_octets(job))
        read_content(job);
    else
        next_step(job);
}

static void read_content(struct job *job)
{
    job->content_read = true;
    queue_read(job->queue, job->item, job->chunk, on_content, job);
}

/* ---- step by step
 * ---------------------------------------------------------------------------------------------------------------- */

static void next_step(struct job *job)
{
    while (job->report_kind < DSN_KINDS) {
        if (count(job, job->report_kind) == 0) {
            job->report_kind++;
        } else if (!job->admitted && !admit(job)) {
            postpone(job);
        } else if (!job->content_read) {
            job->admitted = true;
            job->chunk = 0;
            job->content = (struct strbuf){.max = DSN_RETURN_MAX + QUEUE_CHUNK};
            read_content(job);
            return;
        } else {
            job->admitted = false;
            submit(job);
            return;
        }
    }
    outcome_finish(job);
}

void report_start(struct job *job)
{
    job->report_kind = DSN_FAILED;
    next_step(job);
}
