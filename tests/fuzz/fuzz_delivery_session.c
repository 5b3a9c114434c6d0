/* A hostile mail server: the input is what it sends, the first octet chooses how the session is set up, and a 0xff
 * octet makes the other side do its next step.  Checked: each recipient gets exactly one verdict, nothing is sent or
 * told after the end. */
#include "sendas/delivery.h"

#include <stdlib.h>
#include <string.h>

enum { RECIPIENTS = 3 };

struct fuzz {
    struct delivery_session *session;
    struct delivery_message message;
    unsigned verdicts[RECIPIENTS];
    bool sending, ready, want, tls, closed, failed;
    unsigned messages, chunks;
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void op_send(void *ctx, struct slice bytes)
{
    struct fuzz *f = ctx;
    require(!f->closed && bytes.n > 0);
}

static void op_start_tls(void *ctx)
{
    ((struct fuzz *)ctx)->tls = true;
}

static void op_close(void *ctx)
{
    struct fuzz *f = ctx;
    require(!f->closed && !f->sending);
    f->closed = true;
}

static void op_ready(void *ctx)
{
    struct fuzz *f = ctx;
    require(!f->sending && !f->failed);
    f->ready = true;
}

static void op_failed(void *ctx, const struct smtp_verdict *v)
{
    struct fuzz *f = ctx;
    require(!f->failed && !f->sending && v->code >= 400 && v->code < 600);
    f->failed = true;
}

static void op_want(void *ctx)
{
    ((struct fuzz *)ctx)->want = true;
}

static void op_result(void *ctx, size_t i, const struct smtp_verdict *v)
{
    struct fuzz *f = ctx;
    require(f->sending && i < RECIPIENTS && f->verdicts[i]++ == 0);
    require(smtp_is_success(v) || smtp_is_temporary(v) || smtp_is_permanent(v));
}

static void op_finished(void *ctx)
{
    struct fuzz *f = ctx;
    require(f->sending);
    for (size_t i = 0; i < RECIPIENTS; i++)
        require(f->verdicts[i] == 1);
    f->sending = f->want = false;
}

static const struct delivery_session_ops ops = {op_send,   op_start_tls, op_close,  op_ready,
                                                op_failed, op_want,      op_result, op_finished};

static void step(struct fuzz *f, int64_t now_ms)
{
    static const char content[] = "Subject: x\r\n\r\n.dot\r\n..\r\nmore\r\n";
    if (f->tls) {
        f->tls = false;
        delivery_session_tls_done(f->session, now_ms % 3 != 0, "TLSv1.3", now_ms);
    } else if (f->want) {
        f->want = false;
        delivery_session_content(f->session, slice_from(content, sizeof(content) - 1), f->chunks++ % 3 == 2, false,
                                 now_ms);
    } else if (f->ready && delivery_session_state(f->session) == DELIVERY_IDLE) {
        f->ready = false;
        memset(f->verdicts, 0, sizeof(f->verdicts));
        f->sending = true;
        if (f->messages++ < 5) {
            delivery_session_send(f->session, &f->message, now_ms);
        } else {
            f->sending = false;
            delivery_session_quit(f->session, now_ms);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct queue_item_recipient recipients[RECIPIENTS] = {
        {.address = (char[]){"a@example.net"}, .orcpt = (char[]){""}},
        {.address = (char[]){"b@example.net"}, .orcpt = (char[]){"rfc822;b"}},
        {.address = (char[]){"c@example.net"}, .orcpt = (char[]){""}, .notify = 14}};
    uint8_t flags = size > 0 ? data[0] : 0;
    struct delivery_session_config cfg = {
        .hostname = "mail.example.com", .tls_required = flags & 1, .tls_disabled = flags & 2};
    if (flags & 4) {
        cfg.user = "joe";
        cfg.password = "secret";
    }
    struct fuzz f = {.message = {.sender = "s@example.com",
                                 .size = 100,
                                 .envid = "e",
                                 .recipients = recipients,
                                 .n_recipients = RECIPIENTS}};
    f.message.smtputf8 = flags & 8;
    f.message.eightbit = flags & 16;
    int64_t now_ms = flags;
    f.session = delivery_session_new(&cfg, &ops, &f, now_ms);
    require(f.session != NULL);
    delivery_session_connected(f.session, now_ms);
    struct slice rest = slice_skip(slice_from(data, size), 1), part;
    struct strbuf left = STRBUF_INIT;
    while (rest.n > 0 && !f.closed) {
        rest = slice_cut(rest, '\xff', &part);
        strbuf_add_slice(&left, part);
        size_t used = delivery_session_feed(f.session, strbuf_slice(&left), ++now_ms);
        require(used <= left.n && left.n - used <= SMTP_REPLY_LINE_MAX);
        if (left.n > 0)
            memmove(left.p, left.p + used, left.n - used);
        strbuf_truncate(&left, left.n - used);
        if (!f.closed)
            step(&f, now_ms);
    }
    if (flags & 32)
        delivery_session_timeout(f.session, delivery_session_deadline(f.session));
    delivery_session_lost(f.session, "end of file", now_ms);
    require(f.closed && !f.sending && delivery_session_state(f.session) == DELIVERY_DONE);
    strbuf_free(&left);
    delivery_session_free(&f.session);
    return 0;
}
