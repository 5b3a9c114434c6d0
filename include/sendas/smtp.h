/* sendas/smtp.h - the grammar that both sides of SMTP speak (RFC 5321, 4954, 1870, 6152, 6531, 3461,
 * 3030, 3463): command lines and their parameters, paths, replies, enhanced status codes.
 *
 * Pure: slices in, structs or a reason out.  Results borrow from the input line unless said
 * otherwise.  Strict: what the grammar does not allow is refused, never mended; the two exceptions
 * that real clients need are named where they stand. */
#ifndef SENDAS_SMTP_H
#define SENDAS_SMTP_H

#include "sendas/base.h"

/* ---- verdicts: a reply, with its enhanced status code --------------------------------------- */

/* What a command or a message gets as its answer: ours to a client, or a remote's to us. */
struct smtp_verdict {
    int code;          /* 250, 451, 550 ...; 0 = none yet */
    char enhanced[12]; /* "5.7.1" (RFC 3463); "" where there is none */
    char text[480];    /* one line, printable, no CR or LF */
};

/* Fills *v; the text is cut at its end and control octets become '?'.  Returns -1 for 4xx and 5xx
 * and 0 otherwise, so `return smtp_verdict_set(...)` reads well. */
int smtp_verdict_set(struct smtp_verdict *v, int code, const char *enhanced, const char *format, ...) PRINTF_LIKE(4, 5);
bool smtp_is_success(const struct smtp_verdict *v);   /* 2xx */
bool smtp_is_temporary(const struct smtp_verdict *v); /* 4xx */
bool smtp_is_permanent(const struct smtp_verdict *v); /* 5xx */

/* ---- command lines ---------------------------------------------------------------------------- */

enum {
    SMTP_COMMAND_LINE_MAX = 2048, /* RFC 5321 4.5.3.1.4 says 512; SMTPUTF8, DSN and AUTH= add to it */
    SMTP_AUTH_LINE_MAX = 12288,   /* RFC 4954 4 */
    SMTP_REPLY_LINE_MAX = 2048,   /* what we take from a remote; RFC 5321 4.5.3.1.5 says 512 */
    SMTP_REPLY_LINES_MAX = 200,
    SMTP_REPLY_TOTAL_MAX = 16384,
    SMTP_LOCAL_PART_MAX = 64,     /* RFC 5321 4.5.3.1.1 */
    SMTP_PATH_MAX = 254           /* RFC 5321 4.5.3.1.3, without the angle brackets */
};

struct smtp_command {
    struct slice verb; /* as sent */
    struct slice args; /* behind the first SP, trailing blanks cut; empty when there is none */
};

/* `line` without its CRLF.  -1 when it holds a control octet, or 8-bit that is not UTF-8, or no verb. */
int smtp_command_parse(struct slice line, struct smtp_command *ret);

/* ---- addresses ----------------------------------------------------------------------------------- */

/* A Mailbox (RFC 5321 4.1.2, with RFC 6531 3.3).  Source routes are refused. */
struct smtp_mailbox {
    struct slice address; /* as written: local-part "@" domain */
    struct slice local;   /* as written, quotes included */
    struct slice domain;  /* as written; or an address literal with its brackets */
    bool literal;         /* the domain is an address literal */
    bool utf8;            /* an octet above 0x7f stands in it */
};

/* All of `s` must be one Mailbox within the length limits. */
int smtp_mailbox_parse(struct slice s, struct smtp_mailbox *ret, struct err *err);
/* The local part without quotes and quoted pairs, as octets: "a\"b"@x -> a"b.  Into the arena. */
struct slice smtp_local_part_decode(struct arena *a, struct slice local);
/* Is `s` an address-literal with brackets ([192.0.2.1], [IPv6:...], the tag in any case)? */
bool smtp_is_address_literal(struct slice s);

/* ---- MAIL, RCPT, EHLO, BDAT, AUTH ---------------------------------------------------------------- */

