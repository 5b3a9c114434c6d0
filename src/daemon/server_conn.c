/* A submission client: a connection, and the session that speaks with it. */
#include "conn.h"
#include "internal.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STORAGE_RESERVE (64ull * 1024 * 1024) /* free space that new mail leaves untouched */

struct server_conn {
    struct daemon *daemon;
    struct server_conn *next, **prev;
    struct conn *conn;
    struct submission *session; /* NULL before TLS on a port that speaks TLS first */
    struct password_wait password;
    int64_t began_ms;
    uint16_t port;
    char ip[46];
};

static const struct submission_ops session_ops;

/* A log line of ours that has no session yet, or no longer. */
static void log_tls(const struct server_conn *sc, const char *version, const char *error)
{
    if (error != NULL)
        sc->daemon->tls_failures++;
    log_event(LOG_LEVEL_INFO, "tls", LOG_STR("result", error == NULL ? "ok" : "fail"), LOG_STR("ip", sc->ip),
              LOG_NUM("port", sc->port), LOG_STR("version", version), LOG_STR("error", error));
}

static void server_conn_free(struct server_conn *sc)
{
    *sc->prev = sc->next;
    if (sc->next != NULL)
        sc->next->prev = sc->prev;
    submission_free(&sc->session);
    conn_free(&sc->conn);
    password_leave(&sc->password);
    submission_connection_closed(sc->daemon->shared, sc->ip);
    free(sc);
}

/* ---- what the session asks for ---------------------------------------------------------------------------- */

static void op_send(void *ctx, struct slice bytes)
{
    struct server_conn *sc = ctx;
    conn_send(sc->conn, bytes);
}

static void op_close(void *ctx)
{
    struct server_conn *sc = ctx;
    conn_finish(sc->conn);
}

static void op_start_tls(void *ctx)
{
    struct server_conn *sc = ctx;
    struct ssl_st *ssl = tls_server_ssl(sc->daemon->tls_server);

    if (ssl == NULL)
        conn_finish(sc->conn);
    else
        conn_start_tls(sc->conn, ssl);
}

static void on_password(void *ctx, const struct user_password *match)
{
    struct server_conn *sc = ctx;
    submission_auth_done(sc->session, match, clock_mono_ms());
}

static int op_check_password(void *ctx, struct intake_settings *settings, struct slice login, struct slice password)
{
    struct server_conn *sc = ctx;
    if (password_ask(sc->daemon, settings, login, password, &sc->password) < 0)
        return -1;
    conn_pause(sc->conn);
    return 0;
}

static struct intake_settings *op_settings(void *ctx)
{
    struct server_conn *sc = ctx;
    return sc->daemon->settings;
}

static void op_resume(void *ctx)
{
    struct server_conn *sc = ctx;
    conn_resume(sc->conn);
}

static struct intake *op_intake_begin(void *ctx, struct intake_settings *settings, const struct intake_origin *origin,
                                      const struct intake_envelope *envelope)
{
    struct server_conn *sc = ctx;
    return intake_begin(&sc->daemon->intake, settings, origin, envelope);
}

static void op_intake_data(void *ctx, struct intake *in, struct slice bytes)
{
    (void)ctx;
    intake_data(in, bytes);
}

static void on_committed(void *ctx, const struct smtp_verdict *v)
{
    struct server_conn *sc = ctx;
    submission_commit_done(sc->session, v, clock_mono_ms());
}

static void op_intake_commit(void *ctx, struct intake *in)
{
    struct server_conn *sc = ctx;
    conn_pause(sc->conn);
    intake_commit(in, on_committed, sc);
}

static void op_intake_abort(void *ctx, struct intake **in)
{
    (void)ctx;
    intake_abort(in);
}

static void op_intake_detach(void *ctx, struct intake *in)
{
    (void)ctx;
    intake_detach(in);
}

