/* keys.json. */
#include "sendas/keys.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 4 * 1024 * 1024, ROWS_MAX = 20000 };

void keys_memory_path(const char *queue_path, struct strbuf *out)
{
    file_beside(queue_path, "keys.json", out);
}

void keys_memory_free(struct keys_memory *m)
{
    free(m->v);
    *m = (struct keys_memory){0};
}

/* SHA-256 of the record: what is kept says nothing of the private key. */
static int record_hash(const struct dkim_key *key, char out[KEYS_RECORD_HASH_SIZE])
{
    struct strbuf record = STRBUF_INIT, text = STRBUF_INIT;
    unsigned char digest[DKIM_HASH_SIZE];

    dkim_key_record(key, &record);
    int rc = record.failed || EVP_Digest(record.p, record.n, digest, NULL, EVP_sha256(), NULL) != 1 ? -1 : 0;
    if (rc == 0)
        base64_encode(&text, slice_from(digest, sizeof(digest)));
    snprintf(out, KEYS_RECORD_HASH_SIZE, "%s", strbuf_str(&text));
    rc = text.failed ? -1 : rc;
    strbuf_free(&record);
    strbuf_free(&text);
    return rc;
}

static struct keys_row *find(const struct keys_memory *m, const struct dkim_key *key, const char *record)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].record, record) == 0 && strcasecmp(m->v[i].domain, dkim_key_domain(key)) == 0 &&
            strcasecmp(m->v[i].selector, dkim_key_selector(key)) == 0)
            return &m->v[i];
    return NULL;
}

struct keys_row *keys_memory_find(const struct keys_memory *m, const struct dkim_key *key)
{
    char record[KEYS_RECORD_HASH_SIZE];
    return record_hash(key, record) < 0 ? NULL : find(m, key, record);
}

static struct keys_row *row_new(struct keys_memory *m)
{
    if (m->n == m->cap) {
        size_t cap = m->cap == 0 ? 8 : 2 * m->cap;
        struct keys_row *v = m->n >= ROWS_MAX ? NULL : reallocarray(m->v, cap, sizeof(*v));
        if (v == NULL)
            return NULL;
        m->v = v;
        m->cap = cap;
    }
    struct keys_row *row = &m->v[m->n++];
    *row = (struct keys_row){.looked_s = 0};
    return row;
}

struct keys_row *keys_memory_get(struct keys_memory *m, const struct dkim_key *key)
{
    char record[KEYS_RECORD_HASH_SIZE];

    if (record_hash(key, record) < 0)
        return NULL;
    struct keys_row *row = find(m, key, record);
    if (row == NULL && (row = row_new(m)) != NULL) {
        snprintf(row->domain, sizeof(row->domain), "%s", dkim_key_domain(key));
        snprintf(row->selector, sizeof(row->selector), "%s", dkim_key_selector(key));
        memcpy(row->record, record, sizeof(record));
    }
    return row;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static int read_row(const json_t *o, struct keys_row *row)
{
    const char *domain, *selector, *record, *found, *reason;
    json_int_t looked, published, servers, showing;

    if (json_unpack((json_t *)(uintptr_t)o, "{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:s}", "domain", &domain,
                    "selector", &selector, "record", &record, "looked", &looked, "published", &published, "found",
                    &found, "servers", &servers, "showing", &showing, "reason", &reason) < 0)
        return -1;
    if (strlen(domain) > DOMAIN_MAX || strlen(selector) > DOMAIN_MAX || strlen(record) >= sizeof(row->record) ||
        looked < 0 || published < 0 || servers < 0 || servers > 1000 || showing < 0 || showing > 1000 ||
        keys_found_parse(found, &row->finding.found) < 0)
        return -1;
    snprintf(row->domain, sizeof(row->domain), "%s", domain);
    snprintf(row->selector, sizeof(row->selector), "%s", selector);
    snprintf(row->record, sizeof(row->record), "%s", record);
    snprintf(row->finding.reason, sizeof(row->finding.reason), "%s", reason);
    row->looked_s = looked;
    row->published_s = published;
    row->finding.servers = (unsigned)servers;
    row->finding.showing = (unsigned)showing;
    return 0;
}

int keys_memory_load(const char *path, struct keys_memory *ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    json_error_t why;
    int rc = 0;

    *ret = (struct keys_memory){0};
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (file_read(path, FILE_MAX, false, &text, err) < 0)
        return -1;
    json_t *document = json_loadb(text.p == NULL ? "" : text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    const json_t *keys = json_object_get(document, "keys");
    strbuf_free(&text);
    if (!json_is_array(keys))
        rc = -1;
    for (size_t i = 0; rc == 0 && i < json_array_size(keys); i++) {
        struct keys_row *row = row_new(ret);
        rc = row == NULL ? -1 : read_row(json_array_get(keys, i), row);
    }
    json_decref(document);
    if (rc == 0)
        return 0;
    keys_memory_free(ret);
    return err_set(err, "%s is damaged: keys that wait are looked up again", path);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static json_t *row_json(const struct keys_row *r)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:i, s:i, s:s}", "domain", r->domain, "selector", r->selector,
                     "record", r->record, "looked", (json_int_t)r->looked_s, "published", (json_int_t)r->published_s,
                     "found", keys_found_name(r->finding.found), "servers", (int)r->finding.servers, "showing",
                     (int)r->finding.showing, "reason", r->finding.reason);
}

int keys_memory_text(const struct keys_memory *m, struct strbuf *out)
{
    json_t *keys = json_array(), *document = json_object();
    int rc = document == NULL || keys == NULL ? -1 : 0;

    for (size_t i = 0; rc == 0 && i < m->n; i++)
        rc = json_array_append_new(keys, row_json(&m->v[i]));
    if (rc == 0)
        rc = json_object_set(document, "keys", keys);
    char *text = rc < 0 ? NULL : json_dumps(document, JSON_INDENT(1));
    if (text != NULL) {
        strbuf_add_str(out, text);
        strbuf_add_char(out, '\n');
    }
    rc = text == NULL || out->failed ? -1 : 0;
    free(text);
    json_decref(keys);
    json_decref(document);
    return rc;
}
