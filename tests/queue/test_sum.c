/* What is stored is what was checked: a spool that reads otherwise by then stores nothing. */
#include "rig.h"

#include <stdlib.h>

static const char *const one[] = {"ann@example.org", NULL};

static const struct {
    size_t head, body, piece;
} contents[] = {
    {1, 0, 1},
    {7, 1, 3},
    {8, 8, 8},
    {100, 3000, 13},
    {100, QUEUE_CHUNK - 101, 4096},
    {100, QUEUE_CHUNK - 100, 4095},
    {101, QUEUE_CHUNK - 100, 65536},
    {2 * QUEUE_CHUNK + 5, 7, 1000},
    {3000, SPOOL_MEMORY_MAX + 1, 8191}, /* in a file, from here on */
    {QUEUE_CHUNK, SPOOL_MEMORY_MAX + 77, 8191},
    {3000, 3 * 1024 * 1024 + 1, 100000},
};

static char octet_at(size_t i)
{
    return (char)(i * 7 + i / 251 + i / 65521);
}

static char *make(size_t n)
{
    char *bytes = malloc(n + 1);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = octet_at(i);
    return bytes;
}

static struct queue_sum sum_of(const char *bytes, size_t n, size_t piece)
{
    struct queue_sum sum;

    queue_sum_init(&sum, n);
    for (size_t i = 0; i < n; i += piece)
        queue_sum_add(&sum, slice_from(bytes + i, n - i < piece ? n - i : piece));
    return sum;
}

static enum queue_status put(struct rig *r, const char *bytes, size_t head, size_t body,
                             const struct queue_sum *checked)
{
    struct rig_message m;

    rig_message(&m, "BCDFGHJKLM", one);
    m.m.head = slice_from(bytes, head);
    m.m.checked = checked;
    m.m.body = spool_new(r->dir);
    ck_assert_ptr_nonnull(m.m.body);
    ck_assert_int_eq(spool_write(m.m.body, slice_from(bytes + head, body), NULL), 0);
    enum queue_status status = rig_put(r, &m.m);
    spool_free(&m.m.body);
    return status;
}

START_TEST(a_changed_octet_stores_nothing)
{
    struct rig r;
    size_t head = contents[_i].head, n = head + contents[_i].body;
    char *bytes = make(n);

    rig_begin(&r);
    const size_t changed[] = {0, n / 3, n / 2, n - 1};
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        bytes[changed[i]] ^= 1;
        struct queue_sum other = sum_of(bytes, n, contents[_i].piece);
        bytes[changed[i]] ^= 1;
        ck_assert_int_eq(put(&r, bytes, head, contents[_i].body, &other), QUEUE_CHANGED);
        ck_assert_int_eq(rig_sql(&r, "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM chunk)"), 0);
        ck_assert_uint_eq(rig_files(&r), 0);
    }
    struct queue_sum sum = sum_of(bytes, n, contents[_i].piece);
    ck_assert_uint_eq(sum.at, n);
    ck_assert_int_eq(put(&r, bytes, head, contents[_i].body, &sum), QUEUE_OK);
    ck_assert_uint_eq(queue_length(r.queue), 1);
    free(bytes);
    rig_end(&r);
}
END_TEST

/* Where the check told the sums of all chunks, a large body is not read again, the rest is; and they are what is stored. */
START_TEST(a_large_body_has_the_sums_that_were_checked)
{
    enum { HEAD = 3000, N = HEAD + SPOOL_MEMORY_MAX + 5 * QUEUE_CHUNK + 99, CHUNKS = N / QUEUE_CHUNK + 1 };
    static const size_t changed[] = {0, HEAD, QUEUE_CHUNK - 1, QUEUE_CHUNK, N / 2, N - 1};
    char *bytes = make(N);
    struct rig r;

    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        int64_t chunks[CHUNKS] = {0};
        struct queue_sum sum;
        rig_begin(&r);
        queue_sum_init(&sum, N);
        sum.chunks = chunks;
        queue_sum_add(&sum, slice_from(bytes, N));
        bytes[changed[i]] ^= 1;
        enum queue_status status = put(&r, bytes, HEAD, N - HEAD, &sum);
        bytes[changed[i]] ^= 1;
        ck_assert_int_eq(status, changed[i] < QUEUE_CHUNK ? QUEUE_CHANGED : QUEUE_OK);
        ck_assert_uint_eq(rig_files(&r), status == QUEUE_OK);
        if (status == QUEUE_OK) { /* it is not delivered */
            struct read read = {.message_row = 1, .index = (unsigned)(changed[i] / QUEUE_CHUNK)};
            ck_assert_int_eq(store_read(&r.queue->reader.store, &read), SQLITE_CORRUPT);
            ck_assert_int_eq(rig_sql(&r, "SELECT sum FROM chunk WHERE row = 65537"), chunks[1]);
        }
        rig_end(&r);
    }
    free(bytes);
}
END_TEST

/* Cut short, or longer than it was. */
START_TEST(another_length_stores_nothing)
{
    struct rig r;
    enum { N = 5000 };
    char *bytes = make(N + 1);

    rig_begin(&r);
    struct queue_sum shorter = sum_of(bytes, N - 1, 100), longer = sum_of(bytes, N + 1, 100), fed_more;
    queue_sum_init(&fed_more, N);
    queue_sum_add(&fed_more, slice_from(bytes, N + 1));
    ck_assert_int_eq(put(&r, bytes, 100, N - 100, &shorter), QUEUE_CHANGED);
    ck_assert_int_eq(put(&r, bytes, 100, N - 100, &longer), QUEUE_CHANGED);
    ck_assert_int_eq(put(&r, bytes, 100, N - 100, &fed_more), QUEUE_CHANGED);
    ck_assert_uint_eq(queue_length(r.queue), 0);
    free(bytes);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue sums");
    TCase *tc = tcase_create("sums");

    log_to(fopen("/dev/null", "w"));
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_changed_octet_stores_nothing, 0, (int)ARRAY_LEN(contents));
    tcase_add_test(tc, a_large_body_has_the_sums_that_were_checked);
    tcase_add_test(tc, another_length_stores_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
