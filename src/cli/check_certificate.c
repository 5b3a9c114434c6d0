/* The certificate that mail programs see: Gmail's "Send mail as" refuses one that is not trusted, named and valid. */
#include "check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { PEM_MAX = 1024 * 1024, CHAIN_MAX = 20, DAY_S = 86400, WARN_DAYS = 14 };

/* ---- judging --------------------------------------------------------------------------------- */

static const char *day(struct check_run *r, int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;
    return gmtime_r(&t, &tm) == NULL ? "?"
                                     : check_text(r, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void set(struct check_item *item, enum check_status status, const char *found, const char *fix)
{
    item->status = status;
    item->found = found;
    item->fix = fix;
}

void check_certificate_judge(struct check_run *r, const struct check_certificate *f)
{
    const char *host = r->config->hostname;
    struct check_item *item = check_add(r, "certificate", NULL, CHECK_PASS);
    item->expected = check_text(r, "a certificate for %s by a CA that all trust, with its chain", host);
    if (f->problem.text[0] != '\0')
        set(item, CHECK_FAIL, check_text(r, "%s", f->problem.text),
            "put the chain into tls.certificate and its key into tls.key, readable by sendas");
    else if (!f->matches)
        set(item, CHECK_FAIL, "the key is not that of the certificate",
            "name the key that the certificate was made for");
    else if (!f->covers)
        set(item, CHECK_FAIL, check_text(r, "it is not for %s", host),
            check_text(r, "have a certificate made that names %s", host));
    else if (f->not_after <= r->now)
        set(item, CHECK_FAIL, check_text(r, "it expired on %s", day(r, f->not_after)),
            "renew it, and see why its renewal failed");
    else if (f->not_before > r->now)
        set(item, CHECK_FAIL, check_text(r, "it is valid only from %s", day(r, f->not_before)), "set the clock right");
    else if (f->self_signed)
        set(item, CHECK_FAIL, "it is self-signed; Gmail and mail programs refuse it",
            "have one made by a CA such as Let's Encrypt");
    else if (f->untrusted != NULL)
        set(item, CHECK_FAIL, check_text(r, "it is not trusted: %s", f->untrusted),
            "put the whole chain into tls.certificate (fullchain.pem, not cert.pem)");
    else if (f->not_after - r->now < (int64_t)WARN_DAYS * DAY_S)
        set(item, CHECK_WARN, check_text(r, "it expires on %s", day(r, f->not_after)),
            "renew it, and see why it was not");
    else
        item->found = check_text(r, "valid until %s, issued by %s", day(r, f->not_after), f->issuer);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static BIO *open_pem(const char *path, bool secret, struct strbuf *pem, struct err *err)
{
    if (file_read(path, PEM_MAX, secret, pem, err) < 0)
        return NULL;
    BIO *bio = BIO_new_mem_buf(strbuf_str(pem), (int)pem->n);
    if (bio == NULL)
        err_set(err, "out of memory");
    return bio;
}

/* All certificates of the file; the first is ours. */
static STACK_OF(X509) * load_chain(const char *path, struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = open_pem(path, false, &pem, err);
    X509 *x;
    while (bio != NULL && chain != NULL && sk_X509_num(chain) < CHAIN_MAX &&
           (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(chain, x) == 0)
            X509_free(x);
    if (bio != NULL && sk_X509_num(chain) < 1)
        err_set(err, "%s: no certificate in PEM form found", path);
    BIO_free(bio);
    strbuf_free(&pem);
    ERR_clear_error();
    if (sk_X509_num(chain) >= 1)
        return chain;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

/* A key with a passphrase must not ask for it on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

static EVP_PKEY *load_key(const char *path, struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    EVP_PKEY *key = NULL;
    BIO *bio = open_pem(path, true, &pem, err);
    if (bio != NULL && (key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)) == NULL)
        err_set(err, "%s: no private key in PEM form without a passphrase found", path);
    BIO_free(bio);
    if (pem.p != NULL)
        wipe(pem.p, pem.cap);
    strbuf_free(&pem);
    ERR_clear_error();
    return key;
}

/* Against OpenSSL's default roots: SSL_CERT_FILE and SSL_CERT_DIR are honoured. */
static const char *verify(X509 *leaf, STACK_OF(X509) * chain)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    const char *why = "out of memory";
    if (store != NULL && ctx != NULL && X509_STORE_set_default_paths(store) == 1 &&
        X509_STORE_CTX_init(ctx, store, leaf, chain) == 1 && X509_STORE_CTX_set_default(ctx, "ssl_server") == 1)
        why = X509_verify_cert(ctx) == 1 ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return why;
}

static void describe(const struct config *c, STACK_OF(X509) * chain, EVP_PKEY *key, struct check_certificate *f)
{
    X509 *leaf = sk_X509_value(chain, 0);
    f->matches = X509_check_private_key(leaf, key) == 1;
    f->covers = X509_check_host(leaf, c->hostname, strlen(c->hostname), 0, NULL) == 1;
    f->not_before = seconds_of(X509_get0_notBefore(leaf));
    f->not_after = seconds_of(X509_get0_notAfter(leaf));
    f->untrusted = verify(leaf, chain);
    f->self_signed = f->untrusted != NULL && X509_check_issued(leaf, leaf) == X509_V_OK;
    X509_NAME_oneline(X509_get_issuer_name(leaf), f->issuer, sizeof(f->issuer));
    ERR_clear_error();
}

void check_certificate(struct check_run *r)
{
    const struct config *c = r->config;
    struct check_certificate facts = {.problem = {""}};
    if (c->tls.certificate[0] == '\0') {
        struct check_item *item = check_add(r, "certificate", NULL, CHECK_WARN);
        item->unknown = true;
        item->found = "it is not in a file that is named in the configuration";
        item->fix = "look at what the daemon presents: openssl s_client -starttls smtp -connect HOST:587";
        return;
    }
    STACK_OF(X509) *chain = load_chain(c->tls.certificate, &facts.problem);
    EVP_PKEY *key = chain == NULL ? NULL : load_key(c->tls.key, &facts.problem);
    if (key != NULL)
        describe(c, chain, key, &facts);
    check_certificate_judge(r, &facts);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
}
