/* What is remembered of each account: failures and known networks, messages in an hour, last use; and the file of it. */
#include "testing.h"

#include "../../src/submission/accounts.h"
#include "../../src/submission/internal.h"

#include <jansson.h>

static struct submission_shared *shared;
static struct config *config;
static struct users *users;
static const struct user *ann, *bob;

#define HASH "$y$j9T$abc./$DEF"

static void add(const char *name, const char *label, unsigned messages)
{
    struct err err;
    ck_assert_msg(users_add(users, name, label, HASH, NULL, 0, &err) == 0, "%s", err.text);
    ck_assert_msg(users_narrow(users, name, label, NULL, 0, messages, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
    shared = submission_shared_new();
    config = config_defaults();
    users = calloc(1, sizeof(*users));
    ck_assert(shared != NULL && config != NULL && users != NULL);
    config->limits.auth_failures = 5;
    config->limits.auth_window_s = 600; /* 20 failures of an account in it: one is paid off in 30 s */
    config->limits.messages_per_user = 3;
    add("ann@example.com", "gmail", 0);
    add("ann@example.com", "phone", 2);
    add("bob@example.com", "gmail", 0);
    ann = users_find(users, SLICE("ann@example.com"));
    bob = users_find(users, SLICE("bob@example.com"));
}

static void tear_down(void)
{
    submission_shared_free(&shared);
    config_free(&config);
    users_free(&users);
}

/* ---- failures ------------------------------------------------------------------------------------------------------ */

static bool locked(const char *login, const char *ip, int64_t now_s)
{
    return accounts_locked_out(shared, users, slice_of(login), ip, now_s * 1000, config);
}

static bool fail_from(const char *login, const char *ip, int64_t now_s)
{
    return accounts_login_failed(shared, users, slice_of(login), ip, now_s * 1000, config);
}

/* As a botnet would: each attempt from another address. */
static void fail_often(const char *login, unsigned n, int64_t now_s)
{
    char ip[40];
    for (unsigned i = 0; i < n; i++) {
        snprintf(ip, sizeof(ip), "198.51.%u.1", i % 256);
        fail_from(login, ip, now_s);
    }
}

static const char *const names[] = {"ann@example.com", "nobody@example.com", "root", ""};

START_TEST(test_locked_by_many_addresses)
{
    const char *name = names[_i];
    fail_often(name, 19, 1000);
    ck_assert(!locked(name, "203.0.113.9", 1000));
    fail_often(name, 1, 1000);
    ck_assert(locked(name, "203.0.113.9", 1000));
    ck_assert(!locked("bob@example.com", "203.0.113.9", 1000));
    ck_assert(locked(name, "203.0.113.9", 1029));
    ck_assert(!locked(name, "203.0.113.9", 1030)); /* one try */
    fail_often(name, 1, 1030);
    ck_assert(locked(name, "203.0.113.9", 1059));
    ck_assert(!locked(name, "203.0.113.9", 1060));
    fail_often(name, 19, 1630); /* after the whole window nothing is left */
    ck_assert(!locked(name, "203.0.113.9", 1630));
}
END_TEST

/* More failures than the limit, which come from checks that were under way, lock no longer than the last one does. */
START_TEST(test_lock_has_an_end)
{
    const char *name = names[_i];
    fail_often(name, 1000, 1000);
    ck_assert(locked(name, "203.0.113.9", 1029));
    ck_assert(!locked(name, "203.0.113.9", 1030));
    fail_often(name, 1000, 1030);
    ck_assert(!locked(name, "203.0.113.9", 1060));
}
END_TEST

START_TEST(test_names_are_one_account)
{
    fail_often("ann@example.com", 10, 1000);
    fail_often("ANN@Example.COM", 10, 1000);
    ck_assert(locked("Ann@EXAMPLE.com", "203.0.113.9", 1000));
    fail_often("Nobody", 10, 1000);
    fail_often("noBODY", 10, 1000);
    ck_assert(locked("nobody", "203.0.113.9", 1000));
}
END_TEST

START_TEST(test_owner_is_known)
{
    accounts_login_ok(shared, ann, &ann->passwords[0], "192.0.2.7");
    accounts_login_ok(shared, ann, &ann->passwords[0], "2001:db8:1:2::3");
    fail_often("ann@example.com", 200, 1000);
    ck_assert(locked("ann@example.com", "203.0.113.9", 1000));
    ck_assert(!locked("ann@example.com", "192.0.2.7", 1000));
    ck_assert(!locked("ann@example.com", "192.0.2.99", 1000));              /* the same /24 */
    ck_assert(!locked("ann@example.com", "::ffff:192.0.2.99", 1000));       /* on a dual-stack socket */
    ck_assert(!locked("ann@example.com", "2001:db8:1:ffff::1%eth0", 1000)); /* the same /48 */
    ck_assert(locked("ann@example.com", "192.0.3.7", 1000));
    ck_assert(locked("ann@example.com", "2001:db8:2:2::3", 1000));
    ck_assert(locked("ann@example.com", "no address", 1000));
}
END_TEST

/* An old password in a program at home must not lock its owner out elsewhere. */
START_TEST(test_own_mistakes_do_not_count)
{
    accounts_login_ok(shared, ann, &ann->passwords[0], "192.0.2.7");
    for (int i = 0; i < 100; i++)
        ck_assert(!fail_from("ann@example.com", "192.0.2.7", 1000));
    ck_assert(!locked("ann@example.com", "203.0.113.9", 1000));
}
END_TEST

START_TEST(test_told_once)
{
    unsigned told = 0;
    for (int i = 0; i < 100; i++)
        told += fail_from("ann@example.com", "203.0.113.9", 1000);
    ck_assert_uint_eq(told, 1);
    told = 0;
    for (int i = 0; i < 100; i++)
        told += fail_from("nobody@example.com", "203.0.113.9", 1000); /* an attack on nobody is no news */
    ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(test_no_limit)
{
    config->limits.auth_failures = 0;
    fail_often("ann@example.com", 1000, 1000);
    ck_assert(!locked("ann@example.com", "203.0.113.9", 1000));
}
END_TEST

/* Names without end displace each other, but never what is known of users. */
START_TEST(test_many_names)
{
    char name[40];
    accounts_login_ok(shared, ann, &ann->passwords[0], "192.0.2.7");
    fail_often("ann@example.com", 20, 1000);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "user%d@example.com", i);
        fail_from(name, "203.0.113.9", 1000);
    }
    ck_assert_uint_eq(shared_accounts(shared)->n_strangers, STRANGERS_MAX + 1);
    ck_assert(locked("ann@example.com", "203.0.113.9", 1000));
    ck_assert(!locked("ann@example.com", "192.0.2.7", 1000));
    fail_from("one more", "203.0.113.9", 2000);
    ck_assert_uint_eq(shared_accounts(shared)->n_strangers, 1); /* the debts are paid */
}
END_TEST

START_TEST(test_many_networks)
{
    char ip[40];
    accounts_login_ok(shared, ann, &ann->passwords[0], "192.0.2.7");
    struct account *account = accounts_find(shared_accounts(shared), "ann@example.com");
    ck_assert_uint_eq(account->n_networks, 1);
    account->networks[0].seen_s -= 1000;
    for (int i = 0; i < KNOWN_NETWORKS_MAX; i++) {
        snprintf(ip, sizeof(ip), "198.51.%d.1", i);
        accounts_login_ok(shared, ann, &ann->passwords[0], ip);
    }
    ck_assert_uint_eq(account->n_networks, KNOWN_NETWORKS_MAX);
    for (int i = 0; i < 20; i++)
        fail_from("ann@example.com", "203.0.113.9", 1000);
    ck_assert(locked("ann@example.com", "192.0.2.7", 1000)); /* the oldest has gone */
    ck_assert(!locked("ann@example.com", "198.51.0.2", 1000));
    account->networks[1].seen_s -= KNOWN_NETWORKS_S + 1;
    char first[INET6_ADDRSTRLEN];
    snprintf(first, sizeof(first), "198.51.%u.2", account->networks[1].key[14]);
    ck_assert(locked("ann@example.com", first, 1000)); /* too long ago */
}
END_TEST

/* ---- messages in an hour --------------------------------------------------------------------------------------------- */

static int begins(const struct user *user, int password, int64_t now_s)
{
    struct smtp_verdict v = {0};
    int rc = limits_message_begin(shared, user, &user->passwords[password], now_s * 1000, config, &v);
    if (rc < 0) {
        ck_assert_int_eq(v.code, 450);
        ck_assert_str_eq(v.enhanced, "4.7.1");
    }
    return rc == 0;
}

static void ends(const struct user *user, int password, int64_t now_s, bool accepted)
{
    limits_message_end(shared, user, &user->passwords[password], now_s * 1000, accepted);
}

START_TEST(test_messages)
{
    config->limits.messages_per_user = 2;
    ck_assert(begins(ann, 0, 0));
    ck_assert(begins(ann, 0, 0));
    ck_assert(!begins(ann, 0, 0)); /* what is under way counts */
    ck_assert(begins(bob, 0, 0));
    ends(ann, 0, 1, false);
    ck_assert(begins(ann, 0, 1)); /* what was refused does not */
    ends(ann, 0, 2, true);
    ends(ann, 0, 1800, true);
    ck_assert(!begins(ann, 0, 1800));
    ck_assert(!begins(ann, 0, 3599));
    ck_assert(begins(ann, 0, 3600)); /* the first has left the hour */
    ends(ann, 0, 3600, true);
    ck_assert(!begins(ann, 0, 3660));
    ck_assert(begins(ann, 0, 360000));
}
END_TEST

START_TEST(test_messages_of_a_password)
{
    for (int i = 0; i < 2; i++) {
        ck_assert(begins(ann, 1, 0));
        ends(ann, 1, 0, true);
    }
    ck_assert(!begins(ann, 1, 1)); /* two with this one */
    ck_assert(begins(ann, 0, 1));  /* three in all */
    ends(ann, 0, 1, true);
    ck_assert(!begins(ann, 0, 2));
    ck_assert(begins(ann, 1, 3600));
}
END_TEST

START_TEST(test_messages_without_limit)
{
    config->limits.messages_per_user = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert(begins(ann, 0, i));
        ends(ann, 0, i, true);
    }
}
END_TEST

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static void load(struct submission_shared *into, const char *text, int64_t mono_s, int64_t wall_s)
{
    struct err err = {""};
    ck_assert_msg(submission_logins_load(into, users, slice_of(text), mono_s * 1000, wall_s * 1000, &err) == 0, "%s",
                  err.text);
}

