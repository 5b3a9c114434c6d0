/* The Received field that we add (RFC 5321 4.4, RFC 3848, RFC 6531 4.3).
 *
 * By default it tells nothing of the client: where somebody sits while writing is nobody's business. */
#include "internal.h"

#include <string.h>

static const char *protocol(const struct intake_trace *t)
{
    if (!t->extended)
        return "SMTP"; /* HELO behind AUTH: RFC 3848 has no name for it */
    bool tls = t->tls.n > 0;
    if (t->smtputf8)
        return tls ? "UTF8SMTPSA" : "UTF8SMTPA";
    return tls ? "ESMTPSA" : "ESMTPA";
}

/* HELO is the client's own word, and may be anything: only what cannot be mistaken for other parts of the field is
 * repeated. */
static bool is_plain_name(struct slice s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\0' || strchr(allowed, s.p[i]) == NULL)
            return false;
    }
    return s.n > 0 && s.n <= DOMAIN_MAX;
}

/* address-literal (RFC 5321 4.1.3); IPv4 that came through an IPv6 socket is IPv4. */
static void add_address(struct strbuf *out, struct slice ip)
{
    static const struct slice mapped = {"::ffff:", 7};
    if (slice_starts_icase(ip, mapped) && slice_find(ip, '.') < ip.n)
        ip = slice_skip(ip, mapped.n);
    strbuf_add_str(out, slice_find(ip, ':') < ip.n ? "[IPv6:" : "[");
    strbuf_add_slice(out, ip);
    strbuf_add_char(out, ']');
}

void intake_received(struct strbuf *out, const struct intake_trace *t, time_t now)
{
    char date[DATE_SIZE];
    date_format(now, date);
    strbuf_add_str(out, "Received:");
    if (t->authenticated && !t->hide_client) {
        strbuf_add_str(out, " from ");
        strbuf_add_slice(out, is_plain_name(t->helo) ? t->helo : SLICE("unknown"));
        strbuf_add_str(out, " (");
        add_address(out, t->client_ip);
        strbuf_add_str(out, ")\r\n ");
    }
    strbuf_addf(out, " by %s", t->hostname);
    if (t->authenticated && !t->hide_client && t->tls.n > 0)
        strbuf_addf(out, " (%.*s)", SLICE_ARG(t->tls));
    if (t->authenticated)
        strbuf_addf(out, " with %s", protocol(t));
    strbuf_addf(out, " id %s;\r\n  %s\r\n", t->id, date);
}
