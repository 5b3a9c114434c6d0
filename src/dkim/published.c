/* Is a key's record right?  Both records, the published one and the key's own, are read as a verifier reads them. */
#include "verify.h"

enum { RECORD_MEMORY_MAX = 256 * 1024 };

static bool is_revoked(struct slice txt)
{
    struct dkim_tags tags;
    const struct dkim_tag *p = dkim_tags_parse(txt, &tags, NULL) < 0 ? NULL : dkim_tags_get(&tags, SLICE("p"));
    return p != NULL && p->value.n == 0;
}

static enum dkim_published compare(const struct dkim_record *published, const struct dkim_record *own)
{
    if (published->algorithm != own->algorithm || EVP_PKEY_eq(published->key, own->key) != 1)
        return DKIM_PUBLISHED_ANOTHER;
    return published->testing ? DKIM_PUBLISHED_TESTING : DKIM_PUBLISHED_RIGHT;
}

enum dkim_published dkim_key_published(const struct dkim_key *k, struct slice txt, struct err *why)
{
    struct arena memory = ARENA_INIT(RECORD_MEMORY_MAX);
    struct strbuf text = STRBUF_INIT;
    struct dkim_record published = {.key = NULL}, own = {.key = NULL};
    enum dkim_published result = DKIM_PUBLISHED_UNUSABLE;

    dkim_key_record(k, &text);
    if (is_revoked(txt)) {
        result = DKIM_PUBLISHED_REVOKED;
    } else if (text.failed || dkim_record_parse(&memory, strbuf_slice(&text), 0, &own, NULL) < 0) {
        err_set(why, "out of memory");
    } else {
        int rc = dkim_record_parse(&memory, txt, DKIM_VERIFY_BITS_MIN, &published, why);
        if (rc == MESSAGE_NO_MEMORY)
            err_set(why, "out of memory");
        if (rc == 0)
            result = compare(&published, &own);
    }
    dkim_record_free(&published);
    dkim_record_free(&own);
    strbuf_free(&text);
    arena_free(&memory);
    return result;
}
