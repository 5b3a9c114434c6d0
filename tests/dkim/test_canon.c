/* Canonicalisation against RFC 6376 3.4.4 and 3.4.5, RFC 8463 A.3, and in every chunking. */
#include "../../src/dkim/internal.h"
#include "../../src/dkim/verify.h"
#include "../testing.h"
#include "naive_canon.h"

#include <openssl/evp.h>

/* ---- header fields --------------------------------------------------------------------------- */

static const struct {
    const char *name, *value, *canonical;
} field_rows[] = {
    {"A", " X", "a:X\r\n"},                            /* RFC 6376 3.4.5 */
    {"B", " Y\t\r\n\tZ  ", "b:Y Z\r\n"},               /* the same */
    {"Subject", "", "subject:\r\n"},                   /* empty */
    {"Subject", " \t ", "subject:\r\n"},               /* blank */
    {"SUBJect", "AbC", "subject:AbC\r\n"},             /* only the name is folded in case */
    {"X", "\ta\t \tb\r\n c\r\n  d ", "x:a b c d\r\n"}, /* each run of WSP is one SP */
    {"X", "\r\n a", "x:a\r\n"},                        /* a fold at once */
    {"X", " a:b ; c", "x:a:b ; c\r\n"},                /* later colons are text */
    {"To", " =?utf-8?q?a?=\r\n =?utf-8?q?b?= <x@y>", "to:=?utf-8?q?a?= =?utf-8?q?b?= <x@y>\r\n"},
    {"X", " \xc3\xa4  \xff", "x:\xc3\xa4 \xff\r\n"}, /* 8-bit stays */
};

START_TEST(test_field)
{
    struct strbuf out = STRBUF_INIT;
    struct field f = {.name = slice_of(field_rows[_i].name), .value = slice_of(field_rows[_i].value)};
    dkim_relaxed_field(&out, &f);
    ck_assert_slice_eq(strbuf_slice(&out), field_rows[_i].canonical);
    strbuf_free(&out);
}
END_TEST

/* ---- bodies ---------------------------------------------------------------------------------- */

static const struct {
    const char *body, *canonical;
} body_rows[] = {
    {" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"}, /* RFC 6376 3.4.5 */
    {"", ""},                                       /* RFC 6376 3.4.4: the empty body is empty */
    {"\r\n", ""},
    {"\r\n\r\n\r\n", ""},
    {" \t\r\n \r\n", ""},
    {" \t ", ""},
    {"a", "a\r\n"}, /* no CRLF at the end: one is added */
    {"a ", "a\r\n"},
    {"a\r\n", "a\r\n"},
    {"a\r\n\r\n \r\n\t", "a\r\n"},
    {"\r\na\r\n", "\r\na\r\n"}, /* empty lines before text stay */
    {" \r\n a\r\n", "\r\n a\r\n"},
    {"\t\ta \t b\r\n", " a b\r\n"},
    {"a\r\n\r\n\r\nb", "a\r\n\r\n\r\nb\r\n"},
    {"a\r\r\nb\r", "a\r\r\nb\r\r\n"}, /* a bare CR is text */
    {"a\nb\r\n", "a\nb\r\n"},         /* and so is a bare LF */
    {"a \r b\r\n", "a \r b\r\n"},
    {".\r\n..\r\n", ".\r\n..\r\n"},
    {"\xe3\x81\x82 \xff\r\n", "\xe3\x81\x82 \xff\r\n"},
};

static void hash_in_pieces(struct slice body, size_t piece, unsigned char ret[DKIM_HASH_SIZE])
{
    struct dkim_body_hash *h = dkim_body_hash_new();
    ck_assert_ptr_nonnull(h);
    for (size_t i = 0; i < body.n; i += piece)
        ck_assert_int_eq(dkim_body_hash_update(h, slice_sub(body, i, piece)), 0);
    ck_assert_int_eq(dkim_body_hash_finish(h, ret), 0);
    dkim_body_hash_free(&h);
    ck_assert_ptr_null(h);
}

static void sha256(struct slice s, unsigned char ret[DKIM_HASH_SIZE])
{
    ck_assert_int_eq(EVP_Digest(s.p, s.n, ret, NULL, EVP_sha256(), NULL), 1);
}

