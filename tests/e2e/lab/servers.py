"""The receiving side: Postfix, Exim, aiosmtpd, and a scripted server for odd replies."""
import os
import pwd
import re
import shutil
import socket
import ssl
import threading
from dataclasses import dataclass, field

from .world import EXIM, replace_file


@dataclass
class Received:
    """A message as a server took it."""
    server: str
    raw: bytes            # CRLF line ends, with the fields that the server put on top
    mail_from: str
    rcpts: list
    ip: str = ""
    helo: str = ""
    tls: bool = False
    esmtp: list = field(default_factory=list)    # MAIL parameters

    @property
    def subject(self):
        found = re.search(rb"^subject:[ \t]*(.*(?:\r\n[ \t].*)*)", self.raw.partition(b"\r\n\r\n")[0], re.I | re.M)
        return re.sub(r"\r\n", "", found.group(1).decode(errors="replace")).strip() if found else ""

    def fields(self, name):
        head = re.sub(rb"\r\n([ \t])", rb"\1", self.raw.partition(b"\r\n\r\n")[0])
        return [line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.split(b":")[0].strip().lower() == name.lower().encode()]

    @property
    def sent(self):
        """The octets as sendas sent them: without what the server put above the first DKIM-Signature."""
        at = self.raw.find(b"DKIM-Signature:")
        return self.raw[at:] if at >= 0 else self.raw

    @property
    def body(self):
        return self.raw.partition(b"\r\n\r\n")[2]


def _maildir(server, folder):
    """Reads what a server delivered into maildirs below `folder`."""
    for path in sorted(folder.glob("**/new/*"), key=lambda p: p.stat().st_mtime_ns):
        raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        message = Received(server, raw, "", [])
        message.mail_from = message.fields("Return-Path")[0].decode().strip("<>")
        message.rcpts = [(message.fields("X-Original-To") or message.fields("Envelope-To"))[0].decode()]
        trace = message.fields("Received")[0]
        found = re.search(rb"\[(?:IPv6:)?([0-9a-f.:]+)\]", trace)
        message.ip = found.group(1).decode() if found else ""
        helo = re.search(rb"from (\S+)", trace)
        message.helo = helo.group(1).decode() if helo else ""
        message.tls = b"TLS" in trace
        yield message


# name, type, private, unprivileged, chroot, wake up, limit, program: nothing runs in a chroot
MASTER = """{address}:smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    address, name, folder = "127.0.0.2", "mx1.test", "postfix"
    destinations = """virtual_mailbox_domains = static:OK
virtual_mailbox_maps = static:box/
virtual_mailbox_base = {mail}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
"""
    services = ""

    def __init__(self, scratch, pki, start_process):
        self.dir = scratch / self.folder
        self.mail = scratch / f"{self.folder}-mail"
        for folder in (self.dir, self.dir / "queue", self.dir / "data", self.mail):
            folder.mkdir()
        self.dir.chmod(0o755)
        os.chown(self.mail, 65534, 65534)
        os.chown(self.dir / "data", pwd.getpwnam("postfix").pw_uid, -1)
        chain, key = pki.issue(self.name)
        (self.dir / "main.cf").write_text(f"""compatibility_level = 3.6
myhostname = {self.name}
inet_interfaces = all
inet_protocols = ipv4
queue_directory = {self.dir}/queue
data_directory = {self.dir}/data
maillog_file = {self.dir}/log
maillog_file_prefixes = {self.dir}
mydestination =
mynetworks =
local_recipient_maps =
alias_maps =
{self.destinations.format(mail=self.mail)}mailbox_size_limit = 0
message_size_limit = 104857600
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {key}
smtpd_tls_received_header = yes
smtputf8_enable = yes
smtpd_peername_lookup = no
in_flow_delay = 0
""")
        (self.dir / "master.cf").write_text(MASTER.format(address=self.address) + self.services)
        start_process(self.folder, ["postfix", "-c", self.dir, "start-fg"], port=(self.address, 25))

    def received(self):
        return list(_maildir(self.folder, self.mail))


class PostfixHop(Postfix):
    """Hands everything on to the recorder, and takes it for a server without 8BITMIME: it converts what is 8-bit (RFC 6152 3).
    A server that offers SMTPUTF8 it trusts with 8 bits, so only what is for utf8.hop1.test goes to one."""
    address, name, folder = "127.0.0.8", "hop1.test", "postfix-hop"
    destinations = """relay_domains = static:OK
relay_transport = smtp
relayhost = [127.0.0.4]
smtp_discard_ehlo_keywords = 8bitmime, smtputf8
transport_maps = inline:{{utf8.hop1.test=utf8:[127.0.0.4]}}
"""
    services = "utf8 unix - - n - - smtp -o smtp_discard_ehlo_keywords=8bitmime\n"


class Exim:
    address, name, folder = "127.0.0.3", "mx2.test", "exim"
    destinations = """begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {mail}/box
  maildir_format
  return_path_add
  envelope_to_add
  user = Debian-exim
  group = Debian-exim
