/* Damaged files are set aside with all their octets, and what can be read of them comes back; older schemas; clocks
 * that jump. */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>

enum { MESSAGES = 120, BODY = 30000, HEAD = 24, PAGE = 8192 };

static const char *const to[] = {"ann@example.org", "bob@example.net", NULL};
static const int64_t DELAY_MS = 600 * 1000;

static char letter(size_t message, size_t at)
{
    return (char)('a' + (message * 7 + at * 13 + at / 251) % 26);
}

static struct spool *body_of(struct rig *r, size_t message)
{
    struct spool *s = spool_new(r->dir);
    char bytes[BODY];

    for (size_t i = 0; i < BODY; i++)
        bytes[i] = letter(message, i);
    ck_assert(s != NULL && spool_write(s, slice_from(bytes, BODY), NULL) == 0);
    return s;
}

static void name(char id[QUEUE_ID_SIZE], size_t message)
{
    snprintf(id, QUEUE_ID_SIZE, "BCDFGHJ%03zu", message);
}

/* A queue with MESSAGES messages, of which every third has lost its first recipient; closed. */
static void fill(struct rig *r)
{
    static struct rig_message m[MESSAGES];
    const struct queue_result done = {.outcome = QUEUE_DELIVERED, .reply = "250 ok"};

    rig_begin(r);
    for (size_t i = 0; i < MESSAGES; i++) {
        char id[QUEUE_ID_SIZE];
        name(id, i);
        rig_message(&m[i], id, to);
        m[i].m.body = body_of(r, i);
        queue_put(r->queue, &m[i].m, rig_on_put, r);
    }
    rig_until(r, r->answered[QUEUE_OK] == MESSAGES);
    for (size_t i = 0; i < MESSAGES; i++)
        spool_free(&m[i].m.body);
    rig_until(r, r->n_due == 2 * MESSAGES);
    for (size_t i = 0; i < r->n_due; i++) {
        size_t message = (size_t)atoi(r->due[i]->id + 7);
        if (message % 3 != 0 || strcmp(r->due[i]->domain, "example.org") != 0)
            continue;
        rig_load(r, r->due[i]);
        queue_finish(r->queue, r->due[i], &done, 0, NULL);
        r->due[i] = NULL;
    }
    rig_close(r);
}

/* The name of the one file that was set aside; empty if there is none. */
static void aside(const struct rig *r, char *out, size_t n)
{
    DIR *dir = opendir(r->dir);
    const struct dirent *e;

    out[0] = '\0';
    ck_assert_ptr_nonnull(dir);
    while ((e = readdir(dir)) != NULL)
        if (strstr(e->d_name, ".corrupt-") != NULL && e->d_name[strlen(e->d_name) - 1] == 'Z') {
            ck_assert_msg(out[0] == '\0', "two were set aside");
            snprintf(out, n, "%s/%s", r->dir, e->d_name);
        }
    closedir(dir);
}

static struct strbuf contents(const char *path)
{
    struct strbuf b = STRBUF_INIT;
    struct err err = {""};

    ck_assert_msg(file_read(path, 1 << 30, false, &b, &err) == 0, "%s", err.text);
    return b;
}

static void overwrite(const char *path, off_t at, size_t n, int octet)
{
    char *bytes = malloc(n);
    int fd = open(path, O_WRONLY);

    ck_assert(fd >= 0 && bytes != NULL);
    memset(bytes, octet, n);
    ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
    free(bytes);
}

static off_t size_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

struct rescued {
    size_t n[QUEUE_NOT_RESCUED + 1];
};

static void count(void *ctx, const struct queue_rescue *r)
{
    struct rescued *c = ctx;

    c->n[r->outcome]++;
    ck_assert((r->outcome == QUEUE_NOT_RESCUED) == (r->reason != NULL));
}

static struct rescued rescue(struct rig *r, const char *file)
{
    struct rescued c = {{0}};
    struct err err = {""};

    ck_assert_msg(queue_rescue(r->path, file, 5 * 86400 * 1000LL, count, &c, &err) == 0, "%s", err.text);
    return c;
}

static void take_content(void *ctx, struct slice bytes)
{
    struct rig *r = ctx;

    strbuf_add_slice(&r->content, bytes);
    r->read = true;
}

