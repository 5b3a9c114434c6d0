/* What a machine needs for the daemon and has not yet: the account that it runs as, and the running service. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool account_exists(void)
{
    char strings[4096];
    struct passwd entry, *user = NULL;
    return getpwnam_r(DAEMON_USER, &entry, strings, sizeof(strings), &user) == 0 && user != NULL;
}

/* What it says goes nowhere.  True: it ended with 0. */
static bool run_quietly(char *const *argv)
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1;
    if (access(argv[0], X_OK) < 0 || posix_spawn_file_actions_init(&actions) != 0)
        return false;
    bool ok = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
              posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
              posix_spawn(&child, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    while (ok && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int account_make(struct err *err)
{
    static const char *const commands[][12] = {
        {"/usr/bin/systemd-sysusers", "sendas.conf", NULL},
        {"/bin/systemd-sysusers", "sendas.conf", NULL},
        {"/usr/sbin/useradd", "--system", "--user-group", "--home-dir", DAEMON_HOME, "--no-create-home", "--shell",
         "/usr/sbin/nologin", "--comment", "sendas mail submission relay", DAEMON_USER, NULL},
        {"/usr/sbin/adduser", "-S", "-D", "-H", "-h", DAEMON_HOME, "-s", "/sbin/nologin", DAEMON_USER, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(commands) && !account_exists(); i++)
        run_quietly((char *const *)commands[i]);
    return account_exists() ? 0 : err_set(err, "no account %s could be made", DAEMON_USER);
}

int account_make_home(struct err *err)
{
    char strings[4096];
    struct passwd entry, *user = NULL;
    if (access(DAEMON_HOME, F_OK) == 0 || getpwnam_r(DAEMON_USER, &entry, strings, sizeof(strings), &user) != 0 ||
        user == NULL)
        return 0;
    if (dir_make(DAEMON_HOME, 0700, err) < 0)
        return -1;
    if (chown(DAEMON_HOME, user->pw_uid, user->pw_gid) < 0)
        return err_set(err, "cannot give %s to %s: %s", DAEMON_HOME, DAEMON_USER, strerror(errno));
    return 0;
}

enum service_state service_start(void)
{
    static const char *const know[] = {"/bin/systemctl", "cat", "sendas.service", NULL};
    static const char *const start[] = {"/bin/systemctl", "enable", "--now", "sendas.service", NULL};
    if (access("/run/systemd/system", F_OK) < 0 || !run_quietly((char *const *)know))
        return SERVICE_NONE;
    return run_quietly((char *const *)start) ? SERVICE_STARTED : SERVICE_FAILED;
}
