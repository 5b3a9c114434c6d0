/* `sendas config`, and the configuration as the subcommands that run no daemon read it. */
#include "internal.h"

#include "sendas/config.h"
#include "sendas/intake.h"

#include <unistd.h>

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

static bool exists(const char *path)
{
    return path[0] != '\0' && access(path, F_OK) == 0;
}

/* How many of the users file and the DKIM keys are there, of how many? */
static size_t count_existing(const struct config *c, size_t *ret_named)
{
    size_t found = exists(c->users_path) ? 1 : 0;
    *ret_named = 1;
    for (size_t i = 0; i < c->n_domains; i++) {
        for (size_t j = 0; j < c->domains[i].n_keys; j++) {
            if (c->domains[i].keys[j].state == CONFIG_KEY_RETIRED)
                continue;
            found += exists(c->domains[i].keys[j].path) ? 1 : 0;
            ++*ret_named;
        }
    }
    return found;
}

/* Is a file that is missing only worth a warning?  Where none of those that it names is there, the configuration is
 * looked at on another machine than it is for, as conf/sendas.yaml is in a checkout.  And after `setup` the certificate
 * has yet to come. */
static bool may_be_incomplete(const struct config *c)
{
    size_t named, found = count_existing(c, &named);
    bool no_certificate = !exists(c->tls.certificate) && !exists(c->tls.key);
    return no_certificate && (found == 0 || found == named);
}

int cli_config(const struct cli_args *args)
{
    struct strbuf warnings = STRBUF_INIT;
    struct config *c = NULL;

    if (args->argc > 1)
        return cli_usage("config", "unexpected argument %s", args->argv[1]);
    int code = cli_config_load(args, &warnings, &c);
    if (code == CLI_OK && (warnings.n == 0 || !may_be_incomplete(c)))
        code = check_files(args->config_path);
    if (code == CLI_OK) {
        config_print(c, stdout);
        fputs(strbuf_str(&warnings), stderr);
        if (config_admin_exposed(c))
            fprintf(stderr,
                    "%s: admin.listen: whoever reaches %s reads the status page and the metrics: there is no login\n",
                    c->path, c->admin_listen);
    }
    strbuf_free(&warnings);
    config_free(&c);
    return code;
}
