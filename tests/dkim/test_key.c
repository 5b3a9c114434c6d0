/* Keys: what is accepted, what is refused with which words, the records, and the signatures of RFC 8463. */
#include "../../src/dkim/internal.h"
#include "../testing.h"
#include "rfc8463.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
    const char *selector;
    bool ok;
} selector_rows[] = {
    {"s1", true},
    {"2026", true},
    {"a.b-c.d", true},
    {"S1", true},
    {"", false},
    {".", false},
    {"a.", false},
    {".a", false},
    {"a..b", false},
    {"-a", false},
    {"a-", false},
    {"a b", false},
    {"a;b", false},
    {"a=b", false},
    {"a\r\nb", false},
    {"s_1", false},
    {"\xc3\xa4", false},
    {"a/b", false},
    {"..", false},
    {"a23456789012345678901234567890123456789012345678901234567890123", true},
    {"a234567890123456789012345678901234567890123456789012345678901234", false},
};

START_TEST(test_selector)
{
    struct err err = {""};
    ck_assert_msg((dkim_selector_check(selector_rows[_i].selector, &err) == 0) == selector_rows[_i].ok,
                  "selector \"%s\": %s", selector_rows[_i].selector, err.text);
}
END_TEST

START_TEST(test_domain_is_checked)
{
    static const char *const bad[] = {"", "a b", "a;d=evil.example", "a..b", "x_y.example"};
    struct dkim_key *key = NULL;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(dkim_key_parse(slice_of(rfc8463_ed25519_pem), "k", bad[i], "s", &key, &err) == -1,
                      "domain \"%s\"", bad[i]);
    ck_assert_int_eq(dkim_key_parse(slice_of(rfc8463_ed25519_pem), "k",
                                    "B\xc3\xbc"
                                    "cher.Example",
                                    "s", &key, &err),
                     0);
    ck_assert_str_eq(dkim_key_domain(key), "xn--bcher-kva.example");
    ck_assert_str_eq(dkim_key_selector(key), "s");
    dkim_key_free(&key);
}
END_TEST

/* ---- the keys of RFC 8463 -------------------------------------------------------------------- */

static const struct {
    const char *pem, *record, *field, *b;
    enum dkim_algorithm algorithm;
    unsigned bits;
} rfc_rows[] = {
    {rfc8463_ed25519_pem, rfc8463_ed25519_record, rfc8463_ed25519_field, rfc8463_ed25519_b, DKIM_ED25519_SHA256, 256},
    {rfc8463_rsa_pem, rfc8463_rsa_record, rfc8463_rsa_field, rfc8463_rsa_b, DKIM_RSA_SHA256, 1024},
};

static struct dkim_key *rfc_key(int i)
{
    struct dkim_key *key = NULL;
    struct err err;
    ck_assert_int_eq(
        dkim_key_parse_bits(slice_of(rfc_rows[i].pem), "rfc", "football.example.com", "test", 1024, &key, &err), 0);
    return key;
}

START_TEST(test_rfc8463_record)
{
    struct strbuf record = STRBUF_INIT;
    struct dkim_key *key = rfc_key(_i);
    dkim_key_record(key, &record);
    ck_assert_slice_eq(strbuf_slice(&record), rfc_rows[_i].record);
    ck_assert_int_eq(dkim_key_algorithm(key), rfc_rows[_i].algorithm);
    strbuf_free(&record);
    dkim_key_free(&key);
}
END_TEST

/* Both algorithms are deterministic: the published signatures come out bit for bit. */
START_TEST(test_rfc8463_signature)
{
    struct arena a = ARENA_INIT(0);
    struct field_list fields;
    struct strbuf input = STRBUF_INIT, raw = STRBUF_INIT, b = STRBUF_INIT;
    struct field own = {.name = SLICE("DKIM-Signature"), .value = slice_of(rfc_rows[_i].field)};
    struct dkim_key *key = rfc_key(_i);
    struct err err;
    ck_assert_int_eq(fields_parse(&a, slice_of(rfc8463_header), &fields, &err), 0);
    for (size_t i = 0; i < fields.n; i++)
        dkim_relaxed_field(&input, &fields.v[i]);
    dkim_relaxed_field(&input, &own);
    strbuf_truncate(&input, input.n - 2);
    ck_assert_int_eq(dkim_key_sign(key, strbuf_slice(&input), &raw, &err), 0);
    base64_encode(&b, strbuf_slice(&raw));
    ck_assert_slice_eq(strbuf_slice(&b), rfc_rows[_i].b);
    dkim_key_free(&key);
    strbuf_free(&input);
    strbuf_free(&raw);
    strbuf_free(&b);
    arena_free(&a);
}
END_TEST

