/* mend.c - what a sync that failed may have cost is made good; and the log goes back into the file.
 *
 * When a sync fails, Linux forgets the pages that it could not write: they stay readable and count as written, and the
 * next sync says that all is well.  Two things go wrong with that:
 *
 *   - Who opens a log that nobody else has open reads its index from the log itself, and so takes in a commit whose sync
 *     failed.  What is committed behind it is lost with a power cut, since the log ends where the disk has a gap.
 *   - A checkpoint that stops at a reader counts its pages as copied without a sync (SQLite's wal.c, walCheckpoint).
 *     The sync of a later one fails, and does not have them any more; the sync after that succeeds, and the log is
 *     begun anew over the only copy.
 *
 * So a log that is taken over, and any after an I/O error, is first written once more where it stands, octet by octet
 * the same, and synced; and all of it counts as not copied back.  Nothing is committed before that.  The layout of the
 * index is part of SQLite's documentation (walformat.html), as are its locks. */
#include "internal.h"

#include <errno.h>
#include <string.h>

enum {
    LOG_HEADER = 32,
    FRAME_HEADER = 24,
    INDEX_REGION = 32768,
    INDEX_PAGE_SIZE = 14, /* 16 bit */
    INDEX_FRAMES = 16,    /* the others 32 */
    INDEX_COPIED = 96,
    LOCK_CHECKPOINT = 1,
    LOCK_TRIES = 100,
    LOCK_WAIT_MS = 50,
    BLOCK = 64 * 1024
};

struct log {
    sqlite3_file *file, *log;
    volatile unsigned char *index;
};

static uint32_t index_number(const struct log *l, size_t at)
{
    return *(const volatile uint32_t *)(l->index + at);
}

/* How much of the log counts. */
static sqlite3_int64 log_size(const struct log *l)
{
    uint16_t page = *(const volatile uint16_t *)(l->index + INDEX_PAGE_SIZE);
    sqlite3_int64 frames = index_number(l, INDEX_FRAMES);

    return frames > 0 ? LOG_HEADER + frames * (FRAME_HEADER + (page == 1 ? 65536 : page)) : 0;
}

static int write_again(const struct log *l)
{
    char block[BLOCK];
    sqlite3_int64 size = log_size(l);
    int rc = SQLITE_OK;

    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += BLOCK) {
        int n = size - at < BLOCK ? (int)(size - at) : BLOCK;
        rc = l->log->pMethods->xRead(l->log, block, n, at);
        if (rc == SQLITE_OK)
            rc = l->log->pMethods->xWrite(l->log, block, n, at);
    }
    return rc == SQLITE_OK && size > 0 ? l->log->pMethods->xSync(l->log, SQLITE_SYNC_NORMAL) : rc;
}

static int find_parts(struct store *s, struct log *l)
{
    void volatile *index = NULL;
    int rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, (void *)&l->file);

    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&l->log);
    if (rc == SQLITE_OK)
        rc = l->file->pMethods->xShmMap(l->file, 0, INDEX_REGION, 0, &index);
    l->index = index;
    return rc == SQLITE_OK && (index == NULL || l->log->pMethods == NULL) ? SQLITE_CANTOPEN : rc;
}

/* With the lock of writers: nobody else adds to the log, or begins it anew. */
static int mend(struct store *s)
{
    struct log l = {0};
    int rc = find_parts(s, &l);

    if (rc != SQLITE_OK)
        return rc;
    for (int i = 0; i < LOCK_TRIES; i++) { /* somebody may be copying back with a tool of his own */
        rc = l.file->pMethods->xShmLock(l.file, LOCK_CHECKPOINT, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
        if (rc != SQLITE_BUSY)
            break;
        sqlite3_sleep(LOCK_WAIT_MS);
    }
    if (rc != SQLITE_OK)
        return rc;
    rc = write_again(&l);
    if (rc == SQLITE_OK)
        *(volatile uint32_t *)(l.index + INDEX_COPIED) = 0;
    l.file->pMethods->xShmLock(l.file, LOCK_CHECKPOINT, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    return rc;
}

/* Where the file lost what a checkpoint had put there, pages that were read before this are of an older state. */
int store_mend(struct store *s)
{
    int rc = store_begin(s);

    if (rc == SQLITE_OK)
        rc = mend(s);
    store_rollback(s);
    sqlite3_db_release_memory(s->db);
    return rc;
}

int store_copy_back(struct store *s)
{
    int frames = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);

    if (rc == SQLITE_OK && copied == frames)
        s->frames = 0;
    return rc == SQLITE_BUSY ? SQLITE_OK : rc;
}
