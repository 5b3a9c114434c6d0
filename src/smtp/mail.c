/* smtp/mail.c - the arguments of MAIL and RCPT (RFC 5321 4.1.1.2 and 4.1.1.3) and what each parameter may hold. */
#include "internal.h"

#include <string.h>

enum {
    SIZE_DIGITS_MAX = 20, /* RFC 1870 3 */
    ENVID_MAX = 100,      /* RFC 3461 4.4 */
    ORCPT_MAX = 500       /* RFC 3461 4.2 */
};

/* ---- MAIL's parameters ------------------------------------------------------------------------------- */

/* size-value ::= 1*20DIGIT.  Twenty digits may be more than 64 bits: then it is too large for anyone. */
static int take_size(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_mail *mail = command;
    struct cursor c = cursor_init(value);
    (void)v;
    struct slice digits = smtp_cursor_run(&c, smtp_is_digit);
    if (digits.n == 0 || digits.n > SIZE_DIGITS_MAX || !cursor_at_end(&c))
        return -1;
    mail->has_size = true;
    if (slice_to_u64(digits, &mail->size) < 0)
        mail->size = UINT64_MAX;
    return 0;
}

/* body-value ::= "7BIT" / "8BITMIME".  BINARYMIME (RFC 3030) is never offered. */
static int take_body(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_mail *mail = command;
    if (slice_eq_icase(value, SLICE("BINARYMIME")))
        return smtp_verdict_set(v, 555, "5.5.4", "BODY=BINARYMIME is not offered");
    if (slice_eq_icase(value, SLICE("8BITMIME")))
        mail->body = SMTP_BODY_8BITMIME;
    else if (!slice_eq_icase(value, SLICE("7BIT")))
        return -1;
    return 0;
}

static int take_smtputf8(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_mail *mail = command;
    (void)v;
    mail->smtputf8 = true;
    return value.p == NULL ? 0 : -1; /* RFC 6531 3.4: no value */
}

/* ret-value = "FULL" / "HDRS" */
static int take_ret(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_mail *mail = command;
    (void)v;
    if (slice_eq_icase(value, SLICE("FULL")))
        mail->ret = SMTP_RET_FULL;
    else if (slice_eq_icase(value, SLICE("HDRS")))
        mail->ret = SMTP_RET_HDRS;
    else
        return -1;
    return 0;
}

/* envid-parameter = "ENVID=" xtext */
static int take_envid(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_mail *mail = command;
    char decoded[ENVID_MAX];
    (void)v;
    if (value.n == 0 || value.n > ENVID_MAX)
        return -1;
    ssize_t n = smtp_xtext_decode_into(decoded, sizeof(decoded), value);
    /* RFC 3461 4.4: once decoded it is printable US-ASCII. */
    if (n < 0 || !slice_is_ascii(slice_from(decoded, (size_t)n)))
        return -1;
    mail->envid = value;
    return 0;
}

/* AUTH= "<>" / xtext of a Mailbox (RFC 4954 5): a submission server trusts its own login only, so it is dropped. */
static int take_auth(struct slice value, void *command, struct smtp_verdict *v)
{
    char decoded[SMTP_PATH_MAX + 1];
    struct smtp_mailbox mailbox;
    (void)command;
    (void)v;
    if (slice_eq(value, SLICE("<>")))
        return 0;
    ssize_t n = smtp_xtext_decode_into(decoded, sizeof(decoded), value);
    return n < 0 ? -1 : smtp_mailbox_parse(slice_from(decoded, (size_t)n), &mailbox, NULL);
}

/* ---- RCPT's parameters -------------------------------------------------------------------------------- */

/* notify-esmtp-value = "NEVER" / ( notify-list-element *( "," notify-list-element ) )     RFC 3461 4.1 */
static int take_notify(struct slice value, void *command, struct smtp_verdict *v)
{
    static const struct {
        struct slice word;
        unsigned bit;
    } words[] = {{{"SUCCESS", 7}, SMTP_NOTIFY_SUCCESS},
                 {{"FAILURE", 7}, SMTP_NOTIFY_FAILURE},
                 {{"DELAY", 5}, SMTP_NOTIFY_DELAY}};
    struct smtp_rcpt *rcpt = command;
    struct cursor c = cursor_init(value);
    (void)v;
    if (slice_eq_icase(value, SLICE("NEVER"))) {
        rcpt->notify = SMTP_NOTIFY_NEVER;
        return 0;
    }
    do {
        struct slice word = smtp_cursor_run(&c, smtp_is_alpha);
        size_t i = 0;
        while (i < ARRAY_LEN(words) && !slice_eq_icase(words[i].word, word))
            i++;
        if (i == ARRAY_LEN(words) || rcpt->notify & words[i].bit)
            return -1;
        rcpt->notify |= words[i].bit;
    } while (cursor_accept(&c, ','));
    return cursor_at_end(&c) ? 0 : -1;
}

