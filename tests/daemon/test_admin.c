/* The admin listener: which requests it takes, and that nothing which others say breaks out of its pages. */
#include "../../src/daemon/admin.h"

#include "testing.h"

#define HOST "mail.example.org"

/* ---- requests ------------------------------------------------------------------------------------------- */

enum { MORE = -1 }; /* not complete */

/* RFC 9112 3, 3.2, 5, RFC 9110 5.5, 5.6.2 */
static const struct {
    const char *bytes;
    int refusal;
    const char *path;
    bool head;
} requests[] = {
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1:9587\r\n\r\n", 0, "/", false},
    {"HEAD /metrics HTTP/1.1\r\nhost:localhost\r\n\r\n", 0, "/metrics", true},
    {"GET /healthz?x=/y HTTP/1.0\r\n\r\n", 0, "/healthz", false},
    {"GET /a HTTP/1.1\r\nX: \tb c \r\nHost: [::1]:80 \r\n\r\nrest", 0, "/a", false},
    {"GET http://localhost:1/m?q HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, "/m", false},
    {"GET HTTP://[::1]/ HTTP/1.1\r\nHost: MAIL.example.ORG\r\n\r\n", 0, "/", false},
    {"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, "", false},
    {"", MORE, NULL, false},
    {"GET / HTTP/1.1", MORE, NULL, false},
    {"GET / HTTP/1.1\r", MORE, NULL, false},
    {"GET / HTTP/1.1\r\nHost: localhost\r\n\r", MORE, NULL, false},
    {"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, NULL, false},
    {"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, NULL, false},
    {"GET / HTTP/1.1\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, NULL, false},
    {"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n", 400, NULL, false},
    {"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, NULL, false},
    {"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n", 505, NULL, false},
    {"GET /\r\nHost: localhost\r\n\r\n", 400, NULL, false},
    {"\r\n\r\n", 400, NULL, false},
    {"EHLO me\r\n", 400, NULL, false},
    {"GET / HTTP/1.1\nHost", 400, NULL, false},
    {"\x16\x03\x01", 400, NULL, false},
    {"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, NULL, false},
    {"GET http://evil.example@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, NULL, false},
    {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, NULL, false},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 403, NULL, false},
};

START_TEST(test_requests)
{
    struct admin_request r;
    const char *bytes = requests[_i].bytes;
    bool complete = admin_request_read(slice_of(bytes), HOST, &r);

    ck_assert_msg(complete == (requests[_i].refusal != MORE), "%s", bytes);
    if (!complete)
        return;
    ck_assert_msg(r.refusal == requests[_i].refusal, "%s: %d", bytes, r.refusal);
    if (r.refusal != 0) {
        ck_assert_str_ne(r.why, "");
        return;
    }
    ck_assert_msg(slice_eq(r.path, slice_of(requests[_i].path)), "%s: %.*s", bytes, SLICE_ARG(r.path));
    ck_assert(r.head == requests[_i].head);
}
END_TEST

/* However it comes in pieces, a request is taken when it is complete and not before. */
START_TEST(test_pieces)
{
    static const char whole[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct admin_request r;

    for (size_t n = 0; n < sizeof(whole) - 1; n++)
        ck_assert_msg(!admin_request_read(slice_from(whole, n), HOST, &r), "%zu", n);
    ck_assert(admin_request_read(slice_of(whole), HOST, &r));
}
END_TEST

START_TEST(test_long_header)
{
    struct strbuf b = STRBUF_INIT;
    struct admin_request r;

    strbuf_add_str(&b, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
    while (b.n < ADMIN_HEAD_MAX - 4)
        strbuf_add_char(&b, 'x');
    ck_assert(!admin_request_read(strbuf_slice(&b), HOST, &r));
    strbuf_add_str(&b, "xxxx");
    ck_assert(admin_request_read(strbuf_slice(&b), HOST, &r));
    ck_assert_int_eq(r.refusal, 431);
    strbuf_free(&b);
}
END_TEST

static const struct {
    const char *host;
    bool allowed;
} hosts[] = {
    {"127.0.0.1", true},
    {"192.0.2.1:9587", true},
    {"[::1]", true},
    {"[2001:db8::1]:1", true},
    {"localhost", true},
    {"LocalHost:80", true},
    {"localhost:", true},
    {"mail.example.org", true},
    {"Mail.Example.Org:1", true},
    {"example.org", false},
    {"evil.example", false},
    {"127.0.0.1.evil.example", false},
    {"localhost.evil.example", false},
    {"evil.example:127.0.0.1", false},
    {"::1", false},
    {"[::1", false},
    {"[::1]x", false},
    {"[]", false},
    {"[127.0.0.1]", false},
    {"localhost:65536", false},
    {"localhost:8x", false},
    {"2130706433", false},
    {"0x7f000001", false},
    {"1.2.3", false},
    {"localhost ", true},
    {"a@localhost", false},
    {"[fe80::1%25eth0]", false},
};

START_TEST(test_hosts)
{
    char bytes[256];
    struct admin_request r;

    snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[_i].host);
    ck_assert(admin_request_read(slice_of(bytes), HOST, &r));
    ck_assert_msg(r.refusal == (hosts[_i].allowed ? 0 : 403), "%s: %d", hosts[_i].host, r.refusal);
}
END_TEST

/* ---- reasons -------------------------------------------------------------------------------------------- */

static const struct {
    const char *reply, *shown;
} reasons[] = {
    {"", ""},
    {"450 4.2.1 try later", "450 4.2.1 try later"},
    {"450 <bob@example.net>: busy", "450 <...@example.net>: busy"},
    {"bob@example.net is over quota", "...@example.net is over quota"},
    {"to=<\"a b\"@x.test>", "to=<...@x.test>"},
    {"a+tag=x/y@x.test, b.c@y.test", "...@x.test, ...@y.test"},
    {"j\xc3\xbcrgen@x.test", "...@x.test"},
    {"meet @ noon", "meet @ noon"},
    {"@", "@"},
    {"a@b@c", "...@...@c"},
    {"\"@x", "...@x"},
    {"no\r\nsuch\ttoken\x7f", "no??such?token?"},
    {"bad \xff\xc3 utf-8", "bad ?? utf-8"},
    {"turn \xe2\x80\xae around", "turn ??? around"},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
};

START_TEST(test_reasons)
{
    char out[ADMIN_REASON];
    admin_reason(reasons[_i].reply, out);
    ck_assert_str_eq(out, reasons[_i].shown);
}
END_TEST

/* Any length, any octets: it fits, and is UTF-8. */
START_TEST(test_long_reasons)
{
    static const char *const units[] = {"x",   "\xc3\xbc",         "a@",   "@",     "\"",
                                        "\"@", "\xf0\x9f\x98\x80", "\xff", "\x01@", "a b@c "};
    char out[ADMIN_REASON], in[1200];

    for (size_t unit = 0; unit < ARRAY_LEN(units); unit++)
        for (size_t shift = 0; shift < 5; shift++) {
            size_t n = 0;
            for (; n < shift; n++)
                in[n] = 'y';
            for (; n + 8 < sizeof(in); n += strlen(units[unit]))
                strcpy(in + n, units[unit]);
            admin_reason(in, out);
            ck_assert_uint_lt(strlen(out), sizeof(out));
            ck_assert(slice_is_utf8(slice_of(out)));
            ck_assert_uint_ge(strlen(out), 3);
        }
}
END_TEST

/* ---- pages ---------------------------------------------------------------------------------------------- */

#define HOSTILE  "\"><script>alert('1')</script>&amp;\\\n"
#define HARMLESS "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;\\\n"

static struct key_state keys[] = {
    {HOSTILE, HOSTILE, "rsa-sha256", "active", "good", "", false},
    {"b.test", "s2", "ed25519-sha256", "waiting", "missing", HOSTILE, false},
    {"c.test", "s3", "rsa-sha256", "stopped", "another", HOSTILE, true},
};

static struct admin_facts hostile(void)
{
    struct admin_facts f = {.version = HOSTILE,
                            .hostname = HOSTILE,
                            .ill = HOSTILE,
                            .now_s = 1000000,
                            .reload_error = HOSTILE,
                            .certificate_problem = HOSTILE,
                            .certificate_end_s = 2000000,
                            .keys = keys,
                            .n_keys = ARRAY_LEN(keys),
                            .n_listeners = 2,
                            .listeners = {{.address = "::", .port = 587},
                                          {.address = "192.0.2.1", .port = 465, .tls = CONFIG_TLS_IMPLICIT}},
                            .n_places = 1};
    f.queue.messages = 1;
    f.places[0].queue = (struct queue_place){.domain = HOSTILE, .messages = 1};
    snprintf(f.places[0].reason, sizeof(f.places[0].reason), "%s", HOSTILE);
    return f;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

START_TEST(test_page_escapes)
{
    struct admin_facts f = hostile();
    struct strbuf out = STRBUF_INIT;

    admin_page(&f, &out);
    ck_assert(!out.failed);
    ck_assert_ptr_null(strstr(out.p, "<script"));
    ck_assert_ptr_null(strstr(out.p, "\"><"));
    ck_assert_uint_ge(count(out.p, HARMLESS), 10);
    ck_assert_ptr_nonnull(strstr(out.p, "No mail is accepted"));
    ck_assert_uint_eq(count(out.p, "<section"), count(out.p, "</section>"));
    ck_assert_uint_eq(count(out.p, "<ul"), count(out.p, "</ul>"));
    ck_assert_uint_eq(count(out.p, "<li>"), count(out.p, "</li>"));
    strbuf_free(&out);
}
END_TEST

START_TEST(test_page_verdicts)
{
    struct admin_facts f = {.version = "1",
                            .hostname = HOST,
                            .reload_error = "",
                            .certificate_problem = "",
                            .now_s = 86400,
                            .certificate_end_s = 86400 * 31,
                            .late_after_s = 3600};
    struct strbuf out = STRBUF_INIT;

    admin_page(&f, &out);
    ck_assert_ptr_nonnull(strstr(out.p, "All is well"));
    ck_assert_ptr_nonnull(strstr(out.p, "30 days left"));
    f.queue.messages = 1;
    f.queue.oldest_age_ms = 3600 * 1000;
    strbuf_reset(&out);
    admin_page(&f, &out);
    ck_assert_ptr_nonnull(strstr(out.p, "All is well"));
    f.queue.oldest_age_ms = (int64_t)3601 * 1000;
    strbuf_reset(&out);
    admin_page(&f, &out);
    ck_assert_ptr_null(strstr(out.p, "All is well"));
    ck_assert_ptr_nonnull(strstr(out.p, "The oldest message has waited for 1 h."));
    f.certificate_end_s = 86400;
    f.ill = "the certificate has expired";
    strbuf_reset(&out);
    admin_page(&f, &out);
    ck_assert_ptr_nonnull(strstr(out.p, "No mail is accepted"));
    ck_assert_ptr_nonnull(strstr(out.p, "<b class=\"bad\">expired</b>"));
    strbuf_free(&out);
}
END_TEST

START_TEST(test_metrics_escape)
{
    struct admin_facts f = hostile();
    struct strbuf out = STRBUF_INIT;

    admin_metrics(&f, &out);
    ck_assert(!out.failed);
    ck_assert_ptr_nonnull(strstr(out.p, "{domain=\"\\\"><script>alert('1')</script>&amp;\\\\\\n\",selector="));
    ck_assert_ptr_nonnull(strstr(out.p, "sendas_connections_total{listener=\"[::]:587\",tls=\"starttls\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "sendas_connections_total{listener=\"192.0.2.1:465\",tls=\"implicit\"} 0\n"));
    ck_assert_ptr_nonnull(
        strstr(out.p, "sendas_dkim_key_signing{domain=\"b.test\",selector=\"s2\",algorithm=\"ed25519-sha256\"} 0\n"));
    ck_assert_ptr_nonnull(
        strstr(out.p, "sendas_dkim_key_record_bad{domain=\"c.test\",selector=\"s3\",algorithm=\"rsa-sha256\"} 1\n"));
    /* a line is a comment, or begins with a name */
    for (const char *line = out.p; *line != '\0'; line = strchr(line, '\n') + 1)
        ck_assert_msg(*line == '#' || strncmp(line, "sendas_", 7) == 0 || strncmp(line, "process_", 8) == 0, "%.60s",
                      line);
    ck_assert_ptr_null(strstr(out.p, "places"));
    strbuf_free(&out);
}
END_TEST

static const struct {
    int64_t seconds;
    const char *text;
} spans[] = {
    {-5, "0 s"},
    {0, "0 s"},
    {59, "59 s"},
    {60, "1 min"},
    {3599, "59 min"},
    {3600, "1 h"},
    {3659, "1 h"},
    {3660, "1 h 1 min"},
    {86399, "23 h 59 min"},
    {86400, "1 day"},
    {90000, "1 day 1 h"},
    {200000, "2 days 7 h"},
    {864000, "10 days"},
    {8640000, "100 days"},
};

START_TEST(test_spans)
{
    char out[32];
    admin_span(out, spans[_i].seconds);
    ck_assert_str_eq(out, spans[_i].text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("admin");
    TCase *tc = tcase_create("requests");

    tcase_add_loop_test(tc, test_requests, 0, (int)ARRAY_LEN(requests));
    tcase_add_test(tc, test_pieces);
    tcase_add_test(tc, test_long_header);
    tcase_add_loop_test(tc, test_hosts, 0, (int)ARRAY_LEN(hosts));
    suite_add_tcase(s, tc);
    tc = tcase_create("pages");
    tcase_add_loop_test(tc, test_reasons, 0, (int)ARRAY_LEN(reasons));
    tcase_add_test(tc, test_long_reasons);
    tcase_add_test(tc, test_page_escapes);
    tcase_add_test(tc, test_page_verdicts);
    tcase_add_test(tc, test_metrics_escape);
    tcase_add_loop_test(tc, test_spans, 0, (int)ARRAY_LEN(spans));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
