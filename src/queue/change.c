/* change.c - what `sendas queue` does to the queue: in the file itself, in one transaction, with a line for trace; a
 * daemon that runs is told by the table `control`. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs what sqlite3_mprintf makes of it; *changed (may be NULL): the rows that the last statement changed. */
static int exec(struct store *s, size_t *changed, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    char *sql = sqlite3_vmprintf(format, ap);
    va_end(ap);
    int rc = sql != NULL ? sqlite3_exec(s->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    if (changed != NULL)
        *changed = rc == SQLITE_OK ? (size_t)sqlite3_changes64(s->db) : 0;
    return rc;
}

/* The line for trace, and the one for the daemon. */
static int tell(struct store *s, enum notice_action action, const char *done, int64_t row, const char *id, int64_t now)
{
    int rc = exec(s, NULL, "INSERT INTO event (message_row, time_ms, kind, text) VALUES (%lld, %lld, %Q, '')",
                  (long long)row, (long long)now, done);

    return rc != SQLITE_OK ? rc
                           : exec(s, NULL, "INSERT INTO control (message_row, action, id) VALUES (%lld, %d, %Q)",
                                  (long long)row, (int)action, id);
}

/* ---- one message ----------------------------------------------------------------------------- */

/* Each changes nothing (*n 0) where there is nothing to change. */

static int set_held(struct store *s, int64_t row, bool held, size_t *n)
{
    return exec(s, n, "UPDATE message SET held = %d WHERE row = %lld AND held <> %d", held, (long long)row, held);
}

static int set_due(struct store *s, int64_t row, int64_t now, size_t *n)
{
    return exec(s, n,
                "UPDATE recipient SET next_ms = min(next_ms, %lld) WHERE row BETWEEN %lld AND %lld"
                " AND (SELECT held FROM message WHERE row = %lld) = 0",
                (long long)now, (long long)key_of(row, 0), (long long)key_of(row, RECIPIENTS_MAX - 1), (long long)row);
}

static int remove_all(struct store *s, int64_t row, int64_t now, size_t *n)
{
    long long first = key_of(row, 0), last = key_of(row, RECIPIENTS_MAX - 1);
    int rc = exec(s, NULL, "DELETE FROM recipient WHERE row BETWEEN %lld AND %lld", first, last);

    if (rc == SQLITE_OK)
        rc = exec(s, NULL, "DELETE FROM chunk WHERE row BETWEEN %lld AND %lld", first, last);
    return rc != SQLITE_OK
               ? rc
               : exec(s, n, "UPDATE message SET finished_ms = %lld WHERE row = %lld", (long long)now, (long long)row);
}

static const struct {
    enum notice_action notice;
    const char *done;        /* the event */
    const char *not_changed; /* why nothing was */
} actions[] = {
    [QUEUE_HOLD] = {NOTICE_HOLD, "held", "is held already"},
    [QUEUE_RELEASE] = {NOTICE_RELEASE, "released", "is not held"},
    [QUEUE_RETRY] = {NOTICE_RETRY, "retried", "is held: release it, and it will be tried"},
    [QUEUE_REMOVE] = {NOTICE_REMOVE, "removed", "is gone"},
};

static int change(struct store *s, enum queue_action action, int64_t row, int64_t now, size_t *n)
{
    switch (action) {
    case QUEUE_HOLD:
    case QUEUE_RELEASE:
        return set_held(s, row, action == QUEUE_HOLD, n);
    case QUEUE_RETRY:
        return set_due(s, row, now, n);
    case QUEUE_REMOVE:
        return remove_all(s, row, now, n);
    }
    return SQLITE_MISUSE;
}

/* The row of the message that waits with this id; 0 when there is none.  By the recipients: however long the history is. */
static int find(struct store *s, const char *id, int64_t *row)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT m.row FROM recipient r CROSS JOIN message m ON m.row = r.row >> 16"
                                " WHERE m.id = ? LIMIT 1",
                                -1, &st, NULL);

    *row = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        *row = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* SQLITE_NOTFOUND, with the reason, when there is nothing to be done. */
static int act_on_one(struct store *s, enum queue_action action, const char *id, int64_t now, struct err *err)
{
    size_t n = 0;
    int64_t row;
    int rc = find(s, id, &row);

    if (rc == SQLITE_OK && row == 0) {
        err_set(err, "no message %s waits in the queue", id);
        return SQLITE_NOTFOUND;
    }
    if (rc == SQLITE_OK)
        rc = change(s, action, row, now, &n);
    if (rc == SQLITE_OK && action == QUEUE_REMOVE)
        rc = store_file_ends(s, id);
    if (rc == SQLITE_OK && n == 0) {
        err_set(err, "message %s %s", id, actions[action].not_changed);
        return SQLITE_NOTFOUND;
    }
    return rc == SQLITE_OK ? tell(s, actions[action].notice, actions[action].done, row, id, now) : rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int retry_all(struct store *s, int64_t now, size_t *n)
{
    int rc = exec(s, n,
                  "INSERT INTO event (message_row, time_ms, kind, text)"
                  " SELECT row, %lld, 'retried', '' FROM message WHERE held = 0"
                  " AND row IN (SELECT row >> 16 FROM recipient)",
                  (long long)now);

    if (rc == SQLITE_OK)
        rc = exec(s, NULL,
                  "UPDATE recipient SET next_ms = %lld WHERE next_ms > %lld"
                  " AND (SELECT held FROM message m WHERE m.row = recipient.row >> 16) = 0",
                  (long long)now, (long long)now);
    return rc != SQLITE_OK ? rc
                           : exec(s, NULL, "INSERT INTO control (message_row, action, id) VALUES (%d, %d, '')",
                                  (int)EVERY_MESSAGE, (int)NOTICE_RETRY);
}

/* ---- the door -------------------------------------------------------------------------------- */

int queue_act(const char *path, enum queue_action action, const char *id, size_t *changed, struct err *err)
{
    struct store s;
    int64_t now = clock_wall_ms();

    *changed = 0;
    if (access(path, F_OK) < 0 && errno == ENOENT && id != NULL) {
        err_set(err, "no message %s waits in the queue", id);
        return 1;
    }
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (store_open(&s, path, STORE_CHANGE, err) < 0)
        return -1;
    int rc = store_begin(&s);
    if (rc == SQLITE_OK)
        rc = id != NULL ? act_on_one(&s, action, id, now, err) : retry_all(&s, now, changed);
    if (rc == SQLITE_OK)
        rc = store_commit(&s);
    if (rc != SQLITE_OK && rc != SQLITE_NOTFOUND)
        err_set(err, "%s: %s", path, sqlite3_errmsg(s.db));
    store_rollback(&s);
    store_close(&s);
    if (rc != SQLITE_OK)
        return rc == SQLITE_NOTFOUND ? 1 : -1;
    if (id != NULL)
        *changed = 1;
    control_wake(path);
    return 0;
}
