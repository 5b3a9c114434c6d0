/* src/queue/internal.h - what the files of the queue share.
 *
 *   queue.c     the door: requests go out, results come back, all on the loop thread
 *   start.c     before the threads run: the lock, a damaged file aside, the schedule from the store
 *   control.c   what other processes did to the queue, taken over into the schedule
 *   damage.c    is the file damaged, and setting it aside
 *   schedule.c  what is due when, in memory
 *   company.c   what goes to the writer together
 *   lane.c      a thread that takes requests, and the way back to the loop
 *   writer.c    the lane that commits: groups, failures, retries
 *   reader.c    the lane that reads
 *   fresh.c     what was stored a moment ago, still in memory
 *   store.c     a message comes in, its outcomes, housekeeping; all inside the transaction of the caller
 *   load.c      a message comes back: envelope, recipients, content
 *   statements.c  the statements themselves
 *   keeper.c    the lane that gives files of large bodies their names
 *   content.c   large bodies, in files beside the database
 *   sum.c       sums of content: of a chunk, and of all of them
 *   schema.c    the file: opening, pragmas, migrations
 *   mend.c      after a sync that failed; the log back into the file
 *   figures.c   what waits, in numbers
 *   list.c      looking inside from another process: all that waits
 *   record.c    looking inside from another process: all about one message, also one that is gone
 *   events.c    what happened to it, causes before effects
 *   change.c    changing it from another process: hold, release, retry, remove
 *   rescue.c    what can be read of a damaged file, back into the queue
 *
 * Keys: message.row counts up.  A recipient's row is message.row * 65536 + its index in the envelope, a chunk's row is
 * message.row * 65536 + its number, so that all that belongs to a message is one range, without an index. */
#ifndef SENDAS_QUEUE_INTERNAL_H
#define SENDAS_QUEUE_INTERNAL_H

#include "sendas/queue.h"

#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/queue.h>

enum {
    KEY_BITS = 16,
    RECIPIENTS_MAX = 1 << KEY_BITS,
    CHUNKS_MAX = 1 << KEY_BITS,
    /* A group of requests that shares a commit ends at these. */
    GROUP_REQUESTS_MAX = 500,
    GROUP_BYTES_MAX = 4 * 1024 * 1024,
    DOUBTFUL_MAX = 64,
    LOG_PAGES = 2048, /* a longer log (16 MB) is copied back */
};

#define MESSAGE_ROW_MAX (INT64_MAX >> (KEY_BITS + 1))

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
    uint32_t user_tag, urgent;
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
    struct entry *held; /* these wait for nobody: a list; the heap has room for them, too */
    size_t n_held;
    uint32_t urges; /* how often an operator asked for something to be tried */
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
/* Takes all entries of a message out, held ones too: a list. */
struct entry *schedule_take_message(struct schedule *s, int64_t message_row);
void schedule_hold(struct schedule *s, struct entry *e);
/* Makes the entries of a message, or of all (-1), due now.  Held ones stay held. */
void schedule_hasten_message(struct schedule *s, int64_t message_row, int64_t due_ms);
/* Entries of the domains that `which` says yes to are due at `due_ms` at the latest. */
void schedule_hasten(struct schedule *s, int64_t due_ms, bool (*which)(void *ctx, const char *domain), void *ctx);
uint32_t schedule_user_tag(struct slice user);
/* Room for `n` entries in all, so that adding that many cannot fail. */
int schedule_reserve(struct schedule *s, size_t n);
void schedule_free(struct schedule *s);
/* base_ms, up to a tenth more.  Never less: who asks for a minute (greylisting) gets it. */
int64_t schedule_jitter(int64_t base_ms);

/* ---- the store: one connection to the file ---------------------------------------------------------------------- */

enum store_mode {
    STORE_WRITE = 0, /* the daemon's */
    STORE_READ,
    STORE_CHANGE /* read-write beside a daemon: makes nothing, upgrades nothing */
};

