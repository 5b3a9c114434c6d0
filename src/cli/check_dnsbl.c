/* Do the blocklists that receivers ask know the addresses of this host, or its domains? */
#include "check.h"

#include "sendas/dns.h"

#include <string.h>

/* `domains`: a list of names; the others are of addresses, in the form of RFC 5782 2.1 and 2.4. */
static const struct list {
    const char *zone;
    bool ipv6, domains;
    enum check_status listed;
    const char *advice; /* the address or domain follows */
} lists[] = {
    {"zen.spamhaus.org", true, false, CHECK_FAIL, "see https://check.spamhaus.org/query/ip/"},
    {"dbl.spamhaus.org", false, true, CHECK_FAIL, "see https://check.spamhaus.org/query/domain/"},
    {"b.barracudacentral.org", false, false, CHECK_WARN,
     "ask for removal at https://www.barracudacentral.org/rbl/removal-request/"},
    {"bl.spamcop.net", false, false, CHECK_WARN,
     "it goes by itself a day after the last report; see https://www.spamcop.net/bl.shtml?"},
    {"psbl.surriel.com", false, false, CHECK_WARN, "ask for removal at https://psbl.org/remove?ip="},
};

struct look {
    struct check_run *r;
    struct check_item *item;
    struct strbuf found, fix;
    size_t asked;
    size_t silent;     /* questions without an answer */
    bool refused_told; /* that a list does not answer this resolver is said once */
};

static bool answer_starts(const struct lookup_answer *a, struct slice prefix)
{
    for (size_t i = 0; i < a->n; i++)
        if (slice_starts(a->records[i].text, prefix))
            return true;
    return false;
}

/* RFC 5782 5: 127.0.0.1 is on no list, unless the list has died and its name now answers to everything. */
static bool lists_everything(struct check_run *r, const struct list *list)
{
    char name[160];
    snprintf(name, sizeof(name), list->domains ? "invalid.%s" : "1.0.0.127.%s", list->zone);
    return check_ask(r, name, NULL, DNS_A).n > 0;
}

static void worsen(struct check_item *item, enum check_status status, bool unknown)
{
    item->unknown = item->status == CHECK_PASS ? unknown : item->unknown && unknown;
    item->status = status > item->status ? status : item->status;
}

/* Spamhaus answers 127.255.255.x to those whom it does not answer: public resolvers, and who asks too much. */
static void judge(struct look *l, const struct list *list, const char *subject, const char *name)
{
    struct lookup_answer a = check_ask(l->r, name, NULL, DNS_A);
    bool refused = answer_starts(&a, SLICE("127.255.255."));
    bool dead = lists_everything(l->r, list);
    l->asked++;
    if (a.status == LOOKUP_TEMPFAIL)
        l->silent++;
    if (refused && !l->refused_told) {
        l->refused_told = true;
        worsen(l->item, CHECK_WARN, true);
        check_join(&l->found);
        check_join(&l->fix);
        strbuf_addf(&l->found, "could not ask %s through this resolver (%.*s)", list->zone,
                    SLICE_ARG(a.records[0].text));
        strbuf_add_str(&l->fix, "leave dns.servers empty, or name a resolver of your own there");
    } else if (!refused && !dead && answer_starts(&a, SLICE("127."))) {
        worsen(l->item, list->listed, false);
        check_join(&l->found);
        check_join(&l->fix);
        strbuf_addf(&l->found, "%s is listed at %s (%.*s)", subject, list->zone, SLICE_ARG(a.records[0].text));
        strbuf_addf(&l->fix, "%s%s", list->advice, subject);
    }
}

static void look_up_address(struct look *l, const char *address)
{
    char name[160];
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i].domains || (check_is_ipv6(address) && !lists[i].ipv6))
            continue;
        check_reverse_name(address, lists[i].zone, lists[i].zone, name);
        judge(l, &lists[i], address, name);
    }
}

static void look_up_domain(struct look *l, const char *domain)
{
    char name[DOMAIN_MAX + 64];
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        snprintf(name, sizeof(name), "%s.%s", domain, lists[i].zone);
        if (lists[i].domains && strlen(name) <= DOMAIN_MAX)
            judge(l, &lists[i], domain, name);
    }
}

void check_dnsbl(struct check_run *r)
{
    struct check_item *item = check_add(r, "dnsbl", NULL, CHECK_PASS);
    struct look l = {.r = r, .item = item};
    for (size_t i = 0; i < r->n_addresses; i++)
        look_up_address(&l, r->addresses[i]);
    for (size_t i = 0; i < r->config->n_domains; i++)
        if (r->only == NULL || r->only == &r->config->domains[i])
            look_up_domain(&l, r->config->domains[i].name);
    if (r->n_addresses == 0) {
        worsen(item, CHECK_WARN, true);
        check_join(&l.found);
        check_join(&l.fix);
        strbuf_add_str(&l.found, "the address that mail leaves from is not known");
        strbuf_add_str(&l.fix, "see ptr");
    } else if (l.asked > 0 && l.silent == l.asked) {
        worsen(item, CHECK_WARN, true);
        strbuf_add_str(&l.found, "none of the lists could be asked");
        strbuf_add_str(&l.fix, "try again later");
    } else if (item->status == CHECK_PASS) {
        strbuf_add_str(&l.found, "not listed");
        if (l.silent > 0)
            strbuf_addf(&l.found, " (%zu of %zu questions had no answer)", l.silent, l.asked);
    }
    if (item->status == CHECK_FAIL && r->smarthost != NULL) {
        item->status = CHECK_WARN;
        strbuf_addf(&l.fix, "; mail leaves through %s, whose own addresses count more", r->smarthost);
    }
    check_tell(r, item, &l.found, "addresses and domains on no blocklist (Spamhaus, Barracuda, SpamCop, PSBL)", &l.fix);
}
