/* The certificate that clients are shown: taken up when its files change, judged at the start, on a reload and once a day. */
#include "internal.h"

#include "sendas/acme.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    POLL_S = 5,
    DAY_S = 86400,
    SETTLE_MS = 60 * 1000 /* what renews certificates replaces chain and key one after the other */
};

struct certificate_watch {
    struct event *poll_timer, *daily_timer;
    int64_t unfit_since_ms; /* the files have changed and do not fit since then; 0 = they fit, or it was told */
    struct err unfit;
    struct acme *acme; /* NULL: others renew it */
};

/* ---- files that change ---------------------------------------------------------------------------------- */

static void log_reload(const char *error)
{
    log_event(error != NULL ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "reload",
              LOG_STR("result", error != NULL ? "fail" : "ok"), LOG_STR("what", "certificate"),
              LOG_STR("error", error));
}

/* A renewed certificate is taken up without a signal.  The old one stays until chain and key fit again, and only when
 * they do not for a while that is told, once. */
static void on_poll(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;
    struct certificate_watch *w = d->certificate;
    int64_t now = clock_mono_ms();

    (void)fd, (void)what;
    if (d->stopping)
        return;
    if (tls_server_changed(d->tls_server)) {
        if (tls_server_reload(d->tls_server, d->settings->config, &w->unfit) == 0) {
            w->unfit_since_ms = 0;
            log_reload(NULL);
            tls_server_warn(d->tls_server, d->settings->config);
        } else if (w->unfit_since_ms == 0) {
            w->unfit_since_ms = now;
        }
    } else if (w->unfit_since_ms != 0 && now - w->unfit_since_ms >= SETTLE_MS) {
        w->unfit_since_ms = 0;
        log_reload(w->unfit.text);
    }
}

static void on_day(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd, (void)what;
    if (!d->stopping)
        tls_server_warn(d->tls_server, d->settings->config);
}

/* ---- tls.acme ------------------------------------------------------------------------------------------- */

static int on_installed(void *ctx, struct err *err)
{
    struct daemon *d = ctx;
    const struct config *c = d->settings->config;

    d->certificate->unfit_since_ms = 0;
    /* Connections under way keep the certificate that they began with. */
    if (tls_server_reload(d->tls_server, c, err) < 0)
        return -1;
    tls_server_warn(d->tls_server, c);
    return 0;
}

static int acme_settings(struct daemon *d, const struct config *c, struct err *err)
{
    struct certificate_watch *w = d->certificate;
    struct acme_deps deps = {.base = d->base, .workers = d->workers, .dns = d->dns};
    struct acme_events events = {.installed = on_installed, .ctx = d};

    if (c->tls.acme == NULL) {
        acme_free(&w->acme);
        return 0;
    }
    if (w->acme == NULL)
        return acme_new(&deps, &events, c, &w->acme, err);
    acme_reconfigure(w->acme, c);
    return 0;
}

/* ---- the life of it -------------------------------------------------------------------------------------- */

int certificate_start(struct daemon *d, struct err *err)
{
    static const struct timeval poll = {.tv_sec = POLL_S}, day = {.tv_sec = DAY_S};
    struct certificate_watch *w = calloc(1, sizeof(*w));

    d->certificate = w;
    if (w == NULL)
        return err_set(err, "out of memory");
    w->poll_timer = event_new(d->base, -1, EV_PERSIST, on_poll, d);
    w->daily_timer = event_new(d->base, -1, EV_PERSIST, on_day, d);
    if (w->poll_timer == NULL || w->daily_timer == NULL || event_add(w->poll_timer, &poll) < 0 ||
        event_add(w->daily_timer, &day) < 0)
        return err_set(err, "out of memory");
    tls_server_warn(d->tls_server, d->settings->config);
    return acme_settings(d, d->settings->config, err);
}

void certificate_take(struct daemon *d, struct tls_server **pserver, const struct config *c)
{
    struct err err = {.text = ""};

    tls_server_keep(*pserver, d->tls_server);
    tls_server_free(&d->tls_server);
    d->tls_server = *pserver;
    *pserver = NULL;
    d->certificate->unfit_since_ms = 0;
    tls_server_warn(d->tls_server, c);
    if (acme_settings(d, c, &err) < 0)
        log_event(LOG_LEVEL_ERROR, "certificate", LOG_STR("reason", err.text));
}

void certificate_stop(struct daemon *d)
{
    struct certificate_watch *w = d->certificate;

    if (w == NULL)
        return;
    d->certificate = NULL;
    acme_free(&w->acme);
    if (w->poll_timer != NULL)
        event_free(w->poll_timer);
    if (w->daily_timer != NULL)
        event_free(w->daily_timer);
    free(w);
}
