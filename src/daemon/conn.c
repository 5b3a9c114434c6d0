/* A connection as a state machine; conn.h draws it. */
#include "conn.h"

#include "sendas/tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum conn_state {
    CONN_IS_CONNECTING = 0,
    CONN_IS_OPEN,
    CONN_IS_UPGRADING, /* the plain output before the handshake */
    CONN_IS_HANDSHAKE,
    CONN_IS_BROKEN, /* a failed handshake; the owner has to finish */
    CONN_IS_FINISHING,
    CONN_IS_LINGERING,
    CONN_IS_CLOSED
};

struct conn {
    const struct conn_owner *calls;
    void *owner;
    int fd;
    enum conn_state state;
    SSL *ssl, *next_ssl;
    struct event *readable, *writable, *timer;
    struct event *kicked; /* never waits for the socket: see kick() */
    struct evbuffer *out;
    struct strbuf in;               /* what the owner left */
    int64_t own_deadline, timer_at; /* 0 = none */
    unsigned busy;                  /* depth of our own calls on the stack: it is not destroyed below them */
    unsigned epoch;                 /* counts what makes earlier input void */
    bool freed, again;
    bool connected;
    bool paused, offer_again;
    bool reading, writing; /* what the loop watches */
    bool read_wanted;      /* while not, `reading` goes on until something comes */
    bool read_wants_write, write_wants_write, write_blocked;
    bool drained_wanted;
    bool may_have_more; /* the last read got something, so OpenSSL may hold a record that it has not shown */
    bool tls_broken;    /* nothing more may be written */
    bool corked;
    char reason[128];
};

/* ---- events to the owner ------------------------------------------------------------------------ */

static void emit(struct conn *c, enum conn_event event, const char *reason)
{
    if (!c->freed)
        c->calls->event(c->owner, event, reason);
}

static void enter(struct conn *c, enum conn_state state, int64_t timeout_ms)
{
    c->state = state;
    c->own_deadline = timeout_ms == 0 ? 0 : clock_mono_ms() + timeout_ms;
}

static void closed(struct conn *c, const char *reason)
{
    if (c->state == CONN_IS_CLOSED)
        return;
    enter(c, CONN_IS_CLOSED, 0);
    emit(c, CONN_CLOSED, reason);
}

/* Have the state machine run soon, from the loop.  By an event of its own: libevent does not watch a socket whose event
 * is added while it is active, and one that is deleted is no longer active.  It has not heard of the socket, and so need
 * not try to read. */
static void kick(struct conn *c)
{
    if (c->busy == 0)
        event_active(c->kicked, EV_TIMEOUT, 0);
    else
        c->again = true;
}

/* ---- input ---------------------------------------------------------------------------------------- */

static bool may_feed(const struct conn *c)
{
    return c->state == CONN_IS_OPEN && !c->paused && !c->freed;
}

static bool may_read(const struct conn *c)
{
    return may_feed(c) && evbuffer_get_length(c->out) < CONN_OUTPUT_HIGH;
}

/* Octets that OpenSSL has read already do not make the socket readable.  They may be half a record: then a read that
 * gets nothing ends it. */
static bool tls_holds_input(const struct conn *c)
{
    return c->ssl != NULL && c->may_have_more && SSL_has_pending(c->ssl) == 1;
}

static void input_drop(struct conn *c)
{
    if (c->in.p != NULL)
        wipe(c->in.p, c->in.cap); /* it may have been a login */
    strbuf_free(&c->in);
}

/* Offers what was left together with what is new, and keeps what is not taken. */
static void offer(struct conn *c, struct slice fresh)
{
    bool kept = c->in.n > 0;
    unsigned epoch = c->epoch;

    if (kept)
        strbuf_add_slice(&c->in, fresh);
    if (c->in.failed) {
        closed(c, "out of memory");
        return;
    }
    struct slice all = kept ? strbuf_slice(&c->in) : fresh;
    size_t taken = c->calls->data(c->owner, all);
    /* After STARTTLS or the end nothing of this input counts any more (RFC 3207 6). */
    if (c->freed || c->epoch != epoch || c->state != CONN_IS_OPEN) {
        input_drop(c);
        return;
    }
    struct slice rest = slice_skip(all, taken);
    if (rest.n == 0)
        input_drop(c);
    else if (!kept)
        strbuf_add_slice(&c->in, rest);
    else if (taken > 0) {
        memmove(c->in.p, rest.p, rest.n);
        strbuf_truncate(&c->in, rest.n);
    }
    if (c->in.failed)
        closed(c, "out of memory");
    else if (c->in.n >= CONN_INPUT_MAX && !c->paused)
        closed(c, "too much input without an end");
}

