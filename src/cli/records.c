/* The DNS records to publish: what they are, and the three ways to write them. */
#include "records.h"

#include "internal.h"
#include "key.h"

#include <string.h>
#include <unistd.h>

/* ---- the list -------------------------------------------------------------------------------- */

void records_init(struct records *r)
{
    *r = (struct records){.mem = ARENA_INIT(4 * 1024 * 1024)};
    r->end = &r->first;
}

void records_free(struct records *r)
{
    arena_free(&r->mem);
    records_init(r);
}

static void add(struct records *r, const char *name, const char *type, const char *value)
{
    struct record *record = arena_alloc(&r->mem, sizeof(*record));
    if (record != NULL) {
        record->name = arena_strdup(&r->mem, slice_of(name));
        record->type = type;
        record->value = arena_strdup(&r->mem, slice_of(value));
    }
    if (record == NULL || record->name == NULL || record->value == NULL) {
        r->failed = true;
        return;
    }
    *r->end = record;
    r->end = &record->next;
}

static void add_text(struct records *r, const char *name, struct strbuf *value)
{
    if (value->failed)
        r->failed = true;
    else
        add(r, name, "TXT", strbuf_str(value));
    strbuf_free(value);
}

static bool is_ipv6(const char *ip)
{
    return strchr(ip, ':') != NULL;
}

/* ---- what they are --------------------------------------------------------------------------- */

void records_add_host(struct records *r, const char *hostname, bool spf, const char *const *ips, size_t n_ips)
{
    for (size_t i = 0; i < n_ips; i++)
        add(r, hostname, is_ipv6(ips[i]) ? "AAAA" : "A", ips[i]);
    if (spf)
        add(r, hostname, "TXT", "v=spf1 a -all");
}

static void add_spf(struct records *r, const char *domain, const char *hostname, const char *const *ips, size_t n_ips)
{
    struct strbuf spf = STRBUF_INIT;
    strbuf_add_str(&spf, "v=spf1");
    for (size_t i = 0; i < n_ips; i++)
        strbuf_addf(&spf, " %s:%s", is_ipv6(ips[i]) ? "ip6" : "ip4", ips[i]);
    if (n_ips == 0)
        strbuf_addf(&spf, " a:%s", hostname);
    strbuf_add_str(&spf, " -all");
    add_text(r, domain, &spf);
}

/* p=none: receivers are told nothing about mail that others send for the domain until its owner has looked. */
static void add_dmarc(struct records *r, const char *domain)
{
    struct strbuf name = STRBUF_INIT;
    strbuf_addf(&name, "_dmarc.%s", domain);
    r->failed = r->failed || name.failed;
    add(r, strbuf_str(&name), "TXT", "v=DMARC1; p=none");
    strbuf_free(&name);
}

void records_add_domain(struct records *r, const char *domain, const char *hostname, const char *const *ips,
                        size_t n_ips)
{
    add_spf(r, domain, hostname, ips, n_ips);
    add_dmarc(r, domain);
}

void records_add_key(struct records *r, const struct dkim_key *key)
{
    struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
    strbuf_addf(&name, "%s._domainkey.%s", dkim_key_selector(key), dkim_key_domain(key));
    dkim_key_record(key, &value);
    r->failed = r->failed || name.failed;
    add_text(r, strbuf_str(&name), &value);
    strbuf_free(&name);
}

int records_add_configured(struct records *r, const struct config_domain *domain, const char *hostname,
                           const char *const *ips, size_t n_ips, struct err *err)
{
    for (size_t i = 0; i < domain->n_keys; i++) {
        const struct config_key *k = &domain->keys[i];
        struct dkim_key *key = NULL;
        if (!keys_record_wanted(k, cli_today()) ||
            (k->state == CONFIG_KEY_RETIRED && access(k->path, F_OK) < 0)) /* its record is the owner's to keep */
            continue;
        if (dkim_key_load(domain->keys[i].path, domain->name, domain->keys[i].selector, &key, err) < 0)
            return -1;
        records_add_key(r, key);
        dkim_key_free(&key);
    }
    records_add_domain(r, domain->name, hostname, ips, n_ips);
    return r->failed ? err_set(err, "out of memory") : 0;
}

/* ---- how they are written -------------------------------------------------------------------- */

int record_format_parse(const char *name, enum record_format *ret)
{
    static const char *const names[] = {[RECORD_TABLE] = "table", [RECORD_ZONE] = "zone", [RECORD_JSON] = "json"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum record_format)i;
            return 0;
        }
    }
    return -1;
}

static void print_table(const struct records *r, FILE *out)
{
    size_t width = 4;
    for (const struct record *record = r->first; record != NULL; record = record->next)
        width = strlen(record->name) > width ? strlen(record->name) : width;
    fprintf(out, "%-*s  TYPE  TTL   VALUE\n", (int)width, "NAME");
    for (const struct record *record = r->first; record != NULL; record = record->next)
        fprintf(out, "%-*s  %-4s  %d  %s\n", (int)width, record->name, record->type, RECORDS_TTL, record->value);
}

/* A TXT record is made of strings of at most 255 octets (RFC 1035 3.3.14), quoted as in RFC 1035 5.1. */
static void print_strings(const char *value, FILE *out)
{
    size_t n = 0;
    fputc('"', out);
    for (; *value != '\0'; value++, n++) {
        if (n == 255) {
            fputs("\" \"", out);
            n = 0;
        }
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputc('"', out);
}

static void print_zone(const struct records *r, FILE *out)
{
    for (const struct record *record = r->first; record != NULL; record = record->next) {
        fprintf(out, "%s. %d IN %s ", record->name, RECORDS_TTL, record->type);
        if (strcmp(record->type, "TXT") == 0)
            print_strings(record->value, out);
        else
            fputs(record->value, out);
        fputc('\n', out);
    }
}

json_t *records_json(const struct records *r)
{
    json_t *list = json_array();
    for (const struct record *record = r->first; record != NULL; record = record->next) {
        json_t *item = json_pack("{s:s, s:s, s:i, s:s}", "name", record->name, "type", record->type, "ttl", RECORDS_TTL,
                                 "value", record->value);
        if (json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

int cli_print_json(json_t *document)
{
    if (document == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    int status = json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(document);
    if (status < 0)
        return cli_fail(CLI_FAILED, "cannot write to standard output");
    fputc('\n', stdout);
    return CLI_OK;
}

void records_print(const struct records *r, enum record_format format, FILE *out)
{
    if (format == RECORD_ZONE)
        print_zone(r, out);
    else
        print_table(r, out);
}
