"""Compresses rotated files in a process of its own, which the writer never waits for and need not outlive.

Its header is docker's: the extra field holds, as JSON, `lastTime`, by which a reader passes over a file that ended
before what it wants; and `inode` of what was compressed, by which one who follows knows where it was.
"""

import contextlib
import json
import os
import time
import zlib
from pathlib import Path
from typing import BinaryIO, NoReturn

from moby.host import processes
from moby.oci.times import nano
from moby_log.files.folder import folder_locked, rotated

__all__ = ["Compression", "compress"]

_BLOCK = 1 << 18
_MAGIC, _EXTRA_FIELD = b"\x1f\x8b\x08", 4
_left: set[int] = set()
"""Processes that went on when their logs were closed, and aren't reaped yet."""


class Compression:
    """At most one process at a time that compresses what is rotated of a log and isn't compressed, the oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running = 0

    def clear(self) -> None:
        """Remove what a killed process left unfinished."""
        _reap_left()
        name = self._path.name
        for each in self._path.parent.iterdir():
            if each.name.startswith(f"{name}.") and each.name.endswith(".gz.part"):
                each.unlink(missing_ok=True)

    def start(self) -> None:
        """Compress what there is, unless that goes on already; where no process can be made, it stays as it is."""
        _reap_left()
        if self._running and not _ended(self._running):
            return
        self._running = 0
        with contextlib.suppress(OSError):
            self._running, pidfd = processes.fork(lambda: _apart(self._path))
            os.close(pidfd)

    def close(self) -> None:
        """Forget the process, which goes on to its end and is reaped when there is a log to be opened or closed."""
        if self._running:
            _left.add(self._running)
            self._running = 0
        _reap_left()


def _reap_left() -> None:
    _left.difference_update([each for each in _left if _ended(each)])


def _ended(pid: int) -> bool:
    """Whether a child has ended, which is reaped then; one of whom this process is just a copy of the parent counts."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def _apart(path: Path) -> NoReturn:
    # The writer's own descriptors would stay open here: pipes of containers, sockets of clients.
    processes.close_other_descriptors([])
    with contextlib.suppress(OSError):
        os.nice(10)
    os.chdir("/")
    with contextlib.suppress(OSError):
        compress(path)
    os._exit(0)


def compress(path: Path) -> None:
    """Compress all rotated files of a log that aren't; OSError where the disk is full, and then the file stays."""
    while True:
        plain = next((each for each in rotated(path) if not each.compressed), None)
        if plain is None:
            return
        part = path.with_name(f"{path.name}.{os.getpid()}.gz.part")
        try:
            with plain.path.open("rb") as source, part.open("xb") as target:
                os.fchmod(target.fileno(), 0o640)
                _copy(source, target)
                _replace(path, source, part)
        except FileNotFoundError:
            continue  # rotated away meanwhile
        finally:
            part.unlink(missing_ok=True)


def _replace(path: Path, source: BinaryIO, part: Path) -> None:
    """Put the compressed file in the place that its source has by now, if that is still there."""
    inode = os.fstat(source.fileno()).st_ino
    with folder_locked(path.parent):
        for each in rotated(path):
            if not each.compressed and each.path.stat().st_ino == inode:
                part.rename(each.path.with_name(f"{each.path.name}.gz"))
                each.path.unlink()


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    """Write what RFC 1952 calls a member: header, deflated data, checksum, length."""
    state = os.fstat(source.fileno())
    extra = json.dumps({"lastTime": nano(state.st_mtime_ns), "inode": state.st_ino}, separators=(",", ":")).encode()
    target.write(_MAGIC + bytes((_EXTRA_FIELD,)) + int(time.time()).to_bytes(4, "little") + b"\0\xff")
    target.write(len(extra).to_bytes(2, "little") + extra)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = length = 0
    while block := source.read(_BLOCK):
        checksum, length = zlib.crc32(block, checksum), length + len(block)
        target.write(deflate.compress(block))
    target.write(deflate.flush())
    target.write(checksum.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little"))
    target.flush()
