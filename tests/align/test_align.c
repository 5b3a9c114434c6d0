/* Who may send as whom: every trick with sender fields that is known is refused, and what goes out aligns. */
#include "testing.h"

#include "sendas/align.h"

static struct arena arena;

static void setup(void)
{
    arena = ARENA_INIT(4 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(&arena);
}

/* As users_pattern_matches, which stands in another room. */
static bool matches(const char *pattern, struct slice local, struct slice domain)
{
    struct slice want;
    struct slice want_domain = slice_cut(slice_of(pattern), '@', &want);
    return (slice_eq(want, SLICE("*")) || slice_eq_icase(want, local)) && domain_eq(want_domain, domain);
}

static const char *return_path_of(void *ctx, const char *domain)
{
    static const struct {
        const char *domain, *return_path;
    } ours[] = {
        {"example.com", ""},
        {"example.org", "bounce@example.org"},
        {"xn--mller-kva.example", ""},
    };
    ck_assert_ptr_eq(ctx, &arena);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strcmp(ours[i].domain, domain) == 0)
            return ours[i].return_path;
    return NULL;
}

static const char *return_path_of_any(void *ctx, const char *domain)
{
    return ctx != NULL && domain[0] != '\0' ? "" : NULL;
}

static const char *const send_as[] = {"me@example.com",          "sales@example.com",    "*@example.org",
                                      "*@m\xc3\xbcller.example", "\xc3\xb6@example.com", "me@nokey.example",
                                      "me@gmail.example"};

/* Runs align_check on `header`; mail_from NULL is the null sender. */
static int run(struct slice header, const char *mail_from, bool smtputf8, size_t n_send_as, struct align_result *ret,
               struct smtp_verdict *v)
{
    struct field_list fields;
    struct err err = {0};
    ck_assert_msg(fields_parse(&arena, header, &fields, &err) == 0, "%.*s: %s", SLICE_ARG(header), err.text);
    struct align_request req = {.fields = &fields,
                                .send_as = send_as,
                                .n_send_as = n_send_as,
                                .null_sender = mail_from == NULL,
                                .mail_from = slice_of(mail_from),
                                .smtputf8 = smtputf8,
                                .pattern_matches = matches,
                                .return_path_of = return_path_of,
                                .ctx = &arena};
    return align_check(&arena, &req, ret, v);
}

/* ---- what is refused ----------------------------------------------------------------------------- */

#define FROM "From: me@example.com\r\n"

