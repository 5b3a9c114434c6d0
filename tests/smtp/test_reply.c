/* Verdicts, replies as a client reads them, and what EHLO offers. */
#include "testing.h"

#include "sendas/smtp.h"

static const struct {
    const char *lines; /* separated by "|" */
    int result;        /* of the last line */
    int code;
    const char *enhanced, *text;
} replies[] = {
    {"250 ok", 1, 250, "", "ok"},
    {"250", 1, 250, "", ""},
    {"250 ", 1, 250, "", ""},
    {"250-", 0, 250, "", ""},
    {"250 2.1.0 Sender ok", 1, 250, "2.1.0", "Sender ok"},
    {"250 2.1.0", 1, 250, "2.1.0", ""},
    {"550-5.7.1 first|550-5.7.1 second|550 5.7.1 third", 1, 550, "5.7.1", "first\nsecond\nthird"},
    {"550-5.7.1 first|550 second", 1, 550, "5.7.1", "first\nsecond"},
    {"550-5.7.1 first|550 5.7.2 second", 1, 550, "5.7.1", "first\n5.7.2 second"},
    {"550 4.7.1 another class", 1, 550, "", "4.7.1 another class"},
    {"354 2.0.0 none here", 1, 354, "", "2.0.0 none here"},
    {"550 5.7.1234 no", 1, 550, "", "5.7.1234 no"},
    {"550 5.7 no", 1, 550, "", "5.7 no"},
    {"550 5.7.1no", 1, 550, "", "5.7.1no"},
    {"550 5..1 no", 1, 550, "", "5..1 no"},
    {"450 4.999.999 x", 1, 450, "4.999.999", "x"},
    {"250-a|250-b|250 c", 1, 250, "", "a\nb\nc"},
    {"250-a|250-b", 0, 250, "", "a\nb"},
    {"571 5.7.1 Exchange of old", 1, 571, "5.7.1", "Exchange of old"},
    {"250 a\x01\x1b[31mb\tc", 1, 250, "", "a??[31mb?c"},
    {"250 a\xff\xfe", 1, 250, "", "a??"},
    {"250 \xc3\xbc\xc2\x9b", 1, 250, "", "\xc3\xbc?"},
    {"250-a|250 b|550 next", 1, 550, "", "next"}, /* a new reply begins by itself */
    {"250-a|251 b", -1, 0, NULL, NULL},
    {"250-a|", -1, 0, NULL, NULL},
    {"", -1, 0, NULL, NULL},
    {"2", -1, 0, NULL, NULL},
    {"25", -1, 0, NULL, NULL},
    {"25x ok", -1, 0, NULL, NULL},
    {"250ok", -1, 0, NULL, NULL},
    {"2500 ok", -1, 0, NULL, NULL},
    {"999 ok", -1, 0, NULL, NULL},
    {"150 ok", -1, 0, NULL, NULL},
    {"600 ok", -1, 0, NULL, NULL},
    {" 250 ok", -1, 0, NULL, NULL},
    {"-250 ok", -1, 0, NULL, NULL},
    {"250\tok", -1, 0, NULL, NULL},
    {"HTTP/1.1 400 Bad Request", -1, 0, NULL, NULL},
    {"SSH-2.0-OpenSSH", -1, 0, NULL, NULL},
};

START_TEST(test_reply)
{
    struct smtp_reply_parser p;
    struct slice rest = slice_of(replies[_i].lines), line;
    int result = 0;
    bool more = true;
    smtp_reply_init(&p);
    while (more) {
        more = slice_find(rest, '|') < rest.n;
        rest = slice_cut(rest, '|', &line);
        result = smtp_reply_line(&p, line);
    }
    ck_assert_msg(result == replies[_i].result, "row %s: %d", replies[_i].lines, result);
    if (result >= 0) {
        ck_assert_int_eq(p.code, replies[_i].code);
        ck_assert_str_eq(p.enhanced, replies[_i].enhanced);
        ck_assert_slice_eq(strbuf_slice(&p.text), replies[_i].text);
    }
    smtp_reply_free(&p);
}
END_TEST

START_TEST(test_reply_nul)
{
    struct smtp_reply_parser p;
    smtp_reply_init(&p);
    ck_assert_int_eq(smtp_reply_line(&p, slice_from("250 a\0b", 7)), 1);
    ck_assert_slice_eq(strbuf_slice(&p.text), "a?b");
    smtp_reply_free(&p);
}
END_TEST

/* A hostile server: endless lines, long lines, many octets. */
START_TEST(test_reply_bounds)
{
    struct smtp_reply_parser p;
    char line[SMTP_REPLY_LINE_MAX + 2];
    int n = 0;
    memset(line, 'x', sizeof(line));
    memcpy(line, "250-", 4);
    smtp_reply_init(&p);
    ck_assert_int_eq(smtp_reply_line(&p, slice_from(line, SMTP_REPLY_LINE_MAX)), 0);
    ck_assert_int_eq(smtp_reply_line(&p, slice_from(line, SMTP_REPLY_LINE_MAX + 1)), -1);
    smtp_reply_free(&p);
    smtp_reply_init(&p);
    while (smtp_reply_line(&p, SLICE("250-")) == 0)
        n++;
    ck_assert_int_eq(n, SMTP_REPLY_LINES_MAX);
    smtp_reply_free(&p);
    smtp_reply_init(&p);
    for (n = 0; smtp_reply_line(&p, slice_from(line, 1000)) == 0; n++)
        ;
    ck_assert_int_eq(n, SMTP_REPLY_TOTAL_MAX / 1000);
    smtp_reply_free(&p);
}
END_TEST

