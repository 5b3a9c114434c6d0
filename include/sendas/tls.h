/* sendas/tls.h - OpenSSL contexts for both sides, and the reload of certificates.
 *
 * The server never asks for a client certificate, has no renegotiation, no early data, and refuses an ALPN
 * list without "smtp" (RFC 7301 alert 120; the ALPACA attacks). */
#ifndef SENDAS_TLS_H
#define SENDAS_TLS_H

#include "sendas/base.h"
#include "sendas/config.h"

struct ssl_st;
struct tls_server;

/* Loads certificate chain and key by `c->tls`, checks that they belong together, that the key is not open to others, that
 * the certificate is for c->hostname (a warning) and has not expired (a warning in the log). */
int tls_server_new(const struct config *c, struct tls_server **ret, struct err *err);
/* Reads the files again; on failure the old ones stay in use and *err says why. */
int tls_server_reload(struct tls_server *t, const struct config *c, struct err *err);
/* Have the files changed since they were last read, whatever came of it (time, size or inode)? */
bool tls_server_changed(const struct tls_server *t);
/* A new server-side SSL, ready for SSL_accept; NULL when out of memory. */
struct ssl_st *tls_server_ssl(struct tls_server *t);
void tls_server_free(struct tls_server **pt);

struct tls_client;
int tls_client_new(const struct config *c, struct tls_client **ret, struct err *err);
/* A new client-side SSL with SNI `host`.  With `verify` the chain must be trusted and the name must match, or the handshake
 * fails; without, anything is accepted (opportunistic: RFC 7435). */
struct ssl_st *tls_client_ssl(struct tls_client *t, const char *host, bool verify);
void tls_client_free(struct tls_client **pt);

/* "TLSv1.3", as logged. */
const char *tls_version(const struct ssl_st *ssl);
/* Did an unverified client handshake end with a chain that is trusted and named for the host all the same?  For the log. */
bool tls_client_verified(const struct ssl_st *ssl, const char *host);
/* The failure of a handshake in words: the peer's alert if it sent one ("peer alert: unknown ca"), our reason otherwise.
 * Empties OpenSSL's error queue of this thread.  `out` is always filled. */
void tls_failure_text(const struct ssl_st *ssl, unsigned long openssl_error, char *out, size_t size);

#endif
