/* The test suite of RFC 7208 (openspf.org), where it is at hand: every case must give a result that the suite allows,
 * and its explanation. */
#include "zone.h"

#include "sendas/align.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { ROWS_MAX = 512, FILE_MAX = 1024 * 1024 };

struct suite {
    yaml_document_t *doc;
    struct arena arena;
    struct zone_row rows[ROWS_MAX];
    size_t n_rows;
    unsigned cases, explanations, failed;
};

static struct slice corpus_path(struct arena *a)
{
    const char *folder = getenv("SENDAS_CORPORA");
    struct strbuf path = STRBUF_INIT;
    strbuf_addf(&path, "%s/spf/rfc7208-tests.yml", folder != NULL ? folder : "../shared/corpora");
    struct slice copy = slice_of(arena_strdup(a, strbuf_slice(&path)));
    strbuf_free(&path);
    return copy;
}

/* ---- YAML ---------------------------------------------------------------------------------------------------- */

static struct slice scalar(const yaml_node_t *node)
{
    if (node == NULL || node->type != YAML_SCALAR_NODE)
        return (struct slice){0};
    return slice_from(node->data.scalar.value, node->data.scalar.length);
}

static yaml_node_t *child(struct suite *s, const yaml_node_t *map, const char *key)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (slice_eq(scalar(yaml_document_get_node(s->doc, p->key)), slice_of(key)))
            return yaml_document_get_node(s->doc, p->value);
    return NULL;
}

/* The index-th member of a sequence; of a scalar, it is the only one.  NULL: there are no more. */
static yaml_node_t *member(struct suite *s, yaml_node_t *node, size_t index)
{
    if (node == NULL || node->type == YAML_MAPPING_NODE)
        return NULL;
    if (node->type == YAML_SCALAR_NODE)
        return index == 0 ? node : NULL;
    yaml_node_item_t *item = node->data.sequence.items.start + index;
    return item < node->data.sequence.items.top ? yaml_document_get_node(s->doc, *item) : NULL;
}

/* ---- the zone --------------------------------------------------------------------------------------------------- */

static struct slice without_dot(struct slice name)
{
    return name.n > 0 && name.p[name.n - 1] == '.' ? slice_sub(name, 0, name.n - 1) : name;
}

static void add_row(struct suite *s, struct slice name, unsigned type, struct slice text)
{
    assert(s->n_rows < ROWS_MAX);
    /* a NUL stands in some texts, so its length is given; one octet more keeps "" from meaning "up to the NUL" */
    char *copy = arena_alloc(&s->arena, text.n + 1);
    assert(copy != NULL);
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    s->rows[s->n_rows++] = (struct zone_row){arena_strdup(&s->arena, without_dot(name)), type, copy, text.n};
}

/* TXT and SPF: the strings joined.  MX: the second member is the name. */
static void add_record(struct suite *s, struct slice name, struct slice type, yaml_node_t *value)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"A", ZONE_A},     {"AAAA", ZONE_AAAA}, {"PTR", ZONE_PTR},    {"MX", ZONE_MX},
                 {"TXT", ZONE_TXT}, {"SPF", ZONE_TXT},   {"CNAME", ZONE_CNAME}};
    struct strbuf text = STRBUF_INIT;
    bool names = slice_eq(type, SLICE("PTR")) || slice_eq(type, SLICE("CNAME")) || slice_eq(type, SLICE("MX"));
    yaml_node_t *part;
    for (size_t i = slice_eq(type, SLICE("MX")) ? 1 : 0; (part = member(s, value, i)) != NULL; i++)
        strbuf_add_slice(&text, scalar(part));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (slice_eq(type, slice_of(types[i].name)))
            add_row(s, name, types[i].type, names ? without_dot(strbuf_slice(&text)) : strbuf_slice(&text));
    strbuf_free(&text);
}

/* One name: a sequence of { TYPE: value } and "TIMEOUT".  Records of the obsolete type SPF stand for TXT records where
 * the name has no TXT of its own; "TXT: NONE" says that it has none. */
