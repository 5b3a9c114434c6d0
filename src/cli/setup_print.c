/* What `sendas setup` tells: the records, what to enter in the mail programs, and what is still to be done. */
#include "setup.h"

#include "sendas/dns.h"

#include <string.h>
#include <unistd.h>

/* ---- what is still to be done ---------------------------------------------------------------- */

static bool is_missing(const char *path)
{
    return path[0] != '\0' && access(path, F_OK) < 0;
}

static void tell_certificate(struct setup *s)
{
    const struct config *c = s->config;
    if (c->tls.acme != NULL)
        setup_tell(s, &s->left, "Let port 80 of %s be reached from everywhere: the certificate is obtained through it.",
                   s->hostname);
    else if (is_missing(c->tls.certificate) || is_missing(c->tls.key))
        setup_tell(s, &s->left, "Get a certificate for %s: the chain goes to %s, its key (mode 0640) to %s.",
                   s->hostname, c->tls.certificate, c->tls.key);
}

static void tell_records(struct setup *s)
{
    size_t new = 0, replace = 0, unknown = 0;
    for (const struct record *record = s->records.first; record != NULL; record = record->next) {
        if (record->group == RECORD_OPTIONAL)
            continue;
        new += record->status == RECORD_NEW;
        replace += record->status == RECORD_REPLACE;
        unknown += record->status == RECORD_UNKNOWN;
    }
    if (new > 0)
        setup_tell(s, &s->left, "Publish the DNS records: %zu to be added%s.", new,
                   replace > 0 ? ", others to be changed" : "");
    else if (replace > 0)
        setup_tell(s, &s->left, "Change the DNS records: %zu.", replace);
    if (unknown > 0)
        setup_tell(
            s, &s->left,
            "DNS gave no answer about %zu of the records: add those that are not there, or run sendas dns when it "
            "answers.",
            unknown);
    for (const struct record_ptr *ptr = s->records.first_ptr; ptr != NULL; ptr = ptr->next)
        if (ptr->status != RECORD_PUBLISHED)
            setup_tell(s, &s->left, "Set the reverse name (PTR) of %s to %s where the server was rented.", ptr->ip,
                       ptr->name);
}

static void tell_addresses(struct setup *s)
{
    const char *const *known;
    size_t n = records_addresses(s->config, &known);
    if (n == 0)
        setup_tell(s, &s->left,
                   "This machine has no public address of its own (it is behind NAT, perhaps): run sendas setup %s "
                   "again with --ip and the address that the world sees.",
                   s->domain);
    for (size_t i = 0; i < s->n_ips && n > 0; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found = found || strcmp(s->ips[i], known[k]) == 0;
        if (!found)
            setup_tell(s, &s->left,
                       "%s names other addresses than %s: change delivery.public or bind there if need be.",
                       s->config_path, s->ips[i]);
    }
}

static void tell_left(struct setup *s)
{
    if (!s->domain_configured)
        setup_tell(s, &s->left,
                   "Add to domains: of %s:\n  - name: %s\n    dkim:\n      - {selector: %s, key: \"%s\"}\n"
                   "      - {selector: %s, key: \"%s\"}",
                   s->config_path, s->domain, setup_selectors[0], s->key_paths[0], setup_selectors[1], s->key_paths[1]);
    tell_addresses(s);
    tell_certificate(s);
    tell_records(s);
}

/* ---- the mail programs ----------------------------------------------------------------------- */

static const char *find_password(const struct setup *s, const char *const *labels)
{
    for (; *labels != NULL; labels++)
        for (size_t i = 0; i < s->n_passwords; i++)
            if (strcasecmp(s->passwords[i].label, *labels) == 0)
                return s->passwords[i].text;
    return NULL;
}

static const char *const gmail_labels[] = {"gmail", "default", NULL};
static const char *const thunderbird_labels[] = {"thunderbird", "default", NULL};
static const char *const k9_labels[] = {"k9", "k-9", "phone", "android", "default", NULL};

static bool has_address(struct setup *s, const char *domain, bool *known)
{
    static const unsigned types[] = {DNS_A, DNS_AAAA};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct lookup_answer answer = {.status = LOOKUP_TEMPFAIL};
        s->dns.query(s->dns.ctx, &s->memory, domain, types[i], &answer);
        if (answer.status == LOOKUP_OK && answer.n > 0)
            return true;
        *known = *known && answer.status != LOOKUP_TEMPFAIL;
    }
    return false;
}

