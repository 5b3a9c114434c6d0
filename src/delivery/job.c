/* delivery/job.c - one item on its way: it is loaded, its recipients go out in batches, its content chunk by chunk.
 *
 * A chunk that arrives for a transaction that is over is `stale`.  Only one thing cannot be called back, a DSN on its
 * way into the queue: the job lives until that is known. */
#include "internal.h"

#include <stdlib.h>

enum { JOB_MEMORY_MAX = 256 * 1024 * 1024 }; /* 65536 recipients at a kilobyte each, three times over */

struct job *job_new(struct delivery *d, struct queue_item *item)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->d = d;
    job->queue = d->deps.queue;
    job->item = item;
    job->mem = ARENA_INIT(JOB_MEMORY_MAX);
    job->came_ms = clock_mono_ms();
    job->wall_less_mono_ms = clock_wall_ms() - job->came_ms;
    TAILQ_INSERT_TAIL(&d->jobs, job, all);
    return job;
}

void job_free(struct job **pjob)
{
    struct job *job = *pjob;
    if (job == NULL)
        return;
    *pjob = NULL;
    if (job->d != NULL) {
        TAILQ_REMOVE(&job->d->jobs, job, all);
        job->d->n_settling -= job->counted;
        delivery_poke(job->d);
    }
    arena_free(&job->mem);
    free(job);
}

int64_t job_wall_ms(const struct job *job)
{
    return clock_mono_ms() + job->wall_less_mono_ms;
}

/* ---- leaving the channel
 * --------------------------------------------------------------------------------------------------- */

static void leave_channel(struct job *job)
{
    struct channel *ch = job->channel;
    if (ch == NULL)
        return;
    job->channel = NULL;
    ch->job = NULL;
    job->stale = job->reading;
    job->want_content = false;
    channel_poke(ch);
}

static bool has_open(const struct job *job)
{
    for (size_t i = 0; i < job->item->n_recipients; i++)
        if (job->recipients[i].v.code == 0)
            return true;
    return false;
}

static void wait_again(struct job *job)
{
    if (job->d->stopping)
        job_keep(job);
    else
        destination_add(job->dest, job, true);
}

void job_channel_lost(struct job *job)
{
    leave_channel(job);
    wait_again(job);
}

void job_keep(struct job *job)
{
    leave_channel(job);
    outcome_settle(job);
}

static struct smtp_verdict *copy_verdict(struct job *job, const struct smtp_verdict *v)
{
    struct smtp_verdict *copy = arena_alloc(&job->mem, sizeof(*copy));
    if (copy != NULL)
        *copy = *v;
    return copy;
}

/* Without memory even for that it stays as it is. */
void job_fail(struct job *job, const struct smtp_verdict *v)
{
    job->failure = copy_verdict(job, v);
    job->failure_own_words = true;
    outcome_settle(job);
}

void job_fail_excused(struct job *job)
{
    job->failure = job->excuse;
    job->failure_own_words = job->excuse_own_words;
    outcome_settle(job);
}

/* ---- batches
 * -------------------------------------------------------------------------------------------------------------------
 */

/* The next recipients that have no verdict yet, no more than the server takes in one transaction (RFC 9422 4). */
static size_t fill_batch(struct job *job, const struct smtp_extensions *ext)
{
    size_t n = 0, max = DELIVERY_RECIPIENTS_MAX;
    if (ext->rcptmax > 0 && ext->rcptmax < max)
        max = ext->rcptmax;
    for (size_t i = 0; i < job->item->n_recipients && n < max; i++) {
        if (job->recipients[i].v.code != 0)
            continue;
        job->batch[n] = job->item->recipients[i];
        job->batch_index[n++] = i;
    }
    return n;
}

