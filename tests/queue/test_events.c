/* What happened to a message, in the order of causes and effects, whatever order it was written in. */
#include "testing.h"

#include "../../src/queue/internal.h"

#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 20 };

/* "kind recipient", in the order of the store, and as it is told. */
static const struct {
    const char *written, *told;
} rows[] = {
    {"", ""},
    {"accepted", "accepted"},
    {"accepted|bounced a|attempt|failed a", "accepted|attempt|failed a|bounced a"},
    {"accepted|bounced a|bounced b|attempt|failed a|delivered c|failed b",
     "accepted|attempt|failed a|bounced a|delivered c|failed b|bounced b"},
    /* a crash between the two commits: of a nothing more was noted */
    {"accepted|bounced a|attempt|failed b", "accepted|bounced a|attempt|failed b"},
    {"accepted|bounced b|bounced a|attempt|failed a|failed b",
     "accepted|attempt|failed a|bounced a|failed b|bounced b"},
    {"accepted|attempt|warned a|deferred a|attempt|delivered a",
     "accepted|attempt|deferred a|warned a|attempt|delivered a"},
    {"accepted|attempt|warned|deferred a|deferred b|attempt|deferred a",
     "accepted|attempt|deferred a|deferred b|warned|attempt|deferred a"},
    {"accepted|attempt|relayed a|delivered a|deferred b|held",
     "accepted|attempt|delivered a|relayed a|deferred b|held"},
    {"accepted|attempt|relayed|warned b|delivered a|deferred b|delivered c",
     "accepted|attempt|delivered a|deferred b|warned b|delivered c|relayed"},
    {"accepted|attempt|deferred a|bounced a|attempt|failed a",
     "accepted|attempt|deferred a|attempt|failed a|bounced a"},
    {"bounced", "bounced"},
    {"warned a", "warned a"},
};

static size_t parse(const char *text, struct queue_history v[EVENTS_MAX])
{
    struct slice rest = slice_of(text), one, kind;
    size_t n = 0;
    while (rest.n > 0) {
        rest = slice_cut(rest, '|', &one);
        struct slice to = slice_cut(one, ' ', &kind);
        v[n++] =
            (struct queue_history){.kind = strndup(kind.p, kind.n), .recipient = to.n > 0 ? strndup(to.p, to.n) : NULL};
    }
    return n;
}

START_TEST(test_order)
{
    struct queue_history v[EVENTS_MAX];
    struct strbuf told = STRBUF_INIT;
    size_t n = parse(rows[_i].written, v);
    ck_assert_int_eq(events_order(v, n), 0);
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&told, "%s%s%s%s", i > 0 ? "|" : "", v[i].kind, v[i].recipient != NULL ? " " : "",
                    v[i].recipient != NULL ? v[i].recipient : "");
        free(v[i].kind);
        free(v[i].recipient);
    }
    ck_assert_str_eq(strbuf_str(&told), rows[_i].told);
    strbuf_free(&told);
}
END_TEST

START_TEST(test_times)
{
    struct queue_history v[EVENTS_MAX];
    size_t n = parse("accepted|bounced a|bounced b|attempt|failed a|failed b|held", v);
    static const int64_t written[] = {10, 20, 21, 30, 30, 30, 40}, told[] = {10, 20, 20, 20, 21, 21, 40};
    for (size_t i = 0; i < n; i++)
        v[i].time_ms = written[i];
    ck_assert_int_eq(events_order(v, n), 0);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(v[i].time_ms, told[i]);
        free(v[i].kind);
        free(v[i].recipient);
    }
}
END_TEST

/* Ten thousand recipients that failed together: each finds its own at once. */
START_TEST(test_order_of_many)
{
    enum { MANY = 10000 };
    struct queue_history *v = calloc(2 * MANY + 1, sizeof(*v));
    char name[20];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "r%zu", i);
        v[i] = (struct queue_history){.kind = (char *)"bounced", .recipient = strdup(name)};
        v[MANY + 1 + i] = (struct queue_history){.kind = (char *)"failed", .recipient = strdup(name)};
    }
    v[MANY].kind = (char *)"attempt";
    ck_assert_int_eq(events_order(v, 2 * MANY + 1), 0);
    ck_assert_str_eq(v[0].kind, "attempt");
    for (size_t i = 1; i < 2 * MANY + 1; i += 2) {
        ck_assert_str_eq(v[i].kind, "failed");
        ck_assert_str_eq(v[i + 1].kind, "bounced");
        ck_assert_str_eq(v[i].recipient, v[i + 1].recipient);
        free(v[i].recipient);
        free(v[i + 1].recipient);
    }
    free(v);
}
END_TEST

static const struct {
    const char *note, *left, *told;
} notes[] = {
    {"mx=a took=1s; <a@b> 250 ok", "mx=a took=1s; <a@b> 250 ok", ""},
    {"mx=a\nwarned ABC <a@b.example>", "mx=a", "warned a@b.example ABC|"},
    {"\nrelayed ABC 12", "", "relayed - ABC (12 recipients)|"},
    {"x\nwarned A <a@b>\nrelayed B <c@d>", "x", "warned a@b A|relayed c@d B|"},
    {"x\nnothing known\n\nwarned\nwarned \nwarned A", "x", ""},
};

START_TEST(test_split)
{
    struct queue_history attempt = {.kind = (char *)"attempt", .time_ms = 7, .text = strdup(notes[_i].note)};
    struct queue_history more[EVENTS_SPLIT_MAX];
    struct strbuf told = STRBUF_INIT;
    size_t n = events_split(&attempt, more);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(more[i].time_ms, 7);
        strbuf_addf(&told, "%s %s %s|", more[i].kind, more[i].recipient != NULL ? more[i].recipient : "-",
                    more[i].text);
        free(more[i].kind);
        free(more[i].recipient);
        free(more[i].text);
    }
    ck_assert_str_eq(strbuf_str(&told), notes[_i].told);
    ck_assert_str_eq(attempt.text, notes[_i].left);
    strbuf_free(&told);
    free(attempt.text);
}
END_TEST

static Suite *events_suite(void)
{
    Suite *suite = suite_create("events");
    TCase *tc = tcase_create("events");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_order, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, test_times);
    tcase_add_test(tc, test_order_of_many);
    tcase_add_loop_test(tc, test_split, 0, (int)ARRAY_LEN(notes));
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(events_suite)
