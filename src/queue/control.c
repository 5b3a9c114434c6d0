/* control.c - what other processes did to the queue, taken over into the schedule.
 *
 * `sendas queue hold` and its like change the file by themselves, write into the table `control` what they did, all in
 * one transaction, and then touch the lock file.  That wakes the writer, which finds the rows, takes them out and
 * tells the loop.  Any other commit finds them as well, and housekeeping does: a touch that nobody sees costs a minute.
 *
 * What is lent out cannot be called back: it is marked, and the mark counts when it comes back. */
#include "internal.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { NOTICES_MAX = 1000 /* a commit */ };

/* ---- being told ------------------------------------------------------------------------------ */

static void look(struct queue *q)
{
    q->look_again = q->looking;
    if (q->looking || q->closing)
        return;
    q->looking = true;
    q->look.kind = REQUEST_LOOK;
    lane_submit(&q->writer.lane, &q->look);
}

static void on_touched(evutil_socket_t fd, short what, void *arg)
{
    struct queue *q = arg;
    char drained[4096];

    (void)what;
    while (read(fd, drained, sizeof(drained)) > 0)
        ;
    look(q);
}

void control_looked(struct queue *q)
{
    q->looking = false;
    if (q->look_again)
        look(q);
}

int control_watch(struct queue *q, struct err *err)
{
    struct strbuf name = STRBUF_INIT;
    int rc = 0;

    strbuf_addf(&name, "%s.lock", q->writer.path);
    q->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (q->watch_fd < 0 || name.failed || inotify_add_watch(q->watch_fd, strbuf_str(&name), IN_CLOSE_WRITE) < 0) {
        log_event(LOG_LEVEL_WARN, "store", LOG_STR("path", q->writer.path),
                  LOG_STR("reason", "no inotify: what sendas queue changes takes effect within a minute"));
    } else {
        q->watch = event_new(q->base, q->watch_fd, EV_READ | EV_PERSIST, on_touched, q);
        if (q->watch == NULL || event_add(q->watch, NULL) < 0)
            rc = err_set(err, "out of memory");
    }
    strbuf_free(&name);
    return rc;
}

void control_unwatch(struct queue *q)
{
    if (q->watch != NULL)
        event_free(q->watch);
    q->watch = NULL;
    if (q->watch_fd >= 0)
        close(q->watch_fd);
    q->watch_fd = -1;
}

void control_wake(const char *path)
{
    struct strbuf name = STRBUF_INIT;

    strbuf_addf(&name, "%s.lock", path);
    int fd = name.failed ? -1 : open(strbuf_str(&name), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0)
        close(fd);
    strbuf_free(&name);
}

/* ---- in the writer --------------------------------------------------------------------------- */

static int keep_list(void *ctx, struct entry *list, bool held)
{
    struct entry **at = ctx;

    (void)held;
    while (*at != NULL)
        at = &(*at)->next;
    *at = list;
    return 0;
}

/* The entries of a message that another process has stored. */
static int load_added(struct writer *w, struct notice *n)
{
    struct collector c = {.wall_ms = clock_wall_ms(),
                          .mono_ms = clock_mono_ms(),
                          .lifetime_ms = INT64_MAX / 4,
                          .flush = keep_list,
                          .ctx = &n->entries};
    size_t messages;
    int rc = store_scan(&w->store, n->message_row, n->message_row, collect_waiting, &c, &messages);

    if (collect_end(&c) < 0 && rc == SQLITE_OK)
        rc = SQLITE_NOMEM;
    if (w->next_row < n->message_row)
        w->next_row = n->message_row;
    return rc;
}

void control_free(struct requests *notices)
{
    for (struct request *r; (r = requests_pop(notices)) != NULL;) {
        entries_free(&((struct notice *)r)->entries);
        free(r);
    }
}

static int take_one(struct writer *w, const struct store_control *c, struct requests *notices)
{
    struct notice *n = c->action >= NOTICE_HOLD && c->action <= NOTICE_ADD ? calloc(1, sizeof(*n)) : NULL;
    int rc = SQLITE_OK;

    if (n != NULL) {
        *n = (struct notice){
            .request.kind = REQUEST_NOTICE, .action = (enum notice_action)c->action, .message_row = c->message_row};
        memcpy(n->id, c->id, sizeof(n->id));
        requests_push(notices, &n->request);
        if (n->action == NOTICE_ADD)
            rc = load_added(w, n);
    } else if (c->action >= NOTICE_HOLD && c->action <= NOTICE_ADD) {
        rc = SQLITE_NOMEM;
    }
    return rc == SQLITE_OK ? store_control_drop(&w->store, c->row) : rc;
}

int control_take(struct writer *w, struct requests *notices)
{
    int rc = SQLITE_OK;

    for (int i = 0; i < NOTICES_MAX; i++) {
        struct store_control c;
        rc = store_control_first(&w->store, &c);
        if (rc != SQLITE_OK || c.row == 0)
            return rc;
        if ((rc = take_one(w, &c, notices)) != SQLITE_OK)
            return rc;
    }
    w->tidy_at_ms = clock_mono_ms(); /* there may be more */
    return rc;
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static const char *const action_names[] = {
    [NOTICE_HOLD] = "hold",     [NOTICE_RELEASE] = "release", [NOTICE_RETRY] = "retry",
    [NOTICE_REMOVE] = "remove", [NOTICE_ADD] = "rescue",
};

static void mark_out(struct queue *q, int64_t message_row, enum notice_action action)
{
    for (struct item *it = q->out; it != NULL; it = it->after) {
        if (it->item.message_row != message_row)
            continue;
        if (action == NOTICE_REMOVE)
            it->removed = true;
        else
            it->held = action == NOTICE_HOLD;
    }
}

/* Held or released: what is at rest changes its place. */
static void move(struct queue *q, int64_t message_row, bool hold)
{
    struct entry *list = schedule_take_message(&q->schedule, message_row);

    while (list != NULL) {
        struct entry *e = list;
        list = e->next;
        if (hold || schedule_add(&q->schedule, e) < 0)
            schedule_hold(&q->schedule, e);
    }
}

static void drop(struct queue *q, int64_t message_row)
{
    struct entry *list = schedule_take_message(&q->schedule, message_row);

    entries_free(&list);
    if (q->length > 0)
        q->length--;
}

static void add(struct queue *q, struct notice *n)
{
    q->length++;
    for (struct entry *e; (e = n->entries) != NULL;) {
        n->entries = e->next;
        if (schedule_add(&q->schedule, e) == 0)
            continue;
        log_event(LOG_LEVEL_ERROR, "store", LOG_STR("queue", n->id),
                  LOG_STR("reason", "no memory to schedule it: it waits for the next start"));
        free(e);
    }
}

void control_apply(struct queue *q, struct notice *n)
{
    log_event(LOG_LEVEL_INFO, "control", LOG_STR("queue", n->id[0] != '\0' ? n->id : NULL),
              LOG_STR("action", action_names[n->action]));
    fresh_drop(&q->fresh, n->message_row);
    switch (n->action) {
    case NOTICE_HOLD:
    case NOTICE_RELEASE:
        mark_out(q, n->message_row, n->action);
        move(q, n->message_row, n->action == NOTICE_HOLD);
        break;
    case NOTICE_RETRY:
        schedule_hasten_message(&q->schedule, n->message_row, clock_mono_ms());
        break;
    case NOTICE_REMOVE:
        mark_out(q, n->message_row, n->action);
        drop(q, n->message_row);
        break;
    case NOTICE_ADD:
        add(q, n);
        break;
    }
    queue_arm(q);
}
