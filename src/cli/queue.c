/* `sendas queue`: the queue as a table for people, as JSON for programs.  Reads beside a running daemon. */
#include "internal.h"

#include "sendas/config.h"
#include "sendas/queue.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct listing {
    bool json;
    size_t messages, recipients;
    uint64_t size;
    int64_t now_ms;
};

/* Text that any terminal and any JSON reader takes: control octets (U+0080 to U+009F too), and what is not UTF-8,
 * become
 * '?'. */
static void add_clean(struct strbuf *out, const char *text)
{
    bool utf8 = slice_is_utf8(slice_of(text));

    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (utf8 && c == 0xc2 && (unsigned char)p[1] < 0xa0) {
            strbuf_add_char(out, '?');
            p++;
        } else {
            strbuf_add_char(out, c < 0x20 || c == 0x7f || (!utf8 && c > 0x7f) ? '?' : (char)c);
        }
    }
}

static json_t *json_clean(const char *text)
{
    struct strbuf b = STRBUF_INIT;

    add_clean(&b, text);
    json_t *j = b.failed ? NULL : json_string(strbuf_str(&b));
    strbuf_free(&b);
    return j;
}

/* RFC 3339, UTC; null for a time that is none (held: no next attempt). */
static json_t *json_time(int64_t ms)
{
    char text[40];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);

    if (ms <= 0 || gmtime_r(&t, &tm) == NULL)
        return json_null();
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *json_recipient(const struct queue_listing_recipient *r)
{
    return json_pack("{so, ss, sI, so, so}", "address", json_clean(r->address), "state", r->state, "attempts",
                     (json_int_t)r->attempts, "next_attempt", json_time(r->next_attempt_ms), "last_reply",
                     json_clean(r->last_reply));
}

static int print_json(const struct listing *l, const struct queue_listing *m)
{
    json_t *recipients = json_array();

    for (size_t i = 0; i < m->n_recipients; i++)
        if (json_array_append_new(recipients, json_recipient(&m->recipients[i])) < 0) {
            json_decref(recipients);
            return -1;
        }
    json_t *message = json_pack("{ss, so, sI, so, so, sb, so}", "id", m->id, "sender", json_clean(m->sender), "size",
                                (json_int_t)m->size, "created", json_time(m->created_ms), "expires",
                                json_time(m->expires_ms), "held", (int)m->held, "recipients", recipients);
    if (message == NULL)
        return -1;
    fputs(l->messages == 0 ? "[\n" : ",\n", stdout);
    int status = json_dumpf(message, stdout, JSON_COMPACT);
    json_decref(message);
    return status;
}

/* "45s", "12m", "3h", "5d": how long, in one glance. */
static void format_span(char *out, size_t n, int64_t ms)
{
    static const struct {
        int64_t below_s, unit_s;
        char letter;
    } units[] = {{100, 1, 's'}, {100 * 60, 60, 'm'}, {48 * 3600, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
    int64_t s = ms > 0 ? ms / 1000 : 0;
    size_t i = 0;

    while (s >= units[i].below_s)
        i++;
    snprintf(out, n, "%lld%c", (long long)(s / units[i].unit_s), units[i].letter);
}

static void format_size(char *out, size_t n, uint64_t size)
{
    if (size < 10000)
        snprintf(out, n, "%u", (unsigned)size);
    else if (size < 10000 * 1024ULL)
        snprintf(out, n, "%uk", (unsigned)(size / 1024));
    else
        snprintf(out, n, "%lluM", (unsigned long long)(size / (1024 * 1024)));
}

static void print_recipient(const struct listing *l, const struct queue_listing_recipient *r)
{
    struct strbuf b = STRBUF_INIT;
    char span[24];

    strbuf_add_str(&b, "    <");
    add_clean(&b, r->address);
    format_span(span, sizeof(span), r->next_attempt_ms - l->now_ms);
    if (strcmp(r->state, "held") == 0)
        strbuf_addf(&b, ">  held");
    else if (r->next_attempt_ms <= l->now_ms)
        strbuf_addf(&b, ">  due now");
    else
        strbuf_addf(&b, ">  next in %s", span);
    strbuf_addf(&b, ", %u attempt%s\n", r->attempts, r->attempts == 1 ? "" : "s");
    if (r->last_reply[0] != '\0') {
        strbuf_add_str(&b, "      ");
        add_clean(&b, r->last_reply);
        strbuf_add_char(&b, '\n');
    }
    fputs(strbuf_str(&b), stdout);
    strbuf_free(&b);
}

static void print_human(const struct listing *l, const struct queue_listing *m)
{
    struct strbuf sender = STRBUF_INIT;
    char size[24], age[24], left[24];

    add_clean(&sender, m->sender);
    format_size(size, sizeof(size), m->size);
    format_span(age, sizeof(age), l->now_ms - m->created_ms);
    format_span(left, sizeof(left), m->expires_ms - l->now_ms);
    if (l->messages == 0)
        printf("%-12s %7s %5s %5s  %s\n", "ID", "SIZE", "AGE", "LEFT", "SENDER");
    printf("%-12s %7s %5s %5s  <%s>%s\n", m->id, size, age, left, strbuf_str(&sender), m->held ? "  held" : "");
    for (size_t i = 0; i < m->n_recipients; i++)
        print_recipient(l, &m->recipients[i]);
    strbuf_free(&sender);
}

static int each(void *ctx, const struct queue_listing *m)
{
    struct listing *l = ctx;

    if (!l->json)
        print_human(l, m);
    else if (print_json(l, m) < 0)
        return 1;
    l->messages++;
    l->recipients += m->n_recipients;
    l->size += m->size;
    return 0;
}

static void print_end(const struct listing *l)
{
    char size[24];

    format_size(size, sizeof(size), l->size);
    if (l->json)
        fputs(l->messages == 0 ? "[]\n" : "\n]\n", stdout);
    else if (l->messages == 0)
        fputs("The queue is empty.\n", stdout);
    else
        printf("%zu message%s to %zu recipient%s, %s octets\n", l->messages, l->messages == 1 ? "" : "s", l->recipients,
               l->recipients == 1 ? "" : "s", size);
}

static int list(const struct cli_args *args)
{
    struct listing l = {.now_ms = clock_wall_ms()};
    struct config *c = NULL;
    struct err err;

    for (int i = 2; i < args->argc; i++) {
        if (strcmp(args->argv[i], "--json") != 0)
            return cli_usage("queue", "unexpected argument %s", args->argv[i]);
        l.json = true;
    }
    if (cli_config_load(args, NULL, &c) != CLI_OK)
        return CLI_USAGE;
    int listed = queue_list(c->queue.path, each, &l, &err);
    config_free(&c);
    if (listed < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (listed > 0)
        return cli_fail(CLI_FAILED, "out of memory or output closed");
    print_end(&l);
    return CLI_OK;
}

int cli_queue(const struct cli_args *args)
{
    if (args->argc >= 2 && strcmp(args->argv[1], "list") == 0)
        return list(args);
    return args->argc < 2 ? cli_usage("queue", "list?") : cli_usage("queue", "unknown verb %s", args->argv[1]);
}
