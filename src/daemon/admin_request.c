/* The head of an HTTP request (RFC 9112), judged.
 *
 * There is no login, so what a browser on this machine could be made to do by another site counts: only GET and HEAD, and
 * no name in Host that somebody else's DNS could point here (DNS rebinding).  What is ambiguous is refused. */
#include "admin.h"

#include <arpa/inet.h>
#include <string.h>

static void refuse(struct admin_request *r, int status, const char *why)
{
    if (r->refusal != 0)
        return;
    r->refusal = status;
    r->why = why;
}

/* ---- names ---------------------------------------------------------------------------------------------- */

static bool is_port(struct slice s)
{
    uint64_t number;
    return s.n == 0 ||
           (s.p[0] == ':' && (s.n == 1 || (slice_to_u64(slice_skip(s, 1), &number) == 0 && number <= UINT16_MAX)));
}

static bool is_address(int family, struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bits[16];

    if (s.n >= sizeof(text) || slice_find(s, '\0') < s.n)
        return false;
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(s));
    return inet_pton(family, text, bits) == 1;
}

/* RFC 3986 3.2.2: an address literal, localhost, or our own name; with or without a port. */
static bool is_host_allowed(struct slice s, const char *hostname)
{
    if (slice_starts(s, SLICE("["))) {
        size_t end = slice_find(s, ']');
        return end < s.n && is_port(slice_skip(s, end + 1)) && is_address(AF_INET6, slice_sub(s, 1, end - 1));
    }
    size_t end = slice_find(s, ':');
    struct slice name = slice_sub(s, 0, end);
    return is_port(slice_skip(s, end)) && (is_address(AF_INET, name) || slice_eq_icase(name, SLICE("localhost")) ||
                                           domain_eq(name, slice_of(hostname)));
}

/* ---- lines ---------------------------------------------------------------------------------------------- */

/* RFC 9110 5.6.2 */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return s.n > 0;
}

/* RFC 9110 5.5: HTAB and what is visible, nothing else. */
static bool is_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

/* RFC 9112 3.2.1, 3.2.2: "/path?query", or "http://host/path?query", whose host counts as well. */
static void read_target(struct slice target, const char *hostname, struct admin_request *r)
{
    if (slice_starts_icase(target, SLICE("http://"))) {
        struct slice rest = slice_skip(target, 7);
        size_t end = slice_find(rest, '/');
        if (!is_host_allowed(slice_sub(rest, 0, end), hostname))
            refuse(r, 403, "open this page by its address");
        target = slice_skip(rest, end);
    }
    r->path = slice_sub(target, 0, slice_find(target, '?'));
}

/* RFC 9112 3 */
static void read_request_line(struct slice line, const char *hostname, struct admin_request *r, bool *needs_host)
{
    struct slice method, target, version = slice_cut(slice_cut(line, ' ', &method), ' ', &target);

    *needs_host = !slice_eq(version, SLICE("HTTP/1.0"));
    if (!is_text(line) || !is_token(method) || target.n == 0 || !slice_starts(version, SLICE("HTTP/"))) {
        refuse(r, 400, "this is no HTTP request");
        return;
    }
    if (*needs_host && !slice_eq(version, SLICE("HTTP/1.1")))
        refuse(r, 505, "only HTTP/1.0 and HTTP/1.1");
    r->head = slice_eq(method, SLICE("HEAD"));
    if (!r->head && !slice_eq(method, SLICE("GET")))
        refuse(r, 405, "only GET and HEAD");
    read_target(target, hostname, r);
}

/* RFC 9112 5, without its obsolete line folding. */
static void read_field(struct slice line, const char *hostname, struct admin_request *r, unsigned *hosts)
{
    struct slice name, value = slice_trim(slice_cut(line, ':', &name));

    if (name.n == line.n || !is_token(name) || !is_text(value)) {
        refuse(r, 400, "a header field is malformed");
        return;
    }
    if (!slice_eq_icase(name, SLICE("Host")))
        return;
    ++*hosts;
    if (!is_host_allowed(value, hostname))
        refuse(r, 403, "open this page by its address");
}

/* The head is not complete: is it worth waiting for the rest?  What speaks another protocol is told at once. */
static bool may_become_request(struct slice bytes, const char *hostname)
{
    struct admin_request r = {.why = ""};
    size_t line = slice_find_slice(bytes, SLICE("\r\n")), newline = slice_find(bytes, '\n');
    bool unused;

    if (newline < line || (bytes.n > 0 && !is_token(slice_sub(bytes, 0, 1))))
        return false;
    if (line < bytes.n)
        read_request_line(slice_sub(bytes, 0, line), hostname, &r, &unused);
    return r.refusal != 400;
}

bool admin_request_read(struct slice bytes, const char *hostname, struct admin_request *ret)
{
    size_t end = slice_find_slice(bytes, SLICE("\r\n\r\n"));
    struct slice head = slice_sub(bytes, 0, end + 2); /* with the last line's end, when it is complete */
    bool needs_host = false;
    unsigned hosts = 0;

    *ret = (struct admin_request){.why = ""};
    if (end >= ADMIN_HEAD_MAX) {
        refuse(ret, 431, "the header is too long");
        return true;
    }
    if (end == bytes.n) {
        if (may_become_request(bytes, hostname))
            return false;
        refuse(ret, 400, "this is no HTTP request");
        return true;
    }
    for (bool first = true; head.n > 0; first = false) {
        size_t n = slice_find_slice(head, SLICE("\r\n"));
        if (first)
            read_request_line(slice_sub(head, 0, n), hostname, ret, &needs_host);
        else
            read_field(slice_sub(head, 0, n), hostname, ret, &hosts);
        head = slice_skip(head, n + 2);
    }
    /* RFC 9112 3.2 */
    if (hosts > 1 || (needs_host && hosts == 0))
        refuse(ret, 400, "there must be one Host");
    return true;
}
