/* Both sides of TLS, joined by memory: what is offered, what is refused, and how certificates come and go. */
#include "sendas/tls.h"
#include "tls/certs.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#define HOST "mail.example.test"

static FILE *log_file;
static char *log_text;
static size_t log_size;

static void setup(void)
{
    certs_make_dir();
    certs_make(HOST, -60, 3600, "cert.pem", "key.pem");
    log_file = open_memstream(&log_text, &log_size);
    log_to(log_file);
}

static void teardown(void)
{
    log_to(stderr);
    fclose(log_file);
    free(log_text);
    certs_remove_dir();
}

static const char *logged(void)
{
    fflush(log_file);
    return log_text;
}

static struct tls_server *server_of(struct config *c)
{
    struct tls_server *t = NULL;
    struct err err = {.text = ""};
    ck_assert_msg(tls_server_new(c, &t, &err) == 0, "%s", err.text);
    return t;
}

/* Does the server refuse these settings, and does it say why? */
static void refuses(struct config *c, const char *why)
{
    struct tls_server *t = NULL;
    struct err err = {.text = ""};
    ck_assert_int_eq(tls_server_new(c, &t, &err), -1);
    ck_assert_msg(strstr(err.text, why) != NULL, "\"%s\" does not tell of \"%s\"", err.text, why);
    ck_assert_ptr_null(t);
    config_free(&c);
}

/* ---- handshakes -------------------------------------------------------------------------------------- */

struct side {
    SSL *ssl;
    bool done;
    bool failed;
    char why[200];
};

static void step(struct side *s)
{
    if (s->done || s->failed)
        return;
    ERR_clear_error();
    int n = SSL_do_handshake(s->ssl);
    int what = SSL_get_error(s->ssl, n);
    s->done = n == 1;
    s->failed = n != 1 && what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE;
    if (s->failed)
        tls_failure_text(s->ssl, ERR_get_error(), s->why, sizeof(s->why));
}

static void shake_hands(struct side *client, struct side *server)
{
    BIO *a, *b;
    ck_assert_int_eq(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(client->ssl, a, a);
    SSL_set_bio(server->ssl, b, b);
    for (int i = 0; i < 20; i++) {
        step(client);
        step(server);
    }
    if (client->done && !server->failed) { /* TLS 1.3: an alert against us comes with the first read */
        char c;
        SSL_read(client->ssl, &c, 1);
    }
}

static void sides_free(struct side *client, struct side *server)
{
    SSL_free(client->ssl);
    SSL_free(server->ssl);
}

static SSL *plain_client(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_connect_state(ssl);
    return ssl;
}

static const struct {
    const char *list; /* of the client, on the wire; NULL = no ALPN */
    size_t n;
    bool accepted;
} alpn_rows[] = {
    {NULL, 0, true},
    {"\x04smtp", 5, true},
    {"\x08http/1.1\x04smtp", 14, true},
    {"\x08http/1.1", 9, false},
    {"\x02h2\x04imap", 8, false},
    {"\x05smtps", 6, false},
    {"\x03smt", 4, false},
};

START_TEST(test_alpn)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    struct tls_server *t = server_of(c);
    struct side client = {.ssl = plain_client()}, server = {.ssl = tls_server_ssl(t)};

    if (alpn_rows[_i].list != NULL)
        SSL_set_alpn_protos(client.ssl, (const unsigned char *)alpn_rows[_i].list, (unsigned)alpn_rows[_i].n);
    shake_hands(&client, &server);
    ck_assert_int_eq(server.done, alpn_rows[_i].accepted);
    if (!alpn_rows[_i].accepted) {
        ck_assert_str_eq(client.why, "peer alert: no application protocol"); /* alert 120, RFC 7301 3.2 */
        ck_assert_str_eq(server.why, "no application protocol");
    }
    sides_free(&client, &server);
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

static int asked;

static int on_certificate_asked(SSL *ssl, void *arg)
{
    (void)ssl, (void)arg;
    asked++;
    return 1;
}

START_TEST(test_server_offers)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    struct tls_server *t = server_of(c);
    struct side client = {.ssl = plain_client()}, server = {.ssl = tls_server_ssl(t)};

    asked = 0;
    SSL_set_cert_cb(client.ssl, on_certificate_asked, NULL);
    shake_hands(&client, &server);
    ck_assert(client.done && server.done);
    ck_assert_int_eq(asked, 0); /* no CertificateRequest */
    ck_assert_str_eq(tls_version(server.ssl), "TLSv1.3");
    ck_assert(SSL_get_options(server.ssl) & SSL_OP_NO_RENEGOTIATION);
    ck_assert(SSL_get_options(server.ssl) & SSL_OP_NO_COMPRESSION);
    ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl)), 0); /* no ticket was given */
    ck_assert_uint_eq(SSL_get_max_early_data(server.ssl), 0);
    sides_free(&client, &server);
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

