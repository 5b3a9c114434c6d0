/* build.c - from what was written to a configuration: checked, defaults filled in. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What config_free needs lives behind the configuration itself. */
struct loaded {
    struct config config;
    struct arena mem;
};

enum { CONFIG_MEMORY_MAX = 64 * 1024 * 1024 };

static void *list_new(const struct build *b, const char *key, size_t n, size_t size)
{
    void *v = arena_alloc_array(b->mem, n, size);
    if (v == NULL)
        source_fail(b->source, b->err, key, "out of memory");
    return v;
}

/* ---- listeners ------------------------------------------------------------------------------------------------ */

static bool is_any(const struct config_listener *l)
{
    return strcmp(l->address, "::") == 0;
}

static bool listeners_overlap(const struct config_listener *a, const struct config_listener *b)
{
    return a->port == b->port && (is_any(a) || is_any(b) || strcmp(a->address, b->address) == 0);
}

static int build_listeners(const struct build *b, const char *key, const struct raw_listener *raw, size_t n,
                           struct config_listener **ret, size_t *ret_n)
{
    struct config_listener *v = list_new(b, key, n, sizeof(*v));
    if (v == NULL)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char member[CONFIG_KEY_MAX];
        key_set(member, "%s[%zu]", key, i);
        if (scalars_set(b, listener_scalars, member, &raw[i], &v[i]) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (listeners_overlap(&v[k], &v[i]))
                return source_fail(b->source, b->err, member,
                                   "found port %u on %s, expected another: %s[%zu] takes it already", v[i].port,
                                   v[i].address, key, k);
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

static int build_listen(const struct build *b, const struct raw_config *raw, struct config *c)
{
    static char any[] = "::", port_587[] = "587", port_465[] = "465", starttls[] = "starttls", implicit[] = "implicit";
    static const struct raw_listener usual[] = {{any, port_587, starttls}, {any, port_465, implicit}};
    if (raw->listen == NULL)
        return build_listeners(b, "listen", usual, ARRAY_LEN(usual), &c->listen, &c->n_listen);
    return build_listeners(b, "listen", raw->listen, raw->listen_count, &c->listen, &c->n_listen);
}

/* ---- tls -------------------------------------------------------------------------------------------------------- */

/* tls/NAME beside the queue; with "" the folder itself. */
static char *beside_queue(const struct build *b, const struct config *c, const char *name)
{
    struct strbuf path = STRBUF_INIT;
    file_beside(c->queue.path, "tls", &path);
    strbuf_addf(&path, "%s%s", *name == '\0' ? "" : "/", name);
    char *copy = path.failed ? NULL : arena_strdup(b->mem, strbuf_slice(&path));
    strbuf_free(&path);
    return copy;
}

static int build_acme(const struct build *b, const struct raw_acme *raw, struct config *c)
{
    static const struct raw_listener usual[1]; /* the defaults of its scalars: "::", port 80 */
    struct config_acme *acme = list_new(b, "tls.acme", 1, sizeof(*acme));
    if (acme == NULL || scalars_set(b, acme_scalars, "tls.acme", raw, acme) < 0)
        return -1;
    if (build_listeners(b, "tls.acme.listen", raw->listen == NULL ? usual : raw->listen,
                        raw->listen == NULL ? 1 : raw->listen_count, &acme->listen, &acme->n_listen) < 0)
        return -1;
    for (size_t i = 0; i < acme->n_listen; i++)
        for (size_t k = 0; k < c->n_listen; k++)
            if (listeners_overlap(&acme->listen[i], &c->listen[k]))
                return source_fail(b->source, b->err, "tls.acme", "found port %u, expected one that listen[%zu] leaves",
                                   acme->listen[i].port, k);
    acme->dir = beside_queue(b, c, "");
    acme->certificate = beside_queue(b, c, "fullchain.pem");
    acme->key = beside_queue(b, c, "privkey.pem");
    if (acme->dir == NULL || acme->certificate == NULL || acme->key == NULL)
        return source_fail(b->source, b->err, "tls.acme", "out of memory");
    c->tls.acme = acme;
    return 0;
}

/* A certificate comes from files or by ACME: one of both, never half. */
static int build_tls(const struct build *b, const struct raw_config *raw, struct config *c)
{
    bool certificate = c->tls.certificate[0] != '\0', key = c->tls.key[0] != '\0';
    c->tls.certificate_line = source_line(b->source, "tls.certificate");
    c->tls.key_line = source_line(b->source, "tls.key");
    if (raw->tls.acme != NULL) {
        if (certificate || key)
            return source_fail(b->source, b->err, certificate ? "tls.certificate" : "tls.key",
                               "found a file besides acme, expected one of both");
        return build_acme(b, raw->tls.acme, c);
    }
    if (!certificate)
        return source_mismatch(b->source, b->err, "tls.certificate", "", "a file name (or acme)");
    return key ? 0 : source_mismatch(b->source, b->err, "tls.key", "", "a file name");
}

/* ---- domains ----------------------------------------------------------------------------------------------------- */

static int build_keys(const struct build *b, const char *key, const struct raw_domain *raw, struct config_domain *d)
{
    char member[CONFIG_KEY_MAX];
    d->n_keys = raw->dkim_count;
    d->keys = list_new(b, key, d->n_keys, sizeof(*d->keys));
    if (d->keys == NULL)
        return -1;
    for (size_t i = 0; i < d->n_keys; i++) {
        key_set(member, "%s.dkim[%zu]", key, i);
        if (scalars_set(b, key_scalars, member, &raw->dkim[i], &d->keys[i]) < 0)
            return -1;
        const char *selector = d->keys[i].selector;
        d->keys[i].line = source_line(b->source, member);
        /* RFC 6376 3.6.2.1: the key's record is SELECTOR._domainkey.DOMAIN. */
        if (strlen(selector) + strlen("._domainkey.") + strlen(d->name) > DOMAIN_MAX)
            return source_mismatch(b->source, b->err, member, selector,
                                   "one that leaves SELECTOR._domainkey.%s at most %d octets", d->name, DOMAIN_MAX);
        for (size_t k = 0; k < i; k++)
            if (strcmp(d->keys[k].selector, selector) == 0)
                return source_fail(b->source, b->err, member, "found the selector \"%s\" again, expected it once",
                                   selector);
    }
    return 0;
}

/* Many domains are to be checked in less than quadratic time. */
static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct config_domain *const *)a)->name, (*(const struct config_domain *const *)b)->name);
}

