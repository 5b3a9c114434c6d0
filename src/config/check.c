/* check.c - the files that a configuration names: there, readable, and secrets not open to others. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { NAMED_FILE_MAX = 4 * 1024 * 1024 };

struct check {
    const struct source *source;
    struct strbuf *warnings; /* NULL: a file that cannot be opened is an error */
    struct err *err;
};

static int check_file(const struct check *k, const char *key, const char *path, bool secret)
{
    struct strbuf content = STRBUF_INIT;
    struct err why;
    if (path[0] == '\0')
        return 0;
    if (k->warnings != NULL && access(path, R_OK) < 0) {
        source_fail(k->source, &why, key, "cannot read %s: %s", path, strerror(errno));
        strbuf_addf(k->warnings, "%s\n", why.text);
        return 0;
    }
    int rc = file_read(path, NAMED_FILE_MAX, secret, &content, &why);
    if (content.p != NULL)
        wipe(content.p, content.n);
    strbuf_free(&content);
    return rc < 0 ? source_fail(k->source, k->err, key, "%s", why.text) : 0;
}

static int check_keys(const struct check *k, const struct config *c)
{
    for (size_t i = 0; i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];
        char key[CONFIG_KEY_MAX];
        for (size_t j = 0; j < d->n_keys; j++) {
            if (d->keys[j].state == CONFIG_KEY_RETIRED) /* its file may be gone already */
                continue;
            key_set(key, "domains[%zu].dkim[%zu].key", i, j);
            if (check_file(k, key, d->keys[j].path, true) < 0)
                return -1;
        }
        key_set(key, "domains[%zu]", i);
        struct err what;
        if (d->n_keys == 0 && k->warnings != NULL) {
            source_fail(k->source, &what, key, "%s has no dkim key: mail from it will be refused", d->name);
            strbuf_addf(k->warnings, "%s\n", what.text);
        }
    }
    return 0;
}

static int check_routes(const struct check *k, const struct config *c)
{
    for (size_t i = 0; i < c->delivery.n_routes; i++) {
        char key[CONFIG_KEY_MAX];
        key_set(key, "delivery.routes[%zu].password_file", i);
        if (check_file(k, key, c->delivery.routes[i].password_file, true) < 0)
            return -1;
    }
    return 0;
}

/* users.yaml is ours, so that its mistakes are found here too; they have lines of their own. */
static int check_users(const struct check *k, const struct config *c)
{
    struct users *users;
    if (check_file(k, "users", c->users_path, true) < 0)
        return -1;
    if (k->warnings != NULL && access(c->users_path, R_OK) < 0)
        return 0;
    if (users_load(c->users_path, &users, k->err) < 0)
        return -1;
    if (users->n == 0 && k->warnings != NULL)
        strbuf_addf(k->warnings, "%s: no users: nobody can log in\n", c->users_path);
    users_free(&users);
    return 0;
}

int config_check_files(const struct config *c, const struct source *source, struct strbuf *warnings, struct err *err)
{
    const struct check k = {source, warnings, err};
    bool anchor_is_file = strcmp(c->dns.trust_anchor, "none") != 0;
    if (check_file(&k, "tls.certificate", c->tls.certificate, false) < 0 ||
        check_file(&k, "tls.key", c->tls.key, true) < 0 ||
        (c->tls.acme != NULL && check_file(&k, "tls.acme.ca_file", c->tls.acme->ca_file, false) < 0))
        return -1;
    if (check_keys(&k, c) < 0 || check_users(&k, c) < 0)
        return -1;
    if (anchor_is_file && check_file(&k, "dns.trust_anchor", c->dns.trust_anchor, false) < 0)
        return -1;
    return check_file(&k, "delivery.ca_file", c->delivery.ca_file, false) < 0 ? -1 : check_routes(&k, c);
}
