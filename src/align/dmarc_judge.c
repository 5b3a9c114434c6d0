/* A domain's DMARC record as its owner should see it. */
#include "internal.h"

#include <stdarg.h>

enum { NOTES_MAX = 24, ADDRESSES_MAX = 8 };

struct judge {
    struct arena *arena;
    const struct lookup *dns;
    struct slice domain;
    struct dmarc_note *notes;
    size_t n_notes;
    bool no_memory;
};

static void note(struct judge *j, bool serious, const char *format, ...) PRINTF_LIKE(3, 4);
static void note(struct judge *j, bool serious, const char *format, ...)
{
    va_list args;
    if (j->n_notes == NOTES_MAX)
        return;
    va_start(args, format);
    struct slice copy = align_text(j->arena, format, args);
    va_end(args);
    j->no_memory = j->no_memory || copy.p == NULL;
    j->notes[j->n_notes++] = (struct dmarc_note){serious, copy};
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static bool ask(struct judge *j, const char *name, struct lookup_answer *ret)
{
    struct spf_run run = {.arena = j->arena, .dns = j->dns};
    return spf_ask(&run, slice_of(name), DNS_TYPE_TXT, ret);
}

/* RFC 9990 4: another organization has to agree to take the reports. */
static void judge_destination(struct judge *j, struct slice address)
{
    struct slice local, ours, theirs;
    struct slice domain = slice_cut(address, '@', &local);
    char name[DOMAIN_MAX + 1];
    struct lookup_answer answer;
    if (align_name(domain, name) < 0) {
        note(j, true, "reports cannot go to \"%s\", which is no mail address", align_show(address).text);
        return;
    }
    if (slice_eq_icase(slice_of(name), j->domain) ||
        dmarc_organizational_domain(j->arena, j->dns, j->domain, &ours, NULL) < 0 ||
        dmarc_organizational_domain(j->arena, j->dns, slice_of(name), &theirs, NULL) < 0 || slice_eq(ours, theirs))
        return;
    struct err question;
    err_set(&question, "%.*s._report._dmarc.%s", SLICE_ARG(j->domain), name);
    if (!ask(j, question.text, &answer) || answer.status == LOOKUP_TEMPFAIL)
        return;
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++)
        if (dmarc_record_is(answer.records[i].text))
            return;
    note(j, false, "reports to %s are not sent until %s has the TXT record \"v=DMARC1\"", align_show(address).text,
         question.text);
}

static void judge_destinations(struct judge *j, struct slice list)
{
    for (size_t i = 0; list.n > 0 && i < ADDRESSES_MAX; i++) {
        struct slice uri, size;
        list = slice_cut(list, ',', &uri);
        uri = slice_trim(uri);
        size = slice_cut(uri, '!', &uri);
        if (size.n > 0)
            note(j, false, "\"!%s\" behind an address is history (RFC 9989): take it out", align_show(size).text);
        if (slice_starts_icase(uri, SLICE("mailto:")))
            judge_destination(j, slice_skip(uri, SLICE("mailto:").n));
        else if (uri.n > 0)
            note(j, true, "reports cannot go to \"%s\": mailto: is missing in front of it", align_show(uri).text);
    }
}

/* ---- tags ---------------------------------------------------------------------------------------------------------- */

static const char *const known_tags[] = {"v", "p", "sp", "np", "psd", "adkim", "aspf", "t", "rua", "ruf", "fo"};
static const char *const historic_tags[] = {"pct", "rf", "ri"};

static bool is_one_of(const char *const *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_icase(name, slice_of(list[i])))
            return true;
    return false;
}

static void judge_tag(struct judge *j, struct slice name, struct slice value)
{
    static const char *const policies[] = {"none", "quarantine", "reject"};
    bool policy =
        slice_eq_icase(name, SLICE("p")) || slice_eq_icase(name, SLICE("sp")) || slice_eq_icase(name, SLICE("np"));
    bool mode = slice_eq_icase(name, SLICE("adkim")) || slice_eq_icase(name, SLICE("aspf"));
    struct shown shown = align_show(value);
    if (is_one_of(historic_tags, ARRAY_LEN(historic_tags), name))
        note(j, false, "%s= is history (RFC 9989), and receivers ignore it: take it out", align_show(name).text);
    else if (!is_one_of(known_tags, ARRAY_LEN(known_tags), name))
        note(j, false, "receivers ignore the unknown tag %s=", align_show(name).text);
    else if (policy && !is_one_of(policies, ARRAY_LEN(policies), value))
        note(j, true, "%s=%s is no policy: it is none, quarantine or reject", align_show(name).text, shown.text);
    else if (mode && !slice_eq_icase(value, SLICE("r")) && !slice_eq_icase(value, SLICE("s")))
        note(j, false, "%s=%s counts as r: it is r (relaxed) or s (strict)", align_show(name).text, shown.text);
    else if (slice_eq_icase(name, SLICE("rua")))
        judge_destinations(j, value);
}

