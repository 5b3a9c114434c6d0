/* DKIM keys: PEM in, signatures and the record to publish out (RFC 6376 3.3, 3.6.1; 8301; 8463). */
#include "internal.h"
#include "verify.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FILE_MAX = 64 * 1024, ED25519_SIZE = 32 };

struct dkim_key {
    enum dkim_algorithm algorithm;
    unsigned bits;
    EVP_PKEY *pkey;
    EVP_MD_CTX *begun; /* RSA: a signature that was begun, of which each is a copy; OpenSSL 3.0 cannot copy Ed25519's */
    char domain[DOMAIN_MAX + 1];
    char selector[DOMAIN_MAX + 1];
    struct strbuf record;       /* made once: encoding a key costs OpenSSL a quarter of a signature */
    struct dkim_record as_read; /* what the verifier makes of it */
};

const char *dkim_algorithm_name(enum dkim_algorithm a)
{
    return a == DKIM_ED25519_SHA256 ? "ed25519-sha256" : "rsa-sha256"; /* RFC 8463 3, RFC 6376 3.3.1 */
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_let_dig(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_label(struct slice s)
{
    if (s.n < 1 || s.n > 63 || !is_let_dig(s.p[0]) || !is_let_dig(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_let_dig(s.p[i]) && s.p[i] != '-')
            return false;
    }
    return true;
}

/* selector = sub-domain *( "." sub-domain )     RFC 6376 3.1 */
int dkim_selector_check(const char *selector, struct err *err)
{
    struct slice rest = slice_of(selector);
    if (rest.n == 0 || rest.n > DOMAIN_MAX)
        return err_set(err, "a selector has 1 to %d characters", DOMAIN_MAX);
    for (;;) {
        size_t dot = slice_find(rest, '.');
        if (!is_label(slice_sub(rest, 0, dot)))
            return err_set(
                err, "\"%s\" is no selector: letters, digits and '-' between them, in labels of 1 to 63 joined by '.'",
                selector);
        if (dot == rest.n)
            return 0;
        rest = slice_skip(rest, dot + 1);
    }
}

static int set_names(struct dkim_key *k, const char *domain, const char *selector, struct err *err)
{
    static const char infix[] = "._domainkey.";
    struct err why;
    if (domain_to_ascii(slice_of(domain), k->domain, &why) < 0)
        return err_set(err, "%s: %s", domain, why.text);
    if (dkim_selector_check(selector, err) < 0)
        return -1;
    if (strlen(selector) + strlen(infix) + strlen(k->domain) > DOMAIN_MAX)
        return err_set(err, "%s%s%s is longer than a DNS name may be", selector, infix, k->domain);
    memcpy(k->selector, selector, strlen(selector) + 1);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A passphrase would have to stand beside the key: such keys are refused. */
static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
    (void)buf, (void)size, (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

static int read_pem(struct dkim_key *k, struct slice pem, const char *name, struct err *err)
{
    bool encrypted = false;
    BIO *bio = pem.n <= KEY_FILE_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    if (bio == NULL)
        return err_set(err, "%s: out of memory, or too large for a key", name);
    k->pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
    BIO_free(bio);
    if (k->pkey != NULL)
        return 0;
    if (encrypted)
        return err_set(
            err, "%s: the key is encrypted: write it without a passphrase (openssl pkey -in FILE -out FILE.new)", name);
    return err_set(err, "%s: no private key in PEM found (\"-----BEGIN PRIVATE KEY-----\"), or it is damaged", name);
}

static int check_usable(struct dkim_key *k, const char *name, unsigned bits_min, struct err *err)
{
    k->bits = (unsigned)EVP_PKEY_get_bits(k->pkey);
    if (EVP_PKEY_is_a(k->pkey, "ED25519")) {
        k->algorithm = DKIM_ED25519_SHA256;
        return 0;
    }
    if (!EVP_PKEY_is_a(k->pkey, "RSA"))
        return err_set(err, "%s: a key of type %s: DKIM signs with RSA or Ed25519", name,
                       EVP_PKEY_get0_type_name(k->pkey));
    k->algorithm = DKIM_RSA_SHA256;
    /* RFC 8301 3.2: signers SHOULD use 2048 bits; receivers may fail what is shorter. */
    if (k->bits < bits_min || k->bits > DKIM_RSA_BITS_MAX)
        return err_set(err, "%s: an RSA key of %u bits: %u to %d are accepted", name, k->bits, bits_min,
                       DKIM_RSA_BITS_MAX);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    bool whole = ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return whole ? 0
                 : err_set(err, "%s: the key is damaged: its private and public parts do not belong together", name);
}

/* The TXT record: what the private key object itself says is its public half. */
static void write_record(const struct dkim_key *k, struct strbuf *out)
{
    if (k->algorithm == DKIM_ED25519_SHA256) {
        unsigned char raw[ED25519_SIZE]; /* RFC 8463 4.2: the bare key, no SubjectPublicKeyInfo */
        size_t n = sizeof(raw);
        strbuf_add_str(out, "v=DKIM1; k=ed25519; p=");
        if (EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) == 1)
            base64_encode(out, slice_from(raw, n));
        else
            out->failed = true;
        return;
    }
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(k->pkey, &der);
    strbuf_add_str(out, "v=DKIM1; k=rsa; p=");
    if (n > 0)
        base64_encode(out, slice_from(der, (size_t)n));
    else
        out->failed = true;
    OPENSSL_free(der);
}

/* What would cost each signature two hundredths of it. */
static int begin_once(struct dkim_key *k, const char *name, struct err *err)
{
    if (k->algorithm != DKIM_RSA_SHA256)
        return 0;
    k->begun = EVP_MD_CTX_new();
    if (k->begun != NULL && EVP_DigestSignInit(k->begun, NULL, EVP_sha256(), NULL, k->pkey) == 1)
        return 0;
    return err_set(err, "%s: OpenSSL cannot sign with it, or has no memory", name);
}

/* The record, and the key that receivers will read from it. */
static int publish(struct dkim_key *k, const char *name, struct err *err)
{
    struct arena mem = ARENA_INIT(KEY_FILE_MAX);
    struct err why = {""};
    write_record(k, &k->record);
    int status =
        k->record.failed ? MESSAGE_NO_MEMORY : dkim_record_parse(&mem, strbuf_slice(&k->record), 0, &k->as_read, &why);
    if (status == 0 && dkim_record_keep(&k->as_read) < 0)
        status = MESSAGE_NO_MEMORY;
    arena_free(&mem);
    if (status == MESSAGE_NO_MEMORY)
        return err_set(err, "%s: out of memory", name);
    return status == 0 ? 0 : err_set(err, "%s: its record would be of no use: %s", name, why.text);
}

int dkim_key_parse_bits(struct slice pem, const char *name, const char *domain, const char *selector, unsigned bits_min,
                        struct dkim_key **ret, struct err *err)
{
    struct dkim_key *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return err_set(err, "%s: out of memory", name);
    int status = set_names(k, domain, selector, err);
    if (status == 0)
        status = read_pem(k, pem, name, err);
    if (status == 0)
        status = check_usable(k, name, bits_min, err);
    if (status == 0)
        status = begin_once(k, name, err);
    if (status == 0)
        status = publish(k, name, err);
    ERR_clear_error(); /* what OpenSSL noted here would be read as the failure of somebody's TLS session */
    if (status < 0)
        dkim_key_free(&k);
    else
        *ret = k;
    return status;
}

int dkim_key_parse(struct slice pem, const char *name, const char *domain, const char *selector, struct dkim_key **ret,
                   struct err *err)
{
    return dkim_key_parse_bits(pem, name, domain, selector, DKIM_RSA_BITS_MIN, ret, err);
}

int dkim_key_load(const char *path, const char *domain, const char *selector, struct dkim_key **ret, struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    int status = file_read(path, KEY_FILE_MAX, true, &pem, err);
    if (status == 0)
        status = dkim_key_parse(strbuf_slice(&pem), path, domain, selector, ret, err);
    if (pem.p != NULL)
        wipe(pem.p, pem.n);
    strbuf_free(&pem);
    return status;
}

void dkim_key_free(struct dkim_key **pk)
{
    struct dkim_key *k = *pk;
    *pk = NULL;
    if (k == NULL)
        return;
    EVP_MD_CTX_free(k->begun);
    EVP_PKEY_free(k->pkey); /* wipes the private parts */
    strbuf_free(&k->record);
    dkim_record_free(&k->as_read);
    free(k);
}

/* ---- making ---------------------------------------------------------------------------------- */

int dkim_key_generate(enum dkim_algorithm algorithm, unsigned bits, struct strbuf *ret_pem, struct err *err)
{
    bool rsa = algorithm == DKIM_RSA_SHA256;
    if (rsa && (bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX))
        return err_set(err, "an RSA key has %d to %d bits here, not %u", DKIM_RSA_BITS_MIN, DKIM_RSA_BITS_MAX, bits);
    EVP_PKEY *pkey =
        rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    char *text = NULL;
    long n = 0;
    if (pkey != NULL && bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1)
        n = BIO_get_mem_data(bio, &text);
    if (n > 0)
        strbuf_add(ret_pem, text, (size_t)n);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    if (n <= 0 || ret_pem->failed)
        return err_set(err, "OpenSSL made no key: no memory or no randomness");
    return 0;
}

/* ---- using ----------------------------------------------------------------------------------- */

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k)
{
    return k->algorithm;
}

const char *dkim_key_domain(const struct dkim_key *k)
{
    return k->domain;
}

const char *dkim_key_selector(const struct dkim_key *k)
{
    return k->selector;
}

unsigned dkim_key_bits(const struct dkim_key *k)
{
    return k->bits;
}

void dkim_key_record(const struct dkim_key *k, struct strbuf *out)
{
    strbuf_add_slice(out, strbuf_slice(&k->record));
}

struct slice dkim_key_record_text(const struct dkim_key *k)
{
    return strbuf_slice(&k->record);
}

const struct dkim_record *dkim_key_as_read(const struct dkim_key *k)
{
    return &k->as_read;
}

/* One shot: RFC 6376 3.3.1, or by RFC 8463 3 PureEdDSA over the SHA-256 hash. */
static bool sign(const struct dkim_key *key, EVP_MD_CTX *ctx, struct slice input, unsigned char *signature, size_t *n)
{
    unsigned char digest[DKIM_HASH_SIZE];
    const unsigned char *text = (const unsigned char *)input.p;
    if (key->begun != NULL)
        return EVP_MD_CTX_copy_ex(ctx, key->begun) == 1 && EVP_DigestSign(ctx, signature, n, text, input.n) == 1;
    return EVP_Digest(text, input.n, digest, NULL, EVP_sha256(), NULL) == 1 &&
           EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
           EVP_DigestSign(ctx, signature, n, digest, sizeof(digest)) == 1;
}

int dkim_key_sign(const struct dkim_key *key, struct slice input, struct strbuf *out, struct err *err)
{
    unsigned char signature[DKIM_RSA_BITS_MAX / 8];
    size_t n = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && sign(key, ctx, input, signature, &n);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!ok)
        return err_set(err, "OpenSSL could not sign with %s of %s", key->selector, key->domain);
    strbuf_add(out, signature, n);
    return out->failed ? err_set(err, "out of memory") : 0;
}
