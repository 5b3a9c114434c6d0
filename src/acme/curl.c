/* See curl.h. */
#include "curl.h"

#include "internal.h"

#include <dlfcn.h>
#include <string.h>

static const char soname[] = "libcurl.so.4"; /* since 2006: it changes with the ABI */

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define ENTRY(function) {"curl_" #function, offsetof(struct acme_curl, function)},
    ACME_CURL_FUNCTIONS(ENTRY)
#undef ENTRY
};

const struct acme_curl *acme_curl(struct err *err)
{
    static struct acme_curl curl;
    static void *library;

    if (library != NULL)
        return &curl;
    void *opened = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (opened == NULL) {
        err_set(err, "tls.acme needs libcurl: %s", dlerror());
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        void *p = dlsym(opened, functions[i].name);
        if (p == NULL) {
            err_set(err, "tls.acme needs a newer libcurl: %s", dlerror());
            dlclose(opened);
            return NULL;
        }
        memcpy((char *)&curl + functions[i].at, &p, sizeof(p)); /* ISO C has no cast from a datum to a function */
    }
    library = opened;
    return &curl;
}

const char *acme_library_version(void)
{
    const struct acme_curl *curl = acme_curl(NULL);

    return curl != NULL ? curl->version_info(CURLVERSION_NOW)->version : NULL;
}
