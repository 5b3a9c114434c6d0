/* tests/mime/naive.h - a second reader of MIME messages, in memory and top-down: what each part decodes to.
 *
 * It is written to be obvious, not to be good: outer boundaries are looked for first, over the whole text.  Two
 * messages that it reads the same have the same parts in the same order with the same octets. */
#ifndef SENDAS_TESTS_MIME_NAIVE_H
#define SENDAS_TESTS_MIME_NAIVE_H

#include "sendas/message.h"
#include "sendas/mime.h"

#include <string.h>

static inline void naive_entity(struct strbuf *out, struct slice text, bool in_digest, unsigned depth);

static inline struct slice naive_line(struct slice text)
{
    size_t n = slice_find_slice(text, SLICE("\r\n"));
    return slice_sub(text, 0, n < text.n ? n + 2 : n);
}

/* Takes the header and its empty line off. */
static inline struct slice naive_header(struct slice *text)
{
    struct slice header = *text;
    size_t n = 0;
    while (n < text->n) {
        struct slice line = naive_line(slice_skip(*text, n));
        n += line.n;
        if (slice_eq(line, SLICE("\r\n"))) {
            header.n = n - 2;
            *text = slice_skip(*text, n);
            return header;
        }
    }
    *text = SLICE("");
    return header;
}

static inline bool naive_is_boundary(struct slice line, struct slice boundary, bool *closes)
{
    if (!slice_starts(line, SLICE("--")) || !slice_starts(slice_skip(line, 2), boundary))
        return false;
    struct slice rest = slice_skip(line, 2 + boundary.n);
    *closes = slice_starts(rest, SLICE("--"));
    return slice_trim(slice_skip(rest, *closes ? 2 : 0)).n == 0;
}

static inline void naive_part(struct strbuf *out, struct slice text, size_t from, size_t to, bool digest,
                              unsigned depth)
{
    /* the CRLF before a boundary belongs to the boundary */
    size_t end = to >= from + 2 ? to - 2 : from;
    strbuf_add_str(out, "[part]");
    naive_entity(out, slice_sub(text, from, end - from), digest, depth);
}

/* false when there is no boundary line. */
static inline bool naive_parts(struct strbuf *out, struct slice text, struct slice boundary, bool digest,
                               unsigned depth)
{
    size_t at = 0, from = 0;
    bool any = false, closes = false;
    while (at < text.n && !closes) {
        struct slice line = naive_line(slice_skip(text, at));
        if (naive_is_boundary(line, boundary, &closes)) {
            if (any)
                naive_part(out, text, from, at, digest, depth);
            any = true;
            from = at + line.n;
        } else {
            closes = false;
        }
        at += line.n;
    }
    if (any && !closes) {
        strbuf_add_str(out, "[part]");
        naive_entity(out, slice_skip(text, from), digest, depth);
    }
    return any;
}

static inline bool naive_boundary(struct slice params, struct strbuf *boundary)
{
    struct mime_param p;
    int more;
    while ((more = mime_param_next(&params, &p)) > 0) {
        if (slice_eq_icase(p.name, SLICE("boundary")) && boundary->n == 0)
            mime_param_text(&p, boundary);
    }
    return boundary->n > 0;
}

static inline void naive_leaf(struct strbuf *out, struct slice text, struct slice encoding)
{
    struct mime_qp_decoder qp = {0};
    struct mime_base64_decoder base64 = {0};
    size_t before = out->n;
    if (slice_eq_icase(encoding, SLICE("quoted-printable"))) {
        if (mime_qp_decode(&qp, text, out) == 0 && mime_qp_decode_end(&qp) == 0)
            return;
    } else if (slice_eq_icase(encoding, SLICE("base64"))) {
        if (mime_base64_decode(&base64, text, out) == 0 && mime_base64_decode_end(&base64) == 0)
            return;
    }
    strbuf_truncate(out, before);
    strbuf_add_slice(out, text);
}

