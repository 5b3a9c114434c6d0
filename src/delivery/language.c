/* delivery/language.c - charsets and kana, in the subject and in the first text of a message.
 *
 * Kana stand in every Japanese sentence and in no other language; ideographs alone may be Chinese.  What cannot be
 * decoded says nothing. */
#include "language.h"

#include "subject.h"

#include "sendas/mime.h"

enum {
    KANA_ENOUGH = 2,        /* one alone may be an ornament in another language */
    TEXT_MAX = 16 * 1024,   /* octets of the text that are looked at, */
    SUBJECT_MAX = 4 * 1024, /* and of the subject */
    PART_DEPTH_MAX = 5      /* multiparts, one as the first part of another */
};

struct sniff {
    unsigned kana;
    bool charset; /* a Japanese one was named */
};

const char *language_tag(enum language language)
{
    static const char *const tags[LANGUAGES] = {[LANGUAGE_ENGLISH] = "en", [LANGUAGE_JAPANESE] = "ja"};
    return tags[language];
}

/* ---- evidence ------------------------------------------------------------------------------------------------- */

static void judge_charset(struct sniff *s, struct slice name)
{
    static const char *const names[] = {"iso-2022-jp", "shift_jis", "shift-jis",   "sjis",
                                        "cp932",       "ms932",     "windows-31j", "euc-jp"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        s->charset |= slice_starts_icase(name, slice_of(names[i]));
}

/* U+3041 to U+3096 and U+30A1 to U+30FA, each three octets of UTF-8. */
static void count_kana(struct sniff *s, struct slice text)
{
    for (size_t i = 0; i + 2 < text.n; i++) {
        unsigned char a = (unsigned char)text.p[i], b = (unsigned char)text.p[i + 1], c = (unsigned char)text.p[i + 2];
        unsigned code = (a & 0x0fU) << 12 | (b & 0x3fU) << 6 | (c & 0x3fU);
        bool three = (a & 0xf0) == 0xe0 && (b & 0xc0) == 0x80 && (c & 0xc0) == 0x80;
        if (three && ((code >= 0x3041 && code <= 0x3096) || (code >= 0x30a1 && code <= 0x30fa)))
            s->kana++;
    }
}

/* ---- the subject ------------------------------------------------------------------------------------------------ */

static void look_at_subject(struct sniff *s, struct slice value)
{
    struct slice rest = slice_sub(value, 0, SUBJECT_MAX), before;
    struct encoded_word w;
    count_kana(s, rest); /* as UTF-8 (RFC 6532) */
    while (encoded_word_next(&rest, &before, &w)) {
        struct strbuf plain = {.max = SUBJECT_MAX};
        judge_charset(s, w.charset);
        encoded_word_decode(&w, &plain);
        count_kana(s, strbuf_slice(&plain));
        strbuf_free(&plain);
    }
}

/* ---- the first text -------------------------------------------------------------------------- */

struct entity {
    struct slice type, encoding; /* values as written, with their folds */
    struct slice body;
};

static void keep_field(struct entity *e, struct slice field)
{
    struct slice name, value = slice_cut(field, ':', &name);
    struct slice *to = slice_eq_icase(name, SLICE("Content-Type"))                ? &e->type
                       : slice_eq_icase(name, SLICE("Content-Transfer-Encoding")) ? &e->encoding
                                                                                  : NULL;
    if (to != NULL && to->p == NULL)
        *to = slice_trim(value);
}

/* A field goes on where the next line begins with a blank. */
static size_t field_length(struct slice s)
{
    size_t n = 0;
    do {
        n += slice_find(slice_skip(s, n), '\n');
        n += n < s.n;
    } while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t'));
    return n;
}

static struct entity take_entity(struct slice s)
{
    struct entity e = {0};
    while (s.n > 0 && !slice_starts(s, SLICE("\r\n"))) {
        size_t n = field_length(s);
        keep_field(&e, slice_sub(s, 0, n));
        s = slice_skip(s, n);
    }
    e.body = slice_skip(s, 2);
    return e;
}

static void look_at_parameters(struct sniff *s, struct slice params)
{
    struct mime_param p;
    while (mime_param_next(&params, &p) == 1) {
        struct strbuf text = {.max = 100};
        mime_param_text(&p, &text);
        if (slice_eq_icase(p.name, SLICE("charset")))
            judge_charset(s, strbuf_slice(&text));
        strbuf_free(&text);
    }
}

/* Up to the line that may be a boundary; what fails to decode ends there. */
static void look_at_text(struct sniff *s, struct slice encoding, struct slice text, bool in_multipart)
{
    struct strbuf plain = {.max = TEXT_MAX};
    struct mime_qp_decoder qp = {0};
    struct mime_base64_decoder base64 = {0};
    text = slice_sub(text, 0, TEXT_MAX);
    if (in_multipart)
        text = slice_sub(text, 0, slice_find_slice(text, SLICE("\r\n--")));
    if (slice_starts_icase(encoding, SLICE("base64")))
        mime_base64_decode(&base64, text, &plain);
    else if (slice_starts_icase(encoding, SLICE("quoted-printable")))
        mime_qp_decode(&qp, text, &plain);
    else
        strbuf_add_slice(&plain, text);
    count_kana(s, strbuf_slice(&plain));
    strbuf_free(&plain);
}

/* What stands behind the first boundary line. */
static struct slice first_part(struct slice body)
{
    if (!slice_starts(body, SLICE("--")))
        body = slice_skip(body, slice_find_slice(body, SLICE("\r\n--")) + 2);
    return slice_skip(body, slice_find(body, '\n') + 1);
}

enum language language_of(struct slice message)
{
    struct sniff s = {0};
    struct entity e = take_entity(message);
    look_at_subject(&s, subject_of(message));
    for (unsigned depth = 0; depth <= PART_DEPTH_MAX; depth++) {
        struct mime_value type;
        bool known = e.type.p != NULL && mime_value_parse(e.type, &type) == 0;
        if (known && slice_eq_icase(type.type, SLICE("multipart"))) {
            e = take_entity(first_part(e.body));
            continue;
        }
        if (known)
            look_at_parameters(&s, type.params);
        if (!known || slice_eq_icase(type.type, SLICE("text")))
            look_at_text(&s, e.encoding, e.body, depth > 0);
        break;
    }
    return s.charset || s.kana >= KANA_ENOUGH ? LANGUAGE_JAPANESE : LANGUAGE_ENGLISH;
}
