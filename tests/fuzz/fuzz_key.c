/* Private keys and selectors as they stand in files: anything is a key or a clear error; what is a key signs and has a
 * record. */
#include "../../src/dkim/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct dkim_key *key)
{
    struct strbuf record = STRBUF_INIT, signature = STRBUF_INIT;
    dkim_key_record(key, &record);
    if (record.failed || dkim_key_sign(key, SLICE("from:a@b\r\n"), &signature, NULL) < 0)
        abort();
    strbuf_free(&record);
    strbuf_free(&signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dkim_key *key = NULL;
    struct err err = {""};
    if (dkim_key_parse_bits(slice_from(data, size), "fuzz", "example.com", "s1", 512, &key, &err) == 0)
        use(key);
    else if (key != NULL || err.text[0] == '\0')
        abort();
    dkim_key_free(&key);

    char selector[300];
    size_t n = size < sizeof(selector) - 1 ? size : sizeof(selector) - 1;
    memcpy(selector, data, n);
    selector[n] = '\0';
    if (dkim_selector_check(selector, &err) == 0 && strpbrk(selector, " \t\r\n;=") != NULL)
        abort();
    return 0;
}
