/* tests/crash/faultvfs.h - a layer between SQLite and the disk that fails and crashes on demand; and between us and the disk,
 * for the files of large bodies, which SQLite knows nothing of (the linker puts it there: --wrap, see the Makefile).
 *
 * Everything goes to real files through SQLite's own layer; they are what the page cache holds.  Beside that each file
 * has a shadow: what of it is on the disk for certain (`durable`), and what was changed since it was last synced
 * (`pending`); and each name, which of the files it stands for now and after a power cut: those become the same with a
 * sync of the folder, which is ours to make, since SQLite takes no notice when its own fails.  A crash leaves what is
 * durable, and of what is pending nothing, all, or any part, down to single sectors: crash_image() writes that.
 *
 * The shadows are in shared memory: when a process dies and another one goes on, they go on as well.
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
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum call {
    CALL_WRITE = 1,
    CALL_SYNC = 2,
    CALL_TRUNCATE = 4,
    CALL_OPEN = 8,
    CALL_DELETE = 16,
    CALL_READ = 32,
    CALL_SHM = 64,
    CALL_SYNC_FILE = 128, /* not of its log */
    CALL_NAME = 256       /* a name for a body, and their folder */
};
enum {
    CALL_CHANGES = CALL_WRITE | CALL_SYNC | CALL_TRUNCATE | CALL_OPEN | CALL_DELETE | CALL_NAME,
    SECTOR = 512,
    FILES_MAX = 32,
    NAMELESS_MAX = 64
};
enum survives { SURVIVES_NOTHING = 0, SURVIVES_ALL, SURVIVES_ANY };
/* What a sync that fails does to the pages: they stay to be written; they count as written (what ext4 does); and they
 * are gone, too (other file systems, or once memory is short). */
enum forgets { FORGETS_NOTHING = 0, FORGETS_DIRTY, FORGETS_CONTENT };

struct change {
    struct change *next;
    sqlite3_int64 at; /* < 0: cut to -1 - at */
    size_t n;
    unsigned char bytes[];
};

struct inode {
    unsigned char *durable;
    size_t n, room;
    struct change *pending, **tail;
};

struct shadow {
    char path[128];
    struct inode *now, *on_disk; /* what the name stands for; NULL: no file */
};

enum { DISK_SIZE = 1 << 29 };

static struct disk {
    struct shadow files[FILES_MAX];
    size_t n_files, used;
    /* Files of bodies, which begin without a name: by the number that the system has for them. */
    struct {
        ino_t number;
        struct inode *inode;
    } nameless[NAMELESS_MAX];
    size_t n_nameless;
    bool folder_now, folder_on_disk; /* of bodies */
    _Alignas(16) unsigned char memory[];
} * disk;

static struct {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t mutex;
    /* what is to happen */
    unsigned kinds;
    long at, count;
    bool crash, dies; /* the power goes instead of the call; the process dies after a sync that failed */
    int result;       /* of a write that fails */
    enum forgets forgets;
    enum survives survives;
    bool no_crash; /* ever: no shadows are needed */
    unsigned random;
    const char *image; /* the folder for a crash */
    bool folder_survives;
    void (*on_crash)(void);
    /* what has happened */
    long calls, injected;
} faults = {.mutex = PTHREAD_MUTEX_INITIALIZER, .result = SQLITE_IOERR_WRITE};

struct fault_file {
    sqlite3_file base;
    bool main;
    struct inode *inode;
    sqlite3_file *real; /* behind this */
};

/* ---- shadows: the mutex is held -------------------------------------------------------------- */

/* Never given back; all of it is with disk_clear. */
static inline void *disk_memory(size_t n)
{
    void *p = disk->memory + disk->used;

    disk->used += (n + 15) / 16 * 16;
    if (disk->used > DISK_SIZE - sizeof(*disk))
        abort();
    return p;
}

