/* submission/limits.c - what all sessions share: connections and failed logins of each address (accounts.c: of each
 * account).
 *
 * Ordered trees (tsearch), so that no choice of addresses makes a look-up slow.  An address stays while it has
 * connections or failures that count; those without connections are bounded, the longest untouched goes first. */
#include "accounts.h"
#include "internal.h"

#include <arpa/inet.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    IDLE_ADDRESSES_MAX = 65536 /* with failures, without connections: about 8 MiB */
};

struct address {
    unsigned char key[16]; /* IPv4 as ::ffff:a.b.c.d; IPv6 its /64 */
    unsigned connections;
    unsigned failures;
    int64_t counts_until;      /* when the failures are forgotten */
    TAILQ_ENTRY(address) idle; /* while it has no connections */
};

TAILQ_HEAD(address_list, address);

struct submission_shared {
    void *addresses; /* tree */
    struct address_list idle_addresses;
    size_t n_idle_addresses;
    size_t connections;
    struct known_logins *known;
    struct submission_counts counts;
    struct accounts accounts;
};

struct submission_shared *submission_shared_new(void)
{
    struct submission_shared *s = calloc(1, sizeof(*s));
    if (s != NULL) {
        TAILQ_INIT(&s->idle_addresses);
        s->known = known_logins_new();
        accounts_init(&s->accounts);
    }
    return s;
}

void submission_shared_free(struct submission_shared **ps)
{
    struct submission_shared *s = *ps;
    if (s == NULL)
        return;
    *ps = NULL;
    tdestroy(s->addresses, free);
    known_logins_free(&s->known);
    accounts_free(&s->accounts);
    free(s);
}

struct accounts *shared_accounts(struct submission_shared *s)
{
    return &s->accounts;
}

/* ---- logins ------------------------------------------------------------------------------------------------ */

const struct user_password *limits_known_login(struct submission_shared *s, const struct users *users,
                                               struct slice login, struct slice password, int64_t now_ms)
{
    return known_logins_find(s->known, users, login, password, now_ms);
}

void submission_login_verified(struct submission_shared *s, const struct users *users, struct slice login,
                               struct slice password, const struct user_password *match, int64_t now_ms)
{
    known_logins_add(s->known, users, login, password, match, now_ms);
}

/* ---- addresses -------------------------------------------------------------------------------------------- */

static int compare_addresses(const void *a, const void *b)
{
    return memcmp(((const struct address *)a)->key, ((const struct address *)b)->key, 16);
}

/* A user's network has 2^64 IPv6 addresses: they count as one.  What is no address at all is one more. */
static void set_key(struct address *a, const char *ip)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    struct slice without_zone;
    memset(a->key, 0, sizeof(a->key));
    slice_cut(slice_of(ip), '%', &without_zone);
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(without_zone));
    if (inet_pton(AF_INET, text, &v4) == 1) {
        a->key[10] = a->key[11] = 0xff;
        memcpy(a->key + 12, &v4, 4);
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(a->key, &v6, IN6_IS_ADDR_V4MAPPED(&v6) ? 16 : 8);
    }
}

static void drop_address(struct submission_shared *s, struct address *a)
{
    TAILQ_REMOVE(&s->idle_addresses, a, idle);
    s->n_idle_addresses--;
    tdelete(a, &s->addresses, compare_addresses);
    free(a);
}

static void forget_addresses(struct submission_shared *s, int64_t now_ms)
{
    struct address *a;
    while ((a = TAILQ_FIRST(&s->idle_addresses)) != NULL &&
           (a->failures == 0 || a->counts_until <= now_ms || s->n_idle_addresses > IDLE_ADDRESSES_MAX))
        drop_address(s, a);
}

