/* users.c - users.yaml: who may log in, and send as whom. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a user consists of ------------------------------------------------------------------------------ */

enum { LABEL_MAX = 100, HASH_MAX = 383 /* crypt(3): CRYPT_OUTPUT_SIZE less the NUL */ };

/* An address or "*@domain", the domain as A-labels. */
static int pattern_normalize(struct slice text, char out[ADDRESS_MAX + 1], struct err *err)
{
    char name[DOMAIN_MAX + 1];
    if (!slice_starts(text, SLICE("*@"))) {
        /* RFC 5321 would have it be a character like others; whoever writes it means more. */
        if (slice_find(text, '*') != text.n)
            return err_set(err, "'*' stands for a whole local part");
        return address_normalize(text, out, err);
    }
    if (name_to_ascii(slice_skip(text, 2), name, err) < 0)
        return -1;
    snprintf(out, ADDRESS_MAX + 1, "*@%s", name);
    return 0;
}

/* An address that is no pattern: by default it is the user's one send_as. */
static int login_normalize(struct slice text, char out[ADDRESS_MAX + 1], struct err *err)
{
    if (slice_find(text, '*') != text.n)
        return err_set(err, "'*' has a meaning in send_as only");
    return address_normalize(text, out, err);
}

/* crypt(5): yescrypt, bcrypt or sha512crypt, and in the characters that hashes are made of. */
static bool is_hash(const char *hash)
{
    static const char *const schemes[] = {"$y$", "$2b$", "$2a$", "$2y$", "$6$"};
    static const char letters[] = "./$=,-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t n = strlen(hash);
    if (n > HASH_MAX || strspn(hash, letters) != n)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_starts(slice_of(hash), slice_of(schemes[i])) && n > strlen(schemes[i]))
            return true;
    return false;
}

#define HASH_EXPECTED "a crypt(5) hash that begins with $y$, $2b$, $2a$, $2y$ or $6$"

