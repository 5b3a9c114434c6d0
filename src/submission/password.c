/* submission/password.c - a password against crypt(5) hashes.  Runs on a worker: it takes tens of milliseconds on
 * purpose. */
#include "internal.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/* What is hashed where no user has a password at all: yescrypt with the cost that `sendas user add` uses. */
static const char fallback_setting[] = "$y$j9T$abcdefghijklmnopqrst..$";

/* The form of the passwords that `sendas user add` makes: groups of letters and digits, joined by dashes. */
enum { PASSWORD_LETTERS = 20, GROUP_LETTERS = 4 };

static bool equal_in_constant_time(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned char differ = 0;
    if (strlen(b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static const struct user *with_most_passwords(const struct users *users)
{
    const struct user *most = NULL;
    for (size_t i = 0; i < users->n; i++)
        if (most == NULL || users->v[i].n_passwords > most->n_passwords)
            most = &users->v[i];
    return most;
}

/* Every login costs as many hashes as that of the user with most passwords, so that the time tells neither whether the
 * user exists nor how many passwords there are. */
static const struct user_password *find_match(const struct user *user, const struct user *most, const char *phrase,
                                              struct crypt_data *data)
{
    size_t rounds = most == NULL || most->n_passwords == 0 ? 1 : most->n_passwords;
    for (size_t i = 0; i < rounds; i++) {
        bool own = user != NULL && i < user->n_passwords;
        const char *hash = fallback_setting;
        if (own)
            hash = user->passwords[i].hash;
        else if (most != NULL && i < most->n_passwords)
            hash = most->passwords[i].hash;
        const char *got = crypt_rn(phrase, hash, data, sizeof(*data));
        if (own && got != NULL && equal_in_constant_time(got, hash))
            return &user->passwords[i];
    }
    return NULL;
}

/* ---- other ways of typing it ---------------------------------------------------------------------------------- */

static void remove_spaces(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if (*from != ' ')
            *to++ = *from;
    *to = '\0';
}

/* Octets of the space or dash that `p` begins with: ASCII, a no-break space (U+00A0), or what a keyboard makes of '-'
 * (U+2010 to U+2015, U+2212); 0 when it is none. */
static size_t separator_length(const char *p)
{
    if (*p == ' ' || *p == '-')
        return 1;
    if (strncmp(p, "\xc2\xa0", 2) == 0)
        return 2;
    if (strncmp(p, "\xe2\x88\x92", 3) == 0 ||
        (strncmp(p, "\xe2\x80", 2) == 0 && p[2] >= (char)0x90 && p[2] <= (char)0x95))
        return 3;
    return 0;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters and digits in groups, as such a password was shown; false when it is none. */
static bool regroup(const char *text, char *out)
{
    size_t letters = 0, n = 0;
    while (*text != '\0') {
        size_t skip = separator_length(text);
        text += skip;
        if (skip > 0)
            continue;
        if (!is_letter_or_digit(*text) || letters == PASSWORD_LETTERS)
            return false;
        if (letters > 0 && letters % GROUP_LETTERS == 0)
            out[n++] = '-';
        out[n++] = *text++;
        letters++;
    }
    out[n] = '\0';
    return letters == PASSWORD_LETTERS;
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* The ways to read what was typed, each once: as it is; without its spaces, with which other programs show app
 * passwords; in our groups; and these in lower case, as ours are. */
enum { READINGS_MAX = 4 };

struct readings {
    char v[READINGS_MAX][CRYPT_MAX_PASSPHRASE_SIZE];
    size_t n;
};

/* Is what stands at v[n] one more? */
static void keep_new(struct readings *r)
{
    if (r->v[r->n][0] == '\0')
        return;
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->v[i], r->v[r->n]) == 0)
            return;
    r->n++;
}

static void read_all(struct slice password, struct readings *r)
{
    const char *typed = r->v[0];
    memcpy(r->v[0], password.p, password.n);
    r->v[0][password.n] = '\0';
    r->n = 1;
    memcpy(r->v[1], typed, password.n + 1);
    remove_spaces(r->v[1]);
    keep_new(r);
    if (!regroup(typed, r->v[r->n]))
        return;
    keep_new(r);
    (void)regroup(typed, r->v[r->n]);
    to_lower(r->v[r->n]);
    keep_new(r);
}

const struct user_password *submission_password_check(const struct users *users, struct slice login,
                                                      struct slice password)
{
    struct work {
        struct crypt_data data;
        struct readings readings;
    } * work;
    const struct user_password *match = NULL;
    if (password.n == 0 || password.n >= CRYPT_MAX_PASSPHRASE_SIZE || slice_find(password, '\0') < password.n)
        return NULL;
    if ((work = calloc(1, sizeof(*work))) == NULL)
        return NULL;
    const struct user *user = users_find(users, login), *most = with_most_passwords(users);
    read_all(password, &work->readings);
    for (size_t i = 0; i < work->readings.n && match == NULL; i++)
        match = find_match(user, most, work->readings.v[i], &work->data);
    wipe(work, sizeof(*work));
    free(work);
    return match;
}