/* RFC 5321 5.1: then mail goes to the address of the domain itself, whatever answers there. */
static const char *describe_without_mx(struct setup *s, const char *domain)
{
    bool known = true;
    if (has_address(s, domain, &known))
        return setup_text(
            s,
            "%s has no MX record: mail for it goes to the server at the domain's own address.  If no mail "
            "server answers there, give it a mailbox or a forwarding first, or that mail, answers and "
            "bounces are lost.",
            domain);
    if (!known)
        return setup_text(s, "%s has no MX record: see that something takes its mail.", domain);
    return setup_text(s,
                      "But nothing takes mail for %s yet, as it has no MX record: give it a mailbox or a "
                      "forwarding first, or that mail, answers and bounces are lost.",
                      domain);
}

/* Where Gmail's mail with the code arrives: where mail to the user does. */
static const char *describe_confirmation(struct setup *s)
{
    const char *at = strrchr(s->user, '@'), *hosts = "";
    char domain[DOMAIN_MAX + 1];
    struct lookup_answer mx = {.status = LOOKUP_TEMPFAIL};
    if (at != NULL && domain_to_ascii(slice_of(at + 1), domain, NULL) == 0)
        s->dns.query(s->dns.ctx, &s->memory, domain, DNS_MX, &mx);
    if (mx.status == LOOKUP_TEMPFAIL)
        return setup_text(s, "It arrives where mail to %s arrives today: in its mailbox, or where that forwards to.",
                          s->user);
    for (size_t i = 0; mx.status == LOOKUP_OK && i < mx.n && i < 3; i++)
        if (mx.records[i].text.n > 0)
            hosts = setup_text(s, "%s%s%.*s", hosts, hosts[0] != '\0' ? ", " : "", SLICE_ARG(mx.records[i].text));
    if (mx.status == LOOKUP_OK && mx.n > 0 && hosts[0] == '\0')
        return setup_text(s,
                          "But %s says that it takes no mail at all (a null MX record, RFC 7505), and many refuse mail "
                          "from such a domain: publish the MX of a mailbox provider or a forwarding instead.",
                          domain);
    if (hosts[0] == '\0')
        return describe_without_mx(s, domain);
    return setup_text(s, "It arrives where mail to %s arrives today: by %s in its mailbox, or where that forwards to.",
                      s->user, hosts);
}

enum { LABEL_WIDTH = 18 };

/* A line without label goes on with the value above it. */
static void print_field(const char *label, const char *value)
{
    if (label == NULL)
        printf("  %*s  %s\n", LABEL_WIDTH, "", value);
    else
        printf("  %s:%*s %s\n", label, (int)(LABEL_WIDTH - strlen(label)), "", value);
}

static void print_password(struct setup *s, const char *label, const char *const *labels)
{
    const char *password = find_password(s, labels);
    if (password != NULL) {
        print_field(label, password);
        return;
    }
    print_field(label, s->n_passwords == 0 ? "made before; one more is made by" : "one more is made by");
    print_field(NULL, setup_text(s, "sendas user add %s --label %s%s%s", s->user, labels[0],
                                 s->dir_option != NULL ? " -c " : "", s->dir_option != NULL ? s->config_path : ""));
}

static void print_gmail(struct setup *s)
{
    printf("\n---- Gmail ---------------------------------------------------------------------\n\n"
           "Settings > See all settings > Accounts and Import > Send mail as >\n"
           "Add another email address.  First page:\n\n");
    print_field("Name", "your name, as others shall see it");
    print_field("Email address", s->user);
    print_field("Treat as an alias", "leave it ticked");
    printf("\nSecond page:\n\n");
    print_field("SMTP Server", s->hostname);
    print_field("Port", "587");
    print_field("Username", s->user);
    print_password(s, "Password", gmail_labels);
    printf("  Secured connection using TLS (recommended)\n\n");
    record_text_print(stdout, 0, "",
                      setup_text(s,
                                 "Gmail then sends a mail with a code to %s, through this very server, which "
                                 "therefore has to run.  %s",
                                 s->user, describe_confirmation(s)));
}

static void print_client(struct setup *s, const char *title, const char *authentication, const char *const *labels)
{
    printf("%s\n\n", title);
    print_field("Server", s->hostname);
    print_field("Port", "465");
    print_field("Security", "SSL/TLS");
    print_field("Authentication", authentication);
    print_field("Username", s->user);
    print_password(s, "Password", labels);
}

