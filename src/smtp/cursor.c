/* smtp/cursor.c - runs of octets and the octet classes of RFC 5321, 6531 and 3461. */
#include "internal.h"

#include <string.h>

struct slice smtp_cursor_run(struct cursor *c, bool (*in_class)(int octet))
{
    const char *mark = c->p;
    while (!cursor_at_end(c) && in_class(cursor_peek(c)))
        c->p++;
    return cursor_since(c, mark);
}

bool smtp_cursor_accept_icase(struct cursor *c, struct slice word)
{
    if (!slice_starts_icase(cursor_rest(c), word))
        return false;
    c->p += word.n;
    return true;
}

bool smtp_is_alpha(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool smtp_is_digit(int c)
{
    return c >= '0' && c <= '9';
}

bool smtp_is_alnum(int c)
{
    return smtp_is_alpha(c) || smtp_is_digit(c);
}

bool smtp_is_atext(int c)
{
    return smtp_is_alnum(c) || c >= 0x80 || (c > ' ' && c < 0x7f && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool smtp_is_xchar(int c)
{
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

bool smtp_control_at(struct slice s, size_t i)
{
    unsigned char c = (unsigned char)s.p[i];
    if (c < 0x20 || c == 0x7f)
        return true;
    return c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] >= 0x80 && (unsigned char)s.p[i + 1] <= 0x9f;
}

bool smtp_has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (smtp_control_at(s, i))
            return true;
    return false;
}
