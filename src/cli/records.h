/* src/cli/records.h - the DNS records to publish: shared by `dns`, `key` and `setup`. */
#ifndef SENDAS_CLI_RECORDS_H
#define SENDAS_CLI_RECORDS_H

#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/dkim.h"

#include <jansson.h>

enum { RECORDS_TTL = 3600 };
enum record_format { RECORD_TABLE = 0, RECORD_ZONE, RECORD_JSON };

struct record {
    struct record *next;
    const char *name;  /* without a final dot */
    const char *type;  /* A, AAAA, TXT */
    const char *value; /* a TXT's as one string */
};

/* In the order they were added; strings live in the arena. */
struct records {
    struct arena mem;
    struct record *first, **end;
    bool failed; /* out of memory */
};

void records_init(struct records *r);
void records_free(struct records *r);
/* -1 when the format has no such name. */
int record_format_parse(const char *name, enum record_format *ret);

/* Address records of `hostname` and its own SPF record (RFC 7208 2.3: what its EHLO name is held against when a bounce
 * has no sender); the latter not where the host is a domain that has one by records_add_domain. */
void records_add_host(struct records *r, const char *hostname, bool spf, const char *const *ips, size_t n_ips);
/* SPF and DMARC of a domain: mail leaves from `ips`, or where none is known from whatever `hostname` resolves to. */
void records_add_domain(struct records *r, const char *domain, const char *hostname, const char *const *ips,
                        size_t n_ips);
/* The record of one key. */
void records_add_key(struct records *r, const struct dkim_key *key);
/* All of the above for a domain of a configuration, its keys loaded. */
int records_add_configured(struct records *r, const struct config_domain *domain, const char *hostname,
                           const char *const *ips, size_t n_ips, struct err *err);

void records_print(const struct records *r, enum record_format format, FILE *out);
/* A list of {name, type, ttl, value}; NULL when out of memory. */
json_t *records_json(const struct records *r);
/* Writes one JSON document and a line end, and frees it; returns the exit code. */
int cli_print_json(json_t *document);

#endif
