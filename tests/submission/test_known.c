/* Logins that need not be hashed again: only the right password, only for a while, only while users.yaml has it. */
#include "testing.h"

#include "fake.h"

#include "../../src/submission/internal.h"

enum { WHILE_MS = 10 * 60 * 1000 };

static struct fake fake;

static void set_up(void)
{
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    fake_init(&fake);
    fake.now = WHILE_MS; /* whatever the clock begins with */
    fake_open(&fake, "TLSv1.3");
}

static void tear_down(void)
{
    fake_free(&fake);
}

static void add_user(const char *name, const char *label, const char *hash)
{
    ck_assert_int_eq(users_add(fake.settings.users, name, label, hash, NULL, 0, NULL), 0);
}

static void verified(const char *login, const char *password)
{
    const struct user *user = users_find(fake.settings.users, slice_of(login));
    submission_login_verified(fake.shared, fake.settings.users, slice_of(login), slice_of(password),
                              user == NULL ? NULL : &user->passwords[user->n_passwords - 1], fake.now);
}

/* What a client gets at once, and without asking for a hash, in a session of its own. */
static bool known(const char *login, const char *password)
{
    struct strbuf plain = STRBUF_INIT, line = STRBUF_INIT;
    submission_free(&fake.session);
    fake_open(&fake, "TLSv1.3");
    fake.manual = true;
    fake.auth_waits = false;
    strbuf_add_char(&plain, '\0');
    strbuf_add_str(&plain, login);
    strbuf_add_char(&plain, '\0');
    strbuf_add_str(&plain, password);
    strbuf_add_str(&line, "AUTH PLAIN ");
    base64_encode(&line, strbuf_slice(&plain));
    strbuf_add_str(&line, "\r\n");
    strbuf_reset(&fake.input);
    fake_feed(&fake, SLICE("EHLO c\r\n"));
    strbuf_reset(&fake.transcript);
    fake_feed(&fake, strbuf_slice(&line));
    bool asked = fake.auth_waits, ok = strstr(strbuf_str(&fake.transcript), "S: 235 ") != NULL;
    ck_assert_msg(asked != ok, "%s: asked %d, ok %d: %s", login, asked, ok, strbuf_str(&fake.transcript));
    fake.auth_waits = false;
    strbuf_free(&plain);
    strbuf_free(&line);
    return ok;
}

static const struct {
    const char *login, *password;
    bool known;
} rows[] = {
    {"ann@example.com", "secret", true},     {"ann@example.com", "secre", false},
    {"ann@example.com", "secrets", false},   {"ann@example.com", "Secret", false},
    {"ann@example.co", "msecret", false},    {"bob@example.com", "secret", false},
    {"nobody@example.com", "secret", false},
};

START_TEST(test_only_the_same)
{
    add_user("bob@example.com", "test", "$y$none"); /* the same hash string, even */
    ck_assert(!known("ann@example.com", "secret"));
    verified("ann@example.com", "secret");
    ck_assert_msg(known(rows[_i].login, rows[_i].password) == rows[_i].known, "%s %s", rows[_i].login,
                  rows[_i].password);
}
END_TEST

/* Use does not make it last longer. */
START_TEST(test_for_a_while)
{
    verified("ann@example.com", "secret");
    fake.now += WHILE_MS - 1;
    ck_assert(known("ann@example.com", "secret"));
    fake.now += 1;
    ck_assert(!known("ann@example.com", "secret"));
    verified("ann@example.com", "secret");
    ck_assert(known("ann@example.com", "secret"));
}
END_TEST

START_TEST(test_gone_with_the_hash)
{
    add_user("ann@example.com", "phone", "$y$other");
    verified("ann@example.com", "secret");
    ck_assert(known("ann@example.com", "secret"));
    ck_assert_ptr_eq(fake.session->password, &fake.session->user->passwords[1]);
    ck_assert_int_eq(users_remove(fake.settings.users, "ann@example.com", "test", NULL), 0);
    ck_assert(!known("ann@example.com", "secret"));
    verified("ann@example.com", "secret");
    ck_assert_int_eq(users_remove(fake.settings.users, "ann@example.com", NULL, NULL), 0);
    ck_assert(!known("ann@example.com", "secret"));
}
END_TEST

START_TEST(test_nobody_is_kept)
{
    verified("nobody@example.com", "secret");
    ck_assert(!known("nobody@example.com", "secret"));
    add_user("nobody@example.com", "test", "$y$none");
    ck_assert(!known("nobody@example.com", "secret"));
}
END_TEST

/* The table has room for 256; what is new is always known. */
START_TEST(test_bounded)
{
    char password[32];
    unsigned n = 0;
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(password, sizeof(password), "secret %u", i);
        fake.now++;
        verified("ann@example.com", password);
        if (i % 500 == 0)
            ck_assert(known("ann@example.com", password));
    }
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(password, sizeof(password), "secret %u", i);
        n += known("ann@example.com", password);
    }
    ck_assert_uint_ge(n, 200);
    ck_assert_uint_le(n, 256);
}
END_TEST

/* An address that is locked out gets no answer from the table either. */
START_TEST(test_locked_out)
{
    verified("ann@example.com", "secret");
    fake.settings.config->limits.auth_failures = 1;
    ck_assert(!known("ann@example.com", "wrong"));
    fake.auth_waits = true;
    submission_auth_done(fake.session, NULL, fake.now);
    strbuf_reset(&fake.transcript);
    submission_free(&fake.session);
    fake_open(&fake, "TLSv1.3");
    strbuf_reset(&fake.input);
    fake_feed(&fake, SLICE("EHLO c\r\n"));
    fake_feed(&fake, SLICE("AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n"));
    ck_assert_msg(strstr(strbuf_str(&fake.transcript), "S: 421 4.7.0") != NULL, "%s", strbuf_str(&fake.transcript));
}
END_TEST

static Suite *known_suite(void)
{
    Suite *suite = suite_create("known");
    TCase *tc = tcase_create("known");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_only_the_same, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_for_a_while);
    tcase_add_test(tc, test_gone_with_the_hash);
    tcase_add_test(tc, test_nobody_is_kept);
    tcase_add_test(tc, test_bounded);
    tcase_add_test(tc, test_locked_out);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(known_suite)
