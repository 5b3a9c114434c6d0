/* The promise of the queue, with a crash or a failure at each call that it makes to the disk, and at each allocation.
 *
 * A child runs the same work each time: messages come in, one by one and in groups, small and large; recipients are
 * delivered, put off, failed and bounced; one message is held, one removed by hand; the log is copied back; the queue
 * is closed and opened.  In the N-th run the N-th call crashes, or fails once, or fails from then on until the cause
 * goes. N counts up until a run ends without having come that far.  Then the file is looked at:
 *
 *   a message whose put was answered OK is there, whole, or was finished; one that was not is there whole or not at all
 *   a recipient is there, or an outcome was given to it; outcomes given before a put that was answered stay given
 *   a bounced recipient is there, or the DSN about it
 *   when the cause of a failure has gone, messages come in and outcomes are recorded, without a new start
 *
 * FAULTS=all runs every N; otherwise some of them are run, FAULTS or five in each way of failing.  FAULTS_JOBS
 * processes do that at once, four if nothing is said. */
#include "faultvfs.h"

#include "../../src/queue/internal.h"

#include <event2/event.h>

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

/* Messages: one that is removed by hand, one that is delivered, a DSN, one with a few pages of its own, one that waits. */
enum { REMOVED = 4, LARGE = 6, DSN, MEDIUM, WAITS = 10, MESSAGES = 13 };
enum {
    RECIPIENTS = 2,
    LARGE_SIZE = SPOOL_MEMORY_MAX + 2 * QUEUE_CHUNK + 100, /* in a file of its own */
    LARGE_CHUNKS = LARGE_SIZE / QUEUE_CHUNK + 1,
    MEDIUM_SIZE = 40000,
    PATIENCE_MS = 20000,
    LOG_SOON = 20 /* pages */
};

enum fate { FATE_NONE = 0, FATE_DEFERRED, FATE_GONE, FATE_BOUNCED };

/* What the child has done and was told, in memory that survives it. */
struct record {
    struct {
        bool put, answered, ok, removing, removed;
        enum fate fate[RECIPIENTS]; /* given */
        bool firm[RECIPIENTS];      /* and a put that came later was answered */
    } messages[MESSAGES];
    long calls, injected;
    bool died;              /* the first life is over */
    bool finished, orderly; /* the work came to its end; and the queue was closed after the cause had gone */
    char complaint[200];
};

static struct record *record;

struct mode {
    const char *name;
    unsigned kinds;
    bool crash, for_ever, then_crash;
    bool killed;      /* the process dies after the answer that comes next */
    bool second_life; /* the process dies, another one goes on, and then there is a power cut */
    enum forgets forgets;
    int result;
    enum survives survives;
    int memory; /* 1: ours, 2: SQLite's */
};

