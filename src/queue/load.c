/* load.c - what the store gives back: envelopes, and content chunk by chunk. */
#include "statements.h"

#include <stdlib.h>
#include <string.h>

static char *column_copy(struct run *r, int column)
{
    const char *text = (const char *)sqlite3_column_text(r->st, column);
    char *copy = strdup(text != NULL ? text : "");

    if (copy == NULL)
        r->rc = SQLITE_NOMEM;
    return copy;
}

static int load_message(struct store *s, struct item *it)
{
    struct queue_item *q = &it->item;
    struct run r = run_of(s, SQL_LOAD_MESSAGE);

    run_number(&r, q->message_row);
    if (run_row(&r)) {
        q->sender = column_copy(&r, 0);
        q->bounce_to = column_copy(&r, 1);
        q->user = column_copy(&r, 2);
        q->envid = column_copy(&r, 3);
        q->message_id = column_copy(&r, 4);
        q->ret = sqlite3_column_int(r.st, 5);
        q->smtputf8 = sqlite3_column_int(r.st, 6) != 0;
        q->eightbit = sqlite3_column_int(r.st, 7) != 0;
        q->size = (uint64_t)sqlite3_column_int64(r.st, 8);
    } else {
        it->gone = r.rc == SQLITE_OK;
    }
    return run_end(&r);
}

/* True when the recipient is still there. */
static bool load_recipient(struct store *s, int64_t key, struct queue_item_recipient *to, int *rc)
{
    struct run r = run_of(s, SQL_LOAD_RECIPIENT);

    run_number(&r, key);
    bool found = run_row(&r);
    if (found) {
        to->row = key;
        to->address = column_copy(&r, 0);
        to->orcpt = column_copy(&r, 1);
        to->notify = (unsigned)sqlite3_column_int(r.st, 2);
        to->attempts = (unsigned)sqlite3_column_int(r.st, 3);
        to->warned = sqlite3_column_int(r.st, 4) != 0;
    }
    *rc = run_end(&r);
    return found;
}

int store_load(struct store *s, struct item *it)
{
    struct entry *e = it->entry;
    int rc = load_message(s, it);

    if (rc != SQLITE_OK || it->gone)
        return rc;
    it->item.recipients = calloc(e->n, sizeof(*it->item.recipients));
    it->rows = calloc(e->n, sizeof(*it->rows));
    if (it->item.recipients == NULL || it->rows == NULL)
        return SQLITE_NOMEM;
    unsigned n = 0;
    for (unsigned i = 0; rc == SQLITE_OK && i < e->n; i++) {
        /* n_recipients also covers one that was half copied, for item_free */
        bool found = load_recipient(s, key_of(e->message_row, e->index[i]), &it->item.recipients[n], &rc);
        if (found)
            e->index[n++] = e->index[i];
        it->item.n_recipients = n;
    }
    if (rc == SQLITE_OK) {
        e->n = n;
        it->gone = n == 0;
    }
    return rc;
}

/* The row's octets, none if there is no row.  .p is NULL only when it fails. */
static int copy_blob(struct run *r, bool found, struct slice *ret)
{
    const void *bytes = found ? sqlite3_column_blob(r->st, 0) : NULL;
    size_t n = bytes != NULL ? (size_t)sqlite3_column_bytes(r->st, 0) : 0;
    char *copy = found && n == 0 ? NULL : malloc(n + 1);

    if (copy != NULL && n > 0)
        memcpy(copy, bytes, n);
    *ret = (struct slice){copy, n};
    return copy != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

/* A chunk of which the table has `have`, which is all that stands before the body, and the file the rest;
 * SQLITE_NOTFOUND when there is no such file. */
static int read_file(struct store *s, struct read *read, struct slice have)
{
    struct run r = run_of(s, SQL_FILE);
    uint64_t offset = (uint64_t)read->index * QUEUE_CHUNK, at = offset + have.n;

    run_number(&r, read->message_row);
    if (run_row(&r)) {
        const char *id = (const char *)sqlite3_column_text(r.st, 0);
        uint64_t head = (uint64_t)sqlite3_column_int64(r.st, 1), size = (uint64_t)sqlite3_column_int64(r.st, 2);
        size_t n = size <= offset ? 0 : size - offset < QUEUE_CHUNK ? (size_t)(size - offset) : QUEUE_CHUNK;
        char *bytes = malloc(n + 1);
        read->bytes = slice_from(bytes, n);
        if (id == NULL || bytes == NULL)
            r.rc = SQLITE_NOMEM;
        else if (have.n >= n || (have.n == 0 ? head > offset : head != at))
            r.rc = SQLITE_CORRUPT;
        else
            r.rc = content_read(s->folder, id, at - head, bytes + have.n, n - have.n);
        if (r.rc == SQLITE_OK && have.n > 0)
            memcpy(bytes, have.p, have.n);
    } else if (r.rc == SQLITE_OK) {
        r.rc = SQLITE_NOTFOUND;
    }
    return run_end(&r);
}

/* A chunk that has not its sum lacks what is in the file, or is damaged. */
static int read_summed(struct store *s, struct run *r, struct read *read)
{
    struct slice have = {sqlite3_column_blob(r->st, 0), (size_t)sqlite3_column_bytes(r->st, 0)};
    int64_t sum = sqlite3_column_int64(r->st, 1);

    if (store_sum(have) == sum)
        return copy_blob(r, true, &read->bytes);
    int rc = have.n < QUEUE_CHUNK ? read_file(s, read, have) : SQLITE_CORRUPT;
    return rc == SQLITE_OK && store_sum(read->bytes) != sum ? SQLITE_CORRUPT : rc;
}

/* One look at the chunk. */
static int read_chunk(struct store *s, struct read *read)
{
    struct run r = run_of(s, SQL_READ_CHUNK);

    run_number(&r, key_of(read->message_row, read->index));
    bool found = run_row(&r), summed = found && sqlite3_column_type(r.st, 1) != SQLITE_NULL;
    if (r.rc == SQLITE_OK)
        r.rc = summed ? read_summed(s, &r, read) : copy_blob(&r, found, &read->bytes);
    int rc = run_end(&r);
    if (rc != SQLITE_OK) {
        free((char *)read->bytes.p);
        read->bytes = (struct slice){NULL, 0};
    }
    return rc;
}

int store_read(struct store *s, struct read *read)
{
    int rc = read_chunk(s, read);

    /* Another process may just have removed the message: then its row is gone, too. */
    if (rc == SQLITE_NOTFOUND)
        rc = read_chunk(s, read);
    return rc == SQLITE_NOTFOUND ? SQLITE_CORRUPT : rc;
}

bool store_is_whole(struct store *s, int64_t message_row, uint64_t size)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < CHUNKS_MAX; i++) {
        struct read read = {.message_row = message_row, .index = i};
        if (store_read(s, &read) != SQLITE_OK)
            return false;
        n += read.bytes.n;
        bool end = read.bytes.n == 0;
        free((char *)read.bytes.p);
        if (end)
            break;
    }
    return n == size;
}
