/* `setup`, `key`, `dns` and `sign`: what they make, what they print, and that nothing that exists is changed. */
#include "testing.h"

#include "sendas/cli.h"

#include "../../src/cli/internal.h"
#include "../../src/cli/key.h"
#include "../align/zone.h"

#include <jansson.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 24 };

static char dir[64], config_path[96];

/* DNS as these commands find it: nothing but what a test puts there. */
static struct zone zone;
static struct cli_world world = {.dns = {zone_query, &zone}};

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/sendas-setup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(config_path, sizeof(config_path), "%s/sendas.yaml", dir);
    zone = (struct zone){.rows = NULL};
    world = (struct cli_world){.dns = {zone_query, &zone}};
}

static void teardown(void)
{
    char command[128];
    strbuf_free(&zone.asked);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* Runs `sendas ARGS` with `in` on standard input; "DIR" and "CONFIG" stand for the folder and its configuration.  Both
 * output streams are kept until the next run. */
static char out[65536], errors[8192];

static void take(FILE *from, char *text, size_t size)
{
    rewind(from);
    text[fread(text, 1, size - 1, from)] = '\0';
    fclose(from);
}

/* `setup` and `dns` in that world, others as they are. */
static int call(int argc, char **argv)
{
    struct cli_args args = {.config_path = config_path, .argc = 0, .argv = argv + 1, .world = &world};
    if (strcmp(argv[1], "setup") != 0 && strcmp(argv[1], "dns") != 0)
        return cli_main(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0)
            i++; /* CONFIG */
        else
            args.argv[args.argc++] = argv[i];
    }
    return args.argv[0][0] == 's' ? cli_setup(&args) : cli_dns(&args);
}

static int run_with(const char *in, const char *const *args)
{
    char *argv[ARGS_MAX] = {(char *)"sendas"};
    int argc = 1;
    for (; args[argc - 1] != NULL; argc++) {
        const char *a = args[argc - 1];
        argv[argc] = strcmp(a, "DIR") == 0 ? dir : strcmp(a, "CONFIG") == 0 ? config_path : (char *)a;
    }
    FILE *files[3] = {tmpfile(), tmpfile(), tmpfile()};
    int saved[3];
    fputs(in, files[0]);
    fflush(stdout);
    rewind(files[0]);
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = dup(fd);
        dup2(fileno(files[fd]), fd);
    }
    int code = call(argc, argv);
    fflush(stdout);
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    fclose(files[0]);
    take(files[1], out, sizeof(out));
    take(files[2], errors, sizeof(errors));
    return code;
}

#define RUN(...) run_with("", (const char *const[]){__VA_ARGS__, NULL})

/* ---- usage ----------------------------------------------------------------------------------- */

static const struct {
    const char *args[8];
    int code;
    const char *words; /* on stderr */
} usage_rows[] = {
    {{"setup"}, CLI_USAGE, "domain"},
    {{"setup", "no name"}, CLI_USAGE, "no name"},
    {{"setup", "example.com", "example.net"}, CLI_USAGE, "example.net"},
    {{"setup", "example.com", "--ip", "192.0.2.300"}, CLI_USAGE, "192.0.2.300"},
    {{"setup", "example.com", "--ip"}, CLI_USAGE, "--ip"},
    {{"setup", "example.com", "--user", "me"}, CLI_USAGE, "mail address"},
    {{"setup", "example.com", "--acme", "--certificate", "x", "--key", "y"}, CLI_USAGE, "--acme"},
    {{"setup", "example.com", "--certificate", "x"}, CLI_USAGE, "--key"},
    {{"setup", "example.com", "--acme=x"}, CLI_USAGE, "mail address"},
    {{"setup", "example.com", "--client="}, CLI_USAGE, "gmail"},
    {{"setup", "localhost"}, CLI_USAGE, "localhost"},
    {{"dns", "a b", "-c", "CONFIG"}, CLI_USAGE, "a b"},
    {{"setup", "example.com", "--frobnicate"}, CLI_USAGE, "--frobnicate"},
    {{"key"}, CLI_USAGE, "new, list or retire"},
    {{"key", "frobnicate"}, CLI_USAGE, "frobnicate"},
    {{"key", "new"}, CLI_USAGE, "domain"},
    {{"key", "new", "example.com", "--type", "dsa"}, CLI_USAGE, "dsa"},
    {{"key", "new", "example.com", "--bits", "1024"}, CLI_USAGE, "2048"},
    {{"key", "new", "example.com", "--bits", "2048x"}, CLI_USAGE, "2048x"},
    {{"key", "new", "example.com", "--type", "ed25519", "--bits", "2048"}, CLI_USAGE, "RSA"},
    {{"key", "new", "example.com", "--selector", "a b"}, CLI_USAGE, "a b"},
    {{"key", "retire", "example.com"}, CLI_USAGE, "selector"},
    {{"key", "list", "x"}, CLI_USAGE, "x"},
    {{"dns", "--format", "xml", "-c", "CONFIG"}, CLI_USAGE, "table, zone or json"},
    {{"dns", "-c", "CONFIG"}, CLI_USAGE, "sendas.yaml"},
    {{"sign", "x"}, CLI_USAGE, "x"},
    {{"sign", "-c", "CONFIG"}, CLI_USAGE, "sendas.yaml"},
};

