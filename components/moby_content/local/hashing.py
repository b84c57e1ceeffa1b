"""Hashing of what is written, beside the writing: by a thread of its own, once there is enough for that to pay."""

import hashlib
import os
import queue
import threading

__all__ = ["Hashing"]

_PAYS_BYTES = 1 << 20
_QUEUED = 4


class Hashing:
    """A digest of bytes that are given one part after the other; `end` has to be called in the end."""

    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm)
        self.bytes = 0
        """How many were given."""
        self._alone = (os.cpu_count() or 1) < 2
        self._queue: queue.Queue[bytes | memoryview | None] | None = None
        self._thread: threading.Thread | None = None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next part, which is copied where it could change later."""
        self.bytes += len(data)
        if self._queue is not None:
            self._queue.put(_lasting(data))
        else:
            self._hash.update(data)
            if self.bytes > _PAYS_BYTES and not self._alone:
                self._queue = queue.Queue(_QUEUED)
                self._thread = threading.Thread(target=self._work, args=(self._queue,), name="hash", daemon=True)
                self._thread.start()

    def hexdigest(self) -> str:
        """Return the digest of all parts, after which no other is taken."""
        self.end()
        return self._hash.hexdigest()

    def end(self) -> None:
        """End the thread, once it has done what it was given; calling twice is fine."""
        if self._queue is not None and self._thread is not None and self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self, parts: "queue.Queue[bytes | memoryview | None]") -> None:
        while (part := parts.get()) is not None:
            self._hash.update(part)


def _lasting(data: bytes | memoryview) -> bytes | memoryview:
    lasts = isinstance(data.obj if isinstance(data, memoryview) else data, bytes)
    return data if lasts else bytes(data)