/* Why a store did not open, beside -1: the file is damaged; or it is no queue, or one whose beginning is damaged. */
enum { STORE_DAMAGED = -2, STORE_FOREIGN = -3 };

enum { STORE_STATEMENTS = 36 };

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENTS];
    char *folder; /* of large bodies */
    struct strbuf
        ended;  /* ids of messages that the open transaction ends and that have a file: it goes with the commit */
    bool wrote; /* a commit wrote something since this was cleared (STORE_WRITE) */
    int frames; /* in the log with the last commit, as far as they have to be copied back (STORE_WRITE) */
};

/* Opens `path`; STORE_WRITE makes it (mode 0600) and brings its schema up to date.  0, -1 or one of the above. */
int store_open(struct store *s, const char *path, enum store_mode mode, struct err *err);
/* The first page of a queue of this version with nothing in it, into `page`; the newest version. */
enum { STORE_PAGE = 8192 };
int store_first_page(unsigned char page[STORE_PAGE], int version, struct err *err);
int store_version(void);
/* Writes the log again, as it stands, and syncs it; then all of it waits to be copied back.  After a failure, of a sync
 * above all, nothing may be committed before this has succeeded.  Extended result code. */
int store_mend(struct store *s);
/* Copies back what no reader keeps in the log; s->frames is 0 when that was all.  After a failure, store_mend. */
int store_copy_back(struct store *s);
/* When the store is closed without this, its log stays as it is. */
void store_keep(struct store *s);
/* Does the result say that the file is damaged? */
bool store_is_damage(int rc);
void store_close(struct store *s);

/* All of these return SQLITE_OK or an extended result code. */
int store_begin(struct store *s);
int store_commit(struct store *s);
/* Ends a transaction if there is one, whatever has happened. */
void store_rollback(struct store *s);
/* The errno behind an extended result code, 0 if there is none: to be asked right after the failure, with errno 0
 * before. */
int store_cause(const struct store *s, int rc);
/* Is it nothing that disk or file have done, such as no memory, or a lock? */
bool store_is_passing(int rc);
/* What a result means for a client. */
enum queue_status store_status(int rc);

/* Calls each() for all recipients of the messages from `first` to `last`, in the order of their keys; counts the
 * messages. */
struct store_waiting {
    int64_t key, created_ms, expires_ms, next_ms; /* wall clock */
    const char *id;
    struct slice domain, user;
    bool held;
};
int store_scan(struct store *s, int64_t first, int64_t last, int (*each)(void *ctx, const struct store_waiting *w),
               void *ctx, size_t *messages);
int store_last_row(struct store *s, int64_t *ret);
/* The octets that a chunk lacks that has its sum already, and `have` octets. */
int store_fill_chunk(struct store *s, int64_t key, size_t have, struct slice bytes);
/* Deletes what messages left that a crash cut short (versions 1 and 2). */
int store_drop_partial(struct store *s);
/* The ids of all that waits and has a file, QUEUE_ID_LEN octets each. */
int store_files(struct store *s, struct strbuf *ids);
/* The open transaction ends this message: its file, if there is one, goes after the commit. */
int store_file_ends(struct store *s, const char *id);
/* Looks at PRUNE_LOOK messages behind the row *place, which moves on, and begins again with the first behind those that came
 * before `before_ms`; forgets those that were finished before then, PRUNE_BATCH at most. */
enum { PRUNE_BATCH = 100, PRUNE_LOOK = 5000 };
int store_prune(struct store *s, int64_t before_ms, int64_t now_ms, int64_t *place, int *pruned);

/* The oldest change that another process has made and that the daemon has not seen; .row 0 when there is none. */
struct store_control {
    int64_t row, message_row, action;
    char id[QUEUE_ID_SIZE];
};
int store_control_first(struct store *s, struct store_control *ret);
int store_control_drop(struct store *s, int64_t row);
int store_control_drop_all(struct store *s);

