/* One request at a time: libcurl's multi-socket interface on the loop.
 *
 * https only, no redirects, roots as configured, every response bounded in size and time.  Names are asked of our own resolver;
 * what it does not know (such as a name in /etc/hosts) libcurl looks up by the system's, in a thread of its own. */
#include "curl.h"
#include "internal.h"

#include "sendas/dns.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_TIMEOUT_S = 20, TIMEOUT_S = 60, HEADERS_MAX = 64 * 1024, ADDRESSES_MAX = 8 };

struct acme_http {
    const struct acme_curl *curl;
    struct event_base *base;
    struct dns *dns;
    void (*done)(void *ctx, const struct acme_response *r, const char *why);
    void *ctx;
    CURLM *multi;
    CURL *easy;
    struct event *timer, *finished;
    struct curl_slist *headers, *addresses;
    struct strbuf request_body, body, found; /* found: addresses, with commas */
    size_t header_octets;
    unsigned n_found;
    struct dns_query *queries[2];
    bool running; /* `easy` is in `multi` */
    CURLcode result;
    const char *trouble; /* ours; NULL = see `result` */
    char host[ACME_URL_MAX], port[8];
    char why[CURL_ERROR_SIZE];
};

/* ---- ending ---------------------------------------------------------------------------------- */

static void finish(struct acme_http *h, const char *trouble)
{
    h->trouble = trouble;
    event_active(h->finished, 0, 0); /* not from within a callback of libcurl's */
}

static const char *header_of(const struct acme_http *h, const char *name)
{
    struct curl_header *header;
    return h->curl->easy_header(h->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : "";
}

static void stop(struct acme_http *h)
{
    for (size_t i = 0; i < ARRAY_LEN(h->queries); i++) {
        if (h->queries[i] != NULL)
            dns_cancel(h->queries[i]);
        h->queries[i] = NULL;
    }
    if (h->running)
        h->curl->multi_remove_handle(h->multi, h->easy);
    h->running = false;
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    struct acme_http *h = arg;
    struct acme_response r = {.retry_after_s = -1};
    struct curl_header *header;
    curl_off_t wait = 0;
    long status = 0;

    (void)fd, (void)what;
    stop(h);
    if (h->trouble != NULL || h->result != CURLE_OK) {
        const char *why = h->trouble != NULL  ? h->trouble
                          : h->why[0] != '\0' ? h->why
                                              : h->curl->easy_strerror(h->result);
        h->done(h->ctx, NULL, why);
        return;
    }
    h->curl->easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    r.status = status > 0 ? (unsigned)status : 0;
    r.nonce = header_of(h, "Replay-Nonce");
    r.location = header_of(h, "Location");
    r.body = strbuf_slice(&h->body);
    if (h->curl->easy_header(h->easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        h->curl->easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK)
        r.retry_after_s = wait; /* seconds, or a date (RFC 9110 10.2.3) */
    h->done(h->ctx, &r, NULL);
}

/* ---- libcurl and the loop -------------------------------------------------------------------- */

static void look(struct acme_http *h)
{
    CURLMsg *message;
    int left;

    while ((message = h->curl->multi_info_read(h->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE) {
            h->result = message->data.result;
            finish(h, h->trouble);
        }
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct acme_http *h = arg;
    int running;

    h->curl->multi_socket_action(
        h->multi, fd, ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0),
        &running);
    look(h);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct acme_http *h = arg;
    int running;

    (void)fd, (void)what;
    h->curl->multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look(h);
}

/* libcurl says what it waits for at a socket; its event hangs on the socket. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *hanging)
{
    struct acme_http *h = arg;
    struct event *event = hanging;

    (void)easy;
    if (event != NULL)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short kind = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                             ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
        event = event_new(h->base, fd, kind, on_socket_event, h);
        if (event == NULL || event_add(event, NULL) < 0)
            finish(h, "out of memory");
    }
    h->curl->multi_assign(h->multi, fd, event);
    return 0;
}

static int on_timeout_wanted(CURLM *multi, long ms, void *arg)
{
    struct acme_http *h = arg;
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    (void)multi;
    if (ms < 0)
        evtimer_del(h->timer);
    else
        evtimer_add(h->timer, &wait);
    return 0;
}

/* Less than all is a failure to libcurl. */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct acme_http *h = arg;

    strbuf_add(&h->body, p, size * n);
    if (!h->body.failed)
        return size * n;
    h->trouble = "the response is too large";
    return 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct acme_http *h = arg;

    (void)p;
    h->header_octets += size * n;
    if (h->header_octets <= HEADERS_MAX)
        return size * n;
    h->trouble = "the response's header is too large";
    return 0;
}

/* ---- starting -------------------------------------------------------------------------------- */

static int set_bounds(struct acme_http *h)
{
    CURL *e = h->easy;

    return h->curl->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_TIMEOUT, (long)TIMEOUT_S) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) !=
                       CURLE_OK || /* never waits for a resolver's thread */
                   h->curl->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_WRITEDATA, h) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_HEADERDATA, h) != CURLE_OK ||
                   h->curl->easy_setopt(e, CURLOPT_ERRORBUFFER, h->why) != CURLE_OK
               ? -1
               : 0;
}

