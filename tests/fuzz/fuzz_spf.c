/* SPF: the first three lines are the client's address, MAIL FROM and HELO, the others are DNS's answers in their turn.
 * Whatever they say, there is a verdict within the limits, and what is shown is printable. */
#include "answers.h"

#include "sendas/align.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct spf_verdict *v)
{
    answers_check_sentence(v->why);
    require(strcmp(spf_result_name(v->result), "") != 0);
    require(v->explanation.n == 0 || v->result == SPF_FAIL);
    for (size_t i = 0; i < v->explanation.n; i++)
        require(v->explanation.p[i] >= 0x20 && v->explanation.p[i] < 0x7f);
    require((v->mechanism.n > 0) == (v->mechanism_of.n > 0));
    if (v->result == SPF_PASS || v->result == SPF_FAIL || v->result == SPF_SOFTFAIL)
        require(v->mechanism.n > 0);
    require(v->domain.n <= DOMAIN_MAX && slice_find(v->domain, ' ') == v->domain.n);
    require(v->result != SPF_PASS || v->domain.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_from(data, size);
    struct arena a = ARENA_INIT(64 * 1024 * 1024);
    struct answers answers = {0};
    struct lookup dns = {answers_query, &answers};
    struct spf_verdict v;
    struct spf_request req = {.ip = answers_line(&input)};
    req.sender = answers_line(&input);
    req.helo = answers_line(&input);
    answers_init(&answers, input);
    spf_check(&a, &dns, &req, &v);
    check(&v);
    /* 11 records, an explanation, 10 terms of 11 questions each, the client's names */
    require(answers.queries <= 11 + 1 + 10 * 11 + 11);
    arena_free(&a);
    return 0;
}
