/* Mailbox lists and address lists (RFC 5322 3.4, RFC 6532 3.2): a strict parser with a cursor.
 *
 *   address-list = address *("," address)
 *   address      = mailbox / group
 *   group        = display-name ":" [mailbox-list / CFWS] ";" [CFWS]
 *   mailbox      = [CFWS] ([display-name] "<" addr-spec ">" / addr-spec) [CFWS]
 *   display-name = word *(word / "." / CFWS)
 *   addr-spec    = (dot-atom-text / quoted-string) "@" (domain / domain-literal)
 *
 * The grammar is that of RFC 5322 without its obs- rules, but for one: a dot in a display name (obs-phrase), which
 * clients send and which no reader misreads.  It is narrower where readers in use are known to differ: an addr-spec is
 * one run of octets without comments and white space; a comment holds no '<', '>' or '@'; a display name that holds an
 * '@' (in quotes) holds no angle bracket and no quoted pair; the quoted local part holds no '@' or angle bracket. */
#include "internal.h"

#include <string.h>

enum {
    COMMENT_DEPTH_MAX = 8,
    LOCAL_PART_MAX = 64,   /* RFC 5321 4.5.3.1.1 */
    LABEL_MAX = 63,        /* RFC 1035 2.3.4 */
    PATH_MAX_OCTETS = 254, /* RFC 5321 4.5.3.1.3 without the angle brackets */
    END = -1
};

/* The first error sticks; from then on the input is at its end, so every loop ends too. */
struct cursor {
    struct arena *arena;
    struct slice s;
    size_t at;
    const char *error;
    bool no_memory;
    struct mailbox *v;
    size_t n, cap;
};

static void fail(struct cursor *c, const char *reason)
{
    if (c->error == NULL)
        c->error = reason;
}

static int peek(const struct cursor *c)
{
    return c->error != NULL || c->at == c->s.n ? END : (unsigned char)c->s.p[c->at];
}

static int next(struct cursor *c)
{
    int ch = peek(c);
    if (ch != END)
        c->at++;
    return ch;
}

static bool accept_octet(struct cursor *c, char ch)
{
    if (peek(c) != (unsigned char)ch)
        return false;
    c->at++;
    return true;
}

static struct slice since(const struct cursor *c, size_t start)
{
    return slice_sub(c->s, start, c->at - start);
}

/* ---- octets -------------------------------------------------------------------------------------- */

static bool is_alnum(int ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z');
}

/* atext: RFC 5322 3.2.3, with UTF8-non-ascii of RFC 6532 3.2 */
static bool is_atext(int ch)
{
    return ch >= 0x80 || is_alnum(ch) || (ch > ' ' && strchr("!#$%&'*+-/=?^_`{|}~", ch) != NULL);
}

static bool is_space(int ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n'; /* judge_value: CRLF only where a fold is */
}

static const char *judge_fold(struct slice value, size_t cr)
{
    size_t i = cr + 2;
    if (i >= value.n || value.p[cr + 1] != '\n' || (value.p[i] != ' ' && value.p[i] != '\t'))
        return "a CR or LF that does not fold the line";
    while (i < value.n && (value.p[i] == ' ' || value.p[i] == '\t'))
        i++;
    /* obs-FWS */
    return i == value.n || value.p[i] == '\r' ? "a folded line of white space only" : NULL;
}

/* What holds for the whole value, so that the grammar below needs not look again. */
static const char *judge_value(struct slice value)
{
    if (!slice_is_utf8(value))
        return "8-bit text that is not UTF-8";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char ch = (unsigned char)value.p[i];
        if (ch == '\r') {
            const char *reason = judge_fold(value, i++);
            if (reason != NULL)
                return reason;
        } else if ((ch < ' ' && ch != '\t') || ch == 0x7f) {
            return ch == '\n' ? "a CR or LF that does not fold the line" : "a control octet";
        } else if (ch == 0xc2 && (unsigned char)value.p[i + 1] < 0xa0) {
            return "a control character"; /* U+0080 to U+009F */
        }
    }
    return NULL;
}

/* ---- white space, comments, words -------------------------------------------------------------------- */

/* quoted-pair = "\" (VCHAR / WSP)    RFC 5322 3.2.1; the "\" has been read.  RFC 6532 adds UTF-8 here, RFC 6531 does
 * not. */
