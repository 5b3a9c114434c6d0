/* queue.c - the door: on the loop thread requests go out to the writer and the reader, results come back, and what is
 * due is lent out. */
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DUE_BATCH = 256,           /* items lent out before the loop turns again */
    KEEP_MS = 100,             /* an item given back untouched: soon, but no hot loop */
    UNREADABLE_MS = 60 * 1000, /* an item that could not be read */
    PASSING_MS = 1000,         /* for lack of memory, or a lock */
};

int queue_new_id(char ret[QUEUE_ID_SIZE])
{
    return random_name(ret, QUEUE_ID_LEN);
}

size_t queue_length(const struct queue *q)
{
    return q->length;
}

bool queue_ailing(const struct queue *q)
{
    return atomic_load_explicit(&q->writer.ailing, memory_order_relaxed);
}

size_t queue_commits(const struct queue *q)
{
    return atomic_load_explicit(&q->writer.commits, memory_order_relaxed);
}

/* ---- what is due ------------------------------------------------------------------------------------------------- */

void queue_arm(struct queue *q)
{
    const struct entry *first = schedule_first(&q->schedule);

    if (!q->started || q->closing || first == NULL)
        return;
    int64_t ms = first->due_ms - clock_mono_ms();
    if (ms < 0)
        ms = 0;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(q->timer, &tv);
}

/* Cannot fail: room was reserved when the entry went outside. */
static void reschedule(struct queue *q, struct entry *e, int64_t due_ms)
{
    e->due_ms = due_ms;
    q->outside--;
    if (schedule_add(&q->schedule, e) < 0)
        schedule_hold(&q->schedule, e);
    if (schedule_first(&q->schedule) == e)
        queue_arm(q);
}

static int reserve(struct queue *q, size_t n)
{
    if (schedule_reserve(&q->schedule, q->schedule.n + q->schedule.n_held + q->outside + n) < 0)
        return -1;
    q->outside += n;
    return 0;
}

/* ---- items: lent out, and coming back -------------------------------------------------------- */

static void item_lend(struct queue *q, struct item *it)
{
    it->before = NULL;
    it->after = q->out;
    if (q->out != NULL)
        q->out->before = it;
    q->out = it;
}

/* Its entry has come back, or is gone. */
static void item_returned(struct queue *q, struct item *it)
{
    if (it->after != NULL)
        it->after->before = it->before;
    if (it->before != NULL)
        it->before->after = it->after;
    else
        q->out = it->after;
    it->entry = NULL;
    it->item.domain = NULL;
}

/* What is left of an item waits again; unless somebody held or removed the message meanwhile. */
static void come_back(struct queue *q, const struct item *it, struct entry *e, int64_t due_ms)
{
    if (!it->held && !it->removed) {
        reschedule(q, e, due_ms);
        return;
    }
    q->outside--;
    e->due_ms = due_ms;
    if (it->removed)
        free(e);
    else
        schedule_hold(&q->schedule, e);
}

static struct item *item_new(struct entry *e)
{
    struct item *it = calloc(1, sizeof(*it));
    int64_t wall_less_mono = clock_wall_ms() - clock_mono_ms();

    if (it == NULL)
        return NULL;
    it->request.kind = REQUEST_FINISH;
    it->entry = e;
    it->item.message_row = e->message_row;
    it->item.domain = (char *)e->domain;
    it->item.user_tag = e->user_tag;
    it->item.urgent = e->urgent;
    e->urgent = 0;
    memcpy(it->item.id, e->id, sizeof(it->item.id));
    /* By the wall clock as it goes now: if it was set since, both have moved with it, and nothing expires early. */
    it->item.created_ms = e->created_ms + wall_less_mono;
    it->item.expires_ms = e->expires_ms + wall_less_mono;
    return it;
}

void item_free(struct item **pit)
{
    struct item *it = *pit;

    if (it == NULL)
        return;
    *pit = NULL;
    free(it->item.sender);
    free(it->item.bounce_to);
    free(it->item.user);
    free(it->item.envid);
    free(it->item.message_id);
    for (size_t i = 0; i < it->item.n_recipients; i++) {
        free(it->item.recipients[i].address);
        free(it->item.recipients[i].orcpt);
        free(it->rows[i].reply);
    }
    free(it->item.recipients);
    free(it->rows);
    free(it->note);
    free(it);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct queue *q = arg;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    for (int i = 0; i < DUE_BATCH && !q->closing; i++) {
        const struct entry *first = schedule_first(&q->schedule);
        if (first == NULL || first->due_ms > now)
            break;
        struct entry *e = schedule_take(&q->schedule);
        q->outside++;
        struct item *it = item_new(e);
        if (it == NULL) {
            reschedule(q, e, now + KEEP_MS);
            break;
        }
        item_lend(q, it);
        q->events.due(q->events.ctx, &it->item);
    }
    queue_arm(q);
}

