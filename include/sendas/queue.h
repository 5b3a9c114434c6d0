/* sendas/queue.h - the durable queue: SQLite (WAL, synchronous=FULL), one store thread, group commits,
 * and the schedule of what is due.
 *
 * A message is content (its octets as they will go out, in chunks of 64 KiB; a large body in a file of its own) and recipients.  Every
 * change is a request to the store thread; all requests that wait when a commit begins go in with one
 * fsync, and their callbacks run on the loop thread after it.  Reads have a thread and a connection of
 * their own, so that no read waits for an fsync.
 *
 *   queue_put --commit--> WAITING --due--> TAKEN --queue_finish--> gone | WAITING (later) | TAKEN->DSN put
 *
 * An item is the recipients of one message at one domain that are due together.  It is lent to the
 * `due` callback and comes back by queue_finish.  Failed recipients leave the store in the very
 * transaction that stores the DSN about them (struct queue_message.closes), so that a crash can lose neither. */
#ifndef SENDAS_QUEUE_H
#define SENDAS_QUEUE_H

#include "sendas/base.h"
#include "sendas/config.h"

enum { QUEUE_ID_LEN = 10, QUEUE_ID_SIZE = QUEUE_ID_LEN + 1, QUEUE_CHUNK = 64 * 1024 };

struct queue;
struct event_base;

/* ---- what goes in ---------------------------------------------------------------------------------- */

struct queue_recipient_in {
    struct slice address; /* for the wire */
    struct slice domain;  /* A-labels, lower case; or an address literal */
    struct slice orcpt;   /* xtext as the client sent it; empty if none */
    unsigned notify;      /* SMTP_NOTIFY_ bits */
};

/* A sum over content, fed with all of its octets in order: against faults of disk and memory, not against attackers.  It
 * costs a fifteenth of a SHA-256. */
struct queue_sum {
    uint64_t size, at; /* octets in all; so far */
    uint64_t all, lane[4];
    unsigned char block[32];
    int64_t *chunks; /* NULL, or room for the sum of each QUEUE_CHUNK: given after queue_sum_init, and kept there */
};
void queue_sum_init(struct queue_sum *s, uint64_t size);
void queue_sum_add(struct queue_sum *s, struct slice bytes);

struct queue_message {
    char id[QUEUE_ID_SIZE];
    struct slice sender;     /* reverse-path for the wire; empty = null */
    struct slice submitted;  /* the client's MAIL FROM where it differs; .p NULL = same */
    struct slice bounce_to;  /* empty = never bounced */
    struct slice user;       /* empty for our own DSNs */
    struct slice message_id; /* with its brackets; empty if none */
    struct slice envid;      /* xtext */
    int ret;                 /* enum smtp_ret */
    bool smtputf8, eightbit;
    struct slice head;       /* all fields, ours on top, and the empty line */
    /* May be NULL: no body.  Owned by the caller until `done` ran.  What did not fit into memory is not read: its file is
     * stored as it is. */
    struct spool *body;
    /* Of head and body as they were when they were checked: what is stored has this sum, or nothing is; and what of it is in
     * a file is delivered as long as it has the sums in `chunks`.  NULL = unknown. */
    const struct queue_sum *checked;
    struct queue_recipient_in *recipients;
    size_t n_recipients;
    /* one line per fact for `trace`: "accepted ...", "signed ..."; may be empty */
    struct slice *notes;
    size_t n_notes;
    /* A DSN: these recipients (queue_item_recipient.row) leave in the same transaction. */
    const int64_t *closes;
    size_t n_closes;
};

enum queue_status {
    QUEUE_OK = 0,
    QUEUE_FULL,  /* no space, quota, or the file system is read-only: 452 4.3.1 */
    QUEUE_FAILED, /* anything else, the reason is logged: 451 4.3.0 */
    QUEUE_CHANGED /* the content is not what was `checked`: 451 4.7.5 */
};

/* A fresh random queue id. */
int queue_new_id(char ret[QUEUE_ID_SIZE]);

/* ---- life cycle --------------------------------------------------------------------------------------- */

struct queue_item;

struct queue_events {
    /* An item is due.  It is the callee's until queue_finish.  Called on the loop thread. */
    void (*due)(void *ctx, struct queue_item *item);
    void *ctx;
};

/* Opens or makes the file (mode 0600), brings an older schema up to date, starts the threads, loads the schedule.
 * No event comes before the loop runs and queue_start was called. */
