/* Places that are down, slow or broken, and who waits for them: what is tried, what is not, and when again. */
#include "world.h"

#include "../../src/delivery/internal.h"

static int number;

/* An item of its own id; `locals` at `domain`. */
static struct queue_item *item_for(const char *domain, const char *locals)
{
    char id[16];
    snprintf(id, sizeof(id), "I%d", number++);
    return make_item(id, domain, locals);
}

static void send_to(const char *domain, const char *locals)
{
    due(item_for(domain, locals));
}

static void begin(const char *servers)
{
    number = 0;
    open_world();
    w.servers = servers;
}

static void pass_s(int64_t s)
{
    w.later_ms += s * 1000;
}

/* Five minutes: whoever waits for an answer gives up. */
static void pass_timeouts(void)
{
    pass_s(300);
    for (size_t i = 0; i < w.n_links; i++)
        if (!w.links[i]->closed)
            delivery_session_timeout(w.links[i]->session, clock_mono_ms());
    for (int i = 0; i < 20; i++)
        turn();
}

/* What has come back since the last call. */
static void expect(const char *want)
{
    settle();
    ck_assert_msg(strcmp(strbuf_str(&w.result), want) == 0, "got \"%s\", want \"%s\"", strbuf_str(&w.result), want);
    strbuf_reset(&w.result);
}

static void expect_connections(size_t n)
{
    ck_assert_uint_eq(w.n_links, n);
}

static void expect_reply(const char *text)
{
    ck_assert_msg(slice_find_slice(strbuf_slice(&w.replies), slice_of(text)) < w.replies.n, "no \"%s\" in: %s", text,
                  strbuf_str(&w.replies));
}

/* Some milliseconds may have gone since the rest began. */
static void expect_next_s(int64_t from, int64_t to)
{
    ck_assert_msg(w.next_ms > from * 1000 - 900 && w.next_ms <= to * 1000, "next in %lld ms, not %lld to %lld s",
                  (long long)w.next_ms, (long long)from, (long long)to);
}

/* One connection finds out for all that wait, and for those that come while the place rests. */
START_TEST(test_unreachable)
{
    begin("m1=refuse");
    send_to("x", "a");
    send_to("x", "b");
    expect("I0: deferred(451 4.4.1) | I1: deferred(451 4.4.1)");
    expect_connections(1);
    expect_reply("I1: 451 4.4.1 m1 [8.8.8.49]: end of file\n");
    expect_next_s(60, 60);
    pass_s(44);
    send_to("x", "c");
    expect("I2: deferred(451 4.4.1)");
    expect_connections(1);
    expect_reply("I2: 451 4.4.1 not tried again yet: m1 [8.8.8.49]: end of file\n");
    send_to("y", "a"); /* its only server is not in the table */
    expect("I3: closed(550 5.4.4)");
    send_to("x", "d");
    expect("I4: deferred(451 4.4.1)");
    expect_connections(1);
    pass_s(2); /* three quarters of the first retry are over */
    send_to("x", "e");
    expect("I5: deferred(451 4.4.1)");
    expect_connections(2);
    expect_reply("I5: 451 4.4.1 m1 [8.8.8.49]: end of file\n");
    close_world();
}
END_TEST

/* `queue retry`: tried now, whatever is known; by one connection for all that it was asked for. */
START_TEST(test_urgent)
{
    begin("m1=refuse");
    send_to("x", "a");
    expect("I0: deferred(451 4.4.1)");
    for (uint32_t wish = 1; wish < 3; wish++) {
        for (int i = 0; i < 10; i++) {
            struct queue_item *item = item_for("x", "b");
            item->urgent = wish;
            due(item);
            settle();
        }
        expect_connections(1 + wish);
    }
    expect_reply("I1: 451 4.4.1 m1 [8.8.8.49]: end of file\n");
    expect_reply("I11: 451 4.4.1 m1 [8.8.8.49]: end of file\n");
    expect_reply("I12: 451 4.4.1 not tried again yet");
    close_world();
}
END_TEST

