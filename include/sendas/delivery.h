/* sendas/delivery.h - the client side: routes, connections, SMTP sessions, outcomes, DSNs.
 *
 * Two halves, neither of which sees a socket:
 *   - a session (delivery_session_*) speaks SMTP to one server over one connection: lines go in, bytes and results come out;
 *   - the manager (delivery_*) takes items that are due, finds the route (MX, addresses), opens, fills and reuses
 *     connections within the limits, and gives each recipient its one verdict.
 * What they need from outside (connections, DNS, time) comes through tables of operations that daemon/ fills
 * with libevent and tests fill with text. */
#ifndef SENDAS_DELIVERY_H
#define SENDAS_DELIVERY_H

#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/dns.h"
#include "sendas/intake.h"
#include "sendas/queue.h"
#include "sendas/smtp.h"

/* ---- one SMTP session as a client (RFC 5321, 3207, 2920, 1870, 6152, 6531) -------------------------------------------------
 *
 *   BANNER -> EHLO -> [STARTTLS -> TLS -> EHLO] -> [AUTH] -> IDLE -> MAIL -> RCPT.. -> DATA -> BODY -> DOT -> IDLE ... QUIT
 *
 * Each state has its timeout (RFC 5321 4.5.3.2).  Operations may be called from inside any delivery_session_ function; the session
 * is not to be freed there, but once the outermost call has returned. */

struct delivery_session;

struct delivery_session_config {
    const char *hostname;     /* for EHLO */
    bool tls_required;        /* no STARTTLS offered, or refused: the session fails with 4.7.4 */
    bool tls_disabled;        /* the second try after a failed opportunistic handshake */
    const char *user, *password; /* AUTH for a smarthost; NULL = none */
};

enum delivery_session_state {
    DELIVERY_CONNECTING = 0, DELIVERY_BANNER, DELIVERY_EHLO, DELIVERY_HELO, DELIVERY_STARTTLS, DELIVERY_TLS, DELIVERY_EHLO_TLS, DELIVERY_AUTH,
    DELIVERY_IDLE, DELIVERY_ENVELOPE, DELIVERY_DATA, DELIVERY_BODY, DELIVERY_DOT, DELIVERY_RSET, DELIVERY_QUIT, DELIVERY_DONE
};

enum { DELIVERY_RECIPIENTS_MAX = 100 }; /* of one transaction: every server takes as many (RFC 5321 4.5.3.1.8) */

/* One message for one session. */
struct delivery_message {
    const char *sender; /* "" = null */
    uint64_t size;
    bool smtputf8, eightbit;
    const char *envid;
    int ret;
    const struct queue_item_recipient *recipients;
    size_t n_recipients; /* 1 to DELIVERY_RECIPIENTS_MAX */
};

struct delivery_session_ops {
    void (*send)(void *ctx, struct slice bytes);
    void (*start_tls)(void *ctx);             /* then delivery_session_tls_done */
    /* After what was sent: close the connection.  The session's last call of all, exactly once, after _lost too: it is then DONE. */
    void (*close)(void *ctx);
    /* The session is IDLE: give it a message (delivery_session_send) or delivery_session_quit. */
    void (*ready)(void *ctx);
    /* The session will never be ready (again): greeting refused, TLS required and not to be had, connection lost ...
     * Meanwhile delivery_session_state is the state in which it failed; `close` follows.  Not called once it was told to quit. */
    void (*failed)(void *ctx, const struct smtp_verdict *v);
    /* More content is wanted: answer by delivery_session_content. */
    void (*want_content)(void *ctx);
    /* The verdict for recipient `index` of the message; each gets exactly one, before `finished`. */
    void (*result)(void *ctx, size_t index, const struct smtp_verdict *v);
    /* All recipients have their verdict; next come `ready` (the connection is still good) or `failed`. */
    void (*finished)(void *ctx);
};

