/* print.c - a configuration as YAML that loads to the same again. */
#include "internal.h"

#include <string.h>

/* The rows of `section` ("" = those outside of any), a line each. */
static void print_section(const struct config *c, const char *section, FILE *out)
{
    size_t n = strlen(section);
    if (n > 0)
        fprintf(out, "%s:\n", section);
    for (const struct scalar *row = config_scalars; row->key != NULL; row++) {
        if (strncmp(row->key, section, n) != 0 || row->key[n] != '.')
            continue;
        fprintf(out, "  %s: ", row->key + n + 1);
        scalar_print(row, (const char *)c + row->out, out);
        fputc('\n', out);
    }
}

static void print_scalar(const struct config *c, const char *key, FILE *out)
{
    for (const struct scalar *row = config_scalars; row->key != NULL; row++) {
        if (strcmp(row->key, key) != 0)
            continue;
        fprintf(out, "%s: ", key);
        scalar_print(row, (const char *)c + row->out, out);
        fputc('\n', out);
    }
}

/* "key: value, key: value"; with `skip`, without the row of that key. */
static void print_members(const struct scalar *rows, const void *member, const char *skip, FILE *out)
{
    const char *joint = "";
    for (const struct scalar *row = rows; row->key != NULL; row++) {
        if (skip != NULL && strcmp(row->key, skip) == 0)
            continue;
        fprintf(out, "%s%s: ", joint, row->key);
        scalar_print(row, (const char *)member + row->out, out);
        joint = ", ";
    }
}

static void print_tls(const struct config *c, FILE *out)
{
    const struct config_acme *acme = c->tls.acme;
    print_section(c, "tls", out);
    if (acme == NULL) {
        fputs("  acme: null\n", out);
        return;
    }
    fputs("  acme: {", out);
    print_members(acme_scalars, acme, NULL, out);
    fputs(", listen: [", out);
    for (size_t i = 0; i < acme->n_listen; i++) {
        fputs(i == 0 ? "{" : ", {", out);
        print_members(listener_scalars, &acme->listen[i], "tls", out);
        fputs("}", out);
    }
    fputs("]}\n", out);
}

static void print_domains(const struct config *c, FILE *out)
{
    fputs(c->n_domains == 0 ? "domains: []\n" : "domains:\n", out);
    for (size_t i = 0; i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];
        fputs("  - {", out);
        print_members(domain_scalars, d, NULL, out);
        fputs(", dkim: [", out);
        for (size_t k = 0; k < d->n_keys; k++) {
            fputs(k == 0 ? "{" : ", {", out);
            print_members(key_scalars, &d->keys[k], NULL, out);
            fputs("}", out);
        }
        fputs("]}\n", out);
    }
}

static void print_addresses(const char *key, char *const *v, size_t n, FILE *out)
{
    fprintf(out, "  %s: [", key);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s\"%s\"", i == 0 ? "" : ", ", v[i]);
    fputs("]\n", out);
}

static void print_lists(const struct config *c, FILE *out)
{
    static const struct scalar duration = {.kind = SCALAR_DURATION};
    fputs("  retry: [", out);
    for (size_t i = 0; i < c->queue.n_retry; i++) {
        fputs(i == 0 ? "" : ", ", out);
        scalar_print(&duration, &c->queue.retry_s[i], out);
    }
    fputs("]\n", out);
    print_section(c, "dns", out);
    fputs("  servers: [", out);
    for (size_t i = 0; i < c->dns.n_servers; i++)
        fprintf(out, "%s\"%s@%u\"", i == 0 ? "" : ", ", c->dns.servers[i].address, c->dns.servers[i].port);
    fputs("]\n", out);
    print_section(c, "delivery", out);
    print_addresses("bind", c->delivery.bind, c->delivery.n_bind, out);
    print_addresses("public", c->delivery.public_ips, c->delivery.n_public_ips, out);
    fputs(c->delivery.n_routes == 0 ? "  routes: []\n" : "  routes:\n", out);
    for (size_t i = 0; i < c->delivery.n_routes; i++) {
        fputs("    - {", out);
        print_members(route_scalars, &c->delivery.routes[i], NULL, out);
        fputs("}\n", out);
    }
}

void config_print(const struct config *c, FILE *out)
{
    print_scalar(c, "hostname", out);
    fputs("listen:\n", out);
    for (size_t i = 0; i < c->n_listen; i++) {
        fputs("  - {", out);
        print_members(listener_scalars, &c->listen[i], NULL, out);
        fputs("}\n", out);
    }
    print_tls(c, out);
    print_domains(c, out);
    print_scalar(c, "users", out);
    print_section(c, "limits", out);
    print_section(c, "privacy", out);
    print_section(c, "message", out);
    print_section(c, "queue", out);
    print_lists(c, out);
    print_section(c, "admin", out);
    print_section(c, "log", out);
}
