/* The running daemon: is it there, do its listeners answer, does the queue move, is there room for it? */
#include "check.h"

#include "files.h"

#include "sendas/daemon.h"
#include "sendas/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MB = 1024 * 1024, FREE_PERCENT_MIN = 5 };

/* ---- judging --------------------------------------------------------------------------------- */

static void span(char out[32], int64_t s)
{
    if (s < 3600)
        snprintf(out, 32, "%" PRId64 " min", s / 60);
    else if (s < (int64_t)2 * 86400)
        snprintf(out, 32, "%" PRId64 " h", s / 3600);
    else
        snprintf(out, 32, "%" PRId64 " days", s / 86400);
}

static void worsen(struct check_item *item, enum check_status status, struct strbuf *found, struct strbuf *fix)
{
    item->status = status > item->status ? status : item->status;
    check_join(found);
    check_join(fix);
}

static void judge_life(struct check_run *r, struct check_item *item, const struct check_daemon *f, struct strbuf *found,
                       struct strbuf *fix)
{
    if (!f->served && f->silent == NULL) {
        worsen(item, CHECK_FAIL, found, fix);
        strbuf_addf(found, "what listens does not serve the queue %s", r->config->queue.path);
        strbuf_add_str(fix, "systemctl restart sendas, so that it runs with this configuration");
    } else if (!f->served) {
        worsen(item, CHECK_FAIL, found, fix);
        strbuf_add_str(found, "sendas is not running");
        strbuf_add_str(fix, "systemctl start sendas; if it does not stay, journalctl -u sendas says why");
    } else if (f->silent != NULL) {
        worsen(item, CHECK_FAIL, found, fix);
        strbuf_addf(found, "sendas is running, but %s", f->silent);
        strbuf_add_str(fix,
                       "systemctl reload sendas, so that it takes up this configuration; journalctl -u sendas says "
                       "if it could not");
    }
}

static void judge_queue(struct check_run *r, struct check_item *item, const struct check_daemon *f,
                        struct strbuf *found, struct strbuf *fix)
{
    int64_t late = r->config->queue.warn_after_s > 0 ? r->config->queue.warn_after_s : (int64_t)4 * 3600;
    char age[32];
    span(age, f->oldest_s);
    if (f->queue.text[0] != '\0') {
        worsen(item, CHECK_FAIL, found, fix);
        strbuf_addf(found, "the queue cannot be read: %s", f->queue.text);
        strbuf_add_str(fix, "run this as root; if it stays so, see QUEUE in sendas(8)");
    } else if (f->oldest_s > late) {
        worsen(item, CHECK_WARN, found, fix);
        strbuf_addf(found, "%zu messages wait, the oldest for %s", f->waiting, age);
        strbuf_add_str(fix, "sendas queue list tells what the receivers said");
    }
    if (f->held > 0) {
        worsen(item, CHECK_WARN, found, fix);
        strbuf_addf(found, "%zu messages are held", f->held);
        strbuf_add_str(fix, "sendas queue release ID, or sendas queue remove ID");
    }
}

static void judge_disk(struct check_run *r, struct check_item *item, const struct check_daemon *f, struct strbuf *found,
                       struct strbuf *fix)
{
    bool full = f->free < 2 * r->config->limits.message_size;
    if (!full && f->free_percent >= FREE_PERCENT_MIN)
        return;
    worsen(item, full ? CHECK_FAIL : CHECK_WARN, found, fix);
    strbuf_addf(found, "%" PRIu64 " MB (%u%%) are free where the queue is", f->free / MB, f->free_percent);
    strbuf_addf(fix, "make room on the disk of %s: without it no mail is accepted", r->config->queue.path);
}

static void judge_reload(struct check_item *item, const struct check_daemon *f, int64_t now, struct strbuf *found,
                         struct strbuf *fix)
{
    char age[32];
    if (!f->served || f->reload == NULL)
        return;
    span(age, now - f->reload_at);
    worsen(item, CHECK_WARN, found, fix);
    strbuf_addf(found, "the last reload failed, %s ago, and the settings before it stay: %s", age, f->reload);
    strbuf_add_str(fix, "correct it, then systemctl reload sendas");
}