/* A new daemon, whose monotonic clock says `mono_s`. */
static void restart(int64_t before_mono_s, int64_t before_wall_s, int64_t mono_s, int64_t wall_s)
{
    struct strbuf text = STRBUF_INIT;
    ck_assert_int_eq(submission_logins_save(shared, before_mono_s * 1000, before_wall_s * 1000, &text), 0);
    ck_assert(!submission_logins_changed(shared));
    submission_shared_free(&shared);
    shared = submission_shared_new();
    load(shared, strbuf_str(&text), mono_s, wall_s);
    ck_assert(!submission_logins_changed(shared));
    strbuf_free(&text);
}

enum { WALL_S = 1763719200 };

START_TEST(test_restart)
{
    int64_t at = 0, now = clock_wall_ms() / 1000;
    accounts_login_ok(shared, ann, &ann->passwords[1], "192.0.2.7");
    accounts_login_ok(shared, bob, &bob->passwords[0], "2001:db8::1");
    ck_assert(submission_logins_changed(shared));
    ck_assert_ptr_null(submission_last_use(shared, "ann@example.com", "gmail", &at));
    ck_assert_ptr_null(submission_last_use(shared, "eve@example.com", "gmail", &at));
    restart(1000, WALL_S, 5, WALL_S + 60);
    ck_assert_str_eq(submission_last_use(shared, "ann@example.com", "phone", &at), "192.0.2.7");
    ck_assert_int_ge(at, now);
    ck_assert_int_lt(at, now + 60);
    ck_assert_str_eq(submission_last_use(shared, "bob@example.com", "gmail", &at), "2001:db8::1");
    fail_often("ann@example.com", 20, 5);
    ck_assert(locked("ann@example.com", "203.0.113.9", 5));
    ck_assert(!locked("ann@example.com", "192.0.2.9", 5)); /* still known */
}
END_TEST