START_TEST(test_reply_verdict)
{
    struct smtp_reply_parser p;
    struct smtp_verdict v;
    smtp_reply_init(&p);
    smtp_reply_line(&p, SLICE("550-5.1.1 No such user,"));
    smtp_reply_line(&p, SLICE("550 5.1.1 really? no"));
    smtp_reply_verdict(&p, &v);
    ck_assert_int_eq(v.code, 550);
    ck_assert_str_eq(v.enhanced, "5.1.1");
    ck_assert_str_eq(v.text, "No such user, really? no");
    ck_assert(smtp_is_permanent(&v) && !smtp_is_temporary(&v) && !smtp_is_success(&v));
    smtp_reply_free(&p);
    smtp_reply_init(&p);
    smtp_reply_verdict(&p, &v);
    ck_assert_int_eq(v.code, 0);
    ck_assert_str_eq(v.text, "");
}
END_TEST

START_TEST(test_verdict)
{
    struct smtp_verdict v;
    char text[1000];
    ck_assert_int_eq(smtp_verdict_set(&v, 250, "2.0.0", "queued as %s", "X1"), 0);
    ck_assert_str_eq(v.text, "queued as X1");
    ck_assert(smtp_is_success(&v));
    ck_assert_int_eq(smtp_verdict_set(&v, 354, "", "go"), 0);
    ck_assert_int_eq(smtp_verdict_set(&v, 451, "4.3.0", "a\r\nb\x7f%c", 1), -1);
    ck_assert_str_eq(v.text, "a??b??");
    ck_assert(smtp_is_temporary(&v));
    ck_assert_int_eq(smtp_verdict_set(&v, 550, NULL, "x"), -1);
    ck_assert_str_eq(v.enhanced, "");
    /* Whatever the offset, no UTF-8 sequence is cut in half. */
    for (size_t offset = 0; offset < 4; offset++) {
        memset(text, 'x', offset);
        for (size_t i = offset; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        smtp_verdict_set(&v, 550, "5.0.0", "%s", text);
        ck_assert(slice_is_utf8(slice_of(v.text)));
        ck_assert_uint_ge(strlen(v.text), sizeof(v.text) - 5);
    }
}
END_TEST

START_TEST(test_extensions)
{
    struct smtp_extensions e;
    smtp_extensions_parse(
        SLICE("mx.example.net STARTTLS\nPIPELINING\nSIZE 1000\n8bitmime\nSTARTTLS\nAUTH LOGIN PLAIN CRAM-MD5\n"
              "DSN\nCHUNKING\nSMTPUTF8\nENHANCEDSTATUSCODES\nREQUIRETLS\nLIMITS RCPTMAX=20 MAILMAX=5 X"),
        &e);
    ck_assert(e.esmtp && e.pipelining && e.eightbitmime && e.starttls && e.dsn && e.chunking && e.smtputf8);
    ck_assert(e.enhancedstatuscodes && e.requiretls && e.auth_plain && e.auth_login && e.has_size);
    ck_assert_uint_eq(e.size, 1000);
    ck_assert_uint_eq(e.rcptmax, 20);
    ck_assert_uint_eq(e.mailmax, 5);
}
END_TEST

START_TEST(test_extensions_odd)
{
    struct smtp_extensions e;
    smtp_extensions_parse(SLICE("STARTTLS"), &e); /* the greeting is no keyword */
    ck_assert(e.esmtp && !e.starttls);
    smtp_extensions_parse((struct slice){0}, &e);
    ck_assert(e.esmtp && !e.has_size);
    smtp_extensions_parse(
        SLICE("x\nSIZE\n\n \nSTARTTLSX\nXSTARTTLS\nAUTH=PLAIN LOGIN\nLIMITS RCPTMAX=0 MAILMAX=99999999999"), &e);
    ck_assert(e.has_size && e.size == 0 && !e.starttls && e.auth_plain && e.auth_login);
    ck_assert_uint_eq(e.rcptmax, 0);
    ck_assert_uint_eq(e.mailmax, 0);
    smtp_extensions_parse(SLICE("x\nSIZE -5\nAUTH  PLAIN\nPIPELINING foo"), &e);
    ck_assert(e.has_size && e.size == 0 && e.auth_plain && e.pipelining);
}
END_TEST

static Suite *reply_suite(void)
{
    Suite *suite = suite_create("reply");
    TCase *tc = tcase_create("reply");
    tcase_add_loop_test(tc, test_reply, 0, (int)ARRAY_LEN(replies));
    tcase_add_test(tc, test_reply_nul);
    tcase_add_test(tc, test_reply_bounds);
    tcase_add_test(tc, test_reply_verdict);
    tcase_add_test(tc, test_verdict);
    tcase_add_test(tc, test_extensions);
    tcase_add_test(tc, test_extensions_odd);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(reply_suite)
