/* delivery/dsn.h - a delivery status notification, written (RFC 3464, 6522, 6533, 3834).  Pure: bytes out, nothing
 * else.
 *
 *   dsn.c        the message: its header, the part for machines, what is returned
 *   dsn_human.c  the part for a person        texts.c  its words
 *   advice.c     what a refusal means         language.c, subject.c  what the message itself tells */
#ifndef SENDAS_DELIVERY_DSN_H
#define SENDAS_DELIVERY_DSN_H

#include "advice.h"
#include "language.h"

enum dsn_kind { DSN_FAILED = 0, DSN_DELAYED, DSN_RELAYED, DSN_KINDS };

enum {
    DSN_RECIPIENTS_MAX = 500,                                /* in one DSN; more make another */
    DSN_RETURN_MAX = 128 * 1024,                             /* octets of a message that is returned whole */
    DSN_HEADER_MAX = 32 * 1024,                              /* octets of a header that is returned */
    DSN_MAX = 4 * DSN_RETURN_MAX + DSN_RECIPIENTS_MAX * 4096 /* octets of a DSN */
};

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
    enum language language;
    const char *hostname;    /* Reporting-MTA */
    const char *from_domain; /* mailer-daemon@ this; one of ours, so that it can be signed */
    const char *to;
    const char *queue_id, *envid, *message_id; /* of the message it is about; "" or NULL if none */
    int64_t created_ms, now_ms, expires_ms;    /* wall clock */
    const struct dsn_recipient *recipients;
    size_t n_recipients;  /* 1 to DSN_RECIPIENTS_MAX */
    struct slice content; /* of the message it is about: its first octets; may be empty */
    bool whole;           /* they are all of it, and it is to be returned, unless its header is neither ASCII nor UTF-8 (RET=FULL) */
};

/* The header of a message: what stands before its empty line in its first octets; whole lines only, at most `max`
 * octets. */
struct slice dsn_header_of(struct slice content, size_t max);
/* The whole message with CRLF, seven-bit (but for a UTF-8 `to`).  -1 when out of memory or randomness. */
int dsn_build(const struct dsn *d, struct strbuf *out);

/* ---- dsn_human.c ----------------------------------------------------------------------------- */

/* What a person reads, in UTF-8 with CRLF.  `returned`: is the message attached, not only its header? */
void dsn_add_explanation(const struct dsn *d, bool returned, struct strbuf *out);
/* The Subject: field. */
void dsn_add_subject(const struct dsn *d, struct strbuf *out);

#endif
