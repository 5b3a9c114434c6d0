/* What large receivers will make of mail from here. */
#include "check.h"

#include <string.h>

/* What they ask of every sender, as they publish it: Google's and Yahoo's sender guidelines of February 2024,
 * Microsoft's of May 2025, Apple's postmaster page; "others" is a Postfix with the usual restrictions and a blocklist.
 * SPF and DKIM both, and DMARC, are strictly asked only of who sends thousands a day; others are trusted less. */
enum topic {
    TOPIC_PORT = 0,
    TOPIC_DNS,
    TOPIC_PTR,
    TOPIC_HOSTNAME,
    TOPIC_HELO,
    TOPIC_BOTH,
    TOPIC_SPF,
    TOPIC_RETURN_PATH,
    TOPIC_DKIM,
    TOPIC_DMARC,
    TOPIC_DNSBL,
    TOPIC_MX,
    TOPICS
};

static const char *const names[CHECK_RECEIVERS] = {"Gmail", "Microsoft", "Yahoo", "Apple", "others"};

#define ALL(v)                                                                                                         \
    {                                                                                                                  \
        v, v, v, v, v                                                                                                  \
    }
#define OTHERS(v)                                                                                                      \
    {                                                                                                                  \
        CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT, CHECK_ACCEPT, v                                                      \
    }

/* In the order of the names.  A reason names the check. */
static const struct rule {
    const char *id;      /* of the check */
    const char *failed;  /* the reason */
    const char *warned;  /* NULL: a warning is no reason for doubt */
    const char *unknown; /* NULL: nor is that it could not be checked */
    enum check_verdict on_fail[CHECK_RECEIVERS], on_warning[CHECK_RECEIVERS];
    bool of_host;
} rules[TOPICS] = {
    [TOPIC_PORT] = {"port25", "no mail gets out of this server (port25)", NULL,
                    "whether mail gets out is not known (port25)", ALL(CHECK_REFUSE), ALL(CHECK_ACCEPT), true},
    [TOPIC_DNS] = {"dns", "the domain's records cannot be validated (dns)", NULL,
                   "the domain's name servers could not be asked (dns)", ALL(CHECK_REFUSE), ALL(CHECK_ACCEPT), false},
    [TOPIC_PTR] = {"ptr",
                   "the address has no forward-confirmed PTR record (ptr)",
                   "the PTR record has another name (ptr)",
                   "the PTR record could not be checked (ptr)",
                   {CHECK_REFUSE, CHECK_JUNK, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE},
                   OTHERS(CHECK_JUNK),
                   true},
    [TOPIC_HOSTNAME] = {"hostname", "the name in EHLO does not lead to this server (hostname)", NULL,
                        "the name in EHLO could not be checked (hostname)", OTHERS(CHECK_REFUSE), ALL(CHECK_ACCEPT),
                        true},
    [TOPIC_HELO] = {"helo", "SPF of the name in EHLO does not pass (helo)", NULL, NULL, OTHERS(CHECK_JUNK),
                    ALL(CHECK_ACCEPT), true},
    [TOPIC_BOTH] = {NULL,
                    "neither SPF nor DKIM passes for the domain (spf, dkim)",
                    NULL,
                    NULL,
                    {CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE, CHECK_JUNK},
                    ALL(CHECK_ACCEPT),
                    false},
    [TOPIC_SPF] = {"spf", "the SPF record is not right (spf)", NULL, "SPF could not be checked (spf)", ALL(CHECK_JUNK),
                   ALL(CHECK_ACCEPT), false},
    [TOPIC_RETURN_PATH] = {"return_path",
                           "the return_path's domain does not let this server send, or takes no bounces (return_path)",
                           NULL, "the return_path could not be checked (return_path)", ALL(CHECK_JUNK),
                           ALL(CHECK_ACCEPT), false},
    [TOPIC_DKIM] = {"dkim", "no RSA signature of DKIM passes everywhere (dkim)",
                    "the DKIM key says that it is a test (dkim)", "DKIM could not be checked (dkim)", ALL(CHECK_JUNK),
                    ALL(CHECK_JUNK), false},
    [TOPIC_DMARC] = {"dmarc",
                     "there is no valid DMARC record (dmarc)",
                     NULL,
                     "DMARC could not be checked (dmarc)",
                     {CHECK_JUNK, CHECK_JUNK, CHECK_JUNK, CHECK_JUNK, CHECK_ACCEPT},
                     ALL(CHECK_ACCEPT),
                     false},
    [TOPIC_DNSBL] = {"dnsbl",
                     "the address or the domain is on a blocklist (dnsbl)",
                     "the address is on a blocklist (dnsbl)",
                     NULL,
                     {CHECK_JUNK, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE, CHECK_REFUSE},
                     OTHERS(CHECK_REFUSE),
                     true},
    [TOPIC_MX] = {"mx",
                  "the domain takes no mail (mx)",
                  NULL,
                  "whether the domain takes mail is not known (mx)",
                  {CHECK_JUNK, CHECK_JUNK, CHECK_REFUSE, CHECK_JUNK, CHECK_REFUSE},
                  ALL(CHECK_ACCEPT),
                  false},
};