bool server_storage_ok(const struct daemon *d)
{
    const struct config *c = d->settings->config;
    uint64_t reserve = 2 * c->limits.message_size;
    struct statvfs fs;
    char path[4096];

    snprintf(path, sizeof(path), "%s", c->queue.path);
    if (statvfs(dirname(path), &fs) < 0)
        return false;
    reserve = reserve > STORAGE_RESERVE ? reserve : STORAGE_RESERVE;
    return (fs.f_flag & ST_RDONLY) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize >= reserve;
}

static bool op_storage_ok(void *ctx)
{
    const struct server_conn *sc = ctx;
    return server_storage_ok(sc->daemon);
}

static const struct submission_ops session_ops = {
    .send = op_send,
    .close = op_close,
    .start_tls = op_start_tls,
    .check_password = op_check_password,
    .settings = op_settings,
    .resume = op_resume,
    .intake_begin = op_intake_begin,
    .intake_data = op_intake_data,
    .intake_commit = op_intake_commit,
    .intake_abort = op_intake_abort,
    .intake_detach = op_intake_detach,
    .storage_ok = op_storage_ok,
};

/* ---- what the connection tells ------------------------------------------------------------------------------- */

static void begin_session(struct server_conn *sc, const char *tls)
{
    sc->session = submission_new(sc->daemon->shared, sc->daemon->settings, &session_ops, sc, sc->ip, slice_of(tls),
                                 clock_mono_ms());
    if (sc->session == NULL)
        conn_finish(sc->conn);
}

static void log_refusal(struct daemon *d, const char *ip, const struct smtp_verdict *v)
{
    submission_count_rejected(d->shared, v->code, v->enhanced);
    log_event(LOG_LEVEL_INFO, "rejected", LOG_STR("ip", ip), LOG_NUM("code", v->code), LOG_STR("reason", v->text));
}

