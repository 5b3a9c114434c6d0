/* Fail closed: our own message, as it stands before it is queued, must verify (dkim_check_own).
 *
 * The verifier asks for each key; the answer comes from the public halves of the keys that should have signed, and the
 * names it asked for must be theirs, each once.  Nothing is taken from what the signer remembers of the message: the
 * header is cut anew and the body is read back. */
#include "verify.h"

#include <string.h>

enum { OWN_ARENA_MAX = 16 * 1024 * 1024 };

struct own_keys {
    struct dkim_key *const *keys;
    size_t n;
};

static bool is_at(const struct dkim_key *k, const char *name)
{
    char own[2 * DOMAIN_MAX + 16];
    snprintf(own, sizeof(own), "%s._domainkey.%s", dkim_key_selector(k), dkim_key_domain(k));
    return slice_eq_icase(slice_of(own), slice_of(name));
}

/* struct lookup over the keys: what their records would say, without asking anybody. */
static void answer_from_keys(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    const struct own_keys *own = ctx;
    struct lookup_record *records = arena_alloc_array(a, own->n, sizeof(*records));
    size_t n = 0;
    (void)type;
    ret->status = LOOKUP_TEMPFAIL;
    if (records == NULL)
        return;
    for (size_t i = 0; i < own->n; i++) {
        if (!is_at(own->keys[i], name))
            continue;
        records[n++].text = dkim_key_record_text(own->keys[i]);
    }
    *ret = (struct lookup_answer){n > 0 ? LOOKUP_OK : LOOKUP_NXDOMAIN, records, n};
}

/* That RSA keys are not read anew for each message takes a twentieth of a signature off it. */
static const struct dkim_record *find_record(void *ctx, struct slice text)
{
    const struct own_keys *own = ctx;
    for (size_t i = 0; i < own->n; i++) {
        if (slice_eq(dkim_key_record_text(own->keys[i]), text))
            return dkim_key_as_read(own->keys[i]);
    }
    return NULL;
}

/* ---- each signature has its key, each key its signature -------------------------------------- */

static const struct dkim_key *find_key(const struct own_keys *own, const struct dkim_signature *s, const bool *used,
                                       size_t *ret_index)
{
    for (size_t i = 0; i < own->n; i++) {
        const struct dkim_key *k = own->keys[i];
        if (!used[i] && slice_eq_icase(slice_of(dkim_key_selector(k)), slice_of(s->selector)) &&
            strcmp(dkim_key_domain(k), s->domain) == 0 &&
            strcmp(dkim_algorithm_name(dkim_key_algorithm(k)), s->algorithm) == 0) {
            *ret_index = i;
            return k;
        }
    }
    return NULL;
}

static int judge(const struct own_keys *own, const struct dkim_verification *found, struct err *err)
{
    bool used[DKIM_KEYS_MAX] = {false};
    size_t index;
    if (found->n != own->n)
        return err_set(err, "the message has %zu signatures, and there are %zu keys", found->n, own->n);
    for (size_t i = 0; i < found->n; i++) {
        const struct dkim_signature *s = &found->v[i];
        if (s->result != DKIM_PASS)
            return err_set(err, "signature %zu (%s) does not verify: %s", i + 1, s->selector, s->reason);
        if (s->partial)
            return err_set(err, "signature %zu (%s) does not cover the whole body", i + 1, s->selector);
        if (find_key(own, s, used, &index) == NULL)
            return err_set(err, "signature %zu (%s) is by none of the keys that were to sign, or by one twice", i + 1,
                           s->selector);
        used[index] = true;
    }
    return 0;
}

/* ---- the head -------------------------------------------------------------------------------- */

/* The header: all of `head` but the empty line, which is at its end and nowhere before. */
static bool cut_header(struct slice head, struct slice *ret)
{
    size_t end = slice_find_slice(head, SLICE("\r\n\r\n"));
    *ret = slice_sub(head, 0, end + 2);
    return head.n >= 4 && end == head.n - 4;
}

static int check_top(const struct field_list *fields, size_t n_keys, struct err *err)
{
    if (n_keys == 0 || n_keys > DKIM_KEYS_MAX)
        return err_set(err, "%zu keys are none to check with", n_keys);
    for (size_t i = 0; i < n_keys; i++) {
        if (i >= fields->n || !slice_eq_icase(fields->v[i].name, SLICE("DKIM-Signature")))
            return err_set(err, "field %zu is no DKIM-Signature, and there are %zu keys", i + 1, n_keys);
    }
    return 0;
}

int dkim_check_own(struct slice head, const struct dkim_body_source *body, struct dkim_key *const *keys, size_t n_keys,
                   int64_t now, struct err *err)
{
    struct arena mem = ARENA_INIT(OWN_ARENA_MAX);
    struct own_keys own = {keys, n_keys};
    const struct lookup answers = {answer_from_keys, &own};
    const struct dkim_parsed_records known = {find_record, &own};
    struct field_list fields;
    struct dkim_verification found;
    struct slice header;
    if (!cut_header(head, &header))
        return err_set(err, "the header does not end where it should");
    int status = dkim_fields_split(&mem, header, &fields, err);
    if (status == 0)
        status = check_top(&fields, n_keys, err);
    if (status == 0)
        status =
            dkim_verify_with(&mem, &fields, body, &answers, now, n_keys, DKIM_VERIFY_BITS_MIN, &known, &found, err);
    if (status == 0)
        status = judge(&own, &found, err);
    arena_free(&mem);
    return status;
}
