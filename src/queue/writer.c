/* writer.c - the store thread: whatever waits when a commit begins goes in with it.
 *
 * When a group fails it is rolled back and each request is tried by itself, so that one that cannot be stored fails
 * alone. A put that fails is answered so.  A finish never fails: it is carried until it can be committed, because
 * forgetting it would deliver a message twice after a restart. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CARRY_MS = 1000,
    TIDY_MS = 60 * 1000,
    TIDY_MORE_MS = 500,
    COMPLAIN_MS = 10 * 1000,
    CLOCK_STEP_MS = 60 * 1000, /* less is not worth writing down */
};

/* Tells what is wrong, but not for each of a thousand messages. */
static void complain(struct writer *w, int rc, int cause, const char *reason)
{
    int64_t now = clock_mono_ms();

    if (w->ailing && now < w->complained_ms + COMPLAIN_MS)
        return;
    w->ailing = true;
    w->complained_ms = now;
    if (w->tidy_at_ms > now + COMPLAIN_MS) /* which finds out whether it works again */
        w->tidy_at_ms = now + COMPLAIN_MS;
    if (reason == NULL)
        reason = w->store.db != NULL ? sqlite3_errmsg(w->store.db) : sqlite3_errstr(rc);
    log_event(LOG_LEVEL_ERROR, "store", LOG_STR("path", w->path), LOG_STR("reason", reason), LOG_NUM("code", rc),
              LOG_STR("cause", cause != 0 ? strerror(cause) : NULL));
}

static void recovered(struct writer *w)
{
    if (!w->ailing || w->copying_fails)
        return;
    w->ailing = false;
    log_event(LOG_LEVEL_INFO, "store", LOG_STR("path", w->path), LOG_STR("reason", "works again"));
}

static int apply(struct writer *w, struct request *r, int64_t now_ms, const char **reason)
{
    if (r->kind == REQUEST_LOOK)
        return SQLITE_OK; /* each transaction begins with a look */
    if (r->kind == REQUEST_FINISH)
        return store_finish(&w->store, (struct item *)r, now_ms);
    struct put *p = (struct put *)r;
    p->row = ++w->next_row; /* always another: another process may have taken the one that a failed attempt had */
    return store_put(&w->store, p, now_ms, reason);
}

/* A transaction, from its begin to its end. */
struct step {
    int64_t now_ms, clock_moved_ms;
    struct requests notices; /* what other processes did; counts once it is committed */
};

/* What others did, and whether somebody set the clock, comes before all else. */
static int begin(struct writer *w, struct step *step)
{
    *step = (struct step){.now_ms = clock_wall_ms()};
    step->clock_moved_ms = step->now_ms - clock_mono_ms() - w->wall_less_mono_ms;
    requests_init(&step->notices);
    errno = 0; /* see store_cause */
    int rc = w->store.db != NULL ? store_begin(&w->store) : SQLITE_CANTOPEN;
    /* The stamps move as all timers have done, so that a later start finds the same. */
    if (rc == SQLITE_OK && llabs(step->clock_moved_ms) >= CLOCK_STEP_MS)
        rc = store_move_stamps(&w->store, step->clock_moved_ms, true, step->now_ms);
    return rc == SQLITE_OK ? control_take(w, &step->notices) : rc;
}

/* A commit that fails may be whole in the log all the same: after a power cut, or the end of this process, it would be
 * taken for one that succeeded.  The next one that succeeds is written over it. */
static int commit(struct writer *w)
{
    w->store.wrote = false;
    int rc = store_commit(&w->store);
    if (rc != SQLITE_OK && rc != SQLITE_FULL && rc != SQLITE_IOERR_WRITE)
        w->doubt = true;
    if (rc == SQLITE_OK && w->store.wrote) {
        w->doubt = false;
        while (w->n_doubtful > 0)
            content_drop(w->folder, w->doubtful[--w->n_doubtful]);
    }
    return rc;
}

/* Commits if all went well so far (rc). */
static int end(struct writer *w, struct step *step, int rc)
{
    if (rc == SQLITE_OK)
        rc = commit(w);
    if (rc != SQLITE_OK) {
        control_free(&step->notices);
        return rc;
    }
    lane_post(&w->lane, &step->notices);
    if (llabs(step->clock_moved_ms) >= CLOCK_STEP_MS) {
        w->wall_less_mono_ms += step->clock_moved_ms;
        log_event(LOG_LEVEL_WARN, "clock", LOG_MSEC("moved", step->clock_moved_ms),
                  LOG_STR("reason", "somebody set the clock: what waits moves with it"));
    }
    return rc;
}

