/* Mailbox lists and address lists: what real clients write is read, what two readers may read differently is refused.
 */
#include "testing.h"

#include "sendas/message.h"

static struct arena arena;

static void setup(void)
{
    arena = ARENA_INIT(4 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(&arena);
}

/* How a list reads: "display|local|domain" a mailbox, joined by " ; ". */
static void describe(struct strbuf *out, const struct mailbox_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        strbuf_add_str(out, i == 0 ? "" : " ; ");
        strbuf_add_slice(out, list->v[i].display);
        strbuf_add_char(out, '|');
        strbuf_add_slice(out, list->v[i].local);
        strbuf_add_char(out, list->v[i].literal ? '!' : '|');
        strbuf_add_slice(out, list->v[i].domain);
    }
}

#define L16 "abcdefghijklmnop"
#define L64 L16 L16 L16 L16
#define D62 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"

static const struct {
    const char *value;
    const char *reads;
} accepted_rows[] = {
    /* as clients write From: Gmail, Thunderbird, K-9, Apple Mail, Outlook, mutt, swaks, smtplib, git */
    {" me@example.com", "|me|example.com"},
    {" <me@example.com>", "|me|example.com"},
    {" Ann Example <me@example.com>", "Ann Example|me|example.com"},
    {" \"Ann Example\" <me@example.com>", "\"Ann Example\"|me|example.com"},
    {" \"me@example.com\" <me@example.com>", "\"me@example.com\"|me|example.com"},
    {" \"'ann@b.example' via team\" <team@example.com>", "\"'ann@b.example' via team\"|team|example.com"},
    {" \"Example, Ann\" <me@example.com>", "\"Example, Ann\"|me|example.com"},
    {" \"Ann \\\"Bee\\\" Example\" <me@example.com>", "\"Ann \\\"Bee\\\" Example\"|me|example.com"},
    {" John Q. Public <me@example.com>", "John Q. Public|me|example.com"},
    {" J.R.R. Tolkien <me@example.com>", "J.R.R. Tolkien|me|example.com"},
    {" Dr. med. Ann O'Hara-Bee <me@example.com>", "Dr. med. Ann O'Hara-Bee|me|example.com"},
    {" =?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <me@example.com>", "=?UTF-8?Q?J=C3=B6rg_M=C3=BCller?=|me|example.com"},
    {" =?UTF-8?B?SsO2cmcgTcO8bGxlcg==?= <me@example.com>", "=?UTF-8?B?SsO2cmcgTcO8bGxlcg==?=|me|example.com"},
    {" =?UTF-8?Q?a?=\r\n =?UTF-8?Q?b?= <me@example.com>", "=?UTF-8?Q?a?=\r\n =?UTF-8?Q?b?=|me|example.com"},
    {" =?utf-8?q?ann=40example=2Ecom?= <me@example.com>", "=?utf-8?q?ann=40example=2Ecom?=|me|example.com"},
    {" =?ISO-2022-JP?B?GyRCPDwlQBsoQg==?= <me@example.com>", "=?ISO-2022-JP?B?GyRCPDwlQBsoQg==?=|me|example.com"},
    {" \"=?UTF-8?B?w7Y=?=\" <me@example.com>", "\"=?UTF-8?B?w7Y=?=\"|me|example.com"},
    {" J\xc3\xb6rg M\xc3\xbcller <me@example.com>", "J\xc3\xb6rg M\xc3\xbcller|me|example.com"},
    {" \"\xe5\xb1\xb1\xe7\x94\xb0\" <me@example.com>", "\"\xe5\xb1\xb1\xe7\x94\xb0\"|me|example.com"},
    {"Ann<me@example.com>", "Ann|me|example.com"},
    {"\r\n \"A very long name\"\r\n\t<me@example.com>", "\"A very long name\"|me|example.com"},
    {" me@example.com (Ann Example)", "|me|example.com"},
    {" me@example.com (Ann (\"Bee\") Example) \t", "|me|example.com"},
    {" (work) me@example.com", "|me|example.com"},
    {" Ann (work) <me@example.com> (x)", "Ann (work)|me|example.com"},
    {" (a\\)b\\(c) me@example.com", "|me|example.com"},
    {" Tom \"<3\" <me@example.com>", "Tom \"<3\"|me|example.com"},
    {" \"\" <me@example.com>", "\"\"|me|example.com"},
    {" \"C:\\\\x\" <me@example.com>", "\"C:\\\\x\"|me|example.com"},
    /* lists */
    {" a@x, b@y", "|a|x ; |b|y"},
    {" a@x, <b@y>", "|a|x ; |b|y"},
    {" \"A, B\" <a@x>,\r\n C <b@y>", "\"A, B\"|a|x ; C|b|y"},
    {"a@x(c),b@y", "|a|x ; |b|y"},
    /* addresses */
    {"ann+tag=x/y!z#$%&'*-^_`{|}~?@x", "|ann+tag=x/y!z#$%&'*-^_`{|}~?|x"},
    {"a=?b@x", "|a=?b|x"}, /* no encoded word: it does not end */
    {"a.b.c@d.e.f", "|a.b.c|d.e.f"},
    {"\"a b\"@x", "|a b|x"},
    {"<\"a\\\"b\\\\c\"@x>", "|a\"b\\c|x"},
    {"\"a..b.\"@x", "|a..b.|x"},
    {"\"ab\"@x", "|ab|x"},
    {"a@[192.0.2.1]", "|a![192.0.2.1]"},
    {"a@[IPv6:2001:db8::1]", "|a![IPv6:2001:db8::1]"},
    {"\xc3\xb6@\xc3\xb6.example", "|\xc3\xb6|\xc3\xb6.example"},
    {"\"\xc3\xb6 \"@x", "|\xc3\xb6 |x"},
    {"a@xn--nda.example", "|a|xn--nda.example"},
    {"a@x_y.example", "|a|x_y.example"},
    {"a@0.1-2", "|a|0.1-2"},
    {L64 "@x", "|" L64 "|x"},
    {"a@" D62 "0." D62 "0", "|a|" D62 "0." D62 "0"},
    {"((((((((deep)))))))) a@x", "|a|x"},
};