/* An empty disk. */
static inline void disk_clear(void)
{
    if (disk == NULL)
        disk = mmap(NULL, DISK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (disk == MAP_FAILED)
        abort();
    memset(disk, 0, sizeof(*disk));
}

static inline struct shadow *shadow_of(const char *path)
{
    for (size_t i = 0; i < disk->n_files; i++)
        if (strcmp(disk->files[i].path, path) == 0)
            return &disk->files[i];
    if (disk->n_files == FILES_MAX || strlen(path) >= sizeof(disk->files[0].path))
        abort();
    struct shadow *s = &disk->files[disk->n_files++];
    strcpy(s->path, path);
    return s;
}

static inline struct inode *inode_new(void)
{
    struct inode *f = disk_memory(sizeof(*f));

    *f = (struct inode){0};
    f->tail = &f->pending;
    return f;
}

static inline struct inode *inode_at(const char *path)
{
    struct shadow *s = shadow_of(path);

    if (s->now == NULL)
        s->now = inode_new();
    return s->now;
}

/* The file of a body behind a descriptor; NULL: another file. */
static inline struct inode *inode_of(int fd)
{
    struct stat st;

    if (disk == NULL || fstat(fd, &st) < 0)
        return NULL;
    for (size_t i = disk->n_nameless; i > 0; i--) /* numbers are used again */
        if (disk->nameless[i - 1].number == st.st_ino)
            return disk->nameless[i - 1].inode;
    return NULL;
}

static inline void inode_begins(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || disk->n_nameless == NAMELESS_MAX)
        abort();
    disk->nameless[disk->n_nameless].number = st.st_ino;
    disk->nameless[disk->n_nameless++].inode = inode_new();
}

static inline bool is_body(const char *path)
{
    return strstr(path, "-content/") != NULL;
}

static inline void inode_change(struct inode *f, sqlite3_int64 at, const void *bytes, size_t n)
{
    if (faults.no_crash)
        return;
    struct change *c = disk_memory(sizeof(*c) + n);

    *c = (struct change){.at = at, .n = n};
    if (n > 0)
        memcpy(c->bytes, bytes, n);
    *f->tail = c;
    f->tail = &c->next;
}

static inline void durable_size(struct inode *f, size_t n)
{
    if (n > f->room) {
        unsigned char *more = disk_memory(n * 2);
        if (f->n > 0)
            memcpy(more, f->durable, f->n);
        f->durable = more;
        f->room = n * 2;
    }
    if (n > f->n)
        memset(f->durable + f->n, 0, n - f->n);
    f->n = n;
}

static inline void durable_apply(struct inode *f, const struct change *c, size_t from, size_t n)
{
    if (c->at < 0) {
        durable_size(f, (size_t)(-1 - c->at));
        return;
    }
    size_t end = (size_t)c->at + from + n;
    if (end > f->n)
        durable_size(f, end);
    memcpy(f->durable + c->at + from, c->bytes + from, n);
}

static inline void inode_settle(struct inode *f, bool keep)
{
    for (const struct change *c = f->pending; keep && c != NULL; c = c->next)
        durable_apply(f, c, 0, c->n);
    f->pending = NULL;
    f->tail = &f->pending;
}

static inline bool faults_chance(unsigned percent)
{
    faults.random = faults.random * 1664525 + 1013904223;
    return (faults.random >> 16) % 100 < percent;
}

/* What a crash leaves of a change: each sector by itself. */
static inline void survive(struct inode *f, const struct change *c)
{
    if (c->at < 0) {
        if (faults_chance(50))
            durable_apply(f, c, 0, 0);
        return;
    }
    bool torn = faults_chance(30), kept = faults_chance(50);
    for (size_t from = 0; from < c->n; from += SECTOR) {
        size_t n = c->n - from < SECTOR ? c->n - from : SECTOR;
        if (torn ? faults_chance(50) : kept)
            durable_apply(f, c, from, n);
    }
}

int __real_open(const char *path, int flags, ...);
int __real_mkdir(const char *path, mode_t mode);

static inline void write_image(const struct shadow *s)
{
    char path[512];
    const char *name = strstr(s->path, "/queue.db");
    bool renamed = faults.survives == SURVIVES_ALL || (faults.survives == SURVIVES_ANY && faults_chance(50));
    struct inode *f = renamed ? s->now : s->on_disk;

    if (f == NULL || (is_body(s->path) && !faults.folder_survives))
        return;
    for (const struct change *c = f->pending; c != NULL; c = c->next)
        if (faults.survives == SURVIVES_ALL)
            durable_apply(f, c, 0, c->n);
        else if (faults.survives == SURVIVES_ANY)
            survive(f, c);
    snprintf(path, sizeof(path), "%s%s", faults.image, name != NULL ? name : s->path);
    int fd = __real_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (f->n > 0 && write(fd, f->durable, f->n) != (ssize_t)f->n))
        abort();
    close(fd);
}

