/* An order, from the directory to the certificate: one table of steps, one function that takes each step's response.
 *
 *   directory ─▶ account (─▶ contact) ─▶ order ─▶ authorization ─▶ challenge ─▶ validation ─▶ status ─▶ finalize ─▶ status
 *   ─▶ certificate ─▶ done.  An order or authorization that is further on already skips what is behind it (RFC 8555 7.1.6);
 *   any step may end in failed. */
#include "internal.h"

#include <string.h>

enum {
    POLLS_MAX = 60,      /* "not yet" is heard so many times in an order */
    POLL_FIRST_MS = 500, /* then twice as long each time, unless the authority says */
    POLL_MAX_MS = 10 * 1000,
    POLL_ASKED_MAX_S = 120, /* as long as it may say */
    BAD_NONCES_MAX = 30     /* in a row */
};

/* ---- failing --------------------------------------------------------------------------------- */

void acme_failure_set(struct acme_failure *f, enum acme_failure_kind kind, const char *fix, const char *format, ...)
{
    va_list args;

    *f = (struct acme_failure){.kind = kind, .fix = fix, .retry_after_s = -1};
    va_start(args, format);
    vsnprintf(f->reason, sizeof(f->reason), format, args);
    va_end(args);
}

static void fail(struct acme_order *o, enum acme_failure_kind kind, const char *why)
{
    acme_failure_set(&o->failure, kind, NULL, "%s: %s", acme_step_name(o->step), why);
    o->step = ACME_STEP_FAILED;
}

static void fail_memory(struct acme_order *o)
{
    fail(o, ACME_FAILURE_LOCAL, "out of memory");
}

/* What to do, by the type of the problem (RFC 8555 6.7). */
static const struct {
    const char *type, *fix;
} fixes[] = {
    {"connection",
     "open the port of tls.acme.listen to the Internet, in every firewall on the way; see that A and AAAA of hostname "
     "are addresses of this machine"},
    {"dns", "publish A (and AAAA) of hostname"},
    {"unauthorized",
     "see that A and AAAA of hostname lead to this machine, and that no other web server answers there"},
    {"incorrectResponse",
     "see that A and AAAA of hostname lead to this machine, and that no other server answers there"},
    {"tls", "see that A and AAAA of hostname lead to this machine, and that nothing on the way ends TLS"},
    {"caa", "the CAA record of the domain forbids this authority: add it there, or take it away"},
    {"rejectedIdentifier", "the authority issues nothing for this hostname: choose another"},
    {"invalidContact", "correct tls.acme.email"},
    {"unsupportedContact", "correct tls.acme.email"},
    {"userActionRequired", "the authority wants something of you: follow its link"},
    {"externalAccountRequired", "choose an authority that needs no account made beforehand"},
    {"rateLimited", "wait: sendas tries again when the authority allows it"},
};

static const char *fix_of(const struct acme_problem *p)
{
    for (size_t i = 0; i < ARRAY_LEN(fixes); i++) {
        size_t n = strlen(fixes[i].type);
        /* A challenge's own problem comes as text. */
        if (strcmp(p->type, fixes[i].type) == 0 ||
            (p->type[0] == '\0' && strncmp(p->text, fixes[i].type, n) == 0 && p->text[n] == ':'))
            return fixes[i].fix;
    }
    return NULL;
}

static void fail_problem(struct acme_order *o, enum acme_failure_kind kind, const struct acme_problem *p)
{
    fail(o, kind, p->text);
    o->failure.fix = fix_of(p);
}

/* An object of the authority has become invalid: `text` says why. */
static void fail_invalid(struct acme_order *o, const char *what, const char *text)
{
    struct acme_problem p = {.type = ""};

    snprintf(p.text, sizeof(p.text), "%s", *text != '\0' ? text : what);
    fail_problem(o, ACME_FAILURE_REFUSED, &p);
}

/* ---- going on -------------------------------------------------------------------------------- */

static void go(struct acme_order *o, enum acme_step to)
{
    o->step = to;
    o->wait_ms = 0;
}

/* RFC 8555 7.5.1, 7.4: the same again later; Retry-After says when. */
static void poll(struct acme_order *o, enum acme_step to, const struct acme_response *r)
{
    int64_t wait = o->polls < 10 ? (int64_t)POLL_FIRST_MS << o->polls : POLL_MAX_MS;

    if (++o->polls > POLLS_MAX) {
        fail(o, ACME_FAILURE_NETWORK, "the authority does not come to an end");
        return;
    }
    o->step = to;
    o->wait_ms = wait > POLL_MAX_MS ? POLL_MAX_MS : wait;
    if (r->retry_after_s >= 0)
        o->wait_ms = r->retry_after_s > POLL_ASKED_MAX_S ? POLL_ASKED_MAX_S * 1000 : r->retry_after_s * 1000;
}

