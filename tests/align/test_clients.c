/* The headers that mail programs in use submit, whole: each is read, and goes out with an envelope that aligns. */
#include "testing.h"

#include "sendas/align.h"

static bool matches(const char *pattern, struct slice local, struct slice domain)
{
    struct slice want;
    struct slice want_domain = slice_cut(slice_of(pattern), '@', &want);
    return slice_eq_icase(want, local) && domain_eq(want_domain, domain);
}

static const char *return_path_of(void *ctx, const char *domain)
{
    return strcmp(domain, ctx) == 0 ? "" : NULL;
}

static const struct {
    const char *client;
    const char *mail_from;
    struct slice header;
} client_rows[] = {
    {"Gmail, Send mail as, with the account's address in MAIL FROM", "ann.example@gmail.com",
     SLICE("Received: by mail-ej1-f54.google.com with SMTP id a640c23a62f3a-b2e0cfdaaaaso1 for <bob@example.net>;\r\n"
           "        Sat, 21 Nov 2026 02:00:00 -0800 (PST)\r\n"
           "X-Gm-Message-State: AOJu0YzExample=\r\n"
           "X-Received: by 2002:a17:907:d88:b0:b2e:6b3b:fbf4 with SMTP id\r\n"
           " a640c23a62f3a-b50ac0c0c9fmr1 ; Sat, 21 Nov 2026 02:00:00 -0800 (PST)\r\n"
           "MIME-Version: 1.0\r\n"
           "References: <a1@example.net> <a2@example.net>\r\n"
           "In-Reply-To: <a2@example.net>\r\n"
           "From: Ann Example <me@example.com>\r\n"
           "Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "X-Gm-Features: AWmQ_bkExample\r\n"
           "Message-ID: <CAExample+x=y_z-1@mail.gmail.com>\r\n"
           "Subject: Re: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"
           "To: Bob <bob@example.net>\r\n"
           "Content-Type: multipart/alternative; boundary=\"0000000000001b2c3d\"\r\n")},
    {"Gmail, a name with a full stop and one beyond ASCII", "me@example.com",
     SLICE("MIME-Version: 1.0\r\n"
           "From: =?UTF-8?B?QS4gRXhhbXBsZSDigJMgQsO8cm8=?= <me@example.com>\r\n"
           "Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "Message-ID: <CAExample2@mail.gmail.com>\r\n"
           "Subject: x\r\n"
           "To: undisclosed-recipients:;\r\n"
           "Bcc: bob@example.net\r\n"
           "Content-Type: text/plain; charset=\"UTF-8\"\r\n")},
    {"Thunderbird", "me@example.com",
     SLICE("Message-ID: <5f1d2c3b-1111-2222-3333-444455556666@example.com>\r\n"
           "Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "MIME-Version: 1.0\r\n"
           "User-Agent: Mozilla Thunderbird\r\n"
           "Content-Language: en-US\r\n"
           "To: Bob <bob@example.net>, =?UTF-8?Q?J=C3=B6rg?= <joerg@example.net>\r\n"
           "From: \"Ann Q. Example\" <me@example.com>\r\n"
           "Autocrypt: addr=me@example.com; keydata=\r\n"
           " xsDNBGExample\r\n"
           " =abcd\r\n"
           "Subject: test\r\n"
           "Content-Type: text/plain; charset=UTF-8; format=flowed\r\n"
           "Content-Transfer-Encoding: 7bit\r\n")},
    {"K-9 Mail", "me@example.com",
     SLICE("Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "From: Ann Example <me@example.com>\r\n"
           "To: bob@example.net\r\n"
           "Subject: test\r\n"
           "User-Agent: K-9 Mail for Android\r\n"
           "In-Reply-To: <a1@example.net>\r\n"
           "References: <a1@example.net>\r\n"
           "Message-ID: <0B1C2D3E-4F50-6172-8394-A5B6C7D8E9F0@example.com>\r\n"
           "MIME-Version: 1.0\r\n"
           "Content-Type: multipart/alternative; boundary=----1A2B3C\r\n"
           "Content-Transfer-Encoding: 7bit\r\n")},
    {"Apple Mail", "me@example.com",
     SLICE("From: Ann Example <me@example.com>\r\n"
           "Content-Type: text/plain;\r\n"
           "\tcharset=us-ascii\r\n"
           "Content-Transfer-Encoding: 7bit\r\n"
           "Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3776.700.51\\))\r\n"
           "Subject: test\r\n"
           "Message-Id: <1A2B3C4D-0000-1111-2222-333344445555@example.com>\r\n"
           "Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "To: Bob <bob@example.net>\r\n"
           "X-Mailer: Apple Mail (2.3776.700.51)\r\n")},
    {"Outlook", "me@example.com",
     SLICE("From: \"Example, Ann\" <me@example.com>\r\n"
           "To: <bob@example.net>\r\n"
           "Subject: test\r\n"
           "Date: Sat, 21 Nov 2026 11:00:00 +0100\r\n"
           "Message-ID: <000001dc5b00$1a2b3c4d$4e5f6071$@example.com>\r\n"
           "MIME-Version: 1.0\r\n"
           "Content-Type: multipart/alternative;\r\n"
           "\tboundary=\"----=_NextPart_000_0001_01DC5B08.7C8D9EA0\"\r\n"
           "X-Mailer: Microsoft Outlook 16.0\r\n"
           "Thread-Index: AdxbExample==\r\n"
           "Content-Language: de\r\n")},
    {"Outlook, an address as display name", "me@example.com",
     SLICE("From: \"me@example.com\" <me@example.com>\r\nTo: \"bob@example.net\" <bob@example.net>\r\n")},
    {"Outlook, on behalf of", "me@example.com",
     SLICE("From: \"Sales\" <sales@example.com>\r\nSender: \"Ann Example\" <me@example.com>\r\nTo: "
           "<bob@example.net>\r\n")},
    {"mutt, s-nail, git send-email", "root@vm",
     SLICE("Date: Sat, 21 Nov 2026 11:00:00 +0100\r\nFrom: Ann Example <me@example.com>\r\nTo: bob@example.net\r\n"
           "Message-Id: <20261121100000.1234-1-me@example.com>\r\nX-Mailer: git-send-email 2.39.5\r\n")},
    {"sendmail -t of old, name in a comment", "me@example.com",
     SLICE("To: bob@example.net\r\nFrom: me@example.com (Ann Example)\r\nSubject: cron <root@vm>\r\n")},
    {"swaks, curl, smtplib", "me@example.com",
     SLICE("Date: Sat, 21 Nov 2026 11:00:00 +0100\r\nTo: bob@example.net\r\nFrom: me@example.com\r\n")},
};

