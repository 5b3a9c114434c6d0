/* A DSN as a message (RFC 3464, 6522, 6533): its parts, its fields, and that nothing from outside breaks out of them.
 * What a person reads in it is in test_bounces.c. */
#include "testing.h"

#include "../../src/delivery/dsn.h"

#include "sendas/message.h"
#include "sendas/mime.h"

static const char content[] = "From: Ann <ann@example.com>\r\nSubject: hello\r\n\r\nthe body\r\n";

static struct smtp_verdict verdict(int code, const char *enhanced, const char *text)
{
    struct smtp_verdict v;
    smtp_verdict_set(&v, code, enhanced, "%s", text);
    return v;
}

static struct dsn about(const struct dsn_recipient *r, size_t n)
{
    return (struct dsn){.kind = DSN_FAILED,
                        .hostname = "mail.example.com",
                        .from_domain = "example.com",
                        .to = "ann@example.com",
                        .queue_id = "3F9K2M7QRT",
                        .envid = "",
                        .message_id = "<1@example.com>",
                        .created_ms = INT64_C(1795000000000),
                        .now_ms = INT64_C(1795000000000) + 7200000,
                        .expires_ms = INT64_C(1795432000000),
                        .recipients = r,
                        .n_recipients = n,
                        .content = slice_of(content)};
}

static bool has(struct slice text, const char *what)
{
    return slice_find_slice(text, slice_of(what)) < text.n;
}

#define ck_has(text, what)     ck_assert_msg(has(text, what), "\"%s\" is missing in:\n%.*s", what, SLICE_ARG(text))
#define ck_has_not(text, what) ck_assert_msg(!has(text, what), "\"%s\" stands in:\n%.*s", what, SLICE_ARG(text))

struct parsed {
    struct slice head, human, machine, original;
};

/* Cuts the message at its boundary, which it takes from the header. */
static struct parsed parse(struct slice text)
{
    struct parsed p = {0};
    struct slice rest, boundary;
    char line[80];
    size_t end = slice_find_slice(text, SLICE("\r\n\r\n"));
    ck_assert(end < text.n);
    p.head = slice_sub(text, 0, end + 2);
    rest = slice_skip(p.head, slice_find_slice(p.head, SLICE("boundary=\"")) + 10);
    slice_cut(rest, '"', &boundary);
    ck_assert_uint_gt(boundary.n, 20);
    snprintf(line, sizeof(line), "\r\n--%.*s", SLICE_ARG(boundary));
    rest = slice_skip(text, end + 2);
    struct slice *parts[] = {NULL, &p.human, &p.machine, &p.original, NULL};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t n = slice_find_slice(rest, slice_of(line));
        if (parts[i] != NULL && n < rest.n)
            *parts[i] = slice_sub(rest, 2, n > 2 ? n - 2 : 0);
        rest = slice_skip(rest, n + strlen(line));
    }
    ck_has(text, "--\r\n");
    return p;
}

static void check_wire(struct slice text)
{
    struct slice line;
    ck_assert_msg(slice_is_ascii(text), "not seven-bit");
    ck_assert(text.n > 2 && memcmp(text.p + text.n - 2, "\r\n", 2) == 0);
    while (text.n > 0) {
        text = slice_cut(text, '\n', &line);
        ck_assert_msg(line.n > 0 && line.p[line.n - 1] == '\r', "a bare LF");
        ck_assert_uint_le(line.n, MESSAGE_LINE_MAX);
        ck_assert_msg(slice_find(slice_sub(line, 0, line.n - 1), '\r') == line.n - 1, "a bare CR");
    }
}

static struct strbuf build(const struct dsn *d)
{
    struct strbuf out = STRBUF_INIT;
    ck_assert_int_eq(dsn_build(d, &out), 0);
    check_wire(strbuf_slice(&out));
    return out;
}

