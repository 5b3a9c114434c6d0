/* What DNS says of the host: its addresses, their names, and its own name in SPF. */
#include "check.h"

#include "sendas/align.h"
#include "sendas/delivery.h"
#include "sendas/dns.h"

#include <arpa/inet.h>
#include <string.h>

/* What counts are the addresses of somebody else, who takes all mail from here. */
static void excuse(struct check_run *r, struct check_item *item, struct strbuf *fix)
{
    if (item->status != CHECK_FAIL || r->smarthost == NULL)
        return;
    item->status = CHECK_WARN;
    strbuf_addf(fix, "; mail leaves through %s, whose own addresses count more", r->smarthost);
}

/* ---- hostname -------------------------------------------------------------------------------- */

static bool same_address(const char *a, struct slice text)
{
    unsigned char x[16] = {0}, y[16] = {0};
    char b[INET6_ADDRSTRLEN];
    int family = check_is_ipv6(a) ? AF_INET6 : AF_INET;
    snprintf(b, sizeof(b), "%.*s", SLICE_ARG(text));
    return inet_pton(family, a, x) == 1 && inet_pton(family, b, y) == 1 && memcmp(x, y, sizeof(x)) == 0;
}

static bool is_sender(const struct check_run *r, const char *address)
{
    for (size_t i = 0; i < r->n_addresses; i++)
        if (same_address(r->addresses[i], slice_of(address)))
            return true;
    return false;
}

/* Whether an address is this machine's cannot be said where a router stands before it, or nothing is known of it. */
static bool is_foreign(const struct check_run *r, const char *address)
{
    bool known = !r->nat && (r->origin == CHECK_ORIGIN_CONFIGURED || r->origin == CHECK_ORIGIN_ROUTE);
    return known && !is_sender(r, address) && !r->world->is_local(r->world->ctx, address);
}

struct seen {
    struct strbuf list;
    size_t n, unreachable;
    const char *lacking; /* an address that mail leaves from, whose family the name does not have; NULL: none */
    char foreign[INET6_ADDRSTRLEN]; /* the last that is not ours */
};

static void look_at_answer(struct check_run *r, const struct lookup_answer *answer, struct seen *seen)
{
    for (size_t i = 0; i < answer->n; i++) {
        char address[INET6_ADDRSTRLEN];
        snprintf(address, sizeof(address), "%.*s", SLICE_ARG(answer->records[i].text));
        check_join(&seen->list);
        strbuf_add_str(&seen->list, address);
        seen->n++;
        if (!delivery_address_allowed(address, r->config->delivery.allow_private)) {
            strbuf_add_str(&seen->list, " (not reachable from the Internet)");
            seen->unreachable++;
        } else if (is_foreign(r, address)) {
            strbuf_add_str(&seen->list, " (not an address of this machine)");
            snprintf(seen->foreign, sizeof(seen->foreign), "%s", address);
        }
    }
}

/* Of a host name that is found at the other family only. */
static void look_for_family(struct check_run *r, bool ipv6, size_t n, struct seen *seen)
{
    bool known = r->origin == CHECK_ORIGIN_CONFIGURED || r->origin == CHECK_ORIGIN_ROUTE;
    for (size_t i = 0; i < r->n_addresses && known && n == 0; i++) {
        if (check_is_ipv6(r->addresses[i]) != ipv6)
            continue;
        check_join(&seen->list);
        strbuf_addf(&seen->list, "no %s record, and mail leaves from %s", ipv6 ? "AAAA" : "A", r->addresses[i]);
        seen->lacking = r->addresses[i];
        return;
    }
}

/* One of this family, where it is known; NULL. */
static const char *own_address(const struct check_run *r, bool ipv6)
{
    for (size_t i = 0; i < r->n_addresses; i++)
        if (check_is_ipv6(r->addresses[i]) == ipv6 && r->origin != CHECK_ORIGIN_HOST)
            return r->addresses[i];
    return NULL;
}