static int refuse_twice(const struct build *b, const struct config *c)
{
    const struct config_domain **sorted = list_new(b, "domains", c->n_domains, sizeof(const struct config_domain *));
    if (sorted == NULL)
        return -1;
    for (size_t i = 0; i < c->n_domains; i++)
        sorted[i] = &c->domains[i];
    qsort(sorted, c->n_domains, sizeof(const struct config_domain *), compare_names);
    for (size_t i = 1; i < c->n_domains; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        const struct config_domain *later = sorted[i] > sorted[i - 1] ? sorted[i] : sorted[i - 1];
        char key[CONFIG_KEY_MAX];
        key_set(key, "domains[%zu].name", (size_t)(later - c->domains));
        return source_fail(b->source, b->err, key, "found the domain %s again, expected it once", later->name);
    }
    return 0;
}

static int build_domains(const struct build *b, const struct raw_config *raw, struct config *c)
{
    c->n_domains = raw->domains_count;
    c->domains = list_new(b, "domains", c->n_domains, sizeof(*c->domains));
    if (c->domains == NULL)
        return -1;
    for (size_t i = 0; i < c->n_domains; i++) {
        char key[CONFIG_KEY_MAX];
        key_set(key, "domains[%zu]", i);
        c->domains[i].line = source_line(b->source, key);
        if (scalars_set(b, domain_scalars, key, &raw->domains[i], &c->domains[i]) < 0 ||
            build_keys(b, key, &raw->domains[i], &c->domains[i]) < 0)
            return -1;
    }
    return refuse_twice(b, c);
}

/* ---- queue, dns ------------------------------------------------------------------------------ */

