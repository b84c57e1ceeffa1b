"""Records as a reader gets them: those of a query, with headers, times and details."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from moby.contracts.log_driver import STDERR, STDOUT, LogQuery, frame
from moby_log.records.times import fixed

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
    """Headers of one stream by length, made when first asked for."""

    def __init__(self, stream: int) -> None:
        super().__init__()
        self._stream = stream

    def __missing__(self, length: int) -> bytes:
        header = frame(self._stream, length)
        if length <= 1 << 15:
            self[length] = header
        return header


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
        self._frames = {stream: _Frames(stream) for stream in self._streams}
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
        headers, more = self._frames[run.stream], len(before) + len(end)
        if before:
            return end.join([headers[len(line) + more] + before + line for line in lines]) + end
        return end.join([headers[len(line) + more] + line for line in lines]) + end
