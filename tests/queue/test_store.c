/* The store through its door: what was answered is there, outcomes, atomic bounces and failures. */
#include "rig.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char *const one[] = {"ann@example.org", NULL};
static const char *const three[] = {"ann@example.org", "bob@example.net", "cyd@example.org", NULL};

/* ---- in and out ------------------------------------------------------------------------------------------------- */

/* What was just stored is still in memory: odd rounds of a test look at what the file gives. */
static void only_from_the_file(struct rig *r, int round)
{
    if (round % 2 == 1)
        fresh_drop_all(&r->queue->fresh);
}

START_TEST(a_message_is_listed_and_due)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", three);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    rig_expect_listing(&r, "BCDFGHJKLM <me@example.com>\n ann@example.org waiting 0 \n bob@example.net waiting 0 \n"
                           " cyd@example.org waiting 0 \n");
    rig_until(&r, r.n_due == 2);
    size_t i = strcmp(r.due[0]->domain, "example.org") == 0 ? 0 : 1;
    struct queue_item *org = r.due[i], *net = r.due[1 - i];
    ck_assert_str_eq(org->id, "BCDFGHJKLM");
    ck_assert_str_eq(net->domain, "example.net");
    only_from_the_file(&r, _i);
    ck_assert_int_eq(org->expires_ms - org->created_ms, 5 * 86400000LL);
    ck_assert_int_le(llabs(org->created_ms - clock_wall_ms()), 10000);
    rig_load(&r, org);
    ck_assert_str_eq(org->sender, "me@example.com");
    ck_assert_str_eq(org->bounce_to, "me@example.com");
    ck_assert_str_eq(org->user, "me@example.com");
    ck_assert_str_eq(org->envid, "env+3D1");
    ck_assert_str_eq(org->message_id, "<1@example.com>");
    ck_assert_uint_eq(org->size, m.m.head.n);
    ck_assert_uint_eq(org->n_recipients, 2);
    ck_assert_str_eq(org->recipients[0].address, "ann@example.org");
    ck_assert_str_eq(org->recipients[1].address, "cyd@example.org");
    ck_assert_uint_eq(org->recipients[0].notify, 4);
    ck_assert_uint_eq(org->recipients[0].attempts, 0);
    ck_assert(!org->recipients[0].warned && !org->smtputf8 && !org->eightbit);
    rig_end(&r);
}
END_TEST

static char pattern(uint64_t offset)
{
    return (char)(offset * 31 + offset / 251 + offset / QUEUE_CHUNK);
}

static struct spool *patterned_spool(const char *dir, uint64_t from, size_t n)
{
    struct spool *s = spool_new(dir);
    struct err err = {""};

    ck_assert_ptr_nonnull(s);
    while (n > 0) {
        char block[4096];
        size_t k = n < sizeof(block) ? n : sizeof(block);
        for (size_t i = 0; i < k; i++)
            block[i] = pattern(from + i);
        ck_assert_msg(spool_write(s, slice_from(block, k), &err) == 0, "%s", err.text);
        from += k;
        n -= k;
    }
    return s;
}

static const struct {
    size_t head, body;
    bool spooled;
} contents[] = {
    {0, 0, false},
    {1, 0, false},
    {0, 1, true},
    {100, QUEUE_CHUNK - 101, true},
    {100, QUEUE_CHUNK - 100, true},
    {100, QUEUE_CHUNK - 99, true},
    {QUEUE_CHUNK, 0, true},
    {QUEUE_CHUNK + 1, QUEUE_CHUNK, true},
    {2 * QUEUE_CHUNK + 5, 7, true},
    {3000, SPOOL_MEMORY_MAX, true},
    {3000, SPOOL_MEMORY_MAX + 1, true}, /* in a file, from here on */
    {0, SPOOL_MEMORY_MAX + 1, true},
    {1, SPOOL_MEMORY_MAX + QUEUE_CHUNK - 1, true},
    {1, SPOOL_MEMORY_MAX + QUEUE_CHUNK, true},
    {QUEUE_CHUNK, SPOOL_MEMORY_MAX + QUEUE_CHUNK, true},
    {2 * QUEUE_CHUNK + 5, SPOOL_MEMORY_MAX + 7, true},
    {3000, 5 * 1024 * 1024, true},
};

