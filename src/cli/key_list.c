/* `sendas key list`: each key, its state, and what DNS showed of it. */
#include "key.h"

#include "records.h"

#include <stdlib.h>
#include <string.h>

enum { ASK_TIMEOUT_MS = 10 * 1000 };

int64_t cli_today(void)
{
    return clock_wall_ms() / 1000 / KEYS_DAY_S;
}

/* ---- what is known ------------------------------------------------------------------------------------ */

int key_views_ask(const struct config *c, struct key_view *v, size_t n, struct err *err)
{
    struct arena memory = ARENA_INIT(0);
    struct dns_survey_question *questions = arena_alloc_array(&memory, n + 1, sizeof(*questions));
    size_t *asked = arena_alloc_array(&memory, n + 1, sizeof(*asked)); /* which of `v` */
    struct dns_blocking *dns = NULL;
    size_t m = 0;
    if (questions == NULL || asked == NULL) {
        arena_free(&memory);
        return err_set(err, "out of memory");
    }
    if (dns_blocking_open(c, &dns, err) < 0) {
        arena_free(&memory);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        char name[DOMAIN_MAX + 1];
        if (v[i].key == NULL)
            continue;
        keys_record_name(name, v[i].config->selector, v[i].domain->name);
        questions[m] = (struct dns_survey_question){.name = arena_strdup(&memory, slice_of(name)), .type = DNS_TXT};
        if (questions[m].name != NULL)
            asked[m++] = i;
    }
    dns_blocking_survey(dns, &memory, questions, m, ASK_TIMEOUT_MS);
    for (size_t i = 0; i < m; i++) {
        struct key_view *of = &v[asked[i]];
        of->looked = true;
        of->looked_s = clock_wall_ms() / 1000;
        keys_judge(of->key, &questions[i].survey, &of->finding);
    }
    dns_blocking_close(&dns);
    arena_free(&memory);
    return 0;
}

static void recall(struct key_view *v, const struct keys_memory *memory)
{
    const struct keys_row *row = v->key == NULL ? NULL : keys_memory_find(memory, v->key);
    if (row == NULL)
        return;
    v->looked = row->looked_s != 0;
    v->looked_s = row->looked_s;
    v->published = row->published_s != 0;
    v->finding = row->finding;
}

/* -1 when one that signs cannot be loaded: the others are there all the same. */
static int collect(const struct config *c, const struct keys_memory *memory, struct key_view *v)
{
    size_t n = 0;
    int status = 0;
    for (size_t i = 0; i < c->n_domains; i++) {
        for (size_t j = 0; j < c->domains[i].n_keys; j++) {
            struct key_view *view = &v[n++];
            *view = (struct key_view){.domain = &c->domains[i], .config = &c->domains[i].keys[j]};
            if (dkim_key_load(view->config->path, view->domain->name, view->config->selector, &view->key,
                              &view->error) < 0 &&
                view->config->state != CONFIG_KEY_RETIRED)
                status = -1;
            recall(view, memory);
        }
    }
    return status;
}

/* ---- as text ---------------------------------------------------------------------------------------------- */

static bool is_removable(const struct key_view *v)
{
    return !keys_record_wanted(v->config, cli_today());
}

static const char *state_of(const struct key_view *v)
{
    if (v->key == NULL && v->config->state != CONFIG_KEY_RETIRED)
        return "unusable";
    if (v->config->state == CONFIG_KEY_WAITING && v->published)
        return "active"; /* the daemon found its record everywhere */
    return config_key_state_name(v->config->state);
}

/* A newer key of the same kind that took up signing: the older one has done its work. */
static const struct key_view *successor_of(const struct key_view *all, size_t n, const struct key_view *v)
{
    for (size_t i = 0; i < n; i++)
        if (&all[i] > v && all[i].domain == v->domain && all[i].key != NULL && v->key != NULL &&
            v->config->state == CONFIG_KEY_ACTIVE && all[i].config->state == CONFIG_KEY_WAITING && all[i].published &&
            dkim_key_algorithm(all[i].key) == dkim_key_algorithm(v->key))
            return &all[i];
    return NULL;
}

/* The second line of a key, where there is more to say. */
static void print_detail(const struct key_view *v)
{
    const struct keys_finding *f = &v->finding;
    char day[16];
    int64_t until;
    if (v->config->state == CONFIG_KEY_RETIRED && is_removable(v)) {
        printf("    removable now: the record, the file and its line in the configuration\n");
    } else if (v->config->state == CONFIG_KEY_RETIRED && keys_kept_until(v->config, &until)) {
        keys_day_text(day, until);
        printf("    retired since %s: keep the record until %s\n", v->config->since, day);
    } else if (v->config->state == CONFIG_KEY_RETIRED) {
        printf("    keep the record until 7 days after it was retired\n");
    } else if (v->key == NULL) {
        printf("    %s\n", v->error.text);
    } else if (v->config->state == CONFIG_KEY_WAITING && !v->published && f->found != KEYS_GOOD) {
        printf(v->looked ? "    waiting for DNS: seen on %u of %u name servers; %s\n"
                         : "    waiting for DNS: the daemon has not looked yet\n",
               f->showing, f->servers, f->reason);
    } else if (f->found != KEYS_GOOD && v->looked) {
        printf("    the record: %s\n", f->reason);
    }
}

