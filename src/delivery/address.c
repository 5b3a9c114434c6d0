/* delivery/address.c - which addresses mail is delivered to: the global unicast ones (RFC 6890 and its registries).
 *
 * A domain's owner writes what he likes into DNS; an MX must not lead us to ourselves, into the house, or to a cloud's
 * metadata service.  The ranges for documentation are left alone: nothing answers there but a laboratory. */
#include "sendas/delivery.h"

#include <arpa/inet.h>
#include <string.h>

struct range {
    unsigned char prefix[16];
    unsigned char bits;
};

static const struct range special4[] = {
    {{0}, 8},            /* this network */
    {{10}, 8},           /* private (RFC 1918) */
    {{100, 64}, 10},     /* shared by carriers (RFC 6598) */
    {{127}, 8},          /* loopback */
    {{169, 254}, 16},    /* link-local */
    {{172, 16}, 12},     /* private */
    {{192, 0, 0}, 24},   /* protocol assignments */
    {{192, 88, 99}, 24}, /* 6to4 relays, gone (RFC 7526) */
    {{192, 168}, 16},    /* private */
    {{198, 18}, 15},     /* benchmarks */
    {{224}, 4},          /* multicast */
    {{240}, 4},          /* reserved, broadcast */
};

/* Of 2000::/3, which is all that is assigned for global unicast. */
static const struct range global6 = {{0x20}, 3};
static const struct range special6[] = {
    {{0x20, 0x01}, 23}, /* protocol assignments: Teredo, ORCHID, benchmarks */
};

/* An IPv4 address stands in these, at the octet named: that is what is reached. */
static const struct {
    struct range range;
    unsigned char at;
} embeds4[] = {
    {{{[10] = 0xff, [11] = 0xff}, 96}, 12}, /* ::ffff:0:0/96, IPv4-mapped */
    {{{0, 0x64, 0xff, 0x9b}, 96}, 12},      /* 64:ff9b::/96, NAT64 (RFC 6052) */
    {{{0x20, 0x02}, 16}, 2},                /* 2002::/16, 6to4 (RFC 3056) */
};

static bool in_range(const unsigned char *address, const struct range *r)
{
    unsigned whole = r->bits / 8, rest = r->bits % 8;
    if (memcmp(address, r->prefix, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ r->prefix[whole]) >> (8 - rest)) == 0;
}

static bool in_any(const unsigned char *address, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (in_range(address, &ranges[i]))
            return true;
    return false;
}

static bool allowed4(const unsigned char *address)
{
    return !in_any(address, special4, ARRAY_LEN(special4));
}

static bool allowed6(const unsigned char *address)
{
    for (size_t i = 0; i < ARRAY_LEN(embeds4); i++)
        if (in_range(address, &embeds4[i].range))
            return allowed4(address + embeds4[i].at);
    return in_range(address, &global6) && !in_any(address, special6, ARRAY_LEN(special6));
}

bool delivery_address_allowed(const char *address, bool allow_private)
{
    unsigned char octets[16];
    if (inet_pton(AF_INET, address, octets) == 1)
        return allow_private || allowed4(octets);
    if (inet_pton(AF_INET6, address, octets) == 1)
        return allow_private || allowed6(octets);
    return false;
}
