/* smtp/command.c - a command line and the arguments of EHLO and BDAT. */
#include "internal.h"

enum { HELO_MAX = 255, CHUNK_DIGITS_MAX = 20 };

static struct slice cut_trailing_blanks(struct slice s)
{
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* RFC 5321 4.1.1: a verb, and arguments behind a space; white space before the CRLF is tolerated. */
int smtp_command_parse(struct slice line, struct smtp_command *ret)
{
    line = cut_trailing_blanks(line);
    if (smtp_has_control(line) || !slice_is_utf8(line))
        return -1;
    struct slice verb, args = slice_cut(line, ' ', &verb);
    if (verb.n == 0)
        return -1;
    *ret = (struct smtp_command){.verb = verb, .args = args};
    return 0;
}

/* RFC 5321 4.1.4: a name is never a reason to refuse mail, so only its shape matters. */
int smtp_helo_parse(struct slice args, struct slice *ret)
{
    if (args.n == 0 || args.n > HELO_MAX || smtp_has_control(args) || slice_find(args, ' ') < args.n ||
        !slice_is_utf8(args))
        return -1;
    *ret = args;
    return 0;
}

/* bdat-cmd   = "BDAT" SP chunk-size [ SP end-marker ] CR LF     RFC 3030 2
 * chunk-size = 1*DIGIT */
int smtp_bdat_parse(struct slice args, uint64_t *ret_size, bool *ret_last)
{
    struct cursor c = cursor_init(args);
    struct slice digits = smtp_cursor_run(&c, smtp_is_digit);
    uint64_t size;
    if (digits.n > CHUNK_DIGITS_MAX || slice_to_u64(digits, &size) < 0)
        return -1;
    bool last = smtp_cursor_accept_icase(&c, SLICE(" LAST"));
    if (!cursor_at_end(&c))
        return -1;
    *ret_size = size;
    *ret_last = last;
    return 0;
}
