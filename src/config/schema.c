/* schema.c - what may be written in sendas.yaml and users.yaml.  Every scalar is text here; scalar.c has its type,
 * range and default. */
#include "internal.h"

#define TEXT(key, structure)            CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_OPTIONAL, structure, key, 0, CONFIG_SCALAR_MAX)
#define NEEDED(key, structure)          CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_DEFAULT, structure, key, 0, CONFIG_SCALAR_MAX)
#define SECTION(key, structure, fields) CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, structure, key, fields)
#define LIST(key, structure, entry, min, max)                                                                          \
    CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key, entry, min, max)
#define MEMBER(structure, fields)                                                                                      \
    {                                                                                                                  \
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, structure, fields)                                                     \
    }

static const cyaml_schema_value_t text_member = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CONFIG_SCALAR_MAX)};

static const cyaml_schema_field_t listener_fields[] = {TEXT(address, struct raw_listener),
                                                       NEEDED(port, struct raw_listener),
                                                       NEEDED(tls, struct raw_listener), CYAML_FIELD_END};
static const cyaml_schema_value_t listener_member = MEMBER(struct raw_listener, listener_fields);

/* An ACME listener speaks HTTP: no tls. */
static const cyaml_schema_field_t acme_listener_fields[] = {TEXT(address, struct raw_listener),
                                                            TEXT(port, struct raw_listener), CYAML_FIELD_END};
static const cyaml_schema_value_t acme_listener_member = MEMBER(struct raw_listener, acme_listener_fields);

static const cyaml_schema_field_t acme_fields[] = {
    TEXT(email, struct raw_acme), TEXT(directory, struct raw_acme), TEXT(ca_file, struct raw_acme),
    LIST(listen, struct raw_acme, &acme_listener_member, 1, 100), CYAML_FIELD_END};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT(certificate, struct raw_tls), TEXT(key, struct raw_tls), TEXT(min_version, struct raw_tls),
    CYAML_FIELD_MAPPING_PTR("acme", CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL, struct raw_tls, acme,
                            acme_fields),
    CYAML_FIELD_END};

static const cyaml_schema_field_t key_fields[] = {NEEDED(selector, struct raw_key), NEEDED(key, struct raw_key),
                                                  TEXT(state, struct raw_key), TEXT(since, struct raw_key),
                                                  CYAML_FIELD_END};
static const cyaml_schema_value_t key_member = MEMBER(struct raw_key, key_fields);

static const cyaml_schema_field_t domain_fields[] = {NEEDED(name, struct raw_domain),
                                                     LIST(dkim, struct raw_domain, &key_member, 0, 20),
                                                     TEXT(return_path, struct raw_domain), CYAML_FIELD_END};
static const cyaml_schema_value_t domain_member = MEMBER(struct raw_domain, domain_fields);

static const cyaml_schema_field_t limits_fields[] = {TEXT(message_size, struct raw_limits),
                                                     TEXT(recipients, struct raw_limits),
                                                     TEXT(connections, struct raw_limits),
                                                     TEXT(connections_per_ip, struct raw_limits),
                                                     TEXT(auth_failures, struct raw_limits),
                                                     TEXT(auth_window, struct raw_limits),
                                                     TEXT(messages_per_user, struct raw_limits),
                                                     TEXT(idle_timeout, struct raw_limits),
                                                     CYAML_FIELD_END};

static const cyaml_schema_field_t privacy_fields[] = {TEXT(hide_client_ip, struct raw_privacy), CYAML_FIELD_END};

static const cyaml_schema_field_t message_fields[] = {TEXT(encode, struct raw_message), CYAML_FIELD_END};

static const cyaml_schema_field_t queue_fields[] = {
    TEXT(path, struct raw_queue),     LIST(retry, struct raw_queue, &text_member, 1, 100),
    TEXT(lifetime, struct raw_queue), TEXT(warn_after, struct raw_queue),
    TEXT(history, struct raw_queue),  CYAML_FIELD_END};

