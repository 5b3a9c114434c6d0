/* Who may send as whom, and the envelope sender that aligns.  Read align_check from top to bottom. */
#include "sendas/align.h"

#include <assert.h>

/* Addresses in all sender fields together: each is compared with every pattern, on the event loop. */
enum { SENDERS_MAX = 100 };

/* RFC 5322 3.6, RFC 2045 4, 5, 6: fields that stand at most once.  Readers differ in which of two they take, so two are
 * refused.  (Bcc and Return-Path are removed anyway; From has an answer of its own.) */
static const char *const single_fields[] = {"Date",    "Sender",       "Reply-To",     "To",
                                            "Cc",      "Message-ID",   "In-Reply-To",  "References",
                                            "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"};

/* What one check works on. */
struct check {
    struct arena *arena;
    const struct align_request *req;
    struct smtp_verdict *v;
    size_t senders; /* addresses looked at so far */
};

static int out_of_memory(struct check *c)
{
    return smtp_verdict_set(c->v, 451, "4.3.0", "Out of memory, try again later");
}

/* The address as it stands in a path or a reply, quoted where it must be; .p is NULL when out of memory. */
static struct slice address_of(struct check *c, struct slice local, struct slice domain)
{
    struct strbuf text = STRBUF_INIT;
    mailbox_format(&text, local, domain);
    struct slice copy = {0};
    if (!text.failed)
        copy = arena_copy(c->arena, strbuf_slice(&text));
    strbuf_free(&text);
    return copy;
}

/* May the user send as this address?  Without patterns: is its domain one of ours? */
static bool is_allowed(const struct align_request *req, struct slice local, struct slice domain)
{
    char ascii[DOMAIN_MAX + 1];
    if (req->n_send_as == 0)
        return domain_to_ascii(domain, ascii, NULL) == 0 && req->return_path_of(req->ctx, ascii) != NULL;
    for (size_t i = 0; i < req->n_send_as; i++)
        if (req->pattern_matches(req->send_as[i], local, domain))
            return true;
    return false;
}

static int check_single_fields(struct check *c)
{
    size_t n = fields_count(c->req->fields, SLICE("From"));
    if (n != 1)
        return smtp_verdict_set(c->v, 550, "5.6.0",
                                n == 0 ? "The message has no From: field"
                                       : "The message has more than one From: field");
    for (size_t i = 0; i < ARRAY_LEN(single_fields); i++)
        if (fields_count(c->req->fields, slice_of(single_fields[i])) > 1)
            return smtp_verdict_set(c->v, 550, "5.6.0", "The message has more than one %s: field", single_fields[i]);
    return 0;
}

/* Everything about one sender's address but whether the user may use it. */
static int check_form(struct check *c, const char *field, const struct mailbox *m)
{
    char ascii[DOMAIN_MAX + 1];
    struct err err;
    if (++c->senders > SENDERS_MAX)
        return smtp_verdict_set(c->v, 550, "5.6.0", "More than %d addresses in From:, Sender: and their Resent- fields",
                                SENDERS_MAX);
    /* RFC 6531 3.4; the address stays out of the reply, which is ASCII without SMTPUTF8: 3.7.4.1 */
    if (!c->req->smtputf8 && !(slice_is_ascii(m->local) && slice_is_ascii(m->domain)))
        return smtp_verdict_set(c->v, 553, "5.6.7", "A non-ASCII address in %s: needs SMTPUTF8", field);
    if (m->literal)
        return smtp_verdict_set(c->v, 550, "5.7.1", "%s: has an address without a domain name: %.*s", field,
                                SLICE_ARG(m->domain));
    if (domain_to_ascii(m->domain, ascii, &err) < 0)
        return smtp_verdict_set(c->v, 550, "5.6.0", "%s: has a domain that is no name: %s", field, err.text);
    return 0;
}

static int check_address(struct check *c, const char *field, const struct mailbox *m)
{
    if (check_form(c, field, m) < 0)
        return -1;
    if (is_allowed(c->req, m->local, m->domain))
        return 0;
    struct slice address = address_of(c, m->local, m->domain);
    if (address.p == NULL)
        return out_of_memory(c);
    if (c->req->n_send_as == 0)
        return smtp_verdict_set(c->v, 550, "5.7.1", "There is no DKIM key for the domain of %.*s (%s:)",
                                SLICE_ARG(address), field);
    return smtp_verdict_set(c->v, 550, "5.7.1", "You may not send as %.*s (%s:)", SLICE_ARG(address), field);
}

