/* What a visitor of the admin listener gets. */
#include "admin.h"

#include <string.h>
#include <time.h>

enum { BODY_MAX = 3 * 1024 * 1024 }; /* conn.h sends 4 MB at most */

struct answer {
    int status;
    const char *type;
    struct strbuf body;
};

static const char plain[] = "text/plain; charset=utf-8";

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } table[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].phrase;
    return "";
}

/* ---- the pages ------------------------------------------------------------------------------------------ */

static void answer_text(struct answer *a, int status, const char *text)
{
    a->status = status;
    a->type = plain;
    strbuf_addf(&a->body, "%s\n", text);
}

static void healthz(const struct daemon *d, const struct admin_day *day, struct answer *a)
{
    (void)day;
    const char *ill = admin_ill(d);
    answer_text(a, ill == NULL ? 200 : 503, ill == NULL ? "ok" : ill);
}

static void render(const struct daemon *d, const struct admin_day *day, struct answer *a,
                   void (*page)(const struct admin_facts *f, struct strbuf *out))
{
    struct admin_facts facts;

    a->status = 200;
    if (admin_facts_gather(d, day, page == admin_page, &facts) == 0)
        page(&facts, &a->body);
    else
        a->body.failed = true;
    admin_facts_free(&facts);
}

static void status_page(const struct daemon *d, const struct admin_day *day, struct answer *a)
{
    a->type = "text/html; charset=utf-8";
    render(d, day, a, admin_page);
}

static void metrics(const struct daemon *d, const struct admin_day *day, struct answer *a)
{
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    render(d, day, a, admin_metrics);
}

static const struct page {
    const char *path;
    void (*make)(const struct daemon *d, const struct admin_day *day, struct answer *a);
} pages[] = {
    {"/", status_page},
    {"/metrics", metrics},
    {"/healthz", healthz},
};

static void find_page(const struct daemon *d, const struct admin_day *day, struct slice path, struct answer *a)
{
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (slice_eq(path, slice_of(pages[i].path))) {
            pages[i].make(d, day, a);
            return;
        }
    answer_text(a, 404, "there are /, /metrics and /healthz");
}

/* ---- the answer ----------------------------------------------------------------------------------------- */

/* Nothing here may be kept, framed, read across origins, or run. */
static const char fields[] = "Cache-Control: no-store\r\n"
                             "Connection: close\r\n"
                             "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'\r\n"
                             "Cross-Origin-Opener-Policy: same-origin\r\n"
                             "Cross-Origin-Resource-Policy: same-origin\r\n"
                             "Referrer-Policy: no-referrer\r\n"
                             "X-Content-Type-Options: nosniff\r\n"
                             "X-Frame-Options: DENY\r\n";

/* RFC 9110 5.6.7; the C locale's names are English. */
static void add_date(struct strbuf *out)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    char text[64];

    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    strbuf_addf(out, "Date: %s\r\n", text);
}

static void write_answer(const struct answer *a, bool head, struct strbuf *out)
{
    strbuf_addf(out, "HTTP/1.1 %d %s\r\n", a->status, phrase(a->status));
    add_date(out);
    strbuf_add_str(out, fields);
    if (a->status == 405)
        strbuf_add_str(out, "Allow: GET, HEAD\r\n");
    strbuf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", a->type, a->body.n);
    if (!head)
        strbuf_add_slice(out, strbuf_slice(&a->body));
}

void admin_answer(const struct daemon *d, const struct admin_day *day, const struct admin_request *request,
                  struct strbuf *out)
{
    struct answer a = {.body = {.max = BODY_MAX}};

    if (request->refusal != 0)
        answer_text(&a, request->refusal, request->why);
    else
        find_page(d, day, request->path, &a);
    if (a.body.failed) {
        strbuf_reset(&a.body);
        answer_text(&a, 503, "out of memory");
    }
    write_answer(&a, request->head, out);
    strbuf_free(&a.body);
}
