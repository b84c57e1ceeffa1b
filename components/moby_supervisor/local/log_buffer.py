"""What waits for a log, bounded: whole records are dropped, never parts of one."""

from collections import deque

__all__ = ["Buffer"]


class Buffer:
    """Chunks in their order, for one task's log. With no limit nothing is dropped."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most = most_bytes
        self._chunks: deque[tuple[int, int, bytes]] = deque()
        self._cut: set[int] = set()
        """Streams whose last record was dropped and hasn't ended yet."""
        self._open: set[int] = set()
        """Streams of whose last record the beginning was taken."""
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def first(self) -> tuple[int, int, bytes]:
        """Return the oldest chunk: stream, time, bytes."""
        return self._chunks[0]

    def taken(self) -> None:
        """Forget the oldest chunk."""
        self.size -= len(self._chunks.popleft()[2])

    def push(self, stream: int, time_ns: int, chunk: bytes) -> int:
        """Add a chunk; return how many records were dropped since there is no room."""
        dropped = 0
        if stream in self._cut:
            end = chunk.find(b"\n") + 1
            if not end:
                return 0  # of a record that has been counted
            self._cut.discard(stream)
            chunk = chunk[end:]
        if self._most is not None and self.size + len(chunk) > self._most:
            chunk, dropped = self._trimmed(stream, chunk)
        if chunk:
            self._chunks.append((stream, time_ns, chunk))
            self.size += len(chunk)
            (self._open.discard if chunk.endswith(b"\n") else self._open.add)(stream)
        return dropped

    def _trimmed(self, stream: int, chunk: bytes) -> tuple[bytes, int]:
        """Keep what there is room for, and the end of a record whose beginning was taken."""
        room = max(0, (self._most or 0) - self.size)
        end = chunk.rfind(b"\n", 0, room) + 1
        if not end and stream in self._open:
            end = chunk.find(b"\n") + 1
        rest = chunk[end:]
        part = bool(rest) and not rest.endswith(b"\n")
        if part:
            self._cut.add(stream)
        kept = chunk[:end]
        if not kept and stream in self._open:
            kept = b"\n"  # so that what comes next is no part of that record
        return kept, rest.count(b"\n") + part
