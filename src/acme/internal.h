/* src/acme/internal.h - the parts of the ACME client.
 *
 *   jws.c        account key, signed requests          http.c       one request at a time, by libcurl on the loop
 *   x509.c       request, certificate for tls-alpn-01  responder.c  answers challenges: http-01, tls-alpn-01
 *   document.c   what an authority says, read strictly store.c      the files, written on a worker
 *   order.c      an order as a state machine (pure)    schedule.c   when (pure), and state.json
 *   name.c       is the host name in DNS?              status.c     what commands are told
 *   attempt.c    an attempt, from noting it to the files  curl.c       libcurl, loaded when it is needed
 *   acme.c       brings them together: when is something due? */
#ifndef SENDAS_ACME_INTERNAL_H
#define SENDAS_ACME_INTERNAL_H

#include "sendas/acme.h"

#include <jansson.h>
#include <openssl/evp.h>

struct stack_st_X509;

enum {
    ACME_URL_MAX = 1024,  /* longer ones are refused */
    ACME_TOKEN_MAX = 256, /* nonces and challenge tokens */
    ACME_EMAIL_MAX = 320,
    ACME_PROBLEM_MAX = 300,   /* of what an authority says in a problem document */
    ACME_BODY_MAX = 64 * 1024 /* of any response; a chain of 4 certificates has 8 KiB */
};

/* ---- jws.c ----------------------------------------------------------------------------------- */

/* RFC 4648 5, without padding (RFC 7515 2). */
void acme_base64url(struct strbuf *out, struct slice in);
/* The public key as a JWK with its members in the order that RFC 7638 3.3 wants.  -1 when it is not on P-256. */
int acme_jwk(const EVP_PKEY *key, struct strbuf *out);
/* RFC 7638: of a JWK as acme_jwk writes it. */
void acme_thumbprint(struct slice jwk, struct strbuf *out);
/* A signed request (RFC 8555 6.2) by ES256 in flattened JSON.  `kid`: the account's URL, or NULL to send the key itself. */
int acme_jws(EVP_PKEY *key, const char *kid, const char *nonce, const char *url, struct slice payload,
             struct strbuf *out);

/* ---- x509.c ---------------------------------------------------------------------------------- */

/* A certificate request for one host name (RFC 8555 7.4), DER. */
int acme_csr(EVP_PKEY *key, const char *hostname, struct strbuf *out);
/* A private key as PEM. */
int acme_key_pem(const EVP_PKEY *key, struct strbuf *out);
EVP_PKEY *acme_key_parse(struct slice pem);
/* RFC 8737 3: a certificate for tls-alpn-01.  The caller frees *ret_key and the result. */
struct x509_st *acme_alpn_certificate(const char *hostname, const char *key_authorization, EVP_PKEY **ret_key);
/* RFC 9773 4.1: how renewal information calls the first certificate of a PEM text; -1 when it has no key identifier. */
int acme_certificate_id(struct slice pem, struct strbuf *out);

/* ---- document.c: every string is bounded and checked here ------------------------------------ */

enum acme_status_word { /* RFC 8555 7.1.6, of all objects */
                        ACME_STATUS_UNKNOWN = 0,
                        ACME_STATUS_PENDING,
                        ACME_STATUS_READY,
                        ACME_STATUS_PROCESSING,
                        ACME_STATUS_VALID,
                        ACME_STATUS_INVALID,
                        ACME_STATUS_OTHER /* deactivated, expired, revoked */
};

struct acme_directory {
    char new_nonce[ACME_URL_MAX], new_account[ACME_URL_MAX], new_order[ACME_URL_MAX];
    char renewal_info[ACME_URL_MAX]; /* "" = none */
    bool account_required;           /* externalAccountRequired */
};

struct acme_order_document {
    enum acme_status_word status;
    char authorization[ACME_URL_MAX], finalize[ACME_URL_MAX];
    char certificate[ACME_URL_MAX]; /* "" until it is valid */
    char problem[ACME_PROBLEM_MAX + 1];
};

enum acme_challenge { ACME_HTTP_01 = 0, ACME_TLS_ALPN_01, ACME_CHALLENGES };

struct acme_authorization {
    enum acme_status_word status;
    struct {
        char url[ACME_URL_MAX], token[ACME_TOKEN_MAX]; /* "" = not offered */
    } challenge[ACME_CHALLENGES];
    char problem[ACME_PROBLEM_MAX + 1]; /* why a challenge failed: "connection: ..." */
};

struct acme_problem {
    char type[64]; /* without "urn:ietf:params:acme:error:"; "" when it is another's */
    char text[ACME_PROBLEM_MAX + 1];
};

struct acme_window {
    int64_t start, end; /* seconds since 1970 */
};

