/* scalar.c - one scalar: its text read strictly by its row, and printed again. */
#include "internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { KIB = 1024, MIB = 1024 * 1024, MINUTE = 60, HOUR = 3600, DAY = 86400 };

/* ---- quantities -------------------------------------------------------------------------------------------- */

/* A whole number as a person writes it: no sign, no blank, no leading zero. */
static int number_parse(struct slice text, uint64_t *ret)
{
    return text.n > 1 && text.p[0] == '0' ? -1 : slice_to_u64(text, ret);
}

static int scaled_parse(struct slice text, uint64_t scale, uint64_t most, uint64_t *ret)
{
    uint64_t v;
    if (number_parse(text, &v) < 0 || v > most / scale)
        return -1;
    *ret = v * scale;
    return 0;
}

int config_parse_duration(struct slice text, int64_t *ret_s)
{
    static const char units[] = "smhd";
    static const uint64_t seconds[] = {1, MINUTE, HOUR, DAY};
    const char *unit = text.n == 0 ? NULL : memchr(units, text.p[text.n - 1], sizeof(units) - 1);
    uint64_t v;
    if (unit == NULL || scaled_parse(slice_sub(text, 0, text.n - 1), seconds[unit - units], INT64_MAX, &v) < 0)
        return -1;
    *ret_s = (int64_t)v;
    return 0;
}

int config_parse_size(struct slice text, uint64_t *ret)
{
    char unit = text.n == 0 ? '\0' : text.p[text.n - 1];
    if (unit == 'k' || unit == 'm')
        return scaled_parse(slice_sub(text, 0, text.n - 1), unit == 'k' ? KIB : MIB, UINT64_MAX, ret);
    return number_parse(text, ret);
}

/* In the largest unit that leaves nothing over. */
static const char *duration_text(uint64_t s, char buf[32])
{
    uint64_t scale = s == 0 ? 1 : s % DAY == 0 ? DAY : s % HOUR == 0 ? HOUR : s % MINUTE == 0 ? MINUTE : 1;
    snprintf(buf, 32, "%" PRIu64 "%c", s / scale,
             scale == DAY      ? 'd'
             : scale == HOUR   ? 'h'
             : scale == MINUTE ? 'm'
                               : 's');
    return buf;
}

static const char *size_text(uint64_t n, char buf[32])
{
    uint64_t scale = n == 0 ? 1 : n % MIB == 0 ? MIB : n % KIB == 0 ? KIB : 1;
    snprintf(buf, 32, "%" PRIu64 "%s", n / scale, scale == MIB ? "m" : scale == KIB ? "k" : "");
    return buf;
}

/* "2026-11-21": four digits, two, two, and a day that the calendar has. */
int config_parse_date(struct slice text, int64_t *ret_days)
{
    static const char shape[] = "dddd-dd-dd";
    uint64_t year, month, day;
    struct tm tm = {0};

    if (text.n != sizeof(shape) - 1 || text.p[4] != '-' || text.p[7] != '-' ||
        slice_to_u64(slice_sub(text, 0, 4), &year) < 0 || slice_to_u64(slice_sub(text, 5, 2), &month) < 0 ||
        slice_to_u64(slice_sub(text, 8, 2), &day) < 0 || year < 1970)
        return -1;
    tm.tm_year = (int)year - 1900;
    tm.tm_mon = (int)month - 1;
    tm.tm_mday = (int)day;
    time_t seconds = timegm(&tm);
    if (tm.tm_mon != (int)month - 1 || tm.tm_mday != (int)day) /* the 31st of a month that has 30 */
        return -1;
    *ret_days = (int64_t)seconds / 86400;
    return 0;
}

/* ---- setting ------------------------------------------------------------------------------------------------- */

