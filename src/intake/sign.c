/* All signatures of one message, made and held against what will be stored. */
#include "internal.h"

#include <stdatomic.h>

static atomic_ulong failures;

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

int intake_check_signatures(struct dkim_key *const *keys, size_t n_keys, struct slice head, const struct spool *body,
                            time_t now, struct err *err)
{
    struct dkim_body_source source = dkim_body_spool(body);
    if (dkim_check_own(head, &source, keys, n_keys, now, err) == 0)
        return 0;
    atomic_fetch_add(&failures, 1);
    return -1;
}

unsigned long intake_signature_failures(void)
{
    return atomic_load(&failures);
}
