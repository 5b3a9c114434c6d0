/* Evaluating one mechanism of an SPF record (RFC 7208 5), with its questions to DNS. */
#include "internal.h"

/* ---- asking DNS -------------------------------------------------------------------------------------------- */

bool spf_ask(struct spf_run *run, struct slice name, unsigned type, struct lookup_answer *ret)
{
    char cstr[DOMAIN_MAX + 1];
    *ret = (struct lookup_answer){.status = LOOKUP_NXDOMAIN};
    if (!align_name_query(name, cstr))
        return false;
    run->dns->query(run->dns->ctx, run->arena, cstr, type, ret);
    if (ret->status == LOOKUP_OK && ret->n == 0)
        ret->status = LOOKUP_NODATA;
    return true;
}

static enum spf_outcome no_answer(struct spf_run *run, const char *type, struct slice name)
{
    err_set(&run->why, "DNS gave no answer for the %s record of %s", type, align_show(name).text);
    return SPF_STOP_TEMPERROR;
}

static unsigned address_type(const struct spf_run *run)
{
    return run->ip.v6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
}

static bool is_void(const struct lookup_answer *answer)
{
    return answer->status == LOOKUP_NODATA || answer->status == LOOKUP_NXDOMAIN;
}

/* RFC 7208 4.6.4: more than two terms whose question has an empty answer are an error.  The addresses of mail servers
 * and of names from PTR records do not count: they are no terms. */
static enum spf_outcome count_void(struct spf_run *run)
{
    if (++run->voids <= SPF_VOID_MAX)
        return SPF_NO_MATCH;
    err_set(&run->why, "the record of %s asks for more than %d names that DNS does not have",
            align_show(run->domain).text, SPF_VOID_MAX);
    return SPF_STOP_PERMERROR;
}

bool spf_term_target(struct spf_run *run, struct slice domain, struct slice spec, struct slice *ret)
{
    run->terms++;
    *ret = spec.n == 0 ? domain : spf_macro_expand_name(run, domain, spec);
    if (run->terms <= SPF_TERMS_MAX)
        return true;
    err_set(&run->why, "the record of %s needs more than %d DNS lookups", align_show(run->domain).text, SPF_TERMS_MAX);
    return false;
}

/* ---- addresses ------------------------------------------------------------------------------------------------ */

bool spf_ip_in_answer(const struct spf_run *run, const struct lookup_answer *answer, unsigned bits)
{
    struct spf_ip ip;
    for (size_t i = 0; answer->status == LOOKUP_OK && i < answer->n; i++)
        if (spf_ip_parse(answer->records[i].text, &ip) == 0 && spf_ip_within(&run->ip, &ip, bits))
            return true;
    return false;
}

static unsigned bits_of(const struct spf_run *run, const struct spf_term *term)
{
    return run->ip.v6 ? term->bits6 : term->bits4;
}

/* RFC 7208 5.3 */
static enum spf_outcome evaluate_a(struct spf_run *run, struct slice target, const struct spf_term *term)
{
    struct lookup_answer answer;
    if (!spf_ask(run, target, address_type(run), &answer))
        return SPF_NO_MATCH;
    if (answer.status == LOOKUP_TEMPFAIL)
        return no_answer(run, run->ip.v6 ? "AAAA" : "A", target);
    if (is_void(&answer))
        return count_void(run);
    return spf_ip_in_answer(run, &answer, bits_of(run, term)) ? SPF_MATCH : SPF_NO_MATCH;
}

/* RFC 7208 5.4: no MX record means no match, never the domain's own address. */
static enum spf_outcome evaluate_mx(struct spf_run *run, struct slice target, const struct spf_term *term)
{
    struct lookup_answer mx, answer;
    if (!spf_ask(run, target, DNS_TYPE_MX, &mx))
        return SPF_NO_MATCH;
    if (mx.status == LOOKUP_TEMPFAIL)
        return no_answer(run, "MX", target);
    if (is_void(&mx))
        return count_void(run);
    if (mx.n > SPF_NAMES_MAX) { /* RFC 7208 4.6.4 */
        err_set(&run->why, "%s has more than %d MX records", align_show(target).text, SPF_NAMES_MAX);
        return SPF_STOP_PERMERROR;
    }
    for (size_t i = 0; i < mx.n; i++) {
        struct slice name = mx.records[i].text;
        if (!spf_ask(run, name, address_type(run), &answer)) /* "." of a null MX (RFC 7505) is no name, either */
            continue;
        if (answer.status == LOOKUP_TEMPFAIL)
            return no_answer(run, run->ip.v6 ? "AAAA" : "A", name);
        if (spf_ip_in_answer(run, &answer, bits_of(run, term)))
            return SPF_MATCH;
    }
    return SPF_NO_MATCH;
}

