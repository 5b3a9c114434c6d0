/* names.c - domain names, mail addresses and socket addresses as they stand in a configuration. */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

int name_to_ascii(struct slice text, char out[DOMAIN_MAX + 1], struct err *err)
{
    uint64_t number;
    if (domain_to_ascii(text, out, err) < 0)
        return -1;
    /* RFC 1123 2.1: the last label of a name is not all digits; 192.0.2.1 is an address. */
    const char *dot = strrchr(out, '.');
    if (slice_to_u64(slice_of(dot == NULL ? out : dot + 1), &number) == 0)
        return err_set(err, "a number as its last label");
    return 0;
}

/* RFC 5321 4.1.2: Dot-string = Atom *("." Atom), with the UTF-8 of RFC 6531 3.3. */
static bool is_dot_string(struct slice s)
{
    static const char specials[] = "!#$%&'*+-/=?^_`{|}~";
    if (s.n == 0 || s.p[0] == '.' || s.p[s.n - 1] == '.' || slice_find_slice(s, SLICE("..")) != s.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alphanumeric && c < 0x80 && c != '.' && (c == '\0' || strchr(specials, c) == NULL))
            return false;
    }
    return slice_is_utf8(s);
}

int address_normalize(struct slice text, char out[ADDRESS_MAX + 1], struct err *err)
{
    struct slice local;
    struct slice domain = slice_cut(text, '@', &local);
    char name[DOMAIN_MAX + 1];
    if (local.n == text.n)
        return err_set(err, "no '@'");
    if (local.n > ADDRESS_LOCAL_MAX)
        return err_set(err, "more than %d octets before the '@'", ADDRESS_LOCAL_MAX);
    if (!is_dot_string(local))
        return err_set(err, "what stands before the '@' is no mailbox name");
    if (name_to_ascii(domain, name, err) < 0)
        return -1;
    snprintf(out, ADDRESS_MAX + 1, "%.*s@%s", SLICE_ARG(local), name);
    return 0;
}

int ip_normalize(struct slice text, char out[IP_MAX], int *family)
{
    unsigned char bits[16];
    char copy[IP_MAX];
    if (text.n == 0 || text.n >= sizeof(copy) || slice_find(text, '\0') != text.n)
        return -1;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    int which = slice_find(text, ':') == text.n ? AF_INET : AF_INET6;
    if (inet_pton(which, copy, bits) != 1 || inet_ntop(which, bits, out, IP_MAX) == NULL)
        return -1;
    if (family != NULL)
        *family = which;
    return 0;
}

int port_parse(struct slice text, uint16_t *ret)
{
    uint64_t v;
    if (text.n == 0 || text.p[0] == '0' || slice_to_u64(text, &v) < 0 || v > UINT16_MAX)
        return -1;
    *ret = (uint16_t)v;
    return 0;
}

int socket_check(struct slice text)
{
    char address[IP_MAX];
    uint16_t port;
    return socket_parse(text, address, &port);
}

int socket_parse(struct slice text, char address[IP_MAX], uint16_t *port)
{
    struct slice host;
    int family;
    struct slice rest = slice_starts(text, SLICE("[")) ? slice_cut(slice_skip(text, 1), ']', &host) : text;
    if (rest.p != text.p) { /* "[::1]:9587" */
        if (!slice_starts(rest, SLICE(":")) || ip_normalize(host, address, &family) < 0 || family != AF_INET6)
            return -1;
        return port_parse(slice_skip(rest, 1), port);
    }
    rest = slice_cut(text, ':', &host);
    return ip_normalize(host, address, NULL) < 0 ? -1 : port_parse(rest, port);
}

bool config_admin_address(const struct config *c, char address[CONFIG_IP_MAX], uint16_t *port)
{
    return *c->admin_listen != '\0' && socket_parse(slice_of(c->admin_listen), address, port) == 0;
}

bool config_admin_exposed(const struct config *c)
{
    char address[IP_MAX];
    uint16_t port;
    return config_admin_address(c, address, &port) && !address_is_loopback(address);
}
