/* Quoted-printable and base64: what is encoded, in any chunking, decodes to itself, in any chunking, and is made of
 * lines that no hop touches. */
#include "sendas/mime.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void encode_qp(struct strbuf *out, struct slice in, size_t chunk, bool text, bool at_end)
{
    struct mime_qp_encoder e = {.text = text};
    for (size_t i = 0; i < in.n; i += chunk)
        mime_qp_encode(&e, slice_sub(in, i, chunk), out);
    mime_qp_encode_end(&e, at_end, out);
}

static int decode_qp(struct strbuf *out, struct slice in, size_t chunk)
{
    struct mime_qp_decoder d = {0};
    for (size_t i = 0; i < in.n; i += chunk) {
        if (mime_qp_decode(&d, slice_sub(in, i, chunk), out) < 0)
            return -1;
    }
    return mime_qp_decode_end(&d);
}

static void encode_base64(struct strbuf *out, struct slice in, size_t chunk, bool at_end)
{
    struct mime_base64_encoder e = {0};
    for (size_t i = 0; i < in.n; i += chunk)
        mime_base64_encode(&e, slice_sub(in, i, chunk), out);
    mime_base64_encode_end(&e, at_end, out);
}

static int decode_base64(struct strbuf *out, struct slice in, size_t chunk)
{
    struct mime_base64_decoder d = {0};
    for (size_t i = 0; i < in.n; i += chunk) {
        if (mime_base64_decode(&d, slice_sub(in, i, chunk), out) < 0)
            return -1;
    }
    return mime_base64_decode_end(&d);
}

static void judge_lines(struct slice s, bool at_end)
{
    require(slice_is_ascii(s));
    bool after_soft = false;
    while (s.n > 0) {
        size_t n = slice_find_slice(s, SLICE("\r\n"));
        struct slice line = slice_sub(s, 0, n);
        require(!at_end || n < s.n);
        require(line.n <= MIME_ENCODED_LINE && slice_find(line, '\r') == line.n && slice_find(line, '\n') == line.n);
        require(line.n == 0 || (line.p[line.n - 1] != ' ' && line.p[line.n - 1] != '\t'));
        require(!slice_starts(line, SLICE("From ")) && !slice_eq(line, SLICE(".")));
        require(!after_soft || !slice_starts(line, SLICE("--")));
        after_soft = line.n > 0 && line.p[line.n - 1] == '=';
        s = slice_skip(s, n + 2);
    }
}

static void round_trip(struct slice in, size_t chunk, bool text, bool at_end)
{
    struct strbuf qp = STRBUF_INIT, chunked = STRBUF_INIT, back = STRBUF_INIT;
    encode_qp(&qp, in, in.n + 1, text, at_end);
    encode_qp(&chunked, in, chunk, text, at_end);
    require(slice_eq(strbuf_slice(&qp), strbuf_slice(&chunked)));
    judge_lines(strbuf_slice(&qp), at_end);
    require(decode_qp(&back, strbuf_slice(&qp), chunk) == 0 && slice_eq(strbuf_slice(&back), in));
    strbuf_reset(&qp);
    strbuf_reset(&chunked);
    strbuf_reset(&back);
    encode_base64(&qp, in, in.n + 1, at_end);
    encode_base64(&chunked, in, chunk, at_end);
    require(slice_eq(strbuf_slice(&qp), strbuf_slice(&chunked)));
    judge_lines(strbuf_slice(&qp), at_end);
    require(qp.n == mime_base64_size(in.n) + (at_end && in.n > 0 ? 2 : 0));
    require(decode_base64(&back, strbuf_slice(&qp), chunk) == 0 && slice_eq(strbuf_slice(&back), in));
    strbuf_free(&qp);
    strbuf_free(&chunked);
    strbuf_free(&back);
}

/* What others encoded reads the same in any chunking. */
static void read_any(struct slice in, size_t chunk, int (*decode)(struct strbuf *, struct slice, size_t))
{
    struct strbuf whole = STRBUF_INIT, chunked = STRBUF_INIT;
    int status = decode(&whole, in, in.n + 1);
    require(decode(&chunked, in, chunk) == status);
    require(status < 0 || slice_eq(strbuf_slice(&whole), strbuf_slice(&chunked)));
    strbuf_free(&whole);
    strbuf_free(&chunked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t chunk = (data[0] & 31u) + 1;
    struct slice in = slice_from(data + 1, size - 1);
    round_trip(in, chunk, (data[0] & 32) != 0, (data[0] & 64) != 0);
    read_any(in, chunk, decode_qp);
    read_any(in, chunk, decode_base64);
    return 0;
}
