/* tests/queue/rig.h - a queue in a directory of its own, on a loop of its own; items that are due gather in `due`. */
#ifndef SENDAS_TESTS_QUEUE_RIG_H
#define SENDAS_TESTS_QUEUE_RIG_H

#include "testing.h"

#include "sendas/queue.h"

#include "../../src/queue/internal.h"

#include <dirent.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RIG_DUE_MAX = 200000 };

struct rig {
    char dir[64], path[96];
    struct event_base *base;
    struct config config;
    int64_t retry_s[3];
    struct queue *queue;
    struct queue_item **due;
    size_t n_due, answered[QUEUE_CHANGED + 1];
    bool loaded, load_ok, read;
    struct strbuf content;
};

static inline void rig_on_due(void *ctx, struct queue_item *item)
{
    struct rig *r = ctx;

    ck_assert_uint_lt(r->n_due, RIG_DUE_MAX);
    r->due[r->n_due++] = item;
}

static inline int rig_try_open(struct rig *r, struct err *err)
{
    const struct queue_events events = {.due = rig_on_due, .ctx = r};

    r->n_due = 0;
    return queue_open(&r->config, r->base, &events, &r->queue, err);
}

static inline void rig_open(struct rig *r)
{
    struct err err = {""};

    ck_assert_msg(rig_try_open(r, &err) == 0, "%s", err.text);
    queue_start(r->queue);
}

/* A directory, a configuration, a loop; no queue yet. */
static inline void rig_prepare(struct rig *r)
{
    *r = (struct rig){.dir = "/tmp/sendas-queue-XXXXXX", .retry_s = {60, 300, 900}};
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    snprintf(r->path, sizeof(r->path), "%s/queue.db", r->dir);
    r->base = event_base_new();
    r->due = calloc(RIG_DUE_MAX, sizeof(struct queue_item *));
    ck_assert(r->base != NULL && r->due != NULL);
    r->config.queue.path = r->path;
    r->config.queue.retry_s = r->retry_s;
    r->config.queue.n_retry = 3;
    r->config.queue.lifetime_s = 5 * 86400;
    r->config.queue.history_s = 30 * 86400;
}

static inline void rig_begin(struct rig *r)
{
    rig_prepare(r);
    rig_open(r);
}

/* Gives back what is still out, as a daemon does that stops. */
static inline void rig_close(struct rig *r)
{
    for (size_t i = 0; i < r->n_due; i++)
        if (r->due[i] != NULL)
            queue_finish(r->queue, r->due[i], NULL, 0, NULL);
    r->n_due = 0;
    queue_close(&r->queue);
}

/* How many large bodies are there; `drop`: after that none. */
static inline size_t rig_count_files(const struct rig *r, bool drop)
{
    char name[120];
    size_t n = 0;

    snprintf(name, sizeof(name), "%s-content", r->path);
    DIR *dir = opendir(name);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] != '.';
        if (drop)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir != NULL)
        closedir(dir);
    if (drop)
        rmdir(name);
    return n;
}

static inline size_t rig_files(const struct rig *r)
{
    return rig_count_files(r, false);
}

static inline void rig_end(struct rig *r)
{
    char name[128];
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".check"};

    rig_close(r);
    event_base_free(r->base);
    free(r->due);
    strbuf_free(&r->content);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(name, sizeof(name), "%s%s", r->path, suffixes[i]);
        unlink(name);
    }
    rig_count_files(r, true);
    rmdir(r->dir);
}

