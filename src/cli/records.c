/* The DNS records to publish: what they are, and what of them is there already. */
#include "records.h"

#include "host.h"
#include "key.h"

#include "sendas/align.h"
#include "sendas/dns.h"

#include <string.h>
#include <unistd.h>

enum { MEMORY_MAX = 16 * 1024 * 1024, TEXTS_MAX = 64 };

/* ---- the list -------------------------------------------------------------------------------- */

void records_init(struct records *r)
{
    *r = (struct records){.mem = ARENA_INIT(MEMORY_MAX)};
    r->end = &r->first;
    r->end_ptr = &r->first_ptr;
    r->notes.end = &r->notes.first;
}

void records_free(struct records *r)
{
    arena_free(&r->mem);
    records_init(r);
}

/* What DNS says is anybody's octets, and goes to a terminal. */
static const char *keep(struct records *r, struct slice text)
{
    char *copy = arena_strdup(&r->mem, text);
    if (copy == NULL) {
        r->failed = true;
        return "";
    }
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)copy[i] < 0x20 || (unsigned char)copy[i] >= 0x7f) /* char has a sign on some machines only */
            copy[i] = '?';
    return copy;
}

static const char *keep_text(struct records *r, struct strbuf *text)
{
    const char *ret = keep(r, strbuf_slice(text));
    r->failed = r->failed || text->failed;
    strbuf_free(text);
    return ret;
}

static void add_note(struct records *r, struct record_notes *notes, bool serious, struct slice text)
{
    struct record_note *note = arena_alloc(&r->mem, sizeof(*note));
    if (note == NULL) {
        r->failed = true;
        return;
    }
    *note = (struct record_note){NULL, serious, keep(r, text)};
    *notes->end = note;
    notes->end = &note->next;
}

static void add_notef(struct records *r, struct record_notes *notes, bool serious, const char *format, ...)
    PRINTF_LIKE(4, 5);
static void add_notef(struct records *r, struct record_notes *notes, bool serious, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    add_note(r, notes, serious, slice_of(text));
}

/* Never NULL; strings are copied. */
static struct record *add(struct records *r, const char *name, const char *type, const char *value, const char *zone)
{
    struct record *record = arena_alloc(&r->mem, sizeof(*record));
    if (record == NULL) {
        r->failed = true;
        r->spare = (struct record){.name = "", .type = "", .value = "", .zone = "", .found = ""};
        r->spare.notes.end = &r->spare.notes.first;
        return &r->spare;
    }
    *record = (struct record){.name = keep(r, slice_of(name)),
                              .type = type,
                              .value = keep(r, slice_of(value)),
                              .zone = keep(r, slice_of(zone)),
                              .found = ""};
    record->notes.end = &record->notes.first;
    *r->end = record;
    r->end = &record->next;
    return record;
}

