/* tests/crash/faultvfs.h - a layer between SQLite and the disk that fails and crashes on demand.
 *
 * Everything goes to real files through SQLite's own layer; beside that each file has a shadow: what of it is on the
 * disk for certain (`durable`), and what was changed since it was last synced (`pending`).  A crash leaves what is
 * durable, and of what is pending nothing, all, or any part, down to single sectors: crash_image() writes that.
 *
 * Calls are counted.  From number `at` on, `count` calls of the kinds in `kinds` fail, or the first one is the crash.
 */
#ifndef SENDAS_TESTS_CRASH_FAULTVFS_H
#define SENDAS_TESTS_CRASH_FAULTVFS_H

#include "sendas/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum call {
    CALL_WRITE = 1,
    CALL_SYNC = 2,
    CALL_TRUNCATE = 4,
    CALL_OPEN = 8,
    CALL_DELETE = 16,
    CALL_READ = 32,
    CALL_SHM = 64
};
enum { CALL_CHANGES = CALL_WRITE | CALL_SYNC | CALL_TRUNCATE | CALL_OPEN | CALL_DELETE, SECTOR = 512, FILES_MAX = 8 };
enum survives { SURVIVES_NOTHING = 0, SURVIVES_ALL, SURVIVES_ANY };

struct change {
    struct change *next;
    sqlite3_int64 at; /* < 0: cut to -1 - at */
    size_t n;
    unsigned char bytes[];
};

struct shadow {
    char path[256];
    bool exists;  /* on the disk for certain */
    bool removed; /* since */
    unsigned char *durable;
    size_t n;
    struct change *pending, **tail;
};

static struct {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t mutex;
    struct shadow files[FILES_MAX];
    size_t n_files;
    /* what is to happen */
    unsigned kinds;
    long at, count;
    bool crash;
    int result;        /* of a write that fails */
    bool sync_forgets; /* a sync that fails leaves the pages clean: they are never written (what Linux does) */
    enum survives survives;
    unsigned random;
    const char *image; /* the folder for a crash */
    void (*on_crash)(void);
    /* what has happened */
    long calls, injected;
} faults = {.mutex = PTHREAD_MUTEX_INITIALIZER, .result = SQLITE_IOERR_WRITE};

struct fault_file {
    sqlite3_file base;
    struct shadow *shadow;
    sqlite3_file *real; /* behind this */
};

/* ---- shadows: the mutex is held
 * -------------------------------------------------------------------------------------- */

/* Not the one that fails on demand. */
void *__real_realloc(void *p, size_t n);

static inline void *faults_memory(void *p, size_t n)
{
    p = __real_realloc(p, n > 0 ? n : 1);
    if (p == NULL)
        abort();
    return p;
}

static inline struct shadow *shadow_of(const char *path)
{
    for (size_t i = 0; i < faults.n_files; i++)
        if (strcmp(faults.files[i].path, path) == 0)
            return &faults.files[i];
    if (faults.n_files == FILES_MAX)
        abort();
    struct shadow *s = &faults.files[faults.n_files++];
    snprintf(s->path, sizeof(s->path), "%s", path);
    s->tail = &s->pending;
    return s;
}

static inline void shadow_change(struct shadow *s, sqlite3_int64 at, const void *bytes, size_t n)
{
    struct change *c = faults_memory(NULL, sizeof(*c) + n);

    *c = (struct change){.at = at, .n = n};
    if (n > 0)
        memcpy(c->bytes, bytes, n);
    *s->tail = c;
    s->tail = &c->next;
}

static inline void durable_size(struct shadow *s, size_t n)
{
    if (n > s->n) {
        s->durable = faults_memory(s->durable, n);
        memset(s->durable + s->n, 0, n - s->n);
    }
    s->n = n;
}

static inline void durable_apply(struct shadow *s, const struct change *c, size_t from, size_t n)
{
    if (c->at < 0) {
        durable_size(s, (size_t)(-1 - c->at));
        return;
    }
    size_t end = (size_t)c->at + from + n;
    if (end > s->n)
        durable_size(s, end);
    memcpy(s->durable + c->at + from, c->bytes + from, n);
}

static inline void shadow_settle(struct shadow *s, bool keep)
{
    for (struct change *c; (c = s->pending) != NULL;) {
        s->pending = c->next;
        if (keep)
            durable_apply(s, c, 0, c->n);
        free(c);
    }
    s->tail = &s->pending;
}

static inline bool faults_chance(unsigned percent)
{
    faults.random = faults.random * 1664525 + 1013904223;
    return (faults.random >> 16) % 100 < percent;
}

/* What a crash leaves of a change: each sector by itself. */
static inline void survive(struct shadow *s, const struct change *c)
{
    if (c->at < 0) {
        if (faults_chance(50))
            durable_apply(s, c, 0, 0);
        return;
    }
    bool torn = faults_chance(30), kept = faults_chance(50);
    for (size_t from = 0; from < c->n; from += SECTOR) {
        size_t n = c->n - from < SECTOR ? c->n - from : SECTOR;
        if (torn ? faults_chance(50) : kept)
            durable_apply(s, c, from, n);
    }
}

static inline void write_image(struct shadow *s)
{
    char path[512];
    const char *name = strrchr(s->path, '/');

    for (const struct change *c = s->pending; c != NULL; c = c->next) {
        s->exists |= faults.survives != SURVIVES_NOTHING;
        if (faults.survives == SURVIVES_ALL)
            durable_apply(s, c, 0, c->n);
        else if (faults.survives == SURVIVES_ANY)
            survive(s, c);
    }
    if (!s->exists || (s->removed && faults.survives != SURVIVES_NOTHING))
        return;
    snprintf(path, sizeof(path), "%s%s", faults.image, name != NULL ? name : s->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (s->n > 0 && write(fd, s->durable, s->n) != (ssize_t)s->n))
        abort();
    close(fd);
}

