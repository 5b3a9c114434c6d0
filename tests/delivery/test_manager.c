/* The manager as a whole, in a small world (world.h): a row says what the world is like, which items are due, and what
 * becomes of them. */
#include "world.h"

/* ---- rows: one world each
 * --------------------------------------------------------------------------------------------------------- */

/* items: "id domain local local, id domain local". */
static const struct {
    const char *mx, *servers, *items, *want;
} rows[] = {
    {"x=m1", "m1=ok", "A x a", "A: delivered"},
    {"x=m1", "m1=ok", "A x a no later b", "A: delivered closed(550 5.1.1) deferred(450 4.2.1) delivered"},
    {"x=m1,m2", "m1=refuse; m2=ok", "A x a", "A: delivered"},
    {"x=m1,m2", "m1=busy; m2=ok", "A x a", "A: delivered"},
    {"x=m1,m2", "m1=never; m2=ok", "A x a", "A: delivered"},
    {"x=m1,m2", "m1=never; m2=never", "A x a", "A: closed(554 5.7.1)"},
    {"x=m1,m2", "m1=busy; m2=never", "A x a", "A: deferred(421 4.3.2)"},
    {"x=m1,m2", "m1=refuse; m2=refuse", "A x a, B x b", "A: deferred(451 4.4.1) | B: deferred(451 4.4.1)"},
    {"x=.", "m1=ok", "A x a", "A: closed(556 5.1.10)"},
    {"", "m1=ok", "A x a", "A: closed(550 5.1.2)"},
    {"x=mail.example.com,m2", "m2=ok", "A x a", "A: closed(554 5.4.6)"},
    {"", "m1=ok", "A [127.0.0.1] a", "A: closed(554 5.4.4)"},
    /* TLS: what does not work is left out, as long as nobody asked for it */
    {"x=m1", "m1=starttls", "A x a", "A: delivered"},
    {"x=m1", "m1=starttls badtls", "A x a", "A: delivered"},
    {"x=m1", "m1=starttls badcert", "A x a", "A: delivered"},
    /* more recipients than the server takes at once */
    {"x=m1", "m1=rcptmax", "A x a b c d e", "A: delivered delivered delivered delivered delivered"},
    {"x=m1", "m1=few", "A x a b c d e", "A: delivered delivered delivered delivered delivered"},
    /* the server hangs up between messages: the second goes over a new connection */
    {"x=m1", "m1=once single", "A x a, B x b", "A: delivered | B: delivered"},
    /* ... or after the dot: temporary, never success */
    {"x=m1", "m1=vanish", "A x a", "A: deferred(451 4.4.2)"},
    /* a second connection is refused: the one that lives does it all */
    {"x=m1", "m1=single", "A x a, B x b, C x c, D x d", "A: delivered | B: delivered | C: delivered | D: delivered"},
};

static void items_due(const char *items)
{
    struct slice rest = slice_of(items), one;
    while (rest.n > 0) {
        struct slice id, domain;
        char id_text[16], domain_text[64], *locals;
        rest = slice_cut(rest, ',', &one);
        struct slice names = slice_cut(slice_cut(slice_trim(one), ' ', &id), ' ', &domain);
        snprintf(id_text, sizeof(id_text), "%.*s", SLICE_ARG(id));
        snprintf(domain_text, sizeof(domain_text), "%.*s", SLICE_ARG(domain));
        locals = strndup(names.p, names.n);
        due(make_item(id_text, domain_text, locals));
        free(locals);
    }
}

START_TEST(test_row)
{
    open_world();
    w.mx = rows[_i].mx;
    w.servers = rows[_i].servers;
    items_due(rows[_i].items);
    settle();
    ck_assert_msg(strcmp(strbuf_str(&w.result), rows[_i].want) == 0, "row %d (%s; %s): got \"%s\", want \"%s\"", _i,
                  rows[_i].servers, rows[_i].items, strbuf_str(&w.result), rows[_i].want);
    close_world();
}
END_TEST