/* What a power cut leaves of the disk, into the folder for it. */
static inline void crash_image(void)
{
    char folder[300];

    faults.folder_survives =
        disk->folder_on_disk || (disk->folder_now && (faults.survives == SURVIVES_ALL ||
                                                      (faults.survives == SURVIVES_ANY && faults_chance(50))));
    snprintf(folder, sizeof(folder), "%s/queue.db-content", faults.image);
    if (faults.folder_survives && __real_mkdir(folder, 0700) < 0)
        abort();
    for (size_t i = 0; i < disk->n_files; i++)
        write_image(&disk->files[i]);
}

/* Never returns from a crash; true when this call is to fail. */
static inline bool is_fault(unsigned kind)
{
    if ((kind & faults.kinds) == 0)
        return false;
    long number = faults.calls++;
    if (faults.at < 0 || number < faults.at || number >= faults.at + faults.count)
        return false;
    faults.injected++;
    if (faults.crash)
        faults.on_crash();
    return true;
}

static inline bool fault(enum call kind)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(kind);
    pthread_mutex_unlock(&faults.mutex);
    return fails;
}

/* ---- files ----------------------------------------------------------------------------------- */

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
    struct inode *inode = ((struct fault_file *)f)->inode;

    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_WRITE);
    if (fails)
        n /= 2; /* some of it may be there */
    int rc = n > 0 ? REAL(f)->pMethods->xWrite(REAL(f), p, n, at) : SQLITE_OK;
    inode_change(inode, at, p, (size_t)n);
    pthread_mutex_unlock(&faults.mutex);
    if (fails)
        errno = faults.result == SQLITE_FULL ? ENOSPC : EIO;
    return fails ? faults.result : rc;
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    struct inode *inode = ((struct fault_file *)f)->inode;

    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_TRUNCATE);
    int rc = fails ? SQLITE_IOERR_TRUNCATE : REAL(f)->pMethods->xTruncate(REAL(f), n);
    if (rc == SQLITE_OK)
        inode_change(inode, -1 - n, NULL, 0);
    pthread_mutex_unlock(&faults.mutex);
    return rc;
}

/* The names in a folder. */
static inline void folder_sync(const char *folder)
{
    size_t n = strlen(folder);

    for (size_t i = 0; i < disk->n_files; i++) {
        struct shadow *s = &disk->files[i];
        if (strncmp(s->path, folder, n) == 0 && s->path[n] == '/' && strchr(s->path + n + 1, '/') == NULL)
            s->on_disk = s->now;
    }
    if (strstr(folder, "-content") == NULL)
        disk->folder_on_disk = disk->folder_now;
}

/* The cache is what the disk has. */
static inline void forget_content(sqlite3_file *real, const struct inode *inode)
{
    int rc = real->pMethods->xTruncate(real, (sqlite3_int64)inode->n);

    for (size_t at = 0; rc == SQLITE_OK && at < inode->n; at += SECTOR) {
        size_t n = inode->n - at < SECTOR ? inode->n - at : SECTOR;
        rc = real->pMethods->xWrite(real, inode->durable + at, (int)n, (sqlite3_int64)at);
    }
    if (rc != SQLITE_OK)
        abort();
}

/* Nothing goes to the real disk: what survives is told by the shadow. */
static int fault_sync(sqlite3_file *f, int flags)
{
    struct inode *inode = ((struct fault_file *)f)->inode;

    (void)flags;
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(((struct fault_file *)f)->main ? CALL_SYNC | CALL_SYNC_FILE : CALL_SYNC);
    if (!fails || faults.forgets != FORGETS_NOTHING)
        inode_settle(inode, !fails);
    if (fails && faults.forgets == FORGETS_CONTENT)
        forget_content(REAL(f), inode);
    if (fails && faults.dies)
        faults.on_crash();
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
    file->inode = inode_at(path);
    pthread_mutex_unlock(&faults.mutex);
    file->main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
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
        char folder[128];
        shadow_of(path)->now = NULL;
        snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
        if (sync)
            folder_sync(folder);
    }
    pthread_mutex_unlock(&faults.mutex);
    return rc;
}

/* ---- our own calls: of the folders, and of the files of bodies ------------------------------- */

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __real_pread(int fd, void *p, size_t n, off_t at);
ssize_t __real_preadv2(int fd, const struct iovec *v, int n, off_t at, int flags);
int __real_linkat(int from, const char *old, int to, const char *path, int flags);
int __real_unlink(const char *path);
int __real_rmdir(const char *path);
int __wrap_fsync(int fd);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_preadv2(int fd, const struct iovec *v, int n, off_t at, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *path, int flags);
int __wrap_unlink(const char *path);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rmdir(const char *path);

