/* The status page: is all well, what waits and why, today's counts, keys, certificate.  One file of HTML and CSS, no
 * scripts, nothing from elsewhere. */
#include "admin.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { KEYS_SHOWN = 50, DAY_S = 86400, CERTIFICATE_SOON_DAYS = 14 };

/* ---- text ----------------------------------------------------------------------------------------------- */

/* Text, wherever it may stand: within an element or in a quoted attribute. */
static void add_text(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&':
            strbuf_add_str(out, "&amp;");
            break;
        case '<':
            strbuf_add_str(out, "&lt;");
            break;
        case '>':
            strbuf_add_str(out, "&gt;");
            break;
        case '"':
            strbuf_add_str(out, "&quot;");
            break;
        case '\'':
            strbuf_add_str(out, "&#39;");
            break;
        default:
            strbuf_add_char(out, *text);
        }
}

/* <tag class="...">text</tag> */
static void add_element(struct strbuf *out, const char *tag, const char *class, const char *text)
{
    strbuf_addf(out, "<%s%s%s%s>", tag, class[0] == '\0' ? "" : " class=\"", class, class[0] == '\0' ? "" : "\"");
    add_text(out, text);
    strbuf_addf(out, "</%s>\n", tag);
}

void admin_span(char out[32], int64_t s)
{
    const int64_t minute = 60, hour = 3600, day = DAY_S;

    if (s < minute)
        snprintf(out, 32, "%" PRId64 " s", s > 0 ? s : 0);
    else if (s < hour)
        snprintf(out, 32, "%" PRId64 " min", s / minute);
    else if (s < day && s % hour >= minute)
        snprintf(out, 32, "%" PRId64 " h %" PRId64 " min", s / hour, s % hour / minute);
    else if (s < day)
        snprintf(out, 32, "%" PRId64 " h", s / hour);
    else if (s % day >= hour && s < 10 * day)
        snprintf(out, 32, "%" PRId64 " day%s %" PRId64 " h", s / day, s / day == 1 ? "" : "s", s % day / hour);
    else
        snprintf(out, 32, "%" PRId64 " day%s", s / day, s / day == 1 ? "" : "s");
}

/* Local time, as its reader's clock has it. */
enum time_parts { TIME_DATE = 0, TIME_CLOCK, TIME_BOTH };

static void add_time(struct strbuf *out, enum time_parts parts, int64_t when_s)
{
    time_t when = (time_t)when_s;
    struct tm tm;
    char date[32], clock[32];

    if (localtime_r(&when, &tm) == NULL || strftime(date, sizeof(date), "%Y-%m-%d", &tm) == 0 ||
        strftime(clock, sizeof(clock), parts == TIME_BOTH ? "%H:%M:%S %Z" : "%H:%M", &tm) == 0)
        return;
    add_text(out, parts == TIME_CLOCK ? "" : date);
    add_text(out, parts == TIME_BOTH ? " " : "");
    add_text(out, parts == TIME_DATE ? "" : clock);
}

/* ---- is all well? --------------------------------------------------------------------------------------- */

/* What is worth a look, a list item each, while mail is accepted all the same; how many. */
static size_t add_concerns(const struct admin_facts *f, struct strbuf *out)
{
    char age[32], line[ADMIN_REASON + 1024];
    size_t n = 0;

    if (f->ill == NULL && f->certificate_problem[0] != '\0') {
        snprintf(line, sizeof(line), "The certificate: %s.", f->certificate_problem);
        add_element(out, "li", "", line);
        n++;
    }
    if (f->reload_error[0] != '\0') {
        snprintf(line, sizeof(line), "The last reload failed, and the settings before it stay: %s", f->reload_error);
        add_element(out, "li", "", line);
        n++;
    }
    for (size_t i = 0; i < f->n_keys && n < KEYS_SHOWN; i++) {
        if (!f->keys[i].bad)
            continue;
        snprintf(line, sizeof(line), "The DKIM key %s of %s: %s", f->keys[i].selector, f->keys[i].domain,
                 f->keys[i].reason);
        add_element(out, "li", "", line);
        n++;
    }
    if (f->queue.oldest_age_ms / 1000 > f->late_after_s) {
        admin_span(age, f->queue.oldest_age_ms / 1000);
        snprintf(line, sizeof(line), "The oldest message has waited for %s.", age);
        add_element(out, "li", "", line);
        n++;
    }
    if (f->queue.held > 0) {
        snprintf(line, sizeof(line), "%zu message%s held: sendas queue release, or sendas queue remove.", f->queue.held,
                 f->queue.held == 1 ? " is" : "s are");
        add_element(out, "li", "", line);
        n++;
    }
    if (f->intake.sign_failures > 0) {
        snprintf(line, sizeof(line), "%" PRIu64 " message%s could not be signed since the start: the log says why.",
                 f->intake.sign_failures, f->intake.sign_failures == 1 ? "" : "s");
        add_element(out, "li", "", line);
        n++;
    }
    return n;
}

