/* Any octets, in any of the session's states, in any pieces.  The first octet chooses the state, the second how the
 * input is cut; in between the octet 0xff makes something happen outside: time passes, the worker or the store answers.
 */
#include "../submission/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUTSIDE = 0xff };

static const char *const steps[] = {
    "",
    "EHLO client.test\r\n",
    "AUTH LOGIN\r\n",
    "*\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n",
    "MAIL FROM:<ann@example.com>\r\n",
    "RCPT TO:<bob@example.net>\r\n",
    "BDAT 3\r\nabc",
    "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\n",
    "DATA\r\n",
};

static void happen(struct fake *f, uint8_t what)
{
    switch (what % 5) {
    case 0:
        f->now += (int64_t)what * 1000;
        submission_timeout(f->session, f->now);
        break;
    case 1:
        f->manual = !f->manual;
        fake_run(f);
        break;
    case 2:
        if (f->auth_waits && !f->closed)
            fake_answer_auth(f);
        else if (f->commit_waits)
            fake_answer_commit(f, NULL);
        fake_run(f);
        break;
    case 3:
        submission_tls_done(f->session, "TLSv1.3", f->now);
        break;
    default:
        submission_shutdown(f->session, f->now);
    }
}

static void feed(struct fake *f, const uint8_t *data, size_t size, size_t piece)
{
    while (size > 0) {
        if (data[0] == OUTSIDE && size > 1) {
            happen(f, data[1]);
            data += 2;
            size -= 2;
            continue;
        }
        size_t n = piece < size ? piece : size;
        const uint8_t *at = memchr(data + 1, OUTSIDE, n - 1);
        if (at != NULL)
            n = (size_t)(at - data);
        fake_feed(f, slice_from(data, n));
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *null;
    struct fake f;
    if (null == NULL && (null = fopen("/dev/null", "w")) != NULL)
        log_to(null);
    if (size < 2)
        return 0;
    fake_init(&f);
    f.settings.config->limits.message_size = 200;
    f.settings.config->limits.recipients = 3;
    f.no_storage = (data[0] & 0x40) != 0;
    f.no_memory = (data[0] & 0x20) != 0;
    fake_open(&f, (data[0] & 0x80) != 0 ? "" : "TLSv1.3");
    for (size_t i = 0; i <= (data[0] & 0x1fu) % ARRAY_LEN(steps); i++)
        fake_feed(&f, slice_of(steps[i]));
    feed(&f, data + 2, size - 2, data[1] == 0 ? size : data[1]);
    fake_free(&f);
    return 0;
}
