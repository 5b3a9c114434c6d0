/* src/cli/setup.h - `sendas setup`: what was asked for (setup.c), what is made (setup_make.c) and what is told
 * (setup_print.c). */
#ifndef SENDAS_CLI_SETUP_H
#define SENDAS_CLI_SETUP_H

#include "internal.h"

#include "host.h"
#include "lookups.h"
#include "records.h"

enum { SETUP_IPS_MAX = CONFIG_PUBLIC_MAX, SETUP_KEYS = 2, SETUP_CLIENTS_MAX = 20, SETUP_TEXTS_MAX = 40 };

/* A password that was made. */
struct setup_password {
    const char *label;
    char text[CLI_PASSWORD_SIZE];
};

/* Sentences without a final dot, in the arena. */
struct setup_texts {
    const char *v[SETUP_TEXTS_MAX];
    size_t n;
};

struct setup {
    struct arena memory;
    const struct cli_world *world; /* NULL: as it is */
    struct lookups network;
    struct lookup dns;
    /* asked for */
    char domain[DOMAIN_MAX + 1];
    char hostname[DOMAIN_MAX + 1]; /* "" = not said */
    const char *wanted_user;       /* NULL = not said */
    const char *clients[SETUP_CLIENTS_MAX];
    size_t n_clients;
    char ips[SETUP_IPS_MAX][HOST_IP_SIZE]; /* --ip, or what was found */
    size_t n_ips;
    const char *dir_option;                      /* NULL = not said */
    const char *acme_email;                      /* NULL = not said: the user's */
    const char *wanted_certificate, *wanted_key; /* NULL = not said */
    /* found or made */
    const char *dir; /* of configuration and keys */
    const char *config_path, *users_path, *queue_path;
    const char *certificate, *certificate_key; /* "" with acme */
    const char *key_paths[SETUP_KEYS];         /* RSA, Ed25519 */
    struct config *config;
    struct users *users;
    const char *user; /* whose values are printed */
    struct setup_password passwords[SETUP_CLIENTS_MAX];
    size_t n_passwords;
    struct records records;
    struct setup_texts done, left; /* what was done, what is left to do */
    bool acme, json;               /* asked for */
    bool domain_configured;        /* found */
    bool new_user;                 /* the passwords are its first */
    bool started;                  /* the service, by us */
    int locks[2];                  /* of the folders that are changed; -1 = none */
    bool no_memory;
};

extern const char *const setup_selectors[SETUP_KEYS];

/* A text in the arena; "" when memory ends (s->no_memory). */
const char *setup_text(struct setup *s, const char *format, ...) PRINTF_LIKE(2, 3);
void setup_tell(struct setup *s, struct setup_texts *list, const char *format, ...) PRINTF_LIKE(3, 4);

/* Everything on disk; looks before each step, so that what exists stays. */
int setup_make(struct setup *s, const struct cli_args *args, struct err *err);
/* Another command may change the folders again. */
void setup_unlock(struct setup *s);
/* Tells everything; returns the exit code. */
int setup_print(struct setup *s);

#endif
