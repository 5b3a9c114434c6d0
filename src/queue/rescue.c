/* rescue.c - what can be read of a damaged queue goes into a whole one.
 *
 * The damaged file is attached, and SQLite does the reading.  A scan would end at the first page that makes no sense,
 * so each message is looked for by its row: what lies on other pages is found.  Rows count up without large gaps, thus
 * that is quick.  Where SQLite does not even take the file for a database, its first page is damaged; that page is
 * nearly the same in every queue, so a copy gets a new one.
 *
 * Each message comes over in a transaction of its own, whole or not at all. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGES_A_PAGE = 16 /* at most: a row of each table takes more than 500 octets */ };

struct rescue {
    struct store s;               /* the whole one; the damaged one is attached as `bad` */
    int64_t lifetime_ms, version; /* of the damaged file */
    char *folder;                 /* of its large bodies */
    char id[QUEUE_ID_SIZE];
    char *sender, *recipient;
    void (*each)(void *ctx, const struct queue_rescue *r);
    void *ctx;
};

/* ---- a copy with a new first page ------------------------------------------------------------ */

static int copy_file(const char *from, const char *to, struct err *err)
{
    struct stat st = {0};
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, rc = 0;

    if (in >= 0)
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (in < 0 || fstat(in, &st) < 0)
        rc = err_set(err, "%s: %s", from, strerror(errno));
    else if (out < 0)
        rc = err_set(err, "%s: %s", to, strerror(errno));
    for (off_t left = rc == 0 ? st.st_size : 0; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)(left < 1 << 30 ? left : 1 << 30));
        if (n <= 0) {
            rc = err_set(err, "%s: %s", to, n < 0 ? strerror(errno) : "the file it is copied from got shorter");
            break;
        }
        left -= n;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

static void put_u32(unsigned char *at, uint64_t n)
{
    at[0] = (unsigned char)(n >> 24);
    at[1] = (unsigned char)(n >> 16);
    at[2] = (unsigned char)(n >> 8);
    at[3] = (unsigned char)n;
}

