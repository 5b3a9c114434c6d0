/* content.c - large bodies, beside the database.
 *
 * A body that did not fit into its spool's memory is in a file already.  That file is given the name of its message, in
 * the folder `path`-content; it is synced, and so is the folder; and only then its row is committed.  Its octets are never
 * copied.  What stands in the folder and in no row is left over from a crash, and goes with the next start.
 *
 * A thread of its own does this, so that the sync of a large body holds up no other commit. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPLAIN_MS = 10 * 1000 };

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

/* Where the body of the message is; -1 and errno.  Needs no memory: what failed for the lack of it is cleared away. */
static int file_of(const char *folder, const char *id, char name[PATH_MAX])
{
    if (is_id(id) && snprintf(name, PATH_MAX, "%s/%s", folder, id) < PATH_MAX)
        return 0;
    errno = ENOENT;
    return -1;
}

void content_drop(const char *folder, const char *id)
{
    char name[PATH_MAX];

    if (file_of(folder, id, name) == 0)
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

/* ---- a body comes in ------------------------------------------------------------------------- */

/* The folder, and its name on the disk: once in the life of a daemon, and when somebody has taken it away. */
static int make_folder(struct keeper *k)
{
    bool made = mkdir(k->folder, 0700) == 0;

    if (!made && errno != EEXIST)
        return -1;
    if (damage_sync_directory(k->folder) == 0) {
        k->has_folder = true;
        return 0;
    }
    int cause = errno;
    if (made)
        rmdir(k->folder); /* a sync that failed is not just repeated: the next one is of another folder */
    errno = cause;
    return -1;
}

static int name_it(struct keeper *k, struct spool *body, const char *name)
{
    if (!k->has_folder && make_folder(k) < 0)
        return -1;
    if (spool_link(body, name) == 0)
        return 0;
    if (errno != ENOENT || make_folder(k) < 0)
        return -1;
    return spool_link(body, name);
}

/* Does it say that the disk fails, or the system, and not that this one cannot give a name to such a file? */
static bool is_failure(int cause)
{
    switch (cause) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EEXIST:
        return true;
    default:
        return false;
    }
}

/* 0; 1: not as a file; -1 and errno: then nothing is left.  Who made a name has to sync it, or to take it away: when a
 * sync failed, nobody knows what the next one of the same folder is worth to the names that were there. */
static int keep_as(struct keeper *k, struct spool *body, const char *name)
{
    if (spool_flush(body) < 0)
        return -1;
    if (name_it(k, body, name) < 0)
        return is_failure(errno) ? -1 : 1;
    if (spool_sync(body) == 0 && damage_sync_directory(name) == 0)
        return 0;
    int cause = errno;
    unlink(name);
    errno = cause;
    return -1;
}

/* Told now and then, not for each of a thousand messages. */
static void complain(struct keeper *k, int cause)
{
    int64_t now = clock_mono_ms();

    if (k->ailing && now < k->complained_ms + COMPLAIN_MS)
        return;
    k->ailing = true;
    k->complained_ms = now;
    log_event(LOG_LEVEL_ERROR, "store", LOG_STR("path", k->folder), LOG_STR("reason", "a file cannot be stored"),
              LOG_STR("cause", strerror(cause)));
}

static void recovered(struct keeper *k)
{
    if (!k->ailing)
        return;
    k->ailing = false;
    log_event(LOG_LEVEL_INFO, "store", LOG_STR("path", k->folder), LOG_STR("reason", "works again"));
}

static int keep(struct keeper *k, struct put *p)
{
    char name[PATH_MAX];
    int rc = file_of(k->folder, p->m.id, name) == 0 ? keep_as(k, p->m.body, name) : 1, cause = errno;

    p->in_file = rc == 0;
    if (rc >= 0) {
        recovered(k);
        return 0;
    }
    p->status = cause == EEXIST ? QUEUE_FAILED : QUEUE_FULL;
    complain(k, cause);
    return -1;
}

void *keeper_run(void *arg)
{
    struct keeper *k = arg;
    struct requests taken, failed;

    requests_init(&taken);
    requests_init(&failed);
    while (lane_take(&k->lane, &taken, -1) || taken.head != NULL)
        for (struct request *r; (r = requests_pop(&taken)) != NULL;) {
            if (keep(k, (struct put *)r) == 0) {
                lane_submit(k->writer, r);
                continue;
            }
            requests_push(&failed, r);
            lane_post(&k->lane, &failed);
        }
    return NULL;
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
    int fd = file_of(folder, id, name) == 0 ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
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
