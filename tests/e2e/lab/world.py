"""The namespaces that a test lives in, and what has to be fetched before its network is gone."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / "build"
EXIM = CACHE / "exim/root/usr/sbin/exim4"
NPM = CACHE / "npm"
INSIDE = "SENDAS_LAB_INSIDE"


def sh(*args, **kwargs):
    """Runs a command that has to succeed; returns its output."""
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def fetch_exim():
    """Postfix and Exim exclude each other as packages, so Exim is unpacked beside the system."""
    if EXIM.exists():
        return
    folder = CACHE / "exim"
    folder.mkdir(parents=True, exist_ok=True)
    sh("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "exim4-daemon-light", cwd=folder)
    for package in folder.glob("exim4-daemon-light_*.deb"):
        sh("dpkg-deb", "-x", package, folder / "root.new")
    os.replace(folder / "root.new", folder / "root")


def fetch_npm():
    """nodemailer and mailauth; False where npm is missing or its registry cannot be reached."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    source = ROOT / "tests/e2e/npm"
    wanted = (source / "package.json").read_text()
    complete, failed = NPM / "complete", NPM / "failed"
    if not complete.exists() or complete.read_text() != wanted:
        if failed.exists() and time.time() - failed.stat().st_mtime < 600:     # one attempt a run of all tests is enough
            return False
        NPM.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "package.json", NPM)
        done = subprocess.run(["timeout", "120", "npm", "install", "--silent", "--no-package-lock", "--ignore-scripts", "--omit=optional",
                               "--no-audit", "--no-fund"], cwd=NPM, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            failed.touch()
            return False
        complete.write_text(wanted)
    for script in source.glob("*.mjs"):
        shutil.copy(script, NPM)
    return True


FETCH = {"exim": fetch_exim, "npm": fetch_npm}


def enter(needs):
    """Starts this program again in namespaces of its own; returns only there, with what could not be fetched."""
    if INSIDE in os.environ:
        _mount()
        return os.environ[INSIDE].split()
    if os.geteuid() != 0:
        if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvp("sudo", ["sudo", "-n", "-E", sys.executable, *sys.argv])
        sys.exit("This test makes its own network, mail and DNS servers in Linux namespaces, and only root may do that.\n"
                 "Please run it as root, for instance: sudo make check")
    missing = [name for name in needs if FETCH[name]() is False]
    os.environ[INSIDE] = " ".join(missing)
    os.execvp("unshare", ["unshare", "--net", "--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child",
                          sys.executable, *sys.argv])


def _mount():
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "address", "add", "192.0.2.1/32", "dev", "lo")     # some programs look names up only where there is more than 127.0.0.1
    if subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL).returncode != 0:
        _leave_shared_root()
    sh("mount", "-t", "proc", "proc", "/proc")


def _leave_shared_root():
    """In a chroot "/" is no mount point, so that what is mounted here might show outside.  /proc always is one:
    a private copy of the tree is put up there and entered."""
    sh("mount", "--make-rprivate", "/proc")
    sh("mount", "-t", "tmpfs", "lab", "/proc")
    os.mkdir("/proc/root")
    sh("mount", "--rbind", "/", "/proc/root")
    sh("mount", "--make-rprivate", "/proc/root")
    here = os.getcwd()
    os.chroot("/proc/root")
    os.chdir(here)


def replace_file(path, text, scratch):
    """Shows `text` instead of the system's file, inside our mount namespace only."""
    mine = scratch / ("etc-" + os.path.basename(path))
    mine.write_text(text)
    mine.chmod(0o644)
    sh("mount", "--bind", mine, os.path.realpath(path))
