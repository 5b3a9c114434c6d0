/* `sendas user list`: the users, what each of their passwords may, and when it was last used. */
#include "queue_text.h"

#include "sendas/config.h"
#include "sendas/submission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LABEL_COLUMNS_MAX = 24 };

/* What the daemon has written down.  One that cannot be read is told, and everything else is shown all the same. */
static void load_logins(const struct config *c, const struct users *users, struct submission_shared *logins)
{
    struct strbuf path = STRBUF_INIT, text = STRBUF_INIT;
    struct err err = {.text = "out of memory"};

    if (submission_logins_path(c, &path) < 0)
        goto failed;
    if (access(strbuf_str(&path), F_OK) < 0 && errno == ENOENT)
        goto end; /* nobody has logged in yet */
    if (file_read(strbuf_str(&path), SUBMISSION_LOGINS_MAX, false, &text, &err) == 0 &&
        submission_logins_load(logins, users, strbuf_slice(&text), clock_mono_ms(), clock_wall_ms(), &err) == 0)
        goto end;
failed:
    fprintf(stderr, "sendas: warning: when passwords were last used is not known: %s: %s\n", strbuf_str(&path),
            err.text);
end:
    strbuf_free(&text);
    strbuf_free(&path);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_list(char *const *v, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_string(v[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* What a password does not have of its own is null. */
static json_t *json_password(const struct submission_shared *logins, const struct user *u,
                             const struct user_password *p)
{
    int64_t at = 0;
    const char *address = submission_last_use(logins, u->name, p->label, &at);

    return json_pack("{ss, so, so, so, so}", "label", p->label, "send_as",
                     p->n_send_as > 0 ? json_list(p->send_as, p->n_send_as) : json_null(), "messages_per_hour",
                     p->messages_per_hour > 0 ? json_integer(p->messages_per_hour) : json_null(), "last_used",
                     json_time(at * 1000), "last_address", address != NULL ? json_string(address) : json_null());
}

static json_t *json_user(const struct submission_shared *logins, const struct user *u)
{
    json_t *passwords = json_array();

    for (size_t i = 0; i < u->n_passwords; i++)
        if (json_array_append_new(passwords, json_password(logins, u, &u->passwords[i])) < 0) {
            json_decref(passwords);
            return NULL;
        }
    return json_pack("{ss, so, so}", "name", u->name, "send_as", json_list(u->send_as, u->n_send_as), "passwords",
                     passwords);
}

static int print_json(const struct submission_shared *logins, const struct users *users)
{
    json_t *list = json_array();

    for (size_t i = 0; i < users->n; i++)
        if (json_array_append_new(list, json_user(logins, &users->v[i])) < 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    return print_json_document(list) < 0 ? cli_fail(CLI_FAILED, "out of memory or output closed") : CLI_OK;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_patterns(const char *words, char *const *v, size_t n, int indent)
{
    struct strbuf b = STRBUF_INIT;

    strbuf_add_str(&b, words);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&b, "%s%s", i == 0 ? " " : ", ", v[i]);
    printf("%*s", indent, "");
    print_wrapped(strbuf_str(&b), indent, indent + 2);
    strbuf_free(&b);
}

static void print_password(const struct submission_shared *logins, const struct user *u, const struct user_password *p,
                           int columns)
{
    char limit[SPAN_SIZE] = "", time[TIME_SIZE];
    int64_t at = 0;
    const char *address = submission_last_use(logins, u->name, p->label, &at);

    if (p->messages_per_hour > 0)
        snprintf(limit, sizeof(limit), "%u/h", p->messages_per_hour);
    printf("  %s%*s  %8s  ", p->label, columns - text_width(p->label), "", limit);
    if (address == NULL)
        fputs("not yet\n", stdout);
    else
        printf("%.16s  %s\n", text_time(time, at * 1000), address);
    if (p->n_send_as > 0)
        print_patterns("only as", p->send_as, p->n_send_as, 6);
}

static void print_user(const struct submission_shared *logins, const struct user *u)
{
    int columns = 5;

    printf("%s\n", u->name);
    print_patterns("sends as", u->send_as, u->n_send_as, 2);
    if (u->n_passwords == 0) {
        printf("  no password: cannot log in\n");
        return;
    }
    for (size_t i = 0; i < u->n_passwords; i++) {
        int width = text_width(u->passwords[i].label);
        if (width > columns)
            columns = width < LABEL_COLUMNS_MAX ? width : LABEL_COLUMNS_MAX;
    }
    printf("  %-*s  %8s  %-16s  %s\n", columns, "LABEL", "LIMIT", "LAST USED (UTC)", "FROM");
    for (size_t i = 0; i < u->n_passwords; i++)
        print_password(logins, u, &u->passwords[i], columns);
}

int user_list(const struct config *c, const struct users *users, bool json)
{
    struct submission_shared *logins = submission_shared_new();
    int code = CLI_OK;

    if (logins == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    load_logins(c, users, logins);
    if (json)
        code = print_json(logins, users);
    else if (users->n == 0)
        printf("no users in %s\n", c->users_path);
    for (size_t i = 0; !json && i < users->n; i++) {
        fputs(i > 0 ? "\n" : "", stdout);
        print_user(logins, &users->v[i]);
    }
    submission_shared_free(&logins);
    return code;
}
