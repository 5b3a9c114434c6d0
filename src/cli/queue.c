/* `sendas queue`: the queue as a table for people, as JSON for programs; and what a person does to it.  All of it
 * beside a running daemon. */
#include "queue_text.h"

#include "sendas/config.h"

#include <ctype.h>
#include <string.h>

/* ---- list ------------------------------------------------------------------------------------ */

enum { RECIPIENTS_SHOWN = 5, SENDER_COLUMN = 34 };

struct listing {
    bool json;
    size_t messages, recipients;
    uint64_t size;
    int64_t now_ms;
};

static int print_json(const struct listing *l, const struct queue_listing *m)
{
    json_t *message = json_message(m);

    if (message == NULL)
        return -1;
    fputs(l->messages == 0 ? "[\n" : ",\n", stdout);
    int status = json_dumpf(message, stdout, JSON_COMPACT);
    json_decref(message);
    return status;
}

static void print_human(const struct listing *l, const struct queue_listing *m)
{
    struct strbuf sender = STRBUF_INIT;
    char size[SPAN_SIZE], age[SPAN_SIZE], left[SPAN_SIZE] = "over";
    size_t shown = m->n_recipients <= RECIPIENTS_SHOWN + 1 ? m->n_recipients : RECIPIENTS_SHOWN;

    if (l->messages == 0)
        printf("%-12s %7s %5s %5s  %s\n", "ID", "SIZE", "AGE", "LEFT", "SENDER");
    if (m->expires_ms > l->now_ms)
        text_span(left, m->expires_ms - l->now_ms);
    strbuf_addf(&sender, "<%s>", m->sender);
    printf("%-12s %7s %5s %5s  ", m->id, text_size(size, m->size), text_span(age, l->now_ms - m->created_ms), left);
    print_pair(strbuf_str(&sender), m->held ? "held" : "", SENDER_COLUMN, 4);
    print_recipients(m->recipients, shown, l->now_ms);
    if (shown < m->n_recipients)
        printf("    and %zu more: sendas queue show %s\n", m->n_recipients - shown, m->id);
    strbuf_free(&sender);
}

static int each(void *ctx, const struct queue_listing *m)
{
    struct listing *l = ctx;

    if (!l->json)
        print_human(l, m);
    else if (print_json(l, m) < 0)
        return 1;
    l->messages++;
    l->recipients += m->n_recipients;
    l->size += m->size;
    return 0;
}

static void print_end(const struct listing *l)
{
    char size[SPAN_SIZE];

    if (l->json)
        fputs(l->messages == 0 ? "[]\n" : "\n]\n", stdout);
    else if (l->messages == 0)
        fputs("The queue is empty.\n", stdout);
    else
        printf("%zu message%s to %zu recipient%s, %s octets\n", l->messages, l->messages == 1 ? "" : "s", l->recipients,
               l->recipients == 1 ? "" : "s", text_size(size, l->size));
}

