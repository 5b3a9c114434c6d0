/* delivery/internal.h - what the files of the manager share.
 *
 *   manager.c      the door: items in, the tick, stop and reconfigure
 *   destination.c  one place: its route, and how many connections it may have
 *   budget.c       the connections of all: who opens the next one
 *   waiting.c      who waits for a place: one message of each user in turn
 *   rest.c         a place that cannot be reached, or asks for less, is left alone for a while
 *   channel.c      one connection: what its session says is passed on to the message it carries
 *   job.c          one item: loading, the batches of recipients, the content
 *   outcome.c      what became of each recipient: judged, logged, written back to the queue
 *   report.c       the sender is told: DSNs
 *
 * Sessions, the resolver and the queue call back at any time.  A callback records what happened and pokes; connections
 * are opened, filled and freed in the tick alone, which the loop runs when nobody else is on the stack. */
#ifndef SENDAS_DELIVERY_INTERNAL_H
#define SENDAS_DELIVERY_INTERNAL_H

#include "dsn.h"
#include "route.h"
#include "session.h"
#include "tls_policy.h"

#include <sys/queue.h>

struct event;
struct dsn_limit;
struct job;
struct destination;
struct channel;

TAILQ_HEAD(job_list, job);
TAILQ_HEAD(destination_list, destination);
TAILQ_HEAD(channel_list, channel);
TAILQ_HEAD(turn_list, turn);

enum { DESTINATION_BUCKETS = 1024 };

struct delivery {
    struct delivery_deps deps;
    struct intake_settings *settings;
    struct event *tick;
    struct job_list jobs;                 /* all */
    struct destination_list destinations; /* all */
    struct destination_list poked;        /* to be looked at in the next tick */
    struct destination_list failing;      /* what waits there gets their reason, a few at a time, in this order */
    struct destination_list remembered;   /* nothing is left to do there, but what was learned counts: oldest first */
    size_t n_remembered, n_settling;
    struct destination_list wanting[2]; /* a connection: those that have none, those that have some */
    size_t n_without, n_yielding;       /* of the former; channels that make room for them */
    size_t n_resolving;                 /* places that wait for DNS */
    struct event *watch;
    struct destination *buckets[DESTINATION_BUCKETS];
    struct channel_list channels;       /* all */
    struct channel_list poked_channels; /* to be looked at in the next tick */
    size_t n_channels;
    struct dsn_limit *dsn_limit; /* made when the first DSN is */
    struct delivery_counts counts;
    struct deferral *deferrals; /* made with the first */
    bool stopping;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

void delivery_poke(struct delivery *d); /* a tick soon */

/* ---- destinations
 * -------------------------------------------------------------------------------------------------------- */

struct destination {
    struct delivery *d;
    TAILQ_ENTRY(destination) all, rotation, want, fail, memory;
    struct destination *next_in_bucket;
    char *domain; /* of its first item: what the route is made from */
    char *key;    /* the domain, or "host:port" for all domains that one route of the configuration serves */
    struct intake_settings *settings;
    struct turn_list turns;
    struct job_list elsewhere; /* a host did not do for them: first at the next one */
    size_t n_waiting;
    struct channel_list channels;
    size_t n_channels, n_starting; /* connections; those of them that were not ready yet */
    size_t most_channels;          /* what the place seems to stand; 0 = not known */
    struct route *route;
    struct route_target target;        /* where new connections go */
    unsigned target_number;            /* 0 = none; counts up with each */
    bool target_proven;                /* a session was ready there */
    bool target_clear;                 /* its TLS handshake failed, opportunistic: in clear now (RFC 7435) */
    bool poked, wanting, wanting_more; /* `wanting_more`: it has connections already */
    bool resolving;                    /* its route waits for DNS */

