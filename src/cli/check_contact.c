/* One connection of `sendas check`: to a receiver's port 25 for its greeting, or to a listener of ours for the
 * certificate that it presents.
 *
 *   CONNECT -> [TLS]                              implicit TLS
 *   CONNECT -> GREETING                           only the greeting
 *   CONNECT -> GREETING -> EHLO -> STARTTLS -> TLS */
#include "check.h"

#include "sendas/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { STATE_CONNECT = 0, STATE_GREETING, STATE_EHLO, STATE_STARTTLS, STATE_TLS, STATE_DONE };
enum { INPUT_MAX = 8192 };

struct check_connection {
    struct event_base *base;
    struct event *event; /* what is waited for now */
    int fd;
    enum state state;
    int64_t deadline; /* on the monotonic clock */
    struct check_contact to;
    struct check_reached reached;
    char input[INPUT_MAX];
    size_t n; /* octets of it */
    SSL_CTX *tls;
    SSL *ssl;
    void (*done)(void *ctx, const struct check_reached *reached);
    void *ctx;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

void check_connection_free(struct check_connection **pc)
{
    struct check_connection *c = *pc;
    *pc = NULL;
    if (c == NULL)
        return;
    if (c->event != NULL)
        event_free(c->event);
    SSL_free(c->ssl);
    SSL_CTX_free(c->tls);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static void finish(struct check_connection *c)
{
    c->state = STATE_DONE;
    c->done(c->ctx, &c->reached);
}

static void fail(struct check_connection *c, const char *why)
{
    snprintf(c->reached.failure, sizeof(c->reached.failure), "%s", why);
    finish(c);
}

/* 0, or -1 without memory.  `what` 0: on_event runs at once. */
static int wait_for(struct check_connection *c, short what)
{
    int64_t left = c->deadline - clock_mono_ms();
    struct timeval limit = {.tv_sec = left > 0 ? left / 1000 : 0, .tv_usec = left > 0 ? left % 1000 * 1000 : 0};
    if (c->event != NULL)
        event_free(c->event);
    c->event = event_new(c->base, c->fd, what, on_event, c);
    if (c->event == NULL || (what != 0 && event_add(c->event, &limit) < 0))
        return -1;
    if (what == 0)
        event_active(c->event, EV_READ, 0);
    return 0;
}

static void wait_or_fail(struct check_connection *c, short what)
{
    if (wait_for(c, what) < 0)
        fail(c, "out of memory");
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void handshake(struct check_connection *c)
{
    static const char quit[] = "QUIT\r\n";
    ERR_clear_error();
    int rc = SSL_connect(c->ssl);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        wait_or_fail(c, error == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
    } else if (rc == 1) {
        c->reached.chain = SSL_get_peer_cert_chain(c->ssl);
        (void)SSL_write(c->ssl, quit, sizeof(quit) - 1);
        finish(c);
    } else {
        tls_failure_text(c->ssl, ERR_peek_error(), c->reached.failure, sizeof(c->reached.failure));
        finish(c);
    }
}

/* Whatever it presents is taken: it is looked at, not trusted. */
static void begin_tls(struct check_connection *c)
{
    c->tls = SSL_CTX_new(TLS_client_method());
    c->ssl = c->tls == NULL ? NULL : SSL_new(c->tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_set_tlsext_host_name(c->ssl, c->to.host) != 1) {
        fail(c, "out of memory");
        return;
    }
    c->state = STATE_TLS;
    handshake(c);
}

/* ---- SMTP, as far as it is needed ------------------------------------------------------------ */

static void say(struct check_connection *c, enum state next, const char *verb, const char *name)
{
    char line[DOMAIN_MAX + 16];
    int n = snprintf(line, sizeof(line), "%s%s%s\r\n", verb, name[0] != '\0' ? " " : "", name);
    if (send(c->fd, line, (size_t)n, MSG_NOSIGNAL) != n) {
        fail(c, "the connection broke");
        return;
    }
    c->state = next;
    wait_or_fail(c, EV_READ);
}

/* A whole reply is in: `line` is its last. */
static void take_reply(struct check_connection *c, struct slice line)
{
    if (c->state == STATE_GREETING) {
        snprintf(c->reached.greeting, sizeof(c->reached.greeting), "%.*s", SLICE_ARG(line));
        if (c->to.talk == CHECK_TALK_GREETING) {
            (void)!send(c->fd, "QUIT\r\n", 6, MSG_NOSIGNAL);
            finish(c);
        } else if (line.p[0] != '2') {
            fail(c, c->reached.greeting);
        } else {
            say(c, STATE_EHLO, "EHLO", c->to.host);
        }
    } else if (line.p[0] != '2') {
        char why[256];
        snprintf(why, sizeof(why), "%s was answered by: %.*s", c->state == STATE_EHLO ? "EHLO" : "STARTTLS",
                 SLICE_ARG(line));
        fail(c, why);
    } else if (c->state == STATE_EHLO) {
        say(c, STATE_STARTTLS, "STARTTLS", "");
    } else {
        begin_tls(c);
    }
}

/* RFC 5321 4.2.1: all lines of a reply but the last have a hyphen behind the code. */
static void take_lines(struct check_connection *c)
{
    struct slice rest = slice_from(c->input, c->n), line;
    for (;;) {
        size_t end = slice_find(rest, '\n');
        if (end == rest.n)
            break;
        line = slice_trim(slice_sub(rest, 0, end));
        rest = slice_skip(rest, end + 1);
        if (line.n >= 4 && line.p[3] == '-')
            continue;
        if (line.n < 3) {
            fail(c, "it does not speak SMTP");
            return;
        }
        c->n = 0;
        take_reply(c, line);
        return;
    }
    memmove(c->input, rest.p, rest.n);
    c->n = rest.n;
    if (c->n == INPUT_MAX)
        fail(c, "it does not speak SMTP");
    else
        wait_or_fail(c, EV_READ);
}

static void read_input(struct check_connection *c)
{
    ssize_t n = recv(c->fd, c->input + c->n, INPUT_MAX - c->n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        wait_or_fail(c, EV_READ);
    } else if (n <= 0) {
        fail(c, n == 0 ? "it closed the connection" : strerror(errno));
    } else {
        c->n += (size_t)n;
        take_lines(c);
    }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void connected(struct check_connection *c)
{
    socklen_t size = sizeof(c->reached.error);
    if (c->reached.error == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &c->reached.error, &size) < 0)
        c->reached.error = errno;
    if (c->reached.error != 0) {
        finish(c);
    } else if (c->to.talk == CHECK_TALK_IMPLICIT) {
        begin_tls(c);
    } else {
        c->state = STATE_GREETING;
        wait_or_fail(c, EV_READ);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct check_connection *c = arg;
    (void)fd;
    if ((what & EV_TIMEOUT) != 0 && c->state == STATE_CONNECT) {
        c->reached.error = ETIMEDOUT;
        finish(c);
    } else if ((what & EV_TIMEOUT) != 0) {
        fail(c, c->state == STATE_TLS ? "the TLS handshake was not answered in time" : "no answer in time");
    } else if (c->state == STATE_CONNECT) {
        connected(c);
    } else if (c->state == STATE_TLS) {
        handshake(c);
    } else {
        read_input(c);
    }
}

static socklen_t make_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        return sizeof(*in4);
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        return sizeof(*in6);
    }
    return 0;
}

/* errno; EINPROGRESS when it is under way. */
static int begin_connect(struct check_connection *c)
{
    struct sockaddr_storage to, from;
    socklen_t n = make_address(c->to.address, c->to.port, &to), n_from = make_address(c->to.source, 0, &from);
    if (n == 0)
        return EINVAL;
    c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return errno;
    if (n_from > 0 && bind(c->fd, (struct sockaddr *)&from, n_from) < 0)
        return errno;
    return connect(c->fd, (struct sockaddr *)&to, n) < 0 ? errno : 0;
}

struct check_connection *check_connection_new(struct event_base *base, const struct check_contact *to,
                                              int64_t timeout_ms,
                                              void (*done)(void *ctx, const struct check_reached *reached), void *ctx)
{
    struct check_connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->base = base;
    c->fd = -1;
    c->to = *to;
    c->deadline = clock_mono_ms() + timeout_ms;
    c->done = done;
    c->ctx = ctx;
    int error = begin_connect(c);
    if (error != EINPROGRESS)
        c->reached.error = error;
    if (wait_for(c, error == EINPROGRESS ? EV_WRITE : 0) < 0)
        check_connection_free(&c);
    return c;
}
