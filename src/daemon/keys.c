/* The watch over DKIM keys: asks the servers of each domain what they show, lets a waiting key sign once all of them show it,
 * and tells when a record is gone or wrong.
 *
 * A look at a key is a survey (sendas/dns.h); what follows from it is decided in sendas/keys.h.  Whenever other keys are
 * to sign, new settings take the place of the present ones. */
#include "sendas/keys.h"
#include "internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS_AT_ONCE = 4, LOOK_TIMEOUT_MS = 30 * 1000, REMIND_MS = KEYS_DAY_S * 1000 };

/* One key that is not retired. */
struct watched {
    struct key_watch *watch;
    const struct config_domain *domain;
    const struct config_key *config;
    const struct dkim_key *key;
    struct dns_survey_run *run; /* a look is under way */
    int64_t next_ms;
    unsigned looks;
    bool published, signs;
    struct keys_finding finding;
    /* what the log has */
    bool told, told_signs;
    enum keys_found told_found;
    int64_t told_ms;
};

struct key_watch {
    struct daemon *daemon;
    struct event *timer, *save_timer;
    struct intake_settings *settings; /* whose keys are watched */
    struct watched *v;                /* in the order of the configuration */
    size_t n;
    unsigned looking;
    struct keys_memory memory;
    struct strbuf path;
    bool saving, changed;
};

static void schedule(struct key_watch *w);

/* ---- keys.json ------------------------------------------------------------------------------------------ */

struct save_job {
    struct key_watch *watch;
    struct strbuf text;
    struct err err;
    bool failed;
};

static void run_save(void *arg)
{
    struct save_job *job = arg;
    job->failed = file_write(strbuf_str(&job->watch->path), strbuf_slice(&job->text), 0640, &job->err) < 0;
}

static void save_soon(struct key_watch *w);

static void on_saved(void *arg)
{
    struct save_job *job = arg;
    struct key_watch *w = job->watch;

    if (job->failed)
        log_event(LOG_LEVEL_WARN, "keys", LOG_STR("file", strbuf_str(&w->path)), LOG_STR("error", job->err.text));
    strbuf_free(&job->text);
    free(job);
    w->saving = false;
    if (w->changed)
        save_soon(w);
}

/* On a worker: the disk may be slow.  What changes meanwhile is written after it. */
static void on_save_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct key_watch *w = ctx;

    (void)fd, (void)what;
    if (w->saving)
        return;
    struct save_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    job->watch = w;
    if (keys_memory_text(&w->memory, &job->text) < 0 ||
        workers_submit(w->daemon->workers, WORK_SIGN, run_save, on_saved, job) < 0) {
        strbuf_free(&job->text);
        free(job);
        return; /* the next look tries again, or the end of the daemon */
    }
    w->saving = true;
    w->changed = false;
}

/* Many looks make one file: the more keys there are, the more.  At the end daemon_keys_free writes what is left. */
static void save_soon(struct key_watch *w)
{
    const struct timeval delay = {.tv_sec = (time_t)(1 + w->n / 500)};

    w->changed = true;
    if (!w->saving && !evtimer_pending(w->save_timer, NULL))
        evtimer_add(w->save_timer, &delay);
}

/* ---- telling -------------------------------------------------------------------------------------------- */

static const struct watched *older_of_same_kind(const struct watched *k)
{
    for (const struct watched *o = k->watch->v; o < k; o++)
        if (o->domain == k->domain && o->config->state == CONFIG_KEY_ACTIVE &&
            dkim_key_algorithm(o->key) == dkim_key_algorithm(k->key))
            return o;
    return NULL;
}

static const char *state_of(const struct watched *k)
{
    bool waiting = k->config->state == CONFIG_KEY_WAITING;
    return k->signs ? "active" : waiting && !k->published ? "waiting" : "stopped";
}

