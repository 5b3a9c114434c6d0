/* delivery/advice.c - the table of what servers say.  The first row that fits decides, so the particular stands above
 * the general: a provider's own codes, then words, then codes by RFC 3463 and 5248. */
#include "advice.h"

#include <string.h>

/* ---- who says it ----------------------------------------------------------------------------- */

enum provider { ANYONE = 0, GOOGLE, MICROSOFT, YAHOO, APPLE };

/* A server is known by its name, or by what it writes where a filter or a forwarder stands before it. */
static const struct {
    enum provider provider;
    const char *mx; /* this domain or one below it */
    const char *words;
} providers[] = {
    {GOOGLE, "google.com", "gsmtp"},
    {GOOGLE, "googlemail.com", "support.google.com"},
    {MICROSOFT, "outlook.com", "protection.outlook.com"},
    {MICROSOFT, "mx.microsoft", "aka.ms/"},
    {MICROSOFT, "hotmail.com", "office.com"},
    {YAHOO, "yahoodns.net", "yahooinc.com"},
    {APPLE, "icloud.com", "support.apple.com"},
    {APPLE, "apple.com", "icloud.com mail"},
};

/* ---- what is said ---------------------------------------------------------------------------- */

enum whose { WHOEVER = 0, OURS };

/* code, status: '?' stands for any one character, a '*' at the end for any rest; NULL for anything.  words: anywhere in
 * the text, in any case. */
