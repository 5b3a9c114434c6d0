/* Verification: every tag of a signature and of a key record, right and wrong; what is signed; the RFCs' own examples.
 */
#include "forge.h"

#include "../../src/dkim/verify.h"

#define HEADER "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?a?= \r\n  b\r\nX-Other: x\r\n"
#define BODY   "Hi \t there \r\n\r\n.\r\nend\r\n\r\n\r\n"

static struct arena mem;
static EVP_PKEY *ed25519, *rsa, *small;

static void setup(void)
{
    mem = ARENA_INIT(0);
    ed25519 = forge_key(rfc8463_ed25519_pem);
    rsa = forge_key(rfc8463_rsa_pem);
    small = NULL;
}

static void teardown(void)
{
    EVP_PKEY_free(ed25519);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
    arena_free(&mem);
}

static struct dkim_verification verify(const char *header, struct slice body, struct forge_zone *zone, int64_t now)
{
    struct field_list fields;
    struct dkim_verification found;
    struct err err = {""};
    struct forge_body text = {body};
    const struct dkim_body_source source = {forge_read, &text};
    const struct lookup dns = {forge_query, zone};
    struct slice copy = arena_copy(&mem, slice_of(header));
    ck_assert_msg(dkim_fields_split(&mem, copy, &fields, &err) == 0, "%s", err.text);
    ck_assert_msg(dkim_verify(&mem, &fields, &source, &dns, now, &found, &err) == 0, "%s", err.text);
    return found;
}

/* `record` with '%' replaced by the public key. */
static const char *record_of(const char *record, EVP_PKEY *key)
{
    struct strbuf out = STRBUF_INIT;
    for (; *record != '\0'; record++) {
        if (*record == '%')
            forge_public(key, &out);
        else
            strbuf_add_char(&out, *record);
    }
    const char *copy = arena_strdup(&mem, strbuf_slice(&out));
    strbuf_free(&out);
    return copy;
}

#define GOOD_ED  "v=DKIM1; k=ed25519; p=%"
#define GOOD_RSA "v=DKIM1; p=%"

static void check_words(const struct dkim_signature *s, enum dkim_result want, const char *words, const char *row)
{
    ck_assert_msg(s->result == want, "%s: %s (%s)", row, dkim_result_name(s->result), s->reason);
    ck_assert_msg(strstr(s->reason, words) != NULL, "%s: \"%s\"", row, s->reason);
    ck_assert(want == DKIM_PASS || s->reason[0] != '\0');
    ck_assert_msg(slice_is_ascii(slice_of(s->reason)) && strchr(s->reason, '\n') == NULL, "%s", s->reason);
}

/* ---- tags of the signature (RFC 6376 3.5) ------------------------------------------------------------------------ */

#define D200                                                                                                           \
    "a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789."              \
    "a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789.a123456789"

