/* sendas/dkim.h - DKIM (RFC 6376, 8301, 8463, 8616): keys, key records, canonicalisation, signatures, verification.
 *
 * Signing a message: a dkim_body_hash takes the body while it arrives (any chunking gives the same
 * hash); dkim_sign then hashes the header fields and appends one DKIM-Signature field a key.
 * Always relaxed/relaxed, rsa-sha256 or ed25519-sha256, never l=.
 * Verifying one: dkim_fields_split reads the header as receivers do, dkim_verify judges each signature.  It shares no
 * code with the signer, so that dkim_check_own finds what is wrong there.
 * Pure but for dkim_key_load and dkim_key_generate; the time is passed in. */
#ifndef SENDAS_DKIM_H
#define SENDAS_DKIM_H

#include "sendas/base.h"
#include "sendas/message.h"

enum dkim_algorithm { DKIM_RSA_SHA256 = 0, DKIM_ED25519_SHA256 };
enum { DKIM_ALGORITHMS = 2, DKIM_RSA_BITS_MIN = 2048, DKIM_RSA_BITS_MAX = 8192, DKIM_HASH_SIZE = 32, DKIM_KEYS_MAX = 8 };

const char *dkim_algorithm_name(enum dkim_algorithm a); /* "rsa-sha256", as in a= */

/* ---- keys ---------------------------------------------------------------------------------------- */

struct dkim_key;

/* Are these DNS names that may stand in d= and s=?  (No blank, ';' or '='; a selector may have
 * several labels.)  RFC 6376 3.1, 3.5 */
int dkim_selector_check(const char *selector, struct err *err);

/* Reads a PEM private key (PKCS#8, or "RSA PRIVATE KEY").  Refused with the reason: a file others
 * may read, RSA below 2048 or above 8192 bits, other key types.  `domain` in A-labels. */
int dkim_key_load(const char *path, const char *domain, const char *selector, struct dkim_key **ret, struct err *err);
/* The same from memory; `name` stands in the messages. */
int dkim_key_parse(struct slice pem, const char *name, const char *domain, const char *selector, struct dkim_key **ret, struct err *err);
/* A new key in PKCS#8 PEM.  `bits` only for RSA (2048 to 8192). */
int dkim_key_generate(enum dkim_algorithm algorithm, unsigned bits, struct strbuf *ret_pem, struct err *err);
void dkim_key_free(struct dkim_key **pk);

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k);
const char *dkim_key_domain(const struct dkim_key *k);
const char *dkim_key_selector(const struct dkim_key *k);
unsigned dkim_key_bits(const struct dkim_key *k);
/* The TXT record to publish, as one string: "v=DKIM1; k=rsa; p=..." (RFC 6376 3.6.1, 8463 4). */
void dkim_key_record(const struct dkim_key *k, struct strbuf *out);

/* What a receiver makes of the text of a TXT record at the key's name. */
enum dkim_published {
    DKIM_PUBLISHED_RIGHT = 0,
    DKIM_PUBLISHED_TESTING, /* right, but t=y: receivers treat its mail as unsigned (RFC 6376 3.6.1) */
    DKIM_PUBLISHED_ANOTHER, /* the record of another key */
    DKIM_PUBLISHED_REVOKED, /* p= is empty */
    DKIM_PUBLISHED_UNUSABLE /* no key record, or not for mail: *why tells */
};
enum dkim_published dkim_key_published(const struct dkim_key *k, struct slice txt, struct err *why);

/* ---- the body hash, while data arrives ------------------------------------------------------------- */

struct dkim_body_hash; /* relaxed (RFC 6376 3.4.4), SHA-256; an empty body hashes as empty */
struct dkim_body_hash *dkim_body_hash_new(void);
int dkim_body_hash_update(struct dkim_body_hash *h, struct slice bytes); /* CRLF line ends only */
int dkim_body_hash_finish(struct dkim_body_hash *h, unsigned char ret[DKIM_HASH_SIZE]);
void dkim_body_hash_free(struct dkim_body_hash **ph);

/* ---- signing --------------------------------------------------------------------------------------- */

