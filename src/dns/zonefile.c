/* Master files (RFC 1035 5): words, then entries, then records. */
#include "internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 16 * 1024 * 1024, WORDS_MAX = 512, TXT_MAX = 65535 };

struct word {
    struct slice text; /* without its quotes; escapes still in it */
    unsigned line;
    bool quoted;
};

struct parser {
    const char *name;
    struct slice text;
    size_t at;
    unsigned line;
    struct word words[WORDS_MAX]; /* of one entry */
    size_t n;
    bool blank; /* the entry begins with white space: it has the owner of the one before */
    char origin[DNS_NAME_TEXT_SIZE];
    char owner[DNS_NAME_TEXT_SIZE];
    bool has_owner;
    struct dns_zone *zone;
    struct err *err;
};

static int fail(struct parser *p, unsigned line, const char *format, ...) PRINTF_LIKE(3, 4);
static int fail(struct parser *p, unsigned line, const char *format, ...)
{
    struct err why;
    va_list ap;
    va_start(ap, format);
    vsnprintf(why.text, sizeof(why.text), format, ap);
    va_end(ap);
    return err_set(p->err, "%s:%u: %.400s", p->name, line, why.text);
}

/* ---- words ----------------------------------------------------------------------------------- */

static int peek(const struct parser *p)
{
    return p->at < p->text.n ? (unsigned char)p->text.p[p->at] : -1;
}

static void skip_comment(struct parser *p)
{
    while (peek(p) >= 0 && peek(p) != '\n')
        p->at++;
}

static bool ends_word(int c)
{
    return c < 0 || c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ')' || c == ';' || c == '"';
}

/* Either quoted, where only a quote ends it, or plain. */
static int take_word(struct parser *p)
{
    bool quoted = peek(p) == '"';
    unsigned line = p->line;
    p->at += quoted;
    size_t start = p->at;
    for (int c = peek(p); quoted ? c != '"' : !ends_word(c); c = peek(p)) {
        if (c < 0)
            return fail(p, line, "a quoted string that does not end");
        if (c == '\0')
            return fail(p, p->line, "a NUL octet");
        if (c == '\\' && p->at + 1 < p->text.n)
            p->at++;
        p->line += p->text.p[p->at] == '\n';
        p->at++;
    }
    if (p->n == WORDS_MAX)
        return fail(p, line, "more than %d words in one entry", WORDS_MAX);
    p->words[p->n++] = (struct word){slice_sub(p->text, start, p->at - start), line, quoted};
    p->at += quoted;
    return 0;
}

/* The next entry's words; lines inside parentheses are one.  1, 0 at the end of the file, -1. */
static int take_entry(struct parser *p)
{
    unsigned depth = 0, opened = 0;
    p->n = 0;
    p->blank = peek(p) == ' ' || peek(p) == '\t';
    for (int c = peek(p); c >= 0; c = peek(p)) {
        if (c == '\n') {
            p->at++;
            p->line++;
            if (depth == 0)
                return 1;
        } else if (c == ';') {
            skip_comment(p);
        } else if (c == '(') {
            opened = p->line;
            depth++;
            p->at++;
        } else if (c == ')') {
            if (depth-- == 0)
                return fail(p, p->line, "a \")\" without \"(\"");
            p->at++;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            p->at++;
        } else if (take_word(p) < 0) {
            return -1;
        }
    }
    if (depth > 0)
        return fail(p, opened, "a \"(\" without \")\"");
    return p->n > 0;
}

/* ---- rdata ----------------------------------------------------------------------------------- */

static int take_name(struct parser *p, const struct word *w, char out[DNS_NAME_TEXT_SIZE])
{
    struct err why;
    if (w->text.n == 0 || dns_name_read(w->text, p->origin, out, &why) < 0)
        return fail(p, w->line, "%s: \"%.*s\"", w->text.n == 0 ? "an empty name" : why.text,
                    (int)(w->text.n < 100 ? w->text.n : 100), w->text.p);
    return 0;
}

static int keep(struct parser *p, unsigned line, struct slice text, struct zone_record *r)
{
    r->text = arena_copy(&p->zone->memory, text);
    return r->text.p != NULL ? 0 : fail(p, line, "out of memory");
}

