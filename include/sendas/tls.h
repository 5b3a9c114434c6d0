/* sendas/tls.h - OpenSSL contexts for both sides, and the reload of certificates.
 *
 * The server never asks for a client certificate, has no renegotiation, no early data, and refuses an ALPN
 * list without "smtp" (RFC 7301 alert 120; the ALPACA attacks). */
#ifndef SENDAS_TLS_H
#define SENDAS_TLS_H

#include "sendas/base.h"
#include "sendas/config.h"

struct ssl_st;
struct stack_st_X509;
struct x509_st;
struct tls_server;

/* Loads certificate chain and key by `c->tls`, checks that they belong together and that the key is not open to others (what
 * else may be wrong: tls_server_warn).  With tls.acme the files are those of c->tls.acme; where
 * these are missing or no good, a self-signed certificate made in memory is served until tls_server_reload finds better. */
int tls_server_new(const struct config *c, struct tls_server **ret, struct err *err);
/* Reads the files again; on failure the old ones stay in use and *err says why. */
int tls_server_reload(struct tls_server *t, const struct config *c, struct err *err);
/* Where `t` has only a certificate made in memory it takes over the one of `before`, if that is from files. */
void tls_server_keep(struct tls_server *t, const struct tls_server *before);
/* Does it serve one made in memory? */
bool tls_server_temporary(const struct tls_server *t);
/* When the certificate being served ends, in seconds since 1970; 0 for one made in memory. */
int64_t tls_server_end(const struct tls_server *t);
/* What the last tls_server_warn found to be worst; "" = nothing. */
const char *tls_server_problem(const struct tls_server *t);
/* Logs what is wrong with the certificate being served (tls_certificate_problems), a line each: event=certificate reason= fix=. */
void tls_server_warn(struct tls_server *t, const struct config *c);
/* Have the files changed since they were last read, whatever came of it (time, size or inode)? */
bool tls_server_changed(const struct tls_server *t);
/* A new server-side SSL, ready for SSL_accept; NULL when out of memory. */
struct ssl_st *tls_server_ssl(struct tls_server *t);
void tls_server_free(struct tls_server **pt);

/* ---- judging a certificate -------------------------------------------------------------------------- */

enum tls_chain {
    TLS_CHAIN_TRUSTED = 0, /* leads to a root of this machine (OpenSSL's default ones) */
    TLS_CHAIN_UNTRUSTED, /* its issuer is there, but it leads to no root of this machine: a private CA, or one left out in between */
    TLS_CHAIN_INCOMPLETE, /* its issuer is neither there nor a root of this machine */
    TLS_CHAIN_SELF_SIGNED
};

struct tls_certificate_facts {
    bool covers;          /* a subject alternative name matches the host name (RFC 6125 6.4; the CN does not count) */
    enum tls_chain chain; /* whatever the time is */
    char untrusted[128];  /* OpenSSL's reason unless TRUSTED */
    int64_t not_before, not_after; /* seconds since 1970 */
    size_t certificates;           /* how many there are: the certificate and its chain */
    char issuer[128];              /* its issuer's common name, or organization; printable ASCII */
};

/* Looks at a certificate and its chain in PEM, the certificate first.  -1 and the reason when this is no such thing. */
int tls_certificate_judge(struct slice pem, const char *hostname, struct tls_certificate_facts *ret, struct err *err);
/* The same for what a server has presented: SSL_get_peer_cert_chain (not empty). */
void tls_certificate_judge_chain(const struct stack_st_X509 *chain, const char *hostname,
                                 struct tls_certificate_facts *ret);

enum { TLS_CERTIFICATE_WARN_S = 14 * 86400, TLS_CERTIFICATE_PROBLEMS = 3 };

struct tls_certificate_problem {
    char reason[320]; /* "ends in 5 days, on 2026-11-27" */
    char fix[320];    /* what to do, in plain words */
};

/* What mail programs will mind about it at `now` (seconds since 1970), worst first: the name, the dates (an end within `warn_s` as well),
 * the chain (an untrusted one is not told: a private CA is a choice).  Returns how many: 0 is good. */
size_t tls_certificate_problems(const struct tls_certificate_facts *f, const char *hostname, int64_t now,
                                int64_t warn_s, struct tls_certificate_problem out[TLS_CERTIFICATE_PROBLEMS]);

/* When it ends, in seconds since 1970; 0 when its date is malformed. */
int64_t tls_certificate_end(const struct x509_st *certificate);

/* Is this a certificate that can be served for `hostname` from now on: a chain that parses and fits together, its key, the name, the
 * dates?  0, or -1 and the reason. */
int tls_certificate_prove(struct slice chain, struct slice key, const char *hostname, struct err *err);

/* ---- the client side ---------------------------------------------------------------------------------- */

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
