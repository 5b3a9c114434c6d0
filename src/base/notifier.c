/* notifier.c - how other threads wake the loop. */
#include "sendas/base.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop_notifier {
    int fd; /* eventfd: many notify() add up to one read */
    struct event *event;
    void (*on_loop)(void *ctx);
    void *ctx;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct loop_notifier *n = arg;
    eventfd_t count;
    (void)what;
    eventfd_read(fd, &count); /* nothing to read: another wake-up was first, and looking again does no harm */
    n->on_loop(n->ctx);
}

struct loop_notifier *loop_notifier_new(struct event_base *base, void (*on_loop)(void *ctx), void *ctx)
{
    struct loop_notifier *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->on_loop = on_loop;
    n->ctx = ctx;
    n->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->fd >= 0)
        n->event = event_new(base, n->fd, EV_READ | EV_PERSIST, on_readable, n);
    if (n->event == NULL || event_add(n->event, NULL) < 0)
        loop_notifier_free(&n);
    return n;
}

void loop_notifier_notify(struct loop_notifier *n)
{
    eventfd_write(n->fd, 1); /* fails only when the counter is full, and then the loop is awake anyway */
}

void loop_notifier_free(struct loop_notifier **pn)
{
    struct loop_notifier *n = *pn;
    if (n == NULL)
        return;
    *pn = NULL;
    if (n->event != NULL)
        event_free(n->event);
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}
