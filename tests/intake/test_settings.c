/* A configuration with its keys and users: what is loaded, and what is refused with which words. */
#include "fixture.h"

static void setup(void)
{
    make_scratch();
}

static void teardown(void)
{
    remove_scratch();
}

START_TEST(test_keys)
{
    struct intake_settings *s = NULL;
    struct err err = {""};
    size_t n;
    ck_assert_msg(load_settings("sendas.yaml", &s, &err) == 0, "%s", err.text);
    struct dkim_key *const *keys = intake_settings_keys(s, "example.com", &n);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(dkim_key_selector(keys[0]), "e1");
    ck_assert_str_eq(dkim_key_selector(keys[1]), "r1");
    ck_assert_int_eq(dkim_key_algorithm(keys[1]), DKIM_RSA_SHA256);
    keys = intake_settings_keys(s, "OTHER.example", &n);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(dkim_key_domain(keys[0]), "other.example");
    intake_settings_keys(s, "sub.example.com", &n);
    ck_assert_uint_eq(n, 0);
    struct intake_settings *second = intake_settings_ref(s);
    intake_settings_unref(&s);
    ck_assert_ptr_null(s);
    ck_assert_str_eq(second->config->hostname, "mail.example.com");
    intake_settings_unref(&second);
    intake_settings_unref(&second);
}
END_TEST

static const struct {
    const char *domains, *words[3];
} bad_rows[] = {
    {"domains: [{name: example.com, dkim: [{selector: s1, key: ~/none.pem}]}]\n", {"example.com", "s1", "none.pem"}},
    {"domains: [{name: example.com, dkim: [{selector: s1, key: ~/open.pem}]}]\n", {"dkim[0]", "open.pem", "chmod"}},
    {"domains: [{name: example.com, dkim: [{selector: s1, key: ~/weak.pem}]}]\n", {"bad.yaml:6:", "weak.pem", "1024"}},
    {"domains: [{name: example.com, dkim: [{selector: s1, key: ~/text.pem}]}]\n", {"bad.yaml:6:", "text.pem", "PEM"}},
    {"domains: [{name: example.com, dkim: [{selector: s1, key: ~/ed.pem}, {selector: S1, key: ~/rsa.pem}]}]\n",
     {"bad.yaml:6", "dkim[1]", "selector"}},
    {"domains:\n  - name: example.com\n    dkim: []\n", {"bad.yaml:7:", "example.com", "no DKIM key"}},
    {"domains:\n  - name: example.com\n    dkim: [{selector: s1, key: ~/gone.pem, state: retired}]\n",
     {"bad.yaml:7:", "example.com", "no DKIM key but retired ones"}},
    {"domains:\n  - name: example.com\n    dkim: [{selector: s1, key: ~/ed.pem, state: waiting}]\n",
     {"bad.yaml:8:", "s1 is waiting", "state: active"}},
};

