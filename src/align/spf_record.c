/* Reading one SPF record: every term is checked (RFC 7208 4.6), none is evaluated. */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

/* Longer than any that answers a purpose (RFC 7208 3.4 would have them below 450 octets). */
enum { SPF_RECORD_MAX = 8192 };

/* ---- addresses --------------------------------------------------------------------------------------------- */

int spf_ip_parse(struct slice text, struct spf_ip *ret)
{
    char cstr[INET6_ADDRSTRLEN + 1];
    if (text.n == 0 || text.n >= sizeof cstr || slice_find(text, '\0') < text.n)
        return -1;
    memcpy(cstr, text.p, text.n);
    cstr[text.n] = '\0';
    *ret = (struct spf_ip){.v6 = slice_find(text, ':') < text.n};
    return inet_pton(ret->v6 ? AF_INET6 : AF_INET, cstr, ret->octets) == 1 ? 0 : -1;
}

bool spf_ip_within(const struct spf_ip *ip, const struct spf_ip *network, unsigned bits)
{
    if (ip->v6 != network->v6)
        return false;
    for (size_t i = 0; bits > 0; i++) {
        unsigned use = bits < 8 ? bits : 8;
        if ((ip->octets[i] ^ network->octets[i]) >> (8 - use))
            return false;
        bits -= use;
    }
    return true;
}

/* ---- terms ---------------------------------------------------------------------------------------------------- */

enum argument { ARGUMENT_NONE = 0, ARGUMENT_DOMAIN = 1, ARGUMENT_NEEDED = 2, ARGUMENT_CIDR = 4, ARGUMENT_NETWORK = 8 };

/* RFC 7208 5, 12 */
static const struct {
    const char *name;
    enum spf_mechanism mechanism;
    unsigned argument;
} mechanisms[] = {
    {"all", SPF_ALL, ARGUMENT_NONE},
    {"include", SPF_INCLUDE, ARGUMENT_DOMAIN | ARGUMENT_NEEDED},
    {"a", SPF_A, ARGUMENT_DOMAIN | ARGUMENT_CIDR},
    {"mx", SPF_MX, ARGUMENT_DOMAIN | ARGUMENT_CIDR},
    {"ptr", SPF_PTR, ARGUMENT_DOMAIN},
    {"ip4", SPF_IP4, ARGUMENT_NETWORK},
    {"ip6", SPF_IP6, ARGUMENT_NETWORK},
    {"exists", SPF_EXISTS, ARGUMENT_DOMAIN | ARGUMENT_NEEDED},
};

/* "0", or digits that do not begin with 0 (RFC 7208 12). */
static int prefix_parse(struct slice s, unsigned max, unsigned *ret)
{
    uint64_t n;
    if ((s.n > 1 && s.p[0] == '0') || slice_to_u64(s, &n) < 0 || n > max)
        return -1;
    *ret = (unsigned)n;
    return 0;
}

/* Where the digits that end `s` begin; s.n if there are none. */
static size_t digits_begin(struct slice s)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] >= '0' && s.p[at - 1] <= '9')
        at--;
    return at;
}

/* Cuts a dual-cidr-length off the end: [ "/" ip4 ] [ "//" ip6 ]. */
static int cidr_cut(struct slice *s, struct spf_term *term, struct err *err)
{
    size_t at = digits_begin(*s);
    if (at < s->n && at >= 2 && s->p[at - 1] == '/' && s->p[at - 2] == '/') {
        if (prefix_parse(slice_skip(*s, at), 128, &term->bits6) < 0)
            return err_set(err, "an IPv6 prefix length is 0 to 128");
        *s = slice_sub(*s, 0, at - 2);
        at = digits_begin(*s);
    }
    if (at < s->n && at >= 1 && s->p[at - 1] == '/') {
        if (prefix_parse(slice_skip(*s, at), 32, &term->bits4) < 0)
            return err_set(err, "an IPv4 prefix length is 0 to 32");
        *s = slice_sub(*s, 0, at - 1);
    }
    return 0;
}

static int network_parse(struct slice s, struct spf_term *term, struct err *err)
{
    bool v6 = term->mechanism == SPF_IP6;
    struct slice address;
    if (s.n < 2 || s.p[0] != ':')
        return err_set(err, "an address is missing");
    s = slice_skip(s, 1);
    bool has_prefix = slice_find(s, '/') < s.n;
    struct slice prefix = slice_cut(s, '/', &address);
    if (spf_ip_parse(address, &term->network) < 0 || term->network.v6 != v6)
        return err_set(err, "it has no IPv%c address", v6 ? '6' : '4');
    if (has_prefix && prefix_parse(prefix, v6 ? 128 : 32, v6 ? &term->bits6 : &term->bits4) < 0)
        return err_set(err, "a prefix length is 0 to %d", v6 ? 128 : 32);
    return 0;
}

static int domain_check(struct slice spec, struct err *err)
{
    struct spf_ip ip;
    if (spec.n == 0)
        return err_set(err, "a domain name is missing");
    if (spf_ip_parse(spec, &ip) == 0)
        return err_set(err, "an address stands behind ip%c:", ip.v6 ? '6' : '4');
    if (!spf_macro_check(spec, SPF_MACRO_DOMAIN))
        return err_set(err, "it has no valid domain name");
    return 0;
}