/* All of the list in one transaction. */
static int commit_all(struct writer *w, const struct requests *group, const char **reason)
{
    struct step step;
    int rc = begin(w, &step);

    for (struct request *r = group->head; rc == SQLITE_OK && r != NULL; r = r->next)
        rc = apply(w, r, step.now_ms, reason);
    rc = end(w, &step, rc);
    if (rc == SQLITE_OK)
        atomic_fetch_add_explicit(&w->commits, 1, memory_order_relaxed);
    return rc;
}

/* After an I/O error (a failed fsync above all) nothing that the connection remembers is trusted, and opening the file
 * begins with writing the log again (store_mend).  As long as it cannot be opened nothing is committed. */
static void reopen(struct writer *w)
{
    struct err err;

    store_close(&w->store);
    if (store_open(&w->store, w->path, STORE_WRITE, &err) < 0)
        complain(w, SQLITE_CANTOPEN, 0, err.text);
    else if (!w->damaged)
        store_keep(&w->store);
}

static void give_up(struct writer *w, int rc)
{
    store_rollback(&w->store);
    if (store_is_damage(rc) && !w->damaged) {
        w->damaged = true;
        damage_mark(w->path);
        log_event(LOG_LEVEL_ERROR, "store", LOG_STR("path", w->path), LOG_STR("reason", "the file is damaged"),
                  LOG_STR("fix", "restart sendas: it checks the file, and sets it aside for sendas queue rescue"));
    }
    if (w->store.db == NULL || (rc & 0xff) == SQLITE_IOERR || store_is_damage(rc))
        reopen(w);
}

/* The file of a message that was not stored. */
static void drop_file(struct writer *w, const struct put *p)
{
    if (!p->in_file)
        return;
    if (!w->doubt)
        content_drop(w->folder, p->m.id);
    else if (w->n_doubtful < DOUBTFUL_MAX)
        memcpy(w->doubtful[w->n_doubtful++], p->m.id, QUEUE_ID_SIZE);
}

static void settle_committed(struct request *r, struct requests *done)
{
    if (r->kind == REQUEST_PUT)
        ((struct put *)r)->status = QUEUE_OK;
    requests_push(done, r);
}

static void settle_failed(struct writer *w, struct request *r, enum queue_status status, struct requests *done)
{
    if (r->kind == REQUEST_FINISH) {
        requests_push(&w->carried, r);
        w->carried_until_ms = clock_mono_ms() + CARRY_MS;
        return;
    }
    if (r->kind == REQUEST_LOOK) { /* housekeeping looks again */
        w->tidy_at_ms = clock_mono_ms() + CARRY_MS;
        requests_push(done, r);
        return;
    }
    struct put *p = (struct put *)r;
    drop_file(w, p);
    p->status = status;
    requests_push(done, r);
}

/* Each by itself, after a group failed. */
static void commit_each(struct writer *w, struct requests *group, struct requests *done)
{
    for (struct request *r; (r = requests_pop(group)) != NULL;) {
        struct requests one;
        const char *reason = NULL;
        requests_init(&one);
        requests_push(&one, r);
        int rc = commit_all(w, &one, &reason);
        if (rc == SQLITE_OK) {
            recovered(w);
            settle_committed(r, done);
            continue;
        }
        int cause = store_cause(&w->store, rc);
        complain(w, rc, cause, reason);
        give_up(w, rc);
        settle_failed(w, r, store_status(rc), done);
    }
}

static void commit_group(struct writer *w, struct requests *group)
{
    struct requests done;
    const char *reason = NULL;

    if (group->head == NULL)
        return;
    requests_init(&done);
    int rc = commit_all(w, group, &reason);
    if (rc == SQLITE_OK) {
        recovered(w);
        for (struct request *r; (r = requests_pop(group)) != NULL;)
            settle_committed(r, &done);
    } else {
        give_up(w, rc);
        commit_each(w, group, &done);
    }
    lane_post(&w->lane, &done);
}

