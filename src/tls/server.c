/* The server side: one context, made anew when the certificate changes.  Connections keep the context they began with.
 */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PEM_FILE_MAX = 1024 * 1024 };

/* Tells one state of a file from another. */
struct stamp {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls_server {
    SSL_CTX *ctx;
    char *certificate_path, *key_path;
    struct stamp certificate, key;
};

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    struct stamp s = {0};

    if (stat(path, &st) < 0)
        return s;
    s.exists = true;
    s.device = st.st_dev;
    s.inode = st.st_ino;
    s.size = st.st_size;
    s.changed = st.st_mtim;
    return s;
}

static bool stamp_eq(const struct stamp *a, const struct stamp *b)
{
    return a->exists == b->exists && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* ---- certificate and key -------------------------------------------------------------------------- */

/* What is wrong with a file that the configuration names, and where it names it. */
static int fail_file(const struct config *c, bool key, struct err *err, const char *format, ...) PRINTF_LIKE(4, 5);
static int fail_file(const struct config *c, bool key, struct err *err, const char *format, ...)
{
    struct err what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof(what.text), format, args);
    va_end(args);
    return err_set(err, "%s:%u: %s: %s", c->path, key ? c->tls.key_line : c->tls.certificate_line,
                   key ? "tls.key" : "tls.certificate", what.text);
}

/* A key with a passphrase must not make a daemon ask for it on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* The first certificate is ours, the rest its chain.  Reads up to the end of the file: what is not PEM between is text.
 */
static int use_chain(SSL_CTX *ctx, BIO *bio, int *count)
{
    X509 *x;

    while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        int ok = *count == 0 ? SSL_CTX_use_certificate(ctx, x) : (int)SSL_CTX_add1_chain_cert(ctx, x);
        X509_free(x);
        ++*count;
        if (ok != 1)
            return -1;
    }
    unsigned long e = ERR_peek_last_error();
    return *count > 0 && ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE ? 0 : -1;
}

static int load_chain(SSL_CTX *ctx, const struct config *c, struct err *err)
{
    const char *path = c->tls.certificate;
    struct strbuf pem = STRBUF_INIT;
    struct err why;
    char text[256];
    int count = 0;

    int rc = file_read(path, PEM_FILE_MAX, false, &pem, &why);
    if (rc < 0) {
        strbuf_free(&pem);
        return fail_file(c, false, err, "%s", why.text);
    }
    ERR_clear_error();
    BIO *bio = BIO_new_mem_buf(strbuf_str(&pem), (int)pem.n);
    rc = bio == NULL ? -1 : use_chain(ctx, bio, &count);
    BIO_free(bio);
    strbuf_free(&pem);
    tls_failure_text(NULL, 0, text, sizeof(text));
    if (rc == 0)
        return 0;
    if (count == 0)
        return fail_file(c, false, err, "%s: no certificate in PEM form found", path);
    return fail_file(c, false, err, "%s: behind certificate %d: %s", path, count, text);
}

static int load_key(SSL_CTX *ctx, const struct config *c, struct err *err)
{
    const char *path = c->tls.key;
    struct strbuf pem = STRBUF_INIT;
    struct err why;
    bool asked = false;

    if (file_read(path, PEM_FILE_MAX, true, &pem, &why) < 0) {
        strbuf_free(&pem);
        return fail_file(c, true, err, "%s", why.text);
    }
    BIO *bio = BIO_new_mem_buf(strbuf_str(&pem), (int)pem.n);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    if (pem.p != NULL)
        wipe(pem.p, pem.cap);
    strbuf_free(&pem);
    /* OpenSSL's own errors say less than these two. */
    int ok = key == NULL ? 0 : SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (key == NULL)
        return fail_file(c, true, err, "%s: %s", path,
                         asked ? "the key has a passphrase; sendas needs one without"
                               : "no private key in PEM form found");
    if (ok != 1)
        return fail_file(c, true, err, "%s: this is not the key of the certificate", path);
    return 0;
}

static void warn_certificate(const char *path, const char *problem, const char *detail)
{
    log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("file", path), LOG_STR("problem", problem),
              LOG_STR("detail", detail));
}

