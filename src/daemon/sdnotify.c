/* What systemd wants to be told: a line of text in a datagram (sd_notify(3)). */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void sdnotify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@') || path[1] == '\0' || strlen(path) >= sizeof(to.sun_path))
        return;
    size_t n = strlen(path);
    memcpy(to.sun_path, path, n);
    if (to.sun_path[0] == '@') /* the abstract name space */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, length) < 0)
        log_event(LOG_LEVEL_WARN, "systemd", LOG_STR("socket", path), LOG_STR("error", strerror(errno)));
    close(fd);
}

void sdnotify_reloading(void)
{
    struct timespec now;
    char text[96];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    sdnotify(text);
}

int64_t sdnotify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t interval, owner;

    if (usec == NULL || slice_to_u64(slice_of(usec), &interval) < 0 || interval == 0)
        return 0;
    if (pid != NULL && (slice_to_u64(slice_of(pid), &owner) < 0 || owner != (uint64_t)getpid()))
        return 0;
    int64_t half_ms = (int64_t)(interval / 2000);
    return half_ms < 1 ? 1 : half_ms;
}
