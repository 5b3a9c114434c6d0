/* `sendas verify`: what a receiver makes of a message. */
#include "verify.h"

#include "sendas/config.h"
#include "sendas/dns.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *zone, *ip, *sender, *helo;
};

static int parse_arguments(const struct cli_args *args, struct options *o)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"--zone", &o->zone}, {"--ip", &o->ip}, {"--sender", &o->sender}, {"--helo", &o->helo}};
    for (int i = 1; i < args->argc; i++) {
        int found = 0;
        for (size_t k = 0; found == 0 && k < ARRAY_LEN(known); k++) {
            found = cli_option(args, &i, known[k].name, known[k].value);
            if (found < 0)
                return cli_usage("verify", "%s needs a value", known[k].name);
        }
        if (found == 0)
            return cli_usage("verify", "unexpected argument %s", args->argv[i]);
    }
    unsigned char binary[sizeof(struct in6_addr)];
    if (o->ip != NULL && inet_pton(strchr(o->ip, ':') != NULL ? AF_INET6 : AF_INET, o->ip, binary) != 1)
        return cli_usage("verify", "--ip %s is no IP address", o->ip);
    if ((o->ip == NULL) != (o->sender == NULL))
        return cli_usage("verify", "--ip and --sender belong together");
    if (o->helo != NULL && o->ip == NULL)
        return cli_usage("verify", "--helo needs --ip and --sender");
    return CLI_OK;
}

/* ---- where DNS is asked ------------------------------------------------------------------------------------ */

struct source {
    struct config *config; /* NULL: none is there */
    struct dns_zone *zone;
    struct dns_blocking *network;
    struct lookup lookup;
};

/* The configuration says who we are and whom to ask; anybody may verify without one. */
static int open_source(const struct cli_args *args, const struct options *o, struct source *s)
{
    struct err err;
    bool configured = args->config_given || access(args->config_path, R_OK) == 0;
    int code = configured ? cli_config_load(args, NULL, &s->config) : CLI_OK;
    if (code != CLI_OK)
        return code;
    if (o->zone != NULL) {
        if (dns_zone_load(o->zone, &s->zone, &err) < 0)
            return cli_fail(CLI_USAGE, "%s", err.text);
        s->lookup = dns_zone_lookup(s->zone);
        return CLI_OK;
    }
    if (dns_blocking_open(s->config, &s->network, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    s->lookup = dns_blocking_lookup(s->network);
    return CLI_OK;
}

static void close_source(struct source *s)
{
    dns_zone_free(&s->zone);
    dns_blocking_close(&s->network);
    config_free(&s->config);
}

/* ---- the checks ---------------------------------------------------------------------------------------------- */

static int check_dkim(struct verify *v, const struct lookup *dns, struct err *err)
{
    struct dkim_body_source body = dkim_body_spool(v->body);
    return dkim_verify(&v->memory, &v->fields, &body, dns, v->received, &v->dkim, err);
}

static void check_spf(struct verify *v, const struct lookup *dns, const struct options *o)
{
    struct slice sender = slice_of(o->sender);
    if (slice_starts(sender, SLICE("<")) && sender.p[sender.n - 1] == '>')
        sender = slice_sub(sender, 1, sender.n - 2);
    struct spf_request request = {
        .ip = slice_of(o->ip),
        .sender = sender,
        .helo = slice_of(o->helo == NULL ? "" : o->helo),
        .receiver = slice_of(v->hostname),
        .now = v->received,
    };
    v->has_spf = true;
    v->sender = sender;
    spf_check(&v->memory, dns, &request, &v->spf);
}

static void check_dmarc(struct verify *v, const struct lookup *dns)
{
    struct slice passed[DKIM_SIGNATURES_MAX], unclear[DKIM_SIGNATURES_MAX];
    struct dmarc_request request = {
        .from = v->from,
        .n_from = v->n_from,
        .from_repeated = fields_count(&v->fields, SLICE("From")) > 1,
        .spf = &v->spf,
        .dkim = passed,
        .dkim_temperror = unclear,
    };
    for (size_t i = 0; i < v->dkim.n; i++) {
        const struct dkim_signature *s = &v->dkim.v[i];
        if (s->result == DKIM_PASS)
            passed[request.n_dkim++] = slice_of(s->domain);
        else if (s->result == DKIM_TEMPERROR)
            unclear[request.n_dkim_temperror++] = slice_of(s->domain);
    }
    dmarc_check(&v->memory, dns, &request, &v->dmarc);
}

/* Without SPF there is no DMARC verdict: then what counts is a signature of the author's organization, whatever policy
 * there is (RFC 9989 4.4.1, relaxed). */
static void check_alignment(struct verify *v, const struct lookup *dns)
{
    struct slice author, signer;
    if (v->n_from != 1 || fields_count(&v->fields, SLICE("From")) != 1 ||
        dmarc_organizational_domain(&v->memory, dns, v->from[0], &author, NULL) < 0)
        author = SLICE("");
    for (size_t i = 0; i < v->dkim.n && v->aligned.n == 0; i++) {
        struct slice domain = slice_of(v->dkim.v[i].domain);
        if (v->dkim.v[i].result != DKIM_PASS || v->n_from == 0)
            continue;
        if (domain_eq(domain, v->from[0]) ||
            (author.n > 0 && dmarc_organizational_domain(&v->memory, dns, domain, &signer, NULL) == 0 &&
             slice_eq(signer, author)))
            v->aligned = domain;
    }
}

static int run(struct verify *v, const struct options *o, const struct lookup *dns)
{
    struct err err = {""};
    if (verify_read(v, stdin, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (check_dkim(v, dns, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (o->ip != NULL) {
        check_spf(v, dns, o);
        check_dmarc(v, dns);
    } else {
        check_alignment(v, dns);
    }
    if (verify_report(v, stdout, stderr) < 0)
        return cli_fail(CLI_FAILED, "out of memory");
    return (v->has_spf ? v->dmarc.result == DMARC_PASS : v->aligned.n > 0) ? CLI_OK : CLI_FAILED;
}

int cli_verify(const struct cli_args *args)
{
    struct options o = {.zone = NULL};
    struct source source = {.config = NULL};
    int code = parse_arguments(args, &o);
    if (code != CLI_OK)
        return code;
    struct verify *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    v->memory = ARENA_INIT(VERIFY_MEMORY_MAX);
    code = open_source(args, &o, &source);
    if (code == CLI_OK) {
        if (source.config != NULL)
            snprintf(v->hostname, sizeof(v->hostname), "%s", source.config->hostname);
        else if (gethostname(v->hostname, sizeof(v->hostname) - 1) < 0 || v->hostname[0] == '\0')
            strcpy(v->hostname, "localhost");
        code = run(v, &o, &source.lookup);
    }
    close_source(&source);
    strbuf_free(&v->header);
    spool_free(&v->body);
    arena_free(&v->memory);
    free(v);
    return code;
}
