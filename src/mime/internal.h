/* src/mime/internal.h - what the files of this room share. */
#ifndef SENDAS_MIME_INTERNAL_H
#define SENDAS_MIME_INTERNAL_H

#include "sendas/message.h"
#include "sendas/mime.h"

/* ---- qp.c: token by token, so that what is encoded already keeps what it distinguishes ------- */

struct qp_tokens {
    void (*literal)(void *ctx, unsigned char octet);
    void (*encoded)(void *ctx, unsigned char octet);
    void (*line_break)(void *ctx);
    void *ctx;
};

int qp_decode_tokens(struct mime_qp_decoder *d, struct slice in, const struct qp_tokens *to);
void qp_put(struct mime_qp_encoder *e, unsigned char octet, struct strbuf *out); /* encoded if it must be */
void qp_put_encoded(struct mime_qp_encoder *e, unsigned char octet, struct strbuf *out);
void qp_put_break(struct mime_qp_encoder *e, struct strbuf *out);

/* ---- params.c -------------------------------------------------------------------------------- */

/* Octets of the comment or quoted string that `s` begins with; 0 when it does not end (RFC 5322 3.2.2, 3.2.4). */
size_t mime_comment_length(struct slice s);
size_t mime_quoted_length(struct slice s);
/* Behind white space, folds and comments; a comment without an end stays, and fits nowhere. */
struct slice mime_skip_cfws(struct slice s);

/* ---- recode.c: one header field -------------------------------------------------------------- */

enum recoded { RECODED = 0, RECODE_IMPOSSIBLE, RECODE_TOO_LONG };

bool field_is_long(const struct field *f);
/* Appends the whole field in ASCII (or, with `keep_utf8`, as it is) and in lines that may be sent.  RECODE_IMPOSSIBLE:
 * 8-bit octets stand where only ASCII may; RECODE_TOO_LONG: there is no white space to fold at.  Then what was appended
 * is worth nothing. */
enum recoded field_recode(const struct field *f, bool keep_utf8, struct strbuf *out);

/* ---- reader.c: lines of any length through a fixed buffer ------------------------------------ */

enum { READER_SIZE = 64 * 1024 };

struct reader {
    const struct mime_source *from;
    uint64_t next;     /* offset of what follows the buffer */
    size_t begin, end; /* what of the buffer is not yet taken */
    bool at_start;     /* the next piece begins a line */
    char buffer[READER_SIZE];
};

/* A line, or a piece of one that is longer than the buffer. */
struct line {
    uint64_t at;       /* offset of its first octet */
    struct slice text; /* without CRLF; valid until the next call */
    bool begins, ends; /* is it at the line's beginning; does CRLF follow (else: a piece, or the end of all) */
};

/* 1; 0 at the end; -1 when reading failed.  Only CRLF ends a line. */
int reader_next(struct reader *r, struct line *ret);

/* ---- content.c: what a region of the body holds ---------------------------------------------- */

enum content_kind {
    CONTENT_TEXT = 0,         /* not encoded, lines mean something */
    CONTENT_DATA,             /* not encoded, octets */
    CONTENT_QUOTED_PRINTABLE, /* encoded already */
    CONTENT_BASE64,
    CONTENT_FILLER, /* before the first boundary of a multipart or behind its last: shown to nobody */
    CONTENT_SEALED  /* never altered */
};

struct content {
    enum content_kind kind;
    const char *sealed;      /* CONTENT_SEALED: what it is, for the refusal */
    uint64_t from;           /* offset of its first octet */
    uint64_t octets;         /* so far */
    uint64_t line, line_max; /* octets of the line under way, of the longest */
    bool eightbit;
    bool broken_utf8;
    bool broken_encoding; /* of what is encoded already */
    bool boundary_like;   /* a line that some readers take for a boundary */
    bool line_break;      /* a CRLF that belongs to it unless a boundary follows (RFC 2046 5.1.1) */
    unsigned char utf8_need, utf8_low, utf8_high;
    uint64_t qp_octets; /* what it makes as quoted-printable */
    struct strbuf *scratch;
    union {
        struct mime_qp_encoder to_qp;
        struct mime_qp_decoder from_qp;
        struct mime_base64_decoder from_base64;
    } codec;
};

/* `scratch` is for the codecs' output, which is counted and thrown away. */
void content_begin(struct content *c, enum content_kind kind, const char *sealed, uint64_t from,
                   struct strbuf *scratch);
void content_add(struct content *c, const struct line *line);
/* No more lines.  `at_end`: of the whole message, so a last CRLF belongs to it. */
void content_end(struct content *c, bool at_end);
static inline bool content_is_safe(const struct content *c)
{
    return !c->eightbit && c->line_max <= MESSAGE_LINE_MAX;
}

/* ---- entity.c: what a part is, by its header ------------------------------------------------- */

enum { BOUNDARY_MAX = 200 };

enum entity_kind {
    ENTITY_TEXT = 0,
    ENTITY_DATA,
    ENTITY_QUOTED_PRINTABLE,
    ENTITY_BASE64,
    ENTITY_MULTIPART,
    ENTITY_MESSAGE,
    ENTITY_SEALED
};

struct entity_class {
    enum entity_kind kind;
    const char *sealed; /* why, as "a signed part" */
    bool says_8bit;     /* Content-Transfer-Encoding 8bit or binary */
    bool digest;        /* a multipart/digest: its parts are messages unless they say otherwise */
    size_t n_boundary;
    char boundary[BOUNDARY_MAX];
};

struct entity_class entity_classify(const struct field_list *fields, bool in_digest);

/* ---- the plan -------------------------------------------------------------------------------- */

enum edit_kind {
    EDIT_KEEP = 0,   /* the octets stay: nothing was found that needs this edit */
    EDIT_TEXT,       /* `text` in their place */
    EDIT_TO_QP_TEXT, /* encoded */
    EDIT_TO_QP_DATA,
    EDIT_TO_BASE64,
    EDIT_REPAIR_QP, /* decoded and encoded again */
    EDIT_REPAIR_BASE64
};

struct edit {
    struct edit *next;
    enum edit_kind kind;
    bool at_end; /* nothing follows */
    uint64_t from, to;
    struct slice text;
};

/* Header, empty line and body are one run of octets: edits bear offsets in it, and stand in order. */
struct mime_plan {
    struct slice header;
    struct mime_source body;
    struct edit *first, **last;
    struct mime_report report;
};

/* A mime_source of header, empty line and body; `ctx` of it is the plan. */
ssize_t plan_read(void *plan, uint64_t offset, void *buf, size_t n);
struct mime_source plan_source(struct mime_plan *plan);

#endif
