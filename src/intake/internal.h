/* src/intake/internal.h - the steps that intake.c strings together. */
#ifndef SENDAS_INTAKE_INTERNAL_H
#define SENDAS_INTAKE_INTERNAL_H

#include "sendas/intake.h"
#include "sendas/message.h"

/* ---- content.c: octets in, header and hashed body out ---------------------------------------- */

struct intake_content {
    struct strbuf header; /* whole lines; the empty line behind them is cut off */
    struct spool *body;
    struct dkim_body_hash *hash;
    unsigned char body_hash[DKIM_HASH_SIZE]; /* valid after intake_content_end */
    uint64_t size, size_max;
    const char *spool_dir;       /* borrowed */
    bool any_line;               /* set after intake_content_init: lines may have any length */
    size_t line;                 /* octets of the line under way */
    bool body_long;              /* a line of the body is longer than MESSAGE_LINE_MAX */
    bool cr;                     /* a CR waits for its LF */
    bool in_body;                /* the empty line was seen */
    bool eightbit, body_8bit;    /* an octet above 0x7f was seen, in the body */
    struct smtp_verdict failure; /* the first one; .code 0 = none */
    struct err cause;            /* of a failure on our side */
};

/* `spool_dir`: where a body that is too large for memory goes; it outlives the content.  -1 when out of memory; free it
 * all the same. */
int intake_content_init(struct intake_content *c, const char *spool_dir, uint64_t size_max);
/* Any chunking; after the first failure everything is dropped. */
void intake_content_add(struct intake_content *c, struct slice bytes);
/* No more octets: the body hash is ready.  -1 when there is a failure. */
int intake_content_end(struct intake_content *c);
void intake_content_free(struct intake_content *c);

/* ---- normal.c -------------------------------------------------------------------------------- */

/* After intake_content_end: where the content holds what a later hop would change, it is replaced by its normal form.
 * `changes` gets what was done.  0, or -1 and the refusal; *cause has the reason of a failure on our side. */
int intake_normalise(struct arena *a, struct intake_content *c, bool smtputf8, struct strbuf *changes,
                     struct smtp_verdict *v, struct err *cause);

/* ---- received.c ------------------------------------------------------------------------------ */

struct intake_trace {
    const char *hostname; /* ours */
    const char *id;       /* queue id */
    bool hide_client;
    bool authenticated; /* false: a message of our own, that no client sent */
    bool extended, smtputf8;
    struct slice client_ip, helo, tls;
};

/* Appends one Received field, CRLF included. */
void intake_received(struct strbuf *out, const struct intake_trace *t, time_t now);

/* ---- fixup.c --------------------------------------------------------------------------------- */

struct intake_fixup {
    const struct config *config; /* our hostname and our domains */
    struct slice received;       /* the field to put on top; may be empty */
    time_t now;
};

/* Writes the header as it will leave to `out` and parses it into the arena: `ret` borrows from `out`.  `changes` gets
 * what was done, for a person ("Date added, Bcc removed"), or nothing.  0, or -1 and the refusal. */
int intake_fixup(struct arena *a, const struct intake_fixup *req, struct slice header, struct strbuf *out,
                 struct field_list *ret, struct strbuf *changes, struct smtp_verdict *v);

/* ---- settings.c ------------------------------------------------------------------------------ */

/* align_request.return_path_of; `settings` is a struct intake_settings. */
const char *intake_return_path(void *settings, const char *domain);

/* ---- sign.c ---------------------------------------------------------------------------------- */

/* Appends one DKIM-Signature field a key, those of RSA keys first: there are verifiers that know only these, and that
 * look at few signatures.  -1 and the reason when there is no key or any signature fails; then `out` is unchanged. */
int intake_sign(struct dkim_key *const *keys, size_t n_keys, const struct field_list *fields,
                const unsigned char body_hash[DKIM_HASH_SIZE], time_t now, struct strbuf *out, struct err *err);

/* Reads back what will be stored and verifies a signature by each key (dkim_check_own).  `sum` (begun, for as many octets) is
 * of those that were read.  -1 and the reason, counted in intake_signature_failures. */
int intake_check_signatures(struct dkim_key *const *keys, size_t n_keys, struct slice head, const struct spool *body,
                            time_t now, struct queue_sum *sum, struct err *err);
void intake_count_signature_failure(void);

#endif
