/* sendas/align.h - who may send as whom, and the envelope sender that aligns (RFC 9989, 6409 6.1); and what a receiver
 * makes of it: SPF (RFC 7208) and DMARC (RFC 9989).
 *
 * Pure: the header's fields, the user's patterns and the client's MAIL FROM go in; out comes either
 * a refusal, or the signing domain, the reverse-path for the wire and where bounces go.
 * SPF and DMARC ask DNS through the struct lookup they are given. */
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

/* ---- SPF (RFC 7208) ------------------------------------------------------------------------------- */

enum spf_result { SPF_NONE = 0, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };

/* "none", "softfail" ... as in Authentication-Results (RFC 8601 2.7.2). */
const char *spf_result_name(enum spf_result r);

struct spf_request {
    struct slice ip;       /* the client's address in text form, IPv4 or IPv6 */
    struct slice sender;   /* MAIL FROM without angle brackets; empty: the null sender, then HELO's name is checked */
    struct slice helo;     /* may be empty */
    struct slice receiver; /* our host name, for %{r} of an explanation; may be empty */
    int64_t now;           /* seconds since the epoch, for %{t} of an explanation */
};

struct spf_verdict {
    enum spf_result result;
    bool of_helo;              /* HELO's name was checked (RFC 7208 2.4): smtp.helo, otherwise smtp.mailfrom */
    struct slice domain;       /* what was checked: a name in lower case, A-labels; empty: it was no name */
    struct slice mechanism;    /* what matched, as the record has it ("-all", "ip4:192.0.2.0/24"); empty: nothing did */
    struct slice mechanism_of; /* the domain whose record it stands in; empty: nothing matched */
    struct slice explanation;  /* a domain's own words on SPF_FAIL (RFC 7208 6.2); printable ASCII; empty: none */
    struct slice why;          /* one plain sentence without a final dot; printable ASCII; never empty */
};

/* check_host() of RFC 7208 4.  Slices of *ret live in the arena.  At most 11 TXT queries, and 10 terms of 10 address
 * queries each.  When memory ends the result is SPF_TEMPERROR. */
void spf_check(struct arena *a, const struct lookup *dns, const struct spf_request *req, struct spf_verdict *ret);

/* ---- SPF: the one record that a domain should publish ------------------------------------------------------------ */

enum spf_note_kind {
    SPF_NOTE_SEVERAL = 0, /* more than one record is published: none counts */
    SPF_NOTE_NO_RECORD,   /* a text that is meant as a record, but does not begin as one */
    SPF_NOTE_INVALID,     /* a term that is not valid was left out: with it nothing passes */
    SPF_NOTE_DUPLICATE,   /* a term that stands there twice was left out once */
    SPF_NOTE_BEHIND_ALL,  /* a term that no receiver looks at was left out */
    SPF_NOTE_REDIRECT,    /* redirect= beside "all", or in one of several records */
    SPF_NOTE_MODIFIER,    /* an unknown modifier: without effect, and perhaps a slip */
    SPF_NOTE_PLUS_ALL,    /* everyone may send */
    SPF_NOTE_NEUTRAL,     /* "?all", or neither "all" nor redirect= */
    SPF_NOTE_PTR,
    SPF_NOTE_IN_FRONT,    /* why this host's addresses stand in front */
    SPF_NOTE_INCLUDE,     /* an included record that is missing or broken */
    SPF_NOTE_LOOKUPS,     /* more than 10 */
    SPF_NOTE_VOIDS,       /* more than 2 */
    SPF_NOTE_LONG,        /* more octets than RFC 7208 3.4 would have */
    SPF_NOTE_UNKNOWN      /* DNS gave no answer for a part of it */
};

struct spf_note {
    enum spf_note_kind kind;
    bool serious;      /* mail is lost or anybody's passes if it stays so: for people to act upon */
    struct slice text; /* a sentence or two without the final dot; printable ASCII */
};

struct spf_merge_request {
    struct slice domain;           /* whose record it is: A-labels, no final dot */
    const struct slice *published; /* the TXT records of the domain, of which others than SPF do not matter */
    size_t n_published;
    const struct slice *ips; /* that mail leaves from, in text form */
    size_t n_ips;
    struct slice hostname; /* without any address the record names this instead: "a:HOSTNAME" */
};

enum spf_merge_change { SPF_MERGE_NEW = 0, SPF_MERGE_KEEP, SPF_MERGE_REPLACE };

struct spf_merge_result {
    enum spf_merge_change change; /* none is published; just this one is; another, or several, to be replaced by it */
    struct slice record;          /* printable ASCII */
    unsigned lookups, voids;      /* of it, all that it includes counted in (RFC 7208 4.6.4) */
    const struct spf_note *notes;
    size_t n_notes;
};

