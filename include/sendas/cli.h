/* sendas/cli.h - the subcommands; one file each under src/cli. */
#ifndef SENDAS_CLI_H
#define SENDAS_CLI_H

/* Finds the subcommand, with -c FILE before or after it, and runs it.  Returns the exit code:
 * 0 done, 1 tried and failed, 2 usage or configuration error. */
int cli_main(int argc, char **argv);

#endif
