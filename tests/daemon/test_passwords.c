/* Who asks for a password that is being hashed already waits for that one's result. */
#include "testing.h"

#include "../../src/daemon/internal.h"
#include "../../src/submission/internal.h"

#include <crypt.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>

#define LOGIN    SLICE("ann@example.com")
#define PASSWORD SLICE("secret")

enum { SESSIONS = 10 };

static struct daemon d;
static struct intake_settings settings, other;
static sem_t held, released;

static struct client {
    struct password_wait wait;
    unsigned answers;
    const struct user_password *match;
} clients[SESSIONS];

static void on_answer(void *ctx, const struct user_password *match)
{
    struct client *c = ctx;
    c->answers++;
    c->match = match;
}

static void wait_for_release(void *job)
{
    (void)job;
    sem_post(&held);
    sem_wait(&released);
}

static void nothing(void *job)
{
    (void)job;
}

static void set_up(void)
{
    struct err err;
    struct crypt_data data = {0};

    d = (struct daemon){.base = event_base_new(), .shared = submission_shared_new()};
    /* One worker, which is held, and one place in the line. */
    ck_assert_ptr_nonnull(d.workers = workers_new(d.base, 1, 1, &err));
    settings = (struct intake_settings){.users = calloc(1, sizeof(struct users)), .references = 1};
    const char *hash = crypt_r("secret", "$6$rounds=1000$salt", &data);
    ck_assert_int_eq(users_add(settings.users, "ann@example.com", "test", hash, NULL, 0, NULL), 0);
    other = (struct intake_settings){.users = settings.users, .references = 1};
    for (size_t i = 0; i < SESSIONS; i++)
        clients[i] = (struct client){.wait = {.done = on_answer, .ctx = &clients[i]}};
    sem_init(&held, 0, 0);
    sem_init(&released, 0, 0);
    ck_assert_int_eq(workers_submit(d.workers, WORK_SIGN, wait_for_release, nothing, NULL), 0);
    sem_wait(&held);
}

static void tear_down(void)
{
    workers_free(&d.workers);
    submission_shared_free(&d.shared);
    users_free(&settings.users);
    event_base_free(d.base);
    ck_assert_uint_eq(settings.references, 1);
}

static int ask(struct client *c, struct intake_settings *s, struct slice login, struct slice password)
{
    return password_ask(&d, s, login, password, &c->wait);
}

static void finish(const struct client *last)
{
    sem_post(&released);
    while (last->answers == 0)
        event_base_loop(d.base, EVLOOP_ONCE);
}

static bool is_known(void)
{
    return limits_known_login(d.shared, settings.users, LOGIN, PASSWORD, clock_mono_ms()) != NULL;
}

START_TEST(test_many_share_one)
{
    for (size_t i = 0; i < SESSIONS; i++)
        ck_assert_int_eq(ask(&clients[i], &settings, LOGIN, PASSWORD), 0);
    password_leave(&clients[3].wait);
    ck_assert(!is_known());
    finish(&clients[0]);
    for (size_t i = 0; i < SESSIONS; i++) {
        ck_assert_uint_eq(clients[i].answers, i != 3);
        ck_assert_ptr_eq(clients[i].match, i != 3 ? &settings.users->v[0].passwords[0] : NULL);
    }
    ck_assert(is_known());
    password_leave(&clients[0].wait); /* has its answer */
}
END_TEST

START_TEST(test_a_wrong_one_is_wrong_for_all)
{
    ck_assert_int_eq(ask(&clients[0], &settings, LOGIN, SLICE("guess")), 0);
    ck_assert_int_eq(ask(&clients[1], &settings, LOGIN, SLICE("guess")), 0);
    finish(&clients[0]);
    ck_assert_uint_eq(clients[1].answers, 1);
    ck_assert(clients[0].match == NULL && clients[1].match == NULL);
    ck_assert(!is_known());
}
END_TEST

/* What differs has a place in the line of its own, and there is only one. */
START_TEST(test_only_the_same_is_shared)
{
    ck_assert_int_eq(ask(&clients[0], &settings, LOGIN, PASSWORD), 0);
    ck_assert_int_eq(ask(&clients[1], &settings, LOGIN, SLICE("secre")), -1);
    ck_assert_int_eq(ask(&clients[2], &settings, LOGIN, SLICE("secreT")), -1);
    ck_assert_int_eq(ask(&clients[3], &settings, LOGIN, SLICE("")), -1);
    ck_assert_int_eq(ask(&clients[4], &settings, SLICE("bob@example.com"), PASSWORD), -1);
    ck_assert_int_eq(ask(&clients[5], &other, LOGIN, PASSWORD), -1); /* users.yaml was read again */
    finish(&clients[0]);
    for (size_t i = 1; i < SESSIONS; i++)
        ck_assert_uint_eq(clients[i].answers, 0);
    ck_assert_int_eq(ask(&clients[1], &settings, LOGIN, SLICE("secre")), 0); /* the line has moved on */
    while (clients[1].answers == 0)
        event_base_loop(d.base, EVLOOP_ONCE);
    ck_assert_ptr_null(clients[1].match);
}
END_TEST

START_TEST(test_all_have_gone)
{
    ck_assert_int_eq(ask(&clients[0], &settings, LOGIN, PASSWORD), 0);
    password_leave(&clients[0].wait);
    sem_post(&released);
    workers_free(&d.workers); /* ends what is under way */
    ck_assert_uint_eq(clients[0].answers, 0);
    ck_assert(!is_known());
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("passwords");
    TCase *tc = tcase_create("shared");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_many_share_one);
    tcase_add_test(tc, test_a_wrong_one_is_wrong_for_all);
    tcase_add_test(tc, test_only_the_same_is_shared);
    tcase_add_test(tc, test_all_have_gone);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
