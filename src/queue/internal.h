/* src/queue/internal.h - what the files of the queue share.
 *
 *   queue.c     the door: requests go out, results come back, all on the loop thread
 *   start.c     before the threads run: the lock, the schedule from the store
 *   schedule.c  what is due when, in memory
 *   lane.c      a thread that takes requests, and the way back to the loop
 *   writer.c    the lane that commits: groups, failures, retries
 *   reader.c    the lane that reads
 *   store.c     the statements
 *   schema.c    the file: opening, pragmas, migrations
 *   list.c      looking inside from another process
 *
 * Keys: message.row counts up.  A recipient's row is message.row * 65536 + its index in the envelope, a chunk's row is
 * message.row * 65536 + its number, so that all that belongs to a message is one range, without an index. */
#ifndef SENDAS_QUEUE_INTERNAL_H
#define SENDAS_QUEUE_INTERNAL_H

#include "sendas/queue.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum {
    KEY_BITS = 16,
    RECIPIENTS_MAX = 1 << KEY_BITS,
    CHUNKS_MAX = 1 << KEY_BITS,
    /* A group of requests that shares a commit ends at these; a message above PUT_STEP goes in over several. */
    GROUP_REQUESTS_MAX = 500,
    GROUP_BYTES_MAX = 4 * 1024 * 1024,
    PUT_STEP_CHUNKS = 16,
};

static inline int64_t key_of(int64_t message_row, unsigned index)
{
    return message_row * (1 << KEY_BITS) + index;
}

static inline int64_t key_message(int64_t key)
{
    return key >> KEY_BITS;
}

/* ---- schedule: items that wait, by the monotonic time they are due -------------------------------------------- */

/* An item at rest: some 90 octets. */
struct entry {
    struct entry *next; /* in a list, while not in the heap */
    int64_t due_ms;     /* all three monotonic: a jump of the wall clock moves nothing */
    int64_t created_ms, expires_ms;
    int64_t message_row;
    const char *domain; /* behind `index` */
    char id[QUEUE_ID_SIZE];
    uint32_t user_tag;
    unsigned n;       /* recipients */
    uint16_t index[]; /* their indexes, ascending */
};

/* A recipient on its way into an entry. */
struct pending {
    struct slice domain;
    int64_t due_ms;
    uint16_t index;
};

struct schedule {
    struct entry **heap;
    size_t n, cap;
};

struct entry *entry_new(struct slice domain, size_t n);
/* One entry for each domain and due time among v (which is sorted for it), a copy of `like` otherwise: a list, oldest
 * first; NULL when out of memory.  n > 0. */
struct entry *entries_build(const struct entry *like, struct pending *v, size_t n);
void entries_free(struct entry **list);
/* -1 when out of memory; the entry is the schedule's on success. */
int schedule_add(struct schedule *s, struct entry *e);
/* The entry due first, or NULL; it stays in the schedule. */
struct entry *schedule_first(const struct schedule *s);
/* Takes the entry that is due first out; NULL when there is none. */
struct entry *schedule_take(struct schedule *s);
/* Entries of the domains that `which` says yes to are due at `due_ms` at the latest. */
void schedule_hasten(struct schedule *s, int64_t due_ms, bool (*which)(void *ctx, const char *domain), void *ctx);
uint32_t schedule_user_tag(struct slice user);
/* Room for `n` entries in all, so that adding that many cannot fail. */
int schedule_reserve(struct schedule *s, size_t n);
void schedule_free(struct schedule *s);
/* base_ms, up to a tenth more.  Never less: who asks for a minute (greylisting) gets it. */
int64_t schedule_jitter(int64_t base_ms);

/* ---- the store: one connection to the file ---------------------------------------------------------------------- */

enum store_mode { STORE_WRITE = 0, STORE_READ };

enum { STORE_STATEMENTS = 32 };

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENTS];
};

/* Opens `path`; STORE_WRITE makes it (mode 0600) and brings its schema up to date. */
int store_open(struct store *s, const char *path, enum store_mode mode, struct err *err);
void store_close(struct store *s);

/* All of these return SQLITE_OK or an extended result code. */
int store_begin(struct store *s);
int store_commit(struct store *s);
/* Ends a transaction if there is one, whatever has happened. */
void store_rollback(struct store *s);
/* The errno behind an extended result code, 0 if there is none: to be asked right after the failure, with errno 0
 * before. */
int store_cause(const struct store *s, int rc);
/* What both mean for a client. */
enum queue_status store_status(int rc, int cause);

/* Calls each() for all recipients of messages that are not held, in the order of their keys; counts messages that are
 * not finished. */
struct store_waiting {
    int64_t key, created_ms, expires_ms, next_ms; /* wall clock */
    const char *id;
    struct slice domain, user;
};
int store_scan(struct store *s, int (*each)(void *ctx, const struct store_waiting *w), void *ctx, size_t *messages);
int store_last_row(struct store *s, int64_t *ret);
/* Deletes what messages left that a crash cut short. */
int store_drop_partial(struct store *s);
/* Forgets at most `limit` messages that were finished before `before_ms`. */
int store_prune(struct store *s, int64_t before_ms, int limit, int *pruned);

/* Gives some room back to the file system when the file holds more than 64 MB of it unused. */
int store_shrink(struct store *s, bool *more);

/* ---- requests -------------------------------------------------------------------------------------------------------
 */

enum request_kind { REQUEST_PUT = 0, REQUEST_FINISH, REQUEST_LOAD, REQUEST_READ };

