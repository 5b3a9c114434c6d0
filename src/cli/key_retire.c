/* `sendas key retire`: a key stops signing; what has to be there first, and what is left to do.
 *
 * Mail that was signed with the key is still under way, and verified days later: so its record stays for a week. */
#include "files.h"
#include "key.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *record_of(char out[DOMAIN_MAX + 1], const struct config_domain *d, const struct config_key *k)
{
    keys_record_name(out, k->selector, d->name);
    return out;
}

/* ---- who goes on signing -------------------------------------------------------------------------- */

/* The keys that are neither retired nor to be. */
static size_t collect_others(const struct config_domain *d, const struct config_key *retiring, struct key_view *v)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_keys; i++) {
        const struct config_key *k = &d->keys[i];
        if (k == retiring || k->state == CONFIG_KEY_RETIRED)
            continue;
        v[n] = (struct key_view){.domain = d, .config = k};
        dkim_key_load(k->path, d->name, k->selector, &v[n].key, &v[n].error);
        n++;
    }
    return n;
}

static bool is_rsa(const struct dkim_key *k)
{
    return dkim_key_algorithm(k) == DKIM_RSA_SHA256;
}

/* Every server shows one of them, and receivers that know only RSA find one too if they do now. */
static int check_published(const struct key_view *v, size_t n, bool retires_rsa)
{
    const char *why = "";
    for (size_t i = 0; i < n; i++) {
        bool serves = v[i].key != NULL && (!retires_rsa || is_rsa(v[i].key));
        if (serves && v[i].finding.found == KEYS_GOOD)
            return CLI_OK;
        if (v[i].key == NULL)
            why = v[i].error.text;
        else if (!serves)
            why = "not every receiver knows Ed25519";
        else
            why = v[i].finding.reason;
        fprintf(stderr, "sendas: %s: %s\n", v[i].config->selector, why);
    }
    return cli_fail(CLI_FAILED,
                    "no other %skey of %s is shown by all of its name servers yet: nothing was changed (--force "
                    "does it all the same)",
                    retires_rsa ? "RSA " : "", v[0].domain->name);
}

/* ---- the change ------------------------------------------------------------------------------------- */

static void print_next(const struct config_domain *d, const struct config_key *k, bool done)
{
    char name[DOMAIN_MAX + 1], day[16];
    keys_day_text(day, cli_today() + KEYS_KEPT_DAYS);
    if (done)
        printf("%s of %s is retired.  Now: systemctl reload sendas\n", k->selector, d->name);
    printf("Keep the record %s until %s: mail that it signed is still under way.\n"
           "From then on `sendas key list` lists it as removable: remove the record, the file %s and its line.\n",
           record_of(name, d, k), day, k->path);
}

/* A key that waited and that every server shows is entered as active: the configuration needs one. */
static int change(const struct config *c, const struct config_domain *d, const struct config_key *k,
                  const struct key_view *v, size_t n)
{
    struct config_key_change *changes = calloc(n + 1, sizeof(*changes));
    char today[16];
    size_t made = 0;
    bool editable;
    struct err err;
    if (changes == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    keys_day_text(today, cli_today());
    for (size_t i = 0; i < n; i++)
        if (v[i].config->state == CONFIG_KEY_WAITING && v[i].finding.found == KEYS_GOOD)
            changes[made++] = (struct config_key_change){
                .domain = d->name, .selector = v[i].config->selector, .state = CONFIG_KEY_ACTIVE, .since = today};
    changes[made++] = (struct config_key_change){
        .domain = d->name, .selector = k->selector, .state = CONFIG_KEY_RETIRED, .since = today};
    int status = config_edit(c->path, changes, made, &editable, &err);
    if (status == 0) {
        print_next(d, k, true);
    } else if (!editable) {
        printf("%s could not be edited (%s).  Write there and reload (systemctl reload sendas):\n", c->path, err.text);
        for (size_t i = 0; i < made; i++)
            printf("  selector %s of %s:  state: %s, since: %s\n", changes[i].selector, d->name,
                   config_key_state_name(changes[i].state), today);
        print_next(d, k, false);
    } else {
        cli_fail(CLI_FAILED, "%s", err.text);
    }
    free(changes);
    return status == 0 ? CLI_OK : CLI_FAILED;
}

static bool any_active(const struct key_view *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].config->state == CONFIG_KEY_ACTIVE)
            return true;
    return false;
}

