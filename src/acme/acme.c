/* Brings the parts together: when something is due it is begun, and what comes of it is noted, told and used.
 *
 *   IDLE ─▶ PREPARING ─▶ ORDERING ─▶ INSTALLING ─▶ IDLE        an order: noted as failed first, so that a crash counts
 *   IDLE ─▶ ASKING_NAME ─▶ IDLE                                is the host name in DNS, before there is any certificate?
 *   IDLE ─▶ ASKING_WHERE ─▶ ASKING_WHEN ─▶ SAVING ─▶ IDLE      renewal information
 *   any failure ─▶ SAVING ─▶ IDLE */
#include "internal.h"

#include "sendas/tls.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_S = 3600,         /* the wall clock is looked at so often at least: it may be set, and machines sleep */
    ORDER_S = 15 * 60,     /* an order takes no longer */
    NAME_LOOK_S = 30,      /* a host name that is not in DNS yet is looked for so often */
    NAME_BLIND_S = 600,    /* and the authority asked all the same: it may know it otherwise */
    APART_S = 3600,        /* between one certificate and the next, whatever the authority suggests */
    UNTOLD_CHECK_S = 86400 /* an authority without renewal information is asked again for where it might be */
};

enum phase {
    PHASE_IDLE = 0,
    PHASE_ASKING_NAME,
    PHASE_PREPARING,
    PHASE_ORDERING,
    PHASE_INSTALLING,
    PHASE_ASKING_WHERE,
    PHASE_ASKING_WHEN,
    PHASE_SAVING
};

struct acme {
    struct acme_deps deps;
    struct acme_events events;
    const struct config *config;
    enum phase phase;
    struct event *due_timer, *deadline_timer;
    struct acme_http *http;
    struct acme_name *name;
    struct acme_responder *responder;
    struct acme_order order;
    struct acme_save *saving; /* on a worker */
    EVP_PKEY *account_key, *certificate_key;
    struct acme_state state, before; /* before: the attempt under way */
    /* The certificate in the files. */
    bool usable; /* it can be served for the host name */
    int64_t not_before, not_after;
    struct strbuf certificate_id; /* empty: it has none */
    struct strbuf ask_url;
    bool named; /* the host name was seen in DNS */
    int64_t name_at,
        unnamed_since; /* by the monotonic clock, in seconds: the next look; since when it is waited for, 0 = not */
    bool again;        /* there was a reload: a new look at everything once this phase is over */
};

static const char name_fix[] =
    "publish the A record of hostname (sendas dns shows it): then the certificate is obtained at once";
static const char folder_fix[] = "see that sendas may write the folder, and that its disk has room";

static void look(struct acme *a);

/* ---- telling --------------------------------------------------------------------------------- */

static const char *time_text(int64_t at, char out[32])
{
    time_t t = (time_t)at;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "?");
    return out;
}

static void log_failed(const struct acme *a, const struct acme_failure *f, int64_t wait_s)
{
    log_event(a->usable ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "certificate", LOG_STR("result", "failed"),
              LOG_STR("hostname", a->config->hostname), LOG_STR("reason", f->reason), LOG_STR("fix", f->fix),
              LOG_MSEC("next", wait_s * 1000));
}

static void log_installed(const struct acme *a, bool renewed)
{
    char text[32];
    log_event(LOG_LEVEL_INFO, "certificate", LOG_STR("result", renewed ? "renewed" : "obtained"),
              LOG_STR("hostname", a->config->hostname), LOG_STR("expires", time_text(a->not_after, text)),
              LOG_STR("directory", a->config->tls.acme->directory));
}

static void log_step(const struct acme *a)
{
    log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("step", acme_step_name(a->order.step)),
              LOG_MSEC("wait", a->order.wait_ms));
}

/* ---- what there is --------------------------------------------------------------------------- */

static int64_t now_s(void)
{
    return clock_wall_ms() / 1000;
}

static uint32_t random_number(void)
{
    uint32_t n = 0;
    return RAND_bytes((unsigned char *)&n, sizeof(n)) == 1 ? n : 0;
}

