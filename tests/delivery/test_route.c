/* From a domain to the addresses that are tried, in their order (RFC 5321 5.1, RFC 7505), on a DNS of a few lines. */
#include "testing.h"

#include "../../src/delivery/route.h"

/* One row: what DNS holds ("name TYPE data; ..."), the settings, the domain; and what comes out: the targets in their
 * order, then '!' and the verdict.  Letters in `settings`: 6 prefer IPv6, a prefer any, p allow_private, s a smarthost
 * for all. */
static const struct {
    const char *dns, *settings, *domain, *want;
} rows[] = {
    {"x MX 10 m1; m1 A 8.8.8.1", "", "x", "m1=8.8.8.1 !451 4.4.1"},
    {"x MX 20 m2; x MX 10 m1; m1 A 8.8.8.1; m2 A 8.8.8.2", "", "x", "m1=8.8.8.1 m2=8.8.8.2 !451 4.4.1"},
    {"x MX 10 m1; m1 A 8.8.8.1; m1 AAAA 2a00::1", "", "x", "m1=8.8.8.1 m1=2a00::1 !451 4.4.1"},
    {"x MX 10 m1; m1 A 8.8.8.1; m1 AAAA 2a00::1", "6", "x", "m1=2a00::1 m1=8.8.8.1 !451 4.4.1"},
    /* no MX: the domain itself */
    {"x A 8.8.8.1", "", "x", "x=8.8.8.1 !451 4.4.1"},
    {"x TXT y", "", "x", "!550 5.4.4"},
    /* RFC 7505 */
    {"x MX 0 .", "", "x", "!556 5.1.10"},
    {"x MX 0 .; x A 8.8.8.1", "", "x", "!556 5.1.10"},
    {"x MX 0 .; x MX 10 m1; m1 A 8.8.8.1", "", "x", "m1=8.8.8.1 !451 4.4.1"},
    {"", "", "x", "!550 5.1.2"},
    {"x MX tempfail", "", "x", "!451 4.4.3"},
    /* one host cannot be resolved for the moment: it may yet be */
    {"x MX 10 m1; x MX 20 m2; m1 A tempfail", "", "x", "!451 4.4.3"},
    {"x MX 10 m1; m1 A tempfail; m1 AAAA 2a00::1", "", "x", "m1=2a00::1 !451 4.4.1"},
    {"x MX 10 m1; x MX 20 m2; m2 A 8.8.8.2", "", "x", "m2=8.8.8.2 !550 5.4.4"},
    /* we are among them */
    {"x MX 10 m1; x MX 20 us; x MX 20 m3; x MX 30 m4; m1 A 8.8.8.1; m3 A 8.8.8.3; m4 A 8.8.8.4; us A 8.8.8.9", "", "x",
     "m1=8.8.8.1 !451 4.4.1"},
    {"x MX 10 us; x MX 20 m2; m2 A 8.8.8.2", "", "x", "!554 5.4.6"},
    {"x MX 10 US; m2 A 8.8.8.2", "", "x", "!554 5.4.6"},
    {"x MX 10 m1; m1 A 8.8.8.9", "", "x", "!554 5.4.6"}, /* our address under another name */
    {"x MX 10 m1; m1 A 8.8.8.9", "p", "x", "m1=8.8.8.9 !451 4.4.1"},
    /* addresses that are not public */
    {"x MX 10 m1; m1 A 127.0.0.1", "", "x", "!554 5.4.4"},
    {"x MX 10 m1; m1 A 10.0.0.1; m1 A 8.8.8.1", "", "x", "m1=8.8.8.1 !554 5.4.4"},
    {"x MX 10 m1; m1 AAAA ::ffff:169.254.169.254", "", "x", "!554 5.4.4"},
    {"x MX 10 m1; m1 A 127.0.0.1", "p", "x", "m1=127.0.0.1 !451 4.4.1"},
    /* literals */
    {"", "", "[8.8.8.7]", "[8.8.8.7]=8.8.8.7 !451 4.4.1"},
    {"", "", "[IPv6:2a00::7]", "[IPv6:2a00::7]=2a00::7 !451 4.4.1"},
    {"", "", "[127.0.0.1]", "!554 5.4.4"},
    {"", "", "[nonsense]", "!550 5.4.4"},
    /* the configuration says where: no MX is asked, and any address will do */
    {"", "", "routed", "192.168.1.1=192.168.1.1:26 !451 4.4.1"},
    {"x MX 10 m1; m1 A 8.8.8.1; relay A 8.8.8.5", "s", "x", "relay=8.8.8.5:587 !451 4.4.1"},
    {"relay A 127.0.0.1", "s", "x", "relay=127.0.0.1:587 !451 4.4.1"},
    {"relay A 8.8.8.5", "s", "routed", "192.168.1.1=192.168.1.1:26 !451 4.4.1"},
    /* no more than ten hosts and ten addresses */
    {"x MX 1 a; x MX 2 b; x MX 3 c; a A 8.8.8.1*12; b A 8.8.8.2*12; c A 8.8.8.3*12", "", "x",
     "a=8.8.8.1 a=8.8.8.1 a=8.8.8.1 a=8.8.8.1 a=8.8.8.1 b=8.8.8.2 b=8.8.8.2 b=8.8.8.2 b=8.8.8.2 b=8.8.8.2 !451 4.4.1"},
};