/* The hour goes on where it was; minutes of the down time count. */
static const struct {
    int64_t mono_s, wall_s; /* at the restart */
    bool password_room, user_room;
} restarts[] = {
    {0, WALL_S + 60, false, false},      /* a machine that has just booted */
    {100000, WALL_S + 60, false, false}, /* one that has not */
    {0, WALL_S + 3000, false, false},    {0, WALL_S + 3601, true, true}, {0, WALL_S + 86400 * 365, true, true},
    {0, WALL_S - 3600, true, true}, /* the clock went back: these minutes are yet to come */
};

START_TEST(test_restart_counts)
{
    for (int i = 0; i < 3; i++) {
        ck_assert(begins(ann, i < 2, 7200));
        ends(ann, i < 2, 7200, true);
    }
    ck_assert(!begins(ann, 1, 7200));
    restart(7210, WALL_S, restarts[_i].mono_s, restarts[_i].wall_s);
    ck_assert(begins(ann, 1, restarts[_i].mono_s) == restarts[_i].password_room);
    ck_assert(begins(ann, 0, restarts[_i].mono_s) == restarts[_i].user_room);
    if (restarts[_i].wall_s < WALL_S + 3000 && restarts[_i].wall_s > WALL_S) {
        ck_assert(!begins(ann, 1, restarts[_i].mono_s + 3400));
        ck_assert(begins(ann, 1, restarts[_i].mono_s + 3600));
    }
}
END_TEST

