/* What DNS says of the host: its addresses, their names, and the lists they may stand on. */
#include "check.h"

#include "sendas/delivery.h"
#include "sendas/dns.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- hostname ---------------------------------------------------------------------------------------------------- */

static void add_address(struct check_run *r, struct slice text)
{
    const char *copy = arena_strdup(&r->memory, text);
    if (copy == NULL)
        r->failed = true;
    else if (r->n_addresses < CHECK_ADDRESSES_MAX)
        r->addresses[r->n_addresses++] = copy;
}

static void judge_addresses(struct check_run *r, struct check_item *item, const struct lookup_answer *answer,
                            struct strbuf *found)
{
    for (size_t i = 0; i < answer->n; i++) {
        char address[INET6_ADDRSTRLEN];
        snprintf(address, sizeof(address), "%.*s", SLICE_ARG(answer->records[i].text));
        check_join(found);
        strbuf_add_str(found, address);
        if (delivery_address_allowed(address, r->config->delivery.allow_private))
            continue;
        strbuf_add_str(found, " (not reachable from the Internet)");
        item->status = CHECK_FAIL;
    }
}

void check_hostname(struct check_run *r)
{
    const struct config *c = r->config;
    struct check_item *item = check_add(r, "hostname", NULL, CHECK_PASS);
    enum lookup_status worst = LOOKUP_OK;
    struct lookup_answer answers[] = {check_ask(r, c->hostname, &worst, DNS_A),
                                      check_ask(r, c->hostname, &worst, DNS_AAAA)};
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        judge_addresses(r, item, &answers[i], &found);
        for (size_t k = 0; k < answers[i].n && c->delivery.n_bind == 0; k++)
            add_address(r, answers[i].records[k].text);
    }
    for (size_t i = 0; i < c->delivery.n_bind; i++)
        add_address(r, slice_of(c->delivery.bind[i]));
    r->addresses_unknown = r->n_addresses == 0 && worst == LOOKUP_TEMPFAIL;
    if (found.n == 0) {
        item->status = CHECK_FAIL;
        strbuf_addf(&found, "%s has no address", c->hostname);
    }
    if (item->status == CHECK_FAIL)
        strbuf_addf(&fix,
                    "publish an A record (and AAAA, if mail leaves by IPv6) of %s with the public address of this "
                    "server",
                    c->hostname);
    check_tell(r, item, &found, check_text(r, "a public address of %s", c->hostname), &fix);
    if (answers[0].n + answers[1].n == 0 && worst == LOOKUP_TEMPFAIL)
        check_no_answer(r, item, c->hostname);
}

/* ---- ptr --------------------------------------------------------------------------------------------------------- */

/* "1.2.0.192" and the zone, or the nibbles of RFC 3596 2.5. */
static void reverse_name(const char *address, const char *zone4, char out[128])
{
    unsigned char b[16];
    if (inet_pton(AF_INET, address, b) == 1) {
        snprintf(out, 128, "%u.%u.%u.%u.%s", b[3], b[2], b[1], b[0], zone4);
        return;
    }
    size_t n = 0;
    out[0] = '\0';
    if (inet_pton(AF_INET6, address, b) != 1)
        return;
    for (int i = 15; i >= 0; i--)
        n += (size_t)snprintf(out + n, 128 - n, "%x.%x.", b[i] & 15, b[i] >> 4);
    snprintf(out + n, 128 - n, "ip6.arpa");
}

static bool same_address(const char *a, struct slice text)
{
    unsigned char x[16] = {0}, y[16] = {0};
    char b[INET6_ADDRSTRLEN];
    int family = strchr(a, ':') != NULL ? AF_INET6 : AF_INET;
    snprintf(b, sizeof(b), "%.*s", SLICE_ARG(text));
    return inet_pton(family, a, x) == 1 && inet_pton(family, b, y) == 1 && memcmp(x, y, sizeof(x)) == 0;
}

/* Does `name` lead back to the address? */
static bool leads_back(struct check_run *r, const char *name, const char *address, enum lookup_status *worst)
{
    struct lookup_answer a = check_ask(r, name, worst, strchr(address, ':') != NULL ? DNS_AAAA : DNS_A);
    for (size_t i = 0; i < a.n; i++)
        if (same_address(address, a.records[i].text))
            return true;
    return false;
}

/* The names of one address: what its owner says, and whether that leads back.  LOOKUP_TEMPFAIL in *worst: not known. */
static enum check_status judge_names(struct check_run *r, const char *address, const struct lookup_answer *names,
                                     enum lookup_status *worst, struct strbuf *found)
{
    enum check_status status = CHECK_FAIL;
    if (names->n == 0)
        strbuf_addf(found, "%s has no PTR record", address);
    for (size_t i = 0; i < names->n && i < CHECK_ADDRESSES_MAX; i++) {
        const char *name = check_text(r, "%.*s", SLICE_ARG(names->records[i].text));
        bool back = leads_back(r, name, address, worst);
        strbuf_addf(found, "%s%s -> %s%s", i > 0 ? ", " : "", address, name,
                    back ? "" : ", which does not lead back to it");
        if (back && strcasecmp(name, r->config->hostname) == 0)
            status = CHECK_PASS;
        else if (back && status == CHECK_FAIL)
            status = CHECK_WARN;
    }
    return status;
}

static bool has_name(const struct lookup_answer *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (slice_eq_icase(names->records[i].text, slice_of(name)))
            return true;
    return false;
}

