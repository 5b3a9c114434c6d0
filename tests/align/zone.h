/* tests/align/zone.h - DNS from a table, for the tests of SPF and DMARC. */
#ifndef SENDAS_TESTS_ALIGN_ZONE_H
#define SENDAS_TESTS_ALIGN_ZONE_H

#include "sendas/base.h"

enum { ZONE_TEMPFAIL = 0, ZONE_A = 1, ZONE_CNAME = 5, ZONE_PTR = 12, ZONE_MX = 15, ZONE_TXT = 16, ZONE_AAAA = 28 };

struct zone_row {
    const char *name;
    unsigned type; /* ZONE_TEMPFAIL: what else is asked of this name has no answer */
    const char *text;
    size_t text_n; /* 0: all of text, up to its NUL */
};

struct zone {
    const struct zone_row *rows;
    size_t n;
    struct strbuf asked; /* names, a blank behind each; may be NULL-initialised */
    unsigned queries;
};

static inline bool zone_name_is(const struct zone_row *row, struct slice name)
{
    return slice_eq_icase(slice_of(row->name), name);
}

/* Everything of `name` and `type` into the arena. */
static inline void zone_collect(const struct zone *z, struct arena *a, struct slice name, unsigned type,
                                struct lookup_answer *ret)
{
    struct lookup_record *records = arena_alloc_array(a, z->n + 1, sizeof *records);
    *ret = (struct lookup_answer){.status = LOOKUP_NXDOMAIN, .records = records};
    if (records == NULL)
        ret->status = LOOKUP_TEMPFAIL;
    for (size_t i = 0; i < z->n && records != NULL; i++) {
        const struct zone_row *row = &z->rows[i];
        if (!zone_name_is(row, name))
            continue;
        if (ret->status == LOOKUP_NXDOMAIN)
            ret->status = LOOKUP_NODATA;
        if (row->type == type) {
            records[ret->n++].text = row->text_n > 0 ? slice_from(row->text, row->text_n) : slice_of(row->text);
            ret->status = LOOKUP_OK;
        } else if (row->type == ZONE_TEMPFAIL && ret->n == 0) {
            ret->status = LOOKUP_TEMPFAIL;
        }
    }
}

/* For struct lookup; ctx is a struct zone. */
static inline void zone_query(void *ctx, struct arena *a, const char *cname, unsigned type, struct lookup_answer *ret)
{
    struct zone *z = ctx;
    struct slice name = slice_of(cname);
    z->queries++;
    strbuf_add_str(&z->asked, cname);
    strbuf_add_char(&z->asked, ' ');
    for (int hops = 0; hops < 8; hops++) {
        struct lookup_answer cname_answer;
        zone_collect(z, a, name, type, ret);
        if (ret->status == LOOKUP_OK || type == ZONE_CNAME)
            return;
        zone_collect(z, a, name, ZONE_CNAME, &cname_answer);
        if (cname_answer.status != LOOKUP_OK)
            return;
        name = cname_answer.records[0].text;
    }
    ret->status = LOOKUP_TEMPFAIL;
}

#endif
