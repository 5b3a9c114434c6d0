/* What an authority says, read strictly: JSON by jansson, every member checked for kind, size and alphabet. */
#include "internal.h"

#include <string.h>
#include <time.h>

static const char error_prefix[] = "urn:ietf:params:acme:error:";
static const char *const challenge_names[ACME_CHALLENGES] = {"http-01", "tls-alpn-01"};

/* ---- members --------------------------------------------------------------------------------- */

bool acme_url_ok(const char *url)
{
    size_t n = strlen(url);

    if (n >= ACME_URL_MAX || strncmp(url, "https://", 8) != 0 || url[8] == '\0' || url[8] == '/')
        return false;
    for (const char *p = url; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
            return false;
    return true;
}

bool acme_token_ok(const char *token)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = strlen(token);

    return n > 0 && n < ACME_TOKEN_MAX && strspn(token, alphabet) == n;
}

const char *acme_challenge_name(enum acme_challenge c)
{
    return challenge_names[c];
}

/* jansson refuses duplicates, NUL in strings and bad UTF-8; its depth is bounded. */
static json_t *object_of(struct slice body, const char *what, struct err *err)
{
    json_error_t why;
    json_t *doc = body.n == 0 ? NULL : json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &why);

    if (json_is_object(doc))
        return doc;
    json_decref(doc);
    err_set(err, "the %s is no JSON object", what);
    return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static int take_url(const json_t *object, const char *key, char out[ACME_URL_MAX], struct err *err)
{
    const char *url = text_of(object, key);

    if (!acme_url_ok(url))
        return err_set(err, "\"%s\" is no https URL", key);
    snprintf(out, ACME_URL_MAX, "%s", url);
    return 0;
}

static enum acme_status_word status_of(const json_t *object)
{
    static const struct {
        const char *word;
        enum acme_status_word status;
    } words[] = {
        {"pending", ACME_STATUS_PENDING}, {"ready", ACME_STATUS_READY},     {"processing", ACME_STATUS_PROCESSING},
        {"valid", ACME_STATUS_VALID},     {"invalid", ACME_STATUS_INVALID}, {"deactivated", ACME_STATUS_OTHER},
        {"expired", ACME_STATUS_OTHER},   {"revoked", ACME_STATUS_OTHER},
    };
    const char *text = text_of(object, "status");

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i].word) == 0)
            return words[i].status;
    return ACME_STATUS_UNKNOWN;
}

/* RFC 8555 7.1.3: one name was asked for, and nothing else may come of it. */
static bool is_for(const json_t *identifier, const char *hostname)
{
    return strcmp(text_of(identifier, "type"), "dns") == 0 &&
           slice_eq_icase(slice_of(text_of(identifier, "value")), slice_of(hostname));
}

/* ---- problems -------------------------------------------------------------------------------- */

