"""Reads a log's files by a query: from the start or the last so many records, to the end, and on as it grows."""

import errno
import os
import select
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from moby.contracts.log_driver import LogQuery
from moby.contracts.types import Fd
from moby.errors import Corrupt
from moby.host.inotify import Watch
from moby_log.files.generations import BLOCK_BYTES, Damaged, Generation, close_all, newer, opened
from moby_log.records.output import Run, Selection

__all__ = ["Decoder", "Format", "read"]

_POLL_MS = 100
"""Where this user has no notice of changes left, or there is none: of a file that comes to be."""
_LONGEST_WAIT_MS = 60_000


class Decoder(Protocol):
    """Records out of one file's bytes, in whatever pieces they come."""

    bad: int
    """How many places could not be read."""

    def feed(self, data: bytes) -> Iterator[Run]:
        """Yield what is whole."""
        ...

    def take_back(self) -> int:
        """Forget the bytes at the end that aren't whole yet, and return how many they were."""
        ...

    def finish(self) -> None:
        """Count what isn't whole at a file's end as bad, unless it is just torn."""
        ...


class Format(Protocol):
    """How records are laid out in a file."""

    def decoder(self) -> Decoder:
        """Return a decoder for a file, from its start or the start of any record."""
        ...

    def backwards(self, file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield pieces of whole records and where they start, from the end of a file to its start."""
        ...


class _Reader:
    def __init__(self, path: Path, layout: Format, query: LogQuery, ended: Fd) -> None:
        self._path = path
        self._layout = layout
        self._query = query
        self._ended = ended
        self._selection = Selection(query)
        self._damage: list[str] = []

    def chunks(self) -> Iterator[bytes]:
        generations = self._awaited()
        if not generations:
            return
        try:
            start, at = self._start(generations)
            for each in generations[start:-1]:
                yield from self._whole(each, at)
                at = 0
                if self._selection.over:
                    return
            yield from self._current(generations[-1], at)
        finally:
            close_all(generations)
            # Before, what could be read was; a consumer who is gone gets no error of this.
        if self._damage:
            raise Corrupt(
                f"parts of a log could not be read: {'; '.join(self._damage[:5])}", hint="what is there was printed"
            )

    def _awaited(self) -> list[Generation]:
        """Return the files; to be followed, one that isn't there yet is waited for."""
        while not (found := opened(self._path)) and self._query.follow:
            if select.select([self._ended], [], [], _POLL_MS / 1000)[0]:
                return opened(self._path)
        return found

    def _start(self, generations: list[Generation]) -> tuple[int, int]:
        """Return the file and the offset in it to begin with; the selection then passes over what is too much."""
        query = self._query
        if query.tail < 0:
            skipped = [each.compressed and 0 < each.last_ns < query.since_ns for each in generations]
            return skipped.index(False), 0
        if query.tail == 0:
            current = generations[-1].file
            return len(generations) - 1, self._last_whole(current)
        count = 0
        for number in range(len(generations) - 1, -1, -1):
            each = generations[number]
            if each.compressed and 0 < each.last_ns < query.since_ns:
                return number + 1, 0
            for at, found in self._counted(each):
                count += found
                if count >= query.tail:
                    self._selection = Selection(query, count - query.tail)
                    return number, at
        return 0, 0

    def _last_whole(self, file: BinaryIO) -> int:
        size = os.fstat(file.fileno()).st_size
        for at, data in self._layout.backwards(file, size):
            decoder = self._layout.decoder()
            for _ in decoder.feed(data):
                pass
            return at + len(data) - decoder.take_back()
        return 0

    def _counted(self, generation: Generation) -> Iterator[tuple[int, int]]:
        """Yield offsets from a file's end to its start, and how many records between them are asked for."""
        if generation.compressed:
            decoder, count = self._layout.decoder(), 0
            try:
                for block in generation.blocks():
                    count += sum(self._selection.count(run) for run in decoder.feed(block))
            except Damaged:
                pass  # told when it is read
            yield 0, count
            return
        size = os.fstat(generation.file.fileno()).st_size
        for at, data in self._layout.backwards(generation.file, size):
            decoder = self._layout.decoder()
            yield at, sum(self._selection.count(run) for run in decoder.feed(data))

    def _whole(self, generation: Generation, at: int = 0) -> Iterator[bytes]:
        """Yield what is asked for of a file that nobody writes any more."""
        decoder = self._layout.decoder()
        try:
            for block in generation.blocks(at):
                yield from self._chosen(decoder, block)
                if self._selection.over:
                    break
        except Damaged as damage:
            self._damage.append(f"{generation.path}: {damage}")
        if not self._selection.over:
            decoder.finish()
        self._tell(generation, decoder)

    def _chosen(self, decoder: Decoder, data: bytes) -> Iterator[bytes]:
        """Yield what is asked for of some bytes in one piece, which takes a reader less than many."""
        found = b"".join(self._selection.chosen(decoder.feed(data)))
        if found:
            yield found

    def _tell(self, generation: Generation, decoder: Decoder) -> None:
        if decoder.bad:
            self._damage.append(f"{generation.path}: {decoder.bad} places are damaged")

    def _current(self, generation: Generation, at: int) -> Iterator[bytes]:
        """Yield what is asked for of the current file, and of those that come after it, as they grow."""
        if not self._query.follow:
            yield from self._whole(generation, at)
            return
        following = [generation]
        try:
            while following and not self._selection.over:
                *rest, last = following
                for each in rest:
                    yield from self._whole(each)
                moved = yield from self._grown(last, at)
                at = 0
                # While it is open, no other file gets its inode.
                after = newer(self._path, last.inode) if moved else []
                close_all(following)
                following = after
        finally:
            close_all(following)

    def _grown(self, generation: Generation, at: int) -> Generator[bytes, None, bool]:
        """Yield what is asked for until the file is another, and return True; False at the end of all."""
        decoder = self._layout.decoder()
        descriptor = generation.file.fileno()
        changes = _Changes(descriptor, self._ended)
        last_round = False
        try:
            while True:
                there = _inode_at(self._path)
                moved = there not in (0, generation.inode)
                if os.fstat(descriptor).st_size < at:
                    decoder.take_back()
                    at = 0
                size = BLOCK_BYTES
                while data := os.pread(descriptor, size, at):
                    yield from self._chosen(decoder, data)
                    if self._selection.over:
                        return False
                    # What isn't whole is read again, with what comes after it: a writer who comes after one that was
                    # killed may put something else there.
                    whole = len(data) - decoder.take_back()
                    at += whole
                    if not whole and len(data) < size:
                        break
                    size = BLOCK_BYTES if whole else size * 2
                if moved or last_round:
                    return moved
                last_round = self._waited(changes, _LONGEST_WAIT_MS if there else _POLL_MS)
        finally:
            changes.close()
            self._tell(generation, decoder)

    def _waited(self, changes: "_Changes", left_ms: int) -> bool:
        """Wait until there may be more; True where there will be none after what is there now."""
        until_ns = self._query.until_ns
        if until_ns:
            left_ms = min(left_ms, max(0, (until_ns - time.time_ns()) // 1_000_000 + 1))
            if until_ns < time.time_ns():
                return True
        return changes.wait(left_ms)


class _Changes:
    """Waits for a file to be written or renamed, or for the end."""

    def __init__(self, descriptor: int, ended: Fd) -> None:
        self._watch: Watch | None = None
        try:
            self._watch = Watch(descriptor)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM):
                raise
        self._ended = ended
        self._poll = select.poll()
        self._poll.register(ended, select.POLLIN)
        if self._watch:
            self._poll.register(self._watch.fd, select.POLLIN)

    def wait(self, left_ms: int) -> bool:
        """Return whether the end has come."""
        ready = [fd for fd, _ in self._poll.poll(left_ms if self._watch else min(left_ms, _POLL_MS))]
        if self._watch and self._watch.fd in ready:
            self._watch.clear()
        return self._ended in ready

    def close(self) -> None:
        if self._watch:
            self._watch.close()


def _inode_at(path: Path) -> int:
    """Return which file is there; 0 for none, as between the two steps of a rotation, or once a log is removed."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


def read(path: Path, layout: Format, query: LogQuery, ended: Fd) -> Iterator[bytes]:
    """Yield the records of a log that a query asks for; as LogDriver.read."""
    return _Reader(path, layout, query, ended).chunks()
