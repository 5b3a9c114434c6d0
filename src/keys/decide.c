/* Which keys sign, when to look again, how long a record is kept: from what is known, asking nobody. */
#include "sendas/keys.h"

#include <time.h>

enum { MINUTE_S = 60, WAITING_MAX_S = 15 * MINUTE_S };

static bool is_candidate(const struct keys_fact *f)
{
    return f->state == CONFIG_KEY_ACTIVE || (f->state == CONFIG_KEY_WAITING && f->published);
}

void keys_decide(const struct keys_fact *v, size_t n, bool *signs)
{
    bool good = false, good_rsa = false;

    for (size_t i = 0; i < n; i++)
        if (is_candidate(&v[i]) && v[i].found == KEYS_GOOD) {
            good = true;
            good_rsa = good_rsa || v[i].rsa;
        }
    for (size_t i = 0; i < n; i++)
        signs[i] = is_candidate(&v[i]) && !(keys_found_is_bad(v[i].found) && (v[i].rsa ? good_rsa : good));
}

int64_t keys_next_look_s(const struct keys_fact *f, unsigned looks)
{
    bool settled = f->found == KEYS_GOOD && is_candidate(f);

    if (settled)
        return KEYS_DAY_S;
    if (f->state == CONFIG_KEY_WAITING && looks < 5)
        return (int64_t)MINUTE_S << (looks - 1); /* 1, 2, 4, 8 minutes, then 15 */
    return WAITING_MAX_S;
}

bool keys_kept_until(const struct config_key *k, int64_t *ret_day)
{
    if (config_parse_date(slice_of(k->since), ret_day) < 0)
        return false;
    *ret_day += KEYS_KEPT_DAYS;
    return true;
}

bool keys_record_wanted(const struct config_key *k, int64_t today)
{
    int64_t until;
    return k->state != CONFIG_KEY_RETIRED || !keys_kept_until(k, &until) || today < until;
}

void keys_day_text(char out[16], int64_t day)
{
    time_t seconds = (time_t)(day * KEYS_DAY_S);
    struct tm tm;

    out[0] = '\0';
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(out, 16, "%Y-%m-%d", &tm);
}
