/* config/internal.h - the way of a file:
 *
 *   text --source_parse--> tree with line numbers --source_check--> it has the shape of the schema
 *        --source_load (libcyaml)--> struct raw_...: every scalar as it was written, NULL where it was not
 *        --config_build, users_build--> checked, defaults filled in
 *
 * libcyaml would load "10 20" into a number as 10, "010" as 8 and an absent one as 0, and it tells where a mistake
 * is only in its log: hence scalars are text to it, and the tree knows the lines. */
#ifndef SENDAS_CONFIG_INTERNAL_H
#define SENDAS_CONFIG_INTERNAL_H

#include "sendas/config.h"

#include <cyaml/cyaml.h>

enum {
    CONFIG_TEXT_MAX = 1024 * 1024, /* of either file */
    CONFIG_SCALAR_MAX = 4096,
    CONFIG_LIST_MAX = 10000,
    CONFIG_KEY_MAX = 128 /* "delivery.routes[9999].password_file" fits */
};

/* ---- source.c: the YAML as a tree that knows its lines ---------------------------------------------- */

enum node_kind { NODE_SCALAR = 0, NODE_MAPPING, NODE_SEQUENCE };

struct node {
    enum node_kind kind;
    unsigned line;    /* of its key, where it has one */
    unsigned n;       /* children */
    const char *key;  /* in a mapping */
    const char *text; /* of a scalar */
    /* Where it stands, in characters of the text: a value without its key.  The end of a block is that of its last line. */
    size_t start, end;
    unsigned column; /* of the key, where it has one */
    bool flow;       /* {a: b} or [a, b] */
    struct node *first, *last, *next;
};

struct source {
    const char *name; /* of the file */
    struct slice text;
    struct arena mem;
    struct node *root; /* NULL: nothing written */
};

/* `name` and `text` are borrowed.  Aliases, tags, a second document and control characters are refused. */
int source_parse(struct source *s, struct slice text, const char *name, struct err *err);
void source_free(struct source *s);
/* The line of "domains[0].dkim[1].key", or of what holds it where it is not written. */
unsigned source_line(const struct source *s, const char *key);
/* Writes such a key; they all fit. */
void key_set(char key[CONFIG_KEY_MAX], const char *format, ...) PRINTF_LIKE(2, 3);
/* "FILE:LINE: KEY: found "FOUND", expected ..."; KEY may be "".  Returns -1. */
int source_mismatch(const struct source *s, struct err *err, const char *key, const char *found, const char *expected,
                    ...) PRINTF_LIKE(5, 6);
/* The same with text that is not quoted. */
int source_fail(const struct source *s, struct err *err, const char *key, const char *format, ...) PRINTF_LIKE(4, 5);

/* ---- shape.c: tree and schema, and the load by libcyaml --------------------------------------------- */

int source_check(const struct source *s, const cyaml_schema_value_t *schema, struct err *err);
/* After source_check: fills *raw, which source_unload frees. */
int source_load(const struct source *s, const cyaml_schema_value_t *schema, void **raw, struct err *err);
void source_unload(const cyaml_schema_value_t *schema, void *raw);

/* ---- schema.c: what may be written ------------------------------------------------------------------- */

struct raw_listener {
    char *address, *port, *tls;
};

struct raw_key {
    char *selector, *key, *state, *since;
};

struct raw_domain {
    char *name, *return_path;
    struct raw_key *dkim;
    unsigned dkim_count;
};

struct raw_acme {
    char *email, *directory, *ca_file;
    struct raw_listener *listen;
    unsigned listen_count;
};

struct raw_route {
    char *domain, *host, *port, *tls, *user, *password_file;
};

struct raw_tls {
    char *certificate, *key, *min_version;
    struct raw_acme *acme;
};

struct raw_limits {
    char *message_size, *recipients, *connections, *connections_per_ip, *auth_failures, *auth_window,
        *messages_per_user, *idle_timeout;
};

struct raw_privacy {
    char *hide_client_ip;
};

struct raw_message {
    char *encode;
};

struct raw_queue {
    char *path, *lifetime, *warn_after, *history;
    char **retry;
    unsigned retry_count;
};

struct raw_dns {
    char *trust_anchor;
    char **servers;
    unsigned servers_count;
};

struct raw_delivery {
    char *port, *prefer, *allow_private, *connections_per_domain, *connections, *messages_per_connection,
        *connect_timeout, *tls, *ca_file;
    char **bind, **public_ips;
    unsigned bind_count, public_ips_count;
    struct raw_route *routes;
    unsigned routes_count;
};

struct raw_admin {
    char *listen;
};

struct raw_log {
    char *level, *format;
};

struct raw_config {
    char *hostname, *users;
    struct raw_listener *listen;
    unsigned listen_count;
    struct raw_tls tls;
    struct raw_domain *domains;
    unsigned domains_count;
    struct raw_limits limits;
    struct raw_privacy privacy;
    struct raw_message message;
    struct raw_queue queue;
    struct raw_dns dns;
    struct raw_delivery delivery;
    struct raw_admin admin;
    struct raw_log log;
};

