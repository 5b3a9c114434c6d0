/* Command lines, EHLO names, BDAT, and the arguments of MAIL and RCPT. */
#include "testing.h"

#include "sendas/smtp.h"

static const struct {
    const char *line, *verb, *args; /* verb NULL: refused */
} lines[] = {
    {"NOOP", "NOOP", ""},
    {"noop ", "noop", ""},
    {"NOOP \t ", "NOOP", ""},
    {"MAIL FROM:<a@b> SIZE=1", "MAIL", "FROM:<a@b> SIZE=1"},
    {"RCPT  TO:<a@b>", "RCPT", " TO:<a@b>"},
    {"MAIL FROM:<\xc3\xbc@b>", "MAIL", "FROM:<\xc3\xbc@b>"},
    {"Host: x", "Host:", "x"},
    {"", NULL, NULL},
    {" ", NULL, NULL},
    {" NOOP", NULL, NULL},
    {"\tNOOP", NULL, NULL},
    {"NOOP\tx", NULL, NULL},
    {"NOOP\r", NULL, NULL},
    {"NO\nOP", NULL, NULL},
    {"NOOP \x7f", NULL, NULL},
    {"NOOP \x1b[31m", NULL, NULL},
    {"NOOP \xc2\x9b", NULL, NULL},
    {"NOOP \xff", NULL, NULL},
    {"NOOP \xc3", NULL, NULL},
};

START_TEST(test_command)
{
    struct smtp_command c;
    int rc = smtp_command_parse(slice_of(lines[_i].line), &c);
    ck_assert_msg((rc == 0) == (lines[_i].verb != NULL), "row %s", lines[_i].line);
    if (rc == 0) {
        ck_assert_slice_eq(c.verb, lines[_i].verb);
        ck_assert_slice_eq(c.args, lines[_i].args);
    }
}
END_TEST

START_TEST(test_command_nul)
{
    struct smtp_command c;
    ck_assert_int_eq(smtp_command_parse(slice_from("NOOP\0", 5), &c), -1);
    ck_assert_int_eq(smtp_command_parse((struct slice){0}, &c), -1);
}
END_TEST

static const struct {
    const char *args;
    bool ok;
} names[] = {
    {"vm", true},
    {"[127.0.0.1]", true},
    {"[IPV6:::1]", true},
    {"m.eml", true},
    {"under_score", true},
    {"\xc3\xbc.de", true},
    {"ehlo.thunderbird.net", true},
    {"", false},
    {"a b", false},
    {" a", false},
    {"a\tb", false},
    {"a\xff", false},
    {"a\x01", false},
};

START_TEST(test_helo)
{
    struct slice name;
    int rc = smtp_helo_parse(slice_of(names[_i].args), &name);
    ck_assert_msg((rc == 0) == names[_i].ok, "row %s", names[_i].args);
    if (rc == 0)
        ck_assert_slice_eq(name, names[_i].args);
}
END_TEST

static const struct {
    const char *args;
    uint64_t size;
    bool ok, last;
} chunks[] = {
    {"0", 0, true, false},
    {"0 LAST", 0, true, true},
    {"1000 last", 1000, true, true},
    {"00000000000000000012", 12, true, false},
    {"18446744073709551615", UINT64_MAX, true, false},
    {"18446744073709551616", 0, false, false},
    {"000000000000000000012", 0, false, false},
    {"", 0, false, false},
    {"-1", 0, false, false},
    {"+1", 0, false, false},
    {"0x10", 0, false, false},
    {"1 LASTX", 0, false, false},
    {"1  LAST", 0, false, false},
    {"1LAST", 0, false, false},
    {"1 LAST LAST", 0, false, false},
    {"LAST", 0, false, false},
    {" 1", 0, false, false},
};

START_TEST(test_bdat)
{
    uint64_t size = 0;
    bool last = false;
    int rc = smtp_bdat_parse(slice_of(chunks[_i].args), &size, &last);
    ck_assert_msg((rc == 0) == chunks[_i].ok, "row %s", chunks[_i].args);
    ck_assert_uint_eq(size, chunks[_i].size);
    ck_assert_int_eq(last, chunks[_i].last);
}
END_TEST

