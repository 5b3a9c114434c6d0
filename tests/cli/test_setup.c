/* `setup`, `key`, `dns` and `sign`: what they make, what they print, and that nothing that exists is changed. */
#include "testing.h"

#include "sendas/cli.h"

#include "../../src/cli/internal.h"
#include "../../src/cli/key.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGS_MAX = 16 };

static char dir[64], config_path[96];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/sendas-setup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(config_path, sizeof(config_path), "%s/sendas.yaml", dir);
}

static void teardown(void)
{
    char command[128];
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
    int code = cli_main(argc, argv);
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
        "mail.example.com. 3600 IN A 127.0.0.1\n",
        "example.com. 3600 IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n",
        "_dmarc.example.com. 3600 IN TXT \"v=DMARC1; ",
        "s1._domainkey.example.com. 3600 IN TXT \"v=DKIM1; k=rsa; p=",
        "s2._domainkey.example.com. 3600 IN TXT \"v=DKIM1; k=ed25519; p=",
        "me@example.com",
        "587",
        "465",
        "tls/fullchain.pem",
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        ck_assert_msg(strstr(out, words[i]) != NULL, "%s: %s", words[i], out);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        ck_assert_uint_eq(mode_of(made[i]) & 07, 0);
        before[i] = contents(made[i]);
    }
    ck_assert_ptr_nonnull(strstr(strbuf_str(&before[1]), "$y$"));
    /* again: the same records, and not an octet changed */
    ck_assert_int_eq(RUN("dns", "-c", "CONFIG", "--format", "zone"), CLI_OK);
    struct strbuf records = STRBUF_INIT;
    strbuf_add_str(&records, out);
    ck_assert_int_eq(RUN("setup", "example.com", "--dir", "DIR"), CLI_OK);
    ck_assert_msg(strstr(out, strbuf_str(&records)) != NULL, "%s", out);
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
    ck_assert_ptr_nonnull(strstr(out, "s1._domainkey.example.net."));
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
    ck_assert_int_eq(RUN("dns", "example.net", "-c", "CONFIG"), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(errors, "example.net"));
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
    tcase_add_test(tc, setup_takes_no_key_of_another_kind);
    tcase_add_test(tc, keys);
    tcase_add_test(tc, states);
    tcase_add_test(tc, sign);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