/* What an SSL_ call that did not succeed means: 0 = again later (*wants_write: when writable), -1 = over, c->reason
 * says why. */
static int tls_result(struct conn *c, int n, bool *wants_write)
{
    int saved = errno, what = SSL_get_error(c->ssl, n);

    *wants_write = what == SSL_ERROR_WANT_WRITE;
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
        return 0;
    c->tls_broken = true;
    if (what == SSL_ERROR_ZERO_RETURN)
        snprintf(c->reason, sizeof(c->reason), "connection closed by the peer");
    else if (what == SSL_ERROR_SYSCALL && ERR_peek_error() == 0 && saved != 0)
        snprintf(c->reason, sizeof(c->reason), "%s", strerror(saved));
    else
        tls_failure_text(c->ssl, ERR_get_error(), c->reason, sizeof(c->reason));
    return -1;
}

/* > 0: octets read; 0: nothing now; -1: the end, and closed() was called. */
static ssize_t read_some(struct conn *c, char *buf, size_t size)
{
    if (c->ssl != NULL) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, buf, (int)size);
        return n > 0 ? n : tls_result(c, n, &c->read_wants_write);
    }
    ssize_t n = recv(c->fd, buf, size, 0);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    snprintf(c->reason, sizeof(c->reason), "%s", n == 0 ? "connection closed by the peer" : strerror(errno));
    return -1;
}

static void read_and_feed(struct conn *c)
{
    char buf[16 * 1024];
    ssize_t n = 0, most = 0;

    /* A bounded number of rounds: others have their turn. */
    for (int round = 0; round < 4 && may_read(c); round++) {
        n = read_some(c, buf, sizeof(buf));
        c->may_have_more = n > 0;
        if (n <= 0)
            break;
        most = n > most ? n : most;
        bool all = c->ssl != NULL ? SSL_has_pending(c->ssl) == 0 : (size_t)n < sizeof(buf);
        offer(c, slice_from(buf, (size_t)n));
        if (all) /* the loop tells when there is more: that saves a read that gets nothing */
            break;
    }
    wipe(buf, (size_t)most);
    if (n < 0)
        closed(c, c->reason);
}

/* ---- output ----------------------------------------------------------------------------------------- */

