/* source.c - YAML as a tree that knows its lines, by libyaml's events. */
#include "internal.h"

#include <string.h>
#include <yaml.h>

enum { SOURCE_DEPTH_MAX = 16, SOURCE_MEMORY_MAX = 64 * 1024 * 1024, FOUND_MAX = 80 };

struct reader {
    struct source *s;
    yaml_parser_t parser;
    struct node *open[SOURCE_DEPTH_MAX]; /* the mappings and sequences around the next event */
    unsigned depth;
    const char *key; /* read, its value not yet */
    unsigned key_line, key_column;
    struct err *err;
};

static int fail_at(const struct source *s, unsigned line, struct err *err, const char *what)
{
    return err_set(err, "%s:%u: %s", s->name, line, what);
}

/* libyaml knows the line of what it parsed, but only the octet of what it could not read. */
static int fail_syntax(const struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    unsigned line = (unsigned)p->problem_mark.line + 1;
    if (p->error == YAML_READER_ERROR) {
        struct slice before = slice_sub(r->s->text, 0, p->problem_offset);
        line = 1;
        for (size_t i = 0; i < before.n; i++)
            line += before.p[i] == '\n';
    }
    return err_set(r->err, "%s:%u: found no valid YAML (%s), expected lines such as \"key: value\"", r->s->name, line,
                   p->problem == NULL ? "out of memory" : p->problem);
}

/* Scalars are one line of readable text: whoever prints one need not think.  YAML's escapes could make them more. */
static bool is_readable(struct slice s)
{
    if (!slice_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7F)
            return false;
        if (c == 0xC2 && (unsigned char)s.p[i + 1] < 0xA0)
            return false; /* C1 controls, among them NEL, a line break to YAML */
        if (slice_starts(slice_skip(s, i), SLICE("\xE2\x80\xA8")) ||
            slice_starts(slice_skip(s, i), SLICE("\xE2\x80\xA9")) ||
            slice_starts(slice_skip(s, i), SLICE("\xEF\xBF\xBE")) ||
            slice_starts(slice_skip(s, i), SLICE("\xEF\xBF\xBF")) ||
            slice_starts(slice_skip(s, i), SLICE("\xEF\xBB\xBF")))
            return false; /* U+2028 and U+2029, likewise; U+FFFE, U+FFFF, U+FEFF: not allowed in YAML as they are */
    }
    return true;
}

static int scalar_text(struct reader *r, const yaml_event_t *e, const char **ret)
{
    unsigned line = (unsigned)e->start_mark.line + 1;
    struct slice text = slice_from(e->data.scalar.value, e->data.scalar.length);
    if (text.n > CONFIG_SCALAR_MAX)
        return err_set(r->err, "%s:%u: found a value of %zu octets, expected at most %d", r->s->name, line, text.n,
                       CONFIG_SCALAR_MAX);
    if (!is_readable(text))
        return fail_at(r->s, line, r->err, "found a control character or a line break in a value, expected plain text");
    *ret = arena_strdup(&r->s->mem, text);
    return *ret == NULL ? fail_at(r->s, line, r->err, "out of memory") : 0;
}

/* Hangs a node where the next value belongs. */
static int add_node(struct reader *r, const yaml_event_t *e, enum node_kind kind, const char *text)
{
    struct node *parent = r->depth == 0 ? NULL : r->open[r->depth - 1];
    unsigned line = (unsigned)e->start_mark.line + 1;
    if (kind != NODE_SCALAR && r->depth == SOURCE_DEPTH_MAX)
        return fail_at(r->s, line, r->err, "found too many levels, expected those of the manual page");
    if (parent != NULL && parent->kind == NODE_MAPPING && r->key == NULL) {
        if (kind != NODE_SCALAR)
            return fail_at(r->s, line, r->err, "found a mapping or a list as a key, expected a name");
        r->key = text;
        r->key_line = line;
        r->key_column = (unsigned)e->start_mark.column;
        return 0;
    }
    struct node *node = arena_alloc(&r->s->mem, sizeof(*node));
    if (node == NULL)
        return fail_at(r->s, line, r->err, "out of memory");
    *node = (struct node){.kind = kind,
                          .line = r->key == NULL ? line : r->key_line,
                          .key = r->key,
                          .text = text,
                          .start = e->start_mark.index,
                          .end = e->end_mark.index,
                          .column = r->key == NULL ? (unsigned)e->start_mark.column : r->key_column};
    if (kind == NODE_MAPPING)
        node->flow = e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    if (kind == NODE_SEQUENCE)
        node->flow = e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    r->key = NULL;
    if (parent == NULL) {
        r->s->root = node;
    } else {
        if (parent->last == NULL)
            parent->first = node;
        else
            parent->last->next = node;
        parent->last = node;
        parent->n++;
    }
    if (kind != NODE_SCALAR)
        r->open[r->depth++] = node;
    return 0;
}

