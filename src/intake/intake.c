/* What happens to a message, from top to bottom.
 *
 *   begin    the envelope is copied, the message gets its queue id
 *   data     octets arrive: content.c judges the lines, collects the header, hashes and spools the body
 *   commit   on a worker:  normalise      what a later hop would change is encoded (normal.c, mime/)
 *                          fix_up         fields are added and removed (fixup.c, received.c)
 *                          check_senders  may this user send this, and with which envelope sender? (align/)
 *                          sign           every key of the From domain signs (dkim/)
 *                          check_signatures  what will be stored is read back and verified (dkim/)
 *            on the loop:  store          the queue takes it, and commits
 *   finish   the verdict
 *
 * Each step hands on or leaves a refusal in in->verdict, and there is no way around a step: what reaches store() is
 * signed, and was seen to be.  Between commit and finish the worker alone touches the message, then the loop alone
 * again. */
#include "internal.h"

#include "sendas/align.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_MAX = 16 * 1024 * 1024, /* one message's envelope, fields and addresses */
    MESSAGE_ID_MAX = 998
};

struct intake {
    /* given */
    struct intake_context ctx;
    struct intake_settings *settings;
    const struct user *user; /* NULL: a DSN of our own */
    const struct user_password *password;
    struct slice client_ip, helo, tls;
    bool extended, smtputf8, null_sender;
    struct slice mail_from;
    const int64_t *closes;
    size_t n_closes;
    /* made */
    struct arena mem; /* all slices in here live there, or in `header` */
    struct intake_content content;
    struct strbuf header;     /* fixed up */
    struct field_list fields; /* of `header` */
    struct strbuf changes;    /* what normalise and fix-up did, for `trace` */
    struct align_result aligned;
    struct strbuf head; /* signatures, header, empty line: what is stored */
    struct queue_message message;
    struct queue_sum sum; /* of what was checked */
    struct slice notes[DKIM_KEYS_MAX + 2];
    struct smtp_verdict verdict; /* .code 0 while all is well */
    struct err cause;            /* of a failure on our side: for the log, not for the client */
    /* told */
    struct event *refusal; /* brings a refusal that is known at once to the loop's next round */
    void (*done)(void *ctx, const struct smtp_verdict *v); /* NULL: nobody listens */
    void *done_ctx;
};

static void finish(struct intake *in);

static bool is_own(const struct intake *in)
{
    return in->user == NULL;
}

static struct slice logged_user(const struct intake *in)
{
    return is_own(in) ? (struct slice){NULL, 0} : in->message.user;
}

/* ---- begin: the envelope --------------------------------------------------------------------- */

static void on_refusal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    finish(arg);
}

static bool is_known(const struct queue_message *m, struct slice address)
{
    for (size_t i = 0; i < m->n_recipients; i++) {
        if (slice_eq(m->recipients[i].address, address))
            return true;
    }
    return false;
}

/* The domain that the queue sorts by.  What is no domain fails the message; the session has looked at it before. */
static int route_domain(struct intake *in, struct slice address, struct slice *ret)
{
    char ascii[DOMAIN_MAX + 1];
    struct err err;
    const char *at = memrchr(address.p, '@', address.n);
    struct slice domain = at == NULL ? SLICE("") : slice_skip(address, (size_t)(at - address.p) + 1);
    if (slice_starts(domain, SLICE("["))) {
        *ret = domain;
        return 0;
    }
    if (domain_to_ascii(domain, ascii, &err) < 0)
        return smtp_verdict_set(&in->verdict, 550, "5.1.2", "<%.*s>: %s", SLICE_ARG(address), err.text);
    *ret = arena_copy(&in->mem, slice_of(ascii));
    return 0;
}

static int copy_recipients(struct intake *in, const struct intake_envelope *envelope)
{
    struct queue_message *m = &in->message;
    m->recipients = arena_alloc_array(&in->mem, envelope->n_recipients, sizeof(*m->recipients));
    if (m->recipients == NULL)
        return -1;
    for (size_t i = 0; i < envelope->n_recipients; i++) {
        const struct intake_recipient *from = &envelope->recipients[i];
        struct queue_recipient_in *to = &m->recipients[m->n_recipients];
        if (is_known(m, from->address))
            continue;
        to->address = arena_copy(&in->mem, from->address);
        to->orcpt = arena_copy(&in->mem, from->orcpt);
        to->notify = from->notify;
        if (to->address.p == NULL || to->orcpt.p == NULL)
            return -1;
        if (route_domain(in, to->address, &to->domain) == 0 && to->domain.p == NULL)
            return -1;
        m->n_recipients++;
    }
    return 0;
}