static void add_verdict(const struct admin_facts *f, struct strbuf *out)
{
    struct strbuf concerns = STRBUF_INIT;
    size_t n = add_concerns(f, &concerns);

    strbuf_addf(out, "<section class=\"verdict %s\" role=\"status\">\n",
                f->ill != NULL ? "bad"
                : n > 0        ? "warn"
                               : "good");
    if (f->ill != NULL) {
        add_element(out, "h2", "", "No mail is accepted");
        strbuf_add_str(out, "<p>");
        add_text(out, f->ill);
        strbuf_add_str(out, ".</p>\n");
    } else if (n > 0) {
        add_element(out, "h2", "", "Mail is accepted, and something needs a look");
    } else {
        add_element(out, "h2", "", "All is well");
        add_element(out, "p", "",
                    f->queue.messages == 0 ? "Mail is accepted, and nothing waits."
                                           : "Mail is accepted, and what waits is on its way.");
    }
    if (n > 0) {
        strbuf_add_str(out, "<ul>\n");
        strbuf_add_slice(out, strbuf_slice(&concerns));
        strbuf_add_str(out, "</ul>\n");
    }
    strbuf_add_str(out, "</section>\n");
    out->failed = out->failed || concerns.failed;
    strbuf_free(&concerns);
}

/* ---- the sections --------------------------------------------------------------------------------------- */

static void add_tile(struct strbuf *out, const char *name, const char *value)
{
    strbuf_add_str(out, "<div>");
    add_element(out, "dt", "", name);
    add_element(out, "dd", "", value);
    strbuf_add_str(out, "</div>\n");
}

static void add_number(struct strbuf *out, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    add_tile(out, name, text);
}

static void add_place(struct strbuf *out, const struct admin_place *p)
{
    char age[32], next[32], line[160];

    admin_span(age, p->queue.oldest_age_ms / 1000);
    admin_span(next, p->queue.next_ms / 1000);
    snprintf(line, sizeof(line), "%zu message%s, the oldest for %s; %s%s", p->queue.messages,
             p->queue.messages == 1 ? "" : "s", age, p->queue.next_ms < 1000 ? "being tried" : "next attempt in ",
             p->queue.next_ms < 1000 ? "" : next);
    strbuf_add_str(out, "<li>");
    add_element(out, "strong", "", p->queue.domain);
    add_element(out, "span", "", line);
    if (p->reason[0] != '\0')
        add_element(out, "code", "", p->reason);
    strbuf_add_str(out, "</li>\n");
}

static void add_queue(const struct admin_facts *f, struct strbuf *out)
{
    char age[32];

    strbuf_add_str(out, "<section>\n<h2>Queue</h2>\n<dl class=\"three\">\n");
    add_number(out, "waiting", admin_waiting(f));
    add_number(out, "held", f->queue.held);
    admin_span(age, f->queue.oldest_age_ms / 1000);
    add_tile(out, "oldest", f->n_places == 0 ? "–" : age);
    strbuf_add_str(out, "</dl>\n");
    if (f->n_places > 0) {
        strbuf_addf(out, "<h3>%s</h3>\n<ul class=\"rows\">\n",
                    f->n_places == ADMIN_PLACES ? "The ten domains that mail has waited for longest"
                                                : "Where mail waits to go");
        for (size_t i = 0; i < f->n_places; i++)
            add_place(out, &f->places[i]);
        strbuf_add_str(out, "</ul>\n");
    }
    strbuf_add_str(out, "</section>\n");
}

