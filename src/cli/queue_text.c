/* How messages and times are shown, to people and to programs. */
#include "queue_text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

enum { COLUMNS = 80 };

/* ---- text that came from outside ------------------------------------------------------------- */

void text_add_clean(struct strbuf *out, const char *text, bool lines)
{
    bool utf8 = slice_is_utf8(slice_of(text));

    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (lines && c == '\r' && p[1] == '\n')
            continue;
        if (utf8 && c == 0xc2 && (unsigned char)p[1] < 0xa0) {
            strbuf_add_char(out, '?');
            p++;
        } else if (lines && (c == '\n' || c == '\t')) {
            strbuf_add_char(out, (char)c);
        } else {
            strbuf_add_char(out, c < 0x20 || c == 0x7f || (!utf8 && c > 0x7f) ? '?' : (char)c);
        }
    }
}

static json_t *clean(const char *text, bool lines)
{
    struct strbuf b = STRBUF_INIT;

    text_add_clean(&b, text, lines);
    json_t *j = b.failed ? NULL : json_string(strbuf_str(&b));
    strbuf_free(&b);
    return j;
}

json_t *json_clean(const char *text)
{
    return clean(text, false);
}

json_t *json_clean_lines(const char *text)
{
    return clean(text, true);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *rfc3339(int64_t ms, bool fraction)
{
    char text[TIME_SIZE];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);

    if (ms <= 0 || gmtime_r(&t, &tm) == NULL)
        return json_null();
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    if (fraction)
        snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    else
        snprintf(text + n, sizeof(text) - n, "Z");
    return json_string(text);
}

json_t *json_time(int64_t ms)
{
    return rfc3339(ms, false);
}

json_t *json_time_ms(int64_t ms)
{
    return rfc3339(ms, true);
}

static json_t *json_recipient(const struct queue_listing_recipient *r)
{
    return json_pack("{so, ss, sI, so, so}", "address", json_clean(r->address), "state", r->state, "attempts",
                     (json_int_t)r->attempts, "next_attempt", json_time(r->next_attempt_ms), "last_reply",
                     json_clean(r->last_reply));
}

json_t *json_message(const struct queue_listing *m)
{
    json_t *recipients = json_array();

    for (size_t i = 0; i < m->n_recipients; i++)
        if (json_array_append_new(recipients, json_recipient(&m->recipients[i])) < 0) {
            json_decref(recipients);
            return NULL;
        }
    return json_pack("{ss, so, sI, so, so, sb, so}", "id", m->id, "sender", json_clean(m->sender), "size",
                     (json_int_t)m->size, "created", json_time(m->created_ms), "expires", json_time(m->expires_ms),
                     "held", (int)m->held, "recipients", recipients);
}

int print_json_document(json_t *j)
{
    int status = j == NULL ? -1 : json_dumpf(j, stdout, JSON_INDENT(2));

    json_decref(j);
    fputc('\n', stdout);
    return status;
}

/* ---- for people ------------------------------------------------------------------------------ */

const char *text_span(char out[SPAN_SIZE], int64_t ms)
{
    static const struct {
        int64_t below_s, unit_s;
        char letter;
    } units[] = {{100, 1, 's'}, {100 * 60, 60, 'm'}, {48 * 3600, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
    int64_t s = ms > 0 ? ms / 1000 : 0;
    size_t i = 0;

    while (s >= units[i].below_s)
        i++;
    snprintf(out, SPAN_SIZE, "%lld%c", (long long)(s / units[i].unit_s), units[i].letter);
    return out;
}

const char *text_size(char out[SPAN_SIZE], uint64_t size)
{
    if (size < 10000)
        snprintf(out, SPAN_SIZE, "%u", (unsigned)size);
    else if (size < 10000 * 1024ULL)
        snprintf(out, SPAN_SIZE, "%uk", (unsigned)(size / 1024));
    else
        snprintf(out, SPAN_SIZE, "%lluM", (unsigned long long)(size / (1024 * 1024)));
    return out;
}

const char *text_time(char out[TIME_SIZE], int64_t ms)
{
    struct tm tm;
    time_t t = (time_t)(ms / 1000);

    if (gmtime_r(&t, &tm) == NULL || strftime(out, TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, TIME_SIZE, "?");
    return out;
}

void print_pair(const char *left, const char *right, int at, int indent)
{
    struct strbuf b = STRBUF_INIT;

    text_add_clean(&b, left, false);
    bool fits = at + text_width(strbuf_str(&b)) + 2 + text_width(right) <= COLUMNS;
    fputs(strbuf_str(&b), stdout);
    if (right[0] != '\0')
        printf("%s%*s%s", fits ? "" : "\n", fits ? 2 : indent, "", right);
    fputc('\n', stdout);
    strbuf_free(&b);
}

static void print_recipient(const struct queue_listing_recipient *r, int64_t now_ms)
{
    struct strbuf address = STRBUF_INIT;
    char span[SPAN_SIZE], state[2 * SPAN_SIZE];

    if (strcmp(r->state, "held") == 0)
        snprintf(state, sizeof(state), "held");
    else if (r->next_attempt_ms <= now_ms)
        snprintf(state, sizeof(state), "due now");
    else
        snprintf(state, sizeof(state), "next in %s", text_span(span, r->next_attempt_ms - now_ms));
    size_t n = strlen(state);
    snprintf(state + n, sizeof(state) - n, ", %u attempt%s", r->attempts, r->attempts == 1 ? "" : "s");
    strbuf_addf(&address, "<%s>", r->address);
    fputs("    ", stdout);
    print_pair(strbuf_str(&address), state, 4, 6);
    strbuf_free(&address);
}

void print_recipients(const struct queue_listing_recipient *v, size_t n, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        print_recipient(&v[i], now_ms);
        if (v[i].last_reply[0] == '\0')
            continue;
        bool repeated = i > 0 && strcmp(v[i].last_reply, v[i - 1].last_reply) == 0;
        fputs("      ", stdout);
        print_wrapped(repeated ? "(the same reply)" : v[i].last_reply, 6, 6);
    }
}

/* By the C library's table, which it has for UTF-8 whatever the user's locale is. */
static int width(const char *p, size_t n)
{
    static locale_t utf8;
    if (utf8 == NULL)
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    locale_t before = utf8 != NULL ? uselocale(utf8) : NULL;
    mbstate_t state = {0};
    int columns = 0;

    while (n > 0) {
        wchar_t c = L'\0';
        size_t used = mbrtowc(&c, p, n, &state);
        bool good = used > 0 && used <= n;
        int w = good ? wcwidth(c) : 1;
        if (!good)
            memset(&state, 0, sizeof(state));
        columns += w < 0 ? 1 : w;
        p += good ? used : 1;
        n -= good ? used : 1;
    }
    if (utf8 != NULL)
        uselocale(before);
    return columns;
}

int text_width(const char *text)
{
    return width(text, strlen(text));
}

void print_wrapped(const char *text, int at, int indent)
{
    struct strbuf b = STRBUF_INIT;
    int column = at;
    bool first = true;

    text_add_clean(&b, text, false);
    for (const char *p = strbuf_str(&b); *p != '\0';) {
        size_t n = strcspn(p, " ");
        int columns = width(p, n);
        if (!first && column + 1 + columns > COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', stdout);
            column++;
        }
        fwrite(p, 1, n, stdout);
        column += columns;
        first = false;
        p += n;
        p += strspn(p, " ");
    }
    fputc('\n', stdout);
    strbuf_free(&b);
}
