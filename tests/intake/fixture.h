/* tests/intake/fixture.h - settings from a scratch folder, and a queue that keeps what it is given. */
#ifndef SENDAS_INTAKE_FIXTURE_H
#define SENDAS_INTAKE_FIXTURE_H

#include "../dkim/rfc8463.h"
#include "sendas/intake.h"
#include "testing.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- a scratch folder ------------------------------------------------------------------------ */

static char scratch[64];

static inline void write_file(const char *name, const char *text, unsigned mode)
{
    char path[256];
    struct err err;
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    ck_assert_msg(file_write(path, slice_of(text), mode, &err) == 0, "%s", err.text);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* `line` with every '~' replaced by the folder: configurations name files by their whole path. */
static inline void write_config(const char *name, const char *text)
{
    struct strbuf out = STRBUF_INIT;
    struct slice piece, rest = slice_of(text);
    while (rest.n > 0) {
        size_t before = rest.n;
        rest = slice_cut(rest, '~', &piece);
        strbuf_add_slice(&out, piece);
        if (piece.n < before)
            strbuf_add_str(&out, scratch);
    }
    write_file(name, strbuf_str(&out), 0644);
    strbuf_free(&out);
}

static inline void make_rsa_key(const char *name)
{
    struct strbuf pem = STRBUF_INIT;
    struct err err;
    ck_assert_int_eq(dkim_key_generate(DKIM_RSA_SHA256, 2048, &pem, &err), 0);
    write_file(name, strbuf_str(&pem), 0600);
    strbuf_free(&pem);
}

#define CONFIG_HEAD                                                                                                    \
    "hostname: mail.example.com\n"                                                                                     \
    "tls: {certificate: ~/cert.pem, key: ~/cert.key}\n"                                                                \
    "users: ~/users.yaml\n"                                                                                            \
    "queue: {path: ~/queue.db}\n"                                                                                      \
    "limits: {message_size: 4k}\n"

static inline void make_scratch(void)
{
    snprintf(scratch, sizeof(scratch), "/tmp/sendas-intake-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    write_file("ed.pem", rfc8463_ed25519_pem, 0600);
    make_rsa_key("rsa.pem");
    write_config("sendas.yaml", CONFIG_HEAD "domains:\n"
                                            "  - name: example.com\n"
                                            "    dkim:\n"
                                            "      - {selector: e1, key: ~/ed.pem}\n"
                                            "      - {selector: r1, key: ~/rsa.pem}\n"
                                            "  - name: other.example\n"
                                            "    return_path: bounces@other.example\n"
                                            "    dkim: [{selector: e1, key: ~/ed.pem}]\n");
}

static inline void remove_scratch(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", scratch);
    ck_assert_int_eq(system(command), 0);
}

/* The settings of a configuration in the folder; certificates need not be there. */
static inline int load_settings(const char *name, struct intake_settings **ret, struct err *err)
{
    char path[256];
    struct config *config = NULL;
    struct strbuf warnings = STRBUF_INIT;
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    int status = config_load_lenient(path, &config, &warnings, err);
    strbuf_free(&warnings);
    return status < 0 ? -1 : intake_settings_of(&config, ret, err);
}

#endif
