/* Passwords against crypt(5) hashes. */
#include "testing.h"

#include "sendas/submission.h"

#include <crypt.h>
#include <dlfcn.h>

static struct users *users;
static unsigned hashes;

/* Stands before libcrypt's own and counts. */
char *crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    char *(*real)(const char *, const char *, void *, int) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "crypt_rn");
    hashes++;
    return real(phrase, setting, data, size);
}

/* bcrypt and yescrypt at their lowest cost: the tests are about what matches, not about time. */
static void add(const char *name, const char *label, const char *password, const char *prefix)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data = {0};
    struct err err;
    ck_assert_ptr_nonnull(
        crypt_gensalt_rn(prefix, strcmp(prefix, "$y$") == 0 ? 1 : 4, NULL, 0, setting, sizeof(setting)));
    ck_assert_ptr_nonnull(crypt_rn(password, setting, &data, sizeof(data)));
    ck_assert_msg(users_add(users, name, label, data.output, NULL, 0, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
    users = calloc(1, sizeof(*users));
    ck_assert_ptr_nonnull(users);
    add("ann@example.com", "gmail", "abcd efgh", "$2b$");
    add("ann@example.com", "phone", "abcdefghijklmnop", "$y$");
    add("eve@example.com", "new", "abcd-2345-efgh-jkmn-pqrs", "$2b$");
    add("eve@example.com", "old", "BCDF-0123-GHJK-LMNP-QRST", "$2b$");
    add("eve@example.com", "own", "own1own2own3own4own5", "$2b$");
    add("bob@example.com", "gmail", "s\xc3\xb6 secret", "$2b$");
}

static void tear_down(void)
{
    users_free(&users);
}

static const struct {
    const char *login, *password;
    size_t n;          /* of the password where it is not its length */
    const char *label; /* of the one that it is; NULL: none */
} rows[] = {
    {"ann@example.com", "abcd efgh", 0, "gmail"},
    {"ann@example.com", "abcdefgh", 0, NULL}, /* spaces are only ever removed */
    {"ann@example.com", "abcdefghijklmnop", 0, "phone"},
    {"ann@example.com", "abcd efgh ijkl mnop", 0, "phone"},
    {"ann@EXAMPLE.com", "abcd efgh ijkl mnop", 0, "phone"},
    {"ann@example.com", "abcd efgh ijkl mno", 0, NULL},
    {"ann@example.com", "abcdefghijklmnop", 15, NULL},
    {"ann@example.com", "abcdefghijklmnop\0x", 18, NULL},
    {"ann@example.com", "abcdefghijklmnop", 17, NULL}, /* a NUL at its end */
    {"ann@example.com", "", 0, NULL},
    {"ann@example.com", " ", 0, NULL},
    {"bob@example.com", "s\xc3\xb6 secret", 0, "gmail"},
    {"bob@example.com", "abcdefghijklmnop", 0, NULL},
    {"nobody@example.com", "abcdefghijklmnop", 0, NULL},
    {"ann", "abcdefghijklmnop", 0, NULL},
    {"", "abcdefghijklmnop", 0, NULL},
    {"ann@example.com\xff", "abcdefghijklmnop", 0, NULL},
    /* as `sendas user add` makes them, now and before */
    {"eve@example.com", "abcd-2345-efgh-jkmn-pqrs", 0, "new"},
    {"eve@example.com", "abcd 2345 efgh jkmn pqrs", 0, "new"},
    {"eve@example.com", "abcd2345efghjkmnpqrs", 0, "new"},
    {"eve@example.com", " Abcd 2345-EFGHJKMN  pqrs ", 0, "new"},
    {"eve@example.com",
     "abcd\xe2\x80\x93"
     "2345\xe2\x80\x91"
     "efgh\xe2\x88\x92jkmn\xc2\xa0pqrs",
     0, "new"},
    {"eve@example.com", "abcd-2345-efgh-jkmn-pqr", 0, NULL},
    {"eve@example.com", "abcd-2345-efgh-jkmn-pqrst", 0, NULL},
    {"eve@example.com", "abcd_2345_efgh_jkmn_pqrs", 0, NULL},
    {"eve@example.com", "abcd-2345-efgh-jkmn-pqr\xe2\x80", 0, NULL},
    {"eve@example.com", "BCDF-0123-GHJK-LMNP-QRST", 0, "old"},
    {"eve@example.com", "BCDF 0123 GHJK LMNP QRST", 0, "old"},
    {"eve@example.com", "bcdf-0123-ghjk-lmnp-qrst", 0, NULL},
    {"eve@example.com", "twenty letters and digits", 0, NULL},
    {"eve@example.com", "own1own2 own3own4 own5", 0, "own"}, /* twenty, but never in groups */
};

START_TEST(test_password)
{
    size_t n = rows[_i].n != 0 ? rows[_i].n : strlen(rows[_i].password);
    const struct user_password *found =
        submission_password_check(users, slice_of(rows[_i].login), slice_from(rows[_i].password, n));
    const char *label = found == NULL ? "none" : found->label,
               *wanted = rows[_i].label == NULL ? "none" : rows[_i].label;
    ck_assert_msg(strcmp(label, wanted) == 0, "%s, %s: %s", rows[_i].login, rows[_i].password, label);
}
END_TEST

START_TEST(test_password_too_long)
{
    char password[4096];
    memset(password, 'a', sizeof(password));
    ck_assert(NULL ==
              submission_password_check(users, SLICE("ann@example.com"), slice_from(password, sizeof(password))));
    ck_assert(NULL == submission_password_check(users, SLICE("ann@example.com"), slice_from(password, 511)));
}
END_TEST

START_TEST(test_no_users)
{
    struct users none = {0};
    ck_assert(NULL == submission_password_check(&none, SLICE("ann@example.com"), SLICE("abcdefgh")));
}
END_TEST

/* The time tells nothing: every failure costs as many hashes as the user with most passwords has. */
START_TEST(test_same_work)
{
    static const char *const logins[] = {"ann@example.com", "bob@example.com", "nobody@example.com", "", "x@y@z"};
    for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
        hashes = 0;
        ck_assert(NULL == submission_password_check(users, slice_of(logins[i]), SLICE("wrong")));
        ck_assert_uint_eq(hashes, 3);
        hashes = 0;
        ck_assert(NULL == submission_password_check(users, slice_of(logins[i]), SLICE("quite wrong")));
        ck_assert_uint_eq(hashes, 6);
        hashes = 0;
        ck_assert(NULL == submission_password_check(users, slice_of(logins[i]), SLICE("WRNG 2345 efgh jkmn pqrs")));
        ck_assert_uint_eq(hashes, 12); /* as typed, without spaces, in groups, in lower case */
    }
    struct users none = {0};
    hashes = 0;
    ck_assert(NULL == submission_password_check(&none, SLICE("ann@example.com"), SLICE("wrong")));
    ck_assert_uint_eq(hashes, 1);
}
END_TEST

static Suite *password_suite(void)
{
    Suite *suite = suite_create("password");
    TCase *tc = tcase_create("password");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_password, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_password_too_long);
    tcase_add_test(tc, test_no_users);
    tcase_add_test(tc, test_same_work);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(password_suite)
