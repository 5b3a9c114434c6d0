/* /metrics: the Prometheus text format, version 0.0.4.
 *
 * Counters begin with the process.  What stands in labels comes from the configuration or from a list here: there are never
 * more series than that. */
#include "admin.h"

#include <inttypes.h>
#include <string.h>

/* ---- the format ----------------------------------------------------------------------------------------- */

static void describe(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct strbuf *out, const char *name, const char *type, const char *help, int64_t value)
{
    describe(out, name, type, help);
    strbuf_addf(out, "%s %" PRId64 "\n", name, value);
}

static void counter(struct strbuf *out, const char *name, const char *help, uint64_t value)
{
    one(out, name, "counter", help, (int64_t)value);
}

static void gauge(struct strbuf *out, const char *name, const char *help, int64_t value)
{
    one(out, name, "gauge", help, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void add_label(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_str(out, before);
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            strbuf_add_char(out, '\\');
        if (*text == '\n')
            strbuf_add_str(out, "\\n");
        else
            strbuf_add_char(out, *text);
    }
    strbuf_add_char(out, '"');
}

/* ---- what goes in --------------------------------------------------------------------------------------- */

static void add_rejections(const struct admin_facts *f, struct strbuf *out)
{
    static const char name[] = "sendas_rejections_total";
    static const char *const reasons[SUBMISSION_SUBJECTS] = {"other",   "address",  "mailbox", "system",
                                                             "network", "protocol", "content", "policy"};
    describe(out, name, "counter",
             "Refusals sent to clients, by the subject of the enhanced status code (RFC 3463); without failed logins.");
    for (int permanent = 0; permanent <= 1; permanent++)
        for (size_t i = 0; i < SUBMISSION_SUBJECTS; i++)
            strbuf_addf(out, "%s{reason=\"%s\",permanent=\"%s\"} %" PRIu64 "\n", name, reasons[i],
                        permanent ? "yes" : "no", f->submission.rejected[permanent][i]);
}

static void add_connections(const struct admin_facts *f, struct strbuf *out)
{
    static const char name[] = "sendas_connections_total";

    describe(out, name, "counter", "Connections from clients, by listener, those refused at once too.");
    for (size_t i = 0; i < f->n_listeners; i++) {
        const struct listener_count *l = &f->listeners[i];
        bool v6 = strchr(l->address, ':') != NULL;
        strbuf_addf(out, "%s{listener=\"%s%s%s:%u\",tls=\"%s\"} %" PRIu64 "\n", name, v6 ? "[" : "", l->address,
                    v6 ? "]" : "", (unsigned)l->port, l->tls == CONFIG_TLS_IMPLICIT ? "implicit" : "starttls",
                    l->accepted);
    }
}

static void add_incoming(const struct admin_facts *f, struct strbuf *out)
{
    add_connections(f, out);
    gauge(out, "sendas_sessions", "Connections from clients that are open.", (int64_t)f->sessions);
    counter(out, "sendas_tls_handshake_failures_total", "TLS handshakes of clients that failed.", f->tls_failures);
    describe(out, "sendas_logins_total", "counter", "Logins, by result.");
    strbuf_addf(out, "sendas_logins_total{result=\"ok\"} %" PRIu64 "\n", f->submission.logins_ok);
    strbuf_addf(out, "sendas_logins_total{result=\"failed\"} %" PRIu64 "\n", f->submission.logins_failed);
    counter(out, "sendas_messages_accepted_total", "Messages of users that were accepted.", f->intake.accepted);
    counter(out, "sendas_messages_accepted_bytes_total", "Their size, as they leave.", f->intake.octets);
    add_rejections(f, out);
}

static void add_signing(const struct admin_facts *f, struct strbuf *out)
{
    describe(out, "sendas_signatures_total", "counter",
             "DKIM signatures of messages accepted and notices, by algorithm.");
    for (int i = 0; i < DKIM_ALGORITHMS; i++)
        strbuf_addf(out, "sendas_signatures_total{algorithm=\"%s\"} %" PRIu64 "\n",
                    dkim_algorithm_name((enum dkim_algorithm)i), f->intake.signatures[i]);
    counter(out, "sendas_signature_failures_total",
            "Messages refused because they could not be signed, or their signatures did not verify.",
            f->intake.sign_failures);
}

static void add_keys(const struct admin_facts *f, struct strbuf *out, const char *name, const char *help,
                     bool (*holds)(const struct key_state *k))
{
    if (f->n_keys == 0)
        return;
    describe(out, name, "gauge", help);
    for (size_t i = 0; i < f->n_keys; i++) {
        const struct key_state *k = &f->keys[i];
        strbuf_add_str(out, name);
        add_label(out, "{domain=\"", k->domain);
        add_label(out, ",selector=\"", k->selector);
        add_label(out, ",algorithm=\"", k->algorithm);
        strbuf_addf(out, "} %d\n", holds(k) ? 1 : 0);
    }
}

static bool signs(const struct key_state *k)
{
    return strcmp(k->state, "active") == 0;
}

static bool is_bad(const struct key_state *k)
{
    return k->bad;
}

static void add_outgoing(const struct admin_facts *f, struct strbuf *out)
{
    describe(out, "sendas_recipients_delivered_total", "counter", "Recipients whose server took the message, by TLS.");
    strbuf_addf(out, "sendas_recipients_delivered_total{tls=\"yes\"} %" PRIu64 "\n", f->delivery.delivered[1]);
    strbuf_addf(out, "sendas_recipients_delivered_total{tls=\"no\"} %" PRIu64 "\n", f->delivery.delivered[0]);
    counter(out, "sendas_recipients_deferred_total", "Attempts for a recipient that are made again later.",
            f->delivery.deferred);
    counter(out, "sendas_recipients_bounced_total", "Recipients that were refused for good.", f->delivery.bounced);
    counter(out, "sendas_recipients_expired_total", "Recipients given up after queue.lifetime.", f->delivery.expired);
    counter(out, "sendas_notices_total", "Bounces, delay warnings and receipts sent to our users.", f->intake.dsns);
    gauge(out, "sendas_delivery_connections", "Connections to other mail servers that are open.",
          (int64_t)f->deliveries);
}

static void add_queue(const struct admin_facts *f, struct strbuf *out)
{
    describe(out, "sendas_queue_messages", "gauge", "Messages in the queue.");
    strbuf_addf(out, "sendas_queue_messages{state=\"waiting\"} %zu\n", admin_waiting(f));
    strbuf_addf(out, "sendas_queue_messages{state=\"held\"} %zu\n", f->queue.held);
    gauge(out, "sendas_queue_oldest_message_age_seconds", "How long the oldest message that is not held has waited.",
          f->queue.oldest_age_ms / 1000);
    counter(out, "sendas_queue_commits_total", "Commits to the queue's file.", f->queue.commits);
}

static void add_state(const struct admin_facts *f, struct strbuf *out)
{
    static const char certificate[] = "sendas_certificate_expiry_timestamp_seconds";

    describe(out, "sendas_build_info", "gauge", "The version that runs.");
    add_label(out, "sendas_build_info{version=\"", f->version);
    strbuf_add_str(out, "} 1\n");
    gauge(out, "sendas_healthy", "Is mail accepted, as /healthz says?", f->ill == NULL ? 1 : 0);
    describe(out, certificate, "gauge", "When the certificate ends; 0 when there is none yet.");
    strbuf_add_str(out, certificate);
    add_label(out, "{name=\"", f->hostname);
    strbuf_addf(out, "} %" PRId64 "\n", f->certificate_end_s);
    gauge(out, "sendas_config_last_reload_successful", "Was the last reload taken?", f->reload_error[0] == '\0');
    gauge(out, "sendas_config_last_reload_success_timestamp_seconds", "When the present settings were loaded.",
          f->reloaded_s);
}

static void add_process(const struct admin_facts *f, struct strbuf *out)
{
    gauge(out, "process_start_time_seconds", "When the process started, since 1970.", f->started_s);
    gauge(out, "process_resident_memory_bytes", "Resident memory.", (int64_t)f->resident_octets);
    describe(out, "process_cpu_seconds_total", "counter", "CPU time spent, user and system.");
    strbuf_addf(out, "process_cpu_seconds_total %.2f\n", f->cpu_s);
}

void admin_metrics(const struct admin_facts *f, struct strbuf *out)
{
    add_state(f, out);
    add_incoming(f, out);
    add_signing(f, out);
    add_keys(f, out, "sendas_dkim_key_signing", "Does the DKIM key sign?", signs);
    add_keys(f, out, "sendas_dkim_key_record_bad", "Is its DNS record surely useless at some receivers?", is_bad);
    add_outgoing(f, out);
    add_queue(f, out);
    counter(out, "sendas_dns_queries_total", "DNS queries.", f->dns.queries);
    counter(out, "sendas_dns_failures_total", "DNS queries without an answer, or with a bogus one.", f->dns.failures);
    add_process(f, out);
}
