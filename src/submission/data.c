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

/* One octet while a line's first dot is undecided; true when it ended the content.  The dot itself is always dropped:
 * it was doubled, or the line is malformed and intake judges what remains. */
static bool undecided(struct submission *s, char octet)
{
    if (s->dots == DOTS_DOT && octet == '\r') {
        s->dots = DOTS_DOT_CR;
        return false;
    }
    if (s->dots == DOTS_DOT_CR) {
        if (octet == '\n')
            return true;
        emit(s, SLICE("\r"));
        s->dots = DOTS_CR;
    }
    emit(s, slice_from(&octet, 1));
    s->dots = after_text(s->dots, octet);
    return false;
}

/* Octets of text up to the next line's first dot; they pass as they are, bare CR and LF too: intake refuses those. */
static size_t text_run(struct submission *s, struct slice bytes)
{
    size_t n = 0;
    while (n < bytes.n) {
        if (s->dots == DOTS_TEXT) { /* the way of nearly all octets */
            n += slice_find(slice_skip(bytes, n), '\r');
            if (n == bytes.n)
                break;
        }
        if (s->dots == DOTS_LINE_START && bytes.p[n] == '.')
            break;
        s->dots = after_text(s->dots, bytes.p[n]);
        n++;
    }
    return n;
}

size_t data_feed(struct submission *s, struct slice bytes)
{
    size_t used = 0;
    bool ended = false;
    while (used < bytes.n && !ended) {
        if (s->dots == DOTS_DOT || s->dots == DOTS_DOT_CR) {
            ended = undecided(s, bytes.p[used++]);
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
