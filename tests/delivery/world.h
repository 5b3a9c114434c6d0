/* A small world for the manager: mail servers of a few words, a DNS of a few lines, a queue in memory, a clock that can
 * be set.
 *
 * It takes the place of queue/, dns/, intake/ and the clock at link time: it defines their functions, so one program
 * includes it once. */
#ifndef TESTS_DELIVERY_WORLD_H
#define TESTS_DELIVERY_WORLD_H

#include "testing.h"

#include "sendas/delivery.h"

#include <event2/event.h>

enum { LINKS_MAX = 2048, CALLS_MAX = 256, RECIPIENTS_MAX = 160 };

/* ---- the world
 * --------------------------------------------------------------------------------------------------------- */

struct delivery_link {
    struct delivery_session *session;
    char address[64];
    const char *behaviour; /* words, separated by blanks */
    struct strbuf in;      /* from the client */
    bool connected, closed, gone, tls_pending, in_tls, data, verify, evil;
    unsigned rcpts, messages;
    void (*drained)(void *);
    void *drained_arg;
};

struct call {
    enum { CALL_NONE = 0, CALL_LOAD, CALL_READ, CALL_DNS, CALL_DSN } kind;
    struct queue_item *item;
    unsigned index;
    char name[80];
    enum dns_type type;
    void (*loaded)(void *, bool);
    void (*read)(void *, struct slice);
    void (*answered)(void *, const struct dns_answer *);
    void (*queued)(void *, bool, const char *);
    void *ctx;
};

static struct {
    struct event_base *base;
    struct delivery *d;
    struct config config;
    struct intake_settings settings;
    struct call calls[CALLS_MAX];
    struct delivery_link *links[LINKS_MAX];
    size_t n_links, open, most_open;
    const char *mx, *servers; /* "domain=host,host"; "host=behaviour words" */
    struct strbuf result;     /* one word per recipient */
    struct strbuf mail;       /* what the servers took, dots unstuffed */
    struct strbuf dsn;
    struct strbuf hastened; /* domains */
    struct strbuf note;     /* of the last item that was finished */
    bool dsn_fails, unreadable, stopped;
    unsigned dsns, finished, due, reads;
    int64_t later_ms;      /* the clock is ahead by so much */
    int64_t next_ms;       /* of the last item that was deferred */
    struct strbuf replies; /* in full, a line each */
    size_t most_loaded, loaded;
    struct strbuf content;
} w;

static struct call *add_call(int kind, void *ctx)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (w.calls[i].kind == CALL_NONE) {
            w.calls[i] = (struct call){.ctx = ctx};
            w.calls[i].kind = kind;
            return &w.calls[i];
        }
    ck_abort_msg("too many calls under way");
    return NULL;
}

static int64_t clock_at(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + w.later_ms;
}

