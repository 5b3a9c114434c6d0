/* list.c - the queue as `sendas queue list` shows it: on a connection of its own, also beside a running daemon. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By the recipients: only what waits has some, however long the history is. */
static const char list_sql[] = "SELECT m.row, m.id, m.sender, m.size, m.created_ms, m.expires_ms, m.held, r.address,"
                               " r.attempts, r.next_ms, r.last_reply FROM recipient r CROSS JOIN message m"
                               " ON m.row = r.row >> 16 ORDER BY r.row";

static char *column_copy(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);

    return strdup(text != NULL ? text : "");
}

static void listing_clear(struct queue_listing *m)
{
    for (size_t i = 0; i < m->n_recipients; i++) {
        free(m->recipients[i].address);
        free(m->recipients[i].state);
        free(m->recipients[i].last_reply);
    }
    free(m->recipients);
    free(m->sender);
    *m = (struct queue_listing){0};
}

static int add_recipient(struct queue_listing *m, size_t *cap, sqlite3_stmt *st)
{
    if (m->n_recipients == *cap) {
        size_t grown = *cap > 0 ? *cap * 2 : 8;
        struct queue_listing_recipient *v = realloc(m->recipients, grown * sizeof(*v));
        if (v == NULL)
            return SQLITE_NOMEM;
        m->recipients = v;
        *cap = grown;
    }
    struct queue_listing_recipient *r = &m->recipients[m->n_recipients++];
    *r = (struct queue_listing_recipient){
        .address = column_copy(st, 7),
        .state = strdup(m->held ? "held" : "waiting"),
        .attempts = (unsigned)sqlite3_column_int(st, 8),
        .next_attempt_ms = m->held ? 0 : sqlite3_column_int64(st, 9),
        .last_reply = column_copy(st, 10),
    };
    return r->address != NULL && r->state != NULL && r->last_reply != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static int begin_message(struct queue_listing *m, sqlite3_stmt *st)
{
    const char *id = (const char *)sqlite3_column_text(st, 1);

    *m = (struct queue_listing){
        .sender = column_copy(st, 2),
        .size = (uint64_t)sqlite3_column_int64(st, 3),
        .created_ms = sqlite3_column_int64(st, 4),
        .expires_ms = sqlite3_column_int64(st, 5),
        .held = sqlite3_column_int(st, 6) != 0,
    };
    if (m->sender == NULL || id == NULL)
        return SQLITE_NOMEM;
    snprintf(m->id, sizeof(m->id), "%s", id);
    return SQLITE_OK;
}

/* Hands over a message whose recipients are all there.  SQLITE_ABORT when each() has had enough. */
static int end_message(struct queue_listing *m, int (*each)(void *ctx, const struct queue_listing *m), void *ctx)
{
    int rc = m->sender != NULL && each(ctx, m) != 0 ? SQLITE_ABORT : SQLITE_OK;

    listing_clear(m);
    return rc;
}

static int list_all(sqlite3 *db, int (*each)(void *ctx, const struct queue_listing *m), void *ctx)
{
    struct queue_listing m = {0};
    int64_t last = -1;
    size_t cap = 0;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, list_sql, -1, &st, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t row = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
        if (row != last) {
            last = row;
            cap = 0;
            if ((rc = end_message(&m, each, ctx)) == SQLITE_OK)
                rc = begin_message(&m, st);
        }
        if (rc == SQLITE_OK)
            rc = add_recipient(&m, &cap, st);
    }
    if (rc == SQLITE_DONE)
        rc = end_message(&m, each, ctx);
    listing_clear(&m);
    sqlite3_finalize(st);
    return rc;
}

int queue_list(const char *path, int (*each)(void *ctx, const struct queue_listing *m), void *ctx, struct err *err)
{
    struct store s;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (store_open(&s, path, STORE_READ, err) < 0)
        return -1;
    int rc = list_all(s.db, each, ctx); /* one statement: one view of the whole while the daemon goes on */
    if (rc != SQLITE_OK && rc != SQLITE_ABORT)
        err_set(err, "%s: %s", path, rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(s.db));
    store_close(&s);
    return rc == SQLITE_OK ? 0 : rc == SQLITE_ABORT ? 1 : -1;
}
