/* The admin listener: the status page, /metrics and /healthz.
 *
 * Not libevent's HTTP server: that of 2.1 bounds neither how many connections there are nor how long one takes, and tells
 * nobody when one ends. */
#include "admin.h"
#include "conn.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    VISITORS_MAX = 16,    /* with one more the oldest goes */
    VISIT_MS = 10 * 1000, /* for the whole request */
    BACKLOG = 16,
    ACCEPTS_A_TURN = 16
};

struct visitor {
    struct admin *admin;
    struct conn *conn; /* NULL: nobody is there */
    int64_t until_ms;
    bool answered;
};

struct admin {
    struct daemon *daemon;
    char *listen; /* as configured */
    int fd;
    struct acceptor acceptor;
    struct event *day_timer;
    struct admin_day day;
    int today; /* tm_yday */
    struct visitor visitors[VISITORS_MAX];
};

/* ---- visitors ------------------------------------------------------------------------------------------- */

static size_t on_data(void *owner, struct slice bytes)
{
    struct visitor *v = owner;
    const struct daemon *d = v->admin->daemon;
    struct admin_request request;
    struct strbuf out = STRBUF_INIT;

    if (v->answered)
        return bytes.n;
    if (!admin_request_read(bytes, d->settings->config->hostname, &request))
        return 0;
    v->answered = true;
    admin_answer(d, &v->admin->day, &request, &out);
    conn_send(v->conn, strbuf_slice(&out));
    strbuf_free(&out);
    conn_finish(v->conn);
    return bytes.n;
}

static void on_event(void *owner, enum conn_event event, const char *reason)
{
    struct visitor *v = owner;

    (void)reason;
    if (event == CONN_CLOSED || event == CONN_TIMEOUT)
        conn_free(&v->conn);
}

static int64_t on_deadline(void *owner)
{
    const struct visitor *v = owner;
    return v->until_ms;
}

static const struct conn_owner visitor_calls = {.data = on_data, .event = on_event, .deadline = on_deadline};

/* A place that is free, or else that of the oldest. */
static struct visitor *find_place(struct admin *a)
{
    struct visitor *ret = &a->visitors[0];

    for (struct visitor *v = a->visitors; v < a->visitors + VISITORS_MAX; v++) {
        if (v->conn == NULL)
            return v;
        if (v->until_ms < ret->until_ms)
            ret = v;
    }
    return ret;
}

/* ---- accepting ------------------------------------------------------------------------------------------ */

static void log_rest(void *ctx, int error)
{
    (void)ctx;
    log_event(LOG_LEVEL_ERROR, "accept", LOG_STR("key", "admin.listen"), LOG_STR("error", strerror(error)));
}

static bool take(void *ctx, int fd, const struct sockaddr_storage *from)
{
    struct admin *a = ctx;
    struct visitor *v = find_place(a);

    (void)from;
    conn_free(&v->conn);
    *v = (struct visitor){.admin = a, .until_ms = clock_mono_ms() + VISIT_MS};
    v->conn = conn_accept(a->daemon->base, fd, &visitor_calls, v);
    return true;
}

static const struct acceptor_calls acceptor_calls = {.a_turn = ACCEPTS_A_TURN, .take = take, .log_rest = log_rest};

/* ---- the day -------------------------------------------------------------------------------------------- */

static int day_of_year(void)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    return localtime_r(&now, &tm) == NULL ? 0 : tm.tm_yday;
}

static void begin_day(struct admin *a)
{
    a->today = day_of_year();
    a->day.since_s = clock_wall_ms() / 1000;
    admin_totals(a->daemon, &a->day.before);
}

/* Looks each minute, as the clock may be set. */
static void on_minute(evutil_socket_t fd, short what, void *arg)
{
    struct admin *a = arg;
    (void)fd, (void)what;
    if (day_of_year() != a->today)
        begin_day(a);
}

/* ---- the life of it ------------------------------------------------------------------------------------- */

static void admin_free(struct admin **pa)
{
    struct admin *a = *pa;

    *pa = NULL;
    if (a == NULL)
        return;
    for (size_t i = 0; i < VISITORS_MAX; i++)
        conn_free(&a->visitors[i].conn);
    acceptor_free(&a->acceptor);
    if (a->day_timer != NULL)
        event_free(a->day_timer);
    if (a->fd >= 0)
        close(a->fd);
    free(a->listen);
    free(a);
}

static struct admin *admin_new(struct daemon *d, const struct config *c, struct err *err)
{
    struct admin *a = calloc(1, sizeof(*a));
    char address[CONFIG_IP_MAX];
    uint16_t port = 0;
    struct err why;

    if (a == NULL || !config_admin_address(c, address, &port)) {
        free(a);
        err_set(err, "out of memory");
        return NULL;
    }
    a->daemon = d;
    a->fd = listener_bind(address, port, BACKLOG, &why);
    if (a->fd < 0) {
        err_set(err, "admin.%s", why.text);
        goto fail;
    }
    a->listen = strdup(c->admin_listen);
    a->day_timer = event_new(d->base, -1, EV_PERSIST, on_minute, a);
    if (acceptor_init(&a->acceptor, d->base, a->fd, &acceptor_calls, a) == 0 && a->listen != NULL &&
        a->day_timer != NULL)
        return a;
    err_set(err, "out of memory");
fail:
    admin_free(&a);
    return NULL;
}

/* ---- at the start and with a reload --------------------------------------------------------------------- */

static bool is_as_configured(const struct daemon *d, const struct config *c)
{
    return d->admin != NULL && strcmp(d->admin->listen, c->admin_listen) == 0;
}

int admin_prepare(struct daemon *d, const struct config *c, struct err *err)
{
    if (*c->admin_listen == '\0' || is_as_configured(d, c))
        return 0;
    d->admin_next = admin_new(d, c, err);
    return d->admin_next != NULL ? 0 : -1;
}

void admin_commit(struct daemon *d, const struct config *c)
{
    static const struct timeval minute = {.tv_sec = 60};
    struct admin *fresh = d->admin_next;

    if (fresh != NULL && d->admin != NULL) {
        fresh->day = d->admin->day;
        fresh->today = d->admin->today;
    } else if (fresh != NULL) {
        begin_day(fresh);
    }
    if (!is_as_configured(d, c))
        admin_free(&d->admin);
    if (fresh == NULL)
        return;
    d->admin = fresh;
    d->admin_next = NULL;
    acceptor_start(&fresh->acceptor);
    event_add(fresh->day_timer, &minute);
}

void admin_rollback(struct daemon *d)
{
    admin_free(&d->admin_next);
}

void admin_close(struct daemon *d)
{
    admin_free(&d->admin_next);
    admin_free(&d->admin);
}
