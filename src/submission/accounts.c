/* submission/accounts.c - failed logins, known networks and the hour's messages of each account.
 *
 * Failures of an account are a debt: each adds to it, time pays it off.  While it is at its limit, whoever comes from a
 * network that never logged in there is put off, with the right password too; the owner's usual networks go free, and
 * their own mistakes do not count.  A name that is no user is treated alike, so that the replies do not tell. */
#include "accounts.h"
#include "internal.h"

#include <arpa/inet.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---------------------------------------------------------------------------------------------- */

void accounts_init(struct accounts *a)
{
    TAILQ_INIT(&a->users);
    TAILQ_INIT(&a->strangers);
}

static void account_free(void *p)
{
    struct account *account = p;
    for (size_t i = 0; i < account->n_uses; i++)
        free(account->uses[i].label);
    free(account->uses);
    free(account->networks);
    free(account->name);
    free(account);
}

void accounts_free(struct accounts *a)
{
    tdestroy(a->by_name, account_free);
    a->by_name = NULL;
}

static int compare(const void *a, const void *b)
{
    return strcasecmp(((const struct account *)a)->name, ((const struct account *)b)->name);
}

static void list_add(struct accounts *a, struct account *account)
{
    if (account->is_user) {
        TAILQ_INSERT_TAIL(&a->users, account, all);
    } else {
        TAILQ_INSERT_TAIL(&a->strangers, account, all);
        a->n_strangers++;
    }
}

static void list_remove(struct accounts *a, struct account *account)
{
    if (account->is_user) {
        TAILQ_REMOVE(&a->users, account, all);
    } else {
        TAILQ_REMOVE(&a->strangers, account, all);
        a->n_strangers--;
    }
}

static void drop(struct accounts *a, struct account *account)
{
    list_remove(a, account);
    tdelete(account, &a->by_name, compare);
    account_free(account);
}

struct account *accounts_find(const struct accounts *a, const char *name)
{
    struct account key = {.name = (char *)name};
    void *found = tfind(&key, (void *const *)&a->by_name, compare);
    return found == NULL ? NULL : *(struct account **)found;
}

struct account *accounts_get(struct accounts *a, const char *name, bool is_user)
{
    struct account *account = accounts_find(a, name);
    if (account != NULL) {
        list_remove(a, account);
        account->is_user = is_user;
        list_add(a, account);
        return account;
    }
    if ((account = calloc(1, sizeof(*account))) == NULL)
        return NULL;
    account->is_user = is_user;
    account->name = strdup(name);
    if (account->name == NULL || tsearch(account, &a->by_name, compare) == NULL) {
        account_free(account);
        return NULL;
    }
    list_add(a, account);
    return account;
}

/* ---- passwords ------------------------------------------------------------------------------------------------- */

const struct password_use *account_find_use(const struct account *account, const char *label)
{
    for (size_t i = 0; i < account->n_uses; i++)
        if (strcmp(account->uses[i].label, label) == 0)
            return &account->uses[i];
    return NULL;
}

struct password_use *account_use(struct account *account, const char *label)
{
    struct password_use *use = (struct password_use *)account_find_use(account, label);
    if (use != NULL)
        return use;
    struct password_use *v = reallocarray(account->uses, account->n_uses + 1, sizeof(*v));
    if (v == NULL)
        return NULL;
    account->uses = v;
    use = &v[account->n_uses];
    *use = (struct password_use){.label = strdup(label)};
    if (use->label == NULL)
        return NULL;
    account->n_uses++;
    return use;
}

static void forget_passwords(struct account *account, const struct user *user)
{
    size_t kept = 0;
    for (size_t i = 0; i < account->n_uses; i++) {
        struct password_use *use = &account->uses[i];
        if (use->hour.under_way > 0 || users_find_password(user, use->label) != NULL)
            account->uses[kept++] = *use;
        else
            free(use->label);
    }
    account->n_uses = kept;
}