enum { PENDING_MAX = 8, RECORDS_MAX = 64 };

struct pending {
    bool used;
    char name[80];
    enum dns_type type;
    void (*done)(void *, const struct dns_answer *);
    void *ctx;
};

struct world {
    const char *dns;
    struct pending pending[PENDING_MAX];
    unsigned woken, asked;
    unsigned (*shuffle)(unsigned n);
};

static void *resolve(void *ctx, const char *name, enum dns_type type, void (*done)(void *, const struct dns_answer *),
                     void *done_ctx)
{
    struct world *w = ctx;
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (!w->pending[i].used) {
            w->pending[i] = (struct pending){.used = true, .type = type, .done = done, .ctx = done_ctx};
            snprintf(w->pending[i].name, sizeof(w->pending[i].name), "%s", name);
            w->asked++;
            return &w->pending[i];
        }
    return NULL;
}

static void cancel(void *ctx, void *query)
{
    (void)ctx;
    ((struct pending *)query)->used = false;
}

static bool is_own(void *ctx, const char *address)
{
    (void)ctx;
    return strcmp(address, "8.8.8.9") == 0;
}

static unsigned last(void *ctx, unsigned n)
{
    struct world *w = ctx;
    return w->shuffle != NULL ? w->shuffle(n) : n - 1; /* n - 1: stays where it is */
}

/* "10 m1", "8.8.8.1", "8.8.8.1*12", "tempfail" into records; the number of them. */
static size_t take_record(struct arena *a, struct slice data, enum dns_type type, struct dns_record *ret)
{
    struct slice text = data, times;
    uint64_t n = 1, preference = 0;
    times = slice_cut(data, '*', &text);
    if (times.n > 0)
        ck_assert_int_eq(slice_to_u64(times, &n), 0);
    if (type == DNS_MX) {
        struct slice number;
        text = slice_cut(text, ' ', &number);
        ck_assert_int_eq(slice_to_u64(number, &preference), 0);
    }
    char *name = arena_strdup(a, slice_eq(text, SLICE(".")) ? SLICE("") : text);
    for (uint64_t i = 0; i < n; i++)
        ret[i] = (struct dns_record){.text = name, .preference = (unsigned)preference};
    return n;
}

static void answer_one(struct world *w, struct pending *p)
{
    static const struct {
        const char *name;
        enum dns_type type;
    } types[] = {{"A", DNS_A}, {"AAAA", DNS_AAAA}, {"MX", DNS_MX}, {"TXT", DNS_TXT}};
    struct arena mem = ARENA_INIT(1 << 16);
    struct dns_record records[RECORDS_MAX];
    struct dns_answer a = {.status = DNS_NXDOMAIN, .records = records, .reason = "no answer"};
    struct slice rest = slice_of(w->dns), line, name, type;
    while (rest.n > 0) {
        rest = slice_cut(rest, ';', &line);
        struct slice data = slice_cut(slice_cut(slice_trim(line), ' ', &name), ' ', &type);
        if (!slice_eq(name, slice_of(p->name)))
            continue;
        if (a.status == DNS_NXDOMAIN)
            a.status = DNS_NODATA;
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
            if (!slice_eq(type, slice_of(types[i].name)) || types[i].type != p->type)
                continue;
            a.status = slice_eq(data, SLICE("tempfail")) ? DNS_TEMPFAIL : DNS_OK;
            if (a.status == DNS_OK)
                a.n += take_record(&mem, data, p->type, records + a.n);
        }
    }
    p->used = false;
    p->done(p->ctx, &a);
    arena_free(&mem);
}

static void answer_all(struct world *w)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (w->pending[i].used)
            answer_one(w, &w->pending[i]);
}

static void wake(void *ctx)
{
    ((struct world *)ctx)->woken++;
}

static char nothing[] = "", star[] = "*", relay[] = "relay", routed[] = "routed", routed_host[] = "192.168.1.1",
            us[] = "us";
static struct config_route routes[] = {
    {.domain = routed, .host = routed_host, .port = 26, .user = nothing, .password_file = nothing},
    {.domain = star, .host = relay, .port = 587, .user = nothing, .password_file = nothing},
};

