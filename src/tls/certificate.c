/* What a certificate is worth: is it for this name, now, with what a mail program needs to trust it? */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { CHAIN_MAX = 20, DAY_S = 86400 };

/* ---- reading PEM ------------------------------------------------------------------------------------ */

int tls_chain_read(struct slice pem, STACK_OF(X509) * *ret, struct err *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p == NULL ? "" : pem.p, (int)pem.n);
    X509 *x = NULL;
    char text[256];

    ERR_clear_error();
    while (bio != NULL && chain != NULL && sk_X509_num(chain) < CHAIN_MAX &&
           (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(chain, x) == 0) {
            X509_free(x);
            break;
        }
    BIO_free(bio);
    int n = sk_X509_num(chain);
    /* What is not PEM behind the last one is text. */
    unsigned long e = ERR_peek_last_error();
    bool at_end = x == NULL && ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    tls_failure_text(NULL, 0, text, sizeof(text));
    if (n > 0 && at_end) {
        *ret = chain;
        return 0;
    }
    sk_X509_pop_free(chain, X509_free);
    if (n >= CHAIN_MAX)
        return err_set(err, "more than %d certificates", CHAIN_MAX - 1);
    return n < 1 ? err_set(err, "no certificate in PEM form found")
                 : err_set(err, "behind certificate %d: %s", n, text);
}

/* A key with a passphrase must not make a daemon ask for it on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

EVP_PKEY *tls_key_read(struct slice pem, struct err *err)
{
    bool asked = false;
    BIO *bio = pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p == NULL ? "" : pem.p, (int)pem.n);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);

    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL)
        err_set(err, "%s",
                asked ? "the key has a passphrase; sendas needs one without" : "no private key in PEM form found");
    return key;
}

/* ---- facts -------------------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t tls_certificate_end(const struct x509_st *certificate)
{
    return seconds_of(X509_get0_notAfter(certificate));
}

bool tls_certificate_covers(X509 *x, const char *hostname)
{
    /* RFC 6125 6.4.4: the common name counts only where there is no name of the right kind; clients have stopped looking. */
    unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    return X509_check_host(x, hostname, strlen(hostname), flags, NULL) == 1;
}

static bool is_self_signed(X509 *x)
{
    return X509_check_issued(x, x) == X509_V_OK;
}

static bool issuer_is_there(X509 *leaf, const STACK_OF(X509) * chain)
{
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i), leaf) == X509_V_OK)
            return true;
    return false;
}

/* Against OpenSSL's default roots: SSL_CERT_FILE and SSL_CERT_DIR are honoured.  Returns X509_V_OK or what is wrong. */
static int verify(X509 *leaf, const STACK_OF(X509) * chain)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *untrusted = sk_X509_dup(chain);
    int why = X509_V_ERR_OUT_OF_MEM;

    if (store != NULL && ctx != NULL && untrusted != NULL && X509_STORE_set_default_paths(store) == 1 &&
        X509_STORE_CTX_init(ctx, store, leaf, untrusted) == 1 && X509_STORE_CTX_set_default(ctx, "ssl_server") == 1) {
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME); /* the dates are told apart from the chain */
        why = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(untrusted);
    ERR_clear_error();
    return why;
}