START_TEST(test_accepted)
{
    struct mailbox_list list;
    struct err err = {0};
    struct strbuf reads = STRBUF_INIT;
    int rc = mailbox_list_parse(&arena, slice_of(accepted_rows[_i].value), 0, &list, &err);
    ck_assert_msg(rc == 0, "row %s: %s", accepted_rows[_i].value, err.text);
    describe(&reads, &list);
    ck_assert_str_eq(strbuf_str(&reads), accepted_rows[_i].reads);
    strbuf_free(&reads);
}
END_TEST

static const char empty_member[] = "an empty address or list member";
static const char behind[] = "text behind an address";
static const char bad_local[] = "a malformed local part";
static const char bad_domain[] = "a malformed domain";
static const char bad_literal[] = "a malformed domain literal";
static const char no_address[] = "text without an address";
static const char loose_at[] =
    "an unquoted '@' in a display name, or white space or a comment beside the '@' of an address";
static const char quotes[] = "a character in a display name that needs quotes";
static const char no_closing[] = "an address that '>' does not follow";
static const char fold[] = "a CR or LF that does not fold the line";
static const char control[] = "a control octet";
static const char comment_address[] = "a comment that a reader may take for an address";
static const char display_address[] = "a display name that a reader may take for an address";
static const char decoded_address[] = "a display name that decodes to what a reader may take for an address";
static const char bad_word[] = "a display name with a malformed encoded word";
static const char word_in_address[] = "an encoded word in an address";
static const char local_quotes[] = "a quoted local part that readers take apart differently";

