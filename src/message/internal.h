/* src/message/internal.h - what the files of this room share. */
#ifndef SENDAS_MESSAGE_INTERNAL_H
#define SENDAS_MESSAGE_INTERNAL_H

#include "sendas/message.h"

/* What a display name says to a reader that decodes encoded words (RFC 2047) before it looks for addresses. */
enum word_verdict {
    WORD_PLAIN = 0, /* nothing that such a reader could take for an address */
    WORD_ADDRESS,   /* an angle bracket and an '@': it may see another address than we do */
    WORD_MALFORMED, /* an encoded word that does not decode, or decodes to control octets */
    WORD_NO_MEMORY
};

/* `display` as written, quoted strings and all. */
enum word_verdict word_judge_display(struct slice display);

#endif
