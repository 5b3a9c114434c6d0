/* The content of a message as it arrives: lines are judged, the header is collected, the body hashed and spooled. */
#include "internal.h"

#include <string.h>

int intake_content_init(struct intake_content *c, const char *spool_dir, uint64_t size_max)
{
    *c = (struct intake_content){.size_max = size_max, .spool_dir = spool_dir};
    c->header.max = MESSAGE_HEADER_MAX + 2; /* the empty line is in it for a moment */
    c->body = spool_new(spool_dir);
    c->hash = dkim_body_hash_new();
    return c->body == NULL || c->hash == NULL ? -1 : 0;
}

void intake_content_free(struct intake_content *c)
{
    strbuf_free(&c->header);
    spool_free(&c->body);
    dkim_body_hash_free(&c->hash);
}

static int fail(struct intake_content *c, int code, const char *enhanced, const char *text)
{
    return smtp_verdict_set(&c->failure, code, enhanced, "%s", text);
}

/* ---- where the octets go --------------------------------------------------------------------- */

static int take_header(struct intake_content *c, struct slice bytes)
{
    if (bytes.n > c->header.max - c->header.n)
        return fail(c, 552, "5.3.4", "The header is too large");
    strbuf_add_slice(&c->header, bytes);
    return c->header.failed ? fail(c, 451, "4.3.0", "Out of memory") : 0;
}

static int take_body(struct intake_content *c, struct slice bytes)
{
    if (spool_write(c->body, bytes, &c->cause) < 0)
        return fail(c, 452, "4.3.1", "No space to store the message");
    if (dkim_body_hash_update(c->hash, bytes) < 0)
        return fail(c, 451, "4.7.5", "The message cannot be hashed for signing");
    return 0;
}

static int take(struct intake_content *c, struct slice bytes)
{
    if (bytes.n == 0)
        return 0;
    return c->in_body ? take_body(c, bytes) : take_header(c, bytes);
}

/* ---- the lines ------------------------------------------------------------------------------- */