/* -1 and what is wrong with it. */
int acme_directory_parse(struct slice body, struct acme_directory *ret, struct err *err);
int acme_order_parse(struct slice body, const char *hostname, struct acme_order_document *ret, struct err *err);
int acme_authorization_parse(struct slice body, const char *hostname, struct acme_authorization *ret, struct err *err);
int acme_window_parse(struct slice body, struct acme_window *ret, struct err *err);
/* RFC 7807; whatever the body is, there is a text in the end. */
void acme_problem_parse(struct slice body, unsigned status, struct acme_problem *ret);
/* RFC 3339 5.6: "2021-01-03T00:00:00Z". */
int acme_time_parse(struct slice text, int64_t *ret);
/* An https URL of printable ASCII that fits. */
bool acme_url_ok(const char *url);
/* Letters, digits, '-' and '_' (RFC 8555 6.5.1, 8.3), at least one, and it fits. */
bool acme_token_ok(const char *token);
const char *acme_challenge_name(enum acme_challenge c);

/* ---- order.c --------------------------------------------------------------------------------- */

enum acme_method { ACME_GET = 0, ACME_HEAD, ACME_POST };

struct acme_request {
    enum acme_method method;
    const char *url;
    const char *accept; /* NULL = whatever */
    struct strbuf body; /* POST; freed with the request's user */
};

struct acme_response {
    unsigned status;
    const char *nonce, *location; /* "" when missing */
    int64_t retry_after_s;        /* -1 when missing */
    struct slice body;
};

/* Each step but the last two is one request. */
enum acme_step {
    ACME_STEP_DIRECTORY = 0,
    ACME_STEP_ACCOUNT,       /* newAccount: makes or finds it */
    ACME_STEP_CONTACT,       /* its e-mail address changes */
    ACME_STEP_ORDER,         /* newOrder */
    ACME_STEP_AUTHORIZATION, /* which challenges are there? */
    ACME_STEP_CHALLENGE,     /* ours is answered: look */
    ACME_STEP_VALIDATION,    /* have they looked? */
    ACME_STEP_STATUS,        /* where does the order stand? */
    ACME_STEP_FINALIZE,      /* the certificate request */
    ACME_STEP_CERTIFICATE,
    ACME_STEP_DONE,
    ACME_STEP_FAILED
};

enum acme_failure_kind {
    ACME_FAILURE_LOCAL = 0, /* here: a port, a file */
    ACME_FAILURE_NETWORK,   /* the authority is not reached, or is ill */
    ACME_FAILURE_REFUSED,   /* it has said no */
    ACME_FAILURE_LIMITED    /* it has said not so often */
};

struct acme_failure {
    enum acme_failure_kind kind;
    int64_t retry_after_s; /* as the authority said; -1 = nothing */
    char reason[ACME_PROBLEM_MAX + 100];
    const char *fix; /* NULL = none known */
};

struct acme_order {
    /* What is asked for; set before the first request.  Borrowed. */
    const char *directory_url, *hostname, *email;
    const char *replaces; /* RFC 9773 5; NULL = nothing */
    EVP_PKEY *account_key, *certificate_key;
    bool answers[ACME_CHALLENGES]; /* which challenges can be answered here */
    enum acme_challenge prefer;

    /* What is known of the account: from before, or after ACME_STEP_ACCOUNT. */
    char account[ACME_URL_MAX];             /* "" = none */
    char account_email[ACME_EMAIL_MAX + 1]; /* the one it was made with, or that it was changed to */

    /* Where it stands. */
    enum acme_step step;
    bool fetching_nonce; /* before the step's own request */
    int64_t wait_ms;     /* before the next request */
    unsigned polls, bad_nonces;
    bool account_forgotten, replaces_refused;
    struct acme_directory directory;
    char nonce[ACME_TOKEN_MAX], url[ACME_URL_MAX];
    struct acme_order_document order;
    struct acme_authorization authorization;
    enum acme_challenge challenge;   /* from ACME_STEP_CHALLENGE on */
    struct strbuf key_authorization; /* RFC 8555 8.1; likewise */
    struct strbuf chain;             /* DONE: what the authority calls a certificate, unproven */
    struct acme_failure failure;     /* FAILED */
};

