/* Header fields made ASCII and folded; values with parameters. */
#include "mime/naive.h"
#include "testing.h"

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X900 X100 X100 X100 X100 X100 X100 X100 X100 X100
#define UE   "\xc3\xbc"

/* NULL: refused */
static const struct {
    const char *in, *out;
} rows[] = {
    /* unstructured: RFC 2047 5 (1) */
    {"Subject: Gr" UE "n", "Subject: =?utf-8?B?R3LDvG4=?="},
    {"Subject: a Gr" UE "n b", "Subject: a =?utf-8?B?R3LDvG4=?= b"},
    {"Subject: a " UE "ber  den T" UE "r b", "Subject: a =?utf-8?B?w7xiZXI=?=  den =?utf-8?Q?T=C3=BCr?= b"},
    {"Subject: " UE "  " UE, "Subject: =?utf-8?B?w7wgIMO8?="},                 /* blanks between are text */
    {"Subject: =?utf-8?Q?a?= " UE, "Subject: =?utf-8?Q?a?= =?utf-8?B?IMO8?="}, /* 6.2 */
    {"Subject: " UE " =?utf-8?Q?a?=", "Subject: =?utf-8?B?w7wg?= =?utf-8?Q?a?="},
    {"Subject: =?utf-8?Q?a " UE, "Subject: =?utf-8?Q?a =?utf-8?B?w7w=?="},
    {"Subject:" UE, "Subject: =?utf-8?B?w7w=?="},
    {"Subject: Gr\xfcn", "Subject: =?unknown-8bit?Q?Gr=FCn?="}, /* RFC 1428 */
    {"Subject: " UE "\r\n folded " UE, "Subject: =?utf-8?B?w7w=?= folded =?utf-8?B?w7w=?="},
    {"Subject: " UE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" UE,
     "Subject: =?utf-8?Q?=C3=BCxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx?=\r\n"
     " =?utf-8?Q?xxxxxxxxxxxxxxxxxxxxxxxxxxxx=C3=BC?="},
    {"X-Something: " UE, "X-Something: =?utf-8?B?w7w=?="},
    {"Content-Description: " UE, "Content-Description: =?utf-8?B?w7w=?="},
    {"X-" X10 X10 X10 X10 ": " UE UE UE UE UE UE UE UE UE UE UE UE,
     "X-" X10 X10 X10 X10 ":\r\n =?utf-8?B?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8?="}, /* at most 76 a line */
    /* phrases and comments: 5 (3), 5 (2) */
    {"From: J" UE "rgen <j@example.com>", "From: =?utf-8?Q?J=C3=BCrgen?= <j@example.com>"},
    {"From: \"M" UE "ller, \\\"J\\\"\" <j@example.com>", "From: =?utf-8?B?TcO8bGxlciwgIkoi?= <j@example.com>"},
    {"From: Dr. J" UE " M. X <j@example.com>", "From: Dr. =?utf-8?B?SsO8?= M. X <j@example.com>"},
    {"From: =?utf-8?Q?a?= " UE " <j@example.com>", "From: =?utf-8?Q?a?= =?utf-8?B?IMO8?= <j@example.com>"},
    {"To: a@b.example (J" UE " (x) \\(" UE "), " UE " <c@d.example>",
     "To: a@b.example (=?utf-8?B?SsO8?= (x) =?utf-8?B?KMO8?=), =?utf-8?B?w7w=?=\r\n <c@d.example>"},
    {"To: Gr" UE "n: a@b.example, \"c d\"@e.example;, x@y.example",
     "To: =?utf-8?B?R3LDvG4=?=: a@b.example, \"c d\"@e.example;, x@y.example"},
    {"Cc: <a@b.example>, " UE UE "<c@d.example>", "Cc: <a@b.example>, =?utf-8?B?w7zDvA==?=<c@d.example>"},
    {"Keywords: a, " UE ", \"b " UE "\"", "Keywords: a, =?utf-8?B?w7w=?=, =?utf-8?Q?b_=C3=BC?="},
    {"List-Id: " UE " <l.example.com>", "List-Id: =?utf-8?B?w7w=?= <l.example.com>"},
    {"From: j" UE "@example.com", NULL},
    {"From: X <j@ex" UE ".example>", NULL},
    {"From: <j@b.example> (" UE, NULL},
    {"From: \"" UE " <j@b.example>", NULL},
    {"From: x\"" UE "\" <j@b.example>", NULL},
    {"To: " UE ", x@b.example", NULL},
    /* where no text may stand */
    {"Message-ID: <" UE "@example.com>", NULL},
    {"References: <" UE "@example.com>", NULL},
    {"Received: by " UE "; Sat, 21 Nov 2026 10:00:00 +0000", NULL},
    {"Date: " UE, NULL},
    {"MIME-Version: 1.0 (" UE ")", NULL},
    /* parameters: RFC 2231 */
    {"Content-Type: application/pdf; name=\"" UE ".pdf\"", "Content-Type: application/pdf; name*=utf-8''%C3%BC.pdf"},
    {"Content-Type: text/plain; a=1; name=" UE "; b=2", "Content-Type: text/plain; a=1; name*=utf-8''%C3%BC; b=2"},
    {"Content-Disposition: attachment; filename=\"a \\\"" UE "\\\" *'%.txt\"; size=3",
     "Content-Disposition: attachment;\r\n filename*=utf-8''a%20%22%C3%BC%22%20%2A%27%25.txt; size=3"},
    {"Content-Disposition: attachment; filename=\"\xfc.txt\"",
     "Content-Disposition: attachment; filename*=unknown-8bit''%FC.txt"},
    {"Content-Disposition: attachment; filename=\"" UE "\"; filename*=utf-8''%C3%BC",
     "Content-Disposition: attachment; filename*=utf-8''%C3%BC"},
    {"Content-Disposition: attachment; filename=\"" UE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" UE "xxxxxx\"",
     "Content-Disposition: attachment;\r\n filename*0*=utf-8''%C3%BCxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%C3;\r\n"
     " filename*1*=%BCxxxxxx"},
    {"Content-Disposition: attachment; filename=" UE " b", NULL},
    {"Content-Disposition: attachment; filename=\"" UE, NULL},
    {"Content-Type: multipart/mixed; boundary=\"" UE "\"", NULL},
    {"Content-Disposition: att" UE "chment", NULL},
    {"Content-Type: text/plain (" UE "); a=b", NULL},
    /* long lines: the unfolded text stays */
    {"Subject: " X900 X100, NULL},
    {"Subject: a " X900 X100, NULL},
    {"Subject: a " X900 " b " X100, "Subject: a\r\n " X900 "\r\n b\r\n " X100},
    {"X-A: a\r\n b " X900 X10 X10 X10 X10 X10 X10 X10 X10 X10 " b  \t ",
     "X-A: a b\r\n " X900 X10 X10 X10 X10 X10 X10 X10 X10 X10 "\r\n b"},
    {"References: <" X900 "@a.example> <" X100 "@a.example>",
     "References: <" X900 "@a.example>\r\n <" X100 "@a.example>"},
    {"Subject: " UE " " X900 X100, NULL},
};

