/* An authority that says anything: each order ends, within bounds, and nothing unchecked is kept of it.
 *
 * The input is a row of responses with a NUL octet between them; the first octet of each chooses status, nonce and location. */
#include "../../src/acme/internal.h"

#include <openssl/ec.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check(const struct acme_order *o)
{
    const char *urls[] = {o->account,
                          o->url,
                          o->directory.new_order,
                          o->order.finalize,
                          o->order.certificate,
                          o->authorization.challenge[0].url,
                          o->authorization.challenge[1].url};

    need(o->wait_ms >= 0 && o->wait_ms <= 120000);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        need(*urls[i] == '\0' || acme_url_ok(urls[i]));
    need(o->nonce[0] == '\0' || acme_token_ok(o->nonce));
    for (size_t i = 0; i < ACME_CHALLENGES; i++)
        need(o->authorization.challenge[i].token[0] == '\0' || acme_token_ok(o->authorization.challenge[i].token));
    if (o->step == ACME_STEP_FAILED) {
        need(o->failure.reason[0] != '\0');
        for (const char *p = o->failure.reason; *p != '\0'; p++)
            need((unsigned char)*p >= ' ' && *p != 0x7f);
    }
}

static void run(const uint8_t *data, size_t size)
{
    static const unsigned statuses[] = {200, 201, 204, 302, 400, 409, 429, 503};
    static EVP_PKEY *key;
    if (key == NULL)
        key = EVP_EC_gen("P-256");
    struct acme_order o = {.directory_url = "https://ca.test/dir",
                           .hostname = "a.test",
                           .email = "me@a.test",
                           .replaces = "a.b",
                           .account_key = key,
                           .certificate_key = key,
                           .answers = {true, true}};

    while (o.step < ACME_STEP_DONE && size > 0) {
        const uint8_t *end = memchr(data, 0, size);
        size_t n = end == NULL ? size : (size_t)(end - data);
        struct acme_request q;
        need(acme_order_request(&o, &q) == 0);
        need(acme_url_ok(q.url));
        strbuf_free(&q.body);
        uint8_t first = n > 0 ? data[0] : 0;
        struct acme_response r = {.status = statuses[first & 7],
                                  .nonce = (first & 8) != 0 ? "" : "nonce",
                                  .location = (first & 16) != 0 ? "x" : "https://ca.test/l",
                                  .retry_after_s = (first & 32) != 0 ? 1 << 30 : -1,
                                  .body = slice_from(data + (n > 0), n - (n > 0))};
        acme_order_response(&o, &r);
        check(&o);
        data += end == NULL ? n : n + 1;
        size -= end == NULL ? n : n + 1;
    }
    acme_order_clear(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_from(data, size);
    struct acme_window w;
    struct acme_state s, again;
    struct acme_problem p;
    struct strbuf printed = STRBUF_INIT;

    run(data, size);
    if (acme_window_parse(text, &w, NULL) == 0)
        need(w.start < w.end);
    acme_problem_parse(text, 400, &p);
    need(p.text[0] != '\0');
    if (acme_state_parse(text, &s) == 0) { /* what is written is read again, the same */
        need(acme_state_print(&s, &printed) == 0);
        need(acme_state_parse(strbuf_slice(&printed), &again) == 0);
        need(strcmp(s.reason, again.reason) == 0 && s.failures == again.failures &&
             s.next_attempt == again.next_attempt);
        need(strcmp(s.account, again.account) == 0 && s.renewal.renew_at == again.renewal.renew_at);
    }
    acme_responder_asks(text, "token");
    strbuf_free(&printed);
    return 0;
}
