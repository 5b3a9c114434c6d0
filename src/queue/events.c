/* events.c - the events of a message as `trace` tells them: causes before effects.
 *
 * The store writes them as it commits: a recipient that failed leaves with the DSN about it, and the attempt that it failed
 * in is noted afterwards.  That the sender was told of a delay, or of a relayed message, stands in the attempt's note, a
 * line each: "warned ID <address>", or "warned ID 12" when it is about twelve. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What the sender was told, and the outcome that it was told of. */
static const struct {
    const char *kind, *cause;
} tellings[] = {{"bounced", "failed"}, {"warned", "deferred"}, {"relayed", "delivered"}};

static bool is(const struct queue_history *e, const char *kind)
{
    return strcmp(e->kind, kind) == 0;
}

static const char *cause_of(const struct queue_history *e)
{
    for (size_t i = 0; i < ARRAY_LEN(tellings); i++)
        if (is(e, tellings[i].kind))
            return tellings[i].cause;
    return NULL;
}

static bool same_recipient(const struct queue_history *a, const struct queue_history *b)
{
    return a->recipient != NULL && b->recipient != NULL && strcmp(a->recipient, b->recipient) == 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

struct place {
    struct queue_history event;
    size_t after, index;
};

/* Where its cause stands, from `from` on; `from` - 1 when there is none.  One about several comes behind them all. */
static size_t find_cause(const struct queue_history *v, size_t n, size_t from, const struct queue_history *e)
{
    const char *cause = cause_of(e);
    size_t last = from - 1;

    for (size_t i = from; i < n; i++) {
        if (e->recipient == NULL && is(&v[i], "attempt"))
            break;
        if (!is(&v[i], cause) || (e->recipient != NULL && !same_recipient(&v[i], e)))
            continue;
        last = i;
        if (e->recipient != NULL)
            break;
    }
    return last;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    if (left->after != right->after)
        return left->after < right->after ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* An outcome is noted a moment after the notice about it was stored, and came before it. */
static void set_times(struct queue_history *v, const struct place *places, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        int64_t told_ms = v[i].time_ms, noted_ms = v[i - 1].time_ms;
        if (places[i].after % 2 == 0 || noted_ms <= told_ms)
            continue;
        for (size_t k = i; k-- > 0 && v[k].time_ms == noted_ms;)
            v[k].time_ms = told_ms;
    }
}

/* Those that come together have their causes in the same order, so each is looked for from where the last was found. */
int events_order(struct queue_history *v, size_t n)
{
    struct place *places = calloc(n + 1, sizeof(*places));
    size_t cursor = 0;

    if (places == NULL)
        return -1;
    for (size_t i = 0; i < n; i++) {
        places[i] = (struct place){.event = v[i], .after = 2 * i, .index = i};
        if (cause_of(&v[i]) == NULL)
            continue;
        size_t from = cursor > i ? cursor + 1 : i + 1, found = find_cause(v, n, from, &v[i]);
        if (found < from && from > i + 1)
            found = find_cause(v, n, from = i + 1, &v[i]);
        if (found < from)
            continue;
        places[i].after = 2 * found + 1;
        cursor = found;
    }
    qsort(places, n, sizeof(*places), compare_places);
    for (size_t i = 0; i < n; i++)
        v[i] = places[i].event;
    set_times(v, places, n);
    free(places);
    return 0;
}

/* ---- what a note holds besides --------------------------------------------------------------- */

static bool is_telling(struct slice kind)
{
    for (size_t i = 0; i < ARRAY_LEN(tellings); i++)
        if (slice_eq(kind, slice_of(tellings[i].kind)))
            return true;
    return false;
}

/* "warned ID <address>" or "warned ID 12"; -1 when it is neither, or out of memory. */
static int parse_telling(struct slice line, int64_t time_ms, struct queue_history *ret)
{
    struct slice kind, id, about = slice_cut(slice_cut(line, ' ', &kind), ' ', &id);
    bool one = about.n > 2 && about.p[0] == '<' && about.p[about.n - 1] == '>';

    if (!is_telling(kind) || id.n == 0 || about.n == 0)
        return -1;
    struct queue_history e = {.time_ms = time_ms, .kind = strndup(kind.p, kind.n)};
    e.recipient = one ? strndup(about.p + 1, about.n - 2) : NULL;
    if (one || asprintf(&e.text, "%.*s (%.*s recipients)", SLICE_ARG(id), SLICE_ARG(about)) < 0)
        e.text = strndup(id.p, id.n);
    if (e.kind == NULL || e.text == NULL || (one && e.recipient == NULL)) {
        free(e.kind);
        free(e.recipient);
        free(e.text);
        return -1;
    }
    *ret = e;
    return 0;
}

size_t events_split(struct queue_history *attempt, struct queue_history more[EVENTS_SPLIT_MAX])
{
    char *end = strchr(attempt->text, '\n');
    struct slice rest = slice_of(end == NULL ? NULL : end + 1), line;
    size_t n = 0;

    while (rest.n > 0 && n < EVENTS_SPLIT_MAX) {
        rest = slice_cut(rest, '\n', &line);
        if (parse_telling(line, attempt->time_ms, &more[n]) == 0)
            n++;
    }
    if (end != NULL)
        *end = '\0';
    return n;
}
