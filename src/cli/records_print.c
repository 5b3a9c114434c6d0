/* The DNS records as a table to paste from, as a zone file and as JSON. */
#include "records.h"

#include "internal.h"

#include <string.h>

enum { COLUMNS = 79, RELATIVE_WIDTH = 18, FULL_WIDTH = 32 };

int record_format_parse(const char *name, enum record_format *ret)
{
    static const char *const names[] = {[RECORD_TABLE] = "table", [RECORD_ZONE] = "zone", [RECORD_JSON] = "json"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum record_format)i;
            return 0;
        }
    }
    return -1;
}

struct slice record_relative_name(const struct record *record)
{
    size_t n = strlen(record->name), zone = strlen(record->zone);
    if (strcmp(record->name, record->zone) == 0)
        return SLICE("@");
    if (n > zone + 1 && strcmp(record->name + n - zone, record->zone) == 0 && record->name[n - zone - 1] == '.')
        return slice_from(record->name, n - zone - 1);
    return slice_from(record->name, n);
}

const char *record_status_name(enum record_status status)
{
    static const char *const names[] = {[RECORD_UNKNOWN] = "unknown",
                                        [RECORD_NEW] = "new",
                                        [RECORD_REPLACE] = "replace",
                                        [RECORD_PUBLISHED] = "published"};
    return names[status];
}

/* ---- for a person ---------------------------------------------------------------------------- */