START_TEST(test_rfc8463_body_hash)
{
    unsigned char hash[DKIM_HASH_SIZE];
    struct strbuf text = STRBUF_INIT;
    struct dkim_body_hash *h = dkim_body_hash_new();
    ck_assert_int_eq(dkim_body_hash_update(h, slice_of(rfc8463_body)), 0);
    ck_assert_int_eq(dkim_body_hash_finish(h, hash), 0);
    base64_encode(&text, slice_from(hash, sizeof(hash)));
    ck_assert_slice_eq(strbuf_slice(&text), rfc8463_body_hash);
    strbuf_free(&text);
    dkim_body_hash_free(&h);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
    const char *pem, *words;
} refused_rows[] = {
    {rfc8463_rsa_pem, "1024 bits"},
    {"", "no private key"},
    {"hello", "no private key"},
    {"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v\n-----END PRIVATE KEY-----\n", "no private key"},
    {"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC "
     "KEY-----\n",
     "no private key"},
    {"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
     "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
     "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n",
     "type EC"},
    {"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
     "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiuvRnykF1BmgICCAAw\n"
     "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEK1TX2bdmPoFeJh22LbMnMAEQJnL\n"
     "0HXBG4jPUURGDhBr6VrKXtMWIiB3aKQ1UY1dQAeX1kVBFlIFRy8WtWl7kIyvPTtd\n"
     "OX2ypzlFWz/PpQOYdHk=\n"
     "-----END ENCRYPTED PRIVATE KEY-----\n",
     "passphrase"},
};

START_TEST(test_refused)
{
    struct dkim_key *key = NULL;
    struct err err = {""};
    ck_assert_int_eq(dkim_key_parse(slice_of(refused_rows[_i].pem), "NAME.pem", "example.com", "s1", &key, &err), -1);
    ck_assert_ptr_null(key);
    ck_assert_msg(strstr(err.text, refused_rows[_i].words) != NULL && strstr(err.text, "NAME.pem") != NULL, "%s",
                  err.text);
}
END_TEST

/* ---- keys of our own ------------------------------------------------------------------------- */

static const struct {
    enum dkim_algorithm algorithm;
    unsigned bits;
} generate_rows[] = {{DKIM_ED25519_SHA256, 0}, {DKIM_RSA_SHA256, 2048}};

START_TEST(test_generate)
{
    struct strbuf pem = STRBUF_INIT, record = STRBUF_INIT;
    struct dkim_key *key = NULL;
    struct err err = {""};
    ck_assert_msg(dkim_key_generate(generate_rows[_i].algorithm, generate_rows[_i].bits, &pem, &err) == 0, "%s",
                  err.text);
    ck_assert(slice_starts(strbuf_slice(&pem), SLICE("-----BEGIN PRIVATE KEY-----\n")));
    ck_assert_msg(dkim_key_parse(strbuf_slice(&pem), "new", "example.com", "s1", &key, &err) == 0, "%s", err.text);
    ck_assert_int_eq(dkim_key_algorithm(key), generate_rows[_i].algorithm);
    ck_assert(generate_rows[_i].bits == 0 || dkim_key_bits(key) == generate_rows[_i].bits);
    dkim_key_record(key, &record);
    ck_assert(slice_starts(strbuf_slice(&record),
                           _i == 0 ? SLICE("v=DKIM1; k=ed25519; p=") : SLICE("v=DKIM1; k=rsa; p=MIIB")));
    dkim_key_free(&key);
    /* cut short anywhere it is no key, and never a crash */
    for (size_t n = 0; n + 30 < pem.n; n += 37)
        ck_assert_int_eq(dkim_key_parse(slice_sub(strbuf_slice(&pem), 0, n), "cut", "example.com", "s1", &key, &err),
                         -1);
    strbuf_free(&pem);
    strbuf_free(&record);
}
END_TEST

