/* sendas/mime.h - the normal form: content that no later hop has a reason to touch.
 *
 * A hop folds or refuses lines above 998 octets (RFC 5322 2.1.1), re-encodes 8-bit content for a server without
 * 8BITMIME (RFC 6152 3), and either breaks a signature.  So what holds such content is re-encoded before it is signed:
 * the body parts concerned and only these, at any depth of multipart and message/rfc822; charsets, boundaries, order
 * and all other octets stay, and every part decodes to the octets it had.
 *
 *   mime_is_plain   is there nothing to do?  From what is known when the data has arrived
 *   mime_scan       first pass: reads everything once, decides, leaves a plan
 *   mime_rewrite    second pass: writes the new header and the new body by the plan
 *
 * What is never altered is sealed: multipart/signed, multipart/encrypted, application/pkcs7-mime; types that may not be
 * encoded (RFC 2045 6.4: message/partial, message/external-body, message/delivery-status ...; not message/global, RFC
 * 6532 3.7); and what programs read in different ways: an unknown or broken transfer encoding, one on a multipart or
 * message/rfc822, a part header that cannot be read, a multipart without a boundary of its own, a boundary line with
 * text behind it inside the part, anything below MIME_DEPTH_MAX.  8-bit octets in a sealed part stay, and are reported;
 * a line above 998 octets in one refuses the message.
 *
 * Pure: octets come from a read function and go to a write function.  Memory is bounded, however large the message is:
 * about 0.5 MiB of buffers, the changed header fields, and some 300 octets a part of the plan. */
#ifndef SENDAS_MIME_H
#define SENDAS_MIME_H

#include "sendas/base.h"

enum {
    MIME_DEPTH_MAX = 20,    /* multipart and message/rfc822, one in another */
    MIME_PARTS_MAX = 10000, /* body parts of a message: more are refused */
    MIME_ENCODED_LINE = 76, /* octets of an encoded line (RFC 2045 6.7, 6.8; RFC 2047 2) */
    MIME_WORD_MAX = 75,     /* octets of an encoded word (RFC 2047 2) */
    MIME_BLANKS_MAX = 1000  /* blanks in a row in quoted-printable, until what they mean is known */
};

enum {
    MIME_REFUSED = -1,   /* the message's fault */
    MIME_FAILED = -2,    /* ours: memory, reading, writing */
    MIME_NEEDS_UTF8 = -3 /* 8-bit octets in the header where only ASCII may stand: SMTPUTF8 would allow them */
};

/* ---- the normal form ------------------------------------------------------------------------- */

/* The body.  `read` fills up to n octets from `offset`: their number, 0 at the end, -1 on failure. */
struct mime_source {
    ssize_t (*read)(void *ctx, uint64_t offset, void *buf, size_t n);
    void *ctx;
    uint64_t size;
};

/* Takes octets; -1 and the reason on failure. */
struct mime_sink {
    int (*write)(void *ctx, struct slice bytes, struct err *err);
    void *ctx;
};

struct mime_report {
    bool header_changed, body_changed;
    unsigned to_quoted_printable, to_base64; /* body parts */
    bool kept_8bit;                          /* there are octets above 0x7f in the new body */
    char summary[256]; /* "2 parts to quoted-printable, Subject encoded"; empty when nothing is to be said */
};

struct mime_plan;

/* Is the content in normal form already?  `header`: whole lines without the empty line; the rest is what the body is
 * known to hold, octets above 0x7f and lines of more than MESSAGE_LINE_MAX.  Cheap; false means: scan. */
bool mime_is_plain(struct slice header, bool body_8bit, bool body_long);

/* Reads the message (whole lines; `header` without the empty line behind it) and plans what is to change.  The plan
 * lives in the arena and borrows `header` and what `body` points at.  With `smtputf8` the header itself stays UTF-8; the
 * headers of parts and of messages inside are made ASCII either way: 8-bit text becomes encoded words (RFC 2047), 8-bit
 * parameters RFC 2231's form, in utf-8 or, where it is not UTF-8, in `unknown-8bit` (RFC 1428).
 * 0; MIME_REFUSED: a line above 998 octets in what is sealed or in a header field without white space, a malformed
 * header, with `smtputf8` one that is not UTF-8, too many parts; MIME_NEEDS_UTF8, without `smtputf8`; MIME_FAILED. */
int mime_scan(struct arena *a, struct slice header, const struct mime_source *body, bool smtputf8,
              struct mime_plan **ret, struct err *err);
