/* A zone in memory, and the answers it gives: as an authoritative server's, whose CNAMEs were followed (RFC 1034 4.3.2,
 * RFC 4592). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int dns_zone_add(struct dns_zone *z, const struct zone_record *r)
{
    if (z->n == ZONE_RECORDS_MAX)
        return -1;
    if (z->n == z->cap) {
        size_t cap = z->cap == 0 ? 64 : z->cap * 2;
        struct zone_record *v = reallocarray(z->v, cap, sizeof(*v));
        if (v == NULL)
            return -1;
        z->v = v;
        z->cap = cap;
    }
    z->v[z->n++] = *r;
    return 0;
}

void dns_zone_free(struct dns_zone **pz)
{
    struct dns_zone *z = *pz;
    *pz = NULL;
    if (z == NULL)
        return;
    arena_free(&z->memory);
    free(z->v);
    free(z);
}

/* ---- names ----------------------------------------------------------------------------------- */

int dns_escape_read(struct slice text, size_t *at, bool *escaped)
{
    unsigned char c = (unsigned char)text.p[(*at)++];
    *escaped = c == '\\';
    if (!*escaped)
        return c;
    if (*at == text.n)
        return -1;
    c = (unsigned char)text.p[(*at)++];
    if (c < '0' || c > '9')
        return c;
    unsigned value = c - '0';
    for (int i = 0; i < 2; i++) {
        if (*at == text.n || text.p[*at] < '0' || text.p[*at] > '9')
            return -1;
        value = value * 10 + (unsigned)(text.p[(*at)++] - '0');
    }
    return value <= 255 ? (int)value : -1;
}

static size_t put_octet(char *out, unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (unsigned char)(c + 32);
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
    if (!plain)
        return (size_t)sprintf(out, "\\%03u", c);
    *out = (char)c;
    return 1;
}

/* What of a name has been written: `wire` octets as they count on the wire (RFC 1035 2.3.4), the root label included.
 */
struct writing {
    char *out;
    size_t n, wire, label;
};

static int end_label(struct writing *w, struct err *err)
{
    if (w->label == 0)
        return err_set(err, "a name with an empty label");
    w->wire += 1 + w->label;
    w->label = 0;
    return w->wire <= DNS_NAME_WIRE_MAX ? 0 : err_set(err, "a name that is too long");
}

static int write_labels(struct writing *w, struct slice text, bool *absolute, struct err *err)
{
    *absolute = false;
    for (size_t at = 0; at < text.n;) {
        bool escaped;
        int c = dns_escape_read(text, &at, &escaped);
        if (c < 0)
            return err_set(err, "a name with a broken escape");
        if (c == '.' && !escaped) {
            if (end_label(w, err) < 0)
                return -1;
            *absolute = at == text.n;
            if (!*absolute)
                w->out[w->n++] = '.';
            continue;
        }
        if (++w->label > 63)
            return err_set(err, "a name with a label of more than 63 octets");
        w->n += put_octet(w->out + w->n, (unsigned char)c);
        if (w->wire + w->label >= DNS_NAME_WIRE_MAX)
            return err_set(err, "a name that is too long");
    }
    return *absolute ? 0 : end_label(w, err);
}

/* Octets that a name written by dns_name_read takes on the wire, without the root label. */
static size_t wire_length(const char *name)
{
    size_t n = *name == '\0' ? 0 : 1;
    for (; *name != '\0'; n++)
        name += *name == '\\' ? 4 : 1;
    return n;
}

int dns_name_read(struct slice text, const char *origin, char out[DNS_NAME_TEXT_SIZE], struct err *err)
{
    struct writing w = {.out = out, .wire = 1};
    bool absolute = true;
    if (slice_eq(text, SLICE("@"))) {
        absolute = false;
    } else if (!slice_eq(text, SLICE("."))) {
        if (write_labels(&w, text, &absolute, err) < 0)
            return -1;
    }
    if (!absolute && *origin != '\0') {
        if (w.wire + wire_length(origin) > DNS_NAME_WIRE_MAX)
            return err_set(err, "a name that is too long");
        if (w.n > 0)
            out[w.n++] = '.';
        memcpy(out + w.n, origin, strlen(origin));
        w.n += strlen(origin);
    }
    out[w.n] = '\0';
    return 0;
}