START_TEST(test_rests_grow)
{
    static const int64_t rests_s[] = {45, 225, 600, 600, 600};
    begin("m1=refuse");
    for (size_t i = 0; i < ARRAY_LEN(rests_s); i++) {
        send_to("x", "a");
        settle();
        expect_connections(i + 1);
        pass_s(rests_s[i] - 1);
        send_to("x", "b");
        settle();
        expect_connections(i + 1);
        pass_s(2);
    }
    close_world();
}
END_TEST

/* It answers again: what waits in the queue for this place is due at once, and it gets all connections. */
START_TEST(test_back_again)
{
    begin("m1=refuse");
    send_to("x", "a");
    settle();
    pass_s(60);
    w.servers = "m1=ok; m2=ok";
    strbuf_reset(&w.result);
    for (int i = 0; i < 6; i++)
        send_to("x", "b");
    ck_assert_uint_eq(w.hastened.n, 0);
    expect("I1: delivered | I2: delivered | I3: delivered | I4: delivered | I5: delivered | I6: delivered");
    ck_assert_str_eq(strbuf_str(&w.hastened), "x");
    send_to("x", "c");
    expect("I7: delivered");
    ck_assert_str_eq(strbuf_str(&w.hastened), "x"); /* once */
    close_world();
}
END_TEST

/* Only one connection until something was answered. */
START_TEST(test_probe_is_one)
{
    begin("m1=refuse");
    send_to("x", "a");
    settle();
    pass_s(60);
    w.servers = "m1=mute";
    for (int i = 0; i < 20; i++)
        send_to("x", "b");
    for (int i = 0; i < 50; i++)
        turn();
    ck_assert_uint_eq(w.open, 1);
    for (int i = 0; i < 5; i++)
        pass_timeouts();
    settle();
    expect_connections(4); /* others try, a few, before it counts as broken again */
    close_world();
}
END_TEST

/* A route of the configuration is one place for many domains. */
START_TEST(test_back_again_by_route)
{
    static char all[] = "*", host[] = "m9", none[] = "", y[] = "y", other[] = "m2";
    struct config_route routes[] = {{.domain = all, .host = host, .port = 25, .user = none},
                                    {.domain = y, .host = other, .port = 25, .user = none}};
    begin("m9=refuse; m2=ok");
    w.config.delivery.routes = routes;
    w.config.delivery.n_routes = 2;
    send_to("x", "a");
    send_to("z", "a");
    expect("I0: deferred(451 4.4.1) | I1: deferred(451 4.4.1)");
    expect_connections(1);
    pass_s(60);
    w.servers = "m9=ok; m2=ok";
    send_to("z", "b");
    expect("I2: delivered");
    ck_assert_str_eq(strbuf_str(&w.hastened), "x z");
    close_world();
}
END_TEST

/* What a provider says to be left alone for longer, and that it is not overrun afterwards. */
static const struct {
    const char *server, *want;
    bool slow;
    int64_t rest_s;
} slow_rows[] = {
    {"m1=slow", "I0: deferred(421 4.7.0)", true, 300},
    {"m1=flood", "I0: deferred(451 4.7.650)", true, 300},
    {"m1=busy", "I0: deferred(421 4.3.2)", false, 45},  /* it restarts */
    {"m1=enough", "I0: deferred(421 4.3.2)", false, 0}, /* under one envelope: the next may fare better */
};

START_TEST(test_slow)
{
    begin(slow_rows[_i].server);
    send_to("x", "a");
    expect(slow_rows[_i].want);
    expect_connections(1);
    if (slow_rows[_i].slow)
        expect_next_s(300, 330);
    pass_s(slow_rows[_i].rest_s - 1);
    w.servers = "m1=ok";
    send_to("x", "b");
    settle();
    expect_connections(slow_rows[_i].rest_s > 0 ? 1 : 2);
    pass_s(2);
    send_to("x", "c");
    settle();
    expect_connections(2);
    ck_assert_str_eq(strbuf_str(&w.hastened), slow_rows[_i].rest_s > 0 && !slow_rows[_i].slow ? "x" : "");
    close_world();
}
END_TEST

