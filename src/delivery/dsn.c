/* delivery/dsn.c - multipart/report in three parts (RFC 6522): for a person, for a machine, and the message in question
 * or its header. */
#include "dsn.h"

#include "subject.h"

#include "sendas/message.h"
#include "sendas/mime.h"

#include <string.h>

enum { BOUNDARY_RANDOM = 24, FOLD_AT = 76, ORCPT_MAX = 500 };

/* ---- text that came from elsewhere
 * ------------------------------------------------------------------------------------- */

/* In a field all is printable; above ASCII only where the part is UTF-8. */
static void add_printable(struct strbuf *out, struct slice s, bool utf8)
{
    utf8 = utf8 && slice_is_utf8(s);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
        bool good = c >= 0x80 ? utf8 && !c1 : c >= 0x20 && c != 0x7f;
        strbuf_add_char(out, good ? (char)c : '?');
        i += utf8 && c1; /* a C1 control is two octets */
    }
}

/* Words up to FOLD_AT, then a new line that begins with a blank; `column` is where the first one begins. */
static void add_folded(struct strbuf *out, const char *text, size_t column, bool utf8)
{
    struct slice rest = slice_of(text), word;
    bool first = true;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &word);
        if (word.n == 0)
            continue;
        if (!first && column + 1 + word.n > FOLD_AT) {
            strbuf_add_str(out, "\r\n ");
            column = 1;
        } else if (!first) {
            strbuf_add_char(out, ' ');
            column++;
        }
        add_printable(out, word, utf8);
        column += word.n;
        first = false;
    }
}

static void add_date_field(struct strbuf *out, const char *name, int64_t when_ms)
{
    char date[DATE_SIZE];
    date_format((time_t)(when_ms / 1000), date);
    strbuf_addf(out, "%s: %s\r\n", name, date);
}

/* ---- the header of the DSN
 * ----------------------------------------------------------------------------------------------- */

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
    dsn_add_subject(d, out);
    add_date_field(out, "Date", d->now_ms);
    strbuf_add_str(out, "Message-ID: ");
    if (message_id_new(out, d->from_domain) < 0)
        return -1;
    strbuf_add_str(out, "\r\n");
    if (good_message_id(d->message_id)) /* RFC 3834 3.1.5 */
        strbuf_addf(out, "In-Reply-To: %s\r\nReferences: %s\r\n", d->message_id, d->message_id);
    strbuf_add_str(out, "Auto-Submitted: auto-replied\r\n"); /* RFC 3834 5.2 */
    strbuf_add_str(out, "MIME-Version: 1.0\r\n");
    strbuf_addf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n",
                boundary);
    return 0;
}

/* ---- for a person
 * ---------------------------------------------------------------------------------------------------------- */

/* RFC 2045 6: what needs no encoding is left to be read as it is, what is mostly not ASCII would only grow by "=XX". */
static const char *choose_encoding(struct slice text)
{
    struct slice rest = text, line;
    size_t high = 0, longest = 0;
    for (size_t i = 0; i < text.n; i++)
        high += (unsigned char)text.p[i] >= 0x80;
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        if (line.n > longest)
            longest = line.n;
    }
    return high > text.n / 5 ? "base64" : high > 0 || longest > FOLD_AT + 1 ? "quoted-printable" : "7bit";
}

static void add_quoted_printable(struct strbuf *out, struct slice text)
{
    struct mime_qp_encoder qp = {.text = true};
    mime_qp_encode(&qp, text, out);
    mime_qp_encode_end(&qp, false, out);
}

static void add_base64(struct strbuf *out, struct slice text)
{
    struct mime_base64_encoder base64 = {0};
    mime_base64_encode(&base64, text, out);
    mime_base64_encode_end(&base64, false, out);
}

static void add_human_part(const struct dsn *d, bool returned, struct strbuf *out)
{
    struct strbuf text = {.max = DSN_MAX};
    dsn_add_explanation(d, returned, &text);
    const char *encoding = choose_encoding(strbuf_slice(&text));
    strbuf_addf(out,
                "Content-Type: text/plain; charset=utf-8\r\nContent-Language: %s\r\n"
                "Content-Transfer-Encoding: %s\r\n\r\n",
                language_tag(d->language), encoding);
    if (strcmp(encoding, "base64") == 0) {
        add_base64(out, strbuf_slice(&text));
    } else if (strcmp(encoding, "quoted-printable") == 0) {
        add_quoted_printable(out, strbuf_slice(&text));
    } else {
        strbuf_add_slice(out, strbuf_slice(&text));
    }
    out->failed |= text.failed;
    strbuf_free(&text);
}

