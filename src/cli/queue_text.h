/* src/cli/queue_text.h - how messages and times are shown, to people and to programs. */
#ifndef SENDAS_CLI_QUEUE_TEXT_H
#define SENDAS_CLI_QUEUE_TEXT_H

#include "internal.h"

#include "sendas/queue.h"

#include <jansson.h>

enum { SPAN_SIZE = 24, TIME_SIZE = 40 };

/* Text that any terminal and any JSON reader takes: control octets (U+0080 to U+009F too), and what is not UTF-8,
 * become
 * '?'; line ends too, unless `lines`. */
void text_add_clean(struct strbuf *out, const char *text, bool lines);
json_t *json_clean(const char *text);
json_t *json_clean_lines(const char *text);
/* RFC 3339, UTC; null for a time that is none (held: no next attempt). */
json_t *json_time(int64_t ms);
json_t *json_time_ms(int64_t ms); /* with milliseconds */
/* The object that `queue list --json` shows; NULL without memory. */
json_t *json_message(const struct queue_listing *m);

/* "45s", "12m", "3h", "5d": how long, in one glance. */
const char *text_span(char out[SPAN_SIZE], int64_t ms);
const char *text_size(char out[SPAN_SIZE], uint64_t size);
/* "2026-11-21 10:00:00 UTC" */
const char *text_time(char out[TIME_SIZE], int64_t ms);

/* Columns that text takes on a terminal: none for combining marks, two for wide characters; one for what is not UTF-8. */
int text_width(const char *text);

/* `left`, cleaned, and behind it `right`: on the next line, indented, where it would not stand within 80 columns.  `at`: the
 * column where they begin. */
void print_pair(const char *left, const char *right, int at, int indent);
/* Recipients that wait: two lines each. */
void print_recipients(const struct queue_listing_recipient *v, size_t n, int64_t now_ms);
/* `text`, cleaned, on lines of 80 columns; all but the first are indented.  `at`: the column where it begins. */
void print_wrapped(const char *text, int at, int indent);

/* Both print to stdout; -1 without memory. */
int print_json_document(json_t *j);

/* Verbs of `sendas queue` in files of their own. */
int queue_show(const struct cli_args *args);

#endif
