/* reload.json, beside the queue: what was wrong with the last reload, for `sendas check`.  There is none when nothing was. */
#include "internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOTE_MODE = 0600, NOTE_MAX = 64 * 1024 };

/* Written on a worker, one after the other. */
struct reload_note {
    struct daemon *daemon;
    struct strbuf path; /* as it was at the start: beside the queue that is open */
    struct strbuf text, wanted;
    bool under_way, again;
};

static int note_path(const struct config *c, struct strbuf *out)
{
    file_beside(c->queue.path, "reload.json", out);
    return out->failed ? -1 : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* That it cannot be written is no reason to stop: the log has told what it would. */
static void note_run(void *job)
{
    struct reload_note *n = job;
    struct err err;
    if (n->text.n == 0)
        unlink(strbuf_str(&n->path));
    else
        file_write(strbuf_str(&n->path), strbuf_slice(&n->text), NOTE_MODE, &err);
}

static void note_done(void *job);

static void note_write(struct reload_note *n)
{
    strbuf_reset(&n->text);
    strbuf_add_slice(&n->text, strbuf_slice(&n->wanted));
    n->again = false;
    n->under_way = workers_submit(n->daemon->workers, WORK_SIGN, note_run, note_done, n) == 0;
}

static void note_done(void *job)
{
    struct reload_note *n = job;
    n->under_way = false;
    if (n->again && n->daemon->workers != NULL) /* otherwise the daemon ends */
        note_write(n);
}

void reload_note_set(struct daemon *d, const char *error)
{
    struct reload_note *n = d->reload_note;
    const char *told = error == NULL || slice_is_utf8(slice_of(error)) ? error : "the log tells why";
    json_t *doc =
        told == NULL ? NULL : json_pack("{s:I, s:s}", "at", (json_int_t)(clock_wall_ms() / 1000), "error", told);
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);

    strbuf_reset(&n->wanted);
    strbuf_add_str(&n->wanted, text == NULL ? "" : text);
    n->again = true;
    if (!n->under_way)
        note_write(n);
    free(text);
    json_decref(doc);
}

/* ---- its life -------------------------------------------------------------------------------- */

int reload_note_start(struct daemon *d, struct err *err)
{
    struct reload_note *n = calloc(1, sizeof(*n));

    d->reload_note = n;
    if (n == NULL || note_path(d->settings->config, &n->path) < 0)
        return err_set(err, "out of memory");
    n->daemon = d;
    unlink(strbuf_str(&n->path)); /* of an earlier life */
    return 0;
}

void reload_note_stop(struct daemon *d)
{
    struct reload_note *n = d->reload_note;

    d->reload_note = NULL;
    if (n == NULL)
        return;
    strbuf_free(&n->path);
    strbuf_free(&n->text);
    strbuf_free(&n->wanted);
    free(n);
}

/* ---- for commands ---------------------------------------------------------------------------- */

int daemon_reload_failed(const struct config *c, int64_t *at, struct strbuf *error)
{
    struct strbuf path = STRBUF_INIT, text = STRBUF_INIT;
    json_t *doc = NULL;
    struct err err;

    if (note_path(c, &path) == 0 && access(strbuf_str(&path), F_OK) == 0 &&
        file_read(strbuf_str(&path), NOTE_MAX, false, &text, &err) == 0)
        doc = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    const char *reason = json_string_value(json_object_get(doc, "error"));
    *at = json_integer_value(json_object_get(doc, "at"));
    strbuf_add_str(error, reason == NULL ? "" : reason);
    json_decref(doc);
    strbuf_free(&path);
    strbuf_free(&text);
    return error->n > 0 ? 1 : 0;
}