START_TEST(test_field)
{
    struct strbuf in = STRBUF_INIT, want = STRBUF_INIT, header = STRBUF_INIT, body = STRBUF_INIT;
    struct mime_report r;
    struct err err = {{0}};
    strbuf_addf(&in, "X-Before: 1\r\n%s\r\nX-After: 2\r\n", rows[_i].in);
    int status = naive_normalise(strbuf_slice(&in), SLICE("x\r\n"), false, &header, &body, &r, &err);
    if (rows[_i].out == NULL) {
        ck_assert_msg((status == MIME_REFUSED || status == MIME_NEEDS_UTF8) && slice_is_ascii(slice_of(err.text)) &&
                          err.text[0] != '\0',
                      "row %s: %d \"%s\"", rows[_i].in, status, strbuf_str(&header));
    } else {
        ck_assert_msg(status == 0, "row %s: %s", rows[_i].in, err.text);
        strbuf_addf(&want, "X-Before: 1\r\n%s\r\nX-After: 2\r\n", rows[_i].out);
        ck_assert_str_eq(strbuf_str(&header), strbuf_str(&want));
        ck_assert(r.header_changed && !r.body_changed && !r.kept_8bit);
    }
    strbuf_free(&in);
    strbuf_free(&want);
    strbuf_free(&header);
    strbuf_free(&body);
}
END_TEST

