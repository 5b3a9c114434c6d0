/* `sendas dns`: the records to publish. */
#include "internal.h"

#include "lookups.h"
#include "records.h"

#include <stdlib.h>
#include <string.h>

struct dns_options {
    char domain[DOMAIN_MAX + 1]; /* "" = all */
    enum record_format format;
};

static int parse_arguments(const struct cli_args *args, struct dns_options *o)
{
    for (int i = 1; i < args->argc; i++) {
        const char *value = NULL;
        struct err err;
        int found = cli_option(args, &i, "--format", &value);
        if (found < 0 || (found > 0 && record_format_parse(value, &o->format) < 0))
            return cli_usage("dns", "--format is table, zone or json");
        if (found > 0)
            continue;
        if (args->argv[i][0] == '-')
            return cli_usage("dns", "unknown option %s", args->argv[i]);
        if (o->domain[0] != '\0')
            return cli_usage("dns", "unexpected argument %s", args->argv[i]);
        if (cli_domain(args->argv[i], o->domain, &err) < 0)
            return cli_usage("dns", "%s: %s", args->argv[i], err.text);
    }
    return CLI_OK;
}

/* Programs read standard output; what a person should know goes beside it. */
static void tell_serious(const struct records *r, FILE *out)
{
    for (const struct record *record = r->first; record != NULL; record = record->next)
        for (const struct record_note *note = record->notes.first; note != NULL; note = note->next)
            if (note->serious)
                fprintf(out, "sendas: %s: %s\n", record->name, note->text);
    for (const struct record_note *note = r->notes.first; note != NULL; note = note->next)
        fprintf(out, "sendas: %s\n", note->text);
}

static int print(const struct records *r, enum record_format format)
{
    if (format != RECORD_TABLE)
        tell_serious(r, stderr);
    if (format == RECORD_JSON)
        return cli_print_json(records_json(r));
    records_print(r, format, stdout);
    return CLI_OK;
}

static int run(const struct dns_options *o, const struct config *c, const struct lookup *dns)
{
    const struct config_domain **domains = calloc(c->n_domains, sizeof(const struct config_domain *));
    struct users *users = NULL;
    struct records records;
    struct err err;
    size_t n = 0;
    if (domains == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    for (size_t i = 0; i < c->n_domains; i++)
        if (o->domain[0] == '\0' || strcmp(c->domains[i].name, o->domain) == 0)
            domains[n++] = &c->domains[i];
    (void)users_load(c->users_path, &users, NULL); /* they may be none of this caller's business */
    records_init(&records);
    int code = CLI_OK;
    if (n == 0)
        code = cli_fail(CLI_USAGE, "%s is none of the domains in %s", o->domain, c->path);
    else if (records_collect(&records, c, domains, n, users, dns, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    else
        code = print(&records, o->format);
    records_free(&records);
    users_free(&users);
    free(domains);
    return code;
}

int cli_dns(const struct cli_args *args)
{
    struct dns_options o = {.format = RECORD_TABLE};
    struct config *c = NULL;
    struct lookups network;
    int code = parse_arguments(args, &o);
    if (code != CLI_OK || (code = cli_config_load(args, NULL, &c)) != CLI_OK)
        return code;
    if (args->world != NULL) {
        code = run(&o, c, &args->world->dns);
    } else {
        lookups_open(&network, c);
        struct lookup dns = lookups_lookup(&network);
        code = run(&o, c, &dns);
        lookups_close(&network);
    }
    config_free(&c);
    return code;
}