/* ---- single questions
 * ------------------------------------------------------------------------------------------------------------------ */

/* For `sendas trace`.  Ten hours, and what this machine may need for a few lines: up to a thousand seconds. */
START_TEST(test_note)
{
    open_world();
    w.servers = "m1=late";
    w.mx = "x=m1";
    items_due("A x a");
    settle();
    ck_assert_msg(slice_starts(strbuf_slice(&w.note), SLICE("mx=m1 ip=8.8.8.49 tls=none policy=none took=36")), "%s",
                  strbuf_str(&w.note));
    ck_assert(slice_find_slice(strbuf_slice(&w.note), SLICE("s; <a@x> 250 2.0.0 taken at last")) < w.note.n);
    close_world();
}
END_TEST

START_TEST(test_content_arrives_whole)
{
    open_world();
    due(make_item("A", "x", "a"));
    settle();
    ck_assert_uint_gt(w.content.n, 1000);
    ck_assert_slice_eq(strbuf_slice(&w.mail), strbuf_str(&w.content));
    close_world();
}
END_TEST

/* The store has less than it says: no dot, no delivery. */
START_TEST(test_content_cut_short)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "a");
    item->size += 10;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: deferred(451 4.3.0)");
    close_world();
}
END_TEST

START_TEST(test_unreadable)
{
    open_world();
    w.unreadable = true;
    struct queue_item *item = make_item("A", "x", "");
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: untouched");
    close_world();
}
END_TEST

START_TEST(test_one_connection_is_reused)
{
    open_world();
    w.config.delivery.connections_per_domain = 1;
    items_due("A x a, B x b, C x c");
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: delivered | B: delivered | C: delivered");
    ck_assert_uint_eq(w.n_links, 1);
    close_world();
}
END_TEST

/* What goes wrong with one message is its alone. */
START_TEST(test_verdict_falls_on_no_other)
{
    open_world();
    w.config.delivery.connections_per_domain = 1;
    items_due("A x evil, B x b, C x c");
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: closed(554 5.7.1) | B: delivered | C: delivered");
    ck_assert_uint_eq(w.n_links, 2);
    close_world();
}
END_TEST

START_TEST(test_messages_per_connection)
{
    open_world();
    w.config.delivery.connections_per_domain = 1;
    w.config.delivery.messages_per_connection = 2;
    items_due("A x a, B x b, C x c, D x d, E x e");
    settle();
    ck_assert_uint_eq(w.n_links, 3);
    close_world();
}
END_TEST

START_TEST(test_connection_limits)
{
    open_world();
    w.config.delivery.connections_per_domain = 2;
    w.config.delivery.connections = 3;
    items_due("A x a, B x b, C x c, D x d, E x e, F y f, G y g, H y h");
    settle();
    ck_assert_uint_eq(w.most_open, 3);
    close_world();
}
END_TEST

/* One connection in all, and it goes round: y does not wait until x has sent everything. */
START_TEST(test_fair)
{
    open_world();
    w.config.delivery.connections = 1;
    w.config.delivery.messages_per_connection = 1;
    items_due("A x a, B x b, C x c, D x d, E y e");
    settle();
    ck_assert_uint_eq(w.most_open, 1);
    struct slice all = strbuf_slice(&w.result);
    ck_assert_msg(slice_find_slice(all, SLICE("E:")) < slice_find_slice(all, SLICE("C:")), "%s", strbuf_str(&w.result));
    close_world();
}
END_TEST

START_TEST(test_more_recipients_than_a_transaction_has)
{
    open_world();
    struct strbuf names = STRBUF_INIT;
    for (int i = 0; i < 150; i++)
        strbuf_addf(&names, "%su%d", i == 0 ? "" : " ", i);
    due(make_item("A", "x", strbuf_str(&names)));
    settle();
    struct slice rest = strbuf_slice(&w.result), one;
    unsigned delivered = 0;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &one);
        delivered += slice_eq(one, SLICE("delivered"));
    }
    ck_assert_uint_eq(delivered, 150);
    ck_assert_uint_eq(w.links[0]->messages, 2);
    strbuf_free(&names);
    close_world();
}
END_TEST

