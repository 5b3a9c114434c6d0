/* What is made of OpenSSL's X.509: certificate requests, the certificate of tls-alpn-01, identifiers. */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { ALPN_LIFETIME_S = 86400, DER_OCTET_STRING = 4 };

static X509_EXTENSION *san_extension(const char *hostname)
{
    char san[DOMAIN_MAX + 8];

    snprintf(san, sizeof(san), "DNS:%s", hostname);
    return X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
}

static int add_der(X509_REQ *request, struct strbuf *out)
{
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(request, &der);

    if (n > 0)
        strbuf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    return n > 0 && !out->failed ? 0 : -1;
}

int acme_csr(EVP_PKEY *key, const char *hostname, struct strbuf *out)
{
    X509_REQ *request = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *san = san_extension(hostname);
    int rc = -1;

    /* The subject stays empty: the name is where clients look for it, and a common name has room for 64 characters only. */
    if (request != NULL && extensions != NULL && san != NULL && sk_X509_EXTENSION_push(extensions, san) > 0) {
        san = NULL;
        if (X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(request, key) == 1 &&
            X509_REQ_add_extensions(request, extensions) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0)
            rc = add_der(request, out);
    }
    X509_EXTENSION_free(san);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    ERR_clear_error();
    return rc;
}

int acme_key_pem(const EVP_PKEY *key, struct strbuf *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int ok = bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;

    if (n > 0)
        strbuf_add(out, text, (size_t)n);
    BIO_free(bio); /* wipes it */
    ERR_clear_error();
    return n > 0 && !out->failed ? 0 : -1;
}

static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

EVP_PKEY *acme_key_parse(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

    BIO_free(bio);
    ERR_clear_error();
    return key;
}

/* RFC 8737 3: acmeIdentifier, critical, an OCTET STRING with the digest of the key authorization. */
static X509_EXTENSION *identifier_extension(const char *key_authorization)
{
    unsigned char der[2 + SHA256_DIGEST_LENGTH] = {DER_OCTET_STRING, SHA256_DIGEST_LENGTH};
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;

    SHA256((const unsigned char *)key_authorization, strlen(key_authorization), der + 2);
    if (oid != NULL && value != NULL && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return extension;
}

X509 *acme_alpn_certificate(const char *hostname, const char *key_authorization, EVP_PKEY **ret_key)
{
    X509 *x = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_EXTENSION *san = san_extension(hostname), *identifier = identifier_extension(key_authorization);
    static const unsigned char name[] = "ACME challenge";
    bool ok = x != NULL && key != NULL && san != NULL && identifier != NULL &&
              X509_set_version(x, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), -ALPN_LIFETIME_S) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(x), ALPN_LIFETIME_S) != NULL && X509_set_pubkey(x, key) == 1 &&
              X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, name, -1, -1, 0) == 1 &&
              X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 && X509_add_ext(x, san, -1) == 1 &&
              X509_add_ext(x, identifier, -1) == 1 && X509_sign(x, key, EVP_sha256()) > 0;

    X509_EXTENSION_free(san);
    X509_EXTENSION_free(identifier);
    ERR_clear_error();
    if (ok) {
        *ret_key = key;
        return x;
    }
    X509_free(x);
    EVP_PKEY_free(key);
    return NULL;
}

int acme_certificate_id(struct slice pem, struct strbuf *out)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    const ASN1_OCTET_STRING *issuer = x == NULL ? NULL : X509_get0_authority_key_id(x);
    unsigned char *der = NULL;
    /* The serial number is taken as it stands in the certificate: with the zero in front that keeps it positive. */
    int n = x == NULL ? 0 : i2d_ASN1_INTEGER(X509_get_serialNumber(x), &der);
    bool ok = issuer != NULL && n > 2 && n < 128; /* RFC 5280 4.1.2.2: at most 20 octets; so the length takes one */

    if (ok) {
        acme_base64url(out, slice_from(ASN1_STRING_get0_data(issuer), (size_t)ASN1_STRING_length(issuer)));
        strbuf_add_char(out, '.');
        acme_base64url(out, slice_from(der + 2, (size_t)n - 2));
    }
    OPENSSL_free(der);
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return ok && !out->failed ? 0 : -1;
}
