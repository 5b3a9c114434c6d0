/* Accepting sockets. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 511, ACCEPTS_A_TURN = 64 };

struct listener {
    struct daemon *daemon;
    struct listener *next;
    char *address;
    uint16_t port;
    enum config_tls_mode tls, next_tls;
    uint64_t accepted;
    int fd;
    struct acceptor acceptor;
    bool accepting; /* false: bound by listeners_prepare, not committed */
};

/* ---- addresses ------------------------------------------------------------------------------------ */

void address_text(const struct sockaddr_storage *sa, char out[46], uint16_t *port)
{
    struct sockaddr_in v4 = {0};
    struct sockaddr_in6 v6 = {0};

    out[0] = '\0';
    if (sa->ss_family == AF_INET) {
        memcpy(&v4, sa, sizeof(v4));
        *port = ntohs(v4.sin_port);
        inet_ntop(AF_INET, &v4.sin_addr, out, 46);
        return;
    }
    memcpy(&v6, sa, sizeof(v6));
    *port = ntohs(v6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
        inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], out, 46);
    else
        inet_ntop(AF_INET6, &v6.sin6_addr, out, 46);
}

static socklen_t address_length(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

int address_parse(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    char service[8];

    snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (getaddrinfo(text, service, &hints, &found) != 0)
        return -1;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static bool is_wildcard(const char *address)
{
    return strcmp(address, "::") == 0 || strcmp(address, "0.0.0.0") == 0;
}

/* Is it an address of this machine?  The kernel tells by the source it would choose for a datagram; none is sent. */
static bool is_local(const struct sockaddr_storage *sa, const char *text)
{
    struct sockaddr_storage from = {0};
    socklen_t n = sizeof(from);
    char from_text[46] = "";
    uint16_t port;

    if (strncmp(text, "127.", 4) == 0)
        return true;
    int fd = socket(sa->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)sa, address_length(sa)) == 0 &&
        getsockname(fd, (struct sockaddr *)&from, &n) == 0)
        address_text(&from, from_text, &port);
    close(fd);
    return strcmp(from_text, text) == 0;
}

bool listeners_own_address(const struct daemon *d, const char *address)
{
    struct sockaddr_storage sa;
    char text[46];
    uint16_t port;

    if (address_parse(address, 25, &sa) < 0)
        return false;
    address_text(&sa, text, &port); /* one spelling */
    bool local = is_wildcard(text) || is_local(&sa, text);
    for (const struct listener *l = d->listeners; l != NULL; l = l->next)
        if (strcmp(l->address, text) == 0 || (is_wildcard(l->address) && local))
            return true;
    return false;
}

/* ---- accepting -------------------------------------------------------------------------------------- */

static void log_rest(void *ctx, int error)
{
    const struct listener *l = ctx;
    log_event(LOG_LEVEL_ERROR, "accept", LOG_STR("address", l->address), LOG_NUM("port", l->port),
              LOG_STR("error", strerror(error)));
}

static bool take(void *ctx, int fd, const struct sockaddr_storage *from)
{
    struct listener *l = ctx;
    char ip[46];
    uint16_t port;

    if (fd >= l->daemon->client_descriptor_max) { /* the last ones are for the queue and for delivery */
        close(fd);
        return false;
    }
    address_text(from, ip, &port);
    l->accepted++;
    server_conn_accept(l->daemon, fd, ip, l->port, l->tls);
    return true;
}

static const struct acceptor_calls acceptor_calls = {.a_turn = ACCEPTS_A_TURN, .take = take, .log_rest = log_rest};

/* ---- binding -------------------------------------------------------------------------------------------- */

