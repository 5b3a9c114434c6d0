/* src/cli/setup.h - `sendas setup`: what is made (setup.c) and what is told (setup_print.c). */
#ifndef SENDAS_CLI_SETUP_H
#define SENDAS_CLI_SETUP_H

#include "internal.h"
#include "records.h"

enum { SETUP_IPS_MAX = 16, SETUP_IP_SIZE = 46, SETUP_KEYS = 2 };

struct setup {
    /* asked for */
    char domain[DOMAIN_MAX + 1];
    char hostname[DOMAIN_MAX + 1]; /* "" = not said */
    const char *wanted_user;       /* NULL = not said */
    char ips[SETUP_IPS_MAX][SETUP_IP_SIZE];
    size_t n_ips;
    const char *dir_option; /* NULL = not said */
    bool json;
    /* found or made */
    struct strbuf dir; /* of configuration and keys */
    struct strbuf config_path, users_path, queue_path, certificate, certificate_key;
    struct strbuf key_paths[SETUP_KEYS]; /* RSA, Ed25519 */
    struct config *config;
    bool domain_configured;
    struct strbuf user;               /* whose values are printed; empty if there is none */
    char password[CLI_PASSWORD_SIZE]; /* "" = no new one */
    struct records records;
};

extern const char *const setup_selectors[SETUP_KEYS];

/* Tells everything; returns the exit code. */
int setup_print(const struct setup *s);

#endif
