/* What `sendas setup` makes.  Each step looks first, so that it can be run again at any time: what exists stays. */
#include "setup.h"

#include "files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const setup_selectors[SETUP_KEYS] = {"s1", "s2"};

#define INSTALLED_DIR "/etc/sendas"

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* ---- where things are ------------------------------------------------------------------------ */

/* Is it this machine's own set-up, not one in some other folder? */
static bool is_installed(const struct setup *s)
{
    return s->dir_option == NULL && strcmp(s->dir, INSTALLED_DIR) == 0;
}

/* Made anew it has to be there before the daemon starts in its own folder: no name may depend on ours. */
static int make_absolute(struct setup *s, const char **path, struct err *err)
{
    if (*path == NULL || (*path)[0] == '/')
        return 0;
    char *here = getcwd(NULL, 0);
    if (here == NULL)
        return err_set(err, "%s: %s", *path, strerror(errno));
    *path = setup_text(s, "%s/%s", here, *path);
    free(here);
    return 0;
}

static int find_places(struct setup *s, const struct cli_args *args, struct err *err)
{
    struct strbuf wanted = STRBUF_INIT, dir = STRBUF_INIT;
    if (s->dir_option != NULL)
        strbuf_add_str(&wanted, s->dir_option);
    else
        strbuf_add_slice(&wanted, directory_of(args->config_path));
    int status = wanted.failed ? err_set(err, "out of memory") : directory_resolve(strbuf_str(&wanted), &dir, err);
    s->dir = setup_text(s, "%s", strbuf_str(&dir));
    strbuf_free(&wanted);
    strbuf_free(&dir);
    if (status < 0 || make_absolute(s, &s->wanted_certificate, err) < 0 || make_absolute(s, &s->wanted_key, err) < 0)
        return -1;
    const char *slash = strrchr(args->config_path, '/'), *file = slash == NULL ? args->config_path : slash + 1;
    s->config_path = setup_text(s, "%s/%s", s->dir, s->dir_option != NULL ? "sendas.yaml" : file);
    s->users_path = setup_text(s, "%s/users.yaml", s->dir);
    s->queue_path = setup_text(s, "%s/queue.db", s->dir_option != NULL ? s->dir : DAEMON_HOME);
    for (size_t i = 0; i < SETUP_KEYS; i++) {
        struct strbuf path = STRBUF_INIT;
        key_path(&path, s->dir, s->domain, setup_selectors[i]);
        s->key_paths[i] = setup_text(s, "%s", strbuf_str(&path));
        s->no_memory = s->no_memory || path.failed;
        strbuf_free(&path);
    }
    return s->no_memory ? err_set(err, "out of memory") : 0;
}

/* ---- alone at work --------------------------------------------------------------------------- */

void setup_unlock(struct setup *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->locks); i++) {
        if (s->locks[i] >= 0)
            close(s->locks[i]);
        s->locks[i] = -1;
    }
}

