/* A domain's DMARC record, as its owner should see it. */
#include "testing.h"
#include "zone.h"

#include "sendas/align.h"

static struct arena arena;
static struct zone zone;

static void setup(void)
{
    arena = ARENA_INIT(4 * 1024 * 1024);
    zone = (struct zone){0};
}

static void teardown(void)
{
    strbuf_free(&zone.asked);
    arena_free(&arena);
}

#define RUA  "; rua=mailto:me@example.com"
#define GOOD "v=DMARC1; p=none" RUA

static const struct {
    const char *domain;
    const char *own[2]; /* at _dmarc.example.com; the domain may be below it */
    enum dmarc_where found;
    bool usable;
    enum dmarc_policy policy;
    unsigned serious;
    const char *words; /* of a note; NULL: there is none */
} rows[] = {
    {"example.com", {NULL}, DMARC_FOUND_NOTHING, false, DMARC_POLICY_NONE, 0, NULL},
    {"example.com", {"v=spf1 -all"}, DMARC_FOUND_NOTHING, false, DMARC_POLICY_NONE, 0, NULL},
    {"example.com", {GOOD}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, NULL},
    {"example.com", {"v=DMARC1;p=reject" RUA ";adkim=s;aspf=S;"}, DMARC_FOUND_OWN, true, DMARC_POLICY_REJECT, 0, NULL},
    {"example.com", {"v=DMARC1; p=quarantine; t=y" RUA}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "t=y"},
    {"example.com", {"v=DMARC1; p=none"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "add rua=mailto:"},
    {"example.com", {"v=DMARC1"}, DMARC_FOUND_OWN, false, DMARC_POLICY_NONE, 1, "no policy"},
    {"example.com", {"v=DMARC1; p=blocking" RUA}, DMARC_FOUND_OWN, false, DMARC_POLICY_NONE, 1, "p=blocking"},
    {"example.com", {GOOD "; sp=never"}, DMARC_FOUND_OWN, false, DMARC_POLICY_NONE, 1, "sp=never"},
    {"example.com", {GOOD "; pct=50"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "pct= is history"},
    {"example.com", {GOOD "; ri=86400"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "ri= is history"},
    {"example.com", {GOOD "; adkmi=s"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "unknown tag adkmi="},
    {"example.com", {GOOD "; adkim=strict"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "counts as r"},
    {"example.com", {GOOD "; hello"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, NULL},
    {"example.com", {"v=DMARC1; p=none; rua=me@example.com"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 1, "mailto:"},
    {"example.com",
     {"v=DMARC1; p=none; rua=mailto:me"},
     DMARC_FOUND_OWN,
     true,
     DMARC_POLICY_NONE,
     1,
     "no mail address"},
    {"example.com", {GOOD "!10m"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, "\"!10m\""},
    {"example.com",
     {"v=DMARC1; p=none; rua=mailto:a@sub.example.com"},
     DMARC_FOUND_OWN,
     true,
     DMARC_POLICY_NONE,
     0,
     NULL},
    {"example.com",
     {"v=DMARC1; p=none; rua=mailto:a@other.test"},
     DMARC_FOUND_OWN,
     true,
     DMARC_POLICY_NONE,
     0,
     "until example.com._report._dmarc.other.test"},
    {"example.com", {"v=DMARC1; p=none; rua=mailto:a@takes.test"}, DMARC_FOUND_OWN, true, DMARC_POLICY_NONE, 0, NULL},
    {"example.com",
     {"v=DMARC1; p=reject; rua=mailto:a@silent.test"},
     DMARC_FOUND_OWN,
     true,
     DMARC_POLICY_REJECT,
     0,
     NULL},
    {"example.com", {GOOD, GOOD}, DMARC_FOUND_SEVERAL, true, DMARC_POLICY_NONE, 1, "there are 2 records"},
    {"example.com",
     {"v=DMARC1; p=x" RUA, "v=DMARC1; p=reject" RUA},
     DMARC_FOUND_SEVERAL,
     true,
     DMARC_POLICY_REJECT,
     1,
     "there are 2 records"},
    {"example.com", {"v=dmarc1; p=none"}, DMARC_FOUND_BROKEN, false, DMARC_POLICY_NONE, 1, "begin with v=DMARC1"},
    {"example.com", {"\"v=DMARC1; p=none\""}, DMARC_FOUND_BROKEN, false, DMARC_POLICY_NONE, 1, "begin with v=DMARC1"},
    {"example.com", {"p=none; v=DMARC1"}, DMARC_FOUND_BROKEN, false, DMARC_POLICY_NONE, 1, "begin with v=DMARC1"},
    {"a.example.com", {"v=DMARC1; p=reject"}, DMARC_FOUND_ABOVE, true, DMARC_POLICY_REJECT, 0, NULL},
    {"a.b.example.com",
     {"v=DMARC1; p=reject; sp=quarantine"},
     DMARC_FOUND_ABOVE,
     true,
     DMARC_POLICY_QUARANTINE,
     0,
     NULL},
    {"a.example.com", {"v=DMARC1; p=never"}, DMARC_FOUND_NOTHING, false, DMARC_POLICY_NONE, 0, NULL},
    {"silent.test", {NULL}, DMARC_FOUND_UNKNOWN, false, DMARC_POLICY_NONE, 0, NULL},
};

START_TEST(judged)
{
    struct zone_row zone_rows[] = {
        {"example.com._report._dmarc.takes.test", ZONE_TXT, "v=DMARC1", 0},
        {"_dmarc.silent.test", ZONE_TEMPFAIL, "", 0},
        {"_dmarc.example.com", ZONE_TXT, rows[_i].own[0], 0},
        {"_dmarc.example.com", ZONE_TXT, rows[_i].own[1], 0},
    };
    struct lookup dns = {zone_query, &zone};
    struct dmarc_judgement v;
    struct err err = {""};
    unsigned serious = 0;
    bool said = false;
    zone.rows = zone_rows;
    zone.n = rows[_i].own[0] == NULL ? 2 : rows[_i].own[1] == NULL ? 3 : 4;
    ck_assert_msg(dmarc_judge(&arena, &dns, slice_of(rows[_i].domain), &v, &err) == 0, "%s", err.text);
    ck_assert_int_eq(v.found, rows[_i].found);
    ck_assert_int_eq(v.usable, rows[_i].usable);
    ck_assert_int_eq(v.policy, rows[_i].policy);
    for (size_t i = 0; i < v.n_notes; i++) {
        serious += v.notes[i].serious;
        said = said || (rows[_i].words != NULL &&
                        slice_find_slice(v.notes[i].text, slice_of(rows[_i].words)) < v.notes[i].text.n);
    }
    ck_assert_uint_eq(serious, rows[_i].serious);
    ck_assert_msg(rows[_i].words == NULL ? v.n_notes == 0 : said, "%.*s", v.n_notes > 0 ? (int)v.notes[0].text.n : 0,
                  v.n_notes > 0 ? v.notes[0].text.p : "");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("a domain's DMARC record");
    TCase *tc = tcase_create("judge");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, judged, 0, (int)ARRAY_LEN(rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
