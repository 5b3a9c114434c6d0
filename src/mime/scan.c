/* The first pass: walks the message line by line and notes in the plan what is to change.
 *
 *   header  --empty line-->  content of a part         ends at a boundary of any multipart around it
 *                            multipart: its preamble   then a boundary, then the header of its first part ...
 *                            message/rfc822: a header
 *
 * Around the part under way stand the multiparts and messages that hold it, in frames; a boundary ends all frames
 * inside its own (RFC 2046 5.1.2).  What a header must say is known when its part has been read, so a header leaves
 * edits that do nothing yet: for its Content-Transfer-Encoding, and for fields to be added behind the last one. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    NO_FRAME = MIME_DEPTH_MAX,
    FIELD_ARENA_MAX = 1024 * 1024,        /* the fields of one header */
    RECODED_MAX = 4 * MESSAGE_HEADER_MAX, /* changed fields of all headers */
    NAME_MAX_SHOWN = 40
};

/* What the header of a part can still be made to say. */
struct entity {
    struct edit *label; /* its Content-Transfer-Encoding; NULL = none, or more than one */
    struct edit *end;   /* behind its last field */
    bool says_8bit, has_type, lacks_version;
};

struct frame {
    struct entity entity;
    bool multipart; /* otherwise a message/rfc822: it ends with what is around it */
    bool digest, closed;
    bool kept_8bit, changed; /* something inside */
    bool has_parts;
    size_t n_boundary;
    char boundary[BOUNDARY_MAX];
};

struct scan {
    struct arena *arena;
    struct mime_plan *plan;
    struct err *err;
    bool smtputf8;
    struct frame frames[MIME_DEPTH_MAX];
    size_t depth;
    bool in_header;
    bool of_message; /* it is a message's header, not a part's */
    struct strbuf header;
    uint64_t header_at;
    struct entity entity; /* of the part under way */
    struct content content;
    struct strbuf scratch, names;
    unsigned parts;
    size_t recoded;
    const char *kept; /* the first sealed part with 8-bit octets */
    struct reader reader;
};

static int refuse(struct scan *s, const char *format, ...) PRINTF_LIKE(2, 3);
static int refuse(struct scan *s, const char *format, ...)
{
    char text[sizeof(s->err->text)];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    err_set(s->err, "%s", text);
    return MIME_REFUSED;
}

static int no_memory(struct scan *s)
{
    err_set(s->err, "out of memory");
    return MIME_FAILED;
}

/* ---- edits ----------------------------------------------------------------------------------- */