struct raw_password {
    char *label, *hash, *messages_per_hour;
    char **send_as;
    unsigned send_as_count;
};

struct raw_user {
    char *name;
    char **send_as;
    unsigned send_as_count;
    struct raw_password *passwords;
    unsigned passwords_count;
};

struct raw_users {
    struct raw_user *users;
    unsigned users_count;
};

extern const cyaml_schema_value_t config_schema, users_schema;

/* ---- rows.c, scalar.c: one row a scalar: its type, range and default ------------------------------------------ */

enum scalar_kind {
    SCALAR_TEXT = 0, /* char *: any text */
    SCALAR_PATH,     /* char *: not empty */
    SCALAR_DOMAIN,   /* char *: a domain name, as A-labels */
    SCALAR_SELECTOR, /* char *: RFC 6376 3.1 */
    SCALAR_PATTERN,  /* char *: a domain name or "*" */
    SCALAR_HOST,     /* char *: a domain name or a numeric address */
    SCALAR_IP,       /* char *: a numeric address */
    SCALAR_ADDRESS,  /* char *: a mail address or "" */
    SCALAR_URL,      /* char *: https */
    SCALAR_DATE,     /* char *: "2026-11-21" or "" */
    SCALAR_SOCKET,   /* char *: "127.0.0.1:9587" or "" */
    SCALAR_COUNT,    /* unsigned */
    SCALAR_PORT,     /* uint16_t */
    SCALAR_SIZE,     /* uint64_t: octets */
    SCALAR_DURATION, /* int64_t: seconds */
    SCALAR_BOOL,     /* bool */
    SCALAR_ENUM      /* int: min + the place in `names` */
};

struct scalar {
    const char *key;      /* "limits.recipients", or "port" in a list's member */
    size_t raw, out;      /* where it stands: a char * in struct raw_..., and in struct config... */
    const char *fallback; /* what counts when it is not written; NULL = `out` stays as it is */
    enum scalar_kind kind;
    uint64_t min, max;
    const char *const *names; /* NULL-terminated */
};

extern const struct scalar config_scalars[], listener_scalars[], acme_scalars[], domain_scalars[], key_scalars[],
    route_scalars[]; /* each ends with a NULL key */

/* Where a build stands: what it reads, what its strings live in, and whom it tells. */
struct build {
    const struct source *source;
    struct arena *mem;
    struct err *err;
};

/* Sets *out from the raw text by each of the rows; `prefix` is the member's key, such as "listen[0]", or "". */
int scalars_set(const struct build *b, const struct scalar *rows, const char *prefix, const void *raw, void *out);
/* One text of a list whose members are scalars. */
int scalar_set(const struct build *b, const struct scalar *row, const char *key, const char *text, void *out);
/* As YAML that scalar_set reads. */
void scalar_print(const struct scalar *row, const void *out, FILE *stream);
void text_print(const char *text, FILE *stream);

/* ---- names.c: names and addresses ---------------------------------------------------------------------- */

/* A domain name that is no numeric address, as A-labels. */
int name_to_ascii(struct slice text, char out[DOMAIN_MAX + 1], struct err *err);
enum { ADDRESS_LOCAL_MAX = 64, ADDRESS_MAX = ADDRESS_LOCAL_MAX + 1 + DOMAIN_MAX, IP_MAX = CONFIG_IP_MAX };
/* local@domain, the local part a dot-atom (ASCII or UTF-8), the domain as A-labels. */
int address_normalize(struct slice text, char out[ADDRESS_MAX + 1], struct err *err);
/* A numeric IPv4 or IPv6 address in its usual spelling; its family in *family when not NULL. */
int ip_normalize(struct slice text, char out[IP_MAX], int *family);
int port_parse(struct slice text, uint16_t *ret);
/* "127.0.0.1:9587" or "[::1]:9587" */
int socket_check(struct slice text);
int socket_parse(struct slice text, char address[IP_MAX], uint16_t *port);

/* ---- edit.c ------------------------------------------------------------------------------------------------ */

/* `text` with the change made, all else as it was, into *out.  -1: this layout is not one that can be edited, or what is to
 * be changed is not there. */
int config_edit_text(struct slice text, const struct config_key_change *change, struct strbuf *out, struct err *err);

/* ---- build.c, print.c ------------------------------------------------------------------------------------ */

/* A checked configuration from `text`, which came from the file `name`; the files it names are not looked at.  On
 * success *source is there still, for config_check_files, and to be freed by the caller. */
int config_parse(struct slice text, const char *name, struct source *source, struct config **ret, struct err *err);
/* check.c: the files that a configuration names.  With `warnings`, those that cannot be opened are told there. */
int config_check_files(const struct config *c, const struct source *source, struct strbuf *warnings, struct err *err);

int users_parse(struct slice text, const char *name, struct users **ret, struct err *err);

#endif
