/* Fix-up of the header (RFC 6409 8): what is missing is added, what must not leave is removed, and every other octet
 * stays where it was. */
#include "internal.h"

/* ---- what is removed ------------------------------------------------------------------------- */

/* Behind white space, folds and comments, nested ones too (CFWS, RFC 5322 3.2.2). */
static struct slice skip_cfws(struct slice s)
{
    size_t depth = 0, i = 0;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && depth > 0)
            i++;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
            break;
    }
    return slice_skip(s, i);
}

/* authres-header = [CFWS] authserv-id ... ; authserv-id is a token or a quoted-string (RFC 8601 2.2). */
static struct slice authserv_id(struct slice value)
{
    struct slice id, s = skip_cfws(value);
    if (slice_starts(s, SLICE("\""))) {
        slice_cut(slice_skip(s, 1), '"', &id);
        return id;
    }
    size_t n = 0;
    while (n < s.n && s.p[n] != ';' && s.p[n] != '(' && s.p[n] != '/' && slice_trim(slice_sub(s, n, 1)).n == 1)
        n++;
    return slice_sub(s, 0, n);
}

/* A forged verdict in our name would be believed by whoever trusts us (RFC 8601 5). */
static bool is_our_verdict(const struct config *config, struct slice value)
{
    return domain_eq(authserv_id(value), slice_of(config->hostname));
}

/* Is one of our domains in d=?  Of a signature that cannot be parsed nothing else matters. */
static bool is_our_signature(const struct config *config, struct slice value)
{
    while (value.n > 0) {
        struct slice tag, name;
        value = slice_cut(value, ';', &tag);
        struct slice domain = slice_trim(slice_cut(tag, '=', &name));
        if (slice_eq(slice_trim(name), SLICE("d")) && config_find_domain(config, domain) != NULL)
            return true;
    }
    return false;
}

static bool is_removed(const struct config *config, const struct field *f)
{
    if (slice_eq_icase(f->name, SLICE("Bcc")) || slice_eq_icase(f->name, SLICE("Resent-Bcc")) ||
        slice_eq_icase(f->name, SLICE("Return-Path"))) /* RFC 5322 3.6.3, RFC 5321 4.4 */
        return true;
    if (slice_eq_icase(f->name, SLICE("Authentication-Results")))
        return is_our_verdict(config, f->value);
    if (slice_eq_icase(f->name, SLICE("DKIM-Signature"))) /* ours are made below; an older one could only fail */
        return is_our_signature(config, f->value);
    return false;
}

/* ---- what is added --------------------------------------------------------------------------- */

static void note_change(struct strbuf *changes, struct slice name, const char *what)
{
    strbuf_addf(changes, "%s%.*s %s", changes->n > 0 ? ", " : "", SLICE_ARG(name), what);
}

static void add_date(struct strbuf *out, time_t now)
{
    char date[DATE_SIZE];
    date_format(now, date);
    strbuf_addf(out, "Date: %s\r\n", date);
}

/* In the domain of From:, so that nothing else is told.  From: itself is judged later: while it cannot be read, our own
 * name does, and the message will not get far. */
static int add_message_id(struct arena *a, const struct intake_fixup *req, const struct field_list *fields,
                          struct strbuf *out)
{
    char domain[DOMAIN_MAX + 1];
    struct mailbox_list from;
    const char *right = req->config->hostname;
    const struct field *f = fields_get(fields, SLICE("From"), 0);
    if (f != NULL && mailbox_list_parse(a, f->value, 0, &from, NULL) == 0 && from.n > 0 &&
        domain_to_ascii(from.v[0].domain, domain, NULL) == 0)
        right = domain;
    strbuf_add_str(out, "Message-ID: ");
    if (message_id_new(out, right) < 0)
        return -1;
    strbuf_add_str(out, "\r\n");
    return 0;
}

/* ---- the whole header ------------------------------------------------------------------------ */

static int parse(struct arena *a, struct slice header, struct field_list *ret, struct smtp_verdict *v)
{
    struct err err;
    switch (fields_parse(a, header, ret, &err)) {
    case 0:
        return 0;
    case MESSAGE_NO_MEMORY:
        return smtp_verdict_set(v, 451, "4.3.0", "Out of memory");
    default:
        return smtp_verdict_set(v, 550, "5.6.0", "%s", err.text);
    }
}

int intake_fixup(struct arena *a, const struct intake_fixup *req, struct slice header, struct strbuf *out,
                 struct field_list *ret, struct strbuf *changes, struct smtp_verdict *v)
{
    struct field_list fields;
    if (parse(a, header, &fields, v) < 0)
        return -1;
    if (fields_count(&fields, SLICE("Received")) > MESSAGE_RECEIVED_MAX) /* RFC 5321 6.3 */
        return smtp_verdict_set(v, 554, "5.4.6", "More than %d Received fields: a mail loop", MESSAGE_RECEIVED_MAX);

    strbuf_add_slice(out, req->received);
    for (size_t i = 0; i < fields.n; i++) {
        if (is_removed(req->config, &fields.v[i]))
            note_change(changes, fields.v[i].name, "removed");
        else
            strbuf_add_slice(out, fields.v[i].raw);
    }
    if (fields_count(&fields, SLICE("Date")) == 0) { /* RFC 6409 8.2 */
        add_date(out, req->now);
        note_change(changes, SLICE("Date"), "added");
    }
    if (fields_count(&fields, SLICE("Message-ID")) == 0) { /* RFC 6409 8.3 */
        if (add_message_id(a, req, &fields, out) < 0)
            return smtp_verdict_set(v, 451, "4.3.0", "No randomness for a Message-ID");
        note_change(changes, SLICE("Message-ID"), "added");
    }
    if (out->failed || changes->failed)
        return smtp_verdict_set(v, 451, "4.3.0", "Out of memory");
    /* Read again what was written: what is checked and signed is what leaves. */
    return parse(a, strbuf_slice(out), ret, v);
}