static const struct row {
    enum whose whose;
    enum provider provider;
    const char *code, *status, *words;
    enum advice advice;
} rows[] = {
    /* in our own words: route.c, session*.c, channel.c */
    {OURS, ANYONE, "556", "5.1.10", NULL, ADVICE_NULL_MX},
    {OURS, ANYONE, NULL, "5.1.2", "does not exist", ADVICE_NO_DOMAIN},
    {OURS, ANYONE, NULL, "5.4.4", NULL, ADVICE_NO_MAIL_HOST},
    {OURS, ANYONE, NULL, "5.4.6", NULL, ADVICE_LOOP},
    {OURS, ANYONE, NULL, "5.6.0", "stored content", ADVICE_OUR_FAULT},
    {OURS, ANYONE, NULL, "4.4.1", NULL, ADVICE_UNREACHABLE},
    {OURS, ANYONE, NULL, "4.4.3", NULL, ADVICE_DNS},
    {OURS, ANYONE, NULL, "4.7.4", NULL, ADVICE_TLS_FAILED},
    {OURS, ANYONE, NULL, "4.7.5", NULL, ADVICE_TLS_FAILED},
    {OURS, ANYONE, NULL, "4.7.8", NULL, ADVICE_RELAY_LOGIN},
    {OURS, ANYONE, NULL, "4.7.0", "neither AUTH PLAIN", ADVICE_RELAY_LOGIN},
    {OURS, ANYONE, NULL, "4.3.5", NULL, ADVICE_RELAY_LOGIN},
    {OURS, ANYONE, NULL, "4.3.0", NULL, ADVICE_OUR_FAULT},

    /* Google: support.google.com/a/answer/3726730.  5.7.27, .29 and .30 mean other things in RFC 5248's registry. */
    {WHOEVER, GOOGLE, NULL, "?.7.27", NULL, ADVICE_SPF},
    {WHOEVER, GOOGLE, NULL, "?.7.29", NULL, ADVICE_TLS_WANTED},
    {WHOEVER, GOOGLE, NULL, "?.7.30", NULL, ADVICE_DKIM},
    {WHOEVER, GOOGLE, NULL, "?.7.28", NULL, ADVICE_SLOWED},
    {WHOEVER, ANYONE, NULL, NULL, "not rfc 5322 compliant", ADVICE_FORMAT},
    {WHOEVER, ANYONE, NULL, NULL, "rfcmessagenoncompliant", ADVICE_FORMAT},
    {WHOEVER, GOOGLE, NULL, "5.7.0", "security issue", ADVICE_CONTENT},
    {WHOEVER, ANYONE, "4??", NULL, "unusual rate of unsolicited mail", ADVICE_SLOWED},
    {WHOEVER, ANYONE, NULL, NULL, "likely unsolicited mail", ADVICE_SPAM},
    {WHOEVER, ANYONE, NULL, NULL, "likely suspicious", ADVICE_SPAM},
    {WHOEVER, ANYONE, NULL, "?.2.1", "receiving mail", ADVICE_MAILBOX_FLOODED},
    {WHOEVER, GOOGLE, NULL, NULL, "out of storage space", ADVICE_MAILBOX_FULL},

    /* Microsoft: learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online */
    {WHOEVER, ANYONE, NULL, NULL, "S3140", ADVICE_MICROSOFT_BLOCK},
    {WHOEVER, ANYONE, NULL, NULL, "S3150", ADVICE_MICROSOFT_BLOCK},
    {WHOEVER, ANYONE, NULL, NULL, "part of their network is on our block list", ADVICE_MICROSOFT_BLOCK},
    {WHOEVER, ANYONE, NULL, "5.7.515", NULL, ADVICE_AUTHENTICATION},
    {WHOEVER, ANYONE, NULL, "5.7.509", NULL, ADVICE_DMARC},
    {WHOEVER, ANYONE, NULL, "5.7.511", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.60?", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.61?", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.62?", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.63?", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.64?", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "5.7.708", NULL, ADVICE_MICROSOFT_DELIST},
    {WHOEVER, ANYONE, NULL, "4.7.5??", NULL, ADVICE_SLOWED},
    {WHOEVER, ANYONE, NULL, "4.7.65?", NULL, ADVICE_SLOWED},
    {WHOEVER, ANYONE, NULL, "5.4.1", "access denied", ADVICE_NOT_IN_DIRECTORY},
    {WHOEVER, MICROSOFT, NULL, "5.4.1", NULL, ADVICE_NOT_IN_DIRECTORY},
    {WHOEVER, ANYONE, NULL, "?.7.12?", NULL, ADVICE_RESTRICTED},
    {WHOEVER, ANYONE, NULL, "?.7.13?", NULL, ADVICE_RESTRICTED},
    {WHOEVER, ANYONE, NULL, "?.7.193", NULL, ADVICE_RESTRICTED},
    {WHOEVER, ANYONE, NULL, NULL, "RESOLVER.RST", ADVICE_RESTRICTED},
    {WHOEVER, ANYONE, NULL, "?.4.14", NULL, ADVICE_LOOP},

    /* Yahoo and AOL: senders.yahooinc.com/smtp-error-codes */
    {WHOEVER, ANYONE, "4??", NULL, "[TSS", ADVICE_SLOWED},
    {WHOEVER, ANYONE, "4??", NULL, "[TS0", ADVICE_SLOWED},
    {WHOEVER, ANYONE, "5??", NULL, "[TSS", ADVICE_YAHOO_BLOCK},
    {WHOEVER, ANYONE, "5??", NULL, "[TS0", ADVICE_YAHOO_BLOCK},
    {WHOEVER, ANYONE, NULL, NULL, "[BL2", ADVICE_BLOCKLIST},
    {WHOEVER, YAHOO, NULL, "?.7.9", NULL, ADVICE_YAHOO_POLICY},
    {WHOEVER, ANYONE, NULL, "5.7.9", "not accepted for policy reasons", ADVICE_YAHOO_POLICY},
    {WHOEVER, YAHOO, NULL, NULL, "mailbox is disabled", ADVICE_MAILBOX_CLOSED},

    /* Apple: support.apple.com, "Postmaster information for iCloud Mail" */
    {WHOEVER, ANYONE, "5??", NULL, "[CS0", ADVICE_APPLE_POLICY},
    {WHOEVER, ANYONE, "5??", NULL, "[HM0", ADVICE_APPLE_POLICY},
    {WHOEVER, APPLE, "5??", NULL, "local policy", ADVICE_APPLE_POLICY},
    {WHOEVER, APPLE, "4??", "4.7.1", NULL, ADVICE_SLOWED},

    /* words that many use, and that say more than their code */
    {WHOEVER, ANYONE, NULL, NULL, "ptr record", ADVICE_PTR},
    {WHOEVER, ANYONE, NULL, NULL, "reverse dns", ADVICE_PTR},
    {WHOEVER, ANYONE, NULL, NULL, "rdns", ADVICE_PTR},
    {WHOEVER, ANYONE, NULL, NULL, "reverse hostname", ADVICE_PTR},
    {WHOEVER, ANYONE, NULL, NULL, "client host rejected: cannot find your", ADVICE_PTR},
    {WHOEVER, ANYONE, NULL, "?.7.25", NULL, ADVICE_PTR}, /* RFC 7372 */
    {WHOEVER, ANYONE, NULL, NULL, "spamhaus", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "spamcop", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "barracudacentral", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "blocklist", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "block list", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "blacklist", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, NULL, "dnsbl", ADVICE_BLOCKLIST},
    {WHOEVER, ANYONE, NULL, "?.7.26", NULL, ADVICE_AUTHENTICATION}, /* RFC 7372 */
    {WHOEVER, ANYONE, NULL, NULL, "dmarc", ADVICE_DMARC},
    {WHOEVER, ANYONE, NULL, "?.7.20", NULL, ADVICE_DKIM}, /* RFC 7372 */
    {WHOEVER, ANYONE, NULL, "?.7.21", NULL, ADVICE_DKIM},
    {WHOEVER, ANYONE, NULL, "?.7.22", NULL, ADVICE_DKIM},
    {WHOEVER, ANYONE, NULL, "?.7.23", NULL, ADVICE_SPF},
    {WHOEVER, ANYONE, NULL, "?.7.24", NULL, ADVICE_SPF},
    {WHOEVER, ANYONE, NULL, NULL, "unauthenticated", ADVICE_AUTHENTICATION},
    {WHOEVER, ANYONE, NULL, "?.7.*", "spf", ADVICE_SPF},
    {WHOEVER, ANYONE, NULL, "?.7.*", "dkim", ADVICE_DKIM},
    {WHOEVER, ANYONE, NULL, NULL, "spf check fail", ADVICE_SPF},
    {WHOEVER, ANYONE, NULL, NULL, "not allowed by spf", ADVICE_SPF},
    {WHOEVER, ANYONE, NULL, NULL, "greylist", ADVICE_GREYLISTED},
    {WHOEVER, ANYONE, NULL, NULL, "grey-list", ADVICE_GREYLISTED},
    {WHOEVER, ANYONE, NULL, NULL, "graylist", ADVICE_GREYLISTED},
    {WHOEVER, ANYONE, NULL, NULL, "relay access denied", ADVICE_RELAY_DENIED},
    {WHOEVER, ANYONE, NULL, NULL, "relaying denied", ADVICE_RELAY_DENIED},
    {WHOEVER, ANYONE, NULL, NULL, "relay not permitted", ADVICE_RELAY_DENIED},
    {WHOEVER, ANYONE, NULL, NULL, "relaying is not", ADVICE_RELAY_DENIED},
    {WHOEVER, ANYONE, NULL, NULL, "unable to relay", ADVICE_RELAY_DENIED},
    {WHOEVER, ANYONE, NULL, "?.7.*", "starttls", ADVICE_TLS_WANTED},
    {WHOEVER, ANYONE, NULL, NULL, "tls required", ADVICE_TLS_WANTED},
    {WHOEVER, ANYONE, NULL, NULL, "must issue a starttls", ADVICE_TLS_WANTED},
    {WHOEVER, ANYONE, NULL, NULL, "sender address rejected", ADVICE_SENDER},
    {WHOEVER, ANYONE, NULL, NULL, "sender verify failed", ADVICE_SENDER},
    {WHOEVER, ANYONE, NULL, NULL, "sender domain", ADVICE_SENDER},
    {WHOEVER, ANYONE, NULL, "?.1.7", NULL, ADVICE_SENDER},
    {WHOEVER, ANYONE, NULL, "?.1.8", NULL, ADVICE_SENDER},
    {WHOEVER, ANYONE, NULL, "5.7.27", NULL, ADVICE_SENDER}, /* RFC 7505: a null MX of the sender's domain */
    {WHOEVER, ANYONE, NULL, NULL, "unsolicited", ADVICE_SPAM},
    {WHOEVER, ANYONE, NULL, NULL, "spam", ADVICE_SPAM},
    {WHOEVER, ANYONE, NULL, NULL, "virus", ADVICE_CONTENT},
    {WHOEVER, ANYONE, NULL, NULL, "malware", ADVICE_CONTENT},
    {WHOEVER, ANYONE, NULL, "?.7.*", "attachment", ADVICE_CONTENT},

    /* codes: RFC 3463, 5248 and IANA's registry */
    {WHOEVER, ANYONE, NULL, "?.1.1", NULL, ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, NULL, "?.1.2", NULL, ADVICE_NO_DOMAIN},
    {WHOEVER, ANYONE, NULL, "?.1.3", NULL, ADVICE_BAD_ADDRESS},
    {WHOEVER, ANYONE, NULL, "?.1.6", NULL, ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "556", NULL, NULL, ADVICE_NULL_MX}, /* RFC 7504 */
    /* RFC 7505 gives it to a null MX, and Exchange to an address that it does not know */
    {WHOEVER, ANYONE, NULL, "5.1.10", "null mx", ADVICE_NULL_MX},
    {WHOEVER, ANYONE, NULL, "5.1.10", NULL, ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", "5.2.1", NULL, ADVICE_MAILBOX_CLOSED},
    {WHOEVER, ANYONE, NULL, "?.2.2", NULL, ADVICE_MAILBOX_FULL},
    {WHOEVER, ANYONE, NULL, "?.2.3", NULL, ADVICE_TOO_LARGE},
    {WHOEVER, ANYONE, NULL, "?.3.4", NULL, ADVICE_TOO_LARGE},
    {WHOEVER, ANYONE, NULL, "?.4.6", NULL, ADVICE_LOOP},
    {WHOEVER, ANYONE, NULL, "?.4.1", NULL, ADVICE_UNREACHABLE},
    {WHOEVER, ANYONE, NULL, "?.4.3", NULL, ADVICE_DNS},
    {WHOEVER, ANYONE, NULL, "?.4.4", NULL, ADVICE_NO_MAIL_HOST},
    {WHOEVER, ANYONE, NULL, "4.4.2", NULL, ADVICE_CONNECTION_LOST},
    {WHOEVER, ANYONE, NULL, "4.4.7", NULL, ADVICE_NOT_NOW},
    {WHOEVER, ANYONE, NULL, "?.5.3", NULL, ADVICE_TOO_MANY_RECIPIENTS},
    {WHOEVER, ANYONE, NULL, "?.6.7", NULL, ADVICE_SMTPUTF8},
    {WHOEVER, ANYONE, NULL, "?.6.8", NULL, ADVICE_SMTPUTF8},
    {WHOEVER, ANYONE, NULL, "?.6.9", NULL, ADVICE_SMTPUTF8},
    {WHOEVER, ANYONE, NULL, "?.7.2", NULL, ADVICE_RESTRICTED},
    {WHOEVER, ANYONE, NULL, "?.7.10", NULL, ADVICE_TLS_WANTED},

    /* words of those that give no code, or a general one */
    {WHOEVER, ANYONE, NULL, NULL, "quota", ADVICE_MAILBOX_FULL},
    {WHOEVER, ANYONE, NULL, NULL, "mailbox full", ADVICE_MAILBOX_FULL},
    {WHOEVER, ANYONE, NULL, NULL, "mailbox is full", ADVICE_MAILBOX_FULL},
    {WHOEVER, ANYONE, NULL, NULL, "storage allocation", ADVICE_MAILBOX_FULL},
    {WHOEVER, ANYONE, NULL, NULL, "too large", ADVICE_TOO_LARGE},
    {WHOEVER, ANYONE, NULL, NULL, "size limit", ADVICE_TOO_LARGE},
    {WHOEVER, ANYONE, NULL, NULL, "message size exceeds", ADVICE_TOO_LARGE},
    {WHOEVER, ANYONE, NULL, NULL, "too many recipients", ADVICE_TOO_MANY_RECIPIENTS},
    {WHOEVER, ANYONE, "5??", NULL, "too many hops", ADVICE_LOOP},
    {WHOEVER, ANYONE, "5??", NULL, "disabled", ADVICE_MAILBOX_CLOSED},
    {WHOEVER, ANYONE, "5??", NULL, "inactive", ADVICE_MAILBOX_CLOSED},
    {WHOEVER, ANYONE, "5??", NULL, "user unknown", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "unknown user", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "recipient unknown", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "unknown recipient", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "no such user", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "no such recipient", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "no such mailbox", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "no mailbox", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "does not exist", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "doesn't exist", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "user doesn't have", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "invalid recipient", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "mailbox unavailable", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "mailbox not found", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "not found", ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "5??", NULL, "unrouteable", ADVICE_NO_MAILBOX},

    /* classes */
    {WHOEVER, ANYONE, "5??", "5.1.*", NULL, ADVICE_NO_MAILBOX},
    {WHOEVER, ANYONE, "4??", "4.2.*", NULL, ADVICE_BUSY},
    {WHOEVER, ANYONE, NULL, "?.3.*", NULL, ADVICE_BUSY},
    {WHOEVER, ANYONE, NULL, "4.4.*", NULL, ADVICE_UNREACHABLE},
    {WHOEVER, ANYONE, "5??", "5.6.*", NULL, ADVICE_FORMAT},
    {WHOEVER, ANYONE, "4??", "4.7.*", NULL, ADVICE_SLOWED},
    {WHOEVER, ANYONE, "5??", "5.7.*", NULL, ADVICE_POLICY},
    {WHOEVER, ANYONE, "552", NULL, NULL, ADVICE_MAILBOX_FULL}, /* RFC 5321 4.2.2 */
    {WHOEVER, ANYONE, "553", NULL, NULL, ADVICE_BAD_ADDRESS},
    {WHOEVER, ANYONE, "421", NULL, NULL, ADVICE_BUSY},
    {WHOEVER, ANYONE, "450", NULL, NULL, ADVICE_BUSY},
    {WHOEVER, ANYONE, "45?", NULL, NULL, ADVICE_BUSY},
};

/* ---- matching
 * -------------------------------------------------------------------------------------------------------- */

static bool fits(const char *pattern, const char *s)
{
    if (pattern == NULL)
        return true;
    for (; *pattern != '\0' && *pattern != '*'; pattern++, s++)
        if (*s == '\0' || (*pattern != '?' && *pattern != *s))
            return false;
    return *pattern == '*' || *s == '\0';
}

static bool says(const struct smtp_verdict *v, const char *words)
{
    return words == NULL || strcasestr(v->text, words) != NULL;
}

static bool is_below(const char *host, const char *domain)
{
    if (host == NULL)
        return false;
    size_t n = strlen(host), d = strlen(domain);
    return n >= d && strcasecmp(host + n - d, domain) == 0 && (n == d || host[n - d - 1] == '.');
}

static bool is_provider(enum provider p, const struct smtp_verdict *v, const char *mx)
{
    bool found = p == ANYONE;
    for (size_t i = 0; i < ARRAY_LEN(providers) && !found; i++)
        found = providers[i].provider == p && (is_below(mx, providers[i].mx) || says(v, providers[i].words));
    return found;
}

enum advice advice_for(const struct smtp_verdict *v, const char *mx, bool own_words)
{
    char code[16];
    snprintf(code, sizeof(code), "%d", v->code);
    for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
        bool whose = row->whose == WHOEVER || own_words;
        if (whose && fits(row->code, code) && fits(row->status, v->enhanced) && says(v, row->words) &&
            is_provider(row->provider, v, mx))
            return row->advice;
    }
    return smtp_is_permanent(v) ? ADVICE_REFUSED : ADVICE_NOT_NOW;
}
