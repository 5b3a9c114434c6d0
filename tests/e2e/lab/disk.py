"""A disk that fails on demand."""
import mmap
import os
import struct

from .daemon import SANITIZED
from .world import ROOT, sh


class Disk:
    """What the daemon's disk does (shims/disk.c)."""

    def __init__(self, world):
        library, path = world.scratch / "disk.so", world.scratch / "disk"
        memory = [] if SANITIZED else ["-DWITH_MEMORY"]
        sh("gcc", "-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", *memory, "-o", library, ROOT / "tests/e2e/shims/disk.c", "-ldl")
        path.write_bytes(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.prefix = ["env", f"LD_PRELOAD={library}", f"DISK={path}"]
        if SANITIZED:
            self.prefix.append("ASAN_OPTIONS=verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""))

    def fails(self, calls, error):
        self.memory[0:12] = struct.pack("3I", calls, error, 0)

    def works(self):
        failed = struct.unpack("I", self.memory[8:12])[0]
        self.memory[0:4] = bytes(4)
        return failed
