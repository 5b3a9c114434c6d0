/* Sender checks.  Input: MAIL FROM, a line end, then the header; the first octet chooses SMTPUTF8, the null sender and
 * whether there is a user.  What is accepted names one author domain of ours, and each address is the user's. */
#include "sendas/align.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_ours(struct slice domain)
{
    return domain_eq(domain, SLICE("ours.example")) || domain_eq(domain, SLICE("b\xc3\xbc"
                                                                               "cher.example"));
}

static bool matches(const char *pattern, struct slice local, struct slice domain)
{
    return pattern[0] == '*' && local.n > 0 && is_ours(domain);
}

static const char *return_path_of(void *ctx, const char *domain)
{
    return is_ours(slice_of(domain)) ? ctx : NULL;
}

static void check_accepted(struct arena *a, const struct align_request *req, const struct align_result *r)
{
    static const char *const senders[] = {"From", "Sender", "Resent-From", "Resent-Sender"};
    struct smtp_mailbox path;
    require(fields_count(req->fields, SLICE("From")) == 1 && is_ours(slice_of(r->domain)));
    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        const struct field *f;
        for (size_t k = 0; (f = fields_get(req->fields, slice_of(senders[i]), k)) != NULL; k++) {
            struct mailbox_list list;
            require(mailbox_list_parse(a, f->value, 0, &list, NULL) == 0);
            for (size_t n = 0; n < list.n; n++) {
                require(is_ours(list.v[n].domain));
                require(i > 0 || domain_eq(list.v[n].domain, slice_of(r->domain)));
                require(req->smtputf8 || (slice_is_ascii(list.v[n].local) && slice_is_ascii(list.v[n].domain)));
            }
        }
    }
    if (req->null_sender) {
        require(r->sender.n == 0 && r->bounce_to.n == 0 && !r->rewritten);
        return;
    }
    require(smtp_mailbox_parse(r->sender, &path, NULL) == 0 && domain_eq(path.domain, slice_of(r->domain)));
    require(req->smtputf8 || !path.utf8);
    require(smtp_mailbox_parse(r->bounce_to, &path, NULL) == 0 && is_ours(path.domain));
    require(r->rewritten == !slice_eq(r->sender, req->mail_from));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const send_as[] = {"nobody@nowhere.example", "*@ours.example"};
    static char no_return_path[] = "";
    if (size == 0)
        return 0;
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct slice mail_from, header = slice_cut(slice_from(data + 1, size - 1), '\n', &mail_from);
    struct field_list fields;
    if (fields_parse(&a, header, &fields, NULL) == 0) {
        struct align_request req = {.fields = &fields,
                                    .send_as = send_as,
                                    .n_send_as = data[0] & 1 ? 0 : ARRAY_LEN(send_as),
                                    .null_sender = data[0] & 2,
                                    .mail_from = mail_from,
                                    .smtputf8 = data[0] & 4,
                                    .pattern_matches = matches,
                                    .return_path_of = return_path_of,
                                    .ctx = no_return_path};
        struct align_result r;
        struct smtp_verdict v;
        memset(&v, 0, sizeof(v));
        if (align_check(&a, &req, &r, &v) == 0)
            check_accepted(&a, &req, &r);
        else
            require(v.code >= 400 && v.enhanced[0] != '\0' && v.text[0] != '\0');
    }
    arena_free(&a);
    return 0;
}
