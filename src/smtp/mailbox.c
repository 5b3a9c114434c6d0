/* smtp/mailbox.c - Mailbox, local parts and address literals (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3). */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

/* Dot-string = Atom *("."  Atom) */
static int take_dot_string(struct cursor *c, struct err *err)
{
    do {
        if (smtp_cursor_run(c, smtp_is_atext).n == 0)
            return err_set(err, "the local part is malformed");
    } while (cursor_accept(c, '.'));
    return 0;
}

/* Quoted-string    = DQUOTE *QcontentSMTP DQUOTE
 * qtextSMTP        = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii
 * quoted-pairSMTP  = %d92 %d32-126 */
static int take_quoted_string(struct cursor *c, struct err *err)
{
    while (!cursor_accept(c, '"')) {
        bool pair = cursor_accept(c, '\\');
        int octet = cursor_peek(c);
        if (octet < 0)
            return err_set(err, "the quoted local part has no end");
        if (octet < 0x20 || octet == 0x7f || (pair && octet > 0x7f))
            return err_set(err, "the quoted local part holds an octet that may not stand there");
        c->p++;
    }
    return 0;
}

static bool is_domain_octet(int c)
{
    return smtp_is_alnum(c) || c == '-' || c == '.' || c >= 0x80;
}

static bool is_literal_octet(int c)
{
    return smtp_is_alnum(c) || c == '.' || c == ':';
}

/* Domain = sub-domain *("." sub-domain)
 * sub-domain = Let-dig [Ldh-str] / U-label.  What a label may be is IDNA's business (RFC 5891), so base decides. */
static int take_domain(struct cursor *c, struct slice *ret, struct err *err)
{
    char ascii[DOMAIN_MAX + 1];
    struct err reason;
    *ret = smtp_cursor_run(c, is_domain_octet);
    if (ret->n == 0)
        return err_set(err, "the address has no domain");
    if (domain_to_ascii(*ret, ascii, &reason) < 0)
        return err_set(err, "the domain is malformed");
    return 0;
}

/* address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]".  No tag but IPv6 is registered. */
static int take_literal(struct cursor *c, struct slice *ret, struct err *err)
{
    const char *mark = c->p;
    char text[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (!cursor_accept(c, '['))
        return err_set(err, "the address literal is malformed");
    int family = smtp_cursor_accept_icase(c, SLICE("IPv6:")) ? AF_INET6 : AF_INET;
    struct slice inner = smtp_cursor_run(c, is_literal_octet);
    if (inner.n == 0 || inner.n >= sizeof(text) || !cursor_accept(c, ']'))
        return err_set(err, "the address literal is malformed");
    memcpy(text, inner.p, inner.n);
    text[inner.n] = '\0';
    if (inet_pton(family, text, address) != 1)
        return err_set(err, "the address literal is malformed");
    *ret = cursor_since(c, mark);
    return 0;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
int smtp_mailbox_take(struct cursor *c, struct smtp_mailbox *ret, struct err *err)
{
    const char *mark = c->p;
    struct smtp_mailbox m = {0};
    /* RFC 5321 4.1.1.3, F.2: a source route may be refused. */
    if (cursor_peek(c) == '@')
        return err_set(err, "source routes are not accepted");
    if ((cursor_accept(c, '"') ? take_quoted_string(c, err) : take_dot_string(c, err)) < 0)
        return -1;
    m.local = cursor_since(c, mark);
    if (m.local.n > SMTP_LOCAL_PART_MAX)
        return err_set(err, "the local part is longer than %d octets", SMTP_LOCAL_PART_MAX);
    if (!cursor_accept(c, '@'))
        return err_set(err, cursor_peek(c) == '>' || cursor_at_end(c) ? "the address has no domain"
                                                                      : "the local part is malformed");
    m.literal = cursor_peek(c) == '[';
    if ((m.literal ? take_literal(c, &m.domain, err) : take_domain(c, &m.domain, err)) < 0)
        return -1;
    m.address = cursor_since(c, mark);
    if (m.address.n > SMTP_PATH_MAX)
        return err_set(err, "the address is longer than %d octets", SMTP_PATH_MAX);
    m.utf8 = !slice_is_ascii(m.address);
    if (m.utf8 && (!slice_is_utf8(m.address) || smtp_has_control(m.address)))
        return err_set(err, "the address is not clean UTF-8");
    *ret = m;
    return 0;
}

int smtp_mailbox_parse(struct slice s, struct smtp_mailbox *ret, struct err *err)
{
    struct cursor c = cursor_init(s);
    struct smtp_mailbox m;
    if (smtp_mailbox_take(&c, &m, err) < 0)
        return -1;
    if (!cursor_at_end(&c))
        return err_set(err, "something follows the address");
    *ret = m;
    return 0;
}

bool smtp_is_address_literal(struct slice s)
{
    struct cursor c = cursor_init(s);
    struct slice literal;
    return take_literal(&c, &literal, NULL) == 0 && cursor_at_end(&c);
}

struct slice smtp_local_part_decode(struct arena *a, struct slice local)
{
    if (local.n < 2 || local.p[0] != '"')
        return arena_copy(a, local);
    char *out = arena_alloc(a, local.n);
    if (out == NULL)
        return (struct slice){0};
    size_t n = 0;
    for (size_t i = 1; i + 1 < local.n; i++) {
        if (local.p[i] == '\\' && i + 2 < local.n)
            i++;
        out[n++] = local.p[i];
    }
    return slice_from(out, n);
}
