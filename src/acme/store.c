/* The files.  Chain and key change together: both are written beside the old ones first, and what a crash leaves between the two
 * renames is finished at the next start.
 *
 *   privkey.pem.new written     nothing has happened yet: removed
 *   fullchain.pem.new written   the new pair is there: both are renamed, the key first */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char new_suffix[] = ".new";
static const char chain_name[] = "fullchain.pem", key_name[] = "privkey.pem";

static const char *path_in(const char *dir, const char *name, const char *suffix, struct strbuf *out)
{
    strbuf_reset(out);
    strbuf_addf(out, "%s/%s%s", dir, name, suffix);
    return strbuf_str(out);
}

void acme_path(const struct config *c, const char *name, struct strbuf *out)
{
    path_in(c->tls.acme->dir, name, "", out);
}

/* ---- chain and key --------------------------------------------------------------------------- */

static int sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? err_set(err, "cannot sync %s: %s", dir, strerror(errno)) : 0;

    if (fd >= 0)
        close(fd);
    return rc;
}

/* 0 also when there is nothing to rename. */
static int take_up(const char *dir, const char *name, struct err *err)
{
    struct strbuf from = STRBUF_INIT, to = STRBUF_INIT;
    int rc = 0;

    path_in(dir, name, new_suffix, &from);
    path_in(dir, name, "", &to);
    if (from.failed || to.failed)
        rc = err_set(err, "out of memory");
    else if (rename(strbuf_str(&from), strbuf_str(&to)) < 0 && errno != ENOENT)
        rc = err_set(err, "cannot rename %s: %s", strbuf_str(&from), strerror(errno));
    strbuf_free(&from);
    strbuf_free(&to);
    return rc;
}

static int finish(const char *dir, struct err *err)
{
    return take_up(dir, key_name, err) < 0 || take_up(dir, chain_name, err) < 0 ? -1 : sync_dir(dir, err);
}

void acme_recover(const struct config *c)
{
    const char *dir = c->tls.acme->dir;
    struct strbuf path = STRBUF_INIT;
    struct err err = {.text = ""};

    if (access(path_in(dir, chain_name, new_suffix, &path), F_OK) == 0) {
        if (finish(dir, &err) < 0)
            log_event(LOG_LEVEL_WARN, "certificate", LOG_STR("reason", err.text));
    } else
        unlink(path_in(dir, key_name, new_suffix, &path));
    strbuf_free(&path);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_file(const char *dir, const char *name, const char *suffix, const struct strbuf *bytes,
                      struct err *err)
{
    struct strbuf path = STRBUF_INIT;

    if (bytes->n == 0)
        return 0;
    path_in(dir, name, suffix, &path);
    int rc =
        path.failed ? err_set(err, "out of memory") : file_write(strbuf_str(&path), strbuf_slice(bytes), 0600, err);
    strbuf_free(&path);
    return rc;
}

/* A chain that an earlier attempt has left is not to be taken for that of a new key. */
static int forget_new(const char *dir, struct err *err)
{
    struct strbuf path = STRBUF_INIT;
    int rc = 0;

    if (unlink(path_in(dir, chain_name, new_suffix, &path)) < 0 && errno != ENOENT)
        rc = err_set(err, "cannot remove %s: %s", strbuf_str(&path), strerror(errno));
    strbuf_free(&path);
    return rc;
}

static int save(const struct acme_save *s, struct err *err)
{
    const char *dir = strbuf_str(&s->dir);

    if (s->dir.failed || s->account.failed || s->key.failed || s->chain.failed || s->state.failed)
        return err_set(err, "out of memory");
    if (dir_make(dir, 0700, err) < 0 || forget_new(dir, err) < 0 ||
        write_file(dir, "account.pem", "", &s->account, err) < 0 ||
        write_file(dir, key_name, new_suffix, &s->key, err) < 0 ||
        write_file(dir, chain_name, new_suffix, &s->chain, err) < 0 || (s->chain.n > 0 && finish(dir, err) < 0))
        return -1;
    return write_file(dir, "state.json", "", &s->state, err);
}

struct acme_save *acme_save_new(const struct config *c)
{
    struct acme_save *s = calloc(1, sizeof(*s));
    if (s != NULL)
        strbuf_add_str(&s->dir, c->tls.acme->dir);
    return s;
}

static void wipe_free(struct strbuf *b)
{
    if (b->p != NULL)
        wipe(b->p, b->cap);
    strbuf_free(b);
}

void acme_save_free(struct acme_save **ps)
{
    struct acme_save *s = *ps;

    if (s == NULL)
        return;
    *ps = NULL;
    wipe_free(&s->account);
    wipe_free(&s->key);
    strbuf_free(&s->dir);
    strbuf_free(&s->chain);
    strbuf_free(&s->state);
    free(s);
}

static void run(void *job)
{
    struct acme_save *s = job;
    s->rc = save(s, &s->err);
}

static void done(void *job)
{
    struct acme_save *s = job;

    if (s->done != NULL)
        s->done(s->ctx, s->rc, &s->err);
    acme_save_free(&s);
}

int acme_save_start(struct workers *w, struct acme_save *s)
{
    if (workers_submit(w, WORK_SIGN, run, done, s) == 0)
        return 0;
    acme_save_free(&s);
    return -1;
}

int acme_save_now(struct acme_save *s, struct err *err)
{
    return save(s, err);
}
