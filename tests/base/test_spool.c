/* Message data in memory and in a file, secret files, files written whole. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void dir_setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/sendas-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void dir_remove(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

/* ---- spools ---------------------------------------------------------------------------------------- */

static char octet_at(uint64_t offset)
{
    return (char)(offset * 31 + offset / 251);
}

static struct spool *spool_of(uint64_t size, size_t piece)
{
    struct spool *s = spool_new(dir);
    char buf[100000];
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_le(piece, sizeof(buf));
    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < piece ? (size_t)(size - at) : piece;
        for (size_t i = 0; i < n; i++)
            buf[i] = octet_at(at + i);
        ck_assert_int_eq(spool_write(s, slice_from(buf, n), NULL), 0);
        at += n;
        ck_assert_uint_eq(spool_size(s), at);
    }
    return s;
}

static void read_all(const struct spool *s, size_t piece)
{
    char buf[100001];
    uint64_t at = 0;
    for (;;) {
        ssize_t n = spool_read(s, at, buf, piece);
        ck_assert_int_ge(n, 0);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != octet_at(at + (uint64_t)i))
                ck_abort_msg("octet %llu differs", (unsigned long long)(at + (uint64_t)i));
        at += (uint64_t)n;
    }
    ck_assert_uint_eq(at, spool_size(s));
}

static const struct {
    uint64_t size;
    size_t piece;
} sizes[] = {
    {0, 1},
    {1, 1},
    {5000, 78},
    {SPOOL_MEMORY_MAX - 1, 1000},
    {SPOOL_MEMORY_MAX, 1000},
    {SPOOL_MEMORY_MAX + 1, 1000},
    {SPOOL_MEMORY_MAX + 1, 65537},
    {SPOOL_MEMORY_MAX + 64 * 1024, 64 * 1024},
    {SPOOL_MEMORY_MAX + 64 * 1024 + 1, 99999},
    {3000000, 80},
};

START_TEST(sizes_and_pieces)
{
    struct spool *s = spool_of(sizes[_i].size, sizes[_i].piece);
    read_all(s, 100001);
    read_all(s, 4096);
    /* across every border: file and tail, and beyond the end */
    static const uint64_t borders[] = {0, 1, 65536, SPOOL_MEMORY_MAX, SPOOL_MEMORY_MAX + 65536, 3000000};
    for (size_t i = 0; i < ARRAY_LEN(borders); i++)
        for (uint64_t at = borders[i] < 3 ? 0 : borders[i] - 3; at < borders[i] + 3; at++) {
            char buf[8];
            uint64_t left = at < sizes[_i].size ? sizes[_i].size - at : 0;
            ssize_t n = spool_read(s, at, buf, sizeof(buf));
            ck_assert_int_eq(n, left < sizeof(buf) ? (ssize_t)left : (ssize_t)sizeof(buf));
            for (ssize_t k = 0; k < n; k++)
                ck_assert_int_eq(buf[k], octet_at(at + (uint64_t)k));
        }
    ck_assert_int_eq(spool_read(s, UINT64_MAX, dir, 1), 0);
    spool_free(&s);
    ck_assert_ptr_null(s);
    spool_free(&s);
    /* No name is left behind. */
    ck_assert_int_eq(rmdir(dir), 0);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
}
END_TEST

static void *read_thread(void *arg)
{
    read_all(arg, 1009);
    return NULL;
}

START_TEST(concurrent_reads)
{
    struct spool *s = spool_of(1000000, 4096);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_thread, s), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    spool_free(&s);
}
END_TEST

START_TEST(no_place)
{
    struct err err;
    struct spool *s = spool_new(in_dir("nowhere"));
    static char chunk[SPOOL_MEMORY_MAX];
    ck_assert_int_eq(spool_write(s, slice_from(chunk, sizeof(chunk)), &err), 0); /* memory needs no file */
    ck_assert_int_eq(spool_write(s, SLICE("x"), &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "nowhere: No such file or directory"));
    ck_assert_int_eq(spool_write(s, SLICE("x"), &err), -1);
    char c;
    ck_assert_int_eq(spool_read(s, 0, &c, 1), -1); /* nothing of it counts */
    spool_free(&s);
}
END_TEST

/* EFBIG stands for a full disk: both are a write that fails after others went well. */
START_TEST(full_disk)
{
    struct err err;
    struct spool *s = spool_new(dir);
    static char chunk[SPOOL_MEMORY_MAX];
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){SPOOL_MEMORY_MAX + 100, RLIM_INFINITY}), 0);
    ck_assert_int_eq(spool_write(s, slice_from(chunk, sizeof(chunk)), &err), 0);
    ck_assert_int_eq(spool_write(s, slice_from(chunk, 65536), &err), 0);
    ck_assert_int_eq(spool_write(s, slice_from(chunk, 65536), &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "File too large"));
    spool_free(&s);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------------- */

static void make_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(in_dir(name), mode), 0);
}

static const struct {
    mode_t mode;
    bool secret, ok;
} modes[] = {
    {0600, true, true},  {0640, true, true},  {0400, true, true},  {0660, true, true},  {0644, true, false},
    {0604, true, false}, {0602, true, false}, {0601, true, false}, {0777, true, false}, {0644, false, true},
};

