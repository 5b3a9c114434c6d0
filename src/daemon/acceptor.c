/* Connections taken from a listening socket, many a turn; where there is no room for more it rests for a second. */
#include "internal.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

/* No descriptors or no memory: a second without accepting instead of a loop that spins. */
static void rest(struct acceptor *a, int error)
{
    static const struct timeval second = {.tv_sec = 1};

    a->calls->log_rest(a->ctx, error);
    if (evtimer_add(a->rest_timer, &second) == 0)
        event_del(a->event);
}

static void on_rest_over(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    (void)fd, (void)what;
    if (event_add(a->event, NULL) < 0)
        rest(a, ENOMEM);
}

static void on_acceptable(evutil_socket_t listening, short what, void *arg)
{
    struct acceptor *a = arg;

    (void)what;
    for (int i = 0; i < a->calls->a_turn; i++) {
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof(from);
        int fd = accept4(listening, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            rest(a, errno);
            return;
        }
        if (fd < 0) /* this one connection failed (accept(2), error handling) */
            continue;
        if (!a->calls->take(a->ctx, fd, &from)) {
            rest(a, EMFILE);
            return;
        }
    }
}

int acceptor_init(struct acceptor *a, struct event_base *base, int fd, const struct acceptor_calls *calls, void *ctx)
{
    a->calls = calls;
    a->ctx = ctx;
    a->event = event_new(base, fd, EV_READ | EV_PERSIST, on_acceptable, a);
    a->rest_timer = evtimer_new(base, on_rest_over, a);
    return a->event != NULL && a->rest_timer != NULL ? 0 : -1;
}

void acceptor_start(struct acceptor *a)
{
    event_add(a->event, NULL);
}

void acceptor_free(struct acceptor *a)
{
    if (a->event != NULL)
        event_free(a->event);
    if (a->rest_timer != NULL)
        event_free(a->rest_timer);
    *a = (struct acceptor){.calls = NULL};
}
