/* A disk that fails on demand, put before sendas by LD_PRELOAD: what concerns the queue's files, and the memory of the
 * thread that writes them.
 *
 * The file that DISK names is mapped.  A test writes there which calls fail, and with which errno; it reads how many did. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum call { WRITES = 1, SYNCS = 2, OPENS = 4, TRUNCATES = 8, MEMORY = 16 };

struct disk {
    atomic_uint calls, error; /* by the test */
    atomic_uint failed;       /* by us */
};

static struct disk *disk;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        _exit(99);
    close(fd);
    disk = map;
}

static bool is_armed(enum call call)
{
    return disk != NULL && (atomic_load(&disk->calls) & call) != 0;
}

static bool fail(void)
{
    atomic_fetch_add(&disk->failed, 1);
    errno = (int)atomic_load(&disk->error);
    return true;
}

/* The queue's files only, and those without a name that will be: not the log, not the configuration. */
static bool is_ours(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, "queue.db") != NULL || strstr(path, "/#") != NULL;
}

static bool fails(enum call call, int fd)
{
    return is_armed(call) && is_ours(fd) && fail();
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    NEXT(pwrite);
    return fails(WRITES, fd) ? -1 : next(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    NEXT(pwrite64);
    return fails(WRITES, fd) ? -1 : next(fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    NEXT(write);
    return fails(WRITES, fd) ? -1 : next(fd, p, n);
}

int fsync(int fd)
{
    NEXT(fsync);
    return fails(SYNCS, fd) ? -1 : next(fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync);
    return fails(SYNCS, fd) ? -1 : next(fd);
}

int ftruncate(int fd, off_t n)
{
    NEXT(ftruncate);
    return fails(TRUNCATES, fd) ? -1 : next(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    NEXT(ftruncate64);
    return fails(TRUNCATES, fd) ? -1 : next(fd, n);
}

static unsigned mode_of(int flags, va_list ap)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, unsigned) : 0;
}

static bool open_fails(const char *path)
{
    return is_armed(OPENS) && strstr(path, "queue") != NULL && fail();
}

int open(const char *path, int flags, ...)
{
    NEXT(open);
    va_list ap;
    va_start(ap, flags);
    unsigned mode = mode_of(flags, ap);
    va_end(ap);
    return open_fails(path) ? -1 : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    NEXT(open64);
    va_list ap;
    va_start(ap, flags);
    unsigned mode = mode_of(flags, ap);
    va_end(ap);
    return open_fails(path) ? -1 : next(path, flags, mode);
}

/* ---- memory: not where a sanitizer has its own ---------------------------------------------------------------- */

#ifdef WITH_MEMORY
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static bool is_out_of_memory(void)
{
    char name[16] = "";
    if (!is_armed(MEMORY) || prctl(PR_GET_NAME, name) < 0 || strcmp(name, "store") != 0)
        return false;
    atomic_fetch_add(&disk->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return is_out_of_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return is_out_of_memory() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return is_out_of_memory() ? NULL : __libc_realloc(p, n);
}
#endif
