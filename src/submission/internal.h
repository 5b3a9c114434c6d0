/* submission/internal.h - what the files of this room share: the session, its states, and how it answers.
 *
 *   session.c      life cycle, feeding, lines, deadlines, replies
 *   commands.c     the table of commands, when each may come, and the small ones
 *   greeting.c     EHLO, HELO, STARTTLS
 *   auth.c         AUTH
 *   transaction.c  MAIL, RCPT
 *   data.c         DATA        bdat.c  BDAT
 *   limits.c       what all sessions share: addresses      accounts.c  and accounts, logins.c  which a file keeps
 *   password.c     crypt(5), on a worker
 *   known.c        logins that were right not long ago
 *
 * Memory that one session may take: the struct (under 2 KiB), a transaction (SESSION_TXN_FIXED and
 * SESSION_TXN_RECIPIENT a recipient of limits.recipients), a decoded AUTH line while it is looked at
 * (9 KiB), and what the caller keeps of its input (SMTP_AUTH_LINE_MAX).  Message data passes through. */
#ifndef SUBMISSION_INTERNAL_H
#define SUBMISSION_INTERNAL_H

#include "sendas/submission.h"

#include <netinet/in.h>

enum {
    SESSION_LOGIN_MS = 60 * 1000,           /* from the connection to a successful AUTH */
    SESSION_TOTAL_MS = 4 * 60 * 60 * 1000,  /* a session is told to come again; never within a body */
    SESSION_BODY_GRACE_MS = 10 * 60 * 1000, /* a body or chunk may take this long, */
    SESSION_BODY_OCTETS_PER_S = 4096,       /* and as much more as its octets need at this rate */
    SESSION_ERRORS_MAX = 20,                /* commands answered by a syntax or sequence error */
    SESSION_TXN_FIXED = 4096,
    SESSION_TXN_RECIPIENT = 1024,
    SESSION_LOGIN_NAME_MAX = 255, /* RFC 4616 2 */
    SESSION_HELO_MAX = 255
};

enum session_state {
    SESSION_GREETED = 0, /* EHLO or HELO is awaited */
    SESSION_READY,
    SESSION_MAIL,      /* txn: a sender */
    SESSION_RCPT,      /* txn: a sender and recipients */
    SESSION_BDAT,      /* txn and intake: between two chunks */
    SESSION_CHUNK,     /* octets of a chunk come; with txn and intake, or refused */
    SESSION_DATA,      /* txn and intake: the content comes, up to the dot */
    SESSION_COMMIT,    /* txn and intake: submission_commit_done is awaited */
    SESSION_AUTH,      /* the answer to a challenge is awaited */
    SESSION_AUTH_WAIT, /* submission_auth_done is awaited */
    SESSION_STARTTLS,  /* submission_tls_done is awaited */
    SESSION_CLOSED
};

#define IN(state) (1u << SESSION_##state)

enum auth_step { AUTH_PLAIN_RESPONSE = 0, AUTH_LOGIN_NAME, AUTH_LOGIN_PASSWORD };

/* Removes the dots that were added, and finds the one that ends the content (RFC 5321 4.5.2). */
enum dots_state { DOTS_LINE_START = 0, DOTS_DOT, DOTS_DOT_CR, DOTS_TEXT, DOTS_CR };

/* A mail transaction: exists exactly from MAIL to the verdict or the RSET. */
struct txn {
    struct arena mem;
    bool null_sender, smtputf8, eightbit;
    enum smtp_ret ret; /* RFC 3461: RET, and ENVID as xtext */
    struct slice mail_from, envid;
    struct intake_recipient *recipients;
    size_t n_recipients, cap_recipients;
};

struct submission {
    struct submission_shared *shared;
    struct intake_settings *settings;
    const struct submission_ops *ops;
    void *ctx;

    enum session_state state;
    bool shutting_down;
    char ip[INET6_ADDRSTRLEN + 16]; /* with a zone */
    char tls[16];                   /* the version; "" = not yet */
    char helo[SESSION_HELO_MAX + 1];
    bool extended;           /* EHLO */
    const struct user *user; /* of `settings`, as the password that it logged in with */
    const struct user_password *password;
    unsigned messages, errors;

    /* the clock: every entry of the room sets `now`; all monotonic milliseconds */
    int64_t now, opened, command_since, body_since, body_last;
    uint64_t body_octets;

    /* the input: an unfinished line's octets that were searched already; the rest of a refused line is skipped */
    size_t scanned;
    bool skipping;
    bool followed; /* octets stood behind the line that is being handled */

    /* AUTH */
    enum auth_step auth_step;
    const char *auth_mechanism;
    char login[SESSION_LOGIN_NAME_MAX + 1];
    size_t login_n;

    /* the transaction */
    struct txn *txn;
    struct intake *intake;
    enum dots_state dots;
    uint64_t chunk_left, bdat_total;
    bool chunk_last;
    enum session_state after_chunk;
    struct smtp_verdict chunk_refusal; /* code 0: the chunk is taken */
};