/* The address's entry, made if there is none (it is idle then); NULL when out of memory. */
static struct address *get_address(struct submission_shared *s, const char *ip, int64_t now_ms)
{
    struct address key;
    forget_addresses(s, now_ms);
    set_key(&key, ip);
    void *found = tfind(&key, &s->addresses, compare_addresses);
    if (found != NULL) {
        struct address *a = *(struct address **)found;
        if (a->counts_until <= now_ms)
            a->failures = 0;
        return a;
    }
    struct address *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    memcpy(a->key, key.key, sizeof(a->key));
    if (tsearch(a, &s->addresses, compare_addresses) == NULL) {
        free(a);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&s->idle_addresses, a, idle);
    s->n_idle_addresses++;
    return a;
}

static bool is_locked_out(const struct address *a, const struct config *c)
{
    return c->limits.auth_failures > 0 && a->failures >= c->limits.auth_failures;
}

bool limits_locked_out(struct submission_shared *s, const char *ip, int64_t now_ms, const struct config *c)
{
    struct address *a = get_address(s, ip, now_ms);
    return a != NULL && is_locked_out(a, c);
}

/* A window begins with its first failure; the failure that fills it begins it anew. */
bool limits_login_failed(struct submission_shared *s, const char *ip, int64_t now_ms, const struct config *c)
{
    struct address *a = get_address(s, ip, now_ms);
    if (a == NULL)
        return false;
    if (a->failures++ == 0 || is_locked_out(a, c))
        a->counts_until = now_ms + c->limits.auth_window_s * 1000;
    return is_locked_out(a, c);
}

int submission_address_admitted(struct submission_shared *s, const struct config *c, const char *ip, int64_t now_ms,
                                struct smtp_verdict *v)
{
    if (limits_locked_out(s, ip, now_ms, c))
        return smtp_verdict_set(v, 421, "4.7.0", "Too many failed logins from your address, try again later");
    return 0;
}

int submission_connection_opened(struct submission_shared *s, const struct config *c, const char *ip, int64_t now_ms,
                                 struct smtp_verdict *v)
{
    struct address *a = get_address(s, ip, now_ms);
    if (a == NULL)
        return smtp_verdict_set(v, 421, "4.3.0", "Out of memory");
    if (s->connections >= c->limits.connections)
        return smtp_verdict_set(v, 421, "4.7.0", "Too many connections, try again later");
    if (a->connections >= c->limits.connections_per_ip)
        return smtp_verdict_set(v, 421, "4.7.0", "Too many connections from your address");
    if (a->connections++ == 0) {
        TAILQ_REMOVE(&s->idle_addresses, a, idle);
        s->n_idle_addresses--;
    }
    s->connections++;
    return 0;
}

void submission_connection_closed(struct submission_shared *s, const char *ip)
{
    struct address key;
    set_key(&key, ip);
    void *found = tfind(&key, &s->addresses, compare_addresses);
    struct address *a = found == NULL ? NULL : *(struct address **)found;
    if (a == NULL || a->connections == 0)
        return;
    s->connections--;
    if (--a->connections > 0)
        return;
    TAILQ_INSERT_TAIL(&s->idle_addresses, a, idle);
    s->n_idle_addresses++;
    if (a->failures == 0)
        drop_address(s, a);
}

size_t submission_connections(const struct submission_shared *s)
{
    return s->connections;
}

/* ---- counts ------------------------------------------------------------------------------------------------ */

const struct submission_counts *submission_counts(const struct submission_shared *s)
{
    return &s->counts;
}

void submission_count_rejected(struct submission_shared *s, int code, const char *enhanced)
{
    unsigned subject = 0;
    if (enhanced[0] != '\0' && enhanced[1] == '.' && enhanced[2] >= '1' && enhanced[2] < '0' + SUBMISSION_SUBJECTS)
        subject = (unsigned)(enhanced[2] - '0');
    s->counts.rejected[code >= 500][subject]++;
}

void limits_count_login(struct submission_shared *s, bool ok)
{
    if (ok)
        s->counts.logins_ok++;
    else
        s->counts.logins_failed++;
}