static void check_certificate(SSL_CTX *ctx, const struct config *c)
{
    X509 *x = SSL_CTX_get0_certificate(ctx);
    char date[64] = "";

    if (X509_check_host(x, c->hostname, 0, 0, NULL) != 1)
        warn_certificate(c->tls.certificate, "is not for the hostname", c->hostname);
    BIO *bio = BIO_new(BIO_s_mem());
    bool past = X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
    bool future = X509_cmp_current_time(X509_get0_notBefore(x)) > 0;
    if (bio != NULL && ASN1_TIME_print(bio, past ? X509_get0_notAfter(x) : X509_get0_notBefore(x)) == 1) {
        int n = BIO_read(bio, date, sizeof(date) - 1);
        date[n > 0 ? n : 0] = '\0';
    }
    BIO_free(bio);
    if (past)
        warn_certificate(c->tls.certificate, "has expired", date);
    else if (future)
        warn_certificate(c->tls.certificate, "is not valid yet", date);
    ERR_clear_error();
}

/* ---- the context ------------------------------------------------------------------------------------ */

/* RFC 7301 3.2: a client that names protocols must name ours; otherwise alert 120.  What was meant for
 * another server (HTTP, IMAP ...) ends here, before a single octet of it is read as SMTP (ALPACA). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *ctx)
{
    (void)ssl, (void)ctx;
    for (unsigned at = 0; at < in_n && at + 1 + in[at] <= in_n; at += 1u + in[at])
        if (in[at] == 4 && memcmp(in + at + 1, "smtp", 4) == 0) {
            *out = in + at + 1;
            *out_n = 4;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Mozilla's "intermediate" list without its finite-field suites; TLS 1.3 has its own. */
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                              "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

static int set_algorithms(SSL_CTX *ctx)
{
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return -1;
    /* The hybrid group is there from OpenSSL 3.5 on. */
    if (SSL_CTX_set1_groups_list(ctx, "X25519MLKEM768:X25519:P-256:P-384") != 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1)
        return -1;
    ERR_clear_error();
    return 0;
}

static SSL_CTX *context_load(const struct config *c, struct err *err)
{
    SSL_CTX *ctx = tls_context_new(TLS_server_method(), c->tls.min_version);
    if (ctx == NULL || set_algorithms(ctx) < 0) {
        char text[256];
        tls_failure_text(NULL, 0, text, sizeof(text));
        err_set(err, "tls: %s", text);
        goto fail;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* never a request for a client certificate */
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (load_chain(ctx, c, err) < 0 || load_key(ctx, c, err) < 0)
        goto fail;
    if (SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        fail_file(c, true, err, "%s is not the key of the certificate in %s", c->tls.key, c->tls.certificate);
        goto fail;
    }
    check_certificate(ctx, c);
    return ctx;
fail:
    SSL_CTX_free(ctx);
    return NULL;
}

int tls_server_new(const struct config *c, struct tls_server **ret, struct err *err)
{
    struct tls_server *t;

    if (*c->tls.certificate == '\0')
        return err_set(err, "tls: a certificate and its key are needed; tls.acme is not available in this version");
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(err, "tls: out of memory");
    if (tls_server_reload(t, c, err) < 0) {
        tls_server_free(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

int tls_server_reload(struct tls_server *t, const struct config *c, struct err *err)
{
    char *certificate_path = strdup(c->tls.certificate), *key_path = strdup(c->tls.key);
    if (certificate_path == NULL || key_path == NULL) {
        free(certificate_path);
        free(key_path);
        return err_set(err, "tls: out of memory");
    }
    free(t->certificate_path);
    free(t->key_path);
    t->certificate_path = certificate_path;
    t->key_path = key_path;
    /* Before they are read: what changes from here on is seen next time.  Kept after a failure too: files that are
     * wrong are read again when they change, not every minute. */
    t->certificate = stamp_of(certificate_path);
    t->key = stamp_of(key_path);

    SSL_CTX *ctx = context_load(c, err);
    if (ctx == NULL)
        return -1;
    SSL_CTX_free(t->ctx);
    t->ctx = ctx;
    return 0;
}

bool tls_server_changed(const struct tls_server *t)
{
    struct stamp certificate = stamp_of(t->certificate_path), key = stamp_of(t->key_path);
    return !stamp_eq(&certificate, &t->certificate) || !stamp_eq(&key, &t->key);
}

struct ssl_st *tls_server_ssl(struct tls_server *t)
{
    SSL *ssl = SSL_new(t->ctx);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}

void tls_server_free(struct tls_server **pt)
{
    struct tls_server *t = *pt;
    if (t == NULL)
        return;
    *pt = NULL;
    SSL_CTX_free(t->ctx);
    free(t->certificate_path);
    free(t->key_path);
    free(t);
}
