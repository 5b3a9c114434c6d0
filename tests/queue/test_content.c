/* Large bodies in files: what of them is damaged is not sent, what is left over goes, what is needed stays. */
#include "rig.h"

#include <fcntl.h>
#include <stdlib.h>

enum { HEAD = 24, BODY = SPOOL_MEMORY_MAX + 3 * QUEUE_CHUNK + 1000, CHUNKS = (HEAD + BODY) / QUEUE_CHUNK + 1 };

static const char *const one[] = {"ann@example.org", NULL};
static const struct queue_result delivered = {.outcome = QUEUE_DELIVERED, .reply = "250 ok"};

static char octet_at(size_t i)
{
    return (char)(i * 31 + i / 251 + i / QUEUE_CHUNK);
}

static struct spool *body_of(const char *where, size_t n)
{
    struct spool *s = spool_new(where);
    char *bytes = malloc(n + 1);

    ck_assert(s != NULL && bytes != NULL);
    for (size_t i = 0; i < n; i++)
        bytes[i] = octet_at(i);
    ck_assert_int_eq(spool_write(s, slice_from(bytes, n), NULL), 0);
    free(bytes);
    return s;
}

static enum queue_status put(struct rig *r, const char *id, size_t n)
{
    struct rig_message m;

    rig_message(&m, id, one);
    m.m.body = body_of(r->dir, n);
    enum queue_status status = rig_put(r, &m.m);
    spool_free(&m.m.body);
    return status;
}

static const char *path_of(const struct rig *r, const char *name)
{
    static char path[4][160];
    static unsigned next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof(path[0]), "%s-content/%s", r->path, name);
    return p;
}

static bool is_there(const struct rig *r, const char *name)
{
    return access(path_of(r, name), F_OK) == 0;
}

/* A queue with one large message in it, which is due. */
static struct queue_item *begin(struct rig *r)
{
    rig_begin(r);
    ck_assert_int_eq(put(r, "BCDFGHJKLM", BODY), QUEUE_OK);
    rig_until(r, r->n_due == 1);
    rig_load(r, r->due[0]);
    return r->due[0];
}

static void expect_whole(struct rig *r, const struct queue_item *item)
{
    rig_read(r, item);
    ck_assert_uint_eq(r->content.n, HEAD + BODY);
    for (size_t i = 0; i < BODY; i++)
        if (r->content.p[HEAD + i] != octet_at(i))
            ck_abort_msg("octet %zu differs", i);
}

/* ---- from the first day to the last ---------------------------------------------------------- */

/* The one that is due, to its end. */
static void deliver(struct rig *r)
{
    queue_finish(r->queue, r->due[0], &delivered, 0, NULL);
    r->n_due = 0;
    rig_until(r, queue_length(r->queue) == 0);
}