static const struct mode modes[] = {
    {.name = "crash, what was not synced is lost", .kinds = CALL_CHANGES, .crash = true, .survives = SURVIVES_NOTHING},
    {.name = "crash, all is kept", .kinds = CALL_CHANGES, .crash = true, .survives = SURVIVES_ALL},
    {.name = "crash, any part is kept, sectors torn", .kinds = CALL_CHANGES, .crash = true, .survives = SURVIVES_ANY},
    {.name = "a write fails once, EIO", .kinds = CALL_WRITE, .result = SQLITE_IOERR_WRITE},
    {.name = "writes fail from then on, EIO", .kinds = CALL_WRITE, .for_ever = true, .result = SQLITE_IOERR_WRITE},
    {.name = "a write fails once, ENOSPC", .kinds = CALL_WRITE, .result = SQLITE_FULL},
    {.name = "writes fail from then on, ENOSPC", .kinds = CALL_WRITE, .for_ever = true, .result = SQLITE_FULL},
    {.name = "a sync fails once, then a crash", .kinds = CALL_SYNC, .forgets = FORGETS_DIRTY, .then_crash = true},
    {.name = "a sync fails and loses, then a crash",
     .kinds = CALL_SYNC,
     .forgets = FORGETS_CONTENT,
     .then_crash = true},
    {.name = "a sync fails, a crash keeps any part",
     .kinds = CALL_SYNC,
     .forgets = FORGETS_DIRTY,
     .then_crash = true,
     .survives = SURVIVES_ANY},
    {.name = "a sync of the file fails, then a crash",
     .kinds = CALL_SYNC_FILE,
     .forgets = FORGETS_DIRTY,
     .then_crash = true},
    {.name = "a sync fails, death, a start, a crash",
     .kinds = CALL_SYNC,
     .forgets = FORGETS_DIRTY,
     .second_life = true},
    {.name = "death, a start, a crash", .kinds = CALL_CHANGES, .crash = true, .second_life = true},
    {.name = "syncs fail from then on", .kinds = CALL_SYNC, .for_ever = true, .forgets = FORGETS_DIRTY},
    {.name = "syncs fail from then on, death", .kinds = CALL_SYNC, .for_ever = true, .killed = true},
    {.name = "a truncate or delete fails", .kinds = CALL_TRUNCATE | CALL_DELETE},
    {.name = "an open fails once", .kinds = CALL_OPEN},
    {.name = "opens and writes fail from then on",
     .kinds = CALL_OPEN | CALL_WRITE,
     .for_ever = true,
     .result = SQLITE_IOERR_WRITE},
    {.name = "a read fails once", .kinds = CALL_READ},
    {.name = "reads fail from then on", .kinds = CALL_READ, .for_ever = true},
    {.name = "shared memory fails", .kinds = CALL_SHM},
    {.name = "everything fails from then on",
     .kinds = CALL_CHANGES | CALL_READ | CALL_SHM,
     .for_ever = true,
     .result = SQLITE_IOERR_WRITE},
    {.name = "an allocation of ours fails", .memory = 1},
    {.name = "an allocation of SQLite's fails", .memory = 2},
    {.name = "allocations of SQLite's fail from then on", .memory = 2, .for_ever = true},
};

/* ---- failing memory
 * ---------------------------------------------------------------------------------------------------- */

static atomic_long memory_calls;
static atomic_long memory_at = -1, memory_count;
static atomic_int memory_kind;
static sqlite3_mem_methods real_memory;

static bool memory_fails(int kind)
{
    if (atomic_load(&memory_kind) != kind)
        return false;
    long number = atomic_fetch_add(&memory_calls, 1), at = atomic_load(&memory_at);
    return at >= 0 && number >= at && number < at + atomic_load(&memory_count);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return memory_fails(1) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return memory_fails(1) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return memory_fails(1) ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return memory_fails(1) ? NULL : __real_strdup(s);
}

static void *sqlite_malloc(int n)
{
    return memory_fails(2) ? NULL : real_memory.xMalloc(n);
}

static void *sqlite_realloc(void *p, int n)
{
    return memory_fails(2) ? NULL : real_memory.xRealloc(p, n);
}

/* ---- the work
 * ------------------------------------------------------------------------------------------------------------ */

enum { DUE_MAX = 1000, DEAL_MS = 1000 };

/* The queue under test, and what of it is out. */
static struct {
    char dir[64], image[64], path[96];
    struct event_base *base;
    struct config config;
    int64_t retry_s[1];
    struct queue *queue;
    struct queue_item *due[DUE_MAX];
    size_t n_due;
} rig;

#define HEAD_TEXT "From: me@example.com\r\n\r\n"
enum { HEAD = sizeof(HEAD_TEXT) - 1 };

static const struct mode *mode;

static void give_up(const char *why)
{
    snprintf(record->complaint, sizeof(record->complaint), "%s", why);
    _exit(2);
}

static void on_due(void *ctx, struct queue_item *item)
{
    (void)ctx;
    if (rig.n_due == DUE_MAX)
        give_up("too much is due");
    rig.due[rig.n_due++] = item;
}

static int try_open(struct err *err)
{
    const struct queue_events events = {.due = on_due};

    rig.n_due = 0;
    return queue_open(&rig.config, rig.base, &events, &rig.queue, err);
}

