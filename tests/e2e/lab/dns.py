"""nsd serves a private root and the zones below it, signed by ldns-signzone; unbound validates on 127.0.0.1."""
import shutil
import subprocess

from .world import replace_file, sh

AUTHORITATIVE = "127.0.0.54"
SOA = "@ 60 IN SOA ns. hostmaster.ns. 1 3600 600 86400 1\n@ 60 IN NS ns.\n"

TEST_ZONE = """
mx1 60 IN A 127.0.0.2
mx2 60 IN A 127.0.0.3
mx3 60 IN A 127.0.0.4
mx4 60 IN A 127.0.0.5
hop1 60 IN A 127.0.0.8
utf8.hop1 60 IN A 127.0.0.8
hop2 60 IN A 127.0.0.9
dead 60 IN A 127.0.0.99
nullmx 60 IN MX 0 .
nomx 60 IN A 127.0.0.4
fallback 60 IN MX 10 mx4
fallback 60 IN MX 20 mx3
refused 60 IN MX 10 dead
refused 60 IN MX 20 mx3
odd 60 IN MX 10 mx4
relay 60 IN A 127.0.0.7
loop 60 IN MX 10 mail.example.org.
noaddress 60 IN MX 10 nohost
nohost 60 IN TXT "no address here"
unsigned 60 IN NS ns.
ca 60 IN A 127.0.0.14
""" + "".join(f"d{n} 60 IN MX 10 mx{(n - 1) % 3 + 1}\n" for n in range(1, 11))


def txt(value):
    """A TXT value in strings of at most 255 octets."""
    return " ".join(f'"{value[i:i + 255]}"' for i in range(0, len(value), 255))


def sender_zone(keys, ip="127.0.0.10"):
    """The zone of a domain that sends by sendas.  keys: {selector: "v=DKIM1; ..."}"""
    lines = ["@ 60 IN MX 10 mx3.test.", "@ 60 IN A 127.0.0.4", f'@ 60 IN TXT "v=spf1 ip4:{ip} -all"',
             '_dmarc 60 IN TXT "v=DMARC1; p=reject; aspf=s; adkim=s"', f"mail 60 IN A {ip}",
             f'mail 60 IN TXT "v=spf1 ip4:{ip} -all"']
    lines += [f"{selector}._domainkey 60 IN TXT {txt(value)}" for selector, value in keys.items()]
    return "\n".join(lines) + "\n"


class Dns:
    def __init__(self, scratch, start):
        self.dir = scratch / "dns"
        self.dir.mkdir()
        self.scratch, self.start_process = scratch, start
        self.zones = {"test": TEST_ZONE, "unsigned.test": "@ 60 IN MX 10 mx3.test.\n", "bogus.test": "@ 60 IN MX 10 mx3.test.\n"}
        self.unsigned = {"unsigned.test", "bogus.test"}
        self.trust_anchor = self.dir / "root.key"

    def _key(self, zone):
        """A key that signs keys and data alike; returns its file's stem."""
        return self.dir / sh("ldns-keygen", "-r", "/dev/urandom", "-a", "ECDSAP256SHA256", "-k", zone, cwd=self.dir).strip().splitlines()[-1]

    def _write(self, zone, text, sign_with):
        name = zone or "root"
        path = self.dir / f"{name}.zone"
        path.write_text(f"$ORIGIN {zone}.\n{SOA}{text}")
        if sign_with:
            sh("ldns-signzone", "-n", "-f", f"{path}.signed", path, sign_with, cwd=self.dir)
            shutil.move(f"{path}.signed", path)
        return path

    def start(self):
        root, files, bogus_ds = "ns. 60 IN A " + AUTHORITATIVE + "\n", {}, ""
        for zone, text in sorted(self.zones.items(), key=lambda item: item[0] == "test"):
            key = self._key(zone)
            ds = (self.dir / f"{key.name}.ds").read_text()
            if zone == "bogus.test":     # the parent says it is signed, and it is not
                bogus_ds = "bogus 60 IN NS ns.\n" + ds
            if zone == "test":
                text += bogus_ds
            if not zone.endswith(".test"):
                root += f"{zone}. 60 IN NS ns.\n{ds}"
            files[zone] = self._write(zone, text, None if zone in self.unsigned else key)
        key = self._key(".")
        shutil.copy(f"{key}.key", self.trust_anchor)
        files["."] = self._write("", root, key)
        zones = "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{path}"\n' for zone, path in files.items())
        (self.dir / "nsd.conf").write_text(
            f'server:\n  ip-address: {AUTHORITATIVE}\n  username: ""\n  chroot: ""\n  zonesdir: "{self.dir}"\n  database: ""\n'
            f'  pidfile: ""\n  zonelistfile: "{self.dir}/zone.list"\n  xfrdfile: "{self.dir}/xfrd.state"\n  server-count: 1\n'
            f"remote-control:\n  control-enable: no\n{zones}")
        (self.dir / "hints").write_text(f". 60 IN NS ns.\nns. 60 IN A {AUTHORITATIVE}\n")
        (self.dir / "unbound.conf").write_text(
            f'server:\n  interface: 127.0.0.1\n  access-control: 127.0.0.0/8 allow\n  do-ip6: no\n  do-daemonize: no\n  username: ""\n'
            f'  chroot: ""\n  directory: "{self.dir}"\n  pidfile: ""\n  use-syslog: no\n  logfile: ""\n  num-threads: 1\n'
            f'  root-hints: "{self.dir}/hints"\n  trust-anchor-file: "{self.trust_anchor}"\n  do-not-query-localhost: no\n'
            f'  local-zone: "test." nodefault\n  unblock-lan-zones: yes\n  insecure-lan-zones: yes\n  cache-max-negative-ttl: 1\n'
            f"remote-control:\n  control-enable: no\n")
        self.start_process("nsd", ["nsd", "-d", "-c", self.dir / "nsd.conf"], port=(AUTHORITATIVE, 53))
        self.start_process("unbound", ["unbound", "-d", "-c", self.dir / "unbound.conf"], port=("127.0.0.1", 53))
        replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n", self.scratch)
        answer = subprocess.run(["drill", "-D", "mx", "d1.test", "@127.0.0.1"], capture_output=True, text=True).stdout
        if " ad" not in answer or "mx1.test." not in answer:
            raise RuntimeError(f"the lab's DNS does not validate:\n{answer}")
