/* src/dkim/internal.h - what the files of this room share. */
#ifndef SENDAS_DKIM_INTERNAL_H
#define SENDAS_DKIM_INTERNAL_H

#include "sendas/dkim.h"

/* dkim_key_parse with another lower bound for RSA: the examples of RFC 6376 and 8463 have keys of 1024 bits. */
int dkim_key_parse_bits(struct slice pem, const char *name, const char *domain, const char *selector, unsigned bits_min,
                        struct dkim_key **ret, struct err *err);

/* Signs `input`, the canonicalised fields with the signature field last (RFC 6376 3.7): appends the raw
 * signature to `out`.  On error `out` is unchanged. */
int dkim_key_sign(const struct dkim_key *key, struct slice input, struct strbuf *out, struct err *err);

/* One name that a signature covers.  `oversign`: it is named once more than it occurs. */
struct dkim_field_rule {
    struct slice name;
    bool oversign;
};

extern const struct dkim_field_rule dkim_field_rules[];
extern const size_t dkim_field_rules_count;

#endif