static int fail_range(const struct build *b, const struct scalar *row, const char *key, const char *text)
{
    char low[32], high[32];
    switch (row->kind) {
    case SCALAR_SIZE:
        return source_mismatch(b->source, b->err, key, text, "a size from %s to %s, such as 64k or 50m",
                               size_text(row->min, low), size_text(row->max, high));
    case SCALAR_DURATION:
        return source_mismatch(b->source, b->err, key, text, "a duration from %s to %s, such as 90s, 5m, 2h or 5d",
                               duration_text(row->min, low), duration_text(row->max, high));
    default:
        return source_mismatch(b->source, b->err, key, text, "a whole number from %" PRIu64 " to %" PRIu64, row->min,
                               row->max);
    }
}

static int set_quantity(const struct build *b, const struct scalar *row, const char *key, const char *text, void *out)
{
    struct slice s = slice_of(text);
    uint64_t v = 0;
    int64_t seconds = 0;
    int rc;
    if (row->kind == SCALAR_DURATION) {
        rc = config_parse_duration(s, &seconds);
        v = (uint64_t)seconds;
    } else {
        rc = row->kind == SCALAR_SIZE ? config_parse_size(s, &v) : number_parse(s, &v);
    }
    if (rc < 0 || v < row->min || v > row->max)
        return fail_range(b, row, key, text);
    if (row->kind == SCALAR_DURATION)
        *(int64_t *)out = seconds;
    else if (row->kind == SCALAR_SIZE)
        *(uint64_t *)out = v;
    else
        *(unsigned *)out = (unsigned)v;
    return 0;
}

static int set_enum(const struct build *b, const struct scalar *row, const char *key, const char *text, void *out)
{
    char names[128];
    size_t n = 0;
    for (int i = 0; row->names[i] != NULL; i++) {
        if (strcmp(row->names[i], text) == 0) {
            *(int *)out = (int)row->min + i;
            return 0;
        }
        const char *joint = i == 0 ? "" : row->names[i + 1] == NULL ? " or " : ", ";
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", joint, row->names[i]);
    }
    return source_mismatch(b->source, b->err, key, text, "%s", names);
}

static int set_text(const struct build *b, const char *key, const char *text, char **out)
{
    *out = arena_strdup(b->mem, slice_of(text));
    return *out == NULL ? source_fail(b->source, b->err, key, "out of memory") : 0;
}

static int set_name(const struct build *b, const struct scalar *row, const char *key, const char *text, char **out)
{
    char name[ADDRESS_MAX + 1];
    struct err why;
    int rc;
    const char *expected = "a domain name";
    if (row->kind == SCALAR_SELECTOR) {
        /* RFC 6376 3.1: selector = sub-domain *( "." sub-domain ); unlike a domain's last label, it may be a number. */
        expected = "a selector: letters, digits, hyphens and dots";
        rc = slice_is_ascii(slice_of(text)) ? domain_to_ascii(slice_of(text), name, &why)
                                            : err_set(&why, "a character other than letters, digits and hyphens");
    } else if (row->kind == SCALAR_ADDRESS) {
        expected = "an address, such as me@example.com";
        rc = address_normalize(slice_of(text), name, &why);
    } else {
        expected = row->kind == SCALAR_PATTERN ? "a domain name or \"*\""
                   : row->kind == SCALAR_HOST  ? "a host name or a numeric address"
                                               : expected;
        rc = name_to_ascii(slice_of(text), name, &why);
    }
    if (rc < 0)
        return source_mismatch(b->source, b->err, key, text, "%s (here: %s)", expected, why.text);
    return set_text(b, key, name, out);
}

