"""sendas itself: its configuration, its life, its log."""
import crypt
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from .testing import check, until
from .world import ROOT

BINARY = os.environ.get("SENDAS") or str(ROOT / "build/sendas")
PASSWORD = "correct horse battery"
_image = Path(BINARY).read_bytes() if os.path.exists(BINARY) else b""
SANITIZED = b"__asan_init" in _image
ALICE, BOB = "alice@example.org", "bob@example.org"


def yaml(settings):
    """A YAML document: one key a line, JSON (which is YAML's flow style) behind it."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())


class Sendas:
    """A daemon on 127.0.0.10 with users alice (example.org, bücher.example) and bob (his own address only)."""

    def __init__(self, lab, name="sendas", start=True, **settings):
        self.lab, self.dir = lab, lab.scratch / name
        self.dir.mkdir()
        self.config, self.log = self.dir / "sendas.yaml", self.dir / "log"
        self.process = None
        chain, key = lab.certificate
        self.settings = {
            "hostname": "mail.example.org",
            "listen": [{"address": address, "port": port, "tls": tls} for address in ("127.0.0.10", "::1")
                       for port, tls in ((587, "starttls"), (465, "implicit"))],
            "tls": {"certificate": chain, "key": key},
            "domains": [{"name": domain, "dkim": keys} for domain, keys in lab.keys.items()],
            "users": str(self.dir / "users.yaml"),
            "limits": {"connections_per_ip": 200, "auth_failures": 1000, "messages_per_user": 0},
            "queue": {"path": str(self.dir / "queue.db"), "retry": ["1s"]},
            "dns": {"servers": ["127.0.0.1"], "trust_anchor": str(lab.dns.trust_anchor)},
            "delivery": {"allow_private": True, "bind": ["127.0.0.10"], "ca_file": lab.ca},
            "log": {"level": "debug"},
        }
        for section, values in settings.items():
            if isinstance(values, dict) and isinstance(self.settings.get(section), dict):
                self.settings[section] = {**self.settings[section], **values}
            else:
                self.settings[section] = values
        self.write()
        hashed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_SHA512, rounds=1000))
        users = [{"name": ALICE, "send_as": ["*@example.org", "*@example.net", "*@xn--bcher-kva.example"],
                  "passwords": [{"label": "lab", "hash": hashed}]},
                 {"name": BOB, "passwords": [{"label": "lab", "hash": hashed}]}]
        (self.dir / "users.yaml").write_text(yaml({"users": users}))
        (self.dir / "users.yaml").chmod(0o600)
        lab.daemons.append(self)
        if start:
            self.start()

    def write(self):
        self.config.write_text(yaml(self.settings))

    def start(self, prefix=()):
        self.since = len(self.log_text())
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*prefix, BINARY, "serve", "-c", str(self.config)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        if not until(lambda: self.process.poll() is not None or self.events("ready", since=self.since), 15):
            raise RuntimeError(f"no event=ready:\n{self.log_text()[-3000:]}")
        if self.process.poll() is not None:
            raise RuntimeError(f"sendas serve: exit {self.process.returncode}\n{self.log_text()[-3000:]}")
        return self

    def log_text(self):
        return self.log.read_bytes().decode(errors="replace") if self.log.exists() else ""

    def events(self, name=None, since=0, **fields):
        """The log's lines as dicts, those of event `name` with these fields."""
        found = []
        for line in self.log_text()[since:].splitlines():
            event = {k: v[1:-1].replace('\\"', '"').replace("\\\\", "\\") if v.startswith('"') else v
                     for k, v in re.findall(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)', line)}
            if (name is None or event.get("event") == name) and all(event.get(k.rstrip("_")) == v for k, v in fields.items()):
                found.append(event)
        return found

    def event(self, name, seconds=15, since=0, **fields):
        """Waits for an event; checks that it came; returns it, or {}."""
        found = until(lambda: self.events(name, since, **fields), seconds)
        shown = " ".join(f"{k}={v}" for k, v in fields.items())
        check(found, f"event={name} {shown}".rstrip())
        return found[-1] if found else {}

    def rss_kib(self, key="VmRSS"):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, seconds=60, told=False):
        """SIGTERM; it must end with 0, and have logged nothing that a sanitizer or an assertion says."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None and not told:
            process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = f"none within {seconds} s after SIGTERM"
        check(code == 0, "sendas ends with 0 on SIGTERM", f"exit {code} after {time.monotonic() - start:.1f} s")
        text = self.log_text()
        for word in ("Sanitizer", "runtime error", "Assertion", "assertion"):
            check(word not in text, f"no '{word}' in the log", text[max(0, text.find(word) - 200):text.find(word) + 3000])


def cli(*args, stdin=b"", timeout=60, text=True):
    """Runs a subcommand; returns (exit code, stdout, stderr), the outputs as text or as octets."""
    done = subprocess.run([BINARY, *map(str, args)], input=stdin, capture_output=True, timeout=timeout)
    if not text:
        return done.returncode, done.stdout, done.stderr
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


if not os.path.exists(BINARY):
    sys.exit(f"{BINARY} is not there: run make first, or name another by SENDAS=/path/to/sendas")
