/* store.c - the statements.  A function here runs inside the transaction of its caller and reports SQLite's extended
 * result code; nothing is logged. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum statement {
    SQL_BEGIN = 0,
    SQL_COMMIT,
    SQL_PUT_MESSAGE,
    SQL_PUT_RECIPIENT,
    SQL_PUT_CHUNK,
    SQL_PUT_PARTIAL,
    SQL_DROP_PARTIAL,
    SQL_DROP_CHUNKS,
    SQL_PUT_EVENT,
    SQL_CLOSE_EVENT,
    SQL_DROP_RECIPIENT,
    SQL_ANY_RECIPIENT,
    SQL_FINISH_MESSAGE,
    SQL_DEFER,
    SQL_LOAD_MESSAGE,
    SQL_LOAD_RECIPIENT,
    SQL_READ_CHUNK,
    SQL_SCAN,
    SQL_LAST_ROW,
    SQL_PARTIALS,
    SQL_CONTROL_FIRST,
    SQL_CONTROL_DROP,
    SQL_CONTROL_DROP_ALL,
    SQL_NEWEST,
    SQL_MOVE_MESSAGES,
    SQL_MOVE_RECIPIENTS,
    SQL_PRUNABLE,
    SQL_DROP_EVENTS,
    SQL_DROP_MESSAGE,
    SQL_FREE_PAGES,
    SQL_GIVE_BACK,
    SQL_STATEMENTS
};

_Static_assert((int)SQL_STATEMENTS <= (int)STORE_STATEMENTS, "struct store has room for every statement");

enum { NO_MESSAGE = 0 }; /* rows of messages begin with 1 */

static const char *const sql_texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_PUT_MESSAGE] = "INSERT INTO message (row, id, user, sender, submitted, bounce_to, message_id, envid, ret,"
                        " smtputf8, eightbit, size, created_ms, expires_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_PUT_RECIPIENT] = "INSERT INTO recipient (row, address, domain, orcpt, notify, next_ms) VALUES (?,?,?,?,?,?)",
    [SQL_PUT_CHUNK] = "INSERT INTO chunk (row, bytes, sum) VALUES (?,?,?)",
    [SQL_PUT_PARTIAL] = "INSERT OR IGNORE INTO partial (message_row) VALUES (?)",
    [SQL_DROP_PARTIAL] = "DELETE FROM partial WHERE message_row = ?",
    [SQL_DROP_CHUNKS] = "DELETE FROM chunk WHERE row BETWEEN ? AND ?",
    [SQL_PUT_EVENT] = "INSERT INTO event (message_row, time_ms, kind, recipient, text) VALUES (?,?,?,?,?)",
    [SQL_CLOSE_EVENT] = "INSERT INTO event (message_row, time_ms, kind, recipient, text)"
                        " SELECT ?, ?, 'bounced', address, ? FROM recipient WHERE row = ?",
    [SQL_DROP_RECIPIENT] = "DELETE FROM recipient WHERE row = ?",
    [SQL_ANY_RECIPIENT] = "SELECT 1 FROM recipient WHERE row BETWEEN ? AND ? LIMIT 1",
    [SQL_FINISH_MESSAGE] = "UPDATE message SET finished_ms = ? WHERE row = ? AND finished_ms IS NULL",
    [SQL_DEFER] = "UPDATE recipient SET attempts = attempts + 1, next_ms = ?, warned = max(warned, ?), last_reply = ?"
                  " WHERE row = ?",
    [SQL_LOAD_MESSAGE] = "SELECT sender, bounce_to, user, envid, message_id, ret, smtputf8, eightbit, size FROM message"
                         " WHERE row = ?",
    [SQL_LOAD_RECIPIENT] = "SELECT address, orcpt, notify, attempts, warned FROM recipient WHERE row = ?",
    [SQL_READ_CHUNK] = "SELECT bytes, sum FROM chunk WHERE row = ?",
    [SQL_SCAN] = "SELECT r.row, r.domain, r.next_ms, m.id, m.created_ms, m.expires_ms, m.held, m.user FROM recipient r"
                 " CROSS JOIN message m ON m.row = r.row >> 16 WHERE r.row BETWEEN ? AND ? ORDER BY r.row",
    [SQL_LAST_ROW] = "SELECT max((SELECT ifnull(max(row), 0) FROM message),"
                     " (SELECT ifnull(max(row) >> 16, 0) FROM chunk),"
                     " (SELECT ifnull(max(row) >> 16, 0) FROM recipient))",
    [SQL_PARTIALS] = "SELECT message_row FROM partial LIMIT 1",
    [SQL_CONTROL_FIRST] = "SELECT row, message_row, action, id FROM control ORDER BY row LIMIT 1",
    [SQL_CONTROL_DROP] = "DELETE FROM control WHERE row = ?",
    [SQL_CONTROL_DROP_ALL] = "DELETE FROM control WHERE row > 0",
    [SQL_NEWEST] = "SELECT time_ms FROM event ORDER BY row DESC LIMIT 1",
    [SQL_MOVE_MESSAGES] = "UPDATE message SET expires_ms = expires_ms + ?1, created_ms = created_ms + ?2"
                          " WHERE finished_ms IS NULL",
    [SQL_MOVE_RECIPIENTS] = "UPDATE recipient SET next_ms = next_ms + ?",
    [SQL_PRUNABLE] = "SELECT row FROM message WHERE finished_ms < ? ORDER BY finished_ms LIMIT 1",
    [SQL_DROP_EVENTS] = "DELETE FROM event WHERE message_row = ?",
    [SQL_DROP_MESSAGE] = "DELETE FROM message WHERE row = ?",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
    [SQL_GIVE_BACK] = "PRAGMA incremental_vacuum(512)",
};