static void read_file(const struct config *c, const char *name, struct strbuf *out)
{
    struct strbuf path = STRBUF_INIT;
    struct err err;

    acme_path(c, name, &path);
    file_read(strbuf_str(&path), ACME_FILE_MAX, true, out, &err); /* missing: empty */
    strbuf_free(&path);
}

/* The certificate in the files, and what it says of its renewal. */
static void read_certificate(struct acme *a)
{
    struct strbuf chain = STRBUF_INIT, key = STRBUF_INIT;
    struct tls_certificate_facts facts = {.not_after = 0};
    struct err err;

    read_file(a->config, "fullchain.pem", &chain);
    read_file(a->config, "privkey.pem", &key);
    a->usable = chain.n > 0 && key.n > 0 &&
                tls_certificate_prove(strbuf_slice(&chain), strbuf_slice(&key), a->config->hostname, &err) == 0 &&
                tls_certificate_judge(strbuf_slice(&chain), a->config->hostname, &facts, &err) == 0;
    strbuf_reset(&a->certificate_id);
    a->not_before = a->not_after = 0;
    if (a->usable) {
        a->not_before = facts.not_before;
        a->not_after = facts.not_after;
        if (acme_certificate_id(strbuf_slice(&chain), &a->certificate_id) < 0)
            strbuf_reset(&a->certificate_id);
    }
    strbuf_free(&chain);
    if (key.p != NULL)
        wipe(key.p, key.cap);
    strbuf_free(&key);
}

static void read_state(struct acme *a)
{
    struct strbuf text = STRBUF_INIT;

    read_file(a->config, "state.json", &text);
    if (acme_state_parse(strbuf_slice(&text), &a->state) < 0 && text.n > 0)
        log_event(LOG_LEVEL_WARN, "certificate",
                  LOG_STR("reason", "state.json is damaged: begins anew with the authority, the certificate stays"));
    strbuf_free(&text);
}

static bool is_from_elsewhere(const struct acme *a)
{
    const char *from = a->state.issued_by;
    return *from != '\0' && strcmp(from, a->config->tls.acme->directory) != 0;
}

/* When the next order is due by the certificate itself; 0 = at once. */
static int64_t wanted_at(const struct acme *a)
{
    if (!a->usable || is_from_elsewhere(a))
        return 0;
    return acme_renew_at(&a->state, strbuf_str(&a->certificate_id), a->not_before, a->not_after);
}