int64_t queue_retry_delay_ms(const struct queue *q, unsigned attempts)
{
    size_t i = attempts > 0 ? attempts - 1 : 0;

    return schedule_jitter(q->retry_ms[i < q->n_retry ? i : q->n_retry - 1]);
}

void queue_hasten(struct queue *q, bool (*which)(void *ctx, const char *domain), void *ctx)
{
    schedule_hasten(&q->schedule, clock_mono_ms(), which, ctx);
    queue_arm(q);
}

/* ---- results come back ----------------------------------------------------------------------- */

static void put_done(struct queue *q, struct put *p)
{
    if (p->status == QUEUE_OK) {
        fresh_add(&q->fresh, p);
        q->length += 1;
        q->length -= p->finished < q->length ? p->finished : q->length;
    }
    for (struct entry *e; (e = p->entries) != NULL;) {
        p->entries = e->next;
        e->message_row = p->row;
        if (p->status == QUEUE_OK) {
            reschedule(q, e, e->due_ms);
        } else {
            q->outside--;
            free(e);
        }
    }
    p->done(p->ctx, p->status);
    free(p);
}

static void on_written(void *ctx)
{
    struct queue *q = ctx;
    struct requests done;

    requests_init(&done);
    lane_take_done(&q->writer.lane, &done);
    for (struct request *r; (r = requests_pop(&done)) != NULL;) {
        if (r->kind == REQUEST_PUT) {
            put_done(q, (struct put *)r);
        } else if (r->kind == REQUEST_NOTICE) {
            control_apply(q, (struct notice *)r);
            free(r);
        } else if (r->kind == REQUEST_LOOK) {
            control_looked(q);
        } else {
            struct item *it = (struct item *)r;
            q->length -= it->finished < q->length ? it->finished : q->length;
            item_free(&it);
        }
    }
}

static void on_not_kept(void *ctx)
{
    struct queue *q = ctx;
    struct requests failed;

    requests_init(&failed);
    lane_take_done(&q->keeper.lane, &failed);
    for (struct request *r; (r = requests_pop(&failed)) != NULL;)
        put_done(q, (struct put *)r);
}

static void load_done(struct queue *q, struct load *load)
{
    struct item *it = load->item;

    it->loading = NULL;
    if (it->abandoned)
        queue_finish(q, &it->item, NULL, 0, NULL);
    else
        load->done(load->ctx, load->ok);
    free(load);
}

static void read_done(struct read *read)
{
    if (read->done != NULL) {
        struct read **at = &read->item->reading;
        while (*at != read)
            at = &(*at)->other;
        *at = read->other;
        read->done(read->ctx, read->bytes);
    }
    fresh_read_end(read);
    free(read);
}

static void settle_reads(struct queue *q, struct requests *done)
{
    for (struct request *r; (r = requests_pop(done)) != NULL;) {
        struct read *read = (struct read *)r;
        if (r->kind == REQUEST_LOAD)
            load_done(q, (struct load *)r);
        else if (read->fresh == NULL || read->done == NULL || fresh_fill(&q->fresh, read))
            read_done(read);
        else
            lane_submit(&q->reader.lane, r);
    }
}

static void on_read(void *ctx)
{
    struct queue *q = ctx;
    struct requests done;

    requests_init(&done);
    lane_take_done(&q->reader.lane, &done);
    settle_reads(q, &done);
}

static void on_answered(evutil_socket_t fd, short what, void *arg)
{
    struct queue *q = arg;
    struct requests done;

    (void)fd;
    (void)what;
    requests_init(&done);
    requests_move(&done, &q->answered);
    settle_reads(q, &done);
}

static void answer(struct queue *q, struct request *r)
{
    requests_push(&q->answered, r);
    event_active(q->answer, EV_TIMEOUT, 1);
}

/* ---- requests go out
 * -------------------------------------------------------------------------------------------------- */

