/* `sendas setup`: a working set-up for a domain.  What exists is never changed: each step looks first, so that it can
 * be run again at any time. */
#include "setup.h"

#include "files.h"

#include "sendas/smtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const setup_selectors[SETUP_KEYS] = {"s1", "s2"};

#define DATA_DIR "/var/lib/sendas"

/* ---- arguments ------------------------------------------------------------------------------- */

static int add_ip(struct setup *s, const char *text)
{
    unsigned char binary[sizeof(struct in6_addr)];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    if (s->n_ips == SETUP_IPS_MAX)
        return cli_usage("setup", "more than %d addresses", SETUP_IPS_MAX);
    if (inet_pton(family, text, binary) != 1 || inet_ntop(family, binary, s->ips[s->n_ips], SETUP_IP_SIZE) == NULL)
        return cli_usage("setup", "--ip %s is no IP address", text);
    s->n_ips++;
    return CLI_OK;
}

static int set_name(char out[DOMAIN_MAX + 1], const char *text)
{
    struct err err;
    return domain_to_ascii(slice_of(text), out, &err) < 0 ? cli_usage("setup", "%s: %s", text, err.text) : CLI_OK;
}

static int check_user(const char *address)
{
    struct smtp_mailbox mailbox;
    struct err err;
    if (smtp_mailbox_parse(slice_of(address), &mailbox, &err) < 0 || mailbox.literal)
        return cli_usage("setup", "--user %s is no mail address", address);
    return CLI_OK;
}

static int parse_option(const struct cli_args *args, int *i, struct setup *s)
{
    const char *name = args->argv[*i], *value = NULL;
    int found;
    if ((found = cli_option(args, i, "--hostname", &value)) > 0)
        return set_name(s->hostname, value);
    if (found == 0 && (found = cli_option(args, i, "--user", &s->wanted_user)) > 0)
        return check_user(s->wanted_user);
    if (found == 0 && (found = cli_option(args, i, "--ip", &value)) > 0)
        return add_ip(s, value);
    if (found == 0 && (found = cli_option(args, i, "--dir", &s->dir_option)) > 0)
        return CLI_OK;
    if (found < 0)
        return cli_usage("setup", "%s needs a value", name);
    if (strcmp(name, "--json") == 0) {
        s->json = true;
        return CLI_OK;
    }
    if (name[0] == '-')
        return cli_usage("setup", "unknown option %s", name);
    if (s->domain[0] != '\0')
        return cli_usage("setup", "unexpected argument %s", name);
    return set_name(s->domain, name);
}

static int parse_arguments(const struct cli_args *args, struct setup *s)
{
    for (int i = 1; i < args->argc; i++) {
        int code = parse_option(args, &i, s);
        if (code != CLI_OK)
            return code;
    }
    return s->domain[0] != '\0' ? CLI_OK : cli_usage("setup", "for which domain?");
}

/* ---- where things are ------------------------------------------------------------------------ */

