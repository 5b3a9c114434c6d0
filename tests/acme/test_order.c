/* Whole orders as text: what is asked for, what the authority answers, what comes of it.
 *
 * A file of tests/acme/orders:  "# ..." remark · "@ FILE" what stands in that file first · "! KEY VALUE" a setting before the first
 * request (account, contact, email, replaces, answers) · "> METHOD URL [PAYLOAD]" the next request · "~ MS" the wait before it · "<
 * STATUS [nonce=N] [location=URL] [retry=S] [BODY]" its response · "= STEP [KIND: REASON]" how it ends. */
#include "../../src/acme/internal.h"
#include "testing.h"

#include <dirent.h>
#include <openssl/ec.h>

#define FOLDER "tests/acme/orders/"

static EVP_PKEY *key;

struct run {
    const char *file;
    unsigned line;
    struct acme_order order;
    struct arena mem;
    bool ended;
};

static const char *const methods[] = {[ACME_GET] = "GET", [ACME_HEAD] = "HEAD", [ACME_POST] = "POST"};
static const char *const kinds[] = {"local", "network", "refused", "limited"};

#define EXPECT(r, ok, ...)                                                                                             \
    ck_assert_msg(ok, "%s:%u: %s", (r)->file, (r)->line, (snprintf(said, sizeof(said), __VA_ARGS__), said))
static char said[2048];

/* What a signed request says, or "" for one that only asks (RFC 8555 6.3). */
static const char *payload_of(struct run *r, const struct acme_request *request)
{
    struct strbuf text = STRBUF_INIT, bytes = STRBUF_INIT;
    json_t *doc = json_loadb(request->body.p, request->body.n, 0, NULL);
    ck_assert_ptr_nonnull(doc);
    strbuf_add_str(&text, json_string_value(json_object_get(doc, "payload")));
    for (size_t i = 0; i < text.n; i++)
        text.p[i] = text.p[i] == '-' ? '+' : text.p[i] == '_' ? '/' : text.p[i];
    while (text.n % 4 != 0)
        strbuf_add_char(&text, '=');
    EXPECT(r, base64_decode(&bytes, strbuf_slice(&text)) == 0, "the payload is no base64url");
    const char *copy = arena_strdup(&r->mem, strbuf_slice(&bytes));
    strbuf_free(&text);
    strbuf_free(&bytes);
    json_decref(doc);
    return copy;
}

static void setting(struct run *r, struct slice line)
{
    struct slice name, value = slice_cut(line, ' ', &name);
    const char *text = arena_strdup(&r->mem, value);

    if (slice_eq(name, SLICE("account")))
        snprintf(r->order.account, sizeof(r->order.account), "%s", text);
    else if (slice_eq(name, SLICE("contact")))
        snprintf(r->order.account_email, sizeof(r->order.account_email), "%s", text);
    else if (slice_eq(name, SLICE("email")))
        r->order.email = text;
    else if (slice_eq(name, SLICE("replaces")))
        r->order.replaces = text;
    else if (slice_eq(name, SLICE("answers"))) {
        r->order.answers[ACME_HTTP_01] = strstr(text, "http-01") != NULL;
        r->order.answers[ACME_TLS_ALPN_01] = strstr(text, "tls-alpn-01") != NULL;
    } else
        EXPECT(r, false, "no such setting");
}

static void request(struct run *r, struct slice line)
{
    struct acme_request q;
    struct slice method, url, payload = slice_cut(slice_cut(line, ' ', &method), ' ', &url);

    EXPECT(r, r->order.step < ACME_STEP_DONE, "a request is expected, but the order is %s: %s",
           acme_step_name(r->order.step), r->order.failure.reason);
    ck_assert_int_eq(acme_order_request(&r->order, &q), 0);
    EXPECT(r, slice_eq(method, slice_of(methods[q.method])) && slice_eq(url, slice_of(q.url)), "asks %s %s",
           methods[q.method], q.url);
    if (q.method == ACME_POST && !slice_eq(payload, SLICE("*"))) {
        const char *found = payload_of(r, &q);
        EXPECT(r, slice_eq(payload, slice_of(found)), "says %s", found);
    }
    strbuf_free(&q.body);
}

static void response(struct run *r, struct slice line)
{
    struct acme_response a = {.nonce = "", .location = "", .retry_after_s = -1};
    struct slice word, rest = slice_cut(line, ' ', &word);
    uint64_t n = 0;

    EXPECT(r, slice_to_u64(word, &n) == 0, "no status");
    a.status = (unsigned)n;
    for (;;) {
        struct slice next = slice_cut(rest, ' ', &word);
        if (slice_starts(word, SLICE("nonce=")))
            a.nonce = arena_strdup(&r->mem, slice_skip(word, 6));
        else if (slice_starts(word, SLICE("location=")))
            a.location = arena_strdup(&r->mem, slice_skip(word, 9));
        else if (slice_starts(word, SLICE("retry="))) {
            ck_assert_int_eq(slice_to_u64(slice_skip(word, 6), &n), 0);
            a.retry_after_s = (int64_t)n;
        } else
            break;
        rest = next;
    }
    a.body = rest;
    acme_order_response(&r->order, &a);
}

