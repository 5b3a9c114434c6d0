/* delivery/session_hello.c - from the greeting to the login: EHLO, HELO, STARTTLS, AUTH. */
#include "session.h"

#include <string.h>

/* RFC 5321 3.1: 554 (and 521, RFC 7504) instead of 220: no mail here.  The manager then tries the next host. */
void hello_on_banner(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_success(v))
        session_enter(s, DELIVERY_EHLO);
    else
        session_refused(s, v);
}

void hello_send_ehlo(struct delivery_session *s)
{
    session_commandf(s, "EHLO %s\r\n", s->hostname);
}

void hello_send_helo(struct delivery_session *s)
{
    session_commandf(s, "HELO %s\r\n", s->hostname);
}

static void take_extensions(struct delivery_session *s)
{
    smtp_extensions_parse(strbuf_slice(&s->reply.text), &s->ext);
}

void hello_on_ehlo(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_permanent(v)) {
        /* RFC 5321 3.2: a server without EHLO gets HELO, and then offers nothing. */
        session_enter(s, DELIVERY_HELO);
    } else if (!smtp_is_success(v)) {
        session_refused(s, v);
    } else {
        take_extensions(s);
        if (s->ext.starttls && !s->tls_disabled)
            session_enter(s, DELIVERY_STARTTLS);
        else if (s->tls_required)
            session_give_up(s, "4.7.4", "TLS is required, but the server does not offer STARTTLS");
        else
            session_enter(s, DELIVERY_IDLE);
    }
}

void hello_on_helo(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (!smtp_is_success(v))
        session_refused(s, v);
    else if (s->tls_required)
        session_give_up(s, "4.7.4", "TLS is required, but the server does not speak ESMTP");
    else
        session_enter(s, DELIVERY_IDLE);
}

void hello_send_starttls(struct delivery_session *s)
{
    session_command(s, SLICE("STARTTLS\r\n"));
}

void hello_on_starttls(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_success(v) && s->unread > 0)
        /* What stands behind the 220 would be read as if it came over TLS: response injection. */
        session_give_up(s, "4.7.5", "the server sent octets between the reply to STARTTLS and the handshake");
    else if (smtp_is_success(v))
        session_enter(s, DELIVERY_TLS);
    else if (v->code < 400)
        session_bad_reply(s, v);
    else if (s->tls_required)
        session_give_up(s, "4.7.4", "TLS is required, but STARTTLS was refused: %d %s", v->code, v->text);
    else
        session_enter(s, DELIVERY_IDLE); /* RFC 7435: opportunistic, so in clear */
}

void hello_start_tls(struct delivery_session *s)
{
    s->ops->start_tls(s->ctx);
}

void hello_on_ehlo_tls(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (!smtp_is_success(v)) {
        session_refused(s, v);
        return;
    }
    take_extensions(s);
    if (s->user == NULL)
        session_enter(s, DELIVERY_IDLE);
    else if (s->ext.auth_plain || s->ext.auth_login)
        session_enter(s, DELIVERY_AUTH);
    else
        session_give_up(s, "4.7.0", "the server offers neither AUTH PLAIN nor AUTH LOGIN");
}

/* One line with base64 in it, wiped behind us. */
static void send_secret(struct delivery_session *s, const char *verb, struct slice secret)
{
    struct strbuf line = STRBUF_INIT;
    strbuf_add_str(&line, verb);
    base64_encode(&line, secret);
    strbuf_add_str(&line, "\r\n");
    if (line.failed)
        session_give_up(s, "4.3.0", "out of memory");
    else
        session_command(s, strbuf_slice(&line));
    if (line.p != NULL)
        wipe(line.p, line.n);
    strbuf_free(&line);
}

/* RFC 4616: authzid NUL authcid NUL passwd.  Only ever under TLS: AUTH is reached from EHLO_TLS alone. */
void hello_send_auth(struct delivery_session *s)
{
    s->auth_step = 0;
    if (!s->ext.auth_plain) {
        session_command(s, SLICE("AUTH LOGIN\r\n"));
        return;
    }
    struct strbuf plain = STRBUF_INIT;
    strbuf_add_char(&plain, '\0');
    strbuf_add_str(&plain, s->user);
    strbuf_add_char(&plain, '\0');
    strbuf_add_str(&plain, s->password);
    if (plain.failed)
        session_give_up(s, "4.3.0", "out of memory");
    else
        send_secret(s, "AUTH PLAIN ", strbuf_slice(&plain));
    if (plain.p != NULL)
        wipe(plain.p, plain.n);
    strbuf_free(&plain);
}

void hello_on_auth(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_success(v)) {
        session_enter(s, DELIVERY_IDLE);
    } else if (v->code == 334 && !s->ext.auth_plain && s->auth_step < 2) {
        session_restart_timer(s);
        send_secret(s, "", slice_of(s->auth_step++ == 0 ? s->user : s->password));
    } else if (v->code >= 400) {
        /* Temporary even where the server says 535: the operator can mend it. */
        session_give_up(s, "4.7.8", "the server refused our login: %d %s", v->code, v->text);
    } else {
        session_bad_reply(s, v);
    }
}
