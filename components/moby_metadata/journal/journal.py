"""The journal: a file of lines, each a change that is whole, read by every process that has it open.

A line is `CRC32 [[BUCKET, KEY, TEXT or null], ...]`. Writers hold the lock of the file beside it; a reader takes the
lines that came since it looked last, and no half one.
"""

import errno
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moby.errors import Corrupt, HostUnfit, Unavailable, Unsupported

__all__ = ["FORMAT", "Change", "Journal"]

FORMAT = 1
_HEADER = b"moby metadata journal %d\n"
_WAIT_S = 30.0
_HINTS = {errno.ENOSPC: "make room on that disk", errno.EDQUOT: "make room in your quota"}

Change = tuple[str, str, str | None]
"""Bucket, key, and text of a document; None where it was removed."""


class Journal:
    """One process's view of the file. Its callers take turns."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._identity = (0, 0)
        self._offset = 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all other writers out; Unavailable where one takes too long."""
        with self._told():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + _WAIT_S
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Unavailable(
                            f"{self._path} is in use by another writer for {_WAIT_S:.0f} s", hint="try again"
                        ) from None
                    time.sleep(0.001)
            yield
        finally:
            os.close(fd)

    def news(self) -> tuple[bool, list[list[Change]]]:
        """Return the changes since the last call; and whether they begin anew, since the file was written anew."""
        with self._told():
            try:
                fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                anew, self._identity, self._offset = self._identity != (0, 0), (0, 0), 0
                return anew, []
            try:
                found = os.fstat(fd)
                identity = found.st_dev, found.st_ino
                anew = identity != self._identity
                if not anew and found.st_size == self._offset:
                    return False, []
                start = 0 if anew else self._offset
                with os.fdopen(os.dup(fd), "rb") as file:
                    file.seek(start)
                    data = file.read()
            finally:
                os.close(fd)
            return anew, self._taken(identity, start, data)

    def append(self, changes: list[Change]) -> None:
        """Add a change, which all read from here on; only `alone`, and after `news`."""
        with self._told():
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                line = _line(changes)
                if not self._offset:
                    line = _HEADER % FORMAT + line
                os.ftruncate(fd, self._offset)  # what a killed writer left of a line
                try:
                    _write(fd, line, self._offset)
                except OSError:
                    os.ftruncate(fd, self._offset)
                    raise
                if self._durable:
                    os.fdatasync(fd)
                found = os.fstat(fd)
                self._identity, self._offset = (found.st_dev, found.st_ino), self._offset + len(line)
            finally:
                os.close(fd)

    @property
    def size_bytes(self) -> int:
        """Of all that was read."""
        return self._offset

    def rewrite(self, changes: list[Change]) -> None:
        """Write the journal anew as one change; only `alone`."""
        with self._told():
            data = _HEADER % FORMAT + _line(changes)
            half = self._path.with_suffix(".new")
            fd = os.open(half, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _write(fd, data, 0)
                os.fdatasync(fd)
                found = os.fstat(fd)
            finally:
                os.close(fd)
            half.replace(self._path)
            self._identity, self._offset = (found.st_dev, found.st_ino), len(data)

    def _taken(self, identity: tuple[int, int], start: int, data: bytes) -> list[list[Change]]:
        """Read whole lines; the last may be on its way, or a killed writer's."""
        found = []
        at = 0
        if not start and data:
            at = self._checked(data)
        while (end := data.find(b"\n", at)) >= 0:
            changes = _parsed(data[at:end])
            if changes is None:
                if data.find(b"\n", end + 1) >= 0:
                    hint = f"put a copy back, or move {self._path} away and start anew"
                    raise Corrupt(f"{self._path} is damaged at byte {start + at}", hint=hint)
                break
            found.append(changes)
            at = end + 1
        self._identity, self._offset = identity, start + at
        return found

    def _checked(self, data: bytes) -> int:
        head, newline, _ = data.partition(b"\n")
        prefix, _, number = head.rpartition(b" ")
        if not newline and (_HEADER % FORMAT).startswith(head):
            return 0
        if prefix + b" %d\n" != _HEADER or not number.isdigit():
            hint = f"put a copy back, or move {self._path} away and start anew"
            raise Corrupt(f"{self._path} is damaged: it is no journal", hint=hint)
        if int(number) > FORMAT:
            raise Unsupported(
                f"{self._path} was written in format {int(number)}; this engine reads up to {FORMAT}",
                hint="start it with the newer engine, or name another folder with --root DIR",
            )
        return len(head) + 1

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = _HINTS.get(error.errno or 0, "name a folder that you may write with --root DIR")
            raise HostUnfit(f"can't use {self._path}: {error.strerror or error}", hint=hint) from error


def _line(changes: list[Change]) -> bytes:
    body = json.dumps(changes, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x " % zlib.crc32(body) + body + b"\n"


def _parsed(line: bytes) -> list[Change] | None:
    body = line[9:]
    if line[:9] != b"%08x " % zlib.crc32(body):
        return None
    return [(bucket, key, text) for bucket, key, text in json.loads(body)]


def _write(fd: int, data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], at + done)