    /* rest.c */
    struct smtp_verdict *reason; /* what those that wait are told; NULL: nothing speaks against it */
    size_t n_first_hand;         /* that many of them waited when it became known */
    int64_t rests_until_ms;      /* monotonic */
    unsigned failures;           /* rests in a row: nothing was answered in between */
    uint32_t urged;              /* the operator's last wish (queue_item.urgent) that was granted */
    unsigned broken;             /* messages in a row that the connection broke under */
    bool slow;                   /* it asked for less; the other reason is that nobody can be reached */
    bool failing, remembered;
};

struct destination *destination_get(struct delivery *d, const char *domain);
/* `job` waits; in front of those of its user when it had its turn before. */
void destination_add(struct destination *dest, struct job *job, bool front);
/* NULL when none is to be sent now. */
struct job *destination_take(struct destination *dest);
void destination_poke(struct destination *dest);
/* Would an item for this domain come to this destination? */
bool destination_serves(const struct destination *dest, const char *domain);
void destination_forget_route(struct destination *dest);
/* In the tick: asks for a connection where it needs one; frees it when nothing is left. */
void destination_step(struct destination *dest);
/* Opens one, or gives up.  Does it need another? */
bool destination_connect(struct destination *dest);
/* A connection to target `number` did not do. */
void destination_target_failed(struct destination *dest, unsigned number, const struct smtp_verdict *v);
void destination_free(struct destination **pdest);

/* ---- budget.c ---- */

void budget_init(struct delivery *d);
void budget_want(struct destination *dest);
void budget_forget(struct destination *dest);
/* Is another place to have the connection of this one, which is idle? */
bool budget_should_yield(const struct channel *ch);
/* In the tick: opens connections, as many as there may be. */
void budget_step(struct delivery *d);

/* ---- waiting.c ---- */

void waiting_init(struct destination *dest);
/* -1: out of memory. */
int waiting_add(struct destination *dest, struct job *job, bool front);
void waiting_add_elsewhere(struct destination *dest, struct job *job);
struct job *waiting_take(struct destination *dest); /* NULL when none waits */
void waiting_remove(struct destination *dest, struct job *job);
void waiting_free(struct destination *dest);

/* ---- rest.c ---- */

/* Is it to be left alone now? */
bool rest_holds(const struct destination *dest);
/* All that wait get *v, and those that come until its rest is over the same.  A permanent *v counts for those that wait
 * alone. */
void rest_begin(struct destination *dest, const struct smtp_verdict *v);
/* The connection broke under a message.  When it did so under several in a row it is the place, not the message. */
void rest_broken(struct destination *dest, const struct smtp_verdict *v);
/* An operator wants this one tried now: once for each time that he asks, the rest is over. */
void rest_urge(struct destination *dest, uint32_t urgent);
/* A message got an answer: all is well again, and what else waits in the queue for this place is due. */
void rest_over(struct destination *dest);
/* Does a provider ask for less with this? */
bool rest_asked_for(const struct smtp_verdict *v);
/* Puts it among those whose jobs the tick fails. */
void rest_fail_waiting(struct destination *dest);
/* In the tick: fails some of the jobs that wait where that is called for. */
void rest_step(struct delivery *d);
/* No job, no channel is left: it is freed, or remembered. */
void rest_leave(struct destination *dest);
void rest_forget(struct destination *dest);

/* ---- channels: a link and its session
 * ------------------------------------------------------------------------------------- */

struct channel {
    struct delivery *d;
    struct destination *dest;
    TAILQ_ENTRY(channel) all, mine, poke;
    struct delivery_session *session;
    struct delivery_link *link; /* NULL: closed */
    struct job *job;            /* what it carries */
    struct route_target target;
    unsigned target_number;
    struct tls_policy policy;
    unsigned messages;    /* transactions done */
    bool was_ready, used; /* IDLE once; a transaction was begun */
    bool yielding;        /* it ends, to make room */
    bool blamed;          /* that it ended under the envelope speaks against the host */
    bool poked;
};

/* -1: no memory, or no connection could be begun; the destination was told. */
int channel_open(struct destination *dest);
/* In the tick: gives it a message, ends it, or frees it. */
void channel_step(struct channel *ch);
void channel_poke(struct channel *ch);
bool channel_is_idle(const struct channel *ch);
/* Ends it, when it is idle, so that another may be opened. */
void channel_yield(struct channel *ch);
const char *channel_tls(const struct channel *ch); /* "TLSv1.3", "none" */
void channel_free(struct channel **pch);

/* ---- jobs: an item on its way
 * --------------------------------------------------------------------------------------------- */

enum job_stage { JOB_WAITING = 0, JOB_SENDING, JOB_SETTLING };

enum fate {
    FATE_OPEN = 0, /* no verdict: stays in the queue, untouched */
    FATE_DELIVERED,
    FATE_DEFERRED,
    FATE_UNTOLD,    /* failed, and nobody is to be told */
    FATE_TO_REPORT, /* failed, the DSN is to be made */
    FATE_REPORTED   /* failed, the DSN is in the queue */
};

struct job_recipient {
    struct smtp_verdict v; /* .code 0: open */
    const char *mx;        /* who was spoken to; NULL = nobody */
    bool own_words;
    enum fate fate;
    bool expired, warn, warned;
    bool relayed; /* delivered, to a server that will not tell the sender who asked to be told */
    bool in_dsn;  /* the DSN under way is about it */
};

struct job {
    struct delivery *d; /* NULL: delivery was freed while the DSN was being queued */
    struct queue *queue;
    struct queue_item *item;
    struct destination *dest; /* while WAITING or SENDING */
    struct channel *channel;  /* while SENDING */
    TAILQ_ENTRY(job) all, wait;
    struct turn *turn; /* while WAITING; NULL: elsewhere */
    struct arena mem;
    enum job_stage stage;
    bool loading, loaded;
    bool counted;                 /* in n_settling */
    int64_t wall_less_mono_ms;    /* when it came: a wall clock that is set later expires nothing */
    int64_t came_ms;              /* monotonic */
    int64_t not_before_ms;        /* monotonic: the next attempt is no sooner */
    struct smtp_verdict *failure; /* for all that are open, or NULL; in `mem` */
    struct smtp_verdict *excuse;  /* what became of it at a host that did not do; in `mem` */
    bool excuse_own_words, failure_own_words;

