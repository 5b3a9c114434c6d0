/* What the pages of the admin listener show, gathered from the rooms. */
#include "admin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void admin_totals(const struct daemon *d, struct admin_totals *ret)
{
    const struct submission_counts *s = submission_counts(d->shared);
    const struct delivery_counts *o = delivery_counts(d->delivery);

    *ret = (struct admin_totals){.accepted = intake_counts()->accepted,
                                 .delivered = o->delivered[0] + o->delivered[1],
                                 .deferred = o->deferred,
                                 .failed = o->bounced + o->expired,
                                 .logins_failed = s->logins_failed};
    for (size_t i = 0; i < SUBMISSION_SUBJECTS; i++)
        ret->refused += s->rejected[0][i] + s->rejected[1][i];
}

static void count_today(const struct daemon *d, const struct admin_day *day, struct admin_facts *f)
{
    struct admin_totals now;

    admin_totals(d, &now);
    f->today_since_s = day->since_s;
    f->today = (struct admin_totals){.accepted = now.accepted - day->before.accepted,
                                     .delivered = now.delivered - day->before.delivered,
                                     .deferred = now.deferred - day->before.deferred,
                                     .failed = now.failed - day->before.failed,
                                     .refused = now.refused - day->before.refused,
                                     .logins_failed = now.logins_failed - day->before.logins_failed};
}

/* ---- why mail waits ------------------------------------------------------------------------------------- */

/* What may stand before the @ of an address (RFC 5321 4.1.2, 6531 3.3). */
static bool is_local(char c)
{
    return (unsigned char)c >= 0x80 || (c > ' ' && c < 0x7F && strchr("<>()[]\",:;@\\", c) == NULL);
}

/* The length of the character that text begins with, or 0: none, or one that is obeyed instead of shown (controls, line
 * separators, what turns the direction of writing). */
static size_t shown_char(const char *text)
{
    unsigned char c = (unsigned char)text[0], third;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;

    if (c < ' ' || c == 0x7F || strnlen(text, n) < n || !slice_is_utf8(slice_from(text, n)))
        return 0;
    third = n == 3 ? (unsigned char)text[2] : 0;
    if ((c == 0xC2 && (unsigned char)text[1] < 0xA0) ||
        (c == 0xE2 && text[1] == '\x80' && third >= 0xA8 && third <= 0xAE) ||
        (c == 0xE2 && text[1] == '\x81' && third >= 0xA6 && third <= 0xA9))
        return 0;
    return n;
}

/* Takes what stands before an @ off the end of what was written. */
static size_t without_local(const char *out, size_t n)
{
    if (n > 0 && out[n - 1] == '"') { /* a quoted one */
        for (n--; n > 0 && out[n - 1] != '"';)
            n--;
        return n > 0 ? n - 1 : 0;
    }
    while (n > 0 && is_local(out[n - 1]))
        n--;
    return n;
}

void admin_reason(const char *reply, char out[ADMIN_REASON])
{
    enum { ROOM = 8 };
    size_t n = 0;

    while (*reply != '\0' && n < ADMIN_REASON - ROOM) {
        size_t length = shown_char(reply);
        size_t without = *reply == '@' ? without_local(out, n) : n;
        if (without < n) {
            memcpy(out + without, "...", 3);
            n = without + 3;
        }
        if (length == 0)
            out[n++] = '?';
        else
            memcpy(out + n, reply, length);
        n += length;
        reply += length == 0 ? 1 : length;
    }
    out[n] = '\0';
}

static void gather_places(const struct daemon *d, struct admin_facts *f)
{
    struct queue_place places[ADMIN_PLACES];

    f->n_places = queue_places(d->queue, places, ADMIN_PLACES);
    for (size_t i = 0; i < f->n_places; i++) {
        const char *reply = delivery_last_deferral(d->delivery, places[i].domain);
        f->places[i].queue = places[i];
        admin_reason(reply == NULL ? "" : reply, f->places[i].reason);
    }
}

/* ---- the process ---------------------------------------------------------------------------------------- */

static void gather_process(struct admin_facts *f)
{
    struct rusage used;
    unsigned long long pages = 0;
    FILE *in = fopen("/proc/self/statm", "re");

    if (in != NULL) {
        if (fscanf(in, "%*u %llu", &pages) == 1)
            f->resident_octets = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        fclose(in);
    }
    if (getrusage(RUSAGE_SELF, &used) == 0)
        f->cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* ---- all ------------------------------------------------------------------------------------------------ */

static size_t count_keys(const struct config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_domains; i++)
        n += c->domains[i].n_keys;
    return n < ADMIN_KEYS ? n : ADMIN_KEYS;
}

int admin_facts_gather(const struct daemon *d, const struct admin_day *day, bool places, struct admin_facts *ret)
{
    const struct config *c = d->settings->config;
    size_t n_keys = count_keys(c);

    *ret = (struct admin_facts){
        .version = SENDAS_VERSION,
        .hostname = c->hostname,
        .ill = admin_ill(d),
        .now_s = clock_wall_ms() / 1000,
        .started_s = d->started_s,
        .reloaded_s = d->reloaded_s,
        .reload_error = d->reload_error.text,
        .late_after_s = c->queue.warn_after_s > 0 ? c->queue.warn_after_s : (int64_t)4 * 3600,
        .submission = *submission_counts(d->shared),
        .intake = *intake_counts(),
        .delivery = *delivery_counts(d->delivery),
        .dns = *dns_counts(d->dns),
        .tls_failures = d->tls_failures,
        .sessions = submission_connections(d->shared),
        .deliveries = delivery_connections(d->delivery),
        .certificate_end_s = tls_server_end(d->tls_server),
        .certificate_problem = tls_server_problem(d->tls_server),
        .keys = calloc(n_keys + 1, sizeof(*ret->keys)),
    };
    if (ret->keys == NULL)
        return -1;
    ret->n_keys = daemon_keys_states(d, ret->keys, n_keys);
    ret->n_listeners = listeners_count(d, ret->listeners, ADMIN_LISTENERS);
    queue_figures(d->queue, &ret->queue);
    if (places)
        gather_places(d, ret);
    gather_process(ret);
    count_today(d, day, ret);
    return 0;
}

void admin_facts_free(struct admin_facts *f)
{
    free(f->keys);
    f->keys = NULL;
    f->n_keys = 0;
}

/* The two are counted apart: in the store, and in the schedule. */
size_t admin_waiting(const struct admin_facts *f)
{
    return f->queue.messages > f->queue.held ? f->queue.messages - f->queue.held : 0;
}
