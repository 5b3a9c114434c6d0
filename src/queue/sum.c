/* sum.c - sums of content: of a chunk, as it stands beside it in the file, and of all chunks of a message.
 *
 * FNV-1a, eight octets at a time, in four lanes that take turns and are summed up at the end, with what is left and the length
 * of the chunk: each step is a bijection, so that octets altered in one place are always noticed, and others as good
 * as always.  One lane would wait for each of its multiplications: 155 us a MB, four take 42. */
#include "internal.h"

#include <endian.h>
#include <string.h>

#define FNV_OFFSET 14695981039346656037U
#define FNV_PRIME  1099511628211U

enum { LANES = ARRAY_LEN(((struct queue_sum *)NULL)->lane), BLOCK = sizeof(((struct queue_sum *)NULL)->block) };

static uint64_t step(uint64_t sum, const void *eight)
{
    uint64_t word;

    memcpy(&word, eight, sizeof(word));
    return (sum ^ le64toh(word)) * FNV_PRIME;
}

static void lanes_init(uint64_t lane[LANES])
{
    for (unsigned i = 0; i < LANES; i++)
        lane[i] = FNV_OFFSET + i;
}

/* Whole blocks; the rest comes back. */
static struct slice lanes_add(uint64_t lane[LANES], struct slice bytes)
{
    uint64_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];

    for (; bytes.n >= BLOCK; bytes = slice_skip(bytes, BLOCK)) {
        a = step(a, bytes.p);
        b = step(b, bytes.p + 8);
        c = step(c, bytes.p + 16);
        d = step(d, bytes.p + 24);
    }
    lane[0] = a, lane[1] = b, lane[2] = c, lane[3] = d;
    return bytes;
}

/* `rest`: what is less than a block; `n`: octets in all. */
static int64_t lanes_end(const uint64_t lane[LANES], struct slice rest, uint64_t n)
{
    uint64_t sum = FNV_OFFSET ^ n;

    for (unsigned i = 0; i < LANES; i++)
        sum = (sum ^ lane[i]) * FNV_PRIME;
    for (; rest.n >= 8; rest = slice_skip(rest, 8))
        sum = step(sum, rest.p);
    if (rest.n > 0) {
        unsigned char last[8] = {0};
        memcpy(last, rest.p, rest.n);
        sum = step(sum, last);
    }
    return (int64_t)sum;
}

int64_t store_sum(struct slice bytes)
{
    uint64_t lane[LANES];

    lanes_init(lane);
    struct slice rest = lanes_add(lane, bytes);
    return lanes_end(lane, rest, bytes.n);
}

uint64_t store_sum_next(uint64_t all, int64_t chunk)
{
    return (all ^ (uint64_t)chunk) * FNV_PRIME;
}

const int64_t *sum_chunks(const struct put *p)
{
    const struct queue_sum *checked = p->m.checked;

    return checked != NULL && checked->size == p->size && checked->at == p->size ? checked->chunks : NULL;
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

/* How much of the chunk under way has come. */
static size_t come(const struct queue_sum *s)
{
    return s->at == 0 ? 0 : (size_t)((s->at - 1) % QUEUE_CHUNK + 1);
}

static void add_to_chunk(struct queue_sum *s, struct slice bytes)
{
    size_t partial = s->at % BLOCK;

    if (s->at % QUEUE_CHUNK == 0)
        lanes_init(s->lane);
    s->at += bytes.n;
    if (partial > 0) {
        size_t n = bytes.n < BLOCK - partial ? bytes.n : BLOCK - partial;
        memcpy(s->block + partial, bytes.p, n);
        bytes = slice_skip(bytes, n);
        if (partial + n == BLOCK)
            lanes_add(s->lane, slice_from((const char *)s->block, BLOCK));
    }
    bytes = lanes_add(s->lane, bytes);
    if (bytes.n > 0)
        memcpy(s->block, bytes.p, bytes.n);
    if (s->at % QUEUE_CHUNK != 0 && s->at < s->size)
        return;
    int64_t chunk = lanes_end(s->lane, slice_from((const char *)s->block, s->at % BLOCK), come(s));
    if (s->chunks != NULL)
        s->chunks[(s->at - 1) / QUEUE_CHUNK] = chunk;
    s->all = store_sum_next(s->all, chunk);
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
