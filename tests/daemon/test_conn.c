/* A connection's events: input kept and refused, TLS begun and failed, output held back, ends in good order. */
#include "../../src/daemon/conn.h"
#include "sendas/tls.h"
#include "tls/certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>

#define HOST "mail.example.test"

/* One end of a socket pair with a conn on it, and what it was told. */
struct peer {
    struct conn *conn;
    struct strbuf input, events;
    struct event_base *base;
    size_t (*take)(struct peer *p, struct slice bytes); /* NULL: all */
    void (*on_event)(struct peer *p, enum conn_event event);
    int64_t deadline;
    struct ssl_st *tls; /* on_event, take: for conn_start_tls */
    unsigned calls;
};

static struct event_base *base;
static struct peer server, client;
static int raw = -1; /* the other end, without a conn */

static size_t on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    p->calls++;
    size_t n = p->take == NULL ? bytes.n : p->take(p, bytes);
    strbuf_add_slice(&p->input, slice_sub(bytes, 0, n));
    return n;
}

static void on_event(void *owner, enum conn_event event, const char *reason)
{
    static const char *const names[] = {"connected", "tls", "tls-failed", "drained", "timeout", "closed"};
    struct peer *p = owner;

    strbuf_addf(&p->events, "%s%s%s;", names[event], *reason == '\0' ? "" : ":", reason);
    if (p->on_event != NULL)
        p->on_event(p, event);
    if (event == CONN_CLOSED)
        conn_free(&p->conn);
}

static int64_t on_deadline(void *owner)
{
    const struct peer *p = owner;
    return p->deadline;
}

static const struct conn_owner calls = {.data = on_data, .event = on_event, .deadline = on_deadline};

static void setup(void)
{
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    memset(&server, 0, sizeof(server));
    memset(&client, 0, sizeof(client));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    server.conn = conn_accept(base, fds[0], &calls, &server);
    ck_assert_ptr_nonnull(server.conn);
    raw = fds[1];
}

static void teardown(void)
{
    conn_free(&server.conn);
    conn_free(&client.conn);
    strbuf_free(&server.input);
    strbuf_free(&server.events);
    strbuf_free(&client.input);
    strbuf_free(&client.events);
    if (raw >= 0)
        close(raw);
    event_base_free(base);
}

/* Runs the loop for a while. */
static void turn_for(int ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}

/* Until all is settled, however slow the machine: both ends live on this loop, and each round does what the one before has
 * brought. */
