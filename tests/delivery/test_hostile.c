/* Servers that misbehave, and what becomes of the message: every kind at every stage, with a clock that is set.
 *
 * Whatever a server does: the verdict is temporary unless the server itself has said otherwise, it is success only
 * after a 2xx reply to the dot, and the connection ends within a bounded time. */
#include "testing.h"

#include "sendas/delivery.h"

enum { RECIPIENTS = 3, CONTENT = 200 * 1000, CHUNK = 64 * 1024 };

enum stage { GREETING = 0, EHLO, MAIL, RCPT, DATA, BODY, DOT, STAGES };

enum kind {
    SILENT = 0,    /* nothing comes */
    CLOSE,         /* the connection ends */
    DRIP_FOR_EVER, /* an octet a second, never a line end */
    DRIP_REPLY,    /* the right reply, an octet a second */
    GARBAGE,       /* no SMTP */
    CONTINUATIONS, /* 10,000 lines of one reply */
    LATE_LINES,    /* a continuation line every four minutes, for ever */
    HUGE_LINE,     /* a megabyte without a line end */
    SHUT_DOWN,     /* 421, then the connection ends */
    NONSENSE,      /* a well-formed reply of the wrong class */
    REFUSE,        /* 554 */
    KINDS
};

static const char *const stage_names[] = {"greeting", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot"};
static const char *const kind_names[] = {"silent",   "closes",       "an octet a second", "a slow reply",
                                         "garbage",  "10,000 lines", "late lines",        "a huge line",
                                         "says 421", "wrong class",  "says 554"};

/* ---- one run --------------------------------------------------------------------------------- */

struct run {
    struct delivery_session *session;
    enum stage at; /* where it misbehaves */
    enum kind kind;
    bool misbehaving, pipelining;
    unsigned rcpt_delay_s;  /* each reply to RCPT comes so late */
    uint64_t read_per_s;    /* how fast it takes the content; 0 = at once */
    uint64_t unread;        /* of what was sent */
    struct strbuf in, left; /* from the client; to the session and not taken */
    struct strbuf late;     /* replies that are still to come */
    int64_t late_at_ms;
    size_t dripped;
    int64_t now_ms;
    bool in_data, closed, wants, lost;
    size_t content, size; /* given so far; in all */
    size_t steps;
    unsigned results, finished, successes;
    struct smtp_verdict last, failed;
};

static void say(struct run *r, struct slice bytes)
{
    if (r->closed)
        return;
    strbuf_add_slice(&r->left, bytes);
    size_t used = delivery_session_feed(r->session, strbuf_slice(&r->left), r->now_ms);
    memmove(r->left.p, r->left.p + used, r->left.n - used);
    strbuf_truncate(&r->left, r->left.n - used);
    ck_assert_uint_le(r->left.n, SMTP_REPLY_LINE_MAX + 1);
}

static void hang_up(struct run *r)
{
    r->lost = true;
    if (!r->closed)
        delivery_session_lost(r->session, "connection reset", r->now_ms);
}

static const char *right_reply(enum stage stage)
{
    static const char *const replies[] = {
        "220 mx ESMTP\r\n",   "250-mx\r\n250 8BITMIME\r\n", "250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "354 go on\r\n", "",
        "250 2.0.0 taken\r\n"};
    return replies[stage];
}

static void say_many(struct run *r, const char *line, unsigned times)
{
    for (unsigned i = 0; i < times && !r->closed; i++)
        say(r, slice_of(line));
}

/* What it does when its stage is reached; drips go on in pass_second. */
static void misbehave(struct run *r)
{
    r->misbehaving = true;
    switch (r->kind) {
    case CLOSE:
        hang_up(r);
        break;
    case GARBAGE:
        say(r, SLICE("\x16\x03\x01 <html>\r\n"));
        break;
    case CONTINUATIONS:
        say_many(r, r->at == GREETING ? "220-x\r\n" : r->at == DATA ? "354-x\r\n" : "250-x\r\n", 10000);
        break;
    case HUGE_LINE:
        say_many(r, "250 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 13000);
        break;
    case SHUT_DOWN:
        say(r, SLICE("421 4.3.2 shutting down\r\n"));
        hang_up(r);
        break;
    case NONSENSE:
        say(r, r->at == DATA ? SLICE("250 2.0.0 fine\r\n") : SLICE("354 go on\r\n"));
        break;
    case REFUSE:
        r->misbehaving = r->at == BODY;
        say(r, SLICE("554 5.7.1 no\r\n"));
        break;
    case SILENT:
    case DRIP_FOR_EVER:
    case DRIP_REPLY:
    case LATE_LINES:
    case KINDS:
        break;
    }
}

static void reached(struct run *r, enum stage stage)
{
    if (r->misbehaving)
        return;
    if (stage == r->at && r->kind < KINDS)
        misbehave(r);
    else if (stage == RCPT && r->rcpt_delay_s > 0)
        strbuf_add_str(&r->late, right_reply(stage));
    else
        say(r, slice_of(right_reply(stage)));
}

static void drip(struct run *r)
{
    struct slice reply = slice_of(right_reply(r->at));
    if (r->kind == DRIP_FOR_EVER)
        say(r, r->dripped++ == 0 ? SLICE("2") : SLICE("5"));
    else if (r->kind == DRIP_REPLY && r->dripped < reply.n)
        say(r, slice_sub(reply, r->dripped++, 1));
    else if (r->kind == LATE_LINES && r->dripped++ % 240 == 0)
        say(r, r->at == GREETING ? SLICE("220-x\r\n") : r->at == DATA ? SLICE("354-x\r\n") : SLICE("250-x\r\n"));
    if (r->kind == DRIP_REPLY && r->dripped == reply.n) {
        r->misbehaving = false; /* from here on it behaves */
        r->kind = KINDS;
    }
}

static void on_line(struct run *r, struct slice line)
{
    r->steps++;
    if (r->in_data) {
        r->in_data = !slice_eq(line, SLICE("."));
        if (!r->in_data)
            reached(r, DOT);
    } else if (slice_starts(line, SLICE("EHLO"))) {
        reached(r, EHLO);
    } else if (slice_starts(line, SLICE("MAIL"))) {
        reached(r, MAIL);
    } else if (slice_starts(line, SLICE("RCPT"))) {
        reached(r, RCPT);
    } else if (slice_starts(line, SLICE("DATA"))) {
        r->in_data = r->at != DATA || r->kind == DRIP_REPLY || r->kind == KINDS;
        reached(r, DATA);
    } else {
        say(r, SLICE("250 ok\r\n"));
    }
}

/* The whole lines that are here. */
static void serve(struct run *r)
{
    struct strbuf in = r->in;
    struct slice rest = strbuf_slice(&in);
    r->in = STRBUF_INIT;
    while (!r->lost && r->unread == 0 && slice_find(rest, '\n') < rest.n) {
        size_t n = slice_find(rest, '\n');
        on_line(r, slice_sub(rest, 0, n > 0 ? n - 1 : 0));
        rest = slice_skip(rest, n + 1);
    }
    if (r->in.n > 0) { /* what the session has sent meanwhile stands behind */
        struct strbuf fresh = r->in;
        r->in = STRBUF_INIT;
        strbuf_add_slice(&r->in, rest);
        strbuf_add_slice(&r->in, strbuf_slice(&fresh));
        strbuf_free(&fresh);
    } else if (rest.n > 0) {
        strbuf_add_slice(&r->in, rest);
    }
    strbuf_free(&in);
}

/* ---- the session's side ------------------------------------------------------------------------------------------ */

static void op_send(void *ctx, struct slice bytes)
{
    struct run *r = ctx;
    ck_assert(!r->closed);
    if (r->lost)
        return;
    strbuf_add_slice(&r->in, bytes);
    if (r->read_per_s > 0 && delivery_session_state(r->session) == DELIVERY_BODY)
        r->unread += bytes.n;
}

static void op_start_tls(void *ctx)
{
    (void)ctx;
    ck_abort_msg("TLS was not offered");
}

static void op_close(void *ctx)
{
    struct run *r = ctx;
    ck_assert(!r->closed);
    r->closed = true;
}

static void op_ready(void *ctx)
{
    (void)ctx;
}

static void op_failed(void *ctx, const struct smtp_verdict *v)
{
    ((struct run *)ctx)->failed = *v;
}

static void op_want(void *ctx)
{
    ((struct run *)ctx)->wants = true;
}

static void op_result(void *ctx, size_t i, const struct smtp_verdict *v)
{
    struct run *r = ctx;
    (void)i;
    r->results++;
    r->successes += smtp_is_success(v);
    r->last = *v;
}

static void op_finished(void *ctx)
{
    ((struct run *)ctx)->finished++;
}

static const struct delivery_session_ops ops = {op_send,   op_start_tls, op_close,  op_ready,
                                                op_failed, op_want,      op_result, op_finished};

/* The next chunk, once what was sent is nearly gone. */
static void give_content(struct run *r)
{
    static char lines[CHUNK];
    if (!r->wants || r->unread >= CHUNK / 2 || r->closed)
        return;
    for (size_t i = 0; i < CHUNK; i++)
        lines[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    size_t n = r->size - r->content < CHUNK ? r->size - r->content : CHUNK;
    r->steps++;
    r->wants = false;
    r->content += n;
    if (r->at == BODY && r->kind < KINDS && r->content > CHUNK && !r->misbehaving) {
        misbehave(r);
        if (r->closed || r->kind == SILENT)
            return;
    }
    delivery_session_content(r->session, slice_from(lines, n), r->content == r->size, false, r->now_ms);
}

static void pass_second(struct run *r)
{
    r->now_ms += 1000;
    if (r->misbehaving && !r->closed)
        drip(r);
    if (r->late.n > 0 && r->now_ms >= r->late_at_ms) {
        r->late_at_ms = r->now_ms + r->rcpt_delay_s * INT64_C(1000);
        struct strbuf late = r->late;
        r->late = STRBUF_INIT;
        say(r, strbuf_slice(&late));
        strbuf_free(&late);
    }
    uint64_t taken = r->unread < r->read_per_s ? r->unread : r->read_per_s;
    r->unread -= taken;
    if (!r->closed && r->now_ms >= delivery_session_deadline(r->session))
        delivery_session_timeout(r->session, r->now_ms);
}

/* Until the connection ends or the message is done; how many seconds that took. */
static int64_t play(struct run *r, int64_t at_most_s)
{
    static const struct delivery_session_config cfg = {.hostname = "us.example"};
    static struct queue_item_recipient to[RECIPIENTS];
    struct delivery_message m = {
        .sender = "a@us.example", .size = r->size, .recipients = to, .n_recipients = RECIPIENTS};
    for (size_t i = 0; i < RECIPIENTS; i++)
        to[i] = (struct queue_item_recipient){.address = (char *)"b@mx.example", .orcpt = (char *)""};
    r->session = delivery_session_new(&cfg, &ops, r, 0);
    delivery_session_connected(r->session, 0);
    reached(r, GREETING);
    while (!r->closed && r->finished == 0 && r->now_ms <= at_most_s * 1000) {
        for (size_t before = SIZE_MAX; before != r->steps && !r->closed && r->finished == 0;) {
            before = r->steps;
            if (delivery_session_state(r->session) == DELIVERY_IDLE)
                delivery_session_send(r->session, &m, r->now_ms);
            serve(r);
            give_content(r);
        }
        if (!r->closed && r->finished == 0)
            pass_second(r);
    }
    int64_t took = r->now_ms / 1000;
    strbuf_free(&r->in);
    strbuf_free(&r->left);
    strbuf_free(&r->late);
    return took;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What becomes of the message (or, before it was begun, of the session), and after how many seconds at most. */
struct outcome {
    int code;
    const char *enhanced;
    int64_t within_s;
};

#define SAME(code, enhanced, s)                                                                                        \
    {                                                                                                                  \
        [GREETING] = {code, enhanced, s}, [EHLO] = {code, enhanced, s}, [MAIL] = {code, enhanced, s},                  \
        [RCPT] = {code, enhanced, s}, [DATA] = {code, enhanced, s}, [BODY] = {code, enhanced, s}, [DOT] = {            \
            code,                                                                                                      \
            enhanced,                                                                                                  \
            s                                                                                                          \
        }                                                                                                              \
    }

/* Timeouts as in RFC 5321 4.5.3.2: 300 s for replies, 120 s for that to DATA, 180 s for a block, 600 s for that to the
 * dot. */
static const struct outcome outcomes[KINDS][STAGES] = {
    [SILENT] = {[GREETING] = {451, "4.4.2", 300},
                [EHLO] = {451, "4.4.2", 300},
                [MAIL] = {451, "4.4.2", 300},
                [RCPT] = {451, "4.4.2", 300},
                [DATA] = {451, "4.4.2", 120},
                [BODY] = {451, "4.4.2", 180},
                [DOT] = {451, "4.4.2", 600}},
    [CLOSE] = SAME(451, "4.4.2", 2),
    [DRIP_FOR_EVER] = {[GREETING] = {451, "4.4.2", 300},
                       [EHLO] = {451, "4.4.2", 300},
                       [MAIL] = {451, "4.4.2", 300},
                       [RCPT] = {451, "4.4.2", 300},
                       [DATA] = {451, "4.4.2", 120},
                       [BODY] = {451, "4.4.2", 600},
                       [DOT] = {451, "4.4.2", 600}},
    [DRIP_REPLY] = SAME(250, "2.0.0", 60),
    [GARBAGE] = SAME(451, "4.5.0", 2),
    [CONTINUATIONS] = SAME(451, "4.5.0", 2),
    [LATE_LINES] = {[GREETING] = {451, "4.4.2", 300},
                    [EHLO] = {451, "4.4.2", 300},
                    [MAIL] = {451, "4.4.2", 300},
                    [RCPT] = {451, "4.4.2", 300},
                    [DATA] = {451, "4.4.2", 120},
                    [BODY] = {451, "4.4.2", 600},
                    [DOT] = {451, "4.4.2", 600}},
    [HUGE_LINE] = SAME(451, "4.5.0", 2),
    [SHUT_DOWN] = SAME(421, "4.3.2", 2),
    [NONSENSE] = SAME(451, "4.5.0", 2),
    [REFUSE] = {[GREETING] = {554, "5.7.1", 2},
                [EHLO] = {250, "2.0.0", 3}, /* no EHLO: HELO, and that works */
                [MAIL] = {554, "5.7.1", 2},
                [RCPT] = {554, "5.7.1", 3},
                [DATA] = {554, "5.7.1", 2},
                [BODY] = {554, "5.7.1", 2},
                [DOT] = {554, "5.7.1", 2}},
};

START_TEST(test_outcome)
{
    enum kind kind = (enum kind)(_i / STAGES);
    enum stage stage = (enum stage)(_i % STAGES);
    const struct outcome *want = &outcomes[kind][stage];
    struct run r = {.kind = kind, .at = stage, .size = CONTENT};
    if (kind == REFUSE && stage == EHLO)
        return; /* in the dialogues: helo.smtp */
    if (kind == DRIP_REPLY && stage == BODY)
        return; /* no reply is due there */
    int64_t took = play(&r, 1000);
    const struct smtp_verdict *v = r.results > 0 ? &r.last : &r.failed;
    const char *what = kind_names[kind], *where = stage_names[stage];
    ck_assert_msg(v->code == want->code && strcmp(v->enhanced, want->enhanced) == 0,
                  "%s at %s: got %d %s %s, want %d %s", what, where, v->code, v->enhanced, v->text, want->code,
                  want->enhanced);
    ck_assert_msg(took <= want->within_s, "%s at %s: took %lld s", what, where, (long long)took);
    ck_assert_msg(r.results == 0 || r.results == RECIPIENTS, "%s at %s: %u verdicts", what, where, r.results);
    ck_assert_uint_eq(r.finished, r.results > 0);
    ck_assert_uint_eq(r.successes, want->code == 250 ? RECIPIENTS : 0);
    /* what was answered in good order leaves the connection of use; all else ends it */
    bool good = want->code == 250 || (kind == REFUSE && stage != GREETING && stage != BODY);
    ck_assert_msg(r.closed != good, "%s at %s: the connection is %s", what, where, r.closed ? "closed" : "open");
    delivery_session_free(&r.session);
}
END_TEST

/* ---- slow, but going on
 * ----------------------------------------------------------------------------------------------- */

static const struct {
    size_t size;
    uint64_t read_per_s;
    unsigned rcpt_delay_s;
    const char *enhanced;
    int64_t from_s, to_s;
} slow_rows[] = {
    {CONTENT, 8 * 1024, 0, "2.0.0", 10, 30},
    {CONTENT, 400, 0, "2.0.0", 400, 600},
    {10 * CONTENT, 400, 0, "4.4.2", 1100, 1101}, /* it never stops, and would take 83 minutes */
    {10 * CONTENT, 2000, 0, "2.0.0", 900, 1001},
    {CONTENT, 300, 0, "4.4.2", 180, 300}, /* a block of data takes too long (RFC 5321 4.5.3.2.5) */
    {CONTENT, 0, 200, "2.0.0", 600, 601},
    {CONTENT, 0, 301, "4.4.2", 300, 300},
};

START_TEST(test_slow)
{
    struct run r = {.kind = KINDS,
                    .size = slow_rows[_i].size,
                    .read_per_s = slow_rows[_i].read_per_s,
                    .rcpt_delay_s = slow_rows[_i].rcpt_delay_s};
    if (slow_rows[_i].rcpt_delay_s > 0)
        r.late_at_ms = slow_rows[_i].rcpt_delay_s * INT64_C(1000);
    int64_t took = play(&r, 4000);
    ck_assert_str_eq(r.last.enhanced, slow_rows[_i].enhanced);
    ck_assert_msg(took >= slow_rows[_i].from_s && took <= slow_rows[_i].to_s, "took %lld s", (long long)took);
    delivery_session_free(&r.session);
}
END_TEST

/* A hundred recipients, each answered in time, but all of them not. */
START_TEST(test_slow_envelope)
{
    enum { MANY = 100 };
    static struct queue_item_recipient to[MANY];
    static const struct delivery_session_config cfg = {.hostname = "us.example"};
    struct delivery_message m = {.sender = "", .size = 100, .recipients = to, .n_recipients = MANY};
    struct run r = {.kind = KINDS};
    for (size_t i = 0; i < MANY; i++)
        to[i] = (struct queue_item_recipient){.address = (char *)"b@mx.example", .orcpt = (char *)""};
    r.session = delivery_session_new(&cfg, &ops, &r, 0);
    delivery_session_connected(r.session, 0);
    say(&r, SLICE("220 mx\r\n"));
    say(&r, SLICE("250-mx\r\n250 PIPELINING\r\n"));
    delivery_session_send(r.session, &m, 0);
    while (!r.closed) {
        r.now_ms += 299 * 1000;
        ck_assert_int_lt(r.now_ms, 40 * 60 * 1000);
        if (r.now_ms >= delivery_session_deadline(r.session))
            delivery_session_timeout(r.session, r.now_ms);
        say(&r, SLICE("250 ok\r\n"));
    }
    ck_assert_uint_eq(r.results, MANY);
    ck_assert_uint_eq(r.successes, 0);
    ck_assert_str_eq(r.last.enhanced, "4.4.2");
    strbuf_free(&r.in);
    strbuf_free(&r.left);
    delivery_session_free(&r.session);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery hostile");
    TCase *tc = tcase_create("hostile");
    tcase_add_loop_test(tc, test_outcome, 0, KINDS * STAGES);
    tcase_add_loop_test(tc, test_slow, 0, ARRAY_LEN(slow_rows));
    tcase_add_test(tc, test_slow_envelope);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
