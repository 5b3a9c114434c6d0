/* `sendas sign`: the same steps without an envelope and without a queue. */
#include "internal.h"

#include "sendas/align.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 64 * 1024, ARENA_MAX = 16 * 1024 * 1024 };

struct filter {
    const struct intake_settings *settings;
    struct arena mem;
    struct intake_content content;
    struct strbuf header, changes, head;
    struct field_list fields;
    char domain[DOMAIN_MAX + 1]; /* signs */
    struct queue_sum checked;
};

static int refuse(struct err *err, const struct smtp_verdict *v)
{
    return err_set(err, "%d %s %s", v->code, v->enhanced, v->text);
}

/* ---- in -------------------------------------------------------------------------------------- */

/* LF becomes CRLF, unless its CR is there; `last` is the octet before `bytes`. */
static void add_lines(struct intake_content *c, struct slice bytes, char last)
{
    size_t start = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] == '\n' && (i > 0 ? bytes.p[i - 1] : last) != '\r') {
            intake_content_add(c, slice_sub(bytes, start, i - start));
            intake_content_add(c, SLICE("\r"));
            start = i;
        }
    }
    intake_content_add(c, slice_skip(bytes, start));
}

static int read_message(struct filter *f, FILE *in, struct err *err)
{
    char *buffer = malloc(READ_SIZE);
    char last = '\0';
    size_t n;
    if (buffer == NULL)
        return err_set(err, "out of memory");
    while (f->content.failure.code == 0 && (n = fread(buffer, 1, READ_SIZE, in)) > 0) {
        add_lines(&f->content, slice_from(buffer, n), last);
        last = buffer[n - 1];
    }
    free(buffer);
    if (ferror(in))
        return err_set(err, "cannot read the message: %s", strerror(errno));
    return intake_content_end(&f->content) < 0 ? refuse(err, &f->content.failure) : 0;
}

/* ---- the steps ------------------------------------------------------------------------------- */

/* Whoever has the keys may sign for any address of these domains; but a message that no client could send is refused
 * here too. */
static int choose_domain(struct filter *f, const char *wanted, struct err *err)
{
    struct smtp_verdict v = {0};
    struct align_result aligned;
    struct align_request request = {
        .fields = &f->fields,
        .null_sender = true,
        .mail_from = SLICE(""),
        .smtputf8 = true,
        .pattern_matches = users_pattern_matches,
        .return_path_of = intake_return_path,
        .ctx = (void *)f->settings,
    };
    struct err why;
    if (wanted != NULL && domain_to_ascii(slice_of(wanted), f->domain, &why) < 0)
        return err_set(err, "--domain %s: %s", wanted, why.text);
    if (wanted != NULL)
        return 0;
    if (align_check(&f->mem, &request, &aligned, &v) < 0)
        return refuse(err, &v);
    memcpy(f->domain, aligned.domain, sizeof(f->domain));
    return 0;
}

/* There is no envelope to say SMTPUTF8: a header that can be made ASCII is, and one with addresses that cannot is taken
 * for a message that is sent so. */
static int normalise(struct filter *f, struct err *err)
{
    struct smtp_verdict v = {0};
    struct err cause = {{0}};
    if (f->settings->config->message.encode == CONFIG_ENCODE_NEVER)
        return 0;
    int status = intake_normalise(&f->mem, &f->content, false, &f->changes, &v, &cause);
    if (status < 0 && v.code == 553)
        status = intake_normalise(&f->mem, &f->content, true, &f->changes, &v, &cause);
    if (status < 0 && cause.text[0] != '\0')
        return err_set(err, "%s", cause.text);
    return status < 0 ? refuse(err, &v) : 0;
}

static int sign_header(struct filter *f, const char *domain, time_t now, struct err *err)
{
    struct smtp_verdict v = {0};
    struct intake_fixup fixup = {f->settings->config, SLICE(""), now};
    size_t n;
    if (intake_fixup(&f->mem, &fixup, strbuf_slice(&f->content.header), &f->header, &f->fields, &f->changes, &v) < 0)
        return refuse(err, &v);
    if (choose_domain(f, domain, err) < 0)
        return -1;
    struct dkim_key *const *keys = intake_settings_keys(f->settings, f->domain, &n);
    if (n == 0)
        return err_set(err, "%s is none of the domains in %s", f->domain, f->settings->config->path);
    if (intake_sign(keys, n, &f->fields, f->content.body_hash, now, &f->head, err) < 0)
        return -1;
    strbuf_add_slice(&f->head, strbuf_slice(&f->header));
    strbuf_add_str(&f->head, "\r\n");
    if (f->head.failed)
        return err_set(err, "out of memory");
    queue_sum_init(&f->checked, f->head.n + spool_size(f->content.body));
    return intake_check_signatures(keys, n, strbuf_slice(&f->head), f->content.body, now, &f->checked, err);
}

/* ---- out ------------------------------------------------------------------------------------- */

static int write_message(const struct filter *f, FILE *out, struct err *err)
{
    char buffer[8192];
    uint64_t offset = 0;
    ssize_t n;
    struct queue_sum written;
    queue_sum_init(&written, f->checked.size);
    queue_sum_add(&written, strbuf_slice(&f->head));
    fwrite(f->head.p, 1, f->head.n, out);
    while ((n = spool_read(f->content.body, offset, buffer, sizeof(buffer))) > 0) {
        queue_sum_add(&written, slice_from(buffer, (size_t)n));
        fwrite(buffer, 1, (size_t)n, out);
        offset += (uint64_t)n;
    }
    if (n < 0)
        return err_set(err, "cannot read the spooled message");
    if (written.at != f->checked.at || written.all != f->checked.all)
        return err_set(err, "what was written is not what its signatures were checked with");
    if (fflush(out) != 0 || ferror(out))
        return err_set(err, "cannot write the message: %s", strerror(errno));
    return 0;
}

int intake_sign_stream(const struct intake_settings *s, const char *domain, FILE *in, FILE *out, struct err *err)
{
    struct filter f = {.settings = s, .mem = ARENA_INIT(ARENA_MAX)};
    const char *dir = getenv("TMPDIR");
    time_t now = (time_t)(clock_wall_ms() / 1000);
    int status = intake_content_init(&f.content, dir != NULL ? dir : P_tmpdir, s->config->limits.message_size);
    f.content.any_line = s->config->message.encode == CONFIG_ENCODE_AUTO;
    if (status < 0)
        err_set(err, "out of memory");
    if (status == 0)
        status = read_message(&f, in, err);
    if (status == 0)
        status = normalise(&f, err);
    if (status == 0)
        status = sign_header(&f, domain, now, err);
    if (status == 0)
        status = write_message(&f, out, err);
    intake_content_free(&f.content);
    strbuf_free(&f.header);
    strbuf_free(&f.changes);
    strbuf_free(&f.head);
    arena_free(&f.mem);
    return status;
}
