/* sendas/keys.h - which DKIM keys may sign, by what DNS shows of them.
 *
 * A finding is what the servers of a domain say about one key.  The decision which keys of a domain sign is made from the
 * findings, without asking anybody.  What was found is remembered in keys.json beside the queue: a key that waits and was
 * once shown by every server goes on signing after a restart; where the file is lost it waits for DNS again. */
#ifndef SENDAS_KEYS_H
#define SENDAS_KEYS_H

#include "sendas/base.h"
#include "sendas/config.h"
#include "sendas/dkim.h"
#include "sendas/dns.h"

/* ---- a finding ------------------------------------------------------------------------------------- */

enum keys_found {
    KEYS_UNKNOWN = 0, /* not looked yet; DNS fails; or a server is silent, and the others show the right record */
    KEYS_GOOD,        /* every server shows the right record */
    KEYS_MISSING,     /* a server has none */
    KEYS_ANOTHER,     /* a server has that of another key */
    KEYS_REVOKED,     /* ... one with an empty p= */
    KEYS_DOUBLED,     /* ... several records: RFC 6376 3.6.2.2 leaves open what then counts */
    KEYS_TESTING,     /* ... one with t=y */
    KEYS_UNUSABLE     /* ... something that is no key record */
};

struct keys_finding {
    enum keys_found found;
    unsigned servers, showing; /* that could be asked; that show the right record */
    char reason[256];          /* a sentence for a person, unless KEYS_GOOD */
};

/* "good", "missing", ...: as keys.json and the log have it.  -1 when the name is none. */
const char *keys_found_name(enum keys_found f);
int keys_found_parse(const char *name, enum keys_found *ret);
/* Is the record surely useless at some receivers? */
bool keys_found_is_bad(enum keys_found f);

/* What the survey of a key's TXT record says. */
void keys_judge(const struct dkim_key *key, const struct dns_survey *survey, struct keys_finding *ret);
/* What to do about it, a sentence; "" for KEYS_GOOD. */
void keys_advice(const struct dkim_key *key, enum keys_found found, struct strbuf *out);
/* SELECTOR._domainkey.DOMAIN */
void keys_record_name(char out[DOMAIN_MAX + 1], const char *selector, const char *domain);

/* ---- the decision ------------------------------------------------------------------------------------ */

struct keys_fact {
    enum config_key_state state;
    bool rsa;
    bool published; /* every server has shown the right record at some time */
    enum keys_found found;
};

/* signs[i]: may key i of a domain sign?  Active keys do, and waiting ones that were published.  One whose record is bad stops
 * while a good one remains that serves as well (an RSA key's place is taken by RSA keys only: not every receiver knows
 * Ed25519).  With no good key left all go on: DNS may be what is wrong. */
void keys_decide(const struct keys_fact *v, size_t n, bool *signs);

enum { KEYS_DAY_S = 24 * 60 * 60, KEYS_KEPT_DAYS = 7 };
/* Seconds until the next look, after `looks` looks since the start or a reload (at least 1). */
int64_t keys_next_look_s(const struct keys_fact *f, unsigned looks);
/* A retired key's record must be seen until this day (since 1970); false when nobody wrote down when it was retired. */
bool keys_kept_until(const struct config_key *k, int64_t *ret_day);
/* Is the record of this key to be published on `today`?  Not that of a key that was retired more than 7 days ago. */
bool keys_record_wanted(const struct config_key *k, int64_t today);
/* "2026-11-21" */
void keys_day_text(char out[16], int64_t day);

/* ---- keys.json ------------------------------------------------------------------------------------------ */

enum { KEYS_RECORD_HASH_SIZE = 64 };

struct keys_row {
    char domain[DOMAIN_MAX + 1], selector[DOMAIN_MAX + 1];
    char record[KEYS_RECORD_HASH_SIZE]; /* of the public key: another key under the same name is another row */
    int64_t looked_s, published_s;      /* wall time; 0 = never */
    struct keys_finding finding;
};

struct keys_memory {
    struct keys_row *v;
    size_t n, cap;
};

/* keys.json in the directory of `queue_path`. */
void keys_memory_path(const char *queue_path, struct strbuf *out);
/* A file that is not there is an empty memory.  -1 and the reason when it cannot be read or is damaged; *ret is empty then. */
int keys_memory_load(const char *path, struct keys_memory *ret, struct err *err);
/* The file's text. */
int keys_memory_text(const struct keys_memory *m, struct strbuf *out);
void keys_memory_free(struct keys_memory *m);
/* The row of this very key; NULL when there is none. */
struct keys_row *keys_memory_find(const struct keys_memory *m, const struct dkim_key *key);
/* The same, made where it is not there; NULL when out of memory.  Other rows may move. */
struct keys_row *keys_memory_get(struct keys_memory *m, const struct dkim_key *key);

#endif
