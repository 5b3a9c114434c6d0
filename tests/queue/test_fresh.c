/* What was stored a moment ago is sent from memory: only what was stored, only as long as nothing has changed, and never
 * more of it than there is room for. */
#include "rig.h"

#include <fcntl.h>
#include <sys/uio.h>

static const char *const one[] = {"ann@example.org", NULL};
static const char *const two[] = {"ann@example.org", "bob@example.net", NULL};

/* Stored, due, and no longer in the file: who reads it has it from memory. */
static void put_and_blind(struct rig *r, struct rig_message *m, const char *const *to, size_t due)
{
    rig_begin(r);
    rig_message(m, "BCDFGHJKLM", to);
    ck_assert_int_eq(rig_put(r, &m->m), QUEUE_OK);
    rig_until(r, r->n_due == due);
    rig_sql(r, "UPDATE chunk SET bytes = zeroblob(length(bytes))");
}

static bool loads(struct rig *r, struct queue_item *item)
{
    r->loaded = false;
    queue_load(r->queue, item, rig_on_load, r);
    ck_assert_msg(!r->loaded, "an answer comes from the loop, never out of the question");
    rig_until(r, r->loaded);
    return r->load_ok;
}

static void unreadable(struct rig *r, struct queue_item *item, unsigned chunk)
{
    log_to(fopen("/dev/null", "w"));
    r->read = false;
    queue_read(r->queue, item, chunk, rig_on_unreadable, r);
    rig_until(r, r->read);
}

START_TEST(what_was_just_stored_needs_no_file)
{
    struct rig r;
    struct rig_message m;

    put_and_blind(&r, &m, two, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(loads(&r, r.due[i]));
        strbuf_reset(&r.content);
        rig_read(&r, r.due[i]);
        ck_assert(slice_eq(strbuf_slice(&r.content), m.m.head));
        ck_assert_uint_eq(r.due[i]->n_recipients, 1);
        ck_assert_str_eq(strchr(r.due[i]->recipients[0].address, '@') + 1, r.due[i]->domain);
    }
    rig_end(&r);
}
END_TEST

START_TEST(after_an_attempt_it_comes_from_the_file)
{
    struct rig r;
    struct rig_message m;
    const struct queue_result later = {.outcome = QUEUE_DEFERRED, .reply = "451 later"};

    put_and_blind(&r, &m, one, 1);
    ck_assert(loads(&r, r.due[0]));
    queue_finish(r.queue, r.due[0], &later, 300, NULL);
    r.n_due = 0;
    rig_until(&r, r.n_due == 1);
    ck_assert(loads(&r, r.due[0]));
    ck_assert_uint_eq(r.due[0]->recipients[0].attempts, 1);
    unreadable(&r, r.due[0], 0);
    rig_end(&r);
}
END_TEST

START_TEST(what_another_process_held_comes_from_the_file)
{
    struct rig r;
    struct rig_message m;
    struct err err;
    size_t changed;

    put_and_blind(&r, &m, one, 1);
    ck_assert(loads(&r, r.due[0]));
    ck_assert_int_eq(queue_act(r.path, QUEUE_HOLD, "BCDFGHJKLM", &changed, &err), 0);
    rig_until(&r, item_of(r.due[0])->held);
    unreadable(&r, r.due[0], 0);
    rig_end(&r);
}
END_TEST

/* Given back while its content is on its way: nothing is called, nothing is left. */
START_TEST(giving_back_ends_what_is_on_its_way)
{
    struct rig r;
    struct rig_message m;

    put_and_blind(&r, &m, one, 1);
    ck_assert(loads(&r, r.due[0]));
    r.read = false;
    queue_read(r.queue, r.due[0], 0, rig_on_read, &r);
    queue_finish(r.queue, r.due[0], NULL, 0, NULL);
    r.n_due = 0;
    rig_until(&r, r.n_due == 1);
    ck_assert(!r.read);
    rig_end(&r);
}
END_TEST