static const struct {
    struct slice value;
    const char *reason;
} refused_rows[] = {
    {SLICE(""), empty_member},
    {SLICE(" "), empty_member},
    {SLICE("\r\n \r\n "), "a folded line of white space only"},
    {SLICE("(only a comment)"), empty_member},
    {SLICE(","), empty_member},
    {SLICE("a@x,"), empty_member},
    {SLICE(",a@x"), empty_member},
    {SLICE("a@x,,b@y"), empty_member},
    {SLICE("a@x, (none) ,b@y"), empty_member},
    {SLICE(";"), empty_member},
    {SLICE("<>"), bad_local},
    {SLICE("<@x>"), "a route in an address"},
    {SLICE("@x"), "an empty local part"},
    {SLICE("a"), no_address},
    {SLICE("Ann Example"), no_address},
    {SLICE("Ann, b@y"), no_address},
    {SLICE("a@"), bad_domain},
    /* two addresses where one should be: which one a reader takes is its own choice */
    {SLICE("<a@x> <b@y>"), behind},
    {SLICE("<a@x>b@y"), behind},
    {SLICE("<a@x> text"), behind},
    {SLICE("<a@x>>"), behind},
    {SLICE("<<a@x>>"), bad_local},
    {SLICE("<<a@x>,b@y>"), bad_local},
    {SLICE("a@x <b@y>"), behind},
    {SLICE("a@x b@y"), behind},
    {SLICE("a@x;b@y"), behind},
    {SLICE("a@x@y"), behind},
    {SLICE("a@x\"<b@y>"), behind},
    {SLICE("<a@x@y>"), no_closing},
    {SLICE("<a@x,b@y>"), no_closing},
    {SLICE("<a@x"), no_closing},
    {SLICE("Ann <a@x"), no_closing},
    {SLICE("Ann <a@x, b@y>"), no_closing},
    {SLICE("a@x>"), behind},
    {SLICE("Ann Example> <a@x>"), quotes},
    {SLICE("Ann a@x <b@y>"), loose_at},
    {SLICE("Ann a@x"), loose_at},
    {SLICE("<@a,@b:c@d>"), "a route in an address"},
    {SLICE("Ann <@a:c@d>"), "a route in an address"},
    {SLICE("<a@x>\\, <b@y>"), behind},
    {SLICE("a\\@x, <b@y>"), quotes},
    {SLICE("a\\@x@y"), quotes},
    {SLICE("<a\\@x@y>"), "an address without '@'"},
    /* encoded words */
    {SLICE("=?utf-8?q?a?=@x"), word_in_address},
    {SLICE("<=?utf-8?q?a?=@x>"), word_in_address},
    {SLICE("a@=?utf-8?q?x?="), bad_domain},
    {SLICE("\"=?utf-8?q?a?=\"@x"), word_in_address},
    {SLICE("=?utf-8?b?cG90dXNAd2hpdGVob3VzZS5nb3Y=?==?utf-8?Q?=00?=@x"), word_in_address},
    {SLICE("=?utf-8?q?a=40x?="), no_address},
    {SLICE("=?utf-8?B?PGFAeD4=?=, <b@y>"), decoded_address},
    {SLICE("=?utf-8?B?PGFAeD4=?= <b@y>"), decoded_address},
    {SLICE("=?utf-8?q?=3Ca=40x=3E?= <b@y>"), decoded_address},
    {SLICE("=?utf-8?q?=3Ca?= =?utf-8?q?=40x=3E?= <b@y>"), decoded_address},
    {SLICE("\"=?utf-8?q?=3Ca=40x=3E?=\" <b@y>"), decoded_address},
    {SLICE("=?utf-8?q?=3Ca?= \"@x\" <b@y>"), decoded_address},
    {SLICE("=?utf-8?q?a=00b?= <b@y>"), bad_word},
    {SLICE("=?utf-8?q?a=0D=0AFrom:_x?= <b@y>"), bad_word},
    {SLICE("=?utf-8?b?YQBi?= <b@y>"), bad_word},
    {SLICE("=?utf-8?b?YQ?= <b@y>"), bad_word},
    {SLICE("=?utf-8?q?a=4?= <b@y>"), bad_word},
    {SLICE("=?utf-8?q?a=zz?= <b@y>"), bad_word},
    {SLICE("=?utf-8?q?a <b@y>"), bad_word},
    {SLICE("=?utf-8?q?a?b?= <b@y>"), bad_word},
    /* comments and display names that look like addresses */
    {SLICE("(<a@x>) b@y"), comment_address},
    {SLICE("(a@x) b@y"), comment_address},
    {SLICE("b@y (a\\@x)"), comment_address},
    {SLICE("<b@y> (a@x)"), comment_address},
    {SLICE("b@y (<)"), comment_address},
    {SLICE("\"<a@x>\" <b@y>"), display_address},
    {SLICE("\"Ann <a@x>\" <b@y>"), display_address},
    {SLICE("\"a\\\"@x\" <b@y>"), display_address},
    {SLICE("\"<a\" \"@x>\" <b@y>"), display_address},
    /* white space and comments inside an address */
    {SLICE("a @x"), loose_at},
    {SLICE("a@ x"), bad_domain},
    {SLICE("a@x .y"), behind},
    {SLICE("a. b@x"), loose_at},
    {SLICE("a(c)@x"), loose_at},
    {SLICE("a@(c)x"), bad_domain},
    {SLICE("< a@x>"), bad_local},
    {SLICE("<a@x >"), no_closing},
    {SLICE("<(c)a@x>"), bad_local},
    {SLICE("<a@x(c)>"), no_closing},
    {SLICE("<a@x\r\n >"), no_closing},
    {SLICE("\"a\" .b@x"), loose_at},
    {SLICE("\"a\".b@x"), loose_at},
    {SLICE("a.\"b\"@x"), loose_at},
    /* malformed parts */
    {SLICE(".a@x"), bad_local},
    {SLICE("a.@x"), bad_local},
    {SLICE("a..b@x"), bad_local},
    {SLICE("\"\"@x"), "an empty local part"},
    {SLICE("\"a@y\"@x"), local_quotes},
    {SLICE("\"a>\"@x"), local_quotes},
    {SLICE("\"a\tb\"@x"), local_quotes},
    {SLICE("\"a\r\n b\"@x"), local_quotes},
    {SLICE("\"a@x"), "a quoted string that does not end"},
    {SLICE("\"a\\"), "a backslash before what needs no quoting"},
    {SLICE("\"a\" \"b <a@x>"), "a quoted string that does not end"},
    {SLICE("\"a\\\r\n b\" <a@x>"), "a backslash before what needs no quoting"},
    {SLICE("\"a\\\xc3\xb6\"@x"), "a backslash before what needs no quoting"},
    {SLICE("(a b <c"), comment_address},
    {SLICE("(a b"), "a comment that does not end"},
    {SLICE("b@y (a"), "a comment that does not end"},
    {SLICE("b@y )"), behind},
    {SLICE("b@y (a\\)"), "a comment that does not end"},
    {SLICE("(((((((((deep))))))))) a@x"), "comments nested too deeply"},
    {SLICE("a@.x"), bad_domain},
    {SLICE("a@x."), bad_domain},
    {SLICE("a@x..y"), bad_domain},
    {SLICE("a@-x"), "a domain label that begins or ends with '-'"},
    {SLICE("a@x-.y"), "a domain label that begins or ends with '-'"},
    {SLICE("a@x!y"), behind},
    {SLICE("a@x\xe3\x80\x82y"), "a domain with a dot that is none"},
    {SLICE("a@\xef\xbc\x8ex"), "a domain with a dot that is none"},
    {SLICE("a@x\xef\xbd\xa1"), "a domain with a dot that is none"},
    {SLICE("a@[]"), bad_literal},
    {SLICE("a@[1"), bad_literal},
    {SLICE("a@[1 2]"), bad_literal},
    {SLICE("a@[1@2]"), bad_literal},
    {SLICE("a@[\\1]"), bad_literal},
    {SLICE("a@[1]x"), behind},
    {SLICE(L64 "q@x"), "a local part of more than 64 octets"},
    {SLICE("\"" L16 L16 L16 L16 " \"@x"), "a local part of more than 64 octets"},
    {SLICE("a@" D62 "01"), "a domain label of more than 63 octets"},
    {SLICE("a@" D62 "." D62 "." D62 "." D62 "abc.d"), "a domain label of more than 63 octets"},
    {SLICE("a@" D62 "." D62 "." D62 "." D62 "a.d"), "a domain of more than 253 octets"},
    {SLICE("abc@" D62 "." D62 "." D62 "." D62), "an address of more than 254 octets"},
    /* octets */
    {SLICE("caf\xe9 <a@x>"), "8-bit text that is not UTF-8"},
    {SLICE("\"caf\xe9\" <a@x>"), "8-bit text that is not UTF-8"},
    {SLICE("\xc0\xbc"
           "a@x> <b@y>"),
     "8-bit text that is not UTF-8"},
    {SLICE("\xed\xa0\x80 <b@y>"), "8-bit text that is not UTF-8"},
    {SLICE("a\xc2\x85 <b@y>"), "a control character"},
    {SLICE("a\0@x"), control},
    {SLICE("<a@x>\0<b@y>"), control},
    {SLICE("\"a\x01\" <a@x>"), control},
    {SLICE("\"a\x7f\" <a@x>"), control},
    {SLICE("(\x1b) a@x"), control},
    {SLICE("a@x\r\n"), fold},
    {SLICE("a@x\rb"), fold},
    {SLICE("a@x\n b"), fold},
    {SLICE("a@x\r"), fold},
    {SLICE("a@x\r\nb@y"), fold},
    {SLICE("a@x\r\n  "), "a folded line of white space only"},
    {SLICE("a@x,\r\n \r\n b@y"), "a folded line of white space only"},
    /* other specials of RFC 5322 in a display name */
    {SLICE(".Ann <a@x>"), "a display name that begins with a dot"},
    {SLICE("[Ann] <a@x>"), "a character that begins no address"},
    {SLICE("Ann; <a@x>"), quotes},
    {SLICE(":a@x"), "a character that begins no address"},
    {SLICE("> a@x"), "a character that begins no address"},
    {SLICE("Ann\\ Bee <a@x>"), quotes},
    {SLICE("Ann) <a@x>"), quotes},
    /* groups, where none are allowed */
    {SLICE("Team: a@x;"), "a group"},
    {SLICE("undisclosed-recipients:;"), "a group"},
    {SLICE("mailto:a@x"), "a group"},
};