static const struct {
    const char *edits;
    enum dkim_result want;
    const char *words;
} tag_rows[] = {
    {"", DKIM_PASS, ""},
    /* the list itself (3.2) */
    {"unknown=anything at all: even = that", DKIM_PASS, ""},
    {"Xx_9=1", DKIM_PASS, ""},
    {"9x=1", DKIM_PERMERROR, "no proper name"},
    {"+s=s1", DKIM_PERMERROR, "s= stands there twice"},
    {"+x=1|+x=1", DKIM_PERMERROR, "x= stands there twice"},
    {"n=a;; m=b", DKIM_PERMERROR, "no proper name"},
    {"n=a; m", DKIM_PERMERROR, "m= has no value"},
    {"n=a; ", DKIM_PASS, ""},
    {"n=\x01", DKIM_PERMERROR, "octets"},
    {"n=\x7f", DKIM_PERMERROR, "octets"},
    {"n=\xc3\xa4", DKIM_PASS, ""}, /* RFC 8616 */
    {"n=\xc3", DKIM_PERMERROR, "octets"},
    {"n=a\r\n\tb", DKIM_PASS, ""},
    /* v */
    {"-v", DKIM_PERMERROR, "no v="},
    {"v=", DKIM_PERMERROR, "no v="},
    {"v=2", DKIM_PERMERROR, "version"},
    {"v=1.0", DKIM_PERMERROR, "version"},
    {"v=0.5", DKIM_PERMERROR, "version"},
    {"v=\r\n\t1\r\n ", DKIM_PASS, ""},
    /* a */
    {"-a", DKIM_PERMERROR, "no a="},
    {"a=rsa-sha1", DKIM_PERMERROR, "SHA-1"},
    {"a=rsa-sha256", DKIM_PERMERROR, "another type"},
    {"a=ed25519", DKIM_PERMERROR, "algorithm is not known"},
    {"a=ED25519-SHA256", DKIM_PERMERROR, "algorithm is not known"},
    {"a=ed25519-sha512", DKIM_PERMERROR, "algorithm is not known"},
    /* b, bh */
    {"-b", DKIM_PERMERROR, "no b="},
    {"b= ", DKIM_PERMERROR, "no b="},
    {"b=!", DKIM_PERMERROR, "b= is not base64"},
    {"b=AAA", DKIM_PERMERROR, "b= is not base64"},
    {"b=AAAA", DKIM_FAIL, "signed header field"},
    {"-bh", DKIM_PERMERROR, "no bh="},
    {"bh=AAAA", DKIM_PERMERROR, "bh="},
    {"bh=?", DKIM_PERMERROR, "bh="},
    {"bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", DKIM_FAIL, "the body was changed"},
    /* c */
    {"-c", DKIM_PASS, ""},
    {"c=simple", DKIM_PASS, ""},
    {"c=relaxed", DKIM_PASS, ""},
    {"c=simple/simple", DKIM_PASS, ""},
    {"c=simple/relaxed", DKIM_PASS, ""},
    {"c=relaxed/simple", DKIM_PASS, ""},
    {"c=nowsp", DKIM_PERMERROR, "c="},
    {"c=relaxed/", DKIM_PERMERROR, "c="},
    {"c=/relaxed", DKIM_PERMERROR, "c="},
    {"c=relaxed/relaxed/relaxed", DKIM_PERMERROR, "c="},
    {"c=", DKIM_PERMERROR, "c="},
    /* d, s */
    {"-d", DKIM_PERMERROR, "no d="},
    {"d=other.example", DKIM_PERMERROR, "there is no key at s1._domainkey.other.example: the name does not exist"},
    {"d=EXAMPLE.com", DKIM_PASS, ""},
    {"d=ex ample.com", DKIM_PERMERROR, "d= is no domain"},
    {"d=.example.com", DKIM_PERMERROR, "d= is no domain"},
    {"d=example.com.", DKIM_PERMERROR, "d= is no domain"},
    {"d=example..com", DKIM_PERMERROR, "d= is no domain"},
    {"d=a\\.com", DKIM_PERMERROR, "d= is no domain"},
    {"d=" D200, DKIM_PERMERROR, "no key"},
    {"d=" D200 "|s=" D200, DKIM_PERMERROR, "longer than a DNS name"},
    {"d=" D200 "." D200, DKIM_PERMERROR, "d= is no domain"},
    {"d=a234567890123456789012345678901234567890123456789012345678901234.com", DKIM_PERMERROR, "d= is no domain"},
    {"d=b\xc3\xbc"
     "cher.example",
     DKIM_PASS, ""}, /* RFC 8616 3 */
    {"d=xn--bcher-kva.example", DKIM_PASS, ""},
    {"-s", DKIM_PERMERROR, "no s="},
    {"s=s_1", DKIM_PASS, ""},
    {"s=a.b", DKIM_PASS, ""},
    {"s=s1/", DKIM_PERMERROR, "s= is no selector"},
    {"s=\xc3\xa4", DKIM_PASS, ""},
    {"s=nodata", DKIM_PERMERROR, "no TXT record"},
    {"s=broken", DKIM_TEMPERROR, "DNS gave no answer"},
    /* h */
    {"-h", DKIM_PERMERROR, "no h="},
    {"h=To:Subject", DKIM_PERMERROR, "From is not among"},
    {"h=fROM", DKIM_PASS, ""},
    {"h= From :\r\n\tTo : Subject ", DKIM_PASS, ""},
    {"h=From:From:To:Nothing:X-Other", DKIM_PASS, ""},
    {"h=From:", DKIM_PERMERROR, "empty name"},
    {"h=:From", DKIM_PERMERROR, "empty name"},
    {"h=From::To", DKIM_PERMERROR, "empty name"},
    {"h=From:a b", DKIM_PERMERROR, "a name that is none"},
    {"h=From:\xc3\xa4", DKIM_PERMERROR, "a name that is none"},
    {"h=From:DKIM-Signature", DKIM_PASS, ""}, /* never itself */
    /* i */
    {"i=@example.com", DKIM_PASS, ""},
    {"i=ann@example.com", DKIM_PASS, ""},
    {"i=ann@Sub.Example.com", DKIM_PASS, ""},
    {"i=ann=40home@sub.sub.example.com", DKIM_PASS, ""},
    {"i=a=3Bb@\r\n example.com", DKIM_PASS, ""},
    {"i=\xc3\xa4@example.com", DKIM_PASS, ""},
    {"i=ann@other.example", DKIM_PERMERROR, "neither that of d= nor below"},
    {"i=ann@notexample.com", DKIM_PERMERROR, "neither that of d= nor below"},
    {"i=ann@com", DKIM_PERMERROR, "neither that of d= nor below"},
    {"i=ann", DKIM_PERMERROR, "i= has no domain"},
    {"i=ann@", DKIM_PERMERROR, "i= has no domain"},
    {"i=", DKIM_PERMERROR, "i= has no domain"},
    {"i=a=4x@example.com", DKIM_PERMERROR, "encoded"},
    {"i=a=40", DKIM_PERMERROR, "i= has no domain"},
    {"i=a=4", DKIM_PERMERROR, "encoded"},
    {"i=a=00@example.com", DKIM_PERMERROR, "encoded"},
    {"i=a=0A@example.com", DKIM_PERMERROR, "encoded"},
    {"i=a=FF@example.com", DKIM_PERMERROR, "encoded"},
    /* l; the relaxed body has 20 octets */
    {"l=20", DKIM_PASS, ""},
    {"l=19", DKIM_PASS, "the end of the body is not signed"},
    {"l=0", DKIM_PASS, "the end of the body is not signed"},
    {"l=21", DKIM_FAIL, "the body was cut after signing: it has 20 octets, and 21 were signed"},
    {"l=99999999999999999999999999", DKIM_FAIL, "cut"},
    {"l=", DKIM_PERMERROR, "l= is no number"},
    {"l=-1", DKIM_PERMERROR, "l= is no number"},
    {"l=1 2", DKIM_PERMERROR, "l= is no number"},
    {"l=0x10", DKIM_PERMERROR, "l= is no number"},
    {"l=00000000000000000000000000000000000000000000000000000000000000000000000000000", DKIM_PERMERROR,
     "l= is no number"},
    /* q */
    {"q=dns/txt", DKIM_PASS, ""},
    {"q=http/well-known:dns/txt", DKIM_PASS, ""},
    {"q=dns", DKIM_PERMERROR, "q="},
    {"q=", DKIM_PERMERROR, "q="},
    /* t, x: now is 1000 */
    {"t=999|x=1000", DKIM_PASS, ""},
    {"t=5000", DKIM_PASS, ""},
    {"x=999", DKIM_POLICY, "expired"},
    {"x=1", DKIM_POLICY, "expired"},
    {"t=1000|x=1000", DKIM_PERMERROR, "expires before"},
    {"t=1001|x=1000", DKIM_PERMERROR, "expires before"},
    {"x=99999999999999999999999999", DKIM_PASS, ""},
    {"x=soon", DKIM_PERMERROR, "x= is no number"},
    {"t=now", DKIM_PERMERROR, "t= is no number"},
    /* z is for diagnosis only */
    {"z=From:someone=40else.example", DKIM_PASS, ""},
};

