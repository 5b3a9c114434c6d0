/* src/queue/statements.h - the statements of the store, prepared once, and one of them being run: the first error sticks. */
#ifndef SENDAS_QUEUE_STATEMENTS_H
#define SENDAS_QUEUE_STATEMENTS_H

#include "internal.h"

enum statement {
    SQL_BEGIN = 0,
    SQL_COMMIT,
    SQL_PUT_MESSAGE,
    SQL_PUT_RECIPIENT,
    SQL_PUT_CHUNK,
    SQL_FILL_CHUNK,
    SQL_DROP_PARTIAL,
    SQL_DROP_CHUNKS,
    SQL_PUT_EVENT,
    SQL_CLOSE_EVENT,
    SQL_DROP_RECIPIENT,
    SQL_ANY_RECIPIENT,
    SQL_FINISH_MESSAGE,
    SQL_DEFER,
    SQL_LOAD_MESSAGE,
    SQL_LOAD_RECIPIENT,
    SQL_READ_CHUNK,
    SQL_FILE,
    SQL_FILES,
    SQL_SCAN,
    SQL_LAST_ROW,
    SQL_PARTIALS,
    SQL_CONTROL_FIRST,
    SQL_CONTROL_DROP,
    SQL_CONTROL_DROP_ALL,
    SQL_NEWEST,
    SQL_MOVE_MESSAGES,
    SQL_MOVE_RECIPIENTS,
    SQL_FINISHED,
    SQL_DROP_EVENTS,
    SQL_DROP_MESSAGE,
    SQL_FREE_PAGES,
    SQL_GIVE_BACK,
    SQL_STATEMENTS
};

struct run {
    sqlite3_stmt *st;
    int bound, rc;
};

/* Begins; parameters are bound in their order. */
struct run run_of(struct store *s, enum statement which);
void run_number(struct run *r, int64_t v);
void run_slice(struct run *r, struct slice s);
void run_str(struct run *r, const char *s);
void run_blob(struct run *r, struct slice bytes);
void run_null(struct run *r);
/* NULL where there is no text at all. */
void run_optional(struct run *r, struct slice s);
/* The first and the last key of a message. */
void run_range(struct run *r, int64_t message_row);
/* True when there is a row. */
bool run_row(struct run *r);
/* Leaves the statement ready for its next use; the result. */
int run_end(struct run *r);
int run_all(struct run *r);
/* All of a statement with one number. */
int run_one(struct store *s, enum statement which, int64_t number);

#endif
