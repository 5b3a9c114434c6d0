/* delivery/waiting.c - who waits for a place.
 *
 * Each user has a line of his own, and the lines have their turns one after the other: who queued thousands holds up
 * nobody but himself. */
#include "internal.h"

#include <stdlib.h>

/* One user's line. */
struct turn {
    TAILQ_ENTRY(turn) next;
    uint32_t user_tag;
    struct job_list jobs;
};

void waiting_init(struct destination *dest)
{
    TAILQ_INIT(&dest->turns);
    TAILQ_INIT(&dest->elsewhere);
}

/* Users are few: a walk is as good as a table. */
static struct turn *find_turn(const struct destination *dest, uint32_t user_tag)
{
    struct turn *t;
    for (t = TAILQ_FIRST(&dest->turns); t != NULL; t = TAILQ_NEXT(t, next))
        if (t->user_tag == user_tag)
            return t;
    return NULL;
}

static struct turn *add_turn(struct destination *dest, uint32_t user_tag)
{
    struct turn *t = malloc(sizeof(*t));
    if (t == NULL)
        return NULL;
    t->user_tag = user_tag;
    TAILQ_INIT(&t->jobs);
    TAILQ_INSERT_TAIL(&dest->turns, t, next);
    return t;
}

int waiting_add(struct destination *dest, struct job *job, bool front)
{
    struct turn *t = find_turn(dest, job->item->user_tag);
    if (t == NULL && (t = add_turn(dest, job->item->user_tag)) == NULL)
        return -1;
    job->turn = t;
    if (front) {
        TAILQ_INSERT_HEAD(&t->jobs, job, wait);
        TAILQ_REMOVE(&dest->turns, t, next);
        TAILQ_INSERT_HEAD(&dest->turns, t, next);
    } else {
        TAILQ_INSERT_TAIL(&t->jobs, job, wait);
    }
    dest->n_waiting++;
    return 0;
}

void waiting_add_elsewhere(struct destination *dest, struct job *job)
{
    job->turn = NULL;
    TAILQ_INSERT_TAIL(&dest->elsewhere, job, wait);
    dest->n_waiting++;
}

void waiting_remove(struct destination *dest, struct job *job)
{
    struct turn *t = job->turn;
    dest->n_waiting--;
    TAILQ_REMOVE(t == NULL ? &dest->elsewhere : &t->jobs, job, wait);
    job->turn = NULL;
    if (t == NULL || !TAILQ_EMPTY(&t->jobs))
        return;
    TAILQ_REMOVE(&dest->turns, t, next);
    free(t);
}

struct job *waiting_take(struct destination *dest)
{
    struct job *job = TAILQ_FIRST(&dest->elsewhere);
    struct turn *t = TAILQ_FIRST(&dest->turns);
    if (job == NULL && t != NULL) {
        job = TAILQ_FIRST(&t->jobs);
        TAILQ_REMOVE(&dest->turns, t, next);
        TAILQ_INSERT_TAIL(&dest->turns, t, next);
    }
    if (job != NULL)
        waiting_remove(dest, job);
    return job;
}

void waiting_free(struct destination *dest)
{
    struct turn *t;
    while ((t = TAILQ_FIRST(&dest->turns)) != NULL) {
        TAILQ_REMOVE(&dest->turns, t, next);
        free(t);
    }
}
