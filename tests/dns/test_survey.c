/* Every authoritative server asked: two real ones (NSD) that do not always agree, and some that are not there. */
#include "../../src/dns/internal.h"
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
static pid_t servers[2];
static const char *const addresses[] = {"127.0.0.1", "127.0.0.2"};

#define TOP(serial) "$TTL 60\n@ SOA ns1.plain.test. hostmaster.plain.test. " serial " 60 60 60 30\n"
#define BOTH        "@ NS ns1.plain.test.\n@ NS ns2.plain.test.\n"

/* What each server holds; NULL: not this zone. */
static const struct {
    const char *zone, *text[2];
} zones[] = {
    {"plain.test",
     {TOP("8") BOTH
      "ns1 A 127.0.0.1\nns2 A 127.0.0.2\ndead A 127.0.0.3\nfar AAAA fe80::1\nmixed A 127.0.0.2\nmixed AAAA fe80::1\n"
      "both._domainkey TXT one\nnew._domainkey TXT one\nother._domainkey TXT one\n"
      "alias._domainkey CNAME t.provider.test.\nhalf._domainkey CNAME t.provider.test.\n"
      "loop._domainkey CNAME loop._domainkey\nnowhere._domainkey CNAME t.nowhere.test.\n"
      "long._domainkey CNAME l1.plain.test.\nl1 CNAME l2\nl2 CNAME l3\nl3 CNAME l4\nl4 CNAME l5\nl5 CNAME l6\n"
      "l6 CNAME l7\nl7 CNAME l8\nl8 CNAME l9\nl9 TXT end\n",
      TOP("7") BOTH "ns1 A 127.0.0.1\nns2 A 127.0.0.2\nboth._domainkey TXT one\nother._domainkey TXT two\n"
                    "alias._domainkey CNAME t.provider.test.\n"}},
    {"provider.test",
     {TOP("1") "@ NS ns2.plain.test.\n", TOP("1") "@ NS ns2.plain.test.\nt TXT \"at the provider\"\n"}},
    {"silent.test", {TOP("1") "@ NS ns1.plain.test.\n@ NS dead.plain.test.\nx TXT one\n", NULL}},
    {"lame.test", {TOP("1") BOTH "x TXT one\n", NULL}},
    {"far.test", {TOP("1") "@ NS ns1.plain.test.\n@ NS far.plain.test.\nx TXT one\n", NULL}},
    {"mixed.test", {TOP("1") "@ NS mixed.plain.test.\n", TOP("1") "@ NS mixed.plain.test.\nx TXT one\n"}},
    {"addressless.test", {TOP("1") "@ NS ns1.plain.test.\n@ NS nothing.plain.test.\nx TXT one\n", NULL}},
    {"parent.test",
     {TOP("1") "@ NS ns1.plain.test.\n_domainkey NS ns2.plain.test.\n",
      TOP("1") "@ NS ns1.plain.test.\n_domainkey NS ns2.plain.test.\n"}},
    {"_domainkey.parent.test", {NULL, TOP("1") "@ NS ns2.plain.test.\ns1 TXT below\n"}},
};

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

static uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        exit(1);
    close(fd);
    return ntohs(sa.sin_port);
}

