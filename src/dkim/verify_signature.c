/* One DKIM-Signature field: its tags read and judged (RFC 6376 3.5, 6.1.1; 8301; 8616).  Part of the verifier. */
#include "verify.h"

#include <string.h>

int dkim_signature_set(struct arena *a, struct dkim_signature *s, enum dkim_result result, const char *format, ...)
{
    struct err text;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text.text, sizeof(text.text), format, ap);
    va_end(ap);
    const char *copy = arena_strdup(a, slice_of(text.text));
    s->result = copy == NULL ? DKIM_TEMPERROR : result;
    s->reason = copy == NULL ? "out of memory" : copy;
    return -1;
}

/* ---- reading single values ------------------------------------------------------------------- */

static bool is_name_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A name to ask DNS for.  More than host names is let through: selectors with "_" are in use.  RFC 8616 3: U-labels. */
static int read_name(struct slice s, char out[DOMAIN_MAX + 1])
{
    size_t label = 0;
    if (!slice_is_ascii(s))
        return domain_to_ascii(s, out, NULL);
    if (s.n == 0 || s.n > DOMAIN_MAX)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        bool dot = s.p[i] == '.';
        if (dot ? label == 0 : (!is_name_octet(s.p[i]) || label == 63))
            return -1;
        label = dot ? 0 : label + 1;
    }
    if (label == 0)
        return -1;
    for (size_t i = 0; i < s.n; i++)
        out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    out[s.n] = '\0';
    return 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* dkim-quoted-printable (RFC 6376 2.11): white space counts for nothing, "=3B" is an octet.  0, -1 or
 * MESSAGE_NO_MEMORY. */
static int read_quoted(struct arena *a, struct slice text, struct slice *ret)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;
    if (out == NULL)
        return MESSAGE_NO_MEMORY;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        if (c == '=') {
            int high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
            int low = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return -1;
        out[n++] = c;
    }
    *ret = slice_from(out, n);
    return slice_is_utf8(*ret) ? 0 : -1;
}

/* "76*digit" is the grammar's bound; what does not fit 64 bits is later than any time and longer than any body. */
static int read_number(struct slice s, uint64_t *ret)
{
    enum { DIGITS_MAX = 76 };
    if (s.n == 0 || s.n > DIGITS_MAX)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
    }
    if (slice_to_u64(s, ret) < 0)
        *ret = UINT64_MAX;
    return 0;
}

/* ---- one step a group of tags: 0, or -1 with result and reason set --------------------------- */

struct reading {
    struct arena *arena;
    const struct dkim_tags *tags;
    struct dkim_parsed *parsed;
    struct dkim_signature *ret;
};

#define MALFORMED(r, ...)                                                                                              \
    dkim_signature_set((r)->arena, (r)->ret, DKIM_PERMERROR, "the DKIM-Signature field is malformed: " __VA_ARGS__)

static int no_memory(struct reading *r)
{
    return dkim_signature_set(r->arena, r->ret, DKIM_TEMPERROR, "out of memory");
}

static struct slice tag_value(const struct reading *r, struct slice name)
{
    const struct dkim_tag *tag = dkim_tags_get(r->tags, name);
    return tag == NULL ? (struct slice){NULL, 0} : tag->value;
}

/* RFC 6376 6.1.1: what must be there.  The version first: of another we know nothing. */
static int read_required(struct reading *r)
{
    static const char *const required[] = {"v", "a", "b", "bh", "d", "h", "s"};
    for (size_t i = 0; i < ARRAY_LEN(required); i++) {
        struct slice value = tag_value(r, slice_of(required[i]));
        if (value.p == NULL || value.n == 0)
            return MALFORMED(r, "it has no %s=", required[i]);
        if (i == 0 && !slice_eq(value, SLICE("1")))
            return dkim_signature_set(r->arena, r->ret, DKIM_PERMERROR, "the signature's version is not 1 (v=)");
    }
    return 0;
}

/* Whose signature it is, read before anything is judged: so that a refusal says so. */
static void read_names(struct reading *r)
{
    if (read_name(tag_value(r, SLICE("d")), r->ret->domain) < 0)
        r->ret->domain[0] = '\0';
    if (read_name(tag_value(r, SLICE("s")), r->ret->selector) < 0)
        r->ret->selector[0] = '\0';
}

