/* src/dns/internal.h - the wire format, as the resolver reads it; what a zone file becomes. */
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

/* ---- zone.c: what a zone file holds ------------------------------------------------------------------------------- */

enum { ZONE_RECORDS_MAX = 100000, ZONE_MEMORY_MAX = 64 * 1024 * 1024 };

struct zone_record {
    const char *owner;     /* as dns_name_read writes it */
    unsigned type;         /* 0: one that is not understood; its owner exists */
    struct slice text;     /* as in struct lookup_record */
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
