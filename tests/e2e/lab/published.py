"""Domains as their owners publish them: a root, TLDs and one signed zone a domain on two authoritative servers.

    127.0.0.153      unbound, the resolver of sendas here
    192.0.2.53       nsd: the root, every TLD, arpa in one zone, and ns1.example: every domain
    192.0.2.54       Knot: ns2.example: every domain
    192.0.2.55       nobody: ns3.example
    203.0.113.25     the MX of gmail.com, outlook.com, yahoo.com and icloud.com: it greets
    203.0.113.26     refuses every connection        203.0.113.27   drops what comes to port 25
    198.51.100.N, 2001:db8:1::N    the host of domain number N
"""
import ipaddress
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from .testing import accepts, until
from .world import replace_file, sh

RESOLVER, NS1, NS2, NS3 = "127.0.0.153", "192.0.2.53", "192.0.2.54", "192.0.2.55"
GREETS, REFUSES, DROPS = "203.0.113.25", "203.0.113.26", "203.0.113.27"
GREETS6 = "2001:db8:2::25"
RECEIVERS = ("gmail.com", "outlook.com", "yahoo.com", "icloud.com")


def addresses(number):
    return f"198.51.100.{number}", f"2001:db8:1::{number:x}"


def reverse_name(address, zone=None):
    pointer = ipaddress.ip_address(address).reverse_pointer
    return pointer + "." if zone is None else pointer.replace("in-addr.arpa", zone).replace("ip6.arpa", zone) + "."


