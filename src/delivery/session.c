/* delivery/session.c - one SMTP session as a client: the machine itself.
 *
 * Entering a state sends its command and sets its timeout; the reply moves on.  The table below is the whole dialogue;
 * what each line says stands in session_hello.c and session_send.c. */
#include "session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NEVER = 0, QUIT_S = 5, IDLE_S = 2 };

#define IN(state) (1U << DELIVERY_##state)
#define ENDS      (IN(QUIT) | IN(DONE))

/* RFC 5321 4.5.3.2 for the timeouts; those it does not name are ours. */
static const struct step {
    const char *name;
    void (*enter)(struct delivery_session *s);
    void (*on_reply)(struct delivery_session *s, const struct smtp_verdict *v);
    int timeout_s;
    unsigned next; /* the states that may follow */
} steps[] = {
    [DELIVERY_CONNECTING] = {"connection", NULL, session_bad_reply, NEVER, IN(BANNER) | IN(DONE)},
    [DELIVERY_BANNER] = {"greeting", NULL, hello_on_banner, 300, IN(EHLO) | ENDS},
    [DELIVERY_EHLO] = {"EHLO", hello_send_ehlo, hello_on_ehlo, 300,
                       IN(HELO) | IN(STARTTLS) | IN(AUTH) | IN(IDLE) | ENDS},
    [DELIVERY_HELO] = {"HELO", hello_send_helo, hello_on_helo, 300, IN(IDLE) | ENDS},
    [DELIVERY_STARTTLS] = {"STARTTLS", hello_send_starttls, hello_on_starttls, 120, IN(TLS) | IN(IDLE) | ENDS},
    [DELIVERY_TLS] = {"TLS handshake", hello_start_tls, session_bad_reply, 60, IN(EHLO_TLS) | ENDS},
    [DELIVERY_EHLO_TLS] = {"EHLO", hello_send_ehlo, hello_on_ehlo_tls, 300, IN(AUTH) | IN(IDLE) | ENDS},
    [DELIVERY_AUTH] = {"AUTH", hello_send_auth, hello_on_auth, 120, IN(IDLE) | ENDS},
    [DELIVERY_IDLE] = {"next message", NULL, session_bad_reply, IDLE_S, IN(ENVELOPE) | ENDS},
    [DELIVERY_ENVELOPE] = {"envelope", send_envelope, send_on_envelope, 300, IN(DATA) | IN(RSET) | IN(IDLE) | ENDS},
    [DELIVERY_DATA] = {"DATA", send_data, send_on_data, 120, IN(BODY) | IN(DOT) | IN(RSET) | IN(IDLE) | ENDS},
    [DELIVERY_BODY] = {"message", send_body, send_on_early_reply, 180, IN(DOT) | ENDS},
    [DELIVERY_DOT] = {"end of the message", send_dot, send_on_dot, 600, IN(IDLE) | ENDS},
    [DELIVERY_RSET] = {"RSET", send_rset, send_on_rset, 120, IN(IDLE) | ENDS},
    [DELIVERY_QUIT] = {"QUIT", NULL, NULL, QUIT_S, IN(DONE)},
    [DELIVERY_DONE] = {"end", NULL, NULL, NEVER, 0},
};

/* ---- moving -------------------------------------------------------------------------------------------------- */

void session_restart_timer(struct delivery_session *s)
{
    int timeout_s = steps[s->state].timeout_s;
    s->deadline_ms = timeout_s == NEVER ? INT64_MAX : s->now_ms + timeout_s * INT64_C(1000);
    if (s->deadline_ms > s->limit_ms)
        s->deadline_ms = s->limit_ms;
}

void session_limit(struct delivery_session *s, int64_t ms)
{
    s->limit_ms = s->now_ms + ms;
    session_restart_timer(s);
}

