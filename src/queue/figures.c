/* figures.c - what waits, in numbers: for monitoring. */
#include "internal.h"

#include <string.h>

/* All entries but held ones: in the schedule, and lent out. */
struct walk {
    const struct queue *q;
    size_t i;
    const struct item *out;
    bool under_way; /* the entry is lent out */
};

static const struct entry *next_entry(struct walk *w)
{
    const struct entry *e = NULL;

    if (w->i < w->q->schedule.n)
        return w->q->schedule.heap[w->i++];
    w->under_way = true;
    while (e == NULL && w->out != NULL) {
        e = w->out->entry;
        w->out = w->out->after;
    }
    return e;
}

static int64_t age_ms(int64_t created_ms)
{
    int64_t age = clock_mono_ms() - created_ms;
    return age > 0 ? age : 0;
}

void queue_figures(const struct queue *q, struct queue_figures *ret)
{
    struct walk w = {.q = q, .out = q->out};
    int64_t oldest_ms = INT64_MAX, last_row = EVERY_MESSAGE;

    *ret = (struct queue_figures){.messages = q->length, .commits = queue_commits(q)};
    for (const struct entry *e; (e = next_entry(&w)) != NULL;)
        oldest_ms = e->created_ms < oldest_ms ? e->created_ms : oldest_ms;
    ret->oldest_age_ms = oldest_ms == INT64_MAX ? 0 : age_ms(oldest_ms);
    /* those of one message were held together */
    for (const struct entry *e = q->schedule.held; e != NULL; e = e->next) {
        ret->held += e->message_row != last_row;
        last_row = e->message_row;
    }
}

/* ---- the domains that wait longest ---------------------------------------------------------- */

struct oldest {
    const char *domain;
    int64_t created_ms;
};

static size_t find(const struct oldest *v, size_t n, const char *domain)
{
    size_t i = 0;
    while (i < n && (v[i].domain[0] != domain[0] || strcmp(v[i].domain, domain) != 0))
        i++;
    return i;
}

/* v is kept in order, the oldest first. */
static void consider(struct oldest *v, size_t *n, size_t max, const struct entry *e)
{
    if (*n == max && e->created_ms >= v[*n - 1].created_ms)
        return;
    size_t i = find(v, *n, e->domain);
    if (i < *n && v[i].created_ms <= e->created_ms)
        return;
    if (i == *n) /* a new one: at the end, or in place of the youngest */
        i = *n < max ? (*n)++ : max - 1;
    for (; i > 0 && v[i - 1].created_ms > e->created_ms; i--)
        v[i] = v[i - 1];
    v[i] = (struct oldest){e->domain, e->created_ms};
}

size_t queue_places(const struct queue *q, struct queue_place *v, size_t max)
{
    enum { MAX = 32 };
    struct oldest oldest[MAX];
    struct walk w = {.q = q, .out = q->out};
    size_t n = 0;
    int64_t now = clock_mono_ms();

    max = max < MAX ? max : MAX;
    for (const struct entry *e; max > 0 && (e = next_entry(&w)) != NULL;)
        consider(oldest, &n, max, e);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct queue_place){
            .domain = oldest[i].domain, .oldest_age_ms = age_ms(oldest[i].created_ms), .next_ms = INT64_MAX};
    w = (struct walk){.q = q, .out = q->out};
    for (const struct entry *e; (e = next_entry(&w)) != NULL;) {
        size_t i = find(oldest, n, e->domain);
        if (i == n)
            continue;
        int64_t next_ms = w.under_way || e->due_ms < now ? 0 : e->due_ms - now;
        v[i].messages++;
        v[i].next_ms = next_ms < v[i].next_ms ? next_ms : v[i].next_ms;
    }
    return n;
}