/* The entries that the message will be, due at once. */
static struct entry *entries_of(const struct queue_message *m, int64_t now_ms, int64_t lifetime_ms)
{
    struct entry like = {
        .created_ms = now_ms, .expires_ms = now_ms + lifetime_ms, .user_tag = schedule_user_tag(m->user)};
    struct pending one = {0}, *v = m->n_recipients == 1 ? &one : calloc(m->n_recipients, sizeof(*v));
    struct entry *list = NULL;

    memcpy(like.id, m->id, sizeof(like.id));
    if (v == NULL)
        return NULL;
    for (size_t i = 0; i < m->n_recipients; i++)
        v[i] = (struct pending){.domain = m->recipients[i].domain, .due_ms = now_ms, .index = (uint16_t)i};
    list = entries_build(&like, v, m->n_recipients);
    if (v != &one)
        free(v);
    return list;
}

static size_t count_entries(const struct entry *e)
{
    size_t n = 0;

    for (; e != NULL; e = e->next)
        n++;
    return n;
}

/* Fills in what the writer and the schedule need to know; false when it cannot be stored. */
static bool put_prepare(struct queue *q, struct put *p)
{
    const struct queue_message *m = &p->m;
    uint64_t chunks;

    p->size = m->head.n + (m->body != NULL ? spool_size(m->body) : 0);
    chunks = (p->size + QUEUE_CHUNK - 1) / QUEUE_CHUNK;
    if (m->n_recipients == 0 || m->n_recipients > RECIPIENTS_MAX || chunks > CHUNKS_MAX)
        return false;
    p->chunks = (unsigned)chunks;
    p->created_ms = clock_wall_ms();
    p->expires_ms = p->created_ms + q->lifetime_ms;
    p->entries = entries_of(m, clock_mono_ms(), q->lifetime_ms);
    if (p->entries != NULL && reserve(q, count_entries(p->entries)) == 0)
        return true;
    entries_free(&p->entries);
    return false;
}

void queue_expect(struct queue *q, int n)
{
    company_expect(&q->company, n);
}

void queue_put(struct queue *q, const struct queue_message *m, void (*done)(void *ctx, enum queue_status status),
               void *ctx)
{
    struct put *p = q->closing ? NULL : calloc(1, sizeof(*p));

    if (p == NULL) {
        done(ctx, QUEUE_FAILED);
        return;
    }
    *p = (struct put){.request.kind = REQUEST_PUT, .m = *m, .done = done, .ctx = ctx, .status = QUEUE_FAILED};
    if (put_prepare(q, p)) {
        bool large = m->body != NULL && spool_size(m->body) > SPOOL_MEMORY_MAX;
        if (large)
            lane_submit(&q->keeper.lane, &p->request);
        else
            company_add_put(&q->company, &p->request);
    } else {
        struct requests failed;
        requests_init(&failed);
        requests_push(&failed, &p->request);
        lane_post(&q->writer.lane, &failed);
    }
}

void queue_load(struct queue *q, struct queue_item *item, void (*done)(void *ctx, bool ok), void *ctx)
{
    struct item *it = item_of(item);
    struct load *load = q->closing || it->rows != NULL ? NULL : calloc(1, sizeof(*load));

    if (load == NULL) {
        done(ctx, it->rows != NULL);
        return;
    }
    *load = (struct load){.request.kind = REQUEST_LOAD, .item = it, .done = done, .ctx = ctx};
    it->loading = load;
    if (fresh_load(&q->fresh, load))
        answer(q, &load->request);
    else
        lane_submit(&q->reader.lane, &load->request);
}

void queue_read(struct queue *q, const struct queue_item *item, unsigned index,
                void (*done)(void *ctx, struct slice bytes), void *ctx)
{
    struct item *it = item_of(item);
    struct read *read = q->closing ? NULL : calloc(1, sizeof(*read));

    if (read == NULL) {
        done(ctx, (struct slice){NULL, 0});
        return;
    }
    *read = (struct read){.request.kind = REQUEST_READ,
                          .item = it,
                          .other = it->reading,
                          .message_row = item->message_row,
                          .index = index,
                          .done = done,
                          .ctx = ctx};
    memcpy(read->id, it->item.id, sizeof(read->id));
    it->reading = read;
    if (fresh_read(&q->fresh, read))
        answer(q, &read->request);
    else
        lane_submit(&q->reader.lane, &read->request);
}

/* ---- an item comes back
 * ------------------------------------------------------------------------------------------------ */

/* Takes the results over; the number of attempts that the deferred recipients have behind them now, 0 if there are
 * none. */
