/* What servers say -> which advice: real replies, one a row; and the words of every advice in every language. */
#include "testing.h"

#include "../../src/delivery/advice.h"
#include "../../src/delivery/texts.h"

#define GMAIL     "gmail-smtp-in.l.google.com"
#define OUTLOOK   "outlook-com.olc.protection.outlook.com"
#define M365      "contoso-com.mail.protection.outlook.com"
#define YAHOO     "mta5.am0.yahoodns.net"
#define APPLE     "mx01.mail.icloud.com"
#define OTHER     "mx.example.net"
#define OURSELVES NULL

static const struct {
    const char *mx; /* OURSELVES: in our own words */
    int code;
    const char *status, *text;
    enum advice advice;
} rows[] = {
    /* Google */
    {GMAIL, 550, "5.1.1",
     "The email account that you tried to reach does not exist. Please try double-checking the recipient's email "
     "address for typos or unnecessary spaces. For more information, go to "
     "https://support.google.com/mail/?p=NoSuchUser - gsmtp",
     ADVICE_NO_MAILBOX},
    {GMAIL, 552, "5.2.2", "The email account that you tried to reach is over quota and inactive. - gsmtp",
     ADVICE_MAILBOX_FULL},
    {GMAIL, 452, "4.2.2", "The recipient's inbox is out of storage space. - gsmtp", ADVICE_MAILBOX_FULL},
    {GMAIL, 550, "5.2.1", "The email account that you tried to reach is inactive. - gsmtp", ADVICE_MAILBOX_CLOSED},
    {GMAIL, 450, "4.2.1",
     "The user you are trying to contact is receiving mail at a rate that prevents additional messages from being "
     "delivered.",
     ADVICE_MAILBOX_FLOODED},
    {GMAIL, 550, "5.7.1",
     "[192.0.2.7 19] Gmail has detected that this message is likely unsolicited mail. To reduce the amount of spam "
     "sent to Gmail, this message has been blocked.",
     ADVICE_SPAM},
    {GMAIL, 550, "5.7.1",
     "This message is not RFC 5322 compliant. There are multiple From headers. For more information, go to "
     "https://support.google.com/mail/?p=RfcMessageNonCompliant",
     ADVICE_FORMAT},
    {GMAIL, 552, "5.7.0", "This message was blocked because its content presents a potential security issue.",
     ADVICE_CONTENT},
    {GMAIL, 550, "5.7.25",
     "[192.0.2.7] The IP address sending this message does not have a PTR record setup, or the corresponding forward "
     "DNS entry does not point to the sending IP.",
     ADVICE_PTR},
    {GMAIL, 451, "4.7.23", "The sending IP address for this message doesn't have a PTR record", ADVICE_PTR},
    {GMAIL, 550, "5.7.26",
     "Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate "
     "with either SPF or DKIM.  Authentication results:  DKIM = did not pass  SPF [example.com] with ip: [192.0.2.7] "
     "= did not pass",
     ADVICE_AUTHENTICATION},
    {GMAIL, 550, "5.7.26",
     "Unauthenticated email from example.com is not accepted due to domain's DMARC policy. Please contact the "
     "administrator of example.com domain.",
     ADVICE_AUTHENTICATION},
    {GMAIL, 550, "5.7.27", "Your email has been blocked because SPF did not pass.", ADVICE_SPF},
    {GMAIL, 421, "4.7.27", "Your email has been rate limited because SPF authentication didn't pass.", ADVICE_SPF},
    {GMAIL, 550, "5.7.30", "Your email has been blocked because DKIM did not pass.", ADVICE_DKIM},
    {GMAIL, 421, "4.7.30", "Your email has been rate limited because DKIM authentication didn't pass.", ADVICE_DKIM},
    {GMAIL, 421, "4.7.29", "Your email has been rate limited because this message wasn't sent over TLS.",
     ADVICE_TLS_WANTED},
    {GMAIL, 421, "4.7.0", "TLS required for RCPT domain, closing connection.", ADVICE_TLS_WANTED},
    {GMAIL, 421, "4.7.28", "Gmail has detected an unusual rate of unsolicited mail originating from your IP address.",
     ADVICE_SLOWED},
    {GMAIL, 421, "4.7.0", "Our system has detected an unusual rate of unsolicited mail originating from your IP.",
     ADVICE_SLOWED},
    {GMAIL, 550, "5.7.24", "The SPF record of the sending domain has one or more suspicious entries.", ADVICE_SPF},
    {GMAIL, 552, "5.3.4", "Your message exceeded Google's message size limits.", ADVICE_TOO_LARGE},
    {GMAIL, 550, "5.7.1", "This message violates example.net email policy. - gcdp x - gsmtp", ADVICE_POLICY},
    /* the same without the name of the server: through a forwarder, or in a test */
    {OTHER, 550, "5.7.27", "SPF did not pass. - gsmtp", ADVICE_SPF},
    {OTHER, 550, "5.7.30", "DKIM did not pass", ADVICE_DKIM},
    {OTHER, 550, "5.7.27", "Sender address has null MX", ADVICE_SENDER},

    /* Microsoft */
    {OUTLOOK, 550, "5.7.1",
     "Unfortunately, messages from [192.0.2.7] weren't sent. Please contact your Internet service provider since part "
     "of their network is on our block list (S3140).",
     ADVICE_MICROSOFT_BLOCK},
    {OUTLOOK, 550, "5.7.1",
     "Unfortunately, messages from [192.0.2.7] weren't sent. Please contact your Internet service provider since part "
     "of their network is on our block list (S3150).",
     ADVICE_MICROSOFT_BLOCK},
    {OUTLOOK, 550, "5.7.515",
     "Access denied, sending domain EXAMPLE.COM does not meet the required authentication level.",
     ADVICE_AUTHENTICATION},
    {OUTLOOK, 550, "5.5.0", "Requested action not taken: mailbox unavailable (S2017062302).", ADVICE_NO_MAILBOX},
    {M365, 550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient bob@contoso.com not found by SMTP address lookup",
     ADVICE_NO_MAILBOX},
    {M365, 550, "5.4.1", "Recipient address rejected: Access denied. AS(201806281)", ADVICE_NOT_IN_DIRECTORY},
    {M365, 550, "5.7.1", "Service unavailable, Client host [192.0.2.7] blocked using Spamhaus.", ADVICE_BLOCKLIST},
    {M365, 550, "5.7.606", "Access denied, banned sending IP [192.0.2.7].", ADVICE_MICROSOFT_DELIST},
    {M365, 550, "5.7.649", "Access denied, banned sending IP [192.0.2.7].", ADVICE_MICROSOFT_DELIST},
    {M365, 550, "5.7.708", "Service unavailable. Access denied, traffic not accepted from this IP.",
     ADVICE_MICROSOFT_DELIST},
    {M365, 550, "5.7.509", "Access denied, sending domain example.com does not pass DMARC verification", ADVICE_DMARC},
    {M365, 550, "5.7.23", "The message was rejected because of Sender Policy Framework violation", ADVICE_SPF},
    {M365, 550, "5.7.133", "RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", ADVICE_RESTRICTED},
    {M365, 451, "4.7.500", "Server busy. Please try again later from [192.0.2.7].", ADVICE_SLOWED},
    {OUTLOOK, 451, "4.7.651", "The mail server [192.0.2.7] has been temporarily rate limited due to IP reputation.",
     ADVICE_SLOWED},
    {M365, 552, "5.2.2", "STOREDRV; mailbox full", ADVICE_MAILBOX_FULL},
    {M365, 554, "5.4.14", "Hop count exceeded - possible mail loop ATTR34", ADVICE_LOOP},

    /* Yahoo, AOL */
    {YAHOO, 421, "4.7.0", "[TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume",
     ADVICE_SLOWED},
    {YAHOO, 553, "5.7.2", "[TSS09] All messages from 192.0.2.7 will be permanently deferred", ADVICE_YAHOO_BLOCK},
    {YAHOO, 553, "5.7.1",
     "[BL21] Connections will not be accepted from 192.0.2.7, because the ip is in Spamhaus's list", ADVICE_BLOCKLIST},
    {YAHOO, 554, "5.7.9", "Message not accepted for policy reasons. See https://senders.yahooinc.com/smtp-error-codes",
     ADVICE_YAHOO_POLICY},
    {YAHOO, 554, "", "delivery error: dd This user doesn't have a yahoo.com account (bob@yahoo.com) [0]",
     ADVICE_NO_MAILBOX},
    {YAHOO, 554, "", "30 Sorry, your message to bob@yahoo.com cannot be delivered. This mailbox is disabled (554.30).",
     ADVICE_MAILBOX_CLOSED},
    {YAHOO, 552, "", "1 Requested mail action aborted, mailbox not found", ADVICE_NO_MAILBOX},

    /* Apple */
    {APPLE, 550, "5.1.1", "<bob@icloud.com>: user does not exist", ADVICE_NO_MAILBOX},
    {APPLE, 554, "5.7.1",
     "[CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137",
     ADVICE_APPLE_POLICY},
    {APPLE, 554, "5.7.1", "[HM08] Message rejected due to local policy.", ADVICE_APPLE_POLICY},
    {APPLE, 550, "5.7.1", "Your message was rejected due to example.com DMARC policy.", ADVICE_DMARC},
    {APPLE, 421, "4.7.1", "Messages to bob@icloud.com deferred due to excessive volume.", ADVICE_SLOWED},
    {APPLE, 552, "5.2.2", "<bob@icloud.com>: user is over quota", ADVICE_MAILBOX_FULL},

    /* others: Postfix, Exim, Sendmail, filters */
    {OTHER, 550, "5.1.1", "<bob@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
     ADVICE_NO_MAILBOX},
    {OTHER, 550, "", "Unrouteable address", ADVICE_NO_MAILBOX},
    {OTHER, 550, "", "No such user here", ADVICE_NO_MAILBOX},
    {OTHER, 550, "", "bob@example.net unknown user account", ADVICE_NO_MAILBOX},
    {OTHER, 550, "5.1.2", "<bob@example.net>: Recipient address rejected: Domain not found", ADVICE_NO_DOMAIN},
    {OTHER, 501, "5.1.3", "Bad recipient address syntax", ADVICE_BAD_ADDRESS},
    {OTHER, 556, "5.1.10", "Recipient address has null MX", ADVICE_NULL_MX},
    {OTHER, 550, "5.1.10", "Recipient address has null MX", ADVICE_NULL_MX},
    {OTHER, 552, "5.2.2", "<bob@example.net>: Mailbox is full", ADVICE_MAILBOX_FULL},
    {OTHER, 552, "", "Requested mail action aborted: exceeded storage allocation", ADVICE_MAILBOX_FULL},
    {OTHER, 550, "5.2.1", "Mailbox disabled", ADVICE_MAILBOX_CLOSED},
    {OTHER, 552, "5.3.4", "Message size exceeds fixed limit", ADVICE_TOO_LARGE},
    {OTHER, 552, "", "Message too large", ADVICE_TOO_LARGE},
    {OTHER, 554, "5.7.1", "<bob@example.net>: Relay access denied", ADVICE_RELAY_DENIED},
    {OTHER, 450, "4.2.0",
     "<bob@example.net>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/",
     ADVICE_GREYLISTED},
    {OTHER, 451, "4.7.1", "Greylisting in action, please come back in 00:04:59", ADVICE_GREYLISTED},
    {OTHER, 450, "4.1.8", "<ann@example.com>: Sender address rejected: Domain not found", ADVICE_SENDER},
    {OTHER, 550, "", "Sender verify failed", ADVICE_SENDER},
    {OTHER, 450, "4.7.1", "Client host rejected: cannot find your reverse hostname, [192.0.2.7]", ADVICE_PTR},
    {OTHER, 554, "5.7.1", "Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org",
     ADVICE_BLOCKLIST},
    {OTHER, 550, "5.7.1", "rejected because 192.0.2.7 is on our blacklist", ADVICE_BLOCKLIST},
    {OTHER, 554, "5.7.1", "Spam message rejected", ADVICE_SPAM},
    {OTHER, 554, "5.7.0", "Reject, id=1 - INFECTED: virus", ADVICE_CONTENT},
    {OTHER, 550, "5.7.1", "SPF check failed: 192.0.2.7 is not allowed to send mail from example.com", ADVICE_SPF},
    {OTHER, 550, "5.7.20", "No passing DKIM signature found", ADVICE_DKIM},
    {OTHER, 550, "5.7.1", "rejected by DMARC policy for example.com", ADVICE_DMARC},
    {OTHER, 530, "5.7.0", "Must issue a STARTTLS command first", ADVICE_TLS_WANTED},
    {OTHER, 554, "5.7.1", "Not allowed", ADVICE_POLICY},
    {OTHER, 553, "5.6.7", "Must use SMTPUTF8", ADVICE_SMTPUTF8},
    {OTHER, 452, "4.5.3", "Too many recipients", ADVICE_TOO_MANY_RECIPIENTS},
    {OTHER, 554, "5.4.6", "Too many hops", ADVICE_LOOP},
    {OTHER, 554, "5.6.0", "Message content rejected", ADVICE_FORMAT},
    {OTHER, 451, "4.3.0", "Temporary lookup failure", ADVICE_BUSY},
    {OTHER, 450, "4.2.0", "Mailbox busy", ADVICE_BUSY},
    {OTHER, 421, "", "Too many connections", ADVICE_BUSY},
    {OTHER, 451, "", "Local error in processing", ADVICE_BUSY},
    {OTHER, 451, "4.4.2", "Timeout", ADVICE_CONNECTION_LOST},
    {OTHER, 454, "4.7.1", "try later", ADVICE_SLOWED},
    {OTHER, 554, "", "Transaction failed", ADVICE_REFUSED},
    {OTHER, 499, "", "what", ADVICE_NOT_NOW},
    {OTHER, 554, "5.5.1", "what", ADVICE_REFUSED},
    {OTHER, 550, "", "", ADVICE_REFUSED},

    /* ourselves */
    {OURSELVES, 550, "5.1.2", "the domain nowhere.example does not exist", ADVICE_NO_DOMAIN},
    {OURSELVES, 556, "5.1.10", "the domain example.net takes no mail (null MX)", ADVICE_NULL_MX},
    {OURSELVES, 550, "5.4.4", "the mail host mx.example.net of example.net has no address", ADVICE_NO_MAIL_HOST},
    {OURSELVES, 554, "5.4.6", "mail for example.net loops back to us", ADVICE_LOOP},
    {OURSELVES, 451, "4.4.3", "DNS look-up of the MX of example.net failed: bogus", ADVICE_DNS},
    {OURSELVES, 451, "4.4.1", "mx.example.net [192.0.2.7]: Connection refused", ADVICE_UNREACHABLE},
    {OURSELVES, 451, "4.4.2", "connection lost at DATA: end of file", ADVICE_CONNECTION_LOST},
    {OURSELVES, 451, "4.7.4", "TLS is required, but the server does not offer STARTTLS", ADVICE_TLS_FAILED},
    {OURSELVES, 451, "4.7.5", "TLS handshake failed: certificate has expired", ADVICE_TLS_FAILED},
    {OURSELVES, 451, "4.7.8", "the server refused our login: 535 no", ADVICE_RELAY_LOGIN},
    {OURSELVES, 451, "4.7.0", "the server offers neither AUTH PLAIN nor AUTH LOGIN", ADVICE_RELAY_LOGIN},
    {OURSELVES, 451, "4.3.5", "/etc/sendas/relay: no password in it", ADVICE_RELAY_LOGIN},
    {OURSELVES, 451, "4.3.0", "the content could not be read from the queue", ADVICE_OUR_FAULT},
    {OURSELVES, 554, "5.6.0", "the stored content has a line end that is not CRLF", ADVICE_OUR_FAULT},
    {OURSELVES, 553, "5.6.7", "the message has non-ASCII addresses", ADVICE_SMTPUTF8},
    {OURSELVES, 552, "5.3.4", "the message has 9 octets, the server takes 8 at most", ADVICE_TOO_LARGE},
    {OURSELVES, 554, "5.7.1", "mx.example.net [192.0.2.7] said: blocked, see https://www.spamhaus.org/",
     ADVICE_BLOCKLIST},
    {OURSELVES, 421, "4.7.0", "mta5.am0.yahoodns.net [192.0.2.7] said: [TSS04] Messages from 192.0.2.7 deferred",
     ADVICE_SLOWED},
};