static int copy_envelope(struct intake *in, const struct intake_origin *origin, const struct intake_envelope *envelope)
{
    in->user = origin->user;
    in->password = origin->password;
    in->client_ip = arena_copy(&in->mem, origin->client_ip);
    in->helo = arena_copy(&in->mem, origin->helo);
    in->tls = arena_copy(&in->mem, origin->tls);
    in->extended = origin->extended;
    in->smtputf8 = envelope->smtputf8;
    in->null_sender = envelope->null_sender;
    in->mail_from = arena_copy(&in->mem, envelope->mail_from);
    in->message.envid = arena_copy(&in->mem, envelope->envid);
    in->message.ret = envelope->ret;
    in->message.user = arena_copy(&in->mem, slice_of(in->user == NULL ? "" : in->user->name));
    if (in->client_ip.p == NULL || in->helo.p == NULL || in->tls.p == NULL || in->mail_from.p == NULL ||
        in->message.envid.p == NULL || in->message.user.p == NULL)
        return -1;
    return copy_recipients(in, envelope);
}

/* Bodies spill beside the queue: where that disk is full the message could not be stored anyhow. */
static int begin_content(struct intake *in, uint64_t size_max)
{
    struct slice path = slice_of(in->settings->config->queue.path);
    const char *slash = memrchr(path.p, '/', path.n);
    const char *dir = slash == NULL     ? "."
                      : slash == path.p ? "/"
                                        : arena_strdup(&in->mem, slice_sub(path, 0, (size_t)(slash - path.p)));
    if (dir == NULL || intake_content_init(&in->content, dir, size_max) < 0)
        return -1;
    in->content.any_line = in->settings->config->message.encode == CONFIG_ENCODE_AUTO;
    return 0;
}

static void intake_free(struct intake **pin)
{
    struct intake *in = *pin;
    *pin = NULL;
    if (in->refusal != NULL)
        event_free(in->refusal);
    intake_content_free(&in->content);
    strbuf_free(&in->header);
    strbuf_free(&in->changes);
    strbuf_free(&in->head);
    arena_free(&in->mem);
    intake_settings_unref(&in->settings);
    free(in);
}

struct intake *intake_begin(const struct intake_context *ctx, struct intake_settings *settings,
                            const struct intake_origin *origin, const struct intake_envelope *envelope)
{
    struct intake *in = calloc(1, sizeof(*in));
    if (in == NULL)
        return NULL;
    in->ctx = *ctx;
    in->settings = intake_settings_ref(settings);
    in->mem = ARENA_INIT(ARENA_MAX);
    in->refusal = event_new(ctx->base, -1, 0, on_refusal, in);
    uint64_t size_max = origin->user == NULL ? UINT64_MAX : settings->config->limits.message_size;
    if (in->refusal == NULL || queue_new_id(in->message.id) < 0 || copy_envelope(in, origin, envelope) < 0 ||
        begin_content(in, size_max) < 0)
        intake_free(&in);
    return in;
}

/* ---- data ------------------------------------------------------------------------------------ */

void intake_data(struct intake *in, struct slice bytes)
{
    if (in->verdict.code != 0)
        return;
    intake_content_add(&in->content, bytes);
    in->verdict = in->content.failure;
    in->cause = in->content.cause;
}

const struct smtp_verdict *intake_failure(const struct intake *in)
{
    return &in->verdict;
}

/* ---- commit, step 1: normal form ------------------------------------------------------------- */

static int normalise(struct intake *in)
{
    if (in->settings->config->message.encode == CONFIG_ENCODE_NEVER)
        return 0;
    return intake_normalise(&in->mem, &in->content, in->smtputf8, &in->changes, &in->verdict, &in->cause);
}

/* ---- step 2: the header as it will leave ----------------------------------------------------- */

static int fix_up(struct intake *in, time_t now)
{
    struct strbuf received = STRBUF_INIT;
    intake_received(&received,
                    &(struct intake_trace){
                        .hostname = in->settings->config->hostname,
                        .id = in->message.id,
                        .hide_client = in->settings->config->hide_client_ip,
                        .authenticated = !is_own(in),
                        .extended = in->extended,
                        .smtputf8 = in->smtputf8,
                        .client_ip = in->client_ip,
                        .helo = in->helo,
                        .tls = in->tls,
                    },
                    now);
    struct intake_fixup fixup = {in->settings->config, strbuf_slice(&received), now};
    int status = received.failed ? smtp_verdict_set(&in->verdict, 451, "4.3.0", "Out of memory")
                                 : intake_fixup(&in->mem, &fixup, strbuf_slice(&in->content.header), &in->header,
                                                &in->fields, &in->changes, &in->verdict);
    strbuf_free(&received);
    return status;
}

