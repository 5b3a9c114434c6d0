/* submission/commands.c - the commands, when each may come (RFC 5321 4.1.4), and those that need no file of their own.
 */
#include "internal.h"

enum command_flags {
    PRE_TLS = 1,  /* may come before TLS */
    PRE_AUTH = 2, /* may come before login */
    LAST = 4,     /* nothing may stand behind it (RFC 2920 3.1): the client has to see the reply first */
    BARE = 8,     /* takes no arguments */
    CHUNK = 16    /* octets follow that are not commands: a refusal waits until they have passed */
};

struct command {
    struct slice verb;
    void (*run)(struct submission *, struct slice args);
    unsigned states, flags;
};

#define ANY_STATE (IN(GREETED) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT))
#define VERB(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static void cmd_rset(struct submission *s, struct slice args)
{
    (void)args;
    txn_end(s, false);
    submission_enter(s, s->helo[0] == '\0' ? SESSION_GREETED : SESSION_READY);
    session_reply(s, 250, "2.0.0", "Ok");
}

static void cmd_noop(struct submission *s, struct slice args)
{
    (void)args;
    session_reply(s, 250, "2.0.0", "Ok");
}

static void cmd_quit(struct submission *s, struct slice args)
{
    (void)args;
    session_hang_up(s, 221, "2.0.0", "Bye");
}

/* RFC 5321 3.5.3, 7.3: nothing is told of who exists. */
static void cmd_vrfy(struct submission *s, struct slice args)
{
    if (args.n == 0)
        session_reply(s, 501, "5.5.4", "Syntax: VRFY address");
    else
        session_reply(s, 252, "2.5.0", "Cannot verify, but will accept the message and try to deliver it");
}

static void cmd_help(struct submission *s, struct slice args)
{
    (void)args;
    session_reply(s, 214, "2.0.0",
                  "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT, see RFC 5321 and RFC 6409");
}

static void cmd_not_implemented(struct submission *s, struct slice args)
{
    (void)args;
    session_reply(s, 502, "5.5.1", "Command not implemented");
}

/* ALPACA: a browser that was tricked into speaking to us gets no second line. */
static void cmd_http(struct submission *s, struct slice args)
{
    (void)args;
    session_hang_up(s, 421, "4.7.0", "This is not an HTTP server");
}

static const struct command commands[] = {
    {VERB("EHLO"), cmd_ehlo, ANY_STATE, PRE_TLS | PRE_AUTH | LAST},
    {VERB("HELO"), cmd_helo, ANY_STATE, PRE_TLS | PRE_AUTH | LAST},
    /* STARTTLS throws away what stands behind it instead of refusing: RFC 3207 6 */
    {VERB("STARTTLS"), cmd_starttls, IN(READY), PRE_TLS | PRE_AUTH | BARE},
    {VERB("AUTH"), cmd_auth, IN(READY), PRE_AUTH | LAST},
    {VERB("MAIL"), cmd_mail, IN(READY), 0},
    {VERB("RCPT"), cmd_rcpt, IN(MAIL) | IN(RCPT), 0},
    {VERB("DATA"), cmd_data, IN(RCPT), LAST | BARE},
    {VERB("BDAT"), cmd_bdat, IN(RCPT) | IN(BDAT), CHUNK},
    {VERB("RSET"), cmd_rset, ANY_STATE, PRE_TLS | PRE_AUTH | BARE},
    {VERB("NOOP"), cmd_noop, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("QUIT"), cmd_quit, ANY_STATE, PRE_TLS | PRE_AUTH | BARE},
    {VERB("VRFY"), cmd_vrfy, ANY_STATE, 0},
    {VERB("HELP"), cmd_help, ANY_STATE, 0},
    {VERB("EXPN"), cmd_not_implemented, ANY_STATE, 0},
    {VERB("ETRN"), cmd_not_implemented, ANY_STATE, 0},
    {VERB("TURN"), cmd_not_implemented, ANY_STATE, 0},
    {VERB("GET"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("POST"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("HEAD"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("PUT"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("DELETE"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("PATCH"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("OPTIONS"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("TRACE"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("CONNECT"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
    {VERB("Host:"), cmd_http, ANY_STATE, PRE_TLS | PRE_AUTH},
};

static const struct command *find_command(struct slice verb)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (slice_eq_icase(verb, commands[i].verb))
            return &commands[i];
    return NULL;
}

/* Whether the command may come now; it need not exist (NULL). */
static int admit(const struct submission *s, const struct command *c, struct slice args, struct smtp_verdict *v)
{
    unsigned flags = c == NULL ? 0 : c->flags;
    if (s->tls[0] == '\0' && !(flags & PRE_TLS))
        return smtp_verdict_set(v, 530, "5.7.0", "Must issue a STARTTLS command first");
    if (s->user == NULL && !(flags & PRE_AUTH))
        return smtp_verdict_set(v, 530, "5.7.0", "Authentication required");
    if (c == NULL)
        return smtp_verdict_set(v, 500, "5.5.2", "Command not recognised");
    if (!(c->states & 1u << s->state))
        return smtp_verdict_set(v, 503, "5.5.1",
                                s->state == SESSION_GREETED ? "Send EHLO first" : "Bad sequence of commands");
    if (flags & BARE && args.n > 0)
        return smtp_verdict_set(v, 501, "5.5.4", "%.*s takes no arguments", SLICE_ARG(c->verb));
    return 0;
}

void submission_command(struct submission *s, struct slice line)
{
    struct smtp_command parsed;
    struct smtp_verdict v;
    if (smtp_command_parse(line, &parsed) < 0) {
        session_reply(s, 500, "5.5.2", "Syntax error");
        return;
    }
    const struct command *c = find_command(parsed.verb);
    if (admit(s, c, parsed.args, &v) < 0) {
        if (c != NULL && c->flags & CHUNK)
            bdat_refuse(s, parsed.args, &v);
        else
            session_reply_verdict(s, &v);
    } else if (c->flags & LAST && s->followed) {
        session_hang_up(s, 503, "5.5.0", "Improper pipelining: wait for the reply");
    } else {
        c->run(s, parsed.args);
    }
}
