/* One header field made safe: 8-bit text becomes encoded words or extended parameters, long lines are folded.
 *
 * The field is unfolded, its text replaced where it must be, and folded again; so where nothing is 8-bit, what it says
 * when unfolded stays octet by octet. */
#include "internal.h"

#include <string.h>

enum {
    FIRST_COLUMN_MAX = 36, /* a value that begins behind it may begin on a line of its own */
    PARAMS_MAX = 100
};

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- folding --------------------------------------------------------------------------------- */

/* Where a line may end: before the first of some white space, with something else behind it (RFC 5322 3.2.2). */
static size_t next_fold(struct slice line, size_t from)
{
    for (size_t i = from + 1; i < line.n; i++) {
        if (is_wsp(line.p[i]) && !is_wsp(line.p[i - 1]))
            return i;
    }
    return line.n;
}

/* `line`: a whole field, unfolded, that does not end in white space.  -1 when it cannot be folded. */
static int fold(struct strbuf *out, struct slice line)
{
    size_t begin = 0, last = 0, at = slice_find(line, ':');
    /* A line of a name alone is allowed, but read by few: only where it must be. */
    if (at + 1 < line.n && is_wsp(line.p[at + 1]) && next_fold(line, at + 1) <= MESSAGE_LINE_MAX &&
        at + 2 <= FIRST_COLUMN_MAX)
        at++;
    while (begin < line.n) {
        at = next_fold(line, at);
        if (at - begin > MIME_ENCODED_LINE && last > begin) {
            strbuf_add_slice(out, slice_sub(line, begin, last - begin));
            strbuf_add_str(out, "\r\n");
            begin = last;
        }
        if (at - begin > MESSAGE_LINE_MAX)
            return -1;
        if (at == line.n) {
            strbuf_add_slice(out, slice_skip(line, begin));
            strbuf_add_str(out, "\r\n");
            begin = line.n;
        }
        last = at;
    }
    return 0;
}

/* ---- words: runs of those that need it are encoded ------------------------------------------- */

/* White space between two encoded words is not shown (RFC 2047 6.2), so what separates a run from an encoded word that
 * was there before goes into the run. */
struct words {
    struct strbuf *out; /* the unfolded field so far, from its name on */
    struct strbuf run;  /* decoded text to be encoded */
    struct slice space; /* before the next word */
    bool in_run;
    bool after_word;  /* an encoded word of the original stands before `space` */
    bool after_plain; /* another word does */
    bool failed;      /* an encoded word cannot stand where one is needed */
};

static size_t first_max(const struct words *w)
{
    return w->out->n <= FIRST_COLUMN_MAX ? MIME_ENCODED_LINE - w->out->n : MIME_WORD_MAX;
}

static void end_run(struct words *w)
{
    if (!w->in_run)
        return;
    mime_word_encode(w->out, strbuf_slice(&w->run), first_max(w));
    strbuf_reset(&w->run);
    w->in_run = false;
}

static void begin_run(struct words *w)
{
    if (w->after_plain && w->space.n == 0)
        w->failed = true; /* RFC 2047 5: it is separated from what stands before it */
    if (w->after_word) {
        strbuf_add_char(w->out, ' ');
        strbuf_add_slice(&w->run, w->space);
    } else {
        strbuf_add_slice(w->out, w->space);
    }
    w->in_run = true;
}

/* "=?" charset "?" encoding "?" encoded-text "?="    RFC 2047 2 */
static bool is_encoded_word(struct slice raw)
{
    struct slice charset, encoding, text;
    if (!slice_starts(raw, SLICE("=?")))
        return false;
    struct slice rest = slice_cut(slice_skip(raw, 2), '?', &charset);
    rest = slice_cut(rest, '?', &encoding);
    rest = slice_cut(rest, '?', &text);
    return charset.n > 0 && encoding.n == 1 && strchr("bBqQ", encoding.p[0]) != NULL && slice_eq(rest, SLICE("="));
}