/* Is it as it was put?  False when it cannot be read; anything else is the end of the test. */
static bool is_whole(struct rig *r, struct queue_item *item)
{
    size_t message = (size_t)atoi(item->id + 7);

    strbuf_reset(&r->content);
    r->read = false;
    queue_read(r->queue, item, 0, take_content, r);
    rig_until(r, r->read);
    if (r->content.n == 0)
        return false;
    ck_assert_uint_eq(r->content.n, HEAD + BODY);
    for (size_t k = 0; k < BODY; k++)
        if (r->content.p[HEAD + k] != letter(message, k))
            ck_abort_msg("%s differs at %zu", item->id, k);
    return true;
}

/* Every message in the queue is one that was put, with the recipients it had; how many cannot be read. */
static size_t expect_messages(struct rig *r, size_t messages)
{
    size_t unreadable = 0;

    rig_until(r, queue_length(r->queue) == messages);
    ck_assert_int_eq(rig_sql(r, "SELECT count(DISTINCT id) FROM message WHERE id LIKE 'BCDFGHJ___'"),
                     (int64_t)messages);
    ck_assert_int_eq(rig_sql(r, "SELECT count(*) FROM message m WHERE (SELECT count(*) FROM recipient r WHERE r.row"
                                " BETWEEN m.row << 16 AND (m.row << 16) + 65535) <> iif(substr(id, 8) % 3 = 0, 1, 2)"),
                     0);
    rig_until(r, r->n_due >= messages);
    for (size_t i = 0; i < r->n_due; i++) {
        rig_load(r, r->due[i]);
        unreadable += !is_whole(r, r->due[i]);
    }
    return unreadable;
}

static void remove_aside(const struct rig *r)
{
    char kept[200], log[220];

    aside(r, kept, sizeof(kept));
    if (kept[0] == '\0')
        return;
    unlink(kept);
    snprintf(log, sizeof(log), "%s-wal", kept);
    unlink(log);
    snprintf(log, sizeof(log), "%s-shm", kept);
    unlink(log);
}

/* ---- damage of every kind -------------------------------------------------------------------- */

static const struct {
    const char *what;
    int from_page, pages, octet; /* from_page < 0: from the end */
    size_t least;                /* rescued, at least */
} damages[] = {
    {"the first page, zeros", 0, 1, 0, MESSAGES},
    {"the first page, garbage", 0, 1, 0xa5, MESSAGES},
    {"the pages that the tables begin with", 0, 9, 0x5a, 0},
    {"one page", 40, 1, 0xa5, MESSAGES - 2},
    {"a stretch in the middle", 100, 60, 0x11, MESSAGES - 40},
    {"a stretch of zeros", 200, 60, 0, MESSAGES - 40},
    {"the end", -30, 30, 0xff, MESSAGES - 40},
};

START_TEST(what_can_be_read_of_a_damaged_file_is_rescued)
{
    struct rig r;
    char kept[200];

    fill(&r);
    off_t at =
        (damages[_i].from_page < 0 ? size_of(r.path) / PAGE + damages[_i].from_page : damages[_i].from_page) * PAGE;
    overwrite(r.path, at, (size_t)damages[_i].pages * PAGE, damages[_i].octet);
    struct strbuf before = contents(r.path);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 0);
    aside(&r, kept, sizeof(kept));
    ck_assert_msg(kept[0] != '\0', "%s: it was not set aside", damages[_i].what);
    struct strbuf after = contents(kept);
    ck_assert(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    struct rescued c = rescue(&r, kept);
    printf("%s: %zu of %d rescued, %zu told as lost\n", damages[_i].what, c.n[QUEUE_RESCUED], MESSAGES,
           c.n[QUEUE_NOT_RESCUED]);
    ck_assert_uint_ge(c.n[QUEUE_RESCUED], damages[_i].least);
    ck_assert_uint_eq(expect_messages(&r, c.n[QUEUE_RESCUED]), 0);
    /* once more: nothing comes twice */
    struct rescued again = rescue(&r, kept);
    ck_assert_uint_eq(again.n[QUEUE_RESCUED], 0);
    ck_assert_uint_eq(again.n[QUEUE_RESCUED_BEFORE], c.n[QUEUE_RESCUED]);
    strbuf_free(&after);
    after = contents(kept);
    ck_assert_msg(slice_eq(strbuf_slice(&before), strbuf_slice(&after)), "rescuing has changed the file");
    /* new mail comes in beside what was rescued */
    struct rig_message m;
    rig_message(&m, "ZBCDFGHJKL", to);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_close(&r);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), c.n[QUEUE_RESCUED] + 1);
    strbuf_free(&before);
    strbuf_free(&after);
    remove_aside(&r);
    rig_end(&r);
}
END_TEST