static void prepare(const char *path)
{
    snprintf(rig.path, sizeof(rig.path), "%s", path);
    rig.base = event_base_new();
    rig.retry_s[0] = 60;
    rig.config.queue.path = rig.path;
    rig.config.queue.retry_s = rig.retry_s;
    rig.config.queue.n_retry = 1;
    rig.config.queue.lifetime_s = 5 * 86400;
    rig.config.queue.history_s = 30 * 86400;
    if (rig.base == NULL)
        give_up("no loop");
}

static void close_queue(void)
{
    for (size_t i = 0; i < rig.n_due; i++)
        queue_finish(rig.queue, rig.due[i], NULL, 0, NULL);
    rig.n_due = 0;
    queue_close(&rig.queue);
}

static void note_calls(void)
{
    record->calls = mode->memory != 0 ? atomic_load(&memory_calls) : faults.calls;
    record->injected = mode->memory != 0 ? record->calls > atomic_load(&memory_at) : faults.injected;
}

static void on_crash(void)
{
    note_calls();
    if (!mode->second_life)
        crash_image();
    _exit(0);
}

static void clear_faults(void)
{
    pthread_mutex_lock(&faults.mutex);
    note_calls();
    faults.at = -1;
    pthread_mutex_unlock(&faults.mutex);
    atomic_store(&memory_at, -1);
}