START_TEST(test_failed)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no such user");
    struct dsn_recipient r = {
        .address = "bob@example.net", .orcpt = "rfc822;bob+2Bx@example.net", .v = &v, .mx = "mx.example.net"};
    struct dsn d = about(&r, 1);
    d.envid = "env+2B1";
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_has(p.head, "From: Mail Delivery System <mailer-daemon@example.com>\r\n");
    ck_has(p.head, "\r\nTo: <ann@example.com>\r\n");
    ck_has(p.head, "\r\nAuto-Submitted: auto-replied\r\n");
    ck_has(p.head, "\r\nMIME-Version: 1.0\r\n");
    ck_has(p.head, "\r\nSubject: Not delivered: hello\r\n");
    ck_has(p.head, "\r\nIn-Reply-To: <1@example.com>\r\nReferences: <1@example.com>\r\n");
    ck_has(p.head, "\r\nMessage-ID: <");
    ck_has(p.head, "\r\nDate: ");
    ck_has(p.head, "Content-Type: multipart/report; report-type=delivery-status;");
    ck_has(p.human, "\r\nTo:      bob@example.net\r\n");
    ck_has(p.human, "mx.example.net");
    ck_has(p.human, "550 5.1.1 no such user");
    ck_has(p.machine, "Content-Type: message/delivery-status\r\n\r\nOriginal-Envelope-Id: env+1\r\nReporting-MTA: dns; "
                      "mail.example.com\r\n");
    ck_has(p.machine,
           "\r\n\r\nOriginal-Recipient: rfc822;bob+x@example.net\r\nFinal-Recipient: rfc822; bob@example.net\r\n"
           "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n"
           "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: ");
    ck_has(p.machine, "\r\nFinal-Log-ID: 3F9K2M7QRT\r\n");
    ck_assert_slice_eq(p.original,
                       "Content-Type: text/rfc822-headers\r\n\r\nFrom: Ann <ann@example.com>\r\nSubject: hello\r\n");
    strbuf_free(&out);
}
END_TEST

START_TEST(test_expired_and_own_words)
{
    struct smtp_verdict v = verdict(451, "4.4.1", "mx [8.8.8.8]: connection refused"), bare = verdict(554, "", "no");
    struct dsn_recipient r[] = {{.address = "b@x", .orcpt = "", .v = &v, .own_words = true, .expired = true},
                                {.address = "c@x", .orcpt = "", .v = &bare, .mx = "mx"}};
    struct dsn d = about(r, 2);
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_has(
        p.machine,
        "Final-Recipient: rfc822; b@x\r\nAction: failed\r\nStatus: 4.4.7\r\nDiagnostic-Code: x-sendas; 451 4.4.1 mx");
    ck_has(p.machine, "Final-Recipient: rfc822; c@x\r\nAction: failed\r\nStatus: 5.0.0\r\nRemote-MTA: dns; "
                      "mx\r\nDiagnostic-Code: smtp; 554 no\r\n");
    ck_has(p.human, "without success");
    strbuf_free(&out);
}
END_TEST

START_TEST(test_delayed)
{
    struct smtp_verdict v = verdict(450, "4.2.1", "busy");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v, .mx = "mx"};
    struct dsn d = about(&r, 1);
    d.kind = DSN_DELAYED;
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_has(p.machine, "Action: delayed\r\nStatus: 4.2.1\r\n");
    ck_has(p.machine, "\r\nWill-Retry-Until: ");
    ck_has(p.head, "Subject: Delayed: hello\r\n");
    ck_has(p.human, "goes on trying");
    strbuf_free(&out);
}
END_TEST

/* What a server or a client wrote cannot become a field, a part or a second line. */
START_TEST(test_hostile_text)
{
    struct smtp_verdict v = verdict(550, "5.7.1", "");
    memset(v.text, 'x', sizeof(v.text) - 1);
    v.text[sizeof(v.text) - 1] = '\0';
    memcpy(v.text, "a\r\nAction: delivered\r\n\r\n\xff\xfe ", 26);
    struct dsn_recipient r = {
        .address = "b\r\nAction: delivered@x", .orcpt = "rfc822;b+0D+0AAction: x", .v = &v, .mx = "mx\r\nX: y"};
    struct dsn d = about(&r, 1);
    d.envid = "a+0D+0AB";
    d.message_id = "<a\r\nBcc: eve@example.com>";
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_has_not(p.machine, "\r\nAction: delivered");
    ck_has_not(p.machine, "\nX: y");
    ck_has_not(p.machine, "Original-");
    ck_has_not(p.head, "References");
    ck_has_not(p.head, "Bcc");
    strbuf_free(&out);
}
END_TEST

