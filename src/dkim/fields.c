/* Which header fields a signature covers (RFC 6376 5.4, 5.4.1).
 *
 * The over-signed ones are those that a reader's program shows or acts on: naming them once more than they occur
 * makes a signature fail when somebody adds one (RFC 6376 8.15).  The others are signed where they stand, as lists and
 * forwarders add them with good reason.  Everything else may change on the way and stays out: trace fields
 * (Return-Path, Received), Bcc, other signatures, and whatever filters add (X-*). */
#include "internal.h"

#define OVERSIGN(literal)                                                                                              \
    {                                                                                                                  \
        {literal, sizeof(literal) - 1}, true                                                                           \
    }
#define SIGN(literal)                                                                                                  \
    {                                                                                                                  \
        {literal, sizeof(literal) - 1}, false                                                                          \
    }

const struct dkim_field_rule dkim_field_rules[] = {
    OVERSIGN("From"),
    OVERSIGN("To"),
    OVERSIGN("Cc"),
    OVERSIGN("Subject"),
    OVERSIGN("Date"),
    OVERSIGN("Message-ID"),
    OVERSIGN("Reply-To"),
    OVERSIGN("In-Reply-To"),
    OVERSIGN("References"),
    OVERSIGN("MIME-Version"),
    OVERSIGN("Content-Type"),
    OVERSIGN("Content-Transfer-Encoding"),
    SIGN("Sender"),
    SIGN("Resent-Date"),
    SIGN("Resent-From"),
    SIGN("Resent-Sender"),
    SIGN("Resent-To"),
    SIGN("Resent-Cc"),
    SIGN("Resent-Message-ID"),
    SIGN("List-Id"),   /* RFC 2919 */
    SIGN("List-Help"), /* RFC 2369, to List-Archive */
    SIGN("List-Unsubscribe"),
    SIGN("List-Subscribe"),
    SIGN("List-Post"),
    SIGN("List-Owner"),
    SIGN("List-Archive"),
    SIGN("List-Unsubscribe-Post"), /* RFC 8058 4: must be signed */
    SIGN("Autocrypt"),
};

const size_t dkim_field_rules_count = ARRAY_LEN(dkim_field_rules);
