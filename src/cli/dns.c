/* `sendas dns`: the records to publish. */
#include "internal.h"

#include "records.h"

#include <string.h>

static int add_records(struct records *r, const struct config *c, const char *wanted, struct err *err)
{
    const char *const *ips = (const char *const *)c->delivery.bind;
    const struct config_domain *only = wanted == NULL ? NULL : config_find_domain(c, slice_of(wanted));
    if (wanted != NULL && only == NULL)
        return err_set(err, "%s is none of the domains in %s", wanted, c->path);
    records_add_host(r, c->hostname, config_find_domain(c, slice_of(c->hostname)) == NULL, ips, c->delivery.n_bind);
    for (size_t i = 0; i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];
        if ((only == NULL || only == d) && records_add_configured(r, d, c->hostname, ips, c->delivery.n_bind, err) < 0)
            return -1;
    }
    return 0;
}

static int parse_arguments(const struct cli_args *args, const char **domain, enum record_format *format)
{
    for (int i = 1; i < args->argc; i++) {
        const char *value = NULL;
        int found = cli_option(args, &i, "--format", &value);
        if (found < 0 || (found > 0 && record_format_parse(value, format) < 0))
            return cli_usage("dns", "--format is table, zone or json");
        if (found > 0)
            continue;
        if (args->argv[i][0] == '-')
            return cli_usage("dns", "unknown option %s", args->argv[i]);
        if (*domain != NULL)
            return cli_usage("dns", "unexpected argument %s", args->argv[i]);
        *domain = args->argv[i];
    }
    return CLI_OK;
}

int cli_dns(const struct cli_args *args)
{
    struct config *c = NULL;
    struct records records;
    struct err err;
    const char *domain = NULL;
    enum record_format format = RECORD_TABLE;
    int code = parse_arguments(args, &domain, &format);
    if (code != CLI_OK || (code = cli_config_load(args, NULL, &c)) != CLI_OK)
        return code;
    records_init(&records);
    if (add_records(&records, c, domain, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    else if (format == RECORD_JSON)
        code = cli_print_json(records_json(&records));
    else
        records_print(&records, format, stdout);
    records_free(&records);
    config_free(&c);
    return code;
}
