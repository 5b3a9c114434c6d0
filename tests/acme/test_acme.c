/* The parts that need no authority: keys, signatures, identifiers, documents, the schedule. */
#include "../../src/acme/internal.h"
#include "testing.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

/* ---- keys and signatures --------------------------------------------------------------------- */

/* RFC 7515 A.3.1 */
static const char example_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                  "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
                                  "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
                                  "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                  "-----END EC PRIVATE KEY-----\n";
static const char example_jwk[] =
    "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";

START_TEST(test_jwk)
{
    struct strbuf jwk = STRBUF_INIT, print = STRBUF_INIT;
    EVP_PKEY *key = acme_key_parse(slice_of(example_key)), *other = EVP_EC_gen("P-384");

    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(acme_jwk(key, &jwk), 0);
    ck_assert_str_eq(strbuf_str(&jwk), example_jwk);
    acme_thumbprint(strbuf_slice(&jwk), &print);
    ck_assert_str_eq(strbuf_str(&print), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    strbuf_reset(&jwk);
    ck_assert_int_eq(acme_jwk(other, &jwk), -1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    strbuf_free(&jwk);
    strbuf_free(&print);
}
END_TEST

/* RFC 7638 3.1 */
START_TEST(test_thumbprint)
{
    static const char rsa[] =
        "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK"
        "7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd"
        "2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}";
    struct strbuf print = STRBUF_INIT;

    acme_thumbprint(slice_of(rsa), &print);
    ck_assert_str_eq(strbuf_str(&print), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    strbuf_free(&print);
}
END_TEST

static void decode(const char *text, struct strbuf *out)
{
    struct strbuf plain = STRBUF_INIT;

    strbuf_add_str(&plain, text);
    for (size_t i = 0; i < plain.n; i++)
        plain.p[i] = plain.p[i] == '-' ? '+' : plain.p[i] == '_' ? '/' : plain.p[i];
    while (plain.n % 4 != 0)
        strbuf_add_char(&plain, '=');
    ck_assert_int_eq(base64_decode(out, strbuf_slice(&plain)), 0);
    strbuf_free(&plain);
}

/* Does the signature hold, by OpenSSL and from the text alone? */
static bool holds(const char *header, const char *payload, const char *signature, EVP_PKEY *key)
{
    struct strbuf input = STRBUF_INIT, raw = STRBUF_INIT;
    unsigned char *der = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    strbuf_addf(&input, "%s.%s", header, payload);
    decode(signature, &raw);
    ck_assert_uint_eq(raw.n, 64);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn((unsigned char *)raw.p, 32, NULL), BN_bin2bn((unsigned char *)raw.p + 32, 32, NULL));
    int n = i2d_ECDSA_SIG(sig, &der);
    bool ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)n, (unsigned char *)input.p, input.n) == 1;
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG_free(sig);
    OPENSSL_free(der);
    strbuf_free(&input);
    strbuf_free(&raw);
    return ok;
}

START_TEST(test_jws)
{
    EVP_PKEY *key = acme_key_parse(slice_of(example_key));
    struct strbuf jws = STRBUF_INIT, header = STRBUF_INIT, payload = STRBUF_INIT;
    const char *kid = _i % 2 == 0 ? NULL : "https://ca.test/a/1";
    const char *p, *b, *s;

    ck_assert_int_eq(acme_jws(key, kid, "nonce\"1", "https://ca.test/x", SLICE("{\"a\":1}"), &jws), 0);
    json_t *doc = json_loadb(jws.p, jws.n, 0, NULL);
    ck_assert_int_eq(json_unpack(doc, "{s:s, s:s, s:s !}", "protected", &p, "payload", &b, "signature", &s), 0);
    ck_assert(holds(p, b, s, key));
    decode(p, &header);
    decode(b, &payload);
    ck_assert_str_eq(strbuf_str(&payload), "{\"a\":1}");
    strbuf_reset(&payload);
    if (kid != NULL)
        strbuf_add_str(&payload, "{\"alg\":\"ES256\",\"nonce\":\"nonce\\\"1\",\"url\":\"https://ca.test/"
                                 "x\",\"kid\":\"https://ca.test/a/1\"}");
    else
        strbuf_addf(&payload, "{\"alg\":\"ES256\",\"nonce\":\"nonce\\\"1\",\"url\":\"https://ca.test/x\",\"jwk\":%s}",
                    example_jwk);
    ck_assert_str_eq(strbuf_str(&header), strbuf_str(&payload));
    json_decref(doc);
    strbuf_free(&jws);
    strbuf_free(&header);
    strbuf_free(&payload);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(test_csr)
{
    struct strbuf der = STRBUF_INIT;
    EVP_PKEY *key = EVP_EC_gen("P-256");

    ck_assert_int_eq(acme_csr(key, "mail.example.org", &der), 0);
    const unsigned char *p = (const unsigned char *)der.p;
    X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)der.n);
    ck_assert_ptr_nonnull(request);
    ck_assert_int_eq(X509_REQ_verify(request, key), 1);
    ck_assert_int_eq(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    ck_assert_int_eq(sk_GENERAL_NAME_num(names), 1);
    const ASN1_STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), NULL);
    ck_assert_str_eq((const char *)ASN1_STRING_get0_data(name), "mail.example.org");
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    strbuf_free(&der);
}
END_TEST

