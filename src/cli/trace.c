/* `sendas trace` and `sendas queue show`: one message, on one screen. */
#include "queue_text.h"

#include "sendas/config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct view {
    bool json, show; /* show: what waits; otherwise its life */
    int64_t now_ms;
    size_t shown;
    bool failed;
    json_t *documents;
};

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_optional(const char *text)
{
    return text != NULL ? json_clean(text) : json_null();
}

static json_t *json_events(const struct queue_record *r)
{
    json_t *events = json_array();

    for (size_t i = 0; i < r->n_events; i++) {
        const struct queue_history *e = &r->events[i];
        json_t *event = json_pack("{so, ss, so, so}", "time", json_time_ms(e->time_ms), "kind", e->kind, "recipient",
                                  json_optional(e->recipient), "text", json_clean_lines(e->text));
        if (json_array_append_new(events, event) < 0) {
            json_decref(events);
            return NULL;
        }
    }
    return events;
}

/* The object of `queue list` with more in it. */
static json_t *json_record(const struct view *v, const struct queue_record *r)
{
    json_t *j = json_message(&r->listing);
    json_t *more =
        json_pack("{so, so, so, so, so, so}", "user", json_clean(r->user), "submitted", json_optional(r->submitted),
                  "bounce_to", json_clean(r->bounce_to), "message_id", json_clean(r->message_id), "envid",
                  json_clean(r->envid), "finished", json_time(r->finished_ms));
    bool ok = j != NULL && more != NULL && json_object_update(j, more) == 0;

    if (ok && v->show)
        ok = json_object_set_new(j, "header", json_clean_lines(r->header)) == 0;
    else if (ok)
        ok = json_object_set_new(j, "events", json_events(r)) == 0;
    json_decref(more);
    if (ok)
        return j;
    json_decref(j);
    return NULL;
}

/* ---- for people: what it is ------------------------------------------------------------------ */

static void print_fact(const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    printf("%-12s", name);
    print_wrapped(text, 12, 14);
}

static size_t count_events(const struct queue_record *r, const char *kind)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_events; i++)
        n += strcmp(r->events[i].kind, kind) == 0;
    return n;
}

/* "delivered to 2, failed for 1, waits for 3" */
static void print_state(const struct queue_record *r)
{
    struct strbuf b = STRBUF_INIT;
    const struct {
        const char *words;
        size_t n;
    } parts[] = {{"delivered to", count_events(r, "delivered")},
                 {"failed for", count_events(r, "failed")},
                 {r->listing.held ? "held for" : "waits for", r->listing.n_recipients}};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].n > 0)
            strbuf_addf(&b, "%s%s %zu", b.n > 0 ? ", " : "", parts[i].words, parts[i].n);
    if (count_events(r, "removed") > 0)
        strbuf_addf(&b, "%sremoved by hand", b.n > 0 ? ", " : "");
    print_fact("State", b.n > 0 ? strbuf_str(&b) : "gone");
    strbuf_free(&b);
}

static void print_times(const struct view *v, const struct queue_record *r)
{
    struct strbuf b = STRBUF_INIT;
    char time[TIME_SIZE], span[SPAN_SIZE];
    const struct queue_listing *m = &r->listing;

    strbuf_addf(&b, "%s, %s ago", text_time(time, m->created_ms), text_span(span, v->now_ms - m->created_ms));
    print_fact("Accepted", strbuf_str(&b));
    strbuf_reset(&b);
    if (r->finished_ms > 0) {
        strbuf_addf(&b, "%s, after %s", text_time(time, r->finished_ms),
                    text_span(span, r->finished_ms - m->created_ms));
        print_fact("Finished", strbuf_str(&b));
    } else {
        strbuf_addf(&b, "%s, %s left", text_time(time, m->expires_ms),
                    m->expires_ms > v->now_ms ? text_span(span, m->expires_ms - v->now_ms) : "nothing");
        print_fact("Expires", strbuf_str(&b));
    }
    strbuf_free(&b);
}

static void print_head(const struct view *v, const struct queue_record *r)
{
    struct strbuf b = STRBUF_INIT;
    char size[SPAN_SIZE];
    const struct queue_listing *m = &r->listing;

    print_fact("Message", m->id);
    print_state(r);
    strbuf_addf(&b, "<%s>", m->sender);
    if (r->submitted != NULL)
        strbuf_addf(&b, ", submitted as <%s>", r->submitted);
    print_fact("Sender", strbuf_str(&b));
    print_fact("User", r->user[0] != '\0' ? r->user : "none: a notice of our own");
    print_fact("Message-ID", r->message_id);
    strbuf_reset(&b);
    strbuf_addf(&b, "%s octets", text_size(size, m->size));
    print_fact("Size", strbuf_str(&b));
    print_times(v, r);
    strbuf_free(&b);
}

/* ---- for people: its life -------------------------------------------------------------------- */

enum { EVENT_INDENT = 16 };

/* "WORDS <recipient>BEHIND TEXT" */
static const struct {
    const char *kind, *words, *behind;
} phrases[] = {
    {"delivered", "delivered to", ":"},
    {"deferred", "put off for", ":"},
    {"failed", "failed for", ":"},
    {"bounced", "the sender is told that it failed for", ", by"},
    {"warned", "the sender is told that it is delayed for", ", by"},
    {"relayed", "the sender is told that it was relayed to", ", by"},
    {"held", "held by hand", ":"},
    {"released", "released by hand", ":"},
    {"retried", "made due by hand", ":"},
    {"removed", "removed by hand", ":"},
    {"rescued", "rescued from a damaged queue", ":"},
};

