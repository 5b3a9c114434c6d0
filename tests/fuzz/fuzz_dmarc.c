/* DMARC: lines with the domains of From:, that of SPF, those of the signatures that pass and of those that are not
 * known yet; the other lines are DNS's answers, chosen by the name.  The first octet holds SPF's result. */
#include "answers.h"

#include "sendas/align.h"

enum { LIST_MAX = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t split(struct slice text, struct slice list[LIST_MAX])
{
    size_t n = 0;
    while (text.n > 0 && n < LIST_MAX)
        text = slice_cut(text, ' ', &list[n++]);
    return n;
}

static void check(const struct dmarc_verdict *v)
{
    answers_check_sentence(v->why);
    require(strcmp(dmarc_result_name(v->result), "") != 0);
    require(v->policy <= v->published && v->published - v->policy <= (v->testing ? 1 : 0));
    require((v->aligned_by != NULL) == (v->result == DMARC_PASS));
    require((v->record_of.n > 0) == (v->policy_tag != NULL));
    require((v->result != DMARC_PASS && v->result != DMARC_FAIL) || v->record_of.n > 0);
    require(v->result != DMARC_NONE || (v->record_of.n == 0 && v->from.n > 0));
    require(v->record_of.n <= v->from.n && v->org.n <= v->from.n);
}

/* An aligned domain has the author's Organizational Domain. */
static void check_alignment(struct arena *a, const struct lookup *dns, const struct dmarc_verdict *v)
{
    struct slice left, right;
    if (v->result != DMARC_PASS || slice_eq(v->aligned, v->from))
        return;
    require(dmarc_organizational_domain(a, dns, v->from, &left, NULL) == 0);
    require(dmarc_organizational_domain(a, dns, v->aligned, &right, NULL) == 0);
    require(slice_eq(left, right) && slice_eq(left, v->org));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice input = slice_from(data + 1, size - 1), from[LIST_MAX], dkim[LIST_MAX], later[LIST_MAX];
    struct arena a = ARENA_INIT(64 * 1024 * 1024);
    struct answers answers = {.by_name = true};
    struct lookup dns = {answers_query, &answers};
    struct dmarc_verdict v;
    struct spf_verdict spf = {.result = data[0] % (SPF_PERMERROR + 1)};
    struct dmarc_request req = {.from = from, .dkim = dkim, .dkim_temperror = later};
    req.from_repeated = data[0] >= 0xf0;
    req.spf = data[0] & 0x80 ? NULL : &spf;
    req.n_from = split(answers_line(&input), from);
    spf.domain = answers_line(&input);
    req.n_dkim = split(answers_line(&input), dkim);
    req.n_dkim_temperror = split(answers_line(&input), later);
    answers_init(&answers, input);
    dmarc_check(&a, &dns, &req, &v);
    check(&v);
    require(answers.queries <= 1 + 8 * (1 + 2 * (1 + DMARC_DKIM_MAX)));
    check_alignment(&a, &dns, &v);
    arena_free(&a);
    return 0;
}
