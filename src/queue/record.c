/* record.c - all about one message, for `sendas queue show` and `sendas trace`: on a connection of its own, also beside
 * a running daemon, also when the message is gone. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MAX = 64 * 1024 };

/* No index: one look through the messages, even a million of them, is cheaper than a page of index for each that comes.
 */
static const char message_sql[] =
    "SELECT row, id, sender, size, created_ms, expires_ms, held, user, submitted, bounce_to, message_id, envid,"
    " ifnull(finished_ms, 0) FROM message WHERE id = ?1 OR message_id = ?2 ORDER BY row";
static const char recipients_sql[] = "SELECT address, attempts, next_ms, last_reply FROM recipient"
                                     " WHERE row BETWEEN ? AND ? ORDER BY row";
static const char events_sql[] = "SELECT time_ms, kind, recipient, text FROM event WHERE message_row = ? ORDER BY row";
static const char header_sql[] = "SELECT bytes FROM chunk WHERE row = ?";

static char *column_copy(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);

    return strdup(text != NULL ? text : "");
}

/* NULL stays NULL. */
static char *column_optional(sqlite3_stmt *st, int column)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL ? NULL : column_copy(st, column);
}

static void record_clear(struct queue_record *r)
{
    for (size_t i = 0; i < r->listing.n_recipients; i++) {
        free(r->listing.recipients[i].address);
        free(r->listing.recipients[i].state);
        free(r->listing.recipients[i].last_reply);
    }
    for (size_t i = 0; i < r->n_events; i++) {
        free(r->events[i].kind);
        free(r->events[i].recipient);
        free(r->events[i].text);
    }
    free(r->listing.recipients);
    free(r->listing.sender);
    free(r->events);
    free(r->user);
    free(r->submitted);
    free(r->bounce_to);
    free(r->message_id);
    free(r->envid);
    free(r->header);
    *r = (struct queue_record){0};
}

static int fill_message(struct queue_record *r, sqlite3_stmt *st)
{
    const char *id = (const char *)sqlite3_column_text(st, 1);

    snprintf(r->listing.id, sizeof(r->listing.id), "%s", id != NULL ? id : "");
    r->listing.sender = column_copy(st, 2);
    r->listing.size = (uint64_t)sqlite3_column_int64(st, 3);
    r->listing.created_ms = sqlite3_column_int64(st, 4);
    r->listing.expires_ms = sqlite3_column_int64(st, 5);
    r->listing.held = sqlite3_column_int(st, 6) != 0;
    r->user = column_copy(st, 7);
    r->submitted = column_optional(st, 8);
    r->bounce_to = column_copy(st, 9);
    r->message_id = column_copy(st, 10);
    r->envid = column_copy(st, 11);
    r->finished_ms = sqlite3_column_int64(st, 12);
    bool ok = r->listing.sender != NULL && r->user != NULL && r->bounce_to != NULL && r->message_id != NULL &&
              r->envid != NULL && (r->submitted != NULL) == (sqlite3_column_type(st, 8) != SQLITE_NULL);
    return ok ? SQLITE_OK : SQLITE_NOMEM;
}

/* Makes room for one more member of `size` octets: the array, maybe at another place, or NULL. */
static void *grown(void *v, size_t n, size_t size)
{
    return (n & (n - 1)) == 0 ? realloc(v, (n > 0 ? n * 2 : 1) * size) : v;
}

