/* tests/dkim/forge.h - signatures with any tags whatever, made with OpenSSL and the naive canonicalisation alone: what
 * the verifier is held against.  Neither the signer nor the verifier of the product is called. */
#ifndef SENDAS_FORGE_H
#define SENDAS_FORGE_H

#include "naive_canon.h"
#include "rfc8463.h"
#include "testing.h"

#include "sendas/dkim.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static inline EVP_PKEY *forge_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ck_assert_ptr_nonnull(key);
    return key;
}

static inline bool forge_is_ed25519(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519");
}

/* What stands in p=. */
static inline void forge_public(EVP_PKEY *key, struct strbuf *out)
{
    unsigned char raw[32], *der = NULL;
    size_t n = sizeof(raw);
    if (forge_is_ed25519(key)) {
        ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, raw, &n), 1);
        base64_encode(out, slice_from(raw, n));
        return;
    }
    int size = i2d_PUBKEY(key, &der);
    ck_assert_int_gt(size, 0);
    base64_encode(out, slice_from(der, (size_t)size));
    OPENSSL_free(der);
}

static inline void forge_sha256(struct slice text, unsigned char out[32])
{
    ck_assert_int_eq(EVP_Digest(text.p, text.n, out, NULL, EVP_sha256(), NULL), 1);
}

/* The signature in base64. */
static inline void forge_sign(EVP_PKEY *key, struct slice text, struct strbuf *out)
{
    unsigned char digest[32], signature[1024];
    size_t n = sizeof(signature);
    bool ed = forge_is_ed25519(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    forge_sha256(text, digest);
    ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, ed ? NULL : EVP_sha256(), NULL, key), 1);
    ck_assert_int_eq(
        EVP_DigestSign(ctx, signature, &n, ed ? digest : (const unsigned char *)text.p, ed ? sizeof(digest) : text.n),
        1);
    EVP_MD_CTX_free(ctx);
    base64_encode(out, slice_from(signature, n));
}

/* ---- canonical forms -------------------------------------------------------------------------------------------- */

static inline void forge_simple_body(struct strbuf *out, struct slice body)
{
    while (body.n >= 2 && memcmp(body.p + body.n - 2, "\r\n", 2) == 0)
        body.n -= 2;
    strbuf_add_slice(out, body);
    strbuf_add_str(out, "\r\n");
}

static inline void forge_field(struct strbuf *out, struct slice raw, bool relaxed)
{
    struct slice name, value = slice_cut(slice_sub(raw, 0, raw.n - 2), ':', &name);
    if (relaxed)
        naive_field(out, slice_trim(name), value);
    else
        strbuf_add_slice(out, raw);
}

/* The index-th field from the end named `name`. */
static inline bool forge_find(struct slice header, struct slice name, unsigned index, struct slice *ret)
{
    struct slice found[64];
    size_t n = 0;
    while (header.n > 0) {
        struct slice field_name;
        size_t end = 0;
        do
            end += slice_find_slice(slice_skip(header, end), SLICE("\r\n")) + 2;
        while (end < header.n && (header.p[end] == ' ' || header.p[end] == '\t'));
        slice_cut(slice_sub(header, 0, end), ':', &field_name);
        if (slice_eq_icase(slice_trim(field_name), name))
            found[n++] = slice_sub(header, 0, end);
        header = slice_skip(header, end);
    }
    if (index >= n)
        return false;
    *ret = found[n - 1 - index];
    return true;
}

static inline void forge_header(struct strbuf *out, struct slice header, struct slice names, bool relaxed)
{
    struct slice seen = names, name, raw, other;
    while (names.n > 0) {
        unsigned before = 0;
        struct slice rest = slice_sub(seen, 0, (size_t)(names.p - seen.p));
        names = slice_cut(names, ':', &name);
        name = slice_trim(name);
        while (rest.n > 0) {
            rest = slice_cut(rest, ':', &other);
            before += slice_eq_icase(slice_trim(other), name);
        }
        if (forge_find(header, name, before, &raw))
            forge_field(out, raw, relaxed);
    }
}

/* ---- the field --------------------------------------------------------------------------------------------------- */

struct forge_tags {
    struct {
        char name[16];
        char value[2048];
    } v[24];
    size_t n;
};

static inline char *forge_tag(struct forge_tags *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->v[i].name, name) == 0)
            return t->v[i].value;
    }
    return NULL;
}

