/* smtp/params.c - the parameters of MAIL and RCPT (RFC 5321 4.1.2), each by a rule of its command, each once. */
#include "internal.h"

static bool is_keyword_octet(int c)
{
    return smtp_is_alnum(c) || c == '-';
}

/* esmtp-value = 1*(%d33-60 / %d62-126 / UTF8-non-ascii) */
static bool is_value_octet(int c)
{
    return c > ' ' && c != '=' && c != 0x7f;
}

/* esmtp-param   = esmtp-keyword ["=" esmtp-value]
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static int take_param(struct cursor *c, struct smtp_param *ret)
{
    *ret = (struct smtp_param){0};
    if (!smtp_is_alnum(cursor_peek(c)))
        return -1;
    ret->keyword = smtp_cursor_run(c, is_keyword_octet);
    if (!cursor_accept(c, '='))
        return 0;
    ret->value = smtp_cursor_run(c, is_value_octet);
    return ret->value.n == 0 ? -1 : 0;
}

static size_t find_rule(const struct smtp_param_rule *rules, size_t n, struct slice keyword)
{
    size_t i = 0;
    while (i < n && !slice_eq_icase(rules[i].keyword, keyword))
        i++;
    return i;
}

int smtp_params_take(struct cursor *c, const struct smtp_param_rule *rules, size_t n, void *command,
                     struct smtp_verdict *v)
{
    unsigned seen = 0;
    while (!cursor_at_end(c)) {
        struct smtp_param p;
        if (!cursor_accept(c, ' ') || take_param(c, &p) < 0)
            return smtp_verdict_set(v, 501, "5.5.4", "Syntax error in the parameters");
        size_t i = find_rule(rules, n, p.keyword);
        /* RFC 5321 4.1.1.11: 555 when a parameter is not recognised. */
        if (i == n)
            return smtp_verdict_set(v, 555, "5.5.4", "Parameter not recognised or not implemented");
        if (seen & 1u << i)
            return smtp_verdict_set(v, 501, "5.5.4", "%.*s= is given twice", SLICE_ARG(rules[i].keyword));
        seen |= 1u << i;
        *v = (struct smtp_verdict){0};
        if (rules[i].take(p.value, command, v) < 0)
            return v->code != 0 ? -1
                                : smtp_verdict_set(v, 501, "5.5.4", "Bad value of %.*s", SLICE_ARG(rules[i].keyword));
    }
    return 0;
}