static bool is_ipv6(const char *ip)
{
    return strchr(ip, ':') != NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct collect {
    struct records *r;
    const struct config *config;
    const struct lookup *dns;
    const char *const *ips;
    size_t n_ips;
    const char *zone; /* of the domain under way */
    bool silent;      /* DNS did not answer for something */
};

static struct lookup_answer ask(struct collect *c, const char *name, unsigned type)
{
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    c->dns->query(c->dns->ctx, &c->r->mem, name, type, &answer);
    if (answer.status == LOOKUP_OK && answer.n == 0)
        answer.status = LOOKUP_NODATA;
    if (answer.status != LOOKUP_OK)
        answer.n = 0;
    c->silent = c->silent || answer.status == LOOKUP_TEMPFAIL;
    return answer;
}

static struct slice parent_of(const char *name)
{
    const char *dot = strchr(name, '.');
    return slice_of(dot == NULL ? "" : dot + 1);
}

/* The zone that holds `domain`: its own unless it is three labels or more and one above it is somebody's: a name with
 * name servers and an address or mail, which no public suffix has. */
static const char *zone_of(struct collect *c, const char *domain)
{
    for (const char *name = domain; strchr(name, '.') != NULL; name = parent_of(name).p) {
        bool top = strchr(parent_of(name).p, '.') == NULL;
        if (name == domain && top)
            break;
        if (ask(c, name, DNS_NS).n > 0 && (name == domain || ask(c, name, DNS_MX).n > 0 || ask(c, name, DNS_A).n > 0))
            return name;
        if (top)
            break;
    }
    return domain;
}

/* ---- the host -------------------------------------------------------------------------------- */

/* An address record is there when DNS has it; one of another machine beside it leads clients astray. */
static void add_address(struct collect *c, const char *hostname, const char *zone, const char *ip)
{
    struct record *record = add(c->r, hostname, is_ipv6(ip) ? "AAAA" : "A", ip, zone);
    struct lookup_answer answer = ask(c, hostname, is_ipv6(ip) ? DNS_AAAA : DNS_A);
    struct strbuf others = STRBUF_INIT;
    bool there = false;
    record->group = RECORD_HOST;
    for (size_t i = 0; i < answer.n; i++) {
        bool ours = false;
        for (size_t k = 0; k < c->n_ips; k++)
            ours = ours || slice_eq(answer.records[i].text, slice_of(c->ips[k]));
        there = there || slice_eq(answer.records[i].text, slice_of(ip));
        if (!ours)
            strbuf_addf(&others, "%s%.*s", others.n > 0 ? ", " : "", SLICE_ARG(answer.records[i].text));
    }
    record->status = answer.status == LOOKUP_TEMPFAIL ? RECORD_UNKNOWN
                     : there                          ? RECORD_PUBLISHED
                     : others.n > 0                   ? RECORD_REPLACE
                                                      : RECORD_NEW;
    if (there && others.n > 0)
        add_notef(c->r, &record->notes, true, "%s also has the address %s, which is not among those of this server",
                  hostname, strbuf_str(&others));
    record->found = there ? "" : keep_text(c->r, &others);
    strbuf_free(&others);
}

static struct spf_merge_result merge_spf(struct collect *c, const char *name, const struct lookup_answer *answer)
{
    struct slice texts[TEXTS_MAX], ips[CONFIG_PUBLIC_MAX];
    size_t n = answer->n < TEXTS_MAX ? answer->n : TEXTS_MAX;
    size_t n_ips = c->n_ips < CONFIG_PUBLIC_MAX ? c->n_ips : CONFIG_PUBLIC_MAX;
    struct spf_merge_request request = {slice_of(name), texts, n, ips, n_ips, slice_of(c->config->hostname)};
    struct spf_merge_result ret;
    for (size_t i = 0; i < n; i++)
        texts[i] = answer->records[i].text;
    for (size_t i = 0; i < n_ips; i++)
        ips[i] = slice_of(c->ips[i]);
    if (spf_merge(&c->r->mem, c->dns, &request, &ret, NULL) < 0) {
        c->r->failed = true;
        ret = (struct spf_merge_result){.change = SPF_MERGE_NEW, .record = SLICE("v=spf1 -all")};
    }
    return ret;
}

static enum record_status status_of(enum spf_merge_change change)
{
    static const enum record_status statuses[] = {
        [SPF_MERGE_NEW] = RECORD_NEW, [SPF_MERGE_KEEP] = RECORD_PUBLISHED, [SPF_MERGE_REPLACE] = RECORD_REPLACE};
    return statuses[change];
}

static bool is_spf(struct slice text)
{
    while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '"'))
        text = slice_skip(text, 1);
    return slice_starts_icase(text, SLICE("v=spf1"));
}

static bool is_any(struct slice text)
{
    (void)text;
    return true;
}

/* What is to be replaced: "A" and "B". */
static const char *list_found(struct collect *c, const struct lookup_answer *answer, bool (*wanted)(struct slice))
{
    struct strbuf list = STRBUF_INIT;
    for (size_t i = 0; i < answer->n; i++)
        if (wanted(answer->records[i].text))
            strbuf_addf(&list, "%s%.*s", list.n > 0 ? "  AND  " : "", SLICE_ARG(answer->records[i].text));
    return keep_text(c->r, &list);
}

