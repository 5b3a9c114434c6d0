/* Header fields (RFC 5322 2.2, 3.6.8): the header block cut into fields, every octet kept.
 *
 * Two passes over the block: the first judges each line and counts the fields, the second cuts.  So the
 * list is allocated once, in its final size, and a refused header allocates nothing. */
#include "sendas/message.h"

#include <string.h>

static bool is_wsp(char ch)
{
    return ch == ' ' || ch == '\t';
}

/* Takes the next line, without its CRLF, off *rest. */
static int take_line(struct slice *rest, struct slice *ret_line, size_t number, struct err *err)
{
    size_t cr = slice_find(*rest, '\r');
    struct slice line = slice_sub(*rest, 0, cr);
    line.n = slice_find(line, '\n');
    line.n = slice_find(line, '\0');
    if (line.n < cr)
        return err_set(err, "header line %zu: a %s", number, line.p[line.n] == '\n' ? "bare LF" : "NUL octet");
    if (cr == rest->n)
        return err_set(err, "header line %zu: the line does not end", number);
    if (cr + 1 == rest->n || rest->p[cr + 1] != '\n')
        return err_set(err, "header line %zu: a bare CR", number);
    *ret_line = line;
    *rest = slice_skip(*rest, cr + 2);
    return 0;
}

/* optional-field = field-name ":" unstructured CRLF    RFC 5322 3.6.8
 * field-name     = 1*%d33-57 / %d59-126                no white space before the colon: 4.5.8 is obsolete */
static int judge_first_line(struct slice line, size_t number, struct err *err)
{
    if (line.n == 0)
        return err_set(err, "header line %zu: an empty line inside the header", number);
    size_t colon = slice_find(line, ':');
    if (colon == line.n)
        return err_set(err, "header line %zu: no header field: there is no colon", number);
    if (colon == 0)
        return err_set(err, "header line %zu: a header field without a name", number);
    for (size_t i = 0; i < colon; i++) {
        if (is_wsp(line.p[i]))
            return err_set(err, "header line %zu: white space in or behind the field name", number);
        if (line.p[i] < 33 || line.p[i] > 126)
            return err_set(err, "header line %zu: an octet in the field name that may not stand there", number);
    }
    return 0;
}

static int judge_folded_line(struct slice line, size_t number, struct err *err)
{
    if (number == 1)
        return err_set(err, "header line 1: the header begins with white space");
    for (size_t i = 0; i < line.n; i++)
        if (!is_wsp(line.p[i]))
            return 0;
    /* RFC 5322 3.2.2, 4.2: only obs-FWS folds to a line of white space; readers take it for the header's end */
    return err_set(err, "header line %zu: a folded line of white space only", number);
}

static int judge_lines(struct slice header, size_t *ret_fields, struct err *err)
{
    size_t fields = 0;
    for (size_t number = 1; header.n > 0; number++) {
        struct slice line = {0};
        if (take_line(&header, &line, number, err) < 0)
            return -1;
        if (line.n > 0 && is_wsp(line.p[0])) {
            if (judge_folded_line(line, number, err) < 0)
                return -1;
            continue;
        }
        if (judge_first_line(line, number, err) < 0)
            return -1;
        if (++fields > MESSAGE_FIELDS_MAX)
            return err_set(err, "more than %d header fields", MESSAGE_FIELDS_MAX);
    }
    *ret_fields = fields;
    return 0;
}

/* Octets of the first field of `header`, whose lines have been judged: up to a CRLF that no white space follows. */
static size_t field_length(struct slice header)
{
    size_t end = 0;
    do {
        const char *lf = memchr(header.p + end, '\n', header.n - end);
        end = (size_t)(lf - header.p) + 1;
    } while (end < header.n && is_wsp(header.p[end]));
    return end;
}

int fields_parse(struct arena *a, struct slice header, struct field_list *ret, struct err *err)
{
    struct field_list list = {0};
    if (judge_lines(header, &list.n, err) < 0)
        return -1;
    if (list.n > 0 && (list.v = arena_alloc_array(a, list.n, sizeof(*list.v))) == NULL) {
        err_set(err, "out of memory");
        return MESSAGE_NO_MEMORY;
    }
    for (size_t i = 0; i < list.n; i++) {
        struct field *f = &list.v[i];
        f->raw = slice_sub(header, 0, field_length(header));
        f->value = slice_cut(slice_sub(f->raw, 0, f->raw.n - 2), ':', &f->name);
        header = slice_skip(header, f->raw.n);
    }
    *ret = list;
    return 0;
}

size_t fields_count(const struct field_list *list, struct slice name)
{
    size_t count = 0;
    for (size_t i = 0; i < list->n; i++)
        count += slice_eq_icase(list->v[i].name, name);
    return count;
}

const struct field *fields_get(const struct field_list *list, struct slice name, size_t index)
{
    for (size_t i = 0; i < list->n; i++)
        if (slice_eq_icase(list->v[i].name, name) && index-- == 0)
            return &list->v[i];
    return NULL;
}

struct slice field_unfold(struct arena *a, const struct field *f)
{
    char *out = arena_alloc(a, f->value.n + 1);
    if (out == NULL)
        return (struct slice){0};
    size_t n = 0;
    /* RFC 5322 2.2.3: the CRLF before white space goes, the white space stays; no other CRLF stands in a value */
    for (size_t i = 0; i < f->value.n; i++)
        if (f->value.p[i] != '\r' && f->value.p[i] != '\n')
            out[n++] = f->value.p[i];
    return slice_trim(slice_from(out, n));
}