static ssize_t read_slice(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    struct slice part = slice_sub(*(const struct slice *)ctx, (size_t)offset, n);
    memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

static void hash_as_verifier(struct slice body, unsigned char ret[DKIM_HASH_SIZE])
{
    const struct dkim_body_source source = {read_slice, &body};
    uint64_t length;
    ck_assert_int_eq(dkim_verify_body(&source, true, UINT64_MAX, ret, &length), 0);
}

START_TEST(test_body)
{
    unsigned char want[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
    struct slice body = slice_of(body_rows[_i].body);
    sha256(slice_of(body_rows[_i].canonical), want);
    for (size_t piece = 1; piece <= body.n + 1; piece++) {
        hash_in_pieces(body, piece, got);
        ck_assert_msg(memcmp(want, got, sizeof(want)) == 0, "body \"%s\" in pieces of %zu", body_rows[_i].body, piece);
    }
}
END_TEST

/* Larger than any buffer inside, with runs of blanks and of empty lines, cut everywhere. */
START_TEST(test_large_body)
{
    struct strbuf body = STRBUF_INIT, canonical = STRBUF_INIT;
    unsigned char want[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
    for (int i = 0; body.n < 40000; i++)
        strbuf_add_str(&body, (const char *[]){"text", " ", "\t", "\r\n", "longer text  with blanks",
                                               "\r\n\r\n\r\n"}[i * i % 7 % 6]);
    naive_body(&canonical, strbuf_slice(&body));
    sha256(strbuf_slice(&canonical), want);
    for (size_t piece = 1; piece < 20000; piece = piece * 3 / 2 + 1) {
        hash_in_pieces(strbuf_slice(&body), piece, got);
        ck_assert_mem_eq(want, got, sizeof(want));
    }
    hash_as_verifier(strbuf_slice(&body), got);
    ck_assert_mem_eq(want, got, sizeof(want));
    strbuf_free(&body);
    strbuf_free(&canonical);
}
END_TEST

/* Empty lines at the end, wherever the buffer of canonical octets is full. */
START_TEST(test_line_ends_over_the_buffer)
{
    unsigned char want[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
    for (size_t n = 3900; n < 4300; n++) {
        struct strbuf body = STRBUF_INIT;
        for (size_t i = 0; i < n; i++)
            strbuf_add_char(&body, 'x');
        strbuf_add_str(&body, "\r\n");
        sha256(strbuf_slice(&body), want);
        for (int i = 0; i < 200; i++)
            strbuf_add_str(&body, "\r\n");
        hash_in_pieces(strbuf_slice(&body), body.n, got);
        ck_assert_mem_eq(want, got, sizeof(want));
        strbuf_free(&body);
    }
}
END_TEST

/* Bodies of words, blanks and line ends at every distance from each other, whole and in two pieces, and as the verifier
 * hashes them. */
START_TEST(test_random_bodies)
{
    static const char *const parts[] = {"a",    "b",  "word", "sixteen octets ok", " ", " ", "\t", "\r\n",
                                        "\r\n", "\r", "\n"};
    uint32_t x = 7;
    for (int round = 0; round < 3000; round++) {
        struct strbuf body = STRBUF_INIT, canonical = STRBUF_INIT;
        unsigned char want[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
        for (int i = 0; i < round % 90; i++) {
            x = x * 1664525 + 1013904223;
            strbuf_add_str(&body, parts[(x >> 16) % ARRAY_LEN(parts)]);
        }
        naive_body(&canonical, strbuf_slice(&body));
        sha256(strbuf_slice(&canonical), want);
        hash_in_pieces(strbuf_slice(&body), body.n + 1, got);
        ck_assert_msg(memcmp(want, got, sizeof(want)) == 0, "round %d: \"%s\"", round, strbuf_str(&body));
        hash_in_pieces(strbuf_slice(&body), body.n / 2 + 1, got);
        ck_assert_msg(memcmp(want, got, sizeof(want)) == 0, "round %d, cut: \"%s\"", round, strbuf_str(&body));
        hash_as_verifier(strbuf_slice(&body), got);
        ck_assert_msg(memcmp(want, got, sizeof(want)) == 0, "round %d, verifier: \"%s\"", round, strbuf_str(&body));
        strbuf_free(&body);
        strbuf_free(&canonical);
    }
}
END_TEST

START_TEST(test_naive_agrees)
{
    struct strbuf canonical = STRBUF_INIT;
    naive_body(&canonical, slice_of(body_rows[_i].body));
    ck_assert_slice_eq(strbuf_slice(&canonical), body_rows[_i].canonical);
    strbuf_free(&canonical);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dkim canonicalisation");
    TCase *tc = tcase_create("canon");
    tcase_add_loop_test(tc, test_field, 0, (int)ARRAY_LEN(field_rows));
    tcase_add_loop_test(tc, test_body, 0, (int)ARRAY_LEN(body_rows));
    tcase_add_loop_test(tc, test_naive_agrees, 0, (int)ARRAY_LEN(body_rows));
    tcase_add_test(tc, test_random_bodies);
    tcase_add_test(tc, test_large_body);
    tcase_add_test(tc, test_line_ends_over_the_buffer);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
