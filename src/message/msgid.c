/* Message identifiers (RFC 5322 3.6.4): random, so that nobody guesses or counts them. */
#include "sendas/message.h"

enum { ID_CHARACTERS = 26 }; /* 5 bits each: 130 bits */

int message_id_new(struct strbuf *out, const char *domain)
{
    char name[ID_CHARACTERS + 1];
    if (random_name(name, ID_CHARACTERS) < 0)
        return -1;
    strbuf_addf(out, "<%s@%s>", name, domain);
    return 0;
}
