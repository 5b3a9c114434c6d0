/* The addresses of this machine, and its names. */
#include "host.h"

#include "sendas/delivery.h"
#include "sendas/dns.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_ipv6(const char *ip)
{
    return strchr(ip, ':') != NULL;
}

static socklen_t make_address(const char *ip, uint16_t port, struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){.ss_family = is_ipv6(ip) ? AF_INET6 : AF_INET};
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    if (is_ipv6(ip)) {
        v6->sin6_port = htons(port);
        inet_pton(AF_INET6, ip, &v6->sin6_addr);
        return sizeof(*v6);
    }
    v4->sin_port = htons(port);
    inet_pton(AF_INET, ip, &v4->sin_addr);
    return sizeof(*v4);
}

static bool write_address(const struct sockaddr *address, char out[HOST_IP_SIZE])
{
    const void *bits = NULL;
    if (address->sa_family == AF_INET)
        bits = &((const struct sockaddr_in *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bits = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return bits != NULL && inet_ntop(address->sa_family, bits, out, HOST_IP_SIZE) != NULL;
}

bool host_has_address(const char *ip)
{
    struct sockaddr_storage address;
    socklen_t n = make_address(ip, 0, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = bind(fd, (struct sockaddr *)&address, n) == 0;
    close(fd);
    return ok;
}

bool host_address_is_public(const char *ip)
{
    return delivery_address_allowed(ip, false);
}

/* One that is to be used no more, or only for a while.  Its flags are known to /proc alone, in hexadecimal:
 * "20010db8...0001 02 40 00 80 eth0" is address, index, prefix length, scope, flags and interface. */
static bool is_fleeting(const struct in6_addr *address)
{
    char line[256], hex[33];
    unsigned flags = 0;
    FILE *file = fopen("/proc/net/if_inet6", "re");
    bool found = false;
    if (file == NULL)
        return false;
    for (size_t i = 0; i < sizeof(address->s6_addr); i++)
        snprintf(hex + 2 * i, 3, "%02x", address->s6_addr[i]);
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, hex, 32) == 0 && sscanf(line + 32, " %*x %*x %*x %x", &flags) == 1;
    fclose(file);
    return (flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0;
}

static bool is_usable(const struct ifaddrs *i, int family, char out[HOST_IP_SIZE])
{
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || (i->ifa_flags & IFF_LOOPBACK) ||
        !(i->ifa_flags & IFF_UP))
        return false;
    if (family == AF_INET6 && is_fleeting(&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr))
        return false;
    return write_address(i->ifa_addr, out) && host_address_is_public(out);
}

/* What the kernel would send from; nothing is sent. */
static bool find_source(int family, char out[HOST_IP_SIZE])
{
    struct sockaddr_storage to, from = {.ss_family = AF_UNSPEC};
    socklen_t n = make_address(family == AF_INET6 ? "2001:500:2::c" : "192.33.4.12", 53, &to), n_from = sizeof(from);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = connect(fd, (struct sockaddr *)&to, n) == 0 && getsockname(fd, (struct sockaddr *)&from, &n_from) == 0;
    close(fd);
    return ok && write_address((struct sockaddr *)&from, out);
}

/* The one that the kernel prefers, or else the first. */
static bool find_public(const struct ifaddrs *all, int family, char out[HOST_IP_SIZE])
{
    char source[HOST_IP_SIZE] = "", ip[HOST_IP_SIZE];
    bool found = false;
    find_source(family, source);
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (!is_usable(i, family, ip) || (found && strcmp(ip, source) != 0))
            continue;
        memcpy(out, ip, sizeof(ip));
        found = true;
    }
    return found;
}

size_t host_public_addresses(char ips[HOST_FAMILIES][HOST_IP_SIZE])
{
    static const int families[HOST_FAMILIES] = {AF_INET, AF_INET6};
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) < 0)
        return 0;
    for (size_t i = 0; i < HOST_FAMILIES; i++)
        n += find_public(all, families[i], ips[n]);
    freeifaddrs(all);
    return n;
}

/* ---- names ----------------------------------------------------------------------------------- */

bool host_is_within(const char *name, const char *domain)
{
    size_t n = strlen(name), m = strlen(domain);
    return n >= m && strcmp(name + n - m, domain) == 0 && (n == m || name[n - m - 1] == '.');
}

void host_reverse_name(const char *ip, struct strbuf *out)
{
    unsigned char bits[sizeof(struct in6_addr)];
    bool v6 = is_ipv6(ip);
    if (inet_pton(v6 ? AF_INET6 : AF_INET, ip, bits) != 1)
        return;
    for (size_t i = v6 ? 16 : 4; i-- > 0;)
        if (v6)
            strbuf_addf(out, "%x.%x.", bits[i] & 15, bits[i] >> 4);
        else
            strbuf_addf(out, "%u.", bits[i]);
    strbuf_add_str(out, v6 ? "ip6.arpa" : "in-addr.arpa");
}

static bool leads_to(const struct lookup *dns, struct arena *a, const char *name, const char *ip)
{
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    dns->query(dns->ctx, a, name, is_ipv6(ip) ? DNS_AAAA : DNS_A, &answer);
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++)
        if (slice_eq(answer.records[i].text, slice_of(ip)))
            return true;
    return false;
}

void host_ptr_find(const struct lookup *dns, struct arena *a, const char *ip, struct host_ptr *ret)
{
    enum { NAMES_MAX = 4 };
    struct strbuf reverse = STRBUF_INIT;
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    host_reverse_name(ip, &reverse);
    *ret = (struct host_ptr){.status = LOOKUP_TEMPFAIL};
    if (!reverse.failed)
        dns->query(dns->ctx, a, strbuf_str(&reverse), DNS_PTR, &answer);
    strbuf_free(&reverse);
    ret->status = answer.status;
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n && i < NAMES_MAX && !ret->confirmed; i++) {
        char name[DOMAIN_MAX + 1];
        if (domain_to_ascii(answer.records[i].text, name, NULL) < 0)
            continue;
        ret->confirmed = leads_to(dns, a, name, ip);
        if (ret->confirmed || ret->name[0] == '\0')
            memcpy(ret->name, name, sizeof(name));
    }
}
