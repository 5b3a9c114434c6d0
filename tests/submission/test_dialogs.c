/* Whole sessions as text: tests/dialogs/README tells the format.  Each file runs with its input in the pieces it is
 * written in, octet by octet, and in random pieces: the result must be the same. */
#include "testing.h"

#include "fake.h"

#include <glob.h>

enum { MODE_WHOLE = 0, MODE_OCTETS, MODE_RANDOM, MODES = MODE_RANDOM + 6 };

static glob_t files;

struct dialog {
    const char *path;
    unsigned line;
    int mode;
    unsigned seed;
    bool opened;
    char ip[40]; /* of a client that comes again from elsewhere */
    const char *tls;
    struct fake fake;
    struct strbuf group; /* octets of the C: lines so far */
    size_t seen;         /* of the transcript */
};

#define dialog_assert(d, condition, ...)                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            char text_[2000];                                                                                          \
            snprintf(text_, sizeof(text_), __VA_ARGS__);                                                               \
            ck_abort_msg("%s:%u (mode %d): %s", (d)->path, (d)->line, (d)->mode, text_);                               \
        }                                                                                                              \
    } while (0)

/* '*' stands for any run of octets. */
static bool matches(const char *pattern, struct slice s)
{
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '*') {
            for (size_t i = 0; i <= s.n; i++)
                if (matches(pattern + 1, slice_skip(s, i)))
                    return true;
            return false;
        }
        if (s.n == 0 || s.p[0] != *pattern)
            return false;
        s = slice_skip(s, 1);
    }
    return s.n == 0;
}

static void add_unescaped(struct dialog *d, struct strbuf *out, const char *p)
{
    for (; *p != '\0'; p++) {
        unsigned octet, count;
        int used = 0;
        if (*p != '\\') {
            strbuf_add_char(out, *p);
        } else if (sscanf(p, "\\x%2x%n", &octet, &used) == 1 && used == 4) {
            strbuf_add_char(out, (char)octet);
            p += 3;
        } else if (sscanf(p, "\\{%u*%c}%n", &count, (char *)&octet, &used) == 2 && used > 0) {
            for (unsigned i = 0; i < count; i++)
                strbuf_add(out, (char *)&octet, 1);
            p += used - 1;
        } else {
            const char *at = strchr("r\rn\nt\t\\\\0", *++p);
            dialog_assert(d, at != NULL && *p != '\0', "unknown escape \\%c", *p);
            strbuf_add_char(out, at[1]);
        }
    }
}

static size_t next_piece(struct dialog *d, size_t left)
{
    size_t n = left;
    if (d->mode == MODE_OCTETS)
        n = 1;
    else if (d->mode >= MODE_RANDOM)
        n = 1 + (size_t)rand_r(&d->seed) % 40;
    return n < left ? n : left;
}

static void send_group(struct dialog *d)
{
    struct slice rest = strbuf_slice(&d->group);
    while (rest.n > 0) {
        size_t n = next_piece(d, rest.n);
        fake_feed(&d->fake, slice_sub(rest, 0, n));
        rest = slice_skip(rest, n);
    }
    strbuf_reset(&d->group);
}

static void expect_nothing_more(struct dialog *d)
{
    struct slice rest = slice_skip(strbuf_slice(&d->fake.transcript), d->seen);
    dialog_assert(d, rest.n == 0, "unexpected: %.*s", SLICE_ARG(rest));
}

static void expect(struct dialog *d, const char *pattern)
{
    struct slice line, rest;
    send_group(d);
    rest = slice_skip(strbuf_slice(&d->fake.transcript), d->seen);
    dialog_assert(d, rest.n > 0, "nothing came, expected: %s", pattern);
    slice_cut(rest, '\n', &line);
    dialog_assert(d, matches(pattern, line), "expected %s, got %.*s", pattern, SLICE_ARG(line));
    d->seen += line.n + 1;
}

/* Lets time pass as a loop's timer would. */
static void pass_time(struct dialog *d, const char *text)
{
    long long seconds;
    dialog_assert(d, sscanf(text, "+%llds", &seconds) == 1, "T: wants +Ns");
    int64_t until = d->fake.now + seconds * 1000;
    while (d->fake.session != NULL && submission_deadline(d->fake.session) <= until) {
        int64_t deadline = submission_deadline(d->fake.session);
        d->fake.now = deadline > d->fake.now ? deadline : d->fake.now;
        submission_timeout(d->fake.session, d->fake.now);
        dialog_assert(d, submission_deadline(d->fake.session) > d->fake.now, "a timeout that did nothing");
    }
    d->fake.now = until;
}

