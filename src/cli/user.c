/* `sendas user`: users.yaml and the app passwords in it. */
#include "internal.h"

#include "files.h"

#include "sendas/config.h"
#include "sendas/smtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATTERNS_MAX = 100, PASSWORD_MAX = 255 };

#define DEFAULT_LABEL "default"

struct user_options {
    const char *address, *label;
    const char *patterns[PATTERNS_MAX], *only[PATTERNS_MAX];
    size_t n_patterns, n_only;
    unsigned messages; /* an hour; 0 = no limit of its own */
    bool password_stdin;
};

/* As cli_option, but what is wrong has been said: -1. */
static int take_value(const struct cli_args *args, int *i, const char *name, const char **value)
{
    int found = cli_option(args, i, name, value);
    if (found < 0)
        cli_usage("user", "%s needs a value", name);
    return found;
}

static int take_pattern(const struct cli_args *args, int *i, const char *name, const char *list[PATTERNS_MAX],
                        size_t *n)
{
    const char *pattern = NULL;
    struct err err;
    int found = take_value(args, i, name, &pattern);

    if (found > 0 && *n == PATTERNS_MAX) {
        cli_usage("user", "more than %d patterns", PATTERNS_MAX);
        return -1;
    }
    if (found > 0 && users_pattern_check(pattern, &err) < 0) {
        cli_usage("user", "%s: %s", name, err.text);
        return -1;
    }
    if (found > 0)
        list[(*n)++] = pattern;
    return found;
}

static int take_messages(const struct cli_args *args, int *i, unsigned *ret)
{
    const char *text = NULL;
    uint64_t n = 0;
    int found = take_value(args, i, "--messages-per-hour", &text);

    if (found > 0 && (slice_to_u64(slice_of(text), &n) < 0 || n > USER_MESSAGES_PER_HOUR_MAX)) {
        cli_usage("user", "%s is no whole number from 0 to %d", text, USER_MESSAGES_PER_HOUR_MAX);
        return -1;
    }
    if (found > 0)
        *ret = (unsigned)n;
    return found;
}

/* The options that only `add` has. */
static int take_add_option(const struct cli_args *args, int *i, struct user_options *o)
{
    if (strcmp(args->argv[*i], "--password-stdin") == 0) {
        o->password_stdin = true;
        return 1;
    }
    int found = take_pattern(args, i, "--send-as", o->patterns, &o->n_patterns);
    if (found == 0)
        found = take_pattern(args, i, "--only-send-as", o->only, &o->n_only);
    return found != 0 ? found : take_messages(args, i, &o->messages);
}

/* args->argv[2..]: of `add` all options, of `remove` only --label. */
static int parse_options(const struct cli_args *args, bool add, struct user_options *o)
{
    for (int i = 2; i < args->argc; i++) {
        const char *a = args->argv[i];
        int found = take_value(args, &i, "--label", &o->label);
        if (found == 0 && add)
            found = take_add_option(args, &i, o);
        if (found < 0)
            return CLI_USAGE;
        if (found > 0)
            continue;
        if (a[0] == '-')
            return cli_usage("user", "unknown option %s", a);
        if (o->address != NULL)
            return cli_usage("user", "unexpected argument %s", a);
        o->address = a;
    }
    if (o->address == NULL) {
        cli_usage("user", "whose address?");
        return CLI_USAGE;
    }
    if (o->label != NULL && (o->label[0] == '\0' || !slice_is_utf8(slice_of(o->label))))
        return cli_usage("user", "a label is UTF-8 text and not empty");
    return CLI_OK;
}