static void put_word(struct words *w, struct slice raw, struct slice decoded)
{
    bool word = is_encoded_word(raw);
    if (!slice_is_ascii(raw) || (w->in_run && w->space.n == 0)) {
        if (w->in_run)
            strbuf_add_slice(&w->run, w->space);
        else
            begin_run(w);
        strbuf_add_slice(&w->run, decoded);
        w->after_word = w->after_plain = false;
    } else {
        if (w->in_run && word)
            strbuf_add_slice(&w->run, w->space);
        bool inside = w->in_run && word;
        end_run(w);
        strbuf_add_slice(w->out, inside ? SLICE(" ") : w->space);
        strbuf_add_slice(w->out, raw);
        w->after_word = word;
        w->after_plain = !word;
    }
    w->space = SLICE("");
}

static void put_space(struct words *w, struct slice space)
{
    w->space = space;
}

/* What is no word and stays. */
static void put_raw(struct words *w, struct slice raw)
{
    end_run(w);
    strbuf_add_slice(w->out, w->space);
    strbuf_add_slice(w->out, raw);
    w->space = SLICE("");
    w->after_word = w->after_plain = false;
}

static struct slice take_space(struct slice *s)
{
    size_t n = 0;
    while (n < s->n && is_wsp(s->p[n]))
        n++;
    struct slice space = slice_sub(*s, 0, n);
    *s = slice_skip(*s, n);
    return space;
}

/* ---- unstructured fields and comments -------------------------------------------------------- */

static void recode_unstructured(struct words *w, struct slice s)
{
    while (s.n > 0) {
        put_space(w, take_space(&s));
        size_t n = 0;
        while (n < s.n && !is_wsp(s.p[n]))
            n++;
        if (n > 0)
            put_word(w, slice_sub(s, 0, n), slice_sub(s, 0, n));
        s = slice_skip(s, n);
    }
    put_raw(w, SLICE(""));
}

static void unescape(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n)
            i++;
        strbuf_add_char(out, s.p[i]);
    }
}

static void put_escaped(struct words *w, struct slice raw, struct slice escaped)
{
    struct strbuf text = STRBUF_INIT;
    unescape(&text, escaped);
    put_word(w, raw, strbuf_slice(&text));
    w->run.failed |= text.failed;
    strbuf_free(&text);
}

/* RFC 2047 5 (2): within a comment, between white space and parentheses. */
static void recode_comment(struct words *w, struct slice s)
{
    while (s.n > 0) {
        struct slice space = take_space(&s);
        if (space.n > 0)
            put_space(w, space);
        size_t n = 0;
        while (n < s.n && !is_wsp(s.p[n]) && s.p[n] != '(' && s.p[n] != ')')
            n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
        if (n > 0)
            put_escaped(w, slice_sub(s, 0, n), slice_sub(s, 0, n));
        else if (s.n > 0)
            put_raw(w, slice_sub(s, 0, n = 1));
        s = slice_skip(s, n);
    }
    put_raw(w, SLICE(""));
}

/* ---- fields of addresses and phrases --------------------------------------------------------- */

enum token_kind { TOKEN_SPACE = 0, TOKEN_ATOM, TOKEN_QUOTED, TOKEN_COMMENT, TOKEN_ANGLE, TOKEN_SPECIAL, TOKEN_BROKEN };

static bool is_special(char c)
{
    return c != '\0' && strchr("()<>@,;:\"[]", c) != NULL;
}

/* "<" up to its ">", over quoted strings. */
static size_t angle_length(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '>')
            return i + 1;
        if (s.p[i] == '"') {
            size_t n = mime_quoted_length(slice_skip(s, i));
            if (n == 0)
                return 0;
            i += n - 1;
        }
    }
    return 0;
}

static enum token_kind take_token(struct slice *s, struct slice *ret)
{
    enum token_kind kind = TOKEN_SPECIAL;
    size_t n = 1;
    switch (s->p[0]) {
    case ' ':
    case '\t':
        *ret = take_space(s);
        return TOKEN_SPACE;
    case '"':
        kind = TOKEN_QUOTED;
        n = mime_quoted_length(*s);
        break;
    case '(':
        kind = TOKEN_COMMENT;
        n = mime_comment_length(*s);
        break;
    case '<':
        kind = TOKEN_ANGLE;
        n = angle_length(*s);
        break;
    default:
        if (is_special(s->p[0]))
            break;
        kind = TOKEN_ATOM;
        while (n < s->n && !is_wsp(s->p[n]) && !is_special(s->p[n]))
            n++;
    }
    *ret = slice_sub(*s, 0, n);
    *s = slice_skip(*s, n);
    return n == 0 ? TOKEN_BROKEN : kind;
}