/* When the newest event was; 0 when there is none. */
int store_newest_ms(struct store *s, int64_t *ret);
/* Leaves a stamp of now: a small write. */
int store_stamp(struct store *s, int64_t now_ms);
/* Moves the stamps of all that waits: the times of expiry, and with `all` also those of arrival and of the next
 * attempt. Leaves a stamp of now. */
int store_move_stamps(struct store *s, int64_t by_ms, bool all, int64_t now_ms);

/* Gives some room back to the file system when the file holds more than 64 MB of it unused. */
int store_shrink(struct store *s, bool *more);

/* ---- requests -------------------------------------------------------------------------------- */

enum request_kind {
    REQUEST_PUT = 0,
    REQUEST_FINISH,
    REQUEST_LOAD,
    REQUEST_READ,
    REQUEST_LOOK,  /* to the writer: another process may have changed something */
    REQUEST_NOTICE /* from the writer: it has */
};

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
    struct entry *entries; /* to be scheduled once it is stored */
    int64_t row;           /* given by the writer */
    unsigned chunks;
    bool in_file;        /* the body is in a file of the queue, and on the disk */
    uint64_t stored_sum; /* of all of the content, once it is stored */
    enum queue_status status;
    size_t finished; /* other messages that its `closes` ended */
    void (*done)(void *ctx, enum queue_status status);
    void *ctx;
};

/* *reason is set for a failure that is not SQLite's. */
int store_put(struct store *s, struct put *p, int64_t now_ms, const char **reason);

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
    struct item *before, *after; /* in queue.out, while it has its entry */
    bool held, removed;          /* meanwhile, by another process */
    struct finish_row *rows;
    char *note;
    int64_t next_ms;   /* wall clock, of the deferred ones */
    size_t finished;   /* 1 when this ended the message */
    bool gone, failed; /* what loading found: no such message, or it could not be read */
    bool passing;      /* and that passes: no memory, or a lock */
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
    char id[QUEUE_ID_SIZE];
    int64_t message_row;
    unsigned index;
    struct slice bytes; /* .p NULL = failed; malloc'ed, or of `fresh` */
    struct fresh *fresh;
    void (*done)(void *ctx, struct slice bytes);
    void *ctx;
};

/* ---- what was stored a moment ago: loop thread only ---------------------------------------------------- */

struct fresh_cache {
    TAILQ_HEAD(fresh_list, fresh) list;
    size_t n, bytes, files;
    char *buffer; /* for a chunk of a file */
};

/* Keeps what was just committed, if it is small and its octets are still those that were stored, or if it is in a file;
 * older ones may go. */
void fresh_add(struct fresh_cache *c, const struct put *p);
/* Fills the item of the request; false when the message is not here. */
bool fresh_load(struct fresh_cache *c, struct load *l);
/* Keeps the message for the request, whatever happens meanwhile; false when it is not here. */
bool fresh_read(struct fresh_cache *c, struct read *r);
/* Then, r->fresh being set: r->bytes until the next one or the end; false when the octets are not in memory, or altered:
 * then the request is the reader's. */
bool fresh_fill(struct fresh_cache *c, struct read *r);
/* Lets go of r->bytes, wherever they came from. */
void fresh_read_end(struct read *r);
/* The message is no longer as it came in. */
void fresh_drop(struct fresh_cache *c, int64_t message_row);
void fresh_drop_all(struct fresh_cache *c);

/* Changes with any octet: what came back from the disk altered must not leave with a signature that fails. */
int64_t store_sum(struct slice bytes);
/* The sum of all chunks up to and with this one: `all` is 0 for the first. */
uint64_t store_sum_next(uint64_t all, int64_t chunk);
/* Those of all chunks as they were checked, when it was this content.  NULL = unknown. */
const int64_t *sum_chunks(const struct put *p);

/* Fills the item from the store.  Recipients that are no longer there leave the item and its entry; when none is left,
 * or the message is not there, item->gone is set. */