/* A page that is all content: no table is the worse for it, and what was in there is not sent as it is now. */
START_TEST(damaged_content_is_never_sent)
{
    static const int octets[] = {0, 0xa5};
    struct rig r;
    char kept[200];

    fill(&r);
    struct strbuf file = contents(r.path);
    size_t page = 20;
    for (; page < file.n / PAGE; page++) { /* the first one of nothing but letters, but for the next one's number */
        struct slice inside = slice_sub(strbuf_slice(&file), page * PAGE + 8, PAGE - 16);
        if (slice_find(inside, '\0') == inside.n && slice_is_ascii(inside))
            break;
    }
    ck_assert_uint_lt(page, file.n / PAGE);
    overwrite(r.path, (off_t)(page * PAGE + 100), 5000, octets[_i]);
    strbuf_free(&file);
    rig_open(&r);
    aside(&r, kept, sizeof(kept));
    ck_assert_int_eq(kept[0], '\0');
    log_to(fopen("/dev/null", "w"));
    size_t unreadable = expect_messages(&r, MESSAGES);
    log_to(stderr);
    ck_assert(unreadable == 1 || unreadable == 2); /* items */
    rig_end(&r);
}
END_TEST

START_TEST(a_file_cut_short_is_set_aside_and_rescued)
{
    static const int parts[] = {2, 4, 10};
    struct rig r;
    char kept[200];

    fill(&r);
    ck_assert_int_eq(truncate(r.path, size_of(r.path) / parts[_i] / PAGE * PAGE + 100), 0);
    rig_open(&r);
    aside(&r, kept, sizeof(kept));
    ck_assert_int_ne(kept[0], '\0');
    struct rescued c = rescue(&r, kept);
    printf("cut to 1/%d: %zu of %d rescued\n", parts[_i], c.n[QUEUE_RESCUED], MESSAGES);
    ck_assert_uint_eq(expect_messages(&r, c.n[QUEUE_RESCUED]), 0);
    remove_aside(&r);
    rig_end(&r);
}
END_TEST

/* As after a kill: what was committed last is in the log alone. */
START_TEST(the_log_goes_with_its_file)
{
    struct rig r, copy;
    struct rig_message m;
    char name_of[3][200], kept[200];

    rig_begin(&r);
    rig_message(&m, "BCDFGHJ001", to);
    m.m.body = body_of(&r, 1);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    spool_free(&m.m.body);
    rig_prepare(&copy);
    struct strbuf file = contents(r.path);
    snprintf(name_of[0], sizeof(name_of[0]), "%s-wal", r.path);
    struct strbuf log = contents(name_of[0]);
    ck_assert_uint_gt(log.n, 30000);
    snprintf(name_of[1], sizeof(name_of[1]), "%s-wal", copy.path);
    snprintf(name_of[2], sizeof(name_of[2]), "%s.lock", copy.path);
    ck_assert_int_eq(file_write(copy.path, _i == 0 ? SLICE("") : strbuf_slice(&file), 0600, NULL), 0);
    ck_assert_int_eq(file_write(name_of[1], strbuf_slice(&log), 0600, NULL), 0);
    ck_assert_int_eq(file_write(name_of[2], SLICE(""), 0600, NULL), 0);
    if (_i == 1)
        overwrite(copy.path, 0, 200, 0xa5); /* the log has a good first page */
    rig_open(&copy);
    aside(&copy, kept, sizeof(kept));
    if (kept[0] != '\0') {
        struct rescued c = rescue(&copy, kept);
        ck_assert_uint_eq(c.n[QUEUE_RESCUED], 1);
    }
    rig_until(&copy, copy.n_due == 2);
    rig_load(&copy, copy.due[0]);
    rig_read(&copy, copy.due[0]);
    ck_assert_uint_eq(copy.content.n, HEAD + BODY);
    ck_assert_int_eq(copy.content.p[HEAD + 777], letter(1, 777));
    strbuf_free(&file);
    strbuf_free(&log);
    remove_aside(&copy);
    rig_end(&copy);
    rig_end(&r);
}
END_TEST

static const char *const never_ours[] = {"a letter\n", "SQLite format 3",
                                         "\x7f"
                                         "ELF"};

