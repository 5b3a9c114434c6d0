"""Messages to submit."""
import time
from email.utils import formatdate

_count = 0


def message(subject, sender="Alice <alice@example.org>", to="someone@d1.test", body="Hello,\r\nworld.\r\n", extra="", mime=True):
    """A message with CRLF line ends, as bytes."""
    global _count
    _count += 1
    content = body.encode() if isinstance(body, str) else body
    encoding = "7bit" if content.isascii() else "8bit"
    kind = f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n" if mime else ""
    head = (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {formatdate(time.time())}\r\n"
            f"Message-ID: <{_count}.{time.time_ns()}@client.test>\r\n{kind}{extra}\r\n")
    return head.encode() + content
