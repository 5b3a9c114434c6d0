/* `sendas key`: new ones, on disk and in the configuration. */
#include "internal.h"

#include "files.h"
#include "key.h"
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

/* Enters it, waiting, beside the keys that the domain signs with.  1: done; 0: to be done by hand (*why, or "" where that
 * is the rule: another key has to sign while this one waits). */
static int enter(const struct key_options *o, const struct config *c, const struct config_key_change *change,
                 struct err *why)
{
    const struct config_domain *d = c == NULL ? NULL : config_find_domain(c, slice_of(o->domain));
    bool signs = false, editable;

    why->text[0] = '\0';
    for (size_t i = 0; d != NULL && i < d->n_keys; i++)
        signs = signs || d->keys[i].state == CONFIG_KEY_ACTIVE;
    return signs && config_edit(c->path, change, 1, &editable, why) == 0;
}

static void print_by_hand(const struct key_options *o, const struct config *c, const char *config_path,
                          const struct config_key_change *change, const struct err *why)
{
    bool known = c != NULL && config_find_domain(c, slice_of(o->domain)) != NULL;
    struct strbuf member = STRBUF_INIT;
    struct config_key_change line = *change;

    if (why->text[0] == '\0')
        line.state = CONFIG_KEY_ACTIVE; /* nothing else would sign */
    config_key_member(&line, &member);
    if (why->text[0] != '\0')
        printf("; It could not be entered: %s\n", why->text);
    printf(why->text[0] != '\0'
               ? "; Add to %s of %s and reload (systemctl reload sendas):\n"
               : "; When it can be seen in DNS, add to %s of %s and reload (systemctl reload sendas):\n",
           known ? "dkim:" : "domains:", config_path);
    if (!known)
        printf(";   - name: %s\n;     dkim:\n", o->domain);
    printf(";       - %s\n", strbuf_str(&member));
    strbuf_free(&member);
}

static int print_new(const struct key_options *o, const struct config *c, const char *config_path, const char *path)
{
    struct records records;
    struct dkim_key *key = NULL;
    struct err err, why;
    char today[16];
    if (dkim_key_load(path, o->domain, o->selector, &key, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    records_init(&records);
    records_add_key(&records, key);
    dkim_key_free(&key);
    if (records.failed) {
        records_free(&records);
        return cli_fail(CLI_FAILED, "out of memory");
    }
    keys_day_text(today, cli_today());
    const struct config_key_change change = {
        .domain = o->domain, .selector = o->selector, .path = path, .state = CONFIG_KEY_WAITING, .since = today};
    printf("; %s was written.  Publish this record:\n", path);
    records_print(&records, RECORD_ZONE, stdout);
    puts(";");
    if (enter(o, c, &change, &why))
        printf("; %s waits in %s: it signs as soon as every name server of %s shows the record.\n"
               "; Now: systemctl reload sendas\n"
               "; Then `sendas key list` tells what was found.\n",
               o->selector, config_path, o->domain);
    else
        print_by_hand(o, c, config_path, &change, &why);
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

/* More keys than may sign are of no use. */
static bool is_full(const struct key_options *o, const struct config *c)
{
    const struct config_domain *d = c == NULL ? NULL : config_find_domain(c, slice_of(o->domain));
    size_t used = 0;
    for (size_t i = 0; d != NULL && i < d->n_keys; i++)
        used += d->keys[i].state != CONFIG_KEY_RETIRED;
    return used >= DKIM_KEYS_MAX;
}

static int make_key(struct key_options *o, const struct config *c, const char *config_path, const char *dir)
{
    if (is_full(o, c))
        return cli_fail(CLI_FAILED, "%s has %d keys, and no more can sign: retire one first (sendas key retire)",
                        o->domain, DKIM_KEYS_MAX);
    struct strbuf path = STRBUF_INIT;
    struct err err;
    int status = 0;
    if (choose_selector(o, c, dir, &path) < 0 || path.failed)
        status = err_set(&err, "no selector is free for %s: name one with --selector", o->domain);
    if (status == 0)
        status = key_create(strbuf_str(&path), o->algorithm, o->bits != 0 ? o->bits : KEY_BITS_DEFAULT, &err);
    int code = status < 0 ? cli_fail(CLI_FAILED, "%s", err.text) : print_new(o, c, config_path, strbuf_str(&path));
    strbuf_free(&path);
    return code;
}

static int key_new(const struct cli_args *args)
{
    struct key_options o = {.algorithm = DKIM_RSA_SHA256};
    struct strbuf dir = STRBUF_INIT;
    struct config *c = NULL;
    struct err err;
    int lock = -1, code = parse_new(args, &o);
    if (code == CLI_OK &&
        (resolve_directory(args->config_path, &dir, &err) < 0 || (lock = directory_lock(strbuf_str(&dir), &err)) < 0))
        code = cli_fail(CLI_FAILED, "%s", err.text);
    if (code == CLI_OK)
        code = load_if_there(args, &c);
    if (code == CLI_OK)
        code = make_key(&o, c, args->config_path, strbuf_str(&dir));
    if (lock >= 0)
        close(lock);
    config_free(&c);
    strbuf_free(&dir);
    return code;
}

int cli_key(const struct cli_args *args)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_args *args);
    } actions[] = {{"new", key_new}, {"list", cli_key_list}, {"retire", cli_key_retire}};
    if (args->argc < 2)
        return cli_usage("key", "new, list or retire?");
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(args->argv[1], actions[i].name) == 0)
            return actions[i].run(args);
    }
    return cli_usage("key", "unknown action %s", args->argv[1]);
}
