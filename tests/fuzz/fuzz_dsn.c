/* What servers, clients and messages put into a DSN: whatever it is, the DSN has its parts, is seven-bit, and is read
 * to the same end in which it was written.
 *
 * Input: lines of the remote's text, its name, the address, ORCPT, ENVID, Message-ID; then the message. */
#include "../../src/delivery/dsn.h"
#include "../../src/delivery/subject.h"

#include "sendas/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 6 };

static void expect(bool ok)
{
    if (!ok)
        abort();
}

/* Lines of at most 998 octets, seven-bit, CRLF everywhere; how many of them begin with the boundary. */
static unsigned check_wire(struct slice text, struct slice boundary)
{
    unsigned n = 0;
    while (text.n > 0) {
        struct slice line;
        text = slice_cut(text, '\n', &line);
        expect(line.n > 0 && line.p[line.n - 1] == '\r' && line.n - 1 <= MESSAGE_LINE_MAX);
        expect(slice_find(slice_sub(line, 0, line.n - 1), '\r') == line.n - 1 && slice_is_ascii(line));
        n += slice_starts(line, SLICE("--")) && slice_starts(slice_skip(line, 2), boundary);
    }
    return n;
}

static void check_dsn(const struct dsn *d)
{
    struct strbuf out = {.max = DSN_MAX}, again = STRBUF_INIT;
    expect(dsn_build(d, &out) == 0);
    struct slice text = strbuf_slice(&out), boundary;
    slice_cut(slice_skip(text, slice_find_slice(text, SLICE("\r\n boundary=\"")) + 13), '"', &boundary);
    expect(check_wire(text, boundary) == (d->content.n > 0 ? 4 : 3));
    size_t end = slice_find_slice(text, SLICE("\r\n\r\n"));
    struct slice header = slice_sub(text, 0, end + 2);
    struct arena mem = ARENA_INIT(1 << 20);
    struct field_list fields;
    struct err err;
    expect(fields_parse(&mem, header, &fields, &err) == 0);
    expect(fields_count(&fields, SLICE("From")) == 1 && fields_count(&fields, SLICE("Subject")) == 1);
    expect(fields.n >= 8 && fields.n <= 10);
    subject_decode(subject_of(header), &again);
    arena_free(&mem);
    strbuf_free(&again);
    strbuf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_from(data, size), line;
    struct arena mem = ARENA_INIT(1 << 24);
    char *lines[LINES];
    for (size_t i = 0; i < LINES; i++) {
        rest = slice_cut(rest, '\n', &line);
        lines[i] = arena_strdup(&mem, slice_sub(line, 0, 500));
    }
    unsigned kind = size > 0 ? data[0] : 0;
    struct smtp_verdict v;
    smtp_verdict_set(&v, kind & 4 ? 451 : 550, kind & 8 ? "5.7.1" : "", "%s", lines[0]);
    /* An address of the envelope has no line end, and no more octets than this. */
    lines[2][strcspn(lines[2], "\r")] = '\0';
    if (strlen(lines[2]) > SMTP_PATH_MAX)
        lines[2][SMTP_PATH_MAX] = '\0';
    struct dsn_recipient r = {.address = lines[2],
                              .orcpt = lines[3],
                              .v = &v,
                              .mx = lines[1][0] == '\0' ? NULL : lines[1],
                              .own_words = kind & 16,
                              .expired = kind & 32};
    struct dsn d = {.kind = (enum dsn_kind)(kind % DSN_KINDS),
                    .language = language_of(rest),
                    .hostname = "mail.example.com",
                    .from_domain = "example.com",
                    .to = "ann@example.com",
                    .queue_id = "3F9K2M7QRT",
                    .envid = lines[4],
                    .message_id = lines[5],
                    .created_ms = 0,
                    .now_ms = 1000,
                    .expires_ms = 2000,
                    .recipients = &r,
                    .n_recipients = 1,
                    .content = slice_sub(rest, 0, DSN_RETURN_MAX),
                    .whole = kind & 64};
    /* What is in the queue has CRLF everywhere. */
    struct strbuf content = STRBUF_INIT;
    for (size_t i = 0; i < d.content.n; i++) {
        if (d.content.p[i] == '\n')
            strbuf_add_str(&content, "\r\n");
        else if (d.content.p[i] != '\r')
            strbuf_add_char(&content, d.content.p[i]);
    }
    d.content = slice_sub(strbuf_slice(&content), 0, DSN_RETURN_MAX);
    check_dsn(&d);
    strbuf_free(&content);
    arena_free(&mem);
    return 0;
}
