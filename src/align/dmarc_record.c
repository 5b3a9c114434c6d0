/* Reading one DMARC record (RFC 9989 4.7, 4.8). */
#include "internal.h"

static const char *const policies[] = {"none", "quarantine", "reject"};

const char *dmarc_policy_name(enum dmarc_policy p)
{
    return policies[p];
}

bool dmarc_tag_next(struct slice *text, struct slice *name, struct slice *value)
{
    struct slice tag;
    if (text->n == 0)
        return false;
    *text = slice_cut(*text, ';', &tag);
    bool has_value = slice_find(tag, '=') < tag.n;
    *value = slice_trim(slice_cut(tag, '=', name));
    *name = has_value ? slice_trim(*name) : (struct slice){0};
    return true;
}

bool dmarc_record_is(struct slice text)
{
    struct slice name, value;
    /* the value is the one thing whose case matters */
    return dmarc_tag_next(&text, &name, &value) && slice_eq_icase(name, SLICE("v")) && slice_eq(value, SLICE("DMARC1"));
}

/* -1: there is no such policy. */
static int policy_parse(struct slice value, enum dmarc_policy *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(policies); i++)
        if (slice_eq_icase(value, slice_of(policies[i]))) {
            *ret = (enum dmarc_policy)i;
            return 0;
        }
    return -1;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 3986 3: a scheme, a colon, and something of what a URI is made of. */
static bool is_uri(struct slice s)
{
    size_t colon = slice_find(s, ':');
    if (colon == 0 || colon + 1 >= s.n || !is_alpha(s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool scheme = is_alpha(s.p[i]) || (s.p[i] >= '0' && s.p[i] <= '9') || slice_find(SLICE("+-."), s.p[i]) < 3;
        if (i < colon ? !scheme : s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    }
    return true;
}

static bool has_uri(struct slice list)
{
    while (list.n > 0) {
        struct slice uri;
        list = slice_cut(list, ',', &uri);
        slice_cut(uri, '!', &uri); /* the obsolete size limit (RFC 9989 4.8) */
        if (is_uri(slice_trim(uri)))
            return true;
    }
    return false;
}

static bool is_letter(struct slice value, char letter)
{
    return value.n == 1 && (value.p[0] | 0x20) == letter;
}

/* pct, rf and ri are history (RFC 9989 9.3); ruf and fo are about reports only. */
enum tag { TAG_P = 0, TAG_SP, TAG_NP, TAG_PSD, TAG_ADKIM, TAG_ASPF, TAG_T, TAG_RUA, TAGS };
static const char *const tags[TAGS] = {"p", "sp", "np", "psd", "adkim", "aspf", "t", "rua"};

static void take(struct dmarc_record *r, enum tag tag, struct slice value)
{
    switch (tag) {
    case TAG_P:
    case TAG_SP:
    case TAG_NP:
        *(tag == TAG_P ? &r->has_p : tag == TAG_SP ? &r->has_sp : &r->has_np) = true;
        if (policy_parse(value, tag == TAG_P ? &r->p : tag == TAG_SP ? &r->sp : &r->np) < 0)
            r->bad_policy = true;
        break;
    case TAG_PSD:
        r->psd = is_letter(value, 'y') ? DMARC_PSD_Y : is_letter(value, 'n') ? DMARC_PSD_N : DMARC_PSD_U;
        break;
    case TAG_ADKIM:
        r->strict_dkim = is_letter(value, 's');
        break;
    case TAG_ASPF:
        r->strict_spf = is_letter(value, 's');
        break;
    case TAG_T:
        r->testing = is_letter(value, 'y');
        break;
    case TAG_RUA:
        r->has_rua = has_uri(value);
        break;
    case TAGS:
        break;
    }
}

void dmarc_record_parse(struct slice text, struct dmarc_record *ret)
{
    struct slice rest = text, name, value;
    unsigned seen = 0; /* of a tag that stands twice, the first counts */
    *ret = (struct dmarc_record){.text = text};
    while (dmarc_tag_next(&rest, &name, &value))
        for (unsigned tag = 0; tag < TAGS; tag++)
            if (slice_eq_icase(name, slice_of(tags[tag])) && !(seen & 1U << tag)) {
                seen |= 1U << tag;
                take(ret, (enum tag)tag, value);
            }
    ret->bad_policy = ret->bad_policy || !ret->has_p;
}