static int lock_users(const char *path, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;

    strbuf_add_slice(&dir, directory_of(path));
    int fd = dir.failed ? err_set(err, "out of memory") : directory_lock(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return fd;
}

static void unlock_users(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* The configuration, and the users it names; a users file that is not there yet is an empty one where `may_miss`.
 * `lock` is NULL where nothing is to be changed. */
static int load(const struct cli_args *args, bool may_miss, int *lock, struct config **ret_config,
                struct users **ret_users)
{
    struct err err;

    if (cli_config_load(args, NULL, ret_config) != CLI_OK)
        return CLI_USAGE;
    const char *path = (*ret_config)->users_path;
    if (lock != NULL && (*lock = lock_users(path, &err)) < 0) {
        config_free(ret_config);
        return cli_fail(CLI_FAILED, "%s", err.text);
    }
    if (may_miss && access(path, F_OK) < 0 && errno == ENOENT) {
        *ret_users = calloc(1, sizeof(**ret_users));
        if (*ret_users != NULL)
            return CLI_OK;
        err_set(&err, "out of memory");
    } else if (users_load(path, ret_users, &err) == 0) {
        return CLI_OK;
    }
    config_free(ret_config);
    return cli_fail(CLI_USAGE, "%s", err.text);
}

/* One line of standard input, without its line end. */
static int read_password(char out[PASSWORD_MAX + 1], struct err *err)
{
    size_t n = 0;
    int c;

    while ((c = getchar()) != EOF && c != '\n') {
        if (n == PASSWORD_MAX)
            return err_set(err, "the password is longer than %d octets", PASSWORD_MAX);
        out[n++] = (char)c;
    }
    if (n > 0 && out[n - 1] == '\r')
        n--;
    out[n] = '\0';
    if (n == 0)
        return err_set(err, "no password on standard input");
    /* RFC 4616 2: SASL PLAIN carries UTF-8 without NUL; other control octets could be typed nowhere. */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            return err_set(err, "the password holds a control character");
    if (!slice_is_utf8(slice_from(out, n)))
        return err_set(err, "the password is not UTF-8");
    return 0;
}

static bool has_label(const struct user *user, const char *label)
{
    for (size_t i = 0; user != NULL && i < user->n_passwords; i++)
        if (strcmp(user->passwords[i].label, label) == 0)
            return true;
    return false;
}

/* Mail From: a domain that has no key is refused: better said now than by the first message. */
static void warn_foreign_domain(const struct config *c, const char *address)
{
    const char *at = strrchr(address, '@');

    if (at != NULL && at[1] != '\0' && config_find_domain(c, slice_of(at + 1)) == NULL)
        fprintf(stderr, "sendas: warning: %s is none of the domains in %s: mail From: it will be refused\n", at + 1,
                c->path);
}

static void warn_foreign_domains(const struct config *c, const struct user_options *o)
{
    for (size_t i = 0; i < o->n_patterns; i++)
        warn_foreign_domain(c, o->patterns[i]);
    if (o->n_patterns == 0)
        warn_foreign_domain(c, o->address);
}

/* The password to use: from standard input or a new one. */
static int choose_password(const struct user_options *o, char password[PASSWORD_MAX + 1], char hash[CLI_HASH_SIZE],
                           struct err *err)
{
    if ((o->password_stdin ? read_password(password, err) : cli_password_new(password, err)) < 0)
        return -1;
    return cli_password_hash(password, hash, err);
}

static void print_added(const struct user_options *o, const char *path, const char *password)
{
    printf("%s: password \"%s\" added to %s\n", o->address, o->label, path);
    if (!o->password_stdin)
        printf("password: %s\n(it is not stored and not shown again; spaces, dashes and capitals do not matter)\n",
               password);
    printf("A running daemon takes it up on SIGHUP: systemctl reload sendas\n");
}

static int enter(const struct config *c, struct users *users, const struct user_options *o, const char *hash)
{
    struct err err;

    if (has_label(users_find(users, slice_of(o->address)), o->label))
        return cli_fail(CLI_FAILED, "%s has a password \"%s\" already: choose another --label, or remove it first",
                        o->address, o->label);
    if (users_add(users, o->address, o->label, hash, o->patterns, o->n_patterns, &err) < 0 ||
        users_narrow(users, o->address, o->label, o->only, o->n_only, o->messages, &err) < 0 ||
        users_save(c->users_path, users, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    return CLI_OK;
}

static int add(const struct cli_args *args)
{
    struct user_options o = {0};
    struct config *c = NULL;
    struct users *users = NULL;
    struct smtp_mailbox mailbox;
    struct err err;
    char password[PASSWORD_MAX + 1], hash[CLI_HASH_SIZE];
    int lock = -1;

    int code = parse_options(args, true, &o);
    if (code != CLI_OK)
        return code;
    if (smtp_mailbox_parse(slice_of(o.address), &mailbox, &err) < 0)
        return cli_usage("user", "%s is no address: %s", o.address, err.text);
    if (o.label == NULL)
        o.label = DEFAULT_LABEL;
    /* First, as it may be typed, and nobody is to wait for that. */
    if (choose_password(&o, password, hash, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    if (code == CLI_OK)
        code = load(args, true, &lock, &c, &users);
    if (code == CLI_OK)
        code = enter(c, users, &o, hash);
    if (code == CLI_OK) {
        print_added(&o, c->users_path, password);
        warn_foreign_domains(c, &o);
    }
    wipe(password, sizeof(password));
    unlock_users(lock);
    users_free(&users);
    config_free(&c);
    return code;
}

static int list(const struct cli_args *args)
{
    struct config *c = NULL;
    struct users *users = NULL;
    bool json = args->argc > 2 && strcmp(args->argv[2], "--json") == 0;

    if (args->argc > (json ? 3 : 2))
        return cli_usage("user", "unexpected argument %s", args->argv[json ? 3 : 2]);
    int code = load(args, true, NULL, &c, &users);
    if (code != CLI_OK)
        return code;
    code = user_list(c, users, json);
    users_free(&users);
    config_free(&c);
    return code;
}

static void print_removed(const struct user_options *o, const char *path, const struct users *users)
{
    const struct user *left = users_find(users, slice_of(o->address));

    if (o->label == NULL)
        printf("%s: removed from %s\n", o->address, path);
    else
        printf("%s: password \"%s\" removed from %s\n", o->address, o->label, path);
    if (left != NULL && left->n_passwords == 0)
        printf("It was the last one: %s cannot log in.  Another: sendas user add %s\n", left->name, left->name);
    printf("A running daemon takes it up on SIGHUP: systemctl reload sendas\n");
}

static int remove_user(const struct cli_args *args)
{
    struct user_options o = {0};
    struct config *c = NULL;
    struct users *users = NULL;
    struct err err;
    int lock = -1;

    int code = parse_options(args, false, &o);
    if (code != CLI_OK)
        return code;
    if ((code = load(args, false, &lock, &c, &users)) != CLI_OK)
        ; /* which was told */
    else if (users_remove(users, o.address, o.label, &err) < 0 || users_save(c->users_path, users, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    else
        print_removed(&o, c->users_path, users);
    unlock_users(lock);
    users_free(&users);
    config_free(&c);
    return code;
}

int cli_user(const struct cli_args *args)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_args *args);
    } verbs[] = {{"add", add}, {"list", list}, {"remove", remove_user}};

    if (args->argc < 2)
        return cli_usage("user", "add, list or remove?");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(args->argv[1], verbs[i].name) == 0)
            return verbs[i].run(args);
    return cli_usage("user", "unknown verb %s", args->argv[1]);
}
