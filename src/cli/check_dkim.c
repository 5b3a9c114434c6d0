/* Do receivers find each key, and is it ours?  A message is signed with the private key and verified as a receiver
 * would: the two share no code, so what passes here passes there. */
#include "check.h"

#include "sendas/dkim.h"
#include "sendas/dns.h"
#include "sendas/keys.h"

#include <string.h>

/* What a receiver says of a message signed by `key`.  The answer lives in the run's arena; -1 without memory. */
static int try_key(struct check_run *r, const struct dkim_key *key, struct dkim_verification *ret)
{
    struct strbuf header = STRBUF_INIT, text = STRBUF_INIT;
    struct spool *body = spool_new("/tmp");
    struct dkim_body_hash *hash = dkim_body_hash_new();
    struct field_list fields = {0};
    unsigned char digest[DKIM_HASH_SIZE];
    struct err err;
    *ret = (struct dkim_verification){0};
    strbuf_addf(&text, "From: postmaster@%s\r\nSubject: check\r\n", dkim_key_domain(key));
    int status = body != NULL && hash != NULL && !text.failed ? 0 : -1;
    if (status == 0)
        status = dkim_body_hash_finish(hash, digest);
    if (status == 0)
        status = dkim_fields_split(&r->memory, strbuf_slice(&text), &fields, &err);
    if (status == 0)
        status = dkim_sign(key, &fields, digest, r->now, &header, &err);
    strbuf_add_slice(&header, strbuf_slice(&text));
    struct slice whole = arena_copy(&r->memory, strbuf_slice(&header));
    if (status == 0 && !header.failed && whole.p != NULL)
        status = dkim_fields_split(&r->memory, whole, &fields, &err);
    else
        status = -1;
    if (status == 0) {
        struct dkim_body_source source = dkim_body_spool(body);
        status = dkim_verify(&r->memory, &fields, &source, &r->world->dns, r->now, ret, &err);
    }
    strbuf_free(&header);
    strbuf_free(&text);
    dkim_body_hash_free(&hash);
    spool_free(&body);
    return status < 0 || ret->n == 0 ? -1 : 0;
}

static const char *expected_record(struct check_run *r, const struct dkim_key *key)
{
    struct strbuf record = STRBUF_INIT;
    dkim_key_record(key, &record);
    r->failed = r->failed || record.failed;
    const char *ret = check_text(r, "%s", strbuf_str(&record));
    strbuf_free(&record);
    return ret;
}

static const char *list_records(struct check_run *r, const struct lookup_answer *a)
{
    struct strbuf list = STRBUF_INIT;
    for (size_t i = 0; i < a->n; i++) {
        check_join(&list);
        strbuf_add_slice(&list, a->records[i].text);
    }
    const char *ret = check_text(r, "%.*s", SLICE_ARG(strbuf_slice(&list)));
    r->failed = r->failed || list.failed;
    strbuf_free(&list);
    return ret;
}

static void judge_signature(struct check_run *r, struct check_item *item, const struct dkim_signature *s,
                            const char *name, const char *record)
{
    item->found = record;
    if (s->result == DKIM_TEMPERROR) {
        check_no_answer(r, item, name, DNS_TXT);
    } else if (s->result != DKIM_PASS) {
        item->status = CHECK_FAIL;
        item->found = s->result == DKIM_FAIL ? check_text(r, "another key: %s", record)
                                             : check_text(r, "%s (%s)", record, s->reason);
        item->fix = check_text(r, "replace the TXT record at %s by: %s", name, item->expected);
    } else if (s->testing) {
        item->status = CHECK_WARN;
        item->fix = check_text(r, "take t=y out of the record at %s: receivers treat its mail as unsigned", name);
    }
}