START_TEST(test_tags)
{
    struct strbuf header = STRBUF_INIT;
    const char *good = record_of(GOOD_ED, ed25519);
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", good},
                                    {"s_1._domainkey.example.com", good},
                                    {"a.b._domainkey.example.com", good},
                                    {"xn--4ca._domainkey.example.com", good},
                                    {"s1._domainkey.xn--bcher-kva.example", good},
                                    {"nodata._domainkey.example.com", ""},
                                    {"broken._domainkey.example.com", NULL}},
                              .n = 7};
    forge(&header, tag_rows[_i].edits, ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 1000);
    ck_assert_uint_eq(found.n, 1);
    check_words(&found.v[0], tag_rows[_i].want, tag_rows[_i].words, tag_rows[_i].edits);
    strbuf_free(&header);
}
END_TEST

START_TEST(test_what_is_told)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of("k=ed25519; t=y; p=%", ed25519)}}, .n = 1};
    forge(&header, "d=Example.COM|s=S1|i=Ann=20B@sub.example.com|l=3", ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    const struct dkim_signature *s = &found.v[0];
    ck_assert_int_eq(s->result, DKIM_PASS);
    ck_assert_str_eq(s->domain, "example.com");
    ck_assert_str_eq(s->selector, "s1");
    ck_assert_slice_eq(s->identity, "Ann B@sub.example.com");
    ck_assert_str_eq(s->algorithm, "ed25519-sha256");
    ck_assert_uint_eq(s->bits, 256);
    ck_assert(s->testing && s->partial);
    ck_assert_uint_eq(s->b.n, 8);
    strbuf_reset(&header);
    forge(&header, "", rsa, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    zone.v[0].text = record_of(GOOD_RSA, rsa);
    found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    ck_assert_int_eq(found.v[0].result, DKIM_PASS);
    ck_assert_slice_eq(found.v[0].identity, "@example.com");
    ck_assert_uint_eq(found.v[0].bits, 1024);
    ck_assert(!found.v[0].testing && !found.v[0].partial);
    strbuf_free(&header);
}
END_TEST

/* ---- key records (RFC 6376 3.6.1) ------------------------------------------------------------ */

static const struct {
    bool rsa;
    const char *records[4];
    enum dkim_result want;
    const char *words;
} record_rows[] = {
    {true, {"p=%"}, DKIM_PASS, ""},
    {true, {"v=DKIM1; k=rsa; p=%;"}, DKIM_PASS, ""},
    {true, {" v = DKIM1 ; p = % ; "}, DKIM_PASS, ""},
    {true, {"k=rsa; v=DKIM1; p=%"}, DKIM_PERMERROR, "not the first tag"},
    {true, {"v=DKIM2; p=%"}, DKIM_PERMERROR, "v= is not DKIM1"},
    {true, {"v=dkim1; p=%"}, DKIM_PERMERROR, "v= is not DKIM1"},
    {true, {"v=DKIM1"}, DKIM_PERMERROR, "no p="},
    {true, {"v=DKIM1; p="}, DKIM_PERMERROR, "revoked"},
    {true, {"v=DKIM1; p= ;"}, DKIM_PERMERROR, "revoked"},
    {true, {"v=DKIM1; p=!!!"}, DKIM_PERMERROR, "not base64"},
    {true, {"v=DKIM1; p=AAAA"}, DKIM_PERMERROR, "no RSA key"},
    {true, {"v=DKIM1; p=%; p=%"}, DKIM_PERMERROR, "p= stands there twice"},
    {true, {"v=DKIM1; p"}, DKIM_PERMERROR, "malformed"},
    {true, {"v=DKIM1 p=%"}, DKIM_PERMERROR, "v= is not DKIM1"},
    {true, {"v=spf1 -all"}, DKIM_PERMERROR, "v= is not DKIM1"},
    {true, {"-all"}, DKIM_PERMERROR, "malformed"},
    {true, {"k=dsa; p=%"}, DKIM_PERMERROR, "neither rsa nor ed25519"},
    {true, {"k=RSA; p=%"}, DKIM_PERMERROR, "neither rsa nor ed25519"},
    {true, {"k=; p=%"}, DKIM_PERMERROR, "neither rsa nor ed25519"},
    {true, {"k=ed25519; p=%"}, DKIM_PERMERROR, "bare Ed25519 key has 32"},
    {true, {"h=sha256; p=%"}, DKIM_PASS, ""},
    {true, {"h=sha1 : sha256; p=%"}, DKIM_PASS, ""},
    {true, {"h=sha1; p=%"}, DKIM_PERMERROR, "h= does not allow"},
    {true, {"h=; p=%"}, DKIM_PERMERROR, "h= does not allow"},
    {true, {"s=*; p=%"}, DKIM_PASS, ""},
    {true, {"s=email; p=%"}, DKIM_PASS, ""},
    {true, {"s=tlsrpt:email; p=%"}, DKIM_PASS, ""},
    {true, {"s=tlsrpt; p=%"}, DKIM_PERMERROR, "not for email"},
    {true, {"s=; p=%"}, DKIM_PERMERROR, "not for email"},
    {true, {"t=y; p=%"}, DKIM_PASS, "tested"},
    {true, {"t=y:s; p=%"}, DKIM_PASS, "tested"},
    {true, {"t=whatever; p=%"}, DKIM_PASS, ""},
    {true, {"g=nobody; p=%"}, DKIM_PASS, ""}, /* gone with RFC 6376 */
    {true, {"n=note; x=y; p=%"}, DKIM_PASS, ""},
    {false, {GOOD_ED}, DKIM_PASS, ""},
    {false, {"k=rsa; p=%"}, DKIM_PERMERROR, "no RSA key"},
    {false, {"k=ed25519; p=AAAA"}, DKIM_PERMERROR, "its p= has 3 octets"},
    {false, {"k=ed25519; p=//////////////////////////////////////////8="}, DKIM_FAIL, ""},
    /* several records: any may fit (6.1.2) */
    {true, {"v=spf1 -all", "p=%"}, DKIM_PASS, ""},
    {true, {"p=%", "v=spf1 -all"}, DKIM_PASS, ""},
    {true, {"k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=%"}, DKIM_PASS, ""},
    {true, {"p=", "h=sha1; p=%"}, DKIM_PERMERROR, "revoked"},
    {false, {"p=", "k=ed25519; p=//////////////////////////////////////////8=", "p="}, DKIM_FAIL, "not the key"},
};

START_TEST(test_records)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.n = 0};
    EVP_PKEY *key = record_rows[_i].rsa ? rsa : ed25519;
    for (; zone.n < 4 && record_rows[_i].records[zone.n] != NULL; zone.n++) {
        zone.v[zone.n].name = "s1._domainkey.example.com";
        zone.v[zone.n].text = record_of(record_rows[_i].records[zone.n], key);
    }
    forge(&header, "", key, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    check_words(&found.v[0], record_rows[_i].want, record_rows[_i].words, record_rows[_i].records[0]);
    strbuf_free(&header);
}
END_TEST