START_TEST(only_the_owner_reads_it)
{
    struct rig r;
    struct stat st;

    umask(0);
    const struct queue_item *item = begin(&r);
    ck_assert_int_eq(stat(path_of(&r, ""), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(stat(path_of(&r, "BCDFGHJKLM"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(st.st_size, BODY);
    expect_whole(&r, item);
    rig_end(&r);
}
END_TEST

START_TEST(it_goes_with_the_last_recipient)
{
    struct rig r;

    begin(&r);
    deliver(&r);
    ck_assert_uint_eq(rig_files(&r), 0);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk"), 0);
    rig_end(&r);
}
END_TEST

START_TEST(it_goes_with_a_bounce_and_stays_with_a_failure)
{
    const struct queue_result later = {.outcome = QUEUE_DEFERRED, .reply = "451 later"};
    struct rig r;
    struct rig_message dsn;
    struct queue_item *item = begin(&r);
    const int64_t closes[] = {item->recipients[0].row};

    queue_finish(r.queue, item, &later, 100, NULL);
    r.n_due = 0;
    rig_until(&r, r.n_due == 1);
    ck_assert(is_there(&r, "BCDFGHJKLM"));
    rig_load(&r, r.due[0]);
    expect_whole(&r, r.due[0]);
    rig_message(&dsn, "CDFGHJKLMN", (const char *const[]){"me@example.com", NULL});
    dsn.m.closes = closes;
    dsn.m.n_closes = 1;
    ck_assert_int_eq(rig_put(&r, &dsn.m), QUEUE_OK);
    ck_assert_uint_eq(rig_files(&r), 0);
    rig_end(&r);
}
END_TEST

START_TEST(it_goes_when_it_is_removed)
{
    struct rig r;
    struct err err = {""};
    size_t changed;

    begin(&r);
    ck_assert_int_eq(queue_act(r.path, QUEUE_HOLD, "BCDFGHJKLM", &changed, &err), 0);
    ck_assert(is_there(&r, "BCDFGHJKLM"));
    ck_assert_int_eq(queue_act(r.path, QUEUE_REMOVE, "BCDFGHJKLM", &changed, &err), 0);
    ck_assert_uint_eq(rig_files(&r), 0);
    /* who reads it at that moment finds its end, and no damage */
    r.read = false;
    queue_read(r.queue, r.due[0], 2, rig_on_read, &r);
    rig_until(&r, r.read);
    ck_assert_uint_eq(r.content.n, 0);
    rig_end(&r);
}
END_TEST

/* Nothing of what fails is left, and no other file is touched. */
START_TEST(what_is_not_stored_leaves_none)
{
    struct rig r;
    struct queue_sum other;

    begin(&r);
    log_to(fopen("/dev/null", "w"));
    ck_assert_int_eq(put(&r, "BCDFGHJKLM", BODY + 1), QUEUE_FAILED); /* the id is taken */
    struct rig_message m;
    rig_message(&m, "CDFGHJKLMN", one);
    m.m.body = body_of(r.dir, BODY);
    queue_sum_init(&other, HEAD + BODY);
    m.m.checked = &other;
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_CHANGED);
    spool_free(&m.m.body);
    ck_assert_uint_eq(rig_files(&r), 1);
    expect_whole(&r, r.due[0]);
    rig_end(&r);
}
END_TEST

/* Those that waited together share a commit; the one whose name is taken fails, and no other. */
START_TEST(kept_together_each_for_itself)
{
    static const char *const ids[] = {"BCDFGHJKLM", "CDFGHJKLMN", "DFGHJKLMNP"};
    struct rig r;
    struct rig_message m[ARRAY_LEN(ids)];
    struct stat st;

    rig_begin(&r);
    log_to(fopen("/dev/null", "w"));
    ck_assert_int_eq(mkdir(path_of(&r, ""), 0700), 0);
    ck_assert_int_eq(file_write(path_of(&r, ids[1]), SLICE("of somebody else"), 0600, NULL), 0);
    lane_stop(&r.queue->keeper.lane);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        rig_message(&m[i], ids[i], one);
        m[i].m.body = body_of(r.dir, BODY);
        queue_put(r.queue, &m[i].m, rig_on_put, &r);
    }
    size_t commits = queue_commits(r.queue);
    keeper_run(&r.queue->keeper);
    rig_until(&r, rig_answers(&r) == ARRAY_LEN(ids));
    ck_assert_uint_eq(r.answered[QUEUE_OK], 2);
    ck_assert_uint_eq(r.answered[QUEUE_FAILED], 1);
    ck_assert_uint_eq(queue_commits(r.queue), commits + 1);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        ck_assert(stat(path_of(&r, ids[i]), &st) == 0 && (st.st_size == BODY) == (i != 1));
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        spool_free(&m[i].m.body);
    rig_end(&r);
}
END_TEST

START_TEST(a_folder_that_is_gone_is_made_again)
{
    struct rig r;

    begin(&r);
    deliver(&r);
    ck_assert_int_eq(rmdir(path_of(&r, "")), 0);
    ck_assert_int_eq(put(&r, "CDFGHJKLMN", BODY), QUEUE_OK);
    ck_assert(is_there(&r, "CDFGHJKLMN"));
    rig_end(&r);
}
END_TEST

/* Where a file cannot be given a name there (another file system), its octets go into the table. */
START_TEST(what_cannot_be_there_is_in_the_table)
{
    struct rig r;
    char target[] = "/dev/shm/sendas-content-XXXXXX", name[120];

    rig_prepare(&r);
    ck_assert_ptr_nonnull(mkdtemp(target));
    snprintf(name, sizeof(name), "%s-content", r.path);
    ck_assert_int_eq(symlink(target, name), 0);
    rig_open(&r);
    ck_assert_int_eq(put(&r, "BCDFGHJKLM", BODY), QUEUE_OK);
    ck_assert_int_eq(rig_sql(&r, "SELECT total(length(bytes)) FROM chunk"), HEAD + BODY);
    ck_assert_int_eq(rig_sql(&r, "SELECT head IS NULL FROM message"), 1);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    expect_whole(&r, r.due[0]);
    unlink(name);
    rmdir(target);
    rig_end(&r);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------- */

static void lose(const char *path)
{
    ck_assert_int_eq(unlink(path), 0);
}

static void cut(const char *path)
{
    ck_assert_int_eq(truncate(path, BODY - 1), 0);
}

static void cut_to_nothing(const char *path)
{
    ck_assert_int_eq(truncate(path, 0), 0);
}

static void flip(const char *path)
{
    char octet;
    int fd = open(path, O_RDWR);

    ck_assert(fd >= 0 && pread(fd, &octet, 1, BODY - 500) == 1);
    octet ^= 4;
    ck_assert(pwrite(fd, &octet, 1, BODY - 500) == 1);
    close(fd);
}

static void (*const damages[])(const char *path) = {lose, cut, cut_to_nothing, flip};

static void read_last(struct rig *r, const struct queue_item *item)
{
    r->read = false;
    queue_read(r->queue, item, CHUNKS - 1, rig_on_unreadable, r);
    rig_until(r, r->read);
}

/* As a chunk in the table: that message waits, others go, and a restart finds nothing else wrong. */
START_TEST(what_is_damaged_is_not_sent)
{
    struct rig r;

    begin(&r);
    ck_assert_int_eq(put(&r, "CDFGHJKLMN", BODY), QUEUE_OK);
    rig_until(&r, r.n_due == 2);
    rig_load(&r, r.due[1]);
    log_to(fopen("/dev/null", "w"));
    damages[_i](path_of(&r, "BCDFGHJKLM"));
    read_last(&r, r.due[0]);
    expect_whole(&r, r.due[1]);
    rig_close(&r);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 2);
    ck_assert(is_there(&r, "CDFGHJKLMN"));
    rig_until(&r, r.n_due == 2);
    for (size_t i = 0; i < 2; i++) {
        rig_load(&r, r.due[i]);
        if (strcmp(r.due[i]->id, "BCDFGHJKLM") == 0)
            read_last(&r, r.due[i]);
        else
            expect_whole(&r, r.due[i]);
    }
    rig_end(&r);
}
END_TEST

/* What waits for its file when the queue is closed is stored, and answered, before it is. */
START_TEST(closing_stores_those_that_wait_for_their_file)
{
    static const char *const ids[] = {"BCDFGHJKLM", "CDFGHJKLMN", "DFGHJKLMNP"};
    struct rig r;
    struct rig_message m[ARRAY_LEN(ids)];

    rig_begin(&r);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        rig_message(&m[i], ids[i], one);
        m[i].m.body = body_of(r.dir, BODY);
        queue_put(r.queue, &m[i].m, rig_on_put, &r);
    }
    rig_close(&r);
    ck_assert_uint_eq(r.answered[QUEUE_OK], ARRAY_LEN(ids));
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        spool_free(&m[i].m.body);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), ARRAY_LEN(ids));
    ck_assert_uint_eq(rig_files(&r), ARRAY_LEN(ids));
    rig_end(&r);
}
END_TEST

