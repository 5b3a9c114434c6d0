/* shape.c - does what is written have the shape of the schema?  Then libcyaml loads it.
 *
 * libcyaml checks the shape too, but takes a repeated key and says where a mistake is only in its log.  Walking its own
 * schema here gives every such mistake one good sentence, and no second list of keys. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct place {
    const struct source *s;
    struct err *err;
    char key[CONFIG_KEY_MAX]; /* of the node being checked, as "domains[0].dkim" */
};

static int check_value(struct place *at, const struct node *n, const cyaml_schema_value_t *v);

static int fail_kind(const struct place *at, const struct node *n, const char *expected)
{
    static const char *const found[] = {[NODE_MAPPING] = "a mapping", [NODE_SEQUENCE] = "a list"};
    if (n->kind == NODE_SCALAR)
        return source_mismatch(at->s, at->err, at->key, n->text, "%s", expected);
    return source_fail(at->s, at->err, at->key, "found %s, expected %s", found[n->kind], expected);
}

/* Goes down into `child` and comes back. */
static int check_child(struct place *at, const struct node *child, const char *step, const cyaml_schema_value_t *v)
{
    size_t n = strlen(at->key);
    snprintf(at->key + n, sizeof(at->key) - n, "%s%s", n > 0 && step[0] != '[' ? "." : "", step);
    int rc = check_value(at, child, v);
    at->key[n] = '\0';
    return rc;
}

static const cyaml_schema_field_t *field_find(const cyaml_schema_field_t *fields, const char *key)
{
    for (; fields->key != NULL; fields++)
        if (strcmp(fields->key, key) == 0)
            return fields;
    return NULL;
}

static const struct node *node_find(const struct node *n, const char *key)
{
    for (n = n->first; n != NULL; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

static int fail_key(const struct place *at, const struct node *n, const cyaml_schema_field_t *fields)
{
    struct strbuf names = STRBUF_INIT;
    for (; fields->key != NULL; fields++)
        strbuf_addf(&names, "%s%s", names.n == 0 ? "" : ", ", fields->key);
    err_set(at->err, "%s:%u: %s%sfound the unknown key \"%.80s\", expected one of: %s", at->s->name, n->line, at->key,
            at->key[0] == '\0' ? "" : ": ", n->key, strbuf_str(&names));
    strbuf_free(&names);
    return -1;
}

static int check_mapping(struct place *at, const struct node *n, const cyaml_schema_field_t *fields)
{
    for (const struct node *c = n->first; c != NULL; c = c->next) {
        const cyaml_schema_field_t *field = field_find(fields, c->key);
        if (field == NULL)
            return fail_key(at, c, fields);
        const struct node *first = node_find(n, c->key);
        if (first != c)
            return err_set(at->err, "%s:%u: %s%sfound \"%s\" again, expected it once (it stands in line %u)",
                           at->s->name, c->line, at->key, at->key[0] == '\0' ? "" : ": ", c->key, first->line);
        if (check_child(at, c, field->key, &field->value) < 0)
            return -1;
    }
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++)
        if ((f->value.flags & CYAML_FLAG_OPTIONAL) == 0 && node_find(n, f->key) == NULL)
            return source_fail(at->s, at->err, at->key, "found no key \"%s\", expected one", f->key);
    return 0;
}

static int check_sequence(struct place *at, const struct node *n, const cyaml_schema_value_t *v)
{
    unsigned index = 0;
    if (n->n < v->sequence.min || n->n > v->sequence.max)
        return source_fail(at->s, at->err, at->key, "found a list of %u, expected %s%u", n->n,
                           n->n < v->sequence.min ? "at least " : "at most ",
                           n->n < v->sequence.min ? v->sequence.min : v->sequence.max);
    for (const struct node *c = n->first; c != NULL; c = c->next) {
        char step[24];
        snprintf(step, sizeof(step), "[%u]", index++);
        if (check_child(at, c, step, v->sequence.entry) < 0)
            return -1;
    }
    return 0;
}

/* What libcyaml takes for NULL (CYAML_FLAG_POINTER_NULL_STR). */
static bool is_null(const struct node *n)
{
    static const char *const nulls[] = {"", "null", "Null", "NULL", "~"};
    for (size_t i = 0; n->kind == NODE_SCALAR && i < ARRAY_LEN(nulls); i++)
        if (strcmp(n->text, nulls[i]) == 0)
            return true;
    return false;
}

static int check_value(struct place *at, const struct node *n, const cyaml_schema_value_t *v)
{
    if ((v->flags & CYAML_FLAG_POINTER_NULL_STR) == CYAML_FLAG_POINTER_NULL_STR && is_null(n))
        return 0;
    switch (v->type) {
    case CYAML_MAPPING:
        return n->kind == NODE_MAPPING ? check_mapping(at, n, v->mapping.fields)
                                       : fail_kind(at, n, "a mapping, \"key: value\"");
    case CYAML_SEQUENCE:
        return n->kind == NODE_SEQUENCE ? check_sequence(at, n, v) : fail_kind(at, n, "a list");
    default: /* the schemas' scalars are all text */
        return n->kind == NODE_SCALAR ? 0 : fail_kind(at, n, "one value");
    }
}

int source_check(const struct source *s, const cyaml_schema_value_t *schema, struct err *err)
{
    struct place at = {.s = s, .err = err};
    if (s->root == NULL)
        return source_fail(s, err, "", "found nothing, expected \"%s:\" and more", schema->mapping.fields[0].key);
    return check_value(&at, s->root, schema);
}

/* ---- libcyaml ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 0))) static void collect_log(cyaml_log_t level, void *ctx, const char *format,
                                                              va_list args)
{
    char line[256];
    (void)level;
    vsnprintf(line, sizeof(line), format, args);
    strbuf_add_slice(ctx, slice_trim(slice_of(line)));
    strbuf_add_str(ctx, "; ");
}

static const cyaml_config_t cyaml_base = {
    .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

int source_load(const struct source *s, const cyaml_schema_value_t *schema, void **raw, struct err *err)
{
    struct strbuf said = {.max = 300};
    cyaml_config_t config = cyaml_base;
    config.log_fn = collect_log;
    config.log_ctx = &said;
    *raw = NULL;
    cyaml_err_t rc = cyaml_load_data((const uint8_t *)s->text.p, s->text.n, &config, schema, raw, NULL);
    if (rc != CYAML_OK)
        err_set(err, "%s: %s: %s", s->name, cyaml_strerror(rc), strbuf_str(&said));
    strbuf_free(&said);
    return rc == CYAML_OK ? 0 : -1;
}

void source_unload(const cyaml_schema_value_t *schema, void *raw)
{
    cyaml_free(&cyaml_base, schema, raw, 0);
}