static int build_retry(const struct build *b, const struct raw_queue *raw, struct config *c)
{
    static const struct scalar row = {.kind = SCALAR_DURATION, .min = 1, .max = 7 * 86400};
    static const char *const usual[] = {"1m", "5m", "15m", "30m", "1h", "2h", "4h"};
    const char *const *v = raw->retry == NULL ? usual : (const char *const *)raw->retry;
    c->queue.n_retry = raw->retry == NULL ? ARRAY_LEN(usual) : raw->retry_count;
    c->queue.retry_s = list_new(b, "queue.retry", c->queue.n_retry, sizeof(*c->queue.retry_s));
    if (c->queue.retry_s == NULL)
        return -1;
    for (size_t i = 0; i < c->queue.n_retry; i++) {
        char key[CONFIG_KEY_MAX];
        key_set(key, "queue.retry[%zu]", i);
        if (scalar_set(b, &row, key, v[i], &c->queue.retry_s[i]) < 0)
            return -1;
    }
    return 0;
}

/* "192.0.2.1" or "192.0.2.1@5353" */
static int server_parse(const struct build *b, const char *text, struct config_server *server)
{
    char address[IP_MAX];
    struct slice host;
    struct slice port = slice_cut(slice_of(text), '@', &host);
    server->port = 53;
    if (ip_normalize(host, address, NULL) < 0 || (host.n < strlen(text) && port_parse(port, &server->port) < 0))
        return -1;
    server->address = arena_strdup(b->mem, slice_of(address));
    return server->address == NULL ? -1 : 0;
}

static int build_servers(const struct build *b, const struct raw_dns *raw, struct config *c)
{
    c->dns.n_servers = raw->servers_count;
    c->dns.servers = list_new(b, "dns.servers", c->dns.n_servers, sizeof(*c->dns.servers));
    if (c->dns.servers == NULL)
        return -1;
    for (size_t i = 0; i < c->dns.n_servers; i++) {
        const struct config_server *s = &c->dns.servers[i];
        char key[CONFIG_KEY_MAX];
        key_set(key, "dns.servers[%zu]", i);
        if (server_parse(b, raw->servers[i], &c->dns.servers[i]) < 0)
            return source_mismatch(b->source, b->err, key, raw->servers[i],
                                   "a numeric address, such as 192.0.2.1 or 192.0.2.1@5353");
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->dns.servers[k].address, s->address) == 0 && c->dns.servers[k].port == s->port)
                return source_fail(b->source, b->err, key, "found \"%s\" again, expected it once", raw->servers[i]);
    }
    return 0;
}

/* ---- delivery -------------------------------------------------------------------------------- */

static int build_bind(const struct build *b, const struct raw_delivery *raw, struct config *c)
{
    static const struct scalar row = {.kind = SCALAR_IP};
    int families[2], family = 0;
    c->delivery.n_bind = raw->bind_count;
    c->delivery.n_public_ips = raw->public_ips_count;
    c->delivery.bind = list_new(b, "delivery.bind", c->delivery.n_bind, sizeof(*c->delivery.bind));
    if (c->delivery.bind == NULL)
        return -1;
    for (size_t i = 0; i < c->delivery.n_bind; i++) {
        char key[CONFIG_KEY_MAX], ip[IP_MAX];
        key_set(key, "delivery.bind[%zu]", i);
        if (scalar_set(b, &row, key, raw->bind[i], &c->delivery.bind[i]) < 0)
            return -1;
        ip_normalize(slice_of(c->delivery.bind[i]), ip, &family);
        families[i] = family; /* the schema admits two */
        if (i > 0 && families[0] == family)
            return source_mismatch(b->source, b->err, key, raw->bind[i], "at most one address a family");
    }
    return 0;
}

static int build_public(const struct build *b, char *const *given, struct config *c)
{
    static const struct scalar row = {.kind = SCALAR_IP};
    char **ips = list_new(b, "delivery.public", c->delivery.n_public_ips, sizeof(*ips));
    c->delivery.public_ips = ips;
    for (size_t i = 0; ips != NULL && i < c->delivery.n_public_ips; i++) {
        char key[CONFIG_KEY_MAX];
        key_set(key, "delivery.public[%zu]", i);
        if (scalar_set(b, &row, key, given[i], &ips[i]) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(ips[k], ips[i]) == 0)
                return source_fail(b->source, b->err, key, "found \"%s\" again, expected it once", given[i]);
    }
    return ips == NULL ? -1 : 0;
}

