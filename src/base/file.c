/* file.c - whole files: read with a bound and a look at who else may, written whole or not at all. */
#include "sendas/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading -------------------------------------------------------------------------------- */

static int file_check(const char *path, const struct stat *st, bool secret, struct err *err)
{
    if (S_ISDIR(st->st_mode))
        return err_set(err, "%s is a directory, expected a file", path);
    /* A pipe may be read, such as the shell's <(...), but says nothing of who else reads it. */
    if (!S_ISREG(st->st_mode) && (secret || !(S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode))))
        return err_set(err, "%s is not a regular file", path);
    if (secret && (st->st_mode & S_IRWXO) != 0)
        return err_set(err, "%s holds a secret, but its mode %04o opens it to everybody; run: chmod o= %s", path,
                       (unsigned)(st->st_mode & 07777), path);
    return 0;
}

static int file_read_fd(int fd, const char *path, size_t max, struct strbuf *out, struct err *err)
{
    char chunk[16 * 1024];
    size_t total = 0;
    int rc = -1;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set(err, "cannot read %s: %s", path, strerror(errno));
            break;
        }
        if (n == 0) {
            rc = 0;
            break;
        }
        total += (size_t)n;
        if (total > max) {
            err_set(err, "%s has more than %zu octets", path, max);
            break;
        }
        strbuf_add(out, chunk, (size_t)n);
        if (out->failed) {
            err_set(err, "%s: out of memory", path);
            break;
        }
    }
    wipe(chunk, sizeof(chunk));
    return rc;
}

void file_beside(const char *path, const char *name, struct strbuf *out)
{
    const char *slash = strrchr(path, '/');
    if (slash != NULL)
        strbuf_add(out, path, (size_t)(slash + 1 - path));
    strbuf_add_str(out, name);
}

int file_read(const char *path, size_t max, bool secret, struct strbuf *out, struct err *err)
{
    struct stat st;
    size_t before = out->n;
    /* O_NONBLOCK: a FIFO nobody writes to must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, "cannot open %s: %s", path, strerror(errno));
    int rc = fstat(fd, &st) < 0 ? err_set(err, "cannot stat %s: %s", path, strerror(errno))
                                : file_check(path, &st, secret, err);
    if (rc == 0 && !S_ISREG(st.st_mode) && fcntl(fd, F_SETFL, 0) < 0)
        rc = err_set(err, "cannot read %s: %s", path, strerror(errno));
    if (rc == 0)
        rc = file_read_fd(fd, path, max, out, err);
    if (rc < 0 && out->p != NULL) {
        wipe(out->p + before, out->n - before);
        strbuf_truncate(out, before);
    }
    close(fd);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int write_all(int fd, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return 0;
}

/* Gives the new file the old one's owner, group and mode. */
static int keep_owner(int fd, const struct stat *old)
{
    struct stat now;
    if (fstat(fd, &now) < 0)
        return -1;
    if ((now.st_uid != old->st_uid || now.st_gid != old->st_gid) && fchown(fd, old->st_uid, old->st_gid) < 0)
        return -1;
    return fchmod(fd, old->st_mode & 07777);
}

static int write_temporary(const char *temporary, const char *target, struct slice bytes, unsigned mode,
                           struct err *err)
{
    struct stat old;
    bool exists = stat(target, &old) == 0;
    if (unlink(temporary) < 0 && errno != ENOENT)
        return err_set(err, "cannot remove %s: %s", temporary, strerror(errno));
    /* Closed to all until it has its owner. */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, exists ? 0600 : mode);
    if (fd < 0)
        return err_set(err, "cannot make %s: %s", temporary, strerror(errno));
    int rc = 0;
    if ((exists && keep_owner(fd, &old) < 0) || write_all(fd, bytes) < 0 || fsync(fd) < 0)
        rc = err_set(err, "cannot write %s: %s", temporary, strerror(errno));
    if (close(fd) < 0 && rc == 0)
        rc = err_set(err, "cannot write %s: %s", temporary, strerror(errno));
    if (rc < 0)
        unlink(temporary);
    return rc;
}

/* A name is on the disk when its directory is. */
static int sync_parent(const char *path, struct err *err)
{
    char *dir = strdup(path);
    if (dir == NULL)
        return err_set(err, "out of memory");
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[slash == dir ? 1 : 0] = '\0';
    int fd = open(slash == NULL ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? err_set(err, "cannot sync the directory of %s: %s", path, strerror(errno)) : 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    return rc;
}

int file_write(const char *path, struct slice bytes, unsigned mode, struct err *err)
{
    /* A symbolic link stays one: what it points to is replaced. */
    char *target = realpath(path, NULL);
    if (target == NULL && errno == ENOENT)
        target = strdup(path);
    if (target == NULL)
        return err_set(err, "cannot write %s: %s", path, strerror(errno));
    char *temporary;
    int rc = -1;
    if (asprintf(&temporary, "%s.tmp", target) < 0) {
        free(target);
        return err_set(err, "out of memory");
    }
    if (write_temporary(temporary, target, bytes, mode, err) == 0) {
        if (rename(temporary, target) == 0) {
            rc = sync_parent(target, err);
        } else {
            err_set(err, "cannot rename %s: %s", temporary, strerror(errno));
            unlink(temporary);
        }
    }
    free(temporary);
    free(target);
    return rc;
}

int dir_make(const char *path, unsigned mode, struct err *err)
{
    struct stat st;
    char *dir = strdup(path);
    if (dir == NULL)
        return err_set(err, "out of memory");
    int rc = 0;
    for (char *p = dir + (dir[0] == '/'); rc == 0; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (dir[0] != '\0' && mkdir(dir, mode) < 0 && errno != EEXIST)
            rc = err_set(err, "cannot make %s: %s", dir, strerror(errno));
        *p = c;
        if (c == '\0')
            break;
    }
    if (rc == 0 && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        rc = err_set(err, "%s is not a directory", path);
    free(dir);
    return rc;
}
