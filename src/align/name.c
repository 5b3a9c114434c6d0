/* Domain names and texts that others wrote. */
#include "internal.h"

#include <string.h>

enum { LABEL_MAX = 63 }; /* RFC 1035 2.3.4 */

struct shown align_show(struct slice s)
{
    struct shown ret;
    size_t n = s.n < SHOWN_MAX ? s.n : SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        ret.text[i] = (char)(s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
    memcpy(ret.text + n, n < s.n ? "..." : "", n < s.n ? sizeof "..." : 1);
    return ret;
}

struct slice align_text(struct arena *a, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof(text), format, args);
    return arena_copy(a, slice_of(text));
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_letter_digit_hyphen(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_printable(char c)
{
    return c >= 0x20 && c < 0x7f && c != '\\';
}

static bool name_copy(struct slice name, bool (*allowed)(char), char out[DOMAIN_MAX + 1])
{
    size_t label = 0;
    if (name.n == 0 || name.n > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '.' ? label == 0 : !allowed(name.p[i]) || label == LABEL_MAX)
            return false;
        label = name.p[i] == '.' ? 0 : label + 1;
        out[i] = lower(name.p[i]);
    }
    out[name.n] = '\0';
    return label > 0;
}

int align_name(struct slice name, char out[DOMAIN_MAX + 1])
{
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    /* RFC 8616 3, RFC 9989 5.3.1: U-labels are looked up and compared as A-labels */
    if (!slice_is_ascii(name))
        return domain_to_ascii(name, out, NULL);
    return name_copy(name, is_letter_digit_hyphen, out) ? 0 : -1;
}

bool align_name_query(struct slice name, char out[DOMAIN_MAX + 1])
{
    return name_copy(name, is_printable, out);
}
