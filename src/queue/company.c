/* company.c - what goes to the writer together, on the loop thread.
 *
 * Waking the writer, a commit and its sync cost about as much for one request as for several.  So
 *   - an outcome, for which nobody waits, waits for a message, or a few milliseconds.  With one session, one message after
 *     the other, 1.85 syncs a message became 1.02;
 *   - a message waits while several others are being signed (queue_expect), for a millisecond.  With 20 sessions a message
 *     takes a quarter less pages of the log, and 3 % less CPU; replies come no later.  With few at a time the sessions would
 *     only wait for each other: then each message goes at once. */
#include "internal.h"

#include <event2/event.h>

enum {
    OUTCOMES_MS = 5,
    OUTCOMES_MAX = 100,
    PUTS_MS = 1,
    PUTS_MAX = 12,
    OTHERS_MIN = 6, /* being signed, for a message to wait */
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    company_go(arg);
}

int company_init(struct company *c, struct event_base *base, struct lane *lane)
{
    *c = (struct company){.lane = lane, .timer = event_new(base, -1, 0, on_timer, c)};
    requests_init(&c->waiting);
    return c->timer != NULL ? 0 : -1;
}

void company_free(struct company *c)
{
    if (c->timer != NULL)
        event_free(c->timer);
    c->timer = NULL;
}

void company_go(struct company *c)
{
    if (c->waiting.head == NULL)
        return;
    event_del(c->timer);
    c->outcomes = c->puts = 0;
    lane_submit_all(c->lane, &c->waiting);
}

/* At most so long from now on. */
static void wait_for(struct company *c, int ms)
{
    const struct timeval moment = {.tv_usec = ms * 1000};

    if (event_add(c->timer, &moment) < 0)
        company_go(c);
}

void company_add_outcome(struct company *c, struct request *r)
{
    requests_push(&c->waiting, r);
    if (++c->outcomes >= OUTCOMES_MAX)
        company_go(c);
    else if (c->outcomes == 1 && c->puts == 0)
        wait_for(c, OUTCOMES_MS);
}

/* It is still one of those that are expected. */
void company_add_put(struct company *c, struct request *r)
{
    requests_push(&c->waiting, r);
    if (++c->puts >= PUTS_MAX || c->expected <= OTHERS_MIN)
        company_go(c);
    else if (c->puts == 1)
        wait_for(c, PUTS_MS);
}

void company_expect(struct company *c, int n)
{
    c->expected += n;
    if (c->puts > 0 && c->expected < OTHERS_MIN)
        company_go(c);
}
