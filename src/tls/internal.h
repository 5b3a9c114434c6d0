/* src/tls/internal.h - what the files of this room share. */
#ifndef SENDAS_TLS_INTERNAL_H
#define SENDAS_TLS_INTERNAL_H

#include "sendas/tls.h"

#include <openssl/ssl.h>

/* A context with what holds for both sides: no compression, no renegotiation, no tickets, buffers given back
 * while idle.  NULL when out of memory. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, int min_version);

/* ---- certificate.c ---- */

/* All certificates of a PEM text, at least one.  The caller frees *ret with sk_X509_pop_free. */
int tls_chain_read(struct slice pem, STACK_OF(X509) * *ret, struct err *err);
/* A private key without a passphrase, or NULL and the reason. */
EVP_PKEY *tls_key_read(struct slice pem, struct err *err);
/* Does a subject alternative name of `x` match? */
bool tls_certificate_covers(X509 *x, const char *hostname);

/* ---- server.c ---- */

/* The first of the chain becomes the context's certificate, the rest what it sends along.  -1: see OpenSSL's error queue. */
int tls_context_use(SSL_CTX *ctx, const STACK_OF(X509) * chain, EVP_PKEY *key);

#endif