static void add_today(const struct admin_facts *f, struct strbuf *out)
{
    strbuf_add_str(out, "<section>\n<h2>Today <small>since ");
    add_time(out, TIME_CLOCK, f->today_since_s);
    strbuf_add_str(out, "</small></h2>\n<dl class=\"six\">\n");
    add_number(out, "messages accepted", f->today.accepted);
    add_number(out, "recipients delivered", f->today.delivered);
    add_number(out, "attempts deferred", f->today.deferred);
    add_number(out, "recipients failed", f->today.failed);
    add_number(out, "requests refused", f->today.refused);
    add_number(out, "logins failed", f->today.logins_failed);
    strbuf_add_str(out, "</dl>\n</section>\n");
}

static const char *key_words(const struct key_state *k, bool signs)
{
    if (!signs)
        return strcmp(k->state, "waiting") == 0 ? "waits for DNS" : "stopped";
    return k->bad ? "signs, bad record" : "signs";
}

static void add_key(struct strbuf *out, const struct key_state *k)
{
    bool signs = strcmp(k->state, "active") == 0;

    strbuf_add_str(out, "<li>");
    add_element(out, "strong", "", k->domain);
    strbuf_add_str(out, "<span>");
    add_text(out, k->selector);
    strbuf_add_str(out, ", ");
    add_text(out, k->algorithm);
    strbuf_add_str(out, "</span>\n");
    add_element(out, "b", k->bad ? "bad" : signs ? "good" : "warn", key_words(k, signs));
    if (k->reason[0] != '\0')
        add_element(out, "code", "", k->reason);
    strbuf_add_str(out, "</li>\n");
}

/* Those that need a look come first. */
static void add_keys(const struct admin_facts *f, struct strbuf *out)
{
    size_t shown = 0;

    strbuf_add_str(out, "<section>\n<h2>DKIM keys</h2>\n<ul class=\"rows\">\n");
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < f->n_keys && shown < KEYS_SHOWN; i++) {
            bool well = !f->keys[i].bad && strcmp(f->keys[i].state, "active") == 0;
            if (well != (pass == 1))
                continue;
            add_key(out, &f->keys[i]);
            shown++;
        }
    strbuf_add_str(out, "</ul>\n");
    if (f->n_keys > shown)
        strbuf_addf(out, "<p>And %zu more.</p>\n", f->n_keys - shown);
    strbuf_add_str(out, "</section>\n");
}

