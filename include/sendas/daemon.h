/* sendas/daemon.h - wires listeners, submission, queue and delivery to the event loop; signals, reload, systemd. */
#ifndef SENDAS_DAEMON_H
#define SENDAS_DAEMON_H

/* Runs the daemon in the foreground until SIGTERM or SIGINT.  Logs event=ready and tells systemd READY=1 once every
 * listener accepts.  Returns the exit code: 0 after an orderly stop, 1 when it could not start (a port in use ...),
 * 2 for a configuration error; the reason went to stderr. */
int daemon_run(const char *config_path);

#endif