static inline int why_it_fails(void)
{
    return faults.result == SQLITE_FULL ? ENOSPC : EIO;
}

/* Nothing of a file that a body has written counts, or all of it. */
static inline void sync_body(int fd, struct inode *inode, bool fails)
{
    if (!fails || faults.forgets != FORGETS_NOTHING)
        inode_settle(inode, !fails);
    if (!fails || faults.forgets != FORGETS_CONTENT)
        return;
    if (ftruncate(fd, (off_t)inode->n) < 0 || __real_pwrite(fd, inode->durable, inode->n, 0) != (ssize_t)inode->n)
        abort();
}

int __wrap_fsync(int fd)
{
    char link[32], path[200];
    struct inode *inode = NULL;

    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_SYNC);
    if (disk != NULL && (inode = inode_of(fd)) != NULL) {
        sync_body(fd, inode, fails);
    } else if (disk != NULL && !fails) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = '\0';
        folder_sync(path);
    }
    if (fails && inode != NULL && faults.dies)
        faults.on_crash();
    pthread_mutex_unlock(&faults.mutex);
    errno = EIO;
    return fails ? -1 : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    unsigned mode = 0;
    bool nameless = (flags & O_TMPFILE) == O_TMPFILE;

    va_start(ap, flags);
    if ((flags & O_CREAT) != 0 || nameless)
        mode = va_arg(ap, unsigned);
    va_end(ap);
    if ((nameless || (flags & O_DIRECTORY) != 0 || is_body(path)) && fault(CALL_OPEN)) {
        errno = EMFILE;
        return -1;
    }
    int fd = __real_open(path, flags, mode);
    if (nameless && fd >= 0 && disk != NULL) {
        pthread_mutex_lock(&faults.mutex);
        inode_begins(fd);
        pthread_mutex_unlock(&faults.mutex);
    }
    return fd;
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
    pthread_mutex_lock(&faults.mutex);
    struct inode *inode = inode_of(fd);
    bool fails = inode != NULL && is_fault(CALL_WRITE);
    ssize_t done = __real_pwrite(fd, p, fails ? n / 2 : n, at);
    if (inode != NULL && done > 0)
        inode_change(inode, at, p, (size_t)done);
    pthread_mutex_unlock(&faults.mutex);
    if (fails)
        errno = why_it_fails();
    return fails ? -1 : done;
}

ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = inode_of(fd) != NULL && is_fault(CALL_READ);
    pthread_mutex_unlock(&faults.mutex);
    if (!fails)
        return __real_pread(fd, p, n, at);
    errno = EIO;
    return -1;
}

ssize_t __wrap_preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = inode_of(fd) != NULL && is_fault(CALL_READ);
    pthread_mutex_unlock(&faults.mutex);
    if (!fails)
        return __real_preadv2(fd, v, n, at, flags);
    errno = EIO;
    return -1;
}

int __wrap_linkat(int from, const char *old, int to, const char *path, int flags)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_NAME);
    int rc = fails ? -1 : __real_linkat(from, old, to, path, flags), cause = fails ? why_it_fails() : errno;
    if (rc == 0 && disk != NULL) {
        const char *number = strrchr(old, '/');
        shadow_of(path)->now = inode_of(atoi(number + 1));
    }
    pthread_mutex_unlock(&faults.mutex);
    errno = cause;
    return rc;
}

int __wrap_unlink(const char *path)
{
    if (!is_body(path) || disk == NULL)
        return __real_unlink(path);
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_DELETE);
    int rc = fails ? -1 : __real_unlink(path);
    if (rc == 0)
        shadow_of(path)->now = NULL;
    pthread_mutex_unlock(&faults.mutex);
    if (fails)
        errno = EIO;
    return rc;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = is_fault(CALL_NAME);
    int rc = fails ? -1 : __real_mkdir(path, mode), cause = fails ? why_it_fails() : errno;
    if (rc == 0 && disk != NULL)
        disk->folder_now = true;
    pthread_mutex_unlock(&faults.mutex);
    errno = cause;
    return rc;
}

int __wrap_rmdir(const char *path)
{
    int rc = __real_rmdir(path);

    if (rc == 0 && disk != NULL)
        disk->folder_now = false;
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
