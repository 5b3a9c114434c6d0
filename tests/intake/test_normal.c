/* Content is replaced by its normal form: header, body, hash and flags belong together. */
#include "../../src/intake/internal.h"
#include "testing.h"

static struct arena arena;
static struct strbuf changes;
static struct smtp_verdict v;
static struct err cause;

static void setup(void)
{
    arena = ARENA_INIT(16 * 1024 * 1024);
    changes = STRBUF_INIT;
    v = (struct smtp_verdict){0};
    cause = (struct err){{0}};
}

static void teardown(void)
{
    arena_free(&arena);
    strbuf_free(&changes);
}

static struct intake_content feed(const char *header, const char *line, size_t lines)
{
    struct intake_content c;
    ck_assert_int_eq(intake_content_init(&c, "/tmp", UINT64_MAX), 0);
    c.any_line = true;
    intake_content_add(&c, slice_of(header));
    intake_content_add(&c, SLICE("\r\n"));
    for (size_t i = 0; i < lines; i++)
        intake_content_add(&c, slice_of(line));
    ck_assert_int_eq(intake_content_end(&c), 0);
    return c;
}

static void body_hash(const struct intake_content *c, unsigned char ret[DKIM_HASH_SIZE])
{
    struct dkim_body_hash *hash = dkim_body_hash_new();
    char block[4096];
    ssize_t n;
    for (uint64_t at = 0; (n = spool_read(c->body, at, block, sizeof(block))) > 0; at += (uint64_t)n)
        dkim_body_hash_update(hash, slice_from(block, (size_t)n));
    dkim_body_hash_finish(hash, ret);
    dkim_body_hash_free(&hash);
}

/* Far more than is kept in memory. */
START_TEST(test_body)
{
    unsigned char hash[DKIM_HASH_SIZE];
    char block[200];
    struct intake_content c = feed("From: a@example.com\r\n", "a line with one \xc3\xa4 in it\r\n", 40000);
    ck_assert(c.eightbit && c.body_8bit);
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), 0);
    ck_assert_str_eq(strbuf_str(&c.header),
                     "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n");
    ck_assert_str_eq(strbuf_str(&changes), "1 part to quoted-printable");
    ck_assert(!c.eightbit && !c.body_8bit);
    ck_assert_uint_eq(spool_size(c.body), 40000 * strlen("a line with one =C3=A4 in it\r\n"));
    ck_assert_int_eq(spool_read(c.body, 39999 * strlen("a line with one =C3=A4 in it\r\n"), block, sizeof(block)), 30);
    ck_assert_slice_eq(slice_from(block, 30), "a line with one =C3=A4 in it\r\n");
    body_hash(&c, hash);
    ck_assert_mem_eq(hash, c.body_hash, sizeof(hash));
    ck_assert_uint_lt(arena.used, 64 * 1024); /* not by the body's size */
    intake_content_free(&c);
}
END_TEST

/* The body stays where it is when only the header is changed. */
START_TEST(test_header)
{
    struct intake_content c = feed("Subject: \xc3\xa4\r\n", "text\r\n", 1);
    const struct spool *body = c.body;
    strbuf_add_str(&changes, "before");
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), 0);
    ck_assert_str_eq(strbuf_str(&c.header), "Subject: =?utf-8?B?w6Q=?=\r\n");
    ck_assert_str_eq(strbuf_str(&changes), "before, header fields encoded or folded: Subject");
    ck_assert(c.body == body && !c.eightbit);
    intake_content_free(&c);
}
END_TEST

START_TEST(test_nothing_to_do)
{
    struct intake_content c = feed("Subject: a\r\n", "text\r\n", 1);
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), 0);
    ck_assert_uint_eq(arena.used, 0);
    intake_content_free(&c);
    c = feed("Content-Type: application/pkcs7-mime\r\n", "\xc3\xa4\r\n", 1);
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), 0);
    ck_assert(c.eightbit);
    ck_assert_str_eq(strbuf_str(&changes), "8-bit octets kept in an S/MIME part");
    intake_content_free(&c);
}
END_TEST

START_TEST(test_refused)
{
    struct intake_content c = feed("Message-ID: <\xc3\xa4@x>\r\n", "text\r\n", 1);
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), -1);
    ck_assert(v.code == 553 && strcmp(v.enhanced, "5.6.7") == 0 && cause.text[0] == '\0');
    ck_assert_int_eq(intake_normalise(&arena, &c, true, &changes, &v, &cause), 0);
    intake_content_free(&c);
    c = feed("Message-ID: <\xff@x>\r\n", "text\r\n", 1);
    ck_assert_int_eq(intake_normalise(&arena, &c, true, &changes, &v, &cause), -1);
    ck_assert(v.code == 550 && strcmp(v.enhanced, "5.6.0") == 0 && cause.text[0] == '\0');
    intake_content_free(&c);
}
END_TEST

/* Ours: the arena is too small, and the disk of the new body is gone. */
START_TEST(test_failures)
{
    struct intake_content c = feed("From: a@example.com\r\n", "a line with one \xc3\xa4 in it\r\n", 40000);
    struct arena small = ARENA_INIT(100);
    ck_assert_int_eq(intake_normalise(&small, &c, false, &changes, &v, &cause), -1);
    ck_assert(v.code == 451 && strcmp(v.enhanced, "4.3.0") == 0);
    ck_assert_str_eq(cause.text, "out of memory");
    arena_free(&small);
    c.spool_dir = "/nowhere/at/all";
    ck_assert_int_eq(intake_normalise(&arena, &c, false, &changes, &v, &cause), -1);
    ck_assert(v.code == 452 && strcmp(v.enhanced, "4.3.1") == 0);
    ck_assert_ptr_nonnull(strstr(cause.text, "/nowhere/at/all"));
    ck_assert_str_eq(strbuf_str(&c.header), "From: a@example.com\r\n");
    intake_content_free(&c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake normal form");
    TCase *tc = tcase_create("normal form");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_body);
    tcase_add_test(tc, test_header);
    tcase_add_test(tc, test_nothing_to_do);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_failures);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
