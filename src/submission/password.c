/* submission/password.c - a password against crypt(5) hashes.  Runs on a worker: it takes tens of milliseconds on
 * purpose. */
#include "internal.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/* What is hashed where no user has a password at all: yescrypt with the cost that `sendas user add` uses. */
static const char fallback_setting[] = "$y$j9T$abcdefghijklmnopqrst..$";

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
static bool matches_one(const struct user *user, const struct user *most, const char *phrase, struct crypt_data *data)
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
            return true;
    }
    return false;
}

static void remove_spaces(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if (*from != ' ')
            *to++ = *from;
    *to = '\0';
}

bool submission_password_ok(const struct users *users, struct slice login, struct slice password)
{
    char phrase[CRYPT_MAX_PASSPHRASE_SIZE];
    if (password.n == 0 || password.n >= sizeof(phrase) || slice_find(password, '\0') < password.n)
        return false;
    struct crypt_data *data = calloc(1, sizeof(*data));
    if (data == NULL)
        return false;
    const struct user *user = users_find(users, login), *most = with_most_passwords(users);
    memcpy(phrase, password.p, password.n);
    phrase[password.n] = '\0';
    bool ok = matches_one(user, most, phrase, data);
    if (!ok && slice_find(password, ' ') < password.n) {
        remove_spaces(phrase);
        ok = phrase[0] != '\0' && matches_one(user, most, phrase, data);
    }
    wipe(phrase, sizeof(phrase));
    wipe(data, sizeof(*data));
    free(data);
    return ok;
}