_Static_assert(sizeof(struct submission) <= 2048, "the bound that is written above");

/* ---- session.c ------------------------------------------------------------------------------------- */

/* The only writer of s->state; nothing leaves SESSION_CLOSED. */
void submission_enter(struct submission *s, enum session_state to);
/* Sends one reply line; a refusal is logged and, if the client broke the protocol, counted. */
void session_reply(struct submission *s, int code, const char *enhanced, const char *text);
void session_reply_verdict(struct submission *s, const struct smtp_verdict *v);
/* A reply and the end: what was under way is aborted. */
void session_hang_up(struct submission *s, int code, const char *enhanced, const char *text);
void session_close(struct submission *s);
/* Outside of a transaction: the newest settings are taken up.  False when user or password are not in them. */
bool session_renew(struct submission *s);
/* A body or a chunk begins. */
void session_body_begins(struct submission *s);
const struct config *session_config(const struct submission *s);

/* ---- commands.c -------------------------------------------------------------------------------------- */

void submission_command(struct submission *s, struct slice line);

/* ---- the handlers, one per verb ------------------------------------------------------------------------- */

void cmd_ehlo(struct submission *s, struct slice args);
void cmd_helo(struct submission *s, struct slice args);
void cmd_starttls(struct submission *s, struct slice args);
void cmd_auth(struct submission *s, struct slice args);
void cmd_mail(struct submission *s, struct slice args);
void cmd_rcpt(struct submission *s, struct slice args);
void cmd_data(struct submission *s, struct slice args);
void cmd_bdat(struct submission *s, struct slice args);

/* ---- auth.c ------------------------------------------------------------------------------------------------ */

void auth_line(struct submission *s, struct slice line);
/* A line of the exchange that cannot be read: AUTH is over. */
void auth_drop(struct submission *s);

/* ---- transaction.c ------------------------------------------------------------------------------------------- */

/* Ends the transaction, whatever its state: aborts the intake if it is still ours. */
void txn_end(struct submission *s, bool accepted);
/* Hands the envelope to intake; -1 when it is not to be had. */
int txn_begin_content(struct submission *s);
void txn_commit(struct submission *s);

/* ---- data.c, bdat.c: content; how many octets were consumed ---------------------------------------------------- */

size_t data_feed(struct submission *s, struct slice bytes);
size_t bdat_feed(struct submission *s, struct slice bytes);
/* BDAT where it may not come: its octets are discarded before the refusal is sent (RFC 3030 2). */
void bdat_refuse(struct submission *s, struct slice args, const struct smtp_verdict *v);

/* ---- limits.c --------------------------------------------------------------------------------------------------- */

bool limits_locked_out(struct submission_shared *s, const char *ip, int64_t now_ms, const struct config *c);
/* One more failed login; is the address locked out now? */
bool limits_login_failed(struct submission_shared *s, const char *ip, int64_t now_ms, const struct config *c);
void limits_count_login(struct submission_shared *s, bool ok);
/* Which password of the user is this, if that was found in the last minutes?  NULL: not known. */
const struct user_password *limits_known_login(struct submission_shared *s, const struct users *users,
                                               struct slice login, struct slice password, int64_t now_ms);

/* ---- known.c --------------------------------------------------------------------------------------------------- */

struct known_logins;
/* NULL without memory or randomness; that is a table which knows nobody. */
struct known_logins *known_logins_new(void);
void known_logins_free(struct known_logins **pk);
const struct user_password *known_logins_find(const struct known_logins *k, const struct users *users,
                                              struct slice login, struct slice password, int64_t now_ms);
void known_logins_add(struct known_logins *k, const struct users *users, struct slice login, struct slice password,
                      const struct user_password *match, int64_t now_ms);

/* ---- accounts.c -------------------------------------------------------------------------------------------------- */

/* Did too many logins of this name fail, from wherever, and is `ip` not where its user is known from? */
bool accounts_locked_out(struct submission_shared *s, const struct users *users, struct slice login, const char *ip,
                         int64_t now_ms, const struct config *c);
/* One more failed login; true when that locks a user's account and is to be logged. */
bool accounts_login_failed(struct submission_shared *s, const struct users *users, struct slice login, const char *ip,
                           int64_t now_ms, const struct config *c);
void accounts_login_ok(struct submission_shared *s, const struct user *user, const struct user_password *password,
                       const char *ip);
/* A message begins: 0, or -1 and the 450 when it is one too many for the hour.  Each 0 is paired with an end. */
int limits_message_begin(struct submission_shared *s, const struct user *user, const struct user_password *password,
                         int64_t now_ms, const struct config *c, struct smtp_verdict *v);
void limits_message_end(struct submission_shared *s, const struct user *user, const struct user_password *password,
                        int64_t now_ms, bool accepted);

#endif
