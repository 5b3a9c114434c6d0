/* start.c - what a queue does before its threads run: the lock, the file, leftovers of a crash, the schedule. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DAY_MS = 24 * 3600 * 1000,
    BEHIND_MS = 60 * 1000, /* clocks differ, and a second may pass twice */
    LOCK_TRIES = 50,
    LOCK_WAIT_MS = 20,
};

/* Who only asks whether a daemon runs (store_open, `sendas check`) holds the lock for a moment: that is no other daemon. */
static int lock_alone(int fd)
{
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (i == LOCK_TRIES || (errno != EWOULDBLOCK && errno != EINTR))
            return -1;
        usleep(LOCK_WAIT_MS * 1000);
    }
    return 0;
}

/* Two daemons on one file would deliver everything twice.  *known: the file had been a queue before. */
static int take_lock(const char *path, int *ret_fd, bool *known, struct err *err)
{
    struct strbuf name = STRBUF_INIT;

    strbuf_addf(&name, "%s.lock", path);
    *known = !name.failed && access(strbuf_str(&name), F_OK) == 0;
    int fd = name.failed ? -1 : open(strbuf_str(&name), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err_set(err, "%s.lock: %s", path, strerror(errno));
    } else if (lock_alone(fd) < 0) {
        err_set(err, "%s: another sendas serves this queue", path);
        close(fd);
        fd = -1;
    }
    strbuf_free(&name);
    *ret_fd = fd;
    return fd < 0 ? -1 : 0;
}

/* ---- entries from the store ------------------------------------------------------------------ */

static int flush(struct collector *c)
{
    if (c->n == 0)
        return 0;
    struct entry *list = entries_build(&c->like, c->v, c->n);
    c->n = 0;
    arena_free(&c->domains);
    return list == NULL ? -1 : c->flush(c->ctx, list, c->held);
}

int collect_end(struct collector *c)
{
    int rc = flush(c);

    arena_free(&c->domains);
    free(c->v);
    c->v = NULL;
    return rc;
}

/* Wall clock to monotonic.  A clock that is far off must not put a retry off for ever: no time lies further ahead than
 * the configuration can have meant. */
static int64_t to_mono(const struct collector *c, int64_t wall_ms, int64_t ahead_max_ms)
{
    int64_t ahead = wall_ms - c->wall_ms;

    return c->mono_ms + (ahead < ahead_max_ms ? ahead : ahead_max_ms);
}

static void begin_message(struct collector *c, const struct store_waiting *w)
{
    c->held = w->held;
    c->like.message_row = key_message(w->key);
    c->like.created_ms = to_mono(c, w->created_ms, 0);
    c->like.expires_ms = to_mono(c, w->expires_ms, c->lifetime_ms);
    c->like.user_tag = schedule_user_tag(w->user);
    snprintf(c->like.id, sizeof(c->like.id), "%s", w->id);
}

int collect_waiting(void *collector, const struct store_waiting *w)
{
    struct collector *c = collector;

    if (c->n == 0 || c->like.message_row != key_message(w->key)) {
        if (flush(c) < 0)
            return -1;
        begin_message(c, w);
    }
    if (c->n == c->cap || c->v == NULL) {
        size_t cap = c->cap > 0 && c->v != NULL ? c->cap * 2 : 16;
        struct pending *v = realloc(c->v, cap * sizeof(*v));
        if (v == NULL)
            return -1;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n] = (struct pending){
        .domain = arena_copy(&c->domains, w->domain),
        .due_ms = to_mono(c, w->next_ms, c->retry_max_ms),
        .index = (uint16_t)(w->key & ((1 << KEY_BITS) - 1)),
    };
    return c->v[c->n++].domain.p != NULL ? 0 : -1;
}

static int add_entries(void *ctx, struct entry *list, bool held)
{
    struct queue *q = ctx;

    while (list != NULL) {
        struct entry *e = list;
        list = e->next;
        struct schedule *s = &q->schedule;
        if ((held ? schedule_reserve(s, s->n + s->n_held + 1) : schedule_add(s, e)) < 0) {
            free(e);
            entries_free(&list);
            return -1;
        }
        if (held)
            schedule_hold(s, e);
    }
    return 0;
}

static int64_t longest_retry(const struct queue *q)
{
    int64_t longest = 0;

    for (size_t i = 0; i < q->n_retry; i++)
        if (q->retry_ms[i] > longest)
            longest = q->retry_ms[i];
    return longest;
}

/* ---- the clock ------------------------------------------------------------------------------- */

/* While a daemon runs and something waits, each attempt leaves a stamp.  Where the newest one is long ago, the daemon
 * did not run or the clock is ahead: neither is the message's fault, and its lifetime goes on from where it was.  Where
 * it is in the future the clock is behind what it was, and everything moves with it. */