/* Text of others: one line, not too long, no half character at the end. */
static void add_text(char *out, size_t size, const char *text)
{
    size_t n = strlen(out), more = strlen(text);

    if (more > size - 1 - n) {
        more = size - 1 - n;
        while (more > 0 && ((unsigned char)text[more] & 0xc0) == 0x80)
            more--;
    }
    for (size_t i = 0; i < more; i++)
        out[n + i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
    out[n + more] = '\0';
}

static const char *problem_type(const json_t *problem)
{
    const char *type = text_of(problem, "type");
    size_t n = sizeof(error_prefix) - 1;

    return strncmp(type, error_prefix, n) == 0 ? type + n : "";
}

static void problem_text(const json_t *problem, char *out, size_t size)
{
    const char *type = problem_type(problem), *detail = text_of(problem, "detail");

    *out = '\0';
    add_text(out, size, type);
    if (*type != '\0' && *detail != '\0')
        add_text(out, size, ": ");
    add_text(out, size, detail);
}

void acme_problem_parse(struct slice body, unsigned status, struct acme_problem *ret)
{
    json_t *doc = object_of(body, "", NULL);

    *ret = (struct acme_problem){.type = ""};
    add_text(ret->type, sizeof(ret->type), problem_type(doc));
    problem_text(doc, ret->text, sizeof(ret->text));
    if (ret->text[0] == '\0')
        snprintf(ret->text, sizeof(ret->text), "HTTP status %u", status);
    json_decref(doc);
}

/* ---- directory (RFC 8555 7.1.1) -------------------------------------------------------------- */

int acme_directory_parse(struct slice body, struct acme_directory *ret, struct err *err)
{
    json_t *doc = object_of(body, "directory", err);
    int rc = -1;

    *ret = (struct acme_directory){.new_nonce = ""};
    if (doc != NULL && take_url(doc, "newNonce", ret->new_nonce, err) == 0 &&
        take_url(doc, "newAccount", ret->new_account, err) == 0 && take_url(doc, "newOrder", ret->new_order, err) == 0)
        rc = 0;
    if (rc == 0 && json_object_get(doc, "renewalInfo") != NULL)
        rc = take_url(doc, "renewalInfo", ret->renewal_info, err);
    ret->account_required = json_is_true(json_object_get(json_object_get(doc, "meta"), "externalAccountRequired"));
    json_decref(doc);
    return rc;
}

/* ---- order (RFC 8555 7.1.3) ------------------------------------------------------------------ */

static int order_members(const json_t *doc, const char *hostname, struct acme_order_document *ret, struct err *err)
{
    const json_t *identifiers = json_object_get(doc, "identifiers");
    const json_t *authorizations = json_object_get(doc, "authorizations");
    const char *authorization = json_string_value(json_array_get(authorizations, 0));

    ret->status = status_of(doc);
    if (ret->status == ACME_STATUS_UNKNOWN || ret->status == ACME_STATUS_OTHER)
        return err_set(err, "the order has no status that is known");
    if (json_array_size(identifiers) != 1 || !is_for(json_array_get(identifiers, 0), hostname))
        return err_set(err, "the order is not for %s", hostname);
    if (json_array_size(authorizations) != 1 || authorization == NULL || !acme_url_ok(authorization))
        return err_set(err, "the order does not name one authorization");
    snprintf(ret->authorization, sizeof(ret->authorization), "%s", authorization);
    if (take_url(doc, "finalize", ret->finalize, err) < 0)
        return -1;
    if (ret->status == ACME_STATUS_VALID && take_url(doc, "certificate", ret->certificate, err) < 0)
        return -1;
    problem_text(json_object_get(doc, "error"), ret->problem, sizeof(ret->problem));
    return 0;
}

int acme_order_parse(struct slice body, const char *hostname, struct acme_order_document *ret, struct err *err)
{
    json_t *doc = object_of(body, "order", err);

    *ret = (struct acme_order_document){.status = ACME_STATUS_UNKNOWN};
    int rc = doc == NULL ? -1 : order_members(doc, hostname, ret, err);
    json_decref(doc);
    return rc;
}

/* ---- authorization (RFC 8555 7.1.4, 8) ------------------------------------------------------- */

/* Those that cannot be answered here are left out, and so are those that are malformed. */
static void take_challenge(const json_t *challenge, struct acme_authorization *ret)
{
    const char *type = text_of(challenge, "type"), *url = text_of(challenge, "url");
    const char *token = text_of(challenge, "token");

    if (status_of(challenge) == ACME_STATUS_INVALID && ret->problem[0] == '\0')
        problem_text(json_object_get(challenge, "error"), ret->problem, sizeof(ret->problem));
    for (size_t i = 0; i < ACME_CHALLENGES; i++)
        if (strcmp(type, challenge_names[i]) == 0 && acme_url_ok(url) && acme_token_ok(token)) {
            snprintf(ret->challenge[i].url, sizeof(ret->challenge[i].url), "%s", url);
            snprintf(ret->challenge[i].token, sizeof(ret->challenge[i].token), "%s", token);
        }
}

int acme_authorization_parse(struct slice body, const char *hostname, struct acme_authorization *ret, struct err *err)
{
    json_t *doc = object_of(body, "authorization", err);
    const json_t *challenges = json_object_get(doc, "challenges");
    int rc = 0;

    *ret = (struct acme_authorization){.status = status_of(doc)};
    if (doc == NULL)
        return -1;
    if (ret->status == ACME_STATUS_UNKNOWN)
        rc = err_set(err, "the authorization has no status that is known");
    else if (!is_for(json_object_get(doc, "identifier"), hostname))
        rc = err_set(err, "the authorization is not for %s", hostname);
    for (size_t i = 0; rc == 0 && i < json_array_size(challenges); i++)
        take_challenge(json_array_get(challenges, i), ret);
    json_decref(doc);
    return rc;
}

/* ---- renewal information (RFC 9773 4.2) ------------------------------------------------------ */

static bool digits(const char *p, size_t n, int *ret)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *ret = *ret * 10 + (p[i] - '0');
    }
    return true;
}

/* "Z", "+01:00": the offset in seconds. */
static int zone_parse(struct slice text, int64_t *ret)
{
    int hours, minutes;

    *ret = 0;
    if (text.n == 1 && (text.p[0] == 'Z' || text.p[0] == 'z'))
        return 0;
    if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-') || text.p[3] != ':' || !digits(text.p + 1, 2, &hours) ||
        !digits(text.p + 4, 2, &minutes) || hours > 23 || minutes > 59)
        return -1;
    *ret = (text.p[0] == '-' ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
    return 0;
}

int acme_time_parse(struct slice text, int64_t *ret)
{
    struct tm tm = {0};
    int64_t zone;
    const char *p = text.p;

    if (text.n < 20 || !digits(p, 4, &tm.tm_year) || p[4] != '-' || !digits(p + 5, 2, &tm.tm_mon) || p[7] != '-' ||
        !digits(p + 8, 2, &tm.tm_mday) || (p[10] != 'T' && p[10] != 't') || !digits(p + 11, 2, &tm.tm_hour) ||
        p[13] != ':' || !digits(p + 14, 2, &tm.tm_min) || p[16] != ':' || !digits(p + 17, 2, &tm.tm_sec))
        return -1;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -1;
    struct slice rest = slice_skip(text, 19);
    if (rest.p[0] == '.') {
        size_t n = 1;
        while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
            n++;
        if (n == 1)
            return -1;
        rest = slice_skip(rest, n);
    }
    if (zone_parse(rest, &zone) < 0)
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret = (int64_t)timegm(&tm) - zone;
    return 0;
}

int acme_window_parse(struct slice body, struct acme_window *ret, struct err *err)
{
    json_t *doc = object_of(body, "renewal information", err);
    const json_t *window = json_object_get(doc, "suggestedWindow");
    int rc = 0;

    if (doc == NULL)
        return -1;
    if (acme_time_parse(slice_of(text_of(window, "start")), &ret->start) < 0 ||
        acme_time_parse(slice_of(text_of(window, "end")), &ret->end) < 0)
        rc = err_set(err, "the renewal information has no window of time");
    else if (ret->end <= ret->start) /* RFC 9773 4.2: as if there were none */
        rc = err_set(err, "the renewal information's window ends before it starts");
    json_decref(doc);
    return rc;
}
