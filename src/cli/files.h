/* src/cli/files.h - what `key` and `setup` write, and who may read it. */
#ifndef SENDAS_CLI_FILES_H
#define SENDAS_CLI_FILES_H

#include "sendas/base.h"
#include "sendas/dkim.h"

#define DAEMON_USER "sendas"
#define DAEMON_HOME "/var/lib/sendas"

/* The account that the daemon runs as: by systemd-sysusers where the package's file is, otherwise by useradd. */
bool account_exists(void);
int account_make(struct err *err);
/* Its folder, where there is none. */
int account_make_home(struct err *err);

/* Enables and starts sendas.service, where systemd runs and knows it. */
enum service_state { SERVICE_NONE = 0, SERVICE_STARTED, SERVICE_FAILED };
enum service_state service_start(void);

/* Everything before the last slash; "." when there is none. */
struct slice directory_of(const char *path);
/* `path` without links and dots, made if it is not there. */
int directory_resolve(const char *path, struct strbuf *out, struct err *err);
/* mkdir -p; only directories that are made are given to the daemon. */
int directory_make(const char *path, struct err *err);
/* Where root sets up a daemon that has a user of its own, its group gets `path` with `mode`; elsewhere nothing changes.
 */
int give_to_daemon(const char *path, unsigned mode, struct err *err);
/* Of two commands that change something in DIR one waits for the other: otherwise it would write what it read before the other
 * wrote.  A descriptor to close, or -1 and why it is not to be had. */
int directory_lock(const char *dir, struct err *err);
/* The same for what an earlier run made before there was such an account: what belongs to root's group. */
int adopt_for_daemon(const char *path, struct err *err);

/* DIR/dkim/DOMAIN/SELECTOR.pem */
void key_path(struct strbuf *out, const char *dir, const char *domain, const char *selector);
/* Makes a key and writes it there, with the directories above; a file that exists is an error and stays. */
int key_create(const char *path, enum dkim_algorithm algorithm, unsigned bits, struct err *err);

#endif