static void judge_answer(struct check_run *r, struct check_item *item, const struct dkim_key *key, const char *name)
{
    struct dkim_verification v;
    struct lookup_answer a = check_ask(r, name, NULL, DNS_TXT);
    item->expected = expected_record(r, key);
    if (a.status == LOOKUP_TEMPFAIL) {
        check_no_answer(r, item, name, DNS_TXT);
    } else if (a.n == 0) {
        item->status = CHECK_FAIL;
        item->found = check_text(r, "no TXT record at %s", name);
        item->fix = check_text(r, "publish this TXT record at %s: %s", name, item->expected);
    } else if (a.n > 1) { /* RFC 6376 3.6.2.2: then the results are undefined */
        item->status = CHECK_FAIL;
        item->found = check_text(r, "%zu TXT records: %s", a.n, list_records(r, &a));
        item->fix = check_text(r, "leave only this TXT record at %s: %s", name, item->expected);
    } else if (try_key(r, key, &v) < 0) {
        r->failed = true;
    } else {
        judge_signature(r, item, &v.v[0], name, list_records(r, &a));
    }
}

/* ---- every authoritative server -------------------------------------------------------------- */

static bool has_key(const struct dkim_key *key, struct lookup_answer answer)
{
    struct err why;
    if (answer.n != 1)
        return false;
    enum dkim_published found = dkim_key_published(key, answer.records[0].text, &why);
    return found == DKIM_PUBLISHED_RIGHT || found == DKIM_PUBLISHED_TESTING;
}

/* Who shows the key's record, and who does not. */
struct shown {
    size_t n_having, n_lacking;
    struct strbuf found, lacking, having; /* what the latter have; their names; the names of the former */
};

static void look_at_servers(const struct dkim_key *key, const struct check_authorities *servers, struct shown *ret)
{
    *ret = (struct shown){.found = STRBUF_INIT};
    for (size_t i = 0; i < servers->n; i++) {
        const struct check_authority *s = &servers->v[i];
        if (s->silent != NULL)
            continue; /* see dns */
        bool good = has_key(key, s->answer);
        struct strbuf *list = good ? &ret->having : &ret->lacking;
        strbuf_addf(list, "%s%s", list->n > 0 ? ", " : "", s->server);
        ret->n_having += good;
        ret->n_lacking += !good;
        if (good)
            continue;
        check_join(&ret->found);
        strbuf_addf(&ret->found, "%s %s", s->server,
                    s->answer.n == 0  ? "does not have it"
                    : s->answer.n > 1 ? "has several records"
                                      : "has another one");
    }
}

static void shown_free(struct check_run *r, struct shown *s)
{
    r->failed = r->failed || s->found.failed || s->lacking.failed || s->having.failed;
    strbuf_free(&s->found);
    strbuf_free(&s->lacking);
    strbuf_free(&s->having);
}

/* A receiver asks any of them: one that has it not yet is enough to break some mail. */
static void judge_servers(struct check_run *r, struct check_item *item, const struct dkim_key *key,
                          const struct check_authorities *servers)
{
    struct shown shown;
    look_at_servers(key, servers, &shown);
    if (shown.n_having > 0 && shown.n_lacking > 0) {
        item->status = CHECK_FAIL;
        item->unknown = false;
        item->found = check_text(r, "%s; %s shows it", strbuf_str(&shown.found), strbuf_str(&shown.having));
        item->fix =
            check_text(r,
                       "wait until all name servers have the record; if it stays so after an hour, have the DNS "
                       "provider see why %s lags behind",
                       strbuf_str(&shown.lacking));
    }
    shown_free(r, &shown);
}

/* ---- keys that do not sign ------------------------------------------------------------------- */

/* Only the servers are asked: a resolver on the way would remember that there is no record yet. */
static void judge_waiting(struct check_run *r, struct check_item *item, const struct dkim_key *key, const char *name)
{
    struct check_authorities servers;
    struct shown shown;
    item->minor = true;
    item->expected = expected_record(r, key);
    if (!r->world->authorities(r->world->ctx, name, DNS_TXT, &servers))
        return; /* this runs again */
    look_at_servers(key, &servers, &shown);
    item->found = "every name server shows it; sendas signs with it from its next look on";
    if (shown.n_lacking > 0) {
        item->status = CHECK_WARN;
        item->found = check_text(r, "it waits for its record, and does not sign: %s", strbuf_str(&shown.found));
        item->fix = check_text(r, "publish this TXT record at %s: %s", name, item->expected);
    } else if (shown.n_having == 0 || servers.reason[0] != '\0') {
        check_no_answer(r, item, name, DNS_TXT);
    }
    shown_free(r, &shown);
}