static pid_t start_server(int i)
{
    struct strbuf conf = STRBUF_INIT;
    char name[64], path[128];

    strbuf_addf(&conf,
                "server:\n ip-address: %s@%u\n username: \"\"\n zonesdir: \"%s\"\n database: \"\"\n chroot: \"\"\n"
                " pidfile: \"%s/pid%d\"\n xfrdfile: \"%s/xfrd%d\"\n zonelistfile: \"%s/zones%d\"\n xfrdir: \"%s\"\n"
                " server-count: 1\nremote-control:\n control-enable: no\n",
                addresses[i], (unsigned)port, dir, dir, i, dir, i, dir, i, dir);
    for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
        if (zones[z].text[i] == NULL)
            continue;
        snprintf(name, sizeof(name), "%s.%d", zones[z].zone, i);
        write_file(name, zones[z].text[i]);
        strbuf_addf(&conf, "zone:\n name: %s\n zonefile: %s\n", zones[z].zone, name);
    }
    snprintf(name, sizeof(name), "nsd%d.conf", i);
    write_file(name, strbuf_str(&conf));
    strbuf_free(&conf);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execlp("nsd", "nsd", "-d", "-c", path, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

/* The resolver asks one of the servers. */
static struct config *config_here(const char *server_address)
{
    static struct config_server server;
    static char address[16], anchor[] = "none";
    struct config *c = config_defaults();
    snprintf(address, sizeof(address), "%s", server_address);
    server = (struct config_server){.address = address, .port = port};
    c->dns.servers = &server;
    c->dns.n_servers = 1;
    c->dns.trust_anchor = anchor;
    return c;
}

/* "zone reason | name address state answer: records | ..." */
static void describe(const struct dns_survey *s, struct strbuf *out)
{
    static const char *const states[] = {"answered", "elsewhere", "silent", "no route"};
    static const char *const statuses[] = {"ok", "nodata", "nxdomain", "tempfail"};

    strbuf_addf(out, "%s %s", s->zone, s->reason);
    for (size_t i = 0; i < s->n; i++) {
        const struct dns_server *server = &s->servers[i];
        strbuf_addf(out, " | %s %s %s", server->name, server->address, states[server->state]);
        if (server->state == DNS_SERVER_ANSWERED)
            strbuf_addf(out, " %s", statuses[server->answer.status]);
        strbuf_addf(out, " %s", server->elsewhere);
        for (size_t k = 0; k < server->answer.n; k++)
            strbuf_addf(out, " %s", server->answer.records[k].text);
    }
    const struct dns_server *silent = dns_survey_silent(s);
    if (silent != NULL)
        strbuf_addf(out, " || silent: %s", silent->name);
}

static const struct {
    const char *name;
    enum dns_type type;
    const char *want;
} rows[] = {
    {"both._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 answered ok  one | ns2.plain.test 127.0.0.2 answered ok  one"},
    {"new._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 answered ok  one | ns2.plain.test 127.0.0.2 answered nxdomain "},
    {"other._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 answered ok  one | ns2.plain.test 127.0.0.2 answered ok  two"},
    {"_domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 answered nodata  | ns2.plain.test 127.0.0.2 answered nodata "},
    {"plain.test", DNS_SOA,
     "plain.test  | ns1.plain.test 127.0.0.1 answered ok  8 | ns2.plain.test 127.0.0.2 answered ok  7"},
    {"alias._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 elsewhere t.provider.test | ns2.plain.test 127.0.0.2 elsewhere "
     "t.provider.test"
     " | ns2.plain.test 127.0.0.2 answered ok  at the provider"},
    {"half._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 elsewhere t.provider.test | ns2.plain.test 127.0.0.2 answered nxdomain "
     " | ns2.plain.test 127.0.0.2 answered ok  at the provider"},
    {"loop._domainkey.plain.test", DNS_TXT,
     "plain.test  | ns1.plain.test 127.0.0.1 elsewhere loop._domainkey.plain.test | ns2.plain.test 127.0.0.2 answered "
     "nxdomain "},
    {"x.silent.test", DNS_TXT,
     "silent.test  | dead.plain.test 127.0.0.3 silent  | ns1.plain.test 127.0.0.1 answered ok  one || silent: "
     "dead.plain.test"},
    {"x.lame.test", DNS_TXT,
     "lame.test  | ns1.plain.test 127.0.0.1 answered ok  one | ns2.plain.test 127.0.0.2 silent  || silent: "
     "ns2.plain.test"},
    {"x.far.test", DNS_TXT, "far.test  | far.plain.test fe80::1 no route  | ns1.plain.test 127.0.0.1 answered ok  one"},
    {"x.mixed.test", DNS_TXT,
     "mixed.test  | mixed.plain.test 127.0.0.2 answered ok  one | mixed.plain.test fe80::1 no route "},
    {"x.addressless.test", DNS_TXT,
     "addressless.test  | nothing.plain.test  silent  | ns1.plain.test 127.0.0.1 answered ok  one || silent: "
     "nothing.plain.test"},
    {"s1._domainkey.parent.test", DNS_TXT, "parent.test no zone was found that holds s1._domainkey.parent.test"},
    {"x.nowhere.test", DNS_TXT, " the name servers of x.nowhere.test: "},
};

static int by_word(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NSD turns the order of NS records around: the parts between bars are sorted. */
static void sorted(const char *text, char *out, size_t size)
{
    char copy[2048], *parts[64], *save = NULL;
    size_t n = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *w = strtok_r(copy, "|", &save); w != NULL && n < 64; w = strtok_r(NULL, "|", &save)) {
        struct slice part = slice_trim(slice_of(w));
        w = (char *)(uintptr_t)part.p;
        w[part.n] = '\0';
        parts[n++] = w;
    }
    qsort(parts, n, sizeof(*parts), by_word);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(out + strlen(out), size - strlen(out), "%s|", parts[i]);
}

static void check_row(size_t i, const struct dns_survey *s)
{
    struct strbuf text = STRBUF_INIT;
    char got[2048], want[2048];

    describe(s, &text);
    sorted(strbuf_str(&text), got, sizeof(got));
    sorted(rows[i].want, want, sizeof(want));
    bool prefix = strchr(rows[i].want, '|') == NULL;
    ck_assert_msg(prefix ? strncmp(strbuf_str(&text), rows[i].want, strlen(rows[i].want)) == 0 : strcmp(got, want) == 0,
                  "%s: got \"%s\"\nwant \"%s\"", rows[i].name, strbuf_str(&text), rows[i].want);
    strbuf_free(&text);
}

/* All at the same time: more servers than are asked at once. */
START_TEST(test_rows)
{
    struct config *c = config_here(addresses[0]);
    struct dns_blocking *b = NULL;
    struct err err = {.text = ""};
    struct arena a = ARENA_INIT(0);
    struct dns_survey_question questions[ARRAY_LEN(rows)];

    ck_assert_msg(dns_blocking_open(c, &b, &err) == 0, "%s", err.text);
    dns_blocking_set_server_port(b, port);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        questions[i] = (struct dns_survey_question){.name = rows[i].name, .type = rows[i].type};
    dns_blocking_survey(b, &a, questions, ARRAY_LEN(rows), 20000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(i, &questions[i].survey);
    arena_free(&a);
    dns_blocking_close(&b);
    config_free(&c);
}
END_TEST

/* ---- on the loop --------------------------------------------------------------------------------------------- */

struct setting {
    struct event_base *base;
    struct dns *dns;
    int calls;
    struct strbuf text;
};

static struct setting *open_dns(const char *server_address)
{
    struct setting *s = calloc(1, sizeof(*s));
    struct config *c = config_here(server_address);
    struct err err = {.text = ""};
    s->base = event_base_new();
    ck_assert_msg(dns_open(c, s->base, &s->dns, &err) == 0, "%s", err.text);
    s->dns->server_port = port;
    config_free(&c);
    return s;
}

static void close_setting(struct setting *s)
{
    dns_close(&s->dns);
    event_base_free(s->base);
    strbuf_free(&s->text);
    free(s);
}

static void on_survey(void *ctx, const struct dns_survey *survey)
{
    struct setting *s = ctx;
    s->calls++;
    describe(survey, &s->text);
}

static void close_inside(void *ctx, const struct dns_survey *survey)
{
    struct setting *s = ctx;
    ck_assert_int_eq(survey->n, 2);
    s->calls++;
    dns_close(&s->dns);
}

START_TEST(test_cancel_and_close)
{
    struct setting *s = open_dns(addresses[0]);
    struct dns_survey_run *cancelled =
        dns_survey_begin(s->dns, "both._domainkey.plain.test", DNS_TXT, 20000, on_survey, s);
    ck_assert_ptr_nonnull(cancelled);
    dns_survey_cancel(cancelled);
    ck_assert_ptr_nonnull(dns_survey_begin(s->dns, "x.silent.test", DNS_TXT, 20000, on_survey, s));
    ck_assert_ptr_nonnull(dns_survey_begin(s->dns, "both._domainkey.plain.test", DNS_TXT, 20000, close_inside, s));
    ck_assert_int_eq(s->calls, 0); /* never before it returns */
    event_base_dispatch(s->base);
    ck_assert_int_eq(s->calls, 1);
    ck_assert_ptr_null(s->dns);
    close_setting(s);
}
END_TEST

START_TEST(test_time_is_up)
{
    struct setting *s = open_dns(addresses[0]);
    ck_assert_ptr_nonnull(dns_survey_begin(s->dns, "x.silent.test", DNS_TXT, 1, on_survey, s));
    event_base_dispatch(s->base);
    ck_assert_int_eq(s->calls, 1);
    /* either the servers were not known yet, or those that were did not answer */
    ck_assert_msg(strstr(strbuf_str(&s->text), "time") != NULL || strstr(strbuf_str(&s->text), "silent") != NULL, "%s",
                  strbuf_str(&s->text));
    ck_assert_ptr_null(s->dns->asked);
    close_setting(s);
}
END_TEST

/* The second server knows where the zone further down is. */
START_TEST(test_delegation)
{
    struct setting *s = open_dns(addresses[1]);
    ck_assert_ptr_nonnull(dns_survey_begin(s->dns, "s1._domainkey.parent.test", DNS_TXT, 20000, on_survey, s));
    event_base_dispatch(s->base);
    ck_assert_str_eq(strbuf_str(&s->text), "parent.test  | ns1.plain.test 127.0.0.1 elsewhere _domainkey.parent.test"
                                           " | ns2.plain.test 127.0.0.2 answered ok  below");
    close_setting(s);
}
END_TEST

START_TEST(test_long_chain)
{
    struct setting *s = open_dns(addresses[0]);
    ck_assert_ptr_nonnull(dns_survey_begin(s->dns, "long._domainkey.plain.test", DNS_TXT, 20000, on_survey, s));
    event_base_dispatch(s->base);
    ck_assert_ptr_nonnull(strstr(strbuf_str(&s->text), "more than 8 aliases"));
    close_setting(s);
}
END_TEST

START_TEST(test_bad_names)
{
    struct setting *s = open_dns(addresses[0]);
    char name[300];
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    ck_assert_ptr_null(dns_survey_begin(s->dns, name, DNS_TXT, 1000, on_survey, s));
    ck_assert_ptr_null(dns_survey_begin(s->dns, "a..b", DNS_TXT, 1000, on_survey, s));
    event_base_dispatch(s->base);
    ck_assert_int_eq(s->calls, 0);
    close_setting(s);
}
END_TEST

/* ---- running ------------------------------------------------------------------------------------------------- */

static Suite *suite(void)
{
    Suite *s = suite_create("dns survey");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_rows);
    tcase_add_test(tc, test_cancel_and_close);
    tcase_add_test(tc, test_time_is_up);
    tcase_add_test(tc, test_delegation);
    tcase_add_test(tc, test_long_chain);
    tcase_add_test(tc, test_bad_names);
    suite_add_tcase(s, tc);
    return s;
}

/* Until the server answers. */
static bool server_answers(const char *address)
{
    for (int i = 0; i < 200; i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
        inet_pton(AF_INET, address, &sa.sin_addr);
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
    char command[128];

    if (system("PATH=$PATH:/usr/sbin; command -v nsd >/dev/null") != 0) {
        puts("nsd is needed: apt-get install nsd");
        return 77;
    }
    snprintf(dir, sizeof(dir), "/tmp/sendas-survey-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    port = free_port();
    for (int i = 0; i < 2; i++)
        servers[i] = start_server(i);
    if (server_answers(addresses[0]) && server_answers(addresses[1])) {
        SRunner *runner = srunner_create(suite());
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
    } else
        puts("nsd does not answer");
    for (int i = 0; i < 2; i++) {
        kill(servers[i], SIGTERM);
        waitpid(servers[i], NULL, 0);
    }
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) == 0 && failed == 0 ? 0 : 1;
}
