/* `sendas check`: what is really published and reachable.  The command, and the rounds in which its checks run. */
#include "check.h"

#include "internal.h"
#include "records.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *domain;
    bool json;
};

static int parse_arguments(const struct cli_args *args, struct options *o)
{
    for (int i = 1; i < args->argc; i++) {
        const char *a = args->argv[i];
        if (strcmp(a, "--json") == 0)
            o->json = true;
        else if (a[0] == '-')
            return cli_usage("check", "unknown option %s", a);
        else if (o->domain != NULL)
            return cli_usage("check", "unexpected argument %s", a);
        else
            o->domain = a;
    }
    return CLI_OK;
}

/* ---- the checks, in the order in which they are told ---------------------------------------------- */

static void dnssec_of(struct check_run *r, const struct config_domain *d)
{
    check_dnssec(r, d->name);
}

static void spf_of(struct check_run *r, const struct config_domain *d)
{
    check_spf(r, d->name);
}

static void mx_of(struct check_run *r, const struct config_domain *d)
{
    check_mx(r, d->name);
}

/* One of the three is set. */
struct kind {
    const char *name;
    void (*of_host)(struct check_run *r);
    void (*of_domain)(struct check_run *r, const struct config_domain *d);
    void (*of_key)(struct check_run *r, const struct config_domain *d, const struct config_key *k);
};

static const struct kind host_first[] = {
    {.name = "hostname", .of_host = check_hostname},
    {.name = "ptr", .of_host = check_ptr},
    {.name = "helo", .of_host = check_helo},
};

static const struct kind domain_kinds[] = {
    {.name = "dns", .of_domain = dnssec_of}, {.name = "spf", .of_domain = spf_of},
    {.name = "dkim", .of_key = check_dkim},  {.name = "dmarc", .of_domain = check_dmarc},
    {.name = "mx", .of_domain = mx_of},      {.name = "return_path", .of_domain = check_return_path},
};

static const struct kind host_last[] = {
    {.name = "certificate", .of_host = check_certificate},
    {.name = "port25", .of_host = check_port25},
    {.name = "dnsbl", .of_host = check_dnsbl},
    {.name = "files", .of_host = check_files},
    {.name = "daemon", .of_host = check_daemon},
};

/* ---- rounds ---------------------------------------------------------------------------------- */

struct job {
    const struct kind *kind;
    const struct config_domain *domain;
    const struct config_key *key;
    struct check_run run;
    bool done;
};

struct jobs {
    struct job *v;
    size_t n;
};

static void add(struct jobs *jobs, const struct kind *kind, const struct config_domain *d, const struct config_key *k)
{
    jobs->v[jobs->n++] = (struct job){.kind = kind, .domain = d, .key = k};
}

static void add_domain(struct jobs *jobs, const struct config_domain *d)
{
    for (size_t i = 0; i < ARRAY_LEN(domain_kinds); i++) {
        if (domain_kinds[i].of_key == NULL)
            add(jobs, &domain_kinds[i], d, NULL);
        for (size_t k = 0; domain_kinds[i].of_key != NULL && k < d->n_keys; k++)
            add(jobs, &domain_kinds[i], d, &d->keys[k]);
    }
}

static int add_all(struct jobs *jobs, const struct config *c, const struct config_domain *only)
{
    size_t n = ARRAY_LEN(host_first) + ARRAY_LEN(host_last);
    for (size_t i = 0; i < c->n_domains; i++)
        n += ARRAY_LEN(domain_kinds) + c->domains[i].n_keys;
    jobs->v = calloc(n, sizeof(*jobs->v));
    if (jobs->v == NULL)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(host_first); i++)
        add(jobs, &host_first[i], NULL, NULL);
    for (size_t i = 0; i < c->n_domains; i++)
        if (only == NULL || only == &c->domains[i])
            add_domain(jobs, &c->domains[i]);
    for (size_t i = 0; i < ARRAY_LEN(host_last); i++)
        add(jobs, &host_last[i], NULL, NULL);
    return 0;
}

static void run_job(struct job *job, const struct check_run *like)
{
    struct check_run *r = &job->run;
    arena_free(&r->memory);
    check_begin(r, like->config, like->world, like->now);
    r->only = like->only;
    r->n_addresses = like->n_addresses;
    r->origin = like->origin;
    r->addresses_unknown = like->addresses_unknown;
    r->nat = like->nat;
    memcpy(r->addresses, like->addresses, sizeof(r->addresses));
    if (job->kind->of_host != NULL)
        job->kind->of_host(r);
    else if (job->kind->of_domain != NULL)
        job->kind->of_domain(r, job->domain);
    else
        job->kind->of_key(r, job->domain, job->key);
}

