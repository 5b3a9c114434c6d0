/* Encoded words (RFC 2047): text as words that fit a line, in the encoding that makes it shorter. */
#include "internal.h"

#include <string.h>

enum { FRAME = 7 }; /* "=?" "?Q?" "?=" */

/* The octets that may stand for themselves in every place (RFC 2047 5 (3)). */
static bool is_q_safe(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!*+-/", c) != NULL);
}

static size_t q_length(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += is_q_safe(s.p[i]) || s.p[i] == ' ' ? 1 : 3;
    return n;
}

static size_t b_length(size_t n)
{
    return (n + 2) / 3 * 4;
}

static void put_q(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_q_safe(s.p[i]))
            strbuf_add_char(out, s.p[i]);
        else if (s.p[i] == ' ')
            strbuf_add_char(out, '_');
        else
            strbuf_addf(out, "=%02X", (unsigned char)s.p[i]);
    }
}

/* Octets of the first character, which is not to be split (RFC 2047 5). */
static size_t character_length(struct slice s, bool utf8)
{
    size_t n = 1;
    while (utf8 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n++;
    return n;
}

/* How much of `s` fits into `room` octets of encoded text. */
static size_t fitting(struct slice s, bool utf8, bool q, size_t room)
{
    size_t n = 0, used = 0;
    while (n < s.n) {
        size_t more = character_length(slice_skip(s, n), utf8);
        size_t length = q ? used + q_length(slice_sub(s, n, more)) : b_length(n + more);
        if (length > room && n > 0)
            break;
        used = length;
        n += more;
    }
    return n;
}

void mime_word_encode(struct strbuf *out, struct slice text, size_t first_max)
{
    bool utf8 = slice_is_utf8(text), q = q_length(text) <= b_length(text.n);
    const char *charset = utf8 ? "utf-8" : "unknown-8bit";
    size_t frame = FRAME + strlen(charset), max = first_max;
    for (bool first = true; text.n > 0; first = false) {
        size_t n = fitting(text, utf8, q, max - frame);
        strbuf_addf(out, "%s=?%s?%c?", first ? "" : " ", charset, q ? 'Q' : 'B');
        if (q)
            put_q(out, slice_sub(text, 0, n));
        else
            base64_encode(out, slice_sub(text, 0, n));
        strbuf_add_str(out, "?=");
        text = slice_skip(text, n);
        max = MIME_WORD_MAX;
    }
}