START_TEST(content_comes_back_as_it_was)
{
    struct rig r;
    struct rig_message m;
    size_t head_n = contents[_i / 2].head, n = head_n + contents[_i / 2].body;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    char *head = malloc(head_n + 1);
    ck_assert_ptr_nonnull(head);
    for (size_t i = 0; i < head_n; i++)
        head[i] = pattern(i);
    m.m.head = slice_from(head, head_n);
    m.m.body = contents[_i / 2].spooled ? patterned_spool(r.dir, head_n, contents[_i / 2].body) : NULL;
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 1);
    only_from_the_file(&r, _i);
    rig_load(&r, r.due[0]);
    ck_assert_uint_eq(r.due[0]->size, n);
    rig_read(&r, r.due[0]);
    ck_assert_uint_eq(r.content.n, n);
    for (size_t i = 0; i < n; i++)
        if (r.content.p[i] != pattern(i))
            ck_abort_msg("octet %zu differs", i);
    bool in_file = contents[_i / 2].body > SPOOL_MEMORY_MAX;
    ck_assert_uint_eq(rig_files(&r), in_file);
    int64_t stored = rig_sql(&r, "SELECT total(length(bytes)) FROM chunk");
    ck_assert_int_eq(stored, in_file ? (int64_t)head_n : (int64_t)n);
    spool_free(&m.m.body);
    free(head);
    rig_end(&r);
}
END_TEST

START_TEST(without_recipients_nothing_is_stored)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    m.m.n_recipients = 0;
    queue_put(r.queue, &m.m, rig_on_put, &r);
    ck_assert_uint_eq(rig_answers(&r), 0); /* not before the loop runs */
    rig_until(&r, rig_answers(&r) == 1);
    ck_assert_uint_eq(r.answered[QUEUE_FAILED], 1);
    rig_expect_listing(&r, "");
    rig_end(&r);
}
END_TEST

/* ---- outcomes -------------------------------------------------------------------------------- */

/* Puts a message to three recipients of one domain, and returns its item, loaded. */
static struct queue_item *item_of_three(struct rig *r)
{
    static const char *const to[] = {"a@example.org", "b@example.org", "c@example.org", NULL};
    struct rig_message m;

    rig_message(&m, "BCDFGHJKLM", to);
    ck_assert_int_eq(rig_put(r, &m.m), QUEUE_OK);
    rig_until(r, r->n_due == 1);
    struct queue_item *item = r->due[0];
    rig_load(r, item);
    r->n_due = 0;
    return item;
}

/* The writer has done all that was asked so far. */
static void settle(struct rig *r)
{
    static const char *const to[] = {"z@late.example", NULL};
    struct rig_message m;

    rig_message(&m, "ZZZZZZZZZZ", to);
    m.m.closes = (const int64_t[]){1}; /* nobody's */
    m.m.n_closes = 1;
    rig_put(r, &m.m);
    rig_sql(r, "DELETE FROM recipient WHERE domain = 'late.example'");
    rig_sql(r, "DELETE FROM message WHERE id = 'ZZZZZZZZZZ'");
    rig_sql(r, "DELETE FROM event WHERE message_row NOT IN (SELECT row FROM message)");
}

static const struct {
    enum queue_outcome outcomes[3];
    const char *listing; /* afterwards */
    const char *events;  /* kinds, in order */
} outcome_rows[] = {
    {{QUEUE_DELIVERED, QUEUE_DELIVERED, QUEUE_DELIVERED}, "", "accepted,attempt,delivered,delivered,delivered"},
    {{QUEUE_FAILED_NO_DSN, QUEUE_DELIVERED, QUEUE_FAILED_NO_DSN}, "", "accepted,attempt,failed,delivered,failed"},
    {{QUEUE_DEFERRED, QUEUE_DELIVERED, QUEUE_DEFERRED},
     "BCDFGHJKLM <me@example.com>\n a@example.org waiting 1 451 later\n c@example.org waiting 1 451 later\n",
     "accepted,attempt,deferred,delivered,deferred"},
    {{QUEUE_KEEP, QUEUE_DELIVERED, QUEUE_DEFERRED},
     "BCDFGHJKLM <me@example.com>\n a@example.org waiting 0 \n c@example.org waiting 1 451 later\n",
     "accepted,attempt,delivered,deferred"},
    {{QUEUE_KEEP, QUEUE_KEEP, QUEUE_KEEP},
     "BCDFGHJKLM <me@example.com>\n a@example.org waiting 0 \n b@example.org waiting 0 \n c@example.org waiting 0 \n",
     "accepted,attempt"},
};

