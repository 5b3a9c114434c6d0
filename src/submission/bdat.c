/* submission/bdat.c - BDAT: content in counted chunks (RFC 3030 2).  A chunk's octets are never commands: also where
 * the command is refused they are taken and thrown away before the refusal is sent. */
#include "internal.h"

/* What follows a chunk of unknown length cannot be told from commands. */
static void refuse_syntax(struct submission *s)
{
    session_hang_up(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
}

static void finish_chunk(struct submission *s)
{
    if (s->chunk_refusal.code != 0) {
        submission_enter(s, s->after_chunk);
        session_reply_verdict(s, &s->chunk_refusal);
    } else if (s->chunk_last) {
        txn_commit(s);
    } else {
        submission_enter(s, SESSION_BDAT);
        session_reply(s, 250, "2.0.0", "Chunk ok");
    }
}

static void begin_chunk(struct submission *s, uint64_t size, bool last, enum session_state after)
{
    s->chunk_left = size;
    s->chunk_last = last;
    s->after_chunk = after;
    session_body_begins(s);
    submission_enter(s, SESSION_CHUNK);
    if (size == 0)
        finish_chunk(s);
}

void bdat_refuse(struct submission *s, struct slice args, const struct smtp_verdict *v)
{
    uint64_t size;
    bool last;
    if (smtp_bdat_parse(args, &size, &last) < 0) {
        refuse_syntax(s);
        return;
    }
    s->chunk_refusal = *v;
    begin_chunk(s, size, last, s->state);
}

/* The reason to refuse this chunk, which ends the transaction. */
static int admit_chunk(struct submission *s, uint64_t size, struct smtp_verdict *v)
{
    uint64_t max = session_config(s)->limits.message_size;
    if (s->state == SESSION_RCPT) {
        s->bdat_total = 0;
        if (size <= max && txn_begin_content(s) < 0)
            return smtp_verdict_set(v, 452, "4.3.1", "Insufficient system storage");
    }
    if (size > max - s->bdat_total)
        return smtp_verdict_set(v, 552, "5.3.4", "Message too large: the limit is %llu octets",
                                (unsigned long long)max);
    s->bdat_total += size;
    return 0;
}

void cmd_bdat(struct submission *s, struct slice args)
{
    uint64_t size;
    bool last;
    if (smtp_bdat_parse(args, &size, &last) < 0) {
        refuse_syntax(s);
        return;
    }
    s->chunk_refusal = (struct smtp_verdict){0};
    if (admit_chunk(s, size, &s->chunk_refusal) < 0)
        txn_end(s, false);
    begin_chunk(s, size, last, SESSION_READY);
}

size_t bdat_feed(struct submission *s, struct slice bytes)
{
    struct slice chunk = slice_sub(bytes, 0, s->chunk_left < bytes.n ? (size_t)s->chunk_left : bytes.n);
    if (s->chunk_refusal.code == 0)
        s->ops->intake_data(s->ctx, s->intake, chunk);
    s->chunk_left -= chunk.n;
    s->body_octets += chunk.n;
    s->body_last = s->now;
    if (s->chunk_left == 0)
        finish_chunk(s);
    return chunk.n;
}
