/* Whole client sessions as text: tests/delivery/dialogs/NAME.smtp, each run twice, with what the server sends in one
 * piece and octet by octet.
 *
 *   O: option ...     tls_required, tls_disabled, user=U password=P, whole (only in one piece), bytes (only octet by
 * octet) M: word ...       the message: from=A to=A ... size=N eightbit smtputf8 envid=X ret=full|hdrs orcpt=X notify=N
 * (of the last to=) S: text           the server sends a line; \r \n \0 \xHH are escapes, {text*N} repeats; lines that
 * stand together arrive together R: text           the same without a line end A: action         connected, tls
 * VERSION, tls-failed REASON, send, content TEXT, last TEXT, unreadable, quit, lost REASON T: +N             so many
 * seconds pass; a deadline that was reached fires C: text           we must have sent this line; a '*' at the end
 * matches any rest E: event          ready, start_tls, close, want, finished, failed CODE ENHANCED TEXT, result I CODE
 * ENHANCED TEXT
 *
 * Nothing else may come out than what C: and E: say, in their order. */
#include "testing.h"

#include "sendas/delivery.h"

#include <dirent.h>

enum { OUT_MAX = 400, RECIPIENTS_MAX = 10, NAMES_MAX = 200 };

static char *names[NAMES_MAX];
static int n_names;

struct run {
    const char *name;
    unsigned line;
    bool bytewise;
    struct delivery_session *session;
    struct strbuf wire; /* sent, not yet cut into lines */
    char *out[OUT_MAX]; /* what came out and was not yet expected */
    size_t n_out, next;
    struct strbuf feed; /* what the server sends together */
    struct strbuf left; /* what the session left unconsumed */
    int64_t now_ms;
    struct delivery_session_config cfg;
    struct delivery_message message;
    struct queue_item_recipient recipients[RECIPIENTS_MAX];
    bool closed;
    struct arena mem;
};

static void emit(struct run *r, const char *format, ...) PRINTF_LIKE(2, 3);
static void emit(struct run *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ck_assert_msg(r->n_out < OUT_MAX, "%s:%u: too much comes out", r->name, r->line);
    ck_assert_int_ge(vasprintf(&r->out[r->n_out++], format, args), 0);
    va_end(args);
}

static void op_send(void *ctx, struct slice bytes)
{
    struct run *r = ctx;
    ck_assert_msg(!r->closed, "%s:%u: sent after close", r->name, r->line);
    strbuf_add_slice(&r->wire, bytes);
    for (;;) {
        struct slice all = strbuf_slice(&r->wire);
        size_t n = slice_find_slice(all, SLICE("\r\n"));
        if (n == all.n)
            return;
        emit(r, "C: %.*s", (int)n, all.p);
        memmove(r->wire.p, r->wire.p + n + 2, r->wire.n - n - 2);
        strbuf_truncate(&r->wire, r->wire.n - n - 2);
    }
}

static void op_start_tls(void *ctx)
{
    emit(ctx, "E: start_tls");
}

static void op_close(void *ctx)
{
    struct run *r = ctx;
    ck_assert_msg(!r->closed, "%s:%u: closed twice", r->name, r->line);
    r->closed = true;
    emit(r, "E: close");
}

static void op_ready(void *ctx)
{
    emit(ctx, "E: ready");
}

static void op_failed(void *ctx, const struct smtp_verdict *v)
{
    emit(ctx, "E: failed %d %s %s", v->code, v->enhanced, v->text);
}

static void op_want(void *ctx)
{
    emit(ctx, "E: want");
}

static void op_result(void *ctx, size_t i, const struct smtp_verdict *v)
{
    emit(ctx, "E: result %zu %d %s %s", i, v->code, v->enhanced, v->text);
}

static void op_finished(void *ctx)
{
    emit(ctx, "E: finished");
}

static const struct delivery_session_ops ops = {op_send,   op_start_tls, op_close,  op_ready,
                                                op_failed, op_want,      op_result, op_finished};

/* ---- the text -------------------------------------------------------------------------------- */

static void unescape_into(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        size_t star = slice_find(slice_skip(s, i), '*'), close = slice_find(slice_skip(s, i), '}');
        if (s.p[i] == '{' && star < close && i + close < s.n) {
            unsigned long times = strtoul(s.p + i + star + 1, NULL, 10);
            for (unsigned long k = 0; k < times; k++)
                unescape_into(out, slice_sub(s, i + 1, star - 1));
            i += close;
        } else if (s.p[i] == '\\' && i + 1 < s.n) {
            char c = s.p[++i];
            if (c == 'x' && i + 2 < s.n) {
                char hex[3] = {s.p[i + 1], s.p[i + 2], 0};
                strbuf_add_char(out, (char)strtoul(hex, NULL, 16));
                i += 2;
            } else {
                strbuf_add_char(out, c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c);
            }
        } else {
            strbuf_add_char(out, s.p[i]);
        }
    }
}

