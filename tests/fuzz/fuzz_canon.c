/* Canonicalisation: however a body is cut, its hash is that of the naive second implementation and that of the
 * verifier; so are header fields. */
#include "../../src/dkim/verify.h"
#include "../dkim/naive_canon.h"

#include <openssl/evp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_body(struct slice body, size_t step)
{
    unsigned char got[DKIM_HASH_SIZE], want[DKIM_HASH_SIZE];
    struct strbuf canonical = STRBUF_INIT;
    struct dkim_body_hash *h = dkim_body_hash_new();
    naive_body(&canonical, body);
    if (h == NULL || EVP_Digest(strbuf_str(&canonical), canonical.n, want, NULL, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < body.n; i += step)
        if (dkim_body_hash_update(h, slice_sub(body, i, step)) < 0)
            abort();
    if (dkim_body_hash_finish(h, got) < 0 || memcmp(got, want, sizeof(got)) != 0)
        abort();
    dkim_body_hash_free(&h);
    strbuf_free(&canonical);
}

struct cut_body {
    struct slice text;
    size_t step;
};

static ssize_t read_cut(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    const struct cut_body *b = ctx;
    struct slice part = slice_sub(b->text, (size_t)offset, n < b->step ? n : b->step);
    if (part.n > 0)
        memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

/* The verifier's own way, relaxed and simple, against the naive one; also of the first `limit` octets. */
static void check_verifier(struct slice body, size_t step, uint64_t limit)
{
    struct cut_body cut = {body, step};
    const struct dkim_body_source source = {read_cut, &cut};
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        unsigned char got[DKIM_HASH_SIZE], want[DKIM_HASH_SIZE];
        struct strbuf canonical = STRBUF_INIT;
        struct slice whole = body;
        uint64_t length;
        if (relaxed) {
            naive_body(&canonical, body);
        } else {
            while (whole.n >= 2 && memcmp(whole.p + whole.n - 2, "\r\n", 2) == 0)
                whole.n -= 2;
            strbuf_add_slice(&canonical, whole);
            strbuf_add_str(&canonical, "\r\n");
        }
        struct slice hashed = strbuf_slice(&canonical);
        if (limit < hashed.n)
            hashed.n = (size_t)limit;
        if (EVP_Digest(hashed.p, hashed.n, want, NULL, EVP_sha256(), NULL) != 1 ||
            dkim_verify_body(&source, relaxed, limit, got, &length) < 0 || length != canonical.n ||
            memcmp(got, want, sizeof(got)) != 0)
            abort();
        strbuf_free(&canonical);
    }
}

static void check_header(struct slice header)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct field_list fields;
    if (fields_parse(&a, header, &fields, NULL) == 0) {
        for (size_t i = 0; i < fields.n; i++) {
            const struct field *f = &fields.v[i];
            struct strbuf got = STRBUF_INIT, want = STRBUF_INIT, verifier = STRBUF_INIT, simple = STRBUF_INIT;
            dkim_relaxed_field(&got, f);
            naive_field(&want, f->name, f->value);
            dkim_verify_field(&verifier, f, f->value, true);
            dkim_verify_field(&simple, f, f->value, false);
            if (!slice_eq(strbuf_slice(&got), strbuf_slice(&want)) ||
                !slice_eq(strbuf_slice(&verifier), strbuf_slice(&want)) || !slice_eq(strbuf_slice(&simple), f->raw))
                abort();
            strbuf_free(&got);
            strbuf_free(&want);
            strbuf_free(&verifier);
            strbuf_free(&simple);
        }
    }
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_from(data + 1, size - 1);
    check_body(text, text.n + 1);
    check_body(text, 1 + data[0] % 16);
    check_body(text, 1);
    check_verifier(text, text.n + 1, UINT64_MAX);
    check_verifier(text, 1 + data[0] % 16, data[0]);
    check_header(text);
    return 0;
}
