/* store.c - the store.  A function here runs inside the transaction of its caller and reports SQLite's extended
 * result code; nothing is logged. */
#include "statements.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NO_MESSAGE = 0 }; /* rows of messages begin with 1 */

/* ---- transactions ---------------------------------------------------------------------------- */

int store_begin(struct store *s)
{
    struct run r = run_of(s, SQL_BEGIN);

    return run_all(&r);
}

int store_commit(struct store *s)
{
    struct run r = run_of(s, SQL_COMMIT);

    if (run_all(&r) == SQLITE_OK)
        content_drop_all(s->folder, &s->ended);
    return r.rc;
}

void store_rollback(struct store *s)
{
    strbuf_reset(&s->ended);
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

static int put_chunk(struct store *s, const struct put *p, unsigned index, struct slice bytes, int64_t sum)
{
    struct run r = run_of(s, SQL_PUT_CHUNK);

    run_number(&r, key_of(p->row, index));
    run_blob(&r, bytes);
    run_number(&r, sum);
    return run_all(&r);
}

int store_fill_chunk(struct store *s, int64_t key, size_t have, struct slice bytes)
{
    struct run r = run_of(s, SQL_FILL_CHUNK);

    run_blob(&r, bytes);
    run_number(&r, key);
    run_number(&r, (int64_t)have);
    return run_all(&r);
}

/* Of n octets of the content from `offset` on, how many are the head's. */
static size_t in_head(const struct put *p, uint64_t offset, size_t n)
{
    uint64_t left = p->m.head.n < offset ? 0 : p->m.head.n - offset;

    return left < n ? (size_t)left : n;
}

/* What is in a file is not put into the table: 64 KiB less of log cost 0.17 ms less for 1 MB.  Nor is what begins there
 * read again: that file was checked, and it is delivered as long as it has the sums that it had then. */
static int put_chunks(struct store *s, struct put *p, const char **reason)
{
    char buffer[QUEUE_CHUNK];
    const int64_t *sums = sum_chunks(p);

    p->stored_sum = 0;
    for (unsigned i = 0; i < p->chunks; i++) {
        uint64_t offset = (uint64_t)i * QUEUE_CHUNK;
        size_t n = p->size - offset < QUEUE_CHUNK ? (size_t)(p->size - offset) : QUEUE_CHUNK;
        bool known = p->in_file && offset >= p->m.head.n && sums != NULL;
        if (!known && fill(p, offset, buffer, n) < 0) {
            *reason = "the spooled message cannot be read";
            return SQLITE_ERROR;
        }
        int64_t sum = known ? sums[i] : store_sum(slice_from(buffer, n));
        p->stored_sum = store_sum_next(p->stored_sum, sum);
        int rc = put_chunk(s, p, i, slice_from(buffer, p->in_file ? in_head(p, offset, n) : n), sum);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

/* What was read now is what was checked before. */
static int compare(const struct put *p, const char **reason)
{
    const struct queue_sum *checked = p->m.checked;

    if (checked == NULL || (checked->at == p->size && checked->all == p->stored_sum))
        return SQLITE_OK;
    *reason = "the spooled message is no longer what was checked";
    return SQLITE_MISMATCH;
}

static int put_message(struct store *s, const struct put *p)
{
    const struct queue_message *m = &p->m;
    struct run r = run_of(s, SQL_PUT_MESSAGE);

    run_number(&r, p->row);
    run_str(&r, m->id);
    run_slice(&r, m->user);
    run_slice(&r, m->sender);
    run_optional(&r, m->submitted);
    run_slice(&r, m->bounce_to);
    run_slice(&r, m->message_id);
    run_slice(&r, m->envid);
    run_number(&r, m->ret);
    run_number(&r, m->smtputf8);
    run_number(&r, m->eightbit);
    run_number(&r, (int64_t)p->size);
    run_number(&r, p->created_ms);
    run_number(&r, p->expires_ms);
    if (p->in_file)
        run_number(&r, (int64_t)m->head.n);
    else
        run_null(&r);
    return run_all(&r);
}

static int put_recipients(struct store *s, const struct put *p)
{
    for (size_t i = 0; i < p->m.n_recipients; i++) {
        const struct queue_recipient_in *in = &p->m.recipients[i];
        struct run r = run_of(s, SQL_PUT_RECIPIENT);
        run_number(&r, key_of(p->row, (unsigned)i));
        run_slice(&r, in->address);
        run_slice(&r, in->domain);
        run_slice(&r, in->orcpt);
        run_number(&r, in->notify);
        run_number(&r, p->created_ms);
        if (run_all(&r) != SQLITE_OK)
            return r.rc;
    }
    return SQLITE_OK;
}

static int put_event(struct store *s, int64_t message_row, int64_t now_ms, const char *kind, struct slice recipient,
                     struct slice text)
{
    struct run r = run_of(s, SQL_PUT_EVENT);

    run_number(&r, message_row);
    run_number(&r, now_ms);
    run_str(&r, kind);
    run_optional(&r, recipient);
    run_slice(&r, text);
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
    struct run r = run_of(s, SQL_DROP_CHUNKS);

    run_range(&r, message_row);
    return run_all(&r);
}

/* The file of a message that ends goes after the commit. */
static int end_file(struct store *s, int64_t message_row)
{
    struct run r = run_of(s, SQL_FILE);

    run_number(&r, message_row);
    if (run_row(&r))
        r.rc = store_file_ends(s, (const char *)sqlite3_column_text(r.st, 0));
    return run_end(&r);
}

int store_file_ends(struct store *s, const char *id)
{
    if (id == NULL || strlen(id) != QUEUE_ID_LEN)
        return id == NULL ? SQLITE_NOMEM : SQLITE_OK;
    strbuf_add_str(&s->ended, id);
    return s->ended.failed ? SQLITE_NOMEM : SQLITE_OK;
}

/* Where no recipient waits any more, the content goes and the message is history. */
static int finish_if_done(struct store *s, int64_t message_row, int64_t now_ms, size_t *finished)
{
    struct run any = run_of(s, SQL_ANY_RECIPIENT);

    run_range(&any, message_row);
    bool left = run_row(&any);
    int rc = run_end(&any);
    if (rc != SQLITE_OK || left)
        return rc;
    if ((rc = drop_chunks(s, message_row)) != SQLITE_OK)
        return rc;
    if (sqlite3_changes(s->db) > 1 && (rc = end_file(s, message_row)) != SQLITE_OK) /* small ones have no file */
        return rc;
    struct run r = run_of(s, SQL_FINISH_MESSAGE);
    run_number(&r, now_ms);
    run_number(&r, message_row);
    if (run_all(&r) == SQLITE_OK)
        *finished += (size_t)sqlite3_changes(s->db);
    return r.rc;
}

/* The recipients that a DSN is about leave with the commit that brings the DSN. */
static int put_closes(struct store *s, struct put *p, int64_t now_ms)
{
    for (size_t i = 0; i < p->m.n_closes; i++) {
        int64_t key = p->m.closes[i];
        struct run r = run_of(s, SQL_CLOSE_EVENT);
        run_number(&r, key_message(key));
        run_number(&r, now_ms);
        run_str(&r, p->m.id);
        run_number(&r, key);
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
    int rc = put_chunks(s, p, reason);

    p->finished = 0;
    if (rc == SQLITE_OK)
        rc = compare(p, reason);
    if (rc == SQLITE_OK)
        rc = put_message(s, p);
    if (rc == SQLITE_OK)
        rc = put_recipients(s, p);
    if (rc == SQLITE_OK)
        rc = put_notes(s, p);
    return rc == SQLITE_OK ? put_closes(s, p, now_ms) : rc;
}

/* ---- an item comes back ---------------------------------------------------------------------- */

static int defer(struct store *s, const struct item *it, const struct finish_row *row, int64_t key)
{
    struct run r = run_of(s, SQL_DEFER);

    run_number(&r, it->next_ms);
    run_number(&r, row->warned);
    run_str(&r, row->reply);
    run_number(&r, key);
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

/* ---- start and housekeeping
 * -------------------------------------------------------------------------------------------- */

int store_scan(struct store *s, int64_t first, int64_t last, int (*each)(void *ctx, const struct store_waiting *w),
               void *ctx, size_t *messages)
{
    struct run r = run_of(s, SQL_SCAN);
    int64_t previous = -1;

    *messages = 0;
    run_number(&r, key_of(first, 0));
    run_number(&r, key_of(last, RECIPIENTS_MAX - 1));
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
    struct run r = run_of(s, SQL_LAST_ROW);
    bool found;

    *ret = 0;
    return first_number(&r, ret, &found);
}

int store_files(struct store *s, struct strbuf *ids)
{
    struct run r = run_of(s, SQL_FILES);

    while (run_row(&r))
        if (sqlite3_column_bytes(r.st, 0) == QUEUE_ID_LEN)
            strbuf_add(ids, sqlite3_column_text(r.st, 0), QUEUE_ID_LEN);
    if (ids->failed && r.rc == SQLITE_OK)
        r.rc = SQLITE_NOMEM;
    return run_end(&r);
}

int store_drop_partial(struct store *s)
{
    for (;;) {
        struct run r = run_of(s, SQL_PARTIALS);
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

int store_prune(struct store *s, int64_t before_ms, int64_t now_ms, int64_t *place, int *pruned)
{
    int64_t rows[PRUNE_BATCH];
    struct run r = run_of(s, SQL_FINISHED);
    int looked = 0, n = 0;
    bool last = false;

    run_number(&r, before_ms); /* what waits is not old */
    run_number(&r, *place);
    run_number(&r, PRUNE_LOOK);
    for (; n < PRUNE_BATCH && !last && run_row(&r); looked++) {
        int64_t created_ms = sqlite3_column_int64(r.st, 2);
        *place = sqlite3_column_int64(r.st, 0);
        if (sqlite3_column_int64(r.st, 1) < before_ms)
            rows[n++] = *place;
        /* What came behind it was finished later still; unless its own stamp is of a clock that was ahead. */
        last = created_ms >= before_ms && created_ms <= now_ms;
    }
    int rc = run_end(&r);
    if (last || (n < PRUNE_BATCH && looked < PRUNE_LOOK))
        *place = 0; /* from the start again */
    for (*pruned = 0; rc == SQLITE_OK && *pruned < n; ++*pruned) {
        rc = run_one(s, SQL_DROP_EVENTS, rows[*pruned]);
        if (rc == SQLITE_OK)
            rc = run_one(s, SQL_DROP_MESSAGE, rows[*pruned]);
    }
    return rc;
}

int store_control_first(struct store *s, struct store_control *ret)
{
    struct run r = run_of(s, SQL_CONTROL_FIRST);

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
    struct run r = run_of(s, SQL_CONTROL_DROP_ALL);

    return run_all(&r);
}

int store_newest_ms(struct store *s, int64_t *ret)
{
    struct run r = run_of(s, SQL_NEWEST);
    bool found;

    *ret = 0;
    return first_number(&r, ret, &found);
}

/* The stamp is an event of no message. */
int store_stamp(struct store *s, int64_t now_ms)
{
    int rc = run_one(s, SQL_DROP_EVENTS, NO_MESSAGE);
    return rc == SQLITE_OK ? put_event(s, NO_MESSAGE, now_ms, "clock", (struct slice){NULL, 0}, SLICE("")) : rc;
}

int store_move_stamps(struct store *s, int64_t by_ms, bool all, int64_t now_ms)
{
    struct run r = run_of(s, SQL_MOVE_MESSAGES);

    run_number(&r, by_ms);
    run_number(&r, all ? by_ms : 0);
    int rc = run_all(&r);
    if (rc == SQLITE_OK && all)
        rc = run_one(s, SQL_MOVE_RECIPIENTS, by_ms);
    return rc == SQLITE_OK ? store_stamp(s, now_ms) : rc;
}

int store_shrink(struct store *s, bool *more)
{
    enum { KEEP_PAGES = 8192 };
    struct run r = run_of(s, SQL_FREE_PAGES);
    int64_t pages = 0;
    bool found;
    int rc = first_number(&r, &pages, &found);

    *more = pages > KEEP_PAGES;
    if (rc != SQLITE_OK || !*more)
        return rc;
    struct run back = run_of(s, SQL_GIVE_BACK);
    return run_all(&back);
}