START_TEST(test_refused)
{
    struct mailbox_list list;
    struct err err = {0};
    int rc = mailbox_list_parse(&arena, refused_rows[_i].value, 0, &list, &err);
    ck_assert_msg(rc == -1, "row %.*s is accepted", SLICE_ARG(refused_rows[_i].value));
    ck_assert_msg(strcmp(err.text, refused_rows[_i].reason) == 0, "row %.*s: %s", SLICE_ARG(refused_rows[_i].value),
                  err.text);
}
END_TEST

/* reads NULL: refused */
static const struct {
    const char *value;
    unsigned flags;
    const char *reads;
} flag_rows[] = {
    {"a@x", ADDRESS_ONE, "|a|x"},
    {"a@x, b@y", ADDRESS_ONE, NULL},
    {"Team: a@x;", ADDRESS_ONE, NULL},
    {"Team:;", ADDRESS_ONE | ADDRESS_GROUPS, NULL},
    {"Team: a@x;", ADDRESS_GROUPS, "|a|x"},
    {"undisclosed-recipients:;", ADDRESS_GROUPS, ""},
    {"Undisclosed recipients: (none) ;", ADDRESS_GROUPS, ""},
    {"\"The Team\": A <a@x>, b@y; (x), c@z", ADDRESS_GROUPS, "A|a|x ; |b|y ; |c|z"},
    {"c@z, Team: a@x;", ADDRESS_GROUPS, "|c|z ; |a|x"},
    {"Team: a@x", ADDRESS_GROUPS, NULL},
    {"Team: a@x,;", ADDRESS_GROUPS, NULL},
    {"Team: Inner: a@x;;", ADDRESS_GROUPS, NULL},
    {"Team: a@x; b@y", ADDRESS_GROUPS, NULL},
    {": a@x;", ADDRESS_GROUPS, NULL},
    {"Team:;;", ADDRESS_GROUPS, NULL},
};

