/* delivery/subject.c - a subject found, read and repeated. */
#include "subject.h"

#include "sendas/mime.h"

#include <string.h>

enum { SUBJECT_MAX = 400, SUBJECT_LINE = 76 };

/* ---- found ----------------------------------------------------------------------------------- */

/* A field goes on where the next line begins with a blank (RFC 5322 2.2.3). */
static struct slice take_field(struct slice *header)
{
    size_t n = 0;
    do {
        n += slice_find(slice_skip(*header, n), '\n');
        n += n < header->n;
    } while (n < header->n && (header->p[n] == ' ' || header->p[n] == '\t'));
    struct slice field = slice_sub(*header, 0, n);
    *header = slice_skip(*header, n);
    return field;
}

struct slice subject_of(struct slice header)
{
    while (header.n > 0 && !slice_starts(header, SLICE("\r\n"))) {
        struct slice name, value = slice_cut(take_field(&header), ':', &name);
        if (slice_eq_icase(name, SLICE("Subject")))
            return slice_trim(value);
    }
    return SLICE("");
}

/* ---- encoded words
 * --------------------------------------------------------------------------------------------------- */

/* "=?" charset "?" encoding "?" encoded-text "?=" at the beginning of `s`; its length, or 0. */
static size_t match_word(struct slice s, struct encoded_word *ret)
{
    struct slice kind, rest = slice_skip(s, 2);
    rest = slice_cut(rest, '?', &ret->charset);
    rest = slice_cut(rest, '?', &kind);
    size_t n = slice_find_slice(rest, SLICE("?="));
    if (ret->charset.n == 0 || kind.n != 1 || n == rest.n || strchr("BbQq", kind.p[0]) == NULL || kind.p[0] == '\0')
        return 0;
    ret->encoding = kind.p[0] == 'B' || kind.p[0] == 'b' ? 'B' : 'Q';
    ret->text = slice_sub(rest, 0, n);
    return (size_t)(ret->text.p + n + 2 - s.p);
}

bool encoded_word_next(struct slice *rest, struct slice *before, struct encoded_word *ret)
{
    size_t at = 0;
    while ((at += slice_find_slice(slice_skip(*rest, at), SLICE("=?"))) < rest->n) {
        size_t n = match_word(slice_skip(*rest, at), ret);
        if (n > 0) {
            *before = slice_sub(*rest, 0, at);
            *rest = slice_skip(*rest, at + n);
            return true;
        }
        at += 2;
    }
    *before = *rest;
    *rest = SLICE("");
    return false;
}

void encoded_word_decode(const struct encoded_word *w, struct strbuf *out)
{
    if (w->encoding == 'B') {
        base64_decode(out, w->text);
        return;
    }
    struct mime_qp_decoder qp = {0};
    struct slice rest = w->text, piece;
    while (rest.n > 0) {
        bool blank = slice_find(rest, '_') < rest.n;
        rest = slice_cut(rest, '_', &piece);
        mime_qp_decode(&qp, piece, out);
        if (blank)
            mime_qp_decode(&qp, SLICE("=20"), out); /* RFC 2047 4.2 (2) */
    }
    mime_qp_decode_end(&qp);
}

/* ---- read
 * ------------------------------------------------------------------------------------------------------------- */

static bool is_blank(struct slice s)
{
    return slice_trim(s).n == 0;
}

static void add_line(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\r' && s.p[i] != '\n')
            strbuf_add_char(out, s.p[i] == '\t' ? ' ' : s.p[i]);
}

static bool is_readable(struct slice charset)
{
    return slice_eq_icase(charset, SLICE("utf-8")) || slice_eq_icase(charset, SLICE("us-ascii"));
}

int subject_decode(struct slice value, struct strbuf *out)
{
    size_t start = out->n;
    struct slice rest = slice_sub(value, 0, SUBJECT_MAX * 4), before;
    struct encoded_word w;
    bool readable = true, more = true, after_word = false;
    while (more) {
        more = encoded_word_next(&rest, &before, &w);
        if (!(more && after_word && is_blank(before))) /* RFC 2047 6.2: blanks between two words are none */
            add_line(out, before);
        if (more) {
            readable = readable && is_readable(w.charset);
            encoded_word_decode(&w, out);
        }
        after_word = more;
    }
    struct slice text = slice_skip(strbuf_slice(out), start);
    if (readable && !is_blank(text) && slice_is_utf8(text) && !out->failed)
        return 0;
    strbuf_truncate(out, start);
    return -1;
}

/* ---- repeated
 * ----------------------------------------------------------------------------------------------------------- */

/* Not longer than `max`, and not cut within a character. */
static struct slice cut_utf8(struct slice s, size_t max)
{
    struct slice cut = slice_sub(s, 0, max);
    while (cut.n > 0 && cut.n < s.n && ((unsigned char)s.p[cut.n] & 0xc0) == 0x80)
        cut.n--;
    return cut;
}

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x21 || (unsigned char)s.p[i] > 0x7e)
            return false;
    return true;
}

/* Word by word; the first that is no plain text, or that is one too many, ends it. */
static void add_words(struct slice value, size_t column, struct strbuf *out)
{
    size_t total = 0;
    while (value.n > 0) {
        size_t n = 0;
        value = slice_trim(value);
        while (n < value.n && strchr(" \t\r\n", value.p[n]) == NULL)
            n++;
        struct slice word = slice_sub(value, 0, n);
        value = slice_skip(value, n);
        if (n == 0 || !is_printable(word) || total + n > SUBJECT_MAX)
            return;
        bool fold = column + 1 + n > SUBJECT_LINE;
        strbuf_add_str(out, fold ? "\r\n " : " ");
        strbuf_add_slice(out, word);
        column = fold ? 1 + n : column + 1 + n;
        total += n;
    }
}

int subject_repeat(struct slice value, size_t column, struct strbuf *out)
{
    size_t start = out->n;
    if (slice_is_ascii(value)) {
        add_words(value, column, out);
    } else if (slice_is_utf8(value)) {
        struct strbuf line = {.max = SUBJECT_MAX * 4};
        add_line(&line, cut_utf8(value, SUBJECT_MAX));
        strbuf_add_str(out, "\r\n ");
        mime_word_encode(out, strbuf_slice(&line), MIME_WORD_MAX);
        strbuf_free(&line);
    }
    return out->n > start ? 0 : -1;
}
