/* Macros in SPF records (RFC 7208 7): checked when a record is read, expanded when a term is evaluated. */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

/* A piece of a macro-string: a run of literal octets, or one macro. */
struct piece {
    struct slice literal; /* used if letter is '\0'; "%%", "%_" and "%-" are literals, too */
    bool expand;          /* is it a macro-expand of the grammar? */
    char letter;          /* in lower case */
    bool escape;          /* the letter was in upper case */
    unsigned parts;       /* of the right-hand side; 0 = all */
    bool reverse;
    bool split; /* transformers or delimiters were given */
    struct slice delimiters;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* What stands between "%{" and "}". */
static bool macro_read(struct slice s, struct piece *ret)
{
    enum { PARTS_MAX = 1000000 }; /* more than any value has */
    size_t i = 1;
    if (s.n == 0 || !is_letter(s.p[0]))
        return false;
    ret->escape = s.p[0] < 'a';
    ret->letter = (char)(s.p[0] | 0x20);
    bool digits = i < s.n && is_digit(s.p[i]);
    for (; i < s.n && is_digit(s.p[i]); i++)
        if (ret->parts < PARTS_MAX)
            ret->parts = ret->parts * 10 + (unsigned)(s.p[i] - '0');
    if (digits && ret->parts == 0)
        return false;
    if (i < s.n && (s.p[i] == 'r' || s.p[i] == 'R')) {
        ret->reverse = true;
        i++;
    }
    ret->delimiters = slice_skip(s, i);
    ret->split = s.n > 1;
    for (; i < s.n; i++)
        if (slice_find(SLICE(".-+,/_="), s.p[i]) == SLICE(".-+,/_=").n)
            return false;
    return true;
}

/* Cuts the first piece off *text, which is not empty.  False on an error of syntax. */
static bool piece_next(struct slice *text, struct piece *ret)
{
    *ret = (struct piece){0};
    size_t n = slice_find(*text, '%');
    if (n > 0) {
        ret->literal = slice_sub(*text, 0, n);
        *text = slice_skip(*text, n);
        return true;
    }
    ret->expand = true;
    if (slice_starts(*text, SLICE("%{"))) {
        size_t end = slice_find(*text, '}');
        if (end == text->n)
            return false;
        struct slice inside = slice_sub(*text, 2, end - 2);
        *text = slice_skip(*text, end + 1);
        return macro_read(inside, ret);
    }
    if (slice_starts(*text, SLICE("%%")))
        ret->literal = SLICE("%");
    else if (slice_starts(*text, SLICE("%_")))
        ret->literal = SLICE(" ");
    else if (slice_starts(*text, SLICE("%-")))
        ret->literal = SLICE("%20");
    else
        return false;
    *text = slice_skip(*text, 2);
    return true;
}

/* ---- checking ------------------------------------------------------------------------------------------------ */

static bool literal_check(struct slice s, enum spf_macro_use use)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] > 0x20 && s.p[i] < 0x7f) && !(s.p[i] == ' ' && use == SPF_MACRO_EXPLANATION))
            return false;
    return true;
}

/* RFC 7208 7.1: domain-end = "." toplabel [ "." ], which is not all digits. */
static bool ends_in_toplabel(struct slice s)
{
    if (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    size_t at = s.n;
    bool all_digits = true;
    for (; at > 0 && s.p[at - 1] != '.'; at--) {
        if (!is_letter(s.p[at - 1]) && !is_digit(s.p[at - 1]) && s.p[at - 1] != '-')
            return false;
        all_digits = all_digits && is_digit(s.p[at - 1]);
    }
    return at > 0 && at < s.n && !all_digits && s.p[at] != '-' && s.p[s.n - 1] != '-';
}

bool spf_macro_check(struct slice text, enum spf_macro_use use)
{
    struct piece piece = {0};
    struct slice letters = use == SPF_MACRO_EXPLANATION ? SLICE("slodiphvcrt") : SLICE("slodiphv");
    while (text.n > 0) {
        if (!piece_next(&text, &piece))
            return false;
        if (piece.letter == '\0' ? !piece.expand && !literal_check(piece.literal, use)
                                 : slice_find(letters, piece.letter) == letters.n)
            return false;
    }
    return use != SPF_MACRO_DOMAIN || piece.expand || ends_in_toplabel(piece.literal);
}

/* ---- expanding ------------------------------------------------------------------------------------------------- */

/* RFC 7208 7.3: for IPv6 the nibbles, in upper case as its examples have them. */
static void add_ip(struct strbuf *out, const struct spf_ip *ip)
{
    static const char digits[] = "0123456789ABCDEF";
    if (!ip->v6) {
        strbuf_addf(out, "%u.%u.%u.%u", ip->octets[0], ip->octets[1], ip->octets[2], ip->octets[3]);
        return;
    }
    for (size_t i = 0; i < sizeof ip->octets; i++)
        strbuf_addf(out, "%s%c.%c", i > 0 ? "." : "", digits[ip->octets[i] >> 4], digits[ip->octets[i] & 15]);
}

static void add_readable_ip(struct strbuf *out, const struct spf_ip *ip)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->octets, text, sizeof text) != NULL)
        strbuf_add_str(out, text);
}

static bool is_below(struct slice name, struct slice domain)
{
    return name.n > domain.n && name.p[name.n - domain.n - 1] == '.' &&
           slice_eq_icase(slice_skip(name, name.n - domain.n), domain);
}