static struct record *add_spf(struct collect *c, const char *name, const char *zone, bool of_host)
{
    struct lookup_answer answer = ask(c, name, DNS_TXT);
    struct spf_merge_result m = merge_spf(c, name, &answer);
    struct strbuf value = STRBUF_INIT;
    if (of_host && m.change == SPF_MERGE_NEW)
        strbuf_add_str(&value, "v=spf1 a -all");
    else
        strbuf_add_slice(&value, m.record);
    struct record *record = add(c->r, name, "TXT", strbuf_str(&value), zone);
    strbuf_free(&value);
    record->status = answer.status == LOOKUP_TEMPFAIL ? RECORD_UNKNOWN : status_of(m.change);
    if (record->status == RECORD_REPLACE)
        record->found = list_found(c, &answer, is_spf);
    for (size_t i = 0; i < m.n_notes; i++)
        add_note(c->r, &record->notes, m.notes[i].serious, m.notes[i].text);
    return record;
}

/* RFC 7208 2.3: what the EHLO name is held against when a bounce has no sender.  A domain that is the host's name as
 * well has a record of its own. */
static void add_host(struct collect *c)
{
    const char *hostname = c->config->hostname, *zone = NULL;
    for (size_t i = 0; i < c->config->n_domains && zone == NULL; i++)
        if (host_is_within(hostname, c->config->domains[i].name))
            zone = zone_of(c, c->config->domains[i].name);
    if (zone == NULL)
        zone = zone_of(c, hostname);
    for (size_t i = 0; i < c->n_ips; i++)
        add_address(c, hostname, zone, c->ips[i]);
    if (config_find_domain(c->config, slice_of(hostname)) == NULL)
        add_spf(c, hostname, zone, true)->group = RECORD_HOST;
}

static void add_ptr(struct collect *c, const char *ip)
{
    struct record_ptr *ptr = arena_alloc(&c->r->mem, sizeof(*ptr));
    struct host_ptr found;
    if (ptr == NULL) {
        c->r->failed = true;
        return;
    }
    host_ptr_find(c->dns, &c->r->mem, ip, &found);
    *ptr = (struct record_ptr){.ip = keep(c->r, slice_of(ip)),
                               .name = keep(c->r, slice_of(c->config->hostname)),
                               .found = keep(c->r, slice_of(found.name))};
    ptr->status = found.status == LOOKUP_TEMPFAIL      ? RECORD_UNKNOWN
                  : strcmp(found.name, ptr->name) == 0 ? RECORD_PUBLISHED
                  : found.name[0] == '\0'              ? RECORD_NEW
                                                       : RECORD_REPLACE;
    *c->r->end_ptr = ptr;
    c->r->end_ptr = &ptr->next;
}

/* ---- a domain -------------------------------------------------------------------------------- */

static void add_domain_spf(struct collect *c, const char *domain)
{
    struct record *record = add_spf(c, domain, c->zone, false);
    if (record->status == RECORD_UNKNOWN)
        add_notef(c->r, &record->notes, true,
                  "DNS gave no answer for %s.  Should it have an SPF record already (a TXT record that begins with "
                  "v=spf1), do not add this one beside it: run \"sendas dns\" again when DNS works",
                  domain);
    else if (record->status == RECORD_NEW)
        add_notef(c->r, &record->notes, false,
                  "it allows this server alone: if others send mail as %s too, add what they ask for (include:...)",
                  domain);
    else if (record->status == RECORD_REPLACE)
        add_notef(c->r, &record->notes, false, "change the record that is there: there must be only one");
}

