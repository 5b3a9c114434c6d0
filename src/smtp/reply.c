/* smtp/reply.c - a remote's reply, line by line (RFC 5321 4.2, RFC 2034 4).  Nothing in it is trusted:
 * every length is bounded, and what is kept is printable. */
#include "internal.h"

#include <string.h>

void smtp_reply_init(struct smtp_reply_parser *p)
{
    *p = (struct smtp_reply_parser){.text = {.max = SMTP_REPLY_TOTAL_MAX}};
}

void smtp_reply_free(struct smtp_reply_parser *p)
{
    strbuf_free(&p->text);
}

static void begin_reply(struct smtp_reply_parser *p)
{
    p->complete = false;
    p->code = 0;
    p->lines = 0;
    p->total = 0;
    p->enhanced[0] = '\0';
    strbuf_reset(&p->text);
}

/* Reply-code = %x32-35 %x30-35 %x30-39.  Servers in use send 57x and more, so the second digit may be any. */
static int take_code(struct cursor *c)
{
    struct slice s = cursor_rest(c);
    if (s.n < 3 || s.p[0] < '2' || s.p[0] > '5' || !smtp_is_digit((unsigned char)s.p[1]) ||
        !smtp_is_digit((unsigned char)s.p[2]))
        return -1;
    c->p += 3;
    return (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
}

/* status-code ::= class "." subject "." detail, class as in the reply code (RFC 2034 4, RFC 3463 2).  Takes it and the
 * blank behind it, or nothing. */
static struct slice take_enhanced(struct cursor *c, int code)
{
    struct cursor at = *c;
    if ((code / 100 != 2 && code / 100 != 4 && code / 100 != 5) || !cursor_accept(&at, (char)('0' + code / 100)))
        return SLICE("");
    for (int part = 0; part < 2; part++) {
        struct slice digits = {0};
        if (cursor_accept(&at, '.'))
            digits = smtp_cursor_run(&at, smtp_is_digit);
        if (digits.n == 0 || digits.n > 3)
            return SLICE("");
    }
    struct slice taken = cursor_since(&at, c->p);
    if (!cursor_at_end(&at) && !cursor_accept(&at, ' '))
        return SLICE("");
    *c = at;
    return taken;
}

static void add_printable(struct strbuf *out, struct slice s)
{
    bool utf8 = slice_is_utf8(s);
    for (size_t i = 0; i < s.n; i++) {
        bool bad = (unsigned char)s.p[i] >= 0x80 ? !utf8 || smtp_control_at(s, i) : smtp_control_at(s, i);
        strbuf_add_char(out, bad ? '?' : s.p[i]);
        if (bad && utf8 && (unsigned char)s.p[i] >= 0x80)
            i++; /* an encoded C1 control is two octets */
    }
}

static void add_line(struct smtp_reply_parser *p, struct cursor *c)
{
    struct cursor at = *c;
    struct slice enhanced = take_enhanced(&at, p->code);
    if (p->lines == 0)
        snprintf(p->enhanced, sizeof(p->enhanced), "%.*s", SLICE_ARG(enhanced));
    else
        strbuf_add_char(&p->text, '\n');
    /* RFC 2034 4: every line repeats the code; one that differs is text. */
    if (enhanced.n > 0 && slice_eq(enhanced, slice_of(p->enhanced)))
        *c = at;
    add_printable(&p->text, cursor_rest(c));
    p->lines++;
}

/* Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF */
int smtp_reply_line(struct smtp_reply_parser *p, struct slice line)
{
    if (p->complete)
        begin_reply(p);
    struct cursor c = cursor_init(line);
    int code = take_code(&c);
    if (code < 0 || (p->lines > 0 && code != p->code))
        return -1;
    p->code = code;
    bool more = cursor_accept(&c, '-');
    if (!more && !cursor_at_end(&c) && !cursor_accept(&c, ' '))
        return -1;
    p->total += line.n;
    if (line.n > SMTP_REPLY_LINE_MAX || p->lines == SMTP_REPLY_LINES_MAX || p->total > SMTP_REPLY_TOTAL_MAX)
        return -1;
    add_line(p, &c);
    if (p->text.failed)
        return -1;
    p->complete = !more;
    return more ? 0 : 1;
}

void smtp_reply_verdict(const struct smtp_reply_parser *p, struct smtp_verdict *ret)
{
    struct slice text = strbuf_slice(&p->text);
    smtp_verdict_set(ret, p->code, p->enhanced, "%.*s", SLICE_ARG(text));
    /* smtp_verdict_set turned the line ends into question marks; here they are known to be blanks. */
    for (size_t i = 0; i < text.n && ret->text[i] != '\0'; i++)
        if (text.p[i] == '\n')
            ret->text[i] = ' ';
}