static const struct {
    struct slice header;
    const char *reply; /* as it begins */
} refused_rows[] = {
    /* From: not there, or more than once */
    {SLICE(""), "550 5.6.0 The message has no From: field"},
    {SLICE("To: me@example.com\r\n"), "550 5.6.0 The message has no From: field"},
    {SLICE("Sender: me@example.com\r\n"), "550 5.6.0 The message has no From: field"},
    {SLICE(FROM "From: you@evil.example\r\n"), "550 5.6.0 The message has more than one From: field"},
    {SLICE("From: you@evil.example\r\n" FROM), "550 5.6.0 The message has more than one From: field"},
    {SLICE(FROM FROM), "550 5.6.0 The message has more than one From: field"},
    {SLICE(FROM "fROM: you@evil.example\r\n"), "550 5.6.0 The message has more than one From: field"},
    /* From: that two readers read differently */
    {SLICE("From:\r\n"), "550 5.6.0 From: is not clear: an empty address or list member"},
    {SLICE("From: me\r\n"), "550 5.6.0 From: is not clear: text without an address"},
    {SLICE("From: <me@example.com> <you@evil.example>\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: <you@evil.example> <me@example.com>\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: <me@example.com> you@evil.example\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: me@example.com <you@evil.example>\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: you@evil.example <me@example.com>\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: <@evil.example,@x.example:me@example.com>\r\n"), "550 5.6.0 From: is not clear: a route"},
    {SLICE("From: <you@evil.example>\\, <me@example.com>\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: =?utf-8?B?PHlvdUBldmlsLmV4YW1wbGU+?=, <me@example.com>\r\n"),
     "550 5.6.0 From: is not clear: a display name"},
    {SLICE("From: =?utf-8?B?PHlvdUBldmlsLmV4YW1wbGU+?= <me@example.com>\r\n"),
     "550 5.6.0 From: is not clear: a display name"},
    {SLICE("From: =?utf-8?Q?you=40evil.example=00?=@example.com\r\n"), "550 5.6.0 From: is not clear: an encoded word"},
    {SLICE("From: (<you@evil.example>) me@example.com\r\n"), "550 5.6.0 From: is not clear: a comment"},
    {SLICE("From: \"<you@evil.example>\" <me@example.com>\r\n"), "550 5.6.0 From: is not clear: a display name"},
    {SLICE("From: you@evil.example(\r\n <me@example.com>)\r\n"), "550 5.6.0 From: is not clear: a comment"},
    {SLICE("From: \"you@evil.example\"@example.org\r\n"), "550 5.6.0 From: is not clear: a quoted local part"},
    {SLICE("From: you@evil.example@example.com\r\n"), "550 5.6.0 From: is not clear: text behind an address"},
    {SLICE("From: me@example.com,\r\n"), "550 5.6.0 From: is not clear: an empty address or list member"},
    {SLICE("From: me@example.com, <>\r\n"), "550 5.6.0 From: is not clear: a malformed local part"},
    {SLICE("From: Team: me@example.com;\r\n"), "550 5.6.0 From: is not clear: a group"},
    {SLICE("From: <me@example.com\r\n"), "550 5.6.0 From: is not clear: an address that '>' does not follow"},
    {SLICE("From: caf\xe9 <me@example.com>\r\n"), "550 5.6.0 From: is not clear: 8-bit text that is not UTF-8"},
    {SLICE("From: me@example.com\x01\r\n"), "550 5.6.0 From: is not clear: a control octet"},
    /* an address that the user may not use, in whichever field */
    {SLICE("From: you@evil.example\r\n"), "550 5.7.1 You may not send as you@evil.example (From:)"},
    {SLICE("From: you@example.com\r\n"), "550 5.7.1 You may not send as you@example.com (From:)"},
    {SLICE("From: me@sub.example.com\r\n"), "550 5.7.1 You may not send as me@sub.example.com (From:)"},
    {SLICE("From: me@example.com.evil.example\r\n"), "550 5.7.1 You may not send as me@example.com.evil.example"},
    {SLICE("From: \"me@example.com\" <you@evil.example>\r\n"), "550 5.7.1 You may not send as you@evil.example"},
    {SLICE("From: \"m e\"@example.com\r\n"), "550 5.7.1 You may not send as \"m e\"@example.com (From:)"},
    {SLICE("From: me@example.com, you@evil.example\r\n"), "550 5.7.1 You may not send as you@evil.example (From:)"},
    {SLICE("From: you@evil.example, me@example.com\r\n"), "550 5.7.1 You may not send as you@evil.example (From:)"},
    {SLICE("From: me@example.com, you@example.com\r\n"), "550 5.7.1 You may not send as you@example.com (From:)"},
    {SLICE(FROM "Sender: you@evil.example\r\n"), "550 5.7.1 You may not send as you@evil.example (Sender:)"},
    {SLICE(FROM "Resent-From: you@evil.example\r\n"), "550 5.7.1 You may not send as you@evil.example (Resent-From:)"},
    {SLICE("Resent-From: me@example.com\r\n" FROM "resent-from: you@evil.example\r\n"),
     "550 5.7.1 You may not send as you@evil.example (Resent-From:)"},
    {SLICE(FROM "Resent-Sender: me@example.com\r\nResent-Sender: you@evil.example\r\n"),
     "550 5.7.1 You may not send as you@evil.example (Resent-Sender:)"},
    {SLICE("From: me@[192.0.2.1]\r\n"), "550 5.7.1 From: has an address without a domain name: [192.0.2.1]"},
    {SLICE("From: me@[IPv6:::1]\r\n"), "550 5.7.1 From: has an address without a domain name: [IPv6:::1]"},
    {SLICE(FROM "Sender: me@[192.0.2.1]\r\n"), "550 5.7.1 Sender: has an address without a domain name"},
    {SLICE("From: me@example_.com\r\n"), "550 5.6.0 From: has a domain that is no name: "},
    /* Sender: exactly one address, at most one field */
    {SLICE(FROM "Sender: me@example.com, sales@example.com\r\n"), "550 5.6.0 Sender: is not clear: not exactly one"},
    {SLICE(FROM "Sender: <me@example.com> <you@evil.example>\r\n"), "550 5.6.0 Sender: is not clear: text behind"},
    {SLICE(FROM "Sender:\r\n"), "550 5.6.0 Sender: is not clear: an empty address or list member"},
    {SLICE(FROM "Resent-From: \r\n"), "550 5.6.0 Resent-From: is not clear: an empty address or list member"},
    {SLICE(FROM "Resent-Sender: me@example.com, me@example.com\r\n"), "550 5.6.0 Resent-Sender: is not clear: not"},
    /* domains */
    {SLICE("From: me@example.com, me@example.org\r\n"), "550 5.7.1 From: has authors of several domains"},
    {SLICE("From: me@nokey.example\r\n"), "550 5.7.1 There is no DKIM key for nokey.example"},
    /* RFC 6531: UTF-8 addresses in a transaction without SMTPUTF8 */
    {SLICE("From: \xc3\xb6@example.com\r\n"), "553 5.6.7 A non-ASCII address in From: needs SMTPUTF8"},
    {SLICE("From: me@m\xc3\xbcller.example\r\n"), "553 5.6.7 A non-ASCII address in From: needs SMTPUTF8"},
    {SLICE(FROM "Sender: me@m\xc3\xbcller.example\r\n"), "553 5.6.7 A non-ASCII address in Sender: needs SMTPUTF8"},
    /* two fields where one may stand */
    {SLICE(FROM "Date: 1\r\ndate: 2\r\n"), "550 5.6.0 The message has more than one Date: field"},
    {SLICE(FROM "Sender: me@example.com\r\nSender: me@example.com\r\n"),
     "550 5.6.0 The message has more than one Sender:"},
    {SLICE(FROM "Reply-To: a@x\r\nReply-To: a@x\r\n"), "550 5.6.0 The message has more than one Reply-To: field"},
    {SLICE(FROM "To: a@x\r\nTo: b@x\r\n"), "550 5.6.0 The message has more than one To: field"},
    {SLICE(FROM "Cc: a@x\r\nCC: b@x\r\n"), "550 5.6.0 The message has more than one Cc: field"},
    {SLICE(FROM "Message-ID: <a@x>\r\nMessage-Id: <b@x>\r\n"), "550 5.6.0 The message has more than one Message-ID:"},
    {SLICE(FROM "In-Reply-To: <a@x>\r\nIn-Reply-To: <b@x>\r\n"),
     "550 5.6.0 The message has more than one In-Reply-To:"},
    {SLICE(FROM "References: <a@x>\r\nReferences: <b@x>\r\n"), "550 5.6.0 The message has more than one References:"},
    {SLICE(FROM "Subject: a\r\nSubject: a\r\n"), "550 5.6.0 The message has more than one Subject: field"},
    {SLICE(FROM "MIME-Version: 1.0\r\nMime-Version: 1.0\r\n"), "550 5.6.0 The message has more than one MIME-Version:"},
    {SLICE(FROM "Content-Type: text/plain\r\nContent-type: text/html\r\n"),
     "550 5.6.0 The message has more than one Content-Type:"},
    {SLICE(FROM "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"),
     "550 5.6.0 The message has more than one Content-Transfer-Encoding: field"},
};

