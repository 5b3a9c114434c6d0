/* damage.c - is the file damaged, and setting it aside.
 *
 * SQLite notices damage when it reads a page that makes no sense.  What a start reads anyhow (all that waits) is
 * noticed at the start.  A file of up to CHECK_MAX is looked at whole as well, which takes no time; a larger one when
 * the store or a read met damage while the daemon ran: the file `path`.check says so. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_MAX = 64 * 1024 * 1024, NAMES_MAX = 100 };

/* The name of the file that stands beside the queue; NULL without memory. */
static char *beside(const char *path, const char *suffix)
{
    char *name;

    return asprintf(&name, "%s%s", path, suffix) < 0 ? NULL : name;
}

void damage_mark(const char *path)
{
    char *name = beside(path, ".check");
    int fd = name != NULL ? open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (fd >= 0)
        close(fd);
    free(name);
}

/* Runs a check that answers with one row, "ok" if there is nothing to say. */
static bool check_fails(struct store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;
    bool fails = false;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        fails = text != NULL && strcmp(text, "ok") != 0;
    }
    sqlite3_finalize(st);
    return fails || store_is_damage(rc);
}

/* Can all of the file be read?  A disk that does not answer is no reason to put the queue aside. */
static bool is_readable(struct store *s)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    char page[STORE_PAGE];

    if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || file == NULL ||
        file->pMethods == NULL || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
        return false;
    for (sqlite3_int64 at = 0; at + STORE_PAGE <= size; at += STORE_PAGE)
        if (file->pMethods->xRead(file, page, STORE_PAGE, at) != SQLITE_OK)
            return false;
    return true;
}

bool damage_find(struct store *s, const char *path)
{
    struct stat st;
    char *mark = beside(path, ".check");
    bool marked = mark != NULL && access(mark, F_OK) == 0, damaged = false;
    const char *check = marked ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)";

    if (marked || (stat(path, &st) == 0 && st.st_size <= CHECK_MAX))
        damaged = check_fails(s, check) && is_readable(s) && check_fails(s, check);
    if (marked && !damaged)
        unlink(mark); /* it was something that has passed */
    free(mark);
    return damaged;
}

/* A name that nothing has.  It tells when the file was last written, not when it was found damaged: a crash between the
 * renames leaves a folder and a log under the name that their file will get, too. */
static int free_name(const char *path, struct strbuf *name, struct err *err)
{
    char *folder = content_folder(path);
    struct stat st;
    struct tm tm;
    char stamp[32];
    int rc = stat(path, &st);

    if (rc < 0 && errno == ENOENT && folder != NULL) /* only the folder is left */
        rc = stat(folder, &st);
    free(folder);
    if (rc < 0 || gmtime_r(&st.st_mtime, &tm) == NULL)
        return err_set(err, "%s: %s", path, strerror(errno));
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    for (int i = 1; i < NAMES_MAX; i++) {
        strbuf_reset(name);
        strbuf_addf(name, "%s.corrupt-%s", path, stamp);
        if (i > 1)
            strbuf_addf(name, "-%d", i);
        if (name->failed)
            return err_set(err, "out of memory");
        if (access(strbuf_str(name), F_OK) < 0 && errno == ENOENT)
            return 0;
    }
    return err_set(err, "%s: too many damaged files beside it", path);
}

int damage_sync_directory(const char *path)
{
    char *dir = strdup(path), *slash = dir != NULL ? strrchr(dir, '/') : NULL;

    if (slash != NULL)
        slash[slash == dir ? 1 : 0] = '\0';
    int fd = dir != NULL ? open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0)
        close(fd);
    free(dir);
    return rc;
}

static int rename_beside(const char *from, const char *to, const char *suffix)
{
    char *a = beside(from, suffix), *b = beside(to, suffix);
    int rc = a == NULL || b == NULL ? -1 : rename(a, b);

    free(a);
    free(b);
    return rc < 0 && errno == ENOENT ? 0 : rc;
}

/* The bodies go first: beside a new file none of them would belong to a message, and they would be deleted.  Then the log,
 * which holds what was committed last: beside an empty file of that name SQLite would delete it. */
int damage_set_aside(const char *path, struct strbuf *aside, struct err *err)
{
    char *mark = beside(path, ".check"), *shm = beside(path, "-shm");
    int rc = free_name(path, aside, err);

    if (rc == 0 && (rename_beside(path, strbuf_str(aside), "-content") < 0 || damage_sync_directory(path) < 0 ||
                    rename_beside(path, strbuf_str(aside), "-wal") < 0 || damage_sync_directory(path) < 0 ||
                    rename_beside(path, strbuf_str(aside), "") < 0 || damage_sync_directory(path) < 0))
        rc = err_set(err, "%s is damaged, and cannot be set aside: %s", path, strerror(errno));
    if (rc == 0 && shm != NULL)
        unlink(shm); /* an index of the log, made anew from it */
    if (rc == 0 && mark != NULL)
        unlink(mark);
    free(mark);
    free(shm);
    return rc;
}
