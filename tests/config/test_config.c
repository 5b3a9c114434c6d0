/* sendas.yaml: every mistake has its message, every key its default, what is printed loads again. */
#include "../../src/config/internal.h"
#include "testing.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static int parse(const char *text, struct config **ret, struct err *err)
{
    struct source source;
    if (config_parse(slice_of(text), "sendas.yaml", &source, ret, err) < 0)
        return -1;
    source_free(&source);
    return 0;
}

/* ---- mistakes: tests/config/bad/NAME.yaml gives the message that stands in tests/config/bad/expected ---------- */

#define BAD "tests/config/bad"

static void check_bad(const char *name, const char *expected)
{
    char path[1280];
    struct strbuf text = STRBUF_INIT;
    struct config *c = NULL;
    struct err err = {""};
    snprintf(path, sizeof(path), BAD "/%s", name);
    ck_assert_int_eq(file_read(path, 65536, false, &text, &err), 0);
    ck_assert_msg(parse(strbuf_str(&text), &c, &err) == -1, "%s was accepted", name);
    ck_assert_msg(strcmp(err.text, expected) == 0, "%s:\n got: %s\nwant: %s", name, err.text, expected);
    ck_assert_ptr_null(c);
    strbuf_free(&text);
}

START_TEST(bad)
{
    FILE *f = fopen(BAD "/expected", "r");
    char line[1024], *message;
    int rows = 0, files = 0;
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        message = strchr(line, ' ');
        ck_assert_ptr_nonnull(message);
        *message++ = '\0';
        check_bad(line, message);
        rows++;
    }
    fclose(f);
    DIR *dir = opendir(BAD);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        files += strstr(e->d_name, ".yaml") != NULL;
    closedir(dir);
    ck_assert_int_gt(rows, 100);
    ck_assert_int_eq(rows, files); /* each has its row */
}
END_TEST

/* ---- defaults --------------------------------------------------------------------------------------------------- */

#define LEAST                                                                                                          \
    "hostname: Mail.Example.com\n"                                                                                     \
    "tls: {certificate: cert.pem, key: key.pem}\n"                                                                     \
    "domains:\n"                                                                                                       \
    "  - {name: bücher.example, dkim: [{selector: S1, key: s1.pem}]}\n"

/* The contract's defaults. */
static void check_defaults(const struct config *c)
{
    static const int64_t retry[] = {60, 300, 900, 1800, 3600, 7200, 14400};
    ck_assert_uint_eq(c->n_listen, 2);
    ck_assert_str_eq(c->listen[0].address, "::");
    ck_assert_uint_eq(c->listen[0].port, 587);
    ck_assert_int_eq(c->listen[0].tls, CONFIG_TLS_STARTTLS);
    ck_assert_str_eq(c->listen[1].address, "::");
    ck_assert_uint_eq(c->listen[1].port, 465);
    ck_assert_int_eq(c->listen[1].tls, CONFIG_TLS_IMPLICIT);
    ck_assert_int_eq(c->tls.min_version, 0x0303);
    ck_assert_ptr_null(c->tls.acme);
    ck_assert_str_eq(c->users_path, "/etc/sendas/users.yaml");
    ck_assert_uint_eq(c->limits.message_size, 50 * 1024 * 1024);
    ck_assert_uint_eq(c->limits.recipients, 100);
    ck_assert_uint_eq(c->limits.connections, 1000);
    ck_assert_uint_eq(c->limits.connections_per_ip, 20);
    ck_assert_uint_eq(c->limits.auth_failures, 5);
    ck_assert_int_eq(c->limits.auth_window_s, 600);
    ck_assert_uint_eq(c->limits.messages_per_user, 500);
    ck_assert_int_eq(c->limits.idle_timeout_s, 300);
    ck_assert(c->hide_client_ip);
    ck_assert_int_eq(c->message.encode, CONFIG_ENCODE_AUTO);
    ck_assert_str_eq(c->queue.path, "/var/lib/sendas/queue.db");
    ck_assert_uint_eq(c->queue.n_retry, ARRAY_LEN(retry));
    for (size_t i = 0; i < ARRAY_LEN(retry); i++)
        ck_assert_int_eq(c->queue.retry_s[i], retry[i]);
    ck_assert_int_eq(c->queue.lifetime_s, 5 * 86400);
    ck_assert_int_eq(c->queue.warn_after_s, 4 * 3600);
    ck_assert_int_eq(c->queue.history_s, 30 * 86400);
    ck_assert_uint_eq(c->dns.n_servers, 0);
    ck_assert_str_eq(c->dns.trust_anchor, "");
    ck_assert_uint_eq(c->delivery.port, 25);
    ck_assert_uint_eq(c->delivery.n_bind, 0);
    ck_assert_int_eq(c->delivery.prefer, CONFIG_PREFER_IPV4);
    ck_assert(!c->delivery.allow_private);
    ck_assert_uint_eq(c->delivery.connections_per_domain, 5);
    ck_assert_uint_eq(c->delivery.connections, 100);
    ck_assert_uint_eq(c->delivery.messages_per_connection, 50);
    ck_assert_int_eq(c->delivery.connect_timeout_s, 30);
    ck_assert_int_eq(c->delivery.tls, CONFIG_DELIVERY_OPPORTUNISTIC);
    ck_assert_str_eq(c->delivery.ca_file, "");
    ck_assert_uint_eq(c->delivery.n_routes, 0);
    ck_assert_str_eq(c->admin_listen, "");
    ck_assert_int_eq(c->log.level, LOG_LEVEL_INFO);
    ck_assert_int_eq(c->log.format, LOG_FORMAT_TEXT);
}

