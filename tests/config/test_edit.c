/* sendas.yaml edited: a key more, another state, and every other octet as it was. */
#include "../../src/config/internal.h"
#include "testing.h"

#include <sys/stat.h>
#include <unistd.h>

#define HEAD "hostname: mail.example.com  # ours\ntls: {certificate: c.pem, key: k.pem}\n"
#define TAIL "users: u.yaml\n# the end \xc3\xa4\n"
#define NEW  "{selector: s2, key: \"/k/s2.pem\", state: waiting, since: 2026-11-21}"

enum change { ADD, RETIRE, ACTIVATE };

/* `after` NULL: cannot be edited, with `words` in the reason. */
static const struct {
    enum change change;
    const char *before, *after, *words;
} rows[] = {
    /* as setup writes it */
    {ADD, "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a}\n",
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a}\n      - " NEW "\n", NULL},
    {ADD,
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a} # the first \xc3\xbc\n      # old: "
     "{selector: s0}\n"
     "    return_path: \"\"\n",
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a} # the first \xc3\xbc\n      - " NEW
     "\n      # old: {selector: s0}\n    return_path: \"\"\n",
     NULL},
    /* block members, in any order */
    {ADD, "domains:\n- dkim:\n  - key: a\n    selector: s1   # x\n\n  name: example.com\n",
     "domains:\n- dkim:\n  - key: a\n    selector: s1   # x\n  - " NEW "\n\n  name: example.com\n", NULL},
    {ADD, "domains:\n  - name: example.com\n    dkim:\n      -   selector: s1\n          key: a\n",
     "domains:\n  - name: example.com\n    dkim:\n      -   selector: s1\n          key: a\n      - " NEW "\n", NULL},
    /* flow lists */
    {ADD, "domains: [{name: example.com, dkim: [{selector: s1, key: a}]}]\n",
     "domains: [{name: example.com, dkim: [{selector: s1, key: a}, " NEW "]}]\n", NULL},
    {ADD, "domains: [{\"name\": \"example.com\", \"dkim\": [{\"selector\": \"s1\", \"key\": \"\xc3\xa4\"} ]}]\n",
     "domains: [{\"name\": \"example.com\", \"dkim\": [{\"selector\": \"s1\", \"key\": \"\xc3\xa4\"}, " NEW " ]}]\n",
     NULL},
    {ADD, "domains:\n  - name: example.com\n    dkim: []\n", "domains:\n  - name: example.com\n    dkim: [" NEW "]\n",
     NULL},
    {ADD, "domains:\n  - name: example.com\n    dkim: [\n      {selector: s1, key: a},\n    ]\n",
     "domains:\n  - name: example.com\n    dkim: [\n      {selector: s1, key: a}, " NEW ",\n    ]\n", NULL},
    /* no list yet */
    {ADD, "domains:\n  - name: example.com   # us\n", "domains:\n  - name: example.com   # us\n    dkim: [" NEW "]\n",
     NULL},
    {ADD, "domains: [{name: example.com}]\n", "domains: [{name: example.com, dkim: [" NEW "]}]\n", NULL},
    /* the right one of several domains */
    {ADD,
     "domains:\n  - {name: other.example, dkim: [{selector: s1, key: a}]}\n  - name: Example.COM\n    dkim:\n"
     "      - {selector: s1, key: a}\n  - name: last.example\n",
     "domains:\n  - {name: other.example, dkim: [{selector: s1, key: a}]}\n  - name: Example.COM\n    dkim:\n"
     "      - {selector: s1, key: a}\n      - " NEW "\n  - name: last.example\n",
     NULL},
    /* what cannot be */
    {ADD, "domains:\n  - name: example.com\n    dkim:\n      - {selector: S2, key: a}\n", NULL, "there already"},
    {ADD, "domains:\n  - name: other.example\n", NULL, "no domain"},
    {ADD, "domains: [name: example.com]\n", NULL, ""},
    {ADD, "domains:\n  - name: example.com\n    dkim:\n      - ? selector\n        : s1\n        key: a\n",
     "domains:\n  - name: example.com\n    dkim:\n      - ? selector\n        : s1\n        key: a\n      - " NEW "\n",
     NULL},
    {ADD, "domains:\n  - name: example.com\n    dkim:\n      -\n        {selector: s1, key: a}\n", NULL, "unusual"},
    {ADD, "domains:\n  - name: example.com\n    dkim:\n", NULL, ""},
    /* states */
    {RETIRE,
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a}  # old\n      - {selector: s2, key: "
     "b}\n",
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a, state: retired, since: 2026-11-21}  # "
     "old\n"
     "      - {selector: s2, key: b}\n",
     NULL},
    {RETIRE, "domains: [{name: example.com, dkim: [{selector: s1, since: 2020-01-01, key: a, state: \"active\" }]}]\n",
     "domains: [{name: example.com, dkim: [{selector: s1, since: 2026-11-21, key: a, state: retired }]}]\n", NULL},
    {RETIRE,
     "domains:\n  - name: example.com\n    dkim:\n      - selector: s1\n        key: a # here\n      - {selector: s2, "
     "key: b}\n",
     "domains:\n  - name: example.com\n    dkim:\n      - selector: s1\n        key: a # here\n        state: retired\n"
     "        since: 2026-11-21\n      - {selector: s2, key: b}\n",
     NULL},
    {RETIRE,
     "domains:\n  - name: example.com\n    dkim:\n      - selector: s1\n        state: waiting\n        key: a\n",
     "domains:\n  - name: example.com\n    dkim:\n      - selector: s1\n        state: retired\n        key: a\n       "
     " since: 2026-11-21\n",
     NULL},
    {RETIRE, "domains:\n  - {name: example.com, dkim: [{selector: s9, key: a}]}\n", NULL, "no selector s1"},
    {ACTIVATE,
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a, state: waiting, since: 2026-11-01}\n",
     "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a, state: active, since: 2026-11-21}\n",
     NULL},
};

