/* delivery/dsn.c - multipart/report in three parts: for a person, for a machine, and the header of the message in
 * question. */
#include "dsn.h"

#include "sendas/message.h"

#include <string.h>

enum { BOUNDARY_RANDOM = 24, FOLD_AT = 76, QP_LINE = 75 };

/* ---- text that came from elsewhere ------------------------------------------------------------------------------- */

static char printable(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f ? c : '?';
}

/* Words up to FOLD_AT, then a new line that begins with `indent`; `column` is where the first one begins. */
static void add_folded(struct strbuf *out, const char *text, size_t column, const char *indent)
{
    struct slice rest = slice_of(text), word;
    bool first = true;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &word);
        if (word.n == 0)
            continue;
        if (!first && column + 1 + word.n > FOLD_AT) {
            strbuf_addf(out, "\r\n%s", indent);
            column = strlen(indent);
        } else if (!first) {
            strbuf_add_char(out, ' ');
            column++;
        }
        for (size_t i = 0; i < word.n; i++)
            strbuf_add_char(out, printable(word.p[i]));
        column += word.n;
        first = false;
    }
}

/* One code point of well-formed UTF-8. */
static unsigned take_code_point(struct slice *s)
{
    unsigned char lead = (unsigned char)s->p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned c = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n && i < s->n; i++)
        c = c << 6 | ((unsigned char)s->p[i] & 0x3fU);
    *s = slice_skip(*s, n);
    return c;
}

/* An address in seven bits: utf-8-addr-xtext where it is not ASCII (RFC 6533 3). */
static void add_address(struct strbuf *out, const char *address)
{
    struct slice s = slice_of(address);
    bool escape = !slice_is_ascii(s) && slice_is_utf8(s);
    while (s.n > 0) {
        if (escape && ((unsigned char)s.p[0] >= 0x80 || s.p[0] == '\\' || s.p[0] == '+' || s.p[0] == '=')) {
            strbuf_addf(out, "\\x{%X}", take_code_point(&s));
        } else {
            strbuf_add_char(out, printable(s.p[0]));
            s = slice_skip(s, 1);
        }
    }
}

static void add_answer(struct strbuf *out, const struct smtp_verdict *v, size_t column, const char *indent)
{
    char text[sizeof(v->text) + sizeof(v->enhanced) + 16];
    snprintf(text, sizeof(text), "%d %s%s%s", v->code, v->enhanced, v->enhanced[0] == '\0' ? "" : " ", v->text);
    add_folded(out, text, column, indent);
}

static void add_date_field(struct strbuf *out, const char *name, int64_t when_ms)
{
    char date[DATE_SIZE];
    date_format((time_t)(when_ms / 1000), date);
    strbuf_addf(out, "%s: %s\r\n", name, date);
}

/* ---- the header of the DSN -----------------------------------------------------------------------------------------
 */

/* A message identifier that may stand in References: "<", no blank, no control, ">". */
static bool good_message_id(const char *id)
{
    size_t n = id == NULL ? 0 : strlen(id);
    if (n < 3 || n > 500 || id[0] != '<' || id[n - 1] != '>')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)id[i] <= 0x20 || (unsigned char)id[i] >= 0x7f)
            return false;
    return true;
}

static int add_header(const struct dsn *d, const char *boundary, struct strbuf *out)
{
    strbuf_addf(out, "From: Mail Delivery System <mailer-daemon@%s>\r\n", d->from_domain);
    strbuf_addf(out, "To: <%s>\r\n", d->to);
    strbuf_addf(out, "Subject: %s\r\n",
                d->kind == DSN_FAILED ? "Your message could not be delivered" : "Your message is delayed");
    add_date_field(out, "Date", d->now_ms);
    strbuf_add_str(out, "Message-ID: ");
    if (message_id_new(out, d->from_domain) < 0)
        return -1;
    strbuf_add_str(out, "\r\n");
    if (good_message_id(d->message_id))
        strbuf_addf(out, "References: %s\r\n", d->message_id);
    strbuf_add_str(out, "Auto-Submitted: auto-replied\r\n"); /* RFC 3834 5.2 */
    strbuf_add_str(out, "MIME-Version: 1.0\r\n");
    strbuf_addf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n",
                boundary);
    return 0;
}

