/* arena.c - many allocations, one free. */
#include "sendas/base.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_CHUNK = 4096 - 64, ARENA_ALIGN = _Alignof(max_align_t) };

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap, used;
    _Alignas(max_align_t) char data[];
};

/* A chunk that has room for n octets at its head's place in the list. */
static struct arena_chunk *arena_chunk_for(struct arena *a, size_t n)
{
    struct arena_chunk *head = a->chunks;
    if (head != NULL && head->cap - head->used >= n)
        return head;
    size_t cap = n > ARENA_CHUNK ? n : ARENA_CHUNK;
    struct arena_chunk *c = malloc(sizeof(*c) + cap);
    if (c == NULL)
        return NULL;
    *c = (struct arena_chunk){.cap = cap};
    if (head != NULL && cap > ARENA_CHUNK) {
        /* A large piece fills its chunk alone: the one with room stays in front. */
        c->next = head->next;
        head->next = c;
    } else {
        c->next = head;
        a->chunks = c;
    }
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = n == 0 ? ARENA_ALIGN : (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (a->max != 0 && (a->used > a->max || n > a->max - a->used))
        return NULL;
    struct arena_chunk *c = arena_chunk_for(a, n);
    if (c == NULL)
        return NULL;
    void *p = c->data + c->used;
    c->used += n;
    a->used += n;
    return memset(p, 0, n);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    return __builtin_mul_overflow(count, size, &n) ? NULL : arena_alloc(a, n);
}

char *arena_strdup(struct arena *a, struct slice s)
{
    char *p = s.n == SIZE_MAX ? NULL : arena_alloc(a, s.n + 1);
    if (p != NULL && s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_strdup(a, s);
    return p == NULL ? (struct slice){NULL, 0} : slice_from(p, s.n);
}

void arena_free(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}
