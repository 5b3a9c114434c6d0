/* sendas/dns.h - the validating resolver (libunbound) on the event loop.
 *
 * A bogus answer is a temporary failure, never "no such record" (RFC 4035 5.5). */
#ifndef SENDAS_DNS_H
#define SENDAS_DNS_H

#include "sendas/base.h"
#include "sendas/config.h"

struct dns;
struct event_base;

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum dns_status {
    DNS_OK = 0,    /* at least one record */
    DNS_NODATA,    /* the name exists, no such record */
    DNS_NXDOMAIN,
    DNS_TEMPFAIL   /* no answer, SERVFAIL, bogus; `reason` says which */
};

struct dns_record {
    struct slice rdata; /* as on the wire */
    /* decoded, NUL-terminated: A, AAAA: the address; MX, NS, CNAME, PTR: the name, lower case, no final dot ("" = root);
     * TXT: its strings joined (may hold NULs: use text_len); SOA: the serial in decimal; others: "".  Octets of a name that no host name has are \DDD */
    const char *text;
    size_t text_len;
    unsigned preference; /* MX */
};

struct dns_answer {
    enum dns_status status;
    bool secure;        /* validated by DNSSEC */
    const char *reason; /* for TEMPFAIL; "" otherwise */
    const struct dns_record *records;
    size_t n;
    uint32_t ttl_s; /* the least of the records and CNAMEs; 0 when there is none */
    const char *canonical; /* the owner name after CNAMEs; "" if none followed */
    const char *referral;  /* only inside a survey's work; NULL */
};

/* By `c->dns`; c == NULL: the system's resolvers from resolv.conf, no validation. */
int dns_open(const struct config *c, struct event_base *base, struct dns **ret, struct err *err);
/* Servers and trust anchor of a new configuration, for queries from now on; on failure the old stay. */
int dns_reconfigure(struct dns *d, const struct config *c, struct err *err);
/* How many queries since the start ended as DNS_TEMPFAIL, and how many there were; without those to one server alone. */
struct dns_counts {
    uint64_t queries, failures;
};
const struct dns_counts *dns_counts(const struct dns *d);
/* Queries under way end without their `done`. */
void dns_close(struct dns **pd);

struct dns_query;
/* Asks for `name` (A-labels).  done(ctx, answer) runs on the loop, never before this returns; the answer lives until done returns.
 * NULL when the query could not be begun (then done is not called).  Each query ends by itself within 60 s. */
struct dns_query *dns_resolve(struct dns *d, const char *name, enum dns_type type, void (*done)(void *ctx, const struct dns_answer *a), void *ctx);
/* done will not be called (inside done: does nothing). */
void dns_cancel(struct dns_query *q);

/* ---- every authoritative server, past all caches ------------------------------------------------------- */

enum { DNS_SURVEY_SERVERS_MAX = 16, DNS_SURVEY_ADDRESSES_MAX = 40, DNS_SURVEY_LINKS_MAX = 8 };

enum dns_server_state {
    DNS_SERVER_ANSWERED = 0, /* `answer` is OK, NODATA or NXDOMAIN */
    DNS_SERVER_ELSEWHERE,    /* it knows an alias (CNAME) or a zone further down: the servers of `elsewhere` are listed too */
    DNS_SERVER_SILENT,       /* no answer in time, refused, or the server's own address is unknown: answer.reason */
    DNS_SERVER_NO_ROUTE      /* this machine has no way to such addresses (IPv6, as a rule): says nothing of the server */
};

struct dns_server {
    const char *zone;    /* that it serves */
    const char *name;    /* by its NS record */
    const char *address; /* numeric; "" when it has none */
    enum dns_server_state state;
    const char *elsewhere;    /* the alias's target or the zone; "" */
    struct dns_answer answer; /* not validated; for what was asked at this address */
};

/* What each server of the zone that holds a name says about it.  All servers show a record when `reason` is "", at least
 * one has ANSWERED, each that ANSWERED has the record, and dns_survey_silent() is NULL. */
struct dns_survey {
    const char *reason; /* "": the list is complete.  Otherwise why not: DNS did not tell the servers, or there are too many */
    const char *zone;   /* the one that holds the name, before aliases; "" when unknown */
    const struct dns_server *servers; /* those of one name stand together */
    size_t n;
};

/* The first server of which no address answered, not counting addresses to which this machine has NO_ROUTE (a server that
 * has no others is passed over); NULL when all were heard. */
const struct dns_server *dns_survey_silent(const struct dns_survey *s);

struct dns_survey_run;
/* Asks every server of `name`'s zone (A-labels) for (name, type).  The zone and its servers' addresses are looked up as
 * by dns_resolve, the name itself is asked only at the servers, when it holds a label with an underscore: so that no cache
 * on the way learns that it is not there yet.  CNAMEs are followed, and the servers of the target asked.
 * done(ctx, survey) runs on the loop, never before this returns, within `timeout_ms`; the survey lives until it returns.
 * NULL when it could not be begun (then done is not called). */
struct dns_survey_run *dns_survey_begin(struct dns *d, const char *name, enum dns_type type, unsigned timeout_ms,
                                        void (*done)(void *ctx, const struct dns_survey *s), void *ctx);
/* done will not be called (inside done: does nothing). */
void dns_survey_cancel(struct dns_survey_run *r);

/* Decodes wire rdata into *ret; strings live in the arena.  -1 when malformed.  (For tests and fuzzing; used on every answer.) */
int dns_record_decode(struct arena *a, enum dns_type type, struct slice rdata, struct dns_record *ret);

/* ---- answers for the pure rooms (struct lookup of base.h): from a zone file, or from the network ---------------------- */

struct dns_zone;
/* Reads a master file (RFC 1035 5): $ORIGIN, $TTL, relative names, parentheses, comments, escapes; A, AAAA, MX, TXT,
 * CNAME, PTR, NS and SOA in class IN.  Other types only make their names exist.  Names are relative to the root until
 * an $ORIGIN.  -1 and the reason, with the line: "FILE:12: ...". */
int dns_zone_load(const char *path, struct dns_zone **ret, struct err *err);
/* The same from memory; `name` stands in the messages. */
int dns_zone_parse(struct slice text, const char *name, struct dns_zone **ret, struct err *err);
/* Answers as an authoritative server would, wildcards and CNAMEs included; what the file has not does not exist. */
struct lookup dns_zone_lookup(const struct dns_zone *z);
void dns_zone_free(struct dns_zone **pz);

struct dns_blocking;
/* A resolver with a loop of its own, whose answers are waited for: for commands, never for the daemon.  `c` as for
 * dns_open.  A query that takes longer than 15 s is LOOKUP_TEMPFAIL. */
int dns_blocking_open(const struct config *c, struct dns_blocking **ret, struct err *err);
struct lookup dns_blocking_lookup(struct dns_blocking *b);
/* How long a query may take, instead of 15 s. */
void dns_blocking_set_wait(struct dns_blocking *b, unsigned ms);
/* Surveys, waited for, all at the same time: each `survey` is filled in, its memory in the arena. */
struct dns_survey_question {
    const char *name;
    enum dns_type type;
    struct dns_survey survey;
};
void dns_blocking_survey(struct dns_blocking *b, struct arena *a, struct dns_survey_question *v, size_t n, unsigned timeout_ms);
void dns_blocking_close(struct dns_blocking **pb);

#endif