static void advise_hostname(struct check_run *r, const struct seen *seen, struct strbuf *fix)
{
    const char *hostname = r->config->hostname, *own = own_address(r, check_is_ipv6(seen->foreign));
    const char *type = check_is_ipv6(seen->foreign) ? "AAAA" : "A";
    if (seen->lacking != NULL) {
        strbuf_addf(fix, "publish an %s record of %s with %s", check_is_ipv6(seen->lacking) ? "AAAA" : "A", hostname,
                    seen->lacking);
    } else if (seen->n == 0 || seen->unreachable > 0) {
        const char *v4 = own_address(r, false), *v6 = own_address(r, true);
        if (v4 != NULL || v6 == NULL)
            strbuf_addf(fix, "publish an A record of %s with %s", hostname,
                        v4 != NULL ? v4 : "the public address of this server");
        if (v6 != NULL)
            strbuf_addf(fix, "%spublish an AAAA record of %s with %s", v4 != NULL ? "; " : "", hostname, v6);
    } else if (seen->foreign[0] != '\0') {
        strbuf_addf(fix, "remove the %s record of %s with %s", type, hostname, seen->foreign);
        if (own != NULL)
            strbuf_addf(fix, ", so that %s is the only one", own);
    }
}

void check_hostname(struct check_run *r)
{
    const char *hostname = r->config->hostname;
    struct check_item *item = check_add(r, "hostname", NULL, CHECK_PASS);
    enum lookup_status worst = LOOKUP_OK;
    struct lookup_answer v4 = check_ask(r, hostname, &worst, DNS_A), v6 = check_ask(r, hostname, &worst, DNS_AAAA);
    struct seen seen = {.list = STRBUF_INIT};
    struct strbuf fix = STRBUF_INIT;
    look_at_answer(r, &v4, &seen);
    look_at_answer(r, &v6, &seen);
    if (seen.n == 0) {
        strbuf_addf(&seen.list, "%s has no address", hostname);
    } else if (worst != LOOKUP_TEMPFAIL) {
        look_for_family(r, false, v4.n, &seen);
        look_for_family(r, true, v6.n, &seen);
    }
    advise_hostname(r, &seen, &fix);
    item->status = fix.n > 0 ? CHECK_FAIL : CHECK_PASS;
    check_tell(r, item, &seen.list, check_text(r, "public addresses of this machine at %s", hostname), &fix);
    if (seen.n == 0 && worst == LOOKUP_TEMPFAIL)
        check_no_answer(r, item, hostname, v4.status == LOOKUP_TEMPFAIL ? DNS_A : DNS_AAAA);
}

/* ---- ptr ------------------------------------------------------------------------------------- */

/* Does `name` lead back to the address? */
static bool leads_back(struct check_run *r, const char *name, const char *address, enum lookup_status *worst)
{
    struct lookup_answer a = check_ask(r, name, worst, check_is_ipv6(address) ? DNS_AAAA : DNS_A);
    for (size_t i = 0; i < a.n; i++)
        if (same_address(address, a.records[i].text))
            return true;
    return false;
}

/* The names of one address: what its owner says, and whether that leads back.  LOOKUP_TEMPFAIL in *worst: not known.
 * Receivers take any of several: each should lead back. */
static enum check_status judge_names(struct check_run *r, const char *address, const struct lookup_answer *names,
                                     enum lookup_status *worst, struct strbuf *found)
{
    bool good = false, other = false, broken = false;
    if (names->n == 0)
        strbuf_addf(found, "%s has no PTR record", address);
    for (size_t i = 0; i < names->n && i < CHECK_NAMES_MAX; i++) {
        const char *name = check_text(r, "%.*s", SLICE_ARG(names->records[i].text));
        bool back = leads_back(r, name, address, worst);
        strbuf_addf(found, "%s%s -> %s%s", i > 0 ? ", " : "", address, name,
                    back ? "" : ", which does not lead back to it");
        good = good || (back && strcasecmp(name, r->config->hostname) == 0);
        other = other || back;
        broken = broken || !back;
    }
    if (!good && !other)
        return CHECK_FAIL;
    return good && !broken ? CHECK_PASS : CHECK_WARN;
}

static bool has_name(const struct lookup_answer *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (slice_eq_icase(names->records[i].text, slice_of(name)))
            return true;
    return false;
}