START_TEST(test_refused)
{
    struct align_result r;
    struct smtp_verdict v = {0};
    char reply[600];
    int rc = run(refused_rows[_i].header, "me@example.com", false, ARRAY_LEN(send_as), &r, &v);
    ck_assert_msg(rc == -1, "accepted: %.*s", SLICE_ARG(refused_rows[_i].header));
    snprintf(reply, sizeof(reply), "%d %s %s", v.code, v.enhanced, v.text);
    ck_assert_msg(slice_starts(slice_of(reply), slice_of(refused_rows[_i].reply)), "%.*s-> %s",
                  SLICE_ARG(refused_rows[_i].header), reply);
    ck_assert(slice_is_ascii(slice_of(reply)));
}
END_TEST

/* ---- what is accepted, and what goes on the wire ------------------------------------------------------ */

static const struct {
    struct slice header;
    const char *mail_from; /* NULL: the null sender */
    bool smtputf8;
    const char *domain, *sender, *bounce_to;
} accepted_rows[] = {
    /* the client's own, when it aligns; as it was written */
    {SLICE(FROM), "me@example.com", false, "example.com", "me@example.com", "me@example.com"},
    {SLICE(FROM), "Me@EXAMPLE.com", false, "example.com", "Me@EXAMPLE.com", "Me@EXAMPLE.com"},
    {SLICE("From: \"Ann\" <Me@Example.COM> (work)\r\n"), "sales@example.com", false, "example.com", "sales@example.com",
     "sales@example.com"},
    {SLICE("From: any@example.org\r\n"), "\"other one\"@example.org", false, "example.org", "\"other one\"@example.org",
     "\"other one\"@example.org"},
    /* the null sender stays */
    {SLICE(FROM), NULL, false, "example.com", "", ""},
    {SLICE("From: any@example.org\r\n"), NULL, false, "example.org", "", ""},
    /* an address that is not the user's: From's takes its place, or the return path */
    {SLICE(FROM), "you@evil.example", false, "example.com", "me@example.com", "me@example.com"},
    {SLICE(FROM), "you@example.com", false, "example.com", "me@example.com", "me@example.com"},
    {SLICE("From: Me@Example.COM\r\n"), "x@gmail.example", false, "example.com", "Me@example.com", "Me@example.com"},
    {SLICE("From: any@example.org\r\n"), "x@gmail.example", false, "example.org", "bounce@example.org",
     "any@example.org"},
    /* the user's, but of another domain: bounces go there, the wire aligns strictly */
    {SLICE(FROM), "me@gmail.example", false, "example.com", "me@example.com", "me@gmail.example"},
    {SLICE(FROM), "any@example.org", false, "example.com", "me@example.com", "any@example.org"},
    {SLICE("From: any@example.org\r\n"), "me@gmail.example", false, "example.org", "bounce@example.org",
     "me@gmail.example"},
    {SLICE("From: any@example.org\r\n"), "x@sub.example.org", false, "example.org", "bounce@example.org",
     "any@example.org"},
    {SLICE(FROM), "me@[192.0.2.1]", false, "example.com", "me@example.com", "me@example.com"},
    {SLICE("From: \"a \\\"n\\\" y\"@m\xc3\xbcller.example\r\n"), "x@gmail.example", true, "xn--mller-kva.example",
     "\"a \\\"n\\\" y\"@xn--mller-kva.example", "\"a \\\"n\\\" y\"@xn--mller-kva.example"},
    /* several authors of one domain, Sender and Resent fields that are the user's */
    {SLICE("From: me@example.com, Sales <sales@EXAMPLE.com>\r\nSender: me@example.com\r\n"), "x@y.example", false,
     "example.com", "me@example.com", "me@example.com"},
    {SLICE(FROM "Sender: Any <any@example.org>\r\n"), "me@example.com", false, "example.com", "me@example.com",
     "me@example.com"},
    {SLICE("Resent-From: a@example.org\r\nResent-From: me@example.com\r\nResent-Sender: "
           "b@example.org\r\nResent-Sender: me@example.com\r\n" FROM),
     "me@example.com", false, "example.com", "me@example.com", "me@example.com"},
    /* fields that are nobody's address to check, and repeated fields that may repeat */
    {SLICE(FROM "Reply-To: you@evil.example\r\nReceived: a\r\nReceived: b\r\nComments: a\r\nComments: b\r\nBcc: "
                "a@x\r\nBcc: b@x\r\nX-From: you@evil.example\r\n"),
     "me@example.com", false, "example.com", "me@example.com", "me@example.com"},
    /* U-labels: signed, compared and sent as A-labels; NFC, NFD and capitals are one domain */
    {SLICE("From: me@m\xc3\xbcller.example\r\n"), "me@xn--mller-kva.example", true, "xn--mller-kva.example",
     "me@xn--mller-kva.example", "me@xn--mller-kva.example"},
    {SLICE("From: me@xn--mller-kva.example\r\n"), "me@m\xc3\xbcller.example", true, "xn--mller-kva.example",
     "me@m\xc3\xbcller.example", "me@m\xc3\xbcller.example"},
    {SLICE("From: me@mu\xcc\x88ller.example\r\n"), "me@M\xc3\x9cLLER.example", true, "xn--mller-kva.example",
     "me@M\xc3\x9cLLER.example", "me@M\xc3\x9cLLER.example"},
    {SLICE("From: me@XN--MLLER-KVA.example\r\n"), "x@gmail.example", false, "xn--mller-kva.example",
     "me@xn--mller-kva.example", "me@xn--mller-kva.example"},
    {SLICE("From: me@m\xc3\xbcller.example\r\n"), "x@gmail.example", true, "xn--mller-kva.example",
     "me@xn--mller-kva.example", "me@xn--mller-kva.example"},
    {SLICE("From: \xc3\xb6@example.com\r\n"), "x@gmail.example", true, "example.com", "\xc3\xb6@example.com",
     "\xc3\xb6@example.com"},
    /* a display name in UTF-8 is no UTF-8 address */
    {SLICE("From: J\xc3\xb6rg <me@example.com>\r\n"), "me@example.com", false, "example.com", "me@example.com",
     "me@example.com"},
};

