/* err.c - the reason, for a person. */
#include "sendas/base.h"

#include <string.h>

int err_set(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    /* By way of a copy, so that `err_set(err, "...: %s", err->text)` works. */
    char text[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0)
        text[0] = '\0';
    memcpy(err->text, text, strlen(text) + 1);
    return -1;
}
