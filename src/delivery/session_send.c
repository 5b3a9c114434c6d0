/* delivery/session_send.c - one transaction: MAIL, RCPT, DATA, the content and the dot.
 *
 * The commands have numbers: 0 is MAIL, 1 to n the recipients, n + 1 DATA.  With PIPELINING (RFC 2920) they go out in
 * one piece, otherwise one by one; `answered` tells which one the next reply belongs to. */
#include "session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ORCPT_MAX = 500 }; /* RFC 3461 4.2 */

/* RFC 5321 4.5.3.2 bounds each reply and each block of data, but not how many of them may come late: a server could
 * hold a connection for hours with one octet of progress at a time. */
enum { ENVELOPE_LIMIT_MS = 30 * 60 * 1000, CONTENT_LIMIT_MS = 10 * 60 * 1000, CONTENT_OCTETS_PER_MS = 4 };

/* ---- verdicts ------------------------------------------------------------------------------------------------ */

static void give_result(struct delivery_session *s, size_t i, const struct smtp_verdict *v, bool own_words)
{
    if (s->rcpt[i] == RCPT_ANSWERED)
        return;
    s->rcpt[i] = RCPT_ANSWERED;
    s->own_words = own_words;
    s->ops->result(s->ctx, i, v);
}

static void give_all(struct delivery_session *s, const struct smtp_verdict *v, bool own_words)
{
    for (size_t i = 0; i < s->m->n_recipients; i++)
        give_result(s, i, v, own_words);
}

void send_conclude(struct delivery_session *s, const struct smtp_verdict *v, bool own_words)
{
    if (v != NULL)
        give_all(s, v, own_words);
    s->m = NULL;
    s->ops->finished(s->ctx);
}

/* The transaction is over and the server knows it. */
static void end_clean(struct delivery_session *s)
{
    send_conclude(s, NULL, false);
    session_enter(s, DELIVERY_IDLE);
}

/* ---- may it be sent at all? ---------------------------------------------------------------------------------- */

/* Such octets cannot be in an address; should one have come this far all the same, it must not become a command. */
static bool breaks_line(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return true;
    return strlen(text) > SMTP_PATH_MAX;
}

static bool unfit_address(const struct delivery_message *m)
{
    bool bad = breaks_line(m->sender);
    for (size_t i = 0; i < m->n_recipients && !bad; i++)
        bad = breaks_line(m->recipients[i].address);
    return bad;
}

static bool unfit(struct delivery_session *s, struct smtp_verdict *v)
{
    const struct delivery_message *m = s->m;
    if (unfit_address(m))
        return smtp_verdict_set(v, 553, "5.1.3", "an address of the envelope cannot be sent") < 0;
    /* RFC 1870 6.2: no need to try what the server has said it would refuse. */
    if (s->ext.has_size && s->ext.size > 0 && m->size > s->ext.size)
        return smtp_verdict_set(v, 552, "5.3.4", "the message has %llu octets, the server takes %llu at most",
                                (unsigned long long)m->size, (unsigned long long)s->ext.size) < 0;
    /* RFC 6531 3.2: never mangled, never sent to a server that has not offered it. */
    if (m->smtputf8 && !s->ext.smtputf8)
        return smtp_verdict_set(v, 553, "5.6.7",
                                "the message has non-ASCII addresses or header fields, and the server does not offer "
                                "SMTPUTF8") < 0;
    return false;
}

void delivery_session_send(struct delivery_session *s, const struct delivery_message *m, int64_t now_ms)
{
    struct smtp_verdict v;
    assert(s->state == DELIVERY_IDLE && m->n_recipients > 0 && m->n_recipients <= DELIVERY_RECIPIENTS_MAX);
    s->now_ms = now_ms;
    s->m = m;
    s->accepted = s->sent = s->answered = 0;
    s->mail_refused = s->empty = s->after_cr = false;
    s->line_start = true;
    memset(s->rcpt, RCPT_OPEN, sizeof(s->rcpt));
    if (unfit(s, &v)) {
        send_conclude(s, &v, true);
        session_restart_timer(s);
        s->ops->ready(s->ctx);
    } else {
        session_enter(s, DELIVERY_ENVELOPE);
    }
}

/* ---- the envelope -------------------------------------------------------------------------------------------- */

