"""A machine as user-mode Linux: a kernel that is a program, which needs no virtual machine."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from moby.errors import HostUnfit, Invalid
from moby.machines.machine import Machine

__all__ = ["command", "environment"]

HERE = Path(__file__).parent
_PARTS, _DISKS = frozenset(" \t\n"), frozenset(",:")
"""What divides a kernel's words, and the files of a disk of which one is written over the other."""
_MORE_REGISTERS = "amx_tile"
"""A processor with these has more registers than that kernel has room for."""


def command(
    machine: Machine, arguments: Sequence[str], report: int, folder: Path, *, memory_mb: int, data: Path | None
) -> list[str]:
    """Return what starts a machine at this terminal; `report` is a descriptor that it has, `folder` its own."""
    for path, odd in ((machine.initrd, _PARTS), (data, _PARTS | _DISKS)):
        if odd & set(str(path or "")):
            raise Invalid(f"user-mode Linux can't be given the path {str(path)!r}",
                          hint="choose one without spaces, and for --data without commas and colons")  # fmt: skip
    disk = [f"ubd0={data}"] if data else []
    return [
        str(machine.kernel), f"mem={memory_mb}M", f"uml_dir={folder}", "con=null", "con0=fd:0,fd:1", "ssl=null",
        f"ssl1=fd:{report}", f"initrd={machine.initrd}", *disk, *machine.command_line(arguments).split(),
    ]  # fmt: skip


def environment(memory_mb: int, folder: Path, cache: Path) -> dict[str, str]:
    """Return its environment: where its memory is a file, and what it needs on this processor."""
    found = dict(os.environ, TMPDIR=_memory_folder(memory_mb, folder))
    if _MORE_REGISTERS in Path("/proc/cpuinfo").read_text(encoding="utf-8").split():
        found["LD_PRELOAD"] = str(_registers(cache))
    return found


def _registers(cache: Path) -> Path:
    """Return the library by which that kernel has room for all registers, compiled once in a cache."""
    source = HERE / "registers.c"
    target = cache / f"registers-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not target.exists():
        compiler = shutil.which("gcc")
        if compiler is None:
            raise HostUnfit(
                "this processor has more registers than user-mode Linux has room for, and gcc isn't there",
                hint="apt install gcc libc6-dev, or boot without --uml",
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            out = Path(made, "registers.so")
            words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(out), str(source)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise HostUnfit(f"gcc failed: {done.stderr.strip()[-500:]}", hint="apt install libc6-dev")
            out.rename(target)
    return target


def _memory_folder(memory_mb: int, otherwise: Path) -> str:
    """Return where the machine's memory is a file: it should be in memory, and must be executable and have the room."""
    shm = Path("/dev/shm")  # noqa: S108
    if shm.is_dir() and os.access(shm, os.W_OK):
        found = os.statvfs(shm)
        if not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > memory_mb << 20:
            return str(shm)
    return str(otherwise)
