/* Any text as sendas.yaml and as users.yaml: refused with a reason, or taken, and then what is printed is taken again.
 */
#include "../../src/config/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static char *print(const struct config *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        abort();
    config_print(c, f);
    fclose(f);
    return text;
}

static int parse(struct slice text, struct config **ret, struct err *err)
{
    struct source source;
    if (config_parse(text, "sendas.yaml", &source, ret, err) < 0) {
        /* Each mistake has its line. */
        require(slice_starts(slice_of(err->text), SLICE("sendas.yaml:")), err->text);
        return -1;
    }
    source_free(&source);
    return 0;
}

static void try_config(struct slice text)
{
    struct config *first = NULL, *second = NULL;
    struct err err = {""};
    if (parse(text, &first, &err) < 0)
        return;
    char *once = print(first);
    require(parse(slice_of(once), &second, &err) == 0, err.text);
    char *twice = print(second);
    require(strcmp(once, twice) == 0, "printed otherwise the second time");
    free(once);
    free(twice);
    config_free(&first);
    config_free(&second);
}

static void try_users(struct slice text)
{
    struct users *u = NULL;
    struct err err = {""};
    if (users_parse(text, "users.yaml", &u, &err) < 0) {
        require(slice_starts(slice_of(err.text), SLICE("users.yaml:")), err.text);
        return;
    }
    for (size_t i = 0; i < u->n; i++) {
        require(users_find(u, slice_of(u->v[i].name)) == &u->v[i], "a user is not found");
        require(u->v[i].n_send_as > 0, "a user without a pattern");
    }
    users_free(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t seconds;
    uint64_t octets;
    struct slice text = slice_from(data, size);
    try_config(text);
    try_users(text);
    if (config_parse_duration(text, &seconds) == 0)
        require(seconds >= 0 && size >= 2, "a duration that is none");
    if (config_parse_size(text, &octets) == 0)
        require(size >= 1, "a size that is none");
    return 0;
}