static void turn(void)
{
    for (int i = 0; i < 50; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static void raw_send(const char *text)
{
    ck_assert_int_eq(send(raw, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

/* What has arrived at the other end; "(end)" behind it when that is all. */
static const char *raw_read(void)
{
    static char text[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(raw, text + n, sizeof(text) - n - 8, 0)) > 0)
        n += (size_t)got;
    snprintf(text + n, sizeof(text) - n, "%s", got == 0 ? "(end)" : "");
    return text;
}

static struct slice input_of(const struct peer *p)
{
    return strbuf_slice(&p->input);
}

/* ---- input --------------------------------------------------------------------------------------------- */

static size_t take_lines(struct peer *p, struct slice bytes)
{
    size_t n = 0, end;
    (void)p;
    while ((end = slice_find(slice_skip(bytes, n), '\n')) < bytes.n - n)
        n += end + 1;
    return n;
}

START_TEST(test_leftover_is_offered_again)
{
    server.take = take_lines;
    raw_send("one\ntw");
    turn();
    ck_assert_slice_eq(input_of(&server), "one\n");
    raw_send("o\nthr");
    turn();
    raw_send("ee");
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\n");
    raw_send("\n");
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\nthree\n");
}
END_TEST

static size_t take_one_line_and_wait(struct peer *p, struct slice bytes)
{
    size_t end = slice_find(bytes, '\n');
    if (end == bytes.n)
        return 0;
    conn_pause(p->conn);
    return end + 1;
}

START_TEST(test_pause_and_resume)
{
    server.take = take_one_line_and_wait;
    raw_send("one\ntwo\nthree\n");
    turn();
    ck_assert_slice_eq(input_of(&server), "one\n");
    raw_send("four\n"); /* not read meanwhile */
    turn();
    ck_assert_uint_eq(server.calls, 1);
    conn_resume(server.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\n");
    conn_resume(server.conn);
    turn();
    conn_resume(server.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\nthree\nfour\n");
}
END_TEST

/* Something that comes while nothing is wanted ends the watching: a level that stays up must not spin the loop. */
START_TEST(test_paused_and_not_watched)
{
    conn_pause(server.conn);
    turn();
    int watched = event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
    raw_send("one\n");
    turn();
    ck_assert_uint_eq(server.calls, 0);
    ck_assert_int_eq(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), watched - 1);
    conn_resume(server.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "one\n");
}
END_TEST

static void resume_now(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    conn_resume(((struct peer *)arg)->conn);
}

/* The timer may have its turn between a resumption and its effect: the socket is watched again all the same. */
START_TEST(test_resume_meets_the_timer)
{
    struct event *other = event_new(base, -1, 0, resume_now, &server);

    server.deadline = clock_mono_ms() + 1000;
    raw_send("a");
    turn_for(10);
    conn_pause(server.conn);
    raw_send("b"); /* with that it is no longer watched */
    turn_for(10);
    server.deadline = clock_mono_ms() + 60000; /* it has moved: the timer still comes, and finds nothing to tell */
    usleep(1010 * 1000);
    event_active(other, EV_TIMEOUT, 0);
    event_base_loop(base, EVLOOP_NONBLOCK);
    raw_send("c");
    turn();
    ck_assert_slice_eq(input_of(&server), "abc");
    ck_assert_str_eq(strbuf_str(&server.events), "");
    event_free(other);
}
END_TEST

/* The client has gone while we were busy: what it sent is still seen, and then its end. */
START_TEST(test_end_while_paused)
{
    server.take = take_one_line_and_wait;
    raw_send("one\ntwo\n");
    turn();
    close(raw);
    raw = -1;
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "");
    conn_resume(server.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\n");
    conn_resume(server.conn);
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "closed:connection closed by the peer;");
}
END_TEST

static size_t take_nothing(struct peer *p, struct slice bytes)
{
    (void)p, (void)bytes;
    return 0;
}

START_TEST(test_input_is_bounded)
{
    char block[8192];
    memset(block, 'a', sizeof(block));
    server.take = take_nothing;
    for (int i = 0; i < 20; i++) {
        if (send(raw, block, sizeof(block), MSG_NOSIGNAL) < 0)
            break;
        turn();
    }
    ck_assert_str_eq(strbuf_str(&server.events), "closed:too much input without an end;");
}
END_TEST

/* ---- output ----------------------------------------------------------------------------------------------- */

/* The peer sends and sends, and reads nothing: we stop reading before the replies fill memory. */
START_TEST(test_output_holds_input_back)
{
    char block[4096];
    size_t sent = 0;

    memset(block, 'a', sizeof(block));
    int small = 4096;
    setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 1000; i++) {
        ssize_t n = send(raw, block, sizeof(block), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        if (server.input.n > 0)
            conn_send(server.conn, slice_from(block, sizeof(block)));
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (n < 0 && errno == EAGAIN && i > 100)
            break;
    }
    size_t before = server.input.n;
    turn();
    ck_assert_uint_eq(server.input.n, before);
    ck_assert_uint_lt(server.input.n, sent); /* the rest waits in the kernel */
    ck_assert_str_eq(strbuf_str(&server.events), "");
    for (int i = 0; i < 5000; i++) { /* now it reads: all goes on */
        while (recv(raw, block, sizeof(block), 0) > 0)
            ;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    ck_assert_uint_eq(server.input.n, sent);
}
END_TEST

START_TEST(test_output_is_bounded)
{
    char block[64 * 1024];
    memset(block, 'a', sizeof(block));
    for (int i = 0; i < 100; i++)
        conn_send(server.conn, slice_from(block, sizeof(block)));
    turn();
    ck_assert(server.conn == NULL || conn_finishing(server.conn));
}
END_TEST

START_TEST(test_drained)
{
    static char block[1024 * 1024];
    char sink[65536];

    conn_want_drained(server.conn); /* nothing waits: at once */
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "drained;");
    conn_send(server.conn, slice_from(block, sizeof(block)));
    conn_want_drained(server.conn);
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "drained;");
    for (int i = 0; i < 100; i++) {
        while (recv(raw, sink, sizeof(sink), 0) > 0)
            ;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    ck_assert_str_eq(strbuf_str(&server.events), "drained;drained;");
}
END_TEST

/* ---- ends -------------------------------------------------------------------------------------------------- */

static size_t take_and_finish(struct peer *p, struct slice bytes)
{
    conn_send(p->conn, SLICE("bye\n"));
    conn_finish(p->conn);
    conn_send(p->conn, SLICE("never\n"));
    return bytes.n;
}

START_TEST(test_finish)
{
    server.take = take_and_finish;
    raw_send("quit\n");
    turn();
    raw_send("more\n"); /* not seen any more, and no reason for a reset */
    turn();
    ck_assert_slice_eq(input_of(&server), "quit\n");
    ck_assert_str_eq(raw_read(), "bye\n(end)");
    ck_assert_str_eq(strbuf_str(&server.events), "");
    close(raw);
    raw = -1;
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "closed;");
}
END_TEST

START_TEST(test_finish_does_not_wait_forever)
{
    conn_finish(server.conn);
    turn_for(CONN_LINGER_TIMEOUT_MS + 200);
    ck_assert_str_eq(strbuf_str(&server.events), "closed;");
}
END_TEST

static size_t take_and_free(struct peer *p, struct slice bytes)
{
    conn_free(&p->conn);
    return bytes.n;
}

START_TEST(test_free_inside)
{
    server.take = take_and_free;
    raw_send("x\n");
    turn();
    ck_assert_ptr_null(server.conn);
    ck_assert_str_eq(raw_read(), "(end)");
}
END_TEST

static void push_deadline(struct peer *p, enum conn_event event)
{
    if (event != CONN_TIMEOUT)
        return;
    ck_assert_int_ge(clock_mono_ms(), p->deadline);
    p->deadline = clock_mono_ms() + 60;
}

/* However long it takes. */
static void server_is_told(const char *events)
{
    while (server.events.n < strlen(events))
        event_base_loop(base, EVLOOP_ONCE);
    ck_assert_str_eq(strbuf_str(&server.events), events);
}

START_TEST(test_deadline)
{
    server.on_event = push_deadline;
    server.deadline = clock_mono_ms() + 20;
    conn_want_drained(server.conn); /* anything that happens arms the timer */
    server_is_told("drained;timeout;");
    server_is_told("drained;timeout;timeout;");
}
END_TEST

/* Nothing is said, on either side. */
START_TEST(test_deadline_of_one_who_is_silent)
{
    int fds[2];

    conn_free(&server.conn);
    close(raw);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    raw = fds[1];
    server.deadline = clock_mono_ms() + 10;
    server.conn = conn_accept(base, fds[0], &calls, &server);
    server_is_told("timeout;");
}
END_TEST

START_TEST(test_deadline_that_does_not_move)
{
    server.deadline = clock_mono_ms() + 10;
    conn_want_drained(server.conn);
    server_is_told("drained;timeout;"); /* once, and the connection ends */
    turn();
    ck_assert_str_eq(raw_read(), "(end)");
}
END_TEST

START_TEST(test_connect_refused)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    struct err err = {.text = ""};
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening: nobody else takes the port */

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    client.conn = conn_connect(base, (struct sockaddr *)&sa, NULL, 5000, &calls, &client, &err);
    turn();
    close(fd);
    if (client.conn == NULL && client.events.n == 0)
        ck_assert_str_eq(err.text, "Connection refused");
    else
        ck_assert_str_eq(strbuf_str(&client.events), "closed:Connection refused;");
}
END_TEST

START_TEST(test_connect_and_time_out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    struct err err = {.text = ""};
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[8];

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) { /* its queue is full: the next ones get no answer */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&sa, sizeof(sa));
    }
    client.conn = conn_connect(base, (struct sockaddr *)&sa, NULL, 100, &calls, &client, &err);
    ck_assert_ptr_nonnull(client.conn);
    turn_for(200);
    ck_assert_str_eq(strbuf_str(&client.events), "closed:connection timed out;");
    for (size_t i = 0; i < ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(fd);
}
END_TEST

/* ---- TLS ------------------------------------------------------------------------------------------------------ */

static struct config *config;
static struct tls_server *tls_server;
static struct tls_client *tls_client;

static void tls_setup(void)
{
    struct err err = {.text = ""};

    setup();
    certs_make_dir();
    certs_make(HOST, -60, 3600, "cert.pem", "key.pem");
    config = certs_config(HOST, "cert.pem", "key.pem");
    config->delivery.ca_file = certs_path("cert.pem");
    ck_assert_msg(tls_server_new(config, &tls_server, &err) == 0, "%s", err.text);
    ck_assert_msg(tls_client_new(config, &tls_client, &err) == 0, "%s", err.text);
    server.tls = tls_server_ssl(tls_server);
}

static void tls_teardown(void)
{
    teardown();
    tls_server_free(&tls_server);
    tls_client_free(&tls_client);
    config_free(&config);
    certs_remove_dir();
}

static void client_on_raw(void)
{
    client.conn = conn_accept(base, raw, &calls, &client);
    raw = -1;
}

static size_t take_starttls(struct peer *p, struct slice bytes)
{
    if (p->tls != NULL) {
        conn_send(p->conn, SLICE("220 go\n"));
        conn_start_tls(p->conn, p->tls);
        p->tls = NULL;
        return 9; /* "STARTTLS\n"; whatever stands behind it was injected */
    }
    return bytes.n;
}

static size_t take_220(struct peer *p, struct slice bytes)
{
    if (p->tls != NULL) {
        conn_start_tls(p->conn, p->tls);
        p->tls = NULL;
    }
    return bytes.n;
}

START_TEST(test_starttls)
{
    client_on_raw();
    client.tls = tls_client_ssl(tls_client, HOST, true);
    server.take = take_starttls;
    client.take = take_220;
    conn_send(client.conn, SLICE("STARTTLS\nEHLO evil\nMAIL FROM:<evil>\n"));
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "tls;");
    ck_assert_str_eq(strbuf_str(&client.events), "tls;");
    ck_assert_slice_eq(input_of(&client), "220 go\n");
    conn_send(client.conn, SLICE("EHLO good\n"));
    turn();
    ck_assert_slice_eq(input_of(&server), "STARTTLS\nEHLO good\n"); /* RFC 3207 6: nothing in between */
    ck_assert_str_eq(tls_version(conn_tls(server.conn)), "TLSv1.3");
    conn_finish(client.conn);
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "tls;closed:connection closed by the peer;");
    ck_assert_str_eq(strbuf_str(&client.events), "tls;closed;");
}
END_TEST

