/* Fail closed: whatever goes wrong between the submission and the queue, no message reaches the queue that is not
 * signed rightly by every key of its domain.
 *
 * The faults are put in by the linker (--wrap, see the Makefile), so that nothing of the kind is in the product: a
 * signature with a bit flipped, by another key, by a key of another type, of another length; a body that reads back
 * otherwise, short or not at all; and any single allocation that fails, ours or OpenSSL's.  The judge of what reaches
 * the queue is this file's own: OpenSSL and the naive canonicalisation, none of the product's verifier. */
#include "../dkim/forge.h"
#include "fixture.h"

#include "../../src/dkim/internal.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdatomic.h>

enum { TRIES_MIN = 1000 };

/* ---- faults --------------------------------------------------------------------------------------------- */

enum fault {
    FAULT_NONE = 0,
    FAULT_BIT,        /* `at`: which bit of the signatures, counted through all of them */
    FAULT_OTHER_KEY,  /* `at`: which signature */
    FAULT_OTHER_TYPE, /* `at`: which signature */
    FAULT_EMPTY,      /* `at`: which signature */
    FAULT_SHORT,      /* `at`: which signature */
    FAULT_REPEATED,   /* the first signature stands in both fields */
    FAULT_INPUT,      /* `at`: which octet of what is signed */
    FAULT_BODY_CUT,   /* `at`: the spool ends there */
    FAULT_BODY_ERROR, /* `at`: the spool cannot be read from there */
    FAULT_BODY_BIT,   /* `at`: an octet that reads back otherwise */
    FAULT_ALLOCATION  /* `at`: the allocation that fails */
};

static struct {
    enum fault kind;
    size_t at;
    bool hit;
    size_t signature, bits; /* made so far in this message */
    char first[1024];
    size_t first_n;
} fault;

static struct dkim_key *spare_rsa, *spare_ed;

int __real_dkim_key_sign(const struct dkim_key *key, struct slice input, struct strbuf *out, struct err *err);
int __wrap_dkim_key_sign(const struct dkim_key *key, struct slice input, struct strbuf *out, struct err *err);

static const struct dkim_key *replace_key(const struct dkim_key *key)
{
    bool rsa = dkim_key_algorithm(key) == DKIM_RSA_SHA256;
    if (fault.at != fault.signature || (fault.kind != FAULT_OTHER_KEY && fault.kind != FAULT_OTHER_TYPE))
        return key;
    fault.hit = true;
    return rsa == (fault.kind == FAULT_OTHER_KEY) ? spare_rsa : spare_ed;
}

static void spoil_signature(struct strbuf *out, size_t before)
{
    size_t n = out->n - before;
    if (fault.signature == 0) {
        memcpy(fault.first, out->p + before, n);
        fault.first_n = n;
    }
    if (fault.kind == FAULT_BIT && fault.at >= fault.bits && fault.at < fault.bits + 8 * n) {
        size_t bit = fault.at - fault.bits;
        out->p[before + bit / 8] = (char)(out->p[before + bit / 8] ^ (1 << bit % 8));
        fault.hit = true;
    } else if (fault.kind == FAULT_REPEATED && fault.signature == 1) {
        strbuf_truncate(out, before);
        strbuf_add(out, fault.first, fault.first_n);
        fault.hit = true;
    } else if ((fault.kind == FAULT_EMPTY || fault.kind == FAULT_SHORT) && fault.at == fault.signature) {
        strbuf_truncate(out, fault.kind == FAULT_EMPTY ? before : out->n - 1);
        fault.hit = true;
    }
    fault.bits += 8 * n;
    fault.signature++;
}

int __wrap_dkim_key_sign(const struct dkim_key *key, struct slice input, struct strbuf *out, struct err *err)
{
    size_t before = out->n;
    struct strbuf changed = STRBUF_INIT;
    if (fault.kind == FAULT_INPUT && fault.at < input.n) {
        strbuf_add_slice(&changed, input);
        if (!changed.failed) {
            changed.p[fault.at] ^= 1;
            input = strbuf_slice(&changed);
            fault.hit = true;
        }
    }
    int status = __real_dkim_key_sign(replace_key(key), input, out, err);
    strbuf_free(&changed);
    if (status == 0)
        spoil_signature(out, before);
    return status;
}

