/* The whole way of a message, from envelope to verdict, with a queue that keeps what it is given. */
#include "fixture.h"

#include <event2/event.h>

/* ---- the queue in its place ------------------------------------------------------------------ */

static struct {
    enum queue_status answer;
    unsigned puts;
    char id[QUEUE_ID_SIZE];
    struct strbuf text; /* the envelope in words, then the content */
    struct strbuf notes;
    const struct queue_message *m;
    void (*done)(void *ctx, enum queue_status status);
    void *ctx;
    struct event *event;
    int expected; /* on their way to queue_put */
} stored;

int queue_new_id(char ret[QUEUE_ID_SIZE])
{
    static unsigned n;
    snprintf(ret, QUEUE_ID_SIZE, "ID%08u", n++ % 100000000);
    return 0;
}

/* The store is told what was checked: all of it. */
static void check_sum(const struct queue_message *m)
{
    struct queue_sum sum;
    char block[4096];
    ssize_t n;
    ck_assert_ptr_nonnull(m->checked);
    queue_sum_init(&sum, m->head.n + spool_size(m->body));
    queue_sum_add(&sum, m->head);
    while ((n = spool_read(m->body, sum.at - m->head.n, block, sizeof(block))) > 0)
        queue_sum_add(&sum, slice_from(block, (size_t)n));
    ck_assert_uint_eq(sum.at, m->checked->at);
    ck_assert_uint_eq(sum.all, m->checked->all);
}

static void describe(const struct queue_message *m)
{
    char block[4096];
    ssize_t n = m->body == NULL ? 0 : spool_read(m->body, 0, block, sizeof(block));
    strbuf_reset(&stored.text);
    strbuf_reset(&stored.notes);
    strbuf_addf(&stored.text, "from <%.*s>", SLICE_ARG(m->sender));
    if (m->submitted.p != NULL)
        strbuf_addf(&stored.text, " submitted <%.*s>", SLICE_ARG(m->submitted));
    strbuf_addf(&stored.text, " bounces <%.*s> user %.*s%s%s\n", SLICE_ARG(m->bounce_to), SLICE_ARG(m->user),
                m->smtputf8 ? " utf8" : "", m->eightbit ? " 8bit" : "");
    for (size_t i = 0; i < m->n_recipients; i++)
        strbuf_addf(&stored.text, "to <%.*s> at %.*s\n", SLICE_ARG(m->recipients[i].address),
                    SLICE_ARG(m->recipients[i].domain));
    for (size_t i = 0; i < m->n_closes; i++)
        strbuf_addf(&stored.text, "closes %d\n", (int)m->closes[i]);
    strbuf_add_slice(&stored.text, m->head);
    strbuf_add(&stored.text, block, (size_t)n);
    for (size_t i = 0; i < m->n_notes; i++)
        strbuf_addf(&stored.notes, "%.*s\n", SLICE_ARG(m->notes[i]));
}

static void on_put(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    stored.done(stored.ctx, stored.answer);
}

void queue_expect(struct queue *q, int n)
{
    (void)q;
    stored.expected += n;
}

void queue_put(struct queue *q, const struct queue_message *m, void (*done)(void *ctx, enum queue_status status),
               void *ctx)
{
    (void)q;
    ck_assert_int_eq(stored.expected, 1);
    stored.puts++;
    memcpy(stored.id, m->id, sizeof(stored.id));
    describe(m);
    check_sum(m);
    stored.done = done;
    stored.ctx = ctx;
    event_active(stored.event, EV_TIMEOUT, 0);
}

/* ---- the surroundings ------------------------------------------------------------------------ */

static struct event_base *base;
static struct intake_context context;
static struct intake_settings *settings;
static char *log_text;
static size_t log_size;
static FILE *log_file;

static char *send_as[] = {(char *)"*@example.com", (char *)"me@other.example"};
static const struct user user = {.name = (char *)"me@example.com", .send_as = send_as, .n_send_as = ARRAY_LEN(send_as)};

static void setup(void)
{
    struct err err = {""};
    make_scratch();
    ck_assert_msg(load_settings("sendas.yaml", &settings, &err) == 0, "%s", err.text);
    base = event_base_new();
    context = (struct intake_context){.base = base, .workers = workers_new(base, 1, 1, &err)};
    ck_assert_ptr_nonnull(context.workers);
    stored.event = event_new(base, -1, 0, on_put, NULL);
    stored.answer = QUEUE_OK;
    log_file = open_memstream(&log_text, &log_size);
    log_to(log_file);
}

