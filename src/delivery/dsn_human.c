/* delivery/dsn_human.c - the part of a DSN that a person reads: the words of texts.c, filled in.
 *
 *   what became of the message - to whom, its subject
 *   per reason: whose fault and what happened - what to do now - the server's own words
 *   who says so */
#include "dsn.h"

#include "subject.h"
#include "texts.h"

#include "sendas/mime.h"

#include <string.h>
#include <time.h>

enum {
    WRAP_AT = 72,
    INDENT = 4,
    WORDS_SHOWN = 10, /* answers of servers that are quoted for one reason */
    WHEN_SIZE = 24
};

struct human {
    const struct dsn *d;
    enum advice advices[DSN_RECIPIENTS_MAX]; /* of each recipient */
    struct strbuf *out;
    bool subject_shown;
};

/* ---- text that came from elsewhere
 * -------------------------------------------------------------------------------------- */

/* How many octets the character at the beginning takes; 0: none that a person should see.  Controls, and what turns the
 * direction of writing or hides, could make the text say something else. */
static size_t visible_length(struct slice s, unsigned *ret_code)
{
    unsigned char lead = (unsigned char)s.p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned c = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n && i < s.n; i++)
        c = c << 6 | ((unsigned char)s.p[i] & 0x3fU);
    *ret_code = c;
    bool hidden = c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                  (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c >= 0xe0000;
    return hidden || n > s.n ? 0 : n;
}

/* Ideographs and kana take two columns. */
static size_t width_of(unsigned code)
{
    return code >= 0x1100 && (code <= 0x115f || (code >= 0x2e80 && code <= 0xffdc)) ? 2 : 1;
}

/* `s`, of which only visible characters come out; *width grows by what they take. */
static void add_visible(struct strbuf *out, struct slice s, size_t *width)
{
    bool utf8 = slice_is_utf8(s);
    while (s.n > 0) {
        unsigned code = '?';
        size_t n = utf8 || (unsigned char)s.p[0] < 0x80 ? visible_length(s, &code) : 0;
        strbuf_add(out, n > 0 ? s.p : "?", n > 0 ? n : 1);
        *width += n > 0 ? width_of(code) : 1;
        s = slice_skip(s, n > 0 ? n : 1);
        while (n == 0 && s.n > 0 && utf8 && ((unsigned char)s.p[0] & 0xc0) == 0x80)
            s = slice_skip(s, 1); /* the rest of the one that is hidden */
    }
}

static void add_name(struct strbuf *out, const char *name)
{
    size_t width = 0;
    add_visible(out, slice_of(name), &width);
}

/* Text in lines of WRAP_AT columns, each behind INDENT blanks.  A word that is longer has a line of its own. */
static void add_quoted(struct strbuf *out, struct slice text)
{
    size_t column = WRAP_AT;
    struct slice word;
    while (text.n > 0) {
        text = slice_cut(text, ' ', &word);
        if (word.n == 0)
            continue;
        struct strbuf seen = STRBUF_INIT;
        size_t width = 0;
        add_visible(&seen, word, &width);
        if (column + 1 + width > WRAP_AT) {
            strbuf_addf(out, "%s%*s", out->n > 0 ? "\r\n" : "", INDENT, "");
            column = INDENT;
        } else {
            strbuf_add_char(out, ' ');
            column++;
        }
        strbuf_add_slice(out, strbuf_slice(&seen));
        out->failed |= seen.failed;
        column += width;
        strbuf_free(&seen);
    }
}

/* ---- filling in
 * ------------------------------------------------------------------------------------------------------------ */

/* "2026-11-21 10:00 UTC": the same in every language. */
static const char *when(int64_t ms, char out[WHEN_SIZE])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, WHEN_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        out[0] = '\0';
    return out;
}

