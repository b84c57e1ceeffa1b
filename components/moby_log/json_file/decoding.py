"""Docker's lines of JSON into records.

Lines that were written at once differ in their text alone, and are cut apart together. All others are read one by one
as JSON. What is no such line is passed over and counted.
"""

import json
import os
import re
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, BinaryIO

from moby.contracts.log_driver import STDERR, STDOUT
from moby_log.json_file.encoding import HEAD
from moby_log.records.output import Run
from moby_log.records.times import parse

__all__ = ["JsonLines", "LineDecoder"]

_LONGEST_LINE = 4 << 20
_BACKWARDS = 1 << 16
_STREAMS = {"stdout": STDOUT, "stderr": STDERR}
_STREAMS_BYTES = {b"stdout": STDOUT, b"stderr": STDERR}
_END = b'\\n","stream":"'
_FIRST_SPAN = 4096
_PLAIN = re.compile(rb'\{"log":"([^"\\\x00-\x1f]*)(\\n)?","stream":"(stdout|stderr)","time":"([0-9T:.-]{19,29}Z)"\}\n')
"""What most lines are: no escapes but the newline's, and no attributes."""


class LineDecoder:
    """Decodes one file."""

    def __init__(self) -> None:
        self.bad = 0
        self._rest = b""
        self._too_long = False
        self._second: tuple[str, int] = ("", 0)
        self._span = 1 << 18

    def feed(self, data: bytes) -> Iterator[Run]:
        """Yield what is whole."""
        if self._too_long:
            _, end, data = data.partition(b"\n")
            self._too_long = not end
        data = self._rest + data if self._rest else data
        whole = data.rfind(b"\n") + 1
        self._rest = data[whole:]
        if len(self._rest) > _LONGEST_LINE:
            self.bad += 1
            self._rest, self._too_long = b"", True
        return self._runs(data[:whole]) if whole else iter(())

    def take_back(self) -> int:
        """Forget the bytes at the end that aren't whole yet, and return how many they were."""
        length = len(self._rest)
        self._rest = b""
        return length

    def finish(self) -> None:
        """A line without an end is torn, and no matter."""

    def _runs(self, block: bytes) -> Iterator[Run]:
        at, size = 0, len(block)
        while at < size:
            plain = _PLAIN.match(block, at)
            if plain:
                end = plain.end()
                run = self._simple(plain)
            else:
                end = block.find(b"\n", at) + 1
                run = self._one(block[at:end])
            if run is None:
                line = block[at:end]
                if line.strip():
                    self.bad += 1
                at = end
                continue
            # Whether the next line ends as this one does, which its last bytes tell in nearly all cases.
            after = block.find(b"\n", end) + 1
            if after and run.end and block[after - 16 : after] == block[end - 16 : end]:
                cut = block.rfind(_END, at, end)
                tail = block[cut:end]
                if cut > at and block.endswith(tail, end, after):
                    run, end = self._same(block, at, run, tail) or (run, end)
            yield run
            at = end

    def _simple(self, found: re.Match[bytes]) -> Run | None:
        text, newline, stream, stamp = found.groups()
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                return self._one(found[0])
        try:
            time_ns = self._time(stamp.decode("ascii"))
        except ValueError:
            return None
        return Run(_STREAMS_BYTES[stream], time_ns, [text], b"\n" if newline else b"")

    def _one(self, line: bytes) -> Run | None:
        """Return the record of a line, None where it is none."""
        try:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text = line.decode("utf-8", "replace")
            entry = json.loads(text)
            return self._record(entry)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    def _record(self, entry: Any) -> Run:
        text, attributes = entry.get("log", ""), entry.get("attrs")
        stream = _STREAMS.get(entry.get("stream"), 0)
        time_ns = self._time(entry["time"]) if "time" in entry else 0
        if attributes is not None:
            attributes = {_text(name): _text(value) for name, value in attributes.items()}
        data = _text(text).encode()
        end = b"\n" if data.endswith(b"\n") else b""
        return Run(stream, time_ns, [data[:-1] if end else data], end, attributes or None)

    def _time(self, text: str) -> int:
        """Return a time; most are of the same second as the one before."""
        known, seconds_ns = self._second
        if text.startswith(known) and known and text[-1] == "Z" and text[20:-1].isdigit() and len(text) <= 30:
            return seconds_ns + int(text[20:-1].ljust(9, "0"))
        value = parse(text)
        if text[-1] == "Z" and text[19] == ".":
            self._second = (text[:20], value - value % 10**9)
        return value

    def _same(self, block: bytes, at: int, run: Run, tail: bytes) -> tuple[Run, int] | None:
        """Return the records from `at` on whose lines end as the first does, and where they end."""
        end = _reach(block, at, tail, self._span)
        lines = _texts(block[at:end], tail) if end else None
        if lines is None or lines[0] != run.lines[0]:
            # Others are between them: whoever tries a long way in vain too often takes quadratic time.
            self._span = _FIRST_SPAN
            return None
        self._span = max(_FIRST_SPAN, 4 * (end - at))
        return run._replace(lines=lines), end


def _reach(block: bytes, at: int, tail: bytes, most: int) -> int:
    """Return where a line ends that ends in `tail`, as far from `at` as few looks can tell; 0 where there is none."""
    good, span, found = 0, _FIRST_SPAN, 0
    while True:
        end = block.rfind(b"\n", at, at + span) + 1
        if end > max(at, found) and block.endswith(tail, at, end):
            good, found = span, end
            if end == len(block) or span >= most:
                return found
            span *= 2
        else:
            break
    bad = span
    while bad - good > _FIRST_SPAN // 4:
        span = (good + bad) // 2
        end = block.rfind(b"\n", at, at + span) + 1
        if end > at and block.endswith(tail, at, end):
            good, found = span, end
        else:
            bad = span
    return found


def _texts(region: bytes, tail: bytes) -> list[bytes] | None:
    """Return the texts of lines that all end in `tail`; None where they can't be told apart by that."""
    if not region.startswith(HEAD):
        return None
    # By one byte, since a search for more begins anew after each that it finds.
    *lines, _ = region.split(b"\n")
    if region.count(tail + HEAD) != len(lines) - 1:
        return None  # some begin or end in another way
    pieces = list(map(itemgetter(slice(len(HEAD), 1 - len(tail))), lines))
    flat = b"".join(pieces)
    if b'"' in flat and b"\\" not in flat:
        return None  # a text has a quote, and so is none
    if b"\\" not in flat:
        return pieces
    # One JSON string of all texts, each with its newline's escape, for one call.
    try:
        whole = b"\\n".join(pieces).decode()
        texts: list[bytes] = json.loads(f'"{whole}"').encode().split(b"\n")
    except ValueError:
        return None
    return texts if len(texts) == len(pieces) else None


def _text(value: Any) -> str:
    """Return a string as Go reads it: half a pair of UTF-16 is U+FFFD. TypeError for what is no string."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


class JsonLines:
    """How json-file lays records out."""

    def decoder(self) -> LineDecoder:
        """Return a decoder."""
        return LineDecoder()

    def backwards(self, file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield pieces of whole lines and where they start, from the end of a file to its start."""
        descriptor = file.fileno()
        end, span = size, _BACKWARDS
        while end > 0:
            begin = max(0, end - span)
            data = os.pread(descriptor, end - begin, begin)
            cut = data.find(b"\n") + 1 if begin else 0
            if begin and (cut == 0 or cut == len(data)) and span <= _LONGEST_LINE:
                span *= 2
                continue
            yield begin + cut, data[cut:]
            end = begin + cut
            span = _BACKWARDS
