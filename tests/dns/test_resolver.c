/* The resolver against a real server (NSD) with zones in the clear, signed, tampered with and expired. */
#include "sendas/dns.h"
#include "testing.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static uint16_t port;
static pid_t nsd;

/* ---- the server --------------------------------------------------------------------------------------- */

static const char plain_zone[] = "$ORIGIN plain.test.\n$TTL 60\n"
                                 "@ SOA ns hostmaster 1 60 60 60 30\n@ NS ns\nns A 127.0.0.1\n"
                                 "@ MX 20 MX2\n@ MX 10 mx1.plain.test.\nmx1 A 192.0.2.1\nmx1 A 192.0.2.2\n"
                                 "mx1 AAAA 2001:db8::1\nalias 30 CNAME alias2\nalias2 CNAME mx1\nloop CNAME loop\n"
                                 "dangling CNAME nothing\nnullmx MX 0 .\n"
                                 "text TXT \"v=spf1 \" \"-all\"\n_25._tcp.mx1 TLSA 3 1 1 "
                                 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
static const char signed_zone[] = "$ORIGIN signed.test.\n$TTL 60\n"
                                  "@ SOA ns hostmaster 1 60 60 60 30\n@ NS ns\nns A 127.0.0.1\nwww A 192.0.2.7\n"
                                  "bad A 192.0.2.8\n";
static const char expired_zone[] = "$ORIGIN expired.test.\n$TTL 60\n"
                                   "@ SOA ns hostmaster 1 60 60 60 30\n@ NS ns\nns A 127.0.0.1\nwww A 192.0.2.9\n";
static const char reverse_zone[] = "$ORIGIN 10.in-addr.arpa.\n$TTL 60\n"
                                   "@ SOA ns.plain.test. hostmaster.plain.test. 1 60 60 60 30\n@ NS ns.plain.test.\n"
                                   "1.0.0 PTR Host.Plain.test.\n";