START_TEST(usage)
{
    ck_assert_int_eq(run_with("", usage_rows[_i].args), usage_rows[_i].code);
    ck_assert_msg(strstr(errors, usage_rows[_i].words) != NULL, "%s", errors);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(rmdir(dir), 0); /* nothing was made */
    ck_assert_int_eq(mkdir(dir, 0700), 0);
}
END_TEST

/* ---- setup ----------------------------------------------------------------------------------- */

static struct strbuf contents(const char *name)
{
    char path[256];
    struct strbuf text = STRBUF_INIT;
    struct err err = {""};
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_msg(file_read(path, 65536, false, &text, &err) == 0, "%s", err.text);
    return text;
}

static unsigned mode_of(const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_msg(stat(path, &st) == 0, "%s", path);
    return st.st_mode & 0777;
}

static const char *const made[] = {"sendas.yaml", "users.yaml", "dkim/example.com/s1.pem", "dkim/example.com/s2.pem"};

START_TEST(setup_makes_everything_once)
{
    struct strbuf before[ARRAY_LEN(made)];
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--ip", "127.0.0.1"), CLI_OK);
    static const char *const words[] = {
        "\n127.0.0.1\n",
        "\nv=spf1 ip4:127.0.0.1 -all\n",
        "\nv=DMARC1; p=none; rua=mailto:me@example.com\n",
        "\nv=DKIM1; k=rsa; p=",
        "\nv=DKIM1; k=ed25519; p=",
        "\n@ ",
        "\ns1._domainkey ",
        " s1._domainkey.example.com ",
        "me@example.com",
        "587",
        "465",
        "tls/fullchain.pem",
    };
    /* what scripts look for: the first line that has the word is the password itself */
    const char *password = strcasestr(out, "password");
    ck_assert_ptr_nonnull(password);
    ck_assert_uint_eq(strspn(password + strlen("password: ") + strspn(password + strlen("password: "), " "),
                             "-23456789abcdefghjkmnpqrstuvwxyz"),
                      CLI_PASSWORD_SIZE - 1);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        ck_assert_msg(strstr(out, words[i]) != NULL, "%s: %s", words[i], out);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        ck_assert_uint_eq(mode_of(made[i]) & 07, 0);
        before[i] = contents(made[i]);
    }
    ck_assert_ptr_nonnull(strstr(strbuf_str(&before[1]), "$y$"));
    ck_assert_ptr_nonnull(strstr(strbuf_str(&before[0]), "bind: [\"127.0.0.1\"]"));
    ck_assert_ptr_null(strstr(strbuf_str(&before[0]), "public"));
    /* again: the same records, and not an octet changed */
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    struct strbuf records = STRBUF_INIT;
    strbuf_add_str(&records, out);
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    ck_assert_msg(strstr(out, strbuf_str(&records)) != NULL, "%s", out);
    ck_assert_ptr_nonnull(strstr(out, "nothing was changed"));
    ck_assert_ptr_nonnull(strstr(out, "made before"));
    char again[160];
    snprintf(again, sizeof(again), "sendas user add me@example.com --label gmail -c %s\n", config_path);
    ck_assert_msg(strstr(out, again) != NULL, "%s", out);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct strbuf after = contents(made[i]);
        ck_assert_msg(slice_eq(strbuf_slice(&before[i]), strbuf_slice(&after)), "%s", made[i]);
        strbuf_free(&before[i]);
        strbuf_free(&after);
    }
    strbuf_free(&records);
    ck_assert_int_eq(RUN("config", "-c", "CONFIG"), CLI_OK);
}
END_TEST

START_TEST(setup_in_json)
{
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--json", "--user", "ann@example.com", "--hostname",
                         "smtp.example.com"),
                     CLI_OK);
    json_t *document = json_loads(out, 0, NULL);
    ck_assert_ptr_nonnull(document);
    ck_assert_str_eq(json_string_value(json_object_get(document, "user")), "ann@example.com");
    ck_assert_str_eq(json_string_value(json_object_get(document, "hostname")), "smtp.example.com");
    ck_assert_uint_eq(json_string_length(json_object_get(document, "password")), CLI_PASSWORD_SIZE - 1);
    ck_assert_uint_ge(json_array_size(json_object_get(document, "records")), 4);
    json_decref(document);
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--hostname", "other.example.com"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "smtp.example.com"));
}
END_TEST

