/* An attempt to obtain the certificate: it is noted as failed before it begins, so that a crash counts; then the order, step by
 * step; what is issued is proven before anything of the old certificate is touched. */
#include "watch.h"

#include "sendas/tls.h"

#include <errno.h>
#include <openssl/ec.h>
#include <string.h>
#include <unistd.h>

enum {
    ORDER_S = 15 * 60, /* an order takes no longer */
    APART_S = 3600     /* between one certificate and the next, whatever the authority suggests */
};

static const char folder_fix[] = "see that sendas may write the folder, and that its disk has room";

/* ---- telling --------------------------------------------------------------------------------- */

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
              LOG_STR("hostname", a->config->hostname), LOG_STR("expires", acme_time_text(a->not_after, text)),
              LOG_STR("directory", a->config->tls.acme->directory));
}

static void log_step(const struct acme *a)
{
    log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("step", acme_step_name(a->order.step)),
              LOG_MSEC("wait", a->order.wait_ms));
}

/* ---- saving ---------------------------------------------------------------------------------- */

void acme_rest(struct acme *a)
{
    acme_name_cancel(&a->name);
    acme_http_rest(a->http);
    evtimer_del(a->deadline_timer);
    acme_responder_close(&a->responder);
    acme_order_clear(&a->order);
    EVP_PKEY_free(a->certificate_key);
    a->certificate_key = NULL;
    a->phase = ACME_PHASE_IDLE;
    acme_look(a);
}

/* What cannot be noted is told, and done all the same later: the wait stands in memory too. */
static void on_saved(void *ctx, int rc, const struct err *err)
{
    struct acme *a = ctx;

    a->saving = NULL;
    if (rc < 0)
        log_event(LOG_LEVEL_ERROR, "certificate", LOG_STR("reason", err->text));
    acme_rest(a);
}

struct acme_save *acme_save_of(const struct acme *a)
{
    struct acme_save *s = acme_save_new(a->config);
    if (s != NULL)
        acme_state_print(&a->state, &s->state);
    return s;
}

