/* The content of a message as it arrives: every row in every chunking gives the same. */
#include "../../src/intake/internal.h"
#include "../testing.h"

enum { SIZE_MAX_HERE = 1000 };

static const struct {
    const char *name, *in, *header, *body;
    int code;
    bool eightbit;
} rows[] = {
    {"usual", "A: b\r\nC: d\r\n\r\nbody\r\n", "A: b\r\nC: d\r\n", "body\r\n", 0, false},
    {"no body", "A: b\r\n\r\n", "A: b\r\n", "", 0, false},
    {"no empty line", "A: b\r\n", "A: b\r\n", "", 0, false},
    {"header without its line end", "A: b", "A: b\r\n", "", 0, false},
    {"empty", "", "", "", 0, false},
    {"only line ends", "\r\n\r\n\r\n", "", "\r\n\r\n", 0, false},
    {"no header", "\r\nbody\r\n", "", "body\r\n", 0, false},
    {"body without a line end", "A: b\r\n\r\nbody", "A: b\r\n", "body\r\n", 0, false},
    {"empty lines stay", "A: b\r\n\r\n\r\n\r\nx\r\n\r\n", "A: b\r\n", "\r\n\r\nx\r\n\r\n", 0, false},
    {"dots are nothing here", "A: b\r\n\r\n.\r\n..\r\n", "A: b\r\n", ".\r\n..\r\n", 0, false},
    {"8-bit body", "A: b\r\n\r\n\xc3\xa4\r\n", "A: b\r\n", "\xc3\xa4\r\n", 0, true},
    {"8-bit header", "A: \xc3\xa4\r\n\r\nx\r\n", "A: \xc3\xa4\r\n", "x\r\n", 0, true},
    {"other controls pass", "A: b\r\n\r\n\a\x01\x1b\x7f\r\n", "A: b\r\n", "\a\x01\x1b\x7f\r\n", 0, false},
    /* RFC 5321 2.3.8; the ways of SMTP smuggling */
    {"bare LF in the body", "A: b\r\n\r\na\nb\r\n", NULL, NULL, 550, false},
    {"bare LF in the header", "A: b\nC: d\r\n\r\n", NULL, NULL, 550, false},
    {"LF.LF", "A: b\r\n\r\na\n.\nb\r\n", NULL, NULL, 550, false},
    {"LF.CRLF", "A: b\r\n\r\na\n.\r\nb\r\n", NULL, NULL, 550, false},
    {"CR.CR", "A: b\r\n\r\na\r.\rb\r\n", NULL, NULL, 550, false},
    {"CRLF.CR", "A: b\r\n\r\na\r\n.\rb\r\n", NULL, NULL, 550, false},
    {"CR CRLF", "A: b\r\n\r\na\r\r\n", NULL, NULL, 550, false},
    {"CR at the end", "A: b\r\n\r\na\r", NULL, NULL, 550, false},
    {"LF at the start", "\nA: b\r\n\r\n", NULL, NULL, 550, false},
    {"LF after the header", "A: b\r\n\nbody\r\n", NULL, NULL, 550, false},
};

static struct intake_content feed(struct slice in, size_t piece, uint64_t size_max)
{
    struct intake_content c;
    ck_assert_int_eq(intake_content_init(&c, "/tmp", size_max), 0);
    for (size_t i = 0; i < in.n; i += piece)
        intake_content_add(&c, slice_sub(in, i, piece));
    ck_assert_int_eq(intake_content_end(&c), c.failure.code == 0 ? 0 : -1);
    return c;
}

static void check_body(const struct intake_content *c, struct slice want)
{
    char body[SIZE_MAX_HERE * 2];
    unsigned char hash[DKIM_HASH_SIZE];
    ssize_t n = spool_read(c->body, 0, body, sizeof(body));
    ck_assert_int_ge(n, 0);
    ck_assert(slice_eq(slice_from(body, (size_t)n), want));
    struct dkim_body_hash *h = dkim_body_hash_new();
    ck_assert_int_eq(dkim_body_hash_update(h, want), 0);
    ck_assert_int_eq(dkim_body_hash_finish(h, hash), 0);
    ck_assert_mem_eq(hash, c->body_hash, sizeof(hash));
    dkim_body_hash_free(&h);
}