static struct edit *add_edit(struct scan *s, enum edit_kind kind, uint64_t from, uint64_t to)
{
    struct edit *e = arena_alloc(s->arena, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->kind = kind;
    e->from = from;
    e->to = to;
    *s->plan->last = e;
    s->plan->last = &e->next;
    return e;
}

static void set_text(struct edit *e, struct slice text)
{
    e->kind = EDIT_TEXT;
    e->text = text;
}

static void mark_kept(struct scan *s, const char *what)
{
    s->plan->report.kept_8bit = true;
    if (s->kept == NULL)
        s->kept = what;
    if (s->depth > 0)
        s->frames[s->depth - 1].kept_8bit = true;
}

static void mark_changed(struct scan *s)
{
    if (s->depth > 0)
        s->frames[s->depth - 1].changed = true;
}

/* A part is labelled as what it has become: relays convert what says 8bit, whether it is or not. */
static void label_7bit(const struct entity *e)
{
    if (e->label != NULL && e->says_8bit)
        set_text(e->label, SLICE("Content-Transfer-Encoding: 7bit\r\n"));
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void pop_frame(struct scan *s)
{
    struct frame *f = &s->frames[--s->depth];
    if (!f->kept_8bit)
        label_7bit(&f->entity);
    if (f->changed && f->entity.lacks_version) /* RFC 2045 4 */
        set_text(f->entity.end, SLICE("MIME-Version: 1.0\r\n"));
    if (s->depth > 0) {
        struct frame *around = &s->frames[s->depth - 1];
        around->kept_8bit |= f->kept_8bit;
        around->changed |= f->changed;
    }
}

static void push_frame(struct scan *s, const struct entity_class *class)
{
    struct frame *f = &s->frames[s->depth++];
    *f = (struct frame){
        .entity = s->entity,
        .multipart = class->kind == ENTITY_MULTIPART,
        .digest = class->digest,
        .n_boundary = class->n_boundary,
    };
    memcpy(f->boundary, class->boundary, class->n_boundary);
}

static bool is_boundary_taken(const struct scan *s, const struct entity_class *class)
{
    for (size_t i = 0; i < s->depth; i++) {
        const struct frame *f = &s->frames[i];
        if (f->multipart &&
            slice_eq(slice_from(f->boundary, f->n_boundary), slice_from(class->boundary, class->n_boundary)))
            return true;
    }
    return false;
}

/* ---- boundaries ------------------------------------------------------------------------------ */

/* delimiter = "--" boundary ["--"] transport-padding    RFC 2046 5.1.1 */
static bool is_delimiter(const struct frame *f, struct slice line, bool *ret_closes, size_t *ret_length)
{
    struct slice rest = slice_skip(line, 2 + f->n_boundary);
    *ret_closes = slice_starts(rest, SLICE("--"));
    if (*ret_closes)
        rest = slice_skip(rest, 2);
    *ret_length = line.n - rest.n;
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] != ' ' && rest.p[i] != '\t')
            return false;
    }
    return true;
}

static bool begins_delimiter(const struct frame *f, struct slice line)
{
    return f->multipart && slice_starts(slice_skip(line, 2), slice_from(f->boundary, f->n_boundary));
}

/* The frame whose boundary the line is, inner ones first; NO_FRAME when there is none.  *ret_like: it begins with one,
 * which is enough for some readers (RFC 2046 5.1.2). */
static size_t find_delimiter(const struct scan *s, const struct line *line, bool *ret_closes, size_t *ret_length,
                             bool *ret_like)
{
    *ret_like = false;
    if (!line->begins || !slice_starts(line->text, SLICE("--")))
        return NO_FRAME;
    bool whole = line->ends || line->text.n < READER_SIZE - 1;
    for (size_t i = s->depth; i-- > 0;) {
        if (!begins_delimiter(&s->frames[i], line->text))
            continue;
        if (whole && !s->frames[i].closed && is_delimiter(&s->frames[i], line->text, ret_closes, ret_length))
            return i;
        *ret_like = true;
    }
    return NO_FRAME;
}

/* ---- the end of a part ----------------------------------------------------------------------- */

static const char *why_sealed(const struct scan *s)
{
    const struct content *c = &s->content;
    if (c->kind == CONTENT_SEALED)
        return c->sealed;
    if (c->kind == CONTENT_FILLER && !s->frames[s->depth - 1].has_parts)
        return "a multipart without parts";
    if (c->boundary_like)
        return "a part with a line that some programs take for a boundary";
    if (c->broken_encoding)
        return c->kind == CONTENT_BASE64 ? "a part of broken base64" : "a part of broken quoted-printable";
    return NULL;
}

static enum edit_kind choose_encoding(const struct content *c, bool at_end)
{
    switch (c->kind) {
    case CONTENT_TEXT:
    case CONTENT_DATA:
        if (mime_base64_size(c->octets) + (at_end ? 2 : 0) < c->qp_octets)
            return EDIT_TO_BASE64;
        return c->kind == CONTENT_TEXT ? EDIT_TO_QP_TEXT : EDIT_TO_QP_DATA;
    case CONTENT_QUOTED_PRINTABLE:
        return EDIT_REPAIR_QP;
    case CONTENT_BASE64:
        return EDIT_REPAIR_BASE64;
    default:
        return EDIT_TO_QP_TEXT; /* filler: as good as any, and it can be read */
    }
}

