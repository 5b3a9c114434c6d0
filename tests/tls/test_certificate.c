/* What tls_certificate_judge finds, what is said of it, and what is taken for good enough to be served. */
#include "sendas/tls.h"
#include "tls/certs.h"

#define HOST "mail.example.test"

/* ---- chains: made in memory ----------------------------------------------------------------------------- */

struct made {
    X509 *x;
    EVP_PKEY *key;
};

static struct made root, middle, leaf, other;

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ck_assert_ptr_nonnull(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

/* A certificate with this common name; with `san` a server's, otherwise a CA's; by itself without an issuer. */
static struct made make(const char *cn, const char *san, const struct made *issuer, long from_s, long to_s)
{
    struct made m = {X509_new(), EVP_EC_gen("P-256")};
    static int serial;

    X509_set_version(m.x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(m.x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(m.x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(m.x), to_s);
    X509_set_pubkey(m.x, m.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(m.x), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(m.x, X509_get_subject_name(issuer == NULL ? m.x : issuer->x));
    if (san != NULL)
        add_extension(m.x, NID_subject_alt_name, san);
    else
        add_extension(m.x, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(m.x, issuer == NULL ? m.key : issuer->key, EVP_sha256());
    return m;
}

static void drop(struct made *m)
{
    X509_free(m->x);
    EVP_PKEY_free(m->key);
    *m = (struct made){NULL, NULL};
}

/* Text in PEM; it lives until the test ends. */
static struct slice pem(X509 *a, X509 *b, X509 *c)
{
    X509 *all[] = {a, b, c};
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i] != NULL)
            PEM_write_bio_X509(bio, all[i]);
    long n = BIO_get_mem_data(bio, &text);
    struct slice copy = slice_of(arena_strdup(&certs_memory, slice_from(text, (size_t)n)));
    BIO_free(bio);
    return copy;
}

static struct slice pem_key(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(bio, &text);
    struct slice copy = slice_of(arena_strdup(&certs_memory, slice_from(text, (size_t)n)));
    BIO_free(bio);
    return copy;
}

/* `root` becomes all the roots that this machine has. */
static void trust(X509 *x)
{
    const char *path = certs_path("roots.pem");
    FILE *f = fopen(path, "w");
    PEM_write_X509(f, x);
    fclose(f);
    setenv("SSL_CERT_FILE", path, 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
}

static void setup(void)
{
    certs_make_dir();
    root = make("Test root", NULL, NULL, -60, 3600);
    middle = make("Test middle", NULL, &root, -60, 3600);
    leaf = make(HOST, "DNS:" HOST, &middle, -60, 3600);
    other = make("Other root", NULL, NULL, -60, 3600);
    trust(root.x);
}

static void teardown(void)
{
    drop(&root);
    drop(&middle);
    drop(&leaf);
    drop(&other);
    certs_remove_dir();
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

static struct tls_certificate_facts judge(struct slice text)
{
    struct tls_certificate_facts f;
    struct err err;
    ck_assert_msg(tls_certificate_judge(text, HOST, &f, &err) == 0, "%s", err.text);
    return f;
}

START_TEST(test_chain)
{
    struct made alone = make(HOST, "DNS:" HOST, NULL, -60, 3600);

    struct tls_certificate_facts f = judge(pem(leaf.x, middle.x, NULL));
    ck_assert_int_eq(f.chain, TLS_CHAIN_TRUSTED);
    ck_assert_str_eq(f.untrusted, "");
    ck_assert_str_eq(f.issuer, "Test middle");
    ck_assert_uint_eq(f.certificates, 2);
    ck_assert_int_eq(f.not_after - f.not_before, 3660);
    ck_assert(f.covers);

    f = judge(pem(leaf.x, NULL, NULL));
    ck_assert_int_eq(f.chain, TLS_CHAIN_INCOMPLETE);
    ck_assert_str_eq(f.untrusted, "unable to get local issuer certificate");
    ck_assert_int_eq(judge(pem(leaf.x, other.x, NULL)).chain, TLS_CHAIN_INCOMPLETE); /* a chain, but of another */
    ck_assert_int_eq(judge(pem(middle.x, NULL, NULL)).chain, TLS_CHAIN_TRUSTED);     /* its issuer is a root here */
    f = judge(pem(alone.x, NULL, NULL));
    ck_assert_int_eq(f.chain, TLS_CHAIN_SELF_SIGNED);
    trust(other.x);
    ck_assert_int_eq(judge(pem(leaf.x, middle.x, NULL)).chain, TLS_CHAIN_UNTRUSTED);
    ck_assert_int_eq(judge(pem(leaf.x, middle.x, root.x)).chain, TLS_CHAIN_UNTRUSTED);
    trust(alone.x);
    ck_assert_int_eq(judge(pem(alone.x, NULL, NULL)).chain, TLS_CHAIN_TRUSTED);
    drop(&alone);
}
END_TEST

START_TEST(test_chain_whatever_the_time)
{
    struct made old = make(HOST, "DNS:" HOST, &middle, -7200, -3600);

    ck_assert_int_eq(judge(pem(old.x, middle.x, NULL)).chain, TLS_CHAIN_TRUSTED);
    drop(&old);
}
END_TEST

static const struct {
    const char *cn, *san;
    bool covers;
} name_rows[] = {
    {HOST, "DNS:" HOST, true},
    {HOST, "DNS:MAIL.example.TEST", true},
    {"x", "DNS:*.example.test", true},
    {"x", "DNS:a.test,DNS:" HOST, true},
    {"x", "DNS:m*.example.test", false},
    {"x", "DNS:*.test", false},
    {HOST, "DNS:www.example.test", false},
    {HOST, "email:me@example.test", false}, /* the common name does not count */
    {"x", "DNS:mail.example.test.evil.test", false},
};

START_TEST(test_names)
{
    struct made m = make(name_rows[_i].cn, name_rows[_i].san, &middle, -60, 3600);
    ck_assert_int_eq(judge(pem(m.x, middle.x, NULL)).covers, name_rows[_i].covers);
    drop(&m);
}
END_TEST

static const struct {
    const char *text, *why;
} bad_rows[] = {
    {"", "no certificate in PEM form"},
    {"hello\n", "no certificate in PEM form"},
    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate in PEM form"},
    {"-----BEGIN CERTIFICATE-----\nAAAA\n", "no certificate in PEM form"},
};

START_TEST(test_no_certificate)
{
    struct tls_certificate_facts f;
    struct err err;

    ck_assert_int_eq(tls_certificate_judge(slice_of(bad_rows[_i].text), HOST, &f, &err), -1);
    ck_assert_msg(strstr(err.text, bad_rows[_i].why) != NULL, "%s", err.text);
}
END_TEST

START_TEST(test_endless_chain)
{
    struct tls_certificate_facts f;
    struct strbuf text = STRBUF_INIT;
    struct err err;

    for (int i = 0; i < 30; i++)
        strbuf_add_slice(&text, pem(leaf.x, NULL, NULL));
    ck_assert_int_eq(tls_certificate_judge(strbuf_slice(&text), HOST, &f, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "more than 19 certificates"));
    strbuf_free(&text);
}
END_TEST

/* ---- problems ------------------------------------------------------------------------------------------------ */

#define NOW 1800000000 /* 2027-01-15 */
#define DAY 86400

static const struct {
    struct tls_certificate_facts f;
    const char *reasons[TLS_CERTIFICATE_PROBLEMS]; /* NULL: no more */
} problem_rows[] = {
    {{true, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW + 14 * DAY, 2, "CA"}, {NULL}},
    {{true, TLS_CHAIN_UNTRUSTED, "x", NOW - DAY, NOW + 90 * DAY, 2, "CA"}, {NULL}},
    {{true, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW + 14 * DAY - 1, 2, "CA"}, {"ends in 13 days, on 2027-01-29"}},
    {{true, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW + DAY + 1, 2, "CA"}, {"ends within two days, on 2027-01-16"}},
    {{true, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW + 1, 2, "CA"}, {"ends within a day, on 2027-01-15"}},
    {{true, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW, 2, "CA"}, {"has expired on 2027-01-15"}},
    {{true, TLS_CHAIN_TRUSTED, "", NOW + 1, NOW + 90 * DAY, 2, "CA"}, {"is not valid yet, only from 2027-01-15 on"}},
    {{true, TLS_CHAIN_INCOMPLETE, "x", NOW - DAY, NOW + 90 * DAY, 1, "R10"},
     {"lacks its chain: the certificate of its issuer R10 is not there"}},
    {{true, TLS_CHAIN_SELF_SIGNED, "x", NOW - DAY, NOW + 90 * DAY, 1, "me"},
     {"is self-signed; Gmail and most mail programs refuse it"}},
    {{false, TLS_CHAIN_TRUSTED, "", NOW - DAY, NOW + 90 * DAY, 2, "CA"}, {"is not for the hostname " HOST}},
    {{false, TLS_CHAIN_INCOMPLETE, "x", NOW - DAY, NOW - 1, 1, "CA"},
     {"is not for the hostname " HOST, "has expired on 2027-01-15",
      "lacks its chain: the certificate of its issuer CA is not there"}},
};

START_TEST(test_problems)
{
    struct tls_certificate_problem out[TLS_CERTIFICATE_PROBLEMS];
    size_t n = tls_certificate_problems(&problem_rows[_i].f, HOST, NOW, TLS_CERTIFICATE_WARN_S, out), want = 0;

    while (want < TLS_CERTIFICATE_PROBLEMS && problem_rows[_i].reasons[want] != NULL)
        want++;
    ck_assert_uint_eq(n, want);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(out[i].reason, problem_rows[_i].reasons[i]);
        ck_assert_str_ne(out[i].fix, "");
    }
}
END_TEST

/* ---- proving --------------------------------------------------------------------------------------------------- */

static void refused(struct slice chain, struct slice key, const char *why)
{
    struct err err = {.text = ""};
    ck_assert_int_eq(tls_certificate_prove(chain, key, HOST, &err), -1);
    ck_assert_msg(strstr(err.text, why) != NULL, "\"%s\" does not tell of \"%s\"", err.text, why);
}

START_TEST(test_prove)
{
    struct made old = make(HOST, "DNS:" HOST, &middle, -7200, -3600),
                early = make(HOST, "DNS:" HOST, &middle, 60, 3600);
    struct made foreign = make("www", "DNS:www.example.test", &middle, -60, 3600);
    struct made namesake = make("Test middle", NULL, &root, -60, 3600);
    struct slice key = pem_key(leaf.key);
    struct err err;

    ck_assert_int_eq(tls_certificate_prove(pem(leaf.x, middle.x, NULL), key, HOST, &err), 0);
    ck_assert_int_eq(tls_certificate_prove(pem(leaf.x, middle.x, root.x), key, HOST, &err), 0);
    ck_assert_int_eq(tls_certificate_prove(pem(leaf.x, NULL, NULL), key, HOST, &err),
                     0); /* by a root, for all we know */
    refused(pem(leaf.x, other.x, NULL), key, "certificate 1 of the chain");
    refused(pem(leaf.x, middle.x, other.x), key, "certificate 2 of the chain");
    refused(pem(leaf.x, namesake.x, NULL), key, "certificate 1 of the chain"); /* the issuer's name, not its key */
    refused(pem(middle.x, leaf.x, NULL), key, "for another key");
    refused(pem(leaf.x, middle.x, NULL), pem_key(middle.key), "for another key");
    refused(pem(old.x, middle.x, NULL), pem_key(old.key), "expired");
    refused(pem(early.x, middle.x, NULL), pem_key(early.key), "not valid yet");
    refused(pem(foreign.x, middle.x, NULL), pem_key(foreign.key), "is not for " HOST);
    refused(SLICE("garbage"), key, "no certificate");
    refused(pem(leaf.x, middle.x, NULL), SLICE("garbage"), "no private key");
    drop(&old);
    drop(&early);
    drop(&foreign);
    drop(&namesake);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("certificate");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_chain);
    tcase_add_test(tc, test_chain_whatever_the_time);
    tcase_add_loop_test(tc, test_names, 0, ARRAY_LEN(name_rows));
    tcase_add_loop_test(tc, test_no_certificate, 0, ARRAY_LEN(bad_rows));
    tcase_add_test(tc, test_endless_chain);
    tcase_add_loop_test(tc, test_problems, 0, ARRAY_LEN(problem_rows));
    tcase_add_test(tc, test_prove);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