/* Runs the loop until `condition`, or gives up. */
#define work_until(condition)                                                                                          \
    do {                                                                                                               \
        int64_t until_ = clock_mono_ms() + PATIENCE_MS;                                                                \
        while (!(condition)) {                                                                                         \
            if (clock_mono_ms() > until_)                                                                              \
                give_up("never came: " #condition);                                                                    \
            event_base_loop(rig.base, EVLOOP_NONBLOCK);                                                                \
            usleep(100);                                                                                               \
        }                                                                                                              \
    } while (0)

static void log_pages(int n)
{
    atomic_store(&rig.queue->writer.log_pages, n);
}

/* Where starting fails, somebody starts it again; a cause that lasts goes in the end. */
static void open_queue(void)
{
    struct err err = {""};

    for (int i = 0; i < 6; i++) {
        if (i == 4)
            clear_faults();
        if (try_open(&err) == 0) {
            log_pages(LOG_SOON);
            queue_start(rig.queue);
            return;
        }
    }
    give_up(err.text);
}

static void id_of(char id[QUEUE_ID_SIZE], int message)
{
    snprintf(id, QUEUE_ID_SIZE, "BCDFGHJK%02d", message);
}

static void on_put(void *ctx, enum queue_status status)
{
    int message = (int)(intptr_t)ctx;

    record->messages[message].answered = true;
    record->messages[message].ok = status == QUEUE_OK;
    /* Requests are committed in their order; what failed is tried again later, and then nothing is firm. */
    for (int i = 0; i < MESSAGES && status == QUEUE_OK && faults.injected == 0 && !record->died; i++)
        for (int k = 0; k < RECIPIENTS; k++)
            record->messages[i].firm[k] |= record->messages[i].fate[k] != FATE_NONE && i != message;
}

static struct work {
    struct queue_message m;
    struct queue_recipient_in to[RECIPIENTS];
    struct queue_sum sum;
    int64_t chunks[LARGE_CHUNKS];
} works[MESSAGES];
static char large_body[LARGE_SIZE];

/* Most are small, some are large, and one has a few pages of its own. */
static size_t body_size(int message)
{
    bool large = message == REMOVED || message == LARGE || message == WAITS || message == MESSAGES - 1;

    return large ? LARGE_SIZE : message == MEDIUM ? MEDIUM_SIZE : 0;
}

static void fill_large_body(void)
{
    for (size_t i = 0; i < sizeof(large_body); i++)
        large_body[i] = (char)(i * 31 + i / 251);
}

/* Of what stands in the spool, as the check of its signatures has it. */
static void sum(struct work *w)
{
    queue_sum_init(&w->sum, w->m.head.n + spool_size(w->m.body));
    w->sum.chunks = w->chunks;
    queue_sum_add(&w->sum, w->m.head);
    queue_sum_add(&w->sum, slice_from(large_body, (size_t)spool_size(w->m.body)));
    w->m.checked = &w->sum;
}

/* `closes`: it is a DSN. */
static void put(int message, const int64_t *closes, size_t n_closes)
{
    struct work *m = &works[message];

    *m = (struct work){
        .to = {{.address = SLICE("ann@example.org"), .domain = SLICE("example.org"), .orcpt = SLICE("")},
               {.address = SLICE("bob@example.net"), .domain = SLICE("example.net"), .orcpt = SLICE("")}}};
    id_of(m->m.id, message);
    m->m.sender = m->m.bounce_to = m->m.user = SLICE("me@example.com");
    m->m.message_id = m->m.envid = SLICE("");
    m->m.head = SLICE(HEAD_TEXT);
    m->m.recipients = m->to;
    m->m.n_recipients = RECIPIENTS;
    if (body_size(message) > 0) {
        m->m.body = spool_new(rig.dir);
        if (m->m.body == NULL || spool_write(m->m.body, slice_from(large_body, body_size(message)), NULL) < 0)
            spool_free(&m->m.body); /* no memory, or no disk: it is small then */
    }
    if (m->m.body != NULL && message != MESSAGES - 1) /* the last one is read once more */
        sum(m);
    m->m.closes = closes;
    m->m.n_closes = n_closes;
    record->messages[message].put = true;
    queue_put(rig.queue, &m->m, on_put, (void *)(intptr_t)message);
}

static int message_of(const struct queue_item *item)
{
    return atoi(item->id + 8);
}

static bool loaded, load_ok;

static void on_load(void *ctx, bool ok)
{
    (void)ctx;
    loaded = true;
    load_ok = ok;
}

static struct {
    bool done, ok;
    size_t n;
} content;

static void on_content(void *ctx, struct slice bytes)
{
    (void)ctx;
    content.done = true;
    content.ok = bytes.p != NULL;
    content.n += bytes.n;
}

/* Can all of it be read? */
static bool is_readable(struct queue_item *item)
{
    content.n = 0;
    for (unsigned i = 0; content.n < item->size; i++) {
        size_t before = content.n;
        content.done = false;
        queue_read(rig.queue, item, i, on_content, NULL);
        work_until(content.done);
        if (!content.ok || content.n == before)
            return false;
    }
    return true;
}

/* Which of the two recipients of the message an item has: each domain has one. */
static int which(const struct queue_item *item)
{
    return strcmp(item->domain, "example.org") == 0 ? 0 : 1;
}

static void finish(struct queue_item *item, enum queue_outcome outcome)
{
    const struct queue_result result = {.outcome = outcome, .reply = "250 or not"};
    enum fate fate = outcome == QUEUE_DEFERRED ? FATE_DEFERRED : outcome == QUEUE_CLOSED ? FATE_BOUNCED : FATE_GONE;

    record->messages[message_of(item)].fate[which(item)] = fate;
    queue_finish(rig.queue, item, &result, outcome == QUEUE_DEFERRED ? 3600 * 1000 : 0, "a note");
}

/* A DSN about the item, then the item; as delivery does it. */
static void bounce(struct queue_item *item, int dsn)
{
    static int64_t rows[MESSAGES];

    rows[dsn] = item->recipients[0].row;
    put(dsn, &rows[dsn], 1);
    work_until(record->messages[dsn].answered);
    if (record->messages[dsn].ok)
        finish(item, QUEUE_CLOSED);
    else
        queue_finish(rig.queue, item, NULL, 0, NULL);
}

/* What becomes of what is due, by its number. */
static void deal_with(struct queue_item *item)
{
    int message = message_of(item);

    loaded = false;
    queue_load(rig.queue, item, on_load, NULL);
    work_until(loaded);
    if (!load_ok || item->n_recipients != 1 || !is_readable(item)) {
        queue_finish(rig.queue, item, NULL, 0, NULL);
        return;
    }
    if (message == 0 && which(item) == 0 && !record->messages[DSN].put)
        bounce(item, DSN);
    else if (message % 3 == 0)
        finish(item, QUEUE_DELIVERED);
    else if (message % 3 == 1)
        finish(item, which(item) == 0 ? QUEUE_DEFERRED : QUEUE_DELIVERED);
    else
        finish(item, which(item) == 0 ? QUEUE_FAILED_NO_DSN : QUEUE_DEFERRED);
}

static bool nothing_is_due(void)
{
    const struct entry *first = schedule_first(&rig.queue->schedule);

    return rig.queue->out == NULL && (first == NULL || first->due_ms > clock_mono_ms() + 500);
}

static void deal_with_all(void)
{
    int64_t until = clock_mono_ms() + DEAL_MS;

    while (!nothing_is_due() && clock_mono_ms() < until) {
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
        while (rig.n_due > 0)
            deal_with(rig.due[--rig.n_due]);
        usleep(50);
    }
}

static void by_hand(void)
{
    char id[QUEUE_ID_SIZE];
    struct err err;
    size_t changed;

    id_of(id, 2);
    queue_act(rig.path, QUEUE_HOLD, id, &changed, &err);
    id_of(id, REMOVED);
    record->messages[REMOVED].removing = true;
    if (queue_act(rig.path, QUEUE_REMOVE, id, &changed, &err) == 0)
        record->messages[REMOVED].removed = true;
}

/* What is large among them is kept together, whatever the threads do. */
static void put_and_wait(int from, int to)
{
    struct keeper *k = &rig.queue->keeper;

    lane_stop(&k->lane);
    for (int i = from; i < to; i++)
        put(i, NULL, 0);
    keeper_run(k); /* what waits */
    k->lane.stopping = false;
    if (lane_start(&k->lane, "keeper", keeper_run, k, NULL) < 0)
        give_up("no thread");
    for (int i = from; i < to; i++)
        work_until(record->messages[i].answered);
    if (mode->killed && faults.injected > 0) {
        note_calls();
        _exit(0);
    }
}

/* Somebody else reads for a while: the log is copied back only as far as he has come, and that is not synced. */
static void copy_in_part(void)
{
    sqlite3 *other = NULL;

    log_pages(LOG_PAGES);
    put_and_wait(MEDIUM, MEDIUM + 1); /* what was given before this is firm */
    /* Where a sync that fails also takes the content, what is copied in part is not held to anything (docs/queue.md). */
    if (mode->forgets != FORGETS_CONTENT && sqlite3_open(rig.path, &other) == SQLITE_OK)
        sqlite3_exec(other, "BEGIN; SELECT count(*) FROM message", NULL, NULL, NULL);
    log_pages(1);
    put_and_wait(MEDIUM + 1, MEDIUM + 2);
    by_hand();
    sqlite3_close(other);
    put_and_wait(MEDIUM + 2, MEDIUM + 3);
    log_pages(LOG_SOON);
}

static void work(void)
{
    open_queue();
    put_and_wait(0, 1);
    put_and_wait(1, LARGE + 1);
    deal_with_all();
    copy_in_part();
    deal_with_all();
    close_queue();
    open_queue();
    put_and_wait(MEDIUM + 3, MEDIUM + 4);
    deal_with_all();
}

/* The cause has gone: everything goes on as if nothing had been, without a new start. */
static void work_after(void)
{
    clear_faults();
    put_and_wait(MESSAGES - 1, MESSAGES);
    if (!record->messages[MESSAGES - 1].ok)
        give_up("the cause has gone, and still a message is not stored");
    work_until(rig.queue->writer.carried.head == NULL);
    close_queue();
    record->orderly = true;
}

/* ---- the child
 * --------------------------------------------------------------------------------------------------------- */

static bool cuts_power(const struct mode *m)
{
    return m->crash || m->then_crash || m->second_life;
}

static void arm(long at)
{
    faults.kinds = mode->kinds;
    faults.at = at;
    faults.count = mode->for_ever ? 1L << 40 : 1;
    faults.crash = mode->crash;
    faults.result = mode->result != 0 ? mode->result : SQLITE_IOERR_WRITE;
    faults.forgets = mode->forgets;
    faults.dies = mode->second_life;
    faults.survives = mode->survives;
    faults.no_crash = !cuts_power(mode) && mode->forgets != FORGETS_CONTENT;
    faults.random = (unsigned)at * 2654435761U + mode->survives;
    atomic_store(&memory_kind, mode->memory);
    atomic_store(&memory_count, faults.count);
    atomic_store(&memory_at, mode->memory != 0 ? at : -1);
    if (mode->memory != 0)
        faults.kinds = 0;
}

static void begin_child(void)
{
    char path[96];

    alarm(60);
    fill_large_body();
    snprintf(path, sizeof(path), "%s/queue.db", rig.dir);
    prepare(path);
    log_to(fopen("/dev/null", "w"));
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) == SQLITE_OK) {
        sqlite3_mem_methods failing = real_memory;
        failing.xMalloc = sqlite_malloc;
        failing.xRealloc = sqlite_realloc;
        if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK)
            give_up("sqlite3_config");
    }
    faults_register();
    faults.image = rig.image;
    faults.on_crash = on_crash;
}

