/* What `sendas setup` tells: the records, what to enter in the mail programs, and what is still to be done. */
#include "setup.h"

#include <string.h>
#include <unistd.h>

/* ---- what is still to be done ---------------------------------------------------------------- */

static bool is_missing(const char *path)
{
    return path[0] != '\0' && access(path, F_OK) < 0;
}

/* Calls each(ctx, text) for every step that is left. */
static void each_step(const struct setup *s, void (*each)(void *ctx, const char *text), void *ctx)
{
    char text[2048];
    if (!s->domain_configured) {
        snprintf(text, sizeof(text),
                 "Add to domains: of %s:\n  - name: %s\n    dkim:\n      - {selector: %s, key: \"%s\"}\n"
                 "      - {selector: %s, key: \"%s\"}",
                 strbuf_str(&s->config_path), s->domain, setup_selectors[0], strbuf_str(&s->key_paths[0]),
                 setup_selectors[1], strbuf_str(&s->key_paths[1]));
        each(ctx, text);
    }
    if (s->config->tls.acme == NULL && (is_missing(s->config->tls.certificate) || is_missing(s->config->tls.key))) {
        snprintf(text, sizeof(text), "Get a certificate for %s: the chain goes to %s, its key (mode 0640) to %s.",
                 s->hostname, s->config->tls.certificate, s->config->tls.key);
        each(ctx, text);
    }
    each(ctx, "Publish the DNS records.");
    for (size_t i = 0; i < s->n_ips; i++) {
        snprintf(text, sizeof(text), "Ask the owner of %s (your provider) to set its PTR record to %s.", s->ips[i],
                 s->hostname);
        each(ctx, text);
    }
    each(ctx, "Start: systemctl enable --now sendas");
}

/* ---- for a person ---------------------------------------------------------------------------- */

static const char *password_text(const struct setup *s)
{
    return s->password[0] != '\0' ? s->password : "(as it was; a new one: sendas user add ADDRESS --label NAME)";
}

static void print_clients(const struct setup *s)
{
    const char *user = strbuf_str(&s->user);
    printf("\nGmail, Settings > Accounts > Send mail as > Add another email address:\n"
           "  SMTP Server:  %s\n  Port:         587\n  Username:     %s\n  Password:     %s\n"
           "  Secured connection using TLS (recommended)\n",
           s->hostname, user, password_text(s));
    printf("\nThunderbird, K-9, outgoing server:\n"
           "  Server:       %s\n  Port:         465\n  Security:     SSL/TLS\n  Authentication: normal password\n"
           "  Username:     %s\n  Password:     %s\n",
           s->hostname, user, password_text(s));
    if (s->password[0] != '\0')
        printf("\nThe password is not stored and not shown again.\n");
}

static void print_step(void *ctx, const char *text)
{
    int *number = ctx;
    printf("%d. %s\n", ++*number, text);
}

static int print_text(const struct setup *s)
{
    int number = 0;
    printf("Configuration: %s\n\nDNS records to publish:\n\n", strbuf_str(&s->config_path));
    records_print(&s->records, RECORD_ZONE, stdout);
    print_clients(s);
    printf("\nWhat is left to do:\n");
    each_step(s, print_step, &number);
    return CLI_OK;
}

/* ---- for a program --------------------------------------------------------------------------- */

static void append_step(void *ctx, const char *text)
{
    json_array_append_new(ctx, json_string(text));
}

static json_t *client_json(const struct setup *s, int port, const char *security)
{
    return json_pack("{s:s, s:i, s:s, s:s, s:s?}", "server", s->hostname, "port", port, "security", security,
                     "username", strbuf_str(&s->user), "password", s->password[0] != '\0' ? s->password : NULL);
}

static int print_json(const struct setup *s)
{
    json_t *steps = json_array();
    each_step(s, append_step, steps);
    return cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o}", "domain", s->domain, "hostname",
                                    s->hostname, "config", strbuf_str(&s->config_path), "user", strbuf_str(&s->user),
                                    "password", s->password[0] != '\0' ? s->password : NULL, "records",
                                    records_json(&s->records), "gmail", client_json(s, 587, "TLS"), "thunderbird",
                                    client_json(s, 465, "SSL/TLS"), "todo", steps));
}

int setup_print(const struct setup *s)
{
    return s->json ? print_json(s) : print_text(s);
}