static void answer_commit(struct dialog *d, const char *text)
{
    struct smtp_verdict v = {0};
    int used = 0;
    dialog_assert(d, sscanf(text, "%d %11s %n", &v.code, v.enhanced, &used) == 2, "R: commit wants a reply");
    snprintf(v.text, sizeof(v.text), "%s", text + used);
    fake_answer_commit(&d->fake, &v);
    fake_run(&d->fake);
}

/* A reload: the same configuration, and users of whom only ann may be left, with this hash (NULL: not even she). */
static void fake_reload(struct fake *f, const char *hash)
{
    if (f->reloaded.references > 0)
        abort(); /* one a test */
    f->reloaded = f->settings;
    f->reloaded.references = 1;
    f->reloaded.users = calloc(1, sizeof(*f->reloaded.users));
    if (f->reloaded.users == NULL)
        abort();
    if (hash != NULL && users_add(f->reloaded.users, "ann@example.com", "test", hash, NULL, 0, NULL) < 0)
        abort();
    f->newest = &f->reloaded;
}

/* R: what comes from below or from outside. */
static void happen(struct dialog *d, const char *what)
{
    struct fake *f = &d->fake;
    if (strcmp(what, "tls") == 0) {
        strbuf_reset(&f->input); /* ops->start_tls: the caller throws it away */
        submission_tls_done(f->session, "TLSv1.3", f->now);
    } else if (strcmp(what, "auth ok") == 0 || strcmp(what, "auth fail") == 0) {
        f->auth_ok = strcmp(what, "auth ok") == 0;
        fake_answer_auth(f);
        fake_run(f);
    } else if (strncmp(what, "commit ", 7) == 0) {
        answer_commit(d, what + 7);
    } else if (strcmp(what, "reload") == 0) {
        fake_reload(f, "$y$none");
    } else if (strcmp(what, "reload without her") == 0) {
        fake_reload(f, NULL);
    } else if (strcmp(what, "reload with another password") == 0) {
        fake_reload(f, "$y$other");
    } else if (strcmp(what, "shutdown") == 0) {
        submission_shutdown(f->session, f->now);
    } else if (strcmp(what, "gone") == 0) {
        submission_free(&f->session);
    } else if (strcmp(what, "reconnect") == 0 || sscanf(what, "reconnect from %39s", d->ip) == 1) {
        struct smtp_verdict v;
        f->ip = d->ip[0] == '\0' ? f->ip : d->ip;
        submission_free(&f->session);
        strbuf_reset(&f->input);
        if (submission_address_admitted(f->shared, f->settings.config, f->ip, f->now, &v) < 0 ||
            submission_connection_opened(f->shared, f->settings.config, f->ip, f->now, &v) < 0)
            strbuf_addf(&f->transcript, "S: %d %s %s\n", v.code, v.enhanced, v.text);
        else
            fake_open(f, d->tls);
    } else {
        dialog_assert(d, false, "unknown event %s", what);
    }
}

static bool set_limit(struct config *c, const char *key, long value)
{
    if (strcmp(key, "message_size") == 0)
        c->limits.message_size = (uint64_t)value;
    else if (strcmp(key, "recipients") == 0)
        c->limits.recipients = (unsigned)value;
    else if (strcmp(key, "auth_failures") == 0)
        c->limits.auth_failures = (unsigned)value;
    else if (strcmp(key, "messages_per_user") == 0)
        c->limits.messages_per_user = (unsigned)value;
    else if (strcmp(key, "connections_per_ip") == 0)
        c->limits.connections_per_ip = (unsigned)value;
    else
        return false;
    return true;
}

