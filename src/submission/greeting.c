/* submission/greeting.c - EHLO, HELO and STARTTLS. */
#include "internal.h"

#include <inttypes.h>
#include <string.h>

/* RFC 5321 4.1.4: EHLO again is a RSET as well. */
static int take_name(struct submission *s, struct slice args, bool extended)
{
    struct slice name;
    if (smtp_helo_parse(args, &name) < 0) {
        session_reply(s, 501, "5.5.4", extended ? "Syntax: EHLO name" : "Syntax: HELO name");
        return -1;
    }
    memcpy(s->helo, name.p, name.n);
    s->helo[name.n] = '\0';
    s->extended = extended;
    txn_end(s, false);
    submission_enter(s, SESSION_READY);
    return 0;
}

void cmd_helo(struct submission *s, struct slice args)
{
    /* Like the greeting and EHLO's reply, this one has no enhanced code. */
    if (take_name(s, args, false) == 0)
        session_reply(s, 250, "", session_config(s)->hostname);
}

/* What is offered, as the state has it. */
static void add_extensions(const struct submission *s, struct strbuf *out)
{
    const struct config *c = session_config(s);
    strbuf_addf(out,
                "250-%s\r\n"
                "250-PIPELINING\r\n"
                "250-SIZE %" PRIu64 "\r\n"
                "250-8BITMIME\r\n"
                "250-SMTPUTF8\r\n"
                "250-CHUNKING\r\n"
                "250-DSN\r\n",
                c->hostname, c->limits.message_size);
    if (s->tls[0] == '\0')
        strbuf_add_str(out, "250-STARTTLS\r\n");
    else if (s->user == NULL)
        strbuf_add_str(out, "250-AUTH PLAIN LOGIN\r\n");
    /* RFC 9422 3: limits-param = limit-name "=" limit-value */
    strbuf_addf(out,
                "250-LIMITS RCPTMAX=%u\r\n"
                "250 ENHANCEDSTATUSCODES\r\n",
                c->limits.recipients);
}

void cmd_ehlo(struct submission *s, struct slice args)
{
    struct strbuf out = STRBUF_INIT;
    if (take_name(s, args, true) < 0)
        return;
    add_extensions(s, &out);
    if (out.failed)
        session_hang_up(s, 421, "4.3.0", "Out of memory");
    else
        s->ops->send(s->ctx, strbuf_slice(&out));
    strbuf_free(&out);
}

void cmd_starttls(struct submission *s, struct slice args)
{
    (void)args;
    if (s->tls[0] != '\0') {
        session_reply(s, 503, "5.5.1", "TLS is active already");
        return;
    }
    session_reply(s, 220, "2.0.0", "Ready to start TLS");
    submission_enter(s, SESSION_STARTTLS);
    s->ops->start_tls(s->ctx);
}
