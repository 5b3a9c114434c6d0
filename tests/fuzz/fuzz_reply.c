/* What a hostile server may send: lines to the reply parser, and its text to the parser of EHLO's extensions. */
#include "sendas/smtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_complete(const struct smtp_reply_parser *p)
{
    struct smtp_verdict v;
    struct smtp_extensions e;
    struct slice text = strbuf_slice(&p->text);
    if (p->code < 200 || p->code > 599 || text.n > SMTP_REPLY_TOTAL_MAX || p->lines > SMTP_REPLY_LINES_MAX ||
        !slice_is_utf8(text))
        abort();
    for (size_t i = 0; i < text.n; i++)
        if (((unsigned char)text.p[i] < 0x20 && text.p[i] != '\n') || text.p[i] == 0x7f)
            abort();
    smtp_reply_verdict(p, &v);
    if (v.code != p->code || !slice_is_utf8(slice_of(v.text)) ||
        slice_find(slice_of(v.text), '\n') < slice_of(v.text).n)
        abort();
    smtp_extensions_parse(text, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_reply_parser p;
    struct slice rest = slice_from(data, size), line;
    int result = 0;
    smtp_reply_init(&p);
    while (rest.n > 0 && result >= 0) {
        rest = slice_cut(rest, '\n', &line);
        result = smtp_reply_line(&p, line);
        if (result == 1)
            check_complete(&p);
    }
    smtp_reply_free(&p);
    return 0;
}