/* "mx=a ip=b tls=c; <to> 250 ..." without the replies, which stand in events of their own. */
static void describe_attempt(struct strbuf *out, const char *text)
{
    const char *replies = text[0] == '<' ? text : strstr(text, "; <");

    strbuf_add_str(out, "attempt ");
    strbuf_add(out, text, replies != NULL ? (size_t)(replies - text) : strlen(text));
    if (replies == text)
        strbuf_add_str(out, "without a connection");
}

static void describe(struct strbuf *out, const struct queue_history *e)
{
    if (strcmp(e->kind, "attempt") == 0) {
        describe_attempt(out, e->text);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
        if (strcmp(phrases[i].kind, e->kind) != 0)
            continue;
        strbuf_add_str(out, phrases[i].words);
        if (e->recipient != NULL)
            strbuf_addf(out, " <%s>", e->recipient);
        else if (phrases[i].behind[0] == ',')
            strbuf_add_str(out, " several");
        if (e->text[0] != '\0')
            strbuf_addf(out, "%s %s", phrases[i].behind, e->text);
        return;
    }
    strbuf_addf(out, "%s %s", e->kind, e->text);
}

/* The facts of an acceptance: a line each. */
static void print_lines(const char *text)
{
    bool first = true;

    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        char *line = strndup(p, n);
        if (!first)
            printf("%*s", EVENT_INDENT, "");
        print_wrapped(line != NULL ? line : "", EVENT_INDENT, EVENT_INDENT + 2);
        free(line);
        first = false;
        p += n + (p[n] == '\n');
    }
    if (first)
        fputs("accepted\n", stdout);
}

static void print_event(const struct queue_history *e, char day[TIME_SIZE])
{
    struct strbuf b = STRBUF_INIT;
    char time[TIME_SIZE];

    text_time(time, e->time_ms);
    if (strncmp(day, time, 10) != 0)
        printf("\n%.10s (UTC)\n", time);
    memcpy(day, time, TIME_SIZE);
    printf("  %.8s.%03d  ", strlen(time) > 11 ? time + 11 : "", (int)(e->time_ms % 1000));
    if (strcmp(e->kind, "accepted") == 0) {
        print_lines(e->text);
    } else {
        describe(&b, e);
        print_wrapped(strbuf_str(&b), EVENT_INDENT, EVENT_INDENT + 2);
    }
    strbuf_free(&b);
}

static void print_life(const struct view *v, const struct queue_record *r)
{
    char day[TIME_SIZE] = "";

    for (size_t i = 0; i < r->n_events; i++)
        print_event(&r->events[i], day);
    if (r->listing.n_recipients > 0)
        printf("\nStill to go\n");
    print_recipients(r->listing.recipients, r->listing.n_recipients, v->now_ms);
}

static void print_content(const struct view *v, const struct queue_record *r)
{
    struct strbuf b = STRBUF_INIT;

    printf("\nRecipients\n");
    print_recipients(r->listing.recipients, r->listing.n_recipients, v->now_ms);
    text_add_clean(&b, r->header, true);
    printf("\n%s\n", strbuf_str(&b));
    strbuf_free(&b);
}

/* ---- both ------------------------------------------------------------------------------------ */

static int each(void *ctx, const struct queue_record *r)
{
    struct view *v = ctx;

    if (v->show && r->finished_ms > 0)
        return 0; /* it is not in the queue */
    v->shown++;
    if (v->json) {
        v->failed = json_array_append_new(v->documents, json_record(v, r)) < 0;
        return v->failed;
    }
    if (v->shown > 1)
        fputs("\n\n", stdout);
    print_head(v, r);
    if (v->show)
        print_content(v, r);
    else
        print_life(v, r);
    return 0;
}

static int print_documents(struct view *v)
{
    /* Of `show` there is one: an id that waits is unique. */
    json_t *j = v->show ? json_incref(json_array_get(v->documents, 0)) : json_incref(v->documents);

    return print_json_document(j) < 0 ? cli_fail(CLI_FAILED, "out of memory or output closed") : CLI_OK;
}

static int look(const struct cli_args *args, const char *key, struct view *v)
{
    struct config *c = NULL;
    struct err err;
    size_t found;

    if (cli_config_load(args, NULL, &c) != CLI_OK)
        return CLI_USAGE;
    int rc = queue_find(c->queue.path, key, each, v, &found, &err);
    config_free(&c);
    if (rc < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (v->failed)
        return cli_fail(CLI_FAILED, "out of memory");
    if (v->shown == 0 && found > 0)
        return cli_fail(CLI_FAILED, "message %s is gone: sendas trace %s tells where", key, key);
    if (v->shown == 0)
        return cli_fail(CLI_FAILED, "no message %s %s", key,
                        v->show ? "waits in the queue" : "is known here (see queue.history)");
    return v->json ? print_documents(v) : CLI_OK;
}

/* KEY and --json, in any order, from argv[from] on. */
static int view(const struct cli_args *args, const char *command, int from, bool show)
{
    struct view v = {.show = show, .now_ms = clock_wall_ms()};
    const char *key = NULL;

    for (int i = from; i < args->argc; i++) {
        if (strcmp(args->argv[i], "--json") == 0)
            v.json = true;
        else if (key == NULL && args->argv[i][0] != '-' && args->argv[i][0] != '\0')
            key = args->argv[i];
        else
            return cli_usage(command, "unexpected argument %s", args->argv[i]);
    }
    if (key == NULL)
        return cli_usage(command, show ? "show needs a queue id" : "a queue id or a Message-ID?");
    v.documents = v.json ? json_array() : NULL;
    if (v.json && v.documents == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    int code = look(args, key, &v);
    json_decref(v.documents);
    return code;
}

int queue_show(const struct cli_args *args)
{
    return view(args, "queue", 2, true);
}

int cli_trace(const struct cli_args *args)
{
    return view(args, "trace", 1, false);
}
