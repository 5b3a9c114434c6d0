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
        strbuf_add_char(out, value.p[i]);
        text = true;
        space = false;
    }
}

void dkim_verify_field(struct strbuf *out, const struct field *f, struct slice value, bool relaxed)
{
    if (relaxed) {
        for (size_t i = 0; i < f->name.n; i++) {
            char c = f->name.p[i];
            strbuf_add_char(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
        }
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

/* An octet is one of five things; what a CRLF or white space is worth shows only later. */
struct body {
    EVP_MD_CTX *md;
    bool relaxed;
    uint64_t limit;  /* of octets that are hashed */
    uint64_t length; /* octets of the canonical form so far */
    uint64_t lines;  /* CRLFs seen that nothing has followed yet */
    bool cr, space;
    bool failed;
    unsigned char out[4096];
    size_t n;
};

static void body_flush(struct body *b)
{
    if (b->n > 0 && EVP_DigestUpdate(b->md, b->out, b->n) != 1)
        b->failed = true;
    b->n = 0;
}

static void body_put(struct body *b, const char *p, size_t n)
{
    uint64_t room = b->length < b->limit ? b->limit - b->length : 0;
    b->length += n;
    if (n > room)
        n = (size_t)room;
    if (n >= sizeof(b->out)) { /* not copied first */
        body_flush(b);
        b->failed = b->failed || EVP_DigestUpdate(b->md, p, n) != 1;
        return;
    }
    while (n > 0) {
        if (b->n == sizeof(b->out))
            body_flush(b);
        size_t take = n < sizeof(b->out) - b->n ? n : sizeof(b->out) - b->n;
        memcpy(b->out + b->n, p, take);
        b->n += take;
        p += take;
        n -= take;
    }
}

/* Octets that count, and so does everything that was held back before them. */
static void body_text(struct body *b, const char *p, size_t n)
{
    for (; b->lines > 0; b->lines--)
        body_put(b, "\r\n", 2);
    if (b->space)
        body_put(b, " ", 1);
    b->space = false;
    body_put(b, p, n);
}

/* One octet that is not plain, or that stands behind a CR. */
static void body_octet(struct body *b, const char *p)
{
    bool cr = b->cr;
    b->cr = false;
    if (cr && *p == '\n') {
        b->lines++;
        b->space = false; /* at the end of a line it is ignored */
        return;
    }
    if (cr)
        body_text(b, "\r", 1);
    if (*p == '\r')
        b->cr = true;
    else if (b->relaxed && is_wsp(*p))
        b->space = true;
    else
        body_text(b, p, 1);
}

/* Is the octet at p[i] the CR of a line end that text follows, none of it white space that may have to go? */
static bool joins_lines(const struct body *b, const char *p, size_t i, size_t n)
{
    return i + 2 < n && p[i] == '\r' && p[i + 1] == '\n' && p[i + 2] != '\r' && !(b->relaxed && is_wsp(p[i + 2]));
}

/* The first CR among the octets at p, and if white space is relaxed the first TAB or the first of two SP. */
static size_t body_stop(const struct body *b, const char *p, size_t n)
{
    size_t i = 0;
    for (; n - i > OCTETS; i += OCTETS) {
        struct octets o = octets_at(p + i), stop = octets_eq(o, '\r');
        if (b->relaxed)
            stop.v |= octets_eq(o, '\t').v | (octets_eq(o, ' ').v & octets_eq(octets_at(p + i + 1), ' ').v);
        unsigned k = octets_before(stop);
        if (k < OCTETS)
            return i + k;
    }
    while (i < n && p[i] != '\r' && !(b->relaxed && (p[i] == '\t' || (p[i] == ' ' && i + 1 < n && p[i + 1] == ' '))))
        i++;
    return i;
}

/* The octets at p that count as they stand, whole lines of them. */
static size_t body_plain(const struct body *b, const char *p, size_t n)
{
    for (size_t i = 0;; i += 2) {
        i += body_stop(b, p + i, n - i);
        if (b->relaxed && i > 0 && p[i - 1] == ' ') /* at the end of its line, or of a longer run */
            return i - 1;
        if (!joins_lines(b, p, i, n))
            return i;
    }
}

static void body_add(struct body *b, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool text = !b->cr && !b->space && p[i] != '\r' && !(b->relaxed && is_wsp(p[i]));
        size_t plain = text ? body_plain(b, p + i, n - i) : 0;
        if (plain > 0) {
            body_text(b, p + i, plain);
            i += plain;
        } else {
            body_octet(b, p + i++);
        }
    }
}

static void body_end(struct body *b)
{
    if (b->cr)
        body_text(b, "\r", 1);
    /* RFC 6376 3.4.3: lines at the end become one CRLF, and a body without any octet is one; 3.4.4: but not if relaxed.
     */
    if (b->length > 0 || !b->relaxed)
        body_put(b, "\r\n", 2);
    body_flush(b);
}

static int body_read(struct body *b, const struct dkim_body_source *source)
{
    char block[16384];
    uint64_t offset = 0;
    ssize_t n;
    while ((n = source->read(source->ctx, offset, block, sizeof(block))) > 0) {
        body_add(b, block, (size_t)n);
        offset += (uint64_t)n;
    }
    body_end(b);
    return n < 0 || b->failed ? -1 : 0;
}

int dkim_verify_body(const struct dkim_body_source *body, bool relaxed, uint64_t limit,
                     unsigned char ret[DKIM_HASH_SIZE], uint64_t *ret_length)
{
    struct body b = {.md = EVP_MD_CTX_new(), .relaxed = relaxed, .limit = limit};
    int status = b.md != NULL && EVP_DigestInit_ex(b.md, EVP_sha256(), NULL) == 1 ? body_read(&b, body) : -1;
    if (status == 0 && EVP_DigestFinal_ex(b.md, ret, NULL) != 1)
        status = -1;
    EVP_MD_CTX_free(b.md);
    *ret_length = b.length;
    return status;
}