static void log_key(const struct watched *k)
{
    bool bad = keys_found_is_bad(k->finding.found), waiting = k->config->state == CONFIG_KEY_WAITING;
    bool begins = waiting && k->signs && !(k->told && k->told_signs);
    const struct watched *older = begins ? older_of_same_kind(k) : NULL;
    struct strbuf fix = STRBUF_INIT;

    if (older != NULL)
        strbuf_addf(&fix, "the older key may go: sendas key retire %s %s", older->domain->name,
                    older->config->selector);
    else
        keys_advice(k->key, k->finding.found, &fix);
    log_event(bad && (!waiting || k->published) ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "key",
              LOG_STR("domain", k->domain->name), LOG_STR("selector", k->config->selector),
              LOG_STR("state", state_of(k)), LOG_STR("record", keys_found_name(k->finding.found)),
              LOG_NUM("servers", k->finding.servers), LOG_NUM("showing", k->finding.showing),
              LOG_STR("reason", k->finding.reason[0] == '\0' ? NULL : k->finding.reason),
              LOG_STR("fix", fix.n == 0 ? NULL : strbuf_str(&fix)));
    strbuf_free(&fix);
}

/* What is new, and once a day what is still wrong.  A key of which all is well from the start is not worth a line. */
static void tell(struct watched *k)
{
    int64_t now = clock_mono_ms();
    bool same = k->told && k->told_signs == k->signs && k->told_found == k->finding.found;
    bool quiet = !k->told && k->finding.found == KEYS_GOOD && k->config->state == CONFIG_KEY_ACTIVE;

    if (!quiet && (!same || (k->finding.found != KEYS_GOOD && now - k->told_ms >= REMIND_MS))) {
        log_key(k);
        k->told_ms = now;
    }
    k->told = true;
    k->told_signs = k->signs;
    k->told_found = k->finding.found;
}

/* ---- who signs -------------------------------------------------------------------------------------------- */

static struct keys_fact fact_of(const struct watched *k)
{
    return (struct keys_fact){.state = k->config->state,
                              .rsa = dkim_key_algorithm(k->key) == DKIM_RSA_SHA256,
                              .published = k->published,
                              .found = k->finding.found};
}

/* The keys of the domain that begins at v[i]; *end is behind them.  Does anything change? */
static bool decide_domain(struct key_watch *w, size_t i, size_t *end)
{
    struct keys_fact facts[DKIM_KEYS_MAX] = {{.rsa = false}};
    bool signs[DKIM_KEYS_MAX] = {false}, changes = false;
    size_t n = 0;

    for (*end = i; *end < w->n && w->v[*end].domain == w->v[i].domain && n < DKIM_KEYS_MAX; ++*end)
        facts[n++] = fact_of(&w->v[*end]);
    keys_decide(facts, n, signs);
    for (size_t k = 0; k < n; k++) {
        changes = changes || w->v[i + k].signs != signs[k];
        w->v[i + k].signs = signs[k];
    }
    return changes;
}

struct cursor {
    const struct watched *at;
};

static bool does_sign(void *ctx, const struct config_domain *d, const struct config_key *k, const struct dkim_key *key)
{
    struct cursor *c = ctx;
    (void)d, (void)k, (void)key;
    return (c->at++)->signs;
}