/* One line for a client that gets no session. */
static size_t refusal_line(char *line, size_t size, const struct smtp_verdict *v)
{
    int n = snprintf(line, size, "%d %s %s\r\n", v->code, v->enhanced, v->text);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* A port that speaks TLS first: only now can a client read why it is locked out. */
static void begin_session_in_tls(struct server_conn *sc, const char *version)
{
    struct smtp_verdict v = {0};
    char line[sizeof(v.text) + 32];

    if (submission_address_admitted(sc->daemon->shared, sc->daemon->settings->config, sc->ip, clock_mono_ms(), &v) ==
        0) {
        begin_session(sc, version);
        return;
    }
    log_refusal(sc->daemon, sc->ip, &v);
    conn_send(sc->conn, slice_from(line, refusal_line(line, sizeof(line), &v)));
    conn_finish(sc->conn);
}

static void on_tls_ready(struct server_conn *sc)
{
    const char *version = tls_version(conn_tls(sc->conn));

    log_tls(sc, version, NULL);
    if (sc->session == NULL)
        begin_session_in_tls(sc, version);
    else
        submission_tls_done(sc->session, version, clock_mono_ms());
}

static void on_closed(struct server_conn *sc, const char *reason)
{
    const char *user = sc->session == NULL ? NULL : submission_user(sc->session);
    unsigned messages = sc->session == NULL ? 0 : submission_messages(sc->session);

    log_event(LOG_LEVEL_INFO, "disconnect", LOG_STR("ip", sc->ip), LOG_STR("user", user), LOG_NUM("messages", messages),
              LOG_MSEC("duration", clock_mono_ms() - sc->began_ms), LOG_STR("reason", *reason == '\0' ? NULL : reason));
    struct daemon *d = sc->daemon;
    server_conn_free(sc);
    daemon_check_stopped(d);
}

static size_t on_data(void *owner, struct slice bytes)
{
    struct server_conn *sc = owner;

    if (sc->session == NULL)
        return bytes.n;
    return submission_feed(sc->session, bytes, clock_mono_ms());
}

static void on_event(void *owner, enum conn_event event, const char *reason)
{
    struct server_conn *sc = owner;

    switch (event) {
    case CONN_TLS_READY:
        on_tls_ready(sc);
        break;
    case CONN_TLS_FAILED:
        log_tls(sc, NULL, reason);
        conn_finish(sc->conn);
        break;
    case CONN_TIMEOUT:
        submission_timeout(sc->session, clock_mono_ms());
        break;
    case CONN_CLOSED:
        on_closed(sc, reason);
        break;
    case CONN_CONNECTED:
    case CONN_DRAINED:
        break;
    }
}

static int64_t on_deadline(void *owner)
{
    const struct server_conn *sc = owner;
    return sc->session == NULL ? 0 : submission_deadline(sc->session);
}

static const struct conn_owner conn_calls = {.data = on_data, .event = on_event, .deadline = on_deadline};

/* ---- beginning and end ----------------------------------------------------------------------- */

/* Over a limit.  The reply goes in the clear where the port begins so; nobody waits for it to be read.  A flood gets no
 * handshake. */
static void refuse(struct daemon *d, int fd, const char *ip, enum config_tls_mode tls, const struct smtp_verdict *v)
{
    char line[sizeof(v->text) + 32];

    log_refusal(d, ip, v);
    if (tls == CONFIG_TLS_STARTTLS) {
        size_t n = refusal_line(line, sizeof(line), v);
        (void)!send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    close(fd);
}

/* A lock-out on a port that speaks TLS first waits for the handshake: begin_session_in_tls. */
static int admit(struct daemon *d, const char *ip, enum config_tls_mode tls, int64_t now, struct smtp_verdict *v)
{
    const struct config *c = d->settings->config;
    if (tls == CONFIG_TLS_STARTTLS && submission_address_admitted(d->shared, c, ip, now, v) < 0)
        return -1;
    return submission_connection_opened(d->shared, c, ip, now, v);
}

void server_conn_accept(struct daemon *d, int fd, const char *ip, uint16_t port, enum config_tls_mode tls)
{
    int64_t now = clock_mono_ms();
    struct smtp_verdict v = {0};

    if (admit(d, ip, tls, now, &v) < 0) {
        refuse(d, fd, ip, tls, &v);
        return;
    }
    struct server_conn *sc = calloc(1, sizeof(*sc));
    if (sc == NULL)
        close(fd);
    if (sc == NULL || (sc->conn = conn_accept(d->base, fd, &conn_calls, sc)) == NULL) {
        log_event(LOG_LEVEL_ERROR, "accept", LOG_STR("ip", ip), LOG_STR("error", "out of memory"));
        submission_connection_closed(d->shared, ip);
        free(sc);
        return;
    }
    sc->daemon = d;
    sc->password = (struct password_wait){.done = on_password, .ctx = sc};
    sc->began_ms = now;
    sc->port = port;
    snprintf(sc->ip, sizeof(sc->ip), "%s", ip);
    sc->next = d->server_conns;
    sc->prev = &d->server_conns;
    if (sc->next != NULL)
        sc->next->prev = &sc->next;
    d->server_conns = sc;
    log_event(LOG_LEVEL_INFO, "connect", LOG_STR("ip", ip), LOG_NUM("port", port));
    if (tls == CONFIG_TLS_IMPLICIT)
        op_start_tls(sc);
    else
        begin_session(sc, NULL);
}

void server_conns_shutdown(struct daemon *d)
{
    int64_t now = clock_mono_ms();

    for (struct server_conn *sc = d->server_conns; sc != NULL; sc = sc->next) {
        if (sc->session == NULL)
            conn_finish(sc->conn);
        else
            submission_shutdown(sc->session, now);
    }
}

void server_conns_free(struct daemon *d)
{
    for (struct server_conn *sc = d->server_conns, *next; sc != NULL; sc = next) {
        next = sc->next;
        server_conn_free(sc);
    }
}