/* ---- step 3: who may send, and the envelope sender ------------------------------------------- */

/* A password that has patterns of its own narrows the user's: they were checked to lie within them. */
static int check_senders(struct intake *in)
{
    bool narrowed = in->password != NULL && in->password->n_send_as > 0;
    char *const *send_as = narrowed ? in->password->send_as : is_own(in) ? NULL : in->user->send_as;
    struct align_request request = {
        .fields = &in->fields,
        .send_as = (const char *const *)send_as,
        .n_send_as = narrowed     ? in->password->n_send_as
                     : is_own(in) ? 0
                                  : in->user->n_send_as,
        .null_sender = in->null_sender,
        .mail_from = in->mail_from,
        .smtputf8 = in->smtputf8,
        .pattern_matches = users_pattern_matches,
        .return_path_of = intake_return_path,
        .ctx = in->settings,
    };
    return align_check(&in->mem, &request, &in->aligned, &in->verdict);
}

/* ---- step 4: the signatures ------------------------------------------------------------------ */

static int sign(struct intake *in, time_t now)
{
    size_t n;
    struct dkim_key *const *keys = intake_settings_keys(in->settings, in->aligned.domain, &n);
    if (intake_sign(keys, n, &in->fields, in->content.body_hash, now, &in->head, &in->cause) < 0)
        return smtp_verdict_set(&in->verdict, 451, "4.7.5", "The message could not be signed");
    strbuf_add_slice(&in->head, strbuf_slice(&in->header));
    strbuf_add_str(&in->head, "\r\n");
    return in->head.failed ? smtp_verdict_set(&in->verdict, 451, "4.3.0", "Out of memory") : 0;
}

/* ---- step 5: the last look: what is described for the queue, and no memory of how it was made  */

static void log_signed(const struct intake *in, const struct dkim_key *key)
{
    log_event(LOG_LEVEL_INFO, "signed", LOG_STR("queue", in->message.id), LOG_SLICE("user", logged_user(in)),
              LOG_STR("domain", dkim_key_domain(key)), LOG_STR("selector", dkim_key_selector(key)),
              LOG_STR("algorithm", dkim_algorithm_name(dkim_key_algorithm(key))));
}

static uint64_t stored_size(const struct intake *in)
{
    return in->head.n + spool_size(in->content.body);
}

static int check_signatures(struct intake *in, time_t now)
{
    size_t n;
    struct dkim_key *const *keys = intake_settings_keys(in->settings, in->aligned.domain, &n);
    uint64_t size = stored_size(in);
    queue_sum_init(&in->sum, size);
    in->sum.chunks = arena_alloc_array(&in->mem, (size_t)((size + QUEUE_CHUNK - 1) / QUEUE_CHUNK), sizeof(int64_t));
    if (intake_check_signatures(keys, n, in->message.head, in->message.body, now, &in->sum, &in->cause) < 0)
        return smtp_verdict_set(&in->verdict, 451, "4.7.5",
                                "The message could not be signed: its signature is not valid");
    for (size_t i = 0; i < n; i++)
        log_signed(in, keys[i]);
    return 0;
}

/* ---- step 6: into the queue ------------------------------------------------------------------ */

/* A line for `sendas trace`.  One that cannot be kept costs no message. */
static void note(struct intake *in, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct intake *in, const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    struct slice copy = arena_copy(&in->mem, slice_of(line));
    if (copy.p != NULL && in->message.n_notes < ARRAY_LEN(in->notes))
        in->notes[in->message.n_notes++] = copy;
}

static void write_notes(struct intake *in)
{
    size_t n;
    struct dkim_key *const *keys = intake_settings_keys(in->settings, in->aligned.domain, &n);
    note(in, "accepted from %s%s%s%s%s%.*s, %zu recipient%s, %llu octets", is_own(in) ? "ourselves" : in->user->name,
         in->password == NULL ? "" : " (", in->password == NULL ? "" : in->password->label,
         in->password == NULL ? "" : ")", in->tls.n > 0 ? " over " : "", SLICE_ARG(in->tls), in->message.n_recipients,
         in->message.n_recipients == 1 ? "" : "s", (unsigned long long)stored_size(in));
    if (in->changes.n > 0)
        note(in, "changed: %s", strbuf_str(&in->changes));
    for (size_t i = 0; i < n; i++)
        note(in, "signed domain=%s selector=%s algorithm=%s", dkim_key_domain(keys[i]), dkim_key_selector(keys[i]),
             dkim_algorithm_name(dkim_key_algorithm(keys[i])));
}