static void power_cut(void)
{
    pthread_mutex_lock(&faults.mutex);
    crash_image();
    _exit(0);
}

static void first_life(long at)
{
    begin_child();
    arm(at);
    work();
    record->finished = true;
    if (mode->then_crash) { /* the sync that failed is long past */
        clear_faults();
        power_cut();
    }
    work_after();
}

/* Goes on with what the process before it has left in the page cache. */
static void second_life(long at)
{
    (void)at;
    record->died = true;
    begin_child();
    faults.at = -1;
    open_queue();
    put_and_wait(MESSAGES - 1, MESSAGES);
    power_cut();
}

/* ---- looking at what is left, in a child of its own
 * ---------------------------------------------------------------------- */

static sqlite3 *left;

static int64_t number(const char *format, ...)
{
    sqlite3_stmt *st = NULL;
    va_list ap;

    va_start(ap, format);
    char *sql = sqlite3_vmprintf(format, ap);
    va_end(ap);
    if (sqlite3_prepare_v2(left, sql, -1, &st, NULL) != SQLITE_OK)
        give_up(sqlite3_errmsg(left));
    int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    sqlite3_free(sql);
    return n;
}

#define demand(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            snprintf(record->complaint, sizeof(record->complaint), __VA_ARGS__);                                       \
            _exit(2);                                                                                                  \
        }                                                                                                              \
    } while (0)

