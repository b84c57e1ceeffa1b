"""The digest of what comes in pieces, computed beside the thread that stores them."""

import hashlib
from collections import deque
from concurrent.futures import Executor, Future
from typing import Any

__all__ = ["Digesting"]

_LARGE = 64 << 10
"""From so many bytes on a piece is worth another thread's turn."""
_MOST_WAITING = 8


class Digesting:
    """A SHA-256 on its way; its only user is one thread."""

    def __init__(self, beside: Executor) -> None:
        """`beside` does one thing after another."""
        self._beside = beside
        self._digest = hashlib.sha256()
        self._waiting: deque[Future[Any]] = deque()

    def update(self, piece: bytes) -> None:
        """Take a piece, which must not change any more."""
        if len(piece) < _LARGE:
            self._wait(0)
            self._digest.update(piece)
            return
        self._wait(_MOST_WAITING - 1)
        self._waiting.append(self._beside.submit(self._digest.update, piece))

    def hexdigest(self) -> str:
        """Return the digest of all pieces."""
        self._wait(0)
        return self._digest.hexdigest()

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()
