/* The addresses of isemail, a collection that others made: what it calls an error neither parser of ours takes for an
 * address, what it calls valid both take.  Its file is not part of this repository. */
#include "testing.h"

#include "sendas/message.h"
#include "sendas/smtp.h"

static struct strbuf xml;

/* The text between <tag> and </tag>; empty when there is none. */
static struct slice element(struct slice s, const char *tag)
{
    char open[32], close[32];
    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    struct slice inner = slice_skip(s, slice_find_slice(s, slice_of(open)) + strlen(open));
    return slice_sub(inner, 0, slice_find_slice(inner, slice_of(close)));
}

static void add_code_point(struct strbuf *out, unsigned long code)
{
    if (code >= 0x2400 && code < 0x2420)
        code -= 0x2400; /* the file writes control characters as their symbols */
    if (code < 0x80) {
        strbuf_add_char(out, (char)code);
    } else if (code < 0x800) {
        strbuf_add_char(out, (char)(0xc0 | code >> 6));
        strbuf_add_char(out, (char)(0x80 | (code & 0x3f)));
    } else {
        strbuf_add_char(out, (char)(0xe0 | code >> 12));
        strbuf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
        strbuf_add_char(out, (char)(0x80 | (code & 0x3f)));
    }
}

static void unescape(struct strbuf *out, struct slice text)
{
    static const struct {
        struct slice name;
        char ch;
    } entities[] = {{SLICE("&lt;"), '<'}, {SLICE("&gt;"), '>'}, {SLICE("&amp;"), '&'}, {SLICE("&quot;"), '"'}};
    while (text.n > 0) {
        size_t used = 0;
        for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
            if (slice_starts(text, entities[i].name)) {
                strbuf_add_char(out, entities[i].ch);
                used = entities[i].name.n;
            }
        }
        if (used == 0 && slice_starts(text, SLICE("&#"))) {
            char *end;
            const char *digits = text.p + 2;
            add_code_point(out, *digits == 'x' ? strtoul(digits + 1, &end, 16) : strtoul(digits, &end, 10));
            used = (size_t)(end - text.p) + 1;
        }
        if (used == 0) {
            strbuf_add_char(out, text.p[0]);
            used = 1;
        }
        text = slice_skip(text, used);
    }
}

static bool is_mailbox_list(struct slice address)
{
    struct arena a = ARENA_INIT(0);
    struct mailbox_list list;
    bool ok = mailbox_list_parse(&a, address, ADDRESS_ONE, &list, NULL) == 0;
    arena_free(&a);
    return ok;
}

START_TEST(test_isemail)
{
    unsigned errors = 0, valid = 0;
    struct slice rest = strbuf_slice(&xml);
    for (rest = slice_skip(rest, slice_find_slice(rest, SLICE("<test id="))); rest.n > 0;
         rest = slice_skip(rest, 1 + slice_find_slice(slice_skip(rest, 1), SLICE("<test id=")))) {
        struct slice test = slice_sub(rest, 0, slice_find_slice(rest, SLICE("</test>")));
        struct slice category = element(test, "category");
        struct strbuf address = STRBUF_INIT;
        struct smtp_mailbox mailbox;
        unescape(&address, element(test, "address"));
        bool smtp = smtp_mailbox_parse(strbuf_slice(&address), &mailbox, NULL) == 0;
        bool list = is_mailbox_list(strbuf_slice(&address));
        bool is_error = slice_eq(category, SLICE("ISEMAIL_ERR"));
        /* DNSWARN: the address is fine, only its domain had no record */
        bool is_valid =
            slice_eq(category, SLICE("ISEMAIL_VALID_CATEGORY")) || slice_eq(category, SLICE("ISEMAIL_DNSWARN"));
        ck_assert_msg(!is_error || (!smtp && !list), "accepted (smtp %d, message %d): %s", smtp, list,
                      strbuf_str(&address));
        ck_assert_msg(!is_valid || (smtp && list), "refused (smtp %d, message %d): %s", smtp, list,
                      strbuf_str(&address));
        errors += is_error;
        valid += is_valid;
        strbuf_free(&address);
    }
    printf("%u addresses refused, %u accepted\n", errors, valid);
    ck_assert_uint_ge(errors, 60);
    ck_assert_uint_ge(valid, 20);
}
END_TEST

static Suite *isemail_suite(void)
{
    Suite *s = suite_create("message/isemail");
    TCase *tc = tcase_create("isemail");
    tcase_add_test(tc, test_isemail);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    const char *corpora = getenv("SENDAS_CORPORA");
    char path[4096];
    snprintf(path, sizeof(path), "%s/address/isemail-tests.xml", corpora == NULL ? "../shared/corpora" : corpora);
    if (file_read(path, 1024 * 1024, false, &xml, NULL) < 0) {
        printf("skipped: no %s\n", path);
        return 77;
    }
    SRunner *runner = srunner_create(isemail_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    strbuf_free(&xml);
    return failed == 0 ? 0 : 1;
}
