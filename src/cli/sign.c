/* `sendas sign`: the filter. */
#include "internal.h"

#include "sendas/config.h"
#include "sendas/intake.h"
#include "sendas/keys.h"

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

static bool does_sign(void *ctx, const struct config_domain *d, const struct config_key *k, const struct dkim_key *key)
{
    const struct keys_row *row = keys_memory_find(ctx, key);
    (void)d;
    return k->state == CONFIG_KEY_ACTIVE || (row != NULL && row->published_s != 0);
}

/* A key that waits signs here when the daemon has found its record everywhere.  Without keys.json it does not. */
static int sign_as_the_daemon(struct intake_settings **ps)
{
    struct keys_memory memory = {0};
    struct strbuf path = STRBUF_INIT;
    keys_memory_path((*ps)->config->queue.path, &path);
    keys_memory_load(strbuf_str(&path), &memory, NULL);
    struct intake_settings *chosen = intake_settings_choose(*ps, does_sign, &memory);
    keys_memory_free(&memory);
    strbuf_free(&path);
    intake_settings_unref(ps);
    *ps = chosen;
    return chosen == NULL ? -1 : 0;
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
    if (sign_as_the_daemon(&settings) < 0)
        return cli_fail(CLI_FAILED, "out of memory");
    if (intake_sign_stream(settings, domain, stdin, stdout, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    intake_settings_unref(&settings);
    return code;
}