/* Runs the loop until the condition holds; fails after ten seconds. */
#define rig_until(r, condition)                                                                                        \
    do {                                                                                                               \
        int64_t until_ = clock_mono_ms() + 10000;                                                                      \
        while (!(condition)) {                                                                                         \
            ck_assert_msg(clock_mono_ms() < until_, "never came: %s", #condition);                                     \
            event_base_loop((r)->base, EVLOOP_NONBLOCK);                                                               \
            usleep(500);                                                                                               \
        }                                                                                                              \
    } while (0)

static inline void rig_on_put(void *ctx, enum queue_status status)
{
    struct rig *r = ctx;

    r->answered[status]++;
}

static inline size_t rig_answers(const struct rig *r)
{
    return r->answered[QUEUE_OK] + r->answered[QUEUE_FULL] + r->answered[QUEUE_FAILED] + r->answered[QUEUE_CHANGED];
}

/* A message that is easily recognised; its octets live as long as the struct. */
struct rig_message {
    struct queue_message m;
    struct queue_recipient_in to[8];
};

/* `addresses`: NULL-terminated. */
static inline void rig_message(struct rig_message *m, const char *id, const char *const *addresses)
{
    *m = (struct rig_message){0};
    snprintf(m->m.id, sizeof(m->m.id), "%s", id);
    m->m.sender = SLICE("me@example.com");
    m->m.bounce_to = SLICE("me@example.com");
    m->m.user = SLICE("me@example.com");
    m->m.message_id = SLICE("<1@example.com>");
    m->m.envid = SLICE("env+3D1");
    m->m.head = SLICE("From: me@example.com\r\n\r\n");
    for (size_t i = 0; addresses[i] != NULL; i++) {
        struct slice address = slice_of(addresses[i]), local;
        m->to[i] =
            (struct queue_recipient_in){.address = address, .domain = slice_cut(address, '@', &local), .notify = 4};
        m->m.n_recipients = i + 1;
    }
    m->m.recipients = m->to;
}

/* Stores it and waits for the answer. */
static inline enum queue_status rig_put(struct rig *r, const struct queue_message *m)
{
    size_t before[QUEUE_CHANGED + 1], n = rig_answers(r) + 1;

    memcpy(before, r->answered, sizeof(before));
    queue_put(r->queue, m, rig_on_put, r);
    rig_until(r, rig_answers(r) == n);
    for (int s = QUEUE_OK; s < QUEUE_CHANGED; s++)
        if (r->answered[s] != before[s])
            return (enum queue_status)s;
    return QUEUE_CHANGED;
}

static inline void rig_on_load(void *ctx, bool ok)
{
    struct rig *r = ctx;

    r->loaded = true;
    r->load_ok = ok;
}

static inline void rig_load(struct rig *r, struct queue_item *item)
{
    r->loaded = false;
    queue_load(r->queue, item, rig_on_load, r);
    rig_until(r, r->loaded);
    ck_assert(r->load_ok);
}

static inline void rig_on_read(void *ctx, struct slice bytes)
{
    struct rig *r = ctx;

    ck_assert_ptr_nonnull(bytes.p);
    ck_assert_uint_le(bytes.n, QUEUE_CHUNK);
    strbuf_add_slice(&r->content, bytes);
    r->read = true;
}

static inline void rig_on_unreadable(void *ctx, struct slice bytes)
{
    struct rig *r = ctx;

    ck_assert_ptr_null(bytes.p);
    r->read = true;
}

/* The whole content into r->content. */
static inline void rig_read(struct rig *r, const struct queue_item *item)
{
    size_t before;
    unsigned index = 0;

    strbuf_reset(&r->content);
    do {
        before = r->content.n;
        r->read = false;
        queue_read(r->queue, item, index++, rig_on_read, r);
        rig_until(r, r->read);
    } while (r->content.n > before);
}

/* The listing as text: a line "ID sender held", then one " address state attempts reply" for each recipient. */
static inline int rig_add_listing(void *ctx, const struct queue_listing *m)
{
    struct strbuf *b = ctx;

    strbuf_addf(b, "%s <%s>%s\n", m->id, m->sender, m->held ? " held" : "");
    for (size_t i = 0; i < m->n_recipients; i++)
        strbuf_addf(b, " %s %s %u %s\n", m->recipients[i].address, m->recipients[i].state, m->recipients[i].attempts,
                    m->recipients[i].last_reply);
    return 0;
}

static inline void rig_expect_listing(struct rig *r, const char *want)
{
    struct strbuf b = STRBUF_INIT;
    struct err err = {""};

    ck_assert_msg(queue_list(r->path, rig_add_listing, &b, &err) == 0, "%s", err.text);
    ck_assert_str_eq(strbuf_str(&b), want);
    strbuf_free(&b);
}

/* The first number that `sql` gives, on the file itself; runs all of it. */
static inline int64_t rig_sql(struct rig *r, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int64_t number = -1;

    ck_assert_int_eq(sqlite3_open(r->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        number = sqlite3_column_int64(st, 0);
    else
        ck_assert_msg(rc == SQLITE_DONE, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(st);
    sqlite3_close(db);
    return number;
}

#endif