int queue_open(const struct config *c, struct event_base *base, const struct queue_events *events, struct queue **ret, struct err *err);
void queue_start(struct queue *q);
/* Schedule settings of a new configuration (retry, lifetime, history); the path stays. */
void queue_reconfigure(struct queue *q, const struct config *c);
/* Commits what waits, joins the threads.  Callbacks of pending requests run before it returns. */
void queue_close(struct queue **pq);

/* Stores the message; `done` runs on the loop after the commit, or with the failure (before this returns only when the
 * memory for asking is missing, or within queue_close).  *m is copied; everything it points at stays valid until then.
 * 1 to 65536 recipients. */
void queue_put(struct queue *q, const struct queue_message *m, void (*done)(void *ctx, enum queue_status status), void *ctx);
/* n more messages (below 0: fewer) are about to come to queue_put, such as those that are being signed: while they are many,
 * those that were put wait a millisecond for each other, to share a commit.  Who counted one in counts it off behind its
 * queue_put. */
void queue_expect(struct queue *q, int n);
/* Messages in the store that are not finished. */
size_t queue_length(const struct queue *q);
struct queue_figures {
    size_t messages, held;  /* in the store and not finished; those of them that are held */
    int64_t oldest_age_ms;  /* of those that are not held; 0 = there are none */
    uint64_t commits;       /* since the start */
};
/* Looks at each that waits: half a ms for a hundred thousand. */
void queue_figures(const struct queue *q, struct queue_figures *ret);

/* A domain that mail waits for. */
struct queue_place {
    const char *domain;    /* valid until the loop goes on */
    size_t messages;       /* one whose recipients there have different times counts for each */
    int64_t oldest_age_ms;
    int64_t next_ms;       /* until the next attempt; 0 = now, or it is under way */
};
/* The `max` (32 at most) domains that have waited longest, longest first; how many.  10 ms for a hundred thousand messages. */
size_t queue_places(const struct queue *q, struct queue_place *v, size_t max);

/* Did the last commit fail?  Then no message is accepted; whether it works again is tried at least every 10 s. */
bool queue_ailing(const struct queue *q);

/* ---- what is due ----------------------------------------------------------------------------------------- */

struct queue_item_recipient {
    int64_t row; /* its key in the store */
    char *address;
    char *orcpt; /* "" if none */
    unsigned notify;
    unsigned attempts; /* before this one */
    bool warned;       /* a delay warning went out */
};

struct queue_item {
    char id[QUEUE_ID_SIZE];
    int64_t message_row;
    char *domain;
    /* Wall clock, as it goes at the moment: when the clock was set in between, both have moved with it. */
    int64_t created_ms, expires_ms;
    uint32_t user_tag; /* equal for all messages of a user, and hardly ever for two users: known before the item is loaded */
    uint32_t urgent; /* not 0: an operator asked for it to be tried now; another number for each time */
    /* filled in by queue_load; NULL/0 before */
    char *sender, *bounce_to, *user, *envid, *message_id;
    int ret;
    bool smtputf8, eightbit;
    uint64_t size; /* octets of content */
    struct queue_item_recipient *recipients;
    size_t n_recipients;
    void *owner; /* for whoever holds the item */
};

/* Reads envelope and recipients into the item, then done(ctx, ok) on the loop; once an item.  Not ok: the message cannot be
 * read (the reason was logged) or was removed meanwhile: give the item back with results NULL. */
void queue_load(struct queue *q, struct queue_item *item, void (*done)(void *ctx, bool ok), void *ctx);
/* Reads chunk `index` (from 0) of the content: done(ctx, bytes) on the loop; bytes.p NULL = failed, n == 0 = past
 * the end; the bytes live until done returns. */
void queue_read(struct queue *q, const struct queue_item *item, unsigned index, void (*done)(void *ctx, struct slice bytes), void *ctx);

enum queue_outcome {
    QUEUE_KEEP = 0,  /* untouched: due again at once (shutdown, connection budget) */
    QUEUE_DELIVERED, /* leaves the store */
    QUEUE_DEFERRED,  /* due again as scheduled */
    QUEUE_FAILED_NO_DSN, /* leaves the store, nobody is told: null sender, or NOTIFY=NEVER */
    QUEUE_CLOSED     /* has left the store by a DSN's `closes` */
};

