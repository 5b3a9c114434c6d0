/* Faults on demand, put before a program by LD_PRELOAD.
 *
 * The file that FAULTS names is mapped: a test writes there what is to fail, and reads how often it did.  What `kind`
 * names fails from its call number `after` on, `count` times.  Calls of the libraries count too. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind {
    NOTHING = 0,
    SIGN_FAILS, /* EVP_DigestSign */
    SIGN_BIT,   /* bit `value` of its output is flipped */
    SIGN_SHORT, /* its output lacks the last octet, and is said to */
    HASH_BIT,   /* bit `value` of what EVP_DigestFinal_ex gives is flipped */
    HASH_FAILS,
    NO_MEMORY,  /* malloc, calloc, realloc, reallocarray */
    READ_SHORT, /* pread of a file without a name: the spool; one octet at a time */
    READ_ENDS,  /* ... as if the file were cut */
    READ_FAILS,
    READ_DAMAGED, /* ... the octet at `value`, whenever it is read */
    WRITE_SHORT,  /* pwrite of it */
    WRITE_FULL
};

struct faults {
    atomic_uint kind, after, count, value; /* by the test */
    atomic_uint calls, injected;           /* by us */
};

static struct faults *faults;
static int (*real_sign)(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
static int (*real_final)(EVP_MD_CTX *, unsigned char *, unsigned *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    real_sign = (int (*)(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t))dlsym(
        RTLD_NEXT, "EVP_DigestSign");
    real_final = (int (*)(EVP_MD_CTX *, unsigned char *, unsigned *))dlsym(RTLD_NEXT, "EVP_DigestFinal_ex");
    if (map == MAP_FAILED)
        _exit(99);
    close(fd);
    faults = map;
}

static bool is_armed(enum kind kind)
{
    return faults != NULL && atomic_load(&faults->kind) == kind;
}

/* One call of what `kind` is about: does it fail? */
static bool strikes(enum kind kind)
{
    if (!is_armed(kind))
        return false;
    unsigned call = atomic_fetch_add(&faults->calls, 1), after = atomic_load(&faults->after);
    if (call < after || call - after >= atomic_load(&faults->count))
        return false;
    atomic_fetch_add(&faults->injected, 1);
    return true;
}

static void flip(unsigned char *p, size_t n)
{
    size_t bit = atomic_load(&faults->value) % (n * 8);
    p[bit / 8] ^= (unsigned char)(1U << bit % 8);
}

/* ---- signatures and hashes ------------------------------------------------------------------------------ */

int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *out, size_t *n, const unsigned char *in, size_t n_in)
{
    if (out == NULL)
        return real_sign(ctx, out, n, in, n_in);
    if (strikes(SIGN_FAILS))
        return 0;
    int ok = real_sign(ctx, out, n, in, n_in);
    if (ok == 1 && strikes(SIGN_BIT))
        flip(out, *n);
    if (ok == 1 && strikes(SIGN_SHORT))
        --*n;
    return ok;
}

int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *out, unsigned *n)
{
    unsigned length = 0;
    if (strikes(HASH_FAILS))
        return 0;
    int ok = real_final(ctx, out, &length);
    if (ok == 1 && length > 0 && strikes(HASH_BIT))
        flip(out, length);
    if (n != NULL)
        *n = length;
    return ok;
}

/* ---- memory: not where a sanitizer has its own ---------------------------------------------------------------- */

#ifdef WITH_MEMORY
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static bool is_out_of_memory(void)
{
    if (!strikes(NO_MEMORY))
        return false;
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

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t all;
    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, all);
}
#endif

/* ---- the spool --------------------------------------------------------------------------------------------- */

static bool is_spool(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0;
}

ssize_t pread(int fd, void *buf, size_t n, off_t offset)
{
    if (faults == NULL || atomic_load(&faults->kind) < READ_SHORT || !is_spool(fd))
        return syscall(SYS_pread64, fd, buf, n, offset);
    if (strikes(READ_ENDS))
        return 0;
    if (strikes(READ_FAILS)) {
        errno = EIO;
        return -1;
    }
    ssize_t done = syscall(SYS_pread64, fd, buf, strikes(READ_SHORT) ? 1 : n, offset);
    if (is_armed(READ_DAMAGED)) {
        size_t at = atomic_load(&faults->value);
        if (done > 0 && at >= (size_t)offset && at - (size_t)offset < (size_t)done && strikes(READ_DAMAGED))
            ((unsigned char *)buf)[at - (size_t)offset] ^= 1;
    }
    return done;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    if (faults == NULL || atomic_load(&faults->kind) < READ_SHORT || !is_spool(fd))
        return syscall(SYS_pwrite64, fd, buf, n, offset);
    if (strikes(WRITE_FULL)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, buf, strikes(WRITE_SHORT) ? 1 : n, offset);
}