/* With SMTPUTF8 (RFC 6531) the header is UTF-8, and only folded. */
START_TEST(test_smtputf8)
{
    struct strbuf header = STRBUF_INIT, body = STRBUF_INIT;
    struct mime_report r;
    struct err err = {{0}};
    struct slice plain = SLICE("From: J" UE " <j" UE "@ex" UE ".example>\r\n");
    ck_assert_int_eq(naive_normalise(plain, SLICE(""), true, &header, &body, &r, &err), 0);
    ck_assert(!r.header_changed && !r.body_changed && !r.kept_8bit && r.summary[0] == '\0');
    strbuf_reset(&header);
    ck_assert_int_eq(
        naive_normalise(SLICE("Subject: " UE " " X900 " " X100 "\r\n"), SLICE(""), true, &header, &body, &r, &err), 0);
    ck_assert_str_eq(strbuf_str(&header), "Subject: " UE "\r\n " X900 "\r\n " X100 "\r\n");
    ck_assert_int_eq(naive_normalise(SLICE("Subject: \xfc\r\n"), SLICE(""), true, &header, &body, &r, &err),
                     MIME_REFUSED);
    ck_assert_str_eq(err.text, "The header field Subject has 8-bit octets that are not UTF-8");
    strbuf_free(&header);
    strbuf_free(&body);
}
END_TEST

/* ---- values and parameters ------------------------------------------------------------------- */

static const struct {
    const char *in, *out; /* NULL: malformed */
} value_rows[] = {
    {"text/plain", "text|plain"},
    {" text / plain ; charset = utf-8 ", "text|plain|charset=utf-8"},
    {"text/plain;charset=\"a\\\"b\\\\ c\"", "text|plain|charset=a\"b\\ c"},
    {"(c1 (n) \\) x) text/plain (c2); (c3) a=b (c4)", "text|plain|a=b"},
    {"text/plain;; a=b;", "text|plain|a=b"},
    {"multipart/mixed; boundary=----=_Part:1/2?", "multipart|mixed|boundary=----=_Part:1/2?"},
    {"multipart/mixed;\r\n\tboundary=\"a\r\n b\"", "multipart|mixed|boundary=a b"},
    {"attachment; filename=\xc3\xbc", "attachment||filename=\xc3\xbc"},
    {"base64", "base64|"},
    {"", NULL},
    {"/plain", NULL},
    {"text/", NULL},
    {"text/plain charset=utf-8", NULL},
    {"text/plain (open", NULL},
    {"text/plain; charset", NULL},
    {"text/plain; =utf-8", NULL},
    {"text/plain; charset=", NULL},
    {"text/plain; charset=\"open", NULL},
    {"text/plain; charset=\"a\"b", NULL},
    {"text/plain; charset=a b", NULL},
    {"text/plain; charset=a(b", NULL},
    {"text/plain; filename=a,b", NULL},
};

START_TEST(test_value)
{
    struct mime_value v;
    struct mime_param p;
    struct strbuf out = STRBUF_INIT;
    int more = mime_value_parse(slice_of(value_rows[_i].in), &v);
    if (more == 0) {
        strbuf_addf(&out, "%.*s|%.*s", SLICE_ARG(v.type), SLICE_ARG(v.subtype));
        while ((more = mime_param_next(&v.params, &p)) > 0) {
            strbuf_addf(&out, "|%.*s=", SLICE_ARG(p.name));
            mime_param_text(&p, &out);
        }
    }
    if (value_rows[_i].out == NULL)
        ck_assert_msg(more < 0, "row %s", value_rows[_i].in);
    else
        ck_assert_str_eq(strbuf_str(&out), value_rows[_i].out);
    strbuf_free(&out);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("fields");
    TCase *tc = tcase_create("fields");
    tcase_add_loop_test(tc, test_field, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, test_smtputf8);
    tcase_add_loop_test(tc, test_value, 0, ARRAY_LEN(value_rows));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
