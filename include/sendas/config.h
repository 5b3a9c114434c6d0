/* sendas/config.h - sendas.yaml and users.yaml: read by libcyaml, checked strictly, defaults filled in.
 *
 * A configuration is immutable once loaded; a reload makes a new one.  Every mistake is reported as
 * "file:line: what was found, what was expected".  Domain names are A-labels in lower case here. */
#ifndef SENDAS_CONFIG_H
#define SENDAS_CONFIG_H

#include "sendas/base.h"

enum config_tls_mode { CONFIG_TLS_STARTTLS = 0, CONFIG_TLS_IMPLICIT };
enum config_prefer { CONFIG_PREFER_IPV4 = 0, CONFIG_PREFER_IPV6, CONFIG_PREFER_ANY };
enum config_encode { CONFIG_ENCODE_AUTO = 0, CONFIG_ENCODE_NEVER };
enum config_delivery_tls { CONFIG_DELIVERY_OPPORTUNISTIC = 0, CONFIG_DELIVERY_REQUIRED };

enum { CONFIG_PUBLIC_MAX = 16, CONFIG_IP_MAX = 46 };

struct config_listener {
    char *address; /* a numeric IPv4 or IPv6 address; "::" is both families */
    uint16_t port;
    enum config_tls_mode tls;
};

enum config_key_state {
    CONFIG_KEY_ACTIVE = 0, /* signs */
    CONFIG_KEY_WAITING,    /* signs from when every authoritative server of the domain has shown its record */
    CONFIG_KEY_RETIRED     /* signs no more; its file need not be there */
};

struct config_key {
    char *selector;
    char *path;
    enum config_key_state state;
    char *since; /* "2026-11-21", the day it came into that state; "" = nobody wrote it down */
    unsigned line; /* where it stands in config.path, for what is wrong with the file itself */
};

struct config_domain {
    char *name;
    struct config_key *keys; /* those that are active sign */
    size_t n_keys;
    char *return_path; /* an address, or "" = the From address */
    unsigned line;
};

struct config_acme {
    char *email, *directory, *ca_file;
    struct config_listener *listen; /* tls unused */
    size_t n_listen;
    char *dir;               /* where all of it is kept: tls beside queue.path */
    char *certificate, *key; /* fullchain.pem and privkey.pem there */
};

struct config_route {
    char *domain; /* "*" = all others */
    char *host;   /* a name or a numeric address */
    uint16_t port;
    enum config_delivery_tls tls;
    char *user, *password_file; /* "" = no login */
};

struct config_server {
    char *address; /* numeric */
    uint16_t port;
};

struct config {
    char *path; /* the file it came from */
    char *hostname;
    struct config_listener *listen;
    size_t n_listen;
    struct {
        char *certificate, *key; /* "" with acme */
        unsigned certificate_line, key_line;
        int min_version;         /* 0x0303 = TLS 1.2, 0x0304 = TLS 1.3 */
        struct config_acme *acme; /* NULL = none */
    } tls;
    struct config_domain *domains;
    size_t n_domains;
    char *users_path;
    struct {
        uint64_t message_size; /* octets */
        unsigned recipients;   /* a message */
        unsigned connections, connections_per_ip;
        unsigned auth_failures;
        int64_t auth_window_s;
        unsigned messages_per_user; /* an hour; 0 = no limit */
        int64_t idle_timeout_s;
    } limits;
    bool hide_client_ip;
    struct {
        enum config_encode encode; /* is content that a hop would change brought to normal form before it is signed? */
    } message;
    struct {
        char *path;
        int64_t *retry_s; /* the last one repeats */
        size_t n_retry;
        int64_t lifetime_s, warn_after_s, history_s; /* warn_after 0 = none */
    } queue;
    struct {
        struct config_server *servers; /* none = full recursion */
        size_t n_servers;
        char *trust_anchor; /* "" = the system's root key, "none" = no validation, else a file */
    } dns;
    struct {
        uint16_t port;
        char **bind;
        size_t n_bind;
        char **public_ips; /* the addresses that the world sees, where they are not those of bind; none = those of bind */
        size_t n_public_ips;
        enum config_prefer prefer;
        bool allow_private;
        unsigned connections_per_domain, connections, messages_per_connection;
        int64_t connect_timeout_s;
        enum config_delivery_tls tls;
        char *ca_file; /* "" = the system's roots */
        struct config_route *routes;
        size_t n_routes;
    } delivery;
    char *admin_listen; /* "" = off, else "127.0.0.1:9587" */
    struct {
        enum log_level level;
        enum log_format format;
    } log;
};

#define CONFIG_DEFAULT_PATH "/etc/sendas/sendas.yaml"

/* Reads and checks `path`.  It checks the files it names too, the way `serve` needs them: that keys, certificate and
 * users.yaml exist, can be read and are not open to others.  Whether a DKIM key is good is for dkim/ to say. */
