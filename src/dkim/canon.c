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
    size_t name = out->n;
    strbuf_add_slice(out, f->name);
    for (size_t i = name; i < out->n; i++)
        out->p[i] = to_lower(out->p[i]);
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

/* Octets are taken CANON_BLOCK at a time where nothing of an earlier one is undecided, else one by one.  What is made of
 * them gathers in `buffer`; only when that is hashed does it show which line ends text follows: until then those at its
 * end are no more than counted, so that empty lines at the end of the body never count (RFC 6376 3.4.4). */
enum { CANON_BLOCK = 4 * OCTETS, CANON_FULL = 4096 };

struct dkim_body_hash {
    EVP_MD_CTX *md;
    uint64_t line_ends; /* CRLFs waiting for text */
    bool blank;         /* WSP waiting for text on its line */
    bool cr;            /* a CR waiting for its LF */
    bool text;          /* anything was hashed */
    bool failed;
    size_t used; /* of buffer: canonical octets on their way to the digest */
    char buffer[CANON_FULL + 2 * CANON_BLOCK];
};

struct dkim_body_hash *dkim_body_hash_new(void)
{
    struct dkim_body_hash *h = malloc(sizeof(*h));
    if (h == NULL)
        return NULL;
    memset(h, 0, offsetof(struct dkim_body_hash, buffer));
    h->md = EVP_MD_CTX_new();
    if (h->md == NULL || EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) != 1)
        dkim_body_hash_free(&h);
    return h;
}

static void hash(struct dkim_body_hash *h, const char *p, size_t n)
{
    if (EVP_DigestUpdate(h->md, p, n) != 1)
        h->failed = true;
}

static void hash_line_ends(struct dkim_body_hash *h)
{
    static const char many[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    const uint64_t most = sizeof(many) / 2;
    for (uint64_t n; h->line_ends > 0; h->line_ends -= n) {
        n = h->line_ends < most ? h->line_ends : most;
        hash(h, many, 2 * (size_t)n);
    }
}

static void flush(struct dkim_body_hash *h)
{
    size_t n = h->used;
    while (n >= 2 && h->buffer[n - 2] == '\r' && h->buffer[n - 1] == '\n')
        n -= 2;
    if (n > 0) {
        hash_line_ends(h);
        hash(h, h->buffer, n);
        h->text = true;
    }
    h->line_ends += (h->used - n) / 2;
    h->used = 0;
}

/* The octet counts, and so does what waited before it on its line. */
static void put(struct dkim_body_hash *h, char octet)
{
    if (h->blank)
        h->buffer[h->used++] = ' ';
    h->blank = false;
    h->buffer[h->used++] = octet;
}

static void take_octet(struct dkim_body_hash *h, char octet)
{
    if (h->cr) {
        h->cr = false;
        h->blank = h->blank && octet != '\n'; /* RFC 6376 3.4.4: WSP at the end of lines is ignored */
        put(h, '\r');
        if (octet == '\n') {
            put(h, '\n');
            return;
        }
    }
    if (octet == '\r')
        h->cr = true;
    else if (is_wsp(octet))
        h->blank = true;
    else
        put(h, octet);
}

/* Which of the octets at p are WSP that does not count, as WSP or a line end follows?  Looks at two more. */
static unsigned dropped(const char *p)
{
    struct octets o = octets_at(p), next = octets_at(p + 1), after = octets_at(p + 2);
    struct octets wsp = {octets_eq(o, ' ').v | octets_eq(o, '\t').v};
    struct octets next_wsp = {octets_eq(next, ' ').v | octets_eq(next, '\t').v};
    struct octets line_end = {octets_eq(next, '\r').v & octets_eq(after, '\n').v};
    return octets_mask((struct octets){wsp.v & (next_wsp.v | line_end.v)});
}

/* CANON_BLOCK octets, each TAB as SP. */
static void copy_block(char *to, const char *from)
{
    for (size_t i = 0; i < CANON_BLOCK; i += OCTETS) {
        struct octets o = octets_at(from + i);
        octets_put(to + i, (struct octets){o.v ^ (octets_eq(o, '\t').v & ('\t' ^ ' '))});
    }
}

/* Takes up to n octets, CANON_BLOCK at most, of the 2 * CANON_BLOCK at p; two more are known.  Behind each octet that is
 * dropped a block is copied, over what was too much of the one before: cheaper than to copy as much as counts. */
static size_t take_block(struct dkim_body_hash *h, const char *p, size_t n)
{
    size_t from = 0;
    uint64_t drop = 0;
    n -= p[n - 1] == '\r'; /* a line end stays in one piece */
    for (size_t i = 0; i < CANON_BLOCK; i += OCTETS)
        drop |= (uint64_t)dropped(p + i) << i;
    drop &= n < CANON_BLOCK ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
    copy_block(h->buffer + h->used, p);
    while (drop != 0) {
        size_t at = (size_t)__builtin_ctzll(drop);
        h->used += at - from;
        drop += UINT64_C(1) << at; /* clears the run from there on, and sets the bit behind it */
        from = drop == 0 ? CANON_BLOCK : (size_t)__builtin_ctzll(drop);
        drop &= drop - 1;
        copy_block(h->buffer + h->used, p + from);
    }
    h->used += n - from;
    return n;
}

static size_t take_rest(struct dkim_body_hash *h, struct slice rest)
{
    char block[2 * CANON_BLOCK] = {0};
    size_t n = rest.n - 2;
    memcpy(block, rest.p, rest.n);
    return take_block(h, block, n < CANON_BLOCK ? n : CANON_BLOCK);
}

int dkim_body_hash_update(struct dkim_body_hash *h, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n;) {
        size_t left = bytes.n - i;
        if (h->used >= CANON_FULL)
            flush(h);
        if (h->blank || h->cr || left < OCTETS)
            take_octet(h, bytes.p[i++]);
        else if (left < 2 * CANON_BLOCK)
            i += take_rest(h, slice_skip(bytes, i));
        else
            i += take_block(h, bytes.p + i, CANON_BLOCK);
    }
    return h->failed ? -1 : 0;
}

int dkim_body_hash_finish(struct dkim_body_hash *h, unsigned char ret[DKIM_HASH_SIZE])
{
    if (h->cr)
        put(h, '\r');
    flush(h);
    /* Empty lines at the end are ignored; a body that is not empty ends in one CRLF (RFC 6376 3.4.4). */
    if (h->text)
        hash(h, "\r\n", 2);
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
