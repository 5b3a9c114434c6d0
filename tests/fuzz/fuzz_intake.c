/* A message from its first octet to its signed header: any octets in any chunking give a refusal, or a header that
 * reads as what was sent, signed, with nothing in it that must not leave. */
#include "../../src/intake/internal.h"
#include "../dkim/rfc8463.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config_domain domains[] = {{.name = (char *)"example.com"}};
static const struct config config = {.hostname = (char *)"mail.example.com", .domains = domains, .n_domains = 1};

static struct intake_content receive(struct slice bytes, size_t step)
{
    struct intake_content c;
    if (intake_content_init(&c, "/tmp", 1024 * 1024) < 0)
        abort();
    for (size_t i = 0; i < bytes.n; i += step)
        intake_content_add(&c, slice_sub(bytes, i, step));
    intake_content_end(&c);
    return c;
}

static void check_same(const struct intake_content *a, const struct intake_content *b)
{
    if (a->failure.code != b->failure.code) /* of several failures in a line another may be named first */
        abort();
    if (a->failure.code != 0)
        return;
    if (!slice_eq(strbuf_slice(&a->header), strbuf_slice(&b->header)) || a->eightbit != b->eightbit ||
        spool_size(a->body) != spool_size(b->body) || memcmp(a->body_hash, b->body_hash, DKIM_HASH_SIZE) != 0)
        abort();
}

static void check_signature(const struct intake_content *c, const struct field_list *fields)
{
    static struct dkim_key *key;
    struct strbuf head = STRBUF_INIT;
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct field_list parsed;
    if (key == NULL && dkim_key_parse(slice_of(rfc8463_ed25519_pem), "rfc", "example.com", "s1", &key, NULL) < 0)
        abort();
    bool from = fields_count(fields, SLICE("From")) > 0;
    if ((intake_sign(&key, 1, fields, c->body_hash, 0, &head, NULL) == 0) != from)
        abort();
    if (from && (fields_parse(&a, strbuf_slice(&head), &parsed, NULL) < 0 || parsed.n != 1))
        abort();
    strbuf_free(&head);
    arena_free(&a);
}

static void check_fixup(const struct intake_content *c)
{
    static const char *const never[] = {"Bcc", "Resent-Bcc", "Return-Path"};
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct strbuf out = STRBUF_INIT, changes = STRBUF_INIT;
    struct field_list fields;
    struct smtp_verdict v = {0};
    struct intake_fixup req = {&config, SLICE("Received: by us\r\n"), 0};
    if (intake_fixup(&a, &req, strbuf_slice(&c->header), &out, &fields, &changes, &v) < 0) {
        if (v.code < 400 || v.text[0] == '\0')
            abort();
    } else {
        for (size_t i = 0; i < ARRAY_LEN(never); i++)
            if (fields_count(&fields, slice_of(never[i])) > 0)
                abort();
        if (fields_count(&fields, SLICE("Date")) == 0 || fields_count(&fields, SLICE("Message-ID")) == 0)
            abort();
        check_signature(c, &fields);
    }
    strbuf_free(&out);
    strbuf_free(&changes);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice bytes = slice_from(data + 1, size - 1);
    struct intake_content whole = receive(bytes, bytes.n + 1), cut = receive(bytes, 1 + data[0] % 8);
    check_same(&whole, &cut);
    if (whole.failure.code == 0)
        check_fixup(&whole);
    intake_content_free(&whole);
    intake_content_free(&cut);
    return 0;
}
