/* sendas/message.h - Internet messages (RFC 5322, 6532): header fields, addresses, dates, identifiers.
 *
 * Pure: slices in, structs or a reason out; results borrow from the input or live in the arena given.
 * Field lists keep every octet: `raw` of all fields, one behind another, is the header again. */
#ifndef SENDAS_MESSAGE_H
#define SENDAS_MESSAGE_H

#include "sendas/base.h"

#include <time.h>

enum {
    MESSAGE_HEADER_MAX = 256 * 1024,  /* octets of a header block */
    MESSAGE_FIELDS_MAX = 1000,        /* fields in it */
    MESSAGE_RECEIVED_MAX = 100,       /* Received fields: above is a loop (RFC 5321 6.3) */
    MESSAGE_ADDRESSES_MAX = 1000,     /* addresses in one field */
    MESSAGE_LINE_MAX = 998            /* octets of a line without CRLF (RFC 5322 2.1.1) */
};

enum { MESSAGE_NO_MEMORY = -2 }; /* a parser had no memory: nothing is wrong with the message */

/* ---- header fields ----------------------------------------------------------------------------- */

struct field {
    struct slice name;  /* octets 33 to 126 without ':' */
    struct slice value; /* behind the colon, folding included, without the final CRLF */
    struct slice raw;   /* the whole field with its final CRLF */
};

struct field_list {
    struct field *v;
    size_t n;
};

/* `header`: whole lines ending in CRLF, without the empty line behind them; empty is a list of none.
 * Refused, with the reason: a line that is no field, white space before the colon, a first line that
 * begins with white space, a folded line of white space only (RFC 5322 4.2 obs-FWS, where verifiers
 * differ), bare CR or LF, NUL, more than MESSAGE_FIELDS_MAX.  0; -1 refused; MESSAGE_NO_MEMORY. */
int fields_parse(struct arena *a, struct slice header, struct field_list *ret, struct err *err);
/* How many fields are named `name` (case does not matter), and the index-th of them (NULL: none). */
size_t fields_count(const struct field_list *list, struct slice name);
const struct field *fields_get(const struct field_list *list, struct slice name, size_t index);
/* The value with its folds removed (CRLF before WSP goes, RFC 5322 2.2.3) and trimmed, into the arena; .p
 * is NULL when out of memory. */
struct slice field_unfold(struct arena *a, const struct field *f);

/* ---- addresses ----------------------------------------------------------------------------------- */

struct mailbox {
    struct slice display; /* the display name as written, trimmed; empty if none */
    struct slice local;   /* local part, decoded: without quotes, quoted pairs and comments */
    struct slice domain;  /* as written, without comments and white space */
    bool literal;         /* the domain is a domain literal with its brackets */
};

struct mailbox_list {
    struct mailbox *v;
    size_t n;
};

enum { ADDRESS_ONE = 1, ADDRESS_GROUPS = 2 }; /* exactly one mailbox (Sender:); groups are allowed (To:) */

/* `value` of a From:, Sender:, Resent-From:, To: ... field as a mailbox-list or address-list (RFC 5322 3.4).
 * Comments and folding are understood.  Refused: everything obsolete (routes, empty list members, a
 * dot beside white space; but a dot in a display name is accepted), groups unless allowed, an encoded
 * word where an address stands, text behind the `>`, an unquoted ',' or '@' in a display name, unbalanced
 * quotes and comments, control octets, 8-bit that is not UTF-8; and what a careless reader takes for
 * another address: white space or comments inside an address, a comment with '@' or angle brackets, a
 * display name that (decoded) holds both.  What is ambiguous to any reader is refused, never mended.
 * 0; -1 refused; MESSAGE_NO_MEMORY.  *err has the reason, in ASCII and without octets of the input. */
int mailbox_list_parse(struct arena *a, struct slice value, unsigned flags, struct mailbox_list *ret, struct err *err);
/* local-part "@" domain with the local part quoted where it must be (RFC 5322 3.4.1, RFC 5321 4.1.2). */
void mailbox_format(struct strbuf *out, struct slice local, struct slice domain);

/* ---- dates and identifiers --------------------------------------------------------------------------- */

enum { DATE_SIZE = 48 };
/* RFC 5322 3.3 in UTC: "Sat, 21 Nov 2026 10:00:00 +0000". */
void date_format(time_t when, char out[DATE_SIZE]);

/* "<RANDOM@domain>" (RFC 5322 3.6.4) appended to out; -1 when there is no randomness. */
int message_id_new(struct strbuf *out, const char *domain);

#endif