static void judge_ptr(struct check_run *r, struct check_item *item, const char *address, struct strbuf *found,
                      struct strbuf *fix)
{
    const char *hostname = r->config->hostname;
    enum lookup_status worst = LOOKUP_OK;
    char reverse[128];
    reverse_name(address, "in-addr.arpa", reverse);
    struct lookup_answer names = check_ask(r, reverse, &worst, DNS_PTR);
    check_join(found);
    if (names.status == LOOKUP_TEMPFAIL)
        strbuf_addf(found, "DNS gave no answer for the PTR record of %s", address);
    enum check_status status =
        names.status == LOOKUP_TEMPFAIL ? CHECK_WARN : judge_names(r, address, &names, &worst, found);
    if (status != CHECK_PASS && worst == LOOKUP_TEMPFAIL) {
        status = CHECK_WARN;
        item->unknown = true;
    }
    if (status > item->status)
        item->status = status;
    if (status == CHECK_PASS)
        return;
    check_join(fix);
    if (worst == LOOKUP_TEMPFAIL)
        strbuf_add_str(fix, "try again later");
    else if (has_name(&names, hostname))
        strbuf_addf(fix, "publish %s %s %s", hostname, strchr(address, ':') != NULL ? "AAAA" : "A", address);
    else
        strbuf_addf(fix, "have whoever rents you the server set the PTR record of %s to %s", address, hostname);
}

void check_ptr(struct check_run *r)
{
    struct check_item *item = check_add(r, "ptr", NULL, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    for (size_t i = 0; i < r->n_addresses; i++)
        judge_ptr(r, item, r->addresses[i], &found, &fix);
    if (r->n_addresses == 0) {
        item->status = r->addresses_unknown ? CHECK_WARN : CHECK_FAIL;
        item->unknown = r->addresses_unknown;
        strbuf_add_str(&found, "the address that mail leaves from is not known");
        strbuf_addf(&fix, "publish the addresses of %s, or name them in delivery.bind", r->config->hostname);
    }
    if (item->status == CHECK_FAIL)
        item->unknown = false;
    if (item->status == CHECK_FAIL && r->smarthost != NULL) {
        item->status = CHECK_WARN;
        strbuf_addf(&fix, "; mail leaves through %s, whose own addresses count more", r->smarthost);
    }
    check_tell(r, item, &found,
               check_text(r, "each address -> %s -> the same address (forward-confirmed)", r->config->hostname), &fix);
}

/* ---- dnsbl ------------------------------------------------------------------------------------------------------- */

static const struct list {
    const char *zone;
    enum check_status listed;
    const char *advice;
} lists[] = {
    {"zen.spamhaus.org", CHECK_FAIL, "see https://check.spamhaus.org/query/ip/"},
    {"bl.spamcop.net", CHECK_WARN,
     "it goes by itself a day after the last report; see https://www.spamcop.net/bl.shtml?"},
};

static bool answer_starts(const struct lookup_answer *a, struct slice prefix)
{
    for (size_t i = 0; i < a->n; i++)
        if (slice_starts(a->records[i].text, prefix))
            return true;
    return false;
}

/* Spamhaus answers 127.255.255.x to those whom it does not answer: public resolvers, and who asks too much. */
static void judge_list(struct check_run *r, struct check_item *item, const char *address, const struct list *list,
                       struct strbuf *found, struct strbuf *fix)
{
    char name[128];
    reverse_name(address, list->zone, name);
    struct lookup_answer a = check_ask(r, name, NULL, DNS_A);
    bool refused = answer_starts(&a, SLICE("127.255.255."));
    bool listed = !refused && answer_starts(&a, SLICE("127."));
    enum check_status status = listed                                              ? list->listed
                               : a.status == LOOKUP_TEMPFAIL || refused || a.n > 0 ? CHECK_WARN
                                                                                   : CHECK_PASS;
    if (status == CHECK_PASS)
        return;
    item->unknown = item->status == CHECK_PASS ? !listed : item->unknown && !listed;
    item->status = status > item->status ? status : item->status;
    check_join(found);
    check_join(fix);
    if (listed) {
        strbuf_addf(found, "%s is listed at %s (%.*s)", address, list->zone, SLICE_ARG(a.records[0].text));
        strbuf_addf(fix, "%s%s", list->advice, address);
    } else if (refused) {
        strbuf_addf(found, "could not ask %s through this resolver (%.*s)", list->zone, SLICE_ARG(a.records[0].text));
        strbuf_add_str(fix, "leave dns.servers empty, or name a resolver of your own there");
    } else {
        strbuf_addf(found, "could not ask %s about %s", list->zone, address);
        strbuf_add_str(fix, "try again later");
    }
}

void check_dnsbl(struct check_run *r)
{
    struct check_item *item = check_add(r, "dnsbl", NULL, CHECK_PASS);
    struct strbuf found = STRBUF_INIT, fix = STRBUF_INIT;
    size_t asked = 0;
    for (size_t i = 0; i < r->n_addresses; i++) {
        if (strchr(r->addresses[i], ':') != NULL)
            continue;
        asked++;
        for (size_t k = 0; k < ARRAY_LEN(lists); k++)
            judge_list(r, item, r->addresses[i], &lists[k], &found, &fix);
    }
    if (asked == 0)
        strbuf_add_str(&found, "no IPv4 address is known that mail leaves from");
    else if (item->status == CHECK_PASS)
        strbuf_add_str(&found, "not listed");
    if (asked == 0 && r->addresses_unknown) {
        item->status = CHECK_WARN;
        item->unknown = true;
    }
    if (item->status == CHECK_FAIL && r->smarthost != NULL) {
        item->status = CHECK_WARN;
        strbuf_addf(&fix, "; mail leaves through %s, whose own addresses count more", r->smarthost);
    }
    check_tell(r, item, &found, "not listed at zen.spamhaus.org and bl.spamcop.net", &fix);
}