static unsigned record(struct item *it, const struct queue_result *results)
{
    unsigned attempts = 0;

    for (size_t i = 0; i < it->item.n_recipients; i++) {
        it->rows[i] = (struct finish_row){
            .outcome = results[i].outcome,
            .warned = results[i].warned,
            .reply = results[i].reply != NULL ? strdup(results[i].reply) : NULL,
        };
        if (results[i].outcome == QUEUE_DEFERRED && it->item.recipients[i].attempts + 1 > attempts)
            attempts = it->item.recipients[i].attempts + 1;
    }
    return attempts;
}

enum { KEPT = 1 << QUEUE_KEEP, DEFERRED = 1 << QUEUE_DEFERRED };

/* Leaves in `e` the recipients whose outcome is one of the set `outcomes`; how many they are.  `e` may be the item's
 * own. */
static unsigned filter(struct entry *e, const struct item *it, unsigned outcomes)
{
    unsigned n = 0;

    for (unsigned i = 0; i < it->item.n_recipients; i++)
        if (outcomes & 1U << it->rows[i].outcome)
            e->index[n++] = it->entry->index[i];
    e->n = n;
    return n;
}

static unsigned outcomes_of(const struct item *it)
{
    unsigned outcomes = 0;

    for (size_t i = 0; i < it->item.n_recipients; i++)
        outcomes |= 1U << it->rows[i].outcome;
    return outcomes;
}

/* The deferred recipients of an item of which others are kept. */
static struct entry *split(struct queue *q, const struct item *it)
{
    const struct entry *e = it->entry;

    if (reserve(q, 1) < 0)
        return NULL;
    struct entry *later = entry_new(slice_of(e->domain), e->n);
    if (later == NULL) {
        q->outside--;
        return NULL;
    }
    later->created_ms = e->created_ms;
    later->expires_ms = e->expires_ms;
    later->message_row = e->message_row;
    later->user_tag = e->user_tag;
    memcpy(later->id, e->id, sizeof(later->id));
    filter(later, it, DEFERRED);
    return later;
}

/* The recipients that stay go back into the schedule: those kept soon, those deferred later. */
static void return_entry(struct queue *q, struct item *it, int64_t deferred_due_ms)
{
    unsigned stay = outcomes_of(it) & (KEPT | DEFERRED);
    struct entry *e = it->entry;

    if (stay == (KEPT | DEFERRED)) {
        struct entry *later = split(q, it);
        if (later != NULL) {
            come_back(q, it, later, deferred_due_ms);
            stay = KEPT;
        } /* out of memory: all of them wait */
    }
    if (filter(e, it, stay) > 0) {
        come_back(q, it, e, stay & DEFERRED ? deferred_due_ms : clock_mono_ms() + KEEP_MS);
    } else {
        q->outside--;
        free(e);
    }
    item_returned(q, it);
}

/* An item about which nothing is known: it was never loaded, or is given back as it is. */
static void return_untouched(struct queue *q, struct item *it)
{
    if (it->gone) { /* somebody removed the message */
        q->outside--;
        free(it->entry);
    } else {
        int64_t rest = !it->failed ? KEEP_MS : it->passing ? PASSING_MS : UNREADABLE_MS;
        come_back(q, it, it->entry, clock_mono_ms() + rest);
    }
    item_returned(q, it);
}

static void forget_reads(struct item *it)
{
    for (struct read *r; (r = it->reading) != NULL;) {
        it->reading = r->other;
        r->done = NULL;
    }
}

void queue_finish(struct queue *q, struct queue_item *item, const struct queue_result *results, int64_t retry_after_ms,
                  const char *note)
{
    struct item *it = item_of(item);
    unsigned changes = 0;

    forget_reads(it);
    if (it->loading != NULL) { /* on its way: load_done comes back here */
        it->abandoned = true;
        return;
    }
    fresh_drop(&q->fresh, item->message_row);
    if (results == NULL || it->rows == NULL || it->failed || it->gone) {
        return_untouched(q, it);
    } else {
        unsigned attempts = record(it, results);
        int64_t delay = retry_after_ms > 0 ? retry_after_ms : queue_retry_delay_ms(q, attempts);
        it->next_ms = clock_wall_ms() + delay;
        changes = outcomes_of(it) & ~(unsigned)KEPT;
        return_entry(q, it, clock_mono_ms() + delay);
    }
    it->note = note != NULL ? strdup(note) : NULL;
    if (changes != 0 || it->note != NULL)
        company_add_outcome(&q->company, &it->request);
    else
        item_free(&it);
    if (q->closing)
        company_go(&q->company);
}