static bool is_separator(struct slice token)
{
    return token.p[0] == ',' || token.p[0] == ';' || token.p[0] == ':';
}

/* Are the words that `s` begins with a display name?  Then a "<" or the ":" of a group ends them. */
static bool at_phrase(struct slice s)
{
    while (s.n > 0) {
        struct slice token;
        switch (take_token(&s, &token)) {
        case TOKEN_ANGLE:
            return true;
        case TOKEN_SPECIAL:
            return token.p[0] == ':';
        case TOKEN_BROKEN:
            return false;
        default:
            break;
        }
    }
    return false;
}

static void put_token(struct words *w, enum token_kind kind, struct slice token, bool phrase)
{
    switch (kind) {
    case TOKEN_SPACE:
        put_space(w, token);
        return;
    case TOKEN_COMMENT:
        recode_comment(w, token);
        return;
    case TOKEN_ATOM:
        if (phrase) {
            put_word(w, token, token);
            return;
        }
        break;
    case TOKEN_QUOTED:
        if (phrase) {
            put_escaped(w, token, slice_sub(token, 1, token.n - 2));
            return;
        }
        break;
    default:
        break;
    }
    /* RFC 2047 5: never within an addr-spec */
    w->failed |= kind == TOKEN_BROKEN || !slice_is_ascii(token);
    put_raw(w, token);
}

static void recode_phrases(struct words *w, struct slice s, bool addresses)
{
    bool phrase = !addresses || at_phrase(s);
    while (s.n > 0 && !w->failed) {
        struct slice token;
        enum token_kind kind = take_token(&s, &token);
        put_token(w, kind, token, phrase);
        if (kind == TOKEN_SPECIAL && is_separator(token))
            phrase = !addresses || at_phrase(s);
    }
    put_raw(w, SLICE(""));
}

/* ---- parameters ------------------------------------------------------------------------------ */

enum { SEGMENT_MAX = 54 };

/* attribute-char: RFC 2231 7 */
static bool is_attribute_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && strchr("*'%()<>@,;:\\\"/[]?=", c) == NULL;
}

/* name*=utf-8''text, or name*0*=...; name*1*=... when that is long (RFC 2231 3, 4) */
static void put_extended(struct strbuf *out, struct slice name, struct slice text)
{
    struct strbuf encoded = STRBUF_INIT;
    strbuf_addf(&encoded, "%s''", slice_is_utf8(text) ? "utf-8" : "unknown-8bit");
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        strbuf_addf(&encoded, is_attribute_char(c) ? "%c" : "%%%02X", c);
    }
    struct slice rest = strbuf_slice(&encoded);
    bool whole = rest.n <= SEGMENT_MAX;
    for (size_t i = 0; rest.n > 0; i++) {
        size_t n = rest.n < SEGMENT_MAX ? rest.n : SEGMENT_MAX;
        while (n < rest.n && (rest.p[n - 1] == '%' || rest.p[n - 2] == '%'))
            n--;
        strbuf_addf(out, "%s%.*s*", i > 0 ? "; " : "", SLICE_ARG(name));
        if (!whole)
            strbuf_addf(out, "%zu*", i);
        strbuf_add_char(out, '=');
        strbuf_add_slice(out, slice_sub(rest, 0, n));
        rest = slice_skip(rest, n);
    }
    out->failed |= encoded.failed;
    strbuf_free(&encoded);
}

static bool has_extended(struct slice params, struct slice name)
{
    struct mime_param p;
    while (mime_param_next(&params, &p) > 0) {
        if (p.name.n > name.n && p.name.p[name.n] == '*' && slice_eq_icase(slice_sub(p.name, 0, name.n), name))
            return true;
    }
    return false;
}

