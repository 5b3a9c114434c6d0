/* src/dkim/verify.h - what the files of the verifier share: tag lists, key records, canonicalisation, signature fields.
 *
 * This is the second code path of the room: none of these files includes internal.h or calls canon.c and sign.c.
 * A mistake made there must show here, not be made again. */
#ifndef SENDAS_DKIM_VERIFY_H
#define SENDAS_DKIM_VERIFY_H

#include "sendas/dkim.h"

#include <openssl/evp.h>

/* ---- tags.c: tag=value lists (RFC 6376 3.2) -------------------------------------------------- */

enum { DKIM_TAGS_MAX = 64 };

struct dkim_tag {
    struct slice name;
    struct slice value; /* without the white space around it */
    struct slice span;  /* all that stands between "=" and ";" or the end */
};

struct dkim_tags {
    struct dkim_tag v[DKIM_TAGS_MAX];
    size_t n;
};

/* Refused: what the grammar has not (an empty member but the last, a name without "=", control octets, 8-bit that is
 * not UTF-8), a name that stands twice, more than DKIM_TAGS_MAX. */
int dkim_tags_parse(struct slice text, struct dkim_tags *ret, struct err *err);
/* Names are case-sensitive; NULL: there is none. */
const struct dkim_tag *dkim_tags_get(const struct dkim_tags *tags, struct slice name);
/* The next member of a list like h=, trimmed, off *rest; false at the end.  "a:" has an empty second member. */
struct dkim_members {
    struct slice rest;
    bool more;
};
struct dkim_members dkim_members(struct slice list);
bool dkim_members_next(struct dkim_members *m, struct slice *ret);
/* Base64 with white space anywhere (RFC 6376 3.2).  -1: it is none; MESSAGE_NO_MEMORY. */
int dkim_base64_read(struct arena *a, struct slice text, struct slice *ret);

/* ---- record.c: key records (RFC 6376 3.6.1) -------------------------------------------------- */

struct dkim_record {
    enum dkim_algorithm algorithm;
    bool testing; /* t=y */
    bool strict;  /* t=s: i= may not be of a subdomain */
    unsigned bits;
    EVP_PKEY *key;
    EVP_MD_CTX *begun; /* of a record that is kept: see dkim_record_keep */
};

/* `bits_min`: the least RSA key.  -1 and the reason, or MESSAGE_NO_MEMORY; *ret then has what was read so far (bits,
 * testing) and no key. */
int dkim_record_parse(struct arena *a, struct slice text, unsigned bits_min, struct dkim_record *ret, struct err *err);
/* For a record that many signatures are checked with: a verification that was begun, of which each is a copy (RSA alone:
 * OpenSSL 3.0 cannot copy one of Ed25519).  Beginning each anew costs a hundredth of a signature.  -1: no memory. */
int dkim_record_keep(struct dkim_record *r);
void dkim_record_free(struct dkim_record *r);

/* ---- verify_canon.c -------------------------------------------------------------------------- */

/* Appends one field as canonicalised; `value` stands for the field's own. */
void dkim_verify_field(struct strbuf *out, const struct field *f, struct slice value, bool relaxed);

/* SHA-256 over the canonicalised body, or over its first `limit` octets; *ret_length is its whole length. */
int dkim_verify_body(const struct dkim_body_source *body, bool relaxed, uint64_t limit,
                     unsigned char ret[DKIM_HASH_SIZE], uint64_t *ret_length);

/* ---- verify_signature.c: one DKIM-Signature field (RFC 6376 3.5) ----------------------------- */

struct dkim_parsed {
    const struct field *field;
    enum dkim_algorithm algorithm;
    bool relaxed_header, relaxed_body;
    struct slice names; /* h= */
    struct slice b_span;
    struct slice signature;
    unsigned char body_hash[DKIM_HASH_SIZE];
    bool subdomain; /* i= is of a subdomain of d= */
    bool limited;
    uint64_t limit; /* l= */
    bool expires;
    uint64_t expiry; /* x= */
};

/* What can be read goes to *ret, also of a field that is refused: then -1, with ret->result and ret->reason set. */
int dkim_parsed_read(struct arena *a, const struct field *f, struct dkim_parsed *parsed, struct dkim_signature *ret);
/* Sets result and reason; returns -1. */
int dkim_signature_set(struct arena *a, struct dkim_signature *s, enum dkim_result result, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* ---- verify.c -------------------------------------------------------------------------------- */

/* Key records that were parsed before: find() gives that of `text`, or NULL. */
struct dkim_parsed_records {
    const struct dkim_record *(*find)(void *ctx, struct slice text);
    void *ctx;
};

/* dkim_verify of the first `most` signatures and with another least RSA key: the examples of old have shorter ones.
 * `known` may be NULL. */
int dkim_verify_with(struct arena *a, const struct field_list *fields, const struct dkim_body_source *body,
                     const struct lookup *dns, int64_t now, size_t most, unsigned bits_min,
                     const struct dkim_parsed_records *known, struct dkim_verification *ret, struct err *err);

/* ---- key.c ----------------------------------------------------------------------------------- */

/* The record that dkim_key_record gives, and what a receiver makes of it: parsed once, when the key is loaded. */
struct slice dkim_key_record_text(const struct dkim_key *k);
const struct dkim_record *dkim_key_as_read(const struct dkim_key *k);

#endif
