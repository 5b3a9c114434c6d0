/* The server side: one context, made anew when the certificate changes.  Connections keep the context they began with.
 */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PEM_FILE_MAX = 1024 * 1024, TEMPORARY_S = 365 * 86400 };

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
    bool temporary;    /* made in memory */
    char problem[320]; /* the worst that was found */
    struct err why;    /* temporary: what is wrong with the files */
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

static const char *certificate_path(const struct config *c)
{
    return c->tls.acme != NULL ? c->tls.acme->certificate : c->tls.certificate;
}

static const char *key_path(const struct config *c)
{
    return c->tls.acme != NULL ? c->tls.acme->key : c->tls.key;
}

/* What is wrong with a file, and where the configuration names it. */
static int fail_file(const struct config *c, bool key, struct err *err, const char *format, ...) PRINTF_LIKE(4, 5);
static int fail_file(const struct config *c, bool key, struct err *err, const char *format, ...)
{
    struct err what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof(what.text), format, args);
    va_end(args);
    if (c->tls.acme != NULL)
        return err_set(err, "tls.acme: %s", what.text);
    return err_set(err, "%s:%u: %s: %s", c->path, key ? c->tls.key_line : c->tls.certificate_line,
                   key ? "tls.key" : "tls.certificate", what.text);
}

static STACK_OF(X509) * load_chain(const struct config *c, struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    struct strbuf pem = STRBUF_INIT;
    struct err why;

    if (file_read(certificate_path(c), PEM_FILE_MAX, false, &pem, &why) < 0)
        fail_file(c, false, err, "%s", why.text);
    else if (tls_chain_read(strbuf_slice(&pem), &chain, &why) < 0)
        fail_file(c, false, err, "%s: %s", certificate_path(c), why.text);
    strbuf_free(&pem);
    return chain;
}

static EVP_PKEY *load_key(const struct config *c, struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    struct err why;
    EVP_PKEY *key = NULL;

    if (file_read(key_path(c), PEM_FILE_MAX, true, &pem, &why) < 0)
        fail_file(c, true, err, "%s", why.text);
    else if ((key = tls_key_read(strbuf_slice(&pem), &why)) == NULL)
        fail_file(c, true, err, "%s: %s", key_path(c), why.text);
    if (pem.p != NULL)
        wipe(pem.p, pem.cap);
    strbuf_free(&pem);
    return key;
}

/* One made for `hostname` on the spot, for as long as there is no other: STARTTLS needs something to show.  Nobody can mistake
 * it for a good one. */
static X509 *make_temporary(const char *hostname, EVP_PKEY *key)
{
    static const unsigned char organization[] = "sendas: temporary, until there is a certificate";
    X509 *x = X509_new();
    X509_NAME *name = x == NULL ? NULL : X509_get_subject_name(x);
    char san[DOMAIN_MAX + 8];

    snprintf(san, sizeof(san), "DNS:%s", hostname);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    bool ok = x != NULL && extension != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set_int64(X509_get_serialNumber(x), clock_wall_ms()) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(x), TEMPORARY_S) != NULL && X509_set_pubkey(x, key) == 1 &&
              X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, organization, -1, -1, 0) == 1 &&
              X509_set_issuer_name(x, name) == 1 && X509_add_ext(x, extension, -1) == 1 &&
              X509_sign(x, key, EVP_sha256()) > 0;
    X509_EXTENSION_free(extension);
    if (ok)
        return x;
    X509_free(x);
    return NULL;
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

int tls_context_use(SSL_CTX *ctx, const STACK_OF(X509) * chain, EVP_PKEY *key)
{
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) != 1)
        return -1;
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1)
            return -1;
    return SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1 ? 0 : -1;
}

