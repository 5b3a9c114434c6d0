/* Connections for delivery: struct delivery_net over conn.h.
 *
 * A link belongs to the delivery from connect() to close().  A connection that ends by itself is told to the session,
 * and the link stays, dead, until delivery closes it. */
#include "conn.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct delivery_link {
    struct daemon *daemon;
    struct delivery_link *next, **prev;
    struct conn *conn;                /* NULL: it has ended */
    struct delivery_session *session; /* NULL: delivery has closed the link */
    char *tls_host;
    bool verify;
    unsigned busy; /* calls into delivery on the stack */
    void (*drained)(void *arg);
    void *drained_arg;
    char address[46];
};

static void link_free(struct delivery_link *l)
{
    *l->prev = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    conn_free(&l->conn);
    free(l->tls_host);
    free(l);
}

/* Neither side needs it any more? */
static void link_leave(struct delivery_link *l)
{
    if (--l->busy > 0)
        return;
    if (l->session == NULL && l->conn == NULL)
        link_free(l);
}

static void log_tls(const struct delivery_link *l, const char *error)
{
    const struct ssl_st *ssl = conn_tls(l->conn);

    if (error != NULL)
        log_event(LOG_LEVEL_INFO, "tls", LOG_STR("result", "fail"), LOG_STR("mx", l->tls_host),
                  LOG_STR("ip", l->address), LOG_STR("error", error));
    else if (log_enabled(LOG_LEVEL_DEBUG))
        log_event(LOG_LEVEL_DEBUG, "tls", LOG_STR("result", "ok"), LOG_STR("mx", l->tls_host),
                  LOG_STR("ip", l->address), LOG_STR("version", tls_version(ssl)),
                  LOG_STR("verified", tls_client_verified(ssl, l->tls_host) ? "yes" : "no"));
}

/* ---- what the connection tells --------------------------------------------------------------------------- */

static size_t on_data(void *owner, struct slice bytes)
{
    struct delivery_link *l = owner;
    size_t taken = bytes.n;

    l->busy++;
    if (l->session != NULL)
        taken = delivery_session_feed(l->session, bytes, clock_mono_ms());
    link_leave(l);
    return taken;
}

static void on_closed(struct delivery_link *l, const char *reason)
{
    conn_free(&l->conn);
    if (l->session != NULL)
        delivery_session_lost(l->session, *reason == '\0' ? "connection closed" : reason, clock_mono_ms());
}

static void on_drained(struct delivery_link *l)
{
    void (*drained)(void *arg) = l->drained;

    l->drained = NULL;
    if (drained != NULL)
        drained(l->drained_arg);
}

static void on_event(void *owner, enum conn_event event, const char *reason)
{
    struct delivery_link *l = owner;
    int64_t now = clock_mono_ms();

    l->busy++;
    if (event == CONN_CLOSED)
        on_closed(l, reason);
    else if (l->session == NULL)
        conn_finish(l->conn);
    else if (event == CONN_CONNECTED)
        delivery_session_connected(l->session, now);
    else if (event == CONN_TLS_READY) {
        log_tls(l, NULL);
        delivery_session_tls_done(l->session, true, tls_version(conn_tls(l->conn)), now);
    } else if (event == CONN_TLS_FAILED) {
        log_tls(l, reason);
        delivery_session_tls_done(l->session, false, reason, now);
    } else if (event == CONN_TIMEOUT)
        delivery_session_timeout(l->session, now);
    else if (event == CONN_DRAINED)
        on_drained(l);
    link_leave(l);
}

static int64_t on_deadline(void *owner)
{
    const struct delivery_link *l = owner;
    return l->session == NULL ? 0 : delivery_session_deadline(l->session);
}

static const struct conn_owner conn_calls = {.data = on_data, .event = on_event, .deadline = on_deadline};

/* ---- struct delivery_net -------------------------------------------------------------------------------------- */

/* The source address of this family, if one is configured. */
static const struct sockaddr *source_address(const struct config *c, sa_family_t family, struct sockaddr_storage *sa)
{
    for (size_t i = 0; i < c->delivery.n_bind; i++)
        if (address_parse(c->delivery.bind[i], 0, sa) == 0 && sa->ss_family == family)
            return (const struct sockaddr *)sa;
    return NULL;
}

static struct delivery_link *net_connect(void *ctx, const char *address, uint16_t port, const char *tls_host,
                                         bool verify, int64_t timeout_ms, struct delivery_session *session,
                                         struct err *err)
{
    struct daemon *d = ctx;
    struct sockaddr_storage to, from;

    if (address_parse(address, port, &to) < 0) {
        err_set(err, "%s is not an address", address);
        return NULL;
    }
    struct delivery_link *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->tls_host = strdup(tls_host)) == NULL) {
        free(l);
        err_set(err, "out of memory");
        return NULL;
    }
    l->conn = conn_connect(d->base, (const struct sockaddr *)&to,
                           source_address(d->settings->config, to.ss_family, &from), timeout_ms, &conn_calls, l, err);
    if (l->conn == NULL) {
        free(l->tls_host);
        free(l);
        return NULL;
    }
    l->daemon = d;
    l->session = session;
    l->verify = verify;
    snprintf(l->address, sizeof(l->address), "%s", address);
    l->next = d->client_links;
    l->prev = &d->client_links;
    if (l->next != NULL)
        l->next->prev = &l->next;
    d->client_links = l;
    return l;
}

static void net_send(void *ctx, struct delivery_link *l, struct slice bytes)
{
    (void)ctx;
    if (l->conn != NULL)
        conn_send(l->conn, bytes);
}

static void net_start_tls(void *ctx, struct delivery_link *l)
{
    struct daemon *d = ctx;

    if (l->conn == NULL)
        return;
    struct ssl_st *ssl = tls_client_ssl(d->tls_client, l->tls_host, l->verify);
    if (ssl == NULL)
        conn_finish(l->conn); /* out of memory: the session learns that the connection is lost */
    else
        conn_start_tls(l->conn, ssl);
}

static void net_close(void *ctx, struct delivery_link *l)
{
    (void)ctx;
    l->session = NULL;
    l->drained = NULL;
    if (l->conn != NULL)
        conn_finish(l->conn);
    else if (l->busy == 0)
        link_free(l);
}

static void net_on_drained(void *ctx, struct delivery_link *l, void (*drained)(void *arg), void *arg)
{
    (void)ctx;
    l->drained = drained;
    l->drained_arg = arg;
    if (l->conn != NULL)
        conn_want_drained(l->conn);
}

static bool net_is_own_address(void *ctx, const char *address)
{
    return listeners_own_address(ctx, address);
}

void client_links_init(struct daemon *d)
{
    d->net = (struct delivery_net){
        .connect = net_connect,
        .send = net_send,
        .start_tls = net_start_tls,
        .close = net_close,
        .on_drained = net_on_drained,
        .is_own_address = net_is_own_address,
        .ctx = d,
    };
}

void client_links_free(struct daemon *d)
{
    for (struct delivery_link *l = d->client_links, *next; l != NULL; l = next) {
        next = l->next;
        link_free(l);
    }
}
