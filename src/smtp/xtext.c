/* smtp/xtext.c - xtext = *( xchar / hexchar ), hexchar = "+" 2HEXDIG in upper case (RFC 3461 4). */
#include "internal.h"

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
