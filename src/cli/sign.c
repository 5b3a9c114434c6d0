/* `sendas sign`: the filter. */
#include "internal.h"

#include "sendas/config.h"
#include "sendas/intake.h"

static int parse_arguments(const struct cli_args *args, const char **domain)
{
    for (int i = 1; i < args->argc; i++) {
        int found = cli_option(args, &i, "--domain", domain);
        if (found < 0)
            return cli_usage("sign", "--domain needs a domain");
        if (found == 0)
            return cli_usage("sign", "unexpected argument %s", args->argv[i]);
    }
    return CLI_OK;
}

int cli_sign(const struct cli_args *args)
{
    struct intake_settings *settings = NULL;
    struct config *config = NULL;
    struct err err;
    const char *domain = NULL;
    int code = parse_arguments(args, &domain);
    if (code != CLI_OK || (code = cli_config_load(args, NULL, &config)) != CLI_OK)
        return code;
    if (intake_settings_of(&config, &settings, &err) < 0)
        return cli_fail(CLI_USAGE, "%s", err.text);
    if (intake_sign_stream(settings, domain, stdin, stdout, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    intake_settings_unref(&settings);
    return code;
}