START_TEST(defaults)
{
    struct config *c = config_defaults();
    ck_assert_ptr_nonnull(c);
    check_defaults(c);
    ck_assert_str_eq(c->hostname, "");
    ck_assert_str_eq(c->path, "");
    ck_assert_uint_eq(c->n_domains, 0);
    config_free(&c);
    ck_assert_ptr_null(c);
    config_free(&c);
}
END_TEST

START_TEST(least)
{
    struct config *c = NULL;
    struct err err = {""};
    ck_assert_msg(parse(LEAST, &c, &err) == 0, "%s", err.text);
    check_defaults(c);
    ck_assert_str_eq(c->path, "sendas.yaml");
    ck_assert_str_eq(c->hostname, "mail.example.com");
    ck_assert_str_eq(c->tls.certificate, "cert.pem");
    ck_assert_uint_eq(c->n_domains, 1);
    ck_assert_str_eq(c->domains[0].name, "xn--bcher-kva.example");
    ck_assert_str_eq(c->domains[0].return_path, "");
    ck_assert_str_eq(c->domains[0].keys[0].selector, "s1");
    ck_assert_str_eq(c->domains[0].keys[0].path, "s1.pem");
    ck_assert_ptr_eq(config_find_domain(c, SLICE("XN--BCHER-KVA.example")), &c->domains[0]);
    ck_assert_ptr_null(config_find_domain(c, SLICE("example")));
    config_free(&c);
}
END_TEST

/* ---- everything ------------------------------------------------------------------------------ */

