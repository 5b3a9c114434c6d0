/* The run of `sendas check`: its items, and what every check uses. */
#include "check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

void check_begin(struct check_run *r, const struct config *c, const struct check_world *world, int64_t now)
{
    *r = (struct check_run){.memory = ARENA_INIT(CHECK_MEMORY_MAX), .config = c, .world = world, .now = now};
    r->end = &r->first;
    for (size_t i = 0; i < c->delivery.n_routes; i++)
        if (strcmp(c->delivery.routes[i].domain, "*") == 0)
            r->smarthost = c->delivery.routes[i].host;
}

struct check_item *check_add(struct check_run *r, const char *id, const char *domain, enum check_status status)
{
    struct check_item *item = arena_alloc(&r->memory, sizeof(*item));
    const char *copy = arena_strdup(&r->memory, slice_of(id));
    if (item == NULL || copy == NULL) {
        r->failed = true;
        item = &r->spare;
        copy = "";
    } else {
        *r->end = item;
        r->end = &item->next;
    }
    item->id = copy;
    item->domain = domain;
    item->status = status;
    item->found = item->expected = item->fix = item->note = "";
    return item;
}

/* Records are anybody's octets, and they go to a terminal. */
static const char *clean(struct check_run *r, struct slice text)
{
    char *copy = arena_strdup(&r->memory, text);
    bool utf8 = slice_is_utf8(text);
    if (copy == NULL) {
        r->failed = true;
        return "";
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)copy[i];
        /* U+0080 to U+009F, the other control characters, are C2 80 to C2 9F */
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)copy[i + 1] < 0xa0;
        if (c1)
            copy[i + 1] = '?';
        if (c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !utf8))
            copy[i] = '?';
    }
    return copy;
}

const char *check_text(struct check_run *r, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        r->failed = true;
        return "";
    }
    const char *ret = clean(r, slice_from(text, (size_t)n));
    free(text);
    return ret;
}

void check_tell(struct check_run *r, struct check_item *item, struct strbuf *found, const char *expected,
                struct strbuf *fix)
{
    r->failed = r->failed || found->failed || fix->failed;
    item->found = clean(r, strbuf_slice(found));
    item->expected = expected;
    item->fix = clean(r, strbuf_slice(fix));
    strbuf_free(found);
    strbuf_free(fix);
}

void check_no_answer(struct check_run *r, struct check_item *item, const char *name, unsigned type)
{
    const char *why = r->world->why(r->world->ctx, name, type);
    item->status = CHECK_WARN;
    item->unknown = true;
    if (why[0] != '\0')
        item->found = check_text(r, "DNS gave no answer for %s (%s)", name, why);
    else
        item->found =
            check_text(r, "DNS gave no answer for %s (no server answered, or its answer is broken or forged)", name);
    item->fix = "try again later; if it stays so, look at the name servers of that domain and at dns.servers";
}

struct lookup_answer check_ask(struct check_run *r, const char *name, enum lookup_status *worst, unsigned type)
{
    struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
    r->world->dns.query(r->world->dns.ctx, &r->memory, name, type, &answer);
    if (answer.status == LOOKUP_TEMPFAIL && worst != NULL)
        *worst = LOOKUP_TEMPFAIL;
    return answer;
}

void check_join(struct strbuf *list)
{
    if (list->n > 0)
        strbuf_add_str(list, "; ");
}

bool check_is_ipv6(const char *address)
{
    return strchr(address, ':') != NULL;
}

void check_reverse_name(const char *address, const char *zone4, const char *zone6, char out[160])
{
    unsigned char b[16];
    size_t n = 0;
    out[0] = '\0';
    if (inet_pton(AF_INET, address, b) == 1) {
        snprintf(out, 160, "%u.%u.%u.%u.%s", b[3], b[2], b[1], b[0], zone4);
        return;
    }
    if (inet_pton(AF_INET6, address, b) != 1)
        return;
    for (int i = 15; i >= 0; i--)
        n += (size_t)snprintf(out + n, 160 - n, "%x.%x.", b[i] & 15, b[i] >> 4);
    snprintf(out + n, 160 - n, "%s", zone6);
}