/* The file that the settings name, or the one that OpenSSL's variable names; libcurl's own default is the system's. */
static int set_roots(struct acme_http *h, const char *ca_file)
{
    const char *file = *ca_file != '\0' ? ca_file : getenv(X509_get_default_cert_file_env());

    if (file == NULL || *file == '\0')
        return 0;
    return h->curl->easy_setopt(h->easy, CURLOPT_CAINFO, file) != CURLE_OK ||
                   h->curl->easy_setopt(h->easy, CURLOPT_CAPATH, NULL) != CURLE_OK
               ? -1
               : 0;
}

static int add_header(struct acme_http *h, const char *name, const char *value)
{
    struct strbuf line = STRBUF_INIT;

    strbuf_addf(&line, "%s: %s", name, value);
    struct curl_slist *more = line.failed ? NULL : h->curl->slist_append(h->headers, strbuf_str(&line));
    strbuf_free(&line);
    if (more == NULL)
        return -1;
    h->headers = more;
    return 0;
}

static int set_request(struct acme_http *h, const struct acme_request *r)
{
    CURL *e = h->easy;
    int rc = 0;

    /* RFC 8555 6.1: a client names itself. */
    if (h->curl->easy_setopt(e, CURLOPT_URL, r->url) != CURLE_OK ||
        h->curl->easy_setopt(e, CURLOPT_USERAGENT, "sendas/" SENDAS_VERSION) != CURLE_OK)
        return -1;
    if (r->method == ACME_HEAD)
        rc = h->curl->easy_setopt(e, CURLOPT_NOBODY, 1L) != CURLE_OK;
    if (r->method == ACME_POST)
        rc = h->curl->easy_setopt(e, CURLOPT_POST, 1L) != CURLE_OK ||
             h->curl->easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)h->request_body.n) != CURLE_OK ||
             h->curl->easy_setopt(e, CURLOPT_POSTFIELDS, strbuf_str(&h->request_body)) != CURLE_OK ||
             add_header(h, "Content-Type", "application/jose+json") < 0;
    if (rc == 0 && r->accept != NULL)
        rc = add_header(h, "Accept", r->accept) < 0;
    return rc != 0 || h->curl->easy_setopt(e, CURLOPT_HTTPHEADER, h->headers) != CURLE_OK ? -1 : 0;
}

static int split_url(struct acme_http *h, const char *url)
{
    CURLU *u = h->curl->url();
    char *host = NULL, *port = NULL;
    bool ok = u != NULL && h->curl->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              h->curl->url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              h->curl->url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              strlen(host) < sizeof(h->host) && strlen(port) < sizeof(h->port);

    if (ok) {
        snprintf(h->host, sizeof(h->host), "%s", host);
        snprintf(h->port, sizeof(h->port), "%s", port);
    }
    h->curl->free(host);
    h->curl->free(port);
    h->curl->url_cleanup(u);
    return ok ? 0 : -1;
}

static void begin(struct acme_http *h)
{
    struct strbuf line = STRBUF_INIT;

    if (h->n_found > 0) {
        strbuf_addf(&line, "%s:%s:%s", h->host, h->port, strbuf_str(&h->found));
        h->addresses = line.failed ? NULL : h->curl->slist_append(NULL, strbuf_str(&line));
        if (h->addresses != NULL)
            h->curl->easy_setopt(h->easy, CURLOPT_RESOLVE, h->addresses);
    }
    strbuf_free(&line);
    if (h->curl->multi_add_handle(h->multi, h->easy) != CURLM_OK)
        finish(h, "out of memory");
    else
        h->running = true;
}

