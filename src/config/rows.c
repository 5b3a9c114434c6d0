/* rows.c - every scalar of sendas.yaml: its key, type, range and default, each of them stated once. */
#include "internal.h"

enum { KIB = 1024, MINUTE = 60, HOUR = 3600, DAY = 86400 };

static const char *const tls_modes[] = {"starttls", "implicit", NULL};
static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const prefers[] = {"ipv4", "ipv6", "any", NULL};
static const char *const delivery_tls[] = {"opportunistic", "required", NULL};
static const char *const key_states[] = {"active", "waiting", "retired", NULL};
static const char *const encodes[] = {"auto", "never", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

/* clang-format off */
#define PLAIN(key, place, fallback, kind)            {key, place, fallback, kind, 0, 0, NULL}
#define NUMBER(key, place, fallback, kind, min, max) {key, place, fallback, kind, min, max, NULL}
#define CHOICE(key, place, fallback, first, names)   {key, place, fallback, SCALAR_ENUM, first, 0, names}
#define END                                          {NULL, 0, 0, NULL, SCALAR_TEXT, 0, 0, NULL}
/* clang-format on */

#define PLACE(raw_structure, structure, raw_member, member)                                                            \
    offsetof(struct raw_structure, raw_member), offsetof(struct structure, member)
#define CONFIG(member)                PLACE(raw_config, config, member, member)
#define CONFIG_AS(raw_member, member) PLACE(raw_config, config, raw_member, member)

const struct scalar config_scalars[] = {
    PLAIN("hostname", CONFIG(hostname), "", SCALAR_DOMAIN),
    PLAIN("tls.certificate", CONFIG(tls.certificate), "", SCALAR_TEXT),
    PLAIN("tls.key", CONFIG(tls.key), "", SCALAR_TEXT),
    CHOICE("tls.min_version", CONFIG(tls.min_version), "1.2", 0x0303 /* TLS 1.2 */, tls_versions),
    PLAIN("users", CONFIG_AS(users, users_path), "/etc/sendas/users.yaml", SCALAR_PATH),
    NUMBER("limits.message_size", CONFIG(limits.message_size), "50m", SCALAR_SIZE, KIB, 1024 * 1024 * KIB),
    NUMBER("limits.recipients", CONFIG(limits.recipients), "100", SCALAR_COUNT, 1, 10000),
    NUMBER("limits.connections", CONFIG(limits.connections), "1000", SCALAR_COUNT, 1, 100000),
    NUMBER("limits.connections_per_ip", CONFIG(limits.connections_per_ip), "20", SCALAR_COUNT, 1, 100000),
    NUMBER("limits.auth_failures", CONFIG(limits.auth_failures), "5", SCALAR_COUNT, 1, 1000),
    NUMBER("limits.auth_window", CONFIG_AS(limits.auth_window, limits.auth_window_s), "10m", SCALAR_DURATION, 1,
           7 * DAY),
    NUMBER("limits.messages_per_user", CONFIG(limits.messages_per_user), "500", SCALAR_COUNT, 0, 1000000),
    NUMBER("limits.idle_timeout", CONFIG_AS(limits.idle_timeout, limits.idle_timeout_s), "5m", SCALAR_DURATION, 1,
           HOUR),
    PLAIN("privacy.hide_client_ip", CONFIG_AS(privacy.hide_client_ip, hide_client_ip), "true", SCALAR_BOOL),
    CHOICE("message.encode", CONFIG(message.encode), "auto", 0, encodes),
    PLAIN("queue.path", CONFIG(queue.path), "/var/lib/sendas/queue.db", SCALAR_PATH),
    NUMBER("queue.lifetime", CONFIG_AS(queue.lifetime, queue.lifetime_s), "5d", SCALAR_DURATION, 1, 60 * DAY),
    NUMBER("queue.warn_after", CONFIG_AS(queue.warn_after, queue.warn_after_s), "4h", SCALAR_DURATION, 0, 60 * DAY),
    NUMBER("queue.history", CONFIG_AS(queue.history, queue.history_s), "30d", SCALAR_DURATION, 0, 3650 * DAY),
    PLAIN("dns.trust_anchor", CONFIG(dns.trust_anchor), "", SCALAR_TEXT),
    PLAIN("delivery.port", CONFIG(delivery.port), "25", SCALAR_PORT),
    CHOICE("delivery.prefer", CONFIG(delivery.prefer), "ipv4", 0, prefers),
    PLAIN("delivery.allow_private", CONFIG(delivery.allow_private), "false", SCALAR_BOOL),
    NUMBER("delivery.connections_per_domain", CONFIG(delivery.connections_per_domain), "5", SCALAR_COUNT, 1, 1000),
    NUMBER("delivery.connections", CONFIG(delivery.connections), "100", SCALAR_COUNT, 1, 10000),
    NUMBER("delivery.messages_per_connection", CONFIG(delivery.messages_per_connection), "50", SCALAR_COUNT, 1, 10000),
    NUMBER("delivery.connect_timeout", CONFIG_AS(delivery.connect_timeout, delivery.connect_timeout_s), "30s",
           SCALAR_DURATION, 1, 10 * MINUTE),
    CHOICE("delivery.tls", CONFIG(delivery.tls), "opportunistic", 0, delivery_tls),
    PLAIN("delivery.ca_file", CONFIG(delivery.ca_file), "", SCALAR_TEXT),
    PLAIN("admin.listen", CONFIG_AS(admin.listen, admin_listen), "", SCALAR_SOCKET),
    CHOICE("log.level", CONFIG(log.level), "info", LOG_LEVEL_DEBUG, log_levels),
    CHOICE("log.format", CONFIG(log.format), "text", 0, log_formats),
    END,
};

#define LISTENER(member) PLACE(raw_listener, config_listener, member, member)
const struct scalar listener_scalars[] = {
    PLAIN("address", LISTENER(address), "::", SCALAR_IP),
    PLAIN("port", LISTENER(port), "80", SCALAR_PORT), /* needed but of ACME's listeners */
    CHOICE("tls", LISTENER(tls), "starttls", 0, tls_modes),
    END,
};

#define ACME(member) PLACE(raw_acme, config_acme, member, member)
const struct scalar acme_scalars[] = {
    PLAIN("email", ACME(email), "", SCALAR_ADDRESS),
    PLAIN("directory", ACME(directory), "https://acme-v02.api.letsencrypt.org/directory", SCALAR_URL),
    PLAIN("ca_file", ACME(ca_file), "", SCALAR_TEXT),
    END,
};

#define DOMAIN(member) PLACE(raw_domain, config_domain, member, member)
const struct scalar domain_scalars[] = {
    PLAIN("name", DOMAIN(name), NULL, SCALAR_DOMAIN),
    PLAIN("return_path", DOMAIN(return_path), "", SCALAR_ADDRESS),
    END,
};

const struct scalar key_scalars[] = {
    PLAIN("selector", PLACE(raw_key, config_key, selector, selector), NULL, SCALAR_SELECTOR),
    PLAIN("key", PLACE(raw_key, config_key, key, path), NULL, SCALAR_PATH),
    CHOICE("state", PLACE(raw_key, config_key, state, state), "active", CONFIG_KEY_ACTIVE, key_states),
    PLAIN("since", PLACE(raw_key, config_key, since, since), "", SCALAR_DATE),
    END,
};

/* `port` and `tls`: as delivery.port and delivery.tls. */
#define ROUTE(member) PLACE(raw_route, config_route, member, member)
const struct scalar route_scalars[] = {
    PLAIN("domain", ROUTE(domain), NULL, SCALAR_PATTERN),
    PLAIN("host", ROUTE(host), NULL, SCALAR_HOST),
    PLAIN("port", ROUTE(port), NULL, SCALAR_PORT),
    CHOICE("tls", ROUTE(tls), NULL, 0, delivery_tls),
    PLAIN("user", ROUTE(user), "", SCALAR_TEXT),
    PLAIN("password_file", ROUTE(password_file), "", SCALAR_TEXT),
    END,
};
