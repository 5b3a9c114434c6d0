/* submission/known.c - logins whose password was found to be right not long ago, so that it need not be hashed again.
 *
 * A password hash is expensive on purpose, and clients that make a connection for each message (Gmail does) pay for it
 * with each: 2 ms of CPU with sha512crypt, 40 and 16 MiB with yescrypt, beside 0.3 for the signature.  A known login
 * costs 2 us, and no place in the line of those who wait for a hash.
 *
 * What is kept is no password and no hash of one alone, but HMAC-SHA-256 under a random key of this process over the
 * login, the password and every hash string that the user has.  So
 *   - a hit is possible with the right password only; wrong ones and users that do not exist are never kept, and take
 *     the same way as ever, all of them with one HMAC more: the time tells no more than before;
 *   - a password that is changed or removed in users.yaml is unknown from the reload on, and no entry is older than
 *     KNOWN_MS, however often it is used;
 *   - the table has a fixed size and is only written by logins that succeeded.
 * What it costs: who can read this process's memory, and so its DKIM keys and each password that passes, could try
 * passwords against an entry faster than against users.yaml for as long as the entry stands. */
#include "internal.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum {
    KNOWN_MS = 10 * 60 * 1000,
    KNOWN_SETS = 64, /* where an entry may stand is chosen by its own octets; */
    KNOWN_WAYS = 4,  /* in its set the oldest one makes room */
    KNOWN_SIZE = 32
};

struct known {
    unsigned char mac[KNOWN_SIZE];
    int64_t until_ms; /* monotonic; 0 = free */
    size_t index;     /* of the password among the user's, whose hashes are all in `mac` */
};

struct known_logins {
    unsigned char key[KNOWN_SIZE];
    struct known sets[KNOWN_SETS][KNOWN_WAYS];
};

struct known_logins *known_logins_new(void)
{
    struct known_logins *k = calloc(1, sizeof(*k));
    if (k != NULL && RAND_bytes(k->key, sizeof(k->key)) != 1)
        known_logins_free(&k);
    return k;
}

void known_logins_free(struct known_logins **pk)
{
    if (*pk != NULL)
        wipe(*pk, sizeof(**pk));
    free(*pk);
    *pk = NULL;
}

/* Each part with its length before it, so that none can be taken for the end of another. */
static void add_part(struct strbuf *out, struct slice part)
{
    uint64_t n = part.n;
    strbuf_add(out, &n, sizeof(n));
    strbuf_add_slice(out, part);
}

static bool compute(const struct known_logins *k, const struct user *user, struct slice login, struct slice password,
                    unsigned char mac[KNOWN_SIZE])
{
    size_t room = login.n + password.n + 2 * sizeof(uint64_t);
    for (size_t i = 0; i < user->n_passwords; i++)
        room += strlen(user->passwords[i].hash) + sizeof(uint64_t);
    char *p = malloc(room + 1); /* never moved, so that no copy of the password stays behind */
    struct strbuf text = {.p = p, .cap = room + 1};
    if (p == NULL)
        return false;
    add_part(&text, login);
    add_part(&text, password);
    for (size_t i = 0; i < user->n_passwords; i++)
        add_part(&text, slice_of(user->passwords[i].hash));
    bool ok = !text.failed &&
              HMAC(EVP_sha256(), k->key, sizeof(k->key), (const unsigned char *)text.p, text.n, mac, NULL) != NULL;
    wipe(text.p, text.cap);
    strbuf_free(&text);
    return ok;
}

static size_t find(const struct known set[KNOWN_WAYS], const unsigned char mac[KNOWN_SIZE], int64_t now_ms)
{
    size_t found = KNOWN_WAYS;
    for (size_t i = 0; i < KNOWN_WAYS; i++)
        if (set[i].until_ms > now_ms && CRYPTO_memcmp(set[i].mac, mac, KNOWN_SIZE) == 0)
            found = i;
    return found;
}

const struct user_password *known_logins_find(const struct known_logins *k, const struct users *users,
                                              struct slice login, struct slice password, int64_t now_ms)
{
    static const struct user nobody;
    unsigned char mac[KNOWN_SIZE];
    const struct user *user = users_find(users, login);
    if (k == NULL || !compute(k, user != NULL ? user : &nobody, login, password, mac))
        return NULL;
    const struct known *set = k->sets[mac[0] % KNOWN_SETS];
    size_t i = find(set, mac, now_ms);
    return user != NULL && i < KNOWN_WAYS && set[i].index < user->n_passwords ? &user->passwords[set[i].index] : NULL;
}

void known_logins_add(struct known_logins *k, const struct users *users, struct slice login, struct slice password,
                      const struct user_password *match, int64_t now_ms)
{
    unsigned char mac[KNOWN_SIZE];
    const struct user *user = users_find(users, login);
    if (k == NULL || user == NULL || !compute(k, user, login, password, mac))
        return;
    struct known *set = k->sets[mac[0] % KNOWN_SETS];
    size_t at = find(set, mac, now_ms);
    if (at == KNOWN_WAYS) {
        at = 0;
        for (size_t i = 1; i < KNOWN_WAYS; i++)
            at = set[i].until_ms < set[at].until_ms ? i : at;
    }
    memcpy(set[at].mac, mac, KNOWN_SIZE);
    set[at].until_ms = now_ms + KNOWN_MS;
    set[at].index = (size_t)(match - user->passwords);
}
