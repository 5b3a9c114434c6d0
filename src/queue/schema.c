/* schema.c - the file: opening, pragmas, and the schema's versions. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x53454e44 /* "SEND" */ };

/* One element a version, in order, never changed once released: a newer version is a further element.  A file at
 * version n (PRAGMA user_version) gets what stands at [n] and behind.
 *
 * message    stays for config queue.history after it was finished (finished_ms is set), without its content; `head` is
 *            how many octets stand before a body that is in a file (content.c), NULL when all are in `chunk`
 * recipient  only those that still wait: a row that goes is told by `event`
 * chunk      the content, QUEUE_CHUNK octets each, with their store_sum (NULL: made before version 3; `sum_2` is the one
 *            that version 2 had, in one lane); `bytes` lacks what is in the file
 * partial    a large message of which only some chunks are in yet: what versions 1 and 2 may have left
 * event      the life of a message, for trace; `recipient` is NULL where it concerns all
 * control    what another process has changed and the daemon has not seen yet: enum notice_action */
static const char *const migrations[] = {
    "CREATE TABLE message ("
    " row INTEGER PRIMARY KEY, id TEXT NOT NULL, user TEXT NOT NULL, sender TEXT NOT NULL, submitted TEXT,"
    " bounce_to TEXT NOT NULL, message_id TEXT NOT NULL, envid TEXT NOT NULL, ret INTEGER NOT NULL,"
    " smtputf8 INTEGER NOT NULL, eightbit INTEGER NOT NULL, size INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER);"
    "CREATE UNIQUE INDEX message_open ON message(id) WHERE finished_ms IS NULL;"
    "CREATE INDEX message_finished ON message(finished_ms) WHERE finished_ms IS NOT NULL;"
    "CREATE TABLE recipient ("
    " row INTEGER PRIMARY KEY, address TEXT NOT NULL, domain TEXT NOT NULL, orcpt TEXT NOT NULL,"
    " notify INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL,"
    " warned INTEGER NOT NULL DEFAULT 0, last_reply TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE chunk (row INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TABLE partial (message_row INTEGER PRIMARY KEY);"
    "CREATE TABLE event ("
    " row INTEGER PRIMARY KEY, message_row INTEGER NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL,"
    " recipient TEXT, text TEXT NOT NULL);"
    "CREATE INDEX event_message ON event(message_row);",
    "CREATE TABLE control (row INTEGER PRIMARY KEY, message_row INTEGER NOT NULL, action INTEGER NOT NULL,"
    " id TEXT NOT NULL);"
    "ALTER TABLE chunk ADD COLUMN sum INTEGER;",
    "ALTER TABLE message ADD COLUMN head INTEGER;"
    "ALTER TABLE chunk RENAME COLUMN sum TO sum_2;"
    "ALTER TABLE chunk ADD COLUMN sum INTEGER;",
    /* Two pages of 8 KiB for each message that comes alone, a tenth of what the store took: what waits is found by its
     * recipients, and what is old by one look after the other (store_prune). */
    "DROP INDEX message_open; DROP INDEX message_finished;",
};

