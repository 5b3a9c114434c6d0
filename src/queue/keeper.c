/* keeper.c - the thread that gives the files of large bodies their names, so that no sync of one holds up another commit.
 *
 * A body that did not fit into its spool's memory is in a file already.  That file is given the name of its message, in
 * the folder `path`-content; it is synced, and so is the folder; and only then its row is committed.  Its octets are never
 * copied.
 *
 * All that waits is kept together: the disk writes the files at the same time, and one sync of the folder serves for all
 * their names.  Ten files of 1 MB are on the disk in 42 ms instead of 71; with 10 sessions that send 1 MB each, 0.1 ms
 * of CPU less a message. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COMPLAIN_MS = 10 * 1000,
    KEEP_TOGETHER_MAX = 64,
    KEEP_TOGETHER_BYTES_MAX = 16 * 1024 * 1024, /* so that a message waits for no more than this */
};

/* ---- names ----------------------------------------------------------------------------------- */

/* The folder, and its name on the disk: once in the life of a daemon, and when somebody has taken it away. */
static int make_folder(struct keeper *k)
{
    bool made = mkdir(k->folder, 0700) == 0;

    if (!made && errno != EEXIST)
        return -1;
    if (damage_sync_directory(k->folder) == 0) {
        k->has_folder = true;
        return 0;
    }
    int cause = errno;
    if (made)
        rmdir(k->folder); /* a sync that failed is not just repeated: the next one is of another folder */
    errno = cause;
    return -1;
}

static int name_it(struct keeper *k, struct spool *body, const char *name)
{
    if (!k->has_folder && make_folder(k) < 0)
        return -1;
    if (spool_link(body, name) == 0)
        return 0;
    if (errno != ENOENT || make_folder(k) < 0)
        return -1;
    return spool_link(body, name);
}

/* Does it say that the disk fails, or the system, and not that this one cannot give a name to such a file? */
static bool is_failure(int cause)
{
    switch (cause) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EEXIST:
        return true;
    default:
        return false;
    }
}

/* 0; 1: not as a file; -1 and errno: it has no name. */
static int flush_and_name(struct keeper *k, const struct put *p)
{
    char name[PATH_MAX];

    if (content_file(k->folder, p->m.id, name) < 0)
        return 1;
    if (spool_flush(p->m.body) < 0)
        return -1;
    if (name_it(k, p->m.body, name) < 0)
        return is_failure(errno) ? -1 : 1;
    return 0;
}

/* ---- how it went ----------------------------------------------------------------------------- */

/* Told now and then, not for each of a thousand messages. */
static void complain(struct keeper *k, int cause)
{
    int64_t now = clock_mono_ms();

    if (k->ailing && now < k->complained_ms + COMPLAIN_MS)
        return;
    k->ailing = true;
    k->complained_ms = now;
    log_event(LOG_LEVEL_ERROR, "store", LOG_STR("path", k->folder), LOG_STR("reason", "a file cannot be stored"),
              LOG_STR("cause", strerror(cause)));
}

static void recovered(struct keeper *k)
{
    if (!k->ailing)
        return;
    k->ailing = false;
    log_event(LOG_LEVEL_INFO, "store", LOG_STR("path", k->folder), LOG_STR("reason", "works again"));
}

static void fail(struct keeper *k, struct put *p, int cause, struct requests *failed)
{
    p->status = cause == EEXIST ? QUEUE_FAILED : QUEUE_FULL;
    complain(k, cause);
    requests_push(failed, &p->request);
}

/* It made a name that is not certain to be on the disk.  Who made a name has to sync it, or to take it away: when a sync
 * failed, nobody knows what the next one of the same folder is worth to the names that were there. */
static void take_back(struct keeper *k, struct put *p, int cause, struct requests *failed)
{
    content_drop(k->folder, p->m.id);
    fail(k, p, cause, failed);
}

/* ---- a group --------------------------------------------------------------------------------- */

/* Those that have a name now, into `named`; those that do not become a file, into `plain`. */
static void name_all(struct keeper *k, struct requests *group, struct requests *named, struct requests *plain,
                     struct requests *failed)
{
    for (struct request *r; (r = requests_pop(group)) != NULL;) {
        struct put *p = (struct put *)r;
        int rc = flush_and_name(k, p);
        if (rc < 0)
            fail(k, p, errno, failed);
        else
            requests_push(rc == 0 ? named : plain, r);
    }
}

/* The files, each by itself, then the folder with all of their names. */
static void sync_all(struct keeper *k, struct requests *named, struct requests *kept, struct requests *failed)
{
    char name[PATH_MAX];

    for (const struct request *r = named->head; r != NULL; r = r->next)
        spool_write_out(((const struct put *)r)->m.body);
    for (struct request *r; (r = requests_pop(named)) != NULL;) {
        struct put *p = (struct put *)r;
        p->in_file = spool_sync(p->m.body) == 0;
        if (p->in_file)
            requests_push(kept, r);
        else
            take_back(k, p, errno, failed);
    }
    if (kept->head == NULL || (content_file(k->folder, ((const struct put *)kept->head)->m.id, name) == 0 &&
                               damage_sync_directory(name) == 0))
        return;
    int cause = errno;
    for (struct request *r; (r = requests_pop(kept)) != NULL;) {
        ((struct put *)r)->in_file = false;
        take_back(k, (struct put *)r, cause, failed);
    }
}

static void keep(struct keeper *k, struct requests *group)
{
    struct requests named, kept, failed;

    requests_init(&named);
    requests_init(&kept);
    requests_init(&failed);
    name_all(k, group, &named, &kept, &failed);
    lane_submit_all(k->writer, &kept);
    sync_all(k, &named, &kept, &failed);
    if (failed.head == NULL)
        recovered(k);
    lane_submit_all(k->writer, &kept);
    lane_post(&k->lane, &failed);
}

/* What of it is kept together. */
static void collect(struct requests *taken, struct requests *group)
{
    uint64_t bytes = 0;

    requests_init(group);
    for (size_t n = 0; taken->head != NULL && n < KEEP_TOGETHER_MAX && bytes < KEEP_TOGETHER_BYTES_MAX; n++) {
        struct request *r = requests_pop(taken);
        bytes += ((const struct put *)r)->size;
        requests_push(group, r);
    }
}

void *keeper_run(void *arg)
{
    struct keeper *k = arg;
    struct requests taken, group;

    requests_init(&taken);
    while (lane_take(&k->lane, &taken, taken.head != NULL ? 0 : -1) || taken.head != NULL) {
        collect(&taken, &group);
        keep(k, &group);
    }
    return NULL;
}