START_TEST(test_clients)
{
    static const char *const send_as[] = {"me@example.com", "sales@example.com"};
    struct arena a = ARENA_INIT(1024 * 1024);
    struct field_list fields;
    struct align_result r;
    struct smtp_verdict v = {0};
    struct err err = {0};
    static char ours[] = "example.com";
    ck_assert_msg(fields_parse(&a, client_rows[_i].header, &fields, &err) == 0, "%s: %s", client_rows[_i].client,
                  err.text);
    struct align_request req = {.fields = &fields,
                                .send_as = send_as,
                                .n_send_as = ARRAY_LEN(send_as),
                                .mail_from = slice_of(client_rows[_i].mail_from),
                                .pattern_matches = matches,
                                .return_path_of = return_path_of,
                                .ctx = ours};
    int rc = align_check(&a, &req, &r, &v);
    ck_assert_msg(rc == 0, "%s: %d %s", client_rows[_i].client, v.code, v.text);
    ck_assert_str_eq(r.domain, "example.com");
    ck_assert_slice_eq(r.sender, "me@example.com");
    arena_free(&a);
}
END_TEST

static Suite *clients_suite(void)
{
    Suite *s = suite_create("align/clients");
    TCase *tc = tcase_create("clients");
    tcase_add_loop_test(tc, test_clients, 0, ARRAY_LEN(client_rows));
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(clients_suite)