void session_enter(struct delivery_session *s, enum delivery_session_state to)
{
    assert(steps[s->state].next & (1U << to));
    s->state = to;
    s->limit_ms = INT64_MAX;
    session_restart_timer(s);
    if (steps[to].enter != NULL)
        steps[to].enter(s);
    else if (to == DELIVERY_IDLE)
        s->ops->ready(s->ctx);
    else if (to == DELIVERY_DONE)
        s->ops->close(s->ctx);
}

void session_command(struct delivery_session *s, struct slice line)
{
    s->ops->send(s->ctx, line);
}

void session_commandf(struct delivery_session *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    assert(n > 0 && (size_t)n < sizeof(line));
    s->ops->send(s->ctx, slice_from(line, (size_t)n));
}

void session_fail(struct delivery_session *s, const struct smtp_verdict *v, bool own_words)
{
    if (s->m != NULL)
        send_conclude(s, v, own_words);
    if (s->state == DELIVERY_DONE)
        return;
    s->own_words = own_words;
    if (!s->quitting)
        s->ops->failed(s->ctx, v);
    session_enter(s, DELIVERY_DONE);
}

void session_give_up(struct delivery_session *s, const char *enhanced, const char *format, ...)
{
    char text[400];
    struct smtp_verdict v;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    smtp_verdict_set(&v, 451, enhanced, "%s", text);
    session_fail(s, &v, true);
}

void session_bad_reply(struct delivery_session *s, const struct smtp_verdict *v)
{
    session_give_up(s, "4.5.0", "unexpected reply at %s: %d %s", steps[s->state].name, v->code, v->text);
}

void session_refused(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (v->code >= 400)
        session_fail(s, v, false);
    else
        session_bad_reply(s, v);
}

/* ---- what comes in ------------------------------------------------------------------------------------------- */

static void on_reply(struct delivery_session *s)
{
    struct smtp_verdict v;
    smtp_reply_verdict(&s->reply, &v);
    if (s->state == DELIVERY_QUIT)
        session_enter(s, DELIVERY_DONE);
    else if (v.code == 421 && s->state != DELIVERY_CONNECTING) /* RFC 5321 3.8: at any point, and the server closes */
        session_fail(s, &v, false);
    else
        steps[s->state].on_reply(s, &v);
}

static void on_line(struct delivery_session *s, struct slice line)
{
    int r = smtp_reply_line(&s->reply, line);
    if (r > 0)
        on_reply(s);
    else if (r < 0)
        session_give_up(s, "4.5.0", "what the server sent at %s is no SMTP reply", steps[s->state].name);
}

/* A line ends with LF, with or without a CR before it: servers in use send bare ones, and in a reply nothing hangs on
 * it. */
size_t delivery_session_feed(struct delivery_session *s, struct slice bytes, int64_t now_ms)
{
    s->now_ms = now_ms;
    size_t done = 0;
    while (s->state != DELIVERY_DONE && done < bytes.n) {
        struct slice rest = slice_skip(bytes, done);
        if (s->state == DELIVERY_TLS || s->state == DELIVERY_CONNECTING) {
            session_give_up(s, "4.5.0", "the server sent octets in clear before the %s was done", steps[s->state].name);
            break;
        }
        size_t n = slice_find(rest, '\n');
        if (n > SMTP_REPLY_LINE_MAX) {
            session_give_up(s, "4.5.0", "a reply line longer than %d octets", SMTP_REPLY_LINE_MAX);
            break;
        }
        if (n == rest.n)
            return done;
        done += n + 1;
        s->unread = bytes.n - done;
        on_line(s, slice_sub(rest, 0, n > 0 && rest.p[n - 1] == '\r' ? n - 1 : n));
    }
    return bytes.n;
}

void delivery_session_connected(struct delivery_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == DELIVERY_CONNECTING)
        session_enter(s, DELIVERY_BANNER);
}

