/* Quoted-printable (RFC 2045 6.7).  The encoder holds one output line, so that what may only be decided at the line's
 * end (a blank, a lone dot) or its beginning needs no look-ahead and any chunking gives the same octets. */
#include "internal.h"

#include <string.h>

static const char hex_digits[] = "0123456789ABCDEF";

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* What hops and readers act on at the beginning of a line (RFC 2049 3; RFC 2046 5.1.1). */
static void guard_beginning(struct mime_qp_encoder *e)
{
    const char *safe = NULL;
    if (e->n == 5 && memcmp(e->line, "From ", 5) == 0)
        safe = "=46rom ";
    else if (e->n == 2 && e->after_soft && memcmp(e->line, "--", 2) == 0)
        safe = "=2D-";
    if (safe != NULL) {
        e->n = (unsigned char)strlen(safe);
        memcpy(e->line, safe, e->n);
    }
}

/* "=" CRLF.  A full line has no room for the "=", so its last token goes to the next one. */
static void soft_break(struct mime_qp_encoder *e, struct strbuf *out)
{
    size_t keep = e->n < MIME_ENCODED_LINE ? e->n : (size_t)(e->n - e->last);
    strbuf_add(out, e->line, keep);
    strbuf_add(out, "=\r\n", 3);
    memmove(e->line, e->line + keep, e->n - keep);
    e->n = (unsigned char)(e->n - keep);
    e->after_soft = true;
}

static void put(struct mime_qp_encoder *e, const char *token, size_t n, struct strbuf *out)
{
    if (e->n + n > MIME_ENCODED_LINE)
        soft_break(e, out);
    memcpy(e->line + e->n, token, n);
    e->n = (unsigned char)(e->n + n);
    e->last = (unsigned char)n;
    guard_beginning(e);
}

void qp_put_encoded(struct mime_qp_encoder *e, unsigned char octet, struct strbuf *out)
{
    put(e, (char[]){'=', hex_digits[octet >> 4], hex_digits[octet & 15]}, 3, out);
}

void qp_put(struct mime_qp_encoder *e, unsigned char octet, struct strbuf *out)
{
    if ((octet >= 33 && octet <= 126 && octet != '=') || is_blank((char)octet))
        put(e, (char[]){(char)octet}, 1, out);
    else
        qp_put_encoded(e, octet, out);
}

/* A blank at the end of a line would be dropped, a lone dot would end the data. */
static void guard_end(struct mime_qp_encoder *e, struct strbuf *out)
{
    if (e->n == 0)
        return;
    char last = e->line[e->n - 1];
    if (is_blank(last) || (e->n == 1 && last == '.')) {
        e->n--;
        qp_put_encoded(e, (unsigned char)last, out);
    }
}

void qp_put_break(struct mime_qp_encoder *e, struct strbuf *out)
{
    guard_end(e, out);
    strbuf_add(out, e->line, e->n);
    strbuf_add(out, "\r\n", 2);
    e->n = 0;
    e->after_soft = false;
}

void mime_qp_encode(struct mime_qp_encoder *e, struct slice in, struct strbuf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (e->cr) {
            e->cr = false;
            if (c == '\n') {
                qp_put_break(e, out);
                continue;
            }
            qp_put_encoded(e, '\r', out);
        }
        if (e->text && c == '\r')
            e->cr = true;
        else
            qp_put(e, (unsigned char)c, out);
    }
}

void mime_qp_encode_end(struct mime_qp_encoder *e, bool at_end, struct strbuf *out)
{
    if (e->cr)
        qp_put_encoded(e, '\r', out);
    e->cr = false;
    while (at_end && e->n > 0)
        soft_break(e, out);
    guard_end(e, out);
    strbuf_add(out, e->line, e->n);
    e->n = 0;
}

/* ---- decoding -------------------------------------------------------------------------------- */

enum { TEXT = 0, CR, EQUALS, EQUALS_BLANK, EQUALS_CR, HEX };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void flush_blanks(struct mime_qp_decoder *d, const struct qp_tokens *to)
{
    for (size_t i = 0; i < d->n_blanks; i++)
        to->literal(to->ctx, (unsigned char)d->blanks[i]);
    d->n_blanks = 0;
}

static void decode_text(struct mime_qp_decoder *d, char c, const struct qp_tokens *to)
{
    if (is_blank(c)) {
        if (d->n_blanks == MIME_BLANKS_MAX)
            d->failed = true;
        else
            d->blanks[d->n_blanks++] = c;
    } else if (c == '\r') {
        d->state = CR;
    } else if (c == '\n') {
        d->failed = true;
    } else {
        flush_blanks(d, to);
        if (c == '=')
            d->state = EQUALS;
        else
            to->literal(to->ctx, (unsigned char)c);
    }
}

static void decode_equals(struct mime_qp_decoder *d, char c)
{
    int digit = d->state == EQUALS ? hex_value(c) : -1;
    if (digit >= 0) {
        d->hex = (unsigned char)(digit << 4);
        d->state = HEX;
    } else if (c == '\r') {
        d->state = EQUALS_CR;
    } else if (is_blank(c)) { /* RFC 2045 6.7 (3): padding that was added on the way */
        d->state = EQUALS_BLANK;
    } else {
        d->failed = true;
    }
}

static void decode_hex(struct mime_qp_decoder *d, char c, const struct qp_tokens *to)
{
    int digit = hex_value(c);
    if (digit < 0)
        d->failed = true;
    else
        to->encoded(to->ctx, (unsigned char)(d->hex | digit));
    d->state = TEXT;
}

static void decode_line_end(struct mime_qp_decoder *d, char c, const struct qp_tokens *to)
{
    if (c != '\n')
        d->failed = true;
    else if (d->state == CR)
        to->line_break(to->ctx);
    d->n_blanks = 0; /* RFC 2045 6.7 (3): padding again */
    d->state = TEXT;
}

int qp_decode_tokens(struct mime_qp_decoder *d, struct slice in, const struct qp_tokens *to)
{
    for (size_t i = 0; i < in.n && !d->failed; i++) {
        switch (d->state) {
        case TEXT:
            decode_text(d, in.p[i], to);
            break;
        case CR:
        case EQUALS_CR:
            decode_line_end(d, in.p[i], to);
            break;
        case HEX:
            decode_hex(d, in.p[i], to);
            break;
        default:
            decode_equals(d, in.p[i]);
        }
    }
    return d->failed ? -1 : 0;
}

int mime_qp_decode_end(struct mime_qp_decoder *d)
{
    return d->failed || d->state == CR || d->state == EQUALS_CR || d->state == HEX ? -1 : 0;
}

static void add_octet(void *out, unsigned char octet)
{
    strbuf_add_char(out, (char)octet);
}

static void add_break(void *out)
{
    strbuf_add_str(out, "\r\n");
}

int mime_qp_decode(struct mime_qp_decoder *d, struct slice in, struct strbuf *out)
{
    return qp_decode_tokens(d, in, &(struct qp_tokens){add_octet, add_octet, add_break, out});
}
