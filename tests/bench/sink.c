/* sink ADDRESS PORT [CERTIFICATE KEY] - a mail server that takes everything, as fast as one core can; with a certificate it
 * offers STARTTLS.
 *
 * On SIGUSR1, and at its end on SIGTERM, it prints one line: connections messages octets first_s last_s most_open (the
 * times by the monotonic clock, of the first and the last message). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 4096, READ_SIZE = 64 * 1024, EVENTS = 64 };

struct client {
    int fd;
    SSL *ssl;
    bool in_data, starts_tls;
    size_t n;                   /* of `line` */
    char line[LINE_MAX_OCTETS]; /* what came of the present one, cut off at its end */
};

static SSL_CTX *tls; /* NULL: not offered */

static struct {
    unsigned long connections, messages, octets, open, most_open;
    double first_s, last_s;
} seen;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(void)
{
    printf("%lu %lu %lu %.6f %.6f %lu\n", seen.connections, seen.messages, seen.octets, seen.first_s, seen.last_s,
           seen.most_open);
    fflush(stdout);
}

static void fail(const char *what)
{
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool is_verb(const struct client *c, const char *verb)
{
    return c->n >= strlen(verb) && strncasecmp(c->line, verb, strlen(verb)) == 0;
}

static void taken(void)
{
    seen.last_s = now_s();
    if (seen.messages++ == 0)
        seen.first_s = seen.last_s;
}

#define EXTENSIONS "250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"

/* The reply to a whole line, or NULL. */
static const char *answer(struct client *c)
{
    if (c->in_data) {
        if (c->n != 1 || c->line[0] != '.')
            return NULL;
        c->in_data = false;
        taken();
        return "250 2.0.0 taken\r\n";
    }
    if (is_verb(c, "EHLO"))
        return tls != NULL && c->ssl == NULL ? "250-sink\r\n250-STARTTLS\r\n" EXTENSIONS : "250-sink\r\n" EXTENSIONS;
    if (tls != NULL && c->ssl == NULL && is_verb(c, "STARTTLS")) {
        c->starts_tls = true;
        return "220 2.0.0 go on\r\n";
    }
    c->in_data = is_verb(c, "DATA");
    return c->in_data ? "354 go on\r\n" : is_verb(c, "QUIT") ? "221 2.0.0 bye\r\n" : "250 2.0.0 ok\r\n";
}

/* False when the client is to go. */
static bool take(struct client *c, const char *p, size_t n)
{
    char out[READ_SIZE];
    size_t used = 0;
    bool quit = false;
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        size_t part = end == NULL ? n : (size_t)(end - p);
        size_t kept = part < sizeof(c->line) - c->n ? part : sizeof(c->line) - c->n;
        memcpy(c->line + c->n, p, kept);
        c->n += kept;
        if (end == NULL)
            break;
        p = end + 1;
        n -= part + 1;
        if (c->n > 0 && c->line[c->n - 1] == '\r')
            c->n--;
        quit = !c->in_data && is_verb(c, "QUIT");
        const char *reply = answer(c);
        c->n = 0;
        size_t length = reply == NULL ? 0 : strlen(reply);
        if (used + length > sizeof(out))
            return false; /* thousands of commands in one read: no client of ours */
        if (length > 0)
            memcpy(out + used, reply, length);
        used += length;
    }
    ssize_t sent = used == 0        ? 0
                   : c->ssl != NULL ? SSL_write(c->ssl, out, (int)used)
                                    : send(c->fd, out, used, MSG_NOSIGNAL);
    return sent == (ssize_t)used && !quit;
}

/* The handshake is made by the first reads. */
static bool start_tls(struct client *c)
{
    c->starts_tls = false;
    c->ssl = SSL_new(tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
        return false;
    SSL_set_accept_state(c->ssl);
    return true;
}

/* As recv. */
static ssize_t take_some(struct client *c, char *buffer, size_t size)
{
    if (c->ssl == NULL)
        return recv(c->fd, buffer, size, 0);
    int n = SSL_read(c->ssl, buffer, (int)size);
    if (n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ) {
        errno = EAGAIN;
        return -1;
    }
    return n > 0 ? n : 0;
}

static void leave(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
    seen.open--;
}

static void serve(struct client *c)
{
    static char buffer[READ_SIZE];
    do {
        ssize_t n = take_some(c, buffer, sizeof(buffer));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            seen.octets += (unsigned long)n;
        if (n <= 0 || !take(c, buffer, (size_t)n) || (c->starts_tls && !start_tls(c))) {
            leave(c);
            return;
        }
    } while (c->ssl != NULL && SSL_pending(c->ssl) > 0);
}

static void welcome(int listener, int poll)
{
    static const char banner[] = "220 sink ESMTP\r\n";
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
    if (c == NULL)
        return;
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    seen.connections++;
    if (++seen.open > seen.most_open)
        seen.most_open = seen.open;
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e) < 0 || send(fd, banner, sizeof(banner) - 1, MSG_NOSIGNAL) < 0)
        leave(c);
}

static int open_listener(const char *address, const char *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &sa.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1024) < 0)
        fail("listen");
    return fd;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* False at the end. */
static bool on_signal(int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return true;
    report();
    return info.ssi_signo == SIGUSR1;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: sink ADDRESS PORT [CERTIFICATE KEY]\n");
        return 2;
    }
    if (argc == 5 && ((tls = SSL_CTX_new(TLS_server_method())) == NULL ||
                      SSL_CTX_use_certificate_file(tls, argv[3], SSL_FILETYPE_PEM) != 1 ||
                      SSL_CTX_use_PrivateKey_file(tls, argv[4], SSL_FILETYPE_PEM) != 1))
        fail("certificate");
    int poll = epoll_create1(EPOLL_CLOEXEC), listener = open_listener(argv[1], argv[2]), signals = open_signals();
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener}, s = {.events = EPOLLIN, .data.ptr = &signals};
    if (poll < 0 || signals < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &e) < 0 ||
        epoll_ctl(poll, EPOLL_CTL_ADD, signals, &s) < 0)
        fail("epoll");
    for (;;) {
        struct epoll_event ready[EVENTS];
        int n = epoll_wait(poll, ready, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr == &listener)
                welcome(listener, poll);
            else if (ready[i].data.ptr != &signals)
                serve(ready[i].data.ptr);
            else if (!on_signal(signals))
                return 0;
        }
    }
}