/* Where an order stands decides what comes next (RFC 8555 7.1.6, 7.4). */
static void go_on_from(struct acme_order *o, const struct acme_response *r, enum acme_step when_pending)
{
    enum acme_status_word status = o->order.status;

    bool finalized = status == ACME_STATUS_READY && o->step == ACME_STEP_FINALIZE; /* not taken notice of yet */

    if (status == ACME_STATUS_PROCESSING || finalized)
        poll(o, ACME_STEP_STATUS, r);
    else if (status == ACME_STATUS_READY)
        go(o, ACME_STEP_FINALIZE);
    else if (status == ACME_STATUS_VALID)
        go(o, ACME_STEP_CERTIFICATE);
    else if (status == ACME_STATUS_INVALID)
        fail_invalid(o, "the order has become invalid", o->order.problem);
    else if (when_pending == ACME_STEP_STATUS)
        poll(o, when_pending, r);
    else
        go(o, when_pending);
}

/* ---- the steps: request bodies --------------------------------------------------------------- */

static json_t *contact_of(const struct acme_order *o)
{
    char mailto[ACME_EMAIL_MAX + 16];

    if (*o->email == '\0')
        return json_array();
    snprintf(mailto, sizeof(mailto), "mailto:%s", o->email);
    return json_pack("[s]", mailto);
}

