/* strbuf.c - bytes that grow; the first failure sticks. */
#include "sendas/base.h"

#include <stdlib.h>
#include <string.h>

enum { STRBUF_FIRST = 128 };

/* Room for `more` octets and the NUL behind them? */
static bool strbuf_reserve(struct strbuf *b, size_t more)
{
    if (b->failed)
        return false;
    size_t most = b->max != 0 ? b->max : SIZE_MAX / 2;
    if (b->n > most || more > most - b->n) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + more + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < STRBUF_FIRST ? STRBUF_FIRST : b->cap * 2;
    if (cap < need)
        cap = need;
    char *p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
    if (n == 0 || !strbuf_reserve(b, n))
        return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void strbuf_add_slice(struct strbuf *b, struct slice s)
{
    strbuf_add(b, s.p, s.n);
}

void strbuf_add_str(struct strbuf *b, const char *cstr)
{
    strbuf_add_slice(b, slice_of(cstr));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    if (!strbuf_reserve(b, 1))
        return;
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}

void strbuf_addf(struct strbuf *b, const char *format, ...)
{
    va_list args, again;
    if (!strbuf_reserve(b, 0))
        return;
    va_start(args, format);
    va_copy(again, args);
    size_t room = b->cap - b->n;
    int n = vsnprintf(b->p + b->n, room, format, args);
    if (n < 0) {
        b->failed = true;
    } else if (strbuf_reserve(b, (size_t)n)) {
        if ((size_t)n >= room)
            vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    } else {
        b->p[b->n] = '\0'; /* what the first try left there */
    }
    va_end(again);
    va_end(args);
}

struct slice strbuf_slice(const struct strbuf *b)
{
    return slice_from(strbuf_str(b), b->n);
}

const char *strbuf_str(const struct strbuf *b)
{
    return b->p == NULL ? "" : b->p;
}

void strbuf_truncate(struct strbuf *b, size_t n)
{
    if (n >= b->n)
        return;
    b->n = n;
    b->p[n] = '\0';
}

void strbuf_reset(struct strbuf *b)
{
    strbuf_truncate(b, 0);
    b->failed = false;
}

void strbuf_free(struct strbuf *b)
{
    free(b->p);
    *b = (struct strbuf){.max = b->max};
}
