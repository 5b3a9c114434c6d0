/* load.c - sendas.yaml from its file. */
#include "internal.h"

enum files { FILES_NEEDED = 0, FILES_LENIENT, FILES_IGNORED };

static int load(const char *path, enum files files, struct config **ret, struct strbuf *warnings, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct source source;
    struct config *c = NULL;
    int rc = file_read(path, CONFIG_TEXT_MAX, false, &text, err);
    if (rc == 0)
        rc = config_parse(strbuf_slice(&text), path, &source, &c, err);
    if (rc == 0) {
        if (files != FILES_IGNORED)
            rc = config_check_files(c, &source, files == FILES_LENIENT ? warnings : NULL, err);
        source_free(&source);
    }
    strbuf_free(&text);
    if (rc < 0)
        config_free(&c);
    else
        *ret = c;
    return rc;
}

int config_load(const char *path, struct config **ret, struct err *err)
{
    return load(path, FILES_NEEDED, ret, NULL, err);
}

int config_load_lenient(const char *path, struct config **ret, struct strbuf *warnings, struct err *err)
{
    return load(path, FILES_LENIENT, ret, warnings, err);
}

int config_load_text(const char *path, struct config **ret, struct err *err)
{
    return load(path, FILES_IGNORED, ret, NULL, err);
}