static int read_name(struct parser *p, const struct word *w, size_t n, struct zone_record *r)
{
    char name[DNS_NAME_TEXT_SIZE];
    if (n != 1)
        return fail(p, w->line, "one name was expected");
    return take_name(p, w, name) < 0 ? -1 : keep(p, w->line, slice_of(name), r);
}

static int read_address(struct parser *p, const struct word *w, size_t n, struct zone_record *r)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    int family = r->type == DNS_A ? AF_INET : AF_INET6;
    if (n == 1 && w->text.n < sizeof(text)) {
        memcpy(text, w->text.p, w->text.n);
        text[w->text.n] = '\0';
        if (inet_pton(family, text, binary) == 1 && inet_ntop(family, binary, text, sizeof(text)) != NULL)
            return keep(p, w->line, slice_of(text), r);
    }
    return fail(p, w->line, "one %s address was expected", family == AF_INET ? "IPv4" : "IPv6");
}

static int read_mx(struct parser *p, const struct word *w, size_t n, struct zone_record *r)
{
    uint64_t preference;
    if (n != 2 || slice_to_u64(w->text, &preference) < 0 || preference > UINT16_MAX)
        return fail(p, w->line, "a preference (0 to 65535) and a name were expected");
    r->preference = (unsigned)preference;
    return read_name(p, w + 1, 1, r);
}

static int add_string(struct parser *p, const struct word *w, struct strbuf *out)
{
    size_t before = out->n;
    for (size_t at = 0; at < w->text.n;) {
        bool escaped;
        int c = dns_escape_read(w->text, &at, &escaped);
        if (c < 0)
            return fail(p, w->line, "a string with a broken escape");
        strbuf_add_char(out, (char)c);
    }
    /* RFC 1035 3.3: a length is one octet */
    if (out->n - before > 255)
        return fail(p, w->line, "a string of %zu octets: at most 255; cut it into several", out->n - before);
    return 0;
}

static int read_txt(struct parser *p, const struct word *w, size_t n, struct zone_record *r)
{
    struct strbuf text = {.max = TXT_MAX};
    int status = n > 0 ? 0 : fail(p, w[-1].line, "a string was expected");
    for (size_t i = 0; status == 0 && i < n; i++)
        status = add_string(p, &w[i], &text);
    if (status == 0)
        status = text.failed ? fail(p, w->line, "more text than a record may have, or out of memory")
                             : keep(p, w->line, strbuf_slice(&text), r);
    strbuf_free(&text);
    return status;
}

static int read_soa(struct parser *p, const struct word *w, size_t n, struct zone_record *r)
{
    if (n != 7)
        return fail(p, w[-1].line, "two names and five numbers were expected");
    return read_name(p, w, 1, r);
}

static const struct type {
    struct slice name;
    unsigned number;
    int (*read)(struct parser *p, const struct word *w, size_t n, struct zone_record *r);
} types[] = {
    {{"A", 1}, DNS_A, read_address}, {{"AAAA", 4}, DNS_AAAA, read_address}, {{"MX", 2}, DNS_MX, read_mx},
    {{"TXT", 3}, DNS_TXT, read_txt}, {{"CNAME", 5}, DNS_CNAME, read_name},  {{"PTR", 3}, DNS_PTR, read_name},
    {{"NS", 2}, DNS_NS, read_name},  {{"SOA", 3}, DNS_SOA, read_soa},
};

/* ---- entries ----------------------------------------------------------------------------------- */

static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return s.n > 0;
}

/* A number, or numbers with units as BIND writes them: "1h30m". */
static bool is_ttl(const struct word *w)
{
    if (w->quoted || w->text.n == 0 || w->text.p[0] < '0' || w->text.p[0] > '9')
        return false;
    for (size_t i = 0; i < w->text.n; i++) {
        const struct slice allowed = SLICE("0123456789smhdwSMHDW");
        if (slice_find(allowed, w->text.p[i]) == allowed.n)
            return false;
    }
    return true;
}

static bool is_class(const struct word *w)
{
    return slice_eq_icase(w->text, SLICE("IN")) || slice_eq_icase(w->text, SLICE("CH")) ||
           slice_eq_icase(w->text, SLICE("HS"));
}

