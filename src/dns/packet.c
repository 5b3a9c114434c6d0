/* The wire format (RFC 1035 4): every read is checked against the message's end, and a compression pointer may only
 * go backwards, so that no message whatever makes this loop or leave its bounds. */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

struct wire {
    struct slice s;
    size_t at;
    bool bad; /* sticks: a read went over the end */
};

static unsigned wire_u8(struct wire *w)
{
    if (w->bad || w->at >= w->s.n) {
        w->bad = true;
        return 0;
    }
    return (unsigned char)w->s.p[w->at++];
}

static unsigned wire_u16(struct wire *w)
{
    unsigned high = wire_u8(w);
    return high << 8 | wire_u8(w);
}

static uint32_t wire_u32(struct wire *w)
{
    uint32_t high = wire_u16(w);
    return high << 16 | wire_u16(w);
}

static struct slice wire_take(struct wire *w, size_t n)
{
    if (w->bad || n > w->s.n - w->at) {
        w->bad = true;
        return (struct slice){0};
    }
    struct slice s = slice_sub(w->s, w->at, n);
    w->at += n;
    return s;
}

/* ---- names ---------------------------------------------------------------------------------- */

struct name {
    unsigned char wire[DNS_NAME_WIRE_MAX]; /* uncompressed, lower case, the root label included */
    size_t n;
};

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

/* RFC 1035 4.1.4.  With `pointers` false (rdata that stands alone) a pointer is malformed. */
static void wire_name(struct wire *w, bool pointers, struct name *ret)
{
    size_t at = w->at, lowest = w->at;
    bool jumped = false;

    ret->n = 0;
    while (!w->bad) {
        if (at >= w->s.n)
            break;
        unsigned len = (unsigned char)w->s.p[at];
        if ((len & 0xc0) == 0xc0) {
            if (!pointers || at + 1 >= w->s.n)
                break;
            size_t to = (len & 0x3fu) << 8 | (unsigned char)w->s.p[at + 1];
            if (to >= lowest) /* only ever backwards: it ends */
                break;
            if (!jumped)
                w->at = at + 2;
            jumped = true;
            at = lowest = to;
            continue;
        }
        if (len > 63 || at + 1 + len > w->s.n || ret->n + 1 + len > DNS_NAME_WIRE_MAX)
            break;
        for (size_t i = 0; i <= len; i++)
            ret->wire[ret->n++] = i == 0 ? (unsigned char)len : lower((unsigned char)w->s.p[at + i]);
        at += 1 + len;
        if (len == 0) {
            if (!jumped)
                w->at = at;
            return;
        }
    }
    w->bad = true;
}

static bool name_eq(const struct name *a, const struct name *b)
{
    return a->n == b->n && memcmp(a->wire, b->wire, a->n) == 0;
}

/* Presentation form without the final dot; octets that are no host name's are \DDD (RFC 1035 5.1), so that a dot
 * inside a label never passes for the one between two. */
static char *name_text(struct arena *a, const struct name *name)
{
    char text[DNS_NAME_TEXT_SIZE];
    size_t n = 0;

    for (size_t at = 0; name->wire[at] != 0; at += 1 + name->wire[at]) {
        if (at > 0)
            text[n++] = '.';
        for (size_t i = 1; i <= name->wire[at]; i++) {
            unsigned char c = name->wire[at + i];
            if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
                text[n++] = (char)c;
            else
                n += (size_t)snprintf(text + n, sizeof(text) - n, "\\%03u", c);
        }
    }
    return arena_strdup(a, slice_from(text, n));
}

/* ---- rdata ---------------------------------------------------------------------------------- */

static int decode_address(struct arena *a, int family, struct slice rdata, struct dns_record *ret)
{
    char text[INET6_ADDRSTRLEN];

    if (rdata.n != (family == AF_INET ? 4 : 16) || inet_ntop(family, rdata.p, text, sizeof(text)) == NULL)
        return -1;
    ret->text = arena_strdup(a, slice_of(text));
    return ret->text == NULL ? -1 : 0;
}

static int decode_name(struct arena *a, struct wire *w, struct dns_record *ret)
{
    struct name name;

    wire_name(w, false, &name);
    if (w->bad || w->at != w->s.n)
        return -1;
    ret->text = name_text(a, &name);
    return ret->text == NULL ? -1 : 0;
}