START_TEST(test_tls_required)
{
    open_world();
    w.config.delivery.tls = CONFIG_DELIVERY_REQUIRED;
    w.servers = "m1=starttls badcert; m2=ok";
    items_due("A x a, B y b");
    settle();
    struct slice all = strbuf_slice(&w.result);
    ck_assert_msg(slice_find_slice(all, SLICE("A: deferred(451 4.7.5)")) < all.n, "%s", strbuf_str(&w.result));
    ck_assert_msg(slice_find_slice(all, SLICE("B: deferred(451 4.7.4)")) < all.n, "%s", strbuf_str(&w.result));
    ck_assert_uint_eq(w.mail.n, 0);
    close_world();
}
END_TEST

static bool dsn_has(const char *what)
{
    return slice_find_slice(strbuf_slice(&w.dsn), slice_of(what)) < w.dsn.n;
}

START_TEST(test_dsn)
{
    open_world();
    items_due("A x no1 a no2");
    settle();
    ck_assert_uint_eq(w.dsns, 1); /* one for both */
    ck_assert(slice_starts(strbuf_slice(&w.dsn), SLICE("to=ann@example.com closes=10,12,\n")));
    ck_assert(dsn_has("From: Mail Delivery System <mailer-daemon@example.com>\r\n"));
    ck_assert(dsn_has("Final-Recipient: rfc822; no1@x\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; m1\r\n"));
    ck_assert(dsn_has("Final-Recipient: rfc822; no2@x\r\n"));
    ck_assert(!dsn_has("rfc822; a@x"));
    ck_assert(dsn_has("\r\n\r\nSubject: x\r\n\r\n--"));
    close_world();
}
END_TEST

/* While the DSN cannot be queued the recipient stays. */
START_TEST(test_dsn_fails)
{
    open_world();
    w.dsn_fails = true;
    items_due("A x no a");
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: deferred(550 5.1.1) delivered");
    close_world();
}
END_TEST

static const struct {
    const char *bounce_to;
    unsigned notify;
    const char *want;
    unsigned dsns;
} tell_rows[] = {
    {"ann@example.com", SMTP_NOTIFY_DEFAULT, "A: closed(550 5.1.1)", 1},
    {"ann@example.com", SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_SUCCESS, "A: closed(550 5.1.1)", 1},
    {"ann@example.com", SMTP_NOTIFY_SUCCESS, "A: untold(550 5.1.1)", 0},
    {"ann@example.com", SMTP_NOTIFY_NEVER, "A: untold(550 5.1.1)", 0},
    {"", SMTP_NOTIFY_DEFAULT, "A: untold(550 5.1.1)", 0},
};

START_TEST(test_who_is_told)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "no");
    item->bounce_to = (char *)tell_rows[_i].bounce_to;
    item->recipients[0].notify = tell_rows[_i].notify;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), tell_rows[_i].want);
    ck_assert_uint_eq(w.dsns, tell_rows[_i].dsns);
    close_world();
}
END_TEST

START_TEST(test_expired)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "later a");
    item->expires_ms = clock_wall_ms() - 1;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: closed(450 4.2.1) delivered");
    ck_assert(dsn_has("Status: 4.4.7\r\n"));
    close_world();
}
END_TEST

/* RFC 3461 5.2.2: "relayed" is said where it was asked for and the next server will not say it; a DSN that fails holds
 * nothing up. */