/* RFC 8737 3: the extension, critical, with the digest in an OCTET STRING of its own. */
START_TEST(test_alpn_certificate)
{
    EVP_PKEY *key = NULL;
    X509 *x = acme_alpn_certificate("mail.example.org", "token.thumbprint", &key);
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    unsigned char want[34] = {4, 32};

    ck_assert_ptr_nonnull(x);
    int at = X509_get_ext_by_OBJ(x, oid, -1);
    ck_assert_int_ge(at, 0);
    X509_EXTENSION *e = X509_get_ext(x, at);
    ck_assert_int_eq(X509_EXTENSION_get_critical(e), 1);
    SHA256((const unsigned char *)"token.thumbprint", 16, want + 2);
    ck_assert_int_eq(ASN1_STRING_length(X509_EXTENSION_get_data(e)), 34);
    ck_assert_mem_eq(ASN1_STRING_get0_data(X509_EXTENSION_get_data(e)), want, 34);
    ck_assert_int_eq(X509_check_host(x, "mail.example.org", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL), 1);
    ck_assert_int_eq(X509_check_private_key(x, key), 1);
    ASN1_OBJECT_free(oid);
    X509_free(x);
    EVP_PKEY_free(key);
}
END_TEST

/* RFC 9773 4.1, appendix A */
START_TEST(test_certificate_id)
{
    static const char example[] = "-----BEGIN CERTIFICATE-----\n"
                                  "MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt\n"
                                  "cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS\n"
                                  "BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu\n"
                                  "7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf\n"
                                  "qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B\n"
                                  "yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb\n"
                                  "+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK\n"
                                  "-----END CERTIFICATE-----\n";
    struct strbuf id = STRBUF_INIT;
    EVP_PKEY *key = NULL;

    ck_assert_int_eq(acme_certificate_id(slice_of(example), &id), 0);
    ck_assert_str_eq(strbuf_str(&id), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    strbuf_reset(&id);
    ck_assert_int_eq(acme_certificate_id(SLICE("garbage"), &id), -1);
    X509 *x = acme_alpn_certificate("a.test", "t", &key); /* without a key identifier */
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    PEM_write_bio_X509(bio, x);
    long n = BIO_get_mem_data(bio, &text);
    ck_assert_int_eq(acme_certificate_id(slice_from(text, (size_t)n), &id), -1);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
    strbuf_free(&id);
}
END_TEST

/* ---- documents ------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int64_t seconds; /* -1 = refused */
} time_rows[] = {
    {"2021-01-03T00:00:00Z", 1609632000},
    {"2021-01-03t00:00:00z", 1609632000},
    {"2021-01-03T00:00:00.123456Z", 1609632000},
    {"2021-01-03T02:00:00+02:00", 1609632000},
    {"2021-01-02T19:30:00-04:30", 1609632000},
    {"2016-12-31T23:59:60Z", 1483228800},
    {"2021-13-03T00:00:00Z", -1},
    {"2021-00-03T00:00:00Z", -1},
    {"2021-01-32T00:00:00Z", -1},
    {"2021-01-03T24:00:00Z", -1},
    {"2021-01-03T00:60:00Z", -1},
    {"2021-01-03 00:00:00Z", -1},
    {"2021-01-03T00:00:00", -1},
    {"2021-01-03T00:00:00.Z", -1},
    {"2021-01-03T00:00:00+24:00", -1},
    {"2021-01-03T00:00:00+0100", -1},
    {"1969-12-31T00:00:00Z", -1},
    {"x021-01-03T00:00:00Z", -1},
    {"", -1},
    {"2021-01-03T00:00:00Zx", -1},
};

