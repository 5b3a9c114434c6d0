/* src/cli/check.h - `sendas check`: what is asked, how it is judged, how it is told.
 *
 * A check is a function that asks the world (DNS, connections), judges, and adds items to its run.  It never waits: what
 * is not known yet is answered as if there were no answer, and noted.  check_ask.c then puts all open questions of all
 * checks at once, and those checks that lacked an answer run again from the beginning, until none lacks any.  So each
 * reads straight on, and a test answers from a table.
 * What is found out in files is put in a struct of facts first, and judged by a function that sees only that. */
#ifndef SENDAS_CLI_CHECK_H
#define SENDAS_CLI_CHECK_H

#include "sendas/acme.h"
#include "sendas/align.h"
#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/tls.h"

#include <jansson.h>
#include <openssl/x509.h>

enum { CHECK_MEMORY_MAX = 16 * 1024 * 1024, CHECK_ADDRESSES_MAX = 16, CHECK_ADDRESS_SIZE = 64, CHECK_NAMES_MAX = 16 };

enum check_status { CHECK_PASS = 0, CHECK_WARN, CHECK_FAIL };

/* Texts are printable, NUL-terminated and live in the run's arena; "" where there is nothing to say. */
struct check_item {
    struct check_item *next;
    const char *id;
    const char *domain; /* NULL: it is about the host */
    enum check_status status;
    bool unknown;   /* a warning because the answer could not be had */
    bool minor;     /* receivers do without it: a DKIM key that is not RSA, or that does not sign */
    bool unaligned; /* of dmarc: SPF does not align, and DKIM has to carry it */
    const char *found, *expected, *fix;
    const char *note; /* what could be better though it passes */
};

/* ---- the world ----------------------------------------------------------------------------------------------- */

enum check_talk { CHECK_TALK_GREETING = 0, CHECK_TALK_STARTTLS, CHECK_TALK_IMPLICIT };

struct check_contact {
    char address[CHECK_ADDRESS_SIZE];
    uint16_t port;
    char source[CHECK_ADDRESS_SIZE]; /* "": as the kernel chooses */
    enum check_talk talk;
    const char *host; /* for EHLO and SNI; outlives the world */
};

/* What came of it. */
struct check_reached {
    int error;                    /* errno of the connection; 0: it is there */
    char greeting[256];           /* its first line; "": none came */
    char failure[256];            /* why there was no TLS; "": there was, or none was wanted */
    const STACK_OF(X509) * chain; /* what it presented, its own certificate first; NULL: nothing */
};

/* What one authoritative server says, past all caches. */
struct check_authority {
    const char *server; /* "ns1.example.com [192.0.2.53]" */
    const char *silent; /* why it gave no answer; NULL: it gave `answer` */
    struct lookup_answer answer;
};

struct check_authorities {
    const char *reason; /* why the list is not complete; "" */
    const struct check_authority *v;
    size_t n;
};

struct check_world {
    struct lookup dns;
    /* Why the last answer for this name was LOOKUP_TEMPFAIL; "" when it was not, or nobody knows. */
    const char *(*why)(void *ctx, const char *name, unsigned type);
    /* Every authoritative server is asked; false: not known yet. */
    bool (*authorities)(void *ctx, const char *name, unsigned type, struct check_authorities *ret);
    /* false: not known yet. */
    bool (*contact)(void *ctx, const struct check_contact *who, struct check_reached *ret);
    /* The address that this machine sends from to the Internet, by its routes: false when it cannot. */
    bool (*source)(void *ctx, int family, char out[CHECK_ADDRESS_SIZE]);
    /* Is it an address of this machine? */
    bool (*is_local)(void *ctx, const char *address);
    void *ctx;
};

/* ---- a run ------------------------------------------------------------------------------------------------------ */

/* How the addresses that mail leaves from are known. */
enum check_origin { CHECK_ORIGIN_NONE = 0, CHECK_ORIGIN_CONFIGURED, CHECK_ORIGIN_ROUTE, CHECK_ORIGIN_HOST };

