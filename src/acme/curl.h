/* src/acme/curl.h - libcurl, loaded when it is first needed.
 *
 * It brings thirty libraries (two more TLS stacks, LDAP, Kerberos, SSH).  A daemon whose certificate comes from elsewhere
 * does without: 3 MB of memory less, and every command starts in half the time. */
#ifndef SENDAS_ACME_CURL_H
#define SENDAS_ACME_CURL_H

#include "sendas/base.h"

#include <curl/curl.h>

/* What is used of it, without `curl_`. */
#define ACME_CURL_FUNCTIONS(X)                                                                                         \
    X(easy_cleanup)                                                                                                    \
    X(easy_getinfo)                                                                                                    \
    X(easy_header)                                                                                                     \
    X(easy_init)                                                                                                       \
    X(easy_reset)                                                                                                      \
    X(easy_setopt)                                                                                                     \
    X(easy_strerror)                                                                                                   \
    X(free)                                                                                                            \
    X(global_cleanup)                                                                                                  \
    X(global_init)                                                                                                     \
    X(multi_add_handle)                                                                                                \
    X(multi_assign)                                                                                                    \
    X(multi_cleanup)                                                                                                   \
    X(multi_info_read)                                                                                                 \
    X(multi_init)                                                                                                      \
    X(multi_remove_handle)                                                                                             \
    X(multi_setopt)                                                                                                    \
    X(multi_socket_action)                                                                                             \
    X(slist_append)                                                                                                    \
    X(slist_free_all)                                                                                                  \
    X(url)                                                                                                             \
    X(url_cleanup)                                                                                                     \
    X(url_get)                                                                                                         \
    X(url_set)                                                                                                         \
    X(version_info)

struct acme_curl {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member is no expression */
#define ACME_CURL_MEMBER(name) __typeof__(&curl_##name) name;
    ACME_CURL_FUNCTIONS(ACME_CURL_MEMBER)
#undef ACME_CURL_MEMBER
};

/* The library, which stays loaded; NULL and the reason when it is not installed, or too old for us. */
const struct acme_curl *acme_curl(struct err *err);

#endif