static int check_names(struct reading *r)
{
    if (r->ret->domain[0] == '\0')
        return MALFORMED(r, "d= is no domain");
    return r->ret->selector[0] == '\0' ? MALFORMED(r, "s= is no selector") : 0;
}

static int read_algorithm(struct reading *r)
{
    static const char *const known[] = {[DKIM_RSA_SHA256] = "rsa-sha256", [DKIM_ED25519_SHA256] = "ed25519-sha256"};
    struct slice a = tag_value(r, SLICE("a"));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_eq(a, slice_of(known[i]))) {
            r->parsed->algorithm = (enum dkim_algorithm)i;
            r->ret->algorithm = known[i];
            return 0;
        }
    }
    if (!slice_eq(a, SLICE("rsa-sha1")))
        return dkim_signature_set(r->arena, r->ret, DKIM_PERMERROR, "the signature's algorithm is not known (a=)");
    r->ret->algorithm = "rsa-sha1"; /* RFC 8301 3.1 */
    return dkim_signature_set(r->arena, r->ret, DKIM_PERMERROR,
                              "the signature uses SHA-1 (a=rsa-sha1), which receivers no longer accept");
}

/* RFC 6376 3.5, c=: a method for the header, and one for the body, which is simple when not said. */
static int read_canonicalization(struct reading *r)
{
    struct slice value = tag_value(r, SLICE("c")), head;
    struct slice body = slice_cut(value, '/', &head);
    bool *const relaxed[] = {&r->parsed->relaxed_header, &r->parsed->relaxed_body};
    const struct slice methods[] = {head, body};
    bool has_slash = head.n < value.n;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        bool said = i == 0 ? value.p != NULL : has_slash;
        if (slice_eq(methods[i], SLICE("relaxed")))
            *relaxed[i] = true;
        else if (said && !slice_eq(methods[i], SLICE("simple")))
            return MALFORMED(r, "c= names no known method");
    }
    return 0;
}

/* h= must name From (RFC 6376 5.4), and nothing that is no name. */
static int read_signed_fields(struct reading *r)
{
    struct dkim_members m = dkim_members(tag_value(r, SLICE("h")));
    struct slice name;
    size_t n = 0;
    bool from = false;
    r->parsed->names = m.rest;
    while (dkim_members_next(&m, &name)) {
        if (name.n == 0)
            return MALFORMED(r, "h= has an empty name");
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] <= ' ' || name.p[i] > '~')
                return MALFORMED(r, "h= has a name that is none");
        }
        if (++n > DKIM_FIELDS_MAX)
            return MALFORMED(r, "h= has more than %d names", DKIM_FIELDS_MAX);
        from = from || slice_eq_icase(name, SLICE("From"));
    }
    return from ? 0 : MALFORMED(r, "From is not among the signed fields (h=)");
}

static int read_hashes(struct reading *r)
{
    const struct dkim_tag *b = dkim_tags_get(r->tags, SLICE("b"));
    struct slice hash;
    r->parsed->b_span = b->span;
    int status = dkim_base64_read(r->arena, b->value, &r->parsed->signature);
    if (status < 0)
        return status == MESSAGE_NO_MEMORY ? no_memory(r) : MALFORMED(r, "b= is not base64");
    /* RFC 6008: enough of b= to tell signatures apart */
    r->ret->b = slice_sub(b->value, 0, 8);
    for (size_t i = 0; i < r->ret->b.n; i++) {
        if (slice_find(SLICE(" \t\r\n"), r->ret->b.p[i]) < 4)
            r->ret->b.n = i;
    }
    status = dkim_base64_read(r->arena, tag_value(r, SLICE("bh")), &hash);
    if (status == MESSAGE_NO_MEMORY)
        return no_memory(r);
    if (status < 0 || hash.n != DKIM_HASH_SIZE)
        return MALFORMED(r, "bh= is no SHA-256 hash in base64");
    memcpy(r->parsed->body_hash, hash.p, DKIM_HASH_SIZE);
    return 0;
}