START_TEST(test_flags)
{
    struct mailbox_list list;
    struct strbuf reads = STRBUF_INIT;
    int rc = mailbox_list_parse(&arena, slice_of(flag_rows[_i].value), flag_rows[_i].flags, &list, NULL);
    ck_assert_msg(rc == (flag_rows[_i].reads == NULL ? -1 : 0), "row %s: %d", flag_rows[_i].value, rc);
    if (rc == 0) {
        describe(&reads, &list);
        ck_assert_str_eq(strbuf_str(&reads), flag_rows[_i].reads);
    }
    strbuf_free(&reads);
}
END_TEST

START_TEST(test_bound)
{
    struct strbuf value = STRBUF_INIT;
    struct mailbox_list list;
    struct err err;
    for (int i = 0; i < MESSAGE_ADDRESSES_MAX; i++)
        strbuf_add_str(&value, i == 0 ? "a@x" : ",a@x");
    ck_assert_int_eq(mailbox_list_parse(&arena, strbuf_slice(&value), 0, &list, &err), 0);
    ck_assert_uint_eq(list.n, MESSAGE_ADDRESSES_MAX);
    strbuf_add_str(&value, ",a@x");
    ck_assert_int_eq(mailbox_list_parse(&arena, strbuf_slice(&value), 0, &list, &err), -1);
    ck_assert_str_eq(err.text, "too many addresses");
    strbuf_free(&value);
}
END_TEST

