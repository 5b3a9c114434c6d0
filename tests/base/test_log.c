/* Log lines: golden, but for the time. */
#include "testing.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
#define TEXT(k, literal)   {.key = (k), .kind = LOG_FIELD_TEXT, .text = {literal, sizeof(literal) - 1}}
#define PATH(k, literal)   {.key = (k), .kind = LOG_FIELD_PATH, .text = {literal, sizeof(literal) - 1}}
#define NUMBER(kind_, k, v) {.key = (k), .kind = (kind_), .number = (v)}
/* clang-format on */

static char *written;
static size_t written_n;
static FILE *memory;

static void log_setup(void)
{
    written_n = 0;
    memory = open_memstream(&written, &written_n);
    log_to(memory);
}

static void log_teardown(void)
{
    fclose(memory);
    free(written);
}

/* The one line that was written, without `time=...Z` or `{"time":"...Z"` and the newline. */
static const char *logged(void)
{
    size_t n = slice_find(slice_from(written, written_n), 'Z');
    ck_assert_uint_lt(n, written_n);
    ck_assert_int_eq(written[written_n - 1], '\n');
    written[written_n - 1] = '\0';
    ck_assert_uint_eq(strlen(written), written_n - 1); /* no NUL */
    ck_assert_ptr_null(strchr(written, '\n'));
    return written + n + 1;
}

static const struct {
    struct log_field field;
    const char *text, *json;
} rows[] = {
    {TEXT("user", "me@example.com"), "user=me@example.com", "\"user\":\"me@example.com\""},
    {PATH("from", "me@example.com"), "from=<me@example.com>", "\"from\":\"<me@example.com>\""},
    {PATH("from", ""), "from=<>", "\"from\":\"<>\""},
    {PATH("from", "\"a b\"@x"), "from=\"<\\\"a b\\\"@x>\"", "\"from\":\"<\\\"a b\\\"@x>\""},
    {NUMBER(LOG_FIELD_NUMBER, "size", 4821), "size=4821", "\"size\":4821"},
    {NUMBER(LOG_FIELD_NUMBER, "size", INT64_MIN), "size=-9223372036854775808", "\"size\":-9223372036854775808"},
    {NUMBER(LOG_FIELD_MS, "delay", 1234), "delay=1.234s", "\"delay\":1.234"},
    {NUMBER(LOG_FIELD_MS, "delay", -5), "delay=-0.005s", "\"delay\":-0.005"},
    {TEXT("reply", "250 2.0.0 Ok"), "reply=\"250 2.0.0 Ok\"", "\"reply\":\"250 2.0.0 Ok\""},
    {TEXT("x", ""), "x=\"\"", "\"x\":\"\""},
    {TEXT("x", "a=b"), "x=\"a=b\"", "\"x\":\"a=b\""},
    {TEXT("x", "say \"hi\" \\o/"), "x=\"say \\\"hi\\\" \\\\o/\"", "\"x\":\"say \\\"hi\\\" \\\\o/\""},
    /* forged lines, terminal escapes */
    {TEXT("x", "a\r\ntime=1 event=auth"), "x=\"a\\x0d\\x0atime=1 event=auth\"",
     "\"x\":\"a\\u000d\\u000atime=1 event=auth\""},
    {TEXT("x", "\x1b[2J\x7f\t"), "x=\"\\x1b[2J\\x7f\\x09\"", "\"x\":\"\\u001b[2J\\u007f\\u0009\""},
    {TEXT("x", "a\0b"), "x=\"a\\x00b\"", "\"x\":\"a\\u0000b\""},
    {TEXT("x", "gr\xC3\xBC\xC3\x9F"), "x=\"gr\xC3\xBC\xC3\x9F\"", "\"x\":\"gr\xC3\xBC\xC3\x9F\""},
    {TEXT("x", "\xC2\x9B"
               "2J"),
     "x=\"\\xc2\\x9b2J\"", "\"x\":\"\\\\xc2\\\\x9b2J\""},                                    /* a C1 control */
    {TEXT("x", "\xE2\x80\xAE"), "x=\"\\xe2\\x80\\xae\"", "\"x\":\"\\\\xe2\\\\x80\\\\xae\""}, /* right to left */
    {TEXT("x", "\xE2\x80\xA8"), "x=\"\\xe2\\x80\\xa8\"", "\"x\":\"\\\\xe2\\\\x80\\\\xa8\""}, /* a line separator */
    {TEXT("x", "a\xFF\xC3"), "x=\"a\\xff\\xc3\"", "\"x\":\"a\\\\xff\\\\xc3\""},              /* no UTF-8 */
    {{.key = "x", .text = {NULL, 0}}, NULL, NULL},                                           /* left out */
};

