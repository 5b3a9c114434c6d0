/* The MIME messages of Python's test suite, made to be hard to read: each is brought to normal form or refused with a
 * reason, as it is and with 8-bit octets and long lines put into its text.  They are not part of this repository. */
#include "mime/naive.h"
#include "testing.h"

#include <glob.h>

static glob_t files;

/* LF becomes CRLF.  With `harder`, text lines get an 8-bit letter, and every fifth of them a tail of 1,100 octets. */
static void take_lines(struct strbuf *out, struct slice text, bool harder)
{
    bool in_body = false;
    for (size_t i = 0; text.n > 0; i++) {
        struct slice line;
        text = slice_cut(text, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        in_body |= line.n == 0;
        strbuf_add_slice(out, line);
        if (harder && in_body && line.n > 0 && line.p[0] >= 'a' && line.p[0] <= 'z') {
            strbuf_add_str(out, " \xc3\xa9");
            for (size_t n = 0; i % 5 == 0 && n < 550; n++)
                strbuf_add_str(out, " x");
        }
        strbuf_add_str(out, "\r\n");
    }
}

/* true: in normal form now; false: refused */
static bool judge(const char *path, struct slice text)
{
    struct strbuf header = STRBUF_INIT, body = STRBUF_INIT, before = STRBUF_INIT, after = STRBUF_INIT;
    struct slice old_body = text, old_header = naive_header(&old_body);
    struct mime_report r = {0};
    struct err err = {{0}};
    int status = naive_normalise(old_header, old_body, false, &header, &body, &r, &err);
    if (status < 0) {
        ck_assert_msg((status == MIME_REFUSED || status == MIME_NEEDS_UTF8) && err.text[0] != '\0', "%s: %s", path,
                      err.text);
    } else {
        struct slice h = strbuf_slice(&header), b = strbuf_slice(&body);
        ck_assert_msg(slice_is_ascii(h) && slice_is_ascii(b) == !r.kept_8bit, "%s", path);
        ck_assert_msg(naive_line_max(h) <= MESSAGE_LINE_MAX && naive_line_max(b) <= MESSAGE_LINE_MAX, "%s", path);
        naive_read(&before, old_header, old_body);
        naive_read(&after, h, b);
        ck_assert_msg(slice_eq(strbuf_slice(&before), strbuf_slice(&after)), "%s", path);
    }
    strbuf_free(&header);
    strbuf_free(&body);
    strbuf_free(&before);
    strbuf_free(&after);
    return status == 0;
}

START_TEST(test_corpus)
{
    size_t passed[2] = {0};
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct strbuf bytes = STRBUF_INIT, text = STRBUF_INIT;
        struct err err;
        ck_assert_msg(file_read(files.gl_pathv[i], 1024 * 1024, false, &bytes, &err) == 0, "%s", err.text);
        for (int harder = 0; harder < 2; harder++) {
            strbuf_reset(&text);
            take_lines(&text, strbuf_slice(&bytes), harder);
            passed[harder] += judge(files.gl_pathv[i], strbuf_slice(&text));
        }
        strbuf_free(&bytes);
        strbuf_free(&text);
    }
    printf("%zu messages: %zu pass as they are, %zu with more in them\n", files.gl_pathc, passed[0], passed[1]);
    ck_assert_uint_ge(files.gl_pathc, 47);
    /* refused: headers that are none, then also long lines in what is sealed */
    ck_assert_uint_ge(passed[0], 43);
    ck_assert_uint_ge(passed[1], 39);
}
END_TEST

int main(void)
{
    const char *corpora = getenv("SENDAS_CORPORA");
    char pattern[4096];
    snprintf(pattern, sizeof(pattern), "%s/mime/python-email/msg_*.txt",
             corpora == NULL ? "../shared/corpora" : corpora);
    if (glob(pattern, 0, NULL, &files) != 0) {
        printf("no corpora: %s\n", pattern);
        return 77;
    }
    Suite *suite = suite_create("corpus");
    TCase *tc = tcase_create("corpus");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_corpus);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    globfree(&files);
    return failed == 0 ? 0 : 1;
}
