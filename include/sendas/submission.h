/* sendas/submission.h - the server side of one SMTP submission session (RFC 6409, 5321, 4954, 3207, 3030).
 *
 * A session never sees a socket: bytes go in by submission_feed, replies and actions come out
 * through `ops`.  Tests, the fuzzer and daemon/ drive it in the same way.
 *
 *   GREETED -EHLO-> READY -MAIL-> MAIL -RCPT-> RCPT -DATA-> DATA -"."-> COMMIT -verdict-> READY
 *                                                  -BDAT-> BDAT ... -LAST-> COMMIT
 *   READY -AUTH-> AUTH (challenge) -> AUTH_WAIT (worker) -> READY
 *
 * While it waits (AUTH_WAIT, COMMIT) it takes no input: submission_feed consumes nothing, and
 * the caller feeds again when ops->resume was called.
 * Lifetime: `shared`, `ops` and `ctx` outlive the session. */
#ifndef SENDAS_SUBMISSION_H
#define SENDAS_SUBMISSION_H

#include "sendas/base.h"
#include "sendas/intake.h"
#include "sendas/smtp.h"

/* ---- what all sessions share: the limits' tables ---------------------------------------------------------- */

struct submission_shared; /* connections and failed logins of each address; failed logins, last use and messages of an hour of each account */

struct submission_shared *submission_shared_new(void);
void submission_shared_free(struct submission_shared **ps);
/* Did too many logins fail from `ip`?  Then -1 and the 421 4.7.0 to send before closing. */
int submission_address_admitted(struct submission_shared *s, const struct config *c, const char *ip, int64_t now_ms, struct smtp_verdict *v);
/* A connection from `ip` (IPv6 counted by /64): 0, or -1 and the 421 4.7.0 to send before closing when a limit is reached.
 * Each 0 is paired with submission_connection_closed. */
int submission_connection_opened(struct submission_shared *s, const struct config *c, const char *ip, int64_t now_ms, struct smtp_verdict *v);
void submission_connection_closed(struct submission_shared *s, const char *ip);
size_t submission_connections(const struct submission_shared *s);

/* What has happened since the start. */
enum { SUBMISSION_SUBJECTS = 8 };
struct submission_counts {
    uint64_t logins_ok, logins_failed;
    /* Refusals that clients were sent but for failed logins: [1] for good (5xx), [0] for now; by the subject of the enhanced
     * status code (RFC 3463 3): 0 other, 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy. */
    uint64_t rejected[2][SUBMISSION_SUBJECTS];
};
const struct submission_counts *submission_counts(const struct submission_shared *s);
/* One more refusal, by whoever sends it. */
void submission_count_rejected(struct submission_shared *s, int code, const char *enhanced);

/* ---- what is remembered of the users, in logins.json beside the queue --------------------------------------------- */

/* Last use of each password, networks that users are known from, messages in the last hour. */

/* The file's path, appended; -1 when out of memory. */
int submission_logins_path(const struct config *c, struct strbuf *out);
enum { SUBMISSION_LOGINS_MAX = 64 * 1024 * 1024 };
/* Takes over what `text` tells of those in `users`; -1 when it is no such file: then what came before the mistake counts. */
int submission_logins_load(struct submission_shared *s, const struct users *users, struct slice text, int64_t mono_ms, int64_t wall_ms, struct err *err);
/* Has it changed since it was saved? */
bool submission_logins_changed(const struct submission_shared *s);
/* The file's content, appended; -1 when out of memory. */
int submission_logins_save(struct submission_shared *s, int64_t mono_ms, int64_t wall_ms, struct strbuf *out);
/* Where this password was last used from, and when (wall clock, seconds); NULL when never, as far as is known. */
const char *submission_last_use(const struct submission_shared *s, const char *user, const char *label, int64_t *ret_s);
/* After a reload: who is not in `users` is forgotten. */
void submission_users_changed(struct submission_shared *s, const struct users *users);

/* ---- a session ------------------------------------------------------------------------------------------------ */

struct submission;

/* No operation calls back into the session before it has returned; answers (submission_auth_done ...) and
 * submission_free come later, from the loop. */
