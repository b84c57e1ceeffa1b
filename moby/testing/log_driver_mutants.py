"""Mutants of a log driver: each breaks one promise of the contract, and names the test that must see it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogDriver, LogQuery, LogWriter, frame
from moby.errors import Corrupt
from moby.testing.logs import frames
from moby.values import evolve

__all__ = ["MUTANTS", "Mutant"]


class _Writer:
    """A writer that passes everything on; subclasses break one promise each."""

    def __init__(self, writer: LogWriter) -> None:
        self.inner = writer

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Pass on."""
        self.inner.write(stream, time_ns, chunk)

    def close(self) -> None:
        """Pass on."""
        self.inner.close()


class _Broken:
    """A driver that passes everything on."""

    Writer: type[_Writer] = _Writer

    def __init__(self, driver: LogDriver) -> None:
        self.inner = driver
        self.waits = driver.waits
        self.readable = driver.readable

    def check(self, options: Mapping[str, str]) -> None:
        """Pass on."""
        self.inner.check(options)

    def open(self, config: LogConfig) -> LogWriter:
        """Wrap."""
        return self.Writer(self.inner.open(config))

    def query(self, query: LogQuery) -> LogQuery:
        """Return what the driver is asked instead."""
        return query

    def seen(self, query: LogQuery, chunk: bytes) -> bytes:
        """Return what becomes of a chunk."""
        return chunk

    def read(self, config: LogConfig, query: LogQuery, ended: int) -> Iterator[bytes]:
        """Pass on, by `query` and `seen`."""
        for chunk in self.inner.read(config, self.query(query), ended):
            yield self.seen(query, chunk)


def _asking(**change: Any) -> type[_Broken]:
    """Return a driver that asks for something else than it was asked for."""

    class Asks(_Broken):
        def query(self, query: LogQuery) -> LogQuery:
            given = {name: made(query) if callable(made) else made for name, made in change.items()}
            return evolve(query, **given)

    return Asks


