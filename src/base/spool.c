/* spool.c - message data: in memory while it is small, then in a file without a name.
 *
 * The file holds the first `in_file` octets, `n` more are in memory, in blocks of which the first begins small: one piece
 * that grows would be copied, mapped and unmapped on its way.  Until the first spill nothing is in the file; after it
 * the first block is a write buffer, so that a message written line by line costs few system calls. */
#include "sendas/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_BLOCK = 64 * 1024, SPOOL_BLOCKS = SPOOL_MEMORY_MAX / SPOOL_BLOCK, SPOOL_FIRST = 4096 };

struct spool {
    char *dir;
    int fd; /* -1 = all in memory */
    uint64_t in_file;
    char *blocks[SPOOL_BLOCKS];
    size_t n, first_size; /* octets in the blocks; the first one is as large */
    bool failed;
};

struct spool *spool_new(const char *dir)
{
    struct spool *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->fd = -1;
    s->dir = strdup(dir);
    if (s->dir == NULL)
        spool_free(&s);
    return s;
}

/* Not every file system knows O_TMPFILE. */
static int spool_open_named(const char *dir)
{
    char *path;
    if (asprintf(&path, "%s/spool-XXXXXX", dir) < 0) {
        errno = ENOMEM;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

static int spool_open(struct spool *s, struct err *err)
{
    s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0)
        s->fd = spool_open_named(s->dir);
    return s->fd < 0 ? err_set(err, "cannot make a file in %s: %s", s->dir, strerror(errno)) : 0;
}

static int spool_to_file(struct spool *s, const char *p, size_t n, struct err *err)
{
    while (n > 0) {
        ssize_t done = pwrite(s->fd, p, n, (off_t)s->in_file);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_set(err, "cannot write in %s: %s", s->dir, done == 0 ? "nothing was written" : strerror(errno));
        p += done;
        n -= (size_t)done;
        s->in_file += (uint64_t)done;
    }
    return 0;
}

/* Block i, as far as it is filled. */
static struct slice spool_block(const struct spool *s, size_t i)
{
    size_t before = i * SPOOL_BLOCK, n = s->n < before ? 0 : s->n - before;

    return slice_from(s->blocks[i], n < SPOOL_BLOCK ? n : SPOOL_BLOCK);
}

/* Moves what is in memory to the file. */
static int spool_spill(struct spool *s, struct err *err)
{
    if (s->fd < 0 && spool_open(s, err) < 0)
        return -1;
    for (size_t i = 0; i * SPOOL_BLOCK < s->n; i++) {
        struct slice block = spool_block(s, i);
        if (spool_to_file(s, block.p, block.n, err) < 0)
            return -1;
    }
    for (size_t i = 1; i < SPOOL_BLOCKS; i++) {
        free(s->blocks[i]);
        s->blocks[i] = NULL;
    }
    s->n = 0;
    return 0;
}

/* Room for one octet at least and `more` at most: how many, 0 without memory. */
static size_t spool_room(struct spool *s, size_t more, char **ret)
{
    size_t i = s->n / SPOOL_BLOCK, at = s->n % SPOOL_BLOCK, size = i == 0 ? s->first_size : SPOOL_BLOCK;

    more = more < SPOOL_BLOCK - at ? more : SPOOL_BLOCK - at;
    if (s->blocks[i] == NULL || at + more > size) {
        size = i > 0 ? SPOOL_BLOCK : size > 0 ? size : SPOOL_FIRST;
        while (size < at + more)
            size *= 2;
        char *p = realloc(s->blocks[i], size);
        if (p == NULL)
            return 0;
        s->blocks[i] = p;
        s->first_size = i == 0 ? size : s->first_size;
    }
    *ret = s->blocks[i] + at;
    return more;
}

static int spool_append(struct spool *s, struct slice bytes, struct err *err)
{
    while (bytes.n > 0) {
        char *to;
        if (s->n == (s->fd < 0 ? SPOOL_MEMORY_MAX : SPOOL_BLOCK)) {
            if (spool_spill(s, err) < 0)
                return -1;
            continue;
        }
        size_t n = spool_room(s, bytes.n, &to);
        if (n == 0)
            return err_set(err, "out of memory");
        memcpy(to, bytes.p, n);
        s->n += n;
        bytes = slice_skip(bytes, n);
    }
    return 0;
}

int spool_write(struct spool *s, struct slice bytes, struct err *err)
{
    if (s->failed)
        return err_set(err, "an earlier write failed");
    if (spool_append(s, bytes, err) == 0)
        return 0;
    s->failed = true;
    return -1;
}

int spool_flush(struct spool *s)
{
    if (s->failed) {
        errno = EIO;
        return -1;
    }
    if (s->n == 0 || spool_spill(s, NULL) == 0)
        return 0;
    int cause = errno;
    s->failed = true;
    errno = cause;
    return -1;
}

/* What O_TMPFILE made has no name that could be linked; but the system has one for each descriptor (open(2)). */
int spool_link(const struct spool *s, const char *path)
{
    char mine[32];
    snprintf(mine, sizeof(mine), "/proc/self/fd/%d", s->fd);
    return linkat(AT_FDCWD, mine, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

void spool_write_out(const struct spool *s)
{
    sync_file_range(s->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int spool_sync(const struct spool *s)
{
    struct stat st;
    if (fsync(s->fd) < 0 || fstat(s->fd, &st) < 0)
        return -1;
    if (st.st_size >= 0 && (uint64_t)st.st_size == spool_size(s))
        return 0;
    errno = EIO; /* somebody cut the file */
    return -1;
}

int spool_share(const struct spool *s)
{
    return fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
}

uint64_t spool_size(const struct spool *s)
{
    return s->in_file + s->n;
}

/* Never changes the spool, and pread has no position: that is what makes it safe from any thread. */
ssize_t spool_read(const struct spool *s, uint64_t offset, void *buf, size_t n)
{
    if (s->failed)
        return -1;
    size_t got = 0;
    while (got < n && offset < s->in_file) {
        uint64_t left = s->in_file - offset;
        ssize_t r = pread(s->fd, (char *)buf + got, n - got < left ? n - got : (size_t)left, (off_t)offset);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return -1; /* an I/O error, or somebody cut the file */
        got += (size_t)r;
        offset += (uint64_t)r;
    }
    while (got < n && offset < spool_size(s)) {
        size_t at = (size_t)(offset - s->in_file);
        struct slice part = slice_sub(spool_block(s, at / SPOOL_BLOCK), at % SPOOL_BLOCK, n - got);
        memcpy((char *)buf + got, part.p, part.n);
        got += part.n;
        offset += part.n;
    }
    return (ssize_t)got;
}

void spool_free(struct spool **ps)
{
    struct spool *s = *ps;
    if (s == NULL)
        return;
    *ps = NULL;
    if (s->fd >= 0)
        close(s->fd);
    for (size_t i = 0; i < SPOOL_BLOCKS; i++)
        free(s->blocks[i]);
    free(s->dir);
    free(s);
}