/* The next request of a step that is neither DONE nor FAILED.  -1: out of memory, then the order has failed. */
int acme_order_request(struct acme_order *o, struct acme_request *ret);
/* Takes its response: goes on to another step, or stays and asks again. */
void acme_order_response(struct acme_order *o, const struct acme_response *r);
/* There was none. */
void acme_order_unreachable(struct acme_order *o, const char *why);
/* The token of the challenge chosen. */
const char *acme_order_token(const struct acme_order *o);
const char *acme_step_name(enum acme_step s);
void acme_order_clear(struct acme_order *o);
void acme_failure_set(struct acme_failure *f, enum acme_failure_kind kind, const char *fix, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* ---- schedule.c: when, and what is remembered ------------------------------------------------ */

struct acme_state {
    char directory[ACME_URL_MAX]; /* the authority that `account` is known to */
    char account[ACME_URL_MAX], email[ACME_EMAIL_MAX + 1];
    char issued_by[ACME_URL_MAX]; /* the directory that the certificate is from; "" = not known */
    unsigned failures;            /* in a row; an attempt counts as failed until it has not */
    int64_t next_attempt;         /* not before, in seconds since 1970; 0 = at once */
    bool limited;                 /* because the authority itself has said when */
    enum acme_challenge prefer;
    char reason[ACME_PROBLEM_MAX + 20], fix[ACME_PROBLEM_MAX + 20]; /* of the last failure; "" */
    int64_t since; /* when the first of the failures in a row was; 0 = none */
    bool unnamed;  /* the host name was not in DNS when last looked for */
    struct {
        char certificate[256]; /* acme_certificate_id: what the rest is about */
        struct acme_window window;
        int64_t renew_at; /* a moment in it */
    } renewal;
    int64_t check_at; /* when to ask for renewal information again; 0 = at once */
};

/* The reason of an attempt that has begun. */
#define ACME_UNFINISHED "the attempt did not come to its end"
/* state.json.  What is missing or of the wrong kind stays at its default; -1 when this is no JSON object. */
int acme_state_parse(struct slice text, struct acme_state *ret);
int acme_state_print(const struct acme_state *s, struct strbuf *out);

/* No wait is longer than the longest there is: the clock may have been set. */
void acme_state_clamp(struct acme_state *s, int64_t now);
/* How long to wait after a failure, in seconds: `failures` in a row, what the authority said, and a random number. */
int64_t acme_backoff_s(const struct acme_failure *f, unsigned failures, uint32_t random);
/* A moment in the window, chosen once and kept as long as the window stays (RFC 9773 4.2). */
void acme_renewal_choose(struct acme_state *s, const char *certificate, const struct acme_window *w, uint32_t random);
/* When a certificate is to be renewed: as its authority suggests, never in the last tenth of its life; otherwise after two
 * thirds of it. */
int64_t acme_renew_at(const struct acme_state *s, const char *certificate, int64_t not_before, int64_t not_after);
/* How long until renewal information is asked for again (RFC 9773 4.3.2, 4.3.3). */
int64_t acme_check_after_s(int64_t retry_after_s);

/* ---- store.c: the files ---------------------------------------------------------------------- */

enum { ACME_FILE_MAX = 256 * 1024 };

/* DIR/NAME; "" after a failure to allocate. */
void acme_path(const struct config *c, const char *name, struct strbuf *out);

struct acme_save {
    struct strbuf dir;
    struct strbuf account, key, chain, state; /* empty: left as it is.  key and chain only together */
    struct err err;
    int rc;
    void (*done)(void *ctx, int rc, const struct err *err); /* NULL: nobody waits any more */
    void *ctx;
};

/* Empty but for the folder; NULL when out of memory. */
struct acme_save *acme_save_new(const struct config *c);
/* Writes on a worker, then done() on the loop; `s` is freed after it.  -1: it could not begin, and `s` is freed. */
int acme_save_start(struct workers *w, struct acme_save *s);
/* The same here and now. */
int acme_save_now(struct acme_save *s, struct err *err);
void acme_save_free(struct acme_save **ps);

/* ---- http.c ---------------------------------------------------------------------------------- */

struct acme_http;
/* done(ctx, response, NULL), or done(ctx, NULL, why): from the loop, never before acme_http_start returns; may start another.
 * NULL and the reason without memory, or without libcurl. */
struct acme_http *acme_http_new(struct event_base *base, struct dns *dns,
                                void (*done)(void *ctx, const struct acme_response *r, const char *why), void *ctx,
                                struct err *err);
/* One at a time.  `ca_file`: "" = the system's roots.  Takes over the request's body. */
void acme_http_start(struct acme_http *h, struct acme_request *r, const char *ca_file);
/* Ends what is under way, without done(), and closes connections. */
void acme_http_rest(struct acme_http *h);
void acme_http_free(struct acme_http **ph);

/* ---- name.c ---------------------------------------------------------------------------------- */

struct acme_name;
/* Asks DNS for the addresses of the host name.  done(ctx, shown): on the loop, never before this returns, once, after which
 * the question is no more.  NULL: out of memory. */
struct acme_name *acme_name_begin(struct dns *dns, const char *hostname, void (*done)(void *ctx, bool shown),
                                  void *ctx);
/* Without done(). */
void acme_name_cancel(struct acme_name **pn);

/* ---- responder.c: answers challenges --------------------------------------------------------- */

struct acme_responder;
/* A port that ends in 443 means tls-alpn-01, any other http-01. */
enum acme_challenge acme_challenge_of_port(uint16_t port);
/* Listens where `c` says, as far as it can.  NULL and the last reason when it can nowhere. */
struct acme_responder *acme_responder_open(struct event_base *base, const struct config *c, struct err *err);
bool acme_responder_has(const struct acme_responder *r, enum acme_challenge c);
/* From now on this challenge is answered. */
int acme_responder_publish(struct acme_responder *r, enum acme_challenge c, const char *hostname, const char *token,
                           const char *key_authorization);
void acme_responder_close(struct acme_responder **pr);
/* RFC 8555 8.3: is this head of an HTTP request a GET of the token's resource? */
bool acme_responder_asks(struct slice head, const char *token);

#endif
