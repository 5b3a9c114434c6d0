/* The dispatch table of the subcommands, and the options that all of them share. */
#include "internal.h"

#include "sendas/cli.h"
#include "sendas/config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_command commands[] = {
    {"serve", "serve [-c FILE]", "run the daemon in the foreground",
     "Logs to stderr, one event a line; event=ready (and READY=1 to systemd) once every listener accepts.\n"
     "SIGHUP rereads everything, SIGTERM stops in order.\n",
     cli_serve},
    {"setup",
     "setup DOMAIN [--hostname H] [--user ADDRESS] [--client NAME]... [--ip IP]... [--acme [EMAIL]]\n"
     "                    [--certificate FILE --key FILE] [--dir DIR] [--json]",
     "make configuration, keys and a first user for a domain",
     "Prints the DNS records to publish and what to enter in the mail programs.  Run again it changes nothing\n"
     "that exists and prints the same records.  Where systemd runs, a new set-up is started.\n"
     "What is not said is found out:\n"
     "  --hostname H     the name of this machine in EHLO, the certificate and the PTR; otherwise the name in the PTR\n"
     "                   record if that is in DOMAIN, or else mail.DOMAIN\n"
     "  --user ADDRESS   the first user; otherwise me@DOMAIN\n"
     "  --client NAME    a password of its own for this mail program (gmail, thunderbird, phone ...); may be repeated\n"
     "  --ip IP          the address that the world sees mail come from; may be repeated; otherwise this machine's\n"
     "  --acme [EMAIL]   a certificate of Let's Encrypt, obtained and renewed by sendas, whose terms of service you\n"
     "                   accept; this is what happens without --dir where there is no certificate yet\n"
     "  --certificate FILE  the certificate that there is, with its chain\n"
     "  --key FILE       its key\n"
     "  --dir DIR        everything under DIR instead of /etc/sendas and /var/lib/sendas\n"
     "  --json           one JSON document instead of text\n",
     cli_setup},
    {"dns", "dns [DOMAIN] [--format table|zone|json] [-c FILE]", "print the DNS records to publish",
     "Asks DNS what is there already: SPF and DMARC records are kept, and extended where they need it.\n"
     "  --format table   to paste from, with what is new and what is to be changed; the default\n"
     "  --format zone    a zone file fragment for BIND, NSD, Knot, or to import at Cloudflare\n"
     "  --format json    a list of {name, type, ttl, value}\n",
     cli_dns},
    {"check", "check [DOMAIN] [--json] [-c FILE]", "look at what is really published and reachable",
     "Looks from outside in, as receivers do: asks DNS for the records of DOMAIN, or of all domains, and of this "
     "host,\n"
     "tries to connect to large receivers, looks at the running daemon, its certificate and files; then tells what\n"
     "receivers will make of mail from here.  Run it as root, on the server itself.  Exit code 0: nothing failed "
     "(there\n"
     "may be warnings).\n"
     "  --json   one JSON document instead of text\n",
     cli_check},
    {"key",
     "key new DOMAIN [--type rsa|ed25519] [--bits N] [--selector S] | list [--json] [--refresh]\n"
     "                  | retire DOMAIN SELECTOR [--force]",
     "make, list and retire DKIM keys",
     "`new` makes a key, prints the record to publish and enters it in the configuration, where it waits: the daemon "
     "signs\n"
     "with it as soon as every name server shows the record.  `list` shows the keys, their states and what DNS shows "
     "of\n"
     "them; `retire` ends one, if another that is published goes on signing.\n"
     "  --type T       rsa (if not said) or ed25519; RSA is what every receiver knows\n"
     "  --bits N       of an RSA key: 2048 if not said\n"
     "  --json         one JSON document instead of text\n"
     "  --refresh      ask DNS now, instead of what the daemon found\n"
     "  --force        retire it without asking DNS about the others\n"
     "  --selector S   the name of the record, S._domainkey.DOMAIN; the first free of s1, s2 ... if not said\n",
     cli_key},
    {"user",
     "user add ADDRESS [--label L] [--send-as PATTERN]... [--only-send-as PATTERN]... [--messages-per-hour N]\n"
     "                       [--password-stdin] | list [--json] | remove ADDRESS [--label L]",
     "users and their app passwords",
     "`add` makes the user, or gives one that exists another password; best each mail program has its own.\n"
     "  --label L                what the password is for (gmail, phone ...); \"default\" if not said\n"
     "  --send-as PATTERN        an address the user may send as, with any password, or *@domain; may be repeated;\n"
     "                           the user's own if none was ever said\n"
     "  --only-send-as PATTERN   with this password the user may send as this only; may be repeated\n"
     "  --messages-per-hour N    and only so many messages with it, beside limits.messages_per_user\n"
     "  --password-stdin         read the password from standard input (one line) instead of generating one\n"
     "`list` tells too when each password was last used, and from where.\n"
     "  --json                   one JSON document instead of text\n"
     "`remove` removes the user, or with --label only that password.\n",
     cli_user},
    {"queue", "queue list [--json] | show ID [--json] | retry [ID] | hold ID | release ID | remove ID | rescue FILE",
     "look into the queue and change it, also while the daemon runs",
     "`list` shows what waits, `show` one message with its header.\n"
     "`retry` makes a message, or all, due now; `hold` keeps one until `release`; `remove` forgets it, and tells "
     "nobody.\n"
     "What is being sent at the moment is sent to its end first.\n"
     "`rescue` takes over what can be read of a queue file that was damaged and set aside.\n"
     "  --json   one JSON document instead of text\n",
     cli_queue},
    {"trace", "trace ID|MESSAGE-ID [--json]", "the whole life of a message, also of one that is gone",
     "By queue id, or by Message-ID with or without its brackets; kept for queue.history.\n"
     "  --json   a list of messages with their events\n",
     cli_trace},
    {"sign", "sign [--domain D] [-c FILE]", "filter: sign a message from stdin to stdout",
     "Takes a message with CRLF or LF; writes it as it would leave, with CRLF and its DKIM-Signature fields on top.\n"
     "  --domain D   sign as D instead of the domain of From:\n",
     cli_sign},
    {"verify", "verify [--zone FILE] [--ip IP --sender ADDRESS [--helo NAME]] [-c FILE]",
     "check a message from stdin as a receiver would",
     "Takes a message as it came, or as a mail program shows its original.  Prints an Authentication-Results field,\n"
     "and to stderr one sentence for each check.  Exit code 0: DMARC passes, or without --ip a valid signature is of\n"
     "the domain in From:.\n"
     "  --zone FILE        answer DNS from a zone file, not from the network\n"
     "  --ip IP            the address the message came from: checks SPF and DMARC too\n"
     "  --sender ADDRESS   the envelope sender (MAIL FROM); \"\" is the null sender\n"
     "  --helo NAME        what the sending server called itself\n",
     cli_verify},
    {"config", "config [-c FILE]", "check the configuration and print it with every default", "", cli_config},
    {"version", "version", "print the version, and those of the libraries", "", cli_version},
};