static int exec(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

/* The one number that `sql` gives. */
static int query_number(struct store *s, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    *ret = 0;
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc;
}

static int fail(struct store *s, const char *path, struct err *err)
{
    int rc = sqlite3_errcode(s->db) & 0xff;

    if (rc == SQLITE_NOTADB) {
        err_set(err, "%s is not a queue: %s", path, sqlite3_errmsg(s->db));
        return STORE_FOREIGN;
    }
    err_set(err, "%s: %s", path, sqlite3_errmsg(s->db));
    return rc == SQLITE_CORRUPT ? STORE_DAMAGED : -1;
}

/* Is the file ours, and of which version? */
static int identify(struct store *s, const char *path, int64_t *version, struct err *err)
{
    int64_t application, tables;

    if (query_number(s, "PRAGMA user_version", version) != SQLITE_OK ||
        query_number(s, "PRAGMA application_id", &application) != SQLITE_OK ||
        query_number(s, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
        return fail(s, path, err);
    if (*version < 0 || (application != APPLICATION_ID && (tables > 0 || *version != 0)))
        return err_set(err, "%s is not a queue: it is the database of another program", path);
    if (*version > (int64_t)ARRAY_LEN(migrations))
        return err_set(err, "%s was made by a newer sendas: its schema is version %lld, this one knows up to %zu", path,
                       (long long)*version, ARRAY_LEN(migrations));
    return 0;
}

/* One version further, all or nothing. */
static int migrate_step(struct store *s, int64_t to)
{
    char sql[128];

    if (exec(s, "BEGIN IMMEDIATE") != SQLITE_OK)
        return -1;
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %lld", APPLICATION_ID, (long long)to);
    if (exec(s, migrations[to - 1]) == SQLITE_OK && exec(s, sql) == SQLITE_OK && exec(s, "COMMIT") == SQLITE_OK)
        return 0;
    store_rollback(s);
    return -1;
}

/* Before anything is committed: what a process before us may have left is on the disk, the log and the names. */
static int secure(struct store *s, const char *path, struct err *err)
{
    errno = 0;
    int rc = store_mend(s);

    if (store_is_damage(rc))
        return fail(s, path, err);
    if (rc != SQLITE_OK)
        return err_set(err, "%s: its log cannot be secured: %s%s%s", path, sqlite3_errstr(rc), errno != 0 ? ", " : "",
                       errno != 0 ? strerror(errno) : "");
    if (damage_sync_directory(path) < 0)
        return err_set(err, "%s: its directory cannot be synced: %s", path, strerror(errno));
    return 0;
}

static int on_commit(void *store, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((struct store *)store)->frames = frames;
    ((struct store *)store)->wrote = true;
    return SQLITE_OK;
}

/* WAL with synchronous=FULL: each commit is one fsync of the log, and survives a power cut.  The log is copied back by
 * the writer (store_copy_back) and cut to 64 MB.  Pages of 8 KiB take a third of the CPU off a message of 10 KB,
 * compared with 4 KiB; both first pragmas only act on a file that is new.  Foreign keys play no part, as keys are
 * ranges (internal.h). */
static int prepare_write(struct store *s, const char *path, struct err *err)
{
    int64_t version;
    char mode[16] = "";
    sqlite3_stmt *st = NULL;
    int rc = identify(s, path, &version, err);

    if (rc < 0)
        return rc;
    if (exec(s, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL") != SQLITE_OK)
        return fail(s, path, err);
    if (sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) != NULL)
        snprintf(mode, sizeof(mode), "%s", (const char *)sqlite3_column_text(st, 0));
    if (sqlite3_finalize(st) != SQLITE_OK)
        return fail(s, path, err);
    if (strcmp(mode, "wal") != 0)
        return err_set(err, "%s: this file system cannot hold a write-ahead log", path);
    if (exec(s, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -4096;"
                "PRAGMA temp_store = MEMORY") != SQLITE_OK)
        return fail(s, path, err);
    sqlite3_wal_hook(s->db, on_commit, s);
    if ((rc = secure(s, path, err)) < 0)
        return rc;
    while (version < (int64_t)ARRAY_LEN(migrations))
        if (migrate_step(s, ++version) < 0)
            return fail(s, path, err);
    return 0;
}

/* Does a daemon run? */
static bool is_served(const char *path)
{
    struct strbuf name = STRBUF_INIT;

    strbuf_addf(&name, "%s.lock", path);
    int fd = name.failed ? -1 : open(strbuf_str(&name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool served = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
    if (fd >= 0)
        close(fd);
    strbuf_free(&name);
    return served;
}

/* Beside a daemon, or where none runs.  The log is copied back by the daemon, or by the last one to close. */
static int prepare_beside(struct store *s, const char *path, enum store_mode mode, struct err *err)
{
    int64_t version;
    int rc = identify(s, path, &version, err);

    if (rc < 0)
        return rc;
    if (version < (int64_t)ARRAY_LEN(migrations))
        return err_set(err, "%s has a schema of version %lld, not %zu: run sendas serve once", path, (long long)version,
                       ARRAY_LEN(migrations));
    if (exec(s, mode == STORE_READ ? "PRAGMA query_only = 1; PRAGMA cache_size = -2048"
                                   : "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                                     "PRAGMA cache_size = -2048") != SQLITE_OK)
        return fail(s, path, err);
    return mode == STORE_CHANGE && !is_served(path) ? secure(s, path, err) : 0;
}

/* Made here, so that it is never open to others, not even for a moment; SQLite gives its log the same mode. */
static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return errno == EEXIST ? 0 : err_set(err, "%s: %s", path, strerror(errno));
    close(fd);
    return 0;
}

int store_open(struct store *s, const char *path, enum store_mode mode, struct err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | (mode == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                (mode == STORE_CHANGE ? SQLITE_OPEN_URI : 0); /* for what rescue attaches */
    int rc;

    *s = (struct store){.folder = content_folder(path)};
    if (s->folder == NULL)
        return err_set(err, "%s: out of memory", path);
    if (mode == STORE_WRITE && make_file(path, err) < 0) {
        store_close(s);
        return -1;
    }
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        rc = s->db == NULL ? err_set(err, "%s: out of memory", path) : fail(s, path, err);
        store_close(s);
        return rc;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 5000);
    if (mode == STORE_WRITE)
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = mode == STORE_WRITE ? prepare_write(s, path, err) : prepare_beside(s, path, mode, err);
    if (rc < 0)
        store_close(s);
    return rc;
}

int store_version(void)
{
    return ARRAY_LEN(migrations);
}

void store_keep(struct store *s)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

/* Made in memory.  With WAL on the versions for writing and reading are 2 (SQLite's file format, 1.3). */
int store_first_page(unsigned char page[STORE_PAGE], int version, struct err *err)
{
    struct store s = {0};
    sqlite3_int64 n = 0;
    int rc = sqlite3_open_v2(":memory:", &s.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = exec(&s, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL");
    for (int i = 1; rc == SQLITE_OK && i <= version && i <= (int)ARRAY_LEN(migrations); i++)
        if (migrate_step(&s, i) < 0)
            rc = SQLITE_ERROR;
    unsigned char *image = rc == SQLITE_OK ? sqlite3_serialize(s.db, "main", &n, 0) : NULL;
    if (image != NULL && n >= STORE_PAGE) {
        memcpy(page, image, STORE_PAGE);
        page[18] = page[19] = 2;
    }
    sqlite3_free(image);
    store_close(&s);
    return image != NULL && n >= STORE_PAGE ? 0 : err_set(err, "out of memory");
}

void store_close(struct store *s)
{
    for (size_t i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    strbuf_free(&s->ended);
    free(s->folder);
    *s = (struct store){0};
}
