/* base64.c - RFC 4648 section 4, strict. */
#include "sendas/base.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct strbuf *out, struct slice in)
{
    const unsigned char *p = (const unsigned char *)in.p;
    char text[64]; /* added to `out` in one go */
    size_t n = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t have = in.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        if (have > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (have > 2)
            v |= p[i + 2];
        text[n++] = alphabet[v >> 18];
        text[n++] = alphabet[v >> 12 & 63];
        text[n++] = have > 1 ? alphabet[v >> 6 & 63] : '=';
        text[n++] = have > 2 ? alphabet[v & 63] : '=';
        if (n == sizeof(text)) {
            strbuf_add(out, text, n);
            n = 0;
        }
    }
    strbuf_add(out, text, n);
}

/* All of `bits` when c is one of the `n` characters from `first` on, otherwise none. */
static unsigned if_among(unsigned char c, unsigned char first, unsigned n, unsigned bits)
{
    return (unsigned)c - first < n ? bits : 0;
}

/* -1 for what is none.  Without branches, since nobody foresees what kind of character the next one is. */
static int base64_value(char c)
{
    unsigned char u = (unsigned char)c;
    unsigned v = if_among(u, 'A', 26, u - 'A' + 1U) | if_among(u, 'a', 26, u - 'a' + 27U) |
                 if_among(u, '0', 10, u - '0' + 53U) | if_among(u, '+', 1, 63) | if_among(u, '/', 1, 64);
    return (int)v - 1;
}

/* Four characters, of which the last `pad` are '=', as 3 - pad octets. */
static int base64_decode_four(const char *four, size_t pad, unsigned char three[3])
{
    uint32_t v = 0;
    for (size_t k = 0; k < 4; k++) {
        int six = k >= 4 - pad ? 0 : base64_value(four[k]);
        if (six < 0)
            return -1;
        v = v << 6 | (uint32_t)six;
    }
    three[0] = (unsigned char)(v >> 16);
    three[1] = (unsigned char)(v >> 8);
    three[2] = (unsigned char)v;
    /* RFC 4648 3.5: bits that stand for nothing must be zero, so that a text has one encoding. */
    return (pad >= 1 && three[2] != 0) || (pad == 2 && three[1] != 0) ? -1 : 0;
}

int base64_decode(struct strbuf *out, struct slice in)
{
    size_t before = out->n, n = 0;
    unsigned char octets[48]; /* added to `out` in one go */
    if (in.n % 4 != 0)
        return -1;
    for (size_t i = 0; i < in.n; i += 4) {
        size_t pad = 0;
        if (i + 4 == in.n && in.p[i + 3] == '=')
            pad = in.p[i + 2] == '=' ? 2 : 1;
        if (base64_decode_four(in.p + i, pad, octets + n) < 0) {
            strbuf_truncate(out, before);
            return -1;
        }
        n += 3 - pad;
        if (n == sizeof(octets)) {
            strbuf_add(out, octets, n);
            n = 0;
        }
    }
    strbuf_add(out, octets, n);
    return 0;
}
