"""User-mode Linux: pure control groups of version 2 (cpu, io, memory, pids), one processor; boots in a second.

Its root is this machine's by hostfs, read-only, so there is no image.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from guests.machine import CACHE, Guest, Launch
from guests.modules import module_tree
from peers import binaries

_MODULES = ("overlay", "veth", "bridge", "dummy", "brd", "ipvlan", "macvlan", "8021q")
_MEMORY_MB = 1024


@cache
def uml() -> Guest:
    """Return the guest; skips the test where Debian's package couldn't be had."""
    program = binaries.need("linux.uml", "uml")
    folder = binaries.file("usr/lib/uml/modules", "uml")
    if _lacks_room(program):
        pytest.skip("user-mode Linux has no room for this processor's registers (AMX); other processors run it")

    def boot(launch: Launch, short: Path, shared: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
        return launch(
            [
                program, f"mem={_MEMORY_MB}M", f"uml_dir={short}", "con=null", "con0=null,fd:1", "con1=null",
                "ssl=null", "quiet", "panic=-1", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                f"init={words[0]}", *words[1:],
            ],
            env=os.environ | {"TMPDIR": _memory_folder(short)},
        )  # fmt: skip

    return Guest("uml", module_tree(CACHE, folder), _MODULES, boot)


def _lacks_room(program: Path) -> bool:
    """Whether the kernel can't give its processes their registers: it was built for processors with fewer."""
    with tempfile.TemporaryDirectory(prefix="moby-guest-") as short:
        words = [
            program, "mem=64M", f"uml_dir={short}", "con=null", "con0=null,fd:1", "con1=null", "ssl=null", "quiet",
            "panic=-1", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "init=/bin/true",
        ]  # fmt: skip
        said = subprocess.run(
            words, env=os.environ | {"TMPDIR": short}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=60, check=False,
        ).stdout  # fmt: skip
    return b"ptrace set fp regs failed" in said


def _memory_folder(otherwise: Path) -> str:
    """Return where the guest's memory is a file: it should be in memory, and must be executable and have the room."""
    shm = Path("/dev/shm")
    if shm.is_dir() and os.access(shm, os.W_OK):
        found = os.statvfs(shm)
        if not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > _MEMORY_MB * 2**20:
            return str(shm)
    return str(otherwise)