/* RFC 7208 7.3: the domain itself if it is among the validated names, else one below it, else any. */
static struct slice validated_name(struct spf_run *run, struct slice domain)
{
    struct slice best = SLICE("unknown");
    unsigned quality = 0;
    if (!run->names_known)
        run->terms++; /* RFC 7208 4.6.4: its PTR query is one of the ten */
    spf_names_find(run);
    for (size_t i = 0; i < run->n_names; i++) {
        unsigned q = slice_eq_icase(run->names[i], domain) ? 3 : is_below(run->names[i], domain) ? 2 : 1;
        if (q > quality) {
            quality = q;
            best = run->names[i];
        }
    }
    return best;
}

/* The letter's value, before it is transformed. */
static bool add_value(struct spf_run *run, struct slice domain, char letter, struct strbuf *out)
{
    /* RFC 8616 4: what has a non-ASCII local part in it matches nothing */
    if ((letter == 's' || letter == 'l') && !slice_is_ascii(run->local))
        return false;
    switch (letter) {
    case 's':
        strbuf_add_slice(out, run->local);
        strbuf_add_char(out, '@');
        strbuf_add_slice(out, run->sender_domain);
        break;
    case 'l':
        strbuf_add_slice(out, run->local);
        break;
    case 'o':
        strbuf_add_slice(out, run->sender_domain);
        break;
    case 'd':
        strbuf_add_slice(out, domain);
        break;
    case 'i':
        add_ip(out, &run->ip);
        break;
    case 'p':
        strbuf_add_slice(out, validated_name(run, domain));
        break;
    case 'v':
        strbuf_add_str(out, run->ip.v6 ? "ip6" : "in-addr");
        break;
    case 'h':
        strbuf_add_slice(out, run->helo);
        break;
    case 'c':
        add_readable_ip(out, &run->ip);
        break;
    case 'r':
        strbuf_add_slice(out, run->req->receiver.n > 0 ? run->req->receiver : SLICE("unknown"));
        break;
    case 't':
        strbuf_addf(out, "%lld", (long long)run->req->now);
        break;
    default:
        return false;
    }
    return true;
}

/* Where the part that ends at `end` begins. */
static size_t part_begin(struct slice value, struct slice delimiters, size_t end)
{
    while (end > 0 && slice_find(delimiters, value.p[end - 1]) == delimiters.n)
        end--;
    return end;
}

/* RFC 7208 7.3: split at the delimiters, reverse, keep the right-hand parts, join with dots. */
static void transform(struct slice value, const struct piece *m, struct strbuf *out)
{
    struct slice delimiters = m->delimiters.n > 0 ? m->delimiters : SLICE(".");
    size_t parts = 1;
    for (size_t i = 0; i < value.n; i++)
        parts += slice_find(delimiters, value.p[i]) < delimiters.n;
    size_t skip = m->parts > 0 && m->parts < parts ? parts - m->parts : 0;
    if (m->reverse) {
        /* reversed, the right-hand parts are the first ones */
        size_t end = value.n;
        for (size_t i = 0; i < parts; i++) {
            size_t begin = part_begin(value, delimiters, end);
            if (i >= skip) {
                strbuf_add_slice(out, slice_sub(value, begin, end - begin));
                if (i + 1 < parts)
                    strbuf_add_char(out, '.');
            }
            end = begin > 0 ? begin - 1 : 0;
        }
        return;
    }
    for (size_t i = 0, part = 0; i < value.n; i++) {
        bool delimiter = slice_find(delimiters, value.p[i]) < delimiters.n;
        if (part >= skip)
            strbuf_add_char(out, delimiter ? '.' : value.p[i]);
        part += delimiter;
    }
}

/* RFC 7208 7.3: all but the unreserved characters of RFC 3986 2.3. */
static void url_escape(struct slice s, struct strbuf *out)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_letter(s.p[i]) || is_digit(s.p[i]) || slice_find(SLICE("-._~"), s.p[i]) < 4)
            strbuf_add_char(out, s.p[i]);
        else
            strbuf_addf(out, "%%%02X", (unsigned char)s.p[i]);
}

static bool macro_expand(struct spf_run *run, struct slice domain, const struct piece *m, struct strbuf *out)
{
    struct strbuf value = STRBUF_INIT, transformed = STRBUF_INIT;
    bool ok = add_value(run, domain, m->letter, &value);
    struct slice result = strbuf_slice(&value);
    if (m->split) {
        transform(result, m, &transformed);
        result = strbuf_slice(&transformed);
    }
    if (m->escape)
        url_escape(result, out);
    else
        strbuf_add_slice(out, result);
    run->no_memory = run->no_memory || value.failed || transformed.failed;
    strbuf_free(&value);
    strbuf_free(&transformed);
    return ok;
}

bool spf_macro_expand(struct spf_run *run, struct slice domain, struct slice text, struct strbuf *out)
{
    struct piece piece;
    while (text.n > 0) {
        if (!piece_next(&text, &piece))
            return false;
        if (piece.letter == '\0')
            strbuf_add_slice(out, piece.literal);
        else if (!macro_expand(run, domain, &piece, out))
            return false;
    }
    run->no_memory = run->no_memory || out->failed;
    return !run->no_memory;
}

struct slice spf_macro_expand_name(struct spf_run *run, struct slice domain, struct slice spec)
{
    struct strbuf text = STRBUF_INIT;
    struct slice ret = {0};
    if (spf_macro_expand(run, domain, spec, &text)) {
        struct slice name = strbuf_slice(&text);
        if (name.n > 0 && name.p[name.n - 1] == '.')
            name.n--;
        /* RFC 7208 7.3: labels go on the left until the rest fits */
        while (name.n > DOMAIN_MAX)
            name = slice_skip(name, slice_find(name, '.') + 1);
        ret = arena_copy(run->arena, name);
        run->no_memory = run->no_memory || ret.p == NULL;
    }
    strbuf_free(&text);
    return ret;
}
