"""The rest of a long body that comes in chunks (RFC 9112, section 7.1): bytes in, bytes out.

h11 makes an event of each chunk, and docker's client sends chunks of 32 KiB: an archive of some hundred MB would take a
tenth of its time for them.
"""

import re

__all__ = ["BadChunks", "Chunks"]

_LONGEST_LINE = 4096
_MOST_TRAILERS = 100
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_FIELD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class BadChunks(Exception):
    """The client breaks the framing; whatever comes on its connection then means nothing."""


class Chunks:
    """Takes what comes from the end of a chunk's bytes on, and gives what the chunks hold."""

    def __init__(self) -> None:
        self.whole = False
        """Whether the body has come to its end."""
        self.rest = b""
        """What came after its end, of the client's next request."""
        self._line = b""
        """The part of a line that has come."""
        self._left = 0
        """Bytes of the chunk that are still to come."""
        self._expected = self._end_of_chunk
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        """Return what of the body some bytes hold; BadChunks where they can't be what they should."""
        if self._line:
            data, self._line = self._line + data, b""
        view = memoryview(data)
        parts, at = list[memoryview](), 0
        while at < len(data) and not self.whole:
            if self._left:
                part = view[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\r\n", at, at + _LONGEST_LINE)
            if end < 0:
                self._keep(data[at:])
                break
            self._expected(data[at:end])
            at = end + 2
        if self.whole:
            self.rest = data[at:]
        return b"".join(parts)

    def _keep(self, line: bytes) -> None:
        if len(line) >= _LONGEST_LINE:
            raise BadChunks("a line between chunks is too long")
        self._line = line

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise BadChunks("a chunk is longer than it says")
        self._expected = self._size

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BadChunks("a chunk doesn't say how long it is")
        self._left = int(found[1], 16)
        self._expected = self._end_of_chunk if self._left else self._trailer

    def _trailer(self, line: bytes) -> None:
        if line and _FIELD.fullmatch(line) is None:
            raise BadChunks("what follows the chunks is no field")
        self.whole = not line
        self._trailers += 1
        if self._trailers > _MOST_TRAILERS:
            raise BadChunks("too many fields follow the chunks")
