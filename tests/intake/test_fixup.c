/* Fix-up: what is added, what is removed, and that all else stays. */
#include "../../src/intake/internal.h"
#include "../testing.h"

static struct config_domain domains[] = {{.name = (char *)"example.com"}, {.name = (char *)"xn--bcher-kva.example"}};
static const struct config config = {
    .hostname = (char *)"mail.example.com", .domains = domains, .n_domains = ARRAY_LEN(domains)};

enum { NOW = 1795255200 }; /* Sat, 21 Nov 2026 10:00:00 +0000 */

#define DATE  "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
#define WHOLE "Date: x\r\nMessage-ID: <i@d>\r\nFrom: a@example.com\r\n"

struct fixed {
    struct arena mem;
    struct strbuf out, changes;
    struct field_list fields;
    struct smtp_verdict v;
    int status;
};

static struct fixed fix(const char *header, const char *received)
{
    struct fixed f = {.mem = ARENA_INIT(0)};
    struct intake_fixup req = {&config, slice_of(received), NOW};
    f.status = intake_fixup(&f.mem, &req, slice_of(header), &f.out, &f.fields, &f.changes, &f.v);
    return f;
}

static void fixed_free(struct fixed *f)
{
    strbuf_free(&f->out);
    strbuf_free(&f->changes);
    arena_free(&f->mem);
}

/* ---- removed and kept ------------------------------------------------------------------------ */

static const struct {
    const char *header, *out, *changes;
} rows[] = {
    {WHOLE, WHOLE, ""},
    /* every octet stays: case, folds, blanks, 8-bit, order, unknown and repeated fields */
    {WHOLE "x-A:1\r\nX-a:   2 \t\r\nsubject:\r\n \ta\r\n  b \r\nX: \xc3\xa4\xff\r\nX-a: 3\r\n",
     WHOLE "x-A:1\r\nX-a:   2 \t\r\nsubject:\r\n \ta\r\n  b \r\nX: \xc3\xa4\xff\r\nX-a: 3\r\n", ""},
    /* RFC 5322 3.6.3, RFC 5321 4.4 */
    {"bCC: x@y,\r\n z@y\r\n" WHOLE "Bcc:\r\nRESENT-bcc: q@y\r\n", WHOLE,
     "bCC removed, Bcc removed, RESENT-bcc removed"},
    {"Return-Path: <a@b>\r\n" WHOLE "return-path: <>\r\nCc: k@l\r\n", WHOLE "Cc: k@l\r\n",
     "Return-Path removed, return-path removed"},
    /* verdicts in our name */
    {"Authentication-Results: mail.example.com; dkim=pass\r\n" WHOLE, WHOLE, "Authentication-Results removed"},
    {"Authentication-Results:\r\n (c (d) \\) e) MAIL.Example.com 1; none\r\n" WHOLE, WHOLE,
     "Authentication-Results removed"},
    {"Authentication-Results: \"mail.example.com\"; none\r\n" WHOLE, WHOLE, "Authentication-Results removed"},
    {"authentication-results:mail.example.com\r\n" WHOLE, WHOLE, "authentication-results removed"},
    {"Authentication-Results: mx.google.com; dkim=pass header.d=mail.example.com\r\n" WHOLE,
     "Authentication-Results: mx.google.com; dkim=pass header.d=mail.example.com\r\n" WHOLE, ""},
    {"Authentication-Results: mail.example.com.evil.example; x\r\n" WHOLE,
     "Authentication-Results: mail.example.com.evil.example; x\r\n" WHOLE, ""},
    {"Authentication-Results:\r\n" WHOLE, "Authentication-Results:\r\n" WHOLE, ""},
    {"Authentication-Results: (open; mail.example.com\r\n" WHOLE,
     "Authentication-Results: (open; mail.example.com\r\n" WHOLE, ""},
    /* older signatures of our domains */
    {"DKIM-Signature: v=1; a=x; d=example.com; s=y\r\n" WHOLE, WHOLE, "DKIM-Signature removed"},
    {"dkim-signature: v=1;d =\r\n Example.COM\r\n" WHOLE, WHOLE, "dkim-signature removed"},
    {"DKIM-Signature: d=xn--bcher-kva.example\r\n" WHOLE, WHOLE, "DKIM-Signature removed"},
    {"DKIM-Signature: d=other.example; s=example.com\r\n" WHOLE,
     "DKIM-Signature: d=other.example; s=example.com\r\n" WHOLE, ""},
    {"DKIM-Signature: bd=example.com\r\n" WHOLE, "DKIM-Signature: bd=example.com\r\n" WHOLE, ""},
    {"DKIM-Signature: d=sub.example.com\r\n" WHOLE, "DKIM-Signature: d=sub.example.com\r\n" WHOLE, ""},
    {"DKIM-Signature:\r\n" WHOLE, "DKIM-Signature:\r\n" WHOLE, ""},
    /* RFC 6409 8.2 */
    {"From: a@example.com\r\nMessage-ID: <i@d>\r\n", "From: a@example.com\r\nMessage-ID: <i@d>\r\n" DATE, "Date added"},
    {"From: a@example.com\r\nMESSAGE-id: <i@d>\r\nDATE:\r\n", "From: a@example.com\r\nMESSAGE-id: <i@d>\r\nDATE:\r\n",
     ""},
};

