/* users.yaml: reading, changing, writing, asking. */
#include "../../src/config/internal.h"
#include "testing.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define BAD "tests/config/bad-users"

static void check_bad(const char *name, const char *expected)
{
    char path[1280];
    struct strbuf text = STRBUF_INIT;
    struct users *u = NULL;
    struct err err = {""};
    snprintf(path, sizeof(path), BAD "/%s", name);
    ck_assert_int_eq(file_read(path, 65536, false, &text, &err), 0);
    ck_assert_msg(users_parse(strbuf_slice(&text), "users.yaml", &u, &err) == -1, "%s was accepted", name);
    ck_assert_msg(strcmp(err.text, expected) == 0, "%s:\n got: %s\nwant: %s", name, err.text, expected);
    ck_assert_ptr_null(u);
    strbuf_free(&text);
}

START_TEST(bad)
{
    FILE *f = fopen(BAD "/expected", "r");
    char line[1024], *message;
    int rows = 0, files = 0;
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        message = strchr(line, ' ');
        ck_assert_ptr_nonnull(message);
        *message++ = '\0';
        check_bad(line, message);
        rows++;
    }
    fclose(f);
    DIR *dir = opendir(BAD);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        files += strstr(e->d_name, ".yaml") != NULL;
    closedir(dir);
    ck_assert_int_gt(rows, 20);
    ck_assert_int_eq(rows, files);
}
END_TEST

static struct users *parse(const char *text)
{
    struct users *u = NULL;
    struct err err = {""};
    ck_assert_msg(users_parse(slice_of(text), "users.yaml", &u, &err) == 0, "%s", err.text);
    return u;
}

#define HASH "$y$j9T$abc./$DEF"

static const char two[] = "users:\n"
                          "  - name: Me@BÜCHER.example\n"
                          "    send_as: [\"*@bücher.example\", other@example.com]\n"
                          "    passwords:\n"
                          "      - {label: gmail, hash: \"" HASH "\"}\n"
                          "      - {label: \"the \\\"phone\\\"\", hash: \"$2b$05$abc\"}\n"
                          "  - {name: you@example.com}\n";

START_TEST(reading)
{
    struct users *u = parse(two);
    ck_assert_uint_eq(u->n, 2);
    ck_assert_str_eq(u->v[0].name, "Me@xn--bcher-kva.example");
    ck_assert_uint_eq(u->v[0].n_send_as, 2);
    ck_assert_str_eq(u->v[0].send_as[0], "*@xn--bcher-kva.example");
    ck_assert_uint_eq(u->v[0].n_passwords, 2);
    ck_assert_str_eq(u->v[0].passwords[0].hash, HASH);
    ck_assert_str_eq(u->v[0].passwords[1].label, "the \"phone\"");
    ck_assert_uint_eq(u->v[1].n_passwords, 0);
    ck_assert_uint_eq(u->v[1].n_send_as, 1);
    ck_assert_str_eq(u->v[1].send_as[0], "you@example.com");
    users_free(&u);
    ck_assert_ptr_null(u);
    users_free(&u);
    u = parse("users: []\n");
    ck_assert_uint_eq(u->n, 0);
    users_free(&u);
}
END_TEST

static const struct {
    const char *login;
    int index; /* -1: nobody */
} logins[] = {
    {"me@bücher.example", 0},
    {"ME@XN--bcher-kva.EXAMPLE", 0},
    {"you@example.com", 1},
    {"You@Example.COM", 1},
    {"you@example.org", -1},
    {"you", -1},
    {"", -1},
    {"@example.com", -1},
    {"you@example.com ", -1},
    {"you@@example.com", -1},
    {"you@", -1},
    {"*@example.com", -1},
    {"you@example.com\xff", -1},
};

START_TEST(finding)
{
    struct users *u = parse(two);
    const struct user *found = users_find(u, slice_of(logins[_i].login));
    ck_assert_ptr_eq(found, logins[_i].index < 0 ? NULL : &u->v[logins[_i].index]);
    ck_assert_ptr_null(users_find(u, slice_from("you@example.com\0", 16)));
    users_free(&u);
}
END_TEST

static const struct {
    const char *pattern, *local, *domain;
    bool matches;
} patterns[] = {
    {"*@example.com", "anyone", "example.com", true},
    {"*@example.com", "anyone", "EXAMPLE.com", true},
    {"*@example.com", "anyone", "sub.example.com", false},
    {"*@example.com", "", "example.com", false},
    {"me@example.com", "me", "example.com", true},
    {"me@example.com", "ME", "example.com", true},
    {"me@example.com", "me+tag", "example.com", false},
    {"me@example.com", "*", "example.com", false},
    {"me@example.com", "you", "example.com", false},
    {"me@example.com", "me", "example.org", false},
    {"me@xn--bcher-kva.example", "me", "bücher.example", true},
    {"*@bücher.example", "x", "XN--BCHER-KVA.example", true},
    {"*@example.com", "x", "exa_mple.com", false},
    {"*", "x", "example.com", false},
    {"", "x", "example.com", false},
    {"m*@example.com", "me", "example.com", false},
    {"jürgen@example.com", "jürgen", "example.com", true},
};