static void add_value(struct strbuf *out, struct slice name, const struct dsn *d, const struct dsn_recipient *r)
{
    char at[WHEN_SIZE];
    if (slice_eq(name, SLICE("to")))
        add_name(out, r->address);
    else if (slice_eq(name, SLICE("mx")))
        add_name(out, r->mx == NULL ? "" : r->mx);
    else if (slice_eq(name, SLICE("from")))
        add_name(out, d->from_domain);
    else if (slice_eq(name, SLICE("host")))
        add_name(out, d->hostname);
    else if (slice_eq(name, SLICE("id")))
        add_name(out, d->queue_id);
    else if (slice_eq(name, SLICE("since")))
        strbuf_add_str(out, when(d->created_ms, at));
    else if (slice_eq(name, SLICE("now")))
        strbuf_add_str(out, when(d->now_ms, at));
    else if (slice_eq(name, SLICE("until")))
        strbuf_add_str(out, when(d->expires_ms, at));
}

static void add_filled(struct strbuf *out, const char *text, const struct dsn *d, const struct dsn_recipient *r)
{
    struct slice rest = slice_of(text);
    while (rest.n > 0) {
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '{' && rest.p[n] != '\n')
            n++;
        strbuf_add_slice(out, slice_sub(rest, 0, n));
        rest = slice_skip(rest, n);
        if (rest.n > 0 && rest.p[0] == '\n') {
            strbuf_add_str(out, "\r\n");
            rest = slice_skip(rest, 1);
        } else if (rest.n > 0) {
            struct slice name;
            rest = slice_cut(slice_skip(rest, 1), '}', &name);
            add_value(out, name, d, r);
        }
    }
}

static void add_text(struct human *h, enum text_id id, const struct dsn_recipient *r)
{
    add_filled(h->out, text_of(id, h->d->language), h->d, r);
    strbuf_add_str(h->out, "\r\n");
}

/* ---- the reasons
 * --------------------------------------------------------------------------------------------------------------- */

static bool is_alike(const struct human *h, size_t i, size_t j)
{
    return h->advices[i] == h->advices[j] && h->d->recipients[i].expired == h->d->recipients[j].expired;
}

/* Is recipient i the first of those to whom the same happened? */
static bool begins_group(const struct human *h, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (is_alike(h, i, j))
            return false;
    return true;
}

static void add_addresses(struct human *h, size_t first)
{
    const char *label = text_of(TEXT_TO, h->d->language);
    for (size_t i = first; i < h->d->n_recipients; i++) {
        if (!is_alike(h, first, i))
            continue;
        strbuf_add_str(h->out, label);
        add_name(h->out, h->d->recipients[i].address);
        strbuf_add_str(h->out, "\r\n");
    }
}

static void add_answer(struct human *h, const struct dsn_recipient *r, bool one_of_several)
{
    char text[sizeof(r->v->text) + sizeof(r->v->enhanced) + 16];
    struct strbuf quoted = STRBUF_INIT;
    bool said = r->mx != NULL && !r->own_words;
    enum text_id id =
        said ? (one_of_several ? TEXT_SAID_ABOUT : TEXT_SAID) : (one_of_several ? TEXT_DETAILS_ABOUT : TEXT_DETAILS);
    snprintf(text, sizeof(text), "%d %s%s%s", r->v->code, r->v->enhanced, r->v->enhanced[0] == '\0' ? "" : " ",
             r->v->text);
    strbuf_add_str(h->out, "\r\n");
    add_text(h, id, r);
    add_quoted(&quoted, slice_of(text));
    strbuf_add_slice(h->out, strbuf_slice(&quoted));
    strbuf_add_str(h->out, "\r\n");
    h->out->failed |= quoted.failed;
    strbuf_free(&quoted);
}

static void add_answers(struct human *h, size_t first)
{
    size_t n = 0, shown = 0;
    for (size_t i = first; i < h->d->n_recipients; i++)
        n += is_alike(h, first, i);
    for (size_t i = first; i < h->d->n_recipients && shown < WORDS_SHOWN; i++)
        if (is_alike(h, first, i)) {
            add_answer(h, &h->d->recipients[i], n > 1);
            shown++;
        }
    if (shown < n) {
        strbuf_add_str(h->out, "\r\n");
        add_text(h, TEXT_MORE, NULL);
    }
}

