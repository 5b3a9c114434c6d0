/* base64.c - RFC 4648 section 4, strict. */
#include "sendas/base.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct strbuf *out, struct slice in)
{
    const unsigned char *p = (const unsigned char *)in.p;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t have = in.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        if (have > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (have > 2)
            v |= p[i + 2];
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], have > 1 ? alphabet[v >> 6 & 63] : '=',
                        have > 2 ? alphabet[v & 63] : '='};
        strbuf_add(out, four, sizeof(four));
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
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
    size_t before = out->n;
    if (in.n % 4 != 0)
        return -1;
    for (size_t i = 0; i < in.n; i += 4) {
        size_t pad = 0;
        if (i + 4 == in.n && in.p[i + 3] == '=')
            pad = in.p[i + 2] == '=' ? 2 : 1;
        unsigned char three[3];
        if (base64_decode_four(in.p + i, pad, three) < 0) {
            strbuf_truncate(out, before);
            return -1;
        }
        strbuf_add(out, three, 3 - pad);
    }
    return 0;
}