/* ---- a statement being run: the first error sticks ------------------------------------------------------------- */

struct run {
    sqlite3_stmt *st;
    int bound, rc;
};

static struct run use(struct store *s, enum statement which)
{
    struct run r = {.st = s->statements[which], .rc = SQLITE_OK};

    if (r.st == NULL) {
        r.rc = sqlite3_prepare_v3(s->db, sql_texts[which], -1, SQLITE_PREPARE_PERSISTENT, &r.st, NULL);
        s->statements[which] = r.st;
    }
    return r;
}

static void bind_number(struct run *r, int64_t v)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_int64(r->st, ++r->bound, v);
}

static void bind_slice(struct run *r, struct slice s)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_text(r->st, ++r->bound, s.p != NULL ? s.p : "", (int)s.n, SQLITE_STATIC);
}

static void bind_str(struct run *r, const char *s)
{
    bind_slice(r, slice_of(s));
}

/* NULL where there is no text at all. */
static void bind_optional(struct run *r, struct slice s)
{
    if (s.p != NULL)
        bind_slice(r, s);
    else if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_null(r->st, ++r->bound);
}

static void bind_range(struct run *r, int64_t message_row)
{
    bind_number(r, key_of(message_row, 0));
    bind_number(r, key_of(message_row, (1 << KEY_BITS) - 1));
}

/* True when there is a row. */
static bool run_row(struct run *r)
{
    if (r->rc != SQLITE_OK)
        return false;
    int rc = sqlite3_step(r->st);
    if (rc == SQLITE_ROW)
        return true;
    r->rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    return false;
}

/* Leaves the statement ready for its next use. */
static int run_end(struct run *r)
{
    if (r->st != NULL)
        sqlite3_reset(r->st);
    return r->rc;
}

static int run_all(struct run *r)
{
    while (run_row(r))
        ;
    return run_end(r);
}

static int run_one(struct store *s, enum statement which, int64_t number)
{
    struct run r = use(s, which);

    bind_number(&r, number);
    return run_all(&r);
}

/* ---- transactions ---------------------------------------------------------------------------- */

int store_begin(struct store *s)
{
    struct run r = use(s, SQL_BEGIN);

    return run_all(&r);
}

int store_commit(struct store *s)
{
    struct run r = use(s, SQL_COMMIT);

    return run_all(&r);
}