START_TEST(test_rows)
{
    struct fixed f = fix(rows[_i].header, "");
    ck_assert_msg(f.status == 0, "%d %s", f.v.code, f.v.text);
    ck_assert_slice_eq(strbuf_slice(&f.out), rows[_i].out);
    ck_assert_str_eq(strbuf_str(&f.changes), rows[_i].changes);
    fixed_free(&f);
}
END_TEST

/* ---- Message-ID (RFC 6409 8.3) --------------------------------------------------------------- */

static const struct {
    const char *from, *domain;
} id_rows[] = {
    {"From: Ann <a@example.org>\r\n", "@example.org>\r\n"},
    {"From: a@Example.ORG, b@example.org\r\n", "@example.org>\r\n"},
    {"From: a@b\xc3\xbc"
     "cher.example\r\n",
     "@xn--bcher-kva.example>\r\n"},
    {"From: (broken\r\n", "@mail.example.com>\r\n"}, /* refused later */
    {"", "@mail.example.com>\r\n"},
};

START_TEST(test_message_id)
{
    struct strbuf header = STRBUF_INIT;
    strbuf_addf(&header, "Date: x\r\n%s", id_rows[_i].from);
    struct fixed f = fix(strbuf_str(&header), ""), again = fix(strbuf_str(&header), "");
    ck_assert_int_eq(f.status, 0);
    ck_assert_str_eq(strbuf_str(&f.changes), "Message-ID added");
    ck_assert(slice_starts(strbuf_slice(&f.out), strbuf_slice(&header)));
    struct slice id = slice_skip(strbuf_slice(&f.out), header.n);
    ck_assert(slice_starts(id, SLICE("Message-ID: <")));
    ck_assert_str_eq(id.p + slice_find(id, '@'), id_rows[_i].domain);
    ck_assert_uint_ge(slice_find(id, '@'), 13 + 16); /* nothing to guess: T56 */
    ck_assert(!slice_eq(strbuf_slice(&f.out), strbuf_slice(&again.out)));
    fixed_free(&f);
    fixed_free(&again);
    strbuf_free(&header);
}
END_TEST

/* ---- refused --------------------------------------------------------------------------------- */

static const char *const bad_rows[] = {
    "no field\r\n", "From : a@b\r\n", " From: a@b\r\n", "From: a@b\r\n \r\n", ":x\r\n", "Fr\xc3\xb6m: x\r\n",
};

START_TEST(test_bad)
{
    struct fixed f = fix(bad_rows[_i], "");
    ck_assert_int_eq(f.status, -1);
    ck_assert_int_eq(f.v.code, 550);
    ck_assert_str_eq(f.v.enhanced, "5.6.0");
    fixed_free(&f);
}
END_TEST

START_TEST(test_loop)
{
    for (int n = MESSAGE_RECEIVED_MAX; n <= MESSAGE_RECEIVED_MAX + 1; n++) {
        struct strbuf header = STRBUF_INIT;
        for (int i = 0; i < n; i++)
            strbuf_add_str(&header, i % 2 ? "Received: x\r\n" : "received: y\r\n");
        strbuf_add_str(&header, WHOLE);
        struct fixed f = fix(strbuf_str(&header), "Received: by us\r\n");
        ck_assert_int_eq(f.status, n > MESSAGE_RECEIVED_MAX ? -1 : 0);
        if (n > MESSAGE_RECEIVED_MAX) {
            ck_assert_int_eq(f.v.code, 554);
            ck_assert_str_eq(f.v.enhanced, "5.4.6");
        }
        fixed_free(&f);
        strbuf_free(&header);
    }
}
END_TEST

