/* src/cli/internal.h - what the subcommands share. */
#ifndef SENDAS_CLI_INTERNAL_H
#define SENDAS_CLI_INTERNAL_H

#include "sendas/base.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* What commands find out about the world around them, said beforehand: for tests. */
struct cli_world {
    struct lookup dns;
    const char *ips[2]; /* public addresses of this machine */
    size_t n_ips;
};

/* What a subcommand gets: its own arguments (argv[0] is its name; -c FILE and --help are already taken out). */
struct cli_args {
    const char *config_path;
    bool config_given; /* -c was there */
    int argc;
    char **argv;
    const struct cli_world *world; /* NULL: as it is */
};

/* One row a subcommand, in src/cli/cli.c. */
struct cli_command {
    const char *name;
    const char *usage;   /* the line after "usage: sendas " */
    const char *summary; /* for `sendas --help` */
    const char *help;    /* the rest of `sendas NAME --help` */
    int (*run)(const struct cli_args *args);
};

int cli_serve(const struct cli_args *args);
int cli_setup(const struct cli_args *args);
int cli_dns(const struct cli_args *args);
int cli_check(const struct cli_args *args);
int cli_key(const struct cli_args *args);
int cli_user(const struct cli_args *args);
int cli_queue(const struct cli_args *args);
int cli_trace(const struct cli_args *args);
int cli_sign(const struct cli_args *args);
int cli_verify(const struct cli_args *args);
int cli_config(const struct cli_args *args);
int cli_version(const struct cli_args *args);

/* "sendas: ..." on stderr; returns `code`. */
int cli_fail(int code, const char *format, ...) PRINTF_LIKE(2, 3);
/* The usage line of `name` with what was wrong; returns CLI_USAGE. */
int cli_usage(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
/* `--name VALUE` or `--name=VALUE` at args->argv[*i]; `name` with its dashes.  1 and *value (with *i on the value), 0 when it
 * is another argument, -1 when the value is missing. */
int cli_option(const struct cli_args *args, int *i, const char *name, const char **value);

/* A domain on the command line: as domain_to_ascii, and it may end in a dot. */
int cli_domain(const char *text, char out[DOMAIN_MAX + 1], struct err *err);

struct config;
struct users;
/* Prints the users, and what the daemon has written down of them; an exit code. */
int user_list(const struct config *c, const struct users *users, bool json);
/* Loads args->config_path as config_load_lenient does: files that it names need not be there.  `warnings` may be NULL.
 * CLI_OK, or CLI_USAGE after saying why not. */
int cli_config_load(const struct cli_args *args, struct strbuf *warnings, struct config **ret);

/* An app password: five groups of four letters and digits that no one confuses, joined by '-'.  What is hashed has the
 * dashes; submission_password_check lets them, spaces and capitals be typed or not. */
enum { CLI_PASSWORD_GROUPS = 5, CLI_PASSWORD_SIZE = CLI_PASSWORD_GROUPS * 5, CLI_HASH_SIZE = 384 };
int cli_password_new(char out[CLI_PASSWORD_SIZE], struct err *err);
/* crypt(5) hash of it, yescrypt. */
int cli_password_hash(const char *password, char out[CLI_HASH_SIZE], struct err *err);

#endif