/* ---- MAIL ------------------------------------------------------------------------------------------- */

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const struct {
    const char *args;
    int code; /* 0: accepted */
    const char *sender, *enhanced;
} mails[] = {
    {"FROM:<ann@example.com>", 0, "ann@example.com", ""},
    {"from:<ann@example.com>", 0, "ann@example.com", ""},
    {"FROM: <ann@example.com>", 0, "ann@example.com", ""},
    {"FROM:   <ann@example.com> SIZE=10", 0, "ann@example.com", ""},
    {"FROM:<>", 0, "", ""},
    {"FROM:<> BODY=8BITMIME", 0, "", ""},
    {"FROM:<a@b> size=0 body=7bit ret=full envid=a+3Db auth=<>", 0, "a@b", ""},
    {"FROM:<a@b> AUTH=e+3Dmc2@example.com", 0, "a@b", ""},
    {"FROM:<a@b> SIZE=99999999999999999999", 0, "a@b", ""},
    {"FROM:<\xc3\xbc@b> SMTPUTF8", 0, "\xc3\xbc@b", ""},
    {"FROM:<a@b> ENVID=" X100, 0, "a@b", ""},
    {"", 501, NULL, "5.5.4"},
    {"FROM", 501, NULL, "5.5.4"},
    {"FROM:", 501, NULL, "5.5.4"},
    {"FROM:ann@example.com", 501, NULL, "5.5.4"},
    {"FROM :<ann@example.com>", 501, NULL, "5.5.4"},
    {" FROM:<ann@example.com>", 501, NULL, "5.5.4"},
    {"TO:<ann@example.com>", 501, NULL, "5.5.4"},
    {"FROM:<ann@example.com", 553, NULL, "5.1.7"},
    {"FROM:<ann@example.com >", 553, NULL, "5.1.7"},
    {"FROM:< ann@example.com>", 553, NULL, "5.1.7"},
    {"FROM:<<ann@example.com>>", 553, NULL, "5.1.7"},
    {"FROM:<ann>", 553, NULL, "5.1.7"},
    {"FROM:<@a,@b:ann@example.com>", 553, NULL, "5.1.7"},
    {"FROM:<\xc3\xbc@b>", 553, NULL, "5.6.7"},
    {"FROM:<a@\xc3\xbc.example>", 553, NULL, "5.6.7"},
    {"FROM:<>>", 501, NULL, "5.5.4"},
    {"FROM:<a@b>x", 501, NULL, "5.5.4"},
    {"FROM:<a@b>SIZE=1", 501, NULL, "5.5.4"},
    {"FROM:<a@b>  SIZE=1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> =1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> -A=1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE=", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE==1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE=-1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE=1 SIZE=1", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE=1 size=2", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SIZE=000000000000000000001", 501, NULL, "5.5.4"},
    {"FROM:<a@b> BODY=BINARYMIME", 555, NULL, "5.5.4"},
    {"FROM:<a@b> BODY=9BIT", 501, NULL, "5.5.4"},
    {"FROM:<a@b> BODY", 501, NULL, "5.5.4"},
    {"FROM:<a@b> SMTPUTF8=yes", 501, NULL, "5.5.4"},
    {"FROM:<a@b> RET=ALL", 501, NULL, "5.5.4"},
    {"FROM:<a@b> ENVID=", 501, NULL, "5.5.4"},
    {"FROM:<a@b> ENVID", 501, NULL, "5.5.4"},
    {"FROM:<a@b> ENVID=a+0A", 501, NULL, "5.5.4"},
    {"FROM:<a@b> ENVID=a+C3+BC", 501, NULL, "5.5.4"},
    {"FROM:<a@b> ENVID=" X100 "x", 501, NULL, "5.5.4"},
    {"FROM:<a@b> AUTH=", 501, NULL, "5.5.4"},
    {"FROM:<a@b> AUTH=a+0D+0ARCPT@example.com", 501, NULL, "5.5.4"},
    {"FROM:<a@b> AUTH=noaddress", 501, NULL, "5.5.4"},
    {"FROM:<a@b> FUTURERELEASE=10", 555, NULL, "5.5.4"},
    {"FROM:<a@b> XFOO", 555, NULL, "5.5.4"},
    {"FROM:<a@b> NOTIFY=NEVER", 555, NULL, "5.5.4"},
};

START_TEST(test_mail)
{
    struct smtp_mail mail = {0};
    struct smtp_verdict v = {0};
    int rc = smtp_mail_parse(slice_of(mails[_i].args), &mail, &v);
    ck_assert_msg((rc < 0 ? v.code : 0) == mails[_i].code, "row %s: %d %s", mails[_i].args, v.code, v.text);
    if (rc < 0) {
        ck_assert_str_eq(v.enhanced, mails[_i].enhanced);
        return;
    }
    ck_assert_int_eq(mail.null_path, mails[_i].sender[0] == '\0');
    ck_assert_slice_eq(mail.sender.address, mails[_i].sender);
}
END_TEST

START_TEST(test_mail_values)
{
    struct smtp_mail mail;
    struct smtp_verdict v;
    ck_assert_int_eq(
        smtp_mail_parse(SLICE("FROM:<a@b> SIZE=42 BODY=8BITMIME RET=HDRS ENVID=a+3Db SMTPUTF8 AUTH=<>"), &mail, &v), 0);
    ck_assert(mail.has_size && mail.smtputf8);
    ck_assert_uint_eq(mail.size, 42);
    ck_assert_int_eq(mail.body, SMTP_BODY_8BITMIME);
    ck_assert_int_eq(mail.ret, SMTP_RET_HDRS);
    ck_assert_slice_eq(mail.envid, "a+3Db");
    ck_assert_int_eq(smtp_mail_parse(SLICE("FROM:<a@b> SIZE=99999999999999999999"), &mail, &v), 0);
    ck_assert_uint_eq(mail.size, UINT64_MAX);
    ck_assert_int_eq(mail.body, SMTP_BODY_7BIT);
    ck_assert_int_eq(mail.ret, SMTP_RET_NONE);
    ck_assert_uint_eq(mail.envid.n, 0);
}
END_TEST

/* ---- RCPT -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *args;
    int code;
    unsigned notify;
    const char *recipient, *orcpt, *enhanced;
} rcpts[] = {
    {"TO:<bob@example.net>", 0, 0, "bob@example.net", "", ""},
    {"to: <bob@example.net>", 0, 0, "bob@example.net", "", ""},
    {"TO:<postmaster@example.net>", 0, 0, "postmaster@example.net", "", ""},
    {"TO:<b@c> NOTIFY=NEVER", 0, SMTP_NOTIFY_NEVER, "b@c", "", ""},
    {"TO:<b@c> notify=success,FAILURE,Delay", 0, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, "b@c",
     "", ""},
    {"TO:<b@c> ORCPT=rfc822;b+2Bx@c NOTIFY=DELAY", 0, SMTP_NOTIFY_DELAY, "b@c", "rfc822;b+2Bx@c", ""},
    {"TO:<b@c> ORCPT=utf-8;\xc3\xbc@c", 0, 0, "b@c", "utf-8;\xc3\xbc@c", ""},
    {"", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:bob@example.net", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<>", 553, 0, NULL, NULL, "5.1.3"},
    {"TO:<bob>", 553, 0, NULL, NULL, "5.1.3"},
    {"TO:<postmaster>", 550, 0, NULL, NULL, "5.1.1"},
    {"TO:<POSTMASTER>", 550, 0, NULL, NULL, "5.1.1"},
    {"TO:<postmasters>", 553, 0, NULL, NULL, "5.1.3"},
    {"TO:<\xc3\xbc@c>", 553, 0, NULL, NULL, "5.6.7"},
    {"TO:<b@c> SIZE=1", 555, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=NEVER,SUCCESS", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=SUCCESS,SUCCESS", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=SUCCESS,", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=,SUCCESS", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> NOTIFY=SOMETIMES", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822;", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=;b@c", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822;b+0D+0A@c", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822;\xc3\xbc@c", 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822;" X100 X100 X100 X100 X100, 501, 0, NULL, NULL, "5.5.4"},
    {"TO:<b@c> ORCPT=rfc822;b@c ORCPT=rfc822;b@c", 501, 0, NULL, NULL, "5.5.4"},
};

START_TEST(test_rcpt)
{
    struct smtp_rcpt rcpt = {0};
    struct smtp_verdict v = {0};
    int rc = smtp_rcpt_parse(slice_of(rcpts[_i].args), false, &rcpt, &v);
    ck_assert_msg((rc < 0 ? v.code : 0) == rcpts[_i].code, "row %s: %d %s", rcpts[_i].args, v.code, v.text);
    if (rc < 0) {
        ck_assert_str_eq(v.enhanced, rcpts[_i].enhanced);
        return;
    }
    ck_assert_slice_eq(rcpt.recipient.address, rcpts[_i].recipient);
    ck_assert_slice_eq(rcpt.orcpt, rcpts[_i].orcpt);
    ck_assert_uint_eq(rcpt.notify, rcpts[_i].notify);
}
END_TEST

START_TEST(test_rcpt_utf8)
{
    struct smtp_rcpt rcpt;
    struct smtp_verdict v;
    ck_assert_int_eq(smtp_rcpt_parse(SLICE("TO:<\xc3\xbc@c>"), true, &rcpt, &v), 0);
    ck_assert(rcpt.recipient.utf8);
}
END_TEST

static Suite *command_suite(void)
{
    Suite *suite = suite_create("command");
    TCase *tc = tcase_create("command");
    tcase_add_loop_test(tc, test_command, 0, (int)ARRAY_LEN(lines));
    tcase_add_test(tc, test_command_nul);
    tcase_add_loop_test(tc, test_helo, 0, (int)ARRAY_LEN(names));
    tcase_add_loop_test(tc, test_bdat, 0, (int)ARRAY_LEN(chunks));
    tcase_add_loop_test(tc, test_mail, 0, (int)ARRAY_LEN(mails));
    tcase_add_test(tc, test_mail_values);
    tcase_add_loop_test(tc, test_rcpt, 0, (int)ARRAY_LEN(rcpts));
    tcase_add_test(tc, test_rcpt_utf8);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(command_suite)
