/* Can the daemon read and write what it must, and nobody else what is secret?  Seen with the daemon's eyes, whoever asks. */
#include "check.h"

#include "files.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- judging --------------------------------------------------------------------------------- */

/* The permission bits (rwx) that `who` has; the other groups of a user are not looked at. */
static unsigned bits_of(const struct check_file *f, const struct check_reader *who)
{
    if (who->uid == 0)
        return 7;
    if (f->uid == who->uid)
        return f->mode >> 6 & 7;
    return f->gid == who->gid ? f->mode >> 3 & 7 : f->mode & 7;
}

static void judge_missing(const struct check_file *f, const struct check_reader *who, struct strbuf *found,
                          struct strbuf *fix)
{
    strbuf_addf(found, "%s: %s", f->path, strerror(f->error));
    if (f->error == ENOENT && f->folder)
        strbuf_addf(fix, "install -d -o %s -m 750 %s", who->name, f->path);
    else if (f->error == ENOENT)
        strbuf_addf(fix, "make %s, or correct its name in the configuration", f->path);
    else
        strbuf_add_str(fix, "run this as root");
}

bool check_file_judge(const struct check_file *f, const struct check_reader *who, struct strbuf *found,
                      struct strbuf *fix)
{
    unsigned wanted = f->folder ? 3 : 4; /* to write and enter; to read */
    bool open = f->error == 0 && f->secret && (f->mode & 7) != 0;
    bool foreign = f->error == 0 && f->secret && f->uid != 0 && f->uid != who->uid;
    bool usable = f->error == 0 && (bits_of(f, who) & wanted) == wanted;
    if (usable && !open && !foreign)
        return false;
    check_join(found);
    check_join(fix);
    if (f->error != 0) {
        judge_missing(f, who, found, fix);
    } else if (open) {
        strbuf_addf(found, "%s is open to all (mode %03o)", f->path, f->mode & 0777);
        strbuf_addf(fix, "chmod o= %s", f->path);
    } else if (foreign) {
        strbuf_addf(found, "%s belongs to user %u, who is neither root nor %s", f->path, f->uid, who->name);
        strbuf_addf(fix, "chown %s %s", who->name, f->path);
    } else if (f->folder) {
        strbuf_addf(found, "%s cannot write to %s", who->name, f->path);
        strbuf_addf(fix, "chown %s %s && chmod u+rwx %s", who->name, f->path, f->path);
    } else {
        strbuf_addf(found, "%s cannot read %s", who->name, f->path);
        strbuf_addf(fix, "chown %s %s && chmod u+r %s", who->name, f->path, f->path);
    }
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct look {
    const struct check_reader *who;
    struct strbuf found, fix;
    size_t n;
    bool wrong;
};

/* False: it is wrong, which is told. */
static bool look_at(struct look *l, const char *path, bool secret, bool folder)
{
    struct check_file f = {.path = path, .secret = secret, .folder = folder};
    struct stat st;
    if (stat(path, &st) < 0) {
        f.error = errno;
    } else {
        f.mode = st.st_mode & 07777;
        f.uid = st.st_uid;
        f.gid = st.st_gid;
    }
    l->n++;
    if (!check_file_judge(&f, l->who, &l->found, &l->fix))
        return true;
    l->wrong = true;
    return false;
}

/* Root asks for the daemon's user, if there is one; everybody else for himself. */
static struct check_reader find_reader(char *strings, size_t size)
{
    struct passwd entry, *user = NULL;
    struct check_reader who = {geteuid(), getegid(), "the one who runs this"};
    if (who.uid == 0 && getpwnam_r("sendas", &entry, strings, size, &user) == 0 && user != NULL)
        who = (struct check_reader){user->pw_uid, user->pw_gid, "sendas"};
    else if (getpwuid_r(who.uid, &entry, strings, size, &user) == 0 && user != NULL)
        who.name = user->pw_name;
    return who;
}

static void look_at_users(struct look *l, const struct config *c)
{
    struct users *users = NULL;
    struct err err;
    if (!look_at(l, c->users_path, true, false))
        return;
    int status = users_load(c->users_path, &users, &err);
    if (status == 0 && users->n > 0) {
        users_free(&users);
        return;
    }
    l->wrong = true;
    check_join(&l->found);
    check_join(&l->fix);
    strbuf_addf(&l->found, "%s", status < 0 ? err.text : "there is no user");
    if (status < 0)
        strbuf_addf(&l->fix, "correct %s", c->users_path);
    else
        strbuf_addf(&l->fix, "sendas user add me@%s", c->n_domains > 0 ? c->domains[0].name : c->hostname);
    users_free(&users);
}

void check_files(struct check_run *r)
{
    const struct config *c = r->config;
    char strings[4096];
    struct check_reader who = find_reader(strings, sizeof(strings));
    struct look l = {.who = &who};
    struct check_item *item = check_add(r, "files", NULL, CHECK_PASS);
    for (size_t i = 0; i < c->n_domains; i++)
        for (size_t k = 0; k < c->domains[i].n_keys; k++)
            if (c->domains[i].keys[k].state != CONFIG_KEY_RETIRED) /* whose file need not be there */
                look_at(&l, c->domains[i].keys[k].path, true, false);
    if (c->tls.certificate[0] != '\0') {
        look_at(&l, c->tls.certificate, false, false);
        look_at(&l, c->tls.key, true, false);
    }
    for (size_t i = 0; i < c->delivery.n_routes; i++)
        if (c->delivery.routes[i].password_file[0] != '\0')
            look_at(&l, c->delivery.routes[i].password_file, true, false);
    look_at_users(&l, c);
    struct slice folder = directory_of(c->queue.path);
    look_at(&l, check_text(r, "%.*s", SLICE_ARG(folder)), false, true);
    item->status = l.wrong ? CHECK_FAIL : CHECK_PASS;
    if (!l.wrong)
        strbuf_addf(&l.found, "%zu files and folders, as %s needs them", l.n, who.name);
    check_tell(r, item, &l.found,
               check_text(r, "secrets that only root%s%s reads, a queue to write to, a user",
                          who.uid == 0 ? "" : " or ", who.uid == 0 ? "" : who.name),
               &l.fix);
}
