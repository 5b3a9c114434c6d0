/* `sendas serve` */
#include "internal.h"

#include "sendas/daemon.h"

int cli_serve(const struct cli_args *args)
{
    if (args->argc > 1)
        return cli_usage("serve", "unexpected argument %s", args->argv[1]);
    return daemon_run(args->config_path);
}