static void add_mail(const struct delivery_session *s, struct strbuf *out)
{
    const struct delivery_message *m = s->m;
    strbuf_addf(out, "MAIL FROM:<%s>", m->sender);
    if (s->ext.has_size)
        strbuf_addf(out, " SIZE=%llu", (unsigned long long)m->size);
    if (m->eightbit && s->ext.eightbitmime)
        strbuf_add_str(out, " BODY=8BITMIME");
    if (m->smtputf8)
        strbuf_add_str(out, " SMTPUTF8");
    if (s->ext.dsn && m->ret != SMTP_RET_NONE)
        strbuf_add_str(out, m->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
    if (s->ext.dsn && m->envid != NULL && m->envid[0] != '\0' && !breaks_line(m->envid))
        strbuf_addf(out, " ENVID=%s", m->envid);
    strbuf_add_str(out, "\r\n");
}

/* RFC 3461 4.1: NEVER stands alone. */
static void add_notify(struct strbuf *out, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *name;
    } bits[] = {{SMTP_NOTIFY_SUCCESS, "SUCCESS"}, {SMTP_NOTIFY_FAILURE, "FAILURE"}, {SMTP_NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";
    if (notify & SMTP_NOTIFY_NEVER) {
        strbuf_add_str(out, " NOTIFY=NEVER");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        if (notify & bits[i].bit) {
            strbuf_addf(out, "%s%s", separator, bits[i].name);
            separator = ",";
        }
}

/* RFC 3461 5.2.1: the client's ORCPT goes on as it is, or the recipient itself is the original one.  RFC 6533 3: in
 * seven bits, which any server takes. */
static void add_orcpt(struct strbuf *out, const struct queue_item_recipient *r)
{
    struct strbuf value = {.max = ORCPT_MAX};
    struct slice address = slice_of(r->address);
    if (r->orcpt != NULL && r->orcpt[0] != '\0') {
        smtp_utf8_xtext_finish(&value, slice_of(r->orcpt));
    } else if (slice_is_ascii(address)) {
        strbuf_add_str(&value, "rfc822;");
        smtp_xtext_encode(&value, address);
    } else {
        strbuf_add_str(&value, "utf-8;");
        smtp_utf8_xtext_encode(&value, address);
    }
    if (!value.failed)
        strbuf_addf(out, " ORCPT=%s", strbuf_str(&value));
    strbuf_free(&value);
}

static void add_rcpt(const struct delivery_session *s, const struct queue_item_recipient *r, struct strbuf *out)
{
    strbuf_addf(out, "RCPT TO:<%s>", r->address);
    if (s->ext.dsn) {
        add_notify(out, r->notify);
        add_orcpt(out, r);
    }
    strbuf_add_str(out, "\r\n");
}

/* With PIPELINING all that is left of the envelope, DATA included (RFC 2920 3.1), otherwise its next command. */
void send_envelope(struct delivery_session *s)
{
    struct strbuf out = STRBUF_INIT;
    if (s->sent == 0)
        session_limit(s, ENVELOPE_LIMIT_MS);
    size_t n = s->m->n_recipients;
    size_t until = s->ext.pipelining ? n + 2 : s->sent + 1;
    for (; s->sent < until; s->sent++) {
        if (s->sent == 0)
            add_mail(s, &out);
        else if (s->sent <= n)
            add_rcpt(s, &s->m->recipients[s->sent - 1], &out);
        else
            strbuf_add_str(&out, "DATA\r\n");
    }
    if (out.failed)
        session_give_up(s, "4.3.0", "out of memory");
    else
        session_command(s, strbuf_slice(&out));
    strbuf_free(&out);
}

static void on_mail(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_success(v))
        return;
    s->mail_refused = true;
    give_all(s, v, false);
}

/* After a refused MAIL a server that takes recipients is broken: what it would do with a dot, nobody knows. */
static bool on_rcpt(struct delivery_session *s, size_t i, const struct smtp_verdict *v)
{
    if (smtp_is_success(v) && s->mail_refused)
        return false;
    if (smtp_is_success(v)) {
        s->rcpt[i] = RCPT_ACCEPTED;
        s->accepted++;
    } else {
        give_result(s, i, v, false);
    }
    return true;
}

void send_on_envelope(struct delivery_session *s, const struct smtp_verdict *v)
{
    size_t k = s->answered++;
    bool sane = v->code / 100 != 3;
    if (sane && k == 0)
        on_mail(s, v);
    else if (sane)
        sane = on_rcpt(s, k - 1, v);
    session_restart_timer(s);
    if (!sane)
        session_bad_reply(s, v);
    else if (s->mail_refused && !s->ext.pipelining)
        end_clean(s);
    else if (s->answered <= s->m->n_recipients && !s->ext.pipelining)
        send_envelope(s);
    else if (s->answered > s->m->n_recipients && (s->accepted > 0 || s->ext.pipelining))
        session_enter(s, DELIVERY_DATA);
    else if (s->answered > s->m->n_recipients)
        session_enter(s, DELIVERY_RSET);
}

/* ---- DATA and the content ------------------------------------------------------------------------------------- */

void send_data(struct delivery_session *s)
{
    if (s->sent == s->m->n_recipients + 1)
        send_envelope(s);
}

void send_on_data(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (v->code / 100 == 3 && s->accepted == 0 && !s->mail_refused) {
        /* RFC 2920 3.1: nobody is there to send to; the dot alone, and whatever it gets is ignored. */
        s->empty = true;
        session_enter(s, DELIVERY_DOT);
    } else if (v->code / 100 == 3 && s->accepted > 0) {
        session_enter(s, DELIVERY_BODY);
    } else if (v->code < 400) {
        session_bad_reply(s, v);
    } else {
        give_all(s, v, false);
        if (s->mail_refused)
            end_clean(s);
        else
            session_enter(s, DELIVERY_RSET);
    }
}

void send_body(struct delivery_session *s)
{
    session_limit(s, CONTENT_LIMIT_MS + (int64_t)(s->m->size / CONTENT_OCTETS_PER_MS));
    s->ops->want_content(s->ctx);
}

/* Is every CR followed by LF and every LF preceded by CR?  What is in the queue was made so; were it not, a look-alike
 * of the end of data could leave this house as two messages (SMTP smuggling). */
static bool only_crlf(struct delivery_session *s, struct slice bytes, bool last)
{
    struct octets odd = {0};
    size_t i = 1;
    if (bytes.n == 0)
        return !(last && s->after_cr);
    bool right = s->after_cr == (bytes.p[0] == '\n');
    for (; bytes.n - i >= OCTETS; i += OCTETS)
        odd.v |= octets_eq(octets_at(bytes.p + i - 1), '\r').v ^ octets_eq(octets_at(bytes.p + i), '\n').v;
    for (; i < bytes.n; i++)
        right = right && (bytes.p[i - 1] == '\r') == (bytes.p[i] == '\n');
    s->after_cr = bytes.p[bytes.n - 1] == '\r';
    return right && octets_mask(odd) == 0 && !(last && s->after_cr);
}

/* Up to the first dot behind an LF; not one at p[0]. */
static size_t before_dot(struct slice s)
{
    size_t i = 1;
    for (; s.n > i && s.n - i >= OCTETS; i += OCTETS) {
        struct octets dot = octets_eq(octets_at(s.p + i), '.'), lf = octets_eq(octets_at(s.p + i - 1), '\n');
        unsigned k = octets_before((struct octets){dot.v & lf.v});
        if (k < OCTETS)
            return i + k;
    }
    while (i < s.n && (s.p[i] != '.' || s.p[i - 1] != '\n'))
        i++;
    return i;
}

/* RFC 5321 4.5.2: a leading dot is doubled: one piece ends with it, and the next begins with it.  Pieces go out as they
 * stand, nothing is copied here. */
static void send_stuffed(struct delivery_session *s, struct slice bytes)
{
    if (bytes.n > 0 && s->line_start && bytes.p[0] == '.')
        session_command(s, SLICE("."));
    while (bytes.n > 0) {
        size_t n = before_dot(bytes);
        s->line_start = bytes.p[n - 1] == '\n';
        session_command(s, slice_sub(bytes, 0, n + 1));
        bytes = slice_skip(bytes, n);
    }
}

void delivery_session_content(struct delivery_session *s, struct slice bytes, bool last, bool failed, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state != DELIVERY_BODY)
        return; /* the connection has gone meanwhile, or the server cut in */
    struct smtp_verdict v;
    if (failed) {
        session_give_up(s, "4.3.0", "the content could not be read from the queue");
    } else if (!only_crlf(s, bytes, last)) {
        smtp_verdict_set(&v, 554, "5.6.0", "the stored content has a line end that is not CRLF");
        session_fail(s, &v, true);
    } else {
        session_restart_timer(s);
        send_stuffed(s, bytes);
        if (last)
            session_enter(s, DELIVERY_DOT);
        else
            s->ops->want_content(s->ctx);
    }
}

/* A reply before the dot: a refusal counts, a success cannot be one.  The two sides are out of step, so the connection
 * ends. */
void send_on_early_reply(struct delivery_session *s, const struct smtp_verdict *v)
{
    session_refused(s, v);
}

/* The content ends a line before the dot; one that does not is given its CRLF. */
void send_dot(struct delivery_session *s)
{
    session_command(s, s->line_start ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
}

void send_on_dot(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (v->code / 100 == 3) {
        session_bad_reply(s, v);
        return;
    }
    if (!s->empty)
        give_all(s, v, false);
    end_clean(s);
}

/* ---- RSET ----------------------------------------------------------------------------------------------------- */

/* All have their verdict; that a transaction was left open is between this connection and its server. */
void send_rset(struct delivery_session *s)
{
    send_conclude(s, NULL, false);
    session_command(s, SLICE("RSET\r\n"));
}

void send_on_rset(struct delivery_session *s, const struct smtp_verdict *v)
{
    if (smtp_is_success(v))
        session_enter(s, DELIVERY_IDLE);
    else
        session_refused(s, v);
}