static void teardown(void)
{
    workers_free(&context.workers);
    ck_assert_uint_eq(settings->references, 1); /* whatever happened, nothing holds them any longer */
    intake_settings_unref(&settings);
    ck_assert_int_eq(stored.expected, 0);
    event_free(stored.event);
    event_base_free(base);
    strbuf_free(&stored.text);
    strbuf_free(&stored.notes);
    log_to(stderr);
    fclose(log_file);
    free(log_text);
    remove_scratch();
}

static const char *logged(void)
{
    fflush(log_file);
    return log_text;
}

static struct {
    bool called;
    struct smtp_verdict v;
} verdict;

static void on_verdict(void *ctx, const struct smtp_verdict *v)
{
    ck_assert_ptr_eq(ctx, &verdict);
    ck_assert(!verdict.called);
    verdict.called = true;
    verdict.v = *v;
}

static void run_loop(void)
{
    for (int i = 0; i < 500 && !verdict.called; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
}

struct mail {
    const char *from; /* NULL = null sender */
    const char *to[4];
    bool smtputf8;
    const char *content;
};

static struct intake *begin(const struct mail *mail)
{
    struct intake_recipient to[4];
    struct intake_origin origin = {.user = &user,
                                   .client_ip = SLICE("192.0.2.99"),
                                   .helo = SLICE("my-laptop"),
                                   .tls = SLICE("TLSv1.3"),
                                   .extended = true};
    struct intake_envelope envelope = {.null_sender = mail->from == NULL,
                                       .mail_from = slice_of(mail->from),
                                       .smtputf8 = mail->smtputf8,
                                       .envid = SLICE(""),
                                       .recipients = to};
    for (; mail->to[envelope.n_recipients] != NULL; envelope.n_recipients++)
        to[envelope.n_recipients] =
            (struct intake_recipient){.address = slice_of(mail->to[envelope.n_recipients]), .orcpt = SLICE("")};
    verdict.called = false;
    stored.puts = 0;
    return intake_begin(&context, settings, &origin, &envelope);
}

static void submit(const struct mail *mail)
{
    struct intake *in = begin(mail);
    ck_assert_ptr_nonnull(in);
    for (struct slice rest = slice_of(mail->content); rest.n > 0; rest = slice_skip(rest, 7))
        intake_data(in, slice_sub(rest, 0, 7));
    intake_commit(in, on_verdict, &verdict);
    ck_assert(!verdict.called); /* never before commit returns */
    run_loop();
    ck_assert(verdict.called);
}

/* Without the signatures, and with what differs each time put in words. */
static const char *without_signatures(void)
{
    static struct strbuf out;
    struct slice line, rest = strbuf_slice(&stored.text);
    bool skipping = false;
    strbuf_reset(&out);
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        bool fold = line.n > 0 && line.p[0] == ' ';
        skipping = slice_starts(line, SLICE("DKIM-Signature:")) || slice_starts(line, SLICE("Received:")) ||
                   (skipping && fold);
        if (!skipping) {
            strbuf_add_slice(&out, slice_trim(line));
            strbuf_add_char(&out, '\n');
        }
    }
    return strbuf_str(&out);
}

/* ---- accepted -------------------------------------------------------------------------------- */

#define DATED     "Date: x\r\nMessage-ID: <i@d>\r\n"
#define DATED_OUT "Date: x\nMessage-ID: <i@d>\n"

