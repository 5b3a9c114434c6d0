/* The DKIM-Signature field: which fields it covers, how it is written, and that it verifies. */
#include "../../src/dkim/internal.h"
#include "../testing.h"
#include "naive_canon.h"
#include "rfc8463.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

static const unsigned char zero_hash[DKIM_HASH_SIZE];

static struct dkim_key *ed25519_key(const char *domain, const char *selector)
{
    struct dkim_key *key = NULL;
    struct err err = {""};
    ck_assert_msg(dkim_key_parse(slice_of(rfc8463_ed25519_pem), "rfc", domain, selector, &key, &err) == 0, "%s",
                  err.text);
    return key;
}

/* Signs `header`; the field, to be freed. */
static struct strbuf sign(const struct dkim_key *key, const char *header, const unsigned char hash[DKIM_HASH_SIZE])
{
    struct arena a = ARENA_INIT(0);
    struct field_list fields;
    struct strbuf out = STRBUF_INIT;
    struct err err = {""};
    ck_assert_msg(fields_parse(&a, slice_of(header), &fields, &err) == 0, "%s", err.text);
    ck_assert_msg(dkim_sign(key, &fields, hash, 1528637909, &out, &err) == 0, "%s", err.text);
    arena_free(&a);
    return out;
}

/* The value of a tag with all white space out (RFC 6376 3.2); in `out`. */
static void tag_value(struct slice field, const char *name, struct strbuf *out)
{
    struct slice tag, tag_name, rest = slice_skip(field, strlen("DKIM-Signature:"));
    while (rest.n > 0) {
        rest = slice_cut(rest, ';', &tag);
        struct slice value = slice_cut(tag, '=', &tag_name);
        if (!slice_eq(slice_trim(tag_name), slice_of(name)))
            continue;
        for (size_t i = 0; i < value.n; i++) {
            if (strchr(" \t\r\n", value.p[i]) == NULL)
                strbuf_add_char(out, value.p[i]);
        }
        return;
    }
    ck_abort_msg("no tag %s", name);
}

/* ---- which fields ---------------------------------------------------------------------------- */

#define ALWAYS                                                                                                         \
    "To:Cc:Subject:Date:Message-ID:Reply-To:In-Reply-To:References:MIME-Version:Content-Type:Content-Transfer-"        \
    "Encoding"

static const struct {
    const char *header, *h;
} h_rows[] = {
    /* nothing but From: all others are signed as absent */
    {"From: a@b\r\n", "From:From:" ALWAYS},
    /* names in any case, each once more than it occurs */
    {"FROM: a@b\r\nto: c\r\nSUBJECT: s\r\n",
     "From:From:To:To:Cc:Subject:Subject:Date:Message-ID:Reply-To:In-Reply-To:References:MIME-Version:Content-Type:"
     "Content-Transfer-Encoding"},
    {"To: c\r\nTo: d\r\nFrom: a@b\r\n",
     "From:From:To:To:To:Cc:Subject:Date:Message-ID:Reply-To:In-Reply-To:References:MIME-Version:Content-Type:"
     "Content-Transfer-Encoding"},
    /* as often as present, never more */
    {"From: a@b\r\nSender: s@b\r\nList-Id: <l>\r\nList-Unsubscribe-Post: x\r\nResent-To: x\r\nResent-To: "
     "y\r\nAutocrypt: k\r\n",
     "From:From:" ALWAYS ":Sender:Resent-To:Resent-To:List-Id:List-Unsubscribe-Post:Autocrypt"},
    /* never */
    {"Return-Path: <x>\r\nReceived: x\r\nBcc: x\r\nResent-Bcc: x\r\nDKIM-Signature: v=1\r\nARC-Seal: i=1\r\n"
     "Authentication-Results: x\r\nX-Mailer: x\r\nX-Spam: x\r\nComments: x\r\nFrom: a@b\r\n",
     "From:From:" ALWAYS},
};

START_TEST(test_h)
{
    struct dkim_key *key = ed25519_key("b", "s");
    struct strbuf field = sign(key, h_rows[_i].header, zero_hash), h = STRBUF_INIT;
    tag_value(strbuf_slice(&field), "h", &h);
    ck_assert_slice_eq(strbuf_slice(&h), h_rows[_i].h);
    strbuf_free(&h);
    strbuf_free(&field);
    dkim_key_free(&key);
}
END_TEST

/* ---- how it is written ----------------------------------------------------------------------- */

