/* Contexts of libunbound: one that resolves as the configuration says, and small ones that put questions to one server. */
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unbound-event.h>
#include <unbound.h>

/* The root's key-signing keys of 2017 and 2024 (data.iana.org/root-anchors).  They stand beside the system's file:
 * an old file knows only the first. */
static const char *const root_keys[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

static const char *const root_key_files[] = {"/usr/share/dns/root.key", "/var/lib/unbound/root.key"};

void dns_context_unref(struct dns_context *c)
{
    if (c == NULL || --c->references > 0)
        return;
    ub_ctx_delete(c->ub);
    free(c);
}

static int set_option(struct ub_ctx *ub, const char *option, const char *value, struct err *err)
{
    int rc = ub_ctx_set_option(ub, option, value);
    return rc == 0 ? 0 : err_set(err, "dns: libunbound refuses %s %s: %s", option, value, ub_strerror(rc));
}

static int add_root_keys(struct ub_ctx *ub, struct err *err)
{
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(root_keys); i++)
        if (ub_ctx_add_ta(ub, root_keys[i]) != 0)
            return err_set(err, "dns: out of memory");
    for (size_t i = 0; i < ARRAY_LEN(root_key_files); i++)
        if (stat(root_key_files[i], &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
            return ub_ctx_add_ta_file(ub, root_key_files[i]) == 0 ? 0 : err_set(err, "dns: out of memory");
    return 0;
}

static int set_trust(struct ub_ctx *ub, const char *anchor, struct err *err)
{
    struct strbuf file = STRBUF_INIT;

    if (strcmp(anchor, "none") == 0)
        return set_option(ub, "module-config:", "iterator", err);
    if (*anchor == '\0')
        return add_root_keys(ub, err);
    /* libunbound tells of a bad file only by "initialization failure": find out here what it is. */
    struct err why;
    int rc = file_read(anchor, 1024 * 1024, false, &file, &why);
    strbuf_free(&file);
    if (rc < 0)
        return err_set(err, "dns.trust_anchor: %s", why.text);
    rc = ub_ctx_add_ta_file(ub, anchor);
    return rc == 0 ? 0 : err_set(err, "dns.trust_anchor: %s: %s", anchor, ub_strerror(rc));
}

/* Servers that were named know their zones, private ones too: libunbound must not answer for those of RFC 6761, 6303
 * and 8375 by itself.  It reads all that was set before the first of these zones goes. */
static int unblock_local_zones(struct ub_ctx *ub)
{
    static const char *const zones[] = {"test.", "home.arpa.", "invalid.", "127.in-addr.arpa."};

    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        int rc = ub_ctx_zone_remove(ub, zones[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int set_servers(struct ub_ctx *ub, const struct config *c, struct err *err)
{
    bool local = false;

    for (size_t i = 0; i < c->dns.n_servers; i++) {
        const struct config_server *s = &c->dns.servers[i];
        char server[128];
        snprintf(server, sizeof(server), "%s@%u", s->address, (unsigned)s->port);
        int rc = ub_ctx_set_fwd(ub, server);
        if (rc != 0)
            return err_set(err, "dns.servers: %s: %s", server, ub_strerror(rc));
        local = local || address_is_loopback(s->address);
    }
    if (local && set_option(ub, "do-not-query-localhost:", "no", err) < 0)
        return -1;
    return c->dns.n_servers > 0 ? set_option(ub, "unblock-lan-zones:", "yes", err) : 0;
}

static int set_system_servers(struct ub_ctx *ub, struct err *err)
{
    int rc = ub_ctx_resolvconf(ub, NULL);
    if (rc != 0)
        return err_set(err, "dns: /etc/resolv.conf: %s", ub_strerror(rc));
    if (set_option(ub, "module-config:", "iterator", err) < 0 ||
        set_option(ub, "do-not-query-localhost:", "no", err) < 0)
        return -1;
    return set_option(ub, "unblock-lan-zones:", "yes", err);
}

static int set_all(struct ub_ctx *ub, const struct config *c, struct err *err)
{
    static const struct {
        const char *option, *value;
    } options[] = {
        {"outgoing-range:", "128"},
        {"num-queries-per-thread:", "1024"},
        {"msg-cache-size:", "4m"},
        {"rrset-cache-size:", "8m"},
        {"key-cache-size:", "2m"},
        {"neg-cache-size:", "1m"},
        {"edns-buffer-size:", "1232"}, /* no fragments */
        {"use-caps-for-id:", "no"},
        /* Mail waits and tries again: a server that was away is asked soon after it is back. */
        {"infra-host-ttl:", "60"},
        {"infra-keep-probing:", "yes"},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (set_option(ub, options[i].option, options[i].value, err) < 0)
            return -1;
    if (c == NULL)
        return set_system_servers(ub, err);
    return set_servers(ub, c, err) < 0 ? -1 : set_trust(ub, c->dns.trust_anchor, err);
}

static void ignore_answer(void *ctx, int rcode, void *packet, int n, int security, char *why, int limited)
{
    (void)ctx, (void)rcode, (void)packet, (void)n, (void)security, (void)why, (void)limited;
}

static struct dns_context *context_alloc(struct event_base *base, struct err *err)
{
    struct dns_context *context = calloc(1, sizeof(*context));
    if (context != NULL && (context->ub = ub_ctx_create_event(base)) == NULL) {
        free(context);
        context = NULL;
    }
    if (context == NULL) {
        err_set(err, "dns: libunbound: out of memory");
        return NULL;
    }
    context->references = 1;
    ub_ctx_debugout(context->ub, NULL); /* what concerns a query comes with its answer */
    return context;
}

int dns_context_new(struct event_base *base, const struct config *c, struct dns_context **ret, struct err *err)
{
    struct dns_context *context = context_alloc(base, err);
    if (context == NULL)
        return -1;
    if (set_all(context->ub, c, err) < 0)
        goto fail;
    int rc = c == NULL || c->dns.n_servers > 0 ? unblock_local_zones(context->ub) : 0;
    /* The first query makes libunbound read what was set; this one it answers by itself. */
    if (rc == 0)
        rc = ub_resolve_event(context->ub, "localhost.", DNS_A, 1, NULL, ignore_answer, NULL);
    if (rc != 0) {
        bool file = c != NULL && *c->dns.trust_anchor != '\0' && strcmp(c->dns.trust_anchor, "none") != 0;
        err_set(err, "dns: libunbound: %s%s%s", ub_strerror(rc), file ? "; are there DS or DNSKEY records in " : "",
                file ? c->dns.trust_anchor : "");
        goto fail;
    }
    *ret = context;
    return 0;
fail:
    dns_context_unref(context);
    return -1;
}

/* ---- one server ------------------------------------------------------------------------------------ */

/* Small, and nothing is remembered: such a context lives for a few questions. */
static int set_for_server(struct ub_ctx *ub, struct err *err)
{
    static const struct {
        const char *option, *value;
    } options[] = {
        {"module-config:", "iterator"}, /* a server alone cannot be validated */
        {"do-not-query-localhost:", "no"},
        {"unblock-lan-zones:", "yes"},
        {"outgoing-range:", "16"},
        {"num-queries-per-thread:", "64"},
        {"msg-cache-size:", "64k"},
        {"rrset-cache-size:", "64k"},
        {"key-cache-size:", "16k"},
        {"neg-cache-size:", "16k"},
        {"infra-cache-numhosts:", "64"},
        {"cache-max-ttl:", "0"},
        {"cache-max-negative-ttl:", "0"},
        {"edns-buffer-size:", "1232"}, /* no fragments */
        {"target-fetch-policy:", "0 0 0 0 0"},
        {"use-caps-for-id:", "no"},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (set_option(ub, options[i].option, options[i].value, err) < 0)
            return -1;
    return 0;
}

int dns_context_for_server(struct event_base *base, const char *address, uint16_t port, struct dns_context **ret,
                           struct err *err)
{
    char server[128];
    struct dns_context *context = context_alloc(base, err);
    if (context == NULL)
        return -1;
    snprintf(server, sizeof(server), "%s@%u", address, (unsigned)port);
    if (set_for_server(context->ub, err) < 0 || ub_ctx_set_fwd(context->ub, server) != 0 ||
        unblock_local_zones(context->ub) != 0) {
        dns_context_unref(context);
        return err_set(err, "dns: libunbound cannot ask %s", server);
    }
    *ret = context;
    return 0;
}
