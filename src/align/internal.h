/* align/internal.h - what the files of SPF and DMARC share. */
#ifndef SENDAS_ALIGN_INTERNAL_H
#define SENDAS_ALIGN_INTERNAL_H

#include "sendas/align.h"

#include <stdarg.h>

enum { DNS_TYPE_A = 1, DNS_TYPE_PTR = 12, DNS_TYPE_MX = 15, DNS_TYPE_TXT = 16, DNS_TYPE_AAAA = 28 };

/* ---- names and texts from outside ------------------------------------------------------------------- */

/* For "%s": what is not printable ASCII becomes '?', what is long is cut. */
enum { SHOWN_MAX = 256 };
struct shown {
    char text[SHOWN_MAX + sizeof "..."];
};
struct shown align_show(struct slice s);

/* A domain name as it stands in an address: lower case, A-labels, without a final dot.  Like domain_to_ascii, but
 * underscores pass: such names are in use.  0; -1 when it is none. */
int align_name(struct slice name, char out[DOMAIN_MAX + 1]);

/* Can DNS be asked for this name?  Labels of 1 to 63 octets, printable ASCII; no backslash, which resolvers take for an
 * escape.  In lower case into `out`. */
bool align_name_query(struct slice name, char out[DOMAIN_MAX + 1]);

/* ---- SPF: one record ---------------------------------------------------------------------------------- */

struct spf_ip {
    bool v6;
    unsigned char octets[16]; /* the first 4 without v6 */
};

int spf_ip_parse(struct slice text, struct spf_ip *ret); /* 0, -1; a v4-mapped address stays v6 */
bool spf_ip_within(const struct spf_ip *ip, const struct spf_ip *network, unsigned bits);

enum spf_mechanism {
    SPF_ALL = 0,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
};

struct spf_term {
    struct slice text; /* as written, with its qualifier */
    enum spf_result qualifier;
    enum spf_mechanism mechanism;
    struct slice target;   /* domain-spec, macros and all; empty: the record's own domain */
    struct spf_ip network; /* ip4, ip6 */
    unsigned bits4, bits6; /* prefix lengths */
};

struct spf_record {
    struct slice text;
    struct spf_term *terms; /* the mechanisms */
    size_t n;
    struct slice redirect, exp; /* domain-spec; .p is NULL without one */
};

/* An SPF record in a TXT record of this text?  RFC 7208 4.5 */
bool spf_record_is(struct slice text);
/* All of the record is checked before any of it is used (RFC 7208 4.6).  0; -1 and the reason; MESSAGE_NO_MEMORY. */
int spf_record_parse(struct arena *a, struct slice text, struct spf_record *ret, struct err *err);

/* One term: a mechanism goes to record->terms[record->n++], a modifier to record->redirect or exp, or nowhere. */
int spf_term_parse(struct slice text, struct spf_record *record, struct err *err);
/* Is there such a mechanism? */
bool spf_mechanism_is(struct slice name);

/* ---- SPF: what a record costs (RFC 7208 4.6.4) --------------------------------------------------------- */

struct spf_cost {
    unsigned lookups;
    unsigned voids[2];   /* for clients with IPv4, IPv6 */
    struct slice broken; /* the first include or redirect without a valid record; empty: none */
    struct err why;      /* what is wrong with it */
    bool unknown;        /* DNS gave no answer for unanswered, or there were too many questions */
    struct slice unanswered;
    unsigned queries;
};

struct spf_run;
/* Adds what one term costs whether it matches or not, the records that it includes counted in. */
void spf_cost_term(struct spf_run *run, struct slice domain, const struct spf_term *term, struct spf_cost *cost);
/* The same for a redirect's target. */
void spf_cost_redirect(struct spf_run *run, struct slice domain, struct slice target, struct spf_cost *cost);

/* ---- SPF: one check ----------------------------------------------------------------------------------- */

enum { SPF_TERMS_MAX = 10, SPF_VOID_MAX = 2, SPF_NAMES_MAX = 10 }; /* RFC 7208 4.6.4 */

struct spf_run {
    struct arena *arena;
    const struct lookup *dns;
    const struct spf_request *req;
    struct slice domain; /* that was checked first */
    struct spf_ip ip;    /* v4 where it is a v4-mapped one: RFC 7208 5 */
    struct slice local, sender_domain, helo;
    unsigned terms; /* that ask DNS, so far */
    unsigned voids; /* of them, without an answer */
    bool names_known;
    bool names_void;     /* there is no PTR record */
    struct slice *names; /* validated names of `ip` (RFC 7208 5.5) */
    size_t n_names;
    bool no_memory;
    struct err why;
};

