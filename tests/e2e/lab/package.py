"""The Debian package, installed in a copy of a system that nothing can spoil: an overlay of "/", or of the folder that
INSTALL_ROOT names."""
import os
import shutil
import stat
import subprocess
from pathlib import Path

from .daemon import BINARY
from .world import ROOT, sh

# What every package leaves behind, or another program writes when one comes or goes.
COMMON = ("var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/deb-systemd-helper-enabled", "etc/.pwd.lock", "run/", "tmp/",
          "proc/", "dev/", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-")


def build(folder, version):
    """Builds the package of the program under test; returns its file."""
    folder.mkdir(parents=True)
    return Path(sh(ROOT / "conf/debian/build", Path(BINARY).parent.resolve(), version, folder, cwd=ROOT).strip().splitlines()[-1])


class Copy:
    """A system to install into.  Its files are the lower layer's until somebody writes them."""

    def __init__(self, scratch):
        self.lower = Path(os.environ.get("INSTALL_ROOT", "/"))
        self.layers, self.root = scratch / "layers", scratch / "system"
        self.layers.mkdir()
        self.root.mkdir()
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "layers", self.layers)
        self.upper, work = self.layers / "upper", self.layers / "work"
        self.upper.mkdir()
        work.mkdir()
        sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.lower},upperdir={self.upper},workdir={work}", self.root)
        sh("mount", "--rbind", "/dev", self.root / "dev")
        sh("mount", "--bind", "/proc", self.root / "proc")
        for name in ("run", "tmp"):
            sh("mount", "-t", "tmpfs", "-o", "mode=1777" if name == "tmp" else "mode=755", name, self.root / name)
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")

    def write(self, name, text):
        path = self.root / name
        if path.is_symlink():
            path.unlink()
        path.write_text(text)

    def command(self, *args):
        return ["chroot", str(self.root), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root",
                "DEBIAN_FRONTEND=noninteractive", *(f"{k}={v}" for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")),
                *map(str, args)]

    def run(self, *args, stdin=b""):
        """Runs a command in there; returns (exit code, output and errors as text)."""
        done = subprocess.run(self.command(*args), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        return done.returncode, done.stdout.decode(errors="replace")

    def take(self, package):
        shutil.copy(package, self.root / "tmp")
        return f"/tmp/{package.name}"

    def modes(self, top):
        """{path: "owner:group mode"} of everything below `top`."""
        code, text = self.run("find", top, "-printf", r"%p %u:%g %m\n")
        return dict(line.split(" ", 1) for line in text.splitlines()) if code == 0 else {}

    def residue(self):
        """What is otherwise than in the lower layer: files that came, went or changed."""
        found = []
        for path in sorted(self.upper.rglob("*")):
            name = str(path.relative_to(self.upper))
            below, info = self.lower / name, path.lstat()
            if any((name + "/").startswith(part) or name == part for part in COMMON) or name in ("etc/resolv.conf", "etc/hosts"):
                continue
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                found.append(f"{name} went")
            elif not os.path.lexists(below):
                found.append(f"{name} came")
            elif path.is_file() and not path.is_symlink() and path.read_bytes() != below.read_bytes():
                found.append(f"{name} changed")
        return found
