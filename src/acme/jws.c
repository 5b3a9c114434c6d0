/* Signed requests: JSON Web Signatures by ES256, and the account's key as a JSON Web Key. */
#include "internal.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <string.h>

enum { P256_OCTETS = 32, SIGNATURE_DER_MAX = 80 };

void acme_base64url(struct strbuf *out, struct slice in)
{
    size_t from = out->n;

    base64_encode(out, in);
    if (out->failed)
        return;
    while (out->n > from && out->p[out->n - 1] == '=')
        strbuf_truncate(out, out->n - 1);
    for (char *p = out->p + from; p < out->p + out->n; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

/* RFC 7518 6.2.1.2: a coordinate has the full length of the field, leading zeros included. */
static int add_coordinate(const EVP_PKEY *key, const char *name, struct strbuf *out)
{
    unsigned char octets[P256_OCTETS];
    BIGNUM *n = NULL;
    int ok = EVP_PKEY_get_bn_param(key, name, &n) == 1 && BN_bn2binpad(n, octets, P256_OCTETS) == P256_OCTETS;

    BN_free(n);
    if (ok)
        acme_base64url(out, slice_from(octets, P256_OCTETS));
    return ok ? 0 : -1;
}

int acme_jwk(const EVP_PKEY *key, struct strbuf *out)
{
    char group[32] = "";

    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1 ||
        strcmp(group, "prime256v1") != 0)
        return -1;
    strbuf_add_str(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    if (add_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, out) < 0)
        return -1;
    strbuf_add_str(out, "\",\"y\":\"");
    if (add_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, out) < 0)
        return -1;
    strbuf_add_str(out, "\"}");
    return out->failed ? -1 : 0;
}

void acme_thumbprint(struct slice jwk, struct strbuf *out)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)jwk.p, jwk.n, hash);
    acme_base64url(out, slice_from(hash, sizeof(hash)));
}

/* RFC 7518 3.4: r and s, 32 octets each, one behind the other. */
static int raw_signature(const unsigned char *der, size_t n, unsigned char out[2 * P256_OCTETS])
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)n);
    int ok = signature != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, P256_OCTETS) == P256_OCTETS &&
             BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + P256_OCTETS, P256_OCTETS) == P256_OCTETS;

    ECDSA_SIG_free(signature);
    return ok ? 0 : -1;
}

static int sign(EVP_PKEY *key, struct slice input, struct strbuf *out)
{
    unsigned char der[SIGNATURE_DER_MAX], raw[2 * P256_OCTETS];
    size_t n = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = -1;

    if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, der, &n, (const unsigned char *)input.p, input.n) == 1)
        rc = raw_signature(der, n, raw);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (rc == 0)
        acme_base64url(out, slice_from(raw, sizeof(raw)));
    return rc;
}

/* RFC 8555 6.2: alg, nonce, url, and either kid or jwk. */
static int protected_header(const EVP_PKEY *key, const char *kid, const char *nonce, const char *url,
                            struct strbuf *out)
{
    struct strbuf jwk = STRBUF_INIT;
    json_t *header = json_pack("{s:s, s:s, s:s}", "alg", "ES256", "nonce", nonce, "url", url);
    int rc = header == NULL ? -1 : 0;

    if (rc == 0 && kid != NULL)
        rc = json_object_set_new(header, "kid", json_string(kid));
    else if (rc == 0)
        rc = acme_jwk(key, &jwk) < 0 ? -1
                                     : json_object_set_new(header, "jwk", json_loadb(strbuf_str(&jwk), jwk.n, 0, NULL));
    char *text = rc == 0 ? json_dumps(header, JSON_COMPACT) : NULL;
    if (text != NULL)
        acme_base64url(out, slice_of(text));
    free(text);
    json_decref(header);
    strbuf_free(&jwk);
    return text == NULL || out->failed ? -1 : 0;
}

int acme_jws(EVP_PKEY *key, const char *kid, const char *nonce, const char *url, struct slice payload,
             struct strbuf *out)
{
    struct strbuf input = STRBUF_INIT, signature = STRBUF_INIT;
    int rc = protected_header(key, kid, nonce, url, &input);

    if (rc == 0) {
        size_t header_n = input.n;
        strbuf_add_char(&input, '.');
        acme_base64url(&input, payload);
        rc = input.failed ? -1 : sign(key, strbuf_slice(&input), &signature);
        if (rc == 0)
            strbuf_addf(out, "{\"protected\":\"%.*s\",\"payload\":\"%s\",\"signature\":\"%s\"}", (int)header_n, input.p,
                        input.p + header_n + 1, strbuf_str(&signature));
    }
    strbuf_free(&input);
    strbuf_free(&signature);
    return rc < 0 || out->failed ? -1 : 0;
}
