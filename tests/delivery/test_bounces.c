/* Whole bounces as a person reads them: tests/delivery/bounces/NAME.txt, the Subject and the first part, decoded.
 *
 * UPDATE_BOUNCES=1 writes the files anew; then read what changed. */
#include "testing.h"

#include "../../src/delivery/dsn.h"
#include "../../src/delivery/subject.h"

#include "sendas/mime.h"

#define ENGLISH  "From: Ann <ann@example.com>\r\nSubject: Lunch on Friday?\r\n\r\nSee you there\r\n"
#define JAPANESE "From: Ann <ann@example.com>\r\nSubject: =?UTF-8?B?6YeR5puc5pel44Gu44Op44Oz44OB?=\r\n\r\n"
#define OLD_JAPANESE                                                                                                   \
    "Subject: =?ISO-2022-JP?B?GyRCNmJNS0Z8JE4laSVzJUEbKEI=?=\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n"

struct to {
    const char *address;
    int code;
    const char *status, *text, *mx;
    bool expired;
};

static const struct {
    const char *name;
    enum dsn_kind kind;
    const char *content;
    bool whole;
    struct to to[3];
} rows[] = {
    {"no-mailbox",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@example.net", 550, "5.1.1",
       "<bob@example.net>: Recipient address rejected: User unknown in virtual mailbox table", "mx1.example.net",
       false}}},
    {"no-mailbox-ja",
     DSN_FAILED,
     JAPANESE,
     false,
     {{"bob@example.net", 550, "5.1.1",
       "<bob@example.net>: Recipient address rejected: User unknown in virtual mailbox table", "mx1.example.net",
       false}}},
    {"whole-message",
     DSN_FAILED,
     ENGLISH,
     true,
     {{"bob@example.net", 552, "5.2.2", "over quota", "mx1.example.net", false}}},
    {"gmail-ptr",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@gmail.com", 550, "5.7.25",
       "[192.0.2.7] The IP address sending this message does not have a PTR record setup, or the corresponding forward "
       "DNS "
       "entry does not point to the sending IP. As a policy, Gmail does not accept messages from IPs with missing PTR "
       "records. For more information, go to https://support.google.com/mail/answer/81126#ip-practices x - gsmtp",
       "gmail-smtp-in.l.google.com", false}}},
    {"gmail-unauthenticated-ja",
     DSN_FAILED,
     OLD_JAPANESE,
     false,
     {{"bob@gmail.com", 550, "5.7.26",
       "Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate "
       "with "
       "either SPF or DKIM. - gsmtp",
       "gmail-smtp-in.l.google.com", false}}},
    {"microsoft-blocked",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@hotmail.com", 550, "5.7.1",
       "Unfortunately, messages from [192.0.2.7] weren't sent. Please contact your Internet service provider since "
       "part of "
       "their network is on our block list (S3150).",
       "hotmail-com.olc.protection.outlook.com", false}}},
    {"null-mx",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@example.net", 556, "5.1.10", "the domain example.net takes no mail (null MX)", NULL, false}}},
    {"expired",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@example.net", 451, "4.4.1", "mx1.example.net [192.0.2.7]: connection refused", NULL, true}}},
    {"expired-ja",
     DSN_FAILED,
     JAPANESE,
     false,
     {{"bob@example.net", 451, "4.4.1", "mx1.example.net [192.0.2.7]: connection refused", NULL, true}}},
    {"three-recipients",
     DSN_FAILED,
     ENGLISH,
     false,
     {{"bob@example.net", 550, "5.1.1", "<bob@example.net>: no such user", "mx1.example.net", false},
      {"carol@example.net", 552, "5.2.2", "<carol@example.net>: mailbox full", "mx1.example.net", false},
      {"dave@example.net", 550, "5.1.1", "<dave@example.net>: no such user", "mx1.example.net", false}}},
    {"delayed",
     DSN_DELAYED,
     ENGLISH,
     false,
     {{"bob@example.net", 450, "4.2.0", "Greylisted, try again later", "mx1.example.net", false}}},
    {"delayed-ja",
     DSN_DELAYED,
     JAPANESE,
     false,
     {{"bob@example.net", 450, "4.2.0", "Greylisted, try again later", "mx1.example.net", false}}},
    {"delayed-ours",
     DSN_DELAYED,
     ENGLISH,
     false,
     {{"bob@yahoo.com", 421, "4.7.0",
       "[TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume or user "
       "complaints",
       "mta5.am0.yahoodns.net", false}}},
    {"relayed",
     DSN_RELAYED,
     ENGLISH,
     false,
     {{"bob@example.net", 250, "2.0.0", "Ok: queued as 4XyZ", "mx1.example.net", false}}},
    {"relayed-ja",
     DSN_RELAYED,
     JAPANESE,
     false,
     {{"bob@example.net", 250, "2.0.0", "Ok: queued as 4XyZ", "mx1.example.net", false}}},
    {"hostile",
     DSN_FAILED,
     "Subject: =?utf-8?Q?a=0D=0AB=1B[31mc_=E2=80=AEd?=\r\n\r\n",
     false,
     {{"b\xe2\x80\xae@example.net", 550, "5.7.1",
       "\x1b[31mred \xe2\x80\xae"
       "detrevni\xe2\x80\xac \xc2\x9b \xff end",
       "mx\x07.example.net", false}}},
};

/* The value of a header field with its folds, decoded. */
static void add_subject(struct strbuf *out, struct slice message)
{
    struct strbuf subject = STRBUF_INIT;
    strbuf_add_str(out, "Subject: ");
    if (subject_decode(subject_of(message), &subject) < 0)
        strbuf_add_slice(&subject, subject_of(message));
    for (size_t i = 0; i < subject.n; i++)
        strbuf_add_char(out, (unsigned char)subject.p[i] < ' ' ? '?' : subject.p[i]);
    strbuf_add_str(out, "\n\n");
    strbuf_free(&subject);
}

/* The first part, decoded, with LF. */
static void add_human_part(struct strbuf *out, struct slice message)
{
    struct strbuf plain = STRBUF_INIT;
    struct mime_qp_decoder qp = {0};
    struct mime_base64_decoder base64 = {0};
    struct slice rest = slice_skip(message, slice_find_slice(message, SLICE("\r\n--=_")) + 2);
    rest = slice_sub(rest, 0, slice_find_slice(slice_skip(rest, 2), SLICE("\r\n--=_")) + 2);
    struct slice head = slice_sub(rest, 0, slice_find_slice(rest, SLICE("\r\n\r\n")));
    struct slice body = slice_skip(rest, head.n + 4);
    if (slice_find_slice(head, SLICE(": base64")) < head.n)
        ck_assert_int_eq(mime_base64_decode(&base64, body, &plain), 0);
    else if (slice_find_slice(head, SLICE(": quoted-printable")) < head.n)
        ck_assert_int_eq(mime_qp_decode(&qp, body, &plain), 0);
    else
        strbuf_add_slice(&plain, body);
    for (size_t i = 0; i < plain.n; i++)
        if (plain.p[i] != '\r')
            strbuf_add_char(out, plain.p[i]);
    strbuf_free(&plain);
}

static void check_lines(struct slice text)
{
    struct slice line;
    while (text.n > 0) {
        text = slice_cut(text, '\n', &line);
        ck_assert_msg(line.n <= 998 && slice_is_ascii(line), "%.*s", SLICE_ARG(line));
    }
}

static void build(size_t row, struct strbuf *out)
{
    struct smtp_verdict v[3];
    struct dsn_recipient r[3];
    struct strbuf message = STRBUF_INIT;
    size_t n = 0;
    for (; n < 3 && rows[row].to[n].address != NULL; n++) {
        const struct to *to = &rows[row].to[n];
        v[n] = (struct smtp_verdict){.code = to->code};
        snprintf(v[n].enhanced, sizeof(v[n].enhanced), "%s", to->status);
        snprintf(v[n].text, sizeof(v[n].text), "%s", to->text);
        r[n] = (struct dsn_recipient){.address = to->address,
                                      .orcpt = "",
                                      .v = &v[n],
                                      .mx = to->mx,
                                      .own_words = to->mx == NULL,
                                      .expired = to->expired};
    }
    struct slice content = slice_of(rows[row].content);
    struct dsn d = {.kind = rows[row].kind,
                    .language = language_of(content),
                    .hostname = "mail.example.com",
                    .from_domain = "example.com",
                    .to = "ann@example.com",
                    .queue_id = "3F9K2M7QRT",
                    .created_ms = INT64_C(1795255200000),
                    .now_ms = INT64_C(1795255200000) + (rows[row].to[0].expired ? 5 * 24 : 4) * INT64_C(3600000),
                    .expires_ms = INT64_C(1795255200000) + 5 * 24 * INT64_C(3600000),
                    .recipients = r,
                    .n_recipients = n,
                    .content = content,
                    .whole = rows[row].whole};
    ck_assert_int_eq(dsn_build(&d, &message), 0);
    check_lines(strbuf_slice(&message));
    add_subject(out, strbuf_slice(&message));
    add_human_part(out, strbuf_slice(&message));
    strbuf_free(&message);
}

START_TEST(test_bounce)
{
    char path[200];
    struct strbuf got = STRBUF_INIT, want = STRBUF_INIT;
    struct err err;
    snprintf(path, sizeof(path), "tests/delivery/bounces/%s.txt", rows[_i].name);
    build((size_t)_i, &got);
    if (getenv("UPDATE_BOUNCES") != NULL)
        ck_assert_int_eq(file_write(path, strbuf_slice(&got), 0644, &err), 0);
    ck_assert_msg(file_read(path, 100000, false, &want, &err) == 0, "%s", err.text);
    ck_assert_msg(slice_eq(strbuf_slice(&got), strbuf_slice(&want)), "%s: got\n%s", path, strbuf_str(&got));
    strbuf_free(&got);
    strbuf_free(&want);
}
END_TEST

/* ---- language and subject ---- */

#define KANA        "\xe3\x81\x93\xe3\x82\x93"
#define BASE64_TEXT "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
#define QP_TEXT     "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
#define ALTERNATIVE "Content-Type: multipart/alternative; boundary=b\r\n\r\npreamble\r\n--b\r\n"
#define MIXED       "Content-Type: multipart/mixed;\r\n boundary=\"a\"\r\n\r\n--a\r\n"

static const struct {
    const char *message;
    enum language language;
} language_rows[] = {
    {"", LANGUAGE_ENGLISH},
    {"Subject: hello\r\n\r\nhello\r\n", LANGUAGE_ENGLISH},
    {JAPANESE, LANGUAGE_JAPANESE},
    {OLD_JAPANESE, LANGUAGE_JAPANESE},
    {"subject:\r\n =?utf-8?q?"
     "=E3=81=93=E3=82=93"
     "?=\r\n\r\n",
     LANGUAGE_JAPANESE},
    {"Subject: " KANA "\r\n\r\n", LANGUAGE_JAPANESE},
    {"Subject: =?shift_jis?B?gqCCog==?=\r\n\r\n", LANGUAGE_JAPANESE},
    {"Subject: =?utf-8?B?5L2g5aW9?=\r\n\r\n", LANGUAGE_ENGLISH}, /* Chinese: ideographs, no kana */
    {"Subject: =?utf-8?B?broken\r\n\r\n", LANGUAGE_ENGLISH},
    {"Subject: x\r\n\r\n" KANA KANA "\r\n", LANGUAGE_JAPANESE},
    {"Content-Type: text/plain; charset=\"ISO-2022-JP\"\r\n\r\n", LANGUAGE_JAPANESE},
    {"Content-Type: text/plain; charset=euc-jp\r\n\r\n", LANGUAGE_JAPANESE},
    {BASE64_TEXT "44GT44KT44Gr44Gh44Gv\r\n", LANGUAGE_JAPANESE},
    {BASE64_TEXT "aGVsbG8=\r\n", LANGUAGE_ENGLISH},
    {QP_TEXT "=E3=81=93=E3=82=93=\r\n=E3=81=AB\r\n", LANGUAGE_JAPANESE},
    {ALTERNATIVE BASE64_TEXT "44GT44KT44Gr44Gh44Gv\r\n--b--\r\n", LANGUAGE_JAPANESE},
    {MIXED ALTERNATIVE BASE64_TEXT "44GT44KT44Gr44Gh44Gv\r\n--b--\r\n--a--\r\n", LANGUAGE_JAPANESE},
    {MIXED "Content-Type: image/png\r\n\r\n" KANA KANA "\r\n--a--\r\n", LANGUAGE_ENGLISH},
    {ALTERNATIVE QP_TEXT "hello\r\n--b\r\n\r\n" KANA KANA "\r\n--b--\r\n", LANGUAGE_ENGLISH}, /* not the first text */
    {"Content-Type: multipart/mixed; boundary=b\r\n\r\nno boundary here", LANGUAGE_ENGLISH},
    {"Content-Type: multipart\r\n\r\n", LANGUAGE_ENGLISH},
};

START_TEST(test_language)
{
    ck_assert_msg(language_of(slice_of(language_rows[_i].message)) == language_rows[_i].language, "%s",
                  language_rows[_i].message);
}
END_TEST

static const struct {
    const char *value, *decoded, *repeated; /* decoded NULL: not possible */
} subject_rows[] = {
    {"hello", "hello", " hello"},
    {"", NULL, NULL},
    {"a\r\n b", "a b", " a b"},
    {"=?utf-8?Q?caf=C3=A9_noir?=", "caf\xc3\xa9 noir", " =?utf-8?Q?caf=C3=A9_noir?="},
    {"=?utf-8?q?a=5Fb?=", "a_b", " =?utf-8?q?a=5Fb?="},
    {"=?utf-8?B?w6k=?=\r\n =?utf-8?B?w6k=?= x", "\xc3\xa9\xc3\xa9 x", " =?utf-8?B?w6k=?= =?utf-8?B?w6k=?= x"},
    {"Re: =?iso-8859-1?Q?=E9?=", NULL, " Re: =?iso-8859-1?Q?=E9?="},
    {"=?utf-8?B?/w==?=", NULL, " =?utf-8?B?/w==?="},
    {"=? what ?= =?x?", "=? what ?= =?x?", " =? what ?= =?x?"},
    {"\xc3\xa9", "\xc3\xa9", "\r\n =?utf-8?B?w6k=?="},
    {"\xff", NULL, NULL},
    {"a\x01 b", "a\x01 b", NULL}, /* for a person add_visible judges */
};

START_TEST(test_subject)
{
    struct strbuf out = STRBUF_INIT;
    int rc = subject_decode(slice_of(subject_rows[_i].value), &out);
    ck_assert_int_eq(rc, subject_rows[_i].decoded == NULL ? -1 : 0);
    ck_assert_slice_eq(strbuf_slice(&out), rc < 0 ? "" : subject_rows[_i].decoded);
    strbuf_reset(&out);
    rc = subject_repeat(slice_of(subject_rows[_i].value), 20, &out);
    ck_assert_int_eq(rc, subject_rows[_i].repeated == NULL ? -1 : 0);
    ck_assert_slice_eq(strbuf_slice(&out), rc < 0 ? "" : subject_rows[_i].repeated);
    strbuf_free(&out);
}
END_TEST

START_TEST(test_long_subject)
{
    struct strbuf value = STRBUF_INIT, out = STRBUF_INIT;
    for (int i = 0; i < 200; i++)
        strbuf_addf(&value, "word%d ", i);
    ck_assert_int_eq(subject_repeat(strbuf_slice(&value), 20, &out), 0);
    ck_assert_uint_le(out.n, 600);
    struct slice rest = strbuf_slice(&out), line;
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        ck_assert_uint_le(line.n, 77);
    }
    strbuf_free(&value);
    strbuf_free(&out);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery bounces");
    TCase *tc = tcase_create("golden");
    tcase_add_loop_test(tc, test_bounce, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_language, 0, ARRAY_LEN(language_rows));
    tcase_add_loop_test(tc, test_subject, 0, ARRAY_LEN(subject_rows));
    tcase_add_test(tc, test_long_subject);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
