/* The filter `sendas sign`: LF and CRLF in, CRLF out, signatures on top. */
#include "fixture.h"

static struct intake_settings *settings;

static void setup(void)
{
    struct err err = {""};
    make_scratch();
    ck_assert_msg(load_settings("sendas.yaml", &settings, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
    intake_settings_unref(&settings);
    remove_scratch();
}

struct filtered {
    char *text;
    size_t n;
    int status;
    struct err err;
};

static struct filtered filter(const char *domain, const char *message)
{
    struct filtered f = {.err = {""}};
    FILE *in = tmpfile(), *out = open_memstream(&f.text, &f.n);
    fputs(message, in);
    rewind(in);
    f.status = intake_sign_stream(settings, domain, in, out, &f.err);
    fclose(in);
    fclose(out);
    return f;
}

#define DATED     "Date: x\nMessage-ID: <i@d>\n"
#define DATED_OUT "Date: x\r\nMessage-ID: <i@d>\r\n"

static const struct {
    const char *in, *out;
} rows[] = {
    {"From: a@example.com\n" DATED "\nx\n\ny\n", "From: a@example.com\r\n" DATED_OUT "\r\nx\r\n\r\ny\r\n"},
    {"From: a@example.com\r\nDate: x\nMessage-ID: <i@d>\n\r\nx\r\ny\n",
     "From: a@example.com\r\n" DATED_OUT "\r\nx\r\ny\r\n"},
    {"From: a@example.com\n" DATED "\nno end", "From: a@example.com\r\n" DATED_OUT "\r\nno end\r\n"},
    {"From: a@example.com\n" DATED, "From: a@example.com\r\n" DATED_OUT "\r\n"},
    {"From: a@example.com\n" DATED "\n", "From: a@example.com\r\n" DATED_OUT "\r\n"},
    {"From: a@example.com\nBcc: x\n" DATED "\n\n\n", "From: a@example.com\r\n" DATED_OUT "\r\n\r\n\r\n"},
    {"From: a@example.com\nReceived: kept\n" DATED "\n.\n",
     "From: a@example.com\r\nReceived: kept\r\n" DATED_OUT "\r\n.\r\n"},
    /* normal form; an address that is no ASCII is taken for SMTPUTF8 */
    {"From: \xc3\xa4 <a@example.com>\n" DATED "\na text with one \xc3\xa4\n",
     "From: =?utf-8?B?w6Q=?= <a@example.com>\r\n" DATED_OUT
     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
     "Content-Transfer-Encoding: quoted-printable\r\n\r\na text with one =C3=A4\r\n"},
    {"From: \xc3\xa4 <\xc3\xa4@example.com>\n" DATED "\na text with one \xc3\xa4\n",
     "From: \xc3\xa4 <\xc3\xa4@example.com>\r\n" DATED_OUT
     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
     "Content-Transfer-Encoding: quoted-printable\r\n\r\na text with one =C3=A4\r\n"},
};

/* RSA first, each field whole, then the message as it was. */
START_TEST(test_rows)
{
    struct filtered f = filter(NULL, rows[_i].in);
    ck_assert_msg(f.status == 0, "%s", f.err.text);
    struct slice text = slice_from(f.text, f.n);
    ck_assert(slice_starts(text, SLICE("DKIM-Signature: v=1; a=rsa-sha256;")));
    size_t second = slice_find_slice(text, SLICE("\r\nDKIM-Signature: v=1; a=ed25519-sha256;"));
    struct slice message = slice_skip(text, slice_find_slice(text, SLICE("\r\nFrom: ")) + 2);
    ck_assert_uint_lt(second, text.n - message.n);
    ck_assert_slice_eq(message, rows[_i].out);
    free(f.text);
}
END_TEST

static const struct {
    const char *domain, *in, *words;
} bad_rows[] = {
    {NULL, "", "From"},
    {NULL, "To: x\n\n", "From"},
    {NULL, "From: a@elsewhere.example\n\n", "key"},
    {NULL, "From: a@example.com\nX: a\rb\n\n", "bare CR"},
    {NULL, "no header\n\n", "550"},
    {NULL, "From: a@example.com\nMessage-ID: <\xff@x>\n\n", "not UTF-8"},
    {"elsewhere.example", "From: a@example.com\n\n", "elsewhere.example"},
    {"not a domain", "From: a@example.com\n\n", "not a domain"},
};

START_TEST(test_bad)
{
    struct filtered f = filter(bad_rows[_i].domain, bad_rows[_i].in);
    ck_assert_int_eq(f.status, -1);
    ck_assert_msg(strstr(f.err.text, bad_rows[_i].words) != NULL, "%s", f.err.text);
    ck_assert_uint_eq(f.n, 0); /* nothing came out */
    free(f.text);
}
END_TEST

START_TEST(test_domain)
{
    struct filtered f = filter("Other.Example", "From: a@elsewhere.example\n" DATED "\n");
    ck_assert_msg(f.status == 0, "%s", f.err.text);
    ck_assert_ptr_nonnull(strstr(f.text, "d=other.example"));
    free(f.text);
}
END_TEST

/* CR and LF may come in different reads. */
START_TEST(test_blocks)
{
    struct strbuf in = STRBUF_INIT;
    strbuf_add_str(&in, "From: a@example.com\r\n\r\n");
    settings->config->limits.message_size = 1024 * 1024;
    for (int i = 0; in.n < 200000; i++)
        strbuf_add_str(&in, i % 3 ? "x\r\n" : "yy\n");
    struct filtered f = filter(NULL, strbuf_str(&in));
    ck_assert_msg(f.status == 0, "%s", f.err.text);
    for (size_t i = 0; i < f.n; i++)
        ck_assert((f.text[i] == '\n') == (i > 0 && f.text[i - 1] == '\r'));
    free(f.text);
    strbuf_free(&in);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake sign filter");
    TCase *tc = tcase_create("sign");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_rows, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_bad, 0, (int)ARRAY_LEN(bad_rows));
    tcase_add_test(tc, test_domain);
    tcase_add_test(tc, test_blocks);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
