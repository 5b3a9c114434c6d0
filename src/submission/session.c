/* submission/session.c - one session: its life, its input, its deadlines and its replies.  commands.c tells what
 * it understands. */
#include "internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
    [SESSION_GREETED] = "greeted", [SESSION_READY] = "ready",   [SESSION_MAIL] = "mail",
    [SESSION_RCPT] = "rcpt",       [SESSION_BDAT] = "bdat",     [SESSION_CHUNK] = "chunk",
    [SESSION_DATA] = "data",       [SESSION_COMMIT] = "commit", [SESSION_AUTH] = "auth",
    [SESSION_AUTH_WAIT] = "wait",  [SESSION_STARTTLS] = "tls",  [SESSION_CLOSED] = "closed",
};

/* What holds in each state: see enum session_state. */
static void check(const struct submission *s)
{
    const unsigned with_txn = IN(MAIL) | IN(RCPT) | IN(BDAT) | IN(DATA) | IN(COMMIT);
    const unsigned with_intake = IN(BDAT) | IN(DATA) | IN(COMMIT);
    if (s->state == SESSION_CHUNK)
        return; /* as it was before the chunk */
    assert((s->txn != NULL) == ((with_txn & 1u << s->state) != 0));
    assert((s->intake != NULL) == ((with_intake & 1u << s->state) != 0));
    (void)with_txn;
    (void)with_intake;
}

void submission_enter(struct submission *s, enum session_state to)
{
    if (s->state == SESSION_CLOSED)
        return;
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_event(LOG_LEVEL_DEBUG, "state", LOG_STR("ip", s->ip), LOG_STR("enter", state_names[to]));
    s->state = to;
    s->command_since = s->now;
    check(s);
}

const struct config *session_config(const struct submission *s)
{
    return s->settings->config;
}

/* ---- replies ------------------------------------------------------------------------------------------- */

/* Does this reply say that the client broke the protocol?  A refusal of what it asked for does not. */
static bool is_protocol_error(int code)
{
    return (code >= 500 && code <= 504) || code == 530 || code == 555;
}

/* RFC 2034 4: an enhanced code with every 2xx, 4xx and 5xx. */
static void send_reply(struct submission *s, int code, const char *enhanced, const char *text)
{
    char line[560]; /* the parts of a verdict and their separators fit */
    int n = snprintf(line, sizeof(line), "%d %s%s%s\r\n", code, enhanced, *enhanced == '\0' ? "" : " ", text);
    assert(n > 0 && (size_t)n < sizeof(line));
    if (is_protocol_error(code))
        s->errors++;
    s->command_since = s->now;
    s->ops->send(s->ctx, slice_from(line, (size_t)n));
}

void session_reply(struct submission *s, int code, const char *enhanced, const char *text)
{
    /* A wrong password has its own event. */
    if (code >= 400 && code != 535) {
        submission_count_rejected(s->shared, code, enhanced);
        log_event(LOG_LEVEL_INFO, "rejected", LOG_STR("ip", s->ip), LOG_STR("user", submission_user(s)),
                  LOG_NUM("code", code), LOG_STR("reason", text));
    }
    send_reply(s, code, enhanced, text);
}

void session_reply_verdict(struct submission *s, const struct smtp_verdict *v)
{
    session_reply(s, v->code, v->enhanced, v->text);
}

void session_close(struct submission *s)
{
    if (s->state == SESSION_CLOSED)
        return;
    assert(s->state != SESSION_COMMIT);
    txn_end(s, false);
    submission_enter(s, SESSION_CLOSED);
    s->ops->close(s->ctx);
}

void session_hang_up(struct submission *s, int code, const char *enhanced, const char *text)
{
    if (s->state == SESSION_CLOSED)
        return;
    /* Within a handshake there is no channel for a reply. */
    if (s->state != SESSION_STARTTLS)
        session_reply(s, code, enhanced, text);
    session_close(s);
}

/* After each step: is it time to go? */
static void settle(struct submission *s)
{
    if (s->state == SESSION_COMMIT || s->state == SESSION_AUTH_WAIT)
        return;
    if (s->errors >= SESSION_ERRORS_MAX)
        session_hang_up(s, 421, "4.7.0", "Too many errors");
    else if (s->shutting_down && s->txn == NULL)
        session_hang_up(s, 421, "4.3.2", "Shutting down, try again soon");
}