static bool matches(const char *want, const char *got)
{
    size_t n = strlen(want);
    if (n > 0 && want[n - 1] == '*')
        return strncmp(want, got, n - 1) == 0;
    return strcmp(want, got) == 0;
}

static void expect(struct run *r, const char *want)
{
    ck_assert_msg(r->next < r->n_out, "%s:%u: want \"%s\", nothing came out", r->name, r->line, want);
    const char *got = r->out[r->next++];
    ck_assert_msg(matches(want, got), "%s:%u%s: got \"%s\", want \"%s\"", r->name, r->line,
                  r->bytewise ? " (octets)" : "", got, want);
}

static void expect_nothing(struct run *r)
{
    ck_assert_msg(r->next == r->n_out, "%s:%u: \"%s\" came out unexpected", r->name, r->line,
                  r->next < r->n_out ? r->out[r->next] : "");
}

static void feed(struct run *r, struct slice bytes)
{
    strbuf_add_slice(&r->left, bytes);
    size_t used = delivery_session_feed(r->session, strbuf_slice(&r->left), r->now_ms);
    ck_assert_uint_le(used, r->left.n);
    memmove(r->left.p, r->left.p + used, r->left.n - used);
    strbuf_truncate(&r->left, r->left.n - used);
    ck_assert_uint_le(r->left.n, SMTP_REPLY_LINE_MAX);
}

static void flush(struct run *r)
{
    struct slice all = strbuf_slice(&r->feed);
    for (size_t i = 0; r->bytewise && i < all.n && !r->closed; i++)
        feed(r, slice_sub(all, i, 1));
    if (!r->bytewise && all.n > 0)
        feed(r, all);
    strbuf_reset(&r->feed);
}

static void option(struct run *r, struct slice word)
{
    struct slice key, value = slice_cut(word, '=', &key);
    r->cfg.tls_required |= slice_eq(key, SLICE("tls_required"));
    r->cfg.tls_disabled |= slice_eq(key, SLICE("tls_disabled"));
    if (slice_eq(key, SLICE("user")))
        r->cfg.user = arena_strdup(&r->mem, value);
    if (slice_eq(key, SLICE("password")))
        r->cfg.password = arena_strdup(&r->mem, value);
}

static void message_word(struct run *r, struct slice word)
{
    struct slice key, raw = slice_cut(word, '=', &key);
    struct strbuf unescaped = STRBUF_INIT;
    unescape_into(&unescaped, raw);
    char *value = arena_strdup(&r->mem, strbuf_slice(&unescaped));
    strbuf_free(&unescaped);
    struct delivery_message *m = &r->message;
    struct queue_item_recipient *last = m->n_recipients > 0 ? &r->recipients[m->n_recipients - 1] : NULL;
    if (slice_eq(key, SLICE("from")))
        m->sender = value;
    else if (slice_eq(key, SLICE("to")))
        r->recipients[m->n_recipients++] =
            (struct queue_item_recipient){.address = value, .orcpt = arena_strdup(&r->mem, SLICE(""))};
    else if (slice_eq(key, SLICE("size")))
        m->size = strtoull(value, NULL, 10);
    else if (slice_eq(key, SLICE("eightbit")))
        m->eightbit = true;
    else if (slice_eq(key, SLICE("smtputf8")))
        m->smtputf8 = true;
    else if (slice_eq(key, SLICE("envid")))
        m->envid = value;
    else if (slice_eq(key, SLICE("ret")))
        m->ret = strcmp(value, "full") == 0 ? SMTP_RET_FULL : SMTP_RET_HDRS;
    else if (slice_eq(key, SLICE("orcpt")))
        last->orcpt = value;
    else if (slice_eq(key, SLICE("notify")))
        last->notify = (unsigned)strtoul(value, NULL, 10);
    else
        ck_abort_msg("%s:%u: what is %.*s?", r->name, r->line, SLICE_ARG(word));
}

static void words(struct run *r, struct slice text, void (*each)(struct run *, struct slice))
{
    while (text.n > 0) {
        struct slice word;
        text = slice_cut(text, ' ', &word);
        if (word.n > 0)
            each(r, word);
    }
}

static void content(struct run *r, struct slice text, bool last)
{
    struct strbuf bytes = STRBUF_INIT;
    unescape_into(&bytes, text);
    delivery_session_content(r->session, strbuf_slice(&bytes), last, false, r->now_ms);
    strbuf_free(&bytes);
}