/* Of the chunk in which the body begins, the table has the head. */
START_TEST(a_head_that_is_damaged_is_not_sent)
{
    static const char *const updates[] = {"UPDATE chunk SET bytes = substr(bytes, 2) WHERE length(bytes) > 0",
                                          "UPDATE chunk SET bytes = x'' WHERE length(bytes) > 0",
                                          "UPDATE chunk SET bytes = CAST(bytes || 'F' AS BLOB) WHERE length(bytes) > 0",
                                          "UPDATE message SET head = head + 1"};
    struct rig r;

    begin(&r);
    log_to(fopen("/dev/null", "w"));
    rig_sql(&r, updates[_i]);
    r.read = false;
    queue_read(r.queue, r.due[0], 0, rig_on_unreadable, &r);
    rig_until(&r, r.read);
    rig_end(&r);
}
END_TEST

/* The whole of it, as it was made at first, is as good. */
START_TEST(a_whole_chunk_in_the_table_is_as_good)
{
    static char rest[QUEUE_CHUNK - HEAD];
    struct rig r;
    struct store s;
    struct err err = {""};
    const struct queue_item *item = begin(&r);

    for (size_t i = 0; i < sizeof(rest); i++)
        rest[i] = octet_at(i);
    ck_assert_int_eq(store_open(&s, r.path, STORE_CHANGE, &err), 0);
    int64_t key = key_of(item->message_row, 0);
    ck_assert_int_eq(store_fill_chunk(&s, key, HEAD + 1, slice_from(rest, sizeof(rest))), SQLITE_OK);
    ck_assert_int_eq(rig_sql(&r, "SELECT max(length(bytes)) FROM chunk"), HEAD);
    ck_assert_int_eq(store_fill_chunk(&s, key, HEAD, slice_from(rest, sizeof(rest))), SQLITE_OK);
    ck_assert_int_eq(rig_sql(&r, "SELECT max(length(bytes)) FROM chunk"), QUEUE_CHUNK);
    store_close(&s);
    expect_whole(&r, item);
    rig_end(&r);
}
END_TEST

