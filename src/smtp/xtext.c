/* smtp/xtext.c - xtext = *( xchar / hexchar ), hexchar = "+" 2HEXDIG in upper case (RFC 3461 4). */
#include "internal.h"

#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

ssize_t smtp_xtext_decode_into(char *out, size_t cap, struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int octet = (unsigned char)s.p[i];
        if (octet == '+') {
            bool whole = s.n - i > 2;
            int high = whole ? hex_value(s.p[i + 1]) : -1;
            int low = whole ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            octet = high << 4 | low;
            i += 2;
        } else if (!smtp_is_xchar(octet)) {
            return -1;
        }
        if (n == cap)
            return -1;
        out[n++] = (char)octet;
    }
    return smtp_has_control(slice_from(out, n)) ? -1 : (ssize_t)n;
}

struct slice smtp_xtext_decode(struct arena *a, struct slice s)
{
    char *out = arena_alloc(a, s.n + 1);
    ssize_t n = out == NULL ? -1 : smtp_xtext_decode_into(out, s.n, s);
    return n < 0 ? slice_from(NULL, 0) : slice_from(out, (size_t)n);
}

/* One code point of well-formed UTF-8. */
static unsigned take_code_point(struct slice *s)
{
    unsigned char lead = (unsigned char)s->p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned c = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n && i < s->n; i++)
        c = c << 6 | ((unsigned char)s->p[i] & 0x3fU);
    *s = slice_skip(*s, n);
    return c;
}

/* QCHAR = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e; EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"     RFC 6533 3
 * `special`: visible ASCII that has to be embedded too. */
static void encode_utf8(struct strbuf *out, struct slice s, const char *special)
{
    bool utf8 = slice_is_utf8(s);
    while (s.n > 0) {
        unsigned char octet = (unsigned char)s.p[0];
        if (octet >= 0x80 && !utf8) {
            strbuf_add_char(out, '?');
            s = slice_skip(s, 1);
        } else if (octet >= 0x80 || octet <= ' ' || octet == 0x7f || strchr(special, octet) != NULL) {
            strbuf_addf(out, "\\x{%02X}", take_code_point(&s));
        } else {
            strbuf_add_char(out, (char)octet);
            s = slice_skip(s, 1);
        }
    }
}

void smtp_utf8_xtext_encode(struct strbuf *out, struct slice s)
{
    encode_utf8(out, s, "\\+=");
}

void smtp_utf8_xtext_finish(struct strbuf *out, struct slice s)
{
    encode_utf8(out, s, "");
}

void smtp_xtext_encode(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char octet = (unsigned char)s.p[i];
        if (smtp_is_xchar(octet))
            strbuf_add_char(out, (char)octet);
        else
            strbuf_addf(out, "+%02X", octet);
    }
}