START_TEST(test_bad)
{
    struct intake_settings *s = NULL;
    struct err err = {""};
    struct strbuf text = STRBUF_INIT;
    write_file("open.pem", rfc8463_ed25519_pem, 0644);
    write_file("weak.pem", rfc8463_rsa_pem, 0600);
    write_file("text.pem", "hello\n", 0600);
    strbuf_addf(&text, "%s%s", CONFIG_HEAD, bad_rows[_i].domains);
    write_config("bad.yaml", strbuf_str(&text));
    ck_assert_int_eq(load_settings("bad.yaml", &s, &err), -1);
    ck_assert_ptr_null(s);
    ck_assert_msg(strstr(err.text, "bad.yaml") != NULL, "%s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(bad_rows[_i].words); i++)
        ck_assert_msg(strstr(err.text, bad_rows[_i].words[i]) != NULL, "%s: %s", bad_rows[_i].words[i], err.text);
    strbuf_free(&text);
}
END_TEST

static bool signs_if(void *ctx, const struct config_domain *d, const struct config_key *k, const struct dkim_key *key)
{
    ck_assert_str_eq(dkim_key_selector(key), k->selector);
    ck_assert_str_eq(dkim_key_domain(key), d->name);
    return strchr(ctx, k->selector[0]) != NULL;
}

static const struct {
    const char *signs, *expected;
} choices[] = {{"aw", "a w"}, {"w", "w"}, {"b", "b"}, {"", "a b"}, {"r", "a b"}};

/* Which keys sign may change; the settings that somebody works by do not. */
START_TEST(test_states)
{
    struct intake_settings *s = NULL;
    struct err err = {""};
    write_config("states.yaml",
                 CONFIG_HEAD "domains:\n"
                             "  - name: example.com\n"
                             "    dkim:\n"
                             "      - {selector: a, key: ~/ed.pem}\n"
                             "      - {selector: r, key: ~/gone.pem, state: retired, since: 2026-11-21}\n"
                             "      - {selector: b, key: ~/rsa.pem, state: active}\n"
                             "      - {selector: w, key: ~/rsa.pem, state: waiting}\n");
    ck_assert_msg(load_settings("states.yaml", &s, &err) == 0, "%s", err.text);
    ck_assert_ptr_null(intake_settings_key(s, 0, 1));
    ck_assert_str_eq(dkim_key_selector(intake_settings_key(s, 0, 3)), "w");
    for (size_t i = 0; i <= ARRAY_LEN(choices); i++) {
        struct strbuf got = STRBUF_INIT;
        bool first = i == ARRAY_LEN(choices);
        struct intake_settings *chosen =
            first ? intake_settings_ref(s) : intake_settings_choose(s, signs_if, (void *)(uintptr_t)choices[i].signs);
        struct intake_settings *again = intake_settings_choose(chosen, signs_if, (void *)(uintptr_t) "b");
        size_t n;
        struct dkim_key *const *keys = intake_settings_keys(chosen, "example.com", &n);
        for (size_t k = 0; k < n; k++)
            strbuf_addf(&got, "%s%s", k == 0 ? "" : " ", dkim_key_selector(keys[k]));
        ck_assert_str_eq(strbuf_str(&got), first ? "a b" : choices[i].expected);
        intake_settings_unref(&chosen);
        keys = intake_settings_keys(again, "example.com", &n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(dkim_key_selector(keys[0]), "b");
        intake_settings_unref(&again);
        strbuf_free(&got);
    }
    intake_settings_unref(&s);
}
END_TEST

/* The whole way, users too; these come from a file of their own. */
START_TEST(test_load)
{
    char path[256];
    struct intake_settings *s = NULL;
    struct err err = {""};
    snprintf(path, sizeof(path), "%s/sendas.yaml", scratch);
    ck_assert_int_eq(intake_settings_load(path, &s, &err), -1);
    ck_assert_ptr_null(s);
    write_file("cert.pem", "not looked into\n", 0644);
    write_file("cert.key", "not looked into\n", 0600);
    write_file("users.yaml", "users:\n  - {name: me@example.com, send_as: [\"*@example.com\"], passwords: []}\n", 0600);
    ck_assert_msg(intake_settings_load(path, &s, &err) == 0, "%s", err.text);
    ck_assert_ptr_nonnull(users_find(s->users, SLICE("me@example.com")));
    intake_settings_unref(&s);
    write_file("users.yaml", "users: [\n", 0600);
    ck_assert_int_eq(intake_settings_load(path, &s, &err), -1);
    ck_assert_msg(strstr(err.text, "users.yaml") != NULL, "%s", err.text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake settings");
    TCase *tc = tcase_create("settings");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_keys);
    tcase_add_loop_test(tc, test_bad, 0, (int)ARRAY_LEN(bad_rows));
    tcase_add_test(tc, test_states);
    tcase_add_test(tc, test_load);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