/* The users may be in a folder of their own, which `user` locks.  One that is not there is for the writing to tell of. */
static int lock_users(struct setup *s, const char *path, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;
    struct stat ours, theirs;
    int rc = 0;

    strbuf_add_slice(&dir, directory_of(path));
    if (dir.failed)
        rc = err_set(err, "out of memory");
    else if (stat(strbuf_str(&dir), &theirs) == 0 && fstat(s->locks[0], &ours) == 0 &&
             (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino))
        rc = s->locks[1] = directory_lock(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return rc < 0 ? -1 : 0;
}

/* ---- the account ----------------------------------------------------------------------------- */

/* Without it everything is made all the same, and given to it by the next run. */
static void make_account(struct setup *s)
{
    struct err err;
    if (!is_installed(s) || geteuid() != 0 || s->world != NULL)
        return;
    if (!account_exists()) {
        if (account_make(&err) == 0)
            setup_tell(s, &s->done, "made the system account %s, which the daemon runs as", DAEMON_USER);
        else
            setup_tell(s, &s->left, "Make the system account %s (%s), then run sendas setup %s again.", DAEMON_USER,
                       err.text, s->domain);
    }
    if (account_make_home(&err) < 0)
        setup_tell(s, &s->left, "%s.", err.text);
    if (adopt_for_daemon(s->dir, &err) < 0)
        setup_tell(s, &s->left, "%s.", err.text);
}

/* What is there from before the account. */
static int adopt_all(const struct setup *s, struct err *err)
{
    const char *paths[] = {s->config_path, s->config->users_path, s->config->tls.certificate, s->config->tls.key};
    if (!is_installed(s))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (is_below(paths[i], s->dir) && adopt_for_daemon(paths[i], err) < 0)
            return -1;
    for (size_t i = 0; i < s->config->n_domains; i++)
        for (size_t k = 0; k < s->config->domains[i].n_keys; k++) {
            const char *path = s->config->domains[i].keys[k].path;
            struct strbuf dir = STRBUF_INIT;
            strbuf_add_slice(&dir, directory_of(path));
            int status = is_below(path, s->dir) && adopt_for_daemon(path, err) < 0 ? -1 : 0;
            if (status == 0 && is_below(strbuf_str(&dir), s->dir))
                status = adopt_for_daemon(strbuf_str(&dir), err);
            strbuf_free(&dir);
            if (status < 0)
                return -1;
        }
    return 0;
}

/* ---- what can be found out ------------------------------------------------------------------- */

static void open_dns(struct setup *s)
{
    if (s->world != NULL) {
        s->dns = s->world->dns;
        return;
    }
    lookups_open(&s->network, s->config);
    s->dns = lookups_lookup(&s->network);
}

static void take_addresses(struct setup *s, const char *const *ips, size_t n)
{
    for (s->n_ips = 0; s->n_ips < n && s->n_ips < SETUP_IPS_MAX; s->n_ips++)
        snprintf(s->ips[s->n_ips], HOST_IP_SIZE, "%s", ips[s->n_ips]);
}

static void find_addresses(struct setup *s)
{
    char found[HOST_FAMILIES][HOST_IP_SIZE];
    if (s->n_ips > 0)
        return;
    if (s->world != NULL) {
        take_addresses(s, s->world->ips, s->world->n_ips);
        return;
    }
    s->n_ips = host_public_addresses(found);
    memcpy(s->ips, found, s->n_ips * HOST_IP_SIZE);
}

/* The name in a PTR record when it is in the domain, as then others know this machine by it already; the provider's own
 * name for it tells spam filters that nobody cared. */
static int find_hostname(struct setup *s, struct err *err)
{
    const char *other = NULL;
    for (size_t i = 0; i < s->n_ips && s->hostname[0] == '\0'; i++) {
        struct host_ptr ptr;
        host_ptr_find(&s->dns, &s->memory, s->ips[i], &ptr);
        if (ptr.name[0] != '\0' && host_is_within(ptr.name, s->domain)) {
            memcpy(s->hostname, ptr.name, sizeof(s->hostname));
            setup_tell(s, &s->done, "took the host name %s from the PTR record of %s", s->hostname, s->ips[i]);
            return 0;
        }
        if (ptr.name[0] != '\0' && other == NULL)
            other = setup_text(s, ", not %s, the provider's name for %s", ptr.name, s->ips[i]);
    }
    if (s->hostname[0] != '\0')
        return 0;
    if (snprintf(s->hostname, sizeof(s->hostname), "mail.%s", s->domain) >= (int)sizeof(s->hostname))
        return err_set(err, "mail.%s is too long: say --hostname", s->domain);
    setup_tell(s, &s->done, "named this machine %s%s (--hostname says otherwise)", s->hostname,
               other == NULL ? "" : other);
    return 0;
}

static int find_user(struct setup *s, const char *users_path, struct err *err)
{
    if (exists(users_path) && users_load(users_path, &s->users, err) < 0)
        return -1;
    if (s->users == NULL && (s->users = calloc(1, sizeof(*s->users))) == NULL)
        return err_set(err, "out of memory");
    if (s->wanted_user != NULL)
        s->user = s->wanted_user;
    else if (s->users->n > 0)
        s->user = setup_text(s, "%s", s->users->v[0].name);
    else
        s->user = setup_text(s, "me@%s", s->domain);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* A key that was there before must be of the kind that its place is for: a domain with Ed25519 alone passes nowhere
 * that knows only RSA. */
static int check_key(const struct setup *s, size_t i, enum dkim_algorithm algorithm, struct err *err)
{
    struct dkim_key *key = NULL;
    if (dkim_key_load(s->key_paths[i], s->domain, setup_selectors[i], &key, err) < 0)
        return -1;
    bool fits = dkim_key_algorithm(key) == algorithm;
    dkim_key_free(&key);
    return fits ? 0
                : err_set(err, "%s is no key for %s: give it another name", s->key_paths[i],
                          dkim_algorithm_name(algorithm));
}

static int make_keys(struct setup *s, struct err *err)
{
    size_t made = 0;
    for (size_t i = 0; i < SETUP_KEYS; i++) {
        enum dkim_algorithm algorithm = i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
        bool is_new = !exists(s->key_paths[i]);
        if (is_new && key_create(s->key_paths[i], algorithm, DKIM_RSA_BITS_MIN, err) < 0)
            return -1;
        made += is_new;
        if (check_key(s, i, algorithm, err) < 0)
            return -1;
    }
    if (made > 0)
        setup_tell(s, &s->done, "made the DKIM keys s1 (RSA-2048) and s2 (Ed25519) in %s/dkim/%s", s->dir, s->domain);
    return 0;
}

/* ---- certificate ----------------------------------------------------------------------------- */

static void choose_certificate(struct setup *s)
{
    const char *here = setup_text(s, "%s/tls/fullchain.pem", s->dir);
    const char *certbot = setup_text(s, "/etc/letsencrypt/live/%s/fullchain.pem", s->hostname);
    s->certificate = s->certificate_key = "";
    if (s->wanted_certificate != NULL) {
        s->certificate = s->wanted_certificate;
        s->certificate_key = s->wanted_key;
    } else if (s->acme) {
        return;
    } else if (s->dir_option != NULL || exists(here)) {
        s->certificate = here;
        s->certificate_key = setup_text(s, "%s/tls/privkey.pem", s->dir);
    } else if (exists(certbot)) {
        s->certificate = certbot;
        s->certificate_key = setup_text(s, "/etc/letsencrypt/live/%s/privkey.pem", s->hostname);
        setup_tell(s, &s->done, "took the certificate in /etc/letsencrypt/live/%s", s->hostname);
    } else {
        s->acme = true;
    }
}

static int make_tls_directory(struct setup *s, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;
    if (!is_below(s->certificate, s->dir))
        return 0;
    strbuf_add_slice(&dir, directory_of(s->certificate));
    int status = dir.failed ? err_set(err, "out of memory") : directory_make(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return status;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* A double-quoted YAML scalar. */
static void add_quoted(struct strbuf *out, const char *before, const char *text, const char *after)
{
    strbuf_add_str(out, before);
    strbuf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
    strbuf_add_char(out, '"');
    strbuf_add_str(out, after);
}

/* delivery.bind: the first address of each family that is ours; delivery.public: all, where these are not the same. */
static void add_addresses(struct strbuf *out, const struct setup *s)
{
    struct strbuf bind = STRBUF_INIT, public = STRBUF_INIT;
    bool taken[2] = {false, false};
    size_t n = 0;
    for (size_t i = 0; i < s->n_ips; i++) {
        bool v6 = strchr(s->ips[i], ':') != NULL;
        strbuf_addf(&public, "%s\"%s\"", i > 0 ? ", " : "", s->ips[i]);
        if (taken[v6] || !host_has_address(s->ips[i]))
            continue;
        strbuf_addf(&bind, "%s\"%s\"", n++ > 0 ? ", " : "", s->ips[i]);
        taken[v6] = true;
    }
    if (s->n_ips > 0)
        strbuf_add_str(out, "delivery:\n");
    if (n > 0)
        strbuf_addf(out, "  bind: [%s]\n", strbuf_str(&bind));
    if (n < s->n_ips)
        strbuf_addf(out, "  public: [%s]\n", strbuf_str(&public));
    out->failed = out->failed || bind.failed || public.failed;
    strbuf_free(&bind);
    strbuf_free(&public);
}

static void write_config(struct strbuf *out, const struct setup *s)
{
    strbuf_add_str(out,
                   "# Made by `sendas setup`.  sendas.yaml(5) tells every key; `sendas config` checks this file.\n");
    strbuf_addf(out, "hostname: \"%s\"\ntls:\n", s->hostname);
    if (s->certificate[0] == '\0') {
        add_quoted(out, "  acme: {email: ", s->acme_email != NULL ? s->acme_email : s->user, "}\n");
    } else {
        add_quoted(out, "  certificate: ", s->certificate, "\n");
        add_quoted(out, "  key: ", s->certificate_key, "\n");
    }
    strbuf_addf(out, "domains:\n  - name: \"%s\"\n    dkim:\n", s->domain);
    for (size_t i = 0; i < SETUP_KEYS; i++) {
        strbuf_addf(out, "      - {selector: \"%s\", key: ", setup_selectors[i]);
        add_quoted(out, "", s->key_paths[i], "}\n");
    }
    if (strcmp(s->users_path, INSTALLED_DIR "/users.yaml") != 0)
        add_quoted(out, "users: ", s->users_path, "\n");
    if (strcmp(s->queue_path, DAEMON_HOME "/queue.db") != 0)
        add_quoted(out, "queue:\n  path: ", s->queue_path, "\n");
    add_addresses(out, s);
}

static int make_config(struct setup *s, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    if (exists(s->config_path))
        return 0;
    choose_certificate(s);
    if (make_tls_directory(s, err) < 0)
        return -1;
    write_config(&text, s);
    int status = text.failed || s->no_memory ? err_set(err, "out of memory")
                                             : file_write(s->config_path, strbuf_slice(&text), 0640, err);
    if (status == 0)
        status = give_to_daemon(s->config_path, 0640, err);
    strbuf_free(&text);
    setup_tell(s, &s->done, "wrote the configuration, %s", s->config_path);
    if (s->certificate[0] == '\0')
        setup_tell(s, &s->done,
                   "left the certificate to sendas, which obtains and renews one of Let's Encrypt by itself (tls.acme; "
                   "using it accepts the terms of service of Let's Encrypt, https://letsencrypt.org/repository/)");
    return status;
}

/* What holds is what stands in the file, whoever wrote it. */
static int read_config(struct setup *s, struct err *err)
{
    struct strbuf warnings = STRBUF_INIT;
    config_free(&s->config);
    int status = config_load_lenient(s->config_path, &s->config, &warnings, err);
    strbuf_free(&warnings);
    if (status < 0)
        return -1;
    s->domain_configured = config_find_domain(s->config, slice_of(s->domain)) != NULL;
    if (s->hostname[0] != '\0' && strcmp(s->hostname, s->config->hostname) != 0)
        return err_set(err, "%s says hostname: %s, not %s: change it there", s->config->path, s->config->hostname,
                       s->hostname);
    snprintf(s->hostname, sizeof(s->hostname), "%s", s->config->hostname);
    return 0;
}

static bool has_section(struct slice text, struct slice key)
{
    while (text.n > 0) {
        struct slice line;
        text = slice_cut(text, '\n', &line);
        if (slice_starts(line, key))
            return true;
    }
    return false;
}

/* Addresses that are said only now.  They are added at the end of a configuration that has none; nothing is changed. */
static int complete_addresses(struct setup *s, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    const char *const *known = NULL;
    size_t n = records_addresses(s->config, &known);
    if (s->n_ips == 0 || n > 0)
        return 0;
    int status = file_read(s->config_path, 1024 * 1024, false, &text, err);
    bool possible = status == 0 && !has_section(strbuf_slice(&text), SLICE("delivery:")) &&
                    !has_section(strbuf_slice(&text), SLICE("..."));
    if (possible && text.n > 0 && text.p[text.n - 1] != '\n')
        strbuf_add_char(&text, '\n');
    if (possible) {
        add_addresses(&text, s);
        status =
            text.failed ? err_set(err, "out of memory") : file_write(s->config_path, strbuf_slice(&text), 0640, err);
        setup_tell(s, &s->done, "added the addresses to %s", s->config_path);
    }
    strbuf_free(&text);
    return status < 0 ? -1 : possible ? read_config(s, err) : 0;
}

/* ---- users ----------------------------------------------------------------------------------- */

static int add_password(struct setup *s, const char *label, struct err *err)
{
    char hash[CLI_HASH_SIZE];
    struct setup_password *password = &s->passwords[s->n_passwords];
    const struct user *user = users_find(s->users, slice_of(s->user));
    const char *pattern = setup_text(s, "*@%s", s->domain);
    if (user != NULL && users_find_password(user, label) != NULL)
        return 0;
    password->label = label;
    int status = cli_password_new(password->text, err);
    if (status == 0)
        status = cli_password_hash(password->text, hash, err);
    if (status == 0)
        status = users_add(s->users, s->user, label, hash, &pattern, user == NULL ? 1 : 0, err);
    if (status == 0)
        s->n_passwords++;
    return status;
}

/* A user that is there keeps what he has; each --client that he has no password for gets one. */
static int make_user(struct setup *s, struct err *err)
{
    s->new_user = users_find(s->users, slice_of(s->user)) == NULL;
    for (size_t i = 0; i < s->n_clients; i++)
        if (add_password(s, s->clients[i], err) < 0)
            return -1;
    return s->new_user && s->n_clients == 0 ? add_password(s, "default", err) : 0;
}

/* Last of all: a password that is stored is also printed, whatever else fails or is broken off. */
static int save_user(struct setup *s, struct err *err)
{
    const char *path = s->config->users_path;
    struct strbuf labels = STRBUF_INIT;
    if (s->n_passwords == 0)
        return 0;
    if (users_save(path, s->users, err) < 0 || give_to_daemon(path, 0640, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n_passwords; i++)
        strbuf_addf(&labels, "%s%s", i > 0 ? ", " : "", s->passwords[i].label);
    if (s->new_user)
        setup_tell(s, &s->done, "made the user %s (login for: %s), who may write as any address of %s", s->user,
                   strbuf_str(&labels), s->domain);
    else
        setup_tell(s, &s->done, "made logins of %s for: %s", s->user, strbuf_str(&labels));
    strbuf_free(&labels);
    return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static int make_records(struct setup *s, struct err *err)
{
    struct config_key keys[SETUP_KEYS];
    struct config_domain made = {.name = s->domain, .keys = keys, .n_keys = SETUP_KEYS};
    const struct config_domain *domain = config_find_domain(s->config, slice_of(s->domain));
    for (size_t i = 0; i < SETUP_KEYS; i++)
        keys[i] = (struct config_key){
            .selector = (char *)setup_selectors[i], .path = (char *)s->key_paths[i], .since = (char *)""};
    if (domain == NULL)
        domain = &made;
    return records_collect(&s->records, s->config, &domain, 1, s->users, &s->dns, err);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Keys of a domain that stands in the configuration already are those it lists. */
static bool needs_keys(const struct setup *s)
{
    return s->config == NULL || !s->domain_configured;
}

/* A new configuration is served from now on; one that was there is its owner's to start.  There is nothing to serve yet
 * where the certificate that it names has to come first. */
static void start_service(struct setup *s)
{
    const struct config *c = s->config;
    bool ready = c->tls.acme != NULL || (exists(c->tls.certificate) && exists(c->tls.key));
    if (!is_installed(s) || strcmp(s->config_path, CONFIG_DEFAULT_PATH) != 0 || geteuid() != 0 || s->world != NULL ||
        !ready)
        return;
    enum service_state state = service_start();
    s->started = state == SERVICE_STARTED;
    if (s->started)
        setup_tell(s, &s->done, "started the service sendas, now and at every boot");
    else if (state == SERVICE_FAILED)
        setup_tell(s, &s->left, "See why the service does not start: journalctl -u sendas");
}

int setup_make(struct setup *s, const struct cli_args *args, struct err *err)
{
    if (find_places(s, args, err) < 0 || (s->locks[0] = directory_lock(s->dir, err)) < 0)
        return -1;
    make_account(s);
    if (exists(s->config_path) && read_config(s, err) < 0)
        return -1;
    open_dns(s);
    bool new = s->config == NULL;
    if (new) {
        find_addresses(s);
        if (find_hostname(s, err) < 0)
            return -1;
    }
    const char *users = s->config != NULL ? s->config->users_path : s->users_path;
    if (lock_users(s, users, err) < 0 || find_user(s, users, err) < 0 || (needs_keys(s) && make_keys(s, err) < 0) ||
        make_config(s, err) < 0 || read_config(s, err) < 0 || complete_addresses(s, err) < 0 || make_user(s, err) < 0 ||
        adopt_all(s, err) < 0 || make_records(s, err) < 0 || save_user(s, err) < 0)
        return -1;
    setup_unlock(s);
    if (new)
        start_service(s);
    return s->no_memory ? err_set(err, "out of memory") : 0;
}