static bool is_missing_issuer(int why)
{
    return why == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || why == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           why == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

static enum tls_chain chain_of(X509 *leaf, const STACK_OF(X509) * chain, int why)
{
    if (why == X509_V_OK)
        return TLS_CHAIN_TRUSTED;
    if (is_self_signed(leaf))
        return TLS_CHAIN_SELF_SIGNED;
    return is_missing_issuer(why) && !issuer_is_there(leaf, chain) ? TLS_CHAIN_INCOMPLETE : TLS_CHAIN_UNTRUSTED;
}

static void issuer_text(X509 *x, char *out, size_t size)
{
    X509_NAME *name = X509_get_issuer_name(x);

    *out = '\0';
    if (X509_NAME_get_text_by_NID(name, NID_commonName, out, (int)size) < 0)
        X509_NAME_get_text_by_NID(name, NID_organizationName, out, (int)size);
    for (char *p = out; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

void tls_certificate_judge_chain(const struct stack_st_X509 *chain, const char *hostname,
                                 struct tls_certificate_facts *ret)
{
    X509 *leaf = sk_X509_value(chain, 0);
    int why = verify(leaf, chain);

    *ret = (struct tls_certificate_facts){
        .covers = tls_certificate_covers(leaf, hostname),
        .not_before = seconds_of(X509_get0_notBefore(leaf)),
        .not_after = tls_certificate_end(leaf),
        .certificates = (size_t)sk_X509_num(chain),
    };
    issuer_text(leaf, ret->issuer, sizeof(ret->issuer));
    if (why != X509_V_OK)
        snprintf(ret->untrusted, sizeof(ret->untrusted), "%s", X509_verify_cert_error_string(why));
    ret->chain = chain_of(leaf, chain, why);
    ERR_clear_error();
}

int tls_certificate_judge(struct slice pem, const char *hostname, struct tls_certificate_facts *ret, struct err *err)
{
    STACK_OF(X509) * chain;

    if (tls_chain_read(pem, &chain, err) < 0)
        return -1;
    tls_certificate_judge_chain(chain, hostname, ret);
    sk_X509_pop_free(chain, X509_free);
    return 0;
}

/* ---- problems ----------------------------------------------------------------------------------------- */

static const char *day(int64_t at, char out[32])
{
    time_t t = (time_t)at;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d", &tm) == 0)
        snprintf(out, 32, "?");
    return out;
}

static void problem(struct tls_certificate_problem *out, size_t *n, const char *fix, const char *format, ...)
    PRINTF_LIKE(4, 5);
static void problem(struct tls_certificate_problem *out, size_t *n, const char *fix, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out[*n].reason, sizeof(out[*n].reason), format, args);
    va_end(args);
    snprintf(out[*n].fix, sizeof(out[*n].fix), "%s", fix);
    ++*n;
}

static void problem_of_dates(const struct tls_certificate_facts *f, int64_t now, int64_t warn_s,
                             struct tls_certificate_problem *out, size_t *n)
{
    static const char renew[] = "renew it, and see why it was not renewed";
    char date[32];
    int64_t left = f->not_after - now;

    if (left <= 0)
        problem(out, n, renew, "has expired on %s", day(f->not_after, date));
    else if (f->not_before > now)
        problem(out, n, "set the clock right", "is not valid yet, only from %s on", day(f->not_before, date));
    else if (left < warn_s && left < 2 * DAY_S)
        problem(out, n, renew, "ends within %s, on %s", left < DAY_S ? "a day" : "two days", day(f->not_after, date));
    else if (left < warn_s)
        problem(out, n, renew, "ends in %lld days, on %s", (long long)(left / DAY_S), day(f->not_after, date));
}

size_t tls_certificate_problems(const struct tls_certificate_facts *f, const char *hostname, int64_t now,
                                int64_t warn_s, struct tls_certificate_problem out[TLS_CERTIFICATE_PROBLEMS])
{
    size_t n = 0;

    if (!f->covers) {
        problem(out, &n, "", "is not for the hostname %s", hostname);
        snprintf(out[0].fix, sizeof(out[0].fix), "have a certificate made that names %s", hostname);
    }
    problem_of_dates(f, now, warn_s, out, &n);
    if (f->chain == TLS_CHAIN_INCOMPLETE)
        problem(out, &n, "put the whole chain into the file (fullchain.pem, not cert.pem)",
                "lacks its chain: the certificate of its issuer %s is not there", f->issuer);
    else if (f->chain == TLS_CHAIN_SELF_SIGNED)
        problem(out, &n, "have one made by a public authority, such as by tls.acme",
                "is self-signed; Gmail and most mail programs refuse it");
    return n;
}

/* ---- proving ------------------------------------------------------------------------------------------ */

/* Each certificate is issued by the next one.  A single one may be issued by a root that clients have. */
static int check_links(const STACK_OF(X509) * chain, struct err *err)
{
    for (int i = 1; i < sk_X509_num(chain); i++) {
        X509 *issuer = sk_X509_value(chain, i), *x = sk_X509_value(chain, i - 1);
        EVP_PKEY *key = X509_get0_pubkey(issuer);
        if (X509_check_issued(issuer, x) != X509_V_OK || key == NULL || X509_verify(x, key) != 1)
            return err_set(err, "certificate %d of the chain is not issued by the next one", i);
    }
    return 0;
}

static int check_loads(const STACK_OF(X509) * chain, EVP_PKEY *key, struct err *err)
{
    SSL_CTX *ctx = tls_context_new(TLS_server_method(), TLS1_2_VERSION);
    int ok = ctx != NULL && tls_context_use(ctx, chain, key) == 0;
    char text[256];

    SSL_CTX_free(ctx);
    tls_failure_text(NULL, 0, text, sizeof(text));
    return ok ? 0 : err_set(err, "the certificate cannot be used: %s", text);
}

static int prove(const STACK_OF(X509) * chain, EVP_PKEY *key, const char *hostname, struct err *err)
{
    X509 *leaf = sk_X509_value(chain, 0);
    int64_t now = clock_wall_ms() / 1000;

    if (X509_check_private_key(leaf, key) != 1)
        return err_set(err, "the certificate is for another key");
    if (!tls_certificate_covers(leaf, hostname))
        return err_set(err, "the certificate is not for %s", hostname);
    if (seconds_of(X509_get0_notAfter(leaf)) <= now)
        return err_set(err, "the certificate has expired already");
    if (seconds_of(X509_get0_notBefore(leaf)) > now)
        return err_set(err, "the certificate is not valid yet; is the clock right?");
    return check_links(chain, err) < 0 ? -1 : check_loads(chain, key, err);
}

int tls_certificate_prove(struct slice chain_pem, struct slice key_pem, const char *hostname, struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    int rc = -1;

    if (tls_chain_read(chain_pem, &chain, err) == 0 && (key = tls_key_read(key_pem, err)) != NULL)
        rc = prove(chain, key, hostname, err);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    return rc;
}