START_TEST(test_accepted)
{
    struct align_result r;
    struct smtp_verdict v = {0};
    const char *mail_from = accepted_rows[_i].mail_from;
    int rc = run(accepted_rows[_i].header, mail_from, accepted_rows[_i].smtputf8, ARRAY_LEN(send_as), &r, &v);
    ck_assert_msg(rc == 0, "%.*s-> %d %s", SLICE_ARG(accepted_rows[_i].header), v.code, v.text);
    ck_assert_str_eq(r.domain, accepted_rows[_i].domain);
    ck_assert_slice_eq(r.sender, accepted_rows[_i].sender);
    ck_assert_slice_eq(r.bounce_to, accepted_rows[_i].bounce_to);
    ck_assert(r.rewritten == (mail_from != NULL && strcmp(mail_from, accepted_rows[_i].sender) != 0));
}
END_TEST

/* With SMTPUTF8 a UTF-8 address is judged like any other. */
static const struct {
    struct slice header;
    const char *reply;
} utf8_rows[] = {
    {SLICE("From: me@\xd0\xb5xample.com\r\n"),
     "550 5.7.1 You may not send as me@\xd0\xb5xample.com (From:)"}, /* Cyrillic */
    {SLICE("From: \xc3\xbc@example.com\r\n"), "550 5.7.1 You may not send as \xc3\xbc@example.com (From:)"},
    {SLICE("From: m\xd0\xb5@example.com\r\n"), "550 5.7.1 You may not send as m\xd0\xb5@example.com (From:)"},
    {SLICE("From: me@example\xe3\x80\x82"
           "com\r\n"),
     "550 5.6.0 From: is not clear: a domain with a dot that is none"},
    {SLICE("From: me@example\xef\xbc\x8f.com\r\n"), "550 5.6.0 From: has a domain that is no name: "},
    {SLICE("From: me\xc2\x80@example.com\r\n"), "550 5.6.0 From: is not clear: a control character"},
};

