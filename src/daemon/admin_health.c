/* /healthz: does the daemon accept mail? */
#include "admin.h"

const char *admin_ill(const struct daemon *d)
{
    int64_t end = tls_server_end(d->tls_server);

    if (d->stopping)
        return "shutting down";
    if (tls_server_temporary(d->tls_server))
        return "there is no certificate yet";
    if (end <= clock_wall_ms() / 1000)
        return "the certificate has expired";
    if (queue_ailing(d->queue))
        return "the queue cannot be written";
    if (!server_storage_ok(d))
        return "the disk of the queue is full";
    return NULL;
}