START_TEST(setup_of_a_second_domain)
{
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    struct strbuf before = contents("sendas.yaml"), after = STRBUF_INIT;
    ck_assert_int_eq(RUN("setup", "example.net", "--dir", "DIR"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "- name: example.net\n"));
    ck_assert_ptr_nonnull(strstr(out, "s1._domainkey.example.net "));
    after = contents("sendas.yaml");
    ck_assert(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    strbuf_free(&before);
    strbuf_free(&after);
}
END_TEST

/* ---- dns ------------------------------------------------------------------------------------- */

START_TEST(dns_formats)
{
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    ck_assert_int_eq(RUN("dns", "example.com", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "v=spf1 a:mail.example.com -all\n"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG", "--format=json"), CLI_OK);
    json_t *list = json_loads(out, 0, NULL), *item;
    size_t i, keys = 0;
    ck_assert(json_is_array(list));
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name")),
                   *value = json_string_value(json_object_get(item, "value"));
        ck_assert(json_is_integer(json_object_get(item, "ttl")));
        ck_assert_str_eq(json_string_value(json_object_get(item, "type")), "TXT");
        keys += strstr(name, "._domainkey.example.com") != NULL && strncmp(value, "v=DKIM1; k=", 11) == 0;
    }
    ck_assert_uint_eq(keys, 2);
    json_decref(list);
    /* RFC 1035 3.3.14: no string of more than 255 octets */
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG", "--format", "zone"), CLI_OK);
    for (char *quote = strchr(out, '"'); quote != NULL; quote = strchr(quote + 1, '"')) {
        char *end = strchr(quote + 1, '"');
        ck_assert_ptr_nonnull(end);
        ck_assert_int_le(end - quote - 1, 255);
        quote = end;
    }
    ck_assert_int_eq(RUN("dns", "example.net", "-c", "CONFIG"), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(errors, "example.net"));
}
END_TEST

/* ---- what DNS has already -------------------------------------------------------------------- */

static json_t *parse(void)
{
    json_error_t error;
    json_t *document = json_loads(out, 0, &error);
    ck_assert_msg(document != NULL, "%s: %s", error.text, out);
    return document;
}

/* `key` of the record of this name and type, in setup's JSON; "" where there is none. */
static const char *record(json_t *document, const char *name, const char *type, const char *key)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(document, "records"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0 &&
            strcmp(json_string_value(json_object_get(item, "type")), type) == 0) {
            const char *value = json_string_value(json_object_get(item, key));
            return value == NULL ? "" : value;
        }
    }
    return "";
}

static bool mentions(json_t *document, const char *list, const char *words)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(document, list), i, item)
    {
        if (strstr(json_string_value(item), words) != NULL)
            return true;
    }
    return false;
}

#define SETUP(...)                                                                                                     \
    (ck_assert_msg(RUN("setup", "example.com", "--dir", "DIR", "--json", __VA_ARGS__) == CLI_OK, "%s", errors), parse())

static const char dkim1[] = "s1._domainkey.example.com";

