/* sendas/base.h - what every room stands on: slices, buffers, arenas, errors, logging, clocks,
 * random names, spools, domain names and the worker pool.
 *
 * Bytes from outside are slices until they are validated: pointer and length, passed by value,
 * borrowed, never NUL-terminated.  What a transaction allocates lives in its arena and goes with it.
 * Text that grows is built in a strbuf, whose first failure sticks, so memory is checked once, at
 * the end.  Nothing here knows of mail. */
#ifndef SENDAS_BASE_H
#define SENDAS_BASE_H

#include <endian.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* ---- slices: borrowed bytes ---------------------------------------------------------------- */

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){ "" literal, sizeof(literal) - 1 })
/* for "%.*s" */
#define SLICE_ARG(s) (int)(s).n, (s).p

struct slice slice_of(const char *cstr); /* NULL gives the empty slice */

/* These stand here because loops over all octets call them: as calls they cost a message of 1 MB 0.2 ms. */
static inline struct slice slice_from(const void *p, size_t n)
{
    return (struct slice){(const char *)p, n};
}

/* Without its first n bytes, clamped. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
    if (n > s.n)
        n = s.n;
    /* Adding even 0 to NULL is undefined. */
    return n == 0 ? s : (struct slice){s.p + n, s.n - n};
}

/* n bytes at `from`, clamped to s. */
static inline struct slice slice_sub(struct slice s, size_t from, size_t n)
{
    s = slice_skip(s, from);
    if (n < s.n)
        s.n = n;
    return s;
}

bool slice_eq(struct slice a, struct slice b);
bool slice_eq_icase(struct slice a, struct slice b); /* ASCII case only */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_icase(struct slice s, struct slice prefix);
/* Offset of the first `byte` or of the first `needle`; s.n when there is none. */
size_t slice_find(struct slice s, char byte);
size_t slice_find_slice(struct slice s, struct slice needle);
/* Without the SP, HTAB, CR and LF at both ends. */
struct slice slice_trim(struct slice s);
/* Cut at the first `sep`: *head is what stands before it, the result what follows.  Without a
 * `sep`, *head is all of s and the result is empty. */
struct slice slice_cut(struct slice s, char sep, struct slice *head);
/* FNV-1a, for tables in memory: whoever chooses the octets can choose their place. */
uint32_t slice_hash(struct slice s);
/* All octets below 0x80? */
bool slice_is_ascii(struct slice s);
/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)? */
bool slice_is_utf8(struct slice s);
/* Decimal digits only, no sign, no blank, at least one, no overflow: 0, otherwise -1. */
int slice_to_u64(struct slice s, uint64_t *ret);

/* ---- octets, sixteen at a time -------------------------------------------------------------- */

/* For the few loops that see every octet of every message: one pass that stops at what is special, not a memchr for each
 * kind and each line: 2.6 ms of CPU less for a message of 1 MB, a fifth.  Any compiler with vectors, any machine. */
enum { OCTETS = 16 };
struct octets {
    unsigned char v __attribute__((vector_size(16)));
};

static inline struct octets octets_at(const char *p)
{
    struct octets o;
    __builtin_memcpy(&o, p, sizeof(o));
    return o;
}

/* Where do they equal `octet`?  All bits of such an octet of the result are set, none of the others. */
static inline struct octets octets_eq(struct octets o, char octet)
{
    return (struct octets){(unsigned char __attribute__((vector_size(16))))(o.v == (unsigned char)octet)};
}

static inline void octets_put(char *p, struct octets o)
{
    __builtin_memcpy(p, &o, sizeof(o));
}

/* The highest bit of each: that of the first octet is bit 0. */
static inline unsigned octets_mask(struct octets o)
{
#ifdef __SSE2__
    return (unsigned)__builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))o.v);
#else
    uint64_t half[2];
    __builtin_memcpy(half, &o, sizeof(half));
    for (int i = 0; i < 2; i++) /* each octet's bit to its place in the uppermost octet */
        half[i] = (le64toh(half[i]) >> 7 & 0x0101010101010101u) * 0x0102040810204080u >> 56;
    return (unsigned)(half[0] | half[1] << 8);
#endif
}

/* How many stand before the first one whose highest bit is set; OCTETS when there is none. */
static inline unsigned octets_before(struct octets o)
{
    unsigned mask = octets_mask(o);
    return mask == 0 ? OCTETS : (unsigned)__builtin_ctz(mask);
}

/* ---- errors: the reason, for a person ------------------------------------------------------- */

struct err {
    char text[512];
};

/* Formats the reason (one too long is cut and ends in " [...]") and returns -1, so that `return err_set(...)` reads
 * well.  `err` may be NULL. */