static void advise_ptr(struct check_run *r, const char *address, const struct lookup_answer *names, bool unknown,
                       struct strbuf *fix)
{
    const char *hostname = r->config->hostname;
    enum lookup_status worst = LOOKUP_OK;
    check_join(fix);
    if (unknown)
        strbuf_add_str(fix, "try again later");
    else if (names->n > 1 && leads_back(r, hostname, address, &worst))
        strbuf_addf(fix, "have whoever rents you the server leave only %s in the PTR record of %s", hostname, address);
    else if (has_name(names, hostname))
        strbuf_addf(fix, "publish %s %s %s", hostname, check_is_ipv6(address) ? "AAAA" : "A", address);
    else
        strbuf_addf(fix, "have whoever rents you the server set the PTR record of %s to %s", address, hostname);
    if (!unknown && check_is_ipv6(address) && r->n_addresses > 1)
        strbuf_addf(fix, ", or let mail leave by IPv4 only (delivery.bind)");
}

static void judge_ptr(struct check_run *r, struct check_item *item, const char *address, struct strbuf *found,
                      struct strbuf *fix)
{
    enum lookup_status worst = LOOKUP_OK;
    char reverse[160];
    check_reverse_name(address, "in-addr.arpa", "ip6.arpa", reverse);
    struct lookup_answer names = check_ask(r, reverse, &worst, DNS_PTR);
    check_join(found);
    if (names.status == LOOKUP_TEMPFAIL)
        strbuf_addf(found, "DNS gave no answer for the PTR record of %s", address);
    enum check_status status =
        names.status == LOOKUP_TEMPFAIL ? CHECK_WARN : judge_names(r, address, &names, &worst, found);
    bool unknown = status != CHECK_PASS && worst == LOOKUP_TEMPFAIL;
    if (unknown) {
        status = CHECK_WARN;
        item->unknown = true;
    }
    if (status > item->status)
        item->status = status;
    if (status != CHECK_PASS)
        advise_ptr(r, address, &names, unknown, fix);
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
    excuse(r, item, &fix);
    check_tell(r, item, &found,
               check_text(r, "each address -> %s -> the same address (forward-confirmed)", r->config->hostname), &fix);
}

/* ---- helo ------------------------------------------------------------------------------------ */

/* RFC 7208 2.3, 2.4: receivers hold the name in EHLO against its own record, and a bounce, which has no sender, against
 * nothing else. */
void check_helo(struct check_run *r)
{
    const char *hostname = r->config->hostname;
    struct check_item *item = check_add(r, "helo", NULL, CHECK_PASS);
    struct spf_verdict v, worst = {.result = SPF_PASS};
    const char *of = "";
    for (size_t i = 0; i < r->n_addresses; i++) {
        struct spf_request request = {
            .ip = slice_of(r->addresses[i]), .helo = slice_of(hostname), .receiver = slice_of(hostname), .now = r->now};
        spf_check(&r->memory, &r->world->dns, &request, &v);
        if (v.result == SPF_PASS || worst.result != SPF_PASS)
            continue;
        worst = v;
        of = r->addresses[i];
    }
    item->expected = check_text(r, "a TXT record at %s that lets it send: v=spf1 a -all", hostname);
    item->found = check_text(r, "SPF lets %s send", hostname);
    if (worst.result == SPF_PASS && r->n_addresses > 0)
        return;
    item->status = worst.result == SPF_NONE || r->smarthost != NULL ? CHECK_WARN : CHECK_FAIL;
    item->found = check_text(r, "%s for %s: %.*s", spf_result_name(worst.result), of, SLICE_ARG(worst.why));
    item->fix = check_text(r, "publish one TXT record at %s: v=spf1 a -all", hostname);
    if (worst.result == SPF_NONE) {
        item->found = check_text(r, "%s has no SPF record of its own", hostname);
    } else if (worst.result == SPF_TEMPERROR || r->n_addresses == 0) {
        item->status = CHECK_WARN;
        item->unknown = true;
        item->fix = r->n_addresses == 0
                        ? "whether it fits is seen when the address that mail leaves from is known (hostname)"
                        : "try again later";
        if (r->n_addresses == 0)
            item->found = "the address that mail leaves from is not known";
    }
}
