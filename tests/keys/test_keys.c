/* What a survey says of a key, which keys sign then, when to look again; keys.json. */
#include "../dkim/rfc8463.h"
#include "sendas/keys.h"
#include "testing.h"

#include <unistd.h>

static struct dkim_key *key, *ed_key;
static char own[1024];

static void make_keys(void)
{
    struct strbuf pem = STRBUF_INIT, record = STRBUF_INIT;
    struct err err = {""};
    ck_assert_int_eq(dkim_key_generate(DKIM_RSA_SHA256, 2048, &pem, &err), 0);
    ck_assert_int_eq(dkim_key_parse(strbuf_slice(&pem), "k", "example.com", "s1", &key, &err), 0);
    ck_assert_int_eq(dkim_key_parse(slice_of(rfc8463_ed25519_pem), "k", "example.com", "e1", &ed_key, &err), 0);
    dkim_key_record(key, &record);
    snprintf(own, sizeof(own), "%s", strbuf_str(&record));
    strbuf_free(&pem);
    strbuf_free(&record);
}

static void free_keys(void)
{
    dkim_key_free(&key);
    dkim_key_free(&ed_key);
}

/* ---- findings ------------------------------------------------------------------------------------------ */

enum { ROW_SERVERS = 3 };

/* A server: "NAME STATE", then its records; "OWN" is the right one, "TEST" the same with t=y, "SPLIT" with white space. */
static const struct {
    const char *reason;
    struct {
        const char *name;
        enum dns_server_state state;
        const char *records[3];
    } servers[ROW_SERVERS];
    enum keys_found found;
    unsigned n, showing;
    const char *words;
} rows[] = {
    {"", {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"b", DNS_SERVER_ANSWERED, {"OWN"}}}, KEYS_GOOD, 2, 2, ""},
    {"", {{"a", DNS_SERVER_ANSWERED, {"SPLIT"}}}, KEYS_GOOD, 1, 1, ""},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"b", DNS_SERVER_ANSWERED, {NULL}}},
     KEYS_MISSING,
     2,
     1,
     "b has no record"},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {NULL}}, {"b", DNS_SERVER_ANSWERED, {NULL}}},
     KEYS_MISSING,
     2,
     0,
     "a has no record"},
    {"", {{"a", DNS_SERVER_ANSWERED, {"OWN", "OWN"}}}, KEYS_DOUBLED, 1, 0, "a shows 2 records"},
    {"", {{"a", DNS_SERVER_ANSWERED, {"TEST"}}}, KEYS_TESTING, 1, 0, "t=y"},
    {"", {{"a", DNS_SERVER_ANSWERED, {"v=DKIM1; p="}}}, KEYS_REVOKED, 1, 0, "revoked"},
    {"", {{"a", DNS_SERVER_ANSWERED, {rfc8463_rsa_record}}}, KEYS_ANOTHER, 1, 0, "another key"},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}}},
     KEYS_ANOTHER,
     1,
     0,
     "another key"},
    {"", {{"a", DNS_SERVER_ANSWERED, {"v=spf1 -all"}}}, KEYS_UNUSABLE, 1, 0, "no use"},
    {"", {{"a", DNS_SERVER_ANSWERED, {"v=DKIM1; p=****"}}}, KEYS_UNUSABLE, 1, 0, "base64"},
    {"", {{"a", DNS_SERVER_ANSWERED, {""}}}, KEYS_UNUSABLE, 1, 0, "malformed"},
    /* one address of a server that does not answer is no matter when another does */
    {"", {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"a", DNS_SERVER_SILENT, {NULL}}}, KEYS_GOOD, 1, 1, ""},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"a", DNS_SERVER_NO_ROUTE, {NULL}}, {"b", DNS_SERVER_NO_ROUTE, {NULL}}},
     KEYS_GOOD,
     1,
     1,
     ""},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"b", DNS_SERVER_SILENT, {NULL}}},
     KEYS_UNKNOWN,
     2,
     1,
     "b does not answer"},
    {"", {{"a", DNS_SERVER_ANSWERED, {NULL}}, {"b", DNS_SERVER_SILENT, {NULL}}}, KEYS_MISSING, 2, 0, "a has no record"},
    {"",
     {{"a", DNS_SERVER_ANSWERED, {"OWN"}}, {"a", DNS_SERVER_ANSWERED, {NULL}}},
     KEYS_MISSING,
     1,
     0,
     "a has no record"},
    {"", {{"a", DNS_SERVER_ELSEWHERE, {NULL}}, {"p", DNS_SERVER_ANSWERED, {"OWN"}}}, KEYS_GOOD, 1, 1, ""},
    {"",
     {{"a", DNS_SERVER_ELSEWHERE, {NULL}}, {"b", DNS_SERVER_ANSWERED, {NULL}}, {"p", DNS_SERVER_ANSWERED, {"OWN"}}},
     KEYS_MISSING,
     2,
     1,
     "b has no record"},
    {"",
     {{"a", DNS_SERVER_ELSEWHERE, {NULL}}},
     KEYS_UNKNOWN,
     0,
     0,
     "no name server"}, /* an alias that leads to itself */
    {"", {{"a", DNS_SERVER_NO_ROUTE, {NULL}}}, KEYS_UNKNOWN, 0, 0, "no name server"},
    {"timeout", {{NULL, DNS_SERVER_ANSWERED, {NULL}}}, KEYS_UNKNOWN, 0, 0, "timeout"},
    {"timeout", {{"a", DNS_SERVER_ANSWERED, {"OWN"}}}, KEYS_UNKNOWN, 1, 1, "timeout"},
    {"timeout", {{"a", DNS_SERVER_ANSWERED, {NULL}}}, KEYS_MISSING, 1, 0, "a has no record"},
};