static struct config_key_change change_of(enum change change)
{
    struct config_key_change c = {.domain = "example.com", .selector = "s1", .since = "2026-11-21"};
    c.state = change == ADD ? CONFIG_KEY_WAITING : change == RETIRE ? CONFIG_KEY_RETIRED : CONFIG_KEY_ACTIVE;
    if (change == ADD) {
        c.selector = "s2";
        c.path = "/k/s2.pem";
    }
    return c;
}

static char path[64];

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* Through the file: owner and mode stay; with other things before and behind, and without a line end at its end. */
static void check_file(int i, const char *head, const char *tail, bool cut)
{
    struct config_key_change change = change_of(rows[i].change);
    struct strbuf before = STRBUF_INIT, want = STRBUF_INIT, got = STRBUF_INIT;
    struct err err = {""};
    struct stat st;
    bool editable;
    strbuf_addf(&before, "%s%s%s", head, rows[i].before, tail);
    strbuf_addf(&want, "%s%s%s", head, rows[i].after == NULL ? rows[i].before : rows[i].after, tail);
    if (cut)
        strbuf_truncate(&before, before.n - 1);
    write_text(strbuf_str(&before));
    ck_assert_int_eq(chmod(path, 0640), 0);
    int rc = config_edit(path, &change, 1, &editable, &err);
    ck_assert_msg((rc == 0) == (rows[i].after != NULL), "row %d: %d %s", i, rc, err.text);
    ck_assert_int_eq(file_read(path, 65536, false, &got, &err), 0);
    if (rows[i].after == NULL) {
        ck_assert_msg(strstr(err.text, rows[i].words) != NULL, "row %d: %s", i, err.text);
        ck_assert_str_eq(strbuf_str(&got), strbuf_str(&before));
    } else {
        size_t n = got.n < want.n ? got.n : want.n; /* a line end that was not there need not be */
        ck_assert_msg(got.n + 1 >= want.n && strncmp(strbuf_str(&got), strbuf_str(&want), n) == 0,
                      "row %d: got\n%s\nwant\n%s", i, strbuf_str(&got), strbuf_str(&want));
    }
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    strbuf_free(&before);
    strbuf_free(&want);
    strbuf_free(&got);
    unlink(path);
}

START_TEST(test_edit)
{
    snprintf(path, sizeof(path), "/tmp/sendas-edit-%d.yaml", (int)getpid());
    check_file(_i, HEAD, TAIL, false);
    check_file(_i, HEAD TAIL, "", false);
    check_file(_i, HEAD TAIL, "", true);
}
END_TEST

/* Several at once, or none. */
START_TEST(test_several)
{
    const char *text = HEAD "domains:\n  - name: example.com\n    dkim:\n      - {selector: s1, key: a}\n"
                            "      - {selector: s2, key: b, state: waiting}\n";
    struct config_key_change changes[] = {
        {.domain = "example.com", .selector = "s1", .state = CONFIG_KEY_RETIRED, .since = "2026-11-21"},
        {.domain = "example.com", .selector = "s2", .state = CONFIG_KEY_ACTIVE, .since = "2026-11-22"},
        {.domain = "example.com", .selector = "s3", .state = CONFIG_KEY_ACTIVE, .since = "2026-11-22"}};
    struct strbuf got = STRBUF_INIT;
    struct err err = {""};
    bool editable;
    snprintf(path, sizeof(path), "/tmp/sendas-edit-%d.yaml", (int)getpid());
    write_text(text);
    ck_assert_int_eq(config_edit(path, changes, 3, &editable, &err), -1);
    ck_assert_int_eq(file_read(path, 65536, false, &got, &err), 0);
    ck_assert_str_eq(strbuf_str(&got), text);
    ck_assert_msg(config_edit(path, changes, 2, &editable, &err) == 0, "%s", err.text);
    strbuf_reset(&got);
    ck_assert_int_eq(file_read(path, 65536, false, &got, &err), 0);
    ck_assert_str_eq(strbuf_str(&got), HEAD "domains:\n  - name: example.com\n    dkim:\n"
                                            "      - {selector: s1, key: a, state: retired, since: 2026-11-21}\n"
                                            "      - {selector: s2, key: b, state: active, since: 2026-11-22}\n");
    strbuf_free(&got);
    write_text("hostname: [\n");
    ck_assert_int_eq(config_edit(path, changes, 1, &editable, &err), -1);
    ck_assert(editable); /* not the layout: the file itself is wrong */
    unlink(path);
    ck_assert_int_eq(config_edit(path, changes, 1, &editable, &err), -1);
    ck_assert(editable);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("config edit");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, test_edit, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_several);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
