/* The normal form: messages in, messages out.  Lines are written with \n here. */
#include "mime/naive.h"
#include "testing.h"

#define UE    "\xc3\xbc"
#define X10   "xxxxxxxxxx"
#define X100  X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X1000 X100 X100 X100 X100 X100 X100 X100 X100 X100 X100
#define MIXED "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n"

static const struct {
    const char *name, *in;
    const char *out;     /* NULL: unchanged */
    const char *summary; /* NULL: none */
} rows[] = {
    /* ---- what gets an encoding ------------------------------------------------------------------- */
    {"8-bit text without MIME fields", "Subject: a\n\nGr" UE "\xc3\x9f\x65 aus dem sch\xc3\xb6nen Ort\n",
     "Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
     "quoted-printable\n\n"
     "Gr=C3=BC=C3=9Fe aus dem sch=C3=B6nen Ort\n",
     "1 part to quoted-printable"},
    {"8-bit text that is no UTF-8", "Subject: a\n\na text with one \xfc\n",
     "Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n"
     "Content-Transfer-Encoding: quoted-printable\n\na text with one =FC\n",
     "1 part to quoted-printable"},
    {"a character that is cut short", "\na text that ends\xc3\n",
     "MIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: "
     "quoted-printable\n\n"
     "a text that ends=C3\n",
     "1 part to quoted-printable"},
    {"base64, where that is shorter", "\n" UE UE UE "\n",
     "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw7zDvMO8DQo=\n",
     "1 part to base64"},
    {"the charset stays, and none is added",
     "Content-Type: text/plain\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nTo: a\n\na text with one " UE "\n",
     "Content-Type: text/plain\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\nTo: a\n\n"
     "a text with one =C3=BC\n",
     "1 part to quoted-printable"},
    {"a long line", "Subject: a\n\n" X100 " " X1000 "\n",
     "Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: "
     "quoted-printable\n\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxx xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
     "1 part to quoted-printable"},
    {"data: line ends are data",
     "MIME-Version: 1.0\nContent-Type: application/json\n\n{\"name\": \"one single " UE " in it\"}\n",
     "MIME-Version: 1.0\nContent-Type: application/json\nContent-Transfer-Encoding: quoted-printable\n\n"
     "{\"name\": \"one single =C3=BC in it\"}=0D=0A=\n",
     "1 part to quoted-printable"},
    /* ---- parts ----------------------------------------------------------------------------------- */
    {"only the part concerned",
     MIXED "\npreamble\n--b\n\nplain\n--b\nContent-Type: text/html; charset=iso-8859-1\n\n<p>\xfc in it</p> \n\n--b\n"
           "Content-Transfer-Encoding: base64\n\nQUJD\n--b--\nepilogue\n",
     MIXED "\npreamble\n--b\n\nplain\n--b\nContent-Type: text/html; charset=iso-8859-1\n"
           "Content-Transfer-Encoding: quoted-printable\n\n<p>=FC in it</p>=20\n\n--b\n"
           "Content-Transfer-Encoding: base64\n\nQUJD\n--b--\nepilogue\n",
     "1 part to quoted-printable"},
    {"nested, and the labels around",
     MIXED "Content-Transfer-Encoding: 8bit\n\n--b\nContent-Type: multipart/alternative; boundary=\"b "
           "b\"\nContent-Transfer-Encoding: binary\n\n"
           "--b b \t\n\ntext with one " UE
           "\n--b b--\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: " UE "\n\n"
           "another text, one " UE "\n--b--\n",
     MIXED "Content-Transfer-Encoding: 7bit\n\n--b\nContent-Type: multipart/alternative; boundary=\"b "
           "b\"\nContent-Transfer-Encoding: 7bit\n\n"
           "--b b \t\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ntext "
           "with one =C3=BC\n"
           "--b b--\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: =?utf-8?B?w7w=?=\n"
           "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
           "another text, one =C3=BC\n--b--\n",
     "2 parts to quoted-printable"},
    {"an outer boundary ends the parts inside, no last boundary",
     MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntext with one " UE
           "\n--b\n\n--c is text, and " UE "\n",
     MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\n"
           "Content-Transfer-Encoding: quoted-printable\n\ntext with one =C3=BC\n--b\nContent-Type: text/plain; "
           "charset=utf-8\n"
           "Content-Transfer-Encoding: quoted-printable\n\n--c is text, and =C3=BC\n",
     "2 parts to quoted-printable"},
    {"parts without header or content", MIXED "\n--b\n\n--b\n--b\n\n\n--b--\n", NULL, NULL},
    {"digest: messages unless they say otherwise",
     "Content-Type: multipart/digest; boundary=b\nMIME-Version: 1.0\n\n--b\n\nSubject: " UE
     "\n\nx\n--b\nContent-Type: text/plain\n\n"
     "Subject: a text with " UE "\n--b--\n",
     "Content-Type: multipart/digest; boundary=b\nMIME-Version: 1.0\n\n--b\n\nSubject: "
     "=?utf-8?B?w7w=?=\n\nx\n--b\nContent-Type: text/plain\n"
     "Content-Transfer-Encoding: quoted-printable\n\nSubject: a text with =C3=BC\n--b--\n",
     "1 part to quoted-printable"},
    {"MIME-Version is added where it was missing",
     "Content-Type: multipart/mixed; boundary=b\n\n--b\n\na text with one " UE "\n--b--\n",
     "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/plain; charset=utf-8\n"
     "Content-Transfer-Encoding: quoted-printable\n\na text with one =C3=BC\n--b--\n",
     "1 part to quoted-printable"},
    {"part headers",
     MIXED "\n--b\nContent-Type: image/png; name=\"" UE ".png\"\nContent-Description: " UE "\n\nx\n--b--\n",
     MIXED
     "\n--b\nContent-Type: image/png; name*=utf-8''%C3%BC.png\nContent-Description: =?utf-8?B?w7w=?=\n\nx\n--b--\n",
     "labels and headers of parts"},
    {"message/global is content (RFC 6532 3.7)",
     MIXED "\n--b\nContent-Type: message/global\n\nSubject: one " UE " in it\n\ntext\n--b--\n",
     MIXED "\n--b\nContent-Type: message/global\nContent-Transfer-Encoding: quoted-printable\n\nSubject: one =C3=BC in "
           "it\n\ntext\n--b--\n",
     "1 part to quoted-printable"},
    {"around the parts: readable, and safe",
     MIXED "\nno MIME reader sees this " UE "\n--b\n\nx\n--b--\nnor this " UE "\n",
     MIXED "\nno MIME reader sees this =C3=BC\n--b\n\nx\n--b--\nnor this =C3=BC\n", "2 parts to quoted-printable"},
    {"padding behind a boundary",
     MIXED "\n--b"
           "          "
           "\n\nx\n--b--\n",
     NULL, NULL},
    /* ---- labels ---------------------------------------------------------------------------------- */
    {"what says 8bit and is not", "MIME-Version: 1.0\nContent-Transfer-Encoding: 8BIT (x)\n\nplain\n",
     "MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n\nplain\n", "labels and headers of parts"},
    /* ---- encoded already ------------------------------------------------------------------------- */
    {"quoted-printable with 8-bit octets",
     "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\na=3D" UE " =0D=0A=\nb \n",
     "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\na=3D=C3=BC =0D=0Ab\n",
     "1 part to quoted-printable"},
    {"broken quoted-printable is kept",
     "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\na=b " UE "\n", NULL,
     "8-bit octets kept in a part of broken quoted-printable"},
    {"8-bit octets in base64 are kept", "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nQUJD" UE "\n", NULL,
     "8-bit octets kept in a part of broken base64"},
    /* ---- sealed ---------------------------------------------------------------------------------- */
    {"signed",
     "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\n\n" UE
     "\n--b\n\nsig\n--b--\n",
     NULL, "8-bit octets kept in a signed part"},
    {"signed inside, and text beside it",
     MIXED "\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\n" UE "\n--c--\n--b\n\na list's footer, with " UE
           "\n--b--\n",
     MIXED "\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\n" UE
           "\n--c--\n--b\nContent-Type: text/plain; charset=utf-8\n"
           "Content-Transfer-Encoding: quoted-printable\n\na list's footer, with =C3=BC\n--b--\n",
     "1 part to quoted-printable; 8-bit octets kept in a signed part"},
    {"encrypted", "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\n" UE "\n--b--\n", NULL,
     "8-bit octets kept in an encrypted part"},
    {"S/MIME", "Content-Type: application/pkcs7-mime\n\n" UE "\n", NULL, "8-bit octets kept in an S/MIME part"},
    {"an unknown encoding", "Content-Transfer-Encoding: x-uuencode\n\n" UE "\n", NULL,
     "8-bit octets kept in a part of an unknown Content-Transfer-Encoding"},
    {"an encoding that may not be there", MIXED "Content-Transfer-Encoding: base64\n\n--b\n\n" UE "\n--b--\n", NULL,
     "8-bit octets kept in a multipart or message with a Content-Transfer-Encoding that is not allowed"},
    {"types that may not be encoded", MIXED "\n--b\nContent-Type: message/external-body\n\n" UE "\n--b--\n", NULL,
     "8-bit octets kept in a part of a type that may not be encoded"},
    {"no boundary", "Content-Type: multipart/mixed\n\n" UE "\n", NULL,
     "8-bit octets kept in a multipart without a usable boundary"},
    {"two boundaries", "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n\n" UE "\n--b--\n", NULL,
     "8-bit octets kept in a multipart without a usable boundary"},
    {"no parts", "Content-Type: multipart/mixed; boundary=b\n\n--c\n\n" UE "\n", NULL,
     "8-bit octets kept in a multipart without parts"},
    {"two types", "Content-Type: text/plain\nContent-Type: text/html\n\n" UE "\n", NULL,
     "8-bit octets kept in a part with a repeated Content field"},
    {"a boundary in a boundary", MIXED "\n--b\nContent-Type: multipart/mixed; boundary=b\n\n" UE "\n--b--\n", NULL,
     "8-bit octets kept in a multipart with the boundary of one around it"},
    {"a line that may be a boundary (RFC 2046 5.1.2)", MIXED "\n--b\n\n" UE "\n--b or not\n--b--\n", NULL,
     "8-bit octets kept in a part with a line that some programs take for a boundary"},
    {"no header field", MIXED "\n--b\nno field " UE "\n\nx\n--b--\n", NULL,
     "8-bit octets kept in a part whose header cannot be read"},
    {"no empty line", MIXED "\n--b\nSubject: " UE "\n--b--\n", NULL,
     "8-bit octets kept in a part without an empty line behind its header"},
    {"an address inside that is no ASCII",
     MIXED "\n--b\nContent-Type: message/rfc822\n\nFrom: " UE "@x.example\n\nx\n--b--\n", NULL,
     "8-bit octets kept in the header of a part"},
};

