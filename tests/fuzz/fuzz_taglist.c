/* Tag lists, and DKIM-Signature fields made of them: anything is read whole or refused with a reason a log may hold. */
#include "../../src/dkim/verify.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct slice part, struct slice whole)
{
    return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void check_tags(struct slice text)
{
    struct dkim_tags tags;
    struct err err = {""};
    if (dkim_tags_parse(text, &tags, &err) < 0) {
        if (err.text[0] == '\0' || !slice_is_ascii(slice_of(err.text)))
            abort();
        return;
    }
    if (tags.n == 0 || tags.n > DKIM_TAGS_MAX)
        abort();
    for (size_t i = 0; i < tags.n; i++) {
        const struct dkim_tag *t = &tags.v[i];
        struct dkim_members m = dkim_members(t->value);
        struct slice member;
        if (dkim_tags_get(&tags, t->name) != t || !is_inside(t->span, text) || !is_inside(t->value, t->span))
            abort();
        while (dkim_members_next(&m, &member)) {
            if (!is_inside(member, t->value))
                abort();
        }
    }
}

static void check_field(struct slice text)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct strbuf raw = STRBUF_INIT;
    struct dkim_parsed parsed;
    struct dkim_signature s;
    strbuf_add_str(&raw, "DKIM-Signature:");
    strbuf_add_slice(&raw, text);
    strbuf_add_str(&raw, "\r\n");
    struct field f = {.name = slice_sub(strbuf_slice(&raw), 0, 14), .raw = strbuf_slice(&raw)};
    f.value = slice_sub(f.raw, 15, text.n);
    int status = dkim_parsed_read(&a, &f, &parsed, &s);
    if ((status < 0) != (s.reason[0] != '\0') || !slice_is_ascii(slice_of(s.reason)) || !slice_is_utf8(s.identity))
        abort();
    if (status == 0 && (s.domain[0] == '\0' || s.selector[0] == '\0' || !is_inside(parsed.b_span, f.value) ||
                        !is_inside(parsed.names, f.value)))
        abort();
    arena_free(&a);
    strbuf_free(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_tags(slice_from(data, size));
    check_field(slice_from(data, size));
    return 0;
}
