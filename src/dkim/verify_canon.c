/* Canonicalisation once more, for the verifier alone: simple and relaxed, header and body (RFC 6376 3.4).
 *
 * canon.c is the signer's and is not used here, on purpose: what one of the two gets wrong the other finds. */
#include "verify.h"

#include <string.h>

/* ---- header fields --------------------------------------------------------------------------- */

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

/* A CRLF that white space follows, or that ends the value: a fold goes, any other CR or LF is text. */
static bool is_fold(struct slice s, size_t at)
{
    return s.p[at] == '\r' && at + 1 < s.n && s.p[at + 1] == '\n' && (at + 2 == s.n || is_wsp(s.p[at + 2]));
}

/* RFC 6376 3.4.2: unfolded, each run of WSP one SP, none at either end. */
static void relax_value(struct strbuf *out, struct slice value)
{
    bool text = false, space = false;
    for (size_t i = 0; i < value.n; i++) {
        if (is_fold(value, i)) {
            i++;
            continue;
        }
        if (is_wsp(value.p[i])) {
            space = true;
            continue;
        }
        if (space && text)
            strbuf_add_char(out, ' ');
        size_t start = i;
        while (i + 1 < value.n && !is_wsp(value.p[i + 1]) && value.p[i + 1] != '\r')
            i++;
        strbuf_add(out, value.p + start, i + 1 - start);
        text = true;
        space = false;
    }
}

void dkim_verify_field(struct strbuf *out, const struct field *f, struct slice value, bool relaxed)
{
    if (relaxed) {
        size_t i = out->n;
        strbuf_add_slice(out, f->name);
        for (; i < out->n; i++)
            out->p[i] = (char)(out->p[i] | (out->p[i] >= 'A' && out->p[i] <= 'Z' ? 0x20 : 0));
        strbuf_add_char(out, ':');
        relax_value(out, value);
    } else {
        /* RFC 6376 3.4.1: as it stands, with any white space before the colon */
        strbuf_add(out, f->raw.p, (size_t)(f->value.p - f->raw.p));
        strbuf_add_slice(out, value);
    }
    strbuf_add_str(out, "\r\n");
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Read in pieces: a relaxed one is rewritten first (body_relax), then it is all about line ends (body_lines). */
enum { BODY_READ = 16384, BODY_LEFT = 2 };

struct body {
    EVP_MD_CTX *md;
    uint64_t limit;  /* of octets that are hashed */
    uint64_t length; /* octets of the canonical form so far */
    uint64_t lines;  /* CRLFs seen that nothing has followed yet */
    bool cr;         /* and a CR behind them */
    bool failed;
};

static void body_put(struct body *b, const char *p, size_t n)
{
    uint64_t room = b->length < b->limit ? b->limit - b->length : 0;
    b->length += n;
    if (n > room)
        n = (size_t)room;
    if (n > 0 && EVP_DigestUpdate(b->md, p, n) != 1)
        b->failed = true;
}

/* Octets that count, and so does everything that was held back before them. */
static void body_text(struct body *b, const char *p, size_t n)
{
    static const char lines[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    for (; b->lines >= 10; b->lines -= 10)
        body_put(b, lines, 20);
    body_put(b, lines, 2 * (size_t)b->lines);
    b->lines = 0;
    body_put(b, p, n);
}

/* Line ends count when something else follows (RFC 6376 3.4.3, 3.4.4). */
static void body_lines(struct body *b, const char *p, size_t n)
{
    size_t from = 0, to = n, lines = 0;
    if (n == 0)
        return;
    if (b->cr && p[0] == '\n') {
        b->lines++;
        from = 1;
    } else if (b->cr) {
        body_text(b, "\r", 1);
    }
    b->cr = to > from && p[to - 1] == '\r';
    to -= b->cr;
    for (; to - from >= 2 && p[to - 2] == '\r' && p[to - 1] == '\n'; to -= 2)
        lines++;
    if (to > from)
        body_text(b, p + from, to - from);
    b->lines += lines;
}

/* Copies octets as far as they are sure to stay as they are; returns how many, less than n.  In one go with the search:
 * cheaper than a memcpy for each stretch of some thirty octets. */
static size_t body_plain(char *to, const char *p, size_t n)
{
    size_t i = 0;
    for (unsigned k = OCTETS; k == OCTETS && n - i > OCTETS; i += k) {
        struct octets o = octets_at(p + i), next = octets_at(p + i + 1), odd = octets_eq(next, '\r');
        odd.v |= octets_eq(next, ' ').v | octets_eq(next, '\t').v;
        odd.v = (odd.v & octets_eq(o, ' ').v) | octets_eq(o, '\t').v;
        octets_put(to + i, o);
        k = octets_before(odd);
    }
    return i;
}

/* RFC 6376 3.4.4: each run of WSP becomes one SP, at the end of a line nothing.  What its next octets decide is moved to
 * the front of p, shortened; returns how much that is, at most BODY_LEFT. */
static size_t body_relax(struct body *b, char *p, size_t n)
{
    char out[BODY_READ + BODY_LEFT];
    size_t i = 0, done = 0, left = 0;
    while (i < n) {
        size_t plain = body_plain(out + done, p + i, n - i);
        i += plain;
        done += plain;
        size_t end = i;
        while (end < n && is_wsp(p[end]))
            end++;
        if (end == i) {
            out[done++] = p[i++];
            continue;
        }
        if (end == n || (end + 1 == n && p[end] == '\r')) {
            left = 1 + n - end;
            break;
        }
        if (p[end] != '\r' || p[end + 1] != '\n')
            out[done++] = ' ';
        i = end;
    }
    body_lines(b, out, done);
    memcpy(p, " \r", left);
    return left;
}

/* What is left at the end: WSP that ends the last line does not count, a CR without its LF does. */
static void body_end(struct body *b, bool relaxed, const char *left, size_t n)
{
    if (n == BODY_LEFT)
        body_lines(b, left, n);
    if (b->cr)
        body_text(b, "\r", 1);
    /* RFC 6376 3.4.3: lines at the end become one CRLF, and a body without any octet is one; 3.4.4: but not if relaxed.
     */
    if (b->length > 0 || !relaxed)
        body_put(b, "\r\n", 2);
}

static int body_read(struct body *b, const struct dkim_body_source *source, bool relaxed)
{
    char block[BODY_LEFT + BODY_READ];
    uint64_t offset = 0;
    size_t left = 0;
    ssize_t n;
    while ((n = source->read(source->ctx, offset, block + left, BODY_READ)) > 0) {
        offset += (uint64_t)n;
        if (relaxed)
            left = body_relax(b, block, left + (size_t)n);
        else
            body_lines(b, block, (size_t)n);
    }
    body_end(b, relaxed, block, left);
    return n < 0 || b->failed ? -1 : 0;
}

int dkim_verify_body(const struct dkim_body_source *body, bool relaxed, uint64_t limit,
                     unsigned char ret[DKIM_HASH_SIZE], uint64_t *ret_length)
{
    struct body b = {.md = EVP_MD_CTX_new(), .limit = limit};
    int status = b.md != NULL && EVP_DigestInit_ex(b.md, EVP_sha256(), NULL) == 1 ? body_read(&b, body, relaxed) : -1;
    if (status == 0 && EVP_DigestFinal_ex(b.md, ret, NULL) != 1)
        status = -1;
    EVP_MD_CTX_free(b.md);
    *ret_length = b.length;
    return status;
}