/* RFC 7208 5.7: A records, whatever the client's address is. */
static enum spf_outcome evaluate_exists(struct spf_run *run, struct slice target)
{
    struct lookup_answer answer;
    if (!spf_ask(run, target, DNS_TYPE_A, &answer))
        return SPF_NO_MATCH;
    if (answer.status == LOOKUP_TEMPFAIL)
        return no_answer(run, "A", target);
    return is_void(&answer) ? count_void(run) : SPF_MATCH;
}

/* ---- names of the client ----------------------------------------------------------------------------------------- */

static void reverse_name(const struct spf_ip *ip, struct strbuf *out)
{
    for (size_t i = ip->v6 ? 16 : 4; i-- > 0;)
        if (ip->v6)
            strbuf_addf(out, "%x.%x.", ip->octets[i] & 15, ip->octets[i] >> 4);
        else
            strbuf_addf(out, "%u.", ip->octets[i]);
    strbuf_add_str(out, ip->v6 ? "ip6.arpa" : "in-addr.arpa");
}

/* RFC 7208 5.5: an error of DNS makes a name invalid, not the check. */
void spf_names_find(struct spf_run *run)
{
    struct strbuf reverse = STRBUF_INIT;
    struct lookup_answer ptr, answer;
    if (run->names_known)
        return;
    run->names_known = true;
    reverse_name(&run->ip, &reverse);
    run->names = arena_alloc_array(run->arena, SPF_NAMES_MAX, sizeof *run->names);
    run->no_memory = run->no_memory || reverse.failed || run->names == NULL;
    if (!run->no_memory) {
        spf_ask(run, strbuf_slice(&reverse), DNS_TYPE_PTR, &ptr);
        run->names_void = is_void(&ptr);
        for (size_t i = 0; ptr.status == LOOKUP_OK && i < ptr.n && i < SPF_NAMES_MAX; i++)
            if (spf_ask(run, ptr.records[i].text, address_type(run), &answer) &&
                spf_ip_in_answer(run, &answer, run->ip.v6 ? 128 : 32))
                run->names[run->n_names++] = ptr.records[i].text;
    }
    strbuf_free(&reverse);
}

static enum spf_outcome evaluate_ptr(struct spf_run *run, struct slice target)
{
    spf_names_find(run);
    if (run->names_void)
        return count_void(run);
    for (size_t i = 0; i < run->n_names && target.n > 0; i++) {
        struct slice name = run->names[i];
        if (name.n >= target.n && slice_eq_icase(slice_skip(name, name.n - target.n), target) &&
            (name.n == target.n || name.p[name.n - target.n - 1] == '.'))
            return SPF_MATCH;
    }
    return SPF_NO_MATCH;
}

/* ---- other records
 * --------------------------------------------------------------------------------------------------- */

/* RFC 7208 5.2 */
static enum spf_outcome evaluate_include(struct spf_run *run, struct slice domain, struct slice target,
                                         const struct spf_term *term, struct spf_match *inner)
{
    switch (spf_check_host(run, target, inner)) {
    case SPF_PASS:
        return SPF_MATCH;
    case SPF_FAIL:
    case SPF_SOFTFAIL:
    case SPF_NEUTRAL:
        return SPF_NO_MATCH;
    case SPF_TEMPERROR:
        return SPF_STOP_TEMPERROR;
    case SPF_NONE:
        err_set(&run->why, "the record of %s says \"%s\", but there is no SPF record", align_show(domain).text,
                align_show(term->text).text);
        return SPF_STOP_PERMERROR;
    case SPF_PERMERROR:
        break;
    }
    return SPF_STOP_PERMERROR;
}

enum spf_outcome spf_term_evaluate(struct spf_run *run, struct slice domain, const struct spf_term *term,
                                   struct spf_match *inner)
{
    struct slice target;
    if (term->mechanism == SPF_ALL)
        return SPF_MATCH;
    if (term->mechanism == SPF_IP4 || term->mechanism == SPF_IP6)
        return spf_ip_within(&run->ip, &term->network, bits_of(run, term)) ? SPF_MATCH : SPF_NO_MATCH;
    if (!spf_term_target(run, domain, term->target, &target))
        return SPF_STOP_PERMERROR;
    switch (term->mechanism) {
    case SPF_A:
        return evaluate_a(run, target, term);
    case SPF_MX:
        return evaluate_mx(run, target, term);
    case SPF_EXISTS:
        return evaluate_exists(run, target);
    case SPF_PTR:
        return evaluate_ptr(run, target);
    default:
        return evaluate_include(run, domain, target, term, inner);
    }
}
