/* When to try, to try again and to renew; and what of it survives a restart. */
#include "internal.h"

#include <string.h>

enum {
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 86400,
    NEAR_FIRST_S = MINUTE_S, /* what costs the authority nothing */
    NEAR_MAX_S = HOUR_S,
    FAR_FIRST_S = 5 * MINUTE_S, /* Let's Encrypt: 5 failed validations of a name in an hour */
    FAR_MAX_S = DAY_S,
    LIMITED_FIRST_S = HOUR_S,    /* limited, and no word for how long */
    ASKED_MAX_S = 8 * DAY_S,     /* no authority may say "never": the longest limits are a week */
    CHECK_DEFAULT_S = 6 * HOUR_S /* RFC 9773 4.3.3 */
};

/* ---- waiting --------------------------------------------------------------------------------- */

static int64_t doubled(int64_t first, int64_t max, unsigned failures)
{
    int64_t s = first;

    for (unsigned i = 1; i < failures && s < max; i++)
        s *= 2;
    return s < max ? s : max;
}

int64_t acme_backoff_s(const struct acme_failure *f, unsigned failures, uint32_t random)
{
    bool near = f->kind == ACME_FAILURE_LOCAL || f->kind == ACME_FAILURE_NETWORK;
    int64_t asked = f->retry_after_s > ASKED_MAX_S ? ASKED_MAX_S : f->retry_after_s;
    int64_t wait = near ? doubled(NEAR_FIRST_S, NEAR_MAX_S, failures) : doubled(FAR_FIRST_S, FAR_MAX_S, failures);

    if (f->kind == ACME_FAILURE_LIMITED && asked < 0)
        wait = doubled(LIMITED_FIRST_S, FAR_MAX_S, failures);
    if (asked > wait)
        wait = asked;
    /* A quarter more at most, so that not all who failed together come back together; never less. */
    return wait + (int64_t)((uint64_t)(wait / 4) * random / UINT32_MAX);
}

void acme_state_clamp(struct acme_state *s, int64_t now)
{
    int64_t longest = s->limited         ? (int64_t)ASKED_MAX_S
                      : s->failures == 0 ? (int64_t)HOUR_S
                                         : doubled(FAR_FIRST_S, FAR_MAX_S, s->failures);

    if (longest < HOUR_S)
        longest = HOUR_S;
    if (s->next_attempt > now + longest + longest / 4)
        s->next_attempt = now + longest;
    if (s->check_at > now + DAY_S)
        s->check_at = now + DAY_S;
}

void acme_renewal_choose(struct acme_state *s, const char *certificate, const struct acme_window *w, uint32_t random)
{
    if (strcmp(s->renewal.certificate, certificate) == 0 && s->renewal.window.start == w->start &&
        s->renewal.window.end == w->end)
        return;
    snprintf(s->renewal.certificate, sizeof(s->renewal.certificate), "%s", certificate);
    s->renewal.window = *w;
    s->renewal.renew_at = w->start + (int64_t)((double)(w->end - w->start) * random / UINT32_MAX);
}

int64_t acme_renew_at(const struct acme_state *s, const char *certificate, int64_t not_before, int64_t not_after)
{
    int64_t lifetime = not_after - not_before, latest = not_after - lifetime / 10;

    if (*certificate == '\0' || strcmp(s->renewal.certificate, certificate) != 0)
        return not_before + lifetime / 3 * 2;
    return s->renewal.renew_at < latest ? s->renewal.renew_at : latest;
}

int64_t acme_check_after_s(int64_t retry_after_s)
{
    if (retry_after_s < 0)
        return CHECK_DEFAULT_S;
    return retry_after_s < MINUTE_S ? MINUTE_S : retry_after_s > DAY_S ? DAY_S : retry_after_s;
}

/* ---- state.json ------------------------------------------------------------------------------ */

static void take_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text != NULL && strlen(text) < size)
        snprintf(out, size, "%s", text);
}

static void take_url(const json_t *object, const char *key, char out[ACME_URL_MAX])
{
    take_text(object, key, out, ACME_URL_MAX);
    if (!acme_url_ok(out))
        memset(out, 0, ACME_URL_MAX);
}

static int64_t number_of(const json_t *object, const char *key)
{
    int64_t n = json_integer_value(json_object_get(object, key));
    return n < 0 ? 0 : n;
}

static void take_renewal(const json_t *renewal, struct acme_state *s)
{
    take_text(renewal, "certificate", s->renewal.certificate, sizeof(s->renewal.certificate));
    s->renewal.window.start = number_of(renewal, "start");
    s->renewal.window.end = number_of(renewal, "end");
    s->renewal.renew_at = number_of(renewal, "renew_at");
}

int acme_state_parse(struct slice text, struct acme_state *ret)
{
    json_t *doc = text.n == 0 ? NULL : json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *prefer = json_object_get(doc, "challenge");

    *ret = (struct acme_state){.failures = 0};
    if (!json_is_object(doc)) {
        json_decref(doc);
        return -1;
    }
    take_url(doc, "directory", ret->directory);
    take_url(doc, "account", ret->account);
    take_text(doc, "email", ret->email, sizeof(ret->email));
    take_url(doc, "issued_by", ret->issued_by);
    int64_t failures = number_of(doc, "failures");
    ret->failures = failures > 1000 ? 1000 : (unsigned)failures;
    ret->next_attempt = number_of(doc, "next_attempt");
    ret->limited = json_is_true(json_object_get(doc, "limited"));
    take_text(doc, "reason", ret->reason, sizeof(ret->reason));
    take_text(doc, "fix", ret->fix, sizeof(ret->fix));
    ret->since = number_of(doc, "since");
    ret->unnamed = json_is_true(json_object_get(doc, "unnamed"));
    if (json_is_string(prefer) && strcmp(json_string_value(prefer), acme_challenge_name(ACME_TLS_ALPN_01)) == 0)
        ret->prefer = ACME_TLS_ALPN_01;
    take_renewal(json_object_get(doc, "renewal"), ret);
    ret->check_at = number_of(doc, "check_at");
    json_decref(doc);
    return 0;
}

int acme_state_print(const struct acme_state *s, struct strbuf *out)
{
    json_t *renewal = json_pack("{s:s, s:I, s:I, s:I}", "certificate", s->renewal.certificate, "start",
                                (json_int_t)s->renewal.window.start, "end", (json_int_t)s->renewal.window.end,
                                "renew_at", (json_int_t)s->renewal.renew_at);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:b, s:s, s:s, s:s, s:o, s:I}", "directory", s->directory,
                  "account", s->account, "email", s->email, "issued_by", s->issued_by, "failures", (int)s->failures,
                  "since", (json_int_t)s->since, "next_attempt", (json_int_t)s->next_attempt, "limited",
                  (int)s->limited, "unnamed", (int)s->unnamed, "reason", s->reason, "fix", s->fix, "challenge",
                  acme_challenge_name(s->prefer), "renewal", renewal, "check_at", (json_int_t)s->check_at);
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_INDENT(2));

    if (text != NULL)
        strbuf_addf(out, "%s\n", text);
    free(text);
    json_decref(doc);
    return text == NULL || out->failed ? -1 : 0;
}