/* RFC 1035 3.3.13: two names, which may be compressed, then five numbers; the first of those is the serial. */
static int decode_soa(struct arena *a, struct slice rdata, struct dns_record *ret)
{
    enum { NUMBERS = 5 * 4 };
    char text[16];

    if (rdata.n < 2 + NUMBERS)
        return -1;
    struct wire w = {.s = rdata, .at = rdata.n - NUMBERS};
    snprintf(text, sizeof(text), "%u", (unsigned)wire_u32(&w));
    ret->text = arena_strdup(a, slice_of(text));
    return ret->text == NULL ? -1 : 0;
}

/* RFC 1035 3.3.14: one or more strings; they are joined (RFC 6376 3.6.2.2, 7208 3.3). */
static int decode_txt(struct arena *a, struct slice rdata, struct dns_record *ret)
{
    struct wire w = {.s = rdata};
    char *text = arena_alloc(a, rdata.n + 1);
    size_t n = 0;

    if (text == NULL || rdata.n == 0)
        return -1;
    while (w.at < rdata.n) {
        struct slice part = wire_take(&w, wire_u8(&w));
        if (w.bad)
            return -1;
        if (part.n > 0)
            memcpy(text + n, part.p, part.n);
        n += part.n;
    }
    ret->text = text;
    ret->text_len = n;
    return 0;
}

int dns_record_decode(struct arena *a, enum dns_type type, struct slice rdata, struct dns_record *ret)
{
    struct wire w = {.s = rdata};
    struct dns_record r = {.rdata = arena_copy(a, rdata), .text = ""};
    int rc = 0;

    if (r.rdata.p == NULL)
        return -1;
    switch (type) {
    case DNS_A:
        rc = decode_address(a, AF_INET, rdata, &r);
        break;
    case DNS_AAAA:
        rc = decode_address(a, AF_INET6, rdata, &r);
        break;
    case DNS_MX:
        r.preference = wire_u16(&w);
        rc = decode_name(a, &w, &r);
        break;
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        rc = decode_name(a, &w, &r);
        break;
    case DNS_TXT:
        rc = decode_txt(a, rdata, &r);
        break;
    case DNS_TLSA:
        rc = rdata.n > 3 ? 0 : -1; /* RFC 6698 2.1: three octets and the association data */
        break;
    case DNS_SOA:
        rc = decode_soa(a, rdata, &r);
        break;
    }
    if (rc < 0)
        return -1;
    if (type != DNS_TXT)
        r.text_len = strlen(r.text);
    *ret = r;
    return 0;
}

/* ---- messages --------------------------------------------------------------------------------- */

struct rr {
    struct name owner;
    unsigned type, class;
    uint32_t ttl;
    size_t rdata_at, rdata_n;
};

static int wire_rr(struct wire *w, struct rr *ret)
{
    wire_name(w, true, &ret->owner);
    ret->type = wire_u16(w);
    ret->class = wire_u16(w);
    ret->ttl = wire_u32(w);
    ret->rdata_n = wire_u16(w);
    ret->rdata_at = w->at;
    wire_take(w, ret->rdata_n);
    return w->bad ? -1 : 0;
}

/* The rdata with its names uncompressed (RFC 3597 4: only the types of RFC 1035 may hold compressed ones). */
static int expand_rdata(struct slice packet, const struct rr *rr, char out[2 + DNS_NAME_WIRE_MAX], struct slice *ret)
{
    struct wire w = {.s = {packet.p, rr->rdata_at + rr->rdata_n}, .at = rr->rdata_at};
    struct name name;
    size_t n = 0;

    if (rr->type != DNS_MX && rr->type != DNS_NS && rr->type != DNS_CNAME && rr->type != DNS_PTR) {
        *ret = slice_sub(packet, rr->rdata_at, rr->rdata_n);
        return 0;
    }
    if (rr->type == DNS_MX) {
        struct slice preference = wire_take(&w, 2);
        if (w.bad)
            return -1;
        memcpy(out, preference.p, 2);
        n = 2;
    }
    wire_name(&w, true, &name);
    if (w.bad || w.at != rr->rdata_at + rr->rdata_n)
        return -1;
    memcpy(out + n, name.wire, name.n);
    *ret = slice_from(out, n + name.n);
    return 0;
}

struct answer_section {
    struct slice packet;
    size_t start;
    unsigned count;
};