struct queue_result {
    enum queue_outcome outcome;
    const char *reply; /* the remote's or our own words, for list and trace; may be NULL */
    bool warned;       /* a delay warning was queued */
};

/* When would a recipient with `attempts` attempts made be tried again, counted from now?  Jitter included. */
int64_t queue_retry_delay_ms(const struct queue *q, unsigned attempts);
/* What waits for a domain that `which` says yes to is due now, whenever its next attempt was to be. */
void queue_hasten(struct queue *q, bool (*which)(void *ctx, const char *domain), void *ctx);
/* Gives the item back, at any time: loads and reads under way are cancelled, their `done` is not called.  results[i] belongs to item->recipients[i] (results NULL: QUEUE_KEEP for all).
 * `note`: a line for trace about this attempt, then a line for each other notice that the sender got: "warned ID <address>" or
 * "relayed ID 12", for twelve recipients; may be NULL.  The item is freed.
 * *next_ms per deferred recipient follows queue_retry_delay_ms at the time of the call, or `retry_after_ms` if that is > 0. */
void queue_finish(struct queue *q, struct queue_item *item, const struct queue_result *results, int64_t retry_after_ms, const char *note);

/* ---- looking inside and changing, also beside a running daemon (own connection) ------------------------------ */

struct queue_listing_recipient {
    char *address, *state; /* waiting | held */
    unsigned attempts;
    int64_t next_attempt_ms; /* wall clock */
    char *last_reply;        /* "" before the first attempt */
};

struct queue_listing {
    char id[QUEUE_ID_SIZE];
    char *sender;
    uint64_t size;
    int64_t created_ms, expires_ms;
    bool held;
    struct queue_listing_recipient *recipients;
    size_t n_recipients;
};

/* Calls each(ctx, message) for every unfinished message, oldest first; a non-zero return stops, and 1 is the result.  A file
 * that does not exist is an empty queue. */
int queue_list(const char *path, int (*each)(void *ctx, const struct queue_listing *m), void *ctx, struct err *err);

struct queue_history {
    int64_t time_ms;
    char *kind;      /* accepted attempt delivered deferred failed bounced warned relayed; held released retried removed rescued */
    char *recipient; /* NULL where it concerns all, or several */
    char *text;      /* "accepted": a line per fact; "bounced", "warned", "relayed": the id of the DSN */
};

/* All about one message, waiting or gone. */
struct queue_record {
    struct queue_listing listing;                                /* its recipients are those that still wait */
    char *user, *submitted, *bounce_to, *message_id, *envid;     /* submitted NULL = same as sender */
    int64_t finished_ms;                                         /* 0 = it still waits */
    struct queue_history *events;                                /* oldest first, causes before effects */
    size_t n_events;
    char *header; /* as it leaves; "" when the message is gone */
};

/* Calls each(ctx, record) for every message with this queue id (any case) or Message-ID (with or without its brackets), oldest
 * first; a non-zero return stops.  *found: how many there were. */
int queue_find(const char *path, const char *key, int (*each)(void *ctx, const struct queue_record *r), void *ctx, size_t *found,
               struct err *err);

enum queue_action { QUEUE_HOLD = 0, QUEUE_RELEASE, QUEUE_RETRY, QUEUE_REMOVE };

/* A daemon that runs takes it up within a second.  What it is sending at the moment it sends to the end, and what comes of
 * that counts; then it is held, or removed.  `id` NULL (QUEUE_RETRY only): all that wait and are not held; *changed: how
 * many messages.  0; 1 when no such message waits, or it is as wanted already (err says which); -1. */
int queue_act(const char *path, enum queue_action action, const char *id, size_t *changed, struct err *err);

enum queue_rescued { QUEUE_RESCUED = 0, QUEUE_RESCUED_BEFORE, QUEUE_NOT_RESCUED };

struct queue_rescue {
    enum queue_rescued outcome;
    const char *id;        /* "" where it cannot be read */
    const char *sender;    /* likewise */
    const char *recipient; /* one of them; likewise */
    const char *reason;    /* why not */
};

/* Puts into the queue at `path` what can be read of the messages that wait in `file`, a queue that is damaged; one that
 * came in before is left as it is.  each() for every message.  They live as long as new ones. */
int queue_rescue(const char *path, const char *file, int64_t lifetime_ms, void (*each)(void *ctx, const struct queue_rescue *r),
                 void *ctx, struct err *err);

#endif