START_TEST(outcomes_are_recorded)
{
    struct rig r;
    struct queue_result results[3];
    char sql[400];

    rig_begin(&r);
    struct queue_item *item = item_of_three(&r);
    for (int i = 0; i < 3; i++)
        results[i] = (struct queue_result){
            .outcome = outcome_rows[_i].outcomes[i],
            .reply = outcome_rows[_i].outcomes[i] == QUEUE_DEFERRED ? "451 later" : "250 taken",
        };
    queue_finish(r.queue, item, results, 0, "mx.example.org took a look");
    settle(&r);
    rig_expect_listing(&r, outcome_rows[_i].listing);
    snprintf(sql, sizeof(sql), "SELECT (SELECT group_concat(kind) FROM (SELECT kind FROM event ORDER BY row)) = '%s'",
             outcome_rows[_i].events);
    ck_assert_int_eq(rig_sql(&r, sql), 1);
    bool gone = outcome_rows[_i].listing[0] == '\0';
    ck_assert_uint_eq(queue_length(r.queue), gone ? 1 : 2); /* with that of settle() */
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM message WHERE finished_ms IS NOT NULL"), gone);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk WHERE row >> 16 = 1"), !gone);
    rig_end(&r);
}
END_TEST

START_TEST(what_is_kept_comes_soon_what_is_deferred_later)
{
    struct rig r;
    const struct queue_result results[3] = {{.outcome = QUEUE_DEFERRED, .reply = "451 no", .warned = true},
                                            {.outcome = QUEUE_KEEP},
                                            {.outcome = QUEUE_DEFERRED, .reply = "452 no"}};

    rig_begin(&r);
    struct queue_item *item = item_of_three(&r);
    int64_t start = clock_mono_ms();
    queue_finish(r.queue, item, results, 700, NULL);
    rig_until(&r, r.n_due == 1);
    ck_assert_int_lt(clock_mono_ms() - start, 600);
    rig_load(&r, r.due[0]);
    ck_assert_uint_eq(r.due[0]->n_recipients, 1);
    ck_assert_str_eq(r.due[0]->recipients[0].address, "b@example.org");
    ck_assert_uint_eq(r.due[0]->recipients[0].attempts, 0);
    rig_until(&r, r.n_due == 2);
    ck_assert_int_ge(clock_mono_ms() - start, 695);
    rig_load(&r, r.due[1]);
    ck_assert_uint_eq(r.due[1]->n_recipients, 2);
    ck_assert_str_eq(r.due[1]->recipients[0].address, "a@example.org");
    ck_assert_str_eq(r.due[1]->recipients[1].address, "c@example.org");
    ck_assert_uint_eq(r.due[1]->recipients[0].attempts, 1);
    ck_assert(r.due[1]->recipients[0].warned && !r.due[1]->recipients[1].warned);
    rig_end(&r);
}
END_TEST

