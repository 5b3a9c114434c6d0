/* src/daemon/internal.h - the parts of a running daemon, and the one struct that holds them. */
#ifndef SENDAS_DAEMON_INTERNAL_H
#define SENDAS_DAEMON_INTERNAL_H

#include "sendas/config.h"
#include "sendas/daemon.h"
#include "sendas/delivery.h"
#include "sendas/dns.h"
#include "sendas/intake.h"
#include "sendas/queue.h"
#include "sendas/submission.h"
#include "sendas/tls.h"

#include <sys/queue.h>

struct admin;
struct event;
struct event_base;
struct key_watch;
struct listener;
struct logins;
struct reload_note;
struct password_job;
struct server_conn;
struct sockaddr_storage;

/* Everything lives on the loop thread. */
struct daemon {
    const char *config_path;
    struct event_base *base;
    struct intake_settings *settings; /* the newest; who works by older ones holds a reference */
    struct tls_server *tls_server;
    struct tls_client *tls_client;
    struct listener *listeners;
    struct admin *admin, *admin_next; /* NULL: none; prepared, not committed */
    struct workers *workers;
    struct queue *queue;
    struct dns *dns;
    struct intake_context intake;
    struct delivery *delivery;
    struct key_watch *key_watch;
    struct delivery_net net;
    struct submission_shared *shared;
    struct logins *logins;
    struct reload_note *reload_note;
    struct server_conn *server_conns;
    LIST_HEAD(password_jobs, password_job) password_jobs;
    struct delivery_link *client_links;
    struct event *sighup, *sigterm, *sigint, *watchdog_timer, *stop_timer;
    struct certificate_watch *certificate;
    int64_t started_s;         /* wall clock */
    int64_t reloaded_s;        /* the last reload that was taken, or the start */
    struct err reload_error;   /* "" = the last reload was taken */
    uint64_t tls_failures;     /* of clients' handshakes */
    int client_descriptor_max; /* no client gets a descriptor from here on */
    bool stopping, delivery_stopped;
};

/* ---- acceptor.c: connections from a listening socket ----------------------------------------------------- */

struct acceptor_calls {
    int a_turn; /* how many at most before the loop goes on */
    /* Takes the descriptor over, which does not block; false: there was no room for it (it is closed already). */
    bool (*take)(void *ctx, int fd, const struct sockaddr_storage *from);
    /* Nothing is accepted for a second: no descriptors, or no memory (an errno). */
    void (*log_rest)(void *ctx, int error);
};

struct acceptor {
    const struct acceptor_calls *calls;
    void *ctx;
    struct event *event, *rest_timer;
};

/* Of a socket that listens and does not block, and stays the caller's.  -1 without memory; acceptor_free in any case. */
int acceptor_init(struct acceptor *a, struct event_base *base, int fd, const struct acceptor_calls *calls, void *ctx);
void acceptor_start(struct acceptor *a);
void acceptor_free(struct acceptor *a);

/* ---- listener.c: accepting sockets ----------------------------------------------------------------- */

/* Listeners for `c` that are not there yet are bound (nothing accepts yet); those that stay are kept.  On failure all
 * is as it was. */
int listeners_prepare(struct daemon *d, const struct config *c, struct err *err);
/* What was prepared begins to accept; what `c` does not name is closed.  Connections stay. */
void listeners_commit(struct daemon *d, const struct config *c);
/* What was prepared and not committed is closed. */
void listeners_rollback(struct daemon *d);
void listeners_close(struct daemon *d);
/* How many connections each has accepted. */
struct listener_count {
    const char *address;
    uint16_t port;
    enum config_tls_mode tls;
    uint64_t accepted;
};
size_t listeners_count(const struct daemon *d, struct listener_count *v, size_t max);
/* Does a listener accept at this numeric address?  One at a wildcard does at every address of the machine. */
bool listeners_own_address(const struct daemon *d, const char *address);
/* A socket that listens at a numeric address and does not block; -1 and the reason. */
int listener_bind(const char *address, uint16_t port, int backlog, struct err *err);
/* Numeric text, IPv4-mapped addresses as IPv4; the port through *port. */
void address_text(const struct sockaddr_storage *sa, char out[46], uint16_t *port);
/* The reverse; -1 when it is no numeric address. */
int address_parse(const char *text, uint16_t port, struct sockaddr_storage *ret);

/* ---- server_conn.c: a submission client --------------------------------------------------------------- */