/* What DNS has at example.com, and what setup makes of it. */
static const struct {
    struct zone_row rows[3];
    const char *name, *value, *status, *found; /* value NULL: whatever it is */
} there[] = {
    {{{0}}, "example.com", "v=spf1 ip4:192.0.2.1 -all", "new", ""},
    {{{"example.com", ZONE_TXT, "other", 0}}, "example.com", "v=spf1 ip4:192.0.2.1 -all", "new", ""},
    {{{"example.com", ZONE_TXT, "v=spf1 mx ~all", 0}},
     "example.com",
     "v=spf1 mx ip4:192.0.2.1 ~all",
     "replace",
     "v=spf1 mx ~all"},
    {{{"example.com", ZONE_TXT, "v=spf1 mx ~all", 0}, {"example.com", ZONE_TXT, "v=spf1 a -all", 0}},
     "example.com",
     "v=spf1 a mx ip4:192.0.2.1 ~all",
     "replace",
     "v=spf1 mx ~all  AND  v=spf1 a -all"},
    {{{"example.com", ZONE_TXT, "v=spf1 ip4:192.0.2.0/24 ?all", 0}},
     "example.com",
     "v=spf1 ip4:192.0.2.0/24 ?all",
     "published",
     ""},
    {{{"example.com", ZONE_TEMPFAIL, "", 0}}, "example.com", "v=spf1 ip4:192.0.2.1 -all", "unknown", ""},
    {{{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}},
     "_dmarc.example.com",
     "v=DMARC1; p=reject",
     "published",
     ""},
    {{{"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}, {"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=x", 0}},
     "_dmarc.example.com",
     "v=DMARC1; p=reject",
     "replace",
     "v=DMARC1; p=reject  AND  v=DMARC1; p=x"},
    {{{"_dmarc.example.com", ZONE_TXT, "v=DMARC1", 0}},
     "_dmarc.example.com",
     "v=DMARC1; p=none; rua=mailto:me@example.com",
     "replace",
     "v=DMARC1"},
    {{{"_dmarc.example.com", ZONE_TXT, "\x1b[31m", 0}},
     "_dmarc.example.com",
     "v=DMARC1; p=none; rua=mailto:me@example.com",
     "new",
     ""},
    {{{"_dmarc.example.com", ZONE_TEMPFAIL, "", 0}},
     "_dmarc.example.com",
     "v=DMARC1; p=none; rua=mailto:me@example.com",
     "unknown",
     ""},
    {{{dkim1, ZONE_TXT, "v=DKIM1; p=AAAA", 0}}, dkim1, NULL, "replace", "v=DKIM1; p=AAAA"},
    {{{dkim1, ZONE_TEMPFAIL, "", 0}}, dkim1, NULL, "unknown", ""},
    {{{"mail.example.com", ZONE_TXT, "v=spf1 mx -all", 0}},
     "mail.example.com",
     "v=spf1 mx ip4:192.0.2.1 -all",
     "replace",
     "v=spf1 mx -all"},
    {{{"mail.example.com", ZONE_TXT, "v=spf1 a -all", 0}, {"mail.example.com", ZONE_A, "192.0.2.1", 0}},
     "mail.example.com",
     "v=spf1 a -all",
     "published",
     ""},
};

START_TEST(what_exists)
{
    zone.rows = there[_i].rows;
    while (zone.n < 3 && there[_i].rows[zone.n].name != NULL)
        zone.n++;
    json_t *document = SETUP("--ip", "192.0.2.1");
    if (there[_i].value != NULL)
        ck_assert_str_eq(record(document, there[_i].name, "TXT", "value"), there[_i].value);
    ck_assert_str_eq(record(document, there[_i].name, "TXT", "status"), there[_i].status);
    ck_assert_str_eq(record(document, there[_i].name, "TXT", "found"), there[_i].found);
    /* `dns` says the same */
    const char *value = record(document, there[_i].name, "TXT", "value");
    ck_assert_int_eq(RUN("dns", "example.com", "-c", "CONFIG"), CLI_OK);
    char line[1024];
    snprintf(line, sizeof(line), "\n%s\n", value);
    ck_assert_msg(strstr(out, line) != NULL, "%s: %s", line, out);
    ck_assert_ptr_null(strchr(out, '\x1b'));
    json_decref(document);
}
END_TEST

static const struct {
    struct zone_row row;
    const char *status, *found;
} addresses[] = {
    {{"x.test", ZONE_A, "192.0.2.1", 0}, "new", ""},
    {{"mail.example.com", ZONE_A, "192.0.2.1", 0}, "published", ""},
    {{"mail.example.com", ZONE_A, "192.0.2.99", 0}, "replace", "192.0.2.99"},
    {{"mail.example.com", ZONE_TEMPFAIL, "", 0}, "unknown", ""},
};

START_TEST(addresses_that_exist)
{
    zone.rows = &addresses[_i].row;
    zone.n = 1;
    json_t *document = SETUP("--ip", "192.0.2.1");
    ck_assert_str_eq(record(document, "mail.example.com", "A", "status"), addresses[_i].status);
    ck_assert_str_eq(record(document, "mail.example.com", "A", "found"), addresses[_i].found);
    json_decref(document);
}
END_TEST

/* Where mail to the domain goes today: Gmail's mail with the code has to arrive. */
static const struct {
    struct zone_row row;
    const char *says, *not ;
} arrivals[] = {
    {{"example.com", ZONE_MX, "in.example.net", 0}, "by in.example.net in its mailbox", "But "},
    {{"example.com", ZONE_MX, "", 0}, "a null MX record, RFC 7505", "as it has no MX"},
    {{"example.com", ZONE_A, "192.0.2.80", 0}, "goes to the server at the domain's own address", "But "},
    {{"example.com", ZONE_AAAA, "2001:db8::80", 0}, "goes to the server at the domain's own address", "But "},
    {{"example.com", ZONE_TXT, "x", 0}, "But nothing takes mail for example.com yet", "own address"},
    {{"example.com", ZONE_TEMPFAIL, "", 0}, "arrives where mail to me@example.com arrives today", "But "},
};

START_TEST(where_mail_arrives)
{
    zone.rows = &arrivals[_i].row;
    zone.n = 1;
    json_t *document = SETUP("--ip", "192.0.2.1");
    const char *said = json_string_value(json_object_get(document, "confirmation"));
    ck_assert_msg(strstr(said, arrivals[_i].says) != NULL && strstr(said, arrivals[_i].not ) == NULL, "%s", said);
    json_decref(document);
}
END_TEST

/* What is printed is published: then all is there, and the same comes out. */
START_TEST(published_as_printed)
{
    struct zone_row rows[32] = {{0}};
    size_t i;
    json_t *item, *first = SETUP("--ip", "192.0.2.1", "--ip", "2001:DB8:0::1"), *second, *list;
    json_array_foreach(json_object_get(first, "records"), i, item)
    {
        static const char *const names[] = {"A", "AAAA", "TXT", "SRV"};
        static const unsigned types[] = {ZONE_A, ZONE_AAAA, ZONE_TXT, 33};
        const char *type = json_string_value(json_object_get(item, "type"));
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (strcmp(names[k], type) == 0)
                rows[i] = (struct zone_row){json_string_value(json_object_get(item, "name")), types[k],
                                            json_string_value(json_object_get(item, "value")), 0};
        ck_assert_ptr_nonnull(rows[i].name);
    }
    zone.rows = rows;
    zone.n = i;
    second = SETUP("--ip", "192.0.2.1");
    ck_assert_uint_eq(json_array_size(json_object_get(second, "records")), i);
    json_array_foreach(json_object_get(second, "records"), i, item)
    {
        bool optional = strcmp(json_string_value(json_object_get(item, "group")), "optional") == 0;
        ck_assert_str_eq(json_string_value(json_object_get(item, "value")), rows[i].text);
        ck_assert_msg(optional || strcmp(json_string_value(json_object_get(item, "status")), "published") == 0, "%s",
                      rows[i].name);
    }
    ck_assert(json_is_null(json_object_get(second, "password")));
    ck_assert(!mentions(second, "todo", "DNS records"));
    ck_assert(mentions(second, "todo", "reverse name"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG", "--format", "json"), CLI_OK);
    list = parse();
    ck_assert_uint_eq(json_array_size(list), zone.n - 2); /* but the two that are optional */
    json_array_foreach(list, i, item) ck_assert_uint_eq(json_object_size(item), 4);
    json_decref(first);
    json_decref(second);
    json_decref(list);
}
END_TEST

/* ---- what is found out ----------------------------------------------------------------------- */

static const struct zone_row of_provider[] = {{"9.2.0.192.in-addr.arpa", ZONE_PTR, "vps-9.provider.test", 0},
                                              {"vps-9.provider.test", ZONE_A, "192.0.2.9", 0}},
                             of_domain[] = {{"9.2.0.192.in-addr.arpa", ZONE_PTR, "Smtp.example.com", 0}};

START_TEST(host_name_and_addresses)
{
    static const struct {
        const struct zone_row *rows;
        size_t n;
        const char *hostname, *ptr, *found;
    } cases[] = {{NULL, 0, "mail.example.com", "new", NULL},
                 {of_provider, 2, "mail.example.com", "replace", "vps-9.provider.test"},
                 {of_domain, 1, "smtp.example.com", "published", "smtp.example.com"}};
    zone.rows = cases[_i].rows;
    zone.n = cases[_i].n;
    world.ips[0] = "192.0.2.9";
    world.n_ips = 1;
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--json"), CLI_OK);
    json_t *document = parse(), *ptr = json_array_get(json_object_get(document, "ptr"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(document, "hostname")), cases[_i].hostname);
    ck_assert_str_eq(json_string_value(json_object_get(ptr, "name")), cases[_i].hostname);
    ck_assert_str_eq(json_string_value(json_object_get(ptr, "status")), cases[_i].ptr);
    ck_assert_pstr_eq(json_string_value(json_object_get(ptr, "found")), cases[_i].found);
    ck_assert_str_eq(record(document, cases[_i].hostname, "A", "value"), "192.0.2.9");
    json_decref(document);
}
END_TEST

/* An address that is not this machine's is kept for `dns`. */
START_TEST(behind_nat)
{
    json_t *document = SETUP("--ip", "192.0.2.7", "--ip", "192.0.2.7");
    struct strbuf text = contents("sendas.yaml");
    ck_assert_ptr_nonnull(strstr(strbuf_str(&text), "public: [\"192.0.2.7\"]"));
    ck_assert_ptr_null(strstr(strbuf_str(&text), "bind"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "\nv=spf1 ip4:192.0.2.7 -all\n"));
    ck_assert_ptr_nonnull(strstr(out, "\n192.0.2.7\n"));
    strbuf_free(&text);
    json_decref(document);
}
END_TEST

/* No address can be found out: it may be said later, and only then. */
START_TEST(address_said_later)
{
    json_t *document = SETUP("--hostname", "mail.example.com");
    ck_assert(mentions(document, "todo", "--ip"));
    json_decref(document);
    document = SETUP("--ip", "192.0.2.7");
    ck_assert(!mentions(document, "todo", "--ip"));
    ck_assert(mentions(document, "done", "addresses"));
    ck_assert_str_eq(record(document, "example.com", "TXT", "value"), "v=spf1 ip4:192.0.2.7 -all");
    json_decref(document);
    struct strbuf before = contents("sendas.yaml");
    document = SETUP("--ip", "192.0.2.8");
    ck_assert(mentions(document, "todo", "192.0.2.8"));
    struct strbuf after = contents("sendas.yaml");
    ck_assert(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    strbuf_free(&before);
    strbuf_free(&after);
    json_decref(document);
}
END_TEST

static void query_nobody(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    (void)ctx, (void)a, (void)name, (void)type;
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
}

START_TEST(without_dns)
{
    world.dns = (struct lookup){query_nobody, NULL};
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--ip", "192.0.2.1"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "DNS did not answer"));
    ck_assert_ptr_nonnull(strstr(out, "do not add this one beside it"));
    ck_assert_ptr_nonnull(strstr(out, "DNS gave no answer about 6 of the records"));
    ck_assert_ptr_null(strstr(out, "to be added"));
    ck_assert_ptr_nonnull(strstr(out, "\nv=spf1 ip4:192.0.2.1 -all\n"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG", "--format", "json"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(errors, "DNS did not answer"));
}
END_TEST

static const struct {
    const char *given, *name;
} spellings[] = {{"EXAMPLE.com", "example.com"},
                 {"example.com.", "example.com"},
                 {"m\xc3\xbcller.example", "xn--mller-kva.example"},
                 {"M\xc3\x9cLLER.example.", "xn--mller-kva.example"},
                 {"a.b.example.com", "a.b.example.com"}};

START_TEST(domains_as_people_write_them)
{
    ck_assert_int_eq(RUN("setup", spellings[_i].given, "--dir", "DIR", "--json"), CLI_OK);
    json_t *document = parse();
    ck_assert_str_eq(json_string_value(json_object_get(document, "domain")), spellings[_i].name);
    ck_assert_str_eq(record(document, spellings[_i].name, "TXT", "relative_name"), "@");
    ck_assert_int_eq(RUN("dns", spellings[_i].given, "-c", "CONFIG"), CLI_OK);
    json_decref(document);
}
END_TEST

/* The form of a DNS host has the zone's name behind it, and the policy of the domain above holds. */
START_TEST(domain_below_another)
{
    static const struct zone_row rows[] = {{"example.com", 2, "ns.example.com", 0},
                                           {"example.com", ZONE_A, "192.0.2.80", 0},
                                           {"co.uk", 2, "ns.nic.uk", 0},
                                           {"_dmarc.example.com", ZONE_TXT, "v=DMARC1; p=reject", 0}};
    zone.rows = rows;
    zone.n = ARRAY_LEN(rows);
    ck_assert_int_eq(RUN("setup", "news.example.com", "--dir", "DIR", "--json"), CLI_OK);
    json_t *document = parse();
    ck_assert_str_eq(record(document, "news.example.com", "TXT", "relative_name"), "news");
    ck_assert_str_eq(record(document, "s1._domainkey.news.example.com", "TXT", "relative_name"), "s1._domainkey.news");
    ck_assert_str_eq(record(document, "_dmarc.news.example.com", "TXT", "value"), "");
    json_decref(document);
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "policy reject"));
    ck_assert_int_eq(RUN("setup", "example.co.uk", "--dir", "DIR", "--json"), CLI_OK);
    document = parse();
    ck_assert_str_eq(record(document, "example.co.uk", "TXT", "relative_name"), "@");
    json_decref(document);
}
END_TEST

/* ---- mail programs, certificates ------------------------------------------------------------- */

START_TEST(a_password_for_each_client)
{
    json_t *document = SETUP("--client", "gmail", "--client=thunderbird", "--client", "gmail"), *again;
    const char *gmail = json_string_value(json_object_get(json_object_get(document, "gmail"), "password")),
               *thunderbird = json_string_value(json_object_get(json_object_get(document, "thunderbird"), "password"));
    ck_assert_uint_eq(json_array_size(json_object_get(document, "passwords")), 2);
    ck_assert_str_ne(gmail, thunderbird);
    ck_assert(json_is_null(json_object_get(json_object_get(document, "k9"), "password")));
    /* only what is new is made */
    again = SETUP("--client", "gmail", "--client", "phone");
    ck_assert_uint_eq(json_array_size(json_object_get(again, "passwords")), 1);
    ck_assert(json_is_string(json_object_get(json_object_get(again, "k9"), "password")));
    json_decref(document);
    json_decref(again);
    ck_assert_int_eq(RUN("user", "list", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "gmail"));
    ck_assert_ptr_nonnull(strstr(out, "phone"));
    ck_assert_ptr_null(strstr(out, "default"));
}
END_TEST

/* What fails before it can be printed is not stored either: nobody would know it. */
START_TEST(no_password_that_nobody_sees)
{
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--client", "gmail"), CLI_OK);
    struct strbuf before = contents("users.yaml"), path = STRBUF_INIT;
    strbuf_addf(&path, "%s/dkim/example.com/s2.pem", dir);
    ck_assert_int_eq(truncate(strbuf_str(&path), 10), 0);
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR", "--client", "phone"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "s2.pem"));
    struct strbuf after = contents("users.yaml");
    ck_assert_str_eq(strbuf_str(&after), strbuf_str(&before));
    strbuf_free(&before);
    strbuf_free(&after);
    strbuf_free(&path);
}
END_TEST

static const struct {
    const char *args[5], *yaml;
} certificates[] = {
    {{"--acme"}, "  acme: {email: \"me@example.com\"}\n"},
    {{"--acme", "ops@example.net"}, "  acme: {email: \"ops@example.net\"}\n"},
    {{"--acme=ops@example.net"}, "  acme: {email: \"ops@example.net\"}\n"},
    {{"--certificate", "/x/chain.pem", "--key", "/x/key.pem"},
     "  certificate: \"/x/chain.pem\"\n  key: \"/x/key.pem\"\n"},
};

START_TEST(certificate)
{
    const char *const *a = certificates[_i].args;
    const char *args[] = {"setup", "--dir", "DIR", "example.com", a[0], a[1], a[2], a[3], NULL};
    ck_assert_msg(run_with("", args) == CLI_OK, "%s", errors);
    struct strbuf text = contents("sendas.yaml");
    ck_assert_msg(strstr(strbuf_str(&text), certificates[_i].yaml) != NULL, "%s", strbuf_str(&text));
    ck_assert_int_eq(strstr(out, "terms of service") != NULL, _i < 3);
    strbuf_free(&text);
}
END_TEST

/* ---- key ------------------------------------------------------------------------------------- */

START_TEST(setup_takes_no_key_of_another_kind)
{
    ck_assert_int_eq(RUN("key", "new", "example.com", "-c", "CONFIG", "--type", "ed25519"), CLI_OK);
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "s1.pem"));
}
END_TEST

/* What a child prints goes to `said`. */
static pid_t start(FILE *said, const char *const *args)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    int code = run_with("", args);
    fprintf(said, "%s%s", out, errors);
    _exit(fflush(said) == 0 ? code : 99);
}

/* Panels and scripts start more than one at a time: each finds what the other has finished. */
START_TEST(side_by_side)
{
    static const char *const setup_args[] = {"setup", "example.com", "--dir", "DIR", "--ip", "192.0.2.1", NULL},
                             *const key_args[] = {"key",     "new", "example.com", "--type",
                                                  "ed25519", "-c",  "CONFIG",      NULL};
    enum { SETUPS = 3, KEYS = 6 };
    FILE *said[SETUPS + KEYS];
    pid_t children[SETUPS + KEYS];
    size_t passwords = 0;
    struct config *c = NULL;
    struct err err;

    for (size_t i = 0; i < SETUPS + KEYS; i++) {
        said[i] = tmpfile();
        if (i == SETUPS) /* a key needs a set-up */
            for (size_t k = 0; k < SETUPS; k++)
                ck_assert_int_eq(waitpid(children[k], NULL, 0), children[k]);
        children[i] = start(said[i], i < SETUPS ? setup_args : key_args);
    }
    for (size_t i = SETUPS; i < SETUPS + KEYS; i++) {
        int status = -1;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    for (size_t i = 0; i < SETUPS; i++) {
        take(said[i], out, sizeof(out));
        ck_assert_msg(strstr(out, "sendas is set up") != NULL, "%s", out);
        passwords += strstr(out, "No password is shown again") != NULL;
    }
    for (size_t i = SETUPS; i < SETUPS + KEYS; i++)
        fclose(said[i]);
    ck_assert_uint_eq(passwords, 1); /* the one that is stored */
    ck_assert_msg(config_load_text(config_path, &c, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(c->domains[0].n_keys, 2 + KEYS);
    for (size_t i = 0; i < c->domains[0].n_keys; i++)
        ck_assert_int_eq(access(c->domains[0].keys[i].path, F_OK), 0);
    config_free(&c);
}
END_TEST

START_TEST(keys)
{
    /* before there is a configuration */
    ck_assert_int_eq(RUN("key", "new", "example.com", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s1._domainkey.example.com. 3600 IN TXT \"v=DKIM1; k=rsa; p="));
    ck_assert_ptr_nonnull(strstr(out, "- name: example.com"));
    ck_assert_uint_eq(mode_of("dkim/example.com/s1.pem") & 07, 0);
    ck_assert_int_eq(RUN("key", "new", "example.com", "-c", "CONFIG", "--selector", "s1"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "never overwritten"));
    /* the first key is kept by setup, which makes the second; then s3 is free */
    struct strbuf before = contents("dkim/example.com/s1.pem");
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    struct strbuf after = contents("dkim/example.com/s1.pem");
    ck_assert(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    strbuf_free(&before);
    strbuf_free(&after);
    ck_assert_int_eq(RUN("key", "new", "example.com", "-c", "CONFIG", "--type=ed25519"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s3._domainkey"));
    ck_assert_ptr_null(strstr(out, "- name:"));
    ck_assert_int_eq(RUN("key", "list", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "ed25519-sha256"));
    ck_assert_int_eq(RUN("key", "retire", "example.com", "s9", "-c", "CONFIG"), CLI_FAILED);
    ck_assert_int_eq(RUN("key", "retire", "example.com", "s1", "s2", "-c", "CONFIG"), CLI_USAGE);
    ck_assert_int_eq(RUN("key", "retire", "example.com", "s1", "--now", "-c", "CONFIG"), CLI_USAGE);
    ck_assert_int_eq(RUN("key", "list", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "waiting for DNS: the daemon has not looked yet"));
}
END_TEST

/* A new key waits in the configuration; one that is retired stays there, without its file if need be. */
START_TEST(states)
{
    char today[16], line[256];
    keys_day_text(today, cli_today());
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    ck_assert_int_eq(RUN("key", "new", "example.com", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s3 waits in"));
    ck_assert_ptr_nonnull(strstr(out, "systemctl reload sendas"));
    struct strbuf text = contents("sendas.yaml");
    snprintf(line, sizeof(line), "s3.pem\", state: waiting, since: %s}\n", today);
    ck_assert_ptr_nonnull(strstr(strbuf_str(&text), "- {selector: s3, key: \""));
    ck_assert_ptr_nonnull(strstr(strbuf_str(&text), line));
    strbuf_free(&text);
    const char *const args[] = {"sign", "-c", "CONFIG", NULL};
    ck_assert_int_eq(run_with("From: me@example.com\n\nbody\n", args), CLI_OK);
    ck_assert_ptr_null(strstr(out, "s=s3"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s3._domainkey")); /* waiting ones are to be published */

    ck_assert_int_eq(RUN("key", "retire", "example.com", "s1", "--force", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s1._domainkey.example.com"));
    ck_assert_uint_ne(mode_of("dkim/example.com/s1.pem"), 0); /* told, not done */
    ck_assert_int_eq(RUN("key", "retire", "example.com", "s1", "--force", "-c", "CONFIG"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "already"));
    ck_assert_int_eq(run_with("From: me@example.com\n\nbody\n", args), CLI_OK);
    ck_assert_ptr_null(strstr(out, "s=s1"));
    ck_assert_ptr_nonnull(strstr(out, "s=s2"));
    /* s2 is the last one that signs: s3 was not seen anywhere */
    ck_assert_int_eq(RUN("key", "retire", "example.com", "s2", "--force", "-c", "CONFIG"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "only key"));
    ck_assert_int_eq(RUN("key", "list", "-c", "CONFIG", "--json"), CLI_OK);
    snprintf(line, sizeof(line), "\"since\": \"%s\"", today);
    ck_assert_ptr_nonnull(strstr(out, line));
    ck_assert_ptr_nonnull(strstr(out, "\"keep_until\": \"2"));
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "s1._domainkey")); /* for a week */
    char path[160];
    snprintf(path, sizeof(path), "%s/dkim/example.com/s1.pem", dir);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG"), CLI_OK);
    ck_assert_ptr_null(strstr(out, "s1._domainkey"));
    ck_assert_int_eq(RUN("key", "list", "-c", "CONFIG"), CLI_OK);
}
END_TEST

/* ---- sign ------------------------------------------------------------------------------------ */

START_TEST(sign)
{
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    const char *const args[] = {"sign", "-c", "CONFIG", NULL};
    ck_assert_int_eq(run_with("From: me@example.com\nSubject: x\n\nbody\n", args), CLI_OK);
    ck_assert(strncmp(out, "DKIM-Signature: v=1; a=rsa-sha256;", 34) == 0);
    ck_assert_ptr_nonnull(strstr(out, "\r\nDKIM-Signature: v=1; a=ed25519-sha256;"));
    ck_assert_ptr_nonnull(strstr(out, "\r\nFrom: me@example.com\r\nSubject: x\r\n"));
    ck_assert_int_eq(run_with("From: me@elsewhere.example\n\n", args), CLI_FAILED);
    ck_assert_str_eq(out, "");
    ck_assert_ptr_nonnull(strstr(errors, "elsewhere.example"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("setup, key, dns, sign");
    TCase *tc = tcase_create("cli");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, usage, 0, (int)ARRAY_LEN(usage_rows));
    tcase_add_test(tc, setup_makes_everything_once);
    tcase_add_test(tc, setup_in_json);
    tcase_add_test(tc, setup_of_a_second_domain);
    tcase_add_test(tc, dns_formats);
    tcase_add_loop_test(tc, what_exists, 0, (int)ARRAY_LEN(there));
    tcase_add_loop_test(tc, addresses_that_exist, 0, (int)ARRAY_LEN(addresses));
    tcase_add_loop_test(tc, where_mail_arrives, 0, (int)ARRAY_LEN(arrivals));
    tcase_add_test(tc, published_as_printed);
    tcase_add_loop_test(tc, host_name_and_addresses, 0, 3);
    tcase_add_test(tc, behind_nat);
    tcase_add_test(tc, address_said_later);
    tcase_add_test(tc, without_dns);
    tcase_add_loop_test(tc, domains_as_people_write_them, 0, (int)ARRAY_LEN(spellings));
    tcase_add_test(tc, domain_below_another);
    tcase_add_test(tc, a_password_for_each_client);
    tcase_add_test(tc, no_password_that_nobody_sees);
    tcase_add_loop_test(tc, certificate, 0, (int)ARRAY_LEN(certificates));
    tcase_add_test(tc, setup_takes_no_key_of_another_kind);
    tcase_add_test(tc, side_by_side);
    tcase_add_test(tc, keys);
    tcase_add_test(tc, states);
    tcase_add_test(tc, sign);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