static bool is_there(int64_t row, int k)
{
    return number("SELECT count(*) FROM recipient WHERE row = %lld", (long long)key_of(row, (unsigned)k)) == 1;
}

static void look_at_recipient(int message, int64_t row, int k, bool strict)
{
    enum fate fate = record->messages[message].fate[k];
    bool there = is_there(row, k), firm = record->messages[message].firm[k] || strict;
    bool bounced = message == 0 && k == 0 && number("SELECT count(*) FROM message WHERE id = 'BCDFGHJK%02d'", DSN) > 0;

    if (record->messages[message].removing) {
        demand(!there || !record->messages[message].removed, "message %d was removed, and is there", message);
        return;
    }
    if (bounced || (fate == FATE_GONE && firm))
        demand(!there, "recipient %d of message %d is there, and was finished%s", k, message,
               bounced ? " by a DSN" : "");
    if (fate == FATE_NONE || fate == FATE_DEFERRED)
        demand(there || bounced, "recipient %d of message %d is lost", k, message);
    if (fate == FATE_BOUNCED)
        demand(there || bounced, "recipient %d of message %d is neither there nor bounced", k, message);
    if (fate == FATE_DEFERRED && firm)
        demand(number("SELECT attempts FROM recipient WHERE row = %lld", (long long)key_of(row, (unsigned)k)) > 0,
               "recipient %d of message %d was put off, and is not", k, message);
}