static bool is_label(const char *label)
{
    struct slice s = slice_of(label);
    if (s.n == 0 || s.n > LABEL_MAX || !slice_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
            return false;
    return true;
}

#define LABEL_EXPECTED "a name of 1 to 100 octets"

/* ---- lists that grow -------------------------------------------------------------------------------------------- */

static struct user *users_append(struct users *u, const char *name)
{
    struct user *v = reallocarray(u->v, u->n + 1, sizeof(*v));
    if (v == NULL)
        return NULL;
    u->v = v;
    struct user *user = &v[u->n];
    *user = (struct user){.name = strdup(name)};
    if (user->name == NULL)
        return NULL;
    u->n++;
    return user;
}

/* A pattern that is there already is not added again. */
static int patterns_add(char ***list, size_t *n, const char *pattern)
{
    for (size_t i = 0; i < *n; i++)
        if (strcasecmp((*list)[i], pattern) == 0)
            return 0;
    char **v = reallocarray(*list, *n + 1, sizeof(*v));
    if (v == NULL)
        return -1;
    *list = v;
    v[*n] = strdup(pattern);
    return v[(*n)++] == NULL ? -1 : 0;
}

static void patterns_clear(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

static int user_add_pattern(struct user *user, const char *pattern)
{
    return patterns_add(&user->send_as, &user->n_send_as, pattern);
}

/* Is every address of this pattern, in its normal form, one that the user may send as? */
static bool user_covers(const struct user *user, const char *pattern)
{
    struct slice local, domain = slice_cut(slice_of(pattern), '@', &local);
    for (size_t i = 0; i < user->n_send_as; i++)
        if (users_pattern_matches(user->send_as[i], local, domain))
            return true;
    return false;
}

#define WITHIN_EXPECTED "an address, or \"*@\" and a domain, within what the user's own send_as allows"

const struct user_password *users_find_password(const struct user *user, const char *label)
{
    for (size_t i = 0; i < user->n_passwords; i++)
        if (strcmp(user->passwords[i].label, label) == 0)
            return &user->passwords[i];
    return NULL;
}

static int user_add_password(struct user *user, const char *label, const char *hash)
{
    struct user_password *v = reallocarray(user->passwords, user->n_passwords + 1, sizeof(*v));
    if (v == NULL)
        return -1;
    user->passwords = v;
    struct user_password *p = &v[user->n_passwords++];
    *p = (struct user_password){.label = strdup(label), .hash = strdup(hash)};
    return p->label == NULL || p->hash == NULL ? -1 : 0;
}

static void user_password_clear(struct user_password *p)
{
    patterns_clear(p->send_as, p->n_send_as);
    free(p->label);
    free(p->hash);
}

static void user_clear(struct user *user)
{
    patterns_clear(user->send_as, user->n_send_as);
    for (size_t i = 0; i < user->n_passwords; i++)
        user_password_clear(&user->passwords[i]);
    free(user->passwords);
    free(user->name);
}

void users_free(struct users **pu)
{
    struct users *u = *pu;
    if (u == NULL)
        return;
    *pu = NULL;
    for (size_t i = 0; i < u->n; i++)
        user_clear(&u->v[i]);
    free(u->v);
    free(u);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int parse_patterns(const struct source *s, const char *key, const struct raw_user *raw, struct user *user,
                          struct err *err)
{
    for (size_t i = 0; i < raw->send_as_count; i++) {
        char member[CONFIG_KEY_MAX], pattern[ADDRESS_MAX + 1];
        struct err why;
        key_set(member, "%s.send_as[%zu]", key, i);
        if (pattern_normalize(slice_of(raw->send_as[i]), pattern, &why) < 0)
            return source_mismatch(s, err, member, raw->send_as[i], "an address or \"*@\" and a domain (here: %s)",
                                   why.text);
        if (user_add_pattern(user, pattern) < 0)
            return source_fail(s, err, member, "out of memory");
    }
    if (user->n_send_as == 0 && user_add_pattern(user, user->name) < 0)
        return source_fail(s, err, key, "out of memory");
    return 0;
}

/* What a password may do less than its user. */
static int parse_narrowing(const struct source *s, const char *key, const struct raw_password *raw,
                           const struct user *user, struct user_password *p, struct err *err)
{
    static const struct scalar messages = {.kind = SCALAR_COUNT, .max = USER_MESSAGES_PER_HOUR_MAX};
    const struct build build = {.source = s, .err = err};
    char member[CONFIG_KEY_MAX], pattern[ADDRESS_MAX + 1];
    for (size_t i = 0; i < raw->send_as_count; i++) {
        key_set(member, "%s.send_as[%zu]", key, i);
        if (pattern_normalize(slice_of(raw->send_as[i]), pattern, NULL) < 0 || !user_covers(user, pattern))
            return source_mismatch(s, err, member, raw->send_as[i], WITHIN_EXPECTED);
        if (patterns_add(&p->send_as, &p->n_send_as, pattern) < 0)
            return source_fail(s, err, member, "out of memory");
    }
    if (raw->messages_per_hour == NULL)
        return 0;
    key_set(member, "%s.messages_per_hour", key);
    return scalar_set(&build, &messages, member, raw->messages_per_hour, &p->messages_per_hour);
}

static int parse_passwords(const struct source *s, const char *key, const struct raw_user *raw, struct user *user,
                           struct err *err)
{
    for (size_t i = 0; i < raw->passwords_count; i++) {
        const struct raw_password *p = &raw->passwords[i];
        char member[CONFIG_KEY_MAX];
        key_set(member, "%s.passwords[%zu].label", key, i);
        if (!is_label(p->label))
            return source_mismatch(s, err, member, p->label, LABEL_EXPECTED);
        if (users_find_password(user, p->label) != NULL)
            return source_fail(s, err, member, "found the label \"%s\" again, expected it once", p->label);
        key_set(member, "%s.passwords[%zu].hash", key, i);
        /* What stands there may be a password: it is not repeated. */
        if (!is_hash(p->hash))
            return source_fail(s, err, member, "found an unknown hash (not shown here), expected " HASH_EXPECTED);
        if (user_add_password(user, p->label, p->hash) < 0)
            return source_fail(s, err, member, "out of memory");
        key_set(member, "%s.passwords[%zu]", key, i);
        if (parse_narrowing(s, member, p, user, &user->passwords[i], err) < 0)
            return -1;
    }
    return 0;
}

static int parse_user(const struct source *s, size_t index, const struct raw_user *raw, struct users *u,
                      struct err *err)
{
    char key[CONFIG_KEY_MAX], member[CONFIG_KEY_MAX], name[ADDRESS_MAX + 1];
    struct err why;
    key_set(key, "users[%zu]", index);
    key_set(member, "users[%zu].name", index);
    if (login_normalize(slice_of(raw->name), name, &why) < 0)
        return source_mismatch(s, err, member, raw->name, "an address, such as me@example.com (here: %s)", why.text);
    struct user *user = users_append(u, name);
    if (user == NULL)
        return source_fail(s, err, key, "out of memory");
    return parse_patterns(s, key, raw, user, err) < 0 ? -1 : parse_passwords(s, key, raw, user, err);
}

/* By name, those of the same name in their order. */
static int compare_users(const void *a, const void *b)
{
    const struct user *left = *(const struct user *const *)a, *right = *(const struct user *const *)b;
    int order = strcasecmp(left->name, right->name);
    return order != 0 ? order : (left > right) - (left < right);
}

static int refuse_twice(const struct source *s, const struct users *u, struct err *err)
{
    const struct user **sorted = calloc(u->n + 1, sizeof(const struct user *));
    int rc = 0;
    if (sorted == NULL)
        return source_fail(s, err, "", "out of memory");
    for (size_t i = 0; i < u->n; i++)
        sorted[i] = &u->v[i];
    qsort(sorted, u->n, sizeof(const struct user *), compare_users);
    for (size_t i = 1; i < u->n && rc == 0; i++) {
        if (strcasecmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        char key[CONFIG_KEY_MAX];
        key_set(key, "users[%zu].name", (size_t)(sorted[i] - u->v));
        rc = source_fail(s, err, key, "found the user %s again, expected them once", sorted[i]->name);
    }
    free(sorted);
    return rc;
}

int users_parse(struct slice text, const char *name, struct users **ret, struct err *err)
{
    struct source source;
    void *loaded = NULL;
    struct users *u = NULL;
    if (source_parse(&source, text, name, err) < 0)
        return -1;
    int rc = source_check(&source, &users_schema, err);
    if (rc == 0)
        rc = source_load(&source, &users_schema, &loaded, err);
    if (rc == 0 && (u = calloc(1, sizeof(*u))) == NULL) {
        err_set(err, "out of memory");
        rc = -1;
    }
    const struct raw_users *raw = loaded;
    for (size_t i = 0; rc == 0 && i < raw->users_count; i++)
        rc = parse_user(&source, i, &raw->users[i], u, err);
    if (rc == 0)
        rc = refuse_twice(&source, u, err);
    source_unload(&users_schema, loaded);
    source_free(&source);
    if (rc < 0)
        users_free(&u);
    else
        *ret = u;
    return rc;
}

int users_load(const char *path, struct users **ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    int rc = file_read(path, CONFIG_TEXT_MAX, true, &text, err);
    if (rc == 0)
        rc = users_parse(strbuf_slice(&text), path, ret, err);
    strbuf_free(&text);
    return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

const struct user *users_find(const struct users *u, struct slice login)
{
    char name[ADDRESS_MAX + 1];
    if (address_normalize(login, name, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < u->n; i++)
        if (slice_eq_icase(slice_of(u->v[i].name), slice_of(name)))
            return &u->v[i];
    return NULL;
}

bool users_pattern_matches(const char *pattern, struct slice local, struct slice domain)
{
    struct slice own_local;
    struct slice own_domain = slice_cut(slice_of(pattern), '@', &own_local);
    if (local.n == 0 || !domain_eq(own_domain, domain))
        return false;
    return slice_eq(own_local, SLICE("*")) || slice_eq_icase(own_local, local);
}

/* ---- changing -------------------------------------------------------------------------------- */

#define DEFAULT_LABEL "default"

int users_pattern_check(const char *pattern, struct err *err)
{
    char normal[ADDRESS_MAX + 1];
    struct err why;
    return pattern_normalize(slice_of(pattern), normal, &why) == 0
               ? 0
               : err_set(err, "found \"%.80s\", expected an address or \"*@\" and a domain (here: %s)", pattern,
                         why.text);
}

/* Is all of it right, before anything is changed? */
static int check_addition(const struct users *u, const char *name, const char *label, const char *hash,
                          const char *const *send_as, size_t n_send_as, struct err *err)
{
    char normal[ADDRESS_MAX + 1];
    struct err why;
    if (login_normalize(slice_of(name), normal, &why) < 0)
        return err_set(err, "found \"%.80s\", expected an address, such as me@example.com (here: %s)", name, why.text);
    for (size_t i = 0; i < n_send_as; i++)
        if (users_pattern_check(send_as[i], err) < 0)
            return -1;
    if (!is_label(label))
        return err_set(err, "found \"%.80s\", expected as a label " LABEL_EXPECTED, label);
    if (!is_hash(hash))
        return err_set(err, "found an unknown hash (not shown here), expected " HASH_EXPECTED);
    const struct user *user = users_find(u, slice_of(name));
    if (user != NULL && users_find_password(user, label) != NULL)
        return err_set(err, "%s has a password \"%s\" already", user->name, label);
    return 0;
}

int users_add(struct users *u, const char *name, const char *label, const char *hash, const char *const *send_as,
              size_t n_send_as, struct err *err)
{
    char normal[ADDRESS_MAX + 1];
    if (label == NULL)
        label = DEFAULT_LABEL;
    if (check_addition(u, name, label, hash, send_as, n_send_as, err) < 0)
        return -1;
    struct user *user = (struct user *)users_find(u, slice_of(name));
    if (user == NULL) {
        address_normalize(slice_of(name), normal, NULL);
        user = users_append(u, normal);
    }
    if (user == NULL)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < n_send_as; i++) {
        pattern_normalize(slice_of(send_as[i]), normal, NULL);
        if (user_add_pattern(user, normal) < 0)
            return err_set(err, "out of memory");
    }
    if ((user->n_send_as == 0 && user_add_pattern(user, user->name) < 0) || user_add_password(user, label, hash) < 0)
        return err_set(err, "out of memory");
    return 0;
}

/* In their normal forms, or NULL and the reason. */
static char **normalize_within(const struct user *user, const char *const *only, size_t n, size_t *ret_n,
                               struct err *err)
{
    char normal[ADDRESS_MAX + 1];
    char **list = calloc(n + 1, sizeof(*list));
    *ret_n = 0;
    for (size_t i = 0; list != NULL && i < n; i++) {
        int rc = 0;
        if (pattern_normalize(slice_of(only[i]), normal, NULL) < 0 || !user_covers(user, normal))
            rc = err_set(err, "found \"%.80s\", expected " WITHIN_EXPECTED, only[i]);
        else if (patterns_add(&list, ret_n, normal) < 0)
            rc = err_set(err, "out of memory");
        if (rc < 0) {
            patterns_clear(list, *ret_n);
            return NULL;
        }
    }
    if (list == NULL)
        err_set(err, "out of memory");
    return list;
}

int users_narrow(struct users *u, const char *name, const char *label, const char *const *only, size_t n_only,
                 unsigned messages_per_hour, struct err *err)
{
    const struct user *user = users_find(u, slice_of(name));
    struct user_password *p = user == NULL ? NULL : (struct user_password *)users_find_password(user, label);
    size_t n;
    if (p == NULL)
        return err_set(err, "%.80s has no password \"%.80s\"", name, label);
    if (messages_per_hour > USER_MESSAGES_PER_HOUR_MAX)
        return err_set(err, "found %u messages an hour, expected at most %d", messages_per_hour,
                       USER_MESSAGES_PER_HOUR_MAX);
    char **list = normalize_within(user, only, n_only, &n, err);
    if (list == NULL)
        return -1;
    patterns_clear(p->send_as, p->n_send_as);
    p->send_as = list;
    p->n_send_as = n;
    p->messages_per_hour = messages_per_hour;
    return 0;
}

int users_remove(struct users *u, const char *name, const char *label, struct err *err)
{
    struct user *user = (struct user *)users_find(u, slice_of(name));
    if (user == NULL)
        return err_set(err, "there is no user %.80s", name);
    if (label == NULL) {
        user_clear(user);
        memmove(user, user + 1, (size_t)(u->v + u->n - (user + 1)) * sizeof(*user));
        u->n--;
        return 0;
    }
    struct user_password *p = (struct user_password *)users_find_password(user, label);
    if (p == NULL)
        return err_set(err, "%s has no password \"%.80s\"", user->name, label);
    user_password_clear(p);
    memmove(p, p + 1, (size_t)(user->passwords + user->n_passwords - (p + 1)) * sizeof(*p));
    user->n_passwords--;
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void patterns_print(char *const *list, size_t n, FILE *out)
{
    fputs("send_as: [", out);
    for (size_t i = 0; i < n; i++) {
        fputs(i == 0 ? "" : ", ", out);
        text_print(list[i], out);
    }
    fputs("]", out);
}

static void password_print(const struct user_password *p, FILE *out)
{
    fputs("      - {label: ", out);
    text_print(p->label, out);
    fputs(", hash: ", out);
    text_print(p->hash, out);
    if (p->n_send_as > 0) {
        fputs(", ", out);
        patterns_print(p->send_as, p->n_send_as, out);
    }
    if (p->messages_per_hour > 0)
        fprintf(out, ", messages_per_hour: %u", p->messages_per_hour);
    fputs("}\n", out);
}

static void user_print(const struct user *user, FILE *out)
{
    fputs("  - name: ", out);
    text_print(user->name, out);
    fputs("\n    ", out);
    patterns_print(user->send_as, user->n_send_as, out);
    fputs(user->n_passwords == 0 ? "\n    passwords: []\n" : "\n    passwords:\n", out);
    for (size_t i = 0; i < user->n_passwords; i++)
        password_print(&user->passwords[i], out);
}

int users_save(const char *path, const struct users *u, struct err *err)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL)
        return err_set(err, "out of memory");
    fputs(u->n == 0 ? "users: []\n" : "users:\n", out);
    for (size_t i = 0; i < u->n; i++)
        user_print(&u->v[i], out);
    bool complete = ferror(out) == 0;
    if (fclose(out) != 0)
        complete = false;
    int rc = complete ? file_write(path, slice_from(text, n), 0640, err) : err_set(err, "out of memory");
    free(text);
    return rc;
}
