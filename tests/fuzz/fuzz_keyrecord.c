/* Key records as DNS may hold them: anything is a key of a size that is taken, or refused with a reason. */
#include "../../src/dkim/verify.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct dkim_record r;
    struct err err = {""};
    int status = dkim_record_parse(&a, slice_from(data, size), 512, &r, &err);
    if ((status == 0) != (r.key != NULL) || (status < 0) != (err.text[0] != '\0'))
        abort();
    if (status == 0 && (r.algorithm == DKIM_RSA_SHA256 ? r.bits < 512 || r.bits > DKIM_VERIFY_BITS_MAX : r.bits != 256))
        abort();
    if (!slice_is_ascii(slice_of(err.text)))
        abort();
    dkim_record_free(&r);
    if (r.key != NULL)
        abort();
    arena_free(&a);
    return 0;
}
