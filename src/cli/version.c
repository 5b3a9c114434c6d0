/* `sendas version`: ours, and what the libraries we run with say of themselves (not what we were built with). */
#include "internal.h"

#include "sendas/acme.h"

#include <cyaml/cyaml.h>
#include <event2/event.h>
#include <gnu/libc-version.h>
#include <idn2.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <unbound.h>
#include <yaml.h>

static void print_library(const char *name, const char *version)
{
    printf("  %-12s %s\n", name, version != NULL ? version : "?");
}

int cli_version(const struct cli_args *args)
{
    if (args->argc > 1)
        return cli_usage("version", "unexpected argument %s", args->argv[1]);
    printf("sendas %s\n", SENDAS_VERSION);
    print_library("OpenSSL", OpenSSL_version(OPENSSL_VERSION));
    print_library("libevent", event_get_version());
    print_library("libunbound", ub_version());
    print_library("SQLite", sqlite3_libversion());
    print_library("libcyaml", cyaml_version_str);
    print_library("libyaml", yaml_get_version_string());
    print_library("libidn2", idn2_check_version(NULL));
    print_library("libcurl", acme_library_version());
    print_library("jansson", jansson_version_str());
    print_library("glibc", gnu_get_libc_version());
    return CLI_OK;
}
