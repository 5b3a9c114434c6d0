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
    else if (f->listener != NULL)
        set(item, CHECK_FAIL,
            check_text(r, "%s presents another certificate than the file's, valid until %s", f->listener,
                       day(r, f->served_after)),
            "systemctl reload sendas (or kill -HUP); if it stays so, the log says why the new one was not taken");
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

/* Who else may read it is for `files` to say. */
static BIO *open_pem(const char *path, struct strbuf *pem, struct err *err)
{
    if (file_read(path, PEM_MAX, false, pem, err) < 0)
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
    BIO *bio = open_pem(path, &pem, err);
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
    BIO *bio = open_pem(path, &pem, err);
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

static void describe(const struct config *c, const STACK_OF(X509) * chain, struct check_certificate *f)
{
    X509 *leaf = sk_X509_value(chain, 0);
    f->covers = X509_check_host(leaf, c->hostname, strlen(c->hostname), 0, NULL) == 1;
    f->not_before = seconds_of(X509_get0_notBefore(leaf));
    f->not_after = seconds_of(X509_get0_notAfter(leaf));
    f->untrusted = verify(leaf, (STACK_OF(X509) *)chain);
    f->self_signed = f->untrusted != NULL && X509_check_issued(leaf, leaf) == X509_V_OK;
    X509_NAME_oneline(X509_get_issuer_name(leaf), f->issuer, sizeof(f->issuer));
    ERR_clear_error();
}

static STACK_OF(X509) * read_files(const struct config *c, struct check_certificate *f)
{
    STACK_OF(X509) *chain = load_chain(c->tls.certificate, &f->problem);
    EVP_PKEY *key = chain == NULL ? NULL : load_key(c->tls.key, &f->problem);
    f->matches = key != NULL && X509_check_private_key(sk_X509_value(chain, 0), key) == 1;
    ERR_clear_error();
    EVP_PKEY_free(key);
    return chain;
}

static void no_certificate(struct check_run *r)
{
    struct check_item *item = check_add(r, "certificate", NULL, CHECK_WARN);
    item->unknown = true;
    item->expected = check_text(r, "a certificate for %s by a CA that all trust, with its chain", r->config->hostname);
    item->found = "sendas obtains it itself (tls.acme), and no listener presents one yet";
    item->fix = "see daemon; when sendas runs, its log tells how far it has got";
}

/* What each listener presents; false when one of them has not been asked yet. */
static bool ask_listeners(struct check_run *r, const STACK_OF(X509) * *served)
{
    bool known = true;
    for (size_t i = 0; i < r->config->n_listen; i++) {
        struct check_contact to;
        struct check_reached reached;
        check_listener_contact(r->config, &r->config->listen[i], &to);
        known = r->world->contact(r->world->ctx, &to, &reached) && known;
        served[i] = reached.chain;
    }
    return known;
}

/* The first that presents another certificate than the file's. */
static void compare(struct check_run *r, const X509 *leaf, const STACK_OF(X509) *const *served,
                    struct check_certificate *f)
{
    for (size_t i = 0; i < r->config->n_listen && f->listener == NULL; i++) {
        X509 *theirs = served[i] == NULL ? NULL : sk_X509_value(served[i], 0);
        if (theirs == NULL || X509_cmp(leaf, theirs) == 0)
            continue;
        f->listener = check_text(r, "port %u", r->config->listen[i].port);
        f->served_after = seconds_of(X509_get0_notAfter(theirs));
    }
}

static void judge_file(struct check_run *r, const STACK_OF(X509) *const *served)
{
    struct check_certificate facts = {.problem = {""}};
    STACK_OF(X509) *chain = read_files(r->config, &facts);
    if (chain != NULL) {
        describe(r->config, chain, &facts);
        compare(r, sk_X509_value(chain, 0), served, &facts);
    }
    check_certificate_judge(r, &facts);
    sk_X509_pop_free(chain, X509_free);
}

/* tls.acme: there is no file of ours to look at. */
static void judge_served(struct check_run *r, const STACK_OF(X509) *const *served)
{
    struct check_certificate facts = {.problem = {""}, .matches = true}; /* or the handshake would have failed */
    const STACK_OF(X509) *chain = NULL;
    for (size_t i = 0; i < r->config->n_listen && chain == NULL; i++)
        chain = served[i];
    if (chain == NULL) {
        no_certificate(r);
        return;
    }
    describe(r->config, chain, &facts);
    check_certificate_judge(r, &facts);
}

void check_certificate(struct check_run *r)
{
    const STACK_OF(X509) **served = arena_alloc_array(&r->memory, r->config->n_listen + 1, sizeof(STACK_OF(X509) *));
    if (served == NULL)
        r->failed = true;
    else if (!ask_listeners(r, served))
        return; /* this runs again */
    else if (r->config->tls.certificate[0] != '\0')
        judge_file(r, served);
    else
        judge_served(r, served);
}