/* Does a server on the way need SMTPUTF8 (RFC 6531 3.4)?  Some clients ask for it whenever it is offered; then a
 * recipient behind a server that lacks it would get nothing for no reason. */
static bool needs_smtputf8(const struct intake *in)
{
    if (!slice_is_ascii(strbuf_slice(&in->header)) || !slice_is_ascii(in->aligned.sender))
        return true;
    for (size_t i = 0; i < in->message.n_recipients; i++) {
        if (!slice_is_ascii(in->message.recipients[i].address))
            return true;
    }
    return false;
}

static struct slice message_id(struct intake *in)
{
    const struct field *f = fields_get(&in->fields, SLICE("Message-ID"), 0);
    struct slice id = f == NULL ? SLICE("") : field_unfold(&in->mem, f);
    return id.p == NULL || id.n > MESSAGE_ID_MAX ? SLICE("") : id;
}

static void describe(struct intake *in)
{
    struct queue_message *m = &in->message;
    m->sender = in->aligned.sender;
    m->submitted = in->aligned.rewritten ? in->mail_from : (struct slice){NULL, 0};
    m->bounce_to = in->aligned.bounce_to;
    m->message_id = message_id(in);
    m->smtputf8 = in->smtputf8 && needs_smtputf8(in);
    m->eightbit = in->content.eightbit;
    m->head = strbuf_slice(&in->head);
    m->body = in->content.body;
    m->checked = &in->sum;
    m->notes = in->notes;
    m->closes = in->closes;
    m->n_closes = in->n_closes;
    write_notes(in);
}

static void on_stored(void *ctx, enum queue_status status)
{
    struct intake *in = ctx;
    switch (status) {
    case QUEUE_OK:
        smtp_verdict_set(&in->verdict, 250, "2.0.0", "Ok: queued as %s", in->message.id);
        break;
    case QUEUE_FULL:
        smtp_verdict_set(&in->verdict, 452, "4.3.1", "The message cannot be stored at the moment");
        break;
    case QUEUE_FAILED:
        smtp_verdict_set(&in->verdict, 451, "4.3.0", "The message could not be stored");
        break;
    case QUEUE_CHANGED:
        intake_count_signature_failure();
        err_set(&in->cause, "the spooled message is no longer what its signatures were checked with");
        smtp_verdict_set(&in->verdict, 451, "4.7.5", "The message was damaged while it was being stored");
        break;
    }
    finish(in);
}

/* ---- commit: the steps, one behind the other ------------------------------------------------- */

/* On a worker. */
static void prepare(void *job)
{
    struct intake *in = job;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (normalise(in) < 0 || fix_up(in, now) < 0 || check_senders(in) < 0 || sign(in, now) < 0)
        return;
    describe(in);
    check_signatures(in, now);
}

/* Back on the loop. */
static void on_prepared(void *job)
{
    struct intake *in = job;
    struct queue *queue = in->ctx.queue;
    if (in->verdict.code != 0)
        finish(in);
    else
        queue_put(queue, &in->message, on_stored, in);
    queue_expect(queue, -1);
}

void intake_commit(struct intake *in, void (*done)(void *ctx, const struct smtp_verdict *v), void *ctx)
{
    in->done = done;
    in->done_ctx = ctx;
    if (in->verdict.code == 0 && intake_content_end(&in->content) < 0)
        in->verdict = in->content.failure;
    if (in->verdict.code == 0) {
        struct queue *queue = in->ctx.queue;
        if (workers_submit(in->ctx.workers, WORK_SIGN, prepare, on_prepared, in) == 0) {
            queue_expect(queue, 1);
            return; /* the message is the worker's now: nothing of it may be looked at */
        }
        smtp_verdict_set(&in->verdict, 451, "4.3.2", "Too much to do at the moment");
    }
    event_active(in->refusal, EV_TIMEOUT, 0);
}

/* ---- finish: the verdict --------------------------------------------------------------------- */

/* What is the sender's fault is a warning; what is ours is an error, with its cause. */
static void log_rejected(const struct intake *in)
{
    bool ours = is_own(in) || in->cause.text[0] != '\0';
    log_event(ours ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "rejected", LOG_STR("queue", in->message.id),
              LOG_STR("ip", in->client_ip.n > 0 ? in->client_ip.p : NULL), LOG_SLICE("user", logged_user(in)),
              LOG_PATH("submitted", in->mail_from), LOG_NUM("code", in->verdict.code),
              LOG_STR("enhanced", in->verdict.enhanced), LOG_STR("reason", in->verdict.text),
              LOG_STR("cause", in->cause.text[0] != '\0' ? in->cause.text : NULL));
}