/* t=s: i= has the very domain of d= (RFC 6376 3.6.1). */
static const struct {
    const char *edits;
    enum dkim_result want;
} strict_rows[] = {
    {"", DKIM_PASS},
    {"i=a@example.com", DKIM_PASS},
    {"i=a@EXAMPLE.com", DKIM_PASS},
    {"i=a@sub.example.com", DKIM_PERMERROR},
};

START_TEST(test_strict)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of("k=ed25519; t=s; p=%", ed25519)}}, .n = 1};
    forge(&header, strict_rows[_i].edits, ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    check_words(&found.v[0], strict_rows[_i].want, strict_rows[_i].want == DKIM_PASS ? "" : "t=s",
                strict_rows[_i].edits);
    strbuf_free(&header);
}
END_TEST

/* RFC 8301 3.2 */
static const struct {
    unsigned bits;
    enum dkim_result want;
    const char *words;
} bits_rows[] = {
    {512, DKIM_PERMERROR, "only 512 bits"},
    {1023, DKIM_PERMERROR, "only 1023 bits"},
    {1024, DKIM_PASS, ""},
    {1025, DKIM_PASS, ""},
    {2048, DKIM_PASS, ""},
};

START_TEST(test_bits)
{
    struct strbuf header = STRBUF_INIT;
    small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits_rows[_i].bits);
    ck_assert_ptr_nonnull(small);
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_RSA, small)}}, .n = 1};
    forge(&header, "", small, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    check_words(&found.v[0], bits_rows[_i].want, bits_rows[_i].words, "bits");
    ck_assert_uint_eq(found.v[0].bits, bits_rows[_i].bits);
    strbuf_free(&header);
}
END_TEST

