/* RFC 6376 3.4.2 and 3.4.4 once more, as plainly as they are written and whole: what the real ones are held against. */
#ifndef SENDAS_NAIVE_CANON_H
#define SENDAS_NAIVE_CANON_H

#include "sendas/base.h"

#include <string.h>

/* "Reduce all sequences of WSP within a line to a single SP character", and ignore those at its end. */
static inline void naive_line(struct strbuf *out, struct slice line)
{
    for (size_t i = 0; i < line.n; i++) {
        bool blank = line.p[i] == ' ' || line.p[i] == '\t';
        size_t next = i + 1;
        while (blank && next < line.n && (line.p[next] == ' ' || line.p[next] == '\t'))
            next++;
        if (!blank)
            strbuf_add_char(out, line.p[i]);
        else if (next < line.n)
            strbuf_add_char(out, ' ');
        i = next - 1;
    }
}

static inline void naive_body(struct strbuf *out, struct slice body)
{
    while (body.n > 0) {
        size_t end = slice_find_slice(body, SLICE("\r\n"));
        naive_line(out, slice_sub(body, 0, end));
        strbuf_add_str(out, "\r\n");
        body = slice_skip(body, end + 2);
    }
    /* "Ignore all empty lines at the end of the message body." */
    while (out->n >= 2 && memcmp(out->p + out->n - 2, "\r\n", 2) == 0 &&
           (out->n == 2 || (out->n >= 4 && memcmp(out->p + out->n - 4, "\r\n", 2) == 0)))
        strbuf_truncate(out, out->n - 2);
}

/* "Convert names to lower case, unfold, reduce WSP, delete it at both ends"; `value` in one line or folded. */
static inline void naive_field(struct strbuf *out, struct slice name, struct slice value)
{
    struct strbuf unfolded = STRBUF_INIT;
    for (size_t i = 0; i < name.n; i++)
        strbuf_add_char(out, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    strbuf_add_char(out, ':');
    while (value.n > 0) {
        size_t end = slice_find_slice(value, SLICE("\r\n"));
        strbuf_add_slice(&unfolded, slice_sub(value, 0, end));
        value = slice_skip(value, end + 2);
    }
    naive_line(out, slice_trim(strbuf_slice(&unfolded)));
    strbuf_add_str(out, "\r\n");
    strbuf_free(&unfolded);
}

#endif