static void with_crlf(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            strbuf_add_char(out, '\r');
        strbuf_add_char(out, *text);
    }
}

static int normalise(struct strbuf *in, struct strbuf *out, struct mime_report *r, struct err *err)
{
    struct strbuf header = STRBUF_INIT, body = STRBUF_INIT;
    struct slice old_body = strbuf_slice(in), old_header = naive_header(&old_body);
    int status = naive_normalise(old_header, old_body, false, &header, &body, r, err);
    strbuf_reset(out);
    strbuf_add_slice(out, strbuf_slice(&header));
    strbuf_add_str(out, "\r\n");
    strbuf_add_slice(out, strbuf_slice(&body));
    strbuf_free(&header);
    strbuf_free(&body);
    return status;
}

START_TEST(test_rows)
{
    struct strbuf in = STRBUF_INIT, want = STRBUF_INIT, out = STRBUF_INIT, again = STRBUF_INIT;
    struct mime_report r;
    struct err err = {{0}};
    const char *summary = rows[_i].summary != NULL ? rows[_i].summary : "";
    with_crlf(&in, rows[_i].in);
    with_crlf(&want, rows[_i].out != NULL ? rows[_i].out : rows[_i].in);
    ck_assert_msg(normalise(&in, &out, &r, &err) == 0, "%s: %s", rows[_i].name, err.text);
    ck_assert_msg(slice_eq(strbuf_slice(&out), strbuf_slice(&want)), "%s: got\n%s", rows[_i].name, strbuf_str(&out));
    ck_assert_msg(strcmp(r.summary, summary) == 0, "%s: %s", rows[_i].name, r.summary);
    ck_assert_msg((r.header_changed || r.body_changed) == (rows[_i].out != NULL), "%s", rows[_i].name);
    ck_assert_msg(r.kept_8bit == !slice_is_ascii(strbuf_slice(&out)), "%s", rows[_i].name);
    ck_assert_int_eq(normalise(&out, &again, &r, &err), 0);
    ck_assert_msg(!r.header_changed && !r.body_changed && slice_eq(strbuf_slice(&out), strbuf_slice(&again)), "%s",
                  rows[_i].name);
    strbuf_free(&in);
    strbuf_free(&want);
    strbuf_free(&out);
    strbuf_free(&again);
}
END_TEST