static const char *expand(const char *text, char *buf, size_t size)
{
    if (strcmp(text, "OWN") == 0)
        return own;
    if (strcmp(text, "TEST") == 0)
        snprintf(buf, size, "%s; t=y", own);
    else if (strcmp(text, "SPLIT") == 0)
        snprintf(buf, size, "p=%.30s \t %s", strstr(own, "p=") + 2, strstr(own, "p=") + 32);
    else
        return text;
    return buf;
}

START_TEST(test_judge)
{
    struct dns_server servers[ROW_SERVERS] = {0};
    struct dns_record records[ROW_SERVERS][3] = {0};
    char texts[ROW_SERVERS][2000];
    struct dns_survey survey = {.reason = rows[_i].reason, .zone = "example.com", .servers = servers};
    struct keys_finding f;
    for (size_t i = 0; i < ROW_SERVERS && rows[_i].servers[i].name != NULL; i++) {
        struct dns_server *s = &servers[survey.n++];
        *s = (struct dns_server){.zone = "example.com",
                                 .name = rows[_i].servers[i].name,
                                 .address = "",
                                 .elsewhere = "",
                                 .state = rows[_i].servers[i].state};
        s->answer = (struct dns_answer){.reason = "", .canonical = "", .records = records[i]};
        for (size_t k = 0; k < 3 && rows[_i].servers[i].records[k] != NULL; k++) {
            const char *text = expand(rows[_i].servers[i].records[k], texts[i], sizeof(texts[i]));
            records[i][s->answer.n++] = (struct dns_record){.text = text, .text_len = strlen(text)};
        }
        s->answer.status = s->state != DNS_SERVER_ANSWERED ? DNS_TEMPFAIL : s->answer.n > 0 ? DNS_OK : DNS_NXDOMAIN;
    }
    keys_judge(key, &survey, &f);
    ck_assert_msg(f.found == rows[_i].found && f.servers == rows[_i].n && f.showing == rows[_i].showing,
                  "row %d: %s, %u of %u: %s", _i, keys_found_name(f.found), f.showing, f.servers, f.reason);
    ck_assert_msg(strstr(f.reason, rows[_i].words) != NULL && (rows[_i].words[0] != '\0' || f.reason[0] == '\0'),
                  "row %d: %s", _i, f.reason);
}
END_TEST

/* ---- decisions ------------------------------------------------------------------------------------------- */

