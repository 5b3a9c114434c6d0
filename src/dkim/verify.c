/* Verification, as receivers do it (RFC 6376 6; 8301, 8463, 8616).
 *
 * An independent code path: neither this file nor those it stands on (tags.c, record.c, verify_canon.c,
 * verify_header.c, verify_signature.c) calls anything of the signer's (canon.c, fields.c, sign.c).  A signature that
 * the signer got wrong must fail here, and would not if both shared the mistake. */
#include "verify.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <string.h>

enum { RECORDS_MAX = 8 }; /* key records tried at one name */

const char *dkim_result_name(enum dkim_result r)
{
    static const char *const names[] = {
        [DKIM_NONE] = "none",          [DKIM_PASS] = "pass",       [DKIM_FAIL] = "fail",
        [DKIM_POLICY] = "policy",      [DKIM_NEUTRAL] = "neutral", [DKIM_TEMPERROR] = "temperror",
        [DKIM_PERMERROR] = "permerror"};
    return names[r];
}

/* What checking the signatures of one message needs; the last body hash is kept, as most signatures want the same. */
struct verifier {
    struct arena *arena;
    const struct field_list *fields;
    const struct dkim_body_source *body;
    const struct lookup *dns;
    int64_t now;
    unsigned bits_min;
    const struct dkim_parsed_records *known; /* or NULL */
    bool hashed;
    bool relaxed;
    uint64_t limit, length;
    unsigned char hash[DKIM_HASH_SIZE];
};

/* ---- what was signed ------------------------------------------------------------------------- */

/* The last field of that name that was not taken yet, other than the signature itself (RFC 6376 5.4.2, 3.5); NULL:
 * none, which is signed as well, as nothing. */
static const struct field *take_field(const struct verifier *v, const struct field *own, struct slice name, bool *taken)
{
    for (size_t i = v->fields->n; i-- > 0;) {
        const struct field *f = &v->fields->v[i];
        if (!taken[i] && f != own && slice_eq_icase(f->name, name)) {
            taken[i] = true;
            return f;
        }
    }
    return NULL;
}

/* The field itself comes last, without what b= holds and without its CRLF (RFC 6376 3.7). */
static void add_own_field(struct strbuf *out, const struct dkim_parsed *p)
{
    struct strbuf value = STRBUF_INIT;
    const struct slice whole = p->field->value;
    size_t before = (size_t)(p->b_span.p - whole.p);
    strbuf_add_slice(&value, slice_sub(whole, 0, before));
    strbuf_add_slice(&value, slice_skip(whole, before + p->b_span.n));
    dkim_verify_field(out, p->field, strbuf_slice(&value), p->relaxed_header);
    strbuf_truncate(out, out->n - 2);
    out->failed = out->failed || value.failed;
    strbuf_free(&value);
}

static int collect_header(const struct verifier *v, const struct dkim_parsed *p, struct strbuf *out)
{
    struct dkim_members m = dkim_members(p->names);
    struct slice name;
    bool *taken = arena_alloc_array(v->arena, v->fields->n + 1, sizeof(*taken));
    if (taken == NULL)
        return -1;
    while (dkim_members_next(&m, &name)) {
        const struct field *f = take_field(v, p->field, name, taken);
        if (f != NULL)
            dkim_verify_field(out, f, f->value, p->relaxed_header);
    }
    if (out->failed)
        return -1;
    add_own_field(out, p);
    return out->failed ? -1 : 0;
}

/* ---- the mathematics ------------------------------------------------------------------------- */

/* 1 it is its signature, 0 it is not, -1 there was no memory. */
static int check_bytes(const struct dkim_record *key, struct slice text, struct slice signature)
{
    unsigned char digest[DKIM_HASH_SIZE];
    const unsigned char *message = (const unsigned char *)text.p;
    size_t n = text.n;
    const EVP_MD *md = EVP_sha256();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ready = ctx != NULL;
    if (key->algorithm == DKIM_ED25519_SHA256) {
        /* RFC 8463 3: the hash is what Ed25519 signs */
        ready = ready && EVP_Digest(text.p, text.n, digest, NULL, md, NULL) == 1;
        message = digest;
        n = sizeof(digest);
        md = NULL;
    }
    if (key->begun != NULL)
        ready = ready && EVP_MD_CTX_copy_ex(ctx, key->begun) == 1;
    else
        ready = ready && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->key) == 1;
    int verdict = !ready ? -1 : EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, message, n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* a signature that does not match leaves a note there */
    return verdict;
}