/* The header of a part that gets an encoding it did not have. */
static int label_encoded(struct scan *s, bool base64)
{
    const struct entity *e = &s->entity;
    const struct content *c = &s->content;
    struct slice label = base64 ? SLICE("Content-Transfer-Encoding: base64\r\n")
                                : SLICE("Content-Transfer-Encoding: quoted-printable\r\n");
    struct strbuf added = STRBUF_INIT;
    struct slice text = {0};
    if (e->lacks_version)
        strbuf_add_str(&added, "MIME-Version: 1.0\r\n");
    if (!e->has_type) /* RFC 2045 5.2: it was us-ascii; RFC 1428 2 */
        strbuf_addf(&added, "Content-Type: text/plain; charset=%s\r\n",
                    !c->eightbit     ? "us-ascii"
                    : c->broken_utf8 ? "unknown-8bit"
                                     : "utf-8");
    if (e->label == NULL)
        strbuf_add_slice(&added, label);
    else
        set_text(e->label, label);
    if (added.n > 0) {
        text = arena_copy(s->arena, strbuf_slice(&added));
        set_text(e->end, text);
    }
    bool failed = added.failed || (added.n > 0 && text.p == NULL);
    strbuf_free(&added);
    return failed ? no_memory(s) : 0;
}

static int encode_part(struct scan *s, bool at_end)
{
    struct content *c = &s->content;
    enum edit_kind kind = choose_encoding(c, at_end);
    struct edit *e = add_edit(s, kind, c->from, c->from + c->octets);
    if (e == NULL)
        return no_memory(s);
    e->at_end = at_end;
    mark_changed(s);
    if (kind == EDIT_TO_BASE64 || kind == EDIT_REPAIR_BASE64)
        s->plan->report.to_base64++;
    else
        s->plan->report.to_quoted_printable++;
    return c->kind == CONTENT_TEXT || c->kind == CONTENT_DATA ? label_encoded(s, kind == EDIT_TO_BASE64) : 0;
}

static int end_content(struct scan *s, bool at_end)
{
    struct content *c = &s->content;
    content_end(c, at_end);
    if (content_is_safe(c)) {
        if (c->kind != CONTENT_FILLER)
            label_7bit(&s->entity);
        return 0;
    }
    const char *sealed = why_sealed(s);
    if (sealed == NULL)
        return encode_part(s, at_end);
    if (c->line_max > MESSAGE_LINE_MAX)
        return refuse(s,
                      "The message has %s with a line of %llu octets, and 998 is the limit: have your mail program "
                      "use quoted-printable or base64",
                      sealed, (unsigned long long)c->line_max);
    mark_kept(s, sealed);
    return 0;
}

/* ---- the header of a part -------------------------------------------------------------------- */

static bool is_top(const struct scan *s)
{
    return s->header_at == 0 && s->depth == 0;
}

static void note_field(struct scan *s, struct slice name)
{
    if (s->names.n < 80)
        strbuf_addf(&s->names, "%s%.*s", s->names.n > 0 ? ", " : "",
                    (int)(name.n < NAME_MAX_SHOWN ? name.n : NAME_MAX_SHOWN), name.p);
}

/* A field that is not safe as it is. */
static int recode(struct scan *s, const struct field *f, uint64_t at)
{
    struct strbuf out = STRBUF_INIT;
    int shown = (int)(f->name.n < NAME_MAX_SHOWN ? f->name.n : NAME_MAX_SHOWN);
    bool top = is_top(s), is_long = field_is_long(f);
    enum recoded result = field_recode(f, top && s->smtputf8, &out);
    int status = 0;
    if (out.failed) {
        status = no_memory(s);
    } else if (result == RECODE_TOO_LONG || (result == RECODE_IMPOSSIBLE && is_long)) {
        status = refuse(s, "The header field %.*s has a line of more than 998 octets that cannot be folded", shown,
                        f->name.p);
    } else if (result == RECODE_IMPOSSIBLE && top) {
        refuse(s, "The header field %.*s has 8-bit octets where only ASCII may stand without SMTPUTF8", shown,
               f->name.p);
        status = MIME_NEEDS_UTF8;
    } else if (result == RECODE_IMPOSSIBLE) {
        mark_kept(s, "the header of a part");
    } else if ((s->recoded += out.n) > RECODED_MAX) {
        status = refuse(s, "The headers of the message's parts hold too much 8-bit text");
    } else {
        struct slice text = arena_copy(s->arena, strbuf_slice(&out));
        struct edit *e = add_edit(s, EDIT_TEXT, at, at + f->raw.n);
        if (e == NULL || text.p == NULL)
            status = no_memory(s);
        else
            set_text(e, text);
        if (top)
            note_field(s, f->name);
    }
    strbuf_free(&out);
    return status;
}