/* libyaml sees the end of a block only where something else begins. */
static void close_node(struct node *n, const yaml_event_t *e)
{
    if (n->flow)
        n->end = e->end_mark.index;
    else if (n->last != NULL)
        n->end = n->last->end;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
    unsigned line = (unsigned)e->start_mark.line + 1;
    const char *text = NULL;
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        if (e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL)
            return fail_at(r->s, line, r->err, "found an anchor or a tag, expected the value alone");
        return scalar_text(r, e, &text) < 0 ? -1 : add_node(r, e, NODE_SCALAR, text);
    case YAML_MAPPING_START_EVENT:
        if (e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL)
            return fail_at(r->s, line, r->err, "found an anchor or a tag, expected the value alone");
        return add_node(r, e, NODE_MAPPING, NULL);
    case YAML_SEQUENCE_START_EVENT:
        if (e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL)
            return fail_at(r->s, line, r->err, "found an anchor or a tag, expected the value alone");
        return add_node(r, e, NODE_SEQUENCE, NULL);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        close_node(r->open[--r->depth], e);
        return 0;
    case YAML_ALIAS_EVENT:
        return fail_at(r->s, line, r->err, "found an alias, expected the value itself");
    case YAML_DOCUMENT_START_EVENT:
        return r->s->root == NULL ? 0 : fail_at(r->s, line, r->err, "found a second document, expected one");
    default:
        return 0;
    }
}

int source_parse(struct source *s, struct slice text, const char *name, struct err *err)
{
    struct reader r = {.s = s, .err = err};
    *s = (struct source){.name = name, .text = text, .mem = ARENA_INIT(SOURCE_MEMORY_MAX)};
    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n == 0 ? "" : text.p), text.n);
    int rc = 0;
    for (bool end = false; rc == 0 && !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r.parser, &e)) {
            rc = fail_syntax(&r);
        } else {
            rc = on_event(&r, &e);
            end = e.type == YAML_STREAM_END_EVENT;
            yaml_event_delete(&e);
        }
    }
    yaml_parser_delete(&r.parser);
    if (rc < 0)
        source_free(s);
    return rc;
}

void source_free(struct source *s)
{
    arena_free(&s->mem);
    s->root = NULL;
}

/* ---- where something stands ------------------------------------------------------------------------------ */

static const struct node *child_by_key(const struct node *n, struct slice key)
{
    for (const struct node *c = n->first; c != NULL; c = c->next)
        if (c->key != NULL && slice_eq(slice_of(c->key), key))
            return c;
    return NULL;
}

static const struct node *child_by_index(const struct node *n, uint64_t index)
{
    const struct node *c = n->first;
    while (c != NULL && index-- > 0)
        c = c->next;
    return c;
}

unsigned source_line(const struct source *s, const char *key)
{
    const struct node *n = s == NULL ? NULL : s->root;
    unsigned line = n == NULL ? 1 : n->line;
    struct slice rest = slice_of(key), step;
    while (n != NULL && rest.n > 0) {
        uint64_t index;
        /* "domains[0].dkim[1].key": a step ends at '.', '[' or ']'. */
        size_t end = 0;
        while (end < rest.n && rest.p[end] != '.' && rest.p[end] != '[' && rest.p[end] != ']')
            end++;
        step = slice_sub(rest, 0, end);
        rest = slice_skip(rest, end + 1);
        if (step.n == 0)
            continue;
        if (n->kind == NODE_SEQUENCE)
            n = slice_to_u64(step, &index) < 0 ? NULL : child_by_index(n, index);
        else
            n = child_by_key(n, step);
        if (n != NULL)
            line = n->line;
    }
    return line;
}

void key_set(char key[CONFIG_KEY_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(key, CONFIG_KEY_MAX, format, args);
    va_end(args);
}

int source_fail(const struct source *s, struct err *err, const char *key, const char *format, ...)
{
    struct err what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof(what.text), format, args);
    va_end(args);
    return err_set(err, "%s:%u: %s%s%s", s == NULL ? "defaults" : s->name, source_line(s, key), key,
                   key[0] == '\0' ? "" : ": ", what.text);
}

int source_mismatch(const struct source *s, struct err *err, const char *key, const char *found, const char *expected,
                    ...)
{
    struct err what;
    va_list args;
    va_start(args, expected);
    vsnprintf(what.text, sizeof(what.text), expected, args);
    va_end(args);
    if (found[0] == '\0')
        return source_fail(s, err, key, "found nothing, expected %s", what.text);
    return source_fail(s, err, key, "found \"%.*s\"%s, expected %s", FOUND_MAX, found,
                       strlen(found) > FOUND_MAX ? "..." : "", what.text);
}
