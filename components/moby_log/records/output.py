"""Records as a reader gets them: those of a query, with headers, times and details."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from moby.contracts.log_driver import STDERR, STDOUT, LogQuery, frame
from moby.oci.times import fixed

__all__ = ["Run", "Selection", "details"]


class Run(NamedTuple):
    """Records that share a stream, a time and attributes."""

    stream: int
    time_ns: int
    lines: list[bytes]
    """Without their ends."""
    end: bytes = b"\n"
    """Of each; empty for pieces of long lines."""
    attributes: Mapping[str, str] | None = None


class _Frames(dict[int, bytes]):
    """Headers of one stream by length of what comes before a record's end, made when first asked for.

    Each comes after the end of the record before, so that there is less to be put together.
    """

    def __init__(self, stream: int, end: bytes) -> None:
        super().__init__()
        self._stream = stream
        self._end = end

    def __missing__(self, length: int) -> bytes:
        header = self._end + frame(self._stream, length + len(self._end))
        if length <= 1 << 15:
            self[length] = header
        return header

    def around(self, texts: list[bytes]) -> bytes:
        """Return records, a frame each."""
        parts = [self._end] * (2 * len(texts) + 1)
        parts[:-1:2] = map(self.__getitem__, map(len, texts))
        parts[1::2] = texts
        parts[0] = parts[0][len(self._end) :]
        return b"".join(parts)


def details(attributes: Mapping[str, str] | None) -> bytes:
    """Return what `docker logs --details` puts before a record."""
    from urllib.parse import quote_plus

    pairs = sorted((attributes or {}).items())
    return (
        ",".join(f"{_quoted(quote_plus, name)}={_quoted(quote_plus, value)}" for name, value in pairs).encode() + b" "
    )


def _quoted(quote: object, text: str) -> str:
    assert callable(quote)
    return str(quote(text, errors="replace"))


class Selection:
    """Chooses records by a query, and gives them their form. `over` is set once a record is later than all that is
    asked for."""

    def __init__(self, query: LogQuery, skip: int = 0) -> None:
        self._query = query
        self._streams = {STDOUT: query.stdout, STDERR: query.stderr}
        self._frames = {(stream, end): _Frames(stream, end) for stream in self._streams for end in (b"", b"\n")}
        self._since_ns = query.since_ns
        self._skip = skip
        self.over = False

    def count(self, run: Run) -> int:
        """Return how many records of a run are asked for, whatever `tail` says."""
        query = self._query
        if not self._streams.get(run.stream) or run.time_ns < query.since_ns:
            return 0
        return 0 if query.until_ns and run.time_ns > query.until_ns else len(run.lines)

    def chosen(self, runs: Iterable[Run]) -> Iterator[bytes]:
        """Yield a chunk of output for each run that has records which are asked for."""
        until_ns = self._query.until_ns
        for run in runs:
            if self._since_ns:
                if run.time_ns < self._since_ns:
                    continue
                # Records of two streams are not quite in the order of their times.
                self._since_ns = 0
            if until_ns and run.time_ns > until_ns:
                self.over = True
                return
            if not self._streams.get(run.stream):
                continue
            lines = run.lines
            if self._skip:
                if self._skip >= len(lines):
                    self._skip -= len(lines)
                    continue
                lines, self._skip = lines[self._skip :], 0
            yield self._formed(run, lines)

    def _formed(self, run: Run, lines: list[bytes]) -> bytes:
        query, end = self._query, run.end
        before = f"{fixed(run.time_ns)} ".encode() if query.timestamps else b""
        if query.details:
            before += details(run.attributes)
        if not query.framed:
            return before + (end + before).join(lines) + end
        texts = [before + line for line in lines] if before else lines
        return self._frames[run.stream, end].around(texts)
