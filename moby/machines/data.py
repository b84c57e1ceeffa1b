"""The disk on which a machine keeps what lasts."""

import subprocess
from pathlib import Path

from moby.errors import HostUnfit
from moby.host import programs

__all__ = ["LABEL", "disk"]

LABEL = "moby-data"
SIZE_BYTES = 4 << 30
"""Of the file system; the file takes as much as is written."""


def disk(path: Path) -> Path:
    """Return a file with the file system of a machine's data; one that isn't there is made, and is empty."""
    if path.exists():
        return path.absolute()
    program = programs.find("mke2fs")
    if program is None:
        raise HostUnfit("a data disk is made by mke2fs, which isn't on PATH", hint="apt install e2fsprogs")
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.truncate(SIZE_BYTES)
        words = [program, "-q", "-t", "ext4", "-L", LABEL, "-E", "lazy_itable_init=1,lazy_journal_init=1", str(beside)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostUnfit(f"mke2fs failed: {done.stderr.strip()[-500:]}", hint="name another file for --data")
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    return path.absolute()
