/* src/tls/internal.h - what both sides set alike. */
#ifndef SENDAS_TLS_INTERNAL_H
#define SENDAS_TLS_INTERNAL_H

#include "sendas/tls.h"

#include <openssl/ssl.h>

/* A context with what holds for both sides: no compression, no renegotiation, no tickets, buffers given back
 * while idle.  NULL when out of memory. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, int min_version);

#endif
