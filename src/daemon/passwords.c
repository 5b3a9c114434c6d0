/* Passwords that are being hashed, on the workers.
 *
 * After a restart no login is known, and a mail program comes with all its connections at once: who asks for a login that
 * is being hashed already waits for that one's result.  Twenty sessions of a user cost one hash (2 ms of CPU with
 * sha512crypt, 40 and 16 MiB with yescrypt) instead of twenty, and one place in the line. */
#include "internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct password_job {
    struct daemon *daemon;
    LIST_ENTRY(password_job) jobs;
    LIST_HEAD(password_waits, password_wait) waits; /* none: all have gone */
    struct intake_settings *settings;
    struct strbuf login, password;
    const struct user_password *match; /* of `settings` */
};

static void job_free(struct password_job *job)
{
    if (job->password.p != NULL)
        wipe(job->password.p, job->password.cap);
    strbuf_free(&job->password);
    strbuf_free(&job->login);
    intake_settings_unref(&job->settings);
    free(job);
}

static void run(void *ctx)
{
    struct password_job *job = ctx;
    job->match =
        submission_password_check(job->settings->users, strbuf_slice(&job->login), strbuf_slice(&job->password));
}

static void done(void *ctx)
{
    struct password_job *job = ctx;
    struct password_wait *wait;

    LIST_REMOVE(job, jobs);
    if (job->match != NULL && !LIST_EMPTY(&job->waits))
        submission_login_verified(job->daemon->shared, job->settings->users, strbuf_slice(&job->login),
                                  strbuf_slice(&job->password), job->match, clock_mono_ms());
    while ((wait = LIST_FIRST(&job->waits)) != NULL) {
        password_leave(wait);
        wait->done(wait->ctx, job->match);
    }
    job_free(job);
}

static bool same_octets(struct slice a, struct slice b)
{
    return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

static struct password_job *find(const struct daemon *d, const struct intake_settings *settings, struct slice login,
                                 struct slice password)
{
    struct password_job *job;

    LIST_FOREACH(job, &d->password_jobs, jobs)
    if (job->settings == settings && slice_eq(strbuf_slice(&job->login), login) &&
        same_octets(strbuf_slice(&job->password), password))
        break;
    return job;
}

static struct password_job *begin(struct daemon *d, struct intake_settings *settings, struct slice login,
                                  struct slice password)
{
    struct password_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->daemon = d;
    job->settings = intake_settings_ref(settings);
    strbuf_add_slice(&job->login, login);
    strbuf_add_slice(&job->password, password);
    if (job->login.failed || job->password.failed || workers_submit(d->workers, WORK_HASH, run, done, job) < 0) {
        job_free(job);
        return NULL;
    }
    LIST_INSERT_HEAD(&d->password_jobs, job, jobs);
    return job;
}

int password_ask(struct daemon *d, struct intake_settings *settings, struct slice login, struct slice password,
                 struct password_wait *wait)
{
    struct password_job *job = find(d, settings, login, password);
    if (job == NULL)
        job = begin(d, settings, login, password);
    if (job == NULL)
        return -1;
    LIST_INSERT_HEAD(&job->waits, wait, waits);
    wait->waiting = true;
    return 0;
}

void password_leave(struct password_wait *wait)
{
    if (wait->waiting)
        LIST_REMOVE(wait, waits);
    wait->waiting = false;
}