/* ---- for a machine (RFC 3464 2, RFC 6533 4)
 * ---------------------------------------------------------------------------------- */

/* xtext in its plain form; left out when it is none, or not seven-bit. */
static void add_xtext_field(struct strbuf *out, const char *name, const char *xtext)
{
    struct arena mem = ARENA_INIT(8192);
    struct slice plain = smtp_xtext_decode(&mem, slice_of(xtext));
    if (plain.n > 0 && plain.n <= ORCPT_MAX && slice_is_ascii(plain))
        strbuf_addf(out, "%s: %.*s\r\n", name, SLICE_ARG(plain));
    arena_free(&mem);
}

/* What the client gave, or nothing (RFC 3464 2.3.1).  Type utf-8 is no xtext: it has an encoding of its own. */
static void add_original_recipient(struct strbuf *out, const char *orcpt, bool utf8)
{
    struct slice value = slice_of(orcpt);
    if (!slice_starts_icase(value, SLICE("utf-8;"))) {
        add_xtext_field(out, "Original-Recipient", orcpt);
        return;
    }
    strbuf_add_str(out, "Original-Recipient: ");
    if (utf8)
        add_printable(out, value, true);
    else
        smtp_utf8_xtext_finish(out, value);
    strbuf_add_str(out, "\r\n");
}

