/* App passwords: made here, stored only as a hash. */
#include "internal.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

_Static_assert(CLI_HASH_SIZE >= CRYPT_OUTPUT_SIZE, "a hash fits");

/* No 0 and o, no 1, l and i, no capitals: 20 of 31 letters are 99 bits. */
static const char password_letters[] = "23456789abcdefghjkmnpqrstuvwxyz";

/* Five bits name 32 letters and there are 31: drawing again keeps them equally likely. */
static int random_letter(char *ret)
{
    unsigned char octet;

    do {
        if (getrandom(&octet, 1, 0) != 1)
            return -1;
        octet &= 31;
    } while (octet >= sizeof(password_letters) - 1);
    *ret = password_letters[octet];
    return 0;
}

int cli_password_new(char out[CLI_PASSWORD_SIZE], struct err *err)
{
    for (size_t i = 0; i < CLI_PASSWORD_SIZE - 1; i++) {
        out[i] = '-';
        if (i % 5 != 4 && random_letter(&out[i]) < 0)
            return err_set(err, "the kernel gives no random bytes");
    }
    out[CLI_PASSWORD_SIZE - 1] = '\0';
    return 0;
}

int cli_password_hash(const char *password, char out[CLI_HASH_SIZE], struct err *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    int status = -1;
    struct crypt_data *data = calloc(1, sizeof(*data));

    if (data == NULL)
        return err_set(err, "out of memory");
    /* Cost 5 is yescrypt's default: 16 MiB, some 50 ms.  The password is random: the daemon would pay for more. */
    const char *hash = NULL;
    if (crypt_gensalt_rn("$y$", 5, NULL, 0, setting, sizeof(setting)) != NULL)
        hash = crypt_rn(password, setting, data, (int)sizeof(*data));
    if (hash == NULL || hash[0] == '*' || strlen(hash) >= CLI_HASH_SIZE) {
        err_set(err, "crypt(3) cannot hash by yescrypt");
    } else {
        memcpy(out, hash, strlen(hash) + 1);
        status = 0;
    }
    wipe(data, sizeof(*data));
    free(data);
    return status;
}
