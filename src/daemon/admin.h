/* src/daemon/admin.h - what the files of the admin listener share.
 *
 *   admin.c          the listener and its visitors: few, and none for long
 *   admin_request.c  the head of a request, judged
 *   admin_answer.c   what it gets
 *   admin_health.c   can mail be accepted?
 *   admin_facts.c    what is known, gathered from the rooms
 *   admin_metrics.c  it as Prometheus reads it
 *   admin_page.c     it for a person
 *
 * Everything is answered at once, on the loop, from what is in memory; a connection serves one request. */
#ifndef SENDAS_DAEMON_ADMIN_H
#define SENDAS_DAEMON_ADMIN_H

#include "internal.h"

enum { ADMIN_HEAD_MAX = 8 * 1024 };

struct admin_request {
    int refusal; /* 0: it may be answered; else an HTTP status, and `why` */
    const char *why;
    bool head; /* HEAD: the fields of the answer without its body */
    struct slice path;
};

/* Judges what a visitor has sent so far.  False: the head of the request is not complete.  Otherwise *ret is filled; its path
 * points into `bytes`.  `hostname`: the only name, beside localhost, that a request may be addressed to. */
bool admin_request_read(struct slice bytes, const char *hostname, struct admin_request *ret);

struct admin_day;

/* The whole answer, as it goes over the wire. */
void admin_answer(const struct daemon *d, const struct admin_day *day, const struct admin_request *request,
                  struct strbuf *out);

/* Why no mail is accepted, in a few words; NULL when it is. */
const char *admin_ill(const struct daemon *d);

/* ---- facts -------------------------------------------------------------------------------------------------- */

enum { ADMIN_PLACES = 10, ADMIN_LISTENERS = 64, ADMIN_KEYS = 10000, ADMIN_REASON = 256 };

/* What a day is counted in. */
struct admin_totals {
    uint64_t accepted, delivered, deferred, failed, refused, logins_failed;
};

/* A domain that mail waits for, and why. */
struct admin_place {
    struct queue_place queue;
    char reason[ADMIN_REASON]; /* the last one, without addresses; "" = none is known */
};

/* All that the pages show; nothing of it names a recipient, a subject or a secret.  What it points at is the daemon's, and
 * valid until the loop goes on. */
struct admin_facts {
    const char *version, *hostname;
    const char *ill;                      /* admin_ill */
    int64_t now_s, started_s, reloaded_s; /* wall clock */
    const char *reload_error;             /* "" = the last reload was taken */
    int64_t late_after_s;                 /* what waits longer is worth a look */
    struct submission_counts submission;
    struct intake_counts intake;
    struct delivery_counts delivery;
    struct dns_counts dns;
    struct queue_figures queue;
    uint64_t tls_failures;
    size_t sessions, deliveries; /* open connections */
    struct listener_count listeners[ADMIN_LISTENERS];
    size_t n_listeners;
    struct admin_place places[ADMIN_PLACES];
    size_t n_places;
    struct key_state *keys;
    size_t n_keys;
    int64_t certificate_end_s; /* 0 = there is none yet */
    const char *certificate_problem;
    struct admin_totals today;
    int64_t today_since_s;
    uint64_t resident_octets;
    double cpu_s;
};

struct admin_day {
    struct admin_totals before; /* at its beginning */
    int64_t since_s;
};

/* Fills all, the places only if they are wanted (they take 10 ms for a hundred thousand messages); -1 when out of memory.  admin_facts_free afterwards, in any case. */
int admin_facts_gather(const struct daemon *d, const struct admin_day *day, bool places, struct admin_facts *ret);
void admin_facts_free(struct admin_facts *f);
/* Messages that are in the queue and not held. */
size_t admin_waiting(const struct admin_facts *f);
void admin_totals(const struct daemon *d, struct admin_totals *ret);
/* The text of a reply, without control characters, and with the local part of each address taken away. */
void admin_reason(const char *reply, char out[ADMIN_REASON]);

/* The Prometheus text format, version 0.0.4. */
void admin_metrics(const struct admin_facts *f, struct strbuf *out);
/* The status page: HTML without scripts. */
void admin_page(const struct admin_facts *f, struct strbuf *out);
/* "2 h 5 min": two units, the larger ones. */
void admin_span(char out[32], int64_t seconds);

#endif