static const struct {
    const char *in, *reason;
    int status;
} refused_rows[] = {
    {"Content-Type: multipart/signed; boundary=b\n\n--b\n\n" X1000 "\n--b--\n",
     "The message has a signed part with a line of 1000 octets, and 998 is the limit: have your mail program use "
     "quoted-printable or base64",
     MIME_REFUSED},
    {"Content-Transfer-Encoding: x-uuencode\n\n" X1000 "\n",
     "The message has a part of an unknown Content-Transfer-Encoding with a line of 1000 octets, and 998 is the limit: "
     "have your mail "
     "program use quoted-printable or base64",
     MIME_REFUSED},
    {"Content-Transfer-Encoding: base64\n\n" X1000 "\n--\n",
     "The message has a part of broken base64 with a line of 1000 octets, and 998 is the limit: have your mail program "
     "use "
     "quoted-printable or base64",
     MIME_REFUSED},
    {MIXED "\n--b\nContent-Type: message/rfc822\n\nSubject: " X1000 "\n\nx\n--b--\n",
     "The header field Subject has a line of more than 998 octets that cannot be folded", MIME_REFUSED},
    {"From: j" UE "@example.com\n\nx\n",
     "The header field From has 8-bit octets where only ASCII may stand without SMTPUTF8", MIME_NEEDS_UTF8},
    {"no field\n\nx\n", "header line 1: no header field: there is no colon", MIME_REFUSED},
};