static void apply(struct key_watch *w)
{
    struct daemon *d = w->daemon;
    struct cursor cursor = {w->v};
    struct intake_settings *fresh = intake_settings_choose(d->settings, does_sign, &cursor);

    if (fresh == NULL) {
        log_event(LOG_LEVEL_ERROR, "key", LOG_STR("error", "out of memory: the keys that sign stay as they are"));
        return;
    }
    delivery_reconfigure(d->delivery, fresh);
    intake_settings_unref(&d->settings);
    d->settings = fresh;
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

static void on_look(void *ctx, const struct dns_survey *survey)
{
    struct watched *k = ctx;
    struct key_watch *w = k->watch;
    struct keys_row *row = keys_memory_get(&w->memory, k->key);
    int64_t now_s = clock_wall_ms() / 1000;
    size_t first = (size_t)(k - w->v), end;

    k->run = NULL;
    w->looking--;
    k->looks++;
    keys_judge(k->key, survey, &k->finding);
    k->published = k->published || k->finding.found == KEYS_GOOD;
    if (row != NULL) {
        row->looked_s = now_s;
        row->finding = k->finding;
        if (k->published && row->published_s == 0)
            row->published_s = now_s;
    }
    struct keys_fact fact = fact_of(k);
    k->next_ms = clock_mono_ms() + keys_next_look_s(&fact, k->looks) * 1000;
    while (first > 0 && w->v[first - 1].domain == k->domain)
        first--;
    if (decide_domain(w, first, &end))
        apply(w);
    for (size_t i = first; i < end; i++)
        if (w->v[i].looks > 0)
            tell(&w->v[i]);
    save_soon(w);
    schedule(w);
}

static void look(struct watched *k)
{
    char name[DOMAIN_MAX + 1];

    keys_record_name(name, k->config->selector, k->domain->name);
    k->run = dns_survey_begin(k->watch->daemon->dns, name, DNS_TXT, LOOK_TIMEOUT_MS, on_look, k);
    if (k->run != NULL)
        k->watch->looking++;
    else
        k->next_ms = clock_mono_ms() + (int64_t)60 * 1000;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct key_watch *w = ctx;
    int64_t now = clock_mono_ms();

    (void)fd, (void)what;
    for (size_t i = 0; i < w->n && w->looking < LOOKS_AT_ONCE; i++)
        if (w->v[i].run == NULL && w->v[i].next_ms <= now)
            look(&w->v[i]);
    schedule(w);
}

/* When the next key is due; with enough looks under way, their end schedules again. */
static void schedule(struct key_watch *w)
{
    int64_t now = clock_mono_ms(), next = INT64_MAX;

    for (size_t i = 0; i < w->n && w->looking < LOOKS_AT_ONCE; i++)
        if (w->v[i].run == NULL && w->v[i].next_ms < next)
            next = w->v[i].next_ms;
    if (next == INT64_MAX)
        return;
    int64_t wait = next > now ? next - now : 0;
    const struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000) * 1000};
    evtimer_add(w->timer, &tv);
}

/* Keys that are gone are forgotten. */
static void forget_others(struct key_watch *w)
{
    struct keys_memory kept = {0};

    for (size_t i = 0; i < w->n; i++) {
        const struct keys_row *from = keys_memory_find(&w->memory, w->v[i].key);
        struct keys_row *to = from == NULL ? NULL : keys_memory_get(&kept, w->v[i].key);
        if (to != NULL)
            *to = *from;
    }
    keys_memory_free(&w->memory);
    w->memory = kept;
}

/* ---- beginning, reloading, ending ----------------------------------------------------------------------------- */

static void clear(struct key_watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->v[i].run != NULL)
            dns_survey_cancel(w->v[i].run);
    free(w->v);
    w->v = NULL;
    w->n = 0;
    w->looking = 0;
    if (w->settings != NULL)
        intake_settings_unref(&w->settings);
}

static void watch_key(struct key_watch *w, const struct config_domain *d, const struct config_key *config,
                      const struct dkim_key *key)
{
    struct watched *k = &w->v[w->n++];
    const struct keys_row *row = keys_memory_find(&w->memory, key);

    *k = (struct watched){.watch = w, .domain = d, .config = config, .key = key, .next_ms = clock_mono_ms()};
    k->signs = config->state == CONFIG_KEY_ACTIVE; /* what the settings do now */
    if (row != NULL) {
        k->published = row->published_s != 0;
        k->finding = row->finding;
        /* What was wrong before a reload is told again, and also when it is right now. */
        k->told = keys_found_is_bad(row->finding.found);
        k->told_found = row->finding.found;
        k->told_ms = clock_mono_ms() - REMIND_MS;
    }
}

