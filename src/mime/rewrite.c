/* The second pass: octets are copied, and where an edit stands it is done. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the message as one run of octets -------------------------------------------------------- */

static ssize_t read_text(struct slice text, uint64_t offset, void *buf, size_t n)
{
    struct slice part = slice_sub(slice_skip(text, (size_t)offset), 0, n);
    memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

ssize_t plan_read(void *ctx, uint64_t offset, void *buf, size_t n)
{
    const struct mime_plan *plan = ctx;
    uint64_t header = plan->header.n;
    if (offset < header)
        return read_text(plan->header, offset, buf, n);
    if (offset < header + 2)
        return read_text(SLICE("\r\n"), offset - header, buf, n);
    return plan->body.read(plan->body.ctx, offset - header - 2, buf, n);
}

struct mime_source plan_source(struct mime_plan *plan)
{
    return (struct mime_source){plan_read, plan, plan->header.n + 2 + plan->body.size};
}

/* ---- edits ----------------------------------------------------------------------------------- */

struct rewriter {
    const struct mime_plan *plan;
    const struct mime_sink *to;
    struct err *err;
    struct strbuf out; /* encoded octets on their way */
    struct strbuf decoded;
    char buffer[READER_SIZE];
};

static int put(struct rewriter *w, struct slice bytes)
{
    return bytes.n == 0 ? 0 : w->to->write(w->to->ctx, bytes, w->err);
}

static int put_out(struct rewriter *w)
{
    if (w->out.failed || w->decoded.failed)
        return err_set(w->err, "out of memory");
    int status = put(w, strbuf_slice(&w->out));
    strbuf_reset(&w->out);
    strbuf_reset(&w->decoded);
    return status;
}

/* Up to a buffer of what stands at *from, below `to`. */
static int take(struct rewriter *w, uint64_t *from, uint64_t to, struct slice *ret)
{
    size_t want = to - *from < sizeof(w->buffer) ? (size_t)(to - *from) : sizeof(w->buffer);
    ssize_t n = plan_read((void *)w->plan, *from, w->buffer, want);
    if (n <= 0) {
        err_set(w->err, "cannot read the message again");
        return -1;
    }
    *from += (uint64_t)n;
    *ret = slice_from(w->buffer, (size_t)n);
    return 0;
}

static int copy(struct rewriter *w, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct slice bytes;
        if (take(w, &from, to, &bytes) < 0 || put(w, bytes) < 0)
            return -1;
    }
    return 0;
}

static int encode_qp(struct rewriter *w, const struct edit *e)
{
    struct mime_qp_encoder encoder = {.text = e->kind == EDIT_TO_QP_TEXT};
    uint64_t from = e->from;
    while (from < e->to) {
        struct slice bytes;
        if (take(w, &from, e->to, &bytes) < 0)
            return -1;
        mime_qp_encode(&encoder, bytes, &w->out);
        if (put_out(w) < 0)
            return -1;
    }
    mime_qp_encode_end(&encoder, e->at_end, &w->out);
    return put_out(w);
}

/* base64 from octets, or from base64. */
static int encode_base64(struct rewriter *w, const struct edit *e)
{
    struct mime_base64_encoder encoder = {0};
    struct mime_base64_decoder decoder = {0};
    uint64_t from = e->from;
    while (from < e->to) {
        struct slice bytes;
        if (take(w, &from, e->to, &bytes) < 0)
            return -1;
        if (e->kind == EDIT_REPAIR_BASE64) {
            if (mime_base64_decode(&decoder, bytes, &w->decoded) < 0)
                return err_set(w->err, "base64 reads differently the second time");
            bytes = strbuf_slice(&w->decoded);
        }
        mime_base64_encode(&encoder, bytes, &w->out);
        if (put_out(w) < 0)
            return -1;
    }
    mime_base64_encode_end(&encoder, e->at_end, &w->out);
    return put_out(w);
}

struct qp_repair {
    struct mime_qp_encoder encoder;
    struct strbuf *out;
};

static void repair_literal(void *ctx, unsigned char octet)
{
    struct qp_repair *r = ctx;
    qp_put(&r->encoder, octet, r->out);
}

static void repair_encoded(void *ctx, unsigned char octet)
{
    struct qp_repair *r = ctx;
    qp_put_encoded(&r->encoder, octet, r->out);
}

static void repair_break(void *ctx)
{
    struct qp_repair *r = ctx;
    qp_put_break(&r->encoder, r->out);
}

static int repair_qp(struct rewriter *w, const struct edit *e)
{
    struct mime_qp_decoder decoder = {0};
    struct qp_repair repair = {.out = &w->out};
    struct qp_tokens tokens = {repair_literal, repair_encoded, repair_break, &repair};
    uint64_t from = e->from;
    while (from < e->to) {
        struct slice bytes;
        if (take(w, &from, e->to, &bytes) < 0)
            return -1;
        if (qp_decode_tokens(&decoder, bytes, &tokens) < 0)
            return err_set(w->err, "quoted-printable reads differently the second time");
        if (put_out(w) < 0)
            return -1;
    }
    mime_qp_encode_end(&repair.encoder, e->at_end, &w->out);
    return put_out(w);
}

static int apply(struct rewriter *w, const struct edit *e)
{
    switch (e->kind) {
    case EDIT_KEEP:
        return copy(w, e->from, e->to);
    case EDIT_TEXT:
        return put(w, e->text);
    case EDIT_TO_QP_TEXT:
    case EDIT_TO_QP_DATA:
        return encode_qp(w, e);
    case EDIT_TO_BASE64:
    case EDIT_REPAIR_BASE64:
        return encode_base64(w, e);
    case EDIT_REPAIR_QP:
        return repair_qp(w, e);
    }
    return -1;
}

/* What stands from `from` to `to`; no edit reaches over either. */
static int rewrite(const struct mime_plan *plan, uint64_t from, uint64_t to, const struct mime_sink *sink,
                   struct err *err)
{
    struct rewriter *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return err_set(err, "out of memory");
    w->plan = plan;
    w->to = sink;
    w->err = err;
    int status = 0;
    for (const struct edit *e = plan->first; e != NULL && status == 0; e = e->next) {
        if (e->from < from || e->to > to)
            continue;
        status = copy(w, from, e->from) < 0 || apply(w, e) < 0 ? -1 : 0;
        from = e->to;
    }
    if (status == 0)
        status = copy(w, from, to);
    strbuf_free(&w->out);
    strbuf_free(&w->decoded);
    free(w);
    return status;
}

static int add_to_header(void *ctx, struct slice bytes, struct err *err)
{
    struct strbuf *header = ctx;
    strbuf_add_slice(header, bytes);
    return header->failed ? err_set(err, "out of memory") : 0;
}

int mime_rewrite(const struct mime_plan *plan, struct strbuf *header, const struct mime_sink *body, struct err *err)
{
    uint64_t empty_line = plan->header.n, begin = empty_line + 2;
    struct mime_sink to_header = {add_to_header, header};
    if (header != NULL && rewrite(plan, 0, empty_line, &to_header, err) < 0)
        return MIME_FAILED;
    if (body != NULL && rewrite(plan, begin, begin + plan->body.size, body, err) < 0)
        return MIME_FAILED;
    return 0;
}