/* Keys of other kinds, and octets behind a key. */
START_TEST(test_odd_keys)
{
    struct strbuf header = STRBUF_INIT, text = STRBUF_INIT;
    unsigned char *der = NULL;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", ""}}, .n = 1};
    forge(&header, "", rsa, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    small = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    zone.v[0].text = record_of(GOOD_RSA, small);
    check_words(&verify(strbuf_str(&header), SLICE(BODY), &zone, 0).v[0], DKIM_PERMERROR, "no RSA key", "EC");
    int n = i2d_PUBKEY(rsa, &der);
    struct strbuf longer = STRBUF_INIT;
    strbuf_add(&longer, der, (size_t)n);
    strbuf_add_char(&longer, '\0');
    strbuf_add_str(&text, "p=");
    base64_encode(&text, strbuf_slice(&longer));
    zone.v[0].text = strbuf_str(&text);
    check_words(&verify(strbuf_str(&header), SLICE(BODY), &zone, 0).v[0], DKIM_PERMERROR, "no RSA key", "longer");
    OPENSSL_free(der);
    /* the bare RSAPublicKey that RFC 6376 3.6.1 names */
    der = NULL;
    n = i2d_PublicKey(rsa, &der);
    strbuf_reset(&text);
    strbuf_add_str(&text, "p=");
    base64_encode(&text, slice_from(der, (size_t)n));
    zone.v[0].text = strbuf_str(&text);
    check_words(&verify(strbuf_str(&header), SLICE(BODY), &zone, 0).v[0], DKIM_PASS, "", "PKCS#1");
    OPENSSL_free(der);
    strbuf_free(&longer);
    strbuf_free(&text);
    strbuf_free(&header);
}
END_TEST

/* ---- what a change on the way does
 * ------------------------------------------------------------------------------------- */

#define BODY_CHANGED   "the body was changed after signing (the body hash differs); the signed"
#define HEADER_CHANGED "the signature does not match: a signed header field was changed"
#define BOTH_CHANGED   "and the signature does not match the header either"

static const struct {
    const char *c, *header, *body;
    enum dkim_result want;
    const char *words;
} change_rows[] = {
    {"relaxed/relaxed", HEADER, BODY, DKIM_PASS, ""},
    {"simple/simple", HEADER, BODY, DKIM_PASS, ""},
    /* what relaxed forgives, simple does not */
    {"relaxed/relaxed", "FROM : Ann   <ann@example.com> \r\nto:bob@example.net\r\nSubject:=?utf-8?q?a?=\tb\r\n", BODY,
     DKIM_PASS, ""},
    {"simple/relaxed", "FROM: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?a?= \r\n  b\r\n", BODY,
     DKIM_FAIL, HEADER_CHANGED},
    {"simple/simple", "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?a?=\r\n  b\r\n", BODY,
     DKIM_FAIL, HEADER_CHANGED},
    {"relaxed/relaxed", HEADER, "Hi there\r\n\r\n.\r\nend", DKIM_PASS, ""},
    {"relaxed/relaxed", HEADER, "Hi there\r\n \t\r\n.\r\nend\t\r\n \r\n", DKIM_PASS, ""},
    {"relaxed/simple", HEADER, "Hi \t there \r\n\r\n.\r\nend", DKIM_PASS, ""},
    {"relaxed/simple", HEADER, "Hi \t there \r\n\r\n.\r\nend\r\n\r\n", DKIM_PASS, ""},
    {"relaxed/simple", HEADER, "Hi there \r\n\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/simple", HEADER, "Hi \t there \r\n\r\n.\r\nend\r\n \r\n", DKIM_FAIL, BODY_CHANGED},
    /* what neither forgives */
    {"relaxed/relaxed", HEADER, "Hi there\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, "Hithere\r\n\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, " Hi there\r\n\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, "Hi there\r\n\r\n.\r\nend\r\n-- \r\nlist\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, "Hi there\n\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, "Hi there\r\r\n\r\n.\r\nend\r\n", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", HEADER, "", DKIM_FAIL, BODY_CHANGED},
    {"relaxed/relaxed", "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: [list] =?utf-8?q?a?= b\r\n",
     BODY, DKIM_FAIL, HEADER_CHANGED},
    {"relaxed/relaxed", "From: Ann <ann@example.com>\r\nSubject: =?utf-8?q?a?= b\r\n", BODY, DKIM_FAIL, HEADER_CHANGED},
    {"relaxed/relaxed", "From: Eve <ann@example.com>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?a?= b\r\n", "x\r\n",
     DKIM_FAIL, BOTH_CHANGED},
    /* fields that are not signed may come and go, in any order */
    {"simple/simple",
     "X-Other: y\r\nSubject: =?utf-8?q?a?= \r\n  b\r\nTo: bob@example.net\r\n"
     "From: Ann <ann@example.com>\r\n",
     BODY, DKIM_PASS, ""},
    /* of two of a name the last is signed (5.4.2): one above does no harm unless it is over-signed, one below does */
    {"relaxed/relaxed", "Subject: x\r\n" HEADER, BODY, DKIM_PASS, ""},
    {"relaxed/relaxed", HEADER "Subject: x\r\n", BODY, DKIM_FAIL, HEADER_CHANGED},
};

START_TEST(test_changes)
{
    struct strbuf header = STRBUF_INIT;
    char edits[64];
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    snprintf(edits, sizeof(edits), "c=%s", change_rows[_i].c);
    forge(&header, edits, ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, change_rows[_i].header);
    struct dkim_verification found = verify(strbuf_str(&header), slice_of(change_rows[_i].body), &zone, 0);
    check_words(&found.v[0], change_rows[_i].want, change_rows[_i].words, change_rows[_i].body);
    strbuf_free(&header);
}
END_TEST

START_TEST(test_oversigned)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    forge(&header, "h=From:From:Subject:Subject:To", ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, "Subject: x\r\n" HEADER);
    check_words(&verify(strbuf_str(&header), SLICE(BODY), &zone, 0).v[0], DKIM_FAIL, "signed are: From From Subject",
                "over-signed");
    strbuf_free(&header);
}
END_TEST

