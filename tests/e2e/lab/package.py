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
          "root/", "proc/", "dev/", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-")

BOOT = """[Unit]
DefaultDependencies=no
After=systemd-journald.socket
[Service]
Type=oneshot
ExecStart=/bin/sh /root/boot.sh
ExecStopPost=/bin/systemctl --force --force poweroff
"""


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

    def boot(self, script, seconds=120):
        """Runs a script under systemd as PID 1, in namespaces of its own; returns its output, or None where there is no cgroup2."""
        group = next((line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"), None)
        if group is None:
            return None
        group = Path(group) / f"sendas-{os.getpid()}"
        group.mkdir()
        (self.root / "root/boot.sh").write_text(f"exec >/root/boot.log 2>&1\n{script}")
        (self.root / "etc/systemd/system/boot.service").write_text(BOOT)
        os.makedirs(self.root / "run/systemd", exist_ok=True)
        inside = (f"echo $$ >{group}/cgroup.procs && exec unshare --pid --fork --kill-child --mount --propagation private --cgroup --uts --ipc "
                  f"sh -c 'mount -t proc proc {self.root}/proc && mount --bind -o ro {self.root}/proc/sys {self.root}/proc/sys && "
                  f"mount -t sysfs sysfs {self.root}/sys && mount -t cgroup2 cgroup2 {self.root}/sys/fs/cgroup && exec \"$@\"' boot \"$@\"")
        command = self.command("container=docker", "/lib/systemd/systemd", "--system", "--unit=boot.service", "--log-target=console")
        try:
            subprocess.run(["sh", "-c", inside, "boot", *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for folder in sorted((p for p in [group, *group.rglob("*")] if p.is_dir()), reverse=True):
                folder.rmdir()
        log = self.root / "root/boot.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        for path in (log, self.root / "root/boot.sh", self.root / "etc/systemd/system/boot.service"):
            path.unlink(missing_ok=True)
        return text

    def take(self, package):
        shutil.copy(package, self.root / "root")
        return f"/root/{package.name}"

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