/* ---- at a start ------------------------------------------------------------------------------ */

START_TEST(what_is_left_over_goes_with_the_next_start)
{
    static const char *const others[] = {"a note", "BCDFGHJKLM.bak", "bcdfghjklm"};
    struct rig r;

    begin(&r);
    rig_close(&r);
    ck_assert_int_eq(file_write(path_of(&r, "CDFGHJKLMN"), SLICE("half a body"), 0600, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_int_eq(file_write(path_of(&r, others[i]), SLICE("not ours"), 0600, NULL), 0);
    rig_sql(&r,
            "INSERT INTO message SELECT row + 7, 'DFGHJKLMNP', user, sender, submitted, bounce_to, message_id, envid,"
            " ret, smtputf8, eightbit, size, created_ms, expires_ms, 0, 1, head FROM message");
    ck_assert_int_eq(file_write(path_of(&r, "DFGHJKLMNP"), SLICE("of one that is history"), 0600, NULL), 0);
    rig_open(&r);
    ck_assert(!is_there(&r, "CDFGHJKLMN") && !is_there(&r, "DFGHJKLMNP"));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert(is_there(&r, others[i]));
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    expect_whole(&r, r.due[0]);
    rig_end(&r);
}
END_TEST

/* The one thing that was set aside: its name. */
static char *find_aside(const struct rig *r)
{
    static char found[200];
    DIR *dir = opendir(r->dir);
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        const char *at = strstr(e->d_name, ".corrupt-");
        if (at == NULL || strstr(at, "-content") == NULL)
            continue;
        snprintf(found, sizeof(found), "%s/%.*s", r->dir, (int)(strstr(at, "-content") - e->d_name), e->d_name);
        n++;
    }
    closedir(dir);
    ck_assert_uint_eq(n, 1);
    return found;
}

static void remove_aside(const struct rig *r, const char *kept)
{
    struct rig gone = *r;

    snprintf(gone.path, sizeof(gone.path), "%s", kept);
    rig_count_files(&gone, true);
    for (size_t i = 0; i < 2; i++) {
        char name[220];
        snprintf(name, sizeof(name), "%s%s", kept, i == 0 ? "" : "-wal");
        unlink(name);
    }
}

static void spoil_first_page(const struct rig *r)
{
    char page[STORE_PAGE];
    int fd = open(r->path, O_WRONLY);

    memset(page, 0xa5, sizeof(page));
    ck_assert(fd >= 0 && pwrite(fd, page, sizeof(page), 0) == (ssize_t)sizeof(page));
    close(fd);
}

static size_t outcomes[QUEUE_NOT_RESCUED + 1];

static void count(void *ctx, const struct queue_rescue *r)
{
    (void)ctx;
    outcomes[r->outcome]++;
}

/* A damaged queue takes its bodies with it, and its messages come back; unless one is damaged itself. */
START_TEST(what_is_set_aside_is_rescued)
{
    struct rig r;
    struct err err = {""};

    begin(&r);
    ck_assert_int_eq(put(&r, "CDFGHJKLMN", BODY), QUEUE_OK);
    rig_close(&r);
    if (_i > 0)
        damages[_i - 1](path_of(&r, "BCDFGHJKLM"));
    spoil_first_page(&r);
    log_to(fopen("/dev/null", "w"));
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 0);
    ck_assert_uint_eq(rig_files(&r), 0);
    char *kept = find_aside(&r);
    memset(outcomes, 0, sizeof(outcomes));
    ck_assert_msg(queue_rescue(r.path, kept, 86400 * 1000, count, NULL, &err) == 0, "%s", err.text);
    size_t whole = _i == 0 ? 2 : 1;
    ck_assert_uint_eq(outcomes[QUEUE_RESCUED], whole);
    ck_assert_uint_eq(outcomes[QUEUE_NOT_RESCUED], 2 - whole);
    rig_until(&r, r.n_due == whole);
    for (size_t i = 0; i < whole; i++) {
        rig_load(&r, r.due[i]);
        expect_whole(&r, r.due[i]);
    }
    rig_close(&r);
    rig_open(&r); /* and nothing was taken from what is aside */
    ck_assert_int_eq(queue_rescue(r.path, kept, 86400 * 1000, count, NULL, &err), 0);
    ck_assert_uint_eq(outcomes[QUEUE_RESCUED_BEFORE], whole);
    remove_aside(&r, kept);
    rig_end(&r);
}
END_TEST

