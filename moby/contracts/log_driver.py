"""The kind `log-driver`: takes what containers write and, where it can, gives it back.

A driver is called in processes that do nothing else: writers where `LogDriver.waits` is true, and those of a log's mode
`non-blocking`, each have one of their own, so that a slow sink stops nobody else; all other writers are called by the
supervisor's only thread, and may wait for nothing but a local disk. Readers have a process of their own, cloned for the
call.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.types import Fd
from moby.values import field, frozen

__all__ = ["STDERR", "STDOUT", "LogConfig", "LogDriver", "LogQuery", "LogWriter", "frame"]

STDOUT = 1
STDERR = 2


@frozen
class LogConfig:
    """Where a container's output goes, and what a driver may say of the container."""

    container_id: str
    folder: Path
    """The container's own, for the driver's files; it is there, and its owner removes it."""
    driver: str = ""
    """Name of the driver; empty is the default one."""
    options: Mapping[str, str] = field(factory=dict)
    """As with `docker run --log-opt`; `mode`, `max-buffer-size` and `cache-...` are the supervisor's."""
    name: str = ""
    image: str = ""
    """As it was named."""
    image_id: str = ""
    command: tuple[str, ...] = ()
    created: str = ""
    """RFC 3339."""
    labels: Mapping[str, str] = field(factory=dict)
    environment: tuple[str, ...] = ()
    terminal: bool = False


@frozen
class LogQuery:
    """Which part of a log, and how it is to look."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    """Since the epoch; records of this moment are in."""
    until_ns: int = 0
    """0 is no end; records of this moment are in."""
    tail: int = -1
    """Only the last so many of the records selected otherwise; -1 is all."""
    follow: bool = False
    timestamps: bool = False
    """Each record starts with its RFC 3339 time of nine decimals and a space."""
    details: bool = False
    """Each record starts (after the time) with the labels and variables that were asked for, as in `docker logs`."""
    framed: bool = True
    """Whether each record has a header of 8 bytes before it (`frame`); else the bytes alone, as of a terminal."""


def frame(stream: int, length: int) -> bytes:
    """Return the header of a record: the stream, three zeros, the length, big-endian (Docker Engine API, attach)."""
    return bytes((stream, 0, 0, 0)) + length.to_bytes(4, "big")


class LogWriter(Protocol):
    """Takes one container's output. Calls come one at a time, from one thread."""

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Take what was read at once from one stream: lines, and the beginning or the end of one.

        A line may come in many chunks; it is one record once it ends, or at 16 KiB, and as such is read again.
        What `write` was given and is not a whole record yet is on disk, or lost with the process.
        OSError where the disk is full, or the sink is gone: the chunk is lost and counted, and the next is tried.
        """
        ...

    def close(self) -> None:
        """Write what is left, and let go. A repeated call does nothing."""
        ...


@contract("log-driver", version=1, many=True, apart=("waits",))
class LogDriver(Protocol):
    """Takes what containers write and, where it can, gives it back."""

    waits: bool
    """Whether a writer may wait for another process or host."""
    readable: bool
    """Whether `read` is there. Where it isn't, a supervisor may keep what a driver that `waits` takes, to be read."""

    @repeatable
    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options that it doesn't know or can't use: Invalid, in docker's words where docker has any."""
        ...

    @repeatable
    def open(self, config: LogConfig) -> LogWriter:
        """Begin to write, or go on after what an earlier writer wrote, which may have been killed at any moment.

        Of a log, one writer is open at a time. HostUnfit where the sink can't be reached.
        """
        ...

    @repeatable
    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Yield records in their order, many in a chunk; each is one line with its end, as it was written.

        With `query.follow` it goes on as records are written, and ends once `ended` is readable and all is read.
        Unsupported where it isn't `readable`; Corrupt names the file where one can't be read, after what could be.
        """
        ...
