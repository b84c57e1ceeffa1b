"""What a program needs to be loaded, read off its file: an ELF program's libraries, a script's interpreter."""

import os
import re
import struct
import subprocess
from pathlib import Path

from attrs import frozen

from moby.errors import HostUnfit, Invalid

__all__ = ["interpreter_of", "needs_of"]

_PT_INTERP = 3
_LONGEST_LINE = 256
_LINE = re.compile(r"\s*(?:(?P<name>\S+) => )?(?P<path>/.*?)(?: \(0x[0-9a-f]+\))?")
_TIMEOUT_S = 20


@frozen
class _Layout:
    """Where an ELF class keeps what is wanted here (elf(5)): formats of the header's tail and of a segment."""

    header: str
    segment: str
    fields: tuple[int, int, int]
    """Places of type, offset and file size in a segment."""


_CLASSES = {1: _Layout("HHIIIIIHHH", "IIIIIIII", (0, 1, 4)), 2: _Layout("HHIQQQIHHH", "IIQQQQQQ", (0, 2, 5))}


def interpreter_of(path: Path) -> str:
    """Return the loader that an ELF program asks for, or a script's interpreter; empty where it needs none.

    Invalid where the file is neither; HostUnfit where it can't be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST_LINE)
            if head.startswith(b"#!"):
                words = head[2:].partition(b"\n")[0].split()
                return os.fsdecode(words[0]) if words else ""
            return _loader(head, file.fileno(), path)
    except OSError as error:
        raise HostUnfit(f"can't read {path}: {error.strerror}", hint="run as a user who may read it") from error


def needs_of(path: Path) -> tuple[str, ...]:
    """Return the absolute paths of all files that running a program loads besides itself, in no set order.

    An ELF program's are asked of its own loader, which works for each C library and processor that the host runs;
    HostUnfit names a library that isn't there.
    """
    scripts: list[str] = []
    while not _is_elf(path) and (interpreter := interpreter_of(path)):
        if interpreter in scripts:
            raise Invalid(f"{path} and its interpreter go round in circles")
        scripts.append(interpreter)
        path = Path(interpreter)
    return (*scripts, *_loaded(path, interpreter_of(path)))


def _loaded(path: Path, interpreter: str) -> tuple[str, ...]:
    """Ask the loader of an ELF program."""
    if not interpreter:
        return ()
    command = [interpreter, "--list", os.fspath(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostUnfit(f"can't ask {interpreter} which libraries {path} loads: {error}") from error
    missing = [line.split(" => ")[0].strip() for line in done.stdout.splitlines() if line.endswith("=> not found")]
    if missing:
        raise HostUnfit(f"{path} needs {', '.join(missing)}, which isn't there", hint="install the package of it")
    if done.returncode:
        raise HostUnfit(f"{interpreter} can't load {path}: {done.stderr.strip() or done.stdout.strip()}")
    found = (_LINE.fullmatch(line) for line in done.stdout.splitlines())
    return (interpreter, *(line["path"] for line in found if line))


def _is_elf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError as error:
        raise HostUnfit(f"can't read {path}: {error.strerror}", hint="run as a user who may read it") from error


def _loader(head: bytes, fd: int, path: Path) -> str:
    """Find the segment PT_INTERP; a static program has none."""
    layout = _CLASSES.get(head[4]) if len(head) >= 20 else None
    if not head.startswith(b"\x7fELF") or layout is None:
        raise Invalid(f"{path} is neither an ELF program nor a script", hint="add other files with --add")
    order = ">" if head[5] == 2 else "<"
    try:
        _, _, _, _, offset, _, _, _, size, count = struct.unpack_from(order + layout.header, head, 16)
        for number in range(count):
            segment = os.pread(fd, struct.calcsize(order + layout.segment), offset + number * size)
            values = struct.unpack(order + layout.segment, segment)
            kind, start, length = (values[place] for place in layout.fields)
            if kind == _PT_INTERP:
                return os.fsdecode(os.pread(fd, min(length, 4096), start).rstrip(b"\0"))
    except (struct.error, OSError, OverflowError, ValueError):
        raise Invalid(f"{path} is a damaged ELF file") from None
    return ""
