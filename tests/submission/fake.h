/* A session without a daemon: operations that write down what the session does, and answers that a test gives.
 * Passwords are right when they are "secret"; content is judged as intake would, as far as a dialogue needs it. */
#ifndef SENDAS_TESTS_FAKE_H
#define SENDAS_TESTS_FAKE_H

#include "sendas/submission.h"

#include <stdlib.h>
#include <string.h>

struct intake {
    struct strbuf content;
};

struct fake {
    struct strbuf transcript; /* a line each: "S: reply", or "A: " and what the session asked for */
    struct strbuf input;      /* what the session has not consumed */
    struct submission *session;
    struct submission_shared *shared;
    struct intake_settings settings, reloaded;
    struct intake_settings *newest;
    struct intake *intake;
    const char *ip;
    int64_t now;
    const struct user *asked; /* whose password is being checked */
    bool manual;              /* waits are answered by the test, not at once */
    bool no_pool, no_storage, no_memory;
    bool closed, auth_waits, auth_ok, commit_waits, may_resume;
};

static void fake_escape(struct strbuf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\r' || c == '\n')
            strbuf_add_str(out, c == '\r' ? "\\r" : "\\n");
        else if (c < 0x20 || c == 0x7f || c == '\\')
            strbuf_addf(out, "\\x%02x", c);
        else
            strbuf_add_char(out, (char)c);
    }
}

static void fake_act(struct fake *f, const char *what)
{
    strbuf_addf(&f->transcript, "A: %s\n", what);
}

static void fake_send(void *ctx, struct slice bytes)
{
    struct fake *f = ctx;
    while (bytes.n > 0) {
        size_t at = slice_find_slice(bytes, SLICE("\r\n"));
        if (at == bytes.n || f->closed)
            abort(); /* replies are whole lines, and none comes behind the close */
        strbuf_add_str(&f->transcript, "S: ");
        fake_escape(&f->transcript, slice_sub(bytes, 0, at));
        strbuf_add_char(&f->transcript, '\n');
        bytes = slice_skip(bytes, at + 2);
    }
}

static void fake_close(void *ctx)
{
    struct fake *f = ctx;
    if (f->closed)
        abort();
    f->closed = true;
    fake_act(f, "close");
}

static void fake_start_tls(void *ctx)
{
    fake_act(ctx, "starttls");
}

static int fake_check_password(void *ctx, struct intake_settings *settings, struct slice login, struct slice password)
{
    struct fake *f = ctx;
    if (f->no_pool)
        return -1;
    f->auth_waits = true;
    f->asked = users_find(settings->users, login);
    f->auth_ok = f->asked != NULL && slice_eq(password, SLICE("secret"));
    return 0;
}

static struct intake_settings *fake_settings(void *ctx)
{
    return ((struct fake *)ctx)->newest;
}

static void fake_resume(void *ctx)
{
    ((struct fake *)ctx)->may_resume = true;
}

static struct intake *fake_intake_begin(void *ctx, struct intake_settings *settings, const struct intake_origin *origin,
                                        const struct intake_envelope *e)
{
    struct fake *f = ctx;
    if (f->no_memory || f->intake != NULL || (settings != &f->settings && settings != f->newest) ||
        origin->user == NULL || e->n_recipients == 0)
        return NULL;
    strbuf_add_str(&f->transcript, "A: begin <");
    strbuf_add_slice(&f->transcript, e->mail_from);
    strbuf_add_char(&f->transcript, '>');
    for (size_t i = 0; i < e->n_recipients; i++) {
        const struct intake_recipient *r = &e->recipients[i];
        strbuf_addf(&f->transcript, "%s<%.*s>", i == 0 ? " to " : ",", SLICE_ARG(r->address));
        if (r->notify != SMTP_NOTIFY_DEFAULT)
            strbuf_addf(&f->transcript, " notify=%u", r->notify);
        if (r->orcpt.n > 0)
            strbuf_addf(&f->transcript, " orcpt=%.*s", SLICE_ARG(r->orcpt));
    }
    if (e->ret != SMTP_RET_NONE)
        strbuf_addf(&f->transcript, " ret=%d", e->ret);
    if (e->envid.n > 0)
        strbuf_addf(&f->transcript, " envid=%.*s", SLICE_ARG(e->envid));
    strbuf_addf(&f->transcript, "%s%s%s%s\n", origin->extended ? "" : " helo", e->null_sender ? " null" : "",
                e->smtputf8 ? " utf8" : "", e->eightbit ? " 8bit" : "");
    f->intake = calloc(1, sizeof(*f->intake));
    return f->intake;
}

static void fake_intake_data(void *ctx, struct intake *in, struct slice bytes)
{
    (void)ctx;
    strbuf_add_slice(&in->content, bytes);
}

