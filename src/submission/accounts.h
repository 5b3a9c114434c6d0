/* submission/accounts.h - what is remembered of each login name: failures, the networks it is known from, when each of
 * its passwords was last used, and the messages of the last hour.  accounts.c keeps it, logins.c writes it down. */
#ifndef SUBMISSION_ACCOUNTS_H
#define SUBMISSION_ACCOUNTS_H

#include "sendas/submission.h"

#include <netinet/in.h>
#include <sys/queue.h>

enum {
    HOUR_MINUTES = 60,
    KNOWN_NETWORKS_MAX = 32,
    KNOWN_NETWORKS_S = 90 * 24 * 60 * 60, /* forgotten when nobody came from there for so long */
    STRANGERS_MAX = 8192,                 /* names that are no users, with failures: about 4 MiB */
    ACCOUNT_FAILURES = 4                  /* an account takes so many times limits.auth_failures, from all addresses */
};

/* Messages in each of the last minutes, at minute % HOUR_MINUTES; transactions that have begun. */
struct hour {
    unsigned accepted[HOUR_MINUTES];
    unsigned under_way;
    int64_t minute; /* the last one that was looked at; monotonic */
};

/* IPv4 /24 as ::ffff:a.b.c.0, IPv6 /48: mail programs on the move, and Gmail's servers, change within these. */
struct network {
    unsigned char key[16];
    int64_t seen_s; /* wall clock */
};

struct password_use {
    char *label;
    int64_t time_s; /* wall clock; 0 = not yet */
    char address[INET6_ADDRSTRLEN];
    struct hour hour;
};

struct account {
    char *name;
    bool is_user;          /* otherwise a name that somebody tried */
    int64_t paid_off_ms;   /* failures are a debt that time pays off: monotonic time at which none is left */
    int64_t told_until_ms; /* its lock-out was logged */
    struct network *networks;
    size_t n_networks;
    struct password_use *uses;
    size_t n_uses;
    struct hour hour;
    TAILQ_ENTRY(account) all; /* of users, or of strangers */
};

TAILQ_HEAD(account_list, account);

struct accounts {
    void *by_name; /* tree */
    struct account_list users, strangers;
    size_t n_strangers;
    bool changed; /* since it was written down */
};

void accounts_init(struct accounts *a);
void accounts_free(struct accounts *a);
struct accounts *shared_accounts(struct submission_shared *s);
/* The entry, made if there is none; NULL when out of memory. */
struct account *accounts_get(struct accounts *a, const char *name, bool is_user);
struct account *accounts_find(const struct accounts *a, const char *name);
struct password_use *account_use(struct account *account, const char *label);
const struct password_use *account_find_use(const struct account *account, const char *label);
/* The network of a numeric address; -1 when it is none. */
int network_key(const char *ip, unsigned char key[16]);
/* Seen now, or at an earlier time that a file tells.  A network too many displaces the one not seen for longest. */
void account_knows(struct account *account, const unsigned char key[16], int64_t seen_s);
/* Empties the minutes that have passed. */
void hour_advance(struct hour *h, int64_t minute);

#endif
