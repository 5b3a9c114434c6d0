/* `sendas config`, and the configuration as the subcommands that run no daemon read it. */
#include "internal.h"

#include "sendas/config.h"
#include "sendas/intake.h"

int cli_config_load(const struct cli_args *args, struct strbuf *warnings, struct config **ret)
{
    struct strbuf dropped = STRBUF_INIT;
    struct err err;
    int status = config_load_lenient(args->config_path, ret, warnings != NULL ? warnings : &dropped, &err);

    strbuf_free(&dropped);
    return status == 0 ? CLI_OK : cli_fail(CLI_USAGE, "%s", err.text);
}

/* Do users and keys load as `serve` would load them? */
static int check_files(const char *path)
{
    struct intake_settings *settings = NULL;
    struct err err;

    if (intake_settings_load(path, &settings, &err) < 0)
        return cli_fail(CLI_USAGE, "%s", err.text);
    intake_settings_unref(&settings);
    return CLI_OK;
}

/* What is wrong with the files it names is only a warning here, so that a configuration can be looked at on another
 * machine than it is for; what is wrong in itself is an error. */
int cli_config(const struct cli_args *args)
{
    struct strbuf warnings = STRBUF_INIT;
    struct config *c = NULL;

    if (args->argc > 1)
        return cli_usage("config", "unexpected argument %s", args->argv[1]);
    int code = cli_config_load(args, &warnings, &c);
    if (code == CLI_OK) {
        config_print(c, stdout);
        if (warnings.n == 0)
            code = check_files(args->config_path);
        fputs(strbuf_str(&warnings), stderr);
    }
    strbuf_free(&warnings);
    config_free(&c);
    return code;
}