/* What the plan will do.  Where neither header nor body change there is nothing to rewrite. */
const struct mime_report *mime_plan_report(const struct mime_plan *plan);
/* Appends the new header to *header (may be NULL) and writes the new body to *body (may be NULL).  0 or MIME_FAILED. */
int mime_rewrite(const struct mime_plan *plan, struct strbuf *header, const struct mime_sink *body, struct err *err);

/* ---- quoted-printable (RFC 2045 6.7), streaming ---------------------------------------------- */

/* Zeroed and `text` set, an encoder is ready.  Text keeps CRLF as line break; otherwise CR and LF are data.  Beyond what
 * must be encoded it encodes a line's `From `, a lone dot (RFC 2049 3), and `--` behind a soft break, which could make
 * a boundary. */
struct mime_qp_encoder {
    bool text;
    bool cr;         /* a CR waits for its LF */
    bool after_soft; /* this line goes on from the one before */
    unsigned char n, last;
    char line[MIME_ENCODED_LINE + 4];
};

void mime_qp_encode(struct mime_qp_encoder *e, struct slice in, struct strbuf *out);
/* No more octets.  `at_end`: nothing follows, so the last line ends in CRLF, a soft break if need be; otherwise the
 * CRLF of a boundary follows. */
void mime_qp_encode_end(struct mime_qp_encoder *e, bool at_end, struct strbuf *out);

/* Zeroed it is ready.  Strict in that what has no one meaning fails: an `=` that nothing valid follows, a bare CR or LF.
 * Octets above 0x7f are taken for themselves, white space at the end of a line is dropped. */
struct mime_qp_decoder {
    unsigned char state, hex;
    bool failed;
    unsigned short n_blanks;
    char blanks[MIME_BLANKS_MAX];
};

int mime_qp_decode(struct mime_qp_decoder *d, struct slice in, struct strbuf *out);
int mime_qp_decode_end(struct mime_qp_decoder *d);

/* ---- base64 in lines (RFC 2045 6.8), streaming ----------------------------------------------- */

/* Zeroed both are ready. */
struct mime_base64_encoder {
    unsigned char rest[3];
    unsigned char n_rest, column;
    bool begun;
};

void mime_base64_encode(struct mime_base64_encoder *e, struct slice in, struct strbuf *out);
void mime_base64_encode_end(struct mime_base64_encoder *e, bool at_end, struct strbuf *out);
/* Octets that `n` become without a last CRLF. */
uint64_t mime_base64_size(uint64_t n);

/* White space anywhere is skipped; any other octet outside the alphabet, text behind the padding and a missing padding
 * fail, as decoders differ there. */
struct mime_base64_decoder {
    uint32_t bits;
    unsigned char n, pads;
    bool done, failed;
};

int mime_base64_decode(struct mime_base64_decoder *d, struct slice in, struct strbuf *out);
int mime_base64_decode_end(struct mime_base64_decoder *d);

/* ---- header fields --------------------------------------------------------------------------- */

/* Appends `text` as encoded words (RFC 2047) with a space between: in utf-8, split between characters, or in
 * unknown-8bit; Q or B, whichever is shorter.  The first has at most `first_max` octets (40 to MIME_WORD_MAX), the
 * others MIME_WORD_MAX.  They may stand in a phrase, a comment or in unstructured text. */
void mime_word_encode(struct strbuf *out, struct slice text, size_t first_max);

/* type "/" subtype *(";" parameter) of Content-Type, or a token alone (Content-Disposition, Content-Transfer-Encoding:
 * then subtype is empty), RFC 2045 5.1, 6.1, RFC 2183 2.  Comments and folds are skipped. */
struct mime_value {
    struct slice type, subtype;
    struct slice params; /* for mime_param_next */
};

/* attribute "=" value.  `value` as written, with its quotes.  Without quotes it may hold tspecials that mail programs leave
 * there (`/`, `:`, `=`, `?`), and 8-bit octets either way. */
struct mime_param {
    struct slice name, value;
};

/* 0, or -1 when it is malformed. */
int mime_value_parse(struct slice value, struct mime_value *ret);
/* Takes the next parameter off *params: 1; 0 at the end; -1 when it is malformed. */
int mime_param_next(struct slice *params, struct mime_param *ret);
/* The value without quotes and quoted pairs, appended. */
void mime_param_text(const struct mime_param *p, struct strbuf *out);

#endif
