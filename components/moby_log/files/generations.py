"""The files of a log at one moment, opened: rotated ones and the current one, whoever renames them meanwhile."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from moby.values import frozen
from moby_log.files.folder import folder_locked, rotated
from moby_log.records.times import parse

__all__ = ["Damaged", "Generation", "close_all", "newer", "opened"]

BLOCK_BYTES = 1 << 18
_TRIES = 100


class Damaged(Exception):
    """What was compressed can't be read on."""


@frozen
class Generation:
    """One file of a log, open for reading."""

    path: Path
    file: BinaryIO
    compressed: bool
    inode: int
    """Of the file itself, or of what was compressed into it; 0 where that isn't known."""
    last_ns: int = 0
    """No record is later; 0 where that isn't known."""

    def blocks(self, at: int = 0) -> Iterator[bytes]:
        """Yield the content from an offset on, which is 0 for a compressed one; Damaged after what can be read."""
        self.file.seek(at)
        if self.compressed:
            yield from _decompressed(self.file)
        else:
            while block := self.file.read(BLOCK_BYTES):
                yield block


def _decompressed(file: BinaryIO) -> Iterator[bytes]:
    """Yield what members of RFC 1952 hold, never more than a block at once, however much it becomes."""
    data = file.read(65536)
    while data:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not member.eof:
            try:
                block = member.decompress(data, BLOCK_BYTES)
            except zlib.error as error:
                raise Damaged(str(error)) from None
            if block:
                yield block
            data = member.unconsumed_tail
            if not data and not member.eof and len(block) < BLOCK_BYTES:
                data = file.read(65536)
                if not data:
                    raise Damaged("it ends too early")
        data = member.unused_data or file.read(65536)


def _header(file: BinaryIO) -> tuple[int, int]:
    """Return inode and last time out of a compressed file's header, 0 for what isn't there."""
    start = file.read(12)
    if len(start) < 12 or start[:3] != b"\x1f\x8b\x08" or not start[3] & 4:
        return 0, 0
    try:
        extra = json.loads(file.read(int.from_bytes(start[10:12], "little")))
        inode, last = extra.get("inode", 0), parse(extra.get("lastTime", ""))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return 0, 0
    return (inode if type(inode) is int else 0), last


def _open(path: Path, compressed: bool) -> Generation:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    file = os.fdopen(fd, "rb", buffering=0)
    if not compressed:
        return Generation(path, file, False, os.fstat(file.fileno()).st_ino)
    return Generation(path, file, True, *_header(file))


def close_all(generations: list[Generation]) -> None:
    """Close them."""
    for each in generations:
        each.file.close()


def opened(path: Path) -> list[Generation]:
    """Return all files of a log, the oldest first; empty where there is none yet. The caller closes them."""
    if found := _together(path):
        return found
    if not path.parent.is_dir():
        return []
    for _ in range(_TRIES):  # whoever else renames them may not take the lock
        with folder_locked(path.parent, shared=True):
            if found := _together(path) or _left(path):
                return found
            if not os.path.lexists(path) and not rotated(path):
                return []
    return [_open(path, False)]


def _together(path: Path) -> list[Generation]:
    """Return all files as they are at one moment; empty where they aren't all there, or are being renamed."""
    found: list[Generation] = []
    with ExitStack() as undo:
        undo.callback(close_all, found)
        with suppress(FileNotFoundError):
            for each in rotated(path):
                found.append(_open(each.path, each.compressed))
            found.append(_open(path, False))
            names = [each.path for each in rotated(path)] + [path]
            if [each.path for each in found] == names and all(_still(each) for each in found):
                undo.pop_all()
                return found
    return []


def _left(path: Path) -> list[Generation]:
    """Return the files of a log whose writer was killed amid a rotation, so that the newest is the current one."""
    there = rotated(path)
    if os.path.lexists(path) or not there or there[-1].compressed:
        return []
    return [_open(each.path, each.compressed) for each in there]


def _still(generation: Generation) -> bool:
    return generation.path.lstat().st_ino == os.fstat(generation.file.fileno()).st_ino


def newer(path: Path, inode: int) -> list[Generation]:
    """Return the files that came after one, the oldest first; all of them where that one is gone."""
    found = opened(path)
    index = max((number for number, each in enumerate(found) if each.inode == inode), default=-1)
    close_all(found[: index + 1])
    return found[index + 1 :]