/* Checked once with dkimpy: Ed25519 signatures are deterministic, so this stays. */
static const char golden[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                             " d=football.example.com; s=brisbane; t=1528637909;\r\n"
                             " h=From:From:To:To:Cc:Subject:Subject:Date:Date:Message-ID:Message-ID:\r\n"
                             " Reply-To:In-Reply-To:References:MIME-Version:Content-Type:\r\n"
                             " Content-Transfer-Encoding; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                             " b=ap9uGHwiuwIuSi0RBQ7lb7NmSCWJ13aw5gAe90QPohyigy8irpc807WUynqTU3Gtux6zN8NB7\r\n"
                             " HAWHFkomTYsBA==\r\n";

START_TEST(test_golden)
{
    unsigned char hash[DKIM_HASH_SIZE];
    struct strbuf raw = STRBUF_INIT;
    ck_assert_int_eq(base64_decode(&raw, slice_of(rfc8463_body_hash)), 0);
    memcpy(hash, raw.p, sizeof(hash));
    struct dkim_key *key = ed25519_key("football.example.com", "brisbane");
    struct strbuf field = sign(key, rfc8463_header, hash);
    ck_assert_slice_eq(strbuf_slice(&field), golden);
    strbuf_free(&raw);
    strbuf_free(&field);
    dkim_key_free(&key);
}
END_TEST

static const struct {
    const char *domain, *selector;
} name_rows[] = {
    {"b", "s"},
    {"a-quite-long-name-for-a-domain.of-a-quite-long-organisation.example.com", "a-selector-with-a-date-20261121"},
    {"a23456789012345678901234567890123456789012345678901234567890123.example.com", "x"},
};

START_TEST(test_columns)
{
    struct dkim_key *key = ed25519_key(name_rows[_i].domain, name_rows[_i].selector);
    struct strbuf header = STRBUF_INIT;
    strbuf_add_str(&header, "From: a@b\r\n");
    for (int i = 0; i < 40; i++)
        strbuf_add_str(&header, i % 2 ? "List-Unsubscribe-Post: a\r\n" : "Resent-To: b\r\n");
    struct strbuf field = sign(key, strbuf_str(&header), zero_hash);
    struct slice line, rest = strbuf_slice(&field);
    ck_assert(rest.n > 2 && memcmp(rest.p + rest.n - 2, "\r\n", 2) == 0);
    for (bool first = true; rest.n > 0; first = false) {
        rest = slice_cut(rest, '\n', &line);
        ck_assert_msg(line.p[line.n - 1] == '\r', "\"%.*s\"", SLICE_ARG(line));
        ck_assert_msg(line.n - 1 <= 76 || slice_starts(line, SLICE(" d=")), "\"%.*s\"", SLICE_ARG(line));
        ck_assert(first || (line.p[0] == ' ' && line.p[1] != ' ' && line.p[1] != '\r'));
    }
    strbuf_free(&field);
    strbuf_free(&header);
    dkim_key_free(&key);
}
END_TEST

START_TEST(test_no_from)
{
    struct arena a = ARENA_INIT(0);
    struct field_list fields;
    struct strbuf out = STRBUF_INIT;
    struct err err = {""};
    struct dkim_key *key = ed25519_key("b", "s");
    strbuf_add_str(&out, "before");
    ck_assert_int_eq(fields_parse(&a, SLICE("To: x\r\n"), &fields, &err), 0);
    ck_assert_int_eq(dkim_sign(key, &fields, zero_hash, 0, &out, &err), -1);
    ck_assert_msg(strstr(err.text, "From") != NULL, "%s", err.text);
    ck_assert_slice_eq(strbuf_slice(&out), "before");
    strbuf_free(&out);
    /* no room for the field: nothing of it is left behind */
    out = (struct strbuf){.max = 100};
    strbuf_add_str(&out, "before");
    ck_assert_int_eq(fields_parse(&a, SLICE("From: x@b\r\n"), &fields, &err), 0);
    ck_assert_int_eq(dkim_sign(key, &fields, zero_hash, 0, &out, &err), -1);
    ck_assert_uint_eq(out.n, 6);
    strbuf_free(&out);
    arena_free(&a);
    dkim_key_free(&key);
}
END_TEST

/* ---- that it verifies ------------------------------------------------------------------------ */

/* The input of RFC 6376 3.7, put together naively from the finished field: h= names, each the last instance not yet
 * used. */
static void naive_input(struct strbuf *out, struct slice header, struct slice field)
{
    struct arena a = ARENA_INIT(0);
    struct field_list fields;
    struct strbuf h = STRBUF_INIT;
    struct err err;
    bool used[100] = {false};
    ck_assert_int_eq(fields_parse(&a, header, &fields, &err), 0);
    tag_value(field, "h", &h);
    struct slice name, rest = strbuf_slice(&h);
    while (rest.n > 0) {
        rest = slice_cut(rest, ':', &name);
        for (size_t i = fields.n; i-- > 0;) {
            if (!used[i] && slice_eq_icase(fields.v[i].name, name)) {
                used[i] = true;
                naive_field(out, fields.v[i].name, fields.v[i].value);
                break;
            }
        }
    }
    size_t b = slice_find_slice(field, SLICE("\r\n b="));
    naive_field(out, SLICE("DKIM-Signature"), slice_sub(slice_skip(field, 15), 0, b + 5 - 15));
    strbuf_truncate(out, out->n - 2);
    strbuf_free(&h);
    arena_free(&a);
}

/* By the public key alone, as it stands in the record. */
static bool verifies(const struct dkim_key *key, struct slice input, struct slice signature)
{
    struct strbuf record = STRBUF_INIT, der = STRBUF_INIT;
    unsigned char digest[DKIM_HASH_SIZE];
    bool rsa = dkim_key_algorithm(key) == DKIM_RSA_SHA256;
    dkim_key_record(key, &record);
    size_t p = slice_find_slice(strbuf_slice(&record), SLICE("p="));
    ck_assert_int_eq(base64_decode(&der, slice_skip(strbuf_slice(&record), p + 2)), 0);
    const unsigned char *bytes = (const unsigned char *)der.p;
    EVP_PKEY *public =
        rsa ? d2i_PUBKEY(NULL, &bytes, (long)der.n) : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, der.n);
    ck_assert_ptr_nonnull(public);
    ck_assert_int_eq(EVP_Digest(input.p, input.n, digest, NULL, EVP_sha256(), NULL), 1);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_DigestVerifyInit(ctx, NULL, rsa ? EVP_sha256() : NULL, NULL, public), 1);
    bool ok = EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                               rsa ? (const unsigned char *)input.p : digest, rsa ? input.n : sizeof(digest)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public);
    strbuf_free(&record);
    strbuf_free(&der);
    return ok;
}