int listener_bind(const char *address, uint16_t port, int backlog, struct err *err)
{
    struct sockaddr_storage sa;
    int one = 1, v6only = 0;

    if (address_parse(address, port, &sa) < 0)
        return err_set(err, "listen: %s is not a numeric address", address);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && strcmp(address, "::") == 0) {
        log_event(LOG_LEVEL_WARN, "listen", LOG_STR("address", address), LOG_NUM("port", port),
                  LOG_STR("error", "this machine has no IPv6; listening on IPv4 only"));
        return listener_bind("0.0.0.0", port, backlog, err);
    }
    if (fd < 0)
        return err_set(err, "listen on %s port %u: %s", address, (unsigned)port, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (sa.ss_family == AF_INET6) /* "::" is both families */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    if (bind(fd, (struct sockaddr *)&sa, address_length(&sa)) == 0 && listen(fd, backlog) == 0)
        return fd;
    int error = errno;
    close(fd);
    return err_set(err, "listen on %s port %u: %s%s", address, (unsigned)port, strerror(error),
                   error == EACCES ? " (ports below 1024 need CAP_NET_BIND_SERVICE)" : "");
}

static void listener_free(struct listener *l)
{
    acceptor_free(&l->acceptor);
    if (l->fd >= 0)
        close(l->fd);
    free(l->address);
    free(l);
}

static struct listener *listener_new(struct daemon *d, const struct config_listener *c, struct err *err)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    l->daemon = d;
    l->port = c->port;
    l->tls = l->next_tls = c->tls;
    l->fd = listener_bind(c->address, c->port, LISTEN_BACKLOG, err);
    if (l->fd < 0)
        goto fail;
    l->address = strdup(c->address);
    if (acceptor_init(&l->acceptor, d->base, l->fd, &acceptor_calls, l) == 0 && l->address != NULL)
        return l;
    err_set(err, "out of memory");
fail:
    listener_free(l);
    return NULL;
}

/* ---- the set ------------------------------------------------------------------------------------------------ */

static bool matches(const struct listener *l, const struct config_listener *c)
{
    return l->port == c->port && strcmp(l->address, c->address) == 0;
}

int listeners_prepare(struct daemon *d, const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->n_listen; i++) {
        struct listener *l = d->listeners;
        while (l != NULL && !matches(l, &c->listen[i]))
            l = l->next;
        if (l != NULL) {
            l->next_tls = c->listen[i].tls;
            continue;
        }
        l = listener_new(d, &c->listen[i], err);
        if (l == NULL) {
            listeners_rollback(d);
            return -1;
        }
        l->next = d->listeners;
        d->listeners = l;
    }
    return 0;
}

static bool is_configured(const struct listener *l, const struct config *c)
{
    for (size_t i = 0; i < c->n_listen; i++)
        if (matches(l, &c->listen[i]))
            return true;
    return false;
}

void listeners_commit(struct daemon *d, const struct config *c)
{
    for (struct listener **pl = &d->listeners, *l; (l = *pl) != NULL;) {
        if (!is_configured(l, c)) {
            *pl = l->next;
            listener_free(l);
            continue;
        }
        l->tls = l->next_tls;
        if (!l->accepting)
            acceptor_start(&l->acceptor);
        l->accepting = true;
        pl = &l->next;
    }
}

void listeners_rollback(struct daemon *d)
{
    for (struct listener **pl = &d->listeners, *l; (l = *pl) != NULL;) {
        if (!l->accepting) {
            *pl = l->next;
            listener_free(l);
            continue;
        }
        l->next_tls = l->tls;
        pl = &l->next;
    }
}

size_t listeners_count(const struct daemon *d, struct listener_count *v, size_t max)
{
    size_t n = 0;

    for (const struct listener *l = d->listeners; l != NULL && n < max; l = l->next)
        v[n++] =
            (struct listener_count){.address = l->address, .port = l->port, .tls = l->tls, .accepted = l->accepted};
    return n;
}

void listeners_close(struct daemon *d)
{
    for (struct listener *l; (l = d->listeners) != NULL;) {
        d->listeners = l->next;
        listener_free(l);
    }
}
