/* One line to every parser of commands.  What is accepted must have the shape that its users rely on. */
#include "sendas/smtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static bool is_clean(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return slice_is_utf8(s);
}

static void check_mailbox(const struct smtp_mailbox *m)
{
    struct smtp_mailbox again;
    struct arena a = ARENA_INIT(4096);
    expect(is_clean(m->address) && m->address.n <= SMTP_PATH_MAX && m->local.n <= SMTP_LOCAL_PART_MAX);
    expect(m->local.n + 1 + m->domain.n == m->address.n && m->domain.n > 0);
    expect(smtp_mailbox_parse(m->address, &again, NULL) == 0 && slice_eq(again.domain, m->domain));
    expect(smtp_is_address_literal(m->domain) == m->literal);
    struct slice local = smtp_local_part_decode(&a, m->local);
    expect(local.p != NULL && local.n <= m->local.n);
    arena_free(&a);
}

static void check_verdict(const struct smtp_verdict *v)
{
    expect(v->code >= 400 && v->code < 600 && v->enhanced[0] == '0' + v->code / 100 && v->text[0] != '\0');
}

static void try_arguments(struct slice args)
{
    struct smtp_mail mail;
    struct smtp_rcpt rcpt;
    struct smtp_verdict v = {0};
    if (smtp_mail_parse(args, &mail, &v) < 0)
        check_verdict(&v);
    else if (!mail.null_path)
        check_mailbox(&mail.sender);
    if (smtp_rcpt_parse(args, true, &rcpt, &v) < 0) {
        check_verdict(&v);
    } else {
        check_mailbox(&rcpt.recipient);
        expect(is_clean(rcpt.orcpt));
    }
}

static void try_xtext(struct slice s)
{
    struct arena a = ARENA_INIT(1 << 20);
    struct strbuf encoded = STRBUF_INIT;
    struct slice decoded = smtp_xtext_decode(&a, s);
    smtp_xtext_encode(&encoded, s);
    struct slice again = smtp_xtext_decode(&a, strbuf_slice(&encoded));
    expect(again.p == NULL || slice_eq(again, s));
    expect(decoded.p == NULL || decoded.n <= s.n);
    strbuf_free(&encoded);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = slice_from(data, size), name;
    struct smtp_command command;
    struct smtp_mailbox mailbox;
    uint64_t n;
    bool last;
    if (smtp_command_parse(line, &command) == 0) {
        expect(command.verb.n > 0 && is_clean(command.verb) && is_clean(command.args));
        try_arguments(command.args);
    }
    try_arguments(line);
    if (smtp_mailbox_parse(line, &mailbox, NULL) == 0)
        check_mailbox(&mailbox);
    if (smtp_helo_parse(line, &name) == 0)
        expect(is_clean(name));
    smtp_bdat_parse(line, &n, &last);
    try_xtext(line);
    return 0;
}
