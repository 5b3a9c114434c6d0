/* What a part is, by its header: does it hold others, may it be encoded, is it encoded already? */
#include "internal.h"

#include <string.h>

enum transfer { TRANSFER_NONE = 0, TRANSFER_8BIT, TRANSFER_QP, TRANSFER_BASE64, TRANSFER_UNKNOWN };

/* RFC 2045 6.1 */
static enum transfer read_transfer(const struct field *f)
{
    static const struct {
        struct slice name;
        enum transfer transfer;
    } names[] = {
        {{"7bit", 4}, TRANSFER_NONE},     {{"8bit", 4}, TRANSFER_8BIT},
        {{"binary", 6}, TRANSFER_8BIT},   {{"quoted-printable", 16}, TRANSFER_QP},
        {{"base64", 6}, TRANSFER_BASE64},
    };
    struct mime_value v;
    if (f == NULL)
        return TRANSFER_NONE;
    if (mime_value_parse(f->value, &v) == 0 && v.subtype.n == 0) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            if (slice_eq_icase(v.type, names[i].name))
                return names[i].transfer;
        }
    }
    return TRANSFER_UNKNOWN;
}

static struct entity_class sealed(const char *what)
{
    return (struct entity_class){.kind = ENTITY_SEALED, .sealed = what};
}

/* RFC 2046 5.1.1, and boundaries that are longer than it allows.  Those that readers see differently are none. */
static struct entity_class read_multipart(const struct mime_value *v)
{
    struct entity_class c = {.kind = ENTITY_MULTIPART, .digest = slice_eq_icase(v->subtype, SLICE("digest"))};
    struct slice params = v->params;
    struct mime_param p;
    struct strbuf text = STRBUF_INIT;
    size_t found = 0;
    int more;
    while ((more = mime_param_next(&params, &p)) > 0) {
        if (slice_eq_icase(p.name, SLICE("boundary"))) {
            mime_param_text(&p, &text);
            found++;
        } else if (slice_starts_icase(p.name, SLICE("boundary*"))) {
            found = 2;
        }
    }
    struct slice boundary = strbuf_slice(&text);
    bool usable = more == 0 && found == 1 && boundary.n > 0 && boundary.n <= BOUNDARY_MAX && slice_is_ascii(boundary) &&
                  boundary.p[boundary.n - 1] != ' ' && boundary.p[boundary.n - 1] != '\t' && !text.failed;
    if (usable) {
        memcpy(c.boundary, boundary.p, boundary.n);
        c.n_boundary = boundary.n;
    }
    strbuf_free(&text);
    return usable ? c : sealed("a multipart without a usable boundary");
}

static struct entity_class read_message(struct slice subtype)
{
    if (slice_eq_icase(subtype, SLICE("rfc822")))
        return (struct entity_class){.kind = ENTITY_MESSAGE};
    if (slice_eq_icase(subtype, SLICE("global")) || slice_starts_icase(subtype, SLICE("global-"))) /* RFC 6532 3.7 */
        return (struct entity_class){.kind = ENTITY_TEXT};
    return sealed("a part of a type that may not be encoded"); /* RFC 2045 6.4, RFC 2046 5.2 */
}

/* RFC 2045 5.2: what is malformed is plain text; but not to every reader, where it could hold parts. */
static struct entity_class read_malformed(struct slice value)
{
    value = mime_skip_cfws(value);
    if (slice_starts_icase(value, SLICE("multipart")) || slice_starts_icase(value, SLICE("message")))
        return sealed("a part with a malformed Content-Type");
    return (struct entity_class){.kind = ENTITY_TEXT};
}

static struct entity_class read_type(const struct field *f, bool in_digest)
{
    struct mime_value v;
    if (f == NULL) /* RFC 2046 5.1.5 */
        return (struct entity_class){.kind = in_digest ? ENTITY_MESSAGE : ENTITY_TEXT};
    if (mime_value_parse(f->value, &v) < 0 || v.subtype.n == 0)
        return read_malformed(f->value);
    if (slice_eq_icase(v.type, SLICE("multipart"))) {
        if (slice_eq_icase(v.subtype, SLICE("signed"))) /* RFC 1847 2.1 */
            return sealed("a signed part");
        if (slice_eq_icase(v.subtype, SLICE("encrypted")))
            return sealed("an encrypted part");
        return read_multipart(&v);
    }
    if (slice_eq_icase(v.type, SLICE("message")))
        return read_message(v.subtype);
    if (slice_eq_icase(v.type, SLICE("application")) &&
        (slice_eq_icase(v.subtype, SLICE("pkcs7-mime")) || slice_eq_icase(v.subtype, SLICE("x-pkcs7-mime"))))
        return sealed("an S/MIME part"); /* RFC 8551 3.2 */
    return (struct entity_class){.kind = slice_eq_icase(v.type, SLICE("text")) ? ENTITY_TEXT : ENTITY_DATA};
}

struct entity_class entity_classify(const struct field_list *fields, bool in_digest)
{
    const struct slice type = SLICE("Content-Type"), encoding = SLICE("Content-Transfer-Encoding");
    if (fields_count(fields, type) > 1 || fields_count(fields, encoding) > 1)
        return sealed("a part with a repeated Content field");
    struct entity_class c = read_type(fields_get(fields, type, 0), in_digest);
    enum transfer transfer = read_transfer(fields_get(fields, encoding, 0));
    bool composite = c.kind == ENTITY_MULTIPART || c.kind == ENTITY_MESSAGE;
    bool encoded = transfer == TRANSFER_QP || transfer == TRANSFER_BASE64;
    if (transfer == TRANSFER_UNKNOWN && c.kind != ENTITY_SEALED)
        return sealed("a part of an unknown Content-Transfer-Encoding");
    if (composite && encoded) /* RFC 2045 6.4 */
        return sealed("a multipart or message with a Content-Transfer-Encoding that is not allowed");
    if (encoded && c.kind != ENTITY_SEALED)
        c.kind = transfer == TRANSFER_QP ? ENTITY_QUOTED_PRINTABLE : ENTITY_BASE64;
    c.says_8bit = transfer == TRANSFER_8BIT;
    return c;
}