static void add_advice(struct human *h, const struct dsn_recipient *r, enum advice advice)
{
    enum language language = h->d->language;
    bool delayed = h->d->kind == DSN_DELAYED;
    strbuf_add_str(h->out, "\r\n");
    if (r->expired) {
        add_text(h, TEXT_EXPIRED, r);
        strbuf_add_str(h->out, "\r\n");
    }
    add_filled(h->out, advice_why(advice, language), h->d, r);
    strbuf_add_str(h->out, "\r\n");
    if (delayed && !advice_is_ours(advice))
        return;
    strbuf_add_str(h->out, "\r\n");
    add_text(h, delayed ? TEXT_OPERATOR_MAY : TEXT_WHAT_TO_DO, r);
    add_filled(h->out, advice_what(advice, language), h->d, r);
    strbuf_add_str(h->out, "\r\n");
}

static void add_group(struct human *h, size_t first)
{
    if (first > 0 || !h->subject_shown)
        strbuf_add_str(h->out, "\r\n");
    add_addresses(h, first);
    if (h->d->kind != DSN_RELAYED)
        add_advice(h, &h->d->recipients[first], h->advices[first]);
    add_answers(h, first);
}

/* ---- all together
 * -------------------------------------------------------------------------------------------------------------- */

static void add_subject_line(struct human *h)
{
    struct strbuf subject = STRBUF_INIT;
    if (subject_decode(subject_of(h->d->content), &subject) == 0) {
        strbuf_add_str(h->out, "\r\n");
        strbuf_add_str(h->out, text_of(TEXT_SUBJECT, h->d->language));
        add_name(h->out, strbuf_str(&subject));
        strbuf_add_str(h->out, "\r\n");
        h->subject_shown = true;
    }
    strbuf_free(&subject);
}

static void add_foot(struct human *h, bool returned)
{
    static const enum text_id foot[DSN_KINDS] = {
        [DSN_FAILED] = TEXT_FOOT_FAILED, [DSN_DELAYED] = TEXT_FOOT_DELAYED, [DSN_RELAYED] = TEXT_FOOT_RELAYED};
    strbuf_add_str(h->out, "\r\n----------------------------------------------------------------------\r\n");
    add_text(h, foot[h->d->kind], NULL);
    if (h->d->content.n > 0)
        add_text(h, returned ? TEXT_MESSAGE_ATTACHED : TEXT_HEADER_ATTACHED, NULL);
    add_text(h, TEXT_OPERATOR, NULL);
}

void dsn_add_explanation(const struct dsn *d, bool returned, struct strbuf *out)
{
    static const enum text_id heads[DSN_KINDS] = {
        [DSN_FAILED] = TEXT_FAILED, [DSN_DELAYED] = TEXT_DELAYED, [DSN_RELAYED] = TEXT_RELAYED};
    struct human h = {.d = d, .out = out};
    for (size_t i = 0; i < d->n_recipients; i++)
        h.advices[i] = d->kind == DSN_RELAYED
                           ? ADVICE_REFUSED
                           : advice_for(d->recipients[i].v, d->recipients[i].mx, d->recipients[i].own_words);
    add_text(&h, heads[d->kind], NULL);
    add_subject_line(&h);
    for (size_t i = 0; i < d->n_recipients; i++)
        if (begins_group(&h, i))
            add_group(&h, i);
    add_foot(&h, returned);
}

/* Its own words, then the subject of the message as it is, so that a mail program shows the one beside the other. */
void dsn_add_subject(const struct dsn *d, struct strbuf *out)
{
    static const enum text_id heads[DSN_KINDS] = {
        [DSN_FAILED] = TEXT_SUBJECT_FAILED, [DSN_DELAYED] = TEXT_SUBJECT_DELAYED, [DSN_RELAYED] = TEXT_SUBJECT_RELAYED};
    struct slice head = slice_of(text_of(heads[d->kind], d->language)), subject = subject_of(d->content);
    struct strbuf filled = STRBUF_INIT;
    size_t start = out->n;
    if (subject.n == 0) {
        add_filled(&filled, text_of(TEXT_NO_SUBJECT, d->language), d, &d->recipients[0]);
        subject = strbuf_slice(&filled);
    }
    strbuf_add_str(out, "Subject: ");
    if (slice_is_ascii(head))
        strbuf_add_slice(out, slice_trim(head));
    else
        mime_word_encode(out, head, MIME_WORD_MAX - 9);
    subject_repeat(subject, out->n - start, out);
    strbuf_add_str(out, "\r\n");
    out->failed |= filled.failed;
    strbuf_free(&filled);
}