static const struct {
    int client_max, server_min;
    const char *version; /* NULL: refused */
} version_rows[] = {
    {TLS1_3_VERSION, TLS1_2_VERSION, "TLSv1.3"}, {TLS1_2_VERSION, TLS1_2_VERSION, "TLSv1.2"},
    {TLS1_1_VERSION, TLS1_2_VERSION, NULL},      {TLS1_2_VERSION, TLS1_3_VERSION, NULL},
    {TLS1_3_VERSION, TLS1_3_VERSION, "TLSv1.3"},
};

START_TEST(test_versions)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    c->tls.min_version = version_rows[_i].server_min;
    struct tls_server *t = server_of(c);
    struct side client = {.ssl = plain_client()}, server = {.ssl = tls_server_ssl(t)};

    SSL_set_security_level(client.ssl, 0);
    SSL_set_min_proto_version(client.ssl, TLS1_VERSION);
    SSL_set_max_proto_version(client.ssl, version_rows[_i].client_max);
    shake_hands(&client, &server);
    ck_assert_int_eq(server.done, version_rows[_i].version != NULL);
    if (server.done)
        ck_assert_str_eq(tls_version(server.ssl), version_rows[_i].version);
    sides_free(&client, &server);
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

static const struct {
    const char *host;
    bool trusted, verify;                /* is the certificate among the client's roots; must it be? */
    const char *client_why, *server_why; /* NULL: the handshake succeeds */
    bool verified;
} client_rows[] = {
    {HOST, true, true, NULL, NULL, true},
    {HOST, false, true, "certificate: self-signed certificate", "peer alert: unknown ca", false},
    {"other.example.test", true, true, "certificate: hostname mismatch", "peer alert: bad certificate", false},
    {"192.0.2.1", true, true, "certificate: IP address mismatch", "peer alert: bad certificate", false},
    {HOST, false, false, NULL, NULL, false},
    {"other.example.test", true, false, NULL, NULL, false},
    {HOST, true, false, NULL, NULL, true},
};

START_TEST(test_client)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    struct tls_server *t = server_of(c);
    struct tls_client *tc = NULL;
    struct err err = {.text = ""};

    certs_make("ca.example.test", -60, 3600, "other.pem", "other.key");
    c->delivery.ca_file = certs_path(client_rows[_i].trusted ? "cert.pem" : "other.pem");
    ck_assert_msg(tls_client_new(c, &tc, &err) == 0, "%s", err.text);
    struct side client = {.ssl = tls_client_ssl(tc, client_rows[_i].host, client_rows[_i].verify)};
    struct side server = {.ssl = tls_server_ssl(t)};
    ck_assert_ptr_nonnull(client.ssl);
    shake_hands(&client, &server);
    if (client_rows[_i].client_why != NULL) {
        ck_assert_str_eq(client.why, client_rows[_i].client_why);
        ck_assert_str_eq(server.why, client_rows[_i].server_why);
    } else {
        ck_assert_msg(client.done && server.done, "%s %s", client.why, server.why);
        ck_assert_int_eq(tls_client_verified(client.ssl, client_rows[_i].host), client_rows[_i].verified);
    }
    const char *sni = SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name);
    if (strcmp(client_rows[_i].host, "192.0.2.1") == 0)
        ck_assert_ptr_null(sni); /* RFC 6066 3 */
    else
        ck_assert_str_eq(sni, client_rows[_i].host);
    sides_free(&client, &server);
    tls_client_free(&tc);
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

