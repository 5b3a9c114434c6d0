/* Answers challenges: http-01 (RFC 8555 8.3) and tls-alpn-01 (RFC 8737), while an order is under way and not longer.
 *
 * Anybody may connect.  So: few connections (the oldest goes when there are too many), a short time for each, a small head,
 * and one question that has an answer. */
#include "internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VISITORS_MAX = 64, VISIT_S = 10, HEAD_MAX = 4096, BACKLOG = 64 };

struct visitor {
    struct acme_responder *responder;
    struct visitor *next, **prev; /* the newest first */
    struct bufferevent *bev;
    struct event *timer;
    enum acme_challenge kind;
    bool answered;
};

struct port {
    struct acme_responder *responder;
    struct evconnlistener *listener;
    enum acme_challenge kind;
};

struct acme_responder {
    struct event_base *base;
    struct port *ports;
    size_t n_ports;
    struct visitor *visitors;
    unsigned n_visitors;
    char token[ACME_TOKEN_MAX]; /* "" = no http-01 challenge is live */
    struct strbuf key_authorization;
    char hostname[DOMAIN_MAX + 1];
    SSL_CTX *alpn; /* NULL = no tls-alpn-01 challenge is live */
};

enum acme_challenge acme_challenge_of_port(uint16_t port)
{
    return port % 1000 == 443 ? ACME_TLS_ALPN_01 : ACME_HTTP_01;
}

/* ---- visitors -------------------------------------------------------------------------------- */

static void visitor_free(struct visitor *v)
{
    *v->prev = v->next;
    if (v->next != NULL)
        v->next->prev = v->prev;
    v->responder->n_visitors--;
    if (v->bev != NULL)
        bufferevent_free(v->bev);
    if (v->timer != NULL)
        event_free(v->timer);
    free(v);
}

static void on_time_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    visitor_free(arg);
}

bool acme_responder_asks(struct slice head, const char *token)
{
    static const char folder[] = "/.well-known/acme-challenge/";
    struct slice line, method, target;

    if (*token == '\0')
        return false;
    slice_cut(head, '\n', &line);
    struct slice version = slice_cut(slice_cut(line, ' ', &method), ' ', &target);
    return slice_eq(method, SLICE("GET")) && slice_starts(version, SLICE("HTTP/1.")) &&
           slice_starts(target, slice_of(folder)) && slice_eq(slice_skip(target, sizeof(folder) - 1), slice_of(token));
}

static void answer(struct visitor *v, struct slice head)
{
    const struct acme_responder *r = v->responder;
    bool found = acme_responder_asks(head, r->token);
    struct slice body = found ? strbuf_slice(&r->key_authorization) : SLICE("");
    struct evbuffer *out = bufferevent_get_output(v->bev);

    v->answered = true;
    evbuffer_add_printf(out,
                        "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%.*s",
                        found ? "200 OK" : "404 Not Found", body.n, SLICE_ARG(body));
    log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("challenge", "http-01"),
              LOG_STR("asked", found ? "yes" : "for something else"));
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct visitor *v = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    char head[HEAD_MAX];

    if (!v->answered && v->kind == ACME_HTTP_01) {
        struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
        if (end.pos < 0 && evbuffer_get_length(in) < HEAD_MAX)
            return;
        ev_ssize_t n = evbuffer_copyout(in, head, sizeof(head));
        answer(v, slice_from(head, n > 0 ? (size_t)n : 0));
    }
    evbuffer_drain(in, evbuffer_get_length(in)); /* nothing else is of interest */
}

/* All is written: no more comes from here, and once the visitor has closed too it is over. */
static void on_written(struct bufferevent *bev, void *arg)
{
    const struct visitor *v = arg;
    /* It is also called, late, for what was written before. */
    if (v->answered && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
    struct visitor *v = arg;

    (void)bev;
    if ((what & BEV_EVENT_CONNECTED) != 0) /* RFC 8737 3: the handshake was the answer */
        log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("challenge", "tls-alpn-01"), LOG_STR("asked", "yes"));
    ERR_clear_error();
    visitor_free(v);
}

static struct bufferevent *bufferevent_of(const struct acme_responder *r, enum acme_challenge kind, evutil_socket_t fd)
{
    int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;

    if (kind == ACME_HTTP_01)
        return bufferevent_socket_new(r->base, fd, options);
    SSL *ssl = r->alpn == NULL ? NULL : SSL_new(r->alpn);
    if (ssl == NULL)
        return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(r->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, options);
    if (bev == NULL)
        SSL_free(ssl);
    return bev;
}

static void on_visitor(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int n, void *arg)
{
    static const struct timeval visit = {.tv_sec = VISIT_S};
    const struct port *p = arg;
    struct acme_responder *r = p->responder;
    struct visitor *v = calloc(1, sizeof(*v));

    (void)listener, (void)from, (void)n;
    if (v == NULL) {
        close(fd);
        return;
    }
    *v = (struct visitor){.responder = r, .kind = p->kind, .next = r->visitors, .prev = &r->visitors};
    if (v->next != NULL)
        v->next->prev = &v->next;
    r->visitors = v;
    r->n_visitors++;
    v->bev = bufferevent_of(r, v->kind, fd);
    v->timer = evtimer_new(r->base, on_time_up, v);
    if (v->bev == NULL)
        close(fd);
    if (v->bev == NULL || v->timer == NULL || evtimer_add(v->timer, &visit) < 0) {
        visitor_free(v);
        return;
    }
    bufferevent_setcb(v->bev, on_readable, on_written, on_end, v);
    bufferevent_setwatermark(v->bev, EV_READ, 0, HEAD_MAX);
    bufferevent_enable(v->bev, EV_READ | EV_WRITE);
    if (r->n_visitors > VISITORS_MAX) {
        struct visitor *oldest = r->visitors;
        while (oldest->next != NULL)
            oldest = oldest->next;
        visitor_free(oldest);
    }
}

