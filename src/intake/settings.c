/* A configuration with what was loaded for it. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The keys of config->domains[i] are at index i. */
struct intake_keys {
    size_t n_domains;
    struct domain_keys {
        size_t n;
        struct dkim_key *v[DKIM_KEYS_MAX];
        size_t place[DKIM_KEYS_MAX]; /* of v[i] in config->domains[].keys */
    } domains[];
};

static struct intake_keys *keys_new(const struct config *c)
{
    struct intake_keys *k = calloc(1, sizeof(*k) + c->n_domains * sizeof(k->domains[0]));
    if (k != NULL)
        k->n_domains = c->n_domains;
    return k;
}

static void keys_free(struct intake_keys **pk)
{
    struct intake_keys *k = *pk;
    *pk = NULL;
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n_domains; i++) {
        for (size_t j = 0; j < k->domains[i].n; j++)
            dkim_key_free(&k->domains[i].v[j]);
    }
    free(k);
}

/* Nothing leaves unsigned, and nothing with only a key that nobody can look up. */
static int check_domain(const struct config *c, const struct config_domain *d, struct err *err)
{
    size_t used = 0;
    bool active = false;
    const struct config_key *waiting = NULL;
    for (size_t i = 0; i < d->n_keys; i++) {
        const struct config_key *key = &d->keys[i];
        used += key->state != CONFIG_KEY_RETIRED;
        active = active || key->state == CONFIG_KEY_ACTIVE;
        waiting = key->state == CONFIG_KEY_WAITING ? key : waiting;
        for (size_t j = 0; j < i; j++) {
            if (strcasecmp(d->keys[j].selector, key->selector) == 0)
                return err_set(err, "%s:%u: domain %s lists selector %s twice", c->path, key->line, d->name,
                               key->selector);
        }
    }
    if (used == 0)
        return err_set(err,
                       "%s:%u: domain %s has no DKIM key%s: make one with `sendas key new %s` and list it under dkim:",
                       c->path, d->line, d->name, d->n_keys > 0 ? " but retired ones" : "", d->name);
    if (!active && waiting != NULL)
        return err_set(
            err,
            "%s:%u: domain %s: selector %s is waiting for DNS, and no active key signs until then: publish its "
            "record, then write state: active",
            c->path, waiting->line, d->name, waiting->selector);
    if (used > DKIM_KEYS_MAX)
        return err_set(err, "%s:%u: domain %s has %zu DKIM keys: at most %d sign", c->path, d->line, d->name, used,
                       DKIM_KEYS_MAX);
    return 0;
}

static int load_domain(const struct config *c, const struct config_domain *d, struct domain_keys *keys, struct err *err)
{
    struct err why;
    if (check_domain(c, d, err) < 0)
        return -1;
    for (size_t i = 0; i < d->n_keys; i++) {
        const struct config_key *key = &d->keys[i];
        if (key->state == CONFIG_KEY_RETIRED)
            continue;
        if (dkim_key_load(key->path, d->name, key->selector, &keys->v[keys->n], &why) < 0)
            return err_set(err, "%s:%u: domain %s, selector %s: %s", c->path, key->line, d->name, key->selector,
                           why.text);
        keys->place[keys->n++] = i;
    }
    return 0;
}

static int keys_load(const struct config *c, struct intake_keys **ret, struct err *err)
{
    struct intake_keys *k = keys_new(c);
    if (k == NULL) {
        err_set(err, "out of memory");
        return -1;
    }
    for (size_t i = 0; i < c->n_domains; i++) {
        if (load_domain(c, &c->domains[i], &k->domains[i], err) < 0) {
            keys_free(&k);
            return -1;
        }
    }
    *ret = k;
    return 0;
}

static bool is_active(void *ctx, const struct config_domain *d, const struct config_key *k, const struct dkim_key *key)
{
    (void)ctx, (void)d, (void)key;
    return k->state == CONFIG_KEY_ACTIVE;
}

