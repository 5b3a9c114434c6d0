/* The certificate that sendas obtains itself: how far the daemon has got, by what it has noted. */
#include "check.h"

#include "sendas/acme.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { UNDER_WAY_S = 15 * 60 };

static const char *moment(struct check_run *r, int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;
    return gmtime_r(&t, &tm) == NULL ? "?"
                                     : check_text(r, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
                                                  tm.tm_mday, tm.tm_hour, tm.tm_min);
}

static void tell_failing(struct check_run *r, const struct acme_status *s, struct strbuf *found, struct strbuf *fix)
{
    strbuf_add_str(found, "obtaining one (tls.acme) fails");
    if (s->since > 0)
        strbuf_addf(found, " since %s", moment(r, s->since));
    strbuf_addf(found, ", %u time%s: %s", s->failures, s->failures == 1 ? "" : "s", s->reason);
    if (s->next_attempt > r->now)
        strbuf_addf(found, "; the next attempt is at %s", moment(r, s->next_attempt));
    strbuf_addf(fix, "%s%s", s->fix[0] != '\0' ? s->fix : "journalctl -u sendas tells more of it",
                s->limited ? "" : "; systemctl reload sendas then tries at once");
}

/* Behind its time by half of what was left then. */
static bool is_late(const struct check_run *r, const struct acme_status *s, int64_t not_after)
{
    return s->renew_at > 0 && r->now > s->renew_at + (not_after - s->renew_at) / 2;
}

bool check_acme_judge(struct check_run *r, const struct acme_status *s, int64_t not_after, struct strbuf *found,
                      struct strbuf *fix)
{
    if (s->failures == 0 && s->unnamed) {
        strbuf_add_str(found,
                       "before it obtains one sendas waits for every name server to show an address of the host");
        strbuf_addf(fix,
                    "publish the A record of %s (sendas dns shows it): the certificate comes within a minute or two",
                    r->config->hostname);
    } else if (s->failures == 1 && s->under_way && r->now - s->since < UNDER_WAY_S) {
        strbuf_add_str(found, "sendas is obtaining one (tls.acme)");
        strbuf_add_str(fix, "look again in a minute");
    } else if (s->failures > 0) {
        tell_failing(r, s, found, fix);
    } else if (is_late(r, s, not_after)) {
        strbuf_addf(found, "sendas should have renewed it (tls.acme) from %s on", moment(r, s->renew_at));
        strbuf_add_str(fix, "see that sendas runs; journalctl -u sendas tells why it does not");
    } else if (s->renew_at == 0) {
        strbuf_add_str(found, "sendas has not begun yet to obtain one (tls.acme)");
        strbuf_add_str(fix, "see that sendas runs, then look again in a minute");
    }
    return found->n > 0;
}