START_TEST(matching)
{
    ck_assert_msg(users_pattern_matches(patterns[_i].pattern, slice_of(patterns[_i].local),
                                        slice_of(patterns[_i].domain)) == patterns[_i].matches,
                  "row %d: %s, %s@%s", _i, patterns[_i].pattern, patterns[_i].local, patterns[_i].domain);
}
END_TEST

/* ---- changing -------------------------------------------------------------------------------- */

START_TEST(adding)
{
    struct users *u = calloc(1, sizeof(*u)); /* nobody yet */
    struct err err;
    ck_assert_int_eq(users_add(u, "me@Bücher.example", NULL, HASH, NULL, 0, &err), 0);
    ck_assert_str_eq(u->v[0].name, "me@xn--bcher-kva.example");
    ck_assert_str_eq(u->v[0].send_as[0], "me@xn--bcher-kva.example");
    ck_assert_str_eq(u->v[0].passwords[0].label, "default");
    const char *more[] = {"*@Bücher.example", "x@example.com", "X@EXAMPLE.com"};
    ck_assert_int_eq(users_add(u, "ME@bücher.example", "phone", "$6$a$b", more, 3, &err), 0);
    ck_assert_uint_eq(u->n, 1);
    ck_assert_uint_eq(u->v[0].n_send_as, 3); /* the last one was there */
    ck_assert_str_eq(u->v[0].send_as[1], "*@xn--bcher-kva.example");
    ck_assert_uint_eq(u->v[0].n_passwords, 2);
    ck_assert_int_eq(users_add(u, "new@example.com", "phone", HASH, more, 1, &err), 0);
    ck_assert_uint_eq(u->v[1].n_send_as, 1); /* those that were said, not the name besides */
    users_free(&u);
}
END_TEST

static const struct {
    const char *name, *label, *hash, *pattern, *message;
} refusals[] = {
    {"me", "a", HASH, "x@example.com", "found \"me\", expected an address, such as me@example.com (here: no '@')"},
    {"me@example.com", "", HASH, "x@example.com", "found \"\", expected as a label a name of 1 to 100 octets"},
    {"me@example.com", "a\nb", HASH, "x@example.com", "found \"a\nb\", expected as a label a name of 1 to 100 octets"},
    {"me@example.com", "a", "secret", "x@example.com",
     "found an unknown hash (not shown here), expected a crypt(5) hash that begins with $y$, $2b$, $2a$, $2y$ or $6$"},
    {"me@example.com", "a", HASH, "*",
     "found \"*\", expected an address or \"*@\" and a domain (here: '*' stands for a whole local part)"},
    {"YOU@example.com", "there", HASH, "x@example.com", "you@example.com has a password \"there\" already"},
};

START_TEST(adding_refused)
{
    struct users *u = calloc(1, sizeof(*u));
    struct err err;
    ck_assert_int_eq(users_add(u, "you@example.com", "there", HASH, NULL, 0, &err), 0);
    ck_assert_int_eq(
        users_add(u, refusals[_i].name, refusals[_i].label, refusals[_i].hash, &refusals[_i].pattern, 1, &err), -1);
    ck_assert_str_eq(err.text, refusals[_i].message);
    ck_assert_uint_eq(u->n, 1);
    ck_assert_uint_eq(u->v[0].n_send_as, 1);
    ck_assert_uint_eq(u->v[0].n_passwords, 1);
    users_free(&u);
}
END_TEST

START_TEST(removing)
{
    struct users *u = parse(two);
    struct err err;
    ck_assert_int_eq(users_remove(u, "nobody@example.com", NULL, &err), -1);
    ck_assert_str_eq(err.text, "there is no user nobody@example.com");
    ck_assert_int_eq(users_remove(u, "you@example.com", "x", &err), -1);
    ck_assert_str_eq(err.text, "you@example.com has no password \"x\"");
    ck_assert_int_eq(users_remove(u, "me@bücher.example", "gmail", &err), 0);
    ck_assert_uint_eq(u->v[0].n_passwords, 1);
    ck_assert_str_eq(u->v[0].passwords[0].label, "the \"phone\"");
    ck_assert_int_eq(users_remove(u, "me@bücher.example", NULL, &err), 0);
    ck_assert_uint_eq(u->n, 1);
    ck_assert_str_eq(u->v[0].name, "you@example.com");
    ck_assert_int_eq(users_remove(u, "you@example.com", NULL, &err), 0);
    ck_assert_uint_eq(u->n, 0);
    users_free(&u);
}
END_TEST

static const char narrowed[] = "users:\n"
                               "  - name: me@example.com\n"
                               "    send_as: [\"*@example.com\", \"shop@B\u00dcCHER.example\"]\n"
                               "    passwords:\n"
                               "      - {label: gmail, hash: \"" HASH "\"}\n"
                               "      - {label: shop, hash: \"" HASH "\", send_as: [Shop@b\u00fccher.example, "
                               "a@EXAMPLE.com, \"*@Example.com\"], messages_per_hour: 50}\n"
                               "      - {label: none, hash: \"" HASH "\", messages_per_hour: 0}\n";

