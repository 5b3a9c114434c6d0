/* delivery/advice.h - what a refusal means for the one who sent the message: whose fault it is, and what to do now.
 *
 * advice.c has the table: what servers say -> an advice.  texts.c has the words of each, in every language.  Pure. */
#ifndef SENDAS_DELIVERY_ADVICE_H
#define SENDAS_DELIVERY_ADVICE_H

#include "sendas/smtp.h"

enum advice {
    ADVICE_REFUSED = 0, /* 5xx, nothing more is known */
    ADVICE_NOT_NOW,     /* 4xx, nothing more is known */
    /* the address */
    ADVICE_NO_MAILBOX,
    ADVICE_MAILBOX_CLOSED,
    ADVICE_MAILBOX_FULL,
    ADVICE_MAILBOX_FLOODED,
    ADVICE_NOT_IN_DIRECTORY,
    ADVICE_BAD_ADDRESS,
    ADVICE_NO_DOMAIN,
    ADVICE_NULL_MX,
    ADVICE_NO_MAIL_HOST,
    ADVICE_LOOP,
    ADVICE_RELAY_DENIED,
    ADVICE_RESTRICTED,
    /* the message */
    ADVICE_TOO_LARGE,
    ADVICE_CONTENT,
    ADVICE_FORMAT,
    ADVICE_SPAM,
    ADVICE_SMTPUTF8,
    ADVICE_TOO_MANY_RECIPIENTS,
    /* the sender's domain and server */
    ADVICE_PTR,
    ADVICE_AUTHENTICATION,
    ADVICE_SPF,
    ADVICE_DKIM,
    ADVICE_DMARC,
    ADVICE_SENDER,
    ADVICE_TLS_WANTED,
    ADVICE_BLOCKLIST,
    ADVICE_MICROSOFT_BLOCK,
    ADVICE_MICROSOFT_DELIST,
    ADVICE_YAHOO_BLOCK,
    ADVICE_YAHOO_POLICY,
    ADVICE_APPLE_POLICY,
    ADVICE_SLOWED,
    ADVICE_POLICY,
    ADVICE_RELAY_LOGIN,
    ADVICE_OUR_FAULT,
    /* the way there */
    ADVICE_GREYLISTED,
    ADVICE_BUSY,
    ADVICE_DNS,
    ADVICE_UNREACHABLE,
    ADVICE_CONNECTION_LOST,
    ADVICE_TLS_FAILED,
    ADVICES
};

/* `mx`: who was spoken to, NULL = nobody; own_words: the verdict is ours, not the server's. */
enum advice advice_for(const struct smtp_verdict *v, const char *mx, bool own_words);

#endif
