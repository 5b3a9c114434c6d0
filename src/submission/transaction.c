/* submission/transaction.c - a mail transaction: MAIL, RCPT, and what ends it (RFC 5321 3.3, 4.1.1.2, 4.1.1.3). */
#include "internal.h"

#include <stdlib.h>

static void txn_free(struct txn **pt)
{
    struct txn *t = *pt;
    if (t == NULL)
        return;
    *pt = NULL;
    free(t->recipients);
    arena_free(&t->mem);
    free(t);
}

static struct txn *txn_new(const struct config *c, const struct smtp_mail *mail)
{
    struct txn *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->mem = ARENA_INIT(SESSION_TXN_FIXED + (size_t)c->limits.recipients * SESSION_TXN_RECIPIENT);
    t->null_sender = mail->null_path;
    t->smtputf8 = mail->smtputf8;
    t->eightbit = mail->body == SMTP_BODY_8BITMIME;
    t->ret = mail->ret;
    t->mail_from = mail->null_path ? SLICE("") : arena_copy(&t->mem, mail->sender.address);
    t->envid = arena_copy(&t->mem, mail->envid);
    if (t->mail_from.p == NULL || t->envid.p == NULL)
        txn_free(&t);
    return t;
}

void txn_end(struct submission *s, bool accepted)
{
    if (s->intake != NULL)
        s->ops->intake_abort(s->ctx, &s->intake);
    s->intake = NULL;
    if (s->txn == NULL)
        return;
    limits_message_end(s->shared, s->user, s->password, s->now, accepted);
    txn_free(&s->txn);
}

/* ---- MAIL ------------------------------------------------------------------------------------------------ */

/* A reason to refuse a message before any of it came. */
static int admit_message(struct submission *s, const struct smtp_mail *mail, struct smtp_verdict *v)
{
    uint64_t max = session_config(s)->limits.message_size;
    /* RFC 1870 6.1 */
    if (mail->has_size && mail->size > max)
        return smtp_verdict_set(v, 552, "5.3.4", "Message too large: the limit is %llu octets",
                                (unsigned long long)max);
    if (!s->ops->storage_ok(s->ctx))
        return smtp_verdict_set(v, 452, "4.3.1", "Insufficient system storage");
    return limits_message_begin(s->shared, s->user, s->password, s->now, session_config(s), v);
}

/* Whether the user may use this sender is judged with the whole message: clients that keep another account's address
 * are served. */
void cmd_mail(struct submission *s, struct slice args)
{
    struct smtp_mail mail;
    struct smtp_verdict v;
    if (!session_renew(s)) {
        session_hang_up(s, 421, "4.7.0", "Your password is no longer valid, log in again");
        return;
    }
    if (smtp_mail_parse(args, &mail, &v) < 0 || admit_message(s, &mail, &v) < 0) {
        session_reply_verdict(s, &v);
        return;
    }
    s->txn = txn_new(session_config(s), &mail);
    if (s->txn == NULL) {
        limits_message_end(s->shared, s->user, s->password, s->now, false);
        session_reply(s, 452, "4.3.1", "Out of memory");
        return;
    }
    submission_enter(s, SESSION_MAIL);
    session_reply(s, 250, "2.1.0", "Sender ok");
}

/* ---- RCPT -------------------------------------------------------------------------------------------------- */

static int add_recipient(struct txn *t, const struct smtp_rcpt *rcpt)
{
    if (t->n_recipients == t->cap_recipients) {
        size_t cap = t->cap_recipients == 0 ? 4 : t->cap_recipients * 2;
        struct intake_recipient *grown = reallocarray(t->recipients, cap, sizeof(*grown));
        if (grown == NULL)
            return -1;
        t->recipients = grown;
        t->cap_recipients = cap;
    }
    struct slice address = arena_copy(&t->mem, rcpt->recipient.address);
    struct slice orcpt = arena_copy(&t->mem, rcpt->orcpt);
    if (address.p == NULL || orcpt.p == NULL)
        return -1;
    t->recipients[t->n_recipients++] =
        (struct intake_recipient){.address = address, .orcpt = orcpt, .notify = rcpt->notify};
    return 0;
}

void cmd_rcpt(struct submission *s, struct slice args)
{
    struct smtp_rcpt rcpt;
    struct smtp_verdict v;
    if (smtp_rcpt_parse(args, s->txn->smtputf8, &rcpt, &v) < 0) {
        session_reply_verdict(s, &v);
    } else if (s->txn->n_recipients >= session_config(s)->limits.recipients) {
        /* RFC 5321 4.5.3.1.10: 452, so that the client sends the rest in another transaction */
        session_reply(s, 452, "4.5.3", "Too many recipients");
    } else if (add_recipient(s->txn, &rcpt) < 0) {
        session_reply(s, 452, "4.3.1", "Out of memory");
    } else {
        submission_enter(s, SESSION_RCPT);
        session_reply(s, 250, "2.1.5", "Recipient ok");
    }
}

/* ---- the content's way -------------------------------------------------------------------------------------- */

int txn_begin_content(struct submission *s)
{
    const struct txn *t = s->txn;
    const struct intake_origin origin = {
        .user = s->user,
        .password = s->password,
        .client_ip = slice_of(s->ip),
        .helo = slice_of(s->helo),
        .tls = slice_of(s->tls),
        .extended = s->extended,
    };
    const struct intake_envelope envelope = {
        .null_sender = t->null_sender,
        .mail_from = t->mail_from,
        .smtputf8 = t->smtputf8,
        .eightbit = t->eightbit,
        .ret = t->ret,
        .envid = t->envid,
        .recipients = t->recipients,
        .n_recipients = t->n_recipients,
    };
    s->intake = s->ops->intake_begin(s->ctx, s->settings, &origin, &envelope);
    return s->intake == NULL ? -1 : 0;
}

void txn_commit(struct submission *s)
{
    submission_enter(s, SESSION_COMMIT);
    s->ops->intake_commit(s->ctx, s->intake);
}
