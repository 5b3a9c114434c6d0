/* The header as receivers cut it, and the body as they read it.  Part of the verifier: it uses no parser of message.h.
 */
#include "verify.h"

/* Octets up to and with the CRLF that ends the field `s` begins with; 0 when there is none. */
static size_t field_end(struct slice s)
{
    for (size_t at = 0;;) {
        size_t crlf = slice_find_slice(slice_skip(s, at), SLICE("\r\n"));
        if (at + crlf >= s.n)
            return 0;
        at += crlf + 2;
        if (at == s.n || (s.p[at] != ' ' && s.p[at] != '\t'))
            return at;
    }
}

/* RFC 5322 4.5.8: white space may stand before the colon in old messages. */
static int read_field(struct slice raw, size_t number, struct field *ret, struct err *err)
{
    size_t colon = slice_find(raw, ':'), line = slice_find(raw, '\r');
    struct slice name = slice_sub(raw, 0, colon);
    while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
        name.n--;
    if (colon >= line || name.n == 0 || slice_find(name, ' ') < name.n || slice_find(name, '\t') < name.n)
        return err_set(err, "header field %zu is none: a name and a colon were expected", number);
    ret->name = name;
    ret->raw = raw;
    ret->value = slice_sub(raw, colon + 1, raw.n - colon - 3);
    return 0;
}

static int count_fields(struct slice header, size_t *ret, struct err *err)
{
    size_t n = 0;
    for (; header.n > 0; n++) {
        size_t end = field_end(header);
        if (end == 0)
            return err_set(err, "the header's last line does not end");
        if (n == DKIM_FIELDS_MAX)
            return err_set(err, "there are more than %d header fields", DKIM_FIELDS_MAX);
        header = slice_skip(header, end);
    }
    *ret = n;
    return 0;
}

int dkim_fields_split(struct arena *a, struct slice header, struct field_list *ret, struct err *err)
{
    struct field_list list = {0};
    if (count_fields(header, &list.n, err) < 0)
        return -1;
    list.v = arena_alloc_array(a, list.n + 1, sizeof(*list.v));
    if (list.v == NULL)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < list.n; i++) {
        size_t end = field_end(header);
        if (read_field(slice_sub(header, 0, end), i + 1, &list.v[i], err) < 0)
            return -1;
        header = slice_skip(header, end);
    }
    *ret = list;
    return 0;
}

static ssize_t read_spool(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    return spool_read(ctx, offset, buf, n);
}

struct dkim_body_source dkim_body_spool(const struct spool *s)
{
    return (struct dkim_body_source){read_spool, s};
}