static int read_directive(struct parser *p)
{
    const struct word *w = p->words;
    if (slice_eq_icase(w->text, SLICE("$ORIGIN"))) {
        char name[DNS_NAME_TEXT_SIZE];
        if (p->n != 2)
            return fail(p, w->line, "$ORIGIN: one name was expected");
        if (take_name(p, &w[1], name) < 0)
            return -1;
        memcpy(p->origin, name, strlen(name) + 1);
        return 0;
    }
    if (slice_eq_icase(w->text, SLICE("$TTL")))
        return p->n == 2 && is_ttl(&w[1]) ? 0 : fail(p, w->line, "$TTL: one number was expected");
    return fail(p, w->line, "%.*s is not understood; $ORIGIN and $TTL are", (int)(w->text.n < 40 ? w->text.n : 40),
                w->text.p);
}

static int add_record(struct parser *p, const struct type *type, const struct word *w, size_t n)
{
    struct zone_record r = {.type = type == NULL ? 0 : type->number, .text = SLICE("")};
    r.owner = arena_strdup(&p->zone->memory, slice_of(p->owner));
    if (r.owner == NULL)
        return fail(p, w[-1].line, "out of memory");
    /* RFC 3597 5: rdata of types one does not know */
    if (type != NULL && n > 0 && !w->quoted && slice_eq(w->text, SLICE("\\#")))
        return fail(p, w->line, "\\# is not understood for %.*s", SLICE_ARG(type->name));
    if (type != NULL && n == 0)
        return fail(p, w[-1].line, "nothing stands behind %.*s", SLICE_ARG(type->name));
    if (type != NULL && type->read(p, w, n, &r) < 0)
        return -1;
    return dns_zone_add(p->zone, &r) == 0
               ? 0
               : fail(p, w[-1].line, "more than %d records, or out of memory", ZONE_RECORDS_MAX);
}

/* [owner] [TTL] [class] type rdata, TTL and class in either order */
static int read_record(struct parser *p)
{
    size_t i = 0;
    bool internet = true;
    if (!p->blank && take_name(p, &p->words[i++], p->owner) < 0)
        return -1;
    p->has_owner = p->has_owner || !p->blank;
    if (!p->has_owner)
        return fail(p, p->words[0].line, "a record without a name, and none before it");
    for (bool ttl = false, class = false; i < p->n; i++) {
        if (!ttl && is_ttl(&p->words[i]))
            ttl = true;
        else if (!class && is_class(&p->words[i]))
            class = true, internet = slice_eq_icase(p->words[i].text, SLICE("IN"));
        else
            break;
    }
    if (i == p->n || p->words[i].quoted || !is_word(p->words[i].text))
        return fail(p, p->words[i == p->n ? i - 1 : i].line, "a record's type was expected");
    if (!internet)
        return 0;
    for (size_t k = 0; k < ARRAY_LEN(types); k++) {
        if (slice_eq_icase(p->words[i].text, types[k].name))
            return add_record(p, &types[k], &p->words[i + 1], p->n - i - 1);
    }
    return add_record(p, NULL, &p->words[i + 1], p->n - i - 1);
}

static int read_file(struct parser *p)
{
    int more;
    while ((more = take_entry(p)) > 0) {
        if (p->n == 0)
            continue;
        bool directive = !p->blank && !p->words[0].quoted && slice_starts(p->words[0].text, SLICE("$"));
        if ((directive ? read_directive(p) : read_record(p)) < 0)
            return -1;
    }
    return more;
}

int dns_zone_parse(struct slice text, const char *name, struct dns_zone **ret, struct err *err)
{
    struct dns_zone *z = calloc(1, sizeof(*z));
    struct parser *p = calloc(1, sizeof(*p));
    if (z == NULL || p == NULL) {
        free(z);
        free(p);
        return err_set(err, "%s: out of memory", name);
    }
    z->memory = ARENA_INIT(ZONE_MEMORY_MAX);
    p->name = name;
    p->text = text;
    p->line = 1;
    p->zone = z;
    p->err = err;
    int status = read_file(p);
    free(p);
    if (status < 0)
        dns_zone_free(&z);
    else
        *ret = z;
    return status;
}

int dns_zone_load(const char *path, struct dns_zone **ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    int status = file_read(path, FILE_MAX, false, &text, err);
    if (status == 0)
        status = dns_zone_parse(strbuf_slice(&text), path, ret, err);
    strbuf_free(&text);
    return status;
}
