/* src/daemon/conn.h - one TCP connection with or without TLS, as a few events.
 *
 *   CONNECTING --> OPEN --start_tls--> UPGRADING --> HANDSHAKE --> OPEN --finish--> FINISHING --> LINGERING --> CLOSED
 *
 * Both sides of SMTP use it; neither sees sockets, OpenSSL or libevent.  What it holds is bounded: input that the owner
 * does not take stops the reading, output that the peer does not take stops it too.  While idle it holds no buffers. */
#ifndef SENDAS_DAEMON_CONN_H
#define SENDAS_DAEMON_CONN_H

#include "sendas/base.h"

struct conn;
struct event_base;
struct sockaddr;
struct ssl_st;

enum {
    CONN_INPUT_MAX = 32 * 1024,        /* left behind by the owner, while it does not wait */
    CONN_OUTPUT_HIGH = 64 * 1024,      /* more than this waits to be sent: nothing is read */
    CONN_OUTPUT_LOW = 32 * 1024,       /* CONN_DRAINED when below */
    CONN_OUTPUT_MAX = 4 * 1024 * 1024, /* beyond: the connection is broken off */
    CONN_HANDSHAKE_TIMEOUT_MS = 30000,
    CONN_FINISH_TIMEOUT_MS = 10000, /* for the last output */
    CONN_LINGER_TIMEOUT_MS = 2000   /* for the peer to read it, before the socket goes */
};

enum conn_event {
    CONN_CONNECTED = 0,
    CONN_TLS_READY,
    CONN_TLS_FAILED, /* `reason`; nothing more can be sent: conn_finish */
    CONN_DRAINED,    /* once for each conn_want_drained */
    CONN_TIMEOUT,    /* the owner's deadline has passed; it must move it, or finish */
    CONN_CLOSED      /* the last event; `reason` says why, "" after conn_finish */
};

/* Called on the loop, never (but for `deadline`) from within a conn_ function.  All conn_ functions may be called inside. */
struct conn_owner {
    /* Returns how many octets it takes; the rest is offered again, at the front of more. */
    size_t (*data)(void *owner, struct slice bytes);
    void (*event)(void *owner, enum conn_event event, const char *reason);
    /* The monotonic time for CONN_TIMEOUT; 0 or INT64_MAX = none.  Asked by conn_accept and conn_connect, and whenever
     * something has happened. */
    int64_t (*deadline)(void *owner);
};

/* Takes an open, non-blocking descriptor over; on failure (NULL) it is closed. */
struct conn *conn_accept(struct event_base *base, int fd, const struct conn_owner *calls, void *owner);
/* Begins to connect; CONN_CONNECTED or CONN_CLOSED follows.  `from` may be NULL. */
struct conn *conn_connect(struct event_base *base, const struct sockaddr *to, const struct sockaddr *from,
                          int64_t timeout_ms, const struct conn_owner *calls, void *owner, struct err *err);
void conn_send(struct conn *c, struct slice bytes);
/* When all that was sent is out, the handshake begins.  Every octet that came before it is thrown away.  Takes `ssl`
 * over. */
void conn_start_tls(struct conn *c, struct ssl_st *ssl);
const struct ssl_st *conn_tls(const struct conn *c); /* NULL without TLS */
/* Take no input until conn_resume, which offers again what was left. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
void conn_want_drained(struct conn *c);
/* Sends what waits, ends TLS and TCP in good order, then CONN_CLOSED.  No data, no other event comes from here on. */
void conn_finish(struct conn *c);
bool conn_finishing(const struct conn *c);
/* At once.  No event comes. */
void conn_free(struct conn **pc);

#endif
