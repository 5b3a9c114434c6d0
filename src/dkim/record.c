/* Key records: the TXT record at SELECTOR._domainkey.DOMAIN (RFC 6376 3.6.1, 8301, 8463).  Part of the verifier. */
#include "verify.h"

#include <openssl/asn1.h>
#include <openssl/err.h>

enum { ED25519_SIZE = 32 };

static bool has_member(struct slice list, struct slice wanted)
{
    struct dkim_members m = dkim_members(list);
    struct slice member;
    while (dkim_members_next(&m, &member)) {
        if (slice_eq(member, wanted))
            return true;
    }
    return false;
}

/* RFC 6376 3.6.1: v= is optional, but where it is it comes first and says DKIM1. */
static int check_version(const struct dkim_tags *tags, struct err *err)
{
    const struct dkim_tag *v = dkim_tags_get(tags, SLICE("v"));
    if (v != NULL && !slice_eq(v->value, SLICE("DKIM1")))
        return err_set(err, "its v= is not DKIM1");
    if (v != NULL && v != &tags->v[0])
        return err_set(err, "its v= is not the first tag");
    return 0;
}

/* h=, s=, t=: what the key is for. */
static int check_use(const struct dkim_tags *tags, struct dkim_record *r, struct err *err)
{
    const struct dkim_tag *h = dkim_tags_get(tags, SLICE("h"));
    const struct dkim_tag *s = dkim_tags_get(tags, SLICE("s"));
    const struct dkim_tag *t = dkim_tags_get(tags, SLICE("t"));
    r->testing = t != NULL && has_member(t->value, SLICE("y"));
    r->strict = t != NULL && has_member(t->value, SLICE("s"));
    if (h != NULL && !has_member(h->value, SLICE("sha256")))
        return err_set(err, "its h= does not allow SHA-256");
    if (s != NULL && !has_member(s->value, SLICE("*")) && !has_member(s->value, SLICE("email")))
        return err_set(err, "its s= says that it is not for email");
    return 0;
}

static int check_type(const struct dkim_tags *tags, struct dkim_record *r, struct err *err)
{
    const struct dkim_tag *k = dkim_tags_get(tags, SLICE("k"));
    if (k == NULL || slice_eq(k->value, SLICE("rsa")))
        r->algorithm = DKIM_RSA_SHA256;
    else if (slice_eq(k->value, SLICE("ed25519")))
        r->algorithm = DKIM_ED25519_SHA256;
    else
        return err_set(err, "its k= is neither rsa nor ed25519");
    return 0;
}

/* The RSAPublicKey inside a SubjectPublicKeyInfo with the usual AlgorithmIdentifier (RFC 3279 2.3.1), or all of `der`.
 * OpenSSL's own d2i_PUBKEY costs as much as an RSA signature: it tries every decoder there is. */
static struct slice unwrap_rsa(struct slice der)
{
    static const char algorithm[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    const struct slice usual = {algorithm, sizeof(algorithm) - 1};
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;
    long n;
    int tag, class;
    if (ASN1_get_object(&p, &n, &tag, &class, (long)der.n) != V_ASN1_CONSTRUCTED || tag != V_ASN1_SEQUENCE ||
        n != end - p || !slice_starts(slice_from(p, (size_t)n), usual))
        return der;
    p += usual.n;
    if (ASN1_get_object(&p, &n, &tag, &class, end - p) != 0 || tag != V_ASN1_BIT_STRING || n != end - p || n < 1 ||
        *p != 0)
        return der;
    return slice_from(p + 1, (size_t)n - 1);
}

/* SubjectPublicKeyInfo, as everybody publishes it, or the bare RSAPublicKey that RFC 6376 3.6.1 names. */
static EVP_PKEY *read_rsa(struct slice der)
{
    struct slice bare = unwrap_rsa(der);
    const unsigned char *p = (const unsigned char *)bare.p, *end = (const unsigned char *)der.p + der.n;
    EVP_PKEY *key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)bare.n);
    if (key != NULL && p != end) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

static int read_rsa_key(struct slice der, unsigned bits_min, struct dkim_record *r, struct err *err)
{
    EVP_PKEY *key = read_rsa(der);
    if (key == NULL)
        return err_set(err, "its p= is no RSA key");
    r->bits = (unsigned)EVP_PKEY_get_bits(key);
    if (r->bits >= bits_min && r->bits <= DKIM_VERIFY_BITS_MAX) {
        r->key = key;
        return 0;
    }
    EVP_PKEY_free(key);
    if (r->bits > DKIM_VERIFY_BITS_MAX)
        return err_set(err, "the RSA key has %u bits; above %d is not checked", r->bits, DKIM_VERIFY_BITS_MAX);
    /* RFC 8301 3.2 */
    return err_set(err, "the RSA key has only %u bits; receivers take %u and more", r->bits, bits_min);
}

/* RFC 8463 4.2: the bare key of 32 octets. */
static int read_ed25519_key(struct slice raw, struct dkim_record *r, struct err *err)
{
    if (raw.n != ED25519_SIZE)
        return err_set(err, "its p= has %zu octets, and a bare Ed25519 key has %d", raw.n, ED25519_SIZE);
    r->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)raw.p, raw.n);
    ERR_clear_error();
    r->bits = 256;
    return r->key != NULL ? 0 : err_set(err, "its p= is no Ed25519 key");
}

int dkim_record_parse(struct arena *a, struct slice text, unsigned bits_min, struct dkim_record *ret, struct err *err)
{
    struct dkim_tags tags;
    struct err why = {""};
    struct slice key;
    *ret = (struct dkim_record){.key = NULL};
    if (dkim_tags_parse(text, &tags, &why) < 0)
        return err_set(err, "it is malformed: %s", why.text);
    if (check_version(&tags, err) < 0)
        return -1;
    const struct dkim_tag *p = dkim_tags_get(&tags, SLICE("p"));
    if (p == NULL)
        return err_set(err, "it has no p=");
    if (check_use(&tags, ret, err) < 0 || check_type(&tags, ret, err) < 0)
        return -1;
    if (p->value.n == 0)
        return err_set(err, "it was revoked (its p= is empty)");
    int status = dkim_base64_read(a, p->value, &key);
    if (status == MESSAGE_NO_MEMORY)
        return status;
    if (status < 0)
        return err_set(err, "its p= is not base64");
    return ret->algorithm == DKIM_RSA_SHA256 ? read_rsa_key(key, bits_min, ret, err) : read_ed25519_key(key, ret, err);
}

int dkim_record_keep(struct dkim_record *r)
{
    if (r->algorithm != DKIM_RSA_SHA256)
        return 0;
    r->begun = EVP_MD_CTX_new();
    return r->begun != NULL && EVP_DigestVerifyInit(r->begun, NULL, EVP_sha256(), NULL, r->key) == 1 ? 0 : -1;
}

void dkim_record_free(struct dkim_record *r)
{
    EVP_MD_CTX_free(r->begun);
    EVP_PKEY_free(r->key);
    r->begun = NULL;
    r->key = NULL;
}