START_TEST(test_rows)
{
    struct slice in = slice_of(rows[_i].in);
    for (size_t piece = 1; piece <= in.n + 1; piece++) {
        struct intake_content c = feed(in, piece, SIZE_MAX_HERE);
        ck_assert_msg(c.failure.code == rows[_i].code, "%s in pieces of %zu: %d %s", rows[_i].name, piece,
                      c.failure.code, c.failure.text);
        if (rows[_i].code == 0) {
            ck_assert_slice_eq(strbuf_slice(&c.header), rows[_i].header);
            check_body(&c, slice_of(rows[_i].body));
            ck_assert_msg(c.eightbit == rows[_i].eightbit, "%s", rows[_i].name);
        } else {
            ck_assert_str_eq(c.failure.enhanced, "5.6.0");
        }
        intake_content_free(&c);
    }
}
END_TEST

START_TEST(test_nul)
{
    static const char in[] = "A: b\r\n\r\na\0b\r\n";
    for (size_t piece = 1; piece <= sizeof(in); piece++) {
        struct intake_content c = feed(slice_from(in, sizeof(in) - 1), piece, SIZE_MAX_HERE);
        ck_assert_int_eq(c.failure.code, 550);
        ck_assert_ptr_nonnull(strstr(c.failure.text, "NUL"));
        intake_content_free(&c);
    }
}
END_TEST

/* Exactly at the limit and one above, in the header and in the body. */
static const struct {
    size_t octets;
    bool in_header;
    int code;
} line_rows[] = {
    {998, false, 0}, {999, false, 550}, {998, true, 0}, {999, true, 550}, {100000, false, 550},
};

START_TEST(test_long_lines)
{
    for (size_t piece = 1; piece < 2000; piece += 331) {
        struct strbuf in = STRBUF_INIT;
        strbuf_add_str(&in, line_rows[_i].in_header ? "A:" : "A: b\r\n\r\n");
        for (size_t n = line_rows[_i].in_header ? 2 : 0; n < line_rows[_i].octets; n++)
            strbuf_add_char(&in, 'x');
        strbuf_add_str(&in, "\r\n");
        struct intake_content c = feed(strbuf_slice(&in), piece, 1000000);
        ck_assert_msg(c.failure.code == line_rows[_i].code, "%zu: %d %s", line_rows[_i].octets, c.failure.code,
                      c.failure.text);
        intake_content_free(&c);
        strbuf_free(&in);
    }
}
END_TEST

/* One odd octet anywhere in a body of many lines, whole and octet by octet: the same verdict and the same body. */
START_TEST(test_odd_octet)
{
    static const char octets[] = {'\r', '\n', '\0', '\x80', 'x'};
    struct strbuf in = STRBUF_INIT;
    strbuf_add_str(&in, "A: b\r\n\r\n");
    for (int line = 0; in.n < 400; line++)
        strbuf_addf(&in, "%.*s\r\n", line * 29 % 83,
                    "a line of text, more or less long, that goes on and on and on, but not beyond all bounds");
    for (size_t at = 8; at < in.n; at++) {
        char before = in.p[at];
        in.p[at] = octets[_i];
        struct intake_content whole = feed(strbuf_slice(&in), in.n, SIZE_MAX_HERE);
        struct intake_content cut = feed(strbuf_slice(&in), 1, SIZE_MAX_HERE);
        ck_assert_msg(whole.failure.code == cut.failure.code, "octet %zu: %d, and %d", at, whole.failure.code,
                      cut.failure.code);
        ck_assert_str_eq(whole.failure.text, cut.failure.text);
        ck_assert(whole.failure.code != 0 || (whole.eightbit == cut.eightbit && whole.body_8bit == cut.body_8bit));
        if (whole.failure.code == 0)
            check_body(&whole, slice_skip(strbuf_slice(&in), 8));
        intake_content_free(&whole);
        intake_content_free(&cut);
        in.p[at] = before;
    }
    strbuf_free(&in);
}
END_TEST

