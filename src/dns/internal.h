/* src/dns/internal.h - libunbound's contexts; the wire format, as the resolver reads it; what a zone file becomes. */
#ifndef SENDAS_DNS_INTERNAL_H
#define SENDAS_DNS_INTERNAL_H

#include "sendas/dns.h"

enum {
    DNS_NAME_WIRE_MAX = 255,            /* RFC 1035 2.3.4 */
    DNS_NAME_TEXT_SIZE = 4 * 255 + 1,   /* every octet as \DDD */
    DNS_CHAIN_MAX = 16,                 /* CNAMEs followed in one answer */
    DNS_ANSWER_MEMORY_MAX = 1024 * 1024 /* what a decoded answer may take: a message has at most 64 KiB */
};

/* Reads the answer section of a whole DNS message: follows CNAMEs from the question's name to the records of `type`.
 * Fills status (OK, NODATA, NXDOMAIN), records, ttl_s and canonical; strings live in the arena.  -1 and the reason
 * when the message is malformed. */
int dns_packet_read(struct arena *a, struct slice packet, enum dns_type type, struct dns_answer *ret, struct err *err);

/* The zone that a message hands on to others: the owner of the first NS record of its authority section, as dns_record.text
 * would have it; NULL when there is none.  For a message without answers (RFC 1034 4.2.1: a referral). */
const char *dns_packet_referral(struct arena *a, struct slice packet);

/* ---- context.c ---------------------------------------------------------------------------------------------------- */

/* One libunbound context.  It lives until its queries have ended. */
struct dns_context {
    struct ub_ctx *ub;
    unsigned references;
};

int dns_context_new(struct event_base *base, const struct config *c, struct dns_context **ret, struct err *err);
/* One that asks only this server, and remembers nothing. */
int dns_context_for_server(struct event_base *base, const char *address, uint16_t port, struct dns_context **ret,
                           struct err *err);
void dns_context_unref(struct dns_context *c);

/* ---- resolver.c, survey.c ------------------------------------------------------------------------------------------ */

struct dns {
    struct event_base *base;
    struct dns_context *context; /* a new configuration makes a new one */
    struct dns_query *queries;
    struct dns_survey_run *surveys;
    struct dns_asked *asked; /* servers that surveys ask now */
    unsigned n_asked;
    struct dns_counts counts;
    uint16_t server_port; /* where surveys find servers: 53, but in tests */
};

/* dns_resolve by the context given, ended after `timeout_s`.  With `direct`, the answer's `referral` is filled in. */
struct dns_query *dns_query_begin(struct dns *d, struct dns_context *context, bool direct, unsigned timeout_s,
                                  const char *name, enum dns_type type,
                                  void (*done)(void *ctx, const struct dns_answer *a), void *ctx);
void dns_blocking_set_server_port(struct dns_blocking *b, uint16_t port);
int dns_survey_copy(struct arena *a, const struct dns_survey *from, struct dns_survey *ret);
/* dns_close ends them without their `done`. */
void dns_surveys_close(struct dns *d);

/* ---- zone.c: what a zone file holds ------------------------------------------------------------------------------- */

enum { ZONE_RECORDS_MAX = 100000, ZONE_MEMORY_MAX = 64 * 1024 * 1024 };

struct zone_record {
    const char *owner; /* as dns_name_read writes it */
    unsigned type;     /* 0: one that is not understood; its owner exists */
    struct slice text; /* as in struct lookup_record */
    unsigned preference;
};

struct dns_zone {
    struct arena memory;
    struct zone_record *v;
    size_t n, cap;
};

/* 0, or -1 when there are too many or no memory. */
int dns_zone_add(struct dns_zone *z, const struct zone_record *r);

/* A name in presentation form (RFC 1035 5.1), with escapes; relative to `origin` (itself of this function) unless it
 * ends in a dot; "@" is the origin.  Writes it in lower case, without its final dot, the root as "", odd octets as
 * \DDD. */
int dns_name_read(struct slice text, const char *origin, char out[DNS_NAME_TEXT_SIZE], struct err *err);
/* One octet of `text` at *at, an escape undone; *at moves behind it.  -1: a broken escape. */
int dns_escape_read(struct slice text, size_t *at, bool *escaped);

#endif
