"""What buildah says while it builds, as events: a step for each `STEP n/m: ...`, and its output."""

import hashlib
import re
from collections.abc import Callable

from moby.contracts.builder import Event, Log, Vertex
from moby.contracts.types import Digest
from moby.values import evolve

__all__ = ["Steps"]

_STEP = re.compile(rb"(?:\[[^\]]*\] )?STEP (\d+/\d+): (.*)\n")
_CACHED = b"--> Using cache"


class Steps:
    """Reads what a build says, line by line, and tells of it."""

    def __init__(self, tell: Callable[[Event], None], now_ns: Callable[[], int]) -> None:
        self._tell = tell
        self._now_ns = now_ns
        self._current: Vertex | None = None
        self.text = ""
        """Of the last step."""

    @property
    def vertex(self) -> Digest | None:
        """The last step."""
        return self._current.digest if self._current else None

    def line(self, stream: int, line: bytes) -> None:
        """Take a line with its newline, or a last one without."""
        found = _STEP.fullmatch(line)
        if found:
            self._begin(found[1].decode(), found[2].decode(errors="replace"))
        elif self._current is not None:
            if line.startswith(_CACHED):
                self._current = evolve(self._current, cached=True)
            self._tell(Log(self._current.digest, stream, line, self._now_ns()))

    def end(self, error: str = "") -> None:
        """Take the end of the last step, for whatever reason."""
        if self._current is not None and not self._current.completed_ns:
            self._current = evolve(self._current, completed_ns=self._now_ns(), error=error)
            self._tell(self._current)

    def _begin(self, number: str, text: str) -> None:
        before = self._current
        self.end()
        self.text = text
        inputs = (before.digest,) if before else ()
        seed = f"{before.digest if before else ''}\0{number}\0{text}"
        digest = Digest("sha256", hashlib.sha256(seed.encode()).hexdigest())
        self._current = Vertex(digest, f"[{number}] {text}", inputs, started_ns=self._now_ns())
        self._tell(self._current)
