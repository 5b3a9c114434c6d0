/* delivery/dsn.h - the text of a delivery status notification (RFC 3464, 6522).  Pure: it builds bytes, nothing else.
 */
#ifndef SENDAS_DELIVERY_DSN_H
#define SENDAS_DELIVERY_DSN_H

#include "sendas/smtp.h"

enum dsn_kind { DSN_FAILED = 0, DSN_DELAYED };

struct dsn_recipient {
    const char *address;
    const char *orcpt;            /* xtext, "" if none */
    const struct smtp_verdict *v; /* the last answer */
    const char *mx;               /* who was spoken to; NULL = nobody */
    bool own_words;               /* the answer is ours, not the server's */
    bool expired;                 /* given up after a temporary answer */
};

struct dsn {
    enum dsn_kind kind;
    const char *hostname;    /* Reporting-MTA */
    const char *from_domain; /* mailer-daemon@ this; one of ours, so that it can be signed */
    const char *to;
    const char *queue_id, *envid, *message_id; /* of the message it is about; "" or NULL if none */
    int64_t created_ms, now_ms, expires_ms;    /* wall clock */
    const struct dsn_recipient *recipients;
    size_t n_recipients;
    struct slice header; /* of the message it is about, whole lines; may be empty */
};

/* The header of a message: what stands before its empty line in its first octets; whole lines only, at most `max`
 * octets. */
struct slice dsn_header_of(struct slice content, size_t max);
/* The whole message with CRLF, seven-bit (but for a UTF-8 `to`).  -1 when out of memory or randomness. */
int dsn_build(const struct dsn *d, struct strbuf *out);

#endif