/* ---- answers ----------------------------------------------------------------------------------- */

/* Is it the name, or above the name, of a record (RFC 4592 2.2.2)? */
static bool name_exists(const struct dns_zone *z, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < z->n; i++) {
        size_t own = strlen(z->v[i].owner);
        if (own >= n && strcmp(z->v[i].owner + own - n, name) == 0 &&
            (own == n || n == 0 || z->v[i].owner[own - n - 1] == '.'))
            return true;
    }
    return false;
}

/* The name whose records answer: itself, or the wildcard at its closest encloser (RFC 4592 3.3.1).  Dots inside a label
 * are \046 here, so every dot parts two. */
static bool find_owner(const struct dns_zone *z, const char *name, char out[DNS_NAME_TEXT_SIZE + 2])
{
    const char *rest = name;
    snprintf(out, DNS_NAME_TEXT_SIZE + 2, "%s", name);
    if (name_exists(z, name))
        return true;
    do {
        const char *dot = strchr(rest, '.');
        rest = dot == NULL ? rest + strlen(rest) : dot + 1;
    } while (!name_exists(z, rest) && *rest != '\0');
    snprintf(out, DNS_NAME_TEXT_SIZE + 2, *rest == '\0' ? "*" : "*.%s", rest);
    return name_exists(z, out);
}

static const struct zone_record *find_record(const struct dns_zone *z, const char *owner, unsigned type)
{
    for (size_t i = 0; i < z->n; i++) {
        if (z->v[i].type == type && strcmp(z->v[i].owner, owner) == 0)
            return &z->v[i];
    }
    return NULL;
}

static void collect(const struct dns_zone *z, const char *owner, unsigned type, struct arena *a,
                    struct lookup_answer *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < z->n; i++)
        n += z->v[i].type == type && strcmp(z->v[i].owner, owner) == 0;
    struct lookup_record *records = arena_alloc_array(a, n + 1, sizeof(*records));
    if (records == NULL)
        return; /* stays a temporary failure */
    ret->records = records;
    for (size_t i = 0; i < z->n; i++) {
        const struct zone_record *r = &z->v[i];
        if (r->type == type && strcmp(r->owner, owner) == 0)
            records[ret->n++] = (struct lookup_record){arena_copy(a, r->text), r->preference};
        if (ret->n > 0 && records[ret->n - 1].text.p == NULL)
            return;
    }
    ret->status = n > 0 ? LOOKUP_OK : LOOKUP_NODATA;
}

static void query_zone(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret)
{
    const struct dns_zone *z = ctx;
    char at[DNS_NAME_TEXT_SIZE], owner[DNS_NAME_TEXT_SIZE + 2];
    *ret = (struct lookup_answer){.status = LOOKUP_TEMPFAIL};
    if (dns_name_read(slice_of(name), "", at, NULL) < 0) {
        ret->status = LOOKUP_NXDOMAIN;
        return;
    }
    for (unsigned steps = 0; steps <= DNS_CHAIN_MAX; steps++) {
        if (!find_owner(z, at, owner)) {
            ret->status = LOOKUP_NXDOMAIN;
            return;
        }
        const struct zone_record *alias = type == DNS_CNAME ? NULL : find_record(z, owner, DNS_CNAME);
        if (alias == NULL) {
            collect(z, owner, type, a, ret);
            return;
        }
        memcpy(at, alias->text.p, alias->text.n);
        at[alias->text.n] = '\0';
    }
}

struct lookup dns_zone_lookup(const struct dns_zone *z)
{
    return (struct lookup){query_zone, (void *)(uintptr_t)z};
}
