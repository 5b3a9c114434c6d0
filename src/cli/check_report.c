/* How all of it is told. */
#include "check.h"

#include <string.h>

bool check_any_failed(const struct check_run *r)
{
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        if (item->status == CHECK_FAIL)
            return true;
    return false;
}

/* ---- text
 * ------------------------------------------------------------------------------------------------------------ */

static const char *const status_names[] = {[CHECK_PASS] = "pass", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail"};
static const char *const verdict_names[] = {
    [CHECK_ACCEPT] = "accept", [CHECK_UNSURE] = "unsure", [CHECK_JUNK] = "junk", [CHECK_REFUSE] = "refuse"};
static const char *const verdict_texts[] = {[CHECK_ACCEPT] = "will accept",
                                            [CHECK_UNSURE] = "not known",
                                            [CHECK_JUNK] = "will junk",
                                            [CHECK_REFUSE] = "will refuse"};

/* SGR: green, yellow, red. */
static const char *const status_colours[] = {[CHECK_PASS] = "32", [CHECK_WARN] = "33", [CHECK_FAIL] = "31"};
static const char *const verdict_colours[] = {
    [CHECK_ACCEPT] = "32", [CHECK_UNSURE] = "33", [CHECK_JUNK] = "33", [CHECK_REFUSE] = "31"};

static void print_coloured(const char *text, int width, const char *colour, FILE *out)
{
    if (colour != NULL)
        fprintf(out, "\033[%sm%s\033[0m%*s", colour, text, width - (int)strlen(text), "");
    else
        fprintf(out, "%-*s", width, text);
}

enum { LINE_WIDTH = 80 };

/* Columns are counted as characters; true when something was cut off. */
static bool print_cut(const char *text, int room, FILE *out)
{
    size_t n = 0;
    int columns = 0;
    bool cut = false;
    for (const char *p = text; *p != '\0'; p++) {
        if (((unsigned char)*p & 0xc0) == 0x80)
            continue;
        cut = ++columns > room;
        if (cut)
            break;
        if (columns <= room - 3) /* up to here it stays if the end is cut off */
            n = (size_t)(p - text) + 1;
    }
    while (((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    fprintf(out, "%.*s%s\n", cut ? (int)n : (int)strlen(text), text, cut ? "..." : "");
    return cut;
}

static void print_detail(const char *name, const char *text, FILE *out)
{
    if (text[0] != '\0')
        fprintf(out, "      %-9s %s\n", name, text);
}

/* What has to be copied is not broken into lines. */
static void print_item(const struct check_item *item, bool several, int width, bool colour, FILE *out)
{
    bool named = several && item->domain != NULL;
    int room = LINE_WIDTH - 6 - width - 2 - (named ? (int)strlen(item->domain) + 2 : 0);
    print_coloured(status_names[item->status], 4, colour ? status_colours[item->status] : NULL, out);
    fprintf(out, "  %-*s  ", width, item->id);
    if (named)
        fprintf(out, "%s: ", item->domain);
    bool cut = print_cut(item->found, room < 10 ? 10 : room, out);
    print_detail("note", item->note, out);
    if (item->status == CHECK_PASS)
        return;
    if (cut)
        print_detail("found", item->found, out);
    print_detail("expected", item->expected, out);
    print_detail("fix", item->fix, out);
}

static void print_receiver(const struct check_receiver *who, bool colour, FILE *out)
{
    fprintf(out, "%-9s  ", who->name);
    print_coloured(verdict_texts[who->verdict], 11, colour ? verdict_colours[who->verdict] : NULL, out);
    fprintf(out, "  because %s\n", who->reason);
}

void check_print(struct check_run *r, bool several, bool colour, FILE *out)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    int width = 11;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        if ((int)strlen(item->id) > width)
            width = strlen(item->id) < 24 ? (int)strlen(item->id) : 24;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        print_item(item, several, width, colour, out);
    check_receivers(r, verdicts);
    fputc('\n', out);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++)
        print_receiver(&verdicts[i], colour, out);
}

/* ---- json
 * ------------------------------------------------------------------------------------------------------------ */

static json_t *item_json(const struct check_item *item, bool several)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", item->id, "status", status_names[item->status], "found",
                          item->found, "expected", item->expected, "fix", item->fix);
    if (item->note[0] != '\0')
        json_object_set_new(o, "note", json_string(item->note));
    if (several)
        json_object_set_new(o, "domain", item->domain == NULL ? json_null() : json_string(item->domain));
    return o;
}

json_t *check_json(struct check_run *r, bool several)
{
    struct check_receiver verdicts[CHECK_RECEIVERS];
    json_t *checks = json_array(), *list = json_array();
    bool ok = true;
    for (const struct check_item *item = r->first; item != NULL; item = item->next)
        ok = json_array_append_new(checks, item_json(item, several)) == 0 && ok;
    check_receivers(r, verdicts);
    for (size_t i = 0; i < CHECK_RECEIVERS; i++) {
        json_t *o = json_pack("{s:s, s:s, s:s}", "name", verdicts[i].name, "verdict",
                              verdict_names[verdicts[i].verdict], "reason", verdicts[i].reason);
        ok = json_array_append_new(list, o) == 0 && ok;
    }
    json_t *document = json_pack("{s:o, s:o}", "checks", checks, "receivers", list);
    if (ok)
        return document;
    json_decref(document);
    return NULL;
}
