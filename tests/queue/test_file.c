/* The file of the queue: whose it is, and what is refused in its place. */
#include "rig.h"

static void expect_refusal(struct rig *r, const char *words)
{
    struct err err = {""};

    ck_assert_int_eq(rig_try_open(r, &err), -1);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
    ck_assert_msg(strstr(err.text, r->path) != NULL, "\"%s\" lacks the path", err.text);
}

START_TEST(only_the_owner_reads_the_file)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    struct rig r;
    struct stat st;
    char name[128];

    umask(0);
    rig_begin(&r);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(name, sizeof(name), "%s%s", r.path, suffixes[i]);
        ck_assert_int_eq(stat(name, &st), 0);
        ck_assert_msg((st.st_mode & 0777) == 0600, "%s: %o", name, st.st_mode & 0777);
    }
    rig_end(&r);
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
    struct rig r;

    rig_begin(&r);
    rig_close(&r);
    rig_sql(&r, "PRAGMA user_version = 99");
    expect_refusal(&r, "newer sendas");
    struct err err = {""};
    ck_assert_int_eq(queue_list(r.path, rig_add_listing, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "newer sendas"));
    rig_end(&r);
}
END_TEST

START_TEST(what_is_no_queue_is_refused)
{
    struct rig r;

    rig_prepare(&r);
    FILE *f = fopen(r.path, "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 200; i++)
        fputs("this is a letter, not a database\n", f);
    fclose(f);
    expect_refusal(&r, "is not a queue");
    unlink(r.path);
    rig_sql(&r, "CREATE TABLE somebody_elses (x)");
    expect_refusal(&r, "another program");
    ck_assert_int_eq(rig_sql(&r, "SELECT count(*) FROM sqlite_schema"), 1);
    rig_end(&r);
}
END_TEST

START_TEST(a_missing_directory_is_told)
{
    struct rig r;

    rig_prepare(&r);
    snprintf(r.path, sizeof(r.path), "%s/none/queue.db", r.dir);
    expect_refusal(&r, "No such file or directory");
    struct strbuf b = STRBUF_INIT;
    struct err err = {""};
    ck_assert_int_eq(queue_list(r.path, rig_add_listing, &b, &err), 0);
    ck_assert_uint_eq(b.n, 0);
    rig_end(&r);
}
END_TEST

START_TEST(one_daemon_a_queue)
{
    struct rig r, second;

    rig_begin(&r);
    rig_prepare(&second);
    second.config.queue.path = r.path;
    struct err err = {""};
    ck_assert_int_eq(rig_try_open(&second, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "another sendas"));
    rig_end(&second);
    rig_end(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queue file");
    TCase *tc = tcase_create("file");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, only_the_owner_reads_the_file);
    tcase_add_test(tc, a_newer_schema_is_refused);
    tcase_add_test(tc, what_is_no_queue_is_refused);
    tcase_add_test(tc, a_missing_directory_is_told);
    tcase_add_test(tc, one_daemon_a_queue);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
