/* The certificate that mail programs see: Gmail's "Send mail as" refuses one that is not trusted, named and valid. */
#include "check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PEM_MAX = 1024 * 1024 };

/* ---- judging --------------------------------------------------------------------------------- */

static const char *day(struct check_run *r, int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;
    return gmtime_r(&t, &tm) == NULL ? "?"
                                     : check_text(r, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void add(struct check_run *r, struct check_item *item, enum check_status status, const char *found,
                const char *fix)
{
    item->status = status > item->status ? status : item->status;
    item->found = item->found[0] == '\0' ? found : check_text(r, "%s; %s", item->found, found);
    item->fix = item->fix[0] == '\0' ? fix : check_text(r, "%s; %s", item->fix, fix);
}

static void judge_facts(struct check_run *r, struct check_item *item, const struct check_certificate *f)
{
    struct tls_certificate_problem problems[TLS_CERTIFICATE_PROBLEMS];
    const char *host = r->config->hostname;
    size_t n = tls_certificate_problems(&f->facts, host, r->now, TLS_CERTIFICATE_WARN_S, problems);
    bool ending = f->facts.covers && f->facts.not_after > r->now && f->facts.not_before <= r->now;
    for (size_t i = 0; i < n; i++) {
        bool only_ending = i == 0 && ending && f->facts.not_after - r->now < TLS_CERTIFICATE_WARN_S;
        add(r, item, only_ending ? CHECK_WARN : CHECK_FAIL, check_text(r, "it %s", problems[i].reason),
            check_text(r, "%s", problems[i].fix));
    }
    if (f->facts.chain == TLS_CHAIN_UNTRUSTED) /* the daemon takes a private CA for a choice; Gmail does not */
        add(r, item, CHECK_FAIL, check_text(r, "it is not trusted: %s", f->facts.untrusted),
            "have one made by a public authority, such as by tls.acme, and put the whole chain into tls.certificate");
}

/* Where sendas cares for the certificate itself, that is where help is needed. */
static void judge_acme(struct check_run *r, struct check_item *item, const struct check_certificate *f)
{
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    if (f->acme != NULL && check_acme_judge(r, f->acme, f->facts.not_after, &found, &fix)) {
        if (!f->temporary && f->listener == NULL)
            item->fix = "";
        add(r, item, CHECK_WARN, check_text(r, "%s", strbuf_str(&found)), check_text(r, "%s", strbuf_str(&fix)));
    }
    strbuf_free(&found);
    strbuf_free(&fix);
}

void check_certificate_judge(struct check_run *r, const struct check_certificate *f)
{
    struct check_item *item = check_add(r, "certificate", NULL, CHECK_PASS);
    item->expected = check_text(r, "a certificate for %s by a CA that all trust, with its chain, on every listener",
                                r->config->hostname);
    if (f->temporary)
        add(r, item, CHECK_FAIL, "there is none yet, and mail programs refuse the temporary one", "");
    else if (f->problem.text[0] != '\0')
        add(r, item, CHECK_FAIL, check_text(r, "%s", f->problem.text),
            "put the chain into tls.certificate and its key into tls.key, readable by sendas");
    else if (!f->matches)
        add(r, item, CHECK_FAIL, "the key is not that of the certificate",
            "name the key that the certificate was made for");
    else
        judge_facts(r, item, f);
    if (f->problem.text[0] == '\0' && f->listener != NULL)
        add(r, item, CHECK_FAIL,
            check_text(r, "%s presents another certificate than the file's, valid until %s", f->listener,
                       day(r, f->served_after)),
            "systemctl reload sendas; if it stays so, its log says why the new one was not taken");
    judge_acme(r, item, f);
    if (item->status == CHECK_PASS)
        item->found = check_text(r, "valid until %s, issued by %s", day(r, f->facts.not_after), f->facts.issuer);
}

/* ---- the files ------------------------------------------------------------------------------- */

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

/* The first of the file; *facts tells of it and its chain. */
static X509 *load_certificate(const char *path, const char *hostname, struct tls_certificate_facts *facts,
                              struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    struct err why = {"no certificate in PEM form found"};
    BIO *bio = open_pem(path, &pem, err);
    X509 *x = NULL;
    if (bio != NULL && (tls_certificate_judge(strbuf_slice(&pem), hostname, facts, &why) < 0 ||
                        (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) == NULL))
        err_set(err, "%s: %s", path, why.text);
    BIO_free(bio);
    strbuf_free(&pem);
    ERR_clear_error();
    return x;
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

/* ---- asking ---------------------------------------------------------------------------------- */

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
        f->served_after = tls_certificate_end(theirs);
    }
}

static void judge_file(struct check_run *r, const char *certificate, const char *key_path,
                       const STACK_OF(X509) *const *served, const struct acme_status *acme)
{
    struct check_certificate facts = {.problem = {""}, .acme = acme};
    X509 *leaf = load_certificate(certificate, r->config->hostname, &facts.facts, &facts.problem);
    EVP_PKEY *key = leaf == NULL ? NULL : load_key(key_path, &facts.problem);
    facts.matches = key != NULL && X509_check_private_key(leaf, key) == 1;
    ERR_clear_error();
    if (leaf != NULL)
        compare(r, leaf, served, &facts);
    check_certificate_judge(r, &facts);
    EVP_PKEY_free(key);
    X509_free(leaf);
}

static void judge_acme_files(struct check_run *r, const STACK_OF(X509) *const *served)
{
    const struct config_acme *acme = r->config->tls.acme;
    struct check_certificate facts = {.problem = {""}};
    struct acme_status status;
    if (acme_status_read(r->config, &status, &facts.problem) < 0) {
        struct check_item *item = check_add(r, "certificate", NULL, CHECK_WARN);
        item->unknown = true;
        item->expected = check_text(r, "a certificate for %s, obtained by sendas (tls.acme)", r->config->hostname);
        item->found = check_text(r, "%s", facts.problem.text);
        item->fix = "run this as root; if state.json is damaged remove it: sendas then asks the authority anew";
        return;
    }
    if (access(acme->certificate, F_OK) == 0) {
        judge_file(r, acme->certificate, acme->key, served, &status);
        return;
    }
    facts = (struct check_certificate){.problem = {""}, .acme = &status, .temporary = true};
    check_certificate_judge(r, &facts);
}

void check_certificate(struct check_run *r)
{
    const struct config *c = r->config;
    const STACK_OF(X509) **served = arena_alloc_array(&r->memory, c->n_listen + 1, sizeof(STACK_OF(X509) *));
    if (served == NULL)
        r->failed = true;
    else if (!ask_listeners(r, served))
        return; /* this runs again */
    else if (c->tls.acme == NULL)
        judge_file(r, c->tls.certificate, c->tls.key, served, NULL);
    else
        judge_acme_files(r, served);
}