static void act(struct run *r, struct slice text)
{
    struct slice verb, rest = slice_cut(text, ' ', &verb);
    char *arg = arena_strdup(&r->mem, rest);
    if (slice_eq(verb, SLICE("connected")))
        delivery_session_connected(r->session, r->now_ms);
    else if (slice_eq(verb, SLICE("tls")))
        delivery_session_tls_done(r->session, true, arg, r->now_ms);
    else if (slice_eq(verb, SLICE("tls-failed")))
        delivery_session_tls_done(r->session, false, arg, r->now_ms);
    else if (slice_eq(verb, SLICE("send")))
        delivery_session_send(r->session, &r->message, r->now_ms);
    else if (slice_eq(verb, SLICE("content")) || slice_eq(verb, SLICE("last")))
        content(r, rest, slice_eq(verb, SLICE("last")));
    else if (slice_eq(verb, SLICE("unreadable")))
        delivery_session_content(r->session, SLICE(""), false, true, r->now_ms);
    else if (slice_eq(verb, SLICE("quit")))
        delivery_session_quit(r->session, r->now_ms);
    else if (slice_eq(verb, SLICE("lost")))
        delivery_session_lost(r->session, arg, r->now_ms);
    else
        ck_abort_msg("%s:%u: what is %.*s?", r->name, r->line, SLICE_ARG(text));
}

static void need_session(struct run *r)
{
    if (r->session != NULL)
        return;
    r->session = delivery_session_new(&r->cfg, &ops, r, r->now_ms);
    delivery_session_connected(r->session, r->now_ms);
}

static void one_line(struct run *r, char kind, struct slice text)
{
    bool server = kind == 'S' || kind == 'R';
    if (kind == 'O' || kind == 'M') {
        words(r, text, kind == 'O' ? option : message_word);
        return;
    }
    need_session(r);
    if (server) {
        expect_nothing(r);
        unescape_into(&r->feed, text);
        if (kind == 'S')
            strbuf_add_str(&r->feed, "\r\n");
        return;
    }
    flush(r);
    if (kind == 'C' || kind == 'E') {
        struct strbuf want = STRBUF_INIT;
        strbuf_addf(&want, "%c: ", kind);
        unescape_into(&want, text);
        expect(r, strbuf_str(&want));
        strbuf_free(&want);
        return;
    }
    expect_nothing(r);
    if (kind == 'A') {
        act(r, text);
    } else {
        ck_assert_int_eq(kind, 'T');
        r->now_ms += strtoll(text.p + 1, NULL, 10) * 1000;
        if (r->now_ms >= delivery_session_deadline(r->session))
            delivery_session_timeout(r->session, r->now_ms);
    }
}

static void run_file(const char *name, struct slice text, bool bytewise)
{
    struct run r = {.name = name, .bytewise = bytewise, .now_ms = 1000000, .mem = ARENA_INIT(1 << 20)};
    r.cfg.hostname = "mail.example.com";
    r.message = (struct delivery_message){.sender = "", .envid = "", .recipients = r.recipients, .size = 100};
    while (text.n > 0) {
        struct slice line;
        text = slice_cut(text, '\n', &line);
        r.line++;
        if (line.n < 2 || line.p[0] == '#')
            continue;
        ck_assert_msg(line.p[1] == ':', "%s:%u: not a line of a dialogue", name, r.line);
        one_line(&r, line.p[0], slice_skip(line, line.n > 2 ? 3 : 2));
    }
    flush(&r);
    expect_nothing(&r);
    ck_assert_msg(r.closed == (delivery_session_state(r.session) == DELIVERY_DONE), "%s: close and DONE go together",
                  name);
    delivery_session_free(&r.session);
    for (size_t i = 0; i < r.n_out; i++)
        free(r.out[i]);
    strbuf_free(&r.wire);
    strbuf_free(&r.feed);
    strbuf_free(&r.left);
    arena_free(&r.mem);
}

START_TEST(test_dialog)
{
    char path[512];
    struct err err;
    struct strbuf text = STRBUF_INIT;
    snprintf(path, sizeof(path), "tests/delivery/dialogs/%s", names[_i]);
    ck_assert_msg(file_read(path, 1 << 20, false, &text, &err) == 0, "%s", err.text);
    struct slice s = strbuf_slice(&text);
    if (slice_find_slice(s, SLICE("O: bytes")) == s.n)
        run_file(names[_i], s, false);
    if (slice_find_slice(s, SLICE("O: whole")) == s.n)
        run_file(names[_i], s, true);
    strbuf_free(&text);
}
END_TEST

START_TEST(test_there_are_dialogs)
{
    ck_assert_int_ge(n_names, 30);
}
END_TEST

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Suite *make_suite(void)
{
    DIR *dir = opendir("tests/delivery/dialogs");
    for (struct dirent *e; dir != NULL && n_names < NAMES_MAX && (e = readdir(dir)) != NULL;)
        if (strstr(e->d_name, ".smtp") != NULL)
            names[n_names++] = strdup(e->d_name);
    if (dir != NULL)
        closedir(dir);
    qsort(names, (size_t)n_names, sizeof(*names), by_name);
    Suite *suite = suite_create("delivery session");
    TCase *tc = tcase_create("dialogs");
    tcase_add_test(tc, test_there_are_dialogs);
    tcase_add_loop_test(tc, test_dialog, 0, n_names);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