static const struct {
    int code;
    const char *enhanced;
    bool asked;
} asked_rows[] = {
    {421, "", true},       {421, "4.7.0", true},   {421, "4.7.28", true},  {421, "4.3.2", false}, {421, "4.4.2", false},
    {450, "4.7.28", true}, {451, "4.7.500", true}, {451, "4.7.650", true}, {451, "4.7.1", false}, {450, "4.2.0", false},
    {450, "", false},      {451, "4.7.", false},   {550, "5.7.28", false}, {250, "2.0.0", false},
};

START_TEST(test_asked_for)
{
    struct smtp_verdict v;
    smtp_verdict_set(&v, asked_rows[_i].code, asked_rows[_i].enhanced, "x");
    ck_assert_msg(rest_asked_for(&v) == asked_rows[_i].asked, "%d %s", v.code, v.enhanced);
}
END_TEST

/* Greylisting is about one message: the next is tried at once, and this one when its time has come. */
START_TEST(test_greylisting)
{
    begin("m1=ok");
    send_to("x", "later");
    expect("I0: deferred(450 4.2.1)");
    expect_next_s(60, 60);
    w.config.delivery.connections_per_domain = 1;
    send_to("x", "a");
    send_to("x", "later");
    send_to("x", "b");
    expect("I1: delivered | I2: deferred(450 4.2.1) | I3: delivered");
    ck_assert_uint_eq(w.hastened.n, 0);
    close_world();
}
END_TEST

/* A host that breaks the connection under the envelope: the same message goes to the next one at once. */
START_TEST(test_next_host)
{
    static const char *const servers[] = {"m1=drop; m2=ok", "m1=enough; m2=ok", "m1=slow; m2=ok"};
    begin(servers[_i]);
    w.mx = "x=m1,m2";
    send_to("x", "a");
    expect("I0: delivered");
    expect_connections(2);
    send_to("x", "b c");
    expect("I1: delivered delivered");
    expect_connections(2); /* over the one that works */
    close_world();
}
END_TEST

/* No host does: after a few messages it is the place, and the others do not try each for himself. */
START_TEST(test_broken_place)
{
    static const char *const servers[] = {"m1=drop; m2=drop", "m1=vanish; m2=ok"};
    begin(servers[_i]);
    w.mx = _i == 0 ? "x=m1,m2" : "x=m1";
    w.config.delivery.connections_per_domain = 1;
    for (int i = 0; i < 10; i++)
        send_to("x", "a");
    settle();
    ck_assert_uint_eq(w.n_links, _i == 0 ? 6 : 3);
    expect_reply("I9: 451 4.4.2");
    ck_assert_uint_eq(w.mail.n > 0, _i == 1);
    close_world();
}
END_TEST

/* One message that makes the server hang up holds up no other, however often it comes first. */
START_TEST(test_poison)
{
    begin("m1=ok");
    w.config.delivery.connections_per_domain = 1;
    for (int round = 0; round < 5; round++) {
        number = 0;
        send_to("x", "poison");
        send_to("x", "a");
        send_to("x", "b");
        expect("I0: deferred(421 4.3.2) | I1: delivered | I2: delivered");
    }
    close_world();
}
END_TEST

/* Some recipients refused, then 421: those refused have their answer, the others go again over a new connection. */
START_TEST(test_too_many_errors)
{
    begin("m1=ok");
    send_to("x", "no a poison");
    expect("I0: closed(550 5.1.1) deferred(421 4.3.2) deferred(421 4.3.2)");
    expect_connections(2);
    close_world();
}
END_TEST

/* ---- order ------------------------------------------------------------------------------------------------------- */

static size_t place_of(const char *id)
{
    return slice_find_slice(strbuf_slice(&w.result), slice_of(id));
}

START_TEST(test_users_take_turns)
{
    begin("m1=ok");
    w.config.delivery.connections_per_domain = 1;
    for (int i = 0; i < 30; i++) {
        struct queue_item *item = item_for("x", "a");
        item->user_tag = i < 20 ? 1 : i < 25 ? 2 : 3;
        due(item);
    }
    settle();
    ck_assert_uint_lt(place_of("I20:"), place_of("I2:"));
    ck_assert_uint_lt(place_of("I25:"), place_of("I2:"));
    ck_assert_uint_lt(place_of("I24:"), place_of("I7:"));
    ck_assert_uint_lt(place_of("I1:"), place_of("I2:")); /* a user's own keep their order */
    close_world();
}
END_TEST

