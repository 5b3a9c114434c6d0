/* src/cli/check.h - `sendas check`: what is asked, how it is judged, how it is told.
 *
 * Each check appends one item to the run.  What is judged from DNS asks through run->dns, so that a table may answer;
 * what is judged from files and sockets is found out first, in a struct of facts, and judged by a function that sees
 * only that. */
#ifndef SENDAS_CLI_CHECK_H
#define SENDAS_CLI_CHECK_H

#include "sendas/base.h"
#include "sendas/config.h"

#include <jansson.h>

enum { CHECK_MEMORY_MAX = 16 * 1024 * 1024, CHECK_ADDRESSES_MAX = 16 };

enum check_status { CHECK_PASS = 0, CHECK_WARN, CHECK_FAIL };

/* Texts are printable, NUL-terminated and live in the run's arena; "" where there is nothing to say. */
struct check_item {
    struct check_item *next;
    const char *id;
    const char *domain; /* NULL: it is about the host */
    enum check_status status;
    bool unknown; /* a warning because the answer could not be had */
    bool minor;   /* receivers do without it: a DKIM key that is not RSA */
    const char *found, *expected, *fix;
};

struct check_run {
    struct arena memory;
    const struct config *config;
    struct lookup dns;
    int64_t now;                                /* seconds since the epoch */
    const char *smarthost;                      /* the host that takes all mail ("*" in delivery.routes), or NULL */
    const char *addresses[CHECK_ADDRESSES_MAX]; /* that mail leaves from */
    size_t n_addresses;
    bool addresses_unknown; /* DNS gave no answer for them */
    struct check_item *first, **end;
    struct check_item spare; /* what is written to when memory has ended */
    bool failed;             /* it has */
};

void check_begin(struct check_run *r, const struct config *c, struct lookup dns, int64_t now);
/* Never NULL.  `id` is copied. */
struct check_item *check_add(struct check_run *r, const char *id, const char *domain, enum check_status status);
/* A text for an item: what cannot be printed becomes '?'. */
const char *check_text(struct check_run *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* The texts of an item at once; `found` and `fix` are freed. */
void check_tell(struct check_run *r, struct check_item *item, struct strbuf *found, const char *expected,
                struct strbuf *fix);
/* A warning: DNS gave no answer for `name`. */
void check_no_answer(struct check_run *r, struct check_item *item, const char *name);
struct lookup_answer check_ask(struct check_run *r, const char *name, enum lookup_status *worst, unsigned type);
/* "; " between two texts of a list. */
void check_join(struct strbuf *list);

/* ---- the host, by DNS: check_host.c.  check_hostname comes first: it finds the addresses that mail leaves from. ---- */
void check_hostname(struct check_run *r);
void check_ptr(struct check_run *r);
void check_dnsbl(struct check_run *r);

/* ---- a domain, by DNS: check_domain.c, check_spf.c, check_dkim.c ---- */
void check_spf(struct check_run *r, const char *domain);
void check_dkim(struct check_run *r, const struct config_domain *domain);
void check_dmarc(struct check_run *r, const char *domain);
void check_mx(struct check_run *r, const char *domain);

/* ---- the certificate: check_certificate.c ---- */
struct check_certificate {
    struct err problem; /* it cannot be loaded; text "" = it can */
    bool matches;       /* the key */
    bool covers;        /* the host name */
    bool self_signed;
    int64_t not_before, not_after; /* seconds since the epoch */
    const char *untrusted;         /* why the chain is not trusted; NULL = it is */
    char issuer[256];
};
void check_certificate_judge(struct check_run *r, const struct check_certificate *f);
void check_certificate(struct check_run *r);

/* ---- the way out: check_port.c ---- */
struct check_port {
    char host[DOMAIN_MAX + 1];
    char address[64]; /* "" = none was found */
    uint16_t port;
    bool override;      /* the host is one of delivery.routes */
    bool unknown;       /* DNS gave no answer */
    int error;          /* errno of the connection; 0 = it is there */
    char greeting[256]; /* "" = none came */
};
void check_port_judge(struct check_run *r, const struct check_port *f);
void check_port25(struct check_run *r);

/* ---- files: check_files.c ---- */
struct check_file {
    const char *path;
    bool secret, folder; /* a folder is written to */
    int error;           /* errno of stat(2) */
    unsigned mode, uid, gid;
};
struct check_reader { /* who runs the daemon */
    unsigned uid, gid;
    const char *name;
};
/* What keeps the daemon from using it, and the command that mends it; false when all is well. */
bool check_file_judge(const struct check_file *f, const struct check_reader *who, struct strbuf *found,
                      struct strbuf *fix);
void check_files(struct check_run *r);

/* ---- what follows: check_report.c ---- */
enum check_verdict { CHECK_ACCEPT = 0, CHECK_RISK, CHECK_REFUSE };
enum { CHECK_RECEIVERS = 4 };
struct check_receiver {
    const char *name;
    enum check_verdict verdict;
    const char *reason;
};
void check_receivers(struct check_run *r, struct check_receiver ret[CHECK_RECEIVERS]);
/* `several`: more than one domain was looked at, so that each item says which. */
void check_print(struct check_run *r, bool several, FILE *out);
json_t *check_json(struct check_run *r, bool several);
bool check_any_failed(const struct check_run *r);

#endif
