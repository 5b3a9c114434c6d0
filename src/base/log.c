/* log.c - one event a line, that no input can forge. */
#include "sendas/base.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_LINE_MAX = 16 * 1024, /* a whole line, its newline included */
    LOG_VALUE_MAX = 2048,     /* octets of one value, before escaping */
    LOG_RESERVE = 32          /* kept free for "truncated" and the end of the line */
};

/* A line under construction.  Once something did not fit, it and everything after it is left out. */
struct line {
    char text[LOG_LINE_MAX];
    size_t n;
    bool full;
};

static struct {
    pthread_mutex_t lock;
    FILE *stream; /* NULL = stderr */
    enum log_level level;
    enum log_format format;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_configure(enum log_level level, enum log_format format)
{
    pthread_mutex_lock(&logger.lock);
    __atomic_store_n(&logger.level, level, __ATOMIC_RELAXED);
    logger.format = format;
    pthread_mutex_unlock(&logger.lock);
}

bool log_enabled(enum log_level level)
{
    return level >= __atomic_load_n(&logger.level, __ATOMIC_RELAXED);
}

void log_to(FILE *stream)
{
    pthread_mutex_lock(&logger.lock);
    logger.stream = stream;
    pthread_mutex_unlock(&logger.lock);
}

/* ---- characters ------------------------------------------------------------------------------- */

static void line_add(struct line *l, const char *p, size_t n)
{
    if (l->full || n > sizeof(l->text) - LOG_RESERVE - l->n) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static void line_add_str(struct line *l, const char *cstr)
{
    line_add(l, cstr, strlen(cstr));
}

/* The length of the UTF-8 character that s begins with; 0 if it is none, or one that a terminal obeys
 * instead of showing: C0 and C1 controls, line separators, bidirectional overrides. */
static size_t printable_char(struct slice s)
{
    unsigned char c = (unsigned char)s.p[0];
    if (c < 0x80)
        return c >= 0x20 && c != 0x7F;
    size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (s.n < n || !slice_is_utf8(slice_sub(s, 0, n)))
        return 0;
    unsigned char second = (unsigned char)s.p[1], third = n == 3 ? (unsigned char)s.p[2] : 0;
    if (c == 0xC2 && second < 0xA0)
        return 0; /* U+0080 to U+009F */
    if (c == 0xE2 && second == 0x80 && third >= 0xA8 && third <= 0xAE)
        return 0; /* U+2028 to U+202E */
    if (c == 0xE2 && second == 0x81 && third >= 0xA6 && third <= 0xA9)
        return 0; /* U+2066 to U+2069 */
    return n;
}

/* An octet that must not stand as it is: \xNN; in JSON, which knows only characters, \u00NN for a control
 * and the four characters \xNN, their backslash escaped, for what is no character at all. */
static void line_add_hex(struct line *l, unsigned char octet, enum log_format format)
{
    char escape[8];
    int n;
    if (format == LOG_FORMAT_TEXT)
        n = snprintf(escape, sizeof(escape), "\\x%02x", octet);
    else if (octet < 0x80)
        n = snprintf(escape, sizeof(escape), "\\u%04x", octet);
    else
        n = snprintf(escape, sizeof(escape), "\\\\x%02x", octet);
    line_add(l, escape, (size_t)n);
}

static void line_add_escaped(struct line *l, struct slice s, enum log_format format)
{
    while (s.n > 0) {
        size_t n = printable_char(s);
        if (n == 0) {
            line_add_hex(l, (unsigned char)s.p[0], format);
            n = 1;
        } else {
            if (s.p[0] == '"' || s.p[0] == '\\')
                line_add(l, "\\", 1);
            line_add(l, s.p, n);
        }
        s = slice_skip(s, n);
    }
}

/* ---- fields ------------------------------------------------------------------------------------ */

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7F || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=')
            return false;
    return true;
}

/* `open` and `close` stand around the text: "<" and ">" of an address, or nothing. */
static void line_add_text(struct line *l, struct slice s, const char *open, const char *close, enum log_format format)
{
    const char *cut = "";
    if (s.n > LOG_VALUE_MAX) {
        size_t n = LOG_VALUE_MAX;
        while (n > LOG_VALUE_MAX - 3 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n--; /* not amid a character */
        s = slice_sub(s, 0, n);
        cut = "...";
    }
    bool plain = is_plain(s);
    const char *quote = format == LOG_FORMAT_JSON || !plain || (s.n == 0 && open[0] == '\0') ? "\"" : "";
    line_add_str(l, quote);
    line_add_str(l, open);
    if (plain)
        line_add(l, s.p, s.n);
    else
        line_add_escaped(l, s, format);
    line_add_str(l, cut);
    line_add_str(l, close);
    line_add_str(l, quote);
}

static void line_add_key(struct line *l, const char *key, enum log_format format)
{
    bool json = format == LOG_FORMAT_JSON;
    if (l->n > 0)
        line_add_str(l, json ? "," : " ");
    if (json)
        line_add_str(l, l->n == 0 ? "{\"" : "\"");
    line_add_str(l, key);
    line_add_str(l, json ? "\":" : "=");
}

static void line_add_number(struct line *l, const struct log_field *f, enum log_format format)
{
    char text[32];
    int n;
    if (f->kind == LOG_FIELD_NUMBER) {
        n = snprintf(text, sizeof(text), "%" PRId64, f->number);
    } else {
        uint64_t ms = f->number < 0 ? -(uint64_t)f->number : (uint64_t)f->number;
        n = snprintf(text, sizeof(text), "%s%" PRIu64 ".%03u%s", f->number < 0 ? "-" : "", ms / 1000,
                     (unsigned)(ms % 1000), format == LOG_FORMAT_TEXT ? "s" : "");
    }
    line_add(l, text, (size_t)n);
}

/* A field is there as a whole or not at all. */
static void line_add_field(struct line *l, const struct log_field *f, enum log_format format)
{
    bool is_text = f->kind == LOG_FIELD_TEXT || f->kind == LOG_FIELD_PATH;
    size_t before = l->n;
    if (is_text && f->text.p == NULL)
        return;
    line_add_key(l, f->key, format);
    if (f->kind == LOG_FIELD_PATH)
        line_add_text(l, f->text, "<", ">", format);
    else if (is_text)
        line_add_text(l, f->text, "", "", format);
    else
        line_add_number(l, f, format);
    if (l->full)
        l->n = before;
}

/* RFC 3339, UTC, milliseconds. */
static struct slice time_text(char *buf, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(buf + n, size - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    return slice_from(buf, n);
}

/* ---- lines -------------------------------------------------------------------------------------- */

static void line_end(struct line *l, enum log_format format)
{
    const char *end = format == LOG_FORMAT_JSON ? "}\n" : "\n";
    if (l->full)
        end = format == LOG_FORMAT_JSON ? ",\"truncated\":true}\n" : " truncated=true\n";
    size_t n = strlen(end); /* LOG_RESERVE holds it */
    memcpy(l->text + l->n, end, n);
    l->n += n;
}

static void line_write(const struct line *l, FILE *stream)
{
    int fd = fileno(stream);
    if (fd < 0) { /* a stream in memory */
        fwrite(l->text, 1, l->n, stream);
        fflush(stream);
        return;
    }
    fflush(stream);
    for (size_t done = 0; done < l->n;) {
        ssize_t n = write(fd, l->text + done, l->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere left to say so */
        done += (size_t)n;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    struct line l;
    char now[64];
    l.n = 0;
    l.full = false;
    pthread_mutex_lock(&logger.lock);
    enum log_format format = logger.format;
    /* Under the lock, so that lines stand in the order of their times. */
    line_add_field(&l, &LOG_SLICE("time", time_text(now, sizeof(now))), format);
    line_add_field(&l, &LOG_STR("level", level_names[level]), format);
    line_add_field(&l, &LOG_STR("event", event), format);
    for (size_t i = 0; i < count && !l.full; i++)
        line_add_field(&l, &fields[i], format);
    line_end(&l, format);
    line_write(&l, logger.stream == NULL ? stderr : logger.stream);
    pthread_mutex_unlock(&logger.lock);
    errno = saved;
}