def _seeing(change: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> type[_Broken]:
    """Return a driver whose records are changed by the chunk."""

    class Sees(_Broken):
        def seen(self, query: LogQuery, chunk: bytes) -> bytes:
            return _framed(change(frames(chunk))) if query.framed else chunk

    return Sees


def _framed(records: list[tuple[int, bytes]]) -> bytes:
    return b"".join(frame(stream, len(text)) + text for stream, text in records)


class _Whole(_Broken):
    """Changes all records at once."""

    def all(self, query: LogQuery, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Return what becomes of them."""
        return records

    def read(self, config: LogConfig, query: LogQuery, ended: int) -> Iterator[bytes]:
        if query.follow or not query.framed:
            yield from super().read(config, query, ended)
        else:
            found = b"".join(super().read(config, query, ended))
            yield _framed(self.all(query, frames(found)))


class _ErrorsLast(_Whole):
    def all(self, query: LogQuery, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        return sorted(records, key=lambda each: each[0])


class _TailBeforeStreams(_Whole):
    """Takes the last of all records, and of these those of a stream."""

    def query(self, query: LogQuery) -> LogQuery:
        return evolve(query, stdout=True, stderr=True)

    def all(self, query: LogQuery, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        wanted = {STDOUT: query.stdout, STDERR: query.stderr}
        return [each for each in records if wanted[each[0]]]


class _FirstNotLast(_Whole):
    def query(self, query: LogQuery) -> LogQuery:
        return evolve(query, tail=-1)

    def all(self, query: LogQuery, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        return records[: query.tail] if query.tail >= 0 else records


class _Unframes(_Broken):
    """Counts the time in no header."""

    def seen(self, query: LogQuery, chunk: bytes) -> bytes:
        if not query.timestamps or not query.framed:
            return chunk
        return b"".join(frame(stream, len(text) - 31) + text for stream, text in frames(chunk))


class _EndsEachChunk(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            super().write(stream, time_ns, chunk if chunk.endswith(b"\n") else chunk + b"\n")


class _MixesStreams(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            super().write(STDOUT, time_ns, chunk)


class _DropsTheRest(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            super().write(stream, time_ns, chunk[: chunk.rfind(b"\n") + 1])


class _CutsEarly(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            for at in range(0, len(chunk), 8000):
                piece = chunk[at : at + 8000]
                super().write(stream, time_ns, piece if b"\n" in piece else piece + b"\n")


class _WritesLate(_Broken):
    """Keeps what it was given until it is closed."""

    class Writer(_Writer):
        def __init__(self, writer: LogWriter) -> None:
            super().__init__(writer)
            self.kept: list[tuple[int, int, bytes]] = []

        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            self.kept.append((stream, time_ns, chunk))

        def close(self) -> None:
            for each in self.kept:
                self.inner.write(*each)
            self.kept = []
            super().close()


class _HidesTime(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            super().write(stream, time_ns // 10**9 * 10**9, chunk)


class _BeginsAnew(_Broken):
    def open(self, config: LogConfig) -> LogWriter:
        for each in config.folder.rglob("*.log"):
            each.unlink()
        return super().open(config)


class _LeavesTorn(_Broken):
    """Has half a record in the file whenever somebody goes on."""

    def open(self, config: LogConfig) -> LogWriter:
        writer = super().open(config)
        for each in config.folder.rglob("*.log"):
            data = each.read_bytes()
            with each.open("ab") as file:
                file.write(data[: len(data) // 2][-50:])
        return writer


class _OpensLost(_Broken):
    def read(self, config: LogConfig, query: LogQuery, ended: int) -> Iterator[bytes]:
        os.open("/dev/null", os.O_RDONLY)
        yield from super().read(config, query, ended)


class _KeepsOpen(_Broken):
    class Writer(_Writer):
        def close(self) -> None:
            os.dup(1)
            super().close()


class _ClosesOnce(_Broken):
    class Writer(_Writer):
        def close(self) -> None:
            if getattr(self, "closed", False):
                raise OSError("closed")
            self.closed = True
            super().close()


class _TakesAllOptions(_Broken):
    def check(self, options: Mapping[str, str]) -> None:
        pass


class _RefusesTheSupervisors(_Broken):
    def check(self, options: Mapping[str, str]) -> None:
        from moby.errors import Invalid

        if options.get("mode"):
            raise Invalid("unknown log opt 'mode' for it")
        super().check(options)


class _OpensUnchecked(_Broken):
    def open(self, config: LogConfig) -> LogWriter:
        return super().open(evolve(config, options={}))


class _TakesPatterns(_Broken):
    def check(self, options: Mapping[str, str]) -> None:
        super().check({name: value for name, value in options.items() if name not in ("tag", "env-regex")})


class _Swallows(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            with suppress(OSError):
                super().write(stream, time_ns, chunk)


class _GivesUp(_Broken):
    class Writer(_Writer):
        def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
            if getattr(self, "broken", False):
                return
            try:
                super().write(stream, time_ns, chunk)
            except OSError:
                self.broken = True
                raise


class _MissesTheLast(_Broken):
    """Ends at once when told, whatever is there still."""

    def read(self, config: LogConfig, query: LogQuery, ended: int) -> Iterator[bytes]:
        for chunk in super().read(config, query, ended):
            if query.follow and b"last\n" in chunk:
                return
            yield chunk


class _NeedsALog(_Broken):
    def read(self, config: LogConfig, query: LogQuery, ended: int) -> Iterator[bytes]:
        if not any(each.is_file() for each in Path(config.folder).rglob("*")):
            raise Corrupt("there is no log")
        yield from super().read(config, query, ended)


@frozen
class Mutant:
    """A broken driver, and the test that must fail it."""

    name: str
    wrap: Callable[[LogDriver], Any]
    test: str
    given: tuple[Any, ...] = ()
    """Arguments of a test with parameters."""


def _replaced(old: bytes, new: bytes) -> type[_Broken]:
    return _seeing(lambda records: [(stream, text.replace(old, new)) for stream, text in records])


MUTANTS = (
    Mutant("loses a stream", _asking(stderr=False), "test_what_was_written_is_read"),
    Mutant("mixes the streams", _MixesStreams, "test_what_was_written_is_read"),
    Mutant("has errors last", _ErrorsLast, "test_what_was_written_is_read"),
    Mutant("loses ends", _replaced(b"\n", b""), "test_what_was_written_is_read"),
    Mutant("loses line separators", _replaced("\u2028".encode(), b"?"), "test_text_is_kept"),
    Mutant("loses quotes", _replaced(b'"', b"'"), "test_text_is_kept"),
    Mutant("ends each chunk", _EndsEachChunk, "test_a_line_in_many_chunks"),
    Mutant("drops what has no end", _DropsTheRest, "test_what_has_no_end"),
    Mutant("ends what has no end", _EndsEachChunk, "test_what_has_no_end"),
    Mutant("cuts early", _CutsEarly, "test_a_long_line_is_cut", (1,)),
    Mutant("always both streams", _asking(stdout=True, stderr=True), "test_streams"),
    Mutant("since excludes", _asking(since_ns=lambda query: query.since_ns + 1), "test_since_and_until"),
    Mutant("until excludes", _asking(until_ns=lambda query: max(0, query.until_ns - 1)), "test_since_and_until"),
    Mutant("no since", _asking(since_ns=0), "test_since_and_until"),
    Mutant("no tail", _asking(tail=-1), "test_tail"),
    Mutant("first, not last", _FirstNotLast, "test_tail"),
    Mutant("tail before streams", _TailBeforeStreams, "test_tail"),
    Mutant("no times", _asking(timestamps=False), "test_times"),
    Mutant("whole seconds", _HidesTime, "test_times"),
    Mutant("short headers", _Unframes, "test_times"),
    Mutant("always headers", _asking(framed=True), "test_without_headers"),
    Mutant("no details", _asking(details=False), "test_details"),
    Mutant("always details", _asking(details=True), "test_details"),
    Mutant("needs a log", _NeedsALog, "test_a_log_that_is_not_there"),
    Mutant("begins anew", _BeginsAnew, "test_a_writer_goes_on"),
    Mutant("writes late", _WritesLate, "test_a_writer_goes_on"),
    Mutant("leaves torn records", _LeavesTorn, "test_a_writer_goes_on"),
    Mutant("begins anew after a kill", _BeginsAnew, "test_killed_writers"),
    Mutant("does not follow", _asking(follow=False), "test_follow"),
    Mutant("follows without a tail", _asking(tail=-1), "test_follow"),
    Mutant("misses the last", _MissesTheLast, "test_follow"),
    Mutant("follows from the start", _asking(tail=-1), "test_follow_from_now"),
    Mutant("closes once", _ClosesOnce, "test_closing_twice"),
    Mutant("takes all options", _TakesAllOptions, "test_unknown_options"),
    Mutant("refuses the supervisor's", _RefusesTheSupervisors, "test_unknown_options"),
    Mutant("opens unchecked", _OpensUnchecked, "test_unknown_options"),
    Mutant("takes any pattern", _TakesPatterns, "test_common_options_that_are_wrong"),
    Mutant("swallows errors", _Swallows, "test_a_full_disk"),
    Mutant("gives up", _GivesUp, "test_a_full_disk"),
    Mutant("leaves a reader's descriptor", _OpensLost, "test_nothing_stays_open"),
    Mutant("leaves a writer's descriptor", _KeepsOpen, "test_nothing_stays_open"),
)
