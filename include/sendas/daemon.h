/* sendas/daemon.h - wires listeners, submission, queue and delivery to the event loop; signals, reload, systemd. */
#ifndef SENDAS_DAEMON_H
#define SENDAS_DAEMON_H

#include "sendas/base.h"
#include "sendas/config.h"

/* Runs the daemon in the foreground until SIGTERM or SIGINT.  Logs event=ready and tells systemd READY=1 once every
 * listener accepts.  Returns the exit code: 0 after an orderly stop, 1 when it could not start (a port in use ...),
 * 2 for a configuration error; the reason went to stderr. */
int daemon_run(const char *config_path);

/* For commands: did the last reload of the running daemon fail?  1: when (seconds since 1970), and the reason is added to
 * `error`; 0: it did not, there was none, or nothing is known of it. */
int daemon_reload_failed(const struct config *c, int64_t *at, struct strbuf *error);

#endif