START_TEST(test_time)
{
    int64_t found = 0;
    int rc = acme_time_parse(slice_of(time_rows[_i].text), &found);
    ck_assert_int_eq(rc, time_rows[_i].seconds < 0 ? -1 : 0);
    if (rc == 0)
        ck_assert_int_eq(found, time_rows[_i].seconds);
}
END_TEST

static const struct {
    const char *url;
    bool ok;
} url_rows[] = {
    {"https://ca.test/x?y=z", true}, {"https://[::1]:14000/", true},
    {"http://ca.test/", false},      {"https://", false},
    {"https:///x", false},           {"https://ca.test/ x", false},
    {"https://ca.test/\n", false},   {"https://ca.test/\"", false},
    {"HTTPS://ca.test/", false},     {"", false},
    {"ftp://ca.test/", false},       {"https://ca.test/\x80", false},
};

START_TEST(test_url)
{
    ck_assert_int_eq(acme_url_ok(url_rows[_i].url), url_rows[_i].ok);
}
END_TEST

static const struct {
    const char *body, *why; /* NULL: good */
} window_rows[] = {
    {"{\"suggestedWindow\":{\"start\":\"2021-01-03T00:00:00Z\",\"end\":\"2021-01-07T00:00:00Z\"}}", NULL},
    {"{\"suggestedWindow\":{\"start\":\"2021-01-03T00:00:00Z\",\"end\":\"2021-01-03T00:00:00Z\"}}",
     "ends before it starts"},
    {"{\"suggestedWindow\":{\"start\":\"2021-01-03T00:00:00Z\",\"end\":\"2021-01-02T00:00:00Z\"}}",
     "ends before it starts"},
    {"{\"suggestedWindow\":{\"start\":\"2021-01-03T00:00:00Z\"}}", "no window"},
    {"{\"suggestedWindow\":[]}", "no window"},
    {"{}", "no window"},
    {"[]", "no JSON object"},
    {"", "no JSON object"},
};

START_TEST(test_window)
{
    struct acme_window w = {0};
    struct err err = {.text = ""};
    int rc = acme_window_parse(slice_of(window_rows[_i].body), &w, &err);

    ck_assert_int_eq(rc, window_rows[_i].why == NULL ? 0 : -1);
    if (rc < 0)
        ck_assert_msg(strstr(err.text, window_rows[_i].why) != NULL, "%s", err.text);
    else
        ck_assert_int_eq(w.end - w.start, 4 * 86400);
}
END_TEST

/* ---- the responder --------------------------------------------------------------------------- */