static int next_quoted(struct cursor *c)
{
    int ch = next(c);
    if (ch == '\r' || ch == END || ch >= 0x80)
        fail(c, "a backslash before what needs no quoting");
    return ch;
}

/* comment = "(" *([FWS] (ctext / quoted-pair / comment)) [FWS] ")"    RFC 5322 3.2.2 */
static void skip_comment(struct cursor *c)
{
    unsigned depth = 0;
    do {
        int ch = next(c);
        if (ch == '(' && ++depth > COMMENT_DEPTH_MAX)
            fail(c, "comments nested too deeply");
        else if (ch == ')')
            depth--;
        else if (ch == END)
            fail(c, "a comment that does not end");
        if (ch == '\\')
            ch = next_quoted(c);
        if (ch == '@' || ch == '<' || ch == '>')
            fail(c, "a comment that a reader may take for an address");
    } while (depth > 0 && c->error == NULL);
}

static void skip_cfws(struct cursor *c)
{
    for (;;) {
        if (is_space(peek(c)))
            c->at++;
        else if (peek(c) == '(')
            skip_comment(c);
        else
            return;
    }
}

/* quoted-string without the CFWS around it    RFC 5322 3.2.4 */
static void skip_quoted_string(struct cursor *c)
{
    c->at++;
    for (int ch = next(c); ch != '"'; ch = next(c)) {
        if (ch == END) {
            fail(c, "a quoted string that does not end");
            return;
        }
        if (ch == '\\')
            next_quoted(c);
    }
}

static void skip_atom(struct cursor *c)
{
    while (is_atext(peek(c)))
        c->at++;
}

/* phrase = word *(word / "." / CFWS)    RFC 5322 3.2.5, 4.1: obs-phrase, for `John Q. Public` */
static void skip_phrase(struct cursor *c)
{
    if (peek(c) == '.')
        fail(c, "a display name that begins with a dot");
    for (;;) {
        int ch = peek(c);
        if (is_atext(ch))
            skip_atom(c);
        else if (ch == '"')
            skip_quoted_string(c);
        else if (ch == '.')
            c->at++;
        else if (is_space(ch) || ch == '(')
            skip_cfws(c);
        else
            return;
    }
}

/* ---- addr-spec ---------------------------------------------------------------------------------------- */

static const char *judge_local(struct slice local)
{
    if (local.n == 0)
        return "an empty local part";
    /* RFC 2047 5 (3): an encoded word may not stand in an addr-spec, yet some readers decode it there */
    struct slice rest = slice_skip(local, slice_find_slice(local, SLICE("=?")) + 2);
    if (slice_find_slice(rest, SLICE("?=")) != rest.n)
        return "an encoded word in an address";
    return NULL;
}

/* dot-atom-text = 1*atext *("." 1*atext)    RFC 5322 3.2.3 */
static struct slice parse_dot_atom(struct cursor *c)
{
    size_t start = c->at;
    do {
        if (!is_atext(peek(c)))
            fail(c, peek(c) == '@' && c->at == start ? "an empty local part" : "a malformed local part");
        skip_atom(c);
    } while (accept_octet(c, '.'));
    return since(c, start);
}

/* Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE    RFC 5321 4.1.2: no HTAB, no fold.
 * Into the arena only where a quoted pair stands. */
static struct slice parse_quoted_local(struct cursor *c)
{
    size_t start = c->at + 1;
    skip_quoted_string(c);
    if (c->error != NULL)
        return (struct slice){0};
    struct slice inner = slice_sub(c->s, start, c->at - start - 1);
    for (size_t i = 0; i < inner.n; i++)
        if (strchr("@<>\t\r\n", inner.p[i]) != NULL)
            fail(c, "a quoted local part that readers take apart differently");
    if (slice_find(inner, '\\') == inner.n)
        return inner;
    char *out = arena_alloc(c->arena, inner.n);
    if (out == NULL) {
        c->no_memory = true;
        fail(c, "out of memory");
        return (struct slice){0};
    }
    size_t n = 0;
    for (size_t i = 0; i < inner.n; i++) {
        if (inner.p[i] == '\\')
            i++;
        out[n++] = inner.p[i];
    }
    return slice_from(out, n);
}