START_TEST(test_size)
{
    static const char in[] = "A: b\r\n\r\n0123456789\r\n";
    size_t n = sizeof(in) - 1;
    struct intake_content c = feed(slice_of(in), 3, n);
    ck_assert_int_eq(c.failure.code, 0);
    ck_assert_uint_eq(c.size, n);
    intake_content_free(&c);
    c = feed(slice_of(in), 3, n - 1);
    ck_assert_int_eq(c.failure.code, 552);
    ck_assert_str_eq(c.failure.enhanced, "5.3.4");
    intake_content_free(&c);
}
END_TEST

/* A header that never ends is given up at its limit, and costs no more memory than that. */
START_TEST(test_header_bomb)
{
    struct intake_content c;
    struct slice line = SLICE("X-Filler: 0123456789012345678901234567890123456789012345678901234567\r\n");
    ck_assert_int_eq(intake_content_init(&c, "/tmp", UINT64_MAX), 0);
    for (size_t sent = 0; sent < 4 * MESSAGE_HEADER_MAX; sent += line.n)
        intake_content_add(&c, line);
    ck_assert_int_eq(c.failure.code, 552);
    ck_assert_str_eq(c.failure.enhanced, "5.3.4");
    ck_assert_uint_le(c.header.cap, 4 * MESSAGE_HEADER_MAX);
    intake_content_free(&c);
}
END_TEST

/* The first failure stays, and nothing is kept of what follows it. */
START_TEST(test_first_failure)
{
    struct intake_content c;
    ck_assert_int_eq(intake_content_init(&c, "/tmp", 100), 0);
    intake_content_add(&c, SLICE("A: b\r\n\r\nx\ny\r\n"));
    struct smtp_verdict first = c.failure;
    for (int i = 0; i < 100; i++)
        intake_content_add(&c, SLICE("more\r\n"));
    ck_assert_int_eq(intake_content_end(&c), -1);
    ck_assert_mem_eq(&first, &c.failure, sizeof(first));
    ck_assert_uint_eq(spool_size(c.body), 0);
    intake_content_free(&c);
}
END_TEST

/* The disk is full: a temporary failure with its cause for the log. */
START_TEST(test_spool_fails)
{
    struct intake_content c;
    struct strbuf block = STRBUF_INIT;
    for (int i = 0; i < 1000; i++)
        strbuf_add_str(&block, "0123456789\r\n");
    ck_assert_int_eq(intake_content_init(&c, "/nowhere/at/all", UINT64_MAX), 0);
    intake_content_add(&c, SLICE("A: b\r\n\r\n"));
    for (size_t sent = 0; sent < 2 * SPOOL_MEMORY_MAX; sent += block.n)
        intake_content_add(&c, strbuf_slice(&block));
    ck_assert_int_eq(c.failure.code, 452);
    ck_assert_str_eq(c.failure.enhanced, "4.3.1");
    ck_assert_ptr_nonnull(strstr(c.cause.text, "/nowhere/at/all"));
    intake_content_free(&c);
    strbuf_free(&block);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake content");
    TCase *tc = tcase_create("content");
    tcase_add_loop_test(tc, test_rows, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_nul);
    tcase_add_loop_test(tc, test_long_lines, 0, (int)ARRAY_LEN(line_rows));
    tcase_add_loop_test(tc, test_odd_octet, 0, 5);
    tcase_add_test(tc, test_size);
    tcase_add_test(tc, test_header_bomb);
    tcase_add_test(tc, test_first_failure);
    tcase_add_test(tc, test_spool_fails);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
