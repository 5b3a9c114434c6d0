/* The normal form: what comes out has no line above 998 octets and no 8-bit octet that was not reported, is in normal
 * form itself, and a second reader finds the same parts with the same octets in it. */
#include "mime/naive.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* As the server lets it in: CRLF, no bare CR or LF, no NUL. */
static void add_lines(struct strbuf *out, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            strbuf_add_char(out, '\r');
        if (data[i] != '\r' && data[i] != '\0')
            strbuf_add_char(out, (char)data[i]);
    }
    if (out->n > 0 && out->p[out->n - 1] != '\n')
        strbuf_add_str(out, "\r\n");
}

static void judge(struct slice header, struct slice body, const struct mime_report *r, bool smtputf8)
{
    require(naive_line_max(header) <= MESSAGE_LINE_MAX && naive_line_max(body) <= MESSAGE_LINE_MAX);
    require(smtputf8 ? slice_is_utf8(header) : slice_is_ascii(header));
    require(slice_is_ascii(body) != r->kept_8bit);
}

static void judge_second(struct slice header, struct slice body, bool smtputf8, bool kept)
{
    struct strbuf new_header = STRBUF_INIT, new_body = STRBUF_INIT;
    struct mime_report r;
    struct err err;
    require(naive_normalise(header, body, smtputf8, &new_header, &new_body, &r, &err) == 0);
    require(!r.header_changed && !r.body_changed && r.kept_8bit == kept);
    require(slice_eq(strbuf_slice(&new_header), header) && slice_eq(strbuf_slice(&new_body), body));
    strbuf_free(&new_header);
    strbuf_free(&new_body);
}

static void judge_parts(struct slice header, struct slice body, struct slice new_header, struct slice new_body)
{
    struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
    naive_read(&before, header, body);
    naive_read(&after, new_header, new_body);
    require(slice_eq(strbuf_slice(&before), strbuf_slice(&after)));
    strbuf_free(&before);
    strbuf_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf text = STRBUF_INIT, new_header = STRBUF_INIT, new_body = STRBUF_INIT;
    struct mime_report r;
    struct err err = {{0}};
    if (size == 0)
        return 0;
    bool smtputf8 = data[0] == '8';
    add_lines(&text, data + 1, size - 1);
    struct slice body = strbuf_slice(&text), header = naive_header(&body);
    int status = naive_normalise(header, body, smtputf8, &new_header, &new_body, &r, &err);
    require(status == 0 ||
            ((status == MIME_REFUSED || (status == MIME_NEEDS_UTF8 && !smtputf8)) && err.text[0] != '\0'));
    if (status == 0) {
        struct slice h = strbuf_slice(&new_header), b = strbuf_slice(&new_body);
        require(r.header_changed == !slice_eq(h, header) && r.body_changed == !slice_eq(b, body));
        if (mime_is_plain(header, !slice_is_ascii(body), naive_line_max(body) > MESSAGE_LINE_MAX))
            require(r.to_quoted_printable + r.to_base64 == 0 && !r.kept_8bit);
        judge(h, b, &r, smtputf8);
        judge_second(h, b, smtputf8, r.kept_8bit);
        judge_parts(header, body, h, b);
    }
    strbuf_free(&text);
    strbuf_free(&new_header);
    strbuf_free(&new_body);
    return 0;
}
