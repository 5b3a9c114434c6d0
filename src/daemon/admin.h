/* src/daemon/admin.h - what the files of the admin listener share.
 *
 *   admin.c          the listener and its visitors: few, and none for long
 *   admin_request.c  the head of a request, judged
 *   admin_answer.c   what it gets
 *   admin_health.c   can mail be accepted?
 *
 * Everything is answered at once, on the loop, from what is in memory; a connection serves one request. */
#ifndef SENDAS_DAEMON_ADMIN_H
#define SENDAS_DAEMON_ADMIN_H

#include "internal.h"

enum { ADMIN_HEAD_MAX = 8 * 1024 };

struct admin_request {
    int refusal; /* 0: it may be answered; else an HTTP status, and `why` */
    const char *why;
    bool head; /* HEAD: the fields of the answer without its body */
    struct slice path;
};

/* Judges what a visitor has sent so far.  False: the head of the request is not complete.  Otherwise *ret is filled; its path
 * points into `bytes`.  `hostname`: the only name, beside localhost, that a request may be addressed to. */
bool admin_request_read(struct slice bytes, const char *hostname, struct admin_request *ret);

/* The whole answer, as it goes over the wire. */
void admin_answer(const struct daemon *d, const struct admin_request *request, struct strbuf *out);

/* Why no mail is accepted, in a few words; NULL when it is. */
const char *admin_ill(const struct daemon *d);

#endif
