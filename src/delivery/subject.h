/* delivery/subject.h - the subject of the message that a DSN is about.  Pure. */
#ifndef SENDAS_DELIVERY_SUBJECT_H
#define SENDAS_DELIVERY_SUBJECT_H

#include "sendas/base.h"

/* The value of the first Subject: field of a header, with its folds; empty if there is none. */
struct slice subject_of(struct slice header);

/* One encoded word (RFC 2047 2). */
struct encoded_word {
    struct slice charset, text;
    char encoding; /* 'B' or 'Q' */
};

/* Cuts the next encoded word off *rest: what stands before it goes to *before.  False: there is none, and *before is
 * all. */
bool encoded_word_next(struct slice *rest, struct slice *before, struct encoded_word *ret);
/* Its octets, in its charset, appended; what is malformed ends early. */
void encoded_word_decode(const struct encoded_word *w, struct strbuf *out);

/* For a person: UTF-8 in one line, appended.  -1, and nothing was appended, when it is empty or holds what is neither
 * ASCII nor UTF-8. */
int subject_decode(struct slice value, struct strbuf *out);
/* For a Subject: field, behind `column` octets of it: ASCII, folded, cut at a word when it is long.  -1 as above; but
 * encoded words of any charset stay as they are. */
int subject_repeat(struct slice value, size_t column, struct strbuf *out);

#endif