int err_set(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
int err_vset(struct err *err, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* ---- strbuf: growing bytes; the first failure sticks --------------------------------------- */

struct strbuf {
    char *p;      /* NUL-terminated behind n when not NULL */
    size_t n;     /* bytes in use */
    size_t cap;   /* bytes allocated */
    size_t max;   /* never more than this; 0 = no bound */
    bool failed;  /* out of memory or over max: everything after that was dropped */
};

#define STRBUF_INIT ((struct strbuf){ 0 })
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_add_slice(struct strbuf *b, struct slice s);
void strbuf_add_str(struct strbuf *b, const char *cstr);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *format, ...) PRINTF_LIKE(2, 3);
struct slice strbuf_slice(const struct strbuf *b);
/* The text; "" when nothing was added or after a failure to allocate. */
const char *strbuf_str(const struct strbuf *b);
void strbuf_truncate(struct strbuf *b, size_t n);
/* Empties it, keeps the allocation, clears `failed`. */
void strbuf_reset(struct strbuf *b);
void strbuf_free(struct strbuf *b);

/* ---- arena: many allocations, one free ------------------------------------------------------ */

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
    size_t used; /* bytes handed out */
    size_t max;  /* bound on `used`; 0 = none */
};

#define ARENA_INIT(max_bytes) ((struct arena){ .max = (max_bytes) })
/* Zeroed, aligned for any type; NULL when out of memory or over max. */
void *arena_alloc(struct arena *a, size_t n);
/* Like arena_alloc for `count` members; an overflow is NULL. */
void *arena_alloc_array(struct arena *a, size_t count, size_t size);
/* A NUL-terminated copy; NULL on failure. */
char *arena_strdup(struct arena *a, struct slice s);
/* A copy as a slice; on failure .p is NULL. */
struct slice arena_copy(struct arena *a, struct slice s);
void arena_free(struct arena *a);

/* ---- base64 (RFC 4648 4) --------------------------------------------------------------------- */

void base64_encode(struct strbuf *out, struct slice in);
/* Strict: no white space, padding required and only at the end, unused bits zero.  Appends to out;
 * on error (-1) out is as it was. */
int base64_decode(struct strbuf *out, struct slice in);

/* ---- clocks and random names ----------------------------------------------------------------- */

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC: for every timer */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME: only stored and printed */

/* `n` random characters of the 31 digits and consonants (almost 5 bits each, from getrandom), then
 * a NUL: `out` holds n + 1 bytes.  -1 when the kernel gives no randomness. */
int random_name(char *out, size_t n);

/* Overwrites in a way the compiler keeps. */
void wipe(void *p, size_t n);

/* ---- log: one event a line ------------------------------------------------------------------ */

enum log_level { LOG_LEVEL_DEBUG = 0, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT = 0, LOG_FORMAT_JSON };

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT = 0, LOG_FIELD_PATH, LOG_FIELD_NUMBER, LOG_FIELD_MS } kind;
    struct slice text;
    int64_t number;
};

/* A field whose text is NULL (slice with .p == NULL) is left out. */
#define LOG_STR(k, cstr) ((struct log_field){ .key = (k), .kind = LOG_FIELD_TEXT, .text = slice_of(cstr) })
#define LOG_SLICE(k, s) ((struct log_field){ .key = (k), .kind = LOG_FIELD_TEXT, .text = (s) })
#define LOG_PATH(k, s) ((struct log_field){ .key = (k), .kind = LOG_FIELD_PATH, .text = (s) }) /* <address> */
#define LOG_NUM(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_NUMBER, .number = (int64_t)(v) })
#define LOG_MSEC(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_MS, .number = (int64_t)(v) }) /* 1234 -> 1.234s */

void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* Where lines go; stderr unless a test says otherwise. */
void log_to(FILE *stream);
/* Writes time=, level=, event= and the fields with one write.  Values are quoted where they hold
 * anything but plain characters; control octets and bad UTF-8 are escaped, so no input forges a
 * line.  Any thread may call it. */
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);
#define log_event(level, event, ...)                                                       \
    log_write(level, event, (const struct log_field[]){ __VA_ARGS__ },                    \
              sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))

/* ---- spool: message data, in memory up to a fixed size, then in a file without a name -------- */

struct spool;
enum { SPOOL_MEMORY_MAX = 256 * 1024 };

/* `dir`: where the file goes if one is needed (O_TMPFILE, or created and unlinked at once); copied.
 * NULL on failure. */
struct spool *spool_new(const char *dir);
/* Appends.  -1 with the reason on a full disk or an I/O error; the spool is then only good to be freed. */
int spool_write(struct spool *s, struct slice bytes, struct err *err);
uint64_t spool_size(const struct spool *s);
/* Reads up to n bytes at `offset`; the number read, 0 at the end, -1 on error.  Safe from another
 * thread once writing has ended. */
