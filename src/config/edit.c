/* edit.c - keys entered in sendas.yaml, and their states changed, in the text as its owner wrote it.
 *
 * The tree knows where each value stands.  What is put in goes behind the last member of its list or mapping, in the
 * layout that the member has.  Whatever comes out is parsed again and compared: a layout that was misunderstood
 * is refused, not written. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { INSERTIONS_MAX = 4 };

/* `n` characters at `at` give way to `text`; in ascending order. */
struct insertion {
    size_t at, n;
    struct strbuf text;
};

struct edit {
    const struct source *source;
    struct insertion v[INSERTIONS_MAX];
    size_t n;
    struct err *err;
};

const char *config_key_state_name(enum config_key_state state)
{
    static const char *const names[] = {"active", "waiting", "retired"};
    return names[state];
}

void config_key_member(const struct config_key_change *change, struct strbuf *out)
{
    strbuf_addf(out, "{selector: %s, key: \"", change->selector);
    for (const char *p = change->path; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *p);
    }
    strbuf_add_str(out, "\"");
    if (change->state != CONFIG_KEY_ACTIVE)
        strbuf_addf(out, ", state: %s", config_key_state_name(change->state));
    strbuf_addf(out, ", since: %s}", change->since);
}

static int cannot(struct edit *e, const struct node *n, const char *what)
{
    return err_set(e->err, "%s:%u: %s", e->source->name, n == NULL ? 1 : n->line, what);
}

/* ---- places in the text ------------------------------------------------------------------------------- */

/* The octet at which character `index` begins. */
static size_t octet_of(struct slice text, size_t index)
{
    size_t at = 0;
    while (at < text.n && index > 0) {
        at++;
        while (at < text.n && ((unsigned char)text.p[at] & 0xC0) == 0x80)
            at++;
        index--;
    }
    return at;
}

static struct strbuf *insert(struct edit *e, size_t octet, size_t n)
{
    struct insertion *i = &e->v[e->n++];
    *i = (struct insertion){.at = octet, .n = n};
    return &i->text;
}

/* Behind the line in which `octet` stands, when only blanks or a comment follow there; -1 otherwise. */
static int line_end(struct slice text, size_t octet, size_t *ret)
{
    size_t at = octet;
    while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\t' || text.p[at] == '\r'))
        at++;
    if (at < text.n && text.p[at] == '#' && at > octet)
        at += slice_find(slice_skip(text, at), '\n');
    if (at < text.n && text.p[at] != '\n')
        return -1;
    *ret = at < text.n ? at + 1 : at;
    return 0;
}

/* The blanks before "- " in whose line character `index` stands; -1 when there is more. */
static int dash_indent(struct slice text, size_t index, size_t *ret)
{
    size_t end = octet_of(text, index), start = end;
    while (start > 0 && text.p[start - 1] != '\n')
        start--;
    size_t at = start;
    while (at < end && text.p[at] == ' ')
        at++;
    *ret = at - start;
    if (at == end || text.p[at] != '-')
        return -1;
    for (at++; at < end; at++)
        if (text.p[at] != ' ')
            return -1;
    return 0;
}

/* A line of its own behind `octet`'s: `indent` blanks, then what the caller adds, and a line end. */
static struct strbuf *insert_line(struct edit *e, const struct node *n, size_t indent)
{
    struct slice text = e->source->text;
    size_t at;

    if (line_end(text, octet_of(text, n->end), &at) < 0) {
        cannot(e, n, "something follows in the line");
        return NULL;
    }
    struct strbuf *b = insert(e, at, 0);
    if (at > 0 && text.p[at - 1] != '\n')
        strbuf_add_char(b, '\n');
    strbuf_addf(b, "%*s", (int)indent, "");
    return b;
}

/* ---- what is where -------------------------------------------------------------------------------------- */