static void start_batch(struct job *job)
{
    struct channel *ch = job->channel;
    const struct queue_item *item = job->item;
    size_t n = fill_batch(job, delivery_session_extensions(ch->session));
    job->message = (struct delivery_message){.sender = item->sender,
                                             .size = item->size,
                                             .smtputf8 = item->smtputf8,
                                             .eightbit = item->eightbit,
                                             .envid = item->envid,
                                             .ret = item->ret,
                                             .recipients = job->batch,
                                             .n_recipients = n};
    job->mx = arena_strdup(&job->mem, slice_of(ch->target.host));
    char via[DOMAIN_MAX + 128];
    snprintf(via, sizeof(via), "mx=%s ip=%s tls=%s policy=%s", ch->target.host, ch->target.address, channel_tls(ch),
             ch->policy.name);
    job->via = arena_strdup(&job->mem, slice_of(via));
    job->begun_ms = clock_mono_ms();
    job->content_begun = false;
    job->retrying = false;
    job->chunk = 0;
    job->octets = 0;
    ch->used = true;
    delivery_session_send(ch->session, &job->message, clock_mono_ms());
}

static bool any_refused(const struct job *job)
{
    for (size_t i = 0; i < job->message.n_recipients; i++)
        if (smtp_is_permanent(&job->recipients[job->batch_index[i]].v))
            return true;
    return false;
}

/* The connection broke, or the server closed it (RFC 5321 3.8), under the envelope: that is nothing about this message,
 * which goes once more at once over another connection.  One that had served before may just have been closed
 * meanwhile, and one that was closed for too many bad recipients says nothing about the host; otherwise this host does
 * not do, and it is the next one's turn. */
static bool connection_failed(struct job *job, const struct smtp_verdict *v)
{
    const struct channel *ch = job->channel;
    bool own_words = delivery_session_own_words(ch->session);
    if (!smtp_is_temporary(v) || job->content_begun || (!own_words && v->code != 421))
        return false;
    if (ch->messages > 0 || any_refused(job))
        return true;
    job->excuse = copy_verdict(job, v);
    job->excuse_own_words = own_words;
    return job->excuse != NULL;
}

void job_result(struct job *job, size_t index, const struct smtp_verdict *v)
{
    size_t i = job->batch_index[index];
    struct job_recipient *r = &job->recipients[i];
    if (job->retrying || connection_failed(job, v)) {
        job->retrying = true;
        return;
    }
    r->v = *v;
    r->mx = job->mx;
    job->took_ms = clock_mono_ms() - job->begun_ms;
    r->own_words = delivery_session_own_words(job->channel->session);
    if (smtp_is_success(v))
        outcome_delivered(job, i, job->channel);
}

/* RFC 5321 4.5.3.1.10: 452 at RCPT means "no more in this transaction".  As long as each one gets some through, the
 * others follow at once. */
static void reopen_too_many(struct job *job)
{
    size_t others = 0;
    for (size_t i = 0; i < job->message.n_recipients; i++)
        others += job->recipients[job->batch_index[i]].v.code != 452;
    for (size_t i = 0; i < job->message.n_recipients && others > 0; i++) {
        struct job_recipient *r = &job->recipients[job->batch_index[i]];
        if (r->v.code == 452 && !job->retrying)
            r->v.code = 0;
    }
}

/* What the outcome says about the place. */
static void tell_destination(struct job *job)
{
    struct channel *ch = job->channel;
    const struct job_recipient *broken = NULL, *slow = NULL;
    ch->blamed = job->retrying && job->excuse != NULL;
    for (size_t i = 0; i < job->message.n_recipients; i++) {
        const struct job_recipient *r = &job->recipients[job->batch_index[i]];
        if (r->own_words && smtp_is_temporary(&r->v))
            broken = r;
        else if (rest_asked_for(&r->v))
            slow = r;
    }
    if (slow != NULL && !any_refused(job) && !rest_holds(ch->dest))
        rest_begin(ch->dest, &slow->v);
    else if (broken != NULL)
        rest_broken(ch->dest, &broken->v);
    else if (!job->retrying)
        rest_over(ch->dest);
    job->not_before_ms = rest_holds(ch->dest) ? ch->dest->rests_until_ms : 0;
}

