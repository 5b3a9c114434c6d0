/* Canonicalisation: relaxed header fields (RFC 6376 3.4.2), and the relaxed body (3.4.4) hashed as it arrives. */
#include "internal.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* ---- header fields --------------------------------------------------------------------------- */

void dkim_relaxed_field(struct strbuf *out, const struct field *f)
{
    for (size_t i = 0; i < f->name.n; i++)
        strbuf_add_char(out, to_lower(f->name.p[i]));
    strbuf_add_char(out, ':');
    /* Unfold, make each run of WSP one SP, drop WSP at both ends: the CRLF of a fold goes with the WSP behind it. */
    struct slice value = slice_trim(f->value);
    for (size_t i = 0; i < value.n;) {
        size_t start = i;
        while (i < value.n && !is_wsp(value.p[i]) && value.p[i] != '\r' && value.p[i] != '\n')
            i++;
        strbuf_add_slice(out, slice_sub(value, start, i - start));
        bool blank = false;
        for (; i < value.n && (is_wsp(value.p[i]) || value.p[i] == '\r' || value.p[i] == '\n'); i++)
            blank = blank || is_wsp(value.p[i]);
        if (blank)
            strbuf_add_char(out, ' ');
    }
    strbuf_add(out, "\r\n", 2);
}

/* ---- the body -------------------------------------------------------------------------------- */

/* What was read but is not yet known to count: WSP counts as one SP when text follows on its line, line ends count
 * when text follows at all.  So any chunking gives the same hash. */
struct dkim_body_hash {
    EVP_MD_CTX *md;
    uint64_t line_ends; /* CRLFs waiting for text */
    bool blank;         /* WSP waiting for text on its line */
    bool cr;            /* a CR waiting for its LF */
    bool text;          /* anything was hashed */
    bool failed;
    size_t used; /* of buffer: canonical octets on their way to the digest */
    char buffer[4096];
};

struct dkim_body_hash *dkim_body_hash_new(void)
{
    struct dkim_body_hash *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    h->md = EVP_MD_CTX_new();
    if (h->md == NULL || EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) != 1)
        dkim_body_hash_free(&h);
    return h;
}

static void flush(struct dkim_body_hash *h)
{
    if (EVP_DigestUpdate(h->md, h->buffer, h->used) != 1)
        h->failed = true;
    h->used = 0;
}

static void emit(struct dkim_body_hash *h, const char *p, size_t n)
{
    if (n >= sizeof(h->buffer)) {
        flush(h);
        if (EVP_DigestUpdate(h->md, p, n) != 1)
            h->failed = true;
        return;
    }
    while (n > 0) {
        if (h->used == sizeof(h->buffer))
            flush(h);
        size_t room = sizeof(h->buffer) - h->used;
        size_t take = n < room ? n : room;
        memcpy(h->buffer + h->used, p, take);
        h->used += take;
        p += take;
        n -= take;
    }
}

/* Text of a line: what waited before it counts now. */
static void emit_text(struct dkim_body_hash *h, const char *p, size_t n)
{
    for (; h->line_ends > 0; h->line_ends--)
        emit(h, "\r\n", 2);
    if (h->blank)
        emit(h, " ", 1);
    h->blank = false;
    h->text = true;
    emit(h, p, n);
}

/* The octet behind a CR: together a line end; otherwise the CR was text. */
static bool end_line(struct dkim_body_hash *h, char next)
{
    h->cr = false;
    if (next != '\n') {
        emit_text(h, "\r", 1);
        return false;
    }
    h->blank = false; /* RFC 6376 3.4.4: WSP at the end of lines is ignored */
    h->line_ends++;
    return true;
}

/* How many of the octets at p (which has OCTETS + 1) are sure to count as they stand?  A CR may not, a TAB, and a SP that
 * WSP or CR follows. */
static size_t sure(const char *p)
{
    struct octets o = octets_at(p), next = octets_at(p + 1), sp = octets_eq(o, ' ');
    struct octets before = {octets_eq(next, ' ').v | octets_eq(next, '\t').v | octets_eq(next, '\r').v};
    return octets_before((struct octets){octets_eq(o, '\r').v | octets_eq(o, '\t').v | (sp.v & before.v)});
}

/* How many of the octets at p, of which the first is text, count as they stand, line ends between text included. */
static size_t unchanged(const char *p, size_t n)
{
    size_t i = 0, k = OCTETS;
    for (;;) {
        for (k = OCTETS; k == OCTETS && n - i > OCTETS; i += k)
            k = sure(p + i);
        while (k == OCTETS && i < n && p[i] != '\r' &&
               (!is_wsp(p[i]) || (p[i] == ' ' && i + 1 < n && !is_wsp(p[i + 1]) && p[i + 1] != '\r')))
            i++;
        if (n - i < 3 || p[i] != '\r' || p[i + 1] != '\n' || p[i + 2] == '\r' || is_wsp(p[i + 2]))
            return i;
        i += 2;
    }
}

int dkim_body_hash_update(struct dkim_body_hash *h, struct slice bytes)
{
    size_t i = 0;
    while (i < bytes.n) {
        if (h->cr && end_line(h, bytes.p[i])) {
            i++;
            continue;
        }
        if (!is_wsp(bytes.p[i]) && bytes.p[i] != '\r') {
            size_t n = unchanged(bytes.p + i, bytes.n - i);
            emit_text(h, bytes.p + i, n);
            i += n;
        }
        for (; i < bytes.n && is_wsp(bytes.p[i]); i++)
            h->blank = true;
        if (i < bytes.n && bytes.p[i] == '\r') {
            h->cr = true;
            i++;
        }
    }
    return h->failed ? -1 : 0;
}

int dkim_body_hash_finish(struct dkim_body_hash *h, unsigned char ret[DKIM_HASH_SIZE])
{
    if (h->cr)
        end_line(h, '\0');
    /* Empty lines at the end are ignored; a body that is not empty ends in one CRLF (RFC 6376 3.4.4). */
    if (h->text)
        emit(h, "\r\n", 2);
    flush(h);
    if (EVP_DigestFinal_ex(h->md, ret, NULL) != 1)
        h->failed = true;
    return h->failed ? -1 : 0;
}

void dkim_body_hash_free(struct dkim_body_hash **ph)
{
    struct dkim_body_hash *h = *ph;
    *ph = NULL;
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->md);
    free(h);
}