static int add_recipient(struct queue_record *r, sqlite3_stmt *st)
{
    struct queue_listing *m = &r->listing;
    struct queue_listing_recipient *v = grown(m->recipients, m->n_recipients, sizeof(*v));

    if (v == NULL)
        return SQLITE_NOMEM;
    m->recipients = v;
    struct queue_listing_recipient *to = &v[m->n_recipients++];
    *to = (struct queue_listing_recipient){.address = column_copy(st, 0),
                                           .state = strdup(m->held ? "held" : "waiting"),
                                           .attempts = (unsigned)sqlite3_column_int(st, 1),
                                           .next_attempt_ms = m->held ? 0 : sqlite3_column_int64(st, 2),
                                           .last_reply = column_copy(st, 3)};
    return to->address != NULL && to->state != NULL && to->last_reply != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static int append_event(struct queue_record *r, const struct queue_history *e)
{
    struct queue_history *v = grown(r->events, r->n_events, sizeof(*v));

    if (v == NULL) {
        free(e->kind);
        free(e->recipient);
        free(e->text);
        return SQLITE_NOMEM;
    }
    r->events = v;
    v[r->n_events++] = *e;
    return SQLITE_OK;
}

static int add_event(struct queue_record *r, sqlite3_stmt *st)
{
    struct queue_history e = {.time_ms = sqlite3_column_int64(st, 0),
                              .kind = column_copy(st, 1),
                              .recipient = column_optional(st, 2),
                              .text = column_copy(st, 3)};
    struct queue_history more[EVENTS_SPLIT_MAX];
    bool whole = e.kind != NULL && e.text != NULL;
    size_t n = whole && strcmp(e.kind, "attempt") == 0 ? events_split(&e, more) : 0;
    int rc = append_event(r, &e);

    for (size_t i = 0; i < n; i++) {
        int added = append_event(r, &more[i]);
        rc = rc == SQLITE_OK ? added : rc;
    }
    return rc == SQLITE_OK && whole ? SQLITE_OK : SQLITE_NOMEM;
}

/* The first chunk as far as the empty line. */
static int set_header(struct queue_record *r, sqlite3_stmt *st)
{
    struct slice bytes = slice_from(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    size_t n = slice_find_slice(bytes, SLICE("\r\n\r\n"));

    free(r->header);
    r->header = strndup(bytes.p != NULL ? bytes.p : "", n < HEADER_MAX ? n : HEADER_MAX);
    return r->header != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

/* Each row of `sql`, which is asked for `from` and, where it wants that, `to`. */
static int each_row(sqlite3 *db, const char *sql, int64_t from, int64_t to,
                    int (*row)(struct queue_record *r, sqlite3_stmt *st), struct queue_record *r)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 1, from);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(st) > 1)
        rc = sqlite3_bind_int64(st, 2, to);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        rc = row(r, st);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int fill(sqlite3 *db, struct queue_record *r, sqlite3_stmt *message)
{
    int64_t row = sqlite3_column_int64(message, 0);
    int rc = fill_message(r, message);

    if (rc == SQLITE_OK && (r->header = strdup("")) == NULL)
        rc = SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        rc = each_row(db, recipients_sql, key_of(row, 0), key_of(row, RECIPIENTS_MAX - 1), add_recipient, r);
    if (rc == SQLITE_OK)
        rc = each_row(db, events_sql, row, 0, add_event, r);
    if (rc == SQLITE_OK && events_order(r->events, r->n_events) < 0)
        rc = SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        rc = each_row(db, header_sql, key_of(row, 0), 0, set_header, r);
    return rc;
}

/* All in one read transaction: one view of it while the daemon goes on. */
static int find_all(sqlite3 *db, const char *id, const char *message_id,
                    int (*each)(void *ctx, const struct queue_record *r), void *ctx, size_t *found)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, message_sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 2, message_id, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct queue_record r = {0};
        rc = fill(db, &r, st);
        if (rc == SQLITE_OK) {
            ++*found;
            rc = each(ctx, &r) != 0 ? SQLITE_ABORT : SQLITE_OK;
        }
        record_clear(&r);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE || rc == SQLITE_ABORT ? SQLITE_OK : rc;
}

int queue_find(const char *path, const char *key, int (*each)(void *ctx, const struct queue_record *r), void *ctx,
               size_t *found, struct err *err)
{
    struct strbuf id = STRBUF_INIT, message_id = STRBUF_INIT;
    struct store s;
    int rc = SQLITE_NOMEM;

    *found = 0;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (store_open(&s, path, STORE_READ, err) < 0)
        return -1;
    for (const char *p = key; *p != '\0'; p++)
        strbuf_add_char(&id, (char)toupper((unsigned char)*p));
    strbuf_addf(&message_id, key[0] == '<' ? "%s" : "<%s>", key);
    if (!id.failed && !message_id.failed)
        rc = find_all(s.db, strbuf_str(&id), strbuf_str(&message_id), each, ctx, found);
    if (rc != SQLITE_OK)
        err_set(err, "%s: %s", path, rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(s.db));
    strbuf_free(&id);
    strbuf_free(&message_id);
    store_close(&s);
    return rc == SQLITE_OK ? 0 : -1;
}