START_TEST(test_utf8_refused)
{
    struct align_result r;
    struct smtp_verdict v = {0};
    char reply[600];
    ck_assert_int_eq(run(utf8_rows[_i].header, "me@example.com", true, ARRAY_LEN(send_as), &r, &v), -1);
    snprintf(reply, sizeof(reply), "%d %s %s", v.code, v.enhanced, v.text);
    ck_assert_msg(slice_starts(slice_of(reply), slice_of(utf8_rows[_i].reply)), "%s", reply);
}
END_TEST

START_TEST(test_utf8_mail_from)
{
    struct align_result r;
    struct smtp_verdict v = {0};
    ck_assert_int_eq(run(SLICE(FROM), "\xc3\xb6@example.com", false, ARRAY_LEN(send_as), &r, &v), -1);
    ck_assert_int_eq(v.code, 553);
    ck_assert_str_eq(v.enhanced, "5.6.7");
}
END_TEST

/* The `sign` filter: no user, so every address of a domain of ours, and no MAIL FROM. */
START_TEST(test_without_user)
{
    struct align_result r;
    struct smtp_verdict v = {0};
    ck_assert_int_eq(run(SLICE("From: whoever@example.com\r\n"), "", false, 0, &r, &v), 0);
    ck_assert_str_eq(r.domain, "example.com");
    ck_assert_slice_eq(r.sender, "whoever@example.com");
    ck_assert_slice_eq(r.bounce_to, "whoever@example.com");
    ck_assert_int_eq(run(SLICE("From: whoever@evil.example\r\n"), "", false, 0, &r, &v), -1);
    ck_assert_int_eq(v.code, 550);
    ck_assert_str_eq(v.enhanced, "5.7.1");
    ck_assert_str_eq(v.text, "There is no DKIM key for the domain of whoever@evil.example (From:)");
}
END_TEST

START_TEST(test_bound)
{
    struct strbuf header = STRBUF_INIT;
    struct align_result r;
    struct smtp_verdict v = {0};
    strbuf_add_str(&header, FROM);
    for (int i = 1; i < 100; i++)
        strbuf_add_str(&header, "Resent-From: me@example.com\r\n");
    ck_assert_int_eq(run(strbuf_slice(&header), "me@example.com", false, ARRAY_LEN(send_as), &r, &v), 0);
    strbuf_add_str(&header, "Resent-Sender: me@example.com\r\n");
    ck_assert_int_eq(run(strbuf_slice(&header), "me@example.com", false, ARRAY_LEN(send_as), &r, &v), -1);
    ck_assert_int_eq(v.code, 550);
    ck_assert_str_eq(v.enhanced, "5.6.0");
    strbuf_free(&header);
}
END_TEST