static void ends(struct run *r, struct slice line)
{
    struct slice step, reason = slice_cut(line, ' ', &step);
    const struct acme_failure *f = &r->order.failure;
    char found[1024] = "";

    EXPECT(r, slice_eq(step, slice_of(acme_step_name(r->order.step))), "is %s: %s", acme_step_name(r->order.step),
           f->reason);
    if (r->order.step == ACME_STEP_FAILED)
        snprintf(found, sizeof(found), "%s: %s", kinds[f->kind], f->reason);
    else if (r->order.step == ACME_STEP_DONE)
        snprintf(found, sizeof(found), "%s", strbuf_str(&r->order.chain));
    EXPECT(r, slice_eq(reason, slice_of(found)), "ends with %s", found);
    r->ended = true;
}

static void play(struct run *r, const char *file);

static void play_line(struct run *r, struct slice line)
{
    struct slice rest = slice_skip(line, 2);
    uint64_t ms;

    switch (line.n == 0 ? '#' : line.p[0]) {
    case '#':
        break;
    case '@': {
        const char *file = r->file;
        unsigned at = r->line;
        play(r, arena_strdup(&r->mem, rest));
        r->file = file;
        r->line = at;
        break;
    }
    case '!':
        setting(r, rest);
        break;
    case '>':
        request(r, rest);
        break;
    case '<':
        response(r, rest);
        break;
    case '~':
        ck_assert_int_eq(slice_to_u64(rest, &ms), 0);
        EXPECT(r, r->order.wait_ms == (int64_t)ms, "waits %lld ms", (long long)r->order.wait_ms);
        break;
    case '=':
        ends(r, rest);
        break;
    default:
        EXPECT(r, false, "what is this?");
    }
}

static void play(struct run *r, const char *file)
{
    struct strbuf path = STRBUF_INIT, text = STRBUF_INIT;
    struct err err = {.text = ""};

    strbuf_addf(&path, FOLDER "%s", file);
    ck_assert_msg(file_read(strbuf_str(&path), 1024 * 1024, false, &text, &err) == 0, "%s", err.text);
    r->file = file;
    r->line = 0;
    for (struct slice rest = strbuf_slice(&text), line; rest.n > 0;) {
        rest = slice_cut(rest, '\n', &line);
        r->line++;
        play_line(r, line);
    }
    strbuf_free(&path);
    strbuf_free(&text);
}

START_TEST(test_orders)
{
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    unsigned n = 0;

    ck_assert_ptr_nonnull(folder);
    key = EVP_EC_gen("P-256");
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "to-", 3) == 0) /* what others begin with */
            continue;
        struct run r = {.order = {.directory_url = "https://ca.test/dir",
                                  .hostname = "mail.example.org",
                                  .email = "me@example.org",
                                  .account_key = key,
                                  .certificate_key = key,
                                  .answers = {true, true}}};
        play(&r, entry->d_name);
        EXPECT(&r, r.ended, "has no end");
        acme_order_clear(&r.order);
        arena_free(&r.mem);
        n++;
    }
    closedir(folder);
    EVP_PKEY_free(key);
    ck_assert_uint_ge(n, 20);
}
END_TEST

/* An authority that says "not yet" for ever, or calls every nonce bad, is left in the end. */
START_TEST(test_no_end)
{
    static const char pending[] =
        "{\"status\":\"processing\",\"identifiers\":[{\"type\":\"dns\",\"value\":\"mail.example.org\"}],"
        "\"authorizations\":[\"https://ca.test/z\"],\"finalize\":\"https://ca.test/f\"}";
    static const char bad[] = "{\"type\":\"urn:ietf:params:acme:error:badNonce\"}";
    struct acme_response r = {
        .status = _i == 0 ? 200 : 400, .nonce = "n", .location = "https://ca.test/o", .retry_after_s = -1};
    unsigned requests = 0;

    r.body = slice_of(_i == 0 ? pending : bad);
    key = EVP_EC_gen("P-256");
    struct acme_order o = {.directory_url = "https://ca.test/dir",
                           .hostname = "mail.example.org",
                           .email = "",
                           .account_key = key,
                           .certificate_key = key,
                           .step = ACME_STEP_ORDER,
                           .account = "https://ca.test/a",
                           .nonce = "n"};
    while (o.step < ACME_STEP_DONE) {
        struct acme_request q;
        ck_assert_int_lt(++requests, 100);
        ck_assert_int_eq(acme_order_request(&o, &q), 0);
        strbuf_free(&q.body);
        acme_order_response(&o, &r);
        ck_assert_int_le(o.wait_ms, 120000);
    }
    ck_assert_int_eq(o.step, ACME_STEP_FAILED);
    acme_order_clear(&o);
    EVP_PKEY_free(key);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("acme order");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_orders);
    tcase_add_loop_test(tc, test_no_end, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