/* All connections are in use by one place: another gets its own with the next message that is done. */
START_TEST(test_makes_room)
{
    begin("m1=ok; m2=ok");
    w.config.delivery.connections = 4;
    for (int i = 0; i < 40; i++)
        send_to("x", "a");
    for (int i = 0; i < 8; i++)
        turn();
    ck_assert_uint_eq(w.most_open, 4);
    due(make_item("Y", "y", "a"));
    settle();
    ck_assert_uint_eq(w.most_open, 4);
    ck_assert_uint_lt(place_of("Y:"), place_of("I20:"));
    close_world();
}
END_TEST

/* A place that never answers keeps its connections and no more. */
START_TEST(test_hanging_place)
{
    begin("m1=mute; m2=ok");
    w.config.delivery.connections = 6;
    for (int i = 0; i < 40; i++)
        send_to("x", "a");
    for (int i = 0; i < 20; i++)
        send_to("y", "a");
    for (int i = 0; i < 500 && w.finished < 20; i++)
        turn();
    ck_assert_uint_eq(w.finished, 20);
    delivery_free(&w.d);
    close_world();
}
END_TEST

/* ---- on time --------------------------------------------------------------------------------- */

START_TEST(test_next_is_in_time)
{
    static const struct {
        int64_t age_s, lifetime_s;
        bool warned;
        int64_t next_s;
    } rows[] = {
        {0, 100000, false, 60},
        {0, 30, false, 30},                        /* it expires before */
        {4 * 3600 - 20, 100000, false, 20},        /* a warning is due before */
        {4 * 3600 - 20, 100000, true, 60},         /* it was sent */
        {4 * 3600 - 20, 4 * 3600 - 10, false, 10}, /* both */
    };
    begin("m1=refuse");
    struct queue_item *item = item_for("x", "a");
    item->created_ms = clock_wall_ms() - rows[_i].age_s * 1000;
    item->expires_ms = item->created_ms + rows[_i].lifetime_s * 1000;
    item->recipients[0].warned = rows[_i].warned;
    due(item);
    settle();
    ck_assert_int_le(w.next_ms, rows[_i].next_s * 1000);
    ck_assert_int_gt(w.next_ms, rows[_i].next_s * 1000 - 900);
    close_world();
}
END_TEST

/* While its place rests a message expires at its time. */
START_TEST(test_expires_meanwhile)
{
    begin("m1=refuse");
    send_to("x", "a");
    expect("I0: deferred(451 4.4.1)");
    struct queue_item *item = item_for("x", "b");
    item->expires_ms = clock_wall_ms();
    due(item);
    expect("I1: closed(451 4.4.1)");
    expect_connections(1);
    ck_assert_uint_eq(w.dsns, 1);
    close_world();
}
END_TEST

static void watch(void)
{
    event_active(w.d->watch, EV_TIMEOUT, 0);
    turn();
}

/* It waits for its turn for days at a place that is slow: the sender is told, and it expires. */
START_TEST(test_waits_too_long)
{
    begin("m1=mute");
    w.config.delivery.connections_per_domain = 1;
    struct queue_item *items[] = {item_for("x", "a"), item_for("x", "b"), item_for("x", "c")};
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i]->expires_ms = clock_wall_ms() + (i == 2 ? 5 : 20) * 3600 * 1000;
        due(items[i]);
    }
    for (int i = 0; i < 20; i++)
        turn();
    watch();
    ck_assert_uint_eq(w.finished, 0);
    pass_s(4 * 3600 + 1);
    watch();
    for (int i = 0; i < 100 && w.finished < 2; i++)
        turn();
    ck_assert_str_eq(strbuf_str(&w.result), "I1: deferred(451 4.4.5)+warned | I2: deferred(451 4.4.5)+warned");
    struct queue_item *late = item_for("x", "d"); /* came after its warning was due: that is for the next attempt */
    late->created_ms = clock_wall_ms() - 5 * 3600 * 1000;
    late->expires_ms = clock_wall_ms() + 1000;
    due(late);
    watch();
    ck_assert_uint_eq(w.finished, 2);
    pass_s(2);
    watch();
    for (int i = 0; i < 100 && w.finished < 3; i++)
        turn();
    ck_assert_uint_eq(w.finished, 3);
    expect_reply("I3: 451 4.4.5 x takes messages slowly");
    delivery_free(&w.d);
    close_world();
}
END_TEST