/* `s`: what stands behind the mechanism's name. */
static int argument_parse(struct slice s, unsigned argument, struct spf_term *term, struct err *err)
{
    term->bits4 = 32;
    term->bits6 = 128;
    if (argument & ARGUMENT_NETWORK)
        return network_parse(s, term, err);
    if (argument & ARGUMENT_CIDR && cidr_cut(&s, term, err) < 0)
        return -1;
    if (s.n == 0)
        return argument & ARGUMENT_NEEDED ? err_set(err, "a domain name is missing") : 0;
    if (!(argument & ARGUMENT_DOMAIN) || s.p[0] != ':')
        return err_set(err, "something stands behind the mechanism that has no place there");
    term->target = slice_skip(s, 1);
    return domain_check(term->target, err);
}

static bool qualifier_of(char c, enum spf_result *ret)
{
    static const enum spf_result results[] = {SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
    size_t at = slice_find(SLICE("+-~?"), c);
    *ret = at < ARRAY_LEN(results) ? results[at] : SPF_PASS;
    return at < ARRAY_LEN(results);
}

bool spf_mechanism_is(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (slice_eq_icase(name, slice_of(mechanisms[i].name)))
            return true;
    return false;
}

/* `name_end`: the offset of the first of "=:/" in `text`. */
static int mechanism_parse(struct slice text, size_t name_end, struct spf_term *ret, struct err *err)
{
    *ret = (struct spf_term){.text = text};
    size_t begin = qualifier_of(text.p[0], &ret->qualifier) ? 1 : 0;
    struct slice name = slice_sub(text, begin, name_end - begin);
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (slice_eq_icase(name, slice_of(mechanisms[i].name))) {
            ret->mechanism = mechanisms[i].mechanism;
            return argument_parse(slice_skip(text, name_end), mechanisms[i].argument, ret, err);
        }
    return err_set(err, "there is no such mechanism");
}

/* RFC 7208 12: name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) */
static bool is_modifier_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = (char)(s.p[i] | 0x20);
        bool alpha = c >= 'a' && c <= 'z' && s.p[i] >= 'A';
        bool other = (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' || s.p[i] == '_' || s.p[i] == '.';
        if (!alpha && !(other && i > 0))
            return false;
    }
    return s.n > 0;
}

/* RFC 7208 6: redirect and exp stand at most once; what is unknown is ignored, if it is well-formed. */
static int modifier_parse(struct slice text, size_t name_end, struct spf_record *record, struct err *err)
{
    struct slice name = slice_sub(text, 0, name_end), value = slice_skip(text, name_end + 1);
    struct slice *known = slice_eq_icase(name, SLICE("redirect")) ? &record->redirect
                          : slice_eq_icase(name, SLICE("exp"))    ? &record->exp
                                                                  : NULL;
    if (!is_modifier_name(name))
        return err_set(err, "this is no name of a modifier");
    if (known == NULL)
        return spf_macro_check(value, SPF_MACRO_STRING) ? 0 : err_set(err, "its macros are not valid");
    if (known->p != NULL)
        return err_set(err, "it stands there twice");
    *known = value;
    return domain_check(value, err);
}

int spf_term_parse(struct slice text, struct spf_record *record, struct err *err)
{
    struct err why;
    size_t end = 0;
    while (end < text.n && text.p[end] != '=' && text.p[end] != ':' && text.p[end] != '/')
        end++;
    /* RFC 7208 4.6.1: "=" before any ":" or "/" makes a modifier */
    int rc = end < text.n && text.p[end] == '=' ? modifier_parse(text, end, record, &why)
                                                : mechanism_parse(text, end, &record->terms[record->n], &why);
    if (rc < 0)
        return err_set(err, "\"%s\" is not valid: %s", align_show(text).text, why.text);
    if (end == text.n || text.p[end] != '=')
        record->n++;
    return 0;
}

/* ---- records -------------------------------------------------------------------------------------------------- */

static const struct slice version = {"v=spf1", 6};

bool spf_record_is(struct slice text)
{
    size_t n = version.n;
    return slice_starts_icase(text, version) && (text.n == n || text.p[n] == ' ');
}

int spf_record_parse(struct arena *a, struct slice text, struct spf_record *ret, struct err *err)
{
    struct slice rest = slice_skip(text, version.n);
    *ret = (struct spf_record){.text = text};
    if (text.n > SPF_RECORD_MAX)
        return err_set(err, "it is longer than %d octets", SPF_RECORD_MAX);
    size_t blanks = 0;
    for (size_t i = 0; i < rest.n; i++)
        blanks += rest.p[i] == ' ';
    ret->terms = arena_alloc_array(a, blanks + 1, sizeof *ret->terms);
    if (ret->terms == NULL)
        return MESSAGE_NO_MEMORY;
    while (rest.n > 0) {
        struct slice term;
        rest = slice_cut(rest, ' ', &term);
        if (term.n > 0 && spf_term_parse(term, ret, err) < 0)
            return -1;
    }
    return 0;
}
