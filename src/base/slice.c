/* slice.c - borrowed bytes: comparing, searching, cutting. */
#include "sendas/base.h"

#include <string.h>

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

struct slice slice_of(const char *cstr)
{
    return (struct slice){cstr, cstr == NULL ? 0 : strlen(cstr)};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_eq_icase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_sub(s, 0, prefix.n), prefix);
}

bool slice_starts_icase(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq_icase(slice_sub(s, 0, prefix.n), prefix);
}

size_t slice_find(struct slice s, char byte)
{
    const char *found = s.n == 0 ? NULL : memchr(s.p, byte, s.n);
    return found == NULL ? s.n : (size_t)(found - s.p);
}

/* Two octets are nearly always CRLF, and memchr finds the CR several times as fast as memmem finds both. */
static size_t find_two(struct slice s, const char *two)
{
    for (size_t i = 0; i + 1 < s.n; i++) {
        i += slice_find(slice_skip(s, i), two[0]);
        if (i + 1 < s.n && s.p[i + 1] == two[1])
            return i;
    }
    return s.n;
}

size_t slice_find_slice(struct slice s, struct slice needle)
{
    if (needle.n == 0)
        return 0;
    if (needle.n == 2)
        return find_two(s, needle.p);
    const char *found = s.n == 0 ? NULL : memmem(s.p, s.n, needle.p, needle.n);
    return found == NULL ? s.n : (size_t)(found - s.p);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    size_t from = 0, to = s.n;
    while (from < to && is_blank(s.p[from]))
        from++;
    while (to > from && is_blank(s.p[to - 1]))
        to--;
    return slice_sub(s, from, to - from);
}

struct slice slice_cut(struct slice s, char sep, struct slice *head)
{
    size_t at = slice_find(s, sep);
    *head = slice_sub(s, 0, at);
    return slice_skip(s, at + 1);
}

uint32_t slice_hash(struct slice s)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < s.n; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * 16777619U;
    return hash;
}

bool slice_is_ascii(struct slice s)
{
    uint64_t high = 0, eight;
    size_t i = 0;
    for (; s.n - i >= sizeof(eight); i += sizeof(eight)) {
        memcpy(&eight, s.p + i, sizeof(eight));
        high |= eight;
    }
    for (; i < s.n; i++)
        high |= (unsigned char)s.p[i];
    return (high & UINT64_C(0x8080808080808080)) == 0;
}

/* The length of the well-formed sequence that s begins with (RFC 3629 4), or 0. */
static size_t utf8_sequence(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char low = 0x80, high = 0xBF; /* what the second octet may be */
    size_t n;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        n = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        n = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        n = 4;
    else
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0; /* overlong */
    else if (p[0] == 0xED)
        high = 0x9F; /* surrogates */
    else if (p[0] == 0xF0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xF4)
        high = 0x8F; /* above U+10FFFF */
    if (s.n < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

bool slice_is_utf8(struct slice s)
{
    if (slice_is_ascii(s))
        return true;
    while (s.n > 0) {
        size_t n = utf8_sequence(s);
        if (n == 0)
            return false;
        s = slice_skip(s, n);
    }
    return true;
}

int slice_to_u64(struct slice s, uint64_t *ret)
{
    uint64_t value = 0;
    if (s.n == 0)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    *ret = value;
    return 0;
}