#define PLACE "/.well-known/acme-challenge/"
static const struct {
    const char *head;
    bool found;
} head_rows[] = {
    {"GET " PLACE "tok HTTP/1.1\r\nHost: a\r\n\r\n", true},
    {"GET " PLACE "tok HTTP/1.0\r\n\r\n", true},
    {"GET " PLACE "toK HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE "tok2 HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE "to HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE " HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE "tok?a HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE "../tok HTTP/1.1\r\n\r\n", false},
    {"GET /" PLACE "tok HTTP/1.1\r\n\r\n", false},
    {"POST " PLACE "tok HTTP/1.1\r\n\r\n", false},
    {"HEAD " PLACE "tok HTTP/1.1\r\n\r\n", false},
    {"GET " PLACE "tok\r\n\r\n", false},
    {"GET  " PLACE "tok HTTP/1.1\r\n\r\n", false},
    {"GET / HTTP/1.1\r\n\r\n", false},
    {"", false},
};

START_TEST(test_asks)
{
    ck_assert_int_eq(acme_responder_asks(slice_of(head_rows[_i].head), "tok"), head_rows[_i].found);
    ck_assert(!acme_responder_asks(slice_of(head_rows[_i].head), "")); /* nothing is live */
}
END_TEST

START_TEST(test_ports)
{
    ck_assert_int_eq(acme_challenge_of_port(80), ACME_HTTP_01);
    ck_assert_int_eq(acme_challenge_of_port(8080), ACME_HTTP_01);
    ck_assert_int_eq(acme_challenge_of_port(443), ACME_TLS_ALPN_01);
    ck_assert_int_eq(acme_challenge_of_port(8443), ACME_TLS_ALPN_01);
    ck_assert_int_eq(acme_challenge_of_port(4430), ACME_HTTP_01);
}
END_TEST

/* ---- the schedule ---------------------------------------------------------------------------- */

static const struct {
    enum acme_failure_kind kind;
    unsigned failures;
    int64_t asked, wait;
} backoff_rows[] = {
    {ACME_FAILURE_NETWORK, 1, -1, 60},
    {ACME_FAILURE_NETWORK, 2, -1, 120},
    {ACME_FAILURE_LOCAL, 7, -1, 3600},
    {ACME_FAILURE_LOCAL, 1000, -1, 3600},
    {ACME_FAILURE_REFUSED, 1, -1, 300},
    {ACME_FAILURE_REFUSED, 2, -1, 600},
    {ACME_FAILURE_REFUSED, 8, -1, 38400},
    {ACME_FAILURE_REFUSED, 10, -1, 86400},
    {ACME_FAILURE_REFUSED, 1000, -1, 86400},
    {ACME_FAILURE_LIMITED, 1, -1, 3600},
    {ACME_FAILURE_LIMITED, 1, 7200, 7200},
    {ACME_FAILURE_LIMITED, 1, 604800, 604800},
    {ACME_FAILURE_LIMITED, 1, 1LL << 60, 691200},
    {ACME_FAILURE_NETWORK, 1, 900, 900},
    {ACME_FAILURE_LIMITED, 1, 0, 300},
};

START_TEST(test_backoff)
{
    struct acme_failure f = {.kind = backoff_rows[_i].kind, .retry_after_s = backoff_rows[_i].asked};

    ck_assert_int_eq(acme_backoff_s(&f, backoff_rows[_i].failures, 0), backoff_rows[_i].wait);
    /* never less, a quarter more at most */
    ck_assert_int_eq(acme_backoff_s(&f, backoff_rows[_i].failures, UINT32_MAX),
                     backoff_rows[_i].wait + backoff_rows[_i].wait / 4);
}
END_TEST

/* Let's Encrypt: 5 failed validations of a name an hour. */
START_TEST(test_first_hour)
{
    struct acme_failure f = {.kind = ACME_FAILURE_REFUSED, .retry_after_s = -1};
    int64_t at = 0;
    unsigned attempts = 0;

    while (at < 3600)
        at += acme_backoff_s(&f, ++attempts, 0);
    ck_assert_uint_lt(attempts, 5);
}
END_TEST

START_TEST(test_renew_at)
{
    struct acme_state s = {.failures = 0};
    struct acme_window w = {1000, 2000};

    ck_assert_int_eq(acme_renew_at(&s, "id", 0, 9000), 6000); /* two thirds */
    ck_assert_int_eq(acme_renew_at(&s, "", 0, 9000), 6000);
    acme_renewal_choose(&s, "id", &w, 0);
    ck_assert_int_eq(acme_renew_at(&s, "id", 0, 9000), 1000);
    acme_renewal_choose(&s, "id", &w, UINT32_MAX); /* the same window: the choice stays */
    ck_assert_int_eq(acme_renew_at(&s, "id", 0, 9000), 1000);
    w.end = 3000;
    acme_renewal_choose(&s, "id", &w, UINT32_MAX);
    ck_assert_int_eq(acme_renew_at(&s, "id", 0, 9000), 3000);
    ck_assert_int_eq(acme_renew_at(&s, "other", 0, 9000), 6000); /* it was said of another certificate */
    w.start = 100000;
    w.end = 200000;
    acme_renewal_choose(&s, "id", &w, 1);
    ck_assert_int_eq(acme_renew_at(&s, "id", 0, 9000), 8100); /* never in the last tenth */
}
END_TEST

START_TEST(test_check_after)
{
    ck_assert_int_eq(acme_check_after_s(-1), 6 * 3600);
    ck_assert_int_eq(acme_check_after_s(0), 60);
    ck_assert_int_eq(acme_check_after_s(21600), 21600);
    ck_assert_int_eq(acme_check_after_s(1LL << 60), 86400);
}
END_TEST

/* A clock that was years ahead when the wait began. */
static const struct {
    unsigned failures;
    bool limited;
    int64_t next_attempt, check_at; /* from now */
    int64_t next_after, check_after;
} clamp_rows[] = {
    {0, false, 3600, 60, 3600, 60},
    {0, false, 1000000, 86400, 3600, 86400},
    {1, false, 375, 0, 375, 0},
    {1, false, 1000000000, 1000000000, 3600, 86400},
    {8, false, 40000, 0, 40000, 0},
    {8, false, 50000, 0, 38400, 0},
    {1000, false, 1000000000, 0, 86400, 0},
    {1, true, 691200, 0, 691200, 0},
    {1, true, 1000000000, 0, 691200, 0},
    {3, false, -100, -100, -100, -100},
};

START_TEST(test_clamp)
{
    enum { NOW = 1800000000 };
    struct acme_state s = {.failures = clamp_rows[_i].failures,
                           .limited = clamp_rows[_i].limited,
                           .next_attempt = NOW + clamp_rows[_i].next_attempt,
                           .check_at = NOW + clamp_rows[_i].check_at};

    acme_state_clamp(&s, NOW);
    ck_assert_int_eq(s.next_attempt - NOW, clamp_rows[_i].next_after);
    ck_assert_int_eq(s.check_at - NOW, clamp_rows[_i].check_after);
    acme_state_clamp(&s, NOW + 60); /* it does not move on with the clock */
    ck_assert_int_eq(s.next_attempt - NOW, clamp_rows[_i].next_after);
}
END_TEST

START_TEST(test_state)
{
    struct acme_state s = {.directory = "https://ca.test/dir",
                           .account = "https://ca.test/a/1",
                           .email = "me@example.org",
                           .issued_by = "https://ca.test/dir",
                           .failures = 3,
                           .next_attempt = 1800000000,
                           .limited = true,
                           .prefer = ACME_TLS_ALPN_01,
                           .reason = "validation: \"connection\"",
                           .fix = "open the port",
                           .since = 1700000000,
                           .unnamed = true,
                           .renewal = {"aki.serial", {1, 2}, 3},
                           .check_at = 4};
    struct acme_state back, empty = {.failures = 0};
    struct strbuf text = STRBUF_INIT;

    ck_assert_int_eq(acme_state_print(&s, &text), 0);
    ck_assert_int_eq(acme_state_parse(strbuf_slice(&text), &back), 0);
    ck_assert_mem_eq(&back, &s, sizeof(s));
    strbuf_reset(&text);
    ck_assert_int_eq(acme_state_parse(SLICE("{}"), &back), 0);
    ck_assert_mem_eq(&back, &empty, sizeof(back));
    /* of the wrong kind: as if it were not there */
    ck_assert_int_eq(
        acme_state_parse(SLICE("{\"failures\":\"x\",\"next_attempt\":-5,\"account\":\"http://x\",\"directory\":7,"
                               "\"renewal\":[],\"limited\":1,\"challenge\":null,\"reason\":{}}"),
                         &back),
        0);
    ck_assert_mem_eq(&back, &empty, sizeof(back));
    ck_assert_int_eq(acme_state_parse(SLICE("{\"failures\":99999999999}"), &back), 0);
    ck_assert_uint_eq(back.failures, 1000);
    ck_assert_int_eq(acme_state_parse(SLICE("{"), &back), -1);
    ck_assert_int_eq(acme_state_parse(SLICE(""), &back), -1);
    ck_assert_int_eq(acme_state_parse(SLICE("[]"), &back), -1);
    strbuf_free(&text);
}
END_TEST

/* ---- the files ------------------------------------------------------------------------------- */

static char folder[64];
static struct config_acme acme;
static struct config config;

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/sendas-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    acme.dir = folder;
    config.tls.acme = &acme;
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
    struct strbuf path = STRBUF_INIT;
    struct err err;
    acme_path(&config, name, &path);
    ck_assert_int_eq(file_write(strbuf_str(&path), slice_of(text), 0600, &err), 0);
    strbuf_free(&path);
}