static const struct node *member(const struct node *mapping, const char *key)
{
    for (const struct node *c = mapping == NULL ? NULL : mapping->first; c != NULL; c = c->next)
        if (c->key != NULL && strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

static const struct node *find_domain(const struct node *root, const char *name)
{
    const struct node *domains = member(root, "domains");
    for (const struct node *d = domains == NULL ? NULL : domains->first; d != NULL; d = d->next) {
        const struct node *n = member(d, "name");
        char ascii[DOMAIN_MAX + 1];
        if (n != NULL && n->text != NULL && domain_to_ascii(slice_of(n->text), ascii, NULL) == 0 &&
            strcmp(ascii, name) == 0)
            return d;
    }
    return NULL;
}

static const struct node *find_key(const struct node *dkim, const char *selector)
{
    for (const struct node *k = dkim == NULL ? NULL : dkim->first; k != NULL; k = k->next) {
        const struct node *n = member(k, "selector");
        if (n != NULL && n->text != NULL && strcasecmp(n->text, selector) == 0)
            return k;
    }
    return NULL;
}

/* ---- a key more ------------------------------------------------------------------------------------------- */

static int add_to_list(struct edit *e, const struct node *dkim, const struct config_key_change *change)
{
    struct slice text = e->source->text;
    size_t indent;

    if (dkim->flow && dkim->last == NULL) {
        config_key_member(change, insert(e, octet_of(text, dkim->start) + 1, 0));
    } else if (dkim->flow) {
        struct strbuf *b = insert(e, octet_of(text, dkim->last->end), 0);
        strbuf_add_str(b, ", ");
        config_key_member(change, b);
    } else {
        if (dkim->last == NULL || dash_indent(text, dkim->last->start, &indent) < 0)
            return cannot(e, dkim, "the list of keys is laid out in an unusual way");
        struct strbuf *b = insert_line(e, dkim->last, indent);
        if (b == NULL)
            return -1;
        strbuf_add_str(b, "- ");
        config_key_member(change, b);
        strbuf_add_char(b, '\n');
    }
    return 0;
}

/* A domain that has no dkim: yet. */
static int add_list(struct edit *e, const struct node *domain, const struct config_key_change *change)
{
    struct strbuf *b = domain->flow ? insert(e, octet_of(e->source->text, domain->last->end), 0)
                                    : insert_line(e, domain->last, domain->first->column);
    if (b == NULL)
        return -1;
    strbuf_add_str(b, domain->flow ? ", dkim: [" : "dkim: [");
    config_key_member(change, b);
    strbuf_add_str(b, domain->flow ? "]" : "]\n");
    return 0;
}

/* ---- another state ---------------------------------------------------------------------------------------- */

static int set_member(struct edit *e, const struct node *key, const char *name, const char *value)
{
    const struct node *old = member(key, name);
    struct slice text = e->source->text;

    if (old != NULL) {
        size_t start = octet_of(text, old->start);
        strbuf_add_str(insert(e, start, octet_of(text, old->end) - start), value);
    } else if (key->flow) {
        strbuf_addf(insert(e, octet_of(text, key->last->end), 0), ", %s: %s", name, value);
    } else {
        struct strbuf *b = insert_line(e, key->last, key->first->column);
        if (b == NULL)
            return -1;
        strbuf_addf(b, "%s: %s\n", name, value);
    }
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static int plan(struct edit *e, const struct config_key_change *change)
{
    const struct node *domain = find_domain(e->source->root, change->domain), *dkim = member(domain, "dkim");
    const struct node *key = find_key(dkim, change->selector);

    if (domain == NULL)
        return err_set(e->err, "%s has no domain %s", e->source->name, change->domain);
    if (change->path != NULL && key != NULL)
        return cannot(e, key, "the selector is there already");
    if (change->path != NULL)
        return dkim == NULL ? add_list(e, domain, change) : add_to_list(e, dkim, change);
    if (key == NULL)
        return err_set(e->err, "%s: domain %s has no selector %s", e->source->name, change->domain, change->selector);
    return set_member(e, key, "state", config_key_state_name(change->state)) < 0
               ? -1
               : set_member(e, key, "since", change->since);
}

static int by_place(const void *a, const void *b)
{
    const struct insertion *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void write_out(struct edit *e, struct strbuf *out)
{
    struct slice text = e->source->text;
    size_t at = 0;

    /* Two at the same place stay in their order: both are lines, or members, and either order would do. */
    if (e->n == 2 && e->v[0].at > e->v[1].at)
        qsort(e->v, e->n, sizeof(e->v[0]), by_place);
    for (size_t i = 0; i < e->n; i++) {
        strbuf_add_slice(out, slice_sub(text, at, e->v[i].at - at));
        strbuf_add_slice(out, strbuf_slice(&e->v[i].text));
        out->failed = out->failed || e->v[i].text.failed;
        at = e->v[i].at + e->v[i].n;
    }
    strbuf_add_slice(out, slice_skip(text, at));
}

int config_edit_text(struct slice text, const struct config_key_change *change, struct strbuf *out, struct err *err)
{
    struct source source;
    struct edit e = {.source = &source, .err = err};

    if (slice_starts(text, SLICE("\xEF\xBB\xBF")))
        return err_set(err, "the file begins with a byte order mark");
    if (source_parse(&source, text, "sendas.yaml", err) < 0)
        return -1;
    int rc = plan(&e, change);
    if (rc == 0)
        write_out(&e, out);
    for (size_t i = 0; i < e.n; i++)
        strbuf_free(&e.v[i].text);
    source_free(&source);
    return rc < 0 ? -1 : out->failed ? err_set(err, "out of memory") : 0;
}

static int print_text(const struct config *c, struct strbuf *out)
{
    char *p = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&p, &n);
    if (f == NULL)
        return -1;
    config_print(c, f);
    int rc = fclose(f) != 0 ? -1 : 0;
    if (rc == 0)
        strbuf_add(out, p, n);
    free(p);
    return out->failed ? -1 : rc;
}

/* Does `after` say what `before` said, and the change?  `after` is changed back for it. */
static bool says_the_same(struct config *before, struct config *after, const struct config_key_change *change)
{
    struct config_domain *b = (struct config_domain *)(uintptr_t)config_find_domain(before, slice_of(change->domain));
    struct config_domain *a = (struct config_domain *)(uintptr_t)config_find_domain(after, slice_of(change->domain));
    struct strbuf x = STRBUF_INIT, y = STRBUF_INIT;
    size_t at = 0;

    if (a == NULL || b == NULL || a->n_keys != b->n_keys + (change->path != NULL))
        return false;
    while (at < a->n_keys && strcasecmp(a->keys[at].selector, change->selector) != 0)
        at++;
    if (at == a->n_keys || a->keys[at].state != change->state || strcmp(a->keys[at].since, change->since) != 0 ||
        (change->path != NULL && (at != b->n_keys || strcmp(a->keys[at].path, change->path) != 0)))
        return false;
    if (change->path != NULL) {
        a->n_keys--;
    } else {
        a->keys[at].state = b->keys[at].state;
        a->keys[at].since = b->keys[at].since;
    }
    bool same =
        print_text(before, &x) == 0 && print_text(after, &y) == 0 && slice_eq(strbuf_slice(&x), strbuf_slice(&y));
    strbuf_free(&x);
    strbuf_free(&y);
    return same;
}

/* One change; *text becomes the new text.  0, 1 when the layout is the reason that it cannot be made, or -1. */
static int edit_once(const char *path, struct strbuf *text, const struct config_key_change *change, struct err *err)
{
    struct strbuf fresh = STRBUF_INIT;
    struct source source, again;
    struct config *before = NULL, *after = NULL;
    struct err why = {""};

    if (config_parse(strbuf_slice(text), path, &source, &before, err) < 0)
        return -1;
    source_free(&source);
    int rc = config_edit_text(strbuf_slice(text), change, &fresh, err) < 0 ? 1 : 0;
    if (rc == 0 && config_parse(strbuf_slice(&fresh), path, &again, &after, &why) < 0) {
        err_set(err, "its layout is not understood (%s)", why.text);
        rc = 1;
    }
    if (after != NULL)
        source_free(&again);
    if (rc == 0 && !says_the_same(before, after, change)) {
        err_set(err, "its layout is not understood");
        rc = 1;
    }
    config_free(&before);
    config_free(&after);
    if (rc == 0) {
        strbuf_free(text);
        *text = fresh;
    } else {
        strbuf_free(&fresh);
    }
    return rc;
}

int config_edit(const char *path, const struct config_key_change *v, size_t n, bool *editable, struct err *err)
{
    struct strbuf text = STRBUF_INIT;

    *editable = true;
    int rc = file_read(path, CONFIG_TEXT_MAX, false, &text, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = edit_once(path, &text, &v[i], err);
    *editable = rc != 1;
    if (rc == 0)
        rc = file_write(path, strbuf_slice(&text), 0644, err);
    strbuf_free(&text);
    return rc == 0 ? 0 : -1;
}
