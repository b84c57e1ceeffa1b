"""Lines out of what is read at once: whole lines by the batch, and long ones in pieces, as docker's copier has them."""

import os
from typing import NamedTuple

from moby.contracts.log_driver import STDERR, STDOUT

__all__ = ["MAX_RECORD_BYTES", "NAMES", "Batch", "Lines", "records"]

MAX_RECORD_BYTES = 16384
"""A longer line is cut into pieces of this size (docker's copier.go)."""
NAMES = {STDOUT: "stdout", STDERR: "stderr"}


class Batch(NamedTuple):
    """Whole lines with their ends, or one piece of a long line; never empty."""

    stream: int
    time_ns: int
    """When it was read; of a piece, when the line's first piece was."""
    data: bytes
    ordinal: int = 0
    """0 for whole lines; else which piece of its line this is, from 1."""
    last: bool = False
    """Whether this piece ends its line, and so ends in a newline."""
    line_id: str = ""
    """Of a piece: what all of its line have."""


class _Stream:
    """What has come of one stream and is no record yet."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.rest = b""
        self.ordinal = 0
        """How many pieces of the current line are out."""
        self.time_ns = 0
        """Of the current line's first piece, or of the last chunk."""
        self.line_id = ""

    def feed(self, time_ns: int, chunk: bytes) -> list[Batch]:
        data = self.rest + chunk if self.rest else chunk
        found: list[Batch] = []
        at, length = 0, len(data)
        while at < length:
            if self.ordinal:
                end = data.find(b"\n", at, at + MAX_RECORD_BYTES) + 1
                if end:
                    found.append(self._piece(data[at:end], last=True))
                    at = end
                    continue
            else:
                self.time_ns = time_ns
                begin = at
                while (end := data.rfind(b"\n", at, at + MAX_RECORD_BYTES) + 1) > 0:
                    at = end
                if at > begin:
                    found.append(Batch(self.stream, time_ns, data[begin:at]))
            if length - at < MAX_RECORD_BYTES:
                break
            found.append(self._piece(data[at : at + MAX_RECORD_BYTES]))
            at += MAX_RECORD_BYTES
        self.rest = data[at:]
        return found

    def end(self) -> list[Batch]:
        rest, self.rest = self.rest, b""
        return [self._piece(rest)] if rest else []

    def _piece(self, data: bytes, *, last: bool = False) -> Batch:
        if not self.ordinal:
            self.line_id = os.urandom(32).hex()
        self.ordinal += 1
        piece = Batch(self.stream, self.time_ns, data, self.ordinal, last, self.line_id)
        if last:
            self.ordinal = 0
        return piece


class Lines:
    """Cuts what is read of a container's streams into records; each stream's rest waits here for its end."""

    def __init__(self) -> None:
        self._streams = {stream: _Stream(stream) for stream in NAMES}

    def feed(self, stream: int, time_ns: int, chunk: bytes) -> list[Batch]:
        """Return what has become whole by a chunk, in its order."""
        return self._streams[stream].feed(time_ns, chunk)

    def end(self) -> list[Batch]:
        """Return what is left without an end, as pieces that aren't the last."""
        return [batch for each in self._streams.values() for batch in each.end()]


def records(batch: Batch) -> list[bytes]:
    """Return a batch's records, without their ends."""
    return batch.data[:-1].split(b"\n") if batch.last or not batch.ordinal else [batch.data]