/* One record that keeps what is published (its mechanisms in their order, its "all" or redirect=) and lets mail leave
 * from `ips`: those that a check of what is published does not let pass by their address are added, before "all" or
 * redirect=, or in front of all where something there decides before.  Asks DNS for what the record refers to, at most
 * SPF_MERGE_QUERIES_MAX times for the count.  *ret lives in the arena.  -1: an address is none, or out of memory. */
enum { SPF_MERGE_QUERIES_MAX = 100 };
int spf_merge(struct arena *a, const struct lookup *dns, const struct spf_merge_request *req,
              struct spf_merge_result *ret, struct err *err);

/* ---- DMARC (RFC 9989) ------------------------------------------------------------------------------ */

enum dmarc_result { DMARC_NONE = 0, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };
enum dmarc_policy { DMARC_POLICY_NONE = 0, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };

/* "none", "pass" ... as in Authentication-Results; "none", "quarantine", "reject". */
const char *dmarc_result_name(enum dmarc_result r);
const char *dmarc_policy_name(enum dmarc_policy p);

struct dmarc_request {
    const struct slice *from;           /* the domain of every address in From:, in any form; n_from may be 0 */
    size_t n_from;
    bool from_repeated;                 /* more than one From: field: nobody knows the author (RFC 9989 4.4) */
    const struct spf_verdict *spf;      /* NULL: SPF was not checked */
    const struct slice *dkim;           /* d= of every signature that passed */
    size_t n_dkim;
    const struct slice *dkim_temperror; /* d= of every signature that could not be judged for now */
    size_t n_dkim_temperror;
};

struct dmarc_verdict {
    enum dmarc_result result;
    struct slice from;          /* the Author Domain, A-labels in lower case: header.from; empty: none to judge */
    struct slice org;           /* its Organizational Domain; empty where it did not matter */
    struct slice record_of;     /* the domain whose record applies; empty: none */
    struct slice record;        /* that record, as published */
    const char *policy_tag;     /* "p", "sp" or "np": which one applies; NULL without a record */
    enum dmarc_policy published; /* what this tag says */
    enum dmarc_policy policy;   /* what is to be done: lower by one step than published with t=y (RFC 9989 4.7) */
    bool testing;               /* t=y */
    const char *aligned_by;     /* "dkim" or "spf" on DMARC_PASS, otherwise NULL */
    struct slice aligned;       /* that domain */
    struct slice why;           /* one plain sentence without a final dot; printable ASCII; never empty */
};

/* Finds the policy by the tree walk (RFC 9989 4.10: at most 8 queries a name) and judges.  Slices of *ret live in the
 * arena.  At most DMARC_DKIM_MAX signing domains of each list are compared.  When memory ends the result is
 * DMARC_TEMPERROR. */
enum { DMARC_DKIM_MAX = 16 };
void dmarc_check(struct arena *a, const struct lookup *dns, const struct dmarc_request *req, struct dmarc_verdict *ret);

/* ---- DMARC: what a domain publishes, for its owner ------------------------------------------------------------------ */

enum dmarc_where {
    DMARC_FOUND_NOTHING = 0,
    DMARC_FOUND_OWN,
    DMARC_FOUND_ABOVE,   /* the policy of a domain above it holds */
    DMARC_FOUND_SEVERAL, /* more than one of its own: none counts */
    DMARC_FOUND_BROKEN,  /* a text that is meant as a record, but is none */
    DMARC_FOUND_UNKNOWN  /* DNS gave no answer */
};

struct dmarc_note {
    bool serious;      /* it is without effect, or does harm, as it is */
    struct slice text; /* a sentence or two without the final dot; printable ASCII */
};

struct dmarc_judgement {
    enum dmarc_where found;
    struct slice record, record_of; /* what was found, and where; of several the first valid one */
    bool usable;                    /* receivers follow it, or would if it stood alone */
    enum dmarc_policy policy;       /* that holds for the domain, t=y counted in; of a usable one */
    const struct dmarc_note *notes;
    size_t n_notes;
};

/* Looks for the policy of `domain` (A-labels) and at how it is written: unknown and historic tags (RFC 9989 9.3), a
 * policy without effect, reports that go nowhere (RFC 9990 4).  *ret lives in the arena.  -1: out of memory. */
int dmarc_judge(struct arena *a, const struct lookup *dns, struct slice domain, struct dmarc_judgement *ret,
                struct err *err);

/* The Organizational Domain of `domain` (RFC 9989 4.10.2), A-labels in lower case, into the arena: 0; -1 when it is no
 * domain name, DNS does not answer, or out of memory. */
int dmarc_organizational_domain(struct arena *a, const struct lookup *dns, struct slice domain, struct slice *ret,
                                struct err *err);

#endif