/* Bodies of every kind, signed by the naive way of forge.h in each of the two ways. */
static const char *const bodies[] = {
    "",         "\r\n",    "\r\n\r\n\r\n", " \r\n",     "\t \r\n \r\n", " ",           "x",           "x\r\n",
    "x \r\n",   " x\r\n",  "x\r\n\r\n",    "\r\nx\r\n", "\r\n\r\nx",    "a\tb  c\r\n", "a\r\n \r\nb", "a\rb\r\n",
    "a\nb\r\n", "a\r\r\n", "\xff\xfe\r\n", "a \r",
};

START_TEST(test_bodies)
{
    static const char *const methods[] = {"relaxed/relaxed", "relaxed/simple"};
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct strbuf header = STRBUF_INIT;
        char edits[64];
        snprintf(edits, sizeof(edits), "c=%s", methods[i]);
        forge(&header, edits, ed25519, SLICE(HEADER), slice_of(bodies[_i]));
        strbuf_add_str(&header, HEADER);
        check_words(&verify(strbuf_str(&header), slice_of(bodies[_i]), &zone, 0).v[0], DKIM_PASS, "", bodies[_i]);
        strbuf_free(&header);
    }
}
END_TEST

/* ---- several signatures
 * ---------------------------------------------------------------------------------------------------- */

START_TEST(test_several)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)},
                                    {"r1._domainkey.example.com", record_of(GOOD_RSA, rsa)}},
                              .n = 2};
    for (int i = 0; i < 6; i++) {
        forge(&header, "", ed25519, SLICE(HEADER), SLICE(BODY));
        forge(&header, i == 1 ? "s=r1|d=other.example" : "s=r1", rsa, SLICE(HEADER), SLICE(BODY));
    }
    strbuf_add_str(&header, HEADER);
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    ck_assert_uint_eq(found.n, DKIM_SIGNATURES_MAX);
    ck_assert_uint_eq(found.unchecked, 2);
    for (size_t i = 0; i < found.n; i++)
        ck_assert_int_eq(found.v[i].result, i == 3 ? DKIM_PERMERROR : DKIM_PASS);
    ck_assert_uint_eq(verify(HEADER, SLICE(BODY), &zone, 0).n, 0);
    strbuf_free(&header);
}
END_TEST

/* A signature may sign another that was there before (3.5): then that one may not go. */
START_TEST(test_signed_signature)
{
    struct strbuf lower = STRBUF_INIT, header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    forge(&lower, "", ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&lower, HEADER);
    forge(&header, "h=From:DKIM-Signature", ed25519, strbuf_slice(&lower), SLICE(BODY));
    struct slice own = arena_copy(&mem, strbuf_slice(&header));
    strbuf_add_slice(&header, strbuf_slice(&lower));
    struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
    ck_assert_int_eq(found.v[0].result, DKIM_PASS);
    ck_assert_int_eq(found.v[1].result, DKIM_PASS);
    strbuf_reset(&header);
    strbuf_add_slice(&header, own);
    strbuf_add_str(&header, HEADER);
    ck_assert_int_eq(verify(strbuf_str(&header), SLICE(BODY), &zone, 0).v[0].result, DKIM_FAIL);
    strbuf_free(&header);
    strbuf_free(&lower);
}
END_TEST

/* ---- the header as receivers cut it
 * -------------------------------------------------------------------------------------------- */

static const struct {
    const char *header;
    int n; /* -1: refused */
    const char *name, *value;
} split_rows[] = {
    {"", 0, NULL, NULL},
    {"A: b\r\n", 1, "A", " b"},
    {"A:\r\n", 1, "A", ""},
    {"A : b\r\n", 1, "A", " b"},
    {"A\t :b\r\n c\r\n", 1, "A", "b\r\n c"},
    {"A: b\r\n \r\n c\r\n", 1, "A", " b\r\n \r\n c"},
    {"A: b\rc\nd\r\n", 1, "A", " b\rc\nd"},
    {"\xc3\xa4: b\r\nC: d\r\n", 2, "\xc3\xa4", " b"},
    {"A: b", -1, NULL, NULL},
    {"A: b\r\nC: d", -1, NULL, NULL},
    {"A\r\n", -1, NULL, NULL},
    {"A\r\n : b\r\n", -1, NULL, NULL},
    {": b\r\n", -1, NULL, NULL},
    {" A: b\r\n", -1, NULL, NULL},
    {"A b: c\r\n", -1, NULL, NULL},
    {"\r\n", -1, NULL, NULL},
};

START_TEST(test_split)
{
    struct field_list fields = {0};
    struct err err = {""};
    int status = dkim_fields_split(&mem, slice_of(split_rows[_i].header), &fields, &err);
    ck_assert_msg(status == (split_rows[_i].n < 0 ? -1 : 0), "%s: %s", split_rows[_i].header, err.text);
    if (split_rows[_i].n < 0)
        return;
    ck_assert_uint_eq(fields.n, (size_t)split_rows[_i].n);
    if (fields.n > 0) {
        ck_assert_slice_eq(fields.v[0].name, split_rows[_i].name);
        ck_assert_slice_eq(fields.v[0].value, split_rows[_i].value);
    }
    size_t total = 0;
    for (size_t i = 0; i < fields.n; i++)
        total += fields.v[i].raw.n;
    ck_assert_uint_eq(total, strlen(split_rows[_i].header));
}
END_TEST