/* Every field of this name: its addresses must be clear, and the user's own. */
static int check_field(struct check *c, const char *name, unsigned flags, struct mailbox_list *ret)
{
    const struct field *f;
    for (size_t i = 0; (f = fields_get(c->req->fields, slice_of(name), i)) != NULL; i++) {
        struct mailbox_list list;
        struct err err;
        int rc = mailbox_list_parse(c->arena, f->value, flags, &list, &err);
        if (rc == MESSAGE_NO_MEMORY)
            return out_of_memory(c);
        if (rc < 0)
            return smtp_verdict_set(c->v, 550, "5.6.0", "%s: is not clear: %s", name, err.text);
        for (size_t k = 0; k < list.n; k++)
            if (check_address(c, name, &list.v[k]) < 0)
                return -1;
        if (ret != NULL)
            *ret = list;
    }
    return 0;
}

/* The one domain of all authors, in A-labels; it must be one that we sign for.  *ret_return_path is its own. */
static int settle_domain(struct check *c, const struct mailbox_list *authors, char domain[DOMAIN_MAX + 1],
                         const char **ret_return_path)
{
    /* check_form has passed every one of them */
    (void)domain_to_ascii(authors->v[0].domain, domain, NULL);
    for (size_t i = 1; i < authors->n; i++)
        if (!domain_eq(authors->v[i].domain, slice_of(domain)))
            return smtp_verdict_set(c->v, 550, "5.7.1", "From: has authors of several domains");
    *ret_return_path = c->req->return_path_of(c->req->ctx, domain);
    if (*ret_return_path == NULL)
        return smtp_verdict_set(c->v, 550, "5.7.1", "There is no DKIM key for %s", domain);
    return 0;
}

/* The author's address as a reverse-path, valid whether or not the next hop knows U-labels. */
static int author_path(struct check *c, const struct mailbox *author, const char *domain, struct slice *ret)
{
    struct smtp_mailbox checked;
    struct err err;
    *ret = address_of(c, author->local, slice_of(domain));
    if (ret->p == NULL)
        return out_of_memory(c);
    if (smtp_mailbox_parse(*ret, &checked, &err) < 0)
        return smtp_verdict_set(c->v, 550, "5.6.0", "The address in From: cannot be an envelope sender: %s", err.text);
    return 0;
}

/* May the user use the client's MAIL FROM?  If so, *ret_aligned tells whether its domain is From's.  The session has
 * judged its syntax; the `sign` filter has none to give, and none is one that nobody may use. */
static int judge_mail_from(struct check *c, const char *domain, bool *ret_allowed, bool *ret_aligned)
{
    struct smtp_mailbox m;
    *ret_allowed = *ret_aligned = false;
    if (smtp_mailbox_parse(c->req->mail_from, &m, NULL) < 0 || m.literal)
        return 0;
    if (m.utf8 && !c->req->smtputf8)
        return smtp_verdict_set(c->v, 553, "5.6.7", "A non-ASCII address in MAIL FROM needs SMTPUTF8");
    struct slice local = smtp_local_part_decode(c->arena, m.local);
    if (local.p == NULL)
        return out_of_memory(c);
    *ret_allowed = is_allowed(c->req, local, m.domain);
    *ret_aligned = *ret_allowed && domain_eq(m.domain, slice_of(domain));
    return 0;
}

/* The envelope sender: the contract's section of that name. */
static int settle_envelope(struct check *c, const struct mailbox *author, const char *return_path,
                           struct align_result *r)
{
    bool allowed, aligned;
    struct slice own;
    r->sender = r->bounce_to = SLICE("");
    r->rewritten = false;
    if (c->req->null_sender)
        return 0;
    if (author_path(c, author, r->domain, &own) < 0 || judge_mail_from(c, r->domain, &allowed, &aligned) < 0)
        return -1;
    struct slice submitted = arena_copy(c->arena, c->req->mail_from);
    struct slice configured = arena_copy(c->arena, slice_of(return_path));
    if (submitted.p == NULL || configured.p == NULL)
        return out_of_memory(c);
    if (aligned)
        r->sender = submitted;
    else
        r->sender = configured.n > 0 ? configured : own;
    r->bounce_to = allowed ? submitted : own;
    r->rewritten = !slice_eq(r->sender, submitted);
    return 0;
}

int align_check(struct arena *a, const struct align_request *req, struct align_result *ret, struct smtp_verdict *v)
{
    struct check c = {.arena = a, .req = req, .v = v};
    struct mailbox_list authors = {0};
    struct align_result r;
    const char *return_path;
    if (check_single_fields(&c) < 0)
        return -1;
    if (check_field(&c, "From", 0, &authors) < 0 || check_field(&c, "Sender", ADDRESS_ONE, NULL) < 0 ||
        check_field(&c, "Resent-From", 0, NULL) < 0 || check_field(&c, "Resent-Sender", ADDRESS_ONE, NULL) < 0)
        return -1;
    assert(authors.n > 0); /* check_single_fields: there is a From field */
    if (settle_domain(&c, &authors, r.domain, &return_path) < 0)
        return -1;
    if (settle_envelope(&c, &authors.v[0], return_path, &r) < 0)
        return -1;
    *ret = r;
    return 0;
}