static void has(const char *name, const char *want) /* NULL: it is not there */
{
    struct strbuf path = STRBUF_INIT, text = STRBUF_INIT;
    struct err err;
    acme_path(&config, name, &path);
    int rc = file_read(strbuf_str(&path), 1000, true, &text, &err);
    ck_assert_msg((rc == 0) == (want != NULL), "%s", name);
    if (want != NULL)
        ck_assert_str_eq(strbuf_str(&text), want);
    strbuf_free(&path);
    strbuf_free(&text);
}

START_TEST(test_save)
{
    struct acme_save *s = acme_save_new(&config);
    struct err err = {.text = ""};

    put("fullchain.pem.new", "stale");
    strbuf_add_str(&s->account, "account");
    strbuf_add_str(&s->key, "key 1");
    strbuf_add_str(&s->chain, "chain 1");
    strbuf_add_str(&s->state, "{}");
    ck_assert_msg(acme_save_now(s, &err) == 0, "%s", err.text);
    acme_save_free(&s);
    has("account.pem", "account");
    has("privkey.pem", "key 1");
    has("fullchain.pem", "chain 1");
    has("state.json", "{}");
    has("privkey.pem.new", NULL);
    has("fullchain.pem.new", NULL);
}
END_TEST

/* Each moment at which a crash may come between the first and the last file. */
static const struct {
    const char *key, *key_new, *chain, *chain_new; /* before */
    const char *key_after, *chain_after;
} crash_rows[] = {
    {"k1", NULL, "c1", NULL, "k1", "c1"}, {"k1", "k2", "c1", NULL, "k1", "c1"}, {"k1", "k2", "c1", "c2", "k2", "c2"},
    {"k2", NULL, "c1", "c2", "k2", "c2"}, {"k2", NULL, "c2", NULL, "k2", "c2"}, {NULL, "k2", NULL, "c2", "k2", "c2"},
    {NULL, "k2", NULL, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL, NULL},
};

