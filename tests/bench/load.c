/* load ADDRESS PORT USER PASSWORD SESSIONS MESSAGES SIZE RECIPIENT DOMAINS PER_CONNECTION - submits mail: STARTTLS, AUTH
 * PLAIN, a thread for each session, which sends its share of the messages one after the other.  Message n goes to
 * RECIPIENT, where a # stands for n modulo DOMAINS.  After PER_CONNECTION messages (0 = never) a session makes
 * a new connection.  With MESSAGES 0 all sessions log in, one after the other, and idle until standard input ends; then
 * "idle" is printed first, when all are there.
 *
 * Prints one line: accepted seconds p50_ms p99_ms (from the last octet of a message to its 250).  Exit 1 when a message
 * was not accepted.  The certificate is not looked at: this measures, it does not protect. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct sockaddr_in server;
    const char *user, *password, *recipient;
    unsigned sessions, messages, domains, per_connection;
    size_t size;
    SSL_CTX *tls;
} plan;

struct session {
    unsigned number, n, first; /* messages, the number of the first */
    int fd;
    SSL *ssl;
    size_t have;
    char buffer[4096], text[256];
    double *waits_ms;
    unsigned accepted;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool put(struct session *s, const char *p, size_t n)
{
    if (s->ssl != NULL)
        return SSL_write(s->ssl, p, (int)n) == (int)n;
    return send(s->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool more(struct session *s)
{
    size_t room = sizeof(s->buffer) - s->have;
    char *at = s->buffer + s->have;
    ssize_t n = s->ssl != NULL ? SSL_read(s->ssl, at, (int)room) : recv(s->fd, at, room, 0);
    if (n <= 0)
        return false;
    s->have += (size_t)n;
    return true;
}

/* The code of the next reply, its last line in `text`; 0 when the connection has ended. */
static int reply(struct session *s)
{
    for (;;) {
        char *end = memchr(s->buffer, '\n', s->have);
        if (end == NULL) {
            if (!more(s))
                return 0;
            continue;
        }
        size_t n = (size_t)(end - s->buffer) + 1;
        bool last = n > 4 && s->buffer[3] != '-';
        int code = atoi(s->buffer);
        snprintf(s->text, sizeof(s->text), "%.*s", (int)strcspn(s->buffer, "\r\n"), s->buffer);
        memmove(s->buffer, end + 1, s->have - n);
        s->have -= n;
        if (last)
            return code;
    }
}

static bool ask(struct session *s, const char *line, int code)
{
    int got = put(s, line, strlen(line)) ? reply(s) : 0;
    if (got != code)
        fprintf(stderr, "load: %s, not %d, to %.*s\n", got == 0 ? "the end" : s->text, code, (int)strcspn(line, "\r\n"), line);
    return got == code;
}

static bool log_in(struct session *s)
{
    unsigned char plain[512], encoded[1024];
    char line[1100];
    int n = snprintf((char *)plain, sizeof(plain), "%c%s%c%s", 0, plan.user, 0, plan.password);
    if (n < 0 || n >= (int)sizeof(plain))
        return false;
    EVP_EncodeBlock(encoded, plain, n);
    snprintf(line, sizeof(line), "AUTH PLAIN %s\r\n", encoded);
    return ask(s, line, 235);
}

static bool open_session(struct session *s)
{
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&plan.server, sizeof(plan.server)) < 0) {
        fprintf(stderr, "load: connect: %s\n", strerror(errno));
        return false;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (reply(s) != 220 || !ask(s, "EHLO load\r\n", 250) || !ask(s, "STARTTLS\r\n", 220))
        return false;
    SSL *ssl = SSL_new(plan.tls);
    if (ssl == NULL || SSL_set_fd(ssl, s->fd) != 1 || SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return false;
    }
    s->ssl = ssl;
    return ask(s, "EHLO load\r\n", 250) && log_in(s);
}

/* The message from DATA's 354 on, the dot included. */
static char *make_message(unsigned session, unsigned number, const char *recipient, size_t *n)
{
    size_t cap = plan.size + 1024;
    char *m = malloc(cap);
    if (m == NULL)
        return NULL;
    size_t at = (size_t)snprintf(m, cap,
                                 "From: Load <%s>\r\nTo: <%s>\r\nSubject: a message\r\n of load\r\n"
                                 "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%u.%u.%d@load.example>\r\n"
                                 "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
                                 plan.user, recipient, session, number, (int)getpid());
    for (unsigned line = 0; at + 78 < plan.size; line++)
        at += (size_t)snprintf(m + at, cap - at,
                               "%s%06u: the quick  brown fox jumps over the lazy dog, 0123456789.  \r\n",
                               line % 16 == 0 ? ".." : "", line);
    at += (size_t)snprintf(m + at, cap - at, ".\r\n");
    *n = at;
    return m;
}

static bool send_message(struct session *s, unsigned number)
{
    char line[600], recipient[300];
    size_t n = 0;
    const char *mark = strchr(plan.recipient, '#');
    if (mark == NULL)
        snprintf(recipient, sizeof(recipient), "%s", plan.recipient);
    else
        snprintf(recipient, sizeof(recipient), "%.*s%u%s", (int)(mark - plan.recipient), plan.recipient,
                 (s->first + number) % plan.domains, mark + 1);
    char *message = make_message(s->number, number, recipient, &n);
    snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", plan.user);
    bool ok = message != NULL && ask(s, line, 250);
    snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", recipient);
    ok = ok && ask(s, line, 250) && ask(s, "DATA\r\n", 354) && put(s, message, n);
    double sent_s = now_s();
    ok = ok && reply(s) == 250;
    s->waits_ms[number] = (now_s() - sent_s) * 1000;
    s->accepted += ok;
    free(message);
    return ok;
}

static void close_session(struct session *s)
{
    if (s->ssl != NULL)
        ask(s, "QUIT\r\n", 221);
    SSL_free(s->ssl);
    s->ssl = NULL;
    s->have = 0;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void *run(void *arg)
{
    struct session *s = arg;
    bool ok = open_session(s);
    for (unsigned i = 0; i < s->n && ok; i++) {
        if (i > 0 && plan.per_connection > 0 && i % plan.per_connection == 0) {
            close_session(s);
            ok = open_session(s);
        }
        ok = ok && send_message(s, i);
    }
    close_session(s);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int play(void)
{
    struct session *sessions = calloc(plan.sessions, sizeof(*sessions));
    pthread_t *threads = calloc(plan.sessions, sizeof(*threads));
    double *waits_ms = calloc(plan.messages, sizeof(*waits_ms));
    unsigned given = 0, accepted = 0;
    if (sessions == NULL || threads == NULL || waits_ms == NULL)
        return 1;
    double begin_s = now_s();
    for (unsigned i = 0; i < plan.sessions; i++) {
        unsigned n = (plan.messages - given) / (plan.sessions - i);
        sessions[i] = (struct session){.number = i, .n = n, .first = given, .fd = -1, .waits_ms = waits_ms + given};
        given += n;
        if (pthread_create(&threads[i], NULL, run, &sessions[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < plan.sessions; i++) {
        pthread_join(threads[i], NULL);
        accepted += sessions[i].accepted;
    }
    double took_s = now_s() - begin_s;
    qsort(waits_ms, plan.messages, sizeof(*waits_ms), by_value);
    printf("%u %.6f %.3f %.3f\n", accepted, took_s, waits_ms[plan.messages / 2], waits_ms[plan.messages * 99 / 100]);
    free(waits_ms);
    free(threads);
    free(sessions);
    return accepted == plan.messages ? 0 : 1;
}

static int idle(void)
{
    struct session *sessions = calloc(plan.sessions, sizeof(*sessions));
    bool ok = sessions != NULL;
    for (unsigned i = 0; i < plan.sessions && ok; i++) {
        sessions[i].fd = -1;
        ok = open_session(&sessions[i]);
    }
    if (ok) {
        puts("idle");
        fflush(stdout);
        while (getchar() != EOF)
            ;
        for (unsigned i = 0; i < plan.sessions; i++)
            close_session(&sessions[i]);
    }
    free(sessions);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 11) {
        fprintf(stderr,
                "usage: load ADDRESS PORT USER PASSWORD SESSIONS MESSAGES SIZE RECIPIENT DOMAINS PER_CONNECTION\n");
        return 2;
    }
    plan.server.sin_family = AF_INET;
    plan.server.sin_port = htons((uint16_t)atoi(argv[2]));
    plan.user = argv[3];
    plan.password = argv[4];
    plan.sessions = (unsigned)atoi(argv[5]);
    plan.messages = (unsigned)atoi(argv[6]);
    plan.size = (size_t)atol(argv[7]);
    plan.recipient = argv[8];
    plan.domains = (unsigned)atoi(argv[9]);
    plan.per_connection = (unsigned)atoi(argv[10]);
    plan.tls = SSL_CTX_new(TLS_client_method());
    if (inet_pton(AF_INET, argv[1], &plan.server.sin_addr) != 1 || plan.sessions == 0 || plan.domains == 0 ||
        plan.tls == NULL)
        return 2;
    SSL_CTX_set_mode(plan.tls, SSL_MODE_AUTO_RETRY);
    int code = plan.messages == 0 ? idle() : play();
    SSL_CTX_free(plan.tls);
    return code;
}