static void write_file(const char *name, const char *text)
{
    char path[128];
    struct err err;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (file_write(path, slice_of(text), 0600, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void run(const char *format, ...) PRINTF_LIKE(1, 2);
static void run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* Signs, and for one name changes the address behind the signature's back. */
static void sign_zones(void)
{
    run("cd %s && for z in signed expired; do k=$(ldns-keygen -a ECDSAP256SHA256 -k $z.test 2>/dev/null) && "
        "o=; [ $z = signed ] || o='-i 20200101 -e 20200201'; ldns-signzone $o -f $z.out $z.zone $k && "
        "cat $k.ds >>anchors; done",
        dir);
    run("cd %s && sed -i 's/192\\.0\\.2\\.8/192.0.2.66/' signed.out && grep -q 192.0.2.66 signed.out", dir);
}

static uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        exit(1);
    close(fd);
    return ntohs(sa.sin_port);
}

static void start_server(void)
{
    struct strbuf conf = STRBUF_INIT;
    static const char *const zones[][2] = {{"plain.test", "plain.zone"},
                                           {"signed.test", "signed.out"},
                                           {"expired.test", "expired.out"},
                                           {"10.in-addr.arpa", "reverse.zone"}};

    write_file("plain.zone", plain_zone);
    write_file("signed.zone", signed_zone);
    write_file("expired.zone", expired_zone);
    write_file("reverse.zone", reverse_zone);
    write_file("not-an-anchor", "hello\n");
    sign_zones();
    port = free_port();
    strbuf_addf(
        &conf,
        "server:\n ip-address: 127.0.0.1@%u\n username: \"\"\n zonesdir: \"%s\"\n database: \"\"\n chroot: \"\"\n"
        " pidfile: \"%s/pid\"\n xfrdfile: \"%s/xfrd\"\n zonelistfile: \"%s/zones\"\n xfrdir: \"%s\"\n"
        " server-count: 1\nremote-control:\n control-enable: no\n",
        (unsigned)port, dir, dir, dir, dir, dir);
    for (size_t i = 0; i < ARRAY_LEN(zones); i++)
        strbuf_addf(&conf, "zone:\n name: %s\n zonefile: %s\n", zones[i][0], zones[i][1]);
    write_file("nsd.conf", strbuf_str(&conf));
    strbuf_free(&conf);
    nsd = fork();
    if (nsd == 0) {
        char path[128];
        snprintf(path, sizeof(path), "%s/nsd.conf", dir);
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execlp("nsd", "nsd", "-d", "-c", path, (char *)NULL);
        _exit(127);
    }
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

struct result {
    struct event_base *base;
    int calls;
    struct strbuf text;
};

/* "status secure ttl canonical: records", or the reason. */
static void on_answer(void *ctx, const struct dns_answer *a)
{
    struct result *r = ctx;
    r->calls++;
    strbuf_reset(&r->text);
    if (a->status == DNS_TEMPFAIL)
        strbuf_addf(&r->text, "tempfail: %s", a->reason);
    else
        strbuf_addf(&r->text, "%d%s %s:", (int)a->status, a->secure ? " secure" : "", a->canonical);
    for (size_t i = 0; i < a->n; i++) {
        if (a->records[i].preference != 0)
            strbuf_addf(&r->text, " %u", a->records[i].preference);
        strbuf_addf(&r->text, " %s", a->records[i].text);
    }
    event_base_loopbreak(r->base);
}

static struct config *config_for(const char *trust_anchor)
{
    static struct config_server server;
    static char address[] = "127.0.0.1", anchor[128];
    struct config *c = config_defaults();
    server = (struct config_server){.address = address, .port = port};
    c->dns.servers = &server;
    c->dns.n_servers = 1;
    snprintf(anchor, sizeof(anchor), "%s", trust_anchor);
    c->dns.trust_anchor = anchor;
    return c;
}

static struct config *config_with_anchors(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/anchors", dir);
    return config_for(path);
}

struct setting {
    struct event_base *base;
    struct dns *dns;
};

static struct setting open_resolver(struct config *c)
{
    struct setting s = {.base = event_base_new()};
    struct err err = {.text = ""};
    ck_assert_msg(dns_open(c, s.base, &s.dns, &err) == 0, "%s", err.text);
    config_free(&c);
    return s;
}

static void close_resolver(struct setting *s)
{
    dns_close(&s->dns);
    event_base_free(s->base);
}

static void ask(struct setting *s, const char *name, enum dns_type type, struct result *r)
{
    r->base = s->base;
    r->calls = 0;
    ck_assert_ptr_nonnull(dns_resolve(s->dns, name, type, on_answer, r));
    ck_assert_int_eq(r->calls, 0); /* never before it returns */
    event_base_dispatch(s->base);
    ck_assert_int_eq(r->calls, 1);
}

static const struct {
    const char *name;
    enum dns_type type;
    const char *validating, *plain; /* what comes with trust anchors, and without; NULL = the same */
} rows[] = {
    {"mx1.plain.test", DNS_A, "0 : 192.0.2.1 192.0.2.2", NULL},
    {"MX1.Plain.TEST", DNS_AAAA, "0 : 2001:db8::1", NULL},
    {"plain.test", DNS_MX, "0 : 10 mx1.plain.test 20 mx2.plain.test", NULL},
    {"nullmx.plain.test", DNS_MX, "0 : ", NULL},
    {"alias.plain.test", DNS_AAAA, "0 mx1.plain.test: 2001:db8::1", NULL},
    {"loop.plain.test", DNS_A, "tempfail: ", NULL},
    {"dangling.plain.test", DNS_A, "2 nothing.plain.test:", NULL},
    {"text.plain.test", DNS_TXT, "0 : v=spf1 -all", NULL},
    {"_25._tcp.mx1.plain.test", DNS_TLSA, "0 : ", NULL},
    {"text.plain.test", DNS_A, "1 :", NULL},
    {"nothing.plain.test", DNS_A, "2 :", NULL},
    {"1.0.0.10.in-addr.arpa", DNS_PTR, "0 : host.plain.test", NULL},
    {"www.signed.test", DNS_A, "0 secure : 192.0.2.7", "0 : 192.0.2.7"},
    {"nothing.signed.test", DNS_A, "2 secure :", "2 :"},
    {"www.signed.test", DNS_MX, "1 secure :", "1 :"},
    {"bad.signed.test", DNS_A, "tempfail: bogus: ", "0 : 192.0.2.66"},
    {"www.expired.test", DNS_A, "tempfail: bogus: ", "0 : 192.0.2.9"},
};

static int by_word(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Servers turn the order of records around: compare the words, sorted. */
static void sorted(const char *text, char *out, size_t size)
{
    char copy[512], *words[64], *save = NULL;
    size_t n = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *w = strtok_r(copy, " ", &save); w != NULL && n < 64; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    qsort(words, n, sizeof(*words), by_word);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(out + strlen(out), size - strlen(out), "%s ", words[i]);
}

static void check_row(struct setting *s, int i, const char *want)
{
    struct result r = {0};
    char a[600], b[600];

    ask(s, rows[i].name, rows[i].type, &r);
    sorted(strbuf_str(&r.text), a, sizeof(a));
    sorted(want, b, sizeof(b));
    bool same =
        strncmp(want, "tempfail", 8) == 0 ? strncmp(strbuf_str(&r.text), want, strlen(want)) == 0 : strcmp(a, b) == 0;
    ck_assert_msg(same, "%s: got \"%s\", want \"%s\"", rows[i].name, strbuf_str(&r.text), want);
    strbuf_free(&r.text);
}

START_TEST(test_validating)
{
    struct setting s = open_resolver(config_with_anchors());
    check_row(&s, _i, rows[_i].validating);
    close_resolver(&s);
}
END_TEST

START_TEST(test_without_validation)
{
    struct setting s = open_resolver(config_for("none"));
    check_row(&s, _i, rows[_i].plain != NULL ? rows[_i].plain : rows[_i].validating);
    close_resolver(&s);
}
END_TEST

START_TEST(test_bad_names)
{
    struct setting s = open_resolver(config_for("none"));
    struct result r = {0};
    char name[300];

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    ck_assert_ptr_null(dns_resolve(s.dns, name, DNS_A, on_answer, &r));
    ck_assert_ptr_null(dns_resolve(s.dns, "a..b", DNS_A, on_answer, &r));
    close_resolver(&s);
    ck_assert_int_eq(r.calls, 0);
}
END_TEST

START_TEST(test_cancel_and_close)
{
    struct setting s = open_resolver(config_with_anchors());
    struct result cancelled = {.base = s.base}, r = {0}, left = {.base = s.base};

    struct dns_query *q = dns_resolve(s.dns, "www.signed.test", DNS_A, on_answer, &cancelled);
    ck_assert_ptr_nonnull(q);
    dns_cancel(q);
    ask(&s, "mx1.plain.test", DNS_AAAA, &r);
    ck_assert_str_eq(strbuf_str(&r.text), "0 : 2001:db8::1");
    ck_assert_int_eq(cancelled.calls, 0);
    ck_assert_ptr_nonnull(dns_resolve(s.dns, "plain.test", DNS_MX, on_answer, &left));
    close_resolver(&s);
    ck_assert_int_eq(left.calls, 0);
    strbuf_free(&r.text);
}
END_TEST

static void close_inside(void *ctx, const struct dns_answer *a)
{
    struct setting *s = ctx;
    ck_assert_int_eq(a->status, DNS_OK);
    dns_close(&s->dns);
}

START_TEST(test_close_inside_done)
{
    struct setting s = open_resolver(config_for("none"));
    struct result left = {.base = s.base};

    ck_assert_ptr_nonnull(dns_resolve(s.dns, "mx1.plain.test", DNS_A, close_inside, &s));
    ck_assert_ptr_nonnull(dns_resolve(s.dns, "plain.test", DNS_MX, on_answer, &left));
    event_base_dispatch(s.base);
    ck_assert_ptr_null(s.dns);
    event_base_free(s.base);
    strbuf_free(&left.text);
}
END_TEST

START_TEST(test_reconfigure)
{
    struct setting s = open_resolver(config_for("none"));
    struct result early = {.base = s.base}, r = {0};
    struct err err = {.text = ""};
    char path[128];

    ck_assert_ptr_nonnull(dns_resolve(s.dns, "mx1.plain.test", DNS_AAAA, on_answer, &early));
    struct config *c = config_with_anchors();
    ck_assert_msg(dns_reconfigure(s.dns, c, &err) == 0, "%s", err.text);
    config_free(&c);
    event_base_dispatch(s.base); /* a query that was under way ends by the old settings */
    ck_assert_str_eq(strbuf_str(&early.text), "0 : 2001:db8::1");
    ask(&s, "www.signed.test", DNS_A, &r);
    ck_assert_str_eq(strbuf_str(&r.text), "0 secure : 192.0.2.7");

    snprintf(path, sizeof(path), "%s/not-an-anchor", dir);
    c = config_for(path);
    ck_assert_int_eq(dns_reconfigure(s.dns, c, &err), -1);
    config_free(&c);
    ask(&s, "www.signed.test", DNS_A, &r); /* the old settings stay */
    ck_assert_str_eq(strbuf_str(&r.text), "0 secure : 192.0.2.7");
    close_resolver(&s);
    strbuf_free(&early.text);
    strbuf_free(&r.text);
}
END_TEST

START_TEST(test_anchor_files)
{
    struct event_base *base = event_base_new();
    struct dns *d = NULL;
    struct err err = {.text = ""};
    char path[128];

    struct config *c = config_for("/nonexistent/anchors");
    ck_assert_int_eq(dns_open(c, base, &d, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/anchors"));
    config_free(&c);
    snprintf(path, sizeof(path), "%s/not-an-anchor", dir);
    c = config_for(path);
    ck_assert_int_eq(dns_open(c, base, &d, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    config_free(&c);
    c = config_for(""); /* the root's keys: ours, and the system's where there are some */
    ck_assert_msg(dns_open(c, base, &d, &err) == 0, "%s", err.text);
    config_free(&c);
    dns_close(&d);
    ck_assert_int_eq(dns_open(NULL, base, &d, &err), 0); /* resolv.conf */
    dns_close(&d);
    event_base_free(base);
}
END_TEST

/* The same answers, waited for: as the pure rooms ask (struct lookup). */
static const struct {
    const char *name;
    enum dns_type type;
    enum lookup_status status;
    size_t n;
    const char *first;
} blocking_rows[] = {
    {"text.plain.test", DNS_TXT, LOOKUP_OK, 1, "v=spf1 -all"},
    {"alias.plain.test", DNS_AAAA, LOOKUP_OK, 1, "2001:db8::1"},
    {"plain.test", DNS_MX, LOOKUP_OK, 2, NULL},
    {"1.0.0.10.in-addr.arpa", DNS_PTR, LOOKUP_OK, 1, "host.plain.test"},
    {"text.plain.test", DNS_A, LOOKUP_NODATA, 0, NULL},
    {"nothing.plain.test", DNS_A, LOOKUP_NXDOMAIN, 0, NULL},
    {"bad.signed.test", DNS_A, LOOKUP_TEMPFAIL, 0, NULL},
    {"a..b", DNS_A, LOOKUP_TEMPFAIL, 0, NULL},
};

START_TEST(test_blocking)
{
    struct config *c = config_with_anchors();
    struct dns_blocking *b = NULL;
    struct err err = {.text = ""};
    struct arena a = ARENA_INIT(0);
    ck_assert_msg(dns_blocking_open(c, &b, &err) == 0, "%s", err.text);
    struct lookup lookup = dns_blocking_lookup(b);
    for (size_t i = 0; i < ARRAY_LEN(blocking_rows); i++) {
        struct lookup_answer answer;
        lookup.query(lookup.ctx, &a, blocking_rows[i].name, blocking_rows[i].type, &answer);
        ck_assert_msg(answer.status == blocking_rows[i].status && answer.n == blocking_rows[i].n, "%s: %d, %zu records",
                      blocking_rows[i].name, (int)answer.status, answer.n);
        if (blocking_rows[i].first != NULL)
            ck_assert_slice_eq(answer.records[0].text, blocking_rows[i].first);
    }
    arena_free(&a);
    dns_blocking_close(&b);
    dns_blocking_close(&b);
    config_free(&c);
}
END_TEST

/* ---- running ------------------------------------------------------------------------------------------------- */

static Suite *suite(void)
{
    Suite *s = suite_create("dns resolver");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_validating, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_without_validation, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, test_bad_names);
    tcase_add_test(tc, test_cancel_and_close);
    tcase_add_test(tc, test_close_inside_done);
    tcase_add_test(tc, test_reconfigure);
    tcase_add_test(tc, test_anchor_files);
    tcase_add_test(tc, test_blocking);
    suite_add_tcase(s, tc);
    return s;
}

/* Until the server answers. */
static bool server_answers(void)
{
    for (int i = 0; i < 100; i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
        close(fd);
        if (rc == 0)
            return true;
        usleep(50 * 1000);
    }
    return false;
}

int main(void)
{
    int failed = 1;

    if (system("PATH=$PATH:/usr/sbin; command -v nsd ldns-keygen ldns-signzone >/dev/null") != 0) {
        puts("nsd and ldnsutils are needed: apt-get install nsd ldnsutils");
        return 77;
    }
    snprintf(dir, sizeof(dir), "/tmp/sendas-dns-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    start_server();
    if (server_answers()) {
        SRunner *runner = srunner_create(suite());
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
    } else
        puts("nsd does not answer");
    kill(nsd, SIGTERM);
    waitpid(nsd, NULL, 0);
    run("rm -rf %s", dir);
    return failed == 0 ? 0 : 1;
}
