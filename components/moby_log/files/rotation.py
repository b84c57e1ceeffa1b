"""A log's files: the current one, and rotated ones as NAME.1, NAME.2 ... or NAME.1.gz ..., the newest first."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from moby.values import frozen
from moby_log.files.compression import Compression
from moby_log.files.folder import folder_locked, rotated

__all__ = ["RotatedFile", "Rotation"]

_MODE = 0o640
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LONGEST_LINE = 4 << 20


@frozen
class Rotation:
    """When a file is rotated, how many there are, and whether rotated ones are compressed."""

    max_bytes: int = 0
    """0 is never."""
    max_files: int = 1
    compress: bool = False


def _whole_lines(file: BinaryIO) -> int:
    """Return where the last line that has an end ends; -1 where what has none is too long to be cut off."""
    size = at = os.fstat(file.fileno()).st_size
    while at > max(0, size - _LONGEST_LINE):
        begin = max(0, at - 65536)
        found = os.pread(file.fileno(), at - begin, begin).rfind(b"\n") + 1
        if found:
            return begin + found
        at = begin
    return 0 if at == 0 else -1


class RotatedFile:
    """Appends to a log's current file, and rotates it; a file that a killed writer left torn is cut to whole records.

    Of a path, one is open at a time. OSError where the disk is full; then nothing of that record is in the file.
    """

    def __init__(
        self, path: Path, rotation: Rotation, *, whole_length: Callable[[BinaryIO], int] | None = None
    ) -> None:
        self.path = path
        self._rotation = rotation
        self._compression = Compression(path)
        self._fd = os.open(path, _APPEND, _MODE)
        try:
            self._compression.clear()
            with path.open("rb") as file:
                size, whole = self.size, (whole_length or _whole_lines)(file)
            if whole < 0:
                os.write(self._fd, b"\n")
            elif whole < size:
                os.ftruncate(self._fd, whole)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Bytes that the current file has, whoever wrote or cut it."""
        return os.fstat(self._fd).st_size

    def append(self, data: bytes, separator: bytes = b"") -> None:
        """Write records, and rotate before each that finds the file full; with no separator, `data` is one."""
        most = self._rotation.max_bytes
        if not most:
            self._write(data)
            return
        at = 0
        while at < len(data):
            size = self.size
            if size >= most and self._rotate():
                size = self.size
            end = data.find(separator, at + max(0, most - size - 1)) + 1 if separator else 0
            end = end or len(data)
            self._write(data[at:end] if at or end < len(data) else data)
            at = end

    def _write(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written == len(data):
            return
        before = self.size - written
        try:
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, before)
            raise

    def _rotate(self) -> bool:
        """Begin a new file; False where that can't be, and then the old one goes on."""
        path, most = self.path, self._rotation.max_files
        new = path.with_name(f"{path.name}.new")
        fd = -1
        try:
            fd = os.open(new, _APPEND | os.O_TRUNC, _MODE)
            with folder_locked(path.parent):
                self._shift(path, most)
                new.rename(path)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return False
        os.close(self._fd)
        self._fd = fd
        if self._rotation.compress and most > 1:
            self._compression.start()
        return True

    @staticmethod
    def _shift(path: Path, most: int) -> None:
        if most < 2:
            return
        for each in rotated(path):
            if not each.compressed:
                # Its compressed copy, by one who was killed before he removed this.
                each.path.with_name(f"{each.path.name}.gz").unlink(missing_ok=True)
            if each.number + 1 >= most:
                each.path.unlink()
            else:
                suffix = ".gz" if each.compressed else ""
                each.path.rename(path.with_name(f"{path.name}.{each.number + 1}{suffix}"))
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f"{path.name}.1"))

    def close(self) -> None:
        """Let go; a repeated call does nothing. A file that is being compressed goes on to be."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._compression.close()