static void speak_at_once(struct peer *p, enum conn_event event)
{
    if (event == CONN_TLS_READY)
        conn_send(p->conn, SLICE("EHLO early\n"));
}

/* What comes with the last flight of the handshake is in OpenSSL's hands when it is done. */
START_TEST(test_tls_first_words)
{
    client_on_raw();
    client.on_event = speak_at_once;
    conn_start_tls(server.conn, server.tls);
    conn_start_tls(client.conn, tls_client_ssl(tls_client, HOST, true));
    turn();
    ck_assert_slice_eq(input_of(&server), "EHLO early\n");
}
END_TEST

static void both_tls(void)
{
    client_on_raw();
    conn_start_tls(server.conn, server.tls);
    conn_start_tls(client.conn, tls_client_ssl(tls_client, HOST, true));
    server.tls = NULL;
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "tls;");
}

START_TEST(test_tls_carries_much)
{
    static char block[3 * 1024 * 1024];

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 7 + i / 251);
    both_tls();
    conn_send(client.conn, slice_from(block, sizeof(block)));
    conn_finish(client.conn);
    for (int i = 0; i < 100 && server.conn != NULL; i++)
        turn();
    ck_assert(slice_eq(input_of(&server), slice_from(block, sizeof(block))));
}
END_TEST

