/* The command line: what is usage, what is help, where -c may stand, and users from the first to the last. */
#include "testing.h"

#include "sendas/cli.h"
#include "sendas/config.h"

#include "../../src/cli/internal.h"

#include <crypt.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 12 };

/* Runs `sendas ARGS`; what it prints on stdout goes to `out` (NUL-terminated), stderr is dropped. */
static int run(char *out, size_t size, const char *const *args)
{
    char *argv[ARGS_MAX + 2] = {(char *)"sendas"};
    int argc = 1, pipe_fds[2];

    while (args[argc - 1] != NULL) {
        ck_assert_int_lt(argc, ARGS_MAX);
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    fflush(stdout);
    int saved_out = dup(1), saved_err = dup(2), null = open("/dev/null", O_WRONLY);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_gt(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 16), 0);
    dup2(pipe_fds[1], 1);
    dup2(null, 2);
    int code = cli_main(argc, argv);
    fflush(stdout);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(pipe_fds[1]);
    ssize_t n = read(pipe_fds[0], out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    close(pipe_fds[0]);
    close(saved_out);
    close(saved_err);
    close(null);
    return code;
}

static const struct {
    const char *args[ARGS_MAX];
    int code;
    const char *prints; /* stands in the output; "" = nothing is printed */
} rows[] = {
    {{NULL}, CLI_USAGE, ""},
    {{"--help"}, CLI_OK, "usage: sendas [-c FILE] COMMAND"},
    {{"-h"}, CLI_OK, "usage: sendas"},
    {{"--version"}, CLI_OK, "sendas "},
    {{"version"}, CLI_OK, "libunbound"},
    {{"version", "x"}, CLI_USAGE, ""},
    {{"frobnicate"}, CLI_USAGE, ""},
    {{"--frobnicate", "version"}, CLI_USAGE, ""},
    {{"-c"}, CLI_USAGE, ""},
    {{"version", "-c"}, CLI_USAGE, ""},
    {{"serve", "--help"}, CLI_OK, "usage: sendas serve"},
    {{"--help", "queue"}, CLI_OK, "usage: sendas queue list"},
    {{"user", "add", "--help"}, CLI_OK, "--password-stdin"},
    {{"user"}, CLI_USAGE, ""},
    {{"user", "frobnicate"}, CLI_USAGE, ""},
    {{"user", "add"}, CLI_USAGE, ""},
    {{"user", "add", "no-address"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "b@example.com"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--label"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--label="}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--frobnicate"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--messages-per-hour", "x"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--messages-per-hour=1000001"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--only-send-as"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--send-as", "*@"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--send-as", "no address"}, CLI_USAGE, ""},
    {{"user", "add", "a@example.com", "--only-send-as", "a*@example.com"}, CLI_USAGE, ""},
    {{"user", "remove", "a@example.com", "--only-send-as", "x"}, CLI_USAGE, ""},
    {{"user", "remove", "a@example.com", "--send-as", "x"}, CLI_USAGE, ""},
    {{"user", "list", "x"}, CLI_USAGE, ""},
    {{"queue"}, CLI_USAGE, ""},
    {{"queue", "list", "--frobnicate"}, CLI_USAGE, ""},
    {{"-c", "/nonexistent/x.yaml", "config"}, CLI_USAGE, ""},
    {{"config", "-c", "/nonexistent/x.yaml"}, CLI_USAGE, ""},
    {{"config", "-c/nonexistent/x.yaml"}, CLI_USAGE, ""},
    {{"queue", "list", "-c", "/nonexistent/x.yaml"}, CLI_USAGE, ""},
};

START_TEST(exit_codes_and_help)
{
    char out[8192];

    ck_assert_msg(run(out, sizeof(out), rows[_i].args) == rows[_i].code, "row %d", _i);
    if (rows[_i].prints[0] == '\0')
        ck_assert_msg(out[0] == '\0', "row %d printed %s", _i, out);
    else
        ck_assert_msg(strstr(out, rows[_i].prints) != NULL, "row %d printed %s", _i, out);
}
END_TEST

START_TEST(options_take_their_value_either_way)
{
    char *argv[] = {(char *)"x",         (char *)"--label",  (char *)"a",
                    (char *)"--label=b", (char *)"--labels", (char *)"--label"};
    const struct cli_args args = {.argc = 6, .argv = argv};
    const char *value = NULL;
    int i = 1;

    ck_assert_int_eq(cli_option(&args, &i, "--label", &value), 1);
    ck_assert_str_eq(value, "a");
    ck_assert_int_eq(i, 2);
    i = 3;
    ck_assert_int_eq(cli_option(&args, &i, "--label", &value), 1);
    ck_assert_str_eq(value, "b");
    ck_assert_int_eq(i, 3);
    i = 4;
    ck_assert_int_eq(cli_option(&args, &i, "--label", &value), 0);
    i = 5;
    ck_assert_int_eq(cli_option(&args, &i, "--label", &value), -1);
}
END_TEST

