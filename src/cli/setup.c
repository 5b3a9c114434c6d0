/* `sendas setup`: a working set-up for a domain, and all that is to be entered elsewhere.  What can be found out is not
 * asked for, and what cannot be done now is left for later. */
#include "setup.h"

#include "sendas/smtp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static const char *format_text(struct setup *s, const char *format, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    const char *ret = n < 0 ? NULL : arena_strdup(&s->memory, slice_from(text, (size_t)n));
    if (n >= 0)
        free(text);
    s->no_memory = s->no_memory || ret == NULL;
    return ret == NULL ? "" : ret;
}

const char *setup_text(struct setup *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *ret = format_text(s, format, args);
    va_end(args);
    return ret;
}

void setup_tell(struct setup *s, struct setup_texts *list, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = format_text(s, format, args);
    va_end(args);
    if (list->n < SETUP_TEXTS_MAX)
        list->v[list->n++] = text;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int take_ip(struct setup *s, const char *text)
{
    unsigned char binary[sizeof(struct in6_addr)];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    if (s->n_ips == SETUP_IPS_MAX)
        return cli_usage("setup", "more than %d addresses", SETUP_IPS_MAX);
    if (inet_pton(family, text, binary) != 1 || inet_ntop(family, binary, s->ips[s->n_ips], HOST_IP_SIZE) == NULL)
        return cli_usage("setup", "--ip %s is no IP address", text);
    for (size_t i = 0; i < s->n_ips; i++)
        if (strcmp(s->ips[i], s->ips[s->n_ips]) == 0)
            return CLI_OK;
    s->n_ips++;
    return CLI_OK;
}

static int take_hostname(struct setup *s, const char *text)
{
    struct err err;
    return cli_domain(text, s->hostname, &err) < 0 ? cli_usage("setup", "%s: %s", text, err.text) : CLI_OK;
}

static int check_address(const char *option, const char *address)
{
    struct smtp_mailbox mailbox;
    struct err err;
    if (smtp_mailbox_parse(slice_of(address), &mailbox, &err) < 0 || mailbox.literal)
        return cli_usage("setup", "%s %s is no mail address", option, address);
    return CLI_OK;
}

static int take_user(struct setup *s, const char *address)
{
    s->wanted_user = address;
    return check_address("--user", address);
}

static int take_client(struct setup *s, const char *label)
{
    if (s->n_clients == SETUP_CLIENTS_MAX)
        return cli_usage("setup", "more than %d clients", SETUP_CLIENTS_MAX);
    if (label[0] == '\0')
        return cli_usage("setup", "--client needs a name, such as gmail");
    for (size_t i = 0; i < s->n_clients; i++)
        if (strcmp(s->clients[i], label) == 0)
            return CLI_OK;
    s->clients[s->n_clients++] = label;
    return CLI_OK;
}

static int take_dir(struct setup *s, const char *dir)
{
    s->dir_option = dir;
    return dir[0] != '\0' ? CLI_OK : cli_usage("setup", "--dir needs a directory");
}

static int take_certificate(struct setup *s, const char *path)
{
    s->wanted_certificate = path;
    return CLI_OK;
}

static int take_key(struct setup *s, const char *path)
{
    s->wanted_key = path;
    return CLI_OK;
}

/* Its address may be left out: what follows is one only if it looks so. */
static int take_acme(struct setup *s, const struct cli_args *args, int *i)
{
    const char *argument = args->argv[*i];
    s->acme = true;
    if (strncmp(argument, "--acme=", strlen("--acme=")) == 0)
        s->acme_email = argument + strlen("--acme=");
    else if (*i + 1 < args->argc && strchr(args->argv[*i + 1], '@') != NULL)
        s->acme_email = args->argv[++*i];
    return s->acme_email == NULL ? CLI_OK : check_address("--acme", s->acme_email);
}

static int parse_argument(const struct cli_args *args, int *i, struct setup *s)
{
    static const struct {
        const char *name;
        int (*take)(struct setup *s, const char *value);
    } options[] = {{"--hostname", take_hostname},
                   {"--user", take_user},
                   {"--client", take_client},
                   {"--ip", take_ip},
                   {"--dir", take_dir},
                   {"--certificate", take_certificate},
                   {"--key", take_key}};
    const char *argument = args->argv[*i], *value = NULL;
    struct err err;
    for (size_t j = 0; j < ARRAY_LEN(options); j++) {
        int found = cli_option(args, i, options[j].name, &value);
        if (found != 0)
            return found < 0 ? cli_usage("setup", "%s needs a value", argument) : options[j].take(s, value);
    }
    if (strcmp(argument, "--acme") == 0 || strncmp(argument, "--acme=", strlen("--acme=")) == 0)
        return take_acme(s, args, i);
    if (strcmp(argument, "--json") == 0) {
        s->json = true;
        return CLI_OK;
    }
    if (argument[0] == '-')
        return cli_usage("setup", "unknown option %s", argument);
    if (s->domain[0] != '\0')
        return cli_usage("setup", "unexpected argument %s", argument);
    if (cli_domain(argument, s->domain, &err) < 0)
        return cli_usage("setup", "%s: %s", argument, err.text);
    return strchr(s->domain, '.') != NULL ? CLI_OK
                                          : cli_usage("setup", "%s is no domain that mail could be of", argument);
}

static int parse_arguments(const struct cli_args *args, struct setup *s)
{
    for (int i = 1; i < args->argc; i++) {
        int code = parse_argument(args, &i, s);
        if (code != CLI_OK)
            return code;
    }
    if (s->domain[0] == '\0')
        return cli_usage("setup", "for which domain?");
    if ((s->wanted_certificate == NULL) != (s->wanted_key == NULL))
        return cli_usage("setup", "--certificate and --key belong together");
    if (s->acme && s->wanted_key != NULL)
        return cli_usage("setup", "--acme obtains a certificate: it does not go with --certificate");
    return CLI_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run(struct setup *s, const struct cli_args *args)
{
    struct err err;
    if (setup_make(s, args, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    int code = setup_print(s);
    return s->no_memory ? cli_fail(CLI_FAILED, "out of memory") : code;
}

static void setup_free(struct setup *s)
{
    setup_unlock(s);
    lookups_close(&s->network);
    wipe(s->passwords, sizeof(s->passwords));
    records_free(&s->records);
    config_free(&s->config);
    users_free(&s->users);
    arena_free(&s->memory);
}

int cli_setup(const struct cli_args *args)
{
    struct setup s = {.memory = ARENA_INIT(16 * 1024 * 1024), .world = args->world, .locks = {-1, -1}};
    records_init(&s.records);
    int code = parse_arguments(args, &s);
    if (code == CLI_OK)
        code = run(&s, args);
    setup_free(&s);
    return code;
}