struct delivery_session *delivery_session_new(const struct delivery_session_config *cfg, const struct delivery_session_ops *ops, void *ctx, int64_t now_ms);
void delivery_session_connected(struct delivery_session *s, int64_t now_ms);
size_t delivery_session_feed(struct delivery_session *s, struct slice bytes, int64_t now_ms); /* as submission_feed */
void delivery_session_tls_done(struct delivery_session *s, bool ok, const char *version_or_reason, int64_t now_ms);
void delivery_session_send(struct delivery_session *s, const struct delivery_message *m, int64_t now_ms); /* m stays valid until finished */
/* The next octets of the content (stuffed here); `last` with the final ones; failed: the transaction is cut off without a dot. */
void delivery_session_content(struct delivery_session *s, struct slice bytes, bool last, bool failed, int64_t now_ms);
/* QUIT, when it is IDLE; in any other state the connection is closed at once and an open transaction ends in temporary failures. */
void delivery_session_quit(struct delivery_session *s, int64_t now_ms);
void delivery_session_lost(struct delivery_session *s, const char *reason, int64_t now_ms); /* the connection ended, or could not be made */
/* When _timeout is to be called; INT64_MAX = never.  It is up to date when `send` is called and when any call has returned. */
int64_t delivery_session_deadline(const struct delivery_session *s);
void delivery_session_timeout(struct delivery_session *s, int64_t now_ms);
enum delivery_session_state delivery_session_state(const struct delivery_session *s);
const struct smtp_extensions *delivery_session_extensions(const struct delivery_session *s);
void delivery_session_free(struct delivery_session **ps);

/* ---- the manager ---------------------------------------------------------------------------------------------------------------- */

struct delivery;
struct delivery_link; /* one connection, owned by whoever fills delivery_net */

/* Connections, as daemon/ makes them.  A link drives a session: it calls delivery_session_connected, _feed, _tls_done, _lost, _timeout,
 * never before `connect` has returned and never after `close` was called.  Each link ends by exactly one `close`, which may come
 * from inside one of those calls (the session then lives until that call has returned), and which comes after _lost too. */
struct delivery_net {
    /* Begins a connection to a numeric address; `verify` and `tls_host` are for the STARTTLS to come.  NULL: not possible (reason in err). */
    struct delivery_link *(*connect)(void *ctx, const char *address, uint16_t port, const char *tls_host, bool verify, int64_t timeout_ms,
                                     struct delivery_session *session, struct err *err);
    void (*send)(void *ctx, struct delivery_link *l, struct slice bytes);
    void (*start_tls)(void *ctx, struct delivery_link *l);
    void (*close)(void *ctx, struct delivery_link *l); /* after what was sent; the link is gone for the caller */
    /* Calls drained(arg) once, when the output has gone below a mark; at once if it is below.  Content flows no faster than the peer takes it. */
    void (*on_drained)(void *ctx, struct delivery_link *l, void (*drained)(void *arg), void *arg);
    /* Is this one of our own listening addresses? */
    bool (*is_own_address)(void *ctx, const char *address);
    void *ctx;
};

struct delivery_deps {
    struct queue *queue;
    struct dns *dns;
    struct event_base *base;
    const struct delivery_net *net;
    const struct intake_context *intake; /* for DSNs */
};

int delivery_new(const struct delivery_deps *deps, struct intake_settings *settings, struct delivery **ret, struct err *err);
/* queue_events.due */
void delivery_item_due(void *delivery, struct queue_item *item);
/* New settings.  With another config, what is remembered of failing destinations goes; with the same (only other keys sign)
 * it stays. */
void delivery_reconfigure(struct delivery *d, struct intake_settings *settings);
/* No new transactions; the ones under way may finish.  done(ctx) when none is left. */
void delivery_stop(struct delivery *d, void (*done)(void *ctx), void *ctx);
size_t delivery_connections(const struct delivery *d);

/* What has become of recipients since the start. */
struct delivery_counts {
    uint64_t delivered[2]; /* [1]: over TLS */
    uint64_t deferred;     /* each time */
    uint64_t bounced, expired;
};
const struct delivery_counts *delivery_counts(const struct delivery *d);
/* Why mail for this domain was last deferred, as the log has it; NULL: not since the start, or another domain has taken its place (there are 256). */
const char *delivery_last_deferral(const struct delivery *d, const char *domain);
void delivery_free(struct delivery **pd); /* gives back what it still holds, as QUEUE_KEEP */

/* May we connect to this numeric address?  False for loopback, private, link-local, multicast, unspecified, documentation-free special
 * ranges and IPv4-mapped forms of them (RFC 6890), unless allow_private. */
bool delivery_address_allowed(const char *address, bool allow_private);

#endif