static int judge_field(struct scan *s, const struct field *f)
{
    uint64_t at = s->header_at + (uint64_t)(f->raw.p - s->header.p);
    bool label = slice_eq_icase(f->name, SLICE("Content-Transfer-Encoding"));
    bool utf8 = is_top(s) && s->smtputf8; /* RFC 6532 3.2 */
    struct edit **before = s->plan->last;
    if (utf8 && !slice_is_utf8(f->raw))
        return refuse(s, "The header field %.*s has 8-bit octets that are not UTF-8",
                      (int)(f->name.n < NAME_MAX_SHOWN ? f->name.n : NAME_MAX_SHOWN), f->name.p);
    if ((!utf8 && !slice_is_ascii(f->raw)) || field_is_long(f)) {
        int status = recode(s, f, at);
        if (status < 0)
            return status;
    } else if (label && add_edit(s, EDIT_KEEP, at, at + f->raw.n) == NULL) {
        return no_memory(s);
    }
    if (label)
        s->entity.label = *before;
    return 0;
}

/* What cannot be read as a header is content that nobody touches. */
static void seal_header(struct scan *s, const char *what)
{
    struct slice rest = strbuf_slice(&s->header);
    s->entity = (struct entity){0};
    s->in_header = false;
    content_begin(&s->content, CONTENT_SEALED, what, s->header_at, &s->scratch);
    while (rest.n > 0) {
        size_t n = slice_find_slice(rest, SLICE("\r\n"));
        content_add(&s->content, &(struct line){.text = slice_sub(rest, 0, n), .ends = n < rest.n});
        rest = slice_skip(rest, n + 2);
    }
}

static void begin_header(struct scan *s, uint64_t at, bool of_message)
{
    strbuf_truncate(&s->header, 0);
    s->header_at = at;
    s->in_header = true;
    s->of_message = of_message;
}

static void begin_part(struct scan *s, struct entity_class *class, uint64_t at)
{
    static const enum content_kind kinds[] = {
        [ENTITY_TEXT] = CONTENT_TEXT,
        [ENTITY_DATA] = CONTENT_DATA,
        [ENTITY_QUOTED_PRINTABLE] = CONTENT_QUOTED_PRINTABLE,
        [ENTITY_BASE64] = CONTENT_BASE64,
        [ENTITY_MULTIPART] = CONTENT_FILLER,
        [ENTITY_SEALED] = CONTENT_SEALED,
    };
    bool composite = class->kind == ENTITY_MULTIPART || class->kind == ENTITY_MESSAGE;
    if (composite && s->depth == MIME_DEPTH_MAX) {
        class->kind = ENTITY_SEALED;
        class->sealed = "a part nested too deeply";
    } else if (class->kind == ENTITY_MULTIPART && is_boundary_taken(s, class)) {
        class->kind = ENTITY_SEALED;
        class->sealed = "a multipart with the boundary of one around it";
    } else if (composite) {
        push_frame(s, class);
    }
    s->in_header = false;
    if (class->kind == ENTITY_MESSAGE)
        begin_header(s, at, true);
    else
        content_begin(&s->content, kinds[class->kind], class->sealed, at, &s->scratch);
}

