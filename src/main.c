/* sendas - a DKIM-signing SMTP submission relay. */
#include "sendas/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