START_TEST(test_client_without_roots)
{
    struct config *c = config_defaults();
    struct tls_client *tc = NULL;
    struct err err = {.text = ""};

    c->delivery.ca_file = certs_path("missing.pem");
    ck_assert_int_eq(tls_client_new(c, &tc, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "missing.pem"));
    config_free(&c);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------------------ */

static void write_file(const char *name, const char *text)
{
    struct err err;
    char *path = certs_path(name);
    ck_assert_int_eq(file_write(path, slice_of(text), 0600, &err), 0);
}

START_TEST(test_wrong_files)
{
    certs_make("b.example.test", -60, 3600, "b.pem", "b.key");
    write_file("empty", "");
    write_file("text", "hello\n");
    write_file("half", "-----BEGIN CERTIFICATE-----\nAAAA\n");

    refuses(certs_config(HOST, "cert.pem", "b.key"), "is not the key of");
    refuses(certs_config(HOST, "missing.pem", "key.pem"), "missing.pem");
    refuses(certs_config(HOST, "cert.pem", "missing.key"), "missing.key");
    refuses(certs_config(HOST, "empty", "key.pem"), "no certificate in PEM form");
    refuses(certs_config(HOST, "text", "key.pem"), "no certificate in PEM form");
    refuses(certs_config(HOST, "half", "key.pem"), "no certificate in PEM form");
    refuses(certs_config(HOST, "cert.pem", "text"), "no private key in PEM form");
    refuses(certs_config(HOST, "cert.pem", "cert.pem"), "tls.key");

    char *path = certs_path("key.pem");
    ck_assert_int_eq(chmod(path, 0644), 0);
    refuses(certs_config(HOST, "cert.pem", "key.pem"), "chmod");

    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    c->tls.certificate[0] = '\0';
    refuses(c, "tls.acme");
}
END_TEST

START_TEST(test_key_with_passphrase)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    char *path = certs_path("locked.key");
    FILE *f = fopen(path, "w");

    PEM_write_PrivateKey(f, pkey, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"secret");
    fclose(f);
    chmod(path, 0600);
    EVP_PKEY_free(pkey);
    refuses(certs_config(HOST, "cert.pem", "locked.key"), "passphrase"); /* and does not ask for it */
}
END_TEST