/* Decrypted octets that wait in OpenSSL do not make the socket readable: resuming has to look for them. */
START_TEST(test_tls_pause_and_resume)
{
    both_tls();
    server.take = take_one_line_and_wait;
    conn_send(client.conn, SLICE("one\ntwo\nthree\n"));
    turn();
    ck_assert_slice_eq(input_of(&server), "one\n");
    conn_resume(server.conn);
    turn();
    conn_resume(server.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "one\ntwo\nthree\n");
}
END_TEST

static void finish_on_failure(struct peer *p, enum conn_event event)
{
    if (event == CONN_TLS_FAILED)
        conn_finish(p->conn);
}

START_TEST(test_tls_garbage)
{
    server.on_event = finish_on_failure;
    conn_start_tls(server.conn, server.tls);
    raw_send("EHLO this is not TLS\r\n");
    turn();
    ck_assert_int_eq(strncmp(strbuf_str(&server.events), "tls-failed:", 11), 0);
    close(raw);
    raw = -1;
    turn();
    ck_assert_ptr_null(server.conn);
    ck_assert_ptr_nonnull(strstr(strbuf_str(&server.events), ";closed;"));
    ck_assert_uint_eq(server.input.n, 0);
}
END_TEST

START_TEST(test_tls_peer_goes)
{
    server.on_event = finish_on_failure;
    conn_start_tls(server.conn, server.tls);
    turn();
    close(raw);
    raw = -1;
    turn();
    ck_assert_str_eq(strbuf_str(&server.events), "tls-failed:connection closed;closed;");
}
END_TEST