/* Octets that are not those whose sum was stored are not kept. */
START_TEST(what_differs_from_the_file_does_not_come_in)
{
    struct rig_message m;
    struct fresh_cache c = {.n = 0};
    struct item it = {.item.message_row = 7};
    struct load l = {.item = &it};

    TAILQ_INIT(&c.list);
    rig_message(&m, "BCDFGHJKLM", one);
    struct put p = {.m = m.m, .size = m.m.head.n, .chunks = 1, .row = 7};
    p.stored_sum = store_sum_next(0, store_sum(m.m.head)) ^ 1;
    fresh_add(&c, &p);
    ck_assert(!fresh_load(&c, &l));
    p.stored_sum ^= 1;
    fresh_add(&c, &p);
    ck_assert_uint_eq(c.n, 1);
    fresh_drop_all(&c);
    ck_assert_uint_eq(c.n, 0);
    ck_assert_uint_eq(c.bytes, 0);
}
END_TEST

/* The newest stay, within number and size. */
START_TEST(older_ones_make_room)
{
    static char large[60000];
    struct fresh_cache c = {.n = 0};
    struct rig_message m;

    TAILQ_INIT(&c.list);
    rig_message(&m, "BCDFGHJKLM", one);
    if (_i == 1)
        m.m.head = slice_from(large, sizeof(large));
    struct put p = {.m = m.m, .size = m.m.head.n, .chunks = 1};
    p.stored_sum = store_sum_next(0, store_sum(m.m.head));
    for (p.row = 1; p.row <= 1000; p.row++)
        fresh_add(&c, &p);
    ck_assert_uint_gt(c.n, 10);
    ck_assert_uint_le(c.n, 256);
    ck_assert_uint_le(c.bytes, 2 * 1024 * 1024);
    size_t n = c.n;
    fresh_drop(&c, 1);
    ck_assert_uint_eq(c.n, n);
    fresh_drop(&c, 1000);
    ck_assert_uint_eq(c.n, n - 1);
    fresh_drop_all(&c);
}
END_TEST

/* ---- large ones: the file that is open still ------------------------------------------------- */

enum { LARGE = SPOOL_MEMORY_MAX + 2 * QUEUE_CHUNK + 100, LARGE_CHUNKS = LARGE / QUEUE_CHUNK + 1 };

struct large {
    struct rig_message m;
    struct queue_sum sum;
    int64_t chunks[LARGE_CHUNKS];
};
static char octets[LARGE];

static void large_message(struct large *l, const char *id, const char *where)
{
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (char)(i * 31 + i / 251);
    rig_message(&l->m, id, one);
    l->m.m.body = spool_new(where);
    ck_assert_int_eq(spool_write(l->m.m.body, slice_from(octets, sizeof(octets)), NULL), 0);
    queue_sum_init(&l->sum, l->m.m.head.n + sizeof(octets));
    l->sum.chunks = l->chunks;
    queue_sum_add(&l->sum, l->m.m.head);
    queue_sum_add(&l->sum, slice_from(octets, sizeof(octets)));
    l->m.m.checked = &l->sum;
}

/* Stored, due, loaded. */
static struct queue_item *put_large(struct rig *r, struct large *l)
{
    rig_begin(r);
    large_message(l, "BCDFGHJKLM", r->dir);
    ck_assert_int_eq(rig_put(r, &l->m.m), QUEUE_OK);
    spool_free(&l->m.m.body);
    rig_until(r, r->n_due == 1);
    ck_assert(loads(r, r->due[0]));
    return r->due[0];
}

static void whole(struct rig *r, const struct large *l)
{
    rig_read(r, r->due[0]);
    ck_assert(slice_starts(strbuf_slice(&r->content), l->m.m.head));
    ck_assert(slice_eq(slice_skip(strbuf_slice(&r->content), l->m.m.head.n), slice_from(octets, sizeof(octets))));
}