int64_t clock_mono_ms(void)
{
    return clock_at(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return clock_at(CLOCK_REALTIME);
}

int random_name(char *out, size_t n)
{
    memset(out, 'R', n);
    out[n] = '\0';
    return 0;
}

void wipe(void *p, size_t n)
{
    memset(p, 0, n);
}

void queue_load(struct queue *q, struct queue_item *item, void (*done)(void *, bool), void *ctx)
{
    (void)q;
    struct call *c = add_call(CALL_LOAD, ctx);
    if (++w.loaded > w.most_loaded)
        w.most_loaded = w.loaded;
    c->item = item;
    c->loaded = done;
}

void queue_read(struct queue *q, const struct queue_item *item, unsigned index, void (*done)(void *, struct slice),
                void *ctx)
{
    (void)q;
    struct call *c = add_call(CALL_READ, ctx);
    c->item = (struct queue_item *)item;
    c->index = index;
    c->read = done;
}

int64_t queue_retry_delay_ms(const struct queue *q, unsigned attempts)
{
    (void)q;
    return 60000 * (int64_t)attempts;
}

void queue_hasten(struct queue *q, bool (*which)(void *, const char *), void *ctx)
{
    static const char *const domains[] = {"x", "y", "z"};
    (void)q;
    for (size_t i = 0; i < ARRAY_LEN(domains); i++)
        if (which(ctx, domains[i]))
            strbuf_addf(&w.hastened, "%s%s", w.hastened.n > 0 ? " " : "", domains[i]);
}

static void item_free(struct queue_item *item)
{
    for (size_t i = 0; i < item->n_recipients; i++)
        free(item->recipients[i].address);
    free(item->recipients);
    free(item->domain);
    free(item->owner);
    free(item);
}

/* "550 5.1.1" of "550 5.1.1 unknown". */
static void add_codes(const char *reply)
{
    struct slice code, enhanced;
    slice_cut(slice_cut(slice_of(reply), ' ', &code), ' ', &enhanced);
    strbuf_addf(&w.result, "(%.*s %.*s)", SLICE_ARG(code), SLICE_ARG(enhanced));
}

void queue_finish(struct queue *q, struct queue_item *item, const struct queue_result *results, int64_t retry_after_ms,
                  const char *note)
{
    static const char *const names[] = {"keep", "delivered", "deferred", "untold", "closed"};
    (void)q;
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (w.calls[i].item == item)
            w.calls[i].kind = CALL_NONE;
    if (w.result.n > 0)
        strbuf_add_str(&w.result, " | ");
    strbuf_addf(&w.result, "%s:", item->id);
    for (size_t i = 0; i < item->n_recipients && results != NULL; i++) {
        const char *name = names[results[i].outcome];
        bool reply = results[i].outcome == QUEUE_DEFERRED || results[i].outcome == QUEUE_CLOSED ||
                     results[i].outcome == QUEUE_FAILED_NO_DSN;
        strbuf_addf(&w.result, " %s", name);
        if (reply)
            add_codes(results[i].reply), strbuf_addf(&w.replies, "%s: %s\n", item->id, results[i].reply);
        if (results[i].warned)
            strbuf_add_str(&w.result, "+warned");
        if (results[i].outcome == QUEUE_DEFERRED)
            w.next_ms = retry_after_ms;
    }
    w.loaded -= results != NULL;
    if (results == NULL)
        strbuf_add_str(&w.result, " untouched");
    else
        ck_assert(note == NULL || note[0] != '\0');
    strbuf_reset(&w.note);
    if (note != NULL)
        strbuf_add_str(&w.note, note);
    w.finished++;
    item_free(item);
}

void intake_dsn(const struct intake_context *ctx, struct intake_settings *settings, struct slice message,
                struct slice recipient, const int64_t *closes, size_t n_closes,
                void (*done)(void *, bool, const char *), void *done_ctx)
{
    (void)ctx;
    (void)settings;
    strbuf_addf(&w.dsn, "to=%.*s closes=", SLICE_ARG(recipient));
    for (size_t i = 0; i < n_closes; i++)
        strbuf_addf(&w.dsn, "%d,", (int)closes[i]);
    strbuf_add_str(&w.dsn, "\n");
    strbuf_add_slice(&w.dsn, message);
    w.dsns++;
    add_call(CALL_DSN, done_ctx)->queued = done;
}

struct intake_settings *intake_settings_ref(struct intake_settings *s)
{
    s->references++;
    return s;
}

void intake_settings_unref(struct intake_settings **ps)
{
    if (*ps != NULL)
        (*ps)->references--;
    *ps = NULL;
}

struct dns_query *dns_resolve(struct dns *d, const char *name, enum dns_type type,
                              void (*done)(void *, const struct dns_answer *), void *ctx)
{
    (void)d;
    struct call *c = add_call(CALL_DNS, ctx);
    snprintf(c->name, sizeof(c->name), "%s", name);
    c->type = type;
    c->answered = done;
    return (struct dns_query *)c;
}

void dns_cancel(struct dns_query *q)
{
    ((struct call *)q)->kind = CALL_NONE;
}

/* "key=value; key=value": the value, or an empty slice. */
static struct slice look_up(const char *table, const char *key)
{
    struct slice rest = slice_of(table), entry, name;
    while (rest.n > 0) {
        rest = slice_cut(rest, ';', &entry);
        struct slice value = slice_cut(slice_trim(entry), '=', &name);
        if (slice_eq(name, slice_of(key)))
            return value;
    }
    return SLICE("");
}

/* MX: the hosts of the domain, in their order.  A: the host's place in the table of servers makes its address. */
static void answer_dns(struct call *c)
{
    struct dns_record records[8];
    char names[8][80];
    struct dns_answer a = {.status = DNS_NXDOMAIN, .records = records, .reason = ""};
    if (c->type == DNS_MX) {
        struct slice hosts = look_up(w.mx, c->name), host;
        while (hosts.n > 0) {
            hosts = slice_cut(hosts, ',', &host);
            snprintf(names[a.n], sizeof(names[0]), "%.*s", SLICE_ARG(host));
            records[a.n] =
                (struct dns_record){.text = slice_eq(host, SLICE(".")) ? "" : names[a.n], .preference = (unsigned)a.n};
            a.n++;
        }
    } else if (c->type == DNS_A && look_up(w.servers, c->name).n > 0) {
        snprintf(names[0], sizeof(names[0]), "8.8.8.%u", (unsigned char)c->name[strlen(c->name) - 1]);
        records[a.n++] = (struct dns_record){.text = names[0]};
    }
    a.status = a.n > 0 ? DNS_OK : DNS_NXDOMAIN;
    c->kind = CALL_NONE;
    c->answered(c->ctx, &a);
}

static void load_item(struct call *c)
{
    if (w.unreadable)
        c->item->n_recipients = 0;
    c->loaded(c->ctx, !w.unreadable);
}

static void answer_call(struct call *c)
{
    struct slice part;
    struct call copy = *c;
    switch (c->kind) {
    case CALL_DNS:
        answer_dns(c);
        break;
    case CALL_LOAD:
        c->kind = CALL_NONE;
        load_item(&copy);
        break;
    case CALL_READ:
        c->kind = CALL_NONE;
        part = slice_sub(strbuf_slice(&w.content), copy.index * 100UL, 100); /* small chunks show more */
        copy.read(copy.ctx, part);
        break;
    case CALL_DSN:
        c->kind = CALL_NONE;
        copy.queued(copy.ctx, !w.dsn_fails, w.dsn_fails ? "" : "DSN");
        break;
    case CALL_NONE:
        break;
    }
}

/* ---- mail servers
 * ---------------------------------------------------------------------------------------------------------- */

static bool word(const struct delivery_link *l, const char *what)
{
    struct slice rest = slice_of(l->behaviour), one;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &one);
        if (slice_eq(one, slice_of(what)))
            return true;
    }
    return false;
}