/* RFC 8555 7.3: the terms are agreed to (sendas.yaml(5) says so). */
static json_t *write_account(struct acme_order *o)
{
    json_t *doc = json_pack("{s:b}", "termsOfServiceAgreed", 1);
    if (*o->email != '\0' && json_object_set_new(doc, "contact", contact_of(o)) < 0) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

static json_t *write_contact(struct acme_order *o)
{
    return json_pack("{s:o}", "contact", contact_of(o));
}

static json_t *write_order(struct acme_order *o)
{
    json_t *doc = json_pack("{s:[{s:s, s:s}]}", "identifiers", "type", "dns", "value", o->hostname);
    if (o->replaces != NULL && !o->replaces_refused && /* RFC 9773 5 */
        json_object_set_new(doc, "replaces", json_string(o->replaces)) < 0) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

static json_t *write_challenge(struct acme_order *o)
{
    (void)o;
    return json_object(); /* RFC 8555 7.5.1 */
}

static json_t *write_finalize(struct acme_order *o)
{
    struct strbuf der = STRBUF_INIT, text = STRBUF_INIT;
    json_t *doc = NULL;

    if (acme_csr(o->certificate_key, o->hostname, &der) == 0) {
        acme_base64url(&text, strbuf_slice(&der));
        doc = text.failed ? NULL : json_pack("{s:s}", "csr", strbuf_str(&text));
    }
    strbuf_free(&der);
    strbuf_free(&text);
    return doc;
}

/* ---- the steps: responses -------------------------------------------------------------------- */

static void take_directory(struct acme_order *o, const struct acme_response *r)
{
    struct err err;

    if (acme_directory_parse(r->body, &o->directory, &err) < 0)
        fail(o, ACME_FAILURE_NETWORK, err.text);
    else if (o->account[0] == '\0' && o->directory.account_required)
        fail_problem(
            o, ACME_FAILURE_REFUSED,
            &(struct acme_problem){"externalAccountRequired", "the authority wants an account made beforehand"});
    else if (o->account[0] == '\0')
        go(o, ACME_STEP_ACCOUNT);
    else
        go(o, strcmp(o->account_email, o->email) == 0 ? ACME_STEP_ORDER : ACME_STEP_CONTACT);
}

static void take_account(struct acme_order *o, const struct acme_response *r)
{
    if (!acme_url_ok(r->location)) {
        fail(o, ACME_FAILURE_NETWORK, "the account has no https URL");
        return;
    }
    snprintf(o->account, sizeof(o->account), "%s", r->location);
    /* RFC 8555 7.3.1: 200 is an account that was there, with the address that it had. */
    if (r->status == 201)
        snprintf(o->account_email, sizeof(o->account_email), "%s", o->email);
    go(o, strcmp(o->account_email, o->email) == 0 ? ACME_STEP_ORDER : ACME_STEP_CONTACT);
}

static void take_contact(struct acme_order *o, const struct acme_response *r)
{
    (void)r;
    snprintf(o->account_email, sizeof(o->account_email), "%s", o->email);
    go(o, ACME_STEP_ORDER);
}

static bool read_order(struct acme_order *o, const struct acme_response *r)
{
    struct err err;

    if (acme_order_parse(r->body, o->hostname, &o->order, &err) == 0)
        return true;
    fail(o, ACME_FAILURE_NETWORK, err.text);
    return false;
}

static void take_order(struct acme_order *o, const struct acme_response *r)
{
    if (!acme_url_ok(r->location))
        fail(o, ACME_FAILURE_NETWORK, "the order has no https URL");
    else if (read_order(o, r)) {
        snprintf(o->url, sizeof(o->url), "%s", r->location);
        go_on_from(o, r, ACME_STEP_AUTHORIZATION);
    }
}

static bool read_authorization(struct acme_order *o, const struct acme_response *r)
{
    struct err err;

    if (acme_authorization_parse(r->body, o->hostname, &o->authorization, &err) < 0)
        fail(o, ACME_FAILURE_NETWORK, err.text);
    else if (o->authorization.status == ACME_STATUS_VALID)
        go(o, ACME_STEP_STATUS);
    else if (o->authorization.status != ACME_STATUS_PENDING)
        fail_invalid(o, "the authorization has become invalid", o->authorization.problem);
    else
        return true;
    return false;
}

static bool choose(struct acme_order *o, enum acme_challenge c)
{
    if (!o->answers[c] || o->authorization.challenge[c].url[0] == '\0')
        return false;
    o->challenge = c;
    return true;
}

static void take_authorization(struct acme_order *o, const struct acme_response *r)
{
    struct strbuf jwk = STRBUF_INIT;

    if (!read_authorization(o, r))
        return;
    if (!choose(o, o->prefer) && !choose(o, ACME_HTTP_01) && !choose(o, ACME_TLS_ALPN_01)) {
        fail(o, ACME_FAILURE_REFUSED, "the authority offers no challenge that tls.acme.listen can answer");
        return;
    }
    /* RFC 8555 8.1 */
    strbuf_reset(&o->key_authorization);
    strbuf_addf(&o->key_authorization, "%s.", acme_order_token(o));
    if (acme_jwk(o->account_key, &jwk) == 0)
        acme_thumbprint(strbuf_slice(&jwk), &o->key_authorization);
    if (jwk.failed || o->key_authorization.failed)
        fail_memory(o);
    else
        go(o, ACME_STEP_CHALLENGE);
    strbuf_free(&jwk);
}

static void take_challenge(struct acme_order *o, const struct acme_response *r)
{
    poll(o, ACME_STEP_VALIDATION, r);
}

static void take_validation(struct acme_order *o, const struct acme_response *r)
{
    if (read_authorization(o, r))
        poll(o, ACME_STEP_VALIDATION, r);
}

static void take_status(struct acme_order *o, const struct acme_response *r)
{
    if (read_order(o, r))
        go_on_from(o, r, ACME_STEP_STATUS);
}

static void take_certificate(struct acme_order *o, const struct acme_response *r)
{
    strbuf_reset(&o->chain);
    strbuf_add_slice(&o->chain, r->body);
    if (o->chain.failed)
        fail_memory(o);
    else
        go(o, ACME_STEP_DONE);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct acme_order, member)
static const char chain_type[] = "application/pem-certificate-chain"; /* RFC 8555 7.4.2 */

static const struct {
    const char *name; /* as failures are told */
    size_t url;       /* where in struct acme_order it stands */
    bool key_itself;  /* signed with the key itself, as there is no account yet */
    const char *accept;
    json_t *(*write)(struct acme_order *o); /* NULL: POST-as-GET (RFC 8555 6.3) */
    void (*take)(struct acme_order *o, const struct acme_response *r);
} steps[] = {
    [ACME_STEP_DIRECTORY] = {"directory", 0, false, NULL, NULL, take_directory},
    [ACME_STEP_ACCOUNT] = {"account", AT(directory.new_account), true, NULL, write_account, take_account},
    [ACME_STEP_CONTACT] = {"contact", AT(account), false, NULL, write_contact, take_contact},
    [ACME_STEP_ORDER] = {"order", AT(directory.new_order), false, NULL, write_order, take_order},
    [ACME_STEP_AUTHORIZATION] = {"authorization", AT(order.authorization), false, NULL, NULL, take_authorization},
    [ACME_STEP_CHALLENGE] = {"challenge", 0, false, NULL, write_challenge, take_challenge},
    [ACME_STEP_VALIDATION] = {"validation", AT(order.authorization), false, NULL, NULL, take_validation},
    [ACME_STEP_STATUS] = {"status", AT(url), false, NULL, NULL, take_status},
    [ACME_STEP_FINALIZE] = {"finalize", AT(order.finalize), false, NULL, write_finalize, take_status},
    [ACME_STEP_CERTIFICATE] = {"certificate", AT(order.certificate), false, chain_type, NULL, take_certificate},
    [ACME_STEP_DONE] = {"done", 0, false, NULL, NULL, NULL},
    [ACME_STEP_FAILED] = {"failed", 0, false, NULL, NULL, NULL},
};

const char *acme_step_name(enum acme_step s)
{
    return steps[s].name;
}

const char *acme_order_token(const struct acme_order *o)
{
    return o->authorization.challenge[o->challenge].token;
}

static const char *url_of(const struct acme_order *o)
{
    if (o->step == ACME_STEP_DIRECTORY)
        return o->directory_url;
    if (o->step == ACME_STEP_CHALLENGE)
        return o->authorization.challenge[o->challenge].url;
    return (const char *)o + steps[o->step].url;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int write_body(struct acme_order *o, const char *url, struct strbuf *out)
{
    json_t *doc = steps[o->step].write == NULL ? NULL : steps[o->step].write(o);
    char *payload = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    int rc = -1;

    if (payload != NULL || steps[o->step].write == NULL)
        rc = acme_jws(o->account_key, steps[o->step].key_itself ? NULL : o->account, o->nonce, url, slice_of(payload),
                      out);
    free(payload);
    json_decref(doc);
    return rc;
}

int acme_order_request(struct acme_order *o, struct acme_request *ret)
{
    *ret = (struct acme_request){.method = ACME_GET, .url = url_of(o), .accept = steps[o->step].accept};
    o->wait_ms = 0;
    o->fetching_nonce = o->step != ACME_STEP_DIRECTORY && o->nonce[0] == '\0';
    if (o->step == ACME_STEP_DIRECTORY)
        return 0;
    if (o->fetching_nonce) { /* RFC 8555 7.2 */
        ret->method = ACME_HEAD;
        ret->url = o->directory.new_nonce;
        return 0;
    }
    ret->method = ACME_POST;
    int rc = write_body(o, ret->url, &ret->body);
    o->nonce[0] = '\0'; /* for one use */
    if (rc < 0) {
        strbuf_free(&ret->body);
        fail_memory(o);
    }
    return rc;
}

/* ---- responses ------------------------------------------------------------------------------- */

/* Refusals that another try of ours can answer at once. */
static bool recovers(struct acme_order *o, const struct acme_response *r, const struct acme_problem *p)
{
    if (strcmp(p->type, "badNonce") == 0) /* RFC 8555 6.5 */
        return ++o->bad_nonces <= BAD_NONCES_MAX;
    if (strcmp(p->type, "accountDoesNotExist") == 0 && !o->account_forgotten && o->step != ACME_STEP_ACCOUNT) {
        o->account_forgotten = true;
        o->account[0] = o->account_email[0] = '\0';
        go(o, ACME_STEP_ACCOUNT);
        return true;
    }
    bool limited = r->status == 429 || strcmp(p->type, "rateLimited") == 0;
    if (o->step == ACME_STEP_ORDER && o->replaces != NULL && !o->replaces_refused && r->status < 500 && !limited) {
        o->replaces_refused = true; /* alreadyReplaced (RFC 9773 7.4), or a certificate it does not know */
        return true;
    }
    if (o->step == ACME_STEP_CONTACT && r->status < 500 && !limited) {
        go(o, ACME_STEP_ORDER); /* no reason to be without a certificate; the next order tries again */
        return true;
    }
    return false;
}

static void refused(struct acme_order *o, const struct acme_response *r)
{
    struct acme_problem p;

    acme_problem_parse(r->body, r->status, &p);
    if (recovers(o, r, &p))
        return;
    bool limited = r->status == 429 || strcmp(p.type, "rateLimited") == 0;
    /* 503 with Retry-After is how Boulder says that it is too busy. */
    fail_problem(o,
                 limited            ? ACME_FAILURE_LIMITED
                 : r->status >= 500 ? ACME_FAILURE_NETWORK
                                    : ACME_FAILURE_REFUSED,
                 &p);
    o->failure.retry_after_s = r->retry_after_s;
}

void acme_order_response(struct acme_order *o, const struct acme_response *r)
{
    bool good = r->status >= 200 && r->status < 300;

    if (acme_token_ok(r->nonce)) /* RFC 8555 6.5.1: anything else is ignored */
        snprintf(o->nonce, sizeof(o->nonce), "%s", r->nonce);
    if (o->fetching_nonce && good && o->nonce[0] != '\0')
        return;
    if (o->fetching_nonce && good)
        fail(o, ACME_FAILURE_NETWORK, "the authority gives no nonce");
    else if (!good)
        refused(o, r);
    else {
        o->bad_nonces = 0;
        steps[o->step].take(o, r);
    }
}

void acme_order_unreachable(struct acme_order *o, const char *why)
{
    fail(o, ACME_FAILURE_NETWORK, why);
    o->failure.fix = "see that this machine reaches the authority (tls.acme.directory) by https";
}

void acme_order_clear(struct acme_order *o)
{
    strbuf_free(&o->key_authorization);
    strbuf_free(&o->chain);
}