void submission_users_changed(struct submission_shared *s, const struct users *users)
{
    struct accounts *a = shared_accounts(s);
    struct account *next;
    for (struct account *account = TAILQ_FIRST(&a->users); account != NULL; account = next) {
        const struct user *user = users_find(users, slice_of(account->name));
        next = TAILQ_NEXT(account, all);
        if (user != NULL)
            forget_passwords(account, user);
        else if (account->hour.under_way == 0)
            drop(a, account);
    }
    a->changed = true;
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

int network_key(const char *ip, unsigned char key[16])
{
    char text[INET6_ADDRSTRLEN];
    struct slice without_zone;
    struct in_addr v4;
    struct in6_addr v6;
    slice_cut(slice_of(ip), '%', &without_zone);
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(without_zone));
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(key, &v6, 16);
    } else if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(key, 0, 10);
        key[10] = key[11] = 0xff;
        memcpy(key + 12, &v4, 4);
    } else {
        return -1;
    }
    memcpy(&v6, key, 16);
    size_t kept = IN6_IS_ADDR_V4MAPPED(&v6) ? 15 : 6;
    memset(key + kept, 0, 16 - kept);
    return 0;
}

static struct network *find_network(const struct account *account, const unsigned char key[16])
{
    for (size_t i = 0; i < account->n_networks; i++)
        if (memcmp(account->networks[i].key, key, 16) == 0)
            return &account->networks[i];
    return NULL;
}

static struct network *oldest_network(const struct account *account)
{
    struct network *oldest = &account->networks[0];
    for (size_t i = 1; i < account->n_networks; i++)
        if (account->networks[i].seen_s < oldest->seen_s)
            oldest = &account->networks[i];
    return oldest;
}

/* One that cannot be remembered is one that is not known. */
void account_knows(struct account *account, const unsigned char key[16], int64_t seen_s)
{
    struct network *network = find_network(account, key);
    if (network == NULL && account->n_networks < KNOWN_NETWORKS_MAX) {
        struct network *v = reallocarray(account->networks, account->n_networks + 1, sizeof(*v));
        if (v == NULL)
            return;
        account->networks = v;
        network = &v[account->n_networks++];
    } else if (network == NULL) {
        network = oldest_network(account);
    }
    memcpy(network->key, key, 16);
    network->seen_s = seen_s;
}

static bool is_known_from(const struct account *account, const char *ip)
{
    unsigned char key[16];
    const struct network *network = network_key(ip, key) < 0 ? NULL : find_network(account, key);
    return network != NULL && network->seen_s > clock_wall_ms() / 1000 - KNOWN_NETWORKS_S;
}

/* ---- logins -------------------------------------------------------------------------------------------------------- */

/* The name that counts: the user's, or what the client called itself. */
static const char *account_name(const struct user *user, struct slice login, char buf[SESSION_LOGIN_NAME_MAX + 1])
{
    if (user != NULL)
        return user->name;
    snprintf(buf, SESSION_LOGIN_NAME_MAX + 1, "%.*s", SLICE_ARG(login));
    return buf;
}

/* What one failure adds to the debt: the limit is reached by as many within the window. */
static int64_t failure_ms(const struct config *c)
{
    return c->limits.auth_window_s * 1000 / ((int64_t)c->limits.auth_failures * ACCOUNT_FAILURES);
}

static bool is_locked(const struct account *account, int64_t now_ms, const struct config *c)
{
    return account->paid_off_ms > now_ms + c->limits.auth_window_s * 1000 - failure_ms(c);
}

bool accounts_locked_out(struct submission_shared *s, const struct users *users, struct slice login, const char *ip,
                         int64_t now_ms, const struct config *c)
{
    char name[SESSION_LOGIN_NAME_MAX + 1];
    const struct account *account =
        accounts_find(shared_accounts(s), account_name(users_find(users, login), login, name));
    return c->limits.auth_failures > 0 && account != NULL && is_locked(account, now_ms, c) &&
           !is_known_from(account, ip);
}

static void forget_strangers(struct accounts *a, int64_t now_ms)
{
    struct account *account;
    while ((account = TAILQ_FIRST(&a->strangers)) != NULL &&
           (account->paid_off_ms <= now_ms || a->n_strangers > STRANGERS_MAX))
        drop(a, account);
}

