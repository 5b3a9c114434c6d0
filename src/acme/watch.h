/* src/acme/watch.h - what acme.c (when is something due?) and attempt.c (an attempt to obtain the certificate) share. */
#ifndef SENDAS_ACME_WATCH_H
#define SENDAS_ACME_WATCH_H

#include "internal.h"

#include <event2/event.h>

enum acme_phase {
    ACME_PHASE_IDLE = 0,
    ACME_PHASE_ASKING_NAME,
    ACME_PHASE_PREPARING,
    ACME_PHASE_ORDERING,
    ACME_PHASE_INSTALLING,
    ACME_PHASE_ASKING_WHERE,
    ACME_PHASE_ASKING_WHEN,
    ACME_PHASE_SAVING
};

struct acme {
    struct acme_deps deps;
    struct acme_events events;
    const struct config *config;
    enum acme_phase phase;
    struct event *due_timer, *deadline_timer;
    struct acme_http *http;
    struct acme_name *name;
    struct acme_responder *responder;
    struct acme_order order;
    struct acme_save *saving; /* on a worker */
    EVP_PKEY *account_key, *certificate_key;
    struct acme_state state, before; /* before: the attempt under way */
    /* The certificate in the files. */
    bool usable; /* it can be served for the host name */
    int64_t not_before, not_after;
    struct strbuf certificate_id; /* empty: it has none */
    struct strbuf ask_url;
    bool named; /* the host name was seen in DNS */
    int64_t name_at,
        unnamed_since; /* by the monotonic clock, in seconds: the next look; since when it is waited for, 0 = not */
    bool again;        /* there was a reload: a new look at everything once this phase is over */
};

/* ---- acme.c ---------------------------------------------------------------------------------- */

/* The advice for a host name that is not in DNS. */
extern const char acme_name_fix[];

/* Begins what is due, or sets the timer for it. */
void acme_look(struct acme *a);
/* The certificate in the files, and what it says of its renewal. */
void acme_read_certificate(struct acme *a);
/* Is it of another authority than the configured one? */
bool acme_is_from_elsewhere(const struct acme *a);
/* Seconds since 1970. */
int64_t acme_now_s(void);
uint32_t acme_random(void);
/* RFC 3339; returns `out`. */
const char *acme_time_text(int64_t at, char out[32]);

/* ---- attempt.c ------------------------------------------------------------------------------- */

/* Nothing is under way any more: looks for what is due. */
void acme_rest(struct acme *a);
/* The state as it would be written; NULL without memory. */
struct acme_save *acme_save_of(const struct acme *a);
/* Writes the state, then rests. */
void acme_save_and_rest(struct acme *a);

/* Obtains a certificate: ends, sooner or later, in acme_rest. */
void acme_attempt_begin(struct acme *a);
/* The order's next request, when its time has come. */
void acme_attempt_send(struct acme *a);
/* The order has taken a response, or that there is none. */
void acme_attempt_go_on(struct acme *a);
void acme_attempt_failed(struct acme *a, const struct acme_failure *why);
/* The order borrows its settings of a->config. */
void acme_attempt_lend_settings(struct acme *a);

#endif