enum smtp_body { SMTP_BODY_7BIT = 0, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE = 0, SMTP_RET_FULL, SMTP_RET_HDRS };            /* RFC 3461 4.3 */
enum { SMTP_NOTIFY_DEFAULT = 0, SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

struct smtp_mail {
    bool null_path;               /* <> */
    struct smtp_mailbox sender;   /* unless null_path */
    bool has_size;
    uint64_t size;                /* SIZE= (RFC 1870) */
    enum smtp_body body;          /* BODY= (RFC 6152) */
    bool smtputf8;                /* RFC 6531 3.4 */
    enum smtp_ret ret;            /* RET= */
    struct slice envid;           /* ENVID=, still xtext; empty if none */
};

struct smtp_rcpt {
    struct smtp_mailbox recipient;
    unsigned notify;              /* SMTP_NOTIFY_ bits (RFC 3461 4.1) */
    struct slice orcpt;           /* ORCPT=, "rfc822;..." still xtext; empty if none */
};

/* `args` of MAIL, from "FROM:" on.  Spaces behind the colon are accepted, as clients in use send
 * them (RFC 5321 3.3 forbids them).  Unknown, repeated or malformed parameters fail.  On failure
 * *v holds the reply: 501 5.5.4, 555 5.5.4, 553 5.1.7, 553 5.6.7 (UTF-8 without SMTPUTF8) ... AUTH= is
 * checked for syntax and dropped (RFC 4954 5). */
int smtp_mail_parse(struct slice args, struct smtp_mail *ret, struct smtp_verdict *v);
/* `args` of RCPT, from "TO:" on; `smtputf8` tells whether MAIL said it. */
int smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt *ret, struct smtp_verdict *v);
/* The name of EHLO/HELO: any run of visible ASCII or UTF-8 octets without blanks, 1 to 255 octets
 * (clients send `vm`, `[127.0.0.1]`, `m.eml`: none is refused). */
int smtp_helo_parse(struct slice args, struct slice *ret);
/* BDAT chunk-size [SP LAST] (RFC 3030 2). */
int smtp_bdat_parse(struct slice args, uint64_t *ret_size, bool *ret_last);
/* xtext (RFC 3461 4) decoded into the arena; .p NULL when malformed or when it decodes to a control octet. */
struct slice smtp_xtext_decode(struct arena *a, struct slice s);
void smtp_xtext_encode(struct strbuf *out, struct slice s);
/* An address of type utf-8 in seven bits: utf-8-addr-xtext (RFC 6533 3), "\x{F6}" for what is no plain ASCII.  What is
 * not UTF-8 becomes '?'. */
void smtp_utf8_xtext_encode(struct strbuf *out, struct slice s);
/* The same for text of type utf-8 that a client sent, in which only the octets above 0x7f are still to be written so. */
void smtp_utf8_xtext_finish(struct strbuf *out, struct slice s);

/* ---- replies, as a client reads them (RFC 5321 4.2) ----------------------------------------------- */

struct smtp_reply_parser {
    bool complete;        /* the last line was the reply's last: the next begins a new reply */
    int code;             /* of the lines so far; 0 before the first */
    unsigned lines;
    size_t total;
    char enhanced[12];
    struct strbuf text;   /* lines joined by "\n", codes cut off; control octets replaced; bounded */
};

void smtp_reply_init(struct smtp_reply_parser *p);
void smtp_reply_free(struct smtp_reply_parser *p);
/* One line without CRLF.  1: the reply is complete; 0: more lines follow; -1: not an SMTP reply, or
 * codes differ between lines, or a bound was passed.  A line behind a complete reply begins a new one. */
int smtp_reply_line(struct smtp_reply_parser *p, struct slice line);
/* The finished reply as a verdict; "\n" becomes " ". */
void smtp_reply_verdict(const struct smtp_reply_parser *p, struct smtp_verdict *ret);

/* What EHLO's reply offers.  `text` as smtp_reply_parser keeps it: the first line is the greeting. */
struct smtp_extensions {
    bool esmtp;           /* EHLO was accepted */
    bool starttls, pipelining, eightbitmime, smtputf8, chunking, dsn, enhancedstatuscodes, requiretls;
    bool has_size;
    uint64_t size;        /* 0 = no fixed limit */
    bool auth_plain, auth_login;
    unsigned rcptmax, mailmax; /* LIMITS (RFC 9422); 0 = not said */
};

void smtp_extensions_parse(struct slice text, struct smtp_extensions *ret);

#endif