void store_rollback(struct store *s)
{
    if (s->db != NULL && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int store_cause(const struct store *s, int rc)
{
    int e = errno;

    if ((rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN)
        return 0;
    /* SQLite does not keep the cause of a COMMIT that fails; errno still has it. */
    int kept = s->db != NULL ? sqlite3_system_errno(s->db) : 0;
    return kept != 0 ? kept : e;
}

bool store_is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

bool store_is_passing(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* a lock, after many tries */
        return true;
    default:
        return rc == SQLITE_IOERR_NOMEM;
    }
}

/* What may pass by itself, or when somebody frees some disk, descriptors or memory, is one thing for a client. */
enum queue_status store_status(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
        return QUEUE_OK;
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return QUEUE_FULL;
    case SQLITE_MISMATCH: /* compare() */
        return QUEUE_CHANGED;
    default:
        return QUEUE_FAILED;
    }
}

/* ---- a message comes in ---------------------------------------------------------------------- */

/* The octets of the content from `offset` on: head, then body. */
static int fill(const struct put *p, uint64_t offset, char *buffer, size_t n)
{
    size_t got = 0;

    if (offset < p->m.head.n) {
        struct slice part = slice_sub(p->m.head, (size_t)offset, n);
        memcpy(buffer, part.p, part.n);
        got = part.n;
    }
    while (got < n) {
        ssize_t k = spool_read(p->m.body, offset + got - p->m.head.n, buffer + got, n - got);
        if (k <= 0)
            return -1;
        got += (size_t)k;
    }
    return 0;
}

static int put_chunks(struct store *s, struct put *p, unsigned to, const char **reason)
{
    char buffer[QUEUE_CHUNK];

    p->reached_sum = p->stored_sum;
    for (unsigned i = p->stored; i < to; i++) {
        uint64_t offset = (uint64_t)i * QUEUE_CHUNK;
        size_t n = p->size - offset < QUEUE_CHUNK ? (size_t)(p->size - offset) : QUEUE_CHUNK;
        if (fill(p, offset, buffer, n) < 0) {
            *reason = "the spooled message cannot be read";
            return SQLITE_ERROR;
        }
        int64_t sum = store_sum(slice_from(buffer, n));
        p->reached_sum = store_sum_next(p->reached_sum, sum);
        struct run r = use(s, SQL_PUT_CHUNK);
        bind_number(&r, key_of(p->row, i));
        if (r.rc == SQLITE_OK)
            r.rc = sqlite3_bind_blob(r.st, ++r.bound, buffer, (int)n, SQLITE_STATIC);
        bind_number(&r, sum);
        if (run_all(&r) != SQLITE_OK)
            return r.rc;
    }
    return SQLITE_OK;
}

/* What was read now is what was checked before. */
static int compare(const struct put *p, const char **reason)
{
    const struct queue_sum *checked = p->m.checked;

    if (checked == NULL || (checked->at == p->size && checked->all == p->reached_sum))
        return SQLITE_OK;
    *reason = "the spooled message is no longer what was checked";
    return SQLITE_MISMATCH;
}

static int put_message(struct store *s, const struct put *p)
{
    const struct queue_message *m = &p->m;
    struct run r = use(s, SQL_PUT_MESSAGE);

    bind_number(&r, p->row);
    bind_str(&r, m->id);
    bind_slice(&r, m->user);
    bind_slice(&r, m->sender);
    bind_optional(&r, m->submitted);
    bind_slice(&r, m->bounce_to);
    bind_slice(&r, m->message_id);
    bind_slice(&r, m->envid);
    bind_number(&r, m->ret);
    bind_number(&r, m->smtputf8);
    bind_number(&r, m->eightbit);
    bind_number(&r, (int64_t)p->size);
    bind_number(&r, p->created_ms);
    bind_number(&r, p->expires_ms);
    return run_all(&r);
}

static int put_recipients(struct store *s, const struct put *p)
{
    for (size_t i = 0; i < p->m.n_recipients; i++) {
        const struct queue_recipient_in *in = &p->m.recipients[i];
        struct run r = use(s, SQL_PUT_RECIPIENT);
        bind_number(&r, key_of(p->row, (unsigned)i));
        bind_slice(&r, in->address);
        bind_slice(&r, in->domain);
        bind_slice(&r, in->orcpt);
        bind_number(&r, in->notify);
        bind_number(&r, p->created_ms);
        if (run_all(&r) != SQLITE_OK)
            return r.rc;
    }
    return SQLITE_OK;
}

static int put_event(struct store *s, int64_t message_row, int64_t now_ms, const char *kind, struct slice recipient,
                     struct slice text)
{
    struct run r = use(s, SQL_PUT_EVENT);

    bind_number(&r, message_row);
    bind_number(&r, now_ms);
    bind_str(&r, kind);
    bind_optional(&r, recipient);
    bind_slice(&r, text);
    return run_all(&r);
}

/* All notes are one event: a line each. */
static int put_notes(struct store *s, const struct put *p)
{
    struct strbuf text = STRBUF_INIT;

    for (size_t i = 0; i < p->m.n_notes; i++) {
        if (i > 0)
            strbuf_add_char(&text, '\n');
        strbuf_add_slice(&text, p->m.notes[i]);
    }
    int rc = text.failed
                 ? SQLITE_NOMEM
                 : put_event(s, p->row, p->created_ms, "accepted", (struct slice){NULL, 0}, strbuf_slice(&text));
    strbuf_free(&text);
    return rc;
}

static int drop_chunks(struct store *s, int64_t message_row)
{
    struct run r = use(s, SQL_DROP_CHUNKS);

    bind_range(&r, message_row);
    return run_all(&r);
}

/* Where no recipient waits any more, the content goes and the message is history. */
static int finish_if_done(struct store *s, int64_t message_row, int64_t now_ms, size_t *finished)
{
    struct run any = use(s, SQL_ANY_RECIPIENT);

    bind_range(&any, message_row);
    bool left = run_row(&any);
    int rc = run_end(&any);
    if (rc != SQLITE_OK || left)
        return rc;
    if ((rc = drop_chunks(s, message_row)) != SQLITE_OK)
        return rc;
    struct run r = use(s, SQL_FINISH_MESSAGE);
    bind_number(&r, now_ms);
    bind_number(&r, message_row);
    if (run_all(&r) == SQLITE_OK)
        *finished += (size_t)sqlite3_changes(s->db);
    return r.rc;
}

/* The recipients that a DSN is about leave with the commit that brings the DSN. */
static int put_closes(struct store *s, struct put *p, int64_t now_ms)
{
    for (size_t i = 0; i < p->m.n_closes; i++) {
        int64_t key = p->m.closes[i];
        struct run r = use(s, SQL_CLOSE_EVENT);
        bind_number(&r, key_message(key));
        bind_number(&r, now_ms);
        bind_str(&r, p->m.id);
        bind_number(&r, key);
        int rc = run_all(&r);
        if (rc == SQLITE_OK)
            rc = run_one(s, SQL_DROP_RECIPIENT, key);
        if (rc == SQLITE_OK && sqlite3_changes(s->db) > 0)
            rc = finish_if_done(s, key_message(key), now_ms, &p->finished);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

int store_put(struct store *s, struct put *p, int64_t now_ms, const char **reason)
{
    bool last = p->chunks - p->stored <= PUT_STEP_CHUNKS;
    unsigned to = last ? p->chunks : p->stored + PUT_STEP_CHUNKS;
    int rc = SQLITE_OK;

    p->finished = 0;
    if (!last && p->stored == 0)
        rc = run_one(s, SQL_PUT_PARTIAL, p->row);
    if (rc == SQLITE_OK)
        rc = put_chunks(s, p, to, reason);
    p->reached = to;
    p->complete = last;
    if (rc != SQLITE_OK || !last)
        return rc;
    rc = compare(p, reason);
    if (rc == SQLITE_OK && p->stored > 0)
        rc = run_one(s, SQL_DROP_PARTIAL, p->row);
    if (rc == SQLITE_OK)
        rc = put_message(s, p);
    if (rc == SQLITE_OK)
        rc = put_recipients(s, p);
    if (rc == SQLITE_OK)
        rc = put_notes(s, p);
    return rc == SQLITE_OK ? put_closes(s, p, now_ms) : rc;
}

int store_put_undo(struct store *s, const struct put *p)
{
    int rc = drop_chunks(s, p->row);

    return rc == SQLITE_OK ? run_one(s, SQL_DROP_PARTIAL, p->row) : rc;
}

/* ---- an item comes back ---------------------------------------------------------------------- */

static int defer(struct store *s, const struct item *it, const struct finish_row *row, int64_t key)
{
    struct run r = use(s, SQL_DEFER);

    bind_number(&r, it->next_ms);
    bind_number(&r, row->warned);
    bind_str(&r, row->reply);
    bind_number(&r, key);
    return run_all(&r);
}

static int finish_recipient(struct store *s, const struct item *it, size_t i, int64_t now_ms)
{
    static const char *const kinds[] = {
        [QUEUE_DELIVERED] = "delivered",
        [QUEUE_DEFERRED] = "deferred",
        [QUEUE_FAILED_NO_DSN] = "failed",
        [QUEUE_CLOSED] = "failed",
    };
    const struct finish_row *row = &it->rows[i];
    const struct queue_item_recipient *to = &it->item.recipients[i];

    if (row->outcome == QUEUE_KEEP || (row->outcome == QUEUE_CLOSED && row->reply == NULL))
        return SQLITE_OK;
    int rc =
        put_event(s, it->item.message_row, now_ms, kinds[row->outcome], slice_of(to->address), slice_of(row->reply));
    if (rc != SQLITE_OK || row->outcome == QUEUE_CLOSED) /* that one left with its DSN */
        return rc;
    return row->outcome == QUEUE_DEFERRED ? defer(s, it, row, to->row) : run_one(s, SQL_DROP_RECIPIENT, to->row);
}

int store_finish(struct store *s, struct item *it, int64_t now_ms)
{
    int rc = SQLITE_OK;

    it->finished = 0;
    if (it->note != NULL)
        rc = put_event(s, it->item.message_row, now_ms, "attempt", (struct slice){NULL, 0}, slice_of(it->note));
    for (size_t i = 0; rc == SQLITE_OK && i < it->item.n_recipients; i++)
        rc = finish_recipient(s, it, i, now_ms);
    return rc == SQLITE_OK ? finish_if_done(s, it->item.message_row, now_ms, &it->finished) : rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static char *column_copy(struct run *r, int column)
{
    const char *text = (const char *)sqlite3_column_text(r->st, column);
    char *copy = strdup(text != NULL ? text : "");

    if (copy == NULL)
        r->rc = SQLITE_NOMEM;
    return copy;
}

static int load_message(struct store *s, struct item *it)
{
    struct queue_item *q = &it->item;
    struct run r = use(s, SQL_LOAD_MESSAGE);

    bind_number(&r, q->message_row);
    if (run_row(&r)) {
        q->sender = column_copy(&r, 0);
        q->bounce_to = column_copy(&r, 1);
        q->user = column_copy(&r, 2);
        q->envid = column_copy(&r, 3);
        q->message_id = column_copy(&r, 4);
        q->ret = sqlite3_column_int(r.st, 5);
        q->smtputf8 = sqlite3_column_int(r.st, 6) != 0;
        q->eightbit = sqlite3_column_int(r.st, 7) != 0;
        q->size = (uint64_t)sqlite3_column_int64(r.st, 8);
    } else {
        it->gone = r.rc == SQLITE_OK;
    }
    return run_end(&r);
}

/* True when the recipient is still there. */
static bool load_recipient(struct store *s, int64_t key, struct queue_item_recipient *to, int *rc)
{
    struct run r = use(s, SQL_LOAD_RECIPIENT);

    bind_number(&r, key);
    bool found = run_row(&r);
    if (found) {
        to->row = key;
        to->address = column_copy(&r, 0);
        to->orcpt = column_copy(&r, 1);
        to->notify = (unsigned)sqlite3_column_int(r.st, 2);
        to->attempts = (unsigned)sqlite3_column_int(r.st, 3);
        to->warned = sqlite3_column_int(r.st, 4) != 0;
    }
    *rc = run_end(&r);
    return found;
}

int store_load(struct store *s, struct item *it)
{
    struct entry *e = it->entry;
    int rc = load_message(s, it);

    if (rc != SQLITE_OK || it->gone)
        return rc;
    it->item.recipients = calloc(e->n, sizeof(*it->item.recipients));
    it->rows = calloc(e->n, sizeof(*it->rows));
    if (it->item.recipients == NULL || it->rows == NULL)
        return SQLITE_NOMEM;
    unsigned n = 0;
    for (unsigned i = 0; rc == SQLITE_OK && i < e->n; i++) {
        /* n_recipients also covers one that was half copied, for item_free */
        bool found = load_recipient(s, key_of(e->message_row, e->index[i]), &it->item.recipients[n], &rc);
        if (found)
            e->index[n++] = e->index[i];
        it->item.n_recipients = n;
    }
    if (rc == SQLITE_OK) {
        e->n = n;
        it->gone = n == 0;
    }
    return rc;
}

/* A copy of the row's octets; .p NULL when memory ran out.  Never of size 0, so that NULL means failure. */
static struct slice blob_copy(struct run *r, bool found)
{
    const void *bytes = found ? sqlite3_column_blob(r->st, 0) : NULL;
    size_t n = bytes != NULL ? (size_t)sqlite3_column_bytes(r->st, 0) : 0;
    char *copy = found && n == 0 ? NULL : malloc(n + 1); /* no chunk is empty */

    if (copy != NULL && n > 0)
        memcpy(copy, bytes, n);
    return (struct slice){copy, copy != NULL ? n : 0};
}

int store_read(struct store *s, struct read *read)
{
    struct run r = use(s, SQL_READ_CHUNK);

    bind_number(&r, key_of(read->message_row, read->index));
    bool found = run_row(&r);
    if (r.rc == SQLITE_OK) {
        read->bytes = blob_copy(&r, found);
        if (read->bytes.p == NULL)
            r.rc = SQLITE_NOMEM;
        else if (found && sqlite3_column_type(r.st, 1) != SQLITE_NULL &&
                 sqlite3_column_int64(r.st, 1) != store_sum(read->bytes))
            r.rc = SQLITE_CORRUPT;
    }
    if (r.rc != SQLITE_OK) {
        free((char *)read->bytes.p);
        read->bytes = (struct slice){NULL, 0};
    }
    return run_end(&r);
}

bool store_is_whole(struct store *s, int64_t message_row, uint64_t size)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < CHUNKS_MAX; i++) {
        struct read read = {.message_row = message_row, .index = i};
        if (store_read(s, &read) != SQLITE_OK)
            return false;
        n += read.bytes.n;
        bool end = read.bytes.n == 0;
        free((char *)read.bytes.p);
        if (end)
            break;
    }
    return n == size;
}

/* ---- start and housekeeping
 * -------------------------------------------------------------------------------------------- */

int store_scan(struct store *s, int64_t first, int64_t last, int (*each)(void *ctx, const struct store_waiting *w),
               void *ctx, size_t *messages)
{
    struct run r = use(s, SQL_SCAN);
    int64_t previous = -1;

    *messages = 0;
    bind_number(&r, key_of(first, 0));
    bind_number(&r, key_of(last, RECIPIENTS_MAX - 1));
    while (run_row(&r)) {
        struct store_waiting w = {
            .key = sqlite3_column_int64(r.st, 0),
            .domain = slice_from(sqlite3_column_text(r.st, 1), (size_t)sqlite3_column_bytes(r.st, 1)),
            .next_ms = sqlite3_column_int64(r.st, 2),
            .id = (const char *)sqlite3_column_text(r.st, 3),
            .created_ms = sqlite3_column_int64(r.st, 4),
            .expires_ms = sqlite3_column_int64(r.st, 5),
            .held = sqlite3_column_int(r.st, 6) != 0,
            .user = slice_from(sqlite3_column_text(r.st, 7), (size_t)sqlite3_column_bytes(r.st, 7)),
        };
        if (key_message(w.key) != previous)
            ++*messages;
        previous = key_message(w.key);
        if (w.id == NULL || each(ctx, &w) != 0)
            r.rc = SQLITE_NOMEM;
        if (r.rc != SQLITE_OK)
            break;
    }
    return run_end(&r);
}

/* The first number that the statement gives; *found tells whether it gave one. */
static int first_number(struct run *r, int64_t *ret, bool *found)
{
    *found = run_row(r);
    if (*found)
        *ret = sqlite3_column_int64(r->st, 0);
    return run_end(r);
}

int store_last_row(struct store *s, int64_t *ret)
{
    struct run r = use(s, SQL_LAST_ROW);
    bool found;

    *ret = 0;
    return first_number(&r, ret, &found);
}

int store_drop_partial(struct store *s)
{
    for (;;) {
        struct run r = use(s, SQL_PARTIALS);
        int64_t row = 0;
        bool found;
        int rc = first_number(&r, &row, &found);
        if (rc != SQLITE_OK || !found)
            return rc;
        rc = drop_chunks(s, row);
        if (rc == SQLITE_OK)
            rc = run_one(s, SQL_DROP_PARTIAL, row);
        if (rc != SQLITE_OK)
            return rc;
    }
}

int store_prune(struct store *s, int64_t before_ms, int limit, int *pruned)
{
    int rc = SQLITE_OK;

    for (*pruned = 0; *pruned < limit; ++*pruned) {
        struct run r = use(s, SQL_PRUNABLE);
        int64_t row = 0;
        bool found;
        bind_number(&r, before_ms);
        rc = first_number(&r, &row, &found);
        if (rc != SQLITE_OK || !found)
            break;
        rc = run_one(s, SQL_DROP_EVENTS, row);
        if (rc == SQLITE_OK)
            rc = run_one(s, SQL_DROP_MESSAGE, row);
        if (rc != SQLITE_OK)
            break;
    }
    return rc;
}

int store_control_first(struct store *s, struct store_control *ret)
{
    struct run r = use(s, SQL_CONTROL_FIRST);

    *ret = (struct store_control){0};
    if (run_row(&r)) {
        const char *id = (const char *)sqlite3_column_text(r.st, 3);
        ret->row = sqlite3_column_int64(r.st, 0);
        ret->message_row = sqlite3_column_int64(r.st, 1);
        ret->action = sqlite3_column_int64(r.st, 2);
        snprintf(ret->id, sizeof(ret->id), "%s", id != NULL ? id : "");
    }
    return run_end(&r);
}

int store_control_drop(struct store *s, int64_t row)
{
    return run_one(s, SQL_CONTROL_DROP, row);
}

int store_control_drop_all(struct store *s)
{
    struct run r = use(s, SQL_CONTROL_DROP_ALL);

    return run_all(&r);
}

int store_newest_ms(struct store *s, int64_t *ret)
{
    struct run r = use(s, SQL_NEWEST);
    bool found;

    *ret = 0;
    return first_number(&r, ret, &found);
}

/* The stamp is an event of no message. */
int store_move_stamps(struct store *s, int64_t by_ms, bool all, int64_t now_ms)
{
    struct run r = use(s, SQL_MOVE_MESSAGES);

    bind_number(&r, by_ms);
    bind_number(&r, all ? by_ms : 0);
    int rc = run_all(&r);
    if (rc == SQLITE_OK && all)
        rc = run_one(s, SQL_MOVE_RECIPIENTS, by_ms);
    if (rc == SQLITE_OK)
        rc = run_one(s, SQL_DROP_EVENTS, NO_MESSAGE);
    return rc == SQLITE_OK ? put_event(s, NO_MESSAGE, now_ms, "clock", (struct slice){NULL, 0}, SLICE("")) : rc;
}

int store_shrink(struct store *s, bool *more)
{
    enum { KEEP_PAGES = 8192 };
    struct run r = use(s, SQL_FREE_PAGES);
    int64_t pages = 0;
    bool found;
    int rc = first_number(&r, &pages, &found);

    *more = pages > KEEP_PAGES;
    if (rc != SQLITE_OK || !*more)
        return rc;
    struct run back = use(s, SQL_GIVE_BACK);
    return run_all(&back);
}