static const struct {
    const char *server;
    unsigned notify;
    bool dsn_fails;
    unsigned dsns;
} relayed_rows[] = {
    {"m1=ok", SMTP_NOTIFY_SUCCESS, false, 1},
    {"m1=ok", SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, false, 1},
    {"m1=ok", SMTP_NOTIFY_SUCCESS, true, 1},
    {"m1=dsn", SMTP_NOTIFY_SUCCESS, false, 0},
    {"m1=ok", SMTP_NOTIFY_DEFAULT, false, 0},
    {"m1=ok", SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, false, 0},
    {"m1=ok", SMTP_NOTIFY_NEVER, false, 0},
    {"m1=ok", SMTP_NOTIFY_NEVER | SMTP_NOTIFY_SUCCESS, false, 0},
};

START_TEST(test_relayed)
{
    open_world();
    w.servers = relayed_rows[_i].server;
    w.dsn_fails = relayed_rows[_i].dsn_fails;
    struct queue_item *item = make_item("A", "x", "a");
    item->recipients[0].notify = relayed_rows[_i].notify;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: delivered");
    ck_assert_uint_eq(w.dsns, relayed_rows[_i].dsns);
    ck_assert(w.dsns == 0 || dsn_has("Action: relayed\r\nStatus: 2.0.0\r\n"));
    ck_assert(w.dsns == 0 || dsn_has("closes=\n"));
    close_world();
}
END_TEST

/* One message, three ends: a DSN for each kind, and no recipient in two. */
START_TEST(test_all_kinds)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "no later a");
    item->created_ms = clock_wall_ms() - 5 * 3600 * 1000;
    for (size_t i = 0; i < 3; i++)
        item->recipients[i].notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: closed(550 5.1.1) deferred(450 4.2.1)+warned delivered");
    ck_assert_uint_eq(w.dsns, 3);
    ck_assert(dsn_has("rfc822; no@x\r\nAction: failed\r\n"));
    ck_assert(dsn_has("rfc822; later@x\r\nAction: delayed\r\n"));
    ck_assert(dsn_has("rfc822; a@x\r\nAction: relayed\r\n"));
    close_world();
}
END_TEST

/* RET=FULL: all chunks of the message. */
START_TEST(test_returned_whole)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "no");
    item->ret = SMTP_RET_FULL;
    due(item);
    settle();
    ck_assert(dsn_has("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n..0 a line"));
    ck_assert(dsn_has("..39 a line of the message\r\n"));
    close_world();
}
END_TEST

/* A user who has caused as many DSNs as messages are allowed: what fails waits, what is delivered goes. */
START_TEST(test_too_many_dsns)
{
    open_world();
    w.config.limits.messages_per_user = 2;
    items_due("A x no");
    settle();
    items_due("B x no");
    settle();
    items_due("C x no a");
    settle();
    ck_assert_str_eq(strbuf_str(&w.result),
                     "A: closed(550 5.1.1) | B: closed(550 5.1.1) | C: deferred(550 5.1.1) delivered");
    ck_assert_uint_eq(w.dsns, 2);
    close_world();
}
END_TEST

/* A DSN that could not be made for so long that the message is twice as old as it may become. */
START_TEST(test_given_up)
{
    open_world();
    w.dsn_fails = true;
    struct queue_item *item = make_item("A", "x", "no");
    item->created_ms = clock_wall_ms() - 2100;
    item->expires_ms = item->created_ms + 1000;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: untold(550 5.1.1)");
    close_world();
}
END_TEST

static const struct {
    int64_t age_s;
    bool warned;
    unsigned notify;
    const char *want;
} warn_rows[] = {
    {3600, false, 0, "A: deferred(450 4.2.1)"},
    {5 * 3600, false, 0, "A: deferred(450 4.2.1)+warned"},
    {5 * 3600, true, 0, "A: deferred(450 4.2.1)"},
    {5 * 3600, false, SMTP_NOTIFY_FAILURE, "A: deferred(450 4.2.1)"},
    {5 * 3600, false, SMTP_NOTIFY_DELAY, "A: deferred(450 4.2.1)+warned"},
};