START_TEST(what_was_never_a_queue_is_left_alone)
{
    struct rig r;
    struct err err = {""};
    char kept[200];

    rig_prepare(&r);
    struct strbuf text = STRBUF_INIT;
    for (int i = 0; i < 1000; i++)
        strbuf_add_str(&text, never_ours[_i]);
    ck_assert_int_eq(file_write(r.path, strbuf_slice(&text), 0600, NULL), 0);
    ck_assert_int_eq(rig_try_open(&r, &err), -1);
    aside(&r, kept, sizeof(kept));
    ck_assert_int_eq(kept[0], '\0');
    strbuf_free(&text);
    rig_end(&r);
}
END_TEST

/* Content that the disk altered is not sent, and nothing else stops. */
START_TEST(altered_content_is_not_read)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", (const char *const[]){"ann@example.org", NULL});
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_message(&m, "CDFGHJKLMN", (const char *const[]){"ann@example.net", NULL});
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 2);
    size_t bad = strcmp(r.due[0]->id, "BCDFGHJKLM") == 0 ? 0 : 1;
    rig_sql(&r, "UPDATE chunk SET bytes = CAST(replace(CAST(bytes AS TEXT), 'me@', 'we@') AS BLOB) WHERE row = 65536");
    fresh_drop_all(&r.queue->fresh);
    log_to(fopen("/dev/null", "w"));
    rig_load(&r, r.due[bad]);
    r.read = false;
    queue_read(r.queue, r.due[bad], 0, rig_on_unreadable, &r);
    rig_until(&r, r.read);
    rig_load(&r, r.due[1 - bad]);
    rig_read(&r, r.due[1 - bad]);
    ck_assert_uint_gt(r.content.n, 0);
    rig_close(&r);
    /* the next start looks at all of it, finds nothing wrong with the tables, and goes on */
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 2);
    char mark[120];
    snprintf(mark, sizeof(mark), "%s.check", r.path);
    ck_assert_int_eq(access(mark, F_OK), -1);
    log_to(stderr);
    rig_end(&r);
}
END_TEST

