/* What large receivers will make of it, and how all of it is told. */
#include "check.h"

#include <string.h>

/* ---- receivers ------------------------------------------------------------------------------- */

/* What they ask of every sender, as they publish it: Google's and Yahoo's sender guidelines of February 2024,
 * Microsoft's of May 2025, Apple's postmaster page.  SPF and DKIM both, and DMARC, are strictly asked only of who sends
 * thousands a day; others are trusted less. */
enum topic { TOPIC_PORT = 0, TOPIC_PTR, TOPIC_SPF, TOPIC_DKIM, TOPIC_BOTH, TOPIC_DMARC, TOPIC_DNSBL, TOPIC_MX, TOPICS };

static const struct receiver {
    const char *name;
    enum check_verdict failed[TOPICS];
} receivers[CHECK_RECEIVERS] = {
    {"Gmail",
     {[TOPIC_PORT] = CHECK_REFUSE,
      [TOPIC_PTR] = CHECK_REFUSE,
      [TOPIC_SPF] = CHECK_RISK,
      [TOPIC_DKIM] = CHECK_RISK,
      [TOPIC_BOTH] = CHECK_REFUSE,
      [TOPIC_DMARC] = CHECK_RISK,
      [TOPIC_DNSBL] = CHECK_RISK,
      [TOPIC_MX] = CHECK_RISK}},
    {"Outlook",
     {[TOPIC_PORT] = CHECK_REFUSE,
      [TOPIC_PTR] = CHECK_RISK,
      [TOPIC_SPF] = CHECK_RISK,
      [TOPIC_DKIM] = CHECK_RISK,
      [TOPIC_BOTH] = CHECK_REFUSE,
      [TOPIC_DMARC] = CHECK_RISK,
      [TOPIC_DNSBL] = CHECK_REFUSE,
      [TOPIC_MX] = CHECK_RISK}},
    {"Yahoo",
     {[TOPIC_PORT] = CHECK_REFUSE,
      [TOPIC_PTR] = CHECK_REFUSE,
      [TOPIC_SPF] = CHECK_RISK,
      [TOPIC_DKIM] = CHECK_RISK,
      [TOPIC_BOTH] = CHECK_REFUSE,
      [TOPIC_DMARC] = CHECK_RISK,
      [TOPIC_DNSBL] = CHECK_REFUSE,
      [TOPIC_MX] = CHECK_REFUSE}},
    {"Apple",
     {[TOPIC_PORT] = CHECK_REFUSE,
      [TOPIC_PTR] = CHECK_REFUSE,
      [TOPIC_SPF] = CHECK_RISK,
      [TOPIC_DKIM] = CHECK_RISK,
      [TOPIC_BOTH] = CHECK_REFUSE,
      [TOPIC_DMARC] = CHECK_RISK,
      [TOPIC_DNSBL] = CHECK_REFUSE,
      [TOPIC_MX] = CHECK_RISK}},
};

static const struct {
    const char *id;      /* of the check */
    const char *failed;  /* the reason */
    const char *warned;  /* NULL: a warning is no reason for doubt */
    const char *unknown; /* NULL: nor is that it could not be checked */
} topics[TOPICS] = {
    [TOPIC_PORT] = {"port25", "no mail gets out of this server (port25)", "its greeting is a refusal (port25)",
                    "whether mail gets out is not known (port25)"},
    [TOPIC_PTR] = {"ptr", "the address has no forward-confirmed PTR record (ptr)",
                   "the PTR record is of another name (ptr)", "the PTR record could not be checked (ptr)"},
    [TOPIC_SPF] = {"spf", "SPF does not pass (spf)", NULL, "SPF could not be checked (spf)"},
    [TOPIC_DKIM] = {"dkim", "no RSA signature of DKIM passes (dkim)", "the DKIM key says that it is a test (dkim)",
                    "DKIM could not be checked (dkim)"},
    [TOPIC_BOTH] = {"", "neither SPF nor DKIM passes (spf, dkim)", NULL, NULL},
    [TOPIC_DMARC] = {"dmarc", "there is no DMARC record (dmarc)", NULL, NULL},
    [TOPIC_DNSBL] = {"dnsbl", "the address is on a blocklist (dnsbl)", "the address is on a blocklist (dnsbl)", NULL},
    [TOPIC_MX] = {"mx", "the domain takes no mail (mx)", NULL, NULL},
};

/* What was found of one topic, of one domain or, for those of the host, of all. */
struct finding {
    enum check_status status;
    bool there, unknown;
};

static bool is_of(const struct check_item *item, enum topic t)
{
    if (t == TOPIC_DKIM)
        return slice_starts(slice_of(item->id), SLICE("dkim:")) && !item->minor;
    return strcmp(item->id, topics[t].id) == 0;
}

/* One good RSA signature is enough. */
static void find(const struct check_run *r, const char *domain, struct finding ret[TOPICS])
{
    for (enum topic t = 0; t < TOPICS; t++) {
        struct finding *f = &ret[t];
        *f = (struct finding){.status = CHECK_PASS};
        for (const struct check_item *item = r->first; item != NULL; item = item->next) {
            if (!is_of(item, t) || (item->domain != NULL && strcmp(item->domain, domain) != 0))
                continue;
            if (!f->there || (t == TOPIC_DKIM && item->status < f->status))
                *f = (struct finding){item->status, true, item->unknown};
        }
    }
    if (!ret[TOPIC_DKIM].there)
        ret[TOPIC_DKIM] = (struct finding){CHECK_FAIL, true, false};
    if (ret[TOPIC_SPF].status == CHECK_FAIL && ret[TOPIC_DKIM].status == CHECK_FAIL)
        ret[TOPIC_BOTH] = (struct finding){CHECK_FAIL, true, false};
}