/* What it has signed may be under way; its file need not be there. */
static void judge_retired(struct check_run *r, struct check_item *item, const struct config_key *k, const char *name)
{
    struct lookup_answer a = check_ask(r, name, NULL, DNS_TXT);
    char until[16] = "";
    int64_t day;
    bool known = keys_kept_until(k, &day);
    item->minor = true;
    if (known)
        keys_day_text(until, day);
    bool kept = known && r->now < day * KEYS_DAY_S;
    item->expected =
        kept ? check_text(r, "a retired key's record, until %s", until) : "no record of a retired key any more";
    item->found = check_text(r, "retired; its record is %s", a.n > 0 ? "still there" : "gone");
    if (a.status == LOOKUP_TEMPFAIL) {
        check_no_answer(r, item, name, DNS_TXT);
    } else if (kept && a.n == 0) {
        item->status = CHECK_WARN;
        item->fix = check_text(r, "publish the TXT record at %s again until %s: mail that the key signed is under way",
                               name, until);
    } else if (!kept && a.n > 0) {
        item->note = check_text(r, "the TXT record at %s can be removed%s%s", name, known ? ", since " : "", until);
    }
}

/* ---- the check ------------------------------------------------------------------------------- */

/* Who else may read it is for `files` to say. */
static int load_key(const struct config_key *k, const char *domain, struct dkim_key **ret, struct err *err)
{
    enum { KEY_FILE_MAX = 64 * 1024 };
    struct strbuf pem = STRBUF_INIT;
    int status = file_read(k->path, KEY_FILE_MAX, false, &pem, err);
    if (status == 0)
        status = dkim_key_parse(strbuf_slice(&pem), k->path, domain, k->selector, ret, err);
    if (pem.p != NULL)
        wipe(pem.p, pem.cap);
    strbuf_free(&pem);
    return status;
}

/* A waiting key that was shown by every server once signs as an active one does. */
static bool has_signed(struct check_run *r, const struct dkim_key *key)
{
    struct strbuf path = STRBUF_INIT;
    struct keys_memory memory = {NULL, 0, 0};
    struct err err;
    keys_memory_path(r->config->queue.path, &path);
    bool ret = false;
    if (!path.failed && keys_memory_load(strbuf_str(&path), &memory, &err) == 0) {
        const struct keys_row *row = keys_memory_find(&memory, key);
        ret = row != NULL && row->published_s > 0;
    }
    keys_memory_free(&memory);
    strbuf_free(&path);
    return ret;
}

static void judge_active(struct check_run *r, struct check_item *item, const struct dkim_key *key, const char *name)
{
    struct check_authorities servers;
    bool known = r->world->authorities(r->world->ctx, name, DNS_TXT, &servers);
    item->minor = dkim_key_algorithm(key) != DKIM_RSA_SHA256;
    judge_answer(r, item, key, name);
    if (known)
        judge_servers(r, item, key, &servers);
}

void check_dkim(struct check_run *r, const struct config_domain *domain, const struct config_key *k)
{
    struct dkim_key *key = NULL;
    struct err err;
    struct check_item *item = check_add(r, check_text(r, "dkim:%s", k->selector), domain->name, CHECK_PASS);
    const char *name = check_text(r, "%s._domainkey.%s", k->selector, domain->name);
    if (k->state == CONFIG_KEY_RETIRED) {
        judge_retired(r, item, k, name);
    } else if (load_key(k, domain->name, &key, &err) < 0) {
        item->status = CHECK_FAIL;
        item->found = check_text(r, "%s", err.text);
        item->expected = "a private key that can be read";
        item->fix = check_text(r, "run this as root; if the key is gone: sendas key new %s", domain->name);
    } else if (k->state == CONFIG_KEY_WAITING && !has_signed(r, key)) {
        judge_waiting(r, item, key, name);
    } else {
        judge_active(r, item, key, name);
    }
    dkim_key_free(&key);
}