/* p=none: receivers are told nothing about mail that others send for the domain until its owner has looked. */
static void add_dmarc(struct collect *c, const char *domain, const char *report_to)
{
    struct strbuf name = STRBUF_INIT, fresh = STRBUF_INIT;
    struct dmarc_judgement j;
    if (dmarc_judge(&c->r->mem, c->dns, slice_of(domain), &j, NULL) < 0)
        c->r->failed = true;
    if (j.found == DMARC_FOUND_ABOVE) {
        add_notef(c->r, &c->r->notes, false, "DMARC: %s needs no record, as the one of %.*s holds for it (policy %s)",
                  domain, SLICE_ARG(j.record_of), dmarc_policy_name(j.policy));
        return;
    }
    strbuf_addf(&name, "_dmarc.%s", domain);
    strbuf_addf(&fresh, "v=DMARC1; p=none; rua=mailto:%s", report_to);
    bool keeps = j.usable && (j.found == DMARC_FOUND_OWN || j.found == DMARC_FOUND_SEVERAL);
    const char *text = keeps ? keep(c->r, j.record) : strbuf_str(&fresh);
    struct record *record = add(c->r, strbuf_str(&name), "TXT", text, c->zone);
    record->status = j.found == DMARC_FOUND_UNKNOWN        ? RECORD_UNKNOWN
                     : j.found == DMARC_FOUND_NOTHING      ? RECORD_NEW
                     : j.found == DMARC_FOUND_OWN && keeps ? RECORD_PUBLISHED
                                                           : RECORD_REPLACE;
    if (record->status == RECORD_REPLACE && j.found == DMARC_FOUND_SEVERAL) {
        struct lookup_answer answer = ask(c, record->name, DNS_TXT);
        record->found = list_found(c, &answer, is_any);
    } else if (record->status == RECORD_REPLACE) {
        record->found = keep(c->r, j.record);
    }
    for (size_t i = 0; i < j.n_notes; i++)
        add_note(c->r, &record->notes, j.notes[i].serious, j.notes[i].text);
    if (record->status == RECORD_UNKNOWN)
        add_notef(c->r, &record->notes, true, "DNS gave no answer: keep the record there, should there be one");
    else if (!keeps)
        add_notef(c->r, &record->notes, false,
                  "when the reports name only mail of yours, and all of it passes, for some weeks, change p=none to "
                  "p=quarantine, later to p=reject: then nobody else can write in your name");
    else if (j.policy == DMARC_POLICY_NONE)
        add_notef(c->r, &record->notes, false,
                  "it asks receivers for nothing yet: change p=none to p=quarantine when all your mail passes");
    c->r->failed = c->r->failed || name.failed || fresh.failed;
    strbuf_free(&name);
    strbuf_free(&fresh);
}

/* Without blanks: RFC 6376 3.2 lets them stand nearly everywhere. */
static void squeeze(struct slice text, struct strbuf *out)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r' && text.p[i] != '\n')
            strbuf_add_char(out, text.p[i]);
}

/* Is it the same key, whatever other tags its record has? */
static bool is_same_key(struct slice published, struct slice ours)
{
    struct strbuf theirs = STRBUF_INIT;
    size_t at = slice_find_slice(ours, SLICE("p="));
    struct slice key = slice_skip(ours, at);
    squeeze(published, &theirs);
    struct slice text = strbuf_slice(&theirs);
    size_t begin = slice_find_slice(text, key), end = begin + key.n;
    bool same = begin < text.n && (begin == 0 || text.p[begin - 1] == ';') && (end == text.n || text.p[end] == ';');
    strbuf_free(&theirs);
    return same;
}

static struct record *add_key(struct records *r, const struct dkim_key *key, const char *zone)
{
    struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
    strbuf_addf(&name, "%s._domainkey.%s", dkim_key_selector(key), dkim_key_domain(key));
    dkim_key_record(key, &value);
    r->failed = r->failed || name.failed || value.failed;
    struct record *record = add(r, strbuf_str(&name), "TXT", strbuf_str(&value), zone);
    strbuf_free(&name);
    strbuf_free(&value);
    return record;
}

void records_add_key(struct records *r, const struct dkim_key *key)
{
    add_key(r, key, dkim_key_domain(key));
}

static void judge_key(struct collect *c, struct record *record)
{
    struct lookup_answer answer = ask(c, record->name, DNS_TXT);
    size_t same = 0;
    for (size_t i = 0; i < answer.n; i++)
        same += is_same_key(answer.records[i].text, slice_of(record->value));
    record->status = answer.status == LOOKUP_TEMPFAIL ? RECORD_UNKNOWN
                     : answer.n == 0                  ? RECORD_NEW
                     : same == 1 && answer.n == 1     ? RECORD_PUBLISHED
                                                      : RECORD_REPLACE;
    if (record->status == RECORD_REPLACE)
        record->found = list_found(c, &answer, is_any);
}

