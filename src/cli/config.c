/* `sendas config` */
#include "internal.h"

#include "sendas/config.h"

int cli_config(const struct cli_args *args)
{
    struct config *c = NULL;
    struct err err;

    if (args->argc > 1)
        return cli_usage("config", "unexpected argument %s", args->argv[1]);
    if (config_load(args->config_path, &c, &err) < 0)
        return cli_fail(CLI_USAGE, "%s", err.text);
    config_print(c, stdout);
    config_free(&c);
    return CLI_OK;
}
