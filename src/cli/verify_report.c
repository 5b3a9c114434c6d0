/* The verdicts as a receiver writes them (RFC 8601), and as a person reads them. */
#include "verify.h"

#include <string.h>

/* ---- values ---------------------------------------------------------------------------------------- */

static bool is_plain(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && c < 0x80 && (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return s.n > 0;
}

static void add_quoted(struct strbuf *out, struct slice s)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"' || c == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, (c >= 0 && c < ' ') || c == 0x7f ? '?' : c);
    }
    strbuf_add_char(out, '"');
}

/* pvalue = value / [[local-part] "@"] domain-name; value = token / quoted-string   (RFC 8601 2.2) */
static void add_property(struct strbuf *out, const char *name, struct slice value)
{
    struct slice local;
    struct slice domain = slice_cut(value, '@', &local);
    bool address =
        local.n < value.n && is_plain(domain, "-._") && (local.n == 0 || is_plain(local, "!#$%&'*+-/=?^_`{|}~."));
    strbuf_addf(out, " %s=", name);
    if (address || is_plain(value, "!#$%&'*+-.^_`{|}~"))
        strbuf_add_slice(out, value);
    else
        add_quoted(out, value);
}

static void add_result(struct strbuf *out, const char *method, const char *result, const char *comment,
                       struct slice reason)
{
    strbuf_addf(out, "; %s=%s%s", method, result, comment);
    if (reason.n > 0) {
        strbuf_add_str(out, " reason=");
        add_quoted(out, reason);
    }
}

/* ---- the field --------------------------------------------------------------------------------------- */

static void add_dkim(struct strbuf *out, const struct dkim_signature *s)
{
    add_result(out, "dkim", dkim_result_name(s->result), s->testing ? " (test mode)" : "", slice_of(s->reason));
    if (s->domain[0] != '\0')
        add_property(out, "header.d", slice_of(s->domain));
    if (s->identity.n > 0)
        add_property(out, "header.i", s->identity);
    if (s->selector[0] != '\0')
        add_property(out, "header.s", slice_of(s->selector));
    if (s->algorithm[0] != '\0')
        add_property(out, "header.a", slice_of(s->algorithm));
    if (s->b.n > 0)
        add_property(out, "header.b", s->b);
}

static void add_spf(struct strbuf *out, const struct verify *v)
{
    add_result(out, "spf", spf_result_name(v->spf.result), "", v->spf.result == SPF_PASS ? SLICE("") : v->spf.why);
    if (v->spf.of_helo)
        add_property(out, "smtp.helo", v->spf.domain);
    else
        add_property(out, "smtp.mailfrom", v->sender);
}

static void add_dmarc(struct strbuf *out, const struct verify *v)
{
    char policy[48] = "";
    if (v->dmarc.policy_tag != NULL)
        snprintf(policy, sizeof(policy), " (%s=%s)", v->dmarc.policy_tag, dmarc_policy_name(v->dmarc.published));
    add_result(out, "dmarc", dmarc_result_name(v->dmarc.result), policy,
               v->dmarc.result == DMARC_PASS ? SLICE("") : v->dmarc.why);
    if (v->dmarc.from.n > 0)
        add_property(out, "header.from", v->dmarc.from);
}

/* Folded at its spaces, each fold one of them (RFC 5322 2.2.3): unfolded it is the same text. */
static void print_folded(FILE *out, struct slice text)
{
    enum { COLUMNS = 76 };
    while (text.n > COLUMNS) {
        size_t cut = COLUMNS;
        while (cut > 1 && text.p[cut] != ' ')
            cut--;
        if (cut <= 1)
            cut = 1 + slice_find(slice_skip(text, 1), ' ');
        fprintf(out, "%.*s\n", (int)cut, text.p);
        text = slice_skip(text, cut);
    }
    fprintf(out, "%.*s%s", SLICE_ARG(text), text.n > 0 ? "\n" : "");
}

static void add_field(struct strbuf *out, const struct verify *v)
{
    strbuf_addf(out, "Authentication-Results: %s", v->hostname);
    if (v->dkim.n == 0)
        add_result(out, "dkim", "none", "", SLICE(""));
    for (size_t i = 0; i < v->dkim.n; i++)
        add_dkim(out, &v->dkim.v[i]);
    if (v->has_spf) {
        add_spf(out, v);
        add_dmarc(out, v);
    }
}

/* ---- the sentences -------------------------------------------------------------------------------------- */

static void say_dkim(FILE *out, const struct dkim_signature *s)
{
    fprintf(out, "dkim: %s: ", dkim_result_name(s->result));
    if (s->domain[0] != '\0')
        fprintf(out, "%s%s%s", s->domain, s->selector[0] != '\0' ? ", selector " : "", s->selector);
    if (s->algorithm[0] != '\0')
        fprintf(out, ", %s", s->algorithm);
    if (s->bits > 0 && strcmp(s->algorithm, "rsa-sha256") == 0)
        fprintf(out, " with %u bits", s->bits);
    if (s->result == DKIM_PASS)
        fprintf(out, ": the signature is valid%s%s.\n", s->reason[0] != '\0' ? ", but " : "", s->reason);
    else
        fprintf(out, "%s%s.%s\n", s->domain[0] != '\0' ? ": " : "", s->reason,
                s->testing ? "  The domain only tests DKIM (t=y): this counts as no signature." : "");
}

static void say_alignment(FILE *out, const struct verify *v)
{
    if (v->from_error.text[0] != '\0')
        fprintf(out, "From: its author is unclear: %s.\n", v->from_error.text);
    else if (v->aligned.n > 0)
        fprintf(out, "From: the valid signature of %.*s is of the author's domain, %.*s: for DMARC that passes.\n",
                SLICE_ARG(v->aligned), SLICE_ARG(v->from[0]));
    else
        fprintf(out, "From: no valid signature is of the author's domain, %.*s.\n",
                v->n_from > 0 ? (int)v->from[0].n : 0, v->n_from > 0 ? v->from[0].p : "");
}

static void say_all(FILE *out, const struct verify *v)
{
    if (v->dkim.n == 0)
        fputs("dkim: none: the message has no DKIM-Signature field.\n", out);
    for (size_t i = 0; i < v->dkim.n; i++)
        say_dkim(out, &v->dkim.v[i]);
    if (v->dkim.unchecked > 0)
        fprintf(out, "dkim: %zu more signatures were not checked: receivers look at a few only.\n", v->dkim.unchecked);
    if (!v->has_spf) {
        say_alignment(out, v);
        return;
    }
    fprintf(out, "spf: %s: %.*s.\n", spf_result_name(v->spf.result), SLICE_ARG(v->spf.why));
    if (v->spf.explanation.n > 0)
        fprintf(out, "spf: the domain says: %.*s\n", SLICE_ARG(v->spf.explanation));
    fprintf(out, "dmarc: %s: %.*s.\n", dmarc_result_name(v->dmarc.result), SLICE_ARG(v->dmarc.why));
    if (v->from_error.text[0] != '\0')
        fprintf(out, "From: its author is unclear: %s.\n", v->from_error.text);
}

int verify_report(const struct verify *v, FILE *out, FILE *words)
{
    struct strbuf field = STRBUF_INIT;
    add_field(&field, v);
    int status = field.failed ? -1 : 0;
    if (status == 0)
        print_folded(out, strbuf_slice(&field));
    strbuf_free(&field);
    fflush(out);
    say_all(words, v);
    return status;
}