/* ---- life cycle
 * --------------------------------------------------------------------------------------------------------- */

void queue_reconfigure(struct queue *q, const struct config *c)
{
    size_t n = c->queue.n_retry > 0 ? c->queue.n_retry : 1;
    int64_t *retry = calloc(n, sizeof(*retry));

    q->lifetime_ms = c->queue.lifetime_s * 1000;
    atomic_store(&q->writer.history_ms, c->queue.history_s * 1000);
    if (retry == NULL)
        return; /* the old schedule stays */
    retry[0] = 60 * 1000;
    for (size_t i = 0; i < c->queue.n_retry; i++)
        retry[i] = c->queue.retry_s[i] * 1000;
    free(q->retry_ms);
    q->retry_ms = retry;
    q->n_retry = n;
}

static int open_parts(struct queue *q, const char *path, struct err *err)
{
    if (q->writer.path == NULL || q->keeper.folder == NULL || q->retry_ms == NULL || q->timer == NULL ||
        q->answer == NULL)
        return err_set(err, "out of memory");
    q->reader.path = q->writer.path;
    q->writer.folder = q->keeper.folder;
    q->keeper.writer = &q->writer.lane;
    if (start_store(q, err) < 0 || store_open(&q->reader.store, path, STORE_READ, err) < 0 || control_watch(q, err) < 0)
        return -1;
    if (lane_init(&q->writer.lane, q->base, on_written, q, err) < 0 ||
        lane_init(&q->keeper.lane, q->base, on_not_kept, q, err) < 0 ||
        lane_init(&q->reader.lane, q->base, on_read, q, err) < 0)
        return -1;
    if (lane_start(&q->writer.lane, "store", writer_run, &q->writer, err) < 0 ||
        lane_start(&q->keeper.lane, "keeper", keeper_run, &q->keeper, err) < 0)
        return -1;
    return lane_start(&q->reader.lane, "reader", reader_run, &q->reader, err);
}

int queue_open(const struct config *c, struct event_base *base, const struct queue_events *events, struct queue **ret,
               struct err *err)
{
    struct queue *q = calloc(1, sizeof(*q));

    if (q == NULL)
        return err_set(err, "out of memory");
    q->base = base;
    q->events = *events;
    q->lock_fd = q->watch_fd = -1;
    requests_init(&q->writer.backlog);
    requests_init(&q->writer.carried);
    requests_init(&q->answered);
    TAILQ_INIT(&q->fresh.list);
    queue_reconfigure(q, c);
    q->timer = event_new(base, -1, 0, on_timer, q);
    q->answer = event_new(base, -1, 0, on_answered, q);
    q->writer.path = strdup(c->queue.path);
    q->keeper.folder = content_folder(c->queue.path);
    atomic_store(&q->writer.log_pages, LOG_PAGES);
    if (company_init(&q->company, base, &q->writer.lane) < 0 || open_parts(q, c->queue.path, err) < 0) {
        queue_close(&q);
        return -1;
    }
    *ret = q;
    return 0;
}

void queue_start(struct queue *q)
{
    q->started = true;
    queue_arm(q);
}

void queue_close(struct queue **pq)
{
    struct queue *q = *pq;

    if (q == NULL)
        return;
    *pq = NULL;
    q->closing = true;
    control_unwatch(q);
    settle_reads(q, &q->answered);
    lane_stop(&q->reader.lane);
    if (q->reader.lane.notifier != NULL)
        on_read(q);
    lane_stop(&q->keeper.lane); /* what waits there goes to the writer */
    if (q->keeper.lane.notifier != NULL)
        on_not_kept(q);
    company_go(&q->company);
    lane_stop(&q->writer.lane);
    if (q->writer.lane.notifier != NULL)
        on_written(q);
    while (q->writer.lane.waiting.head != NULL) { /* items that came back with the last results */
        writer_run(&q->writer);
        on_written(q);
    }
    lane_free(&q->reader.lane);
    lane_free(&q->keeper.lane);
    lane_free(&q->writer.lane);
    store_close(&q->reader.store);
    store_close(&q->writer.store); /* the last connection: the log is copied back and goes */
    schedule_free(&q->schedule);
    fresh_drop_all(&q->fresh);
    if (q->timer != NULL)
        event_free(q->timer);
    if (q->answer != NULL)
        event_free(q->answer);
    company_free(&q->company);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    free(q->keeper.folder);
    free(q->writer.path);
    free(q->retry_ms);
    free(q);
}
