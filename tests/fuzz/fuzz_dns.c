/* DNS messages and rdata from a hostile server: the first octet picks the type that was asked for. */
#include "../../src/dns/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A,  DNS_NS,  DNS_CNAME, DNS_SOA, DNS_PTR,
                                          DNS_MX, DNS_TXT, DNS_AAAA,  DNS_TLSA};
    struct arena memory = ARENA_INIT(DNS_ANSWER_MEMORY_MAX);
    struct dns_record record;
    struct dns_answer answer;

    if (size == 0)
        return 0;
    enum dns_type type = types[data[0] % ARRAY_LEN(types)];
    struct slice bytes = slice_from(data + 1, size - 1);
    dns_record_decode(&memory, type, bytes, &record);
    if (dns_packet_read(&memory, bytes, type, &answer, NULL) == 0)
        for (size_t i = 0; i < answer.n; i++)
            if (type != DNS_TXT && strlen(answer.records[i].text) != answer.records[i].text_len)
                abort();
    dns_packet_referral(&memory, bytes);
    arena_free(&memory);
    return 0;
}
