/* delivery/deferrals.c - why mail for a domain was last deferred: what the status page shows.
 *
 * A table of fixed size: a domain has one place by its hash, and whoever comes later takes it. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 256, REPLY_MAX = 256 };

struct deferral {
    char domain[DOMAIN_MAX + 3]; /* or an address literal */
    char reply[REPLY_MAX];
};

static struct deferral *place_of(const struct delivery *d, const char *domain)
{
    return &d->deferrals[slice_hash(slice_of(domain)) % PLACES];
}

/* The length of what fits, not amid a character. */
static size_t fitting(const char *text, size_t max)
{
    size_t n = strnlen(text, max);
    while (n == max && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        max = --n;
    return n;
}

void deferrals_note(struct delivery *d, const char *domain, const char *reply)
{
    if (d->deferrals == NULL)
        d->deferrals = calloc(PLACES, sizeof(*d->deferrals));
    if (d->deferrals == NULL)
        return;
    struct deferral *at = place_of(d, domain);
    snprintf(at->domain, sizeof(at->domain), "%s", domain);
    snprintf(at->reply, sizeof(at->reply), "%.*s", (int)fitting(reply, REPLY_MAX - 1), reply);
}

const char *delivery_last_deferral(const struct delivery *d, const char *domain)
{
    if (d->deferrals == NULL)
        return NULL;
    const struct deferral *at = place_of(d, domain);
    return strcmp(at->domain, domain) == 0 ? at->reply : NULL;
}

const struct delivery_counts *delivery_counts(const struct delivery *d)
{
    return &d->counts;
}