/* The keys are borrowed: free() is all that the result needs. */
static struct intake_keys *keys_choose(const struct config *c, const struct intake_keys *from,
                                       bool (*signs)(void *ctx, const struct config_domain *d,
                                                     const struct config_key *k, const struct dkim_key *key),
                                       void *ctx)
{
    struct intake_keys *chosen = keys_new(c);
    for (size_t i = 0; chosen != NULL && i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];
        const struct domain_keys *all = &from->domains[i];
        struct domain_keys *to = &chosen->domains[i];
        for (size_t j = 0; j < all->n; j++) {
            if (signs(ctx, d, &d->keys[all->place[j]], all->v[j]))
                to->v[to->n++] = all->v[j];
        }
        bool none = to->n == 0;
        for (size_t j = 0; none && j < all->n; j++) {
            if (is_active(NULL, d, &d->keys[all->place[j]], all->v[j]))
                to->v[to->n++] = all->v[j];
        }
    }
    return chosen;
}

struct intake_settings *intake_settings_choose(struct intake_settings *s,
                                               bool (*signs)(void *ctx, const struct config_domain *d,
                                                             const struct config_key *k, const struct dkim_key *key),
                                               void *ctx)
{
    struct intake_settings *origin = s->origin == NULL ? s : s->origin;
    struct intake_settings *fresh = calloc(1, sizeof(*fresh));
    struct intake_keys *signing = fresh == NULL ? NULL : keys_choose(s->config, s->keys, signs, ctx);
    if (signing == NULL) {
        free(fresh);
        return NULL;
    }
    *fresh = (struct intake_settings){.config = s->config,
                                      .users = s->users,
                                      .keys = s->keys,
                                      .signing = signing,
                                      .origin = intake_settings_ref(origin),
                                      .references = 1};
    return fresh;
}

int intake_settings_of(struct config **pc, struct intake_settings **ret, struct err *err)
{
    struct intake_settings *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        config_free(pc);
        err_set(err, "out of memory");
        return -1;
    }
    s->references = 1;
    s->config = *pc;
    *pc = NULL;
    if (keys_load(s->config, &s->keys, err) < 0) {
        intake_settings_unref(&s);
        return -1;
    }
    s->signing = keys_choose(s->config, s->keys, is_active, NULL);
    if (s->signing == NULL) {
        intake_settings_unref(&s);
        err_set(err, "out of memory");
        return -1;
    }
    *ret = s;
    return 0;
}

int intake_settings_load(const char *path, struct intake_settings **ret, struct err *err)
{
    struct config *config = NULL;
    struct intake_settings *s = NULL;
    if (config_load(path, &config, err) < 0 || intake_settings_of(&config, &s, err) < 0)
        return -1;
    if (users_load(s->config->users_path, &s->users, err) < 0) {
        intake_settings_unref(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

struct intake_settings *intake_settings_ref(struct intake_settings *s)
{
    s->references++;
    return s;
}

void intake_settings_unref(struct intake_settings **ps)
{
    struct intake_settings *s = *ps;
    *ps = NULL;
    if (s == NULL || --s->references > 0)
        return;
    free(s->signing);
    if (s->origin != NULL) {
        intake_settings_unref(&s->origin);
    } else {
        keys_free(&s->keys);
        users_free(&s->users);
        config_free(&s->config);
    }
    free(s);
}

struct dkim_key *const *intake_settings_keys(const struct intake_settings *s, const char *domain, size_t *n)
{
    const struct config_domain *d = config_find_domain(s->config, slice_of(domain));
    *n = 0;
    if (d == NULL)
        return NULL;
    const struct domain_keys *keys = &s->signing->domains[d - s->config->domains];
    *n = keys->n;
    return keys->v;
}

const struct dkim_key *intake_settings_key(const struct intake_settings *s, size_t domain, size_t key)
{
    const struct domain_keys *keys = &s->keys->domains[domain];
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->place[i] == key)
            return keys->v[i];
    }
    return NULL;
}

const char *intake_return_path(void *settings, const char *domain)
{
    const struct intake_settings *s = settings;
    const struct config_domain *d = config_find_domain(s->config, slice_of(domain));
    return d == NULL ? NULL : d->return_path;
}
