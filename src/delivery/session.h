/* delivery/session.h - the inside of a client session, shared by session.c (the machine), session_hello.c (greeting to
 * login) and session_send.c (one transaction).
 *
 * Invariants: session_enter is the only writer of `state`; `m` is set exactly while a transaction is under way
 * (ENVELOPE, DATA, BODY, DOT); `close` was called exactly when the state is DONE. */
#ifndef SENDAS_DELIVERY_SESSION_H
#define SENDAS_DELIVERY_SESSION_H

#include "sendas/delivery.h"

/* What became of a recipient within the transaction. */
enum rcpt_state { RCPT_OPEN = 0, RCPT_ACCEPTED, RCPT_ANSWERED };

struct delivery_session {
    enum delivery_session_state state;
    int64_t deadline_ms, now_ms;
    int64_t limit_ms; /* for the whole envelope, or the whole content, however busily it goes on; INT64_MAX = none */
    const struct delivery_session_ops *ops;
    void *ctx;
    char *hostname, *user, *password;
    bool tls_required, tls_disabled;

    struct smtp_reply_parser reply;
    size_t unread; /* octets that the present feed holds behind the line being judged */
    struct smtp_extensions ext;
    char tls_version[24]; /* "" = in clear */
    unsigned auth_step;   /* LOGIN: challenges answered */
    bool quitting;        /* told to quit: nobody is waiting for `failed` */
    bool own_words;       /* the verdict being given is ours, not the server's */

    /* the transaction */
    const struct delivery_message *m;
    unsigned char rcpt[DELIVERY_RECIPIENTS_MAX]; /* enum rcpt_state of each recipient */
    size_t accepted;                             /* recipients that the server took */
    size_t sent;                                 /* commands sent: MAIL, RCPT of each, DATA */
    size_t answered;                             /* replies to them */
    bool mail_refused;
    bool empty;      /* 354 without a recipient: a lone dot went out, its reply means nothing */
    bool line_start; /* the next octet of content begins a line */
    bool after_cr;   /* the last octet of content was a CR */
};

/* "TLSv1.3", or "" in clear. */
const char *delivery_session_tls(const struct delivery_session *s);
/* Is the verdict being given (result, failed) our own, not the server's? */
bool delivery_session_own_words(const struct delivery_session *s);

/* The sole writer of s->state: sets the deadline, then does what entering means. */
void session_enter(struct delivery_session *s, enum delivery_session_state to);
/* The present state's timeout begins anew: progress was made.  It never passes the limit. */
void session_restart_timer(struct delivery_session *s);
/* The connection is of no more use: open recipients get *v, then `finished`, `failed` and `close` as far as they are
 * due. */
void session_fail(struct delivery_session *s, const struct smtp_verdict *v, bool own_words);
/* The same in our own words, as a temporary failure. */
void session_give_up(struct delivery_session *s, const char *enhanced, const char *format, ...) PRINTF_LIKE(3, 4);
/* A reply that no client could have expected here. */
void session_bad_reply(struct delivery_session *s, const struct smtp_verdict *v);
/* A reply that is no success where only that would do: a 4xx or 5xx is the server's last word, a 3xx makes no sense. */
void session_refused(struct delivery_session *s, const struct smtp_verdict *v);
void session_command(struct delivery_session *s, struct slice line);
/* All of the present state must be done in that time. */
void session_limit(struct delivery_session *s, int64_t ms);
void session_commandf(struct delivery_session *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* session_hello.c: what entering a state sends, and what its reply means */
void hello_on_banner(struct delivery_session *s, const struct smtp_verdict *v);
void hello_send_ehlo(struct delivery_session *s);
void hello_on_ehlo(struct delivery_session *s, const struct smtp_verdict *v);
void hello_send_helo(struct delivery_session *s);
void hello_on_helo(struct delivery_session *s, const struct smtp_verdict *v);
void hello_send_starttls(struct delivery_session *s);
void hello_on_starttls(struct delivery_session *s, const struct smtp_verdict *v);
void hello_start_tls(struct delivery_session *s);
void hello_on_ehlo_tls(struct delivery_session *s, const struct smtp_verdict *v);
void hello_send_auth(struct delivery_session *s);
void hello_on_auth(struct delivery_session *s, const struct smtp_verdict *v);

/* session_send.c */
void send_envelope(struct delivery_session *s);
void send_on_envelope(struct delivery_session *s, const struct smtp_verdict *v);
void send_data(struct delivery_session *s);
void send_on_data(struct delivery_session *s, const struct smtp_verdict *v);
void send_body(struct delivery_session *s);
void send_on_early_reply(struct delivery_session *s, const struct smtp_verdict *v);
void send_dot(struct delivery_session *s);
void send_on_dot(struct delivery_session *s, const struct smtp_verdict *v);
void send_rset(struct delivery_session *s);
void send_on_rset(struct delivery_session *s, const struct smtp_verdict *v);
/* Every recipient without a verdict gets this one; the transaction is over and `finished` was called. */
void send_conclude(struct delivery_session *s, const struct smtp_verdict *v, bool own_words);

#endif
