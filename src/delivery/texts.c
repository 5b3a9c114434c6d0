/* delivery/texts.c - the words of DSNs.  Each text stands once, its languages one below the other; a language more is a
 * line more in each.
 *
 * How they are written: first whose fault it is, then what happened, then what to do now, as steps.  Short, exact,
 * kind; no jargon before the part that only an operator reads. */
#include "texts.h"

#define EN(text) [LANGUAGE_ENGLISH] = text
#define JA(text) [LANGUAGE_JAPANESE] = text

struct text {
    const char *in[LANGUAGES];
};

/* ---- the frame ------------------------------------------------------------------------------- */

static const struct text texts[TEXTS] = {
    [TEXT_SUBJECT_FAILED] = {{EN("Not delivered: "), JA("配信できませんでした: ")}},
    [TEXT_SUBJECT_DELAYED] = {{EN("Delayed: "), JA("配信が遅れています: ")}},
    [TEXT_SUBJECT_RELAYED] = {{EN("Passed on: "), JA("相手のサーバーに渡しました: ")}},
    [TEXT_NO_SUBJECT] = {{EN("your message to {to}"), JA("{to} 宛のメール")}},
    [TEXT_FAILED] = {{EN("Your message was not delivered."), JA("メールを配信できませんでした。")}},
    [TEXT_DELAYED] = {{
        EN("Your message has not been delivered yet.  You need not do anything: it is\n"
           "being tried until {until}, and you will be told if that fails."),
        JA("メールはまだ配信できていません。何もする必要はありません。{until}\n"
           "まで自動的に再送を続け、それでも届かないときはお知らせします。"),
    }},
    [TEXT_RELAYED] = {{
        EN("Your message was handed to the recipient's mail server.  You had asked to\n"
           "be told.  That server does not confirm deliveries, so this is the last\n"
           "that you hear of it unless it fails there."),
        JA("ご依頼の配信通知です。メールを宛先のメールサーバーに渡しました。\n"
           "そのサーバーは配信の確認に対応していないため、この先で失敗しない限り、\n"
           "これ以上の通知はありません。"),
    }},
    [TEXT_TO] = {{EN("To:      "), JA("宛先: ")}},
    [TEXT_SUBJECT] = {{EN("Subject: "), JA("件名: ")}},
    [TEXT_EXPIRED] = {{
        EN("It was tried from {since} until {now},\n"
           "without success.  What stood in the way last:"),
        JA("{since} から {now} まで再送を続けましたが、\n"
           "届きませんでした。最後の原因は次のとおりです。"),
    }},
    [TEXT_WHAT_TO_DO] = {{EN("What to do now:"), JA("これからどうすればよいか:")}},
    [TEXT_OPERATOR_MAY] = {{EN("What can be done meanwhile:"), JA("その間にできること:")}},
    [TEXT_SAID] = {{EN("The server {mx} said:"), JA("サーバー {mx} の応答:")}},
    [TEXT_SAID_ABOUT] = {{EN("The server {mx} said about {to}:"), JA("{to} についてのサーバー {mx} の応答:")}},
    [TEXT_DETAILS] = {{EN("In detail:"), JA("詳細:")}},
    [TEXT_DETAILS_ABOUT] = {{EN("In detail about {to}:"), JA("{to} についての詳細:")}},
    [TEXT_MORE] = {{
        EN("The answers about the others stand in the attached report."),
        JA("ほかの宛先についての応答は、添付のレポートにあります。"),
    }},
    [TEXT_FOOT_FAILED] = {{
        EN("Sent by the mail server {host}.  It took your message\n"
           "at {since} and will not try again."),
        JA("この通知は {host} から送られました。\n"
           "メールを {since} に受け付け、再送は行いません。"),
    }},
    [TEXT_FOOT_DELAYED] = {{
        EN("Sent by the mail server {host}.  It took your message\n"
           "at {since} and goes on trying."),
        JA("この通知は {host} から送られました。\n"
           "メールを {since} に受け付け、再送を続けています。"),
    }},
    [TEXT_FOOT_RELAYED] = {{
        EN("Sent by the mail server {host}.  It took your message\n"
           "at {since}."),
        JA("この通知は {host} から送られました。\n"
           "メールを {since} に受け付けました。"),
    }},
    [TEXT_HEADER_ATTACHED] = {{EN("The header of your message is attached."),
                               JA("元のメールのヘッダーを添付します。")}},
    [TEXT_MESSAGE_ATTACHED] = {{EN("Your message is attached."), JA("元のメールを添付します。")}},
    [TEXT_OPERATOR] = {{EN("Operators see more with: sendas trace {id}"), JA("管理者向け: sendas trace {id}")}},
};