/* No descriptors left: better no answer than a loop that spins. */
static void on_no_accept(struct evconnlistener *listener, void *arg)
{
    int error = EVUTIL_SOCKET_ERROR();

    (void)arg;
    evconnlistener_disable(listener);
    log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("reason", "no more challenges are answered in this attempt"),
              LOG_STR("error", strerror(error)));
}

/* ---- listening ------------------------------------------------------------------------------- */

static int bind_socket(const char *address, uint16_t port, struct err *err)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    int one = 1, v6only = 0, error;
    char service[8];

    snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (getaddrinfo(address, service, &hints, &found) != 0)
        return err_set(err, "%s is not a numeric address", address);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (found->ai_family == AF_INET6) /* "::" is both families */
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        freeaddrinfo(found);
        return fd;
    }
    error = errno;
    freeaddrinfo(found);
    if (fd >= 0)
        close(fd);
    if (error == EAFNOSUPPORT && strcmp(address, "::") == 0) /* a machine without IPv6 */
        return bind_socket("0.0.0.0", port, err);
    return err_set(err, "cannot listen on %s port %u: %s%s", address, (unsigned)port, strerror(error),
                   error == EADDRINUSE ? "; another program does"
                   : error == EACCES   ? "; ports below 1024 need CAP_NET_BIND_SERVICE"
                                       : "");
}

struct acme_responder *acme_responder_open(struct event_base *base, const struct config *c, struct err *err)
{
    const struct config_acme *acme = c->tls.acme;
    struct acme_responder *r = calloc(1, sizeof(*r));

    err_set(err, "out of memory");
    if (r == NULL)
        return NULL;
    r->base = base;
    r->ports = calloc(acme->n_listen, sizeof(*r->ports));
    for (size_t i = 0; r->ports != NULL && i < acme->n_listen; i++) {
        struct port *p = &r->ports[r->n_ports];
        int fd = bind_socket(acme->listen[i].address, acme->listen[i].port, err);
        if (fd < 0)
            continue;
        *p = (struct port){.responder = r, .kind = acme_challenge_of_port(acme->listen[i].port)};
        p->listener = evconnlistener_new(base, on_visitor, p, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        if (p->listener == NULL)
            close(fd);
        else {
            evconnlistener_set_error_cb(p->listener, on_no_accept);
            r->n_ports++;
        }
    }
    if (r->n_ports == 0)
        acme_responder_close(&r);
    return r;
}

bool acme_responder_has(const struct acme_responder *r, enum acme_challenge c)
{
    for (size_t i = 0; i < r->n_ports; i++)
        if (r->ports[i].kind == c)
            return true;
    return false;
}

/* ---- challenges ------------------------------------------------------------------------------ */

/* RFC 8737 3: this protocol and no other. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                           unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x0a"
                                        "acme-tls/1";
    unsigned char *chosen;

    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int check_name(SSL *ssl, int *alert, void *arg)
{
    const struct acme_responder *r = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name != NULL && slice_eq_icase(slice_of(name), slice_of(r->hostname)))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *alpn_context(struct acme_responder *r, const char *key_authorization)
{
    EVP_PKEY *key = NULL;
    X509 *x = acme_alpn_certificate(r->hostname, key_authorization, &key);
    SSL_CTX *ctx = x == NULL ? NULL : SSL_CTX_new(TLS_server_method());

    if (ctx != NULL && (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
                        SSL_CTX_use_certificate(ctx, x) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    if (ctx != NULL) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
        SSL_CTX_set_tlsext_servername_callback(ctx, check_name);
        SSL_CTX_set_tlsext_servername_arg(ctx, r);
    }
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ctx;
}

int acme_responder_publish(struct acme_responder *r, enum acme_challenge c, const char *hostname, const char *token,
                           const char *key_authorization)
{
    snprintf(r->hostname, sizeof(r->hostname), "%s", hostname);
    if (c == ACME_TLS_ALPN_01) {
        SSL_CTX_free(r->alpn);
        r->alpn = alpn_context(r, key_authorization);
        return r->alpn == NULL ? -1 : 0;
    }
    strbuf_reset(&r->key_authorization);
    strbuf_add_str(&r->key_authorization, key_authorization);
    snprintf(r->token, sizeof(r->token), "%s", r->key_authorization.failed ? "" : token);
    return r->token[0] == '\0' ? -1 : 0;
}

void acme_responder_close(struct acme_responder **pr)
{
    struct acme_responder *r = *pr;

    if (r == NULL)
        return;
    *pr = NULL;
    for (struct visitor *v = r->visitors, *next; v != NULL; v = next) {
        next = v->next;
        visitor_free(v);
    }
    for (size_t i = 0; i < r->n_ports; i++)
        evconnlistener_free(r->ports[i].listener);
    free(r->ports);
    SSL_CTX_free(r->alpn);
    strbuf_free(&r->key_authorization);
    free(r);
}