/* What goes on the wire is `from`; `submitted` is what the client said, where that differs. */
static void log_accepted(const struct intake *in)
{
    const struct queue_message *m = &in->message;
    log_event(LOG_LEVEL_INFO, "accepted", LOG_STR("queue", m->id), LOG_SLICE("user", logged_user(in)),
              LOG_PATH("from", m->sender), LOG_PATH("submitted", m->submitted), LOG_NUM("recipients", m->n_recipients),
              LOG_NUM("size", stored_size(in)), LOG_SLICE("message_id", m->message_id),
              LOG_STR("changed", in->changes.n > 0 ? strbuf_str(&in->changes) : NULL));
}

static struct intake_counts counts;

const struct intake_counts *intake_counts(void)
{
    return &counts;
}

static void count(const struct intake *in)
{
    size_t n;
    if (!smtp_is_success(&in->verdict)) {
        counts.sign_failures += strcmp(in->verdict.enhanced, "4.7.5") == 0;
        return;
    }
    struct dkim_key *const *keys = intake_settings_keys(in->settings, in->aligned.domain, &n);
    for (size_t i = 0; i < n; i++)
        counts.signatures[dkim_key_algorithm(keys[i])]++;
    counts.dsns += is_own(in) ? 1 : 0;
    counts.accepted += is_own(in) ? 0 : 1;
    counts.octets += is_own(in) ? 0 : stored_size(in);
}

static void finish(struct intake *in)
{
    count(in);
    if (smtp_is_success(&in->verdict))
        log_accepted(in);
    else
        log_rejected(in);
    if (in->done != NULL)
        in->done(in->done_ctx, &in->verdict);
    intake_free(&in);
}

void intake_abort(struct intake **pin)
{
    struct intake *in = *pin;
    if (in == NULL)
        return;
    if (in->verdict.code != 0)
        log_rejected(in);
    intake_free(pin);
}

void intake_detach(struct intake *in)
{
    in->done = NULL;
}

/* ---- a DSN of our own: the same way ---------------------------------------------------------- */

struct dsn {
    char id[QUEUE_ID_SIZE];
    void (*done)(void *ctx, bool ok, const char *id);
    void *ctx;
};

static void on_dsn_done(void *ctx, const struct smtp_verdict *v)
{
    struct dsn *dsn = ctx;
    dsn->done(dsn->ctx, smtp_is_success(v), dsn->id);
}

/* What only a DSN has, in the message's arena. */
static struct dsn *begin_dsn(struct intake *in, const int64_t *closes, size_t n_closes)
{
    struct dsn *dsn = arena_alloc(&in->mem, sizeof(*dsn));
    int64_t *copy = arena_alloc_array(&in->mem, n_closes, sizeof(*copy));
    if (dsn == NULL || copy == NULL)
        return NULL;
    if (n_closes > 0)
        memcpy(copy, closes, n_closes * sizeof(*copy));
    in->closes = copy;
    in->n_closes = n_closes;
    memcpy(dsn->id, in->message.id, sizeof(dsn->id));
    return dsn;
}

void intake_dsn(const struct intake_context *ctx, struct intake_settings *settings, struct slice message,
                struct slice recipient, const int64_t *closes, size_t n_closes,
                void (*done)(void *ctx, bool ok, const char *id), void *done_ctx)
{
    struct intake_recipient to = {.address = recipient, .orcpt = SLICE(""), .notify = SMTP_NOTIFY_NEVER};
    struct intake_origin origin = {.client_ip = SLICE(""), .helo = SLICE(""), .tls = SLICE("")};
    struct intake_envelope envelope = {/* RFC 3464 2: a DSN has the null sender */
                                       .null_sender = true, .mail_from = SLICE(""), .smtputf8 = true,
                                       .envid = SLICE(""),  .recipients = &to,      .n_recipients = 1};
    struct intake *in = intake_begin(ctx, settings, &origin, &envelope);
    struct dsn *dsn = in == NULL ? NULL : begin_dsn(in, closes, n_closes);
    if (dsn == NULL) {
        log_event(LOG_LEVEL_ERROR, "rejected", LOG_STR("reason", "out of memory for a DSN"));
        intake_abort(&in);
        done(done_ctx, false, "");
        return;
    }
    dsn->done = done;
    dsn->ctx = done_ctx;
    intake_data(in, message);
    intake_commit(in, on_dsn_done, dsn);
}
