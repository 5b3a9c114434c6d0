/* sendas/dkim.h - DKIM (RFC 6376, 8301, 8463): keys, key records, canonicalisation, signatures.
 *
 * Signing a message: a dkim_body_hash takes the body while it arrives (any chunking gives the same
 * hash); dkim_sign then hashes the header fields and appends one DKIM-Signature field a key.
 * Always relaxed/relaxed, rsa-sha256 or ed25519-sha256, never l=.
 * Pure but for dkim_key_load and dkim_key_generate; the time is passed in. */
#ifndef SENDAS_DKIM_H
#define SENDAS_DKIM_H

#include "sendas/base.h"
#include "sendas/message.h"

enum dkim_algorithm { DKIM_RSA_SHA256 = 0, DKIM_ED25519_SHA256 };
enum { DKIM_RSA_BITS_MIN = 2048, DKIM_RSA_BITS_MAX = 8192, DKIM_HASH_SIZE = 32, DKIM_KEYS_MAX = 8 };

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

#endif