void daemon_keys_reload(struct daemon *d)
{
    struct key_watch *w = d->key_watch;
    const struct config *c = d->settings->config;
    size_t n = 0, end;
    bool changes = false;

    clear(w);
    for (size_t i = 0; i < c->n_domains; i++)
        n += c->domains[i].n_keys;
    w->v = calloc(n + 1, sizeof(*w->v));
    if (w->v == NULL) {
        log_event(LOG_LEVEL_ERROR, "key", LOG_STR("error", "out of memory: keys are not watched"));
        return;
    }
    w->settings = intake_settings_ref(d->settings);
    for (size_t i = 0; i < c->n_domains; i++)
        for (size_t k = 0; k < c->domains[i].n_keys; k++) {
            const struct dkim_key *key = intake_settings_key(d->settings, i, k);
            if (key != NULL)
                watch_key(w, &c->domains[i], &c->domains[i].keys[k], key);
        }
    forget_others(w);
    for (size_t i = 0; i < w->n; i = end)
        changes = decide_domain(w, i, &end) || changes;
    for (size_t i = 0; i < w->n; i++)
        w->v[i].told_signs = w->v[i].signs;
    if (changes)
        apply(w);
    schedule(w);
}

int daemon_keys_start(struct daemon *d, struct err *err)
{
    struct key_watch *w = calloc(1, sizeof(*w));
    struct err why;

    if (w == NULL)
        return err_set(err, "out of memory");
    d->key_watch = w;
    w->daemon = d;
    w->timer = evtimer_new(d->base, on_timer, w);
    w->save_timer = evtimer_new(d->base, on_save_timer, w);
    keys_memory_path(d->settings->config->queue.path, &w->path);
    if (w->timer == NULL || w->save_timer == NULL || w->path.failed)
        return err_set(err, "out of memory");
    if (keys_memory_load(strbuf_str(&w->path), &w->memory, &why) < 0)
        log_event(LOG_LEVEL_WARN, "keys", LOG_STR("error", why.text));
    /* What DNS showed before the start is no reason to leave a key out. */
    for (size_t i = 0; i < w->memory.n; i++)
        w->memory.v[i].finding.found = KEYS_UNKNOWN;
    daemon_keys_reload(d);
    return 0;
}

size_t daemon_keys_states(const struct daemon *d, struct key_state *v, size_t max)
{
    const struct key_watch *w = d->key_watch;
    size_t n = w == NULL ? 0 : w->n < max ? w->n : max;

    for (size_t i = 0; i < n; i++) {
        const struct watched *k = &w->v[i];
        v[i] = (struct key_state){.domain = k->domain->name,
                                  .selector = k->config->selector,
                                  .algorithm = dkim_algorithm_name(dkim_key_algorithm(k->key)),
                                  .state = state_of(k),
                                  .record = keys_found_name(k->finding.found),
                                  .reason = k->finding.reason,
                                  .bad = keys_found_is_bad(k->finding.found)};
    }
    return n;
}

void daemon_keys_stop(struct daemon *d)
{
    if (d->key_watch == NULL)
        return;
    clear(d->key_watch);
    if (d->key_watch->timer != NULL)
        evtimer_del(d->key_watch->timer);
}

void daemon_keys_free(struct daemon *d)
{
    struct key_watch *w = d->key_watch;
    struct strbuf text = STRBUF_INIT;
    struct err err;

    d->key_watch = NULL;
    if (w == NULL)
        return;
    if (w->changed && keys_memory_text(&w->memory, &text) == 0 &&
        file_write(strbuf_str(&w->path), strbuf_slice(&text), 0640, &err) < 0)
        log_event(LOG_LEVEL_WARN, "keys", LOG_STR("file", strbuf_str(&w->path)), LOG_STR("error", err.text));
    strbuf_free(&text);
    if (w->timer != NULL)
        event_free(w->timer);
    if (w->save_timer != NULL)
        event_free(w->save_timer);
    keys_memory_free(&w->memory);
    strbuf_free(&w->path);
    free(w);
}