static int retire(const struct config *c, const struct config_domain *d, const struct config_key *k, bool force)
{
    struct key_view *v = calloc(d->n_keys, sizeof(*v));
    struct dkim_key *key = NULL;
    struct err err = {""};
    int code = CLI_OK;
    if (v == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    size_t n = collect_others(d, k, v);
    /* One that cannot be loaded is taken for RSA: that asks more of the others. */
    bool rsa = dkim_key_load(k->path, d->name, k->selector, &key, NULL) < 0 || is_rsa(key);
    if (n == 0 || (force && !any_active(v, n)))
        code = cli_fail(CLI_FAILED,
                        "%s is the only key of %s that signs, and nothing leaves unsigned: first make another (sendas "
                        "key new %s)",
                        k->selector, d->name, d->name);
    else if (!force && key_views_ask(c, v, n, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    else if (!force && k->state == CONFIG_KEY_ACTIVE)
        code = check_published(v, n, rsa);
    if (code == CLI_OK)
        code = change(c, d, k, v, n);
    for (size_t i = 0; i < n; i++)
        dkim_key_free(&v[i].key);
    dkim_key_free(&key);
    free(v);
    return code;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int parse(const struct cli_args *args, const char *words[2], bool *force)
{
    size_t n = 0;
    for (int i = 2; i < args->argc; i++) {
        if (strcmp(args->argv[i], "--force") == 0)
            *force = true;
        else if (args->argv[i][0] == '-')
            return cli_usage("key", "unknown option %s", args->argv[i]);
        else if (n < 2)
            words[n++] = args->argv[i];
        else
            return cli_usage("key", "unexpected argument %s", args->argv[i]);
    }
    return n == 2 ? CLI_OK : cli_usage("key", "retire takes a domain and a selector");
}

static int find_and_retire(const struct config *c, const char *domain, const char *selector, bool force)
{
    const struct config_domain *d = config_find_domain(c, slice_of(domain));
    const struct config_key *key = NULL;
    for (size_t i = 0; d != NULL && i < d->n_keys; i++) {
        if (strcasecmp(d->keys[i].selector, selector) == 0)
            key = &d->keys[i];
    }
    if (key == NULL)
        return cli_fail(CLI_FAILED, "%s has no key with selector %s in %s", domain, selector, c->path);
    if (key->state == CONFIG_KEY_RETIRED)
        return cli_fail(CLI_FAILED, "%s of %s is retired already; see sendas key list", key->selector, d->name);
    return retire(c, d, key, force);
}

/* Where there is no such folder there is no configuration: loading it tells. */
static int lock_config(const char *path, int *lock, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;
    strbuf_add_slice(&dir, directory_of(path));
    bool there = !dir.failed && access(strbuf_str(&dir), F_OK) == 0;
    if (there)
        *lock = directory_lock(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return there && *lock < 0 ? -1 : 0;
}

int cli_key_retire(const struct cli_args *args)
{
    struct config *c = NULL;
    const char *words[2] = {"", ""};
    struct err err;
    bool force = false;
    int lock = -1, code = parse(args, words, &force);
    if (code == CLI_OK && lock_config(args->config_path, &lock, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    if (code == CLI_OK)
        code = cli_config_load(args, NULL, &c);
    if (code == CLI_OK)
        code = find_and_retire(c, words[0], words[1], force);
    if (lock >= 0)
        close(lock);
    config_free(&c);
    return code;
}