static const char everything[] =
    "hostname: \"mail.example.com\"\n"
    "listen:\n"
    "  - {address: 192.0.2.1, port: 587, tls: starttls}\n"
    "  - {address: \"2001:DB8::1\", port: 587, tls: starttls}\n"
    "  - {port: 10465, tls: implicit}\n"
    "tls:\n"
    "  min_version: 1.3\n"
    "  acme: {email: me@example.com, directory: \"https://acme.example:14000/dir\", ca_file: \"/a \\\"b\\\\c\",\n"
    "         listen: [{port: 80}, {address: 192.0.2.1, port: 81}]}\n"
    "domains:\n"
    "  - name: example.com\n"
    "    dkim:\n"
    "      - {selector: 2026.s1, key: \"/keys/#1: 'x'.pem\"}\n"
    "      - {selector: ed, key: /keys/ed.pem}\n"
    "    return_path: Bounces+x@Example.org\n"
    "  - {name: example.org}\n"
    "users: /users.yaml\n"
    "limits: {message_size: 1000000, recipients: 1, connections: 2, connections_per_ip: 3, auth_failures: 4,\n"
    "  auth_window: 61s, messages_per_user: 0, idle_timeout: 1h}\n"
    "privacy: {hide_client_ip: false}\n"
    "message: {encode: never}\n"
    "queue: {path: /q.db, retry: [1s, 1d], lifetime: 36h, warn_after: 0s, history: 0s}\n"
    "dns: {servers: [192.0.2.53, \"2001:db8::53@5353\"], trust_anchor: none}\n"
    "delivery: {port: 2525, bind: [192.0.2.1, \"2001:db8::1\"], public: [\"2001:DB8::2\"], prefer: any, allow_private: true,\n"
    "  connections_per_domain: 1, connections: 2, messages_per_connection: 3, connect_timeout: 4s, tls: required,\n"
    "  ca_file: /ca.pem, routes: [{domain: Example.NET, host: 192.0.2.7},\n"
    "    {domain: example.edu, host: MX.example.edu, port: 26, tls: opportunistic},\n"
    "    {domain: \"*\", host: \"2001:DB8::7\", user: \"u\", password_file: /pw}]}\n"
    "admin: {listen: \"[::1]:9587\"}\n"
    "log: {level: debug, format: json}\n";