/* What the terminal shows while one waits. */
static void tell_progress(const struct jobs *jobs, bool wanted, bool end)
{
    struct strbuf names = STRBUF_INIT;
    const char *last = "";
    if (!wanted)
        return;
    for (size_t i = 0; i < jobs->n && !end && names.n < 60; i++) {
        if (jobs->v[i].done || strcmp(jobs->v[i].kind->name, last) == 0)
            continue;
        last = jobs->v[i].kind->name;
        strbuf_addf(&names, " %s", last);
    }
    fprintf(stderr, "\r\033[K%s%s", names.n > 0 ? "waiting for:" : "", strbuf_str(&names));
    fflush(stderr);
    strbuf_free(&names);
}

/* All that lack an answer, again.  True when none does any more. */
static bool run_round(struct jobs *jobs, struct check_run *r, struct check_asker *asker)
{
    bool complete = true;
    const struct config_domain *only = r->only;
    arena_free(&r->memory);
    check_begin(r, r->config, r->world, r->now);
    r->only = only;
    check_addresses(r);
    bool settled = check_asker_missed(asker) == 0;
    for (size_t i = 0; i < jobs->n; i++) {
        struct job *job = &jobs->v[i];
        if (job->done)
            continue;
        run_job(job, r);
        job->done = check_asker_missed(asker) == 0 && settled;
        complete = complete && job->done;
    }
    return complete;
}

/* The items stay in the memory of their jobs. */
static void gather(struct jobs *jobs, struct check_run *r)
{
    for (size_t i = 0; i < jobs->n; i++) {
        struct check_run *from = &jobs->v[i].run;
        r->failed = r->failed || from->failed;
        *r->end = from->first;
        r->end = from->first == NULL ? r->end : from->end;
    }
}

static int report(struct check_run *r, const struct options *o, bool several)
{
    int code = check_any_failed(r) ? CLI_FAILED : CLI_OK;
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    bool colour = isatty(STDOUT_FILENO) && (term == NULL || strcmp(term, "dumb") != 0) &&
                  (no_colour == NULL || *no_colour == '\0');
    if (r->failed)
        return cli_fail(CLI_FAILED, "out of memory");
    if (!o->json) {
        check_print(r, several, colour, stdout);
        return code;
    }
    int written = cli_print_json(check_json(r, several));
    return written != CLI_OK ? written : code;
}

static int run(const struct config *c, const struct options *o, const struct config_domain *only)
{
    struct check_asker *asker = NULL;
    struct check_run r;
    struct jobs jobs = {NULL, 0};
    struct err err;
    bool progress = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
    if (check_asker_open(c, &asker, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    check_begin(&r, c, check_asker_world(asker), clock_wall_ms() / 1000);
    r.only = only;
    r.failed = add_all(&jobs, c, only) < 0;
    while (!r.failed && !run_round(&jobs, &r, asker)) {
        tell_progress(&jobs, progress, false);
        check_asker_wait(asker);
    }
    tell_progress(&jobs, progress, true);
    gather(&jobs, &r);
    int code = report(&r, o, only == NULL && c->n_domains > 1);
    for (size_t i = 0; i < jobs.n; i++)
        arena_free(&jobs.v[i].run.memory);
    free(jobs.v);
    arena_free(&r.memory);
    check_asker_close(&asker);
    return code;
}

int cli_check(const struct cli_args *args)
{
    struct options o = {.domain = NULL};
    const struct config_domain *only = NULL;
    struct config *c = NULL;
    struct err err;
    int code = parse_arguments(args, &o);
    /* What is wrong with the files that it names is for a check to say. */
    if (code == CLI_OK && config_load_text(args->config_path, &c, &err) < 0)
        code = cli_fail(CLI_USAGE, "%s", err.text);
    if (code == CLI_OK && o.domain != NULL && (only = config_find_domain(c, slice_of(o.domain))) == NULL)
        code = cli_fail(CLI_USAGE, "%s is none of the domains in %s", o.domain, c->path);
    if (code == CLI_OK)
        code = run(c, &o, only);
    config_free(&c);
    return code;
}
