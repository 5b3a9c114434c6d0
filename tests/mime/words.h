/* tests/mime/words.h - a reader of encoded words (RFC 2047), for the tests: what a field's text says. */
#ifndef SENDAS_TESTS_MIME_WORDS_H
#define SENDAS_TESTS_MIME_WORDS_H

#include "sendas/mime.h"

#include <string.h>

static inline void words_decode_q(struct strbuf *out, struct slice text)
{
    struct strbuf spaced = STRBUF_INIT;
    struct mime_qp_decoder d = {0};
    for (size_t i = 0; i < text.n; i++)
        strbuf_add_str(&spaced, text.p[i] == '_' ? "=20" : (char[]){text.p[i], '\0'});
    size_t before = out->n;
    if (mime_qp_decode(&d, strbuf_slice(&spaced), out) < 0 || mime_qp_decode_end(&d) < 0) {
        strbuf_truncate(out, before);
        strbuf_add_slice(out, text);
    }
    strbuf_free(&spaced);
}

static inline void words_decode_b(struct strbuf *out, struct slice text)
{
    struct mime_base64_decoder d = {0};
    size_t before = out->n;
    if (mime_base64_decode(&d, text, out) < 0 || mime_base64_decode_end(&d) < 0) {
        strbuf_truncate(out, before);
        strbuf_add_slice(out, text);
    }
}

/* Decodes `word` when it is an encoded word. */
static inline bool words_decode_one(struct strbuf *out, struct slice word)
{
    struct slice charset, encoding, text;
    if (!slice_starts(word, SLICE("=?")) || !slice_is_ascii(word))
        return false;
    struct slice rest = slice_cut(slice_skip(word, 2), '?', &charset);
    rest = slice_cut(rest, '?', &encoding);
    rest = slice_cut(rest, '?', &text);
    if (charset.n == 0 || encoding.n != 1 || strchr("bBqQ", encoding.p[0]) == NULL || !slice_eq(rest, SLICE("=")))
        return false;
    if (strchr("bB", encoding.p[0]) != NULL)
        words_decode_b(out, text);
    else
        words_decode_q(out, text);
    return true;
}

/* White space between two encoded words is not shown (RFC 2047 6.2); folds are undone. */
static inline void words_decode(struct strbuf *out, struct slice text)
{
    struct strbuf unfolded = STRBUF_INIT;
    bool after_word = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\r' && text.p[i] != '\n')
            strbuf_add_char(&unfolded, text.p[i]);
    }
    struct slice s = slice_trim(strbuf_slice(&unfolded));
    while (s.n > 0) {
        size_t space = 0, n = 0;
        while (space < s.n && (s.p[space] == ' ' || s.p[space] == '\t'))
            space++;
        while (space + n < s.n && s.p[space + n] != ' ' && s.p[space + n] != '\t')
            n++;
        struct strbuf word = STRBUF_INIT;
        bool encoded = words_decode_one(&word, slice_sub(s, space, n));
        if (!encoded || !after_word)
            strbuf_add_slice(out, slice_sub(s, 0, space));
        strbuf_add_slice(out, encoded ? strbuf_slice(&word) : slice_sub(s, space, n));
        strbuf_free(&word);
        after_word = encoded;
        s = slice_skip(s, space + n);
    }
    strbuf_free(&unfolded);
}

#endif
