"""Running a test: the lab's processes, checks that count, and the one line at the end."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import world
from .dns import Dns, sender_zone
from .pki import Pki, dkim_key

_checks, _failures, _notes = 0, [], []
NEEDED_FOR = {"npm": "nodemailer and mailauth"}
SENDER_DOMAINS = ("example.org", "example.net", "xn--bcher-kva.example")


def check(ok, what, detail=""):
    """One thing that must hold; the test goes on either way."""
    global _checks
    _checks += 1
    if not ok:
        _failures.append(what)
        print(f"FAIL {what}" + (f"\n     {detail}" if detail != "" else ""), flush=True)
    return bool(ok)


def equal(found, expected, what):
    return check(found == expected, what, f"found    {found!r}\n     expected {expected!r}")


def note(text):
    """Goes into the last line."""
    _notes.append(text)


def until(condition, seconds=20, step=0.05):
    """Waits until condition() is true; returns what it returned last."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result or time.monotonic() > end:
            return result
        time.sleep(step)


class Lab:
    """Everything around sendas.  Servers start when they are first asked for."""

    def __init__(self, scratch, missing=()):
        self.scratch, self.missing, self.processes, self._servers, self.daemons = scratch, missing, {}, {}, []
        self.pki = Pki(scratch)
        self.keys, self.records = {}, {}
        self.dns = Dns(scratch, self.start_process)
        for domain in SENDER_DOMAINS:
            folder = scratch / "dkim" / domain
            self.records[domain] = {"r1": dkim_key(folder / "r1.pem", "rsa"), "e1": dkim_key(folder / "e1.pem", "ed25519")}
            self.keys[domain] = [{"selector": s, "key": str(folder / f"{s}.pem")} for s in ("r1", "e1")]
            self.dns.zones[domain] = sender_zone(self.records[domain])
        self.certificate = self.pki.issue("mail.example.org")
        self.dns.start()
        self.ca = str(self.pki.ca)

    def start_process(self, name, args, port=None, env=None):
        """A server that ends with the lab; returns once it accepts TCP connections at `port`."""
        log = open(self.scratch / f"{name}.log", "ab")
        process = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self.processes[name] = process
        if port and not until(lambda: process.poll() is not None or accepts(port), 15):
            raise RuntimeError(f"{name} does not listen on {port}")
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended: {(self.scratch / f'{name}.log').read_text(errors='replace')[-2000:]}")
        return process

    def _server(self, name, make):
        if name not in self._servers:
            self._servers[name] = make()
        return self._servers[name]

    @property
    def postfix(self):
        from .servers import Postfix
        return self._server("postfix", lambda: Postfix(self.scratch, self.pki, self.start_process))

    @property
    def exim(self):
        from .servers import Exim
        return self._server("exim", lambda: Exim(self.scratch, self.pki, self.start_process))

    @property
    def recorder(self):
        from .servers import Recorder
        return self._server("recorder", lambda: Recorder(self.pki))

    @property
    def scripted(self):
        from .servers import Scripted
        return self._server("scripted", Scripted)

    @property
    def hops(self):
        """Postfix and Exim on the way to the recorder: hop1.test and hop2.test."""
        from .servers import EximHop, PostfixHop
        self._server("postfix hop", lambda: PostfixHop(self.scratch, self.pki, self.start_process))
        self._server("exim hop", lambda: EximHop(self.scratch, self.pki, self.start_process))
        return self.recorder

    def received(self, subject=None):
        """What arrived anywhere, or what arrived with this subject."""
        found = [m for server in self._servers.values() for m in server.received()]
        return [m for m in found if subject is None or m.subject == subject]

    def arrived(self, subject, count=1, seconds=20):
        """Waits until `count` copies have arrived; returns what has."""
        until(lambda: len(self.received(subject)) >= count, seconds)
        found = self.received(subject)
        check(len(found) == count, f"{subject}: {count} arrived", f"{len(found)} did")
        return found

    def close(self):
        for daemon in self.daemons:
            daemon.stop()
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()


def accepts(port):
    try:
        socket.create_connection(port, 1).close()
        return True
    except OSError:
        return False


def run(tests, needs=(), only_with=None):
    """Runs each test(lab); names on the command line choose among them.  `needs`: what has to be fetched; a test that makes
    no sense without one of these names it in `only_with` and is skipped where it cannot be had."""
    missing = world.enter(needs)
    if only_with in missing:
        print(f"skipped: {NEEDED_FOR[only_with]}: npm is not here, or its registry cannot be reached")
        sys.exit(77)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    scratch = Path(tempfile.mkdtemp(prefix="sendas-lab-"))
    scratch.chmod(0o755)
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    lab = None
    try:
        lab = Lab(scratch, missing)
        for test in chosen:
            start, before = time.monotonic(), len(_failures)
            try:
                test(lab)
            except Exception:
                check(False, f"{test.__name__} ran to its end", traceback.format_exc())
            print(f"{'ok  ' if len(_failures) == before else 'FAIL'} {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
    except Exception:
        check(False, "the lab started", traceback.format_exc())
    finally:
        if lab:
            lab.close()
            if _failures:
                for daemon in lab.daemons:
                    print(f"--- the end of {daemon.log}\n" + "\n".join(daemon.log_text().splitlines()[-25:]))
                print("--- what failed\n" + "\n".join(_failures[:30]))
        if os.environ.get("KEEP_LAB"):
            print(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    skipped = "".join(f", without {NEEDED_FOR[name]}" for name in missing)
    extra = "".join(f", {text}" for text in _notes)
    print(f"{_checks - len(_failures)} of {_checks} checks passed in {len(chosen)} cases{extra}{skipped}", flush=True)
    os._exit(1 if _failures or not _checks else 0)

