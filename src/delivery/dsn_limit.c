/* delivery/dsn_limit.c - a moment per user up to which the hour's room is used: each DSN moves it on by its share of an
 * hour, time goes after it.  Users come from the configuration, so their number is bounded. */
#include "dsn_limit.h"

#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000, BUCKETS = 256 };

struct entry {
    struct entry *next;
    int64_t used_until_ms;
    char user[];
};

struct dsn_limit {
    struct entry *buckets[BUCKETS];
};

struct dsn_limit *dsn_limit_new(void)
{
    return calloc(1, sizeof(struct dsn_limit));
}

void dsn_limit_free(struct dsn_limit **pl)
{
    struct dsn_limit *l = *pl;
    *pl = NULL;
    for (size_t i = 0; l != NULL && i < BUCKETS; i++)
        while (l->buckets[i] != NULL) {
            struct entry *e = l->buckets[i];
            l->buckets[i] = e->next;
            free(e);
        }
    free(l);
}

static struct entry **bucket_of(struct dsn_limit *l, const char *user)
{
    return &l->buckets[slice_hash(slice_of(user)) % BUCKETS];
}

/* The user's entry, made if there is none; those whose room is all free again go. */
static struct entry *find(struct dsn_limit *l, const char *user, int64_t now_ms)
{
    struct entry **bucket = bucket_of(l, user), **at = bucket, *found = NULL;
    while (*at != NULL) {
        struct entry *e = *at;
        if (strcmp(e->user, user) == 0) {
            found = e;
        } else if (e->used_until_ms <= now_ms) {
            *at = e->next;
            free(e);
            continue;
        }
        at = &e->next;
    }
    size_t n = strlen(user);
    if (found == NULL && (found = malloc(sizeof(*found) + n + 1)) != NULL) {
        memcpy(found->user, user, n + 1);
        found->used_until_ms = now_ms;
        found->next = *bucket;
        *bucket = found;
    }
    return found;
}

bool dsn_limit_take(struct dsn_limit *l, const char *user, unsigned per_hour, int64_t now_ms)
{
    if (per_hour == 0)
        return true;
    struct entry *e = find(l, user, now_ms);
    if (e == NULL)
        return false;
    int64_t share_ms = HOUR_MS / per_hour > 0 ? HOUR_MS / per_hour : 1;
    int64_t from_ms = e->used_until_ms > now_ms ? e->used_until_ms : now_ms;
    if (from_ms + share_ms > now_ms + HOUR_MS)
        return false;
    e->used_until_ms = from_ms + share_ms;
    return true;
}