int cli_fail(int code, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fputs("sendas: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return code;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int cli_usage(const char *name, const char *format, ...)
{
    const struct cli_command *command = find_command(name);
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "sendas %s: ", name);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    if (command != NULL)
        fprintf(stderr, "usage: sendas %s\n", command->usage);
    return CLI_USAGE;
}

int cli_option(const struct cli_args *args, int *i, const char *name, const char **value)
{
    const char *argument = args->argv[*i];
    size_t n = strlen(name);

    if (strncmp(argument, name, n) != 0)
        return 0;
    if (argument[n] == '=') {
        *value = argument + n + 1;
        return 1;
    }
    if (argument[n] != '\0')
        return 0;
    if (*i + 1 >= args->argc)
        return -1;
    *value = args->argv[++*i];
    return 1;
}

int cli_domain(const char *text, char out[DOMAIN_MAX + 1], struct err *err)
{
    struct slice name = slice_of(text);
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    return domain_to_ascii(name, out, err);
}

static void print_help(FILE *out)
{
    fputs("usage: sendas [-c FILE] COMMAND [ARGUMENT]...\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n  -c FILE   the configuration (" CONFIG_DEFAULT_PATH "), before or after the command\n"
          "  --help    this, or behind a command what it takes\n"
          "  --version the version\n"
          "\nExit codes: 0 done; 1 tried and failed; 2 usage or configuration error.\n",
          out);
}

/* What stands on the command line besides the subcommand's own arguments. */
struct options {
    const char *config_path; /* NULL = not given */
    bool help, version;
};

/* Takes -c FILE, -cFILE, --help and (before the subcommand) --version out of argv; what is left goes to `rest`, the
 * subcommand first.  -1 after saying what is wrong. */
static int take_options(int argc, char **argv, struct options *o, char **rest, int *n_rest)
{
    int n = 0;

    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            o->help = true;
        } else if (strcmp(a, "-c") == 0) {
            if (i + 1 >= argc) {
                cli_fail(CLI_USAGE, "-c needs a file name");
                return -1;
            }
            o->config_path = argv[++i];
        } else if (strncmp(a, "-c", 2) == 0) {
            o->config_path = a + 2;
        } else if (n == 0 && (strcmp(a, "--version") == 0 || strcmp(a, "-V") == 0)) {
            o->version = true;
        } else if (n == 0 && a[0] == '-') {
            cli_fail(CLI_USAGE, "unknown option %s (see sendas --help)", a);
            return -1;
        } else {
            rest[n++] = argv[i];
        }
    }
    rest[n] = NULL;
    *n_rest = n;
    return 0;
}