static struct config make_config(const char *settings)
{
    struct config c = {.hostname = us};
    c.delivery.port = 25;
    c.delivery.prefer = strchr(settings, '6')   ? CONFIG_PREFER_IPV6
                        : strchr(settings, 'a') ? CONFIG_PREFER_ANY
                                                : CONFIG_PREFER_IPV4;
    c.delivery.allow_private = strchr(settings, 'p') != NULL;
    c.delivery.routes = routes;
    c.delivery.n_routes = strchr(settings, 's') ? 2 : 1;
    return c;
}

static void run(struct route *r, struct world *w, struct strbuf *out)
{
    struct route_target t;
    for (unsigned steps = 0; steps < 1000; steps++) {
        enum route_status status = route_next(r, &t);
        if (status == ROUTE_END)
            break;
        if (status == ROUTE_WAIT) {
            unsigned woken = w->woken;
            answer_all(w);
            ck_assert_msg(w->woken > woken, "it waits and is not woken");
            continue;
        }
        strbuf_addf(out, "%s=%s", t.host, t.address);
        if (t.port != 25)
            strbuf_addf(out, ":%u", t.port);
        strbuf_add_char(out, ' ');
    }
    const struct smtp_verdict *v = route_verdict(r);
    strbuf_addf(out, "!%d %s", v->code, v->enhanced);
    ck_assert_msg(v->text[0] != '\0', "no reason given");
}

START_TEST(test_route)
{
    struct world w = {.dns = rows[_i].dns};
    struct config c = make_config(rows[_i].settings);
    struct route_env env = {&c, resolve, cancel, is_own, last, &w};
    struct route *r = route_new(&env, rows[_i].domain, wake, &w);
    struct strbuf out = STRBUF_INIT;
    run(r, &w, &out);
    ck_assert_msg(strcmp(strbuf_str(&out), rows[_i].want) == 0, "row \"%s\": got \"%s\", want \"%s\"", rows[_i].dns,
                  strbuf_str(&out), rows[_i].want);
    strbuf_free(&out);
    route_free(&r);
}
END_TEST

static unsigned first(unsigned n)
{
    (void)n;
    return 0;
}

/* RFC 5321 5.1: equal preference, random order; never across preferences. */
START_TEST(test_shuffled)
{
    struct world w = {.dns = "x MX 10 a; x MX 10 b; x MX 5 c; a A 8.8.8.1; b A 8.8.8.2; c A 8.8.8.3", .shuffle = first};
    struct config c = make_config("");
    struct route_env env = {&c, resolve, cancel, is_own, last, &w};
    struct route *r = route_new(&env, "x", wake, &w);
    struct strbuf out = STRBUF_INIT;
    run(r, &w, &out);
    ck_assert_str_eq(strbuf_str(&out), "c=8.8.8.3 b=8.8.8.2 a=8.8.8.1 !451 4.4.1");
    strbuf_free(&out);
    route_free(&r);
}
END_TEST

/* The second host is not asked for before its turn; queries under way end with the route. */
START_TEST(test_lazy_and_cancelled)
{
    struct world w = {.dns = "x MX 10 a; x MX 20 b; a A 8.8.8.1; b A 8.8.8.2"};
    struct config c = make_config("");
    struct route_env env = {&c, resolve, cancel, is_own, last, &w};
    struct route_target t;
    struct route *r = route_new(&env, "x", wake, &w);
    ck_assert_int_eq(route_next(r, &t), ROUTE_WAIT);
    ck_assert_int_eq(route_next(r, &t), ROUTE_WAIT);
    answer_all(&w);
    ck_assert_int_eq(route_next(r, &t), ROUTE_WAIT);
    answer_all(&w);
    ck_assert_int_eq(route_next(r, &t), ROUTE_TARGET);
    ck_assert_uint_eq(w.asked, 3);
    ck_assert_int_eq(route_next(r, &t), ROUTE_WAIT);
    ck_assert_uint_eq(w.asked, 5);
    route_free(&r);
    ck_assert_ptr_null(r);
    for (size_t i = 0; i < PENDING_MAX; i++)
        ck_assert(!w.pending[i].used);
}
END_TEST

/* A temporary reason stays, whatever comes behind it. */
START_TEST(test_note)
{
    struct world w = {.dns = ""};
    struct config c = make_config("");
    struct route_env env = {&c, resolve, cancel, is_own, last, &w};
    struct route *r = route_new(&env, "x", wake, &w);
    struct smtp_verdict no, later;
    smtp_verdict_set(&no, 554, "5.7.1", "no");
    smtp_verdict_set(&later, 421, "4.3.2", "later");
    route_note(r, &no);
    ck_assert_int_eq(route_verdict(r)->code, 554);
    route_note(r, &later);
    ck_assert_int_eq(route_verdict(r)->code, 421);
    route_note(r, &no);
    ck_assert_int_eq(route_verdict(r)->code, 421);
    route_free(&r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery route");
    TCase *tc = tcase_create("table");
    tcase_add_loop_test(tc, test_route, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, test_shuffled);
    tcase_add_test(tc, test_lazy_and_cancelled);
    tcase_add_test(tc, test_note);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