/* Takes the descriptor over. */
void server_conn_accept(struct daemon *d, int fd, const char *ip, uint16_t port, enum config_tls_mode tls);
/* Tells every session to end; those in a transaction finish it first. */
void server_conns_shutdown(struct daemon *d);
void server_conns_free(struct daemon *d);
/* Is there room on the disk for one more message?  When there is none clients get 452 4.3.1. */
bool server_storage_ok(const struct daemon *d);

/* ---- passwords.c: hashing them, on the workers -------------------------------------------------------- */

/* One who waits for a password to be checked.  Filled by its owner: what is called on the loop with the password that it
 * was, of the settings that were asked with, or NULL. */
struct password_wait {
    void (*done)(void *ctx, const struct user_password *match);
    void *ctx;
    LIST_ENTRY(password_wait) waits;
    bool waiting;
};

/* Copies login and password; -1 when no more can wait.  A password that it was is known for a while
 * (submission_login_verified). */
int password_ask(struct daemon *d, struct intake_settings *settings, struct slice login, struct slice password,
                 struct password_wait *wait);
/* Its owner goes; nothing if it does not wait. */
void password_leave(struct password_wait *wait);

/* ---- client_link.c: connections for delivery ------------------------------------------------------------- */

void client_links_init(struct daemon *d); /* fills d->net */
void client_links_free(struct daemon *d);

/* ---- control.c ---------------------------------------------------------------------------------------- */

/* Signals, and the timer that feeds systemd's watchdog. */
int daemon_watch(struct daemon *d, struct err *err);
void daemon_unwatch(struct daemon *d);
void daemon_reload(struct daemon *d);
/* Has all ended that an orderly stop waits for?  Then the loop ends. */
void daemon_check_stopped(struct daemon *d);
/* Settings that are known, but do nothing in this version, or only from the next start on. */
void daemon_warn_settings(const struct config *now, const struct config *before);

/* ---- certificate.c: what is shown to clients, and its renewal ---------------------------------------- */

/* Watches the files of the certificate and reminds of its end; with tls.acme obtains and renews it. */
int certificate_start(struct daemon *d, struct err *err);
/* After a reload: takes *pserver in place of d->tls_server, and the settings of `c`. */
void certificate_take(struct daemon *d, struct tls_server **pserver, const struct config *c);
void certificate_stop(struct daemon *d);

/* ---- admin.c: the status page, /metrics and /healthz ------------------------------------------------------- */

/* As listeners_prepare, _commit and _rollback, for admin.listen. */
int admin_prepare(struct daemon *d, const struct config *c, struct err *err);
void admin_commit(struct daemon *d, const struct config *c);
void admin_rollback(struct daemon *d);
/* Its connections end at once. */
void admin_close(struct daemon *d);

/* ---- keys.c: the watch over DKIM keys ------------------------------------------------------------------- */

/* Looks at every key at once, then as often as each needs it. */
int daemon_keys_start(struct daemon *d, struct err *err);
/* d->settings are new: again at once. */
void daemon_keys_reload(struct daemon *d);
/* What is known of each key that is not retired; the texts are valid until the loop goes on. */
struct key_state {
    const char *domain, *selector, *algorithm;
    const char *state;  /* "active": it signs; "waiting" for DNS; "stopped" */
    const char *record; /* what DNS showed last: keys_found_name */
    const char *reason; /* a sentence; "" */
    bool bad;           /* the record is surely useless at some receivers */
};
size_t daemon_keys_states(const struct daemon *d, struct key_state *v, size_t max);
/* No more looks; before DNS ends. */
void daemon_keys_stop(struct daemon *d);
/* After the workers. */
void daemon_keys_free(struct daemon *d);

/* ---- logins.c: what is remembered of the users, across restarts ----------------------------------------------- */

int logins_start(struct daemon *d, struct err *err);
/* Writes the last state; the workers have ended. */
void logins_stop(struct daemon *d);

/* ---- reload_note.c: what commands are told of the last reload -------------------------------------------------- */

int reload_note_start(struct daemon *d, struct err *err);
/* NULL: nothing was wrong. */
void reload_note_set(struct daemon *d, const char *error);
/* The workers have ended. */
void reload_note_stop(struct daemon *d);

/* ---- sdnotify.c: systemd's notification socket (sd_notify(3)) --------------------------------------------------- */

/* One datagram to $NOTIFY_SOCKET; nothing without one. */
void sdnotify(const char *state);
void sdnotify_reloading(void);
/* How often WATCHDOG=1 is due in milliseconds; 0 = no watchdog. */
int64_t sdnotify_watchdog_ms(void);

#endif