static int hash_body(struct verifier *v, const struct dkim_parsed *p)
{
    uint64_t limit = p->limited ? p->limit : UINT64_MAX;
    if (v->hashed && v->relaxed == p->relaxed_body && v->limit == limit)
        return 0;
    v->hashed = false;
    v->relaxed = p->relaxed_body;
    v->limit = limit;
    if (dkim_verify_body(v->body, v->relaxed, limit, v->hash, &v->length) < 0)
        return -1;
    v->hashed = true;
    return 0;
}

/* ---- the verdict, once the key is there ------------------------------------------------------ */

enum { NAMES_SIZE = 160 };

/* Names that h= has, for a person: cut where it gets long. */
static void list_names(struct slice names, char out[NAMES_SIZE])
{
    static const char more[] = " ...";
    struct dkim_members m = dkim_members(names);
    struct slice name;
    size_t n = 0;
    out[0] = '\0';
    while (dkim_members_next(&m, &name)) {
        /* a blank and the name, and behind it room for `more` with its NUL */
        if (n + 1 + name.n + sizeof(more) > NAMES_SIZE) {
            memcpy(out + n, more, sizeof(more));
            return;
        }
        n += (size_t)snprintf(out + n, NAMES_SIZE - n, "%s%.*s", n > 0 ? " " : "", SLICE_ARG(name));
    }
}

static void header_differs(struct verifier *v, const struct dkim_parsed *p, struct dkim_signature *s)
{
    char names[NAMES_SIZE];
    list_names(p->names, names);
    dkim_signature_set(v->arena, s, DKIM_FAIL,
                       "the signature does not match: a signed header field was changed, or this is not the key it was "
                       "made with; signed are: %s",
                       names);
}

static void judge_hashes(struct verifier *v, const struct dkim_parsed *p, int header, struct dkim_signature *s)
{
    bool body = memcmp(v->hash, p->body_hash, DKIM_HASH_SIZE) == 0;
    s->partial = p->limited && p->limit < v->length;
    if (p->limited && p->limit > v->length)
        dkim_signature_set(v->arena, s, DKIM_FAIL,
                           "the body was cut after signing: it has %" PRIu64 " octets, and %" PRIu64
                           " were signed (l=)",
                           v->length, p->limit);
    else if (!body && header == 1)
        dkim_signature_set(
            v->arena, s, DKIM_FAIL,
            "the body was changed after signing (the body hash differs); the signed header fields were not");
    else if (!body)
        dkim_signature_set(
            v->arena, s, DKIM_FAIL,
            "the body was changed after signing (the body hash differs), and the signature does not match "
            "the header either");
    else if (header != 1)
        header_differs(v, p, s);
    else {
        s->result = DKIM_PASS;
        s->reason = s->partial   ? "the end of the body is not signed (l=): anybody could have added it"
                    : s->testing ? "the key is marked as being tested (t=y)"
                                 : "";
    }
}

static void check_with_key(struct verifier *v, const struct dkim_parsed *p, const struct dkim_record *key,
                           struct dkim_signature *s)
{
    struct strbuf text = STRBUF_INIT;
    s->bits = key->bits;
    s->testing = key->testing;
    if (key->algorithm != p->algorithm) {
        dkim_signature_set(v->arena, s, DKIM_PERMERROR, "the key at %s._domainkey.%s is of another type than a=%s",
                           s->selector, s->domain, s->algorithm);
        return;
    }
    if (key->strict && p->subdomain) {
        dkim_signature_set(v->arena, s, DKIM_PERMERROR,
                           "the key allows no subdomain in i= (t=s), and the signature's i= has one");
        return;
    }
    if (hash_body(v, p) < 0) {
        dkim_signature_set(v->arena, s, DKIM_TEMPERROR, "the body could not be read");
        return;
    }
    int header = collect_header(v, p, &text) < 0 ? -1 : check_bytes(key, strbuf_slice(&text), p->signature);
    strbuf_free(&text);
    if (header < 0)
        dkim_signature_set(v->arena, s, DKIM_TEMPERROR, "out of memory");
    else
        judge_hashes(v, p, header, s);
}

/* ---- the key --------------------------------------------------------------------------------- */

