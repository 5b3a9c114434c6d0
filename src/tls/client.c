/* The client side: encryption where it is to be had, verification where it is asked for. */
#include "internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct tls_client {
    SSL_CTX *ctx;
};

int tls_client_new(const struct config *c, struct tls_client **ret, struct err *err)
{
    char why[256];
    struct tls_client *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(err, "tls: out of memory");
    t->ctx = tls_context_new(TLS_client_method(), TLS1_2_VERSION);
    if (t->ctx == NULL) {
        free(t);
        return err_set(err, "tls: out of memory");
    }
    bool named = *c->delivery.ca_file != '\0';
    int ok = named ? SSL_CTX_load_verify_locations(t->ctx, c->delivery.ca_file, NULL)
                   : SSL_CTX_set_default_verify_paths(t->ctx);
    if (ok != 1) {
        tls_failure_text(NULL, 0, why, sizeof(why));
        tls_client_free(&t);
        return err_set(err, "delivery.ca_file: %s: %s", named ? c->delivery.ca_file : "the system's roots", why);
    }
    *ret = t;
    return 0;
}

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static int expect_name(SSL *ssl, const char *host)
{
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host);
}

struct ssl_st *tls_client_ssl(struct tls_client *t, const char *host, bool verify)
{
    SSL *ssl = SSL_new(t->ctx);
    if (ssl == NULL)
        return NULL;
    SSL_set_connect_state(ssl);
    bool ok = is_address(host) || SSL_set_tlsext_host_name(ssl, host) == 1; /* RFC 6066 3: no addresses */
    if (ok && verify)
        ok = expect_name(ssl, host) == 1;
    else if (ok) {
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        /* RFC 7435: a short key still beats the plain text that would follow a failed handshake. */
        SSL_set_security_level(ssl, 1);
    }
    if (!ok) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    return ssl;
}

bool tls_client_verified(const struct ssl_st *ssl, const char *host)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return false;
    if (is_address(host))
        return X509_check_ip_asc(certificate, host, 0) == 1;
    return X509_check_host(certificate, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

void tls_client_free(struct tls_client **pt)
{
    struct tls_client *t = *pt;
    if (t == NULL)
        return;
    *pt = NULL;
    SSL_CTX_free(t->ctx);
    free(t);
}