/* Appends one DKIM-Signature field, folded, CRLF included, to `out` (RFC 6376 3.5, 3.7, 5).
 * h= per RFC 6376 5.4: fields of the first list are named once more than they occur (over-signed:
 * none can be added), of the second as often as they occur, see src/dkim/fields.c.
 * `now`: seconds since the epoch, for t=.  Without a From field it is an error.
 * On error `out` is unchanged and *err says why. */
int dkim_sign(const struct dkim_key *key, const struct field_list *fields, const unsigned char body_hash[DKIM_HASH_SIZE],
              int64_t now, struct strbuf *out, struct err *err);

/* Relaxed header canonicalisation of one field, CRLF included (RFC 6376 3.4.2). */
void dkim_relaxed_field(struct strbuf *out, const struct field *f);

/* ---- verification ---------------------------------------------------------------------------------- */

enum {
    DKIM_SIGNATURES_MAX = 10,    /* checked in one message, from the top; the others are only counted */
    DKIM_FIELDS_MAX = 2000,      /* in a header, and names in h= */
    DKIM_VERIFY_BITS_MIN = 1024, /* of an RSA key (RFC 8301 3.2) */
    DKIM_VERIFY_BITS_MAX = 8192
};

/* RFC 8601 2.7.1 */
enum dkim_result { DKIM_NONE = 0, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_TEMPERROR, DKIM_PERMERROR };
const char *dkim_result_name(enum dkim_result r); /* "permerror" */

struct dkim_signature {
    enum dkim_result result;
    char domain[DOMAIN_MAX + 1];   /* d= in A-labels and lower case; "" when it could not be read */
    char selector[DOMAIN_MAX + 1]; /* s=, likewise */
    struct slice identity;         /* i= decoded, or "@" and d=: valid UTF-8 without control octets; may be empty */
    const char *algorithm;         /* a= where it is known, otherwise "" */
    struct slice b;                /* the first 8 characters of b= (RFC 6008); may be empty */
    unsigned bits;                 /* of the key; 0 when none was read */
    bool testing;                  /* the key's t=y: a failure means no more than no signature (RFC 6376 3.6.1) */
    bool partial;                  /* l= leaves the end of the body unsigned */
    const char *reason; /* one plain sentence in ASCII, without final dot; for a pass what is remarkable, or "" */
};

struct dkim_verification {
    struct dkim_signature *v; /* in the order of the fields */
    size_t n;
    size_t unchecked; /* signatures beyond DKIM_SIGNATURES_MAX */
};

/* The body from its `offset`-th octet, like spool_read: lines end in CRLF; 0 at the end, -1 on error. */
struct dkim_body_source {
    ssize_t (*read)(const void *ctx, uint64_t offset, void *buf, size_t n);
    const void *ctx;
};
struct dkim_body_source dkim_body_spool(const struct spool *s);

/* Cuts a header (whole lines ending in CRLF, without the empty line) into fields as receivers do, who mend what
 * fields_parse refuses: white space before the colon, lines of white space only, octets above 126 in names.  -1 and the
 * reason on a line that is no field, too many fields, no memory. */
int dkim_fields_split(struct arena *a, struct slice header, struct field_list *ret, struct err *err);

/* Judges every DKIM-Signature among `fields`; without one ret->n is 0.  `now`, seconds since the epoch, is when the
 * message was received (x=).  Everything in *ret lives in the arena or borrows from `fields`.  -1 only when out of
 * memory. */
int dkim_verify(struct arena *a, const struct field_list *fields, const struct dkim_body_source *body,
                const struct lookup *dns, int64_t now, struct dkim_verification *ret, struct err *err);

/* The last look at a message of ours before it leaves: `head` (header with its empty line) and `body` are the very
 * octets that will be sent.  On top there must be as many signatures as keys, each by another of them, over the whole
 * body, and verifying against its public half.  DNS is not asked.  0, or -1 and the reason. */
int dkim_check_own(struct slice head, const struct dkim_body_source *body, struct dkim_key *const *keys, size_t n_keys,
                   int64_t now, struct err *err);

#endif