START_TEST(test_recover)
{
    const char *const names[] = {"privkey.pem", "privkey.pem.new", "fullchain.pem", "fullchain.pem.new"};
    const char *const texts[] = {crash_rows[_i].key, crash_rows[_i].key_new, crash_rows[_i].chain,
                                 crash_rows[_i].chain_new};

    for (size_t i = 0; i < 4; i++)
        if (texts[i] != NULL)
            put(names[i], texts[i]);
    acme_recover(&config);
    has("privkey.pem", crash_rows[_i].key_after);
    has("fullchain.pem", crash_rows[_i].chain_after);
    has("privkey.pem.new", NULL);
    has("fullchain.pem.new", NULL);
}
END_TEST

START_TEST(test_status)
{
    struct acme_status status;
    struct err err;

    ck_assert_int_eq(acme_status_read(&config, &status, &err), 0);
    ck_assert_uint_eq(status.failures, 0);
    put("state.json", "{\"failures\":2,\"reason\":\"order: rateLimited: x\",\"fix\":\"wait\",\"since\":1700000000,"
                      "\"unnamed\":true,\"next_attempt\":1800000000}");
    ck_assert_int_eq(acme_status_read(&config, &status, &err), 0);
    ck_assert_uint_eq(status.failures, 2);
    ck_assert_str_eq(status.reason, "order: rateLimited: x");
    ck_assert_int_eq(status.next_attempt, 1800000000);
    ck_assert_str_eq(status.fix, "wait");
    ck_assert_int_eq(status.since, 1700000000);
    ck_assert(status.unnamed && !status.limited && !status.under_way);
    ck_assert_int_eq(status.renew_at, 0);
    put("state.json", "{");
    ck_assert_int_eq(acme_status_read(&config, &status, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("acme");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_add_test(tc, test_jwk);
    tcase_add_test(tc, test_thumbprint);
    tcase_add_loop_test(tc, test_jws, 0, 40); /* also with zeros in front of r and s, now and then */
    tcase_add_test(tc, test_csr);
    tcase_add_test(tc, test_alpn_certificate);
    tcase_add_test(tc, test_certificate_id);
    tcase_add_loop_test(tc, test_time, 0, ARRAY_LEN(time_rows));
    tcase_add_loop_test(tc, test_url, 0, ARRAY_LEN(url_rows));
    tcase_add_loop_test(tc, test_window, 0, ARRAY_LEN(window_rows));
    tcase_add_loop_test(tc, test_asks, 0, ARRAY_LEN(head_rows));
    tcase_add_test(tc, test_ports);
    tcase_add_loop_test(tc, test_backoff, 0, ARRAY_LEN(backoff_rows));
    tcase_add_test(tc, test_first_hour);
    tcase_add_test(tc, test_renew_at);
    tcase_add_test(tc, test_check_after);
    tcase_add_loop_test(tc, test_clamp, 0, ARRAY_LEN(clamp_rows));
    tcase_add_test(tc, test_state);
    tcase_add_test(tc, test_save);
    tcase_add_loop_test(tc, test_recover, 0, ARRAY_LEN(crash_rows));
    tcase_add_test(tc, test_status);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
