/* floor SIZE - what a message of SIZE octets must cost, in CPU on this machine at this moment: one RSA-2048 signature,
 * SHA-256 over the body, AES-256-GCM over what comes in.
 *
 * Prints one line: sign_us sha256_us aes_us. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LONG_US = 300 * 1000 };

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static EVP_PKEY *key;
static unsigned char *content;
static size_t size;

static int sign(void)
{
    unsigned char digest[64] = {1}, signature[512];
    size_t n = sizeof(signature);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    int ok = c != NULL && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
             EVP_DigestSign(c, signature, &n, digest, sizeof(digest)) == 1;
    EVP_MD_CTX_free(c);
    return ok;
}

static int hash(void)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    return EVP_Digest(content, size, digest, NULL, EVP_sha256(), NULL);
}

static int crypt_all(void)
{
    static unsigned char out[16 * 1024], key_bytes[32], iv[12];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n, ok = c != NULL && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key_bytes, iv) == 1;
    for (size_t at = 0; ok && at < size; at += sizeof(out))
        ok = EVP_DecryptUpdate(c, out, &n, content + at, (int)(size - at < sizeof(out) ? size - at : sizeof(out)));
    EVP_CIPHER_CTX_free(c);
    return ok;
}

static double cost_us(int (*work)(void))
{
    double begin = cpu_us(), took;
    int rounds = 0;
    do {
        if (!work())
            return -1;
        rounds++;
        took = cpu_us() - begin;
    } while (took < LONG_US);
    return took / rounds;
}

int main(int argc, char **argv)
{
    size = argc == 2 ? (size_t)atol(argv[1]) : 0;
    key = EVP_RSA_gen(2048);
    content = calloc(1, size > 0 ? size : 1);
    if (size == 0 || key == NULL || content == NULL) {
        fprintf(stderr, "usage: floor SIZE\n");
        return 2;
    }
    printf("%.1f %.1f %.1f\n", cost_us(sign), cost_us(hash), cost_us(crypt_all));
    EVP_PKEY_free(key);
    free(content);
    return 0;
}
