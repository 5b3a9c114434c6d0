/* The DKIM-Signature field (RFC 6376 3.5, 3.7, 5). */
#include "internal.h"

#include <inttypes.h>

/* ---- what is signed -------------------------------------------------------------------------- */

/* Adds the fields that `rule` names to `canon`, and their names to the list for h=.
 * RFC 6376 5.4.2: of several fields with one name the last is signed first.
 * RFC 6376 5.4: a name beyond the last field signs that there is no other. */
static void select_fields(const struct field_list *fields, const struct dkim_field_rule *rule, struct strbuf *canon,
                          struct strbuf *names)
{
    size_t named = rule->oversign ? 1 : 0;
    for (size_t i = fields->n; i-- > 0;) {
        if (slice_eq_icase(fields->v[i].name, rule->name)) {
            dkim_relaxed_field(canon, &fields->v[i]);
            named++;
        }
    }
    for (; named > 0; named--) {
        if (names->n > 0)
            strbuf_add_char(names, ':');
        strbuf_add_slice(names, rule->name);
    }
}

/* ---- a field that folds itself --------------------------------------------------------------- */

enum { FOLD_COLUMNS = 76 }; /* RFC 5322 2.1.1 asks for 78 */

struct folder {
    struct strbuf text;
    size_t column;
};

static void fold_line(struct folder *f)
{
    strbuf_add_str(&f->text, "\r\n ");
    f->column = 1;
}

/* Room for `n` octets: on this line, or else on the next.  FWS may stand wherever this is used (RFC 6376 3.2, 3.5). */
static void fold_reserve(struct folder *f, size_t n)
{
    if (f->column > 1 && f->column + n > FOLD_COLUMNS)
        fold_line(f);
}

static void fold_put(struct folder *f, struct slice s)
{
    strbuf_add_slice(&f->text, s);
    f->column += s.n;
}

static void fold_tag(struct folder *f, const char *name, const char *value)
{
    struct slice parts[] = {SLICE(" "), slice_of(name), SLICE("="), slice_of(value), SLICE(";")};
    size_t n = parts[1].n + parts[3].n + 2;
    fold_reserve(f, n + 1);
    for (size_t i = f->column > 1 ? 0 : 1; i < ARRAY_LEN(parts); i++)
        fold_put(f, parts[i]);
}

/* h=: cut behind any colon. */
static void fold_names(struct folder *f, struct slice names)
{
    struct slice name;
    fold_line(f);
    fold_put(f, SLICE("h="));
    while (names.n > 0) {
        names = slice_cut(names, ':', &name);
        fold_reserve(f, name.n + 1);
        fold_put(f, name);
        fold_put(f, names.n > 0 ? SLICE(":") : SLICE(";"));
    }
}

/* Base64 may be cut anywhere. */
static void fold_base64(struct folder *f, struct slice text)
{
    while (text.n > 0) {
        fold_reserve(f, 1);
        struct slice piece = slice_sub(text, 0, FOLD_COLUMNS - f->column);
        fold_put(f, piece);
        text = slice_skip(text, piece.n);
    }
}

/* ---- the field ------------------------------------------------------------------------------- */

static void write_tags(struct folder *f, const struct dkim_key *key, struct slice names, int64_t now,
                       const unsigned char body_hash[DKIM_HASH_SIZE])
{
    struct strbuf hash = STRBUF_INIT;
    char when[24];
    snprintf(when, sizeof(when), "%" PRId64, now);
    base64_encode(&hash, slice_from(body_hash, DKIM_HASH_SIZE));
    fold_put(f, SLICE("DKIM-Signature:"));
    fold_tag(f, "v", "1");
    fold_tag(f, "a", dkim_algorithm_name(dkim_key_algorithm(key)));
    fold_tag(f, "c", "relaxed/relaxed");
    fold_tag(f, "d", dkim_key_domain(key));
    fold_tag(f, "s", dkim_key_selector(key));
    fold_tag(f, "t", when);
    fold_names(f, names);
    fold_tag(f, "bh", strbuf_str(&hash));
    /* The value will follow at once: whatever a verifier takes out with it, what is left is what was signed. */
    fold_line(f);
    fold_put(f, SLICE("b="));
    f->text.failed = f->text.failed || hash.failed;
    strbuf_free(&hash);
}

/* The field with b= still empty is signed too, last and without its CRLF (RFC 6376 3.7). */
static void add_own_field(struct strbuf *canon, struct slice text)
{
    struct field own = {.raw = text};
    own.value = slice_cut(text, ':', &own.name);
    dkim_relaxed_field(canon, &own);
    if (!canon->failed)
        strbuf_truncate(canon, canon->n - 2);
}

static int append_field(struct strbuf *out, struct folder *f, struct slice signature, struct err *err)
{
    struct strbuf encoded = STRBUF_INIT;
    size_t before = out->n;
    base64_encode(&encoded, signature);
    fold_base64(f, strbuf_slice(&encoded));
    strbuf_add_str(&f->text, "\r\n");
    bool failed = f->text.failed || encoded.failed;
    strbuf_free(&encoded);
    if (!failed)
        strbuf_add_slice(out, strbuf_slice(&f->text));
    if (!failed && !out->failed)
        return 0;
    strbuf_truncate(out, before);
    return err_set(err, "out of memory");
}

int dkim_sign(const struct dkim_key *key, const struct field_list *fields,
              const unsigned char body_hash[DKIM_HASH_SIZE], int64_t now, struct strbuf *out, struct err *err)
{
    if (fields_count(fields, SLICE("From")) == 0)
        return err_set(err, "the message has no From field"); /* RFC 6376 5.4: From must be signed */
    struct strbuf canon = STRBUF_INIT, names = STRBUF_INIT, signature = STRBUF_INIT;
    struct folder folder = {STRBUF_INIT, 0};
    for (size_t i = 0; i < dkim_field_rules_count; i++)
        select_fields(fields, &dkim_field_rules[i], &canon, &names);
    write_tags(&folder, key, strbuf_slice(&names), now, body_hash);
    add_own_field(&canon, strbuf_slice(&folder.text));
    int status = canon.failed || names.failed || folder.text.failed ? err_set(err, "out of memory") : 0;
    if (status == 0)
        status = dkim_key_sign(key, strbuf_slice(&canon), &signature, err);
    if (status == 0)
        status = append_field(out, &folder, strbuf_slice(&signature), err);
    strbuf_free(&canon);
    strbuf_free(&names);
    strbuf_free(&signature);
    strbuf_free(&folder.text);
    return status;
}
