/* content.c - large bodies, in files beside the database (how they come there: keeper.c): being read, going, and what a
 * crash left of them, which stands in the folder and in no row. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *content_folder(const char *path)
{
    char *name;

    return asprintf(&name, "%s-content", path) < 0 ? NULL : name;
}

/* Ids from a damaged file may be anything. */
static bool is_id(const char *text)
{
    return strlen(text) == QUEUE_ID_LEN && strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == (size_t)QUEUE_ID_LEN;
}

int content_file(const char *folder, const char *id, char name[PATH_MAX])
{
    if (is_id(id) && snprintf(name, PATH_MAX, "%s/%s", folder, id) < PATH_MAX)
        return 0;
    errno = ENOENT;
    return -1;
}

void content_drop(const char *folder, const char *id)
{
    char name[PATH_MAX];

    if (content_file(folder, id, name) == 0)
        unlink(name);
}

void content_drop_all(const char *folder, struct strbuf *ids)
{
    for (struct slice rest = strbuf_slice(ids); rest.n > 0; rest = slice_skip(rest, QUEUE_ID_LEN)) {
        char id[QUEUE_ID_SIZE];
        snprintf(id, sizeof(id), "%.*s", QUEUE_ID_LEN, rest.p);
        content_drop(folder, id);
    }
    strbuf_reset(ids);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int code_of(int cause)
{
    switch (cause) {
    case ENOENT:
    case ENOTDIR:
        return SQLITE_NOTFOUND;
    case ENOMEM:
        return SQLITE_NOMEM;
    case EIO:
        return SQLITE_IOERR_READ;
    default:
        return SQLITE_CANTOPEN;
    }
}

int content_read(const char *folder, const char *id, uint64_t at, char *to, size_t n)
{
    char name[PATH_MAX];
    int fd = content_file(folder, id, name) == 0 ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    int rc = fd < 0 ? code_of(errno) : SQLITE_OK;

    while (rc == SQLITE_OK && n > 0) {
        ssize_t got = pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            rc = got == 0 ? SQLITE_CORRUPT : code_of(errno); /* somebody cut it */
            break;
        }
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- at a start ------------------------------------------------------------------------------ */

bool content_is_there(const char *path)
{
    char *folder = content_folder(path);
    DIR *dir = folder != NULL ? opendir(folder) : NULL;
    bool found = false;

    /* cppcheck-suppress readdirCalled; a directory stream has one thread */
    for (const struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;)
        found = is_id(e->d_name);
    if (dir != NULL)
        closedir(dir);
    free(folder);
    return found;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, QUEUE_ID_LEN);
}

int content_sweep(struct store *s)
{
    struct strbuf known = STRBUF_INIT;
    DIR *dir = opendir(s->folder);
    int rc = dir != NULL ? store_files(s, &known) : SQLITE_OK;

    if (known.n > 0)
        qsort(known.p, known.n / QUEUE_ID_LEN, QUEUE_ID_LEN, compare_ids);
    /* cppcheck-suppress readdirCalled; likewise */
    for (const struct dirent *e; rc == SQLITE_OK && dir != NULL && (e = readdir(dir)) != NULL;)
        if (is_id(e->d_name) &&
            (known.n == 0 || bsearch(e->d_name, known.p, known.n / QUEUE_ID_LEN, QUEUE_ID_LEN, compare_ids) == NULL))
            content_drop(s->folder, e->d_name);
    if (dir != NULL)
        closedir(dir);
    strbuf_free(&known);
    return rc;
}
