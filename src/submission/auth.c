/* submission/auth.c - AUTH PLAIN (RFC 4616) and LOGIN, with and without an initial response (RFC 4954).
 *
 *   READY -AUTH-> [AUTH, a challenge at a time] -> AUTH_WAIT (a worker hashes; not for a known login) -> READY
 *
 * Credentials are decoded into one buffer that is wiped; nothing of them is logged but the name. */
#include "internal.h"

#include <string.h>

static void challenge(struct submission *s, enum auth_step step, const char *text)
{
    char line[32];
    s->auth_step = step;
    submission_enter(s, SESSION_AUTH);
    s->ops->send(s->ctx, slice_from(line, (size_t)snprintf(line, sizeof(line), "334 %s\r\n", text)));
}

/* The exchange is over without a check. */
static void end_exchange(struct submission *s, int code, const char *enhanced, const char *text)
{
    auth_drop(s);
    session_reply(s, code, enhanced, text);
}

void auth_drop(struct submission *s)
{
    wipe(s->login, sizeof(s->login));
    s->login_n = 0;
    submission_enter(s, SESSION_READY);
}

/* Contract: one reply for an unknown user and a wrong password alike. */
static void login_failed(struct submission *s)
{
    limits_count_login(s->shared, false);
    log_event(LOG_LEVEL_WARN, "auth", LOG_STR("result", "fail"), LOG_STR("ip", s->ip),
              LOG_SLICE("user", slice_from(s->login, s->login_n)), LOG_STR("mechanism", s->auth_mechanism));
    bool locked = limits_login_failed(s->shared, s->ip, s->now, session_config(s));
    if (accounts_login_failed(s->shared, s->settings->users, slice_from(s->login, s->login_n), s->ip, s->now,
                              session_config(s)))
        log_event(LOG_LEVEL_WARN, "lockout", LOG_SLICE("user", slice_from(s->login, s->login_n)),
                  LOG_STR("reason", "too many failed logins: for a while only from networks it has logged in from"));
    end_exchange(s, 535, "5.7.8", "Authentication credentials invalid");
    if (locked)
        session_hang_up(s, 421, "4.7.0", "Too many failed logins");
}

static void login_succeeded(struct submission *s, const struct user_password *password)
{
    s->password = password;
    s->user = users_find(s->settings->users, slice_from(s->login, s->login_n));
    if (s->user == NULL) {
        login_failed(s);
        return;
    }
    limits_count_login(s->shared, true);
    log_event(LOG_LEVEL_INFO, "auth", LOG_STR("result", "ok"), LOG_STR("ip", s->ip), LOG_STR("user", s->user->name),
              LOG_STR("mechanism", s->auth_mechanism), LOG_STR("label", password->label));
    accounts_login_ok(s->shared, s->user, s->password, s->ip);
    end_exchange(s, 235, "2.7.0", "Authentication successful");
}

static void check_password(struct submission *s, struct slice password)
{
    struct slice login = slice_from(s->login, s->login_n);
    (void)session_renew(s); /* nobody has logged in that could be gone */
    /* The address may have failed elsewhere since this connection was let in. */
    if (limits_locked_out(s->shared, s->ip, s->now, session_config(s))) {
        session_hang_up(s, 421, "4.7.0", "Too many failed logins");
        return;
    }
    /* Known logins not excepted: a guess must cost a try, also where it would be found to be right. */
    if (accounts_locked_out(s->shared, s->settings->users, login, s->ip, s->now, session_config(s))) {
        end_exchange(s, 454, "4.7.0", "Too many failed logins with this name, try again later");
        return;
    }
    const struct user_password *known = limits_known_login(s->shared, s->settings->users, login, password, s->now);
    if (known != NULL) {
        login_succeeded(s, known);
        return;
    }
    submission_enter(s, SESSION_AUTH_WAIT);
    if (s->ops->check_password(s->ctx, s->settings, login, password) < 0)
        end_exchange(s, 454, "4.7.0", "Too many logins at the moment, try again soon");
}

void submission_auth_done(struct submission *s, const struct user_password *password, int64_t now_ms)
{
    if (s->state != SESSION_AUTH_WAIT)
        return;
    s->now = now_ms;
    if (password != NULL)
        login_succeeded(s, password);
    else
        login_failed(s);
    if (s->state != SESSION_CLOSED)
        s->ops->resume(s->ctx);
}