/* What a request writes, about. */
static size_t weight(const struct request *r)
{
    if (r->kind != REQUEST_PUT)
        return 512;
    const struct put *p = (const struct put *)r;
    return p->in_file ? p->m.head.n + QUEUE_CHUNK : (size_t)p->size;
}

/* The requests of the next commit: first what is carried, if its time has come. */
static void collect(struct writer *w, struct requests *group, bool stopping)
{
    size_t n = 0, bytes = 0;

    requests_init(group);
    if (w->carried.head != NULL && (stopping || clock_mono_ms() >= w->carried_until_ms))
        requests_move(group, &w->carried);
    while (w->backlog.head != NULL && n < GROUP_REQUESTS_MAX && bytes < GROUP_BYTES_MAX) {
        struct request *r = requests_pop(&w->backlog);
        n++;
        bytes += weight(r);
        /* Finishes stay in order: behind those that are carried. */
        requests_push(r->kind == REQUEST_FINISH && w->carried.head != NULL ? &w->carried : group, r);
    }
}

/* Housekeeping, when nothing is under way: history that is old enough goes, and unused room. */
static void tidy(struct writer *w)
{
    int64_t now = clock_mono_ms();
    struct step step;
    int pruned = 0;
    bool more = false;

    if (now < w->tidy_at_ms)
        return;
    w->tidy_at_ms = now + (w->ailing ? COMPLAIN_MS : TIDY_MS);
    int rc = begin(w, &step);
    if (rc == SQLITE_OK && w->ailing) /* does it work again?  Nobody may send anything while it does not */
        rc = store_stamp(&w->store, step.now_ms);
    if (rc == SQLITE_OK)
        rc = store_prune(&w->store, step.now_ms - atomic_load(&w->history_ms), step.now_ms, &w->prune_place, &pruned);
    if (rc == SQLITE_OK)
        rc = store_shrink(&w->store, &more);
    rc = end(w, &step, rc);
    if (rc == SQLITE_OK) {
        recovered(w);
        if (more || pruned == PRUNE_BATCH)
            w->tidy_at_ms = now + TIDY_MORE_MS;
        return;
    }
    complain(w, rc, store_cause(&w->store, rc), NULL);
    give_up(w, rc);
}

/* SQLite would do this within the commit, and say nothing of failures. */
static void copy_back(struct writer *w)
{
    int64_t now = clock_mono_ms();

    if (w->store.db == NULL || w->store.frames < atomic_load(&w->log_pages) || now < w->copy_at_ms)
        return;
    errno = 0;
    int rc = store_copy_back(&w->store);
    w->copying_fails = rc != SQLITE_OK;
    if (rc == SQLITE_OK)
        return;
    w->copy_at_ms = now + COMPLAIN_MS;
    complain(w, rc, store_cause(&w->store, rc), NULL);
    give_up(w, rc);
}

/* How long to wait for requests. */
static int64_t patience(const struct writer *w)
{
    int64_t until = w->tidy_at_ms;

    if (w->backlog.head != NULL)
        return 0;
    if (w->carried.head != NULL && w->carried_until_ms < until)
        until = w->carried_until_ms;
    int64_t left = until - clock_mono_ms();
    return left > 0 ? left : 0;
}

/* At the end only: these outcomes are lost, and what was delivered will be so again. */
static void drop_carried(struct writer *w)
{
    struct requests done;

    if (w->carried.head == NULL)
        return;
    for (const struct request *r = w->carried.head; r != NULL; r = r->next)
        log_event(LOG_LEVEL_ERROR, "store", LOG_STR("queue", ((const struct item *)r)->item.id),
                  LOG_STR("reason", "the outcome could not be recorded: it may be delivered again"));
    requests_init(&done);
    requests_move(&done, &w->carried);
    lane_post(&w->lane, &done);
}

void *writer_run(void *arg)
{
    struct writer *w = arg;
    bool more = true;

    w->tidy_at_ms = clock_mono_ms() + TIDY_MORE_MS;
    while (more || w->backlog.head != NULL) {
        struct requests group;
        more = lane_take(&w->lane, &w->backlog, patience(w));
        collect(w, &group, !more);
        commit_group(w, &group);
        if (w->backlog.head == NULL && more)
            tidy(w);
        copy_back(w);
    }
    drop_carried(w);
    return NULL;
}
