/* All signatures of one message. */
#include "internal.h"

static int sign_with(enum dkim_algorithm algorithm, struct dkim_key *const *keys, size_t n_keys,
                     const struct field_list *fields, const unsigned char body_hash[DKIM_HASH_SIZE], time_t now,
                     struct strbuf *out, struct err *err)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (dkim_key_algorithm(keys[i]) == algorithm && dkim_sign(keys[i], fields, body_hash, now, out, err) < 0)
            return -1;
    }
    return 0;
}

int intake_sign(struct dkim_key *const *keys, size_t n_keys, const struct field_list *fields,
                const unsigned char body_hash[DKIM_HASH_SIZE], time_t now, struct strbuf *out, struct err *err)
{
    size_t before = out->n;
    if (n_keys == 0)
        return err_set(err, "no key to sign with");
    if (sign_with(DKIM_RSA_SHA256, keys, n_keys, fields, body_hash, now, out, err) == 0 &&
        sign_with(DKIM_ED25519_SHA256, keys, n_keys, fields, body_hash, now, out, err) == 0)
        return 0;
    strbuf_truncate(out, before);
    return -1;
}
