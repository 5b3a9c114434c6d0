/* submission/data.c - DATA: content up to CRLF "." CRLF and nothing else (RFC 5321 4.1.1.4, 4.5.2). */
#include "internal.h"

void cmd_data(struct submission *s, struct slice args)
{
    (void)args;
    if (txn_begin_content(s) < 0) {
        txn_end(s, false);
        submission_enter(s, SESSION_READY);
        session_reply(s, 452, "4.3.1", "Insufficient system storage");
        return;
    }
    s->dots = DOTS_LINE_START;
    session_body_begins(s);
    submission_enter(s, SESSION_DATA);
    /* RFC 2034 4: enhanced codes are for 2xx, 4xx and 5xx */
    session_reply(s, 354, "", "End data with <CR><LF>.<CR><LF>");
}

static void emit(struct submission *s, struct slice bytes)
{
    if (bytes.n > 0)
        s->ops->intake_data(s->ctx, s->intake, bytes);
}

/* Where the line stands after an octet of text. */
static enum dots_state after_text(enum dots_state state, char octet)
{
    if (octet == '\r')
        return DOTS_CR;
    return octet == '\n' && state == DOTS_CR ? DOTS_LINE_START : DOTS_TEXT;
}

/* An octet behind a line's first dot, which is always dropped: it was doubled, or the line is malformed and intake judges
 * what remains.  Returns how many were used: none, when the octet is text. */
static size_t undecided(struct submission *s, char octet, bool *ended)
{
    if (s->dots == DOTS_DOT && octet == '\r') {
        s->dots = DOTS_DOT_CR;
        return 1;
    }
    if (s->dots == DOTS_DOT_CR && octet == '\n') {
        *ended = true;
        return 1;
    }
    if (s->dots == DOTS_DOT_CR)
        emit(s, SLICE("\r"));
    s->dots = s->dots == DOTS_DOT_CR ? DOTS_CR : DOTS_TEXT;
    return 0;
}

/* Up to the first dot from `i` on that begins a line; i is 2 at least. */
static size_t before_dot(struct slice s, size_t i)
{
    for (; s.n - i >= OCTETS; i += OCTETS) {
        struct octets dot = octets_eq(octets_at(s.p + i), '.'), lf = octets_eq(octets_at(s.p + i - 1), '\n');
        struct octets cr = octets_eq(octets_at(s.p + i - 2), '\r');
        unsigned k = octets_before((struct octets){dot.v & lf.v & cr.v});
        if (k < OCTETS)
            return i + k;
    }
    while (i < s.n && (s.p[i] != '.' || s.p[i - 1] != '\n' || s.p[i - 2] != '\r'))
        i++;
    return i;
}

/* Octets of text up to the next line's first dot; they pass as they are, bare CR and LF too: intake refuses those. */
static size_t text_run(struct submission *s, struct slice bytes)
{
    size_t n = 0, end;
    while (n < 2 && n < bytes.n) {
        if (s->dots == DOTS_LINE_START && bytes.p[n] == '.')
            return n;
        s->dots = after_text(s->dots, bytes.p[n++]);
    }
    end = n < 2 ? n : before_dot(bytes, n);
    for (n = end - n > 2 ? end - 2 : n; n < end; n++) /* the last two say where it stands */
        s->dots = after_text(s->dots, bytes.p[n]);
    return end;
}

size_t data_feed(struct submission *s, struct slice bytes)
{
    size_t used = 0;
    bool ended = false;
    while (used < bytes.n && !ended) {
        if (s->dots == DOTS_DOT || s->dots == DOTS_DOT_CR) {
            used += undecided(s, bytes.p[used], &ended);
            continue;
        }
        struct slice rest = slice_skip(bytes, used);
        size_t n = text_run(s, rest);
        emit(s, slice_sub(rest, 0, n));
        used += n;
        if (n < rest.n) { /* a dot at the beginning of a line */
            s->dots = DOTS_DOT;
            used++;
        }
    }
    s->body_octets += used;
    s->body_last = s->now;
    if (ended)
        txn_commit(s);
    return used;
}