START_TEST(test_too_many_fields)
{
    struct strbuf header = STRBUF_INIT;
    struct field_list fields;
    struct err err = {""};
    for (int i = 0; i < DKIM_FIELDS_MAX; i++)
        strbuf_add_str(&header, "A: b\r\n");
    ck_assert_int_eq(dkim_fields_split(&mem, strbuf_slice(&header), &fields, &err), 0);
    strbuf_add_str(&header, "A: b\r\n");
    ck_assert_int_eq(dkim_fields_split(&mem, strbuf_slice(&header), &fields, &err), -1);
    strbuf_free(&header);
}
END_TEST

START_TEST(test_too_many_names)
{
    struct strbuf field = STRBUF_INIT;
    struct forge_zone zone = {.n = 0};
    for (int more = 0; more < 2; more++) {
        strbuf_reset(&field);
        strbuf_add_str(&field, "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1; b=AAAA; "
                               "bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; h=From");
        for (int i = 1; i < DKIM_FIELDS_MAX + more; i++)
            strbuf_add_str(&field, ":a");
        strbuf_add_str(&field, "\r\nFrom: a\r\n");
        check_words(&verify(strbuf_str(&field), SLICE(BODY), &zone, 0).v[0], DKIM_PERMERROR,
                    more ? "more than 2000 names" : "no key", "names");
    }
    strbuf_free(&field);
}
END_TEST

/* The names in the sentence, of every length up to and over its room. */
START_TEST(test_names_in_words)
{
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    for (int n = 1; n < 400; n++) {
        struct strbuf header = STRBUF_INIT, edits = STRBUF_INIT;
        strbuf_add_str(&edits, "h=From:To:");
        for (int i = 0; i < n; i++)
            strbuf_add_char(&edits, 'x');
        strbuf_add_str(&edits, ":Subject:b:c:d");
        forge(&header, strbuf_str(&edits), ed25519, SLICE(HEADER), SLICE(BODY));
        strbuf_add_str(&header, "From: eve@example.com\r\n");
        struct dkim_verification found = verify(strbuf_str(&header), SLICE(BODY), &zone, 0);
        check_words(&found.v[0], DKIM_FAIL, n > 147 ? "signed are: From To ..." : "signed are: From To x", "names");
        strbuf_free(&header);
        strbuf_free(&edits);
    }
}
END_TEST

/* ---- no memory, no body
 * ----------------------------------------------------------------------------------------------------------- */

static ssize_t read_nothing(const void *ctx, uint64_t offset, void *buf, size_t n)
{
    (void)ctx, (void)buf, (void)n;
    return offset == 0 ? 1 : -1;
}

START_TEST(test_body_unreadable)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    struct field_list fields;
    struct dkim_verification found;
    const struct dkim_body_source source = {read_nothing, NULL};
    const struct lookup dns = {forge_query, &zone};
    forge(&header, "", ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    ck_assert_int_eq(dkim_fields_split(&mem, strbuf_slice(&header), &fields, NULL), 0);
    ck_assert_int_eq(dkim_verify(&mem, &fields, &source, &dns, 0, &found, NULL), 0);
    check_words(&found.v[0], DKIM_TEMPERROR, "body could not be read", "unreadable");
    strbuf_free(&header);
}
END_TEST

/* However little memory the arena has, the verdict is never another one, and never a pass by accident. */
START_TEST(test_no_memory)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"s1._domainkey.example.com", record_of(GOOD_ED, ed25519)}}, .n = 1};
    const struct lookup dns = {forge_query, &zone};
    struct forge_body text = {SLICE("changed\r\n")};
    const struct dkim_body_source source = {forge_read, &text};
    struct field_list fields;
    forge(&header, "i=a@example.com", ed25519, SLICE(HEADER), SLICE(BODY));
    strbuf_add_str(&header, HEADER);
    ck_assert_int_eq(dkim_fields_split(&mem, strbuf_slice(&header), &fields, NULL), 0);
    bool whole = false;
    for (size_t max = 1; !whole; max += 16) {
        struct arena little = ARENA_INIT(max);
        struct dkim_verification found;
        ck_assert_uint_lt(max, 100000);
        if (dkim_verify(&little, &fields, &source, &dns, 0, &found, NULL) == 0) {
            whole = found.v[0].result == DKIM_FAIL;
            ck_assert_msg(whole || found.v[0].result == DKIM_TEMPERROR, "%s", found.v[0].reason);
            ck_assert_ptr_nonnull(found.v[0].reason);
        }
        arena_free(&little);
    }
    strbuf_free(&header);
}
END_TEST

/* ---- the RFCs' own examples
 * ------------------------------------------------------------------------------------------------------- */

START_TEST(test_rfc8463)
{
    struct strbuf header = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"brisbane._domainkey.football.example.com", rfc8463_ed25519_record},
                                    {"test._domainkey.football.example.com", rfc8463_rsa_record}},
                              .n = 2};
    strbuf_addf(&header, "DKIM-Signature:%s%s\r\nDKIM-Signature:%s%s\r\n%s", rfc8463_ed25519_field, rfc8463_ed25519_b,
                rfc8463_rsa_field, rfc8463_rsa_b, rfc8463_header);
    struct dkim_verification found = verify(strbuf_str(&header), slice_of(rfc8463_body), &zone, 0);
    ck_assert_uint_eq(found.n, 2);
    check_words(&found.v[0], DKIM_PASS, "", "ed25519");
    check_words(&found.v[1], DKIM_PASS, "", "rsa");
    found = verify(strbuf_str(&header), SLICE("Hi.\r\n"), &zone, 0);
    check_words(&found.v[0], DKIM_FAIL, BODY_CHANGED, "ed25519");
    check_words(&found.v[1], DKIM_FAIL, BODY_CHANGED, "rsa");
    strbuf_free(&header);
}
END_TEST