/* The kinds that are text in the end. */
static int set_string(const struct build *b, const struct scalar *row, const char *key, const char *text, char **out)
{
    char ip[IP_MAX];
    int64_t days;
    bool is_ip = ip_normalize(slice_of(text), ip, NULL) == 0;
    switch (row->kind) {
    case SCALAR_PATH:
        return text[0] == '\0' ? source_mismatch(b->source, b->err, key, text, "a file name")
                               : set_text(b, key, text, out);
    case SCALAR_IP:
        return is_ip ? set_text(b, key, ip, out)
                     : source_mismatch(b->source, b->err, key, text, "a numeric IPv4 or IPv6 address");
    case SCALAR_HOST:
        return is_ip ? set_text(b, key, ip, out) : set_name(b, row, key, text, out);
    case SCALAR_PATTERN:
        return strcmp(text, "*") == 0 ? set_text(b, key, text, out) : set_name(b, row, key, text, out);
    case SCALAR_ADDRESS:
        return text[0] == '\0' ? set_text(b, key, text, out) : set_name(b, row, key, text, out);
    case SCALAR_URL:
        return slice_starts(slice_of(text), SLICE("https://")) && text[8] != '\0' && strchr(text, ' ') == NULL
                   ? set_text(b, key, text, out)
                   : source_mismatch(b->source, b->err, key, text, "an https:// URL");
    case SCALAR_DATE:
        return text[0] == '\0' || config_parse_date(slice_of(text), &days) == 0
                   ? set_text(b, key, text, out)
                   : source_mismatch(b->source, b->err, key, text, "a day, such as 2026-11-21");
    case SCALAR_SOCKET:
        return text[0] == '\0' || socket_check(slice_of(text)) == 0
                   ? set_text(b, key, text, out)
                   : source_mismatch(b->source, b->err, key, text,
                                     "a numeric address and a port, such as 127.0.0.1:9587 or [::1]:9587");
    case SCALAR_TEXT:
        return set_text(b, key, text, out);
    default:
        return set_name(b, row, key, text, out);
    }
}

int scalar_set(const struct build *b, const struct scalar *row, const char *key, const char *text, void *out)
{
    switch (row->kind) {
    case SCALAR_COUNT:
    case SCALAR_SIZE:
    case SCALAR_DURATION:
        return set_quantity(b, row, key, text, out);
    case SCALAR_PORT:
        return port_parse(slice_of(text), out) == 0
                   ? 0
                   : source_mismatch(b->source, b->err, key, text, "a port from 1 to 65535");
    case SCALAR_BOOL:
        *(bool *)out = strcmp(text, "true") == 0;
        return *(bool *)out || strcmp(text, "false") == 0
                   ? 0
                   : source_mismatch(b->source, b->err, key, text, "true or false");
    case SCALAR_ENUM:
        return set_enum(b, row, key, text, out);
    default:
        return set_string(b, row, key, text, out);
    }
}

int scalars_set(const struct build *b, const struct scalar *rows, const char *prefix, const void *raw, void *out)
{
    for (const struct scalar *row = rows; row->key != NULL; row++) {
        char key[CONFIG_KEY_MAX];
        const char *text = *(char *const *)((const char *)raw + row->raw);
        void *place = (char *)out + row->out;
        key_set(key, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", row->key);
        if (text == NULL && row->fallback == NULL)
            continue;
        /* A default needs no check, and may be one that could not be written: a hostname of "". */
        bool plain = text == NULL && row->fallback[0] == '\0';
        int rc =
            plain ? set_text(b, key, "", place) : scalar_set(b, row, key, text == NULL ? row->fallback : text, place);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* ---- printing ------------------------------------------------------------------------------------------------ */

void text_print(const char *text, FILE *stream)
{
    fputc('"', stream);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', stream);
        fputc(*text, stream);
    }
    fputc('"', stream);
}

void scalar_print(const struct scalar *row, const void *out, FILE *stream)
{
    char buf[32];
    switch (row->kind) {
    case SCALAR_COUNT:
        fprintf(stream, "%u", *(const unsigned *)out);
        break;
    case SCALAR_PORT:
        fprintf(stream, "%u", *(const uint16_t *)out);
        break;
    case SCALAR_SIZE:
        fputs(size_text(*(const uint64_t *)out, buf), stream);
        break;
    case SCALAR_DURATION:
        fputs(duration_text((uint64_t) * (const int64_t *)out, buf), stream);
        break;
    case SCALAR_BOOL:
        fputs(*(const bool *)out ? "true" : "false", stream);
        break;
    case SCALAR_ENUM:
        text_print(row->names[*(const int *)out - (int)row->min], stream);
        break;
    default:
        text_print(*(char *const *)out, stream);
    }
}