int config_load(const char *path, struct config **ret, struct err *err);
/* The same for looking at a configuration where it will not run: files it names that are not there or cannot be read are
 * told in `warnings`, a line each, and are no error; what is there and wrong, such as a secret open to all, is one. */
int config_load_lenient(const char *path, struct config **ret, struct strbuf *warnings, struct err *err);
/* The same without a look at the files it names. */
int config_load_text(const char *path, struct config **ret, struct err *err);
/* A change of one key of a domain in sendas.yaml. */
struct config_key_change {
    const char *domain, *selector;
    const char *path; /* of a key that is to be added; NULL: it is there, and gets another state */
    enum config_key_state state;
    const char *since; /* "2026-11-21" */
};
/* Makes the changes in the file's text and keeps all else, comments and layout too; what comes out is read again, and must
 * say what it said before but for the changes, then it replaces the file at once.  -1 and the reason; then the file is
 * as it was, and *editable is false when its layout is the reason. */
int config_edit(const char *path, const struct config_key_change *v, size_t n, bool *editable, struct err *err);
/* The numeric address and the port of admin.listen; false when it is off. */
bool config_admin_address(const struct config *c, char address[CONFIG_IP_MAX], uint16_t *port);
/* Does admin.listen name an address that other machines may reach? */
bool config_admin_exposed(const struct config *c);
/* "active", "waiting", "retired" */
const char *config_key_state_name(enum config_key_state state);
/* The member of a dkim list that `change` adds: "{selector: s2, key: "/path", state: waiting, since: 2026-11-21}". */
void config_key_member(const struct config_key_change *change, struct strbuf *out);
/* Every default, as if an empty file were legal: hostname "", no domains. */
struct config *config_defaults(void);
void config_free(struct config **pc);
/* The configuration as YAML with every default filled in; what it prints loads to the same again. */
void config_print(const struct config *c, FILE *out);
/* The domain's entry, or NULL.  `domain` in A-labels, any case. */
const struct config_domain *config_find_domain(const struct config *c, struct slice domain);
/* Days since 1970-01-01 of "2026-11-21"; -1 when it is no date. */
int config_parse_date(struct slice text, int64_t *ret_days);
/* "90s", "5m", "2h", "5d" -> seconds; "64k", "50m", "100" -> octets.  Anything else is an error. */
int config_parse_duration(struct slice text, int64_t *ret_s);
int config_parse_size(struct slice text, uint64_t *ret);

/* ---- users.yaml -------------------------------------------------------------------------------------- */

struct user_password {
    char *label;
    char *hash;      /* crypt(5) */
    char **send_as;  /* none: all that the user may; otherwise these only, each within what the user may */
    size_t n_send_as;
    unsigned messages_per_hour; /* beside limits.messages_per_user; 0 = no limit of its own */
};

enum { USER_MESSAGES_PER_HOUR_MAX = 1000000 };

struct user {
    char *name; /* the login: an address; domain in A-labels, lower case */
    char **send_as; /* patterns: an address, or "*@domain"; at least one */
    size_t n_send_as;
    struct user_password *passwords;
    size_t n_passwords;
};

struct users {
    struct user *v;
    size_t n;
};

int users_load(const char *path, struct users **ret, struct err *err);
/* Writes the file anew (mode 0640 for a new one, its present mode and owner otherwise). */
int users_save(const char *path, const struct users *u, struct err *err);
void users_free(struct users **pu);
/* The user whose name is `login` (domain compared as A-label, case folded; the local part exactly,
 * except for ASCII case), or NULL. */
const struct user *users_find(const struct users *u, struct slice login);
/* The user's password of this label, or NULL. */
const struct user_password *users_find_password(const struct user *user, const char *label);
/* Adds a user or, to one that exists, patterns and one more password.  Strings are copied; without a label it is
 * "default"; a label that the user has already is an error, and nothing was changed. */
int users_add(struct users *u, const char *name, const char *label, const char *hash, const char *const *send_as,
              size_t n_send_as, struct err *err);
/* Narrows a password that is there: it may send as `only` (patterns, copied; each within the user's own; none: all of
 * them), and `messages_per_hour` (at most USER_MESSAGES_PER_HOUR_MAX; 0 = no limit of its own).  An error changes nothing. */
int users_narrow(struct users *u, const char *name, const char *label, const char *const *only, size_t n_only,
                 unsigned messages_per_hour, struct err *err);
/* Removes the user, or with a label only that password; a user stays when its last password goes, and cannot log in.
 * -1 when there is none. */
int users_remove(struct users *u, const char *name, const char *label, struct err *err);
/* An address, or "*@" and a domain?  -1 and what is wrong with it. */
int users_pattern_check(const char *pattern, struct err *err);
/* Is `pattern` a send_as pattern, and does it cover the address?  '*' stands for a whole local part.
 * Local parts are compared exactly but for ASCII case, domains by domain_eq. */
bool users_pattern_matches(const char *pattern, struct slice local, struct slice domain);

#endif