static const struct {
    const char *signed_header, *changed; /* NULL: unchanged */
    bool ok;
} verify_rows[] = {
    {rfc8463_header, NULL, true},
    {"From: a@b\r\n", NULL, true},
    {"From: a@b\r\n", "X-New: 1\r\nReceived: x\r\nFrom: a@b\r\nList-Id: <l>\r\nSender: s\r\n", true},
    {"From: a@b\r\n", "From:  a@b \r\n", true}, /* relaxed */
    {"From: a@b\r\nTo: x,\r\n y\r\n", "from:a@b\r\nTO: x,\t y\r\n", true},
    {"From: a@b\r\n", "From: a@c\r\n", false},
    {"From: a@b\r\n", "From: a@b\r\nFrom: c@d\r\n", false}, /* T22: adding breaks it, above or below */
    {"From: a@b\r\n", "From: c@d\r\nFrom: a@b\r\n", false},
    {"From: a@b\r\n", "From: a@b\r\nSubject: new\r\n", false},
    {"From: a@b\r\n", "Content-Type: text/html\r\nFrom: a@b\r\n", false},
    {"From: a@b\r\n", "Reply-To: x@y\r\nFrom: a@b\r\n", false},
    {"From: a@b\r\nTo: x\r\nTo: y\r\n", NULL, true}, /* RFC 6376 5.4.2: bottom up */
    {"From: a@b\r\nTo: x\r\nTo: y\r\n", "From: a@b\r\nTo: y\r\nTo: x\r\n", false},
    {"From: a@b\r\nSender: x\r\nSender: y\r\n", "Sender: z\r\nFrom: a@b\r\nSender: x\r\nSender: y\r\n", true},
};

static struct dkim_key *rsa_key;

static void make_rsa_key(void)
{
    struct err err = {""};
    ck_assert_msg(dkim_key_parse_bits(slice_of(rfc8463_rsa_pem), "rfc", "b", "s", 1024, &rsa_key, &err) == 0, "%s",
                  err.text);
}

static void free_rsa_key(void)
{
    dkim_key_free(&rsa_key);
}

static void check_verify(const struct dkim_key *key, int row)
{
    const char *header = verify_rows[row].signed_header;
    const char *seen = verify_rows[row].changed != NULL ? verify_rows[row].changed : header;
    struct strbuf field = sign(key, header, zero_hash), b = STRBUF_INIT, raw = STRBUF_INIT, input = STRBUF_INIT;
    tag_value(strbuf_slice(&field), "b", &b);
    ck_assert_int_eq(base64_decode(&raw, strbuf_slice(&b)), 0);
    naive_input(&input, slice_of(seen), strbuf_slice(&field));
    ck_assert_msg(verifies(key, strbuf_slice(&input), strbuf_slice(&raw)) == verify_rows[row].ok, "row %d: %s", row,
                  seen);
    strbuf_free(&field);
    strbuf_free(&b);
    strbuf_free(&raw);
    strbuf_free(&input);
}

START_TEST(test_verify)
{
    struct dkim_key *key = ed25519_key("b", "s");
    check_verify(key, _i);
    check_verify(rsa_key, _i);
    dkim_key_free(&key);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dkim signatures");
    TCase *tc = tcase_create("sign");
    tcase_add_checked_fixture(tc, make_rsa_key, free_rsa_key);
    tcase_add_loop_test(tc, test_h, 0, (int)ARRAY_LEN(h_rows));
    tcase_add_test(tc, test_golden);
    tcase_add_loop_test(tc, test_columns, 0, (int)ARRAY_LEN(name_rows));
    tcase_add_test(tc, test_no_from);
    tcase_add_loop_test(tc, test_verify, 0, (int)ARRAY_LEN(verify_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
