/* A message from a file or from a mail program's "show original". */
#include "verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEADER_MAX = 1024 * 1024 };

/* ---- lines ----------------------------------------------------------------------------------------- */

/* Before the header: what saving puts there. */
static bool is_wrapping(struct slice line)
{
    return slice_trim(line).n == 0 || slice_eq(line, SLICE("\xef\xbb\xbf")) || slice_starts(line, SLICE("From ")) ||
           slice_starts(line, SLICE(">From "));
}

/* One line of the header, without its end; false when the body begins. */
static bool take_header_line(struct verify *v, struct slice line)
{
    if (v->header.n == 0 && slice_starts(line, SLICE("\xef\xbb\xbf")))
        line = slice_skip(line, 3);
    if (v->header.n == 0 && is_wrapping(line))
        return true;
    if (line.n == 0)
        return false;
    strbuf_add_slice(&v->header, line);
    strbuf_add_str(&v->header, "\r\n");
    return true;
}

/* Takes lines of any length; LF becomes CRLF.  A last line of the body without an end keeps none (RFC 6376 3.4.3 gives
 * it one). */
static int read_lines(struct verify *v, FILE *in, struct err *err)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int status = 0;
    bool in_header = true;
    while (status == 0 && (n = getline(&line, &cap, in)) > 0) {
        bool ends = line[n - 1] == '\n';
        n -= ends;
        n -= ends && n > 0 && line[n - 1] == '\r';
        struct slice text = slice_from(line, (size_t)n);
        if (in_header) {
            in_header = take_header_line(v, text);
            if (v->header.failed)
                status = err_set(err, "the header has more than %d octets, or there is no memory", HEADER_MAX);
            continue;
        }
        status = spool_write(v->body, text, err);
        if (status == 0 && ends)
            status = spool_write(v->body, SLICE("\r\n"), err);
    }
    free(line);
    if (status == 0 && ferror(in))
        return err_set(err, "cannot read the message: %s", strerror(errno));
    return status;
}

/* ---- when, and by whom ------------------------------------------------------------------------------- */

/* The date behind the last ';' of the Received field on top (RFC 5321 4.4): there the last server wrote when it came.
 * A signature that has expired since was good then. */
static int64_t receive_time(struct verify *v)
{
    int64_t now = clock_wall_ms() / 1000;
    const struct field *f = fields_get(&v->fields, SLICE("Received"), 0);
    struct slice text = f == NULL ? SLICE("") : field_unfold(&v->memory, f);
    const char *semicolon = text.n == 0 ? NULL : memrchr(text.p, ';', text.n);
    if (semicolon == NULL)
        return now;
    struct slice date = slice_trim(slice_skip(text, (size_t)(semicolon - text.p) + 1));
    if (slice_find(date, ',') < date.n)
        date = slice_trim(slice_skip(date, slice_find(date, ',') + 1));
    const char *words = arena_strdup(&v->memory, date);
    struct tm tm = {0};
    if (words == NULL || strptime(words, "%d %b %Y %H:%M:%S %z", &tm) == NULL)
        return now;
    long offset = tm.tm_gmtoff; /* timegm forgets it */
    int64_t when = (int64_t)timegm(&tm) - offset;
    return when > 0 && when < now ? when : now;
}

static int read_from(struct verify *v, const struct field *f, struct err *err)
{
    struct mailbox_list list;
    int status = mailbox_list_parse(&v->memory, f->value, ADDRESS_GROUPS, &list, err);
    for (size_t i = 0; status == 0 && i < list.n && v->n_from < ARRAY_LEN(v->from); i++)
        v->from[v->n_from++] = list.v[i].domain;
    return status;
}

static void read_authors(struct verify *v)
{
    const struct field *f;
    if (fields_count(&v->fields, SLICE("From")) == 0)
        err_set(&v->from_error, "there is no From field");
    for (size_t i = 0; (f = fields_get(&v->fields, SLICE("From"), i)) != NULL; i++) {
        if (read_from(v, f, &v->from_error) < 0) {
            v->n_from = 0;
            return;
        }
    }
}

int verify_read(struct verify *v, FILE *in, struct err *err)
{
    const char *dir = getenv("TMPDIR");
    v->header.max = HEADER_MAX;
    v->body = spool_new(dir != NULL ? dir : P_tmpdir);
    if (v->body == NULL)
        return err_set(err, "out of memory");
    if (read_lines(v, in, err) < 0 || dkim_fields_split(&v->memory, strbuf_slice(&v->header), &v->fields, err) < 0)
        return -1;
    if (v->fields.n == 0)
        return err_set(err, "there is no message");
    v->received = receive_time(v);
    read_authors(v);
    return 0;
}