"""

    def __init__(self, scratch, pki, start_process):
        self.dir = scratch / self.folder
        self.mail = self.dir / "mail"
        for folder in (self.dir, self.mail, self.dir / "spool", self.dir / "log"):
            folder.mkdir()
        # Debian's Exim insists on this user, which only its package makes.
        replace_file("/etc/passwd", open("/etc/passwd").read() + "Debian-exim:x:64321:64321::/nonexistent:/usr/sbin/nologin\n", scratch)
        replace_file("/etc/group", open("/etc/group").read() + "Debian-exim:x:64321:\n", scratch)
        # It starts itself again as that user, who may not look into every checkout (/root ...).
        program = shutil.copy(EXIM, self.dir / "exim4")
        chain, key = pki.issue(self.name)
        for path in (self.mail, self.dir / "spool", self.dir / "log", chain, key):
            os.chown(path, 64321, 64321)
        (self.dir / "exim.conf").write_text(f"""primary_hostname = {self.name}
exim_path = {program}
daemon_smtp_ports = 25
local_interfaces = {self.address}
spool_directory = {self.dir}/spool
log_file_path = {self.dir}/log/%slog
pid_file_path = {self.dir}/spool/exim.pid
keep_environment =
tls_advertise_hosts = *
tls_certificate = {chain}
tls_privatekey = {key}
smtputf8_advertise_hosts = *
message_size_limit = 100M
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
log_selector = +dkim_verbose
acl_smtp_rcpt = yes
acl_smtp_data = yes
acl_smtp_dkim = yes
begin acl
yes:
  accept
{self.destinations.format(mail=self.mail)}""")
        start_process(self.folder, [program, "-C", self.dir / "exim.conf", "-bdf", "-q1m"], port=(self.address, 25))

    def received(self):
        return list(_maildir(self.folder, self.mail))

    def log(self):
        path = self.dir / "log/mainlog"
        return path.read_text(errors="replace") if path.exists() else ""


class EximHop(Exim):
    """Hands everything on to the recorder."""
    address, name, folder = "127.0.0.9", "hop2.test", "exim-hop"
    destinations = """begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.4 byname
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
"""


class Recorder:
    """aiosmtpd: keeps what it gets, octet for octet.  `refuse(address)` may return a reply for a recipient."""
    address, name = "127.0.0.4", "mx3.test"

    def __init__(self, pki, listener=None):
        """`listener`: a socket that listens already."""
        from aiosmtpd.controller import Controller

        class Listening(Controller):
            def _create_server(self):
                return self.loop.create_server(self._factory_invoker, sock=listener)

        self.messages, self.refuse = [], lambda address: None
        chain, key = pki.issue(self.name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.controller = (Listening if listener else Controller)(self, hostname=self.address, port=25, enable_SMTPUTF8=True, tls_context=context, ident="recorder",
                                     server_hostname=self.name, data_size_limit=None)
        self.controller.start()

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        reply = self.refuse(address)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(Received("aiosmtpd", bytes(envelope.original_content), (envelope.mail_from or "").replace("<>", ""), list(envelope.rcpt_tos),
                                      session.peer[0], session.host_name or "", session.ssl is not None, list(envelope.mail_options)))
        return "250 2.0.0 OK"

    def received(self):
        return list(self.messages)

    def close(self):
        self.controller.stop()


class Scripted:
    """Answers what a test says.  `replies` maps a verb, "greeting", "EHLO" (its lines) or "." to a reply or to a
    function of the line; None closes the connection."""
    address, name = "127.0.0.5", "mx4.test"

    def __init__(self):
        self.replies, self.dialogue, self.messages, self.connections = {}, [], [], []
        self.listener = socket.create_server((self.address, 25), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def answer(self, **replies):
        """From here on these; connections that are kept open end, so that nothing is left of what held before."""
        self.replies = {"." if verb == "dot" else verb: reply for verb, reply in replies.items()}
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections.clear()

    def _reply(self, verb, line, default):
        reply = self.replies.get(verb, default)
        return reply(line) if callable(reply) else reply

    def _talk(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                self._dialogue(connection, lines)
        except OSError:
            pass

    def _dialogue(self, connection, lines):
        send = lambda text: connection.sendall(text.encode() + b"\r\n")
        greeting = self._reply("greeting", "", "220 mx4.test ESMTP")
        if greeting is None:
            return
        send(greeting)
        envelope = Received("scripted", b"", "", [])
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r\n")
            self.dialogue.append(text)
            verb = text.split(" ")[0].upper()
            if verb == "EHLO":
                reply = self._reply("EHLO", text, "250-mx4.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600")
            elif verb == "DATA":
                reply = self._reply("DATA", text, "354 go on")
            elif verb == "QUIT":
                reply = "221 2.0.0 bye"
            else:
                reply = self._reply(verb, text, "250 2.0.0 ok")
            if reply is None:
                return
            send(reply)
            if verb == "MAIL":
                envelope = Received("scripted", b"", text[text.find("<") + 1:text.find(">")], [], "127.0.0.10", "", False,
                                    text.partition(">")[2].split())
            elif verb == "RCPT" and reply.startswith("2"):
                envelope.rcpts.append(text[text.find("<") + 1:text.find(">")])
            elif verb == "DATA" and reply.startswith("354"):
                content = b""
                for data in lines:
                    if data == b".\r\n":
                        break
                    content += data[1:] if data.startswith(b".") else data
                else:     # the connection ended before the content did
                    return
                envelope.raw = content
                reply = self._reply(".", "", "250 2.0.0 ok")
                if reply is None:
                    return
                if reply.startswith("2"):
                    self.messages.append(envelope)
                send(reply)
            elif verb == "QUIT":
                return

    def received(self):
        return list(self.messages)
