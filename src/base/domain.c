/* domain.c - domain names as A-labels in lower case. */
#include "sendas/base.h"

#include <idn2.h>
#include <string.h>

/* Lengths as RFC 1035 2.3.4, letters, digits and hyphens as RFC 952 and RFC 1123 2.1. */
enum { LABEL_MAX = 63 };
/* A U-label of n code points is an A-label of more than n octets, and a code point takes at most 4 in UTF-8. */
enum { UTF8_NAME_MAX = 4 * DOMAIN_MAX };

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int label_check(struct slice label, struct err *err)
{
    if (label.n == 0)
        return err_set(err, "an empty label");
    if (label.n > LABEL_MAX)
        return err_set(err, "a label of more than %d octets", LABEL_MAX);
    for (size_t i = 0; i < label.n; i++)
        if (!is_letter_or_digit(label.p[i]) && label.p[i] != '-')
            return err_set(err, "a character other than letters, digits and hyphens");
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return err_set(err, "a label with a hyphen at its edge");
    return 0;
}

/* Checks an ASCII name and copies it in lower case. */
static int name_check(struct slice name, char out[DOMAIN_MAX + 1], struct err *err)
{
    if (name.n > DOMAIN_MAX)
        return err_set(err, "a name of more than %d octets", DOMAIN_MAX);
    for (size_t at = 0; at <= name.n;) {
        struct slice rest = slice_skip(name, at);
        struct slice label = slice_sub(rest, 0, slice_find(rest, '.'));
        if (label_check(label, err) < 0)
            return -1;
        at += label.n + 1;
    }
    for (size_t i = 0; i < name.n; i++)
        out[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + ('a' - 'A') : name.p[i]);
    out[name.n] = '\0';
    return 0;
}

int domain_to_ascii(struct slice name, char out[DOMAIN_MAX + 1], struct err *err)
{
    if (name.n == 0)
        return err_set(err, "an empty name");
    if (slice_is_ascii(name))
        return name_check(name, out, err);
    if (name.n > UTF8_NAME_MAX)
        return err_set(err, "a name of more than %d octets", UTF8_NAME_MAX);
    if (!slice_is_utf8(name) || slice_find(name, '\0') != name.n)
        return err_set(err, "a name that is no UTF-8 text");
    char utf8[UTF8_NAME_MAX + 1];
    memcpy(utf8, name.p, name.n);
    utf8[name.n] = '\0';
    uint8_t *ascii = NULL;
    /* RFC 5891 5 with the mapping of UTS 46, non-transitional: U+00DF stays itself.  A-labels among the labels are
     * left alone, as they are in a name that is all ASCII. */
    int rc =
        idn2_lookup_u8((const uint8_t *)utf8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_NO_ALABEL_ROUNDTRIP);
    if (rc != IDN2_OK)
        return err_set(err, "not an internationalized name: %s", idn2_strerror(rc));
    rc = name_check(slice_of((const char *)ascii), out, err);
    idn2_free(ascii);
    return rc;
}

bool domain_eq(struct slice a, struct slice b)
{
    char left[DOMAIN_MAX + 1], right[DOMAIN_MAX + 1];
    return domain_to_ascii(a, left, NULL) == 0 && domain_to_ascii(b, right, NULL) == 0 && strcmp(left, right) == 0;
}

bool address_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncasecmp(address, "::ffff:127.", 11) == 0;
}