/* ---- bounds
 * ---------------------------------------------------------------------------------------------------------- */

/* A backlog is failed a few at a time, so that it is never in memory as a whole. */
START_TEST(test_backlog)
{
    begin("m1=refuse");
    for (int i = 0; i < 2000; i++)
        send_to("x", "a");
    settle();
    expect_connections(1);
    ck_assert_uint_gt(w.most_loaded, 1);
    ck_assert_uint_le(w.most_loaded, 64);
    close_world();
}
END_TEST

/* Thousands of domains at once: DNS is asked for some of them at a time. */
START_TEST(test_many_domains)
{
    begin("m1=ok");
    w.mx = "";
    for (int i = 0; i < 1000; i++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%d", i);
        send_to(domain, "a");
    }
    settle(); /* the world stands 256 questions at a time, no more */
    ck_assert_uint_eq(w.dsns, 1000);
    close_world();
}
END_TEST

START_TEST(test_what_is_remembered_is_bounded)
{
    struct strbuf mx = STRBUF_INIT;
    begin("m1=refuse");
    for (int i = 0; i < 1500; i++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%d", i);
        strbuf_reset(&mx);
        strbuf_addf(&mx, "%s=m1", domain);
        w.mx = strbuf_str(&mx);
        send_to(domain, "a");
        settle();
    }
    turn();
    ck_assert_uint_eq(w.d->n_remembered, 1000);
    struct intake_settings other_keys = {.config = &w.config, .references = 1};
    delivery_reconfigure(w.d, &other_keys);
    ck_assert_uint_eq(w.d->n_remembered, 1000); /* what signs says nothing about them */
    struct config reread = w.config;
    struct intake_settings fresh = {.config = &reread, .references = 1};
    delivery_reconfigure(w.d, &fresh);
    ck_assert_uint_eq(w.d->n_remembered, 0); /* a new configuration is a new chance */
    delivery_reconfigure(w.d, &w.settings);
    strbuf_free(&mx);
    close_world();
}
END_TEST

/* Stopped and freed at any moment. */
START_TEST(test_stop)
{
    begin("m1=refuse; m2=drop");
    for (int i = 0; i < 100; i++)
        send_to(i % 3 == 0 ? "y" : "x", "a");
    for (int i = 0; i < _i / 2; i++)
        turn();
    if (_i % 2 == 0) {
        delivery_stop(w.d, NULL, NULL);
        settle();
    }
    close_world();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery rest");
    TCase *tc = tcase_create("rest");
    tcase_add_test(tc, test_unreachable);
    tcase_add_test(tc, test_urgent);
    tcase_add_test(tc, test_rests_grow);
    tcase_add_test(tc, test_back_again);
    tcase_add_test(tc, test_probe_is_one);
    tcase_add_test(tc, test_back_again_by_route);
    tcase_add_loop_test(tc, test_slow, 0, ARRAY_LEN(slow_rows));
    tcase_add_loop_test(tc, test_asked_for, 0, ARRAY_LEN(asked_rows));
    tcase_add_test(tc, test_greylisting);
    tcase_add_loop_test(tc, test_next_host, 0, 3);
    tcase_add_loop_test(tc, test_broken_place, 0, 2);
    tcase_add_test(tc, test_poison);
    tcase_add_test(tc, test_too_many_errors);
    tcase_add_test(tc, test_users_take_turns);
    tcase_add_test(tc, test_makes_room);
    tcase_add_test(tc, test_hanging_place);
    tcase_add_loop_test(tc, test_next_is_in_time, 0, 5);
    tcase_add_test(tc, test_expires_meanwhile);
    tcase_add_test(tc, test_waits_too_long);
    tcase_add_test(tc, test_backlog);
    tcase_add_test(tc, test_many_domains);
    tcase_add_test(tc, test_what_is_remembered_is_bounded);
    tcase_add_loop_test(tc, test_stop, 0, 60);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
