/* `sendas check`: what is really published and reachable. */
#include "check.h"

#include "internal.h"
#include "records.h"

#include "sendas/dns.h"

#include <stdlib.h>
#include <string.h>

/* ---- the run -------------------------------------------------------------------------------------------------- */

void check_begin(struct check_run *r, const struct config *c, struct lookup dns, int64_t now)
{
    *r = (struct check_run){.memory = ARENA_INIT(CHECK_MEMORY_MAX), .config = c, .dns = dns, .now = now};
    r->end = &r->first;
    for (size_t i = 0; i < c->delivery.n_routes; i++)
        if (strcmp(c->delivery.routes[i].domain, "*") == 0)
            r->smarthost = c->delivery.routes[i].host;
}

struct check_item *check_add(struct check_run *r, const char *id, const char *domain, enum check_status status)
{
    struct check_item *item = arena_alloc(&r->memory, sizeof(*item));
    const char *copy = arena_strdup(&r->memory, slice_of(id));
    if (item == NULL || copy == NULL) {
        r->failed = true;
        item = &r->spare;
        copy = "";
    } else {
        *r->end = item;
        r->end = &item->next;
    }
    item->id = copy;
    item->domain = domain;
    item->status = status;
    item->found = item->expected = item->fix = "";
    return item;
}

/* Records are anybody's octets, and they go to a terminal. */
static const char *clean(struct check_run *r, struct slice text)
{
    char *copy = arena_strdup(&r->memory, text);
    bool utf8 = slice_is_utf8(text);
    if (copy == NULL) {
        r->failed = true;
        return "";
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)copy[i];
        /* U+0080 to U+009F, the other control characters, are C2 80 to C2 9F */
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)copy[i + 1] < 0xa0;
        if (c1)
            copy[i + 1] = '?';
        if (c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !utf8))
            copy[i] = '?';
    }
    return copy;
}

const char *check_text(struct check_run *r, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        r->failed = true;
        return "";
    }
    const char *ret = clean(r, slice_from(text, (size_t)n));
    free(text);
    return ret;
}

void check_tell(struct check_run *r, struct check_item *item, struct strbuf *found, const char *expected,
                struct strbuf *fix)
{
    r->failed = r->failed || found->failed || fix->failed;
    item->found = clean(r, strbuf_slice(found));
    item->expected = expected;
    item->fix = clean(r, strbuf_slice(fix));
    strbuf_free(found);
    strbuf_free(fix);
}

void check_no_answer(struct check_run *r, struct check_item *item, const char *name)
{
    item->status = CHECK_WARN;
    item->unknown = true;
    item->found =
        check_text(r, "DNS gave no answer for %s (no server answered, or its answer is broken or forged)", name);
    item->fix = "try again later; if it stays so, look at the name servers of that domain and at dns.servers";
}

struct lookup_answer check_ask(struct check_run *r, const char *name, enum lookup_status *worst, unsigned type)
{
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    r->dns.query(r->dns.ctx, &r->memory, name, type, &answer);
    if (answer.status == LOOKUP_TEMPFAIL && worst != NULL)
        *worst = LOOKUP_TEMPFAIL;
    return answer;
}

void check_join(struct strbuf *list)
{
    if (list->n > 0)
        strbuf_add_str(list, "; ");
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

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

static void check_all(struct check_run *r, const struct config_domain *only)
{
    const struct config *c = r->config;
    check_hostname(r);
    check_ptr(r);
    for (size_t i = 0; i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];
        if (only != NULL && only != d)
            continue;
        check_spf(r, d->name);
        check_dkim(r, d);
        check_dmarc(r, d->name);
        check_mx(r, d->name);
    }
    check_certificate(r);
    check_port25(r);
    check_dnsbl(r);
    check_files(r);
}

static int report(struct check_run *r, const struct options *o, bool several)
{
    int code = check_any_failed(r) ? CLI_FAILED : CLI_OK;
    if (r->failed)
        return cli_fail(CLI_FAILED, "out of memory");
    if (!o->json) {
        check_print(r, several, stdout);
        return code;
    }
    int written = cli_print_json(check_json(r, several));
    return written != CLI_OK ? written : code;
}

/* Where no server answers at all, the second question that was waited for in vain is the last. */
enum { VAIN_MAX = 2, VAIN_MS = 5000 };

struct patience {
    struct lookup dns;
    unsigned in_vain; /* one after the other */
};

static void query_patiently(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct patience *p = ctx;
    int64_t begun = clock_mono_ms();
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (p->in_vain >= VAIN_MAX)
        return;
    p->dns.query(p->dns.ctx, a, name, type, ret);
    bool vain = ret->status == LOOKUP_TEMPFAIL && clock_mono_ms() - begun >= VAIN_MS;
    p->in_vain = vain ? p->in_vain + 1 : 0;
}

static int run(const struct config *c, const struct options *o)
{
    struct dns_blocking *network = NULL;
    struct check_run r;
    struct err err;
    const struct config_domain *only = o->domain == NULL ? NULL : config_find_domain(c, slice_of(o->domain));
    if (o->domain != NULL && only == NULL)
        return cli_fail(CLI_USAGE, "%s is none of the domains in %s", o->domain, c->path);
    if (dns_blocking_open(c, &network, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    struct patience patience = {.dns = dns_blocking_lookup(network)};
    check_begin(&r, c, (struct lookup){query_patiently, &patience}, clock_wall_ms() / 1000);
    check_all(&r, only);
    int code = report(&r, o, only == NULL && c->n_domains > 1);
    arena_free(&r.memory);
    dns_blocking_close(&network);
    return code;
}

int cli_check(const struct cli_args *args)
{
    struct options o = {.domain = NULL};
    struct config *c = NULL;
    int code = parse_arguments(args, &o);
    if (code == CLI_OK)
        code = cli_config_load(args, NULL, &c);
    if (code == CLI_OK)
        code = run(c, &o);
    config_free(&c);
    return code;
}
