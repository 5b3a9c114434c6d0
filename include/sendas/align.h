/* sendas/align.h - who may send as whom, and the envelope sender that aligns (RFC 9989, 6409 6.1).
 *
 * Pure: the header's fields, the user's patterns and the client's MAIL FROM go in; out comes either
 * a refusal, or the signing domain, the reverse-path for the wire and where bounces go. */
#ifndef SENDAS_ALIGN_H
#define SENDAS_ALIGN_H

#include "sendas/base.h"
#include "sendas/message.h"
#include "sendas/smtp.h"

struct align_request {
    const struct field_list *fields;
    /* The user's send_as patterns; none (n_send_as == 0) means every address of a domain of ours (the `sign` filter). */
    const char *const *send_as;
    size_t n_send_as;
    bool null_sender;        /* MAIL FROM:<> */
    struct slice mail_from;  /* as the client wrote it, unless null_sender */
    bool smtputf8;           /* without it a non-ASCII address in these fields is refused (553 5.6.7) */
    /* Is `pattern` one that covers local@domain?  users_pattern_matches in the daemon. */
    bool (*pattern_matches)(const char *pattern, struct slice local, struct slice domain);
    /* Is the domain (A-labels) one that we have keys for, and what is its return_path ("" = none)?  NULL: not ours. */
    const char *(*return_path_of)(void *ctx, const char *domain);
    void *ctx;
};

struct align_result {
    char domain[DOMAIN_MAX + 1]; /* the From domain in A-labels: it signs */
    struct slice sender;         /* reverse-path for the wire; empty = null */
    struct slice bounce_to;      /* where our DSNs go; empty = nowhere */
    bool rewritten;              /* `sender` differs from what the client said */
};

/* Checks every address of From:, Sender:, Resent-From: and Resent-Sender: against the user's patterns and settles
 * the envelope sender as contract says:
 *   - the client's MAIL FROM if the user may use it and its domain is that of From:
 *   - the null sender as it is (bounce_to is then empty)
 *   - otherwise the domain's return_path if set, else the (first) From: address.
 * bounce_to is the client's MAIL FROM if the user may use it, else the From: address.
 * 0 and *ret (slices live in the arena); -1 and the refusal in *v: 550 5.7.1 or 5.6.0 with the reason;
 * 451 4.3.0 when out of memory. */
int align_check(struct arena *a, const struct align_request *req, struct align_result *ret, struct smtp_verdict *v);

#endif
