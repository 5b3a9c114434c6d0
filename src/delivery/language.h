/* delivery/language.h - in which language does the sender read?  Decided from the message itself.  Pure. */
#ifndef SENDAS_DELIVERY_LANGUAGE_H
#define SENDAS_DELIVERY_LANGUAGE_H

#include "sendas/base.h"

enum language { LANGUAGE_ENGLISH = 0, LANGUAGE_JAPANESE, LANGUAGES };

/* "en", "ja" (RFC 5646). */
const char *language_tag(enum language language);
/* `message`: the header and as much of the body as is at hand.  Japanese when the subject or the first text is in a
 * Japanese charset or holds kana, otherwise English. */
enum language language_of(struct slice message);

#endif
