/* The last look at a message of ours: what is right passes, and whatever is changed after signing does not. */
#include "forge.h"

#include "../../src/dkim/internal.h"

#define FIELDS "Received: by mail\r\nFrom: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: hi\r\n there\r\n"
#define BODY   "Hi there\r\n\r\nend\r\n"

static struct arena mem;
static struct dkim_key *ed, *rsa, *other;

static struct dkim_key *parse(const char *pem, const char *selector)
{
    struct dkim_key *key = NULL;
    struct err err = {""};
    ck_assert_msg(dkim_key_parse_bits(slice_of(pem), "key", "example.com", selector, 1024, &key, &err) == 0, "%s",
                  err.text);
    return key;
}

static void setup(void)
{
    struct strbuf pem = STRBUF_INIT;
    mem = ARENA_INIT(0);
    ed = parse(rfc8463_ed25519_pem, "e1");
    rsa = parse(rfc8463_rsa_pem, "r1");
    ck_assert_int_eq(dkim_key_generate(DKIM_ED25519_SHA256, 0, &pem, NULL), 0);
    other = parse(strbuf_str(&pem), "e1");
    strbuf_free(&pem);
}

static void teardown(void)
{
    dkim_key_free(&ed);
    dkim_key_free(&rsa);
    dkim_key_free(&other);
    arena_free(&mem);
}

/* The header with a signature by each key, and its empty line. */
static struct strbuf signed_head(struct dkim_key *const *keys, size_t n, const char *header, const char *body)
{
    struct field_list fields;
    struct strbuf out = STRBUF_INIT, canonical = STRBUF_INIT;
    unsigned char hash[DKIM_HASH_SIZE];
    ck_assert_int_eq(fields_parse(&mem, slice_of(header), &fields, NULL), 0);
    naive_body(&canonical, slice_of(body));
    forge_sha256(strbuf_slice(&canonical), hash);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(dkim_sign(keys[i], &fields, hash, 1528637909, &out, NULL), 0);
    strbuf_add_str(&out, header);
    strbuf_add_str(&out, "\r\n");
    strbuf_free(&canonical);
    return out;
}

static int check(struct slice head, struct slice body, struct dkim_key *const *keys, size_t n, struct err *err)
{
    struct forge_body text = {body};
    struct dkim_body_source source = {forge_read, &text};
    return dkim_check_own(head, &source, keys, n, 1528637909, err);
}

START_TEST(test_good)
{
    struct dkim_key *const keys[] = {rsa, ed};
    struct err err = {""};
    struct strbuf head = signed_head(keys, 2, FIELDS, BODY);
    ck_assert_msg(check(strbuf_slice(&head), SLICE(BODY), keys, 2, &err) == 0, "%s", err.text);
    /* in any order of the keys */
    struct dkim_key *const turned[] = {ed, rsa};
    ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), turned, 2, &err), 0);
    strbuf_free(&head);
    /* a message that was signed before, by others or by us, and one without a body */
    head = signed_head(keys, 2, "DKIM-Signature: v=1; b=rubbish\r\n" FIELDS, "");
    ck_assert_msg(check(strbuf_slice(&head), SLICE(""), keys, 2, &err) == 0, "%s", err.text);
    strbuf_free(&head);
}
END_TEST

/* Whatever bit of a message flips, it is found: all of this header but Received is signed. */
START_TEST(test_every_octet)
{
    struct dkim_key *const keys[] = {rsa, ed};
    struct strbuf head = signed_head(keys, 2, FIELDS, BODY), body = STRBUF_INIT;
    size_t trace = slice_find_slice(strbuf_slice(&head), SLICE("Received:"));
    size_t from = slice_find_slice(strbuf_slice(&head), SLICE("From: Ann"));
    strbuf_add_str(&body, BODY);
    for (size_t i = 0; i < head.n; i++) {
        head.p[i] ^= 1;
        ck_assert_msg((i >= trace && i < from) || check(strbuf_slice(&head), SLICE(BODY), keys, 2, NULL) == -1,
                      "octet %zu of %s", i, head.p);
        head.p[i] ^= 1;
    }
    for (size_t i = 0; i < body.n; i++) {
        body.p[i] ^= 1;
        ck_assert_msg(check(strbuf_slice(&head), strbuf_slice(&body), keys, 2, NULL) == -1, "body octet %zu", i);
        body.p[i] ^= 1;
    }
    for (size_t i = 0; i < head.n; i++)
        ck_assert_int_eq(check(slice_sub(strbuf_slice(&head), 0, i), SLICE(BODY), keys, 2, NULL), -1);
    ck_assert_int_eq(check(strbuf_slice(&head), strbuf_slice(&body), keys, 2, NULL), 0);
    strbuf_free(&head);
    strbuf_free(&body);
}
END_TEST

