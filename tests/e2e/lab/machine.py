"""A rented machine on its first day: /etc and /var/lib that nothing can spoil, an interface with public addresses, and the Internet's
names as they are asked for: thirteen addresses of the root, and certificates that every system trusts."""
import ctypes
import os
import shutil
import socket
import subprocess
import threading

from .daemon import BINARY
from .testing import equal, until
from .world import sh

# Nobody's any more (44.128/16: tests of radio amateurs; RFC 3701: the 6bone).  Resolvers know no reverse names of documentation addresses (RFC 6303).
V4, V6, GATEWAY = "44.128.0.77", "3ffe:501::77", "44.128.0.1"
# The root's servers, as every resolver knows them (RFC 8109; www.internic.net/domain/named.root).
ROOTS = ("198.41.0.4", "170.247.201.58", "199.9.14.201", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241", "192.112.36.4",
         "198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42", "202.12.27.33")
ROOT_KEY = "/var/lib/unbound/root.key"
USER = "sendas"


class Machine:
    """To be made before anything is put up over a file of /etc."""

    def __init__(self, lab):
        self.lab, over = lab, lab.scratch / "over"
        over.mkdir()
        sh("mount", "-t", "tmpfs", "over", over)
        for top in ("/etc", "/var/lib"):
            upper, work = over / f"upper{top.replace('/', '-')}", over / f"work{top.replace('/', '-')}"
            upper.mkdir(), work.mkdir()
            sh("mount", "-t", "overlay", "over", "-o", f"lowerdir={top},upperdir={upper},workdir={work}", top)
        for folder in ("/etc/sendas", "/var/lib/sendas", "/etc/letsencrypt"):
            shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["userdel", USER], capture_output=True)
        sh("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "provider0")
        self.outside = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        until(lambda: os.stat(self._namespace).st_ino != os.stat("/proc/self/ns/net").st_ino)
        sh("ip", "link", "set", "provider0", "netns", self.outside.pid)
        sh("ip", "link", "set", "eth0", "up")
        self._outside("ip", "link", "set", "provider0", "up")
        self._outside("ip", "address", "add", f"{GATEWAY}/24", "dev", "provider0")
        sh("ip", "address", "add", f"{V4}/24", "dev", "eth0")
        sh("ip", "address", "add", f"{V6}/64", "dev", "eth0", "nodad")
        for address in ROOTS:
            sh("ip", "address", "add", f"{address}/32", "dev", "lo")
        programs = lab.scratch / "bin"
        programs.mkdir()
        self.program = shutil.copy(BINARY, programs / "sendas")
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"

    @property
    def _namespace(self):
        return f"/proc/{self.outside.pid}/ns/net"

    def _outside(self, *args):
        sh("nsenter", f"--net={self._namespace}", *args)

    def listen_outside(self, address, port):
        """A listening socket of another machine, which is reached through the provider."""
        self._outside("ip", "address", "add", f"{address}/32", "dev", "provider0")
        sh("ip", "route", "add", f"{address}/32", "via", GATEWAY)
        made = []

        def make():     # the namespace is the thread's own
            with open(self._namespace, "rb") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), 0) == 0:
                    made.append(socket.create_server((address, port)))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    @staticmethod
    def trust_root_key(path):
        """What a system's package keeps up to date."""
        os.makedirs(os.path.dirname(ROOT_KEY), exist_ok=True)
        shutil.copy(path, ROOT_KEY)
        os.chmod(ROOT_KEY, 0o644)

    @staticmethod
    def trust(*roots):
        """Certificate authorities that the whole system trusts from now on, as update-ca-certificates leaves them."""
        for root in roots:
            text = open(root, encoding="ascii").read()
            with open("/etc/ssl/certs/ca-certificates.crt", "a", encoding="ascii") as bundle:
                bundle.write(text)
            name = f"/etc/ssl/certs/{sh('openssl', 'x509', '-noout', '-hash', '-in', root).strip()}.0"
            shutil.copy(root, name)
            os.chmod(name, 0o644)

    @staticmethod
    def type(line, code=0, seconds=60):
        """What somebody types as root; its standard output."""
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=seconds)
        equal(done.returncode, code, f"{line}: exit code; {done.stderr}")
        return done.stdout

    def serve(self, log):
        """The service, as its unit starts it: as its own user, with one capability."""
        with open(log, "ab") as out:
            return subprocess.Popen(["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--bounding-set", "-all,+net_bind_service",
                                     "--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service", "--no-new-privs",
                                     self.program, "serve"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