void record_text_print(FILE *out, unsigned indent, const char *first, const char *text)
{
    size_t column = indent + strlen(first);
    struct slice rest = slice_of(text), word;
    fprintf(out, "%*s%s", (int)indent, "", first);
    indent = (unsigned)column;
    while (rest.n > 0) {
        rest = slice_cut(rest, ' ', &word);
        if (column > indent && column + 1 + word.n > COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        fprintf(out, "%s%.*s", column > indent ? " " : "", SLICE_ARG(word));
        column += word.n + (column > indent);
    }
    fputc('\n', out);
}

static void print_notes(const struct record_notes *notes, FILE *out)
{
    for (const struct record_note *note = notes->first; note != NULL; note = note->next)
        record_text_print(out, 4, note->serious ? "! " : "- ", note->text);
}

static void print_record(const struct record *record, FILE *out)
{
    static const char *const words[] = {[RECORD_UNKNOWN] = "not looked up",
                                        [RECORD_NEW] = "NEW",
                                        [RECORD_REPLACE] = "CHANGE",
                                        [RECORD_PUBLISHED] = "published already"};
    struct slice name = record_relative_name(record);
    const char *word = record->group == RECORD_OPTIONAL ? "" : words[record->status];
    fprintf(out, "\n%-*.*s  %-4s  ", RELATIVE_WIDTH, SLICE_ARG(name), record->type);
    if (word[0] == '\0')
        fprintf(out, "%s\n", record->name);
    else
        fprintf(out, "%-*s  %s\n", FULL_WIDTH, record->name, word);
    /* A line of its own, from its first column: so it can be marked and copied whole. */
    fprintf(out, "%s\n", record->value);
    if (record->found[0] != '\0')
        record_text_print(out, 4, "- ", "there is now, to be replaced:");
    if (record->found[0] != '\0')
        fprintf(out, "      %s\n", record->found);
    print_notes(&record->notes, out);
}

static size_t count(const struct records *r, enum record_group group, const char *zone)
{
    size_t n = 0;
    for (const struct record *record = r->first; record != NULL; record = record->next)
        n += record->group == group && (zone == NULL || strcmp(record->zone, zone) == 0);
    return n;
}

static void print_group(const struct records *r, enum record_group group, const char *title, FILE *out)
{
    const char *zone = "";
    for (const struct record *record = r->first; record != NULL; record = record->next) {
        if (record->group != group)
            continue;
        if (strcmp(zone, record->zone) != 0) {
            zone = record->zone;
            fprintf(out, "\n%s (%zu; names relative to %s)\n", title, count(r, group, zone), zone);
        }
        print_record(record, out);
    }
}

static void print_ptrs(const struct records *r, FILE *out)
{
    if (r->first_ptr == NULL)
        return;
    fputs("\nReverse name (PTR), set at the provider of the server, not at your DNS host\n\n", out);
    for (const struct record_ptr *ptr = r->first_ptr; ptr != NULL; ptr = ptr->next) {
        fprintf(out, "%s  ->  %s", ptr->ip, ptr->name);
        if (ptr->status == RECORD_PUBLISHED)
            fputs("  (set already)", out);
        else if (ptr->status == RECORD_REPLACE)
            fprintf(out, "\n    - it is now %s", ptr->found);
        fputc('\n', out);
    }
}

static void print_table(const struct records *r, FILE *out)
{
    fputs("Each record: name as the form of a DNS host wants it, type, the name in full;\n"
          "the line below it is the value, to be copied whole, without quotation marks.\n",
          out);
    print_group(r, RECORD_DOMAIN, "Records of the domain", out);
    print_group(r, RECORD_HOST, "Records of this server", out);
    print_group(r, RECORD_OPTIONAL, "Optional, for mail programs", out);
    print_ptrs(r, out);
    if (r->notes.first != NULL)
        fputc('\n', out);
    print_notes(&r->notes, out);
}

/* ---- for a name server ----------------------------------------------------------------------- */

/* A TXT record is made of strings of at most 255 octets (RFC 1035 3.3.14), quoted as in RFC 1035 5.1. */
static void print_strings(const char *value, FILE *out)
{
    size_t n = 0;
    fputc('"', out);
    for (; *value != '\0'; value++, n++) {
        unsigned char c = (unsigned char)*value;
        if (n == 255) {
            fputs("\" \"", out);
            n = 0;
        }
        if (c >= 0x7f)
            fprintf(out, "\\%03u", c);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

/* A comment ends with its line, however long that is. */
static void print_comments(const struct record_notes *notes, FILE *out)
{
    for (const struct record_note *note = notes->first; note != NULL; note = note->next)
        if (note->serious)
            fprintf(out, "; %s\n", note->text);
}

static void print_zone_record(const struct record *record, FILE *out)
{
    if (record->status == RECORD_PUBLISHED)
        fputs("; published already:\n", out);
    if (record->found[0] != '\0')
        fprintf(out, "; replaces: %s\n", record->found);
    print_comments(&record->notes, out);
    fprintf(out, "%s%s. %d IN %s ", record->group == RECORD_OPTIONAL ? ";" : "", record->name, RECORDS_TTL,
            record->type);
    if (strcmp(record->type, "TXT") == 0)
        print_strings(record->value, out);
    else
        fputs(record->value, out);
    fputc('\n', out);
}

static void print_zone(const struct records *r, FILE *out)
{
    bool optional = false;
    for (const struct record *record = r->first; record != NULL; record = record->next)
        if (record->group != RECORD_OPTIONAL)
            print_zone_record(record, out);
        else
            optional = true;
    if (optional)
        fputs("; optional, for mail programs that look for their server:\n", out);
    for (const struct record *record = r->first; record != NULL; record = record->next)
        if (record->group == RECORD_OPTIONAL)
            print_zone_record(record, out);
}

void records_print(const struct records *r, enum record_format format, FILE *out)
{
    if (format == RECORD_ZONE)
        print_zone(r, out);
    else
        print_table(r, out);
}

/* ---- for a program --------------------------------------------------------------------------- */

/* Takes `item`; the list becomes NULL when memory ends. */
static void append(json_t **list, json_t *item)
{
    if (*list != NULL && json_array_append_new(*list, item) < 0) {
        json_decref(*list);
        *list = NULL;
    } else if (*list == NULL) {
        json_decref(item);
    }
}

json_t *records_json(const struct records *r)
{
    json_t *list = json_array();
    for (const struct record *record = r->first; record != NULL; record = record->next)
        if (record->group != RECORD_OPTIONAL)
            append(&list, json_pack("{s:s, s:s, s:i, s:s}", "name", record->name, "type", record->type, "ttl",
                                    RECORDS_TTL, "value", record->value));
    return list;
}

static json_t *notes_json(const struct record_notes *notes)
{
    json_t *list = json_array();
    for (const struct record_note *note = notes->first; note != NULL; note = note->next)
        append(&list, json_pack("{s:b, s:s}", "serious", note->serious, "text", note->text));
    return list;
}

json_t *records_json_full(const struct records *r)
{
    static const char *const groups[] = {
        [RECORD_DOMAIN] = "domain", [RECORD_HOST] = "host", [RECORD_OPTIONAL] = "optional"};
    json_t *list = json_array();
    for (const struct record *record = r->first; record != NULL; record = record->next) {
        struct slice name = record_relative_name(record);
        append(&list, json_pack("{s:s, s:s, s:i, s:s, s:s%, s:s, s:s, s:s, s:s?, s:o}", "name", record->name, "type",
                                record->type, "ttl", RECORDS_TTL, "value", record->value, "relative_name", name.p,
                                name.n, "zone", record->zone, "group", groups[record->group], "status",
                                record_status_name(record->status), "found",
                                record->found[0] != '\0' ? record->found : NULL, "notes", notes_json(&record->notes)));
    }
    return list;
}

json_t *records_ptr_json(const struct records *r)
{
    json_t *list = json_array();
    for (const struct record_ptr *ptr = r->first_ptr; ptr != NULL; ptr = ptr->next)
        append(&list, json_pack("{s:s, s:s, s:s, s:s?}", "ip", ptr->ip, "name", ptr->name, "status",
                                record_status_name(ptr->status), "found", ptr->found[0] != '\0' ? ptr->found : NULL));
    return list;
}

int cli_print_json(json_t *document)
{
    if (document == NULL)
        return cli_fail(CLI_FAILED, "out of memory");
    int status = json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(document);
    if (status < 0)
        return cli_fail(CLI_FAILED, "cannot write to standard output");
    fputc('\n', stdout);
    return CLI_OK;
}
