/* err.c - the reason, for a person. */
#include "sendas/base.h"

#include <string.h>

/* The end of a text that did not fit says so; no character of UTF-8 (RFC 3629 3) is cut in two before it. */
static void mark_cut(char *text, size_t size)
{
    static const char mark[] = " [...]";
    size_t at = size - sizeof(mark);
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    memcpy(text + at, mark, sizeof(mark));
}

int err_vset(struct err *err, const char *format, va_list args)
{
    if (err == NULL)
        return -1;
    /* By way of a copy, so that `err_set(err, "...: %s", err->text)` works. */
    char text[sizeof(err->text)];
    int n = vsnprintf(text, sizeof(text), format, args);
    if (n < 0)
        text[0] = '\0';
    else if ((size_t)n >= sizeof(text))
        mark_cut(text, sizeof(text));
    memcpy(err->text, text, strlen(text) + 1);
    return -1;
}

int err_set(struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err_vset(err, format, args);
    va_end(args);
    return -1;
}
