/* clock.c - clocks, random names, and forgetting. */
#include "sendas/base.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int random_name(char *out, size_t n)
{
    static const char letters[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
    size_t have = 0;
    while (have < n) {
        unsigned char bytes[64];
        ssize_t got = getrandom(bytes, sizeof(bytes), 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        for (size_t i = 0; i < (size_t)got && have < n; i++) {
            /* Five bits name 32 letters and there are 31: drawing again keeps them equally likely. */
            unsigned v = bytes[i] & 31;
            if (v < sizeof(letters) - 1)
                out[have++] = letters[v];
        }
    }
    out[n] = '\0';
    return 0;
}

void wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}
