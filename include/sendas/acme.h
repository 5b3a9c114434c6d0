/* sendas/acme.h - obtains and renews the server's certificate (RFC 8555; renewal information: RFC 9773).
 *
 * All lives on the loop thread; what writes files runs on a worker.  Nothing blocks.  At most one request is under way.
 *
 * In c->tls.acme->dir are kept: account.pem (the account's key, P-256), fullchain.pem and privkey.pem (what is served), and
 * state.json (the account's URL, when to renew, how often it failed and when to try again: a restart forgets nothing).
 *
 * A first order begins when every name server shows an address of the host name: before that it could only fail.
 *
 * What the authority says is taken for hostile: https only, no redirects, every response bounded in size and time. */
#ifndef SENDAS_ACME_H
#define SENDAS_ACME_H

#include "sendas/base.h"
#include "sendas/config.h"

struct acme;
struct dns;
struct event_base;
struct workers;

struct acme_deps {
    struct event_base *base;
    struct workers *workers;
    struct dns *dns; /* finds the authority; what it does not know the system is asked for */
};

struct acme_events {
    /* A new certificate and its key are in the files, proven (tls_certificate_prove).  0 when it is served from now on. */
    int (*installed)(void *ctx, struct err *err);
    void *ctx;
};

/* Before the files are read: finishes what a crash has left half done there. */
void acme_recover(const struct config *c);

/* Begins to watch over the certificate in `c` (c->tls.acme is not NULL); a first order begins by itself.  `c` stays valid
 * until the next acme_reconfigure or acme_free.  -1 and the reason: out of memory, or libcurl, which is loaded only now, is not
 * there. */
int acme_new(const struct acme_deps *deps, const struct acme_events *events, const struct config *c, struct acme **ret,
             struct err *err);
/* New settings (tls.acme still there), or the same once more.  An order under way for other settings ends; one that had failed is
 * tried again, unless the authority itself has said when; renewal information is asked for again. */
void acme_reconfigure(struct acme *a, const struct config *c);
/* An order under way ends, and does not count as failed. */
void acme_free(struct acme **pa);

/* What libcurl says of itself; NULL when it is not there. */
const char *acme_library_version(void);

/* ---- for commands: what the daemon has noted ------------------------------------------------- */

struct acme_status {
    unsigned failures;    /* attempts in a row that failed; 0 = the last one did not */
    char reason[320];     /* why the last one failed; "" */
    char fix[320];        /* what to do about it; "": nothing is known */
    int64_t since;        /* when the first of them was, in seconds since 1970; 0 = not known */
    int64_t next_attempt; /* likewise; 0 = when the certificate is due */
    int64_t renew_at;     /* when the certificate that is there is due; 0 = there is none */
    bool under_way;       /* the last attempt has not ended: it goes on, or the daemon was killed */
    bool limited;         /* the authority itself has named that time */
    bool unnamed;         /* DNS shows no address of the host name: it is waited for */
};

/* Reads state.json and the certificate.  0, also where there is none yet; -1 and the reason when it cannot be read. */
int acme_status_read(const struct config *c, struct acme_status *ret, struct err *err);

#endif