static void add_final_recipient(struct strbuf *out, const char *address, bool utf8)
{
    struct slice s = slice_of(address);
    bool ascii = slice_is_ascii(s);
    strbuf_add_str(out, ascii ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ");
    if (ascii || utf8)
        add_printable(out, s, utf8);
    else
        smtp_utf8_xtext_encode(out, s);
    strbuf_add_str(out, "\r\n");
}

static void add_status(const struct dsn_recipient *r, struct strbuf *out)
{
    char class = (char)('0' + r->v->code / 100);
    if (r->expired) /* RFC 3463 3.5: delivery time expired */
        strbuf_add_str(out, "Status: 4.4.7\r\n");
    else if (r->v->enhanced[0] == class)
        strbuf_addf(out, "Status: %s\r\n", r->v->enhanced);
    else
        strbuf_addf(out, "Status: %c.0.0\r\n", class);
}

static void add_diagnostic(struct strbuf *out, const struct dsn_recipient *r, bool utf8)
{
    char text[sizeof(r->v->text) + sizeof(r->v->enhanced) + 16];
    const char *type = r->own_words ? "Diagnostic-Code: x-sendas; " : "Diagnostic-Code: smtp; ";
    snprintf(text, sizeof(text), "%d %s%s%s", r->v->code, r->v->enhanced, r->v->enhanced[0] == '\0' ? "" : " ",
             r->v->text);
    strbuf_add_str(out, type);
    add_folded(out, text, strlen(type), utf8);
    strbuf_add_str(out, "\r\n");
}

static void add_recipient_fields(const struct dsn *d, const struct dsn_recipient *r, bool utf8, struct strbuf *out)
{
    static const char *const actions[DSN_KINDS] = {
        [DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_RELAYED] = "relayed"};
    strbuf_add_str(out, "\r\n");
    if (r->orcpt != NULL && r->orcpt[0] != '\0')
        add_original_recipient(out, r->orcpt, utf8);
    add_final_recipient(out, r->address, utf8);
    strbuf_addf(out, "Action: %s\r\n", actions[d->kind]);
    add_status(r, out);
    if (r->mx != NULL) {
        strbuf_add_str(out, "Remote-MTA: dns; ");
        add_folded(out, r->mx, 0, false);
        strbuf_add_str(out, "\r\n");
    }
    add_diagnostic(out, r, utf8);
    add_date_field(out, "Last-Attempt-Date", d->now_ms);
    strbuf_addf(out, "Final-Log-ID: %s\r\n", d->queue_id);
    if (d->kind == DSN_DELAYED)
        add_date_field(out, "Will-Retry-Until", d->expires_ms);
}

static bool needs_utf8(const struct dsn *d)
{
    bool ascii = slice_is_ascii(slice_of(d->to));
    for (size_t i = 0; i < d->n_recipients; i++)
        ascii = ascii && slice_is_ascii(slice_of(d->recipients[i].address));
    return !ascii;
}

/* RFC 6533 5: message/global-delivery-status may be encoded, message/delivery-status may not (RFC 3464 2). */
static void add_machine_part(const struct dsn *d, struct strbuf *out)
{
    bool utf8 = needs_utf8(d);
    struct strbuf text = {.max = DSN_MAX};
    if (d->envid != NULL && d->envid[0] != '\0')
        add_xtext_field(&text, "Original-Envelope-Id", d->envid);
    strbuf_addf(&text, "Reporting-MTA: dns; %s\r\n", d->hostname);
    add_date_field(&text, "Arrival-Date", d->created_ms);
    for (size_t i = 0; i < d->n_recipients; i++)
        add_recipient_fields(d, &d->recipients[i], utf8, &text);
    if (utf8) {
        strbuf_add_str(out, "Content-Type: message/global-delivery-status\r\n"
                            "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        add_quoted_printable(out, strbuf_slice(&text));
    } else {
        strbuf_add_str(out, "Content-Type: message/delivery-status\r\n\r\n");
        strbuf_add_slice(out, strbuf_slice(&text));
    }
    out->failed |= text.failed;
    strbuf_free(&text);
}

/* ---- the message, or its header (RFC 6522 3, 4)
 * ---------------------------------------------------------------------------------- */

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

/* Seven-bit in lines that may stand on the wire? */
static bool is_plain(struct slice text)
{
    struct slice line;
    bool plain = slice_is_ascii(text) && slice_find(text, '\0') == text.n;
    while (plain && text.n > 0) {
        text = slice_cut(text, '\n', &line);
        plain = line.n <= MESSAGE_LINE_MAX;
    }
    return plain;
}

/* RFC 2046 5.2.1: message/rfc822 may not be encoded, and no one knows whether all on the way of the DSN take 8-bit.
 * RFC 6532 3.5: message/global may, for which the header must be UTF-8; the body may be anything. */
static bool returns_message(const struct dsn *d)
{
    return d->whole && d->kind == DSN_FAILED && d->content.n <= DSN_RETURN_MAX &&
           (is_plain(d->content) || slice_is_utf8(dsn_header_of(d->content, d->content.n)));
}

static void add_encoded(struct strbuf *out, const char *type, struct slice text)
{
    const char *encoding = choose_encoding(text);
    bool base64 = strcmp(encoding, "base64") == 0;
    strbuf_addf(out, "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", type,
                base64 ? "base64" : "quoted-printable");
    if (base64)
        add_base64(out, text);
    else
        add_quoted_printable(out, text);
}

static void add_original_part(const struct dsn *d, bool returned, struct strbuf *out)
{
    struct slice header = dsn_header_of(d->content, DSN_HEADER_MAX);
    if (returned && is_plain(d->content)) {
        strbuf_add_str(out, "Content-Type: message/rfc822\r\n\r\n");
        strbuf_add_slice(out, d->content);
    } else if (returned) {
        add_encoded(out, "message/global", d->content);
    } else if (is_plain(header)) {
        strbuf_add_str(out, "Content-Type: text/rfc822-headers\r\n\r\n");
        strbuf_add_slice(out, header);
    } else {
        bool global = !slice_is_ascii(header) && slice_is_utf8(header); /* RFC 6533 5 */
        strbuf_addf(out, "Content-Type: %s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
                    global ? "message/global-headers" : "text/rfc822-headers");
        add_quoted_printable(out, header);
    }
}

/* ---- all together
 * --------------------------------------------------------------------------------------------------------------- */

/* Random, and nowhere in the one text that we did not write ourselves. */
static int make_boundary(const struct dsn *d, char out[BOUNDARY_RANDOM + 3])
{
    do {
        memcpy(out, "=_", 2);
        if (random_name(out + 2, BOUNDARY_RANDOM) < 0)
            return -1;
    } while (slice_find_slice(d->content, slice_of(out)) < d->content.n);
    return 0;
}

int dsn_build(const struct dsn *d, struct strbuf *out)
{
    char boundary[BOUNDARY_RANDOM + 3];
    bool returned = returns_message(d);
    if (make_boundary(d, boundary) < 0 || add_header(d, boundary, out) < 0)
        return -1;
    strbuf_add_str(out, "This is a delivery status notification in MIME format.\r\n");
    strbuf_addf(out, "\r\n--%s\r\n", boundary);
    add_human_part(d, returned, out);
    strbuf_addf(out, "\r\n--%s\r\n", boundary);
    add_machine_part(d, out);
    if (d->content.n > 0) {
        strbuf_addf(out, "\r\n--%s\r\n", boundary);
        add_original_part(d, returned, out);
    }
    strbuf_addf(out, "\r\n--%s--\r\n", boundary);
    return out->failed ? -1 : 0;
}
