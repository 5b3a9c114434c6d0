/* Brings the parts together: when something is due it is begun, and what comes of it is noted, told and used.
 *
 *   IDLE ─▶ PREPARING ─▶ ORDERING ─▶ INSTALLING ─▶ IDLE        an order: noted as failed first, so that a crash counts
 *   IDLE ─▶ ASKING_NAME ─▶ IDLE                                is the host name in DNS, before there is any certificate?
 *   IDLE ─▶ ASKING_WHERE ─▶ ASKING_WHEN ─▶ SAVING ─▶ IDLE      renewal information
 *   any failure ─▶ SAVING ─▶ IDLE */
#include "watch.h"

#include "sendas/tls.h"

#include <event2/event.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_S = 3600,         /* the wall clock is looked at so often at least: it may be set, and machines sleep */
    NAME_LOOK_S = 30,      /* a host name that is not in DNS yet is looked for so often */
    NAME_BLIND_S = 600,    /* and the authority asked all the same: it may know it otherwise */
    UNTOLD_CHECK_S = 86400 /* an authority without renewal information is asked again for where it might be */
};

const char acme_name_fix[] =
    "publish the A record of hostname (sendas dns shows it): then the certificate is obtained at once";

/* ---- what there is --------------------------------------------------------------------------- */

int64_t acme_now_s(void)
{
    return clock_wall_ms() / 1000;
}

uint32_t acme_random(void)
{
    uint32_t n = 0;
    return RAND_bytes((unsigned char *)&n, sizeof(n)) == 1 ? n : 0;
}

const char *acme_time_text(int64_t at, char out[32])
{
    time_t t = (time_t)at;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "?");
    return out;
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
void acme_read_certificate(struct acme *a)
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

bool acme_is_from_elsewhere(const struct acme *a)
{
    const char *from = a->state.issued_by;
    return *from != '\0' && strcmp(from, a->config->tls.acme->directory) != 0;
}

/* When the next order is due by the certificate itself; 0 = at once. */
static int64_t wanted_at(const struct acme *a)
{
    if (!a->usable || acme_is_from_elsewhere(a))
        return 0;
    return acme_renew_at(&a->state, strbuf_str(&a->certificate_id), a->not_before, a->not_after);
}

static bool asks_for_renewal(const struct acme *a)
{
    return a->usable && !acme_is_from_elsewhere(a) && a->certificate_id.n > 0;
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
        acme_rest(a);
        return;
    }
    log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("result", "waiting"), LOG_STR("hostname", a->config->hostname),
              LOG_STR("reason", "not all name servers show an address of it yet"), LOG_STR("fix", acme_name_fix));
    a->unnamed_since = mono_s();
    a->state.unnamed = true;
    acme_save_and_rest(a);
}

static bool ask_name(struct acme *a)
{
    a->name_at = mono_s() + NAME_LOOK_S;
    a->name = acme_name_begin(a->deps.dns, a->config->hostname, on_name, a);
    if (a->name != NULL)
        a->phase = ACME_PHASE_ASKING_NAME;
    return a->name != NULL;
}

/* ---- renewal information (RFC 9773) ---------------------------------------------------------- */

static void ask(struct acme *a, const char *url, enum acme_phase phase)
{
    struct acme_request r = {.method = ACME_GET, .url = url};

    a->phase = phase;
    acme_http_start(a->http, &r, a->config->tls.acme->ca_file);
}

/* Where it cannot be had, two thirds of the lifetime stand. */
static void no_renewal_information(struct acme *a, const char *why, int64_t retry_after_s)
{
    log_event(LOG_LEVEL_DEBUG, "certificate", LOG_STR("renewal", "no information"), LOG_STR("reason", why));
    a->state.check_at = acme_now_s() + acme_check_after_s(retry_after_s);
    acme_save_and_rest(a);
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
    ask(a, strbuf_str(&a->ask_url), ACME_PHASE_ASKING_WHEN);
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
    acme_renewal_choose(&a->state, strbuf_str(&a->certificate_id), &window, acme_random());
    a->state.check_at = acme_now_s() + acme_check_after_s(r->retry_after_s);
    if (wanted_at(a) != before)
        log_event(LOG_LEVEL_INFO, "certificate", LOG_STR("renewal", acme_time_text(wanted_at(a), text)),
                  LOG_STR("reason", "the authority suggests it"));
    acme_save_and_rest(a);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_http(void *ctx, const struct acme_response *r, const char *why)
{
    struct acme *a = ctx;

    if (a->phase == ACME_PHASE_ORDERING) {
        if (r != NULL)
            acme_order_response(&a->order, r);
        else
            acme_order_unreachable(&a->order, why);
        acme_attempt_go_on(a);
    } else if (r == NULL)
        no_renewal_information(a, why, -1);
    else if (a->phase == ACME_PHASE_ASKING_WHERE)
        take_where(a, r);
    else
        take_when(a, r);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct acme *a = ctx;
    struct acme_failure f;

    (void)fd, (void)what;
    if (a->phase != ACME_PHASE_ORDERING)
        return;
    acme_failure_set(&f, ACME_FAILURE_NETWORK, NULL, "%s: the order has taken too long", acme_step_name(a->order.step));
    evtimer_del(a->due_timer);
    acme_http_rest(a->http);
    acme_attempt_failed(a, &f);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
    struct acme *a = ctx;

    (void)fd, (void)what;
    if (a->phase == ACME_PHASE_ORDERING)
        acme_attempt_send(a);
    else if (a->phase == ACME_PHASE_IDLE)
        acme_look(a);
}

/* What is due?  Otherwise: when will it be? */
void acme_look(struct acme *a)
{
    if (a->again)
        acme_read_certificate(a); /* for another name now, or it is there no more */
    a->again = false;

    int64_t now = acme_now_s(), order_at = wanted_at(a), next = now + LOOK_S;
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
        acme_attempt_begin(a);
        return;
    }
    if (asks_for_renewal(a) && a->state.check_at <= now) {
        ask(a, a->config->tls.acme->directory, ACME_PHASE_ASKING_WHERE);
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
    acme_read_certificate(a);
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
    if (a->phase == ACME_PHASE_ORDERING)
        a->state = a->before;
    if (a->saving == NULL) {
        evtimer_del(a->due_timer);
        acme_rest(a);
    }
}

/* The folder that is left keeps what it was before the order. */
static void note_not_failed(struct acme *a)
{
    a->state = a->before;
    struct acme_save *s = acme_save_of(a);
    if (s != NULL)
        acme_save_start(a->deps.workers, s);
}

void acme_reconfigure(struct acme *a, const struct config *c)
{
    bool changed = !same(a->config, c);
    bool moved = strcmp(a->config->tls.acme->dir, c->tls.acme->dir) != 0;
    bool elsewhere = strcmp(a->config->tls.acme->directory, c->tls.acme->directory) != 0;

    if (moved && a->phase == ACME_PHASE_ORDERING)
        note_not_failed(a);
    a->config = c;
    acme_attempt_lend_settings(a);
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
    if (changed || a->phase == ACME_PHASE_IDLE || a->phase == ACME_PHASE_ASKING_NAME ||
        a->phase == ACME_PHASE_ASKING_WHERE || a->phase == ACME_PHASE_ASKING_WHEN)
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
    if (a->phase == ACME_PHASE_ORDERING) {
        struct err err;
        a->state = a->before;
        struct acme_save *s = acme_save_of(a);
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
