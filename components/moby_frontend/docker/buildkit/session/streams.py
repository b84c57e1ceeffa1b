"""Streams of bytes over a call, as files."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from moby_frontend.docker.buildkit.grpc import Exchange
from moby_frontend.docker.buildkit.protocol.lending import Bytes

__all__ = ["Incoming", "Outgoing"]

_BUFFER = 1 << 20


class Incoming(io.RawIOBase):
    """What the client sends."""

    @classmethod
    def of(cls, exchange: Exchange, kind: type[Any]) -> BinaryIO:
        """Return a call's messages, which have `data`, as one file; closing it lets go of the call."""
        return io.BufferedReader(cls(exchange, exchange.batches(kind)), _BUFFER)

    def __init__(self, exchange: Exchange, batches: Iterator[list[Any]]) -> None:
        self._exchange = exchange
        self._chunks = (each.data for batch in batches for each in batch if each.data)
        self._held = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what came, waiting for something."""
        if not self._held:
            self._held = memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def close(self) -> None:
        """Let go of the call."""
        if not self.closed:
            self._exchange.close()
        super().close()


class Outgoing(io.RawIOBase):
    """What the client takes; closing it says that it is whole, and waits until the client has it."""

    @classmethod
    def of(cls, exchange: Exchange) -> BinaryIO:
        """Return a file whose bytes a call carries."""
        return cast(BinaryIO, _Whole(cls(exchange), _BUFFER))

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Send what a message may have."""
        self._exchange.send(Bytes(bytes(data[:_BUFFER])))
        return min(len(data), _BUFFER)

    def finish(self) -> None:
        """Say that it is whole, and wait until the client has it."""
        self._exchange.send(end=True)
        self._exchange.finish()

    def close(self) -> None:
        """Let go of the call."""
        if not self.closed:
            self._exchange.close()
        super().close()


class _Whole(io.BufferedWriter):
    """Finishes the call when it is closed, but not when it is left with an error."""

    def close(self) -> None:
        """Finish the call."""
        if self.closed:
            return
        raw = cast(Outgoing, self.raw)
        try:
            self.flush()
            raw.finish()
        finally:
            raw.close()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            cast(Outgoing, self.raw).close()