/* RFC 6533 4, 5: addresses as they are, in a part that may be encoded; on the wire it is seven-bit all the same. */
START_TEST(test_utf8_address)
{
    struct smtp_verdict v = verdict(553, "5.6.7", "no SMTPUTF8");
    struct dsn_recipient r = {
        .address = "j\xc3\xb6rg+a@\xe4\xbe\x8b.example", .orcpt = "utf-8;j\\x{F6}rg@x", .v = &v, .own_words = true};
    struct dsn d = about(&r, 1);
    struct strbuf out = build(&d), plain = STRBUF_INIT;
    struct parsed p = parse(strbuf_slice(&out));
    struct slice head = SLICE("Content-Type: message/global-delivery-status\r\n"
                              "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    struct mime_qp_decoder qp = {0};
    ck_assert(slice_starts(p.machine, head));
    ck_assert_int_eq(mime_qp_decode(&qp, slice_skip(p.machine, head.n), &plain), 0);
    ck_has(strbuf_slice(&plain), "\r\nFinal-Recipient: utf-8; j\xc3\xb6rg+a@\xe4\xbe\x8b.example\r\n");
    ck_has(strbuf_slice(&plain), "\r\nOriginal-Recipient: utf-8;j\\x{F6}rg@x\r\n");
    ck_has(p.head, "Subject: Not delivered: hello\r\n");
    strbuf_free(&plain);
    strbuf_free(&out);
}
END_TEST

/* An original recipient of type utf-8 stays seven-bit where all else is (RFC 6533 3). */
START_TEST(test_utf8_original_recipient)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "utf-8;j\xc3\xb6rg\\x{2B}a@x", .v = &v};
    struct dsn d = about(&r, 1);
    struct strbuf out = build(&d);
    ck_has(strbuf_slice(&out), "Content-Type: message/delivery-status\r\n");
    ck_has(strbuf_slice(&out),
           "\r\nOriginal-Recipient: utf-8;j\\x{F6}rg\\x{2B}a@x\r\nFinal-Recipient: rfc822; b@x\r\n");
    strbuf_free(&out);
}
END_TEST

/* To an address that is not ASCII the DSN itself needs SMTPUTF8. */
START_TEST(test_utf8_sender)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v};
    struct dsn d = about(&r, 1);
    d.to = "j\xc3\xb6rg@example.com";
    struct strbuf out = STRBUF_INIT;
    ck_assert_int_eq(dsn_build(&d, &out), 0);
    ck_has(strbuf_slice(&out), "\r\nTo: <j\xc3\xb6rg@example.com>\r\n");
    ck_has(strbuf_slice(&out), "Content-Type: message/global-delivery-status\r\n");
    strbuf_free(&out);
}
END_TEST

/* A header with 8-bit, or with a line that is too long, is encoded. */
START_TEST(test_original_encoded)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v};
    struct dsn d = about(&r, 1);
    d.content = SLICE("Subject: gr\xc3\xbc\xc3\x9f = x \r\nX: y\r\n\r\nbody\r\n");
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_assert_slice_eq(p.original,
                       "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                       "Subject: gr=C3=BC=C3=9F =3D x=20\r\nX: y\r\n");
    ck_has(p.head, "Subject: Not delivered:\r\n =?utf-8?B?Z3LDvMOfID0geA==?=\r\n");
    strbuf_free(&out);
    d.content = SLICE("X-Old: gr\xfc\xdf\r\n\r\nbody\r\n");
    out = build(&d);
    p = parse(strbuf_slice(&out));
    ck_assert_slice_eq(p.original,
                       "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                       "X-Old: gr=FC=DF\r\n");
    strbuf_free(&out);
    struct strbuf longer = STRBUF_INIT;
    strbuf_add_str(&longer, "X: ");
    for (int i = 0; i < 2000; i++)
        strbuf_add_char(&longer, 'y');
    strbuf_add_str(&longer, "\r\n");
    d.content = strbuf_slice(&longer);
    out = build(&d);
    ck_has(strbuf_slice(&out), "text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable");
    strbuf_free(&out);
    strbuf_free(&longer);
}
END_TEST

#define HEADER_ONLY      "Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n"
#define GLOBAL(encoding) "Content-Type: message/global\r\nContent-Transfer-Encoding: " encoding "\r\n\r\n"

/* RFC 3461 4.3: RET=FULL is for failures.  RFC 6532 3.5: what is not seven-bit, or has long lines, comes encoded. */
static const struct {
    const char *content;
    enum dsn_kind kind;
    bool whole, returned;
    const char *original;
} return_rows[] = {
    {"Subject: x\r\n\r\nbody\r\n", DSN_FAILED, true, true,
     "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n"},
    {"Subject: x\r\n\r\nbody\r\n", DSN_FAILED, false, false, HEADER_ONLY},
    {"Subject: x\r\n\r\nbody\r\n", DSN_DELAYED, true, false, HEADER_ONLY},
    {"Subject: x\r\n\r\nbody\r\n", DSN_RELAYED, true, false, HEADER_ONLY},
    {"Subject: x\r\n\r\nbody of many words, and gr\xc3\xbc\xc3\x9f"
     "e\r\n",
     DSN_FAILED, true, true,
     GLOBAL("quoted-printable") "Subject: x\r\n\r\nbody of many words, and gr=C3=BC=C3=9Fe\r\n"},
    {"Subject: x\r\n\r\nan older way of saying gr\xfc\xdf"
     "e\r\n",
     DSN_FAILED, true, true, GLOBAL("quoted-printable") "Subject: x\r\n\r\nan older way of saying gr=FC=DFe\r\n"},
    {"Subject: gr\xc3\xbc\xc3\x9f"
     "e, and ASCII\r\n\r\nbody\r\n",
     DSN_FAILED, true, true, GLOBAL("quoted-printable") "Subject: gr=C3=BC=C3=9Fe, and ASCII\r\n\r\nbody\r\n"},
    {"X: \xe6\x97\xa5\xe6\x9c\xac\r\n\r\n", DSN_FAILED, true, true, GLOBAL("base64") "WDog5pel5pysDQoNCg=="},
    {"Subject: gr\xfc\xdf"
     "e, and ASCII\r\n\r\nbody\r\n",
     DSN_FAILED, true, false,
     "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
     "Subject: gr=FC=DFe, and ASCII\r\n"},
};

START_TEST(test_returned)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v};
    struct dsn d = about(&r, 1);
    d.kind = return_rows[_i].kind;
    d.content = slice_of(return_rows[_i].content);
    d.whole = return_rows[_i].whole;
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_assert_slice_eq(p.original, return_rows[_i].original);
    ck_assert(slice_is_ascii(strbuf_slice(&out)));
    ck_has(p.human, return_rows[_i].returned ? "Your message is attached." : "The header of your message is attached.");
    strbuf_free(&out);
}
END_TEST

