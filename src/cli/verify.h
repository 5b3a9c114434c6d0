/* src/cli/verify.h - what the files of `sendas verify` share. */
#ifndef SENDAS_CLI_VERIFY_H
#define SENDAS_CLI_VERIFY_H

#include "internal.h"

#include "sendas/align.h"
#include "sendas/dkim.h"

enum { VERIFY_MEMORY_MAX = 64 * 1024 * 1024 };

/* A message that was read, and what was found. */
struct verify {
    struct arena memory;
    char hostname[DOMAIN_MAX + 1]; /* authserv-id */
    /* read (verify_read.c) */
    struct strbuf header;
    struct spool *body;
    struct field_list fields;
    int64_t received;                         /* when, by the Received field on top; otherwise now */
    struct slice from[MESSAGE_ADDRESSES_MAX]; /* the domains of From: */
    size_t n_from;
    struct err from_error; /* why they could not be read; "" */
    /* found */
    struct dkim_verification dkim;
    bool has_spf;
    struct slice sender;
    struct spf_verdict spf;
    struct dmarc_verdict dmarc; /* with has_spf */
    struct slice aligned;       /* without: the domain of a signature that passes and aligns; empty: none */
};

/* Reads a message with CRLF or LF, as it came or as it was saved. */
int verify_read(struct verify *v, FILE *in, struct err *err);
/* The Authentication-Results field (RFC 8601) on `out`, a sentence for each check on `words`. */
int verify_report(const struct verify *v, FILE *out, FILE *words);

#endif
