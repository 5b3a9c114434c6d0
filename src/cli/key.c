/* `sendas key`: DKIM keys on disk, and what to enter where. */
#include "internal.h"

#include "files.h"
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_BITS_DEFAULT = 2048, SELECTOR_NUMBERS_MAX = 10000 };

/* ---- new ------------------------------------------------------------------------------------- */

struct key_options {
    char domain[DOMAIN_MAX + 1];
    char selector[DOMAIN_MAX + 1]; /* "" = the first free one */
    enum dkim_algorithm algorithm;
    unsigned bits;
};

static int parse_bits(const char *text, struct key_options *o)
{
    uint64_t bits;
    if (slice_to_u64(slice_of(text), &bits) < 0 || bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX)
        return cli_usage("key", "--bits %s: an RSA key has %d to %d", text, DKIM_RSA_BITS_MIN, DKIM_RSA_BITS_MAX);
    o->bits = (unsigned)bits;
    return CLI_OK;
}

static int parse_selector(const char *text, struct key_options *o)
{
    struct err err;
    if (dkim_selector_check(text, &err) < 0)
        return cli_usage("key", "%s", err.text);
    snprintf(o->selector, sizeof(o->selector), "%s", text);
    return CLI_OK;
}

static int parse_type(const char *text, struct key_options *o)
{
    if (strcmp(text, "rsa") != 0 && strcmp(text, "ed25519") != 0)
        return cli_usage("key", "--type is rsa or ed25519, not %s", text);
    o->algorithm = text[0] == 'r' ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
    return CLI_OK;
}

static int parse_domain(const char *text, struct key_options *o)
{
    struct err err;
    if (o->domain[0] != '\0')
        return cli_usage("key", "unexpected argument %s", text);
    if (domain_to_ascii(slice_of(text), o->domain, &err) < 0)
        return cli_usage("key", "%s: %s", text, err.text);
    return CLI_OK;
}

static int parse_new(const struct cli_args *args, struct key_options *o)
{
    static const struct {
        const char *name;
        int (*parse)(const char *text, struct key_options *o);
    } options[] = {{"--type", parse_type}, {"--bits", parse_bits}, {"--selector", parse_selector}};
    for (int i = 2; i < args->argc; i++) {
        const char *argument = args->argv[i], *value = NULL;
        int found = 0, code = CLI_OK;
        for (size_t j = 0; j < ARRAY_LEN(options) && found == 0; j++) {
            found = cli_option(args, &i, options[j].name, &value);
            if (found < 0)
                return cli_usage("key", "%s needs a value", argument);
            if (found > 0)
                code = options[j].parse(value, o);
        }
        if (found == 0)
            code = argument[0] == '-' ? cli_usage("key", "unknown option %s", argument) : parse_domain(argument, o);
        if (code != CLI_OK)
            return code;
    }
    if (o->domain[0] == '\0')
        return cli_usage("key", "a key for which domain?");
    if (o->bits != 0 && o->algorithm != DKIM_RSA_SHA256)
        return cli_usage("key", "--bits is for RSA: an Ed25519 key has one size");
    return CLI_OK;
}

static bool selector_is_configured(const struct config *c, const char *domain, const char *selector)
{
    const struct config_domain *d = c == NULL ? NULL : config_find_domain(c, slice_of(domain));
    for (size_t i = 0; d != NULL && i < d->n_keys; i++) {
        if (strcasecmp(d->keys[i].selector, selector) == 0)
            return true;
    }
    return false;
}

/* s1, s2 ...: the first that neither the configuration nor the directory has; its path is left in `path`. */
static int choose_selector(struct key_options *o, const struct config *c, const char *dir, struct strbuf *path)
{
    bool given = o->selector[0] != '\0';
    for (unsigned n = 1; n < SELECTOR_NUMBERS_MAX; n++) {
        if (!given)
            snprintf(o->selector, sizeof(o->selector), "s%u", n);
        strbuf_reset(path);
        key_path(path, dir, o->domain, o->selector);
        if (given || (!selector_is_configured(c, o->domain, o->selector) && access(strbuf_str(path), F_OK) < 0))
            return 0;
    }
    return -1;
}