static void weigh(struct check_run *r, const struct receiver *who, const struct finding *found, const char *domain,
                  struct check_receiver *ret)
{
    for (enum topic t = 0; t < TOPICS; t++) {
        const struct finding *f = &found[t];
        const char *reason = f->status == CHECK_FAIL   ? topics[t].failed
                             : f->status == CHECK_PASS ? NULL
                             : f->unknown              ? topics[t].unknown
                                                       : topics[t].warned;
        enum check_verdict verdict = f->status == CHECK_FAIL ? who->failed[t] : CHECK_RISK;
        if (reason == NULL || verdict <= ret->verdict)
            continue;
        ret->verdict = verdict;
        bool of_host = t == TOPIC_PORT || t == TOPIC_PTR || t == TOPIC_DNSBL;
        ret->reason = domain == NULL || of_host ? reason : check_text(r, "%s: %s", domain, reason);
    }
}

/* The domains that were looked at: each has one item "spf". */
void check_receivers(struct check_run *r, struct check_receiver ret[CHECK_RECEIVERS])
{
    size_t domains = 0;
    for (size_t i = 0; i < CHECK_RECEIVERS; i++)
        ret[i] = (struct check_receiver){receivers[i].name, CHECK_ACCEPT, "nothing found that it objects to"};
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        domains += strcmp(item->id, "spf") == 0;
    for (const struct check_item *item = r->first; item != NULL; item = item->next) {
        struct finding found[TOPICS];
        if (strcmp(item->id, "spf") != 0)
            continue;
        find(r, item->domain, found);
        for (size_t i = 0; i < CHECK_RECEIVERS; i++)
            weigh(r, &receivers[i], found, domains > 1 ? item->domain : NULL, &ret[i]);
    }
}

bool check_any_failed(const struct check_run *r)
{
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        if (item->status == CHECK_FAIL)
            return true;
    return false;
}

/* ---- text
 * ------------------------------------------------------------------------------------------------------------ */

static const char *const status_names[] = {[CHECK_PASS] = "pass", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail"};
static const char *const verdict_names[] = {
    [CHECK_ACCEPT] = "accept", [CHECK_RISK] = "risk", [CHECK_REFUSE] = "refuse"};

enum { LINE_WIDTH = 80 };

/* Columns are counted as characters; true when something was cut off. */
static bool print_cut(const char *text, int room, FILE *out)
{
    size_t n = 0;
    int columns = 0;
    bool cut = false;
    for (const char *p = text; *p != '\0'; p++) {
        if (((unsigned char)*p & 0xc0) == 0x80)
            continue;
        cut = ++columns > room;
        if (cut)
            break;
        if (columns <= room - 3) /* up to here it stays if the end is cut off */
            n = (size_t)(p - text) + 1;
    }
    while (((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    fprintf(out, "%.*s%s\n", cut ? (int)n : (int)strlen(text), text, cut ? "..." : "");
    return cut;
}

static void print_detail(const char *name, const char *text, FILE *out)
{
    if (text[0] != '\0')
        fprintf(out, "      %-9s %s\n", name, text);
}

/* What has to be copied is not broken into lines. */
static void print_item(const struct check_item *item, bool several, int width, FILE *out)
{
    bool named = several && item->domain != NULL;
    int room = LINE_WIDTH - 6 - width - 2 - (named ? (int)strlen(item->domain) + 2 : 0);
    fprintf(out, "%s  %-*s  ", status_names[item->status], width, item->id);
    if (named)
        fprintf(out, "%s: ", item->domain);
    bool cut = print_cut(item->found, room < 10 ? 10 : room, out);
    if (item->status == CHECK_PASS)
        return;
    if (cut)
        print_detail("found", item->found, out);
    print_detail("expected", item->expected, out);
    print_detail("fix", item->fix, out);
}

void check_print(struct check_run *r, bool several, FILE *out)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    int width = 11;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        if ((int)strlen(item->id) > width)
            width = strlen(item->id) < 24 ? (int)strlen(item->id) : 24;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        print_item(item, several, width, out);
    check_receivers(r, verdicts);
    fputc('\n', out);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++)
        fprintf(out, "%-8s %-7s %s\n", verdicts[i].name, verdict_names[verdicts[i].verdict], verdicts[i].reason);
}

/* ---- json
 * ------------------------------------------------------------------------------------------------------------ */

static json_t *item_json(const struct check_item *item, bool several)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", item->id, "status", status_names[item->status], "found",
                          item->found, "expected", item->expected, "fix", item->fix);
    if (several)
        json_object_set_new(o, "domain", item->domain == NULL ? json_null() : json_string(item->domain));
    return o;
}

json_t *check_json(struct check_run *r, bool several)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    json_t *checks = json_array(), *list = json_array();
    bool ok = true;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        ok = json_array_append_new(checks, item_json(item, several)) == 0 && ok;
    check_receivers(r, verdicts);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++) {
        json_t *o = json_pack("{s:s, s:s, s:s}", "name", verdicts[i].name, "verdict",
                              verdict_names[verdicts[i].verdict], "reason", verdicts[i].reason);
        ok = json_array_append_new(list, o) == 0 && ok;
    }
    json_t *document = json_pack("{s:o, s:o}", "checks", checks, "receivers", list);
    if (ok)
        return document;
    json_decref(document);
    return NULL;
}