START_TEST(passwords_are_five_groups_of_four)
{
    char a[CLI_PASSWORD_SIZE], b[CLI_PASSWORD_SIZE], hash[CLI_HASH_SIZE];
    struct err err;

    ck_assert_int_eq(cli_password_new(a, &err), 0);
    ck_assert_int_eq(cli_password_new(b, &err), 0);
    ck_assert_str_ne(a, b);
    ck_assert_uint_eq(strlen(a), 24);
    for (size_t i = 0; i < 24; i++)
        ck_assert_msg((a[i] == '-') == (i % 5 == 4), "%s", a);
    ck_assert_int_eq(cli_password_hash(a, hash, &err), 0);
    ck_assert_int_eq(strncmp(hash, "$y$", 3), 0);
    struct crypt_data *data = calloc(1, sizeof(*data));
    ck_assert_ptr_nonnull(data);
    ck_assert_str_eq(crypt_rn(a, hash, data, (int)sizeof(*data)), hash);
    ck_assert_str_ne(crypt_rn(b, hash, data, (int)sizeof(*data)), hash);
    free(data);
}
END_TEST

/* A configuration whose files but users.yaml are not there. */
static void write_config(const char *dir, char *path, size_t size)
{
    snprintf(path, size, "%s/sendas.yaml", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f,
            "hostname: mail.example.com\ntls: {certificate: %s/c.pem, key: %s/k.pem}\n"
            "domains:\n  - name: example.com\n    dkim: [{selector: s1, key: %s/s1.pem}]\n"
            "users: %s/users.yaml\nqueue: {path: %s/queue.db}\n",
            dir, dir, dir, dir, dir);
    fclose(f);
}

static void write_logins(const char *dir, const char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/logins.json", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* What the daemon has written down; without it, or when it is broken, the list is shown all the same. */
static void show_last_use(const char *dir, const char *config)
{
    char out[8192], path[64];
    static const char written[] =
        "{\"version\": 1, \"users\": {\"me@example.com\": {\"passwords\": {\"phone\": {\"used\": 1763719200, "
        "\"address\": \"2001:db8::7\"}, \"gone\": {\"used\": 1763719200, \"address\": \"192.0.2.1\"}}}}}";
#define RUN(...) run(out, sizeof(out), (const char *const[]){__VA_ARGS__, NULL})
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK);
    ck_assert_str_eq(out, "me@example.com\n"
                          "  sends as *@example.com\n"
                          "  LABEL       LIMIT  LAST USED (UTC)   FROM\n"
                          "  phone              not yet\n"
                          "  default            not yet\n"
                          "  shop         50/h  not yet\n"
                          "      only as shop@example.com\n");
    write_logins(dir, written);
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "  phone              2025-11-21 10:00  2001:db8::7\n"));
    ck_assert_ptr_null(strstr(out, "192.0.2.1"));
    ck_assert_int_eq(RUN("user", "list", "--json", "-c", config), CLI_OK);
    json_t *list = json_loads(out, 0, NULL), *passwords, *shop;
    const char *used, *address, *only;
    int messages;
    ck_assert_int_eq(json_unpack(list, "[{s:o}]", "passwords", &passwords), 0);
    ck_assert_int_eq(json_unpack(json_array_get(passwords, 0), "{s:s, s:s, s:n, s:n}", "last_used", &used,
                                 "last_address", &address, "send_as", "messages_per_hour"),
                     0);
    ck_assert_str_eq(used, "2025-11-21T10:00:00Z");
    ck_assert_str_eq(address, "2001:db8::7");
    shop = json_array_get(passwords, 2);
    ck_assert_int_eq(json_unpack(shop, "{s:n, s:n, s:[s], s:i}", "last_used", "last_address", "send_as", &only,
                                 "messages_per_hour", &messages),
                     0);
    ck_assert_int_eq(messages, 50);
    json_decref(list);
    write_logins(dir, "{");
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "phone"));
    snprintf(path, sizeof(path), "%s/logins.json", dir);
    unlink(path);
#undef RUN
}