static void try_record(struct verifier *v, const struct dkim_parsed *p, struct slice text, struct dkim_signature *s)
{
    struct dkim_record key;
    struct err why;
    const struct dkim_record *known = v->known == NULL ? NULL : v->known->find(v->known->ctx, text);
    if (known != NULL) {
        check_with_key(v, p, known, s);
        return;
    }
    int status = dkim_record_parse(v->arena, text, v->bits_min, &key, &why);
    if (status == MESSAGE_NO_MEMORY) {
        dkim_signature_set(v->arena, s, DKIM_TEMPERROR, "out of memory");
        return;
    }
    if (status < 0) {
        s->bits = key.bits;
        s->testing = key.testing;
        dkim_signature_set(v->arena, s, DKIM_PERMERROR, "the key record at %s._domainkey.%s is of no use: %s",
                           s->selector, s->domain, why.text);
        return;
    }
    check_with_key(v, p, &key, s);
    dkim_record_free(&key);
}

/* RFC 6376 6.1.2: where there are several records each may be tried.  What says most stays: a pass, then a failure with
 * a key that fits, then why there is none. */
static void try_records(struct verifier *v, const struct dkim_parsed *p, const struct lookup_answer *answer,
                        struct dkim_signature *s)
{
    struct dkim_signature best = *s;
    for (size_t i = 0; i < answer->n && i < RECORDS_MAX && best.result != DKIM_PASS; i++) {
        struct dkim_signature next = *s;
        try_record(v, p, answer->records[i].text, &next);
        if (i == 0 || next.result == DKIM_PASS || (next.result == DKIM_FAIL && best.result != DKIM_FAIL) ||
            (next.result == DKIM_TEMPERROR && best.result == DKIM_PERMERROR))
            best = next;
    }
    *s = best;
}

static void check_signature(struct verifier *v, const struct dkim_parsed *p, struct dkim_signature *s)
{
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    char name[2 * DOMAIN_MAX + 16];
    if (p->expires && v->now > 0 && (uint64_t)v->now > p->expiry) {
        dkim_signature_set(v->arena, s, DKIM_POLICY, "the signature had expired when the message was received (x=)");
        return;
    }
    if (snprintf(name, sizeof(name), "%s._domainkey.%s", s->selector, s->domain) > DOMAIN_MAX) {
        dkim_signature_set(v->arena, s, DKIM_PERMERROR, "s= and d= are together longer than a DNS name may be");
        return;
    }
    v->dns->query(v->dns->ctx, v->arena, name, 16, &answer);
    switch (answer.status) {
    case LOOKUP_OK:
        try_records(v, p, &answer, s);
        break;
    case LOOKUP_NODATA:
        dkim_signature_set(v->arena, s, DKIM_PERMERROR, "there is no key at %s: the name has no TXT record", name);
        break;
    case LOOKUP_NXDOMAIN:
        dkim_signature_set(v->arena, s, DKIM_PERMERROR, "there is no key at %s: the name does not exist", name);
        break;
    case LOOKUP_TEMPFAIL:
        dkim_signature_set(v->arena, s, DKIM_TEMPERROR, "DNS gave no answer for the key at %s", name);
        break;
    }
}

/* ---- all signatures -------------------------------------------------------------------------- */

int dkim_verify_with(struct arena *a, const struct field_list *fields, const struct dkim_body_source *body,
                     const struct lookup *dns, int64_t now, size_t most, unsigned bits_min,
                     const struct dkim_parsed_records *known, struct dkim_verification *ret, struct err *err)
{
    struct verifier v = {
        .arena = a, .fields = fields, .body = body, .dns = dns, .now = now, .bits_min = bits_min, .known = known};
    struct dkim_verification all = {arena_alloc_array(a, most + 1, sizeof(*all.v)), 0, 0};
    if (all.v == NULL)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < fields->n; i++) {
        struct dkim_parsed parsed;
        if (!slice_eq_icase(fields->v[i].name, SLICE("DKIM-Signature")))
            continue;
        if (all.n == most) {
            all.unchecked++;
            continue;
        }
        struct dkim_signature *s = &all.v[all.n++];
        if (dkim_parsed_read(a, &fields->v[i], &parsed, s) == 0)
            check_signature(&v, &parsed, s);
    }
    *ret = all;
    return 0;
}

int dkim_verify(struct arena *a, const struct field_list *fields, const struct dkim_body_source *body,
                const struct lookup *dns, int64_t now, struct dkim_verification *ret, struct err *err)
{
    return dkim_verify_with(a, fields, body, dns, now, DKIM_SIGNATURES_MAX, DKIM_VERIFY_BITS_MIN, NULL, ret, err);
}