/* SQLite's file format, 1.3: the size in pages stands at 28, and counts if the counters at 24 and 92 are equal. */
static int replace_first_page(const char *path, int version, struct err *err)
{
    unsigned char page[STORE_PAGE];
    struct stat st = {0};
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = fd < 0 || fstat(fd, &st) < 0 ? err_set(err, "%s: %s", path, strerror(errno))
                                          : store_first_page(page, version, err);

    if (rc == 0) {
        put_u32(page + 28, st.st_size < STORE_PAGE ? 1 : (uint64_t)st.st_size / STORE_PAGE);
        put_u32(page + 24, 1);
        put_u32(page + 92, 1);
        put_u32(page + 32, 0);
        put_u32(page + 36, 0);
        if (pwrite(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page))
            rc = err_set(err, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static void remove_copy(const char *copy)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char *name = NULL;
        if (asprintf(&name, "%s%s", copy, suffixes[i]) >= 0)
            unlink(name);
        free(name);
    }
}

static int make_copy(const char *file, const char *copy, int version, struct err *err)
{
    char *log = NULL, *copied_log = NULL;
    int rc = -1;

    if (asprintf(&log, "%s-wal", file) < 0)
        log = NULL;
    if (asprintf(&copied_log, "%s-wal", copy) < 0)
        copied_log = NULL;
    if (log == NULL || copied_log == NULL)
        err_set(err, "out of memory");
    else
        rc = copy_file(file, copy, err);
    if (rc == 0 && access(log, F_OK) == 0)
        rc = copy_file(log, copied_log, err);
    if (rc == 0)
        rc = replace_first_page(copy, version, err);
    free(log);
    free(copied_log);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int exec(struct rescue *r, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    char *sql = sqlite3_vmprintf(format, ap);
    va_end(ap);
    int rc = sql != NULL ? sqlite3_exec(r->s.db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc;
}

/* One number, and one text if `text` is not NULL (malloc'ed).  SQLITE_ROW when there is a row, SQLITE_DONE when not. */
static int ask(struct rescue *r, int64_t *number, char **text, const char *format, ...)
{
    sqlite3_stmt *st = NULL;
    va_list ap;

    va_start(ap, format);
    char *sql = sqlite3_vmprintf(format, ap);
    va_end(ap);
    int rc = sql != NULL ? sqlite3_prepare_v2(r->s.db, sql, -1, &st, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    *number = 0;
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        *number = sqlite3_column_int64(st, 0);
        if (text != NULL) {
            const char *found = (const char *)sqlite3_column_text(st, 1);
            free(*text);
            *text = strdup(found != NULL ? found : "");
            if (*text == NULL)
                rc = SQLITE_NOMEM;
        }
    }
    sqlite3_finalize(st);
    return rc;
}

/* The highest row that a message can have: of whatever can be read. */
static int64_t highest_row(struct rescue *r)
{
    static const char *const asks[] = {"SELECT max(row) FROM bad.message", "SELECT max(row) >> 16 FROM bad.recipient",
                                       "SELECT max(row) >> 16 FROM bad.chunk",
                                       "SELECT max(message_row) FROM bad.event"};
    int64_t highest = 0, row;
    bool all = true;

    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        if (ask(r, &row, NULL, "%s", asks[i]) != SQLITE_ROW)
            all = false;
        else if (row > highest && row < MESSAGE_ROW_MAX)
            highest = row;
    }
    /* Where the end of a tree cannot be read: no more messages fit into the file. */
    if (!all && ask(r, &row, NULL, "PRAGMA bad.page_count") == SQLITE_ROW && row * MESSAGES_A_PAGE > highest)
        highest = row * MESSAGES_A_PAGE;
    return highest;
}

static void report(struct rescue *r, enum queue_rescued outcome, const char *reason)
{
    struct queue_rescue out = {.outcome = outcome,
                               .id = r->id,
                               .sender = r->sender != NULL ? r->sender : "",
                               .recipient = r->recipient != NULL ? r->recipient : "",
                               .reason = reason};

    r->each(r->ctx, &out);
}

/* Is it the store that fails, and not the damaged file? */
static bool is_ours(int rc)
{
    return rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE && !store_is_damage(rc) &&
           (rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CONSTRAINT && (rc & 0xff) != SQLITE_ERROR;
}

/* ---- one message ----------------------------------------------------------------------------- */

static int copy_rows(struct rescue *r, int64_t from, int64_t to)
{
    long long shift = key_of(to, 0) - key_of(from, 0), first = key_of(from, 0), last = key_of(from, RECIPIENTS_MAX - 1);
    long long now = clock_wall_ms();
    int rc = exec(r,
                  "INSERT INTO message (row, id, user, sender, submitted, bounce_to, message_id, envid, ret, smtputf8,"
                  " eightbit, size, created_ms, expires_ms, held) SELECT %lld, id, user, sender, submitted, bounce_to,"
                  " message_id, envid, ret, smtputf8, eightbit, size, min(created_ms, %lld), %lld, held"
                  " FROM bad.message WHERE row = %lld",
                  (long long)to, now, now + (long long)r->lifetime_ms, (long long)from);

    if (rc == SQLITE_OK)
        rc = exec(
            r,
            "INSERT INTO chunk (row, bytes, sum) SELECT row + %lld, bytes, %s FROM bad.chunk WHERE row BETWEEN %lld"
            " AND %lld",
            shift, r->version > 2 ? "sum" : "NULL", first, last);
    if (rc == SQLITE_OK)
        rc = exec(r,
                  "INSERT INTO recipient (row, address, domain, orcpt, notify, attempts, next_ms, warned, last_reply)"
                  " SELECT row + %lld, address, domain, orcpt, notify, attempts, %lld, warned, last_reply FROM"
                  " bad.recipient WHERE row BETWEEN %lld AND %lld",
                  shift, now, first, last);
    return rc;
}

/* What is in a file beside the damaged one comes into the table.  What cannot be read stays empty, and is found missing. */
static int copy_body(struct rescue *r, int64_t bad_row, int64_t row)
{
    char buffer[QUEUE_CHUNK];
    int64_t head = -1, size = 0;
    int rc = SQLITE_OK;

    if (r->version > 2)
        ask(r, &head, NULL, "SELECT ifnull(head, -1) FROM bad.message WHERE row = %lld", (long long)bad_row);
    ask(r, &size, NULL, "SELECT size FROM message WHERE row = %lld", (long long)row);
    if (head < 0)
        return SQLITE_OK;
    for (int64_t chunk = head / QUEUE_CHUNK; rc == SQLITE_OK && chunk < CHUNKS_MAX; chunk++) {
        int64_t at = chunk * QUEUE_CHUNK, from = at < head ? head : at;
        int64_t to = size - at < QUEUE_CHUNK ? size : at + QUEUE_CHUNK;
        if (from >= to ||
            content_read(r->folder, r->id, (uint64_t)(from - head), buffer, (size_t)(to - from)) != SQLITE_OK)
            break;
        rc = store_fill_chunk(&r->s, key_of(row, (unsigned)chunk), (size_t)(from - at),
                              slice_from(buffer, (size_t)(to - from)));
    }
    return rc;
}

/* Can what trace tells be read?  To be asked outside of a transaction: behind damage SQLite writes no more in one. */
static bool events_are_readable(struct rescue *r, int64_t row)
{
    int64_t octets;

    return ask(r, &octets, NULL,
               "SELECT total(length(kind) + ifnull(length(recipient), 0) + length(text)) FROM bad.event"
               " WHERE message_row = %lld",
               (long long)row) == SQLITE_ROW;
}

static int copy_events(struct rescue *r, int64_t from, int64_t to, bool readable)
{
    int rc = SQLITE_OK;

    if (readable)
        rc = exec(
            r,
            "INSERT INTO event (message_row, time_ms, kind, recipient, text) SELECT %lld, time_ms, kind, recipient,"
            " text FROM bad.event WHERE message_row = %lld ORDER BY row",
            (long long)to, (long long)from);
    if (rc == SQLITE_OK)
        rc = exec(r, "INSERT INTO event (message_row, time_ms, kind, text) VALUES (%lld, %lld, 'rescued', '')",
                  (long long)to, (long long)clock_wall_ms());
    return rc;
}

/* Is the copy whole?  Content of the size that the message says; recipients; an id. */
static const char *what_is_missing(struct rescue *r, int64_t row)
{
    int64_t size, addresses;

    if (ask(r, &size, NULL, "SELECT size FROM message WHERE row = %lld", (long long)row) != SQLITE_ROW ||
        strlen(r->id) != QUEUE_ID_LEN)
        return "its envelope is damaged";
    if (!store_is_whole(&r->s, row, (uint64_t)size))
        return "its content is damaged";
    if (ask(r, &addresses, NULL,
            "SELECT ifnull(min(instr(address, '@') > 1), 0) FROM recipient WHERE row BETWEEN %lld AND %lld",
            (long long)key_of(row, 0), (long long)key_of(row, RECIPIENTS_MAX - 1)) != SQLITE_ROW ||
        !addresses)
        return "its recipients are damaged";
    return NULL;
}

static const char unreadable[] = "parts of it cannot be read";

/* Inside a transaction: SQLITE_OK when it came over; *reason is set when it cannot. */
static int bring(struct rescue *r, int64_t from, bool events, const char **reason)
{
    int64_t last;
    int rc = store_last_row(&r->s, &last);

    if (rc == SQLITE_OK)
        rc = copy_rows(r, from, last + 1);
    if (rc == SQLITE_OK)
        rc = copy_body(r, from, last + 1);
    if (rc == SQLITE_OK)
        *reason = what_is_missing(r, last + 1);
    else if (!is_ours(rc))
        *reason = unreadable;
    if (rc != SQLITE_OK || *reason != NULL)
        return rc;
    rc = copy_events(r, from, last + 1, events);
    if (rc == SQLITE_OK)
        rc = exec(r, "INSERT INTO control (message_row, action, id) VALUES (%lld, %d, %Q)", (long long)last + 1,
                  (int)NOTICE_ADD, r->id);
    return rc;
}

static int rescue_message(struct rescue *r, int64_t from)
{
    int64_t there;
    const char *reason = NULL;
    bool events = events_are_readable(r, from);
    int rc = store_begin(&r->s);

    if (rc != SQLITE_OK)
        return rc;
    rc = ask(r, &there, NULL, "SELECT 1 FROM message WHERE id = %Q", r->id);
    if (rc == SQLITE_DONE)
        rc = bring(r, from, events, &reason);
    /* Some failures end the transaction at once. */
    if (rc == SQLITE_OK && reason == NULL && sqlite3_get_autocommit(r->s.db))
        reason = unreadable;
    if (rc == SQLITE_OK && reason == NULL)
        rc = store_commit(&r->s);
    store_rollback(&r->s);
    if (there)
        report(r, QUEUE_RESCUED_BEFORE, NULL);
    else if (reason != NULL)
        report(r, QUEUE_NOT_RESCUED, reason);
    else if (rc == SQLITE_OK)
        report(r, QUEUE_RESCUED, NULL);
    return there || reason != NULL ? SQLITE_OK : rc;
}

/* A row at which a message may be: is there one that waits? */
static int rescue_row(struct rescue *r, int64_t row)
{
    int64_t finished, some;
    char *id = NULL;
    long long first = key_of(row, 0), last = key_of(row, RECIPIENTS_MAX - 1);
    int rc =
        ask(r, &finished, &id, "SELECT finished_ms IS NOT NULL, id FROM bad.message WHERE row = %lld", (long long)row);

    snprintf(r->id, sizeof(r->id), "%s", id != NULL ? id : "");
    free(id);
    if (rc == SQLITE_DONE || (rc == SQLITE_ROW && finished))
        return SQLITE_OK;
    if (is_ours(rc))
        return rc;
    int to = ask(r, &some, &r->recipient,
                 "SELECT 1, address FROM bad.recipient WHERE row BETWEEN %lld AND %lld LIMIT 1", first, last);
    if (rc == SQLITE_ROW) {
        int from = ask(r, &some, &r->sender, "SELECT 1, sender FROM bad.message WHERE row = %lld", (long long)row);
        return is_ours(from) ? from : rescue_message(r, row);
    }
    /* It waited, if it has recipients or content; of other rows nobody knows, and most will be history. */
    if (to == SQLITE_ROW || ask(r, &some, NULL, "SELECT 1 FROM bad.chunk WHERE row = %lld", first) == SQLITE_ROW)
        report(r, QUEUE_NOT_RESCUED, "its envelope is damaged");
    return SQLITE_OK;
}

/* ---- the whole file -------------------------------------------------------------------------- */

/* Read-only, so that not one octet of it changes: its log stays a log. */
static int attach(struct rescue *r, const char *file)
{
    struct strbuf uri = STRBUF_INIT;
    int64_t n;
    int rc = SQLITE_NOMEM;

    strbuf_add_str(&uri, "file:");
    for (const char *p = file; *p != '\0'; p++) {
        if (strchr("%?#", *p) != NULL)
            strbuf_addf(&uri, "%%%02X", (unsigned char)*p);
        else
            strbuf_add_char(&uri, *p);
    }
    strbuf_add_str(&uri, "?mode=ro");
    if (!uri.failed)
        rc = exec(r, "ATTACH %Q AS bad", strbuf_str(&uri));
    strbuf_free(&uri);
    if (rc == SQLITE_OK)
        rc = ask(r, &n, NULL, "SELECT count(*) FROM bad.sqlite_schema WHERE name = 'recipient'");
    return rc != SQLITE_ROW ? rc : ask(r, &r->version, NULL, "PRAGMA bad.user_version");
}

/* The damaged file stays until all is done, so that not each message needs its fsync: the last commit has one for all.
 */
static int sync_later(struct rescue *r)
{
    return exec(r, "PRAGMA main.synchronous = NORMAL");
}

static int sync_now(struct rescue *r)
{
    int rc = exec(r, "PRAGMA main.synchronous = FULL");

    if (rc == SQLITE_OK)
        rc = store_begin(&r->s);
    if (rc == SQLITE_OK) /* a change that changes nothing is still a page to write */
        rc = exec(r, "PRAGMA main.user_version = %d", store_version());
    return rc == SQLITE_OK ? store_commit(&r->s) : rc;
}

static int rescue_all(struct rescue *r, const char *path, const char *file, struct err *err)
{
    int rc = attach(r, file);
    if (rc != SQLITE_ROW) {
        err_set(err, "%s: %s", file, sqlite3_errmsg(r->s.db));
        return store_is_damage(rc) ? STORE_FOREIGN : -1;
    }
    int64_t rows = highest_row(r);
    rc = sync_later(r);
    for (int64_t row = 1; rc == SQLITE_OK && row <= rows; row++) {
        free(r->sender);
        free(r->recipient);
        r->sender = r->recipient = NULL;
        rc = rescue_row(r, row);
    }
    if (rc == SQLITE_OK)
        rc = sync_now(r);
    return rc == SQLITE_OK ? 0 : err_set(err, "%s: %s", path, sqlite3_errmsg(r->s.db));
}

static int rescue_from(struct rescue *r, const char *path, const char *file, struct err *err)
{
    if (store_open(&r->s, path, STORE_CHANGE, err) < 0)
        return -1;
    int rc = rescue_all(r, path, file, err);
    free(r->sender);
    free(r->recipient);
    r->sender = r->recipient = NULL;
    store_close(&r->s);
    return rc;
}

/* Which schema the file has is not known where its first page is damaged.  One that is too new does not open, as it has
 * tables for which there are no pages; but for version 4, which only lacks two indexes: of an older file it finds what
 * waits, and may not find what trace tells. */
static int rescue_from_copy(struct rescue *r, const char *path, const char *file, struct err *err)
{
    char *copy = NULL;
    int rc = STORE_FOREIGN;

    if (asprintf(&copy, "%s.copy", file) < 0)
        return err_set(err, "out of memory");
    for (int version = store_version(); rc == STORE_FOREIGN && version > 0; version--) {
        rc = make_copy(file, copy, version, err);
        if (rc == 0)
            rc = rescue_from(r, path, copy, err);
        remove_copy(copy);
    }
    free(copy);
    return rc;
}

int queue_rescue(const char *path, const char *file, int64_t lifetime_ms,
                 void (*each)(void *ctx, const struct queue_rescue *r), void *ctx, struct err *err)
{
    struct rescue r = {.lifetime_ms = lifetime_ms, .each = each, .ctx = ctx, .folder = content_folder(file)};
    struct stat a = {0}, b = {0};

    int rc = 0;

    if (r.folder == NULL)
        rc = err_set(err, "out of memory");
    else if (stat(file, &a) < 0 || access(file, R_OK) < 0)
        rc = err_set(err, "%s: %s", file, strerror(errno));
    else if (stat(path, &b) < 0)
        rc = err_set(err, "%s: %s (sendas serve makes it)", path, strerror(errno));
    else if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        rc = err_set(err, "%s is the queue itself", file);
    if (rc == 0) {
        /* SQLite would delete the log of a file that is empty. */
        rc = a.st_size < STORE_PAGE ? STORE_FOREIGN : rescue_from(&r, path, file, err);
        if (rc == STORE_FOREIGN)
            rc = rescue_from_copy(&r, path, file, err);
        control_wake(path);
    }
    free(r.folder);
    return rc < 0 ? -1 : 0;
}
