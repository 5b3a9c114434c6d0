/* Whole messages: each signature gets a verdict with a reason a log may hold.  And a message that the signer takes,
 * signed by it, is one that the verifier passes: two canonicalisations that know nothing of each other agree. */
#include "../../src/dkim/internal.h"
#include "../dkim/rfc8463.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t read_slice(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    struct slice part = slice_sub(*(const struct slice *)ctx, (size_t)offset, n);
    if (part.n > 0)
        memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

/* Every name has both keys. */
static void answer(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct lookup_record *records = arena_alloc_array(a, 2, sizeof(*records));
    (void)ctx, (void)name, (void)type;
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (records == NULL)
        return;
    records[0].text = slice_of(rfc8463_rsa_record);
    records[1].text = slice_of(rfc8463_ed25519_record);
    *ret = (struct lookup_answer){LOOKUP_OK, records, 2};
}

static void verify(struct arena *a, struct slice header, const struct dkim_body_source *body)
{
    const struct lookup dns = {answer, NULL};
    struct field_list fields;
    struct dkim_verification found;
    struct err err = {""};
    size_t total = 0;
    if (dkim_fields_split(a, header, &fields, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < fields.n; i++)
        total += fields.v[i].raw.n;
    if (total != header.n || dkim_verify(a, &fields, body, &dns, 1528637909, &found, &err) < 0)
        abort();
    if (found.n + found.unchecked != fields_count(&fields, SLICE("DKIM-Signature")) || found.n > DKIM_SIGNATURES_MAX)
        abort();
    for (size_t i = 0; i < found.n; i++) {
        const struct dkim_signature *s = &found.v[i];
        if (s->result == DKIM_NONE || (s->result != DKIM_PASS && s->reason[0] == '\0') ||
            !slice_is_ascii(slice_of(s->reason)))
            abort();
    }
}

static void sign_and_check(struct arena *a, struct slice header, struct slice body,
                           const struct dkim_body_source *source)
{
    static struct dkim_key *key;
    struct dkim_key *const *keys = &key;
    struct field_list fields;
    struct dkim_body_hash *h = dkim_body_hash_new();
    struct strbuf head = STRBUF_INIT;
    struct err err = {""};
    unsigned char hash[DKIM_HASH_SIZE];
    if (key == NULL && dkim_key_parse(slice_of(rfc8463_ed25519_pem), "key", "example.com", "e1", &key, &err) < 0)
        abort();
    if (h == NULL || dkim_body_hash_update(h, body) < 0 || dkim_body_hash_finish(h, hash) < 0)
        abort();
    if (fields_parse(a, header, &fields, &err) == 0 && dkim_sign(key, &fields, hash, 1528637909, &head, &err) == 0) {
        strbuf_add_slice(&head, header);
        strbuf_add_str(&head, "\r\n");
        if (dkim_check_own(strbuf_slice(&head), source, keys, 1, 1528637909, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
    }
    dkim_body_hash_free(&h);
    strbuf_free(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = ARENA_INIT(64 * 1024 * 1024);
    struct slice text = slice_from(data, size);
    size_t end = slice_find_slice(text, SLICE("\r\n\r\n"));
    struct slice header = slice_sub(text, 0, end + 2), body = slice_skip(text, end + 4);
    const struct dkim_body_source source = {read_slice, &body};
    verify(&a, header, &source);
    sign_and_check(&a, header, body, &source);
    arena_free(&a);
    return 0;
}
