/* smtp/extensions.c - what a server offers in its reply to EHLO (RFC 5321 4.1.1.1). */
#include "internal.h"

#include <limits.h>

static struct slice next_word(struct slice *rest)
{
    struct slice word;
    do
        *rest = slice_cut(*rest, ' ', &word);
    while (word.n == 0 && rest->n > 0);
    return word;
}

static void take_auth(struct slice params, struct smtp_extensions *e)
{
    while (params.n > 0) {
        struct slice mechanism = next_word(&params);
        e->auth_plain |= slice_eq_icase(mechanism, SLICE("PLAIN"));
        e->auth_login |= slice_eq_icase(mechanism, SLICE("LOGIN"));
    }
}

/* limits-param = limit-name-value 0*[SP limit-name-value]     RFC 9422 3 */
static void take_limits(struct slice params, struct smtp_extensions *e)
{
    while (params.n > 0) {
        struct slice word = next_word(&params), name, value = slice_cut(word, '=', &name);
        uint64_t n;
        if (slice_to_u64(value, &n) < 0 || n == 0 || n > UINT_MAX)
            continue;
        if (slice_eq_icase(name, SLICE("RCPTMAX")))
            e->rcptmax = (unsigned)n;
        else if (slice_eq_icase(name, SLICE("MAILMAX")))
            e->mailmax = (unsigned)n;
    }
}

static void take_size(struct slice params, struct smtp_extensions *e)
{
    uint64_t n;
    e->has_size = true;
    if (slice_to_u64(next_word(&params), &n) == 0)
        e->size = n;
}

static void take_flag(struct slice keyword, struct smtp_extensions *e)
{
    const struct {
        const char *keyword;
        bool *flag;
    } flags[] = {{"STARTTLS", &e->starttls},
                 {"PIPELINING", &e->pipelining},
                 {"8BITMIME", &e->eightbitmime},
                 {"SMTPUTF8", &e->smtputf8},
                 {"CHUNKING", &e->chunking},
                 {"DSN", &e->dsn},
                 {"ENHANCEDSTATUSCODES", &e->enhancedstatuscodes},
                 {"REQUIRETLS", &e->requiretls}};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (slice_eq_icase(keyword, slice_of(flags[i].keyword)))
            *flags[i].flag = true;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ).  "AUTH=PLAIN" is the form of servers older than RFC 2554. */
static void take_line(struct slice line, struct smtp_extensions *e)
{
    struct slice keyword = next_word(&line);
    if (slice_eq_icase(keyword, SLICE("AUTH")))
        take_auth(line, e);
    else if (slice_starts_icase(keyword, SLICE("AUTH="))) {
        take_auth(slice_skip(keyword, 5), e);
        take_auth(line, e);
    } else if (slice_eq_icase(keyword, SLICE("SIZE")))
        take_size(line, e);
    else if (slice_eq_icase(keyword, SLICE("LIMITS")))
        take_limits(line, e);
    else
        take_flag(keyword, e);
}

void smtp_extensions_parse(struct slice text, struct smtp_extensions *ret)
{
    struct slice line;
    *ret = (struct smtp_extensions){.esmtp = true};
    text = slice_cut(text, '\n', &line);
    while (text.n > 0) {
        text = slice_cut(text, '\n', &line);
        take_line(line, ret);
    }
}
