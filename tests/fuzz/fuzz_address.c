/* Address lists: whatever is accepted, written by mailbox_format and read again, is the same address; and an SMTP path
 * wherever its domain is a name.  The first octet chooses the flags. */
#include "sendas/message.h"
#include "sendas/smtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_mailbox(struct arena *a, const struct mailbox *m)
{
    struct strbuf text = STRBUF_INIT;
    struct mailbox_list again;
    struct smtp_mailbox path;
    char ascii[DOMAIN_MAX + 1];
    mailbox_format(&text, m->local, m->domain);
    struct slice address = strbuf_slice(&text);
    require(m->local.n > 0 && m->domain.n > 0 && address.n <= SMTP_PATH_MAX);
    require(mailbox_list_parse(a, address, ADDRESS_ONE, &again, NULL) == 0 && again.n == 1);
    require(slice_eq(again.v[0].local, m->local) && slice_eq(again.v[0].domain, m->domain));
    require(again.v[0].literal == m->literal && again.v[0].display.n == 0);
    if (!m->literal && domain_to_ascii(m->domain, ascii, NULL) == 0) {
        require(smtp_mailbox_parse(address, &path, NULL) == 0);
        require(slice_eq(smtp_local_part_decode(a, path.local), m->local) && slice_eq(path.domain, m->domain));
    }
    strbuf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena a = ARENA_INIT(16 * 1024 * 1024);
    struct mailbox_list list;
    struct err err = {{0}};
    unsigned flags = data[0] & (ADDRESS_ONE | ADDRESS_GROUPS);
    int rc = mailbox_list_parse(&a, slice_from(data + 1, size - 1), flags, &list, &err);
    if (rc == 0) {
        require(list.n <= MESSAGE_ADDRESSES_MAX);
        require(flags & ADDRESS_GROUPS || list.n > 0);
        require(!(flags & ADDRESS_ONE) || list.n == 1);
        for (size_t i = 0; i < list.n; i++)
            check_mailbox(&a, &list.v[i]);
    } else {
        require(rc == -1 && err.text[0] != '\0' && slice_is_ascii(slice_of(err.text)));
    }
    arena_free(&a);
    return 0;
}