START_TEST(text_line)
{
    char want[256];
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_event(LOG_LEVEL_INFO, "accepted", rows[_i].field, LOG_STR("queue", "3F9K2M"));
    snprintf(want, sizeof(want), " level=info event=accepted%s%s queue=3F9K2M", rows[_i].text == NULL ? "" : " ",
             rows[_i].text == NULL ? "" : rows[_i].text);
    ck_assert_str_eq(logged(), want);
    ck_assert(slice_starts(slice_of(written), SLICE("time=2")));
}
END_TEST

START_TEST(json_line)
{
    char want[256];
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_event(LOG_LEVEL_WARN, "accepted", rows[_i].field, LOG_STR("queue", "3F9K2M"));
    snprintf(want, sizeof(want), "\",\"level\":\"warn\",\"event\":\"accepted\"%s%s,\"queue\":\"3F9K2M\"}",
             rows[_i].json == NULL ? "" : ",", rows[_i].json == NULL ? "" : rows[_i].json);
    ck_assert_str_eq(logged(), want);
    ck_assert(slice_starts(slice_of(written), SLICE("{\"time\":\"2")));
}
END_TEST

START_TEST(time_is_now)
{
    struct tm tm = {0};
    int ms = -1, n = 0;
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    time_t before = time(NULL);
    log_write(LOG_LEVEL_DEBUG, "x", NULL, 0);
    const char *rest = strptime(written, "time=%Y-%m-%dT%H:%M:%S", &tm);
    ck_assert_ptr_nonnull(rest);
    ck_assert_int_eq(sscanf(rest, ".%3dZ%n", &ms, &n), 1);
    ck_assert_int_eq(n, 5);
    ck_assert_int_ge(timegm(&tm), before);
    ck_assert_int_le(timegm(&tm), time(NULL));
    ck_assert_str_eq(logged(), " level=debug event=x");
}
END_TEST

START_TEST(levels)
{
    log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    ck_assert(!log_enabled(LOG_LEVEL_INFO));
    ck_assert(log_enabled(LOG_LEVEL_WARN));
    log_event(LOG_LEVEL_INFO, "quiet", LOG_NUM("n", 1));
    ck_assert_uint_eq(written_n, 0);
    log_event(LOG_LEVEL_ERROR, "loud", LOG_NUM("n", 1));
    ck_assert_str_eq(logged(), " level=error event=loud n=1");
}
END_TEST

/* A value is cut, at a character; a line ends in time, whatever its fields. */
START_TEST(huge_values)
{
    static char huge[100000];
    static struct log_field many[64];
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    huge[0] = 'a';
    for (size_t i = 1; i + 2 < sizeof(huge); i += 2)
        memcpy(huge + i, "\xC3\xBC", 2);
    log_event(LOG_LEVEL_INFO, "x", LOG_STR("v", huge), LOG_NUM("n", 1));
    const char *line = logged();
    ck_assert_uint_lt(strlen(line), 2200);
    ck_assert(slice_is_utf8(slice_of(line)));
    ck_assert_ptr_nonnull(strstr(line, "\xC3\xBC...\" n=1"));
    log_teardown();
    log_setup();
    memset(huge, 1, sizeof(huge) - 1); /* every octet becomes four */
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = LOG_STR("v", huge);
    log_write(LOG_LEVEL_INFO, "x", many, ARRAY_LEN(many));
    line = logged();
    ck_assert_uint_le(written_n, 16 * 1024);
    ck_assert(strlen(line) > 8000);
    ck_assert_ptr_nonnull(strstr(line, "...\" truncated=true"));
}
END_TEST

static void *shout(void *arg)
{
    char word[1000];
    memset(word, *(const char *)arg, sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    for (int i = 0; i < 200; i++)
        log_event(LOG_LEVEL_INFO, "shout", LOG_STR("word", word));
    return NULL;
}

/* Lines of threads never mix, in a pipe or file either: each is one write. */
START_TEST(threads)
{
    static const char letters[] = "abcd";
    pthread_t thread[4];
    FILE *file = tmpfile();
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_to(file);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, shout, (void *)&letters[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    rewind(file);
    char line[2000];
    size_t lines = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *word = strstr(line, "word=");
        ck_assert_ptr_nonnull(word);
        ck_assert_uint_eq(strspn(word + 5, (char[]){word[5], '\0'}), 999);
        ck_assert_str_eq(word + 5 + 999, "\n");
        lines++;
    }
    ck_assert_uint_eq(lines, 800);
    fclose(file);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("log");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, log_setup, log_teardown);
    tcase_add_loop_test(tc, text_line, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(tc, json_line, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, time_is_now);
    tcase_add_test(tc, levels);
    tcase_add_test(tc, huge_values);
    tcase_add_test(tc, threads);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
