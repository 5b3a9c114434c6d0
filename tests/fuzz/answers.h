/* tests/fuzz/answers.h - DNS whose answers are lines of the fuzzer's input, for the targets of SPF and DMARC. */
#ifndef SENDAS_TESTS_FUZZ_ANSWERS_H
#define SENDAS_TESTS_FUZZ_ANSWERS_H

#include "sendas/base.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWERS_MAX = 64, ANSWER_RECORDS_MAX = 32 };

struct answers {
    struct slice lines[ANSWERS_MAX];
    size_t n;
    bool by_name; /* a name has always the same answer; otherwise each question takes the next line */
    size_t next;
    unsigned queries;
};

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

/* The next line of the input, without its LF. */
static inline struct slice answers_line(struct slice *input)
{
    struct slice line;
    *input = slice_cut(*input, '\n', &line);
    return line;
}

static inline void answers_init(struct answers *s, struct slice input)
{
    while (input.n > 0 && s->n < ANSWERS_MAX)
        s->lines[s->n++] = answers_line(&input);
}

/* What is asked is a name that DNS can have, and that means to a resolver what it says. */
static inline void answers_check_name(const char *name)
{
    struct slice rest = slice_of(name), label;
    require(rest.n > 0 && rest.n <= DOMAIN_MAX && name[rest.n - 1] != '.');
    for (size_t i = 0; i < rest.n; i++)
        require(name[i] >= 0x20 && name[i] < 0x7f && name[i] != '\\' && !(name[i] >= 'A' && name[i] <= 'Z'));
    while (rest.n > 0) {
        rest = slice_cut(rest, '.', &label);
        require(label.n > 0 && label.n <= 63);
    }
}

/* For struct lookup; ctx is a struct answers.  "!" no answer, "-" no such name, "" no such record, otherwise records
 * with a '|' between them. */
static inline void answers_query(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    struct answers *s = ctx;
    size_t at = s->next++;
    answers_check_name(name);
    s->queries++;
    if (s->by_name) {
        uint32_t hash = 2166136261U + type;
        for (const char *c = name; *c != '\0'; c++)
            hash = (hash ^ (unsigned char)*c) * 16777619U;
        at = s->n > 0 ? hash % s->n : 0;
    }
    *ret = (struct lookup_answer){.status = LOOKUP_NXDOMAIN};
    if (at >= s->n || slice_eq(s->lines[at], SLICE("-")))
        return;
    struct slice rest = s->lines[at];
    struct lookup_record *records = arena_alloc_array(a, ANSWER_RECORDS_MAX, sizeof *records);
    ret->status = records == NULL || slice_eq(rest, SLICE("!")) ? LOOKUP_TEMPFAIL : LOOKUP_NODATA;
    while (ret->status != LOOKUP_TEMPFAIL && rest.n > 0 && ret->n < ANSWER_RECORDS_MAX) {
        rest = slice_cut(rest, '|', &records[ret->n++].text);
        ret->status = LOOKUP_OK;
    }
    ret->records = records;
}

/* One line of printable ASCII that is no sentence's end. */
static inline void answers_check_sentence(struct slice why)
{
    require(why.n > 0 && why.p[why.n - 1] != '.');
    for (size_t i = 0; i < why.n; i++)
        require(why.p[i] >= 0x20 && why.p[i] < 0x7f);
}

#endif