const char *text_of(enum text_id id, enum language language)
{
    return texts[id].in[language];
}

/* ---- the advices ----------------------------------------------------------------------------- */

static const struct advice_text {
    bool ours; /* the sender's side can remove the cause */
    struct text why, what;
} advices[ADVICES] = {
    [ADVICE_REFUSED] = {false,
                        {{EN("The recipient's server refuses the message."),
                          JA("宛先のサーバーがメールを拒否しました。")}},
                        {{EN("Its own words below say why.  If they do not help, ask the person in\n"
                             "another way to show them to whoever runs that server."),
                          JA("理由は下の応答にあります。わからないときは、別の方法で相手に連絡し、\n"
                             "この応答を相手側の管理者に見せるよう頼んでください。")}}},
    [ADVICE_NOT_NOW] = {false,
                        {{EN("The recipient's server could not take the message."),
                          JA("宛先のサーバーがメールを受け取れませんでした。")}},
                        {{EN("It is not your fault.  Send the message again later, or reach the person\n"
                             "in another way."),
                          JA("あなたのせいではありません。後でもう一度送るか、別の方法で相手に連絡して\n"
                             "ください。")}}},

    /* the address */
    [ADVICE_NO_MAILBOX] = {false,
                           {{EN("The address does not exist."), JA("宛先のアドレスは存在しません。")}},
                           {{EN("Check it for typing errors and send the message again.  If it is spelled\n"
                                "right, ask the person for the present address in another way."),
                             JA("綴りを確かめて、もう一度送ってください。綴りが正しいときは、現在の\n"
                                "アドレスを別の方法で相手に尋ねてください。")}}},
    [ADVICE_MAILBOX_CLOSED] = {false,
                               {{EN("The recipient's mailbox has been closed or disabled."),
                                 JA("宛先のメールボックスは停止されています。")}},
                               {{EN("Only its owner can have it opened again.  Reach the person in another way."),
                                 JA("再開できるのは持ち主だけです。別の方法で相手に連絡してください。")}}},
    [ADVICE_MAILBOX_FULL] = {false,
                             {{EN("The recipient's mailbox is full."), JA("宛先のメールボックスがいっぱいです。")}},
                             {{EN("Tell the person so in another way, and send the message again when there\n"
                                  "is room."),
                               JA("そのことを別の方法で相手に伝え、空きができてからもう一度送ってください。")}}},
    [ADVICE_MAILBOX_FLOODED] = {false,
                                {{EN("The recipient gets more mail at the moment than the provider lets in."),
                                  JA("宛先には今、受け入れの限度を超える量のメールが届いています。")}},
                                {{EN("It is not your fault.  Send the message again in a few hours."),
                                  JA("あなたのせいではありません。数時間たってからもう一度送ってください。")}}},
    [ADVICE_NOT_IN_DIRECTORY] = {false,
                                 {{EN("The address does not exist at the recipient's organisation, or it takes no\n"
                                      "mail from outside (Microsoft 365 says only that access is denied)."),
                                   JA("宛先の組織にこのアドレスは存在しないか、外部からのメールを受け取らない\n"
                                      "設定です (Microsoft 365 は「アクセス拒否」とだけ答えています)。")}},
                                 {{EN("Check the address for typing errors and send the message again.  If it is\n"
                                      "right, ask the person to show this message to their administrator."),
                                   JA("綴りを確かめて、もう一度送ってください。綴りが正しいときは、この通知を\n"
                                      "相手側の管理者に見せるよう頼んでください。")}}},
    [ADVICE_BAD_ADDRESS] = {false,
                            {{EN("What you gave as the recipient is not a valid address."),
                              JA("宛先がメールアドレスとして正しくありません。")}},
                            {{EN("Correct it and send the message again."),
                              JA("アドレスを直して、もう一度送ってください。")}}},
    [ADVICE_NO_DOMAIN] = {false,
                          {{EN("The address is wrong: there is no domain of the name behind the @."),
                            JA("アドレスの誤りです。@ より後ろのドメインは存在しません。")}},
                          {{EN("Check it for typing errors and send the message again."),
                            JA("綴りを確かめて、もう一度送ってください。")}}},
    [ADVICE_NULL_MX] = {false,
                        {{EN("The recipient's domain takes no mail at all, and says so in its DNS."),
                          JA("宛先のドメインはメールを一切受け取らないと DNS で宣言しています。")}},
                        {{EN("Check the part behind the @.  If it is right, ask the person for an address\n"
                             "at another domain."),
                          JA("@ より後ろの綴りを確かめてください。正しいときは、別のドメインのアドレスを\n"
                             "相手に尋ねてください。")}}},
    [ADVICE_NO_MAIL_HOST] = {false,
                             {{EN("The recipient's domain has no mail server that can be reached: its DNS\n"
                                  "records are wrong."),
                               JA("宛先のドメインの DNS 設定に誤りがあり、届けられるメールサーバーが\n"
                                  "ありません。")}},
                             {{EN("Check the part behind the @.  If it is right, tell the person in another\n"
                                  "way: nobody can write to that domain until its records are corrected."),
                               JA("@ より後ろの綴りを確かめてください。正しいときは、設定が直るまで誰からも\n"
                                  "メールが届かないことを、別の方法で相手に伝えてください。")}}},
    [ADVICE_LOOP] = {false,
                     {{EN("The message runs in a circle: a forwarding or an MX record on the\n"
                          "recipient's side leads back to where it came from."),
                       JA("宛先側の転送または MX の設定により、メールが同じ所を回っています。")}},
                     {{EN("Only the recipient's side can mend that.  Tell the person in another way."),
                       JA("直せるのは宛先側だけです。別の方法で相手に伝えてください。")}}},
    [ADVICE_RELAY_DENIED] = {false,
                             {{EN("The server that the recipient's domain names for its mail says that it is\n"
                                  "not in charge of that address."),
                               JA("宛先のドメインが指定しているメールサーバーが、このアドレスの担当ではないと\n"
                                  "答えています。")}},
                             {{EN("Check the part behind the @.  If it is right, tell the person in another\n"
                                  "way: the domain's MX record or its mail server is set up wrong."),
                               JA("@ より後ろの綴りを確かめてください。正しいときは、MX レコードかサーバーの\n"
                                  "設定に誤りがあることを、別の方法で相手に伝えてください。")}}},
    [ADVICE_RESTRICTED] = {false,
                           {{EN("The recipient takes mail only from certain senders, and you are not one."),
                             JA("宛先は許可した送信者からのメールだけを受け取り、あなたはまだ許可されて\n"
                                "いません。")}},
                           {{EN("Ask the person, or whoever looks after the group or list, to allow your\n"
                                "address."),
                             JA("相手、またはグループやメーリングリストの管理者に、あなたのアドレスの許可を\n"
                                "頼んでください。")}}},

    /* the message */
    [ADVICE_TOO_LARGE] = {false,
                          {{EN("The message is larger than the recipient's server allows."),
                            JA("メールが宛先のサーバーの上限を超える大きさです。")}},
                          {{EN("Send it without the attachments: put the files on the web and send the\n"
                               "link, or send them in several messages."),
                            JA("添付ファイルを外して送ってください。ファイルはウェブに置いてリンクを送るか、\n"
                               "何通かに分けて送ってください。")}}},
    [ADVICE_CONTENT] = {false,
                        {{EN("The recipient's server refuses something in the message: a kind of\n"
                             "attachment that can carry a virus, or a link."),
                          JA("宛先のサーバーが、メールの中の添付ファイルかリンクを危険とみて拒否しました。")}},
                        {{EN("Send it again without that attachment or link.  Files can go by a link to\n"
                             "a storage service instead."),
                          JA("その添付ファイルやリンクを除いて、もう一度送ってください。ファイルは\n"
                             "ストレージサービスのリンクで渡せます。")}}},
    [ADVICE_FORMAT] = {false,
                       {{EN("The message is at fault: the recipient's server says that its form breaks\n"
                            "the rules for mail."),
                         JA("メールの形式が規則に合わないと、宛先のサーバーが答えています。")}},
                       {{EN("Write it anew, best as plain text or with another mail program, and send\n"
                            "it again."),
                         JA("新しく書き直して (できればテキスト形式か別のメールソフトで) もう一度送って\n"
                            "ください。")}}},
    [ADVICE_SPAM] = {false,
                     {{EN("The recipient's server takes the message for spam."),
                       JA("宛先のサーバーがメールを迷惑メールと判断しました。")}},
                     {{EN("Reach the person in another way and ask to have your address allowed.  A\n"
                          "message with fewer links and more words of your own may pass.  Operators:\n"
                          "`sendas check {from}` shows what makes receivers suspicious."),
                       JA("別の方法で相手に連絡し、あなたのアドレスの許可を頼んでください。リンクを\n"
                          "減らし、自分の言葉で書くと通ることがあります。管理者向け:\n"
                          "`sendas check {from}` で疑われる原因を調べられます。")}}},
    [ADVICE_SMTPUTF8] = {false,
                         {{EN("The recipient's server is too old for addresses with letters beyond a to z."),
                           JA("宛先のサーバーは、英数字以外の文字を含むアドレスに対応していません。")}},
                         {{EN("Ask the person for an address in plain letters, use plain letters in your\n"
                              "own address too, and send the message again."),
                           JA("英数字だけのアドレスを相手に尋ね、差出人も英数字だけのアドレスにして、\n"
                              "もう一度送ってください。")}}},
    [ADVICE_TOO_MANY_RECIPIENTS] = {false,
                                    {{EN("The message has more recipients than the server takes."),
                                      JA("宛先の数が、サーバーの受け付ける数を超えています。")}},
                                    {{EN("Send it to fewer people at a time."), JA("何回かに分けて送ってください。")}}},

    /* the sender's domain and server */
    [ADVICE_PTR] = {true,
                    {{EN("Your server is at fault: its IP address has no PTR record (reverse DNS), or\n"
                         "one that does not lead back to the same address."),
                      JA("あなたのサーバー側の問題です。IP アドレスの PTR レコード (逆引き) がないか、\n"
                         "正引きと一致していません。")}},
                    {{EN("Set the PTR of the server's IP address to {host},\n"
                         "in the control panel of whoever rents you the server.  Then run\n"
                         "`sendas check {from}`, and when `ptr` passes, send the message again."),
                      JA("サーバーを借りている事業者の管理画面で、IP アドレスの PTR を\n"
                         "{host} に設定してください。`sendas check {from}`\n"
                         "で ptr が pass になったら、もう一度送ってください。")}}},
    [ADVICE_AUTHENTICATION] = {true,
                               {{EN("Your domain is at fault: the recipient's server could not verify that\n"
                                    "the message comes from {from} (SPF, DKIM, DMARC)."),
                                 JA("あなたのドメイン側の問題です。メールが {from} からの\n"
                                    "ものであることを宛先のサーバーが確認できませんでした (SPF、DKIM、DMARC)。")}},
                               {{EN("Run `sendas check {from}` on the server, publish the DNS records\n"
                                    "that it finds missing or wrong, and send the message again an hour later."),
                                 JA("サーバーで `sendas check {from}` を実行し、足りない、または誤った DNS\n"
                                    "レコードを公開して、1 時間後にもう一度送ってください。")}}},
    [ADVICE_SPF] = {true,
                    {{EN("Your domain is at fault: its SPF record does not allow the IP address of\n"
                         "your server."),
                      JA("あなたのドメイン側の問題です。SPF レコードがサーバーの IP アドレスを許可して\n"
                         "いません。")}},
                    {{EN("Run `sendas check {from}`: it prints the SPF record to publish.\n"
                         "Send the message again an hour after you have published it."),
                      JA("`sendas check {from}` を実行すると、公開すべき SPF レコードが\n"
                         "表示されます。公開して 1 時間後にもう一度送ってください。")}}},
    [ADVICE_DKIM] = {true,
                     {{EN("Your domain is at fault: the recipient's server could not verify the DKIM\n"
                          "signature.  The key in your DNS is missing or is another one."),
                       JA("あなたのドメイン側の問題です。DKIM 署名を確認できませんでした。DNS の鍵が\n"
                          "ないか、違っています。")}},
                     {{EN("Run `sendas check {from}`: it prints the DKIM records to publish.\n"
                          "Send the message again an hour after you have published them."),
                       JA("`sendas check {from}` を実行すると、公開すべき DKIM レコードが\n"
                          "表示されます。公開して 1 時間後にもう一度送ってください。")}}},
    [ADVICE_DMARC] = {true,
                      {{EN("Your domain is at fault: its DMARC policy asks receivers to refuse mail\n"
                           "for which neither SPF nor DKIM passes, and neither did."),
                        JA("あなたのドメイン側の問題です。SPF も DKIM も確認できず、DMARC ポリシーに\n"
                           "従って拒否されました。")}},
                      {{EN("Run `sendas check {from}` on the server, publish the DNS records\n"
                           "that it finds missing or wrong, and send the message again an hour later."),
                        JA("サーバーで `sendas check {from}` を実行し、足りない、または誤った DNS\n"
                           "レコードを公開して、1 時間後にもう一度送ってください。")}}},
    [ADVICE_SENDER] = {true,
                       {{EN("Your own address is at fault: the recipient's server does not accept it as\n"
                            "the sender, as it finds no way to answer it."),
                         JA("差出人のアドレスの問題です。返信できないアドレスとみなされ、拒否されました。")}},
                       {{EN("See to it that {from} takes mail: it needs an MX record that works.\n"
                            "`sendas check {from}` looks at it (mx).  Then send again."),
                         JA("{from} がメールを受け取れるようにしてください (MX レコードが必要\n"
                            "です)。`sendas check {from}` の mx で確かめて、もう一度送ってください。")}}},
    [ADVICE_TLS_WANTED] = {true,
                           {{EN("The recipient's server takes mail over TLS only, and the connection had\n"
                                "none."),
                             JA("宛先のサーバーは TLS での接続だけを受け付けますが、TLS になりませんでした。")}},
                           {{EN("Operators: `sendas trace {id}` shows what became of TLS.  Then send\n"
                                "the message again."),
                             JA("管理者向け: `sendas trace {id}` で TLS の経過を確かめ、その後もう一度\n"
                                "送ってください。")}}},
    [ADVICE_BLOCKLIST] = {true,
                          {{EN("Your server is not trusted: its IP address or your domain stands on a\n"
                               "blocklist that the recipient's server uses."),
                            JA("あなたのサーバーの IP アドレスかドメインが、宛先のサーバーの使うブロック\n"
                               "リストに載っています。")}},
                          {{EN("The words below name the list (for Spamhaus: check.spamhaus.org).  Look\n"
                               "your server up there, remove the cause, and ask to be taken off.\n"
                               "`sendas check {from}` asks the usual lists (dnsbl)."),
                            JA("下の応答にリストの名前があります (Spamhaus なら check.spamhaus.org)。\n"
                               "そこで調べて原因を取り除き、解除を申請してください。\n"
                               "`sendas check {from}` の dnsbl でも主なリストを調べられます。")}}},
    [ADVICE_MICROSOFT_BLOCK] = {true,
                                {{EN("Your server is not trusted: Microsoft (Outlook.com, Hotmail) blocks its IP\n"
                                     "address, or the network that it is in."),
                                  JA("Microsoft (Outlook.com、Hotmail) が、あなたのサーバーの IP アドレスまたは\n"
                                     "そのネットワークを拒否しています。")}},
                                {{EN("Ask Microsoft to lift the block with the form at olcsupport.office.com; name\n"
                                     "the IP address in the words below.  It takes a day or two.  Before that, see\n"
                                     "that `sendas check {from}` passes, or they refuse."),
                                  JA("olcsupport.office.com のフォームで、下の応答にある IP アドレスの解除を申請\n"
                                     "してください。一両日かかります。その前に `sendas check {from}` が\n"
                                     "すべて pass になることを確かめてください。")}}},
    [ADVICE_MICROSOFT_DELIST] = {true,
                                 {{EN("Your server is not trusted: Microsoft 365 blocks its IP address."),
                                   JA("Microsoft 365 が、あなたのサーバーの IP アドレスを拒否しています。")}},
                                 {{EN("Ask for its removal at sender.office.com; it takes up to a day.  Before\n"
                                      "that, see that `sendas check {from}` passes."),
                                   JA("sender.office.com で解除を申請してください。最大 1 日かかります。その前に\n"
                                      "`sendas check {from}` がすべて pass になることを確かめてください。")}}},
    [ADVICE_YAHOO_BLOCK] = {true,
                            {{EN("Your server is not trusted: Yahoo blocks its IP address after complaints or\n"
                                 "unusual traffic, from it or from its neighbours."),
                              JA("Yahoo が、苦情や不審な通信を理由に、あなたのサーバーの IP アドレスを拒否\n"
                                 "しています。")}},
                            {{EN("See that `sendas check {from}` passes, then ask Yahoo for a review at\n"
                                 "senders.yahooinc.com (Contact)."),
                              JA("`sendas check {from}` がすべて pass になることを確かめてから、\n"
                                 "senders.yahooinc.com の Contact で見直しを申請してください。")}}},
    [ADVICE_YAHOO_POLICY] = {true,
                             {{EN("Yahoo refuses the message by its rules: your domain's SPF, DKIM or DMARC, or\n"
                                  "a link in the text, does not please it."),
                               JA("Yahoo が規則によりメールを拒否しました。ドメインの SPF、DKIM、DMARC、または\n"
                                  "本文のリンクが原因です。")}},
                             {{EN("Run `sendas check {from}` and mend what it finds.  If all passes,\n"
                                  "send the message without links."),
                               JA("`sendas check {from}` を実行し、指摘された点を直してください。すべて\n"
                                  "pass のときは、リンクを除いて送ってください。")}}},
    [ADVICE_APPLE_POLICY] = {true,
                             {{EN("Apple's filter (iCloud Mail) refuses the message for its text, for a link in\n"
                                  "it, or for the reputation of your server."),
                               JA("Apple (iCloud メール) のフィルターが、本文、リンク、またはサーバーの評判を\n"
                                  "理由にメールを拒否しました。")}},
                             {{EN("Send it again with other words and without links.  If that fails too, run\n"
                                  "`sendas check {from}`, mend what it finds, and write to Apple as the\n"
                                  "page that is named below tells."),
                               JA("文面を変え、リンクを除いて、もう一度送ってください。それでも駄目なら、\n"
                                  "`sendas check {from}` の指摘を直し、下の応答にあるページの案内に\n"
                                  "従って Apple に連絡してください。")}}},
    [ADVICE_SLOWED] = {true,
                       {{EN("The recipient's provider holds mail from your server back: it does not know\n"
                            "the IP address well yet, or has had complaints about it."),
                         JA("宛先の事業者が、あなたのサーバーからのメールを制限しています。IP アドレスの\n"
                            "実績がまだ少ないか、苦情があったためです。")}},
                       {{EN("Send less for some days; trust grows with time.  `sendas check {from}`\n"
                            "shows whether PTR, SPF, DKIM and DMARC are right, without which it does not."),
                         JA("数日間は送る量を減らしてください。信用は時間とともに増します。PTR、SPF、\n"
                            "DKIM、DMARC が正しいことを `sendas check {from}` で確かめてください。")}}},
    [ADVICE_POLICY] = {true,
                       {{EN("The recipient's server refuses the message by a rule of its own."),
                         JA("宛先のサーバーが独自の規則によりメールを拒否しました。")}},
                       {{EN("Its words below may say which.  Operators: mend what\n"
                            "`sendas check {from}` finds.  If all passes there, ask the person in\n"
                            "another way to show these words to whoever runs that server."),
                         JA("下の応答に理由が書かれていることがあります。管理者向け:\n"
                            "`sendas check {from}` の指摘を直してください。すべて pass のときは、\n"
                            "別の方法で相手に連絡し、この応答を相手側の管理者に見せてもらってください。")}}},
    [ADVICE_RELAY_LOGIN] = {true,
                            {{EN("Your server is at fault: it cannot log in at the relay that it is told to\n"
                                 "send through."),
                              JA("あなたのサーバー側の問題です。中継サーバーにログインできません。")}},
                            {{EN("Correct `user` and `password_file` below delivery.routes in sendas.yaml and\n"
                                 "reload.  Then send the message again."),
                              JA("sendas.yaml の delivery.routes にある user と password_file を直し、設定を\n"
                                 "読み直してから、もう一度送ってください。")}}},
    [ADVICE_OUR_FAULT] = {true,
                          {{EN("Your server is at fault: it could not process the message."),
                            JA("あなたのサーバー側の問題で、メールを処理できませんでした。")}},
                          {{EN("Send the message again.  Operators: the log around the lines with\n"
                               "queue={id} says more."),
                            JA("もう一度送ってください。管理者向け: ログの queue={id} の前後に\n"
                               "詳しい記録があります。")}}},

    /* the way there */
    [ADVICE_GREYLISTED] = {false,
                           {{EN("The recipient's server makes new senders wait (greylisting)."),
                             JA("宛先のサーバーは、初めての送信者を待たせています (グレイリスト)。")}},
                           {{EN("It is not your fault.  Send the message again."),
                             JA("あなたのせいではありません。もう一度送ってください。")}}},
    [ADVICE_BUSY] = {false,
                     {{EN("The recipient's server is busy or out of order."),
                       JA("宛先のサーバーが混み合っているか、故障しています。")}},
                     {{EN("It is not your fault.  Send the message again later, or reach the person\n"
                          "in another way."),
                       JA("あなたのせいではありません。後でもう一度送るか、別の方法で相手に連絡して\n"
                          "ください。")}}},
    [ADVICE_DNS] = {false,
                    {{EN("The DNS of the recipient's domain is out of order: its name servers do not\n"
                         "answer, or what they answer cannot be trusted (DNSSEC)."),
                      JA("宛先のドメインの DNS に障害があります。応答がないか、DNSSEC の検証に失敗\n"
                         "しました。")}},
                    {{EN("Reach the person in another way: all who write to that domain have this\n"
                         "trouble.  If it happens with every domain, the DNS of your server is at\n"
                         "fault: `sendas check {from}`."),
                      JA("このドメイン宛のメールは誰からも届きません。別の方法で相手に伝えてください。\n"
                         "どのドメインでも起きるなら、あなたのサーバーの DNS の問題です:\n"
                         "`sendas check {from}`")}}},
    [ADVICE_UNREACHABLE] = {false,
                            {{EN("No mail server of the recipient's domain could be reached."),
                              JA("宛先のドメインのメールサーバーに接続できませんでした。")}},
                            {{EN("Check the part behind the @.  If it is right, their server is down: reach\n"
                                 "the person in another way.  If it happens with every domain, your provider\n"
                                 "blocks port 25: `sendas check {from}` (port25)."),
                              JA("@ より後ろの綴りを確かめてください。正しければ相手のサーバーの停止です。\n"
                                 "別の方法で相手に連絡してください。どのドメインでも起きるなら、事業者が\n"
                                 "25 番ポートを閉じています: `sendas check {from}` (port25)")}}},
    [ADVICE_CONNECTION_LOST] = {false,
                                {{EN("The connection to the recipient's server broke off or stood still."),
                                  JA("宛先のサーバーとの接続が途中で切れたか、止まりました。")}},
                                {{EN("Send the message again later; if it is a large one, without attachments."),
                                  JA("後でもう一度送ってください。大きなメールなら、添付ファイルを外して送って\n"
                                     "ください。")}}},
    [ADVICE_TLS_FAILED] = {false,
                           {{EN("The recipient's server could not be reached over a secure connection, and\n"
                                "without one the message may not go there."),
                             JA("宛先のサーバーと安全な接続 (TLS) ができず、安全でない接続では送れない設定に\n"
                                "なっています。")}},
                           {{EN("Tell the person in another way: whoever runs that server has to mend its\n"
                                "certificate, or its DANE or MTA-STS records.  The details are below."),
                             JA("別の方法で相手に伝えてください。証明書、または DANE・MTA-STS の設定を、\n"
                                "相手側の管理者が直す必要があります。詳細は下にあります。")}}},
};

const char *advice_why(enum advice advice, enum language language)
{
    return advices[advice].why.in[language];
}

const char *advice_what(enum advice advice, enum language language)
{
    return advices[advice].what.in[language];
}

bool advice_is_ours(enum advice advice)
{
    return advices[advice].ours;
}
