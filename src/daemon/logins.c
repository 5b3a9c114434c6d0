/* logins.json: read at the start, written at most once a minute by a worker, and at the end. */
#include "internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOGINS_WRITE_S = 60, LOGINS_MODE = 0600 };

struct logins {
    struct daemon *daemon;
    struct strbuf path; /* as it was at the start: beside the queue that is open */
    struct event *timer;
    struct logins_write *under_way;
    bool failing; /* the last write failed: that is told once */
};

/* One write, on a worker. */
struct logins_write {
    struct logins *logins; /* NULL: the daemon does not wait for it */
    char *path;
    struct strbuf text;
    int rc;
    struct err err;
};

static void write_free(struct logins_write *w)
{
    strbuf_free(&w->text);
    free(w->path);
    free(w);
}

static void write_run(void *ctx)
{
    struct logins_write *w = ctx;
    w->rc = file_write(w->path, strbuf_slice(&w->text), LOGINS_MODE, &w->err);
}

static void tell(struct logins *l, int rc, const struct err *err)
{
    if (rc < 0 && !l->failing)
        log_event(LOG_LEVEL_ERROR, "logins", LOG_STR("result", "fail"), LOG_STR("error", err->text));
    else if (rc == 0 && l->failing)
        log_event(LOG_LEVEL_INFO, "logins", LOG_STR("result", "ok"));
    l->failing = rc < 0;
}

static void write_done(void *ctx)
{
    struct logins_write *w = ctx;

    if (w->logins != NULL) {
        w->logins->under_way = NULL;
        tell(w->logins, w->rc, &w->err);
    }
    write_free(w);
}

/* The state of now; NULL when out of memory. */
static struct logins_write *prepare(struct logins *l)
{
    struct logins_write *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->logins = l;
    w->path = strdup(strbuf_str(&l->path));
    if (w->path == NULL || submission_logins_save(l->daemon->shared, clock_mono_ms(), clock_wall_ms(), &w->text) < 0) {
        write_free(w);
        return NULL;
    }
    return w;
}

/* A write that failed is tried again when there is something new to write. */
static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct logins *l = ctx;

    (void)fd, (void)what;
    if (l->under_way != NULL || !submission_logins_changed(l->daemon->shared))
        return;
    struct logins_write *w = prepare(l);
    if (w == NULL)
        return;
    if (workers_submit(l->daemon->workers, WORK_SIGN, write_run, write_done, w) < 0)
        write_free(w);
    else
        l->under_way = w;
}

/* What cannot be read costs nothing but what it told: the daemon starts all the same. */
static void load(struct logins *l)
{
    const char *path = strbuf_str(&l->path);
    struct strbuf text = STRBUF_INIT;
    struct err err;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return;
    if (file_read(path, SUBMISSION_LOGINS_MAX, false, &text, &err) < 0 ||
        submission_logins_load(l->daemon->shared, l->daemon->settings->users, strbuf_slice(&text), clock_mono_ms(),
                               clock_wall_ms(), &err) < 0)
        log_event(LOG_LEVEL_WARN, "logins", LOG_STR("result", "fail"), LOG_STR("file", path),
                  LOG_STR("error", err.text),
                  LOG_STR("consequence", "last logins and the hour's messages are counted anew"));
    strbuf_free(&text);
}

int logins_start(struct daemon *d, struct err *err)
{
    static const struct timeval every = {.tv_sec = LOGINS_WRITE_S};
    struct logins *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return err_set(err, "out of memory");
    d->logins = l;
    l->daemon = d;
    l->timer = event_new(d->base, -1, EV_PERSIST, on_timer, l);
    if (l->timer == NULL || event_add(l->timer, &every) < 0 ||
        submission_logins_path(d->settings->config, &l->path) < 0)
        return err_set(err, "out of memory");
    load(l);
    return 0;
}

void logins_stop(struct daemon *d)
{
    struct logins *l = d->logins;

    if (l == NULL)
        return;
    d->logins = NULL;
    if (l->under_way != NULL)
        l->under_way->logins = NULL;
    struct logins_write *w = l->path.n == 0 || !submission_logins_changed(d->shared) ? NULL : prepare(l);
    if (w != NULL) {
        write_run(w);
        tell(l, w->rc, &w->err);
        write_free(w);
    }
    if (l->timer != NULL)
        event_free(l->timer);
    strbuf_free(&l->path);
    free(l);
}