static void on_addresses(struct acme_http *h, size_t i, const struct dns_answer *a)
{
    h->queries[i] = NULL;
    for (size_t k = 0; k < a->n && h->n_found < ADDRESSES_MAX; k++)
        strbuf_addf(&h->found, "%s%s", h->n_found++ > 0 ? "," : "", a->records[k].text);
    if (h->queries[0] == NULL && h->queries[1] == NULL)
        begin(h);
}

static void on_ipv6(void *ctx, const struct dns_answer *a)
{
    on_addresses(ctx, 0, a);
}

static void on_ipv4(void *ctx, const struct dns_answer *a)
{
    on_addresses(ctx, 1, a);
}

/* Addresses first, unless the host is one. */
static void resolve(struct acme_http *h)
{
    unsigned char address[16];

    if (h->host[0] != '[' && inet_pton(AF_INET, h->host, address) != 1 && h->dns != NULL) {
        h->queries[0] = dns_resolve(h->dns, h->host, DNS_AAAA, on_ipv6, h);
        h->queries[1] = dns_resolve(h->dns, h->host, DNS_A, on_ipv4, h);
    }
    if (h->queries[0] == NULL && h->queries[1] == NULL)
        begin(h);
}

static void clear(struct acme_http *h)
{
    stop(h);
    event_del(h->finished);
    if (h->easy != NULL)
        h->curl->easy_reset(h->easy);
    h->curl->slist_free_all(h->headers);
    h->curl->slist_free_all(h->addresses);
    h->headers = h->addresses = NULL;
    strbuf_free(&h->request_body);
    strbuf_reset(&h->body);
    strbuf_reset(&h->found);
    h->n_found = 0;
    h->header_octets = 0;
    h->result = CURLE_OK;
    h->trouble = NULL;
    h->why[0] = '\0';
}

static int open_multi(struct acme_http *h)
{
    if (h->multi != NULL)
        return 0;
    h->easy = h->curl->easy_init();
    h->multi = h->curl->multi_init();
    return h->easy == NULL || h->multi == NULL ||
                   h->curl->multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
                   h->curl->multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
                   h->curl->multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) != CURLM_OK ||
                   h->curl->multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK
               ? -1
               : 0;
}

void acme_http_start(struct acme_http *h, struct acme_request *r, const char *ca_file)
{
    clear(h);
    h->request_body = r->body;
    r->body = STRBUF_INIT;
    if (!acme_url_ok(r->url) || split_url(h, r->url) < 0)
        finish(h, "this is no https URL");
    else if (open_multi(h) < 0 || set_bounds(h) < 0 || set_roots(h, ca_file) < 0 || set_request(h, r) < 0)
        finish(h, "out of memory");
    else
        resolve(h);
}

/* ---- its life -------------------------------------------------------------------------------- */

void acme_http_rest(struct acme_http *h)
{
    clear(h);
    if (h->easy != NULL)
        h->curl->easy_cleanup(h->easy);
    if (h->multi != NULL)
        h->curl->multi_cleanup(h->multi);
    h->easy = NULL;
    h->multi = NULL;
    evtimer_del(h->timer);
}

struct acme_http *acme_http_new(struct event_base *base, struct dns *dns,
                                void (*done)(void *ctx, const struct acme_response *r, const char *why), void *ctx,
                                struct err *err)
{
    const struct acme_curl *curl = acme_curl(err);
    struct acme_http *h = curl != NULL ? calloc(1, sizeof(*h)) : NULL;

    if (curl == NULL)
        return NULL;
    err_set(err, "out of memory");
    if (h == NULL || curl->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(h);
        return NULL;
    }
    *h = (struct acme_http){.curl = curl, .base = base, .dns = dns, .done = done, .ctx = ctx};
    h->body.max = ACME_BODY_MAX;
    h->timer = evtimer_new(base, on_timer, h);
    h->finished = event_new(base, -1, 0, on_finished, h);
    if (h->timer == NULL || h->finished == NULL)
        acme_http_free(&h);
    return h;
}

void acme_http_free(struct acme_http **ph)
{
    struct acme_http *h = *ph;

    if (h == NULL)
        return;
    *ph = NULL;
    if (h->timer != NULL && h->finished != NULL)
        acme_http_rest(h);
    if (h->timer != NULL)
        event_free(h->timer);
    if (h->finished != NULL)
        event_free(h->finished);
    strbuf_free(&h->body);
    strbuf_free(&h->found);
    h->curl->global_cleanup();
    free(h);
}