class Published:
    """add() each domain, then start()."""

    def __init__(self, lab):
        self.lab, self.dir = lab, lab.scratch / "published"
        self.dir.mkdir()
        self.domains, self.extra, self.reverse = {}, [], []     # extra: records of com, org and net, in full
        self.roots = []     # addresses at which the root is served too
        self.trust_anchor = self.dir / "root.key"
        for address in (NS1, NS2, NS3, GREETS, REFUSES, DROPS):
            sh("ip", "address", "add", f"{address}/32", "dev", "lo")
        sh("ip", "-6", "address", "add", f"{GREETS6}/128", "dev", "lo", "nodad")

    def host(self, number):
        """Gives this machine the addresses of one host."""
        v4, v6 = addresses(number)
        sh("ip", "address", "add", f"{v4}/32", "dev", "lo")
        sh("ip", "-6", "address", "add", f"{v6}/128", "dev", "lo", "nodad")
        return v4, v6

    def add(self, domain, records, lagging=None, second="ns2.example.", bogus=False):
        """`records`: lines of a zone file with full names.  `lagging`: the lines that the second server still has."""
        self.domains[domain] = (records, lagging, second, bogus)

    # ---- signing and serving

    def _sign(self, zone, name, text, serial=2, key=None):
        """(file, key's stem)"""
        if key is None:
            key = self.dir / sh("ldns-keygen", "-r", "/dev/urandom", "-a", "ECDSAP256SHA256", "-k", zone, cwd=self.dir).strip().splitlines()[-1]
        path = self.dir / f"{name}.zone"
        path.write_text(text.replace("SERIAL", str(serial)))
        sh("ldns-signzone", "-n", "-f", f"{path}.signed", path, key, cwd=self.dir)
        shutil.move(f"{path}.signed", path)
        return path, key

    def _soa(self, zone, *servers):
        lines = [f"{zone} 60 IN SOA {servers[0]} hostmaster.example. SERIAL 3600 600 86400 1"]
        return "\n".join(lines + [f"{zone} 60 IN NS {server}" for server in servers]) + "\n"

    def _domain(self, item):
        domain, (records, lagging, second, bogus) = item
        soa = self._soa(f"{domain}.", "ns1.example.", second)
        path, key = self._sign(f"{domain}.", domain, soa + "\n".join(records) + "\n")
        old = path
        if lagging is not None:
            old, _ = self._sign(f"{domain}.", f"{domain}.old", soa + "\n".join(lagging) + "\n", serial=1, key=key)
        ds = (self.dir / f"{key.name}.ds").read_text()
        if bogus:     # signed by a key that the parent does not know
            path, _ = self._sign(f"{domain}.", f"{domain}.bogus", soa + "\n".join(records) + "\n")
            old = path
        return domain, path, old, f"{domain}. 60 IN NS ns1.example.\n{domain}. 60 IN NS {second}\n{ds}"

    def start(self):
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(self._domain, self.domains.items()))
        first, second = {d: path for d, path, _, _ in made}, {d: old for d, _, old, _ in made}
        tld = self._soa("example.", "ns1.example.", "ns2.example.") + f"ns1.example. 60 IN A {NS1}\nns2.example. 60 IN A {NS2}\n" \
            f"ns3.example. 60 IN A {NS3}\n" + "".join(delegation for *_, delegation in made)
        first["example"], key = self._sign("example.", "example", tld)
        root = self._soa(".", "ns1.example.") + "example. 60 IN NS ns1.example.\nns1.example. 60 IN A " + NS1 + "\n"
        root += (self.dir / f"{key.name}.ds").read_text()
        for zone in ("com", "org", "net", "arpa"):
            lines = [line for line in self.extra + self.reverse if line.split()[0].endswith(f".{zone}.")]
            path = self.dir / f"{zone}.zone"
            path.write_text((self._soa(f"{zone}.", "ns1.example.") + "\n".join(lines) + "\n").replace("SERIAL", "1"))
            first[zone] = path
            root += f"{zone}. 60 IN NS ns1.example.\n"
        first["."], key = self._sign(".", "root", root)
        shutil.copy(f"{key}.key", self.trust_anchor)
        self._nsd(first)
        self._knot(second)
        self.resolver("unbound-published", RESOLVER)
        replace_file("/etc/resolv.conf", f"nameserver {RESOLVER}\n", self.dir)
        self._receivers()

    def _nsd(self, zones):
        folder = self.dir / "nsd"
        folder.mkdir()
        (folder / "nsd.conf").write_text(
            "server:\n" + "".join(f"  ip-address: {address}\n" for address in (NS1, *self.roots)) + f'  username: ""\n  chroot: ""\n  zonesdir: "{folder}"\n  database: ""\n  pidfile: ""\n'
            f'  zonelistfile: "{folder}/zone.list"\n  xfrdfile: "{folder}/xfrd.state"\n  server-count: 1\nremote-control:\n  control-enable: no\n'
            + "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{path}"\n' for zone, path in zones.items()))
        self.lab.start_process("nsd-published", ["nsd", "-d", "-c", folder / "nsd.conf"], port=(NS1, 53))

    def _knot(self, zones):
        folder = self.dir / "knot"
        folder.mkdir()
        (folder / "knot.conf").write_text(
            f"server:\n  listen: {NS2}@53\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
            f"database:\n  storage: {folder}\nlog:\n- target: stderr\n  any: warning\ntemplate:\n- id: default\n  storage: {self.dir}\n"
            "  zonefile-load: whole\n  journal-content: none\n  semantic-checks: off\nzone:\n"
            + "".join(f"- domain: {zone}.\n  file: {path}\n" for zone, path in zones.items()))
        self.lab.start_process("knot-published", ["knotd", "-c", folder / "knot.conf"], port=(NS2, 53))

    def resolver(self, name, address, *local_data):
        """An unbound at `address` that answers these records by itself."""
        folder = self.dir / name
        folder.mkdir()
        hints = folder / "hints"
        hints.write_text(f". 60 IN NS ns1.example.\nns1.example. 60 IN A {NS1}\n")
        (folder / "unbound.conf").write_text(
            f'server:\n  interface: {address}\n  access-control: 127.0.0.0/8 allow\n  do-daemonize: no\n  username: ""\n  chroot: ""\n'
            f'  directory: "{folder}"\n  pidfile: ""\n  use-syslog: no\n  logfile: ""\n  num-threads: 1\n  root-hints: "{hints}"\n'
            f'  trust-anchor-file: "{self.trust_anchor}"\n  do-not-query-localhost: no\n  do-ip6: no\n  unblock-lan-zones: yes\n'
            f'  insecure-lan-zones: yes\n' + "".join(f"  local-data: '{record}'\n" for record in local_data)
            + "remote-control:\n  control-enable: no\n")
        self.lab.start_process(name, ["unbound", "-d", "-c", folder / "unbound.conf"], port=(address, 53))

    # ---- the receivers' port 25

    def _receivers(self):
        for address in (GREETS, GREETS6):
            server = socket.create_server((address, 25), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=64)
            threading.Thread(target=self._greet, args=(server,), daemon=True).start()
        # Its queue of connections is full, so the kernel drops what comes.
        self.full = socket.create_server((DROPS, 25), backlog=0)
        self.filling = [socket.socket() for _ in range(4)]
        for s in self.filling:
            s.setblocking(False)
            s.connect_ex((DROPS, 25))
        if not until(lambda: not accepts((DROPS, 25)), 30):
            raise RuntimeError(f"{DROPS} does not drop")

    @staticmethod
    def _greet(server):
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"220 mx.receiver.example ESMTP\r\n")
                    connection.settimeout(5)
                    connection.recv(100)
                except OSError:
                    pass


def receivers_records():
    lines = []
    for receiver in RECEIVERS:
        lines += [f"{receiver}. 60 IN MX 5 mx.{receiver}.", f"mx.{receiver}. 60 IN A {GREETS}", f"mx.{receiver}. 60 IN AAAA {GREETS6}"]
    return lines