/* One CNAME step: 1 when `name` has one (then it is the target), 0 when not, -1 when malformed. */
static int follow_cname(const struct answer_section *sec, struct name *name, uint32_t *ttl)
{
    struct wire w = {.s = sec->packet, .at = sec->start};
    struct rr rr;

    for (unsigned i = 0; i < sec->count; i++) {
        if (wire_rr(&w, &rr) < 0)
            return -1;
        if (rr.type != DNS_CNAME || rr.class != 1 || !name_eq(&rr.owner, name))
            continue;
        struct wire target = {.s = {sec->packet.p, rr.rdata_at + rr.rdata_n}, .at = rr.rdata_at};
        wire_name(&target, true, name);
        if (target.bad || target.at != rr.rdata_at + rr.rdata_n)
            return -1;
        *ttl = rr.ttl < *ttl ? rr.ttl : *ttl;
        return 1;
    }
    return 0;
}

static int collect_records(struct arena *a, const struct answer_section *sec, const struct name *name,
                           enum dns_type type, struct dns_answer *ret)
{
    struct wire w = {.s = sec->packet, .at = sec->start};
    struct dns_record *records = arena_alloc_array(a, sec->count + 1u, sizeof(*records));
    struct rr rr;

    if (records == NULL)
        return -1;
    for (unsigned i = 0; i < sec->count; i++) {
        char expanded[2 + DNS_NAME_WIRE_MAX];
        struct slice rdata;
        if (wire_rr(&w, &rr) < 0)
            return -1;
        if (rr.type != type || rr.class != 1 || !name_eq(&rr.owner, name))
            continue;
        if (expand_rdata(sec->packet, &rr, expanded, &rdata) < 0 ||
            dns_record_decode(a, type, rdata, &records[ret->n]) < 0)
            return -1;
        ret->n++;
        ret->ttl_s = rr.ttl < ret->ttl_s ? rr.ttl : ret->ttl_s;
    }
    ret->records = records;
    return 0;
}

int dns_packet_read(struct arena *a, struct slice packet, enum dns_type type, struct dns_answer *ret, struct err *err)
{
    struct wire w = {.s = packet, .at = 2};
    struct dns_answer answer = {.ttl_s = UINT32_MAX, .canonical = "", .reason = ""};
    struct name name;
    unsigned steps = 0;

    unsigned rcode = wire_u16(&w) & 15u;
    unsigned questions = wire_u16(&w);
    struct answer_section sec = {.packet = packet, .count = wire_u16(&w)};
    wire_u32(&w); /* the counts of the sections that are not read */
    wire_name(&w, true, &name);
    wire_u32(&w);
    sec.start = w.at;
    /* Each record takes at least 11 octets: a count that cannot be true buys no memory. */
    if (w.bad || questions != 1 || sec.count > (packet.n - w.at) / 11)
        return err_set(err, "malformed answer");
    if (rcode != 0 && rcode != 3)
        return err_set(err, "the server answered with code %u", rcode);

    for (int more = type != DNS_CNAME; more != 0; steps += more > 0) {
        if (steps > DNS_CHAIN_MAX)
            return err_set(err, "too many CNAMEs");
        more = follow_cname(&sec, &name, &answer.ttl_s);
        if (more < 0)
            return err_set(err, "malformed answer");
    }
    if (collect_records(a, &sec, &name, type, &answer) < 0)
        return err_set(err, "malformed answer");
    if (steps > 0 && (answer.canonical = name_text(a, &name)) == NULL)
        return err_set(err, "out of memory");
    answer.status = rcode == 3 ? DNS_NXDOMAIN : answer.n > 0 ? DNS_OK : DNS_NODATA;
    if (answer.ttl_s == UINT32_MAX)
        answer.ttl_s = 0;
    *ret = answer;
    return 0;
}

const char *dns_packet_referral(struct arena *a, struct slice packet)
{
    enum { TYPE_NS = 2, CLASS_IN = 1 };
    struct wire w = {.s = packet, .at = 4};
    struct name question;
    struct rr rr;

    unsigned questions = wire_u16(&w), answers = wire_u16(&w), authorities = wire_u16(&w);
    wire_u16(&w);
    wire_name(&w, true, &question);
    wire_u32(&w);
    if (w.bad || questions != 1 || answers != 0)
        return NULL;
    for (; authorities > 0 && wire_rr(&w, &rr) == 0; authorities--)
        if (rr.type == TYPE_NS && rr.class == CLASS_IN)
            return name_text(a, &rr.owner);
    return NULL;
}
