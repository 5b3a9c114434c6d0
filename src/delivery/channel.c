/* delivery/channel.c - one connection: a link, its session, and the message it carries at the time. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { PASSWORD_MAX = 1024 };

const char *channel_tls(const struct channel *ch)
{
    const char *version = delivery_session_tls(ch->session);
    return version[0] == '\0' ? "none" : version;
}

void channel_poke(struct channel *ch)
{
    if (!ch->poked) {
        ch->poked = true;
        TAILQ_INSERT_TAIL(&ch->d->poked_channels, ch, poke);
    }
    delivery_poke(ch->d);
}

/* ---- what the session says
 * ------------------------------------------------------------------------------------------------ */

static void on_send(void *ctx, struct slice bytes)
{
    struct channel *ch = ctx;
    ch->d->deps.net->send(ch->d->deps.net->ctx, ch->link, bytes);
}

static void on_start_tls(void *ctx)
{
    struct channel *ch = ctx;
    ch->d->deps.net->start_tls(ch->d->deps.net->ctx, ch->link);
}

static void no_more_starting(struct channel *ch)
{
    if (!ch->was_ready)
        ch->dest->n_starting--;
    ch->was_ready = true;
}

static void on_ready(void *ctx)
{
    struct channel *ch = ctx;
    if (ch->was_ready)
        ch->messages++;
    else if (ch->target_number == ch->dest->target_number)
        ch->dest->target_proven = true;
    no_more_starting(ch);
    destination_poke(ch->dest);
    channel_poke(ch);
}

/* For those who wait, whose message never got as far: whose words these are. */
static void blame_target(struct channel *ch, const struct smtp_verdict *v)
{
    struct smtp_verdict w;
    const char *said = delivery_session_own_words(ch->session) ? "" : " said";
    smtp_verdict_set(&w, v->code, v->enhanced, "%s [%s]%s: %s", ch->target.host, ch->target.address, said, v->text);
    destination_target_failed(ch->dest, ch->target_number, &w);
}

/* A session that carried no message speaks against its host, and one that ended under its first envelope does.  What
 * else went wrong with a message is that message's alone: its verdict must not fall on those that wait behind it. */
static void on_failed(void *ctx, const struct smtp_verdict *v)
{
    struct channel *ch = ctx;
    enum delivery_session_state state = delivery_session_state(ch->session);
    bool handshake = state == DELIVERY_STARTTLS || state == DELIVERY_TLS;
    if (handshake && !ch->policy.required && ch->target_number == ch->dest->target_number)
        ch->dest->target_clear = true; /* RFC 7435: the same host once more, without */
    else if (!ch->used || ch->blamed)
        blame_target(ch, v);
}

static void on_close(void *ctx)
{
    struct channel *ch = ctx;
    struct delivery_link *link = ch->link;
    ch->link = NULL;
    ch->d->deps.net->close(ch->d->deps.net->ctx, link);
    no_more_starting(ch);
    if (ch->job != NULL)
        job_channel_lost(ch->job);
    channel_poke(ch);
}

static void on_want_content(void *ctx)
{
    job_want_content(((struct channel *)ctx)->job);
}

static void on_result(void *ctx, size_t index, const struct smtp_verdict *v)
{
    job_result(((struct channel *)ctx)->job, index, v);
}

static void on_finished(void *ctx)
{
    job_transaction_done(((struct channel *)ctx)->job);
}

static const struct delivery_session_ops session_ops = {
    .send = on_send,
    .start_tls = on_start_tls,
    .close = on_close,
    .ready = on_ready,
    .failed = on_failed,
    .want_content = on_want_content,
    .result = on_result,
    .finished = on_finished,
};

/* ---- life cycle
 * --------------------------------------------------------------------------------------------------------------- */

/* The first line of the file. */
static int read_password(const char *path, struct strbuf *out, struct err *err)
{
    out->max = PASSWORD_MAX;
    if (file_read(path, PASSWORD_MAX, true, out, err) < 0)
        return -1;
    struct slice line;
    slice_cut(strbuf_slice(out), '\n', &line);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    strbuf_truncate(out, line.n);
    return line.n == 0 ? err_set(err, "%s: no password in it", path) : 0;
}

