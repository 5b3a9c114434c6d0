/* queue FILE MESSAGES SIZE - what the group commit gives: MESSAGES of SIZE octets are put into a queue, all at once and
 * then one after the other, each after the commit of the one before.
 *
 * Prints a line for each: messages_per_s cpu_us_each commits. */
#include "sendas/queue.h"

#include "../../src/queue/internal.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    struct event_base *base;
    struct queue *queue;
    struct queue_message message;
    struct queue_recipient_in recipient;
    unsigned messages, put, done;
    bool one_by_one;
} bench;

static double seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(void);

static void on_put(void *ctx, enum queue_status status)
{
    (void)ctx;
    if (status != QUEUE_OK) {
        fprintf(stderr, "queue: a message was not stored\n");
        exit(1);
    }
    if (++bench.done == bench.messages)
        event_base_loopbreak(bench.base);
    else if (bench.one_by_one)
        put();
}

static void put(void)
{
    if (queue_new_id(bench.message.id) < 0)
        exit(1);
    bench.put++;
    queue_put(bench.queue, &bench.message, on_put, NULL);
}

static void never_due(void *ctx, struct queue_item *item)
{
    (void)ctx;
    (void)item;
}

static void run(bool one_by_one)
{
    bench.one_by_one = one_by_one;
    bench.put = bench.done = 0;
    size_t commits = queue_commits(bench.queue);
    double begin = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    do
        put();
    while (!one_by_one && bench.put < bench.messages);
    event_base_dispatch(bench.base);
    double took = seconds(CLOCK_MONOTONIC) - begin;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%.0f %.1f %zu\n", bench.messages / took, cpu * 1e6 / bench.messages, queue_commits(bench.queue) - commits);
}

int main(int argc, char **argv)
{
    static int64_t retry_s[] = {60};
    struct err err;
    if (argc != 4) {
        fprintf(stderr, "usage: queue FILE MESSAGES SIZE\n");
        return 2;
    }
    size_t size = (size_t)atol(argv[3]);
    char *head = malloc(size + 1);
    struct config c = {0};
    c.queue.path = argv[1];
    c.queue.retry_s = retry_s;
    c.queue.n_retry = 1;
    c.queue.lifetime_s = c.queue.history_s = 86400;
    bench.messages = (unsigned)atoi(argv[2]);
    bench.base = event_base_new();
    struct queue_events events = {.due = never_due};
    if (head == NULL || bench.messages == 0 || queue_open(&c, bench.base, &events, &bench.queue, &err) < 0)
        return 1;
    memset(head, 'x', size);
    bench.recipient = (struct queue_recipient_in){.address = SLICE("b@example.net"), .domain = SLICE("example.net")};
    bench.message = (struct queue_message){.sender = SLICE("a@example.org"),
                                           .bounce_to = SLICE("a@example.org"),
                                           .user = SLICE("a@example.org"),
                                           .message_id = SLICE("<x@example.org>"),
                                           .head = slice_from(head, size),
                                           .recipients = &bench.recipient,
                                           .n_recipients = 1};
    run(false);
    run(true);
    queue_close(&bench.queue);
    event_base_free(bench.base);
    free(head);
    return 0;
}
