/* Encoded words (RFC 2047) in a display name, as far as they can mislead a reader of addresses.
 *
 * A reader that decodes before it parses sees an address in `=?utf-8?q?=3Ca=40b=3E?= <c@d>` where there is none; one
 * that stops at a decoded NUL or line end sees half of a name.  Both are refused; everything else is the owner's own
 * affair. */
#include "internal.h"

#include <string.h>

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?="    RFC 2047 2 */
struct encoded_word {
    bool base64;
    struct slice text;
    size_t end; /* where it ends, from its beginning; 0 when its end is missing */
};

/* Does an encoded word begin with `s`?  White space in the text is let pass: some write it, some decode it. */
static bool read_word(struct slice s, struct encoded_word *ret)
{
    struct slice charset, encoding;
    struct slice rest = slice_cut(slice_skip(s, 2), '?', &charset);
    rest = slice_cut(rest, '?', &encoding);
    if (charset.n == 0 || encoding.n != 1 || strchr("bBqQ", encoding.p[0]) == NULL)
        return false;
    /* RFC 2047 2: no '?' stands in encoded-text */
    size_t mark = slice_find(rest, '?');
    bool ends = mark + 1 < rest.n && rest.p[mark + 1] == '=';
    ret->base64 = strchr("bB", encoding.p[0]) != NULL;
    ret->text = slice_sub(rest, 0, mark);
    ret->end = ends ? (size_t)(rest.p - s.p) + mark + 2 : 0;
    return true;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'A' && ch <= 'F')
        return ch - 'A' + 10;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* "Q": RFC 2047 4.2 */
static int decode_q(struct strbuf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '=') {
            strbuf_add_char(out, text.p[i] == '_' ? ' ' : text.p[i]);
            continue;
        }
        if (text.n - i < 3 || hex_digit(text.p[i + 1]) < 0 || hex_digit(text.p[i + 2]) < 0)
            return -1;
        strbuf_add_char(out, (char)(hex_digit(text.p[i + 1]) * 16 + hex_digit(text.p[i + 2])));
        i += 2;
    }
    return 0;
}

/* Replaces what was decoded behind `start` by nothing when it shifts between character sets: there '<' and '@' are
 * halves of other characters (ISO-2022-JP and its kin).  -1 for control octets that no text holds. */
static int judge_decoded(struct strbuf *out, size_t start)
{
    bool shifts = false;
    for (size_t i = start; i < out->n; i++) {
        unsigned char ch = (unsigned char)out->p[i];
        if (ch == 0x1b || ch == 0x0e || ch == 0x0f)
            shifts = true;
        else if ((ch < ' ' && ch != '\t') || ch == 0x7f)
            return -1;
    }
    if (shifts)
        strbuf_truncate(out, start);
    return 0;
}

static int decode_display(struct strbuf *out, struct slice s)
{
    while (s.n > 0) {
        size_t plain = slice_find_slice(s, SLICE("=?"));
        strbuf_add_slice(out, slice_sub(s, 0, plain));
        s = slice_skip(s, plain);
        struct encoded_word word;
        if (s.n == 0 || !read_word(s, &word)) {
            s = slice_skip(s, 2);
            continue;
        }
        size_t start = out->n;
        if (word.end == 0 || (word.base64 ? base64_decode(out, word.text) : decode_q(out, word.text)) < 0 ||
            judge_decoded(out, start) < 0)
            return -1;
        s = slice_skip(s, word.end);
    }
    return 0;
}

enum word_verdict word_judge_display(struct slice display)
{
    if (slice_find_slice(display, SLICE("=?")) == display.n)
        return WORD_PLAIN;
    struct strbuf text = STRBUF_INIT;
    enum word_verdict verdict = WORD_PLAIN;
    int decoded = decode_display(&text, display);
    struct slice s = strbuf_slice(&text);
    if (text.failed)
        verdict = WORD_NO_MEMORY;
    else if (decoded < 0)
        verdict = WORD_MALFORMED;
    else if (slice_find(s, '@') != s.n && (slice_find(s, '<') != s.n || slice_find(s, '>') != s.n))
        verdict = WORD_ADDRESS;
    strbuf_free(&text);
    return verdict;
}