bool accounts_login_failed(struct submission_shared *s, const struct users *users, struct slice login, const char *ip,
                           int64_t now_ms, const struct config *c)
{
    char name[SESSION_LOGIN_NAME_MAX + 1];
    struct accounts *a = shared_accounts(s);
    const struct user *user = users_find(users, login);
    forget_strangers(a, now_ms);
    if (c->limits.auth_failures == 0)
        return false;
    struct account *account = accounts_get(a, account_name(user, login, name), user != NULL);
    if (account == NULL || is_known_from(account, ip))
        return false;
    if (account->paid_off_ms < now_ms)
        account->paid_off_ms = now_ms;
    account->paid_off_ms += failure_ms(c);
    /* Failures that come in spite of the lock (found out behind it, or AUTH for another) do not prolong it. */
    int64_t most_ms = now_ms + c->limits.auth_window_s * 1000;
    if (account->paid_off_ms > most_ms)
        account->paid_off_ms = most_ms;
    bool tell = user != NULL && is_locked(account, now_ms, c) && account->told_until_ms <= now_ms;
    if (tell)
        account->told_until_ms = now_ms + c->limits.auth_window_s * 1000;
    return tell;
}

void accounts_login_ok(struct submission_shared *s, const struct user *user, const struct user_password *password,
                       const char *ip)
{
    struct accounts *a = shared_accounts(s);
    struct account *account = accounts_get(a, user->name, true);
    struct password_use *use = account == NULL ? NULL : account_use(account, password->label);
    unsigned char key[16];
    int64_t now_s = clock_wall_ms() / 1000;
    if (use == NULL)
        return;
    use->time_s = now_s;
    snprintf(use->address, sizeof(use->address), "%s", ip);
    if (network_key(ip, key) == 0)
        account_knows(account, key, now_s);
    a->changed = true;
}

/* ---- messages in an hour --------------------------------------------------------------------------------------------- */

void hour_advance(struct hour *h, int64_t minute)
{
    if (minute - h->minute >= HOUR_MINUTES)
        memset(h->accepted, 0, sizeof(h->accepted));
    else
        while (h->minute < minute)
            h->accepted[++h->minute % HOUR_MINUTES] = 0;
    h->minute = minute;
}

/* Is there room for one more beside those that are under way?  0 = no limit. */
static bool has_room(struct hour *h, int64_t minute, unsigned limit)
{
    unsigned sum = h->under_way;
    hour_advance(h, minute);
    for (size_t i = 0; i < HOUR_MINUTES; i++)
        sum += h->accepted[i];
    return limit == 0 || sum < limit;
}

int limits_message_begin(struct submission_shared *s, const struct user *user, const struct user_password *password,
                         int64_t now_ms, const struct config *c, struct smtp_verdict *v)
{
    int64_t minute = now_ms / (60 * 1000);
    struct account *account = accounts_get(shared_accounts(s), user->name, true);
    struct password_use *use = account == NULL ? NULL : account_use(account, password->label);
    if (use == NULL)
        return smtp_verdict_set(v, 452, "4.3.1", "Out of memory");
    if (!has_room(&account->hour, minute, c->limits.messages_per_user))
        return smtp_verdict_set(v, 450, "4.7.1", "Too many messages in this hour, try again later");
    if (!has_room(&use->hour, minute, password->messages_per_hour))
        return smtp_verdict_set(v, 450, "4.7.1", "Too many messages in this hour with this password, try again later");
    account->hour.under_way++;
    use->hour.under_way++;
    return 0;
}

static void end_one(struct hour *h, int64_t minute, bool accepted)
{
    hour_advance(h, minute);
    if (h->under_way > 0)
        h->under_way--;
    if (accepted)
        h->accepted[minute % HOUR_MINUTES]++;
}

void limits_message_end(struct submission_shared *s, const struct user *user, const struct user_password *password,
                        int64_t now_ms, bool accepted)
{
    struct account *account = accounts_find(shared_accounts(s), user->name);
    struct password_use *use = account == NULL ? NULL : account_use(account, password->label);
    if (use == NULL)
        return;
    end_one(&account->hour, now_ms / (60 * 1000), accepted);
    end_one(&use->hour, now_ms / (60 * 1000), accepted);
    if (accepted)
        shared_accounts(s)->changed = true;
}
