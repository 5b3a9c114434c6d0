/* delivery/texts.h - what a person reads in a DSN, in every language.  All of it stands in texts.c, side by side.
 *
 * Words in braces are filled in when it is written: {to} {from} {host} {mx} {id} {since} {now} {until} {subject}. Lines
 * are broken where they are to be broken, at 72 columns (an ideograph takes two). */
#ifndef SENDAS_DELIVERY_TEXTS_H
#define SENDAS_DELIVERY_TEXTS_H

#include "advice.h"
#include "language.h"

enum text_id {
    TEXT_SUBJECT_FAILED = 0, /* the failed message's own subject follows */
    TEXT_SUBJECT_DELAYED,
    TEXT_SUBJECT_RELAYED,
    TEXT_NO_SUBJECT, /* in its place */
    TEXT_FAILED,
    TEXT_DELAYED,
    TEXT_RELAYED,
    TEXT_TO,
    TEXT_SUBJECT,
    TEXT_EXPIRED,       /* before the reason: it was tried for a long time */
    TEXT_WHAT_TO_DO,    /* before the advice */
    TEXT_OPERATOR_MAY,  /* the same in a warning, where the sender's side can do something */
    TEXT_SAID,          /* before the server's words */
    TEXT_SAID_ABOUT,    /* the same for one of several recipients */
    TEXT_DETAILS,       /* before our own words */
    TEXT_DETAILS_ABOUT, /* the same for one of several recipients */
    TEXT_MORE,          /* there are more words than are shown */
    TEXT_FOOT_FAILED,
    TEXT_FOOT_DELAYED,
    TEXT_FOOT_RELAYED,
    TEXT_HEADER_ATTACHED,
    TEXT_MESSAGE_ATTACHED,
    TEXT_OPERATOR, /* the last line */
    TEXTS
};

const char *text_of(enum text_id id, enum language language);
/* Whose fault it is and what happened: never empty. */
const char *advice_why(enum advice advice, enum language language);
/* What to do now: never empty. */
const char *advice_what(enum advice advice, enum language language);
/* Can the sender's side remove the cause, so that it is worth telling while the message is only delayed? */
bool advice_is_ours(enum advice advice);

#endif