/* A key: a/w/r for its state, R or E for its kind, then what DNS shows: g good, m missing, u unknown; '*': it was published.
 * `signs`: 1 or 0 for each. */
static const struct {
    const char *keys, *signs;
} decisions[] = {
    {"aRu", "1"},           {"aRm", "1"},       {"aRg", "1"},           {"aRg wRm", "10"},
    {"aRg wRu", "10"},      {"aRg wRg*", "11"}, {"aRg wRu*", "11"}, /* DNS fails now: no reason to stop */
    {"aRg wRm*", "10"},     {"aRm wRg*", "01"}, {"aRm wRm*", "11"}, /* with no good key left all go on */
    {"aRm wRm", "10"},                                              /* but one that was never published */
    {"aRg rRg", "10"},      {"rRg aRm", "01"},  {"rRg* wRg*", "01"},    {"aRm aRg", "01"},
    {"aRg aEm", "10"},      {"aRm aEg", "11"}, /* not every receiver knows Ed25519 */
    {"aRm aEg aRg", "011"}, {"aRm aRu", "11"},  {"aRm aEm aRm", "111"}, {"wRu", "0"},
    {"aEm wRg*", "01"},     {"aRm wEg*", "11"},
};

static struct keys_fact read_fact(const char *t)
{
    return (struct keys_fact){.state = t[0] == 'a'   ? CONFIG_KEY_ACTIVE
                                       : t[0] == 'w' ? CONFIG_KEY_WAITING
                                                     : CONFIG_KEY_RETIRED,
                              .rsa = t[1] == 'R',
                              .found = t[2] == 'g'   ? KEYS_GOOD
                                       : t[2] == 'm' ? KEYS_MISSING
                                                     : KEYS_UNKNOWN,
                              .published = t[3] == '*'};
}

START_TEST(test_decide)
{
    struct keys_fact facts[8] = {{.rsa = false}};
    bool signs[8] = {false};
    size_t n = 0;
    for (const char *t = decisions[_i].keys; t != NULL; t = strchr(t, ' ') == NULL ? NULL : strchr(t, ' ') + 1)
        facts[n++] = read_fact(t);
    keys_decide(facts, n, signs);
    ck_assert_uint_eq(n, strlen(decisions[_i].signs));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(signs[i] == (decisions[_i].signs[i] == '1'), "%s: key %zu", decisions[_i].keys, i);
}
END_TEST

static const struct {
    const char *key;
    unsigned looks;
    int64_t seconds;
} times[] = {
    {"wRm", 1, 60},     {"wRm", 2, 120},   {"wRu", 3, 240}, {"wRm", 4, 480}, {"wRm", 5, 900},  {"wRm", 100, 900},
    {"wRg*", 1, 86400}, {"aRg", 1, 86400}, {"aRm", 1, 900}, {"aRu", 1, 900}, {"wRm*", 7, 900},
};

START_TEST(test_times)
{
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct keys_fact f = read_fact(times[i].key);
        ck_assert_msg(keys_next_look_s(&f, times[i].looks) == times[i].seconds, "row %zu", i);
    }
}
END_TEST

static const struct {
    const char *since, *until; /* NULL: not known */
} days[] = {{"2026-11-21", "2026-11-28"}, {"2026-12-28", "2027-01-04"}, {"2028-02-25", "2028-03-03"}, {"", NULL}};

START_TEST(test_days)
{
    for (size_t i = 0; i < ARRAY_LEN(days); i++) {
        struct config_key k = {.since = (char *)(uintptr_t)days[i].since};
        int64_t day;
        char text[16];
        ck_assert_int_eq(keys_kept_until(&k, &day), days[i].until != NULL);
        if (days[i].until == NULL)
            continue;
        keys_day_text(text, day);
        ck_assert_str_eq(text, days[i].until);
    }
}
END_TEST

/* ---- keys.json ---------------------------------------------------------------------------------------------- */

static char path[64];

static void write_text(const char *text, size_t n)
{
    struct err err = {""};
    ck_assert_int_eq(file_write(path, slice_from(text, n), 0600, &err), 0);
}

