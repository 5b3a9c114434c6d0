/* What a session logs: the events of the contract, and never a password, not even at level debug. */
#include "testing.h"

#include "fake.h"

static struct fake fake;
static char *text;
static size_t text_n;
static FILE *stream;

static void set_up(void)
{
    stream = open_memstream(&text, &text_n);
    ck_assert_ptr_nonnull(stream);
    log_to(stream);
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    fake_init(&fake);
    fake_open(&fake, "TLSv1.3");
}

static void tear_down(void)
{
    fake_free(&fake);
    log_to(stderr);
    fclose(stream);
    free(text);
}

static const char *logged(const char *input)
{
    fake_feed(&fake, slice_of(input));
    fflush(stream);
    return text;
}

static void expect_line(const char *log, const char *part)
{
    ck_assert_msg(strstr(log, part) != NULL, "no \"%s\" in: %s", part, log);
}

static void expect_no(const char *log, const char *part)
{
    ck_assert_msg(strstr(log, part) == NULL, "\"%s\" in: %s", part, log);
}

static const struct {
    const char *input;
    const char *lines[3];
} rows[] = {
    {"AUTH PLAIN AGFubkBFWEFNUExFLmNvbQBzZWNyZXQ=\r\n",
     {"event=auth result=ok ip=192.0.2.1 user=ann@example.com mechanism=PLAIN"}},
    {"AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB4c2VjcmV0\r\n",
     {"event=auth result=fail ip=192.0.2.1 user=ann@example.com mechanism=PLAIN"}},
    {"AUTH LOGIN\r\nYW5uQGV4YW1wbGUuY29t\r\nc2VjcmV0\r\n",
     {"event=rejected ip=192.0.2.1 code=503 reason=\"Improper pipelining"}},
    {"AUTH LOGIN YW5uQGV4YW1wbGUuY29t\r\n", {NULL}},
    {"AUTH PLAIN c2VjcmV0\r\n", {"event=rejected ip=192.0.2.1 code=501"}},
    {"AUTH secret\r\n", {"event=rejected ip=192.0.2.1 code=504"}},
    {"MAIL FROM:<secret@example.com>\r\n", {"event=rejected ip=192.0.2.1 code=530 reason=\"Authentication required\""}},
    {"GET /secret HTTP/1.1\r\n", {"event=rejected ip=192.0.2.1 code=421"}},
};

START_TEST(test_events)
{
    logged("EHLO x\r\n");
    const char *log = logged(rows[_i].input);
    for (size_t i = 0; i < ARRAY_LEN(rows[_i].lines) && rows[_i].lines[i] != NULL; i++)
        expect_line(log, rows[_i].lines[i]);
    expect_no(log, "secret");
    expect_no(log, "c2VjcmV0");
    expect_no(log, "zZWNyZXQ");
    expect_no(log, "4c2VjcmV0");
}
END_TEST

/* A name with a line end forges no line (the session decodes it from base64). */
START_TEST(test_no_forged_line)
{
    logged("EHLO x\r\n");
    const char *log = logged("AUTH PLAIN AGEKdGltZT0wIGxldmVsPWluZm8gZXZlbnQ9YXV0aCByZXN1bHQ9b2sAeA==\r\n");
    expect_line(log, "event=auth result=fail");
    expect_no(log, "\ntime=0");
}
END_TEST

static Suite *log_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_events, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_no_forged_line);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(log_suite)