struct request {
    struct request *next;
    enum request_kind kind;
};

struct requests {
    struct request *head, **tail;
};

void requests_init(struct requests *l);
void requests_push(struct requests *l, struct request *r);
struct request *requests_pop(struct requests *l);
/* Moves all of `from` to the end of `to`. */
void requests_move(struct requests *to, struct requests *from);

/* A message on its way in. */
struct put {
    struct request request;
    struct queue_message m;
    uint64_t size;
    int64_t created_ms, expires_ms;
    struct entry *entries;            /* to be scheduled once it is stored */
    int64_t row;                      /* given by the writer */
    unsigned chunks, stored, reached; /* in all; committed; with the open transaction */
    bool complete;                    /* the open transaction brings the whole message */
    enum queue_status status;
    size_t finished; /* other messages that its `closes` ended */
    void (*done)(void *ctx, enum queue_status status);
    void *ctx;
};

/* Stores the next step of the message; put->reached tells how far it got. *reason is set for a failure that is not
 * SQLite's. */
int store_put(struct store *s, struct put *p, int64_t now_ms, const char **reason);
/* Takes back what earlier steps of a message have stored. */
int store_put_undo(struct store *s, const struct put *p);

/* What happened to a recipient. */
struct finish_row {
    enum queue_outcome outcome;
    bool warned;
    char *reply; /* malloc'ed, or NULL */
};

/* An item that is lent out; when it comes back it is the request that records how it went, so that finishing needs no
 * memory. */
struct item {
    struct request request;
    struct queue_item item;
    struct entry *entry;
    struct finish_row *rows;
    char *note;
    int64_t next_ms;   /* wall clock, of the deferred ones */
    size_t finished;   /* 1 when this ended the message */
    bool gone, failed; /* what loading found: no such message, or it could not be read */
    struct load *loading;
    struct read *reading; /* all that are under way */
    bool abandoned;       /* finished while it was loading */
};

static inline struct item *item_of(const struct queue_item *item)
{
    return (struct item *)((char *)item - offsetof(struct item, item));
}

int store_finish(struct store *s, struct item *it, int64_t now_ms);
void item_free(struct item **pit);

struct load {
    struct request request;
    struct item *item;
    bool ok;
    void (*done)(void *ctx, bool ok);
    void *ctx;
};

struct read {
    struct request request;
    struct item *item;  /* only while `done` is set */
    struct read *other; /* the next one of the item */
    int64_t message_row;
    unsigned index;
    struct slice bytes; /* .p NULL = failed; malloc'ed */
    void (*done)(void *ctx, struct slice bytes);
    void *ctx;
};

/* Fills the item from the store.  Recipients that are no longer there leave the item and its entry; when none is left,
 * or the message is not there, item->gone is set. */
int store_load(struct store *s, struct item *it);
int store_read(struct store *s, struct read *r);

/* ---- lanes
 * ------------------------------------------------------------------------------------------------------------ */

struct lane {
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct requests waiting, done; /* under the mutex, as is: */
    bool stopping;
    struct loop_notifier *notifier;
};

/* `on_loop` is called on the loop thread when there is something in `done`. */
int lane_init(struct lane *l, struct event_base *base, void (*on_loop)(void *ctx), void *ctx, struct err *err);
int lane_start(struct lane *l, const char *name, void *(*run)(void *ctx), void *ctx, struct err *err);
void lane_submit(struct lane *l, struct request *r);
/* On the lane's thread: moves what waits into `to`, after waiting for at most `timeout_ms` (-1: for ever) when there is
 * nothing.  False when the lane is to stop and nothing is left. */
bool lane_take(struct lane *l, struct requests *to, int64_t timeout_ms);
void lane_post(struct lane *l, struct requests *done);
void lane_take_done(struct lane *l, struct requests *to);
/* Lets the thread finish what waits and joins it. */
void lane_stop(struct lane *l);
void lane_free(struct lane *l);

struct writer {
    struct lane lane;
    struct store store;
    char *path;
    int64_t next_row;
    struct requests backlog; /* taken, in no group yet */
    struct requests carried; /* finishes that could not be committed, oldest first: tried again until they can */
    int64_t carried_until_ms, tidy_at_ms, complained_ms;
    bool ailing;  /* the last commit failed */
    bool orphans; /* chunks of a put that failed may still be there */
    _Atomic int64_t history_ms;
    atomic_size_t commits; /* so far; for tests */
};

void *writer_run(void *writer);

struct reader {
    struct lane lane;
    struct store store;
};

void *reader_run(void *reader);

/* ---- the queue itself: loop thread only, but for writer and reader ------------------------------------------------
 */

struct queue {
    struct event_base *base;
    struct queue_events events;
    struct event *timer;
    struct schedule schedule;
    size_t outside; /* entries that are lent out or being put: the schedule always has room for them */
    size_t length;
    int64_t *retry_ms;
    size_t n_retry;
    int64_t lifetime_ms;
    bool started, closing;
    int lock_fd;
    struct writer writer;
    struct reader reader;
};

/* `path`.lock, held while the queue is open. */
int start_lock(const char *path, int *ret_fd, struct err *err);
/* Removes what a crash cut short, and fills the schedule from writer.store; before the threads run. */
int start_load(struct queue *q, struct err *err);

/* How many commits were made so far: what the tests of groups look at. */
size_t queue_commits(const struct queue *q);

#endif
