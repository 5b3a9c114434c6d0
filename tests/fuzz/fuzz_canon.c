/* Canonicalisation: however a body is cut, its hash is that of the naive second implementation; so are header fields.
 */
#include "../dkim/naive_canon.h"
#include "sendas/dkim.h"

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

static void check_header(struct slice header)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct field_list fields;
    if (fields_parse(&a, header, &fields, NULL) == 0) {
        for (size_t i = 0; i < fields.n; i++) {
            struct strbuf got = STRBUF_INIT, want = STRBUF_INIT;
            dkim_relaxed_field(&got, &fields.v[i]);
            naive_field(&want, fields.v[i].name, fields.v[i].value);
            if (!slice_eq(strbuf_slice(&got), strbuf_slice(&want)))
                abort();
            strbuf_free(&got);
            strbuf_free(&want);
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
    check_header(text);
    return 0;
}