static const cyaml_schema_field_t dns_fields[] = {LIST(servers, struct raw_dns, &text_member, 0, 20),
                                                  TEXT(trust_anchor, struct raw_dns), CYAML_FIELD_END};

static const cyaml_schema_field_t route_fields[] = {NEEDED(domain, struct raw_route),
                                                    NEEDED(host, struct raw_route),
                                                    TEXT(port, struct raw_route),
                                                    TEXT(tls, struct raw_route),
                                                    TEXT(user, struct raw_route),
                                                    TEXT(password_file, struct raw_route),
                                                    CYAML_FIELD_END};
static const cyaml_schema_value_t route_member = MEMBER(struct raw_route, route_fields);

static const cyaml_schema_field_t delivery_fields[] = {
    TEXT(port, struct raw_delivery),
    LIST(bind, struct raw_delivery, &text_member, 0, 2),
    CYAML_FIELD_SEQUENCE("public", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_delivery, public_ips,
                         &text_member, 0, CONFIG_PUBLIC_MAX),
    TEXT(prefer, struct raw_delivery),
    TEXT(allow_private, struct raw_delivery),
    TEXT(connections_per_domain, struct raw_delivery),
    TEXT(connections, struct raw_delivery),
    TEXT(messages_per_connection, struct raw_delivery),
    TEXT(connect_timeout, struct raw_delivery),
    TEXT(tls, struct raw_delivery),
    TEXT(ca_file, struct raw_delivery),
    LIST(routes, struct raw_delivery, &route_member, 0, CONFIG_LIST_MAX),
    CYAML_FIELD_END};

static const cyaml_schema_field_t admin_fields[] = {TEXT(listen, struct raw_admin), CYAML_FIELD_END};

static const cyaml_schema_field_t log_fields[] = {TEXT(level, struct raw_log), TEXT(format, struct raw_log),
                                                  CYAML_FIELD_END};

static const cyaml_schema_field_t config_fields[] = {
    NEEDED(hostname, struct raw_config),
    LIST(listen, struct raw_config, &listener_member, 1, 100),
    CYAML_FIELD_MAPPING("tls", CYAML_FLAG_DEFAULT, struct raw_config, tls, tls_fields),
    CYAML_FIELD_SEQUENCE("domains", CYAML_FLAG_POINTER, struct raw_config, domains, &domain_member, 1, CONFIG_LIST_MAX),
    TEXT(users, struct raw_config),
    SECTION(limits, struct raw_config, limits_fields),
    SECTION(privacy, struct raw_config, privacy_fields),
    SECTION(message, struct raw_config, message_fields),
    SECTION(queue, struct raw_config, queue_fields),
    SECTION(dns, struct raw_config, dns_fields),
    SECTION(delivery, struct raw_config, delivery_fields),
    SECTION(admin, struct raw_config, admin_fields),
    SECTION(log, struct raw_config, log_fields),
    CYAML_FIELD_END};

const cyaml_schema_value_t config_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields)};

static const cyaml_schema_field_t password_fields[] = {NEEDED(label, struct raw_password),
                                                       NEEDED(hash, struct raw_password),
                                                       LIST(send_as, struct raw_password, &text_member, 1, 1000),
                                                       TEXT(messages_per_hour, struct raw_password), CYAML_FIELD_END};
static const cyaml_schema_value_t password_member = MEMBER(struct raw_password, password_fields);

static const cyaml_schema_field_t user_fields[] = {
    NEEDED(name, struct raw_user), LIST(send_as, struct raw_user, &text_member, 1, 1000),
    LIST(passwords, struct raw_user, &password_member, 0, 1000), CYAML_FIELD_END};
static const cyaml_schema_value_t user_member = MEMBER(struct raw_user, user_fields);

static const cyaml_schema_field_t users_fields[] = {
    CYAML_FIELD_SEQUENCE("users", CYAML_FLAG_POINTER, struct raw_users, users, &user_member, 0, CONFIG_LIST_MAX),
    CYAML_FIELD_END};

const cyaml_schema_value_t users_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_users, users_fields)};