/* i= is of d= or of a subdomain (RFC 6376 3.5); not said it is "@" and d=. */
static int read_identity(struct reading *r)
{
    const struct dkim_tag *i = dkim_tags_get(r->tags, SLICE("i"));
    char domain[DOMAIN_MAX + 1];
    size_t own = strlen(r->ret->domain);
    if (i == NULL) {
        char text[DOMAIN_MAX + 2];
        snprintf(text, sizeof(text), "@%s", r->ret->domain);
        r->ret->identity = arena_copy(r->arena, slice_of(text));
        return r->ret->identity.p != NULL ? 0 : no_memory(r);
    }
    int status = read_quoted(r->arena, i->value, &r->ret->identity);
    if (status < 0) {
        r->ret->identity = SLICE("");
        return status == MESSAGE_NO_MEMORY ? no_memory(r) : MALFORMED(r, "i= is not as it must be encoded");
    }
    const char *at = r->ret->identity.n == 0 ? NULL : memrchr(r->ret->identity.p, '@', r->ret->identity.n);
    struct slice part = at == NULL ? SLICE("") : slice_skip(r->ret->identity, (size_t)(at - r->ret->identity.p) + 1);
    if (read_name(part, domain) < 0)
        return MALFORMED(r, "i= has no domain");
    size_t n = strlen(domain);
    if (strcmp(domain, r->ret->domain) == 0)
        return 0;
    if (n <= own + 1 || domain[n - own - 1] != '.' || strcmp(domain + n - own, r->ret->domain) != 0)
        return dkim_signature_set(r->arena, r->ret, DKIM_PERMERROR,
                                  "the domain of i= is neither that of d= nor below it");
    r->parsed->subdomain = true;
    return 0;
}

/* q=: methods that are not known are passed over (RFC 6376 3.5); there is only one. */
static bool is_dns_query(struct slice q)
{
    struct dkim_members m = dkim_members(q);
    struct slice method;
    while (dkim_members_next(&m, &method)) {
        if (slice_eq(method, SLICE("dns/txt")))
            return true;
    }
    return false;
}

static int read_numbers(struct reading *r)
{
    struct slice l = tag_value(r, SLICE("l")), t = tag_value(r, SLICE("t")), x = tag_value(r, SLICE("x"));
    struct slice q = tag_value(r, SLICE("q"));
    uint64_t signed_at = 0;
    r->parsed->limited = l.p != NULL;
    r->parsed->expires = x.p != NULL;
    if (l.p != NULL && read_number(l, &r->parsed->limit) < 0)
        return MALFORMED(r, "l= is no number");
    if (t.p != NULL && read_number(t, &signed_at) < 0)
        return MALFORMED(r, "t= is no number");
    if (x.p != NULL && read_number(x, &r->parsed->expiry) < 0)
        return MALFORMED(r, "x= is no number");
    if (x.p != NULL && t.p != NULL && r->parsed->expiry <= signed_at)
        return MALFORMED(r, "it expires before it was made (x=, t=)");
    if (q.p != NULL && !is_dns_query(q))
        return dkim_signature_set(r->arena, r->ret, DKIM_PERMERROR, "no known way to find the key is named (q=)");
    return 0;
}

int dkim_parsed_read(struct arena *a, const struct field *f, struct dkim_parsed *parsed, struct dkim_signature *ret)
{
    struct dkim_tags tags;
    struct reading r = {a, &tags, parsed, ret};
    struct err err;
    *parsed = (struct dkim_parsed){.field = f};
    *ret = (struct dkim_signature){.algorithm = "", .reason = "", .identity = SLICE(""), .b = SLICE("")};
    if (dkim_tags_parse(f->value, &tags, &err) < 0)
        return MALFORMED(&r, "%s", err.text);
    read_names(&r);
    if (read_required(&r) < 0 || check_names(&r) < 0 || read_algorithm(&r) < 0 || read_canonicalization(&r) < 0 ||
        read_signed_fields(&r) < 0 || read_hashes(&r) < 0 || read_identity(&r) < 0)
        return -1;
    return read_numbers(&r);
}