START_TEST(test_no_memory)
{
    struct mailbox_list list;
    struct err err;
    struct arena small = ARENA_INIT(1);
    ck_assert_int_eq(mailbox_list_parse(&small, SLICE("a@x"), 0, &list, &err), MESSAGE_NO_MEMORY);
    arena_free(&small);
    small = ARENA_INIT(sizeof(struct mailbox) + 16); /* enough for the list, not for the local part decoded */
    ck_assert_int_eq(
        mailbox_list_parse(&small, SLICE("\"a\\\"0123456789012345678901234567890123456789\"@x"), 0, &list, &err),
        MESSAGE_NO_MEMORY);
    ck_assert_str_eq(err.text, "out of memory");
    arena_free(&small);
}
END_TEST

static const struct {
    struct slice local;
    const char *path;
} format_rows[] = {
    {SLICE("a"), "a@x"},           {SLICE("a.b"), "a.b@x"},     {SLICE("\xc3\xb6"), "\xc3\xb6@x"},
    {SLICE(""), "\"\"@x"},         {SLICE(".a"), "\".a\"@x"},   {SLICE("a."), "\"a.\"@x"},
    {SLICE("a..b"), "\"a..b\"@x"}, {SLICE("a b"), "\"a b\"@x"}, {SLICE("a\"b\\c"), "\"a\\\"b\\\\c\"@x"},
    {SLICE("a@b"), "\"a@b\"@x"},   {SLICE("a(b"), "\"a(b\"@x"},
};

START_TEST(test_format)
{
    struct strbuf out = STRBUF_INIT;
    mailbox_format(&out, format_rows[_i].local, SLICE("x"));
    ck_assert_str_eq(strbuf_str(&out), format_rows[_i].path);
    strbuf_free(&out);
}
END_TEST

static Suite *address_suite(void)
{
    Suite *s = suite_create("message/address");
    TCase *tc = tcase_create("address");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_accepted, 0, ARRAY_LEN(accepted_rows));
    tcase_add_loop_test(tc, test_refused, 0, ARRAY_LEN(refused_rows));
    tcase_add_loop_test(tc, test_flags, 0, ARRAY_LEN(flag_rows));
    tcase_add_test(tc, test_bound);
    tcase_add_test(tc, test_no_memory);
    tcase_add_loop_test(tc, test_format, 0, ARRAY_LEN(format_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(address_suite)