START_TEST(a_marked_file_is_looked_at_whole)
{
    struct rig r;
    char kept[200];

    fill(&r);
    /* An index that lacks what the table has: no quick check sees that. */
    rig_sql(&r, "PRAGMA writable_schema = 1");
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(r.path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(db,
                     "PRAGMA writable_schema = 1; CREATE TABLE kept (x, y);"
                     "INSERT INTO kept SELECT sql, rootpage FROM sqlite_schema WHERE name = 'event_message';"
                     "DELETE FROM sqlite_schema WHERE name = 'event_message';",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    ck_assert_int_eq(sqlite3_open(r.path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "DELETE FROM event WHERE row < 50", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    ck_assert_int_eq(sqlite3_open(r.path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(db,
                     "PRAGMA writable_schema = 1; INSERT INTO sqlite_schema (type, name, tbl_name, rootpage,"
                     " sql) SELECT 'index', 'event_message', 'event', y, x FROM kept; DROP TABLE kept;",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    damage_mark(r.path);
    rig_open(&r);
    aside(&r, kept, sizeof(kept));
    ck_assert_int_ne(kept[0], '\0');
    struct rescued c = rescue(&r, kept);
    ck_assert_uint_eq(c.n[QUEUE_RESCUED], MESSAGES);
    remove_aside(&r);
    rig_end(&r);
}
END_TEST

/* ---- older schemas --------------------------------------------------------------------------- */

/* A file as version 1 made it, with one message in it. */
/* Version 1, 2 or 3; the sums of 2 were others than today's. */
static void make_old(struct rig *r, int version)
{
    sqlite3 *db = NULL;

    rig_prepare(r);
    ck_assert_int_eq(sqlite3_open(r->path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(
            db,
            "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
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
            "CREATE INDEX event_message ON event(message_row);"
            "PRAGMA application_id = 1397050948; PRAGMA user_version = 1;"
            "INSERT INTO message VALUES (1, 'BCDFGHJKLM', 'me@example.com', 'me@example.com', NULL, 'me@example.com',"
            " '<1@example.com>', '', 0, 0, 0, 25, strftime('%s', 'now') * 1000, strftime('%s', 'now') * 1000 + "
            "86400000,"
            " 0, NULL);"
            "INSERT INTO recipient (row, address, domain, orcpt, notify, next_ms)"
            " VALUES (65536, 'ann@example.org', 'example.org', '', 0, 0);"
            "INSERT INTO chunk VALUES (65536, CAST('From: me@example.com' || char(13, 10, 13, 10) || 'x' AS BLOB));"
            "INSERT INTO event VALUES (1, 1, strftime('%s', 'now') * 1000, 'accepted', NULL, 'accepted');",
            NULL, NULL, NULL),
        SQLITE_OK);
    if (version >= 2)
        ck_assert_int_eq(sqlite3_exec(db,
                                      "CREATE TABLE control (row INTEGER PRIMARY KEY, message_row INTEGER NOT NULL,"
                                      " action INTEGER NOT NULL, id TEXT NOT NULL);"
                                      "ALTER TABLE chunk ADD COLUMN sum INTEGER; UPDATE chunk SET sum = 12345;"
                                      "PRAGMA user_version = 2",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
    if (version >= 3)
        ck_assert_int_eq(sqlite3_exec(db,
                                      "ALTER TABLE message ADD COLUMN head INTEGER;"
                                      "ALTER TABLE chunk RENAME COLUMN sum TO sum_2;"
                                      "ALTER TABLE chunk ADD COLUMN sum INTEGER; PRAGMA user_version = 3",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(an_old_version_is_brought_up_to_date)
{
    struct rig r;
    struct err err = {""};
    size_t changed;

    make_old(&r, 1 + _i);
    ck_assert_int_eq(queue_act(r.path, QUEUE_HOLD, "BCDFGHJKLM", &changed, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "run sendas serve once"));
    rig_open(&r);
    ck_assert_int_eq(rig_sql(&r, "PRAGMA user_version"), store_version());
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    ck_assert_str_eq(r.due[0]->recipients[0].address, "ann@example.org");
    rig_read(&r, r.due[0]);
    ck_assert_slice_eq(strbuf_slice(&r.content), "From: me@example.com\r\n\r\nx");
    struct rig_message m;
    rig_message(&m, "CDFGHJKLMN", to);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_end(&r);
}
END_TEST

START_TEST(an_old_version_is_rescued)
{
    struct rig r, old;

    make_old(&old, 1 + _i / 2);
    if (_i % 2 == 1)
        overwrite(old.path, 0, PAGE, 0xee);
    rig_begin(&r);
    struct rescued c = rescue(&r, old.path);
    ck_assert_uint_eq(c.n[QUEUE_RESCUED], 1);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    rig_read(&r, r.due[0]);
    ck_assert_uint_gt(r.content.n, 0);
    rig_end(&r);
    rig_end(&old);
}
END_TEST

START_TEST(rescue_says_why_it_cannot)
{
    struct rig r;
    struct rescued c = {{0}};
    struct err err = {""};
    char file[120];

    rig_begin(&r);
    snprintf(file, sizeof(file), "%s/none", r.dir);
    ck_assert_int_eq(queue_rescue(r.path, file, 1000, count, &c, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    ck_assert_int_eq(queue_rescue(r.path, r.path, 1000, count, &c, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "the queue itself"));
    ck_assert_int_eq(queue_rescue(file, r.path, 1000, count, &c, &err), -1);
    rig_end(&r);
}
END_TEST

/* ---- clocks ---------------------------------------------------------------------------------- */

/* How far the wall clock, as the file knows it, is moved away from the truth, and what may be left of a lifetime of
 * five days. */
static const struct {
    int64_t away_ms;
    int64_t left_min_ms, left_max_ms;
} clocks[] = {
    {0, 119 * 3600000LL, 120 * 3600000LL},
    {2 * 3600000LL, 117 * 3600000LL, 118 * 3600000LL + 1}, /* off for two hours: they count */
    {-30000, 119 * 3600000LL, 120 * 3600000LL + 30000},
    {-3600000LL, 119 * 3600000LL, 120 * 3600000LL},
    {-365 * 86400000LL, 119 * 3600000LL, 120 * 3600000LL},
    {365 * 86400000LL, 119 * 3600000LL, 120 * 3600000LL},
    {30 * 86400000LL, 119 * 3600000LL, 120 * 3600000LL},
    {-20000 * 86400000LL, 119 * 3600000LL, 120 * 3600000LL},
};

/* The file was written by a clock that showed `away_ms` less than this one: to the start the clock has jumped by that.
 */
static void write_clock(struct rig *r, int64_t away_ms)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "UPDATE message SET created_ms = created_ms - %lld, expires_ms = expires_ms - %lld",
             (long long)away_ms, (long long)away_ms);
    rig_sql(r, sql);
    snprintf(sql, sizeof(sql), "UPDATE recipient SET next_ms = next_ms - %lld", (long long)away_ms);
    rig_sql(r, sql);
    snprintf(sql, sizeof(sql), "UPDATE event SET time_ms = time_ms - %lld", (long long)away_ms);
    rig_sql(r, sql);
}

START_TEST(a_clock_that_jumped_costs_no_lifetime)
{
    const struct queue_result later = {.outcome = QUEUE_DEFERRED, .reply = "451 later"};
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", (const char *const[]){"ann@example.org", NULL});
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    queue_finish(r.queue, r.due[0], &later, DELAY_MS, NULL);
    r.n_due = 0;
    rig_close(&r);
    write_clock(&r, clocks[_i].away_ms);
    for (int start = 0; start < 3; start++) { /* the second start finds what the first left */
        rig_open(&r);
        char sql[100];
        snprintf(sql, sizeof(sql), "SELECT expires_ms - %lld FROM message", (long long)clock_wall_ms());
        int64_t left = rig_sql(&r, sql);
        ck_assert_msg(left >= clocks[_i].left_min_ms && left <= clocks[_i].left_max_ms, "start %d: %lld s are left",
                      start, (long long)left / 1000);
        ck_assert_uint_eq(r.queue->schedule.n, 1);
        int64_t due = r.queue->schedule.heap[0]->due_ms - clock_mono_ms();
        /* no storm, and no waiting for ever: at once, or when it was to be */
        ck_assert_int_le(due, DELAY_MS + 30000);
        if (clocks[_i].away_ms <= 0)
            ck_assert_int_gt(due, DELAY_MS - 60000);
        rig_close(&r);
    }
    rig_end(&r);
}
END_TEST

START_TEST(a_clock_that_is_set_while_it_runs_moves_all_stamps)
{
    static const int64_t steps[] = {3600 * 1000, -3600 * 1000, 365LL * 86400 * 1000, -365LL * 86400 * 1000};
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", (const char *const[]){"ann@example.org", NULL});
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    int64_t expires = rig_sql(&r, "SELECT expires_ms FROM message");
    r.queue->writer.wall_less_mono_ms -= steps[_i]; /* what it knows is old now */
    rig_message(&m, "CDFGHJKLMN", (const char *const[]){"ann@example.net", NULL});
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    int64_t moved = rig_sql(&r, "SELECT expires_ms FROM message WHERE row = 1") - expires;
    ck_assert_int_lt(llabs(moved - steps[_i]), 100);
    /* what came after it has the new clock's stamps already */
    int64_t ahead = rig_sql(&r, "SELECT expires_ms FROM message WHERE row = 2") - clock_wall_ms();
    ck_assert_int_lt(llabs(ahead - 5 * 86400 * 1000LL), 10000);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM event WHERE kind = 'clock'"), 1);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue damage");
    TCase *tc = tcase_create("damage");

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, what_can_be_read_of_a_damaged_file_is_rescued, 0, ARRAY_LEN(damages));
    tcase_add_loop_test(tc, damaged_content_is_never_sent, 0, 2);
    tcase_add_loop_test(tc, a_file_cut_short_is_set_aside_and_rescued, 0, 3);
    tcase_add_loop_test(tc, the_log_goes_with_its_file, 0, 2);
    tcase_add_loop_test(tc, what_was_never_a_queue_is_left_alone, 0, ARRAY_LEN(never_ours));
    tc = tcase_create("marked");
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, altered_content_is_not_read);
    tcase_add_test(tc, a_marked_file_is_looked_at_whole);
    tc = tcase_create("versions");
    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, an_old_version_is_brought_up_to_date, 0, 3);
    tcase_add_loop_test(tc, an_old_version_is_rescued, 0, 6);
    tcase_add_test(tc, rescue_says_why_it_cannot);
    tc = tcase_create("clock");
    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, a_clock_that_jumped_costs_no_lifetime, 0, ARRAY_LEN(clocks));
    tcase_add_loop_test(tc, a_clock_that_is_set_while_it_runs_moves_all_stamps, 0, 4);
    return suite;
}

TEST_MAIN(make_suite)