ssize_t __real_spool_read(const struct spool *s, uint64_t offset, void *buf, size_t n);
ssize_t __wrap_spool_read(const struct spool *s, uint64_t offset, void *buf, size_t n);

ssize_t __wrap_spool_read(const struct spool *s, uint64_t offset, void *buf, size_t n)
{
    bool reaches = offset + n > fault.at && fault.at < spool_size(s);
    if (fault.kind == FAULT_BODY_ERROR && reaches) {
        fault.hit = true;
        return -1;
    }
    if (fault.kind == FAULT_BODY_CUT && reaches) {
        fault.hit = true;
        return offset >= fault.at ? 0 : __real_spool_read(s, offset, buf, fault.at - offset);
    }
    ssize_t got = __real_spool_read(s, offset, buf, n);
    if (fault.kind == FAULT_BODY_BIT && fault.at >= offset && got > (ssize_t)(fault.at - offset)) {
        ((char *)buf)[fault.at - offset] ^= 1;
        fault.hit = true;
    }
    return got;
}

/* ---- allocations: those of this program's own objects, and OpenSSL's ------------------------------------- */

static atomic_long countdown; /* the allocation that makes it 0 fails */

static bool fails(void)
{
    if (atomic_load(&countdown) <= 0)
        return false;
    if (atomic_fetch_sub(&countdown, 1) != 1)
        return false;
    fault.hit = true;
    return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t count, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t count, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t count, size_t n)
{
    return fails() ? NULL : __real_reallocarray(p, count, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return n == 0 || fails() ? NULL : __real_malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : __real_realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* OpenSSL takes these only before it has allocated anything. */
static bool crypto_counted;
__attribute__((constructor)) static void count_crypto(void)
{
    crypto_counted = CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) == 1;
}

/* ---- the queue in its place, and the judge ------------------------------------------------------------------- */

static struct event_base *base;
static struct intake_context context;
static struct intake_settings *settings;
static EVP_PKEY *public_keys[2];
static FILE *log_file;
static char *log_text;
static size_t log_size;

static struct {
    void (*done)(void *ctx, enum queue_status status);
    void *ctx;
    struct event *event;
    unsigned puts, good;
    bool sharp;   /* the judge sees what is wrong */
    int expected; /* on their way to queue_put */
} stored;

int queue_new_id(char ret[QUEUE_ID_SIZE])
{
    static unsigned n;
    snprintf(ret, QUEUE_ID_SIZE, "ID%08u", n++ % 100000000);
    return 0;
}

/* The value of a tag, without white space. */
static void tag_of(struct slice field, const char *name, struct strbuf *out)
{
    struct slice tag, tag_name, rest = slice_skip(field, strlen("DKIM-Signature:"));
    while (rest.n > 0) {
        rest = slice_cut(rest, ';', &tag);
        struct slice value = slice_cut(tag, '=', &tag_name);
        if (!slice_eq(slice_trim(tag_name), slice_of(name)))
            continue;
        for (size_t i = 0; i < value.n; i++) {
            if (memchr(" \t\r\n", value.p[i], 4) == NULL)
                strbuf_add_char(out, value.p[i]);
        }
    }
}

static bool is_signed_by(struct slice field, struct slice header, struct slice body, EVP_PKEY *key)
{
    struct strbuf text = STRBUF_INIT, names = STRBUF_INIT, bh = STRBUF_INIT, b = STRBUF_INIT, raw = STRBUF_INIT;
    struct strbuf want = STRBUF_INIT;
    unsigned char hash[32];
    tag_of(field, "h", &names);
    tag_of(field, "bh", &bh);
    tag_of(field, "b", &b);
    naive_body(&text, body);
    forge_sha256(strbuf_slice(&text), hash);
    base64_encode(&want, slice_from(hash, sizeof(hash)));
    bool good = slice_eq(strbuf_slice(&want), strbuf_slice(&bh)) && base64_decode(&raw, strbuf_slice(&b)) == 0;
    strbuf_reset(&text);
    forge_header(&text, header, strbuf_slice(&names), true);
    /* b= is the last tag that we write */
    size_t cut = slice_find_slice(field, SLICE("\r\n b=")) + 5;
    struct strbuf own = STRBUF_INIT;
    strbuf_add_slice(&own, slice_sub(field, 0, cut));
    strbuf_add_str(&own, "\r\n");
    forge_field(&text, strbuf_slice(&own), true);
    strbuf_truncate(&text, text.n - 2);
    forge_sha256(strbuf_slice(&text), hash);
    bool ed = forge_is_ed25519(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    good = good && EVP_DigestVerifyInit(ctx, NULL, ed ? NULL : EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(ctx, (const unsigned char *)strbuf_str(&raw), raw.n,
                            ed ? hash : (const unsigned char *)strbuf_str(&text), ed ? sizeof(hash) : text.n) == 1;
    EVP_MD_CTX_free(ctx);
    struct strbuf *all[] = {&text, &names, &bh, &b, &raw, &want, &own};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        strbuf_free(all[i]);
    return good;
}

/* Is the message signed by both keys, on top, RSA first?  The body is what the queue itself would read now. */
static bool is_good(const struct queue_message *m)
{
    struct slice head = m->head, field;
    struct strbuf body = STRBUF_INIT;
    char block[4096];
    ssize_t n;
    bool good = head.n > 2 && memcmp(head.p + head.n - 2, "\r\n", 2) == 0;
    while ((n = spool_read(m->body, body.n, block, sizeof(block))) > 0)
        strbuf_add(&body, block, (size_t)n);
    head.n -= 2;
    for (size_t i = 0; good && i < ARRAY_LEN(public_keys); i++) {
        size_t end = 0;
        do
            end += slice_find_slice(slice_skip(head, end), SLICE("\r\n")) + 2;
        while (end < head.n && head.p[end] == ' ');
        field = slice_sub(head, 0, end);
        good = slice_starts(field, SLICE("DKIM-Signature:")) &&
               is_signed_by(field, slice_skip(head, end), strbuf_slice(&body), public_keys[i]);
        head = slice_skip(head, end);
    }
    strbuf_free(&body);
    return n == 0 && good && fault.kind != FAULT_BODY_CUT;
}

/* Would the judge notice?  With one octet of the first signature changed, and without its signatures. */
static bool is_sharp(const struct queue_message *m)
{
    struct queue_message other = *m;
    struct strbuf head = STRBUF_INIT;
    strbuf_add_slice(&head, m->head);
    head.p[slice_find_slice(m->head, SLICE("\r\n b=")) + 9] ^= 1;
    other.head = strbuf_slice(&head);
    bool sharp = !is_good(&other);
    other.head = slice_skip(m->head, slice_find_slice(m->head, SLICE("Received:")));
    sharp = sharp && !is_good(&other);
    strbuf_free(&head);
    return sharp;
}

static void on_put(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    stored.done(stored.ctx, QUEUE_OK);
}

void queue_expect(struct queue *q, int n)
{
    (void)q;
    stored.expected += n;
}

void queue_put(struct queue *q, const struct queue_message *m, void (*done)(void *ctx, enum queue_status status),
               void *ctx)
{
    long before = atomic_exchange(&countdown, 0); /* the judge's own allocations do not fail */
    (void)q;
    stored.puts++;
    stored.good += is_good(m);
    stored.sharp = is_sharp(m);
    stored.done = done;
    stored.ctx = ctx;
    event_active(stored.event, EV_TIMEOUT, 0);
    atomic_store(&countdown, before);
}

/* ---- one try ---------------------------------------------------------------------------------------------------- */

static char *send_as[] = {(char *)"*@example.com"};
static const struct user user = {.name = (char *)"me@example.com", .send_as = send_as, .n_send_as = 1};

static EVP_PKEY *load_public(const char *name)
{
    char path[256];
    struct strbuf pem = STRBUF_INIT;
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    ck_assert_int_eq(file_read(path, 65536, false, &pem, NULL), 0);
    EVP_PKEY *key = forge_key(strbuf_str(&pem));
    strbuf_free(&pem);
    return key;
}

static struct dkim_key *make_spare(enum dkim_algorithm algorithm)
{
    struct strbuf pem = STRBUF_INIT;
    struct dkim_key *key = NULL;
    ck_assert_int_eq(dkim_key_generate(algorithm, 2048, &pem, NULL), 0);
    ck_assert_int_eq(dkim_key_parse(strbuf_slice(&pem), "spare", "example.com", "x", &key, NULL), 0);
    strbuf_free(&pem);
    return key;
}

static void setup(void)
{
    struct err err = {""};
    make_scratch();
    ck_assert_msg(load_settings("sendas.yaml", &settings, &err) == 0, "%s", err.text);
    public_keys[0] = load_public("rsa.pem");
    public_keys[1] = load_public("ed.pem");
    spare_rsa = make_spare(DKIM_RSA_SHA256);
    spare_ed = make_spare(DKIM_ED25519_SHA256);
    base = event_base_new();
    context = (struct intake_context){.base = base, .workers = workers_new(base, 1, 1, &err)};
    ck_assert_ptr_nonnull(context.workers);
    stored.event = event_new(base, -1, 0, on_put, NULL);
    log_file = open_memstream(&log_text, &log_size);
    log_to(log_file);
}

static void teardown(void)
{
    workers_free(&context.workers);
    ck_assert_uint_eq(settings->references, 1);
    intake_settings_unref(&settings);
    ck_assert_int_eq(stored.expected, 0);
    event_free(stored.event);
    event_base_free(base);
    EVP_PKEY_free(public_keys[0]);
    EVP_PKEY_free(public_keys[1]);
    dkim_key_free(&spare_rsa);
    dkim_key_free(&spare_ed);
    log_to(stderr);
    fclose(log_file);
    free(log_text);
    remove_scratch();
}

static struct {
    bool called;
    struct smtp_verdict v;
} verdict;

static void on_verdict(void *ctx, const struct smtp_verdict *v)
{
    (void)ctx;
    verdict.called = true;
    verdict.v = *v;
}

static const char header[] =
    "From: me@example.com\r\nTo: you@x.example\r\nSubject: hi\r\nDate: x\r\nMessage-ID: <i@d>\r\n\r\n";
static const char body[] = "Hello.\r\n\r\nThis is the  text of a message.\r\n-- \r\nMe\r\n";

/* The code that the client gets; 451 when there was not even memory to begin. */
static unsigned submit(enum fault kind, size_t at)
{
    struct intake_recipient to = {.address = SLICE("you@x.example"), .orcpt = SLICE("")};
    struct intake_origin origin = {
        .user = &user, .client_ip = SLICE("192.0.2.99"), .helo = SLICE("x"), .tls = SLICE("TLSv1.3"), .extended = true};
    struct intake_envelope envelope = {
        .mail_from = SLICE("me@example.com"), .envid = SLICE(""), .recipients = &to, .n_recipients = 1};
    memset(&fault, 0, sizeof(fault));
    fault.kind = kind;
    fault.at = at;
    verdict.called = false;
    atomic_store(&countdown, kind == FAULT_ALLOCATION ? (long)at : 0);
    struct intake *in = intake_begin(&context, settings, &origin, &envelope);
    if (in != NULL) {
        intake_data(in, slice_of(header));
        intake_data(in, slice_of(body));
        intake_commit(in, on_verdict, NULL);
        for (int i = 0; i < 1000000 && !verdict.called; i++)
            event_base_loop(base, EVLOOP_ONCE);
    }
    atomic_store(&countdown, 0); /* Check allocates too */
    ck_assert(in == NULL || verdict.called);
    return in == NULL ? 451 : (unsigned)verdict.v.code;
}

/* What must hold after each try, whatever the fault was. */
static void check_try(unsigned code, const char *what, size_t at)
{
    ck_assert_msg(stored.puts == stored.good, "%s %zu: a bad message reached the queue", what, at);
    ck_assert_msg(code == 250 || (code >= 400 && code < 500), "%s %zu: %u %s", what, at, code, verdict.v.text);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static size_t tries;

/* A fault that was put in is always answered with 451 4.7.5, and nothing is queued. */
static void refuse(enum fault kind, size_t at, const char *what)
{
    unsigned long failures = intake_signature_failures();
    unsigned puts = stored.puts;
    unsigned code = submit(kind, at);
    tries++;
    check_try(code, what, at);
    ck_assert_msg(fault.hit, "%s %zu: the fault did not happen", what, at);
    ck_assert_msg(code == 451 && strcmp(verdict.v.enhanced, "4.7.5") == 0, "%s %zu: %u %s %s", what, at, code,
                  verdict.v.enhanced, verdict.v.text);
    ck_assert_uint_eq(stored.puts, puts);
    ck_assert_uint_eq(intake_signature_failures(), failures + 1);
}

START_TEST(test_good)
{
    unsigned code = submit(FAULT_NONE, 0);
    ck_assert_msg(code == 250, "%u %s", code, verdict.v.text);
    ck_assert_uint_eq(stored.puts, 1);
    ck_assert_uint_eq(stored.good, 1);
    ck_assert(stored.sharp);
    ck_assert_uint_eq(intake_signature_failures(), 0);
    fflush(log_file);
    ck_assert_ptr_nonnull(strstr(log_text, "event=signed"));
}
END_TEST

START_TEST(test_signatures)
{
    enum { BITS = 8 * (256 + 64), STEP = 5 };
    for (size_t bit = 0; bit < BITS; bit += STEP)
        refuse(FAULT_BIT, bit, "bit");
    for (size_t i = 0; i < 2; i++) {
        refuse(FAULT_OTHER_KEY, i, "another key");
        refuse(FAULT_OTHER_TYPE, i, "a key of another type");
        refuse(FAULT_EMPTY, i, "an empty signature");
        refuse(FAULT_SHORT, i, "a short signature");
    }
    refuse(FAULT_REPEATED, 0, "the same signature twice");
    for (size_t i = 0; i < 300; i++)
        refuse(FAULT_INPUT, i, "another text signed");
    fflush(log_file);
    ck_assert_ptr_nonnull(strstr(log_text, "level=error event=rejected"));
    ck_assert_ptr_nonnull(strstr(log_text, "does not verify"));
    ck_assert_ptr_null(strstr(log_text, "event=signed")); /* that is said of what was verified */
    printf("%zu tries with a fault, %u messages queued\n", tries, stored.puts);
    ck_assert_uint_eq(submit(FAULT_NONE, 0), 250);
}
END_TEST

START_TEST(test_bodies)
{
    size_t end = sizeof(body) - 1;
    for (size_t at = 0; at < end; at++) {
        refuse(FAULT_BODY_BIT, at, "body bit");
        refuse(FAULT_BODY_ERROR, at, "body unreadable");
        if (at < end - 2) /* the last line's end is the same as none (RFC 6376 3.4.4) */
            refuse(FAULT_BODY_CUT, at, "body cut");
    }
    printf("%zu tries with a fault, %u messages queued\n", tries, stored.puts);
    ck_assert_uint_eq(submit(FAULT_NONE, 0), 250);
}
END_TEST

/* Each allocation in turn fails: ours in begin, data and on the worker, and those of OpenSSL below it. */
START_TEST(test_allocations)
{
    size_t at = 1, accepted = 0;
    ck_assert(crypto_counted);
    submit(FAULT_NONE, 0); /* what is loaded once is loaded now */
    for (;; at++, tries++) {
        unsigned code = submit(FAULT_ALLOCATION, at);
        check_try(code, "allocation", at);
        accepted += code == 250;
        if (!fault.hit)
            break;
    }
    ck_assert_uint_gt(at, 100);
    ck_assert_uint_eq(submit(FAULT_NONE, 0), 250);
    printf("%zu allocations failed in turn, %zu messages accepted all the same, all of them right\n", at - 1,
           accepted - 1);
}
END_TEST

/* The number that the whole is about. */
START_TEST(test_a_thousand)
{
    for (size_t at = 0; tries < TRIES_MIN; at++)
        refuse(FAULT_BIT, at * 7 % (8 * (256 + 64)), "bit");
    ck_assert_uint_eq(stored.puts, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake faults");
    TCase *tc = tcase_create("faults");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_good);
    tcase_add_test(tc, test_signatures);
    tcase_add_test(tc, test_bodies);
    tcase_add_test(tc, test_allocations);
    tcase_add_test(tc, test_a_thousand);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
