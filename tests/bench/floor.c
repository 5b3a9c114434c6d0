/* floor SIZE CERTIFICATE KEY FOLDER - what a message of SIZE octets must cost on this machine at this moment.
 *
 * Prints one line, in microseconds: sign sha256 aes handshake fsync sync_cpu turn turn_alone.
 *   sign       CPU of one RSA-2048 signature
 *   sha256     CPU of SHA-256 over SIZE octets
 *   aes        CPU of AES-256-GCM over them
 *   handshake  CPU of the server's half of a TLS 1.3 handshake
 *   fsync      wall time of 10 KB appended to a file in FOLDER and fdatasync, the median of many
 *   sync_cpu   CPU of that
 *   turn       CPU of one turn of a loop: a line received over the loopback, a line sent; twenty connections at once
 *   turn_alone the same with one connection: each line wakes a process that sleeps */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONG_US = 300 * 1000, SYNCS = 101, SYNC_OCTETS = 10 * 1024, TURNS = 4000, CONNECTIONS_MAX = 20 };

static double now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static EVP_PKEY *key;
static unsigned char *content;
static size_t size;
static SSL_CTX *server, *client;
static double handshake_us;

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

/* Both halves, of which only the server's is counted. */
static int shake_hands(void)
{
    SSL *s = SSL_new(server), *c = SSL_new(client);
    BIO *a = NULL, *b = NULL;
    int ok = s != NULL && c != NULL && BIO_new_bio_pair(&a, 0, &b, 0) == 1, done = 0;
    if (ok) {
        SSL_set_bio(s, a, a);
        SSL_set_bio(c, b, b);
        SSL_set_accept_state(s);
        SSL_set_connect_state(c);
    }
    for (int i = 0; ok && i < 20 && !done; i++) {
        int client_done = SSL_do_handshake(c) == 1;
        double begin = now_us(CLOCK_PROCESS_CPUTIME_ID);
        done = SSL_do_handshake(s) == 1 && client_done;
        handshake_us += now_us(CLOCK_PROCESS_CPUTIME_ID) - begin;
    }
    SSL_free(s);
    SSL_free(c);
    return done;
}

static double cost_us(int (*work)(void))
{
    double begin = now_us(CLOCK_PROCESS_CPUTIME_ID), took;
    int rounds = 0;
    handshake_us = 0;
    do {
        if (!work())
            return -1;
        rounds++;
        took = now_us(CLOCK_PROCESS_CPUTIME_ID) - begin;
    } while (took < LONG_US);
    return (work == shake_hands ? handshake_us : took) / rounds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sync_us(const char *folder, double *ret_cpu)
{
    static char block[SYNC_OCTETS];
    double took[SYNCS];
    char path[4096];
    snprintf(path, sizeof(path), "%s/floor-XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    unlink(path);
    double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < SYNCS; i++) {
        double begin = now_us(CLOCK_MONOTONIC);
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fdatasync(fd) < 0)
            return -1;
        took[i] = now_us(CLOCK_MONOTONIC) - begin;
    }
    *ret_cpu = (now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / SYNCS;
    close(fd);
    qsort(took, SYNCS, sizeof(*took), by_value);
    return took[SYNCS / 2];
}

/* Two ends of one connection over the loopback. */
static bool connect_pair(int ret[2])
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(here);
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    ret[0] = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = listening >= 0 && ret[0] >= 0 && bind(listening, (struct sockaddr *)&here, sizeof(here)) == 0 &&
              listen(listening, 1) == 0 && getsockname(listening, (struct sockaddr *)&here, &n) == 0 &&
              connect(ret[0], (struct sockaddr *)&here, sizeof(here)) == 0;
    ret[1] = ok ? accept(listening, NULL, NULL) : -1;
    close(listening);
    return ret[1] >= 0;
}

/* Answers a line with a line, on all of them, so often; ends when the other side has. */
static void take_turns(const int *connections, int n, int turns)
{
    struct epoll_event events[CONNECTIONS_MAX];
    char line[512] = "250 2.0.0 Ok";
    int all = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.fd = connections[i]};
        epoll_ctl(all, EPOLL_CTL_ADD, connections[i], &want);
    }
    while (turns > 0) {
        int ready = epoll_wait(all, events, CONNECTIONS_MAX, -1);
        for (int i = 0; i < ready; i++, turns--)
            if (recv(events[i].data.fd, line, sizeof(line), 0) <= 0 ||
                send(events[i].data.fd, line, 50, MSG_NOSIGNAL) < 0)
                turns = 0;
    }
    close(all);
}

static double turn_us(int n)
{
    int ours[CONNECTIONS_MAX], theirs[CONNECTIONS_MAX], pair[2];
    for (int i = 0; i < n; i++) {
        if (!connect_pair(pair) || send(pair[1], "EHLO", 4, 0) != 4)
            return -1;
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    pid_t other = fork();
    if (other == 0) {
        take_turns(theirs, n, INT32_MAX);
        _exit(0);
    }
    double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
    take_turns(ours, n, TURNS);
    cpu = now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    for (int i = 0; i < n; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    return other < 0 ? -1 : cpu / TURNS;
}

int main(int argc, char **argv)
{
    double sync_cpu = 0;
    size = argc == 5 ? (size_t)atol(argv[1]) : 0;
    key = EVP_RSA_gen(2048);
    content = calloc(1, size > 0 ? size : 1);
    server = SSL_CTX_new(TLS_server_method());
    client = SSL_CTX_new(TLS_client_method());
    if (size == 0 || key == NULL || content == NULL || server == NULL || client == NULL ||
        SSL_CTX_use_certificate_file(server, argv[2], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(server, argv[3], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_num_tickets(server, 0) != 1) {
        fprintf(stderr, "usage: floor SIZE CERTIFICATE KEY FOLDER\n");
        return 2;
    }
    printf("%.1f %.1f %.1f %.1f ", cost_us(sign), cost_us(hash), cost_us(crypt_all), cost_us(shake_hands));
    printf("%.1f ", sync_us(argv[4], &sync_cpu));
    printf("%.1f ", sync_cpu);
    fflush(stdout); /* before the fork */
    printf("%.1f %.1f\n", turn_us(CONNECTIONS_MAX), turn_us(1));
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    EVP_PKEY_free(key);
    free(content);
    return 0;
}