static void fake_intake_commit(void *ctx, struct intake *in)
{
    struct fake *f = ctx;
    strbuf_add_str(&f->transcript, "A: commit ");
    if (in->content.n <= 1000)
        fake_escape(&f->transcript, strbuf_slice(&in->content));
    else
        strbuf_addf(&f->transcript, "%zu octets", in->content.n);
    strbuf_add_char(&f->transcript, '\n');
    f->commit_waits = true;
}

static void fake_intake_end(struct fake *f, const char *how)
{
    fake_act(f, how);
    strbuf_free(&f->intake->content);
    free(f->intake);
    f->intake = NULL;
}

static void fake_intake_abort(void *ctx, struct intake **pin)
{
    *pin = NULL;
    fake_intake_end(ctx, "abort");
}

static void fake_intake_detach(void *ctx, struct intake *in)
{
    (void)in;
    fake_intake_end(ctx, "detach");
}

static bool fake_storage_ok(void *ctx)
{
    return !((struct fake *)ctx)->no_storage;
}

static const struct submission_ops fake_ops = {
    .send = fake_send,
    .close = fake_close,
    .start_tls = fake_start_tls,
    .check_password = fake_check_password,
    .settings = fake_settings,
    .resume = fake_resume,
    .intake_begin = fake_intake_begin,
    .intake_data = fake_intake_data,
    .intake_commit = fake_intake_commit,
    .intake_abort = fake_intake_abort,
    .intake_detach = fake_intake_detach,
    .storage_ok = fake_storage_ok,
};

/* What intake says of the content: bare CR, bare LF and NUL are refused, and what is too large. */
static void fake_judge(const struct fake *f, struct slice s, struct smtp_verdict *v)
{
    bool bare = slice_find(s, '\0') < s.n;
    for (size_t i = 0; i < s.n && !bare; i++)
        bare = (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
               (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n'));
    if (bare)
        smtp_verdict_set(v, 550, "5.6.0", "Bare CR, bare LF or NUL");
    else if (s.n > f->settings.config->limits.message_size)
        smtp_verdict_set(v, 552, "5.3.4", "Message too large");
    else
        smtp_verdict_set(v, 250, "2.0.0", "Ok, queued as TEST");
}

static void fake_answer_auth(struct fake *f)
{
    f->auth_waits = false;
    submission_auth_done(f->session, f->auth_ok && f->asked != NULL ? &f->asked->passwords[0] : NULL, f->now);
}

static void fake_answer_commit(struct fake *f, const struct smtp_verdict *v)
{
    struct smtp_verdict judged;
    fake_judge(f, strbuf_slice(&f->intake->content), &judged);
    strbuf_free(&f->intake->content);
    free(f->intake);
    f->intake = NULL;
    f->commit_waits = false;
    submission_commit_done(f->session, v == NULL ? &judged : v, f->now);
}

/* Feeds what is there, and answers what the session waits for, until nothing moves. */
static void fake_run(struct fake *f)
{
    do {
        f->may_resume = false;
        size_t n = submission_feed(f->session, strbuf_slice(&f->input), f->now);
        if (n > f->input.n)
            abort();
        if (n > 0) {
            memmove(f->input.p, f->input.p + n, f->input.n - n);
            strbuf_truncate(&f->input, f->input.n - n);
        }
        bool waits = f->auth_waits || f->commit_waits;
        if (!waits && f->input.n > SMTP_AUTH_LINE_MAX)
            abort();
        if (f->manual)
            continue;
        if (f->auth_waits && !f->closed)
            fake_answer_auth(f);
        else if (f->commit_waits)
            fake_answer_commit(f, NULL);
    } while (f->may_resume);
}

static void fake_feed(struct fake *f, struct slice bytes)
{
    strbuf_add_slice(&f->input, bytes);
    fake_run(f);
}

static void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->now = 1000000;
    f->ip = "192.0.2.1";
    f->shared = submission_shared_new();
    f->newest = &f->settings;
    f->settings.references = 1;
    f->settings.config = config_defaults();
    f->settings.users = calloc(1, sizeof(*f->settings.users));
    if (f->shared == NULL || f->settings.config == NULL || f->settings.users == NULL)
        abort();
    f->settings.config->hostname = (char *)"mail.example.com"; /* strings of a configuration die with its arena */
    if (users_add(f->settings.users, "ann@example.com", "test", "$y$none", NULL, 0, NULL) < 0)
        abort();
}

static void fake_open(struct fake *f, const char *tls)
{
    f->closed = false;
    f->session = submission_new(f->shared, f->newest, &fake_ops, f, f->ip, slice_of(tls), f->now);
    if (f->session == NULL)
        abort();
}

static void fake_free(struct fake *f)
{
    submission_free(&f->session);
    submission_shared_free(&f->shared);
    users_free(&f->settings.users);
    users_free(&f->reloaded.users);
    config_free(&f->settings.config);
    strbuf_free(&f->transcript);
    strbuf_free(&f->input);
    if (f->intake != NULL)
        abort(); /* the session left it behind */
}

#endif
