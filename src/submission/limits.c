/* submission/limits.c - what all sessions share: connections and failed logins of each address, messages of each user.
 *
 * Ordered trees (tsearch), so that no choice of addresses makes a look-up slow.  An address stays while it has
 * connections or failures that count; those without connections are bounded, the longest untouched goes first. */
#include "internal.h"

#include <arpa/inet.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    IDLE_ADDRESSES_MAX = 65536, /* with failures, without connections: about 8 MiB */
    IDLE_USERS_MAX = 10000,     /* about 4 MiB */
    MINUTES = 60
};

struct address {
    unsigned char key[16]; /* IPv4 as ::ffff:a.b.c.d; IPv6 its /64 */
    unsigned connections;
    unsigned failures;
    int64_t counts_until;      /* when the failures are forgotten */
    TAILQ_ENTRY(address) idle; /* while it has no connections */
};

struct sender {
    char *name;
    unsigned under_way;         /* transactions that have begun */
    unsigned accepted[MINUTES]; /* in each of the last minutes, at minute % MINUTES */
    int64_t minute;             /* the last one that was looked at */
    TAILQ_ENTRY(sender) idle;   /* while none is under way */
};

TAILQ_HEAD(address_list, address);
TAILQ_HEAD(sender_list, sender);

struct submission_shared {
    void *addresses, *senders; /* trees */
    struct address_list idle_addresses;
    struct sender_list idle_senders;
    size_t n_idle_addresses, n_idle_senders;
    size_t connections;
    struct known_logins *known;
};

struct submission_shared *submission_shared_new(void)
{
    struct submission_shared *s = calloc(1, sizeof(*s));
    if (s != NULL) {
        TAILQ_INIT(&s->idle_addresses);
        TAILQ_INIT(&s->idle_senders);
        s->known = known_logins_new();
    }
    return s;
}

static void sender_free(void *p)
{
    struct sender *sender = p;
    free(sender->name);
    free(sender);
}

void submission_shared_free(struct submission_shared **ps)
{
    struct submission_shared *s = *ps;
    if (s == NULL)
        return;
    *ps = NULL;
    tdestroy(s->addresses, free);
    tdestroy(s->senders, sender_free);
    known_logins_free(&s->known);
    free(s);
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

/* ---- messages of a user --------------------------------------------------------------------------------------- */

static int compare_senders(const void *a, const void *b)
{
    return strcmp(((const struct sender *)a)->name, ((const struct sender *)b)->name);
}

static void drop_sender(struct submission_shared *s, struct sender *sender)
{
    TAILQ_REMOVE(&s->idle_senders, sender, idle);
    s->n_idle_senders--;
    tdelete(sender, &s->senders, compare_senders);
    sender_free(sender);
}

/* Names are those of configured users only; the bound is for a file of users that changes without end. */
static void forget_senders(struct submission_shared *s, int64_t minute)
{
    struct sender *sender;
    while ((sender = TAILQ_FIRST(&s->idle_senders)) != NULL &&
           (sender->minute + MINUTES <= minute || s->n_idle_senders > IDLE_USERS_MAX))
        drop_sender(s, sender);
}

static struct sender *find_sender(struct submission_shared *s, const char *name)
{
    struct sender key = {.name = (char *)name};
    void *found = tfind(&key, &s->senders, compare_senders);
    return found == NULL ? NULL : *(struct sender **)found;
}

/* A new one is idle; NULL when out of memory. */
static struct sender *new_sender(struct submission_shared *s, const char *name, int64_t minute)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    if (sender == NULL)
        return NULL;
    sender->minute = minute;
    sender->name = strdup(name);
    if (sender->name == NULL || tsearch(sender, &s->senders, compare_senders) == NULL) {
        sender_free(sender);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&s->idle_senders, sender, idle);
    s->n_idle_senders++;
    return sender;
}

/* Empties the minutes that have passed since it was last looked at. */
static void advance(struct sender *sender, int64_t minute)
{
    if (minute - sender->minute >= MINUTES)
        memset(sender->accepted, 0, sizeof(sender->accepted));
    else
        while (sender->minute < minute)
            sender->accepted[++sender->minute % MINUTES] = 0;
    sender->minute = minute;
}

static unsigned accepted_in_hour(const struct sender *sender)
{
    unsigned sum = 0;
    for (size_t i = 0; i < MINUTES; i++)
        sum += sender->accepted[i];
    return sum;
}

bool limits_message_begin(struct submission_shared *s, const char *user, int64_t now_ms, const struct config *c)
{
    int64_t minute = now_ms / (60 * 1000);
    forget_senders(s, minute);
    struct sender *sender = find_sender(s, user);
    if (sender == NULL)
        sender = new_sender(s, user, minute);
    if (sender == NULL)
        return false;
    advance(sender, minute);
    unsigned limit = c->limits.messages_per_user;
    if (limit > 0 && accepted_in_hour(sender) + sender->under_way >= limit)
        return false;
    if (sender->under_way++ == 0) {
        TAILQ_REMOVE(&s->idle_senders, sender, idle);
        s->n_idle_senders--;
    }
    return true;
}

void limits_message_end(struct submission_shared *s, const char *user, int64_t now_ms, bool accepted)
{
    struct sender *sender = find_sender(s, user);
    if (sender == NULL || sender->under_way == 0)
        return;
    advance(sender, now_ms / (60 * 1000));
    if (accepted)
        sender->accepted[sender->minute % MINUTES]++;
    if (--sender->under_way == 0) {
        TAILQ_INSERT_TAIL(&s->idle_senders, sender, idle);
        s->n_idle_senders++;
    }
}