START_TEST(users_come_and_go)
{
    char dir[] = "/tmp/sendas-cli-XXXXXX", config[64], users[64], out[8192];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_config(dir, config, sizeof(config));
    snprintf(users, sizeof(users), "%s/users.yaml", dir);
#define RUN(...) run(out, sizeof(out), (const char *const[]){__VA_ARGS__, NULL})
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "no users"));
    ck_assert_int_eq(RUN("-c", config, "user", "add", "me@example.com", "--label", "phone", "--send-as=*@example.com"),
                     CLI_OK);
    char *password = strstr(out, "password: ");
    ck_assert_ptr_nonnull(password);
    password[10 + 24] = '\0';
    char kept[25];
    memcpy(kept, password + 10, sizeof(kept));
    struct stat st;
    ck_assert_int_eq(stat(users, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07, 0);

    struct users *loaded = NULL;
    struct err err;
    ck_assert_msg(users_load(users, &loaded, &err) == 0, "%s", err.text);
    const struct user *me = users_find(loaded, SLICE("me@example.com"));
    ck_assert_ptr_nonnull(me);
    ck_assert_str_eq(me->send_as[0], "*@example.com");
    ck_assert_str_eq(me->passwords[0].label, "phone");
    ck_assert_str_eq(crypt(kept, me->passwords[0].hash), me->passwords[0].hash);
    ck_assert_uint_eq(strspn(kept, "23456789abcdefghjkmnpqrstuvwxyz-"), 24);
    for (size_t i = 0; i < 24; i++)
        ck_assert((kept[i] == '-') == (i % 5 == 4));
    users_free(&loaded);

    ck_assert_int_eq(RUN("user", "add", "me@example.com", "--label", "phone", "-c", config), CLI_FAILED); /* taken */
    ck_assert_int_eq(RUN("user", "add", "me@example.com", "-c", config), CLI_OK);
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "phone"));
    ck_assert_ptr_nonnull(strstr(out, "default"));
    ck_assert_int_eq(
        RUN("user", "add", "me@example.com", "--label", "shop", "--only-send-as=me@example.org", "-c", config),
        CLI_FAILED); /* not within *@example.com */
    ck_assert_int_eq(RUN("user", "add", "me@example.com", "--label", "shop", "--only-send-as=shop@example.com",
                         "--messages-per-hour", "50", "-c", config),
                     CLI_OK);
    ck_assert_msg(users_load(users, &loaded, &err) == 0, "%s", err.text);
    const struct user_password *shop = users_find_password(&loaded->v[0], "shop");
    ck_assert_str_eq(shop->send_as[0], "shop@example.com");
    ck_assert_uint_eq(shop->messages_per_hour, 50);
    ck_assert_uint_eq(loaded->v[0].n_send_as, 1);
    users_free(&loaded);
    show_last_use(dir, config);
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "--label", "shop", "-c", config), CLI_OK);
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "--label", "tablet", "-c", config), CLI_FAILED);
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "--label", "phone", "-c", config), CLI_OK);
    ck_assert_ptr_null(strstr(out, "the last one"));
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "--label", "default", "-c", config), CLI_OK);
    ck_assert_ptr_nonnull(strstr(out, "the last one"));
    ck_assert_int_eq(RUN("user", "list", "-c", config), CLI_OK); /* the user has stayed */
    ck_assert_ptr_nonnull(strstr(out, "me@example.com"));
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "-c", config), CLI_OK);
    ck_assert_int_eq(RUN("user", "remove", "me@example.com", "-c", config), CLI_FAILED);

    ck_assert_int_eq(RUN("queue", "list", "--json", "-c", config), CLI_OK);
    ck_assert_str_eq(out, "[]\n");
    ck_assert_int_eq(RUN("queue", "list", "-c", config), CLI_OK);
    ck_assert_str_eq(out, "The queue is empty.\n");
    ck_assert_int_eq(RUN("config", "-c", config), CLI_USAGE); /* users.yaml is there, the keys are not */
    unlink(users);
    ck_assert_int_eq(RUN("config", "-c", config), CLI_OK); /* nothing is there: a configuration for another machine */
    ck_assert_ptr_nonnull(strstr(out, "lifetime"));
#undef RUN
    unlink(users);
    unlink(config);
    rmdir(dir);
}
END_TEST

/* A panel that adds users side by side: none is lost. */
START_TEST(users_added_at_the_same_time)
{
    enum { USERS = 8 };
    char dir[] = "/tmp/sendas-cli-XXXXXX", config[64], users[64], name[32], out[8192];
    pid_t children[USERS];
    struct users *loaded = NULL;
    struct err err;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_config(dir, config, sizeof(config));
    snprintf(users, sizeof(users), "%s/users.yaml", dir);
    for (size_t i = 0; i < USERS; i++) {
        snprintf(name, sizeof(name), "user%zu@example.com", i);
        children[i] = fork();
        if (children[i] == 0)
            _exit(run(out, sizeof(out), (const char *const[]){"user", "add", name, "-c", config, NULL}));
    }
    for (size_t i = 0; i < USERS; i++) {
        int status = -1;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_msg(users_load(users, &loaded, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(loaded->n, USERS);
    users_free(&loaded);
    unlink(users);
    unlink(config);
    rmdir(dir);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cli");
    TCase *tc = tcase_create("cli");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, exit_codes_and_help, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, options_take_their_value_either_way);
    tcase_add_test(tc, passwords_are_five_groups_of_four);
    tcase_add_test(tc, users_come_and_go);
    tcase_add_test(tc, users_added_at_the_same_time);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