START_TEST(a_bounce_and_what_it_is_about_are_one_commit)
{
    struct rig r;
    struct rig_message dsn;
    static const char *const back[] = {"me@example.com", NULL};

    rig_begin(&r);
    struct queue_item *item = item_of_three(&r);
    const int64_t closes[] = {item->recipients[0].row, item->recipients[2].row};
    rig_message(&dsn, "CDFGHJKLMN", back);
    dsn.m.sender = dsn.m.bounce_to = dsn.m.user = SLICE("");
    dsn.m.closes = closes;
    dsn.m.n_closes = 2;
    ck_assert_int_eq(rig_put(&r, &dsn.m), QUEUE_OK);
    rig_expect_listing(
        &r, "BCDFGHJKLM <me@example.com>\n b@example.org waiting 0 \nCDFGHJKLMN <>\n me@example.com waiting 0 \n");
    const struct queue_result results[3] = {{.outcome = QUEUE_CLOSED, .reply = "550 no such user"},
                                            {.outcome = QUEUE_DELIVERED},
                                            {.outcome = QUEUE_CLOSED}};
    queue_finish(r.queue, item, results, 0, NULL);
    settle(&r);
    rig_expect_listing(&r, "CDFGHJKLMN <>\n me@example.com waiting 0 \n");
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM event WHERE kind = 'bounced' AND text = 'CDFGHJKLMN'"), 2);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM event WHERE kind = 'failed' AND text = '550 no such user'"), 1);
    rig_end(&r);
}
END_TEST

START_TEST(a_bounce_of_all_ends_the_message)
{
    struct rig r;
    struct rig_message dsn;
    static const char *const back[] = {"me@example.com", NULL};

    rig_begin(&r);
    struct queue_item *item = item_of_three(&r);
    const int64_t closes[] = {item->recipients[0].row, item->recipients[1].row, item->recipients[2].row};
    rig_message(&dsn, "CDFGHJKLMN", back);
    dsn.m.closes = closes;
    dsn.m.n_closes = 3;
    ck_assert_int_eq(rig_put(&r, &dsn.m), QUEUE_OK);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    /* A DSN that cannot be stored closes nothing. */
    struct queue_sum other;
    queue_sum_init(&other, 1);
    dsn.m.checked = &other;
    ck_assert_int_eq(rig_put(&r, &dsn.m), QUEUE_CHANGED);
    rig_expect_listing(&r, "CDFGHJKLMN <me@example.com>\n me@example.com waiting 0 \n");
    const struct queue_result closed[3] = {
        {.outcome = QUEUE_CLOSED}, {.outcome = QUEUE_CLOSED}, {.outcome = QUEUE_CLOSED}};
    queue_finish(r.queue, item, closed, 0, NULL);
    rig_end(&r);
}
END_TEST

START_TEST(giving_back_cancels_what_is_under_way)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 1);
    queue_load(r.queue, r.due[0], rig_on_load, &r);
    queue_read(r.queue, r.due[0], 0, rig_on_read, &r);
    queue_read(r.queue, r.due[0], 1, rig_on_read, &r);
    queue_finish(r.queue, r.due[0], NULL, 0, NULL);
    r.n_due = 0;
    rig_until(&r, r.n_due == 1);
    ck_assert(!r.loaded && !r.read);
    rig_load(&r, r.due[0]);
    rig_end(&r);
}
END_TEST

/* ---- restarts -------------------------------------------------------------------------------- */

START_TEST(a_restart_brings_all_back)
{
    struct rig r;
    struct rig_message m;
    const struct queue_result deferred = {.outcome = QUEUE_DEFERRED, .reply = "451 later"};

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", three);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_until(&r, r.n_due == 2);
    size_t net = strcmp(r.due[0]->domain, "example.net") == 0 ? 0 : 1;
    rig_load(&r, r.due[net]);
    queue_finish(r.queue, r.due[net], &deferred, 1500, NULL);
    r.due[net] = NULL;
    rig_close(&r);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    rig_until(&r, r.n_due == 1);
    ck_assert_str_eq(r.due[0]->domain, "example.org");
    rig_load(&r, r.due[0]);
    ck_assert_uint_eq(r.due[0]->n_recipients, 2);
    rig_read(&r, r.due[0]);
    ck_assert_slice_eq(strbuf_slice(&r.content), "From: me@example.com\r\n\r\n");
    rig_until(&r, r.n_due == 2);
    ck_assert_str_eq(r.due[1]->domain, "example.net");
    rig_load(&r, r.due[1]);
    ck_assert_uint_eq(r.due[1]->recipients[0].attempts, 1);
    rig_end(&r);
}
END_TEST

