/* Content-Type and its kin: a value and parameters (RFC 2045 5.1, RFC 2183 2), white space and comments between. */
#include "internal.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

size_t mime_comment_length(struct slice s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}

struct slice mime_skip_cfws(struct slice s)
{
    for (;;) {
        size_t n = 0;
        while (n < s.n && is_space(s.p[n]))
            n++;
        if (n == 0 && s.n > 0 && s.p[0] == '(')
            n = mime_comment_length(s);
        if (n == 0)
            return s;
        s = slice_skip(s, n);
    }
}

/* token = 1*<any octet except white space, CTLs or tspecials>, tspecials but for those in `also` */
static struct slice take_token(struct slice *s, const char *also, bool with_8bit)
{
    size_t n = 0;
    for (; n < s->n; n++) {
        unsigned char c = (unsigned char)s->p[n];
        if (c <= ' ' || c == 0x7f || (c >= 0x80 && !with_8bit) ||
            (strchr("()<>@,;:\\\"/[]?=", c) != NULL && strchr(also, c) == NULL))
            break;
    }
    struct slice token = slice_sub(*s, 0, n);
    *s = slice_skip(*s, n);
    return token;
}

size_t mime_quoted_length(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i++;
    }
    return 0;
}

static bool at_octet(struct slice s, char c)
{
    return s.n > 0 && s.p[0] == c;
}

int mime_value_parse(struct slice value, struct mime_value *ret)
{
    struct slice s = mime_skip_cfws(value);
    *ret = (struct mime_value){.type = take_token(&s, "", false), .subtype = SLICE("")};
    s = mime_skip_cfws(s);
    if (at_octet(s, '/')) {
        s = mime_skip_cfws(slice_skip(s, 1));
        ret->subtype = take_token(&s, "", false);
        s = mime_skip_cfws(s);
        if (ret->subtype.n == 0)
            return -1;
    }
    ret->params = s;
    return ret->type.n == 0 || (s.n > 0 && !at_octet(s, ';')) ? -1 : 0;
}

int mime_param_next(struct slice *params, struct mime_param *ret)
{
    struct slice s = mime_skip_cfws(*params);
    while (at_octet(s, ';')) /* one too many is common, and nobody is misled */
        s = mime_skip_cfws(slice_skip(s, 1));
    *params = s;
    if (s.n == 0)
        return 0;
    ret->name = take_token(&s, "", false);
    s = mime_skip_cfws(s);
    if (ret->name.n == 0 || !at_octet(s, '='))
        return -1;
    s = mime_skip_cfws(slice_skip(s, 1));
    if (at_octet(s, '"')) {
        ret->value = slice_sub(s, 0, mime_quoted_length(s));
        s = slice_skip(s, ret->value.n);
    } else {
        ret->value = take_token(&s, "/:=?", true);
    }
    s = mime_skip_cfws(s);
    if (ret->value.n == 0 || (s.n > 0 && !at_octet(s, ';')))
        return -1;
    *params = s;
    return 1;
}

void mime_param_text(const struct mime_param *p, struct strbuf *out)
{
    if (!at_octet(p->value, '"')) {
        strbuf_add_slice(out, p->value);
        return;
    }
    for (size_t i = 1; i + 1 < p->value.n; i++) {
        char c = p->value.p[i];
        if (c == '\\' && i + 2 < p->value.n)
            c = p->value.p[++i];
        if (c != '\r' && c != '\n') /* a fold (RFC 5322 2.2.3) */
            strbuf_add_char(out, c);
    }
}