START_TEST(all_keys)
{
    struct config *c = NULL;
    struct err err = {""};
    ck_assert_msg(parse(everything, &c, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(c->n_listen, 3);
    ck_assert_str_eq(c->listen[1].address, "2001:db8::1");
    ck_assert_str_eq(c->listen[2].address, "::");
    ck_assert_int_eq(c->tls.min_version, 0x0304);
    ck_assert_ptr_nonnull(c->tls.acme);
    ck_assert_str_eq(c->tls.acme->ca_file, "/a \"b\\c");
    ck_assert_uint_eq(c->tls.acme->n_listen, 2);
    ck_assert_str_eq(c->tls.acme->listen[0].address, "::");
    ck_assert_uint_eq(c->tls.acme->listen[1].port, 81);
    ck_assert_uint_eq(c->domains[0].n_keys, 2);
    ck_assert_str_eq(c->domains[0].keys[0].selector, "2026.s1");
    ck_assert_str_eq(c->domains[0].return_path, "Bounces+x@example.org");
    ck_assert_uint_eq(c->domains[1].n_keys, 0);
    ck_assert_uint_eq(c->limits.message_size, 1000000);
    ck_assert_uint_eq(c->limits.messages_per_user, 0);
    ck_assert_int_eq(c->limits.auth_window_s, 61);
    ck_assert(!c->hide_client_ip);
    ck_assert_int_eq(c->message.encode, CONFIG_ENCODE_NEVER);
    ck_assert_int_eq(c->queue.retry_s[1], 86400);
    ck_assert_int_eq(c->queue.warn_after_s, 0);
    ck_assert_uint_eq(c->dns.servers[0].port, 53);
    ck_assert_str_eq(c->dns.servers[1].address, "2001:db8::53");
    ck_assert_uint_eq(c->dns.servers[1].port, 5353);
    ck_assert_uint_eq(c->delivery.n_bind, 2);
    ck_assert_uint_eq(c->delivery.n_public_ips, 1);
    ck_assert_str_eq(c->delivery.public_ips[0], "2001:db8::2");
    ck_assert_int_eq(c->delivery.prefer, CONFIG_PREFER_ANY);
    /* A route takes over delivery's port and tls; one with a login never goes in the clear unless told so. */
    ck_assert_uint_eq(c->delivery.routes[0].port, 2525);
    ck_assert_int_eq(c->delivery.routes[0].tls, CONFIG_DELIVERY_REQUIRED);
    ck_assert_str_eq(c->delivery.routes[0].domain, "example.net");
    ck_assert_str_eq(c->delivery.routes[1].host, "mx.example.edu");
    ck_assert_uint_eq(c->delivery.routes[1].port, 26);
    ck_assert_int_eq(c->delivery.routes[1].tls, CONFIG_DELIVERY_OPPORTUNISTIC);
    ck_assert_str_eq(c->delivery.routes[2].host, "2001:db8::7");
    ck_assert_int_eq(c->delivery.routes[2].tls, CONFIG_DELIVERY_REQUIRED);
    ck_assert_str_eq(c->delivery.routes[2].password_file, "/pw");
    ck_assert_int_eq(c->log.level, LOG_LEVEL_DEBUG);
    config_free(&c);
}
END_TEST

START_TEST(route_login_needs_tls)
{
    static const char *const rest[] = {"", ", tls: opportunistic"};
    static const enum config_delivery_tls want[] = {CONFIG_DELIVERY_REQUIRED, CONFIG_DELIVERY_OPPORTUNISTIC};
    char text[1024];
    struct config *c = NULL;
    snprintf(text, sizeof(text),
             LEAST "delivery: {routes: [{domain: \"*\", host: h.example, user: u, password_file: p%s}]}\n", rest[_i]);
    ck_assert_int_eq(parse(text, &c, NULL), 0);
    ck_assert_int_eq(c->delivery.routes[0].tls, want[_i]);
    config_free(&c);
}
END_TEST

static char *print(const struct config *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    config_print(c, f);
    fclose(f);
    return text;
}

START_TEST(round_trip)
{
    static const char *const texts[] = {everything, LEAST};
    struct config *first = NULL, *second = NULL;
    struct err err = {""};
    ck_assert_int_eq(parse(texts[_i], &first, NULL), 0);
    char *once = print(first);
    ck_assert_msg(parse(once, &second, &err) == 0, "%s\n%s", err.text, once);
    char *twice = print(second);
    ck_assert_str_eq(once, twice);
    ck_assert_ptr_nonnull(strstr(once, _i == 0 ? "retry: [1s, 1d]" : "retry: [1m, 5m, 15m, 30m, 1h, 2h, 4h]"));
    ck_assert_ptr_nonnull(strstr(once, _i == 0 ? "message_size: 1000000\n" : "message_size: 50m\n"));
    free(once);
    free(twice);
    config_free(&first);
    config_free(&second);
}
END_TEST

/* ---- quantities ------------------------------------------------------------------------------ */

static const struct {
    const char *text;
    int64_t seconds; /* -1: refused */
} durations[] = {
    {"90s", 90},
    {"5m", 300},
    {"2h", 7200},
    {"5d", 432000},
    {"0s", 0},
    {"0d", 0},
    {"106751991167300d", INT64_C(9223372036854720000)},
    {"106751991167301d", -1},
    {"", -1},
    {"s", -1},
    {"5", -1},
    {"5x", -1},
    {"05s", -1},
    {"00s", -1},
    {"-5s", -1},
    {"+5s", -1},
    {"5 s", -1},
    {" 5s", -1},
    {"5s ", -1},
    {"5S", -1},
    {"1.5h", -1},
    {"1h30m", -1},
    {"5ms", -1},
};

START_TEST(parse_duration)
{
    int64_t s = -1;
    int rc = config_parse_duration(slice_of(durations[_i].text), &s);
    ck_assert_msg((rc == 0) == (durations[_i].seconds >= 0), "row \"%s\"", durations[_i].text);
    ck_assert_int_eq(s, durations[_i].seconds);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    uint64_t octets;
} sizes[] = {
    {"100", true, 100},
    {"64k", true, 65536},
    {"50m", true, 52428800},
    {"0", true, 0},
    {"0k", true, 0},
    {"", false, 0},
    {"k", false, 0},
    {"010", false, 0},
    {"10 20", false, 0},
    {"5x", false, 0},
    {"10MiB", false, 0},
    {"1K", false, 0},
    {"1g", false, 0},
    {"-1", false, 0},
    {"1.5m", false, 0},
    {"18014398509481983k", true, UINT64_C(18446744073709550592)},
    {"18014398509481984k", false, 0},
};

START_TEST(parse_size)
{
    uint64_t n = 0;
    int rc = config_parse_size(slice_of(sizes[_i].text), &n);
    ck_assert_msg((rc == 0) == sizes[_i].ok, "row \"%s\"", sizes[_i].text);
    ck_assert_uint_eq(n, sizes[_i].octets);
}
END_TEST

/* ---- the files it names
 * ---------------------------------------------------------------------------------------------- */

static char dir[64];

static void dir_setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/sendas-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void dir_remove(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void make_file(const char *name, mode_t mode, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* A set-up where everything is as it should be. */
static void make_good(void)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "hostname: mail.example.com\ntls:\n  certificate: %s/cert.pem\n  key: %s/tls.pem\ndomains:\n"
             "  - name: example.com\n    dkim:\n      - {selector: s1, key: %s/s1.pem}\nusers: %s/users.yaml\n"
             "delivery:\n  ca_file: %s/cert.pem\n  routes:\n"
             "    - {domain: \"*\", host: smtp.example, user: u, password_file: %s/password}\n",
             dir, dir, dir, dir, dir, dir);
    make_file("sendas.yaml", 0644, text);
    make_file("cert.pem", 0644, "certificate");
    make_file("tls.pem", 0640, "key");
    make_file("s1.pem", 0600, "key");
    make_file("password", 0600, "password");
    make_file("users.yaml", 0640, "users:\n  - {name: me@example.com}\n");
}

/* `what` happens to the good set-up; the message ends like this, or "" where it is still good. */
static const struct {
    const char *name;
    mode_t mode; /* 0: the file is not there */
    const char *text;
    const char *message; /* of config_load, with DIR for the folder; NULL: accepted */
    const char *warning; /* of config_load_lenient; NULL: the same error, "": accepted without a word */
} file_rows[] = {
    {"s1.pem", 0600, "key", NULL, ""},
    {"s1.pem", 0, NULL, ":8: domains[0].dkim[0].key: cannot open DIR/s1.pem: No such file or directory",
     ":8: domains[0].dkim[0].key: cannot read DIR/s1.pem: No such file or directory\n"},
    {"s1.pem", 0644, "key",
     ":8: domains[0].dkim[0].key: DIR/s1.pem holds a secret, but its mode 0644 opens it to everybody; run: "
     "chmod o= DIR/s1.pem",
     NULL},
    {"tls.pem", 0, NULL, ":4: tls.key: cannot open DIR/tls.pem: No such file or directory",
     ":4: tls.key: cannot read DIR/tls.pem: No such file or directory\n"},
    {"tls.pem", 0604, "key",
     ":4: tls.key: DIR/tls.pem holds a secret, but its mode 0604 opens it to everybody; run: chmod o= DIR/tls.pem",
     NULL},
    {"cert.pem", 0, NULL, ":3: tls.certificate: cannot open DIR/cert.pem: No such file or directory",
     ":3: tls.certificate: cannot read DIR/cert.pem: No such file or directory\n"
     "DIR/sendas.yaml:11: delivery.ca_file: cannot read DIR/cert.pem: No such file or directory\n"},
    {"password", 0666, "x",
     ":13: delivery.routes[0].password_file: DIR/password holds a secret, but its mode 0666 opens it to everybody; "
     "run: chmod o= DIR/password",
     NULL},
    {"users.yaml", 0, NULL, ":9: users: cannot open DIR/users.yaml: No such file or directory",
     ":9: users: cannot read DIR/users.yaml: No such file or directory\n"},
    {"users.yaml", 0644, "users: []",
     ":9: users: DIR/users.yaml holds a secret, but its mode 0644 opens it to everybody; run: chmod o= DIR/users.yaml",
     NULL},
    {"users.yaml", 0600, "users:\n  - name: me\n",
     "DIR/users.yaml:2: users[0].name: found \"me\", expected an address, such as me@example.com (here: no '@')", NULL},
    {"users.yaml", 0600, "", "DIR/users.yaml:1: found nothing, expected \"users:\" and more", NULL},
    {"users.yaml", 0600, "users: []\n", NULL, "DIR/users.yaml: no users: nobody can log in\n"},
    {"sendas.yaml", 0, NULL, "cannot open DIR/sendas.yaml: No such file or directory", NULL},
    {"sendas.yaml", 0600, "hostname: x\n", "DIR/sendas.yaml:1: found no key \"tls\", expected one", NULL},
};

/* With DIR for the folder, and the name of the file in front where it begins with its line. */
static void expand(const char *message, char *out, size_t size)
{
    size_t n = message[0] == ':' ? (size_t)snprintf(out, size, "%s/sendas.yaml", dir) : 0;
    for (; *message != '\0' && n + 1 < size; message++) {
        if (strncmp(message, "DIR", 3) == 0) {
            n += (size_t)snprintf(out + n, size - n, "%s", dir);
            message += 2;
        } else {
            out[n++] = *message;
        }
    }
    out[n] = '\0';
}

START_TEST(named_files)
{
    char path[128], want[1024] = "";
    struct config *c = NULL;
    struct err err = {""};
    struct strbuf warnings = STRBUF_INIT;
    make_good();
    snprintf(path, sizeof(path), "%s/%s", dir, file_rows[_i].name);
    if (file_rows[_i].mode == 0)
        ck_assert_int_eq(unlink(path), 0);
    else
        make_file(file_rows[_i].name, file_rows[_i].mode, file_rows[_i].text);
    snprintf(path, sizeof(path), "%s/sendas.yaml", dir);

    int rc = config_load(path, &c, &err);
    if (file_rows[_i].message != NULL)
        expand(file_rows[_i].message, want, sizeof(want));
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(rc, file_rows[_i].message == NULL ? 0 : -1);
    config_free(&c);

    rc = config_load_lenient(path, &c, &warnings, &err);
    if (file_rows[_i].warning == NULL) {
        ck_assert_int_eq(rc, -1);
        ck_assert_str_eq(err.text, want);
    } else {
        ck_assert_int_eq(rc, 0);
        expand(file_rows[_i].warning, want, sizeof(want));
        ck_assert_str_eq(strbuf_str(&warnings), want);
    }
    config_free(&c);
    strbuf_free(&warnings);
}
END_TEST

/* With ACME there are no files to be there. */
START_TEST(acme_without_files)
{
    char path[128], text[512];
    struct config *c = NULL;
    struct err err = {""};
    make_good();
    snprintf(text, sizeof(text),
             "hostname: mail.example.com\ntls: {acme: {}}\ndomains: [{name: example.com}]\nusers: %s/users.yaml\n",
             dir);
    make_file("sendas.yaml", 0644, text);
    snprintf(path, sizeof(path), "%s/sendas.yaml", dir);
    ck_assert_msg(config_load(path, &c, &err) == 0, "%s", err.text);
    ck_assert_str_eq(c->tls.acme->directory, "https://acme-v02.api.letsencrypt.org/directory");
    ck_assert_uint_eq(c->tls.acme->listen[0].port, 80);
    config_free(&c);
}
END_TEST

/* The example as it is shipped says what the defaults are. */
START_TEST(example)
{
    struct config *c = NULL;
    struct err err = {""};
    struct strbuf warnings = STRBUF_INIT;
    ck_assert_msg(config_load_lenient("conf/sendas.yaml", &c, &warnings, &err) == 0, "%s", err.text);
    check_defaults(c);
    config_free(&c);
    strbuf_free(&warnings);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("config");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, dir_setup, dir_remove);
    tcase_add_test(tc, bad);
    tcase_add_test(tc, defaults);
    tcase_add_test(tc, least);
    tcase_add_test(tc, all_keys);
    tcase_add_loop_test(tc, route_login_needs_tls, 0, 2);
    tcase_add_loop_test(tc, round_trip, 0, 2);
    tcase_add_loop_test(tc, parse_duration, 0, ARRAY_LEN(durations));
    tcase_add_loop_test(tc, parse_size, 0, ARRAY_LEN(sizes));
    tcase_add_loop_test(tc, named_files, 0, ARRAY_LEN(file_rows));
    tcase_add_test(tc, acme_without_files);
    tcase_add_test(tc, example);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