static int run_command(const struct options *o, int argc, char **argv)
{
    const struct cli_command *command = find_command(argv[0]);

    if (command == NULL)
        return cli_fail(CLI_USAGE, "unknown command %s (see sendas --help)", argv[0]);
    if (o->help) {
        printf("usage: sendas %s\n\n%s\n%s%s", command->usage, command->summary, command->help[0] != '\0' ? "\n" : "",
               command->help);
        return CLI_OK;
    }
    struct cli_args args = {
        .config_path = o->config_path != NULL ? o->config_path : CONFIG_DEFAULT_PATH,
        .config_given = o->config_path != NULL,
        .argc = argc,
        .argv = argv,
    };
    return command->run(&args);
}

static int dispatch(const struct options *o, int argc, char **argv)
{
    if (argc > 0)
        return run_command(o, argc, argv);
    if (o->version)
        return cli_version(&(struct cli_args){.config_path = CONFIG_DEFAULT_PATH});
    print_help(o->help ? stdout : stderr);
    return o->help ? CLI_OK : CLI_USAGE;
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* Has the reader of our output gone, as `head` does when it has seen enough? */
static bool is_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

/* A program that reads our output must not take half of it for all of it.  Where nobody reads, there is nobody to tell: it
 * ends as programs do that know nothing of SIGPIPE. */
static int finish_output(int code, const struct sigaction *sigpipe)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    int error = errno;
    if (is_reader_gone() && sigpipe->sa_handler == SIG_DFL) {
        sigaction(SIGPIPE, sigpipe, NULL);
        raise(SIGPIPE);
    }
    return cli_fail(code == CLI_OK ? CLI_FAILED : code, "standard output: %s", strerror(error));
}

int cli_main(int argc, char **argv)
{
    static const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction sigpipe;
    struct options o = {0};
    int n_rest = 0;
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));

    if (rest == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    /* A server that closes while it is written to ends no command. */
    sigaction(SIGPIPE, &ignore, &sigpipe);
    int code = take_options(argc, argv, &o, rest, &n_rest) < 0 ? CLI_USAGE : dispatch(&o, n_rest, rest);
    free(rest);
    code = finish_output(code, &sigpipe);
    sigaction(SIGPIPE, &sigpipe, NULL);
    return code;
}