/* -1 where 8-bit octets stand outside parameter values, in what cannot be read, or where parameters abound. */
static int recode_params(struct strbuf *out, struct slice value)
{
    struct mime_value v;
    struct mime_param p;
    struct strbuf text = STRBUF_INIT;
    int more = 0;
    if (mime_value_parse(value, &v) < 0)
        return -1;
    struct slice all = v.params;
    size_t start = out->n, done = (size_t)(all.p - value.p); /* octets of `value` that are written */
    strbuf_add_slice(out, slice_sub(value, 0, done));
    for (size_t i = 0; i < PARAMS_MAX && (more = mime_param_next(&v.params, &p)) > 0; i++) {
        size_t begin = (size_t)(p.name.p - value.p), end = (size_t)(p.value.p - value.p) + p.value.n;
        struct slice before = slice_sub(value, done, begin - done);
        if (slice_is_ascii(p.value) ||
            slice_eq_icase(p.name, SLICE("boundary"))) { /* which is compared octet by octet */
            strbuf_add_slice(out, slice_sub(value, done, end - done));
        } else if (!has_extended(all, p.name)) { /* else: that says it better, and readers take it alone (RFC 2231 4) */
            strbuf_add_slice(out, before);
            strbuf_reset(&text);
            mime_param_text(&p, &text);
            put_extended(out, p.name, strbuf_slice(&text));
        }
        done = end;
    }
    strbuf_add_slice(out, slice_skip(value, done));
    out->failed |= text.failed;
    strbuf_free(&text);
    return more != 0 || !slice_is_ascii(slice_skip(strbuf_slice(out), start)) ? -1 : 0;
}

/* ---- fields ---------------------------------------------------------------------------------- */

enum text_kind {
    TEXT_UNSTRUCTURED = 0, /* RFC 2047 5 (1): Subject, Comments, extension fields */
    TEXT_ADDRESSES,        /* 5 (3): phrases, and 5 (2): comments */
    TEXT_PHRASES,          /* phrases without addresses */
    TEXT_PARAMETERS,       /* RFC 2231 */
    TEXT_NONE              /* an encoded word may not stand there */
};

static const struct {
    struct slice name;
    enum text_kind kind;
} field_kinds[] = {
#define FIELD(literal, kind)                                                                                           \
    {                                                                                                                  \
        {literal, sizeof(literal) - 1}, kind                                                                           \
    }
    FIELD("From", TEXT_ADDRESSES),
    FIELD("Sender", TEXT_ADDRESSES),
    FIELD("Reply-To", TEXT_ADDRESSES),
    FIELD("To", TEXT_ADDRESSES),
    FIELD("Cc", TEXT_ADDRESSES),
    FIELD("Bcc", TEXT_ADDRESSES),
    FIELD("Resent-From", TEXT_ADDRESSES),
    FIELD("Resent-Sender", TEXT_ADDRESSES),
    FIELD("Resent-Reply-To", TEXT_ADDRESSES),
    FIELD("Resent-To", TEXT_ADDRESSES),
    FIELD("Resent-Cc", TEXT_ADDRESSES),
    FIELD("Resent-Bcc", TEXT_ADDRESSES),
    FIELD("Mail-Followup-To", TEXT_ADDRESSES),
    FIELD("Mail-Reply-To", TEXT_ADDRESSES),
    FIELD("Disposition-Notification-To", TEXT_ADDRESSES),
    FIELD("Return-Receipt-To", TEXT_ADDRESSES),
    FIELD("Errors-To", TEXT_ADDRESSES),
    FIELD("List-Id", TEXT_ADDRESSES),
    FIELD("Keywords", TEXT_PHRASES),
    FIELD("Content-Type", TEXT_PARAMETERS),
    FIELD("Content-Disposition", TEXT_PARAMETERS),
    FIELD("Return-Path", TEXT_NONE),
    FIELD("Received", TEXT_NONE),
    FIELD("Date", TEXT_NONE),
    FIELD("Resent-Date", TEXT_NONE),
    FIELD("Message-ID", TEXT_NONE),
    FIELD("Resent-Message-ID", TEXT_NONE),
    FIELD("In-Reply-To", TEXT_NONE),
    FIELD("References", TEXT_NONE),
    FIELD("MIME-Version", TEXT_NONE),
    FIELD("Content-Transfer-Encoding", TEXT_NONE),
    FIELD("Content-ID", TEXT_NONE),
    FIELD("Content-Location", TEXT_NONE),
    FIELD("Content-Base", TEXT_NONE),
    FIELD("Content-Language", TEXT_NONE),
    FIELD("Content-MD5", TEXT_NONE),
    FIELD("Auto-Submitted", TEXT_NONE),
    FIELD("Autocrypt", TEXT_NONE),
    FIELD("DKIM-Signature", TEXT_NONE),
    FIELD("ARC-Seal", TEXT_NONE),
    FIELD("ARC-Message-Signature", TEXT_NONE),
    FIELD("ARC-Authentication-Results", TEXT_NONE),
    FIELD("Authentication-Results", TEXT_NONE),
    FIELD("List-Help", TEXT_NONE),
    FIELD("List-Unsubscribe", TEXT_NONE),
    FIELD("List-Unsubscribe-Post", TEXT_NONE),
    FIELD("List-Subscribe", TEXT_NONE),
    FIELD("List-Post", TEXT_NONE),
    FIELD("List-Owner", TEXT_NONE),
    FIELD("List-Archive", TEXT_NONE),
#undef FIELD
};

