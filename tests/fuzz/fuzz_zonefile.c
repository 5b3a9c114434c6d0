/* Zone files: anything is a zone that answers, or refused with its line.  What is asked for is in the file's own words.
 */
#include "../../src/dns/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct dns_zone *z, const char *name)
{
    static const unsigned types[] = {DNS_A, DNS_TXT, DNS_MX, DNS_CNAME, DNS_PTR, DNS_AAAA};
    struct lookup lookup = dns_zone_lookup(z);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct arena a = ARENA_INIT(16 * 1024 * 1024);
        struct lookup_answer answer;
        lookup.query(lookup.ctx, &a, name, types[i], &answer);
        if ((answer.status == LOOKUP_OK) != (answer.n > 0))
            abort();
        arena_free(&a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_zone *z = NULL;
    struct err err = {""};
    char name[DNS_NAME_TEXT_SIZE];
    if (dns_zone_parse(slice_from(data, size), "zone", &z, &err) < 0) {
        if (z != NULL || strncmp(err.text, "zone:", 5) != 0)
            abort();
        return 0;
    }
    for (size_t i = 0; i < z->n && i < 8; i++) {
        struct lookup_answer answer;
        struct arena a = ARENA_INIT(0);
        struct lookup lookup = dns_zone_lookup(z);
        ask(z, z->v[i].owner);
        /* a name that stands in the file exists, and is written the same way again */
        lookup.query(lookup.ctx, &a, z->v[i].owner, DNS_TLSA, &answer);
        if (answer.status == LOOKUP_NXDOMAIN && strcmp(z->v[i].owner, "") != 0 &&
            (dns_name_read(slice_of(z->v[i].owner), "", name, NULL) < 0 || strcmp(name, z->v[i].owner) != 0))
            abort();
        arena_free(&a);
    }
    ask(z, "a.b.example.com");
    dns_zone_free(&z);
    return 0;
}
