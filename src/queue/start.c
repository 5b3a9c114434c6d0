/* start.c - what a queue does before its threads run: the lock, leftovers of a crash, the schedule. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Two daemons on one file would deliver everything twice. */
int start_lock(const char *path, int *ret_fd, struct err *err)
{
    struct strbuf name = STRBUF_INIT;

    strbuf_addf(&name, "%s.lock", path);
    int fd = name.failed ? -1 : open(strbuf_str(&name), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err_set(err, "%s.lock: %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, "%s: another sendas serves this queue", path);
        close(fd);
        fd = -1;
    }
    strbuf_free(&name);
    *ret_fd = fd;
    return fd < 0 ? -1 : 0;
}

/* Collects the recipients of one message from the scan. */
struct loading {
    struct queue *q;
    int64_t wall_ms, mono_ms;
    struct pending *v;
    size_t n, cap;
    struct arena domains;
    struct entry like; /* what the entries of the message have in common */
};

static int flush_loading(struct loading *l)
{
    if (l->n == 0)
        return 0;
    struct entry *list = entries_build(&l->like, l->v, l->n);
    l->n = 0;
    arena_free(&l->domains);
    if (list == NULL)
        return -1;
    while (list != NULL) {
        struct entry *e = list;
        list = e->next;
        if (schedule_add(&l->q->schedule, e) < 0) {
            free(e);
            entries_free(&list);
            return -1;
        }
    }
    return 0;
}

/* Wall clock to monotonic.  A clock that is far off at start must not put a retry off for ever: no time lies further
 * ahead than the configuration can have meant. */
static int64_t to_mono(const struct loading *l, int64_t wall_ms, int64_t ahead_max_ms)
{
    int64_t ahead = wall_ms - l->wall_ms;

    return l->mono_ms + (ahead < ahead_max_ms ? ahead : ahead_max_ms);
}

static int load_waiting(void *ctx, const struct store_waiting *w)
{
    struct loading *l = ctx;
    const struct queue *q = l->q;

    if (l->like.message_row != key_message(w->key)) {
        if (flush_loading(l) < 0)
            return -1;
        l->like.message_row = key_message(w->key);
        l->like.created_ms = to_mono(l, w->created_ms, 0);
        l->like.expires_ms = to_mono(l, w->expires_ms, q->lifetime_ms);
        l->like.user_tag = schedule_user_tag(w->user);
        snprintf(l->like.id, sizeof(l->like.id), "%s", w->id);
    }
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? l->cap * 2 : 16;
        struct pending *v = realloc(l->v, cap * sizeof(*v));
        if (v == NULL)
            return -1;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n] = (struct pending){
        .domain = arena_copy(&l->domains, w->domain),
        .due_ms = to_mono(l, w->next_ms, q->retry_ms[q->n_retry - 1] + q->retry_ms[q->n_retry - 1] / 10),
        .index = (uint16_t)(w->key & ((1 << KEY_BITS) - 1)),
    };
    return l->v[l->n++].domain.p != NULL ? 0 : -1;
}

int start_load(struct queue *q, struct err *err)
{
    struct store *s = &q->writer.store;
    struct loading l = {.q = q, .wall_ms = clock_wall_ms(), .mono_ms = clock_mono_ms(), .like.message_row = -1};
    int rc = store_begin(s);

    if (rc == SQLITE_OK)
        rc = store_drop_partial(s);
    if (rc == SQLITE_OK)
        rc = store_commit(s);
    if (rc == SQLITE_OK)
        rc = store_last_row(s, &q->writer.next_row);
    if (rc == SQLITE_OK)
        rc = store_scan(s, load_waiting, &l, &q->length);
    if (rc == SQLITE_OK && flush_loading(&l) < 0)
        rc = SQLITE_NOMEM;
    if (rc != SQLITE_OK)
        err_set(err, "%s: %s", q->writer.path, rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(s->db));
    store_rollback(s);
    arena_free(&l.domains);
    free(l.v);
    return rc == SQLITE_OK ? 0 : -1;
}