static enum text_kind kind_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(field_kinds); i++) {
        if (slice_eq_icase(field_kinds[i].name, name))
            return field_kinds[i].kind;
    }
    return TEXT_UNSTRUCTURED;
}

static int recode_value(struct strbuf *line, enum text_kind kind, struct slice value)
{
    struct words w = {.out = line, .space = SLICE("")};
    switch (kind) {
    case TEXT_NONE:
        return -1;
    case TEXT_PARAMETERS:
        return recode_params(line, value);
    case TEXT_UNSTRUCTURED:
        recode_unstructured(&w, value);
        break;
    case TEXT_ADDRESSES:
    case TEXT_PHRASES:
        recode_phrases(&w, value, kind == TEXT_ADDRESSES);
        break;
    }
    line->failed |= w.run.failed;
    strbuf_free(&w.run);
    return w.failed ? -1 : 0;
}

bool field_is_long(const struct field *f)
{
    for (struct slice s = f->raw; s.n > 0;) {
        size_t n = slice_find_slice(s, SLICE("\r\n"));
        if (n > MESSAGE_LINE_MAX)
            return true;
        s = slice_skip(s, n + 2);
    }
    return false;
}

enum recoded field_recode(const struct field *f, bool keep_utf8, struct strbuf *out)
{
    struct strbuf unfolded = STRBUF_INIT, line = STRBUF_INIT;
    enum recoded result = RECODED;
    for (size_t i = 0; i < f->value.n; i++) {
        if (f->value.p[i] != '\r' && f->value.p[i] != '\n') /* RFC 5322 2.2.3 */
            strbuf_add_char(&unfolded, f->value.p[i]);
    }
    struct slice value = strbuf_slice(&unfolded);
    while (value.n > 0 && is_wsp(value.p[value.n - 1]))
        value.n--;
    strbuf_add_slice(&line, f->name);
    strbuf_add_char(&line, ':');
    if (keep_utf8 || slice_is_ascii(value)) {
        strbuf_add_slice(&line, value);
    } else {
        if (value.n > 0 && !is_wsp(value.p[0])) /* RFC 2047 5: white space before an encoded word */
            strbuf_add_char(&line, ' ');
        if (recode_value(&line, kind_of(f->name), value) < 0)
            result = RECODE_IMPOSSIBLE;
    }
    if (result == RECODED && fold(out, strbuf_slice(&line)) < 0)
        result = RECODE_TOO_LONG;
    out->failed |= unfolded.failed || line.failed;
    strbuf_free(&unfolded);
    strbuf_free(&line);
    return result;
}