static const struct {
    struct mail mail;
    const char *want;
} accepted_rows[] = {
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\n" DATED "\r\nbody\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@x.example> at x.example\n"
     "From: me@example.com\n" DATED_OUT "\nbody\n"},
    /* another account's address in MAIL FROM is served, and aligned */
    {{"me@gmail.example", {"a@x.example"}, false, "From: me@example.com\r\n" DATED "\r\n"},
     "from <me@example.com> submitted <me@gmail.example> bounces <me@example.com> user me@example.com\n"
     "to <a@x.example> at x.example\nFrom: me@example.com\n" DATED_OUT "\n"},
    {{"me@example.com", {"a@x.example"}, false, "From: me@other.example\r\n" DATED "\r\n"},
     "from <bounces@other.example> submitted <me@example.com> bounces <me@example.com> user me@example.com\n"
     "to <a@x.example> at x.example\nFrom: me@other.example\n" DATED_OUT "\n"},
    /* the null sender stays */
    {{NULL, {"a@x.example"}, false, "From: me@example.com\r\n" DATED "\r\n"},
     "from <> bounces <> user me@example.com\nto <a@x.example> at x.example\nFrom: me@example.com\n" DATED_OUT "\n"},
    /* one copy each; domains in A-labels and lower case, literals as they are */
    {{"me@example.com",
      {"a@X.example", "b@[192.0.2.7]", "a@X.example"},
      false,
      "From: me@example.com\r\n" DATED "\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@X.example> at x.example\n"
     "to <b@[192.0.2.7]> at [192.0.2.7]\nFrom: me@example.com\n" DATED_OUT "\n"},
    {{"me@example.com",
      {"\xc3\xa4@b\xc3\xbc"
       "cher.example"},
      true,
      "From: me@example.com\r\n" DATED "\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com utf8\n"
     "to <\xc3\xa4@b\xc3\xbc"
     "cher.example> at xn--bcher-kva.example\nFrom: me@example.com\n" DATED_OUT "\n"},
    /* SMTPUTF8 asked for, but not needed */
    {{"me@example.com", {"a@x.example"}, true, "From: me@example.com\r\n" DATED "\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@x.example> at x.example\n"
     "From: me@example.com\n" DATED_OUT "\n"},
    /* 8-bit without BODY=8BITMIME */
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\n" DATED "\r\n\xc3\xa4\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@x.example> at x.example\n"
     "From: me@example.com\n" DATED_OUT "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
     "Content-Transfer-Encoding: quoted-printable\n\n=C3=A4\n"},
    /* what is signed inside is never altered, and goes as 8-bit */
    {{"me@example.com",
      {"a@x.example"},
      false,
      "From: me@example.com\r\n" DATED
      "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa4\r\n--b--\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com 8bit\nto <a@x.example> at x.example\n"
     "From: me@example.com\n" DATED_OUT "Content-Type: multipart/signed; boundary=b\n\n--b\n\n\xc3\xa4\n--b--\n"},
    /* header text becomes encoded words, and stays UTF-8 with SMTPUTF8 */
    {{"me@example.com", {"a@x.example"}, false, "From: \xc3\xa4 <me@example.com>\r\n" DATED "\r\nx\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@x.example> at x.example\n"
     "From: =?utf-8?B?w6Q=?= <me@example.com>\n" DATED_OUT "\nx\n"},
    {{"me@example.com", {"a@x.example"}, true, "From: \xc3\xa4 <me@example.com>\r\n" DATED "\r\nx\r\n"},
     "from <me@example.com> bounces <me@example.com> user me@example.com utf8 8bit\nto <a@x.example> at x.example\n"
     "From: \xc3\xa4 <me@example.com>\n" DATED_OUT "\nx\n"},
    /* Bcc goes; no body; the last line has no end */
    {{"me@example.com", {"a@x.example"}, false, DATED "Bcc: secret@x.example\r\nFrom: me@example.com"},
     "from <me@example.com> bounces <me@example.com> user me@example.com\nto <a@x.example> at x.example\n" DATED_OUT
     "From: me@example.com\n\n"},
};

START_TEST(test_accepted)
{
    submit(&accepted_rows[_i].mail);
    ck_assert_msg(verdict.v.code == 250, "%d %s", verdict.v.code, verdict.v.text);
    ck_assert_str_eq(verdict.v.enhanced, "2.0.0");
    ck_assert_msg(strstr(verdict.v.text, "queued as") != NULL && strstr(verdict.v.text, stored.id) != NULL, "%s",
                  verdict.v.text);
    ck_assert_str_eq(without_signatures(), accepted_rows[_i].want);
    ck_assert_uint_eq(stored.puts, 1);
}
END_TEST

/* Every key of the domain signs, RSA on top; then Received, which tells nothing of the client. */
START_TEST(test_head)
{
    submit(&accepted_rows[0].mail);
    struct slice text = strbuf_slice(&stored.text);
    size_t first =
        slice_find_slice(text, SLICE("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=r1;"));
    size_t second = slice_find_slice(
        text, SLICE("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com;\r\n s=e1;"));
    size_t received = slice_find_slice(text, SLICE("\r\nReceived: by mail.example.com with ESMTPSA id ID"));
    ck_assert_uint_lt(first, second);
    ck_assert_uint_lt(second, received);
    ck_assert_uint_lt(received, text.n);
    ck_assert_uint_eq(slice_find_slice(text, SLICE("192.0.2.99")), text.n);
    ck_assert_uint_eq(slice_find_slice(text, SLICE("my-laptop")), text.n);
    ck_assert_ptr_nonnull(
        strstr(strbuf_str(&stored.notes), "accepted from me@example.com over TLSv1.3, 1 recipient, "));
    ck_assert_ptr_nonnull(
        strstr(strbuf_str(&stored.notes), "signed domain=example.com selector=r1 algorithm=rsa-sha256"));
    ck_assert_ptr_nonnull(
        strstr(strbuf_str(&stored.notes), "signed domain=example.com selector=e1 algorithm=ed25519-sha256"));
}
END_TEST

START_TEST(test_log)
{
    char queue[32];
    submit(&accepted_rows[1].mail);
    snprintf(queue, sizeof(queue), "queue=%s", stored.id);
    struct slice line, rest = slice_of(logged());
    unsigned signed_lines = 0, accepted_lines = 0;
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        ck_assert_msg(slice_find_slice(line, slice_of(queue)) < line.n, "%.*s", SLICE_ARG(line));
        signed_lines += slice_find_slice(line, SLICE("event=signed")) < line.n &&
                        slice_find_slice(line, SLICE("domain=example.com selector=")) < line.n;
        accepted_lines +=
            slice_find_slice(line, SLICE("event=accepted")) < line.n &&
            slice_find_slice(
                line, SLICE("user=me@example.com from=<me@example.com> submitted=<me@gmail.example> recipients=1")) <
                line.n;
    }
    ck_assert_uint_eq(signed_lines, 2);
    ck_assert_uint_eq(accepted_lines, 1);
}
END_TEST

/* ---- normal form ----------------------------------------------------------------------------- */

static char *with_long_line(const char *before, const char *after)
{
    static char text[4096];
    char line[1001] = "";
    memset(line, 'x', sizeof(line) - 1);
    snprintf(text, sizeof(text), "%s%s%s", before, line, after);
    return text;
}

START_TEST(test_normal_form)
{
    struct mail mail = {
        "me@example.com", {"a@x.example"}, false, with_long_line("From: me@example.com\r\n" DATED "\r\n", "\r\n")};
    submit(&mail);
    ck_assert_msg(verdict.v.code == 250, "%d %s", verdict.v.code, verdict.v.text);
    ck_assert_ptr_nonnull(
        strstr(strbuf_str(&stored.text), "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"));
    for (struct slice line, rest = strbuf_slice(&stored.text); rest.n > 0;) {
        rest = slice_cut(rest, '\n', &line);
        ck_assert_uint_le(line.n, MESSAGE_LINE_MAX);
    }
    ck_assert_ptr_nonnull(strstr(strbuf_str(&stored.notes), "changed: 1 part to quoted-printable\n"));
    ck_assert_ptr_nonnull(strstr(logged(), " changed=\"1 part to quoted-printable\"\n"));
}
END_TEST

START_TEST(test_normal_form_refused)
{
    struct mail mail = {
        "me@example.com",
        {"a@x.example"},
        false,
        with_long_line("From: me@example.com\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n",
                       "\r\n--b--\r\n")};
    submit(&mail);
    ck_assert_int_eq(verdict.v.code, 550);
    ck_assert_str_eq(verdict.v.enhanced, "5.6.0");
    ck_assert_ptr_nonnull(strstr(verdict.v.text, "a signed part with a line of 1000 octets"));
    ck_assert_uint_eq(stored.puts, 0);
}
END_TEST

START_TEST(test_encode_never)
{
    struct mail mail = {
        "me@example.com", {"a@x.example"}, false, with_long_line("From: me@example.com\r\n" DATED "\r\n", "\r\n")};
    settings->config->message.encode = CONFIG_ENCODE_NEVER;
    submit(&mail);
    ck_assert_int_eq(verdict.v.code, 550);
    ck_assert_str_eq(verdict.v.enhanced, "5.6.0");
    mail.content = "From: me@example.com\r\nSubject: \xc3\xa4\r\n" DATED "\r\n\xc3\xa4\r\n";
    submit(&mail);
    ck_assert_int_eq(verdict.v.code, 250);
    ck_assert_str_eq(without_signatures(),
                     "from <me@example.com> bounces <me@example.com> user me@example.com 8bit\n"
                     "to <a@x.example> at x.example\nFrom: me@example.com\nSubject: \xc3\xa4\n" DATED_OUT
                     "\n\xc3\xa4\n");
}
END_TEST

/* ---- refused --------------------------------------------------------------------------------- */

static const struct {
    struct mail mail;
    int code;
    const char *enhanced;
} refused_rows[] = {
    {{"me@example.com", {"a@x.example"}, false, "From: you@elsewhere.example\r\n\r\n"}, 550, "5.7.1"},
    {{"me@example.com", {"a@x.example"}, false, "From: you@other.example\r\n\r\n"}, 550, "5.7.1"},
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\nSender: x@y.example\r\n\r\n"}, 550, "5.7.1"},
    {{"me@example.com", {"a@x.example"}, false, "To: x\r\n\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, ""}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, "\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\nFrom: me@example.com\r\n\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\n\r\na\nb\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, "From: me@example.com\r\n\r\na\rb\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@x.example"}, false, "From me\r\n\r\n"}, 550, "5.6.0"},
    {{"me@example.com", {"a@no_name"}, false, "From: me@example.com\r\n\r\n"}, 550, "5.1.2"},
    {{"me@example.com", {"a@x.example"}, false, "From: \xc3\xa4@example.com\r\n\r\n"}, 553, "5.6.7"},
};

START_TEST(test_refused)
{
    submit(&refused_rows[_i].mail);
    ck_assert_msg(verdict.v.code == refused_rows[_i].code, "row %d: %d %s", _i, verdict.v.code, verdict.v.text);
    ck_assert_str_eq(verdict.v.enhanced, refused_rows[_i].enhanced);
    ck_assert_uint_eq(stored.puts, 0); /* nothing is queued */
    ck_assert_ptr_nonnull(strstr(logged(), "event=rejected queue=ID"));
    ck_assert_ptr_nonnull(strstr(logged(), "user=me@example.com"));
    ck_assert_ptr_null(strstr(logged(), "event=accepted"));
}
END_TEST

START_TEST(test_too_large)
{
    struct strbuf content = STRBUF_INIT;
    strbuf_add_str(&content, "From: me@example.com\r\n\r\n");
    while (content.n <= 4096)
        strbuf_add_str(&content, "0123456789\r\n");
    submit(&(struct mail){"me@example.com", {"a@x.example"}, false, strbuf_str(&content)});
    ck_assert_int_eq(verdict.v.code, 552);
    ck_assert_str_eq(verdict.v.enhanced, "5.3.4");
    ck_assert_uint_eq(stored.puts, 0);
    strbuf_free(&content);
}
END_TEST

/* ---- our own failures ------------------------------------------------------------------------ */

static const struct {
    enum queue_status answer;
    int code;
    const char *enhanced;
} queue_rows[] = {{QUEUE_FULL, 452, "4.3.1"}, {QUEUE_FAILED, 451, "4.3.0"}, {QUEUE_CHANGED, 451, "4.7.5"}};

START_TEST(test_queue_fails)
{
    stored.answer = queue_rows[_i].answer;
    submit(&accepted_rows[0].mail);
    ck_assert_int_eq(verdict.v.code, queue_rows[_i].code);
    ck_assert_str_eq(verdict.v.enhanced, queue_rows[_i].enhanced);
    ck_assert_ptr_null(strstr(logged(), "event=accepted"));
}
END_TEST

static void block(void *job)
{
    while (!__atomic_load_n((bool *)job, __ATOMIC_ACQUIRE))
        usleep(1000);
}

static void nothing(void *job)
{
    (void)job;
}

/* The worker is busy and no more can wait: the client may try again. */
START_TEST(test_workers_full)
{
    static bool release; /* read until the last job has run */
    while (workers_submit(context.workers, WORK_SIGN, block, nothing, &release) == 0)
        ;
    submit(&accepted_rows[0].mail);
    ck_assert_int_eq(verdict.v.code, 451);
    ck_assert_str_eq(verdict.v.enhanced, "4.3.2");
    ck_assert_uint_eq(stored.puts, 0);
    __atomic_store_n(&release, true, __ATOMIC_RELEASE);
}
END_TEST

/* ---- the client goes away -------------------------------------------------------------------- */

START_TEST(test_abort)
{
    struct intake *in = begin(&accepted_rows[0].mail);
    intake_data(in, SLICE("From: me@exam"));
    ck_assert_int_eq(intake_failure(in)->code, 0);
    intake_abort(&in);
    ck_assert_ptr_null(in);
    intake_abort(&in);
    ck_assert_str_eq(logged(), "");
    in = begin(&accepted_rows[0].mail);
    intake_data(in, SLICE("a\nb"));
    ck_assert_int_eq(intake_failure(in)->code, 550);
    intake_abort(&in);
    ck_assert_ptr_nonnull(strstr(logged(), "event=rejected"));
}
END_TEST

START_TEST(test_detach)
{
    struct intake *in = begin(&accepted_rows[0].mail);
    intake_data(in, slice_of(accepted_rows[0].mail.content));
    intake_commit(in, on_verdict, &verdict);
    intake_detach(in);
    for (int i = 0; i < 500 && strstr(logged(), "event=accepted") == NULL; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    ck_assert(!verdict.called);
    ck_assert_uint_eq(stored.puts, 1); /* it is queued all the same */
}
END_TEST

/* ---- DSNs ------------------------------------------------------------------------------------ */

static struct {
    bool ok;
    char id[QUEUE_ID_SIZE];
} dsn;

static void on_dsn(void *ctx, bool ok, const char *id)
{
    ck_assert_ptr_eq(ctx, &dsn);
    verdict.called = true;
    dsn.ok = ok;
    snprintf(dsn.id, sizeof(dsn.id), "%s", id);
}

static void send_dsn(struct slice message)
{
    int64_t closes[] = {7, 9};
    verdict.called = false;
    stored.puts = 0;
    intake_dsn(&context, settings, message, SLICE("me@x.example"), closes, ARRAY_LEN(closes), on_dsn, &dsn);
    closes[0] = closes[1] = 0; /* they were copied */
    ck_assert(!verdict.called);
    run_loop();
    ck_assert(verdict.called);
}

START_TEST(test_dsn)
{
    send_dsn(SLICE("From: Mail Delivery <postmaster@example.com>\r\n" DATED "\r\nfailed\r\n"));
    ck_assert(dsn.ok);
    ck_assert_str_eq(dsn.id, stored.id);
    ck_assert_str_eq(without_signatures(),
                     "from <> bounces <> user\nto <me@x.example> at x.example\ncloses 7\ncloses 9\n"
                     "From: Mail Delivery <postmaster@example.com>\n" DATED_OUT "\nfailed\n");
    ck_assert_ptr_nonnull(strstr(strbuf_str(&stored.text), "a=rsa-sha256"));
    ck_assert_ptr_nonnull(strstr(strbuf_str(&stored.text), "\r\nReceived: by mail.example.com id ID"));
}
END_TEST

START_TEST(test_dsn_not_ours)
{
    send_dsn(SLICE("From: postmaster@elsewhere.example\r\n" DATED "\r\nfailed\r\n"));
    ck_assert(!dsn.ok);
    ck_assert_uint_eq(stored.puts, 0);
    ck_assert_ptr_nonnull(strstr(logged(), "level=error event=rejected"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake");
    TCase *tc = tcase_create("intake");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_accepted, 0, (int)ARRAY_LEN(accepted_rows));
    tcase_add_test(tc, test_head);
    tcase_add_test(tc, test_log);
    tcase_add_test(tc, test_normal_form);
    tcase_add_test(tc, test_normal_form_refused);
    tcase_add_test(tc, test_encode_never);
    tcase_add_loop_test(tc, test_refused, 0, (int)ARRAY_LEN(refused_rows));
    tcase_add_test(tc, test_too_large);
    tcase_add_loop_test(tc, test_queue_fails, 0, (int)ARRAY_LEN(queue_rows));
    tcase_add_test(tc, test_workers_full);
    tcase_add_test(tc, test_abort);
    tcase_add_test(tc, test_detach);
    tcase_add_test(tc, test_dsn);
    tcase_add_test(tc, test_dsn_not_ours);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