START_TEST(a_wall_clock_far_off_puts_nothing_off_for_ever)
{
    struct rig r;
    struct rig_message m;

    rig_begin(&r);
    rig_message(&m, "BCDFGHJKLM", one);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    rig_close(&r);
    /* stored by a clock ten years ahead */
    rig_sql(&r, "UPDATE recipient SET next_ms = next_ms + 315360000000");
    rig_sql(&r, "UPDATE message SET created_ms = created_ms + 315360000000, expires_ms = expires_ms + 315360000000");
    r.retry_s[0] = r.retry_s[1] = r.retry_s[2] = 1;
    rig_open(&r);
    rig_until(&r, r.n_due == 1);
    int64_t now = clock_wall_ms();
    ck_assert_int_le(r.due[0]->created_ms, now);
    ck_assert_int_le(r.due[0]->expires_ms, now + 5 * 86400000LL);
    ck_assert_int_gt(r.due[0]->expires_ms, now + 4 * 86400000LL);
    rig_end(&r);
}
END_TEST

/* In a child: puts messages without end, and writes the id of each that was answered. */
struct child_put {
    struct rig *r;
    struct rig_message m;
    int pipe;
};

static void on_child_put(void *ctx, enum queue_status status)
{
    struct child_put *c = ctx;

    if (status != QUEUE_OK || write(c->pipe, c->m.m.id, QUEUE_ID_LEN) != QUEUE_ID_LEN)
        _exit(3);
    spool_free(&c->m.m.body);
    free(c);
}

static void put_for_ever(struct rig *r, int fd)
{
    rig_open(r);
    for (unsigned i = 0;; i++) {
        struct child_put *c = calloc(1, sizeof(*c));
        char id[QUEUE_ID_SIZE];
        if (c == NULL || queue_new_id(id) < 0)
            _exit(4);
        rig_message(&c->m, id, three);
        c->r = r;
        c->pipe = fd;
        /* every eighth in a file */
        size_t n = i % 8 == 7 ? SPOOL_MEMORY_MAX + 3 * QUEUE_CHUNK : 5000;
        c->m.m.body = patterned_spool(r->dir, c->m.m.head.n, n);
        queue_put(r->queue, &c->m.m, on_child_put, c);
        event_base_loop(r->base, EVLOOP_NONBLOCK);
        if (i % 16 == 15)
            usleep(2000);
    }
}

/* One more id that the child wrote; false when it wrote no more. */
static bool next_answered(int fd, struct strbuf *ids)
{
    char id[QUEUE_ID_LEN];

    if (read(fd, id, sizeof(id)) != QUEUE_ID_LEN)
        return false;
    strbuf_add(ids, id, sizeof(id));
    return true;
}

static void expect_whole(struct rig *r)
{
    struct store *s = &r->queue->reader.store;
    int64_t last = rig_sql(r, "SELECT max(row) FROM message");

    for (int64_t row = 1; row <= last; row++) {
        char sql[100];
        snprintf(sql, sizeof(sql), "SELECT size FROM message WHERE row = %lld", (long long)row);
        int64_t size = rig_sql(r, sql);
        ck_assert_msg(size < 0 || store_is_whole(s, row, (uint64_t)size), "message %lld is not whole", (long long)row);
    }
}

START_TEST(what_was_answered_survives_a_kill)
{
    struct rig r;
    struct strbuf ids = STRBUF_INIT;
    int fds[2], status;
    char sql[200];

    rig_prepare(&r);
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(fds[0]);
        put_for_ever(&r, fds[1]);
    }
    close(fds[1]);
    for (int i = 0; i < 20 + 17 * _i; i++)
        ck_assert(next_answered(fds[0], &ids));
    usleep((useconds_t)_i * 3700);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", status);
    while (next_answered(fds[0], &ids))
        ;
    close(fds[0]);
    rig_open(&r);
    for (size_t i = 0; i < ids.n; i += QUEUE_ID_LEN) {
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM message WHERE id = '%.*s'", QUEUE_ID_LEN, ids.p + i);
        ck_assert_msg(rig_sql(&r, sql) == 1, "%.*s was answered and is not there", QUEUE_ID_LEN, ids.p + i);
    }
    /* nothing is there by half */
    ck_assert_int_eq(
        rig_sql(&r, "SELECT count(*) FROM message m WHERE (size + 65535) / 65536 <> (SELECT count(*) FROM chunk c WHERE"
                    " c.row BETWEEN m.row * 65536 AND m.row * 65536 + 65535) OR 3 <> (SELECT count(*) FROM recipient r"
                    " WHERE r.row >> 16 = m.row)"),
        0);
    expect_whole(&r);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM chunk WHERE row >> 16 NOT IN (SELECT row FROM message)"), 0);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM message WHERE head IS NOT NULL"), (int64_t)rig_files(&r));
    ck_assert_uint_ge(queue_length(r.queue), ids.n / QUEUE_ID_LEN);
    printf("killed after %zu answers, %zu there\n", ids.n / QUEUE_ID_LEN, queue_length(r.queue));
    strbuf_free(&ids);
    rig_end(&r);
}
END_TEST