static void look_at_message(int message, bool strict)
{
    int64_t row = number("SELECT row FROM message WHERE id = 'BCDFGHJK%02d'", message);
    bool any = false;

    demand(row != 0 || !record->messages[message].ok, "message %d was answered OK, and is lost", message);
    if (row == 0)
        return;
    demand(record->messages[message].put, "message %d was never put", message);
    for (int k = 0; k < RECIPIENTS; k++) {
        look_at_recipient(message, row, k, strict);
        any |= is_there(row, k);
    }
    bool finished = number("SELECT finished_ms IS NOT NULL FROM message WHERE row = %lld", (long long)row) != 0;
    demand(finished == !any, "message %d is finished, and is not", message);
    struct store s = {.db = left, .folder = content_folder(rig.path)};
    int64_t size = number("SELECT size FROM message WHERE row = %lld", (long long)row);
    if (any)
        demand(store_is_whole(&s, row, (uint64_t)size) && (size == HEAD || size == HEAD + (int64_t)body_size(message)),
               "message %d is not whole", message);
    for (size_t i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s.statements[i]);
    free(s.folder);
}

static int64_t count_bodies(void)
{
    char *folder = content_folder(rig.path);
    DIR *dir = folder != NULL ? opendir(folder) : NULL;
    int64_t n = 0;

    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    free(folder);
    return n;
}

static bool is_set_aside(const char *folder)
{
    bool found = false;
    DIR *dir = opendir(folder);

    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        found |= strstr(e->d_name, ".corrupt") != NULL;
    closedir(dir);
    return found;
}