static int make_session(struct channel *ch, struct err *err)
{
    const struct config_route *route = ch->target.override;
    struct strbuf password = STRBUF_INIT;
    struct delivery_session_config cfg = {.hostname = ch->dest->settings->config->hostname,
                                          .tls_required = ch->policy.required,
                                          .tls_disabled = ch->dest->target_clear};
    if (route != NULL && route->user[0] != '\0') {
        if (read_password(route->password_file, &password, err) < 0) {
            strbuf_free(&password);
            return -1;
        }
        cfg.user = route->user;
        cfg.password = strbuf_str(&password);
    }
    ch->session = delivery_session_new(&cfg, &session_ops, ch, clock_mono_ms());
    if (password.p != NULL)
        wipe(password.p, password.n);
    strbuf_free(&password);
    return ch->session == NULL ? err_set(err, "out of memory") : 0;
}

/* An address literal stands in no certificate as a name. */
static const char *tls_host(const struct route_target *target)
{
    return target->host[0] == '[' ? target->address : target->host;
}

static int begin(struct channel *ch, struct smtp_verdict *v)
{
    const struct delivery_net *net = ch->d->deps.net;
    const struct config *c = ch->dest->settings->config;
    struct err err;
    if (make_session(ch, &err) < 0)
        return smtp_verdict_set(v, 451, "4.3.5", "%s", err.text);
    ch->link = net->connect(net->ctx, ch->target.address, ch->target.port, tls_host(&ch->target), ch->policy.verify,
                            c->delivery.connect_timeout_s * 1000, ch->session, &err);
    if (ch->link == NULL)
        return smtp_verdict_set(v, 451, "4.4.1", "%s [%s]: %s", ch->target.host, ch->target.address, err.text);
    return 0;
}

int channel_open(struct destination *dest)
{
    struct smtp_verdict v;
    struct channel *ch = calloc(1, sizeof(*ch));
    if (ch == NULL) {
        smtp_verdict_set(&v, 451, "4.3.0", "out of memory");
        destination_target_failed(dest, dest->target_number, &v);
        return -1;
    }
    ch->d = dest->d;
    ch->dest = dest;
    ch->target = dest->target;
    ch->target_number = dest->target_number;
    ch->policy = tls_policy_for(dest->settings->config, &ch->target);
    if (begin(ch, &v) < 0) {
        delivery_session_free(&ch->session);
        free(ch);
        destination_target_failed(dest, dest->target_number, &v);
        return -1;
    }
    TAILQ_INSERT_TAIL(&dest->d->channels, ch, all);
    TAILQ_INSERT_TAIL(&dest->channels, ch, mine);
    dest->d->n_channels++;
    dest->n_channels++;
    dest->n_starting++;
    return 0;
}

bool channel_is_idle(const struct channel *ch)
{
    return ch->job == NULL && ch->link != NULL && delivery_session_state(ch->session) == DELIVERY_IDLE;
}

void channel_yield(struct channel *ch)
{
    ch->yielding = true;
    ch->d->n_yielding++;
    delivery_session_quit(ch->session, clock_mono_ms());
}

/* Has it sent as many as we, or its server (RFC 9422), would have on one connection? */
static bool worn_out(const struct channel *ch)
{
    unsigned max = ch->dest->settings->config->delivery.messages_per_connection;
    unsigned theirs = delivery_session_extensions(ch->session)->mailmax;
    return (max > 0 && ch->messages >= max) || (theirs > 0 && ch->messages >= theirs);
}

void channel_step(struct channel *ch)
{
    if (ch->link == NULL) {
        channel_free(&ch);
        return;
    }
    if (ch->job != NULL)
        return;
    bool idle = channel_is_idle(ch);
    struct job *job = NULL;
    if (ch->d->stopping || (idle && worn_out(ch)))
        delivery_session_quit(ch->session, clock_mono_ms());
    else if (idle && budget_should_yield(ch))
        channel_yield(ch);
    else if (idle)
        job = destination_take(ch->dest);
    if (job != NULL)
        job_start(job, ch);
}

void channel_free(struct channel **pch)
{
    struct channel *ch = *pch;
    if (ch == NULL)
        return;
    *pch = NULL;
    if (ch->link != NULL)
        ch->d->deps.net->close(ch->d->deps.net->ctx, ch->link);
    if (ch->job != NULL)
        ch->job->channel = NULL;
    if (ch->poked)
        TAILQ_REMOVE(&ch->d->poked_channels, ch, poke);
    TAILQ_REMOVE(&ch->d->channels, ch, all);
    TAILQ_REMOVE(&ch->dest->channels, ch, mine);
    ch->d->n_channels--;
    ch->d->n_yielding -= ch->yielding;
    ch->dest->n_channels--;
    no_more_starting(ch);
    destination_poke(ch->dest);
    delivery_session_free(&ch->session);
    free(ch);
}