START_TEST(test_broken_chain)
{
    struct strbuf pem = STRBUF_INIT;
    struct err err;
    char *path = certs_path("cert.pem");

    ck_assert_int_eq(file_read(path, 65536, false, &pem, &err), 0);
    strbuf_add_str(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write_file("chain.pem", strbuf_str(&pem));
    refuses(certs_config(HOST, "chain.pem", "key.pem"), "behind certificate 1");
    strbuf_free(&pem);
}
END_TEST

#define DAYS(n) ((n)*86400L)
static const struct {
    const char *host;
    long from_s, to_s;
    const char *logs[2];
} warning_rows[] = {
    {HOST, -60, DAYS(90), {"reason=\"is self-signed", NULL}},
    {"other.example.test", -60, DAYS(90), {"reason=\"is not for the hostname " HOST "\"", "reason=\"is self-signed"}},
    {HOST, -60, DAYS(10), {"reason=\"ends in ", "reason=\"is self-signed"}},
    {HOST, -7200, -3600, {"reason=\"has expired on ", "reason=\"is self-signed"}},
    {HOST, 3600, DAYS(90), {"reason=\"is not valid yet, ", "reason=\"is self-signed"}},
};

START_TEST(test_warnings)
{
    certs_make(warning_rows[_i].host, warning_rows[_i].from_s, warning_rows[_i].to_s, "w.pem", "w.key");
    struct config *c = certs_config(HOST, "w.pem", "w.key");
    struct tls_server *t = server_of(c);
    size_t lines = 0, want = 0;

    ck_assert_str_eq(logged(), "");
    tls_server_warn(t, c);
    for (size_t i = 0; i < 2 && warning_rows[_i].logs[i] != NULL; i++, want++)
        ck_assert_msg(strstr(logged(), warning_rows[_i].logs[i]) != NULL, "%s", logged());
    for (const char *p = logged(); (p = strstr(p, "level=warn event=certificate file=")) != NULL; p++)
        lines++;
    ck_assert_uint_eq(lines, want);
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

/* The name in the certificate that a new connection is shown. */
static void shows(struct tls_server *t, const char *name)
{
    struct side client = {.ssl = plain_client()}, server = {.ssl = tls_server_ssl(t)};

    shake_hands(&client, &server);
    ck_assert(client.done);
    ck_assert_int_eq(X509_check_host(SSL_get0_peer_certificate(client.ssl), name, 0, 0, NULL), 1);
    sides_free(&client, &server);
}

START_TEST(test_reload)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    struct tls_server *t = server_of(c);
    struct err err = {.text = ""};

    ck_assert(!tls_server_changed(t));
    shows(t, HOST);

    SSL *early = tls_server_ssl(t);
    write_file("cert.pem", "not a certificate");
    ck_assert(tls_server_changed(t));
    ck_assert_int_eq(tls_server_reload(t, c, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "cert.pem"));
    ck_assert(!tls_server_changed(t)); /* what is wrong is not read again until it changes */
    shows(t, HOST);                    /* the old one stays in use */

    certs_make("new.example.test", -60, 3600, "cert.pem", "key.pem");
    ck_assert(tls_server_changed(t));
    ck_assert_int_eq(tls_server_reload(t, c, &err), 0);
    ck_assert(!tls_server_changed(t));
    shows(t, "new.example.test");

    struct side client = {.ssl = plain_client()}, server = {.ssl = early}; /* begun before: keeps what it began with */
    shake_hands(&client, &server);
    ck_assert_int_eq(X509_check_host(SSL_get0_peer_certificate(client.ssl), HOST, 0, 0, NULL), 1);
    sides_free(&client, &server);

    char *path = certs_path("key.pem");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(tls_server_changed(t));
    tls_server_free(&t);
    config_free(&c);
}
END_TEST

/* ---- tls.acme -------------------------------------------------------------------------------------------- */

START_TEST(test_acme)
{
    struct config *c = certs_config(HOST, "cert.pem", "key.pem");
    struct config_acme acme = {.certificate = certs_path("acme.pem"), .key = certs_path("acme.key")};
    struct tls_server *next;
    struct err err;

    c->tls.acme = &acme;
    struct tls_server *t = server_of(c);
    ck_assert(tls_server_temporary(t)); /* no files: something is shown all the same, and told */
    shows(t, HOST);
    tls_server_warn(t, c);
    ck_assert_ptr_nonnull(strstr(logged(), "a temporary, self-signed one"));
    ck_assert(!tls_server_changed(t));

    certs_make(HOST, -60, DAYS(5), "acme.pem", "acme.key");
    ck_assert(tls_server_changed(t));
    ck_assert_int_eq(tls_server_reload(t, c, &err), 0);
    ck_assert(!tls_server_temporary(t));
    size_t before = strlen(logged());
    tls_server_warn(t, c);
    ck_assert_ptr_null(strstr(logged() + before, "ends in")); /* five days are much of its life */

    write_file("acme.key", "garbage");
    next = server_of(c);
    ck_assert(tls_server_temporary(next));
    before = strlen(logged());
    tls_server_warn(next, c);
    ck_assert_ptr_nonnull(strstr(logged() + before, "no private key in PEM form"));
    tls_server_keep(next, t); /* what was good stays in use */
    ck_assert(!tls_server_temporary(next));
    tls_server_free(&t);
    shows(next, HOST);
    tls_server_free(&next);
    c->tls.acme = NULL;
    config_free(&c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tls");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_alpn, 0, ARRAY_LEN(alpn_rows));
    tcase_add_test(tc, test_server_offers);
    tcase_add_loop_test(tc, test_versions, 0, ARRAY_LEN(version_rows));
    tcase_add_loop_test(tc, test_client, 0, ARRAY_LEN(client_rows));
    tcase_add_test(tc, test_client_without_roots);
    tcase_add_test(tc, test_wrong_files);
    tcase_add_test(tc, test_key_with_passphrase);
    tcase_add_test(tc, test_broken_chain);
    tcase_add_loop_test(tc, test_warnings, 0, ARRAY_LEN(warning_rows));
    tcase_add_test(tc, test_reload);
    tcase_add_test(tc, test_acme);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