static SSL_CTX *context_new(const struct config *c, struct err *err)
{
    SSL_CTX *ctx = tls_context_new(TLS_server_method(), c->tls.min_version);
    if (ctx == NULL || set_algorithms(ctx) < 0) {
        char text[256];
        tls_failure_text(NULL, 0, text, sizeof(text));
        err_set(err, "tls: %s", text);
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* never a request for a client certificate */
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    return ctx;
}

static SSL_CTX *context_load(const struct config *c, struct err *err)
{
    STACK_OF(X509) *chain = load_chain(c, err);
    EVP_PKEY *key = chain == NULL ? NULL : load_key(c, err);
    SSL_CTX *ctx = NULL;
    char text[256];

    if (key == NULL)
        goto end;
    if (X509_check_private_key(sk_X509_value(chain, 0), key) != 1) {
        fail_file(c, true, err, "%s is not the key of the certificate in %s", key_path(c), certificate_path(c));
        goto end;
    }
    ctx = context_new(c, err);
    if (ctx != NULL && tls_context_use(ctx, chain, key) < 0) {
        tls_failure_text(NULL, 0, text, sizeof(text));
        fail_file(c, false, err, "%s: %s", certificate_path(c), text);
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
end:
    ERR_clear_error();
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return ctx;
}

static SSL_CTX *context_temporary(const struct config *c, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key == NULL ? NULL : make_temporary(c->hostname, key);
    SSL_CTX *ctx = x == NULL ? NULL : context_new(c, err);

    if (ctx != NULL && (SSL_CTX_use_certificate(ctx, x) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    if (ctx == NULL)
        err_set(err, "tls: no temporary certificate could be made");
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ctx;
}

/* ---- the server's certificate, as it comes and goes ------------------------------------------------------ */

static void log_problem(const char *file, const char *reason, const char *fix)
{
    log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("file", file), LOG_STR("reason", reason), LOG_STR("fix", fix));
}

/* One that sendas renews itself may have days to live and be well: it is told when it should have been renewed long ago. */
static int64_t warn_s(const struct config *c, const struct tls_certificate_facts *f)
{
    int64_t quarter = (f->not_after - f->not_before) / 4;
    return c->tls.acme != NULL && quarter < TLS_CERTIFICATE_WARN_S ? quarter : TLS_CERTIFICATE_WARN_S;
}

void tls_server_warn(struct tls_server *t, const struct config *c)
{
    struct tls_certificate_problem problems[TLS_CERTIFICATE_PROBLEMS];
    struct tls_certificate_facts facts;
    STACK_OF(X509) *rest = NULL, *chain;
    X509 *leaf = SSL_CTX_get0_certificate(t->ctx);

    t->problem[0] = '\0';
    if (t->temporary) {
        if (t->certificate.exists)
            log_problem(certificate_path(c), t->why.text, "sendas obtains a new one");
        log_problem(certificate_path(c),
                    "there is none yet: a temporary, self-signed one is shown, which mail programs refuse",
                    "wait for event=certificate result=obtained, or for what keeps it");
        return;
    }
    SSL_CTX_get0_chain_certs(t->ctx, &rest);
    chain = rest == NULL ? sk_X509_new_null() : sk_X509_dup(rest);
    if (chain == NULL || sk_X509_unshift(chain, leaf) == 0) {
        sk_X509_free(chain);
        return;
    }
    tls_certificate_judge_chain(chain, c->hostname, &facts);
    sk_X509_free(chain);
    size_t n = tls_certificate_problems(&facts, c->hostname, clock_wall_ms() / 1000, warn_s(c, &facts), problems);
    if (n > 0)
        snprintf(t->problem, sizeof(t->problem), "%s", problems[0].reason);
    for (size_t i = 0; i < n; i++)
        log_problem(certificate_path(c), problems[i].reason, problems[i].fix);
}

int64_t tls_server_end(const struct tls_server *t)
{
    return t->temporary ? 0 : tls_certificate_end(SSL_CTX_get0_certificate(t->ctx));
}

const char *tls_server_problem(const struct tls_server *t)
{
    return t->problem;
}

bool tls_server_temporary(const struct tls_server *t)
{
    return t->temporary;
}

void tls_server_keep(struct tls_server *t, const struct tls_server *before)
{
    if (!t->temporary || before->temporary || SSL_CTX_up_ref(before->ctx) != 1)
        return;
    SSL_CTX_free(t->ctx);
    t->ctx = before->ctx;
    t->temporary = false;
}

int tls_server_new(const struct config *c, struct tls_server **ret, struct err *err)
{
    struct tls_server *t;

    if (c->tls.acme == NULL && *c->tls.certificate == '\0')
        return err_set(err, "tls: a certificate and its key are needed, or tls.acme");
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(err, "tls: out of memory");
    if (tls_server_reload(t, c, &t->why) < 0) {
        t->temporary = c->tls.acme != NULL;
        t->ctx = t->temporary ? context_temporary(c, err) : NULL;
    }
    if (t->ctx == NULL) {
        if (!t->temporary && err != NULL)
            *err = t->why;
        tls_server_free(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

int tls_server_reload(struct tls_server *t, const struct config *c, struct err *err)
{
    char *certificate = strdup(certificate_path(c)), *key = strdup(key_path(c));
    if (certificate == NULL || key == NULL) {
        free(certificate);
        free(key);
        return err_set(err, "tls: out of memory");
    }
    free(t->certificate_path);
    free(t->key_path);
    t->certificate_path = certificate;
    t->key_path = key;
    /* Before they are read: what changes from here on is seen next time.  Kept after a failure too: files that are
     * wrong are read again when they change, not every minute. */
    t->certificate = stamp_of(certificate);
    t->key = stamp_of(key);

    SSL_CTX *ctx = context_load(c, err);
    if (ctx == NULL)
        return -1;
    SSL_CTX_free(t->ctx);
    t->ctx = ctx;
    t->temporary = false;
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