static int print_new(const struct key_options *o, const struct config *c, const char *config_path, const char *path)
{
    struct records records;
    struct dkim_key *key = NULL;
    struct err err;
    if (dkim_key_load(path, o->domain, o->selector, &key, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    records_init(&records);
    records_add_key(&records, key);
    dkim_key_free(&key);
    if (records.failed) {
        records_free(&records);
        return cli_fail(CLI_FAILED, "out of memory");
    }
    bool known = c != NULL && config_find_domain(c, slice_of(o->domain)) != NULL;
    printf("; %s was written.  Publish this record:\n", path);
    records_print(&records, RECORD_ZONE, stdout);
    printf(";\n; When it can be seen in DNS, add to %s of %s and reload (SIGHUP):\n",
           known ? "dkim:" : "domains:", config_path);
    if (!known)
        printf(";   - name: %s\n;     dkim:\n", o->domain);
    printf(";       - {selector: %s, key: \"%s\"}\n", o->selector, path);
    records_free(&records);
    return CLI_OK;
}

/* The configuration is looked at where there is one: a key may be made before it. */
static int load_if_there(const struct cli_args *args, struct config **ret)
{
    if (access(args->config_path, F_OK) < 0 && errno == ENOENT)
        return CLI_OK;
    return cli_config_load(args, NULL, ret);
}

/* Beside the configuration. */
static int resolve_directory(const char *config_path, struct strbuf *out, struct err *err)
{
    struct strbuf above = STRBUF_INIT;
    strbuf_add_slice(&above, directory_of(config_path));
    int status = above.failed ? err_set(err, "out of memory") : directory_resolve(strbuf_str(&above), out, err);
    strbuf_free(&above);
    return status;
}

static int make_key(struct key_options *o, const struct config *c, const char *config_path)
{
    struct strbuf dir = STRBUF_INIT, path = STRBUF_INIT;
    struct err err;
    int status = resolve_directory(config_path, &dir, &err);
    if (status == 0 && (choose_selector(o, c, strbuf_str(&dir), &path) < 0 || path.failed))
        status = err_set(&err, "no selector is free for %s: name one with --selector", o->domain);
    if (status == 0)
        status = key_create(strbuf_str(&path), o->algorithm, o->bits != 0 ? o->bits : KEY_BITS_DEFAULT, &err);
    int code = status < 0 ? cli_fail(CLI_FAILED, "%s", err.text) : print_new(o, c, config_path, strbuf_str(&path));
    strbuf_free(&dir);
    strbuf_free(&path);
    return code;
}

static int key_new(const struct cli_args *args)
{
    struct key_options o = {.algorithm = DKIM_RSA_SHA256};
    struct config *c = NULL;
    int code = parse_new(args, &o);
    if (code == CLI_OK)
        code = load_if_there(args, &c);
    if (code == CLI_OK)
        code = make_key(&o, c, args->config_path);
    config_free(&c);
    return code;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int print_key(const struct config_domain *d, const struct config_key *k)
{
    struct dkim_key *key = NULL;
    struct err err;
    if (dkim_key_load(k->path, d->name, k->selector, &key, &err) < 0) {
        printf("%-24s %-12s %-15s %5s  %s\n", d->name, k->selector, "unusable", "", k->path);
        return cli_fail(CLI_FAILED, "%s", err.text);
    }
    printf("%-24s %-12s %-15s %5u  %s\n", d->name, k->selector, dkim_algorithm_name(dkim_key_algorithm(key)),
           dkim_key_bits(key), k->path);
    dkim_key_free(&key);
    return CLI_OK;
}

static int key_list(const struct cli_args *args)
{
    struct config *c = NULL;
    if (args->argc > 2)
        return cli_usage("key", "unexpected argument %s", args->argv[2]);
    int code = cli_config_load(args, NULL, &c);
    if (code != CLI_OK)
        return code;
    printf("%-24s %-12s %-15s %5s  %s\n", "DOMAIN", "SELECTOR", "ALGORITHM", "BITS", "FILE");
    for (size_t i = 0; i < c->n_domains; i++) {
        for (size_t j = 0; j < c->domains[i].n_keys; j++) {
            if (print_key(&c->domains[i], &c->domains[i].keys[j]) != CLI_OK)
                code = CLI_FAILED;
        }
    }
    config_free(&c);
    return code;
}

/* ---- retire ---------------------------------------------------------------------------------- */

/* Mail that was signed with the key is still under way, and verified days later: so a key is taken out in steps, and
 * each of them is the owner's. */
static int print_steps(const struct config *c, const struct config_domain *d, const struct config_key *k)
{
    if (d->n_keys == 1)
        return cli_fail(CLI_FAILED,
                        "%s is the only key of %s, and nothing leaves unsigned: first make another (sendas key new %s)",
                        k->selector, d->name, d->name);
    printf("To retire %s of %s:\n", k->selector, d->name);
    printf("1. now: take the line with \"selector: %s\" out of %s and reload (systemctl reload sendas);\n", k->selector,
           c->path);
    printf("2. a week later: set the record %s._domainkey.%s to \"v=DKIM1; p=\" (RFC 6376 3.6.1: revoked), or remove "
           "it;\n",
           k->selector, d->name);
    printf("3. then remove the file: rm %s\n", k->path);
    return CLI_OK;
}

static int key_retire(const struct cli_args *args)
{
    struct config *c = NULL;
    const struct config_key *key = NULL;
    if (args->argc != 4)
        return cli_usage("key", "retire takes a domain and a selector");
    int code = cli_config_load(args, NULL, &c);
    if (code != CLI_OK)
        return code;
    const struct config_domain *d = config_find_domain(c, slice_of(args->argv[2]));
    for (size_t i = 0; d != NULL && i < d->n_keys; i++) {
        if (strcasecmp(d->keys[i].selector, args->argv[3]) == 0)
            key = &d->keys[i];
    }
    if (key == NULL)
        code = cli_fail(CLI_FAILED, "%s has no key with selector %s in %s", args->argv[2], args->argv[3], c->path);
    else
        code = print_steps(c, d, key);
    config_free(&c);
    return code;
}

int cli_key(const struct cli_args *args)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_args *args);
    } actions[] = {{"new", key_new}, {"list", key_list}, {"retire", key_retire}};
    if (args->argc < 2)
        return cli_usage("key", "new, list or retire?");
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(args->argv[1], actions[i].name) == 0)
            return actions[i].run(args);
    }
    return cli_usage("key", "unknown action %s", args->argv[1]);
}
