"""Layers that are written down while later steps still run, so that an export finds them."""

import threading
from collections import deque
from contextlib import ExitStack, suppress

from moby.contracts.content import Content, Lease
from moby.contracts.images import Images
from moby.errors import MobyError

__all__ = ["EarlyLayers"]

_WORTH_BYTES = 1 << 20
"""Below that nobody waits for a layer; and what is written for a build that fails is written in vain."""


class EarlyLayers:
    """Writes the layers of one build, in a thread that is there for as long as there are some. Thread-safe."""

    def __init__(self, images: Images, content: Content) -> None:
        self._images = images
        self._content = content
        self._changed = threading.Condition()
        self._wanted: deque[str] = deque()
        self._at_work = False
        self._closed = False
        self._stack = ExitStack()
        self._lease: Lease | None = None

    def add(self, snapshot: str, size_bytes: int) -> None:
        """Have the layer of a snapshot written, if it is a large one."""
        with self._changed:
            if size_bytes < _WORTH_BYTES or self._closed:
                return
            self._lease = self._lease or self._stack.enter_context(self._content.lease())
            self._wanted.append(snapshot)
            if not self._at_work:
                self._at_work = True
                threading.Thread(target=self._work, name="layers", daemon=True).start()

    def settle(self) -> None:
        """Wait for the layer that is being written; leave the others to whoever exports them."""
        with self._changed:
            self._wanted.clear()
            self._changed.wait_for(lambda: not self._at_work)

    def close(self) -> None:
        """Let go of what was written; what is being written is let go of once it is."""
        with self._changed:
            self._wanted.clear()
            self._closed = True
            if not self._at_work:
                self._stack.close()

    def _work(self) -> None:
        lease = self._lease
        assert lease is not None
        while (snapshot := self._next()) is not None:
            with suppress(MobyError, OSError):  # an export comes to it again, and says so
                self._images.layers(snapshot, lease)

    def _next(self) -> str | None:
        with self._changed:
            if self._wanted:
                return self._wanted.popleft()
            self._at_work = False
            if self._closed:
                self._stack.close()
            self._changed.notify_all()
            return None
