/* submission/logins.c - logins.json: what outlives a restart of what is remembered of the users.
 *
 *   {"version": 1, "users": {"me@example.com": {
 *       "networks": {"192.0.2.0/24": 1763719200},       known from there; seconds since the epoch
 *       "sent": {"29395320": 2},                        messages in each minute of the last hour
 *       "passwords": {"gmail": {"used": 1763719200, "address": "192.0.2.7", "sent": {"29395320": 2}}}}}}
 *
 * The file is ours; still nothing of it is believed that does not look right, and nobody gets in by it. */
#include "accounts.h"
#include "internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { LOGINS_VERSION = 1 };

/* Between the minutes of the loop's clock and those of the wall clock, which the file has. */
struct clocks {
    int64_t mono, wall; /* now, in minutes */
};

static struct clocks clocks_of(int64_t mono_ms, int64_t wall_ms)
{
    return (struct clocks){.mono = mono_ms / (60 * 1000), .wall = wall_ms / (60 * 1000)};
}

int submission_logins_path(const struct config *c, struct strbuf *out)
{
    file_beside(c->queue.path, "logins.json", out);
    return out->failed ? -1 : 0;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static const char *network_text(const struct network *network, char out[INET6_ADDRSTRLEN + 4])
{
    struct in6_addr v6;
    char address[INET6_ADDRSTRLEN];
    memcpy(&v6, network->key, 16);
    bool v4 = IN6_IS_ADDR_V4MAPPED(&v6);
    if (inet_ntop(v4 ? AF_INET : AF_INET6, network->key + (v4 ? 12 : 0), address, sizeof(address)) == NULL)
        return "";
    snprintf(out, INET6_ADDRSTRLEN + 4, "%s/%d", address, v4 ? 24 : 48);
    return out;
}

static json_t *networks_json(const struct account *account)
{
    char text[INET6_ADDRSTRLEN + 4];
    json_t *j = json_object();
    for (size_t i = 0; i < account->n_networks; i++)
        if (json_object_set_new(j, network_text(&account->networks[i], text),
                                json_integer(account->networks[i].seen_s)) < 0)
            break;
    return j;
}

static json_t *hour_json(struct hour *h, struct clocks now)
{
    json_t *j = json_object();
    hour_advance(h, now.mono);
    for (int64_t age = 0; age < HOUR_MINUTES; age++) {
        char minute[24];
        unsigned n = h->accepted[(now.mono - age + HOUR_MINUTES) % HOUR_MINUTES];
        snprintf(minute, sizeof(minute), "%" PRId64, now.wall - age);
        if (n > 0 && json_object_set_new(j, minute, json_integer(n)) < 0)
            break;
    }
    return j;
}

static json_t *passwords_json(struct account *account, struct clocks now)
{
    json_t *j = json_object();
    for (size_t i = 0; i < account->n_uses; i++) {
        struct password_use *use = &account->uses[i];
        json_t *one = json_pack("{s:I, s:s, s:o}", "used", (json_int_t)use->time_s, "address", use->address, "sent",
                                hour_json(&use->hour, now));
        if (json_object_set_new(j, use->label, one) < 0)
            break;
    }
    return j;
}

int submission_logins_save(struct submission_shared *s, int64_t mono_ms, int64_t wall_ms, struct strbuf *out)
{
    struct accounts *a = shared_accounts(s);
    struct clocks now = clocks_of(mono_ms, wall_ms);
    struct account *account = TAILQ_FIRST(&a->users);
    json_t *users = json_object();
    for (; account != NULL; account = TAILQ_NEXT(account, all)) {
        json_t *one = json_pack("{s:o, s:o, s:o}", "networks", networks_json(account), "sent",
                                hour_json(&account->hour, now), "passwords", passwords_json(account, now));
        if (json_object_set_new(users, account->name, one) < 0)
            break;
    }
    bool whole = account == NULL;
    json_t *root = json_pack("{s:i, s:o}", "version", LOGINS_VERSION, "users", users);
    char *text = root == NULL || !whole ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (text == NULL)
        return -1;
    strbuf_add_str(out, text);
    strbuf_add_char(out, '\n');
    free(text);
    if (out->failed)
        return -1;
    a->changed = false;
    return 0;
}

bool submission_logins_changed(const struct submission_shared *s)
{
    return shared_accounts((struct submission_shared *)s)->changed;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static void load_networks(struct account *account, json_t *networks)
{
    const char *text;
    json_t *seen;
    json_object_foreach(networks, text, seen)
    {
        char address[INET6_ADDRSTRLEN];
        unsigned char key[16];
        struct slice head;
        slice_cut(slice_of(text), '/', &head);
        snprintf(address, sizeof(address), "%.*s", SLICE_ARG(head));
        if (json_is_integer(seen) && network_key(address, key) == 0)
            account_knows(account, key, json_integer_value(seen));
    }
}

/* What the clock says to be older than an hour, or yet to come, does not count. */
static void load_hour(struct hour *h, json_t *sent, struct clocks now)
{
    const char *text;
    json_t *n;
    hour_advance(h, now.mono);
    json_object_foreach(sent, text, n)
    {
        uint64_t minute;
        if (slice_to_u64(slice_of(text), &minute) < 0 || minute > (uint64_t)now.wall)
            continue;
        int64_t age = now.wall - (int64_t)minute;
        json_int_t count = json_integer_value(n);
        if (age < HOUR_MINUTES && count > 0 && count <= USER_MESSAGES_PER_HOUR_MAX)
            h->accepted[(now.mono - age + HOUR_MINUTES) % HOUR_MINUTES] = (unsigned)count;
    }
}

static int load_passwords(struct account *account, const struct user *user, json_t *passwords, struct clocks now)
{
    const char *label;
    json_t *one;
    json_object_foreach(passwords, label, one)
    {
        const char *address = json_string_value(json_object_get(one, "address"));
        unsigned char key[16];
        if (users_find_password(user, label) == NULL)
            continue;
        struct password_use *use = account_use(account, label);
        if (use == NULL)
            return -1;
        load_hour(&use->hour, json_object_get(one, "sent"), now);
        if (address == NULL || network_key(address, key) < 0)
            continue;
        use->time_s = json_integer_value(json_object_get(one, "used"));
        snprintf(use->address, sizeof(use->address), "%s", address);
    }
    return 0;
}

static int load_users(struct accounts *a, const struct users *users, json_t *list, struct clocks now)
{
    const char *name;
    json_t *one;
    json_object_foreach(list, name, one)
    {
        const struct user *user = users_find(users, slice_of(name));
        struct account *account = user == NULL ? NULL : accounts_get(a, user->name, true);
        if (user == NULL)
            continue;
        if (account == NULL)
            return -1;
        load_networks(account, json_object_get(one, "networks"));
        load_hour(&account->hour, json_object_get(one, "sent"), now);
        if (load_passwords(account, user, json_object_get(one, "passwords"), now) < 0)
            return -1;
    }
    return 0;
}

int submission_logins_load(struct submission_shared *s, const struct users *users, struct slice text, int64_t mono_ms,
                           int64_t wall_ms, struct err *err)
{
    json_error_t why;
    json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return err_set(err, "line %d: %s", why.line, why.text);
    json_t *list = json_object_get(root, "users");
    int rc = 0;
    if (json_integer_value(json_object_get(root, "version")) != LOGINS_VERSION || !json_is_object(list))
        rc = err_set(err, "expected version %d and an object \"users\"", LOGINS_VERSION);
    else if (load_users(shared_accounts(s), users, list, clocks_of(mono_ms, wall_ms)) < 0)
        rc = err_set(err, "out of memory");
    json_decref(root);
    return rc;
}

const char *submission_last_use(const struct submission_shared *s, const char *user, const char *label, int64_t *ret_s)
{
    const struct account *account = accounts_find(shared_accounts((struct submission_shared *)s), user);
    const struct password_use *use = account == NULL ? NULL : account_find_use(account, label);
    if (use == NULL || use->time_s <= 0)
        return NULL;
    *ret_s = use->time_s;
    return use->address;
}