/* RFC 6376 appendix A and the record of C, with one space in the body (erratum 3192) and folds of six (4926). */
static const char rfc6376_record[] =
    "v=DKIM1; "
    "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcT"
    "Nh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
static const char rfc6376_header[] = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
                                     "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
                                     "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
                                     "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                     "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
                                     "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
                                     "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
                                     "      4bmp/YzhwvcubU4=;\r\n"
                                     "Received: from client1.football.example.com  [192.0.2.1]\r\n"
                                     "      by submitserver.example.com with SUBMISSION;\r\n"
                                     "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n"
                                     "From: Joe SixPack <joe@football.example.com>\r\n"
                                     "To: Suzie Q <suzie@shopping.example.net>\r\n"
                                     "Subject: Is dinner ready?\r\n"
                                     "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
                                     "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";

START_TEST(test_rfc6376)
{
    struct forge_zone zone = {.v = {{"brisbane._domainkey.example.com", rfc6376_record}}, .n = 1};
    struct dkim_verification found =
        verify(rfc6376_header, SLICE("Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"), &zone, 0);
    ck_assert_uint_eq(found.n, 1);
    ck_assert_slice_eq(found.v[0].identity, "joe@football.example.com");
    check_words(&found.v[0], DKIM_PASS, "", "A.2");
}
END_TEST

/* RFC 8616 3: U-labels in d=, s= and i=, UTF-8 in i= and in the fields; asked for as A-labels. */
START_TEST(test_rfc8616)
{
    static const char header[] = "From: \xe6\x97\xa5@b\xc3\xbc"
                                 "cher.example\r\nTo: \xc3\xa9@x.example\r\nSubject: \xe6\x9c\xac\r\n";
    struct strbuf text = STRBUF_INIT;
    struct forge_zone zone = {.v = {{"xn--slectr-bva2i._domainkey.xn--bcher-kva.example", record_of(GOOD_ED, ed25519)}},
                              .n = 1};
    forge(&text,
          "d=B\xc3\xbc"
          "cher.example|s=s\xc3\xa9lect\xc3\xb6r|i=\xe6\x97\xa5@sub.b\xc3\xbc"
          "cher.example",
          ed25519, slice_of(header), SLICE(BODY));
    strbuf_add_str(&text, header);
    struct dkim_verification found = verify(strbuf_str(&text), SLICE(BODY), &zone, 0);
    ck_assert_msg(found.v[0].result == DKIM_PASS, "%s (%s)", found.v[0].reason, zone.asked);
    ck_assert_str_eq(found.v[0].domain, "xn--bcher-kva.example");
    ck_assert_slice_eq(found.v[0].identity, "\xe6\x97\xa5@sub.b\xc3\xbc"
                                            "cher.example");
    strbuf_free(&text);
}
END_TEST

START_TEST(test_result_names)
{
    ck_assert_str_eq(dkim_result_name(DKIM_NONE), "none");
    ck_assert_str_eq(dkim_result_name(DKIM_PASS), "pass");
    ck_assert_str_eq(dkim_result_name(DKIM_POLICY), "policy");
    ck_assert_str_eq(dkim_result_name(DKIM_NEUTRAL), "neutral");
    ck_assert_str_eq(dkim_result_name(DKIM_TEMPERROR), "temperror");
    ck_assert_str_eq(dkim_result_name(DKIM_PERMERROR), "permerror");
    ck_assert_str_eq(dkim_result_name(DKIM_FAIL), "fail");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dkim verification");
    TCase *tc = tcase_create("verify");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_tags, 0, (int)ARRAY_LEN(tag_rows));
    tcase_add_test(tc, test_what_is_told);
    tcase_add_loop_test(tc, test_records, 0, (int)ARRAY_LEN(record_rows));
    tcase_add_loop_test(tc, test_strict, 0, (int)ARRAY_LEN(strict_rows));
    tcase_add_loop_test(tc, test_bits, 0, (int)ARRAY_LEN(bits_rows));
    tcase_add_test(tc, test_odd_keys);
    tcase_add_loop_test(tc, test_changes, 0, (int)ARRAY_LEN(change_rows));
    tcase_add_test(tc, test_oversigned);
    tcase_add_loop_test(tc, test_bodies, 0, (int)ARRAY_LEN(bodies));
    tcase_add_test(tc, test_several);
    tcase_add_test(tc, test_signed_signature);
    tcase_add_loop_test(tc, test_split, 0, (int)ARRAY_LEN(split_rows));
    tcase_add_test(tc, test_too_many_fields);
    tcase_add_test(tc, test_too_many_names);
    tcase_add_test(tc, test_names_in_words);
    tcase_add_test(tc, test_body_unreadable);
    tcase_add_test(tc, test_no_memory);
    tcase_add_test(tc, test_rfc8463);
    tcase_add_test(tc, test_rfc6376);
    tcase_add_test(tc, test_rfc8616);
    tcase_add_test(tc, test_result_names);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