static int list(const struct cli_args *args)
{
    struct listing l = {.now_ms = clock_wall_ms()};
    struct config *c = NULL;
    struct err err;

    for (int i = 2; i < args->argc; i++) {
        if (strcmp(args->argv[i], "--json") != 0)
            return cli_usage("queue", "unexpected argument %s", args->argv[i]);
        l.json = true;
    }
    if (cli_config_load(args, NULL, &c) != CLI_OK)
        return CLI_USAGE;
    int listed = queue_list(c->queue.path, each, &l, &err);
    config_free(&c);
    if (listed < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (listed > 0)
        return cli_fail(CLI_FAILED, "out of memory or output closed");
    print_end(&l);
    return CLI_OK;
}

/* ---- hold, release, retry, remove ------------------------------------------------------------ */

static const struct {
    const char *verb;
    enum queue_action action;
    const char *done; /* behind the id */
} acts[] = {
    {"hold", QUEUE_HOLD, "is held; an attempt that is under way is finished first"},
    {"release", QUEUE_RELEASE, "is released"},
    {"retry", QUEUE_RETRY, "is due now"},
    {"remove", QUEUE_REMOVE, "is removed; an attempt that is under way is finished first"},
};

/* Ids are told on the telephone, too. */
static int copy_id(char id[QUEUE_ID_SIZE], const char *from)
{
    size_t n = strlen(from);

    for (size_t i = 0; i < n && n < QUEUE_ID_SIZE; i++)
        id[i] = (char)toupper((unsigned char)from[i]);
    id[n < QUEUE_ID_SIZE ? n : 0] = '\0';
    return n > 0 && n < QUEUE_ID_SIZE ? 0 : -1;
}

static int act(const struct cli_args *args, size_t which)
{
    char id[QUEUE_ID_SIZE] = "";
    struct config *c = NULL;
    struct err err;
    size_t changed;
    bool all = acts[which].action == QUEUE_RETRY && args->argc == 2;

    if (!all && args->argc < 3)
        return cli_usage("queue", "%s needs a queue id", acts[which].verb);
    if (args->argc > 3)
        return cli_usage("queue", "unexpected argument %s", args->argv[3]);
    if (!all && args->argv[2][0] == '-')
        return cli_usage("queue", "unknown option %s", args->argv[2]);
    if (!all && copy_id(id, args->argv[2]) < 0)
        return cli_fail(CLI_FAILED, "no message %s waits in the queue", args->argv[2]);
    if (cli_config_load(args, NULL, &c) != CLI_OK)
        return CLI_USAGE;
    int rc = queue_act(c->queue.path, acts[which].action, all ? NULL : id, &changed, &err);
    config_free(&c);
    if (rc != 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (all)
        printf("%zu message%s due now\n", changed, changed == 1 ? " is" : "s are");
    else
        printf("%s %s\n", id, acts[which].done);
    return CLI_OK;
}

/* ---- rescue ---------------------------------------------------------------------------------- */

static void on_rescue(void *ctx, const struct queue_rescue *r)
{
    size_t *counts = ctx;
    struct strbuf line = STRBUF_INIT;

    counts[r->outcome]++;
    if (r->outcome != QUEUE_NOT_RESCUED)
        return;
    strbuf_addf(&line, "%s from <%s> to <%s>: %s", r->id[0] != '\0' ? r->id : "?", r->sender,
                r->recipient[0] != '\0' ? r->recipient : "?", r->reason);
    print_wrapped(strbuf_str(&line), 0, 2);
    strbuf_free(&line);
}

static int rescue(const struct cli_args *args)
{
    size_t counts[QUEUE_NOT_RESCUED + 1] = {0};
    struct config *c = NULL;
    struct err err;

    if (args->argc != 3)
        return cli_usage("queue", args->argc < 3 ? "rescue needs the damaged file" : "unexpected argument");
    if (cli_config_load(args, NULL, &c) != CLI_OK)
        return CLI_USAGE;
    int rc = queue_rescue(c->queue.path, args->argv[2], c->queue.lifetime_s * 1000, on_rescue, counts, &err);
    config_free(&c);
    printf("%zu rescued, %zu were in the queue already, %zu cannot be rescued\n", counts[QUEUE_RESCUED],
           counts[QUEUE_RESCUED_BEFORE], counts[QUEUE_NOT_RESCUED]);
    if (rc < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    return counts[QUEUE_NOT_RESCUED] > 0 ? CLI_FAILED : CLI_OK;
}

/* ---- the verbs ------------------------------------------------------------------------------- */

int cli_queue(const struct cli_args *args)
{
    const char *verb = args->argc < 2 ? "" : args->argv[1];

    if (strcmp(verb, "list") == 0)
        return list(args);
    if (strcmp(verb, "show") == 0)
        return queue_show(args);
    if (strcmp(verb, "rescue") == 0)
        return rescue(args);
    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        if (strcmp(verb, acts[i].verb) == 0)
            return act(args, i);
    return args->argc < 2 ? cli_usage("queue", "list, show, retry, hold, release, remove or rescue?")
                          : cli_usage("queue", "unknown verb %s", verb);
}
