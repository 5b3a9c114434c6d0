/* Tag lists: "v=1; a=rsa-sha256; ..." (RFC 6376 3.2, 8616 for what is not ASCII).  Part of the verifier. */
#include "verify.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tag-name = ALPHA *( ALPHA / DIGIT / "_" ) */
static bool is_name(struct slice s)
{
    if (s.n == 0 || !is_alpha(s.p[0]))
        return false;
    for (size_t i = 1; i < s.n; i++) {
        if (!is_alpha(s.p[i]) && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '_')
            return false;
    }
    return true;
}

/* tag-value = [ tval *( 1*(WSP / FWS) tval ) ]; a line break only where white space follows, as in any field. */
static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && !is_blank((char)c)) || c == 0x7f)
            return false;
    }
    return slice_is_utf8(s);
}

static int read_tag(struct slice spec, struct dkim_tags *tags, struct err *err)
{
    struct dkim_tag tag;
    size_t equals = slice_find(spec, '=');
    tag.name = slice_trim(slice_sub(spec, 0, equals));
    tag.span = slice_skip(spec, equals + 1);
    tag.value = slice_trim(tag.span);
    if (!is_name(tag.name))
        return err_set(err, "tag %zu has no proper name", tags->n + 1);
    if (equals == spec.n)
        return err_set(err, "%.*s= has no value and no \"=\"", (int)(tag.name.n < 40 ? tag.name.n : 40), tag.name.p);
    if (!is_value(tag.value))
        return err_set(err, "%.*s= has octets that may not stand there", (int)(tag.name.n < 40 ? tag.name.n : 40),
                       tag.name.p);
    if (dkim_tags_get(tags, tag.name) != NULL)
        return err_set(err, "%.*s= stands there twice", (int)(tag.name.n < 40 ? tag.name.n : 40), tag.name.p);
    if (tags->n == DKIM_TAGS_MAX)
        return err_set(err, "there are more than %d tags", DKIM_TAGS_MAX);
    tags->v[tags->n++] = tag;
    return 0;
}

int dkim_tags_parse(struct slice text, struct dkim_tags *ret, struct err *err)
{
    ret->n = 0;
    do {
        struct slice spec;
        text = slice_cut(text, ';', &spec);
        if (read_tag(spec, ret, err) < 0)
            return -1;
    } while (slice_trim(text).n > 0); /* one ";" may stand at the end */
    return 0;
}

const struct dkim_tag *dkim_tags_get(const struct dkim_tags *tags, struct slice name)
{
    for (size_t i = 0; i < tags->n; i++) {
        if (slice_eq(tags->v[i].name, name))
            return &tags->v[i];
    }
    return NULL;
}

struct dkim_members dkim_members(struct slice list)
{
    return (struct dkim_members){list, true};
}

bool dkim_members_next(struct dkim_members *m, struct slice *ret)
{
    struct slice member;
    if (!m->more)
        return false;
    m->more = slice_find(m->rest, ':') < m->rest.n;
    m->rest = slice_cut(m->rest, ':', &member);
    *ret = slice_trim(member);
    return true;
}

int dkim_base64_read(struct arena *a, struct slice text, struct slice *ret)
{
    struct strbuf packed = STRBUF_INIT, raw = STRBUF_INIT;
    struct slice copy = {NULL, 0};
    for (size_t i = 0, start; i < text.n; i++) {
        for (start = i; i < text.n && !is_blank(text.p[i]);)
            i++;
        strbuf_add(&packed, text.p + start, i - start);
    }
    int status = base64_decode(&raw, strbuf_slice(&packed));
    if (status == 0)
        copy = arena_copy(a, strbuf_slice(&raw));
    if (packed.failed || raw.failed || (status == 0 && copy.p == NULL))
        status = MESSAGE_NO_MEMORY;
    if (status == 0)
        *ret = copy;
    strbuf_free(&packed);
    strbuf_free(&raw);
    return status;
}