/* 1: progress, 0: the socket is full, -1: broken. */
static int write_some(struct conn *c)
{
    if (c->ssl == NULL) {
        int n = evbuffer_write(c->out, c->fd);
        if (n > 0)
            return 1;
        if (n == 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
            return 0;
        snprintf(c->reason, sizeof(c->reason), "%s", strerror(errno));
        return -1;
    }
    struct evbuffer_iovec v;
    if (evbuffer_peek(c->out, -1, NULL, &v, 1) < 1)
        return 0;
    ERR_clear_error();
    int n = SSL_write(c->ssl, v.iov_base, (int)(v.iov_len < CONN_OUTPUT_HIGH ? v.iov_len : CONN_OUTPUT_HIGH));
    if (n <= 0)
        return tls_result(c, n, &c->write_wants_write);
    evbuffer_drain(c->out, (size_t)n);
    return 1;
}

static void flush(struct conn *c)
{
    int rc = 1;

    if (c->state == CONN_IS_CLOSED || c->state == CONN_IS_CONNECTING || c->state == CONN_IS_HANDSHAKE ||
        c->state == CONN_IS_LINGERING)
        return;
    c->write_blocked = false;
    while (rc > 0 && evbuffer_get_length(c->out) > 0)
        rc = write_some(c);
    c->write_blocked = rc == 0;
    if (rc < 0)
        closed(c, c->reason);
    else if (c->drained_wanted && c->state == CONN_IS_OPEN && evbuffer_get_length(c->out) < CONN_OUTPUT_LOW) {
        c->drained_wanted = false;
        emit(c, CONN_DRAINED, "");
        if (evbuffer_get_length(c->out) > 0)
            c->again = true;
    }
}

/* ---- TLS -------------------------------------------------------------------------------------------------- */

static void tls_failed(struct conn *c, const char *reason)
{
    c->tls_broken = true;
    evbuffer_drain(c->out, evbuffer_get_length(c->out));
    enter(c, CONN_IS_BROKEN, CONN_FINISH_TIMEOUT_MS);
    emit(c, CONN_TLS_FAILED, reason);
}

static void handshake(struct conn *c)
{
    ERR_clear_error();
    int n = SSL_do_handshake(c->ssl);
    if (n == 1) {
        c->read_wants_write = false;
        c->may_have_more = true; /* what came with its last flight */
        enter(c, CONN_IS_OPEN, 0);
        emit(c, CONN_TLS_READY, "");
    } else if (tls_result(c, n, &c->read_wants_write) < 0)
        tls_failed(c, c->reason);
}

/* The plain output is out: nothing of the plain input may be left. */
static void begin_handshake(struct conn *c)
{
    input_drop(c);
    c->ssl = c->next_ssl;
    c->next_ssl = NULL;
    if (SSL_set_fd(c->ssl, c->fd) != 1) {
        tls_failed(c, "out of memory");
        return;
    }
    enter(c, CONN_IS_HANDSHAKE, CONN_HANDSHAKE_TIMEOUT_MS);
    if (SSL_is_server(c->ssl) == 0) /* the client speaks first */
        handshake(c);
}

/* ---- beginning and end ------------------------------------------------------------------------------------- */

static void connected(struct conn *c)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error != 0) {
        snprintf(c->reason, sizeof(c->reason), "%s", strerror(error));
        closed(c, c->reason);
        return;
    }
    c->connected = true;
    enter(c, CONN_IS_OPEN, 0);
    emit(c, CONN_CONNECTED, "");
}

/* The last reply, close_notify and FIN leave together and wake the peer once: with a connection for each message 10 to 25
 * us less, of 1150. */
static void cork(struct conn *c)
{
    int one = 1;

    if (!c->corked)
        setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one));
    c->corked = true;
}

/* All is out: close_notify and FIN.  The socket stays until the peer has closed too, or for a moment: closing with
 * unread input would send a reset, which can overtake the last reply. */
static void begin_linger(struct conn *c)
{
    if (c->ssl != NULL && !c->tls_broken) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
    }
    if (!c->connected || shutdown(c->fd, SHUT_WR) < 0)
        closed(c, "");
    else
        enter(c, CONN_IS_LINGERING, CONN_LINGER_TIMEOUT_MS);
}