/* False when DNS cannot have such a name: *ret then says that it does not exist. */
bool spf_ask(struct spf_run *run, struct slice name, unsigned type, struct lookup_answer *ret);
/* Fills run->names, once. */
void spf_names_find(struct spf_run *run);
/* Does one of the addresses in `answer` match within `bits`? */
bool spf_ip_in_answer(const struct spf_run *run, const struct lookup_answer *answer, unsigned bits);

/* What matched: in which record, and through which mechanism of an included one. */
struct spf_match {
    struct slice domain;
    const struct spf_record *record;
    const struct spf_term *term;
    struct slice inner, inner_of;
};

/* check_host() for one domain, redirects included (RFC 7208 4).  What is no match is explained in run->why. */
enum spf_result spf_check_host(struct spf_run *run, struct slice domain, struct spf_match *ret);

enum spf_outcome { SPF_NO_MATCH = 0, SPF_MATCH, SPF_STOP_TEMPERROR, SPF_STOP_PERMERROR };
/* `inner` is filled by an include that matches. */
enum spf_outcome spf_term_evaluate(struct spf_run *run, struct slice domain, const struct spf_term *term,
                                   struct spf_match *inner);
/* One more term that asks DNS, for the name that `spec` says: the target-name (RFC 7208 4.8), empty when there is none.
 * False when that is one term too many. */
bool spf_term_target(struct spf_run *run, struct slice domain, struct slice spec, struct slice *ret);

/* ---- SPF: macros (RFC 7208 7) ------------------------------------------------------------------------------ */

enum spf_macro_use { SPF_MACRO_STRING = 0, SPF_MACRO_DOMAIN, SPF_MACRO_EXPLANATION };

bool spf_macro_check(struct slice text, enum spf_macro_use use);
/* `text` has been checked.  False when a part cannot stand in the result, or memory ends (run->no_memory). */
bool spf_macro_expand(struct spf_run *run, struct slice domain, struct slice text, struct strbuf *out);
/* As a name for DNS: without its final dot, without labels on the left above 253 octets; empty when there is none. */
struct slice spf_macro_expand_name(struct spf_run *run, struct slice domain, struct slice spec);

/* ---- DMARC: one record (RFC 9989 4.7) -------------------------------------------------------------------------- */

enum dmarc_psd { DMARC_PSD_U = 0, DMARC_PSD_Y, DMARC_PSD_N };

struct dmarc_record {
    struct slice text;
    enum dmarc_psd psd;
    bool has_p, has_sp, has_np;
    enum dmarc_policy p, sp, np;
    bool bad_policy; /* p is missing or not valid, or sp or np is not valid: RFC 9989 4.10.1 */
    bool has_rua;    /* with at least one address that is a URI */
    bool strict_dkim, strict_spf, testing;
};

/* Cuts the first tag off; false when there is none left.  What is no "name=value" has an empty name. */
bool dmarc_tag_next(struct slice *text, struct slice *name, struct slice *value);
/* Does this TXT record's text begin with the DMARC version?  RFC 9989 4.7 */
bool dmarc_record_is(struct slice text);
/* Of such a text; there is no failure, only defaults (RFC 9989 4.8). */
void dmarc_record_parse(struct slice text, struct dmarc_record *ret);

/* ---- DMARC: the tree walk (RFC 9989 4.10) ------------------------------------------------------------------------ */

enum { DMARC_QUERIES_MAX = 8 };

struct dmarc_found {
    struct slice domain;
    struct dmarc_record record;
};

/* A note's sentence, in the arena; its p is NULL when out of memory. */
struct slice align_text(struct arena *a, const char *format, va_list args) PRINTF_LIKE(2, 0);

struct dmarc_walk {
    struct slice domain;                         /* where it started: a name by align_name */
    struct dmarc_found found[DMARC_QUERIES_MAX]; /* from the longest name to the shortest */
    size_t n;
    struct slice ambiguous; /* the first name with several records, none of which counts; empty: none */
    bool finished;
    bool failed; /* DNS did not answer for failed_at */
    struct slice failed_at;
};

/* Asks for the domain's own record; then for those above it, unless DNS fails before. */
void dmarc_walk_begin(struct dmarc_walk *w, struct arena *a, const struct lookup *dns, struct slice domain);
void dmarc_walk_finish(struct dmarc_walk *w, struct arena *a, const struct lookup *dns);
/* Of a finished walk that did not fail: the Organizational Domain (RFC 9989 4.10.2) and the record that applies to the
 * domain (4.10.1; NULL: there is none). */
struct slice dmarc_walk_organization(const struct dmarc_walk *w);
const struct dmarc_found *dmarc_walk_policy(const struct dmarc_walk *w);

#endif