/* How many octets stand before the first CR, LF, NUL or one of 8 bits?  `eightbit` says that these do not stop it. */
static size_t plain_length(struct slice s, bool eightbit)
{
    size_t i = 0;
    for (; s.n - i >= OCTETS; i += OCTETS) {
        struct octets o = octets_at(s.p + i);
        struct octets stop = {octets_eq(o, '\r').v | octets_eq(o, '\n').v | octets_eq(o, '\0').v};
        if (!eightbit)
            stop.v |= o.v;
        unsigned k = octets_before(stop);
        if (k < OCTETS)
            return i + k;
    }
    while (i < s.n && s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0' && (eightbit || (unsigned char)s.p[i] < 0x80))
        i++;
    return i;
}

/* Takes a piece of a line up to its CR or the end of s; returns its length, -1 when it is refused.  What later hops would
 * cut, fold or read as a line end is refused here, so that what is signed is what arrives. */
static ssize_t judge_text(struct intake_content *c, struct slice s)
{
    size_t n = plain_length(s, c->in_body ? c->body_8bit : c->eightbit);
    if (n < s.n && (unsigned char)s.p[n] >= 0x80) {
        c->eightbit = true;
        c->body_8bit = c->in_body;
        n += plain_length(slice_skip(s, n), true);
    }
    if (n < s.n && s.p[n] == '\n') /* RFC 5321 2.3.8, 4.1.1.4: only CRLF ends a line */
        return fail(c, 550, "5.6.0", "A bare LF: lines must end in CRLF");
    if (n < s.n && s.p[n] == '\0')
        return fail(c, 550, "5.6.0", "A NUL octet is not allowed in a message");
    c->line += n;
    if (c->line > MESSAGE_LINE_MAX && !c->any_line) /* RFC 5321 4.5.3.1.6, RFC 5322 2.1.1 */
        return fail(c, 550, "5.6.0", "A line is longer than 998 octets: send it as quoted-printable or base64");
    c->body_long = c->body_long || (c->in_body && c->line > MESSAGE_LINE_MAX);
    return (ssize_t)n;
}

enum { BLOCK = 4 * OCTETS };

/* What is in a block: a bit for each octet. */
struct marks {
    uint64_t cr, lf, refused; /* NUL, and of 8 bits where those were not seen before */
};

static struct marks marks_of(const char *p, bool eightbit)
{
    struct marks m = {0};
    for (size_t i = 0; i < BLOCK; i += OCTETS) {
        struct octets o = octets_at(p + i), refused = octets_eq(o, '\0');
        if (!eightbit)
            refused.v |= o.v;
        m.cr |= (uint64_t)octets_mask(octets_eq(o, '\r')) << i;
        m.lf |= (uint64_t)octets_mask(octets_eq(o, '\n')) << i;
        m.refused |= (uint64_t)octets_mask(refused) << i;
    }
    return m;
}

/* Takes what of the body goes by without a question, block by block, all lines of a block at once; returns how much.  For
 * judge_text it is to find what is wrong with the next block, if anything is. */
static size_t judge_blocks(struct intake_content *c, struct slice s)
{
    size_t i = 0, line = c->line;
    uint64_t cr = 0; /* of the block before */
    for (; s.n - i >= BLOCK; i += BLOCK) {
        struct marks m = marks_of(s.p + i, c->body_8bit);
        size_t first = m.lf == 0 ? BLOCK : (size_t)__builtin_ctzll(m.lf);
        if (m.refused != 0 || m.lf != (m.cr << 1 | cr >> 63) || line + first > MESSAGE_LINE_MAX)
            break;
        cr = m.cr;
        line = m.lf == 0 ? line + BLOCK : (size_t)__builtin_clzll(m.lf);
    }
    c->cr = cr >> 63;
    c->line = line - c->cr;
    return i;
}

/* The octet behind a CR. */
static int judge_line_end(struct intake_content *c, char octet)
{
    c->cr = false;
    return octet == '\n' ? 0 : fail(c, 550, "5.6.0", "A bare CR: lines must end in CRLF");
}

/* The empty line ends the header (RFC 5322 2.1); `bytes` is what of the header was not yet taken. */
static int end_header(struct intake_content *c, struct slice bytes)
{
    if (take(c, bytes) < 0)
        return -1;
    strbuf_truncate(&c->header, c->header.n - 2);
    c->in_body = true;
    return 0;
}

static int judge(struct intake_content *c, struct slice bytes)
{
    size_t i = 0, taken = 0;
    while (i < bytes.n) {
        if (c->cr) {
            if (judge_line_end(c, bytes.p[i++]) < 0)
                return -1;
            if (!c->in_body && c->line == 0) {
                if (end_header(c, slice_sub(bytes, taken, i - taken)) < 0)
                    return -1;
                taken = i;
            }
            c->line = 0;
            continue;
        }
        size_t whole = c->in_body ? judge_blocks(c, slice_skip(bytes, i)) : 0;
        i += whole;
        if (whole > 0)
            continue;
        ssize_t n = judge_text(c, slice_skip(bytes, i));
        if (n < 0)
            return -1;
        i += (size_t)n;
        c->cr = i < bytes.n;
        i += c->cr;
    }
    return take(c, slice_skip(bytes, taken));
}

void intake_content_add(struct intake_content *c, struct slice bytes)
{
    if (c->failure.code != 0 || bytes.n == 0)
        return;
    if (bytes.n > c->size_max - c->size) {
        fail(c, 552, "5.3.4", "The message is larger than the limit");
        return;
    }
    c->size += bytes.n;
    judge(c, bytes);
}

int intake_content_end(struct intake_content *c)
{
    if (c->failure.code == 0 && c->cr)
        fail(c, 550, "5.6.0", "A bare CR: lines must end in CRLF");
    /* BDAT can end in the middle of a line (RFC 3030 2).  DATA, by which the message will leave, cannot: its end mark
     * begins with a CRLF (RFC 5321 4.1.1.4).  So the line is ended before it is signed. */
    if (c->failure.code == 0 && c->line > 0)
        judge(c, SLICE("\r\n"));
    if (c->failure.code == 0 && dkim_body_hash_finish(c->hash, c->body_hash) < 0)
        fail(c, 451, "4.7.5", "The message cannot be hashed for signing");
    return c->failure.code == 0 ? 0 : -1;
}
