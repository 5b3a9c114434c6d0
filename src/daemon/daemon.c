/* The daemon's life: what is started, in which order, and how it ends. */
#include "internal.h"

#include "sendas/acme.h"

#include <event2/event.h>
#include <limits.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_CONFIGURATION = 2,
    PASSWORDS_WAITING = 64,  /* password checks in line; more get 454 4.7.0 */
    DESCRIPTORS_BESIDE = 256 /* files, DNS and the rest, beside one for each connection */
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

static int fail(int code, const struct err *err)
{
    fprintf(stderr, "sendas: %s\n", err->text);
    return code;
}

/* ---- the process ------------------------------------------------------------------------------------ */

static void prepare_process(void)
{
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);   /* before daemon_watch and behind daemon_unwatch a reload is no reason to die */
#ifndef UNDER_SANITIZER        /* its leak check traces the process */
    prctl(PR_SET_DUMPABLE, 0); /* keys and passwords stay out of core files and of other processes' sight */
#endif
}

/* Every connection has a descriptor; the default limit of 1024 is too low for them. */
static void raise_descriptor_limit(struct daemon *d, const struct config *c)
{
    rlim_t need = (rlim_t)c->limits.connections + c->delivery.connections + DESCRIPTORS_BESIDE;
    struct rlimit limit;

    d->client_descriptor_max = INT_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur < need) {
        limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < need)
            log_event(LOG_LEVEL_WARN, "descriptors", LOG_NUM("limit", limit.rlim_cur), LOG_NUM("needed", need),
                      LOG_STR("fix", "raise LimitNOFILE, or lower limits.connections"));
    }
    if (limit.rlim_cur < INT_MAX)
        d->client_descriptor_max = (int)(limit.rlim_cur - limit.rlim_cur / 8);
}

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

/* ---- starting ---------------------------------------------------------------------------------------- */

static void on_due(void *ctx, struct queue_item *item)
{
    struct daemon *d = ctx;
    delivery_item_due(d->delivery, item);
}

static int start_store(struct daemon *d, struct err *err)
{
    struct queue_events events = {.due = on_due, .ctx = d};

    if (queue_open(d->settings->config, d->base, &events, &d->queue, err) < 0)
        return -1;
    d->workers = workers_new(d->base, processors(), PASSWORDS_WAITING, err);
    if (d->workers == NULL)
        return -1;
    d->intake = (struct intake_context){.queue = d->queue, .workers = d->workers, .base = d->base};
    return 0;
}

static int start_delivery(struct daemon *d, struct err *err)
{
    struct delivery_deps deps = {.queue = d->queue, .base = d->base, .net = &d->net, .intake = &d->intake};

    if (dns_open(d->settings->config, d->base, &d->dns, err) < 0)
        return -1;
    deps.dns = d->dns;
    client_links_init(d);
    return delivery_new(&deps, d->settings, &d->delivery, err);
}

/* A certificate and key that do not fit are a mistake in the configuration, a port in use is not: *ret_code tells. */
static int start(struct daemon *d, int *ret_code, struct err *err)
{
    const struct config *c = d->settings->config;

    *ret_code = EXIT_CONFIGURATION;
    if (c->tls.acme != NULL)
        acme_recover(c);
    if (tls_server_new(c, &d->tls_server, err) < 0 || tls_client_new(c, &d->tls_client, err) < 0)
        return -1;
    *ret_code = EXIT_FAILED;
    raise_descriptor_limit(d, c);
    d->base = event_base_new();
    d->shared = submission_shared_new();
    if (d->base == NULL || d->shared == NULL)
        return err_set(err, "out of memory");
    if (listeners_prepare(d, c, err) < 0 || admin_prepare(d, c, err) < 0 || start_store(d, err) < 0 ||
        start_delivery(d, err) < 0 || logins_start(d, err) < 0 || reload_note_start(d, err) < 0 ||
        certificate_start(d, err) < 0 || daemon_watch(d, err) < 0 || daemon_keys_start(d, err) < 0)
        return -1;
    daemon_warn_settings(c, NULL);
    listeners_commit(d, c);
    admin_commit(d, c);
    queue_start(d->queue);
    *ret_code = EXIT_OK;
    return 0;
}

/* ---- ending ------------------------------------------------------------------------------------------- */

/* Who uses comes before what is used.  Messages being signed are still queued: the workers finish, then the store. */
static void stop(struct daemon *d)
{
    daemon_unwatch(d);
    certificate_stop(d);
    listeners_close(d);
    admin_close(d);
    if (d->shared != NULL)
        server_conns_free(d);
    daemon_keys_stop(d);
    delivery_free(&d->delivery);
    client_links_free(d);
    dns_close(&d->dns);
    workers_free(&d->workers);
    daemon_keys_free(d);
    logins_stop(d);
    reload_note_stop(d);
    queue_close(&d->queue);
    submission_shared_free(&d->shared);
    tls_client_free(&d->tls_client);
    tls_server_free(&d->tls_server);
    if (d->base != NULL)
        event_base_free(d->base);
    intake_settings_unref(&d->settings);
}

int daemon_run(const char *config_path)
{
    struct daemon d = {.config_path = config_path, .started_s = clock_wall_ms() / 1000};
    struct err err = {.text = "unknown error"};
    int code = EXIT_OK;

    d.reloaded_s = d.started_s;
    prepare_process();
    if (intake_settings_load(config_path, &d.settings, &err) < 0)
        return fail(EXIT_CONFIGURATION, &err);
    log_configure(d.settings->config->log.level, d.settings->config->log.format);
    if (start(&d, &code, &err) < 0) {
        fail(code, &err);
    } else {
        log_event(LOG_LEVEL_INFO, "ready", LOG_STR("version", SENDAS_VERSION), LOG_NUM("pid", getpid()),
                  LOG_STR("hostname", d.settings->config->hostname), LOG_NUM("waiting", queue_length(d.queue)));
        sdnotify("READY=1");
        event_base_dispatch(d.base);
    }
    stop(&d);
    if (code == EXIT_OK)
        log_event(LOG_LEVEL_INFO, "shutdown", LOG_STR("state", "done"));
    return code;
}
