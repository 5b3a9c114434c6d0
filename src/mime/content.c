/* What a region of the body holds: is it safe, can it be encoded, and how long does it become? */
#include "internal.h"

void content_begin(struct content *c, enum content_kind kind, const char *sealed, uint64_t from, struct strbuf *scratch)
{
    *c = (struct content){.kind = kind, .sealed = sealed, .from = from, .scratch = scratch};
    if (kind == CONTENT_TEXT || kind == CONTENT_DATA)
        c->codec.to_qp.text = kind == CONTENT_TEXT;
}

/* ---- UTF-8 in pieces (RFC 3629 4) ------------------------------------------------------------ */

static void begin_character(struct content *c, unsigned char octet)
{
    c->utf8_low = octet == 0xE0 ? 0xA0 : octet == 0xF0 ? 0x90 : 0x80;  /* overlong */
    c->utf8_high = octet == 0xED ? 0x9F : octet == 0xF4 ? 0x8F : 0xBF; /* surrogates, above U+10FFFF */
    if (octet >= 0xC2 && octet <= 0xDF)
        c->utf8_need = 1;
    else if (octet >= 0xE0 && octet <= 0xEF)
        c->utf8_need = 2;
    else if (octet >= 0xF0 && octet <= 0xF4)
        c->utf8_need = 3;
    else
        c->broken_utf8 = octet >= 0x80;
}

static void judge_utf8(struct content *c, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n && !c->broken_utf8; i++) {
        unsigned char octet = (unsigned char)bytes.p[i];
        if (c->utf8_need == 0) {
            begin_character(c, octet);
            continue;
        }
        c->broken_utf8 = octet < c->utf8_low || octet > c->utf8_high;
        c->utf8_low = 0x80;
        c->utf8_high = 0xBF;
        c->utf8_need--;
    }
}

/* ---- codecs ---------------------------------------------------------------------------------- */

static void ignore_octet(void *ctx, unsigned char octet)
{
    (void)ctx, (void)octet;
}

static void ignore_break(void *ctx)
{
    (void)ctx;
}

static void count(struct content *c, struct slice bytes)
{
    static const struct qp_tokens ignore = {ignore_octet, ignore_octet, ignore_break, NULL};
    switch (c->kind) {
    case CONTENT_TEXT:
    case CONTENT_DATA:
        mime_qp_encode(&c->codec.to_qp, bytes, c->scratch);
        c->qp_octets += c->scratch->n;
        break;
    case CONTENT_QUOTED_PRINTABLE:
        qp_decode_tokens(&c->codec.from_qp, bytes, &ignore);
        break;
    case CONTENT_BASE64:
        mime_base64_decode(&c->codec.from_base64, bytes, c->scratch);
        break;
    default:
        break;
    }
    strbuf_truncate(c->scratch, 0);
}

static void add(struct content *c, struct slice bytes)
{
    c->octets += bytes.n;
    count(c, bytes);
}

static void end_line(struct content *c)
{
    add(c, SLICE("\r\n"));
    c->broken_utf8 |= c->utf8_need > 0;
    c->line = 0;
    c->line_break = false;
}

void content_add(struct content *c, const struct line *line)
{
    if (c->line_break)
        end_line(c);
    c->line += line->text.n;
    if (c->line > c->line_max)
        c->line_max = c->line;
    if (c->utf8_need > 0 || !slice_is_ascii(line->text)) {
        c->eightbit = true;
        judge_utf8(c, line->text);
    }
    add(c, line->text);
    c->line_break = line->ends;
}

void content_end(struct content *c, bool at_end)
{
    if (c->line_break && at_end)
        end_line(c);
    c->broken_utf8 |= c->utf8_need > 0;
    switch (c->kind) {
    case CONTENT_TEXT:
    case CONTENT_DATA:
        mime_qp_encode_end(&c->codec.to_qp, at_end, c->scratch);
        c->qp_octets += c->scratch->n;
        break;
    case CONTENT_QUOTED_PRINTABLE:
        c->broken_encoding = mime_qp_decode_end(&c->codec.from_qp) < 0;
        break;
    case CONTENT_BASE64:
        c->broken_encoding = mime_base64_decode_end(&c->codec.from_base64) < 0;
        break;
    default:
        break;
    }
    strbuf_truncate(c->scratch, 0);
}