START_TEST(test_memory)
{
    struct keys_memory m = {0}, again;
    struct strbuf text = STRBUF_INIT;
    struct err err = {""};
    snprintf(path, sizeof(path), "/tmp/sendas-keys-%d.json", (int)getpid());
    unlink(path);
    ck_assert_int_eq(keys_memory_load(path, &again, &err), 0); /* not there: empty */
    ck_assert_uint_eq(again.n, 0);
    struct keys_row *row = keys_memory_get(&m, key);
    row->published_s = 1000000000000;
    row->looked_s = 1000000000001;
    row->finding =
        (struct keys_finding){.found = KEYS_ANOTHER, .servers = 2, .showing = 1, .reason = "a \"b\" \xc3\xa9"};
    ck_assert_ptr_nonnull(keys_memory_get(&m, ed_key));
    ck_assert_ptr_eq(keys_memory_get(&m, ed_key), keys_memory_find(&m, ed_key));
    ck_assert_int_eq(keys_memory_text(&m, &text), 0);
    write_text(text.p, text.n);
    ck_assert_msg(keys_memory_load(path, &again, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(again.n, 2);
    row = keys_memory_find(&again, key);
    ck_assert_int_eq(row->published_s, 1000000000000);
    ck_assert_int_eq(row->looked_s, 1000000000001);
    ck_assert_int_eq(row->finding.found, KEYS_ANOTHER);
    ck_assert_str_eq(row->finding.reason, "a \"b\" \xc3\xa9");
    /* another key under the same name was never seen */
    struct dkim_key *swapped = NULL;
    ck_assert_int_eq(dkim_key_parse(slice_of(rfc8463_ed25519_pem), "k", "example.com", "s1", &swapped, &err), 0);
    ck_assert_ptr_null(keys_memory_find(&again, swapped));
    dkim_key_free(&swapped);
    keys_memory_free(&again);
    /* cut short anywhere, it is damaged and says so, but for the line end */
    for (size_t n = 0; n + 1 < text.n; n += n < 4 ? 1 : 37) {
        write_text(text.p, n);
        ck_assert_int_eq(keys_memory_load(path, &again, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
        ck_assert_uint_eq(again.n, 0);
    }
    unlink(path);
    keys_memory_free(&m);
    strbuf_free(&text);
}
END_TEST

static const char *const damaged[] = {
    "[]",
    "{}",
    "{\"keys\": {}}",
    "{\"keys\": [1]}",
    "{\"keys\": [{}]}",
    "{\"keys\": [{\"domain\": \"d\", \"selector\": \"s\", \"record\": \"r\", \"looked\": 1, \"published\": 1, "
    "\"found\": \"fine\","
    " \"servers\": 1, \"showing\": 1, \"reason\": \"\"}]}",
    "{\"keys\": [{\"domain\": \"d\", \"selector\": \"s\", \"record\": \"r\", \"looked\": -1, \"published\": 1, "
    "\"found\": \"good\","
    " \"servers\": 1, \"showing\": 1, \"reason\": \"\"}]}",
    "{\"keys\": [{\"domain\": \"d\", \"selector\": \"s\", \"record\": \"r\", \"looked\": 1, \"published\": true, "
    "\"found\": \"good\","
    " \"servers\": 1, \"showing\": 1, \"reason\": \"\"}]}",
};

START_TEST(test_damaged)
{
    struct keys_memory m;
    struct err err = {""};
    snprintf(path, sizeof(path), "/tmp/sendas-keys-%d.json", (int)getpid());
    write_text(damaged[_i], strlen(damaged[_i]));
    ck_assert_int_eq(keys_memory_load(path, &m, &err), -1);
    ck_assert_uint_eq(m.n, 0);
    unlink(path);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("keys");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, make_keys, free_keys);
    tcase_add_loop_test(tc, test_judge, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, test_decide, 0, (int)ARRAY_LEN(decisions));
    tcase_add_test(tc, test_times);
    tcase_add_test(tc, test_days);
    tcase_add_test(tc, test_memory);
    tcase_add_loop_test(tc, test_damaged, 0, (int)ARRAY_LEN(damaged));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
