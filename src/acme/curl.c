/* See curl.h. */
#include "curl.h"

#include "internal.h"

#include <dlfcn.h>
#include <string.h>

enum { CURL_SONAME_VERSION = 4 }; /* since 2006; it changes with the ABI */

const struct acme_curl *acme_curl(struct err *err)
{
    static struct acme_curl functions;
    static bool loaded;

    if (loaded)
        return &functions;
    char name[32];
    snprintf(name, sizeof(name), "libcurl.so.%d", CURL_SONAME_VERSION);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        err_set(err, "tls.acme needs libcurl: %s", dlerror());
        return NULL;
    }
#define LOAD(function)                                                                                                 \
    void *p_##function = dlsym(library, "curl_" #function);                                                            \
    if (p_##function == NULL) {                                                                                        \
        err_set(err, "tls.acme needs a newer libcurl: %s", dlerror());                                                 \
        dlclose(library);                                                                                              \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    memcpy(&functions.function, &p_##function,                                                                         \
           sizeof(p_##function)); /* ISO C has no cast from an object to a function */
    ACME_CURL_FUNCTIONS(LOAD)
#undef LOAD
    loaded = true;
    return &functions;
}

const char *acme_library_version(void)
{
    const struct acme_curl *curl = acme_curl(NULL);

    return curl != NULL ? curl->version_info(CURLVERSION_NOW)->version : NULL;
}