static int read_fields(struct scan *s, struct arena *a, uint64_t end)
{
    struct field_list fields;
    struct err why;
    bool in_digest = s->depth > 0 && s->frames[s->depth - 1].digest;
    switch (fields_parse(a, strbuf_slice(&s->header), &fields, &why)) {
    case 0:
        break;
    case MESSAGE_NO_MEMORY:
        return no_memory(s);
    default:
        if (is_top(s))
            return refuse(s, "%s", why.text);
        seal_header(s, "a part whose header cannot be read");
        return 0;
    }
    struct entity_class class = entity_classify(&fields, in_digest);
    s->entity = (struct entity){
        .says_8bit = class.says_8bit,
        .has_type = fields_count(&fields, SLICE("Content-Type")) > 0,
        .lacks_version = s->of_message && fields_count(&fields, SLICE("MIME-Version")) == 0,
    };
    for (size_t i = 0; i < fields.n; i++) {
        int status = judge_field(s, &fields.v[i]);
        if (status < 0)
            return status;
    }
    if (fields_count(&fields, SLICE("Content-Transfer-Encoding")) > 1)
        s->entity.label = NULL;
    if ((s->entity.end = add_edit(s, EDIT_KEEP, end, end)) == NULL)
        return no_memory(s);
    begin_part(s, &class, end + 2);
    return 0;
}

/* The header is complete; `end`: offset of the empty line. */
static int end_header(struct scan *s, uint64_t end)
{
    struct arena a = ARENA_INIT(FIELD_ARENA_MAX);
    if (is_top(s) && end != s->plan->header.n)
        return refuse(s, "The header holds an empty line, or its last line does not end");
    if (s->header.failed)
        return no_memory(s);
    if (++s->parts > MIME_PARTS_MAX)
        return refuse(s, "The message has more than %d parts", MIME_PARTS_MAX);
    int status = read_fields(s, &a, end);
    arena_free(&a);
    return status;
}