int store_load(struct store *s, struct item *it);
int store_read(struct store *s, struct read *r);
/* Is all of the content there, `size` octets with the right sums? */
bool store_is_whole(struct store *s, int64_t message_row, uint64_t size);

/* What another process did: the numbers stand in the file.  NOTICE_ADD comes with the entries of a message that is new.
 */
enum notice_action { NOTICE_HOLD = 0, NOTICE_RELEASE, NOTICE_RETRY, NOTICE_REMOVE, NOTICE_ADD };

enum { EVERY_MESSAGE = -1 }; /* as a message_row; no message has it */

struct notice {
    struct request request;
    enum notice_action action;
    int64_t message_row;
    char id[QUEUE_ID_SIZE]; /* "" for all messages */
    struct entry *entries;
};

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
/* The same for a list, which is empty then: the thread is woken once. */
void lane_submit_all(struct lane *l, struct requests *all);
/* On the lane's thread: moves what waits into `to`, after waiting for at most `timeout_ms` (-1: for ever) when there is
 * nothing.  False when the lane is to stop and nothing is left. */
bool lane_take(struct lane *l, struct requests *to, int64_t timeout_ms);
void lane_post(struct lane *l, struct requests *done);
void lane_take_done(struct lane *l, struct requests *to);
/* Lets the thread finish what waits and joins it. */
void lane_stop(struct lane *l);
void lane_free(struct lane *l);

/* Requests to the writer that wait for others: loop thread only. */
struct company {
    struct lane *lane;
    struct event *timer;
    struct requests waiting;
    int outcomes, puts; /* that wait */
    int expected;       /* messages on their way to queue_put */
};

int company_init(struct company *c, struct event_base *base, struct lane *lane);
void company_free(struct company *c);
void company_add_outcome(struct company *c, struct request *r);
void company_add_put(struct company *c, struct request *r);
void company_expect(struct company *c, int n);
/* What waits goes now. */
void company_go(struct company *c);

struct writer {
    struct lane lane;
    struct store store;
    char *path;
    const char *folder; /* the keeper's */
    int64_t next_row;
    struct requests backlog; /* taken, in no group yet */
    struct requests carried; /* finishes that could not be committed, oldest first: tried again until they can */
    int64_t carried_until_ms, tidy_at_ms, complained_ms, copy_at_ms;
    int64_t prune_place;       /* see store_prune */
    atomic_int log_pages;      /* LOG_PAGES; tests take less */
    int64_t wall_less_mono_ms; /* changes when somebody sets the clock */
    atomic_bool ailing;        /* the last commit failed */
    bool copying_fails;        /* the log could not be copied back */
    bool damaged;              /* the next start is told to look */
    /* A commit failed in a way that leaves open whether a crash now would bring it back.  Files of puts that were in it, or
     * failed since, wait (their ids) for the next commit, which makes an end of it. */
    bool doubt;
    char doubtful[DOUBTFUL_MAX][QUEUE_ID_SIZE]; /* no memory is needed for this; more of them the next start removes */
    size_t n_doubtful;
    _Atomic int64_t history_ms;
    atomic_size_t commits; /* so far; for tests */
};

void *writer_run(void *writer);

/* The thread that makes files of large bodies, before the writer has their messages. */
struct keeper {
    struct lane lane;
    struct lane *writer;
    char *folder;
    bool has_folder; /* and its name is on the disk */
    bool ailing;     /* the last one failed */
    int64_t complained_ms;
};

void *keeper_run(void *keeper);

struct reader {
    struct lane lane;
    struct store store;
    const char *path; /* the writer's */
    int64_t complained_ms;
};

void *reader_run(void *reader);

/* ---- the queue itself: loop thread only, but for writer and reader --------------------------- */