/* A password that was replaced by another of its label is gone as well. */
bool session_renew(struct submission *s)
{
    struct intake_settings *newest = s->ops->settings(s->ctx);
    assert(s->txn == NULL);
    if (newest == s->settings)
        return true;
    if (s->user != NULL) {
        const struct user *user = users_find(newest->users, slice_of(s->user->name));
        const struct user_password *password = user == NULL ? NULL : users_find_password(user, s->password->label);
        if (password == NULL || strcmp(password->hash, s->password->hash) != 0)
            return false;
        s->user = user;
        s->password = password;
    }
    intake_settings_ref(newest);
    intake_settings_unref(&s->settings);
    s->settings = newest;
    return true;
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

/* The rest of a line that was refused already, up to its CRLF.  A CR at the end may be half of it: it stays. */
static size_t skip_line(struct submission *s, struct slice bytes)
{
    size_t at = slice_find_slice(bytes, SLICE("\r\n"));
    if (at < bytes.n) {
        s->skipping = false;
        return at + 2;
    }
    return bytes.p[bytes.n - 1] == '\r' ? bytes.n - 1 : bytes.n;
}

/* One refusal for the whole line; what follows its CRLF is read again. */
static void refuse_line(struct submission *s, const char *enhanced, const char *text)
{
    s->skipping = true;
    s->scanned = 0;
    session_reply(s, 500, enhanced, text);
    if (s->state == SESSION_AUTH)
        auth_drop(s);
}

/* The first octet of a ClientHello (RFC 8446 5.1): a client that was set up for the other port need not wait for us. */
enum { TLS_HANDSHAKE = 0x16 };

/* Only CRLF ends a line (RFC 5321 2.3.8): a bare LF is refused as soon as it is seen, and never ends one. */
static size_t line_feed(struct submission *s, struct slice bytes)
{
    if (s->tls[0] == '\0' && bytes.p[0] == TLS_HANDSHAKE) {
        session_hang_up(s, 421, "4.7.0", "On this port TLS comes after STARTTLS");
        return bytes.n;
    }
    bool auth = s->state == SESSION_AUTH || slice_starts_icase(bytes, SLICE("AUTH "));
    size_t max = auth ? SMTP_AUTH_LINE_MAX : SMTP_COMMAND_LINE_MAX;
    size_t lf = s->scanned + slice_find(slice_skip(bytes, s->scanned), '\n');
    if (lf >= max) {
        refuse_line(s, auth ? "5.5.6" : "5.5.2", "Line too long");
        return skip_line(s, bytes);
    }
    if (lf == bytes.n) {
        s->scanned = bytes.n;
        return 0;
    }
    s->scanned = 0;
    if (lf == 0 || bytes.p[lf - 1] != '\r') {
        refuse_line(s, "5.5.2", "A line ends with CRLF, not with LF");
        return lf + 1;
    }
    struct slice line = slice_sub(bytes, 0, lf - 1);
    s->followed = lf + 1 < bytes.n;
    if (s->state == SESSION_AUTH)
        auth_line(s, line);
    else
        submission_command(s, line);
    return lf + 1;
}

static size_t feed_step(struct submission *s, struct slice bytes)
{
    switch (s->state) {
    case SESSION_DATA:
        return data_feed(s, bytes);
    case SESSION_CHUNK:
        return bdat_feed(s, bytes);
    case SESSION_COMMIT:
    case SESSION_AUTH_WAIT:
        return 0;
    case SESSION_STARTTLS: /* RFC 3207 6: what came in clear is not looked at */
    case SESSION_CLOSED:
        return bytes.n;
    default:
        return s->skipping ? skip_line(s, bytes) : line_feed(s, bytes);
    }
}

size_t submission_feed(struct submission *s, struct slice bytes, int64_t now_ms)
{
    size_t used = 0;
    s->now = now_ms;
    while (used < bytes.n) {
        size_t n = feed_step(s, slice_skip(bytes, used));
        settle(s);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

/* ---- deadlines ------------------------------------------------------------------------------------------------ */

void session_body_begins(struct submission *s)
{
    s->body_since = s->body_last = s->now;
    s->body_octets = 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A command has idle_timeout from the last reply on, however its octets dribble in; a body has it from octet to
 * octet, and must keep up a rate; a client that does not log in has SESSION_LOGIN_MS for all. */
int64_t submission_deadline(const struct submission *s)
{
    int64_t idle = session_config(s)->limits.idle_timeout_s * 1000, at;
    switch (s->state) {
    case SESSION_COMMIT:
    case SESSION_AUTH_WAIT:
    case SESSION_CLOSED:
        return INT64_MAX;
    case SESSION_DATA:
    case SESSION_CHUNK:
        at = earlier(s->body_last + idle, s->body_since + SESSION_BODY_GRACE_MS +
                                              (int64_t)(s->body_octets * 1000 / SESSION_BODY_OCTETS_PER_S));
        break;
    default:
        at = earlier(s->command_since + idle, s->opened + SESSION_TOTAL_MS);
    }
    return s->user != NULL ? at : earlier(at, s->opened + SESSION_LOGIN_MS);
}

void submission_timeout(struct submission *s, int64_t now_ms)
{
    s->now = now_ms;
    if (now_ms >= submission_deadline(s))
        session_hang_up(s, 421, "4.4.2", "Timeout, closing the connection");
}

/* ---- life ------------------------------------------------------------------------------------ */

struct submission *submission_new(struct submission_shared *shared, struct intake_settings *settings,
                                  const struct submission_ops *ops, void *ctx, const char *client_ip, struct slice tls,
                                  int64_t now_ms)
{
    struct submission *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->shared = shared;
    s->settings = intake_settings_ref(settings);
    s->ops = ops;
    s->ctx = ctx;
    snprintf(s->ip, sizeof(s->ip), "%s", client_ip);
    snprintf(s->tls, sizeof(s->tls), "%.*s", SLICE_ARG(tls));
    s->now = s->opened = s->command_since = now_ms;
    struct strbuf greeting = STRBUF_INIT;
    strbuf_addf(&greeting, "220 %s ESMTP sendas\r\n", session_config(s)->hostname);
    if (greeting.failed)
        submission_free(&s);
    else
        ops->send(ctx, strbuf_slice(&greeting));
    strbuf_free(&greeting);
    return s;
}

/* RFC 3207 4.2: all that the client said before the handshake is forgotten. */
void submission_tls_done(struct submission *s, const char *version, int64_t now_ms)
{
    if (s->state != SESSION_STARTTLS)
        return;
    s->now = now_ms;
    snprintf(s->tls, sizeof(s->tls), "%s", version);
    s->helo[0] = '\0';
    s->extended = false;
    s->scanned = 0;
    s->skipping = false;
    submission_enter(s, SESSION_GREETED);
    settle(s);
}

void submission_commit_done(struct submission *s, const struct smtp_verdict *v, int64_t now_ms)
{
    if (s->state != SESSION_COMMIT)
        return;
    s->now = now_ms;
    s->intake = NULL; /* it frees itself after its verdict */
    txn_end(s, smtp_is_success(v));
    submission_enter(s, SESSION_READY);
    if (smtp_is_success(v))
        s->messages++;
    send_reply(s, v->code, v->enhanced, v->text); /* intake has logged it, with its queue id */
    settle(s);
    if (s->state != SESSION_CLOSED)
        s->ops->resume(s->ctx);
}

bool submission_shutdown(struct submission *s, int64_t now_ms)
{
    s->now = now_ms;
    s->shutting_down = true;
    if (s->txn == NULL)
        session_hang_up(s, 421, "4.3.2", "Shutting down, try again soon");
    return s->state == SESSION_CLOSED;
}

const char *submission_user(const struct submission *s)
{
    return s->user == NULL ? NULL : s->user->name;
}

unsigned submission_messages(const struct submission *s)
{
    return s->messages;
}

/* RFC 5321 4.1.1.4: content without its end is never delivered; after its end it is ours, whoever listens. */
void submission_free(struct submission **ps)
{
    struct submission *s = *ps;
    if (s == NULL)
        return;
    *ps = NULL;
    if (s->state == SESSION_COMMIT) {
        s->ops->intake_detach(s->ctx, s->intake);
        s->intake = NULL;
    }
    txn_end(s, false);
    intake_settings_unref(&s->settings);
    wipe(s, sizeof(*s));
    free(s);
}