struct check_run {
    struct arena memory;
    const struct config *config;
    const struct check_world *world;
    const struct config_domain *only;           /* the one domain that is looked at; NULL: all */
    int64_t now;                                /* seconds since the epoch */
    const char *smarthost;                      /* the host that takes all mail ("*" in delivery.routes), or NULL */
    const char *addresses[CHECK_ADDRESSES_MAX]; /* that receivers see mail come from */
    size_t n_addresses;
    enum check_origin origin;
    bool addresses_unknown; /* DNS gave no answer for them */
    bool nat;               /* this machine's own addresses are private */
    struct check_item *first, **end;
    struct check_item spare; /* what is written to when memory has ended */
    bool failed;             /* it has */
};

void check_begin(struct check_run *r, const struct config *c, const struct check_world *world, int64_t now);
/* Never NULL.  `id` is copied. */
struct check_item *check_add(struct check_run *r, const char *id, const char *domain, enum check_status status);
/* A text for an item: what cannot be printed becomes '?'. */
const char *check_text(struct check_run *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* The texts of an item at once; `found` and `fix` are freed. */
void check_tell(struct check_run *r, struct check_item *item, struct strbuf *found, const char *expected,
                struct strbuf *fix);
/* A warning: DNS gave no answer for `name`. */
void check_no_answer(struct check_run *r, struct check_item *item, const char *name, unsigned type);
struct lookup_answer check_ask(struct check_run *r, const char *name, enum lookup_status *worst, unsigned type);
/* "; " between two texts of a list. */
void check_join(struct strbuf *list);
bool check_is_ipv6(const char *address);
/* "1.2.0.192.ZONE4", or the nibbles of RFC 3596 2.5 before ZONE6. */
void check_reverse_name(const char *address, const char *zone4, const char *zone6, char out[160]);

/* ---- the host, by DNS: check_address.c, check_host.c, check_dnsbl.c ---------------------------------------------- */

/* Fills in run->addresses.  Comes before hostname, ptr, helo, spf, return_path and dnsbl. */
void check_addresses(struct check_run *r);
void check_hostname(struct check_run *r);
void check_ptr(struct check_run *r);
void check_helo(struct check_run *r);
void check_dnsbl(struct check_run *r);

/* ---- a domain, by DNS: check_domain.c, check_spf.c, check_dkim.c ---------------------------------------------------- */

void check_dnssec(struct check_run *r, const char *domain);
void check_spf(struct check_run *r, const char *domain);
void check_dkim(struct check_run *r, const struct config_domain *domain, const struct config_key *key);
void check_dmarc(struct check_run *r, const struct config_domain *domain);
void check_mx(struct check_run *r, const char *domain);
/* What a receiver says of mail from the envelope sender `sender` that comes from `ip`; lives in the run's memory. */
struct spf_verdict check_spf_verdict(struct check_run *r, const char *sender, const char *ip);
/* Nothing where the domain has no return_path. */
void check_return_path(struct check_run *r, const struct config_domain *domain);

/* ---- the certificate: check_certificate.c, check_acme.c ---------------------------------------------------------------- */

struct check_certificate {
    struct err problem; /* it cannot be loaded; text "" = it can */
    bool matches;       /* the key */
    struct tls_certificate_facts facts;
    const char *listener;           /* one that presents another certificate; NULL = none */
    int64_t served_after;           /* until when that one is valid */
    const struct acme_status *acme; /* sendas obtains it itself; NULL = others do */
    bool temporary;                 /* and has none yet: what is shown meanwhile no mail program takes */
};
void check_certificate_judge(struct check_run *r, const struct check_certificate *f);
void check_certificate(struct check_run *r);
/* What keeps sendas from obtaining or renewing the certificate, that ends at `not_after`.  False: nothing does. */
bool check_acme_judge(struct check_run *r, const struct acme_status *s, int64_t not_after, struct strbuf *found,
                      struct strbuf *fix);

/* ---- the way out: check_port.c ---------------------------------------------------------------------------------------- */

struct check_try {
    const char *host;
    struct check_contact contact;
    struct check_reached reached;
};
enum { CHECK_TRIES_MAX = 16 };
struct check_port {
    struct check_try tries[CHECK_TRIES_MAX];
    size_t n;
    uint16_t port;
    const char *override; /* the host of delivery.routes; NULL = none */
    const char *unknown;  /* the name for which DNS gave no answer, when nothing could be tried; NULL */
};
void check_port_judge(struct check_run *r, const struct check_port *f);
void check_port25(struct check_run *r);

/* ---- files: check_files.c ----------------------------------------------------------------------------------------------- */

struct check_file {
    const char *path;
    bool secret, folder; /* a folder is written to */
    int error;           /* errno of stat(2) */
    unsigned mode, uid, gid;
};
struct check_reader { /* who runs the daemon */
    unsigned uid, gid;
    const char *name;
};
/* What keeps the daemon from using it, and the command that mends it; false when all is well. */
bool check_file_judge(const struct check_file *f, const struct check_reader *who, struct strbuf *found,
                      struct strbuf *fix);
void check_files(struct check_run *r);

/* ---- the daemon: check_daemon.c ------------------------------------------------------------------------------------------ */

/* Where a listener is reached from this machine. */
void check_listener_contact(const struct config *c, const struct config_listener *l, struct check_contact *ret);

struct check_daemon {
    bool served;          /* somebody holds the queue's lock */
    struct err queue;     /* the queue cannot be read; text "" = it can */
    size_t waiting, held; /* messages */
    int64_t oldest_s;     /* the age of the oldest that is not held */
    uint64_t free;        /* octets, where the queue is */
    unsigned free_percent;
    const char *reload; /* why the last reload failed; NULL = it did not */
    int64_t reload_at;
    const char *silent; /* a listener that does not answer as it should, and how; NULL = none */
    size_t listeners;
};
void check_daemon_judge(struct check_run *r, const struct check_daemon *f);
void check_daemon(struct check_run *r);

/* ---- what follows: check_receivers.c, check_report.c --------------------------------------------------------------------- */

enum check_verdict { CHECK_ACCEPT = 0, CHECK_UNSURE, CHECK_JUNK, CHECK_REFUSE };
enum { CHECK_RECEIVERS = 5 };
struct check_receiver {
    const char *name;
    enum check_verdict verdict;
    const char *reason;
};
/* A pure function of the run's items. */
void check_receivers(struct check_run *r, struct check_receiver ret[CHECK_RECEIVERS]);
/* `several`: more than one domain was looked at, so that each item says which. */
void check_print(struct check_run *r, bool several, bool colour, FILE *out);
json_t *check_json(struct check_run *r, bool several);
bool check_any_failed(const struct check_run *r);

/* ---- the world that answers by the network: check_ask.c ---------------------------------------------------------------- */

struct check_asker;
int check_asker_open(const struct config *c, struct check_asker **ret, struct err *err);
const struct check_world *check_asker_world(const struct check_asker *k);
/* How many answers were missing since the last call. */
unsigned check_asker_missed(struct check_asker *k);
/* Waits until there are more answers.  All questions are answered, if only by "no answer", within 10 s of the opening. */
void check_asker_wait(struct check_asker *k);
void check_asker_close(struct check_asker **pk);

/* One connection, on a loop: check_contact.c.  done(ctx, reached) is called once, never before this returns, within
 * `timeout_ms`; `reached` lives until the connection is freed, which `done` may do.  NULL when out of memory. */
struct event_base;
struct check_connection;
struct check_connection *check_connection_new(struct event_base *base, const struct check_contact *to,
                                              int64_t timeout_ms,
                                              void (*done)(void *ctx, const struct check_reached *reached), void *ctx);
void check_connection_free(struct check_connection **pc);

#endif
