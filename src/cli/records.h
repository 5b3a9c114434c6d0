/* src/cli/records.h - the DNS records to publish: shared by `dns`, `key` and `setup`.  What they are, held against what DNS
 * has (records.c), and the ways to write them (records_print.c). */
#ifndef SENDAS_CLI_RECORDS_H
#define SENDAS_CLI_RECORDS_H

#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/dkim.h"

#include <jansson.h>

enum { RECORDS_TTL = 3600 };
enum record_format { RECORD_TABLE = 0, RECORD_ZONE, RECORD_JSON };

enum record_group {
    RECORD_DOMAIN = 0, /* what mail of a domain needs */
    RECORD_HOST,       /* the host's own name */
    RECORD_OPTIONAL    /* for mail programs; nothing fails without */
};

enum record_status {
    RECORD_UNKNOWN = 0, /* DNS gave no answer, or was not asked */
    RECORD_NEW,
    RECORD_REPLACE,  /* another stands there */
    RECORD_PUBLISHED /* just so */
};

struct record_note {
    struct record_note *next;
    bool serious;
    const char *text; /* without a final dot */
};

struct record_notes {
    struct record_note *first, **end;
};

struct record {
    struct record *next;
    const char *name;  /* without a final dot */
    const char *type;  /* A, AAAA, TXT, SRV */
    const char *value; /* a TXT's as one string */
    const char *zone;  /* what the name is relative to in the form of a DNS host */
    enum record_group group;
    enum record_status status;
    const char *found; /* what is to be replaced; "" = nothing, or not known */
    struct record_notes notes;
};

/* The name of an address, for its owner (the provider) to set. */
struct record_ptr {
    struct record_ptr *next;
    const char *ip, *name; /* the address, and the name that it should have */
    const char *found;     /* that it has; "" = none */
    enum record_status status;
};

/* In the order they were added; strings are printable and live in the arena. */
struct records {
    struct arena mem;
    struct record *first, **end;
    struct record_ptr *first_ptr, **end_ptr;
    struct record_notes notes; /* about no single record */
    struct record spare;       /* what is written to when memory has ended */
    bool failed;               /* it has */
};

void records_init(struct records *r);
void records_free(struct records *r);
/* -1 when the format has no such name. */
int record_format_parse(const char *name, enum record_format *ret);

/* The record of one key; DNS is not asked. */
void records_add_key(struct records *r, const struct dkim_key *key);

/* All records of the host and of `domains`, their keys loaded, held against what DNS has.  `users` (may be NULL)
 * tells where DMARC reports go when a domain has no such record yet.  -1: a key cannot be read, or out of memory. */
int records_collect(struct records *r, const struct config *c, const struct config_domain *const *domains, size_t n,
                    const struct users *users, const struct lookup *dns, struct err *err);
/* The first of the domain's users that has an address in it, or else postmaster@DOMAIN; `users` may be NULL. */
void records_report_address(const struct users *users, const char *domain, struct strbuf *out);
/* Those that the world sees mail come from: delivery.public, or else delivery.bind. */
size_t records_addresses(const struct config *c, const char *const **ret);

/* `@`, `_dmarc`: the record's name in the form of a DNS host. */
struct slice record_relative_name(const struct record *record);
const char *record_status_name(enum record_status status); /* "new", "published" ... for programs */
/* Words, wrapped at 80 columns, each line `indent` blanks in; `first` stands before the first. */
void record_text_print(FILE *out, unsigned indent, const char *first, const char *text);

void records_print(const struct records *r, enum record_format format, FILE *out);
/* A list of {name, type, ttl, value}, without the optional ones; NULL when out of memory. */
json_t *records_json(const struct records *r);
/* The same with group, relative_name, zone, status, found and notes, of all. */
json_t *records_json_full(const struct records *r);
json_t *records_ptr_json(const struct records *r);
/* Writes one JSON document and a line end, and frees it; returns the exit code. */
int cli_print_json(json_t *document);

#endif
