"""What tests of log drivers do with one: write, read by a query, follow, be killed, find the disk full."""

import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogDriver, LogQuery

__all__ = [
    "BASE_NS", "SECOND_NS", "Following", "descriptors", "frames", "killed", "no_space", "read", "said", "six_lines",
    "texts", "write",
]  # fmt: skip

SECOND_NS = 10**9
BASE_NS = 1_700_000_000 * SECOND_NS
"""A time in 2023, at 22:13:20."""
_PATIENCE_S = 60


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return stream and bytes of each record; AssertionError where the headers are wrong."""
    found, at = [], 0
    while at < len(data):
        assert data[at] in (STDOUT, STDERR), data[at : at + 40]
        assert data[at + 1 : at + 4] == b"\0\0\0"
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        assert end <= len(data), "a record is shorter than its header says"
        found.append((data[at], data[at + 8 : end]))
        at = end
    return found


def said(driver: LogDriver, config: LogConfig, **query: Any) -> list[tuple[int, bytes]]:
    """Return what a driver has of a log, by a query that doesn't follow."""
    return frames(read(driver, config, **query))


def read(driver: LogDriver, config: LogConfig, **query: Any) -> bytes:
    """Return what a driver yields, by a query that doesn't follow."""
    ended, end = os.pipe()
    try:
        return b"".join(driver.read(config, LogQuery(**query), ended))
    finally:
        os.close(ended)
        os.close(end)


def texts(driver: LogDriver, config: LogConfig, **query: Any) -> list[bytes]:
    """Return the bytes of each record, by a query that doesn't follow."""
    return [text for _, text in said(driver, config, **query)]


def write(driver: LogDriver, config: LogConfig, chunks: list[tuple[int, bytes]]) -> None:
    """Write chunks of streams with a writer of their own, a nanosecond apart."""
    writer = driver.open(config)
    for number, (stream, chunk) in enumerate(chunks):
        writer.write(stream, BASE_NS + number, chunk)
    writer.close()


def six_lines(driver: LogDriver, config: LogConfig) -> LogConfig:
    """Write six lines, each third of them to standard error, a second apart."""
    writer = driver.open(config)
    for number in range(6):
        stream = STDERR if number % 3 == 2 else STDOUT
        writer.write(stream, BASE_NS + number * SECOND_NS, b"line %d\n" % number)
    writer.close()
    return config


def descriptors() -> list[str]:
    """Return the descriptors that this process has open."""
    return sorted(each.name for each in Path("/proc/self/fd").iterdir() if each.exists())


class Following:
    """A reader in a thread, which the test waits for."""

    def __init__(self, driver: LogDriver, config: LogConfig, query: LogQuery) -> None:
        self._ended, self._end = os.pipe()
        self._data = b""
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(driver, config, query), daemon=True)
        self._thread.start()

    def _run(self, driver: LogDriver, config: LogConfig, query: LogQuery) -> None:
        try:
            for chunk in driver.read(config, query, self._ended):
                with self._changed:
                    self._data += chunk
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._changed.notify()

    def wait_for(self, text: bytes) -> None:
        """Wait until a text was read."""
        with self._changed:
            found = self._changed.wait_for(lambda: text in self._data or not self._thread.is_alive(), _PATIENCE_S)
        if self._error:
            raise self._error
        assert found and text in self._data, f"{text!r} was not read, but {self._data[-1000:]!r}"

    def goes_on(self) -> None:
        """Give a reader that doesn't follow the time to end: nothing tells one that waits from one that is slow."""
        self._thread.join(0.5)
        assert self._error or self._thread.is_alive(), "it has ended, though nothing said that there will be no more"

    def end(self) -> bytes:
        """Say that there will be no more, and return all that was read."""
        os.write(self._end, b"x")
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive(), "reading didn't end"
        os.close(self._end)
        os.close(self._ended)
        if self._error:
            raise self._error
        return self._data


def killed(driver: LogDriver, config: LogConfig, number: int) -> None:
    """Write lines in a process of its own, which is killed at some moment after the first."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            writer = driver.open(config)
            for line in range(0, 1 << 20, 50):
                text = b"".join(b"%d %d %0200d\n" % (number, line + each, 0) for each in range(50))
                writer.write(STDOUT, BASE_NS, text)
                if not line:
                    os.write(tell, b"x")
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(ready, 1) == b"x", "the writer ended by itself"
    os.close(ready)
    time.sleep(0.001 * number)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class no_space:  # noqa: N801 - used as a function
    """No file of this process grows beyond 16 KiB, which is what a full disk does."""

    def __enter__(self) -> None:
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384 + 100, self._limits[1]))

    def __exit__(self, *error: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        signal.signal(signal.SIGXFSZ, self._handler)