void job_transaction_done(struct job *job)
{
    tell_destination(job);
    reopen_too_many(job);
    leave_channel(job);
    if (has_open(job))
        wait_again(job);
    else
        outcome_settle(job);
}

/* ---- loading
 * ---------------------------------------------------------------------------------------------------------------------
 */

static bool make_room(struct job *job)
{
    size_t n = job->item->n_recipients;
    size_t batch = n < DELIVERY_RECIPIENTS_MAX ? n : DELIVERY_RECIPIENTS_MAX;
    job->recipients = arena_alloc_array(&job->mem, n, sizeof(*job->recipients));
    job->batch = arena_alloc_array(&job->mem, batch, sizeof(*job->batch));
    job->batch_index = arena_alloc_array(&job->mem, batch, sizeof(*job->batch_index));
    return n > 0 && job->recipients != NULL && job->batch != NULL && job->batch_index != NULL;
}

static void give_back_unread(struct job *job)
{
    if (job->stage == JOB_WAITING)
        waiting_remove(job->dest, job);
    leave_channel(job);
    outcome_finish(job);
}

static void on_loaded(void *ctx, bool ok)
{
    struct job *job = ctx;
    job->loading = false;
    if (!ok || !make_room(job)) {
        give_back_unread(job);
        return;
    }
    job->loaded = true;
    if (job->stage == JOB_SETTLING || job->d->stopping)
        job_keep(job);
    else if (job->channel != NULL && delivery_session_state(job->channel->session) == DELIVERY_IDLE)
        start_batch(job);
}

void job_load(struct job *job)
{
    if (job->loading)
        return;
    job->loading = true;
    queue_load(job->queue, job->item, on_loaded, job);
}

void job_start(struct job *job, struct channel *ch)
{
    job->stage = JOB_SENDING;
    job->channel = ch;
    ch->job = job;
    if (job->loaded)
        start_batch(job);
    else
        job_load(job);
}

/* ---- content
 * -----------------------------------------------------------------------------------------------------------------------
 */

static void read_chunk(struct job *job);

static void on_stale_chunk(struct job *job)
{
    job->stale = false;
    if (job->want_content) {
        job->want_content = false;
        read_chunk(job);
    }
}

/* The store says how long the content is; where it ends sooner it is damaged, and half a message must not get its dot.
 */
static void on_chunk(void *ctx, struct slice bytes)
{
    struct job *job = ctx;
    job->reading = false;
    if (job->stale) {
        on_stale_chunk(job);
    } else if (job->channel != NULL) {
        job->octets += bytes.n;
        job->chunk++;
        bool last = job->octets >= job->item->size;
        bool failed = bytes.p == NULL || (bytes.n == 0 && !last) || job->octets > job->item->size;
        delivery_session_content(job->channel->session, bytes, last, failed, clock_mono_ms());
    }
}

static void read_chunk(struct job *job)
{
    job->reading = true;
    queue_read(job->queue, job->item, job->chunk, on_chunk, job);
}

static void on_drained(void *arg)
{
    struct channel *ch = arg;
    struct job *job = ch->job;
    if (job == NULL || !job->want_content || job->reading)
        return;
    job->want_content = false;
    read_chunk(job);
}

/* No chunk is read before the one before it is nearly out: two at most are in memory. */
void job_want_content(struct job *job)
{
    const struct delivery_net *net = job->d->deps.net;
    job->content_begun = true;
    job->want_content = true;
    if (job->reading)
        return; /* a stale one is under way: on_stale_chunk goes on */
    if (job->chunk == 0)
        on_drained(job->channel);
    else
        net->on_drained(net->ctx, job->channel->link, on_drained, job->channel);
}