static bool asks_for_renewal(const struct acme *a)
{
    return a->usable && !is_from_elsewhere(a) && a->certificate_id.n > 0;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void idle(struct acme *a)
{
    acme_name_cancel(&a->name);
    acme_http_rest(a->http);
    evtimer_del(a->deadline_timer);
    acme_responder_close(&a->responder);
    acme_order_clear(&a->order);
    EVP_PKEY_free(a->certificate_key);
    a->certificate_key = NULL;
    a->phase = PHASE_IDLE;
    look(a);
}

/* What cannot be noted is told, and done all the same later: the wait stands in memory too. */
static void on_saved(void *ctx, int rc, const struct err *err)
{
    struct acme *a = ctx;

    a->saving = NULL;
    if (rc < 0)
        log_event(LOG_LEVEL_ERROR, "certificate", LOG_STR("reason", err->text));
    idle(a);
}

static struct acme_save *save_of(const struct acme *a)
{
    struct acme_save *s = acme_save_new(a->config);
    if (s != NULL)
        acme_state_print(&a->state, &s->state);
    return s;
}

static int start_save(struct acme *a, struct acme_save *s, enum phase phase,
                      void (*done)(void *ctx, int rc, const struct err *err))
{
    if (s == NULL)
        return -1;
    s->done = done;
    s->ctx = a;
    if (acme_save_start(a->deps.workers, s) < 0)
        return -1;
    a->saving = s;
    a->phase = phase;
    return 0;
}

static void save_and_rest(struct acme *a)
{
    if (start_save(a, save_of(a), PHASE_SAVING, on_saved) < 0)
        idle(a);
}

/* ---- failing --------------------------------------------------------------------------------- */

static void failed(struct acme *a, const struct acme_failure *why)
{
    struct acme_failure known = *why;
    const struct acme_failure *f = &known;
    int64_t wait = acme_backoff_s(f, a->state.failures, random_number());

    if (a->state.unnamed && f->kind == ACME_FAILURE_REFUSED)
        known.fix = name_fix;
    a->state.next_attempt = now_s() + wait;
    a->state.limited = f->kind == ACME_FAILURE_LIMITED || f->retry_after_s > 0;
    snprintf(a->state.reason, sizeof(a->state.reason), "%s", f->reason);
    snprintf(a->state.fix, sizeof(a->state.fix), "%s", f->fix == NULL ? "" : f->fix);
    /* The other challenge may have an open door. */
    if (f->kind == ACME_FAILURE_REFUSED && a->responder != NULL && acme_responder_has(a->responder, ACME_HTTP_01) &&
        acme_responder_has(a->responder, ACME_TLS_ALPN_01))
        a->state.prefer = a->state.prefer == ACME_HTTP_01 ? ACME_TLS_ALPN_01 : ACME_HTTP_01;
    log_failed(a, f, wait);
    acme_responder_close(&a->responder);
    save_and_rest(a);
}

static void failed_here(struct acme *a, const char *fix, const char *why)
{
    struct acme_failure f;

    acme_failure_set(&f, ACME_FAILURE_LOCAL, fix, "%s", why);
    failed(a, &f);
}

/* ---- an order: the end ----------------------------------------------------------------------- */

static void on_installed(void *ctx, int rc, const struct err *err)
{
    struct acme *a = ctx;
    bool renewed = a->usable;
    struct err why;

    a->saving = NULL;
    if (rc < 0) {
        a->state = a->before;
        if (a->state.failures++ == 0)
            a->state.since = now_s();
        failed_here(a, folder_fix, err->text);
        return;
    }
    read_certificate(a);
    int64_t third = (a->not_after - a->not_before) / 3;
    a->state.next_attempt = a->usable ? now_s() + (third < APART_S ? third : APART_S) : 0;
    if (a->events.installed(a->events.ctx, &why) < 0)
        log_event(LOG_LEVEL_ERROR, "certificate", LOG_STR("result", "failed"), LOG_STR("reason", why.text));
    else if (a->usable) /* unless hostname has changed meanwhile */
        log_installed(a, renewed);
    idle(a);
}

/* Nothing of the old certificate is touched before the new one is proven. */
static void install(struct acme *a)
{
    const struct config_acme *acme = a->config->tls.acme;
    struct acme_save *s = acme_save_new(a->config);
    struct acme_failure f;
    struct err err;

    if (s == NULL || acme_key_pem(a->certificate_key, &s->key) < 0) {
        acme_save_free(&s);
        failed_here(a, NULL, "out of memory");
        return;
    }
    if (tls_certificate_prove(strbuf_slice(&a->order.chain), strbuf_slice(&s->key), a->config->hostname, &err) < 0) {
        acme_save_free(&s);
        acme_failure_set(&f, ACME_FAILURE_REFUSED, "ask the authority; the old certificate stays in use",
                         "what the authority has issued is no good: %s", err.text);
        failed(a, &f);
        return;
    }
    strbuf_add_slice(&s->chain, strbuf_slice(&a->order.chain));
    a->state.failures = 0;
    a->state.since = 0;
    a->state.next_attempt = 0; /* on_installed */
    a->state.limited = a->state.unnamed = false;
    a->state.reason[0] = a->state.fix[0] = '\0';
    a->state.check_at = 0;
    a->state.renewal.certificate[0] = '\0';
    snprintf(a->state.issued_by, sizeof(a->state.issued_by), "%s", acme->directory);
    acme_state_print(&a->state, &s->state);
    acme_responder_close(&a->responder);
    if (start_save(a, s, PHASE_INSTALLING, on_installed) < 0)
        on_installed(a, -1, &(struct err){"no worker is free"});
}

/* The account belongs to the state as soon as there is one, whatever becomes of the order. */
static void note_account(struct acme *a)
{
    struct acme_state *s = &a->state;

    snprintf(s->directory, sizeof(s->directory), "%s", a->config->tls.acme->directory);
    snprintf(s->account, sizeof(s->account), "%s", a->order.account);
    snprintf(s->email, sizeof(s->email), "%s", a->order.account_email);
}

/* ---- an order: step by step ------------------------------------------------------------------ */

static void wait_for_turn(struct acme *a)
{
    struct timeval wait = {.tv_sec = a->order.wait_ms / 1000, .tv_usec = a->order.wait_ms % 1000 * 1000};
    evtimer_add(a->due_timer, &wait);
}

static int publish(struct acme *a)
{
    const struct acme_order *o = &a->order;
    return acme_responder_publish(a->responder, o->challenge, a->config->hostname, acme_order_token(o),
                                  strbuf_str(&o->key_authorization));
}

static void send_request(struct acme *a)
{
    struct acme_request r;

    if (a->order.step == ACME_STEP_CHALLENGE && publish(a) < 0) {
        failed_here(a, NULL, "the challenge cannot be answered: out of memory");
        return;
    }
    if (acme_order_request(&a->order, &r) < 0) {
        failed(a, &a->order.failure);
        return;
    }
    acme_http_start(a->http, &r, a->config->tls.acme->ca_file);
}

static void go_on(struct acme *a)
{
    struct acme_failure f = a->order.failure;

    note_account(a);
    log_step(a);
    if (a->order.step == ACME_STEP_FAILED)
        failed(a, &f);
    else if (a->order.step == ACME_STEP_DONE)
        install(a);
    else
        wait_for_turn(a);
}

/* The order borrows its settings. */
static void lend_settings(struct acme *a)
{
    a->order.directory_url = a->config->tls.acme->directory;
    a->order.hostname = a->config->hostname;
    a->order.email = a->config->tls.acme->email;
}

static void begin_order(struct acme *a)
{
    const struct config_acme *acme = a->config->tls.acme;
    static const struct timeval deadline = {.tv_sec = ORDER_S};
    bool known = strcmp(a->state.directory, acme->directory) == 0;
    struct err err;

    a->responder = acme_responder_open(a->deps.base, a->config, &err);
    if (a->responder == NULL) {
        failed_here(a,
                    "end what listens there, or give sendas the capability CAP_NET_BIND_SERVICE, or set "
                    "tls.acme.listen to another "
                    "port that the Internet's port 80 or 443 leads to",
                    err.text);
        return;
    }
    a->order = (struct acme_order){
        .account_key = a->account_key, .certificate_key = a->certificate_key, .prefer = a->state.prefer};
    lend_settings(a);
    if (a->usable && !is_from_elsewhere(a) && a->certificate_id.n > 0)
        a->order.replaces = strbuf_str(&a->certificate_id);
    for (size_t i = 0; i < ACME_CHALLENGES; i++)
        a->order.answers[i] = acme_responder_has(a->responder, (enum acme_challenge)i);
    if (known) {
        snprintf(a->order.account, sizeof(a->order.account), "%s", a->state.account);
        snprintf(a->order.account_email, sizeof(a->order.account_email), "%s", a->state.email);
    }
    a->phase = PHASE_ORDERING;
    evtimer_add(a->deadline_timer, &deadline);
    log_step(a);
    send_request(a);
}

static void on_prepared(void *ctx, int rc, const struct err *err)
{
    struct acme *a = ctx;

    a->saving = NULL;
    if (rc < 0)
        failed_here(a, folder_fix, err->text);
    else if (a->again) {
        a->state = a->before;
        idle(a);
    } else
        begin_order(a);
}

static int read_account_key(struct acme *a, struct acme_save *s, struct err *err)
{
    struct strbuf path = STRBUF_INIT, pem = STRBUF_INIT, jwk = STRBUF_INIT;
    int rc = 0;

    if (a->account_key != NULL)
        return 0;
    acme_path(a->config, "account.pem", &path);
    if (access(strbuf_str(&path), F_OK) < 0 && errno == ENOENT) {
        a->account_key = EVP_EC_gen("P-256");
        rc =
            a->account_key == NULL || acme_key_pem(a->account_key, &s->account) < 0 ? err_set(err, "out of memory") : 0;
    } else if ((rc = file_read(strbuf_str(&path), ACME_FILE_MAX, true, &pem, err)) == 0) {
        a->account_key = acme_key_parse(strbuf_slice(&pem));
        if (a->account_key == NULL || acme_jwk(a->account_key, &jwk) < 0)
            rc = err_set(err, "%s holds no key on the curve P-256; remove it, and a new account is made",
                         strbuf_str(&path));
    }
    if (rc < 0) {
        EVP_PKEY_free(a->account_key);
        a->account_key = NULL;
    }
    if (pem.p != NULL)
        wipe(pem.p, pem.cap);
    strbuf_free(&pem);
    strbuf_free(&path);
    strbuf_free(&jwk);
    return rc;
}

/* The attempt is noted as one that failed before it begins. */
static void prepare(struct acme *a)
{
    struct acme_failure crashed = {.kind = ACME_FAILURE_REFUSED, .retry_after_s = -1};
    struct acme_save *s = acme_save_new(a->config);
    struct err err = {.text = "out of memory"};

    a->again = false;
    a->before = a->state;
    if (a->state.failures++ == 0)
        a->state.since = now_s();
    a->state.limited = false;
    a->state.fix[0] = '\0';
    a->state.next_attempt = now_s() + acme_backoff_s(&crashed, a->state.failures, random_number());
    snprintf(a->state.reason, sizeof(a->state.reason), ACME_UNFINISHED);
    a->certificate_key = EVP_EC_gen("P-256");
    if (s == NULL || a->certificate_key == NULL || read_account_key(a, s, &err) < 0) {
        acme_save_free(&s);
        failed_here(a, NULL, err.text);
        return;
    }
    acme_state_print(&a->state, &s->state);
    if (start_save(a, s, PHASE_PREPARING, on_prepared) < 0)
        failed_here(a, NULL, "no worker is free");
}

/* ---- the host name --------------------------------------------------------------------------- */

static int64_t mono_s(void)
{
    return clock_mono_ms() / 1000;
}

/* Before its address is published an authority could only refuse, and count that. */
static bool lacks_name(const struct acme *a)
{
    return !a->usable && !a->named && !a->state.limited;
}

static void on_name(void *ctx, bool shown)
{
    struct acme *a = ctx;

    a->name = NULL;
    a->named = shown;
    if (shown && a->state.unnamed)
        a->state.next_attempt = 0; /* what had to fail without it says nothing */
    if (shown || a->unnamed_since != 0) {
        a->state.unnamed = !shown;
        idle(a);
        return;
    }
    log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("result", "waiting"), LOG_STR("hostname", a->config->hostname),
              LOG_STR("reason", "not all name servers show an address of it yet"), LOG_STR("fix", name_fix));
    a->unnamed_since = mono_s();
    a->state.unnamed = true;
    save_and_rest(a);
}

