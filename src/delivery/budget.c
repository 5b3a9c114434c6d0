/* delivery/budget.c - delivery.connections, the connections of all: who opens the next one.
 *
 * First a place that has none, in the order of asking; then one that could use another.  While a place has none and all
 * are in use, those with several, or with one for long, give one back when its message is done. */
#include "internal.h"

enum { LONG_MESSAGES = 10, RESOLVING_MAX = 200 /* more at a time would be turned away by the resolver itself */ };

enum { WITHOUT = 0, WITH };

void budget_init(struct delivery *d)
{
    TAILQ_INIT(&d->wanting[WITHOUT]);
    TAILQ_INIT(&d->wanting[WITH]);
}

void budget_forget(struct destination *dest)
{
    if (!dest->wanting)
        return;
    dest->wanting = false;
    TAILQ_REMOVE(&dest->d->wanting[dest->wanting_more], dest, want);
    dest->d->n_without -= !dest->wanting_more;
}

void budget_want(struct destination *dest)
{
    bool more = dest->n_channels > 0;
    if (dest->wanting && dest->wanting_more == more)
        return;
    budget_forget(dest);
    dest->wanting = true;
    dest->wanting_more = more;
    TAILQ_INSERT_TAIL(&dest->d->wanting[more], dest, want);
    dest->d->n_without += !more;
}

bool budget_should_yield(const struct channel *ch)
{
    const struct delivery *d = ch->d;
    return d->n_without > d->n_yielding && d->n_channels >= ch->dest->settings->config->delivery.connections &&
           ch->messages > 0 && (ch->dest->n_channels > 1 || ch->messages >= LONG_MESSAGES);
}

/* A channel that serves nobody makes room where others wait. */
static void free_idle_channel(struct delivery *d)
{
    struct channel *ch;
    for (ch = TAILQ_FIRST(&d->channels); ch != NULL; ch = TAILQ_NEXT(ch, all)) {
        if (channel_is_idle(ch) && ch->dest->n_waiting == 0) {
            channel_yield(ch);
            return;
        }
    }
}

void budget_step(struct delivery *d)
{
    struct destination *dest;
    while ((dest = TAILQ_FIRST(&d->wanting[WITHOUT])) != NULL || (dest = TAILQ_FIRST(&d->wanting[WITH])) != NULL) {
        if (d->n_channels >= dest->settings->config->delivery.connections) {
            if (d->n_yielding == 0)
                free_idle_channel(d);
            return;
        }
        if (d->n_resolving >= RESOLVING_MAX)
            return; /* an answer goes on here */
        budget_forget(dest);
        if (destination_connect(dest))
            budget_want(dest);
    }
}