static int start_save(struct acme *a, struct acme_save *s, enum acme_phase phase,
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

void acme_save_and_rest(struct acme *a)
{
    if (start_save(a, acme_save_of(a), ACME_PHASE_SAVING, on_saved) < 0)
        acme_rest(a);
}

/* ---- failing --------------------------------------------------------------------------------- */

void acme_attempt_failed(struct acme *a, const struct acme_failure *why)
{
    struct acme_failure known = *why;
    const struct acme_failure *f = &known;
    int64_t wait = acme_backoff_s(f, a->state.failures, acme_random());

    if (a->state.unnamed && f->kind == ACME_FAILURE_REFUSED)
        known.fix = acme_name_fix;
    a->state.next_attempt = acme_now_s() + wait;
    a->state.limited = f->kind == ACME_FAILURE_LIMITED || f->retry_after_s > 0;
    snprintf(a->state.reason, sizeof(a->state.reason), "%s", f->reason);
    snprintf(a->state.fix, sizeof(a->state.fix), "%s", f->fix == NULL ? "" : f->fix);
    /* The other challenge may have an open door. */
    if (f->kind == ACME_FAILURE_REFUSED && a->responder != NULL && acme_responder_has(a->responder, ACME_HTTP_01) &&
        acme_responder_has(a->responder, ACME_TLS_ALPN_01))
        a->state.prefer = a->state.prefer == ACME_HTTP_01 ? ACME_TLS_ALPN_01 : ACME_HTTP_01;
    log_failed(a, f, wait);
    acme_responder_close(&a->responder);
    acme_save_and_rest(a);
}

static void failed_here(struct acme *a, const char *fix, const char *why)
{
    struct acme_failure f;

    acme_failure_set(&f, ACME_FAILURE_LOCAL, fix, "%s", why);
    acme_attempt_failed(a, &f);
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
            a->state.since = acme_now_s();
        failed_here(a, folder_fix, err->text);
        return;
    }
    acme_read_certificate(a);
    int64_t third = (a->not_after - a->not_before) / 3;
    a->state.next_attempt = a->usable ? acme_now_s() + (third < APART_S ? third : APART_S) : 0;
    if (a->events.installed(a->events.ctx, &why) < 0)
        log_event(LOG_LEVEL_ERROR, "certificate", LOG_STR("result", "failed"), LOG_STR("reason", why.text));
    else if (a->usable) /* unless hostname has changed meanwhile */
        log_installed(a, renewed);
    acme_rest(a);
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
        acme_attempt_failed(a, &f);
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
    if (start_save(a, s, ACME_PHASE_INSTALLING, on_installed) < 0)
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

void acme_attempt_send(struct acme *a)
{
    struct acme_request r;

    if (a->order.step == ACME_STEP_CHALLENGE && publish(a) < 0) {
        failed_here(a, NULL, "the challenge cannot be answered: out of memory");
        return;
    }
    if (acme_order_request(&a->order, &r) < 0) {
        acme_attempt_failed(a, &a->order.failure);
        return;
    }
    acme_http_start(a->http, &r, a->config->tls.acme->ca_file);
}

void acme_attempt_go_on(struct acme *a)
{
    struct acme_failure f = a->order.failure;

    note_account(a);
    log_step(a);
    if (a->order.step == ACME_STEP_FAILED)
        acme_attempt_failed(a, &f);
    else if (a->order.step == ACME_STEP_DONE)
        install(a);
    else
        wait_for_turn(a);
}

/* The order borrows its settings. */
void acme_attempt_lend_settings(struct acme *a)
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
    acme_attempt_lend_settings(a);
    if (a->usable && !acme_is_from_elsewhere(a) && a->certificate_id.n > 0)
        a->order.replaces = strbuf_str(&a->certificate_id);
    for (size_t i = 0; i < ACME_CHALLENGES; i++)
        a->order.answers[i] = acme_responder_has(a->responder, (enum acme_challenge)i);
    if (known) {
        snprintf(a->order.account, sizeof(a->order.account), "%s", a->state.account);
        snprintf(a->order.account_email, sizeof(a->order.account_email), "%s", a->state.email);
    }
    a->phase = ACME_PHASE_ORDERING;
    evtimer_add(a->deadline_timer, &deadline);
    log_step(a);
    acme_attempt_send(a);
}

static void on_prepared(void *ctx, int rc, const struct err *err)
{
    struct acme *a = ctx;

    a->saving = NULL;
    if (rc < 0)
        failed_here(a, folder_fix, err->text);
    else if (a->again) {
        a->state = a->before;
        acme_rest(a);
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
void acme_attempt_begin(struct acme *a)
{
    struct acme_failure crashed = {.kind = ACME_FAILURE_REFUSED, .retry_after_s = -1};
    struct acme_save *s = acme_save_new(a->config);
    struct err err = {.text = "out of memory"};

    a->again = false;
    a->before = a->state;
    if (a->state.failures++ == 0)
        a->state.since = acme_now_s();
    a->state.limited = false;
    a->state.fix[0] = '\0';
    a->state.next_attempt = acme_now_s() + acme_backoff_s(&crashed, a->state.failures, acme_random());
    snprintf(a->state.reason, sizeof(a->state.reason), ACME_UNFINISHED);
    a->certificate_key = EVP_EC_gen("P-256");
    if (s == NULL || a->certificate_key == NULL || read_account_key(a, s, &err) < 0) {
        acme_save_free(&s);
        failed_here(a, NULL, err.text);
        return;
    }
    acme_state_print(&a->state, &s->state);
    if (start_save(a, s, ACME_PHASE_PREPARING, on_prepared) < 0)
        failed_here(a, NULL, "no worker is free");
}
