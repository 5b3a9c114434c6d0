/* Signals, reload, and the orderly stop. */
#include "internal.h"

#include <event2/event.h>
#include <openssl/err.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { STOP_TIMEOUT_S = 10 };

/* ---- reload ------------------------------------------------------------------------------------------- */

static bool dns_differs(const struct config *a, const struct config *b)
{
    if (a->dns.n_servers != b->dns.n_servers || strcmp(a->dns.trust_anchor, b->dns.trust_anchor) != 0)
        return true;
    for (size_t i = 0; i < a->dns.n_servers; i++)
        if (a->dns.servers[i].port != b->dns.servers[i].port ||
            strcmp(a->dns.servers[i].address, b->dns.servers[i].address) != 0)
            return true;
    return false;
}

void daemon_warn_settings(const struct config *now, const struct config *before)
{
    if (config_admin_exposed(now))
        log_event(LOG_LEVEL_WARN, "configuration", LOG_STR("key", "admin.listen"),
                  LOG_STR("problem", "whoever reaches this address reads the status page and the metrics"),
                  LOG_STR("fix", "listen on 127.0.0.1, or let a firewall say who may"));
    if (before != NULL && strcmp(now->queue.path, before->queue.path) != 0)
        log_event(LOG_LEVEL_WARN, "configuration", LOG_STR("key", "queue.path"),
                  LOG_STR("problem", "a new path is used from the next start on"));
}

/* All that can fail comes first and changes nothing that is in use; what follows cannot fail. */
static int reload(struct daemon *d, struct err *err)
{
    struct intake_settings *settings = NULL;
    struct tls_server *tls_server = NULL;
    struct tls_client *tls_client = NULL;

    if (intake_settings_load(d->config_path, &settings, err) < 0)
        return -1;
    const struct config *c = settings->config, *before = d->settings->config;
    if (tls_server_new(c, &tls_server, err) < 0 || tls_client_new(c, &tls_client, err) < 0 ||
        listeners_prepare(d, c, err) < 0)
        goto fail;
    if (admin_prepare(d, c, err) < 0 || (dns_differs(c, before) && dns_reconfigure(d->dns, c, err) < 0)) {
        listeners_rollback(d);
        admin_rollback(d);
        goto fail;
    }
    log_configure(c->log.level, c->log.format);
    daemon_warn_settings(c, before);
    listeners_commit(d, c);
    admin_commit(d, c);
    /* Connections under way hold what they need of the old ones. */
    certificate_take(d, &tls_server, c);
    tls_client_free(&d->tls_client);
    d->tls_client = tls_client;
    submission_users_changed(d->shared, settings->users);
    queue_reconfigure(d->queue, c);
    delivery_reconfigure(d->delivery, settings);
    intake_settings_unref(&d->settings);
    d->settings = settings;
    daemon_keys_reload(d);
    return 0;
fail:
    tls_client_free(&tls_client);
    tls_server_free(&tls_server);
    intake_settings_unref(&settings);
    return -1;
}

void daemon_reload(struct daemon *d)
{
    struct err err = {.text = ""};

    if (d->stopping)
        return;
    sdnotify_reloading();
    bool failed = reload(d, &err) < 0;
    if (!failed)
        err.text[0] = '\0';
    if (failed)
        log_event(LOG_LEVEL_ERROR, "reload", LOG_STR("result", "fail"), LOG_STR("error", err.text));
    else
        log_event(LOG_LEVEL_INFO, "reload", LOG_STR("result", "ok"));
    d->reload_error = err;
    if (!failed)
        d->reloaded_s = clock_wall_ms() / 1000;
    reload_note_set(d, failed ? err.text : NULL);
    sdnotify("READY=1");
}

/* ---- the orderly stop -------------------------------------------------------------------------------------- */

void daemon_check_stopped(struct daemon *d)
{
    if (d->stopping && d->delivery_stopped && d->server_conns == NULL)
        event_base_loopbreak(d->base);
}

static void on_delivery_stopped(void *ctx)
{
    struct daemon *d = ctx;
    d->delivery_stopped = true;
    daemon_check_stopped(d);
}

static void on_stop_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;
    (void)fd, (void)what;
    log_event(LOG_LEVEL_WARN, "shutdown", LOG_STR("state", "time is up"),
              LOG_NUM("connections", submission_connections(d->shared)),
              LOG_NUM("deliveries", delivery_connections(d->delivery)));
    event_base_loopbreak(d->base);
}

static void on_stop_signal(evutil_socket_t signal_number, short what, void *ctx)
{
    static const struct timeval timeout = {.tv_sec = STOP_TIMEOUT_S};
    struct daemon *d = ctx;

    (void)what;
    if (d->stopping) {
        /* The queue needs no goodbye: what was accepted is on disk. */
        log_event(LOG_LEVEL_WARN, "shutdown", LOG_STR("state", "second signal"));
        _exit(1);
    }
    d->stopping = true;
    log_event(LOG_LEVEL_INFO, "shutdown", LOG_STR("state", "begins"),
              LOG_STR("signal", signal_number == SIGINT ? "SIGINT" : "SIGTERM"));
    sdnotify("STOPPING=1");
    evtimer_add(d->stop_timer, &timeout);
    certificate_stop(d);
    listeners_close(d);
    server_conns_shutdown(d);
    delivery_stop(d->delivery, on_delivery_stopped, d);
    daemon_check_stopped(d);
}

/* ---- signals and timers ---------------------------------------------------------------------------------------- */

static void on_hangup(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    daemon_reload(ctx);
}

static void on_watchdog_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
    sdnotify("WATCHDOG=1");
}

int daemon_watch(struct daemon *d, struct err *err)
{
    int64_t watchdog_ms = sdnotify_watchdog_ms();
    struct timeval watchdog = {.tv_sec = watchdog_ms / 1000, .tv_usec = watchdog_ms % 1000 * 1000};

    d->sighup = evsignal_new(d->base, SIGHUP, on_hangup, d);
    d->sigterm = evsignal_new(d->base, SIGTERM, on_stop_signal, d);
    d->sigint = evsignal_new(d->base, SIGINT, on_stop_signal, d);
    d->stop_timer = evtimer_new(d->base, on_stop_timeout, d);
    d->watchdog_timer = event_new(d->base, -1, EV_PERSIST, on_watchdog_timer, d);
    if (d->sighup == NULL || d->sigterm == NULL || d->sigint == NULL || d->stop_timer == NULL ||
        d->watchdog_timer == NULL || evsignal_add(d->sighup, NULL) < 0 || evsignal_add(d->sigterm, NULL) < 0 ||
        evsignal_add(d->sigint, NULL) < 0 || (watchdog_ms > 0 && event_add(d->watchdog_timer, &watchdog) < 0))
        return err_set(err, "out of memory");
    return 0;
}

void daemon_unwatch(struct daemon *d)
{
    struct event **events[] = {&d->sighup, &d->sigterm, &d->sigint, &d->stop_timer, &d->watchdog_timer};

    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (*events[i] != NULL)
            event_free(*events[i]);
        *events[i] = NULL;
    }
}