START_TEST(test_delay_warning)
{
    open_world();
    struct queue_item *item = make_item("A", "x", "later");
    item->created_ms = clock_wall_ms() - warn_rows[_i].age_s * 1000;
    item->recipients[0].warned = warn_rows[_i].warned;
    item->recipients[0].notify = warn_rows[_i].notify;
    due(item);
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), warn_rows[_i].want);
    ck_assert(w.dsns == 0 || dsn_has("Action: delayed\r\n"));
    ck_assert(w.dsns == 0 || dsn_has("closes=\n"));
    close_world();
}
END_TEST

static void on_stopped(void *ctx)
{
    (void)ctx;
    w.stopped = true;
}

/* At any moment: what is under way ends, what waits is kept, nothing is lost. */
START_TEST(test_stop)
{
    open_world();
    w.config.delivery.connections_per_domain = 1;
    items_due("A x a, B x no, C x c");
    for (int i = 0; i < _i; i++)
        turn();
    delivery_stop(w.d, on_stopped, NULL);
    ck_assert(!w.stopped);
    items_due("D x d");
    for (int i = 0; i < 300 && !w.stopped; i++)
        turn();
    ck_assert_msg(w.stopped, "it does not stop (after %d turns): %s", _i, strbuf_str(&w.result));
    ck_assert_uint_eq(w.finished, w.due);
    ck_assert_uint_eq(delivery_connections(w.d), 0);
    close_world();
}
END_TEST

/* Freed at any moment: every item comes back. */
START_TEST(test_free)
{
    open_world();
    items_due("A x a, B x no, C y c, D z d");
    for (int i = 0; i < _i; i++)
        turn();
    delivery_free(&w.d);
    for (int i = 0; i < 3; i++) /* a DSN on its way into the queue */
        turn();
    close_world();
}
END_TEST

START_TEST(test_reconfigure)
{
    open_world();
    items_due("A x a");
    turn();
    struct intake_settings other = {.config = &w.config, .references = 1};
    delivery_reconfigure(w.d, &other);
    items_due("B x b");
    settle();
    ck_assert_str_eq(strbuf_str(&w.result), "A: delivered | B: delivered");
    delivery_reconfigure(w.d, &w.settings);
    close_world();
    ck_assert_uint_eq(other.references, 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery manager");
    TCase *tc = tcase_create("world");
    tcase_add_loop_test(tc, test_row, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, test_note);
    tcase_add_test(tc, test_content_arrives_whole);
    tcase_add_test(tc, test_content_cut_short);
    tcase_add_test(tc, test_unreadable);
    tcase_add_test(tc, test_one_connection_is_reused);
    tcase_add_test(tc, test_verdict_falls_on_no_other);
    tcase_add_test(tc, test_messages_per_connection);
    tcase_add_test(tc, test_connection_limits);
    tcase_add_test(tc, test_fair);
    tcase_add_test(tc, test_more_recipients_than_a_transaction_has);
    tcase_add_test(tc, test_tls_required);
    tcase_add_test(tc, test_dsn);
    tcase_add_test(tc, test_dsn_fails);
    tcase_add_loop_test(tc, test_relayed, 0, ARRAY_LEN(relayed_rows));
    tcase_add_test(tc, test_all_kinds);
    tcase_add_test(tc, test_returned_whole);
    tcase_add_test(tc, test_too_many_dsns);
    tcase_add_test(tc, test_given_up);
    tcase_add_loop_test(tc, test_who_is_told, 0, ARRAY_LEN(tell_rows));
    tcase_add_test(tc, test_expired);
    tcase_add_loop_test(tc, test_delay_warning, 0, ARRAY_LEN(warn_rows));
    tcase_add_loop_test(tc, test_stop, 0, 40);
    tcase_add_loop_test(tc, test_free, 0, 40);
    tcase_add_test(tc, test_reconfigure);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
