/* sum.c - sums of content: of a chunk, as it stands beside it in the file, and of all chunks of a message.
 *
 * FNV-1a, eight octets at a time, begun with the length of the chunk: each step is a bijection, so that octets altered
 * in one place are always noticed, and others as good as always. */
#include "internal.h"

#include <endian.h>
#include <string.h>

#define FNV_OFFSET 14695981039346656037U
#define FNV_PRIME  1099511628211U

static uint64_t step(uint64_t sum, const void *eight)
{
    uint64_t word;

    memcpy(&word, eight, sizeof(word));
    return (sum ^ le64toh(word)) * FNV_PRIME;
}

static uint64_t add_words(uint64_t sum, struct slice bytes)
{
    for (; bytes.n >= 8; bytes = slice_skip(bytes, 8))
        sum = step(sum, bytes.p);
    if (bytes.n > 0) {
        unsigned char last[8] = {0};
        memcpy(last, bytes.p, bytes.n);
        sum = step(sum, last);
    }
    return sum;
}

int64_t store_sum(struct slice bytes)
{
    return (int64_t)add_words(FNV_OFFSET ^ bytes.n, bytes);
}

uint64_t store_sum_next(uint64_t all, int64_t chunk)
{
    return (all ^ (uint64_t)chunk) * FNV_PRIME;
}

/* ---- the same, octets coming in any pieces --------------------------------------------------- */

void queue_sum_init(struct queue_sum *s, uint64_t size)
{
    *s = (struct queue_sum){.size = size};
}

/* Octets that the chunk under way still lacks; at its begin all of it. */
static size_t room(const struct queue_sum *s)
{
    uint64_t left = QUEUE_CHUNK - s->at % QUEUE_CHUNK;

    return (size_t)(s->size - s->at < left ? s->size - s->at : left);
}

static void add_to_chunk(struct queue_sum *s, struct slice bytes)
{
    size_t partial = s->at % 8;

    if (s->at % QUEUE_CHUNK == 0)
        s->chunk = FNV_OFFSET ^ room(s);
    s->at += bytes.n;
    if (partial > 0) {
        size_t n = bytes.n < 8 - partial ? bytes.n : 8 - partial;
        memcpy(s->word + partial, bytes.p, n);
        bytes = slice_skip(bytes, n);
        if (partial + n == 8)
            s->chunk = step(s->chunk, s->word);
    }
    size_t whole = bytes.n / 8 * 8;
    s->chunk = add_words(s->chunk, slice_sub(bytes, 0, whole));
    if (whole < bytes.n)
        memcpy(s->word, bytes.p + whole, bytes.n - whole);
    if (s->at % QUEUE_CHUNK != 0 && s->at < s->size)
        return;
    if (s->at % 8 > 0)
        s->chunk = add_words(s->chunk, slice_from(s->word, s->at % 8));
    if (s->chunks != NULL)
        s->chunks[(s->at - 1) / QUEUE_CHUNK] = (int64_t)s->chunk;
    s->all = store_sum_next(s->all, (int64_t)s->chunk);
}

void queue_sum_add(struct queue_sum *s, struct slice bytes)
{
    while (bytes.n > 0) {
        struct slice part = slice_sub(bytes, 0, room(s));
        if (part.n == 0) { /* more than there should be */
            s->at += bytes.n;
            return;
        }
        add_to_chunk(s, part);
        bytes = slice_skip(bytes, part.n);
    }
}