/* What was found of one topic, of one domain or, for those of the host, of all. */
struct finding {
    enum check_status status;
    bool there, unknown, unaligned;
};

static bool is_of(const struct check_item *item, enum topic t)
{
    if (t == TOPIC_DKIM)
        return slice_starts(slice_of(item->id), SLICE("dkim:")) && !item->minor;
    return rules[t].id != NULL && strcmp(item->id, rules[t].id) == 0;
}

/* Mail passes DMARC when SPF or DKIM passes for the domain. */
static bool nothing_passes(const struct finding found[TOPICS])
{
    return found[TOPIC_DKIM].status == CHECK_FAIL &&
           (found[TOPIC_SPF].status == CHECK_FAIL || found[TOPIC_DMARC].unaligned);
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
                *f = (struct finding){item->status, true, item->unknown, item->unaligned};
        }
    }
    if (!ret[TOPIC_DKIM].there)
        ret[TOPIC_DKIM] = (struct finding){.status = CHECK_FAIL, .there = true};
    if (nothing_passes(ret))
        ret[TOPIC_BOTH] = (struct finding){.status = CHECK_FAIL, .there = true};
}

/* The verdict of one receiver on one topic, and why; NULL: nothing against it. */
static const char *weigh(const struct rule *rule, const struct finding *f, size_t receiver, enum check_verdict *ret)
{
    const char *reason;
    if (f->status == CHECK_FAIL) {
        *ret = rule->on_fail[receiver];
        reason = rule->failed;
    } else if (f->unknown) {
        *ret = rule->on_fail[receiver] == CHECK_ACCEPT ? CHECK_ACCEPT : CHECK_UNSURE;
        reason = rule->unknown;
    } else {
        *ret = f->status == CHECK_WARN ? rule->on_warning[receiver] : CHECK_ACCEPT;
        reason = rule->warned;
    }
    return *ret == CHECK_ACCEPT ? NULL : reason;
}

/* The reasons for the worst verdict stay, each once. */
static void add_reason(struct check_run *r, struct check_receiver *who, enum check_verdict verdict, const char *reason)
{
    if (verdict < who->verdict || strstr(who->reason, reason) != NULL)
        return;
    who->reason = verdict > who->verdict ? reason : check_text(r, "%s; %s", who->reason, reason);
    who->verdict = verdict;
}

static void judge_domain(struct check_run *r, const char *domain, bool several,
                         struct check_receiver ret[CHECK_RECEIVERS])
{
    struct finding found[TOPICS];
    enum check_verdict verdict;
    find(r, domain, found);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++) {
        for (enum topic t = 0; t < TOPICS; t++) {
            const char *reason = weigh(&rules[t], &found[t], i, &verdict);
            bool covered = found[TOPIC_BOTH].there && (t == TOPIC_SPF || t == TOPIC_DKIM); /* it was said with BOTH */
            if (reason == NULL || covered)
                continue;
            add_reason(r, &ret[i], verdict,
                       several && !rules[t].of_host ? check_text(r, "%s: %s", domain, reason) : reason);
        }
    }
}

/* The domains that were looked at: each has one item "spf". */
void check_receivers(struct check_run *r, struct check_receiver ret[CHECK_RECEIVERS])
{
    size_t domains = 0;
    for (size_t i = 0; i < CHECK_RECEIVERS; i++)
        ret[i] = (struct check_receiver){names[i], CHECK_ACCEPT, ""};
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        domains += strcmp(item->id, "spf") == 0;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        if (strcmp(item->id, "spf") == 0)
            judge_domain(r, item->domain, domains > 1, ret);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++)
        if (ret[i].verdict == CHECK_ACCEPT)
            ret[i].reason = "all that it asks for is there";
}