void check_daemon_judge(struct check_run *r, const struct check_daemon *f)
{
    struct check_item *item = check_add(r, "daemon", NULL, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    judge_life(r, item, f, &found, &fix);
    judge_reload(item, f, r->now, &found, &fix);
    judge_queue(r, item, f, &found, &fix);
    judge_disk(r, item, f, &found, &fix);
    if (item->status == CHECK_PASS)
        strbuf_addf(&found, "it runs, %zu listeners answer, %zu messages wait, %" PRIu64 " MB are free", f->listeners,
                    f->waiting, f->free / MB);
    check_tell(r, item, &found, "a running daemon whose listeners answer, a queue that moves, room on its disk", &fix);
}

/* ---- asking ---------------------------------------------------------------------------------- */

void check_listener_contact(const struct config *c, const struct config_listener *l, struct check_contact *ret)
{
    /* "::" takes IPv4 as well */
    bool any = strcmp(l->address, "::") == 0 || strcmp(l->address, "0.0.0.0") == 0;
    *ret = (struct check_contact){.port = l->port, .host = c->hostname};
    ret->talk = l->tls == CONFIG_TLS_IMPLICIT ? CHECK_TALK_IMPLICIT : CHECK_TALK_STARTTLS;
    snprintf(ret->address, sizeof(ret->address), "%s", any ? "127.0.0.1" : l->address);
}

/* False: one of them has not been asked yet. */
static bool ask_listeners(struct check_run *r, struct check_daemon *f)
{
    const struct config *c = r->config;
    bool known = true;
    for (size_t i = 0; i < c->n_listen; i++) {
        struct check_contact to;
        struct check_reached reached;
        check_listener_contact(c, &c->listen[i], &to);
        known = r->world->contact(r->world->ctx, &to, &reached) && known;
        if (reached.error == 0 && reached.chain != NULL)
            f->listeners++;
        else if (f->silent == NULL)
            f->silent = check_text(r, "port %u of %s does not answer as it should: %s", to.port, c->listen[i].address,
                                   reached.error != 0 ? strerror(reached.error) : reached.failure);
    }
    return known;
}

/* The daemon holds a lock as long as it lives.  What cannot be opened is told of the queue. */
static bool is_served(const char *path)
{
    struct strbuf name = STRBUF_INIT;
    strbuf_addf(&name, "%s.lock", path);
    int fd = name.failed ? -1 : open(strbuf_str(&name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ret = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    strbuf_free(&name);
    return ret;
}

struct counting {
    struct check_daemon *f;
    int64_t now_ms;
};

static int count(void *ctx, const struct queue_listing *m)
{
    struct counting *n = ctx;
    int64_t age_s = (n->now_ms - m->created_ms) / 1000;
    if (m->held) {
        n->f->held++;
        return 0;
    }
    n->f->waiting++;
    n->f->oldest_s = age_s > n->f->oldest_s ? age_s : n->f->oldest_s;
    return 0;
}

static void measure_disk(struct check_run *r, struct check_daemon *f)
{
    struct slice folder = directory_of(r->config->queue.path);
    struct statvfs s;
    f->free = UINT64_MAX / 2;
    f->free_percent = 100;
    if (statvfs(check_text(r, "%.*s", SLICE_ARG(folder)), &s) < 0 || s.f_blocks == 0)
        return; /* it is not there: see files */
    f->free = (uint64_t)s.f_bavail * s.f_frsize;
    f->free_percent = (unsigned)(s.f_bavail * 100 / s.f_blocks);
}

void check_daemon(struct check_run *r)
{
    struct check_daemon facts = {.served = is_served(r->config->queue.path)};
    struct counting counting = {&facts, clock_wall_ms()};
    struct strbuf reload = STRBUF_INIT;
    if (!ask_listeners(r, &facts))
        return; /* this runs again */
    if (queue_list(r->config->queue.path, count, &counting, &facts.queue) >= 0)
        facts.queue.text[0] = '\0';
    measure_disk(r, &facts);
    if (daemon_reload_failed(r->config, &facts.reload_at, &reload) > 0)
        facts.reload = check_text(r, "%s", strbuf_str(&reload));
    strbuf_free(&reload);
    check_daemon_judge(r, &facts);
}