static void say(struct delivery_link *l, const char *text)
{
    if (!l->closed)
        delivery_session_feed(l->session, slice_of(text), clock_mono_ms());
}

static void hang_up(struct delivery_link *l)
{
    l->gone = true;
    if (!l->closed)
        delivery_session_lost(l->session, "end of file", clock_mono_ms());
}

static void on_ehlo(struct delivery_link *l)
{
    if (word(l, "starttls") && !l->in_tls)
        say(l, "250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
    else if (word(l, "dsn"))
        say(l, "250-x\r\n250-PIPELINING\r\n250 DSN\r\n");
    else if (word(l, "rcptmax"))
        say(l, "250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n");
    else
        say(l, "250-x\r\n250 PIPELINING\r\n");
}

static void on_rcpt(struct delivery_link *l, struct slice line)
{
    l->rcpts++;
    l->evil |= slice_find_slice(line, SLICE("<evil")) < line.n;
    if (word(l, "enough") || slice_find_slice(line, SLICE("<poison")) < line.n)
        say(l, "421 4.3.2 that is enough\r\n"), hang_up(l);
    else if (slice_find_slice(line, SLICE("<no")) < line.n)
        say(l, "550 5.1.1 unknown\r\n");
    else if (slice_find_slice(line, SLICE("<later")) < line.n)
        say(l, "450 4.2.1 busy\r\n");
    else if (word(l, "few") && l->rcpts > 2)
        say(l, "452 4.5.3 too many\r\n");
    else
        say(l, "250 ok\r\n");
}

static void on_line(struct delivery_link *l, struct slice line)
{
    if (word(l, "mute") && !slice_starts(line, SLICE("EHLO")))
        return;
    if (l->data) {
        l->data = !slice_eq(line, SLICE("."));
        if (l->data)
            strbuf_addf(&w.mail, "%.*s\r\n", SLICE_ARG(line.n > 0 && line.p[0] == '.' ? slice_skip(line, 1) : line));
        else if (word(l, "vanish"))
            hang_up(l);
        else if (word(l, "late"))
            w.later_ms += 10 * 3600 * 1000, say(l, "250 2.0.0 taken at last\r\n");
        else
            l->messages++, say(l, "250 2.0.0 taken\r\n");
    } else if (slice_starts(line, SLICE("EHLO"))) {
        on_ehlo(l);
    } else if (slice_starts(line, SLICE("STARTTLS"))) {
        say(l, "220 go\r\n");
    } else if (slice_starts(line, SLICE("MAIL"))) {
        l->rcpts = 0;
        if ((word(l, "once") && l->messages > 0) || word(l, "drop"))
            hang_up(l);
        else if (word(l, "flood"))
            say(l, "451 4.7.650 rate limited\r\n");
        else
            say(l, "250 ok\r\n");
    } else if (slice_starts(line, SLICE("RCPT"))) {
        on_rcpt(l, line);
    } else if (slice_starts(line, SLICE("DATA"))) {
        l->data = true;
        /* a refusal before the content: the connection ends, and only this message has failed */
        say(l, l->evil ? "354 go\r\n554 5.7.1 evil\r\n" : "354 go\r\n");
    } else if (slice_starts(line, SLICE("QUIT"))) {
        say(l, "221 bye\r\n");
    } else {
        say(l, "250 ok\r\n");
    }
}

static void serve(struct delivery_link *l)
{
    if (!l->connected) {
        l->connected = true;
        if (word(l, "refuse") || (word(l, "single") && w.open > 1)) {
            hang_up(l);
            return;
        }
        delivery_session_connected(l->session, clock_mono_ms());
        say(l, word(l, "slow")    ? "421 4.7.0 slow down\r\n"
               : word(l, "busy")  ? "421 4.3.2 busy\r\n"
               : word(l, "never") ? "554 5.7.1 never\r\n"
                                  : "220 x\r\n");
        return;
    }
    if (l->tls_pending) {
        l->tls_pending = false;
        l->in_tls = !word(l, "badtls") && !(word(l, "badcert") && l->verify);
        delivery_session_tls_done(l->session, l->in_tls, l->in_tls ? "TLSv1.3" : "certificate not trusted",
                                  clock_mono_ms());
    }
    while (!l->closed && !l->gone && !l->tls_pending) {
        struct slice all = strbuf_slice(&l->in);
        size_t n = slice_find_slice(all, SLICE("\r\n"));
        if (n == all.n)
            break;
        struct strbuf line = STRBUF_INIT;
        strbuf_add(&line, all.p, n);
        memmove(l->in.p, l->in.p + n + 2, l->in.n - n - 2);
        strbuf_truncate(&l->in, l->in.n - n - 2);
        on_line(l, strbuf_slice(&line));
        strbuf_free(&line);
    }
    if (l->drained != NULL && !l->closed) {
        void (*drained)(void *) = l->drained;
        l->drained = NULL;
        drained(l->drained_arg);
    }
}

/* ---- the net
 * -------------------------------------------------------------------------------------------------------------------
 */

static struct delivery_link *net_connect(void *ctx, const char *address, uint16_t port, const char *tls_host,
                                         bool verify, int64_t timeout_ms, struct delivery_session *session,
                                         struct err *err)
{
    (void)ctx;
    struct slice rest = slice_of(w.servers), entry, name;
    while (rest.n > 0) {
        rest = slice_cut(rest, ';', &entry);
        struct slice value = slice_cut(slice_trim(entry), '=', &name);
        if (!slice_eq(name, slice_of(tls_host)))
            continue;
        ck_assert_uint_lt(w.n_links, LINKS_MAX);
        struct delivery_link *l = calloc(1, sizeof(*l));
        snprintf(l->address, sizeof(l->address), "%s", address);
        l->behaviour = strndup(value.p, value.n);
        l->session = session;
        l->verify = verify;
        w.links[w.n_links++] = l;
        if (++w.open > w.most_open)
            w.most_open = w.open;
        ck_assert_uint_eq(port, 25);
        ck_assert_int_eq(timeout_ms, 30000);
        return l;
    }
    err_set(err, "no such host");
    return NULL;
}

static void net_send(void *ctx, struct delivery_link *l, struct slice bytes)
{
    (void)ctx;
    ck_assert(!l->closed);
    strbuf_add_slice(&l->in, bytes);
}

static void net_start_tls(void *ctx, struct delivery_link *l)
{
    (void)ctx;
    l->tls_pending = true;
}

static void net_close(void *ctx, struct delivery_link *l)
{
    (void)ctx;
    ck_assert_msg(!l->closed, "closed twice");
    l->closed = true;
    w.open--;
}

static void net_on_drained(void *ctx, struct delivery_link *l, void (*drained)(void *), void *arg)
{
    (void)ctx;
    l->drained = drained;
    l->drained_arg = arg;
}

static bool net_is_own(void *ctx, const char *address)
{
    (void)ctx;
    (void)address;
    return false;
}

static const struct delivery_net net = {net_connect,    net_send,   net_start_tls, net_close,
                                        net_on_drained, net_is_own, NULL};

/* ---- turning the world
 * -------------------------------------------------------------------------------------------------------- */

static void turn(void)
{
    event_base_loop(w.base, EVLOOP_NONBLOCK);
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (w.calls[i].kind != CALL_NONE)
            answer_call(&w.calls[i]);
    for (size_t i = 0; i < w.n_links; i++)
        if (!w.links[i]->closed)
            serve(w.links[i]);
}

static char nothing[] = "", us[] = "mail.example.com", ours[] = "example.com";
static int64_t retries[] = {60, 300, 900, 3600};
static struct config_domain domains[] = {{.name = ours}};

static void open_world(void)
{
    memset(&w, 0, sizeof(w));
    w.mx = "x=m1; y=m2; z=.";
    w.servers = "m1=ok; m2=ok";
    w.config = (struct config){.hostname = us, .domains = domains, .n_domains = 1};
    w.config.delivery.port = 25;
    w.config.delivery.connections_per_domain = 5;
    w.config.delivery.connections = 100;
    w.config.delivery.messages_per_connection = 50;
    w.config.delivery.connect_timeout_s = 30;
    w.config.delivery.ca_file = nothing;
    w.config.queue.warn_after_s = 4 * 3600;
    w.config.queue.retry_s = retries;
    w.config.queue.n_retry = ARRAY_LEN(retries);
    w.settings = (struct intake_settings){.config = &w.config, .references = 1};
    w.base = event_base_new();
    struct delivery_deps deps = {.base = w.base, .net = &net};
    struct err err;
    ck_assert_int_eq(delivery_new(&deps, &w.settings, &w.d, &err), 0);
    strbuf_add_str(&w.content, "Subject: x\r\n\r\n");
    for (int i = 0; i < 40; i++)
        strbuf_addf(&w.content, "..%d a line of the message\r\n", i);
    log_to(fopen("/dev/null", "w"));
}

static void close_world(void)
{
    delivery_free(&w.d);
    ck_assert_uint_eq(w.open, 0);
    ck_assert_uint_eq(w.settings.references, 1);
    ck_assert_uint_eq(w.finished, w.due);
    for (size_t i = 0; i < w.n_links; i++) {
        strbuf_free(&w.links[i]->in);
        free((char *)w.links[i]->behaviour);
        free(w.links[i]);
    }
    strbuf_free(&w.result);
    strbuf_free(&w.mail);
    strbuf_free(&w.dsn);
    strbuf_free(&w.hastened);
    strbuf_free(&w.note);
    strbuf_free(&w.replies);
    strbuf_free(&w.content);
    event_base_free(w.base);
}

static struct queue_item *make_item(const char *id, const char *domain, const char *locals)
{
    struct queue_item *item = calloc(1, sizeof(*item));
    struct slice rest = slice_of(locals), local;
    char *strings = calloc(1, 16);
    snprintf(item->id, sizeof(item->id), "%s", id);
    item->domain = strdup(domain);
    item->owner = strings;
    item->created_ms = clock_wall_ms() - 1000;
    item->expires_ms = clock_wall_ms() + 1000000;
    item->sender = item->bounce_to = (char *)"ann@example.com";
    item->user = item->envid = item->message_id = strings;
    item->size = w.content.n;
    item->recipients = calloc(RECIPIENTS_MAX, sizeof(*item->recipients));
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &local);
        struct queue_item_recipient *r = &item->recipients[item->n_recipients];
        ck_assert_int_gt(asprintf(&r->address, "%.*s@%s", SLICE_ARG(local), domain), 0);
        r->orcpt = strings;
        r->row = 10 + (int64_t)item->n_recipients++;
    }
    return item;
}

static void due(struct queue_item *item)
{
    w.due++;
    delivery_item_due(w.d, item);
}

static void settle(void)
{
    for (int i = 0; i < 3000 && w.finished < w.due; i++)
        turn();
    ck_assert_msg(w.finished == w.due, "%u of %u items came back: %s", w.finished, w.due, strbuf_str(&w.result));
}

#endif