static int add_to_header(struct scan *s, const struct line *line)
{
    if (line->begins && line->ends && line->text.n == 0)
        return end_header(s, line->at);
    if (line->text.n + 2 > MESSAGE_HEADER_MAX - s->header.n) {
        if (is_top(s))
            return refuse(s, "The header is too large");
        seal_header(s, "a part with a header that is too large");
        content_add(&s->content, line);
        return 0;
    }
    strbuf_add_slice(&s->header, line->text);
    if (line->ends)
        strbuf_add_str(&s->header, "\r\n");
    return 0;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static int end_part(struct scan *s, bool at_end)
{
    if (s->in_header)
        seal_header(s, "a part without an empty line behind its header");
    return end_content(s, at_end);
}

static int on_delimiter(struct scan *s, size_t frame, const struct line *line, bool closes, size_t length)
{
    s->frames[frame].has_parts = true;
    int status = end_part(s, false);
    if (status < 0)
        return status;
    while (s->depth > frame + 1)
        pop_frame(s);
    if (line->text.n > MESSAGE_LINE_MAX) { /* RFC 2046 5.1.1: padding says nothing */
        struct edit *e = add_edit(s, EDIT_TEXT, line->at + length, line->at + line->text.n);
        if (e == NULL)
            return no_memory(s);
        set_text(e, SLICE(""));
    }
    uint64_t next = line->at + line->text.n + (line->ends ? 2 : 0);
    s->frames[frame].closed = closes;
    if (closes) {
        s->in_header = false;
        content_begin(&s->content, CONTENT_FILLER, NULL, next, &s->scratch);
    } else {
        begin_header(s, next, false);
    }
    return 0;
}

static int on_line(struct scan *s, const struct line *line)
{
    bool closes, like;
    size_t length, frame = find_delimiter(s, line, &closes, &length, &like);
    if (frame != NO_FRAME)
        return on_delimiter(s, frame, line, closes, length);
    if (s->in_header)
        return add_to_header(s, line);
    s->content.boundary_like |= like;
    content_add(&s->content, line);
    return s->scratch.failed ? no_memory(s) : 0;
}

static int walk(struct scan *s)
{
    struct mime_source whole = plan_source(s->plan);
    struct line line;
    int more, status = 0;
    s->reader.from = &whole;
    s->reader.at_start = true;
    begin_header(s, 0, true);
    while (status == 0 && (more = reader_next(&s->reader, &line)) != 0) {
        if (more < 0) {
            err_set(s->err, "cannot read the message");
            return MIME_FAILED;
        }
        status = on_line(s, &line);
    }
    if (status == 0)
        status = end_part(s, true);
    while (s->depth > 0)
        pop_frame(s);
    return status;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void describe_parts(struct strbuf *text, unsigned n, const char *encoding)
{
    if (n > 0)
        strbuf_addf(text, "%s%u part%s to %s", text->n > 0 ? ", " : "", n, n > 1 ? "s" : "", encoding);
}

static void describe(struct scan *s)
{
    struct mime_report *r = &s->plan->report;
    struct strbuf text = {.max = sizeof(r->summary) - 1};
    for (const struct edit *e = s->plan->first; e != NULL; e = e->next) {
        bool in_header = e->from <= s->plan->header.n;
        r->header_changed |= in_header && e->kind != EDIT_KEEP;
        r->body_changed |= !in_header && e->kind != EDIT_KEEP;
    }
    describe_parts(&text, r->to_quoted_printable, "quoted-printable");
    describe_parts(&text, r->to_base64, "base64");
    if (s->names.n > 0)
        strbuf_addf(&text, "%sheader fields encoded or folded: %s", text.n > 0 ? "; " : "", strbuf_str(&s->names));
    if (text.n == 0 && (r->header_changed || r->body_changed))
        strbuf_add_str(&text, "labels and headers of parts");
    if (s->kept != NULL)
        strbuf_addf(&text, "%s8-bit octets kept in %s", text.n > 0 ? "; " : "", s->kept);
    memcpy(r->summary, strbuf_str(&text), text.n + 1);
    strbuf_free(&text);
}

int mime_scan(struct arena *a, struct slice header, const struct mime_source *body, bool smtputf8,
              struct mime_plan **ret, struct err *err)
{
    struct scan *s = calloc(1, sizeof(*s));
    struct mime_plan *plan = arena_alloc(a, sizeof(*plan));
    if (s == NULL || plan == NULL) {
        free(s);
        err_set(err, "out of memory");
        return MIME_FAILED;
    }
    *plan = (struct mime_plan){.header = header, .body = *body, .last = &plan->first};
    s->arena = a;
    s->plan = plan;
    s->err = err;
    s->smtputf8 = smtputf8;
    int status = walk(s);
    if (status == 0) {
        describe(s);
        *ret = plan;
    }
    strbuf_free(&s->header);
    strbuf_free(&s->scratch);
    strbuf_free(&s->names);
    free(s);
    return status;
}

const struct mime_report *mime_plan_report(const struct mime_plan *plan)
{
    return &plan->report;
}

/* ---- is there anything to do? ---------------------------------------------------------------- */

/* Field by field as far as the top's label is concerned; the scan looks closer. */
static bool says_8bit(struct slice line)
{
    struct slice name, value = slice_cut(line, ':', &name);
    struct mime_value v;
    return slice_eq_icase(name, SLICE("Content-Transfer-Encoding")) && mime_value_parse(value, &v) == 0 &&
           (slice_eq_icase(v.type, SLICE("8bit")) || slice_eq_icase(v.type, SLICE("binary")));
}

bool mime_is_plain(struct slice header, bool body_8bit, bool body_long)
{
    if (body_8bit || body_long || !slice_is_ascii(header))
        return false;
    while (header.n > 0) {
        size_t n = slice_find_slice(header, SLICE("\r\n"));
        if (n > MESSAGE_LINE_MAX || says_8bit(slice_sub(header, 0, n)))
            return false;
        header = slice_skip(header, n + 2);
    }
    return true;
}
