/* Header fields: whatever is accepted is kept octet by octet, and unfolds to a text without line ends. */
#include "sendas/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct slice header = slice_from(data, size);
    struct field_list list;
    struct err err;
    if (fields_parse(&a, header, &list, &err) == 0) {
        struct slice rest = header;
        for (size_t i = 0; i < list.n; i++) {
            const struct field *f = &list.v[i];
            require(slice_starts(rest, f->raw));
            rest = slice_skip(rest, f->raw.n);
            require(f->name.n > 0 && f->name.n + 1 + f->value.n + 2 == f->raw.n);
            require(f->name.p == f->raw.p && f->value.p == f->name.p + f->name.n + 1);
            struct slice value = field_unfold(&a, f);
            require(value.p != NULL && slice_find(value, '\r') == value.n && slice_find(value, '\n') == value.n);
            require(fields_count(&list, f->name) > 0 && fields_get(&list, f->name, 0) <= f);
        }
        require(rest.n == 0 && list.n <= MESSAGE_FIELDS_MAX);
    }
    arena_free(&a);
    return 0;
}
