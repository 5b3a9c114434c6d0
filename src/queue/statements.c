/* statements.c - what the store says to SQLite, and how. */
#include "statements.h"

_Static_assert((int)SQL_STATEMENTS <= (int)STORE_STATEMENTS, "struct store has room for every statement");

static const char *const sql_texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_PUT_MESSAGE] =
        "INSERT INTO message (row, id, user, sender, submitted, bounce_to, message_id, envid, ret,"
        " smtputf8, eightbit, size, created_ms, expires_ms, head) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_PUT_RECIPIENT] = "INSERT INTO recipient (row, address, domain, orcpt, notify, next_ms) VALUES (?,?,?,?,?,?)",
    [SQL_PUT_CHUNK] = "INSERT INTO chunk (row, bytes, sum) VALUES (?,?,?)",
    [SQL_FILL_CHUNK] = "UPDATE chunk SET bytes = CAST(bytes || ? AS BLOB) WHERE row = ? AND length(bytes) = ?",
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
    [SQL_FILE] = "SELECT id, head, size FROM message WHERE row = ? AND head IS NOT NULL",
    /* By the tables, not by an index, which may be damaged unnoticed. */
    [SQL_FILES] = "SELECT DISTINCT m.id FROM recipient r CROSS JOIN message m ON m.row = r.row >> 16"
                  " WHERE m.head IS NOT NULL",
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
                          " WHERE row IN (SELECT row >> 16 FROM recipient)",
    [SQL_MOVE_RECIPIENTS] = "UPDATE recipient SET next_ms = next_ms + ?",
    [SQL_FINISHED] = "SELECT row, ifnull(finished_ms, ?), created_ms FROM message WHERE row > ? ORDER BY row LIMIT ?",
    [SQL_DROP_EVENTS] = "DELETE FROM event WHERE message_row = ?",
    [SQL_DROP_MESSAGE] = "DELETE FROM message WHERE row = ?",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
    [SQL_GIVE_BACK] = "PRAGMA incremental_vacuum(512)",
};

struct run run_of(struct store *s, enum statement which)
{
    struct run r = {.st = s->statements[which], .rc = SQLITE_OK};

    if (r.st == NULL) {
        r.rc = sqlite3_prepare_v3(s->db, sql_texts[which], -1, SQLITE_PREPARE_PERSISTENT, &r.st, NULL);
        s->statements[which] = r.st;
    }
    return r;
}

void run_number(struct run *r, int64_t v)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_int64(r->st, ++r->bound, v);
}

void run_slice(struct run *r, struct slice s)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_text(r->st, ++r->bound, s.p != NULL ? s.p : "", (int)s.n, SQLITE_STATIC);
}

void run_str(struct run *r, const char *s)
{
    run_slice(r, slice_of(s));
}

void run_blob(struct run *r, struct slice bytes)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_blob(r->st, ++r->bound, bytes.p, (int)bytes.n, SQLITE_STATIC);
}

void run_null(struct run *r)
{
    if (r->rc == SQLITE_OK)
        r->rc = sqlite3_bind_null(r->st, ++r->bound);
}

void run_optional(struct run *r, struct slice s)
{
    if (s.p != NULL)
        run_slice(r, s);
    else
        run_null(r);
}

void run_range(struct run *r, int64_t message_row)
{
    run_number(r, key_of(message_row, 0));
    run_number(r, key_of(message_row, (1 << KEY_BITS) - 1));
}

bool run_row(struct run *r)
{
    if (r->rc != SQLITE_OK)
        return false;
    int rc = sqlite3_step(r->st);
    if (rc == SQLITE_ROW)
        return true;
    r->rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    return false;
}

int run_end(struct run *r)
{
    if (r->st != NULL)
        sqlite3_reset(r->st);
    return r->rc;
}

int run_all(struct run *r)
{
    while (run_row(r))
        ;
    return run_end(r);
}

int run_one(struct store *s, enum statement which, int64_t number)
{
    struct run r = run_of(s, which);

    run_number(&r, number);
    return run_all(&r);
}