static void judge_record(struct judge *j, const struct dmarc_record *record)
{
    struct slice rest = record->text, name, value;
    while (dmarc_tag_next(&rest, &name, &value))
        if (name.n > 0)
            judge_tag(j, name, value);
    if (!record->has_p)
        note(j, true, "it has no policy: add p=none, p=quarantine or p=reject");
    if (!record->has_rua)
        note(j, false, "nobody gets the daily reports of receivers: add rua=mailto: and an address of yours");
    if (record->testing)
        note(j, false, "t=y asks receivers to do less than the policy says: take it out when all passes");
}

/* ---- finding it ------------------------------------------------------------------------------------------------------ */

/* A DMARC record with a slip at its beginning. */
static bool is_meant(struct slice text)
{
    text = slice_trim(text);
    while (text.n > 0 && text.p[0] == '"')
        text = slice_skip(text, 1);
    return slice_starts_icase(text, SLICE("v=dmarc")) || slice_starts_icase(text, SLICE("dmarc1")) ||
           slice_starts_icase(text, SLICE("p="));
}

static enum dmarc_policy lowered(enum dmarc_policy p, bool testing)
{
    return testing && p > DMARC_POLICY_NONE ? p - 1 : p;
}

/* The one record, or the first valid of several. */
static void take_own(struct judge *j, struct slice text, struct dmarc_judgement *ret)
{
    struct dmarc_record record;
    dmarc_record_parse(text, &record);
    if (ret->record.n > 0 && (ret->usable || record.bad_policy))
        return;
    ret->record = text;
    ret->record_of = j->domain;
    ret->usable = !record.bad_policy;
    ret->policy = lowered(record.p, record.testing);
}

/* RFC 9989 4.10.1: what the domains above say. */
static void judge_above(struct judge *j, struct dmarc_judgement *ret)
{
    struct dmarc_walk walk;
    dmarc_walk_begin(&walk, j->arena, j->dns, j->domain);
    dmarc_walk_finish(&walk, j->arena, j->dns);
    const struct dmarc_found *found = dmarc_walk_policy(&walk);
    if (walk.failed) {
        note(j, false, "DNS gave no answer whether a DMARC record of %s holds for it", align_show(walk.failed_at).text);
    } else if (found != NULL && !found->record.bad_policy) {
        *ret = (struct dmarc_judgement){DMARC_FOUND_ABOVE, found->record.text, found->domain, .usable = true};
        ret->policy = lowered(found->record.has_sp ? found->record.sp : found->record.p, found->record.testing);
    }
}

static void judge_domain(struct judge *j, struct dmarc_judgement *ret)
{
    struct err name;
    struct lookup_answer answer;
    size_t records = 0;
    struct slice meant = {0};
    err_set(&name, "_dmarc.%.*s", SLICE_ARG(j->domain));
    ask(j, name.text, &answer);
    for (size_t i = 0; answer.status == LOOKUP_OK && i < answer.n; i++) {
        struct slice text = answer.records[i].text;
        if (dmarc_record_is(text)) {
            records++;
            take_own(j, text, ret);
        } else if (is_meant(text)) {
            meant = text;
        }
    }
    if (records > 0) {
        struct dmarc_record record;
        ret->found = records == 1 ? DMARC_FOUND_OWN : DMARC_FOUND_SEVERAL;
        dmarc_record_parse(ret->record, &record);
        judge_record(j, &record);
    }
    if (records > 1)
        note(j, true, "there are %zu records at %s, so none of them counts: leave only one", records, name.text);
    if (records > 0 || answer.status == LOOKUP_TEMPFAIL)
        return;
    ret->found = DMARC_FOUND_NOTHING;
    if (meant.n == 0) {
        judge_above(j, ret);
        return;
    }
    *ret = (struct dmarc_judgement){DMARC_FOUND_BROKEN, meant, j->domain, .usable = false};
    note(j, true, "receivers see no DMARC record in [%s]: it has to begin with v=DMARC1; and then a policy, p=",
         align_show(meant).text);
}

int dmarc_judge(struct arena *a, const struct lookup *dns, struct slice domain, struct dmarc_judgement *ret,
                struct err *err)
{
    struct judge j = {.arena = a, .dns = dns, .domain = domain};
    *ret = (struct dmarc_judgement){.found = DMARC_FOUND_UNKNOWN};
    j.notes = arena_alloc_array(a, NOTES_MAX, sizeof *j.notes);
    if (j.notes == NULL)
        return err_set(err, "out of memory");
    judge_domain(&j, ret);
    ret->notes = j.notes;
    ret->n_notes = j.n_notes;
    return j.no_memory ? err_set(err, "out of memory") : 0;
}