START_TEST(test_relayed)
{
    struct smtp_verdict v = verdict(250, "2.0.0", "queued"), bare = verdict(250, "", "ok");
    struct dsn_recipient r[] = {{.address = "b@x", .orcpt = "", .v = &v, .mx = "mx"},
                                {.address = "c@x", .orcpt = "", .v = &bare, .mx = "mx"}};
    struct dsn d = about(r, 2);
    d.kind = DSN_RELAYED;
    struct strbuf out = build(&d);
    struct parsed p = parse(strbuf_slice(&out));
    ck_has(p.head, "Subject: Passed on: hello\r\n");
    ck_has(p.machine, "rfc822; b@x\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx\r\n");
    ck_has(p.machine, "rfc822; c@x\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx\r\n");
    strbuf_free(&out);
}
END_TEST

/* The class of the status is that of the reply, whatever else the server wrote. */
START_TEST(test_status)
{
    struct smtp_verdict v = {.code = 550, .enhanced = "4.7.1", .text = "no"};
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v, .mx = "mx"};
    struct dsn d = about(&r, 1);
    struct strbuf out = build(&d);
    ck_has(strbuf_slice(&out), "\r\nStatus: 5.0.0\r\n");
    strbuf_free(&out);
}
END_TEST

START_TEST(test_without_header)
{
    struct smtp_verdict v = verdict(550, "5.1.1", "no");
    struct dsn_recipient r = {.address = "b@x", .orcpt = "", .v = &v};
    struct dsn d = about(&r, 1);
    d.content = SLICE("");
    struct strbuf out = build(&d);
    ck_has(strbuf_slice(&out), "Subject: Not delivered: your message to b@x\r\n");
    ck_has_not(strbuf_slice(&out), "rfc822-headers");
    strbuf_free(&out);
}
END_TEST

static const struct {
    const char *content;
    size_t max;
    const char *header;
} header_rows[] = {
    {"A: b\r\nC: d\r\n\r\nbody", 100, "A: b\r\nC: d\r\n"},
    {"A: b\r\nC: d\r\n", 100, "A: b\r\nC: d\r\n"},
    {"A: b\r\nC: d", 100, "A: b\r\n"},
    {"A: b\r\nC: d\r\n\r\n", 8, "A: b\r\n"},
    {"A: b\r\n\r\n", 3, ""},
    {"\r\nbody", 100, ""},
    {"", 100, ""},
};

START_TEST(test_header_of)
{
    ck_assert_slice_eq(dsn_header_of(slice_of(header_rows[_i].content), header_rows[_i].max), header_rows[_i].header);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery dsn");
    TCase *tc = tcase_create("text");
    tcase_add_test(tc, test_failed);
    tcase_add_test(tc, test_expired_and_own_words);
    tcase_add_test(tc, test_delayed);
    tcase_add_test(tc, test_hostile_text);
    tcase_add_test(tc, test_utf8_address);
    tcase_add_test(tc, test_utf8_original_recipient);
    tcase_add_test(tc, test_utf8_sender);
    tcase_add_loop_test(tc, test_returned, 0, ARRAY_LEN(return_rows));
    tcase_add_test(tc, test_relayed);
    tcase_add_test(tc, test_status);
    tcase_add_test(tc, test_original_encoded);
    tcase_add_test(tc, test_without_header);
    tcase_add_loop_test(tc, test_header_of, 0, ARRAY_LEN(header_rows));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