ssize_t spool_read(const struct spool *s, uint64_t offset, void *buf, size_t n);
/* To keep the file of what did not fit into memory, and never to copy it.  -1 and errno when it fails, otherwise 0.
 * spool_flush: all octets are in the file, and no more may be written.  spool_link: the file gets the name `path`, which
 * nothing may have yet (EEXIST); ENOENT, EXDEV and others where it cannot have one.  spool_write_out: the system begins to
 * write the octets now, a hint that it may pass over; promises nothing.  spool_sync: the octets are on the disk,
 * not yet the name; after a failure the file is good for nothing (Linux would not write again what it could not write).
 * spool_share: another descriptor of the file, the caller's; the spool may go before it. */
int spool_flush(struct spool *s);
int spool_link(const struct spool *s, const char *path);
void spool_write_out(const struct spool *s);
int spool_sync(const struct spool *s);
int spool_share(const struct spool *s);
void spool_free(struct spool **ps);

/* ---- domain names ----------------------------------------------------------------------------- */

enum { DOMAIN_MAX = 253 };

/* `name` (U-labels or A-labels, any case, no final dot) as A-labels in lower case, NFC and IDNA2008
 * mapped (RFC 5890, 5891); LDH labels of 1 to 63 octets, at least one; no underscore.  Names that are
 * ASCII already are checked and lower-cased, nothing more.  0 and a NUL-terminated `out`; -1 and the reason otherwise. */
int domain_to_ascii(struct slice name, char out[DOMAIN_MAX + 1], struct err *err);
/* Are both the same domain by domain_to_ascii?  A name that is none equals nothing. */
bool domain_eq(struct slice a, struct slice b);
/* Is this numeric address one that only this machine reaches, in either family, or mapped? */
bool address_is_loopback(const char *address);

/* ---- asking DNS without knowing of it ------------------------------------------------------------ */

/* How a pure room (dkim/, align/) asks DNS: through a function it is given, which may answer from the network, from a
 * zone file or from a test's table.  It answers before it returns. */
enum lookup_status {
    LOOKUP_OK = 0,   /* at least one record */
    LOOKUP_NODATA,   /* the name exists, no such record */
    LOOKUP_NXDOMAIN,
    LOOKUP_TEMPFAIL  /* no answer, SERVFAIL, bogus, or out of memory */
};

struct lookup_record {
    struct slice text; /* A, AAAA: the address in its usual text form; MX, PTR, CNAME: the name, lower case, without its final dot;
                        * TXT: its strings joined */
    unsigned preference; /* MX */
};

struct lookup_answer {
    enum lookup_status status;
    const struct lookup_record *records; /* live in the arena given */
    size_t n;
};

struct lookup {
    /* `type`: the record type's number (A 1, PTR 12, MX 15, TXT 16, AAAA 28); CNAMEs are followed. */
    void (*query)(void *ctx, struct arena *a, const char *name, unsigned type, struct lookup_answer *ret);
    void *ctx;
};

/* ---- files that hold secrets -------------------------------------------------------------------- */

/* Adds the path of `name` in the folder that the file `path` is in. */
void file_beside(const char *path, const char *name, struct strbuf *out);
/* Reads a whole file of at most `max` bytes into `out`.  With `secret`, a file that others than the
 * owner and the owner's group may read is refused with the chmod to run. */
int file_read(const char *path, size_t max, bool secret, struct strbuf *out, struct err *err);
/* Writes path.tmp, fsyncs, renames, fsyncs the directory.  A file that exists keeps its mode, owner and
 * group; `mode`, as for open(2), is a new one's. */
int file_write(const char *path, struct slice bytes, unsigned mode, struct err *err);
/* mkdir -p; directories that are made get `mode`. */
int dir_make(const char *path, unsigned mode, struct err *err);

/* ---- worker pool: what takes CPU, off the loop --------------------------------------------------- */

struct event_base;
struct workers;
enum work_class { WORK_SIGN = 0, WORK_HASH, WORK_CLASSES };

/* `threads` workers whose results come back as events on `base`.  At most half of the threads (at
 * least one) run WORK_HASH at a time, and at most `hash_waiting` wait. */
struct workers *workers_new(struct event_base *base, unsigned threads, unsigned hash_waiting, struct err *err);
/* run(job) on a worker, then done(job) on the loop thread.  -1 when the class's queue is full or
 * the pool stops: then neither is called. */
int workers_submit(struct workers *w, enum work_class class, void (*run)(void *job), void (*done)(void *job), void *job);
/* Runs what waits, calls every done(), joins the threads.  From the loop thread. */
void workers_free(struct workers **pw);

/* Something another thread posts to the loop: notify() may be called from any thread and makes
 * on_loop(ctx) run soon on the loop thread; several calls may become one. */
struct loop_notifier;
struct loop_notifier *loop_notifier_new(struct event_base *base, void (*on_loop)(void *ctx), void *ctx);
void loop_notifier_notify(struct loop_notifier *n);
void loop_notifier_free(struct loop_notifier **pn);

#endif
