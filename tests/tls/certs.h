/* tests/tls/certs.h - keys and certificates made for a test, in files of a folder of its own. */
#ifndef SENDAS_TESTS_TLS_CERTS_H
#define SENDAS_TESTS_TLS_CERTS_H

#include "testing.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

static char certs_dir[64];
static struct arena certs_memory;

static inline void certs_make_dir(void)
{
    snprintf(certs_dir, sizeof(certs_dir), "/tmp/sendas-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(certs_dir));
}

static inline void certs_remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", certs_dir);
    ck_assert_int_eq(system(command), 0);
    arena_free(&certs_memory);
}

/* A path in the folder; it lives as long as the folder. */
static inline char *certs_path(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", certs_dir, name);
    return arena_strdup(&certs_memory, slice_of(path));
}

/* A self-signed certificate for `host`, valid from `from_s` to `to_s` seconds from now, and its key (mode 0600). */
static inline void certs_make(const char *host, long from_s, long to_s, const char *certificate, const char *key)
{
    char name[300];
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    char *path;

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), to_s);
    X509_set_pubkey(x, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    snprintf(name, sizeof(name), "DNS:%s", host);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    X509_sign(x, pkey, EVP_sha256());

    path = certs_path(certificate);
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    path = certs_path(key);
    f = fopen(path, "w");
    ck_assert(f != NULL && PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
    X509_free(x);
    EVP_PKEY_free(pkey);
}

/* A configuration with that certificate and key.  What it points at outlives it. */
static inline struct config *certs_config(const char *host, const char *certificate, const char *key)
{
    struct config *c = config_defaults();
    ck_assert_ptr_nonnull(c);
    c->hostname = arena_strdup(&certs_memory, slice_of(host));
    c->tls.certificate = certs_path(certificate);
    c->tls.key = certs_path(key);
    return c;
}

#endif