START_TEST(test_generate_bits)
{
    static const unsigned bad[] = {0, 512, 1024, 2047, 8193, 100000};
    struct strbuf pem = STRBUF_INIT;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(dkim_key_generate(DKIM_RSA_SHA256, bad[i], &pem, &err), -1);
    ck_assert_uint_eq(pem.n, 0);
    strbuf_free(&pem);
}
END_TEST

/* The parts of two RSA keys do not make one: such a key would sign what nobody can verify. */
START_TEST(test_damaged_rsa)
{
    struct strbuf pem = STRBUF_INIT, der = STRBUF_INIT, bad = STRBUF_INIT;
    struct dkim_key *key = NULL;
    struct err err = {""};
    struct slice begin = SLICE("-----BEGIN PRIVATE KEY-----\n"), text, body;
    ck_assert_int_eq(dkim_key_generate(DKIM_RSA_SHA256, 2048, &pem, &err), 0);
    text = slice_skip(strbuf_slice(&pem), begin.n);
    struct strbuf joined = STRBUF_INIT;
    while (text.n > 0 && text.p[0] != '-') {
        text = slice_cut(text, '\n', &body);
        strbuf_add_slice(&joined, body);
    }
    ck_assert_int_eq(base64_decode(&der, strbuf_slice(&joined)), 0);
    der.p[der.n / 2] ^= 4; /* in the private exponent or a prime */
    strbuf_add_slice(&bad, begin);
    base64_encode(&bad, strbuf_slice(&der));
    strbuf_add_str(&bad, "\n-----END PRIVATE KEY-----\n");
    ck_assert_int_eq(dkim_key_parse(strbuf_slice(&bad), "damaged.pem", "example.com", "s1", &key, &err), -1);
    ck_assert_msg(strstr(err.text, "damaged.pem") != NULL, "%s", err.text);
    strbuf_free(&pem);
    strbuf_free(&der);
    strbuf_free(&bad);
    strbuf_free(&joined);
}
END_TEST

START_TEST(test_load)
{
    char path[] = "/tmp/sendas-key-XXXXXX";
    struct dkim_key *key = NULL;
    struct err err = {""};
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, rfc8463_ed25519_pem, strlen(rfc8463_ed25519_pem)), (ssize_t)strlen(rfc8463_ed25519_pem));
    ck_assert_int_eq(fchmod(fd, 0644), 0);
    ck_assert_int_eq(dkim_key_load(path, "example.com", "s1", &key, &err), -1);
    ck_assert_msg(strstr(err.text, "chmod") != NULL && strstr(err.text, path) != NULL, "%s", err.text);
    ck_assert_int_eq(fchmod(fd, 0600), 0);
    ck_assert_msg(dkim_key_load(path, "example.com", "s1", &key, &err) == 0, "%s", err.text);
    dkim_key_free(&key);
    close(fd);
    unlink(path);
    ck_assert_int_eq(dkim_key_load(path, "example.com", "s1", &key, &err), -1);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dkim keys");
    TCase *tc = tcase_create("key");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_selector, 0, (int)ARRAY_LEN(selector_rows));
    tcase_add_test(tc, test_domain_is_checked);
    tcase_add_loop_test(tc, test_rfc8463_record, 0, (int)ARRAY_LEN(rfc_rows));
    tcase_add_loop_test(tc, test_rfc8463_signature, 0, (int)ARRAY_LEN(rfc_rows));
    tcase_add_test(tc, test_rfc8463_body_hash);
    tcase_add_loop_test(tc, test_refused, 0, (int)ARRAY_LEN(refused_rows));
    tcase_add_loop_test(tc, test_generate, 0, (int)ARRAY_LEN(generate_rows));
    tcase_add_test(tc, test_generate_bits);
    tcase_add_test(tc, test_damaged_rsa);
    tcase_add_test(tc, test_load);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