/* Whoever takes the database away, or loses it, does not lose the bodies to the new one. */
START_TEST(bodies_without_their_queue_are_set_aside)
{
    struct rig r;
    char moved[120];

    begin(&r);
    rig_close(&r);
    snprintf(moved, sizeof(moved), "%s.moved", r.path);
    ck_assert_int_eq(rename(r.path, moved), 0);
    if (_i == 1)
        ck_assert_int_eq(file_write(r.path, SLICE(""), 0600, NULL), 0);
    log_to(fopen("/dev/null", "w"));
    rig_open(&r);
    ck_assert_uint_eq(rig_files(&r), 0);
    rig_close(&r);
    char *kept = find_aside(&r);
    char name[220];
    snprintf(name, sizeof(name), "%s-content", kept);
    ck_assert_int_eq(rename(moved, r.path), 0);
    snprintf(moved, sizeof(moved), "%s-content", r.path);
    ck_assert_int_eq(rename(name, moved), 0);
    rig_open(&r);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    expect_whole(&r, r.due[0]);
    unlink(kept);
    rig_end(&r);
}
END_TEST

/* Of version 2: all of a large message in the table, and one that a crash has cut short. */
START_TEST(version_2_is_brought_up_to_date)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_close(&r);
    rig_sql(&r, "CREATE UNIQUE INDEX message_open ON message(id) WHERE finished_ms IS NULL");
    rig_sql(&r, "CREATE INDEX message_finished ON message(finished_ms) WHERE finished_ms IS NOT NULL");
    rig_sql(&r, "ALTER TABLE message DROP COLUMN head");
    rig_sql(&r, "ALTER TABLE chunk DROP COLUMN sum_2");
    rig_sql(&r, "UPDATE message SET size = 24 + 65536 * 30");
    rig_sql(&r, "UPDATE chunk SET sum = NULL, bytes = CAST(CAST(bytes AS TEXT) || printf('%65512s', 'x') AS BLOB)");
    rig_sql(
        &r,
        "INSERT INTO chunk (row, bytes) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
        " SELECT 65536 + i, CAST(printf('%*s', iif(i = 30, 24, 65536), i) AS BLOB) FROM n");
    rig_sql(&r, "INSERT INTO chunk (row, bytes) SELECT row + 65536 * 5, bytes FROM chunk");
    rig_sql(&r, "INSERT INTO partial VALUES (6)");
    rig_sql(&r, "PRAGMA user_version = 2");
    rig_open(&r);
    ck_assert_int_eq(rig_sql(&r, "PRAGMA user_version"), store_version());
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk WHERE row > 65536 * 2"), 0);
    rig_until(&r, r.n_due == 1);
    rig_load(&r, r.due[0]);
    rig_read(&r, r.due[0]);
    ck_assert_uint_eq(r.content.n, 24 + 65536 * 30);
    ck_assert_slice_eq(slice_sub(strbuf_slice(&r.content), 65536 * 8 - 1, 2), "7 ");
    deliver(&r);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk"), 0);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue content");
    TCase *tc = tcase_create("content");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, only_the_owner_reads_it);
    tcase_add_test(tc, it_goes_with_the_last_recipient);
    tcase_add_test(tc, it_goes_with_a_bounce_and_stays_with_a_failure);
    tcase_add_test(tc, it_goes_when_it_is_removed);
    tcase_add_test(tc, what_is_not_stored_leaves_none);
    tcase_add_test(tc, kept_together_each_for_itself);
    tcase_add_test(tc, closing_stores_those_that_wait_for_their_file);
    tcase_add_test(tc, a_folder_that_is_gone_is_made_again);
    tcase_add_test(tc, what_cannot_be_there_is_in_the_table);
    tcase_add_loop_test(tc, what_is_damaged_is_not_sent, 0, ARRAY_LEN(damages));
    tcase_add_loop_test(tc, a_head_that_is_damaged_is_not_sent, 0, 4);
    tcase_add_test(tc, a_whole_chunk_in_the_table_is_as_good);
    tcase_add_test(tc, what_is_left_over_goes_with_the_next_start);
    tcase_add_loop_test(tc, what_is_set_aside_is_rescued, 0, ARRAY_LEN(damages) + 1);
    tcase_add_loop_test(tc, bodies_without_their_queue_are_set_aside, 0, 2);
    tcase_add_test(tc, version_2_is_brought_up_to_date);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
