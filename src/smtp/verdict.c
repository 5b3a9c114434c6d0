/* smtp/verdict.c - a reply as a value. */
#include "internal.h"

#include <stdarg.h>
#include <string.h>

/* Cut text may end inside a UTF-8 sequence: take the incomplete one away. */
static size_t whole_utf8(const char *p, size_t n)
{
    size_t start = n;
    while (start > 0 && n - start < 3 && ((unsigned char)p[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0 || (unsigned char)p[start - 1] < 0xc0)
        return n;
    return slice_is_utf8(slice_from(p + start - 1, n - start + 1)) ? n : start - 1;
}

int smtp_verdict_set(struct smtp_verdict *v, int code, const char *enhanced, const char *format, ...)
{
    v->code = code;
    snprintf(v->enhanced, sizeof(v->enhanced), "%s", enhanced == NULL ? "" : enhanced);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(v->text, sizeof(v->text), format, args);
    va_end(args);
    if (n < 0)
        v->text[0] = '\0';
    else if ((size_t)n >= sizeof(v->text))
        v->text[whole_utf8(v->text, sizeof(v->text) - 1)] = '\0';
    for (char *p = v->text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return code >= 400 ? -1 : 0;
}

bool smtp_is_success(const struct smtp_verdict *v)
{
    return v->code >= 200 && v->code < 300;
}

bool smtp_is_temporary(const struct smtp_verdict *v)
{
    return v->code >= 400 && v->code < 500;
}

bool smtp_is_permanent(const struct smtp_verdict *v)
{
    return v->code >= 500 && v->code < 600;
}
