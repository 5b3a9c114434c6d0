/* list.c - the queue as `sendas queue list` shows it: on a connection of its own, also beside a running daemon. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char list_messages[] =
    "SELECT row, id, sender, size, created_ms, expires_ms, held FROM message WHERE finished_ms IS NULL ORDER BY row";
static const char list_recipients[] =
    "SELECT address, attempts, next_ms, last_reply FROM recipient WHERE row BETWEEN ? AND ? ORDER BY row";

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
        .address = column_copy(st, 0),
        .state = strdup(m->held ? "held" : "waiting"),
        .attempts = (unsigned)sqlite3_column_int(st, 1),
        .next_attempt_ms = m->held ? 0 : sqlite3_column_int64(st, 2),
        .last_reply = column_copy(st, 3),
    };
    return r->address != NULL && r->state != NULL && r->last_reply != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static int read_recipients(struct queue_listing *m, sqlite3_stmt *st, int64_t message_row)
{
    size_t cap = 0;
    int rc;

    sqlite3_bind_int64(st, 1, key_of(message_row, 0));
    sqlite3_bind_int64(st, 2, key_of(message_row, RECIPIENTS_MAX - 1));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if ((rc = add_recipient(m, &cap, st)) != SQLITE_OK)
            break;
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int read_message(struct queue_listing *m, sqlite3_stmt *st, sqlite3_stmt *recipients)
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
    return read_recipients(m, recipients, sqlite3_column_int64(st, 0));
}

/* SQLITE_OK at the end, SQLITE_ABORT when each() has had enough. */
static int list_all(sqlite3 *db, int (*each)(void *ctx, const struct queue_listing *m), void *ctx)
{
    sqlite3_stmt *messages = NULL, *recipients = NULL;
    int rc = sqlite3_prepare_v2(db, list_messages, -1, &messages, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, list_recipients, -1, &recipients, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(messages)) == SQLITE_ROW) {
        struct queue_listing m;
        rc = read_message(&m, messages, recipients);
        if (rc == SQLITE_OK && each(ctx, &m) != 0)
            rc = SQLITE_ABORT;
        listing_clear(&m);
    }
    sqlite3_finalize(recipients);
    sqlite3_finalize(messages);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int queue_list(const char *path, int (*each)(void *ctx, const struct queue_listing *m), void *ctx, struct err *err)
{
    struct store s;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (store_open(&s, path, STORE_READ, err) < 0)
        return -1;
    /* One view of the whole while the daemon goes on. */
    int rc = sqlite3_exec(s.db, "BEGIN", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = list_all(s.db, each, ctx);
    if (rc != SQLITE_OK && rc != SQLITE_ABORT)
        err_set(err, "%s: %s", path, rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(s.db));
    store_rollback(&s);
    store_close(&s);
    return rc == SQLITE_OK ? 0 : rc == SQLITE_ABORT ? 1 : -1;
}