static bool ask_name(struct acme *a)
{
    a->name_at = mono_s() + NAME_LOOK_S;
    a->name = acme_name_begin(a->deps.dns, a->config->hostname, on_name, a);
    if (a->name != NULL)
        a->phase = PHASE_ASKING_NAME;
    return a->name != NULL;
}

/* ---- renewal information (RFC 9773) ---------------------------------------------------------- */

static void ask(struct acme *a, const char *url, enum phase phase)
{
    struct acme_request r = {.method = ACME_GET, .url = url};

    a->phase = phase;
    acme_http_start(a->http, &r, a->config->tls.acme->ca_file);
}

/* Where it cannot be had, two thirds of the lifetime stand. */
static void no_renewal_information(struct acme *a, const char *why, int64_t retry_after_s)
{
    log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("renewal", "no information"), LOG_STR("reason", why));
    a->state.check_at = now_s() + acme_check_after_s(retry_after_s);
    save_and_rest(a);
}

static void take_where(struct acme *a, const struct acme_response *r)
{
    struct acme_directory directory;
    struct err err;

    if (r->status != 200 || acme_directory_parse(r->body, &directory, &err) < 0) {
        no_renewal_information(a, "the directory is not to be had", r->retry_after_s);
        return;
    }
    if (directory.renewal_info[0] == '\0') {
        no_renewal_information(a, "the authority has none", UNTOLD_CHECK_S);
        return;
    }
    strbuf_reset(&a->ask_url);
    strbuf_addf(&a->ask_url, "%s/%s", directory.renewal_info, strbuf_str(&a->certificate_id));
    ask(a, strbuf_str(&a->ask_url), PHASE_ASKING_WHEN);
}

