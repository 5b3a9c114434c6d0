/* Runs a fuzz target over saved inputs: every file named on the command line.  `make check` uses it,
 * so that whatever fuzzing once found stays fixed. */
#include "sendas/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct strbuf bytes = STRBUF_INIT;
        struct err err;
        if (file_read(argv[i], 16 * 1024 * 1024, false, &bytes, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)strbuf_str(&bytes), bytes.n);
        strbuf_free(&bytes);
    }
    return 0;
}
