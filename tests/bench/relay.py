"""What the measurements share: the daemon under load, the sink behind it, the floor beside it.

Loopback only, unprivileged ports, nothing but what `make` built."""
import atexit
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
USER, PASSWORD = "load@example.org", "correct horse battery"
TICK = os.sysconf("SC_CLK_TCK")


def tool(name, *args):
    return [str(BUILD / "bench" / name), *map(str, args)]


print = functools.partial(print, flush=True)


def start(*args, **kwargs):
    process = subprocess.Popen(*args, **kwargs)
    atexit.register(process.kill)
    return process


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, step=0.02):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("bench: waited in vain")
        time.sleep(step)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "tls.key",
                    "-out", "tls.crt", "-days", "3650", "-subj", "/CN=mail.example.org"], cwd=folder, check=True, capture_output=True)
    return folder / "tls.crt", folder / "tls.key"


class Sink:
    """certificate: (certificate, key), to offer STARTTLS.  address: 0.0.0.0 is all of 127/8."""

    def __init__(self, port=None, certificate=(), address="127.0.0.1"):
        self.port = port or free_port()
        self.process = start(tool("sink", address, self.port, *certificate), stdout=subprocess.PIPE, text=True)
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, 5)

    def seen(self):
        self.process.send_signal(signal.SIGUSR1)
        keys = ("connections", "messages", "octets", "first_s", "last_s", "most_open")
        return dict(zip(keys, map(float, self.process.stdout.readline().split())))

    def wait(self, messages, seconds=600):
        wait_for(lambda: self.seen()["messages"] >= messages, seconds)

    def stop(self):
        self.process.terminate()
        self.process.communicate()


class Memory(threading.Thread):
    """The most that a process holds, five times a second: PSS where we may look (root may), otherwise nothing."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.peak_kb, self.over = f"/proc/{pid}/smaps_rollup", 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.2):
            try:
                self.peak_kb = max(self.peak_kb, int(re.search(r"^Pss:\s+(\d+)", Path(self.path).read_text(), re.M)[1]))
            except (OSError, TypeError):
                return

    def pss_mb(self):
        self.over.set()
        self.join()
        return self.peak_kb / 1024 if self.peak_kb else None


class Relay:
    """sendas with one RSA-2048 key and `routes`: {domain: port on the loopback, or (host, port)}."""

    def __init__(self, folder, routes, **settings):
        self.dir, self.port = folder, free_port()
        subprocess.run(["openssl", "genrsa", "-out", "dkim.pem", "2048"], cwd=folder, check=True, capture_output=True)
        if not (folder / "tls.crt").exists():
            make_certificate(folder)
        hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
        self.write("users.yaml", {"users": [{"name": USER, "send_as": ["*@example.org"], "passwords": [{"label": "load", "hash": hashed}]}]})
        places = {d: p if isinstance(p, tuple) else ("127.0.0.1", p) for d, p in routes.items()}
        config = {
            "hostname": "mail.example.org",
            "listen": [{"address": "127.0.0.1", "port": self.port, "tls": "starttls"}],
            "tls": {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")},
            "domains": [{"name": "example.org", "dkim": [{"selector": "s1", "key": str(folder / "dkim.pem")}]}],
            "users": str(folder / "users.yaml"),
            "limits": {"connections": 2000, "connections_per_ip": 2000, "messages_per_user": 0, **settings.get("limits", {})},
            "queue": {"path": str(folder / "queue.db"), **settings.get("queue", {})},
            "dns": {"servers": ["127.0.0.1@9"], "trust_anchor": "none"},
            "delivery": {"routes": [{"domain": d, "host": host, "port": port} for d, (host, port) in places.items()],
                         "connections_per_domain": 20, **settings.get("delivery", {})},
        }
        self.write("sendas.yaml", config)
        for name in ("dkim.pem", "tls.key", "users.yaml"):
            (folder / name).chmod(0o600)
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = start([*os.environ.get("BENCH_UNDER", "").split(), str(BUILD / "sendas"), "serve", "-c", str(folder / "sendas.yaml")], stderr=log)
        wait_for(lambda: b"event=ready" in self.log.read_bytes() or self.process.poll() is not None, 30)
        if self.process.poll() is not None:
            sys.exit(self.log.read_text())

    def write(self, name, value):
        (self.dir / name).write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in value.items()))

    def cpu_s(self):
        """Of all its threads, to the nanosecond where the kernel tells (none of them ends while it runs)."""
        try:
            return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")) / 1e9
        except (OSError, IndexError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mb(self, key="VmRSS"):
        return int(re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(), re.M)[1]) / 1024

    def cli(self, *args):
        return subprocess.run([str(BUILD / "sendas"), *args, "-c", str(self.dir / "sendas.yaml")], check=True, capture_output=True, text=True).stdout

    def events(self, name):
        return self.log.read_bytes().count(b"event=" + name.encode() + b" ")

    def load(self, sessions, messages, size, recipient, domains=1, per_connection=0):
        out = subprocess.run(tool("load", "127.0.0.1", self.port, USER, PASSWORD, sessions, messages, size, recipient, domains, per_connection),
                             stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        return dict(zip(("accepted", "seconds", "p50_ms", "p99_ms"), map(float, out)))

    def hold(self, sessions):
        """That many sessions, logged in and idle until its standard input ends."""
        process = start(tool("load", "127.0.0.1", self.port, USER, PASSWORD, sessions, 0, 0, "nobody", 1, 0), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if process.stdout.readline() != b"idle\n":
            sys.exit("bench: not all sessions came to be idle")
        return process

    def switches(self):
        """How often its threads have stopped to wait, and gone on."""
        return sum(int(n) for status in Path(f"/proc/{self.process.pid}/task").glob("*/status")
                   for n in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.M))

    def stop(self):
        self.process.terminate()
        if self.process.wait(20) != 0:
            sys.exit(f"sendas: exit {self.process.returncode}\n{self.log.read_text()[-2000:]}")


def floor(size, folder):
    """In milliseconds: what tests/bench/floor.c says."""
    out = subprocess.run(tool("floor", size, folder / "tls.crt", folder / "tls.key", folder), stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(zip(("sign", "sha256", "aes", "handshake", "fsync", "sync_cpu", "turn", "turn_alone"), (float(x) / 1000 for x in out.split())))


def scratch():
    return tempfile.TemporaryDirectory(prefix="sendas-bench-", dir=os.environ.get("BENCH_DIR"))