START_TEST(test_file_is_json)
{
    struct strbuf text = STRBUF_INIT;
    json_error_t why;
    accounts_login_ok(shared, ann, &ann->passwords[1], "192.0.2.7");
    ck_assert(begins(ann, 1, 100));
    ends(ann, 1, 100, true);
    fail_often("nobody@example.com", 3, 100);
    ck_assert_int_eq(submission_logins_save(shared, 100000, WALL_S * 1000LL, &text), 0);
    json_t *j = json_loads(strbuf_str(&text), 0, &why);
    const char *address = NULL;
    int count = 0;
    ck_assert_ptr_nonnull(j);
    ck_assert_int_eq(json_unpack(j, "{s{s{s{s{s:s, s{s:i}}}}}}", "users", "ann@example.com", "passwords", "phone",
                                 "address", &address, "sent", "29395320", &count),
                     0);
    ck_assert_str_eq(address, "192.0.2.7");
    ck_assert_int_eq(count, 1);
    ck_assert_ptr_null(strstr(strbuf_str(&text), "nobody")); /* only users are written down */
    json_decref(j);
    strbuf_free(&text);
}
END_TEST

static const char *const broken[] = {
    "",
    "{",
    "[]",
    "null",
    "{}",
    "{\"version\": 2, \"users\": {}}",
    "{\"version\": 1}",
    "{\"version\": 1, \"users\": []}",
    "{\"version\": 1, \"users\": {}, \"users\": {}}",
    "\x80",
    "{\"version\": 1, \"users\": {}} x",
};

START_TEST(test_broken_file)
{
    struct err err = {""};
    ck_assert_int_eq(submission_logins_load(shared, users, slice_of(broken[_i]), 0, WALL_S * 1000LL, &err), -1);
    ck_assert_str_ne(err.text, "");
}
END_TEST

/* What does not look right is left out; the rest counts. */
static const char *const odd_users[] = {
    "null",
    "[]",
    "{}",
    "{\"networks\": [], \"sent\": 3, \"passwords\": \"x\"}",
    "{\"networks\": {\"x\": 1, \"203.0.113.0/24\": \"x\", \"\": 1, \"203.0.113.256/24\": 9999999999}}",
    "{\"sent\": {\"x\": 1, \"-1\": 1, \"29395320\": -5, \"99999999999999999999\": 1, \"29395321\": 1, \"29395319\": "
    "\"7\", \"29395318\": 9999999999}}",
    "{\"passwords\": {\"phone\": null, \"gmail\": {\"used\": \"x\", \"address\": 7}}}",
    "{\"passwords\": {\"phone\": {\"used\": 5, \"address\": \"\\u001b[2J\"}, \"tablet\": {\"used\": 5, \"address\": "
    "\"192.0.2.1\"}}}",
    "{\"passwords\": {\"phone\": {\"used\": -5, \"address\": \"192.0.2.1\"}}}",
};

