/* Base64 in lines of 76 (RFC 2045 6.8), streaming: any chunking gives the same octets. */
#include "internal.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- encoding -------------------------------------------------------------------------------- */

/* The 1 to 3 octets at `p` as four characters; the line is ended before them, when it is full. */
static void put_group(struct mime_base64_encoder *e, const unsigned char *p, size_t n, struct strbuf *out)
{
    uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
    char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], n > 1 ? alphabet[v >> 6 & 63] : '=',
                    n > 2 ? alphabet[v & 63] : '='};
    if (e->column == MIME_ENCODED_LINE) {
        strbuf_add(out, "\r\n", 2);
        e->column = 0;
    }
    strbuf_add(out, four, sizeof(four));
    e->column = (unsigned char)(e->column + sizeof(four));
    e->begun = true;
}

void mime_base64_encode(struct mime_base64_encoder *e, struct slice in, struct strbuf *out)
{
    const unsigned char *p = (const unsigned char *)in.p;
    size_t i = 0;
    while (i < in.n && (e->n_rest > 0 || in.n - i < 3)) {
        e->rest[e->n_rest++] = p[i++];
        if (e->n_rest == 3) {
            put_group(e, e->rest, 3, out);
            e->n_rest = 0;
        }
    }
    for (; in.n - i >= 3; i += 3)
        put_group(e, p + i, 3, out);
    while (i < in.n)
        e->rest[e->n_rest++] = p[i++];
}

void mime_base64_encode_end(struct mime_base64_encoder *e, bool at_end, struct strbuf *out)
{
    if (e->n_rest > 0)
        put_group(e, e->rest, e->n_rest, out);
    if (at_end && e->begun)
        strbuf_add(out, "\r\n", 2);
    *e = (struct mime_base64_encoder){0};
}

uint64_t mime_base64_size(uint64_t n)
{
    uint64_t characters = (n + 2) / 3 * 4;
    return n == 0 ? 0 : characters + (characters - 1) / MIME_ENCODED_LINE * 2;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void take_character(struct mime_base64_decoder *d, char c, struct strbuf *out)
{
    int six = value_of(c);
    bool pad = c == '=' && d->n >= 2;
    if (d->done || (six < 0 && !pad) || (six >= 0 && d->pads > 0)) {
        d->failed = true;
        return;
    }
    d->pads = (unsigned char)(d->pads + pad);
    d->bits = d->bits << 6 | (uint32_t)(pad ? 0 : six);
    if (++d->n < 4)
        return;
    const char three[3] = {(char)(d->bits >> 16), (char)(d->bits >> 8), (char)d->bits};
    strbuf_add(out, three, 3u - d->pads);
    d->done = d->pads > 0;
    d->n = 0;
}

int mime_base64_decode(struct mime_base64_decoder *d, struct slice in, struct strbuf *out)
{
    for (size_t i = 0; i < in.n && !d->failed; i++) {
        char c = in.p[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            take_character(d, c, out);
    }
    return d->failed ? -1 : 0;
}

int mime_base64_decode_end(struct mime_base64_decoder *d)
{
    return d->failed || d->n > 0 ? -1 : 0;
}
