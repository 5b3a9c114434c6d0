/* reader.c - the thread that reads, on a connection of its own: no read waits for an fsync. */
#include "internal.h"

#include <stdlib.h>

static int answer(struct reader *r, struct request *request)
{
    if (r->store.db == NULL)
        return SQLITE_CANTOPEN;
    if (request->kind == REQUEST_READ)
        return store_read(&r->store, (struct read *)request);
    struct load *load = (struct load *)request;
    int rc = store_load(&r->store, load->item);
    load->ok = rc == SQLITE_OK && !load->item->gone;
    load->item->failed = rc != SQLITE_OK;
    load->item->passing = store_is_passing(rc);
    return rc;
}

enum { COMPLAIN_MS = 10 * 1000 };

/* What passes is tried often, and told now and then.  The item is not touched: of a read it may be gone. */
static void complain(struct reader *r, int rc, const struct request *request)
{
    bool load = request->kind == REQUEST_LOAD;
    const char *id = load ? ((const struct load *)request)->item->item.id : ((const struct read *)request)->id;

    if (store_is_passing(rc)) {
        int64_t now = clock_mono_ms();
        if (r->complained_ms != 0 && now < r->complained_ms + COMPLAIN_MS)
            return;
        r->complained_ms = now;
    }
    log_event(LOG_LEVEL_ERROR, "store", LOG_STR("queue", id), LOG_STR("path", r->path),
              LOG_STR("reason", sqlite3_errstr(rc)), LOG_NUM("code", rc));
    if (store_is_damage(rc))
        damage_mark(r->path);
}

void *reader_run(void *arg)
{
    struct reader *r = arg;
    struct requests taken, done;

    requests_init(&taken);
    requests_init(&done);
    while (lane_take(&r->lane, &taken, -1) || taken.head != NULL)
        for (struct request *request; (request = requests_pop(&taken)) != NULL;) {
            int rc = answer(r, request);
            if (rc != SQLITE_OK)
                complain(r, rc, request);
            requests_push(&done, request);
            lane_post(&r->lane, &done);
        }
    return NULL;
}
