/* Any octets as a domain name: refused, or a name that is itself by the same rules. */
#include "sendas/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_name(const char *name)
{
    size_t label = 0;
    require(strlen(name) > 0 && strlen(name) <= DOMAIN_MAX);
    for (const char *p = name;; p++) {
        if (*p == '.' || *p == '\0') {
            require(label > 0 && label <= 63);
            label = 0;
            if (*p == '\0')
                return;
            continue;
        }
        require((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-');
        label++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[DOMAIN_MAX + 1], again[DOMAIN_MAX + 1];
    struct slice text = slice_from(data, size);
    struct err err = {""};
    struct strbuf encoded = STRBUF_INIT, decoded = STRBUF_INIT;
    if (domain_to_ascii(text, name, &err) == 0) {
        check_name(name);
        require(domain_to_ascii(slice_of(name), again, NULL) == 0 && strcmp(name, again) == 0);
        require(domain_eq(text, slice_of(name)));
        require(slice_is_utf8(text));
    } else {
        require(err.text[0] != '\0' && !domain_eq(text, text));
    }
    /* And the other decoder of base: whatever is Base64 is the one encoding of what it says. */
    if (base64_decode(&decoded, text) == 0) {
        base64_encode(&encoded, strbuf_slice(&decoded));
        require(slice_eq(strbuf_slice(&encoded), text));
    }
    strbuf_free(&encoded);
    strbuf_free(&decoded);
    return 0;
}
