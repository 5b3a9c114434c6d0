/* What `key` and `setup` write, and who may read it. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEY_MODE = 0600, DAEMON_FILE_MODE = 0640, DIRECTORY_MODE = 0750, LOCK_WAIT_MS = 60 * 1000, LOCK_TRY_MS = 20 };

struct slice directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? SLICE(".") : slice_from(path, slash == path ? 1 : (size_t)(slash - path));
}

int give_to_daemon(const char *path, unsigned mode, struct err *err)
{
    char strings[4096];
    struct passwd entry, *user = NULL;
    if (geteuid() != 0 || getpwnam_r(DAEMON_USER, &entry, strings, sizeof(strings), &user) != 0 || user == NULL)
        return 0;
    if (chown(path, 0, user->pw_gid) < 0 || chmod(path, mode) < 0)
        return err_set(err, "cannot give %s to the group of %s: %s", path, DAEMON_USER, strerror(errno));
    return 0;
}

int adopt_for_daemon(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0 || st.st_uid != 0 || st.st_gid != 0)
        return 0;
    unsigned group = S_ISDIR(st.st_mode) ? 0050 : 0040;
    return give_to_daemon(path, (st.st_mode & 07777) | group, err);
}

int directory_make(const char *path, struct err *err)
{
    if (access(path, F_OK) == 0)
        return 0;
    struct strbuf above = STRBUF_INIT;
    strbuf_add_slice(&above, directory_of(path));
    int status = above.failed ? err_set(err, "out of memory") : 0;
    if (status == 0)
        status = directory_make(strbuf_str(&above), err);
    if (status == 0)
        status = dir_make(path, DIRECTORY_MODE, err);
    if (status == 0)
        status = give_to_daemon(path, DIRECTORY_MODE, err);
    strbuf_free(&above);
    return status;
}

int directory_resolve(const char *path, struct strbuf *out, struct err *err)
{
    if (directory_make(path, err) < 0)
        return -1;
    char *resolved = realpath(path, NULL);
    if (resolved == NULL)
        return err_set(err, "%s: %s", path, strerror(errno));
    strbuf_add_str(out, resolved);
    free(resolved);
    return out->failed ? err_set(err, "out of memory") : 0;
}

int directory_lock(const char *dir, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_TRY_MS * 1000000L};
    int64_t end = clock_mono_ms() + LOCK_WAIT_MS;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set(err, "cannot open %s: %s", dir, strerror(errno));
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno == EWOULDBLOCK || errno == EINTR) && clock_mono_ms() < end) {
            nanosleep(&pause, NULL);
            continue;
        }
        if (errno == EWOULDBLOCK)
            err_set(err, "another command is at work in %s", dir);
        else
            err_set(err, "cannot lock %s: %s", dir, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- keys ------------------------------------------------------------------------------------ */

void key_path(struct strbuf *out, const char *dir, const char *domain, const char *selector)
{
    strbuf_addf(out, "%s/dkim/%s/%s.pem", dir, domain, selector);
}

static int make_room(const char *path, struct err *err)
{
    struct strbuf dir = STRBUF_INIT;
    struct stat st;
    if (lstat(path, &st) == 0)
        return err_set(err, "%s exists: a key is never overwritten", path);
    strbuf_add_slice(&dir, directory_of(path));
    int status = dir.failed ? err_set(err, "out of memory") : directory_make(strbuf_str(&dir), err);
    strbuf_free(&dir);
    return status;
}

int key_create(const char *path, enum dkim_algorithm algorithm, unsigned bits, struct err *err)
{
    struct strbuf pem = STRBUF_INIT;
    int status = make_room(path, err);
    if (status == 0)
        status = dkim_key_generate(algorithm, bits, &pem, err);
    if (status == 0)
        status = file_write(path, strbuf_slice(&pem), KEY_MODE, err);
    if (status == 0)
        status = give_to_daemon(path, DAEMON_FILE_MODE, err);
    if (pem.p != NULL)
        wipe(pem.p, pem.n);
    strbuf_free(&pem);
    return status;
}