/* dots that IDNA mapping turns into '.' (UTS 46 2.3): elsewhere they are none */
static bool has_foreign_dot(struct slice domain)
{
    static const char *const dots[] = {"\xe3\x80\x82", "\xef\xbc\x8e", "\xef\xbd\xa1"};
    for (size_t i = 0; i < ARRAY_LEN(dots); i++)
        if (slice_find_slice(domain, slice_of(dots[i])) != domain.n)
            return true;
    return false;
}

/* A label of letters, digits, '-', '_' and UTF-8.  Whether UTF-8 makes a name is for domain_to_ascii to say. */
static void parse_label(struct cursor *c)
{
    size_t start = c->at;
    for (int ch = peek(c); is_alnum(ch) || ch == '-' || ch == '_' || ch >= 0x80; ch = peek(c))
        c->at++;
    struct slice label = since(c, start);
    if (label.n == 0)
        fail(c, "a malformed domain");
    else if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        fail(c, "a domain label that begins or ends with '-'");
    else if (label.n > LABEL_MAX && slice_is_ascii(label))
        fail(c, "a domain label of more than 63 octets");
}

/* domain-literal = "[" 1*dtext "]"    RFC 5322 3.4.1, without white space; dtext = %d33-90 / %d94-126 */
static void parse_literal(struct cursor *c)
{
    size_t start = c->at;
    while (peek(c) > ' ' && peek(c) < 0x7f && strchr("[]\\<>@", peek(c)) == NULL)
        c->at++;
    if (c->at == start || !accept_octet(c, ']'))
        fail(c, "a malformed domain literal");
}

static void parse_domain(struct cursor *c, struct mailbox *m)
{
    size_t start = c->at;
    m->literal = accept_octet(c, '[');
    if (m->literal) {
        parse_literal(c);
    } else {
        do
            parse_label(c);
        while (accept_octet(c, '.'));
    }
    m->domain = since(c, start);
    if (m->domain.n > DOMAIN_MAX)
        fail(c, "a domain of more than 253 octets");
    if (has_foreign_dot(m->domain))
        fail(c, "a domain with a dot that is none");
}

static size_t formatted_local_length(struct slice local);

static void parse_addr_spec(struct cursor *c, struct mailbox *m)
{
    m->local = peek(c) == '"' ? parse_quoted_local(c) : parse_dot_atom(c);
    if (c->error != NULL)
        return;
    const char *reason = judge_local(m->local);
    if (reason != NULL)
        fail(c, reason);
    if (!accept_octet(c, '@'))
        fail(c, "an address without '@'");
    parse_domain(c, m);
    size_t local = formatted_local_length(m->local);
    if (local > LOCAL_PART_MAX)
        fail(c, "a local part of more than 64 octets");
    if (local + 1 + m->domain.n > PATH_MAX_OCTETS)
        fail(c, "an address of more than 254 octets");
}

/* ---- lists --------------------------------------------------------------------------------------------- */

/* Does an addr-spec begin here, not a display name?  Then an '@' follows its local part at once. */
static bool at_addr_spec(const struct cursor *c)
{
    struct cursor probe = *c;
    if (peek(&probe) == '"')
        skip_quoted_string(&probe);
    else
        while (is_atext(peek(&probe)) || peek(&probe) == '.')
            probe.at++;
    return peek(&probe) == '@';
}

static void judge_display(struct cursor *c, struct slice display)
{
    bool at = slice_find(display, '@') != display.n;
    for (size_t i = 0; at && i < display.n; i++)
        if (strchr("<>\\", display.p[i]) != NULL)
            fail(c, "a display name that a reader may take for an address");
    enum word_verdict verdict = word_judge_display(display);
    if (verdict == WORD_ADDRESS)
        fail(c, "a display name that decodes to what a reader may take for an address");
    else if (verdict == WORD_MALFORMED)
        fail(c, "a display name with a malformed encoded word");
    else if (verdict == WORD_NO_MEMORY)
        c->no_memory = true;
    if (c->no_memory)
        fail(c, "out of memory");
}

static void add_mailbox(struct cursor *c, const struct mailbox *m)
{
    if (c->error != NULL)
        return;
    if (c->n == c->cap)
        fail(c, "too many addresses");
    else
        c->v[c->n++] = *m;
}

static void parse_address(struct cursor *c, bool groups);

static void parse_address_list(struct cursor *c, bool groups)
{
    do
        parse_address(c, groups);
    while (accept_octet(c, ','));
}