/* original-recipient-address = addr-type ";" xtext     RFC 3461 4.2
 * For addr-type utf-8 UTF-8 may stand as it is (RFC 6533 3); the octets then are those of a parameter value. */
static int take_orcpt(struct slice value, void *command, struct smtp_verdict *v)
{
    struct smtp_rcpt *rcpt = command;
    struct cursor c = cursor_init(value);
    char decoded[ORCPT_MAX];
    (void)v;
    struct slice type = smtp_cursor_run(&c, smtp_is_atext);
    if (value.n > ORCPT_MAX || type.n == 0 || !slice_is_ascii(type) || !cursor_accept(&c, ';') || cursor_at_end(&c))
        return -1;
    struct slice address = cursor_rest(&c);
    bool ok = slice_eq_icase(type, SLICE("utf-8")) ? slice_is_utf8(address) && !smtp_has_control(address)
                                                   : smtp_xtext_decode_into(decoded, sizeof(decoded), address) > 0;
    if (!ok)
        return -1;
    rcpt->orcpt = value;
    return 0;
}

static const struct smtp_param_rule mail_rules[] = {
    {{"SIZE", 4}, take_size}, {{"BODY", 4}, take_body},   {{"SMTPUTF8", 8}, take_smtputf8},
    {{"RET", 3}, take_ret},   {{"ENVID", 5}, take_envid}, {{"AUTH", 4}, take_auth},
};

static const struct smtp_param_rule rcpt_rules[] = {
    {{"NOTIFY", 6}, take_notify},
    {{"ORCPT", 5}, take_orcpt},
};

/* ---- the commands ----------------------------------------------------------------------------------------- */

/* "FROM:" or "TO:", blanks that clients in use send (RFC 5321 3.3 forbids them), "<". */
static int take_opening(struct cursor *c, struct slice keyword, struct smtp_verdict *v)
{
    if (!smtp_cursor_accept_icase(c, keyword))
        return smtp_verdict_set(v, 501, "5.5.4", "Syntax: %.*s<address>", SLICE_ARG(keyword));
    while (cursor_accept(c, ' '))
        ;
    if (!cursor_accept(c, '<'))
        return smtp_verdict_set(v, 501, "5.5.4", "Syntax: %.*s<address>", SLICE_ARG(keyword));
    return 0;
}

/* Mailbox ">" */
static int take_closed_mailbox(struct cursor *c, struct smtp_mailbox *ret, const char *enhanced, struct smtp_verdict *v)
{
    struct err err;
    if (smtp_mailbox_take(c, ret, &err) < 0)
        return smtp_verdict_set(v, 553, enhanced, "Bad address: %s", err.text);
    if (!cursor_accept(c, '>'))
        return smtp_verdict_set(v, 553, enhanced, "Bad address: it must end with \">\"");
    return 0;
}

static int refuse_utf8(struct smtp_verdict *v)
{
    return smtp_verdict_set(v, 553, "5.6.7", "A UTF-8 address needs SMTPUTF8");
}

/* mail         = "MAIL FROM:" Reverse-path [SP Mail-parameters]     RFC 5321 4.1.1.2
 * Reverse-path = Path / "<>" */
int smtp_mail_parse(struct slice args, struct smtp_mail *ret, struct smtp_verdict *v)
{
    struct cursor c = cursor_init(args);
    struct smtp_mail mail = {0};
    if (take_opening(&c, SLICE("FROM:"), v) < 0)
        return -1;
    mail.null_path = cursor_accept(&c, '>');
    if (!mail.null_path && take_closed_mailbox(&c, &mail.sender, "5.1.7", v) < 0)
        return -1;
    if (smtp_params_take(&c, mail_rules, ARRAY_LEN(mail_rules), &mail, v) < 0)
        return -1;
    if (mail.sender.utf8 && !mail.smtputf8)
        return refuse_utf8(v); /* RFC 6531 3.4, 3.5 */
    *ret = mail;
    return 0;
}

/* rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]     4.1.1.3
 * There is no local mailbox that the bare postmaster could be. */
int smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt *ret, struct smtp_verdict *v)
{
    struct cursor c = cursor_init(args);
    struct smtp_rcpt rcpt = {0};
    if (take_opening(&c, SLICE("TO:"), v) < 0)
        return -1;
    if (slice_starts_icase(cursor_rest(&c), SLICE("postmaster>")))
        return smtp_verdict_set(v, 550, "5.1.1", "No mailbox here: give postmaster a domain");
    if (take_closed_mailbox(&c, &rcpt.recipient, "5.1.3", v) < 0)
        return -1;
    if (smtp_params_take(&c, rcpt_rules, ARRAY_LEN(rcpt_rules), &rcpt, v) < 0)
        return -1;
    if (rcpt.recipient.utf8 && !smtputf8)
        return refuse_utf8(v);
    *ret = rcpt;
    return 0;
}