/* ---- groups and failures
 * --------------------------------------------------------------------------------------------- */

static void put_many(struct rig *r, struct rig_message *m, size_t n, const char *const *to)
{
    for (size_t i = 0; i < n; i++) {
        char id[QUEUE_ID_SIZE];
        ck_assert_int_eq(queue_new_id(id), 0);
        rig_message(&m[i], id, to);
        queue_put(r->queue, &m[i].m, rig_on_put, r);
    }
}

START_TEST(what_waits_goes_in_with_one_commit)
{
    enum { N = 400 };
    static struct rig_message m[N];
    struct rig r;

    rig_begin(&r);
    size_t before = queue_commits(r.queue);
    /* while the store is locked by another, all of them gather */
    sqlite3 *other = NULL;
    ck_assert_int_eq(sqlite3_open(r.path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put_many(&r, m, N, one);
    ck_assert_int_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    rig_until(&r, r.answered[QUEUE_OK] == N);
    ck_assert_uint_le(queue_commits(r.queue) - before, 3);
    ck_assert_uint_eq(queue_length(r.queue), N);
    rig_end(&r);
}
END_TEST

START_TEST(one_that_cannot_be_stored_fails_alone)
{
    static struct rig_message m[9];
    struct rig_message bad;
    struct queue_sum sum;
    struct rig r;

    rig_begin(&r);
    log_to(fopen("/dev/null", "w"));
    rig_message(&bad, "BCDFGHJKLM", one);
    queue_sum_init(&sum, 1);
    bad.m.checked = &sum;
    sqlite3 *other = NULL;
    ck_assert_int_eq(sqlite3_open(r.path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put_many(&r, m, 4, one);
    queue_put(r.queue, &bad.m, rig_on_put, &r);
    put_many(&r, m + 4, 5, one);
    ck_assert_int_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    rig_until(&r, rig_answers(&r) == 10);
    ck_assert_uint_eq(r.answered[QUEUE_OK], 9);
    ck_assert_uint_eq(r.answered[QUEUE_CHANGED], 1);
    ck_assert_uint_eq(queue_length(r.queue), 9);
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM message"), 9);
    rig_end(&r);
}
END_TEST

static void limit_files(rlim_t octets)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(without_room_nothing_is_half_queued_and_work_goes_on_later)
{
    struct rig r;
    struct rig_message m;
    const struct queue_result delivered[3] = {
        {.outcome = QUEUE_DELIVERED}, {.outcome = QUEUE_DELIVERED}, {.outcome = QUEUE_DELIVERED}};

    rig_begin(&r);
    log_to(fopen("/dev/null", "w"));
    struct queue_item *item = item_of_three(&r);
    rig_message(&m, "CDFGHJKLMN", one);
    m.m.body = patterned_spool(r.dir, 0, 3 * 1024 * 1024 - 100); /* the end of it is still in memory */
    limit_files(2 * 1024 * 1024);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_FULL);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_FULL);
    spool_free(&m.m.body);
    limit_files(20 * 1024);
    /* an outcome cannot be recorded now, and is not forgotten */
    queue_finish(r.queue, item, delivered, 0, NULL);
    usleep(50000);
    limit_files(RLIM_INFINITY);
    rig_until(&r, queue_length(r.queue) == 0);
    rig_expect_listing(&r, "");
    rig_until(&r, rig_sql(&r, "SELECT count(*) FROM chunk") == 0);
    ck_assert_uint_eq(rig_files(&r), 0);
    m.m.body = patterned_spool(r.dir, 0, 3 * 1024 * 1024 - 100);
    ck_assert_int_eq(rig_put(&r, &m.m), QUEUE_OK);
    spool_free(&m.m.body);
    rig_end(&r);
}
END_TEST

START_TEST(unused_room_is_given_back)
{
    struct rig r;
    struct store s;
    struct err err = {""};
    bool more = false;

    rig_prepare(&r);
    ck_assert_msg(store_open(&s, r.path, STORE_WRITE, &err) == 0, "%s", err.text);
    ck_assert_int_eq(store_shrink(&s, &more), SQLITE_OK);
    ck_assert(!more);
    ck_assert_int_eq(sqlite3_exec(s.db,
                                  "INSERT INTO chunk (row, bytes) VALUES (1, zeroblob(68000000)); DELETE FROM chunk",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    int64_t before = rig_sql(&r, "PRAGMA freelist_count");
    ck_assert_int_gt(before, 8192);
    ck_assert_int_eq(store_shrink(&s, &more), SQLITE_OK);
    ck_assert(more);
    ck_assert_int_eq(rig_sql(&r, "PRAGMA freelist_count"), before - 512);
    store_close(&s);
    rig_end(&r);
}
END_TEST

START_TEST(closing_answers_all_that_waits)
{
    enum { N = 50 };
    static struct rig_message m[N];
    struct rig r;

    rig_begin(&r);
    put_many(&r, m, N, one);
    rig_close(&r);
    ck_assert_uint_eq(r.answered[QUEUE_OK], N);
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), N);
    rig_end(&r);
}
END_TEST

/* ---- held ------------------------------------------------------------------------------------- */

static int stop_after_first(void *ctx, const struct queue_listing *m)
{
    size_t *n = ctx;

    ck_assert_str_eq(m->recipients[0].state, "held");
    return ++*n == 1;
}

START_TEST(what_is_held_waits)
{
    static struct rig_message m[2];
    struct rig r;
    struct err err;
    size_t n = 0;

    rig_begin(&r);
    put_many(&r, m, 2, one);
    rig_until(&r, r.n_due == 2);
    rig_close(&r);
    rig_sql(&r, "UPDATE message SET held = 1");
    rig_open(&r);
    ck_assert_uint_eq(queue_length(r.queue), 2);
    for (int64_t until = clock_mono_ms() + 200; clock_mono_ms() < until; usleep(5000))
        event_base_loop(r.base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(r.n_due, 0);
    ck_assert_int_eq(queue_list(r.path, stop_after_first, &n, &err), 1);
    ck_assert_uint_eq(n, 1);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue store");
    TCase *tc = tcase_create("store");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_message_is_listed_and_due, 0, 2);
    tcase_add_loop_test(tc, content_comes_back_as_it_was, 0, 2 * ARRAY_LEN(contents));
    tcase_add_test(tc, without_recipients_nothing_is_stored);
    tcase_add_loop_test(tc, outcomes_are_recorded, 0, ARRAY_LEN(outcome_rows));
    tcase_add_test(tc, what_is_kept_comes_soon_what_is_deferred_later);
    tcase_add_test(tc, a_bounce_and_what_it_is_about_are_one_commit);
    tcase_add_test(tc, a_bounce_of_all_ends_the_message);
    tcase_add_test(tc, giving_back_cancels_what_is_under_way);
    tcase_add_test(tc, a_restart_brings_all_back);
    tcase_add_test(tc, a_wall_clock_far_off_puts_nothing_off_for_ever);
    tcase_add_loop_test(tc, what_was_answered_survives_a_kill, 0, 5);
    tcase_add_test(tc, what_waits_goes_in_with_one_commit);
    tcase_add_test(tc, one_that_cannot_be_stored_fails_alone);
    tcase_add_test(tc, without_room_nothing_is_half_queued_and_work_goes_on_later);
    tcase_add_test(tc, unused_room_is_given_back);
    tcase_add_test(tc, closing_answers_all_that_waits);
    tcase_add_test(tc, what_is_held_waits);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