static void add_certificate(const struct admin_facts *f, struct strbuf *out)
{
    int64_t days = (f->certificate_end_s - f->now_s) / DAY_S;
    char left[64];

    strbuf_add_str(out, "<section>\n<h2>Certificate</h2>\n<ul class=\"rows\">\n<li>");
    add_element(out, "strong", "", f->hostname);
    if (f->certificate_end_s == 0) {
        add_element(out, "b", "bad", "none yet");
    } else {
        strbuf_add_str(out, "<span>until ");
        add_time(out, TIME_DATE, f->certificate_end_s);
        strbuf_add_str(out, "</span>\n");
        snprintf(left, sizeof(left), "%" PRId64 " day%s left", days, days == 1 ? "" : "s");
        bool expired = f->certificate_end_s <= f->now_s;
        add_element(out, "b",
                    expired                        ? "bad"
                    : days < CERTIFICATE_SOON_DAYS ? "warn"
                                                   : "good",
                    expired ? "expired" : left);
    }
    if (f->certificate_problem[0] != '\0')
        add_element(out, "code", "", f->certificate_problem);
    strbuf_add_str(out, "</li>\n</ul>\n</section>\n");
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1c2330;--soft:#5b6577;--line:#e2e6ec;"
    "--good:#11703a;--goodbg:#e6f5ec;--warn:#845400;--warnbg:#fff4db;--bad:#b3201b;--badbg:#fdecea}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1b2029;--text:#e6e9ef;--soft:#9aa5b8;--line:#2c3340;"
    "--good:#6fd598;--goodbg:#15301f;--warn:#f0c36a;--warnbg:#33280f;--bad:#ff938c;--badbg:#3a1a19}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--text);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"DejaVu Sans\",sans-serif}"
    "main{max-width:56rem;margin:0 auto;padding:1rem}"
    "header,footer{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;justify-content:space-between;"
    "padding:.25rem .25rem .75rem}"
    "footer{padding:.75rem .25rem 0;color:var(--soft);font-size:.875rem}"
    "h1{font-size:1.25rem;margin:0}h1 span,small{color:var(--soft);font-weight:400}"
    "h2{font-size:1.0625rem;margin:0 0 .5rem}h3{font-size:.9375rem;margin:1rem 0 .25rem}p{margin:.25rem 0}"
    "a{color:inherit}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.125rem;"
    "margin:0 0 1rem}"
    ".verdict{border-left-width:.375rem}.verdict h2{font-size:1.25rem;margin:0}.verdict ul{margin:.5rem 0 0;"
    "padding-left:1.125rem}.verdict li{overflow-wrap:anywhere}"
    ".verdict.good{background:var(--goodbg);border-color:var(--good)}.verdict.good h2{color:var(--good)}"
    ".verdict.warn{background:var(--warnbg);border-color:var(--warn)}.verdict.warn h2{color:var(--warn)}"
    ".verdict.bad{background:var(--badbg);border-color:var(--bad)}.verdict.bad h2{color:var(--bad)}"
    "dl{display:grid;grid-template-columns:repeat(3,1fr);gap:.75rem 1rem;margin:0}"
    "dl div{display:flex;flex-direction:column-reverse}dt{color:var(--soft);font-size:.875rem}"
    "dd{margin:0;font-size:1.5rem;font-weight:600;line-height:1.25;font-variant-numeric:tabular-nums}"
    ".rows{list-style:none;margin:0;padding:0}"
    ".rows li{display:flex;flex-wrap:wrap;gap:.125rem .75rem;align-items:baseline;padding:.5rem 0;"
    "border-top:1px solid var(--line)}.rows li:first-child{border-top:0}"
    ".rows strong{font-weight:600;overflow-wrap:anywhere}.rows span{color:var(--soft);font-size:.9375rem}"
    ".rows b{margin-left:auto;font-size:.8125rem;padding:.0625rem .5rem;border-radius:1rem;white-space:nowrap}"
    "b.good{color:var(--good);background:var(--goodbg)}b.warn{color:var(--warn);background:var(--warnbg)}"
    "b.bad{color:var(--bad);background:var(--badbg)}"
    "code{flex-basis:100%;font:.8125rem/1.45 ui-monospace,Menlo,\"DejaVu Sans Mono\",monospace;overflow-wrap:anywhere;"
    "color:var(--soft)}"
    "@media(max-width:34rem){.rows span{order:1;flex-basis:100%}.rows code{order:2}.six{grid-template-columns:1fr 1fr}"
    ".three{grid-template-columns:1fr 1fr 1.75fr}dd{font-size:1.25rem}}.verdict "
    "p:first-letter{text-transform:uppercase}";

void admin_page(const struct admin_facts *f, struct strbuf *out)
{
    char up[32];

    strbuf_add_str(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<meta http-equiv=\"refresh\" content=\"60\">\n<title>");
    strbuf_add_str(out, f->ill != NULL ? "No mail is accepted: " : "");
    add_text(out, f->hostname);
    strbuf_addf(out, " – sendas</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<header><h1>", style);
    add_text(out, f->hostname);
    strbuf_add_str(out, " <span>sendas</span></h1>\n<small>");
    add_time(out, TIME_BOTH, f->now_s);
    strbuf_add_str(out, "</small></header>\n");
    add_verdict(f, out);
    add_queue(f, out);
    add_today(f, out);
    add_keys(f, out);
    add_certificate(f, out);
    admin_span(up, f->now_s - f->started_s);
    strbuf_add_str(out, "<footer><span>sendas ");
    add_text(out, f->version);
    strbuf_addf(out,
                ", running for %s</span> <span><a href=\"/metrics\">metrics</a></span></footer>\n</main>\n"
                "</body>\n</html>\n",
                up);
}