static void take_when(struct acme *a, const struct acme_response *r)
{
    struct acme_window window;
    struct err err = {.text = "no answer"};
    char text[32];
    int64_t before = wanted_at(a);

    if (r->status != 200 || acme_window_parse(r->body, &window, &err) < 0) {
        no_renewal_information(a, err.text, r->retry_after_s);
        return;
    }
    acme_renewal_choose(&a->state, strbuf_str(&a->certificate_id), &window, random_number());
    a->state.check_at = now_s() + acme_check_after_s(r->retry_after_s);
    if (wanted_at(a) != before)
        log_event(LOG_LEVEL_INFO, "certificate", LOG_STR("renewal", time_text(wanted_at(a), text)),
                  LOG_STR("reason", "the authority suggests it"));
    save_and_rest(a);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_http(void *ctx, const struct acme_response *r, const char *why)
{
    struct acme *a = ctx;

    if (a->phase == PHASE_ORDERING) {
        if (r != NULL)
            acme_order_response(&a->order, r);
        else
            acme_order_unreachable(&a->order, why);
        go_on(a);
    } else if (r == NULL)
        no_renewal_information(a, why, -1);
    else if (a->phase == PHASE_ASKING_WHERE)
        take_where(a, r);
    else
        take_when(a, r);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct acme *a = ctx;
    struct acme_failure f;

    (void)fd, (void)what;
    if (a->phase != PHASE_ORDERING)
        return;
    acme_failure_set(&f, ACME_FAILURE_NETWORK, NULL, "%s: the order has taken too long", acme_step_name(a->order.step));
    evtimer_del(a->due_timer);
    acme_http_rest(a->http);
    failed(a, &f);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
    struct acme *a = ctx;

    (void)fd, (void)what;
    if (a->phase == PHASE_ORDERING)
        send_request(a);
    else if (a->phase == PHASE_IDLE)
        look(a);
}

/* What is due?  Otherwise: when will it be? */
static void look(struct acme *a)
{
    if (a->again)
        read_certificate(a); /* for another name now, or it is there no more */
    a->again = false;

    int64_t now = now_s(), order_at = wanted_at(a), next = now + LOOK_S;
    struct timeval wait = {.tv_sec = 0};

    acme_state_clamp(&a->state, now);
    if (lacks_name(a) && a->name_at <= mono_s() && ask_name(a))
        return;
    if (order_at < a->state.next_attempt)
        order_at = a->state.next_attempt;
    if (lacks_name(a)) {
        int64_t blind_at = now + a->unnamed_since + NAME_BLIND_S - mono_s();
        order_at = order_at < blind_at ? blind_at : order_at;
        next = now + a->name_at - mono_s();
    }
    if (order_at <= now) {
        prepare(a);
        return;
    }
    if (asks_for_renewal(a) && a->state.check_at <= now) {
        ask(a, a->config->tls.acme->directory, PHASE_ASKING_WHERE);
        return;
    }
    if (order_at < next)
        next = order_at;
    if (asks_for_renewal(a) && a->state.check_at < next)
        next = a->state.check_at;
    wait.tv_sec = next - now;
    evtimer_add(a->due_timer, &wait);
}

/* ---- its life -------------------------------------------------------------------------------- */

int acme_new(const struct acme_deps *deps, const struct acme_events *events, const struct config *c, struct acme **ret,
             struct err *err)
{
    static const struct timeval at_once = {0};
    struct acme *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return err_set(err, "out of memory");
    a->deps = *deps;
    a->events = *events;
    a->config = c;
    err_set(err, "out of memory");
    a->http = acme_http_new(deps->base, deps->dns, on_http, a, err);
    a->due_timer = evtimer_new(deps->base, on_due, a);
    a->deadline_timer = evtimer_new(deps->base, on_deadline, a);
    if (a->http == NULL || a->due_timer == NULL || a->deadline_timer == NULL ||
        evtimer_add(a->due_timer, &at_once) < 0) {
        acme_free(&a);
        return -1;
    }
    read_state(a);
    read_certificate(a);
    *ret = a;
    return 0;
}

static bool same_listen(const struct config_acme *x, const struct config_acme *y)
{
    if (x->n_listen != y->n_listen)
        return false;
    for (size_t i = 0; i < x->n_listen; i++)
        if (x->listen[i].port != y->listen[i].port || strcmp(x->listen[i].address, y->listen[i].address) != 0)
            return false;
    return true;
}

static bool same(const struct config *x, const struct config *y)
{
    const struct config_acme *a = x->tls.acme, *b = y->tls.acme;
    return strcmp(x->hostname, y->hostname) == 0 && strcmp(a->directory, b->directory) == 0 &&
           strcmp(a->email, b->email) == 0 && strcmp(a->ca_file, b->ca_file) == 0 && strcmp(a->dir, b->dir) == 0 &&
           same_listen(a, b);
}

/* Ends an attempt or a question that is under way, as if it had not begun. */
static void abandon(struct acme *a)
{
    if (a->phase == PHASE_ORDERING)
        a->state = a->before;
    if (a->saving == NULL) {
        evtimer_del(a->due_timer);
        idle(a);
    }
}

/* The folder that is left keeps what it was before the order. */
static void note_not_failed(struct acme *a)
{
    a->state = a->before;
    struct acme_save *s = save_of(a);
    if (s != NULL)
        acme_save_start(a->deps.workers, s);
}

void acme_reconfigure(struct acme *a, const struct config *c)
{
    bool changed = !same(a->config, c);
    bool moved = strcmp(a->config->tls.acme->dir, c->tls.acme->dir) != 0;
    bool elsewhere = strcmp(a->config->tls.acme->directory, c->tls.acme->directory) != 0;

    if (moved && a->phase == PHASE_ORDERING)
        note_not_failed(a);
    a->config = c;
    lend_settings(a);
    if (moved) {
        EVP_PKEY_free(a->account_key);
        a->account_key = NULL;
        read_state(a);
        a->before = a->state; /* what is under way is of the other folder */
    }
    if (!a->state.limited || elsewhere) {
        a->state.next_attempt = 0;
        a->before.next_attempt = 0;
    }
    a->state.check_at = 0;
    a->named = false;
    a->name_at = a->unnamed_since = 0;
    a->again = true;
    if (changed || a->phase == PHASE_IDLE || a->phase == PHASE_ASKING_NAME || a->phase == PHASE_ASKING_WHERE ||
        a->phase == PHASE_ASKING_WHEN)
        abandon(a);
}

void acme_free(struct acme **pa)
{
    struct acme *a = *pa;

    if (a == NULL)
        return;
    *pa = NULL;
    if (a->saving != NULL)
        a->saving->done = NULL; /* it is written, and nobody is told */
    if (a->phase == PHASE_ORDERING) {
        struct err err;
        a->state = a->before;
        struct acme_save *s = save_of(a);
        if (s != NULL && acme_save_now(s, &err) < 0)
            log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("reason", err.text));
        acme_save_free(&s);
    }
    acme_name_cancel(&a->name);
    acme_http_free(&a->http);
    acme_responder_close(&a->responder);
    acme_order_clear(&a->order);
    if (a->due_timer != NULL)
        event_free(a->due_timer);
    if (a->deadline_timer != NULL)
        event_free(a->deadline_timer);
    EVP_PKEY_free(a->account_key);
    EVP_PKEY_free(a->certificate_key);
    strbuf_free(&a->certificate_id);
    strbuf_free(&a->ask_url);
    free(a);
}