START_TEST(secret_modes)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {""};
    make_file("key.pem", "secret", modes[_i].mode);
    strbuf_add_str(&out, "before ");
    int rc = file_read(in_dir("key.pem"), 100, modes[_i].secret, &out, &err);
    ck_assert_msg((rc == 0) == modes[_i].ok, "mode %o: %s", (unsigned)modes[_i].mode, err.text);
    ck_assert_str_eq(strbuf_str(&out), rc == 0 ? "before secret" : "before ");
    if (rc < 0) {
        char want[300];
        snprintf(want, sizeof(want), "%s holds a secret, but its mode %04o opens it to everybody; run: chmod o= %s",
                 in_dir("key.pem"), (unsigned)modes[_i].mode, in_dir("key.pem"));
        ck_assert_str_eq(err.text, want);
    }
    strbuf_free(&out);
}
END_TEST

START_TEST(reading)
{
    struct strbuf out = STRBUF_INIT;
    struct err err;
    make_file("ten", "0123456789", 0600);
    ck_assert_int_eq(file_read(in_dir("ten"), 10, false, &out, &err), 0);
    ck_assert_int_eq(file_read(in_dir("ten"), 9, false, &out, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "has more than 9 octets"));
    ck_assert_str_eq(strbuf_str(&out), "0123456789");
    ck_assert_int_eq(file_read(in_dir("none"), 9, false, &out, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "none: No such file or directory"));
    ck_assert_int_eq(file_read(dir, 9, false, &out, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is a directory, expected a file"));
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    ck_assert_int_eq(file_read(in_dir("fifo"), 9, true, &out, &err), -1); /* and does not wait for a writer */
    ck_assert_ptr_nonnull(strstr(err.text, "is not a regular file"));
    ck_assert_int_eq(file_read(in_dir("fifo"), 9, false, &out, &err), 0);
    ck_assert_int_eq(file_read("/dev/zero", 1000, false, &out, &err), -1); /* endless */
    ck_assert_str_eq(strbuf_str(&out), "0123456789");
    strbuf_free(&out);
}
END_TEST

static mode_t mode_of(const char *name)
{
    struct stat st;
    ck_assert_int_eq(stat(in_dir(name), &st), 0);
    return st.st_mode & 07777;
}

START_TEST(writing)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {""};
    umask(022);
    ck_assert_int_eq(file_write(in_dir("new"), SLICE("one"), 0640, &err), 0);
    ck_assert_uint_eq(mode_of("new"), 0640);
    ck_assert_int_eq(chmod(in_dir("new"), 0604), 0);
    make_file("new.tmp", "left by a crash", 0666);
    ck_assert_int_eq(symlink("new", in_dir("link")), 0);
    ck_assert_int_eq(file_write(in_dir("link"), SLICE("two"), 0640, &err), 0);
    ck_assert_uint_eq(mode_of("new"), 0604); /* as it was */
    struct stat st;
    ck_assert_int_eq(lstat(in_dir("link"), &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(access(in_dir("new.tmp"), F_OK), -1);
    ck_assert_int_eq(file_read(in_dir("new"), 100, false, &out, &err), 0);
    ck_assert_str_eq(strbuf_str(&out), "two");
    ck_assert_int_eq(file_write(in_dir("no/where"), SLICE("x"), 0600, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "No such file or directory"));
    strbuf_free(&out);
}
END_TEST

/* A write that fails leaves the old file as it was, and nothing beside it. */
START_TEST(writing_fails)
{
    struct strbuf out = STRBUF_INIT;
    struct err err;
    make_file("f", "old", 0600);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){2, RLIM_INFINITY}), 0);
    ck_assert_int_eq(file_write(in_dir("f"), SLICE("new content"), 0600, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "File too large"));
    ck_assert_int_eq(access(in_dir("f.tmp"), F_OK), -1);
    ck_assert_int_eq(file_read(in_dir("f"), 100, false, &out, &err), 0);
    ck_assert_str_eq(strbuf_str(&out), "old");
    strbuf_free(&out);
}
END_TEST

START_TEST(directories)
{
    struct err err = {""};
    umask(0);
    ck_assert_int_eq(dir_make(in_dir("a/b//c/"), 0750, &err), 0);
    ck_assert_uint_eq(mode_of("a/b"), 0750);
    ck_assert_uint_eq(mode_of("a/b/c"), 0750);
    ck_assert_int_eq(dir_make(in_dir("a/b"), 0700, &err), 0);
    ck_assert_uint_eq(mode_of("a/b"), 0750);
    make_file("file", "", 0600);
    ck_assert_int_eq(dir_make(in_dir("file/x"), 0700, &err), -1);
    ck_assert_int_eq(dir_make(in_dir("file"), 0700, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is not a directory"));
    ck_assert_int_eq(dir_make("/", 0700, &err), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("spool");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, dir_setup, dir_remove);
    tcase_add_loop_test(tc, sizes_and_pieces, 0, ARRAY_LEN(sizes));
    tcase_add_test(tc, concurrent_reads);
    tcase_add_test(tc, no_place);
    tcase_add_test(tc, full_disk);
    tcase_add_loop_test(tc, secret_modes, 0, ARRAY_LEN(modes));
    tcase_add_test(tc, reading);
    tcase_add_test(tc, writing);
    tcase_add_test(tc, writing_fails);
    tcase_add_test(tc, directories);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