static void print_clients(struct setup *s)
{
    printf("\n---- Thunderbird, K-9 ----------------------------------------------------------\n\n");
    print_client(s, "Thunderbird: Account Settings > Outgoing Server (SMTP) > Add:", "Normal password",
                 thunderbird_labels);
    putchar('\n');
    print_client(s, "K-9, Thunderbird for Android: Settings > account > Sending mail >\nOutgoing server:",
                 "Normal password", k9_labels);
    printf("\nAny other program: the same, or port 587 with STARTTLS.\n");
    for (size_t i = 0; i < s->n_passwords; i++)
        if (s->n_passwords > 1)
            printf("%sPassword for %s:  %s\n", i == 0 ? "\n" : "", s->passwords[i].label, s->passwords[i].text);
    if (s->n_passwords > 0)
        printf("\nNo password is shown again.  Blanks, dashes and capitals do not matter when it\n"
               "is entered.\n");
}

/* ---- for a person ---------------------------------------------------------------------------- */

static void print_done(const struct setup *s)
{
    printf("%s: sendas is set up.\n\n", s->domain);
    for (size_t i = 0; i < s->done.n; i++)
        record_text_print(stdout, 2, "- ", s->done.v[i]);
    if (s->done.n == 0)
        printf("  - everything was there already, and nothing was changed\n");
    printf("\n---- DNS records ---------------------------------------------------------------\n\n");
}

static void print_step(unsigned number, const char *text)
{
    char first[16];
    snprintf(first, sizeof(first), "%u. ", number);
    if (strchr(text, '\n') != NULL)
        printf("%s%s\n", first, text); /* lines of a file, as they are */
    else
        record_text_print(stdout, 0, first, text);
}

static void print_left(const struct setup *s)
{
    unsigned number = 0;
    printf("\n---- What is left to do --------------------------------------------------------\n\n");
    for (size_t i = 0; i < s->left.n; i++)
        print_step(++number, s->left.v[i]);
    if (s->dir_option == NULL) {
        if (!s->started)
            print_step(++number, "Start: systemctl enable --now sendas");
        print_step(++number, "See whether all is well, now and later: sendas check");
        return;
    }
    printf("%u. Start: sendas serve -c %s\n", number + 1, s->config_path);
    printf("%u. See whether all is well, now and later: sendas check -c %s\n", number + 2, s->config_path);
}

static int print_text(struct setup *s)
{
    print_done(s);
    records_print(&s->records, RECORD_TABLE, stdout);
    print_gmail(s);
    print_clients(s);
    print_left(s);
    return CLI_OK;
}

/* ---- for a program --------------------------------------------------------------------------- */

static json_t *texts_json(const struct setup_texts *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < texts->n; i++)
        if (json_array_append_new(list, json_string(texts->v[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *client_json(const struct setup *s, int port, const char *security, const char *const *labels)
{
    return json_pack("{s:s, s:i, s:s, s:s, s:s?}", "server", s->hostname, "port", port, "security", security,
                     "username", s->user, "password", find_password(s, labels));
}

static json_t *passwords_json(const struct setup *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_passwords; i++)
        if (json_array_append_new(
                list, json_pack("{s:s, s:s}", "label", s->passwords[i].label, "password", s->passwords[i].text)) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static int print_json(struct setup *s)
{
    const char *const *ips;
    size_t n = records_addresses(s->config, &ips);
    json_t *addresses = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(addresses, json_string(ips[i]));
    return cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "domain", s->domain, "hostname",
        s->hostname, "config", s->config_path, "user", s->user, "password",
        s->n_passwords > 0 ? s->passwords[0].text : NULL, "passwords", passwords_json(s), "addresses", addresses,
        "records", records_json_full(&s->records), "ptr", records_ptr_json(&s->records), "gmail",
        client_json(s, 587, "TLS", gmail_labels), "thunderbird", client_json(s, 465, "SSL/TLS", thunderbird_labels),
        "k9", client_json(s, 465, "SSL/TLS", k9_labels), "confirmation", describe_confirmation(s), "done",
        texts_json(&s->done), "todo", texts_json(&s->left)));
}

int setup_print(struct setup *s)
{
    tell_left(s);
    return s->json ? print_json(s) : print_text(s);
}