void delivery_session_tls_done(struct delivery_session *s, bool ok, const char *version_or_reason, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state != DELIVERY_TLS)
        return;
    if (!ok) {
        session_give_up(s, "4.7.5", "TLS handshake failed: %s", version_or_reason);
        return;
    }
    snprintf(s->tls_version, sizeof(s->tls_version), "%s", version_or_reason);
    /* RFC 3207 4.2: what was learned before TLS is forgotten, and EHLO comes again. */
    s->ext = (struct smtp_extensions){0};
    session_enter(s, DELIVERY_EHLO_TLS);
}

void delivery_session_lost(struct delivery_session *s, const char *reason, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == DELIVERY_DONE)
        return;
    if (s->state == DELIVERY_QUIT)
        session_enter(s, DELIVERY_DONE);
    else if (s->state == DELIVERY_CONNECTING)
        session_give_up(s, "4.4.1", "%s", reason);
    else if (s->state == DELIVERY_DOT)
        /* RFC 1047: it may have been taken.  A second copy is better than none. */
        session_give_up(s, "4.4.2", "connection lost before the reply to the end of the message: %s", reason);
    else
        session_give_up(s, "4.4.2", "connection lost at %s: %s", steps[s->state].name, reason);
}

void delivery_session_timeout(struct delivery_session *s, int64_t now_ms)
{
    if (now_ms < s->deadline_ms)
        return;
    s->now_ms = now_ms;
    if (s->state == DELIVERY_IDLE)
        delivery_session_quit(s, now_ms);
    else if (s->state == DELIVERY_QUIT)
        session_enter(s, DELIVERY_DONE);
    else if (now_ms >= s->limit_ms)
        session_give_up(s, "4.4.2", "the server was too slow: %s was not done in time", steps[s->state].name);
    else
        session_give_up(s, "4.4.2", "timed out at %s after %d seconds", steps[s->state].name,
                        steps[s->state].timeout_s);
}

void delivery_session_quit(struct delivery_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->quitting = true;
    if (s->state == DELIVERY_IDLE) {
        session_enter(s, DELIVERY_QUIT);
        session_command(s, SLICE("QUIT\r\n"));
    } else if (s->state != DELIVERY_QUIT && s->state != DELIVERY_DONE) {
        session_give_up(s, "4.3.2", "delivery was stopped");
    }
}

/* ---- life cycle ---------------------------------------------------------------------------------------------- */

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

struct delivery_session *delivery_session_new(const struct delivery_session_config *cfg,
                                              const struct delivery_session_ops *ops, void *ctx, int64_t now_ms)
{
    struct delivery_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->ops = ops;
    s->ctx = ctx;
    s->now_ms = now_ms;
    s->limit_ms = s->deadline_ms = INT64_MAX; /* whoever makes the connection knows how long it may take */
    s->tls_required = cfg->tls_required || cfg->user != NULL;
    s->tls_disabled = cfg->tls_disabled;
    s->hostname = copy_or_null(cfg->hostname);
    s->user = copy_or_null(cfg->user);
    s->password = copy_or_null(cfg->password);
    smtp_reply_init(&s->reply);
    if (s->hostname == NULL || (cfg->user != NULL && (s->user == NULL || s->password == NULL)))
        delivery_session_free(&s);
    return s;
}

enum delivery_session_state delivery_session_state(const struct delivery_session *s)
{
    return s->state;
}

int64_t delivery_session_deadline(const struct delivery_session *s)
{
    return s->deadline_ms;
}

const struct smtp_extensions *delivery_session_extensions(const struct delivery_session *s)
{
    return &s->ext;
}

const char *delivery_session_tls(const struct delivery_session *s)
{
    return s->tls_version;
}

bool delivery_session_own_words(const struct delivery_session *s)
{
    return s->own_words;
}

void delivery_session_free(struct delivery_session **ps)
{
    struct delivery_session *s = *ps;
    if (s == NULL)
        return;
    *ps = NULL;
    if (s->password != NULL)
        wipe(s->password, strlen(s->password));
    free(s->password);
    free(s->user);
    free(s->hostname);
    smtp_reply_free(&s->reply);
    free(s);
}