static int build_route(const struct build *b, const char *key, const struct raw_route *raw, const struct config *c,
                       struct config_route *route)
{
    bool user = raw->user != NULL && raw->user[0] != '\0';
    bool password = raw->password_file != NULL && raw->password_file[0] != '\0';
    route->port = c->delivery.port;
    /* A login that was not said to go in the clear does not. */
    route->tls = user ? CONFIG_DELIVERY_REQUIRED : c->delivery.tls;
    if (scalars_set(b, route_scalars, key, raw, route) < 0)
        return -1;
    if (user != password)
        return source_fail(b->source, b->err, key, "found %s alone, expected user and password_file together",
                           user ? "user" : "password_file");
    return 0;
}

static int build_routes(const struct build *b, const struct raw_delivery *raw, struct config *c)
{
    c->delivery.n_routes = raw->routes_count;
    c->delivery.routes = list_new(b, "delivery.routes", c->delivery.n_routes, sizeof(*c->delivery.routes));
    if (c->delivery.routes == NULL)
        return -1;
    for (size_t i = 0; i < c->delivery.n_routes; i++) {
        const struct config_route *route = &c->delivery.routes[i];
        char key[CONFIG_KEY_MAX];
        key_set(key, "delivery.routes[%zu]", i);
        if (build_route(b, key, &raw->routes[i], c, &c->delivery.routes[i]) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->delivery.routes[k].domain, route->domain) == 0)
                return source_fail(b->source, b->err, key, "found a route for %s again, expected one",
                                   strcmp(route->domain, "*") == 0 ? "\"*\"" : route->domain);
    }
    return 0;
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------------------- */

/* `source` NULL: the defaults, where nothing is required. */
static struct config *config_build(const struct source *source, const struct raw_config *raw, struct err *err)
{
    struct loaded *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    l->mem = ARENA_INIT(CONFIG_MEMORY_MAX);
    struct config *c = &l->config;
    const struct build b = {source, &l->mem, err};
    c->path = arena_strdup(&l->mem, slice_of(source == NULL ? "" : source->name));
    if (c->path == NULL || scalars_set(&b, config_scalars, "", raw, c) < 0 || build_listen(&b, raw, c) < 0 ||
        (source != NULL && build_tls(&b, raw, c) < 0) || build_domains(&b, raw, c) < 0 ||
        build_retry(&b, &raw->queue, c) < 0 || build_servers(&b, &raw->dns, c) < 0 ||
        build_bind(&b, &raw->delivery, c) < 0 || build_public(&b, raw->delivery.public_ips, c) < 0 ||
        build_routes(&b, &raw->delivery, c) < 0)
        config_free(&c);
    return c;
}

int config_parse(struct slice text, const char *name, struct source *source, struct config **ret, struct err *err)
{
    void *raw = NULL;
    if (source_parse(source, text, name, err) < 0)
        return -1;
    struct config *c = NULL;
    if (source_check(source, &config_schema, err) == 0 && source_load(source, &config_schema, &raw, err) == 0)
        c = config_build(source, raw, err);
    source_unload(&config_schema, raw);
    if (c == NULL) {
        source_free(source);
        return -1;
    }
    *ret = c;
    return 0;
}

struct config *config_defaults(void)
{
    static const struct raw_config nothing;
    return config_build(NULL, &nothing, NULL);
}

void config_free(struct config **pc)
{
    struct loaded *l = (struct loaded *)*pc; /* its first member */
    if (l == NULL)
        return;
    *pc = NULL;
    arena_free(&l->mem);
    free(l);
}

const struct config_domain *config_find_domain(const struct config *c, struct slice domain)
{
    for (size_t i = 0; i < c->n_domains; i++)
        if (slice_eq_icase(slice_of(c->domains[i].name), domain))
            return &c->domains[i];
    return NULL;
}