static int find_places(struct setup *s, const struct cli_args *args, struct err *err)
{
    struct strbuf wanted = STRBUF_INIT;
    if (s->dir_option != NULL)
        strbuf_add_str(&wanted, s->dir_option);
    else
        strbuf_add_slice(&wanted, directory_of(args->config_path));
    int status = wanted.failed ? err_set(err, "out of memory") : directory_resolve(strbuf_str(&wanted), &s->dir, err);
    strbuf_free(&wanted);
    if (status < 0)
        return -1;
    const char *dir = strbuf_str(&s->dir), *slash = strrchr(args->config_path, '/');
    const char *file = slash == NULL ? args->config_path : slash + 1;
    strbuf_addf(&s->config_path, "%s/%s", dir, s->dir_option != NULL ? "sendas.yaml" : file);
    strbuf_addf(&s->users_path, "%s/users.yaml", dir);
    strbuf_addf(&s->certificate, "%s/tls/fullchain.pem", dir);
    strbuf_addf(&s->certificate_key, "%s/tls/privkey.pem", dir);
    strbuf_addf(&s->queue_path, "%s/queue.db", s->dir_option != NULL ? dir : DATA_DIR);
    for (size_t i = 0; i < SETUP_KEYS; i++)
        key_path(&s->key_paths[i], dir, s->domain, setup_selectors[i]);
    bool failed = s->config_path.failed || s->users_path.failed || s->certificate.failed || s->certificate_key.failed ||
                  s->queue_path.failed || s->key_paths[0].failed || s->key_paths[1].failed;
    return failed ? err_set(err, "out of memory") : 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* A key that was there before must be of the kind that its place is for: a domain with Ed25519 alone passes nowhere
 * that knows only RSA. */
static int check_key(const struct setup *s, size_t i, enum dkim_algorithm algorithm, struct err *err)
{
    struct dkim_key *key = NULL;
    const char *path = strbuf_str(&s->key_paths[i]);
    if (dkim_key_load(path, s->domain, setup_selectors[i], &key, err) < 0)
        return -1;
    bool fits = dkim_key_algorithm(key) == algorithm;
    dkim_key_free(&key);
    return fits ? 0 : err_set(err, "%s is no key for %s: give it another name", path, dkim_algorithm_name(algorithm));
}

static int make_keys(struct setup *s, struct err *err)
{
    for (size_t i = 0; i < SETUP_KEYS; i++) {
        const char *path = strbuf_str(&s->key_paths[i]);
        enum dkim_algorithm algorithm = i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
        if (access(path, F_OK) < 0 && key_create(path, algorithm, DKIM_RSA_BITS_MIN, err) < 0)
            return -1;
        if (check_key(s, i, algorithm, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* A double-quoted YAML scalar. */
static void add_quoted(struct strbuf *out, const char *text)
{
    strbuf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
    strbuf_add_char(out, '"');
}

static void add_path(struct strbuf *out, const char *key, const struct strbuf *path)
{
    strbuf_add_str(out, key);
    add_quoted(out, strbuf_str(path));
    strbuf_add_char(out, '\n');
}

/* Can mail leave from this address?  Behind NAT the address that the world sees is not one of ours. */
static bool is_local(const char *ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool ipv6 = strchr(ip, ':') != NULL;
    inet_pton(ipv6 ? AF_INET6 : AF_INET, ip, ipv6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = bind(fd, ipv6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, ipv6 ? sizeof(v6) : sizeof(v4)) == 0;
    close(fd);
    return ok;
}

/* delivery.bind: the first address of each family that is ours. */
static void add_bind(struct strbuf *out, const struct setup *s)
{
    bool taken[2] = {false, false};
    for (size_t i = 0; i < s->n_ips; i++) {
        bool ipv6 = strchr(s->ips[i], ':') != NULL;
        if (taken[ipv6] || !is_local(s->ips[i]))
            continue;
        strbuf_addf(out, "%s\"%s\"", taken[0] || taken[1] ? ", " : "delivery:\n  bind: [", s->ips[i]);
        taken[ipv6] = true;
    }
    if (taken[0] || taken[1])
        strbuf_add_str(out, "]\n");
}

static void write_config(struct strbuf *out, const struct setup *s)
{
    strbuf_add_str(out,
                   "# Made by `sendas setup`.  sendas.yaml(5) tells every key; `sendas config` checks this file.\n");
    strbuf_addf(out, "hostname: \"%s\"\ntls:\n", s->hostname);
    add_path(out, "  certificate: ", &s->certificate);
    add_path(out, "  key: ", &s->certificate_key);
    strbuf_addf(out, "domains:\n  - name: \"%s\"\n    dkim:\n", s->domain);
    for (size_t i = 0; i < SETUP_KEYS; i++) {
        strbuf_addf(out, "      - {selector: \"%s\", key: ", setup_selectors[i]);
        add_quoted(out, strbuf_str(&s->key_paths[i]));
        strbuf_add_str(out, "}\n");
    }
    add_path(out, "users: ", &s->users_path);
    add_path(out, "queue:\n  path: ", &s->queue_path);
    add_bind(out, s);
}

static int make_config(struct setup *s, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    const char *path = strbuf_str(&s->config_path);
    if (access(path, F_OK) == 0)
        return 0;
    if (s->hostname[0] == '\0' &&
        snprintf(s->hostname, sizeof(s->hostname), "mail.%s", s->domain) >= (int)sizeof(s->hostname))
        return err_set(err, "mail.%s is too long: say --hostname", s->domain);
    write_config(&text, s);
    int status = text.failed ? err_set(err, "out of memory") : file_write(path, strbuf_slice(&text), 0640, err);
    if (status == 0)
        status = give_to_daemon(path, 0640, err);
    strbuf_free(&text);
    return status;
}

/* What holds is what stands in the file, whoever wrote it. */
static int read_config(struct setup *s, struct err *err)
{
    struct strbuf warnings = STRBUF_INIT;
    int status = config_load_lenient(strbuf_str(&s->config_path), &s->config, &warnings, err);
    strbuf_free(&warnings);
    if (status < 0)
        return -1;
    s->domain_configured = config_find_domain(s->config, slice_of(s->domain)) != NULL;
    if (s->hostname[0] != '\0' && strcmp(s->hostname, s->config->hostname) != 0)
        return err_set(err, "%s says hostname: %s, not %s: change it there", s->config->path, s->config->hostname,
                       s->hostname);
    snprintf(s->hostname, sizeof(s->hostname), "%s", s->config->hostname);
    for (size_t i = 0; s->n_ips == 0 && i < s->config->delivery.n_bind && i < SETUP_IPS_MAX; i++)
        snprintf(s->ips[i], SETUP_IP_SIZE, "%s", s->config->delivery.bind[i]);
    if (s->n_ips == 0)
        s->n_ips = s->config->delivery.n_bind;
    return 0;
}

/* ---- users ----------------------------------------------------------------------------------- */

static int add_user(struct setup *s, struct users *users, const char *address, struct err *err)
{
    char hash[CLI_HASH_SIZE];
    struct strbuf pattern = STRBUF_INIT;
    const char *path = s->config->users_path;
    strbuf_addf(&pattern, "*@%s", s->domain);
    const char *patterns[] = {strbuf_str(&pattern)};
    int status = pattern.failed ? err_set(err, "out of memory") : cli_password_new(s->password, err);
    if (status == 0)
        status = cli_password_hash(s->password, hash, err);
    if (status == 0)
        status = users_add(users, address, "default", hash, patterns, 1, err);
    if (status == 0)
        status = users_save(path, users, err);
    if (status == 0)
        status = give_to_daemon(path, 0640, err);
    strbuf_free(&pattern);
    return status;
}

/* The user named by --user, or else the first there is, or else me@DOMAIN; made if it is not there. */
static int make_user(struct setup *s, struct err *err)
{
    struct users *users = NULL;
    bool exists = access(s->config->users_path, F_OK) == 0;
    if (exists && users_load(s->config->users_path, &users, err) < 0)
        return -1;
    if (!exists && (users = calloc(1, sizeof(*users))) == NULL)
        return err_set(err, "out of memory");
    if (s->wanted_user != NULL)
        strbuf_add_str(&s->user, s->wanted_user);
    else if (users->n > 0)
        strbuf_add_str(&s->user, users->v[0].name);
    else
        strbuf_addf(&s->user, "me@%s", s->domain);
    int status = s->user.failed ? err_set(err, "out of memory") : 0;
    if (status == 0 && users_find(users, strbuf_slice(&s->user)) == NULL)
        status = add_user(s, users, strbuf_str(&s->user), err);
    users_free(&users);
    return status;
}

/* ---- records --------------------------------------------------------------------------------- */

static int make_records(struct setup *s, struct err *err)
{
    const char *ips[SETUP_IPS_MAX];
    struct config_key keys[SETUP_KEYS];
    struct config_domain made = {.name = s->domain, .keys = keys, .n_keys = SETUP_KEYS};
    const struct config_domain *domain = config_find_domain(s->config, slice_of(s->domain));
    for (size_t i = 0; i < s->n_ips; i++)
        ips[i] = s->ips[i];
    for (size_t i = 0; i < SETUP_KEYS; i++)
        keys[i] = (struct config_key){.selector = (char *)setup_selectors[i], .path = s->key_paths[i].p};
    bool spf = strcmp(s->hostname, s->domain) != 0 && config_find_domain(s->config, slice_of(s->hostname)) == NULL;
    records_add_host(&s->records, s->hostname, spf, ips, s->n_ips);
    return records_add_configured(&s->records, domain != NULL ? domain : &made, s->hostname, ips, s->n_ips, err);
}

static int make_tls_directory(struct setup *s, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;
    strbuf_add_slice(&dir, directory_of(strbuf_str(&s->certificate)));
    int status = dir.failed ? err_set(err, "out of memory") : directory_make(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return status;
}

/* Keys of a domain that stands in the configuration already are those it lists. */
static bool needs_keys(const struct setup *s)
{
    return access(strbuf_str(&s->config_path), F_OK) < 0 || (s->config != NULL && !s->domain_configured);
}

static int make_all(struct setup *s, const struct cli_args *args, struct err *err)
{
    if (find_places(s, args, err) < 0)
        return -1;
    if (needs_keys(s) && make_keys(s, err) < 0)
        return -1;
    if (make_tls_directory(s, err) < 0 || make_config(s, err) < 0 || read_config(s, err) < 0)
        return -1;
    if (needs_keys(s) && make_keys(s, err) < 0)
        return -1;
    return make_user(s, err) < 0 || make_records(s, err) < 0 ? -1 : 0;
}

static void setup_free(struct setup *s)
{
    struct strbuf *texts[] = {&s->dir,        &s->queue_path,   &s->config_path,
                              &s->users_path, &s->certificate,  &s->certificate_key,
                              &s->user,       &s->key_paths[0], &s->key_paths[1]};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        strbuf_free(texts[i]);
    wipe(s->password, sizeof(s->password));
    records_free(&s->records);
    config_free(&s->config);
}

int cli_setup(const struct cli_args *args)
{
    struct setup s = {.n_ips = 0};
    struct err err;
    records_init(&s.records);
    int code = parse_arguments(args, &s);
    if (code == CLI_OK)
        code = make_all(&s, args, &err) < 0 ? cli_fail(CLI_FAILED, "%s", err.text) : setup_print(&s);
    setup_free(&s);
    return code;
}