static inline void naive_entity(struct strbuf *out, struct slice text, bool in_digest, unsigned depth)
{
    struct arena a = ARENA_INIT(0);
    struct strbuf boundary = STRBUF_INIT;
    struct field_list fields;
    struct mime_value type = {.type = SLICE("text"), .subtype = SLICE("plain")}, encoding = {.type = SLICE("")};
    struct slice all = text, header = naive_header(&text);
    if (depth > MIME_DEPTH_MAX + 2 || fields_parse(&a, header, &fields, NULL) < 0) {
        strbuf_add_slice(out, all);
    } else {
        const struct field *ct = fields_get(&fields, SLICE("Content-Type"), 0);
        const struct field *cte = fields_get(&fields, SLICE("Content-Transfer-Encoding"), 0);
        if (ct == NULL && in_digest)
            type = (struct mime_value){.type = SLICE("message"), .subtype = SLICE("rfc822")};
        if (ct != NULL && mime_value_parse(ct->value, &type) < 0)
            type = (struct mime_value){.type = SLICE("broken"), .subtype = SLICE("")};
        if (cte != NULL && mime_value_parse(cte->value, &encoding) < 0)
            encoding.type = SLICE("");
        strbuf_addf(out, "<%.*s/%.*s>", SLICE_ARG(type.type), SLICE_ARG(type.subtype));
        if (slice_eq_icase(type.type, SLICE("multipart")) && naive_boundary(type.params, &boundary) &&
            naive_parts(out, text, strbuf_slice(&boundary), slice_eq_icase(type.subtype, SLICE("digest")), depth + 1))
            strbuf_add_str(out, "[end]");
        else if (slice_eq_icase(type.type, SLICE("message")) && slice_eq_icase(type.subtype, SLICE("rfc822")) &&
                 encoding.type.n <= 6 && !slice_eq_icase(encoding.type, SLICE("base64")))
            naive_entity(out, text, false, depth + 1);
        else
            naive_leaf(out, text, encoding.type);
    }
    strbuf_free(&boundary);
    arena_free(&a);
}

/* What the message says, part by part. */
static inline void naive_read(struct strbuf *out, struct slice header, struct slice body)
{
    struct strbuf whole = STRBUF_INIT;
    strbuf_add_slice(&whole, header);
    strbuf_add_str(&whole, "\r\n");
    strbuf_add_slice(&whole, body);
    naive_entity(out, strbuf_slice(&whole), false, 0);
    strbuf_free(&whole);
}

/* ---- a message in memory --------------------------------------------------------------------- */

static inline ssize_t naive_source_read(void *ctx, uint64_t offset, void *buf, size_t n)
{
    const struct slice *text = ctx;
    struct slice part = slice_sub(*text, (size_t)offset, n);
    if (part.n > 0)
        memcpy(buf, part.p, part.n);
    return (ssize_t)part.n;
}

static inline int naive_sink_write(void *ctx, struct slice bytes, struct err *err)
{
    struct strbuf *out = ctx;
    strbuf_add_slice(out, bytes);
    return out->failed ? err_set(err, "out of memory") : 0;
}

/* Scans and rewrites; both outputs are filled when the scan says 0.  *body is borrowed by nothing after it. */
static inline int naive_normalise(struct slice header, struct slice body, bool smtputf8, struct strbuf *ret_header,
                                  struct strbuf *ret_body, struct mime_report *report, struct err *err)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct mime_source source = {naive_source_read, &body, body.n};
    struct mime_sink sink = {naive_sink_write, ret_body};
    struct mime_plan *plan;
    int status = mime_scan(&a, header, &source, smtputf8, &plan, err);
    if (status == 0) {
        *report = *mime_plan_report(plan);
        status = mime_rewrite(plan, ret_header, &sink, err);
    }
    arena_free(&a);
    return status;
}

static inline size_t naive_line_max(struct slice text)
{
    size_t max = 0;
    while (text.n > 0) {
        size_t n = slice_find_slice(text, SLICE("\r\n"));
        max = n > max ? n : max;
        text = slice_skip(text, n + 2);
    }
    return max;
}

#endif