struct submission_ops {
    /* Bytes for the client.  The callee copies. */
    void (*send)(void *ctx, struct slice bytes);
    /* After what was sent: close the connection. */
    void (*close)(void *ctx);
    /* The 220 was sent: begin the handshake, and throw away every byte that came before it (RFC 3207 6). When it is
     * done the callee calls submission_tls_done. */
    void (*start_tls)(void *ctx);
    /* Check a password off the loop (copy login and password, wipe the copies); answer by submission_auth_done.
     * -1 when no more can wait (454 4.7.0). */
    int (*check_password)(void *ctx, struct intake_settings *settings, struct slice login, struct slice password);
    /* The newest settings, which a reload may have brought; borrowed.  Each transaction begins with them. */
    struct intake_settings *(*settings)(void *ctx);
    /* The client may be fed again. */
    void (*resume)(void *ctx);
    /* Message intake; the daemon's are intake_begin, intake_data, ... of intake.h.  begin may return NULL: 452 4.3.1.
     * commit is answered by submission_commit_done; abort and detach as in intake.h. */
    struct intake *(*intake_begin)(void *ctx, struct intake_settings *settings, const struct intake_origin *origin, const struct intake_envelope *e);
    void (*intake_data)(void *ctx, struct intake *in, struct slice bytes);
    void (*intake_commit)(void *ctx, struct intake *in);
    void (*intake_abort)(void *ctx, struct intake **in);
    void (*intake_detach)(void *ctx, struct intake *in);
    /* A free-space check before a message is taken: false = 452 4.3.1. */
    bool (*storage_ok)(void *ctx);
};

/* A new session sends the 220.  `settings` is referenced.  A session keeps it until MAIL, which takes up the newest: who is
 * no longer a user, or whose password is gone, gets 421 4.7.0 then.  `tls`: the TLS version
 * when the port speaks TLS first, empty otherwise. */
struct submission *submission_new(struct submission_shared *shared, struct intake_settings *settings, const struct submission_ops *ops, void *ctx,
                                  const char *client_ip, struct slice tls, int64_t now_ms);
/* Takes bytes; returns how many it consumed.  What it leaves (an unfinished line, or anything while it waits) is offered
 * again, at the front of more.  It never leaves more than SMTP_AUTH_LINE_MAX octets while it does not wait. */
size_t submission_feed(struct submission *s, struct slice bytes, int64_t now_ms);
void submission_tls_done(struct submission *s, const char *version, int64_t now_ms);
/* `password`: the one that it was, of the settings that were handed to check_password; NULL: none. */
void submission_auth_done(struct submission *s, const struct user_password *password, int64_t now_ms);
void submission_commit_done(struct submission *s, const struct smtp_verdict *v, int64_t now_ms);
/* The monotonic time at which submission_timeout is to be called; it changes with every other call.  INT64_MAX while the
 * session waits for us, or has closed. */
int64_t submission_deadline(const struct submission *s);
void submission_timeout(struct submission *s, int64_t now_ms);
/* The daemon stops: 421 4.3.2 now if no transaction is under way, else after it.  True when the session has closed. */
bool submission_shutdown(struct submission *s, int64_t now_ms);
/* For the log line when the connection ends: the user, or NULL before login; messages accepted. */
const char *submission_user(const struct submission *s);
unsigned submission_messages(const struct submission *s);
/* The connection has gone. */
void submission_free(struct submission **ps);

/* Which of the passwords of the user whose name is `login` is this?  One of `users`, or NULL.  Runs crypt(5), so only on a
 * worker; takes the same time for a user that does not exist as for a wrong password.  App passwords are shown in groups,
 * so spaces are also tried removed; and of those that `sendas user add` makes, spaces, dashes and case do not matter. */
const struct user_password *submission_password_check(const struct users *users, struct slice login, struct slice password);
/* It was `match`, of `users`: for the next minutes sessions take this login without asking ops->check_password.  A password
 * that leaves `users` is unknown again. */
void submission_login_verified(struct submission_shared *s, const struct users *users, struct slice login, struct slice password,
                               const struct user_password *match, int64_t now_ms);

#endif
