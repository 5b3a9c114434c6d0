/* src/dns/internal.h - the wire format, as the resolver reads it. */
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

#endif