static int meet_clock(struct store *s, int64_t now_ms)
{
    int64_t newest;
    int rc = store_newest_ms(s, &newest);
    int64_t gap = now_ms - newest;

    if (rc != SQLITE_OK || newest == 0 || (gap <= DAY_MS && gap >= -BEHIND_MS))
        return rc;
    rc = store_move_stamps(s, gap, gap < 0, now_ms);
    if (rc == SQLITE_OK)
        log_event(LOG_LEVEL_WARN, "clock", LOG_MSEC("since_last_stamp", gap),
                  LOG_STR("reason", gap < 0 ? "the clock is behind what it was: what waits moves with it"
                                            : "the clock jumped, or nothing ran: what waits keeps its lifetime"));
    return rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int load(struct queue *q, struct err *err)
{
    struct store *s = &q->writer.store;
    struct collector c = {.wall_ms = clock_wall_ms(),
                          .mono_ms = clock_mono_ms(),
                          .lifetime_ms = q->lifetime_ms,
                          .retry_max_ms = longest_retry(q) * 11 / 10,
                          .flush = add_entries,
                          .ctx = q};
    int rc = store_begin(s);

    q->writer.wall_less_mono_ms = c.wall_ms - c.mono_ms;
    if (rc == SQLITE_OK)
        rc = store_drop_partial(s);
    if (rc == SQLITE_OK)
        rc = store_control_drop_all(s); /* all of it stands in what is loaded now */
    if (rc == SQLITE_OK)
        rc = meet_clock(s, c.wall_ms);
    if (rc == SQLITE_OK)
        rc = store_commit(s);
    if (rc == SQLITE_OK)
        rc = store_last_row(s, &q->writer.next_row);
    if (rc == SQLITE_OK)
        rc = store_scan(s, 0, MESSAGE_ROW_MAX, collect_waiting, &c, &q->length);
    if (rc == SQLITE_OK)
        rc = content_sweep(s);
    if (collect_end(&c) < 0 && rc == SQLITE_OK)
        rc = SQLITE_NOMEM;
    if (rc != SQLITE_OK)
        err_set(err, "%s: %s", q->writer.path, rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(s->db));
    store_rollback(s);
    return rc == SQLITE_OK ? 0 : store_is_damage(rc) ? STORE_DAMAGED : -1;
}

/* A log without its file: SQLite would take it for a leftover and delete it.  Bodies without it: that would be us. */
static bool lost_its_file(const char *path)
{
    struct strbuf log = STRBUF_INIT;
    struct stat st;
    bool there = stat(path, &st) == 0;

    if (there ? st.st_size > 0 : errno != ENOENT)
        return false;
    strbuf_addf(&log, "%s-wal", path);
    bool lost = there && !log.failed && stat(strbuf_str(&log), &st) == 0 && st.st_size > 0;
    strbuf_free(&log);
    return lost || content_is_there(path);
}

static int open_and_load(struct queue *q, struct err *err)
{
    struct store *s = &q->writer.store;

    if (lost_its_file(q->writer.path)) {
        err_set(err, "%s is empty, but its log or its folder is not", q->writer.path);
        return STORE_DAMAGED;
    }
    int rc = store_open(s, q->writer.path, STORE_WRITE, err);
    if (rc == 0 && damage_find(s, q->writer.path)) {
        err_set(err, "%s: a check found damage", q->writer.path);
        rc = STORE_DAMAGED;
    }
    if (rc == 0)
        rc = load(q, err);
    if (rc == 0) {
        store_keep(s);
    } else {
        store_close(s);
        schedule_free(&q->schedule);
        q->length = 0;
    }
    return rc;
}

int start_store(struct queue *q, struct err *err)
{
    struct strbuf aside = STRBUF_INIT;
    struct err why = {""};
    bool known;

    if (take_lock(q->writer.path, &q->lock_fd, &known, err) < 0)
        return -1;
    int rc = open_and_load(q, &why);
    if (rc == STORE_DAMAGED || (rc == STORE_FOREIGN && known)) {
        rc = damage_set_aside(q->writer.path, &aside, err);
        if (rc < 0)
            return -1;
        log_event(LOG_LEVEL_ERROR, "store", LOG_STR("path", q->writer.path), LOG_STR("reason", why.text),
                  LOG_STR("kept", strbuf_str(&aside)), LOG_STR("fix", "sendas queue rescue, with the kept file"));
        strbuf_free(&aside);
        rc = open_and_load(q, &why);
    }
    return rc < 0 ? err_set(err, "%s", why.text) : 0;
}
