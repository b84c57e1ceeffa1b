"""What the process of a task's log does: it takes chunks by a socket, writes them, and answers each.

Where the log is kept besides (`log_cache`), that comes first, and what the driver makes of a chunk is no matter to it.
In the mode `non-blocking` a thread gives the driver what waits for it, so that what is kept is whole however slow the
driver is.
"""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from moby.contracts.log_driver import LogConfig, LogDriver, LogWriter
from moby.values import frozen
from moby_supervisor.local.log_buffer import Buffer
from moby_supervisor.local.log_cache import Kept
from moby_supervisor.local.log_options import LogMode
from moby_supervisor.local.starter import encode_error

__all__ = ["FINISH", "HEAD", "HEARD", "MISSED", "Logger"]

HEAD = struct.Struct("<BQ")
"""Before each chunk: the stream, and when it was read."""
FINISH = 0
"""In place of a stream, with no chunk: all that was written is to be there to be read. The answer hears of no bytes."""
HEARD = struct.Struct("<Q?")
"""The answer: so many bytes need be waited for no more, and whether they were written."""
MISSED = struct.Struct("<QQ")
"""Besides: bytes that were lost, and records that were dropped."""
_LARGEST = 1 << 17
_LONGEST_S = 600


@frozen
class Logger:
    """How a task's log is written, in a process of its own."""

    driver: LogDriver
    config: LogConfig
    mode: LogMode
    kept: Kept | None = None
    """Who keeps it besides, if the driver can't be read."""

    @property
    def task(self) -> str:
        """Return whose log it is."""
        return self.config.container_id

    def run(self, sock: socket.socket) -> NoReturn:
        """Write one task's log until there is no more; the process's whole life."""
        try:
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            try:
                writing = self._opened(sock)
            except Exception as error:
                sock.send(encode_error(error))
                os._exit(1)
            sock.send(b"open")
            while data := sock.recv(_LARGEST):
                stream, time_ns = HEAD.unpack_from(data)
                if stream == FINISH:
                    writing.finish()
                else:
                    writing.write(stream, time_ns, data[HEAD.size :])
            writing.close()
            sock.close()
            _reap_all()
        finally:
            os._exit(0)

    def _opened(self, sock: socket.socket) -> "_Writing":
        def tell(said: bytes) -> None:
            with suppress(BrokenPipeError):
                sock.send(said)

        sink = _Writer(lambda: self.driver.open(self.config))
        sink.open()
        if self.kept is None or self.driver.readable:
            return _Writing(sink, tell, self.driver)
        cache = _Writer(self.kept.open)
        with suppress(Exception):  # what can't be kept is sent nevertheless, and counted
            cache.open()
        if self.mode.blocking:
            return _Cached(sink, tell, self.driver, cache)
        return _CachedAhead(sink, tell, self.driver, cache, self.mode.buffer_bytes)


def _reap_all() -> None:
    """Wait for what drivers have started, for some minutes at most, as nobody would reap it later."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_LONGEST_S)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


class _Writer:
    """A driver's writer, which is closed while nothing comes and then begun anew."""

    def __init__(self, begin: Callable[[], LogWriter]) -> None:
        self._begin = begin
        self._writer: LogWriter | None = None

    def open(self) -> LogWriter:
        """Begin, unless it has begun; errors as LogDriver.open."""
        self._writer = self._writer or self._begin()
        return self._writer

    def write(self, stream: int, time_ns: int, chunk: bytes) -> bool:
        """Write a chunk; return whether that went well."""
        try:
            self.open().write(stream, time_ns, chunk)
        except Exception:
            return False
        return True

    def close(self) -> None:
        """Write what has no end."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):
                writer.close()


class _Writing:
    """Writes to the driver alone."""

    def __init__(self, sink: _Writer, tell: Callable[[bytes], None], driver: LogDriver) -> None:
        self._sink = sink
        self._tell = tell
        self._driver = driver

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Write a chunk, and say how that went."""
        self._tell(HEARD.pack(len(chunk), self._sink.write(stream, time_ns, chunk)))

    def finish(self) -> None:
        """Have all be there to be read, and say so."""
        if self._driver.readable:
            self._sink.close()
        self._tell(HEARD.pack(0, True))

    def close(self) -> None:
        """Write what is left."""
        self._sink.close()


class _Cached(_Writing):
    """Writes to what is kept, then to the driver."""

    def __init__(self, sink: _Writer, tell: Callable[[bytes], None], driver: LogDriver, cache: _Writer) -> None:
        super().__init__(sink, tell, driver)
        self._cache = cache

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        kept = self._cache.write(stream, time_ns, chunk)
        sent = self._sink.write(stream, time_ns, chunk)
        self._tell(HEARD.pack(len(chunk), kept and sent))

    def finish(self) -> None:
        self._cache.close()
        self._tell(HEARD.pack(0, True))

    def close(self) -> None:
        self._cache.close()
        super().close()


class _CachedAhead(_Cached):
    """Writes to what is kept; the driver gets it from a thread, which drops what there is no room for."""

    def __init__(
        self, sink: _Writer, tell: Callable[[bytes], None], driver: LogDriver, cache: _Writer, most_bytes: int
    ) -> None:
        super().__init__(sink, tell, driver, cache)
        self._buffer = Buffer(most_bytes)
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        if not self._cache.write(stream, time_ns, chunk):
            self._tell(MISSED.pack(len(chunk), 0))
        with self._changed:
            before = self._buffer.size
            dropped = self._buffer.push(stream, time_ns, chunk)
            gone = len(chunk) - (self._buffer.size - before)
            self._changed.notify()
        if dropped:
            self._tell(MISSED.pack(0, dropped))
        if gone:
            self._tell(HEARD.pack(gone, True))

    def _send(self) -> None:
        while True:
            with self._changed:
                while not (self._buffer or self._over):
                    self._changed.wait()
                if not self._buffer:
                    return
                stream, time_ns, chunk = self._buffer.first()
            well = self._sink.write(stream, time_ns, chunk)
            with self._changed:
                self._buffer.taken()
            self._tell(HEARD.pack(len(chunk), well))

    def close(self) -> None:
        self._cache.close()
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._sink.close()