/* "a=b" sets or adds a tag, "-a" takes it out, "+a=b" adds it even if it is there; several with '|' between. */
static inline void forge_edit(struct forge_tags *t, const char *edits)
{
    struct slice edit, name, rest = slice_of(edits);
    while (rest.n > 0) {
        rest = slice_cut(rest, '|', &edit);
        bool remove = slice_starts(edit, SLICE("-")), add = slice_starts(edit, SLICE("+"));
        struct slice value = slice_cut(slice_skip(edit, remove || add), '=', &name);
        char key[16];
        snprintf(key, sizeof(key), "%.*s", SLICE_ARG(name));
        char *old = add ? NULL : forge_tag(t, key);
        if (old == NULL) {
            snprintf(t->v[t->n].name, sizeof(t->v[0].name), "%s", key);
            old = t->v[t->n++].value;
        }
        if (remove)
            t->v[(size_t)(old - (char *)t->v) / sizeof(t->v[0])].name[0] = '\0';
        else
            snprintf(old, sizeof(t->v[0].value), "%.*s", SLICE_ARG(value));
    }
}

static inline void forge_write(struct strbuf *out, const struct forge_tags *t)
{
    const char *separator = " ";
    strbuf_add_str(out, "DKIM-Signature:");
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i].name[0] == '\0')
            continue;
        strbuf_addf(out, "%s%s=%s", separator, t->v[i].name, t->v[i].value);
        separator = "; ";
    }
    strbuf_add_str(out, "\r\n");
}

/* A DKIM-Signature field over `header` and `body`, appended to `out`.  Without edits: d=example.com s=s1,
 * relaxed/relaxed, From:To:Subject; new tags come behind b=.  The signature is right for whatever the tags say, unless
 * they set bh or b. */
static inline void forge(struct strbuf *out, const char *edits, EVP_PKEY *key, struct slice header, struct slice body)
{
    static struct forge_tags t;
    struct strbuf text = STRBUF_INIT, encoded = STRBUF_INIT;
    unsigned char hash[32];
    t.n = 0;
    forge_edit(&t, forge_is_ed25519(key) ? "v=1|a=ed25519-sha256" : "v=1|a=rsa-sha256");
    forge_edit(&t, "c=relaxed/relaxed|d=example.com|s=s1|h=From:To:Subject|bh=|b=");
    forge_edit(&t, edits);
    const char *c = forge_tag(&t, "c"), *h = forge_tag(&t, "h"), *l = forge_tag(&t, "l");
    bool relaxed_header = c != NULL && strncmp(c, "relaxed", 7) == 0;
    bool relaxed_body = c != NULL && strstr(c, "/relaxed") != NULL;
    char *bh = forge_tag(&t, "bh"), *b = forge_tag(&t, "b");
    if (relaxed_body)
        naive_body(&text, body);
    else
        forge_simple_body(&text, body);
    forge_sha256(slice_sub(strbuf_slice(&text), 0, l != NULL ? (size_t)strtoull(l, NULL, 10) : text.n), hash);
    base64_encode(&encoded, slice_from(hash, 32));
    if (bh != NULL && *bh == '\0')
        snprintf(bh, sizeof(t.v[0].value), "%s", strbuf_str(&encoded));
    strbuf_reset(&text);
    strbuf_reset(&encoded);
    if (h != NULL)
        forge_header(&text, header, slice_of(h), relaxed_header);
    struct strbuf own = STRBUF_INIT;
    forge_write(&own, &t);
    forge_field(&text, strbuf_slice(&own), relaxed_header);
    strbuf_truncate(&text, text.n - 2);
    forge_sign(key, strbuf_slice(&text), &encoded);
    if (b != NULL && *b == '\0')
        snprintf(b, sizeof(t.v[0].value), "%s", strbuf_str(&encoded));
    forge_write(out, &t);
    strbuf_free(&own);
    strbuf_free(&text);
    strbuf_free(&encoded);
}

/* ---- a message and a table instead of DNS
 * ------------------------------------------------------------------------------ */

struct forge_body {
    struct slice text;
};

static inline ssize_t forge_read(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    struct slice part = slice_sub(((const struct forge_body *)ctx)->text, (size_t)offset, n);
    if (part.n > 0)
        memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

struct forge_zone {
    struct {
        const char *name, *text; /* NULL: a temporary failure */
    } v[16];
    size_t n;
    char asked[512];
};

static inline void forge_query(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct forge_zone *z = ctx;
    struct lookup_record *records = arena_alloc_array(a, ARRAY_LEN(z->v), sizeof(*records));
    size_t n = 0;
    ck_assert_uint_eq(type, 16);
    snprintf(z->asked, sizeof(z->asked), "%s", name);
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (records == NULL)
        return;
    *ret = (struct lookup_answer){.status = LOOKUP_NXDOMAIN};
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->v[i].name, name) != 0)
            continue;
        ret->status = z->v[i].text == NULL ? LOOKUP_TEMPFAIL : LOOKUP_NODATA;
        if (z->v[i].text != NULL && *z->v[i].text != '\0' &&
            (records[n++].text = arena_copy(a, slice_of(z->v[i].text))).p == NULL) {
            ret->status = LOOKUP_TEMPFAIL;
            return;
        }
    }
    if (n > 0)
        *ret = (struct lookup_answer){LOOKUP_OK, records, n};
}

#endif