/* ---- the mechanisms; `response` is decoded ------------------------------------------------------------------- */

/* A NUL would make another's name of it, wherever it is a string. */
static int take_login(struct submission *s, struct slice name)
{
    if (name.n > SESSION_LOGIN_NAME_MAX || slice_find(name, '\0') < name.n)
        return -1;
    if (name.n > 0)
        memcpy(s->login, name.p, name.n);
    s->login_n = name.n;
    return 0;
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd     RFC 4616 2 */
static void take_plain(struct submission *s, struct slice response)
{
    struct slice authzid, authcid;
    struct slice password = slice_cut(slice_cut(response, '\0', &authzid), '\0', &authcid);
    bool whole = authzid.n + authcid.n + password.n + 2 == response.n && authcid.n > 0 && password.n > 0;
    if (!whole || slice_find(password, '\0') < password.n || take_login(s, authcid) < 0)
        end_exchange(s, 501, "5.5.2", "Malformed authentication response");
    else if (authzid.n > 0 && !slice_eq(authzid, authcid))
        login_failed(s); /* nobody acts for another */
    else
        check_password(s, password);
}

static void take_response(struct submission *s, struct slice response)
{
    switch (s->auth_step) {
    case AUTH_PLAIN_RESPONSE:
        take_plain(s, response);
        break;
    case AUTH_LOGIN_NAME:
        if (take_login(s, response) < 0)
            end_exchange(s, 501, "5.5.2", "Malformed authentication response");
        else
            challenge(s, AUTH_LOGIN_PASSWORD, "UGFzc3dvcmQ6");
        break;
    case AUTH_LOGIN_PASSWORD:
        check_password(s, response);
        break;
    }
}

/* Decodes in place of a buffer that never moves, so that no copy of a password stays behind. */
static void take_encoded(struct submission *s, struct slice encoded)
{
    static const char zeros[SMTP_AUTH_LINE_MAX];
    struct strbuf decoded = STRBUF_INIT;
    strbuf_add(&decoded, zeros, encoded.n + 1 < sizeof(zeros) ? encoded.n + 1 : sizeof(zeros));
    if (decoded.failed) {
        end_exchange(s, 454, "4.3.0", "Out of memory");
    } else {
        strbuf_truncate(&decoded, 0);
        if (base64_decode(&decoded, encoded) < 0)
            end_exchange(s, 501, "5.5.2", "Not base64");
        else
            take_response(s, strbuf_slice(&decoded));
        wipe(decoded.p, decoded.cap);
    }
    strbuf_free(&decoded);
}

void auth_line(struct submission *s, struct slice line)
{
    /* RFC 4954 4: a "*" cancels */
    if (slice_eq(line, SLICE("*")))
        end_exchange(s, 501, "5.7.0", "Authentication cancelled");
    else
        take_encoded(s, line);
}

/* AUTH mechanism [SP initial-response], initial-response = base64 / "="     RFC 4954 4 */
void cmd_auth(struct submission *s, struct slice args)
{
    struct slice mechanism, initial = slice_cut(args, ' ', &mechanism);
    bool has_initial = initial.n > 0;
    if (!s->extended || s->user != NULL) {
        session_reply(s, 503, "5.5.1", s->user != NULL ? "Already authenticated" : "Send EHLO first");
        return;
    }
    if (slice_eq_icase(mechanism, SLICE("PLAIN"))) {
        s->auth_mechanism = "PLAIN";
        s->auth_step = AUTH_PLAIN_RESPONSE;
    } else if (slice_eq_icase(mechanism, SLICE("LOGIN"))) {
        s->auth_mechanism = "LOGIN";
        s->auth_step = AUTH_LOGIN_NAME;
    } else {
        session_reply(s, mechanism.n == 0 ? 501 : 504, "5.5.4", "Mechanisms: PLAIN LOGIN");
        return;
    }
    if (has_initial && slice_eq(initial, SLICE("=")))
        take_response(s, SLICE(""));
    else if (has_initial)
        take_encoded(s, initial);
    else
        challenge(s, s->auth_step, s->auth_step == AUTH_PLAIN_RESPONSE ? "" : "VXNlcm5hbWU6");
}