/* Never returns from a crash; true when this call is to fail. */
static inline bool is_fault(enum call kind)
{
    if ((kind & faults.kinds) == 0)
        return false;
    long number = faults.calls++;
    if (faults.at < 0 || number < faults.at || number >= faults.at + faults.count)
        return false;
    faults.injected++;
    if (faults.crash) {
        for (size_t i = 0; i < faults.n_files; i++)
            write_image(&faults.files[i]);
        faults.on_crash();
    }
    return true;
}

static inline bool fault(enum call kind)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(kind);
    pthread_mutex_unlock(&faults.mutex);
    return fails;
}

/* ---- files
 * ------------------------------------------------------------------------------------------------------------- */

#define REAL(f) (((struct fault_file *)(f))->real)

static int fault_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}

static int fault_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    if (fault(CALL_READ))
        return SQLITE_IOERR_READ;
    return REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}

static int fault_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct shadow *s = ((struct fault_file *)f)->shadow;

    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_WRITE);
    if (fails)
        n /= 2; /* some of it may be there */
    int rc = n > 0 ? REAL(f)->pMethods->xWrite(REAL(f), p, n, at) : SQLITE_OK;
    shadow_change(s, at, p, (size_t)n);
    s->removed = false;
    pthread_mutex_unlock(&faults.mutex);
    if (fails)
        errno = faults.result == SQLITE_FULL ? ENOSPC : EIO;
    return fails ? faults.result : rc;
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    struct shadow *s = ((struct fault_file *)f)->shadow;

    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_TRUNCATE);
    int rc = fails ? SQLITE_IOERR_TRUNCATE : REAL(f)->pMethods->xTruncate(REAL(f), n);
    if (rc == SQLITE_OK)
        shadow_change(s, -1 - n, NULL, 0);
    pthread_mutex_unlock(&faults.mutex);
    return rc;
}

/* SQLite syncs the folder with the first sync of a journal or log: then what was removed stays removed. */
static inline void sync_folder(void)
{
    for (size_t i = 0; i < faults.n_files; i++) {
        struct shadow *s = &faults.files[i];
        if (!s->removed)
            continue;
        s->removed = s->exists = false;
        s->n = 0;
    }
}

/* Nothing goes to the real disk: what survives is told by the shadow. */
static int fault_sync(sqlite3_file *f, int flags)
{
    struct shadow *s = ((struct fault_file *)f)->shadow;

    (void)flags;
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_SYNC);
    if (!fails || faults.sync_forgets)
        shadow_settle(s, !fails);
    if (!fails && !s->exists && strchr(strrchr(s->path, '/'), '-') != NULL)
        sync_folder();
    s->exists |= !fails;
    pthread_mutex_unlock(&faults.mutex);
    if (fails)
        errno = EIO;
    return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), n);
}

static int fault_lock(sqlite3_file *f, int lock)
{
    return REAL(f)->pMethods->xLock(REAL(f), lock);
}

static int fault_unlock(sqlite3_file *f, int lock)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), lock);
}

static int fault_check_lock(sqlite3_file *f, int *ret)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}

static int fault_control(sqlite3_file *f, int op, void *arg)
{
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK; /* a file that grows unseen would have no shadow */
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int fault_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}

/* What SQLite believes of the real disk: a write that is torn leaves alone what stands beside it, and no more. */
static int fault_device(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int fault_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **p)
{
    if (fault(CALL_SHM)) {
        *p = NULL;
        return SQLITE_IOERR_SHMSIZE;
    }
    return REAL(f)->pMethods->xShmMap(REAL(f), page, n, extend, p);
}

static int fault_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags);
}

static void fault_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int fault_shm_unmap(sqlite3_file *f, int drop)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), drop);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_device,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out)
{
    struct fault_file *file = (struct fault_file *)f;

    (void)vfs;
    file->real = (sqlite3_file *)(file + 1);
    f->pMethods = NULL;
    if (path == NULL) /* a temporary file: no data of ours */
        return faults.real->xOpen(faults.real, path, f, flags, out);
    if (fault(CALL_OPEN)) {
        errno = EMFILE;
        return SQLITE_CANTOPEN;
    }
    int rc = faults.real->xOpen(faults.real, path, file->real, flags, out);
    if (rc != SQLITE_OK)
        return rc;
    pthread_mutex_lock(&faults.mutex);
    file->shadow = shadow_of(path);
    pthread_mutex_unlock(&faults.mutex);
    f->pMethods = &fault_methods;
    return SQLITE_OK;
}

static int fault_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_DELETE);
    int rc = fails ? SQLITE_IOERR_DELETE : faults.real->xDelete(faults.real, path, 0);
    if (rc == SQLITE_OK) {
        struct shadow *s = shadow_of(path);
        s->removed = s->exists;
        shadow_settle(s, false);
        if (sync)
            sync_folder();
    }
    pthread_mutex_unlock(&faults.mutex);
    return rc;
}

/* The default from now on. */
static inline void faults_register(void)
{
    sqlite3_initialize();
    faults.real = sqlite3_vfs_find("unix");
    faults.vfs = *faults.real;
    faults.vfs.zName = "fault";
    faults.vfs.pNext = NULL;
    faults.vfs.szOsFile = (int)sizeof(struct fault_file) + faults.real->szOsFile;
    faults.vfs.xOpen = fault_open;
    faults.vfs.xDelete = fault_delete;
    if (sqlite3_vfs_register(&faults.vfs, 1) != SQLITE_OK)
        abort();
}

#endif
