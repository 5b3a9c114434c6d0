/* Lines of any length through a fixed buffer. */
#include "internal.h"

#include <string.h>

/* Fills the buffer behind what is in it: 1 when there is more than before, 0 when there is not, -1 on failure. */
static int fill(struct reader *r)
{
    size_t before = r->end - r->begin;
    memmove(r->buffer, r->buffer + r->begin, before);
    r->begin = 0;
    r->end = before;
    while (r->end < READER_SIZE) {
        ssize_t n = r->from->read(r->from->ctx, r->next, r->buffer + r->end, READER_SIZE - r->end);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        r->next += (uint64_t)n;
        r->end += (size_t)n;
    }
    return r->end > before;
}

static void take(struct reader *r, size_t n, bool ends, struct line *ret)
{
    ret->at = r->next - (r->end - r->begin);
    ret->text = slice_from(r->buffer + r->begin, n);
    ret->begins = r->at_start;
    ret->ends = ends;
    r->at_start = ends;
    r->begin += n + (ends ? 2 : 0);
}

int reader_next(struct reader *r, struct line *ret)
{
    for (bool filled = false;; filled = true) {
        struct slice have = slice_from(r->buffer + r->begin, r->end - r->begin);
        size_t n = slice_find_slice(have, SLICE("\r\n"));
        if (n < have.n) {
            take(r, n, true, ret);
            return 1;
        }
        int more = filled ? 0 : fill(r);
        if (more < 0)
            return -1;
        if (more > 0)
            continue;
        have = slice_from(r->buffer + r->begin, r->end - r->begin);
        if (have.n == 0)
            return 0;
        /* A CR at the end of a full buffer waits for what follows. */
        n = have.n == READER_SIZE && have.p[have.n - 1] == '\r' ? have.n - 1 : have.n;
        take(r, n, false, ret);
        return 1;
    }
}