static int open_body(const struct rig *r)
{
    char name[160];

    snprintf(name, sizeof(name), "%s-content/BCDFGHJKLM", r->path);
    int fd = open(name, O_RDWR);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Where the system cannot say what is in memory, all of this is the reader's. */
static bool tells_what_is_in_memory(const struct rig *r)
{
    char octet;
    struct iovec v = {&octet, 1};
    int fd = open_body(r);
    bool tells = preadv2(fd, &v, 1, 0, RWF_NOWAIT) == 1;

    close(fd);
    return tells;
}

START_TEST(a_large_one_needs_no_reader)
{
    struct rig r;
    struct large l;

    put_large(&r, &l);
    ck_assert_uint_eq(r.queue->fresh.files, 1);
    ck_assert_uint_lt(r.queue->fresh.bytes, 1000);
    bool tells = tells_what_is_in_memory(&r);
    rig_sql(&r, "UPDATE chunk SET sum = sum + 1");
    if (tells)
        whole(&r, &l);
    else
        unreadable(&r, r.due[0], 0);
    queue_finish(r.queue, r.due[0], NULL, 0, NULL);
    r.n_due = 0;
    ck_assert_uint_eq(r.queue->fresh.files, 0);
    rig_until(&r, r.n_due == 1);
    unreadable(&r, r.due[0], 0);
    rig_end(&r);
}
END_TEST

/* What is no longer in memory comes from the disk, by the reader. */
START_TEST(a_large_one_that_went_to_the_disk)
{
    struct rig r;
    struct large l;

    put_large(&r, &l);
    int fd = open_body(&r);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    whole(&r, &l);
    rig_end(&r);
}
END_TEST

static void flip_an_octet(int fd)
{
    char octet;

    ck_assert(pread(fd, &octet, 1, QUEUE_CHUNK * 3 / 2) == 1);
    octet ^= 4;
    ck_assert(pwrite(fd, &octet, 1, QUEUE_CHUNK * 3 / 2) == 1);
}

static void cut(int fd)
{
    ck_assert_int_eq(ftruncate(fd, QUEUE_CHUNK * 3 / 2), 0);
}

static void (*const damages[])(int fd) = {flip_an_octet, cut};

START_TEST(a_large_one_that_was_altered_is_not_sent)
{
    struct rig r;
    struct large l;

    put_large(&r, &l);
    int fd = open_body(&r);
    damages[_i](fd);
    close(fd);
    unreadable(&r, r.due[0], 1);
    rig_end(&r);
}
END_TEST

START_TEST(a_large_one_that_is_removed_lets_its_file_go)
{
    struct rig r;
    struct large l;
    struct err err;
    size_t changed;

    put_large(&r, &l);
    ck_assert_int_eq(queue_act(r.path, QUEUE_REMOVE, "BCDFGHJKLM", &changed, &err), 0);
    rig_until(&r, item_of(r.due[0])->removed);
    ck_assert_uint_eq(r.queue->fresh.files, 0);
    r.read = false;
    queue_read(r.queue, r.due[0], 0, rig_on_read, &r);
    rig_until(&r, r.read);
    ck_assert_uint_eq(r.content.n, 0);
    rig_end(&r);
}
END_TEST

static size_t open_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(descriptors_are_few)
{
    struct fresh_cache c = {.n = 0};
    struct large l;
    size_t before = open_descriptors();

    TAILQ_INIT(&c.list);
    large_message(&l, "BCDFGHJKLM", "/tmp");
    struct put p = {.m = l.m.m, .size = l.sum.size, .chunks = LARGE_CHUNKS, .in_file = true};
    for (p.row = 1; p.row <= 100; p.row++)
        fresh_add(&c, &p);
    ck_assert_uint_gt(c.files, 10);
    ck_assert_uint_le(c.files, 32);
    ck_assert_uint_eq(open_descriptors(), before + 1 + c.files);
    fresh_drop_all(&c);
    ck_assert_uint_eq(c.files, 0);
    spool_free(&l.m.m.body);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue fresh");
    TCase *tc = tcase_create("fresh");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_just_stored_needs_no_file);
    tcase_add_test(tc, after_an_attempt_it_comes_from_the_file);
    tcase_add_test(tc, what_another_process_held_comes_from_the_file);
    tcase_add_test(tc, giving_back_ends_what_is_on_its_way);
    tcase_add_test(tc, what_differs_from_the_file_does_not_come_in);
    tcase_add_loop_test(tc, older_ones_make_room, 0, 2);
    tcase_add_test(tc, a_large_one_needs_no_reader);
    tcase_add_test(tc, a_large_one_that_went_to_the_disk);
    tcase_add_loop_test(tc, a_large_one_that_was_altered_is_not_sent, 0, ARRAY_LEN(damages));
    tcase_add_test(tc, a_large_one_that_is_removed_lets_its_file_go);
    tcase_add_test(tc, descriptors_are_few);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
