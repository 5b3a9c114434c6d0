"""Mail programs that people use, each told to submit one message."""
import smtplib
import socket
import ssl
import subprocess

from .daemon import ALICE, PASSWORD
from .world import NPM

HOST = "mail.example.org"


def context(lab):
    return ssl.create_default_context(cafile=lab.ca)


def smtp(lab, port=587, user=ALICE, password=PASSWORD, method=None, timeout=30):
    """A session of Python's smtplib, logged in."""
    if port == 465:
        session = smtplib.SMTP_SSL(HOST, port, context=context(lab), timeout=timeout)
    else:
        session = smtplib.SMTP(HOST, port, timeout=timeout)
        session.starttls(context=context(lab))
    session.ehlo_or_helo_if_needed()
    if user:
        session.user, session.password = user, password
        if method:
            session.auth(method, session.auth_plain if method == "PLAIN" else session.auth_login)
        else:
            session.login(user, password)
    return session


def submit(lab, message, mail_from, rcpts, user=ALICE, options=(), **kwargs):
    """Submits by smtplib; returns (code, text) of the last command."""
    session = smtp(lab, user=user, **kwargs)
    try:
        for command in [lambda: session.mail(mail_from, list(options))] + [lambda r=r: session.rcpt(r) for r in rcpts]:
            code, text = command()
            if code >= 400:
                return code, text.decode()
        code, text = session.data(message)
        return code, text.decode()
    except smtplib.SMTPResponseException as e:
        return e.smtp_code, e.smtp_error.decode() if isinstance(e.smtp_error, bytes) else e.smtp_error
    finally:
        try:
            session.quit()
        except (smtplib.SMTPException, OSError):
            pass


def _run(args, stdin=b"", env=None, ok=(0,)):
    done = subprocess.run([str(a) for a in args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, env=env)
    return None if done.returncode in ok else f"exit {done.returncode}: {done.stdout.decode(errors='replace')[-1500:]}"


def _headed(subject, rcpts, text):
    return (f"From: Alice <{ALICE}>\nTo: {', '.join(rcpts)}\nSubject: {subject}\nMIME-Version: 1.0\n"
            f"Content-Type: text/plain; charset=utf-8\n\n{text}\n")


def swaks(lab, port, method, subject, rcpts, text):
    tls = ["--tlsc"] if port == 465 else ["--tls"]
    return _run(["swaks", "--server", HOST, "--port", port, *tls, "--tls-verify", "--tls-ca-path", lab.ca, "--auth", method, "--auth-user",
                 ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to", ",".join(rcpts), "--h-Subject", subject, "--body", text])


def curl(lab, port, method, subject, rcpts, text):
    path = lab.scratch / "curl.eml"
    path.write_bytes(_headed(subject, rcpts, text).replace("\n", "\r\n").encode())
    url = f"smtps://{HOST}:465" if port == 465 else f"smtp://{HOST}:587"
    to = [a for r in rcpts for a in ("--mail-rcpt", r)]
    return _run(["curl", "-sS", "--url", url, "--ssl-reqd", "--cacert", lab.ca, "--mail-from", ALICE, *to, "--user", f"{ALICE}:{PASSWORD}",
                 "--login-options", f"AUTH={method}", "--upload-file", path])


def msmtp(lab, port, method, subject, rcpts, text):
    path = lab.scratch / "msmtprc"
    path.write_text(f"account default\nhost {HOST}\nport {port}\ntls on\ntls_starttls {'off' if port == 465 else 'on'}\ntls_trust_file {lab.ca}\n"
                    f"auth {method.lower()}\nuser {ALICE}\npassword {PASSWORD}\nfrom {ALICE}\n")
    path.chmod(0o600)
    return _run(["msmtp", "-C", path, "-t"], _headed(subject, rcpts, text).encode())


def s_nail(lab, port, method, subject, rcpts, text):
    login = f"{ALICE.replace('@', '%40')}:{PASSWORD.replace(' ', '%20')}@{HOST}"
    mta = f"smtps://{login}:465" if port == 465 else f"smtp://{login}:587"
    starttls = [] if port == 465 else ["-Ssmtp-use-starttls"]
    return _run(["s-nail", "-Sv15-compat", "-:/", *starttls, f"-Stls-ca-file={lab.ca}", "-Stls-ca-no-defaults", "-Stls-verify=strict", f"-Smta={mta}",
                 f"-Ssmtp-auth={method.lower()}", "-Sttycharset=utf-8", "-Ssendwait", "-Snosave", "-SDEAD=/dev/null", "-r", ALICE, "-s", subject, *rcpts], text.encode() + b"\n",
                env={"HOME": str(lab.scratch), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})


def python(lab, port, method, subject, rcpts, text):
    try:
        with smtp(lab, port, method=method) as session:
            session.sendmail(ALICE, rcpts, _headed(subject, rcpts, text).replace("\n", "\r\n").encode(), mail_options=["BODY=8BITMIME"])
    except (smtplib.SMTPException, OSError) as e:
        return repr(e)
    return None


def nodemailer(lab, port, method, subject, rcpts, text):
    return _run(["node", NPM / "send.mjs", HOST, port, method, ALICE, PASSWORD, lab.ca, subject, ",".join(rcpts), text])


ALL = {"swaks": swaks, "curl": curl, "msmtp": msmtp, "s-nail": s_nail, "smtplib": python, "nodemailer": nodemailer}


class Raw:
    """A client that says exactly what a test wants."""

    def __init__(self, lab, port=587, address="127.0.0.10", tls=None, timeout=15, source=None):
        self.lab = lab
        self.socket = socket.create_connection((address, port), timeout, (source, 0) if source else None)
        if port == 465:
            self.start_tls(tls)
        self.buffer = b""
        self.greeting = self.read()

    def start_tls(self, tls=None):
        self.socket = (tls or context(self.lab)).wrap_socket(self.socket, server_hostname=HOST)
        self.buffer = b""

    def read(self):
        """One reply, its lines joined; "" when the connection has ended."""
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    more = self.socket.recv(65536)
                except (ConnectionError, ssl.SSLError):
                    more = b""
                if not more:
                    return "\n".join(lines)
                self.buffer += more
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            lines.append(line.decode(errors="replace"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def say(self, line):
        try:
            self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        except (ConnectionError, ssl.SSLError):
            return ""
        return self.read()

    def login(self, user=ALICE, password=PASSWORD):
        import base64
        if not isinstance(self.socket, ssl.SSLSocket):
            self.say("EHLO raw.test")
            self.say("STARTTLS")
            self.start_tls()
        self.say("EHLO raw.test")
        return self.say("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())

    def closed(self, seconds=5):
        """Has the server closed, or does it within this time?"""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self):
        self.socket.close()