/* ---- for a person
 * ------------------------------------------------------------------------------------------------------ */

static void add_explanation(const struct dsn *d, const struct dsn_recipient *r, struct strbuf *out)
{
    strbuf_add_str(out, "\r\n<");
    add_address(out, r->address);
    strbuf_add_str(out, ">\r\n    ");
    if (r->expired)
        strbuf_addf(out, "Tried for %lld hours without success. ", (long long)((d->now_ms - d->created_ms) / 3600000));
    if (r->mx != NULL && !r->own_words) {
        strbuf_add_str(out, "The server ");
        add_folded(out, r->mx, 0, "    ");
        strbuf_add_str(out, " said:\r\n    ");
    } else {
        strbuf_add_str(out, "The reason:\r\n    ");
    }
    add_answer(out, r->v, 4, "    ");
    strbuf_add_str(out, "\r\n");
}

static void add_human_part(const struct dsn *d, struct strbuf *out)
{
    char date[DATE_SIZE];
    date_format((time_t)(d->created_ms / 1000), date);
    strbuf_add_str(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    strbuf_addf(out, "This is the mail system at %s.\r\n\r\n", d->hostname);
    strbuf_addf(out, "Your message of %s\r\n", date);
    if (d->kind == DSN_FAILED)
        strbuf_add_str(out, "could not be delivered to the recipients below. It will not be tried again.\r\n");
    else
        strbuf_add_str(out, "has not yet been delivered to the recipients below. It is still being\r\n"
                            "tried; there is nothing that you need to do.\r\n");
    for (size_t i = 0; i < d->n_recipients; i++)
        add_explanation(d, &d->recipients[i], out);
    strbuf_addf(out, "\r\nThe message was known here as %s. Its header is attached.\r\n", d->queue_id);
}

/* ---- for a machine (RFC 3464 2)
 * --------------------------------------------------------------------------------------- */

/* xtext in its plain form; left out when it is none, or not seven-bit. */
static void add_xtext_field(struct strbuf *out, const char *name, const char *xtext)
{
    struct arena mem = ARENA_INIT(8192);
    struct slice plain = xtext == NULL || xtext[0] == '\0' ? SLICE("") : smtp_xtext_decode(&mem, slice_of(xtext));
    if (plain.n > 0 && plain.n <= 500 && slice_is_ascii(plain))
        strbuf_addf(out, "%s: %.*s\r\n", name, SLICE_ARG(plain));
    arena_free(&mem);
}

static void add_status(const struct dsn_recipient *r, struct strbuf *out)
{
    if (r->expired) /* RFC 3463 3.5: delivery time expired */
        strbuf_add_str(out, "Status: 4.4.7\r\n");
    else if (r->v->enhanced[0] == '4' || r->v->enhanced[0] == '5')
        strbuf_addf(out, "Status: %s\r\n", r->v->enhanced);
    else
        strbuf_addf(out, "Status: %c.0.0\r\n", smtp_is_temporary(r->v) ? '4' : '5');
}

static void add_recipient_fields(const struct dsn *d, const struct dsn_recipient *r, struct strbuf *out)
{
    strbuf_add_str(out, "\r\n");
    add_xtext_field(out, "Original-Recipient", r->orcpt);
    strbuf_add_str(out,
                   slice_is_ascii(slice_of(r->address)) ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ");
    add_address(out, r->address);
    strbuf_addf(out, "\r\nAction: %s\r\n", d->kind == DSN_FAILED ? "failed" : "delayed");
    add_status(r, out);
    if (r->mx != NULL) {
        strbuf_add_str(out, "Remote-MTA: dns; ");
        add_folded(out, r->mx, 0, " ");
        strbuf_add_str(out, "\r\n");
    }
    const char *type = r->own_words ? "Diagnostic-Code: x-sendas; " : "Diagnostic-Code: smtp; ";
    strbuf_add_str(out, type);
    add_answer(out, r->v, strlen(type), " ");
    strbuf_add_str(out, "\r\n");
    add_date_field(out, "Last-Attempt-Date", d->now_ms);
    if (d->kind == DSN_DELAYED)
        add_date_field(out, "Will-Retry-Until", d->expires_ms);
}

static void add_machine_part(const struct dsn *d, struct strbuf *out)
{
    strbuf_add_str(out, "Content-Type: message/delivery-status\r\n\r\n");
    add_xtext_field(out, "Original-Envelope-Id", d->envid);
    strbuf_addf(out, "Reporting-MTA: dns; %s\r\n", d->hostname);
    add_date_field(out, "Arrival-Date", d->created_ms);
    for (size_t i = 0; i < d->n_recipients; i++)
        add_recipient_fields(d, &d->recipients[i], out);
}

/* ---- the header of the message (RFC 6522 4)
 * ----------------------------------------------------------------------------- */

struct slice dsn_header_of(struct slice content, size_t max)
{
    struct slice s = slice_sub(content, 0, max);
    if (slice_starts(s, SLICE("\r\n")))
        return slice_sub(s, 0, 0);
    size_t end = slice_find_slice(s, SLICE("\r\n\r\n"));
    if (end < s.n)
        return slice_sub(s, 0, end + 2);
    while (s.n > 0 && s.p[s.n - 1] != '\n')
        s.n--;
    return s;
}

static bool is_plain(struct slice header)
{
    struct slice line;
    bool plain = slice_is_ascii(header) && memchr(header.p, '\0', header.n) == NULL;
    while (plain && header.n > 0) {
        header = slice_cut(header, '\n', &line);
        plain = line.n <= MESSAGE_LINE_MAX;
    }
    return plain;
}

/* RFC 2045 6.7; the line ends of the text stay line ends. */
static void add_quoted_printable(struct strbuf *out, struct slice text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool line_end = c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n';
        bool last = i + 2 < text.n && text.p[i + 1] == '\r' && text.p[i + 2] == '\n';
        bool literal = (c > 0x20 && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !last);
        if (line_end) {
            strbuf_add_str(out, "\r\n");
            column = 0;
            i++;
            continue;
        }
        if (column + (literal ? 1 : 3) > QP_LINE) {
            strbuf_add_str(out, "=\r\n");
            column = 0;
        }
        if (literal)
            strbuf_add_char(out, (char)c);
        else
            strbuf_addf(out, "=%02X", c);
        column += literal ? 1 : 3;
    }
}

static void add_original_part(const struct dsn *d, struct strbuf *out)
{
    strbuf_add_str(out, "Content-Type: text/rfc822-headers\r\n");
    if (is_plain(d->header)) {
        strbuf_add_str(out, "\r\n");
        strbuf_add_slice(out, d->header);
    } else {
        strbuf_add_str(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        add_quoted_printable(out, d->header);
    }
}

/* ---- all together
 * --------------------------------------------------------------------------------------------------------- */

/* Random, and nowhere in what stands between: the header is the only text that we did not write ourselves. */
static int make_boundary(const struct dsn *d, char out[BOUNDARY_RANDOM + 3])
{
    do {
        memcpy(out, "=_", 2);
        if (random_name(out + 2, BOUNDARY_RANDOM) < 0)
            return -1;
    } while (slice_find_slice(d->header, slice_of(out)) < d->header.n);
    return 0;
}

int dsn_build(const struct dsn *d, struct strbuf *out)
{
    char boundary[BOUNDARY_RANDOM + 3];
    if (make_boundary(d, boundary) < 0 || add_header(d, boundary, out) < 0)
        return -1;
    strbuf_add_str(out, "This is a delivery status notification in MIME format.\r\n");
    strbuf_addf(out, "\r\n--%s\r\n", boundary);
    add_human_part(d, out);
    strbuf_addf(out, "\r\n--%s\r\n", boundary);
    add_machine_part(d, out);
    if (d->header.n > 0) {
        strbuf_addf(out, "\r\n--%s\r\n", boundary);
        add_original_part(d, out);
    }
    strbuf_addf(out, "\r\n--%s--\r\n", boundary);
    return out->failed ? -1 : 0;
}