static void linger(struct conn *c)
{
    char buf[16 * 1024];
    ssize_t n = 1;

    for (int round = 0; round < 4 && n > 0; round++)
        n = recv(c->fd, buf, sizeof(buf), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        closed(c, "");
}

/* ---- the machine -------------------------------------------------------------------------------------------- */

static void watch(struct event *event, bool *now)
{
    if (!*now)
        event_add(event, NULL);
    *now = true;
}

static void unwatch(struct event *event, bool *now)
{
    if (*now)
        event_del(event);
    *now = false;
}

static void update_interest(struct conn *c)
{
    bool want_read = false, want_write = false;

    switch (c->state) {
    case CONN_IS_CONNECTING:
        want_write = true;
        break;
    case CONN_IS_HANDSHAKE:
        want_write = c->read_wants_write;
        want_read = !want_write;
        break;
    case CONN_IS_LINGERING:
        want_read = true;
        break;
    case CONN_IS_OPEN:
        want_read = may_read(c);
        want_write = (want_read && c->read_wants_write);
        /* fall through */
    case CONN_IS_UPGRADING:
    case CONN_IS_FINISHING:
        if (c->write_blocked) {
            /* TLS may have to read before it can write (a key update). */
            bool reads = c->ssl != NULL && !c->write_wants_write;
            want_read = want_read || reads;
            want_write = want_write || !reads;
        }
        break;
    case CONN_IS_BROKEN:
    case CONN_IS_CLOSED:
        break;
    }
    /* Who waits for a reply sends nothing meanwhile: then the loop need not be told of each pause and its end. */
    c->read_wanted = want_read;
    if (want_read)
        watch(c->readable, &c->reading);
    if (want_write)
        watch(c->writable, &c->writing);
    else
        unwatch(c->writable, &c->writing);
}

static int64_t owner_deadline(const struct conn *c)
{
    int64_t at = conn_finishing(c) ? 0 : c->calls->deadline(c->owner);
    return at == 0 ? INT64_MAX : at;
}

/* The timer runs at or before the next deadline; firing early costs less than moving it with each command. */
static void update_timer(struct conn *c)
{
    int64_t at = owner_deadline(c);

    if (c->own_deadline != 0 && c->own_deadline < at)
        at = c->own_deadline;
    if (at == INT64_MAX || (c->timer_at != 0 && c->timer_at <= at))
        return;
    int64_t wait = at - clock_mono_ms() + 1;
    wait = wait < 1 ? 1 : wait;
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    if (evtimer_add(c->timer, &tv) == 0)
        c->timer_at = at;
}

static void destroy(struct conn *c)
{
    input_drop(c);
    /* Without a good end (conn_finish) there is no close_notify: the peer can tell (RFC 8446 6.1). */
    SSL_free(c->ssl);
    SSL_free(c->next_ssl);
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->kicked != NULL)
        event_free(c->kicked);
    if (c->writable != NULL)
        event_free(c->writable);
    if (c->timer != NULL)
        event_free(c->timer);
    if (c->out != NULL)
        evbuffer_free(c->out);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static void step(struct conn *c, bool readable)
{
    switch (c->state) {
    case CONN_IS_CONNECTING:
        connected(c);
        break;
    case CONN_IS_HANDSHAKE:
        handshake(c);
        break;
    case CONN_IS_OPEN:
        if (c->offer_again && may_feed(c)) {
            c->offer_again = false;
            if (c->in.n > 0)
                offer(c, (struct slice){0});
        }
        if (readable || c->read_wants_write || tls_holds_input(c))
            read_and_feed(c);
        break;
    case CONN_IS_LINGERING:
        linger(c);
        break;
    case CONN_IS_UPGRADING:
    case CONN_IS_FINISHING:
    case CONN_IS_BROKEN:
    case CONN_IS_CLOSED:
        break;
    }
    if (c->state == CONN_IS_FINISHING)
        cork(c);
    flush(c);
    if (c->state == CONN_IS_UPGRADING && evbuffer_get_length(c->out) == 0)
        begin_handshake(c);
    if (c->state == CONN_IS_FINISHING && evbuffer_get_length(c->out) == 0)
        begin_linger(c);
}

static void leave(struct conn *c)
{
    if (--c->busy > 0)
        return;
    if (c->freed) {
        destroy(c);
        return;
    }
    update_interest(c);
    update_timer(c);
    bool pending = c->state == CONN_IS_OPEN && c->read_wanted && tls_holds_input(c);
    if ((c->again || pending) && c->state != CONN_IS_CLOSED)
        event_active(c->kicked, EV_TIMEOUT, 0);
    c->again = false;
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    if ((what & EV_READ) != 0 && !c->read_wanted) {
        unwatch(c->readable, &c->reading);
        what &= ~EV_READ;
    }
    c->busy++;
    if (c->state != CONN_IS_CONNECTING || (what & EV_WRITE) != 0)
        step(c, (what & EV_READ) != 0);
    leave(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    int64_t now = clock_mono_ms();

    (void)fd, (void)what;
    c->busy++;
    c->timer_at = 0;
    if (c->own_deadline != 0 && now >= c->own_deadline) {
        c->own_deadline = 0;
        if (c->state == CONN_IS_CONNECTING)
            closed(c, "connection timed out");
        else if (c->state == CONN_IS_HANDSHAKE || c->state == CONN_IS_UPGRADING)
            tls_failed(c, "TLS handshake timed out");
        else
            closed(c, "");
    } else if (now >= owner_deadline(c)) {
        emit(c, CONN_TIMEOUT, "");
        if (!c->freed && now >= owner_deadline(c)) /* a timer that is always due would spin */
            conn_finish(c);
    }
    flush(c);
    leave(c);
}

/* ---- the door -------------------------------------------------------------------------------------------------- */

static struct conn *conn_new(struct event_base *base, int fd, enum conn_state state, const struct conn_owner *calls,
                             void *owner)
{
    int one = 1;
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->state = state;
    c->calls = calls;
    c->owner = owner;
    c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_socket, c);
    c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_socket, c);
    c->kicked = event_new(base, -1, 0, on_socket, c);
    c->timer = evtimer_new(base, on_timer, c);
    c->out = evbuffer_new();
    if (c->readable == NULL || c->writable == NULL || c->kicked == NULL || c->timer == NULL || c->out == NULL) {
        destroy(c);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return c;
}

struct conn *conn_accept(struct event_base *base, int fd, const struct conn_owner *calls, void *owner)
{
    struct conn *c = conn_new(base, fd, CONN_IS_OPEN, calls, owner);
    if (c != NULL) {
        c->connected = true;
        update_interest(c);
        update_timer(c); /* the peer may never say a word */
    }
    return c;
}

static socklen_t address_length(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

struct conn *conn_connect(struct event_base *base, const struct sockaddr *to, const struct sockaddr *from,
                          int64_t timeout_ms, const struct conn_owner *calls, void *owner, struct err *err)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_set(err, "%s", strerror(errno));
        return NULL;
    }
    if (from != NULL && bind(fd, from, address_length(from)) < 0) {
        err_set(err, "bind to the address of delivery.bind: %s", strerror(errno));
        close(fd);
        return NULL;
    }
    if (connect(fd, to, address_length(to)) < 0 && errno != EINPROGRESS) {
        err_set(err, "%s", strerror(errno));
        close(fd);
        return NULL;
    }
    struct conn *c = conn_new(base, fd, CONN_IS_CONNECTING, calls, owner);
    if (c == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    enter(c, CONN_IS_CONNECTING, timeout_ms);
    update_interest(c);
    update_timer(c);
    return c;
}

void conn_send(struct conn *c, struct slice bytes)
{
    if (c->state != CONN_IS_OPEN && c->state != CONN_IS_UPGRADING)
        return;
    if (evbuffer_get_length(c->out) + bytes.n > CONN_OUTPUT_MAX || evbuffer_add(c->out, bytes.p, bytes.n) < 0) {
        /* Half a reply must not go out as if it were one. */
        c->tls_broken = true;
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
        conn_finish(c);
        return;
    }
    if (c->busy == 0) /* otherwise what runs now flushes in the end */
        kick(c);
}

void conn_start_tls(struct conn *c, struct ssl_st *ssl)
{
    if (c->state != CONN_IS_OPEN || c->ssl != NULL) {
        SSL_free(ssl);
        return;
    }
    c->next_ssl = ssl;
    c->epoch++;
    if (c->busy == 0)
        input_drop(c);
    enter(c, CONN_IS_UPGRADING, CONN_HANDSHAKE_TIMEOUT_MS);
    kick(c);
}

const struct ssl_st *conn_tls(const struct conn *c)
{
    return c->ssl;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    if (c->busy == 0)
        update_interest(c);
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    c->offer_again = true;
    kick(c);
}

void conn_want_drained(struct conn *c)
{
    c->drained_wanted = true;
    kick(c);
}

void conn_finish(struct conn *c)
{
    if (conn_finishing(c))
        return;
    /* Where no handshake has ended there is no one to say goodbye to. */
    if (c->state == CONN_IS_HANDSHAKE || c->state == CONN_IS_CONNECTING)
        c->tls_broken = true;
    if (c->state == CONN_IS_HANDSHAKE || c->state == CONN_IS_CONNECTING || c->state == CONN_IS_BROKEN)
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
    c->epoch++;
    enter(c, CONN_IS_FINISHING, CONN_FINISH_TIMEOUT_MS);
    if (c->busy == 0) {
        input_drop(c);
        update_timer(c);
    }
    kick(c);
}

bool conn_finishing(const struct conn *c)
{
    return c->state == CONN_IS_FINISHING || c->state == CONN_IS_LINGERING || c->state == CONN_IS_CLOSED;
}

void conn_free(struct conn **pc)
{
    struct conn *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    c->freed = true;
    if (c->busy == 0)
        destroy(c);
}
