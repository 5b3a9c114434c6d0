/* Normal form before signing (RFC 6376 5.3): what a later hop would re-encode or fold is encoded here (mime/).
 *
 * The new content goes through the same door as what a client sends: its lines are judged, the body is hashed and
 * spooled, so that whatever mime/ does, nothing is signed that could not have been sent. */
#include "internal.h"

#include "sendas/mime.h"

static ssize_t read_spool(void *spool, uint64_t offset, void *buf, size_t n)
{
    return spool_read(spool, offset, buf, n);
}

static int add_content(void *content, struct slice bytes, struct err *err)
{
    struct intake_content *c = content;
    intake_content_add(c, bytes);
    if (c->failure.code == 0)
        return 0;
    return err_set(err, "%s", c->cause.text[0] != '\0' ? c->cause.text : c->failure.text);
}

/* The reason for the log is in *cause. */
static int fail(struct smtp_verdict *v)
{
    return smtp_verdict_set(v, 451, "4.3.0", "The message could not be brought to normal form");
}

/* A disk that is full is what it was; that our own lines are refused is our own fault. */
static int judge_failure(const struct intake_content *c, struct smtp_verdict *v)
{
    if (c->failure.code == 0 || c->failure.code == 550)
        return fail(v);
    *v = c->failure;
    return -1;
}

static int replace_all(const struct mime_plan *plan, struct intake_content *c, struct smtp_verdict *v,
                       struct err *cause)
{
    struct intake_content fresh = {0};
    struct mime_sink sink = {add_content, &fresh};
    struct strbuf header = STRBUF_INIT;
    int status = intake_content_init(&fresh, c->spool_dir, UINT64_MAX);
    if (status < 0)
        smtp_verdict_set(v, 451, "4.3.0", "Out of memory");
    if (status == 0 &&
        (mime_rewrite(plan, &header, NULL, cause) < 0 || add_content(&fresh, strbuf_slice(&header), cause) < 0 ||
         add_content(&fresh, SLICE("\r\n"), cause) < 0 || mime_rewrite(plan, NULL, &sink, cause) < 0 ||
         intake_content_end(&fresh) < 0))
        status = judge_failure(&fresh, v);
    if (status == 0) {
        struct intake_content before = *c;
        *c = fresh;
        fresh = before;
    }
    strbuf_free(&header);
    intake_content_free(&fresh);
    return status;
}

static int replace_header(const struct mime_plan *plan, struct intake_content *c, struct smtp_verdict *v,
                          struct err *cause)
{
    struct strbuf header = {.max = c->header.max}, before = c->header;
    if (mime_rewrite(plan, &header, NULL, cause) < 0) {
        strbuf_free(&header);
        return fail(v);
    }
    c->header = header;
    c->eightbit = c->body_8bit || !slice_is_ascii(strbuf_slice(&header));
    strbuf_free(&before);
    return 0;
}

int intake_normalise(struct arena *a, struct intake_content *c, bool smtputf8, struct strbuf *changes,
                     struct smtp_verdict *v, struct err *cause)
{
    struct slice header = strbuf_slice(&c->header);
    struct mime_source body = {read_spool, c->body, spool_size(c->body)};
    struct mime_plan *plan = NULL;
    struct err reason;
    if (mime_is_plain(header, c->body_8bit, c->body_long))
        return 0;
    int status = mime_scan(a, header, &body, smtputf8, &plan, &reason);
    if (status == MIME_NEEDS_UTF8) /* RFC 6531 3.5 */
        return smtp_verdict_set(v, 553, "5.6.7", "%s", reason.text);
    if (status == MIME_REFUSED)
        return smtp_verdict_set(v, 550, "5.6.0", "%s", reason.text);
    if (status < 0) {
        *cause = reason;
        return fail(v);
    }
    const struct mime_report *report = mime_plan_report(plan);
    if (report->body_changed)
        status = replace_all(plan, c, v, cause);
    else if (report->header_changed)
        status = replace_header(plan, c, v, cause);
    if (report->summary[0] != '\0')
        strbuf_addf(changes, "%s%s", changes->n > 0 ? ", " : "", report->summary);
    return status;
}