static void add_name(struct suite *s, struct slice name, yaml_node_t *records)
{
    yaml_node_t *item;
    bool has_txt = false;
    for (size_t i = 0; (item = member(s, records, i)) != NULL; i++)
        has_txt = has_txt || child(s, item, "TXT") != NULL;
    for (size_t i = 0; (item = member(s, records, i)) != NULL; i++) {
        if (item->type == YAML_SCALAR_NODE) {
            assert(slice_eq(scalar(item), SLICE("TIMEOUT")));
            add_row(s, name, ZONE_TEMPFAIL, SLICE(""));
            continue;
        }
        yaml_node_pair_t *p = item->data.mapping.pairs.start;
        struct slice type = scalar(yaml_document_get_node(s->doc, p->key));
        yaml_node_t *value = yaml_document_get_node(s->doc, p->value);
        bool none = slice_eq(type, SLICE("TXT")) && slice_eq(scalar(value), SLICE("NONE"));
        if (!none && !(has_txt && slice_eq(type, SLICE("SPF"))))
            add_record(s, name, type, value);
    }
}

/* ---- the cases ------------------------------------------------------------------------------- */

static bool is_allowed(struct suite *s, yaml_node_t *results, const char *got)
{
    yaml_node_t *one;
    for (size_t i = 0; (one = member(s, results, i)) != NULL; i++)
        if (slice_eq(scalar(one), slice_of(got)))
            return true;
    return false;
}

static void run_case(struct suite *s, struct slice name, yaml_node_t *map)
{
    struct arena a = ARENA_INIT(64 * 1024 * 1024);
    struct zone zone = {.rows = s->rows, .n = s->n_rows};
    struct lookup dns = {zone_query, &zone};
    struct spf_verdict v;
    struct spf_request req = {
        .ip = scalar(child(s, map, "host")),
        .sender = scalar(child(s, map, "mailfrom")),
        .helo = scalar(child(s, map, "helo")),
    };
    yaml_node_t *explanation = child(s, map, "explanation");
    struct slice want = scalar(explanation);
    spf_check(&a, &dns, &req, &v);
    bool ok = is_allowed(s, child(s, map, "result"), spf_result_name(v.result));
    if (explanation != NULL) {
        s->explanations++;
        ok = ok && slice_eq(v.explanation, slice_eq(want, SLICE("DEFAULT")) ? SLICE("") : want);
    }
    ok = ok && v.why.n > 0 && v.why.p[v.why.n - 1] != '.';
    s->cases++;
    s->failed += !ok;
    printf("%s %.*s: %s, \"%.*s\", %.*s\n", ok ? "ok" : "FAIL", SLICE_ARG(name), spf_result_name(v.result),
           SLICE_ARG(v.explanation), SLICE_ARG(v.why));
    strbuf_free(&zone.asked);
    arena_free(&a);
}

static void run_document(struct suite *s)
{
    yaml_node_t *root = yaml_document_get_root_node(s->doc);
    yaml_node_t *zone = child(s, root, "zonedata"), *tests = child(s, root, "tests");
    assert(zone != NULL && tests != NULL);
    s->n_rows = 0;
    for (yaml_node_pair_t *p = zone->data.mapping.pairs.start; p < zone->data.mapping.pairs.top; p++)
        add_name(s, scalar(yaml_document_get_node(s->doc, p->key)), yaml_document_get_node(s->doc, p->value));
    for (yaml_node_pair_t *p = tests->data.mapping.pairs.start; p < tests->data.mapping.pairs.top; p++)
        run_case(s, scalar(yaml_document_get_node(s->doc, p->key)), yaml_document_get_node(s->doc, p->value));
}

static void run_suite(struct suite *s, struct slice text)
{
    yaml_parser_t parser;
    int ok = yaml_parser_initialize(&parser);
    assert(ok);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    for (;;) {
        yaml_document_t doc;
        ok = yaml_parser_load(&parser, &doc);
        assert(ok);
        bool more = yaml_document_get_root_node(&doc) != NULL;
        s->doc = &doc;
        if (more)
            run_document(s);
        yaml_document_delete(&doc);
        if (!more)
            break;
    }
    yaml_parser_delete(&parser);
}

int main(void)
{
    static struct suite s;
    struct strbuf text = STRBUF_INIT;
    struct err err;
    s.arena = ARENA_INIT(64 * 1024 * 1024);
    struct slice path = corpus_path(&s.arena);
    if (file_read(path.p, FILE_MAX, false, &text, &err) < 0) {
        printf("skipped, the RFC 7208 suite is not there: %s\n", err.text);
        arena_free(&s.arena);
        return 77;
    }
    run_suite(&s, strbuf_slice(&text));
    strbuf_free(&text);
    arena_free(&s.arena);
    printf("%u cases of the RFC 7208 suite, %u with an explanation: %u failed\n", s.cases, s.explanations, s.failed);
    return s.failed == 0 && s.cases >= 200 ? 0 : 1;
}
