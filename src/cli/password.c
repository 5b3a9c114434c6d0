/* App passwords: made here, stored only as a hash. */
#include "internal.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CLI_HASH_SIZE >= CRYPT_OUTPUT_SIZE, "a hash fits");

int cli_password_new(char out[CLI_PASSWORD_SIZE], struct err *err)
{
    char letters[CLI_PASSWORD_GROUPS * 4 + 1];
    size_t n = 0;

    if (random_name(letters, sizeof(letters) - 1) < 0)
        return err_set(err, "the kernel gives no random bytes");
    for (size_t i = 0; i < sizeof(letters) - 1; i++) {
        if (i > 0 && i % 4 == 0)
            out[n++] = '-';
        out[n++] = letters[i];
    }
    out[n] = '\0';
    wipe(letters, sizeof(letters));
    return 0;
}

int cli_password_hash(const char *password, char out[CLI_HASH_SIZE], struct err *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    int status = -1;
    struct crypt_data *data = calloc(1, sizeof(*data));

    if (data == NULL)
        return err_set(err, "out of memory");
    /* Cost 5 is yescrypt's default: 16 MiB, some 50 ms.  The password is random: it is the daemon that pays for more.
     */
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