/* The U-label fits into a path, the A-label that goes on the wire does not. */
START_TEST(test_path_too_long)
{
#define LABEL                                                                                                          \
    "\xc3\xbc"                                                                                                         \
    "23456789012345678901234567890123456789012345678901."
    static const char *const pattern[] = {"*@" LABEL LABEL LABEL LABEL "example"};
    static const struct slice header = SLICE("From: a234567890123456789@" LABEL LABEL LABEL LABEL "example\r\n");
    struct field_list fields;
    struct align_result r;
    struct smtp_verdict v = {0};
    ck_assert_int_eq(fields_parse(&arena, header, &fields, NULL), 0);
    struct align_request req = {.fields = &fields,
                                .send_as = pattern,
                                .n_send_as = 1,
                                .smtputf8 = true,
                                .pattern_matches = matches,
                                .return_path_of = return_path_of_any,
                                .ctx = &arena};
    ck_assert_int_eq(align_check(&arena, &req, &r, &v), -1);
    ck_assert_int_eq(v.code, 550);
    ck_assert(slice_starts(slice_of(v.text), SLICE("The address in From: cannot be an envelope sender: ")));
}
END_TEST

/* However little memory there is, the answer is "later", never a refusal and never an acceptance by mistake. */
START_TEST(test_no_memory)
{
    static const struct slice header = SLICE("From: \"a\\b\"@example.org\r\nSender: \"c\\d\"@example.org\r\n");
    struct field_list fields;
    ck_assert_int_eq(fields_parse(&arena, header, &fields, NULL), 0);
    struct align_request req = {.fields = &fields,
                                .send_as = send_as,
                                .n_send_as = ARRAY_LEN(send_as),
                                .mail_from = SLICE("\"e\\f\"@gmail.example"),
                                .pattern_matches = matches,
                                .return_path_of = return_path_of,
                                .ctx = &arena};
    int rc = -1, failures = 0;
    for (size_t max = 1; rc < 0; max += 8, failures++) {
        struct arena small = ARENA_INIT(max);
        struct align_result r;
        struct smtp_verdict v = {0};
        rc = align_check(&small, &req, &r, &v);
        if (rc < 0) {
            ck_assert_int_eq(v.code, 451);
            ck_assert_str_eq(v.enhanced, "4.3.0");
        } else {
            ck_assert_slice_eq(r.sender, "bounce@example.org");
            ck_assert_slice_eq(r.bounce_to, "ab@example.org");
        }
        arena_free(&small);
    }
    ck_assert_int_gt(failures, 10);
}
END_TEST

START_TEST(test_no_memory_to_refuse)
{
    static const struct slice header = SLICE("From: you@evil.example\r\n");
    int later = 0, code = 0;
    for (size_t max = 1; code != 550; max += 8) {
        struct arena small = ARENA_INIT(max);
        struct align_result r;
        struct smtp_verdict v = {0};
        struct field_list fields;
        ck_assert_int_eq(fields_parse(&arena, header, &fields, NULL), 0);
        struct align_request req = {.fields = &fields,
                                    .send_as = send_as,
                                    .n_send_as = ARRAY_LEN(send_as),
                                    .pattern_matches = matches,
                                    .return_path_of = return_path_of,
                                    .ctx = &arena};
        ck_assert_int_eq(align_check(&small, &req, &r, &v), -1);
        code = v.code;
        ck_assert(code == 550 || code == 451);
        later += code == 451;
        arena_free(&small);
    }
    ck_assert_int_gt(later, 8);
}
END_TEST

static Suite *align_suite(void)
{
    Suite *s = suite_create("align/align");
    TCase *tc = tcase_create("align");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_refused, 0, ARRAY_LEN(refused_rows));
    tcase_add_loop_test(tc, test_accepted, 0, ARRAY_LEN(accepted_rows));
    tcase_add_loop_test(tc, test_utf8_refused, 0, ARRAY_LEN(utf8_rows));
    tcase_add_test(tc, test_utf8_mail_from);
    tcase_add_test(tc, test_without_user);
    tcase_add_test(tc, test_bound);
    tcase_add_test(tc, test_path_too_long);
    tcase_add_test(tc, test_no_memory);
    tcase_add_test(tc, test_no_memory_to_refuse);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(align_suite)