START_TEST(test_tls_alert_is_told)
{
    server.on_event = client.on_event = finish_on_failure;
    client_on_raw();
    conn_start_tls(server.conn, server.tls);
    conn_start_tls(client.conn, tls_client_ssl(tls_client, "other.example.test", true));
    turn();
    ck_assert_str_eq(strbuf_str(&client.events), "tls-failed:certificate: hostname mismatch;closed;");
    ck_assert_str_eq(strbuf_str(&server.events), "tls-failed:peer alert: bad certificate;closed;");
}
END_TEST

/* Without close_notify: the end of the connection is not the end of what was said. */
START_TEST(test_tls_truncated)
{
    both_tls();
    conn_send(client.conn, SLICE("half a mess"));
    turn();
    conn_free(&client.conn);
    turn();
    ck_assert_slice_eq(input_of(&server), "half a mess");
    ck_assert_str_eq(strbuf_str(&server.events), "tls;closed:connection closed;");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("conn");
    TCase *tc = tcase_create("plain");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_leftover_is_offered_again);
    tcase_add_test(tc, test_pause_and_resume);
    tcase_add_test(tc, test_paused_and_not_watched);
    tcase_add_test(tc, test_resume_meets_the_timer);
    tcase_add_test(tc, test_end_while_paused);
    tcase_add_test(tc, test_input_is_bounded);
    tcase_add_test(tc, test_output_holds_input_back);
    tcase_add_test(tc, test_output_is_bounded);
    tcase_add_test(tc, test_drained);
    tcase_add_test(tc, test_finish);
    tcase_add_test(tc, test_finish_does_not_wait_forever);
    tcase_add_test(tc, test_free_inside);
    tcase_add_test(tc, test_deadline);
    tcase_add_test(tc, test_deadline_of_one_who_is_silent);
    tcase_add_test(tc, test_deadline_that_does_not_move);
    tcase_add_test(tc, test_connect_refused);
    tcase_add_test(tc, test_connect_and_time_out);
    suite_add_tcase(s, tc);
    tc = tcase_create("tls");
    tcase_add_checked_fixture(tc, tls_setup, tls_teardown);
    tcase_add_test(tc, test_starttls);
    tcase_add_test(tc, test_tls_first_words);
    tcase_add_test(tc, test_tls_carries_much);
    tcase_add_test(tc, test_tls_pause_and_resume);
    tcase_add_test(tc, test_tls_garbage);
    tcase_add_test(tc, test_tls_peer_goes);
    tcase_add_test(tc, test_tls_alert_is_told);
    tcase_add_test(tc, test_tls_truncated);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
