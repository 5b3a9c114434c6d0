"""tests/corpus: its index, what a message says when it is decoded, and the signatures of people inside it."""
import base64
import email
import email.utils
import quopri
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .world import ROOT, sh

FOLDER = ROOT / "tests/corpus"
KEYS = FOLDER / "keys"


@dataclass
class Entry:
    name: str
    reason: str
    expected: str          # unchanged, changed, sealed, "refused CODE STATUS"
    options: list
    raw: bytes

    @property
    def number(self):
        return self.name.partition("-")[0]

    @property
    def smtputf8(self):
        return "SMTPUTF8" in self.options

    @property
    def mail_from(self):
        return next((o[5:] for o in self.options if o.startswith("from=")), "alice@example.org")

    @property
    def refused(self):
        """(code, enhanced status), or None"""
        return (int(self.expected.split()[1]), self.expected.split()[2]) if self.expected.startswith("refused") else None


def read():
    entries = []
    for line in (FOLDER / "INDEX").read_text().splitlines():
        if not line.startswith("#"):
            name, reason, expected, options = ([cell.strip() for cell in line.split("|")] + [""])[:4]
            entries.append(Entry(name, reason, expected, options.split(), (FOLDER / f"{name}.eml").read_bytes()))
    return entries


# ---- what a message says: decoded, so that it is the same in any encoding ----

WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")


def words(text):
    """Encoded words decoded (RFC 2047), adjacent ones joined before their octets are read as characters."""
    def octets(found):
        charset, kind, data = found.groups()
        raw = base64.b64decode(data + "==") if kind in "bB" else quopri.decodestring(data.encode("ascii", "surrogateescape"), header=True)
        return charset.split("*")[0].lower(), raw

    def characters(charset, raw):
        try:
            return raw.decode(charset)
        except (LookupError, UnicodeDecodeError):
            return raw.decode("utf-8", "surrogateescape")

    text = re.sub(r"(=\?[^?\s]+\?[bBqQ]\?[^?]*\?=)\s+(?==\?[^?\s]+\?[bBqQ]\?)", r"\1", text)
    out, at, last = "", 0, None     # last: (charset, octets) of words not yet put out
    for found in WORD.finditer(text):
        charset, raw = octets(found)
        if last and (found.start() > at or last[0] != charset):
            out, last = out + characters(*last), None
        out += text[at:found.start()]
        last = (charset, (last[1] if last else b"") + raw)
        at = found.end()
    return out + (characters(*last) if last else "") + text[at:]


def field(part, name, value):
    """(name, what it says): addresses, parameters or text."""
    name = name.lower()
    value = re.sub(r"\r?\n(?=[ \t])", "", value)
    if name in ("from", "to", "cc", "sender", "reply-to"):
        said = [(words(shown), address) for shown, address in email.utils.getaddresses([value])]
    elif name in ("content-type", "content-disposition"):
        said = [(k, words(email.utils.collapse_rfc2231_value(v))) for k, v in part.get_params(header=name, failobj=[])]
    else:
        said = words(value)
    return name, " ".join(said.split()) if isinstance(said, str) else said


def says(raw):
    """[(fields, octets of the content or None)] of each part, in order.  Content-Transfer-Encoding is left out."""
    by_octets = email.message_from_bytes(raw)
    by_text = email.message_from_string(raw.decode("utf-8", "surrogateescape"))
    return [([field(text, k, text._headers[i][1]) for i, (k, _) in enumerate(text._headers) if k.lower() != "content-transfer-encoding"],
             None if octets.is_multipart() else octets.get_payload(decode=True)) for octets, text in zip(by_octets.walk(), by_text.walk())]


def difference(submitted, arrived):
    """"" when both say the same; fields may have been added on top, and Date, Message-ID and MIME's where there were none."""
    before, after = says(submitted), says(arrived)
    if len(before) != len(after):
        return f"{len(before)} parts were submitted, {len(after)} arrived"
    for i, ((fields, content), (got_fields, got_content)) in enumerate(zip(before, after)):
        names = {name for name, _ in fields}
        got_fields = [f for f in got_fields if f[0] in names]
        if i == 0:
            got_fields = got_fields[len(got_fields) - len(fields):]
        if got_fields != fields:
            return f"part {i}: fields {[f for f in got_fields if f not in fields]} for {[f for f in fields if f not in got_fields]}"
        if content != got_content:
            return f"part {i}: {(got_content or b'')[:300]!r} for {(content or b'')[:300]!r}"
    return ""


# ---- OpenPGP and S/MIME ----

def _run(*args, stdin=b""):
    done = subprocess.run([str(a) for a in args], input=stdin, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


class People:
    """gpg and openssl cms with the keys of the corpus."""

    def __init__(self, scratch):
        self.dir = scratch / "people"
        self.dir.mkdir(mode=0o700)
        self.gpg = ["gpg", "--homedir", self.dir, "--batch", "--no-tty", "--quiet", "--trust-model", "always", "--ignore-time-conflict"]
        sh(*self.gpg, "--import", KEYS / "pgp.asc")

    def _signed(self, raw, part):
        """Verifies a multipart/signed; its octets are cut from the message as they stand (RFC 1847 2.1)."""
        delimiter = b"\r\n--" + part.get_boundary().encode()
        begin = raw.index(delimiter + b"\r\n") + len(delimiter) + 2
        signed, signature = self.dir / "signed", self.dir / "signature"
        signed.write_bytes(raw[begin:raw.index(delimiter, begin)])
        signature.write_bytes(part.get_payload()[1].get_payload(decode=True))
        if "pgp" in part.get_param("protocol"):
            return _run(*self.gpg, "--verify", signature, signed)
        return self._cms("-verify", "-CAfile", KEYS / "smime.pem", "-content", signed, "-in", signature)

    @staticmethod
    def _cms(*args):
        return _run("openssl", "cms", *args, "-inform", "DER", "-binary", "-no_check_time", "-out", "/dev/stdout")

    def judge(self, raw):
        """["" or what is wrong] of everything signed or encrypted in the message."""
        verdicts = []
        for part in email.message_from_bytes(raw).walk():
            kind = part.get_content_type()
            content = None if part.is_multipart() else part.get_payload(decode=True)
            if kind == "multipart/signed":
                done = self._signed(raw, part)
            elif kind == "multipart/encrypted":
                done = _run(*self.gpg, "--decrypt", stdin=part.get_payload()[1].get_payload(decode=True))
            elif kind == "application/pkcs7-mime":
                der = self.dir / "pkcs7"
                der.write_bytes(content)
                done = self._cms(*(["-verify", "-CAfile", KEYS / "smime.pem"] if part.get_param("smime-type") == "signed-data" else
                                   ["-decrypt", "-recip", KEYS / "smime.pem", "-inkey", KEYS / "smime.key"]), "-in", der)
            elif content is not None and content.startswith(b"-----BEGIN PGP SIGNED"):
                done = _run(*self.gpg, "--verify", stdin=content)
            else:
                continue
            verdicts.append("" if done[0] == 0 else f"{kind}: exit {done[0]} {done[2]}")
        return verdicts

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.dir, "--kill", "all"], check=False)