START_TEST(test_keys)
{
    struct dkim_key *const both[] = {rsa, ed}, *const one[] = {ed}, *const twice[] = {ed, ed};
    struct dkim_key *const wrong[] = {other}, *const mixed[] = {rsa, other};
    struct err err = {""};
    struct strbuf head = signed_head(both, 2, FIELDS, BODY);
    static const struct {
        size_t set;
        size_t n;
        const char *words;
    } rows[] = {
        {0, 1, "does not verify"}, /* RSA on top, and only the Ed25519 key is known */
        {1, 2, "does not verify"}, /* the same key twice */
        {2, 1, "does not verify"}, /* another key with this name */
        {3, 2, "does not verify"}, {4, 0, "0 keys"},
    };
    struct dkim_key *const *const sets[] = {one, twice, wrong, mixed, both};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), sets[rows[i].set], rows[i].n, &err), -1);
        ck_assert_msg(strstr(err.text, rows[i].words) != NULL, "row %zu: %s", i, err.text);
    }
    strbuf_free(&head);
    /* one signature too few; the same signature twice */
    head = signed_head(one, 1, FIELDS, BODY);
    ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), both, 2, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is no DKIM-Signature"));
    strbuf_free(&head);
    struct dkim_key *const doubled[] = {ed, ed};
    head = signed_head(doubled, 2, FIELDS, BODY);
    struct dkim_key *const pair[] = {ed, rsa};
    ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), pair, 2, &err), -1);
    ck_assert_msg(strstr(err.text, "by one twice") != NULL, "%s", err.text);
    strbuf_free(&head);
}
END_TEST

/* Heads that no verifier would take for what they are. */
static const char *const bad_heads[] = {
    "",          "\r\n", "\r\n\r\n", "From: a\r\n", "From: a\r\n\r\n", "From: a\r\n\r\nmore", "From: a\r\n\r\n\r\n",
    " x\r\n\r\n"};

START_TEST(test_bad_heads)
{
    struct dkim_key *const keys[] = {ed};
    struct err err = {""};
    ck_assert_int_eq(check(slice_of(bad_heads[_i]), SLICE(BODY), keys, 1, &err), -1);
    ck_assert_str_ne(err.text, "");
}
END_TEST

/* A second empty line would make a body of what was signed as header. */
START_TEST(test_early_end)
{
    struct dkim_key *const keys[] = {ed};
    struct err err = {""};
    struct strbuf head = signed_head(keys, 1, FIELDS, BODY);
    strbuf_truncate(&head, head.n - 2);
    strbuf_add_str(&head, "\r\nX: y\r\n\r\n");
    ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), keys, 1, &err), -1);
    ck_assert_msg(strstr(err.text, "does not end where it should") != NULL, "%s", err.text);
    strbuf_free(&head);
}
END_TEST

/* Signatures that verify, but that are not such as we make: of a part of the body. */
START_TEST(test_partial)
{
    struct dkim_key *const keys[] = {ed};
    EVP_PKEY *key = forge_key(rfc8463_ed25519_pem);
    struct err err = {""};
    struct strbuf head = STRBUF_INIT;
    forge(&head, "s=e1|l=3", key, SLICE(FIELDS), SLICE(BODY));
    strbuf_add_str(&head, FIELDS "\r\n");
    ck_assert_int_eq(check(strbuf_slice(&head), SLICE(BODY), keys, 1, &err), -1);
    ck_assert_msg(strstr(err.text, "whole body") != NULL, "%s", err.text);
    strbuf_free(&head);
    EVP_PKEY_free(key);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dkim own messages");
    TCase *tc = tcase_create("check");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_good);
    tcase_add_test(tc, test_every_octet);
    tcase_add_test(tc, test_keys);
    tcase_add_loop_test(tc, test_bad_heads, 0, (int)ARRAY_LEN(bad_heads));
    tcase_add_test(tc, test_early_end);
    tcase_add_test(tc, test_partial);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
