/* sendas/intake.h - the pipeline that every message takes: normal form -> fix-up -> align -> sign -> queue.
 *
 *   intake_begin   an envelope was accepted
 *   intake_data    its octets arrive: line ends are judged, the header is cut off, the body is hashed and spooled
 *   intake_commit  what a later hop would change is encoded, the header is fixed up, the senders are checked, every key
 *                  signs (on a worker), the queue commits
 *   intake_abort   the client went away
 *
 * src/intake/intake.c tells it from top to bottom.  Nothing leaves unsigned: each step either hands on
 * or ends with a refusal, and the signatures are verified on what will be stored before it is.  A DSN of our own goes the
 * same way (intake_dsn). */
#ifndef SENDAS_INTAKE_H
#define SENDAS_INTAKE_H

#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/dkim.h"
#include "sendas/queue.h"
#include "sendas/smtp.h"

/* ---- settings: one configuration with what was loaded for it; shared, counted ------------------------------- */

struct intake_settings {
    struct config *config;
    struct users *users;
    struct intake_keys *keys;   /* per domain, its loaded DKIM keys: all but retired ones */
    struct intake_keys *signing; /* of these, the ones that sign */
    struct intake_settings *origin; /* whose config, users and keys these are; NULL = its own */
    unsigned references;
};

/* Loads configuration, users and every DKIM key that is not retired; refuses a domain without an active key.  Active keys
 * sign.  The result has one reference. */
int intake_settings_load(const char *path, struct intake_settings **ret, struct err *err);
/* The same for a configuration that was loaded before, and without its users: for `sendas sign`.  Takes *pc over, on
 * failure too. */
int intake_settings_of(struct config **pc, struct intake_settings **ret, struct err *err);
/* The same settings with other keys signing: those for which signs(ctx, domain, key) is true, asked in their order.  In a domain
 * where it is true for none, the active keys sign.  NULL when out of memory; the result has one reference. */
struct intake_settings *intake_settings_choose(struct intake_settings *s,
                                               bool (*signs)(void *ctx, const struct config_domain *d,
                                                             const struct config_key *k, const struct dkim_key *key),
                                               void *ctx);
struct intake_settings *intake_settings_ref(struct intake_settings *s); /* loop thread only */
void intake_settings_unref(struct intake_settings **ps);
/* The keys that sign for a domain (A-labels), in the order of the configuration; *n is 0 for a domain that is not ours. */
struct dkim_key *const *intake_settings_keys(const struct intake_settings *s, const char *domain, size_t *n);
/* The key that was loaded for config->domains[domain].keys[key]; NULL for a retired one. */
const struct dkim_key *intake_settings_key(const struct intake_settings *s, size_t domain, size_t key);

/* ---- a message from a client ---------------------------------------------------------------------------------- */

struct intake_origin {
    const struct user *user;  /* of `settings`; NULL for `sendas sign` and our own DSNs */
    const struct user_password *password; /* of `user`, which may narrow what it may send as; NULL where `user` is */
    struct slice client_ip;   /* for Received, unless hidden; "IPv6:..." form is made here */
    struct slice helo;
    struct slice tls;         /* "TLSv1.3" */
    bool extended;            /* EHLO: ESMTPSA, or UTF8SMTPSA with SMTPUTF8 (RFC 3848, 6531) */
};

struct intake_recipient {
    struct slice address;
    struct slice orcpt;
    unsigned notify;
};

struct intake_envelope {
    bool null_sender;
    struct slice mail_from; /* unless null_sender */
    bool smtputf8, eightbit;
    int ret;                /* enum smtp_ret */
    struct slice envid;
    const struct intake_recipient *recipients;
    size_t n_recipients;
};

struct intake_context {
    struct event_base *base;
    struct queue *queue;
    struct workers *workers;
};

struct intake;

/* Everything is copied, *ctx too; `settings` is referenced.  A recipient that is named twice gets one copy.
 * NULL when out of memory. */
struct intake *intake_begin(const struct intake_context *ctx, struct intake_settings *settings, const struct intake_origin *origin,
                            const struct intake_envelope *envelope);
/* Octets of the content, dots already unstuffed, in any chunking.  The first failure (bare CR or LF, NUL, too
 * large, disk full) is remembered and becomes the verdict; what follows is dropped. */
void intake_data(struct intake *in, struct slice bytes);
/* The failure so far, if any; .code 0 while all is well. */
const struct smtp_verdict *intake_failure(const struct intake *in);
/* The content is complete; a last line without CRLF gets one.  done(ctx, verdict) runs later on the loop (never before
 * this returns): 250 with the queue id, or why not.  The intake is freed after done. */
void intake_commit(struct intake *in, void (*done)(void *ctx, const struct smtp_verdict *v), void *ctx);
/* Before commit only: forgets everything. */
void intake_abort(struct intake **pin);
/* After commit, when the client has gone: done will not be called; the message is still queued. */
void intake_detach(struct intake *in);

/* What this process has done; loop thread only. */
struct intake_counts {
    uint64_t accepted, octets; /* messages of clients that are in the queue, and their size as it leaves */
    uint64_t dsns;             /* our own that are */
    uint64_t signatures[DKIM_ALGORITHMS]; /* of these, by enum dkim_algorithm */
    uint64_t sign_failures;    /* messages refused because they could not be signed, or their signatures did not verify */
};
const struct intake_counts *intake_counts(void);

/* How many messages of this process were refused because their own signatures did not verify: more than none is a
 * defect or a broken machine.  Any thread. */
unsigned long intake_signature_failures(void);

/* ---- without a queue: the `sendas sign` filter ---------------------------------------------------------------------- */

/* Reads a message from `in` (CRLF or LF), writes it to `out` as it would leave: its DKIM-Signature fields, then the
 * message in normal form.  `domain`: sign as this domain instead of that of From: (NULL = From's).  No Received is
 * added.  -1 and the reason; then nothing was written, unless writing itself failed. */
int intake_sign_stream(const struct intake_settings *s, const char *domain, FILE *in, FILE *out, struct err *err);

/* ---- a DSN of our own -------------------------------------------------------------------------------------------------- */

/* Signs `message` (a whole message with CRLF, From: at a domain of ours) and queues it with the null sender to
 * `recipient`; `closes` leave the store in the same commit.  done(ctx, ok, id) on the loop; when there is no memory
 * to begin with, done(ctx, false, "") before this returns.  Why it failed is logged. */
void intake_dsn(const struct intake_context *ctx, struct intake_settings *settings, struct slice message, struct slice recipient,
                const int64_t *closes, size_t n_closes, void (*done)(void *ctx, bool ok, const char *id), void *done_ctx);

#endif