static void print_text(const struct key_view *v, size_t n)
{
    printf("%-24s %-12s %-15s %5s  %-8s  %s\n", "DOMAIN", "SELECTOR", "ALGORITHM", "BITS", "STATE", "FILE");
    for (size_t i = 0; i < n; i++) {
        const struct key_view *successor = successor_of(v, n, &v[i]);
        char bits[16] = "";
        if (v[i].key != NULL)
            snprintf(bits, sizeof(bits), "%u", dkim_key_bits(v[i].key));
        printf("%-24s %-12s %-15s %5s  %-8s  %s\n", v[i].domain->name, v[i].config->selector,
               v[i].key == NULL ? "-" : dkim_algorithm_name(dkim_key_algorithm(v[i].key)), bits, state_of(&v[i]),
               v[i].config->path);
        print_detail(&v[i]);
        if (successor != NULL)
            printf("    %s signs too now; to retire this one: sendas key retire %s %s\n", successor->config->selector,
                   v[i].domain->name, v[i].config->selector);
    }
}

/* ---- as JSON ------------------------------------------------------------------------------------------------ */

static json_t *view_json(const struct key_view *v)
{
    char day[16] = "";
    int64_t until;
    bool retired = v->config->state == CONFIG_KEY_RETIRED;
    if (retired && keys_kept_until(v->config, &until))
        keys_day_text(day, until);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "domain", v->domain->name, "selector", v->config->selector,
                          "state", state_of(v), "since", v->config->since, "file", v->config->path, "removable",
                          retired && is_removable(v));
    int rc = o == NULL ? -1 : 0;
    if (rc == 0 && v->key != NULL)
        rc = json_object_set_new(o, "algorithm", json_string(dkim_algorithm_name(dkim_key_algorithm(v->key)))) |
             json_object_set_new(o, "bits", json_integer(dkim_key_bits(v->key)));
    if (rc == 0 && v->key == NULL && !retired)
        rc = json_object_set_new(o, "error", json_string(v->error.text));
    if (rc == 0 && retired)
        rc = json_object_set_new(o, "keep_until", json_string(day));
    if (rc == 0 && v->looked)
        rc = json_object_set_new(o, "dns",
                                 json_pack("{s:s, s:i, s:i, s:s, s:I}", "record", keys_found_name(v->finding.found),
                                           "servers", (int)v->finding.servers, "showing", (int)v->finding.showing,
                                           "reason", v->finding.reason, "looked", (json_int_t)v->looked_s));
    if (rc == 0)
        return o;
    json_decref(o);
    return NULL;
}

static int print_json(const struct key_view *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (json_array_append_new(list, view_json(&v[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return cli_print_json(list);
}

/* ---- the command ------------------------------------------------------------------------------------------ */

struct list_options {
    bool json, refresh;
};

static int list(const struct config *c, const struct list_options *o)
{
    struct keys_memory memory = {0};
    struct strbuf path = STRBUF_INIT;
    struct err err = {""};
    size_t n = 0;
    for (size_t i = 0; i < c->n_domains; i++)
        n += c->domains[i].n_keys;
    struct key_view *v = calloc(n + 1, sizeof(*v));
    if (v == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    keys_memory_path(c->queue.path, &path);
    if (keys_memory_load(strbuf_str(&path), &memory, &err) < 0)
        fprintf(stderr, "sendas: %s\n", err.text);
    int code = collect(c, &memory, v) < 0 ? CLI_FAILED : CLI_OK;
    if (o->refresh && key_views_ask(c, v, n, &err) < 0)
        code = cli_fail(CLI_FAILED, "%s", err.text);
    if (!o->json)
        print_text(v, n);
    else if (print_json(v, n) != CLI_OK)
        code = CLI_FAILED;
    for (size_t i = 0; i < n; i++)
        dkim_key_free(&v[i].key);
    free(v);
    keys_memory_free(&memory);
    strbuf_free(&path);
    return code;
}

int cli_key_list(const struct cli_args *args)
{
    struct list_options o = {false, false};
    struct config *c = NULL;
    for (int i = 2; i < args->argc; i++) {
        if (strcmp(args->argv[i], "--json") == 0)
            o.json = true;
        else if (strcmp(args->argv[i], "--refresh") == 0)
            o.refresh = true;
        else
            return cli_usage("key", "unexpected argument %s", args->argv[i]);
    }
    int code = cli_config_load(args, NULL, &c);
    if (code == CLI_OK)
        code = list(c, &o);
    config_free(&c);
    return code;
}