/* ---- Received -------------------------------------------------------------------------------- */

#define TAIL " id 3F9K2M;\r\n  Sat, 21 Nov 2026 10:00:00 +0000\r\n"
#define PLAIN(h, ip_, tls_, hide, ext, u8)                                                                             \
    {                                                                                                                  \
        .hostname = "mail.example.com", .id = "3F9K2M", .hide_client = (hide), .authenticated = true,                  \
        .extended = (ext), .smtputf8 = (u8), .helo = {h, sizeof(h) - 1}, .client_ip = {ip_, sizeof(ip_) - 1}, .tls = { \
            tls_,                                                                                                      \
            sizeof(tls_) - 1                                                                                           \
        }                                                                                                              \
    }

static const struct {
    struct intake_trace trace;
    const char *want;
} received_rows[] = {
    {PLAIN("laptop", "192.0.2.1", "TLSv1.3", true, true, false), "Received: by mail.example.com with ESMTPSA" TAIL},
    {PLAIN("laptop", "192.0.2.1", "TLSv1.3", true, true, true), "Received: by mail.example.com with UTF8SMTPSA" TAIL},
    {PLAIN("laptop", "192.0.2.1", "", true, true, false), "Received: by mail.example.com with ESMTPA" TAIL},
    {PLAIN("laptop", "192.0.2.1", "TLSv1.3", true, false, false), "Received: by mail.example.com with SMTP" TAIL},
    {PLAIN("laptop", "192.0.2.1", "TLSv1.3", false, true, false),
     "Received: from laptop ([192.0.2.1])\r\n  by mail.example.com (TLSv1.3) with ESMTPSA" TAIL},
    {PLAIN("[IPv6:::1]", "2001:db8::1", "TLSv1.2", false, true, false),
     "Received: from [IPv6:::1] ([IPv6:2001:db8::1])\r\n  by mail.example.com (TLSv1.2) with ESMTPSA" TAIL},
    {PLAIN("h", "::ffff:192.0.2.1", "TLSv1.2", false, true, false),
     "Received: from h ([192.0.2.1])\r\n  by mail.example.com (TLSv1.2) with ESMTPSA" TAIL},
    /* a HELO that would be read as something else: T18 */
    {PLAIN("x)(by", "192.0.2.1", "TLSv1.3", false, true, false),
     "Received: from unknown ([192.0.2.1])\r\n  by mail.example.com (TLSv1.3) with ESMTPSA" TAIL},
    {PLAIN("a;b", "192.0.2.1", "TLSv1.3", false, true, false),
     "Received: from unknown ([192.0.2.1])\r\n  by mail.example.com (TLSv1.3) with ESMTPSA" TAIL},
    {PLAIN("b\xc3\xbc", "192.0.2.1", "TLSv1.3", false, true, false),
     "Received: from unknown ([192.0.2.1])\r\n  by mail.example.com (TLSv1.3) with ESMTPSA" TAIL},
    {{.hostname = "mail.example.com", .id = "3F9K2M"}, "Received: by mail.example.com" TAIL},
};

START_TEST(test_received)
{
    struct strbuf out = STRBUF_INIT;
    intake_received(&out, &received_rows[_i].trace, NOW);
    ck_assert_slice_eq(strbuf_slice(&out), received_rows[_i].want);
    struct fixed f = fix(WHOLE, strbuf_str(&out));
    ck_assert_int_eq(f.status, 0);
    ck_assert(slice_starts(strbuf_slice(&f.out), strbuf_slice(&out)));
    ck_assert_uint_eq(f.fields.n, 4);
    fixed_free(&f);
    strbuf_free(&out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake fix-up");
    TCase *tc = tcase_create("fixup");
    tcase_add_loop_test(tc, test_rows, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_message_id, 0, (int)ARRAY_LEN(id_rows));
    tcase_add_loop_test(tc, test_bad, 0, (int)ARRAY_LEN(bad_rows));
    tcase_add_test(tc, test_loop);
    tcase_add_loop_test(tc, test_received, 0, (int)ARRAY_LEN(received_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