static int add_keys(struct collect *c, const struct config_domain *domain, struct err *err)
{
    for (size_t i = 0; i < domain->n_keys; i++) {
        const struct config_key *k = &domain->keys[i];
        struct dkim_key *key = NULL;
        if (!keys_record_wanted(k, cli_today()) ||
            (k->state == CONFIG_KEY_RETIRED && access(k->path, F_OK) < 0)) /* its record is the owner's to keep */
            continue;
        if (dkim_key_load(domain->keys[i].path, domain->name, domain->keys[i].selector, &key, err) < 0)
            return -1;
        judge_key(c, add_key(c->r, key, c->zone));
        dkim_key_free(&key);
    }
    return 0;
}

/* RFC 8314 5.1, RFC 6186: where mail programs submit. */
static void add_discovery(struct collect *c, const char *domain)
{
    for (size_t i = 0; i < c->config->n_listen; i++) {
        const struct config_listener *l = &c->config->listen[i];
        bool implicit = l->tls == CONFIG_TLS_IMPLICIT;
        struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
        strbuf_addf(&name, "_submission%s._tcp.%s", implicit ? "s" : "", domain);
        strbuf_addf(&value, "%d 1 %u %s.", implicit ? 0 : 10, (unsigned)l->port, c->config->hostname);
        struct record *record = add(c->r, strbuf_str(&name), "SRV", strbuf_str(&value), c->zone);
        record->group = RECORD_OPTIONAL;
        c->r->failed = c->r->failed || name.failed || value.failed;
        strbuf_free(&name);
        strbuf_free(&value);
    }
}

static int add_domain(struct collect *c, const struct config_domain *domain, const struct users *users, struct err *err)
{
    struct strbuf report_to = STRBUF_INIT;
    c->zone = zone_of(c, domain->name);
    add_domain_spf(c, domain->name);
    if (add_keys(c, domain, err) < 0)
        return -1;
    records_report_address(users, domain->name, &report_to);
    add_dmarc(c, domain->name, strbuf_str(&report_to));
    c->r->failed = c->r->failed || report_to.failed;
    strbuf_free(&report_to);
    add_discovery(c, domain->name);
    return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

size_t records_addresses(const struct config *c, const char *const **ret)
{
    bool public = c->delivery.n_public_ips > 0;
    *ret = (const char *const *)(public ? c->delivery.public_ips : c->delivery.bind);
    return public ? c->delivery.n_public_ips : c->delivery.n_bind;
}

void records_report_address(const struct users *users, const char *domain, struct strbuf *out)
{
    for (size_t i = 0; users != NULL && i < users->n; i++) {
        const char *at = strrchr(users->v[i].name, '@');
        if (at != NULL && domain_eq(slice_of(at + 1), slice_of(domain)) && slice_is_ascii(slice_of(users->v[i].name)) &&
            strpbrk(users->v[i].name, ";,!\" ") == NULL) {
            strbuf_add_str(out, users->v[i].name);
            return;
        }
    }
    strbuf_addf(out, "postmaster@%s", domain);
}

int records_collect(struct records *r, const struct config *config, const struct config_domain *const *domains,
                    size_t n, const struct users *users, const struct lookup *dns, struct err *err)
{
    struct collect c = {.r = r, .config = config, .dns = dns};
    c.n_ips = records_addresses(config, &c.ips);
    for (size_t i = 0; i < n; i++)
        if (add_domain(&c, domains[i], users, err) < 0)
            return -1;
    add_host(&c);
    for (size_t i = 0; i < c.n_ips; i++)
        add_ptr(&c, c.ips[i]);
    if (c.silent)
        add_notef(r, &r->notes, true,
                  "DNS did not answer all that was asked, so not all that exists is known: \"sendas dns\" looks again");
    return r->failed ? err_set(err, "out of memory") : 0;
}
