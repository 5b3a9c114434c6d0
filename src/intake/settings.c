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
    } domains[];
};

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

static int load_domain(const struct config *c, const struct config_domain *d, struct domain_keys *keys, struct err *err)
{
    struct err why;
    if (d->n_keys == 0) /* nothing leaves unsigned */
        return err_set(
            err, "%s:%u: domain %s has no DKIM key: make one with `sendas key new %s` and list it under dkim:", c->path,
            d->line, d->name, d->name);
    if (d->n_keys > DKIM_KEYS_MAX)
        return err_set(err, "%s:%u: domain %s has %zu DKIM keys: at most %d sign", c->path, d->line, d->name, d->n_keys,
                       DKIM_KEYS_MAX);
    for (size_t i = 0; i < d->n_keys; i++) {
        const struct config_key *key = &d->keys[i];
        for (size_t j = 0; j < i; j++) {
            if (strcasecmp(d->keys[j].selector, key->selector) == 0)
                return err_set(err, "%s:%u: domain %s lists selector %s twice", c->path, key->line, d->name,
                               key->selector);
        }
        if (dkim_key_load(key->path, d->name, key->selector, &keys->v[i], &why) < 0)
            return err_set(err, "%s:%u: domain %s, selector %s: %s", c->path, key->line, d->name, key->selector,
                           why.text);
        keys->n++;
    }
    return 0;
}

static int keys_load(const struct config *c, struct intake_keys **ret, struct err *err)
{
    struct intake_keys *k = calloc(1, sizeof(*k) + c->n_domains * sizeof(k->domains[0]));
    if (k == NULL)
        return err_set(err, "out of memory");
    k->n_domains = c->n_domains;
    for (size_t i = 0; i < c->n_domains; i++) {
        if (load_domain(c, &c->domains[i], &k->domains[i], err) < 0) {
            keys_free(&k);
            return -1;
        }
    }
    *ret = k;
    return 0;
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
    keys_free(&s->keys);
    users_free(&s->users);
    config_free(&s->config);
    free(s);
}

struct dkim_key *const *intake_settings_keys(const struct intake_settings *s, const char *domain, size_t *n)
{
    const struct config_domain *d = config_find_domain(s->config, slice_of(domain));
    *n = 0;
    if (d == NULL)
        return NULL;
    const struct domain_keys *keys = &s->keys->domains[d - s->config->domains];
    *n = keys->n;
    return keys->v;
}

const char *intake_return_path(void *settings, const char *domain)
{
    const struct intake_settings *s = settings;
    const struct config_domain *d = config_find_domain(s->config, slice_of(domain));
    return d == NULL ? NULL : d->return_path;
}