START_TEST(narrowing)
{
    struct users *u = parse(narrowed);
    struct err err = {""};
    const struct user *me = users_find(u, SLICE("ME@example.com"));
    const struct user_password *p = users_find_password(me, "gmail");
    ck_assert_uint_eq(p->n_send_as, 0);
    ck_assert_uint_eq(p->messages_per_hour, 0);
    p = users_find_password(me, "shop");
    ck_assert_uint_eq(p->n_send_as, 3);
    ck_assert_str_eq(p->send_as[0], "Shop@xn--bcher-kva.example");
    ck_assert_str_eq(p->send_as[2], "*@example.com");
    ck_assert_uint_eq(p->messages_per_hour, 50);
    ck_assert_ptr_null(users_find_password(me, "Shop"));
    const char *only[] = {"b@example.com", "B@Example.com", "*@example.com"};
    ck_assert_int_eq(users_narrow(u, "me@example.com", "gmail", only, 2, 7, &err), 0);
    p = users_find_password(me, "gmail");
    ck_assert_uint_eq(p->n_send_as, 1);
    ck_assert_str_eq(p->send_as[0], "b@example.com");
    ck_assert_uint_eq(p->messages_per_hour, 7);
    ck_assert_int_eq(users_narrow(u, "me@example.com", "shop", NULL, 0, 0, &err), 0);
    ck_assert_uint_eq(users_find_password(me, "shop")->n_send_as, 0);
    users_free(&u);
}
END_TEST

static const struct {
    const char *name, *label, *only;
    unsigned messages;
    const char *message;
} narrow_refusals[] = {
    {"you@example.com", "gmail", "a@example.com", 1, "you@example.com has no password \"gmail\""},
    {"me@example.com", "phone", "a@example.com", 1, "me@example.com has no password \"phone\""},
    {"me@example.com", "gmail", "a@example.com", 1000001, "found 1000001 messages an hour, expected at most 1000000"},
    {"me@example.com", "gmail", "*@example.org", 1,
     "found \"*@example.org\", expected an address, or \"*@\" and a domain, within what the user's own send_as allows"},
    {"me@example.com", "gmail", "*@b\u00fccher.example", 1,
     "found \"*@b\u00fccher.example\", expected an address, or \"*@\" and a domain, within what the user's own send_as "
     "allows"},
    {"me@example.com", "gmail", "*", 1,
     "found \"*\", expected an address, or \"*@\" and a domain, within what the user's own send_as allows"},
};

START_TEST(narrowing_refused)
{
    struct users *u = parse(narrowed);
    struct err err = {""};
    const char *only[] = {"ok@example.com", narrow_refusals[_i].only};
    ck_assert_int_eq(users_narrow(u, narrow_refusals[_i].name, narrow_refusals[_i].label, only, 2,
                                  narrow_refusals[_i].messages, &err),
                     -1);
    ck_assert_str_eq(err.text, narrow_refusals[_i].message);
    ck_assert_uint_eq(users_find_password(&u->v[0], "gmail")->n_send_as, 0);
    users_free(&u);
}
END_TEST

/* ---- writing --------------------------------------------------------------------------------- */

START_TEST(saving)
{
    static const char *const texts[] = {two, "users: []\n", narrowed};
    char dir[] = "/tmp/sendas-test-XXXXXX", path[64];
    struct users *u = parse(texts[_i]), *again = NULL;
    struct err err = {""};
    struct stat st;
    struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/users.yaml", dir);
    umask(022);
    ck_assert_msg(users_save(path, u, &err) == 0, "%s", err.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(file_read(path, 65536, true, &first, &err), 0);
    ck_assert_msg(users_load(path, &again, &err) == 0, "%s", err.text);
    ck_assert_int_eq(users_save(path, again, &err), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600); /* as it was */
    ck_assert_int_eq(file_read(path, 65536, true, &second, &err), 0);
    ck_assert_str_eq(strbuf_str(&first), strbuf_str(&second));
    ck_assert_int_eq(chmod(path, 0644), 0);
    users_free(&again);
    ck_assert_int_eq(users_load(path, &again, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "run: chmod o= "));
    strbuf_free(&first);
    strbuf_free(&second);
    users_free(&u);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(dir), 0); /* no temporary file */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("users");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, bad);
    tcase_add_test(tc, reading);
    tcase_add_loop_test(tc, finding, 0, ARRAY_LEN(logins));
    tcase_add_loop_test(tc, matching, 0, ARRAY_LEN(patterns));
    tcase_add_test(tc, adding);
    tcase_add_loop_test(tc, adding_refused, 0, ARRAY_LEN(refusals));
    tcase_add_test(tc, removing);
    tcase_add_test(tc, narrowing);
    tcase_add_loop_test(tc, narrowing_refused, 0, ARRAY_LEN(narrow_refusals));
    tcase_add_loop_test(tc, saving, 0, 3);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