/* The display name and the ":" have been read.  Groups do not nest, so the recursion ends here. */
static void parse_group(struct cursor *c)
{
    skip_cfws(c);
    if (peek(c) != ';')
        parse_address_list(c, false);
    if (!accept_octet(c, ';'))
        fail(c, "a group that does not end");
    skip_cfws(c);
}

/* "<" addr-spec ">" with a display name before it, or an addr-spec alone */
static void parse_mailbox(struct cursor *c, struct slice display)
{
    struct mailbox m = {.display = display};
    bool angle = accept_octet(c, '<');
    if (angle && peek(c) == '@')
        fail(c, "a route in an address");
    parse_addr_spec(c, &m);
    if (angle && !accept_octet(c, '>'))
        fail(c, "an address that '>' does not follow");
    skip_cfws(c);
    add_mailbox(c, &m);
}

static void parse_address(struct cursor *c, bool groups)
{
    skip_cfws(c);
    int ch = peek(c);
    if (ch == ',' || ch == ';' || ch == END) {
        fail(c, "an empty address or list member");
        return;
    }
    if (ch == '<' || at_addr_spec(c)) {
        parse_mailbox(c, (struct slice){0});
        return;
    }
    size_t start = c->at;
    skip_phrase(c);
    if (c->at == start)
        fail(c, "a character that begins no address");
    struct slice display = slice_trim(since(c, start));
    ch = peek(c);
    if (ch != END)
        judge_display(c, display);
    if (ch == '<')
        parse_mailbox(c, display);
    else if (ch == ':' && groups && accept_octet(c, ':'))
        parse_group(c);
    else if (ch == ':')
        fail(c, "a group");
    else if (ch == '@')
        fail(c, "an unquoted '@' in a display name, or white space or a comment beside the '@' of an address");
    else
        fail(c, ch == END || ch == ',' ? "text without an address" : "a character in a display name that needs quotes");
}

int mailbox_list_parse(struct arena *a, struct slice value, unsigned flags, struct mailbox_list *ret, struct err *err)
{
    struct cursor c = {.arena = a, .s = value, .error = judge_value(value), .cap = 1};
    if (c.error != NULL)
        return err_set(err, "%s", c.error);
    for (size_t i = 0; i < value.n && c.cap < MESSAGE_ADDRESSES_MAX; i++)
        c.cap += value.p[i] == ',' || value.p[i] == ':'; /* an address begins behind one of these */
    c.v = arena_alloc_array(a, c.cap, sizeof(*c.v));
    if (c.v == NULL) {
        err_set(err, "out of memory");
        return MESSAGE_NO_MEMORY;
    }
    parse_address_list(&c, flags & ADDRESS_GROUPS);
    if (peek(&c) != END)
        fail(&c, "text behind an address");
    if (flags & ADDRESS_ONE && c.n != 1)
        fail(&c, "not exactly one address");
    if (c.error != NULL) {
        err_set(err, "%s", c.error);
        return c.no_memory ? MESSAGE_NO_MEMORY : -1;
    }
    ret->v = c.v;
    ret->n = c.n;
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static bool is_dot_atom(struct slice s)
{
    bool atom = false; /* did an atext octet come last? */
    for (size_t i = 0; i < s.n; i++) {
        if (!is_atext((unsigned char)s.p[i]) && !(s.p[i] == '.' && atom))
            return false;
        atom = s.p[i] != '.';
    }
    return atom;
}

static bool needs_quoted_pair(char ch)
{
    return ch == '"' || ch == '\\';
}

static size_t formatted_local_length(struct slice local)
{
    size_t n = local.n;
    if (is_dot_atom(local))
        return n;
    for (size_t i = 0; i < local.n; i++)
        n += needs_quoted_pair(local.p[i]);
    return n + 2;
}

void mailbox_format(struct strbuf *out, struct slice local, struct slice domain)
{
    if (is_dot_atom(local)) {
        strbuf_add_slice(out, local);
    } else {
        strbuf_add_char(out, '"');
        for (size_t i = 0; i < local.n; i++) {
            if (needs_quoted_pair(local.p[i]))
                strbuf_add_char(out, '\\');
            strbuf_add_char(out, local.p[i]);
        }
        strbuf_add_char(out, '"');
    }
    strbuf_add_char(out, '@');
    strbuf_add_slice(out, domain);
}
