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

/* ---- the check ------------------------------------------------------------------------------- */

/* The body, summed as it is read for the first time. */
struct summed {
    const struct spool *body;
    uint64_t head; /* octets */
    struct queue_sum *sum;
};

static ssize_t read_summed(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    const struct summed *s = ctx;
    ssize_t got = spool_read(s->body, offset, buf, n);
    uint64_t known = s->sum->at - s->head;
    if (got > 0 && offset <= known && offset + (uint64_t)got > known)
        queue_sum_add(s->sum, slice_skip(slice_from(buf, (size_t)got), (size_t)(known - offset)));
    return got;
}

int intake_check_signatures(struct dkim_key *const *keys, size_t n_keys, struct slice head, const struct spool *body,
                            time_t now, struct queue_sum *sum, struct err *err)
{
    struct summed summed = {body, head.n, sum};
    struct dkim_body_source source = {read_summed, &summed};
    queue_sum_add(sum, head);
    int status = dkim_check_own(head, &source, keys, n_keys, now, err);
    if (status == 0 && sum->at != sum->size)
        status = err_set(err, "the check read %llu octets of %llu", (unsigned long long)sum->at,
                         (unsigned long long)sum->size);
    if (status < 0)
        intake_count_signature_failure();
    return status;
}

void intake_count_signature_failure(void)
{
    atomic_fetch_add(&failures, 1);
}

unsigned long intake_signature_failures(void)
{
    return atomic_load(&failures);
}