START_TEST(test_row)
{
    struct smtp_verdict v;
    smtp_verdict_set(&v, rows[_i].code, rows[_i].status, "%s", rows[_i].text);
    enum advice advice = advice_for(&v, rows[_i].mx, rows[_i].mx == OURSELVES);
    ck_assert_msg(advice == rows[_i].advice, "%d %s %s: advice %d (%s), not %d (%s)", v.code, v.enhanced, v.text,
                  (int)advice, advice_why(advice, LANGUAGE_ENGLISH), (int)rows[_i].advice,
                  advice_why(rows[_i].advice, LANGUAGE_ENGLISH));
}
END_TEST

/* Every advice is given for some reply above. */
START_TEST(test_every_advice_is_used)
{
    for (int advice = 0; advice < ADVICES; advice++) {
        bool used = false;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            used |= (int)rows[i].advice == advice;
        ck_assert_msg(used, "no row gives advice %d", advice);
    }
}
END_TEST

/* ---- the words ---- */

static size_t columns(struct slice line)
{
    size_t n = 0;
    for (size_t i = 0; i < line.n; i++)
        n += (line.p[i] & 0xc0) == 0x80 ? 0 : (unsigned char)line.p[i] >= 0xe3 ? 2 : 1;
    return n;
}

static void check_text(const char *what, int id, int language, const char *text)
{
    static const char *const names[] = {"{to}", "{from}", "{host}", "{mx}", "{id}", "{since}", "{now}", "{until}"};
    ck_assert_msg(text != NULL && text[0] != '\0', "%s %d has no words in language %d", what, id, language);
    ck_assert_msg(slice_is_utf8(slice_of(text)), "%s", text);
    struct slice rest = slice_of(text), line;
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        ck_assert_msg(columns(line) <= 76, "%zu columns: %.*s", columns(line), SLICE_ARG(line));
        ck_assert_msg(slice_find_slice(line, SLICE("--")) != 0, "looks like a boundary: %.*s", SLICE_ARG(line));
    }
    for (const char *p = text; (p = strchr(p, '{')) != NULL; p++) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            known |= strncmp(p, names[i], strlen(names[i])) == 0;
        ck_assert_msg(known, "nothing fills in %s", p);
    }
    ck_assert_msg(language != LANGUAGE_ENGLISH || slice_is_ascii(slice_of(text)), "not ASCII: %s", text);
}

START_TEST(test_words)
{
    for (int language = 0; language < LANGUAGES; language++) {
        for (int i = 0; i < TEXTS; i++)
            check_text("text", i, language, text_of((enum text_id)i, (enum language)language));
        for (int i = 0; i < ADVICES; i++) {
            check_text("the reason of advice", i, language, advice_why((enum advice)i, (enum language)language));
            check_text("advice", i, language, advice_what((enum advice)i, (enum language)language));
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delivery advice");
    TCase *tc = tcase_create("table");
    tcase_add_loop_test(tc, test_row, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, test_every_advice_is_used);
    tcase_add_test(tc, test_words);
    suite_add_tcase(suite, tc);
    return suite;
}

TEST_MAIN(make_suite)