START_TEST(test_odd_file)
{
    char text[1024];
    int64_t at;
    snprintf(text, sizeof(text), "{\"version\": 1, \"users\": {\"ann@example.com\": %s, \"bob@example.com\": {}}}",
             odd_users[_i]);
    load(shared, text, 0, WALL_S);
    ck_assert_ptr_null(submission_last_use(shared, "ann@example.com", "phone", &at));
    ck_assert_ptr_null(submission_last_use(shared, "ann@example.com", "gmail", &at));
    ck_assert_ptr_null(submission_last_use(shared, "ann@example.com", "tablet", &at));
    fail_often("ann@example.com", 20, 0);
    ck_assert(locked("ann@example.com", "203.0.113.9", 0));
    ck_assert(begins(ann, 1, 0));
    ck_assert(begins(ann, 1, 0));
    ck_assert(!begins(ann, 1, 0));
}
END_TEST

START_TEST(test_users_change)
{
    int64_t at;
    struct err err;
    struct strbuf text = STRBUF_INIT;
    accounts_login_ok(shared, ann, &ann->passwords[0], "192.0.2.7");
    accounts_login_ok(shared, ann, &ann->passwords[1], "192.0.2.7");
    accounts_login_ok(shared, bob, &bob->passwords[0], "192.0.2.7");
    ck_assert(begins(bob, 0, 0)); /* a transaction that is under way when its user goes */
    struct users *fewer = calloc(1, sizeof(*fewer));
    ck_assert_int_eq(users_add(fewer, "ann@example.com", "phone", HASH, NULL, 0, &err), 0);
    submission_users_changed(shared, fewer);
    ck_assert(submission_logins_changed(shared));
    ck_assert_ptr_null(submission_last_use(shared, "ann@example.com", "gmail", &at));
    ck_assert_ptr_nonnull(submission_last_use(shared, "ann@example.com", "phone", &at));
    ck_assert_ptr_nonnull(accounts_find(shared_accounts(shared), "bob@example.com"));
    ends(bob, 0, 0, true);
    submission_users_changed(shared, fewer);
    ck_assert_ptr_null(accounts_find(shared_accounts(shared), "bob@example.com"));
    ck_assert_ptr_null(submission_last_use(shared, "bob@example.com", "gmail", &at));
    ck_assert_int_eq(submission_logins_save(shared, 0, 0, &text), 0);
    ck_assert_ptr_null(strstr(strbuf_str(&text), "bob"));
    strbuf_free(&text);
    users_free(&fewer);
}
END_TEST

START_TEST(test_path)
{
    struct strbuf path = STRBUF_INIT;
    char *before = config->queue.path;
    ck_assert_int_eq(submission_logins_path(config, &path), 0);
    ck_assert_str_eq(strbuf_str(&path), "/var/lib/sendas/logins.json");
    strbuf_reset(&path);
    config->queue.path = (char *)"queue.db";
    ck_assert_int_eq(submission_logins_path(config, &path), 0);
    ck_assert_str_eq(strbuf_str(&path), "logins.json");
    config->queue.path = before;
    strbuf_free(&path);
}
END_TEST

static Suite *accounts_suite(void)
{
    Suite *suite = suite_create("accounts");
    TCase *tc = tcase_create("accounts");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_locked_by_many_addresses, 0, (int)ARRAY_LEN(names));
    tcase_add_loop_test(tc, test_lock_has_an_end, 0, (int)ARRAY_LEN(names));
    tcase_add_test(tc, test_names_are_one_account);
    tcase_add_test(tc, test_owner_is_known);
    tcase_add_test(tc, test_own_mistakes_do_not_count);
    tcase_add_test(tc, test_told_once);
    tcase_add_test(tc, test_no_limit);
    tcase_add_test(tc, test_many_names);
    tcase_add_test(tc, test_many_networks);
    tcase_add_test(tc, test_messages);
    tcase_add_test(tc, test_messages_of_a_password);
    tcase_add_test(tc, test_messages_without_limit);
    tcase_add_test(tc, test_restart);
    tcase_add_loop_test(tc, test_restart_counts, 0, (int)ARRAY_LEN(restarts));
    tcase_add_test(tc, test_file_is_json);
    tcase_add_loop_test(tc, test_broken_file, 0, (int)ARRAY_LEN(broken));
    tcase_add_loop_test(tc, test_odd_file, 0, (int)ARRAY_LEN(odd_users));
    tcase_add_test(tc, test_users_change);
    tcase_add_test(tc, test_path);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(accounts_suite)
