/* smtp/internal.h - what the files of this room share: a cursor over one line, and the octet classes of the grammars.
 */
#ifndef SMTP_INTERNAL_H
#define SMTP_INTERNAL_H

#include "sendas/smtp.h"

/* ---- a cursor: bounds are checked here and nowhere else ------------------------------------------ */

struct cursor {
    const char *p, *end;
};

static inline struct cursor cursor_init(struct slice s)
{
    return (struct cursor){s.p, s.p == NULL ? NULL : s.p + s.n};
}

static inline bool cursor_at_end(const struct cursor *c)
{
    return c->p == c->end;
}

/* The next octet without taking it; -1 at the end. */
static inline int cursor_peek(const struct cursor *c)
{
    return cursor_at_end(c) ? -1 : (unsigned char)*c->p;
}

static inline bool cursor_accept(struct cursor *c, char octet)
{
    if (cursor_peek(c) != (unsigned char)octet)
        return false;
    c->p++;
    return true;
}

static inline struct slice cursor_rest(const struct cursor *c)
{
    return slice_from(c->p, (size_t)(c->end - c->p));
}

/* What was taken since `mark`, a former value of c->p. */
static inline struct slice cursor_since(const struct cursor *c, const char *mark)
{
    return slice_from(mark, (size_t)(c->p - mark));
}

/* Takes the octets that are in the class; returns them, perhaps none. */
struct slice smtp_cursor_run(struct cursor *c, bool (*in_class)(int octet));
/* Takes `word`, in any case, if it comes next. */
bool smtp_cursor_accept_icase(struct cursor *c, struct slice word);

/* ---- classes --------------------------------------------------------------------------------------- */

bool smtp_is_alpha(int c);
bool smtp_is_digit(int c);
bool smtp_is_alnum(int c);
bool smtp_is_atext(int c); /* RFC 5322 3.2.3, with the UTF8-non-ascii of RFC 6531 3.3 */
bool smtp_is_xchar(int c); /* RFC 3461 4: "!" to "~" but "+" and "=" */
/* Does a control octet (C0, DEL) or an encoded C1 control (U+0080 to U+009F) stand in it? */
bool smtp_has_control(struct slice s);
/* Is octet i of s a control octet, or the first octet of an encoded C1 control? */
bool smtp_control_at(struct slice s, size_t i);

/* ---- parts of the grammar that several files need ------------------------------------------------------ */

/* Mailbox, from the cursor on.  The cursor stands behind it on success and anywhere on failure. */
int smtp_mailbox_take(struct cursor *c, struct smtp_mailbox *ret, struct err *err);
/* Decodes xtext into out[cap]; the length, or -1 when malformed, too long, or a control octet comes out. */
ssize_t smtp_xtext_decode_into(char *out, size_t cap, struct slice s);

/* A parameter of MAIL or RCPT: esmtp-keyword ["=" esmtp-value] (RFC 5321 4.1.2). */
struct smtp_param {
    struct slice keyword;
    struct slice value; /* .p NULL when there is no "=" */
};

/* A row per keyword: takes its value into the command's struct; -1 when the value is malformed. */
struct smtp_param_rule {
    struct slice keyword;
    int (*take)(struct slice value, void *command, struct smtp_verdict *v);
};

/* *(SP esmtp-param) up to the end: every keyword must be in `rules` and come once. */
int smtp_params_take(struct cursor *c, const struct smtp_param_rule *rules, size_t n, void *command,
                     struct smtp_verdict *v);

#endif