    struct job_recipient *recipients; /* of item->recipients, once loaded */
    struct queue_item_recipient *batch;
    size_t *batch_index; /* into recipients */
    struct delivery_message message;
    const char *mx;
    const char *via;           /* for trace: mx, address, TLS, policy of the last transaction */
    int64_t begun_ms, took_ms; /* of that one; up to its last verdict */
    bool retrying;   /* the connection failed, not the message: once more over another */
    bool content_begun;
    unsigned chunk;  /* the next to read */
    uint64_t octets; /* read so far */
    bool reading, stale, want_content;

    /* report.c */
    enum dsn_kind report_kind;   /* the one being made */
    struct strbuf content;       /* of the message, its beginning or all */
    bool admitted, content_read; /* the DSN counts already; `content` was read */
    struct strbuf dsn;
    bool dsn_under_way;
    struct strbuf told; /* for trace: a line for each DSN but those about failures */
};

struct job *job_new(struct delivery *d, struct queue_item *item);
/* Envelope and recipients are read; then it goes on by its stage. */
void job_load(struct job *job);
/* Wall time on the item's own clock. */
int64_t job_wall_ms(const struct job *job);
/* The channel is IDLE and carries it from now on. */
void job_start(struct job *job, struct channel *ch);
void job_result(struct job *job, size_t index, const struct smtp_verdict *v);
/* The transaction is over; afterwards the job is not the channel's any more. */
void job_transaction_done(struct job *job);
/* The channel ended before the transaction began. */
void job_channel_lost(struct job *job);
void job_want_content(struct job *job);
/* All open recipients get this verdict, in our words. */
void job_fail(struct job *job, const struct smtp_verdict *v);
/* The same with what it met at the last host. */
void job_fail_excused(struct job *job);
/* Not to be tried now: what is open stays as it is. */
void job_keep(struct job *job);
void job_free(struct job **pjob);

/* All have what they get: log, DSNs, queue_finish; the job is freed in the end. */
void outcome_settle(struct job *job);
/* The last step alone: back to the queue with what is known. */
void outcome_finish(struct job *job);
/* event=delivered, as soon as the server has said so. */
void outcome_delivered(struct job *job, size_t index, const struct channel *ch);

/* ---- deferrals.c ---- */

/* Remembers it; without memory it does not. */
void deferrals_note(struct delivery *d, const char *domain, const char *reply);

/* ---- report.c ---- */

/* May the sender be told of `what` (an SMTP_NOTIFY_ bit) about this recipient? */
bool report_may_tell(const struct job *job, size_t index, unsigned what);
/* Makes the DSNs that the recipients' fates call for, then outcome_finish (before it returns, when none does). */
void report_start(struct job *job);

#endif
