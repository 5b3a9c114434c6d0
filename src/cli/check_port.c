/* Does mail get out?  Many providers block port 25 until they are asked. */
#include "check.h"

#include "sendas/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 10000, TRIES_MAX = 2, SMTPS_PORT = 465 };

/* ---- judging --------------------------------------------------------------------------------- */

static void judge_closed(struct check_run *r, struct check_item *item, const struct check_port *f)
{
    item->status = CHECK_FAIL;
    item->found = check_text(r, "cannot connect to %s [%s] port %u: %s", f->host, f->address, f->port,
                             f->error == ETIMEDOUT ? "no answer within 10 s" : strerror(f->error));
    if (f->override)
        item->fix = "see that delivery.routes names the right host and port, and that no firewall is between";
    else if (f->error == EADDRNOTAVAIL)
        item->fix = "delivery.bind names an address that this machine does not have";
    else
        item->fix = check_text(r,
                               "ask your provider to open outgoing port %u, or send through a smarthost: "
                               "delivery.routes: [{domain: \"*\", host: ..., port: 587, tls: required}]",
                               f->port);
}

void check_port_judge(struct check_run *r, const struct check_port *f)
{
    struct check_item *item = check_add(r, "port25", NULL, CHECK_PASS);
    item->expected = check_text(r, "a connection to port %u of %s", f->port, f->override ? f->host : "gmail.com's MX");
    if (f->unknown) {
        check_no_answer(r, item, f->host);
    } else if (f->address[0] == '\0') {
        item->status = f->override ? CHECK_FAIL : CHECK_WARN;
        item->unknown = !f->override;
        item->found = check_text(r, "%s has no address that could be tried", f->host);
        item->fix = f->override ? "correct the host in delivery.routes" : "see that this machine's DNS is right";
    } else if (f->error != 0) {
        judge_closed(r, item, f);
    } else if (f->greeting[0] == '4' || f->greeting[0] == '5') {
        item->status = CHECK_WARN;
        item->found = check_text(r, "%s [%s] port %u says: %s", f->host, f->address, f->port, f->greeting);
        item->fix = "it does not want this server for now; its words tell why";
    } else {
        item->found = check_text(r, "%s [%s] port %u%s%s", f->host, f->address, f->port,
                                 f->greeting[0] != '\0' ? ": " : "", f->greeting);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

static socklen_t make_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        return sizeof(*in4);
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        return sizeof(*in6);
    }
    return 0;
}

/* 0, or why it is not ready by `deadline`. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (n > 0)
            return 0;
        if (n == 0)
            return ETIMEDOUT;
        if (errno != EINTR)
            return errno;
    }
}

/* From the address of this family in delivery.bind, as mail leaves. */
static int bind_source(const struct config *c, int fd, int family)
{
    for (size_t i = 0; i < c->delivery.n_bind; i++) {
        struct sockaddr_storage source;
        socklen_t n = make_address(c->delivery.bind[i], 0, &source);
        if (n > 0 && source.ss_family == family)
            return bind(fd, (struct sockaddr *)&source, n) < 0 ? errno : 0;
    }
    return 0;
}

static int connect_socket(const struct config *c, int fd, const struct sockaddr_storage *to, socklen_t n,
                          int64_t deadline)
{
    int error = bind_source(c, fd, to->ss_family);
    socklen_t size = sizeof(error);
    if (error != 0 || connect(fd, (const struct sockaddr *)to, n) == 0)
        return error;
    if (errno != EINPROGRESS)
        return errno;
    error = wait_for(fd, POLLOUT, deadline);
    if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    return error;
}

/* The first line, if it comes in time; then we take our leave. */
static void read_greeting(int fd, int64_t deadline, char out[256])
{
    static const char quit[] = "QUIT\r\n";
    if (wait_for(fd, POLLIN, deadline) != 0)
        return;
    ssize_t n = recv(fd, out, 255, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    if (n > 0)
        (void)!send(fd, quit, sizeof(quit) - 1, MSG_NOSIGNAL);
}

static void try_address(const struct config *c, struct check_port *f)
{
    struct sockaddr_storage to;
    socklen_t n = make_address(f->address, f->port, &to);
    int64_t deadline = clock_mono_ms() + WAIT_MS;
    int fd = n == 0 ? -1 : socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        f->error = n == 0 ? EINVAL : errno;
        return;
    }
    f->error = connect_socket(c, fd, &to, n, deadline);
    if (f->error == 0 && f->port != SMTPS_PORT)
        read_greeting(fd, deadline, f->greeting);
    close(fd);
}

/* With delivery.bind only its families are used. */
static bool family_used(const struct config *c, bool v6)
{
    for (size_t i = 0; i < c->delivery.n_bind; i++)
        if ((strchr(c->delivery.bind[i], ':') != NULL) == v6)
            return true;
    return c->delivery.n_bind == 0;
}

static void try_host(struct check_run *r, struct check_port *f)
{
    enum lookup_status worst = LOOKUP_OK;
    unsigned char octets[16];
    unsigned tries = 0;
    if (inet_pton(AF_INET, f->host, octets) == 1 || inet_pton(AF_INET6, f->host, octets) == 1) {
        snprintf(f->address, sizeof(f->address), "%s", f->host);
        try_address(r->config, f);
        return;
    }
    for (int turn = 0; turn < 2; turn++) {
        bool v6 = (turn == 0) == (r->config->delivery.prefer == CONFIG_PREFER_IPV6);
        if (!family_used(r->config, v6))
            continue;
        struct lookup_answer a = check_ask(r, f->host, &worst, v6 ? DNS_AAAA : DNS_A);
        for (size_t i = 0; i < a.n && tries < TRIES_MAX; i++, tries++) {
            snprintf(f->address, sizeof(f->address), "%.*s", SLICE_ARG(a.records[i].text));
            try_address(r->config, f);
            if (f->error == 0)
                return;
        }
    }
    f->unknown = tries == 0 && worst == LOOKUP_TEMPFAIL;
}

static const struct config_route *find_route(const struct config *c, const char *domain)
{
    for (size_t i = 0; i < c->delivery.n_routes; i++)
        if (strcmp(c->delivery.routes[i].domain, domain) == 0)
            return &c->delivery.routes[i];
    return strcmp(domain, "*") == 0 ? NULL : find_route(c, "*");
}

/* The best MX of gmail.com, where nearly everybody has somebody to write to. */
static void find_mx(struct check_run *r, struct check_port *f)
{
    struct lookup_answer mx = check_ask(r, "gmail.com", NULL, DNS_MX);
    const struct lookup_record *best = NULL;
    for (size_t i = 0; i < mx.n; i++)
        if (mx.records[i].text.n > 0 && (best == NULL || mx.records[i].preference < best->preference))
            best = &mx.records[i];
    f->unknown = mx.status == LOOKUP_TEMPFAIL;
    if (best == NULL)
        snprintf(f->host, sizeof(f->host), "gmail.com");
    else
        snprintf(f->host, sizeof(f->host), "%.*s", SLICE_ARG(best->text));
}

void check_port25(struct check_run *r)
{
    struct check_port facts = {.port = r->config->delivery.port};
    const struct config_route *route = find_route(r->config, "gmail.com");
    if (route != NULL) {
        facts.override = true;
        facts.port = route->port;
        snprintf(facts.host, sizeof(facts.host), "%s", route->host);
    } else {
        find_mx(r, &facts);
    }
    if (!facts.unknown)
        try_host(r, &facts);
    check_port_judge(r, &facts);
}