static void look(const char *folder)
{
    struct err err = {""};
    static char path[200];

    snprintf(path, sizeof(path), "%s/queue.db", folder);
    alarm(60);
    log_to(fopen("/dev/null", "w"));
    prepare(path);
    if (try_open(&err) < 0)
        give_up(err.text);
    size_t length = queue_length(rig.queue);
    queue_close(&rig.queue);
    demand(!is_set_aside(folder), "the file was set aside as damaged");
    if (sqlite3_open(path, &left) != SQLITE_OK)
        give_up("open");
    demand(number("SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1, "integrity_check is not ok");
    for (int i = 0; i < MESSAGES; i++)
        look_at_message(i, record->orderly && !mode->for_ever);
    demand((int64_t)length == number("SELECT count(*) FROM message WHERE finished_ms IS NULL"), "the length is wrong");
    demand(count_bodies() == number("SELECT count(*) FROM message WHERE head IS NOT NULL AND finished_ms IS NULL"),
           "a body is left");
    demand(number("SELECT count(*) FROM chunk WHERE row >> 16 NOT IN (SELECT row FROM message)") == 0,
           "content is left");
    demand(number("SELECT count(*) FROM recipient WHERE row >> 16 NOT IN (SELECT row FROM message)") == 0,
           "recipients are left");
    sqlite3_close(left);
    _exit(0);
}

/* ---- one run after the other
 * --------------------------------------------------------------------------------------------- */

/* Of all processes that run. */
static struct total {
    atomic_long runs, answered, refused, failed;
    atomic_bool ended; /* a run did not come as far as its call any more */
} * total;

static bool run_in_child(void (*what)(long at), long at)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        what(at);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (record->complaint[0] == '\0')
        snprintf(record->complaint, sizeof(record->complaint), "%s %d", WIFSIGNALED(status) ? "signal" : "exit",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static void look_at_dir(long at)
{
    (void)at;
    look(rig.dir);
}

static void look_at_image(long at)
{
    (void)at;
    look(rig.image);
}

static void clear_folder(const char *folder)
{
    char bodies[200];
    DIR *dir = opendir(folder);

    snprintf(bodies, sizeof(bodies), "%s/queue.db-content", folder);
    if (strstr(folder, "-content") == NULL && access(bodies, F_OK) == 0)
        clear_folder(bodies);

    if (dir == NULL)
        abort();
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dirfd(dir), e->d_name, 0) < 0 &&
            errno != EISDIR)
            abort();
    closedir(dir);
    if (strstr(folder, "-content") != NULL)
        rmdir(folder);
}

/* In memory where that can be: what the disk is to keep is known from its shadow. */
static void make_folders(void)
{
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(rig.dir, sizeof(rig.dir), "%s/sendas-faults-XXXXXX", where);
    snprintf(rig.image, sizeof(rig.image), "%s/sendas-image-XXXXXX", where);
    if (mkdtemp(rig.dir) == NULL || mkdtemp(rig.image) == NULL)
        abort();
}

static void remove_folders(void)
{
    clear_folder(rig.dir);
    clear_folder(rig.image);
    rmdir(rig.dir);
    rmdir(rig.image);
}

static void tally(void)
{
    for (int i = 0; i < MESSAGES; i++) {
        total->answered += record->messages[i].ok;
        total->refused += record->messages[i].answered && !record->messages[i].ok;
    }
}

/* False when the work ended before it came to call number `at`. */
static bool run(long at)
{
    bool whole_disk = cuts_power(mode);

    memset(record, 0, sizeof(*record));
    disk_clear();
    make_folders();
    bool ok = run_in_child(first_life, at);
    bool reached = record->injected > 0 || !ok;
    if (ok && reached && mode->second_life)
        ok = run_in_child(second_life, at);
    if (ok && (reached || at < 0))
        ok = run_in_child(whole_disk && (reached || mode->then_crash) ? look_at_image : look_at_dir, at);
    total->runs++;
    tally();
    if (!ok) {
        total->failed++;
        printf("FAIL  %s, call %ld: %s (seen in %s)\n", mode->name, at, record->complaint,
               whole_disk ? rig.image : rig.dir);
        fflush(stdout);
    }
    if (ok || getenv("FAULTS_KEEP") == NULL)
        remove_folders();
    return reached;
}

static void *shared_memory(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return p;
}

/* Every `step`-th call from `at` on, in a process of its own. */
static pid_t start_job(long at, long step)
{
    pid_t pid = fork();

    if (pid < 0)
        abort();
    if (pid > 0)
        return pid;
    disk = NULL;
    record = shared_memory(sizeof(*record));
    while (run(at))
        at += step;
    _exit(0);
}

/* `runs_wanted` 0: all. */
static void run_mode(long runs_wanted, int jobs)
{
    struct timespec begin, end;
    long runs = total->runs;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    run(-1);
    long calls = record->calls;
    long step = runs_wanted == 0 || calls <= runs_wanted ? 1 : calls / runs_wanted;
    for (int i = 0; i < jobs; i++)
        start_job((mode - modes) % step + i * step, jobs * step);
    for (int i = 0; i < jobs; i++)
        wait(NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%-44s %5ld calls, %5ld runs  %5.1f s\n", mode->name, calls, (long)total->runs - runs,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    fflush(stdout);
}

static long number_in(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strcmp(text, "all") == 0 ? 0 : atol(text);
}

/* test_faults [MODE [CALL]]: all, one way of failing, or one single run. */
int main(int argc, char **argv)
{
    long runs_wanted = number_in("FAULTS", 5), jobs = number_in("FAULTS_JOBS", 4);
    long only_mode = argc > 1 ? atol(argv[1]) : -1, only = argc > 2 ? atol(argv[2]) : -1;

    record = shared_memory(sizeof(*record));
    total = shared_memory(sizeof(*total));
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        mode = &modes[i];
        if (only_mode == (long)i && only >= 0)
            run(only);
        else if (only_mode < 0 || only_mode == (long)i)
            run_mode(runs_wanted, (int)jobs);
    }
    printf("%ld runs, %ld messages answered OK, %ld refused, %ld promises broken\n", (long)total->runs,
           (long)total->answered, (long)total->refused, (long)total->failed);
    return total->failed == 0 ? 0 : 1;
}
