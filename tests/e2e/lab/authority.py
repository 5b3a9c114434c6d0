"""A domain whose two name servers can be made to say different things while a test runs, and a clock that can be stepped."""
import re
import signal
import subprocess
from glob import glob

import dns.message
import dns.query
import dns.rdatatype

from .daemon import SANITIZED
from .published import NS1, NS2
from .testing import until
from .world import sh

SERVERS = (NS1, NS2)


def ask(server, name, kind="TXT"):
    """The texts (or other records) that this server shows, past every cache; None when it does not answer."""
    try:
        question = dns.message.make_query(name, kind)
        answer = dns.query.udp(question, server, timeout=2)
        if answer.flags & 0x0200:     # TC
            answer = dns.query.tcp(question, server, timeout=2)
    except (OSError, dns.exception.DNSException):
        return None
    found = [r for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(kind) for r in rrset]
    return [b"".join(r.strings).decode() if kind == "TXT" else r.to_text() for r in found]


class Domain:
    """To be made before Published.start(); `records`: lines with full names, the same on both servers at first."""

    def __init__(self, published, name, records):
        self.published, self.name, self.serial = published, name, 2
        self.lines = {NS1: list(records), NS2: list(records)}
        published.add(name, records, lagging=records)

    def show(self, lines, *servers):
        """These servers have these records from now on; returns when they do."""
        key = self.published.dir / re.sub(r"\.key$", "", glob(f"{self.published.dir}/K{self.name}.*.key")[0])
        self.serial += 1
        for server in servers:
            self.lines[server] = list(lines)
            soa = self.published._soa(f"{self.name}.", "ns1.example.", "ns2.example.")
            self.published._sign(f"{self.name}.", self.name if server == NS1 else f"{self.name}.old", soa + "\n".join(lines) + "\n",
                                 serial=self.serial, key=key)
            process = self.published.lab.processes["nsd-published" if server == NS1 else "knot-published"]
            process.send_signal(signal.SIGHUP)
            wanted = f" {self.serial} "
            if not until(lambda s=server: any(wanted in soa for soa in ask(s, self.name, "SOA") or []), 30):
                raise RuntimeError(f"{server} does not show serial {self.serial} of {self.name}")

    def add(self, line, *servers):
        for server in servers or SERVERS:
            self.show(self.lines[server] + [line], server)

    def drop(self, pattern, *servers):
        for server in servers or SERVERS:
            self.show([line for line in self.lines[server] if not re.search(pattern, line)], server)


class Clock:
    """The clock of a daemon, moved by libfaketime: clock_gettime of both clocks tells a later time at once.  A sanitized daemon
    cannot be started so; it looks again on SIGHUP instead."""
    library = next(iter(glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)

    def __init__(self, scratch):
        self.file, self.offset = scratch / "clock", 0
        self.file.write_text("+0\n")

    @property
    def prefix(self):
        if SANITIZED:
            return ()
        if self.library is None:
            raise RuntimeError("libfaketime is not there: apt-get install faketime")
        return ("env", f"LD_PRELOAD={self.library}", f"FAKETIME_TIMESTAMP_FILE={self.file}", "FAKETIME_NO_CACHE=1")

    def step(self, daemon, seconds):
        if SANITIZED:
            daemon.process.send_signal(signal.SIGHUP)
            return
        self.offset += seconds
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"+{self.offset}\n")
        fresh.replace(self.file)

    @staticmethod
    def run_at(days, *args):
        """Runs a command `days` from now; returns its output."""
        done = subprocess.run(["faketime", "-f", f"+{days}d", *map(str, args)], capture_output=True, text=True, timeout=60)
        return done.stdout


def txt_line(name, value):
    return f"{name}. 60 IN TXT " + " ".join(f'"{value[i:i + 250]}"' for i in range(0, len(value), 250))


__all__ = ["Clock", "Domain", "SERVERS", "ask", "sh", "txt_line"]