/* Brings a session on an implicit-TLS port to a state and forgets the transcript. */
static void reach(struct dialog *d, const char *state)
{
    static const struct {
        const char *state, *line;
    } steps[] = {{"GREETED", ""},
                 {"EHLO", "EHLO client.test\r\n"},
                 {"READY", "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n"},
                 {"MAIL", "MAIL FROM:<ann@example.com>\r\n"},
                 {"RCPT", "RCPT TO:<bob@example.net>\r\n"},
                 {"BDAT", "BDAT 3\r\nabc"},
                 {NULL, NULL}};
    size_t i = 0;
    do {
        dialog_assert(d, steps[i].state != NULL, "unknown state %s", state);
        fake_feed(&d->fake, slice_of(steps[i].line));
    } while (strcmp(steps[i++].state, state) != 0);
    d->seen = d->fake.transcript.n;
}

static void open_session(struct dialog *d)
{
    if (!d->opened)
        fake_open(&d->fake, d->tls);
    d->opened = true;
}

static void direct(struct dialog *d, const char *text)
{
    char key[40], state[20];
    long value;
    if (strcmp(text, "implicit") == 0) {
        d->tls = "TLSv1.3";
    } else if (sscanf(text, "state %19s", state) == 1) {
        d->tls = "TLSv1.3";
        open_session(d);
        reach(d, state);
    } else if (sscanf(text, "limit %39s %ld", key, &value) == 2) {
        dialog_assert(d, set_limit(d->fake.settings.config, key, value), "unknown limit %s", key);
    } else if (strcmp(text, "manual") == 0) {
        d->fake.manual = true;
    } else if (strcmp(text, "no-pool") == 0) {
        d->fake.no_pool = true;
    } else if (strcmp(text, "no-storage") == 0) {
        d->fake.no_storage = true;
    } else if (strcmp(text, "no-memory") == 0) {
        d->fake.no_memory = true;
    } else {
        dialog_assert(d, strcmp(text, "whole") == 0, "unknown directive @%s", text);
    }
}

static void run_line(struct dialog *d, char *line)
{
    const char *text = strlen(line) > 3 ? line + 3 : "";
    if (line[0] == '\0' || line[0] == '#')
        return;
    if (line[0] == '@') {
        direct(d, line + 1);
        return;
    }
    open_session(d);
    dialog_assert(d, line[1] == ':', "not a line of a dialogue: %s", line);
    if (line[0] == 'S' || line[0] == 'A') {
        expect(d, line);
        return;
    }
    bool more = d->group.n > 0 && (line[0] == 'C' || line[0] == 'c');
    if (!more) {
        send_group(d);
        expect_nothing_more(d);
    }
    if (line[0] == 'C' || line[0] == 'c') {
        add_unescaped(d, &d->group, text);
        strbuf_add_str(&d->group, line[0] == 'C' ? "\r\n" : "");
    } else if (line[0] == 'T') {
        pass_time(d, text);
    } else {
        dialog_assert(d, line[0] == 'R', "not a line of a dialogue: %s", line);
        happen(d, text);
    }
}

static void run_dialog(const char *path, int mode, const char *text)
{
    struct dialog d = {.path = path, .mode = mode, .seed = (unsigned)mode, .tls = ""};
    char *copy = strdup(text), *rest = copy, *line;
    fake_init(&d.fake);
    while ((line = strsep(&rest, "\n")) != NULL) {
        d.line++;
        run_line(&d, line);
    }
    send_group(&d);
    expect_nothing_more(&d);
    fake_free(&d.fake);
    strbuf_free(&d.group);
    free(copy);
}

START_TEST(test_dialog)
{
    struct strbuf text = STRBUF_INIT;
    struct err err;
    ck_assert_msg(file_read(files.gl_pathv[_i], 1 << 20, false, &text, &err) == 0, "%s", err.text);
    bool whole_only = strstr(strbuf_str(&text), "@whole") != NULL;
    for (int mode = 0; mode < (whole_only ? 1 : MODES); mode++)
        run_dialog(files.gl_pathv[_i], mode, strbuf_str(&text));
    strbuf_free(&text);
}
END_TEST

static Suite *dialogs_suite(void)
{
    Suite *suite = suite_create("dialogs");
    TCase *tc = tcase_create("dialogs");
    FILE *null = fopen("/dev/null", "w");
    log_to(null == NULL ? stderr : null);
    if (glob("tests/dialogs/*.smtp", 0, NULL, &files) != 0)
        abort(); /* started elsewhere than in the root of the tree */
    tcase_add_loop_test(tc, test_dialog, 0, (int)files.gl_pathc);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(dialogs_suite)