struct queue {
    struct event_base *base;
    struct queue_events events;
    struct event *timer;
    struct schedule schedule;
    size_t outside;   /* entries that are lent out or being put: the schedule always has room for them */
    struct item *out; /* all that are lent out */
    size_t length;
    int64_t *retry_ms;
    size_t n_retry;
    int64_t lifetime_ms;
    bool started, closing;
    int lock_fd, watch_fd;
    struct event *watch;
    struct request look;
    bool looking, look_again; /* `look` is at the writer; and has to go once more */
    struct company company;
    struct keeper keeper;
    struct writer writer;
    struct reader reader;
    struct fresh_cache fresh;
    struct requests answered; /* from memory: `done` is called as the loop comes round, as for the reader's answers */
    struct event *answer;
};

/* Takes `path`.lock, held while the queue is open; opens the store, sets it aside if it is damaged and makes a new one;
 * removes what a crash cut short; fills the schedule.  Before the threads run. */
int start_store(struct queue *q, struct err *err);

/* Collects the recipients that a scan gives into entries. */
struct collector {
    int64_t wall_ms, mono_ms, lifetime_ms, retry_max_ms;
    struct pending *v;
    size_t n, cap;
    struct arena domains;
    bool held;
    int (*flush)(void *ctx, struct entry *list, bool held); /* takes the list over */
    void *ctx;
    struct entry like; /* what the entries of the message have in common; last, since it ends in an open array */
};
int collect_waiting(void *collector, const struct store_waiting *w);
int collect_end(struct collector *c);

/* Has the file been damaged?  A small one is looked at whole, and one that was marked. */
bool damage_find(struct store *s, const char *path);
/* The next start is to look at all of the file. */
void damage_mark(const char *path);
/* Renames the file, its log and its folder to `path`.corrupt-TIME, and writes that name to `aside`. */
int damage_set_aside(const char *path, struct strbuf *aside, struct err *err);

/* The directory that `path` is in: what names there are survives a power cut.  0 or -1 and errno. */
int damage_sync_directory(const char *path);

/* Other processes write into the table `control` what they changed, and touch the lock file: that wakes the writer. */
int control_watch(struct queue *q, struct err *err);
void control_unwatch(struct queue *q);
/* In other processes, after the commit. */
void control_wake(const char *path);
/* In the writer, inside a transaction: takes what stands in `control`; to be posted after the commit. */
int control_take(struct writer *w, struct requests *notices);
/* On the loop: `look` has come back. */
void control_looked(struct queue *q);
void control_free(struct requests *notices);
/* On the loop. */
void control_apply(struct queue *q, struct notice *n);

/* ---- content.c: large bodies, in files ------------------------------------------------------- */

/* The folder of the queue at `path`: malloc'ed, or NULL. */
char *content_folder(const char *path);
/* Where the body of the message is; -1 and errno.  Needs no memory: what failed for the lack of it is cleared away. */
int content_file(const char *folder, const char *id, char name[PATH_MAX]);
/* n octets of the body from `at` on.  SQLITE_NOTFOUND when there is no such file, SQLITE_CORRUPT when it is too short. */
int content_read(const char *folder, const char *id, uint64_t at, char *to, size_t n);
/* Removes the file, if there is one.  One that cannot be removed goes with the next start. */
void content_drop(const char *folder, const char *id);
/* The same for all of them, QUEUE_ID_LEN octets each; then there are none. */
void content_drop_all(const char *folder, struct strbuf *ids);
/* Is the body of any message there? */
bool content_is_there(const char *path);
/* At a start: removes what is in no row. */
int content_sweep(struct store *s);

/* ---- events.c ------------------------------------------------------------------------------- */

enum { EVENTS_SPLIT_MAX = 8 };
/* Cuts off what an attempt's note holds besides, and makes events of it, at most EVENTS_SPLIT_MAX; how many. */
size_t events_split(struct queue_history *attempt, struct queue_history more[EVENTS_SPLIT_MAX]);
/* What the sender was told goes behind what was told of; -1 without memory. */
int events_order(struct queue_history *v, size_t n);

/* Sets the timer for what is due first. */
void queue_arm(struct queue *q);

/* How many commits were made so far: what the tests of groups look at. */
size_t queue_commits(const struct queue *q);

#endif
