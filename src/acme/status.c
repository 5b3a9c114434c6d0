/* What commands are told of the daemon's certificate: what it has noted, read from the files. */
#include "internal.h"

#include "sendas/tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Missing files are empty; none of them is a secret. */
static int read_file(const struct config *c, const char *name, struct strbuf *out, struct err *err)
{
    struct strbuf path = STRBUF_INIT;
    int rc = 0;

    acme_path(c, name, &path);
    if (access(strbuf_str(&path), F_OK) == 0 || errno != ENOENT)
        rc = file_read(strbuf_str(&path), ACME_FILE_MAX, false, out, err);
    strbuf_free(&path);
    return rc;
}

/* When the certificate that is there is due; 0 = there is none. */
static int64_t renew_at(const struct config *c, const struct acme_state *state, struct slice chain)
{
    struct tls_certificate_facts facts = {.not_after = 0};
    struct strbuf id = STRBUF_INIT;
    struct err err;
    int64_t at = 0;

    if (chain.n > 0 && tls_certificate_judge(chain, c->hostname, &facts, &err) == 0) {
        if (acme_certificate_id(chain, &id) < 0)
            strbuf_reset(&id);
        at = acme_renew_at(state, strbuf_str(&id), facts.not_before, facts.not_after);
    }
    strbuf_free(&id);
    return at;
}

int acme_status_read(const struct config *c, struct acme_status *ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT, chain = STRBUF_INIT;
    struct acme_state state = {.failures = 0};

    *ret = (struct acme_status){.failures = 0};
    int rc = read_file(c, "state.json", &text, err);
    if (rc == 0 && text.n > 0 && acme_state_parse(strbuf_slice(&text), &state) < 0)
        rc = err_set(err, "%s/state.json is damaged", c->tls.acme->dir);
    if (rc == 0)
        rc = read_file(c, "fullchain.pem", &chain, err);
    if (rc == 0) {
        *ret = (struct acme_status){.failures = state.failures,
                                    .since = state.since,
                                    .limited = state.limited,
                                    .unnamed = state.unnamed,
                                    .under_way = strcmp(state.reason, ACME_UNFINISHED) == 0,
                                    .next_attempt = state.next_attempt,
                                    .renew_at = renew_at(c, &state, strbuf_slice(&chain))};
        snprintf(ret->reason, sizeof(ret->reason), "%s", state.reason);
        snprintf(ret->fix, sizeof(ret->fix), "%s", state.fix);
    }
    strbuf_free(&text);
    strbuf_free(&chain);
    return rc;
}
