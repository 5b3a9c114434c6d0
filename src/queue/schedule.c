/* schedule.c - what is due when: a binary heap of small records. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct entry *entry_new(struct slice domain, size_t n)
{
    size_t indexes = n * sizeof(uint16_t);
    struct entry *e = malloc(sizeof(*e) + indexes + domain.n + 1);

    if (e == NULL)
        return NULL;
    *e = (struct entry){.n = (unsigned)n};
    char *copy = (char *)e->index + indexes;
    if (domain.n > 0)
        memcpy(copy, domain.p, domain.n);
    copy[domain.n] = '\0';
    e->domain = copy;
    return e;
}

static int compare_domains(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_pending(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;

    if (x->due_ms != y->due_ms)
        return x->due_ms < y->due_ms ? -1 : 1;
    int order = compare_domains(x->domain, y->domain);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static bool same_entry(const struct pending *a, const struct pending *b)
{
    return a->due_ms == b->due_ms && slice_eq(a->domain, b->domain);
}

struct entry *entries_build(const struct entry *like, struct pending *v, size_t n)
{
    struct entry *list = NULL, **tail = &list;

    if (n > 1)
        qsort(v, n, sizeof(*v), compare_pending);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && same_entry(&v[from], &v[to]);)
            to++;
        struct entry *e = entry_new(v[from].domain, to - from);
        if (e == NULL) {
            entries_free(&list);
            return NULL;
        }
        e->due_ms = v[from].due_ms;
        e->created_ms = like->created_ms;
        e->expires_ms = like->expires_ms;
        e->message_row = like->message_row;
        e->user_tag = like->user_tag;
        memcpy(e->id, like->id, sizeof(e->id));
        for (size_t i = from; i < to; i++)
            e->index[i - from] = v[i].index;
        *tail = e;
        tail = &e->next;
    }
    return list;
}

void entries_free(struct entry **list)
{
    struct entry *e = *list;

    *list = NULL;
    while (e != NULL) {
        struct entry *next = e->next;
        free(e);
        e = next;
    }
}

/* Of those due together the older message goes first. */
static bool before(const struct entry *a, const struct entry *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->message_row < b->message_row;
}

int schedule_reserve(struct schedule *s, size_t n)
{
    if (n <= s->cap)
        return 0;
    size_t cap = s->cap > 0 ? s->cap : 64;
    while (cap < n)
        cap *= 2;
    struct entry **heap = realloc(s->heap, cap * sizeof(struct entry *));
    if (heap == NULL)
        return -1;
    s->heap = heap;
    s->cap = cap;
    return 0;
}

int schedule_add(struct schedule *s, struct entry *e)
{
    if (schedule_reserve(s, s->n + s->n_held + 1) < 0)
        return -1;
    e->next = NULL;
    size_t i = s->n++;
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!before(e, s->heap[parent]))
            break;
        s->heap[i] = s->heap[parent];
        i = parent;
    }
    s->heap[i] = e;
    return 0;
}

struct entry *schedule_first(const struct schedule *s)
{
    return s->n > 0 ? s->heap[0] : NULL;
}

/* Puts `e` at `i` or below. */
static void sift_down(struct schedule *s, size_t i, struct entry *e)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n)
            break;
        if (child + 1 < s->n && before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s->heap[child], e))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = e;
}

struct entry *schedule_take(struct schedule *s)
{
    if (s->n == 0)
        return NULL;
    struct entry *first = s->heap[0], *last = s->heap[--s->n];
    if (s->n > 0)
        sift_down(s, 0, last);
    return first;
}

/* Order, whatever there was. */
static void heapify(struct schedule *s)
{
    for (size_t i = s->n / 2; i-- > 0;)
        sift_down(s, i, s->heap[i]);
}

struct entry *schedule_take_message(struct schedule *s, int64_t message_row)
{
    struct entry *taken = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = s->heap[i];
        if (e->message_row == message_row) {
            e->next = taken;
            taken = e;
        } else {
            s->heap[kept++] = e;
        }
    }
    if (kept < s->n) {
        s->n = kept;
        heapify(s);
    }
    for (struct entry **at = &s->held, *e; (e = *at) != NULL;) {
        if (e->message_row != message_row) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        e->next = taken;
        taken = e;
        s->n_held--;
    }
    return taken;
}

void schedule_hold(struct schedule *s, struct entry *e)
{
    e->next = s->held;
    s->held = e;
    s->n_held++;
}

void schedule_hasten_message(struct schedule *s, int64_t message_row, int64_t due_ms)
{
    s->urges += s->urges == UINT32_MAX ? 2 : 1; /* never 0 */
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = s->heap[i];
        if (message_row != EVERY_MESSAGE && e->message_row != message_row)
            continue;
        e->urgent = s->urges;
        if (e->due_ms > due_ms)
            e->due_ms = due_ms;
    }
    heapify(s);
}

void schedule_hasten(struct schedule *s, int64_t due_ms, bool (*which)(void *ctx, const char *domain), void *ctx)
{
    size_t changed = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->heap[i]->due_ms > due_ms && which(ctx, s->heap[i]->domain)) {
            s->heap[i]->due_ms = due_ms;
            changed++;
        }
    if (changed > 0)
        heapify(s);
}

uint32_t schedule_user_tag(struct slice user)
{
    return slice_hash(user);
}

void schedule_free(struct schedule *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->heap[i]);
    free(s->heap);
    entries_free(&s->held);
    *s = (struct schedule){0};
}

int64_t schedule_jitter(int64_t base_ms)
{
    uint32_t random = 0;

    /* Without randomness there is just no jitter. */
    if (base_ms <= 0 || getrandom(&random, sizeof(random), 0) != sizeof(random))
        return base_ms > 0 ? base_ms : 0;
    int64_t span = base_ms / 10;
    return base_ms + (int64_t)((uint64_t)random * (uint64_t)(span + 1) >> 32);
}