START_TEST(test_refused)
{
    struct strbuf in = STRBUF_INIT, out = STRBUF_INIT;
    struct mime_report r;
    struct err err = {{0}};
    with_crlf(&in, refused_rows[_i].in);
    ck_assert_int_eq(normalise(&in, &out, &r, &err), refused_rows[_i].status);
    ck_assert_str_eq(err.text, refused_rows[_i].reason);
    strbuf_free(&in);
    strbuf_free(&out);
}
END_TEST

/* ---- bounds ---------------------------------------------------------------------------------- */

START_TEST(test_depth)
{
    struct strbuf in = STRBUF_INIT, text = STRBUF_INIT, out = STRBUF_INIT;
    struct mime_report r;
    struct err err;
    for (int deep = MIME_DEPTH_MAX; deep <= 5000; deep = deep == MIME_DEPTH_MAX ? deep + 1 : deep * 5) {
        strbuf_reset(&text);
        strbuf_reset(&in);
        for (int i = 0; i < deep; i++)
            strbuf_addf(&text, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
        strbuf_add_str(&text, "\na text with one " UE "\n");
        with_crlf(&in, strbuf_str(&text));
        ck_assert_int_eq(normalise(&in, &out, &r, &err), 0);
        ck_assert(r.kept_8bit == (deep > MIME_DEPTH_MAX) && r.body_changed != r.kept_8bit);
        ck_assert(!r.kept_8bit || strcmp(r.summary, "8-bit octets kept in a part nested too deeply") == 0);
    }
    strbuf_free(&in);
    strbuf_free(&text);
    strbuf_free(&out);
}
END_TEST

START_TEST(test_parts)
{
    struct strbuf in = STRBUF_INIT, out = STRBUF_INIT;
    struct mime_report r;
    struct err err;
    for (int parts = MIME_PARTS_MAX - 1; parts <= MIME_PARTS_MAX; parts++) {
        strbuf_reset(&in);
        with_crlf(&in, MIXED "\n");
        for (int i = 0; i < parts; i++)
            strbuf_add_str(&in, "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\na text with one " UE "\r\n");
        strbuf_add_str(&in, "--b--\r\n");
        ck_assert_int_eq(normalise(&in, &out, &r, &err), parts < MIME_PARTS_MAX ? 0 : MIME_REFUSED);
        ck_assert_uint_eq(r.to_quoted_printable, MIME_PARTS_MAX - 1);
    }
    ck_assert_str_eq(err.text, "The message has more than 10000 parts");
    strbuf_free(&in);
    strbuf_free(&out);
}
END_TEST

/* Lines, headers and boundaries around the size of the reader's buffer. */
START_TEST(test_buffer_edges)
{
    struct strbuf in = STRBUF_INIT, out = STRBUF_INIT, before = STRBUF_INIT, after = STRBUF_INIT;
    struct mime_report r;
    struct err err;
    for (size_t n = 65520; n < 65560; n++) {
        struct slice body;
        strbuf_reset(&in);
        strbuf_reset(&before);
        strbuf_reset(&after);
        with_crlf(&in, MIXED "\n--b\n\n");
        for (size_t i = 0; i < n; i++)
            strbuf_add_char(&in, 'x');
        with_crlf(&in, UE "\r\n--b\n\n" UE "\n--b--\n");
        ck_assert_int_eq(normalise(&in, &out, &r, &err), 0);
        ck_assert(r.to_quoted_printable + r.to_base64 == 2 && slice_is_ascii(strbuf_slice(&out)));
        body = strbuf_slice(&in);
        naive_read(&before, naive_header(&body), body);
        body = strbuf_slice(&out);
        naive_read(&after, naive_header(&body), body);
        ck_assert(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    }
    strbuf_free(&in);
    strbuf_free(&out);
    strbuf_free(&before);
    strbuf_free(&after);
}
END_TEST

START_TEST(test_long_padding)
{
    struct strbuf in = STRBUF_INIT, out = STRBUF_INIT, want = STRBUF_INIT;
    struct mime_report r;
    struct err err;
    with_crlf(&in, MIXED "\n--b");
    for (size_t i = 0; i < 2000; i++)
        strbuf_add_char(&in, ' ');
    with_crlf(&in, "\n\nx\n--b--\n");
    with_crlf(&want, MIXED "\n--b\n\nx\n--b--\n");
    ck_assert_int_eq(normalise(&in, &out, &r, &err), 0);
    ck_assert_str_eq(strbuf_str(&out), strbuf_str(&want));
    strbuf_free(&in);
    strbuf_free(&out);
    strbuf_free(&want);
}
END_TEST

/* ---- what fails on our side ------------------------------------------------------------------ */

static ssize_t fail_to_read(void *ctx, uint64_t offset, void *buf, size_t n)
{
    (void)ctx, (void)offset, (void)buf, (void)n;
    return -1;
}

static int fail_to_write(void *ctx, struct slice bytes, struct err *err)
{
    (void)ctx, (void)bytes;
    return err_set(err, "disk full");
}

START_TEST(test_failures)
{
    struct slice header = SLICE("Subject: a\r\n"), body = SLICE("a text with one " UE "\r\n");
    struct mime_source source = {naive_source_read, &body, body.n}, broken = {fail_to_read, NULL, 10};
    struct mime_sink full = {fail_to_write, NULL};
    struct mime_plan *plan;
    struct err err;
    for (size_t max = 0;; max += 16) {
        struct arena a = ARENA_INIT(max + 1);
        int status = mime_scan(&a, header, &source, false, &plan, &err);
        arena_free(&a);
        if (status == 0)
            break;
        ck_assert_int_eq(status, MIME_FAILED);
        ck_assert_str_eq(err.text, "out of memory");
    }
    struct arena a = ARENA_INIT(0);
    ck_assert_int_eq(mime_scan(&a, header, &broken, false, &plan, &err), MIME_FAILED);
    ck_assert_str_eq(err.text, "cannot read the message");
    ck_assert_int_eq(mime_scan(&a, header, &source, false, &plan, &err), 0);
    ck_assert_int_eq(mime_rewrite(plan, NULL, &full, &err), MIME_FAILED);
    ck_assert_str_eq(err.text, "disk full");
    body.n -= 5;
    ck_assert_int_eq(mime_rewrite(plan, NULL, &full, &err), MIME_FAILED);
    struct strbuf small = {.max = 20};
    ck_assert_int_eq(mime_rewrite(plan, &small, NULL, &err), MIME_FAILED);
    ck_assert_str_eq(err.text, "out of memory");
    strbuf_free(&small);
    arena_free(&a);
}
END_TEST

static const struct {
    const char *header;
    bool body_8bit;
    uint64_t line;
    bool plain;
} plain_rows[] = {
    {"", false, 0, true},
    {"Subject: a\r\nContent-Transfer-Encoding: 7bit\r\n", false, 998, true},
    {"Subject: a\r\n", false, 999, false},
    {"Subject: a\r\n", true, 10, false},
    {"Subject: " UE "\r\n", false, 10, false},
    {"Subject: " X1000 "\r\n", false, 10, false},
    {"A: b\r\ncontent-transfer-encoding:8BIT\r\n", false, 10, false},
    {"Content-Transfer-Encoding: binary\r\n", false, 10, false},
};

START_TEST(test_is_plain)
{
    ck_assert(mime_is_plain(slice_of(plain_rows[_i].header), plain_rows[_i].body_8bit,
                            plain_rows[_i].line > MESSAGE_LINE_MAX) == plain_rows[_i].plain);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("normal form");
    TCase *tc = tcase_create("normal form");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_rows, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_refused, 0, ARRAY_LEN(refused_rows));
    tcase_add_test(tc, test_depth);
    tcase_add_test(tc, test_parts);
    tcase_add_test(tc, test_buffer_edges);
    tcase_add_test(tc, test_long_padding);
    tcase_add_test(tc, test_failures);
    tcase_add_loop_test(tc, test_is_plain, 0, ARRAY_LEN(plain_rows));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
